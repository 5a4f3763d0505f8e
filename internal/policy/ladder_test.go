package policy

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cloudjit/cloudjit/internal/ladder"
)

// invoked tells the policy of arrivals at equal gaps, each served in no time, and returns the last.
func invoked(p *Ladder, v *View, from, gap int64, n int) (now int64) {
	now = from
	for i := range n {
		if i > 0 {
			now += gap
		}
		p.Arrived(now, v.Function, v.Revision)
		v.Invocations++
		p.Keep(now, v)
	}
	return now
}

func TestLadderStartsAheadOfATimer(t *testing.T) {
	for _, every := range []time.Duration{5 * time.Minute, 15 * time.Minute, time.Hour} {
		p, v := &Ladder{}, view(1, cache)
		v.Rung = cache
		now := invoked(p, v, second, int64(every), 20)
		k := p.Keep(now, v)
		ahead := now + int64(every) - k.Again
		if k.Alive > 20*second || ahead < v.Rungs[cache].Start || ahead > 2*second {
			t.Errorf("every %v: kept %v, the next started %v ahead: want a short time, and a start's before",
				every, time.Duration(k.Alive), time.Duration(ahead))
		}
		v.Fresh = true
		if k = p.Keep(k.Again+v.Rungs[cache].Start, v); k.Alive < second/4 || k.Alive > 3*minute {
			t.Errorf("every %v: the one that was started ahead is kept %v: want past the time at which it is due, but not for long", every, time.Duration(k.Alive))
		}
	}
}

func TestLadderKeepsWhatIsNeededSoon(t *testing.T) {
	p, v := &Ladder{}, view(1, cache)
	v.Rung = cache
	if k := p.Keep(invoked(p, v, second, 3*second, 50), v); k.Alive < 3*second || k.Alive > v.Params.KeepAlive {
		t.Errorf("with gaps of 3 s it is kept %v", time.Duration(k.Alive))
	}
}

// TestLadderKeepsWhatIsSlowAtFirst: a worker that is started ahead starts in no time, but its first invocation is slow as that of any new
// one.
func TestLadderKeepsWhatIsSlowAtFirst(t *testing.T) {
	const gap = 200 * second
	for _, warming := range []float64{-1, 0, 4} {
		p, v := &Ladder{}, view(1, snapshot)
		v.Rung = snapshot
		v.Rungs[snapshot].Start, v.Rungs[snapshot].Warming = second/100, warming
		k := p.Keep(invoked(p, v, second, gap, 20), v)
		if kept := k.Alive >= gap; kept != (warming > 0) {
			t.Errorf("first invocations that take %g starts longer: it is kept %v of %v", warming, time.Duration(k.Alive), time.Duration(gap))
		}
	}
}

// TestLadderKeepsByWhatIsKnownNow: when a worker turns out to use more, or to start sooner, the next one is kept by that, whether or not there
// were more gaps since.
func TestLadderKeepsByWhatIsKnownNow(t *testing.T) {
	const gap = 3 * second
	p, v := &Ladder{}, view(1, cache)
	v.Rung = cache
	now := invoked(p, v, second, gap, 100)
	usual := v.Rungs[cache]
	for _, tt := range []struct {
		name   string
		change func(*RungView)
		kept   bool
	}{
		{"as before", func(*RungView) {}, true},
		{"uses a hundred times as much", func(r *RungView) { r.MemoryMB *= 100 }, false},
		{"uses as much as it did", func(*RungView) {}, true},
		{"starts a hundred times sooner", func(r *RungView) { r.Start /= 100 }, false},
	} {
		v.Rungs[cache] = usual
		tt.change(&v.Rungs[cache])
		if k := p.Keep(now, v); (k.Alive >= gap) != tt.kept {
			t.Errorf("%s: it is kept %v of %v", tt.name, time.Duration(k.Alive), time.Duration(gap))
		}
	}
}

func TestLadderHeedsTheUser(t *testing.T) {
	p, v := &Ladder{}, view(1, cache)
	v.Rung = cache
	now := invoked(p, v, second, 5*minute, 20)
	v.Params.MaxWait = v.Rungs[cache].Start - 1
	if k := p.Keep(now, v); k.Alive != v.Params.KeepAlive {
		t.Errorf("with a bound below a start it is kept %v: want the whole keep-alive", time.Duration(k.Alive))
	}
	v.Params.KeepAlive = 0
	if k := p.Keep(now, v); k != (Keep{}) {
		t.Errorf("with a keep-alive of 0: %+v", k)
	}
}

