package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/logs"
	"github.com/cloudjit/cloudjit/internal/recent"
	"github.com/cloudjit/cloudjit/internal/telemetry"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// instance is one worker from its start to its end; one goroutine, its keeper, owns it.
type instance struct {
	id        engine.WorkerID
	name      string // the worker's ULID
	rev       *revision
	rung      ladder.ID
	row       *ladder.Rung // of the rung
	recording ladder.Recording
	check     bool
	limit     time.Duration // of the start
	compare   bool
	began     time.Time
	record    string       // the folder of what it records on this host; empty if it does not
	found     [32]byte     // hash of the metadata that was read there last; the keeper's and its poller's, one after the other
	broken    int          // traces in a row that were no metadata; likewise
	stoodIn   bool         // samples took the place of its invocations; the poller's
	out       *logs.Writer // nil without logs
	hint      *hint        // of a binary

	// Under the node's mutex:
	ready  bool
	uses   int           // invocations that it has been given and that have not come back
	served int64         // and that it has ever been given
	last   time.Time     // when it gave one back last
	unused chan struct{} // closed when uses becomes 0, if the keeper waits for that
	why    engine.Reason // why it was told to stop

	// Written by the keeper before EventWorkerReady or EventWorkerFailed, read-only after.
	worker worker.Worker
	err    error

	idle     idler
	usage    usage
	cpu      atomic.Int64 // CPU time when it was read last, ns
	clocked  engine.Clock // when that was
	scale    engine.Scale // when its memory is measured
	weighed  atomic.Int64 // what it used then, until the engine is told of it, bytes; 0: it was told
	peak     atomic.Int64 // the most memory that was measured, bytes
	measured atomic.Int64 // when that was, the engine's time

	never atomic.Bool // it met what no binary can do

	stopOnce sync.Once
	told     chan struct{} // closed when the engine wants it stopped
}

// stop tells the keeper to stop the worker. The caller holds the node's mutex.
func (w *instance) stop(why engine.Reason) {
	w.why = why
	w.stopOnce.Do(func() { close(w.told) })
}

// ended reports whether the runtime has ended.
func (w *instance) ended() bool {
	select {
	case <-w.worker.Done():
		return true
	default:
		return false
	}
}

// peakPeriod is how often the memory of a busy worker is measured for the REPORT lines: it takes some
// ten microseconds, and the peak can only grow.
const peakPeriod = int64(time.Second)

// most is the most memory that a worker is known to have used, bytes; 0: not known.
func (w *instance) most(now int64, exit *worker.Exit) int64 {
	if exit != nil {
		if exit.OutOfMemory {
			return int64(w.rev.memory) << 20
		}
		return w.peak.Load()
	}
	last := w.measured.Load()
	if p, ok := w.worker.(worker.Peaker); ok && (last == 0 || now-last >= peakPeriod) && w.measured.CompareAndSwap(last, now) {
		w.peak.Store(max(w.peak.Load(), p.Peak()))
	}
	return w.peak.Load()
}

// clock is the CPU time that a worker took since it was asked last, 0 where the engine is not told of it (engine.Clock). It adds
// to what was accounted for the worker as often.
func (n *Node) clock(w *instance) int64 {
	due, warm := w.clocked.Ended(n.now())
	if !due {
		return 0
	}
	n.account(w)
	cpu, _ := w.usage.sum()
	if before := w.cpu.Swap(int64(cpu)); warm {
		return max(int64(cpu)-before, 0)
	}
	return 0
}

// begin marks the start of an invocation in the log.
func (w *instance) begin(request string) {
	if w.out != nil && w.rev.slots() == 1 {
		w.out.Begin(request)
		w.out.Platform("START RequestId: " + request + " Version: " + w.rev.spec.Version)
	}
}

