package trace

import (
	"context"
	"math"
	"slices"
	"sort"
	"time"

	"gonum.org/v1/gonum/stat"
)

// Info is a summary of a trace by the statistics that are published of the Azure 2019 set.
type Info struct {
	Functions   int           `json:"functions"`
	Active      int           `json:"activeFunctions"` // with an invocation
	Apps        int           `json:"activeApps"`
	Invocations uint64        `json:"invocations"`
	Length      time.Duration `json:"lengthNs"`
	StartMinute int           `json:"startMinute"`

	// AppTotals and FunctionTotals are quantiles of invocations a day (scaled from the
	// trace's length) of the active ones.
	AppTotals      Quantiles `json:"appTotalsPerDay"`
	FunctionTotals Quantiles `json:"functionTotalsPerDay"`
	// TopShares are the shares of all invocations that the busiest 1, 10, 100 and 1000 apps make.
	TopShares [4]float64 `json:"topShares"`
	// FunctionsPerApp are quantiles over active apps, of all their functions.
	FunctionsPerApp Quantiles `json:"functionsPerApp"`
	Triggers        []Share   `json:"triggers"`

	// AverageMs are quantiles over functions of their average duration, of those with a row.
	AverageMs Quantiles `json:"averageMs"`
	// WeightedMeanMs is the mean of the averages weighted by invocations.
	WeightedMeanMs float64 `json:"weightedMeanMs"`
	// CountDurationRank is Spearman's correlation of a function's invocations and average.
	CountDurationRank float64 `json:"countDurationRank"`
	// MemoryMB are quantiles over functions, AppMemoryMB over apps (the sum of their functions').
	MemoryMB    Quantiles `json:"memoryMB"`
	AppMemoryMB Quantiles `json:"appMemoryMB"`

	// Variation are quantiles over apps of the coefficient of variation of inter-arrival
	// times, of apps with at least three invocations.
	Variation Quantiles `json:"interArrivalVariation"`
	// TimersPerMinute is the share of timers that fire at most once a minute.
	SlowTimers float64 `json:"timersAtMostOncePerMinute"`
	// PeakPerMinute is the most invocations in one minute.
	PeakPerMinute uint64 `json:"peakPerMinute"`
	// Hourly is the volume of each hour of the day over the mean of the hours that the trace
	// covers whole; 0 for the others.
	Hourly [24]float64 `json:"hourly"`
}

// Share is what a trigger makes.
type Share struct {
	Trigger     string  `json:"trigger"`
	Functions   float64 `json:"functions"`
	Invocations float64 `json:"invocations"`
}

