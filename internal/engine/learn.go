package engine

import (
	"math"
	"time"

	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/pool"
)

// learnt is a ladder as this node knows it: the one that it was given, and the copy with what was
// measured here.
type learnt struct {
	given, own *ladder.Ladder
	built      [ladder.Max]int // builds that its costs are the mean of
	checked    [ladder.Max]int // and checks
}

// learning weighs what was measured last by this against all before: the mean of the last few.
const learning = 0.3

// ladder is the node's own copy of a ladder.
func (e *Engine) ladder(given *ladder.Ladder) *ladder.Ladder {
	for i := range e.ladders {
		if e.ladders[i].given == given || sameLadder(e.ladders[i].given, given) {
			return e.ladders[i].own
		}
	}
	e.ladders = append(e.ladders, learnt{given: given, own: given.Clone()})
	return e.ladders[len(e.ladders)-1].own
}

func sameLadder(a, b *ladder.Ladder) bool {
	if a.Name != b.Name || a.Start != b.Start || len(a.Rungs) != len(b.Rungs) {
		return false
	}
	for i := range a.Rungs {
		if a.Rungs[i] != b.Rungs[i] {
			return false
		}
	}
	return true
}

// learnCost takes what a build cost into the ladder's figures.
func (e *Engine) learnCost(l *ladder.Ladder, rung ladder.ID, c ladder.Cost) {
	if c.Wall <= 0 {
		return
	}
	for i := range e.ladders {
		if e.ladders[i].own == l {
			learn(&l.Rungs[rung].Cost, c, &e.ladders[i].built[rung])
		}
	}
}

// learnCheck is learnCost of a check.
func (e *Engine) learnCheck(l *ladder.Ladder, rung ladder.ID, c ladder.Cost) {
	if c.Wall <= 0 {
		return
	}
	for i := range e.ladders {
		if e.ladders[i].own == l {
			learn(&l.Rungs[rung].Check, c, &e.ladders[i].checked[rung])
		}
	}
}

// learn takes the nth cost into what is known.
func learn(own *ladder.Cost, c ladder.Cost, n *int) {
	if *n++; *n == 1 {
		*own = c
		return
	}
	own.Wall += time.Duration(learning * float64(c.Wall-own.Wall))
	own.CPU += time.Duration(learning * float64(c.CPU-own.CPU))
	own.MemoryMB += learning * (c.MemoryMB - own.MemoryMB)
	own.DiskMB += learning * (c.DiskMB - own.DiskMB)
}

// estimate fills in what is not measured of a revision's rungs.
func (e *Engine) estimate(r *revision) {
	for id := range r.views {
		row := &r.ladder.Rungs[id]
		v := &r.views[id]
		v.Start = int64(row.Start * float64(r.ladder.Start))
		v.MemoryMB = row.Memory * r.workerMB
		v.Speed = row.Speed
	}
}

// started takes the time of a start into the revision's figures. It also says what to expect of other rungs (saysOf): the ladder
// has their proportions.
func (e *Engine) started(r *revision, wk *pool.Worker) {
	began := wk.Since
	wk.Since = e.now
	if wk.Check {
		return
	}
	took := int64(float64(e.now-began) / wk.Recording.Start())
	v := &r.views[wk.Rung]
	if most := startChance * v.Start; r.timed != 0 && took > most {
		a := &r.rungs[wk.Rung]
		if began < a.oddUntil { // of the same burst
			took = v.Start
		} else if a.odd++; a.odd < oddStarts {
			took = most
		}
		a.oddUntil = e.now
	} else {
		r.rungs[wk.Rung].odd = 0
	}
	if bit := uint16(1) << wk.Rung; r.timed&bit != 0 {
		v.Start += int64(learning * float64(took-v.Start))
	} else {
		v.Start = took
		r.timed |= bit
	}
	r.rungs[wk.Rung].startedAt = e.now
	own := r.ladder.Rungs[wk.Rung].Start
	if own <= 0 {
		return
	}
	for id := range r.views {
		expected := int64(float64(v.Start) * r.ladder.Rungs[id].Start / own)
		switch {
		case ladder.ID(id) > wk.Rung && r.forgets(id, e.now):
			r.views[id].Start, r.views[id].Warming = expected, 0
		case r.saysOf(wk.Rung, id, r.timed):
			r.views[id].Start = expected
		case r.timed&(1<<id) == 0 && ladder.ID(id) < wk.Rung:
			r.views[id].Start = r.noSooner(id, expected)
		}
	}
}

