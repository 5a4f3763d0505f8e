package node

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/recent"
	"github.com/cloudjit/cloudjit/internal/telemetry"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// Result is how an invocation ended.
type Result struct {
	Outcome function.Outcome
	// Payload is the answer (OutcomeOK) or the runtime's error document (OutcomeHandlerError,
	// and OutcomeInitError if the runtime posted one).
	Payload []byte
	// Body, if set, is the answer in the place of Payload, for an invocation with Keep. Who gets the result closes it.
	Body        worker.Body
	ContentType string
	// ErrorType is what the runtime said in Lambda-Runtime-Function-Error-Type.
	ErrorType string
	// Exit is how the runtime ended, for OutcomeCrashed, OutcomeOutOfMemory, OutcomeDeoptimized
	// and OutcomeInitError.
	Exit *worker.Exit
	// StartError is why no worker came up, for OutcomeInitError where the runtime said nothing and did not end.
	StartError string
	// Log is the end (4 KiB at most) of what the invocation wrote to its log, if WithTail asked for it.
	Log []byte

	// Rung of the worker that ran it; empty if none did.
	Rung function.Rung
	Cold bool
	// Duration is the handler's own time; Init what was waited for a worker to start.
	Duration, Init time.Duration
}

// call is one invocation on its way. Its fields are the node's under n.mu, but for what a
// receive from wake hands over.
type call struct {
	id      engine.InvocationID
	rev     *revision
	wake    chan struct{} // one token: worker is set, or ended is
	arrived int64

	worker *instance
	cold   bool
	again  bool // the engine took it back to run it again
	ended  bool
	why    engine.Reason
	failed *instance // whose failure ended it
}

func (c *call) end(why engine.Reason, failed *instance) {
	c.ended, c.why, c.failed = true, why, failed
	c.signal()
}

// signal puts the one token into wake.
func (c *call) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

type tailKey struct{}

// WithTail asks Invoke for the end of the invocation's log, which costs a few milliseconds.
func WithTail(ctx context.Context) context.Context { return context.WithValue(ctx, tailKey{}, true) }

// Invoke runs one invocation to its end, waiting for a worker as long as ctx lasts. Once it runs it
// runs to its end or its time, whether the caller is still there or not. A zero Deadline is the
// function's timeout, from when a worker takes it. The error is a *RejectError, ErrNotFound,
// ErrDraining, ctx's, or the platform's fault; whatever the function did wrong is in the Result.
func (n *Node) Invoke(ctx context.Context, id function.RevisionID, inv *worker.Invocation) (*Result, error) {
	rev, ok := n.lookup(id)
	if !ok {
		return nil, fmt.Errorf("invoke %s: %w", id, ErrNotFound)
	}
	c := n.arrive(rev)
	for {
		if !n.await(ctx, c) {
			n.release(c)
			return nil, ctx.Err()
		}
		if c.ended {
			return n.unserved(ctx, c, inv.RequestID, inv.TraceID)
		}
		res, outcome, err := n.run(ctx, c, inv)
		noRetry := inv.Stream != nil && res.streaming
		if n.finish(c, outcome, noRetry) {
			if res.Body != nil {
				res.Body.Close()
			}
			continue
		}
		n.release(c)
		if err != nil {
			return nil, err
		}
		return &res.Result, nil
	}
}

// lookup is a revision that takes invocations.
func (n *Node) lookup(id function.RevisionID) (*revision, bool) {
	v, ok := n.revisions.Load(id)
	if !ok {
		return nil, false
	}
	return v.(*revision), true
}

// arrive gives the engine a new invocation.
func (n *Node) arrive(rev *revision) *call {
	n.mu.Lock()
	defer n.mu.Unlock()
	var c *call
	if last := len(n.freeCalls) - 1; last >= 0 {
		c, n.freeCalls = n.freeCalls[last], n.freeCalls[:last]
	} else {
		c = &call{id: engine.InvocationID(len(n.calls)), wake: make(chan struct{}, 1)}
		n.calls = append(n.calls, c)
	}
	c.rev, c.arrived = rev, n.now()
	if n.closed || rev.gone {
		c.end(engine.ReasonRevisionGone, nil)
		if n.closed {
			c.why = engine.ReasonDraining
		}
		return c
	}
	n.step(engine.Event{Kind: engine.EventArrived, Revision: rev.id, Invocation: c.id})
	return c
}

