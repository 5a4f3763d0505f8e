package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/store"
	"github.com/cloudjit/cloudjit/internal/telemetry"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// States of a build's record.
const (
	buildRunning   = "running"
	buildSucceeded = "succeeded"
	buildFailed    = "failed"
	buildCancelled = "cancelled"
)

// startBuild carries out ActionBuild. The caller holds n.mu.
func (n *Node) startBuild(a *engine.Action) {
	rev, rung, version := n.revs[a.Revision], a.Rung, a.Version
	ctx, cancel := context.WithCancel(n.ctx)
	rev.artifacts[rung].cancel = cancel
	trigger := rev.artifacts[rung].trigger
	n.wg.Go(func() {
		defer cancel()
		n.build(ctx, rev, rung, version, trigger)
	})
}

// build runs one build and tells the engine what came of it.
func (n *Node) build(ctx context.Context, rev *revision, rung ladder.ID, version uint32, trigger string) {
	row := &rev.ladder.Rungs[rung]
	if row.From == ladder.RecordingMetadata {
		version = n.newestMetadata(ctx, rev, version)
	}
	builder := n.builders[row.Builder]
	now := time.Now().UTC()
	rec := &store.Build{
		ID: ulid.Make().String(), Revision: rev.spec.ID, Function: rev.fn.name, Builder: row.Builder, Rung: row.Name,
		State: buildRunning, Trigger: trigger, RecordingVersion: int(version), QueuedAt: now, StartedAt: &now,
	}
	var out capped
	n.buildLogs.Store(rec.ID, &out)
	defer n.buildLogs.Delete(rec.ID)
	var phases []telemetry.BuildPhase
	n.put(rev, rec)
	n.events.send(buildEvent("build.started", rec))
	n.log.Info("build started", telemetry.KeyFunction, rev.fn.name, telemetry.KeyRevision, rev.spec.ID, telemetry.KeyBuild, rec.ID, telemetry.KeyRung, row.Name)

	res, err := n.runBuild(ctx, rev, rung, version, &out, func(phase string) {
		next := *rec
		next.Phase = phase
		rec = &next
		n.put(rev, rec)
		n.events.send(buildEvent("build.progress", rec))
		phases = append(phases, telemetry.BuildPhase{Name: phase, At: time.Now()})
	})
	end := time.Now().UTC()
	next := *rec
	rec = &next
	rec.EndedAt = &end
	failure := engine.FailureNone
	var failedKey aot.Key
	if err != nil {
		if failure = describe(rec, err); failure == engine.FailureInputs {
			if req, err := n.request(ctx, rev, rung, version); err == nil {
				failedKey, _ = builder.Key(req) // without it, another tool chain is not noticed
			}
		}
	} else {
		rec.State, rec.Key, rec.Cached, rec.Cost = buildSucceeded, res.Key, res.Cached, res.Cost
	}
	n.put(rev, rec)
	if doc := out.Bytes(); len(doc) > 0 && n.stored(rev) {
		if err := n.opt.State.PutBuildLog(context.WithoutCancel(ctx), rev.spec.ID, rec.ID, doc); err != nil {
			n.log.Error("store build log", telemetry.KeyBuild, rec.ID, telemetry.KeyError, err)
		}
	}
	n.told(rec, phases)
	digest := ""
	if err == nil {
		digest = n.digest(builder, res.Key)
	}

	n.mu.Lock()
	defer n.mu.Unlock()
	a := &rev.artifacts[rung]
	a.cancel = nil
	if n.closed {
		return
	}
	if failure != engine.FailureNone {
		if failure == engine.FailureInputs {
			a.failed = failedKey
		}
		a.why = rec.Reason
		n.step(engine.Event{Kind: engine.EventBuildFailed, Revision: rev.id, Rung: rung, Failure: failure, Version: version})
		return
	}
	cost := costOf(res)
	if n.shared(rev, rung, res.Key) {
		cost.DiskMB = 0 // it is counted already
	}
	a.take(built{dir: res.Dir, key: res.Key, digest: digest})
	n.step(engine.Event{Kind: engine.EventBuildDone, Revision: rev.id, Rung: rung, Cost: cost, Version: version})
}

