package trace

import (
	"context"
	"math"
	"runtime"
	"slices"
	"testing"
)

// TestGeneratedMatchesThePublished checks a tenth of the cluster over a whole day against the
// published statistics, each within the tolerance that stands beside it. The busiest apps are
// fewer in a tenth, so their shares are checked on the whole population, below.
func TestGeneratedMatchesThePublished(t *testing.T) {
	if testing.Short() {
		t.Skip("a day of 90 million invocations")
	}
	g, err := Generate{Functions: PublishedFunctions / 10, Minutes: 1440, Seed: 1}.New()
	if err != nil {
		t.Fatal(err)
	}
	info, err := Describe(context.Background(), g, Options{Placement: PlaceEven})
	if err != nil {
		t.Fatal(err)
	}
	near := func(what string, got, want, factor float64) {
		t.Helper()
		if !(got >= want/factor && got <= want*factor) {
			t.Errorf("%s is %.4g: published %.4g, want within a factor of %.2f", what, got, want, factor)
		}
	}
	within := func(what string, got, want, distance float64) {
		t.Helper()
		if !(math.Abs(got-want) <= distance) {
			t.Errorf("%s is %.4g: published %.4g, want within %.3g", what, got, want, distance)
		}
	}
	apps, functions := info.AppTotals, info.FunctionTotals
	near("apps' total p25", apps.P25, 15, 1.5)
	near("apps' total p50", apps.P50, 288, 1.3)
	near("apps' total p75", apps.P75, 1415, 1.3)
	near("apps' total p90", apps.P90, 8573, 1.3)
	near("apps' total p95", apps.P95, 35948, 1.3)
	near("apps' total p99", apps.P99, 493984, 1.3)
	// Of functions only the averages of 14 days are published, of the active and the
	// resting; these are those of the active: F(x) = 1 - (1-F14(x))/0.56.
	near("functions' total p50", functions.P50, 95, 2.5)
	near("functions' total p75", functions.P75, 500, 1.7)
	near("functions' total p90", functions.P90, 4000, 1.7)
	near("functions' total p99", functions.P99, 110_000, 3)

	size := info.FunctionsPerApp
	within("functions per app", size.Mean, 2.64, 0.15)
	within("functions per app p50", size.P50, 1.5, 0.6)
	within("functions per app p90", size.P90, 5, 1)
	within("functions per app p99", size.P99, 19, 4)

	for _, s := range info.Triggers {
		trigger, _ := parseTrigger(s.Trigger)
		want := triggerShares[trigger]
		within("share of functions of "+s.Trigger, s.Functions, want.functions, 0.04)
		within("share of invocations of "+s.Trigger, s.Invocations, want.invocations, 0.015)
	}
	within("timers at most once a minute", info.SlowTimers, 0.95, 0.045)

	near("average duration p50", info.AverageMs.P50, 1000*math.Exp(durationLogMean), 1.15)
	near("average duration p90", info.AverageMs.P90, 1000*math.Exp(durationLogMean+1.2816*durationLogSigma), 1.4)
	within("Spearman of count and duration", info.CountDurationRank, durationCountRank, 0.06)
	near("mean duration weighted by counts", info.WeightedMeanMs, durationWeighedMean, 1.05)

	near("apps' memory p5", info.AppMemoryMB.P5, 100, 1.1)
	near("apps' memory p50", info.AppMemoryMB.P50, 140, 1.05)
	near("apps' memory p90", info.AppMemoryMB.P90, 210, 1.25) // Burr of the paper: 256
	within("variation p25", info.Variation.P25, 0.02, 0.12)
	within("variation p50", info.Variation.P50, 0.52, 0.15)
	near("variation p75", info.Variation.P75, 1.97, 1.5)
	near("variation p90", info.Variation.P90, 4.99, 1.5)
	for h, v := range info.Hourly {
		within("hourly volume", v, hourlyVolume[h], 0.03)
	}
}

// TestGeneratedClusterHasTheHeavyTail checks half an hour of the whole cluster.
func TestGeneratedClusterHasTheHeavyTail(t *testing.T) {
	g, err := Generate{Minutes: 30, StartMinute: 480, Seed: 1}.New()
	if err != nil {
		t.Fatal(err)
	}
	totals, err := Totals(context.Background(), g)
	if err != nil {
		t.Fatal(err)
	}
	byApp := map[string]float64{}
	sum := 0.0
	for i, n := range totals {
		byApp[g.Functions()[i].App] += float64(n)
		sum += float64(n)
	}
	if len(totals) != PublishedFunctions || len(byApp) != PublishedApps {
		t.Errorf("%d functions in %d apps: want %d in %d", len(totals), len(byApp), PublishedFunctions, PublishedApps)
	}
	if want := PublishedInvocations / 48.0; math.Abs(sum/want-1) > 0.03 {
		t.Errorf("%.0f invocations in 30 minutes: want %.0f within 3%%", sum, want)
	}
	var apps []float64
	for _, n := range byApp {
		apps = append(apps, n)
	}
	slices.Sort(apps)
	slices.Reverse(apps)
	for n, want := range map[int]float64{1: .140, 10: .464, 100: .804, 1000: .976} {
		got := 0.0
		for _, v := range apps[:n] {
			got += v
		}
		if got /= sum; math.Abs(got-want) > 0.02 {
			t.Errorf("the first %d apps make %.3f: want %.3f within 0.02", n, got, want)
		}
	}
}

func TestGeneratedIsTheSameForASeed(t *testing.T) {
	hash := func(seed uint64) uint64 {
		g, err := Generate{Functions: 300, Minutes: 20, Seed: seed}.New()
		if err != nil {
			t.Fatal(err)
		}
		h := uint64(0)
		for _, inv := range all(t, g, Options{Seed: seed}) {
			h = mix(h ^ uint64(inv.At) ^ mix(uint64(inv.Duration)^uint64(inv.Function)<<40))
		}
		return h
	}
	want := hash(7)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	if got := hash(7); got != want {
		t.Errorf("on one core the trace is %x: want %x", got, want)
	}
	if hash(8) == want {
		t.Error("another seed gave the same trace")
	}
}

func TestGenerateRefuses(t *testing.T) {
	for _, g := range []Generate{{Functions: -1}, {Functions: maxGenerated + 1}, {Minutes: -1}, {StartMinute: 1440}} {
		if _, err := g.New(); err == nil {
			t.Errorf("%+v was taken", g)
		}
	}
	for _, n := range []int{1, 2, 3, 7, 100} {
		g, err := Generate{Functions: n, Minutes: 3}.New()
		if err != nil || len(g.Functions()) != n {
			t.Errorf("%d functions: got %v, %v", n, g, err)
		}
	}
}
