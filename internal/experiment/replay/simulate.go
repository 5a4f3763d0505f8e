package replay

import (
	"context"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/experiment/report"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/sim"
)

// Result of a replay.
type Result struct {
	Plan        *Plan         `json:"plan"`
	Policy      string        `json:"policy"`
	Params      policy.Params `json:"params"`
	ShareBuilds bool          `json:"shareBuilds"`
	Machine     Machine       `json:"machine"`
	Interrupted bool          `json:"interrupted"`
	Runs        []Pair        `json:"runs"`
	// Saved is what the optimizer saved of the run without it; nil without both runs.
	Saved *Saved `json:"saved,omitempty"`
}

// Pair is a run and its simulation.
type Pair struct {
	Live      *Live      `json:"live"`
	Simulated *Simulated `json:"simulated"`
	Errors    Errors     `json:"errors"`
}

// Find is the pair of a mode, or nil.
func (r *Result) Find(optimizer bool) *Pair {
	for i := range r.Runs {
		if r.Runs[i].Live.Optimizer == optimizer {
			return &r.Runs[i]
		}
	}
	return nil
}

// Simulated is the same invocations in the simulator.
type Simulated struct {
	Figures Figures     `json:"figures"`
	Options sim.Options `json:"options"`
	Series  sim.Series  `json:"-"`

	waited []coldStart
}

// Figures are what live and simulated runs are compared by, over the time of the trace.
type Figures struct {
	ColdStarts       int `json:"coldStarts"`
	ColdStartsNative int `json:"coldStartsNative"`
	// ColdSeconds is the sum of what cold starts took, beyond the trace's durations.
	ColdSeconds float64 `json:"coldSeconds"`
	// Rungs are the figures of each rung, the lowest first.
	Rungs []RungFigures `json:"rungs"`
	// Optimized functions: a binary served, and they were invoked.
	Optimized       int `json:"optimizedFunctions"`
	Deoptimizations int `json:"deoptimizations"`
	// Evicted workers were stopped early because others needed their memory.
	Evicted int `json:"evictedWorkers"`
	// FirstOptimized is when the first binary served, in seconds; 0: none did.
	FirstOptimized float64 `json:"firstOptimizedSeconds"`
	// RunningShare is the optimized share of the functions that ran in a second, after the first
	// third of the trace (the paper: after 10 of 30 minutes); ColdShare the share of cold starts
	// that were native, after the first binary.
	RunningShare float64 `json:"optimizedRunningShare"`
	ColdShare    float64 `json:"nativeColdShare"`
	// Means in MB, and integrals over the trace in GB s.
	ResidentMB  float64 `json:"residentMB"`
	RunningMB   float64 `json:"runningMB"`
	ResidentGBs float64 `json:"residentGBs"`
	RunningGBs  float64 `json:"runningGBs"`
	Workers     float64 `json:"meanWorkers"`
	PeakWorkers int32   `json:"peakWorkers"`

	Response Distribution `json:"response"`
}

// RungFigures are those of one rung.
type RungFigures struct {
	Rung       function.Rung `json:"rung"`
	ColdStarts int           `json:"coldStarts"`
	// ColdP50 is the median of what its cold starts took beyond the trace's durations; 0: there was none.
	ColdP50 float64 `json:"coldP50Ms"`
	// Functions had the rung's artifact, and were invoked; 0 of the first rung.
	Functions int `json:"functions"`
	// Builds that were begun.
	Builds int `json:"builds"`
}

// Rung are the figures of a rung; all zero if there are none.
func (f *Figures) Rung(name function.Rung) RungFigures {
	for _, r := range f.Rungs {
		if r.Rung == name {
			return r
		}
	}
	return RungFigures{Rung: name}
}

