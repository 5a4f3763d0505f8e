package replay

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/sim"
)

// observation is what the log of an engine says of the time of the trace: the seconds, by
// the simulator's own definitions, and what the simulator wants to know of durations.
type observation struct {
	series    sim.Series
	optimized int // functions that had a binary that serves, and an invocation
	deopts    int
	evicted   int // workers stopped for the memory of others

	// rungs are the names of all rungs, as the functions' ladders order them.
	rungs  []function.Rung
	onRung map[function.Rung]int // functions that had the rung's artifact, and an invocation
	builds map[function.Rung]int // begun
	colds  map[function.Rung]int // cold starts
	waited []coldStart

	// functions and node are as the platform told its engine. Added counts from the trace's begin, and is below 0 before.
	functions []sim.FunctionOptions
	node      engine.NodeConfig

	starts   map[sim.Way]*moments // of the logarithm of seconds
	overhead map[sim.Way]*moments // seconds beyond the trace's duration, of warm invocations
	first    map[sim.Way]*moments // the same of the first invocation of a worker
	costs    map[function.Rung]*costs
	checks   map[function.Rung]*costs        // of comparing artifacts
	costOf   []map[function.Rung]ladder.Cost // by function
	checksOf []map[function.Rung]*costs      // the same of comparing
	tracing  moments                         // from a tracing worker's first invocation to its findings, seconds
	stop     moments                         // from the order to stop to the worker's end, seconds
	recorded moments                         // the same of workers whose recording is there only then
}

// coldStart is what an invocation that waited for a new worker took beyond the trace's duration.
type coldStart struct {
	fn   int
	rung function.Rung
	took time.Duration
}

// moments sum up a distribution.
type moments struct{ n, sum, squares float64 }

func (m *moments) add(v float64) { m.n++; m.sum += v; m.squares += v * v }

func (m *moments) join(o *moments) { m.n += o.n; m.sum += o.sum; m.squares += o.squares }

func (m *moments) mean() float64 {
	if m == nil || m.n == 0 {
		return 0
	}
	return m.sum / m.n
}

// count is how many values there are.
func (m *moments) count() int {
	if m == nil {
		return 0
	}
	return int(m.n)
}

// variance around the mean; 0 of less than two.
func (m *moments) variance() float64 {
	if m == nil || m.n < 2 {
		return 0
	}
	return max(m.squares/m.n-m.mean()*m.mean(), 0)
}

// costs sum up those of builds that came to their end.
type costs struct {
	n   int
	sum ladder.Cost
}

func (c *costs) add(v ladder.Cost) { c.join(&costs{1, v}) }

func (c *costs) join(o *costs) {
	c.n += o.n
	v := &o.sum
	c.sum = ladder.Cost{Wall: c.sum.Wall + v.Wall, CPU: c.sum.CPU + v.CPU, MemoryMB: c.sum.MemoryMB + v.MemoryMB, DiskMB: c.sum.DiskMB + v.DiskMB}
}

func (c *costs) mean() ladder.Cost {
	n := time.Duration(c.n)
	return ladder.Cost{Wall: c.sum.Wall / n, CPU: c.sum.CPU / n, MemoryMB: c.sum.MemoryMB / float64(c.n), DiskMB: c.sum.DiskMB / float64(c.n)}
}

// at is the entry of a key, made if there is none.
func at[K comparable, V any](m map[K]*V, key K) *V {
	v := m[key]
	if v == nil {
		v = new(V)
		m[key] = v
	}
	return v
}

// observer follows what an engine does.
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
	building map[liveBuild]int64

	running, resident, residentNative int32
	coldNative, coldOther             int32
	activeNative, activeOther         int32
	fnsNative, fnsOther               int32
	queued, optimizedNow              int32
	artifactKB                        int64
	byRung                            map[function.Rung]*liveRung
}

// liveRung is a rung's workers now, and its cold starts in the second at hand.
type liveRung struct{ resident, cold int32 }

type liveFunction struct {
	ladder                  *ladder.Ladder
	arrived                 int // how many of the planned ones
	native, other           int32
	seen                    int
	ready                   map[function.Rung]bool // rungs whose artifact serves
	had                     map[function.Rung]bool // or did in the time of the trace
	optimized, wasOptimized bool                   // by a binary
	tracedSince             int64
	overhead, first         map[sim.Way]*moments
	waited                  []coldStart
	computing               sim.Computing
}

