package workertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// The tests of this file ask for what only a real sandbox has.

type collector struct {
	contentType string
	writes      int
	got         strings.Builder
}

func (c *collector) Start(contentType string)          { c.contentType = contentType }
func (c *collector) Write(p []byte) (n int, err error) { c.writes++; return c.got.Write(p) }

func (s Suite) stream(t *testing.T) {
	w := s.worker(t, s.driver(t), s.spec(t, Handler))
	inv := invocation(Command{Do: "stream", Text: "chunk.", N: 4})
	var c collector
	inv.Stream = &c
	res, err := w.Invoke(t.Context(), inv)
	if err != nil || !res.Streamed || c.got.String() != "chunk.chunk.chunk.chunk." || c.contentType != "text/plain" || c.writes < 2 {
		t.Errorf("got %+v, %v, %q in %d writes of %q", res, err, c.got.String(), c.writes, c.contentType)
	}
	res = call(t, w, Command{Do: "stream", Text: "ab", N: 3}) // collected
	if string(res.Payload) != "ababab" || res.Streamed {
		t.Errorf("got %+v", res)
	}
	inv = invocation(Command{Do: "stream", Text: "break", N: 2})
	inv.Stream = &collector{}
	res, err = w.Invoke(t.Context(), inv)
	if err != nil || res.Outcome != function.OutcomeHandlerError || res.ErrorType != "Stream.Broken" {
		t.Errorf("error in the trailers: got %+v, %v", res, err)
	}
	if got := ask[string](t, w, Command{Do: "echo", Text: "after"}); got != "after" {
		t.Errorf("after streams: got %q", got)
	}
}

func (s Suite) memory(t *testing.T) {
	w := s.worker(t, s.driver(t), s.spec(t, Handler))
	before, err := w.Memory(t.Context())
	if err != nil || before.PSS <= 0 || before.RSS < before.PSS {
		t.Fatalf("got %+v, %v", before, err)
	}
	call(t, w, Command{Do: "allocate", N: 32})
	after, err := w.Memory(t.Context())
	if err != nil || after.PSS-before.PSS < 24<<20 { // some of it may have been there already
		t.Errorf("32 MiB more: got %+v after %+v, %v", after, before, err)
	}
}

func (s Suite) limits(t *testing.T) {
	d := s.driver(t)
	caps := d.Capabilities()
	t.Run("memory", func(t *testing.T) {
		if !caps.MemoryLimit {
			t.Skip("CAPABILITY memoryLimit IS LACKING HERE: " + strings.Join(caps.Weaker, " "))
		}
		spec := s.spec(t, Handler)
		spec.Limits.MemoryMiB = 128
		w := s.worker(t, d, spec)
		_, err := w.Invoke(t.Context(), invocation(Command{Do: "allocate", N: 300}))
		var exit *worker.ExitError
		if !errors.As(err, &exit) || !exit.Exit.OutOfMemory {
			t.Errorf("got %v (%+v), want out of memory", err, exit)
		}
	})
	t.Run("all of it", func(t *testing.T) { // a worker has what it was promised
		spec := s.spec(t, Handler)
		spec.Limits.MemoryMiB = 512
		w := s.worker(t, d, spec)
		call(t, w, Command{Do: "allocate", N: 440})
		ask[string](t, w, Command{Do: "echo", Text: "on"})
	})
	t.Run("plain exit", func(t *testing.T) {
		if !caps.MemoryLimit {
			t.Skip("CAPABILITY memoryLimit IS LACKING HERE: " + strings.Join(caps.Weaker, " "))
		}
		spec := s.spec(t, Handler)
		w := s.worker(t, d, spec)
		_, err := w.Invoke(t.Context(), invocation(Command{Do: "exit", N: 1}))
		var exit *worker.ExitError
		if !errors.As(err, &exit) || exit.Exit.OutOfMemory {
			t.Errorf("a plain exit is no out-of-memory: got %v", err)
		}
	})
	t.Run("sockets", func(t *testing.T) {
		if !caps.SocketLimit {
			t.Skip("CAPABILITY socketLimit IS LACKING HERE: " + strings.Join(caps.Weaker, " "))
		}
		spec := s.spec(t, Handler)
		spec.Limits.MemoryMiB = 128
		w := s.worker(t, d, spec)
		// Without a bound some 3 MiB go into each of them.
		res, err := w.Invoke(t.Context(), invocation(Command{Do: "stuff", Text: "tcp", N: 150}))
		var exit *worker.ExitError
		if err != nil && (!errors.As(err, &exit) || !exit.Exit.OutOfMemory) {
			t.Fatal(err)
		}
		if n := int64(0); err == nil && (json.Unmarshal(res.Payload, &n) != nil || n > 128<<20) {
			t.Errorf("%s bytes are in the buffers of a worker with 128 MiB", res.Payload)
		}
		if err == nil { // it serves on
			ask[string](t, w, Command{Do: "echo", Text: "on"})
		}
	})
	t.Run("tmp", func(t *testing.T) {
		spec := s.spec(t, Handler)
		spec.Limits.TmpMiB = 8
		w := s.worker(t, d, spec)
		if why := refused(t, w, Command{Do: "fill", Text: "/tmp/big", N: 16}); !strings.Contains(why, "no space") {
			t.Errorf("got %q, want no space", why)
		}
		ask[string](t, w, Command{Do: "fill", Text: "/tmp/small", N: 4})
	})
	t.Run("processes", func(t *testing.T) {
		spec := s.spec(t, Handler)
		spec.Limits.PIDs = 64
		w := s.worker(t, d, spec)
		if got := ask[int](t, w, Command{Do: "fork", N: 100}); got >= 64 {
			t.Errorf("%d children under a limit of 64", got)
		}
	})
}

