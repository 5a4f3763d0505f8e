// Package sim runs a trace of invocations through the engine of the live platform, on
// modelled durations instead of real workers.
//
// The engine is internal/engine, unchanged: this package turns its actions into future events
// on a heap ordered by (time, sequence) and gives it the events as they fall due. One
// simulation runs several policies side by side over the same invocations. Results depend
// on the trace, the options and the seed, and not on how many cores there are.
//
// It must not know real workers, files, or how results are shown.
package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/trace"
)

// maxLength bounds a trace: every simulated second takes some 60 bytes a policy and part.
const maxLength = 62 * 24 * time.Hour

// Run simulates every policy of the options over a trace.
func Run(ctx context.Context, t trace.Trace, o Options) (*Result, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if o.Functions != nil && len(o.Functions) != len(t.Functions()) {
		return nil, fmt.Errorf("simulate: options of %d functions for a trace of %d", len(o.Functions), len(t.Functions()))
	}
	if t.Length() > maxLength {
		return nil, fmt.Errorf("simulate: the trace covers %v: want %v at most, for every second is kept; cut it with --from and --to, or look for a wrong time in it", t.Length(), maxLength)
	}
	r := &Result{Options: o, Functions: len(t.Functions()), Length: t.Length(), Runs: make([]Outcome, len(o.Policies))}
	var now, later []int
	for i, name := range o.Policies {
		if name == Oracle {
			later = append(later, i)
		} else {
			now = append(now, i)
		}
	}
	if len(now) == 0 {
		return nil, errors.New("simulate: the oracle learns the future from another policy's run: name one before it, such as \"none\"")
	}
	if err := r.pass(ctx, t, now, nil, nil); err != nil {
		return nil, err
	}
	if len(later) > 0 {
		next, err := r.lookAhead(ctx, t)
		if err != nil {
			return nil, err
		}
		if err := r.pass(ctx, t, later, r.foresee(t), next); err != nil {
			return nil, err
		}
	}
	r.Invocations = r.Runs[0].Summary.Invocations
	for i := range r.Runs {
		r.Runs[i].compare(&r.Runs[0], &r.Options)
	}
	return r, nil
}

// pass simulates some of the policies over one pass of the trace.
func (r *Result) pass(ctx context.Context, t trace.Trace, which []int, seen []foresight, next *future) error {
	var runners []runner
	var ran [][]*cluster // by policy
	for _, p := range which {
		record := r.Options.Record
		if p > 0 {
			record = nil
		}
		mine, err := r.clusters(t, r.Options.Policies[p], seen, next, record)
		if err != nil {
			return err
		}
		ran = append(ran, mine)
		if r.Options.Nodes.Count > 1 {
			runners = append(runners, newFleet(mine, &r.Options))
			continue
		}
		for _, c := range mine {
			runners = append(runners, c)
		}
	}
	s, err := t.Open(ctx, r.Options.Trace)
	if err != nil {
		return err
	}
	defer s.Close()
	if r.Options.Sequential {
		err = r.sequential(s, runners)
	} else {
		err = r.concurrent(s, runners)
	}
	if err != nil {
		return err
	}
	for i, p := range which {
		mine := ran[i]
		for _, c := range mine {
			if c.finishTrace(int64(t.Length())); c.failure != nil {
				return c.failure
			}
		}
		r.Runs[p] = outcome(r.Options.Policies[p], mine, &r.Options.Model, len(t.Functions()))
	}
	return nil
}

// runner takes the invocations of a trace, a batch at a time in order of time: one engine, or several nodes.
type runner interface {
	run(batch []trace.Invocation) error
}

// clusters are the engines that run a policy: one for each part of the functions, or for each node.
func (r *Result) clusters(t trace.Trace, name string, seen []foresight, next *future, record func(int64, engine.Event, []engine.Action)) ([]*cluster, error) {
	o, parts := &r.Options, r.Options.parts(len(t.Functions()))
	if o.Nodes.Count > 1 {
		o, parts = o.ofOneNode(), make([]partition, o.Nodes.Count)
	}
	var all []*cluster
	for _, part := range parts {
		made, err := newPolicy(name, next)
		if err != nil {
			return nil, err
		}
		all = append(all, newCluster(t, o, made, seen, part, record))
	}
	return all, nil
}

// partition is a part of the functions: those whose number has the part's in its lowest bits.
type partition struct {
	number int32
	shift  uint
}

