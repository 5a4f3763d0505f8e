package policy

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cloudjit/cloudjit/internal/function"
)

const second = int64(time.Second)

// TestPaper is the criterion of the paper (4.2): more than 10 cold starts within a minute.
func TestPaper(t *testing.T) {
	for _, tt := range []struct {
		name  string
		every int64
		n     int
		want  function.Level
	}{
		{"ten are not more than ten", second, 10, function.LevelNone},
		{"eleven are", second, 11, function.LevelQuick},
		{"eleven in just under a minute are", 5999 * second / 1000, 11, function.LevelQuick},
		{"eleven in a minute and a bit are not", 6001 * second / 1000, 11, function.LevelNone},
		{"many, but always ten in a minute", 6 * second, 100, function.LevelNone},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var w Window
			v := &View{Params: DefaultParams(), Recent: &w}
			now := int64(0)
			for range tt.n {
				now += tt.every
				w.Add(now, v.Params.Threshold)
			}
			if got := (&Paper{}).Promote(now, v); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if got := (&Never{}).Promote(now, v); got != function.LevelNone {
				t.Errorf("Never wants %s", got)
			}
		})
	}
}

func TestLevels(t *testing.T) {
	v := &View{Params: DefaultParams(), Recent: &Window{}, Level: function.LevelQuick, NativeInvocations: 999}
	p := &Paper{}
	if got := p.Promote(0, v); got != function.LevelQuick {
		t.Errorf("after 999 invocations: %s", got)
	}
	v.NativeInvocations = 1000
	if got := p.Promote(0, v); got != function.LevelOptimized {
		t.Errorf("after 1000 invocations: %s", got)
	}
	if got := (&Paper{HotInvocations: -1}).Promote(0, v); got != function.LevelQuick {
		t.Errorf("without a second level: %s", got)
	}
}

func TestBackoff(t *testing.T) {
	p := &Paper{}
	last := int64(0)
	for n := int32(1); n < 100; n++ {
		d, b := p.DeoptBackoff(n), p.BuildBackoff(n)
		if d < last || d > int64(24*time.Hour) || b > int64(6*time.Hour) || d <= 0 || b <= 0 {
			t.Fatalf("%d: %s and %s", n, time.Duration(d), time.Duration(b))
		}
		last = d
	}
	if d := p.DeoptBackoff(3); d != int64(4*time.Minute) {
		t.Errorf("the third deoptimization waits %s, want 4m", time.Duration(d))
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
