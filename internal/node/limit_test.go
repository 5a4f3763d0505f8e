package node

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
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

// emulating is a driver whose processor is emulated for functions that say so.
type emulating struct{ *fake.Driver }

func (e emulating) For(rev *function.Spec) (worker.Driver, error) {
	switch rev.Driver {
	case "slow":
		return slowDriver(e), nil
	case "gone":
		return nil, worker.ErrNoDriver
	}
	return e.Driver, nil
}

type slowDriver struct{ *fake.Driver }

func (slowDriver) Capabilities() worker.Capabilities {
	return worker.Capabilities{Emulated: true, Snapshot: true, OverheadMiB: 100}
}

// TestDriversOfFunctions: what a function's workers can, and how long they may take, goes by its own driver.
func TestDriversOfFunctions(t *testing.T) {
	w := open(t, &world{}, func(o *Options) { o.Driver = emulating{o.Driver.(*fake.Driver)} })
	defer w.Close()
	w.builders[ladder.BuilderSnapshot] = w.builder
	for driver, times := range map[string]time.Duration{"": 1, "slow": emulated, "gone": 1} {
		spec := &function.Spec{Kind: function.KindHandler, Driver: driver}
		if got, want := w.initTimeout(spec), w.opt.InitTimeout*times; got != want {
			t.Errorf("%q: a start may take %v, want %v", driver, got, want)
		}
		if got := w.slowly(spec, time.Second); (got > time.Second) != (driver == "slow") {
			t.Errorf("%q: an answer may take %v", driver, got)
		}
		l, err := w.ladderOf(spec)
		if err != nil {
			t.Fatal(err)
		}
		snapshots := slices.ContainsFunc(l.Rungs, func(r ladder.Rung) bool { return r.Artifact == ladder.ArtifactSnapshot })
		if snapshots != (driver == "slow") {
			t.Errorf("%q: its ladder has snapshots: %v", driver, snapshots)
		}
	}
	w.call(t, w.deploy(t, "plain", nil), "1")
	before := w.Counts().ReservedMiB
	id := w.deploy(t, "slow", func(s *function.Spec) { s.Driver = "slow" })
	w.call(t, id, "1")
	if got := w.Counts().ReservedMiB - before; got != 512+100 {
		t.Errorf("a worker of 512 MiB with a monitor reserves %d MiB", got)
	}
	if s, ok := w.Standing(id); !ok || s.MiB != 612 || s.Driver != "slow" {
		t.Errorf("other nodes are told %+v", s)
	}
}
