package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/workertest"
)

func TestMain(m *testing.M) {
	workertest.Main()
	goleak.VerifyTestMain(m)
}

// guestSpec runs this test binary as the program inside.
func guestSpec(t testing.TB, g workertest.Guest) worker.Spec {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	trace := t.TempDir()
	return worker.Spec{
		Path: "/var/task/guest", Dir: "/var/task",
		Env: []string{workertest.Env + "=" + string(g), "WORKERTEST_TRACE=/trace", "PATH=/usr/bin:/bin"},
		Mounts: []worker.Mount{
			{Source: exe, Target: "/var/task/guest"},
		},
		Folders:   []worker.Folder{{Target: "/trace", Keep: trace, Names: []string{TraceFile}}},
		RecordDir: "/trace",
	}
}

func newDriver(t testing.TB, o Options) *Driver {
	t.Helper()
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "process")
	}
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestConformance(t *testing.T) {
	workertest.Suite{
		New:  func(t testing.TB) worker.Driver { return newDriver(t, Options{}) },
		Spec: guestSpec,
	}.Run(t)
}

// TestWithoutRoot is the same for a server that is not root and has no control groups. As root the test runs
// itself as another user.
func TestWithoutRoot(t *testing.T) {
	if !userNamespaces() {
		t.Skip("USER NAMESPACES ARE LACKING HERE")
	}
	if os.Geteuid() != 0 {
		workertest.Suite{
			New:  func(t testing.TB) worker.Driver { return newDriver(t, Options{}) },
			Spec: guestSpec,
		}.Run(t)
		return
	}
	const user = 1_899_999_999
	dir, err := os.MkdirTemp("", "cloudjit-rootless-") // t.TempDir is below folders that only root can enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	exe, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = errors.Join(os.Chown(dir, user, user), os.WriteFile(filepath.Join(dir, "test"), exe, 0o755))
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(dir, "test"), "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=5m")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "TMPDIR="+dir, "HOME="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	out, err := cmd.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if err != nil || strings.Contains(line, "LACKING") {
			t.Log(strings.TrimSuffix(line, "\n"))
		}
	}
	if err != nil {
		t.Error(err)
	}
}

// TestTrialsReachNoNetwork, though all other workers reach the host's.
func TestTrialsReachNoNetwork(t *testing.T) {
	workertest.Suite{
		New:  func(t testing.TB) worker.Driver { return newDriver(t, Options{ShareNetwork: true}) },
		Spec: guestSpec,
	}.RunTrial(t)
}

// TestManyAtOnce: children share the server's memory until they execute their program, and
// must not disturb each other.
func TestManyAtOnce(t *testing.T) {
	d, err := New(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for k := range 5 {
				_, err := d.Start(t.Context(), worker.Spec{
					ID: fmt.Sprintf("many-%d-%d", i, k), Path: "/bin/sh", Args: []string{"-c", "exit 42"}, Dir: "/",
					Revision: &function.Spec{Kind: function.KindProvided},
				})
				var failed *worker.StartError
				if !errors.As(err, &failed) || failed.Exit == nil || failed.Exit.Code != 42 {
					t.Errorf("got %v, want exit code 42", err)
				}
			}
		})
	}
	all.Wait()
}
