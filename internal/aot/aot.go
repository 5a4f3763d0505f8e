// Package aot turns a revision and what a worker recorded of it into a faster form.
//
// Builder is the contract that the pipeline sees: (code, recording, tool chain, options) ->
// artifact, content-addressed, so that the same inputs are never built twice. The builders stand
// in packages below. It knows nothing of policies, workers or HTTP.
package aot

import (
	"context"
	"io"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// Key is the hex SHA-256 of everything a build's result depends on.
type Key string

// Request is one build.
type Request struct {
	Revision *function.Spec
	// Code is the uploaded archive on disk (JAR or ZIP); it was checked when it was accepted.
	Code string
	// Rung is what the artifact is for; its Options are the builder's.
	Rung      ladder.Rung
	Recording Recording
	// Same is the key of an artifact of the same builder that was made from the same recording for another
	// rung, if there is one: a builder that makes the same for both returns that.
	Same   Key
	Limits Limits
	// Exercise, if not nil, lets a worker of the revision answer what it was asked before, in a sandbox that reaches nothing.
	// The answers are not looked at. It fails only where the worker is of no more use.
	Exercise func(ctx context.Context, w worker.Worker) error
	// Log takes the builder's output as it comes.
	Log io.Writer
	// Progress, if not nil, is called with a short phase name when it changes.
	Progress func(phase string)
}

// Recording is what a worker left for the builder; which of the fields is set follows from what the rung
// is made from.
type Recording struct {
	// Document is the merged metadata of the revision (reachability-metadata.json), validated.
	Document []byte
	// File is the path of what a JVM noted or archived at its exit. Hostile: a function may have written
	// it. It must not change while it is built from.
	File string
	// Also are the paths of the files of the rung's second recording, the oldest first. As hostile.
	Also []string
}

// Limits of a build; zero: no limit.
type Limits struct {
	MemoryMiB int
	CPUs      float64
	Time      time.Duration
}

// Cost of a build.
type Cost struct {
	Wall    time.Duration `json:"wall"`
	CPU     time.Duration `json:"cpu"`     // user + system, all processes
	PeakRSS int64         `json:"peakRss"` // bytes
	Size    int64         `json:"size"`    // bytes, of the artifact
}

// Result of a build that succeeded.
type Result struct {
	Key Key `json:"key"`
	// Dir is the folder that a worker is given (launch.Paths.Artifact). Immutable; owned by the
	// builder's store.
	Dir  string `json:"dir"`
	Cost Cost   `json:"cost"`
	// Cached is true when the artifact was there already and nothing was built.
	Cached bool `json:"cached"`
}

// Class is why a build failed.
type Class string

const (
	// ClassUser is code that cannot be built (a class is missing, no main class...): deterministic.
	ClassUser Class = "user-error"
	// ClassMetadata is a recording that the builder refuses: deterministic for this recording.
	ClassMetadata Class = "metadata"
	// ClassMemory is a builder killed at its memory limit, or one that said so.
	ClassMemory Class = "out-of-memory"
	// ClassTime is a build over its time limit.
	ClassTime Class = "time"
	// ClassTool is a failure of the tool chain itself.
	ClassTool Class = "tool-failure"
	// ClassCancelled is a build whose context ended.
	ClassCancelled Class = "cancelled"
)

// Deterministic reports whether the same inputs fail again for certain.
func (c Class) Deterministic() bool { return c == ClassUser || c == ClassMetadata }

// Error is a failed build.
type Error struct {
	Class  Class
	Reason string // one sentence for the user
	Hint   string // what to do; may be empty
	Cost   Cost
	Err    error
}

func (e *Error) Error() string { return "build: " + string(e.Class) + ": " + e.Reason }
func (e *Error) Unwrap() error { return e.Err }

// Builder makes one kind of artifact. Methods may be called concurrently; equal keys are
// built once. Build leaves nothing behind when it fails or is cancelled or killed.
type Builder interface {
	// Name is what the rungs' Builder says.
	Name() string
	// Key runs nothing, and reads the recording at most. The error may be an *Error.
	Key(req *Request) (Key, error)
	// Lookup returns the finished artifact of a key; false where there is none, or it is damaged, or no
	// longer fits this machine. It is cheap.
	Lookup(key Key) (*Result, bool)
	// Build returns a *Error on failure.
	Build(ctx context.Context, req *Request) (*Result, error)
	// Drop removes an artifact, which workers may still run from. Idempotent.
	Drop(key Key) error
}

// Choosy is a builder that does not make everything that rungs name it for: the ladder of its node has only what it makes.
type Choosy interface {
	Builder
	Makes(rung *ladder.Rung) bool
}

// Private is a builder whose artifacts are of one revision alone, and of one server: they are removed with it, and those
// that no revision has when the server starts.
type Private interface {
	Builder
	// Private are the keys of all artifacts, in no order.
	Private() ([]Key, error)
}

// Movable is a builder whose artifacts fit other machines, too.
type Movable interface {
	Builder
	// Digest is the hex SHA-256 of the list of an artifact's files with their SHA-256: who knows it can take the artifact from
	// anybody. It is cheap.
	Digest(key Key) (string, error)
}
