package recent_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/recent"
)

var at = time.Unix(1_800_000_000, 0)

func TestFigures(t *testing.T) {
	var a recent.Activity
	for i := range 120 {
		inv := recent.Invocation{At: at.Add(time.Duration(i) * time.Second), Function: "f", Rung: "hotspot", Outcome: "ok", Seconds: float64(i+1) / 1000}
		if i%4 == 0 {
			inv.Outcome = "crashed"
		}
		if i >= 110 {
			inv.Rung, inv.MemoryBytes = "native", 30e6
		}
		if i == 110 {
			inv.Cold = &recent.Phases{Queue: .1, Sandbox: .2, Runtime: .3, Init: .4}
		}
		a.Invocation(inv)
	}
	f, ok := a.Function("f", at.Add(120*time.Second))
	if !ok || f.Invocations != 120 || f.Errors != 30 {
		t.Fatalf("got %+v", f)
	}
	if math.Abs(f.Rate-1) > .1 || math.Abs(f.ErrorRate-.25) > .05 {
		t.Errorf("rates: got %v and %v, want about 1 and 0.25 in a second", f.Rate, f.ErrorRate)
	}
	if math.Abs(f.P50-.061) > .001 || math.Abs(f.P99-.119) > .001 {
		t.Errorf("percentiles: got %v and %v", f.P50, f.P99)
	}
	if len(f.Rungs) != 2 || f.Rungs[1].Rung != "native" || f.Rungs[1].ColdStarts != 1 || f.Rungs[1].MemoryBytes != 30e6 {
		t.Fatalf("rungs: got %+v", f.Rungs)
	}
	if p := f.Rungs[1].Parts; p == nil || p.Init != .4 || math.Abs(f.Rungs[1].ColdP50-1.111) > .001 {
		t.Errorf("cold start: got %+v", f.Rungs[1])
	}
	if later, _ := a.Function("f", at.Add(time.Hour)); later.Rate != 0 {
		t.Errorf("an hour later: got a rate of %v", later.Rate)
	}
	if a.Removed("f"); true {
		if _, ok := a.Function("f", at); ok {
			t.Error("a removed function still has figures")
		}
	}
}

// What is kept is bounded, and payloads give way first.
func TestBounds(t *testing.T) {
	var a recent.Activity
	const n = 12_345
	payload := make([]byte, recent.MaxPayload)
	for i := range n {
		a.Invocation(recent.Invocation{At: at, Function: "f", Request: fmt.Sprint(i), Payload: payload})
	}
	a.Invocation(recent.Invocation{At: at, Function: "f", Request: "large", Payload: make([]byte, recent.MaxPayload+1)})
	count, with := 0, 0
	want := uint64(n + 1)
	a.Invocations(0, func(i *recent.Invocation) bool {
		if i.Seq != want {
			t.Fatalf("got number %d, want %d", i.Seq, want)
		}
		want--
		if count++; i.Payload != nil {
			with++
		}
		return true
	})
	if count != 10_000 || with < 2000 || with > 2048 {
		t.Errorf("got %d invocations, %d of them with their event", count, with)
	}
	first := uint64(0)
	a.Invocations(100+n-10_000, func(i *recent.Invocation) bool { first = i.Seq; return false })
	if first != 99+n-10_000 {
		t.Errorf("before: got %d", first)
	}
	for i := range 2000 {
		a.End(recent.End{Worker: fmt.Sprint(i)})
		a.Fall(recent.Fall{Missing: fmt.Sprint(i)})
	}
	if e, f := a.Ends(), a.Falls(); len(e) != 500 || e[0].Worker != "1999" || len(f) != 500 || f[0].Missing != "1999" {
		t.Errorf("got %d ends, %d falls", len(e), len(f))
	}
}

func BenchmarkInvocation(b *testing.B) {
	var a recent.Activity
	i := recent.Invocation{At: at, Function: "f", Rung: "native", Outcome: "ok", Seconds: .001, Payload: []byte(`{"a":1}`)}
	b.ReportAllocs()
	for b.Loop() {
		a.Invocation(i)
	}
}
