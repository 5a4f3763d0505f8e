package server_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/toolchain"
	"github.com/cloudjit/cloudjit/internal/ziptest"
)

// python is the runtime of this machine's Python.
func python(t *testing.T) (runtime string) {
	t.Helper()
	for _, i := range toolchain.FindInterpreters(t.Context(), toolchain.InterpreterOptions{}) {
		if i.Kind == function.KindPython {
			runtime = i.Runtime
		}
	}
	if runtime == "" {
		t.Skip("SKIPPED: there is no Python here")
	}
	return runtime
}

// initializing says what it did before its first invocation, how often it was invoked, and what it draws.
const initializing = `import random, time
loaded = time.time_ns()
invoked = 0

def handler(event, context):
    global invoked
    invoked += 1
    return {"loaded": loaded, "invoked": invoked, "drawn": random.random()}
`

// TestFirstInvocationFromASnapshot: with prepare deploy, a function has been initialized and saved when it becomes active, so its
// first invocation is answered by a copy that loads nothing again, also by a server that was killed since. Copies have answered
// nothing, and draw other numbers.
func TestFirstInvocationFromASnapshot(t *testing.T) {
	runtime := python(t)
	o, _, tmp := newOptions(t)
	o.Cache = config.CacheDir() // where CRIU is
	o.Config.Policy.Prepare = "deploy"
	c := spawn(t, o, tmp)
	defer func() { _ = c.cmd.Process.Kill() }()
	c.create(t, "f", runtime, "app.handler", ziptest.Of(t, "app.py", initializing), map[string]any{"MemorySize": 128})
	rung := func() string {
		var rev struct {
			Pipeline struct{ Rung string }
		}
		if err := json.Unmarshal(c.must(t, "GET", "/cloudjit/v1/functions/f/revisions/latest", nil), &rev); err != nil {
			t.Fatal(err)
		}
		return rev.Pipeline.Rung
	}
	if got := rung(); got != "snapshot-deploy" {
		if body := string(c.must(t, "GET", "/cloudjit/v1/functions/f/revisions/latest", nil)); !strings.Contains(body, "snapshot-deploy") {
			t.Skip("CAPABILITY snapshot IS LACKING HERE")
		}
		t.Fatalf("it is active on %s", got)
	}
	c.must(t, "PUT", "/cloudjit/v1/functions/f/policy", map[string]any{"keepAlive": "0s"})
	type answer struct {
		Loaded  int64
		Invoked int
		Drawn   float64
	}
	var first answer
	ask := func() (a answer, head http.Header) {
		status, head, body, err := c.call("POST", functionsPath+"/f/invocations", map[string]int{})
		if err != nil || status != http.StatusOK || json.Unmarshal(body, &a) != nil {
			t.Fatalf("got %d %s, %v", status, body, err)
		}
		return a, head
	}
	for i := range 4 {
		if i == 2 {
			if err := c.end(syscall.SIGKILL); err == nil {
				t.Fatal("it was not killed")
			}
			c = spawn(t, o, tmp)
			until(t, "the snapshot is found again", func() bool { return rung() == "snapshot-deploy" })
		}
		got, head := ask()
		if head.Get("X-Cloudjit-Rung") != "snapshot-deploy" {
			t.Errorf("answer %d is of %s", i, head.Get("X-Cloudjit-Rung"))
		}
		if i == 0 {
			first = got
			continue
		}
		if got.Loaded != first.Loaded || got.Invoked != 1 || got.Drawn == first.Drawn {
			t.Errorf("answer %d is %+v after %+v: want the same load, one invocation, and another number", i, got, first)
		}
	}
}
