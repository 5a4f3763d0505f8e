package pipeline

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the generated parts of docs/pipeline.md")

const (
	doc   = "../../docs/pipeline.md"
	begin = "<!-- generated from internal/pipeline; change it there: go test ./internal/pipeline -update -->\n"
	end   = "<!-- end -->\n"
)

// TestPaper walks the pipeline of the paper's Fig. 3: up to native, back by a deoptimization,
// and up again while tracing goes on.
func TestPaper(t *testing.T) {
	var s State
	for _, step := range []struct {
		event Event
		want  string
	}{
		{EventTraced, "hotspot"},
		{EventPromoted, "hotspot/queued"},
		{EventBuildStarted, "hotspot/building"},
		{EventBuilt, "hotspot/checking"},
		{EventChecked, "native"},
		{EventPromoted, "native/queued"}, // at a higher level
		{EventBuildStarted, "native/building"},
		{EventDeoptimized, "hotspot-agent"}, // and the build is cancelled
		{EventPromoted, "hotspot-agent/queued"},
		{EventBuildStarted, "hotspot-agent/building"},
		{EventTraced, "hotspot/building"},
		{EventBuilt, "hotspot/checking"},
		{EventCheckFailed, "hotspot"},
	} {
		next, err := s.Next(step.event)
		if err != nil || next.String() != step.want {
			t.Fatalf("%s in %s: got %s, %v, want %s", step.event, s, next, err, step.want)
		}
		s = next
	}
}

// TestIllegal: what cannot happen is an error that names both, and moves nothing.
func TestIllegal(t *testing.T) {
	for _, tt := range []struct {
		state State
		event Event
	}{
		{State{StageTrace, PhaseIdle}, EventBuilt},
		{State{StageHotSpot, PhaseQueued}, EventPromoted},
		{State{StageHotSpot, PhaseBuilding}, EventChecked},
		{State{StageHotSpot, PhaseIdle}, EventUnusable},
		{State{StageDirect, PhaseIdle}, EventPromoted},
		{State{StageDirect, PhaseIdle}, EventDeoptimized},
		{State{StageTrace, PhaseIdle}, EventNone},
		{State{StageTrace, PhaseIdle}, 200},
	} {
		got, err := tt.state.Next(tt.event)
		var illegal *IllegalError
		if got != tt.state || !errors.As(err, &illegal) || illegal.State != tt.state || illegal.Event != tt.event {
			t.Errorf("%s in %s: got %s, %v", tt.event, tt.state, got, err)
		}
		if err != nil && (!strings.Contains(err.Error(), tt.state.String()) || !strings.Contains(err.Error(), tt.event.String())) {
			t.Errorf("%q does not name both %s and %s", err, tt.event, tt.state)
		}
	}
}

// TestTable: every event stands in the table, nothing leads to the direct stage or out of it, and
// from everywhere one gets back to the first stage and on to native.
func TestTable(t *testing.T) {
	for e := EventTraced; int(e) < eventCount; e++ {
		if next[e] == nil {
			t.Errorf("the table has nothing for %s", e)
		}
	}
	reach := func(from State) map[State]bool {
		seen := map[State]bool{from: true}
		for todo := []State{from}; len(todo) > 0; todo = todo[1:] {
			for e := range Event(eventCount) {
				if to, err := todo[0].Next(e); err == nil && !seen[to] {
					seen[to] = true
					todo = append(todo, to)
				}
			}
		}
		return seen
	}
	all := reach(State{})
	if want := 3 * phaseCount; len(all) != want {
		t.Errorf("%d states can be reached, want %d", len(all), want)
	}
	for s := range all {
		if r := reach(s); !r[State{}] || !r[State{StageNative, PhaseIdle}] || r[State{StageDirect, PhaseIdle}] {
			t.Errorf("from %s: first stage %v, native %v, direct %v", s, r[State{}], r[State{StageNative, PhaseIdle}], r[State{StageDirect, PhaseIdle}])
		}
	}
	if r := reach(State{StageDirect, PhaseIdle}); len(r) != 1 {
		t.Errorf("from direct one gets to %v", r)
	}
}

// TestSaved: what is stored is readable, and comes back.
func TestSaved(t *testing.T) {
	s := Saved{State: State{StageNative, PhaseBuilding}, Level: 1, Version: 7, Complete: true, Wanted: 2, Deopts: 1, NotBefore: 5}
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"state":{"stage":"native","phase":"building"},"level":"quick",`; !strings.HasPrefix(string(b), want) {
		t.Errorf("stored as %s, want it to begin with %s", b, want)
	}
	var back Saved
	if err := json.Unmarshal(b, &back); err != nil || back != s {
		t.Errorf("read back %+v, %v", back, err)
	}
	if err := json.Unmarshal([]byte(`{"state":{"stage":"warp"}}`), &back); err == nil {
		t.Error("an unknown stage was read")
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
