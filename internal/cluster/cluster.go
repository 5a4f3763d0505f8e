// Package cluster knows which nodes there are: their names, where their APIs are, which of them live, and which one
// owns a thing of which there must be one doer. It also carries short messages (gossip) between them.
//
// Nodes tell of themselves twice a second, over whatever Bus they share; a node that was not heard of for three seconds
// does not live. That is a guess: who must be certain compares sequences in the store. The package does not know
// how messages travel, what is stored, or what the nodes do with each other's addresses.
//
// A nil *Cluster is one node alone: it has no members, owns everything, and tells nobody.
package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cloudjit/cloudjit/internal/placement"
)

// Bus carries messages between all nodes, the sender included. They may be lost, and come in any order.
type Bus interface {
	// Publish sends to all that subscribed, and does not wait for them.
	Publish(subject string, data []byte) error
	// Subscribe calls f for each message, one after the other, until stop is called.
	Subscribe(subject string, f func(data []byte)) (stop func(), err error)
	// Replication is how the stored state stands; it does not wait for other nodes.
	Replication() Replication
}

// Replication is how the stored state is kept on several nodes.
type Replication struct {
	// Leader is the server through which all writes go; empty: there is none now, and nothing can be written.
	Leader string `json:"leader"`
	// Replicas are the servers that hold the state, the leader among them.
	Replicas []Replica `json:"replicas"`
	// At is when this was seen; zero: never.
	At time.Time `json:"at"`
	// Behind: this node's own copies are not yet what the others have, by its own word. A leader does not notice that a replica has lost
	// what it had: it goes by what that confirmed once.
	Behind bool `json:"-"`
}

// Replica is one server that holds the state.
type Replica struct {
	Name string `json:"name"`
	// Current: it has what the leader has. Lag is how many operations it is behind.
	Current bool   `json:"current"`
	Offline bool   `json:"offline,omitempty"`
	Lag     uint64 `json:"lag"`
}

// Quorum reports whether enough replicas are there for writes.
func (r *Replication) Quorum() bool {
	online := 0
	for _, x := range r.Replicas {
		if !x.Offline {
			online++
		}
	}
	return r.Leader != "" && 2*online > len(r.Replicas)
}

