package policy

import (
	"math/bits"
	"time"

	"github.com/cloudjit/cloudjit/internal/ladder"
)

// Adaptive is Benefit with a keep-alive that follows the rung and the function's idle gaps.
//
// A native worker that is gone costs a wait of milliseconds, so it is kept only as long as its
// memory over that time is worth the wait: the break-even of the ski-rental problem, which
// never costs more than twice the best choice that knows the future. HotSpot workers keep the
// platform's keep-alive, whose price for a wait is what break-even is computed from:
//
//	native keep-alive = keep-alive * (native start / HotSpot start) * (HotSpot memory / native memory)
//
// With the defaults that is 600 s * 35/1100 * 1/0.375 = 51 s.
//
// Where a function's gaps are known to be longer than that nearly always (a timer of five
// minutes), its native workers are not kept at all; where they are known to be shorter nearly
// always, only for as long as that.
type Adaptive struct {
	Benefit
	gaps []gaps // by revision
}

var (
	_ Policy   = (*Adaptive)(nil)
	_ Observer = (*Adaptive)(nil)
)

// gaps is a function's inter-arrival times, counted by powers of two of a tenth of a second.
type gaps struct {
	last   int64
	n      uint32
	counts [14]uint32 // up to 0.1 s, 0.2, 0.4 ... 409.6, and beyond
}

const (
	gapUnit  = int64(100 * time.Millisecond)
	gapsSeen = 8   // gaps before they are believed
	gapsHalf = 256 // gaps after which all counts are halved, so that habits may change
	nearly   = 0.95
)

// Arrived notes the gap since the function's last invocation.
func (a *Adaptive) Arrived(now int64, _ FunctionID, r RevisionID) {
	g := of(&a.gaps, r)
	if g.last > 0 {
		i := min(bits.Len64(uint64((now-g.last)/gapUnit)), len(g.counts)-1)
		g.counts[i]++
		if g.n++; g.n >= gapsHalf {
			g.n = 0
			for i := range g.counts {
				g.counts[i] /= 2
				g.n += g.counts[i]
			}
		}
	}
	g.last = max(now, 1)
}

// Keep of workers that run a binary is the break-even, as the type's comment says.
func (a *Adaptive) Keep(now int64, v *View) Keep { return Keep{Alive: a.alive(now, v)} }

func (a *Adaptive) alive(_ int64, v *View) int64 {
	first, own := &v.Rungs[ladder.First], &v.Rungs[v.Rung]
	if v.Ladder.Rungs[v.Rung].Artifact != ladder.ArtifactBinary || own.MemoryMB <= 0 {
		return v.Params.KeepAlive
	}
	even := int64(float64(v.Params.KeepAlive) * first.MemoryMB / own.MemoryMB * float64(own.Start) / float64(max(first.Start, 1)))
	even = min(even, v.Params.KeepAlive)
	if int(v.Revision) >= len(a.gaps) {
		return even
	}
	g := &a.gaps[v.Revision]
	if g.n < gapsSeen {
		return even
	}
	// Gaps are the function's; a worker's own are longer when the function has several. So
	// only the first of these two is safe while invocations overlap.
	within := uint32(0)
	for i, c := range g.counts {
		if gapUnit<<i > even {
			break
		}
		within += c
	}
	switch share := float64(within) / float64(g.n); {
	case share < 1-nearly:
		return 0
	case share > nearly && v.Recent.Count(g.last, v.Params.Window) == 0:
		return a.shortest(g, even)
	}
	return even
}

// shortest is the time within which nearly all gaps end, doubled for those of a second worker.
func (a *Adaptive) shortest(g *gaps, even int64) int64 {
	seen := uint32(0)
	for i, c := range g.counts {
		if seen += c; float64(seen) > nearly*float64(g.n) {
			return min(max(gapUnit<<(i+1), int64(10*time.Second)), even)
		}
	}
	return even
}