// shared reports whether another rung of a revision has an artifact already. The caller holds n.mu.
func (n *Node) shared(rev *revision, rung ladder.ID, key aot.Key) bool {
	for i := range rev.artifacts {
		if ladder.ID(i) != rung && rev.artifacts[i].key == key {
			return true
		}
	}
	return false
}

// costOf is what a build cost, as the engine counts. What was there already cost nothing but its size.
func costOf(res *aot.Result) ladder.Cost {
	c := ladder.Cost{DiskMB: float64(res.Cost.Size) / 1e6}
	if !res.Cached {
		c.Wall, c.CPU, c.MemoryMB = res.Cost.Wall, res.Cost.CPU, float64(res.Cost.PeakRSS)/1e6
	}
	return c
}

func (n *Node) runBuild(ctx context.Context, rev *revision, rung ladder.ID, version uint32, out *capped, progress func(string)) (*aot.Result, error) {
	req, err := n.request(ctx, rev, rung, version)
	if err != nil {
		return nil, err
	}
	req.Log, req.Progress = out, progress
	req.Same = n.same(rev, rung)
	return n.builders[req.Rung.Builder].Build(ctx, req)
}

// same is the key of a ready artifact that the builder of a rung made from the same recording for another one.
func (n *Node) same(rev *revision, rung ladder.ID) aot.Key {
	n.mu.Lock()
	defer n.mu.Unlock()
	row := &rev.ladder.Rungs[rung]
	for i := range rev.artifacts {
		other := &rev.ladder.Rungs[i]
		if ladder.ID(i) != rung && other.Builder == row.Builder && other.From == row.From && rev.artifacts[i].key != "" {
			return rev.artifacts[i].key
		}
	}
	return ""
}

// request is a build, without what only its run needs.
func (n *Node) request(ctx context.Context, rev *revision, rung ladder.ID, version uint32) (*aot.Request, error) {
	req := &aot.Request{Revision: rev.spec, Rung: rev.ladder.Rungs[rung], Limits: n.opt.BuildLimits}
	switch req.Rung.From {
	case ladder.RecordingMetadata:
		doc, _, err := n.opt.State.Metadata(ctx, rev.spec.ID, int(version))
		if err != nil {
			return nil, fmt.Errorf("read metadata version %d: %w", version, err)
		}
		req.Recording.Document = doc
	case ladder.RecordingClasses:
		req.Recording.File = n.recordingFile(rev, req.Rung.From)
	}
	if x := req.Rung.Also; x != ladder.RecordingNone {
		if req.Recording.Also = n.recordingFiles(rev, x); len(req.Recording.Also) == 0 {
			return nil, &aot.Error{Class: aot.ClassMetadata, Reason: fmt.Sprintf("the %s that it is made with is not on this machine any more", x)}
		}
	}
	if req.Rung.Artifact == ladder.ArtifactSnapshot {
		req.Exercise = func(ctx context.Context, w worker.Worker) error {
			answered, err := n.exercise(ctx, rev, w)
			n.mu.Lock()
			rev.artifacts[rung].answered = answered
			n.mu.Unlock()
			if err == nil && req.Log != nil {
				fmt.Fprintf(req.Log, "The worker answered %d invocations before it was saved.\n", answered)
			}
			return err
		}
	}
	if n.opt.Code != nil {
		var err error
		if req.Code, err = n.opt.Code(rev.spec.CodeSHA256); err != nil {
			return nil, fmt.Errorf("find the code: %w", err)
		}
	}
	return req, nil
}

