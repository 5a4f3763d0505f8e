package placement_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudjit/cloudjit/internal/placement"
)

// empty are n nodes that have nothing to do.
func empty(n int) []placement.Node {
	nodes := make([]placement.Node, n)
	for i := range nodes {
		nodes[i] = placement.Node{Key: placement.Key(fmt.Sprintf("node-%d", i)), FreeMiB: placement.Unlimited, LargestMiB: placement.Unlimited}
	}
	return nodes
}

func Example() {
	nodes := empty(3)
	orders := placement.Key("orders")
	place := func() int { return placement.Place(orders, 512, -1, nodes, placement.Default) }
	home := place()
	nodes[home].Load = 900 // its home has much to do
	next := place()
	nodes[next].Idle = true // and so it got a worker elsewhere
	nodes[home].Load = 100
	fmt.Println(next != home, place() == next)
	nodes[next].Idle = false
	fmt.Println(place() == home)
	// Output:
	// true true
	// true
}

// drawn is any cluster, with what an invocation needs.
func drawn(t *rapid.T) (nodes []placement.Node, function uint64, mib int32, p placement.Params) {
	nodes = empty(rapid.IntRange(1, 12).Draw(t, "nodes"))
	for i := range nodes {
		nodes[i].Load = rapid.Int32Range(0, 2000).Draw(t, "load")
		nodes[i].LargestMiB = rapid.SampledFrom([]int32{placement.Unlimited, 1024, 4096}).Draw(t, "largest")
		nodes[i].FreeMiB = rapid.Int32Range(0, 4096).Draw(t, "free")
		nodes[i].Idle = rapid.IntRange(0, 5).Draw(t, "idle") == 0
	}
	p = placement.Params{Factor: rapid.Float64Range(0.5, 2).Draw(t, "factor"), Slack: rapid.Int32Range(0, 500).Draw(t, "slack")}
	return nodes, rapid.Uint64().Draw(t, "function"), rapid.SampledFrom([]int32{128, 2048, 8192}).Draw(t, "MiB"), p
}

// slowly is Place without a node that it came to, written as one would say it.
func slowly(function uint64, mib int32, nodes []placement.Node, p placement.Params) int {
	var order []int // of those that fit, the function's own
	left := nodesWhere(nodes, func(n *placement.Node) bool { return mib <= n.LargestMiB })
	if left == nil {
		left, mib = nodesWhere(nodes, func(*placement.Node) bool { return true }), 0
	}
	sum := int64(0)
	for len(left) > 0 {
		among := make([]placement.Node, len(left))
		for i, n := range left {
			among[i] = nodes[n]
		}
		first := placement.Home(function, among)
		order = append(order, left[first])
		sum += int64(nodes[left[first]].Load)
		left = append(left[:first], left[first+1:]...)
	}
	most := int64(p.Factor*float64(sum)/float64(len(order))) + int64(p.Slack)
	for _, good := range []func(n *placement.Node) bool{
		func(n *placement.Node) bool { return n.Idle && n.Load < 1000 },
		func(n *placement.Node) bool { return int64(n.Load) <= most && n.FreeMiB >= mib },
		func(n *placement.Node) bool { return int64(n.Load) <= most },
	} {
		for _, i := range order {
			if good(&nodes[i]) {
				return i
			}
		}
	}
	least := order[0]
	for _, i := range order {
		if nodes[i].Load < nodes[least].Load {
			least = i
		}
	}
	return least
}

func nodesWhere(nodes []placement.Node, good func(n *placement.Node) bool) (at []int) {
	for i := range nodes {
		if good(&nodes[i]) {
			at = append(at, i)
		}
	}
	return at
}

func TestAgainstTheSlowOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes, function, mib, p := drawn(t)
		if got, want := placement.Place(function, mib, -1, nodes, p), slowly(function, mib, nodes, p); got != want {
			t.Fatalf("placed on %d: want %d", got, want)
		}
	})
}

// TestOrderDoesNotMatter: nodes learn of each other in any order, and must agree.
func TestOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes, function, mib, p := drawn(t)
		want := nodes[placement.Place(function, mib, -1, nodes, p)].Key
		other := rapid.Permutation(nodes).Draw(t, "order")
		if got := other[placement.Place(function, mib, -1, other, p)].Key; got != want {
			t.Fatalf("placed on %x: in the other order %x", want, got)
		}
	})
}

