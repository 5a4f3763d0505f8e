// Package engine is the pure core of a node: one function, Step, takes the time and an event
// and returns what has to be done. It brings queues, placement, warm workers and the
// pipelines of all revisions together.
//
// It reads no clock, does no I/O, starts no goroutine and writes no log; the same events at
// the same times give the same actions. internal/node carries the actions out on real workers,
// internal/sim on modelled durations. No event allocates once the slices have grown, but
// those that add functions and revisions.
package engine

import (
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/pool"
)

const (
	noInvocation InvocationID = -1
	noRevision   RevisionID   = -1
)

// Engine is the state of a node. It is not safe for concurrent use: one owner calls Step.
type Engine struct {
	out []Action
	now int64

	pool      *pool.Pool
	policy    policy.Policy
	observer  policy.Observer // nil if the policy does not learn
	config    NodeConfig
	functions []fn
	revisions []revision
	inv       []invocation

	inflight int32 // invocations that wait or run
	waiting  int32
	starved  revisionList // revisions that want to start a worker and cannot, in their turn
	starts   []begun      // workers that start, under a limit of starts
	// memoryShort: the head of starved waits for memory, not for a start to end.
	memoryShort bool

	builds     []queued // oldest first
	lastBuilt  [weights]lastBuild
	building   [weights]int32 // builds that run, those included that are being cancelled
	checks     [lanes]checks
	disk       float64 // MB of all artifacts that are ready
	ladders    []learnt
	timers     timers
	wake       int64 // the earliest ActionWake that was asked for and has not come
	view       policy.View
	full       int64 // until when (ns) the machine counts as full
	drain      bool
	drainedOut bool
}

// fn is a function.
type fn struct {
	used, removed bool
	inflight      int32
	waiting       int32
	ahead         int32      // of its builds, while the next one is looked for
	revs          RevisionID // head of its revisions
	config        FunctionConfig
	recent        policy.Window
}

// invocation is one slot of the table; waiting ones are in a queue of their revision, running
// ones in the list of their worker.
type invocation struct {
	at         int64 // since when it waits, or runs
	prev, next InvocationID
	rev        RevisionID
	worker     WorkerID
	state      invState
}

type invState uint8

const (
	invFree invState = iota
	invWaiting
	invRetrying // waits for a recorder
	invRunning
)

// revision is a revision. What every invocation touches stands first, in two cache lines.
type revision struct {
	id       RevisionID
	fn       FunctionID
	slots    int32
	recorder WorkerID // the worker that records; a revision has one at most
	queue    queue    // any worker may take these
	retries  queue    // only a recorder takes these
	used     bool
	removed  bool
	starved  bool
	// best is the rung of new workers. It follows from the phases of the artifacts and from what the
	// policy wants, and is kept here because every invocation asks for it: see climbed.
	best ladder.ID
	// recording: the recorder that there is goes on. Kept like best.
	recording   bool
	recorded    [ladder.RecordingCount]bool // as View.Recorded
	taken       int32                       // invocations that the recorder may still be given
	answered    int32                       // and that it has answered
	invocations uint64
	busy        int64
	cpu         int64  // that was measured of its workers, ns
	service     int64  // smoothed duration of an invocation, ns
	warm        int64  // the same of those that were not the first of their worker
	vary        int64  // how far they are from that, smoothed
	later       uint64 // how many of these there were
	colds       uint64
	added       int64
	again       int64 // when a worker is to be started ahead of the next invocation; 0 and below: not
	views       []policy.RungView
	ladder      *ladder.Ladder
	code        [ladder.Max]ladder.ID // of each rung, the lowest whose workers run the same code

	asked          int64 // when the policy is asked again whether one more starts; 0: when one more waits
	startNotBefore int64
	startFailures  int32      // in a row
	initFailures   int32      // in a row: the function's own
	initLimit      int64      // ns, of the next start
	initMost, wait int64      // as in RevisionConfig
	giveUp         int64      // when those that wait are looked at; 0: none waits
	proven         bool       // a worker of it came up
	follows        bool       // another node owns its pipeline
	held           bool       // it would have started more workers, but for its own share
	rank           rank       // in starved
	sibling        RevisionID // next revision of the function
	starvedPrev    RevisionID
	starvedNx      RevisionID
	*climb         // set as long as the revision is used
}

// New is an engine without functions.
func New(config NodeConfig, p policy.Policy) *Engine {
	e := &Engine{
		pool:    pool.New(),
		policy:  p,
		wake:    pool.Never,
		starved: revisionList{head: noRevision, tail: noRevision},
	}
	e.observer, _ = p.(policy.Observer)
	e.configure(config)
	return e
}

