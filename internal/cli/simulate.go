package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/experiment"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/sim"
	"github.com/cloudjit/cloudjit/internal/trace"
)

// simulateCommand runs a trace through the engine on modelled durations.
type simulateCommand struct {
	Trace          []string        `arg:"" optional:"" help:"Files, folders or archives of a trace, or the event log of a live engine; none with --generate." type:"path"`
	Generate       bool            `help:"Simulate a generated trace: see --functions, --minutes, --start."`
	WholeAppMemory bool            `help:"Give each function the memory of its whole app, instead of an even share."`
	Placement      trace.Placement `help:"Where counted invocations go inside their minute: uniform, even, poisson or burst (all at once)." default:"uniform"`
	Average        bool            `help:"Give each invocation its function's average duration, instead of a draw from its percentiles."`
	Seed           uint64          `help:"Seed of everything random." default:"1"`
	From           time.Duration   `help:"Simulate from here on." placeholder:"DURATION"`
	To             time.Duration   `help:"Simulate up to here." placeholder:"DURATION"`
	generateFlags

	Policy []string `help:"Policies to simulate side by side (none, paper, benefit, adaptive, oracle, all); none, the baseline, is always there." default:"paper"`
	Report string   `help:"Write report.html, figures as SVG, series as CSV and Parquet, and result.json into this folder." type:"path" placeholder:"DIR"`
	Sweep  string   `help:"Simulate the policy named first over values of two parameters and print a map, e.g. threshold=2,5,10,20;window=30s,1m,10m. Parameters: threshold, window, keep-alive, builders, builds." placeholder:"P=V,...;P=V,..."`
	Value  string   `help:"What the map shows: saved-running, saved-resident, optimized, native-cold, cold, builds, waited." default:"saved-resident"`

	modelFlags
	CPUProfile string `hidden:"" type:"path"`
}

// modelFlags are the simulator's assumptions; the defaults are the paper's.
type modelFlags struct {
	KeepAlive     time.Duration   `help:"How long an idle worker is kept." default:"10m" group:"model"`
	Threshold     int32           `help:"More cold starts than this inside the window ask for a build." default:"10" group:"model"`
	Window        time.Duration   `help:"Length of the window." default:"1m" group:"model"`
	NativeMemory  float64         `help:"A native worker's memory over a HotSpot worker's." default:"0.375" group:"model"`
	SandboxMemory float64         `help:"A sandbox's own memory in MB, for the figures that include it." default:"40" group:"model"`
	ColdAgent     time.Duration   `help:"Start of a worker with the tracer." default:"1.5s" group:"model"`
	ColdHotspot   time.Duration   `name:"cold-hotspot" help:"Start of a HotSpot worker." default:"1.1s" group:"model"`
	ColdNative    time.Duration   `help:"Start of a native worker." default:"35ms" group:"model"`
	ColdSpread    float64         `help:"Sigma of a lognormal around the starts; 0: all alike." default:"0" group:"model"`
	SlowAgent     float64         `help:"Duration of invocations under the tracer over the trace's." default:"1" group:"model"`
	SlowNative    float64         `help:"Duration of invocations on native workers over the trace's." default:"1" group:"model"`
	BuildTime     []time.Duration `help:"How long builds take; each function always has the same of them." default:"97s,200s,87s" group:"model"`
	BuildMemory   float64         `help:"A builder's memory in MB." default:"6977" group:"model"`
	BuildCores    float64         `help:"Cores that a builder keeps busy." default:"4" group:"model"`
	Builders      int             `help:"Builds at once; 0: no limit." default:"0" group:"model"`
	TraceLimit    int             `help:"Invocations that a tracing worker serves." default:"1000" group:"model"`
	Deopt         float64         `help:"Probability that a native invocation meets an element without metadata." default:"0" group:"model"`
	Memory        float64         `help:"Memory of the whole cluster in MB; 0: no limit." default:"0" group:"model"`
}

