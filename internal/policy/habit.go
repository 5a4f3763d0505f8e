package policy

import (
	"math"
	"math/bits"
	"time"

	"github.com/cloudjit/cloudjit/internal/ladder"
)

// habit is what Ladder remembers of a revision's arrivals: about half a kilobyte.
type habit struct {
	// last is the time of the last arrival, ns; 0: none yet.
	last int64
	// gaps are the times between arrivals, spare the times until a worker that became idle beside
	// others was needed again.
	gaps  bins
	spare bins
	// idle is when the workers became idle that no arrival has taken since, the latest last: what there
	// would be if none was ever stopped, so that a short keep-alive does not hide long gaps.
	idle  [idleSeen]idleSince
	idles uint8
	// alone and beside are the plans for the last worker and for one beside others.
	alone, beside plan
	// cap is one more than the highest rung that may serve; 0: all.
	cap ladder.ID
	// spares counts the gaps in spare since the beginning.
	spares uint64
}

// idleSince is a worker that waits for an arrival. spare: there were others when it became idle.
type idleSince struct {
	at    int64
	spare bool
}

// idleSeen is how many idle workers are remembered: of more, the oldest are forgotten.
const idleSeen = 8

// bins count gaps by half powers of two of a tenth of a second: up to 0.1 s, 0.15, 0.2, 0.3 ...
// 0.1 * 2^15 = 3277 s, 4915 s, and beyond. Each remembers the shortest and the longest of its
// gaps, so that a timer's are known to the millisecond although bins are few.
type bins struct {
	n     uint32 // of all counts
	count [binCount]uint16
	low   [binCount]float32 // s
	high  [binCount]float32 // s
}

const (
	binCount = 33
	binUnit  = int64(100 * time.Millisecond)
	// binsHalf is how many gaps are remembered at most: then all counts are halved, so that habits may change.
	binsHalf = 256
)

// binOf is the bin of a gap in ns.
func binOf(gap int64) int {
	u := uint64(max(gap, 0)) * 2 / uint64(binUnit) // in halves of the unit
	if u < 2 {
		return 0
	}
	k := bits.Len64(u) // 2 from one unit on
	half := int(u >> (k - 2) & 1)
	return min(1+2*(k-2)+half, binCount-1)
}

// binStarts are where the bins begin, s.
var binStarts = func() (s [binCount + 1]float64) {
	for i := 1; i <= binCount; i++ {
		k := (i - 1) / 2
		s[i] = float64(binUnit) / 1e9 * math.Exp2(float64(k)) * (1 + 0.5*float64((i-1)%2))
	}
	return s
}()

func (b *bins) add(gap int64) {
	i := binOf(gap)
	s := float32(float64(gap) * 1e-9)
	if b.count[i] == 0 {
		b.low[i], b.high[i] = s, s
	} else if s < b.low[i] {
		b.low[i] = s
	} else if s > b.high[i] {
		b.high[i] = s
	}
	b.count[i]++
	if b.n++; b.n >= binsHalf {
		b.halve()
	}
}

// halve forgets half of what was seen, and a quarter of each bin's width: outliers go in time.
func (b *bins) halve() {
	b.n = 0
	for i := range b.count {
		b.count[i] /= 2
		b.n += uint32(b.count[i])
		d := (b.high[i] - b.low[i]) / 8
		b.low[i] += d
		b.high[i] -= d
	}
}

// arrived notes an arrival.
func (h *habit) arrived(now int64) {
	if h.last > 0 {
		h.gaps.add(now - h.last)
	}
	h.last = max(now, 1)
	if h.idles > 0 {
		h.idles--
		if i := &h.idle[h.idles]; i.spare {
			h.spare.add(now - i.at)
			h.spares++
		}
	}
}

// parked notes that a worker became idle.
func (h *habit) parked(now int64, spare bool) {
	if int(h.idles) == len(h.idle) {
		copy(h.idle[:], h.idle[1:])
		h.idles--
	}
	h.idle[h.idles] = idleSince{now, spare}
	h.idles++
}
