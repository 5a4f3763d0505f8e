package engine

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/policy"
)

// encode writes the log of a played shell.
func encode(t interface{ Fatal(...any) }, s *shell) []byte {
	var b bytes.Buffer
	w, err := NewLogWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	w.Record(1, Event{Kind: EventConfigured, NodeConfig: &s.first}, nil)
	for i := range s.events {
		w.Record(s.times[i], s.events[i], s.actions[i])
	}
	if w.Err() != nil {
		t.Fatal(w.Err())
	}
	return b.Bytes()
}

// TestReplay: a log that was written replays to the same actions, a changed one does not, and one
// that was cut off replays as far as it goes.
func TestReplay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := play(t)
		log := encode(t, s)
		replay := func(log []byte) (int, error) {
			r, err := NewLogReader(bytes.NewReader(log))
			if err != nil {
				t.Fatal(err)
			}
			return Replay(r, tested(s.which))
		}
		if n, err := replay(log); err != nil || n != len(s.events)+1 {
			t.Fatalf("replayed %d of %d steps: %v", n, len(s.events)+1, err)
		}
		cut := rapid.IntRange(len(logHeader), len(log)).Draw(t, "cut")
		if n, err := replay(log[:cut]); err != nil || n > len(s.events)+1 {
			t.Fatalf("cut at %d: replayed %d steps: %v", cut, n, err)
		}
		for i := range s.actions {
			if len(s.actions[i]) > 0 {
				s.actions[i][0].Worker++
				_, err := replay(encode(t, s))
				var diverged *DivergedError
				if !errors.As(err, &diverged) || diverged.Step != i+2 {
					t.Fatalf("a changed log: %v, want a divergence at step %d", err, i+2)
				}
				return
			}
		}
	})
}

// TestLogKeepsAll: every field of an event and an action comes back.
func TestLogKeepsAll(t *testing.T) {
	ev := Event{
		Kind: EventRevisionAdded, Outcome: function.OutcomeCrashed, Rung: 2, Recording: 1, Failure: FailureInputs, NoRetry: true, Complete: true,
		Function: -1, Revision: 1 << 20, Invocation: 7, Worker: 8, Version: 1<<32 - 1, MemoryMB: 1.5, CPU: 9, Full: true, Invocations: 11, ColdStarts: 12,
		Cost:           ladder.Cost{Wall: 1, CPU: 2, MemoryMB: 3.25, DiskMB: 4},
		FunctionConfig: &FunctionConfig{Reserved: -1, QueueLimit: 2, NoOptimize: true, NoCheck: true, Deopt: 1, Params: policy.Params{KeepAlive: 1, Threshold: 2, Window: 3, MaxWait: 4, Prepare: policy.PrepareDeploy}},
		RevisionConfig: &RevisionConfig{Function: 3, Ladder: whole, Slots: 4, MemoryMiB: []int32{1, 2, 3}, WorkerMB: 7.5, InitLimit: 8, InitMost: 9, Wait: 10, Parked: true, Inherited: true, Follows: true,
			Restored: pipeline.Saved{
				Recordings: pipeline.Recordings{2: {Phase: pipeline.PhaseRecorded, Version: 3, Least: 2}},
				Rungs:      []pipeline.Rung{{Name: "native", Phase: pipeline.PhaseFailed, Built: 2, FailedVersion: 9, Falls: 4, Failures: 5, Compared: 6, Differed: 7, DifferedBuilt: 8, NotBefore: time.Now().UnixNano(), DiskMB: 1.25}},
			}},
		NodeConfig: &NodeConfig{MemoryMiB: 1 << 40, Starts: 1, Concurrency: 2, QueueLimit: 3, Builders: -1, TraceLimit: 4, Patience: 5, LightBuilders: 6, ArtifactMB: 7, Cores: 8},
	}
	act := Action{Kind: ActionRecord, Rung: 3, Recording: 1, Reason: ReasonBackoff, Cold: true, Check: true, Compare: true,
		From: pipeline.PhaseQueued, To: pipeline.PhaseBuilding, Cause: pipeline.EventChecked,
		Revision: 1, Invocation: 2, Worker: 3, Version: 4, At: -5}
	for _, v := range []any{ev, act, *ev.FunctionConfig, ev.FunctionConfig.Params, *ev.RevisionConfig, *ev.NodeConfig, ev.Cost} {
		for i := range reflect.TypeOf(v).NumField() {
			if reflect.ValueOf(v).Field(i).IsZero() {
				t.Fatalf("%T.%s is zero: this test would not see it lost", v, reflect.TypeOf(v).Field(i).Name)
			}
		}
	}
	var b bytes.Buffer
	w, _ := NewLogWriter(&b)
	w.Record(-3, ev, []Action{act, {Kind: ActionWake}})
	r, err := NewLogReader(&b)
	if err != nil {
		t.Fatal(err)
	}
	now, gotEv, gotActs, err := r.Next()
	if err != nil || now != -3 || !reflect.DeepEqual(gotEv, ev) || !reflect.DeepEqual(gotActs, []Action{act, {Kind: ActionWake}}) {
		t.Errorf("got %d %+v %+v %v", now, gotEv, gotActs, err)
	}
	if _, _, _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last record: %v", err)
	}
}

// FuzzLog: no log, however broken, crashes the reader or the engine that replays it.
func FuzzLog(f *testing.F) {
	for seed := range 3 {
		s := rapid.Custom(play).Example(seed)
		f.Add(encode(f, s))
	}
	f.Add([]byte(logHeader))
	f.Fuzz(func(t *testing.T, log []byte) {
		r, err := NewLogReader(bytes.NewReader(log))
		if err != nil {
			return
		}
		e := New(NodeConfig{}, &policy.Paper{})
		last := int64(0)
		for range 10000 {
			now, ev, _, err := r.Next()
			if err != nil {
				return
			}
			const many = 1 << 12 // more makes it slow, not different
			if ev.Function > many || ev.Revision > many || ev.Invocation > many || ev.FunctionConfig != nil && ev.FunctionConfig.Params.Threshold > many {
				continue
			}
			last = max(last, now)
			e.Step(last, ev, nil)
		}
	})
}

// BenchmarkLog writes the log of a warm node.
func BenchmarkLog(b *testing.B) {
	e := warmed(b, 1, NodeConfig{})
	w, _ := NewLogWriter(io.Discard)
	var acts []Action
	now := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		now += 1000
		ev := Event{Kind: EventArrived}
		acts = e.Step(now, ev, acts[:0])
		w.Record(now, ev, acts)
		ev = Event{Kind: EventFinished, Worker: acts[0].Worker, Outcome: function.OutcomeOK}
		acts = e.Step(now, ev, acts[:0])
		w.Record(now, ev, acts)
	}
}
