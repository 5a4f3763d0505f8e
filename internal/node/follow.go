package node

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/metadata"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/store"
	"github.com/cloudjit/cloudjit/internal/telemetry"
)

// On several nodes one owns the pipelines of a function: the node where the function is at home. It records, builds and checks,
// and writes the pipeline's document, in which it stands as the owner; a node that is not named there writes nothing. The others
// follow the document, get artifacts from a node that has them, and tell the owner what they saw: invocations, cold
// starts, what a binary lacked, artifacts that turned out wrong.

// Peers are the other nodes; *cluster.Cluster has them.
type Peers interface {
	// Owns reports whether this node is to do what one alone may do with a thing.
	Owns(thing string) bool
	// Near reports whether this node is one of the few where the invocations of a function land first.
	Near(function string) bool
	// OnChange has f called when a node came or went.
	OnChange(f func())
	// Publish sends to all other nodes; it may be lost. Subscribe takes what they send.
	Publish(topic string, data []byte) error
	Subscribe(topic string, f func(from string, data []byte)) (stop func(), err error)
}

// SharedState is the State of several nodes.
type SharedState interface {
	State
	// PutPipelineOf is PutPipeline of the pipeline's owner, who becomes the first that writes it; store.ErrNotOwner if it is another.
	PutPipelineOf(ctx context.Context, owner string, id function.RevisionID, state json.RawMessage, steps ...store.Transition) error
	// ClaimPipeline makes a node the owner.
	ClaimPipeline(ctx context.Context, owner string, id function.RevisionID) error
}

const (
	followTopic = "pipeline"
	// tellEvery is how often a node tells owners what it did with their revisions.
	tellEvery = time.Second
)

// news is what a node tells the owner of a revision.
type news struct {
	Kind string `json:"kind"` // did, fell, learnt, optimize, deoptimize
	// ID of a wish, which is told more than once and done once.
	ID       string              `json:"id,omitempty"`
	Revision function.RevisionID `json:"revision"`
	// Invocations and ColdStarts since it told of them last.
	Invocations int32 `json:"invocations,omitempty"`
	ColdStarts  int32 `json:"coldStarts,omitempty"`
	// Rung whose artifact, made from version Built of its recording, fell because of Failure; or that an operator wants.
	Rung    function.Rung  `json:"rung,omitempty"`
	Built   uint32         `json:"built,omitempty"`
	Failure engine.Failure `json:"failure,omitempty"`
	// Missing is what it lacked, for people.
	Missing string `json:"missing,omitempty"`
	// Version of the metadata that was stored.
	Version uint32 `json:"version,omitempty"`
}

// follower is what a node does about pipelines that other nodes own.
type follower struct {
	mu   sync.Mutex
	look map[function.RevisionID]bool // to be looked at
	more chan struct{}
	stop func()
}

// leads reports whether this node owns the pipelines of a function.
func (n *Node) leads(name function.Name) bool {
	return n.opt.Peers == nil || n.opt.Peers.Owns(string(name))
}

// startFollowing begins to listen to other nodes, if there are any.
func (n *Node) startFollowing() error {
	f := &n.follower
	f.look, f.more, f.stop = map[function.RevisionID]bool{}, make(chan struct{}, 1), func() {}
	if n.opt.Peers == nil {
		return nil
	}
	stop, err := n.opt.Peers.Subscribe(followTopic, n.heard)
	if err != nil {
		return err
	}
	f.stop = stop
	n.opt.Peers.OnChange(n.lookAtAll)
	n.wg.Go(n.follow)
	return nil
}

// PipelineChanged looks at the stored pipeline of a revision, which another node may have written. It does not block.
func (n *Node) PipelineChanged(id function.RevisionID) {
	if n.opt.Peers == nil {
		return
	}
	f := &n.follower
	f.mu.Lock()
	f.look[id] = true
	f.mu.Unlock()
	select {
	case f.more <- struct{}{}:
	default:
	}
}

// lookAtAll looks at all pipelines: their owners may be others.
func (n *Node) lookAtAll() {
	n.revisions.Range(func(id, _ any) bool {
		n.PipelineChanged(id.(function.RevisionID))
		return true
	})
}

// follow adopts what changed, and tells owners what happened here, until the node closes.
func (n *Node) follow() {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-tick.C:
			n.tellOwners()
			continue
		case <-n.follower.more:
		}
		n.follower.mu.Lock()
		look := n.follower.look
		n.follower.look = map[function.RevisionID]bool{}
		n.follower.mu.Unlock()
		for id := range look {
			if rev, ok := n.lookup(id); ok && n.ctx.Err() == nil {
				n.adopt(n.ctx, rev)
			}
		}
	}
}

