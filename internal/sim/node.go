package sim

import (
	"fmt"
	"math"
	"time"

	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/trace"
)

const never = math.MaxInt64

// cluster is one engine with its future events: what internal/node is to real workers. It runs
// the functions of one part of the trace: function f is number f>>shift of part f&mask.
type cluster struct {
	part, mask int32
	shift      uint

	engine *engine.Engine
	acts   []engine.Action
	queue  *queue
	wake   int64 // never, or when the engine wants to be woken
	now    int64
	model  Model
	seed   uint64

	fns         []fnState
	invocations []call
	freeCalls   []int32
	workers     []workerState
	slow        bool // some slowdown is not 1
	baseline    bool // nothing is optimized, and nothing was
	own         []FunctionOptions
	record      func(int64, engine.Event, []engine.Action)
	m           metrics
	failure     error
}

// fnState is a function's; what every invocation touches, in one cache line.
type fnState struct {
	kb            int32 // memory of a HotSpot worker
	nativeKB      int32
	runningNative int32
	runningOther  int32
	seen          int32 // second in which it last ran, for active counts
	version       uint32
	metadataDue   uint64 // sequence number of the event that brings the tracer's findings, 0: none
	residentKBms  int64  // whole, so that the sum does not depend on the order of additions
	global        int32  // in the trace's table
	optimized     bool
	wasOptimized  bool
	use           FunctionUse
}

// call is an invocation between its arrival and its end.
type call struct {
	arrived  int64
	duration int64
	fn       int32
	worker   int32
	deopt    bool
}

// workerState is a worker's.
type workerState struct {
	started int64
	fn      int32
	busy    int32
	tier    function.Tier
	served  bool
	ready   bool
	// unwanted: it was told to stop before it was ready.
	unwanted bool
	alive    bool
}

func newCluster(t trace.Trace, o *Options, p policy.Policy, native []bool, part partition, record func(int64, engine.Event, []engine.Action)) *cluster {
	m := o.Model
	builders := int32(m.Builders)
	if builders == 0 {
		builders = math.MaxInt32
	}
	c := &cluster{
		part: part.number, mask: 1<<part.shift - 1, shift: part.shift,
		engine: engine.New(engine.NodeConfig{
			MemoryMiB:   int64(math.Round(m.MemoryMB * 1e6 / (1 << 20))),
			Builders:    builders,
			TraceLimit:  int32(m.TraceLimit),
			Starts:      o.Node.Starts,
			Concurrency: o.Node.Concurrency,
			QueueLimit:  o.Node.QueueLimit,
			Patience:    o.Node.Patience,
		}, p),
		wake: never, queue: newQueue(), model: m, seed: o.Trace.Seed, own: o.Functions, record: record,
	}
	_, c.baseline = p.(*policy.Never)
	for i := range m.Slowdown {
		c.slow = c.slow || m.Slowdown[i] != 1 || m.FirstSlowdown[i] != 1 || m.Overhead[i] != 0 || m.FirstOverhead[i] != 0
	}
	functions := t.Functions()
	for i := int(c.part); i < len(functions); i += 1 << c.shift {
		c.fns = append(c.fns, fnState{})
		c.addFunction(int32(i), &functions[i], o, native != nil && native[i])
	}
	c.m.init(int((t.Length() + time.Second - 1) / time.Second))
	return c
}

func (c *cluster) addFunction(global int32, f *trace.Function, o *Options, native bool) {
	i := global >> c.shift
	s := &c.fns[i]
	s.global = global
	s.seen = -1
	s.kb = int32(min(f.MemoryMB*1000, 1e9))
	s.nativeKB = int32(min(f.MemoryMB*1000*c.model.NativeMemory, 1e9))
	var mib [function.TierCount]int32
	for t := range mib {
		kb := s.kb
		if function.Tier(t) == function.TierNative {
			kb = s.nativeKB
		}
		mib[t] = int32(math.Ceil((float64(kb)/1000 + c.model.SandboxMB) * 1e6 / (1 << 20)))
	}
	fc := engine.FunctionConfig{Reserved: -1, Params: o.Params}
	rc := engine.RevisionConfig{Function: engine.FunctionID(i), MemoryMiB: mib}
	if o.Functions != nil {
		own := &o.Functions[global]
		fc, rc = own.Function, own.Revision
		rc.Function = engine.FunctionID(i)
		if c.baseline {
			rc.Restored = pipeline.Saved{}
		}
		if rc.Restored.State.Stage == pipeline.StageNative {
			s.optimized, s.wasOptimized, s.version = true, true, rc.Restored.Version
			c.m.optimized++
		}
		s.version = rc.Restored.Version
	}
	if native {
		rc.Restored = builtState()
		s.optimized, s.wasOptimized, s.version = true, true, 1
		c.m.optimized++
		c.m.builds++
		c.m.buildNs += c.buildTime(i)
	}
	c.step(engine.Event{Kind: engine.EventFunctionSet, Function: engine.FunctionID(i), FunctionConfig: &fc})
	c.step(engine.Event{Kind: engine.EventRevisionAdded, Revision: engine.RevisionID(i), RevisionConfig: &rc})
}

