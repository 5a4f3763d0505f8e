package pool

import "slices"

// SetBudget sets how much memory (MiB) all workers together may reserve; 0: no limit. A
// budget below what is reserved stops nobody: nothing starts until enough is gone.
func (p *Pool) SetBudget(mib int64) {
	had := p.budget > 0
	p.budget = mib
	if had == (mib > 0) {
		return
	}
	p.lru, p.lruTail = None, None
	for g := range p.groups {
		p.recount(GroupID(g))
	}
	if mib == 0 {
		return
	}
	// The order was not kept without a budget: how soon they expire is the nearest there is.
	var idle []WorkerID
	for id := range p.workers {
		if p.workers[id].list == idleList {
			idle = append(idle, WorkerID(id))
		}
	}
	slices.SortStableFunc(idle, func(a, b WorkerID) int {
		switch x, y := p.workers[a].expiry, p.workers[b].expiry; {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	for _, id := range idle {
		p.lruAppend(id, &p.workers[id])
	}
}

// Budget is the limit, 0 if there is none.
func (p *Pool) Budget() int64 { return p.budget }

// Reserved is the memory (MiB) of all workers, those included that stop.
func (p *Pool) Reserved() int64 { return p.reserved }

// IdleMiB is the memory of the workers that are idle.
func (p *Pool) IdleMiB() int64 { return p.idle }

// Fits reports whether a worker of mib can start now.
func (p *Pool) Fits(mib int32) bool {
	return p.budget == 0 || p.reserved+int64(mib) <= p.budget
}

// FitsSoon reports whether it can when the workers that are stopping are gone.
func (p *Pool) FitsSoon(mib int32) bool {
	return p.budget == 0 || p.reserved-p.stopping+int64(mib) <= p.budget
}

// FitsEver reports whether it could on an empty node.
func (p *Pool) FitsEver(mib int32) bool { return p.budget == 0 || int64(mib) <= p.budget }

// Claim is what may be evicted for a worker that is to start.
type Claim uint8

const (
	// ClaimAll: every idle worker, the one that was idle for the longest time first.
	ClaimAll Claim = iota
	// ClaimSpare: the last one of a group of which none is busy stays, as far as these take keptPart of the budget:
	// those that were used last.
	ClaimSpare
)

// FitsEvicting reports whether it can when the idle workers are gone too that may be evicted for it.
func (p *Pool) FitsEvicting(mib int32, c Claim) bool {
	evictable := p.idle
	if c == ClaimSpare {
		evictable -= min(p.kept, p.budget/keptPart)
	}
	return p.budget == 0 || p.reserved-p.stopping-evictable+int64(mib) <= p.budget
}

// keptPart is the part of the budget that such last workers may keep. More would be idle while others wait: with a half, a
// simulated node with too much to do left 20 % undone that it does without any.
const keptPart = 8

// Spares reports whether workers that are not idle would leave so much (MiB) of the budget if one of mib started.
func (p *Pool) Spares(mib, reserve int32) bool {
	return p.budget == 0 || p.reserved-p.stopping-p.idle+int64(mib)+int64(reserve) <= p.budget
}

// Evict is the idle worker to be evicted first, None if there is none.
func (p *Pool) Evict(c Claim) WorkerID {
	if c == ClaimSpare {
		for id := p.lru; id != None; id = p.workers[id].lruNext {
			if gr := &p.groups[p.workers[id].Group]; gr.kept == 0 || gr.idles > 1 {
				return id
			}
		}
		if p.kept <= p.budget/keptPart {
			return None
		}
	}
	return p.lru
}

// recount looks again at whether all workers of a group that are ready are idle.
func (p *Pool) recount(g GroupID) {
	gr := &p.groups[g]
	kept := int32(0)
	if p.budget > 0 && gr.idles > 0 && gr.live-gr.starting-gr.checking-gr.stopping == gr.idles {
		kept = p.workers[gr.idle].MiB
	}
	p.kept += int64(kept - gr.kept)
	gr.kept = kept
}

// Oldest is the worker that was idle for the longest time, None if none is or without a budget.
func (p *Pool) Oldest() WorkerID { return p.lru }

func (p *Pool) lruAppend(id WorkerID, w *Worker) {
	w.lruPrev, w.lruNext = p.lruTail, None
	if p.lruTail != None {
		p.workers[p.lruTail].lruNext = id
	} else {
		p.lru = id
	}
	p.lruTail = id
}

func (p *Pool) lruRemove(w *Worker) {
	if w.lruPrev != None {
		p.workers[w.lruPrev].lruNext = w.lruNext
	} else {
		p.lru = w.lruNext
	}
	if w.lruNext != None {
		p.workers[w.lruNext].lruPrev = w.lruPrev
	} else {
		p.lruTail = w.lruPrev
	}
	w.lruPrev, w.lruNext = None, None
}
