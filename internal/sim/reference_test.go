package sim

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/trace"
)

// reference is a second implementation of a simulation under the paper's policy, for one
// function without shared limits. It knows no engine: it walks through all things that are to
// happen in order of time and keeps plain lists.
//
// Rules, as the paper and the design give them: an invocation takes the tracing worker if it
// is idle, else the idle worker that was used last; without one it waits and a worker is started for it. A worker that becomes ready
// takes the invocation that has waited longest. A worker that has nothing to do stays for the
// keep-alive, or ends if workers of a better tier are there. The first worker traces, for at
// most TraceLimit invocations; its metadata is there TraceDelay after its first invocation
// began. More than Threshold cold starts inside the window ask for a build, which starts when
// there is metadata; when it is done, a native worker is started as a check, and once that is
// ready, new workers are native.
type reference struct {
	o       Options
	now     int64
	todo    []todo
	seq     int
	queue   []int // waiting invocations
	inv     []trace.Invocation
	workers map[int]*refWorker
	order   int // of parking, to find the worker used last
	nextID  int
	colds   []int64

	tracer        *refWorker // nil: none alive
	traced        int
	traceServed   int
	metadata      bool
	complete      bool
	wanted        bool
	building      bool
	native        bool
	checker       *refWorker
	cold, coldNat int
	builds        int
	finished      int
	waits         []int64
	buildTime     int64
}

type todo struct {
	at  int64
	seq int
	do  func()
}

type refWorker struct {
	id       int
	tier     function.Tier
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
		case 3:
			r.arrive(next)
			next++
		}
	}
}

func (r *reference) mayTrace() bool { return !r.complete && r.traced < r.o.Model.TraceLimit }

