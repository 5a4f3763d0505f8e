package policy

import (
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
