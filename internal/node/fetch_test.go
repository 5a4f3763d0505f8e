package node

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/store"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/fake"
)

// PutPipelineOf and ClaimPipeline make the state one of several nodes.
func (s *state) PutPipelineOf(ctx context.Context, owner string, id function.RevisionID, doc json.RawMessage, steps ...store.Transition) error {
	s.mu.Lock()
	old := s.pipelines[id]
	s.mu.Unlock()
	if old != nil && old.Owner != "" && old.Owner != owner {
		return store.ErrNotOwner
	}
	if err := s.PutPipeline(ctx, id, doc, steps...); err != nil {
		return err
	}
	return s.ClaimPipeline(ctx, owner, id)
}

func (s *state) ClaimPipeline(_ context.Context, owner string, id function.RevisionID) error {
	s.mu.Lock()
	old := s.pipelines[id]
	if old == nil {
		s.mu.Unlock()
		return store.ErrNotFound
	}
	p := *old
	p.Owner = owner
	s.pipelines[id] = &p
	changed := s.changed
	s.mu.Unlock()
	if changed != nil {
		changed(id)
	}
	return nil
}

// Digest makes the builder an aot.Movable.
func (b *builder) Digest(key aot.Key) (string, error) { return "digest of " + string(key), nil }

// town is several nodes with one state, each with a builder of its own. Messages come at once, unless they are lost.
type town struct {
	mu    sync.Mutex
	state *state
	nodes map[string]*world
	owner string
	near  []string
	lose  bool
	hooks []func()
	heard map[string][]func(from string, data []byte)
	// fetches counts who asked for something; refuse makes them fail.
	fetches map[string]int
	refuse  error
}

// place is the town as one node sees it.
type place struct {
	*town
	name string
}

func (p place) Owns(string) bool { p.mu.Lock(); defer p.mu.Unlock(); return p.owner == p.name }
func (p place) Near(string) bool { return slices.Contains(p.near, p.name) }
func (p place) OnChange(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hooks = append(p.hooks, f)
}
func (p place) Subscribe(_ string, f func(string, []byte)) (func(), error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard[p.name] = append(p.heard[p.name], f)
	return func() {}, nil
}
func (p place) Publish(_ string, data []byte) error {
	p.mu.Lock()
	var all []func(string, []byte)
	for name, fs := range p.heard {
		if name != p.name && !p.lose {
			all = append(all, fs...)
		}
	}
	p.mu.Unlock()
	for _, f := range all {
		f(p.name, data)
	}
	return nil
}

// moves makes another node the owner.
func (c *town) moves(owner string) {
	c.mu.Lock()
	c.owner = owner
	hooks := slices.Clone(c.hooks)
	c.mu.Unlock()
	for _, f := range hooks {
		f()
	}
}

// fetch is Options.Fetch of a node with a builder: from that of any other node.
func (c *town) fetch(name string, b *builder) func(ctx context.Context, w Wanted) error {
	return func(ctx context.Context, w Wanted) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.fetches[name]++
		if c.refuse != nil {
			return c.refuse
		}
		for other, n := range c.nodes {
			if doc, ok := n.builder.has(w.Key); other != name && ok {
				if d, _ := n.builder.Digest(w.Key); d != w.Digest {
					return errors.New("another digest is wanted")
				}
				b.put(w.Key, doc)
				return nil
			}
		}
		return errors.New("nobody has it")
	}
}

func (b *builder) has(key aot.Key) ([]byte, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	doc, ok := b.made[key]
	return doc, ok
}

func (b *builder) put(key aot.Key, doc []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.made == nil {
		b.made = map[aot.Key][]byte{}
	}
	b.made[key] = doc
}

// newTown starts nodes; the first one owns everything, and the first two are near.
func newTown(t *testing.T, names ...string) *town {
	c := &town{state: newState(), nodes: map[string]*world{}, owner: names[0], near: names[:2],
		heard: map[string][]func(string, []byte){}, fetches: map[string]int{}}
	c.state.changed = func(id function.RevisionID) {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, w := range c.nodes {
			w.PipelineChanged(id)
		}
	}
	for _, name := range names {
		c.start(t, name, &builder{time: 30 * time.Second})
	}
	return c
}

func (c *town) start(t *testing.T, name string, b *builder) *world {
	w := open(t, &world{state: c.state, builder: b, program: func(s worker.Spec) fake.Program {
		p := rungs(s)
		p.Handler = echo(100 * time.Millisecond)
		return p
	}}, func(o *Options) { o.Peers, o.Name, o.Fetch = place{c, name}, name, c.fetch(name, b) })
	c.mu.Lock()
	c.nodes[name] = w
	c.mu.Unlock()
	return w
}

func (c *town) close() {
	for _, w := range c.nodes {
		w.Close()
	}
}

// deploy makes a function known to all nodes.
func (c *town) deploy(t *testing.T, name function.Name) function.RevisionID {
	id := c.nodes[c.owner].deploy(t, name, nil)
	for _, w := range c.nodes {
		if err := w.Sync(context.Background(), name); err != nil {
			t.Fatal(err)
		}
	}
	return id
}

// native makes a function get its binary at its owner.
func (c *town) native(t *testing.T, id function.RevisionID) {
	t.Helper()
	for range 6 {
		c.nodes[c.owner].burst(t, id, 4)
		time.Sleep(time.Minute)
		synctest.Wait()
	}
	if got := c.rung(c.owner, id); got != ladder.Native {
		t.Fatalf("at the owner new workers are on %s: %v", got, c.state.history(id))
	}
}