// binary reports whether a rung is one.
func (f *liveFunction) binary(rung ladder.ID) bool {
	return int(rung) < len(f.ladder.Rungs) && f.ladder.Rungs[rung].Artifact == ladder.ArtifactBinary
}

type liveWorker struct {
	fn              int
	way             sim.Way
	native          bool
	since, stopping int64
	served          int32
	clock           sim.Clocked
}

type liveCall struct {
	fn      int
	planned time.Duration // below zero: not known
	arrived int64
	worker  engine.WorkerID
	since   int64
	first   bool
	cold    bool // it waited for a new worker
	running bool
	native  bool // runs on a native worker
}

type liveBuild struct {
	revision engine.RevisionID
	rung     ladder.ID
}

// newObserver follows an engine from its begin. Start is when the trace begins, in the engine's
// time. Planned are the durations of each function's invocations in the order in which they
// arrive; of a function that has another number of arrivals, overheads are not known.
func newObserver(start int64, length time.Duration, planned [][]time.Duration) *observer {
	return &observer{
		observation: observation{
			onRung: map[function.Rung]int{}, builds: map[function.Rung]int{}, colds: map[function.Rung]int{}, costs: map[function.Rung]*costs{}, checks: map[function.Rung]*costs{},
			starts: map[sim.Way]*moments{}, overhead: map[sim.Way]*moments{}, first: map[sim.Way]*moments{},
		},
		start: start, end: start + int64(length), planned: planned,
		number: map[engine.RevisionID]int{}, workers: map[engine.WorkerID]*liveWorker{},
		calls: map[engine.InvocationID]*liveCall{}, building: map[liveBuild]int64{},
		configs: map[engine.FunctionID]engine.FunctionConfig{}, byRung: map[function.Rung]*liveRung{},
	}
}

// observe reads the log of a run from its begin; see newObserver.
func observe(l *engine.LogReader, start time.Time, length time.Duration, planned [][]time.Duration) (*observation, error) {
	o := newObserver(start.UnixNano(), length, planned)
	for {
		now, ev, actions, err := l.Next()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return o.finish()
		}
		if err != nil {
			return nil, fmt.Errorf("observe run: %w", err)
		}
		o.step(now, ev, actions)
	}
}

// step takes an event and what the engine said to it.
func (o *observer) step(now int64, ev engine.Event, actions []engine.Action) {
	for o.second < o.seconds() && now >= o.start+int64(o.second+1)*int64(time.Second) {
		o.sample()
	}
	o.event(now, &ev, actions)
	for i := range actions {
		o.action(now, &actions[i])
	}
}

// finish sums up.
func (o *observer) finish() (*observation, error) {
	for o.second < o.seconds() {
		o.sample()
	}
	if len(o.fns) != len(o.planned) {
		return nil, fmt.Errorf("observe run: the log has %d functions, the plan %d", len(o.fns), len(o.planned))
	}
	for i := range o.fns {
		f := &o.fns[i]
		o.functions[i].Computes = f.computing.Share()
		for _, starts := range o.functions[i].Starts {
			sim.InOrder(starts)
		}
		if f.arrived == 0 {
			continue
		}
		if f.wasOptimized {
			o.optimized++
		}
		for rung := range f.had {
			o.onRung[rung]++
		}
		if f.arrived != len(o.planned[i]) {
			continue
		}
		for way, m := range f.first {
			at(o.first, way).join(m)
		}
		for way, m := range f.overhead {
			at(o.overhead, way).join(m)
		}
		o.functions[i].Overhead, o.functions[i].FirstOverhead = means(f.overhead, leastWarm, overheadOf), means(f.first, leastFirst, overheadOf)
		o.waited = append(o.waited, f.waited...)
	}
	return &o.observation, nil
}

// A function's own overheads stand for it where so many invocations say so: what one allocates takes time on some rungs, and none on others.
const leastWarm, leastFirst = 30, 5

// means are those of what was measured of one function often enough, each as what it stands for.
func means[T any](measured map[sim.Way]*moments, least int, as func(mean float64) T) map[sim.Way]T {
	out := map[sim.Way]T{}
	for way, m := range measured {
		if m.count() >= least {
			out[way] = as(m.mean())
		}
	}
	return out
}

