package sim

import (
	"math"
	"time"

	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/ladder"
)

func (c *cluster) assign(a *engine.Action) {
	inv := &c.invocations[a.Invocation]
	w := &c.workers[a.Worker]
	f := &c.fns[inv.fn]
	inv.worker, inv.assigned = int32(a.Worker), c.now
	c.touch(inv.fn)
	duration := inv.duration
	if k := c.climbs[f.climb]; k.slow || c.overheads != nil {
		t := &k.ways[w.way]
		over := &t.overhead
		if c.overheads != nil {
			over = &c.overheads[int(inv.fn)*c.stride+int(w.way)]
		}
		duration = int64(float64(duration)*f.speed(t.speed)) + over.each
		if w.served == 0 {
			duration += over.firstExtra
		}
	}
	if w.busy == 0 && c.now-w.idleSince >= int64(pauseAfter) && w.scale.Idle() {
		w.weighed = c.used(w)
	}
	w.served++
	if w.served == 1 {
		if w.way.recording() == ladder.RecordingMetadata {
			c.queue.push(c.now+int64(c.model.TraceDelay), dueMetadata, inv.fn)
			f.metadataDue = c.queue.seq
		}
	}
	if w.native && c.model.Deoptimize > 0 {
		inv.deopt = c.chance(3, uint64(f.global), uint64(c.now)) < c.model.Deoptimize
	}
	column := &c.m.rungs[w.column]
	column.invocations++
	if wait := c.now - inv.arrived; wait > 0 {
		f.use.Waited += time.Duration(wait)
		column.waited += wait
		c.m.wait.add(wait)
	}
	w.busy++
	c.startRunning(f, w)
	c.queue.push(c.now+duration, dueFinish, int32(a.Invocation))
}

func (c *cluster) start(a *engine.Action) {
	for len(c.workers) <= int(a.Worker) {
		c.workers = append(c.workers, workerState{})
	}
	fn := int32(a.Revision)
	f := &c.fns[fn]
	k := c.climbs[f.climb]
	w := &c.workers[a.Worker]
	*w = workerState{
		fn: fn, way: wayOf(a.Rung, a.Recording), native: k.native(a.Rung), column: k.column[a.Rung], started: c.now, alive: true,
	}
	column := &c.m.rungs[w.column]
	column.resident++
	c.m.resident++
	if w.native {
		c.m.residentNative++
	}
	c.m.residentKB += c.memory(fn, w.way)
	took := c.startTime(fn, w.way)
	c.m.startNs += took
	if a.Compare {
		cost := c.checkCost(fn, a.Rung)
		took += int64(cost.Wall)
		c.m.check(w.column, &cost)
		c.checks[int32(a.Worker)] = cost
	}
	switch {
	case a.Cold:
		f.use.Cold++
		column.cold++
		if w.native {
			f.use.ColdNative++
			c.m.coldNative++
		} else {
			c.m.coldOther++
		}
	case a.Recording == ladder.RecordingNone && !a.Check:
		column.ahead++
		c.m.aheadNs += took
	}
	if a.Recording != ladder.RecordingNone {
		c.m.recorders++
	}
	c.queue.push(c.now+took, dueReady, int32(a.Worker))
}

// checkCost is what it takes to compare a function's artifact with its first rung: the ladder's, in proportion
// to its starts. A function that was never invoked has nothing to be asked.
func (c *cluster) checkCost(fn int32, rung ladder.ID) ladder.Cost {
	f := &c.fns[fn]
	k := c.climbs[f.climb]
	cost := k.ladder.Rungs[rung].Check
	if f.use.Invocations == 0 {
		return ladder.Cost{}
	}
	if c.own != nil {
		if own, ok := c.own[f.global].Checks[k.ladder.RungName(rung)]; ok {
			return own
		}
	}
	if cost.Wall <= 0 {
		return ladder.Cost{}
	}
	if k.ladder.Start > 0 {
		slower := float64(c.startTime(fn, wayOf(ladder.First, ladder.RecordingNone))) / float64(k.ladder.Start)
		cost.Wall = time.Duration(float64(cost.Wall) * slower)
		cost.CPU = time.Duration(float64(cost.CPU) * slower)
	}
	return cost
}

// startTime is how long a worker that starts now takes to be ready.
func (c *cluster) startTime(fn int32, how way) int64 {
	f := &c.fns[fn]
	k := c.climbs[f.climb]
	if c.own != nil {
		if starts := c.own[f.global].Starts[c.way(fn, how)]; len(starts) > 0 {
			return int64(nearest(starts, time.Duration(c.now)))
		}
	}
	d := k.ways[how].start
	if c.model.ColdSpread > 0 {
		u := min(max(c.chance(4, uint64(f.global), uint64(c.now), uint64(f.use.Cold)), 1e-9), 1-1e-9)
		d = int64(float64(d) * math.Exp(c.model.ColdSpread*-math.Sqrt2*math.Erfinv(1-2*u)))
	}
	return d
}

