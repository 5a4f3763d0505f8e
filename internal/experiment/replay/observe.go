package replay

import (
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/sim"
)

// observation is what the log of the live engine says of the time of the trace: the seconds, by
// the simulator's own definitions, and what the simulator wants to know of durations.
type observation struct {
	series    sim.Series
	optimized int // functions that had a binary that serves, and an invocation
	builds    int // begun
	deopts    int
	evicted   int // workers stopped for the memory of others

	// functions and node are as the platform told its engine.
	functions []sim.FunctionOptions
	node      engine.NodeConfig

	starts   [function.TierCount]moments // of the logarithm of seconds
	overhead [function.TierCount]moments // seconds beyond the trace's duration, of warm invocations
	first    [function.TierCount]moments // the same of the first invocation of a worker
	build    moments                     // seconds
	buildOf  map[int]time.Duration
	tracing  moments // from a tracing worker's first invocation to its findings, seconds
	stop     moments // from the order to stop to the worker's end, seconds
}

// moments sum up a distribution.
type moments struct{ n, sum, squares float64 }

func (m *moments) add(v float64) { m.n++; m.sum += v; m.squares += v * v }

func (m *moments) join(o moments) { m.n += o.n; m.sum += o.sum; m.squares += o.squares }

func (m *moments) mean() float64 {
	if m.n == 0 {
		return 0
	}
	return m.sum / m.n
}

// variance around the mean; 0 of less than two.
func (m *moments) variance() float64 {
	if m.n < 2 {
		return 0
	}
	return max(m.squares/m.n-m.mean()*m.mean(), 0)
}

// observer follows a log.
type observer struct {
	observation
	start, end int64 // of the trace, in the log's time
	second     int   // the one at hand
	planned    [][]time.Duration

	configs  map[engine.FunctionID]engine.FunctionConfig
	fns      []liveFunction
	number   map[engine.RevisionID]int
	workers  map[engine.WorkerID]*liveWorker
	calls    map[engine.InvocationID]*liveCall
	building map[engine.RevisionID]int64

	running, resident, residentNative int32
	coldNative, coldOther             int32
	activeNative, activeOther         int32
	fnsNative, fnsOther               int32
	queued, optimizedNow              int32
}

type liveFunction struct {
	arrived                 int // how many of the planned ones
	native, other           int32
	seen                    int
	optimized, wasOptimized bool
	queued                  bool
	tracedSince             int64
	overhead, first         [function.TierCount]moments
}

type liveWorker struct {
	fn              int
	tier            function.Tier
	since, stopping int64
	served          bool
}

type liveCall struct {
	fn      int
	planned time.Duration // below zero: not known
	worker  engine.WorkerID
	since   int64
	first   bool
	running bool
	native  bool // runs on a native worker
}

// observe reads the log of a run from its begin. Start is when the trace began, in the log's
// time. Planned are the durations of each function's invocations in the order in which they were
// sent; of a function whose log has another number of arrivals, overheads are not known.
func observe(l *engine.LogReader, start time.Time, length time.Duration, planned [][]time.Duration) (*observation, error) {
	o := &observer{
		start: start.UnixNano(), end: start.Add(length).UnixNano(), planned: planned,
		number: map[engine.RevisionID]int{}, workers: map[engine.WorkerID]*liveWorker{},
		calls: map[engine.InvocationID]*liveCall{}, building: map[engine.RevisionID]int64{},
		configs: map[engine.FunctionID]engine.FunctionConfig{},
	}
	o.buildOf = map[int]time.Duration{}
	for {
		now, ev, actions, err := l.Next()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("observe run: %w", err)
		}
		for o.second < o.seconds() && now >= o.start+int64(o.second+1)*int64(time.Second) {
			o.sample()
		}
		o.event(now, &ev, actions)
		for i := range actions {
			o.action(now, &actions[i])
		}
	}
	for o.second < o.seconds() {
		o.sample()
	}
	if len(o.fns) != len(planned) {
		return nil, fmt.Errorf("observe run: the log has %d functions, the plan %d", len(o.fns), len(planned))
	}
	for i := range o.fns {
		f := &o.fns[i]
		if f.wasOptimized && f.arrived > 0 {
			o.optimized++
		}
		if f.arrived == len(planned[i]) {
			for t := range f.first {
				o.first[t].join(f.first[t])
				o.overhead[t].join(f.overhead[t])
			}
		}
	}
	return &o.observation, nil
}

