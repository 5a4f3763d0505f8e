package sim

import (
	"math"
	"time"

	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/policy"
)

// addFunction tells the engine of a function. seen is what the oracle knows of it, else nil.
func (c *cluster) addFunction(i int32, seen *foresight) {
	f := &c.fns[i]
	f.added = true
	k := c.climbs[f.climb]
	rungs := k.ladder.Rungs
	var fc engine.FunctionConfig
	rc := engine.RevisionConfig{Ladder: k.ladder}
	if c.own != nil {
		own := &c.own[f.global]
		fc, rc = own.Function, own.Revision
		rc.Ladder = k.ladder
	} else {
		fc = engine.FunctionConfig{Reserved: -1, Params: c.params}
		rc.WorkerMB = float64(c.memory(i, 0)) / 1000
	}
	if rc.MemoryMiB == nil {
		for id := range rungs {
			kb := c.memory(i, wayOf(ladder.ID(id), ladder.RecordingNone))
			rc.MemoryMiB = append(rc.MemoryMiB, int32(math.Ceil((float64(kb)/1000+c.model.SandboxMB)*1e6/(1<<20))))
		}
	}
	rc.Function = engine.FunctionID(i)
	switch {
	case c.baseline:
		fc.Params.Prepare, rc.Restored = policy.PrepareNever, pipeline.Saved{}
	case seen != nil:
		fc.Params.Prepare, rc.Restored = policy.PrepareNever, pipeline.Saved{}
		if seen.invoked {
			rc.Restored = c.ahead(i, k.lights|1<<seen.best&^1)
		}
	case (c.own == nil || c.own[f.global].Ahead) && fc.Params.Prepare == policy.PrepareDeploy && k.prepared != 0:
		rc.Restored = c.ahead(i, k.prepared)
	}
	for x := range f.version {
		f.version[x] = rc.Restored.Recordings[x].Version
	}
	for id := 1; id < len(rungs); id++ {
		if s := rc.Restored.Rung(rungs[id].Name); s != nil && s.Phase == pipeline.PhaseReady {
			c.serves(i, ladder.ID(id), true)
		}
	}
	c.step(engine.Event{Kind: engine.EventFunctionSet, Function: engine.FunctionID(i), FunctionConfig: &fc})
	c.step(engine.Event{Kind: engine.EventRevisionAdded, Revision: engine.RevisionID(i), RevisionConfig: &rc})
}

// ahead is the state of a function that has the artifacts of some rungs, by bit, when the trace begins.
// What they cost is booked: a worker that recorded, and the builds.
func (c *cluster) ahead(fn int32, rungs uint16) pipeline.Saved {
	k := c.climbs[c.fns[fn].climb]
	var s pipeline.Saved
	for id := 1; id < len(k.ladder.Rungs); id++ {
		if rungs>>id&1 == 0 {
			continue
		}
		row := &k.ladder.Rungs[id]
		if x := row.From; x != ladder.RecordingNone && s.Recordings[x].Version == 0 {
			s.Recordings[x] = pipeline.Recording{Phase: pipeline.PhaseRecorded, Version: 1}
			c.m.recorders++
			c.m.startNs += c.startTime(fn, wayOf(ladder.First, x))
		}
		cost := c.cost(fn, ladder.ID(id))
		c.m.book(k.column[id], &cost)
		s.Rungs = append(s.Rungs, pipeline.Rung{Name: row.Name, Phase: pipeline.PhaseReady, Built: 1, DiskMB: cost.DiskMB})
	}
	return s
}

// build lets a builder work.
func (c *cluster) build(a *engine.Action) {
	fn := int32(a.Revision)
	cost := c.cost(fn, a.Rung)
	due, fetched := c.made.get(c, artifactOf{c.fns[fn].global, a.Rung, a.Version}, c.now+int64(cost.Wall))
	if !fetched {
		c.m.building++
		c.m.book(c.climbs[c.fns[fn].climb].column[a.Rung], &cost)
	}
	id := int32(len(c.builds))
	if n := len(c.freeBuilds); n > 0 {
		id = c.freeBuilds[n-1]
		c.freeBuilds = c.freeBuilds[:n-1]
	} else {
		c.builds = append(c.builds, build{})
	}
	c.builds[id] = build{fn, a.Rung, cost, fetched}
	c.queue.push(due, dueBuilt, id)
}

// built is the end of a build. The engine learns of costs only where they were measured: the ladder's
// own are what is assumed, and what one function's build took must not matter to another's.
func (c *cluster) built(id int32) {
	b := c.builds[id]
	c.freeBuilds = append(c.freeBuilds, id)
	if !b.fetched {
		c.m.building--
	}
	if c.own == nil {
		b.cost = ladder.Cost{DiskMB: b.cost.DiskMB}
	}
	c.step(engine.Event{Kind: engine.EventBuildDone, Revision: engine.RevisionID(b.fn), Rung: b.rung, Cost: b.cost})
}

// cost of a function's artifact, the same in every policy.
func (c *cluster) cost(fn int32, rung ladder.ID) ladder.Cost {
	f := &c.fns[fn]
	row := &c.climbs[f.climb].ladder.Rungs[rung]
	cost := row.Cost
	wall := cost.Wall
	if times := c.model.BuildTimes; len(times) > 0 && row.Artifact == ladder.ArtifactBinary {
		wall = times[int(c.chance(5, uint64(f.global))*float64(len(times)))]
	}
	var own ladder.Cost
	if c.own != nil {
		own = c.own[f.global].Builds[row.Name]
	}
	if own.Wall > 0 {
		wall = own.Wall
	}
	if cost.Wall > 0 {
		cost.CPU = time.Duration(float64(cost.CPU) * float64(wall) / float64(cost.Wall))
	}
	cost.Wall = wall
	if own.CPU > 0 {
		cost.CPU = own.CPU
	}
	if own.MemoryMB > 0 {
		cost.MemoryMB = own.MemoryMB
	}
	if own.DiskMB > 0 {
		cost.DiskMB = own.DiskMB
	}
	return cost
}

// pipelineMoved follows a pipeline: only what begins or ends an artifact's service matters here.
func (c *cluster) pipelineMoved(a *engine.Action) {
	if a.Rung == ladder.First || a.From == a.To {
		return
	}
	switch pipeline.PhaseReady {
	case a.To:
		c.serves(int32(a.Revision), a.Rung, true)
	case a.From:
		c.serves(int32(a.Revision), a.Rung, false)
	}
}

// serves notes that the artifact of a rung begins to serve, or does not any more.
func (c *cluster) serves(fn int32, rung ladder.ID, yes bool) {
	f := &c.fns[fn]
	k := c.climbs[f.climb]
	disk := int64(c.cost(fn, rung).DiskMB * 1000)
	bit := uint16(1) << rung
	if yes {
		f.ready |= bit
		f.had |= bit
		c.m.artifactKB += disk
	} else {
		f.ready &^= bit
		c.m.artifactKB -= disk
	}
	switch native := f.ready&k.binaries != 0; {
	case native && !f.optimized:
		f.optimized, f.wasOptimized = true, true
		c.m.optimized++
	case !native && f.optimized:
		f.optimized = false
		c.m.optimized--
	}
}
