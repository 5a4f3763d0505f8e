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

	"github.com/alecthomas/kong"

	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/experiment"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/sim"
	"github.com/cloudjit/cloudjit/internal/trace"
)

// simulateCommand runs a trace through the engine on modelled durations.
type simulateCommand struct {
	traceSource

	Policy []string `help:"Policies to simulate side by side (those of serve --policy, oracle, or all); none, the baseline, is always included. With a limit that functions share (--builders, --light-builders, --memory, --artifact-disk) and for recordings all of them run on one core." default:"paper"`
	Report string   `help:"Write report.html, figures as SVG, series as CSV and Parquet, and result.json into this folder." type:"path" placeholder:"DIR"`
	Sweep  string   `help:"Simulate the first policy with values of two parameters and print a map, e.g. threshold=2,5,10,20;window=30s,1m,10m. Parameters: threshold, window, keep-alive, builders, builds." placeholder:"P=V,...;P=V,..."`
	Value  string   `help:"What the map shows: saved-running, saved-resident, optimized, native-cold, cold, builds, waited, build-cpu, disk." default:"saved-resident"`

	modelFlags
	CPUProfile string `hidden:"" type:"path"`
}

func commandLine() string { return "cloudjit " + strings.Join(os.Args[1:], " ") }

func (s *simulateCommand) simOptions() (sim.Options, error) {
	o := sim.DefaultOptions()
	o.Trace = s.traceSource.options()
	if err := s.apply(&o); err != nil {
		return o, err
	}
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
	return o, nil
}

// Run simulates, prints a summary and writes the report.
func (s *simulateCommand) Run(c *Context, k *kong.Context) error {
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
	o, err := s.simOptions()
	if err != nil {
		return err
	}
	recording, err := s.recording(c, &o, givenFlags(k))
	if err != nil {
		return err
	}
	if recording == nil {
		if err := s.figures(o.Ladder); err != nil {
			return err
		}
	}
	var t trace.Trace
	var problems []trace.Problem
	var src experiment.Source
	if recording != nil {
		t, src = recording.Trace, experiment.Source{Name: filepath.Base(s.Trace[0]), Kind: "log of a live engine, with measured durations", Command: commandLine()}
		if t, err = s.cut(t, &src); err != nil {
			return err
		}
	} else if t, problems, src, err = s.open(c, "simulate"); err != nil {
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
	if recording != nil && t == trace.Trace(recording.Trace) { // not a part of it
		r.Live = &recording.Live
	}
	took := time.Since(started)
	c.Say("%d invocations under %d policies in %.1f s", r.Invocations, len(r.Runs), took.Seconds())
	if s.Report != "" {
		if err := experiment.WriteSimulation(s.Report, r, src); err != nil {
			return err
		}
		c.Say("report: %s", filepath.Join(s.Report, "report.html"))
	}
	return c.Print(r, func(w io.Writer) error {
		summary, rungs := experiment.SummaryTable(r), experiment.RungTable(r)
		if err := summary.WriteText(w); err != nil {
			return err
		}
		fmt.Fprintln(w)
		return rungs.WriteText(w)
	})
}

// recording reads the log of a live engine, if that is what was named. Its model was measured: of the
// flags, only those that were given change it.
func (s *simulateCommand) recording(c *Context, o *sim.Options, given map[string]bool) (*sim.Recording, error) {
	if len(s.Trace) != 1 || s.Generate {
		return nil, nil
	}
	r, err := openLog(c, s.Trace[0])
	if r == nil || err != nil {
		return nil, err
	}
	changed := *o
	*o = r.Options
	o.Trace, o.Policies, o.Nodes = changed.Trace, changed.Policies, changed.Nodes
	return r, s.modelFlags.change(o, &changed, given)
}

// givenFlags are the names of those that were on the command line.
func givenFlags(k *kong.Context) map[string]bool {
	given := map[string]bool{}
	for _, p := range k.Path {
		if p.Flag != nil {
			given[p.Flag.Name] = true
		}
	}
	return given
}

// openLog reads the log of a live engine; nil if the file is none, and what it is is for others to say.
func openLog(c *Context, path string) (*sim.Recording, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil // the readers of traces say what is wrong
	}
	defer f.Close()
	if !engine.LooksLikeLog(f) {
		return nil, nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	l, err := engine.NewLogReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	r, err := sim.FromLog(l)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	live := &r.Live
	c.Say("the log has %d steps: %d invocations, %d cold starts (%d native), %d builds; left out: %d invocations that never ran or had not ended",
		live.Steps, live.Invocations, live.ColdStarts, live.ColdStartsNative, live.Builds, live.Skipped)
	if live.CutOff {
		c.Say("the log is cut off after step %d, as that of a server that was killed: taken until there", live.Steps)
	}
	return r, nil
}

// sweep simulates every pair of values.
func (s *simulateCommand) sweep(c *Context, t trace.Trace, o sim.Options, src experiment.Source) error {
	axes, err := parseSweep(s.Sweep)
	if err != nil {
		return err
	}
	if len(o.Policies) < 2 {
		return &usageError{"simulate: a sweep needs a policy other than none"}
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
		return func(o *sim.Options) { o.SetParams(func(p *policy.Params) { p.Threshold = int32(n) }) }, nil
	case "window", "keep-alive", "builds":
		d, err := time.ParseDuration(v)
		if err != nil {
			return nil, wrong(err)
		}
		switch name {
		case "window":
			return func(o *sim.Options) { o.SetParams(func(p *policy.Params) { p.Window = int64(d) }) }, nil
		case "builds":
			return func(o *sim.Options) { setBuildTimes(o, []time.Duration{d}) }, nil
		}
		return func(o *sim.Options) { o.SetParams(func(p *policy.Params) { p.KeepAlive = int64(d) }) }, nil
	}
	return nil, wrong(errors.New("unknown parameter: want threshold, window, keep-alive, builders or builds"))
}
