package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// FunctionError is returned by RoundTrip for what the function did wrong before it answered.
type FunctionError struct{ Result *Result }

func (e *FunctionError) Error() string { return "function: " + e.Result.Outcome.String() }

// Headers of a web function's answer that say how it was served: what Result says of an invocation.
const (
	HeaderRung = "X-Cloudjit-Rung"
	HeaderCold = "X-Cloudjit-Cold" // "true", or not there
)

// exitWait is how long a broken connection may be ahead of the news of its worker's end.
const exitWait = 200 * time.Millisecond

// errLate is the cause of a request's context that ended because the function took too long.
var errLate = errors.New("the function's time is over")

// RoundTrip sends one request to a web function, waiting for a worker as long as its context
// lasts. The worker is the request's until the response's body is closed. The function has its
// timeout from when a worker has the request to the head of the answer, and again for each part
// of the body that somebody waits for; the whole may take as long as the context lasts. What
// the caller takes to send and to read is not counted. The request is sent again to another
// worker only if it has GetBody, or no body. Errors, also of reading the body: as of Invoke, or
// a *FunctionError.
func (n *Node) RoundTrip(id function.RevisionID, r *http.Request) (*http.Response, error) {
	rev, ok := n.lookup(id)
	if !ok {
		return nil, fmt.Errorf("request to %s: %w", id, ErrNotFound)
	}
	ctx := r.Context()
	c := n.arrive(rev)
	for {
		if !n.await(ctx, c) {
			n.release(c)
			return nil, ctx.Err()
		}
		if c.ended {
			res, err := n.unserved(ctx, c, "", r.Header.Get("X-Amzn-Trace-Id"))
			if err == nil {
				err = &FunctionError{res}
			}
			return nil, err
		}
		resp, outcome, res, err := n.send(ctx, c, r)
		if err == nil {
			return resp, nil // its body finishes the call
		}
		if n.finish(c, outcome, !rewind(r)) {
			continue
		}
		n.release(c)
		if res != nil {
			return nil, &FunctionError{res}
		}
		return nil, err
	}
}

// rewind makes a request's body new; false if that cannot be.
func rewind(r *http.Request) bool {
	if r.Body == nil || r.Body == http.NoBody {
		return true
	}
	if r.GetBody == nil {
		return false
	}
	body, err := r.GetBody()
	if err != nil {
		return false
	}
	r.Body = body
	return true
}

// send sends a request to a call's worker.
func (n *Node) send(ctx context.Context, c *call, r *http.Request) (*http.Response, function.Outcome, *Result, error) {
	w := c.worker
	if w.ended() {
		return nil, function.OutcomeUnknown, nil, ErrDraining
	}
	began := time.Now()
	queued := time.Duration(n.now() - c.arrived)
	rctx, cancelCause := context.WithCancelCause(ctx)
	cancel := func() { cancelCause(nil) }
	limit := newAllowance(c.rev.spec.Timeout, func() { cancelCause(errLate) })
	out := r.WithContext(rctx)
	var kept *recorder
	if w.rev.sampler.open.Load() {
		kept = newRecorder(r)
	}
	if r.Body != nil && r.Body != http.NoBody {
		out.Body = upload{r.Body, limit}
		if kept != nil {
			out.Body = tee{out.Body, kept}
		}
	}
	w.idle.enter()
	limit.begin()
	resp, err := w.worker.HTTP().RoundTrip(out)
	limit.end()
	res := &Result{Rung: w.row.Name, Cold: c.cold, Duration: time.Since(began)}
	if err != nil {
		w.idle.leave()
		outcome := n.broken(ctx, rctx, w, res)
		cancel()
		if outcome == function.OutcomeCancelled {
			return nil, outcome, nil, ctx.Err()
		}
		res.Outcome = outcome
		if outcome == function.OutcomeHandlerError { // it lives, so it is what it said, or did not say
			res.Payload = data(map[string]any{"errorType": "CloudJIT.NoHTTPAnswer", "errorMessage": "The application's answer is no HTTP: " + err.Error()})
		}
		n.ended(ctx, c, w, res, &worker.Invocation{}, queued)
		return nil, outcome, res, err
	}
	var header http.Header
	if kept != nil {
		header = resp.Header.Clone()
	}
	b := &body{ReadCloser: resp.Body, kept: kept, whole: resp.ContentLength == 0 || r.Method == http.MethodHead, limit: limit, late: func() error {
		if context.Cause(rctx) != errLate {
			return nil
		}
		return &FunctionError{&Result{Outcome: function.OutcomeTimeout, Rung: w.row.Name, Cold: res.Cold}}
	}, done: func(readErr error, whole bool) {
		res.Duration = time.Since(began)
		res.Outcome = function.OutcomeOK
		if readErr != nil {
			res.Outcome = n.broken(ctx, rctx, w, res)
		}
		cancel()
		if whole && res.Outcome == function.OutcomeOK {
			if s := kept.done(resp, header); s != nil {
				n.sample(w, s, res.Duration)
			}
		}
		w.idle.leave()
		n.ended(ctx, c, w, res, &worker.Invocation{}, queued)
		n.finish(c, res.Outcome, true)
		n.release(c)
	}}
	resp.Header.Set(HeaderRung, string(w.row.Name))
	resp.Header.Del(HeaderCold)
	if c.cold {
		resp.Header.Set(HeaderCold, "true")
	}
	if conn, ok := resp.Body.(io.Writer); ok { // a connection that was upgraded
		resp.Body = duplex{b, conn}
	} else {
		resp.Body = b
	}
	return resp, function.OutcomeOK, res, nil
}

