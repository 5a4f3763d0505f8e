package sim

// eventKind is what is due.
type eventKind uint8

const (
	dueFinish   eventKind = iota // id: invocation
	dueReady                     // id: worker
	dueExit                      // id: worker
	dueMetadata                  // id: revision
	dueBuilt                     // id: revision
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

// queue is a heap of events with four children to a node: half as deep as a binary one, and
// the children stand in one or two cache lines.
type queue struct {
	heap []event
	seq  uint64
}

// next is the time of the first event, or never.
func (q *queue) next() int64 {
	if len(q.heap) == 0 {
		return never
	}
	return q.heap[0].at
}

func (q *queue) push(at int64, kind eventKind, id int32) {
	q.seq++
	e := event{at, q.seq<<kindBits | uint64(kind), id}
	q.heap = append(q.heap, e)
	h := q.heap
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

func (q *queue) pop() event {
	h := q.heap
	top := h[0]
	last := len(h) - 1
	e := h[last]
	h = h[:last]
	q.heap = h
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
