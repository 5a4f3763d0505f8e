package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/experiment/replay"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
)

const workSample = "../../java/samples/work"

// replayTrace is 40 seconds of four functions: one at ease, one in bursts of three that need three
// workers, one that is always busy, one that comes once.
func replayTrace(t *testing.T) (file string, invocations int) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintln(&b, "function,start_seconds,duration_seconds,memory_mb")
	add := func(f string, at, duration float64, mb int) {
		fmt.Fprintf(&b, "%s,%g,%g,%d\n", f, at, duration, mb)
		invocations++
	}
	for at := 0.5; at < 40; at += 5 {
		add("ease", at, 0.05, 10)
	}
	for _, at := range []float64{12, 32} {
		for range 3 {
			add("burst", at, 2.5, 20)
		}
	}
	for at := 5.0; at < 39; at += 2 {
		add("busy", at, 0.4, 40)
	}
	add("once", 20, 0.2, 10)
	file = filepath.Join(t.TempDir(), "trace.csv")
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return file, invocations
}

func replayCommandLine(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	if _, err := os.Stat(filepath.Join(workSample, "target/work.jar")); err != nil {
		t.Skipf("SKIPPED: the work sample is not built (make samples): %v", err)
	}
	exe, err := exec.LookPath("cloudjit") // TestMain has put it there
	if err != nil {
		t.Fatal(err)
	}
	return exec.Command(exe, append([]string{"replay", "--function", workSample}, args...)...)
}

// TestReplay replays a short trace on real workers and simulates it. Native builds take minutes, so the
// policy asks for none in that time: HotSpot and, in the run with the optimizer, AOT caches.
func TestReplay(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: takes a minute or two")
	}
	file, invocations := replayTrace(t)
	dir := t.TempDir()
	cmd := replayCommandLine(t, file, "--cores", "2", "--busy", "0.2", "--memory-scale", "1", "--report", dir, "--json")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	r := readReplay(t, &stdout)
	if r.Interrupted || len(r.Runs) != 2 || r.Saved == nil {
		t.Fatalf("interrupted %t, %d runs, want two, compared", r.Interrupted, len(r.Runs))
	}
	for _, p := range r.Runs {
		l := p.Live
		mode := "without"
		if l.Optimizer {
			mode = "with"
		}
		if n := int64(invocations); l.Load.Scheduled != n || l.Load.Sent != n || l.Load.NotSent != 0 || l.Answers.Right != n || l.Answers.Wrong != 0 || len(l.Answers.Other) != 0 {
			t.Errorf("%s: %+v, %+v, first wrong %q: want %d sent and answered rightly", mode, l.Load, l.Answers, l.FirstWrong, n)
		}
		if l.Load.ErrorMax == 0 {
			t.Errorf("%s: no error of the schedule is stated", mode)
		}
		// Four functions, one of them three times at once. A cold start that takes seconds on a
		// busy machine makes more of them, live and simulated; not always as many.
		live, simulated := l.Figures.ColdStarts, p.Simulated.Figures.ColdStarts
		if off := max(3, live*2/5); live < 6 || simulated < live-off || simulated > live+off {
			t.Errorf("%s: %d cold starts, simulated %d: want 6 or more, and the simulator off by %d at most", mode, live, simulated, off)
		}
		// The simulator expects workers as large as the table says, and those of the samples are smaller.
		if l.Figures.ResidentMB < 50 || p.Errors.Memory < -0.4 || p.Errors.Memory > 1 {
			t.Errorf("%s: %.0f MB on average, simulated %.0f: want some, and not more than twice as much simulated", mode, l.Figures.ResidentMB, p.Simulated.Figures.ResidentMB)
		}
		starts := map[function.Rung]int{}
		recorded := false
		for _, m := range l.Measured.Ways {
			starts[m.Rung] += m.Starts
			recorded = recorded || m.Recording == ladder.RecordingClasses && m.Starts > 0
		}
		if starts[ladder.Native]+starts[ladder.NativeOptimized] > 0 || starts[ladder.HotSpot] == 0 {
			t.Errorf("%s: starts by rung %v: want some on HotSpot, and none native", mode, starts)
		}
		if recorded != l.Optimizer || (starts[ladder.AOTCache] > 0) != l.Optimizer {
			t.Errorf("%s: recorded for an AOT cache is %t, starts by rung %v", mode, recorded, starts)
		}
		for _, name := range []string{"series-%s.csv", "series-%s-simulated.csv", "memory-%s.csv", "invocations-%s.csv", "events-%s.log", "server-%s.log"} {
			wantFile(t, filepath.Join(dir, fmt.Sprintf(name, mode)))
		}
	}
	for _, name := range []string{"report.html", "result.json", "functions.csv", "figure-5a-running.svg", "figure-5b-memory.svg", "figure-5c-cold.svg", "figure-workers.svg"} {
		wantFile(t, filepath.Join(dir, name))
	}
}

// TestInterruptedReplayReports what there was until then.
func TestInterruptedReplayReports(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: takes half a minute")
	}
	file, invocations := replayTrace(t)
	dir := t.TempDir()
	cmd := replayCommandLine(t, file, "--runs", "without", "--cores", "2", "--busy", "0.2", "--report", dir, "--json")
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 4096)
	for text := ""; !strings.Contains(text, "deploying"); {
		n, err := errs.Read(said)
		if text += string(said[:n]); err != nil {
			t.Fatalf("%v after %q", err, text)
		}
	}
	rest := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(errs)
		rest <- string(b)
	}()
	time.Sleep(15 * time.Second)
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	prose := <-rest
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted {
		t.Fatalf("got %v, want exit code %d\n%s", err, exitInterrupted, prose)
	}
	r := readReplay(t, &stdout)
	if !r.Interrupted || len(r.Runs) != 1 {
		t.Fatalf("interrupted %t, %d runs: want one", r.Interrupted, len(r.Runs))
	}
	l := r.Runs[0].Live
	if !l.Load.Interrupted || l.Load.Sent == 0 || l.Load.Sent >= int64(invocations) || l.Answers.Right == 0 || l.Answers.Wrong != 0 {
		t.Errorf("got %+v and %+v of %d invocations", l.Load, l.Answers, invocations)
	}
	wantFile(t, filepath.Join(dir, "report.html"))
}

func readReplay(t *testing.T, stdout *bytes.Buffer) *replay.Result {
	t.Helper()
	r := new(replay.Result)
	if err := json.Unmarshal(stdout.Bytes(), r); err != nil {
		t.Fatalf("%v in %.500s", err, stdout)
	}
	return r
}

func wantFile(t *testing.T, path string) {
	t.Helper()
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		t.Errorf("%s is not there, or empty: %v", filepath.Base(path), err)
	}
}
