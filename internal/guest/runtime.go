// Package guest is the platform's side of what runs inside a sandbox: the AWS Lambda Runtime
// API for handlers and provided runtimes, and the adapter to a web function's $PORT.
//
// It serves listeners and dialers that a driver hands it, whether they lead into a network
// namespace or a virtual machine, and takes everything that comes through them for hostile. It
// must not know how sandboxes are made, nor what the node does with results.
package guest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// Limits of the Runtime API.
const (
	// MaxPayload is the largest answer, 6 MiB and 100 bytes, as AWS Lambda counts it.
	MaxPayload = 6<<20 + 100
	// MaxStreamed is the largest answer in streaming mode that has a StreamWriter.
	MaxStreamed = 200 << 20
	// maxErrorType is the longest error type that is kept.
	maxErrorType = 256
	// maxDocument is the largest document of an initialization error that is kept.
	maxDocument = 256 << 10
)

// ErrGone is returned by Invoke when the runtime's connection has been closed by Close.
var ErrGone = errors.New("runtime is gone")

// ErrNotTaken is ErrGone of an invocation that the runtime never got: it may run elsewhere.
var ErrNotTaken = fmt.Errorf("%w; it had not taken the invocation", ErrGone)

// phase is where the runtime stands between two requests.
type phase uint8

const (
	starting   phase = iota // it has not asked for an invocation yet
	waiting                 // it waits in next, or may ask again; nothing is handed out
	running                 // an invocation is handed out
	responding              // its answer is being read
	failed                  // it reported that it cannot start
	ended                   // Close was called
)

var phaseNames = [...]string{"Starting", "Ready", "Running", "ResponseReceived", "InitError", "Ended"}

func (p phase) String() string { return phaseNames[p] }

// Runtime is the state of one runtime: which invocation it has, and what it may do next. Its
// methods without a context never block.
type Runtime struct {
	// HoldRestore makes restore/next wait for Restore; otherwise it returns at once, as if the
	// snapshot had been taken and restored on the spot. Set before use, or by Checkpoint.
	HoldRestore bool
	// Environment, "K=V", is given to a runtime that asks in restore/next, in the header Lambda-Runtime-Environment: what is
	// another than in the worker that was saved. Set before use.
	Environment []string

	mu      sync.Mutex
	phase   phase
	call    *call         // the invocation under way, from Invoke to its result
	last    string        // the request that was answered last, for an exact error
	waiter  *conn         // where the newest next waits, nil if none does
	asked   chan struct{} // closed by the next wait; nil: nobody waits for that
	initDoc []byte        // the document of init/error
	contact time.Time     // first request
	ready   chan struct{}
	failure chan struct{}
	closed  chan struct{}
	restore chan struct{}
	held    chan struct{} // closed when the runtime waits in restore/next, where that is held
	once    sync.Once
	heldBy  sync.Once
}

// call is one invocation under way.
type call struct {
	inv    *worker.Invocation
	taken  atomic.Bool         // written to the runtime
	result chan *worker.Result // buffered: the answer never waits for the caller
	ctx    context.Context     // of Invoke: a streamed answer stops when it ends
}

// NewRuntime returns the state of a runtime that has just been started.
func NewRuntime() *Runtime {
	return &Runtime{
		ready: make(chan struct{}), failure: make(chan struct{}),
		closed: make(chan struct{}), restore: make(chan struct{}), held: make(chan struct{}),
	}
}

// Ready is closed when the runtime asked for its first invocation.
func (r *Runtime) Ready() <-chan struct{} { return r.ready }

// Failed is closed when the runtime reported that it cannot start; InitError is valid then.
func (r *Runtime) Failed() <-chan struct{} { return r.failure }

// InitError is the document that the runtime posted to init/error or restore/error.
func (r *Runtime) InitError() []byte { r.mu.Lock(); defer r.mu.Unlock(); return r.initDoc }

// Contact is when the first request came; zero: none did.
func (r *Runtime) Contact() time.Time { r.mu.Lock(); defer r.mu.Unlock(); return r.contact }

// Restore lets a runtime that waits in restore/next go on. Idempotent.
func (r *Runtime) Restore() { r.once.Do(func() { close(r.restore) }) }

// ErrNotIdle is returned by Checkpoint where the runtime does not wait for an invocation.
var ErrNotIdle = errors.New("the runtime does not wait for an invocation")

