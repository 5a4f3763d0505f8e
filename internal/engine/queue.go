package engine

// queue is a list of waiting invocations, first in, first out; the links are in the invocations.
type queue struct {
	head, tail InvocationID
	n          int32
}

func (e *Engine) pushBack(q *queue, id InvocationID) {
	inv := &e.inv[id]
	inv.prev, inv.next = q.tail, noInvocation
	if q.n == 0 {
		inv.prev = noInvocation
		q.head = id
	} else {
		e.inv[q.tail].next = id
	}
	q.tail = id
	q.n++
}

// toFront makes a member of a queue its first.
func (e *Engine) toFront(q *queue, id InvocationID) {
	if q.head == id {
		return
	}
	e.remove(q, id)
	e.inv[id].next = q.head
	e.inv[q.head].prev = id
	q.head = id
	q.n++
}

func (e *Engine) remove(q *queue, id InvocationID) {
	inv := &e.inv[id]
	if inv.prev != noInvocation {
		e.inv[inv.prev].next = inv.next
	} else {
		q.head = inv.next
	}
	if inv.next != noInvocation {
		e.inv[inv.next].prev = inv.prev
	} else {
		q.tail = inv.prev
	}
	inv.prev, inv.next = noInvocation, noInvocation
	q.n--
}

// revisionList is a list of starved revisions; the links are in the revisions.
type revisionList struct {
	head, tail RevisionID
}

// starve puts a revision among those that wait for room, behind all that have the same right or a better one.
// If it waits already, it stays where it is unless its right has changed.
func (e *Engine) starve(id RevisionID) {
	r := &e.revisions[id]
	rank := e.rankOf(r)
	if r.starved {
		if r.rank == rank {
			return
		}
		e.unstarve(id)
	}
	r.starved, r.rank = true, rank
	after := e.starved.tail
	for after != noRevision && e.revisions[after].rank > rank {
		after = e.revisions[after].starvedPrev
	}
	r.starvedPrev = after
	if after != noRevision {
		r.starvedNx = e.revisions[after].starvedNx
		e.revisions[after].starvedNx = id
	} else {
		r.starvedNx = e.starved.head
		e.starved.head = id
	}
	if r.starvedNx != noRevision {
		e.revisions[r.starvedNx].starvedPrev = id
	} else {
		e.starved.tail = id
	}
}

func (e *Engine) unstarve(id RevisionID) {
	r := &e.revisions[id]
	if !r.starved {
		return
	}
	r.starved = false
	if r.starvedPrev != noRevision {
		e.revisions[r.starvedPrev].starvedNx = r.starvedNx
	} else {
		e.starved.head = r.starvedNx
	}
	if r.starvedNx != noRevision {
		e.revisions[r.starvedNx].starvedPrev = r.starvedPrev
	} else {
		e.starved.tail = r.starvedPrev
	}
}

// timers is a heap of times at which a revision wants to be looked at again. They are rare:
// back-off only. A timer that is not needed any more is looked at in vain.
type timers struct {
	heap []timer
}

type timer struct {
	at  int64
	rev RevisionID
}

func (a timer) before(b timer) bool {
	if a.at != b.at {
		return a.at < b.at
	}
	return a.rev < b.rev
}

func (t *timers) next() int64 {
	if len(t.heap) == 0 {
		return never
	}
	return t.heap[0].at
}

func (t *timers) push(at int64, rev RevisionID) {
	t.heap = append(t.heap, timer{at, rev})
	for i := len(t.heap) - 1; i > 0; {
		p := (i - 1) / 2
		if !t.heap[i].before(t.heap[p]) {
			return
		}
		t.heap[i], t.heap[p] = t.heap[p], t.heap[i]
		i = p
	}
}

func (t *timers) pop() RevisionID {
	top := t.heap[0].rev
	last := len(t.heap) - 1
	t.heap[0] = t.heap[last]
	t.heap = t.heap[:last]
	for i := 0; ; {
		c := 2*i + 1
		if c >= last {
			return top
		}
		if c+1 < last && t.heap[c+1].before(t.heap[c]) {
			c++
		}
		if !t.heap[c].before(t.heap[i]) {
			return top
		}
		t.heap[i], t.heap[c] = t.heap[c], t.heap[i]
		i = c
	}
}