func (r *reference) arrive(i int) {
	var warm *refWorker
	for _, w := range r.workers {
		if w.ready && !w.busy && !w.draining && (warm == nil || w.parked > warm.parked) {
			warm = w
		}
	}
	if t := r.tracer; t != nil && !r.native && t.ready && !t.busy && !t.draining {
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
	tier := function.TierHotSpot
	switch {
	case check, r.native:
		tier = function.TierNative
	case r.tracer == nil && r.mayTrace():
		tier = function.TierHotSpotAgent
	}
	r.nextID++
	w := &refWorker{id: r.nextID, tier: tier}
	r.workers[w.id] = w
	r.later(int64(r.o.Model.ColdStart[tier]), func() { r.becomeReady(w) })
	switch {
	case check:
		r.checker = w
		return
	case tier == function.TierHotSpotAgent:
		r.tracer = w
	}
	r.cold++
	if tier == function.TierNative {
		r.coldNat++
	}
	r.colds = append(r.colds, r.now)
	recent := 0
	for _, at := range r.colds {
		if at > r.now-r.o.Params.Window {
			recent++
		}
	}
	if recent > int(r.o.Params.Threshold) && !r.native {
		r.wanted = true
		r.maybeBuild()
	}
}

func (r *reference) maybeBuild() {
	if r.wanted && r.metadata && !r.building && !r.native {
		r.building = true
		r.builds++
		r.later(r.buildTime, func() { r.start(true) })
	}
}

func (r *reference) becomeReady(w *refWorker) {
	w.ready = true
	if w == r.checker {
		r.checker = nil
		r.native, r.complete = true, true
		r.building = false
	}
	r.next(w)
}

func (r *reference) next(w *refWorker) {
	switch {
	case w.draining:
		r.stop(w)
	case len(r.queue) > 0:
		i := r.queue[0]
		r.queue = r.queue[1:]
		r.assign(w, i)
	case r.native && w.tier != function.TierNative, w.tier == function.TierHotSpotAgent && !r.mayTrace():
		r.stop(w)
	default:
		r.order++
		w.parked, w.idleTo = r.order, r.now+r.o.Params.KeepAlive
		if r.o.Params.KeepAlive == 0 {
			r.stop(w)
		}
	}
}

func (r *reference) assign(w *refWorker, i int) {
	w.busy = true
	if w.served++; w.served == 1 && w.tier == function.TierHotSpotAgent {
		r.later(int64(r.o.Model.TraceDelay), func() {
			r.metadata = true
			r.maybeBuild()
		})
	}
	if wait := r.now - int64(r.inv[i].At); wait > 0 {
		r.waits = append(r.waits, wait)
	}
	if w.tier == function.TierHotSpotAgent {
		if r.traced++; r.traced >= r.o.Model.TraceLimit {
			w.draining = true
		}
	}
	r.later(int64(r.inv[i].Duration), func() {
		w.busy = false
		r.finished++
		if w.tier == function.TierHotSpotAgent {
			r.traceServed++
		}
		r.next(w)
	})
}

func (r *reference) stop(w *refWorker) {
	w.ready, w.stopping = false, true // it is there until it is gone, and takes nothing more
	r.later(int64(r.o.Model.Stop), func() {
		delete(r.workers, w.id)
		if w == r.tracer {
			r.tracer = nil
			if w.served > 0 && !r.metadata {
				r.metadata = true
			}
			r.complete = r.complete || r.metadata
			r.maybeBuild()
		}
	})
}

func TestAgreesWithTheReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
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
		o.Model.BuildTimes = []time.Duration{time.Duration(rapid.Int64Range(0, int64(30*time.Second)).Draw(t, "build"))}
		o.Model.Stop = time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "stop"))

		tr, err := trace.NewRecorded([]trace.Function{{Name: "f", MemoryMB: 100}}, slices.Clone(inv), length)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Run(context.Background(), tr, o)
		if err != nil {
			t.Fatal(err)
		}
		ref := &reference{o: o, inv: inv, workers: map[int]*refWorker{}, buildTime: int64(o.Model.BuildTimes[0])}
		ref.run(int64(length))

		s := r.Runs[0].Summary
		waited := time.Duration(0)
		for _, w := range ref.waits {
			waited += time.Duration(w)
		}
		type numbers struct {
			Cold, Native, Builds, Finished, Workers int
			Waited                                  time.Duration
			Optimized                               bool
		}
		got := numbers{int(s.ColdStarts), int(s.ColdStartsNative), s.Builds, int(s.Response.Count), 0, r.Runs[0].PerFunction[0].Waited, s.Optimized == 1}
		want := numbers{ref.cold, ref.coldNat, ref.builds, ref.finished, 0, waited, ref.native}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-reference +simulator):\n%s", diff)
		}
	})
}

