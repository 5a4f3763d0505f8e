package store

import (
	"container/heap"
	"fmt"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
)

// QueueLimits bound the queue of asynchronous invocations. Zero values are the defaults.
type QueueLimits struct {
	// Events and Bytes (of payload) of one function that may wait or run: 100,000 and 256 MiB.
	Events int
	Bytes  int64
	// AllEvents and AllBytes are the same of all functions: 250,000 and 1 GiB.
	AllEvents int
	AllBytes  int64
	// Slots is how many may run at once: 576. Of what is free one function takes an eighth at most, and one at least:
	// 64 if it is alone, 32 of each of ten. RunBytes is how much payload may be in memory for that: 64 MiB, shared alike.
	Slots    int
	RunBytes int64
}

func (l *QueueLimits) defaults() {
	for _, d := range []struct {
		v  *int
		to int
	}{{&l.Events, 100_000}, {&l.AllEvents, 250_000}, {&l.Slots, 576}} {
		if *d.v == 0 {
			*d.v = d.to
		}
	}
	for _, d := range []struct {
		v  *int64
		to int64
	}{{&l.Bytes, 256 << 20}, {&l.AllBytes, 1 << 30}, {&l.RunBytes, 64 << 20}} {
		if *d.v == 0 {
			*d.v = d.to
		}
	}
}

// share is the part of what is free that one function takes at most.
const share = 8

// QueueFullError is an invocation for which the queue has no room.
type QueueFullError struct {
	Function function.Name
	// All: the room of all functions is used up, and not that of this one.
	All bool
	// Events and Bytes are what waits and runs, MaxEvents and MaxBytes what may.
	Events, MaxEvents int
	Bytes, MaxBytes   int64
}

func (e *QueueFullError) Error() string {
	whose := "of function " + string(e.Function)
	if e.All {
		whose = "of all functions"
	}
	return fmt.Sprintf("the queue is full: %d events with %d bytes %s are waiting, and %d with %d bytes may", e.Events, e.Bytes, whose, e.MaxEvents, e.MaxBytes)
}

// QueueRoom is what the queue holds of all functions, or of one, and what it may.
type QueueRoom struct {
	Events, MaxEvents int
	Bytes, MaxBytes   int64 // of payload
}

// Part is how full it is: 0 to 1.
func (u QueueRoom) Part() float64 {
	return max(float64(u.Events)/float64(max(u.MaxEvents, 1)), float64(u.Bytes)/float64(max(u.MaxBytes, 1)))
}

// use is what all functions have in the queue, and what the one has that is nearest to its bounds.
func (b *backlog) use() (all QueueRoom, nearest function.Name, its QueueRoom) {
	m := &b.limits
	all = QueueRoom{len(b.known) + b.promised, m.AllEvents, b.bytes + b.promisedBytes, m.AllBytes}
	its = QueueRoom{0, m.Events, 0, m.Bytes}
	for name, l := range b.lines {
		u := QueueRoom{l.events, m.Events, l.bytes, m.Bytes}
		if u.Part() > its.Part() || u.Part() == its.Part() && name < nearest {
			nearest, its = name, u
		}
	}
	return all, nearest, its
}

// backlog is what the queue has to do, by function, and whose turn it is: functions take turns, so that none waits for
// what another has queued before it. It is not safe for concurrent use, reads no clock and does no I/O.
type backlog struct {
	limits     QueueLimits
	lines      map[function.Name]*line
	known      map[uint64]*queued
	turns      []*line // those with something ready, the next first
	later      laterHeap
	bytes      int64
	taken      int
	takenBytes int64
	// promised is what was admitted and is not known yet.
	promised      int
	promisedBytes int64
	anyGone       bool
}

// line is what one function has in the queue.
type line struct {
	name       function.Name
	ready      []*queued // first in, first out
	inTurn     bool
	events     int // all, those admitted included
	bytes      int64
	taken      int
	takenBytes int64
}

