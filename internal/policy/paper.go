package policy

import (
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
)

// Paper is the policy of the paper (4.2): a fixed keep-alive; a build when there are more
// cold starts than the threshold inside the window; first come, first built. What the paper
// leaves open is this package's: levels and back-off.
type Paper struct {
	// HotInvocations is how many invocations a quick binary serves before an optimized one
	// is worth its build; 0: DefaultHotInvocations; negative: never.
	HotInvocations int64
	// First is the level of a revision's first binary; LevelNone: LevelQuick.
	First function.Level
}

// DefaultHotInvocations: a quick build pays back in cold starts; the better code of an optimized
// one pays back only in many invocations.
const DefaultHotInvocations = 1000

var _ Policy = (*Paper)(nil)

// KeepAlive is the function's own, whatever the tier.
func (p *Paper) KeepAlive(_ int64, v *View) int64 { return v.Params.KeepAlive }

// Promote compares the window with the threshold, and asks for the optimized level when a
// quick binary stays in use.
func (p *Paper) Promote(now int64, v *View) function.Level {
	if v.Level == function.LevelQuick {
		hot := p.HotInvocations
		if hot == 0 {
			hot = DefaultHotInvocations
		}
		if hot > 0 && v.NativeInvocations >= uint64(hot) {
			return function.LevelOptimized
		}
		return v.Level
	}
	if v.Level == function.LevelNone && v.Recent.Exceeds(now, v.Params.Window, v.Params.Threshold) {
		if p.First == function.LevelNone {
			return function.LevelQuick
		}
		return p.First
	}
	return v.Level
}

// Priority is the same for all: first come, first built.
func (p *Paper) Priority(int64, *View) float64 { return 0 }

// DeoptBackoff is 1 min, 2, 4 ... up to a day. The first deoptimization waits least: a code
// path that tracing had not seen is the ordinary case.
func (p *Paper) DeoptBackoff(n int32) int64 {
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

// Promote never asks for a build.
func (*Never) Promote(_ int64, v *View) function.Level { return v.Level }
