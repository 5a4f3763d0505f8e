package node

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/metadata"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/store"
	"github.com/cloudjit/cloudjit/internal/telemetry"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// fn is a function that the node has, under n.mu.
type fn struct {
	id   engine.FunctionID
	name function.Name
	revs int // that are not gone
	gone bool
	// current are those that take invocations.
	current map[function.RevisionID]*revision
	// config is what the engine was told last.
	config engine.FunctionConfig
	// leaveRunning: its idle workers are not paused.
	leaveRunning bool
}

// revision is a revision that the node has. Under n.mu, but for what never changes.
type revision struct {
	id     engine.RevisionID
	spec   *function.Spec
	fn     *fn
	memory int32 // MiB, what a worker may use
	// overhead is what a worker reserves beyond that, MiB.
	overhead int32
	ladder   *ladder.Ladder

	artifacts []built // by rung
	sampler   sampler
	inherited bool      // its first state was another revision's
	reason    string    // of the last move
	since     time.Time // and when it was
	gone      bool      // the engine does not have it any more
	// preparing is closed when the preparation has ended, whyNot says then why it came to nothing.
	preparing chan struct{}
	whyNot    string
	// follows: another node owns its pipeline. invoked and colds are what happened here since that was told.
	follows        bool
	invoked, colds int32
	// used: it ran here while another node owned it; lacks: this node has not all that was made for it. unlisted: its document
	// does not say yet what other nodes compare its artifacts with.
	used, lacks, unlisted bool

	cpu     atomic.Int64           // of its workers since the node's start, ns
	dropped atomic.Int64           // bytes of their output
	wished  atomic.Bool            // an operator waits for an artifact
	refused atomic.Pointer[string] // why nothing is learnt from its tracers any more
	missing atomic.Pointer[string] // what a binary lacked, for the next deoptimization's record

	metaMu  sync.Mutex // serializes merges
	meta    *metadata.Set
	version uint32
}

// built is the artifact of a rung.
type built struct {
	dir    string // on this host; empty: there is none
	key    aot.Key
	digest string  // see aot.Movable; empty: it does not move
	failed aot.Key // the last build that must fail again
	// answered is how many invocations the worker answered that was saved last.
	answered int
	cancel   context.CancelFunc // of the build that runs
	// trigger is why it was promoted last; reason and since are those of its last move.
	trigger, reason string
	since           time.Time
	why             string // its last build failed
}

// take makes an artifact the one of a rung.
func (b *built) take(from built) { b.dir, b.key, b.digest = from.dir, from.key, from.digest }

// prepared takes the end of a preparation. The caller holds the node's mutex.
func (r *revision) prepared(rung ladder.ID, why engine.Reason) {
	if r.preparing == nil {
		return
	}
	if why != engine.ReasonNone {
		r.whyNot = why.Text()
		if rung != ladder.First {
			r.whyNot = string(r.ladder.RungName(rung)) + ": " + r.artifacts[rung].reason
		}
	}
	close(r.preparing)
	r.preparing = nil
}

// slots is how many invocations a worker runs at once.
func (r *revision) slots() int32 {
	if r.spec.Kind == function.KindWeb {
		return int32(max(r.spec.Concurrency, 1))
	}
	return 1
}

// stored reports whether the store still has a revision: nothing is written of one that was deleted.
func (n *Node) stored(r *revision) bool {
	_, ok := n.opt.State.Revision(r.spec.ID)
	return ok
}

