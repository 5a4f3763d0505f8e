package node

import (
	"encoding/json"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/store"
	"github.com/cloudjit/cloudjit/internal/telemetry"
)

// document is what is stored of a pipeline: its state, and where its artifacts are found again.
type document struct {
	pipeline.Saved
	// Keys are those of the artifacts, Failed those of builds that must fail again (with another tool
	// chain the key is another, and they may not), by rung.
	Keys   map[function.Rung]aot.Key `json:"keys,omitempty"`
	Failed map[function.Rung]aot.Key `json:"failed,omitempty"`
	// Digests are those of the artifacts that other nodes may take (aot.Movable), by rung.
	Digests map[function.Rung]string `json:"digests,omitempty"`
	// Checks are the last ones, by rung; OwnSamples is the SHA-256 of the user's samples that were asked last.
	Checks     map[function.Rung]*store.Check `json:"checks,omitempty"`
	OwnSamples string                         `json:"ownSamples,omitempty"`
}

// record persists a revision's pipeline and tells of its move. The caller holds n.mu.
func (n *Node) record(a *engine.Action) {
	rev := n.revs[a.Revision]
	saved, ok := n.engine.Saved(a.Revision)
	if !ok || rev == nil {
		return
	}
	if rev.follows {
		n.fellHere(rev, a, &saved)
		return
	}
	d := document{Saved: saved, Keys: map[function.Rung]aot.Key{}, Failed: map[function.Rung]aot.Key{}, Digests: map[function.Rung]string{}}
	for i := range rev.artifacts {
		name := rev.ladder.Rungs[i].Name
		if r := saved.Rung(name); r != nil && r.Phase == pipeline.PhaseReady {
			d.Keys[name] = rev.artifacts[i].key
			if digest := rev.artifacts[i].digest; digest != "" {
				d.Digests[name] = digest
			}
		}
		if key := rev.artifacts[i].failed; key != "" {
			d.Failed[name] = key
		}
	}
	rev.sampler.mu.Lock()
	d.Checks, d.OwnSamples = maps.Clone(rev.sampler.checked), rev.sampler.ownSHA
	rev.sampler.mu.Unlock()
	doc, err := json.Marshal(d)
	if err != nil {
		n.log.Error("encode pipeline", telemetry.KeyRevision, rev.spec.ID, telemetry.KeyError, err)
		return
	}
	w := write{rev: rev, doc: doc}
	if a.Kind == engine.ActionRecord {
		w.step = n.moved(rev, a)
	}
	n.writes.add(w)
}

// moved tells of a move, and returns it as a step of the history. The caller holds n.mu.
func (n *Node) moved(rev *revision, a *engine.Action) *store.Transition {
	at := time.Now().UTC()
	reason := a.Reason.Text()
	if why := rev.missing.Load(); why != nil && (a.Cause == pipeline.EventDeoptimized || a.Reason == engine.ReasonNever) {
		reason = *why
	}
	if a.Cause == pipeline.EventBuildFailed {
		reason += "; " + rev.artifacts[a.Rung].why
	}
	if a.Rung != ladder.First && (a.Reason == engine.ReasonChecked || a.Reason == engine.ReasonDiffered || a.Reason == engine.ReasonRemembers) {
		if c := rev.check(rev.ladder.Rungs[a.Rung].Name); c != nil && c.Reason != "" {
			switch reason = c.Reason; a.Reason {
			case engine.ReasonChecked:
				reason = a.Reason.Text() + "; " + c.Reason
			case engine.ReasonRemembers:
				reason += "; " + a.Reason.Text()
			}
		}
	}
	step := &store.Transition{At: at, From: a.From.String(), To: a.To.String(), Event: a.Cause.String(), Reason: reason}
	d := map[string]any{"from": a.From, "to": a.To, "event": a.Cause, "version": a.Version}
	if a.Rung != ladder.First {
		row := &rev.ladder.Rungs[a.Rung]
		step.Rung = row.Name
		d["rung"] = row.Name
		b := &rev.artifacts[a.Rung]
		b.reason, b.since = reason, at
		switch a.Cause {
		case pipeline.EventPromoted:
			b.trigger = reason
		case pipeline.EventChecked:
			if row.From.AtEnd() { // the artifact is there: the file it was made from is not needed
				n.wg.Go(func() { n.forgetRecording(rev, row.From) })
			}
		case pipeline.EventDeoptimized, pipeline.EventUnusable, pipeline.EventDiffered:
			if a.From == pipeline.PhaseReady && a.Reason != engine.ReasonOperator && a.Reason != engine.ReasonNoOptimize {
				n.log.Warn("left a rung", telemetry.KeyFunction, rev.fn.name, telemetry.KeyRevision, rev.spec.ID, telemetry.KeyRung, row.Name, telemetry.KeyReason, reason)
				if n.opt.Metrics != nil {
					n.opt.Metrics.Fall(rev.fn.name, row.Name, a.Reason.String())
				}
			}
		}
	} else {
		step.Recording = a.Recording.String()
		d["recording"] = a.Recording
		if a.Cause == pipeline.EventLost {
			x := a.Recording
			n.wg.Go(func() { n.forgetRecording(rev, x) })
		}
	}
	rev.reason, rev.since = reason, at
	if a.At > 0 {
		d["notBefore"] = time.Unix(0, a.At).UTC()
	}
	n.events.send(Event{Type: "pipeline.moved", Function: rev.fn.name, Revision: rev.spec.ID, Reason: reason, Data: data(d)})
	return step
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
						telemetry.KeyRung, step.Rung, telemetry.KeyRecording, step.Recording, "from", step.From, "to", step.To, telemetry.KeyReason, step.Reason)
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
		settled, err := n.putPipeline(w, steps)
		if settled {
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