func (s Suite) isolation(t *testing.T) {
	d := s.driver(t)
	if caps := d.Capabilities(); !caps.Isolated {
		t.Skip("CAPABILITY isolated IS LACKING HERE: " + strings.Join(caps.Weaker, " "))
	}
	w := s.worker(t, d, s.spec(t, Handler))

	t.Run("identity", func(t *testing.T) {
		id := ask[map[string]any](t, w, Command{Do: "id"})
		host, _ := os.Hostname()
		if id["uid"] == float64(0) || (id["pid"].(float64) > 9) != s.Init || id["host"] == host {
			t.Errorf("got %v", id)
		}
		status := ask[string](t, w, Command{Do: "read", Text: "/proc/self/status"})
		for _, want := range []string{"NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "CapPrm:\t0000000000000000"} {
			if !strings.Contains(status, want) {
				t.Errorf("lacks %q in:\n%s", want, status)
			}
		}
		for _, ns := range []string{"user", "mnt", "pid", "net", "ipc", "uts"} {
			mine, _ := os.Readlink("/proc/self/ns/" + ns)
			link := ask[string](t, w, Command{Do: "readlink", Text: "/proc/self/ns/" + ns})
			if link == mine || link == "" {
				t.Errorf("shares the %s namespace", ns)
			}
		}
	})
	t.Run("processes", func(t *testing.T) {
		count := func() (n int) {
			for _, name := range ask[[]string](t, w, Command{Do: "list", Text: "/proc"}) {
				if name[0] >= '0' && name[0] <= '9' {
					n++
				}
			}
			return n
		}
		want := 1
		if s.Init {
			want = 2
		}
		n := count()
		for range 20 { // what made the worker may be about to end
			if n <= want {
				break
			}
			time.Sleep(50 * time.Millisecond)
			n = count()
		}
		if n != want {
			t.Errorf("sees %d processes, want %d", n, want)
		}
	})
	t.Run("files", func(t *testing.T) {
		secret := t.TempDir() + "/secret"
		if err := os.WriteFile(secret, []byte("s"), 0o644); err != nil {
			t.Fatal(err)
		}
		refused(t, w, Command{Do: "read", Text: secret})
		refused(t, w, Command{Do: "read", Text: "/etc/shadow"})
		refused(t, w, Command{Do: "list", Text: "/root"})
		refused(t, w, Command{Do: "list", Text: "/sys/fs/cgroup"})
		refused(t, w, Command{Do: "read", Text: "/proc/1/root" + secret})
		for _, path := range []string{"/x", "/usr/x", "/etc/x", "/etc/passwd", "/var/task/x", "/dev/x", "/proc/sys/kernel/hostname", "/proc/sysrq-trigger"} {
			refused(t, w, Command{Do: "write", Text: path})
		}
		for _, path := range []string{"/tmp/x", "/dev/shm/x", "/dev/null"} {
			ask[string](t, w, Command{Do: "write", Text: path})
		}
	})
	t.Run("network", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		refused(t, w, Command{Do: "dial", Text: l.Addr().String()})
		refused(t, w, Command{Do: "dial", Text: "192.0.2.1:80"})
	})
	t.Run("privileges", func(t *testing.T) {
		for _, name := range []string{"mount", "unshare-user", "clone-user", "setuid-root", "ptrace", "raw-socket", "packet-socket", "hostname", "chroot", "mknod", "keyring", "bpf", "parent-death"} {
			if why := refused(t, w, Command{Do: "syscall", Text: name}); strings.Contains(why, "no such trial") {
				t.Error(why)
			}
		}
	})
	t.Run("each other", func(t *testing.T) {
		other := s.worker(t, d, s.spec(t, Handler))
		call(t, other, Command{Do: "write", Text: "/tmp/mine"})
		refused(t, w, Command{Do: "read", Text: "/tmp/mine"})
	})
}

