package workertest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
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
		for end := time.Now().Add(200 * time.Millisecond); time.Now().Before(end); {
			kept[0][0]++
		}
		time.Sleep(150 * time.Millisecond) // longer than any driver waits between two looks
	case JobGreedy:
		kept = append(kept, touch(300<<20))
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

// job asks of drivers that run jobs what the contract says of them.
func (s Suite) job(t *testing.T) {
	d := s.driver(t)
	runner, ok := d.(worker.Runner)
	if !ok {
		t.Skip("CAPABILITY worker.Runner IS LACKING IN THIS DRIVER")
	}
	run := func(t *testing.T, g Guest, change func(*worker.Spec)) *worker.Finished {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
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
	t.Run("cost", func(t *testing.T) {
		before := count(t)
		f := run(t, JobBusy, nil)
		if f.Exit.Code != 0 || f.CPU < 100*time.Millisecond || f.CPU > 5*time.Second || f.PeakRSS < 64<<20 || f.PeakRSS > 256<<20 || f.Wall < 350*time.Millisecond {
			t.Errorf("got %+v, want code 0, some 200 ms of CPU and 64 MiB", f)
		}
		after := count(t)
		for end := time.Now().Add(5 * time.Second); after.processes > before.processes && time.Now().Before(end); after = count(t) {
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
