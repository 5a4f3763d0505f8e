// Package node is the shell around the engine: it tells it what happens on this machine and
// carries out what it decides, on real workers and builders, and keeps what must outlive a
// restart.
//
// It decides nothing itself: which worker runs an invocation, when one starts or stops, what
// is built and when a function goes back are the engine's. It must not know the network API
// that calls it, nor how sandboxes, builds and state are made; those are behind interfaces.
//
// The engine is owned by a mutex and not by a goroutine: a warm invocation takes it twice, for a
// few microseconds, and runs on its caller's goroutine without a hop. Whatever takes time is
// done by a goroutine of the node's, which Close stops and waits for.
package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/logs"
	"github.com/cloudjit/cloudjit/internal/machine"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/recent"
	"github.com/cloudjit/cloudjit/internal/store"
	"github.com/cloudjit/cloudjit/internal/telemetry"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// Options of a node. Driver, Launcher, State and Dir are needed; all others may be zero.
type Options struct {
	Driver   worker.Driver
	Launcher Launcher
	State    State
	// Builders make artifacts; rungs whose builder is not among them are left out of the ladders.
	Builders []aot.Builder
	// Code returns the file of an uploaded archive, for the builder.
	Code func(sha256 string) (string, error)
	// Logs takes what functions write; nil: nobody does.
	Logs Logs
	// Metrics are told what ends; nil: nobody is.
	Metrics Metrics
	// Recent remembers what happened lately; nil: nothing does.
	Recent *recent.Activity
	// Tracer is told what took how long; nil: nobody is.
	Tracer Tracer
	// Policy decides on builds and keep-alive; nil: the paper's.
	Policy policy.Policy
	// Defaults are the policy of a function that has none of its own; all fields set.
	Defaults store.Policy
	// Limits of the node.
	Limits engine.NodeConfig
	// BuildLimits bound one build.
	BuildLimits aot.Limits
	// WorkerLimits bound a worker beyond what its revision says (CPUs, PIDs).
	WorkerLimits worker.Limits
	// InitTimeout is how long a worker may take to become ready, WebInitTimeout the same of web applications; 0: ten
	// seconds (Lambda's), and one minute. See initLimit.
	InitTimeout, WebInitTimeout time.Duration
	// Load is the mean number of tasks on this machine that run or want to, of the last minute; nil: the kernel's.
	Load func() float64
	// StopGrace is how long a worker has to end by itself; 0: two seconds.
	StopGrace time.Duration
	// RecordGrace is how long a recorder has to end, which then writes down what it recorded; 0:
	// twenty seconds.
	RecordGrace time.Duration
	// PauseAfter is how long an idle worker runs on until it is kept from running, if its driver can do that and
	// the function's policy does not say otherwise; 0: for ever.
	PauseAfter time.Duration
	// TracePeriod is how often what a tracing worker found is read; 0: one second.
	TracePeriod time.Duration
	// Samples bound what is kept of what functions are asked.
	Samples SampleOptions
	// RecordingBytes is how much recordings that are files may take together; 0: no limit.
	RecordingBytes int64
	// Dir is for files of running workers, and for recordings; the node owns it.
	Dir string
	// Peers, if set, are the other nodes of a cluster, Name is this one's among them; State is a SharedState then.
	Peers Peers
	Name  string
	// Fetch, if set, gets an artifact from another node, so that Lookup finds it. It leaves nothing behind where it fails.
	Fetch func(ctx context.Context, w Wanted) error
	// Record, if set, takes every event with its actions, for a replay.
	Record Recorder
	// Log takes what an operator should know; nil: nothing.
	Log *slog.Logger
}

// Launcher says how a worker is started.
type Launcher interface {
	// Launch returns the sandbox to start. It may unpack and look things up. An error means that
	// this revision cannot run so; aot.ErrStale: that its artifact does not fit this machine any more.
	Launch(ctx context.Context, l Launch) (worker.Spec, error)
	// Recorded returns the file that a recorder left in its folder at its end; the error says why it left none
	// that can be used. Nothing in that folder is to be trusted.
	Recorded(what ladder.Recording, dir string) (file string, err error)
	// Uses reports whether a worker that was started with an artifact really uses it; true where that
	// cannot be told. A JVM goes on without a cache that it refuses, and says nothing.
	Uses(w worker.Worker, rung ladder.Rung, artifact string) bool
}

