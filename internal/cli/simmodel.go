package cli

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/sim"
)

// modelFlags are the simulator's assumptions; the defaults are the paper's.
type modelFlags struct {
	KeepAlive     time.Duration      `help:"How long an idle worker is kept." default:"10m" group:"model"`
	Threshold     int32              `help:"A function with more cold starts than this in the window is built." default:"10" group:"model"`
	Window        time.Duration      `help:"Length of the window." default:"1m" group:"model"`
	MaxWait       time.Duration      `help:"Workers that take longer than this to start are kept for the whole keep-alive; 0: no bound." default:"0s" group:"model"`
	Prepare       policy.Prepare     `help:"When light artifacts are made: first-use, deploy (they are there when the trace begins, and their cost is counted) or never." default:"first-use" group:"model"`
	Ladder        string             `help:"The rungs and their figures: paper (HotSpot and native), measured (CloudJIT's own for handlers), web (its own for web applications), or a JSON file of that form; see docs/simulator.md." default:"paper" placeholder:"NAME|FILE" group:"model"`
	Rung          []string           `help:"Figures of a rung, e.g. aot-cache:start=0.36,memory=1,wall=1s,cpu=1.2s,disk=22; also first, speed, builder-memory (MB); a start may be a duration. Can be given for each rung." sep:"none" placeholder:"RUNG:FIGURE=VALUE,..." group:"model"`
	FirstStart    time.Duration      `help:"Start of a worker on the first rung. Other starts are in proportion to it. 0: the ladder's." default:"0s" group:"model"`
	FirstExtra    time.Duration      `help:"Extra time of the first invocation of a worker on the first rung. On other rungs it is in proportion to theirs." default:"0s" group:"model"`
	RecordStart   map[string]float64 `help:"How much longer the start of a worker takes if it records, as a factor, e.g. metadata=1.36;configuration=1.35." placeholder:"RECORDING=FACTOR;..." group:"model"`
	RecordSlow    map[string]float64 `help:"How much longer invocations take on a worker that records, in the same form." placeholder:"RECORDING=FACTOR;..." group:"model"`
	SandboxMemory float64            `help:"A sandbox's own memory in MB, for the figures that include it." default:"40" group:"model"`
	ColdSpread    float64            `help:"Sigma of a lognormal distribution of the starts; 0: all are equal." default:"0" group:"model"`
	BuildTime     []time.Duration    `help:"How long builds of binaries take. A function always takes the same time. With the paper's ladder 97s,200s,87s, with others the ladder's." group:"model"`
	Builders      int                `help:"How many builds run at once; 0: no limit." default:"0" group:"model"`
	LightBuilders int                `help:"How many builds that take less than 30 s of CPU time run at once (AOT caches, snapshots); 0: no limit." default:"0" group:"model"`
	ArtifactDisk  float64            `help:"Disk of all artifacts together in MB; 0: no limit." default:"0" group:"model"`
	StartCores    float64            `help:"How many cores a start uses." default:"1.5" group:"model"`
	CPUPrice      float64            `name:"cpu-price" help:"Price of a second of a core for the oracle, in MB times seconds." default:"9100" group:"model"`
	TraceLimit    int                `help:"How many invocations a worker with the tracer serves." default:"1000" group:"model"`
	Deopt         float64            `help:"Probability that a native invocation meets an element without metadata." default:"0" group:"model"`
	Memory        float64            `help:"Memory of the whole cluster in MB; 0: no limit." default:"0" group:"model"`
	Nodes         int                `help:"Nodes of the cluster; each has its share of memory, cores, builders and disk." default:"1" group:"model"`
	NodePlacement sim.Placement      `help:"Which node runs an invocation: hash-bounded (as the platform), hash, random or two-choices." default:"hash-bounded" group:"model"`
	Cores         float64            `help:"Cores of the whole cluster, for when a node counts as full: with 8 invocations in flight on each; 0: memory alone says so." default:"0" group:"model"`
}

func (f *modelFlags) apply(o *sim.Options) error {
	o.Params.KeepAlive, o.Params.Threshold, o.Params.Window = int64(f.KeepAlive), f.Threshold, int64(f.Window)
	o.Params.MaxWait, o.Params.Prepare = int64(f.MaxWait), f.Prepare
	l, err := f.ladder()
	if err != nil {
		return err
	}
	o.Ladder = l
	m := &o.Model
	if f.Ladder != "paper" {
		m.BuildTimes = nil
	}
	if f.BuildTime != nil {
		m.BuildTimes = f.BuildTime
	}
	if err := setFactors(&m.RecordStart, f.RecordStart, "record-start"); err != nil {
		return err
	}
	if err := setFactors(&m.RecordSpeed, f.RecordSlow, "record-slow"); err != nil {
		return err
	}
	m.SandboxMB, m.ColdSpread, m.FirstExtra = f.SandboxMemory, f.ColdSpread, f.FirstExtra
	m.Builders, m.LightBuilders, m.ArtifactMB = f.Builders, f.LightBuilders, f.ArtifactDisk
	m.StartCores, m.CPUPrice = f.StartCores, f.CPUPrice
	m.TraceLimit, m.Deoptimize, m.MemoryMB = f.TraceLimit, f.Deopt, f.Memory
	o.Nodes.Count, o.Nodes.Placement, o.Nodes.Cores = f.Nodes, f.NodePlacement, f.Cores
	return nil
}

