package trace

import (
	"fmt"
	"math"
	"sort"
)

// Generate describes a synthetic trace of a whole cluster, or a part or multiple of one.
type Generate struct {
	// Functions is how many there are; 0: PublishedFunctions. Everything else scales with it.
	Functions int
	// Minutes is the length; 0: 30.
	Minutes int
	// StartMinute is the minute of the day at which it starts, 0..1439: volume follows the hour.
	StartMinute int
	// Seed of all that is drawn.
	Seed uint64
}

// maxGenerated bounds a request to what fits dense 32-bit indices and a few gigabytes.
const maxGenerated = 5_000_000

// New makes the trace: tables are drawn now, counts when a pass asks for them.
//
// Totals of apps are not drawn but laid out: app i of n gets the published total of rank
// i/n, so that the heavy tail (the first app makes 14% of all) is there in every trace and
// two seeds differ in who does what and when, not in how much there is. The rest is drawn to
// fit the published statistics; see docs/simulator.md for what was measured against them.
func (g Generate) New() (*Counted, error) {
	if g.Functions == 0 {
		g.Functions = PublishedFunctions
	}
	if g.Minutes == 0 {
		g.Minutes = 30
	}
	switch {
	case g.Functions < 1 || g.Functions > maxGenerated:
		return nil, fmt.Errorf("generate trace: %d functions: want 1..%d", g.Functions, maxGenerated)
	case g.Minutes < 1 || g.Minutes > 366*1440:
		return nil, fmt.Errorf("generate trace: %d minutes: want 1..%d", g.Minutes, 366*1440)
	case g.StartMinute < 0 || g.StartMinute >= 1440:
		return nil, fmt.Errorf("generate trace: start at minute %d of the day: want 0..1439", g.StartMinute)
	}
	p := g.population()
	p.chooseTriggers()
	p.snapTimers()
	p.chooseDurations()
	p.chooseMemory()
	p.chooseArrivals()
	return &Counted{functions: p.functions, minutes: g.Minutes, start: g.StartMinute, open: func() Counter {
		return newGenerator(g, p)
	}}, nil
}

// app is the part of the population that arrives together.
type app struct {
	first, last int32   // its functions, [first, last)
	total       float64 // invocations a day
	rank        int
	variation   float64 // coefficient of variation of inter-arrival times
}

type population struct {
	seed      uint64
	functions []Function
	rate      []float64 // invocations a day of each function
	period    []float64 // of timers, minutes
	apps      []app
	byRate    []int32 // functions, busiest first
}

// population draws the apps, their functions and how an app's calls divide among them.
func (g Generate) population() *population {
	p := &population{seed: g.Seed}
	sizes := appSizes(g.Functions, g.Seed)
	n := len(sizes)
	p.apps = make([]app, n)
	p.functions = make([]Function, 0, g.Functions)
	p.rate = make([]float64, 0, g.Functions)
	for i, size := range sizes {
		rnd := newRandom(g.Seed, 2, uint64(i))
		a := &p.apps[i]
		*a = app{first: int32(len(p.functions)), total: totalOfRank((float64(i) + 0.5) / float64(n)), rank: i}
		weights := make([]float64, size)
		sum := 0.0
		for j := range weights {
			weights[j] = math.Exp(splitSigma * rnd.normal())
			sum += weights[j]
		}
		for j, w := range weights {
			p.functions = append(p.functions, Function{
				App:  fmt.Sprintf("app%06d", i+1),
				Name: fmt.Sprintf("app%06d-f%d", i+1, j+1),
			})
			p.rate = append(p.rate, max(a.total*w/sum, 1))
		}
		a.last = int32(len(p.functions))
	}
	p.byRate = make([]int32, len(p.rate))
	for i := range p.byRate {
		p.byRate[i] = int32(i)
	}
	sort.SliceStable(p.byRate, func(i, j int) bool { return p.rate[p.byRate[i]] > p.rate[p.byRate[j]] })
	return p
}

// With these two the functions' own distribution of totals is near the published one.
const (
	// splitSigma is how unevenly an app's calls divide among its functions, as the sigma of
	// lognormal weights.
	splitSigma = 1.4
	// sizeRank is how much the size of an app follows its rank: 0 not at all, large entirely.
	sizeRank = 0.25
)

// appSizes gives the sizes of as many apps as hold the wanted number of functions.
func appSizes(functions int, seed uint64) []int {
	// The mean of the published sizes is 2.73; the day's active apps have 2.64 each.
	n := max(1, int(math.Round(float64(functions)*PublishedApps/PublishedFunctions)))
	n = min(n, functions)
	sizes := make([]int, n)
	total := 0
	for i := range sizes {
		sizes[i] = int(sizeAt((float64(i) + 0.5) / float64(n)))
		total += sizes[i]
	}
	// Make the sum exact by the largest sizes' neighbours: one by one, from the large end.
	for i := n - 1; total != functions; {
		if total > functions && sizes[i] > 1 {
			sizes[i]--
			total--
		} else if total < functions {
			sizes[i]++
			total++
		}
		if i--; i < 0 {
			i = n - 1
		}
	}
	// Place i is the ith busiest app: larger apps tend to be busier ones.
	score := make([]float64, n)
	for i := range score {
		rnd := newRandom(seed, 1, uint64(i))
		score[i] = sizeRank*float64(i)/float64(n) + rnd.float()
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(i, j int) bool { return score[order[i]] > score[order[j]] })
	placed := make([]int, n)
	for i, o := range order {
		placed[i] = sizes[o]
	}
	return placed
}

