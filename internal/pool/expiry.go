package pool

import "math"

// Never is a time that does not come.
const Never = math.MaxInt64

// Expiries are found by group: a heap of groups by a time that is not later than the first
// expiry in the group. It is put right when it is looked at, so that a warm worker that is used
// and parked again and again costs the heap nothing.

// NextExpiry is when Expired should be asked next, Never if nobody is idle. It may be too early.
func (p *Pool) NextExpiry() int64 {
	if len(p.heap) == 0 {
		return Never
	}
	return p.groups[p.heap[0]].at
}

// Expired is an idle worker whose keep-alive has ended, None if there is none. The caller
// stops it before it asks again.
func (p *Pool) Expired(now int64) WorkerID {
	for len(p.heap) > 0 {
		g := p.heap[0]
		gr := &p.groups[g]
		if gr.at > now {
			return None
		}
		if gr.idleTail == None {
			p.unschedule(g)
			continue
		}
		first, at := gr.idleTail, p.workers[gr.idleTail].expiry
		if !gr.sorted {
			for id := p.workers[first].prev; id != None; id = p.workers[id].prev {
				if e := p.workers[id].expiry; e < at {
					first, at = id, e
				}
			}
		}
		if at <= now {
			return first
		}
		gr.at = at
		p.down(int(gr.slot))
	}
	return None
}

// schedule puts a group into the heap, or moves it to an earlier time.
func (p *Pool) schedule(g GroupID, at int64) {
	gr := &p.groups[g]
	gr.at = at
	if gr.slot < 0 {
		gr.slot = int32(len(p.heap))
		p.heap = append(p.heap, g)
	}
	p.up(int(gr.slot))
}

func (p *Pool) unschedule(g GroupID) {
	gr := &p.groups[g]
	i := int(gr.slot)
	last := len(p.heap) - 1
	p.swap(i, last)
	p.heap = p.heap[:last]
	gr.slot = -1
	if i < last {
		p.down(i)
		p.up(i)
	}
}

func (p *Pool) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !p.less(i, parent) {
			return
		}
		p.swap(i, parent)
		i = parent
	}
}

func (p *Pool) down(i int) {
	for {
		c := 2*i + 1
		if c >= len(p.heap) {
			return
		}
		if c+1 < len(p.heap) && p.less(c+1, c) {
			c++
		}
		if !p.less(c, i) {
			return
		}
		p.swap(i, c)
		i = c
	}
}

// less orders by time, then by group, so that the order is the same in every run.
func (p *Pool) less(i, j int) bool {
	a, b := p.heap[i], p.heap[j]
	if x, y := p.groups[a].at, p.groups[b].at; x != y {
		return x < y
	}
	return a < b
}

func (p *Pool) swap(i, j int) {
	p.heap[i], p.heap[j] = p.heap[j], p.heap[i]
	p.groups[p.heap[i]].slot = int32(i)
	p.groups[p.heap[j]].slot = int32(j)
}