// release makes an ended call's slot free.
func (n *Node) release(c *call) {
	n.mu.Lock()
	defer n.mu.Unlock()
	*c = call{id: c.id, wake: c.wake}
	select {
	case <-c.wake:
	default:
	}
	n.freeCalls = append(n.freeCalls, c)
}

// await returns true when the call has a worker or has ended, false if ctx ended first; the
// engine has forgotten the call then.
func (n *Node) await(ctx context.Context, c *call) bool {
	select {
	case <-c.wake:
		return true
	default:
	}
	select {
	case <-c.wake:
		return true
	case <-ctx.Done():
	case <-n.ctx.Done():
		n.mu.Lock()
		defer n.mu.Unlock()
		if c.worker == nil && !c.ended {
			c.end(engine.ReasonDraining, nil)
		}
		<-c.wake
		return true
	}
	n.mu.Lock()
	if c.worker == nil && !c.ended {
		n.step(engine.Event{Kind: engine.EventCancelled, Invocation: c.id})
	}
	n.mu.Unlock()
	<-c.wake
	if !c.ended { // it has got a worker in this moment, which has done nothing yet
		n.finish(c, function.OutcomeCancelled, true)
	}
	return false
}

// finish tells the engine how a worker's turn ended; true: the invocation goes on.
func (n *Node) finish(c *call, outcome function.Outcome, noRetry bool) bool {
	cpu := n.clock(c.worker)
	full := cpu > 0 && n.cores.isFull(time.Now())
	c.worker.scale.Ended()
	used := float64(c.worker.weighed.Swap(0)) / 1e6
	n.mu.Lock()
	defer n.mu.Unlock()
	w := c.worker
	now := n.now()
	c.worker, c.again, c.arrived = nil, false, now // if it runs again, it waits anew
	if n.closed {
		c.ended = true
	} else {
		failure := engine.FailureNone
		if outcome == function.OutcomeDeoptimized && w.never.Load() {
			failure = engine.FailureNever
		}
		n.step(engine.Event{Kind: engine.EventFinished, Invocation: c.id, Worker: w.id, Outcome: outcome, Failure: failure, NoRetry: noRetry, CPU: cpu, Full: full, MemoryMB: used})
	}
	w.uses--
	w.last = time.Now()
	if w.uses == 0 && w.unused != nil {
		close(w.unused)
		w.unused = nil
	}
	return c.again
}

// unserved is the answer to an invocation that no worker ran to its end.
func (n *Node) unserved(ctx context.Context, c *call, request, traceID string) (*Result, error) {
	why, failed, rev := c.why, c.failed, c.rev
	if n.opt.Tracer != nil {
		n.opt.Tracer.Invocation(ctx, &telemetry.Invocation{
			Function: rev.fn.name, Revision: rev.spec.ID, Request: request, TraceID: traceID, Reason: why.String(),
			Arrived: time.Unix(0, c.arrived), Ended: time.Now(),
		})
	}
	n.release(c)
	switch why {
	case engine.ReasonRevisionGone:
		return nil, fmt.Errorf("invoke %s: %w", rev.spec.ID, ErrNotFound)
	case engine.ReasonDraining:
		return nil, ErrDraining
	case engine.ReasonInitFailed:
		r := &Result{Outcome: function.OutcomeInitError}
		if failed != nil {
			r.Rung = failed.row.Name
			var start *worker.StartError
			if errors.As(failed.err, &start) {
				r.Payload, r.Exit = start.InitError, start.Exit
				if r.Exit == nil {
					r.StartError = start.Err.Error()
				}
			}
		}
		n.count(rev, r.Rung, r.Outcome, 0)
		return r, nil
	case engine.ReasonStartFailed:
		var err error = &RejectError{why}
		if failed != nil && failed.err != nil {
			err = failed.err
		}
		return nil, fmt.Errorf("start a worker for %s: %w", rev.fn.name, err)
	}
	n.totals.rejections.Add(1)
	if n.opt.Metrics != nil {
		n.opt.Metrics.Rejection(why.String())
	}
	return nil, &RejectError{why}
}

// ran is a Result that may not be the last word.
type ran struct {
	Result
	streaming bool // the caller has seen a part of the answer
}

