package snapshot

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/workertest"
)

// tablePage is what TestLibraryTable writes.
const tablePage = "../../../docs/library-table-languages.md"

// ends make a handler of a case, which sets answer.
var ends = map[function.Kind]string{
	function.KindPython: "\nimport json\ndef handler(event, context):\n    return {\"answer\": json.dumps(answer(), default=str)}\n",
	function.KindNode:   "\nexports.handler = async () => ({ answer: JSON.stringify(await answer()) });\n",
}

// TestLibraryTable calls a function with each of some 45 popular packages on both rungs, compares the answers, and writes the page:
//
//	CLOUDJIT_LANGUAGE_LIBRARIES=FOLDER go test -run LibraryTable -v -timeout 30m ./internal/aot/snapshot
//
// FOLDER holds python (pip install --target) and nodejs/node_modules (npm install); make language-library-table installs them.
// Without it a few are tried that the tests' own Python has.
func TestLibraryTable(t *testing.T) {
	folder := os.Getenv("CLOUDJIT_LANGUAGE_LIBRARIES")
	var page strings.Builder
	page.WriteString(`# Python and Node.js libraries on their rungs

A function with each package answers on a plain worker, and on two that were restored from a snapshot; the answers are compared.
Times are from a worker's start to its first answer, in milliseconds, once each. Written by ` + "`make language-library-table`" + `.

| | package | interpreter | snapshot | plain | restored |
|---|---|---|---|---|---|
`)
	for _, kind := range []function.Kind{function.KindPython, function.KindNode} {
		extension := map[function.Kind]string{function.KindPython: ".py", function.KindNode: ".js"}[kind]
		f := newLanguageFixture(t, kind, "draws"+extension, "")
		some := []string{"numpy"}
		if folder != "" {
			f.request.Paths.Code, some = filepath.Join(folder, kind.String()), nil
		} else if _, release := numpy(); release == "" || kind == function.KindNode {
			continue
		}
		b, err := os.ReadFile(filepath.Join("testdata/libraries", kind.String()+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range strings.Split("\n"+string(b), "\n== ")[1:] {
			name, body, _ := strings.Cut(text, "\n")
			if some != nil && !slices.Contains(some, name) {
				continue
			}
			module := "case_" + strings.NewReplacer("@", "", "/", "_", "-", "_").Replace(name)
			if kind == function.KindNode {
				body = "let answer;\n" + body
			}
			if err := os.WriteFile(filepath.Join(f.request.Paths.Code, module+extension), []byte(body+ends[kind]), 0o644); err != nil {
				t.Fatal(err)
			}
			workertest.Open(t, f.request.Paths.Code)
			f.request.Revision.Handler = module + ".handler"
			t.Run(kind.String()+"/"+name, func(t *testing.T) {
				fmt.Fprintf(&page, "| %s | %s | %s |\n", kind, name, strings.Join(f.library(t), " | "))
			})
		}
	}
	if folder != "" && !t.Failed() {
		if err := os.WriteFile(tablePage, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// library returns the cells of a row.
func (f *fixture) library(t *testing.T) []string {
	t.Helper()
	defer func(before testing.TB) { f.t = before }(f.t)
	f.t = t
	first := func(start func() (worker.Worker, error)) (string, time.Duration, error) {
		began := time.Now()
		w, err := start()
		if err != nil {
			return "", 0, err
		}
		answer := f.ask(w)["answer"]
		took := time.Since(began)
		return fmt.Sprint(answer), took, w.Stop(t.Context(), 0)
	}
	want, plain, err := first(f.plain)
	if err != nil {
		t.Errorf("plain: %v", err)
		return []string{"fails", "", "", ""}
	}
	if !json.Valid([]byte(want)) {
		t.Errorf("it answers %s", want)
	}
	made, err := f.build()
	if err != nil {
		t.Logf("no snapshot: %v", err)
		return []string{"answers", "none: " + strings.ReplaceAll(err.Error(), "|", "/"), fmt.Sprint(plain.Milliseconds()), ""}
	}
	var fastest time.Duration
	for range 2 {
		got, restored, err := first(func() (worker.Worker, error) { return f.restore(made.Dir) })
		if err != nil {
			t.Errorf("restored: %v", err)
			return []string{"answers", "fails", fmt.Sprint(plain.Milliseconds()), ""}
		}
		if got != want {
			t.Errorf("a copy answers %s, a plain worker %s", got, want)
		}
		fastest = cmp.Or(min(cmp.Or(fastest, restored), restored), restored)
	}
	return []string{"answers", "same", fmt.Sprint(plain.Milliseconds()), fmt.Sprint(fastest.Milliseconds())}
}
