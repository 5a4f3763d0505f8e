package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/fake"
)

// profiler makes binaries of profiles, and notes of which.
type profiler struct {
	builder
	mu   sync.Mutex
	with [][]string // contents of the profiles of each build
}

func (p *profiler) Build(ctx context.Context, req *aot.Request) (*aot.Result, error) {
	if req.Rung.Also != ladder.RecordingNone {
		var all []string
		for _, file := range req.Recording.Also {
			doc, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			all = append(all, string(doc))
		}
		p.mu.Lock()
		p.with = append(p.with, all)
		p.mu.Unlock()
	}
	return p.builder.Build(ctx, req)
}

// profiling is a program whose binaries write a profile at their end if they are to: their number, counted over all.
type profiling struct {
	mu    sync.Mutex
	fails bool // to write one
}

func (p *profiling) program(s worker.Spec) fake.Program {
	prog := rungs(s)
	prog.Handler = echo(20 * time.Millisecond)
	if records(s) == ladder.RecordingProfile.String() {
		prog.Handler = func(ctx context.Context, inv *worker.Invocation) (*worker.Result, error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			if !p.fails {
				if err := os.WriteFile(filepath.Join(s.RecordDir, "recording"), fmt.Appendf(nil, "profile of %s", s.ID), 0o600); err != nil {
					return nil, err
				}
			}
			return echo(60*time.Millisecond)(ctx, inv)
		}
	}
	return prog
}

// traffic invokes once a second.
func (w *world) traffic(t *testing.T, id function.RevisionID, n int) map[function.Rung]int {
	t.Helper()
	by := map[function.Rung]int{}
	for i := range n {
		res := w.call(t, id, fmt.Sprint(i))
		if res.Outcome != function.OutcomeOK {
			t.Errorf("invocation %d: %+v", i, res)
		}
		by[res.Rung]++
		time.Sleep(time.Second)
	}
	return by
}

// stands is the phase of a rung.
func (w *world) stands(t *testing.T, id function.RevisionID, rung function.Rung) string {
	t.Helper()
	v, _ := w.Revision(t.Context(), id)
	for _, r := range v.Ladder {
		if r.Rung == rung {
			return r.Phase.String()
		}
	}
	return "none"
}

// TestProfile walks a function up to a binary with a profile: the instrumented one serves ordinary traffic, through a restart; what
// it wrote is built with, serves, is kept through a deoptimization, and taken over by new code that is the same.
func TestProfile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, p := &profiler{builder: builder{time: 30 * time.Second, profiles: true}}, &profiling{}
		set := func(o *Options) { o.Builders = []aot.Builder{b} }
		w := open(t, &world{program: p.program}, set)
		defer func() { w.Close() }()
		id := w.deploy(t, "f", nil)
		w.call(t, id, "x")
		if err := w.Optimize(t.Context(), id, ladder.NativeInstrumented); !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "only record") {
			t.Errorf("a wish for the rung that records: %v", err)
		}
		if err := w.Optimize(t.Context(), id, ladder.NativeProfiled); err != nil {
			t.Fatal(err)
		}
		w.traffic(t, id, 10)
		time.Sleep(2 * time.Minute)
		if by := w.traffic(t, id, 20); by[ladder.NativeInstrumented] == 0 {
			t.Fatalf("served by %v, want some of the instrumented binary's", by)
		}
		dir := w.opt.Dir
		w.Close() // in the middle: the recorder has time to write what it has
		w = open(t, &world{program: p.program, state: w.state}, func(o *Options) { set(o); o.Dir = dir })
		by := w.traffic(t, id, 90)
		if by[ladder.NativeInstrumented] == 0 {
			t.Errorf("after a restart served by %v, want some of the instrumented binary's", by)
		}
		time.Sleep(3 * time.Minute)
		if phase := w.stands(t, id, ladder.NativeProfiled); phase != "ready" {
			t.Fatalf("the profiled binary is %s: %v", phase, w.state.history(id))
		}
		if phase := w.stands(t, id, ladder.NativeInstrumented); phase != "dropped" {
			t.Errorf("the instrumented binary is %s when it has done its part", phase)
		}
		if res := w.call(t, id, "x"); res.Rung != ladder.NativeProfiled {
			t.Errorf("served by %s", res.Rung)
		}
		if len(b.with) != 1 || len(b.with[0]) != 2 {
			t.Errorf("built with %q, want what the recorder before the restart wrote, too", b.with)
		}

		next := w.deploy(t, "f", func(s *function.Spec) { s.MemoryMiB = 256 })
		time.Sleep(3 * time.Minute)
		if phase := w.stands(t, next, ladder.NativeProfiled); phase != "ready" || len(b.with) != 2 || !slices.Equal(b.with[0], b.with[1]) {
			t.Errorf("with the same code the profiled binary is %s, built with %q", phase, b.with)
		}
		other := w.deploy(t, "f", func(s *function.Spec) { s.CodeSHA256 = "0ther" })
		time.Sleep(time.Minute)
		if phase := w.stands(t, other, ladder.NativeProfiled); phase != "absent" {
			t.Errorf("with other code it is %s", phase)
		}
		if files, _ := filepath.Glob(filepath.Join(dir, recordingFolder, string(other)+"*")); len(files) != 0 {
			t.Errorf("other code has %q", files)
		}
		time.Sleep(time.Hour)
		if files, _ := filepath.Glob(filepath.Join(dir, recordingFolder, string(id)+"*")); len(files) != 0 {
			t.Errorf("of a revision that is gone there is %q", files)
		}
	})
}