// overheadOf is a mean of seconds as an overhead, which is none below 0.
func overheadOf(mean float64) time.Duration { return time.Duration(max(mean, 0) * 1e9) }

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
	s.ArtifactMB = append(s.ArtifactMB, float64(o.artifactKB)/1000)
	for i, name := range o.rungs {
		if i == len(s.Rungs) { // nothing was deployed of it in earlier seconds
			s.Rungs = append(s.Rungs, sim.RungSeries{Rung: name, Resident: make([]int32, o.second), Cold: make([]int32, o.second)})
		}
		r := at(o.byRung, name)
		s.Rungs[i].Resident, s.Rungs[i].Cold = append(s.Rungs[i].Resident, r.resident), append(s.Rungs[i].Cold, r.cold)
		r.cold = 0
	}
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
		o.added(now, ev)
	case engine.EventArrived:
		if i, ok := o.number[ev.Revision]; ok {
			c := &liveCall{fn: i, planned: -1, arrived: now, worker: -1}
			if n := o.fns[i].arrived; i < len(o.planned) && n < len(o.planned[i]) {
				c.planned = o.planned[i][n]
			}
			o.fns[i].arrived++
			o.calls[ev.Invocation] = c
		}
	case engine.EventWorkerReady:
		if w := o.workers[ev.Worker]; w != nil {
			w.clock.Ready(now)
			took := now - w.since
			if ev.Cost.Wall > 0 { // it was compared first
				took -= int64(ev.Cost.Wall)
				at(o.checks, w.way.Rung).add(ev.Cost)
				at(o.checksOf[w.fn], w.way.Rung).add(ev.Cost)
			}
			at(o.starts, w.way).add(math.Log(max(float64(took)/1e9, 1e-6)))
			starts := o.functions[w.fn].Starts
			starts[w.way] = append(starts[w.way], sim.MeasuredStart{At: time.Duration(w.since - o.start), Took: time.Duration(took)})
		}
	case engine.EventWorkerFailed, engine.EventWorkerExited:
		if w := o.workers[ev.Worker]; w != nil {
			if w.stopping > 0 && ev.Kind == engine.EventWorkerExited {
				took := float64(now-w.stopping) / 1e9
				o.weighed(now, ev, w, w.served)
				if w.way.Recording.AtEnd() {
					o.recorded.add(took)
				} else {
					o.stop.add(took)
				}
			}
			o.resident--
			at(o.byRung, w.way.Rung).resident--
			if w.native {
				o.residentNative--
			}
			delete(o.workers, ev.Worker)
		}
	case engine.EventRecording:
		if i, ok := o.number[ev.Revision]; ok && ev.Recording == ladder.RecordingMetadata && o.fns[i].tracedSince > 0 {
			o.tracing.add(float64(now-o.fns[i].tracedSince) / 1e9)
			o.fns[i].tracedSince = 0
		}
	case engine.EventFinished:
		o.finished(now, ev, actions)
	case engine.EventBuildDone, engine.EventBuildFailed:
		b := liveBuild{ev.Revision, ev.Rung}
		if begun, ok := o.building[b]; ok && ev.Kind == engine.EventBuildDone {
			i := o.number[ev.Revision]
			name, cost := o.fns[i].ladder.RungName(ev.Rung), ev.Cost
			cost.Wall = time.Duration(now - begun)
			at(o.costs, name).add(cost)
			o.costOf[i][name] = cost
		}
		delete(o.building, b)
	}
}

func (o *observer) added(now int64, ev *engine.Event) {
	c := ev.RevisionConfig
	if c == nil || c.Ladder == nil {
		return
	}
	for i := range c.Ladder.Rungs {
		if name := c.Ladder.Rungs[i].Name; !slices.Contains(o.rungs, name) {
			o.rungs = append(o.rungs, name)
		}
	}
	o.number[ev.Revision] = len(o.fns)
	o.fns = append(o.fns, liveFunction{
		ladder: c.Ladder, seen: -1, ready: map[function.Rung]bool{}, had: map[function.Rung]bool{},
		overhead: map[sim.Way]*moments{}, first: map[sim.Way]*moments{},
	})
	for i := range c.Restored.Rungs {
		if s := &c.Restored.Rungs[i]; s.Phase == pipeline.PhaseReady { // it was made before
			f := &o.fns[len(o.fns)-1]
			f.ready[s.Name], f.had[s.Name] = true, true
		}
	}
	o.functions = append(o.functions, sim.FunctionOptions{
		Function: o.configs[c.Function], Revision: *c, Added: time.Duration(now - o.start),
		Starts: map[sim.Way][]sim.MeasuredStart{}, Told: map[sim.Way][]sim.MeasuredMemory{},
	})
	o.costOf = append(o.costOf, map[function.Rung]ladder.Cost{})
	o.checksOf = append(o.checksOf, map[function.Rung]*costs{})
}