// way is the name of a way of a function's ladder.
func (c *cluster) way(fn int32, how way) Way {
	return Way{c.climbs[c.fns[fn].climb].ladder.RungName(how.rung()), how.recording()}
}

func (c *cluster) stop(a *engine.Action) {
	w := &c.workers[a.Worker]
	c.touch(w.fn)
	if !w.ready {
		w.unwanted = true // its start goes on to its end, and comes to nothing
		return
	}
	takes := c.model.Stop
	if w.way.recording().AtEnd() {
		takes = max(takes, c.model.RecordEnd)
	}
	c.queue.push(c.now+int64(takes), dueExit, int32(a.Worker))
}

// gone frees what a worker held.
func (c *cluster) gone(w *workerState) {
	w.alive = false
	c.m.rungs[w.column].resident--
	c.m.resident--
	if w.native {
		c.m.residentNative--
	}
	c.m.residentKB -= c.memory(w.fn, w.way)
	c.use(w)
}

// memory is what a worker uses, in kB.
func (c *cluster) memory(fn int32, how way) int64 { return int64(c.kb[int(fn)*c.stride+int(how)]) }

// used is what the engine is told of a worker's memory, MB.
func (c *cluster) used(w *workerState) float64 {
	if c.own != nil {
		if told := c.own[c.fns[w.fn].global].Told[c.way(w.fn, w.way)]; len(told) > 0 {
			return likest(told, time.Duration(c.now), w.served)
		}
	}
	return float64(c.memory(w.fn, w.way)) / 1000
}

// weigh says what a function's workers use, of which the trace names that on the first rung.
func (c *cluster) weigh(fn int32, mb float64) {
	f := &c.fns[fn]
	l := c.climbs[f.climb].ladder
	for id := range l.Rungs {
		for x := range ladder.RecordingCount {
			how := wayOf(ladder.ID(id), ladder.Recording(x))
			used := mb * l.Rungs[id].Memory
			if c.own != nil {
				measured := c.own[f.global].MemoryMB
				if plain := measured[Way{Rung: l.Rungs[id].Name}]; plain > 0 {
					used = plain
				}
				if own := measured[c.way(fn, how)]; own > 0 {
					used = own
				}
			}
			c.kb[int(fn)*c.stride+int(how)] = int32(min(used*1000, 1e9))
		}
	}
}

// burden says what a function's invocations take beyond the trace's durations.
func (c *cluster) burden(fn int32) {
	if c.overheads == nil {
		return
	}
	f := &c.fns[fn]
	k, own := c.climbs[f.climb], &c.own[f.global]
	for id := range k.ladder.Rungs {
		for x := range ladder.RecordingCount {
			how := wayOf(ladder.ID(id), ladder.Recording(x))
			over := k.ways[how].overhead
			if d, ok := own.Overhead[c.way(fn, how)]; ok {
				over.each = int64(d)
			}
			if d, ok := own.FirstOverhead[c.way(fn, how)]; ok {
				over.firstExtra = int64(d) - over.each
			}
			c.overheads[int(fn)*c.stride+int(how)] = over
		}
	}
}

// use books a worker's memory over its life so far.
func (c *cluster) use(w *workerState) {
	c.fns[w.fn].residentKBms += c.memory(w.fn, w.way) * ((c.now - w.started) / int64(time.Millisecond))
}

func (c *cluster) startRunning(f *fnState, w *workerState) {
	m := &c.m
	m.running++
	if f.runningNative+f.runningOther == 0 && f.seen != int32(m.second) {
		f.seen = int32(m.second)
		m.active(f.optimized)
	}
	if w.busy == 1 {
		m.runningKB += c.memory(w.fn, w.way)
	}
	if w.native {
		if f.runningNative == 0 {
			m.fnsNative++
			if f.runningOther > 0 {
				m.fnsOther--
			}
		}
		f.runningNative++
		return
	}
	if f.runningOther == 0 && f.runningNative == 0 {
		m.fnsOther++
	}
	f.runningOther++
}

func (c *cluster) stopRunning(f *fnState, w *workerState) {
	m := &c.m
	m.running--
	if w.busy == 0 {
		m.runningKB -= c.memory(w.fn, w.way)
	}
	if w.native {
		f.runningNative--
		if f.runningNative == 0 {
			m.fnsNative--
			if f.runningOther > 0 {
				m.fnsOther++
			}
		}
	} else {
		f.runningOther--
		if f.runningOther == 0 && f.runningNative == 0 {
			m.fnsOther--
		}
	}
	f.seen = int32(m.second) // it has been counted in this second, at its start or at the second's
}