// adopt makes a revision's pipeline what its owner wrote, or takes over its ownership.
func (n *Node) adopt(ctx context.Context, rev *revision) {
	n.mu.Lock()
	leads, follows := n.leads(rev.fn.name), rev.follows
	n.mu.Unlock()
	if leads && !follows {
		return // what changed was written here
	}
	s := n.standing(rev, leads)
	n.mu.Lock()
	wanted := leads || n.wants(rev)
	n.mu.Unlock()
	// What another node has made is taken from there before this one makes it again.
	if len(s.missing) > 0 && wanted && !n.fetch(rev, s.missing) && leads {
		return // another look follows
	}
	if leads {
		if err := n.sharedState().ClaimPipeline(ctx, n.opt.Name, rev.spec.ID); err != nil && !errors.Is(err, store.ErrNotFound) {
			if ctx.Err() == nil {
				n.log.Warn("take over a pipeline; it will be tried again", telemetry.KeyRevision, rev.spec.ID, telemetry.KeyError, err)
				time.AfterFunc(tellEvery, func() { n.PipelineChanged(rev.spec.ID) })
			}
			return
		}
	}
	if leads {
		rev.metaMu.Lock()
		rev.meta, rev.version = nil, 0 // another node may have added to it
		rev.metaMu.Unlock()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || rev.gone || n.leads(rev.fn.name) != leads {
		return // another look follows
	}
	rev.follows, rev.lacks, rev.unlisted = !leads, len(s.missing) > 0, rev.unlisted || s.unlisted
	for i := 1; i < len(rev.artifacts); i++ {
		row, a := &rev.ladder.Rungs[i], &rev.artifacts[i]
		if row.Artifact == ladder.ArtifactSnapshot {
			continue
		}
		was := a.key
		if a.take(s.found[i]); was != "" && was != a.key && n.fetched(row.Builder, was) {
			n.discardUnused(n.builders[row.Builder], was)
		}
	}
	if leads {
		n.log.Info("owns a pipeline from now on", telemetry.KeyFunction, rev.fn.name, telemetry.KeyRevision, rev.spec.ID)
	}
	n.step(engine.Event{Kind: engine.EventAdopted, Revision: rev.id, RevisionConfig: &engine.RevisionConfig{Ladder: rev.ladder, Follows: !leads, Restored: s.saved}})
	n.listNow(rev)
}

func (n *Node) sharedState() SharedState { return n.opt.State.(SharedState) }

// stands is how a pipeline stands, for this node.
type stands struct {
	saved   pipeline.Saved
	found   map[int]built // by rung
	missing []Wanted
	// unlisted: the document does not say what other nodes compare what was found with.
	unlisted bool
}

// standing is the stored state of a pipeline with the artifacts that this node has. One that it lacks counts as not there;
// missing are those of them that another node may have.
func (n *Node) standing(rev *revision, leads bool) (s stands) {
	s.found = map[int]built{}
	p, ok := n.opt.State.Pipeline(rev.spec.ID)
	if !ok || len(p.State) == 0 {
		return s
	}
	d, err := decode(p.State)
	if err != nil {
		n.log.Error("stored pipeline is not usable", telemetry.KeyRevision, rev.spec.ID, telemetry.KeyError, err)
		return s
	}
	s.saved = d.Saved
	for id := 1; id < len(rev.ladder.Rungs); id++ {
		row := &rev.ladder.Rungs[id]
		r := s.saved.Rung(row.Name)
		if r == nil || r.Phase != pipeline.PhaseReady || row.Artifact == ladder.ArtifactSnapshot {
			continue
		}
		if !row.Serves() && !leads { // only who owns the pipeline records
			r.Phase, r.DiskMB = pipeline.PhaseAbsent, 0
			continue
		}
		b, key, digest := n.builders[row.Builder], d.Keys[row.Name], d.Digests[row.Name]
		if b != nil && key != "" {
			if res, ok := b.Lookup(key); ok {
				if digest == "" && leads {
					digest = n.digest(b, key)
					s.unlisted = s.unlisted || digest != ""
				}
				s.found[id] = built{dir: res.Dir, key: res.Key, digest: digest}
				r.DiskMB = float64(res.Cost.Size) / 1e6
				continue
			}
			if digest != "" && n.opt.Fetch != nil {
				s.missing = append(s.missing, Wanted{Builder: row.Builder, Key: key, Digest: digest, Owner: p.Owner})
			}
		}
		r.Phase, r.DiskMB = pipeline.PhaseAbsent, 0
		if leads {
			r.Phase = pipeline.PhaseQueued
		}
	}
	return s
}

// lost reports whether artifacts of a revision of this node's own are not here any more, and other nodes may have them: then it
// follows until they are found, or not.
func (n *Node) lost(rev *revision) bool {
	if n.opt.Peers == nil {
		return false
	}
	s := n.standing(rev, false)
	return len(s.missing) > 0
}

// list has the document say what other nodes compare a revision's artifacts with, where it does not yet.
func (n *Node) list(rev *revision) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.closed && !rev.gone && n.revs[rev.id] == rev {
		n.listNow(rev)
	}
}