// pause asks of workers that can be paused that nothing of them runs then, and that they are what they were after.
func (s Suite) pause(t *testing.T) {
	d := s.driver(t)
	w := s.worker(t, d, s.spec(t, Handler))
	p, ok := w.(worker.Pauser)
	if !ok {
		t.Skip("CAPABILITY worker.Pauser IS LACKING IN THIS DRIVER")
	}
	clock, ok := w.(worker.Clocker)
	if !ok {
		t.Fatal("a worker that can be paused must know its CPU time")
	}
	do := func(f func() error) {
		t.Helper()
		for range 2 { // both are idempotent
			if err := f(); err != nil {
				t.Fatal(err)
			}
		}
	}
	call(t, w, Command{Do: "spin", N: 2})
	for end := time.Now().Add(10 * time.Second); clock.CPU() < 50*time.Millisecond; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it computes, and took %v of CPU time", clock.CPU())
		}
	}
	do(p.Pause)
	// What waits for a processor must get one to stop.
	took := time.Duration(1)
	for end := time.Now().Add(5 * time.Second); took > 0 && time.Now().Before(end); {
		before := clock.CPU()
		time.Sleep(100 * time.Millisecond)
		took = clock.CPU() - before
	}
	if took > 0 {
		t.Errorf("paused, it took %v of CPU time in 100 ms", took)
	}
	if m, err := w.Memory(t.Context()); err != nil || m.PSS == 0 {
		t.Errorf("memory of a paused worker: %+v, %v", m, err)
	}
	do(p.Resume)
	if got := ask[int64](t, w, Command{Do: "spun"}); got == 0 {
		t.Error("it has forgotten what it did")
	}
	for range 20 {
		do(p.Pause)
		do(p.Resume)
		if got := ask[string](t, w, Command{Do: "echo", Text: "back"}); got != "back" {
			t.Fatalf("got %q", got)
		}
	}
	// A paused worker hears SIGTERM, and nothing holds up the end of one that does not.
	for guest, want := range map[Guest]int{Handler: 143, Stubborn: -1} {
		w := s.worker(t, d, s.spec(t, guest))
		do(w.(worker.Pauser).Pause)
		began := time.Now()
		if err := w.Stop(t.Context(), 300*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if e := w.Exit(); !e.Stopped || e.Code != want || time.Since(began) > 3*time.Second {
			t.Errorf("%s: got %+v after %v, want code %d", guest, e, time.Since(began), want)
		}
		do(w.(worker.Pauser).Pause)
		do(w.(worker.Pauser).Resume)
	}
	// One that ends while it is paused, as at the kernel's hand, is noticed.
	w = s.worker(t, d, s.spec(t, Handler))
	do(w.(worker.Pauser).Pause)
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	<-w.Done()
}

