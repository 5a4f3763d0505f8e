package sim

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/trace"
)

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
		o.Ladder.Start = 0
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
	o.Ladder.Start = 0
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
		o.Ladder, _ = NamedLadder(rapid.SampledFrom([]string{"paper", "measured"}).Draw(t, "ladder"))
		o.Params.Prepare = rapid.SampledFrom([]policy.Prepare{policy.PrepareFirstUse, policy.PrepareDeploy, policy.PrepareNever}).Draw(t, "prepare")
		o.Model.LightBuilders = rapid.IntRange(0, 2).Draw(t, "light builders")
		o.Model.ArtifactMB = rapid.SampledFrom([]float64{0, 100, 1000}).Draw(t, "disk")
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
				workers, cold := int32(0), int32(0)
				for _, rung := range x.Rungs {
					workers += rung.Resident[i]
					cold += rung.Cold[i]
				}
				if workers != x.Resident[i] || cold != x.ColdOptimized[i]+x.ColdOther[i] {
					t.Fatalf("%s, second %d: %d workers and %d cold starts by rung, %d and %d in all", run.Policy, i, workers, cold, x.Resident[i], x.ColdOptimized[i]+x.ColdOther[i])
				}
				if x.ArtifactMB[i] < 0 || o.Model.ArtifactMB > 0 && x.ArtifactMB[i] > o.Model.ArtifactMB+1e-3 {
					t.Fatalf("%s, second %d: artifacts of %g MB, of %g", run.Policy, i, x.ArtifactMB[i], o.Model.ArtifactMB)
				}
				if o.Model.Builders > 0 && o.Model.LightBuilders > 0 && int(x.Builds[i]) > o.Model.Builders+o.Model.LightBuilders {
					t.Fatalf("%s: %d builds at once with %d and %d builders", run.Policy, x.Builds[i], o.Model.Builders, o.Model.LightBuilders)
				}
				if o.Model.MemoryMB > 0 && x.ResidentMB[i] > o.Model.MemoryMB {
					t.Fatalf("%s: %g MB resident of %g", run.Policy, x.ResidentMB[i], o.Model.MemoryMB)
				}
				area += x.ResidentMB[i]
			}
			for _, f := range run.PerFunction {
				perFunction += uint64(f.Cold)
			}
			assigned, builds := uint64(0), 0
			for _, rung := range s.Rungs {
				assigned += rung.Invocations
				builds += rung.Builds
			}
			if assigned < s.Response.Count || assigned > s.Invocations+s.Deoptimizations || builds != s.Builds {
				t.Fatalf("%s: %d assignments and %d builds by rung, of %d invocations and %d builds", run.Policy, assigned, builds, s.Invocations, s.Builds)
			}
			if colds != s.ColdStarts || perFunction != s.ColdStarts {
				t.Fatalf("%s: %d cold starts by second, %d by function, %d in all", run.Policy, colds, perFunction, s.ColdStarts)
			}
			if run.Policy == "none" && (s.ColdStartsNative > 0 || s.Builds > 0 || s.Optimized > 0 || s.Recorders > 0 || s.PeakArtifactMB > 0) {
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
	for _, name := range []string{"paper", "measured"} {
		t.Run(name, func(t *testing.T) { sameOnAnyNumberOfCores(t, small, name) })
	}
}

func sameOnAnyNumberOfCores(t *testing.T, small trace.Trace, name string) {
	o := DefaultOptions()
	o.Policies = PolicyNames()
	o.Ladder, _ = NamedLadder(name)
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
