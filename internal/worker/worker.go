// Package worker is the contract between the node and what makes sandboxes.
//
// A Driver starts a sandbox for one revision on one rung; the Worker that it returns runs
// one invocation at a time (a web function may take several requests at once). The package
// knows nothing of policies, pools or the network API; drivers stand in packages below it
// and are held to the same behaviour by workertest.
package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
)

// Driver makes sandboxes. All methods may be called concurrently.
type Driver interface {
	// Name is the driver's name in configuration, metrics and logs: "process", "fake"...
	Name() string
	// Capabilities says what workers of this driver can do on this machine.
	Capabilities() Capabilities
	// Probe proves that the driver works here by running something in a sandbox; that a device
	// or binary exists proves nothing. The error says what is missing and what to do.
	Probe(ctx context.Context) error
	// Start makes a sandbox, starts the command in it and returns as soon as the runtime is
	// ready for its first invocation: it asked for one (Runtime API), or its port answers (web).
	// When ctx ends before that, or the runtime fails, nothing is left behind and the error is
	// a *StartError.
	Start(ctx context.Context, spec Spec) (Worker, error)
	// Clean removes everything that workers of an earlier, dead server of the same data folder
	// left (processes, mounts, cgroups, folders) and returns how many. Called before the first Start.
	Clean(ctx context.Context) (int, error)
	// Close stops every worker and releases what the driver holds. Idempotent.
	Close() error
}

// Several is implemented by a driver that is several: which of them makes a worker, its revision says.
type Several interface {
	// For is the driver of a revision's workers. It may take seconds when it is the first time. The error, which wraps ErrNoDriver
	// or ErrClosed, says why it is not on this node.
	For(rev *function.Spec) (Driver, error)
}

// DriverOf is the one of d that makes the workers of a revision.
func DriverOf(d Driver, rev *function.Spec) (Driver, error) {
	if s, ok := d.(Several); ok {
		return s.For(rev)
	}
	return d, nil
}

// Capabilities of a driver on this machine. False is always safe.
type Capabilities struct {
	MemoryLimit bool `json:"memoryLimit"` // the limit is enforced by the kernel
	CPULimit    bool `json:"cpuLimit"`
	SocketLimit bool `json:"socketLimit"` // the buffers of sockets are bounded with the memory
	Isolated    bool `json:"isolated"`    // namespaces, read-only root, no route to the host
	Snapshot    bool `json:"snapshot"`    // workers implement Snapshotter
	Emulated    bool `json:"emulated"`    // the processor is: everything takes many times as long
	// OverheadMiB is what a worker may use beside its function's memory, MiB: a guest's kernel, and its monitor.
	OverheadMiB int `json:"overheadMiB,omitempty"`
	// Kernel is the guests': "debian" or "small". Empty: workers are no virtual machines.
	Kernel string `json:"kernel,omitempty"`
	// Weaker lists, in sentences, what is weaker here than the driver can be, and why.
	Weaker []string `json:"weaker,omitempty"`
}

