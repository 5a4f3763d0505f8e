package trace

import (
	"math"
	"slices"
)

// generator yields the counts of a generated trace. An app's calls are one arrival process,
// each call going to one of its functions; timers run beside it, each by its own clock.
//
//   - Apps below five calls a minute are renewal processes with the app's variation c: gamma
//     gaps for c <= 1; above, bursts of geometric size with mean (c*c+1)/2 at exponential
//     distances, for which the variation of the gaps is c when the burst is short.
//   - Busier apps have Poisson counts whose rate moves: between two levels where c > 1 (for a
//     slow change c*c = 2*mean(rate)*mean(1/rate) - 1), by some percent otherwise.
//
// Apps below the busy limit wait in the minute of their next call, and cost nothing until then.
type generator struct {
	g       Generate
	p       *population
	minute  int
	slow    []slowApp
	busy    []busyApp
	due     [][]int32 // slow apps by the minute of their next call
	timers  []timer
	pending []uint32
	touched []int32
}

type slowApp struct {
	app   int32
	rate  float64 // calls a minute, timers left out
	cum   []float64
	first []int32
	next  float64 // minute of the next call, or of the next burst
	rnd   random
	left  int // calls left in the burst
}

type busyApp struct {
	rate    []float64 // calls a minute of each function
	first   []int32
	low     float64 // level of the quiet state; 1: no two states
	high    float64
	jitter  float64 // relative standard deviation of the level from minute to minute
	rnd     random
	burst   bool
	started bool
}

type timer struct {
	function int32
	period   int32 // minutes; 0: several a minute
	phase    int32
	count    uint32 // in a minute that it fires
}

const (
	busyRate   = 5.0 // calls a minute
	burstShare = 0.2 // of the time that a two-state app is in its high state
	burstStay  = 4.0 // mean minutes that the high state lasts
)

func newGenerator(g Generate, p *population) *generator {
	gen := &generator{g: g, p: p, due: make([][]int32, g.Minutes), pending: make([]uint32, len(p.functions))}
	for i := range p.apps {
		gen.addApp(i)
	}
	return gen
}

func (gen *generator) addApp(i int) {
	p, a := gen.p, &gen.p.apps[i]
	rnd := newRandom(p.seed, 8, uint64(i))
	var functions []int32
	var rates []float64
	sum := 0.0
	for f := a.first; f < a.last; f++ {
		if p.functions[f].Trigger == TriggerTimer {
			gen.addTimer(f, &rnd)
			continue
		}
		functions = append(functions, f)
		rates = append(rates, p.rate[f]/1440)
		sum += p.rate[f] / 1440
	}
	switch {
	case len(functions) == 0:
	case sum >= busyRate:
		b := busyApp{rate: rates, first: functions, rnd: rnd, low: 1, high: 1, jitter: 0.12}
		if a.rank*18 > len(p.apps) && a.variation > 1.05 { // the first 1/18 carry the volume, and are steadier
			b.low = lowLevel((a.variation*a.variation + 1) / 2)
			b.high = (1 - (1-burstShare)*b.low) / burstShare
		} else {
			b.jitter = min(0.15, 0.05+a.variation*0.1)
		}
		gen.busy = append(gen.busy, b)
	default:
		s := slowApp{app: int32(i), rate: sum, first: functions, rnd: rnd}
		for j, r := range rates {
			if j > 0 {
				r += s.cum[j-1] * sum
			}
			s.cum = append(s.cum, r/sum)
		}
		// In the middle of its life: the first call is a uniform part of a gap away.
		s.next = s.rnd.float() * s.gap(a.variation)
		gen.slow = append(gen.slow, s)
		gen.schedule(int32(len(gen.slow) - 1))
	}
}

func (gen *generator) addTimer(f int32, rnd *random) {
	period := gen.p.period[f]
	t := timer{function: f, count: 1}
	if period < 1 {
		t.count = uint32(math.Round(1 / period))
	} else {
		t.period = int32(period)
		t.phase = int32(rnd.next() % uint64(period))
	}
	gen.timers = append(gen.timers, t)
}