// TestPoissonWithFixedKeepAlive compares with closed formulas.
//
// Service in no time: a function's workers are one, and an invocation starts it cold exactly
// when the gap before it was longer than the keep-alive T: for Poisson arrivals of rate l the
// share is exp(-l*T), and the worker is there for the share 1-exp(-l*T) of the time. (The
// worker is a TTL cache with renewal: Jung, Berger, Balakrishnan, INFOCOM'03, eq. 3.)
//
// Keep-alive without end and service of mean s: workers that run are those of M/G/inf, Poisson
// with mean l*s (Takacs 1962).
func TestPoissonWithFixedKeepAlive(t *testing.T) {
	const functions, hours = 400, 6
	for _, c := range []struct {
		rate      float64 // a second
		keepAlive time.Duration
	}{{1.0 / 600, 10 * time.Minute}, {1.0 / 300, 2 * time.Minute}, {1.0 / 60, time.Minute}} {
		tr := poissonTrace(t, functions, c.rate, hours*time.Hour, 0)
		o := DefaultOptions()
		o.Policies = []string{"none"}
		o.Params.KeepAlive = int64(c.keepAlive)
		o.Model.ColdStart = [function.TierCount]time.Duration{}
		r, err := Run(context.Background(), tr, o)
		if err != nil {
			t.Fatal(err)
		}
		s := r.Runs[0].Summary
		lt := c.rate * c.keepAlive.Seconds()
		want := math.Exp(-lt)
		// The first invocation of each function is cold besides.
		n := float64(s.Invocations)
		first := float64(functions) * (1 - math.Exp(-c.rate*hours*3600))
		got := (float64(s.ColdStarts) - first) / (n - first)
		if sd := 3.5 * math.Sqrt(want*(1-want)/n); math.Abs(got-want) > sd+0.001 {
			t.Errorf("rate %.4f/s, keep-alive %v: cold share %.4f: want %.4f within %.4f", c.rate, c.keepAlive, got, want, sd)
		}
		// The mean over the time after the warm-up of one keep-alive.
		warm := r.Runs[0].Series.Resident[int(c.keepAlive.Seconds()):]
		pool, mean := total(warm)/float64(len(warm)), functions*(1-want)
		if math.Abs(pool/mean-1) > 0.02 {
			t.Errorf("rate %.4f/s, keep-alive %v: %.1f workers on average: want %.1f within 2%%", c.rate, c.keepAlive, pool, mean)
		}
	}
	tr := poissonTrace(t, 50, 2, 30*time.Minute, 3*time.Second)
	o := DefaultOptions()
	o.Policies = []string{"none"}
	o.Model.ColdStart = [function.TierCount]time.Duration{}
	r, err := Run(context.Background(), tr, o)
	if err != nil {
		t.Fatal(err)
	}
	running := r.Runs[0].Series.Invocations[60:]
	if got, want := total(running)/float64(len(running)), 50*2*3.0; math.Abs(got/want-1) > 0.02 {
		t.Errorf("%.1f invocations run on average: want %.1f within 2%%", got, want)
	}
}

// poissonTrace has functions with Poisson arrivals and exponential durations.
func poissonTrace(t testing.TB, functions int, rate float64, length, mean time.Duration) trace.Trace {
	t.Helper()
	var inv []trace.Invocation
	table := make([]trace.Function, functions)
	state := uint64(42)
	exp := func() float64 {
		state = state*6364136223846793005 + 1442695040888963407
		return -math.Log(1 - float64(state>>11)/(1<<53))
	}
	for f := range functions {
		table[f] = trace.Function{Name: fmt.Sprint(f), MemoryMB: 100}
		for at := exp() / rate; at < length.Seconds(); at += exp() / rate {
			inv = append(inv, trace.Invocation{At: time.Duration(at * 1e9), Duration: time.Duration(float64(mean) * exp()), Function: int32(f)})
		}
	}
	tr, err := trace.NewRecorded(table, inv, length)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// TestConservation holds what must be so in every simulation, under every policy and limit.
func TestConservation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tr, err := trace.Generate{
			Functions: rapid.IntRange(1, 300).Draw(t, "functions"), Minutes: rapid.IntRange(1, 4).Draw(t, "minutes"),
			Seed: rapid.Uint64Range(0, 9).Draw(t, "seed"),
		}.New()
		if err != nil {
			t.Fatal(err)
		}
		tr2, _ := trace.Scale(context.Background(), tr, trace.ScaleThin, 0.002, 1)
		o := DefaultOptions()
		o.Policies = PolicyNames()
		o.Params.Threshold = int32(rapid.IntRange(0, 3).Draw(t, "threshold"))
		o.Params.KeepAlive = rapid.Int64Range(0, int64(time.Minute)).Draw(t, "keep-alive")
		o.Model.BuildTimes = []time.Duration{5 * time.Second, 20 * time.Second}
		o.Model.Builders = rapid.IntRange(0, 2).Draw(t, "builders")
		o.Model.Deoptimize = rapid.SampledFrom([]float64{0, 0.05}).Draw(t, "deoptimize")
		o.Model.ColdSpread = rapid.SampledFrom([]float64{0, 0.5}).Draw(t, "spread")
		o.Model.Stop = rapid.SampledFrom([]time.Duration{0, time.Second}).Draw(t, "stop")
		if rapid.Bool().Draw(t, "limited") {
			o.Model.MemoryMB = 3000
		}
		r, err := Run(context.Background(), tr2, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, run := range r.Runs {
			s, x := &run.Summary, &run.Series
			if got := s.Response.Count + s.Rejected + s.Failed + uint64(s.Unfinished); got != s.Invocations || s.Invocations != r.Runs[0].Summary.Invocations {
				t.Fatalf("%s: %d finished, %d rejected, %d failed, %d unfinished of %d", run.Policy, s.Response.Count, s.Rejected, s.Failed, s.Unfinished, s.Invocations)
			}
			colds, perFunction := uint64(0), uint64(0)
			area := 0.0
			for i := range x.Len() {
				colds += uint64(x.ColdOptimized[i] + x.ColdOther[i])
				if x.Invocations[i] > x.Resident[i] || x.ResidentNative[i] > x.Resident[i] || x.RunningMB[i] > x.ResidentMB[i]+1e-6 || x.RunningMB[i] < 0 {
					t.Fatalf("%s, second %d: %d running on %d workers, %d native, %g of %g MB", run.Policy, i, x.Invocations[i], x.Resident[i], x.ResidentNative[i], x.RunningMB[i], x.ResidentMB[i])
				}
				if o.Model.Builders > 0 && int(x.Builds[i]) > o.Model.Builders {
					t.Fatalf("%s: %d builds at once with %d builders", run.Policy, x.Builds[i], o.Model.Builders)
				}
				if o.Model.MemoryMB > 0 && x.ResidentMB[i] > o.Model.MemoryMB {
					t.Fatalf("%s: %g MB resident of %g", run.Policy, x.ResidentMB[i], o.Model.MemoryMB)
				}
				area += x.ResidentMB[i]
			}
			for _, f := range run.PerFunction {
				perFunction += uint64(f.Cold)
			}
			if colds != s.ColdStarts || perFunction != s.ColdStarts {
				t.Fatalf("%s: %d cold starts by second, %d by function, %d in all", run.Policy, colds, perFunction, s.ColdStarts)
			}
			if run.Policy == "none" && (s.ColdStartsNative > 0 || s.Builds > 0 || s.Optimized > 0) {
				t.Fatalf("the baseline optimized: %+v", s)
			}
		}
	})
}

