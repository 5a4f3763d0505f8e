package pool

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

const tier, level = 0, 0

// TestOrder: a busy worker with a free slot is used first, then the one used last; the one that
// was idle longest is evicted first, whatever its group.
func TestOrder(t *testing.T) {
	p := New()
	p.SetBudget(1000)
	p.Grow(1)
	var w []WorkerID
	for i, g := range []GroupID{0, 0, 1} {
		id := p.Start(g, tier, level, 100, 2)
		p.Ready(id)
		p.Park(id, int64(100+i))
		w = append(w, id)
	}
	if got := p.Pick(0); got != w[1] {
		t.Errorf("picked %d, want the last one used, %d", got, w[1])
	}
	p.Acquire(w[0])
	if got := p.Pick(0); got != w[0] {
		t.Errorf("picked %d, want the one that is busy and has a free slot, %d", got, w[0])
	}
	p.Acquire(w[0])
	if got := p.Pick(0); got != w[1] {
		t.Errorf("picked %d although it is full, want %d", got, w[1])
	}
	if got := p.Oldest(); got != w[1] {
		t.Errorf("oldest is %d, want %d", got, w[1])
	}
	p.Release(w[0])
	p.Release(w[0])
	p.Park(w[0], 200)
	var order []WorkerID
	for id := p.Oldest(); id != None; id = p.Oldest() {
		order = append(order, id)
		p.Stop(id)
	}
	if want := []WorkerID{w[1], w[2], w[0]}; !slices.Equal(order, want) {
		t.Errorf("evicted %v, want %v", order, want)
	}
	if p.Fits(701) || !p.FitsSoon(701) {
		t.Errorf("300 MiB of stopping workers are free too early, or never")
	}
	for _, id := range w {
		p.Gone(id)
	}
	if !p.Fits(1000) || p.Fits(1001) || p.Workers() != 0 {
		t.Errorf("%d MiB are reserved by nobody", p.Reserved())
	}
}

// model is a pool that is obvious and slow: one slice, searched.
type model struct {
	workers map[WorkerID]*modelWorker
	clock   int
}

type modelWorker struct {
	group          GroupID
	state          State
	busy, slots    int
	idle, draining bool
	used           int // when it went idle, or became partly busy
	expiry         int64
	mib            int64
}

func (m *model) pick(g GroupID) WorkerID {
	best, score := None, -1
	for id, w := range m.workers {
		if w.group != g || w.state != Ready || w.draining || w.busy == w.slots || w.busy == 0 && !w.idle {
			continue
		}
		s := w.used
		if w.busy > 0 {
			s += 1 << 30
		}
		if s > score {
			best, score = id, s
		}
	}
	return best
}