// Spec is one sandbox to start.
type Spec struct {
	// ID is global and never used again (a ULID).
	ID       string
	Revision *function.Spec
	// Rung is what the sandbox runs the revision on, for logs.
	Rung function.Rung
	// Path and Args are the command inside the sandbox (Args without argv[0]); Dir its folder.
	Path string
	Args []string
	Dir  string
	// Env is the whole environment, "K=V"; the driver adds AWS_LAMBDA_RUNTIME_API or PORT.
	Env []string
	// Mounts are made visible in the sandbox, read-only; nothing else of the host is, but the system's
	// libraries where the driver runs host binaries.
	Mounts []Mount
	// Folders can be written into, as can /tmp and /dev/shm, and nothing else.
	Folders []Folder
	Limits  Limits
	// RecordDir, if set, is the folder inside the sandbox where the runtime leaves its recording: one of
	// Folders. Worker.Trace reads the tracer's from there while the worker runs.
	RecordDir string
	// Output takes what the runtime writes to stdout and stderr, as it comes. A slow Output never blocks the
	// runtime, and takes no more than the driver's bound for a function: a line says what was dropped. May be nil.
	Output io.Writer
	// Trial: nobody waits for the worker, which shows what an artifact answers. It reaches no network, whatever
	// the driver's other workers reach, and has a low priority.
	Trial bool
	// Savable lays the sandbox out so that the worker implements Snapshotter, if the driver can save workers.
	Savable bool
	// Announce: the runtime is told before it is saved (guest.Runtime.Checkpoint), which only the platform's own know.
	// Beside a web application something of the platform's waits for that: it finds the Runtime API, which such a
	// sandbox has besides, by the variable CLOUDJIT_CHECKPOINT_API. A restored worker is ready when it has asked again.
	Announce bool
	// Restore, if set, is a folder that Snapshotter.Snapshot filled: the worker goes on from there. Path, Args
	// and Announce are those of the one that was saved; the sandbox must show the same files at the same places. Where
	// Env has other values, the runtime is told them (guest.Runtime.Environment).
	Restore string
	// ReadyPath, if set, is the HTTP path that must answer before a web function is ready; the
	// default is that its port takes connections.
	ReadyPath string
}

// Mount shows the host's Source as Target in the sandbox, read-only.
type Mount struct {
	Source, Target string
}

// Look checks a mount, and says where its source is, as an absolute path, and whether that is a folder.
func (m Mount) Look() (source string, dir bool, err error) {
	if !below(m.Target) {
		return "", false, fmt.Errorf("mount %s: target %q is no folder below the root", m.Source, m.Target)
	}
	if source, err = filepath.Abs(m.Source); err != nil {
		return "", false, fmt.Errorf("mount %s: %w", m.Source, err)
	}
	st, err := os.Stat(source)
	if err != nil {
		return "", false, fmt.Errorf("mount %s: %w", m.Target, err)
	}
	return source, st.IsDir(), nil
}

// below reports whether a path is absolute and not the root itself.
func below(p string) bool { return path.IsAbs(p) && path.Clean(p) != "/" }

// Folder is a folder of the sandbox's own for what it makes: empty at the start, of limited size, and gone with
// the sandbox. What is in it counts as the sandbox's memory. A command never writes to the host's disk: what is
// wanted of a folder is copied out when nothing runs in the sandbox any more.
type Folder struct {
	// Target is the folder inside the sandbox. Inside of a Mount it must be there.
	Target string
	// MiB is how much it holds; zero: DefaultFolderMiB. Files is how many files, folders and links; zero:
	// DefaultFolderFiles.
	MiB, Files int
	// Keep, if set, is a folder of the host that gets the files that Names says. Nobody but the server may write
	// to it.
	Keep string
	// Names are the files to keep: patterns of path.Match for what lies directly in the folder, or "**" for
	// everything in and below it. Plain files are kept, and the folders that they lie in; links are not followed.
	// Anything else of such a name is a *KeepError, and so is what is larger than the folder could be. Of a
	// worker that is told to nobody: the file is just not there. Of a job that failed "**" keeps nothing.
	Names []string
}

// Bytes is how much it holds.
func (f *Folder) Bytes() int64 { return int64(First(f.MiB, DefaultFolderMiB)) << 20 }

// Wants reports whether a file of that name, which lies directly in a folder, is to be kept.
func (f *Folder) Wants(name string) bool {
	return slices.ContainsFunc(f.Names, func(pattern string) bool {
		ok, err := path.Match(pattern, name)
		return err == nil && ok
	})
}

// Tree reports whether all is kept, whatever folder it lies in.
func (f *Folder) Tree() bool { return slices.Contains(f.Names, "**") }