// startWorker carries out ActionStart. The caller holds n.mu.
func (n *Node) startWorker(a *engine.Action) {
	for int(a.Worker) >= len(n.workers) {
		n.workers = append(n.workers, nil)
	}
	rev := n.revs[a.Revision]
	w := &instance{
		id: a.Worker, name: ulid.Make().String(), rev: rev, rung: a.Rung, row: &rev.ladder.Rungs[a.Rung], recording: a.Recording,
		check: a.Check, compare: a.Compare, limit: time.Duration(a.At), began: time.Now(), told: make(chan struct{}),
	}
	w.idle.after = func() {
		n.account(w)
		n.weigh(w)
	}
	w.idle.failed = func(err error) {
		n.log.Error("pause or resume a worker", telemetry.KeyWorker, w.name, telemetry.KeyError, err)
	}
	n.workers[a.Worker] = w
	dir := rev.artifacts[a.Rung].dir
	n.wg.Go(func() { n.keep(w, dir) })
}

// keep starts a worker, looks after it while it lives, and sees that nothing is left of it.
func (n *Node) keep(w *instance, artifact string) {
	ctx, cancel := context.WithCancel(n.ctx)
	defer cancel()
	if !n.bring(ctx, w, artifact) {
		return
	}
	if !w.check && !n.opt.Launcher.Uses(w.worker, *w.row, artifact) {
		n.stale(w, artifact)
	}
	var polled sync.WaitGroup
	if w.recording == ladder.RecordingMetadata {
		polled.Go(func() { n.poll(ctx, w) })
	}
	select {
	case <-w.told:
	case <-w.worker.Done():
		n.log.Info("worker ended by itself", telemetry.KeyFunction, w.rev.fn.name, telemetry.KeyWorker, w.name,
			telemetry.KeyRung, w.row.Name, "exit", w.worker.Exit().String())
		n.unused(w)
	case <-n.ctx.Done():
	}
	w.idle.end()
	cancel()
	polled.Wait()
	used := n.used(ctx, w)
	grace := n.opt.StopGrace
	if w.recording.AtEnd() && n.ctx.Err() == nil {
		grace = n.opt.RecordGrace
	}
	// Stop also removes what a worker that ended by itself has left. It must not be cut short.
	if err := w.worker.Stop(context.WithoutCancel(ctx), grace); err != nil {
		n.log.Error("stop worker", telemetry.KeyWorker, w.name, telemetry.KeyError, err)
	}
	n.account(w)
	switch {
	case w.recording == ladder.RecordingMetadata:
		n.collect(context.WithoutCancel(ctx), w, true)
	case w.recording.AtEnd():
		n.take(w)
	}
	n.tidy(w)
	n.exited(w, used)
}

// staleAfter is how long a worker must go on without its artifact before that is believed: of one that is
// just ending nothing can be told.
const staleAfter = 100 * time.Millisecond

// stale tells the engine that a worker serves without its artifact, which does not fit any more.
func (n *Node) stale(w *instance, artifact string) {
	select {
	case <-w.told:
		return
	case <-w.worker.Done():
		return
	case <-n.ctx.Done():
		return
	case <-time.After(staleAfter):
	}
	if n.opt.Launcher.Uses(w.worker, *w.row, artifact) || w.ended() {
		return
	}
	n.log.Warn("a worker does not use its artifact", telemetry.KeyFunction, w.rev.fn.name, telemetry.KeyRevision, w.rev.spec.ID, telemetry.KeyRung, w.row.Name)
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.closed && !w.rev.gone {
		n.step(engine.Event{Kind: engine.EventStale, Revision: w.rev.id, Rung: w.rung})
	}
}

