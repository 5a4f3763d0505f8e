package policy

import (
	"math"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
)

// Costs are what the economic policies weigh against each other. Memory over time, MB times
// seconds, is the currency: a platform knows what memory costs it, and its keep-alive
// says what a cold start is worth to it (see waitPrice).
type Costs struct {
	// Cold is how long a cold start of each tier takes, ns.
	Cold [function.TierCount]int64
	// BuildMBSeconds is a build's memory over its time.
	BuildMBSeconds float64
	// BuildSeconds is how long a build takes.
	BuildSeconds float64
}

// DefaultCosts are those of a small function with a JSON library for starts, and the means of
// the paper's Table 1 for builds: 6977 MB for 128 s.
func DefaultCosts() Costs {
	c := Costs{BuildMBSeconds: 6977 * 128, BuildSeconds: 128}
	c.Cold[function.TierHotSpotAgent] = int64(1500 * time.Millisecond)
	c.Cold[function.TierHotSpot] = int64(1100 * time.Millisecond)
	c.Cold[function.TierNative] = int64(35 * time.Millisecond)
	return c
}

// Benefit builds where a binary is expected to save more than its build costs, soonest where
// it saves most for each second of building.
//
// It keeps the rate of a function's cold starts with an exponential memory of ten minutes.
// The expectation for the future is the past: a function that has been seen for an hour is
// expected to go on for another, besides a fixed minimum.
type Benefit struct {
	Paper
	Costs Costs
	// Horizon is the least time (ns) that a function is expected to go on; 0: an hour.
	Horizon int64

	colds []coldRate // by revision
}

// coldRate is an exponentially weighted count of cold starts.
type coldRate struct {
	count float64
	last  int64 // ns
}

const rateMemory = 600.0 // seconds

var _ Policy = (*Benefit)(nil)

// Promote asks for a binary when it pays. The Paper's rule for a better level of binary stays.
func (b *Benefit) Promote(now int64, v *View) function.Level {
	if v.Level != function.LevelNone {
		return b.Paper.Promote(now, v)
	}
	for int(v.Revision) >= len(b.colds) {
		b.colds = append(b.colds, make([]coldRate, max(64, len(b.colds)))...)
	}
	c := &b.colds[v.Revision]
	c.count = c.count*math.Exp(-seconds(now-c.last)/rateMemory) + 1
	c.last = now
	if b.expected(now, v) > b.Costs.BuildMBSeconds {
		return b.first()
	}
	return v.Level
}

// Priority is the expected benefit for each second of building.
func (b *Benefit) Priority(now int64, v *View) float64 {
	if int(v.Revision) >= len(b.colds) {
		return 0
	}
	return b.expected(now, v) / b.Costs.BuildSeconds
}

func (p *Paper) first() function.Level {
	if p.First == function.LevelNone {
		return function.LevelQuick
	}
	return p.First
}

// expected is what a binary saves until the horizon, in MB*s: the waits of cold starts at the
// platform's own price, and the memory of the workers.
//
// Worked example: one cold start in ten minutes, 100 MB, keep-alive 600 s, starts of 1.1 s and
// 35 ms: a wait of a second is worth 600*100/1.1 = 54545 MB*s; in an hour 6 cold starts save
// 6*1.065*54545 = 348545, and a worker that is there all the time 62.5*3600 = 225000 MB*s.
// A build of 6977 MB for 128 s costs 893056: it does not pay. At two in ten minutes it does.
func (b *Benefit) expected(now int64, v *View) float64 {
	c := &b.colds[v.Revision]
	age := max(seconds(now-v.Added), rateMemory)
	// The first cold start says only that there is a function, not how often it has one.
	rate := max(c.count-1, 0) * math.Exp(-seconds(now-c.last)/rateMemory) / (rateMemory * (1 - math.Exp(-age/rateMemory)))
	horizon := b.Horizon
	if horizon == 0 {
		horizon = int64(time.Hour)
	}
	hot, native := v.MemoryMiB[function.TierHotSpot], v.MemoryMiB[function.TierNative]
	workers := max(rate*seconds(v.Params.KeepAlive), seconds(v.Busy)/age)
	waits := rate * seconds(b.Costs.Cold[function.TierHotSpot]-b.Costs.Cold[function.TierNative]) * b.Costs.waitPrice(v)
	return (seconds(horizon) + age) * (waits + workers*float64(hot-native))
}

// waitPrice is what a second of waiting for a cold start is worth in MB*s. The platform says
// it itself: it keeps a HotSpot worker idle for its keep-alive to save one cold start of it, so
// the wait is worth at least that memory over that time, and not more than a longer keep-alive.
func (c *Costs) waitPrice(v *View) float64 {
	return seconds(v.Params.KeepAlive) * float64(v.MemoryMiB[function.TierHotSpot]) / max(seconds(c.Cold[function.TierHotSpot]), 1e-3)
}

func seconds(ns int64) float64 { return float64(ns) / 1e9 }
