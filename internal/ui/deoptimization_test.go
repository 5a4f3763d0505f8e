package ui_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"

	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/sample"
)

// lackingBuilder is a GraalVM of scripts: what it calls a native image is testdata/lacking. A build takes it some
// seconds, so that a test sees it build.
func lackingBuilder(t *testing.T) string {
	t.Helper()
	home := filepath.Join(t.TempDir(), "graalvm")
	if err := os.CopyFS(home, os.DirFS("../aot/nativeimage/testdata/home")); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(home, "function"), "./testdata/lacking")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the stand-in for a binary: %v\n%s", err, out)
	}
	for name, text := range map[string]string{
		"release": "IMPLEMENTOR=\"GraalVM Community\"\nJAVA_VERSION=\"23.0.1\"\nGRAALVM_VERSION=\"23.0.1\"\n",
		"bin/native-image": `#!/bin/sh
while [ $# -gt 0 ]; do [ "$1" != -o ] || output=$2; shift; done
home=$(dirname "$0")/..
echo "[1/8] Initializing as a stand-in does"
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 0.2; done
echo "[8/8] Creating image"
cp "$home/function" "$output"
`,
	} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return home
}

// TestDeoptimizationOnPage: a JAR is dropped on the page; a build's log is shown while it is written; the binary meets what it was not built for; the
// call gets its answer from HotSpot, and the page names the element.
func TestDeoptimizationOnPage(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: starts a server and a browser")
	}
	s, err := sample.Load("../../java/samples/orders")
	if err != nil {
		t.Fatal(err)
	}
	jar, err := filepath.Abs(s.Archive())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(jar); err != nil {
		t.Skipf("SKIPPED: sample orders is not built (make samples): %v", err)
	}
	home := lackingBuilder(t)
	p := serve(t, func(c *config.Config) { c.Builder.GraalVM, c.Checks.Enabled = home, false })
	b := open(t, p.url)
	b.at("#/", "Deploy a JAR")
	b.do("drop the JAR", chromedp.ActionFunc(func(ctx context.Context) error {
		data := &input.DragData{Items: []*input.DragDataItem{}, Files: []string{jar}, DragOperationsMask: 1}
		for _, step := range []input.DispatchDragEventType{input.DragEnter, input.DragOver, input.Drop} {
			if err := input.DispatchDragEvent(step, 700, 400, data).Do(ctx); err != nil {
				return err
			}
		}
		return nil
	}), chromedp.WaitVisible(`dialog input[name=handler]`, chromedp.ByQuery), chromedp.SendKeys(`dialog input[name=handler]`, "shop.Orders", chromedp.ByQuery))
	if name := eval[string](b, `document.querySelector('dialog input[name=name]').value`); name != "orders" {
		t.Errorf("the form calls it %q", name)
	}
	b.do("deploy", click(`dialog button.primary`))
	b.shows("Ladder", "Active")
	if status, body := p.call("POST", "/cloudjit/v1/functions/orders/optimize", map[string]string{"rung": "native"}); status != http.StatusAccepted {
		t.Fatalf("optimize: got %d %s", status, body)
	}
	event := s.Requests[0].Event
	for range 20 { // a worker with the tracer takes some
		if status, body := p.call("POST", functions+"/orders/invocations", json.RawMessage(event)); status != http.StatusOK {
			t.Fatalf("invoke: got %d %s", status, body)
		}
	}
	p.await("/cloudjit/v1/builds", `"running"`)
	b.at("#/builds", "running")
	b.do("open the log", click(`button[aria-label^="Log of the build"]`), chromedp.WaitVisible(`dialog pre.log`, chromedp.ByQuery))
	b.shows("[1/8] Initializing as a stand-in does")
	if eval[bool](b, `document.body.innerText.includes('[8/8] Creating image')`) {
		t.Error("the log was not seen while it was written")
	}
	b.shows("[8/8] Creating image") // in the same dialog, without a click
	p.await("/cloudjit/v1/functions/orders/revisions/latest", `"to":"ready"`)
	// Workers of HotSpot are still there: with more calls at once than there are of these, one meets a binary.
	met := func() bool {
		_, body := p.call("GET", "/cloudjit/v1/deoptimizations", nil)
		return strings.Contains(body, "shop.Discount")
	}
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			for range 200 {
				if status, body := p.call("POST", functions+"/orders/invocations", json.RawMessage(event)); status != http.StatusOK || strings.Contains(body, "errorType") {
					t.Errorf("a call got %d %s", status, body)
				}
				if met() {
					return
				}
			}
		})
	}
	all.Wait()
	b.at("#/deoptimizations", "orders", "native", "Cannot reflectively access class 'shop.Discount'")
	b.check("deoptimizations")
	b.picture("deoptimizations")
}
