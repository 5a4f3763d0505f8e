package node

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/store"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// WorkerView is one worker, for people.
type WorkerView struct {
	ID string `json:"id"`
	// Node is where it runs, of several nodes.
	Node     string              `json:"node,omitempty"`
	Function function.Name       `json:"function"`
	Revision function.RevisionID `json:"revision"`
	Version  string              `json:"version"`
	Rung     function.Rung       `json:"rung"`
	// Recording is what the worker records; left out if it does not.
	Recording ladder.Recording `json:"recording,omitempty"`
	// State is starting, checking (its artifact is compared before it starts), idle, busy or draining.
	State string `json:"state"`
	// Paused: it is idle and kept from running.
	Paused      bool      `json:"paused,omitempty"`
	StartedAt   time.Time `json:"startedAt"`
	Invocations int64     `json:"invocations"`
	// CPUSeconds is the CPU time that it took, its start included.
	CPUSeconds float64 `json:"cpuSeconds"`
	// OutputDropped is how many bytes of its output were dropped because it wrote too much.
	OutputDropped int64         `json:"outputDropped,omitempty"`
	Memory        worker.Memory `json:"memory"`
	Phases        worker.Phases `json:"phases"`
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
			Rung: w.row.Name, Recording: w.recording, State: w.state(), StartedAt: w.began, Invocations: w.served,
		}
		var running *instance // one that compares first, or starts, has no worker yet
		if w.ready {
			v.Phases, running = w.worker.Phases(), w
		}
		views, live = append(views, v), append(live, running)
	}
	n.mu.Unlock()
	for i, w := range live {
		if w == nil {
			continue
		}
		if m, err := w.worker.Memory(ctx); err == nil {
			views[i].Memory = m
		}
		n.account(w)
		cpu, dropped := w.usage.sum()
		views[i].CPUSeconds, views[i].OutputDropped, views[i].Paused = cpu.Seconds(), dropped, w.idle.isPaused()
	}
	slices.SortFunc(views, func(a, b WorkerView) int {
		return strings.Compare(string(a.Function)+a.ID, string(b.Function)+b.ID)
	})
	return views
}

// state is a word for people. The caller holds the node's mutex.
func (w *instance) state() string {
	switch {
	case !w.ready && w.compare:
		return "checking"
	case !w.ready:
		return "starting"
	case w.why != engine.ReasonNone:
		return "draining"
	case w.uses > 0:
		return "busy"
	}
	return "idle"
}

// RevisionView is where a revision stands on its ladder.
type RevisionView struct {
	// Rung and Recording are how a worker that starts now runs.
	Rung      function.Rung    `json:"rung"`
	Recording ladder.Recording `json:"recording,omitempty"`
	// Ladder has all rungs, the lowest first; Recordings those that were begun.
	Ladder     []RungView      `json:"ladder"`
	Recordings []RecordingView `json:"recordings,omitempty"`
	// Reason and Since are those of the last move.
	Reason string     `json:"reason,omitempty"`
	Since  *time.Time `json:"since,omitempty"`

	Invocations     int64 `json:"invocations"`
	ColdStarts      int64 `json:"coldStarts"`
	ColdInWindow    int   `json:"coldInWindow"`
	Deoptimizations int   `json:"deoptimizations"`
	Queued          int   `json:"queued"`
	Workers         int   `json:"workers"`
	// CPUSeconds is the CPU time that its workers took since the node's start, OutputDropped how many bytes of
	// their output were dropped because they wrote too much.
	CPUSeconds    float64 `json:"cpuSeconds"`
	OutputDropped int64   `json:"outputDropped,omitempty"`
}

// RungView is one rung of a revision.
type RungView struct {
	Rung function.Rung `json:"rung"`
	// Phase is where its artifact stands: absent, queued, building, checking, ready, failed or dropped;
	// ready of the first rung.
	Phase pipeline.Phase `json:"phase"`
	// Wanted: a build was decided on and waits for a recording, for back-off or for its turn.
	Wanted bool `json:"wanted,omitempty"`
	// Never: the function needs what no artifact of this kind can do (Reason says what); it is not made any more.
	Never bool `json:"never,omitempty"`
	// Reason and Since are those of its last move; NotBefore is when it may be made again.
	Reason    string     `json:"reason,omitempty"`
	Since     *time.Time `json:"since,omitempty"`
	NotBefore *time.Time `json:"notBefore,omitempty"`
	// Falls counts how often its artifact turned out wrong, Failures failed builds and checks in a row.
	Falls    int `json:"falls,omitempty"`
	Failures int `json:"failures,omitempty"`
	// StartMs and MemoryMB are what a worker is expected to take, measured where it was.
	StartMs  float64 `json:"startMs,omitempty"`
	MemoryMB float64 `json:"memoryMB,omitempty"`
	DiskMB   float64 `json:"diskMB,omitempty"`
	// Check is the last one that compared its artifact.
	Check *store.Check `json:"check,omitempty"`
}

