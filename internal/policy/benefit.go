package policy

import (
	"math"
	"time"

	"github.com/cloudjit/cloudjit/internal/ladder"
)

// DefaultBuilderMB is a builder's memory at its peak, the mean of the paper's Table 1, MB.
const DefaultBuilderMB = 6977

// Benefit builds where a binary is expected to save more than its build costs, soonest where
// it saves most for each second of building.
//
// It keeps the rate of a function's cold starts with an exponential memory of ten minutes.
// The expectation for the future is the past: a function that has been seen for an hour is
// expected to go on for another, besides a fixed minimum.
type Benefit struct {
	Paper
	// Horizon is the least time (ns) that a function is expected to go on; 0: an hour.
	Horizon int64

	colds []coldRate // by revision
}

// coldRate is an exponentially weighted count of cold starts.
type coldRate struct {
	count float64
	last  int64  // ns
	seen  uint64 // cold starts that are in count
}

const rateMemory = 600.0 // seconds

var _ Policy = (*Benefit)(nil)

// Decide asks for a binary when it pays. The Paper's rule for a better one stays.
func (b *Benefit) Decide(now int64, v *View) Decision {
	d := b.Paper.Decide(now, v)
	quick, optimized := b.binaries(v.Ladder)
	if quick == ladder.First || v.Rungs[quick].Ready || optimized != ladder.First && v.Rungs[optimized].Ready {
		return d
	}
	d.Make = ladder.First
	c := of(&b.colds, v.Revision)
	if v.ColdStarts != c.seen {
		c.count = c.count*math.Exp(-seconds(now-c.last)/rateMemory) + float64(v.ColdStarts-c.seen)
		c.last, c.seen = now, v.ColdStarts
	}
	if b.expected(now, v, quick) > memoryTime(&v.Ladder.Rungs[quick]) {
		d.Make = quick
	}
	return d
}

// Priority is the expected benefit for each second of building.
func (b *Benefit) Priority(now int64, v *View, rung ladder.ID) float64 {
	if int(v.Revision) >= len(b.colds) {
		return 0
	}
	return b.expected(now, v, rung) / max(v.Ladder.Rungs[rung].Cost.Wall.Seconds(), 1e-3)
}

// Worth is the expected benefit for each second.
func (b *Benefit) Worth(now int64, v *View, rung ladder.ID) float64 {
	if int(v.Revision) >= len(b.colds) {
		return 0
	}
	return b.expected(now, v, rung) / time.Hour.Seconds()
}

// expected is what a binary saves until the horizon, in MB*s: the waits of cold starts at the
// platform's own price, and the memory of the workers.
//
// Worked example: one cold start in ten minutes, 100 MB, keep-alive 600 s, starts of 1.1 s and
// 35 ms: a wait of a second is worth 600*100/1.1 = 54545 MB*s; in an hour 6 cold starts save
// 6*1.065*54545 = 348545, and a worker that is there all the time 62.5*3600 = 225000 MB*s.
// A build of 6977 MB for 128 s costs 893056: it does not pay. At two in ten minutes it does.
func (b *Benefit) expected(now int64, v *View, rung ladder.ID) float64 {
	c := &b.colds[v.Revision]
	age := max(seconds(now-v.Added), rateMemory)
	// The first cold start says only that there is a function, not how often it has one.
	rate := max(c.count-1, 0) * math.Exp(-seconds(now-c.last)/rateMemory) / (rateMemory * (1 - math.Exp(-age/rateMemory)))
	horizon := b.Horizon
	if horizon == 0 {
		horizon = int64(time.Hour)
	}
	plain, binary := &v.Rungs[ladder.First], &v.Rungs[rung]
	workers := max(rate*seconds(v.Params.KeepAlive), seconds(v.Busy)/age)
	waits := rate * seconds(plain.Start-binary.Start) * waitPrice(v)
	return (seconds(horizon) + age) * (waits + workers*(plain.MemoryMB-binary.MemoryMB))
}

// waitPrice is what a second of waiting for a cold start is worth in MB*s. The platform says
// it itself: it keeps a worker of the first rung idle for its keep-alive to save one cold start of
// it, so the wait is worth at least that memory over that time, and not more than a longer keep-alive.
func waitPrice(v *View) float64 {
	first := &v.Rungs[ladder.First]
	return seconds(v.Params.KeepAlive) * first.MemoryMB / max(seconds(first.Start), 1e-3)
}

func seconds(ns int64) float64 { return float64(ns) / 1e9 }