func (o *observer) seconds() int {
	return int((o.end - o.start + int64(time.Second) - 1) / int64(time.Second))
}

// counts says that a time is inside of the trace.
func (o *observer) counts(now int64) bool { return now >= o.start && now < o.end }

func (o *observer) sample() {
	s := &o.series
	s.ActiveOptimized = append(s.ActiveOptimized, o.activeNative)
	s.ActiveOther = append(s.ActiveOther, o.activeOther)
	s.RunningOptimized = append(s.RunningOptimized, o.fnsNative)
	s.RunningOther = append(s.RunningOther, o.fnsOther)
	s.Invocations = append(s.Invocations, o.running)
	s.ResidentNative = append(s.ResidentNative, o.residentNative)
	s.Resident = append(s.Resident, o.resident)
	s.ColdOptimized = append(s.ColdOptimized, o.coldNative)
	s.ColdOther = append(s.ColdOther, o.coldOther)
	s.Builds = append(s.Builds, int32(len(o.building)))
	s.BuildsQueued = append(s.BuildsQueued, o.queued)
	s.OptimizedFunctions = append(s.OptimizedFunctions, o.optimizedNow)
	o.coldNative, o.coldOther = 0, 0
	o.activeNative, o.activeOther = o.fnsNative, o.fnsOther
	o.second++
}

func (o *observer) event(now int64, ev *engine.Event, actions []engine.Action) {
	switch ev.Kind {
	case engine.EventConfigured:
		if ev.NodeConfig != nil {
			o.node = *ev.NodeConfig
		}
	case engine.EventFunctionSet:
		if ev.FunctionConfig != nil {
			o.configs[ev.Function] = *ev.FunctionConfig
		}
	case engine.EventRevisionAdded:
		if ev.RevisionConfig == nil {
			return
		}
		o.number[ev.Revision] = len(o.fns)
		o.fns = append(o.fns, liveFunction{seen: -1})
		o.functions = append(o.functions, sim.FunctionOptions{Function: o.configs[ev.RevisionConfig.Function], Revision: *ev.RevisionConfig})
	case engine.EventArrived:
		if i, ok := o.number[ev.Revision]; ok {
			c := &liveCall{fn: i, planned: -1, worker: -1}
			if n := o.fns[i].arrived; i < len(o.planned) && n < len(o.planned[i]) {
				c.planned = o.planned[i][n]
			}
			o.fns[i].arrived++
			o.calls[ev.Invocation] = c
		}
	case engine.EventWorkerReady:
		if w := o.workers[ev.Worker]; w != nil {
			o.starts[w.tier].add(math.Log(max(float64(now-w.since)/1e9, 1e-6)))
		}
	case engine.EventWorkerFailed, engine.EventWorkerExited:
		if w := o.workers[ev.Worker]; w != nil {
			if w.stopping > 0 && ev.Kind == engine.EventWorkerExited {
				o.stop.add(float64(now-w.stopping) / 1e9)
			}
			o.resident--
			if w.tier == function.TierNative {
				o.residentNative--
			}
			delete(o.workers, ev.Worker)
		}
	case engine.EventMetadata:
		if i, ok := o.number[ev.Revision]; ok && o.fns[i].tracedSince > 0 {
			o.tracing.add(float64(now-o.fns[i].tracedSince) / 1e9)
			o.fns[i].tracedSince = 0
		}
	case engine.EventFinished:
		o.finished(now, ev, actions)
	case engine.EventBuildDone, engine.EventBuildFailed:
		if at, ok := o.building[ev.Revision]; ok && ev.Kind == engine.EventBuildDone {
			o.build.add(float64(now-at) / 1e9)
			o.buildOf[o.number[ev.Revision]] = time.Duration(now - at)
		}
		delete(o.building, ev.Revision)
	}
}

