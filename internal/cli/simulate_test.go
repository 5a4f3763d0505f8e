package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// run is one command line, as a shell gives it.
func runLine(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Main(args, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

func TestTraceAndSimulateCommands(t *testing.T) {
	dir := t.TempDir()
	set, small, csv := filepath.Join(dir, "set"), filepath.Join(dir, "small"), filepath.Join(dir, "part.csv")
	for _, args := range [][]string{
		{"trace", "generate", "--functions", "300", "--minutes", "5", "--seed", "3", "-o", set},
		{"trace", "scale", set, "--factor", "0.2", "-o", small},
		{"trace", "slice", small, "--from", "1m", "--to", "3m", "-o", csv},
		{"trace", "info", csv},
		{"simulate", csv, "--policy", "all", "--threshold", "1", "--report", filepath.Join(dir, "out")},
		{"simulate", csv, "--sweep", "threshold=0,3;window=10s,1m", "--value", "builds", "--report", filepath.Join(dir, "out")},
	} {
		if code, stdout, stderr := runLine(t, args...); code != exitOK || stdout == "" {
			t.Fatalf("cloudjit %s: code %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
		}
	}
	for _, name := range []string{"report.html", "result.json", "series.parquet", "series-paper.csv", "figure-4b-memory.svg", "figure-rungs.svg", "sweep.svg"} {
		if _, err := os.Stat(filepath.Join(dir, "out", name)); err != nil {
			t.Error(err)
		}
	}
	code, stdout, _ := runLine(t, "--json", "simulate", csv)
	var result struct {
		Invocations uint64
		Runs        []struct{ Policy string }
	}
	if err := json.Unmarshal([]byte(stdout), &result); code != exitOK || err != nil || result.Invocations == 0 || len(result.Runs) != 2 {
		t.Errorf("code %d, %v: %+v", code, err, result)
	}
}

func TestSimulateSaysWhatIsWrong(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.csv")
	if err := os.WriteFile(bad, []byte("function,start,duration\nf,1,1\nf,x,1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := runLine(t, "simulate", bad); code != exitOK || !strings.Contains(stderr, "malformed-row: 1") || !strings.Contains(stderr, "bad.csv:3") {
		t.Errorf("code %d, %s: want the malformed row by file and line", code, stderr)
	}
	for want, args := range map[string][]string{
		"name the files":     {"simulate"},
		"unknown policy":     {"simulate", bad, "--policy", "magic"},
		"unknown parameter":  {"simulate", bad, "--sweep", "beauty=1"},
		"unknown placement":  {"simulate", bad, "--placement", "nowhere"},
		"no such file":       {"trace", "info", filepath.Join(t.TempDir(), "missing")},
		"want one in (0, 1]": {"trace", "scale", bad, "--factor", "7", "-o", "x"},
	} {
		if code, _, stderr := runLine(t, args...); code == exitOK || !strings.Contains(stderr, want) {
			t.Errorf("cloudjit %s: code %d, %q: want %q", strings.Join(args, " "), code, stderr, want)
		}
	}
}
