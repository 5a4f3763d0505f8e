package sim

import (
	"context"
	"errors"
	"io"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/trace"
)

// reference is a second implementation of a simulation of two rungs, for one
// function without shared limits. It knows no engine: it walks through all things that are to
// happen in order of time and keeps plain lists.
//
// Rules, as the paper and the design give them: an invocation takes the worker that records if it
// is idle, else the idle worker that was used last; without one it waits and a worker is started for it. A worker that becomes ready
// takes the invocation that has waited longest. A worker that has nothing to do stays for the
// keep-alive, or ends if workers of the better rung are there; one whose code is warm, from 64 invocations on, stays if a light
// rung alone is better. Once that rung's artifact is built, a
// worker of it is started as a check, after its answers were compared, and when that is ready, new workers are of that rung.
//
// Under the paper's policy the first worker traces, for at most TraceLimit invocations; its metadata
// is there TraceDelay after its first invocation began, and more than Threshold cold starts inside
// the window ask for a build. For a light rung the first worker records until it was idle for a
// second or finishes an invocation ten seconds after it was ready; it takes RecordEnd to end, and then the build begins.
type reference struct {
	o       Options
	now     int64
	todo    []todo
	seq     int
	light   bool
	queue   []int // waiting invocations
	inv     []trace.Invocation
	workers map[int]*refWorker
	order   int // of parking, to find the worker used last
	nextID  int
	colds   []int64

	recorder         *refWorker // nil: none alive
	traced           int
	recorded         bool
	complete         bool
	wanted           bool
	building         bool
	better           bool
	checker          *refWorker
	cold, coldBetter int
	builds           int
	finished         int
	waits            []int64
	buildTime        int64
}

type todo struct {
	at  int64
	seq int
	do  func()
}

type refWorker struct {
	id       int
	better   bool // it is of the better rung
	records  bool
	since    int64 // when it was ready
	ready    bool
	busy     bool
	draining bool
	stopping bool
	idleTo   int64
	parked   int
	served   int
}

func (r *reference) later(d int64, f func()) {
	r.seq++
	r.todo = append(r.todo, todo{r.now + d, r.seq, f})
}

// run lets everything happen until the end. Of things at one time, those scheduled first come
// first, then keep-alives that end, then the arrival.
func (r *reference) run(end int64) {
	next := 0
	for {
		what, at := 0, int64(math.MaxInt64)
		first := -1
		for i, t := range r.todo {
			if first < 0 || t.at < r.todo[first].at || t.at == r.todo[first].at && t.seq < r.todo[first].seq {
				first = i
			}
		}
		if first >= 0 {
			what, at = 1, r.todo[first].at
		}
		var expire *refWorker
		for _, w := range r.workers {
			if w.ready && !w.busy && (expire == nil || w.idleTo < expire.idleTo || w.idleTo == expire.idleTo && w.parked < expire.parked) {
				expire = w
			}
		}
		if expire != nil && expire.idleTo < at {
			what, at = 2, expire.idleTo
		}
		if next < len(r.inv) && int64(r.inv[next].At) < at {
			what, at = 3, int64(r.inv[next].At)
		}
		if at >= end {
			return
		}
		r.now = at
		switch what {
		case 1:
			t := r.todo[first]
			r.todo = slices.Delete(r.todo, first, first+1)
			t.do()
		case 2:
			r.stop(expire)
			if expire.records && r.light && r.o.Params.KeepAlive > 0 && r.alone() {
				r.ahead()
			}
		case 3:
			r.arrive(next)
			next++
		}
	}
}

func (r *reference) mayRecord() bool {
	return !r.complete && (r.light || r.traced < r.o.Model.TraceLimit)
}

func (r *reference) arrive(i int) {
	var warm *refWorker
	for _, w := range r.workers {
		if w.ready && !w.busy && !w.draining && (warm == nil || w.parked > warm.parked) {
			warm = w
		}
	}
	if t := r.recorder; t != nil && !r.better && t.ready && !t.busy && !t.draining {
		warm = t
	}
	if warm != nil {
		r.assign(warm, i)
		return
	}
	r.queue = append(r.queue, i)
	starting := 0
	for _, w := range r.workers {
		if !w.ready && !w.stopping && w != r.checker {
			starting++
		}
	}
	if len(r.queue) > starting {
		r.start(false)
	}
}

