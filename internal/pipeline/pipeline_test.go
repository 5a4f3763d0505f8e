package pipeline

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/cloudjit/cloudjit/internal/ladder"
)

var update = flag.Bool("update", false, "write the generated parts of docs/pipeline.md")

const (
	doc   = "../../docs/pipeline.md"
	begin = "<!-- generated from internal/pipeline; change it there: go test ./internal/pipeline -update -->\n"
	end   = "<!-- end -->\n"
)

// walk applies events to a phase and wants each to lead where it says.
func walk(t *testing.T, p Phase, steps []step) {
	t.Helper()
	for _, s := range steps {
		next, err := p.Next(s.event)
		if err != nil || next != s.want {
			t.Fatalf("%s in %s: got %s, %v, want %s", s.event, p, next, err, s.want)
		}
		p = next
	}
}

type step struct {
	event Event
	want  Phase
}

// TestArtifact walks the life of an artifact: made, found wrong, made again, given up for its disk
// space, made once more.
func TestArtifact(t *testing.T) {
	made := []step{{EventPromoted, PhaseQueued}, {EventBuildStarted, PhaseBuilding}, {EventBuilt, PhaseChecking}, {EventChecked, PhaseReady}}
	life := append([]step{}, made...)
	life = append(append(life, step{EventDeoptimized, PhaseFailed}), made...)
	life = append(append(life, step{EventDropped, PhaseDropped}), made...)
	life = append(life, step{EventUnusable, PhaseFailed}, step{EventPromoted, PhaseQueued}, step{EventCancelled, PhaseAbsent})
	walk(t, PhaseAbsent, life)
}

// TestRecording walks that of a recording: taken, not enough, taken again, lost.
func TestRecording(t *testing.T) {
	walk(t, PhaseAbsent, []step{{EventRecord, PhaseRecording}, {EventRecorded, PhaseRecorded}, {EventRecord, PhaseRecording},
		{EventRecorded, PhaseRecorded}, {EventLost, PhaseAbsent}, {EventRecorded, PhaseRecorded}})
}

// TestIllegal: what cannot happen is an error that names both, and moves nothing.
func TestIllegal(t *testing.T) {
	for _, tt := range []struct {
		phase Phase
		event Event
	}{
		{PhaseAbsent, EventBuilt}, {PhaseQueued, EventPromoted}, {PhaseBuilding, EventChecked}, {PhaseAbsent, EventUnusable},
		{PhaseRecording, EventPromoted}, {PhaseReady, EventRecorded}, {PhaseAbsent, EventNone}, {PhaseAbsent, 200}, {200, EventBuilt},
	} {
		got, err := tt.phase.Next(tt.event)
		var illegal *IllegalError
		if got != tt.phase || !errors.As(err, &illegal) || illegal.Phase != tt.phase || illegal.Event != tt.event {
			t.Errorf("%s in %s: got %s, %v", tt.event, tt.phase, got, err)
		}
		if err != nil && (!strings.Contains(err.Error(), tt.phase.String()) || !strings.Contains(err.Error(), tt.event.String())) {
			t.Errorf("%q does not name both %s and %s", err, tt.event, tt.phase)
		}
	}
}

// TestTable: every event stands in the table, and from every phase of an artifact one gets to ready
// and back.
func TestTable(t *testing.T) {
	for e := EventRecord; int(e) < eventCount; e++ {
		if next[e] == [phaseCount]Phase{none, none, none, none, none, none, none, none, none} {
			t.Errorf("the table has nothing for %s", e)
		}
	}
	reach := func(from Phase, first, last Event) map[Phase]bool {
		seen := map[Phase]bool{from: true}
		for todo := []Phase{from}; len(todo) > 0; todo = todo[1:] {
			for e := first; e <= last; e++ {
				if to, err := todo[0].Next(e); err == nil && !seen[to] {
					seen[to] = true
					todo = append(todo, to)
				}
			}
		}
		return seen
	}
	if got := reach(PhaseAbsent, EventRecord, recordings); len(got) != 3 {
		t.Errorf("a recording reaches %v, want 3 phases", got)
	}
	artifacts := reach(PhaseAbsent, recordings+1, EventDropped)
	if len(artifacts) != phaseCount-2 {
		t.Errorf("an artifact reaches %v, want all but the two of recordings", artifacts)
	}
	for p := range artifacts {
		if got := reach(p, recordings+1, EventDropped); !got[PhaseReady] {
			t.Errorf("from %s an artifact never gets ready", p)
		}
	}
}

// TestSaved: what is stored is readable, comes back, and is refused when it cannot be.
func TestSaved(t *testing.T) {
	s := Saved{Rungs: []Rung{{Name: "native", Phase: PhaseReady, Built: 7, Falls: 1, NotBefore: 5}}}
	s.Recordings[ladder.RecordingMetadata] = Recording{Phase: PhaseRecorded, Version: 7}
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"recordings":{"metadata":{"phase":"recorded","version":7}},"rungs":[{"rung":"native","phase":"ready",`; !strings.HasPrefix(string(b), want) {
		t.Errorf("stored as %s, want it to begin with %s", b, want)
	}
	var back Saved
	if err := json.Unmarshal(b, &back); err != nil || !reflect.DeepEqual(back, s) || !back.Legal() {
		t.Errorf("read back %+v, %v", back, err)
	}
	if err := json.Unmarshal([]byte(`{"rungs":[{"rung":"native","phase":"warp"}]}`), &back); err == nil {
		t.Error("an unknown phase was read")
	}
	for _, illegal := range []Saved{
		{Rungs: []Rung{{Phase: PhaseRecording}}}, {Rungs: []Rung{{Falls: -1}}}, {Rungs: make([]Rung, ladder.Max+1)},
		{Recordings: Recordings{{Phase: PhaseReady}}}, {Recordings: Recordings{{Phase: PhaseRecorded}}},
	} {
		if illegal.Legal() {
			t.Errorf("%+v is legal", illegal)
		}
	}
}

// TestDocs holds the diagram and the table in the documentation to the transition table.
func TestDocs(t *testing.T) {
	diagram := "\n```mermaid\n" + Diagram() + "```\n"
	holdDoc(t, doc, diagram+"\n"+Table()+"\n")
	holdDoc(t, "../../docs/architecture.md", diagram)
}

// holdDoc wants a page's generated part to be as given, or writes it.
func holdDoc(t *testing.T, doc, want string) {
	b, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(b), begin)
	old, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no generated part", doc)
	}
	if old == want {
		return
	}
	if !*update {
		t.Fatalf("%s is not what the transition table says: go test ./internal/pipeline -update", doc)
	}
	if err := os.WriteFile(doc, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
