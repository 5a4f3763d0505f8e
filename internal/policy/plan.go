package policy

import (
	"math"

	"github.com/cloudjit/cloudjit/internal/ladder"
)

// prices are what a plan weighs, all of one worker, in MB*s.
type prices struct {
	// memory is a second of an idle worker: its MB.
	memory float64
	// wait is what an arrival without a warm worker costs: the time of a start at the price of waiting.
	wait float64
	// start is the CPU time of a start.
	start float64
	// first is what the first invocation of a worker takes longer than later ones, at the price of waiting.
	first float64
	// takes is how long a start takes, limit how long a worker may be kept, s.
	takes, limit float64
}

// plan says in which times after an arrival a worker is to be there.
type plan struct {
	windows [planWindows]window
	count   uint8
	made    bool
	// rung is the one that it was made for, seen the number of gaps.
	rung ladder.ID
	seen uint32
	// memory and takes are the prices that it was made with.
	memory, takes float32
}

// window is a time after an arrival, ns.
type window struct{ from, to int64 }

// planWindows is how many times a plan may have: of more, the later ones are left out.
const planWindows = 8

// belief is what is thought of gaps before any was seen, as if by prior of them.
type belief struct {
	// share of the gaps in each bin, together 1.
	share [binCount]float64
	// period (s), if not 0, is where nearly all of the bin's are.
	period [binCount]float64
}

// prior is the weight of a belief, in gaps. Chosen by simulation of the same trace: of 0.5, 1, 2 and 4, more
// means fewer waits and more memory.
const prior = 2.0

// anything: all bins have the same odds; timers: a third of all functions are invoked by a
// clock, at the periods that people choose. Shares are those of
// first gaps among the 500 functions of day 1 of the Azure 2019 trace, with a fifth of the other gaps beyond the last bin.
var (
	anything = newBelief(1.0/binCount, nil)
	timers   = newBelief(0.2, map[float64]float64{
		60: 0.04, 120: 0.02, 180: 0.02, 300: 0.10, 600: 0.04, 900: 0.035, 1800: 0.01, 3600: 0.06,
	})
)

func newBelief(beyond float64, periods map[float64]float64) *belief {
	var b belief
	rest := 1.0
	for period, share := range periods {
		i := binOf(nanos(period))
		b.share[i], b.period[i] = share, period
		rest -= share
	}
	for i := range binCount - 1 {
		b.share[i] += rest * (1 - beyond) / (binCount - 1)
	}
	b.share[binCount-1] += rest * beyond
	return &b
}

// step is one stretch of time after an arrival in a plan's making.
type step struct {
	from, to float64 // s
	share    float64 // of gaps that end in it
	left     float64 // of gaps that have not ended before it
	stay     bool    // a worker that is there before it better stays
	wake     bool    // if there is none before it, one is better started ahead
}

// refresh makes the plan again when the rung has changed, when a worker's memory or start is not near what it was, or when there are
// an eighth more gaps, of many half more: one takes some microseconds, and an invocation may not take more than a tenth of one on average.
func (p *plan) refresh(v *View, b *bins, rung ladder.ID, prior *belief) {
	grown := p.seen / 8
	if p.seen >= 32 {
		grown = p.seen / 2
	}
	r := &v.Rungs[rung]
	memory, takes := float32(r.MemoryMB), float32(r.Start)
	if p.made && p.rung == rung && b.n >= p.seen && b.n-p.seen <= grown && near(memory, p.memory) && near(takes, p.takes) {
		return
	}
	c := pricesOf(v, rung)
	p.make(b, &c, prior)
	p.made, p.rung, p.seen, p.memory, p.takes = true, rung, b.n, memory, takes
}

// near reports whether a price is still within a seventh of what it was. A plan that stood for hundreds of gaps would keep what chance said of
// the last few workers when it was made: some functions are kept for seconds or for minutes by as much.
func near(now, was float32) bool { return 7*max(now-was, was-now) <= was }

