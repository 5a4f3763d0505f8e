package policy

import (
	"math"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
)

const (
	second = int64(time.Second)
	minute = int64(time.Minute)
)

// Rungs of the handlers' ladder.
const (
	hotspot ladder.ID = iota
	cache
	c2
	snapshotDeploy
	snapshot
	snapshotC2
	native
	optimized
	// Where builders take profiles.
	instrumented
	profiled
)

// view is a handler of 100 MB a worker, added at 0, whose ready rungs are the first and those named.
func view(rev RevisionID, ready ...ladder.ID) *View {
	return viewOf(ladder.Usual(function.KindHandler), rev, ready)
}

func viewOf(l *ladder.Ladder, rev RevisionID, ready []ladder.ID) *View {
	v := &View{Revision: rev, Params: DefaultParams(), Ladder: l, Rungs: make([]RungView, len(l.Rungs)), Recent: &Window{}}
	for i := range v.Rungs {
		r := &l.Rungs[i]
		v.Rungs[i] = RungView{Ready: i == 0, Start: int64(float64(l.Start) * r.Start), MemoryMB: 100 * r.Memory, Speed: r.Speed}
	}
	for _, r := range ready {
		v.Rungs[r].Ready = true
		v.Recorded[l.Rungs[r].From] = true
	}
	return v
}

// TestSpeed: of a rung that was not measured, one with the same kind of artifact says what to expect, and the ladder what changes where the
// function computes.
func TestSpeed(t *testing.T) {
	for _, tt := range []struct {
		name   string
		cpu    time.Duration // of each invocation, which takes 10 ms
		native float64       // measured; 0: not
		doubt  float64       // of that
		rung   ladder.ID
		want   float64
	}{
		{"not known", 0, 0, 0, optimized, 1},
		{"waits", time.Millisecond, 0, 0, optimized, 1},
		{"waits, and the other binary is slow", 3 * time.Millisecond, 1.05, 0, optimized, 1.05},
		{"waits, and the other binary is slow by chance", 3 * time.Millisecond, 1.05, 0.05, optimized, 1},
		{"takes so little that measuring it says nothing", time.Millisecond, 1.05, 0, optimized, 1},
		{"computes", 8 * time.Millisecond, 0, 0, c2, 1 - 0.8*0.55},
		{"computes, and another kind was measured", 8 * time.Millisecond, 1.5, 0, c2, 1 - 0.8*0.55},
		{"computes, and the other binary was measured", 8 * time.Millisecond, 1.5, 0, optimized, 1.5 * (1 - 0.8*0.05)},
		{"measured", 8 * time.Millisecond, 1.5, 0, native, 1.5},
		{"measured, and what is expected is as likely", 8 * time.Millisecond, 1.5, 0.3, native, 1},
		{"measured, and it is slower in any case", 8 * time.Millisecond, 1.5, 0.1, native, 1.3},
		{"measured, and it is faster in any case", 8 * time.Millisecond, 0.5, 0.1, native, 0.7},
	} {
		v := view(1, cache, native)
		v.Invocations, v.Busy, v.CPU = 1000, 10*second, 1000*int64(tt.cpu)
		if tt.native > 0 {
			v.Rungs[native].Speed, v.Rungs[native].Doubt, v.Rungs[native].Timed = tt.native, tt.doubt, true
		}
		if got := v.Speed(tt.rung); math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("%s: %.3f, want %.3f", tt.name, got, tt.want)
		}
	}
}