// figures computes those that follow from what was seen.
func figures(s *sim.Series, seen *observation) Figures {
	f := Figures{Optimized: seen.optimized, Deoptimizations: seen.deopts, Evicted: seen.evicted}
	took := map[function.Rung][]time.Duration{}
	for _, c := range seen.waited {
		f.ColdSeconds += c.took.Seconds()
		took[c.rung] = append(took[c.rung], c.took)
	}
	for _, name := range seen.rungs {
		f.Rungs = append(f.Rungs, RungFigures{
			Rung: name, ColdStarts: seen.colds[name], ColdP50: ms(median(took[name])), Functions: seen.onRung[name], Builds: seen.builds[name],
		})
	}
	n := s.Len()
	if n == 0 {
		return f
	}
	third := n / 3
	first := slices.IndexFunc(s.OptimizedFunctions, func(v int32) bool { return v > 0 })
	var active, activeNative, cold, coldNative float64
	for i := range n {
		f.ColdStarts += int(s.ColdOptimized[i] + s.ColdOther[i])
		f.ColdStartsNative += int(s.ColdOptimized[i])
		f.ResidentGBs += s.ResidentMB[i] / 1e3
		f.RunningGBs += s.RunningMB[i] / 1e3
		f.Workers += float64(s.Resident[i]) / float64(n)
		f.PeakWorkers = max(f.PeakWorkers, s.Resident[i])
		if i >= third {
			active += float64(s.ActiveOptimized[i] + s.ActiveOther[i])
			activeNative += float64(s.ActiveOptimized[i])
		}
		if first >= 0 && i >= first {
			cold += float64(s.ColdOptimized[i] + s.ColdOther[i])
			coldNative += float64(s.ColdOptimized[i])
		}
	}
	if first >= 0 {
		f.FirstOptimized = float64(first + 1)
	}
	f.ResidentMB, f.RunningMB = f.ResidentGBs*1e3/float64(n), f.RunningGBs*1e3/float64(n)
	f.RunningShare, f.ColdShare = ratio(activeNative, active), ratio(coldNative, cold)
	return f
}

// Errors are the simulator's: simulated over measured, less one.
type Errors struct {
	ColdStarts float64 `json:"coldStarts"`
	// Memory is that of the integral of all workers' memory, RunningMemory of those that run.
	Memory        float64 `json:"residentMemory"`
	RunningMemory float64 `json:"runningMemory"`
	// Functions by rung; 0 where there was none on both sides.
	Functions   map[function.Rung]float64 `json:"functions"`
	Workers     float64                   `json:"meanWorkers"`
	ResponseP50 float64                   `json:"responseP50"`
	ResponseP99 float64                   `json:"responseP99"`
}

func compare(live, simulated *Figures) Errors {
	relative := func(simulated, live float64) float64 {
		switch {
		case live != 0:
			return simulated/live - 1
		case simulated == 0:
			return 0
		}
		return 1 // of nothing: all of it is wrong
	}
	functions := map[function.Rung]float64{}
	for _, r := range live.Rungs {
		functions[r.Rung] = relative(float64(simulated.Rung(r.Rung).Functions), float64(r.Functions))
	}
	return Errors{
		ColdStarts:    relative(float64(simulated.ColdStarts), float64(live.ColdStarts)),
		Memory:        relative(simulated.ResidentGBs, live.ResidentGBs),
		RunningMemory: relative(simulated.RunningGBs, live.RunningGBs),
		Functions:     functions,
		Workers:       relative(simulated.Workers, live.Workers),
		ResponseP50:   relative(simulated.Response.P50, live.Response.P50),
		ResponseP99:   relative(simulated.Response.P99, live.Response.P99),
	}
}