func sizeAt(share float64) float64 {
	i := sort.Search(len(functionsPerApp), func(i int) bool { return functionsPerApp[i].share >= share })
	return functionsPerApp[min(i, len(functionsPerApp)-1)].value
}

// totalOfRank is the day's invocations of the app at a share of the ranking, 0 the busiest.
// Where the trace has fewer apps than the day, an app stands for the mean of the ranks around
// it, so that the whole keeps the published mean per app.
func totalOfRank(share float64) float64 {
	rank := share*PublishedApps - 0.5
	if rank <= 0 {
		return appTotals[0].total
	}
	i := sort.Search(len(appTotals), func(i int) bool { return appTotals[i].rank >= rank })
	if i >= len(appTotals) {
		return appTotals[len(appTotals)-1].total
	}
	hi := appTotals[i]
	if hi.rank == rank || i == 0 {
		return hi.total
	}
	lo := appTotals[i-1]
	t := math.Log((rank+1)/(lo.rank+1)) / math.Log((hi.rank+1)/(lo.rank+1))
	return lo.total * math.Pow(hi.total/lo.total, t)
}

// timerPeriods are the periods of timers in minutes; the shorter ones are the 5% that fire
// more often than once a minute.
var timerPeriods = [...]float64{1.0 / 60, 1.0 / 12, 1.0 / 6, 1.0 / 2, 1, 2, 3, 5, 10, 15, 30, 60, 120, 360, 720, 1440}

// chooseTriggers fits both published shares, of functions and of invocations: the busiest
// functions, which make nearly all invocations, each take the trigger that lacks the most
// invocations; the others take one by the share of functions that is left.
func (p *population) chooseTriggers() {
	n := float64(len(p.functions))
	sum := 0.0
	for _, r := range p.rate {
		sum += r
	}
	var functions, invocations [triggerCount]float64
	for t, s := range triggerShares {
		functions[t], invocations[t] = s.functions*n, s.invocations*sum
	}
	rnd := newRandom(p.seed, 3)
	for _, f := range p.byRate {
		rate := p.rate[f]
		best := TriggerHTTP
		if rate > 6000 && !(rate < 1e5 && rnd.float() < 0.12) {
			for t := TriggerHTTP; t <= TriggerOthers; t++ {
				if invocations[t] > invocations[best] && functions[t] >= 1 && t != TriggerTimer {
					best = t
				}
			}
		} else {
			var weight [triggerCount]float64
			all := 0.0
			for t := range functions {
				weight[t] = max(functions[t], 0)
				if Trigger(t) == TriggerTimer {
					weight[t] *= timerLikeness(rate)
				} else if rate > 500 {
					weight[t] *= max(0.02, invocations[t]/sum) // those that lack invocations first
				}
				all += weight[t]
			}
			u := rnd.float() * all
			for t, w := range weight {
				if u -= w; u < 0 {
					best = Trigger(t)
					break
				}
			}
		}
		p.functions[f].Trigger = best
		functions[best]--
		invocations[best] -= rate
	}
}

// timerLikeness weighs how much a daily rate looks like a timer's.
func timerLikeness(rate float64) float64 {
	if rate > 6000 {
		return 1.2
	}
	if rate > 1500 {
		return 0.02
	}
	for _, period := range timerPeriods {
		if math.Abs(rate*period/1440-1) < 0.04 {
			return 8
		}
	}
	return 0.6
}

// snapTimers gives each timer the period next to its rate.
func (p *population) snapTimers() {
	p.period = make([]float64, len(p.functions))
	for i := range p.functions {
		if p.functions[i].Trigger != TriggerTimer {
			continue
		}
		best := 1440.0
		for _, period := range timerPeriods {
			if math.Abs(math.Log(p.rate[i]*period/1440)) < math.Abs(math.Log(p.rate[i]*best/1440)) {
				best = period
			}
		}
		p.period[i] = best
		p.rate[i] = 1440 / best
	}
}

// shapes are how a function's percentiles stand to its median, at the deciles 1, 2.5, 5,
// 7.5 and 9 of the functions with over 500 invocations in the 500-function sample of day 1:
// levels 0.01, 0.25, 0.75, 0.99, 1, then the average.
var shapes = [5][6]float64{
	{.83, .97, 1.07, 1.74, 3.55, 1.01},
	{.73, .91, 1.16, 2.94, 10.92, 1.13},
	{.50, .80, 1.36, 6.52, 34.14, 1.40},
	{.28, .67, 1.82, 30.53, 166.3, 3.0},
	{.09, .47, 2.98, 87.27, 465.5, 8.0},
}