// queued is one invocation.
type queued struct {
	seq   uint64
	size  int
	line  *line
	at    time.Time // not before
	taken bool
	held  bool // another node runs it, as far as this one knows
	gone  bool // it has ended on another node
	given bool // this node has begun to run it since it claimed it
}

func newBacklog(limits QueueLimits) *backlog {
	limits.defaults()
	return &backlog{limits: limits, lines: map[function.Name]*line{}, known: map[uint64]*queued{}}
}

func (b *backlog) line(name function.Name) *line {
	l := b.lines[name]
	if l == nil {
		l = &line{name: name}
		b.lines[name] = l
	}
	return l
}

// forget drops a line that has nothing.
func (b *backlog) forget(l *line) {
	if l.events == 0 && l.taken == 0 && !l.inTurn {
		delete(b.lines, l.name)
	}
}

// admit promises room for one more invocation, or says why there is none. The promise ends with endPromise.
func (b *backlog) admit(name function.Name, size int) error {
	l := b.line(name)
	all, allBytes := len(b.known)+b.promised, b.bytes+b.promisedBytes
	m := &b.limits
	defer b.forget(l)
	switch {
	case l.events >= m.Events || l.events > 0 && l.bytes+int64(size) > m.Bytes:
		return &QueueFullError{Function: name, Events: l.events, MaxEvents: m.Events, Bytes: l.bytes, MaxBytes: m.Bytes}
	case all >= m.AllEvents || all > 0 && allBytes+int64(size) > m.AllBytes:
		return &QueueFullError{Function: name, All: true, Events: all, MaxEvents: m.AllEvents, Bytes: allBytes, MaxBytes: m.AllBytes}
	}
	b.promise(l, size, 1)
	return nil
}

func (b *backlog) promise(l *line, size, n int) {
	l.events += n
	l.bytes += int64(n * size)
	b.promised += n
	b.promisedBytes += int64(n * size)
}

// endPromise ends what admit or promise began.
func (b *backlog) endPromise(name function.Name, size int) {
	l := b.line(name)
	b.promise(l, size, -1)
	b.forget(l)
}

// addHeld makes an invocation known that another node runs, as add does.
func (b *backlog) addHeld(seq uint64, name function.Name, size int) {
	if b.known[seq] != nil {
		return
	}
	b.enter(seq, name, size).held = true
}

func (b *backlog) enter(seq uint64, name function.Name, size int) *queued {
	l := b.line(name)
	q := &queued{seq: seq, size: size, line: l}
	b.known[seq] = q
	l.events++
	l.bytes += int64(size)
	b.bytes += int64(size)
	return q
}

// add makes an invocation known that may run from at on. One that is known already stays as it is.
func (b *backlog) add(seq uint64, name function.Name, size int, at, now time.Time) {
	if b.known[seq] != nil {
		return
	}
	q := b.enter(seq, name, size)
	q.at = at
	b.wait(q, now)
}

// wait puts an invocation where it belongs: to those that are ready, or to those that are not due.
func (b *backlog) wait(q *queued, now time.Time) {
	if q.at.After(now) {
		heap.Push(&b.later, q)
		return
	}
	q.line.ready = append(q.line.ready, q)
	if !q.line.inTurn {
		q.line.inTurn = true
		b.turns = append(b.turns, q.line)
	}
}

// next is the invocation whose turn it is, taken until again or remove; nil: there is none. Then when is when the next one
// is due; zero: nobody knows.
func (b *backlog) next(now time.Time) (q *queued, when time.Time) {
	for len(b.later) > 0 && (b.later[0].gone || !b.later[0].at.After(now)) {
		if q := heap.Pop(&b.later).(*queued); !q.gone {
			b.wait(q, now)
		}
	}
	b.forgetGone()
	for i, l := range b.turns {
		q := l.ready[0]
		if !b.mayTake(l, q.size) {
			continue
		}
		l.ready[0] = nil
		l.ready = l.ready[1:]
		copy(b.turns[i:], b.turns[i+1:]) // it is the last now, or has nothing more
		b.turns = b.turns[:len(b.turns)-1]
		if l.inTurn = len(l.ready) > 0; l.inTurn {
			b.turns = append(b.turns, l)
		} else {
			l.ready = nil
		}
		q.taken = true
		b.count(q, 1)
		return q, time.Time{}
	}
	if len(b.later) > 0 {
		when = b.later[0].at
	}
	return nil, when
}