func TestLadderClimbs(t *testing.T) {
	p, v := &Ladder{}, view(1)
	v.Rungs[snapshot].Barred, v.Rungs[snapshotC2].Barred = true, true
	p.Arrived(second, 0, 1)
	v.Invocations, v.ColdStarts, v.Waiting = 1, 1, 1
	if d := p.Decide(second, v); d.Record != ladder.RecordingClasses || d.Beside || d.Make != hotspot {
		t.Errorf("at the first cold start: %+v, want it to record", d)
	}
	v.Waiting = 0
	v.Recorded[ladder.RecordingClasses] = true
	if d := p.Decide(8*second, v); d.Make != cache {
		t.Errorf("with a recording: %+v, want the cache", d)
	}
	v.Rungs[cache].Ready = true
	v.Rung = cache
	if d := p.Decide(9*second, v); d.Make != hotspot || d.Record != ladder.RecordingNone {
		t.Errorf("after one invocation: %+v, want no binary and no tracer", d)
	}
	for i := range v.Rungs {
		v.Rungs[i].MemoryMB *= 4 // an idle worker all the time: 250 MB less pay 1.6e6 MB*s within two hours
	}
	now := invoked(p, v, 20*second, 47*second, 200)
	v.Busy = 200 * second
	d := p.Decide(now, v)
	if d.Make != native || d.Record != ladder.RecordingMetadata {
		t.Errorf("after 200 in two hours: %+v, want a binary and its metadata", d)
	}
	if p.Priority(now, v, native) <= 0 {
		t.Error("a binary that pays has no priority")
	}
}

// TestLadderSaves: a function that is invoked again gets a snapshot, which needs no recording, when the cache is there.
func TestLadderSaves(t *testing.T) {
	p, v := &Ladder{}, view(1)
	now := invoked(p, v, second, 20*second, 1)
	v.Recorded[ladder.RecordingClasses] = true
	if d := p.Decide(now, v); d.Make != cache {
		t.Errorf("with a recording: %+v, want the cache", d)
	}
	v.Rungs[cache].Ready = true
	if d := p.Decide(now, v); d.Make != hotspot {
		t.Errorf("after one invocation: %+v, want no snapshot", d)
	}
	now = invoked(p, v, now, 20*second, 1)
	if d := p.Decide(now, v); d.Make != snapshot || d.Record != ladder.RecordingNone {
		t.Errorf("after two: %+v, want a snapshot", d)
	}
}

func TestLadderRecordsFirst(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*View)
		want   ladder.Recording
	}{
		{"somebody waits", func(v *View) { v.Waiting = 1 }, ladder.RecordingClasses},
		{"others wait for room", func(v *View) { v.Crowded = true }, ladder.RecordingNone},
		{"never prepared", func(v *View) { v.Params.Prepare = PrepareNever }, ladder.RecordingNone},
	} {
		v := view(0)
		v.ColdStarts = 1
		tt.change(v)
		if d := (&Ladder{}).Decide(0, v); d.Record != tt.want || d.Beside {
			t.Errorf("%s: %+v, want to record %v", tt.name, d, tt.want)
		}
	}
}

func TestLadderIsNotSlowedDown(t *testing.T) {
	for _, tt := range []struct {
		name         string
		speed        float64
		gap, service int64
		want         ladder.ID
	}{
		{"ten a second of 20 ms, native 3 times slower", 3, second / 10, second / 50, cache},
		{"the same, as fast", 1, second / 10, second / 50, optimized},
		{"one of 1 ms in five minutes, 3 times slower", 3, 5*minute + 7*second, second / 1000, optimized},
	} {
		p, v := &Ladder{}, view(0, cache, native)
		v.Rungs[snapshot].Barred, v.Rungs[snapshotC2].Barred = true, true
		v.Rungs[native].Speed, v.Rungs[native].Timed = tt.speed, true
		now := invoked(p, v, second, tt.gap, 300)
		v.Busy = 300 * tt.service
		d := p.Decide(now, v)
		if d.Serve != tt.want {
			t.Errorf("%s: serves up to %d, want %d", tt.name, d.Serve, tt.want)
		}
		if tt.want == cache && d.Make != hotspot {
			t.Errorf("%s: makes %d, want none of a kind that is too slow", tt.name, d.Make)
		}
	}
}