// Saved compares the run with the optimizer with the one without it.
type Saved struct {
	// Memory over the whole trace, and over its last two thirds (the paper's 30 %).
	Resident      float64 `json:"resident"`
	Running       float64 `json:"running"`
	ResidentLater float64 `json:"residentLastTwoThirds"`
	RunningLater  float64 `json:"runningLastTwoThirds"`
	// ColdBelowHalf is the share of cold starts that took less than half of what those of the same function
	// take on HotSpot, in the run without the optimizer; ColdSeconds is what was saved of what all
	// of them took.
	ColdBelowHalf float64 `json:"coldBelowHalf"`
	ColdSeconds   float64 `json:"coldSeconds"`
	// Simulated is the same of the simulations.
	ColdBelowHalfSimulated float64 `json:"coldBelowHalfSimulated"`
	ColdSecondsSimulated   float64 `json:"coldSecondsSimulated"`
	ResidentSimulated      float64 `json:"residentSimulated"`
	ResidentLaterSimulated float64 `json:"residentLastTwoThirdsSimulated"`
}

// finish compares the runs, if there are both.
func (r *Result) finish() {
	with, without := r.Find(true), r.Find(false)
	if with == nil || without == nil {
		return
	}
	later := func(a, b []float64) float64 {
		n := min(len(a), len(b))
		return 1 - ratio(total(a[n/3:n]), total(b[n/3:n]))
	}
	whole := func(a, b []float64) float64 {
		n := min(len(a), len(b))
		return 1 - ratio(total(a[:n]), total(b[:n]))
	}
	a, b, x, y := &with.Live.Series, &without.Live.Series, &with.Simulated.Series, &without.Simulated.Series
	r.Saved = &Saved{
		Resident: whole(a.ResidentMB, b.ResidentMB), Running: whole(a.RunningMB, b.RunningMB),
		ResidentLater: later(a.ResidentMB, b.ResidentMB), RunningLater: later(a.RunningMB, b.RunningMB),
		ResidentSimulated: whole(x.ResidentMB, y.ResidentMB), ResidentLaterSimulated: later(x.ResidentMB, y.ResidentMB),
		ColdBelowHalf:          belowHalf(with.Live.Measured.seen.waited, without.Live.Measured.seen.waited),
		ColdBelowHalfSimulated: belowHalf(with.Simulated.waited, without.Simulated.waited),
		ColdSeconds:            1 - ratio(with.Live.Figures.ColdSeconds, without.Live.Figures.ColdSeconds),
		ColdSecondsSimulated:   1 - ratio(with.Simulated.Figures.ColdSeconds, without.Simulated.Figures.ColdSeconds),
	}
}

// belowHalf is the share of cold starts that took less than half of the median of the same function's
// in another run. Those of functions that have none there do not count.
func belowHalf(colds, others []coldStart) float64 {
	took := map[int][]time.Duration{}
	for _, c := range others {
		took[c.fn] = append(took[c.fn], c.took)
	}
	var below, all float64
	for _, c := range colds {
		if len(took[c.fn]) == 0 {
			continue
		}
		all++
		if 2*c.took < median(took[c.fn]) {
			below++
		}
	}
	return ratio(below, all)
}

// median of durations; 0 of none.
func median(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(d))[len(d)/2]
}

// Measured is what the simulation of a run takes from it.
type Measured struct {
	Ways []WayMeasured `json:"ways"`
	// StartSpread is the sigma of the logarithm of start times, around each way's median.
	StartSpread float64 `json:"startSpread"`
	// Builds are the means of those that came to their end.
	Builds []BuildMeasured `json:"builds"`
	// Checks are the same of what comparing artifacts took.
	Checks []BuildMeasured `json:"checks,omitempty"`
	// Tracing is how long after its first invocation begins a tracing worker's findings are there;
	// RecordEnd how long a worker takes to end whose recording is there only then, and Stop any other.
	Tracing   float64 `json:"tracingSeconds"`
	RecordEnd float64 `json:"recordEndSeconds"`
	Stop      float64 `json:"stopSeconds"`

	seen *observation
	// memory is what workers of each function use, of the ways that say enough of it.
	memory []map[sim.Way]float64
}

