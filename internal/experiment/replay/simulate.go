package replay

import (
	"context"
	"io"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/experiment/report"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/sim"
)

// Result of a replay.
type Result struct {
	Plan        *Plan         `json:"plan"`
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
}

// Figures are what live and simulated runs are compared by, over the time of the trace.
type Figures struct {
	ColdStarts       int `json:"coldStarts"`
	ColdStartsNative int `json:"coldStartsNative"`
	// Optimized functions: a binary served, and they were invoked.
	Optimized       int `json:"optimizedFunctions"`
	Builds          int `json:"builds"`
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

// figures computes those that follow from the seconds.
func figures(s *sim.Series, optimized, builds, deopts int) Figures {
	f := Figures{Optimized: optimized, Builds: builds, Deoptimizations: deopts}
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
	// Optimized functions; 0 where there was none on both sides.
	Optimized   float64 `json:"optimizedFunctions"`
	Workers     float64 `json:"meanWorkers"`
	ResponseP50 float64 `json:"responseP50"`
	ResponseP99 float64 `json:"responseP99"`
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
	return Errors{
		ColdStarts:    relative(float64(simulated.ColdStarts), float64(live.ColdStarts)),
		Memory:        relative(simulated.ResidentGBs, live.ResidentGBs),
		RunningMemory: relative(simulated.RunningGBs, live.RunningGBs),
		Optimized:     relative(float64(simulated.Optimized), float64(live.Optimized)),
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
	// Simulated is the same of the simulations.
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
	}
}

// Measured is what the simulation of a run takes from it.
type Measured struct {
	Tiers []TierMeasured `json:"tiers"`
	// StartSpread is the sigma of the logarithm of start times, around each tier's median.
	StartSpread float64 `json:"startSpread"`
	// Build is the mean of finished builds, in seconds, and how many there were.
	Build  float64 `json:"buildSeconds"`
	Builds int     `json:"builds"`
	// Tracing is how long after its first invocation begins a tracing worker's findings are there;
	// Stop how long a worker takes to end.
	Tracing float64 `json:"tracingSeconds"`
	Stop    float64 `json:"stopSeconds"`

	buildOf   map[int]time.Duration
	functions []sim.FunctionOptions
	node      engine.NodeConfig
}

// TierMeasured is what was measured of a tier.
type TierMeasured struct {
	Tier function.Tier `json:"tier"`
	// Start is the geometric mean of the time from the order to start to ready, of Starts workers.
	Start  float64 `json:"startMs"`
	Starts int     `json:"starts"`
	// Overhead is what a warm invocation took beyond the trace's duration, First what the first
	// of a worker did: means, seen from the engine.
	Overhead float64 `json:"overheadMs"`
	First    float64 `json:"firstOverheadMs"`
	// A worker has BaseMB and AllocatedMB times what its function allocates (MiB): least squares over
	// Samples measurements.
	BaseMB      float64 `json:"baseMB"`
	AllocatedMB float64 `json:"perAllocatedMB"`
	Samples     int     `json:"memorySamples"`
}

var tiers = []function.Tier{function.TierHotSpotAgent, function.TierHotSpot, function.TierNative}

func measure(o *observation, s *sampler) Measured {
	m := Measured{Build: o.build.mean(), Builds: int(o.build.n), Tracing: o.tracing.mean(), Stop: o.stop.mean(), buildOf: o.buildOf, functions: o.functions, node: o.node}
	var squares, n float64
	for _, t := range tiers {
		x := TierMeasured{
			Tier: t, Starts: int(o.starts[t].n), Overhead: 1e3 * max(o.overhead[t].mean(), 0), First: 1e3 * max(o.first[t].mean(), 0),
			Samples: int(s.fits[t].n),
		}
		if x.Starts > 0 {
			x.Start = 1e3 * math.Exp(o.starts[t].mean())
		}
		x.BaseMB, x.AllocatedMB = s.fits[t].line()
		squares += o.starts[t].variance() * o.starts[t].n
		n += o.starts[t].n
		if x.Starts+x.Samples > 0 {
			m.Tiers = append(m.Tiers, x)
		}
	}
	if n > 0 {
		m.StartSpread = math.Sqrt(squares / n)
	}
	return m
}

// model turns what was measured into the simulator's options. What a run did not show (native
// workers of a run that ended before the first binary) stays as the simulator has it.
func (o *Options) model(l *Live) sim.Options {
	s := sim.DefaultOptions()
	s.Params, s.Sequential, s.Trace.Seed = o.Params, true, o.Plan.Scaling.Seed
	s.Policies = []string{"paper"}
	if !l.Optimizer {
		s.Policies = []string{"none"}
	}
	m := &s.Model
	m.SandboxMB = 0 // it is in what was measured
	x := &l.Measured
	m.ColdSpread = min(x.StartSpread, 2)
	s.Functions, s.Node = slices.Clone(x.functions), x.node
	if s.Functions == nil {
		s.Functions, s.Node = o.assumed(l.Optimizer), o.Node
	}
	m.Builders, m.TraceLimit, m.MemoryMB = max(int(s.Node.Builders), 1), engine.DefaultTraceLimit, float64(s.Node.MemoryMiB)*(1<<20)/1e6
	if s.Node.TraceLimit > 0 {
		m.TraceLimit = int(s.Node.TraceLimit)
	}
	for i := range s.Functions {
		s.Functions[i].BuildTime = x.buildOf[i]
	}
	for _, t := range x.Tiers {
		if t.Starts > 0 {
			m.ColdStart[t.Tier] = milliseconds(t.Start)
		}
		m.Overhead[t.Tier], m.FirstOverhead[t.Tier] = milliseconds(t.Overhead), milliseconds(t.First)
		for i := range s.Functions {
			if t.Samples > 0 {
				s.Functions[i].MemoryMB[t.Tier] = max(t.BaseMB+t.AllocatedMB*float64(o.Plan.Megabytes[i]), 0)
			}
		}
	}
	for i := range s.Functions {
		// A tier that did not come up is like the one next to it.
		mb := &s.Functions[i].MemoryMB
		if mb[function.TierHotSpot] == 0 {
			mb[function.TierHotSpot] = mb[function.TierHotSpotAgent]
		}
		if mb[function.TierNative] == 0 {
			mb[function.TierNative] = m.NativeMemory * mb[function.TierHotSpot]
		}
	}
	if x.Builds > 0 {
		m.BuildTimes = []time.Duration{time.Duration(x.Build * 1e9)}
	} else if l.Figures.Builds > 0 {
		m.BuildTimes = []time.Duration{o.Plan.Length} // none came to its end
	}
	if x.Tracing > 0 {
		m.TraceDelay = time.Duration(x.Tracing * 1e9)
	}
	m.Stop = time.Duration(x.Stop * 1e9)
	return s
}

// assumed is what the platform will tell its engine of the plan's functions.
func (o *Options) assumed(optimizer bool) []sim.FunctionOptions {
	functions := make([]sim.FunctionOptions, len(o.Plan.Functions))
	for i := range functions {
		f := &functions[i]
		f.Function = engine.FunctionConfig{Reserved: -1, Params: o.Params, NoOptimize: !optimizer}
		for t := range f.Revision.MemoryMiB {
			f.Revision.MemoryMiB[t] = int32(o.Plan.MemoryMiB(i))
		}
		f.MemoryMB[function.TierHotSpot] = 60 + float64(o.Plan.Megabytes[i])
	}
	return functions
}

// simulate runs the plan through the simulator with what the run measured.
func (o *Options) simulate(ctx context.Context, l *Live) (*Simulated, error) {
	t, err := o.Plan.trace(time.Duration(l.Series.Len()) * time.Second)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	options := o.model(l)
	r, err := sim.Run(ctx, t, options)
	if err != nil {
		return nil, err
	}
	run := &r.Runs[0]
	out := &Simulated{Options: options, Series: run.Series}
	s := &run.Summary
	out.Figures = figures(&run.Series, s.Optimized, s.Builds, int(s.Deoptimizations))
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
	t := report.Table{Head: []string{"expected by the simulator", "cold starts", "native", "functions optimized", "builds", "workers, mean", "at most", "response p99, ms"}}
	for i := range p.Runs {
		f := &p.Runs[i].Figures
		t.Rows = append(t.Rows, []string{p.Runs[i].Options.Policies[0], strconv.Itoa(f.ColdStarts), strconv.Itoa(f.ColdStartsNative), strconv.Itoa(f.Optimized),
			strconv.Itoa(f.Builds), number(f.Workers, 1), strconv.Itoa(int(f.PeakWorkers)), number(f.Response.P99, 1)})
	}
	return t.WriteText(w)
}