// listNow is list under n.mu.
func (n *Node) listNow(rev *revision) {
	if rev.unlisted && !rev.follows {
		rev.unlisted = false
		n.record(&engine.Action{Revision: rev.id, Reason: engine.ReasonNone})
	}
}

// did counts an invocation of a revision that another node owns. The caller holds n.mu.
func (r *revision) did(cold bool) {
	r.invoked++
	if cold {
		r.colds++
	}
}

// tellOwners tells what was done here since it was told last.
func (n *Node) tellOwners() {
	var all []news
	n.mu.Lock()
	for _, r := range n.revs {
		if r == nil || r.invoked == 0 {
			continue
		}
		if r.follows && !r.gone {
			all = append(all, news{Kind: "did", Revision: r.spec.ID, Invocations: r.invoked, ColdStarts: r.colds})
		}
		r.invoked, r.colds = 0, 0
	}
	n.mu.Unlock()
	for i := range all {
		n.say(&all[i])
	}
}

// say tells all other nodes something; the owner acts on it.
func (n *Node) say(w *news) {
	doc, err := json.Marshal(w)
	if err == nil {
		err = n.opt.Peers.Publish(followTopic, doc)
	}
	if err != nil {
		n.log.Warn("tell other nodes", "what", w.Kind, telemetry.KeyError, err)
	}
}

// tellFall tells the owner of a fall. What it does about it depends on the version, so that it can be told more than once.
func (n *Node) tellFall(w *news) {
	for _, wait := range []time.Duration{0, time.Second, 4 * time.Second} {
		select {
		case <-time.After(wait):
			n.say(w)
		case <-n.ctx.Done():
			return
		}
	}
}

// wishes are those of operators that were done here, by their identifiers, and when. The zero value is ready.
type wishes struct {
	mu   sync.Mutex
	done map[string]time.Time
}

