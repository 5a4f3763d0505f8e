// Package ladder is the table of rungs: the ways in which a revision can be run, as the tiers of
// a JIT compiler are, and what each of them costs and gains.
//
// A worker is a rung and a recording: the rung says how it runs, the recording what it leaves
// for a builder. Engine, policies, simulator, launch, builders and API read the same table: a new
// rung is a row of it, a builder and a launch line. The package is pure data: it knows nothing of
// workers, of times of day, or of which rung a revision is on.
package ladder

import (
	"fmt"
	"slices"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
)

// Artifact is what a worker of a rung needs besides the code.
type Artifact uint8

const (
	// ArtifactNone: nothing.
	ArtifactNone Artifact = iota
	// ArtifactCache is a JDK's AOT cache, or its older form, an archive of class data.
	ArtifactCache
	// ArtifactBinary is a native executable.
	ArtifactBinary
	// ArtifactSnapshot is the saved state of a worker.
	ArtifactSnapshot

	artifactCount = int(ArtifactSnapshot) + 1
)

// Recording is what a worker writes down while it serves, for a builder to make an artifact of.
type Recording uint8

const (
	// RecordingNone: the worker records nothing, or the artifact needs no recording.
	RecordingNone Recording = iota
	// RecordingClasses is the list of the classes that a JVM loads, and of what its lambdas became. It is
	// whole when the worker has ended in good order.
	RecordingClasses
	// RecordingMetadata is the tracer's: the dynamic features that were used (GraalVM reachability
	// metadata). It grows while the worker lives.
	RecordingMetadata
	// RecordingProfile says which code of a binary is hot and what its branches and calls do. An instrumented binary
	// writes it when it ends in good order.
	RecordingProfile

	// RecordingCount is the number of recordings, for tables by Recording.
	RecordingCount = int(RecordingProfile) + 1
)

// ID is a rung's index in its ladder. The first rung, 0, needs no artifact.
type ID uint8

// First is the rung that everything can fall back to.
const First ID = 0

// Max is the most rungs that a ladder may have.
const Max = 12

// Rung is one way to run a revision.
type Rung struct {
	// Name is what people, metrics and the API call it.
	Name function.Rung `json:"name"`
	// Artifact is what a worker of it needs.
	Artifact Artifact `json:"artifact"`
	// From is the recording that the artifact is made from.
	From Recording `json:"from"`
	// Also is a second recording that the artifact is made from, of those that are there when their worker has ended.
	Also Recording `json:"also,omitempty"`
	// Recorder is the recording that workers of the rung are for: they take it while they serve, and no worker of the
	// rung serves without. RecordingNone: an ordinary rung, whose workers record nothing.
	Recorder Recording `json:"recorder,omitempty"`
	// Builder is the name of what makes the artifact; Options is what it is told.
	Builder string `json:"builder,omitempty"`
	Options string `json:"options,omitempty"`
	// Back is the highest rung that may serve when this one's artifact turns out wrong.
	Back ID `json:"back"`
	// Light: the artifact costs so little that it is made for every function that runs, as its
	// recording is taken from an ordinary worker. All others are weighed.
	Light bool `json:"light"`
	// Early: the artifact is made only before the first invocation, of a function that asks for that, or by an operator's wish.
	Early bool `json:"early,omitempty"`

	// What it gains, until it is measured: factors, relative to the ladder's first rung.

	// Start is the time from the start of a worker until it is ready for its first invocation.
	Start float64 `json:"start"`
	// First and Speed are the duration of a worker's first invocation and of the later ones, where they
	// do nothing but compute.
	First float64 `json:"first"`
	Speed float64 `json:"speed"`
	// Memory is what a worker uses.
	Memory float64 `json:"memory"`

	// Cost of making and keeping the artifact, until it is measured.
	Cost Cost `json:"cost"`
	// Check is the time that it takes to compare answers of the artifact with those of the first rung, until
	// it is measured; its DiskMB is 0.
	Check Cost `json:"check,omitzero"`
}

// Codes says for each rung which is the lowest whose warm workers run the same code, and so are equally fast: HotSpot's, of the same
// compilers. Each binary has its own.
func (l *Ladder) Codes() (codes [Max]ID) {
	for id := range l.Rungs {
		r := &l.Rungs[id]
		codes[id] = ID(id)
		if r.Artifact != ArtifactBinary {
			codes[id] = ID(slices.IndexFunc(l.Rungs, func(o Rung) bool { return o.Artifact != ArtifactBinary && o.Options == r.Options }))
		}
	}
	return codes
}

