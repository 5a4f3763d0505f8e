package ladder

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/cloudjit/cloudjit/internal/function"
)

// TestLadders: the built-in ladders are whole, begin with a rung that needs nothing, and travel as JSON.
func TestLadders(t *testing.T) {
	known := map[function.Rung]bool{}
	for _, name := range Names() {
		known[name] = true
	}
	for _, kind := range []function.Kind{function.KindHandler, function.KindWeb, function.KindProvided} {
		l := Of(kind)
		if l == nil {
			t.Fatalf("no ladder for %s", kind)
		}
		if err := l.Check(); err != nil {
			t.Error(err)
		}
		for i := range l.Rungs {
			if !known[l.Rungs[i].Name] {
				t.Errorf("rung %s is not among Names", l.Rungs[i].Name)
			}
		}
		doc, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		var back Ladder
		if err := json.Unmarshal(doc, &back); err != nil || !reflect.DeepEqual(&back, l) {
			t.Errorf("%s came back as %+v, %v", doc, back, err)
		}
	}
	if Of(function.KindUnknown) != nil {
		t.Error("a ladder for no kind")
	}
}

// TestKeep: what fell back to a rung that is left out falls to the next one below that is not.
func TestKeep(t *testing.T) {
	l := Of(function.KindHandler).Keep(func(r *Rung) bool { return r.Artifact != ArtifactCache })
	if err := l.Check(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[function.Rung]ID{SnapshotDeploy: First, Snapshot: First, Native: 2, NativeOptimized: 2} {
		if id, ok := l.Find(name); !ok || l.Rungs[id].Back != want {
			t.Errorf("without caches %s falls back to %+v, want rung %d", name, l.Rungs[id], want)
		}
	}
	whole := Of(function.KindHandler)
	if kept := whole.Keep(func(*Rung) bool { return true }); !reflect.DeepEqual(kept, whole) {
		t.Errorf("kept whole it is %+v", kept)
	}
}

// TestCheck: what no revision could climb is refused.
func TestCheck(t *testing.T) {
	for name, change := range map[string]func(*Ladder){
		"no rung":               func(l *Ladder) { l.Rungs = nil },
		"too many":              func(l *Ladder) { l.Rungs = append(l.Rungs, make([]Rung, Max)...) },
		"no name":               func(l *Ladder) { l.Rungs[1].Name = "" },
		"a name twice":          func(l *Ladder) { l.Rungs[1].Name = l.Rungs[2].Name },
		"an artifact at first":  func(l *Ladder) { l.Rungs[0].Artifact = ArtifactCache },
		"no artifact above":     func(l *Ladder) { l.Rungs[1].Artifact = ArtifactNone },
		"falls upwards":         func(l *Ladder) { l.Rungs[1].Back = 2 },
		"no speed":              func(l *Ladder) { l.Rungs[1].Speed = 0 },
		"a start below nothing": func(l *Ladder) { l.Rungs[1].Start = -1 },
		"a cost below nothing":  func(l *Ladder) { l.Rungs[1].Cost.DiskMB = -1 },
		"records on the first":  func(l *Ladder) { l.Rungs[0].Recorder = RecordingProfile },
		"two recorders":         func(l *Ladder) { l.Rungs[5].Recorder, l.Rungs[6].Recorder = RecordingProfile, RecordingProfile },
		"made of its own":       func(l *Ladder) { l.Rungs[6].Recorder, l.Rungs[6].Also = RecordingProfile, RecordingProfile },
		"also of what grows":    func(l *Ladder) { l.Rungs[6].Also = RecordingMetadata },
		"an unknown recording":  func(l *Ladder) { l.Rungs[1].From = 77 },
	} {
		l := Of(function.KindHandler).Clone()
		change(l)
		if l.Check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
