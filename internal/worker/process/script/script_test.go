package script

import (
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// run starts the script and waits for its end.
func run(t testing.TB, s *Spawner, build func(sc *Script, out int), o Options) (string, int, error) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cr, cw, err := os.Pipe() // closes at execve
	if err != nil {
		t.Fatal(err)
	}
	defer cr.Close()
	var sc Script
	build(&sc, int(w.Fd()))
	c, err := s.Start(&sc, o)
	if err != nil {
		t.Fatal(err)
	}
	cw.Close()
	_, _ = io.ReadAll(cr)
	w.Close()
	failure := c.Ended()
	out, _ := io.ReadAll(r)
	var ws unix.WaitStatus
	if _, err := unix.Wait4(c.PID, &ws, 0, nil); err != nil {
		t.Fatal(err)
	}
	unix.Close(c.PidFD)
	return string(out), ws.ExitStatus(), failure
}

func TestRunsCallsThenTheProgram(t *testing.T) {
	s := NewSpawner()
	defer s.Close()
	out, code, err := run(t, s, func(sc *Script, out int) {
		fd := sc.Do("open", unix.SYS_OPENAT, unix.AT_FDCWD, "/proc/self/comm", unix.O_RDONLY, 0)
		buf := make([]byte, 64)
		n := sc.Do("read", unix.SYS_READ, fd, buf, len(buf))
		sc.Do("write", unix.SYS_WRITE, out, buf, n)
		sc.Try("fail", unix.SYS_CLOSE, 9999)
		sc.Do("output", unix.SYS_DUP3, out, 1, 0)
		sc.Do("folder", unix.SYS_CHDIR, "/usr")
		sc.Exec("/bin/sh", []string{"sh", "-c", "pwd; echo $A; exit 7"}, []string{"A=b c"})
	}, Options{})
	if err != nil || code != 7 || !strings.HasSuffix(out, "\n/usr\nb c\n") {
		t.Errorf("got %q, %d, %v", out, code, err)
	}
}

// A script may be several processes: here the first one waits for the second, whose child writes.
func TestForks(t *testing.T) {
	s := NewSpawner()
	defer s.Close()
	out, code, err := run(t, s, func(sc *Script, out int) {
		door := sc.Do("make a door", unix.SYS_EVENTFD2, 0, unix.O_CLOEXEC)
		one := []byte{1, 0, 0, 0, 0, 0, 0, 0}
		second := sc.Fork("fork", 0, func() {
			third := sc.Fork("fork again", 0, func() {
				sc.Do("write", unix.SYS_WRITE, out, []byte("third "), 6)
				sc.Exit()
			})
			sc.Do("wait for the third", unix.SYS_WAIT4, third, 0, 0, 0)
			sc.Do("write", unix.SYS_WRITE, out, []byte("second "), 7)
			sc.Do("open the door", unix.SYS_WRITE, door, one, 8)
			sc.Do("output", unix.SYS_DUP3, out, 1, 0)
			sc.Exec("/bin/sh", []string{"sh", "-c", "echo $PPID >/dev/null; echo -n shell"}, nil)
		})
		sc.Await("wait at the door", unix.SYS_READ, door, make([]byte, 8), 8)
		sc.Do("wait for the second", unix.SYS_WAIT4, second, 0, 0, 0)
		sc.Do("output", unix.SYS_DUP3, out, 1, 0)
		sc.Exec("/bin/sh", []string{"sh", "-c", "echo ' first'; exit 3"}, nil)
	}, Options{})
	if err != nil || code != 3 || out != "third second shell first\n" {
		t.Errorf("got %q, %d, %v", out, code, err)
	}
	_, code, err = run(t, s, func(sc *Script, _ int) {
		second := sc.Fork("fork", 0, sc.Exit)
		sc.Do("wait for the second", unix.SYS_WAIT4, second, 0, 0, 0)
		null := sc.Do("open", unix.SYS_OPENAT, unix.AT_FDCWD, "/dev/null", unix.O_RDONLY, 0)
		sc.Await("read the end", unix.SYS_READ, null, make([]byte, 8), 8)
		sc.Exit()
	}, Options{})
	var ce *CallError
	if !errors.As(err, &ce) || ce.Does != "read the end" || ce.Errno != syscall.EPIPE || code != 127 {
		t.Errorf("got %v, %d", err, code)
	}
	_, _, err = run(t, s, func(sc *Script, _ int) {
		second := sc.Fork("fork", 0, func() { sc.Do("go to /nowhere", unix.SYS_CHDIR, "/nowhere") })
		sc.Do("wait for the second", unix.SYS_WAIT4, second, 0, 0, 0)
		sc.Do("close what is not open", unix.SYS_CLOSE, 9999)
	}, Options{})
	if !errors.As(err, &ce) || ce.Does != "go to /nowhere" {
		t.Errorf("got %v, want the first failure", err)
	}
}

func TestSaysWhichCallFailed(t *testing.T) {
	s := NewSpawner()
	defer s.Close()
	for _, want := range []struct {
		does  string
		errno syscall.Errno
		build func(sc *Script, out int)
	}{
		{"go to /nowhere", syscall.ENOENT, func(sc *Script, _ int) {
			sc.Do("first", unix.SYS_GETPID)
			sc.Do("go to /nowhere", unix.SYS_CHDIR, "/nowhere")
			sc.Exec("/bin/true", []string{"true"}, nil)
		}},
		{"execute /etc/passwd", syscall.EACCES, func(sc *Script, _ int) { sc.Exec("/etc/passwd", nil, nil) }},
	} {
		_, code, err := run(t, s, want.build, Options{})
		var ce *CallError
		if !errors.As(err, &ce) || ce.Does != want.does || ce.Errno != want.errno || code != 127 {
			t.Errorf("got %v, %d, want %s: %v", err, code, want.does, want.errno)
		}
	}
}

func BenchmarkStart(b *testing.B) {
	s := NewSpawner()
	defer s.Close()
	for b.Loop() {
		_, _, err := run(b, s, func(sc *Script, _ int) {
			for range 100 {
				sc.Do("getpid", unix.SYS_GETPID)
			}
			sc.Exec("/bin/true", []string{"true"}, nil)
		}, Options{})
		if err != nil {
			b.Fatal(err)
		}
	}
}
