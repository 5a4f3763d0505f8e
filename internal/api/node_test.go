package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/api"
	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/node"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/fake"
)

type launcher struct{}

func (launcher) Launch(_ context.Context, l node.Launch) (worker.Spec, error) {
	return worker.Spec{ID: l.ID, Revision: l.Revision, Rung: l.Rung.Name, Limits: l.Limits}, nil
}

func (launcher) Recorded(ladder.Recording, string) (string, error) { return "", errors.New("nothing") }

func (launcher) Uses(worker.Worker, ladder.Rung, string) bool { return true }

// onNode runs the API on a real node whose workers answer with what run makes of their revision.
func onNode(t *testing.T, limits engine.NodeConfig, run func(context.Context, *function.Spec, *worker.Invocation) (*worker.Result, error)) *fixture {
	t.Helper()
	return onWorkers(t, limits, func(s worker.Spec) fake.Program {
		return fake.Program{Init: 2 * time.Millisecond, Handler: func(ctx context.Context, inv *worker.Invocation) (*worker.Result, error) {
			return run(ctx, s.Revision, inv)
		}}
	})
}

// webOnNode does the same for web functions; their clients have half a second for each part of a body.
func webOnNode(t *testing.T, app http.HandlerFunc) *fixture {
	t.Helper()
	return onWorkers(t, engine.NodeConfig{}, func(worker.Spec) fake.Program { return fake.Program{Web: app} },
		func(o *api.Options) { o.ClientTime = time.Second / 2 })
}

func onWorkers(t *testing.T, limits engine.NodeConfig, program func(worker.Spec) fake.Program, more ...func(*api.Options)) *fixture {
	t.Helper()
	return start(t, append(more, func(o *api.Options) {
		driver := fake.New(program)
		n, err := node.Open(t.Context(), node.Options{
			Driver: driver, Launcher: launcher{}, State: o.Store, Defaults: o.Policy, Limits: limits, Dir: t.TempDir(),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		})
		o.Platform = n
	})...)
}

// A client that hammers a function through updates, publications and moves of an alias sees right
// answers only, and never one of a version that was replaced before it asked.
func TestNoAnswerIsLostInUpdates(t *testing.T) {
	f := onNode(t, engine.NodeConfig{}, func(_ context.Context, s *function.Spec, _ *worker.Invocation) (*worker.Result, error) {
		return &worker.Result{Outcome: function.OutcomeOK, Payload: []byte(s.Environment["N1"])}, nil
	})
	f.create(t, "f", "any", "Environment", `{"Variables":{"N1":"0"}}`)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var clients sync.WaitGroup
	total := 0
	var mu sync.Mutex
	for range 4 {
		clients.Go(func() {
			last, n := 0, 0
			for ; ctx.Err() == nil; n++ {
				a := f.do(t, "POST", functions+"/f/invocations", "{}")
				var got int
				if err := json.Unmarshal([]byte(a.Body), &got); err != nil || a.Status != 200 || a.Header.Get("X-Amz-Function-Error") != "" {
					t.Errorf("got %d %s", a.Status, a.Body)
					return
				}
				if got < last {
					t.Errorf("answer %d after %d", got, last)
				}
				last = got
			}
			mu.Lock()
			defer mu.Unlock()
			total += n
		})
	}
	const updates = 15
	for i := 1; i <= updates; i++ {
		if a := f.do(t, "PUT", functions+"/f/configuration", fmt.Sprintf(`{"Environment":{"Variables":{"N1":"%d"}}}`, i)); a.Status != 200 {
			t.Fatalf("update: got %d %s", a.Status, a.Body)
		}
		f.awaitActive(t, "f")
		if a := f.do(t, "POST", functions+"/f/invocations", "{}"); a.Body != fmt.Sprint(i) {
			t.Errorf("after update %d was active: got %s", i, a.Body)
		}
	}
	stop()
	clients.Wait()
	t.Logf("%d answers during %d updates", total, updates)
}

func TestThrottlesOfTheNode(t *testing.T) {
	hold := make(chan struct{})
	f := onNode(t, engine.NodeConfig{Concurrency: 2}, func(ctx context.Context, _ *function.Spec, _ *worker.Invocation) (*worker.Result, error) {
		select {
		case <-hold:
		case <-ctx.Done():
		}
		return &worker.Result{Outcome: function.OutcomeOK, Payload: []byte("1")}, nil
	})
	f.create(t, "f", "any")
	f.create(t, "none", "any")
	if a := f.do(t, "PUT", "/2017-10-31/functions/none/concurrency", `{"ReservedConcurrentExecutions":0}`); a.Status != 200 {
		t.Fatalf("got %d %s", a.Status, a.Body)
	}
	throttled := func(name, reason string) bool {
		a := f.do(t, "POST", functions+"/"+name+"/invocations", "{}")
		return a.Status == http.StatusTooManyRequests && strings.Contains(a.Body, reason) && a.Header.Get("Retry-After") != ""
	}
	if !throttled("none", "ReservedFunctionConcurrentInvocationLimitExceeded") {
		t.Error("reserved concurrency 0: not throttled")
	}
	var clients sync.WaitGroup
	for range 2 {
		clients.Go(func() {
			if a := f.do(t, "POST", functions+"/f/invocations", "{}"); a.Status != 200 {
				t.Errorf("got %d %s", a.Status, a.Body)
			}
		})
	}
	await(t, func() bool {
		busy := 0
		for _, w := range f.workers(t) {
			if w.State == "busy" {
				busy++
			}
		}
		return busy == 2
	})
	if !throttled("f", `"Reason":"ConcurrentInvocationLimitExceeded"`) {
		t.Error("the node's concurrency: not throttled")
	}
	close(hold)
	clients.Wait()
}

func (f *fixture) workers(t *testing.T) []node.WorkerView {
	t.Helper()
	var out struct{ Workers []node.WorkerView }
	if err := json.Unmarshal([]byte(f.do(t, "GET", "/cloudjit/v1/workers", "").Body), &out); err != nil {
		t.Fatal(err)
	}
	return out.Workers
}

func TestTimeoutOnTheNode(t *testing.T) {
	f := onNode(t, engine.NodeConfig{}, func(ctx context.Context, _ *function.Spec, _ *worker.Invocation) (*worker.Result, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	f.create(t, "f", "any", "Timeout", "1")
	a := f.do(t, "POST", functions+"/f/invocations", "{}")
	if a.Status != 200 || a.Header.Get("X-Amz-Function-Error") != "Unhandled" || !strings.Contains(a.Body, "Task timed out after 1.00 seconds") {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
}
