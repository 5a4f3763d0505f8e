package sim

import (
	"cmp"
	"math/bits"
	"slices"
)

// eventKind is what is due.
type eventKind uint8

const (
	dueFinish   eventKind = iota // id: invocation
	dueReady                     // id: worker
	dueExit                      // id: worker
	dueMetadata                  // id: revision
	dueBuilt                     // id: build
	dueAdded                     // id: revision
	dueSamples                   // id: revision
)

// event is something that happens at a time. Equal times are taken in order of their
// sequence numbers, which are those of their scheduling; the kind is in the lowest bits.
type event struct {
	at  int64
	seq uint64
	id  int32
}

const kindBits = 3

func (e *event) kind() eventKind { return eventKind(e.seq & (1<<kindBits - 1)) }

func (e *event) before(o *event) bool {
	return e.at < o.at || e.at == o.at && e.seq < o.seq
}

// queue orders events by (time, sequence). It is a calendar before a heap: the days of the
// next 8.6 seconds, of a millisecond each, hold unsorted lists; a day is sorted when it comes.
// What is later waits in the heap until its day. Most invocations end within seconds, and cost
// some 30 ns here where a heap alone takes 130.
//
// Times never go backwards: an event is not scheduled before the last one taken.
type queue struct {
	seq uint64

	today   []event // sorted, from first on
	first   int
	day     int64           // number of today
	days    [calendar]int32 // heads of the lists of the days after today, by number mod calendar
	filled  [calendar / 64]uint64
	counted int // events in days
	nodes   []node
	free    int32
	later   eventHeap
	// soon has what came too far before the end of today to be inserted: next turns to the day of
	// the first event that it knows of, and everything scheduled before that day falls into today.
	soon eventHeap
}

type node struct {
	event
	next int32
}

const (
	dayBits  = 20 // a day is 2^20 ns
	calendar = 1 << 13
)

func newQueue() *queue {
	q := &queue{free: -1}
	for i := range q.days {
		q.days[i] = -1
	}
	return q
}

// next is the time of the first event, or never.
func (q *queue) next() int64 {
	if len(q.soon) > 0 {
		if q.first < len(q.today) {
			return min(q.soon[0].at, q.today[q.first].at)
		}
		return q.soon[0].at
	}
	if q.first < len(q.today) {
		return q.today[q.first].at
	}
	if !q.turn() {
		return never
	}
	return q.today[q.first].at
}

// pop takes the first event; there must be one, which next has said.
func (q *queue) pop() event {
	if len(q.soon) > 0 && (q.first == len(q.today) || q.soon[0].before(&q.today[q.first])) {
		return q.soon.pop()
	}
	e := q.today[q.first]
	q.first++
	return e
}

func (q *queue) push(at int64, kind eventKind, id int32) {
	q.seq++
	e := event{at, q.seq<<kindBits | uint64(kind), id}
	day := at >> dayBits
	switch {
	case day <= q.day:
		q.insert(e)
	case day < q.day+calendar:
		i := q.free
		if i < 0 {
			i = int32(len(q.nodes))
			q.nodes = append(q.nodes, node{})
		} else {
			q.free = q.nodes[i].next
		}
		slot := day & (calendar - 1)
		q.nodes[i] = node{e, q.days[slot]}
		q.days[slot] = i
		q.filled[slot/64] |= 1 << (slot % 64)
		q.counted++
	default:
		q.later.push(e)
	}
}

// insertLimit is how many events of today make room for one: beyond that, a heap is faster.
const insertLimit = 64

// insert puts an event into today, behind what is not later.
func (q *queue) insert(e event) {
	if n := len(q.today); n-q.first > insertLimit && e.before(&q.today[n-insertLimit]) {
		q.soon.push(e)
		return
	}
	q.today = append(q.today, e)
	i := len(q.today) - 1
	for i > q.first && e.before(&q.today[i-1]) {
		q.today[i] = q.today[i-1]
		i--
	}
	q.today[i] = e
}

// turn goes to the next day with an event; false if there is none at all.
func (q *queue) turn() bool {
	day := int64(-1)
	if q.counted > 0 {
		day = q.nextFilled()
	}
	if len(q.later) > 0 {
		if d := q.later[0].at >> dayBits; day < 0 || d < day {
			day = d
		}
	}
	if day < 0 {
		return false
	}
	q.day = day
	q.today, q.first = q.today[:0], 0
	slot := day & (calendar - 1)
	for i := q.days[slot]; i >= 0; {
		n := &q.nodes[i]
		q.today = append(q.today, n.event)
		q.counted--
		n.next, q.free, i = q.free, i, n.next
	}
	q.days[slot] = -1
	q.filled[slot/64] &^= 1 << (slot % 64)
	for len(q.later) > 0 && q.later[0].at>>dayBits == day {
		q.today = append(q.today, q.later.pop())
	}
	q.sort()
	return true
}

// sort orders a day that has just come. Its list has the last scheduled first; a burst lets a
// million events fall due at one time, which must not be inserted one by one.
func (q *queue) sort() {
	slices.Reverse(q.today)
	if len(q.today) > 32 {
		slices.SortFunc(q.today, func(a, b event) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.seq, b.seq)) })
		return
	}
	all := q.today
	for i := range all {
		q.today = all[:i]
		q.insert(all[i])
	}
}

// nextFilled is the number of the first day after today that has a list; there must be one.
func (q *queue) nextFilled() int64 {
	from := (q.day + 1) & (calendar - 1)
	word := from / 64
	set := q.filled[word] &^ (1<<(from%64) - 1)
	for n := 0; ; n++ {
		if set != 0 {
			slot := word*64 + int64(bits.TrailingZeros64(set))
			return q.day + 1 + (slot-from)&(calendar-1)
		}
		word = (word + 1) % (calendar / 64)
		set = q.filled[word]
	}
}

// eventHeap is a heap with four children to a node.
type eventHeap []event

func (q *eventHeap) push(e event) {
	*q = append(*q, e)
	h := *q
	i := len(h) - 1
	for i > 0 {
		p := (i - 1) / 4
		if !e.before(&h[p]) {
			break
		}
		h[i] = h[p]
		i = p
	}
	h[i] = e
}

func (q *eventHeap) pop() event {
	h := *q
	top := h[0]
	last := len(h) - 1
	e := h[last]
	h = h[:last]
	*q = h
	if last == 0 {
		return top
	}
	i := 0
	for {
		c := 4*i + 1
		if c >= last {
			break
		}
		best := c
		for j := c + 1; j < min(c+4, last); j++ {
			if h[j].before(&h[best]) {
				best = j
			}
		}
		if !h[best].before(&e) {
			break
		}
		h[i] = h[best]
		i = best
	}
	h[i] = e
	return top
}
