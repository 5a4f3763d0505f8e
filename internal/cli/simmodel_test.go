package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/sim"
)

// calls is a trace of one function: two cold starts, 20 minutes apart, and a warm one.
func calls(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "calls.csv")
	if err := os.WriteFile(path, []byte("function,start,duration,memory_mb\nf,0,1,100\nf,1200,1,100\nf,1210,1,100\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// simulated is the result of a command line.
func simulated(t *testing.T, args ...string) *sim.Result {
	t.Helper()
	code, stdout, stderr := runLine(t, append([]string{"--json", "simulate"}, args...)...)
	var r struct {
		Options json.RawMessage
		Runs    []struct {
			Policy  string
			Summary sim.Summary
		}
	}
	if err := json.Unmarshal([]byte(stdout), &r); code != exitOK || err != nil {
		t.Fatalf("cloudjit simulate %s: code %d, %v\n%s", strings.Join(args, " "), code, err, stderr)
	}
	out := &sim.Result{}
	for _, run := range r.Runs {
		out.Runs = append(out.Runs, sim.Outcome{Policy: run.Policy, Summary: run.Summary})
	}
	return out
}

func TestSimulateTakesALadderAndItsFigures(t *testing.T) {
	calls, dir := calls(t), t.TempDir()
	waited := func(args ...string) float64 {
		return simulated(t, append([]string{calls, "--policy", "none"}, args...)...).Runs[0].Summary.WaitedSeconds
	}
	for _, c := range []struct {
		want float64
		args []string
	}{
		{2 * 1.1, nil},
		{2 * 2, []string{"--first-start", "2s"}},
		{2 * 0.55, []string{"--rung", "hotspot:start=0.5"}},
		{2 * 0.3, []string{"--rung", "hotspot:start=300ms,memory=1"}},
		{2 * 3, []string{"--ladder", "web"}},
	} {
		if got := waited(c.args...); got < c.want-1e-6 || got > c.want+1e-6 {
			t.Errorf("%q: waited %g s, want %g", c.args, got, c.want)
		}
	}

	// A ladder from a file, with light artifacts there from the start.
	text, err := json.Marshal(&ladder.Ladder{Name: "mine", Start: 1e9, Rungs: []ladder.Rung{
		{Name: "plain", Start: 1, First: 1, Speed: 1, Memory: 1},
		{Name: "quick", Artifact: ladder.ArtifactCache, From: ladder.RecordingClasses, Light: true, Start: 0.1, First: 1, Speed: 1, Memory: 1,
			Cost: ladder.Cost{Wall: 1e9, CPU: 2e9, DiskMB: 7}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "ladder.json")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	s := simulated(t, calls, "--policy", "paper", "--ladder", file, "--prepare", "deploy", "--rung", "quick:cpu=5s").Runs[1].Summary
	quick := s.Rungs[1]
	if s.WaitedSeconds > 0.2+1e-6 || quick.Rung != "quick" || quick.ColdStarts != 2 || quick.Builds != 1 || quick.BuildCPUSeconds != 5 || s.PeakArtifactMB != 7 {
		t.Errorf("waited %g s, disk %g MB, %+v: want two cold starts of 0.1 s on an artifact that took 5 s of CPU and has 7 MB", s.WaitedSeconds, s.PeakArtifactMB, quick)
	}

	bad := filepath.Join(dir, "bad.json")
	if err := os.WriteFile(bad, []byte(`{"name":"x","rungs":[{"name":"a","start":"fast"}]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"bad.json: read a ladder: json: cannot unmarshal string": {"--ladder", bad},
		"want paper, measured, web or a file":                    {"--ladder", filepath.Join(dir, "missing")},
		`has no such rung: want one of ["hotspot" "native"]`:     {"--rung", "aot-cache:start=1"},
		`unknown figure "colour"`:                                {"--rung", "native:colour=1"},
		"want RUNG:FIGURE=VALUE":                                 {"--rung", "native"},
		"start -1":                                               {"--rung", "native:start=-1"},
		"unknown recording":                                      {"--record-start", "tape=1"},
	} {
		if code, _, stderr := runLine(t, append([]string{"simulate", calls}, args...)...); code == exitOK || !strings.Contains(stderr, want) {
			t.Errorf("%q: code %d, %q: want %q", args, code, stderr, want)
		}
	}
}

// TestMeasuredFiguresYieldToFlags is about recordings: what a flag names is forgotten, and nothing else.
func TestMeasuredFiguresYieldToFlags(t *testing.T) {
	way, binary := sim.Way{Rung: ladder.HotSpot}, sim.Way{Rung: ladder.Native}
	options := func() *sim.Options {
		o := sim.DefaultOptions()
		o.Functions = []sim.FunctionOptions{{
			Starts:   map[sim.Way][]sim.MeasuredStart{way: {{Took: 5}}, binary: {{Took: 6}}},
			MemoryMB: map[sim.Way]float64{way: 50, binary: 20},
			Builds:   map[function.Rung]ladder.Cost{ladder.Native: {Wall: 7, CPU: 8}},
		}}
		o.Functions[0].Revision.Ladder = sim.PaperLadder()
		return &o
	}
	for _, c := range []struct {
		rung           string
		starts, memory int
		wall, cpu      bool
		start          float64
	}{
		{"native:start=0.5", 1, 2, true, true, 0.5},
		{"native:memory=0.5", 2, 1, true, true, 35.0 / 1100},
		{"native:wall=1s", 2, 2, false, true, 35.0 / 1100},
	} {
		o, changed := options(), sim.DefaultOptions()
		if err := (&modelFlags{Ladder: "paper", Rung: []string{c.rung}}).change(o, &changed, map[string]bool{"rung": true}); err != nil {
			t.Fatal(err)
		}
		own := &o.Functions[0]
		cost := own.Builds[ladder.Native]
		if len(own.Starts) != c.starts || len(own.MemoryMB) != c.memory || (cost.Wall > 0) != c.wall || (cost.CPU > 0) != c.cpu || own.Revision.Ladder.Rungs[1].Start != c.start {
			t.Errorf("%s: %+v, rung %+v", c.rung, own, own.Revision.Ladder.Rungs[1])
		}
	}
}
