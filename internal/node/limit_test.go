package node

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/machine"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/fake"
)

func TestCrowding(t *testing.T) {
	for _, c := range []struct {
		load  float64
		cores int
		want  float64
	}{{0, 2, 1}, {1.5, 2, 1}, {5, 2, 2.5}, {100, 2, 6}} {
		if got := crowding(c.load, c.cores); got != c.want {
			t.Errorf("load %g on %d cores: %g, want %g", c.load, c.cores, got, c.want)
		}
	}
	if load := machine.Load(); load <= 0 {
		t.Errorf("a load of %g while this runs", load)
	}
}

// TestStartsThatHang: four functions whose starts hang, called by eight each, keep no other function's cold start
// waiting; they fail after their time with the reason.
func TestStartsThatHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, &world{program: func(s worker.Spec) fake.Program {
			if s.Revision.Function == "ok" {
				return fake.Program{Runtime: 70 * time.Millisecond}
			}
			return fake.Program{Runtime: time.Hour}
		}}, func(o *Options) { o.Limits = engine.NodeConfig{Starts: 4} })
		defer w.Close()
		provided := func(s *function.Spec) { s.Kind = function.KindProvided }
		var calls sync.WaitGroup
		for _, name := range []function.Name{"a", "b", "c", "d"} {
			id := w.deploy(t, name, provided)
			for range 8 {
				calls.Go(func() {
					began := time.Now()
					res, err := w.Invoke(t.Context(), id, &worker.Invocation{Payload: []byte("x")})
					if d := time.Since(began); err != nil || res.Outcome != function.OutcomeInitError || d > 12*time.Second {
						t.Errorf("%s after %v: %+v, %v; want a failed initialization after ten seconds or so", name, d, res, err)
					} else if want := "not ready after 10s"; !strings.Contains(res.StartError, want) {
						t.Errorf("%s: %q, want %q", name, res.StartError, want)
					}
				})
			}
		}
		synctest.Wait()
		ok := w.deploy(t, "ok", provided)
		began := time.Now()
		w.call(t, ok, "x")
		if d := time.Since(began); d > 1100*time.Millisecond {
			t.Errorf("a cold start of 70 ms took %v while others hung", d)
		}
		calls.Wait()
	})
}

// TestWaitIsBounded: who finds all memory in use by calls that sleep is told so after his function's timeout, ten
// seconds at least.
func TestWaitIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, &world{program: func(worker.Spec) fake.Program { return fake.Program{Handler: echo(time.Minute)} }},
			func(o *Options) { o.Limits = engine.NodeConfig{MemoryMiB: 1024} })
		defer w.Close()
		id := w.deploy(t, "f", func(s *function.Spec) { s.Timeout = 90 * time.Second })
		other := w.deploy(t, "g", nil)
		var calls sync.WaitGroup
		for range 2 {
			calls.Go(func() { w.call(t, id, "x") })
		}
		synctest.Wait()
		began := time.Now()
		_, err := w.Invoke(t.Context(), other, &worker.Invocation{})
		var refused *RejectError
		if !errors.As(err, &refused) || refused.Reason != engine.ReasonWaited || time.Since(began) != 10*time.Second {
			t.Errorf("%v after %v, want a refusal after ten seconds", err, time.Since(began))
		}
		calls.Wait()
	})
}

// TestNoHTTPAnswer: an application that lives and does not answer with HTTP is told so.
func TestNoHTTPAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, &world{}, nil) // its workers know no HTTP
		defer w.Close()
		id := w.deploy(t, "f", func(s *function.Spec) { s.Kind = function.KindWeb })
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://f/", nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.RoundTrip(id, r)
		var failed *FunctionError
		if !errors.As(err, &failed) || failed.Result.Outcome != function.OutcomeHandlerError || !strings.Contains(string(failed.Result.Payload), "is no HTTP") {
			t.Errorf("got %v", err)
		}
	})
}
