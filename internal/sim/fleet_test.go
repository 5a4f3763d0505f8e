package sim

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudjit/cloudjit/internal/trace"
)

// nodesTrace is some minutes of many functions, thinned.
func nodesTrace(t testing.TB) trace.Trace {
	t.Helper()
	whole, err := trace.Generate{Functions: 400, Minutes: 12, StartMinute: 480, Seed: 5}.New()
	if err != nil {
		t.Fatal(err)
	}
	tr, err := trace.Scale(context.Background(), whole, trace.ScaleThin, 0.02, 1)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func nodesOptions(n int, p Placement) Options {
	o := DefaultOptions()
	o.Policies = []string{"none"}
	o.Nodes.Count, o.Nodes.Placement = n, p
	o.Model.MemoryMB, o.Nodes.Cores = 60000, 64
	return o
}

func simulated(t testing.TB, tr trace.Trace, o Options) *Summary {
	t.Helper()
	r, err := Run(context.Background(), tr, o)
	if err != nil {
		t.Fatal(err)
	}
	return &r.Runs[0].Summary
}

// TestNodesKeepFunctionsTogether: the platform's placement costs few cold starts; chance costs many.
func TestNodesKeepFunctionsTogether(t *testing.T) {
	tr := nodesTrace(t)
	one := simulated(t, tr, nodesOptions(1, PlaceBounded))
	cold := map[Placement]float64{}
	for _, p := range []Placement{PlaceBounded, PlaceHash, PlaceRandom, PlaceTwoChoices} {
		s := simulated(t, tr, nodesOptions(8, p))
		if s.Invocations != one.Invocations || s.Rejected+s.Failed > 0 {
			t.Errorf("%v: %d invocations, %d rejected, %d failed: want %d, all taken", p, s.Invocations, s.Rejected, s.Failed, one.Invocations)
		}
		if s.Forwarded == 0 || s.Forwarded >= s.Invocations {
			t.Errorf("%v: %d of %d were forwarded", p, s.Forwarded, s.Invocations)
		}
		cold[p] = float64(s.ColdStarts) / float64(one.ColdStarts)
	}
	t.Logf("cold starts of 8 nodes, times those of one (%d): %v", one.ColdStarts, cold)
	if cold[PlaceBounded] > 1.15 {
		t.Errorf("%.2f times the cold starts of one node: want 1.15 at most", cold[PlaceBounded])
	}
	if cold[PlaceRandom] < 2 || cold[PlaceTwoChoices] < 2 {
		t.Errorf("cold starts by chance: %v: want many more, or this trace shows nothing", cold)
	}
}

// TestNodesShareArtifacts: what one node builds, the others fetch.
func TestNodesShareArtifacts(t *testing.T) {
	tr := nodesTrace(t)
	o := nodesOptions(3, PlaceRandom)
	o.Policies = []string{"paper"}
	o.Params.Threshold = 0
	o.Model.BuildTimes = []time.Duration{time.Second}
	s := simulated(t, tr, o)
	if s.Optimized == 0 || s.Builds > s.Optimized {
		t.Errorf("%d builds for %d functions on three nodes: want one each at most", s.Builds, s.Optimized)
	}
}

func TestNodesAreDeterministic(t *testing.T) {
	tr := nodesTrace(t)
	o := nodesOptions(5, PlaceBounded)
	a := simulated(t, tr, o)
	o.Sequential = true
	if d := cmp.Diff(a, simulated(t, tr, o)); d != "" {
		t.Errorf("another run: %s", d)
	}
}

func TestNodesRefused(t *testing.T) {
	tr := nodesTrace(t)
	for want, change := range map[string]func(*Options){
		"want 1..1024": func(o *Options) { o.Nodes.Count = 5000 },
		"oracle":       func(o *Options) { o.Policies = []string{"none", Oracle} },
		"hear of each": func(o *Options) { o.Nodes.Gossip = 0 },
	} {
		o := nodesOptions(3, PlaceBounded)
		change(&o)
		if _, err := Run(context.Background(), tr, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v: want one with %q", err, want)
		}
	}
	var p Placement
	if err := p.UnmarshalText([]byte("nearest")); err == nil {
		t.Error("a placement that does not exist was taken")
	}
}