// Quantiles of a population.
type Quantiles struct {
	P5   float64 `json:"p5"`
	P10  float64 `json:"p10"`
	P25  float64 `json:"p25"`
	P50  float64 `json:"p50"`
	P75  float64 `json:"p75"`
	P90  float64 `json:"p90"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
	Mean float64 `json:"mean"`
}

// quantiles sorts the values.
func quantiles(v []float64) Quantiles {
	if len(v) == 0 {
		return Quantiles{}
	}
	slices.Sort(v)
	q := func(p float64) float64 { return stat.Quantile(p, stat.Empirical, v, nil) }
	return Quantiles{q(.05), q(.10), q(.25), q(.50), q(.75), q(.90), q(.95), q(.99), q(.999), v[len(v)-1], stat.Mean(v, nil)}
}

// gaps follows the inter-arrival times of an app (Welford's running variance).
type gaps struct {
	last    time.Duration
	n       int
	mean, m float64
}

func (g *gaps) add(at time.Duration) {
	if g.n > 0 {
		x := (at - g.last).Seconds()
		d := x - g.mean
		g.mean += d / float64(g.n)
		g.m += d * (x - g.mean)
	}
	g.last = at
	g.n++
}

// variation is the standard deviation of the gaps over their mean.
func (g *gaps) variation() (float64, bool) {
	gaps := float64(g.n - 1)
	if gaps < 2 || g.mean == 0 {
		return 0, false
	}
	return math.Sqrt(g.m/gaps) / g.mean, true
}

// Describe makes a pass over the whole trace.
func Describe(ctx context.Context, t Trace, o Options) (*Info, error) {
	functions := t.Functions()
	apps := map[string]int32{}
	appOf := make([]int32, len(functions))
	var sizes []float64
	for i := range functions {
		k := functions[i].appKey()
		a, ok := apps[k]
		if !ok {
			a = int32(len(sizes))
			apps[k] = a
			sizes = append(sizes, 0)
		}
		sizes[a]++
		appOf[i] = a
	}
	totals := make([]uint64, len(functions))
	arrivals := make([]gaps, len(sizes))
	var hours [24]float64
	minutes := map[int]uint64{}
	err := ForEach(ctx, t, o, func(inv Invocation) error {
		totals[inv.Function]++
		arrivals[appOf[inv.Function]].add(inv.At)
		minutes[int(inv.At/time.Minute)]++
		return nil
	})
	if err != nil {
		return nil, err
	}
	info := &Info{Functions: len(functions), Length: t.Length(), StartMinute: t.StartMinute()}
	for m, n := range minutes {
		info.PeakPerMinute = max(info.PeakPerMinute, n)
		hours[(info.StartMinute+m)/60%24] += float64(n)
	}
	info.hourly(hours)
	info.functions(functions, totals)
	info.apps(functions, appOf, totals, sizes, arrivals)
	return info, nil
}

// hourly scales whole hours by their mean.
func (info *Info) hourly(hours [24]float64) {
	first := (info.StartMinute + 59) / 60
	last := (info.StartMinute + int(info.Length/time.Minute)) / 60
	seen := map[int]float64{}
	sum := 0.0
	for h := first; h < last && h < first+24; h++ {
		seen[h%24] = hours[h%24]
		sum += hours[h%24]
	}
	for h, v := range seen {
		if sum > 0 {
			info.Hourly[h] = v * float64(len(seen)) / sum
		}
	}
}

func (info *Info) functions(functions []Function, totals []uint64) {
	perDay := 24 / info.Length.Hours()
	var counts, averages, memory, rankCount, rankAverage []float64
	var byTrigger [triggerCount]Share
	var timers, slow, known float64
	for i := range functions {
		f := &functions[i]
		n := float64(totals[i])
		byTrigger[f.Trigger].Functions++
		byTrigger[f.Trigger].Invocations += n
		memory = append(memory, f.MemoryMB)
		if !f.DurationAssumed {
			averages = append(averages, f.Duration.Average)
		}
		if totals[i] == 0 {
			continue
		}
		info.Active++
		info.Invocations += totals[i]
		counts = append(counts, n*perDay)
		if f.Trigger == TriggerTimer {
			timers++
			if n <= info.Length.Minutes()*1.01+1 {
				slow++
			}
		}
		if !f.DurationAssumed {
			info.WeightedMeanMs += n * f.Duration.Average
			known += n
			rankCount = append(rankCount, n)
			rankAverage = append(rankAverage, f.Duration.Average)
		}
	}
	info.FunctionTotals, info.AverageMs, info.MemoryMB = quantiles(counts), quantiles(averages), quantiles(memory)
	if known > 0 {
		info.WeightedMeanMs /= known
	}
	if timers > 0 {
		info.SlowTimers = slow / timers
	}
	info.CountDurationRank = spearman(rankCount, rankAverage)
	for t, s := range byTrigger {
		if s.Functions == 0 {
			continue
		}
		s.Trigger = Trigger(t).String()
		s.Functions /= float64(len(functions))
		if info.Invocations > 0 {
			s.Invocations /= float64(info.Invocations)
		}
		info.Triggers = append(info.Triggers, s)
	}
}

func (info *Info) apps(functions []Function, appOf []int32, totals []uint64, sizes []float64, arrivals []gaps) {
	appTotals := make([]float64, len(sizes))
	appMemory := make([]float64, len(sizes))
	for i := range functions {
		appTotals[appOf[i]] += float64(totals[i])
		appMemory[appOf[i]] += functions[i].MemoryMB
	}
	perDay := 24 / info.Length.Hours()
	var active, activeSizes, variations []float64
	for a, n := range appTotals {
		if n == 0 {
			continue
		}
		info.Apps++
		active = append(active, n*perDay)
		activeSizes = append(activeSizes, sizes[a])
		if v, ok := arrivals[a].variation(); ok {
			variations = append(variations, v)
		}
	}
	info.AppTotals, info.FunctionsPerApp = quantiles(active), quantiles(activeSizes)
	info.AppMemoryMB, info.Variation = quantiles(appMemory), quantiles(variations)
	sum := 0.0
	place := 0
	for i := len(active) - 1; i >= 0; i-- { // quantiles has sorted them
		sum += active[i]
		if rank := len(active) - i; place < 4 && float64(rank) == math.Pow10(place) {
			info.TopShares[place] = sum
			place++
		}
	}
	for ; place < 4; place++ {
		info.TopShares[place] = sum
	}
	for i := range info.TopShares {
		if sum > 0 {
			info.TopShares[i] /= sum
		}
	}
}

// spearman is the correlation of ranks, ties sharing the mean of theirs.
func spearman(a, b []float64) float64 {
	if len(a) < 3 {
		return 0
	}
	r := stat.Correlation(ranks(a), ranks(b), nil)
	if math.IsNaN(r) { // all equal
		return 0
	}
	return r
}

func ranks(v []float64) []float64 {
	order := make([]int, len(v))
	for i := range order {
		order[i] = i
	}
	sort.Slice(order, func(i, j int) bool { return v[order[i]] < v[order[j]] })
	r := make([]float64, len(v))
	for i := 0; i < len(order); {
		j := i
		for j < len(order) && v[order[j]] == v[order[i]] {
			j++
		}
		for k := i; k < j; k++ {
			r[order[k]] = float64(i+j-1) / 2
		}
		i = j
	}
	return r
}
