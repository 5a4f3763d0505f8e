package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/fake"
)

// TestChaos lets everything go wrong at once: sandboxes that fail, workers that die idle or
// busy, binaries that meet missing elements, callers that go, updates and operators. Every
// answer that is OK is the right one, a deoptimization never reaches a caller, every
// invocation ends, nothing is left after a drain, and the recorded log replays.
func TestChaos(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { chaos(t, seed) })
		})
	}
}

func chaos(t *testing.T, seed uint64) {
	var mu sync.Mutex
	rnd := rand.New(rand.NewPCG(seed, 1))
	chance := func(percent int) bool { mu.Lock(); defer mu.Unlock(); return rnd.IntN(100) < percent }
	upTo := func(d time.Duration) time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return time.Duration(rnd.Int64N(int64(d)))
	}
	failures, failing := map[function.RevisionID]int{}, map[function.RevisionID]bool{} // of sandboxes
	rec := &recording{}
	rec.LogWriter, _ = engine.NewLogWriter(&rec.Buffer)
	w := open(t, &world{program: func(s worker.Spec) fake.Program {
		p := rungs(s)
		p.Stop = upTo(100 * time.Millisecond)
		// A sandbox that fails is tried again, but not for ever (engine: startAttempts): so until
		// a later one of the revision is up no other fails, or an invocation would be refused,
		// and rightly.
		id := s.Revision.ID
		mu.Lock()
		born, fail := failures[id], !failing[id] && rnd.IntN(100) < 5
		if fail {
			failures[id]++
			failing[id] = true
		}
		mu.Unlock()
		if fail {
			p.StartErr = &worker.StartError{Phase: "sandbox", Err: errors.New("no room")}
		} else if s.Rung != ladder.HotSpot && chance(5) {
			p.StartErr = &worker.StartError{Phase: "runtime", Exit: &worker.Exit{Code: 172, Stderr: missing}, Err: errors.New("exit 172")}
		}
		run := echo(upTo(500 * time.Millisecond))
		p.Handler = func(ctx context.Context, inv *worker.Invocation) (*worker.Result, error) {
			mu.Lock()
			if born == failures[id] { // started after the last failure, and up
				failing[id] = false
			}
			mu.Unlock()
			switch {
			case s.Rung != ladder.HotSpot && chance(2):
				return nil, &worker.ExitError{Exit: worker.Exit{Code: 172, Stderr: missing}}
			case chance(1):
				return nil, &worker.ExitError{Exit: worker.Exit{Code: 1}}
			}
			return run(ctx, inv)
		}
		return p
	}, builder: &builder{time: 5 * time.Second}}, func(o *Options) {
		o.Record = rec
		o.Limits = engine.NodeConfig{MemoryMiB: 5000, Starts: 4, TraceLimit: 50, Builders: 1}
	})
	defer w.Close()

	var outcomes [16]atomic.Int64
	var refused, gone atomic.Int64
	ids := make([]atomic.Pointer[function.RevisionID], 4)
	names := []function.Name{"a", "b", "c", "d"}
	patient := func(s *function.Spec) { s.Timeout = time.Minute } // the memory is short, and no wait too long here
	for i, name := range names {
		ids[i].Store(ptr(w.deploy(t, name, patient)))
	}
	var calls sync.WaitGroup
	for i := range 1500 {
		time.Sleep(upTo(100 * time.Millisecond))
		if chance(1) {
			time.Sleep(upTo(20 * time.Minute))
		}
		k := int(upTo(4))
		switch {
		case chance(1):
			ids[k].Store(ptr(w.deploy(t, names[k], patient)))
		case chance(1):
			_ = w.Deoptimize(t.Context(), *ids[k].Load())
		case chance(1):
			_ = w.Optimize(t.Context(), *ids[k].Load(), ladder.NativeOptimized)
		case chance(5):
			w.killIdle()
		}
		for j := range 1 + upTo(4) {
			calls.Go(func() {
				ctx := t.Context()
				if chance(3) {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, upTo(2*time.Second))
					defer cancel()
				}
				payload := fmt.Sprintf("%d.%d", i, j)
				res, err := w.Invoke(ctx, *ids[k].Load(), &worker.Invocation{RequestID: payload, Payload: []byte(payload)})
				switch {
				case err == nil:
					outcomes[res.Outcome].Add(1)
					if res.Outcome == function.OutcomeOK && string(res.Payload) != payload {
						t.Errorf("answer %q to %q", res.Payload, payload)
					}
					if res.Outcome == function.OutcomeDeoptimized {
						t.Errorf("a deoptimization reached the caller of %s", payload)
					}
				case ctx.Err() != nil:
					gone.Add(1)
				case errors.Is(err, ErrNotFound):
					gone.Add(1)
				default:
					refused.Add(1)
				}
			})
		}
	}
	calls.Wait()
	if err := w.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if s := w.Snapshot(); s.Workers != 0 || s.Waiting != 0 || s.Running != 0 || w.driver.Alive() != 0 {
		t.Errorf("left after a drain: %+v, %d workers alive", s, w.driver.Alive())
	}
	w.Close()
	r, err := engine.NewLogReader(bytes.NewReader(rec.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	steps, err := engine.Replay(r, &policy.Paper{})
	if err != nil {
		t.Error(err)
	}
	s := w.Snapshot()
	t.Logf("ok %d, crashed %d, out of time %d, init %d; gone %d, refused %d; %d steps, %d deoptimizations, %d builds",
		outcomes[function.OutcomeOK].Load(), outcomes[function.OutcomeCrashed].Load(), outcomes[function.OutcomeTimeout].Load(),
		outcomes[function.OutcomeInitError].Load(), gone.Load(), refused.Load(), steps, s.Deoptimizations, s.Builds)
	if ok := outcomes[function.OutcomeOK].Load(); ok < 2000 || s.Deoptimizations == 0 || s.Builds == 0 || refused.Load() > 0 {
		t.Errorf("%d ok, %d deoptimizations, %d builds, %d refused: not what this test wants to see", ok, s.Deoptimizations, s.Builds, refused.Load())
	}
}

// killIdle ends all workers that are idle, as the kernel might.
func (w *world) killIdle() {
	w.mu.Lock()
	var idle []*fake.Worker
	for _, in := range w.workers {
		if in != nil && in.ready && in.uses == 0 {
			idle = append(idle, in.worker.(*fake.Worker))
		}
	}
	w.mu.Unlock()
	for _, in := range idle {
		in.Kill(worker.Exit{Code: -1, Signal: "killed"})
	}
}
