package api

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/cloudjit/cloudjit/internal/artifact"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/logs"
	"github.com/cloudjit/cloudjit/internal/store"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// Platform is what runs functions: the live node, and in tests a small fake. All methods may
// be called concurrently.
type Platform interface {
	// Prepare makes sure that workers of a revision can be started: its code is unpacked, a JDK is
	// there. It is called after the revision was stored and before any invocation of it, again
	// after a restart if it had not returned nil; the function's State or LastUpdateStatus
	// says Pending or InProgress meanwhile. The error's text is what the user sees as the
	// reason that it failed.
	Prepare(ctx context.Context, rev *store.Revision) error

	// Changed says that the store's document of a function was created, changed or deleted: its
	// versions, reserved concurrency or policy. It returns soon and does not wait for workers.
	Changed(name function.Name)

	// Invoke runs one invocation of a handler or provided function to its end, waiting for a
	// worker as long as ctx lasts. Request.Deadline is zero: the time that the function has
	// starts when a worker takes the invocation. The error is a *ThrottleError, ctx's, or the
	// platform's own fault; whatever the function did wrong is in the Result.
	Invoke(ctx context.Context, rev function.RevisionID, inv *worker.Invocation, want Want) (*Result, error)

	// RoundTrip sends one request to a web function. The worker is the request's until the
	// response's body is closed. The request is sent again to another worker only if
	// r.GetBody is set or it has no body. Its context, with the httptrace in it, goes with it to the
	// worker's port: that is how the caller learns when the function's time begins, which it
	// enforces by ending the context. Errors: as of Invoke, or a *FunctionError.
	RoundTrip(rev function.RevisionID, r *http.Request) (*http.Response, error)

	// Optimize builds a binary now, whatever the policy says; Deoptimize takes the step back.
	// They return when that was begun.
	Optimize(ctx context.Context, rev function.RevisionID, level function.Level) error
	Deoptimize(ctx context.Context, rev function.RevisionID) error

	// Workers lists all workers now.
	Workers(ctx context.Context) []WorkerView
	// Revision says where a revision stands; false if the platform does not know it.
	Revision(ctx context.Context, rev function.RevisionID) (RevisionView, bool)
	// Events calls yield with each event from now on, in order, until yield fails or ctx ends.
	// A reader that is too slow misses events: Event.Seq shows it.
	Events(ctx context.Context, yield func(Event) error) error
}

// Want is what a caller wants to know beside the answer.
type Want struct {
	// Log asks for the end of the invocation's log, which may cost a few milliseconds.
	Log bool
}

// Result is how an invocation ended.
type Result struct {
	Outcome function.Outcome
	// Payload is the answer (OutcomeOK) or the runtime's error document (OutcomeHandlerError,
	// and OutcomeInitError if the runtime posted one).
	Payload     []byte
	ContentType string
	// ErrorType is what the runtime said in Lambda-Runtime-Function-Error-Type.
	ErrorType string
	// Exit is how the runtime ended, for OutcomeCrashed, OutcomeOutOfMemory and OutcomeInitError.
	Exit *worker.Exit
	// Log is the end (4 KiB at most) of what the invocation wrote to its log, if it was asked for.
	Log []byte

	Tier function.Tier
	Cold bool
	// Duration is the handler's own time; Init what was waited for a worker to start.
	Duration, Init time.Duration
}

// FunctionError is returned by RoundTrip for what the function did wrong before it answered.
type FunctionError struct{ Result *Result }

func (e *FunctionError) Error() string { return "function: " + e.Result.Outcome.String() }

// ThrottleError is an invocation that was refused because of a limit.
type ThrottleError struct {
	// Reason is one of Lambda's: ReservedFunctionConcurrentInvocationLimitExceeded,
	// ConcurrentInvocationLimitExceeded, CallerRateLimitExceeded...
	Reason string
}

func (e *ThrottleError) Error() string { return "throttled: " + e.Reason }

// Reasons of a ThrottleError.
const (
	ThrottleReserved = "ReservedFunctionConcurrentInvocationLimitExceeded"
	ThrottleNode     = "ConcurrentInvocationLimitExceeded"
)

// NotFoundError is returned by the platform for a revision that it does not have (any more).
type NotFoundError struct{ What string }

func (e *NotFoundError) Error() string { return e.What + " not found" }

// ConflictError is returned by Optimize and Deoptimize when that cannot be done now.
type ConflictError struct{ Reason string }

func (e *ConflictError) Error() string { return e.Reason }

// WorkerView is one worker, as the API shows it.
type WorkerView struct {
	ID       string              `json:"id"`
	Function function.Name       `json:"function"`
	Revision function.RevisionID `json:"revision"`
	Version  string              `json:"version"`
	Tier     function.Tier       `json:"tier"`
	// State is starting, idle, busy or draining.
	State       string        `json:"state"`
	StartedAt   time.Time     `json:"startedAt"`
	Invocations int64         `json:"invocations"`
	Memory      worker.Memory `json:"memory"`
	Phases      worker.Phases `json:"phases"`
}

// RevisionView is where a revision stands in its pipeline.
type RevisionView struct {
	// Tier is how a new worker of the revision runs.
	Tier function.Tier `json:"tier"`
	// Stage and Phase are the pipeline's state: trace, hotspot, native, direct; idle, queued,
	// building, checking.
	Stage string `json:"stage"`
	Phase string `json:"phase"`
	// Reason is why it is there; Since when.
	Reason string     `json:"reason,omitempty"`
	Since  *time.Time `json:"since,omitempty"`
	// NotBefore is when it may be built again, after failures or deoptimizations.
	NotBefore *time.Time `json:"notBefore,omitempty"`

	Invocations      int64 `json:"invocations"`
	ColdStarts       int64 `json:"coldStarts"`
	ColdInWindow     int   `json:"coldInWindow"`
	Deoptimizations  int   `json:"deoptimizations"`
	Queued           int   `json:"queued"`
	Workers          int   `json:"workers"`
	MetadataComplete bool  `json:"metadataComplete"`
}

// Event is one thing that happened, for the event stream.
type Event struct {
	Seq  uint64    `json:"seq"`
	Time time.Time `json:"time"`
	// Type is a dotted name: "worker.started", "pipeline.moved", "build.finished"...
	Type     string              `json:"type"`
	Function function.Name       `json:"function,omitempty"`
	Revision function.RevisionID `json:"revision,omitempty"`
	Worker   string              `json:"worker,omitempty"`
	Reason   string              `json:"reason,omitempty"`
	Data     json.RawMessage     `json:"data,omitempty"`
}

// Code keeps uploaded archives by their content.
type Code interface {
	// Put stores what r gives; artifact.ErrTooLarge if that is more than limit bytes.
	Put(ctx context.Context, r io.Reader, limit int64) (artifact.Ref, error)
	// Path returns the file of a content.
	Path(sha string) (string, error)
	// Sweep removes what keep refuses and is older than age, and returns how many bytes went.
	Sweep(keep func(sha string) bool, age time.Duration) (int64, error)
}

// Logs are what functions wrote.
type Logs interface {
	Last(function string, n int) ([]logs.Line, error)
	Follow(ctx context.Context, function string, after uint64, yield func(logs.Line) error) error
	Remove(function string) error
}
