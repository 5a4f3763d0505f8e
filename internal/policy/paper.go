package policy

import (
	"time"

	"github.com/cloudjit/cloudjit/internal/ladder"
)

// Paper is the policy of the paper (4.1, 4.2): the tracer on the first worker; a fixed
// keep-alive; a build when there are more cold starts than the threshold inside the window; first
// come, first built; a parallel invocation beyond the warm workers is a cold start. What the
// paper leaves open is this package's: a better binary, and back-off.
type Paper struct {
	// HotInvocations is how many invocations a quick binary serves before an optimized one
	// is worth its build; 0: DefaultHotInvocations; negative: never.
	HotInvocations int64
	// First is the lowest binary that is built; empty: the lowest of the ladder.
	First ladder.ID
}

// DefaultHotInvocations: a quick build pays back in cold starts; the better code of an optimized
// one pays back only in many invocations.
const DefaultHotInvocations = 1000

var _ Policy = (*Paper)(nil)

// Keep is the function's own keep-alive, whatever the rung.
func (p *Paper) Keep(_ int64, v *View) Keep { return Keep{Alive: v.Params.KeepAlive} }

// Decide traces first, compares the window with the threshold, and asks for the optimized binary
// when a quick one stays in use.
func (p *Paper) Decide(now int64, v *View) Decision {
	d := Decision{Record: ladder.RecordingMetadata, Serve: top(v)}
	quick, optimized := p.binaries(v.Ladder)
	switch {
	case quick == ladder.First:
		d.Record = ladder.RecordingNone
	case !v.Rungs[quick].Ready && !(optimized != ladder.First && v.Rungs[optimized].Ready):
		if v.Recent.Exceeds(now, v.Params.Window, v.Params.Threshold) {
			d.Make = quick
		}
	case optimized != ladder.First && v.Rungs[quick].Ready:
		hot := p.HotInvocations
		if hot == 0 {
			hot = DefaultHotInvocations
		}
		if hot > 0 && v.Rungs[quick].Served >= uint64(hot) {
			d.Make = optimized
		}
	}
	return d
}

// binaries are the rungs that this policy knows: a first binary and a better one; First if there
// is none.
func (p *Paper) binaries(l *ladder.Ladder) (quick, optimized ladder.ID) {
	for i := max(1, int(p.First)); i < len(l.Rungs); i++ {
		if r := &l.Rungs[i]; r.Artifact != ladder.ArtifactBinary || !r.Serves() || r.Also != ladder.RecordingNone {
			continue
		}
		if quick == ladder.First {
			quick = ladder.ID(i)
		} else {
			return quick, ladder.ID(i)
		}
	}
	return quick, ladder.First
}

// top is the highest rung of the ladder.
func top(v *View) ladder.ID { return ladder.ID(len(v.Ladder.Rungs) - 1) }

// Start is always: the paper's model has no waiting for a busy worker.
func (p *Paper) Start(int64, *View) bool { return true }

// Surplus is never: see Start.
func (p *Paper) Surplus(int64, *View) bool { return false }

// Priority is the same for all: first come, first built.
func (p *Paper) Priority(int64, *View, ladder.ID) float64 { return 0 }

// Worth is the same for all.
func (p *Paper) Worth(int64, *View, ladder.ID) float64 { return 0 }

// FallBackoff is 1 min, 2, 4 ... up to a day. The first deoptimization waits least: a code
// path that tracing had not seen is the ordinary case.
func (p *Paper) FallBackoff(n int32) int64 {
	return Exponential(int64(time.Minute), int64(24*time.Hour), n)
}

// BuildBackoff is 1 min, 2, 4 ... up to 6 hours.
func (p *Paper) BuildBackoff(n int32) int64 {
	return Exponential(int64(time.Minute), int64(6*time.Hour), n)
}

// Exponential is base * 2^(n-1), at most limit, for n from 1.
func Exponential(base, limit int64, n int32) int64 {
	d := base
	for i := int32(1); i < n; i++ {
		if d >= limit/2 {
			return limit
		}
		d *= 2
	}
	return min(d, limit)
}

// Never is no optimization at all: the baseline. It embeds Paper for all else.
type Never struct{ Paper }

// Decide records and makes nothing.
func (*Never) Decide(_ int64, v *View) Decision { return Decision{Serve: top(v)} }
