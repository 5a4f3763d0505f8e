// Package workertest is the conformance suite of worker drivers, and the program that its
// tests run inside the sandboxes.
//
// A driver's test is: call Main in TestMain, then Suite{...}.Run. The suite knows the contract
// only, and nothing of any one driver.
package workertest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// Suite says how to make the driver under test.
type Suite struct {
	// New returns a driver with a data folder of its own. The suite closes it.
	New func(t testing.TB) worker.Driver
	// Spec fills in how the driver runs the test program: Path, Args, Env, Mounts, RecordDir.
	Spec func(t testing.TB, g Guest) worker.Spec
	// InMemory drivers have no sandbox: isolation, leaks and kernel limits are not asked of them.
	InMemory bool
	// Init: the first process of a sandbox is the driver's own, and the worker sees it.
	Init bool
	// Slow is how many times as long as with processes everything may take; zero: 1.
	Slow int
}

// patience is how long something may take that takes so long at most with processes.
func (s Suite) patience(d time.Duration) time.Duration { return d * time.Duration(max(s.Slow, 1)) }

// Run runs every test of the suite that the driver's capabilities allow.
func (s Suite) Run(t *testing.T) {
	for _, test := range []struct {
		name string
		run  func(*testing.T)
		real bool // asks for a sandbox
	}{
		{"Invoke", s.invoke, false}, {"Start", s.start, false}, {"End", s.end, false}, {"Stop", s.stop, false},
		{"Output", s.output, false}, {"Trace", s.trace, false}, {"Web", s.web, false}, {"Close", s.close, false},
		{"Burst", s.burst, false}, {"Job", s.job, false},
		{"Stream", s.stream, true}, {"Memory", s.memory, true}, {"Limits", s.limits, true}, {"Isolation", s.isolation, true},
		{"Pause", s.pause, true}, {"Trial", s.trial, true}, {"Maps", s.maps, true}, {"Leaks", s.leaks, true},
	} {
		if test.real && s.InMemory {
			continue
		}
		t.Run(test.name, test.run)
	}
}

// RunTrial runs what is asked of trials alone.
func (s Suite) RunTrial(t *testing.T) { t.Run("Trial", s.trial) }

// driver returns a driver that ends with the test.
func (s Suite) driver(t testing.TB) worker.Driver {
	t.Helper()
	d := s.New(t)
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close driver: %v", err)
		}
	})
	return d
}

// spec is the specification of a guest with a new identifier.
func (s Suite) spec(t testing.TB, g Guest) worker.Spec {
	t.Helper()
	spec := s.Spec(t, g)
	spec.ID = ulid.Make().String()
	kind := function.KindProvided
	if g == Web {
		kind = function.KindWeb
	}
	if spec.Revision == nil {
		spec.Revision = &function.Spec{
			ID: function.RevisionID(ulid.Make().String()), Function: "conformance", Version: function.Latest,
			Kind: kind, Handler: string(g), MemoryMiB: 256, TmpMiB: 512, Timeout: 3 * time.Second, Concurrency: 8,
		}
	}
	spec.Rung = "conformance"
	return spec
}

// worker starts a guest that ends with the test.
func (s Suite) worker(t testing.TB, d worker.Driver, spec worker.Spec) worker.Worker {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), s.patience(20*time.Second))
	defer cancel()
	w, err := d.Start(ctx, spec)
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	t.Cleanup(func() {
		if err := w.Stop(context.Background(), 0); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return w
}

func invocation(c Command) *worker.Invocation {
	return &worker.Invocation{
		RequestID: ulid.Make().String(), Payload: c.JSON(), Deadline: time.Now().Add(10 * time.Second),
		FunctionARN: "arn:aws:lambda:us-east-1:000000000000:function:conformance", TraceID: "Root=1-2-3",
	}
}

// callTime is how long a call may take, also in an emulated processor.
const callTime = 3 * time.Minute

// call invokes and expects a Result.
func call(t testing.TB, w worker.Worker, c Command) *worker.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	res, err := w.Invoke(ctx, invocation(c))
	if err != nil {
		t.Fatalf("invoke %+v: %v", c, err)
	}
	return res
}

// ask expects an answer of the handler and decodes it.
func ask[T any](t testing.TB, w worker.Worker, c Command) T {
	t.Helper()
	res := call(t, w, c)
	if res.Outcome != function.OutcomeOK {
		t.Fatalf("invoke %+v: got %v %s", c, res.Outcome, res.Payload)
	}
	var v T
	if err := json.Unmarshal(res.Payload, &v); err != nil {
		t.Fatalf("invoke %+v: %v in %q", c, err, res.Payload)
	}
	return v
}

// refused expects the command to fail inside the sandbox and returns why.
func refused(t testing.TB, w worker.Worker, c Command) string {
	t.Helper()
	res := call(t, w, c)
	if res.Outcome != function.OutcomeHandlerError {
		t.Errorf("%+v: got %v %s, want a refusal", c, res.Outcome, res.Payload)
		return ""
	}
	var doc ErrorDocument
	_ = json.Unmarshal(res.Payload, &doc)
	return doc.ErrorMessage
}

