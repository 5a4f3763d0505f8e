// Package pool keeps the workers of a node: which are starting, idle, busy and stopping, in
// which order idle ones are used, expire and are evicted, and how much memory they reserve.
//
// It decides nothing about invocations or rungs, reads no clock and starts no worker: it is
// the bookkeeping under the engine, made of slices and intrusive lists so that no
// event allocates once they have grown.
package pool

import "github.com/cloudjit/cloudjit/internal/ladder"

type (
	// WorkerID is the index of a worker; it is used again after the worker is gone.
	WorkerID int32
	// GroupID is the index of a group: the workers that may stand in for each other, those of
	// one revision.
	GroupID int32
)

// None is no worker.
const None WorkerID = -1

// State of a worker.
type State uint8

const (
	// Absent is an index without a worker.
	Absent State = iota
	// Starting: it takes nothing yet.
	Starting
	// Checking: what it is to run is looked at first, which takes its memory and much longer than a start. It
	// takes nothing yet, and nobody waits for it.
	Checking
	// Ready: it takes invocations, unless all slots are busy or it drains.
	Ready
	// Stopping: it was told to stop, and its memory is not free yet.
	Stopping
)

// list says in which of its group's lists a ready worker is.
type list uint8

const (
	unlisted list = iota // all slots are busy, or it drains
	idleList
	partialList
)

// Worker is one entry of the table.
type Worker struct {
	prev, next       WorkerID // in the group's list
	lruPrev, lruNext WorkerID // among all idle workers of the node
	Group            GroupID
	// Busy and Slots count invocations that it runs, and may run, at once.
	Busy, Slots int32
	// Running heads the caller's list of those invocations; the pool does not touch it
	// but for setting it to -1 at the start.
	Running int32
	// MiB is the memory that it reserves.
	MiB int32
	// Served counts invocations since the start.
	Served int32
	State  State
	list   list
	// Draining: it takes nothing more.
	Draining bool
	// Why it drains: a note of the caller.
	Why uint8
	// Rung and Recording are how it runs.
	Rung      ladder.ID
	Recording ladder.Recording
	// Check: it is the check of an artifact.
	Check bool
	// late: its start takes longer than it should; see Late.
	late bool
	// Since is a time of the caller's, ns.
	Since int64
	// expiry is when an idle worker's keep-alive ends, ns.
	expiry int64
}

// group heads the lists of one revision.
type group struct {
	idle, idleTail WorkerID // most recently used first
	partial        WorkerID // some slots busy, some free
	live           int32    // starting, checking, ready and stopping
	starting       int32
	checking       int32
	late           int32 // of those that start
	stopping       int32
	idles          int32
	kept           int32 // MiB of the idle worker that was used last, if all that are ready are idle
	// at is the time in the heap of expiries, not later than the first that is due; slot is
	// the heap's index of the group, -1 if it is not there.
	at   int64
	slot int32
	// sorted: no worker nearer to the head expires before one nearer to the tail.
	sorted bool
}

// Pool is the workers of one node. The zero value is not ready; see New.
type Pool struct {
	workers []Worker
	free    WorkerID // chain of absent entries through next
	groups  []group
	heap    []GroupID

	lru, lruTail WorkerID // the longest idle first; only kept under a budget

	budget   int64 // MiB, 0: none
	reserved int64 // MiB of all workers
	stopping int64 // MiB of those that stop
	idle     int64 // MiB of those that are idle
	kept     int64 // MiB of one idle worker of each group of which none is busy
	live     int
	starting int
	late     int
}

// New is an empty pool without a budget.
func New() *Pool {
	return &Pool{free: None, lru: None, lruTail: None}
}

// Grow makes room for groups up to g.
func (p *Pool) Grow(g GroupID) {
	for len(p.groups) <= int(g) {
		p.groups = append(p.groups, group{idle: None, idleTail: None, partial: None, slot: -1, sorted: true})
	}
}

