package policy

import (
	"testing"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
)

// TestLadderProfiles: a function whose binary computes much gets one with a profile, and no other does, however often it starts.
func TestLadderProfiles(t *testing.T) {
	ready := []ladder.ID{cache, native, optimized}
	for _, tt := range []struct {
		name   string
		change func(*View)
		want   bool
	}{
		{"computes", func(*View) {}, true},
		{"waits for others", func(v *View) { v.CPU = v.Busy / 50 }, false},
		{"starts often", func(v *View) { v.CPU, v.ColdStarts = v.Busy/50, v.Invocations }, false},
		{"is short", func(v *View) { v.Busy, v.CPU = second, second }, false},
		{"has no binary yet", func(v *View) { v.Rungs[native].Ready, v.Rungs[optimized].Ready = false, false }, false},
		{"is slow as a binary", func(v *View) {
			v.Rungs[optimized].Speed, v.Rungs[optimized].Timed = 3, true
			v.Rungs[native] = v.Rungs[optimized]
		}, false},
		{"failed with a profile again and again", func(v *View) { v.Rungs[profiled].Failures = profileTries }, false},
	} {
		p, v := &Ladder{}, viewOf(ladder.Of(function.KindHandler), 0, ready)
		v.Rungs[snapshot].Barred, v.Rungs[snapshotC2].Barred = true, true
		now := invoked(p, v, second, second/20, 2000)
		v.Busy = 2000 * second / 33
		v.CPU = v.Busy
		tt.change(v)
		d := p.Decide(now, v)
		if (d.Make == profiled) != tt.want {
			t.Errorf("one that %s: makes %d, want one with a profile: %t", tt.name, d.Make, tt.want)
		}
		if (d.Make == profiled) != (d.Record == ladder.RecordingProfile && d.Beside) {
			t.Errorf("one that %s: %+v: want the profile with its binary, and only then", tt.name, d)
		}
	}
}

// TestLadderLeavesASlowProfile: a binary with a profile that turns out slower than the one without is left.
func TestLadderLeavesASlowProfile(t *testing.T) {
	for _, tt := range []struct {
		speed float64
		want  ladder.ID
	}{{0.6, profiled}, {1.4, optimized}} {
		p, v := &Ladder{}, viewOf(ladder.Of(function.KindHandler), 0, []ladder.ID{optimized, instrumented, profiled})
		v.Rungs[optimized].Speed, v.Rungs[optimized].Timed = 0.95, true
		v.Rungs[profiled].Speed, v.Rungs[profiled].Timed = tt.speed, true
		now := invoked(p, v, second, second/20, 2000)
		v.Busy = 2000 * second / 33
		v.CPU = v.Busy
		if d := p.Decide(now, v); d.Serve != tt.want {
			t.Errorf("where it takes %g times as long: serves up to %d, want %d", tt.speed, d.Serve, tt.want)
		}
	}
}

// TestRecorderRungIsWorthWhatItIsFor: until it has recorded; then nothing.
func TestRecorderRungIsWorthWhatItIsFor(t *testing.T) {
	p, v := &Ladder{}, viewOf(ladder.Of(function.KindHandler), 0, []ladder.ID{optimized, instrumented})
	v.Recorded[ladder.RecordingProfile] = false
	now := invoked(p, v, second, second/20, 2000)
	v.Busy = 2000 * second / 33
	v.CPU = v.Busy
	before := p.Worth(now, v, instrumented)
	if want := p.Worth(now, v, profiled); before <= 0 || before != want {
		t.Errorf("worth %g, want %g", before, want)
	}
	v.Recorded[ladder.RecordingProfile] = true
	if after := p.Worth(now, v, instrumented); after != 0 {
		t.Errorf("when it has recorded it is worth %g", after)
	}
	if d := p.Decide(now, v); d.Serve == instrumented {
		t.Error("it serves")
	}
	if quick, better := (&Paper{}).binaries(v.Ladder); quick != native || better != optimized {
		t.Errorf("the paper's binaries are %d and %d", quick, better)
	}
}

// TestLadderProfilesWithoutABinary: where a worker of the first rung takes the profile, a function that computes gets the binary
// with it though it has no other binary, which would be slower than what serves; one that waits for others gets the quick one.
func TestLadderProfilesWithoutABinary(t *testing.T) {
	l := ladder.Of(function.KindHandler).Keep(func(r *ladder.Rung) bool { return r.Serves() })
	inlined, ok := l.Find(ladder.NativeProfiled)
	if !ok || l.Recorder(ladder.RecordingProfile) != ladder.First {
		t.Fatal("the first rung does not take the profile")
	}
	for _, computes := range []bool{true, false} {
		p, v := &Ladder{}, viewOf(l, 0, []ladder.ID{cache, c2, snapshot, snapshotC2})
		now := invoked(p, v, second, second/20, 2000)
		v.Busy = 2000 * second / 33
		want := inlined
		if v.CPU = v.Busy; !computes {
			v.CPU, want = v.Busy/50, native
		}
		if d := p.Decide(now, v); d.Make != want || d.Record != ladder.RecordingMetadata || !d.Beside {
			t.Errorf("computes %t: %+v, want %d", computes, d, want)
		}
	}
}