func (s Suite) invoke(t *testing.T) {
	w := s.worker(t, s.driver(t), s.spec(t, Handler))
	for i := range 20 {
		want := fmt.Sprintf("hello %d", i)
		if got := ask[string](t, w, Command{Do: "echo", Text: want}); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	res := call(t, w, Command{Do: "fail", Text: "boom"})
	var doc ErrorDocument
	if err := json.Unmarshal(res.Payload, &doc); err != nil || res.Outcome != function.OutcomeHandlerError ||
		res.ErrorType != "Handler.Error" || doc.ErrorMessage != "boom" {
		t.Errorf("handler error: got %v %q %s", res.Outcome, res.ErrorType, res.Payload)
	}
	if got := ask[string](t, w, Command{Do: "echo", Text: "still here"}); got != "still here" {
		t.Errorf("after a handler error: got %q", got)
	}
	if res := call(t, w, Command{Do: "big", N: 7}); res.Outcome != function.OutcomeTooLarge {
		t.Errorf("7 MiB: got %v, want too-large", res.Outcome)
	}
	if got := ask[string](t, w, Command{Do: "echo", Text: "kept"}); got != "kept" {
		t.Errorf("a worker must be kept after an oversized answer: got %q", got)
	}
	if p := w.Phases(); p.Sandbox < 0 || p.Runtime < 0 || p.Init < 0 {
		t.Errorf("phases are negative: %+v", p)
	}
	if w.ID() == "" {
		t.Error("worker has no identifier")
	}
}

func (s Suite) start(t *testing.T) {
	d := s.driver(t)
	if d.Name() == "" {
		t.Error("driver has no name")
	}
	if err := d.Probe(t.Context()); err != nil {
		t.Fatalf("probe: %v", err)
	}
	fail := func(g Guest, timeout time.Duration) *worker.StartError {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		w, err := d.Start(ctx, s.spec(t, g))
		if err == nil {
			_ = w.Stop(t.Context(), 0)
			t.Fatalf("%s: started", g)
		}
		var se *worker.StartError
		if !errors.As(err, &se) {
			t.Fatalf("%s: got %T %v, want *worker.StartError", g, err, err)
		}
		return se
	}
	if e := fail(InitError, s.patience(20*time.Second)); e.Phase != "init" || !strings.Contains(string(e.InitError), "Init.Boom") {
		t.Errorf("init error: got phase %q, document %s", e.Phase, e.InitError)
	}
	e := fail(ExitAtStart, s.patience(20*time.Second))
	if e.Exit == nil || e.Exit.Code != 7 || !strings.Contains(e.Exit.Stderr, "cannot start") {
		t.Errorf("exit at start: got %+v, exit %+v", e, e.Exit)
	}
	if e := fail(Hang, s.patience(300*time.Millisecond)); !errors.Is(e, context.DeadlineExceeded) {
		t.Errorf("hang: got %v, want deadline exceeded", e)
	}
}

func (s Suite) end(t *testing.T) {
	d := s.driver(t)
	w := s.worker(t, d, s.spec(t, Handler))
	_, err := w.Invoke(t.Context(), invocation(Command{Do: "exit", N: function.ExitMissingMetadata, Text: "missing: com.example.Foo"}))
	var exit *worker.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("exit: got %v, want *worker.ExitError", err)
	}
	if exit.Exit.Code != 172 || exit.Exit.Signal != "" || exit.Exit.Stopped || !strings.Contains(exit.Exit.Stderr, "com.example.Foo") {
		t.Errorf("exit: got %+v", exit.Exit)
	}
	select {
	case <-w.Done():
	case <-time.After(s.patience(5 * time.Second)):
		t.Fatal("a worker that exited is not done")
	}
	if _, err := w.Invoke(t.Context(), invocation(Command{Do: "echo"})); !errors.As(err, &exit) {
		t.Errorf("invoke after the end: got %v, want *worker.ExitError", err)
	}
}