func (r *reference) start(check bool) {
	r.nextID++
	w := &refWorker{id: r.nextID, better: check || r.better}
	w.records = !w.better && r.recorder == nil && r.mayRecord()
	start := float64(r.o.Ladder.Start)
	x := ladder.RecordingNone
	switch {
	case w.better:
		start *= r.o.Ladder.Rungs[1].Start
	case w.records:
		x = r.o.Ladder.Rungs[1].From
	}
	r.workers[w.id] = w
	d := int64(math.Round(math.Round(start) * x.Start()))
	if check {
		d += int64(r.o.Ladder.Rungs[1].Check.Wall)
	}
	r.later(d, func() { r.becomeReady(w) })
	switch {
	case check:
		r.checker = w
		return
	case w.records:
		r.recorder = w
	}
	r.cold++
	if w.better {
		r.coldBetter++
	}
	r.colds = append(r.colds, r.now)
	recent := 0
	for _, at := range r.colds {
		if at > r.now-r.o.Params.Window {
			recent++
		}
	}
	if (r.light || recent > int(r.o.Params.Threshold)) && !r.better {
		r.wanted = true
		r.maybeBuild()
	}
}

// alone reports whether no worker is there, starts, or works.
func (r *reference) alone() bool {
	for _, w := range r.workers {
		if !w.stopping {
			return false
		}
	}
	return true
}

// ahead starts a worker that nobody waits for in the place of a recorder that has done its part.
func (r *reference) ahead() {
	r.nextID++
	w := &refWorker{id: r.nextID, better: r.better}
	start := float64(r.o.Ladder.Start)
	if w.better {
		start *= r.o.Ladder.Rungs[1].Start
	}
	r.workers[w.id] = w
	r.later(int64(math.Round(start)), func() { r.becomeReady(w) })
}

func (r *reference) maybeBuild() {
	if r.wanted && r.recorded && !r.building && !r.better {
		r.building = true
		r.builds++
		r.later(r.buildTime, func() { r.start(true) })
	}
}

func (r *reference) becomeReady(w *refWorker) {
	w.ready, w.since = true, r.now
	if w == r.checker {
		r.checker = nil
		r.better, r.complete = true, true
		r.building = false
		var lower *refWorker // its place is taken by this one
		for _, l := range r.workers {
			if l.ready && !l.busy && !l.draining && !l.better && !l.records && l.parked > 0 && (lower == nil || l.parked > lower.parked) {
				lower = l
			}
		}
		if lower != nil {
			r.stop(lower)
		}
	}
	r.next(w)
}

func (r *reference) next(w *refWorker) {
	switch {
	case w.draining, r.light && w.records && w.served > 0 && r.now-w.since >= int64(10*time.Second):
		r.stop(w)
	case len(r.queue) > 0:
		i := r.queue[0]
		r.queue = r.queue[1:]
		r.assign(w, i)
	case w.records && !r.mayRecord(), r.better && !w.better && (!w.records || !r.light) && (!r.light || r.idle(w) && w.served < 64):
		r.stop(w)
	default:
		r.order++
		keep := r.o.Params.KeepAlive
		if r.light && w.records {
			if keep = int64(time.Second); w.served == 0 {
				keep *= 5
			}
		}
		w.parked, w.idleTo = r.order, r.now+keep
		if keep == 0 {
			r.stop(w)
		}
	}
}

// idle reports whether another worker than w is.
func (r *reference) idle(w *refWorker) bool {
	for _, other := range r.workers {
		if other != w && other.ready && !other.busy && !other.draining && other.parked > 0 {
			return true
		}
	}
	return false
}

func (r *reference) assign(w *refWorker, i int) {
	w.busy = true
	if w.served++; w.served == 1 && w.records && !r.light {
		r.later(int64(r.o.Model.TraceDelay), func() {
			r.recorded = true
			r.maybeBuild()
		})
	}
	if wait := r.now - int64(r.inv[i].At); wait > 0 {
		r.waits = append(r.waits, wait)
	}
	if w.records && !r.light {
		if r.traced++; r.traced >= r.o.Model.TraceLimit {
			w.draining = true
		}
	}
	r.later(int64(r.inv[i].Duration), func() {
		w.busy = false
		r.finished++
		r.next(w)
	})
}

func (r *reference) stop(w *refWorker) {
	w.ready, w.stopping = false, true // it is there until it is gone, and takes nothing more
	takes := r.o.Model.Stop
	if r.light && w.records {
		takes = max(takes, r.o.Model.RecordEnd)
	}
	r.later(int64(takes), func() {
		delete(r.workers, w.id)
		if w == r.recorder {
			r.recorder = nil
			r.recorded = r.recorded || w.served > 0 || r.light
			r.complete = r.complete || r.recorded
			r.maybeBuild()
		}
	})
}