// first reports whether a wish was not done here yet, and notes that it is.
func (w *wishes) first(id string) bool {
	if id == "" {
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.done[id]; ok {
		return false
	}
	if w.done == nil {
		w.done = map[string]time.Time{}
	}
	for id, at := range w.done {
		if time.Since(at) > wishTime {
			delete(w.done, id)
		}
	}
	w.done[id] = time.Now()
	return true
}

// wishTime is for longer than a wish is told.
const wishTime = 2 * time.Minute

// tellWish tells the owner what an operator wants, for as long as nodes may not hear each other while one dies: a message may be lost, and
// the owner may become another, this node as well.
func (n *Node) tellWish(w *news) {
	doc, err := json.Marshal(w)
	if err != nil {
		n.log.Error("tell other nodes", "what", w.Kind, telemetry.KeyError, err)
		return
	}
	for _, wait := range []time.Duration{0, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 15 * time.Second} {
		select {
		case <-time.After(wait):
			n.say(w)
			n.heard("", doc)
		case <-n.ctx.Done():
			return
		}
	}
}

// fellHere takes a move of a pipeline that another node owns. The caller holds n.mu.
func (n *Node) fellHere(rev *revision, a *engine.Action, saved *pipeline.Saved) {
	if a.Kind != engine.ActionRecord || a.Rung == ladder.First || a.From != pipeline.PhaseReady || a.To == pipeline.PhaseReady ||
		a.Reason == engine.ReasonAdopted || a.Reason == engine.ReasonStale || a.Reason == engine.ReasonNoOptimize ||
		rev.ladder.Rungs[a.Rung].Artifact == ladder.ArtifactSnapshot {
		return
	}
	w := &news{Kind: "fell", Revision: rev.spec.ID, Rung: rev.ladder.Rungs[a.Rung].Name, Failure: engine.FailureInit}
	switch {
	case a.Reason == engine.ReasonNever:
		w.Failure = engine.FailureNever
	case a.Cause == pipeline.EventDeoptimized:
		w.Failure = engine.FailureMetadata
	case a.Cause != pipeline.EventUnusable:
		return
	}
	if r := saved.Rung(w.Rung); r != nil {
		w.Built = r.Built
	}
	if why := rev.missing.Load(); why != nil {
		w.Missing = *why
	}
	n.wg.Go(func() { n.tellFall(w) })
}

// heard takes what another node tells the owner of a revision.
func (n *Node) heard(_ string, data []byte) {
	var w news
	if err := json.Unmarshal(data, &w); err != nil {
		return
	}
	rev, ok := n.lookup(w.Revision)
	if !ok || !n.leads(rev.spec.Function) {
		return
	}
	rung, known := rev.ladder.Find(w.Rung)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || rev.gone || rev.follows {
		return
	}
	ev := engine.Event{Revision: rev.id}
	switch w.Kind {
	case "did":
		ev.Kind, ev.Invocations, ev.ColdStarts = engine.EventElsewhere, max(w.Invocations, 0), max(w.ColdStarts, 0)
	case "fell":
		if !known || rung == ladder.First {
			return
		}
		if w.Missing != "" {
			rev.missing.Store(&w.Missing)
		}
		ev.Kind, ev.Rung, ev.Failure, ev.Version = engine.EventFell, rung, w.Failure, w.Built
	case "learnt":
		n.wg.Go(func() { n.reload(rev) })
		return
	case "optimize":
		if !known || rung == ladder.First {
			return
		}
		if !n.wishes.first(w.ID) {
			return
		}
		rev.wished.Store(true)
		ev.Kind, ev.Rung = engine.EventOptimize, rung
	case "deoptimize":
		if !n.wishes.first(w.ID) {
			return
		}
		ev.Kind = engine.EventDeoptimize
	default:
		return // of a newer version
	}
	n.step(ev)
}

// reload takes metadata that another node has stored.
func (n *Node) reload(rev *revision) {
	doc, version, err := n.opt.State.Metadata(n.ctx, rev.spec.ID, 0)
	if err != nil {
		return
	}
	known, err := metadata.Parse(doc)
	if err != nil {
		return
	}
	rev.metaMu.Lock()
	defer rev.metaMu.Unlock()
	if uint32(version.Number) <= rev.version {
		return
	}
	rev.meta, rev.version = known, uint32(version.Number)
	n.mu.Lock()
	defer n.mu.Unlock()
	if !rev.gone && !n.closed && !rev.follows {
		n.step(engine.Event{Kind: engine.EventRecording, Revision: rev.id, Recording: ladder.RecordingMetadata, Version: rev.version})
		n.record(&engine.Action{Revision: rev.id, Reason: engine.ReasonNone})
	}
}

// putPipeline stores a state, as its owner where there are other nodes. True: it is settled, stored or not.
func (n *Node) putPipeline(w write, steps []store.Transition) (bool, error) {
	if n.opt.Peers == nil {
		err := n.opt.State.PutPipeline(context.Background(), w.rev.spec.ID, w.doc, steps...)
		return err == nil, err
	}
	n.mu.Lock()
	follows := w.rev.follows
	n.mu.Unlock()
	if follows {
		return true, nil
	}
	err := n.sharedState().PutPipelineOf(context.Background(), n.opt.Name, w.rev.spec.ID, w.doc, steps...)
	if errors.Is(err, store.ErrNotOwner) {
		// Another node wrote it since: what it wrote holds, whoever owns it now.
		n.mu.Lock()
		w.rev.follows = true
		n.mu.Unlock()
		n.PipelineChanged(w.rev.spec.ID)
		return true, nil
	}
	return err == nil, err
}

// beginFollowing is the state that a revision of another node's begins with here: what can be served at once. What has to be
// fetched follows.
func (n *Node) beginFollowing(rev *revision) pipeline.Saved {
	s := n.standing(rev, false)
	for id, b := range s.found {
		rev.artifacts[id].take(b)
	}
	rev.lacks = len(s.missing) > 0
	n.loadSamples(rev, &s.saved, nil) // snapshots are compared here, too
	s.saved.Preparing = false
	return s.saved
}