// asked is how often a node asked for an artifact.
func (c *town) asked(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fetches[name]
}

// rung is that of new workers.
func (c *town) rung(name string, id function.RevisionID) function.Rung {
	w := c.nodes[name]
	rev, _ := w.lookup(id)
	w.mu.Lock()
	defer w.mu.Unlock()
	return rev.ladder.RungName(w.engine.RevisionCounts(rev.id).Rung)
}

func (c *town) runs() (n int) {
	for _, w := range c.nodes {
		w.builder.mu.Lock()
		n += w.builder.runs
		w.builder.mu.Unlock()
	}
	return n
}

// TestArtifactsAreMadeOnce: the owner builds; who is near has it at once, who is not has it after its first invocation; and the next
// owner, also one that has lost its cache, takes it instead of making it again.
func TestArtifactsAreMadeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTown(t, "a", "b", "c")
		defer c.close()
		id := c.deploy(t, "f")
		c.native(t, id)
		if got := c.rung("b", id); got != ladder.Native {
			t.Errorf("the node that is near is on %s", got)
		}
		if got := c.rung("c", id); got != ladder.HotSpot || c.asked("c") != 0 {
			t.Errorf("a node that the function never comes to is on %s, after %d fetches", got, c.asked("c"))
		}
		c.nodes["c"].call(t, id, "1")
		time.Sleep(time.Second)
		synctest.Wait()
		if got := c.rung("c", id); got != ladder.Native {
			t.Errorf("after its first invocation the node is on %s", got)
		}
		if c.nodes["c"].burst(t, id, 3)[ladder.Native] == 0 {
			t.Error("the binary that was fetched does not serve")
		}
		// The owner loses its cache, and another one becomes the owner.
		key := ""
		for k := range c.nodes["c"].builder.made {
			key = string(k)
		}
		_ = c.nodes["b"].builder.Drop(aot.Key(key))
		c.moves("b")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := c.rung("b", id); got != ladder.Native {
			t.Errorf("the next owner is on %s", got)
		}
		c.nodes["b"].burst(t, id, 4)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if n := c.runs(); n != 1 {
			t.Errorf("it was built %d times", n)
		}
		if p, _ := c.state.Pipeline(id); p.Owner != "b" {
			t.Errorf("the owner is %q", p.Owner)
		}
		// The owner starts again with an empty cache.
		c.nodes["b"].Close()
		c.start(t, "b", &builder{time: 30 * time.Second})
		for n := 0; n < 60 && c.rung("b", id) != ladder.Native; n++ { // one that asks too early asks again later
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if got, n := c.rung("b", id), c.runs(); got != ladder.Native || n != 1 {
			t.Errorf("an owner with an empty cache is on %s, after %d builds", got, n)
		}
	})
}

// TestNobodyHasIt: the rung below serves, tries become rare, and the next owner makes it again.
func TestNobodyHasIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTown(t, "a", "b")
		defer c.close()
		c.refuse = errors.New("connection refused")
		id := c.deploy(t, "f")
		c.native(t, id)
		if c.nodes["b"].burst(t, id, 3)[ladder.HotSpot] != 3 {
			t.Error("the rung below does not serve")
		}
		before := c.asked("b")
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := c.asked("b") - before; n < 9 || n > 20 {
			t.Errorf("asked %d times within ten minutes", n)
		}
		c.nodes["a"].Close()
		delete(c.nodes, "a")
		c.moves("b")
		for range 4 {
			c.nodes["b"].burst(t, id, 4)
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		if got := c.rung("b", id); got != ladder.Native || c.nodes["b"].builder.runs != 1 {
			t.Errorf("the next owner is on %s after %d builds of its own: %v", got, c.nodes["b"].builder.runs, c.state.history(id))
		}
	})
}

// TestArtifactsThatFell are removed where they were fetched, too.
func TestArtifactsThatFell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTown(t, "a", "b")
		defer c.close()
		id := c.deploy(t, "f")
		c.native(t, id)
		if len(c.nodes["b"].builder.made) != 1 {
			t.Fatal("it was not fetched")
		}
		if err := c.nodes["a"].Deoptimize(context.Background(), id); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := c.rung("b", id); got != ladder.HotSpot || len(c.nodes["b"].builder.made) != 0 {
			t.Errorf("the other node is on %s, and has %d binaries", got, len(c.nodes["b"].builder.made))
		}
	})
}

// TestWishesReachTheOwner: what an operator wants of one node the owner does, though messages are lost for a while, and does it once; also where
// the owner becomes another one meanwhile.
func TestWishesReachTheOwner(t *testing.T) {
	for name, next := range map[string]string{"lost for a while": "a", "another owner": "c", "the node itself": "b"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newTown(t, "a", "b", "c")
				defer c.close()
				id := c.deploy(t, "f")
				c.nodes["a"].call(t, id, "1")
				c.deaf(true)
				if err := c.nodes["b"].Optimize(context.Background(), id, ladder.Native); err != nil {
					t.Fatal(err)
				}
				time.Sleep(5 * time.Second)
				if next != "a" {
					c.moves(next)
				}
				c.deaf(false)
				time.Sleep(20 * time.Second)
				c.nodes[next].burst(t, id, 4)
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				if got := c.rung(next, id); got != ladder.Native || c.runs() != 1 {
					t.Fatalf("the owner is on %s after %d builds: %v", got, c.runs(), c.state.history(id))
				}
			})
		})
	}
}

// deaf makes all messages be lost, or come again.
func (c *town) deaf(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lose = on
}
