package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/trace"
)

// traceCommands are what can be done to traces without simulating them.
type traceCommands struct {
	Info     traceInfoCommand     `cmd:"" help:"Describe a trace: totals, shares, durations, memory, arrival patterns, and what is wrong in its files."`
	Slice    traceSliceCommand    `cmd:"" help:"Cut a window of time out of a trace."`
	Scale    traceScaleCommand    `cmd:"" help:"Make a trace smaller, for fewer machines."`
	Generate traceGenerateCommand `cmd:"" help:"Make a trace of a whole cluster from the published statistics of the Azure 2019 set."`
}

// traceInput is the arguments that name a trace and say how it is read.
type traceInput struct {
	Trace          []string        `arg:"" name:"trace" help:"Files, folders or archives: Azure 2019 (invocations, durations, memory), Azure 2021, or CloudJIT's CSV or Parquet; or the event log of a live engine." type:"path"`
	WholeAppMemory bool            `help:"Give each function the memory of its whole app, instead of an even share."`
	Placement      trace.Placement `help:"Where counted invocations go inside their minute: uniform, even, poisson or burst (all at once)." default:"uniform"`
	Seed           uint64          `help:"Seed of everything random." default:"1"`
}

func (t *traceInput) open(c *Context) (trace.Trace, *trace.Problems, error) {
	if len(t.Trace) == 1 {
		if r, err := openLog(c, t.Trace[0]); err != nil {
			return nil, &trace.Problems{}, err
		} else if r != nil {
			return r.Trace, &trace.Problems{}, nil
		}
	}
	tr, problems, err := trace.Read(c, trace.ReadOptions{WholeAppMemory: t.WholeAppMemory}, t.Trace...)
	for _, p := range problems.List() {
		c.Say("%s: %d, %s", p.Kind, p.Count, p.Policy)
		for i, e := range p.Examples {
			if i == 3 {
				break
			}
			if e.File != "" {
				c.Say("    %s", e)
			}
		}
	}
	return tr, problems, err
}

func (t *traceInput) options() trace.Options {
	return trace.Options{Seed: t.Seed, Placement: t.Placement}
}

type traceInfoCommand struct {
	traceInput
}

func (t *traceInfoCommand) Run(c *Context) error {
	tr, problems, err := t.open(c)
	if err != nil {
		return err
	}
	defer tr.Close()
	p := newProgress(c, tr.Length())
	info, err := trace.Describe(c, p.watch(tr), t.options())
	p.end()
	if err != nil {
		return err
	}
	out := struct {
		*trace.Info
		Placement string          `json:"placement"`
		Problems  []trace.Problem `json:"problems"`
	}{info, t.Placement.String(), problems.List()}
	return c.Print(out, func(w io.Writer) error {
		for _, row := range infoRows(info) {
			if _, err := fmt.Fprintf(w, "%-42s %s\n", row[0], row[1]); err != nil {
				return err
			}
		}
		return nil
	})
}

// infoRows are the names and values that info prints.
func infoRows(info *trace.Info) [][2]string {
	var rows [][2]string
	add := func(name, format string, args ...any) {
		rows = append(rows, [2]string{name, fmt.Sprintf(format, args...)})
	}
	quantiles := func(name string, q trace.Quantiles, unit string) {
		add(name, "p5 %.4g, p25 %.4g, p50 %.4g, p75 %.4g, p90 %.4g, p95 %.4g, p99 %.4g, max %.4g, mean %.4g%s", q.P5, q.P25, q.P50, q.P75, q.P90, q.P95, q.P99, q.Max, q.Mean, unit)
	}
	add("length", "%v, from %02d:%02d of the day", info.Length, info.StartMinute/60, info.StartMinute%60)
	add("invocations", "%d (at most %d in a minute)", info.Invocations, info.PeakPerMinute)
	add("functions", "%d, of them invoked %d, in %d apps", info.Functions, info.Active, info.Apps)
	quantiles("invocations a day, of apps", info.AppTotals, "")
	quantiles("invocations a day, of functions", info.FunctionTotals, "")
	add("busiest 1, 10, 100, 1000 apps make", "%.1f, %.1f, %.1f, %.1f %%", 100*info.TopShares[0], 100*info.TopShares[1], 100*info.TopShares[2], 100*info.TopShares[3])
	quantiles("functions of an app", info.FunctionsPerApp, "")
	var triggers []string
	for _, s := range info.Triggers {
		triggers = append(triggers, fmt.Sprintf("%s %.1f/%.1f", s.Trigger, 100*s.Functions, 100*s.Invocations))
	}
	add("triggers, % of functions/of invocations", "%s", strings.Join(triggers, ", "))
	add("timers at most once a minute", "%.1f %%", 100*info.SlowTimers)
	quantiles("average duration of functions", info.AverageMs, " ms")
	add("the same, weighted by invocations", "%.4g ms", info.WeightedMeanMs)
	add("Spearman of invocations and duration", "%.2f", info.CountDurationRank)
	quantiles("memory of functions", info.MemoryMB, " MB")
	quantiles("memory of apps", info.AppMemoryMB, " MB")
	quantiles("variation of inter-arrival times of apps", info.Variation, "")
	var hours []string
	for h, v := range info.Hourly {
		if v > 0 {
			hours = append(hours, fmt.Sprintf("%02d:%.3f", h, v))
		}
	}
	if len(hours) > 0 {
		add("volume of hours over their mean", "%s", strings.Join(hours, " "))
	}
	return rows
}