// Launch is one worker to be started.
type Launch struct {
	// ID of the worker, a ULID.
	ID        string
	Revision  *function.Spec
	Rung      ladder.Rung
	Recording ladder.Recording
	// Artifact is the folder of the rung's artifact, Record an empty folder for what is recorded.
	Artifact, Record string
	// Check: the worker proves that a new artifact works.
	Check bool
	// Trial: it only shows what the rung answers, without a network.
	Trial bool
	// Survey lets a binary go on where it lacks metadata, and only say so.
	Survey bool
	Limits worker.Limits
}

// State is the durable state, as far as the node needs it; *store.Store has it.
type State interface {
	Function(name function.Name) (*store.Function, bool)
	Revision(id function.RevisionID) (*store.Revision, bool)
	PolicyOf(f *store.Function, defaults store.Policy) (store.Policy, error)
	Pipeline(id function.RevisionID) (*store.Pipeline, bool)
	PutPipeline(ctx context.Context, id function.RevisionID, state json.RawMessage, steps ...store.Transition) error
	PutMetadata(ctx context.Context, id function.RevisionID, doc []byte, reason string) (int, error)
	Metadata(ctx context.Context, id function.RevisionID, number int) ([]byte, store.MetadataVersion, error)
	Samples(ctx context.Context, name function.Name) ([]byte, error)
	PutBuild(ctx context.Context, b *store.Build) error
	PutBuildLog(ctx context.Context, rev function.RevisionID, build string, log []byte) error
}

// Logs makes the writers of what functions write; *logs.Store has it.
type Logs interface {
	Writer(function, version, worker string) *logs.Writer
}

// Tracer makes traces of what ended; *telemetry.Tracer has it. Methods never block.
type Tracer interface {
	// Invocation is below the span in ctx, which is the caller's.
	Invocation(ctx context.Context, i *telemetry.Invocation)
	Build(b *telemetry.Build)
}

// Metrics are told what ended; *telemetry.Metrics has it. Methods are cheap and never block.
type Metrics interface {
	Invocation(fn function.Name, rung function.Rung, outcome function.Outcome, d time.Duration)
	ColdStart(fn function.Name, rung function.Rung, phases map[string]time.Duration)
	Rejection(reason string)
	WorkerEnd(rung function.Rung, reason string)
	// Use counts CPU time that workers took and bytes of their output that were dropped.
	Use(fn function.Name, rung function.Rung, cpu time.Duration, dropped int64)
	Build(rung function.Rung, result string, wall, cpu time.Duration, peakRSS int64)
	// Check is a check that compared; result is one of the store's.
	Check(rung function.Rung, result string, wall, cpu time.Duration)
	Deoptimization(fn function.Name)
	// Fall counts an artifact that turned out wrong while it served.
	Fall(fn function.Name, rung function.Rung, reason string)
	Forget(fn function.Name)
}

// Recorder takes the engine's events and actions, in order. It must not block.
type Recorder interface {
	Record(now int64, ev engine.Event, actions []engine.Action)
}

// Errors that callers branch on.
var (
	// ErrNotFound is returned for a function or revision that the node does not have, or that was
	// replaced while the invocation was on its way: resolve the name again.
	ErrNotFound = errors.New("no such revision on this node")
	// ErrDraining is returned while the node shuts down.
	ErrDraining = errors.New("the node is shutting down")
	// ErrStopped is an ErrDraining of an invocation that had begun.
	ErrStopped = fmt.Errorf("%w, and did not let the invocation end", ErrDraining)
	// ErrConflict is returned for what cannot be done to a revision in its state.
	ErrConflict = errors.New("cannot be done now")
)

// LostError is another node that took an invocation, or may have, and went away before it answered. The invocation may have run.
type LostError struct {
	Node string
	Err  error
}