// setFactors takes figures by the names of recordings.
func setFactors(to *[ladder.RecordingCount]float64, from map[string]float64, flag string) error {
	for _, name := range slices.Sorted(maps.Keys(from)) {
		var x ladder.Recording
		if err := x.UnmarshalText([]byte(name)); err != nil {
			return &usageError{fmt.Sprintf("simulate: --%s: %v", flag, err)}
		}
		to[x] = from[name]
	}
	return nil
}

// ladder is the one that was named.
func (f *modelFlags) ladder() (*ladder.Ladder, error) {
	l, ok := sim.NamedLadder(f.Ladder)
	if !ok {
		file, err := os.Open(f.Ladder)
		if err != nil {
			return nil, &usageError{fmt.Sprintf("simulate: --ladder: %v; want paper, measured, web or a file", err)}
		}
		defer file.Close()
		if l, err = sim.ReadLadder(file); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Ladder, err)
		}
	}
	return l, nil
}

// figures changes a ladder's as the command line says.
func (f *modelFlags) figures(l *ladder.Ladder) error {
	if f.FirstStart != 0 {
		l.Start = f.FirstStart
	}
	for _, s := range f.Rung {
		c, err := parseRung(s)
		if err != nil {
			return err
		}
		id, ok := l.Find(c.rung)
		if !ok {
			return &usageError{fmt.Sprintf("simulate: --rung %q: ladder %s has no such rung: want one of %q", s, l.Name, rungNames(l))}
		}
		c.apply(l, id)
	}
	return nil
}

func rungNames(l *ladder.Ladder) (names []function.Rung) {
	for i := range l.Rungs {
		names = append(names, l.Rungs[i].Name)
	}
	return names
}

// rungChange is what --rung says of one rung.
type rungChange struct {
	rung    function.Rung
	numbers map[string]float64
	times   map[string]time.Duration
}

// parseRung reads "aot-cache:start=0.36,cpu=1.2s".
func parseRung(s string) (*rungChange, error) {
	wrong := func(format string, args ...any) error {
		return &usageError{fmt.Sprintf("simulate: --rung %q: %s", s, fmt.Sprintf(format, args...))}
	}
	name, figures, ok := strings.Cut(s, ":")
	if !ok || name == "" {
		return nil, wrong("want RUNG:FIGURE=VALUE,...")
	}
	c := &rungChange{function.Rung(name), map[string]float64{}, map[string]time.Duration{}}
	for _, part := range strings.Split(figures, ",") {
		key, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok {
			return nil, wrong("%q: want FIGURE=VALUE", part)
		}
		number, notNumber := strconv.ParseFloat(value, 64)
		d, notTime := time.ParseDuration(value)
		switch key {
		case "wall", "cpu":
			if notTime != nil {
				return nil, wrong("%s: want a duration such as 1.2s", key)
			}
			c.times[key] = d
		case "start":
			switch {
			case notNumber == nil:
				c.numbers[key] = number
			case notTime == nil:
				c.times[key] = d
			default:
				return nil, wrong("start: want a factor such as 0.36, or a duration")
			}
		case "first", "speed", "memory", "disk", "builder-memory":
			if notNumber != nil {
				return nil, wrong("%s: want a number", key)
			}
			c.numbers[key] = number
		default:
			return nil, wrong("unknown figure %q: want start, first, speed, memory, wall, cpu, builder-memory or disk", key)
		}
	}
	return c, nil
}

func (c *rungChange) apply(l *ladder.Ladder, id ladder.ID) {
	r := &l.Rungs[id]
	for key, v := range c.numbers {
		switch key {
		case "start":
			r.Start = v
		case "first":
			r.First = v
		case "speed":
			r.Speed = v
		case "memory":
			r.Memory = v
		case "disk":
			r.Cost.DiskMB = v
		case "builder-memory":
			r.Cost.MemoryMB = v
		}
	}
	for key, d := range c.times {
		switch key {
		case "start":
			r.Start = float64(d) / float64(max(l.Start, 1))
		case "wall":
			r.Cost.Wall = d
		case "cpu":
			r.Cost.CPU = d
		}
	}
}

