package sim

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/trace"
)

// maxRecording bounds the time that a log may cover.
const maxRecording = 366 * 24 * time.Hour

// FromLog reads the log of a live engine to its end, or to where it was cut off (see Live). What is
// damaged inside is an error.
func FromLog(l *engine.LogReader) (*Recording, error) {
	r := &logReader{
		first: -1, number: map[engine.RevisionID]int32{}, open: map[engine.InvocationID]*openCall{},
		workers: map[engine.WorkerID]*openWorker{}, building: map[openBuild]int64{}, configs: map[engine.FunctionID]*functionState{},
		tracing: map[engine.RevisionID]int64{},
		live:    LiveCounts{ColdByRung: map[function.Rung]int{}, BuildsByRung: map[function.Rung]int{}},
	}
	for {
		now, ev, actions, err := l.Next()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			r.live.CutOff = errors.Is(err, io.ErrUnexpectedEOF)
			break
		}
		if err != nil {
			return nil, fmt.Errorf("simulate a recording: after step %d: %w", r.live.Steps, err)
		}
		r.live.Steps++
		if r.live.Steps > 1 && (now < r.last || now-r.first < 0 || now-r.first > int64(maxRecording)) {
			return nil, fmt.Errorf("simulate a recording: step %d comes %v after the one before it: the log is damaged", r.live.Steps, time.Duration(now-r.last))
		}
		if err := r.step(now, ev, actions); err != nil {
			return nil, fmt.Errorf("simulate a recording: after step %d: %w", r.live.Steps-1, err)
		}
	}
	return r.finish()
}

type logReader struct {
	first, last int64
	number      map[engine.RevisionID]int32 // of the revisions that there are now
	configs     map[engine.FunctionID]*functionState
	table       []trace.Function
	options     []FunctionOptions
	measured    []measured
	open        map[engine.InvocationID]*openCall
	workers     map[engine.WorkerID]*openWorker
	building    map[openBuild]int64
	tracing     map[engine.RevisionID]int64 // since when the tracer's findings are awaited
	calls       []trace.Invocation
	node        engine.NodeConfig
	live        LiveCounts
	// From being told to stop until they were gone: workers, and those whose recording is there at the end.
	stop, recordEnd mean
	traceDelay      mean
}

// mean of times.
type mean struct {
	sum time.Duration
	n   int
}

func (m *mean) add(ns int64) {
	m.sum += time.Duration(ns)
	m.n++
}

// or is the mean, or another value where nothing was measured.
func (m *mean) or(d time.Duration) time.Duration {
	if m.n == 0 {
		return d
	}
	return m.sum / time.Duration(m.n)
}

// functionState is a function that there is now, and its revisions by their number in the table.
type functionState struct {
	config    engine.FunctionConfig
	revisions []int32
}

// measured sums what was measured of a function.
type measured struct {
	builds map[function.Rung]builds
	checks map[function.Rung]builds
	memory map[Way]memory
	// computing of its warm workers.
	computing Computing
}

type builds struct {
	cost ladder.Cost
	n    int
}

type memory struct {
	mb float64
	n  int
}

func (m *measured) add(o *measured) {
	for rung, b := range o.builds {
		count(m.builds, rung, &b.cost, b.n)
	}
}

func count(costs map[function.Rung]builds, rung function.Rung, cost *ladder.Cost, n int) {
	b := costs[rung]
	b.cost.Wall += cost.Wall
	b.cost.CPU += cost.CPU
	b.cost.MemoryMB += cost.MemoryMB
	b.cost.DiskMB += cost.DiskMB
	b.n += n
	costs[rung] = b
}

// mean cost of builds.
func (b *builds) mean() ladder.Cost {
	n := max(b.n, 1)
	return ladder.Cost{
		Wall: b.cost.Wall / time.Duration(n), CPU: b.cost.CPU / time.Duration(n),
		MemoryMB: b.cost.MemoryMB / float64(n), DiskMB: b.cost.DiskMB / float64(n),
	}
}

