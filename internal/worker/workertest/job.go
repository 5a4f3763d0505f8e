package workertest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/worker"
)

// job is the test program as a job. It returns its exit code.
func job(g Guest) int {
	switch g {
	case JobExit:
		fmt.Println("a job")
		fmt.Fprintln(os.Stderr, "its reason")
		return 5
	case JobHang:
		signal.Ignore(syscall.SIGTERM)
		time.Sleep(time.Hour)
	case JobBusy:
		_, err := do(Command{Do: "children", N: 3}, nil)
		must(err)
		kept = append(kept, touch(64<<20))
		for used := (syscall.Rusage{}); used.Utime.Nano() < int64(200*time.Millisecond); {
			for range 1000 {
				kept[0][0]++
			}
			must(syscall.Getrusage(syscall.RUSAGE_SELF, &used))
		}
		time.Sleep(150 * time.Millisecond) // longer than any driver waits between two looks
	case JobGreedy:
		kept = append(kept, touch(300<<20))
	case JobLeave:
		if err := leave(os.Getenv(LeaveEnv)); err != nil {
			fmt.Println(err)
			return 3
		}
	case JobCurious:
		// A network that is up has a route; an unreachable address answers at once without one.
		conn, err := net.DialTimeout("tcp", "192.0.2.1:80", 200*time.Millisecond)
		if err == nil {
			conn.Close()
		}
		var timeout net.Error
		if err == nil || errors.As(err, &timeout) && timeout.Timeout() {
			fmt.Println("there is a way to the network")
			return 0
		}
		for _, name := range []string{"AWS_LAMBDA_RUNTIME_API", "PORT"} {
			if os.Getenv(name) != "" {
				fmt.Println("told of", name)
				return 0
			}
		}
		if os.WriteFile("/usr/x", nil, 0o644) == nil || os.WriteFile("/var/task/x", nil, 0o644) == nil {
			fmt.Println("can write outside of /tmp")
			return 0
		}
		return 1
	}
	return 0
}

// leave makes in /out what comes out of a sandbox, or must not.
func leave(what string) error {
	const name = "/out/made"
	write := func(name, text string) error { return os.WriteFile(name, []byte(text), 0o600) }
	switch what {
	case "files":
		return errors.Join(write(name, "it"), write("/out/made.so", "too"), write("/out/other", "not wanted"), os.Symlink("/etc", "/out/link"))
	case "tree":
		return errors.Join(os.MkdirAll("/out/a/b", 0o700), write("/out/a/b/c", "deep"), os.WriteFile("/out/run", nil, 0o755))
	case "nothing":
		return nil
	case "link":
		return os.Symlink("/etc/passwd", name)
	case "link below":
		return errors.Join(os.Mkdir("/out/a", 0o700), os.Symlink("/etc/passwd", "/out/a/made"))
	case "pipe":
		return syscall.Mkfifo(name, 0o666)
	case "folder":
		return os.Mkdir(name, 0o700)
	case "odd name":
		return write("/out/made\n.so", "x")
	case "sparse":
		return errors.Join(write(name, "x"), os.Truncate(name, 1<<40))
	case "links to one":
		for i := range 20 {
			if err := errors.Join(write(name, strings.Repeat("x", 1<<20)), os.Link(name, fmt.Sprint("/out/", i, ".so"))); err != nil {
				return err
			}
		}
	case "deep":
		path := "/out"
		for range 100 {
			path += "/d"
			if err := os.Mkdir(path, 0o700); err != nil {
				return err
			}
		}
	case "much":
		return write(name, strings.Repeat("x", 32<<20))
	case "many":
		for i := range 200 {
			if err := write(fmt.Sprint(name, i), ""); err != nil {
				return err
			}
		}
	}
	return nil
}

// folders asks what comes out of a job's folders.
func (s Suite) folders(t *testing.T, d worker.Driver) {
	run := func(t *testing.T, what string, names ...string) (*worker.Finished, string, error) {
		t.Helper()
		spec := s.spec(t, JobLeave)
		spec.Env = append(spec.Env, LeaveEnv+"="+what)
		to := t.TempDir()
		spec.Folders = []worker.Folder{{Target: "/scratch"}, {Target: "/out", MiB: 8, Files: 128, Keep: to, Names: names}}
		f, err := d.(worker.Runner).Run(t.Context(), spec)
		if f == nil {
			t.Fatalf("%s: %v", what, err)
		}
		return f, to, err
	}
	for what, test := range map[string]struct {
		names []string
		want  string
	}{
		"files":   {[]string{"made", "*.so"}, "made:-rw-r--r--:it made.so:-rw-r--r--:too"},
		"tree":    {[]string{"**"}, "a/b/c:-rw-r--r--:deep run:-rwxr-xr-x:"},
		"nothing": {[]string{"made"}, ""},
	} {
		t.Run(what, func(t *testing.T) {
			f, to, err := run(t, what, test.names...)
			if err != nil || f.Exit.Code != 0 {
				t.Fatalf("got %+v, %v", f, err)
			}
			if got := contents(t, to); got != test.want {
				t.Errorf("kept %q, want %q", got, test.want)
			}
		})
	}
	for _, what := range []string{"link", "link below", "pipe", "folder", "odd name", "sparse", "links to one", "deep"} {
		t.Run(what, func(t *testing.T) {
			names := []string{"made*", "*.so"}
			if what == "link below" || what == "deep" {
				names = []string{"**"}
			}
			f, to, err := run(t, what, names...)
			var refused *worker.KeepError
			if f.Exit.Code != 0 || !errors.As(err, &refused) || refused.Reason == "" {
				t.Errorf("got %+v, %v, want *worker.KeepError", f, err)
			}
			if got := contents(t, to); strings.Contains(got, "root:") || len(got) > 10<<20 {
				t.Errorf("kept %.100q", got)
			}
		})
	}
	for _, what := range []string{"much", "many"} {
		t.Run("too "+what, func(t *testing.T) {
			var out lockedBuffer
			spec := s.spec(t, JobLeave)
			spec.Env, spec.Output = append(spec.Env, LeaveEnv+"="+what), &out
			spec.Folders = []worker.Folder{{Target: "/out", MiB: 8, Files: 128}}
			if f, err := d.(worker.Runner).Run(t.Context(), spec); err != nil || f.Exit.Code != 3 || !strings.Contains(out.String(), "no space") {
				t.Errorf("got %+v, %v, %q, want no space", f, err, out.String())
			}
		})
	}
}