// lowLevel solves burstShare/high + (1-burstShare)/low = k for the low level, where the mean
// level is 1. The left side falls with low, so halving finds it.
func lowLevel(k float64) float64 {
	lo, hi := 1e-3, 1.0
	for range 50 {
		mid := (lo + hi) / 2
		high := (1 - (1-burstShare)*mid) / burstShare
		if burstShare/high+(1-burstShare)/mid > k {
			lo = mid
		} else {
			hi = mid
		}
	}
	return hi
}

// gap draws the time to the next call in minutes, at the mean rate.
func (s *slowApp) gap(variation float64) float64 {
	mean := 1 / s.rate
	if variation <= 1 {
		return mean * s.rnd.gamma(1/max(variation*variation, 1e-4))
	}
	// Calls of a burst follow each other within a twentieth of the mean gap, at most 5 s.
	inside := min(mean/20, 5.0/60)
	if s.left > 0 {
		s.left--
		return inside * s.rnd.exp()
	}
	size := (variation*variation + 1) / 2
	s.left = int(s.rnd.exp() * (size - 0.5)) // floor of an exponential is geometric
	return (mean*size - inside*(size-1)) * s.rnd.exp()
}

func (gen *generator) schedule(i int32) {
	if m := int(gen.slow[i].next); m < len(gen.due) {
		gen.due[m] = append(gen.due[m], i)
	}
}

func (gen *generator) add(f int32, n uint32) {
	if n == 0 {
		return
	}
	if gen.pending[f] == 0 {
		gen.touched = append(gen.touched, f)
	}
	gen.pending[f] += n
}

// Next implements Counter.
func (gen *generator) Next(buf []Cell) ([]Cell, bool) {
	buf = buf[:0]
	if gen.minute >= gen.g.Minutes {
		return buf, false
	}
	ofDay := gen.g.StartMinute + gen.minute
	volume := hourlyVolume[ofDay/60%24]
	for i := range gen.timers {
		t := &gen.timers[i]
		if t.period == 0 || int32(ofDay%1440)%t.period == t.phase {
			gen.add(t.function, t.count)
		}
	}
	for i := range gen.busy {
		b := &gen.busy[i]
		level := b.level() * volume
		for j, r := range b.rate {
			gen.add(b.first[j], b.rnd.poisson(r*level))
		}
	}
	due := gen.due[gen.minute]
	gen.due[gen.minute] = nil
	for _, i := range due {
		gen.runSlow(i, volume)
	}
	slices.Sort(gen.touched)
	for _, f := range gen.touched {
		buf = append(buf, Cell{f, gen.pending[f]})
		gen.pending[f] = 0
	}
	gen.touched = gen.touched[:0]
	gen.minute++
	return buf, true
}

// runSlow makes the calls of a slow app in this minute.
func (gen *generator) runSlow(i int32, volume float64) {
	s := &gen.slow[i]
	variation := gen.p.apps[s.app].variation
	for s.next < float64(gen.minute+1) {
		j := 0
		for u := s.rnd.float(); j < len(s.cum)-1 && u >= s.cum[j]; {
			j++
		}
		gen.add(s.first[j], 1)
		s.next += s.gap(variation) / volume
	}
	gen.schedule(i)
}

// level is the app's rate in this minute over its mean.
func (b *busyApp) level() float64 {
	level := max(0, 1+b.jitter*b.rnd.normal())
	if b.low >= 1 {
		return level
	}
	u := b.rnd.float()
	switch {
	case !b.started:
		b.burst, b.started = u < burstShare, true
	case b.burst:
		b.burst = u >= 1/burstStay
	default:
		b.burst = u < burstShare/(1-burstShare)/burstStay
	}
	if b.burst {
		return level * b.high
	}
	return level * b.low
}
