package policy

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cloudjit/cloudjit/internal/ladder"
)

// TestPaper is the criterion of the paper (4.2): more than 10 cold starts within a minute.
func TestPaper(t *testing.T) {
	for _, tt := range []struct {
		name  string
		every int64
		n     int
		want  ladder.ID
	}{
		{"ten are not more than ten", second, 10, hotspot},
		{"eleven are", second, 11, native},
		{"eleven in just under a minute are", 5999 * second / 1000, 11, native},
		{"eleven in a minute and a bit are not", 6001 * second / 1000, 11, hotspot},
		{"many, but always ten in a minute", 6 * second, 100, hotspot},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := view(0)
			now := int64(0)
			for range tt.n {
				now += tt.every
				v.Recent.Add(now, v.Params.Threshold)
			}
			if got := (&Paper{}).Decide(now, v); got.Make != tt.want || got.Record != ladder.RecordingMetadata {
				t.Errorf("got %+v, want rung %d and the tracer", got, tt.want)
			}
			if got := (&Never{}).Decide(now, v); got.Make != hotspot || got.Record != ladder.RecordingNone {
				t.Errorf("Never wants %+v", got)
			}
		})
	}
}

func TestLevels(t *testing.T) {
	v := view(0, native)
	v.Rungs[native].Served = 999
	p := &Paper{}
	if got := p.Decide(0, v).Make; got != hotspot {
		t.Errorf("after 999 invocations: rung %d", got)
	}
	v.Rungs[native].Served = 1000
	if got := p.Decide(0, v).Make; got != optimized {
		t.Errorf("after 1000 invocations: rung %d", got)
	}
	if got := (&Paper{HotInvocations: -1}).Decide(0, v).Make; got != hotspot {
		t.Errorf("without a second level: rung %d", got)
	}
}

func TestBackoff(t *testing.T) {
	p := &Paper{}
	last := int64(0)
	for n := int32(1); n < 100; n++ {
		d, b := p.FallBackoff(n), p.BuildBackoff(n)
		if d < last || d > int64(24*time.Hour) || b > int64(6*time.Hour) || d <= 0 || b <= 0 {
			t.Fatalf("%d: %s and %s", n, time.Duration(d), time.Duration(b))
		}
		last = d
	}
	if d := p.FallBackoff(3); d != 4*minute {
		t.Errorf("the third fall waits %s, want 4m", time.Duration(d))
	}
}

// TestWindow holds the ring to counting them all, while the threshold changes.
func TestWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w Window
		var all []int64
		now := int64(0)
		least := int32(1 << 30)
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			now += rapid.Int64Range(0, 5).Draw(t, "later")
			threshold := rapid.Int32Range(0, 12).Draw(t, "threshold")
			least = min(least, threshold)
			w.Add(now, threshold)
			all = append(all, now)
			window := rapid.Int64Range(1, 30).Draw(t, "window")
			n := 0
			for _, at := range all {
				if at > now-window {
					n++
				}
			}
			// What a smaller threshold forgot, a larger one cannot know.
			if got := w.Exceeds(now, window, threshold); got && n <= int(threshold) || !got && n > int(threshold) && threshold <= least {
				t.Fatalf("threshold %d: %v with %d of %v in (%d, %d]", threshold, got, n, all, now-window, now)
			}
			if got := w.Count(now, window); got > n || got < min(n, int(least)+1) {
				t.Fatalf("counted %d of %d", got, n)
			}
		}
	})
}