// Get is the worker with an identifier, or nil if there is none. The pointer is good until the next Start.
func (p *Pool) Get(id WorkerID) *Worker {
	if uint(id) >= uint(len(p.workers)) || p.workers[id].State == Absent {
		return nil
	}
	return &p.workers[id]
}

// Start adds a worker that is starting. Memory is reserved at once, budget or not: ask Fits first.
func (p *Pool) Start(g GroupID, rung ladder.ID, recording ladder.Recording, mib, slots int32) WorkerID {
	id := p.free
	if id == None {
		id = WorkerID(len(p.workers))
		p.workers = append(p.workers, Worker{})
	} else {
		p.free = p.workers[id].next
	}
	p.workers[id] = Worker{
		prev: None, next: None, lruPrev: None, lruNext: None, Running: -1,
		Group: g, Slots: max(slots, 1), MiB: mib, State: Starting, Rung: rung, Recording: recording,
	}
	gr := &p.groups[g]
	gr.live++
	gr.starting++
	p.live++
	p.starting++
	p.reserved += int64(mib)
	return id
}

// Check says that a worker that starts is checking for a while.
func (p *Pool) Check(id WorkerID) {
	w := &p.workers[id]
	p.unstart(w)
	w.State, w.Check = Checking, true
	p.groups[w.Group].checking++
}

// unstart takes a worker that was not ready yet out of the counts.
func (p *Pool) unstart(w *Worker) {
	switch w.State {
	case Starting:
		p.groups[w.Group].starting--
		p.starting--
		if w.late {
			w.late = false
			p.groups[w.Group].late--
			p.late--
		}
	case Checking:
		p.groups[w.Group].checking--
	}
}

// Ready says that a starting worker takes invocations. It is in no list before Park or Share.
func (p *Pool) Ready(id WorkerID) {
	w := &p.workers[id]
	p.unstart(w)
	w.State = Ready
	p.recount(w.Group)
}

// Late notes that the start of a worker takes longer than it should, until it is no start any more.
func (p *Pool) Late(id WorkerID) {
	if w := &p.workers[id]; w.State == Starting && !w.late {
		w.late = true
		p.groups[w.Group].late++
		p.late++
	}
}

// Pick is the worker of a group to be used next: one that is busy and has a free slot, else
// the one that was idle for the shortest time; None if there is none.
func (p *Pool) Pick(g GroupID) WorkerID {
	gr := &p.groups[g]
	if gr.partial != None {
		return gr.partial
	}
	return gr.idle
}

// Acquire takes one slot of a ready worker.
func (p *Pool) Acquire(id WorkerID) {
	w := &p.workers[id]
	w.Busy++
	w.Served++
	switch {
	case w.Busy == w.Slots || w.Draining:
		p.unlist(id, w)
	case w.list != partialList:
		p.unlist(id, w)
		p.share(id, w)
	}
}

// Release gives one slot back. The worker keeps its list: see Park, Share and Stop.
func (p *Pool) Release(id WorkerID) { p.workers[id].Busy-- }

// Drain lets a worker take nothing more.
func (p *Pool) Drain(id WorkerID) {
	w := &p.workers[id]
	w.Draining = true
	p.unlist(id, w)
}

// Share lists a busy worker that has a free slot.
func (p *Pool) Share(id WorkerID) {
	w := &p.workers[id]
	if w.list == unlisted {
		p.share(id, w)
	}
}

func (p *Pool) share(id WorkerID, w *Worker) {
	gr := &p.groups[w.Group]
	w.list = partialList
	w.prev, w.next = None, gr.partial
	if gr.partial != None {
		p.workers[gr.partial].prev = id
	}
	gr.partial = id
}

// Park makes a ready worker without invocations idle until expiry.
func (p *Pool) Park(id WorkerID, expiry int64) {
	w := &p.workers[id]
	if w.list != unlisted {
		p.unlist(id, w)
	}
	gr := &p.groups[w.Group]
	w.list, w.expiry = idleList, expiry
	w.prev, w.next = None, gr.idle
	if gr.idle != None {
		head := &p.workers[gr.idle]
		head.prev = id
		if head.expiry > expiry {
			gr.sorted = false
		}
	} else {
		gr.idleTail = id
		gr.sorted = true
	}
	gr.idle = id
	gr.idles++
	p.idle += int64(w.MiB)
	if p.budget > 0 {
		p.lruAppend(id, w)
	}
	p.recount(w.Group)
	if gr.slot < 0 || expiry < gr.at {
		p.schedule(w.Group, expiry)
	}
}

