package sim

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/trace"
)

// TestRecordingPredictsItsOwnColdStarts records an engine's log, reads durations, starts and
// builds from it as from a live platform's, and simulates them: the cold starts are the same.
func TestRecordingPredictsItsOwnColdStarts(t *testing.T) {
	g, err := trace.Generate{Functions: 400, Minutes: 15, StartMinute: 480, Seed: 2}.New()
	if err != nil {
		t.Fatal(err)
	}
	tr, err := trace.Scale(context.Background(), g, trace.ScaleThin, 0.05, 1)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	w, err := engine.NewLogWriter(&log)
	if err != nil {
		t.Fatal(err)
	}
	o := DefaultOptions()
	o.Policies = []string{"paper"}
	o.Params.Threshold = 1
	o.Params.KeepAlive = int64(2 * time.Minute)
	o.Model.BuildTimes = []time.Duration{30 * time.Second, time.Minute}
	o.Model.Builders = 1
	o.Sequential, o.Record = true, w.Record
	live, err := Run(context.Background(), tr, o)
	if err != nil {
		t.Fatal(err)
	}
	if w.Err() != nil {
		t.Fatal(w.Err())
	}
	l, err := engine.NewLogReader(&log)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := FromLog(l)
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Trace.Close()
	s := live.Runs[0].Summary
	if rec.Live.ColdStarts != int(s.ColdStarts) || rec.Live.ColdStartsNative != int(s.ColdStartsNative) || rec.Live.Builds != s.Builds || s.Builds == 0 {
		t.Errorf("the log counts %+v: the run has %d cold starts, %d native, %d builds", rec.Live, s.ColdStarts, s.ColdStartsNative, s.Builds)
	}
	rec.Options.Policies = []string{"paper"}
	again, err := Run(context.Background(), rec.Trace, rec.Options)
	if err != nil {
		t.Fatal(err)
	}
	// Invocations that had not ended with the log are missing: they may have started a worker each.
	got, want := again.Runs[0].Summary, s
	if d := int(want.ColdStarts) - int(got.ColdStarts); d < 0 || d > rec.Live.Skipped {
		t.Errorf("simulated %d cold starts: the run had %d, with %d invocations that had not ended", got.ColdStarts, want.ColdStarts, rec.Live.Skipped)
	}
	if got.ColdStartsNative != want.ColdStartsNative || got.Builds != want.Builds {
		t.Errorf("simulated %d native cold starts and %d builds: the run had %d and %d", got.ColdStartsNative, got.Builds, want.ColdStartsNative, want.Builds)
	}
	if rec.Options.Functions[0].Function.Params != (policy.Params{KeepAlive: int64(2 * time.Minute), Threshold: 1, Window: int64(time.Minute)}) {
		t.Errorf("parameters %+v", rec.Options.Functions[0].Function.Params)
	}
}
