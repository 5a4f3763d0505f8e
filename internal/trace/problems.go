package trace

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
)

// Kind is a kind of irregularity in the files of a trace. Each has one policy, which holds
// for every row of the kind: nothing is skipped or repaired without a count.
type Kind string

// The irregularities that readers meet.
const (
	// MalformedRow cannot be understood: wrong number of fields, no number, out of range.
	MalformedRow Kind = "malformed-row"
	// LongLine is longer than maxLine.
	LongLine Kind = "long-line"
	// RepeatedRow is a row of counts equal to an earlier one of the same function and day.
	RepeatedRow Kind = "repeated-row"
	// DoubledFunction is a further row of counts, or of durations or memory, of a function.
	DoubledFunction Kind = "doubled-function"
	// NoDuration is a function with invocations and no row of durations.
	NoDuration Kind = "no-duration"
	// NoMemory is a function with invocations and no row of memory.
	NoMemory Kind = "no-memory"
	// NoInvocations is a row of durations or memory of a function that is never invoked.
	NoInvocations Kind = "no-invocations"
	// NegativeValue is a duration or a memory below zero.
	NegativeValue Kind = "negative-value"
	// UnsortedPercentiles are percentiles that do not grow.
	UnsortedPercentiles Kind = "unsorted-percentiles"
	// UnknownTrigger is a trigger that the set does not define.
	UnknownTrigger Kind = "unknown-trigger"
	// BeforeStart is a recorded invocation that began before time 0.
	BeforeStart Kind = "before-start"
	// IgnoredFile is a file of a folder or archive that is no part of a trace.
	IgnoredFile Kind = "ignored-file"
)

var policies = map[Kind]string{
	MalformedRow:        "left out",
	LongLine:            "left out",
	RepeatedRow:         "left out: the same counts again",
	DoubledFunction:     "counts are added to the first row's; of durations and memory the row with more samples is kept",
	NoDuration:          "gets the durations of the median function with its trigger",
	NoMemory:            "gets the median memory of the trace, or 140 MB if there is none in it",
	NoInvocations:       "left out",
	NegativeValue:       "taken as 0",
	UnsortedPercentiles: "sorted",
	UnknownTrigger:      "taken as unknown",
	BeforeStart:         "the whole trace is moved to start with its first invocation",
	IgnoredFile:         "left out",
}

// Problem is all irregularities of one kind.
type Problem struct {
	Kind   Kind   `json:"kind"`
	Count  int    `json:"count"`
	Policy string `json:"policy"`
	// Examples are the first few.
	Examples []Place `json:"examples"`
}

// Place is a line of a file, with what is wrong there.
type Place struct {
	File string `json:"file"`
	Line int    `json:"line,omitempty"`
	What string `json:"what,omitempty"`
}

func (p Place) String() string {
	s := p.File
	if p.Line > 0 {
		s += fmt.Sprintf(":%d", p.Line)
	}
	if p.What != "" {
		s += ": " + p.What
	}
	return s
}

// maxExamples bounds what a damaged file of millions of rows can make us keep.
const maxExamples = 10

// Problems collects irregularities. The zero value is ready, and safe for concurrent use.
type Problems struct {
	mu     sync.Mutex
	byKind map[Kind]*Problem
}

func (p *Problems) add(k Kind, file string, line int, format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byKind == nil {
		p.byKind = map[Kind]*Problem{}
	}
	e := p.byKind[k]
	if e == nil {
		e = &Problem{Kind: k, Policy: policies[k]}
		p.byKind[k] = e
	}
	e.Count++
	if len(e.Examples) < maxExamples {
		e.Examples = append(e.Examples, Place{file, line, fmt.Sprintf(format, args...)})
	}
}

// List returns the problems in order of their kind.
func (p *Problems) List() []Problem {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]Problem, 0, len(p.byKind))
	for _, e := range p.byKind {
		c := *e
		c.Examples = slices.Clone(e.Examples)
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b Problem) int { return cmp.Compare(a.Kind, b.Kind) })
	return list
}

// Count is how many irregularities of a kind there were.
func (p *Problems) Count(k Kind) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.byKind[k]; e != nil {
		return e.Count
	}
	return 0
}

// FormatError is a file that is not what a reader takes at all.
type FormatError struct {
	File string
	What string
	// Hint says what to do about it.
	Hint string
}

func (e *FormatError) Error() string {
	s := "read trace " + e.File + ": " + e.What
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}