func (e *LostError) Error() string {
	return fmt.Sprintf("the node %s, which had the invocation, went away before it answered (%v); the invocation may have run", e.Node, e.Err)
}

func (e *LostError) Unwrap() error { return e.Err }

// RejectError is an invocation that was refused because of a limit.
type RejectError struct{ Reason engine.Reason }

func (e *RejectError) Error() string { return "invocation refused: " + e.Reason.Text() }

// Node runs functions on this machine. Its methods may be called concurrently.
type Node struct {
	opt   Options
	log   *slog.Logger
	began time.Time // what engine times are counted from, with the monotonic clock
	ctx   context.Context
	stop  context.CancelFunc
	wg    sync.WaitGroup

	builders map[string]aot.Builder       // by name; read-only
	ladders  map[ladderKey]*ladder.Ladder // under mu: those that this node can build for

	revisions sync.Map // function.RevisionID -> *revision, those that take invocations
	cores     cores
	buildLogs sync.Map // build -> *capped, of builds that run

	reading sync.Mutex // held while a trace is read: one at a time

	mu        sync.Mutex
	engine    *engine.Engine
	last      int64
	actions   []engine.Action
	functions map[function.Name]*fn
	fns       []*fn
	revs      []*revision
	calls     []*call
	freeCalls []*call
	workers   []*instance
	wake      *time.Timer
	closed    bool
	drained   chan struct{}

	writes   writer
	follower follower
	fetches  fetches
	wishes   wishes
	samples  samples
	events   bus
	totals   totals
}

// totals are counters since the start, for Snapshot.
type totals struct {
	invocations, coldStarts, rejections, deopts, builds, buildFailures atomic.Int64
}

