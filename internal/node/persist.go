package node

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/store"
	"github.com/cloudjit/cloudjit/internal/telemetry"
)

// document is what is stored of a pipeline: its state, and where its binary is found again.
type document struct {
	pipeline.Saved
	Key aot.Key `json:"key,omitempty"`
	// FailedKey and FailedLevel are the build that must fail again; with another tool chain
	// the key is another, and it may not.
	FailedKey   aot.Key        `json:"failedKey,omitempty"`
	FailedLevel function.Level `json:"failedLevel,omitempty"`
}

// record persists a revision's pipeline and tells of its move. The caller holds n.mu.
func (n *Node) record(a *engine.Action) {
	rev := n.revs[a.Revision]
	saved, ok := n.engine.Saved(a.Revision)
	if !ok || rev == nil {
		return
	}
	doc, err := json.Marshal(document{Saved: saved, Key: rev.keys[saved.Level], FailedKey: rev.failedKey, FailedLevel: rev.failedLevel})
	if err != nil {
		n.log.Error("encode pipeline", telemetry.KeyRevision, rev.spec.ID, telemetry.KeyError, err)
		return
	}
	w := write{rev: rev, doc: doc}
	if a.Kind == engine.ActionRecord {
		at := time.Now().UTC()
		reason := a.Reason.Text()
		if why := rev.missing.Swap(nil); why != nil && a.Cause == pipeline.EventDeoptimized {
			reason = *why
		}
		rev.reason, rev.since = reason, at
		if a.Cause == pipeline.EventPromoted {
			rev.trigger = reason
		}
		w.step = &store.Transition{At: at, From: a.From.String(), To: a.To.String(), Event: a.Cause.String(), Reason: reason}
		d := map[string]any{"from": a.From.String(), "to": a.To.String(), "event": a.Cause, "metadataVersion": a.Version}
		if a.Level != function.LevelNone {
			d["level"] = a.Level
		}
		if a.At > 0 {
			d["notBefore"] = time.Unix(0, a.At).UTC()
		}
		n.events.send(Event{Type: "pipeline.moved", Function: rev.fn.name, Revision: rev.spec.ID, Reason: reason, Data: data(d)})
	}
	n.writes.add(w)
}

// write is one state to be stored, maybe with the step that led there.
type write struct {
	rev  *revision
	doc  []byte
	step *store.Transition
}

// writer stores pipelines one after the other, off the engine's path.
type writer struct {
	mu    sync.Mutex
	queue []write
	more  chan struct{} // one token: the queue is not empty, or end is set
	end   bool
	done  chan struct{}
}

func (s *writer) init(n *Node) {
	s.more, s.done = make(chan struct{}, 1), make(chan struct{})
	go s.run(n)
}

func (s *writer) add(w write) {
	s.mu.Lock()
	s.queue = append(s.queue, w)
	s.mu.Unlock()
	s.wake()
}

func (s *writer) wake() {
	select {
	case s.more <- struct{}{}:
	default:
	}
}

// close writes what is queued and waits for it.
func (s *writer) close() {
	s.mu.Lock()
	s.end = true
	s.mu.Unlock()
	s.wake()
	<-s.done
}

// A write that failed is tried again, the first time after minRewrite, then after twice as long
// each time, up to maxRewrite: the disk may be full for a while. Later writes wait behind it, since
// a revision's state must not be overtaken by an older one.
const (
	minRewrite = 100 * time.Millisecond
	maxRewrite = 30 * time.Second
	// closeWrites is how long a node that closes tries to write what is left.
	closeWrites = 5 * time.Second
)

func (s *writer) run(n *Node) {
	defer close(s.done)
	for range s.more {
		s.mu.Lock()
		queue, end := s.queue, s.end
		s.queue = nil
		s.mu.Unlock()
		// Of several states of one revision the last one counts; the steps are all kept.
		for i := 0; i < len(queue); i++ {
			w := queue[i]
			var steps []store.Transition
			for ; i < len(queue) && queue[i].rev == w.rev; i++ {
				w.doc = queue[i].doc
				if step := queue[i].step; step != nil {
					steps = append(steps, *step)
					n.log.Info("pipeline moved", telemetry.KeyFunction, w.rev.fn.name, telemetry.KeyRevision, w.rev.spec.ID,
						"from", step.From, "to", step.To, telemetry.KeyReason, step.Reason)
				}
			}
			i--
			s.store(n, w, steps)
		}
		if end {
			return
		}
	}
}

