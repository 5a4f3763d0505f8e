package calls

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/cloudjit/cloudjit/internal/api/gate"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/node"
	"github.com/cloudjit/cloudjit/internal/store"
	"github.com/cloudjit/cloudjit/internal/worker"
)

const (
	// MaxHops is how many invocations may follow each other through destinations (Lambda stops
	// loops at about 16).
	MaxHops = 16
	// A throttled invocation waits from the first to the second, doubling (Lambda's figures).
	minDefer, maxDefer = time.Second, 5 * time.Minute
)

// Reasons of dead letters, and conditions that destinations are told.
const (
	conditionSuccess = "Success"
	conditionRetries = "RetriesExhausted"
	conditionAge     = "EventAgeExceeded"
	deadNoFunction   = "FunctionNotFound"
	deadRecursion    = "RecursiveInvocation"
)

// Dispatch takes asynchronous invocations from the queue until ctx ends; how many may be under way at once, and whose turn
// it is, is the queue's. Delivery is at least once: what was under way when the server died runs again.
func (s *Runner) Dispatch(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	work := ctx
	if s.Opt.Cluster != nil {
		// Other nodes would take for an attempt what a stopping node gives up: it ends what runs, as long as the node lets it.
		var end context.CancelFunc
		work, end = context.WithCancel(context.WithoutCancel(ctx))
		defer end()
		defer context.AfterFunc(ctx, func() { time.AfterFunc(endTime, end) })()
	}
	for {
		d, err := s.Store.NextAsync(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			s.Log.Error("take from the queue", "error", err)
			pause(ctx, time.Second)
			continue
		}
		running.Go(func() {
			defer d.Release()
			if err := s.attempt(work, d); err != nil && work.Err() == nil {
				// It comes again in a while.
				s.Log.Error("asynchronous invocation", "function", d.Function, "request", d.RequestID, "error", err)
			}
		})
	}
}

// endTime is how long what runs may take to end on a node that stops.
const endTime = time.Minute

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// attempt runs one attempt of an asynchronous invocation and decides what becomes of it.
func (s *Runner) attempt(ctx context.Context, d *store.Delivery) error {
	fn, v, err := s.Resolve(gate.Ref{Name: d.Function, Qualifier: d.Qualifier})
	if err != nil {
		s.Opt.Observe("dead")
		return d.Dead(ctx, deadNoFunction, d.Failed, nil)
	}
	rules := s.asyncRules(fn, d.Qualifier)
	if time.Since(d.EnqueuedAt) > rules.maxAge {
		return s.giveUp(ctx, d, v, rules, conditionAge, d.Failed, nil, "")
	}
	if d.Failed > rules.retries { // the last attempt was cut off with its node
		return s.giveUp(ctx, d, v, rules, conditionRetries, d.Failed, nil, "")
	}
	if v.State.Value != gate.Active.Value {
		return s.postpone(ctx, d)
	}
	c := &Call{Function: fn, Version: v, Qualifier: d.Qualifier, Invocation: worker.Invocation{
		RequestID: d.RequestID, Payload: d.Payload, FunctionARN: s.ARN(d.Function, d.Qualifier),
		TraceID: d.TraceID, ClientContext: d.ClientContext,
	}}
	res, err := s.Perform(ctx, c)
	if ctx.Err() != nil {
		return ctx.Err() // the next server runs it again
	}
	var lost *node.LostError
	if errors.As(err, &lost) { // it may have run: an attempt
		s.Log.Warn("a node went away with an asynchronous invocation", "function", d.Function, "request", d.RequestID, "error", err)
		res, err = &node.Result{Outcome: function.OutcomeCrashed}, nil
	}
	if err != nil {
		var refused *node.RejectError
		if !errors.As(err, &refused) {
			s.Log.Warn("asynchronous invocation could not run", "function", d.Function, "request", d.RequestID, "error", err)
		}
		return s.postpone(ctx, d)
	}
	v = c.Version
	defer gate.CloseResult(res)
	if res.Body != nil && rules.onSuccess != "" && res.Body.Size() <= store.MaxAsyncPayload { // a larger one is told to nobody
		release, err := s.InMemory(ctx, res, 3)
		if err != nil {
			return err // it is delivered again when its lease ends
		}
		defer release()
	}
	payload, failure := Render(d.RequestID, res, s.TimeoutOf(v))
	switch {
	case failure == "":
		if err := s.tellDestination(ctx, d, v, rules.onSuccess, conditionSuccess, d.Failed+1, payload, ""); err != nil {
			return err
		}
		s.Opt.Observe("succeeded")
		return d.Done(ctx)
	case d.Failed >= rules.retries:
		return s.giveUp(ctx, d, v, rules, conditionRetries, d.Failed+1, payload, failure)
	}
	s.Opt.Observe("retried")
	return d.Retry(ctx, s.Opt.Async.Backoff<<d.Failed)
}