// Sync makes the node serve a function as the store has it now: its versions, reserved concurrency
// and policy; a function that the store does not have is removed. Revisions that no version serves
// any more finish what they have. It does not wait for workers. Called for every function after
// Open, and after every change.
func (n *Node) Sync(ctx context.Context, name function.Name) error {
	f, ok := n.opt.State.Function(name)
	if !ok {
		n.remove(name)
		return nil
	}
	p, err := n.opt.State.PolicyOf(f, n.opt.Defaults)
	if err != nil {
		return fmt.Errorf("policy of function %s: %w", name, err)
	}
	var want []*store.Revision
	for _, v := range append([]store.Version{f.Latest}, f.Published...) {
		// During an update what served before goes on; the new revision is here already to be prepared.
		for _, id := range []function.RevisionID{v.Current(), v.Revision} {
			rev, ok := n.opt.State.Revision(id)
			if ok && !slices.ContainsFunc(want, func(r *store.Revision) bool { return r.Spec.ID == rev.Spec.ID }) {
				want = append(want, rev)
			}
		}
	}
	// What is read from the store is read before the engine is held up.
	fresh := map[function.RevisionID]*engine.RevisionConfig{}
	added := map[function.RevisionID]*revision{}
	for _, r := range want {
		if _, ok := n.lookup(r.Spec.ID); ok {
			continue
		}
		l, err := n.ladderOf(&r.Spec)
		if err != nil {
			return err
		}
		rev := &revision{spec: &r.Spec, memory: int32(r.Spec.MemoryMiB), overhead: int32(n.capabilities(&r.Spec).OverheadMiB), ladder: l, artifacts: make([]built, len(l.Rungs))}
		rev.follows = !n.leads(name) || n.lost(rev)
		var restored pipeline.Saved
		if rev.follows {
			restored = n.beginFollowing(rev)
		} else {
			restored = n.restore(ctx, rev, r.Parent)
		}
		n.setOwn(ctx, rev, f)
		fresh[r.Spec.ID] = &engine.RevisionConfig{
			Ladder: l, Slots: rev.slots(), MemoryMiB: rev.reserves(),
			WorkerMB: expectedMB, Restored: restored, Inherited: rev.inherited, Parked: r.Spec.Version != function.Latest,
			InitLimit: int64(n.initTimeout(&r.Spec)), InitMost: int64(max(n.initTimeout(&r.Spec), r.Spec.Timeout)),
			Wait: int64(max(n.opt.InitTimeout, r.Spec.Timeout)), Follows: rev.follows,
		}
		if !rev.follows && p.Prepare != nil && *p.Prepare == policy.PrepareDeploy && (len(restored.Rungs) == 0 || restored.Preparing) && !fresh[r.Spec.ID].Parked {
			rev.preparing = make(chan struct{})
		}
		added[r.Spec.ID] = rev
	}
	if err := n.setNow(f, configOf(f, &p), p.Pause != nil && !*p.Pause, want, fresh, added); err != nil {
		return err
	}
	for id, rev := range added {
		n.list(rev)
		n.PipelineChanged(id) // what could not be found at once, and whoever owns it by now
	}
	for _, r := range want {
		// What the user gave, artifacts that serve already are asked, too.
		if rev, ok := n.lookup(r.Spec.ID); ok && added[r.Spec.ID] != rev && n.setOwn(ctx, rev, f) {
			n.tellSamples(rev, true)
		}
	}
	return nil
}

func (n *Node) setNow(f *store.Function, config engine.FunctionConfig, leaveRunning bool, want []*store.Revision,
	fresh map[function.RevisionID]*engine.RevisionConfig, added map[function.RevisionID]*revision) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return ErrDraining
	}
	n.set(f, config, leaveRunning, want, fresh, added)
	return nil
}