// store writes one state, as often as it takes, until the revision is gone or the node closes.
func (s *writer) store(n *Node, w write, steps []store.Transition) {
	var deadline <-chan time.Time
	closing := n.ctx.Done()
	for wait := minRewrite; n.stored(w.rev); wait = min(2*wait, maxRewrite) {
		err := n.opt.State.PutPipeline(context.Background(), w.rev.spec.ID, w.doc, steps...)
		if err == nil {
			return
		}
		if errors.Is(err, store.ErrTooLarge) { // it will always be
			n.log.Error("store pipeline", telemetry.KeyRevision, w.rev.spec.ID, telemetry.KeyError, err)
			return
		}
		n.log.Error("store pipeline; it will be tried again", telemetry.KeyRevision, w.rev.spec.ID, telemetry.KeyError, err)
		retry := time.NewTimer(wait)
		for waiting := true; waiting; {
			select {
			case <-retry.C:
				waiting = false
			case <-closing:
				closing, deadline = nil, time.After(closeWrites)
				wait = minRewrite
				retry.Reset(wait)
			case <-deadline:
				retry.Stop()
				n.log.Error("pipeline was not stored before the node closed", telemetry.KeyRevision, w.rev.spec.ID, telemetry.KeyError, err)
				return
			}
		}
	}
}

// restore reads a revision's pipeline from before a restart. A binary that is not there any more
// is built again.
func (n *Node) restore(ctx context.Context, rev *revision, parent function.RevisionID) pipeline.Saved {
	p, ok := n.opt.State.Pipeline(rev.spec.ID)
	if !ok {
		return n.inherit(ctx, rev, parent)
	}
	var d document
	if err := json.Unmarshal(p.State, &d); err != nil {
		n.log.Error("stored pipeline is not usable; it starts again", telemetry.KeyRevision, rev.spec.ID, telemetry.KeyError, err)
		return pipeline.Saved{}
	}
	s := d.Saved
	rev.since = p.UpdatedAt
	if len(p.History) > 0 {
		last := p.History[len(p.History)-1]
		rev.reason, rev.since = last.Reason, last.At
	}
	rev.failedKey, rev.failedLevel = d.FailedKey, d.FailedLevel
	if s.FailedVersion > 0 && n.mayBuildNow(ctx, rev, s.FailedVersion) {
		s.FailedVersion, s.NotBefore = 0, 0
	}
	if s.State.Stage != pipeline.StageNative {
		return s
	}
	if n.opt.Builder != nil {
		if res, ok := n.opt.Builder.Lookup(d.Key); ok {
			rev.binaries[s.Level], rev.keys[s.Level] = res.Dir, res.Key
			return s
		}
	}
	s.State = pipeline.State{Stage: pipeline.StageHotSpot, Phase: pipeline.PhaseQueued}
	s.Wanted, s.Level, s.Complete, s.NotBefore = max(s.Level, s.Wanted), function.LevelNone, true, 0
	return s
}

// mayBuildNow reports whether a build that had to fail depends on something else now.
func (n *Node) mayBuildNow(ctx context.Context, rev *revision, version uint32) bool {
	if n.opt.Builder == nil {
		return false
	}
	req, err := n.request(ctx, rev, rev.failedLevel, version)
	if err != nil {
		return false
	}
	key, err := n.opt.Builder.Key(req)
	return err == nil && key != rev.failedKey
}

// inherit gives a new revision what is known of its parent, if their code is the same: its
// metadata, and the wish for a binary, which may well be there already.
func (n *Node) inherit(ctx context.Context, rev *revision, parent function.RevisionID) pipeline.Saved {
	if parent == "" || rev.spec.Kind == function.KindProvided {
		return pipeline.Saved{}
	}
	from, ok := n.opt.State.Revision(parent)
	p, known := n.opt.State.Pipeline(parent)
	if !ok || !known || from.Spec.CodeSHA256 != rev.spec.CodeSHA256 || from.Spec.Kind != rev.spec.Kind || from.Spec.Handler != rev.spec.Handler {
		return pipeline.Saved{}
	}
	var d document
	if err := json.Unmarshal(p.State, &d); err != nil {
		return pipeline.Saved{}
	}
	doc, _, err := n.opt.State.Metadata(ctx, parent, 0)
	if err != nil {
		return pipeline.Saved{}
	}
	version, err := n.opt.State.PutMetadata(ctx, rev.spec.ID, doc, "inherited from revision "+string(parent))
	if err != nil {
		n.log.Error("store metadata", telemetry.KeyRevision, rev.spec.ID, telemetry.KeyError, err)
		return pipeline.Saved{}
	}
	s := pipeline.Saved{Version: uint32(version), Complete: d.Complete}
	if d.Complete || d.State.Stage == pipeline.StageNative {
		s.State.Stage, s.Complete = pipeline.StageHotSpot, true
	}
	if level := max(d.Level, d.Wanted); level != function.LevelNone {
		s.State.Phase, s.Wanted = pipeline.PhaseQueued, level
	}
	rev.reason, rev.since = "the code is that of revision "+string(parent), time.Now().UTC()
	return s
}