func (f *modelFlags) apply(o *sim.Options) {
	o.Params.KeepAlive, o.Params.Threshold, o.Params.Window = int64(f.KeepAlive), f.Threshold, int64(f.Window)
	m := &o.Model
	m.NativeMemory, m.SandboxMB, m.ColdSpread = f.NativeMemory, f.SandboxMemory, f.ColdSpread
	m.ColdStart[function.TierHotSpotAgent], m.ColdStart[function.TierHotSpot], m.ColdStart[function.TierNative] = f.ColdAgent, f.ColdHotspot, f.ColdNative
	for _, s := range []*[function.TierCount]float64{&m.Slowdown, &m.FirstSlowdown} {
		s[function.TierHotSpotAgent], s[function.TierNative] = f.SlowAgent, f.SlowNative
	}
	m.BuildTimes, m.BuildMB, m.BuildCPUs, m.Builders = f.BuildTime, f.BuildMemory, f.BuildCores, f.Builders
	m.TraceLimit, m.Deoptimize, m.MemoryMB = f.TraceLimit, f.Deopt, f.Memory
}

// open returns the trace, what was wrong in it, and what it is.
func (s *simulateCommand) open(c *Context) (trace.Trace, []trace.Problem, experiment.Source, error) {
	src := experiment.Source{Command: "cloudjit " + strings.Join(os.Args[1:], " ")}
	if s.Generate == (len(s.Trace) > 0) {
		return nil, nil, src, &usageError{"simulate: name the files of a trace, or --generate, and not both"}
	}
	if s.Generate {
		t, err := s.trace(s.Seed)
		src.Name, src.Kind = fmt.Sprintf("generated cluster, seed %d", s.Seed), "generated from the published statistics of the Azure 2019 set"
		return t, nil, src, err
	}
	in := traceInput{Trace: s.Trace, WholeAppMemory: s.WholeAppMemory}
	t, problems, err := in.open(c)
	if err != nil {
		return nil, nil, src, err
	}
	names := make([]string, len(s.Trace))
	for i, p := range s.Trace {
		names[i] = filepath.Base(p)
	}
	src.Name, src.Kind = strings.Join(names, ", "), "recorded invocations"
	if _, ok := t.(*trace.Counted); ok {
		src.Kind = "counts per minute"
	}
	if s.From > 0 || s.To > 0 {
		part, err := trace.Slice(t, s.From, s.To)
		if err != nil {
			t.Close()
			return nil, nil, src, err
		}
		t = part
		src.Name += fmt.Sprintf(" from %v to %v", s.From, s.From+t.Length())
	}
	return t, problems.List(), src, nil
}

func (s *simulateCommand) options() sim.Options {
	o := sim.DefaultOptions()
	o.Trace = trace.Options{Seed: s.Seed, Placement: s.Placement, AverageDurations: s.Average}
	s.apply(&o)
	o.Policies = []string{"none"}
	for _, p := range s.Policy {
		if p == "all" {
			o.Policies = sim.PolicyNames()
			break
		}
		if p != "none" {
			o.Policies = append(o.Policies, p)
		}
	}
	return o
}

