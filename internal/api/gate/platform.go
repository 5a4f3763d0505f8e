package gate

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/cloudjit/cloudjit/internal/artifact"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/logs"
	"github.com/cloudjit/cloudjit/internal/node"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// Platform is what runs functions: *node.Node, and in tests a small fake. All methods may be
// called concurrently; the node's say what they do.
type Platform interface {
	// Sync makes the platform serve a function as the store has it now. It is called for every
	// function at the start and after every change, before the change is answered.
	Sync(ctx context.Context, name function.Name) error
	Invoke(ctx context.Context, rev function.RevisionID, inv *worker.Invocation) (*node.Result, error)
	RoundTrip(rev function.RevisionID, r *http.Request) (*http.Response, error)
	Optimize(ctx context.Context, rev function.RevisionID, rung function.Rung) error
	Deoptimize(ctx context.Context, rev function.RevisionID) error
	Prepare(ctx context.Context, rev function.RevisionID) (why string)
	Workers(ctx context.Context) []node.WorkerView
	Revision(ctx context.Context, rev function.RevisionID) (node.RevisionView, bool)
	// BuildLog is what a build that runs has written until now.
	BuildLog(build string) (log []byte, running bool)
	Snapshot() node.Snapshot
	Events(ctx context.Context, yield func(node.Event) error) error
}

var _ Platform = (*node.Node)(nil)

// Code keeps uploaded archives by their content.
type Code interface {
	// PutHeld stores what r gives; artifact.ErrTooLarge if that is more than limit bytes. hold is told what it
	// is before any Sweep could remove it, which asks keep again after that.
	PutHeld(ctx context.Context, r io.Reader, limit int64, hold func(sha string)) (artifact.Ref, error)
	// Path returns the file of a content.
	Path(sha string) (string, error)
	// Sweep removes what keep refuses and is older than age, and returns how many bytes went.
	Sweep(keep func(sha string) bool, age time.Duration) (int64, error)
	// Usage is what all of it takes on disk, unpacked archives included, in bytes.
	Usage() int64
}

// Logs are what functions wrote.
type Logs interface {
	Last(function string, n int) ([]logs.Line, error)
	Follow(ctx context.Context, function string, after uint64, yield func(logs.Line) error) error
	Remove(function string) error
}