// drop carries out ActionDrop. Another revision may have the same artifact: then it stays. The caller
// holds n.mu.
func (n *Node) drop(a *engine.Action) {
	rev := n.revs[a.Revision]
	key, builder := rev.artifacts[a.Rung].key, n.builders[rev.ladder.Rungs[a.Rung].Builder]
	rev.artifacts[a.Rung].take(built{})
	if key == "" || builder == nil {
		return
	}
	n.discardUnused(builder, key)
}

// describe writes an error into a build's record and classes it for the engine.
func describe(rec *store.Build, err error) engine.Failure {
	rec.State, rec.Class, rec.Reason = buildFailed, aot.ClassTool, err.Error()
	var failed *aot.Error
	if errors.As(err, &failed) {
		rec.Class, rec.Reason, rec.Hint, rec.Cost = failed.Class, failed.Reason, failed.Hint, failed.Cost
	} else if errors.Is(err, context.Canceled) {
		rec.Class = aot.ClassCancelled
	}
	switch {
	case rec.Class == aot.ClassCancelled:
		rec.State = buildCancelled
		return engine.FailureCancelled
	case rec.Class.Deterministic():
		return engine.FailureInputs
	}
	return engine.FailureBuild
}

// put writes a build's record; a build goes on without it.
func (n *Node) put(rev *revision, rec *store.Build) {
	if !n.stored(rev) {
		return
	}
	if err := n.opt.State.PutBuild(context.WithoutCancel(n.ctx), rec); err != nil {
		n.log.Error("store build", telemetry.KeyBuild, rec.ID, telemetry.KeyError, err)
	}
}

// told counts a build that ended and tells listeners.
func (n *Node) told(rec *store.Build, phases []telemetry.BuildPhase) {
	n.totals.builds.Add(1)
	result := "ok"
	switch {
	case rec.State != buildSucceeded:
		result = string(rec.Class)
		n.totals.buildFailures.Add(1)
	case rec.Cached:
		result = "cached"
	}
	if n.opt.Metrics != nil {
		n.opt.Metrics.Build(rec.Rung, result, rec.Cost.Wall, rec.Cost.CPU, rec.Cost.PeakRSS)
	}
	if n.opt.Tracer != nil {
		n.opt.Tracer.Build(&telemetry.Build{
			ID: rec.ID, Function: rec.Function, Revision: rec.Revision, Rung: rec.Rung, Result: result, Reason: rec.Reason,
			Began: *rec.StartedAt, Ended: *rec.EndedAt, Phases: phases,
		})
	}
	n.log.Info("build ended", telemetry.KeyFunction, rec.Function, telemetry.KeyBuild, rec.ID, telemetry.KeyOutcome, result,
		telemetry.KeyDuration, rec.Cost.Wall, telemetry.KeyReason, rec.Reason)
	n.events.send(buildEvent("build.ended", rec))
}

func buildEvent(kind string, rec *store.Build) Event {
	return Event{Type: kind, Function: rec.Function, Revision: rec.Revision, Reason: rec.Reason, Data: data(rec)}
}

// BuildLog is what a build that runs has written until now; false if it does not run.
func (n *Node) BuildLog(build string) ([]byte, bool) {
	out, ok := n.buildLogs.Load(build)
	if !ok {
		return nil, false
	}
	return out.(*capped).Bytes(), true
}

// capped keeps the beginning and the end of a build's log, 1 MiB together.
type capped struct {
	mu         sync.Mutex
	head, tail bytes.Buffer
}

const cappedHalf = 512 << 10

// Write never fails.
func (c *capped) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(p)
	if room := cappedHalf - c.head.Len(); room > 0 {
		k := min(room, len(p))
		c.head.Write(p[:k])
		p = p[k:]
	}
	c.tail.Write(p)
	if over := c.tail.Len() - cappedHalf; over > cappedHalf {
		c.tail.Next(over)
	}
	return n, nil
}

// Bytes is what was kept.
func (c *capped) Bytes() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append(bytes.Clone(c.head.Bytes()), c.tail.Bytes()...)
}
