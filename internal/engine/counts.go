package engine

import (
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/placement"
	"github.com/cloudjit/cloudjit/internal/policy"
)

// Saved is the pipeline state of a revision to persist; false if there is no such revision. It is
// the caller's.
func (e *Engine) Saved(rev RevisionID) (pipeline.Saved, bool) {
	r := e.revision(rev)
	if r == nil {
		return pipeline.Saved{}, false
	}
	s := pipeline.Saved{Preparing: r.preparing, Samples: r.samples}
	for x := range r.recordings {
		s.Recordings[x] = r.recordings[x].Recording
	}
	for id := 1; id < len(r.rungs); id++ {
		s.Rungs = append(s.Rungs, r.rungs[id].Rung)
	}
	return s, true
}

// Wanted reports whether a build of a rung was decided on and waits for a recording, for back-off or
// for its turn.
func (e *Engine) Wanted(rev RevisionID, rung ladder.ID) bool {
	r := e.revision(rev)
	return r != nil && int(rung) < len(r.rungs) && r.rungs[rung].wanted
}

// Figures are what the engine knows and expects of a rung of a revision; zero if there is none.
func (e *Engine) Figures(rev RevisionID, rung ladder.ID) policy.RungView {
	r := e.revision(rev)
	if r == nil || int(rung) >= len(r.views) {
		return policy.RungView{}
	}
	return r.views[rung]
}

// ColdStarts is how many of the last cold starts of a function were inside its window, up to
// one more than its threshold.
func (e *Engine) ColdStarts(now int64, f FunctionID) int {
	if uint(f) >= uint(len(e.functions)) {
		return 0
	}
	fn := &e.functions[f]
	return fn.recent.Count(now, fn.config.Params.Window)
}

// Counts is what a node has now.
type Counts struct {
	Waiting, Running            int32 // invocations
	Workers, Starting           int
	ReservedMiB, BudgetMiB      int64
	IdleMiB                     int64 // part of ReservedMiB: of workers that are idle
	BuildsRunning, BuildsQueued int
	ArtifactMB                  float64 // of all artifacts that are ready
}

// Node is how a machine with so many cores stands by these numbers: Load, FreeMiB and LargestMiB of placement.Node.
func (c *Counts) Node(cores float64) placement.Node {
	n := placement.Node{
		Load:    placement.Load(c.ReservedMiB-c.IdleMiB, c.BudgetMiB, c.Waiting+c.Running, cores),
		FreeMiB: placement.Unlimited, LargestMiB: placement.Unlimited,
	}
	if c.BudgetMiB > 0 {
		n.FreeMiB = int32(min(max(c.BudgetMiB-c.ReservedMiB, 0), placement.Unlimited))
		n.LargestMiB = int32(min(c.BudgetMiB, placement.Unlimited))
	}
	return n
}

// Counts returns the engine's present numbers.
func (e *Engine) Counts() Counts {
	return Counts{
		Waiting: e.waiting, Running: e.inflight - e.waiting,
		Workers: e.pool.Workers(), Starting: e.pool.Starting(),
		ReservedMiB: e.pool.Reserved(), BudgetMiB: e.pool.Budget(), IdleMiB: e.pool.IdleMiB(),
		BuildsRunning: int(e.building[heavy] + e.building[light]), BuildsQueued: len(e.builds),
		ArtifactMB: e.disk,
	}
}

// RevisionCounts is what a revision has now.
type RevisionCounts struct {
	// Rung and Recording are how a worker that starts now runs.
	Rung                             ladder.ID
	Recording                        ladder.Recording
	Waiting, Idle, Starting, Workers int32
	Invocations, ColdStarts          uint64
}

// RevisionCounts returns the present numbers of a revision; zero if there is none.
func (e *Engine) RevisionCounts(rev RevisionID) RevisionCounts {
	r := e.revision(rev)
	if r == nil {
		return RevisionCounts{}
	}
	g := e.group(r)
	rung, recording := e.place(r)
	return RevisionCounts{
		Rung: rung, Recording: recording,
		Waiting: r.queue.n + r.retries.n, Idle: e.pool.Idles(g), Starting: e.pool.InStart(g), Workers: e.pool.Live(g),
		Invocations: r.invocations, ColdStarts: r.colds,
	}
}