func (s Suite) stop(t *testing.T) {
	d := s.driver(t)
	t.Run("idle", func(t *testing.T) {
		w := s.worker(t, d, s.spec(t, Handler))
		for range 2 {
			if err := w.Stop(t.Context(), 5*time.Second); err != nil {
				t.Fatal(err)
			}
		}
		if e := w.Exit(); !e.Stopped {
			t.Errorf("got %+v, want stopped", e)
		}
		<-w.Done()
	})
	t.Run("busy", func(t *testing.T) { // what the node does at a timeout
		w := s.worker(t, d, s.spec(t, Stubborn))
		got := make(chan error, 1)
		go func() {
			_, err := w.Invoke(context.Background(), invocation(Command{Do: "sleep", N: 60_000}))
			got <- err
		}()
		time.Sleep(50 * time.Millisecond)
		if err := w.Stop(t.Context(), 50*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		var exit *worker.ExitError
		if err := <-got; !errors.As(err, &exit) || !exit.Exit.Stopped {
			t.Errorf("invoke under Stop: got %v, want *worker.ExitError of a stopped worker", err)
		}
	})
	t.Run("given up", func(t *testing.T) {
		w := s.worker(t, d, s.spec(t, Handler))
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := w.Invoke(ctx, invocation(Command{Do: "sleep", N: 60_000})); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want deadline exceeded", err)
		}
	})
	t.Run("concurrently", func(t *testing.T) {
		w := s.worker(t, d, s.spec(t, Handler))
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if err := w.Stop(context.Background(), time.Second); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

func (s Suite) output(t *testing.T) {
	if s.InMemory {
		return
	}
	d := s.driver(t)
	spec := s.spec(t, Handler)
	var out lockedBuffer
	spec.Output = &out
	w := s.worker(t, d, spec)
	call(t, w, Command{Do: "print", Text: "a line", N: 3})
	deadline := time.Now().Add(s.patience(5 * time.Second))
	for out.String() != "a line\na line\na line\n" {
		if time.Now().After(deadline) {
			t.Fatalf("got output %q", out.String())
		}
		time.Sleep(2 * time.Millisecond)
	}

	// A reader that never returns must not hold up the runtime.
	spec = s.spec(t, Handler)
	hold := make(chan struct{})
	spec.Output = writerFunc(func(p []byte) (int, error) { <-hold; return len(p), nil })
	w = s.worker(t, d, spec)
	call(t, w, Command{Do: "print", Text: strings.Repeat("x", 1000), N: 20_000})
	close(hold)
}

func (s Suite) trace(t *testing.T) {
	d := s.driver(t)
	w := s.worker(t, d, s.spec(t, Handler))
	if got, err := w.Trace(t.Context()); err != nil || got != nil {
		t.Errorf("before anything was traced: got %q, %v", got, err)
	}
	for _, want := range []string{`{"a":1}`, `{"a":1,"b":2}`} {
		call(t, w, Command{Do: "trace", Text: want})
		if got, err := w.Trace(t.Context()); err != nil || string(got) != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	_, _ = w.Invoke(t.Context(), invocation(Command{Do: "exit", N: 1}))
	<-w.Done()
	if got, err := w.Trace(t.Context()); err != nil || string(got) != `{"a":1,"b":2}` {
		t.Errorf("after the runtime's end: got %q, %v", got, err)
	}
	if s.InMemory {
		return
	}
	for name, c := range map[string]Command{
		"link":  {Do: "link", Text: "/etc/passwd"},
		"large": {Do: "write", Text: "/trace/reachability-metadata.json", N: 65 << 20},
	} {
		w := s.worker(t, d, s.spec(t, Handler))
		call(t, w, c)
		if got, err := w.Trace(t.Context()); err == nil {
			t.Errorf("%s: hostile trace was read: %d bytes", name, len(got))
		}
	}
}

func (s Suite) web(t *testing.T) {
	w := s.worker(t, s.driver(t), s.spec(t, Web))
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://fn.example/echo/a%20b?q=1", strings.NewReader("body"))
	res, err := w.HTTP().RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err != nil || res.StatusCode != http.StatusTeapot || string(body) != "body" ||
		res.Header.Get("X-Path") != "/echo/a%20b?q=1" || res.Header.Get("X-Method") != http.MethodPut {
		t.Errorf("got %d %q %v, %v", res.StatusCode, body, res.Header, err)
	}
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			want := fmt.Sprint("body ", i)
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://fn.example/echo/", strings.NewReader(want))
			res, err := w.HTTP().RoundTrip(req)
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			if got, _ := io.ReadAll(res.Body); string(got) != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	wg.Wait()
}

func (s Suite) close(t *testing.T) {
	d := s.driver(t)
	w := s.worker(t, d, s.spec(t, Handler))
	for range 2 {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-w.Done():
	default:
		t.Error("a worker survived Close")
	}
	if _, err := d.Start(t.Context(), s.spec(t, Handler)); !errors.Is(err, worker.ErrClosed) {
		t.Errorf("start after close: got %v, want ErrClosed", err)
	}
}

// burst starts many at once, some of which are given up.
func (s Suite) burst(t *testing.T) {
	d := s.driver(t)
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), s.patience(30*time.Second))
			defer cancel()
			if i%3 == 0 {
				ctx, cancel = context.WithTimeout(ctx, time.Duration(i)*time.Millisecond)
				defer cancel()
			}
			w, err := d.Start(ctx, s.spec(t, Handler))
			if err != nil {
				if i%3 != 0 {
					t.Errorf("start %d: %v", i, err)
				}
				return
			}
			defer w.Stop(context.Background(), 0)
			if res, err := w.Invoke(context.Background(), invocation(Command{Do: "echo", Text: "hi"})); err != nil || string(res.Payload) != `"hi"` {
				t.Errorf("invoke %d: %v", i, err)
			}
		})
	}
	wg.Wait()
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}
func (l *lockedBuffer) String() string { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