// bring starts a worker and tells the engine what came of it.
func (n *Node) bring(ctx context.Context, w *instance, artifact string) bool {
	var checked engine.Event
	if w.compare {
		failure, version, cost := n.compare(ctx, w, artifact)
		if failure != engine.FailureNone {
			n.unfit(w, failure, version, cost)
			return false
		}
		checked.Version, checked.Cost = version, cost
	}
	started, err := n.launch(ctx, w, artifact)
	if err == nil && w.check && !n.opt.Launcher.Uses(started, *w.row, artifact) {
		if stop := started.Stop(context.WithoutCancel(ctx), 0); stop != nil {
			n.log.Error("stop worker", telemetry.KeyWorker, w.name, telemetry.KeyError, stop)
		}
		err = &worker.StartError{Phase: "runtime", Err: errors.New("the artifact is not used: the runtime refuses it")}
	}
	failure := engine.FailureNone
	if err != nil {
		failure = n.failure(ctx, w, artifact, err)
		n.log.Warn("worker did not start", telemetry.KeyFunction, w.rev.fn.name, telemetry.KeyWorker, w.name,
			telemetry.KeyRung, w.row.Name, telemetry.KeyError, err)
	}
	n.mu.Lock()
	if err != nil {
		w.err = err
		n.events.send(w.event("worker.failed", err.Error()))
		if !n.closed {
			n.step(engine.Event{Kind: engine.EventWorkerFailed, Worker: w.id, Failure: failure, Version: checked.Version, Cost: checked.Cost})
		}
		n.forget(w)
		n.mu.Unlock()
		n.tidy(w)
		return false
	}
	defer n.mu.Unlock()
	w.worker, w.ready = started, true
	w.clocked.Ready(n.now())
	if c, ok := started.(worker.Clocker); ok {
		w.cpu.Store(int64(c.CPU()))
	}
	grace := n.opt.PauseAfter
	if w.recording == ladder.RecordingMetadata && grace > 0 {
		grace = max(grace, recordPause)
	}
	w.idle.begin(started, grace, w.rev.fn.leaveRunning)
	n.events.send(w.event("worker.started", ""))
	if !n.closed {
		n.step(engine.Event{Kind: engine.EventWorkerReady, Worker: w.id, Version: checked.Version, Cost: checked.Cost})
	}
	if w.check && !n.closed {
		n.sampling(w.rev)
	}
	return true
}

// compare runs the comparison of a worker that checks, until the engine does not want it any more.
func (n *Node) compare(ctx context.Context, w *instance, artifact string) (engine.Failure, uint32, ladder.Cost) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	var watched sync.WaitGroup
	watched.Go(func() {
		select {
		case <-w.told:
			cancel()
		case <-ended:
		}
	})
	defer watched.Wait()
	defer close(ended)
	defer cancel()
	return n.compared(ctx, w, artifact)
}

// unfit ends a worker that checks before it has started.
func (n *Node) unfit(w *instance, failure engine.Failure, version uint32, cost ladder.Cost) {
	n.mu.Lock()
	defer n.mu.Unlock()
	w.err = fmt.Errorf("the artifact of %s is not good: %s", w.row.Name, failure)
	if !n.closed {
		n.step(engine.Event{Kind: engine.EventWorkerFailed, Worker: w.id, Failure: failure, Version: version, Cost: cost})
		n.sampling(w.rev)
	}
	n.forget(w)
}

func (n *Node) launch(ctx context.Context, w *instance, artifact string) (worker.Worker, error) {
	limits := n.opt.WorkerLimits
	limits.MemoryMiB = int(w.rev.memory + w.recording.MiB())
	l := Launch{
		ID: w.name, Revision: w.rev.spec, Rung: *w.row, Recording: w.recording, Artifact: artifact, Check: w.check, Limits: limits,
	}
	if w.recording != ladder.RecordingNone {
		if err := n.recordInto(w, &l); err != nil { // the disk is full: it serves all the same, and leaves no recording
			n.log.Warn("a worker cannot record", telemetry.KeyWorker, w.name, telemetry.KeyError, err)
			l.Record, l.Recording = "", ladder.RecordingNone
		}
	}
	spec, err := n.opt.Launcher.Launch(ctx, l)
	if err != nil {
		return nil, &worker.StartError{Phase: "runtime", Err: err}
	}
	var output io.Writer
	if n.opt.Logs != nil {
		w.out = n.opt.Logs.Writer(string(w.rev.fn.name), w.rev.spec.Version, w.name)
		output = w.out
	}
	if w.row.Artifact == ladder.ArtifactBinary {
		w.hint = &hint{next: output}
		output = w.hint
	}
	spec.Output = output
	return n.start(ctx, spec, n.limitOf(w))
}

// recordInto makes the folder for what a worker records.
func (n *Node) recordInto(w *instance, l *Launch) error {
	w.record = filepath.Join(n.opt.Dir, recordFolder, w.name)
	l.Record = w.record
	return os.MkdirAll(w.record, 0o700)
}

