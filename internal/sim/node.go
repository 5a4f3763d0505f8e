package sim

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
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
	params policy.Params
	seed   uint64

	fns         []fnState
	climbs      []*climb
	kb          []int32    // memory of a worker, by function and way: see memory
	stride      int        // ways of a function in kb and overheads
	overheads   []overhead // of invocations, by function and way; nil: those of its climb
	invocations []call
	freeCalls   []int32
	workers     []workerState
	builds      []build
	freeBuilds  []int32
	checks      map[int32]ladder.Cost // what comparing takes, of the workers that check
	baseline    bool                  // nothing is optimized, and nothing was
	own         []FunctionOptions
	record      func(int64, engine.Event, []engine.Action)
	made        made    // by all nodes; nil: there is one
	touched     []int32 // functions whose workers changed, of several nodes: see fleet
	m           metrics
	failure     error
}

// fnState is a function's.
type fnState struct {
	runningNative int32
	runningOther  int32
	seen          int32 // second in which it last ran, for active counts
	climb         int32
	global        int32  // in the trace's table
	metadataDue   uint64 // sequence number of the event that brings the tracer's findings, 0: none
	residentKBms  int64  // whole, so that the sum does not depend on the order of additions
	version       [ladder.RecordingCount]uint32
	ready, had    uint16 // rungs above the first whose artifact serves, and ever did, by bit
	added         bool
	answered      bool // once at least
	touched       bool
	optimized     bool
	wasOptimized  bool
	computes      float64 // share of its invocations' time; 0: not known
	use           FunctionUse
}

// call is an invocation between its arrival and its end.
type call struct {
	arrived  int64
	duration int64
	assigned int64
	fn       int32
	worker   int32
	deopt    bool
}

// workerState is a worker's.
type workerState struct {
	started int64
	// cpu is what it took since clock was due last, ns.
	cpu   int64
	clock engine.Clock
	// weighed is what it used when scale said that it was measured, MB, until the engine is told; idleSince when it became idle.
	weighed   float64
	scale     engine.Scale
	idleSince int64
	served    int32
	fn        int32
	busy      int32
	way       way
	native    bool
	column    uint8
	ready     bool
	// unwanted: it was told to stop before it was ready.
	unwanted bool
	alive    bool
}

// build is one that runs.
type build struct {
	fn   int32
	rung ladder.ID
	cost ladder.Cost
	// fetched: another node makes it, or has made it.
	fetched bool
}

func newCluster(t trace.Trace, o *Options, p policy.Policy, foreseen []foresight, part partition, record func(int64, engine.Event, []engine.Action)) *cluster {
	m := o.Model
	limit := func(n int) int32 {
		if n == 0 {
			return math.MaxInt32
		}
		return int32(n)
	}
	config := engine.NodeConfig{
		MemoryMiB:     int64(math.Round(m.MemoryMB * 1e6 / (1 << 20))),
		Builders:      limit(m.Builders),
		LightBuilders: limit(m.LightBuilders),
		ArtifactMB:    int64(math.Ceil(m.ArtifactMB)),
		TraceLimit:    int32(m.TraceLimit),
		Starts:        o.Node.Starts,
		Concurrency:   o.Node.Concurrency,
		QueueLimit:    o.Node.QueueLimit,
		Patience:      o.Node.Patience,
	}
	c := &cluster{
		part: part.number, mask: 1<<part.shift - 1, shift: part.shift,
		engine: engine.New(config, p),
		wake:   never, queue: newQueue(), model: m, params: o.Params, seed: o.Trace.Seed, own: o.Functions, record: record, checks: map[int32]ladder.Cost{},
	}
	_, c.baseline = p.(*policy.Never)
	if oracle, ok := p.(*oracle); ok {
		oracle.watch(c)
	}
	columns := o.columns()
	c.m.init(int((t.Length()+time.Second-1)/time.Second), columns)
	functions := t.Functions()
	known := map[*ladder.Ladder]int32{}
	for i := int(c.part); i < len(functions); i += 1 << c.shift {
		l := o.ladderOf(int32(i))
		n, ok := known[l]
		if !ok {
			n = int32(len(c.climbs))
			known[l] = n
			c.climbs = append(c.climbs, newClimb(l, &m, columns))
			c.stride = max(c.stride, len(l.Rungs)*ladder.RecordingCount)
		}
		f := fnState{global: int32(i), climb: n, seen: -1}
		if o.Functions != nil {
			f.computes = o.Functions[i].Computes
		}
		c.fns = append(c.fns, f)
	}
	if record != nil { // a log begins with the limits
		c.step(engine.Event{Kind: engine.EventConfigured, NodeConfig: &config})
	}
	c.kb = make([]int32, len(c.fns)*c.stride)
	if slices.ContainsFunc(c.own, func(f FunctionOptions) bool { return len(f.Overhead)+len(f.FirstOverhead) > 0 }) {
		c.overheads = make([]overhead, len(c.kb))
	}
	for i := range c.fns {
		global := c.fns[i].global
		c.weigh(int32(i), functions[global].MemoryMB)
		c.burden(int32(i))
		if c.own != nil && c.own[global].Added > 0 {
			c.queue.push(int64(c.own[global].Added), dueAdded, int32(i))
			continue
		}
		var f *foresight
		if foreseen != nil {
			f = &foreseen[global]
		}
		c.addFunction(int32(i), f)
	}
	if m.ArtifactMB > 0 { // of what was there from the start, too
		c.step(engine.Event{Kind: engine.EventConfigured, NodeConfig: &config})
	}
	return c
}