func (m *model) expired(now int64) (ids []WorkerID) {
	for id, w := range m.workers {
		if w.idle && w.expiry <= now {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (m *model) oldest() WorkerID {
	best := None
	for id, w := range m.workers {
		if w.idle && (best == None || w.used < m.workers[best].used) {
			best = id
		}
	}
	return best
}

// TestModel holds the lists and the heap to the obvious implementation.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const groups = 3
		p, m := New(), &model{workers: map[WorkerID]*modelWorker{}}
		p.Grow(groups - 1)
		p.SetBudget(rapid.SampledFrom([]int64{0, 1 << 40}).Draw(t, "budget"))
		now := int64(0)
		some := func(ok func(*modelWorker) bool) WorkerID {
			var ids []WorkerID
			for id, w := range m.workers {
				if ok(w) {
					ids = append(ids, id)
				}
			}
			if len(ids) == 0 {
				return None
			}
			slices.Sort(ids)
			return rapid.SampledFrom(ids).Draw(t, "worker")
		}
		park := func(id WorkerID) {
			w := m.workers[id]
			m.clock++
			w.idle, w.used, w.expiry = true, m.clock, now+rapid.Int64Range(1, 50).Draw(t, "keep")
			p.Park(id, w.expiry)
		}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now += rapid.Int64Range(0, 10).Draw(t, "later")
			switch rapid.IntRange(0, 6).Draw(t, "what") {
			case 0:
				g, slots, mib := GroupID(rapid.IntRange(0, groups-1).Draw(t, "group")), rapid.IntRange(1, 3).Draw(t, "slots"), rapid.Int32Range(1, 9).Draw(t, "MiB")
				id := p.Start(g, tier, level, mib, int32(slots))
				if m.workers[id] != nil {
					t.Fatalf("worker %d was given twice", id)
				}
				m.workers[id] = &modelWorker{group: g, state: Starting, slots: slots, mib: int64(mib)}
			case 1:
				if id := some(func(w *modelWorker) bool { return w.state == Starting }); id != None {
					m.workers[id].state = Ready
					p.Ready(id)
					park(id)
				}
			case 2:
				g := GroupID(rapid.IntRange(0, groups-1).Draw(t, "group"))
				if id := p.Pick(g); id != None {
					w := m.workers[id]
					if w.idle = false; w.busy == 0 {
						m.clock++
						w.used = m.clock
					}
					w.busy++
					p.Acquire(id)
				}
			case 3:
				if id := some(func(w *modelWorker) bool { return w.busy > 0 }); id != None {
					w := m.workers[id]
					full := w.busy == w.slots
					w.busy--
					p.Release(id)
					switch {
					case w.draining || w.state != Ready:
					case w.busy == 0:
						park(id)
					default:
						if full {
							m.clock++
							w.used = m.clock
						}
						p.Share(id)
					}
				}
			case 4:
				if id := some(func(w *modelWorker) bool { return w.state == Ready && !w.draining && w.busy > 0 }); id != None {
					m.workers[id].draining = true
					p.Drain(id)
				}
			case 5:
				if id := some(func(w *modelWorker) bool { return w.busy == 0 }); id != None {
					w := m.workers[id]
					if w.state == Stopping || rapid.Bool().Draw(t, "gone") {
						delete(m.workers, id)
						p.Gone(id)
					} else {
						w.state, w.idle = Stopping, false
						p.Stop(id)
					}
				}
			case 6:
				want := m.expired(now)
				var got []WorkerID
				for id := p.Expired(now); id != None; id = p.Expired(now) {
					got = append(got, id)
					m.workers[id].state, m.workers[id].idle = Stopping, false
					p.Stop(id)
				}
				slices.Sort(got)
				if !slices.Equal(got, want) {
					t.Fatalf("expired at %d: %v, want %v", now, got, want)
				}
				for _, w := range m.workers {
					if w.idle && w.expiry < p.NextExpiry() {
						t.Fatalf("next expiry %d, but one is at %d", p.NextExpiry(), w.expiry)
					}
				}
			}
			for g := range GroupID(groups) {
				if got, want := p.Pick(g), m.pick(g); got != want {
					t.Fatalf("picked %d of group %d, want %d", got, g, want)
				}
			}
			if got, want := p.Oldest(), m.oldest(); p.Budget() > 0 && got != want {
				t.Fatalf("oldest %d, want %d", got, want)
			}
			var reserved, kept int64
			for _, w := range m.workers {
				reserved += w.mib
			}
			for g := range GroupID(groups) {
				ready, last := 0, (*modelWorker)(nil)
				for _, w := range m.workers {
					if w.group != g || w.state != Ready {
						continue
					}
					if ready++; w.idle && (last == nil || w.used > last.used) {
						last = w
					}
				}
				if last != nil && ready == int(p.Idles(g)) {
					kept += last.mib
				}
			}
			if p.Budget() > 0 && p.kept != kept {
				t.Fatalf("%d MiB of last idle workers, want %d", p.kept, kept)
			}
			if p.Reserved() != reserved || p.Workers() != len(m.workers) {
				t.Fatalf("%d workers with %d MiB, want %d with %d", p.Workers(), p.Reserved(), len(m.workers), reserved)
			}
		}
	})
}