// set is Sync under n.mu.
func (n *Node) set(f *store.Function, config engine.FunctionConfig, leaveRunning bool, want []*store.Revision,
	fresh map[function.RevisionID]*engine.RevisionConfig, added map[function.RevisionID]*revision) {
	e := n.functions[f.Name]
	if e == nil {
		e = &fn{id: engine.FunctionID(freeSlot(&n.fns)), name: f.Name, current: map[function.RevisionID]*revision{}}
		n.fns[e.id] = e
		n.functions[f.Name] = e
		e.config = config
		n.step(engine.Event{Kind: engine.EventFunctionSet, Function: e.id, FunctionConfig: &config})
	} else if e.config != config {
		e.config = config
		n.step(engine.Event{Kind: engine.EventFunctionSet, Function: e.id, FunctionConfig: &config})
	}
	if e.leaveRunning != leaveRunning {
		e.leaveRunning = leaveRunning
		n.wg.Go(func() { n.pauseOrNot(e, leaveRunning) })
	}
	for id, c := range fresh {
		if e.current[id] != nil {
			continue // another Sync was faster
		}
		rev := added[id]
		rev.id, rev.fn = engine.RevisionID(freeSlot(&n.revs)), e
		n.revs[rev.id] = rev
		c.Function = e.id
		e.revs++
		e.current[id] = rev
		n.step(engine.Event{Kind: engine.EventRevisionAdded, Revision: rev.id, RevisionConfig: c})
		n.revisions.Store(id, rev)
	}
	for _, rev := range e.current {
		n.sampling(rev)
	}
	for id, rev := range e.current {
		if !slices.ContainsFunc(want, func(r *store.Revision) bool { return r.Spec.ID == id }) {
			n.revisions.Delete(id)
			delete(e.current, id)
			n.step(engine.Event{Kind: engine.EventRevisionRemoved, Revision: rev.id})
		}
	}
}

// pauseOrNot tells the workers of a function whether they are to be left running.
func (n *Node) pauseOrNot(e *fn, leaveRunning bool) {
	var all []*instance
	n.mu.Lock()
	for _, w := range n.workers {
		if w != nil && w.rev.fn == e && w.ready && e.leaveRunning == leaveRunning {
			all = append(all, w)
		}
	}
	n.mu.Unlock()
	for _, w := range all {
		w.idle.leaveRunning(leaveRunning)
	}
}

// remove is Sync of a function that is not there any more.
func (n *Node) remove(name function.Name) {
	n.mu.Lock()
	defer n.mu.Unlock()
	e := n.functions[name]
	if e == nil || n.closed {
		return
	}
	delete(n.functions, name)
	e.gone = true
	for id := range e.current {
		n.revisions.Delete(id)
	}
	none := e.revs == 0
	n.step(engine.Event{Kind: engine.EventFunctionRemoved, Function: e.id})
	if none {
		n.fns[e.id] = nil
	}
	if n.opt.Metrics != nil {
		n.opt.Metrics.Forget(name)
	}
	n.events.send(Event{Type: "function.removed", Function: name})
	if n.opt.Recent != nil {
		n.opt.Recent.Removed(name)
	}
}

// gone carries out ActionGone. The caller holds n.mu.
func (n *Node) gone(id engine.RevisionID) {
	rev := n.revs[id]
	rev.gone = true
	rev.prepared(ladder.First, engine.ReasonRevisionGone)
	n.revs[id] = nil
	private := map[aot.Key]aot.Builder{}
	for i := range rev.artifacts {
		if b, ok := n.builders[rev.ladder.Rungs[i].Builder].(aot.Private); ok && rev.artifacts[i].key != "" {
			private[rev.artifacts[i].key] = b
		}
	}
	n.wg.Go(func() {
		n.forgetRecordings(rev)
		n.forgetSamples(rev)
		for key, b := range private {
			n.discard(b, key)
		}
	})
	if rev.fn.revs--; rev.fn.revs == 0 && rev.fn.gone {
		n.fns[rev.fn.id] = nil
	}
}

// discard removes an artifact.
func (n *Node) discard(b aot.Builder, key aot.Key) {
	if err := b.Drop(key); err != nil {
		n.log.Error("remove artifact", "key", key, telemetry.KeyError, err)
	}
}

