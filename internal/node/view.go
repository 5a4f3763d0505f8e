package node

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// WorkerView is one worker, for people.
type WorkerView struct {
	ID       string              `json:"id"`
	Function function.Name       `json:"function"`
	Revision function.RevisionID `json:"revision"`
	Version  string              `json:"version"`
	Tier     function.Tier       `json:"tier"`
	// State is starting, idle, busy or draining.
	State       string        `json:"state"`
	StartedAt   time.Time     `json:"startedAt"`
	Invocations int64         `json:"invocations"`
	Memory      worker.Memory `json:"memory"`
	Phases      worker.Phases `json:"phases"`
}

// Workers lists all workers now, by function and age. It measures their memory.
func (n *Node) Workers(ctx context.Context) []WorkerView {
	var views []WorkerView
	var live []*instance
	n.mu.Lock()
	for _, w := range n.workers {
		if w == nil {
			continue
		}
		v := WorkerView{
			ID: w.name, Function: w.rev.fn.name, Revision: w.rev.spec.ID, Version: w.rev.spec.Version,
			Tier: w.tier, State: w.state(), StartedAt: w.began, Invocations: w.served,
		}
		if w.ready {
			v.Phases = w.worker.Phases()
		}
		views, live = append(views, v), append(live, w)
	}
	n.mu.Unlock()
	for i, w := range live {
		if views[i].State == "starting" {
			continue
		}
		if m, err := w.worker.Memory(ctx); err == nil {
			views[i].Memory = m
		}
	}
	slices.SortFunc(views, func(a, b WorkerView) int {
		return strings.Compare(string(a.Function)+a.ID, string(b.Function)+b.ID)
	})
	return views
}

// state is a word for people. The caller holds the node's mutex.
func (w *instance) state() string {
	switch {
	case !w.ready:
		return "starting"
	case w.why != engine.ReasonNone:
		return "draining"
	case w.uses > 0:
		return "busy"
	}
	return "idle"
}

// RevisionView is where a revision stands in its pipeline.
type RevisionView struct {
	// Tier is how a new worker of the revision runs.
	Tier function.Tier `json:"tier"`
	// Stage and Phase are the pipeline's state: hotspot-agent, hotspot, native, direct; idle,
	// queued, building, checking.
	Stage string `json:"stage"`
	Phase string `json:"phase"`
	// Level is how far the binary in use is optimized; left out if there is none.
	Level function.Level `json:"level,omitempty"`
	// Reason is why it is there; Since when.
	Reason string     `json:"reason,omitempty"`
	Since  *time.Time `json:"since,omitempty"`
	// NotBefore is when it may be built again, after failures or deoptimizations.
	NotBefore *time.Time `json:"notBefore,omitempty"`

	Invocations      int64 `json:"invocations"`
	ColdStarts       int64 `json:"coldStarts"`
	ColdInWindow     int   `json:"coldInWindow"`
	Deoptimizations  int   `json:"deoptimizations"`
	Queued           int   `json:"queued"`
	Workers          int   `json:"workers"`
	MetadataComplete bool  `json:"metadataComplete"`
}

// Revision says where a revision stands; false if the node does not serve it.
func (n *Node) Revision(_ context.Context, id function.RevisionID) (RevisionView, bool) {
	rev, ok := n.lookup(id)
	if !ok {
		return RevisionView{}, false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	saved, ok := n.engine.Saved(rev.id)
	if !ok {
		return RevisionView{}, false
	}
	c := n.engine.RevisionCounts(rev.id)
	v := RevisionView{
		Tier: c.Tier, Stage: saved.State.Stage.String(), Phase: saved.State.Phase.String(), Reason: rev.reason,
		Invocations: int64(c.Invocations), ColdStarts: int64(c.ColdStarts),
		ColdInWindow: n.engine.ColdStarts(n.now(), rev.fn.id), Deoptimizations: int(saved.Deopts),
		Queued: int(c.Waiting), Workers: int(c.Workers), MetadataComplete: saved.Complete,
	}
	if saved.State.Stage == pipeline.StageNative {
		v.Level = saved.Level
	}
	if !rev.since.IsZero() {
		v.Since = &rev.since
	}
	if saved.NotBefore > n.now() {
		at := time.Unix(0, saved.NotBefore).UTC()
		v.NotBefore = &at
	}
	return v, true
}

// Optimize builds a binary now, whatever the policy says, or as soon as there is metadata.
func (n *Node) Optimize(_ context.Context, id function.RevisionID, level function.Level) error {
	if level == function.LevelNone {
		level = function.LevelQuick
	}
	return n.operate(id, "optimize", engine.Event{Kind: engine.EventOptimize, Level: level})
}

// Deoptimize sends a revision back to its first stage.
func (n *Node) Deoptimize(_ context.Context, id function.RevisionID) error {
	return n.operate(id, "deoptimize", engine.Event{Kind: engine.EventDeoptimize})
}

func (n *Node) operate(id function.RevisionID, what string, ev engine.Event) error {
	rev, ok := n.lookup(id)
	if !ok {
		return fmt.Errorf("%s %s: %w", what, id, ErrNotFound)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	saved, known := n.engine.Saved(rev.id)
	switch {
	case n.closed:
		return ErrDraining
	case !known || rev.gone:
		return fmt.Errorf("%s %s: %w", what, id, ErrNotFound)
	case saved.State.Stage == pipeline.StageDirect:
		return fmt.Errorf("%s %s: %w: a provided runtime has nothing to optimize", what, id, ErrConflict)
	case rev.fn.config.NoOptimize && ev.Kind == engine.EventOptimize:
		return fmt.Errorf("%s %s: %w: optimization of the function is turned off", what, id, ErrConflict)
	case n.opt.Builder == nil && ev.Kind == engine.EventOptimize:
		return fmt.Errorf("%s %s: %w: this node has no builder (\"cloudjit doctor\" says why)", what, id, ErrConflict)
	case ev.Kind == engine.EventOptimize && saved.Level >= ev.Level:
		return fmt.Errorf("%s %s: %w: it has a binary of level %s", what, id, ErrConflict, saved.Level)
	}
	ev.Revision = rev.id
	n.step(ev)
	return nil
}

// Snapshot is the node in numbers.
type Snapshot struct {
	engine.Counts
	// WorkersBy counts workers by tier and state.
	WorkersBy map[function.Tier]map[string]int
	// RevisionsBy counts revisions by pipeline state.
	RevisionsBy map[string]int
	// Since the start.
	Invocations, ColdStarts, Rejections, Deoptimizations, Builds, BuildFailures int64
}

// Snapshot counts what is there now.
func (n *Node) Snapshot() Snapshot {
	s := Snapshot{
		WorkersBy: map[function.Tier]map[string]int{}, RevisionsBy: map[string]int{},
		Invocations: n.totals.invocations.Load(), ColdStarts: n.totals.coldStarts.Load(), Rejections: n.totals.rejections.Load(),
		Deoptimizations: n.totals.deopts.Load(), Builds: n.totals.builds.Load(), BuildFailures: n.totals.buildFailures.Load(),
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	s.Counts = n.engine.Counts()
	for _, w := range n.workers {
		if w == nil {
			continue
		}
		if s.WorkersBy[w.tier] == nil {
			s.WorkersBy[w.tier] = map[string]int{}
		}
		s.WorkersBy[w.tier][w.state()]++
	}
	for _, r := range n.revs {
		if r == nil {
			continue
		}
		if saved, ok := n.engine.Saved(r.id); ok {
			s.RevisionsBy[saved.State.String()]++
		}
	}
	return s
}