// run takes a batch of arrivals in order of time.
func (c *cluster) run(batch []trace.Invocation) error {
	for i := range batch {
		inv := &batch[i]
		if inv.Function&c.mask != c.part {
			continue
		}
		c.reach(int64(inv.At))
		c.arrive(inv)
	}
	return c.failure
}

// reach lets everything happen until an arrival's time.
func (c *cluster) reach(at int64) {
	if at >= c.queue.next() || at >= c.wake {
		c.advance(at)
	}
	c.m.sampleUntil(c, at)
	c.now = at
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
	if !c.fns[fn].added { // of a part of a recording, that began later than the function
		c.addFunction(fn, nil)
	}
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
		checked, isCheck := c.checks[e.id]
		if isCheck {
			delete(c.checks, e.id)
		}
		if w.unwanted {
			c.gone(w)
			c.step(engine.Event{Kind: engine.EventWorkerFailed, Worker: engine.WorkerID(e.id), Failure: engine.FailureStopped})
			return
		}
		w.ready = true
		w.clock.Ready(c.now)
		c.touch(w.fn)
		ev := engine.Event{Kind: engine.EventWorkerReady, Worker: engine.WorkerID(e.id)}
		if isCheck && checked.Wall > 0 {
			ev.Version = 1
			if c.own != nil { // as of builds, the engine learns what was measured
				ev.Cost = checked
			}
		}
		c.step(ev)
	case dueExit:
		w := &c.workers[e.id]
		switch x := w.way.recording(); {
		case x.Least() > 0 && w.served == 0:
		case x.AtEnd(), x == ladder.RecordingMetadata && c.fns[w.fn].metadataDue != 0: // the tracer writes at its end, too
			c.recorded(w.fn, x)
		}
		c.gone(w)
		c.step(engine.Event{Kind: engine.EventWorkerExited, Worker: engine.WorkerID(e.id), MemoryMB: c.used(w)})
	case dueMetadata:
		if c.fns[e.id].metadataDue == e.seq>>kindBits {
			c.recorded(e.id, ladder.RecordingMetadata)
		}
	case dueBuilt:
		c.built(e.id)
	case dueAdded:
		if !c.fns[e.id].added {
			c.addFunction(e.id, nil)
		}
	case dueSamples:
		c.step(engine.Event{Kind: engine.EventSamples, Revision: engine.RevisionID(e.id), Version: 1})
	}
}

// sampleSettle is how long after the first answer a node gives its engine samples, with which what serves without having been compared is
// (internal/node).
const sampleSettle = 30 * time.Second

// pauseAfter is how long a worker is idle when a node pauses and may measure it (workers.pauseAfter in internal/config).
const pauseAfter = 100 * time.Millisecond

// answer notes that a function has answered.
func (c *cluster) answer(fn int32) {
	f := &c.fns[fn]
	if !f.answered && f.ready&c.climbs[f.climb].compared != 0 {
		c.queue.push(c.now+int64(sampleSettle), dueSamples, fn)
	}
	f.answered = true
}

// recorded gives the engine what a worker has recorded.
func (c *cluster) recorded(fn int32, x ladder.Recording) {
	f := &c.fns[fn]
	f.version[x]++
	if x == ladder.RecordingMetadata {
		f.metadataDue = 0
	}
	c.step(engine.Event{Kind: engine.EventRecording, Revision: engine.RevisionID(fn), Recording: x, Version: f.version[x]})
}

func (c *cluster) finish(id int32) {
	inv := &c.invocations[id]
	w := &c.workers[inv.worker]
	f := &c.fns[inv.fn]
	c.touch(inv.fn)
	w.busy--
	w.idleSince = c.now
	w.scale.Ended()
	c.stopRunning(f, w)
	ev := engine.Event{Kind: engine.EventFinished, Invocation: engine.InvocationID(id), Worker: engine.WorkerID(inv.worker), Outcome: function.OutcomeOK, CPU: c.computed(w, c.now-inv.assigned), MemoryMB: w.weighed}
	w.weighed = 0
	if inv.deopt {
		ev.Outcome = function.OutcomeDeoptimized
		inv.deopt = false
		f.use.Deopts++
		c.m.deopts++
		c.step(ev) // the engine says what becomes of the invocation
		return
	}
	c.answer(inv.fn)
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
			c.build(a)
		case engine.ActionRecord:
			c.pipelineMoved(a)
		case engine.ActionDrop:
			c.m.dropped++
		case engine.ActionReject:
			c.m.rejected++
			c.freeCalls = append(c.freeCalls, int32(a.Invocation))
		case engine.ActionFail:
			c.m.failed++
			c.freeCalls = append(c.freeCalls, int32(a.Invocation))
		case engine.ActionRetry, engine.ActionCancelBuild, engine.ActionPrepared:
			// A retried invocation is assigned again, to a tracing worker; its latency counts from its
			// arrival. A build that is not wanted any more goes on to its end.
		case engine.ActionIllegal:
			c.failure = fmt.Errorf("simulate: the engine refused %v at %v: %v", ev.Kind, time.Duration(c.now), a.Reason)
		}
	}
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