// Sweep removes private artifacts of revisions that are gone, which a server that was killed may have left. Called after
// Sync was for every function.
func (n *Node) Sweep() {
	n.mu.Lock()
	used := map[aot.Key]bool{}
	for _, rev := range n.revs {
		if rev != nil {
			for i := range rev.artifacts {
				used[rev.artifacts[i].key] = true
			}
		}
	}
	n.mu.Unlock()
	for _, b := range n.builders {
		private, ok := b.(aot.Private)
		if !ok {
			continue
		}
		keys, err := private.Private()
		if err != nil {
			n.log.Error("list artifacts", telemetry.KeyError, err)
		}
		for _, key := range keys {
			if !used[key] {
				n.discard(b, key)
			}
		}
	}
}

// freeSlot is the first index of a table that is free.
func freeSlot[T any](table *[]*T) int {
	for i, e := range *table {
		if e == nil {
			return i
		}
	}
	*table = append(*table, nil)
	return len(*table) - 1
}

// expectedMB is what a worker of the first rung is expected to use until it was measured: the samples
// of java/samples take 55 to 75 MiB.
const expectedMB = 65

// reserves is what workers of each rung reserve, MiB: what they may use. A worker of a binary uses less
// than others, but only its limit bounds it, and the node never promises memory twice.
func (r *revision) reserves() []int32 {
	m := make([]int32, len(r.ladder.Rungs))
	for i := range m {
		m[i] = r.memory + r.overhead
	}
	return m
}

// ladderOf is the ladder of a revision without the rungs that nothing here can build, or that its driver has not.
func (n *Node) ladderOf(rev *function.Spec) (*ladder.Ladder, error) {
	_, several := n.opt.Driver.(worker.Several) // with one driver there is a builder of snapshots only if it saves workers
	key := ladderKey{rev.Kind, !several || n.capabilities(rev).Snapshot}
	n.mu.Lock()
	defer n.mu.Unlock()
	if l := n.ladders[key]; l != nil {
		return l, nil
	}
	whole := ladder.Of(rev.Kind)
	if whole == nil {
		return nil, fmt.Errorf("no ladder for functions of kind %s", rev.Kind)
	}
	n.ladders[key] = whole.Keep(func(r *ladder.Rung) bool {
		return r.Artifact == ladder.ArtifactNone || n.makes(r) && (key.snapshot || r.Artifact != ladder.ArtifactSnapshot)
	})
	return n.ladders[key], nil
}

// ladderKey is what the rungs of a revision depend on: its kind, and whether its driver saves workers.
type ladderKey struct {
	kind     function.Kind
	snapshot bool
}

// makes reports whether something here makes the artifact of a rung.
func (n *Node) makes(r *ladder.Rung) bool {
	b, ok := n.builders[r.Builder]
	if c, choosy := b.(aot.Choosy); choosy {
		return c.Makes(r)
	}
	return ok
}

// configOf is a function's configuration as the engine takes it.
func configOf(f *store.Function, p *store.Policy) engine.FunctionConfig {
	d := policy.DefaultParams()
	c := engine.FunctionConfig{Reserved: -1, Params: d}
	if f.Reserved != nil {
		c.Reserved = int32(*f.Reserved)
	}
	if p.QueueLimit != nil {
		c.QueueLimit = int32(*p.QueueLimit)
	}
	if p.Optimize != nil {
		c.NoOptimize = !*p.Optimize
	}
	if p.Compare != nil {
		c.NoCheck = !*p.Compare
	}
	if p.OnMissing != nil {
		c.Deopt = *p.OnMissing
	}
	if p.KeepAlive != nil {
		c.Params.KeepAlive = int64(*p.KeepAlive)
	}
	if p.Threshold != nil {
		c.Params.Threshold = int32(*p.Threshold)
	}
	if p.Window != nil {
		c.Params.Window = int64(*p.Window)
	}
	if p.MaxWait != nil {
		c.Params.MaxWait = int64(*p.MaxWait)
	}
	if p.Prepare != nil {
		c.Params.Prepare = *p.Prepare
	}
	return c
}