// Checkpoint tells a runtime that waits for an invocation that it will be saved, by an answer with the header
// Lambda-Runtime-Checkpoint and without an invocation, and returns when it waits in restore/next: it has done then what
// it has to do before. Only the platform's own runtime clients know of this answer. Restore lets it go on.
//
// A runtime that has just answered may not have asked for the next invocation yet: Checkpoint waits until it does.
func (r *Runtime) Checkpoint(ctx context.Context) error {
	to, err := r.takeIdle(ctx)
	if err != nil {
		return err
	}
	to.head(http.StatusOK, 0)
	to.pending = append(to.pending, headerCheckpoint+": true\r\n\r\n"...)
	err = to.flush()
	to.answered()
	if err != nil {
		return fmt.Errorf("tell the runtime that it will be saved: %w", err)
	}
	select {
	case <-r.held:
		return nil
	case <-r.failure:
		return &RefusedError{Document: r.InitError()}
	case <-r.closed:
		return ErrGone
	case <-ctx.Done():
		return ctx.Err()
	}
}

// RefusedError is returned by Checkpoint where the runtime reported that it cannot be saved.
type RefusedError struct {
	// Document is the runtime's, with errorType and errorMessage.
	Document []byte
}

func (e *RefusedError) Error() string {
	var d struct{ ErrorType, ErrorMessage string }
	if json.Unmarshal(e.Document, &d) != nil || d.ErrorType == "" && d.ErrorMessage == "" {
		return "it refused"
	}
	return "it refused: " + strings.Trim(d.ErrorType+": "+d.ErrorMessage, ": ")
}