// Member is one node.
type Member struct {
	// Name is unique in the cluster and stays when the node starts again; ID (a ULID) is that of this run.
	Name string `json:"name"`
	ID   string `json:"id"`
	// API is the URL where other nodes reach its API; Address is host:port where its store is reached, empty for one that uses
	// servers of somebody else.
	API     string    `json:"api"`
	Address string    `json:"address,omitempty"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	// Draining: it takes nothing new and is about to stop.
	Draining bool `json:"draining,omitempty"`
	// Behind: it says that its copies of the state are not yet what the others have.
	Behind bool `json:"behind,omitempty"`

	// LastSeen is when it was heard of last, by this node's clock. Live: that was not long ago.
	LastSeen time.Time `json:"lastSeen"`
	Live     bool      `json:"live"`
	Self     bool      `json:"self,omitempty"`
	// Leader: writes go through it. Lag is how many operations its copy of the state is behind; Current: none.
	Leader  bool   `json:"leader"`
	Current bool   `json:"current"`
	Lag     uint64 `json:"lag"`
}

// State is a word for people: live, draining or gone.
func (m *Member) State() string {
	switch {
	case !m.Live:
		return "gone"
	case m.Draining:
		return "draining"
	}
	return "live"
}

const (
	// beatEvery is how often a node tells of itself, deadAfter how long it lives without being heard of.
	beatEvery = 500 * time.Millisecond
	deadAfter = 3 * time.Second
	// forgetAfter is how long one that does not live is told of.
	forgetAfter = time.Hour
)

// Options of Open. All fields are needed but Beat and Dead.
type Options struct {
	// Self is this node: Name, ID, API, Address, Version, Started.
	Self Member
	Bus  Bus
	// Key is a secret that only the nodes of this cluster have: what one asks another is signed with it.
	Key []byte
	// Beat and Dead are for tests; 0: 0.5 and 3 seconds.
	Beat, Dead time.Duration
}

// Cluster is this node's view of all nodes. Its methods may be called concurrently.
type Cluster struct {
	opt  Options
	stop []func()
	end  chan struct{}
	done sync.WaitGroup
	// began is when it began to listen.
	began time.Time

	mu       sync.Mutex
	draining bool
	members  map[string]*Member // by name
	live     []string           // names of those that live and do not drain, this node's included, in order
	hooks    []func()
}

// beat is what a node says of itself.
type beat struct {
	Member
	Leaving bool `json:"leaving,omitempty"`
	// Asks: it was just started, and wants to hear of the others at once.
	Asks bool `json:"asks,omitempty"`
}

// Subjects.
const (
	beatSubject   = "cloudjit.member"
	gossipSubject = "cloudjit.gossip."
	drainSubject  = "cloudjit.drain"
)

// Open begins to tell of this node and to listen for others. Close ends that.
func Open(opt Options) (*Cluster, error) {
	if opt.Self.Name == "" || opt.Self.ID == "" || opt.Bus == nil {
		return nil, errors.New("cluster: needs a name, an identifier and a bus")
	}
	if opt.Beat == 0 {
		opt.Beat = beatEvery
	}
	if opt.Dead == 0 {
		opt.Dead = deadAfter
	}
	c := &Cluster{opt: opt, end: make(chan struct{}), members: map[string]*Member{}, began: time.Now()}
	self := opt.Self
	self.LastSeen, self.Live, self.Self = time.Now(), true, true
	c.members[self.Name] = &self
	c.live = []string{self.Name}
	stop, err := opt.Bus.Subscribe(beatSubject, c.heard)
	if err != nil {
		return nil, fmt.Errorf("listen for other nodes: %w", err)
	}
	c.stop = append(c.stop, stop)
	if stop, err = opt.Bus.Subscribe(drainSubject, c.wished); err != nil {
		return nil, fmt.Errorf("listen for other nodes: %w", err)
	}
	c.stop = append(c.stop, stop)
	c.tell(beat{Asks: true})
	c.done.Go(c.run)
	return c, nil
}

func (c *Cluster) run() {
	tick := time.NewTicker(c.opt.Beat)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.tell(beat{})
			c.look(time.Now())
		case <-c.end:
			c.tell(beat{Leaving: true})
			return
		}
	}
}

// tell says something of this node. What is lost is said again.
func (c *Cluster) tell(b beat) {
	b.Member = c.opt.Self
	b.Behind = c.opt.Bus.Replication().Behind
	c.mu.Lock()
	b.Draining = c.draining
	c.members[b.Name].Behind = b.Behind
	c.mu.Unlock()
	if doc, err := json.Marshal(&b); err == nil {
		_ = c.opt.Bus.Publish(beatSubject, doc)
	}
}

// heard takes what a node says of itself.
func (c *Cluster) heard(data []byte) {
	var b beat
	if err := json.Unmarshal(data, &b); err != nil || b.Name == "" || b.Name == c.opt.Self.Name {
		return
	}
	c.mu.Lock()
	known := c.members[b.Name]
	if b.Leaving && (known == nil || known.ID != b.ID) {
		c.mu.Unlock()
		return // of an earlier run of it
	}
	m := b.Member
	m.LastSeen, m.Live, m.Self = time.Now(), !b.Leaving, false
	c.members[b.Name] = &m
	changed := known == nil || known.ID != m.ID || known.Live != m.Live || known.Draining != m.Draining
	c.settle(changed)
	if b.Asks {
		c.tell(beat{})
	}
}

// look finds out who does not live any more.
func (c *Cluster) look(now time.Time) {
	c.mu.Lock()
	changed := false
	for name, m := range c.members {
		switch {
		case m.Self:
			m.LastSeen, m.Draining = now, c.draining
		case m.Live && now.Sub(m.LastSeen) > c.opt.Dead:
			m.Live, changed = false, true
		case !m.Live && now.Sub(m.LastSeen) > forgetAfter:
			delete(c.members, name)
		}
	}
	c.settle(changed)
}

// settle ends a change: it unlocks c.mu and tells those that want to know.
func (c *Cluster) settle(changed bool) {
	if !changed {
		c.mu.Unlock()
		return
	}
	c.live = c.live[:0:0]
	for name, m := range c.members {
		if m.Live && !m.Draining {
			c.live = append(c.live, name)
		}
	}
	slices.Sort(c.live)
	hooks := slices.Clone(c.hooks)
	c.mu.Unlock()
	for _, f := range hooks {
		f()
	}
}

// OnChange has f called, without locks held, whenever a node came, went, drains or started again.
func (c *Cluster) OnChange(f func()) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hooks = append(c.hooks, f)
}

// Self is this node; its zero value without a cluster.
func (c *Cluster) Self() Member {
	if c == nil {
		return Member{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return *c.members[c.opt.Self.Name]
}

// Key is the secret of the cluster's nodes.
func (c *Cluster) Key() []byte {
	if c == nil {
		return nil
	}
	return c.opt.Key
}

// Members are all nodes that were heard of in the last hour, by name, this one among them, with how their copies of the
// state stand. None without a cluster.
func (c *Cluster) Members() []Member {
	if c == nil {
		return nil
	}
	r := c.Replication()
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]Member, 0, len(c.members))
	for _, m := range c.members {
		m := *m
		m.Leader = m.Name == r.Leader
		for _, x := range r.Replicas {
			if x.Name == m.Name {
				m.Current, m.Lag = x.Current, x.Lag
			}
		}
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Live are the names of the nodes that live and take work, in order, this one among them unless it drains. The slice is
// shared: do not change it.
func (c *Cluster) Live() []string {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.live
}

// Member is a node by its name.
func (c *Cluster) Member(name string) (Member, bool) {
	if c == nil {
		return Member{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.members[name]; m != nil {
		return *m, true
	}
	return Member{}, false
}

// Replication is how the stored state stands: a replica of one of these nodes is current if its leader says so and the node itself, and it
// lives.
func (c *Cluster) Replication() Replication {
	if c == nil {
		return Replication{}
	}
	r := c.opt.Bus.Replication()
	r.Replicas = slices.Clone(r.Replicas)
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range r.Replicas {
		x := &r.Replicas[i]
		if m := c.members[x.Name]; m != nil {
			x.Current = x.Current && m.Live && !m.Behind
		}
	}
	return r
}

// Running reports whether a run of a node, by its ID, goes on as far as this node knows. What it never heard of it takes for
// running until a node that lives would have been heard.
func (c *Cluster) Running(id string) bool {
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.members {
		if m.ID == id {
			return m.Live
		}
	}
	return time.Since(c.began) < c.opt.Dead
}

// Drain says to the others that this node takes nothing new, or does again.
func (c *Cluster) Drain(draining bool) {
	if c == nil {
		return
	}
	c.mu.Lock()
	changed := c.draining != draining
	c.draining = draining
	c.members[c.opt.Self.Name].Draining = draining
	c.settle(changed)
	c.tell(beat{})
}

// AskToDrain asks a node, which may be this one, to take nothing new, or to take work again.
func (c *Cluster) AskToDrain(name string, draining bool) error {
	if c == nil {
		return nil
	}
	doc, err := json.Marshal(wish{name, draining})
	if err != nil {
		return err
	}
	return c.opt.Bus.Publish(drainSubject, doc)
}

// wish is that a node drains, or does not any more.
type wish struct {
	Node  string `json:"node"`
	Drain bool   `json:"drain"`
}

// wished does what somebody wants of this node.
func (c *Cluster) wished(data []byte) {
	var w wish
	if json.Unmarshal(data, &w) == nil && w.Node == c.opt.Self.Name {
		c.Drain(w.Drain)
	}
}

// Owner is the node that does what only one may do with a thing, by rendezvous over the nodes that live: when a node comes or
// goes, only what is its own moves. Nodes may disagree for some seconds, so what the owner writes is compared in the
// store. Empty: none lives.
func (c *Cluster) Owner(thing string) string {
	if c == nil {
		return ""
	}
	return Rendezvous(thing, c.Live())
}

// Owns reports whether this node is the owner of a thing.
func (c *Cluster) Owns(thing string) bool { return c == nil || c.Owner(thing) == c.opt.Self.Name }

// nearNodes is how many nodes are near to a function: where it is at home, and where it runs when that one has too much to do, or is
// gone.
const nearNodes = 2

// Near reports whether this node is one of the first in a thing's own order.
func (c *Cluster) Near(thing string) bool {
	if c == nil {
		return true
	}
	names := c.Live()
	self := slices.Index(names, c.opt.Self.Name)
	return self >= 0 && placement.Rank(placement.Key(thing), self, keys(names)) < nearNodes
}

func keys(names []string) []placement.Node {
	nodes := make([]placement.Node, 0, 8)
	for _, name := range names {
		nodes = append(nodes, placement.Node{Key: placement.Key(name)})
	}
	return nodes
}

// Rendezvous is the name that comes first in a thing's own order of names: that in which invocations are placed, so that the owner
// of a function's pipelines is the node where it is at home. Empty without names.
func Rendezvous(thing string, names []string) string {
	if i := placement.Home(placement.Key(thing), keys(names)); i >= 0 {
		return names[i]
	}
	return ""
}

// Publish sends a short message about a topic, of [a-z0-9.-], to all other nodes. It may be lost.
func (c *Cluster) Publish(topic string, data []byte) error {
	if c == nil {
		return nil
	}
	return c.opt.Bus.Publish(gossipSubject+topic, append(append([]byte(c.opt.Self.Name), 0), data...))
}

// Subscribe calls f with each message of another node about a topic, one after the other, until stop is called.
func (c *Cluster) Subscribe(topic string, f func(from string, data []byte)) (stop func(), err error) {
	if c == nil {
		return func() {}, nil
	}
	return c.opt.Bus.Subscribe(gossipSubject+topic, func(msg []byte) {
		from, data, ok := bytes.Cut(msg, []byte{0})
		if ok && string(from) != c.opt.Self.Name {
			f(string(from), data)
		}
	})
}

// Close tells the others that this node leaves, and ends. Idempotent.
func (c *Cluster) Close() {
	if c == nil {
		return
	}
	c.mu.Lock()
	stop := c.stop
	c.stop = nil
	c.mu.Unlock()
	if stop == nil {
		return
	}
	close(c.end)
	c.done.Wait()
	for _, f := range stop {
		f()
	}
}