// failure classes a start that came to nothing.
func (n *Node) failure(ctx context.Context, w *instance, artifact string, err error) engine.Failure {
	if errors.Is(err, worker.ErrClosed) || n.ctx.Err() != nil {
		return engine.FailureStopped
	}
	if stale(err) {
		return engine.FailureStale
	}
	var start *worker.StartError
	if !errors.As(err, &start) || start.Phase == "sandbox" {
		return engine.FailureSandbox
	}
	var slow *slowError
	if errors.As(err, &slow) {
		return engine.FailureSlow
	}
	if start.Exit != nil && start.Exit.Code == function.ExitMissingMetadata && w.row.Artifact == ladder.ArtifactBinary {
		n.learn(w.rev, w, start.Exit, n.survey(ctx, w, artifact))
		if w.never.Load() {
			return engine.FailureNever
		}
		return engine.FailureMetadata
	}
	return engine.FailureInit
}

// stale reports whether a worker did not start because its artifact does not fit any more, or is damaged.
func stale(err error) bool {
	return errors.Is(err, aot.ErrStale) || errors.Is(err, worker.ErrNotRestored)
}

// used measures what a worker uses, bytes; 0: it is not known.
func (n *Node) used(ctx context.Context, w *instance) int64 {
	if w.ended() || n.ctx.Err() != nil {
		return 0
	}
	m, err := w.worker.Memory(context.WithoutCancel(ctx))
	if err != nil {
		return 0
	}
	return m.PSS
}

// weigh measures what a worker uses that was paused, if the engine is to be told of it. That takes milliseconds, so nobody waits for it.
func (n *Node) weigh(w *instance) {
	if w.scale.Idle() {
		n.wg.Go(func() { w.weighed.Store(n.used(n.ctx, w)) })
	}
}

// unused waits until no invocation is on its way to or from a worker that has ended.
func (n *Node) unused(w *instance) {
	n.mu.Lock()
	if w.uses == 0 {
		n.mu.Unlock()
		return
	}
	w.unused = make(chan struct{})
	unused := w.unused
	n.mu.Unlock()
	<-unused
}

// tidy removes what the node made for a worker.
func (n *Node) tidy(w *instance) {
	if w.out != nil {
		_ = w.out.Close() // it never fails
	}
	if w.record != "" {
		if err := os.RemoveAll(w.record); err != nil {
			n.log.Error("remove the folder of a recorder", telemetry.KeyWorker, w.name, telemetry.KeyError, err)
		}
	}
}

// exited tells the engine that nothing is left of a worker, which used that (bytes; 0: not known).
func (n *Node) exited(w *instance, used int64) {
	for {
		n.unused(w)
		n.mu.Lock()
		if w.uses == 0 {
			break
		}
		n.mu.Unlock() // the engine has given it one more in this moment, which comes back at once
	}
	defer n.mu.Unlock()
	reason := w.why.String()
	if w.why == engine.ReasonNone {
		reason = "exited"
	}
	if n.opt.Metrics != nil {
		n.opt.Metrics.WorkerEnd(w.row.Name, reason)
	}
	n.events.send(w.event("worker.ended", reason))
	if n.opt.Recent != nil {
		n.opt.Recent.End(recent.End{At: time.Now().UTC(), Function: w.rev.fn.name, Worker: w.name, Rung: w.row.Name, Reason: reason})
	}
	if !n.closed {
		n.step(engine.Event{Kind: engine.EventWorkerExited, Worker: w.id, MemoryMB: float64(used) / 1e6})
	}
	n.forget(w)
}

// forget frees a worker's place in the table, unless the engine has given it to another already.
// The caller holds n.mu.
func (n *Node) forget(w *instance) {
	if n.workers[w.id] == w {
		n.workers[w.id] = nil
	}
}

func (w *instance) event(kind, reason string) Event {
	d := map[string]any{"rung": w.row.Name}
	if w.recording != ladder.RecordingNone {
		d["recording"] = w.recording
	}
	if w.ready {
		d["phases"] = w.worker.Phases()
		d["seconds"] = time.Since(w.began).Seconds()
		d["invocations"] = w.served
	}
	return Event{Type: kind, Function: w.rev.fn.name, Revision: w.rev.spec.ID, Worker: w.name, Reason: reason, Data: data(d)}
}

// String is for errors and logs.
func (w *instance) String() string { return fmt.Sprintf("%s (%s)", w.name, w.row.Name) }