// takeIdle takes the connection that waits for an invocation, once there is one; restore/next waits from then on.
func (r *Runtime) takeIdle(ctx context.Context) (*conn, error) {
	for {
		r.mu.Lock()
		if r.phase != waiting || r.call != nil {
			r.mu.Unlock()
			return nil, ErrNotIdle
		}
		if to := r.waiter; to != nil {
			r.waiter, r.HoldRestore = nil, true
			r.mu.Unlock()
			return to, nil
		}
		if r.asked == nil {
			r.asked = make(chan struct{})
		}
		asked := r.asked
		r.mu.Unlock()
		select {
		case <-asked:
		case <-r.closed:
			return nil, ErrGone
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// hold reports whether restore/next has to wait, and notes that it does.
func (r *Runtime) hold() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.HoldRestore {
		r.heldBy.Do(func() { close(r.held) })
	}
	return r.HoldRestore
}

// Invoke hands inv to the runtime and waits for its answer, as worker.Worker.Invoke.
func (r *Runtime) Invoke(ctx context.Context, inv *worker.Invocation) (*worker.Result, error) {
	if err := validate(inv); err != nil {
		return nil, err
	}
	c := &call{inv: inv, result: make(chan *worker.Result, 1), ctx: ctx}
	r.mu.Lock()
	switch {
	case r.phase == ended:
		r.mu.Unlock()
		return nil, ErrNotTaken
	case r.call != nil:
		r.mu.Unlock()
		return nil, worker.ErrBusy
	}
	r.call = c
	to := r.handOut()
	r.mu.Unlock()
	if to != nil {
		r.deliver(to, c)
	}
	select {
	case res := <-c.result:
		return res, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-r.closed:
		select { // an answer that came first counts
		case res := <-c.result:
			return res, nil
		default:
		}
		if !c.taken.Load() {
			return nil, ErrNotTaken
		}
		return nil, ErrGone
	}
}

// Close ends every wait. Idempotent.
func (r *Runtime) Close() {
	r.mu.Lock()
	var waiter *conn
	if r.phase != ended {
		r.phase = ended
		close(r.closed)
		waiter, r.waiter = r.waiter, nil
	}
	r.mu.Unlock()
	if waiter != nil {
		_ = waiter.net.Close()
		waiter.answered()
	}
}

// handOut takes the connection that waits, if it is to get the call under way. r.mu is held.
func (r *Runtime) handOut() *conn {
	if r.call == nil || r.waiter == nil || r.phase != waiting {
		return nil
	}
	to := r.waiter
	r.waiter = nil
	r.phase = running
	return to
}

// deliver writes a call to a connection that handOut has given. A call that could not be
// written goes to the next connection that asks.
func (r *Runtime) deliver(to *conn, c *call) {
	for to != nil {
		c.taken.Store(true) // before it is: in doubt it was taken
		stop := context.AfterFunc(c.ctx, func() { _ = to.net.SetWriteDeadline(time.Unix(1, 0)) })
		err := to.give(c.inv)
		if !stop() || err != nil {
			_ = to.net.Close()
		}
		to.answered()
		if err == nil {
			return
		}
		c.taken.Store(false) // not the whole of it
		r.mu.Lock()
		to = nil
		if r.call == c && r.phase == running {
			r.phase = waiting
			to = r.handOut()
		}
		r.mu.Unlock()
	}
}

// seen notes the first sign of life.
func (r *Runtime) seen() {
	r.mu.Lock()
	if r.contact.IsZero() {
		r.contact = time.Now()
	}
	r.mu.Unlock()
}

// next enters the wait for an invocation. The newest wait wins: former is the connection that
// it took the place of, and is the caller's to answer. If an invocation is there already, it
// is returned for the caller to deliver.
func (r *Runtime) next(c *conn) (former *conn, now *call, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch r.phase {
	case starting:
		r.phase = waiting
		close(r.ready)
	case waiting:
	default:
		return nil, nil, &stateError{from: r.phase, to: waiting}
	}
	former, r.waiter = r.waiter, c
	if r.handOut() != nil {
		now = r.call
	} else if r.asked != nil {
		close(r.asked)
		r.asked = nil
	}
	return former, now, nil
}

// leave ends the wait of a connection that has gone; false: it has been taken to be answered.
func (r *Runtime) leave(c *conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiter != c {
		return false
	}
	r.waiter = nil
	return true
}

// begin claims the answer to an invocation; finish or abandon must follow.
func (r *Runtime) begin(id string) (*call, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.call == nil || r.call.inv.RequestID != id || r.phase == waiting {
		if r.phase == waiting && r.last == id && id != "" || r.phase == responding {
			return nil, &stateError{from: responding, to: responding}
		}
		return nil, errRequestID
	}
	if r.phase != running {
		return nil, &stateError{from: r.phase, to: responding}
	}
	r.phase = responding
	return r.call, nil
}

// finish ends the invocation with its result.
func (r *Runtime) finish(c *call, res *worker.Result) {
	r.mu.Lock()
	if r.call == c {
		r.last = c.inv.RequestID
		r.call = nil
		if r.phase == responding {
			r.phase = waiting
		}
	}
	r.mu.Unlock()
	c.result <- res
}

// abandon gives the claim back: the connection broke, the runtime may try again.
func (r *Runtime) abandon() {
	r.mu.Lock()
	if r.phase == responding {
		r.phase = running
	}
	r.mu.Unlock()
}

// fail records that the runtime cannot start.
func (r *Runtime) fail(doc []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	saved := r.HoldRestore && r.phase == waiting && r.call == nil // by Checkpoint, which waits for it
	if r.phase != starting && !saved {
		return &stateError{from: r.phase, to: failed}
	}
	r.phase = failed
	r.initDoc = doc
	close(r.failure)
	return nil
}

// stateError is a request that is not allowed where the runtime stands.
type stateError struct{ from, to phase }

func (e *stateError) Error() string {
	return fmt.Sprintf("State transition from %s to %s failed for runtime. Error: State transition is not allowed", e.from, e.to)
}

var errRequestID = errors.New("Invalid request ID") // the wording of the API

// validate refuses what would break the header of next.
func validate(inv *worker.Invocation) error {
	for _, v := range [...]string{inv.RequestID, inv.FunctionARN, inv.TraceID, inv.ClientContext, inv.Identity} {
		if strings.ContainsAny(v, "\r\n\x00") {
			return fmt.Errorf("invoke: %w: a header value has a line break", worker.ErrInvalidInvocation)
		}
	}
	if inv.RequestID == "" || strings.ContainsAny(inv.RequestID, "/ ?#%") {
		return fmt.Errorf("invoke: %w: request identifier %q", worker.ErrInvalidInvocation, inv.RequestID)
	}
	return nil
}

// tooLarge is the result of an answer over the limit.
func tooLarge(limit int) *worker.Result {
	return &worker.Result{
		Outcome:   function.OutcomeTooLarge,
		ErrorType: "Function.ResponseSizeTooLarge",
		Payload: fmt.Appendf(nil, `{"errorMessage":"Response payload size exceeded maximum allowed payload size (%d bytes).",`+
			`"errorType":"Function.ResponseSizeTooLarge"}`, limit),
	}
}