type openCall struct {
	fn               int32
	worker           engine.WorkerID // that it is on since started
	arrived, started int64
}

type openWorker struct {
	fn       int32
	rev      engine.RevisionID
	way      Way
	since    int64
	stopping int64 // when it was told to stop; -1: it was not
	served   bool
	compares bool
	clock    Clocked
}

type openBuild struct {
	rev  engine.RevisionID
	rung ladder.ID
}

func (r *logReader) step(now int64, ev engine.Event, actions []engine.Action) error {
	if r.first < 0 {
		r.first = now
	}
	r.last = now
	switch ev.Kind {
	case engine.EventConfigured:
		if ev.NodeConfig != nil {
			r.node = *ev.NodeConfig
		}
	case engine.EventFunctionSet:
		r.configure(ev)
	case engine.EventFunctionRemoved:
		delete(r.configs, ev.Function)
	case engine.EventRevisionAdded:
		if err := r.add(now, ev); err != nil {
			return err
		}
	case engine.EventArrived:
		if i, ok := r.number[ev.Revision]; ok {
			r.open[ev.Invocation] = &openCall{fn: i, arrived: now, started: -1}
			r.live.Invocations++
		}
	case engine.EventWorkerReady:
		if w := r.workers[ev.Worker]; w != nil {
			w.clock.Ready(now)
			own := &r.options[w.fn]
			compared := time.Duration(0)
			if w.compares && ev.Cost.Wall > 0 && ev.Cost.Wall < time.Duration(now-w.since) {
				compared = ev.Cost.Wall
				cost := ladder.Cost{Wall: compared, CPU: ev.Cost.CPU, MemoryMB: min(ev.Cost.MemoryMB, maxMB)}
				count(r.measured[w.fn].checks, w.way.Rung, &cost, 1)
			}
			own.Starts[w.way] = append(own.Starts[w.way], MeasuredStart{time.Duration(w.since - r.first), time.Duration(now-w.since) - compared})
		}
	case engine.EventWorkerExited:
		r.exited(now, ev)
	case engine.EventWorkerFailed:
		delete(r.workers, ev.Worker)
	case engine.EventRecording:
		if at, ok := r.tracing[ev.Revision]; ok && ev.Recording == ladder.RecordingMetadata {
			r.traceDelay.add(now - at)
			delete(r.tracing, ev.Revision)
		}
	case engine.EventFinished:
		r.finished(now, ev, actions)
	case engine.EventBuildDone:
		r.built(now, ev)
	case engine.EventBuildFailed:
		delete(r.building, openBuild{ev.Revision, ev.Rung})
	}
	for i := range actions {
		r.action(now, &actions[i])
	}
	return nil
}

func (r *logReader) configure(ev engine.Event) {
	if ev.FunctionConfig == nil {
		return
	}
	f := r.configs[ev.Function]
	if f == nil {
		f = &functionState{}
		r.configs[ev.Function] = f
	}
	f.config = *ev.FunctionConfig
	for _, i := range f.revisions {
		r.options[i].Function = f.config
	}
}

func (r *logReader) add(now int64, ev engine.Event) error {
	c := ev.RevisionConfig
	if c == nil || r.configs[c.Function] == nil {
		return nil
	}
	if c.Ladder == nil || len(c.MemoryMiB) != len(c.Ladder.Rungs) {
		return errors.New("a revision without a ladder, or without the memory of its rungs")
	}
	if err := checkLadder(c.Ladder); err != nil {
		return err
	}
	i := int32(len(r.table))
	r.number[ev.Revision] = i
	r.table = append(r.table, trace.Function{
		Name:     "revision-" + strconv.Itoa(int(i)),
		MemoryMB: float64(c.MemoryMiB[ladder.First]) * (1 << 20) / 1e6,
	})
	f := r.configs[c.Function]
	f.revisions = append(f.revisions, i)
	own := FunctionOptions{Function: f.config, Revision: *c, Added: time.Duration(now - r.first), Starts: map[Way][]MeasuredStart{}}
	// A simulation begins at 0.
	own.Revision.Restored.Rungs = slices.Clone(c.Restored.Rungs)
	for n := range own.Revision.Restored.Rungs {
		rung := &own.Revision.Restored.Rungs[n]
		rung.NotBefore = max(rung.NotBefore-r.first, 0)
	}
	r.options = append(r.options, own)
	r.measured = append(r.measured, measured{builds: map[function.Rung]builds{}, checks: map[function.Rung]builds{}, memory: map[Way]memory{}})
	return nil
}