// run runs a call's invocation on its worker. OutcomeUnknown: it was never begun.
func (n *Node) run(ctx context.Context, c *call, inv *worker.Invocation) (ran, function.Outcome, error) {
	w := c.worker
	res := ran{Result: Result{Rung: w.row.Name, Cold: c.cold}}
	if w.ended() {
		return res, function.OutcomeUnknown, nil
	}
	began := time.Now()
	queued := time.Duration(n.now() - c.arrived)
	own := *inv
	if own.Deadline.IsZero() {
		own.Deadline = began.Add(c.rev.spec.Timeout)
	}
	if own.Stream != nil {
		own.Stream = &watched{own.Stream, &res.streaming}
	}
	if c.cold {
		p := w.worker.Phases()
		res.Init = p.Sandbox + p.Runtime + p.Init
	}
	w.begin(own.RequestID)
	// The caller may go; what runs, runs on until its deadline.
	rctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), own.Deadline)
	w.idle.enter()
	out, err := w.worker.Invoke(rctx, &own)
	w.idle.leave()
	cancel()
	res.Duration = time.Since(began)

	var exit *worker.ExitError
	switch {
	case err == nil:
		res.Outcome, res.Payload, res.Body, res.ErrorType, res.ContentType = out.Outcome, out.Payload, out.Body, out.ErrorType, out.ContentType
	case errors.As(err, &exit) && exit.Exit.Stopped && n.ctx.Err() != nil:
		return res, function.OutcomeCrashed, ErrStopped
	case errors.As(err, &exit) && exit.NotTaken:
		return res, function.OutcomeUnknown, nil
	case errors.As(err, &exit):
		res.Exit = &exit.Exit
		res.Outcome = outcomeOf(w, exit.Exit)
	case errors.Is(err, context.DeadlineExceeded):
		res.Outcome = function.OutcomeTimeout
	case errors.Is(err, worker.ErrInvalidInvocation):
		return res, function.OutcomeCancelled, err
	default:
		return res, function.OutcomeCrashed, fmt.Errorf("invoke on worker %s: %w", w.name, err)
	}
	if w.rev.sampler.open.Load() && (res.Outcome == function.OutcomeOK || res.Outcome == function.OutcomeHandlerError) && !res.streaming {
		n.sample(w, sampleOf(inv, &res.Result), res.Duration)
	}
	n.ended(ctx, c, w, &res.Result, &own, queued)
	if WantsTail(ctx) && w.out != nil {
		w.out.Settle(50 * time.Millisecond)
		res.Log = w.out.Tail()
	}
	return res, res.Outcome, nil
}

// watched notes that a streamed answer has begun: it cannot be taken back.
type watched struct {
	worker.StreamWriter
	begun *bool
}

func (s *watched) Start(contentType string) {
	*s.begun = true
	s.StreamWriter.Start(contentType)
}

// outcomeOf says what the end of a worker means for what it ran.
func outcomeOf(w *instance, exit worker.Exit) function.Outcome {
	switch {
	case exit.OutOfMemory:
		return function.OutcomeOutOfMemory
	case exit.Code == function.ExitMissingMetadata && w.row.Artifact == ladder.ArtifactBinary:
		return function.OutcomeDeoptimized
	}
	return function.OutcomeCrashed
}

// ended tells logs, metrics and listeners of an invocation that ran.
func (n *Node) ended(ctx context.Context, c *call, w *instance, r *Result, inv *worker.Invocation, queued time.Duration) {
	request := inv.RequestID
	n.trace(ctx, c, w, r, inv)
	if w.out != nil && request != "" {
		w.out.Platform("END RequestId: " + request)
		w.out.Platform(report(request, r, c.rev.spec.MemoryMiB, w.most(n.now(), r.Exit)))
	}
	if r.Outcome == function.OutcomeDeoptimized {
		n.learn(c.rev, w, r.Exit, nil)
	}
	n.count(c.rev, r.Rung, r.Outcome, r.Duration)
	if n.events.watched.Load() > 0 {
		n.events.send(Event{
			Type: "invocation.ended", Function: c.rev.fn.name, Revision: c.rev.spec.ID, Worker: w.name,
			Data: data(map[string]any{"rung": r.Rung, "outcome": r.Outcome, "cold": r.Cold, "request": request, "seconds": r.Duration.Seconds()}),
		})
	}
	if !c.cold {
		n.remember(c, w, r, inv, nil)
		return
	}
	n.totals.coldStarts.Add(1)
	phases := w.worker.Phases()
	waited := max(queued-phases.Sandbox-phases.Runtime-phases.Init, 0) // for the start to begin
	n.remember(c, w, r, inv, &recent.Phases{
		Queue: waited.Seconds(), Sandbox: phases.Sandbox.Seconds(), Runtime: phases.Runtime.Seconds(), Init: phases.Init.Seconds(),
	})
	if n.opt.Metrics != nil {
		n.opt.Metrics.ColdStart(c.rev.fn.name, w.row.Name, map[string]time.Duration{
			telemetry.PhaseQueue: waited, telemetry.PhaseSandbox: phases.Sandbox,
			telemetry.PhaseRuntime: phases.Runtime, telemetry.PhaseInit: phases.Init, telemetry.PhaseHandler: r.Duration,
		})
	}
	n.events.send(Event{
		Type: "invocation.cold", Function: c.rev.fn.name, Revision: c.rev.spec.ID, Worker: w.name,
		Data: data(map[string]any{"rung": w.row.Name, "request": request, "queued": queued.Seconds(), "phases": phases, "seconds": r.Duration.Seconds()}),
	})
}