// make computes the best plan and returns what it is expected to cost for each gap, in MB*s.
//
// It goes backwards through the bins with two sums, the cost of all that follows with a warm worker and
// without one. In each bin a warm worker costs its memory for as long as the gaps last, a missing one the wait
// and the start of those that arrive, and a slower first invocation. Before each bin a worker may be stopped for nothing, or started
// ahead for the CPU time of a start, and the first invocation is the slower one then, too. No worker is kept across the limit of the keep-alive.
func (p *plan) make(b *bins, c *prices, prior *belief) float64 {
	var steps [binCount]step
	b.steps(&steps, prior)
	last := &steps[binCount-1]
	missing := c.wait + c.start + c.first
	cold := last.share * missing
	warm := cold
	for i := binCount - 2; i >= 0; i-- {
		s, next := &steps[i], &steps[i+1]
		stay := warm + c.memory*(next.from-s.to)*next.left
		wake := warm + next.left*(c.start+c.first+c.memory*c.takes)
		next.wake = wake < cold && (next.from >= c.limit || next.from > s.to)
		after := cold
		if next.wake {
			after = wake
		}
		next.stay = stay < after && (s.from >= c.limit || next.to <= c.limit)
		cold = after + s.share*missing
		if next.stay {
			after = stay
		}
		warm = after + c.memory*(s.to-s.from)*(s.left-s.share/2)
	}
	steps[0].stay = warm < cold
	p.trace(&steps)
	return min(warm, cold) / steps[0].left
}

// trace follows the steps forward from a warm worker.
func (p *plan) trace(steps *[binCount]step) {
	p.count = 0
	on := true
	for i := range binCount - 1 {
		s := &steps[i]
		stayed := on && s.stay
		on = stayed || s.wake
		switch {
		case stayed && p.count > 0:
			p.windows[p.count-1].to = nanos(s.to)
		case on && int(p.count) == planWindows:
			return
		case on:
			p.windows[p.count] = window{nanos(s.from), nanos(s.to)}
			p.count++
		}
	}
}

// steps lists the bins as stretches of time, one after the other: those of gaps that were seen, with some
// slack, and of those that are believed in; the last is what lies beyond.
func (b *bins) steps(steps *[binCount]step, belief *belief) {
	left := float64(b.n) + prior
	at := 0.0
	for i := range binCount - 1 {
		s := &steps[i]
		n := float64(b.count[i])
		s.from, s.to = binStarts[i], binStarts[i+1]
		narrow := true
		switch period := belief.period[i]; {
		case n > 0:
			low, high := float64(b.low[i]), float64(b.high[i])
			slack := slackOf(low, high, n)
			s.from, s.to = low-slack, high+slack
		case period > 0:
			s.from, s.to = period-timerSlack, period+timerSlack
		default:
			narrow = false
		}
		// An empty bin before makes room for what begins in it.
		if narrow && i > 0 && s.from < at && b.count[i-1] == 0 && belief.period[i-1] == 0 {
			at = max(s.from, steps[i-1].from)
			steps[i-1].to = at
		}
		s.from = max(s.from, at)
		s.to = max(s.to, s.from)
		at = s.to
		s.share = n + prior*belief.share[i]
		s.left = left
		left -= s.share
	}
	steps[binCount-1] = step{from: at, to: at, share: left, left: left}
}

// timerSlack is how far (s) a timer's gaps are from its period.
const timerSlack = 0.3

// slackOf is how far beyond the shortest and the longest of n gaps of a bin the next may be: by what the range of
// n draws grows on average with one more; one or few gaps of a whole number of minutes are a timer's.
func slackOf(low, high, n float64) float64 {
	if high-low < 1 && low > 30 && math.Mod(low+0.5, 60) < 1 {
		return timerSlack
	}
	return (high-low)/n + 0.02*low/n + 0.05
}

// early is how long (ns) before a window a worker that is there already counts as in it.
const early = int64(1e9)

// next is the plan's answer for a worker that is idle since so long (ns) after the last arrival: for how
// long it is kept, and when after the arrival one is needed again; 0: never.
func (p *plan) next(since int64) (alive, again int64) {
	for _, w := range p.windows[:p.count] {
		switch {
		case since >= w.to:
		case since >= w.from-early && alive == 0:
			alive = w.to - since
		default:
			return alive, w.from
		}
	}
	return alive, 0
}

func nanos(s float64) int64 { return int64(s * 1e9) }