// Bounded are a command's folders with clean targets and with their defaults.
func Bounded(folders []Folder) ([]Folder, error) {
	if len(folders) > MaxFolders {
		return nil, fmt.Errorf("%d folders, more than %d", len(folders), MaxFolders)
	}
	out := slices.Clone(folders)
	for i := range out {
		f := &out[i]
		if !below(f.Target) {
			return nil, fmt.Errorf("folder %q is not below the root", f.Target)
		}
		f.Target, f.MiB, f.Files = path.Clean(f.Target), First(f.MiB, DefaultFolderMiB), First(f.Files, DefaultFolderFiles)
	}
	return out, nil
}

// Defaults and bounds of a command.
const (
	DefaultFolderMiB   = 64
	DefaultFolderFiles = 1024
	DefaultTmpMiB      = 512
	DefaultPIDs        = 1024 // AWS Lambda's
	MaxFolders         = 16
	// MaxFolderDepth is how many folders deep files are kept; Java packages are some ten.
	MaxFolderDepth = 64
	// VCPUMiB is the memory that goes with one processor on AWS Lambda, MB
	// (https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html).
	VCPUMiB = 1769
)

// First is the first value above zero, zero if there is none.
func First(values ...int) int {
	for _, v := range values {
		if v > 0 {
			return v
		}
	}
	return 0
}

// KeepError is something that a command left and that must not come out of its sandbox.
type KeepError struct {
	Name   string // in the folder; the command chose it
	Reason string
}

func (e *KeepError) Error() string { return fmt.Sprintf("keep what was made: %q %s", e.Name, e.Reason) }

// Limits of a sandbox. Zero: the driver's default.
type Limits struct {
	MemoryMiB int
	TmpMiB    int
	CPUs      float64 // cores' worth of time
	PIDs      int
}

// Worker is one running sandbox.
type Worker interface {
	ID() string
	// Phases says how long the parts of the start took.
	Phases() Phases
	// Invoke runs one invocation through the Runtime API (handler and provided functions) and
	// returns its end. The error is non-nil only when there is no Result: the worker ended
	// (*ExitError), ctx ended, or inv is invalid (ErrInvalidInvocation; the worker is kept). A
	// deadline in inv is told to the runtime; enforcing it is the caller's: it stops the worker.
	// When ctx ended the runtime still works on the invocation: the caller must stop the worker.
	// Not to be called concurrently.
	Invoke(ctx context.Context, inv *Invocation) (*Result, error)
	// HTTP reaches a web function's port. Requests may run concurrently; bodies are streamed.
	HTTP() http.RoundTripper
	// Trace returns what the tracer has written so far (reachability-metadata.json), nil if
	// nothing. Hostile until parsed. When the worker has ended it is what was kept of Spec.RecordDir.
	Trace(ctx context.Context) ([]byte, error)
	// Memory measures the whole sandbox now.
	Memory(ctx context.Context) (Memory, error)
	// Stop ends the sandbox: SIGTERM, grace, SIGKILL of everything in it; then all is removed.
	// Idempotent; returns when nothing is left.
	Stop(ctx context.Context, grace time.Duration) error
	// Done is closed when the runtime has ended by itself or was stopped; Exit is valid then.
	Done() <-chan struct{}
	Exit() Exit
}

// Phases of a start. Cold start = queue (the node's) + these + the handler's own time.
type Phases struct {
	// Sandbox: from Start to the command's exec: the platform's own share.
	Sandbox time.Duration `json:"sandbox"`
	// Runtime: from exec to the runtime's first sign of life (first connection or request).
	Runtime time.Duration `json:"runtime"`
	// Init: from there to ready. 0 where the two cannot be told apart.
	Init time.Duration `json:"init"`
}

// Invocation is one event for the Runtime API.
type Invocation struct {
	RequestID string
	// Payload is the event, a JSON document; if Body is set, that is.
	Payload []byte
	// Body is an event that is too large to be held in memory while it waits.
	Body Body
	// Keep, if set, takes an answer that is not small into a Body, up to limit bytes, where it stands in
	// Result.Body. It returns ErrTooLarge for more, and ErrNotKept.
	Keep          func(r io.Reader, limit int64) (Body, error)
	Deadline      time.Time
	FunctionARN   string
	TraceID       string // X-Amzn-Trace-Id, may be empty
	ClientContext string // JSON, not base64; may be empty
	Identity      string // Cognito identity as JSON, may be empty
	// Stream, if set, takes the answer as it comes when the runtime answers in streaming mode.
	// It is called from Invoke's time only; an error of it ends the transfer, not the worker.
	// Nil: streamed answers are collected into Result.Payload, within the size limit.
	Stream StreamWriter
}

