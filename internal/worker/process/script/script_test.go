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