// forgetAfter is after how long, ns, it is forgotten what starts of a rung took that is not used any more, and leftMost how often that
// doubles.
const forgetAfter, leftMost = int64(time.Hour), 7

// forgets reports whether what the starts and the first invocations of a rung took is forgotten now, so that it may be tried again: what made
// it slow may have passed. Only that of a rung whose artifact is still there, which costs nothing to try; each time it has to last twice as
// long, as a rung may just be bad for a function.
func (r *revision) forgets(id int, now int64) bool {
	a := &r.rungs[id]
	if r.timed&(1<<id) == 0 || a.Phase != pipeline.PhaseReady || now-a.startedAt < forgetAfter<<a.left {
		return false
	}
	a.left = min(a.left+1, leftMost)
	a.odd, a.firsts = 0, 0
	r.timed &^= 1 << id
	return true
}

// noSooner is the expected start of a rung that was never measured, where one above it was: what made that one slow, as a busy machine
// does, would make this one slow too, so that it is no reason to leave the other. But it says no more than startDoubt times what
// the first rung says, where that was measured: a rung may just be bad for a function.
func (r *revision) noSooner(id int, expected int64) int64 {
	given := r.views[id].Start
	if first := r.ladder.Rungs[ladder.First].Start; r.timed&1 != 0 && first > 0 {
		given = int64(float64(r.views[ladder.First].Start) * r.ladder.Rungs[id].Start / first)
	}
	return max(given, min(expected, startDoubt*given))
}

// startChance is how many times longer than expected a start may take before it counts as chance: as no longer than that, unless it is the
// third in a row. A machine that stood still for a second, once, would else be a reason to leave a good rung, and what is left is
// not measured again.
const startChance, oddStarts = 3, 3

// startDoubt is how many times longer a start is expected to take, at most, than what the first rung says of it.
const startDoubt = 2

// saysOf reports whether what was measured of a rung says what to expect of another, which must not have been measured itself, by
// bit: of all as long as it is the only one that was, else of those with the same kind of artifact.
func (r *revision) saysOf(rung ladder.ID, other int, measured uint16) bool {
	return measured&(1<<other) == 0 && (measured == 1<<rung || r.ladder.Rungs[other].Artifact == r.ladder.Rungs[rung].Artifact)
}

// First invocations are compared with later ones once so many of these were measured. What a function does varies: only what is
// beyond the usual counts, warmingMost starts at most, and nothing counts as much as warmingPrior of them.
const (
	warmingAfter = 8
	warmingMost  = 4.0
	warmingPrior = 2
)

// learnWarming takes the duration of an invocation into what is known of first and later ones: a copy of a saved worker starts in
// hundredths of a second, and then reads the memory that its first invocation needs.
func (e *Engine) learnWarming(r *revision, wk *pool.Worker, took int64) {
	if wk.Recording != ladder.RecordingNone {
		return
	}
	if wk.Served > 1 {
		if r.later++; r.later == 1 {
			r.warm = took
		}
		off := took - r.warm
		r.warm += off >> 3
		r.vary += (max(off, -off) - r.vary) >> 3
		return
	}
	v := &r.views[wk.Rung]
	if r.later < warmingAfter || v.Start <= 0 {
		return
	}
	a := &r.rungs[wk.Rung]
	a.firsts = min(a.firsts+1, warmingAfter)
	share := min(max(float64(took-r.warm-r.vary)/float64(v.Start), -warmingMost), warmingMost)
	known := float64(warmingPrior + a.firsts)
	v.Warming += (share - v.Warming) / known
	if noise := float64(r.vary) / float64(v.Start); noise*noise > known {
		v.Warming = 0 // what invocations vary by hides it
	}
	// A rung that was never measured would else seem better for the very thing that nobody measured there: a worker of a rung below knows
	// less when it is there, so that its first invocation takes at least as long; of those with the same kind of artifact the ladder has
	// the proportions.
	own := &r.ladder.Rungs[wk.Rung]
	for id := range r.views {
		other, row := &r.views[id], &r.ladder.Rungs[id]
		if r.rungs[id].firsts > 0 || other.Start <= 0 {
			continue
		}
		switch expected := v.Warming * float64(v.Start) / float64(other.Start); {
		case ladder.ID(id) < wk.Rung:
			other.Warming = expected
		case row.Artifact == own.Artifact && own.First > 0:
			other.Warming = expected * row.First / own.First
		}
	}
}