// Cost of an artifact.
type Cost struct {
	// Wall and CPU are the time that its build takes.
	Wall time.Duration `json:"wallNs"`
	CPU  time.Duration `json:"cpuNs"`
	// MemoryMB is the builder's memory at its peak, DiskMB the artifact's size; 1e6 bytes.
	MemoryMB float64 `json:"memoryMB"`
	DiskMB   float64 `json:"diskMB"`
}

func (c *Cost) legal() bool {
	return c.Wall >= 0 && c.CPU >= 0 && c.MemoryMB >= 0 && c.DiskMB >= 0
}

// Ladder is the rungs of a kind of function, the lowest first.
type Ladder struct {
	// Name is that of the kind of function.
	Name string `json:"name"`
	// Start is how long a worker of the first rung takes to be ready, until it is measured.
	Start time.Duration `json:"startNs"`
	Rungs []Rung        `json:"rungs"`
}

// recordings say what each recording is and costs.
var recordings = [RecordingCount]struct {
	name string
	// start is the factor by which a worker that records starts later.
	start float64
	// atEnd: the recording is there only when the worker has ended; span is when that is to be, see Span.
	atEnd bool
	span  Span
	// least is how many invocations recorders have to have answered together before it is of use.
	least int32
	// kept: it stays of use when the artifact is there. See Kept.
	kept bool
	// mib is how much more memory a recorder has than an ordinary worker.
	mib int32
}{
	RecordingNone: {name: "none", start: 1},
	// One invocation teaches a JVM's AOT cache as much as a thousand (docs/ladder.md).
	RecordingClasses:  {name: "classes", start: 1.03, atEnd: true, span: Span{Fresh: 5 * time.Second, Idle: time.Second, Busy: 10 * time.Second}},
	RecordingMetadata: {name: "metadata", start: 1.36, span: Span{Fresh: 5 * time.Minute}},
	// Counts have to show what is hot: a minute of traffic, and no fewer invocations than say whether a function computes. The log of
	// a JVM's compilers is in memory twice at its end, in parts and whole: of Petclinic in its first minute that is 124 and 139 MB.
	RecordingProfile: {
		mib:  384,
		name: "profile", start: 1, atEnd: true, span: Span{Fresh: 10 * time.Minute, Idle: time.Minute, Busy: time.Minute}, least: 64, kept: true,
	},
}

// Span bounds the life of a worker that records.
type Span struct {
	// One whose recording is there only at its end ends after it was idle for Fresh without having served, or for Idle after
	// it has, or when it has served and was there for Busy. One whose recording is there as it grows has only Fresh: so
	// long at least it waits for an invocation where somebody waits for what it records.
	Fresh, Idle, Busy time.Duration
}

var artifactNames = [artifactCount]string{"none", "cache", "binary", "snapshot"}

// String is the recording's name.
func (r Recording) String() string {
	if int(r) < RecordingCount {
		return recordings[r].name
	}
	return function.EnumName(nil, uint8(r))
}

// Start is the factor by which a worker that records starts later than one that does not.
func (r Recording) Start() float64 { return recordings[r].start }

// AtEnd reports whether the recording is there only when its worker has ended.
func (r Recording) AtEnd() bool { return recordings[r].atEnd }

// Span is how long a worker goes on that takes it.
func (r Recording) Span() Span { return recordings[r].span }

// Least is how many invocations the workers that took it must have answered together; 0: any number.
func (r Recording) Least() int32 { return recordings[r].least }

// MiB is how much more memory a recorder has than an ordinary worker.
func (r Recording) MiB() int32 { return recordings[r].mib }

// Kept reports whether a recording stays of use when its artifact is there: it is kept with the revision, later ones are
// added to it, and a revision with the same code takes it over.
func (r Recording) Kept() bool { return recordings[r].kept }

// String is the artifact's name.
func (a Artifact) String() string { return function.EnumName(artifactNames[:], uint8(a)) }

// MarshalText writes the name.
func (r Recording) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads the name and fails on any other.
func (r *Recording) UnmarshalText(b []byte) error {
	var names [RecordingCount]string
	for i := range names {
		names[i] = recordings[i].name
	}
	return function.ParseEnum("recording", names[:], (*uint8)(r), b)
}

// MarshalText writes the name.
func (a Artifact) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads the name and fails on any other.
func (a *Artifact) UnmarshalText(b []byte) error {
	return function.ParseEnum("artifact", artifactNames[:], (*uint8)(a), b)
}

// Find is the rung of a name; false if the ladder has none.
func (l *Ladder) Find(name function.Rung) (ID, bool) {
	for i := range l.Rungs {
		if l.Rungs[i].Name == name {
			return ID(i), true
		}
	}
	return 0, false
}