// asyncRules are what holds for the asynchronous invocations of a qualifier.
type asyncRules struct {
	retries              int
	maxAge               time.Duration
	onSuccess, onFailure string
}

func (s *Runner) asyncRules(fn *store.Function, qualifier string) asyncRules {
	r := asyncRules{retries: s.Opt.Async.Retries, maxAge: s.Opt.Async.MaxAge}
	c, ok := fn.EventInvoke[gate.Qualified(qualifier)]
	if !ok {
		return r
	}
	if c.MaxRetries != nil {
		r.retries = *c.MaxRetries
	}
	if c.MaxAgeSeconds != nil {
		r.maxAge = time.Duration(*c.MaxAgeSeconds) * time.Second
	}
	r.onSuccess, r.onFailure = c.OnSuccess, c.OnFailure
	return r
}

// postpone puts back an invocation that did not get to run, without counting an attempt.
func (s *Runner) postpone(ctx context.Context, d *store.Delivery) error {
	wait := min(minDefer<<min(d.Deferred, 10), maxDefer)
	wait += rand.N(wait / 4) // so that those of one burst do not come back as one
	s.Opt.Observe("deferred")
	return d.Defer(ctx, wait)
}

// giveUp hands the invocation to the on-failure destination and keeps it as a dead letter.
func (s *Runner) giveUp(ctx context.Context, d *store.Delivery, v *store.Version, rules asyncRules, condition string, attempts int, payload []byte, failure string) error {
	if err := s.tellDestination(ctx, d, v, rules.onFailure, condition, attempts, payload, failure); err != nil {
		return err
	}
	s.Opt.Observe("dead")
	return d.Dead(ctx, condition, attempts, payload)
}

// record is what a destination is invoked with
// (https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html).
type record struct {
	Version        string           `json:"version"`
	Timestamp      string           `json:"timestamp"`
	RequestContext recordRequest    `json:"requestContext"`
	RequestPayload json.RawMessage  `json:"requestPayload"`
	Response       *recordResponse  `json:"responseContext,omitempty"`
	Payload        *json.RawMessage `json:"responsePayload,omitempty"`
}

type recordRequest struct {
	RequestID   string `json:"requestId"`
	FunctionArn string `json:"functionArn"`
	Condition   string `json:"condition"`
	InvokeCount int    `json:"approximateInvokeCount"`
}

type recordResponse struct {
	StatusCode      int    `json:"statusCode"`
	ExecutedVersion string `json:"executedVersion"`
	FunctionError   string `json:"functionError,omitempty"`
}

// tellDestination queues an invocation of a destination, if there is one.
func (s *Runner) tellDestination(ctx context.Context, d *store.Delivery, v *store.Version, arn, condition string, attempts int, payload []byte, failure string) error {
	if arn == "" {
		return nil
	}
	f, err := gate.ParseRef(arn)
	if err != nil {
		return fmt.Errorf("destination %s: %w", arn, err)
	}
	if d.Hops >= MaxHops {
		s.Log.Warn("destinations in a loop", "function", d.Function, "destination", arn, "reason", deadRecursion)
		return nil
	}
	rec := record{
		Version: "1.0", Timestamp: time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), RequestPayload: d.Payload,
		RequestContext: recordRequest{d.RequestID, s.ARN(d.Function, gate.Qualified(d.Qualifier)), condition, attempts},
	}
	if payload != nil {
		rec.Response = &recordResponse{200, v.Version, failure}
		if json.Valid(payload) {
			raw := json.RawMessage(payload)
			rec.Payload = &raw
		}
	}
	doc := MustJSON(rec)
	if len(doc) > store.MaxAsyncPayload { // both together may be over the limit that each keeps
		rec.Payload = nil
		doc = MustJSON(rec)
	}
	if len(doc) > store.MaxAsyncPayload {
		rec.RequestPayload = json.RawMessage("null")
		doc = MustJSON(rec)
	}
	return s.Store.Enqueue(ctx, &store.Async{
		RequestID: gate.NewUUID(), Function: f.Name, Qualifier: f.Qualifier, TraceID: d.TraceID,
		EnqueuedAt: time.Now().UTC(), Hops: d.Hops + 1, Payload: doc,
	})
}

// Redrive queues a dead letter again as a new invocation and removes the letter.
func (s *Runner) Redrive(ctx context.Context, letter *store.DeadLetter) (*store.Async, error) {
	a := letter.Async
	a.RequestID, a.EnqueuedAt, a.Hops = gate.NewUUID(), time.Now().UTC(), 0
	if _, ok := s.Store.FindFunction(s.Life, a.Function); !ok {
		return nil, s.NoFunction(a.Function, a.Qualifier)
	}
	if err := s.Store.Enqueue(ctx, &a); err != nil {
		return nil, err
	}
	return &a, s.Store.RemoveDeadLetter(ctx, letter.ID)
}