// parts says how the functions are divided among engines. Without a shared limit (memory,
// builders, disk) no function matters to another one, so engines of their own give each exactly what
// one for all does, on several cores; with such a limit there is one engine. A test holds that. In a
// recording the engine learns from one function's builds what to expect of another's.
func (o *Options) parts(functions int) []partition {
	m := &o.Model
	shared := m.MemoryMB > 0 || m.Builders != 0 || m.LightBuilders != 0 || m.ArtifactMB > 0 || o.Node != (engine.NodeConfig{})
	if o.Sequential || shared || o.Functions != nil || functions < 64 {
		return []partition{{}}
	}
	const shift = 2
	var parts []partition
	for n := range int32(1 << shift) {
		parts = append(parts, partition{n, shift})
	}
	return parts
}

func (r *Result) sequential(s trace.Stream, runners []runner) error {
	var buf []trace.Invocation
	total := uint64(0)
	for {
		var err error
		if buf, err = s.Next(buf); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		for _, c := range runners {
			if err := c.run(buf); err != nil {
				return err
			}
		}
		total += uint64(len(buf))
		r.progress(buf, total)
	}
}

func (r *Result) progress(batch []trace.Invocation, total uint64) {
	if r.Options.Progress != nil && len(batch) > 0 {
		r.Options.Progress(batch[len(batch)-1].At, total)
	}
}

// shared is a batch that all policies read; the last one gives it back.
type shared struct {
	list  []trace.Invocation
	users atomic.Int32
}

// ahead is how many batches the trace is expanded before the policies: a batch of the whole
// cluster's minute is 15 MB.
const ahead = 3

// concurrent expands the trace in one goroutine and runs each policy, or each part of one, in one
// of its own, all over the same batches. All have ended when it returns.
func (r *Result) concurrent(s trace.Stream, runners []runner) error {
	free := make(chan *shared, ahead)
	for range ahead {
		free <- &shared{}
	}
	stop := make(chan struct{})
	var once sync.Once
	var failed error
	fail := func(err error) { once.Do(func() { failed = err; close(stop) }) }
	var group sync.WaitGroup
	inputs := make([]chan *shared, len(runners))
	for i, c := range runners {
		inputs[i] = make(chan *shared, ahead)
		group.Go(func() {
			total := uint64(0)
			for b := range inputs[i] {
				if err := c.run(b.list); err != nil {
					fail(err)
					return
				}
				total += uint64(len(b.list))
				if b.users.Add(-1) == 0 { // the last of the policies to have done it
					r.progress(b.list, total)
					free <- b
				}
			}
		})
	}
	func() {
		defer func() {
			for _, in := range inputs {
				close(in)
			}
		}()
		for {
			var b *shared
			select {
			case b = <-free:
			case <-stop:
				return
			}
			list, err := s.Next(b.list)
			if errors.Is(err, io.EOF) {
				return
			} else if err != nil {
				fail(err)
				return
			}
			b.list = list
			b.users.Store(int32(len(runners)))
			for _, in := range inputs {
				in <- b // has room for every batch that there is
			}
		}
	}()
	group.Wait()
	return failed
}

// finishTrace lets everything happen that is due before the end of the trace. What still waits
// or runs then stays unfinished; workers that are still there count until then.
func (c *cluster) finishTrace(end int64) {
	c.advance(end - 1)
	c.m.sampleUntil(c, end)
	c.now = end
	for i := range c.workers {
		if w := &c.workers[i]; w.alive {
			c.use(w)
		}
	}
}

// whole is what a function was on all engines together.
type whole struct {
	climb     *climb
	had       uint16
	optimized bool
}