// TestOwnWorker: a node that has an idle worker itself sends nothing away, unless it is full.
func TestOwnWorker(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes, function, mib, p := drawn(t)
		self := rapid.IntRange(0, len(nodes)-1).Draw(t, "self")
		nobody := nodesWhere(nodes, func(n *placement.Node) bool { return mib <= n.LargestMiB }) == nil // then any may say so
		own := nodes[self].Idle && nodes[self].Load < 1000 && (nobody || mib <= nodes[self].LargestMiB)
		got := placement.Place(function, mib, self, nodes, p)
		if own && got != self {
			t.Fatalf("placed on %d: the node %d has an idle worker itself", got, self)
		}
		if want := placement.Place(function, mib, -1, nodes, p); !own && got != want {
			t.Fatalf("placed on %d: without a worker here, want %d", got, want)
		}
	})
}

// TestBound: where nothing is idle, nothing goes to a node above the bound while another that fits is below it.
func TestBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes, function, mib, p := drawn(t)
		p.Factor = max(p.Factor, 1) // then one is always within it
		for i := range nodes {
			nodes[i].Idle = false
		}
		at := placement.Place(function, mib, -1, nodes, p)
		sum, n := int64(0), int64(0)
		for _, x := range nodes {
			if mib <= x.LargestMiB {
				sum, n = sum+int64(x.Load), n+1
			}
		}
		if n == 0 {
			return
		}
		if mib > nodes[at].LargestMiB {
			t.Fatalf("placed on node %d, where %d MiB fit never", at, mib)
		}
		if most := p.Factor*float64(sum)/float64(n) + float64(p.Slack); float64(nodes[at].Load) > most {
			t.Fatalf("placed on node %d with %d: the bound is %.1f", at, nodes[at].Load, most)
		}
	})
}

// TestOthersStay: a node that comes or goes moves no function but those that are on it.
func TestOthersStay(t *testing.T) {
	nodes := empty(9)
	moved := 0
	const functions = 9000
	for f := range functions {
		key := placement.Key(fmt.Sprint("function-", f))
		before := placement.Place(key, 128, -1, nodes, placement.Default)
		after := placement.Place(key, 128, -1, nodes[:8], placement.Default)
		if before == 8 {
			moved++
		} else if after != before {
			t.Fatalf("function %d went from node %d to %d though neither came or went", f, before, after)
		}
	}
	if moved < functions/9*8/10 || moved > functions/9*12/10 {
		t.Errorf("%d of %d functions were on one of 9 nodes", moved, functions)
	}
}

func TestSpread(t *testing.T) {
	nodes := empty(8)
	count := make([]int, 8)
	for f := range 8000 {
		count[placement.Place(placement.Key(fmt.Sprint("f", f)), 128, -1, nodes, placement.Default)]++
	}
	for i, n := range count {
		if n < 850 || n > 1150 {
			t.Errorf("node %d has %d of 8000 functions: want about 1000", i, n)
		}
	}
}

func TestNobody(t *testing.T) {
	if got := placement.Place(1, 128, -1, nil, placement.Default); got != -1 {
		t.Errorf("placed on %d of no nodes", got)
	}
	if got := placement.Home(1, nil); got != -1 {
		t.Errorf("at home on %d of no nodes", got)
	}
}

func TestLoad(t *testing.T) {
	for _, c := range []struct {
		busy, budget int64
		inflight     int32
		cores        float64
		want         int32
	}{
		{0, 0, 0, 0, 0},
		{512, 1024, 0, 2, 500},
		{512, 1024, 16, 2, 1000}, // eight on each core
		{4096, 0, 2, 2, 125},     // no limit of memory
		{-5, 1024, 0, 2, 0},
		{1 << 60, 1, 0, 2, placement.MaxLoad},
	} {
		if got := placement.Load(c.busy, c.budget, c.inflight, c.cores); got != c.want {
			t.Errorf("load of %d of %d MiB and %d in flight on %g cores: %d, want %d", c.busy, c.budget, c.inflight, c.cores, got, c.want)
		}
	}
}

// BenchmarkPlace: 1 us at most, and no allocation.
func BenchmarkPlace(b *testing.B) {
	for _, n := range []int{3, 8, 64} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			nodes := empty(n)
			for i := range nodes {
				nodes[i].Load = int32(i * 997 % 500)
			}
			b.ReportAllocs()
			f := uint64(0)
			for b.Loop() {
				f++
				placement.Place(f, 512, -1, nodes, placement.Default)
			}
		})
	}
}