// contents lists the files below a folder with their modes and contents.
func contents(t *testing.T, dir string) string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		text, err := os.ReadFile(p)
		all = append(all, strings.TrimPrefix(p, dir+"/")+":"+info.Mode().String()+":"+string(text))
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return strings.Join(all, " ")
}

// job asks of drivers that run jobs what the contract says of them.
func (s Suite) job(t *testing.T) {
	d := s.driver(t)
	runner, ok := d.(worker.Runner)
	if !ok {
		t.Skip("CAPABILITY worker.Runner IS LACKING IN THIS DRIVER")
	}
	run := func(t *testing.T, g Guest, change func(*worker.Spec)) *worker.Finished {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), s.patience(20*time.Second))
		defer cancel()
		spec := s.spec(t, g)
		if change != nil {
			change(&spec)
		}
		f, err := runner.Run(ctx, spec)
		if err != nil {
			t.Fatalf("run %s: %v", g, err)
		}
		return f
	}
	t.Run("exit", func(t *testing.T) {
		var out lockedBuffer
		f := run(t, JobExit, func(spec *worker.Spec) { spec.Output = &out })
		if f.Exit.Code != 5 || f.Exit.Stopped || !strings.Contains(f.Exit.Stderr, "its reason") || f.Wall <= 0 {
			t.Errorf("got %+v", f)
		}
		if !s.InMemory && (!strings.Contains(out.String(), "a job") || !strings.Contains(out.String(), "its reason")) {
			t.Errorf("output: got %q", out.String())
		}
	})
	t.Run("given up", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if f, err := runner.Run(ctx, s.spec(t, JobHang)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %+v, %v, want deadline exceeded", f, err)
		}
		if f, err := runner.Run(ctx, s.spec(t, JobExit)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("started after the end of ctx: got %+v, %v", f, err)
		}
	})
	if !s.InMemory {
		s.jobInSandbox(t, d, run)
	}
	t.Run("close", func(t *testing.T) {
		ended := make(chan error, 1)
		spec := s.spec(t, JobHang)
		go func() {
			_, err := runner.Run(context.Background(), spec)
			ended <- err
		}()
		time.Sleep(100 * time.Millisecond)
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, worker.ErrClosed) {
			t.Errorf("under Close: got %v, want ErrClosed", err)
		}
		if _, err := runner.Run(t.Context(), s.spec(t, JobExit)); !errors.Is(err, worker.ErrClosed) {
			t.Errorf("after Close: got %v, want ErrClosed", err)
		}
	})
}

func (s Suite) jobInSandbox(t *testing.T, d worker.Driver, run func(*testing.T, Guest, func(*worker.Spec)) *worker.Finished) {
	t.Run("no program", func(t *testing.T) {
		spec := s.spec(t, JobExit)
		spec.Path = "/var/task/none"
		var failed *worker.StartError
		if f, err := d.(worker.Runner).Run(t.Context(), spec); !errors.As(err, &failed) {
			t.Errorf("got %+v, %v, want *worker.StartError", f, err)
		}
	})
	t.Run("folders", func(t *testing.T) { s.folders(t, d) })
	t.Run("cost", func(t *testing.T) {
		before := count(t)
		f := run(t, JobBusy, nil)
		if f.Exit.Code != 0 || f.CPU < 100*time.Millisecond || f.CPU > s.patience(5*time.Second) || f.PeakRSS < 64<<20 || f.PeakRSS > 256<<20 || f.Wall < 350*time.Millisecond {
			t.Errorf("got %+v, want code 0, some 200 ms of CPU and 64 MiB", f)
		}
		after := count(t)
		for end := time.Now().Add(5 * time.Second); (after.processes > before.processes || after.files > before.files) && time.Now().Before(end); after = count(t) {
			time.Sleep(10 * time.Millisecond)
		}
		if after.processes > before.processes || after.mounts > before.mounts || after.files > before.files {
			t.Errorf("a job leaves something behind: %+v before, %+v after", before, after)
		}
	})
	t.Run("memory", func(t *testing.T) {
		if caps := d.Capabilities(); !caps.MemoryLimit {
			t.Skip("CAPABILITY memoryLimit IS LACKING HERE: " + strings.Join(caps.Weaker, " "))
		}
		if f := run(t, JobGreedy, func(spec *worker.Spec) { spec.Limits.MemoryMiB = 128 }); !f.Exit.OutOfMemory {
			t.Errorf("got %+v, want out of memory", f)
		}
	})
	t.Run("isolation", func(t *testing.T) {
		var out lockedBuffer
		if f := run(t, JobCurious, func(spec *worker.Spec) { spec.Output = &out }); f.Exit.Code != 1 {
			t.Errorf("got %+v: %s", f, out.String())
		}
	})
}
