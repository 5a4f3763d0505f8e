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
	"github.com/cloudjit/cloudjit/internal/metadata"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/store"
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
}

// revision is a revision that the node has. Under n.mu, but for what never changes.
type revision struct {
	id     engine.RevisionID
	spec   *function.Spec
	fn     *fn
	memory [function.TierCount]int32 // MiB, what a worker reserves and may use

	binaries    [function.LevelOptimized + 1]string // folders, by level
	keys        [function.LevelOptimized + 1]aot.Key
	failedKey   aot.Key // the last build that must fail again
	failedLevel function.Level
	cancelBuild context.CancelFunc
	reason      string // of the last move
	since       time.Time
	trigger     string // why it was promoted last
	gone        bool   // the engine does not have it any more

	missing atomic.Pointer[string] // what a binary lacked, for the next deoptimization's record

	metaMu  sync.Mutex // serializes merges
	meta    *metadata.Set
	version uint32
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
		rev, ok := n.opt.State.Revision(v.Current())
		if ok && !slices.ContainsFunc(want, func(r *store.Revision) bool { return r.Spec.ID == rev.Spec.ID }) {
			want = append(want, rev)
		}
	}
	// What is read from the store is read before the engine is held up.
	fresh := map[function.RevisionID]*engine.RevisionConfig{}
	added := map[function.RevisionID]*revision{}
	for _, r := range want {
		if _, ok := n.lookup(r.Spec.ID); ok {
			continue
		}
		rev := &revision{spec: &r.Spec, memory: memoryOf(&r.Spec)}
		fresh[r.Spec.ID] = &engine.RevisionConfig{
			Direct: r.Spec.Kind == function.KindProvided, Slots: rev.slots(), MemoryMiB: rev.memory,
			Restored: n.restore(ctx, rev, r.Parent),
		}
		added[r.Spec.ID] = rev
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return ErrDraining
	}
	n.set(f, configOf(f, &p), want, fresh, added)
	return nil
}

// set is Sync under n.mu.
func (n *Node) set(f *store.Function, config engine.FunctionConfig, want []*store.Revision,
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
	for id, rev := range e.current {
		if !slices.ContainsFunc(want, func(r *store.Revision) bool { return r.Spec.ID == id }) {
			n.revisions.Delete(id)
			delete(e.current, id)
			n.step(engine.Event{Kind: engine.EventRevisionRemoved, Revision: rev.id})
		}
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
}

// gone carries out ActionGone. The caller holds n.mu.
func (n *Node) gone(id engine.RevisionID) {
	rev := n.revs[id]
	rev.gone = true
	n.revs[id] = nil
	if rev.fn.revs--; rev.fn.revs == 0 && rev.fn.gone {
		n.fns[rev.fn.id] = nil
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

// memoryOf is what workers of each tier reserve, MiB: what they may use. A native worker uses less than
// a HotSpot worker, but only its limit bounds it, and the node never promises memory twice.
func memoryOf(s *function.Spec) (m [function.TierCount]int32) {
	for tier := range m {
		m[tier] = int32(s.MemoryMiB)
	}
	return m
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
	return c
}