// Event is the payload, in memory.
func (i *Invocation) Event() ([]byte, error) {
	if i.Body == nil {
		return i.Payload, nil
	}
	return i.Body.Bytes()
}

// Body is a payload outside of memory.
type Body interface {
	// Size in bytes.
	Size() int64
	// Reader reads it from its start, as often as it is asked for.
	Reader() io.Reader
	// Bytes reads all of it into memory.
	Bytes() ([]byte, error)
	// Close gives back what it takes. It is its owner's to call: of an event who invokes, of an answer who
	// got the result. Idempotent.
	Close() error
}

// ErrTooLarge is returned by Invocation.Keep for an answer over the limit.
var ErrTooLarge = errors.New("answer is too large")

// ErrNotKept is returned by Invocation.Keep when there is no room for an answer. The runtime is not to blame.
var ErrNotKept = errors.New("there is no room for the answer")

// StreamWriter takes a streamed answer. Start is called once, before the first Write.
type StreamWriter interface {
	Start(contentType string)
	io.Writer
}

// Result is what the runtime answered.
type Result struct {
	// Outcome is OK, HandlerError or TooLarge.
	Outcome function.Outcome
	// Payload is the answer, or the error document {errorType, errorMessage, stackTrace}. Of an
	// answer that went to Invocation.Stream it is empty, or the error that ended it midway.
	Payload []byte
	// Body, if set, is the answer in the place of Payload.
	Body Body
	// Streamed says that the answer went to Invocation.Stream.
	Streamed bool
	// ErrorType is Lambda-Runtime-Function-Error-Type, e.g. "Unhandled".
	ErrorType   string
	ContentType string
}

// Memory of a sandbox in bytes. PSS counts shared pages by share; 0: not known.
type Memory struct {
	PSS  int64 `json:"pss"`
	RSS  int64 `json:"rss"`
	Peak int64 `json:"peak"`
}

// Exit is how a runtime ended.
type Exit struct {
	Code        int    // exit code; -1 if by signal
	Signal      string // e.g. "killed", empty if by exit
	OutOfMemory bool   // killed by the kernel at the memory limit
	Stopped     bool   // because of Stop
	// Stderr is the last 8 KiB that it wrote to stderr (the name of a missing element stands there).
	Stderr string
}

// String says it as AWS Lambda does: "exit status 1", "signal: killed", "out of memory".
func (e Exit) String() string {
	switch {
	case e.OutOfMemory:
		return "out of memory"
	case e.Signal != "":
		return "signal: " + e.Signal
	default:
		return "exit status " + strconv.Itoa(e.Code)
	}
}

// ExitError is returned when the runtime ended under an invocation.
type ExitError struct {
	Exit Exit
	// NotTaken says that the runtime never got the invocation, as when it ends after the one before:
	// it may run on another worker. False is always safe.
	NotTaken bool
}

func (e *ExitError) Error() string { return "the runtime ended: " + e.Exit.String() }

// StartError is returned by Start when there is no worker.
type StartError struct {
	// Phase is "sandbox" (the platform's fault), "runtime" or "init" (the function's).
	Phase string
	// Exit is set when the runtime ended by itself.
	Exit *Exit
	// InitError is the document that the runtime posted to /runtime/init/error, if it did.
	InitError []byte
	Err       error
}

func (e *StartError) Error() string { return "start worker: " + e.Phase + ": " + e.Err.Error() }
func (e *StartError) Unwrap() error { return e.Err }