// learnMemory takes what a worker uses into its revision's figures. One that has not served says nothing of those that have, and these are
// the ones that are kept.
func (e *Engine) learnMemory(r *revision, wk *pool.Worker, mb float64) {
	if mb <= 0 || wk.Recording != ladder.RecordingNone || wk.Served == 0 {
		return
	}
	v := &r.views[wk.Rung]
	a := &r.rungs[wk.Rung]
	a.memories = min(a.memories+1, memoriesMost)
	v.MemoryMB += (mb - v.MemoryMB) / float64(a.memories)
	r.weighed |= uint16(1) << wk.Rung
	for id := range r.views {
		if r.saysOf(wk.Rung, id, r.weighed) {
			r.views[id].MemoryMB = v.MemoryMB * r.ladder.Rungs[id].Memory / r.ladder.Rungs[wk.Rung].Memory
		}
	}
}

// memoriesMost is how many measurements of memory count. Workers of one function use two and three times as much as others, by how much of
// their heap they have filled when they are looked at: of the last few, it would be chance how long they are kept.
const memoriesMost = 16

// durations of invocations, of which the older ones count less and less.
type durations struct{ sum, squares, count float64 } // ns, and their squares

func (d *durations) add(took int64) {
	d.join(durations{float64(took), float64(took) * float64(took), 1})
	if d.count >= mostDurations {
		*d = durations{d.sum / 2, d.squares / 2, d.count / 2}
	}
}

func (d *durations) join(o durations) {
	d.sum, d.squares, d.count = d.sum+o.sum, d.squares+o.squares, d.count+o.count
}

// mean of at least one duration, and its relative standard error.
func (d *durations) mean() (mean, off float64) {
	mean = max(d.sum/d.count, 1)
	return mean, math.Sqrt(max(d.squares/d.count-mean*mean, 0)/d.count) / mean
}

const (
	// learnAfter is from how many invocations on a worker's durations say something of its rung: before,
	// code is cold.
	learnAfter = 64
	// mostDurations is how many invocations count. What functions are asked varies, and so does how long they take: of a few
	// invocations, one rung would seem better than another by chance.
	mostDurations = 2048
	// leastDurations is of how many it is said how fast a rung is.
	leastDurations = 64
)

// learnSpeed takes the duration of an invocation into what is known of its rung.
func (e *Engine) learnSpeed(r *revision, wk *pool.Worker, took int64) {
	if wk.Recording == ladder.RecordingNone && wk.Served >= learnAfter {
		r.rungs[wk.Rung].warm.add(took)
	}
}

// figure brings the speeds of a revision's rungs up to date. They are relative to the first rung's; where
// that was not measured, to the lowest that was, for which the ladder's figure stands. What was measured of a rung holds for those that
// run the same code: one that was never measured would else seem faster than one that was, in which what the function is asked shows.
func (e *Engine) figure(r *revision) {
	var all [ladder.Max]durations
	for id := range r.rungs {
		all[r.code[id]].join(r.rungs[id].warm)
	}
	base, baseOff, baseCode := 0.0, 0.0, r.code[0]
	for id := range r.views {
		d := &all[r.code[id]]
		if d.count < leastDurations {
			continue
		}
		mean, off := d.mean()
		if base == 0 {
			base, baseOff, baseCode = mean/r.ladder.Rungs[id].Speed, off, r.code[id]
		}
		v := &r.views[id]
		v.Speed, v.Timed, v.Doubt = mean/base, true, 0
		if r.code[id] != baseCode {
			v.Doubt = v.Speed * math.Hypot(off, baseOff)
		}
	}
}