// TestSameOnAnyNumberOfCores compares one engine in one goroutine with several parts on several
// cores, bit for bit.
func TestSameOnAnyNumberOfCores(t *testing.T) {
	tr, err := trace.Generate{Functions: 3000, Minutes: 6, StartMinute: 480, Seed: 3}.New()
	if err != nil {
		t.Fatal(err)
	}
	small, err := trace.Scale(context.Background(), tr, trace.ScaleThin, 0.05, 1)
	if err != nil {
		t.Fatal(err)
	}
	o := DefaultOptions()
	o.Policies = PolicyNames()
	o.Params.Threshold = 3
	o.Model.BuildTimes = []time.Duration{20 * time.Second, 40 * time.Second}
	o.Model.Deoptimize = 0.001
	o.Model.ColdSpread = 0.3
	run := func() []Outcome {
		r, err := Run(context.Background(), small, o)
		if err != nil {
			t.Fatal(err)
		}
		for i := range r.Runs { // parts wake at other times: not a result
			r.Runs[i].Summary.Events = 0
		}
		return r.Runs
	}
	want := run()
	old := runtime.GOMAXPROCS(1)
	one := run()
	runtime.GOMAXPROCS(old)
	o.Sequential = true
	sequential := run()
	if diff := cmp.Diff(want, one); diff != "" {
		t.Errorf("on one core (-several +one):\n%.2000s", diff)
	}
	if diff := cmp.Diff(want, sequential); diff != "" {
		t.Errorf("with one engine (-parts +one engine):\n%.2000s", diff)
	}
	if want[1].Summary.Builds == 0 || want[1].Summary.Deoptimizations == 0 {
		t.Errorf("the trace tests little: %+v", want[1].Summary)
	}
}