// WayMeasured is what was measured of workers that run in one way.
type WayMeasured struct {
	Rung      function.Rung    `json:"rung"`
	Recording ladder.Recording `json:"recording"`
	// Start is the geometric mean of the time from the order to start to ready, of Starts workers.
	Start  float64 `json:"startMs"`
	Starts int     `json:"starts"`
	// Overhead is what Warm invocations took beyond the trace's duration, FirstOverhead what the First
	// first ones of a worker did: means, seen from the engine.
	Overhead      float64 `json:"overheadMs"`
	Warm          int     `json:"warmInvocations"`
	FirstOverhead float64 `json:"firstOverheadMs"`
	First         int     `json:"firstInvocations"`
	// A worker has BaseMB and AllocatedMB times what its function allocates (MiB): least squares over
	// Samples measurements, of workers of so many Functions.
	BaseMB      float64 `json:"baseMB"`
	AllocatedMB float64 `json:"perAllocatedMB"`
	Samples     int     `json:"memorySamples"`
	Functions   int     `json:"memoryFunctions"`
}

// BuildMeasured is the mean of a rung's builds.
type BuildMeasured struct {
	Rung  function.Rung `json:"rung"`
	Count int           `json:"count"`
	Cost  ladder.Cost   `json:"mean"`
}

func (w *WayMeasured) way() sim.Way { return sim.Way{Rung: w.Rung, Recording: w.Recording} }

func measure(o *observation, s *sampler) Measured {
	m := Measured{Tracing: o.tracing.mean(), RecordEnd: o.recorded.mean(), Stop: o.stop.mean(), seen: o}
	for _, own := range s.own {
		m.memory = append(m.memory, means(own, leastSamples, func(mb float64) float64 { return mb }))
	}
	var squares, n float64
	for _, name := range o.rungs {
		for x := range ladder.RecordingCount {
			way := sim.Way{Rung: name, Recording: ladder.Recording(x)}
			starts, warm, first := o.starts[way], o.overhead[way], o.first[way]
			w := WayMeasured{
				Rung: way.Rung, Recording: way.Recording, Starts: starts.count(),
				Overhead: 1e3 * max(warm.mean(), 0), Warm: warm.count(), FirstOverhead: 1e3 * max(first.mean(), 0), First: first.count(),
			}
			if w.Starts > 0 {
				w.Start = 1e3 * math.Exp(starts.mean())
			}
			if fit := s.fits[way]; fit != nil {
				w.Samples = int(fit.n)
				w.BaseMB, w.AllocatedMB = fit.line()
				for _, own := range s.own {
					if own[way] != nil {
						w.Functions++
					}
				}
			}
			squares += starts.variance() * float64(w.Starts)
			n += float64(w.Starts)
			if w.Starts+w.Samples > 0 {
				m.Ways = append(m.Ways, w)
			}
		}
		if c := o.costs[name]; c != nil {
			m.Builds = append(m.Builds, BuildMeasured{name, c.n, c.mean()})
		}
		if c := o.checks[name]; c != nil {
			m.Checks = append(m.Checks, BuildMeasured{name, c.n, c.mean()})
		}
	}
	if n > 0 {
		m.StartSpread = math.Sqrt(squares / n)
	}
	return m
}

// handlers is the ladder of all functions of a replay.
var handlers = ladder.Usual(function.KindHandler)