// broken says why a request did not get its whole answer.
func (n *Node) broken(ctx, rctx context.Context, w *instance, res *Result) function.Outcome {
	switch {
	case ctx.Err() != nil:
		return function.OutcomeCancelled
	case rctx.Err() != nil:
		return function.OutcomeTimeout
	}
	timer := time.NewTimer(exitWait)
	defer timer.Stop()
	select {
	case <-w.worker.Done():
		exit := w.worker.Exit()
		res.Exit = &exit
		return outcomeOf(w, exit)
	case <-timer.C:
		return function.OutcomeHandlerError // it closed the connection, and lives
	}
}

// body tells when an answer has been read.
type body struct {
	io.ReadCloser
	kept  *recorder // nil: it is no sample
	limit *allowance
	late  func() error // the error of a read that ended because of the function's timeout
	once  sync.Once
	mu    sync.Mutex // of an upgraded connection the one side is closed while the other is read
	err   error
	whole bool // it was read to its end, or has nothing to be read
	done  func(err error, whole bool)
}

// duplex is the body of an upgraded connection, which is written to as well.
type duplex struct {
	*body
	to io.Writer
}

// Write sends to the function, which may be silent as long as it is spoken to.
func (d duplex) Write(p []byte) (int, error) {
	d.limit.touch()
	return d.to.Write(p)
}

func (b *body) Read(p []byte) (int, error) {
	b.limit.begin()
	k, err := b.ReadCloser.Read(p)
	b.limit.end()
	if b.kept != nil {
		b.kept.keep(&b.kept.answered, p[:k])
	}
	if errors.Is(err, io.EOF) {
		b.mu.Lock()
		b.whole = true
		b.mu.Unlock()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		if late := b.late(); late != nil {
			err = late
		}
		b.mu.Lock()
		b.err = err
		b.mu.Unlock()
	}
	return k, err
}

// upload is a request's body, which gives the function its time anew with each part.
type upload struct {
	io.ReadCloser
	limit *allowance
}

func (u upload) Read(p []byte) (int, error) {
	k, err := u.ReadCloser.Read(p)
	u.limit.touch()
	return k, err
}

// allowance is the time that a function has, counted only while somebody waits for it.
type allowance struct {
	limit time.Duration

	mu      sync.Mutex
	timer   *time.Timer
	waiting bool
}

func newAllowance(limit time.Duration, late func()) *allowance {
	a := &allowance{limit: limit, timer: time.AfterFunc(limit, late)}
	a.timer.Stop()
	return a
}

// begin starts the count, end stops it, and touch starts it anew if it runs.
func (a *allowance) begin() { a.set(true) }
func (a *allowance) end()   { a.set(false) }

func (a *allowance) set(waiting bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waiting = waiting; waiting {
		a.timer.Reset(a.limit)
	} else {
		a.timer.Stop()
	}
}

func (a *allowance) touch() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waiting {
		a.timer.Reset(a.limit)
	}
}

// Close finishes the request. An answer that was not read to its end is the caller's choice.
func (b *body) Close() error {
	err := b.ReadCloser.Close()
	b.once.Do(func() {
		b.mu.Lock()
		broken, whole := b.err, b.whole
		b.mu.Unlock()
		b.done(broken, whole)
	})
	return err
}

var _ http.RoundTripper = revisionTripper{}

// Transport is RoundTrip for one revision.
func (n *Node) Transport(id function.RevisionID) http.RoundTripper { return revisionTripper{n, id} }

type revisionTripper struct {
	n  *Node
	id function.RevisionID
}

func (t revisionTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	return t.n.RoundTrip(t.id, r)
}