type traceSliceCommand struct {
	traceInput
	From   time.Duration `help:"Start of the window, from the trace's start." placeholder:"DURATION"`
	To     time.Duration `help:"End of the window; the trace's end if not given." placeholder:"DURATION"`
	Output string        `short:"o" required:"" help:"What to write: a name with .csv, .csv.gz or .parquet (invocations), or a folder (counts per minute, Azure 2019 layout)." type:"path"`
}

func (t *traceSliceCommand) Run(c *Context) error {
	tr, _, err := t.open(c)
	if err != nil {
		return err
	}
	defer tr.Close()
	part, err := trace.Slice(tr, t.From, t.To)
	if err != nil {
		return err
	}
	return writeTrace(c, t.Output, part, t.options())
}

type traceScaleCommand struct {
	traceInput
	Method trace.Method `help:"stratified: every nth function of the ranking by volume, whole; keeps arrival patterns, but has one or none of the few busiest functions. apps: the same with whole apps. thin: every invocation with the same probability, as in the paper; keeps the total, but loses bursts and repeated cold starts." enum:"stratified,apps,thin" default:"stratified"`
	Factor float64      `required:"" help:"Share to keep, over 0 and at most 1."`
	Output string       `short:"o" required:"" help:"What to write; see slice." type:"path"`
}

func (t *traceScaleCommand) Run(c *Context) error {
	tr, _, err := t.open(c)
	if err != nil {
		return err
	}
	defer tr.Close()
	part, err := trace.Scale(c, tr, t.Method, t.Factor, t.Seed)
	if err != nil {
		return err
	}
	return writeTrace(c, t.Output, part, t.options())
}

// generateFlags describe a generated trace; simulate has them too.
type generateFlags struct {
	Functions int `help:"How many functions. 46412 is the whole cluster." default:"46412"`
	Minutes   int `help:"How many minutes." default:"30"`
	Start     int `help:"Minute of the day at which it starts; the volume follows the hour." default:"480"`
}

func (g *generateFlags) trace(seed uint64) (trace.Trace, error) {
	return trace.Generate{Functions: g.Functions, Minutes: g.Minutes, StartMinute: g.Start, Seed: seed}.New()
}

type traceGenerateCommand struct {
	generateFlags
	Seed      uint64          `help:"Seed of everything random." default:"1"`
	Placement trace.Placement `help:"Where invocations go inside their minute: uniform, even, poisson or burst (all at once); only written to .csv and .parquet." default:"uniform"`
	Output    string          `short:"o" required:"" help:"What to write; see slice." type:"path"`
}

func (t *traceGenerateCommand) Run(c *Context) error {
	tr, err := t.trace(t.Seed)
	if err != nil {
		return err
	}
	return writeTrace(c, t.Output, tr, trace.Options{Seed: t.Seed, Placement: t.Placement})
}

func writeTrace(c *Context, path string, tr trace.Trace, o trace.Options) error {
	p := newProgress(c, tr.Length())
	watched := p.watch(tr)
	if _, counted := tr.(*trace.Counted); counted && !trace.WritesInvocations(path) {
		watched = tr // counts are copied as they are, in seconds
	}
	err := trace.Write(c, path, watched, o)
	p.end()
	if err != nil {
		return err
	}
	return c.Print(map[string]any{"path": path, "functions": len(tr.Functions()), "lengthNs": tr.Length()}, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s: %s functions, %v\n", path, strconv.Itoa(len(tr.Functions())), tr.Length())
		return err
	})
}