// model turns what was measured into the simulator's options. What a run did not show (native
// workers of a run that ended before the first binary) follows from the ladder and what it did show.
func (o *Options) model(l *Live) sim.Options {
	s := sim.DefaultOptions()
	s.Params, s.Sequential, s.Trace.Seed = o.Params, true, o.Plan.Scaling.Seed
	s.Policies, s.Ladder = []string{o.Policy}, handlers
	if !l.Optimizer {
		s.Policies = []string{"none"}
	}
	m, x := &s.Model, &l.Measured
	m.SandboxMB = 0 // it is in what was measured
	m.BuildTimes = nil
	m.ColdSpread = min(x.StartSpread, 2)
	if x.seen != nil {
		s.Functions, s.Node = slices.Clone(x.seen.functions), x.seen.node
	} else {
		s.Functions, s.Node = o.assumed(l.Optimizer), o.Node
	}
	m.Builders, m.LightBuilders = orOne(s.Node.Builders), orOne(s.Node.LightBuilders)
	m.TraceLimit, m.MemoryMB, m.ArtifactMB = engine.DefaultTraceLimit, float64(s.Node.MemoryMiB)*(1<<20)/1e6, float64(s.Node.ArtifactMB)
	if s.Node.TraceLimit > 0 {
		m.TraceLimit = int(s.Node.TraceLimit)
	}
	if x.Tracing > 0 {
		m.TraceDelay = time.Duration(x.Tracing * 1e9)
	}
	if x.RecordEnd > 0 {
		m.RecordEnd = time.Duration(x.RecordEnd * 1e9)
	}
	m.Stop = time.Duration(x.Stop * 1e9)
	x.times(m)
	for i := range s.Functions {
		f := &s.Functions[i]
		f.Ahead = x.seen == nil && l.Optimizer // else it is simulated
		if f.Computes == 0 {                   // it had no worker that was warm
			f.Computes = o.Plan.Scaling.Busy
		}
		if f.MemoryMB == nil {
			f.MemoryMB = map[sim.Way]float64{}
		}
		for k := range x.Ways {
			if w := &x.Ways[k]; w.Functions > 1 { // one function says nothing of others
				f.MemoryMB[w.way()] = max(w.BaseMB+w.AllocatedMB*float64(o.Plan.Megabytes[i]), 0)
			}
		}
		if x.memory != nil {
			maps.Copy(f.MemoryMB, alike(x.memory[i]))
			maps.Copy(f.MemoryMB, x.memory[i])
		}
		fill(f.MemoryMB, func(r *ladder.Rung) float64 { return r.Memory }, func(ladder.Recording) float64 { return 1 })
		f.Builds = o.costs(l, i)
		f.Checks = x.checks(i)
	}
	return s
}

// alike is what a function's workers are expected to use on the rungs that have an artifact of the same kind as one on which they were
// measured.
func alike(measured map[sim.Way]float64) map[sim.Way]float64 {
	out := map[sim.Way]float64{}
	for i := range handlers.Rungs {
		was := &handlers.Rungs[i]
		mb := measured[sim.Way{Rung: was.Name}]
		for k := range handlers.Rungs {
			if is := &handlers.Rungs[k]; mb > 0 && is.Artifact == was.Artifact {
				out[sim.Way{Rung: is.Name}] = mb * is.Memory / was.Memory
			}
		}
	}
	return out
}

// checks are what a function's checks cost: the mean of the same rung, else of all its own, since they take as long as what it was asked,
// else of the rung's.
func (x *Measured) checks(i int) map[function.Rung]ladder.Cost {
	var own map[function.Rung]*costs
	if x.seen != nil {
		own = x.seen.checksOf[i]
	}
	var all costs
	for _, c := range own {
		all.join(c)
	}
	out := map[function.Rung]ladder.Cost{}
	for _, c := range x.Checks {
		switch {
		case own[c.Rung] != nil:
			out[c.Rung] = own[c.Rung].mean()
		case all.n > 0:
			out[c.Rung] = all.mean()
		default:
			out[c.Rung] = c.Cost
		}
	}
	return out
}

