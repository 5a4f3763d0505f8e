package process

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/worker/workertest"
)

// childEnv makes the test binary a server that starts workers and says so, for TestKilledServer.
const childEnv = "PROCESS_TEST_SERVER"

func TestServerToBeKilled(t *testing.T) {
	dir := os.Getenv(childEnv)
	if dir == "" {
		t.Skip("only runs as the child of TestKilledServer")
	}
	o := Options{Dir: dir, Rootless: os.Getenv(childEnv+"_ROOTLESS") != ""}
	if !o.Rootless {
		o.CRIU, o.SnapshotKey = findInstalledCRIU(t), make([]byte, KeySize)
	}
	d := newDriver(t, o)
	for i := range 3 {
		spec := guestSpec(t, workertest.Stubborn)
		spec.ID = fmt.Sprintf("killed-%d", i)
		spec.Revision = revision(false)
		spec.Env = append(spec.Env, "MARK="+filepath.Base(dir))
		if _, err := d.Start(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
	}
	job := guestSpec(t, workertest.JobHang)
	job.ID, job.Revision = "killed-job", revision(false)
	job.Env = append(job.Env, "MARK="+filepath.Base(dir))
	go func() { _, _ = d.Run(t.Context(), job) }()
	for len(d.alive()) < 4 {
		time.Sleep(time.Millisecond)
	}
	fmt.Println("started")
	time.Sleep(time.Minute)
}

// TestKilledServer: after kill -9 no worker runs on, and the next server of the folder removes
// what is left, but nothing of another folder's.
func TestKilledServer(t *testing.T) {
	for _, mode := range []string{"", "_ROOTLESS"} {
		t.Run("as root"+strings.ToLower(mode), func(t *testing.T) {
			base := t.TempDir()
			dir := filepath.Join(base, "killed"+filepath.Base(base)+fmt.Sprint(os.Getpid()))
			other := newDriver(t, Options{})
			defer other.Close()
			spec := guestSpec(t, workertest.Handler)
			spec.ID, spec.Revision = "other", revision(false)
			survivor, err := other.Start(t.Context(), spec)
			if err != nil {
				t.Fatal(err)
			}

			cmd := exec.Command(os.Args[0], "-test.run=^TestServerToBeKilled$", "-test.v")
			cmd.Env = append(os.Environ(), childEnv+"="+dir, "TMPDIR="+base) // it cannot remove its own
			if mode != "" {
				cmd.Env = append(cmd.Env, childEnv+mode+"=1")
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var said strings.Builder
			for lines := bufio.NewScanner(out); lines.Scan(); {
				said.WriteString(lines.Text() + "\n")
				if lines.Text() == "started" {
					break
				}
			}
			if !strings.Contains(said.String(), "started") {
				_ = cmd.Wait()
				t.Fatalf("child server: %s", said.String())
			}
			if n := marked(filepath.Base(dir)); n != 4 {
				t.Errorf("%d workers and jobs run before the kill, want 4", n)
			}
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			for end := time.Now().Add(5 * time.Second); marked(filepath.Base(dir)) > 0 && time.Now().Before(end); {
				time.Sleep(2 * time.Millisecond)
			}
			if n := marked(filepath.Base(dir)); n != 0 {
				t.Errorf("%d workers outlived their server", n)
			}

			for _, folder := range []string{"/dev/shm", "/run"} {
				left, err := filepath.Glob(filepath.Join(folder, prefixOf(dir)+"*"))
				if err != nil || len(left) > 0 && other.groups { // else there are marks
					t.Errorf("left in memory: %v, %v", left, err)
				}
			}

			next := newDriver(t, Options{Dir: dir})
			defer next.Close()
			if n, err := next.Clean(t.Context()); err != nil || n != 4 {
				t.Errorf("clean: got %d, %v, want 4", n, err)
			}
			if n, err := next.Clean(t.Context()); err != nil || n != 0 {
				t.Errorf("clean again: got %d, %v, want 0", n, err)
			}
			select {
			case <-survivor.Done():
				t.Error("another server's worker was ended")
			default:
			}
		})
	}
}

// marked counts processes with the mark in their environment.
func marked(mark string) int {
	n := 0
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), "MARK="+mark) {
			n++
		}
	}
	return n
}