// remember keeps an invocation among the last ones; cold are the parts of its cold start, if it was one.
func (n *Node) remember(c *call, w *instance, r *Result, inv *worker.Invocation, cold *recent.Phases) {
	if n.opt.Recent == nil {
		return
	}
	i := recent.Invocation{
		At: time.Now().UTC(), Request: inv.RequestID, Function: c.rev.fn.name, Revision: c.rev.spec.ID, Version: c.rev.spec.Version, Worker: w.name,
		Rung: r.Rung, Outcome: r.Outcome.String(), Seconds: r.Duration.Seconds(), MemoryBytes: w.peak.Load(),
		Cold: cold,
	}
	if inv.Body == nil {
		i.Payload = inv.Payload
	}
	if r.Outcome != function.OutcomeOK {
		i.Error = string(r.Payload[:min(len(r.Payload), 1<<10)])
	}
	n.opt.Recent.Invocation(i)
}

// trace makes the spans of an invocation's turn on a worker.
func (n *Node) trace(ctx context.Context, c *call, w *instance, r *Result, inv *worker.Invocation) {
	if n.opt.Tracer == nil {
		return
	}
	end := time.Now()
	i := telemetry.Invocation{
		Function: c.rev.fn.name, Revision: c.rev.spec.ID, Worker: w.name, Request: inv.RequestID, TraceID: inv.TraceID,
		Rung: r.Rung, Outcome: r.Outcome, Cold: r.Cold, Arrived: time.Unix(0, c.arrived), Began: end.Add(-r.Duration), Ended: end,
	}
	if r.Cold {
		p := w.worker.Phases()
		i.Sandbox, i.Runtime, i.Init = p.Sandbox, p.Runtime, p.Init
	}
	n.opt.Tracer.Invocation(ctx, &i)
}

func (n *Node) count(rev *revision, rung function.Rung, outcome function.Outcome, d time.Duration) {
	n.totals.invocations.Add(1)
	if n.opt.Metrics != nil {
		n.opt.Metrics.Invocation(rev.fn.name, rung, outcome, d)
	}
}

// report is the line that Lambda ends an invocation's log with; used is in bytes.
func report(request string, r *Result, mib int, used int64) string {
	b := make([]byte, 0, 192)
	b = append(b, "REPORT RequestId: "...)
	b = append(b, request...)
	b = append(b, "\tDuration: "...)
	b = strconv.AppendFloat(b, float64(r.Duration.Microseconds())/1000, 'f', 2, 64)
	b = append(b, " ms\tBilled Duration: "...)
	b = strconv.AppendInt(b, int64((r.Duration+time.Millisecond-1)/time.Millisecond), 10)
	b = append(b, " ms\tMemory Size: "...)
	b = strconv.AppendInt(b, int64(mib), 10)
	b = append(b, " MB"...)
	if used > 0 {
		b = append(b, "\tMax Memory Used: "...)
		b = strconv.AppendInt(b, min((used+1<<20-1)>>20, int64(mib)), 10)
		b = append(b, " MB"...)
	}
	if r.Cold {
		b = append(b, "\tInit Duration: "...)
		b = strconv.AppendFloat(b, float64(r.Init.Microseconds())/1000, 'f', 2, 64)
		b = append(b, " ms"...)
	}
	if r.Outcome != function.OutcomeOK && r.Outcome != function.OutcomeHandlerError {
		b = append(b, "\tStatus: "...)
		b = append(b, r.Outcome.String()...)
	}
	return string(b)
}