// Name of a rung, also of one that the ladder does not have.
func (l *Ladder) RungName(id ID) function.Rung {
	if int(id) < len(l.Rungs) {
		return l.Rungs[id].Name
	}
	return function.Rung(function.EnumName(nil, uint8(id)))
}

// Records reports whether some rung is made from a recording.
func (l *Ladder) Records(what Recording) bool {
	for i := range l.Rungs {
		if l.Rungs[i].Needs(what) && i > 0 {
			return true
		}
	}
	return false
}

// Needs reports whether the rung's artifact is made from a recording.
func (r *Rung) Needs(what Recording) bool {
	return what != RecordingNone && (r.From == what || r.Also == what)
}

// Serves reports whether the rung is one to run a revision on, and not only to record.
func (r *Rung) Serves() bool { return r.Recorder == RecordingNone }

// Weighed reports whether policies make the artifact where it pays: it is not for every function, nor for the time before the first
// invocation.
func (r *Rung) Weighed() bool { return !r.Light && !r.Early }

// Recorder is the rung whose workers take a recording: the first, unless another is for nothing else.
func (l *Ladder) Recorder(what Recording) ID {
	for i := range l.Rungs {
		if what != RecordingNone && l.Rungs[i].Recorder == what {
			return ID(i)
		}
	}
	return First
}

// Check refuses a ladder that no revision could climb.
func (l *Ladder) Check() error {
	if len(l.Rungs) == 0 || len(l.Rungs) > Max {
		return fmt.Errorf("ladder %q has %d rungs: want 1 to %d", l.Name, len(l.Rungs), Max)
	}
	if l.Start < 0 {
		return fmt.Errorf("ladder %q: a start of %v", l.Name, l.Start)
	}
	for i := range l.Rungs {
		r := &l.Rungs[i]
		wrong := func(format string, args ...any) error {
			return fmt.Errorf("ladder %q, rung %d (%q): %s", l.Name, i, r.Name, fmt.Sprintf(format, args...))
		}
		switch {
		case r.Name == "":
			return wrong("it has no name")
		case (i == 0) != (r.Artifact == ArtifactNone):
			return wrong("the first rung needs no artifact, and every other one does")
		case int(r.Artifact) >= artifactCount || int(r.From) >= RecordingCount || int(r.Also) >= RecordingCount || int(r.Recorder) >= RecordingCount:
			return wrong("unknown artifact or recording")
		case r.Also != RecordingNone && !r.Also.AtEnd():
			return wrong("it is also made from %s, which grows while its worker lives", r.Also)
		case r.Recorder != RecordingNone && (i == 0 || r.Light || !r.Recorder.AtEnd() || r.Needs(r.Recorder) || l.Recorder(r.Recorder) != ID(i)):
			return wrong("it records %s: want a rung above the first that is alone with it, is not light, is not made from it, and a recording that ends with its worker", r.Recorder)
		case r.Early && (i == 0 || r.Light || r.From != RecordingNone || r.Also != RecordingNone || r.Recorder != RecordingNone):
			return wrong("it is made before the first invocation: want a rung above the first that is not light, is made from no recording, and records none")
		case i > 0 && int(r.Back) >= i:
			return wrong("it falls back to rung %d: want a lower one", r.Back)
		case !(r.Start >= 0) || !(r.First > 0) || !(r.Speed > 0) || !(r.Memory > 0):
			return wrong("start %g, first %g, speed %g, memory %g: want a start of 0 or more and all others over 0", r.Start, r.First, r.Speed, r.Memory)
		case !r.Cost.legal() || !r.Check.legal():
			return wrong("a cost below 0")
		}
		if first, ok := l.Find(r.Name); ok && int(first) != i {
			return wrong("two rungs have this name")
		}
	}
	return nil
}

// Usual is the ladder as most nodes have it: without what only builders with profiles can make. Nil if there is none.
func Usual(kind function.Kind) *Ladder {
	l := Of(kind)
	if l == nil {
		return nil
	}
	return l.Keep(func(r *Rung) bool { return r.Serves() && r.Also == RecordingNone })
}

// Keep is the ladder without the rungs that are not ok. What fell back to one of those falls further.
func (l *Ladder) Keep(ok func(*Rung) bool) *Ladder {
	kept := &Ladder{Name: l.Name, Start: l.Start}
	at := make([]ID, len(l.Rungs)) // of the highest rung that was kept up to this one
	for i := range l.Rungs {
		if ok(&l.Rungs[i]) {
			r := l.Rungs[i]
			r.Back = at[r.Back]
			kept.Rungs = append(kept.Rungs, r)
		}
		at[i] = ID(max(len(kept.Rungs)-1, 0))
	}
	return kept
}