// trial asks for a worker without a network, also of a driver that gives its workers the host's.
func (s Suite) trial(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	spec := s.spec(t, Handler)
	spec.Trial = true
	w := s.worker(t, s.driver(t), spec)
	refused(t, w, Command{Do: "dial", Text: l.Addr().String()})
	if got := ask[string](t, w, Command{Do: "echo", Text: "a trial"}); got != "a trial" {
		t.Errorf("got %q", got)
	}
}

// maps asks which files the runtime has in its memory.
func (s Suite) maps(t *testing.T) {
	w := s.worker(t, s.driver(t), s.spec(t, Handler))
	m, ok := w.(worker.Mapper)
	if !ok {
		t.Skip("CAPABILITY worker.Mapper IS LACKING IN THIS DRIVER")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	other := t.TempDir() + "/guest"
	if err := os.WriteFile(other, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]bool{exe: true, other: false} {
		if got, err := m.Maps(file); err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", file, got, err, want)
		}
	}
	_ = w.Stop(t.Context(), 0)
	if got, err := m.Maps(exe); err == nil {
		t.Errorf("after the end: got %v, want an error", got)
	}
}

// leaks counts what the test process and the machine hold before and after many workers.
func (s Suite) leaks(t *testing.T) {
	d := s.driver(t)
	use := func() {
		w, err := d.Start(t.Context(), s.spec(t, Stubborn))
		if err != nil {
			t.Fatal(err)
		}
		call(t, w, Command{Do: "children", N: 3})
		if err := w.Stop(context.Background(), 0); err != nil {
			t.Fatal(err)
		}
		_, _ = d.Start(t.Context(), s.spec(t, ExitAtStart))
	}
	use()
	before := count(t)
	for range 5 {
		use()
	}
	deadline := time.Now().Add(5 * time.Second)
	after := count(t)
	for after != before && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
		after = count(t)
	}
	if after.processes > before.processes || after.mounts > before.mounts || after.files > before.files || after.goroutines > before.goroutines {
		t.Errorf("leaks: %+v before, %+v after", before, after)
	}
}

// holdings are what a leak would let grow.
type holdings struct{ processes, mounts, files, goroutines int }

func count(t *testing.T) holdings {
	t.Helper()
	var h holdings
	procs, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range procs {
		// Only processes of this test binary's name: others come and go on the machine.
		if cmd, err := os.ReadFile(fmt.Sprintf("/proc/%s/environ", p.Name())); err == nil && strings.Contains(string(cmd), Env+"=") {
			h.processes++
		}
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	h.mounts = strings.Count(string(mounts), "\n")
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	h.files = len(fds)
	h.goroutines = runtime.NumGoroutine()
	return h
}

// Take lets a Handler make as many of something that the kernel counts as it can, a thousand at most, and keep
// them: "inotify" instances, "pipe"s, "mqueue"s or "aio" contexts. It returns how many.
func Take(t testing.TB, w worker.Worker, what string) int {
	t.Helper()
	return ask[int](t, w, Command{Do: "take", Text: what, N: 1000})
}

// Lock lets a Handler lock a file exclusively, and keep it; it returns why it could not, empty if it could.
func Lock(t testing.TB, w worker.Worker, file string) string {
	t.Helper()
	res := call(t, w, Command{Do: "lock", Text: file})
	if res.Outcome == function.OutcomeOK {
		return ""
	}
	return string(res.Payload)
}

// Open lets the workers' users into folders of a test, as a server's folders do.
func Open(t testing.TB, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		for ; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// List lets a Handler list a folder.
func List(t testing.TB, w worker.Worker, dir string) []string {
	t.Helper()
	return ask[[]string](t, w, Command{Do: "list", Text: dir})
}

// Watch lets a Handler watch files while something happens, and returns how many events it saw.
func Watch(t testing.TB, w worker.Worker, files []string, happens func()) int {
	t.Helper()
	for _, file := range files {
		ask[string](t, w, Command{Do: "watch", Text: file})
	}
	ask[int](t, w, Command{Do: "seen"}) // of its own doing
	happens()
	return ask[int](t, w, Command{Do: "seen"})
}
