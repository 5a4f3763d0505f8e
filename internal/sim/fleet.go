package sim

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/placement"
	"github.com/cloudjit/cloudjit/internal/trace"
)

const maxNodes = 1024

// Nodes are several nodes that share the invocations. Each has an engine with its even share of the limits.
type Nodes struct {
	// Count of nodes; 0 and 1: one.
	Count     int       `json:"count"`
	Placement Placement `json:"placement"`
	// Cores of all nodes together, for what counts as full; 0: memory alone does.
	Cores float64 `json:"cores"`
	// Gossip is how often nodes hear of each other's load.
	Gossip time.Duration `json:"gossipNs"`
	// Params are those of the platform's own placement.
	Params placement.Params `json:"params"`
}

// Placement is how the node of an invocation is chosen.
type Placement uint8

const (
	// PlaceBounded is the platform's own: internal/placement.
	PlaceBounded Placement = iota
	// PlaceHash is a function's home, whatever that has to do.
	PlaceHash
	// PlaceRandom is any node, PlaceTwoChoices the one of two that has less to do.
	PlaceRandom
	PlaceTwoChoices
)

var placementNames = [...]string{"hash-bounded", "hash", "random", "two-choices"}

func (p Placement) String() string { return placementNames[p] }

// MarshalText writes the name.
func (p Placement) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads a name.
func (p *Placement) UnmarshalText(b []byte) error {
	i := slices.Index(placementNames[:], string(b))
	if i < 0 {
		return fmt.Errorf("unknown placement on nodes %q: want one of %q", b, placementNames)
	}
	*p = Placement(i)
	return nil
}

// ofOneNode are the options of one of several nodes: its share of what is limited.
func (o *Options) ofOneNode() *Options {
	mine := *o
	n := o.Nodes.Count
	mine.Model.MemoryMB /= float64(n)
	mine.Model.ArtifactMB /= float64(n)
	for _, limit := range []*int{&mine.Model.Builders, &mine.Model.LightBuilders} {
		if *limit > 0 {
			*limit = (*limit + n - 1) / n
		}
	}
	for _, limit := range []*int32{&mine.Node.Starts, &mine.Node.Concurrency} {
		if *limit > 0 {
			*limit = (*limit + int32(n) - 1) / int32(n)
		}
	}
	return &mine
}

// fleet runs several nodes in step: every invocation comes to any of them, which chooses by what it knows.
type fleet struct {
	nodes     []*cluster
	options   Nodes
	cores     float64          // of one node
	functions []uint64         // keys of the trace's functions
	mib       []int32          // what a worker of each reserves on the first rung
	told      []placement.Node // what every node knows of the others
	idle      [][]uint64       // and of which functions each has idle workers, by bit
	streams   []placement.Streams
	gossip    int64 // when they hear of each other next
	arrivals  uint64
}

func newFleet(nodes []*cluster, o *Options) *fleet {
	f := &fleet{nodes: nodes, options: o.Nodes, cores: o.Nodes.Cores / float64(o.Nodes.Count), streams: make([]placement.Streams, len(nodes))}
	shared := made{}
	largest := int32(placement.Unlimited)
	if o.Model.MemoryMB > 0 {
		largest = int32(min(o.Model.MemoryMB*1e6/(1<<20)/float64(len(nodes)), placement.Unlimited))
	}
	for i, c := range nodes {
		c.made = shared
		f.told = append(f.told, placement.Node{Key: placement.Key("node-" + strconv.Itoa(i)), LargestMiB: largest})
		f.idle = append(f.idle, make([]uint64, (len(c.fns)+63)/64))
	}
	c := nodes[0]
	for i := range c.fns {
		f.functions = append(f.functions, placement.Key("function-"+strconv.Itoa(i)))
		f.mib = append(f.mib, int32((float64(c.memory(int32(i), 0))/1000+o.Model.SandboxMB)*1e6/(1<<20)))
	}
	return f
}

func (f *fleet) run(batch []trace.Invocation) error {
	for i := range batch {
		inv := &batch[i]
		at := int64(inv.At)
		for ; f.gossip <= at; f.gossip += int64(f.options.Gossip) {
			for n, c := range f.nodes {
				c.reach(f.gossip)
				f.tell(n)
			}
		}
		entry := f.draw(6)
		c := f.nodes[entry]
		c.reach(at)
		to := f.place(at, entry, inv.Function)
		if to != entry {
			c.m.forwarded++
			f.streams[entry].Passed(at, f.functions[inv.Function])
			c = f.nodes[to]
			c.reach(at)
		}
		c.arrive(inv)
		f.arrivals++
		if c.failure != nil {
			return c.failure
		}
	}
	return nil
}

// place chooses the node of an invocation that came to entry, which knows its own load exactly.
func (f *fleet) place(at int64, entry int, fn int32) int {
	mine := &f.told[entry]
	before := *mine
	f.stand(f.nodes[entry], mine)
	defer func() { *mine = before }()
	switch f.options.Placement {
	case PlaceHash:
		return placement.Home(f.functions[fn], f.told)
	case PlaceRandom:
		return f.draw(7)
	case PlaceTwoChoices:
		a, b := f.draw(7), f.draw(8)
		if f.told[b].Load < f.told[a].Load {
			return b
		}
		return a
	}
	for n := range f.told {
		f.told[n].Idle = f.idle[n][fn/64]>>(fn%64)&1 != 0
	}
	mine.Idle, mine.Hot = f.nodes[entry].idle(fn), f.streams[entry].Hot(at, f.functions[fn])
	return placement.Place(f.functions[fn], f.mib[fn], entry, f.told, f.options.Params)
}

// tell takes what a node says of itself now.
func (f *fleet) tell(n int) {
	c := f.nodes[n]
	f.stand(c, &f.told[n])
	for _, fn := range c.touched {
		c.fns[fn].touched = false
		bit := uint64(1) << (fn % 64)
		f.idle[n][fn/64] &^= bit
		if c.idle(fn) {
			f.idle[n][fn/64] |= bit
		}
	}
	c.touched = c.touched[:0]
}

// stand is what a node has to do now, and its memory.
func (f *fleet) stand(c *cluster, to *placement.Node) {
	counts := c.engine.Counts()
	now := counts.Node(f.cores)
	to.Load, to.FreeMiB = now.Load, now.FreeMiB
}

// idle reports whether a node has an idle worker of a function.
func (c *cluster) idle(fn int32) bool { return c.engine.RevisionCounts(engine.RevisionID(fn)).Idle > 0 }

// touch notes that the workers of a function changed since a node told of itself last.
func (c *cluster) touch(fn int32) {
	if c.made != nil && !c.fns[fn].touched {
		c.fns[fn].touched = true
		c.touched = append(c.touched, fn)
	}
}

// draw is any node, by chance; which tells apart what is drawn for.
func (f *fleet) draw(which uint64) int {
	return int(f.nodes[0].chance(which, f.arrivals) * float64(len(f.nodes)))
}

// made has the artifacts that nodes make, each once: the others fetch it.
type made map[artifactOf]int64

// artifactOf is an artifact of a function of the trace, made from a version of its recording.
type artifactOf struct {
	function int32
	rung     ladder.ID
	version  uint32
}

// get says when a node has an artifact that it asks for now, and whether another makes it; due is when its own
// build would be done. One node has nobody to ask.
func (m made) get(c *cluster, a artifactOf, due int64) (at int64, fetched bool) {
	if m == nil {
		return due, false
	}
	if at, fetched = m[a]; fetched {
		return max(at, c.now), true
	}
	m[a] = due
	return due, false
}
