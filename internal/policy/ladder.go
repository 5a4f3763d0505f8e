package policy

import (
	"time"

	"github.com/cloudjit/cloudjit/internal/ladder"
)

// Ladder weighs: for each revision and rung what waiting, memory and CPU time are expected to cost
// with it, against what its artifact costs. Keep-alive, pre-warming and the choice of rungs follow from
// the same prices (price.go) and the same habits (habit.go, plan.go); waiting for a busy worker is decided in wait.go.
//
// A light artifact is made for every function, of what its first worker recorded, which costs next to
// nothing. Where many functions start at once none records: the next worker of each does.
// The metadata of a binary are traced only where a binary pays, by a worker that is started beside those that
// serve: nobody waits for the third that a tracing worker starts later.
type Ladder struct {
	Paper // the back-off, and what an upgrade is
	// Horizon is how long (ns) a function is expected to go on, at least; 0: DefaultHorizon.
	Horizon int64

	habits  []habit // by revision
	waiting waiting
}

const (
	// DefaultHorizon is within what time an artifact has to pay. A day would be nearer to how long
	// functions live; ten hours keep what builders and checks take on day 1 of the Azure trace (500 functions,
	// 8 hours: 9.6 core hours) below the 13.4 of Benefit.
	DefaultHorizon = int64(10 * time.Hour)
	// upgrade is by how much a further binary of a revision that has one has to pay more than its cost: its
	// gain in speed is an estimate until it has run.
	upgrade = 4
	// profileTries is after how many failures in a row what is made from two recordings is not tried again: each try takes
	// two builds of minutes.
	profileTries = 3
	// slower is by how much a rung may be slower than the fastest, as measurements vary.
	slower = 1.1
)

var (
	_ Policy   = (*Ladder)(nil)
	_ Observer = (*Ladder)(nil)
)

func (p *Ladder) habit(r RevisionID) *habit { return of(&p.habits, r) }

// Arrived notes the gap.
func (p *Ladder) Arrived(now int64, _ FunctionID, r RevisionID) { p.habit(r).arrived(now) }

// next is the rung of new workers: the highest that is ready and not capped.
func (h *habit) next(v *View) ladder.ID {
	best := ladder.First
	for i := range v.Rungs {
		if v.serves(i) && (h.cap == 0 || ladder.ID(i) < h.cap) {
			best = ladder.ID(i)
		}
	}
	return best
}

// Keep follows the plan for the rung of the next worker: a worker is kept where its
// memory costs less than the start and the wait that it saves.
func (p *Ladder) Keep(now int64, v *View) Keep {
	if v.Params.KeepAlive <= 0 {
		return Keep{}
	}
	h := p.habit(v.Revision)
	spare := v.Idle > 0 || v.Working > 0
	if !v.Fresh {
		h.parked(now, spare)
	}
	rung := h.next(v)
	start := v.Rungs[rung].Start
	since := now - h.last
	h.alone.refresh(v, &h.gaps, rung, timers)
	alive, again := h.alone.next(since)
	if spare {
		h.beside.refresh(v, &h.spare, rung, anything)
		alive, _ = h.beside.next(0)
		_, again = h.alone.next(since + alive)
		if p.waiting.idle(now, v) {
			alive = 0
		}
	}
	if v.Params.MaxWait > 0 && start > v.Params.MaxWait {
		alive = v.Params.KeepAlive
	}
	k := Keep{Alive: min(alive, v.Params.KeepAlive)}
	if again > 0 {
		// A tenth and 50 ms for starts that take longer than they used to.
		k.Again = max(h.last+again-start-start/10-int64(50*time.Millisecond), now+k.Alive)
	}
	return k
}

// wantsClasses reports whether a light rung waits for its recording.
func wantsClasses(v *View) bool {
	return v.Params.Prepare != PrepareNever && !v.Recorded[ladder.RecordingClasses] &&
		v.Ladder.Records(ladder.RecordingClasses)
}

// Decide makes light artifacts at once and others where they pay, the one that pays most first.
func (p *Ladder) Decide(now int64, v *View) Decision {
	h := p.habit(v.Revision)
	d := Decision{Serve: h.serve(now, v)}
	if wantsClasses(v) && !v.Crowded {
		d.Record = ladder.RecordingClasses
	}
	if d.Make = light(v); d.Make != ladder.First {
		return d
	}
	d.Make = p.weighed(now, v, h)
	if d.Make == ladder.First {
		return d
	}
	for _, from := range [...]ladder.Recording{v.Ladder.Rungs[d.Make].From, v.Ladder.Rungs[d.Make].Also} {
		if from != ladder.RecordingNone && d.Record == ladder.RecordingNone && !v.Recorded[from] && !v.Crowded {
			d.Record, d.Beside = from, true
		}
	}
	return d
}

// serves reports whether workers of a rung may serve now.
func (v *View) serves(i int) bool { return v.Rungs[i].Ready && v.Ladder.Rungs[i].Serves() }