func TestAgreesWithTheReference(t *testing.T) {
	for _, light := range []bool{false, true} {
		name := "the paper's policy"
		if light {
			name = "a light rung"
		}
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { agree(t, light) })
		})
	}
}

// onlyLight makes what is light, as soon as it can, and nothing else.
type onlyLight struct{ policy.Paper }

func (*onlyLight) Decide(_ int64, v *policy.View) policy.Decision {
	return policy.Decision{Record: ladder.RecordingClasses, Make: 1, Serve: 1}
}

func agree(t *rapid.T, light bool) {
	length := time.Duration(rapid.IntRange(1, 600).Draw(t, "seconds")) * time.Second
	n := rapid.IntRange(1, 120).Draw(t, "invocations")
	// Times that collide now and then, durations from none to longer than the trace.
	grain := rapid.SampledFrom([]time.Duration{time.Nanosecond, time.Millisecond, 250 * time.Millisecond}).Draw(t, "grain")
	var inv []trace.Invocation
	for range n {
		at := time.Duration(rapid.Int64Range(0, int64(length)-1).Draw(t, "at")).Truncate(grain)
		d := time.Duration(rapid.Int64Range(0, int64(20*time.Second)).Draw(t, "duration")).Truncate(grain)
		inv = append(inv, trace.Invocation{At: at, Duration: d})
	}
	slices.SortStableFunc(inv, func(a, b trace.Invocation) int { return int(a.At - b.At) })
	o := DefaultOptions()
	o.Policies = []string{"paper"}
	o.Params.KeepAlive = rapid.Int64Range(0, int64(60*time.Second)).Draw(t, "keep-alive")
	o.Params.Threshold = int32(rapid.IntRange(0, 4).Draw(t, "threshold"))
	o.Params.Window = rapid.Int64Range(1, int64(2*time.Minute)).Draw(t, "window")
	o.Model.TraceLimit = rapid.IntRange(1, 20).Draw(t, "trace limit")
	o.Model.BuildTimes = nil
	o.Model.Stop = time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "stop"))
	o.Model.RecordEnd = time.Duration(rapid.Int64Range(0, int64(2*time.Second)).Draw(t, "record end"))
	var p policy.Policy = &policy.Paper{}
	if light {
		o.Ladder, p = ladder.Of(function.KindHandler).Clone(), &onlyLight{}
		o.Ladder.Rungs = o.Ladder.Rungs[:2]
	}
	wall := &o.Ladder.Rungs[1].Cost.Wall
	*wall = time.Duration(rapid.Int64Range(0, int64(30*time.Second)).Draw(t, "build"))

	tr, err := trace.NewRecorded([]trace.Function{{Name: "f", MemoryMB: 100}}, slices.Clone(inv), length)
	if err != nil {
		t.Fatal(err)
	}
	run, err := runWith(tr, &o, p)
	if err != nil {
		t.Fatal(err)
	}
	ref := &reference{o: o, light: light, inv: inv, workers: map[int]*refWorker{}, buildTime: int64(*wall)}
	ref.run(int64(length))

	s := run.Summary
	waited := time.Duration(0)
	for _, w := range ref.waits {
		waited += time.Duration(w)
	}
	type numbers struct {
		Cold, Better, Builds, Finished int
		Waited                         time.Duration
		Served                         bool
	}
	got := numbers{int(s.ColdStarts), int(s.Rungs[1].ColdStarts), s.Builds, int(s.Response.Count), run.PerFunction[0].Waited, s.Rungs[1].Functions == 1}
	want := numbers{ref.cold, ref.coldBetter, ref.builds, ref.finished, waited, ref.better}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("(-reference +simulator):\n%s", diff)
	}
}

// runWith simulates a policy that has no name, on one engine.
func runWith(t trace.Trace, o *Options, p policy.Policy) (Outcome, error) {
	c := newCluster(t, o, p, nil, partition{}, nil)
	s, err := t.Open(context.Background(), o.Trace)
	if err != nil {
		return Outcome{}, err
	}
	defer s.Close()
	var batch []trace.Invocation
	for {
		if batch, err = s.Next(batch); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return Outcome{}, err
		}
		c.run(batch)
	}
	c.finishTrace(int64(t.Length()))
	return outcome("", []*cluster{c}, &o.Model, len(t.Functions())), c.failure
}