// RecordingView is one recording of a revision.
type RecordingView struct {
	Recording ladder.Recording `json:"recording"`
	// Phase is recording or recorded.
	Phase   pipeline.Phase `json:"phase"`
	Version int            `json:"version,omitempty"`
	// Refused is why nothing more is taken of what its workers record.
	Refused string `json:"refused,omitempty"`
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
		Rung: rev.ladder.RungName(c.Rung), Recording: c.Recording, Reason: rev.reason, Since: timeOf(rev.since),
		Invocations: int64(c.Invocations), ColdStarts: int64(c.ColdStarts),
		CPUSeconds: time.Duration(rev.cpu.Load()).Seconds(), OutputDropped: rev.dropped.Load(),
		ColdInWindow: n.engine.ColdStarts(n.now(), rev.fn.id), Queued: int(c.Waiting), Workers: int(c.Workers),
	}
	for i := range rev.ladder.Rungs {
		v.Ladder = append(v.Ladder, n.rungView(rev, ladder.ID(i), &saved))
		if rev.ladder.Rungs[i].From == ladder.RecordingMetadata {
			v.Deoptimizations += v.Ladder[i].Falls
		}
	}
	for x, r := range saved.Recordings {
		if r.Phase != pipeline.PhaseAbsent {
			view := RecordingView{Recording: ladder.Recording(x), Phase: r.Phase, Version: int(r.Version)}
			if why := rev.refused.Load(); why != nil && view.Recording == ladder.RecordingMetadata {
				view.Refused = *why
			}
			v.Recordings = append(v.Recordings, view)
		}
	}
	return v, true
}

// rungView is one rung. The caller holds n.mu.
func (n *Node) rungView(rev *revision, id ladder.ID, saved *pipeline.Saved) RungView {
	figures := n.engine.Figures(rev.id, id)
	v := RungView{
		Rung: rev.ladder.Rungs[id].Name, Phase: pipeline.PhaseReady,
		StartMs: float64(figures.Start) / 1e6, MemoryMB: figures.MemoryMB,
	}
	r := saved.Rung(v.Rung)
	if r == nil {
		return v
	}
	b := &rev.artifacts[id]
	v.Phase, v.Never, v.Wanted = r.Phase, r.Never, n.engine.Wanted(rev.id, id)
	v.Reason, v.Since, v.Check = b.reason, timeOf(b.since), rev.check(v.Rung)
	v.Falls, v.Failures, v.DiskMB = int(r.Falls), int(r.Failures), r.DiskMB
	if r.NotBefore > n.now() {
		at := time.Unix(0, r.NotBefore).UTC()
		v.NotBefore = &at
	}
	return v
}

// timeOf is nil of the zero time.
func timeOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Optimize makes the artifact of a rung now, whatever the policy says, or as soon as there is a recording:
// a worker is started to take it. An empty name is the lowest rung with a binary, or the highest of a
// ladder without one.
func (n *Node) Optimize(_ context.Context, id function.RevisionID, rung function.Rung) error {
	rev, ok := n.lookup(id)
	if !ok {
		return fmt.Errorf("optimize %s: %w", id, ErrNotFound)
	}
	l := rev.ladder
	want := ladder.ID(len(l.Rungs) - 1)
	if rung == "" {
		for i := len(l.Rungs) - 1; i > 0; i-- {
			if l.Rungs[i].Artifact == ladder.ArtifactBinary {
				want = ladder.ID(i)
			}
		}
	} else if want, ok = l.Find(rung); !ok {
		var names []string
		for i := range l.Rungs {
			names = append(names, string(l.Rungs[i].Name))
		}
		return fmt.Errorf("optimize %s: %w: no rung %q here: its rungs are %s%s", id, ErrConflict, rung, strings.Join(names, ", "), n.lacks(rev.spec.Kind, rung))
	}
	if row := &l.Rungs[want]; !row.Serves() {
		return fmt.Errorf("optimize %s: %w: workers of %s only record a %s, for the rung that is made with it", id, ErrConflict, row.Name, row.Recorder)
	}
	if want == ladder.First {
		return fmt.Errorf("optimize %s: %w: %s needs nothing made%s", id, ErrConflict, l.RungName(want), n.lacks(rev.spec.Kind, ladder.Native))
	}
	return n.operate(rev, "optimize", engine.Event{Kind: engine.EventOptimize, Rung: want})
}