// TestNoProfile: nothing stands still where no profile comes, none is written, or the builder makes nothing of it; what serves
// goes on.
func TestNoProfile(t *testing.T) {
	for _, tt := range []struct {
		name string
		with func(*profiler, *profiling)
		n    int
		want string
	}{
		{"nobody invokes it", func(*profiler, *profiling) {}, 0, "absent"},
		{"none is written", func(_ *profiler, p *profiling) { p.fails = true }, 200, "absent"},
		{"none can be built with", func(b *profiler, _ *profiling) {
			b.fails = func(r *aot.Request) error {
				if r.Rung.Also == ladder.RecordingNone {
					return nil
				}
				return &aot.Error{Class: aot.ClassMetadata, Reason: "a profile is of no use"}
			}
		}, 200, "failed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, p := &profiler{builder: builder{time: 10 * time.Second, profiles: true}}, &profiling{}
				tt.with(b, p)
				w := open(t, &world{program: p.program}, func(o *Options) { o.Builders = []aot.Builder{b} })
				defer w.Close()
				id := w.deploy(t, "f", nil)
				w.call(t, id, "x")
				if err := w.Optimize(t.Context(), id, ladder.Native); err != nil {
					t.Fatal(err)
				}
				w.traffic(t, id, 30)
				if err := w.Optimize(t.Context(), id, ladder.NativeProfiled); err != nil {
					t.Fatal(err)
				}
				time.Sleep(30 * time.Second)
				w.traffic(t, id, tt.n)
				time.Sleep(2 * time.Minute)
				if phase := w.stands(t, id, ladder.NativeProfiled); phase != tt.want {
					t.Errorf("it is %s, want %s: %v", phase, tt.want, w.state.history(id))
				}
				if res := w.call(t, id, "x"); res.Outcome != function.OutcomeOK || res.Rung == ladder.NativeProfiled {
					t.Errorf("served as %+v", res)
				}
				if files, _ := filepath.Glob(filepath.Join(w.opt.Dir, recordingFolder, "*")); len(files) > keptFiles {
					t.Errorf("%d profiles are kept", len(files))
				}
			})
		})
	}
}

// TestNoProfilesHere: a node whose builder takes none has neither rung, and says why.
func TestNoProfilesHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, &world{}, nil)
		defer w.Close()
		id := w.deploy(t, "f", nil)
		v, _ := w.Revision(t.Context(), id)
		for _, r := range v.Ladder {
			if r.Rung == ladder.NativeProfiled || r.Rung == ladder.NativeInstrumented {
				t.Errorf("it has %s", r.Rung)
			}
		}
		if err := w.Optimize(t.Context(), id, ladder.NativeProfiled); !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "cloudjit doctor") {
			t.Errorf("a wish for what cannot be made here: %v", err)
		}
	})
}

// TestSlowerProfile: a binary with a profile that takes more CPU time for the function's own questions than the one below it
// does not serve, and says why; one that takes less does.
func TestSlowerProfile(t *testing.T) {
	for _, tt := range []struct {
		name string
		cpu  time.Duration // of the profiled binary for one answer; the other takes 20 ms
		want string
		says string
	}{
		{"slower", 30 * time.Millisecond, "failed", "it is slower: 30ms of CPU time for an answer, 20ms on native"},
		{"faster", 12 * time.Millisecond, "ready", "12ms of CPU time for an answer, 20ms on native"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, p := &profiler{builder: builder{time: 10 * time.Second, profiles: true}}, &profiling{}
				program := func(s worker.Spec) fake.Program {
					prog := p.program(s)
					took := 20 * time.Millisecond
					if s.Rung == ladder.NativeProfiled {
						took = tt.cpu
					}
					var cpu atomic.Int64
					answer := prog.Handler
					prog.Handler = func(ctx context.Context, inv *worker.Invocation) (*worker.Result, error) {
						cpu.Add(int64(took))
						return answer(ctx, inv)
					}
					prog.CPU = func() time.Duration { return time.Duration(cpu.Load()) }
					return prog
				}
				w := open(t, &world{program: program}, func(o *Options) { o.Builders = []aot.Builder{b}; sampled20(o) })
				defer w.Close()
				id := w.deploy(t, "f", nil)
				w.toNative(t, id, "1", "2", "3")
				if err := w.Optimize(t.Context(), id, ladder.NativeProfiled); err != nil {
					t.Fatal(err)
				}
				time.Sleep(30 * time.Second)
				w.traffic(t, id, 150)
				time.Sleep(20 * time.Second)
				if phase := w.stands(t, id, ladder.NativeProfiled); phase != tt.want {
					t.Errorf("it is %s, want %s: %v", phase, tt.want, w.state.history(id))
				}
				v, _ := w.Revision(t.Context(), id)
				for _, r := range v.Ladder {
					if r.Rung == ladder.NativeProfiled && (r.Check == nil || !strings.Contains(r.Check.Reason, tt.says)) {
						t.Errorf("its check is %+v, want %q", r.Check, tt.says)
					}
				}
			})
		})
	}
}
