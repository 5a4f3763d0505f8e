// Package trace reads, writes, cuts and generates traces of function invocations.
//
// A Trace is a table of functions and a stream of invocations in time order that can be
// opened as often as wanted and is the same every time for the same Options. Two kinds stand
// behind it: counts per function and minute (the Azure 2019 set, the generator), which are
// expanded minute by minute so that a day of 910 million invocations needs no more memory
// than its busiest minute, and recorded invocations (the Azure 2021 set, this package's own
// CSV and Parquet), which are kept sorted in memory or, beyond that, on disk.
//
// The package knows nothing of engines, policies or the simulator.
package trace

import (
	"context"
	"fmt"
	"io"
	"time"
)

// Trigger is what invoked a function, as the Azure 2019 set names it.
type Trigger uint8

// The triggers of the Azure 2019 set. The zero value is a trigger that is not known.
const (
	TriggerUnknown Trigger = iota
	TriggerHTTP
	TriggerQueue
	TriggerEvent
	TriggerOrchestration
	TriggerTimer
	TriggerStorage
	TriggerOthers

	triggerCount = int(TriggerOthers) + 1
)

var triggerNames = [triggerCount]string{"unknown", "http", "queue", "event", "orchestration", "timer", "storage", "others"}

func (t Trigger) String() string {
	if int(t) < len(triggerNames) {
		return triggerNames[t]
	}
	return fmt.Sprintf("invalid(%d)", uint8(t))
}

// MarshalText writes the trigger's name.
func (t Trigger) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// parseTrigger reads a trigger's name; the second result is false for a name that is not known.
func parseTrigger(s string) (Trigger, bool) {
	for i, n := range triggerNames {
		if n == s {
			return Trigger(i), true
		}
	}
	return TriggerUnknown, s == ""
}

// Function is one row of a trace's table.
type Function struct {
	// Owner, App and Name identify it; Owner and App may be empty.
	Owner string `json:"owner,omitempty"`
	App   string `json:"app,omitempty"`
	Name  string `json:"name"`

	Trigger  Trigger   `json:"trigger"`
	Duration Durations `json:"duration"`
	// MemoryMB is what one worker of the function needs, in MB (10^6 bytes as the sets have it).
	MemoryMB float64 `json:"memoryMB"`
	// DurationAssumed and MemoryAssumed are true where the trace had no row for the
	// function and a typical value stands in (see Problem).
	DurationAssumed bool `json:"durationAssumed,omitempty"`
	MemoryAssumed   bool `json:"memoryAssumed,omitempty"`
}

// key identifies a function across files and days.
type key struct{ owner, app, name string }

func (f *Function) key() key { return key{f.Owner, f.App, f.Name} }

// appKey names the function's app; a function without one is its own.
func (f *Function) appKey() string {
	if f.App == "" {
		return f.Name
	}
	return f.Owner + "/" + f.App
}

// Invocation is one call of a function.
type Invocation struct {
	// At is when it arrives, from the start of the trace.
	At time.Duration
	// Duration is how long the handler runs, without any start of a worker.
	Duration time.Duration
	// Function is the index in the trace's table.
	Function int32
}

// Trace is a table of functions and the invocations of them in time order.
type Trace interface {
	// Functions is the table. The caller must not change it.
	Functions() []Function
	// Length is the time that the trace covers; no invocation arrives at or after it.
	Length() time.Duration
	// StartMinute is the minute of the day, 0..1439, at which the trace starts; 0 where it is not known.
	StartMinute() int
	// Open starts a pass over the invocations. Passes are independent of each other.
	Open(ctx context.Context, o Options) (Stream, error)
	// Close releases files behind the trace; streams must be closed before.
	Close() error
}

// Stream is one pass over a trace.
type Stream interface {
	// Next returns the next invocations in order of (At, place in the trace), reusing the
	// memory of buf, and io.EOF with none after the last. A batch is never empty.
	Next(buf []Invocation) ([]Invocation, error)
	// Close ends the pass. Idempotent.
	Close() error
}

// Placement is where counted invocations go inside their minute: the published counts do
// not say, so it is a choice of the model, and is printed with every result.
type Placement uint8

const (
	// PlaceUniform puts each invocation at a random moment of its minute: a Poisson process
	// given its count. Timers keep the fixed phase that they have in the set. The default.
	PlaceUniform Placement = iota
	// PlaceEven spreads the count at equal distances, from a fixed phase of each function.
	PlaceEven
	// PlacePoisson takes the count as a mean: the number is drawn too, so totals differ.
	PlacePoisson
	// PlaceBurst lets all of a function's invocations of a minute come at once, at its phase: no
	// more concurrency than this can be behind the counts.
	PlaceBurst
)

var placementNames = [...]string{"uniform", "even", "poisson", "burst"}

func (p Placement) String() string { return placementNames[p] }

// MarshalText writes the name.
func (p Placement) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads a name and fails on any other.
func (p *Placement) UnmarshalText(b []byte) error {
	for i, n := range placementNames {
		if n == string(b) {
			*p = Placement(i)
			return nil
		}
	}
	return fmt.Errorf("unknown placement %q: want one of %q", b, placementNames)
}

// Options of a pass over a trace. They matter to counted traces only: recorded ones have
// their times and durations.
type Options struct {
	// Seed of everything random in the pass.
	Seed      uint64
	Placement Placement
	// AverageDurations gives each invocation its function's average instead of a draw from
	// the function's percentiles.
	AverageDurations bool
}

// ForEach runs f over every invocation of a pass.
func ForEach(ctx context.Context, t Trace, o Options, f func(Invocation) error) error {
	s, err := t.Open(ctx, o)
	if err != nil {
		return err
	}
	defer s.Close()
	var buf []Invocation
	for {
		if buf, err = s.Next(buf); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		for _, inv := range buf {
			if err := f(inv); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}