func (r *logReader) exited(now int64, ev engine.Event) {
	w := r.workers[ev.Worker]
	delete(r.workers, ev.Worker)
	if w == nil {
		return
	}
	if ev.MemoryMB > 0 && w.served {
		m := r.measured[w.fn].memory[w.way]
		r.measured[w.fn].memory[w.way] = memory{m.mb + ev.MemoryMB, m.n + 1}
	}
	switch {
	case w.stopping < 0:
	case w.way.Recording.AtEnd():
		r.recordEnd.add(now - w.stopping)
	default:
		r.stop.add(now - w.stopping)
	}
}

func (r *logReader) built(now int64, ev engine.Event) {
	b := openBuild{ev.Revision, ev.Rung}
	at, ok := r.building[b]
	delete(r.building, b)
	i, known := r.number[ev.Revision]
	if !ok || !known {
		return
	}
	cost := ev.Cost
	cost.Wall = time.Duration(now - at)
	cost.MemoryMB, cost.DiskMB = min(cost.MemoryMB, maxMB), min(cost.DiskMB, maxMB)
	count(r.measured[i].builds, r.options[i].Revision.Ladder.RungName(ev.Rung), &cost, 1)
}

func (r *logReader) finished(now int64, ev engine.Event, actions []engine.Action) {
	c := r.open[ev.Invocation]
	if c == nil {
		return
	}
	if w := r.workers[c.worker]; w != nil && c.started >= 0 {
		w.clock.Ended(now, now-c.started, ev.CPU, &r.measured[c.fn].computing)
	}
	for i := range actions {
		if actions[i].Kind == engine.ActionRetry && actions[i].Invocation == ev.Invocation {
			return
		}
	}
	delete(r.open, ev.Invocation)
	if c.started >= 0 {
		r.calls = append(r.calls, trace.Invocation{
			At: time.Duration(c.arrived - r.first), Duration: time.Duration(now - c.started), Function: c.fn,
		})
	}
}

func (r *logReader) action(now int64, a *engine.Action) {
	switch a.Kind {
	case engine.ActionStart:
		if i, ok := r.number[a.Revision]; ok {
			r.started(now, a, i)
		}
	case engine.ActionStop:
		if w := r.workers[a.Worker]; w != nil && w.stopping < 0 {
			w.stopping = now
		}
	case engine.ActionAssign:
		if c := r.open[a.Invocation]; c != nil {
			c.started, c.worker = now, a.Worker
		}
		if w := r.workers[a.Worker]; w != nil && !w.served {
			w.served = true
			if w.way.Recording == ladder.RecordingMetadata {
				r.tracing[w.rev] = now
			}
		}
	case engine.ActionReject, engine.ActionFail:
		if r.open[a.Invocation] != nil {
			r.live.Skipped++
			delete(r.open, a.Invocation)
		}
	case engine.ActionBuild:
		if i, ok := r.number[a.Revision]; ok {
			r.live.Builds++
			r.live.BuildsByRung[r.options[i].Revision.Ladder.RungName(a.Rung)]++
			r.building[openBuild{a.Revision, a.Rung}] = now
		}
	case engine.ActionGone:
		delete(r.number, a.Revision)
	}
}

