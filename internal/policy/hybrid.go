package policy

import (
	"math"
	"time"
)

// Hybrid is the hybrid histogram policy of Shahrad et al., "Serverless in the Wild" (USENIX ATC '20, 4.2), on
// the first rung, for comparison: an idle function's worker is stopped at once, started again shortly
// before the time at which its idle times used to end, and kept until nearly all of them have ended.
//
// Idle times are counted by minutes up to four hours. The worker is started at the 5th percentile less a
// tenth, and kept until the 99th and a tenth more. Where the histogram says nothing, because there is too little
// in it, too much beyond it, or all minutes are alike (a coefficient of variation of the counts below 2),
// the worker is kept for the function's keep-alive.
//
// Left out is the paper's forecast by ARIMA of the few functions that are invoked less often than every four hours, and
// the keep-alive is at most the function's, where the paper goes up to four hours.
type Hybrid struct {
	Never
	idle []idleTimes // by revision
}

var (
	_ Policy   = (*Hybrid)(nil)
	_ Observer = (*Hybrid)(nil)
)

const (
	idleBins  = 240
	idleBin   = int64(time.Minute)
	idleLeast = 5   // idle times before they are believed
	idleHead  = 5   // percentile
	idleTail  = 99  // percentile
	idleRange = 0.5 // share of idle times that must be inside the histogram
	idleCV    = 2.0
)

// idleTimes is a revision's histogram.
type idleTimes struct {
	// since is when its last worker became idle, ns; 0: some are at work.
	since  int64
	counts *[idleBins]uint16 // nil: none yet
	// n, squares are the sums of the counts and of their squares; beyond counts what is longer.
	n, squares, beyond float64
}

// Arrived notes an idle time.
func (p *Hybrid) Arrived(now int64, _ FunctionID, r RevisionID) {
	t := of(&p.idle, r)
	if t.since == 0 {
		return
	}
	i := (now - t.since) / idleBin
	t.since = 0
	if i >= idleBins {
		t.beyond++
		return
	}
	if t.counts == nil {
		t.counts = &[idleBins]uint16{}
	}
	if c := float64(t.counts[i]); c < math.MaxUint16 {
		t.counts[i]++
		t.n++
		t.squares += 2*c + 1
	}
}

// Keep is the paper's pre-warming window and keep-alive.
func (p *Hybrid) Keep(now int64, v *View) Keep {
	t := of(&p.idle, v.Revision)
	if v.Params.KeepAlive <= 0 {
		return Keep{}
	}
	if !v.Fresh && v.Working == 0 {
		t.since = max(now, 1)
	}
	head, tail, ok := t.window()
	switch {
	case !ok || v.Working > 0:
		return Keep{Alive: v.Params.KeepAlive}
	case v.Fresh || head == 0:
		return Keep{Alive: min(max(t.since+tail-now, idleBin), v.Params.KeepAlive)}
	}
	return Keep{Again: now + head}
}

// window is when after it became idle a worker is to be there, ns.
func (t *idleTimes) window() (head, tail int64, ok bool) {
	if t.n < idleLeast || t.beyond > idleRange*(t.n+t.beyond) {
		return 0, 0, false
	}
	mean := t.n / idleBins
	if math.Sqrt(max(t.squares/idleBins-mean*mean, 0)) < idleCV*mean {
		return 0, 0, false
	}
	return t.percentile(idleHead) * 9 / 10, (t.percentile(idleTail) + idleBin) * 11 / 10, true
}

// percentile is where the bin begins in which the share of idle times is reached, ns.
func (t *idleTimes) percentile(percent float64) int64 {
	want, seen := t.n*percent/100, 0.0
	for i, c := range t.counts {
		if seen += float64(c); c > 0 && seen >= want {
			return int64(i) * idleBin
		}
	}
	return idleBins * idleBin
}