// outcome summarizes the parts of a policy's run, or its nodes, at the end of the trace.
func outcome(name string, parts []*cluster, model *Model, functions int) Outcome {
	m := &parts[0].m
	for _, c := range parts[1:] {
		m.add(&c.m)
	}
	m.series.toMB()
	s := &m.series
	run := Outcome{Policy: name, Series: *s, PerFunction: make([]FunctionUse, functions)}
	sum := &run.Summary
	sum.Rungs = make([]RungSummary, len(m.rungs))
	optimizedInvocations := uint64(0)
	waited := time.Duration(0)
	all := make([]whole, functions)
	for _, c := range parts {
		sum.Unfinished += len(c.invocations) - len(c.freeCalls)
		for i := range c.fns {
			f := &c.fns[i]
			f.use.ResidentMBs = float64(f.residentKBms) / 1e6
			run.PerFunction[f.global].add(&f.use)
			w := &all[f.global]
			w.climb, w.had, w.optimized = c.climbs[f.climb], w.had|f.had, w.optimized || f.wasOptimized
		}
	}
	for i := range all {
		use, w := &run.PerFunction[i], &all[i]
		if use.Invocations == 0 {
			continue
		}
		sum.Invoked++
		for id, column := range w.climb.column {
			if id == 0 || w.had>>id&1 != 0 {
				sum.Rungs[column].Functions++
			}
		}
		if w.optimized {
			sum.Optimized++
			optimizedInvocations += uint64(use.Invocations)
		}
		waited += use.Waited
	}
	sum.WaitedSeconds = waited.Seconds()
	sum.Invocations, sum.Rejected, sum.Failed = m.arrivals, m.rejected, m.failed
	sum.ColdStarts, sum.ColdStartsNative = m.colds, m.coldsNative
	sum.ColdShare = ratio(float64(m.colds), float64(m.arrivals))
	sum.NativeColdShare = ratio(float64(m.coldsNative), float64(m.colds))
	sum.OptimizedShare = ratio(float64(sum.Optimized), float64(sum.Invoked))
	sum.OptimizedInvocations = ratio(float64(optimizedInvocations), float64(m.arrivals))
	sum.Deoptimizations, sum.Dropped, sum.Recorders = m.deopts, m.dropped, m.recorders
	last := s.Len() * 2 / 3
	native, other := total(s.ColdOptimized[last:]), total(s.ColdOther[last:])
	sum.SteadyNativeColdShare = ratio(native, native+other)

	seconds := float64(max(s.Len(), 1))
	running, workers := total(s.Invocations)/seconds, total(s.Resident)/seconds
	sum.RunningMB, sum.ResidentMB = total(s.RunningMB)/seconds, total(s.ResidentMB)/seconds
	sum.RunningSandboxMB = sum.RunningMB + model.SandboxMB*running
	sum.ResidentSandboxMB = sum.ResidentMB + model.SandboxMB*workers
	sum.MeanResident = workers
	if s.Len() > 0 {
		sum.PeakResidentMB, sum.PeakResident, sum.PeakBuilds = slices.Max(s.ResidentMB), slices.Max(s.Resident), slices.Max(s.Builds)
		sum.PeakArtifactMB = slices.Max(s.ArtifactMB)
	}
	sum.StartCPUSeconds = time.Duration(m.startNs).Seconds() * model.StartCores
	sum.AheadCPUSeconds = time.Duration(m.aheadNs).Seconds() * model.StartCores
	sum.MeanArtifactMB = total(s.ArtifactMB) / seconds
	for i := range m.rungs {
		sum.rung(i, &m.rungs[i], &s.Rungs[i], seconds)
	}
	sum.Response, sum.Wait = m.response.latency(), m.wait.latency()
	sum.Events, sum.Forwarded = m.events, m.forwarded
	return run
}

// rung fills in what one rung did, and adds it to the whole.
func (sum *Summary) rung(i int, m *rungMetrics, s *RungSeries, seconds float64) {
	r := RungSummary{
		Rung: s.Rung, Functions: sum.Rungs[i].Functions, ColdStarts: m.colds, StartsAhead: m.ahead, Invocations: m.invocations,
		MeanWorkers: total(s.Resident) / seconds, WaitedSeconds: time.Duration(m.waited).Seconds(),
		Builds: m.builds, BuildSeconds: time.Duration(m.buildNs).Seconds(), BuildCPUSeconds: float64(m.buildUs) / 1e6,
	}
	sum.Rungs[i] = r
	sum.StartsAhead += r.StartsAhead
	sum.Builds += r.Builds
	sum.BuildSeconds += r.BuildSeconds
	sum.BuildCPUSeconds += r.BuildCPUSeconds
	sum.Checks += m.checks
	sum.CheckCPUSeconds += float64(m.checkUs) / 1e6
	sum.BuildGBSeconds += float64(m.buildMBms) / 1e6
}

// compare fills in what a run saved against the first one.
func (run *Outcome) compare(base *Outcome, o *Options) {
	s, b := &run.Summary, &base.Summary
	s.SavedRunning = 1 - ratio(s.RunningMB, b.RunningMB)
	s.SavedResident = 1 - ratio(s.ResidentMB, b.ResidentMB)
	s.SavedRunningSandbox = 1 - ratio(s.RunningSandboxMB, b.RunningSandboxMB)
	s.SavedResidentSandbox = 1 - ratio(s.ResidentSandboxMB, b.ResidentSandboxMB)
	last := run.Series.Len() * 2 / 3
	s.SteadySavedRunning = 1 - ratio(total(run.Series.RunningMB[last:]), total(base.Series.RunningMB[last:]))
	s.SteadySavedResident = 1 - ratio(total(run.Series.ResidentMB[last:]), total(base.Series.ResidentMB[last:]))
	s.SavedGBSeconds = (b.ResidentMB - s.ResidentMB) * float64(run.Series.Len()) / 1000
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

func total[T int32 | float64](v []T) float64 {
	sum := 0.0
	for _, x := range v {
		sum += float64(x)
	}
	return sum
}
