package node

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/store"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/fake"
)

const grace = 100 * time.Millisecond

// pausing has workers that record nothing.
func pausing(o *Options) { o.PauseAfter, o.Defaults.Optimize = grace, ptr(false) }

// TestIdleWorkersArePaused: after the grace, not before, and never under an invocation (the fake driver would
// not have it).
func TestIdleWorkersArePaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, &world{program: func(worker.Spec) fake.Program {
			return fake.Program{Handler: echo(30 * time.Millisecond)}
		}}, pausing)
		id := w.deploy(t, "f", nil)
		want := func(paused int, when string) {
			t.Helper()
			synctest.Wait()
			if got := w.driver.Paused(); got != paused || w.driver.Alive() != 1 {
				t.Errorf("%s: %d of %d workers are paused, want %d of 1", when, got, w.driver.Alive(), paused)
			}
		}
		for range 50 { // longer than the grace in all, each within it
			w.call(t, id, "x")
			want(0, "right after an invocation")
			time.Sleep(grace - time.Millisecond)
			want(0, "just before the grace ends")
		}
		w.call(t, id, "x")
		time.Sleep(grace + time.Millisecond)
		want(1, "after the grace")
		if v := w.Workers(context.Background()); len(v) != 1 || !v[0].Paused || v[0].State != "idle" {
			t.Errorf("got %+v", v)
		}
		w.call(t, id, "y")
		want(0, "right after an invocation that resumed it")
		time.Sleep(time.Hour)
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestPauseIsASetting: of a function's policy, at once.
func TestPauseIsASetting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, &world{}, pausing)
		id := w.deploy(t, "f", nil)
		w.call(t, id, "x")
		set := func(pause bool) {
			w.state.mu.Lock()
			f := *w.state.functions["f"]
			f.Policy = &store.Policy{Pause: ptr(pause)}
			w.state.functions["f"] = &f
			w.state.mu.Unlock()
			if err := w.Sync(context.Background(), "f"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * grace)
			synctest.Wait()
		}
		for _, pause := range []bool{true, false, true, false} {
			if set(pause); (w.driver.Paused() == 1) != pause {
				t.Errorf("with pause %v: %d workers are paused", pause, w.driver.Paused())
			}
			w.call(t, id, "x")
			time.Sleep(2 * grace)
			synctest.Wait()
			if (w.driver.Paused() == 1) != pause {
				t.Errorf("with pause %v, after an invocation: %d workers are paused", pause, w.driver.Paused())
			}
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestWebWorkersArePaused: not while a request is under way, and one that is streamed is until its body is closed.
func TestWebWorkersArePaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, &world{program: func(worker.Spec) fake.Program {
			return fake.Program{Web: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { rw.WriteHeader(http.StatusTeapot) })}
		}}, pausing)
		id := w.deploy(t, "f", func(s *function.Spec) { s.Kind, s.Concurrency = function.KindWeb, 4 })
		for range 3 {
			req, _ := http.NewRequest(http.MethodPost, "http://f/", strings.NewReader("x"))
			res, err := w.RoundTrip(id, req)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * grace)
			synctest.Wait()
			if n := w.driver.Paused(); n != 0 {
				t.Error("paused under a request")
			}
			res.Body.Close()
			time.Sleep(2 * grace)
			synctest.Wait()
			if n := w.driver.Paused(); n != 1 {
				t.Error("not paused after the request")
			}
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestRecordersRunOn: what a tracer found comes a moment after the invocation.
func TestRecordersRunOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, &world{program: rungs}, func(o *Options) { o.PauseAfter = grace })
		id := w.deploy(t, "f", nil)
		w.call(t, id, "x")
		time.Sleep(recordPause / 2)
		if v := w.Workers(context.Background()); len(v) != 1 || v[0].Recording != ladder.RecordingMetadata || v[0].Paused {
			t.Errorf("got %+v, want a recorder that is not paused before it can have written what it found", v)
		}
		time.Sleep(recordPause)
		if v := w.Workers(context.Background()); len(v) != 1 || !v[0].Paused {
			t.Errorf("got %+v, want one that is paused", v)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestUseIsCounted: CPU time, for each worker and for the revision beyond their ends.
func TestUseIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var took atomic.Int64
		w := open(t, &world{program: func(worker.Spec) fake.Program {
			return fake.Program{CPU: func() time.Duration { return time.Duration(took.Load()) }}
		}}, pausing)
		id := w.deploy(t, "f", nil)
		took.Store(int64(2 * time.Second))
		w.call(t, id, "x")
		took.Store(int64(3 * time.Second))
		time.Sleep(2 * grace)
		synctest.Wait()
		want := func(seconds float64) {
			t.Helper()
			if v, ok := w.Revision(context.Background(), id); !ok || v.CPUSeconds != seconds {
				t.Errorf("got %v s, want %v", v.CPUSeconds, seconds)
			}
		}
		want(3)
		took.Store(int64(4 * time.Second))
		if v := w.Workers(context.Background()); len(v) != 1 || v[0].CPUSeconds != 4 {
			t.Errorf("got %+v", v)
		}
		took.Store(int64(5 * time.Second))
		time.Sleep(11 * time.Minute) // its keep-alive
		synctest.Wait()
		if n := w.driver.Alive(); n != 0 {
			t.Fatalf("%d workers", n)
		}
		want(5)
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestIdleWorkersAreMeasured: what a worker uses that was paused is known before it ends, from its next invocation on.
func TestIdleWorkersAreMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, &world{program: func(worker.Spec) fake.Program {
			return fake.Program{Handler: echo(30 * time.Millisecond), Memory: worker.Memory{PSS: 123e6}}
		}}, pausing)
		id := w.deploy(t, "f", nil)
		for i := range 3 {
			w.call(t, id, "x")
			v, _ := w.Revision(context.Background(), id)
			if got := v.Ladder[0].MemoryMB; (got == 123) != (i == 2) {
				t.Errorf("after %d invocations: %v MB", i+1, got)
			}
			if i == 0 {
				time.Sleep(grace / 2) // too soon: it is not idle
			} else {
				time.Sleep(2 * grace)
			}
			synctest.Wait()
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
}