// times are those of starts and invocations.
func (x *Measured) times(m *sim.Model) {
	m.Starts, m.Overhead, m.FirstOverhead = map[sim.Way]time.Duration{}, map[sim.Way]time.Duration{}, map[sim.Way]time.Duration{}
	for i := range x.Ways {
		w := &x.Ways[i]
		if w.Starts > 0 {
			m.Starts[w.way()] = milliseconds(w.Start)
		}
		if w.Warm > 0 {
			m.Overhead[w.way()] = milliseconds(w.Overhead)
		}
		if w.First > 0 {
			m.FirstOverhead[w.way()] = milliseconds(w.FirstOverhead)
			if w.Rung == handlers.Rungs[ladder.First].Name && m.FirstExtra == 0 {
				m.FirstExtra = milliseconds(max(w.FirstOverhead-w.Overhead, 0))
			}
		}
	}
	fill(m.Starts, func(r *ladder.Rung) float64 { return r.Start }, func(r ladder.Recording) float64 { return m.RecordStart[r] })
}

// fill adds what was not measured of rungs, relative to the first one; what was measured of that
// only of workers that record stands for it.
func fill[T time.Duration | float64](values map[sim.Way]T, factor func(*ladder.Rung) float64, recording func(ladder.Recording) float64) {
	first := sim.Way{Rung: handlers.Rungs[ladder.First].Name}
	for x := range ladder.RecordingCount {
		if v := values[sim.Way{Rung: first.Rung, Recording: ladder.Recording(x)}]; v > 0 && values[first] == 0 {
			values[first] = T(float64(v) / recording(ladder.Recording(x)))
		}
	}
	if values[first] == 0 {
		return
	}
	for i := range handlers.Rungs {
		way := sim.Way{Rung: handlers.Rungs[i].Name}
		if values[way] == 0 {
			values[way] = T(float64(values[first]) * factor(&handlers.Rungs[i]))
		}
	}
}

// costs are those of a function's builds: its own, else the mean of the rung's. Where none came to its
// end, none does.
func (o *Options) costs(l *Live, i int) map[function.Rung]ladder.Cost {
	costs := map[function.Rung]ladder.Cost{}
	for _, r := range l.Figures.Rungs {
		if r.Builds > 0 {
			costs[r.Rung] = ladder.Cost{Wall: o.Plan.Length}
		}
	}
	for _, b := range l.Measured.Builds {
		costs[b.Rung] = b.Cost
	}
	if l.Measured.seen != nil {
		maps.Copy(costs, l.Measured.seen.costOf[i])
	}
	return costs
}

// orOne is the number of builders of which the engine is told.
func orOne(builders int32) int {
	if builders == 0 {
		return 1
	}
	return int(builders)
}

// assumed is what the platform will tell its engine of the plan's functions.
func (o *Options) assumed(optimizer bool) []sim.FunctionOptions {
	functions := make([]sim.FunctionOptions, len(o.Plan.Functions))
	for i := range functions {
		f := &functions[i]
		f.Function = engine.FunctionConfig{Reserved: -1, Params: o.Params, NoOptimize: !optimizer}
		f.Revision.Ladder = handlers
		for range handlers.Rungs {
			f.Revision.MemoryMiB = append(f.Revision.MemoryMiB, int32(o.Plan.MemoryMiB(i)))
		}
		f.MemoryMB = map[sim.Way]float64{{Rung: handlers.Rungs[ladder.First].Name}: 60 + float64(o.Plan.Megabytes[i])}
	}
	return functions
}

// deployed lets the first function be added when the simulation begins, and returns how long after that the trace does, in whole
// seconds: functions are deployed before as on the live platform, and the engine learns what that takes.
func deployed(functions []sim.FunctionOptions) (before time.Duration) {
	for i := range functions {
		before = max(before, -functions[i].Added)
	}
	before = (before + time.Second - 1).Truncate(time.Second)
	for i := range functions {
		f := &functions[i]
		f.Added += before
		f.Starts = later(f.Starts, func(m *sim.MeasuredStart) { m.At += before })
		f.Told = later(f.Told, func(m *sim.MeasuredMemory) { m.At += before })
	}
	return before
}

