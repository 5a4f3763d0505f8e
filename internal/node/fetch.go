package node

import (
	"slices"
	"sync"
	"time"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/telemetry"
)

// An artifact is made once for the cluster. The nodes where a function's invocations land first get it as soon as its owner has
// made it; others, and those that were away, when they first serve the function. Meanwhile the rung below serves. What to
// compare it with stands in the pipeline's document, so that whoever sends it need not be trusted. Who becomes the
// owner looks for what is there before it makes anything again.

// Wanted is an artifact that another node has made.
type Wanted struct {
	Builder string
	Key     aot.Key
	// Digest is what it must have; see aot.Movable.
	Digest string
	// Owner is the node that made it, as far as is known; it is asked first.
	Owner string
}

const (
	// fetchSlots is how many artifacts are fetched at a time.
	fetchSlots = 2
	// enoughFetches is how often the next owner looks for an artifact in vain until it makes it again, and how often one is fetched
	// that turns out not to fit this machine.
	enoughFetches = 3
	minRefetch    = time.Second
	maxRefetch    = time.Minute
)

// fetches are the artifacts that this node gets or got from others, by key and digest. The zero value is ready.
type fetches struct {
	mu    sync.Mutex
	by    map[Wanted]*fetching
	slots chan struct{}
}

type fetching struct {
	running bool
	// failed in a row, and taken: how often it was fetched.
	failed, taken int
	notBefore     time.Time
}

// digest is that of an artifact; empty without other nodes, and where it is of this machine alone.
func (n *Node) digest(b aot.Builder, key aot.Key) string {
	m, ok := b.(aot.Movable)
	if n.opt.Peers == nil || !ok || key == "" {
		return ""
	}
	d, err := m.Digest(key)
	if err != nil {
		n.log.Warn("an artifact cannot be given to other nodes", "builder", b.Name(), "key", key, telemetry.KeyError, err)
		return ""
	}
	return d
}

// fetch begins to get what a revision lacks, where it is not under way. True: all of it was looked for often enough, in vain.
func (n *Node) fetch(rev *revision, missing []Wanted) (settled bool) {
	f := &n.fetches
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.by == nil {
		f.by, f.slots = map[Wanted]*fetching{}, make(chan struct{}, fetchSlots)
	}
	settled = true
	for _, w := range missing {
		id := Wanted{Builder: w.Builder, Key: w.Key, Digest: w.Digest}
		x := f.by[id]
		if x == nil {
			x = &fetching{}
			f.by[id] = x
		}
		if x.taken >= enoughFetches || x.failed >= enoughFetches && time.Now().Before(x.notBefore) {
			continue
		}
		settled = settled && x.failed >= enoughFetches
		if !x.running && !time.Now().Before(x.notBefore) {
			x.running = true
			n.wg.Go(func() { n.get(rev, w, x) })
		}
	}
	return settled
}

// get fetches one artifact, and has its revision looked at again.
func (n *Node) get(rev *revision, w Wanted, x *fetching) {
	f := &n.fetches
	select {
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	case <-n.ctx.Done():
		return
	}
	began := time.Now()
	err := n.opt.Fetch(n.ctx, w)
	if n.ctx.Err() != nil {
		return
	}
	f.mu.Lock()
	x.running = false
	if err == nil {
		x.failed = 0
		x.taken++
	} else {
		x.failed++
		x.notBefore = time.Now().Add(min(minRefetch<<min(x.failed-1, 10), maxRefetch))
	}
	wait, enough := max(time.Until(x.notBefore), 0), x.failed >= enoughFetches
	f.mu.Unlock()
	if err != nil {
		n.log.Warn("an artifact could not be fetched from another node; the rung below serves, and it is tried again", telemetry.KeyFunction, rev.fn.name,
			telemetry.KeyRevision, rev.spec.ID, "builder", w.Builder, "key", w.Key, "retry", wait.Round(time.Millisecond), telemetry.KeyError, err)
		time.AfterFunc(wait, func() { n.PipelineChanged(rev.spec.ID) })
		if !enough {
			return
		}
	} else {
		n.log.Info("an artifact was fetched from another node", telemetry.KeyFunction, rev.fn.name, telemetry.KeyRevision, rev.spec.ID,
			"builder", w.Builder, "key", w.Key, telemetry.KeyDuration, time.Since(began))
	}
	n.PipelineChanged(rev.spec.ID)
}

// fetched reports whether an artifact came from another node since this one started, so that nobody else counts on its copy.
func (n *Node) fetched(builder string, key aot.Key) bool {
	f := &n.fetches
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, x := range f.by {
		if id.Builder == builder && id.Key == key && x.taken > 0 {
			return true
		}
	}
	return false
}

// wants reports whether this node is to have the artifacts of a revision that another one owns. The caller holds n.mu.
func (n *Node) wants(rev *revision) bool {
	return rev.used || n.opt.Peers.Near(string(rev.fn.name))
}

// use notes that this node serves a revision of another's, which may lack what was made for it. The caller holds n.mu.
func (n *Node) use(rev *revision) {
	if rev.used {
		return
	}
	rev.used = true
	if rev.lacks {
		n.PipelineChanged(rev.spec.ID)
	}
}

// discardUnused removes an artifact that no revision has any more. The caller holds n.mu.
func (n *Node) discardUnused(b aot.Builder, key aot.Key) {
	for _, other := range n.revs {
		if other != nil && slices.ContainsFunc(other.artifacts, func(b built) bool { return b.key == key }) {
			return
		}
	}
	n.wg.Go(func() { n.discard(b, key) })
}