func (o *observer) finished(now int64, ev *engine.Event, actions []engine.Action) {
	c := o.calls[ev.Invocation]
	if c == nil || !c.running {
		return
	}
	w := o.workers[c.worker]
	o.stopRunning(c)
	if w != nil {
		w.clock.Ended(now, now-c.since, ev.CPU, &o.fns[c.fn].computing)
		o.weighed(now, ev, w, w.served-1) // before this one
	}
	if w != nil && c.planned >= 0 && ev.Outcome == function.OutcomeOK {
		f := &o.fns[c.fn]
		over := float64(now-c.since)/1e9 - c.planned.Seconds()
		if c.first {
			at(f.first, w.way).add(over)
		} else {
			at(f.overhead, w.way).add(over)
		}
		if c.cold && o.counts(now) {
			f.waited = append(f.waited, coldStart{c.fn, w.way.Rung, time.Duration(now-c.arrived) - c.planned})
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

// weighed notes what the engine is told of the memory of a worker that had served so much. It makes nothing of one that has not served.
func (o *observer) weighed(now int64, ev *engine.Event, w *liveWorker, served int32) {
	if ev.MemoryMB > 0 && served > 0 {
		told := o.functions[w.fn].Told
		told[w.way] = append(told[w.way], sim.MeasuredMemory{At: time.Duration(now - o.start), Served: served, MB: ev.MemoryMB})
	}
}

func (o *observer) action(now int64, a *engine.Action) {
	switch a.Kind {
	case engine.ActionStart:
		o.started(now, a)
	case engine.ActionAssign:
		if c, w := o.calls[a.Invocation], o.workers[a.Worker]; c != nil && w != nil {
			c.cold = c.cold || a.Cold
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
		if i, ok := o.number[a.Revision]; ok {
			o.building[liveBuild{a.Revision, a.Rung}] = now
			if o.counts(now) {
				o.builds[o.fns[i].ladder.RungName(a.Rung)]++
			}
		}
	case engine.ActionRecord:
		o.moved(a)
	}
}

func (o *observer) started(now int64, a *engine.Action) {
	i, ok := o.number[a.Revision]
	if !ok {
		return
	}
	f := &o.fns[i]
	w := &liveWorker{fn: i, way: sim.Way{Rung: f.ladder.RungName(a.Rung), Recording: a.Recording}, native: f.binary(a.Rung), since: now}
	o.workers[a.Worker] = w
	o.resident++
	rung := at(o.byRung, w.way.Rung)
	rung.resident++
	if w.native {
		o.residentNative++
	}
	if a.Cold && o.counts(now) {
		o.colds[w.way.Rung]++
		rung.cold++
		if w.native {
			o.coldNative++
		} else {
			o.coldOther++
		}
	}
}

// moved follows a pipeline: what waits for a builder, and what begins or ends an artifact's service.
func (o *observer) moved(a *engine.Action) {
	i, ok := o.number[a.Revision]
	if !ok || a.Rung == ladder.First || a.From == a.To {
		return
	}
	switch pipeline.PhaseQueued {
	case a.To:
		o.queued++
	case a.From:
		o.queued--
	}
	f := &o.fns[i]
	name := f.ladder.RungName(a.Rung)
	disk := int64(o.costOf[i][name].DiskMB * 1000)
	switch pipeline.PhaseReady {
	case a.To:
		f.ready[name] = true
		o.artifactKB += disk
		if o.second < o.seconds() {
			f.had[name] = true
		}
	case a.From:
		delete(f.ready, name)
		o.artifactKB -= disk
	default:
		return
	}
	native := false
	for id := range f.ladder.Rungs {
		native = native || f.binary(ladder.ID(id)) && f.ready[f.ladder.Rungs[id].Name]
	}
	if native == f.optimized {
		return
	}
	f.optimized = native
	if native {
		o.optimizedNow++
		f.wasOptimized = f.wasOptimized || o.second < o.seconds()
	} else {
		o.optimizedNow--
	}
}

func (o *observer) startRunning(now int64, c *liveCall, id engine.WorkerID, w *liveWorker) {
	f := &o.fns[c.fn]
	c.worker, c.since, c.running, c.first, c.native = id, now, true, w.served == 0, w.native
	if w.served == 0 && w.way.Recording == ladder.RecordingMetadata && f.tracedSince == 0 {
		f.tracedSince = now
	}
	w.served++
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