// Run simulates, prints a summary and writes the report.
func (s *simulateCommand) Run(c *Context) error {
	if s.CPUProfile != "" {
		f, err := os.Create(s.CPUProfile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	o := s.options()
	recording, err := s.recording(&o)
	if err != nil {
		return err
	}
	var t trace.Trace
	var problems []trace.Problem
	var src experiment.Source
	if recording != nil {
		t, src = recording.Trace, experiment.Source{Name: filepath.Base(s.Trace[0]), Kind: "log of a live engine, with measured durations"}
		c.Say("the log has %d invocations, %d cold starts (%d native), %d builds; %d did not end",
			recording.Live.Invocations, recording.Live.ColdStarts, recording.Live.ColdStartsNative, recording.Live.Builds, recording.Live.Skipped)
	} else if t, problems, src, err = s.open(c); err != nil {
		return err
	}
	defer t.Close()
	if s.Sweep != "" {
		return s.sweep(c, t, o, src)
	}
	p := newProgress(c, t.Length())
	o.Progress = p.at
	started := time.Now()
	r, err := sim.Run(c, t, o)
	p.end()
	if err != nil {
		return err
	}
	r.Problems = problems
	took := time.Since(started)
	c.Say("%d invocations under %d policies in %.1f s", r.Invocations, len(r.Runs), took.Seconds())
	if s.Report != "" {
		if err := experiment.WriteSimulation(s.Report, r, src); err != nil {
			return err
		}
		c.Say("report: %s", filepath.Join(s.Report, "report.html"))
	}
	return c.Print(r, func(w io.Writer) error {
		table := experiment.SummaryTable(r)
		return table.WriteText(w)
	})
}

// recording reads the log of a live engine, if that is what was named; its model, which was
// measured, goes before the flags'.
func (s *simulateCommand) recording(o *sim.Options) (*sim.Recording, error) {
	if len(s.Trace) != 1 {
		return nil, nil
	}
	f, err := os.Open(s.Trace[0])
	if err != nil {
		return nil, nil // the readers of traces say what is wrong
	}
	defer f.Close()
	l, err := engine.NewLogReader(f)
	if err != nil {
		return nil, nil // not a log
	}
	r, err := sim.FromLog(l)
	if err != nil {
		return nil, err
	}
	policies := o.Policies
	measured := r.Options
	measured.Trace, measured.Policies = o.Trace, policies
	*o = measured
	return r, nil
}

// sweep simulates every pair of values.
func (s *simulateCommand) sweep(c *Context, t trace.Trace, o sim.Options, src experiment.Source) error {
	axes, err := parseSweep(s.Sweep)
	if err != nil {
		return err
	}
	if len(o.Policies) < 2 {
		return &usageError{"simulate: a sweep wants a policy other than none"}
	}
	o.Policies = o.Policies[:2]
	total := 1
	for _, a := range axes {
		total *= len(a.Values)
	}
	runs := 0
	sweep, err := experiment.RunSweep(c, t, o, axes, s.Value, func() {
		runs++
		c.Say("simulated %d of %d", runs, total)
	})
	if err != nil {
		return err
	}
	if s.Report != "" {
		if err := experiment.WriteSweep(s.Report, sweep, src); err != nil {
			return err
		}
		c.Say("report: %s", filepath.Join(s.Report, "sweep.html"))
	}
	return c.Print(sweep, func(w io.Writer) error {
		table := sweep.Table()
		return table.WriteText(w)
	})
}

// parseSweep reads "threshold=2,5;window=30s,1m".
func parseSweep(s string) ([]experiment.Axis, error) {
	var axes []experiment.Axis
	for _, part := range strings.Split(s, ";") {
		name, values, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok {
			return nil, &usageError{fmt.Sprintf("simulate: --sweep %q: want PARAMETER=VALUE,VALUE,...", part)}
		}
		axis := experiment.Axis{Parameter: name}
		for _, v := range strings.Split(values, ",") {
			set, err := sweepValue(name, strings.TrimSpace(v))
			if err != nil {
				return nil, err
			}
			axis.Names, axis.Values = append(axis.Names, v), append(axis.Values, set)
		}
		axes = append(axes, axis)
	}
	if len(axes) > 2 {
		return nil, &usageError{"simulate: --sweep: want one or two parameters"}
	}
	return axes, nil
}

// sweepValue turns a value of a parameter into a change of the options.
func sweepValue(name, v string) (func(*sim.Options), error) {
	wrong := func(err error) error {
		return &usageError{fmt.Sprintf("simulate: --sweep: %s=%s: %v", name, v, err)}
	}
	switch name {
	case "threshold", "builders":
		n, err := strconv.ParseInt(v, 10, 32)
		if err != nil || n < 0 {
			return nil, wrong(errors.New("want a whole number of 0 or more"))
		}
		if name == "builders" {
			return func(o *sim.Options) { o.Model.Builders = int(n) }, nil
		}
		return func(o *sim.Options) { o.Params.Threshold = int32(n) }, nil
	case "window", "keep-alive", "builds":
		d, err := time.ParseDuration(v)
		if err != nil {
			return nil, wrong(err)
		}
		switch name {
		case "window":
			return func(o *sim.Options) { o.Params.Window = int64(d) }, nil
		case "builds":
			return func(o *sim.Options) { o.Model.BuildTimes = []time.Duration{d} }, nil
		}
		return func(o *sim.Options) { o.Params.KeepAlive = int64(d) }, nil
	}
	return nil, wrong(errors.New("unknown parameter: want threshold, window, keep-alive, builders or builds"))
}
