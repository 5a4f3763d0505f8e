package node

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/metadata"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/fake"
)

// TestOneDeoptimizationTeachesAll: a binary ends at the first element that it lacks and names no
// other; but its invocation runs again under the tracer, which sees all that it uses. So the
// next build has all, and does not find them one by one.
func TestOneDeoptimizationTeachesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rare := []string{"a.One", "a.Two", "a.Three"}
		var mu sync.Mutex
		seen := []string{"a.B"} // by the tracer
		b := &builder{time: 30 * time.Second}
		w := open(t, &world{builder: b, program: func(s worker.Spec) fake.Program {
			p := rungs(s)
			run := p.Handler
			p.Handler = func(ctx context.Context, inv *worker.Invocation) (*worker.Result, error) {
				if string(inv.Payload) == "rare" && s.Rung != ladder.HotSpot {
					b.mu.Lock()
					has := string(b.made[keyOf(s)])
					b.mu.Unlock()
					for _, name := range rare {
						if !strings.Contains(has, name) {
							return nil, &worker.ExitError{Exit: worker.Exit{Code: function.ExitMissingMetadata, Stderr: strings.ReplaceAll(missing, "a.Unseen", name)}}
						}
					}
				}
				if string(inv.Payload) == "rare" && records(s) == "metadata" {
					mu.Lock()
					seen = append(seen, rare...)
					mu.Unlock()
				}
				return run(ctx, inv)
			}
			if records(s) == "metadata" {
				p.Trace = func() []byte {
					mu.Lock()
					defer mu.Unlock()
					var types []string
					for _, name := range seen {
						types = append(types, fmt.Sprintf("{\"type\": %q}", name))
					}
					return []byte(`{"reflection": [` + strings.Join(types, ",") + `]}`)
				}
			}
			return p
		}}, nil)
		defer w.Close()
		id := w.deploy(t, "hello", nil)
		native := func() {
			t.Helper()
			for range 20 {
				w.burst(t, id, 5)
				time.Sleep(11 * time.Minute) // all workers expire
				if v, _ := w.Revision(t.Context(), id); v.Rung != ladder.HotSpot {
					return
				}
			}
			t.Fatal("it does not become native")
		}
		native()
		if res := w.call(t, id, "rare"); res.Rung != ladder.HotSpot || res.Outcome != function.OutcomeOK {
			t.Errorf("the invocation that deoptimized: %+v", res)
		}
		native()
		if res := w.call(t, id, "rare"); res.Rung == ladder.HotSpot || res.Outcome != function.OutcomeOK {
			t.Errorf("the same invocation later: %+v", res)
		}
		if v, _ := w.Revision(t.Context(), id); v.Deoptimizations != 1 {
			t.Errorf("%d deoptimizations for three elements, want 1", v.Deoptimizations)
		}
		if err := w.Drain(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestStartThatFailsTeachesAll: a binary that lacks several elements at its start is surveyed, and the
// second build has them all. Frameworks look up other things in an image than on HotSpot, so no
// trace has them.
func TestStartThatFailsTeachesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lacks := []string{"a.One", "a.Two", "a.Three"}
		b := &builder{time: 30 * time.Second}
		surveys := 0
		w := open(t, &world{builder: b, program: func(s worker.Spec) fake.Program {
			p := rungs(s)
			if s.Rung == ladder.HotSpot {
				return p
			}
			b.mu.Lock()
			has := string(b.made[keyOf(s)])
			b.mu.Unlock()
			survey := len(s.Args) > 1
			if survey {
				surveys++
			}
			for _, name := range lacks {
				hint := strings.ReplaceAll(missing, "a.Unseen", name)
				switch {
				case strings.Contains(has, name):
				case survey:
					fmt.Fprintln(s.Output, hint)
				default:
					p.StartErr = &worker.StartError{Phase: "init", Err: errors.New("exit status 172"), Exit: &worker.Exit{Code: function.ExitMissingMetadata, Stderr: hint}}
					return p
				}
			}
			return p
		}}, nil)
		defer w.Close()
		id := w.deploy(t, "hello", nil)
		for range 20 {
			w.burst(t, id, 5)
			time.Sleep(11 * time.Minute)
		}
		if v, _ := w.Revision(t.Context(), id); v.Rung == ladder.HotSpot || v.Deoptimizations != 1 {
			t.Errorf("got %+v, want native after one deoptimization", v)
		}
		if b.runs != 2 || surveys != 1 {
			t.Errorf("%d builds and %d surveys, want 2 and 1", b.runs, surveys)
		}
		if err := w.Drain(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// keyOf is the build whose binary a worker runs.
func keyOf(s worker.Spec) aot.Key { return aot.Key(path.Base(s.Args[0])) }

// TestNeverAgain: a function that needs what no binary can do is told so once. Nothing is recorded or built for a
// binary again: not after a restart, not for a new configuration of the same code, and not on request.
func TestNeverAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const defines = "Classes cannot be defined at runtime by default when using ahead-of-time compilation"
		program := func(s worker.Spec) fake.Program {
			p := rungs(s)
			run := p.Handler
			p.Handler = func(ctx context.Context, inv *worker.Invocation) (*worker.Result, error) {
				if string(inv.Payload) == "defines" && s.Rung != ladder.HotSpot {
					fmt.Fprintf(s.Output, "%sunsupported] %s\n   at a.B.c(B.java:1)\n", metadata.LackMark, defines)
					return nil, &worker.ExitError{Exit: worker.Exit{Code: function.ExitMissingMetadata}}
				}
				return run(ctx, inv)
			}
			return p
		}
		b := &builder{time: 30 * time.Second}
		w := open(t, &world{builder: b, program: program}, nil)
		defer func() { w.Close() }()
		id := w.deploy(t, "hello", nil)
		used := func(id function.RevisionID) function.Rung {
			for range 10 {
				w.burst(t, id, 5)
				time.Sleep(11 * time.Minute) // all workers expire
			}
			v, _ := w.Revision(t.Context(), id)
			return v.Rung
		}
		if rung := used(id); rung == ladder.HotSpot {
			t.Fatal("it does not become native")
		}
		if res := w.call(t, id, "defines"); res.Rung != ladder.HotSpot || res.Outcome != function.OutcomeOK {
			t.Errorf("the invocation that ended the binary: %+v", res)
		}
		runs, versions := b.runs, len(w.state.metadata[id])
		stays := func(when string, id function.RevisionID) {
			t.Helper()
			if rung := used(id); rung != ladder.HotSpot || b.runs != runs {
				t.Errorf("%s: on %s after %d more builds", when, rung, b.runs-runs)
			}
			v, _ := w.Revision(t.Context(), id)
			if native := v.Ladder[len(v.Ladder)-1]; !native.Never || native.Wanted || native.Reason == "" {
				t.Errorf("%s: %+v", when, native)
			}
			if err := w.Optimize(t.Context(), id, ""); !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "no binary can do") && !strings.Contains(err.Error(), defines) {
				t.Errorf("%s, asked for: %v", when, err)
			}
		}
		stays("at once", id)
		if got := len(w.state.metadata[id]); got != versions {
			t.Errorf("%d versions of metadata, want the %d of before", got, versions)
		}
		dir := w.opt.Dir
		w.Close()
		w = open(t, &world{program: program, state: w.state, builder: b}, func(o *Options) { o.Dir = dir })
		stays("after a restart", id)
		next := w.deploy(t, "hello", func(s *function.Spec) { s.MemoryMiB = 1024 })
		stays("with another configuration", next)
		other := w.deploy(t, "hello", func(s *function.Spec) { s.CodeSHA256 = "0ther" })
		if rung := used(other); rung == ladder.HotSpot {
			t.Error("new code does not become native")
		}
	})
}