func (o *observer) finished(now int64, ev *engine.Event, actions []engine.Action) {
	c := o.calls[ev.Invocation]
	if c == nil || !c.running {
		return
	}
	w := o.workers[c.worker]
	o.stopRunning(c)
	if w != nil && c.planned >= 0 && ev.Outcome == function.OutcomeOK {
		over := float64(now-c.since)/1e9 - c.planned.Seconds()
		if c.first {
			o.fns[c.fn].first[w.tier].add(over)
		} else {
			o.fns[c.fn].overhead[w.tier].add(over)
		}
	}
	if ev.Outcome == function.OutcomeDeoptimized && o.counts(now) {
		o.deopts++
	}
	for i := range actions {
		if actions[i].Kind == engine.ActionRetry && actions[i].Invocation == ev.Invocation {
			return // it runs again
		}
	}
	if ev.Outcome != function.OutcomeUnknown {
		delete(o.calls, ev.Invocation)
	}
}

func (o *observer) action(now int64, a *engine.Action) {
	switch a.Kind {
	case engine.ActionStart:
		i, ok := o.number[a.Revision]
		if !ok {
			return
		}
		o.workers[a.Worker] = &liveWorker{fn: i, tier: a.Tier, since: now}
		o.resident++
		native := a.Tier == function.TierNative
		if native {
			o.residentNative++
		}
		if a.Cold && o.counts(now) {
			if native {
				o.coldNative++
			} else {
				o.coldOther++
			}
		}
	case engine.ActionAssign:
		if c, w := o.calls[a.Invocation], o.workers[a.Worker]; c != nil && w != nil {
			o.startRunning(now, c, a.Worker, w)
		}
	case engine.ActionStop:
		if w := o.workers[a.Worker]; w != nil {
			w.stopping = now
			if a.Reason == engine.ReasonEvicted && o.counts(now) {
				o.evicted++
			}
		}
	case engine.ActionReject, engine.ActionFail:
		if c := o.calls[a.Invocation]; c != nil {
			if c.running {
				o.stopRunning(c)
			}
			delete(o.calls, a.Invocation)
		}
	case engine.ActionBuild:
		o.building[a.Revision] = now
		if o.counts(now) {
			o.builds++
		}
	case engine.ActionRecord:
		o.moved(a)
	}
}

// moved follows a pipeline.
func (o *observer) moved(a *engine.Action) {
	i, ok := o.number[a.Revision]
	if !ok {
		return
	}
	f := &o.fns[i]
	if queued := a.To.Phase == pipeline.PhaseQueued; queued != f.queued {
		f.queued = queued
		if queued {
			o.queued++
		} else {
			o.queued--
		}
	}
	if native := a.To.Stage == pipeline.StageNative; native != f.optimized {
		f.optimized = native
		if native {
			o.optimizedNow++
			f.wasOptimized = f.wasOptimized || o.second < o.seconds()
		} else {
			o.optimizedNow--
		}
	}
}

func (o *observer) startRunning(now int64, c *liveCall, id engine.WorkerID, w *liveWorker) {
	f := &o.fns[c.fn]
	c.worker, c.since, c.running, c.first, c.native = id, now, true, !w.served, w.tier == function.TierNative
	if !w.served && w.tier == function.TierHotSpotAgent && f.tracedSince == 0 {
		f.tracedSince = now
	}
	w.served = true
	o.running++
	if f.native+f.other == 0 && f.seen != o.second {
		f.seen = o.second
		if f.optimized {
			o.activeNative++
		} else {
			o.activeOther++
		}
	}
	if c.native {
		if f.native == 0 {
			o.fnsNative++
			if f.other > 0 {
				o.fnsOther--
			}
		}
		f.native++
		return
	}
	if f.other == 0 && f.native == 0 {
		o.fnsOther++
	}
	f.other++
}

func (o *observer) stopRunning(c *liveCall) {
	f := &o.fns[c.fn]
	c.running = false
	o.running--
	f.seen = o.second // counted in this second, at its start or the second's
	if c.native {
		if f.native--; f.native == 0 {
			o.fnsNative--
			if f.other > 0 {
				o.fnsOther++
			}
		}
		return
	}
	if f.other--; f.other == 0 && f.native == 0 {
		o.fnsOther--
	}
}