// run takes a batch of arrivals in order of time.
func (c *cluster) run(batch []trace.Invocation) {
	for i := range batch {
		inv := &batch[i]
		if inv.Function&c.mask != c.part {
			continue
		}
		at := int64(inv.At)
		if at >= c.queue.next() || at >= c.wake {
			c.advance(at)
		}
		c.m.sampleUntil(c, at)
		c.now = at
		c.arrive(inv)
	}
}

// advance lets everything happen that is due up to and at a time. What was scheduled earlier
// happens first; an arrival comes after what is due at the same time.
func (c *cluster) advance(until int64) {
	for {
		at := c.queue.next()
		if c.wake < at {
			if c.wake > until {
				return
			}
			c.m.sampleUntil(c, c.wake)
			c.now, c.wake = c.wake, never
			c.step(engine.Event{Kind: engine.EventWoke})
			continue
		}
		if at > until || at == never {
			return
		}
		c.m.sampleUntil(c, at)
		c.now = at
		c.happen(c.queue.pop())
	}
}

func (c *cluster) arrive(inv *trace.Invocation) {
	var id int32
	if n := len(c.freeCalls); n > 0 {
		id = c.freeCalls[n-1]
		c.freeCalls = c.freeCalls[:n-1]
	} else {
		id = int32(len(c.invocations))
		c.invocations = append(c.invocations, call{})
	}
	fn := inv.Function >> c.shift
	c.invocations[id] = call{arrived: c.now, duration: int64(inv.Duration), fn: fn, worker: -1}
	c.fns[fn].use.Invocations++
	c.m.arrivals++
	c.step(engine.Event{Kind: engine.EventArrived, Revision: engine.RevisionID(fn), Invocation: engine.InvocationID(id)})
}

// happen turns a due event into the engine's.
func (c *cluster) happen(e event) {
	switch e.kind() {
	case dueFinish:
		c.finish(e.id)
	case dueReady:
		w := &c.workers[e.id]
		if w.unwanted {
			c.gone(w)
			c.step(engine.Event{Kind: engine.EventWorkerFailed, Worker: engine.WorkerID(e.id), Failure: engine.FailureStopped})
			return
		}
		w.ready = true
		c.step(engine.Event{Kind: engine.EventWorkerReady, Worker: engine.WorkerID(e.id)})
	case dueExit:
		w := &c.workers[e.id]
		if w.tier == function.TierHotSpotAgent && c.fns[w.fn].metadataDue != 0 {
			c.metadata(w.fn) // the tracer writes at its end, too
		}
		c.gone(w)
		c.step(engine.Event{Kind: engine.EventWorkerExited, Worker: engine.WorkerID(e.id)})
	case dueMetadata:
		if c.fns[e.id].metadataDue == e.seq>>kindBits {
			c.metadata(e.id)
		}
	case dueBuilt:
		c.m.building--
		c.step(engine.Event{Kind: engine.EventBuildDone, Revision: engine.RevisionID(e.id)})
	}
}

func (c *cluster) metadata(fn int32) {
	c.fns[fn].version++
	c.fns[fn].metadataDue = 0
	c.step(engine.Event{Kind: engine.EventMetadata, Revision: engine.RevisionID(fn), Version: c.fns[fn].version})
}

