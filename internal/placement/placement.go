// Package placement says on which node of a cluster an invocation runs: where its function has an idle worker, else
// where the function is at home, as long as that node has not much more to do than the others, so that a function has its
// workers, its code and its artifacts in few places.
//
// It is pure: the platform asks it for every invocation, and the simulator asks the same. It knows nothing
// of how nodes find each other, nor of how an invocation gets to one.
package placement

// Node is a node that lives, as the one that places knows it: itself exactly, others as they told of themselves last.
type Node struct {
	// Key of its name.
	Key uint64
	// Load is what runs and waits there, in thousandths of what it has; see Load. 1000: it is full.
	Load int32
	// FreeMiB is the memory that no worker reserves, LargestMiB the most that one worker ever can; Unlimited: as much as there is.
	FreeMiB, LargestMiB int32
	// Idle: it has an idle worker of the function that is placed. Hot: so much of that comes through it that it is worth a worker
	// there (Streams); it counts of the node alone to which the invocation came.
	Idle, Hot bool
}

// Unlimited is the memory of a node without a limit.
const Unlimited = 1<<31 - 1

// Params bound how much more than others a node may have to do before it is passed over.
type Params struct {
	// Factor times the mean of all nodes, and Slack, in thousandths of a node, are what a node may have to do.
	Factor float64
	Slack  int32
}

// Default bounds a node to a quarter more than the mean and a quarter of what it has (consistent hashing with
// bounded loads: Mirrokni, Thorup, Zadimoghaddam, SODA'18, https://arxiv.org/abs/1608.01350, with the factor that they
// find good in practice). The slack lets few invocations stay together: with cores for 8 invocations at once, a quarter is
// two, whatever the mean is.
var Default = Params{Factor: 1.25, Slack: 250}

// perCore is how many invocations in flight make a core count as full: most wait for something most of the time. With 4, the
// functions of a trace on eight nodes of four cores were torn apart: 1.8 times the cold starts of one node in its first three hours.
const perCore = 8

// Load is what a node has to do, in thousandths of what it has: of its memory or of its cores, whichever is
// used more. busyMiB is what workers reserve that are not idle, of budgetMiB (0: no limit); inflight counts
// invocations that run and wait.
func Load(busyMiB, budgetMiB int64, inflight int32, cores float64) int32 {
	load := 0.0
	if budgetMiB > 0 {
		load = float64(busyMiB) / float64(budgetMiB)
	}
	if cores > 0 {
		load = max(load, float64(inflight)/(perCore*cores))
	}
	return int32(min(max(load, 0)*1000, MaxLoad))
}

// MaxLoad is the largest load that is told apart, in thousandths.
const MaxLoad = 1_000_000

// Place is the index of the node that runs an invocation of a function whose workers reserve mib, which came to the node self
// (-1: to none of these). Every function has its own order of nodes (rendezvous hashing: Thaler, Ravishankar, 1998). It is the
// first of these that there is:
//
//  1. self, if it has an idle worker of the function: then nothing has to travel,
//  2. self, if the function is hot there, and it has not more to do than p allows, and memory for one more worker,
//  3. the first in the order that has an idle one,
//  4. the first that has not more to do than p allows, and memory for one more worker,
//  5. the first that has not more to do than p allows; it gives up an idle worker of another function,
//  6. the one that has the least to do.
//
// Full nodes count as having no idle worker. Nodes on which no worker of mib can ever start are left out, unless that is
// all of them. What comes out depends on the arguments alone, and not on the order of the nodes; -1 without any node.
func Place(function uint64, mib int32, self int, nodes []Node, p Params) int {
	sum, fit := int64(0), 0
	for i := range nodes {
		if mib <= nodes[i].LargestMiB {
			sum += int64(nodes[i].Load)
			fit++
		}
	}
	if fit == 0 {
		if mib <= 0 {
			return -1
		}
		return Place(function, 0, self, nodes, p) // whichever it is says what is wrong
	}
	if self >= 0 && nodes[self].Idle && nodes[self].Load < full && mib <= nodes[self].LargestMiB {
		return self
	}
	most := int64(p.Factor*float64(sum)/float64(fit)) + int64(p.Slack)
	if self >= 0 && nodes[self].Hot && mib <= nodes[self].LargestMiB && nodes[self].tier(mib, most) <= tierFree {
		return self
	}
	best, bestTier, bestScore := -1, tiers, uint64(0)
	function = mix(function)
	for i := range nodes {
		n := &nodes[i]
		if mib > n.LargestMiB {
			continue
		}
		tier := n.tier(mib, most)
		if tier > bestTier {
			continue
		}
		s := mix(function ^ n.Key)
		if tier == bestTier && best >= 0 {
			if tier == tierRest && n.Load != nodes[best].Load {
				if n.Load > nodes[best].Load {
					continue
				}
			} else if s < bestScore {
				continue
			}
		}
		best, bestTier, bestScore = i, tier, s
	}
	return best
}

const (
	full = 1000

	tierIdle, tierFree, tierBelow, tierRest = 0, 1, 2, 3
	tiers                                   = 4
)

// tier is how willingly a node is taken; most is what it may have to do.
func (n *Node) tier(mib int32, most int64) int {
	switch {
	case n.Idle && n.Load < full:
		return tierIdle
	case int64(n.Load) > most:
		return tierRest
	case n.FreeMiB >= mib:
		return tierFree
	}
	return tierBelow
}

// Home is the index of the first node in a function's own order, whatever it has to do; -1 without any.
func Home(function uint64, nodes []Node) int {
	best, bestScore := -1, uint64(0)
	function = mix(function)
	for i := range nodes {
		if s := mix(function ^ nodes[i].Key); best < 0 || s > bestScore {
			best, bestScore = i, s
		}
	}
	return best
}

// Rank is how many nodes come before the node i in a function's own order.
func Rank(function uint64, i int, nodes []Node) (before int) {
	function = mix(function)
	own := mix(function ^ nodes[i].Key)
	for k := range nodes {
		if k != i && mix(function^nodes[k].Key) > own {
			before++
		}
	}
	return before
}

// Key of the name of a function or of a node: the same everywhere (FNV-1a, 64 bits).
func Key(name string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return h
}

// mix makes of keys that differ in little, as FNV leaves those of names that differ in their last letter, ones that differ in
// everything (the finalizer of SplitMix64: Steele, Lea, Flood, OOPSLA'14). Where a node stands in a function's order is
// the mix of both.
func mix(h uint64) uint64 {
	h += 0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
