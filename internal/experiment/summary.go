package experiment

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/cloudjit/cloudjit/internal/experiment/report"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/sim"
)

// SummaryTable has a column for each policy.
func SummaryTable(r *sim.Result) report.Table {
	t := report.Table{Head: []string{"over the whole trace"}}
	for i := range r.Runs {
		t.Head = append(t.Head, r.Runs[i].Policy)
	}
	row := func(name string, f func(*sim.Summary) string) {
		cells := []string{name}
		for i := range r.Runs {
			cells = append(cells, f(&r.Runs[i].Summary))
		}
		t.Rows = append(t.Rows, cells)
	}
	share := func(v float64) string { return decimals(100*v, 1) + " %" }
	gb := func(mb float64) string { return decimals(mb/1000, 1) }
	hours := func(seconds float64) string { return decimals(seconds/3600, 1) }
	row("functions with a binary", func(s *sim.Summary) string { return grouped(uint64(s.Optimized)) })
	row("share of invoked functions", func(s *sim.Summary) string { return share(s.OptimizedShare) })
	row("share of invocations they get", func(s *sim.Summary) string { return share(s.OptimizedInvocations) })
	row("cold starts", func(s *sim.Summary) string { return grouped(s.ColdStarts) })
	row("of them of binaries", func(s *sim.Summary) string { return share(s.NativeColdShare) })
	row("the same, last third of the trace", func(s *sim.Summary) string { return share(s.SteadyNativeColdShare) })
	if n := r.Options.Nodes.Count; n > 1 {
		row("sent on to another node", func(s *sim.Summary) string { return share(float64(s.Forwarded) / float64(max(s.Invocations, 1))) })
	}
	row("waited for workers, s in all", func(s *sim.Summary) string { return grouped(uint64(s.WaitedSeconds)) })
	row("memory of running workers, GB", func(s *sim.Summary) string { return gb(s.RunningMB) })
	row("saved", func(s *sim.Summary) string { return share(s.SavedRunning) })
	row("saved, last third", func(s *sim.Summary) string { return share(s.SteadySavedRunning) })
	row("saved, sandboxes included", func(s *sim.Summary) string { return share(s.SavedRunningSandbox) })
	row("memory of resident workers, GB", func(s *sim.Summary) string { return gb(s.ResidentMB) })
	row("saved", func(s *sim.Summary) string { return share(s.SavedResident) })
	row("saved, last third", func(s *sim.Summary) string { return share(s.SteadySavedResident) })
	row("saved, sandboxes included", func(s *sim.Summary) string { return share(s.SavedResidentSandbox) })
	row("resident workers, mean", func(s *sim.Summary) string { return grouped(uint64(s.MeanResident)) })
	row("builds", func(s *sim.Summary) string { return grouped(uint64(s.Builds)) })
	row("most builds at once", func(s *sim.Summary) string { return grouped(uint64(s.PeakBuilds)) })
	row("build CPU, core h", func(s *sim.Summary) string { return hours(s.BuildCPUSeconds) })
	row("CPU of all checks, core h", func(s *sim.Summary) string { return hours(s.CheckCPUSeconds) })
	row("CPU of all starts, core h", func(s *sim.Summary) string { return hours(s.StartCPUSeconds) })
	row("starts ahead of an invocation", func(s *sim.Summary) string { return grouped(s.StartsAhead) })
	row("their CPU, core h", func(s *sim.Summary) string { return hours(s.AheadCPUSeconds) })
	row("workers that recorded", func(s *sim.Summary) string { return grouped(s.Recorders) })
	row("disk of artifacts, mean GB", func(s *sim.Summary) string { return gb(s.MeanArtifactMB) })
	row("at most, GB", func(s *sim.Summary) string { return gb(s.PeakArtifactMB) })
	row("artifacts given up for disk", func(s *sim.Summary) string { return grouped(uint64(s.Dropped)) })
	row("builders' memory over time, GB h", func(s *sim.Summary) string { return decimals(s.BuildGBSeconds/3600, 1) })
	row("workers' memory over time saved, GB h", func(s *sim.Summary) string { return decimals(s.SavedGBSeconds/3600, 1) })
	row("deoptimizations", func(s *sim.Summary) string { return grouped(s.Deoptimizations) })
	for _, q := range []struct {
		name string
		of   func(*sim.Summary) time.Duration
	}{
		{"response p50", func(s *sim.Summary) time.Duration { return s.Response.P50 }},
		{"response p99", func(s *sim.Summary) time.Duration { return s.Response.P99 }},
		{"response p99.9", func(s *sim.Summary) time.Duration { return s.Response.P999 }},
		{"wait for a worker, mean of those that wait", func(s *sim.Summary) time.Duration { return s.Wait.Mean }},
		{"wait p50", func(s *sim.Summary) time.Duration { return s.Wait.P50 }},
		{"wait p99", func(s *sim.Summary) time.Duration { return s.Wait.P99 }},
	} {
		row(q.name+", ms", func(s *sim.Summary) string { return decimals(float64(q.of(s))/1e6, 1) })
	}
	return t
}