func (r *logReader) started(now int64, a *engine.Action, fn int32) {
	l := r.options[fn].Revision.Ladder
	name := l.RungName(a.Rung)
	r.workers[a.Worker] = &openWorker{fn: fn, rev: a.Revision, way: Way{name, a.Recording}, since: now, stopping: -1, compares: a.Compare}
	if !a.Cold {
		return
	}
	r.live.ColdStarts++
	r.live.ColdByRung[name]++
	second := int((now - r.first) / int64(time.Second))
	for len(r.live.ColdBySecond) <= second {
		r.live.ColdBySecond = append(r.live.ColdBySecond, 0)
	}
	r.live.ColdBySecond[second]++
	if int(a.Rung) < len(l.Rungs) && l.Rungs[a.Rung].Artifact == ladder.ArtifactBinary {
		r.live.ColdStartsNative++
	}
}

// finish makes the trace, and means of what was measured for functions that have nothing of their own.
func (r *logReader) finish() (*Recording, error) {
	if len(r.table) == 0 || len(r.calls) == 0 {
		return nil, errors.New("simulate a recording: the log has no invocation that ended")
	}
	r.live.Skipped += len(r.open)
	o := DefaultOptions()
	o.Policies = []string{"none", "paper"}
	o.Ladder = r.options[0].Revision.Ladder
	o.Model.BuildTimes = nil
	o.Model.SandboxMB = 0 // it is in what was measured
	all := measured{builds: map[function.Rung]builds{}}
	starts := map[Way]*mean{}
	for i := range r.measured {
		for way, list := range r.options[i].Starts {
			InOrder(list)
			if starts[way] == nil {
				starts[way] = &mean{}
			}
			for _, s := range list {
				starts[way].add(int64(s.Took))
			}
		}
		all.add(&r.measured[i])
	}
	for i := range r.measured {
		own := &r.options[i]
		own.Computes = r.measured[i].computing.Share()
		own.Builds, own.MemoryMB = map[function.Rung]ladder.Cost{}, map[Way]float64{}
		for rung, b := range all.builds {
			if mine, ok := r.measured[i].builds[rung]; ok {
				b = mine
			}
			own.Builds[rung] = b.mean()
		}
		for rung, b := range r.measured[i].checks {
			if own.Checks == nil {
				own.Checks = map[function.Rung]ladder.Cost{}
			}
			own.Checks[rung] = b.mean()
		}
		for way, m := range r.measured[i].memory {
			own.MemoryMB[way] = m.mb / float64(m.n)
		}
	}
	o.Model.Starts = map[Way]time.Duration{}
	for way, m := range starts {
		o.Model.Starts[way] = m.or(0)
	}
	o.Model.Stop, o.Model.RecordEnd, o.Model.TraceDelay = r.stop.or(0), r.recordEnd.or(o.Model.RecordEnd), r.traceDelay.or(o.Model.TraceDelay)
	o.Model.Builders, o.Model.LightBuilders = 1, 1 // the engine's defaults
	if r.node.Builders != 0 {
		o.Model.Builders = int(r.node.Builders)
	}
	if r.node.LightBuilders != 0 {
		o.Model.LightBuilders = int(r.node.LightBuilders)
	}
	if r.node.TraceLimit > 0 {
		o.Model.TraceLimit = int(r.node.TraceLimit)
	}
	o.Model.ArtifactMB = float64(r.node.ArtifactMB)
	o.Model.MemoryMB = float64(max(r.node.MemoryMiB, 0)) * (1 << 20) / 1e6
	o.Node, o.Functions = r.node, r.options
	o.Params = mostCommon(r.options)
	t, err := trace.NewRecorded(r.table, r.calls, time.Duration(r.last-r.first)+time.Second)
	if err != nil {
		return nil, fmt.Errorf("simulate a recording: %w", err)
	}
	return &Recording{Trace: t, Options: o, Live: r.live}, nil
}

// mostCommon are the parameters that most functions have.
func mostCommon(options []FunctionOptions) policy.Params {
	count := map[policy.Params]int{}
	best := options[0].Function.Params
	for i := range options {
		p := options[i].Function.Params
		if count[p]++; count[p] > count[best] {
			best = p
		}
	}
	return best
}