// light is a light rung that can be made now; First: none.
func light(v *View) ladder.ID {
	if v.Params.Prepare == PrepareNever {
		return ladder.First
	}
	for i := 1; i < len(v.Rungs); i++ {
		r := &v.Ladder.Rungs[i]
		if r.Light && !v.Rungs[i].Ready && !v.Rungs[i].Making && !v.Rungs[i].Barred && (r.From == ladder.RecordingNone || v.Recorded[r.From]) {
			return ladder.ID(i)
		}
	}
	return ladder.First
}

// weighed is the rung whose artifact saves most until the horizon for what it costs, and more than that; First: none.
// What is cheap comes first so: what is dear has to pay beyond that.
func (p *Ladder) weighed(now int64, v *View, h *habit) ladder.ID {
	present := h.next(v)
	for i := range v.Rungs {
		if v.Ladder.Rungs[i].Light && v.Params.Prepare != PrepareNever && !v.Rungs[i].Barred {
			present = max(present, ladder.ID(i)) // it is there soon
		}
	}
	have := ladder.ArtifactNone
	for i := range v.Rungs {
		if !v.Ladder.Rungs[i].Weighed() {
			continue
		}
		if v.Rungs[i].Making {
			return ladder.First // one at a time
		}
		if v.serves(i) {
			have = v.Ladder.Rungs[i].Artifact
		}
	}
	best, most := ladder.First, 1.0
	before := -1.0
	for i := 1; i < len(v.Rungs); i++ {
		r := &v.Ladder.Rungs[i]
		if !r.Weighed() || v.Rungs[i].Ready || v.Rungs[i].Barred || ladder.ID(i) <= present || h.cap > 0 && r.Artifact == have {
			continue // there, or no better, or of a kind that turned out too slow
		}
		if !r.Serves() || r.Also != ladder.RecordingNone && (r.Artifact != have && v.Ladder.Recorder(r.Also) != ladder.First || v.Rungs[i].Failures >= profileTries) {
			continue // a recording that takes an artifact of its own is for what serves already, and does well
		}
		cost := makePrice(v, ladder.ID(i))
		if r.Artifact == have {
			cost *= upgrade
		}
		if before < 0 {
			before = h.rate(now, v, present)
		}
		if gain := (before - h.rate(now, v, ladder.ID(i))) * p.horizon() / cost; gain > most {
			best, most = ladder.ID(i), gain
		}
	}
	return best
}

func (p *Ladder) horizon() float64 {
	if p.Horizon > 0 {
		return seconds(p.Horizon)
	}
	return seconds(DefaultHorizon)
}

// serve caps the rung where a higher one costs more than it saves, as one does that is slower
// where the time goes into computing.
func (h *habit) serve(now int64, v *View) ladder.ID {
	high := ladder.First
	for i := range v.Rungs {
		if v.serves(i) {
			high = ladder.ID(i)
		}
	}
	h.cap = 0
	if high == ladder.First {
		return top(v)
	}
	best, least := high, h.rate(now, v, high)/slower
	for i := int(high) - 1; i >= 0; i-- {
		if !v.serves(i) {
			continue
		}
		if r := h.rate(now, v, ladder.ID(i)); r < least {
			best, least = ladder.ID(i), r
		}
	}
	if best == high {
		return top(v)
	}
	h.cap = best + 1
	return best
}

// Start lets an invocation wait where a busy worker is expected to be free sooner than a new one is there.
func (p *Ladder) Start(now int64, v *View) bool {
	h := p.habit(v.Revision)
	rung := h.next(v)
	c := pricesOf(v, rung)
	worth := (c.start + c.memory*idleAfterBurst) / waitPrices(v) * debtShare
	return p.waiting.start(now, v, &v.Rungs[rung], nanos(worth), h.last == now)
}

// Surplus tries, on a full machine, whether fewer workers do as much.
func (p *Ladder) Surplus(now int64, v *View) bool { return p.waiting.surplus(now, v) }

// Priority is what an artifact saves for each second of building.
func (p *Ladder) Priority(now int64, v *View, rung ladder.ID) float64 {
	return p.Worth(now, v, rung) / max(v.Ladder.Rungs[rung].Cost.Wall.Seconds(), 1e-3)
}

// Worth is what a second costs less with the rung than with the best other one below it; of one that only records, until it
// has, that of the rung which it records for.
func (p *Ladder) Worth(now int64, v *View, rung ladder.ID) float64 {
	if x := v.Ladder.Rungs[rung].Recorder; x != ladder.RecordingNone {
		for i := range v.Rungs {
			if v.Ladder.Rungs[i].Also == x && !v.Recorded[x] {
				return p.Worth(now, v, ladder.ID(i))
			}
		}
		return 0
	}
	h := p.habit(v.Revision)
	below := ladder.First
	for i := range rung {
		if v.serves(int(i)) {
			below = i
		}
	}
	return max(h.rate(now, v, below)-h.rate(now, v, rung), 0)
}
