package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/ziptest"
)

// remembering counts what it was asked, as programs do that keep lists and caches of their own.
const remembering = `asked = []

def handler(event, context):
    asked.append(event)
    return len(asked)
`

// TestNoCopyRemembers: before a worker is saved it answers what the function was asked before. Where its copies would show that,
// another one is saved that has answered nothing, and a copy answers as a new worker does.
func TestNoCopyRemembers(t *testing.T) {
	runtime := python(t)
	o, _, tmp := newOptions(t)
	o.Cache = config.CacheDir() // where CRIU is
	o.Config.Policy.Threshold = 1000
	c := spawn(t, o, tmp)
	defer func() { _ = c.cmd.Process.Kill() }()
	c.create(t, "list", runtime, "app.handler", ziptest.Of(t, "app.py", remembering), map[string]any{"MemorySize": 128})
	asked := 0
	ask := func() (answer string, head http.Header) {
		asked++
		status, head, body, err := c.call("POST", functionsPath+"/list/invocations", map[string]int{"id": asked})
		if err != nil || status != http.StatusOK {
			t.Fatalf("got %d %s, %v", status, body, err)
		}
		return string(body), head
	}
	for i := range 3 {
		if got, _ := ask(); got != fmt.Sprint(i+1) {
			t.Fatalf("answer %d is %s", i+1, got)
		}
	}
	type step struct{ Rung, To, Reason string }
	var rev struct {
		History  []step
		Pipeline struct{ Rung string }
	}
	if status, _, body, _ := c.call("POST", "/cloudjit/v1/functions/list/optimize", map[string]string{"rung": "snapshot"}); status >= 300 {
		t.Skipf("CAPABILITY snapshot IS LACKING HERE: %s", body)
	}
	until(t, "there is a snapshot", func() bool {
		if err := json.Unmarshal(c.must(t, "GET", "/cloudjit/v1/functions/list/revisions/latest", nil), &rev); err != nil {
			t.Fatal(err)
		}
		last := slices.IndexFunc(rev.History, func(s step) bool { return s.Rung == "snapshot" && s.To == "ready" })
		return rev.Pipeline.Rung == "snapshot" && last >= 0 // a step is stored a moment after it was made
	})
	var steps []string
	for _, s := range rev.History {
		if s.Rung == "snapshot" {
			steps = append(steps, s.To)
		}
		if s.To == "failed" && !strings.Contains(s.Reason, "of a worker that has answered nothing") {
			t.Errorf("it says %q", s.Reason)
		}
	}
	if got := strings.Join(steps, " "); !strings.HasSuffix(got, "queued building checking failed queued building checking ready") {
		t.Errorf("steps: %s", got)
	}
	c.must(t, "PUT", "/cloudjit/v1/functions/list/policy", map[string]any{"keepAlive": "0s"})
	until(t, "a copy answers", func() bool {
		answer, head := ask()
		if head.Get("X-Cloudjit-Cold") != "true" || head.Get("X-Cloudjit-Rung") != "snapshot" {
			return false
		}
		if answer != "1" {
			t.Errorf("a copy answers %s, want 1", answer)
		}
		return true
	})
}