func (c *cluster) finish(id int32) {
	inv := &c.invocations[id]
	w := &c.workers[inv.worker]
	f := &c.fns[inv.fn]
	w.busy--
	c.stopRunning(f, w)
	ev := engine.Event{Kind: engine.EventFinished, Invocation: engine.InvocationID(id), Worker: engine.WorkerID(inv.worker), Outcome: function.OutcomeOK}
	if inv.deopt {
		ev.Outcome = function.OutcomeDeoptimized
		inv.deopt = false
		f.use.Deopts++
		c.m.deopts++
		c.step(ev) // the engine says what becomes of the invocation
		return
	}
	latency := c.now - inv.arrived
	c.m.response.add(latency)
	c.m.finished++
	c.freeCalls = append(c.freeCalls, id)
	c.step(ev)
}

// step gives the engine an event and carries out what it says.
func (c *cluster) step(ev engine.Event) {
	c.m.events++
	c.acts = c.engine.Step(c.now, ev, c.acts[:0])
	if c.record != nil {
		c.record(c.now, ev, c.acts)
	}
	for i := range c.acts {
		a := &c.acts[i]
		switch a.Kind {
		case engine.ActionAssign:
			c.assign(a)
		case engine.ActionStart:
			c.start(a)
		case engine.ActionStop:
			c.stop(a)
		case engine.ActionWake:
			c.wake = a.At
		case engine.ActionBuild:
			c.m.building++
			c.m.builds++
			d := c.buildTime(int32(a.Revision))
			c.m.buildNs += d
			c.queue.push(c.now+d, dueBuilt, int32(a.Revision))
		case engine.ActionRecord:
			c.pipelineMoved(a)
		case engine.ActionReject:
			c.m.rejected++
			c.freeCalls = append(c.freeCalls, int32(a.Invocation))
		case engine.ActionFail:
			c.m.failed++
			c.freeCalls = append(c.freeCalls, int32(a.Invocation))
		case engine.ActionRetry:
			// It is assigned again, to a tracing worker; its latency counts from its arrival.
		case engine.ActionIllegal:
			c.failure = fmt.Errorf("simulate: the engine refused %v at %v: %v", ev.Kind, time.Duration(c.now), a.Reason)
		}
	}
}

func (c *cluster) assign(a *engine.Action) {
	inv := &c.invocations[a.Invocation]
	w := &c.workers[a.Worker]
	f := &c.fns[inv.fn]
	inv.worker = int32(a.Worker)
	duration := inv.duration
	if c.slow {
		slowdown, overhead := c.model.Slowdown[w.tier], c.model.Overhead[w.tier]
		if !w.served {
			slowdown, overhead = c.model.FirstSlowdown[w.tier], c.model.FirstOverhead[w.tier]
		}
		duration = int64(float64(duration)*slowdown) + int64(overhead)
	}
	if !w.served {
		w.served = true
		if w.tier == function.TierHotSpotAgent {
			c.queue.push(c.now+int64(c.model.TraceDelay), dueMetadata, inv.fn)
			f.metadataDue = c.queue.seq
		}
	}
	if w.tier == function.TierNative && c.model.Deoptimize > 0 {
		inv.deopt = c.chance(3, uint64(f.global), uint64(c.now)) < c.model.Deoptimize
	}
	if wait := c.now - inv.arrived; wait > 0 {
		f.use.Waited += time.Duration(wait)
		c.m.wait.add(wait)
	}
	w.busy++
	c.startRunning(f, w)
	c.queue.push(c.now+duration, dueFinish, int32(a.Invocation))
}

func (c *cluster) start(a *engine.Action) {
	for len(c.workers) <= int(a.Worker) {
		c.workers = append(c.workers, workerState{})
	}
	fn := int32(a.Revision)
	f := &c.fns[fn]
	c.workers[a.Worker] = workerState{fn: fn, tier: a.Tier, started: c.now, alive: true}
	c.m.resident++
	if a.Tier == function.TierNative {
		c.m.residentNative++
	}
	c.m.residentKB += c.memory(f, a.Tier)
	if a.Cold {
		f.use.Cold++
		if a.Tier == function.TierNative {
			f.use.ColdNative++
			c.m.coldNative++
		} else {
			c.m.coldOther++
		}
	}
	d := int64(c.model.ColdStart[a.Tier])
	if c.own != nil {
		if starts := c.own[f.global].Starts[a.Tier]; len(starts) > 0 {
			d = int64(nearest(starts, time.Duration(c.now)))
		}
	}
	if c.model.ColdSpread > 0 {
		u := min(max(c.chance(4, uint64(f.global), uint64(c.now), uint64(f.use.Cold)), 1e-9), 1-1e-9)
		d = int64(float64(d) * math.Exp(c.model.ColdSpread*-math.Sqrt2*math.Erfinv(1-2*u)))
	}
	c.queue.push(c.now+d, dueReady, int32(a.Worker))
}