// lacks says that a rung of a kind's whole ladder is missing because this node has no builder for it.
func (n *Node) lacks(kind function.Kind, rung function.Rung) string {
	whole := ladder.Of(kind)
	if id, ok := whole.Find(rung); ok && id != ladder.First && !n.makes(&whole.Rungs[id]) {
		return fmt.Sprintf("; this node has no builder for %s (\"cloudjit doctor\" says why)", rung)
	}
	return ""
}

// Prepare waits until the preparation of a revision has ended, and says why it came to nothing; empty if
// there was none, or all is there.
func (n *Node) Prepare(ctx context.Context, id function.RevisionID) string {
	rev, ok := n.lookup(id)
	if !ok {
		return ""
	}
	n.mu.Lock()
	ended, whyNot := rev.preparing, rev.whyNot
	n.mu.Unlock()
	if ended == nil {
		return whyNot
	}
	select {
	case <-ended:
		n.mu.Lock()
		defer n.mu.Unlock()
		return rev.whyNot
	case <-n.ctx.Done():
		return engine.ReasonDraining.Text()
	case <-ctx.Done():
		return context.Cause(ctx).Error()
	}
}

// Deoptimize makes a revision leave its highest rung and record again.
func (n *Node) Deoptimize(_ context.Context, id function.RevisionID) error {
	rev, ok := n.lookup(id)
	if !ok {
		return fmt.Errorf("deoptimize %s: %w", id, ErrNotFound)
	}
	return n.operate(rev, "deoptimize", engine.Event{Kind: engine.EventDeoptimize})
}

func (n *Node) operate(rev *revision, what string, ev engine.Event) error {
	id := rev.spec.ID
	n.mu.Lock()
	defer n.mu.Unlock()
	saved, known := n.engine.Saved(rev.id)
	switch {
	case n.closed:
		return ErrDraining
	case !known || rev.gone:
		return fmt.Errorf("%s %s: %w", what, id, ErrNotFound)
	case len(rev.ladder.Rungs) < 2:
		return fmt.Errorf("%s %s: %w: its ladder has one rung, %s", what, id, ErrConflict, rev.ladder.RungName(ladder.First))
	}
	if ev.Kind == engine.EventOptimize {
		rev.wished.Store(true)
		name := rev.ladder.RungName(ev.Rung)
		switch {
		case rev.fn.config.NoOptimize:
			return fmt.Errorf("%s %s: %w: optimization of the function is turned off", what, id, ErrConflict)
		case saved.Rung(name).Never:
			if a := &rev.artifacts[ev.Rung]; a.reason != "" {
				return fmt.Errorf("%s %s: %w: no %s is made of it any more: %s", what, id, ErrConflict, name, a.reason)
			}
			return fmt.Errorf("%s %s: %w: no %s is made of it any more: %s", what, id, ErrConflict, name, engine.ReasonNever.Text())
		case saved.Rung(name).Phase == pipeline.PhaseReady:
			return fmt.Errorf("%s %s: %w: it is on rung %s already", what, id, ErrConflict, name)
		}
	}
	if rev.follows {
		w := &news{Kind: what, Revision: id, ID: ulid.Make().String()}
		if ev.Kind == engine.EventOptimize {
			w.Rung = rev.ladder.RungName(ev.Rung)
		}
		n.wg.Go(func() { n.tellWish(w) })
		return nil
	}
	ev.Revision = rev.id
	n.step(ev)
	return nil
}

// Snapshot is the node in numbers.
type Snapshot struct {
	engine.Counts
	// WorkersBy counts workers by rung and state.
	WorkersBy map[function.Rung]map[string]int
	// RevisionsBy counts revisions by the rung of new workers.
	RevisionsBy map[function.Rung]int
	// Since the start.
	Invocations, ColdStarts, Rejections, Deoptimizations, Builds, BuildFailures int64
}

// Snapshot counts what is there now.
func (n *Node) Snapshot() Snapshot {
	s := Snapshot{
		WorkersBy: map[function.Rung]map[string]int{}, RevisionsBy: map[function.Rung]int{},
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
		if s.WorkersBy[w.row.Name] == nil {
			s.WorkersBy[w.row.Name] = map[string]int{}
		}
		s.WorkersBy[w.row.Name][w.state()]++
	}
	for _, r := range n.revs {
		if r == nil {
			continue
		}
		s.RevisionsBy[r.ladder.RungName(n.engine.RevisionCounts(r.id).Rung)]++
	}
	return s
}