// TestLadderGivesComputersBothCompilers: where the time goes into computing, and nowhere else.
func TestLadderGivesComputersBothCompilers(t *testing.T) {
	for _, tt := range []struct {
		name  string
		share int64 // of the time of invocations, percent
		want  ladder.ID
	}{{"computes", 95, c2}, {"waits for others", 2, native}} {
		p, v := &Ladder{}, view(0, cache)
		v.Rungs[snapshot].Barred, v.Rungs[snapshotC2].Barred = true, true
		now := invoked(p, v, second, second/30, 2000)
		v.Busy = 2000 * second / 33
		v.CPU = v.Busy * tt.share / 100
		if d := p.Decide(now, v); d.Make != tt.want {
			t.Errorf("one that %s: makes %d, want %d", tt.name, d.Make, tt.want)
		}
	}
}

// TestLadderSavesComputersWithBothCompilers: a snapshot of a function that computes has both, any other the first one alone.
func TestLadderSavesComputersWithBothCompilers(t *testing.T) {
	for _, tt := range []struct {
		name  string
		share int64 // of the time of invocations, percent
		want  ladder.ID
	}{{"computes", 95, snapshotC2}, {"waits for others", 2, snapshot}} {
		p, v := &Ladder{}, view(0, cache, c2)
		v.Rungs[native].Barred, v.Rungs[optimized].Barred = true, true
		now := invoked(p, v, second, 15*second, 300)
		v.Busy = 30 * second
		v.CPU = v.Busy * tt.share / 100
		if d := p.Decide(now, v); d.Make != tt.want {
			t.Errorf("one that %s: makes %d, want %d", tt.name, d.Make, tt.want)
		}
	}
}

// TestLadderAnswersWithinBounds holds for any function: nothing is kept longer than the user says, or started in the past,
// and no recording or rung is named that the ladder does not have.
func TestLadderAnswersWithinBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, q := &Ladder{}, &Ladder{}
		v := view(RevisionID(rapid.IntRange(0, 100).Draw(t, "revision")), cache)
		v.Rung = cache
		v.Params.KeepAlive = rapid.Int64Range(0, 20*minute).Draw(t, "keep-alive")
		now := second
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now += rapid.Int64Range(0, 2*60*minute).Draw(t, "later")
			v.Idle = rapid.Int32Range(0, 2).Draw(t, "idle")
			v.Working = rapid.Int32Range(0, 3).Draw(t, "working")
			v.Waiting = rapid.Int32Range(0, 5).Draw(t, "waiting")
			v.Service = rapid.Int64Range(0, 10*second).Draw(t, "service")
			v.Fresh = rapid.Bool().Draw(t, "fresh")
			v.Rungs[native].Ready = rapid.Bool().Draw(t, "native")
			v.Oldest = now
			v.Invocations += 10
			v.Busy += v.Service
			p.Arrived(now, 0, v.Revision)
			q.Arrived(now, 0, v.Revision)
			k, d, s := p.Keep(now, v), p.Decide(now, v), p.Start(now, v)
			if k.Alive < 0 || k.Alive > v.Params.KeepAlive || k.Again != 0 && k.Again < now+k.Alive {
				t.Fatalf("%+v at %d with a keep-alive of %d", k, now, v.Params.KeepAlive)
			}
			if int(d.Make) >= len(v.Rungs) || int(d.Serve) >= len(v.Rungs) || int(d.Record) >= ladder.RecordingCount {
				t.Fatalf("%+v", d)
			}
			if w := p.Worth(now, v, native); !(w >= 0) {
				t.Fatalf("worth %g", w)
			}
			if k2, d2, s2 := q.Keep(now, v), q.Decide(now, v), q.Start(now, v); k != k2 || d != d2 || s != s2 {
				t.Fatalf("the same questions, %+v %+v %v and %+v %+v %v", k, d, s, k2, d2, s2)
			}
		}
	})
}

// BenchmarkLadder is what an invocation of a warm function costs: Arrived and Keep, over many functions.
func BenchmarkLadder(b *testing.B) {
	const functions = 46_000
	p, v := &Ladder{}, view(0, cache)
	v.Rung = cache
	for r := range functions {
		v.Revision = RevisionID(r)
		invoked(p, v, second, 3*second, 200)
	}
	b.ReportAllocs()
	now, r := 1000*second, RevisionID(0)
	for b.Loop() {
		now += 65_000
		if r += 7919; r >= functions {
			r -= functions
		}
		v.Revision = r
		p.Arrived(now, 0, r)
		p.Keep(now, v)
	}
}

// BenchmarkLadderHot is the same of one function whose state is in the cache.
func BenchmarkLadderHot(b *testing.B) {
	p, v := &Ladder{}, view(0, cache)
	v.Rung = cache
	now := invoked(p, v, second, 3*second, 200)
	b.ReportAllocs()
	for b.Loop() {
		now += second
		p.Arrived(now, 0, 0)
		p.Keep(now, v)
	}
}
