package microvm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/process"
	"github.com/cloudjit/cloudjit/internal/worker/workertest"
)

func startGuest(t testing.TB, d *Driver, g workertest.Guest, id string) *handle {
	t.Helper()
	return startSpec(t, d, guestSpec(t, g), id)
}

func startSpec(t testing.TB, d *Driver, spec worker.Spec, id string) *handle {
	t.Helper()
	spec.ID = id
	spec.Revision = &function.Spec{ID: "r", Function: "faults", Kind: function.KindProvided, Handler: "h", MemoryMiB: 512, TmpMiB: 8, Timeout: 3 * time.Second, Concurrency: 1}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	w, err := d.Start(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	return w.(*handle)
}

func invoke(ctx context.Context, h *handle, c workertest.Command) (*worker.Result, error) {
	return h.Invoke(ctx, &worker.Invocation{RequestID: fmt.Sprint("r", time.Now().UnixNano()), Payload: c.JSON(), Deadline: time.Now().Add(time.Minute), FunctionARN: "arn"})
}

// answer is what the function answers to a command.
func answer(t testing.TB, h *handle, c workertest.Command) string {
	t.Helper()
	res, err := invoke(t.Context(), h, c)
	if err != nil {
		t.Fatal(err)
	}
	return string(res.Payload)
}

// left says what is there of a worker: its process, its control group and mark are the process driver's, which Clean
// finds.
func left(t *testing.T, d *Driver, pid int) string {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); unix.Kill(pid, 0) == nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			return "the monitor runs"
		}
	}
	if n, err := d.Clean(t.Context()); n > 0 || err != nil {
		return fmt.Sprintf("%d things to clean, %v", n, err)
	}
	return ""
}

// TestMonitorKilled under an invocation: its end is told, and nothing is left.
func TestMonitorKilled(t *testing.T) {
	d := newDriver(t)
	defer d.Close()
	h := startGuest(t, d, workertest.Handler, "killed")
	pid := h.machine.PID()
	got := make(chan error, 1)
	go func() {
		_, err := invoke(context.Background(), h, workertest.Command{Do: "sleep", N: 60_000})
		got <- err
	}()
	time.Sleep(200 * time.Millisecond)
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var exit *worker.ExitError
	if err := <-got; !errors.As(err, &exit) || exit.Exit.Signal != "killed" || exit.Exit.Stopped {
		t.Errorf("got %v, want the end by a signal", err)
	}
	<-h.Done()
	if err := h.Stop(t.Context(), time.Second); err != nil {
		t.Error(err)
	}
	if what := left(t, d, pid); what != "" {
		t.Error(what)
	}
}

// TestGuestHangs: all of a guest stands still, and whoever waits for it can give up and stop it.
func TestGuestHangs(t *testing.T) {
	d := newDriver(t)
	defer d.Close()
	h := startGuest(t, d, workertest.Handler, "hangs")
	pid := h.machine.PID()
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := invoke(ctx, h, workertest.Command{Do: "echo"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want deadline exceeded", err)
	}
	if got, err := h.Trace(ctx); err == nil {
		t.Errorf("trace of a guest that hangs: got %q", got)
	}
	began := time.Now()
	if err := h.Stop(t.Context(), 200*time.Millisecond); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("the stop took %v", took)
	}
	if what := left(t, d, pid); what != "" {
		t.Error(what)
	}
}

// TestGuestPanics: a kernel without a first process ends, and the start says so.
func TestGuestPanics(t *testing.T) {
	d := newDriver(t)
	defer d.Close()
	empty := filepath.Join(t.TempDir(), "init")
	workertest.Open(t, filepath.Dir(empty))
	if err := os.WriteFile(empty, make([]byte, 4096), 0o644); err != nil {
		t.Fatal(err)
	}
	d.options.Guest.Init = empty
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	if _, err := d.boot(ctx); err == nil || ctx.Err() != nil {
		t.Errorf("got %v, want the guest's end", err)
	}
	if n, err := d.Clean(t.Context()); n > 0 || err != nil {
		t.Errorf("left %d, %v", n, err)
	}
}

// TestMostDrives: the machine with places for the most drives boots, with two processors where there are.
func TestMostDrives(t *testing.T) {
	d := newDriver(t)
	defer d.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	h, _, err := d.booted(ctx, d.kind.shapeOf(2*worker.VCPUMiB, 0, d.kind.drives[len(d.kind.drives)-1]))
	if err != nil {
		t.Fatal(err)
	}
	h.cut()
}

const childEnv = "MICROVM_TEST_SERVER"

func TestServerToBeKilled(t *testing.T) {
	if os.Getenv(childEnv) == "" {
		t.Skip("only runs as the child of TestServerKilled")
	}
	h := startGuest(t, newDriver(t), workertest.Stubborn, "orphan")
	fmt.Println("started", h.machine.PID())
	time.Sleep(time.Minute)
}

// TestServerKilled: no virtual machine outlives its server, and the next server on its folder removes what is left.
func TestServerKilled(t *testing.T) {
	temp := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestServerToBeKilled$", "-test.v")
	cmd.Env = append(os.Environ(), childEnv+"=1", "TMPDIR="+temp)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid, said := 0, ""
	for lines := bufio.NewScanner(out); pid == 0 && lines.Scan(); {
		said += lines.Text() + "\n"
		_, _ = fmt.Sscanf(lines.Text(), "started %d", &pid)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if pid == 0 {
		t.Fatalf("child server: %s", said)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		if name := filepath.Base(program); err != nil || !strings.Contains(name, "qemu") && !strings.Contains(name, "firecracker") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the virtual machine of process %d outlived its server", pid)
		}
	}
	folders, err := filepath.Glob(filepath.Join(temp, "*", "*", "process"))
	if err != nil || len(folders) != 1 {
		t.Fatalf("the folder of the server that was killed: %v, %v", folders, err)
	}
	next, err := process.New(process.Options{Dir: folders[0]})
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if n, err := next.Clean(t.Context()); err != nil || n != 1 {
		t.Errorf("the next server removed %d sandboxes, %v, want 1", n, err)
	}
}