// hold leaves an invocation that was taken to another node.
func (b *backlog) hold(q *queued) {
	if !q.taken {
		return
	}
	q.taken, q.held = false, true
	b.count(q, -1)
}

// unhold lets one that another node had wait for its turn here.
func (b *backlog) unhold(seq uint64, at, now time.Time) {
	if q := b.known[seq]; q != nil && q.held {
		q.held, q.at = false, at
		b.wait(q, now)
	}
}

// ended forgets an invocation that another node has ended.
func (b *backlog) ended(seq uint64) {
	q := b.known[seq]
	if q == nil || q.taken {
		return // who took it removes it
	}
	if !q.held {
		q.gone = true // it stands in a line, or among those that are not due
		b.anyGone = true
	}
	delete(b.known, seq)
	q.line.events--
	q.line.bytes -= int64(q.size)
	b.bytes -= int64(q.size)
	b.forget(q.line)
}

// forgetGone takes those that have ended on other nodes from the beginnings of the lines.
func (b *backlog) forgetGone() {
	if !b.anyGone {
		return
	}
	b.anyGone = false
	turns := b.turns[:0]
	for _, l := range b.turns {
		ready := l.ready[:0]
		for _, q := range l.ready {
			if !q.gone {
				ready = append(ready, q)
			}
		}
		clear(l.ready[len(ready):])
		if l.ready = ready; len(ready) > 0 {
			turns = append(turns, l)
			continue
		}
		l.inTurn, l.ready = false, nil
		b.forget(l)
	}
	clear(b.turns[len(turns):])
	b.turns = turns
}

// mayTake reports whether a function may run one more.
func (b *backlog) mayTake(l *line, size int) bool {
	free, freeBytes := b.limits.Slots-b.taken, b.limits.RunBytes-b.takenBytes
	if free <= 0 || b.taken > 0 && int64(size) > freeBytes {
		return false
	}
	return l.taken == 0 || l.taken < free/share && l.takenBytes+int64(size) <= freeBytes/share
}

func (b *backlog) count(q *queued, n int) {
	b.taken += n
	b.takenBytes += int64(n * q.size)
	q.line.taken += n
	q.line.takenBytes += int64(n * q.size)
}

// again puts back an invocation that was taken.
func (b *backlog) again(q *queued, at, now time.Time) {
	if !q.taken {
		return
	}
	q.taken = false
	b.count(q, -1)
	q.at = at
	b.wait(q, now)
}

// remove forgets an invocation that was taken.
func (b *backlog) remove(q *queued) {
	if !q.taken {
		return
	}
	q.taken = false
	b.count(q, -1)
	if q.seq != 0 {
		delete(b.known, q.seq)
		q.line.events--
		q.line.bytes -= int64(q.size)
		b.bytes -= int64(q.size)
	}
	b.forget(q.line)
}

// move gives the invocations other sequences; those that are not among them are gone, and get 0.
func (b *backlog) move(to map[uint64]uint64) {
	known := map[uint64]*queued{}
	for old, q := range b.known {
		if q.seq = to[old]; q.seq != 0 {
			known[q.seq] = q
			continue
		}
		q.line.events--
		q.line.bytes -= int64(q.size)
		b.bytes -= int64(q.size)
	}
	b.known = known
}

// laterHeap has those that are not due, the next first.
type laterHeap []*queued

func (h laterHeap) Len() int { return len(h) }
func (h laterHeap) Less(i, j int) bool {
	if !h[i].at.Equal(h[j].at) {
		return h[i].at.Before(h[j].at)
	}
	return h[i].seq < h[j].seq
}
func (h laterHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *laterHeap) Push(x any)   { *h = append(*h, x.(*queued)) }
func (h *laterHeap) Pop() any {
	old := *h
	q := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return q
}