// Open starts a node: what workers of an earlier server left is removed first.
func Open(ctx context.Context, opt Options) (*Node, error) {
	if opt.Driver == nil || opt.Launcher == nil || opt.State == nil || opt.Dir == "" {
		return nil, errors.New("node: needs a driver, a launcher, state and a folder")
	}
	if opt.Policy == nil {
		opt.Policy = &policy.Paper{}
	}
	if opt.InitTimeout == 0 {
		opt.InitTimeout = 10 * time.Second
	}
	if opt.WebInitTimeout == 0 {
		opt.WebInitTimeout = time.Minute
	}
	if opt.Load == nil {
		opt.Load = machine.Load
	}
	if opt.StopGrace == 0 {
		opt.StopGrace = 2 * time.Second
	}
	if opt.RecordGrace == 0 {
		opt.RecordGrace = 20 * time.Second
	}
	if opt.TracePeriod == 0 {
		opt.TracePeriod = time.Second
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	n := &Node{
		opt: opt, log: opt.Log, began: time.Now(),
		engine: engine.New(engine.NodeConfig{}, opt.Policy), functions: map[function.Name]*fn{},
		drained: make(chan struct{}), builders: map[string]aot.Builder{}, ladders: map[ladderKey]*ladder.Ladder{},
	}
	for _, b := range opt.Builders {
		n.builders[b.Name()] = b
	}
	left, err := opt.Driver.Clean(ctx)
	if err != nil {
		return nil, fmt.Errorf("remove what workers of an earlier server left: %w", err)
	}
	if left > 0 {
		n.log.Info("removed what workers of an earlier server left", "workers", left)
	}
	if err := os.RemoveAll(filepath.Join(opt.Dir, recordFolder)); err != nil {
		return nil, fmt.Errorf("empty the folder of recorders: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(opt.Dir, recordingFolder), 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of recordings: %w", err)
	}
	n.ctx, n.stop = context.WithCancel(context.Background())
	n.writes.init(n)
	n.events.init()
	if err := n.openSamples(); err != nil {
		n.stop()
		return nil, fmt.Errorf("open the folder of samples: %w", err)
	}
	if err := n.startFollowing(); err != nil {
		n.stop()
		return nil, fmt.Errorf("listen to other nodes: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.step(engine.Event{Kind: engine.EventConfigured, NodeConfig: &opt.Limits}) // first, so that a recording holds it
	return n, nil
}

// now is the engine's time: Unix ns that never go backwards.
func (n *Node) now() int64 { return n.began.UnixNano() + int64(time.Since(n.began)) }

// step gives the engine an event and carries its actions out. The caller holds n.mu.
func (n *Node) step(ev engine.Event) {
	n.last = max(n.last, n.now())
	n.actions = n.engine.Step(n.last, ev, n.actions[:0])
	if n.opt.Record != nil {
		n.opt.Record.Record(n.last, ev, n.actions)
	}
	for i := range n.actions {
		n.do(&n.actions[i])
	}
}

// do carries one action out, or sees to it that somebody does: it never blocks, and it gives
// the engine no event.
func (n *Node) do(a *engine.Action) {
	switch a.Kind {
	case engine.ActionAssign:
		c, w := n.calls[a.Invocation], n.workers[a.Worker]
		w.uses++
		w.served++
		c.worker, c.cold = w, a.Cold
		if w.rev.follows {
			w.rev.did(a.Cold)
			n.use(w.rev)
		}
		c.signal()
	case engine.ActionStart:
		n.startWorker(a)
	case engine.ActionStop:
		n.workers[a.Worker].stop(a.Reason)
	case engine.ActionReject:
		n.calls[a.Invocation].end(a.Reason, nil)
	case engine.ActionFail:
		n.calls[a.Invocation].end(a.Reason, n.workers[a.Worker])
	case engine.ActionRetry:
		n.calls[a.Invocation].again = true
	case engine.ActionBuild:
		n.startBuild(a)
	case engine.ActionCancelBuild:
		if cancel := n.revs[a.Revision].artifacts[a.Rung].cancel; cancel != nil {
			cancel()
		}
	case engine.ActionDrop:
		n.drop(a)
	case engine.ActionPrepared:
		n.revs[a.Revision].prepared(a.Rung, a.Reason)
	case engine.ActionRecord:
		n.record(a)
	case engine.ActionWake:
		n.wakeAt(a.At)
	case engine.ActionGone:
		n.gone(a.Revision)
	case engine.ActionDrained:
		close(n.drained)
	case engine.ActionIllegal:
		// A fault of this package: nothing changed in the engine.
		n.log.Error("the engine refused an event", "reason", a.Reason.String(), "worker", int(a.Worker), "invocation", int(a.Invocation))
	}
}

// wakeAt lets the engine look again at a time.
func (n *Node) wakeAt(at int64) {
	d := time.Duration(at - n.last)
	if n.wake != nil {
		n.wake.Reset(d)
		return
	}
	n.wake = time.AfterFunc(d, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if !n.closed {
			n.step(engine.Event{Kind: engine.EventWoke})
		}
	})
}

// Configure changes the node's limits while it runs.
func (n *Node) Configure(limits engine.NodeConfig) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.closed {
		n.step(engine.Event{Kind: engine.EventConfigured, NodeConfig: &limits})
	}
}

// Drain takes no new invocation, lets those that wait and run end, and stops workers and builds. It
// returns when nothing is left or ctx ends; Close is called after it all the same.
func (n *Node) Drain(ctx context.Context) error {
	n.mu.Lock()
	if !n.closed {
		n.step(engine.Event{Kind: engine.EventDrain})
	}
	n.mu.Unlock()
	select {
	case <-n.drained:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("drain: %w", context.Cause(ctx))
	}
}

// Close stops everything at once and waits until no goroutine of the node is left, and all state is
// written. Idempotent.
func (n *Node) Close() error {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		n.wg.Wait()
		return nil
	}
	n.closed = true
	if n.wake != nil {
		n.wake.Stop()
	}
	n.stop()
	n.mu.Unlock()
	n.follower.stop()
	err := n.opt.Driver.Close()
	n.wg.Wait()
	n.writes.close()
	n.events.close()
	if err != nil {
		return fmt.Errorf("close driver %s: %w", n.opt.Driver.Name(), err)
	}
	return nil
}