// RungTable has a row for each rung of each policy.
func RungTable(r *sim.Result) report.Table {
	t := report.Table{Head: []string{
		"policy", "rung", "functions", "cold starts", "starts ahead", "invocations", "workers, mean", "waited, s", "builds", "build CPU, core h",
	}}
	for i := range r.Runs {
		for _, s := range r.Runs[i].Summary.Rungs {
			t.Rows = append(t.Rows, []string{
				r.Runs[i].Policy, string(s.Rung), grouped(uint64(s.Functions)), grouped(s.ColdStarts), grouped(s.StartsAhead), grouped(s.Invocations),
				decimals(s.MeanWorkers, 1), decimals(s.WaitedSeconds, 0), grouped(uint64(s.Builds)), decimals(s.BuildCPUSeconds/3600, 2),
			})
		}
	}
	return t
}

// ladderTable has a row for each rung.
func ladderTable(l *ladder.Ladder) report.Table {
	t := report.Table{
		Caption: "Ladder " + l.Name + ": start, speed and memory against the first rung; what its artifact costs",
		Head:    []string{"rung", "made from", "start", "first", "speed", "memory", "build", "CPU", "builder, MB", "disk, MB"},
	}
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }
	for i := range l.Rungs {
		r := &l.Rungs[i]
		t.Rows = append(t.Rows, []string{
			string(r.Name), r.From.String(), number(r.Start), number(r.First), number(r.Speed), number(r.Memory),
			r.Cost.Wall.String(), r.Cost.CPU.String(), number(r.Cost.MemoryMB), number(r.Cost.DiskMB),
		})
	}
	return t
}

func assumptions(r *sim.Result, src Source) report.Table {
	o, m := &r.Options, &r.Options.Model
	t := report.Table{Head: []string{"what", "value"}}
	add := func(what, format string, args ...any) {
		t.Rows = append(t.Rows, []string{what, fmt.Sprintf(format, args...)})
	}
	add("trace", "%s (%s)", src.Name, src.Kind)
	add("invocations inside a minute", "%s, seed %d", o.Trace.Placement, o.Trace.Seed)
	add("keep-alive; threshold; window", "%v; more than %d cold starts; %v", time.Duration(o.Params.KeepAlive), o.Params.Threshold, time.Duration(o.Params.Window))
	add("light artifacts are made", "%v", o.Params.Prepare)
	add("start of a worker", "%v on the first rung; spread (sigma) %g", o.Ladder.Start, m.ColdSpread)
	for x := ladder.RecordingNone + 1; int(x) < ladder.RecordingCount; x++ {
		add("a worker that records "+x.String(), "starts %g, answers %g times as slowly", m.RecordStart[x], m.RecordSpeed[x])
	}
	add("first invocation of a worker", "%v longer on the first rung", m.FirstExtra)
	add("a sandbox's own memory, where included", "%g MB", m.SandboxMB)
	if len(m.BuildTimes) > 0 {
		add("builds of binaries", "%v each", m.BuildTimes)
	}
	add("builders at once", "%s; of caches and snapshots %s", limit(m.Builders), limit(m.LightBuilders))
	add("disk of all artifacts, MB", "%s", limit(int(math.Ceil(m.ArtifactMB))))
	add("cores of a start", "%g; a second of a core is worth %g MB s to the oracle", m.StartCores, m.CPUPrice)
	add("tracing worker", "at most %d invocations, findings after %v", m.TraceLimit, m.TraceDelay)
	add("worker that records until its end", "ends within %v", m.RecordEnd)
	add("deoptimization", "probability %g for each native invocation", m.Deoptimize)
	add("memory of the cluster", "%s", limit(int(math.Round(m.MemoryMB))))
	if n := &o.Nodes; n.Count > 1 {
		add("nodes", "%d, placement %v, cores of all %s; they hear of each other every %v", n.Count, n.Placement, limit(int(n.Cores)), n.Gossip)
	}
	if src.Command != "" {
		add("command", "%s", src.Command)
	}
	return t
}

func limit(n int) string {
	if n == 0 {
		return "no limit"
	}
	return strconv.Itoa(n)
}