// Step applies an event at a time that is not before the last one's, appends what has to be
// done to dst and returns it. The actions are to be carried out in their order.
func (e *Engine) Step(now int64, ev Event, dst []Action) []Action {
	e.now, e.out = now, dst
	switch ev.Kind {
	case EventArrived:
		e.arrived(ev)
	case EventFinished:
		e.finished(ev)
	case EventWorkerReady:
		e.workerReady(ev)
	case EventWorkerExited:
		e.workerExited(ev)
	case EventWoke:
		e.woke()
	default:
		e.stepRare(ev)
	}
	e.startChecks()
	if at := min(e.pool.NextExpiry(), e.timers.next()); at < e.wake {
		e.wake = at
		e.emit(Action{Kind: ActionWake, At: at})
	}
	if e.drain {
		e.checkDrained()
	}
	out := e.out
	e.out = nil
	return out
}

// stepRare is the part of Step that no warm invocation takes.
func (e *Engine) stepRare(ev Event) {
	switch ev.Kind {
	case EventFunctionSet:
		e.functionSet(ev)
	case EventFunctionRemoved:
		e.functionRemoved(ev)
	case EventRevisionAdded:
		e.revisionAdded(ev)
	case EventRevisionRemoved:
		e.revisionRemoved(ev)
	case EventCancelled:
		e.cancelled(ev)
	case EventWorkerFailed:
		e.workerFailed(ev)
	case EventRecording:
		e.recorded(ev)
	case EventBuildDone:
		e.buildDone(ev)
	case EventBuildFailed:
		e.buildFailed(ev)
	case EventStale:
		e.foundStale(ev)
	case EventSamples:
		e.sampled(ev)
	case EventOptimize:
		e.operatorOptimize(ev)
	case EventDeoptimize:
		e.operatorDeoptimize(ev)
	case EventConfigured:
		if ev.NodeConfig == nil {
			e.illegal(ev, ReasonMalformed)
			return
		}
		e.configure(*ev.NodeConfig)
		e.reconfigured()
	case EventDrain:
		e.startDrain()
	case EventAdopted:
		e.adopted(ev)
	case EventElsewhere:
		e.elsewhere(ev)
	case EventFell:
		e.fell(ev)
	default:
		e.illegal(ev, ReasonMalformed)
	}
}

func (e *Engine) emit(a Action) { e.out = append(e.out, a) }

// illegal says that an event changed nothing because it could not have happened.
func (e *Engine) illegal(ev Event, why Reason) {
	e.emit(Action{Kind: ActionIllegal, Reason: why, Revision: ev.Revision, Invocation: ev.Invocation, Worker: ev.Worker})
}

// revision is the revision of an identifier, or nil.
func (e *Engine) revision(id RevisionID) *revision {
	if uint(id) >= uint(len(e.revisions)) || !e.revisions[id].used {
		return nil
	}
	return &e.revisions[id]
}

// woke stops what has expired and looks again at what waited for the time.
func (e *Engine) woke() {
	if e.now >= e.wake {
		e.wake = pool.Never
	}
	for id := e.pool.Expired(e.now); id != pool.None; id = e.pool.Expired(e.now) {
		e.expire(id)
	}
	late := e.overdue()
	for e.timers.next() <= e.now {
		id := e.timers.pop()
		if e.revision(id) != nil {
			e.waited(id)
			e.admitAll(id)
			e.settle(id)
		}
	}
	if late && e.starved.head != noRevision {
		e.room()
	}
}

// startDrain stops what idles and what is built.
func (e *Engine) startDrain() {
	e.drain = true
	for id := range e.revisions {
		if !e.revisions[id].used {
			continue
		}
		e.stopIdle(RevisionID(id), ReasonDraining)
		r := &e.revisions[id]
		r.aside, r.again = ladder.RecordingNone, 0
		for rung := 1; rung < len(r.rungs); rung++ {
			// The state stays as it is: the build, or the check, starts again after a restart.
			e.endCheck(RevisionID(id), ladder.ID(rung), ReasonDraining)
			e.interrupt(RevisionID(id), ladder.ID(rung), ReasonDraining)
		}
	}
}

func (e *Engine) checkDrained() {
	if !e.drainedOut && e.inflight == 0 && e.building == [weights]int32{} && e.pool.Workers() == 0 {
		e.drainedOut = true
		e.emit(Action{Kind: ActionDrained})
	}
}