// chooseDurations couples the rank of a function's average to that of its count by a Gaussian
// copula, and then moves the busiest functions together until the mean weighted by counts is
// the published one.
func (p *population) chooseDurations() {
	n := len(p.functions)
	// Pearson of the copula for a Spearman; the tail's rescaling takes a part of it away again.
	rho := 2 * math.Sin(math.Pi*durationCountRank*1.05/6)
	average := make([]float64, n)
	for rank, f := range p.byRate {
		rnd := newRandom(p.seed, 4, uint64(f))
		z := inverseNormal(1 - (float64(rank)+0.5)/float64(n))
		e := rnd.normal()
		if rank < n/100 {
			e = max(-1.2, min(1.2, e)) // no single function may decide the load of the cluster
		}
		average[f] = 1000 * math.Exp(durationLogMean+durationLogSigma*(rho*z+math.Sqrt(1-rho*rho)*e))
	}
	head := max(1, n/50)
	var tail, top, calls float64
	for rank, f := range p.byRate {
		// A day's calls cannot run for longer than some hours; the released set ends there too.
		average[f] = min(average[f], 2*3600*1000)
		calls += p.rate[f]
		if rank < head {
			top += p.rate[f] * average[f]
		} else {
			tail += p.rate[f] * average[f]
		}
	}
	scale := max(0.05, min(20, (durationWeighedMean*calls-tail)/top))
	for rank, f := range p.byRate {
		a := average[f]
		if rank < head {
			a *= scale
		}
		rnd := newRandom(p.seed, 5, uint64(f))
		p.functions[f].Duration = shaped(a, rnd.float())
	}
}

// shaped makes the percentiles of a function with an average in ms, u in [0, 1) saying how spread they are.
func shaped(average, u float64) Durations {
	at := [5]float64{.1, .25, .5, .75, .9}
	i := 0
	for i < 3 && u > at[i+1] {
		i++
	}
	t := max(0, min(1, (u-at[i])/(at[i+1]-at[i])))
	var r [6]float64
	for j := range r {
		r[j] = shapes[i][j] * math.Pow(shapes[i+1][j]/shapes[i][j], t)
	}
	median := average / r[5]
	d := Durations{Average: round3(average)}
	for j, v := range [7]float64{r[0] * r[0], r[0], r[1], 1, r[2], r[3], r[4]} {
		d.Percentiles[j] = round3(median * v)
	}
	return d
}

// round3 keeps a thousandth of a unit, so that what is written to files is what was generated.
func round3(v float64) float64 { return math.Round(v*1000) / 1000 }

// chooseMemory draws an app's memory and shares it among its functions, as the readers do.
func (p *population) chooseMemory() {
	for i := range p.apps {
		a := &p.apps[i]
		rnd := newRandom(p.seed, 6, uint64(i))
		u := min(rnd.float(), 0.9999)
		mb := memoryBurrLambda * math.Pow(math.Pow(1-u, -1/memoryBurrK)-1, 1/memoryBurrC)
		mb = min(max(mb, 30), 1536) // the least and the most of the released set
		for f := a.first; f < a.last; f++ {
			p.functions[f].MemoryMB = round3(mb / float64(a.last-a.first))
		}
	}
}

// chooseArrivals gives each app a coefficient of variation by the published quantiles: apps
// that are all timers stand at the low end by themselves; the others share what is left, each
// kind of app alike.
func (p *population) chooseArrivals() {
	var free []int
	timers := 0
	for i := range p.apps {
		a := &p.apps[i]
		only := true
		for f := a.first; f < a.last; f++ {
			only = only && p.functions[f].Trigger == TriggerTimer
		}
		if only {
			timers++
		} else {
			free = append(free, i)
		}
	}
	low := float64(timers) / float64(len(p.apps))
	// An app of a few calls a day cannot show a large variation, so the larger ones go to the others.
	score := make(map[int]float64, len(free))
	for _, i := range free {
		rnd := newRandom(p.seed, 7, uint64(i))
		score[i] = rnd.float()
		if p.apps[i].total > 50 {
			score[i] += 0.6
		}
	}
	sort.SliceStable(free, func(i, j int) bool { return score[free[i]] < score[free[j]] })
	for place, i := range free {
		q := (low + (1-low)*(float64(place)+0.5)/float64(len(free))) * float64(len(appVariation)-1)
		j := min(int(q), len(appVariation)-2)
		lo, hi := appVariation[j], appVariation[j+1]
		v := lo + (hi-lo)*(q-float64(j))
		if v > 1 {
			// Whole minutes blur a burst; so much larger it has to be to be measured as v.
			v *= 1.7
		}
		p.apps[i].variation = min(v, 40)
	}
}