// forget drops what was measured, of a function and of all, where the change says something else.
func (c *rungChange) forget(own *sim.FunctionOptions, starts map[sim.Way]time.Duration) map[sim.Way]time.Duration {
	given := func(key string) bool {
		_, number := c.numbers[key]
		_, d := c.times[key]
		return number || d
	}
	if given("start") {
		own.Starts, starts = without(own.Starts, c.rung), without(starts, c.rung)
	}
	if given("memory") {
		own.MemoryMB = without(own.MemoryMB, c.rung)
	}
	cost, ok := own.Builds[c.rung]
	if !ok {
		return starts
	}
	for key, figure := range map[string]func(){
		"wall": func() { cost.Wall = 0 }, "cpu": func() { cost.CPU = 0 },
		"builder-memory": func() { cost.MemoryMB = 0 }, "disk": func() { cost.DiskMB = 0 },
	} {
		if given(key) {
			figure()
		}
	}
	own.Builds = maps.Clone(own.Builds)
	own.Builds[c.rung] = cost
	return starts
}

// without is a copy that has nothing of a rung.
func without[V any](m map[sim.Way]V, rung function.Rung) map[sim.Way]V {
	m = maps.Clone(m)
	maps.DeleteFunc(m, func(w sim.Way, _ V) bool { return w.Rung == rung })
	return m
}

// setBuildTimes goes before what was measured of binaries' builds.
func setBuildTimes(o *sim.Options, times []time.Duration) {
	o.Model.BuildTimes = times
	o.Functions = slices.Clone(o.Functions)
	for i := range o.Functions {
		own := &o.Functions[i]
		l := own.Revision.Ladder
		if l == nil {
			l = o.Ladder
		}
		own.Builds = maps.Clone(own.Builds)
		for j := range l.Rungs {
			if l.Rungs[j].Artifact == ladder.ArtifactBinary {
				delete(own.Builds, l.Rungs[j].Name)
			}
		}
	}
}

// change lets those flags that were given go before what a recording has measured.
func (f *modelFlags) change(o, changed *sim.Options, given map[string]bool) error {
	m, to := &changed.Model, &o.Model
	params := func(set func(*policy.Params)) func() { return func() { o.SetParams(set) } }
	for name, apply := range map[string]func(){
		"keep-alive":     params(func(p *policy.Params) { p.KeepAlive = changed.Params.KeepAlive }),
		"threshold":      params(func(p *policy.Params) { p.Threshold = changed.Params.Threshold }),
		"window":         params(func(p *policy.Params) { p.Window = changed.Params.Window }),
		"max-wait":       params(func(p *policy.Params) { p.MaxWait = changed.Params.MaxWait }),
		"prepare":        params(func(p *policy.Params) { p.Prepare = changed.Params.Prepare }),
		"first-extra":    func() { to.FirstExtra = m.FirstExtra },
		"record-slow":    func() { to.RecordSpeed = m.RecordSpeed },
		"sandbox-memory": func() { to.SandboxMB = m.SandboxMB },
		"cold-spread":    func() { to.ColdSpread = m.ColdSpread },
		"build-time":     func() { setBuildTimes(o, m.BuildTimes) },
		"builders":       func() { to.Builders = m.Builders },
		"light-builders": func() { to.LightBuilders = m.LightBuilders },
		"artifact-disk":  func() { to.ArtifactMB = m.ArtifactMB },
		"start-cores":    func() { to.StartCores = m.StartCores },
		"cpu-price":      func() { to.CPUPrice = m.CPUPrice },
		"trace-limit":    func() { to.TraceLimit = m.TraceLimit },
		"deopt":          func() { to.Deoptimize = m.Deoptimize },
		"memory":         func() { to.MemoryMB = m.MemoryMB },
	} {
		if given[name] {
			apply()
		}
	}
	if given["ladder"] {
		o.Ladder = changed.Ladder
		for i := range o.Functions {
			o.Functions[i].Revision.Ladder, o.Functions[i].Revision.MemoryMiB = nil, nil
		}
	}
	return f.changeRungs(o, changed, given)
}

// changeRungs gives each function's ladder the figures of the command line.
func (f *modelFlags) changeRungs(o, changed *sim.Options, given map[string]bool) error {
	if err := f.figures(o.Ladder); err != nil {
		return err
	}
	starts := given["first-start"] || given["record-start"]
	if starts {
		o.Model.Starts, o.Model.RecordStart = nil, changed.Model.RecordStart
	}
	for i := range o.Functions {
		own := &o.Functions[i]
		if starts {
			own.Starts = nil
		}
		l := own.Revision.Ladder
		if l != nil {
			l = l.Clone()
			own.Revision.Ladder = l
			if given["first-start"] {
				l.Start = f.FirstStart
			}
		}
		for _, s := range f.Rung {
			c, err := parseRung(s)
			if err != nil {
				return err
			}
			o.Model.Starts = c.forget(own, o.Model.Starts)
			if l == nil {
				continue
			}
			if id, ok := l.Find(c.rung); ok {
				c.apply(l, id)
			}
		}
	}
	return nil
}
