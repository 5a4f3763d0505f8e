package sim

import (
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/trace"
)

// profiles wants the highest rung, with what it is made from, and nothing else.
type profiles struct{ policy.Paper }

func (*profiles) Decide(_ int64, v *policy.View) policy.Decision {
	top := ladder.ID(len(v.Rungs) - 1)
	d := policy.Decision{Serve: top, Make: top, Record: ladder.RecordingMetadata}
	if v.Recorded[ladder.RecordingMetadata] {
		d.Record, d.Beside = ladder.RecordingProfile, true
	}
	return d
}

// TestRungThatRecords: the simulator runs a ladder with a rung that only records, as a node does. The named ladders have none, so
// that what was simulated before stays.
func TestRungThatRecords(t *testing.T) {
	var inv []trace.Invocation
	for at := time.Duration(0); at < time.Hour; at += time.Second {
		inv = append(inv, trace.Invocation{At: at, Duration: 100 * time.Millisecond})
	}
	tr, err := trace.NewRecorded([]trace.Function{{Name: "f", MemoryMB: 100}}, inv, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	o := DefaultOptions()
	o.Model.BuildTimes = nil
	o.Ladder = ladder.Of(function.KindHandler).Clone()
	run, err := runWith(tr, &o, &profiles{})
	if err != nil {
		t.Fatal(err)
	}
	served := map[function.Rung]int{}
	for _, r := range run.Summary.Rungs {
		served[r.Rung] = int(r.Invocations)
	}
	if n := served[ladder.NativeInstrumented]; n < 50 || n > 90 {
		t.Errorf("the instrumented binary answered %d invocations, want those of a minute", n)
	}
	if n := served[ladder.NativeProfiled]; n < len(inv)/2 || run.Summary.Builds != 2 {
		t.Errorf("the profiled binary answered %d of %d invocations, after %d builds", n, len(inv), run.Summary.Builds)
	}
	for _, name := range []string{"paper", "measured", "web", "python", "nodejs"} {
		l, _ := NamedLadder(name)
		for i := range l.Rungs {
			if r := &l.Rungs[i]; !r.Serves() || r.Also != ladder.RecordingNone {
				t.Errorf("the ladder %s has %s", name, r.Name)
			}
		}
	}
}
