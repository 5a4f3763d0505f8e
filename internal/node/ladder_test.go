package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/fake"
)

// caches makes "caches" of recordings that are files.
type caches struct {
	builder
	stale atomic.Bool
	unfit error // how it is found out
}

func (*caches) Name() string { return ladder.BuilderCache }

func (c *caches) Build(ctx context.Context, req *aot.Request) (*aot.Result, error) {
	if req.Same != "" {
		return &aot.Result{Key: req.Same, Dir: "/caches/" + string(req.Same), Cached: true}, nil
	}
	doc, err := os.ReadFile(req.Recording.File)
	if err != nil {
		return nil, &aot.Error{Class: aot.ClassMetadata, Reason: "no recording", Err: err}
	}
	own := *req
	own.Recording.Document = doc
	return c.builder.Build(ctx, &own)
}

// listing is a program whose recorders list their classes at their first invocation.
func listing(c *caches) func(worker.Spec) fake.Program {
	return func(s worker.Spec) fake.Program {
		p := rungs(s)
		if s.Rung == ladder.AOTCache && c.stale.Load() {
			p.StartErr = &worker.StartError{Phase: "runtime", Err: fmt.Errorf("another JDK: %w", c.unfit)}
		}
		if records(s) == ladder.RecordingClasses.String() {
			p.Handler = func(ctx context.Context, inv *worker.Invocation) (*worker.Result, error) {
				if err := os.WriteFile(filepath.Join(s.RecordDir, "recording"), []byte("a.B"), 0o600); err != nil {
					return nil, err
				}
				return echo(400*time.Millisecond)(ctx, inv)
			}
		}
		return p
	}
}

// TestLadder: within seconds of its first invocation a function's workers start from a cache; it outlives a
// restart; when it does not fit any more the first rung answers, and it is made again.
func TestLadder(t *testing.T) {
	for _, unfit := range []error{aot.ErrStale, worker.ErrNotRestored} {
		synctest.Test(t, func(t *testing.T) { climbs(t, unfit) })
	}
}

func climbs(t *testing.T, unfit error) {
	c := &caches{builder: builder{time: time.Second}, unfit: unfit}
	set := func(o *Options) { o.Builders, o.Policy = append(o.Builders, c), &policy.Ladder{} }
	w := open(t, &world{program: listing(c)}, set)
	defer func() { w.Close() }()
	id := w.deploy(t, "f", nil)
	if res := w.call(t, id, "x"); res.Rung != ladder.HotSpot || !res.Cold {
		t.Errorf("the first answer: %+v", res)
	}
	time.Sleep(10 * time.Second)
	if res := w.call(t, id, "x"); res.Rung != ladder.AOTCache || res.Cold {
		t.Errorf("ten seconds later: %+v, want the worker that checked the cache", res)
	}
	if files, _ := filepath.Glob(filepath.Join(w.opt.Dir, recordingFolder, "*")); len(files) != 0 {
		t.Errorf("recordings are left: %q", files)
	}
	dir := w.opt.Dir
	w.Close()

	w = open(t, &world{program: listing(c), state: w.state, builder: w.builder}, func(o *Options) { set(o); o.Dir = dir })
	if res := w.call(t, id, "x"); res.Rung != ladder.AOTCache || !res.Cold {
		t.Errorf("after a restart: %+v, want a cold start from the cache", res)
	}
	time.Sleep(time.Hour) // all workers expire

	c.stale.Store(true)
	if res := w.call(t, id, "x"); res.Rung != ladder.HotSpot || res.Outcome != function.OutcomeOK {
		t.Errorf("with a cache that does not fit: %+v, want an answer of the first rung", res)
	}
	v, _ := w.Revision(t.Context(), id)
	if v.Ladder[1].Falls != 1 {
		t.Errorf("a fall is not counted: %+v", v.Ladder[1])
	}
	c.stale.Store(false)
	time.Sleep(20 * time.Second)
	if res := w.call(t, id, "x"); res.Rung != ladder.AOTCache {
		t.Errorf("made again: %+v", res)
	}
}

// TestPrepare: with prepare deploy the cache is there before the first invocation, also when the server was
// restarted meanwhile; where it cannot be, the reason is said and the function serves.
func TestPrepare(t *testing.T) {
	for _, fails := range []bool{false, true} {
		t.Run(fmt.Sprintf("fails %t", fails), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &caches{builder: builder{time: 3 * time.Second}}
				if fails {
					c.fails = func(*aot.Request) error { return &aot.Error{Class: aot.ClassTool, Reason: "no space left"} }
				}
				program := func(s worker.Spec) fake.Program {
					if records(s) == ladder.RecordingClasses.String() {
						_ = os.WriteFile(filepath.Join(s.RecordDir, "recording"), []byte("a.B"), 0o600)
					}
					return rungs(s)
				}
				set := func(o *Options) {
					o.Builders, o.Policy = append(o.Builders, c), &policy.Ladder{}
					o.Defaults.Prepare = ptr(policy.PrepareDeploy)
				}
				w := open(t, &world{program: program}, set)
				id := w.deploy(t, "f", nil)
				time.Sleep(time.Second)
				dir := w.opt.Dir
				w.Close()
				w = open(t, &world{program: program, state: w.state, builder: w.builder}, func(o *Options) { set(o); o.Dir = dir })
				defer w.Close()
				began := time.Now()
				why := w.Prepare(t.Context(), id)
				took := time.Since(began)
				if (why != "") != fails || took < time.Second || took > time.Minute {
					t.Errorf("prepared after %s: %q", took, why)
				}
				res := w.call(t, id, "x")
				if want := map[bool]function.Rung{false: ladder.AOTCache, true: ladder.HotSpot}[fails]; res.Rung != want {
					t.Errorf("the first answer is of %s, want %s", res.Rung, want)
				}
			})
		})
	}
}

// TestTiersAreRead: what versions before the ladder stored is understood.
func TestTiersAreRead(t *testing.T) {
	const old = `{"state":{"stage":"native","phase":"queued"},"level":"quick","builtVersion":3,"version":4,"complete":true,
		"wanted":"optimized","failedVersion":0,"deopts":2,"buildFailures":0,"notBefore":0,"key":"k1"}`
	d, err := decode([]byte(old))
	if err != nil {
		t.Fatal(err)
	}
	native, optimized := d.Rung(ladder.Native), d.Rung(ladder.NativeOptimized)
	if native.Phase.String() != "ready" || native.Built != 3 || native.Falls != 2 || d.Keys[ladder.Native] != "k1" ||
		optimized.Phase.String() != "queued" || d.Recordings[ladder.RecordingMetadata].Version != 4 || !d.Legal() {
		t.Errorf("read as %+v", d)
	}
}