// later is a copy of what was measured, moved.
func later[T any](measured map[sim.Way][]T, move func(*T)) map[sim.Way][]T {
	moved := map[sim.Way][]T{}
	for way, all := range measured {
		moved[way] = slices.Clone(all)
		for i := range moved[way] {
			move(&moved[way][i])
		}
	}
	return moved
}

// simulate runs the plan through the simulator with what the run measured.
func (o *Options) simulate(ctx context.Context, l *Live) (*Simulated, error) {
	options := o.model(l)
	before := deployed(options.Functions)
	length := time.Duration(l.Series.Len()) * time.Second
	t, err := o.Plan.trace(before, length)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	// What happens is read as a live engine's log is.
	watch := newObserver(int64(before), length, o.Plan.durations(length))
	options.Record = watch.step
	r, err := sim.Run(ctx, t, options)
	if err != nil {
		return nil, err
	}
	seen, err := watch.finish()
	if err != nil {
		return nil, err
	}
	run := &r.Runs[0]
	out := &Simulated{Options: options, Series: run.Series.From(int(before / time.Second)), waited: seen.waited}
	out.Figures = figures(&out.Series, seen)
	s := &run.Summary
	out.Figures.Response = Distribution{
		Of: answeredWithin, Count: int(s.Response.Count), Mean: ms(s.Response.Mean), P50: ms(s.Response.P50), P90: ms(s.Response.P90),
		P99: ms(s.Response.P99), Max: ms(s.Response.Max),
	}
	return out, nil
}

func milliseconds(v float64) time.Duration { return time.Duration(v * float64(time.Millisecond)) }

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

func total(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum
}

// Prediction is what the simulator expects of a plan before anything was measured.
type Prediction struct {
	Plan *Plan       `json:"plan"`
	Runs []Simulated `json:"runs"`
}

// Predict simulates the plan with the simulator's own durations and the plan's memory.
func Predict(ctx context.Context, o Options) (*Prediction, error) {
	speed := o.Plan.Scaling.Speed
	o.Params.KeepAlive, o.Params.Window = int64(float64(o.Params.KeepAlive)/speed), int64(float64(o.Params.Window)/speed)
	p := &Prediction{Plan: o.Plan}
	seconds := int((o.Plan.Length + time.Second - 1) / time.Second)
	for _, mode := range o.Modes {
		l := &Live{Optimizer: mode}
		l.Series.RunningMB = make([]float64, seconds)
		s, err := o.simulate(ctx, l)
		if err != nil {
			return nil, err
		}
		p.Runs = append(p.Runs, *s)
	}
	return p, nil
}

// WriteText writes what a terminal shows.
func (p *Prediction) WriteText(w io.Writer) error {
	t := report.Table{Head: []string{"expected by the simulator", "cold starts"}}
	for i := range handlers.Rungs {
		t.Head = append(t.Head, "on "+string(handlers.Rungs[i].Name))
	}
	for i := range handlers.Rungs[1:] {
		t.Head = append(t.Head, "functions with "+string(handlers.Rungs[i+1].Name))
	}
	t.Head = append(t.Head, "memory, mean MB", "workers, mean", "at most", "response p99, ms")
	for i := range p.Runs {
		f := &p.Runs[i].Figures
		row := []string{p.Runs[i].Options.Policies[0], strconv.Itoa(f.ColdStarts)}
		for i := range handlers.Rungs {
			row = append(row, strconv.Itoa(f.Rung(handlers.Rungs[i].Name).ColdStarts))
		}
		for i := range handlers.Rungs[1:] {
			row = append(row, strconv.Itoa(f.Rung(handlers.Rungs[i+1].Name).Functions))
		}
		t.Rows = append(t.Rows, append(row, number(f.ResidentMB, 0), number(f.Workers, 1), strconv.Itoa(int(f.PeakWorkers)), number(f.Response.P99, 1)))
	}
	return t.WriteText(w)
}