func (c *cluster) stop(a *engine.Action) {
	if w := &c.workers[a.Worker]; !w.ready {
		w.unwanted = true // its start goes on to its end, and comes to nothing
		return
	}
	c.queue.push(c.now+int64(c.model.Stop), dueExit, int32(a.Worker))
}

// gone frees what a worker held.
func (c *cluster) gone(w *workerState) {
	w.alive = false
	c.m.resident--
	if w.tier == function.TierNative {
		c.m.residentNative--
	}
	c.m.residentKB -= c.memory(&c.fns[w.fn], w.tier)
	c.use(w)
}

// memory is what a worker of a tier uses, in kB.
func (c *cluster) memory(f *fnState, t function.Tier) int64 {
	if c.own != nil {
		if mb := c.own[f.global].MemoryMB[t]; mb > 0 {
			return int64(min(mb*1000, 1e9))
		}
	}
	if t == function.TierNative {
		return int64(f.nativeKB)
	}
	return int64(f.kb)
}

// use books a worker's memory over its life so far.
func (c *cluster) use(w *workerState) {
	f := &c.fns[w.fn]
	f.residentKBms += c.memory(f, w.tier) * ((c.now - w.started) / int64(time.Millisecond))
}

func (c *cluster) startRunning(f *fnState, w *workerState) {
	m := &c.m
	m.running++
	if f.runningNative+f.runningOther == 0 && f.seen != int32(m.second) {
		f.seen = int32(m.second)
		m.active(f.optimized)
	}
	if w.tier == function.TierNative {
		if f.runningNative == 0 {
			m.fnsNative++
			if f.runningOther > 0 {
				m.fnsOther--
			}
		}
		f.runningNative++
		if w.busy == 1 {
			m.runningKB += c.memory(f, w.tier)
		}
		return
	}
	if f.runningOther == 0 && f.runningNative == 0 {
		m.fnsOther++
	}
	f.runningOther++
	if w.busy == 1 {
		m.runningKB += c.memory(f, w.tier)
	}
}

func (c *cluster) stopRunning(f *fnState, w *workerState) {
	m := &c.m
	m.running--
	if w.tier == function.TierNative {
		f.runningNative--
		if f.runningNative == 0 {
			m.fnsNative--
			if f.runningOther > 0 {
				m.fnsOther++
			}
		}
		if w.busy == 0 {
			m.runningKB -= c.memory(f, w.tier)
		}
	} else {
		f.runningOther--
		if f.runningOther == 0 && f.runningNative == 0 {
			m.fnsOther--
		}
		if w.busy == 0 {
			m.runningKB -= c.memory(f, w.tier)
		}
	}
	f.seen = int32(m.second) // it has been counted in this second, at its start or at the second's
}

// chance is uniform in [0, 1) and belongs to its arguments and the seed.
func (c *cluster) chance(parts ...uint64) float64 {
	h := c.seed + 0x9e3779b97f4a7c15
	for _, p := range parts {
		h ^= p + 0x9e3779b97f4a7c15
		h ^= h >> 30
		h *= 0xbf58476d1ce4e5b9
		h ^= h >> 27
		h *= 0x94d049bb133111eb
		h ^= h >> 31
	}
	return float64(h>>11) / (1 << 53)
}

// buildTime is the same for a function in every policy.
func (c *cluster) buildTime(fn int32) int64 {
	if c.own != nil && c.own[c.fns[fn].global].BuildTime > 0 {
		return int64(c.own[c.fns[fn].global].BuildTime)
	}
	return int64(c.model.BuildTimes[int(c.chance(5, uint64(c.fns[fn].global))*float64(len(c.model.BuildTimes)))])
}
