// Package function is the vocabulary of CloudJIT: the identifiers, the immutable
// specification of a revision, and the outcomes of an invocation.
//
// It must not know how anything is run, stored or served: it imports nothing of this
// module, and every other package may import it.
package function

import (
	"fmt"
	"time"
)

// Name is the name of a function, as in the AWS Lambda API: 1..64 characters of [A-Za-z0-9_-].
type Name string

// RevisionID names one revision for ever and everywhere (a ULID): it is never used again,
// not even by another node or after the function was deleted.
type RevisionID string

// Latest is the version name of the revision that is changed in place by updates.
const Latest = "$LATEST"

// Kind says what a function's code is, and so what runs inside the sandbox.
type Kind uint8

const (
	// KindUnknown is the zero value; no stored revision has it.
	KindUnknown Kind = iota
	// KindHandler is an AWS Lambda Java handler, run by CloudJIT's own runtime client.
	KindHandler
	// KindWeb is an executable JAR that listens on $PORT.
	KindWeb
	// KindProvided is a ZIP with an executable "bootstrap" that speaks the Runtime API.
	KindProvided
	// KindPython is a handler in Python, run by CloudJIT's own runtime client.
	KindPython
	// KindNode is one in JavaScript, run by Node.js.
	KindNode
)

// Rung is the name of a way to run a revision, as "hotspot" or "native"; package ladder says what each is.
type Rung string

// DeoptMode is what happens to the invocation that met a missing dynamic feature (paper, 4.1).
type DeoptMode uint8

const (
	// DeoptReexecute runs the invocation again on a rung below. The zero value, and the default.
	DeoptReexecute DeoptMode = iota
	// DeoptError hands the failure to the caller. The function is deoptimized all the same.
	DeoptError
)

// Outcome is how an invocation, or a worker's use, ended.
type Outcome uint8

const (
	// OutcomeUnknown is the zero value.
	OutcomeUnknown Outcome = iota
	// OutcomeOK is an answer of the handler.
	OutcomeOK
	// OutcomeHandlerError is an error that the handler reported; its worker is fine.
	OutcomeHandlerError
	// OutcomeTimeout is a handler that did not answer in the function's time; its worker is stopped.
	OutcomeTimeout
	// OutcomeCrashed is a worker that ended while it ran the invocation.
	OutcomeCrashed
	// OutcomeOutOfMemory is a worker that was killed at its memory limit.
	OutcomeOutOfMemory
	// OutcomeDeoptimized is a native worker that met an element it has no metadata for (exit code 172).
	OutcomeDeoptimized
	// OutcomeTooLarge is an answer over the limit (6 MB); its worker is kept.
	OutcomeTooLarge
	// OutcomeInitError is a runtime that reported that it cannot start the handler, or ended before it was ready.
	OutcomeInitError
	// OutcomeCancelled is a caller that went away; the handler ran to its end, or was never started.
	OutcomeCancelled
)

// ExitMissingMetadata is the exit code of a native binary, run with
// -XX:MissingRegistrationReportingMode=Exit, that met an element it has no metadata for.
const ExitMissingMetadata = 172

// Spec is one revision: immutable code and configuration. Whatever is changed makes a new revision.
type Spec struct {
	ID       RevisionID `json:"id"`
	Function Name       `json:"function"`
	// Version is what the invocation sees as AWS_LAMBDA_FUNCTION_VERSION: "$LATEST" or a number.
	Version string `json:"version"`
	Kind    Kind   `json:"kind"`
	// Runtime is the Lambda runtime identifier the user gave: "java21", "python3.12", "nodejs22.x", "provided.al2023"...
	Runtime string `json:"runtime"`
	// Handler is "package.Class", "package.Class::method", "module.function", or what a provided runtime makes of it.
	Handler string `json:"handler,omitempty"`
	// MainClass is the entry of a web function; empty: the JAR's manifest says.
	MainClass string `json:"mainClass,omitempty"`
	// CodeSHA256 is the hex SHA-256 of the uploaded archive, its key in the artifact store.
	CodeSHA256 string `json:"codeSha256"`
	CodeSize   int64  `json:"codeSize"`
	// MemoryMiB is the limit of a worker, 128..10240.
	MemoryMiB int `json:"memoryMiB"`
	// TmpMiB is the size of /tmp, 512..10240.
	TmpMiB int `json:"tmpMiB"`
	// Timeout is the longest an invocation may take, 1 s..900 s.
	Timeout     time.Duration     `json:"timeout"`
	Environment map[string]string `json:"environment,omitempty"`
	Logging     Logging           `json:"logging,omitzero"`
	// Concurrency is how many requests a worker of a web function takes at once; 0 and 1: one.
	Concurrency int `json:"concurrency,omitempty"`
	// Driver makes the sandboxes of its workers: "process", "qemu"...; empty: the one that the platform has for all.
	Driver string `json:"driver,omitempty"`
}

// Logging is what a function is told of its log (the Lambda API's LoggingConfig); what is empty was not said.
type Logging struct {
	// Format is LogText or LogJSON.
	Format string `json:"format,omitempty"`
	// Level is the least that is logged, of the format JSON alone: "TRACE" .. "FATAL"; empty: "INFO".
	Level string `json:"level,omitempty"`
	// Group is the name of the log.
	Group string `json:"group,omitempty"`
}

// Formats of a log.
const (
	LogText = "Text"
	LogJSON = "JSON"
)

var (
	kindNames    = [...]string{"unknown", "handler", "web", "provided", "python", "nodejs"}
	deoptNames   = [...]string{"reexecute", "error"}
	outcomeNames = [...]string{"unknown", "ok", "handler-error", "timeout", "crashed", "out-of-memory", "deoptimized", "too-large", "init-error", "cancelled"}
)

func (k Kind) String() string      { return EnumName(kindNames[:], uint8(k)) }
func (m DeoptMode) String() string { return EnumName(deoptNames[:], uint8(m)) }
func (o Outcome) String() string   { return EnumName(outcomeNames[:], uint8(o)) }

// MarshalText writes the name; all enums of this package travel as their names.
func (k Kind) MarshalText() ([]byte, error)      { return []byte(k.String()), nil }
func (m DeoptMode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }
func (o Outcome) MarshalText() ([]byte, error)   { return []byte(o.String()), nil }

// UnmarshalText reads the name and fails on any other.
func (k *Kind) UnmarshalText(b []byte) error { return ParseEnum("kind", kindNames[:], (*uint8)(k), b) }
func (m *DeoptMode) UnmarshalText(b []byte) error {
	return ParseEnum("deoptimization mode", deoptNames[:], (*uint8)(m), b)
}
func (o *Outcome) UnmarshalText(b []byte) error {
	return ParseEnum("outcome", outcomeNames[:], (*uint8)(o), b)
}

// EnumName is the name of an enum's value, "invalid(9)" of one that has none.
func EnumName(names []string, v uint8) string {
	if int(v) < len(names) {
		return names[v]
	}
	return fmt.Sprintf("invalid(%d)", v)
}

// ParseEnum sets v to the value of a name; what is the enum in the error about any other.
func ParseEnum(what string, names []string, v *uint8, b []byte) error {
	for i, n := range names {
		if n == string(b) {
			*v = uint8(i)
			return nil
		}
	}
	return fmt.Errorf("unknown %s %q: want one of %q", what, b, names)
}