// Stop moves a starting or ready worker to stopping. Its memory stays reserved until Gone.
func (p *Pool) Stop(id WorkerID) {
	w := &p.workers[id]
	if w.State == Stopping {
		return
	}
	p.unlist(id, w)
	p.unstart(w)
	w.State = Stopping
	p.groups[w.Group].stopping++
	p.stopping += int64(w.MiB)
	p.recount(w.Group)
}

// Gone removes a worker, whatever its state, and frees its memory and identifier.
func (p *Pool) Gone(id WorkerID) {
	w := &p.workers[id]
	gr := &p.groups[w.Group]
	switch w.State {
	case Absent:
		return
	case Starting, Checking:
		p.unstart(w)
	case Stopping:
		gr.stopping--
		p.stopping -= int64(w.MiB)
	}
	p.unlist(id, w)
	gr.live--
	p.live--
	p.reserved -= int64(w.MiB)
	p.recount(w.Group)
	*w = Worker{next: p.free}
	p.free = id
}

// unlist takes a worker out of the list it is in, if any.
func (p *Pool) unlist(id WorkerID, w *Worker) {
	if w.list == unlisted {
		return
	}
	gr := &p.groups[w.Group]
	if w.next != None {
		p.workers[w.next].prev = w.prev
	} else if w.list == idleList {
		gr.idleTail = w.prev
	}
	switch {
	case w.prev != None:
		p.workers[w.prev].next = w.next
	case w.list == idleList:
		gr.idle = w.next
	default:
		gr.partial = w.next
	}
	if w.list == idleList {
		gr.idles--
		p.idle -= int64(w.MiB)
		if p.budget > 0 {
			p.lruRemove(w)
		}
	}
	w.list, w.prev, w.next = unlisted, None, None
	p.recount(w.Group)
}

// FirstIdle is the most recently used idle worker of a group, None if there is none; NextIdle
// is the one used before it. Between the two calls the worker may be stopped: ask first.
func (p *Pool) FirstIdle(g GroupID) WorkerID { return p.groups[g].idle }

// NextIdle is the idle worker of the same group that was used before this one.
func (p *Pool) NextIdle(id WorkerID) WorkerID { return p.workers[id].next }

// FirstPartial is a busy worker of a group with a free slot; see NextPartial.
func (p *Pool) FirstPartial(g GroupID) WorkerID { return p.groups[g].partial }

// NextPartial is another one.
func (p *Pool) NextPartial(id WorkerID) WorkerID { return p.workers[id].next }

// Idle reports whether the worker is in the list of idle ones.
func (w *Worker) Idle() bool { return w.list == idleList }

// Live, InStart, Idles and Working count the workers of a group: all, starting, idle, and those that are
// none of these and do not stop. IsLate reports whether one's start is late.
func (p *Pool) Live(g GroupID) int32    { return p.groups[g].live }
func (p *Pool) InStart(g GroupID) int32 { return p.groups[g].starting }
func (p *Pool) IsLate(g GroupID) bool   { return p.groups[g].late > 0 }
func (p *Pool) Idles(g GroupID) int32   { return p.groups[g].idles }
func (p *Pool) Working(g GroupID) int32 {
	gr := &p.groups[g]
	return gr.live - gr.starting - gr.checking - gr.stopping - gr.idles
}

// Workers counts all workers of the node; Starting those that start, LateStarts those of them that are late.
func (p *Pool) Workers() int    { return p.live }
func (p *Pool) Starting() int   { return p.starting }
func (p *Pool) LateStarts() int { return p.late }

// Cap is one more than the largest identifier ever given.
func (p *Pool) Cap() int { return len(p.workers) }