// Peaker is implemented by workers that know the most memory they ever used without much work: it is
// asked for once a second of a busy worker, on the way of an invocation.
type Peaker interface {
	// Peak is in bytes; 0: not known. May be called from Start's return until Stop returned.
	Peak() int64
}

// Mapper is implemented by workers that know which files their runtime has in its memory.
type Mapper interface {
	// Maps reports whether the runtime maps the host's file. It tells an artifact that is used from one
	// that the runtime turned down without a word. It may be called once Start has returned.
	Maps(file string) (bool, error)
}

// Runner is implemented by drivers that also run commands that are no workers: jobs, such as a builder's
// tool, which handles what a function wrote and so needs the containment of that function's workers.
type Runner interface {
	// Run makes a sandbox as Start does, but without any network, runs the command in it to its end at a
	// low priority, and returns when nothing is left of it. How the command ended is in Finished; the error
	// is non-nil when it did not end by itself (a *StartError, ErrClosed, or ctx's error), and beside Finished
	// when it left what cannot be kept (a *KeepError). What it made is then in the Keep of spec.Folders, and
	// hostile until checked.
	Run(ctx context.Context, spec Spec) (*Finished, error)
}

// Finished is a job that ended by itself, or by the kernel's hand at a limit.
type Finished struct {
	Exit Exit
	Wall time.Duration // from the command's start to its end
	CPU  time.Duration // user and system time of all its processes
	// PeakRSS is the most memory that its processes had, in bytes.
	PeakRSS int64
}

// Clocker is implemented by workers that know how much CPU time they took without much work: it is asked
// for once a second of a busy worker, on the way of an invocation.
type Clocker interface {
	// CPU is the user and system time of the whole sandbox since its start; 0: not known. May be
	// called from Start's return on, also after the end.
	CPU() time.Duration
}

// Pauser is implemented by workers that can be kept from running while they have nothing to do.
type Pauser interface {
	// Pause keeps every process of the sandbox from running until Resume, which takes some tenths of a
	// millisecond each. Everything else may be called meanwhile; Stop resumes first, so that SIGTERM is heard.
	// Both are idempotent, and do nothing to a worker that has ended or is being stopped.
	Pause() error
	Resume() error
}

// Dropper is implemented by workers whose output is bounded: a runtime that writes without an end is slowed
// down, and what it writes all the same is dropped.
type Dropper interface {
	// Dropped is how many bytes of output were dropped since the start. May be called from Start's return on.
	Dropped() int64
}

// Snapshotter is implemented by workers whose driver can save and restore them.
type Snapshotter interface {
	// Snapshot saves the worker, which must run no invocation, into dir, an empty folder of the host. The worker
	// goes on running, but should be stopped: its copies have the same secrets and the same random numbers to
	// come. What is in dir is as secret as the worker's memory. The error is a *SnapshotError where it is the
	// worker that cannot be saved.
	Snapshot(ctx context.Context, dir string) error
}

// SnapshotError is why a worker cannot be saved.
type SnapshotError struct{ Reason string }

func (e *SnapshotError) Error() string { return "save worker: " + e.Reason }

var (
	// ErrClosed is returned by Start after Close.
	ErrClosed = errors.New("driver is closed")
	// ErrNoDriver is wrapped in the error of a Start of a revision whose driver is not there.
	ErrNoDriver = errors.New("no driver for the function's workers")
	// ErrInvalidInvocation is returned by Invoke for what cannot be handed to a runtime, such as
	// a line break in a header value. It is the caller's fault.
	ErrInvalidInvocation = errors.New("invalid invocation")
	// ErrBusy is returned by Invoke when an earlier invocation has not ended.
	ErrBusy = errors.New("worker is busy")
	// ErrNotRestored is wrapped in the error of a Start with Spec.Restore whose process never came to itself: what was
	// saved is damaged, or does not fit this machine any more.
	ErrNotRestored = errors.New("what was saved could not be restored")
	// ErrNotWeb is returned by the round tripper of a worker that is no web function.
	ErrNotWeb = errors.New("worker has no port")
)
