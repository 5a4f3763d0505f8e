package node

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/logs"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/store"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/fake"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const traced = `{"reflection":[{"type":"a.B","methods":[{"name":"<init>","parameterTypes":[]}]}]}`

// missing is what a binary says when it meets a class without metadata.
const missing = "Cannot reflectively access type 'a.Unseen'. To allow this operation, add the following to the 'reflection' section of " +
	"'reachability-metadata.json' and rebuild the native image:\n\n  {\n    \"type\": \"a.Unseen\"\n  }\n\n"

// rungs is a program that takes as long to start as its rung does.
func rungs(s worker.Spec) fake.Program {
	p := fake.Program{Sandbox: 2 * time.Millisecond, Handler: echo(400 * time.Millisecond)}
	switch {
	case records(s) == "metadata":
		p.Runtime, p.Trace = 800*time.Millisecond, func() []byte { return []byte(traced) }
	case s.Rung == ladder.HotSpot:
		p.Runtime = 500 * time.Millisecond
	default:
		p.Runtime = 15 * time.Millisecond
	}
	return p
}

// phase is where the first binary of a revision stands.
func phase(v RevisionView) string {
	for _, r := range v.Ladder {
		if r.Rung == ladder.Native {
			return r.Phase.String()
		}
	}
	return ""
}

func echo(d time.Duration) func(context.Context, *worker.Invocation) (*worker.Result, error) {
	return func(ctx context.Context, inv *worker.Invocation) (*worker.Result, error) {
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		return &worker.Result{Outcome: function.OutcomeOK, Payload: inv.Payload}, nil
	}
}

// TestPipeline drives one function from its first invocation to native, deoptimizes it, and brings
// it back: every answer is right.
func TestPipeline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var meets atomic.Bool
		w := open(t, &world{program: func(s worker.Spec) fake.Program {
			p := rungs(s)
			if s.Rung == ladder.Native {
				run := p.Handler
				p.Handler = func(ctx context.Context, inv *worker.Invocation) (*worker.Result, error) {
					if meets.Load() && string(inv.Payload) == "rare" {
						return nil, &worker.ExitError{Exit: worker.Exit{Code: function.ExitMissingMetadata, Stderr: missing}}
					}
					return run(ctx, inv)
				}
			}
			return p
		}}, nil)
		defer w.Close()
		id := w.deploy(t, "hello", nil)

		got := w.burst(t, id, 5)
		if want := map[function.Rung]int{ladder.HotSpot: 5}; !cmp.Equal(got, want) {
			t.Errorf("first burst ran on %v, want %v", got, want)
		}
		time.Sleep(5 * time.Second) // the tracer's findings are read
		if v, _ := w.Revision(t.Context(), id); phase(v) != "building" {
			t.Errorf("after the burst: %+v, want a build", v)
		}
		w.burst(t, id, 5)
		time.Sleep(time.Minute)
		v, _ := w.Revision(t.Context(), id)
		if phase(v) != "ready" || v.Rung != ladder.Native {
			t.Fatalf("after the build: %+v, want native", v)
		}
		if got := w.burst(t, id, 20); got[ladder.Native] == 0 {
			t.Errorf("after the build ran on %v", got)
		}

		meets.Store(true)
		time.Sleep(time.Hour) // all workers expire
		res := w.call(t, id, "rare")
		if res.Outcome != function.OutcomeOK || string(res.Payload) != "rare" || res.Rung != ladder.HotSpot {
			t.Errorf("the invocation that deoptimized: %+v, want the right answer of a tracing worker", res)
		}
		v, _ = w.Revision(t.Context(), id)
		if v.Rung != ladder.HotSpot || v.Recording != ladder.RecordingNone || v.Deoptimizations != 1 || v.Ladder[1].NotBefore == nil {
			t.Errorf("after the deoptimization: %+v", v)
		}
		doc, version, _ := w.state.Metadata(t.Context(), id, 0)
		if version.Number != 2 || !strings.Contains(string(doc), "a.Unseen") {
			t.Errorf("metadata version %d after the deoptimization: %s, want the missing type in it", version.Number, doc)
		}
		meets.Store(false) // the new binary has what it lacked
		for range 4 {
			w.burst(t, id, 6)
			time.Sleep(11 * time.Minute)
		}
		if v, _ = w.Revision(t.Context(), id); v.Rung != ladder.Native {
			t.Errorf("in the end: %+v, want native again", v)
		}
		if err := w.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		w.Close()
		want := []string{
			"metadata: absent -record-> recording",
			"native: absent -promoted-> queued",
			"native: queued -build-started-> building",
			"native: building -built-> checking",
			"native: checking -checked-> ready",
			"metadata: recording -recorded-> recorded",
			"native: ready -deoptimized-> failed",
			"metadata: recorded -record-> recording",
		}
		history := w.state.history(id)
		if diff := cmp.Diff(want, history[:min(len(history), len(want))]); diff != "" {
			t.Errorf("history (-want +got):\n%s", diff)
		}
		if w.driver.Alive() != 0 {
			t.Errorf("%d workers are left", w.driver.Alive())
		}
	})
}

// TestOutcomes: what the function does wrong is in the result, and costs the next caller nothing.
func TestOutcomes(t *testing.T) {
	exit := func(e worker.Exit) fake.Program {
		return fake.Program{Handler: func(context.Context, *worker.Invocation) (*worker.Result, error) {
			return nil, &worker.ExitError{Exit: e}
		}}
	}
	for _, tt := range []struct {
		name    string
		program fake.Program
		want    function.Outcome
	}{
		{"ok", fake.Program{}, function.OutcomeOK},
		{"handler error", fake.Program{Handler: func(context.Context, *worker.Invocation) (*worker.Result, error) {
			return &worker.Result{Outcome: function.OutcomeHandlerError, Payload: []byte(`{"errorType":"E"}`)}, nil
		}}, function.OutcomeHandlerError},
		{"timeout", fake.Program{Handler: echo(time.Hour)}, function.OutcomeTimeout},
		{"crash", exit(worker.Exit{Code: 1}), function.OutcomeCrashed},
		{"out of memory", exit(worker.Exit{Code: -1, Signal: "killed", OutOfMemory: true}), function.OutcomeOutOfMemory},
		{"172 on HotSpot is a crash", exit(worker.Exit{Code: 172}), function.OutcomeCrashed},
		{"init error", fake.Program{StartErr: &worker.StartError{
			Phase: "init", InitError: []byte(`{"errorType":"I"}`), Exit: &worker.Exit{Code: 1}, Err: errors.New("no such class"),
		}}, function.OutcomeInitError},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := open(t, &world{program: func(worker.Spec) fake.Program { return tt.program }}, nil)
				defer w.Close()
				id := w.deploy(t, "f", nil)
				for range 3 {
					res := w.call(t, id, "x")
					if res.Outcome != tt.want {
						t.Errorf("outcome %s, want %s", res.Outcome, tt.want)
					}
					if tt.want == function.OutcomeInitError && string(res.Payload) != `{"errorType":"I"}` {
						t.Errorf("payload %s, want the runtime's document", res.Payload)
					}
				}
				if err := w.Drain(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestIdleDeath: a worker that dies while it is idle costs no invocation.
func TestIdleDeath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, &world{}, nil)
		defer w.Close()
		id := w.deploy(t, "f", nil)
		for range 20 {
			w.call(t, id, "x")
			w.mu.Lock()
			for _, in := range w.workers {
				if in != nil && in.ready {
					in.worker.(*fake.Worker).Kill(worker.Exit{Code: 137})
				}
			}
			w.mu.Unlock()
			if res := w.call(t, id, "y"); res.Outcome != function.OutcomeOK {
				t.Fatalf("after the worker's death: %+v", res)
			}
		}
	})
}

// TestLimits: refusals have their reasons.
func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, &world{program: func(worker.Spec) fake.Program { return fake.Program{Handler: echo(time.Second)} }},
			func(o *Options) { o.Limits = engine.NodeConfig{MemoryMiB: 1024, Concurrency: 4} })
		defer w.Close()
		small, big := w.deploy(t, "small", nil), w.deploy(t, "big", func(s *function.Spec) { s.MemoryMiB = 2048 })
		w.state.functions["none"] = &store.Function{Name: "none", Reserved: ptr(0)}
		none := w.deploy(t, "none", nil)
		reject := func(id function.RevisionID, want engine.Reason) {
			t.Helper()
			_, err := w.Invoke(t.Context(), id, &worker.Invocation{})
			var refused *RejectError
			if !errors.As(err, &refused) || refused.Reason != want {
				t.Errorf("got %v, want %v", err, want)
			}
		}
		reject(big, engine.ReasonTooLarge)
		reject(none, engine.ReasonThrottled)
		if _, err := w.Invoke(t.Context(), "nobody", &worker.Invocation{}); !errors.Is(err, ErrNotFound) {
			t.Errorf("unknown revision: %v", err)
		}
		start := time.Now()
		go func() {
			time.Sleep(100 * time.Millisecond)
			reject(small, engine.ReasonNodeThrottled)
		}()
		w.burst(t, small, 4) // two at once, for the memory of two workers
		if d := time.Since(start); d != 2*time.Second {
			t.Errorf("four invocations of a second took %s on two workers", d)
		}
	})
}

// TestCallerGone: an invocation that waits is forgotten, one that runs goes on.
func TestCallerGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ran atomic.Int32
		w := open(t, &world{program: func(worker.Spec) fake.Program {
			return fake.Program{Runtime: time.Second, Handler: func(ctx context.Context, inv *worker.Invocation) (*worker.Result, error) {
				time.Sleep(2 * time.Second)
				ran.Add(1)
				return &worker.Result{Outcome: function.OutcomeOK}, ctx.Err()
			}}
		}}, nil)
		defer w.Close()
		id := w.deploy(t, "f", nil)
		for _, after := range []time.Duration{500 * time.Millisecond, 1500 * time.Millisecond} {
			ctx, cancel := context.WithTimeout(t.Context(), after)
			_, err := w.Invoke(ctx, id, &worker.Invocation{})
			cancel()
			t.Logf("gone after %s: %v, %d ran", after, err, ran.Load())
		}
		if ran.Load() != 1 {
			t.Errorf("%d ran, want the one that had begun", ran.Load())
		}
	})
}

// TestWeb: requests share a worker up to its concurrency, bodies hold their slot, and a
// deoptimization sends a request again only if that can be done.
func TestWeb(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, &world{program: func(s worker.Spec) fake.Program {
			return fake.Program{Web: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				time.Sleep(time.Second)
				rw.Header().Set("X-Rung", string(s.Rung))
				io.WriteString(rw, r.Method+" "+r.URL.Path+" "+string(b))
			})}
		}}, nil)
		defer w.Close()
		id := w.deploy(t, "web", func(s *function.Spec) { s.Kind, s.Concurrency = function.KindWeb, 3 })
		client := &http.Client{Transport: w.Transport(id)}
		get := func() {
			resp, err := client.Post("http://web/a/b", "text/plain", strings.NewReader("hi"))
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if b, _ := io.ReadAll(resp.Body); string(b) != "POST /a/b hi" {
				t.Errorf("got %q", b)
			}
		}
		get()
		done := make(chan struct{})
		for range 3 {
			go func() { get(); done <- struct{}{} }()
		}
		synctest.Wait()
		if n := w.driver.Started(); n != 1 {
			t.Errorf("%d workers for three requests at once, want one", n)
		}
		for range 3 {
			<-done
		}
		if err := w.Drain(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestStoreFails: states that could not be written are written when the store takes them again, each
// step once and in order, and serving goes on meanwhile; a node that closes does not wait for ever.
func TestStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, &world{program: rungs}, nil)
		defer func() { w.Close() }()
		id := w.deploy(t, "f", nil)
		synctest.Wait() // what the deployment led to is stored
		before := len(w.state.history(id))
		w.state.fill(true)
		w.burst(t, id, 4)
		time.Sleep(2 * time.Minute)
		if res := w.call(t, id, "x"); res.Outcome != function.OutcomeOK {
			t.Errorf("while nothing can be stored: %+v", res)
		}
		v, _ := w.Revision(t.Context(), id)
		early := w.state.history(id) // before there is room: what is tried again in that moment is stored
		if n := w.state.fill(false); n < 5 || n > 20 || len(early) > before {
			t.Errorf("%d writes failed in two minutes, %q is stored", n, early)
		}
		time.Sleep(time.Minute)
		moves := w.state.history(id)
		if len(moves) < 5 || v.Rung != ladder.Native {
			t.Errorf("stored: %q, the revision is on %s", moves, v.Rung)
		}
		last := map[string]string{} // phase of each rung and recording
		for i, move := range moves {
			what, step, _ := strings.Cut(move, ": ")
			from, _, _ := strings.Cut(step, " ")
			if was, ok := last[what]; ok && was != from {
				t.Errorf("step %d, %q, does not follow %q", i, move, was)
			}
			_, last[what], _ = strings.Cut(step, "-> ")
		}

		w.state.fill(true)
		_ = w.Deoptimize(t.Context(), id)
		synctest.Wait()
		began := time.Now()
		w.Close()
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("closing took %s with a store that fails", took)
		}
		w.state.fill(false)
		w = open(t, &world{program: rungs, state: w.state, builder: w.builder}, nil)
		if res := w.call(t, id, "x"); res.Outcome != function.OutcomeOK {
			t.Errorf("after a restart: %+v", res)
		}
	})
}

// TestReport: the line that ends an invocation's log says what AWS's says.
func TestReport(t *testing.T) {
	store, err := logs.Open(t.TempDir(), logs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	memory := worker.Memory{Peak: 42<<20 - 5}
	w := open(t, &world{program: func(worker.Spec) fake.Program {
		return fake.Program{Init: 20 * time.Millisecond, Memory: memory, Handler: func(_ context.Context, inv *worker.Invocation) (*worker.Result, error) {
			if string(inv.Payload) == "oom" {
				return nil, &worker.ExitError{Exit: worker.Exit{Code: -1, Signal: "killed", OutOfMemory: true}}
			}
			return &worker.Result{Outcome: function.OutcomeOK}, nil
		}}
	}}, func(o *Options) { o.Logs = store })
	defer w.Close()
	id := w.deploy(t, "f", nil)
	const head = `(?m)^REPORT RequestId: r\tDuration: \d+\.\d\d ms\tBilled Duration: \d+ ms\tMemory Size: 512 MB\tMax Memory Used: `
	for i, want := range []string{head + `42 MB\tInit Duration: 2\d\.\d\d ms$`, head + `42 MB$`, head + `512 MB\tStatus: out-of-memory$`} {
		payload := []string{"cold", "warm", "oom"}[i]
		res, err := w.Invoke(WithTail(t.Context()), id, &worker.Invocation{RequestID: "r", Payload: []byte(payload)})
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(want).Match(res.Log) {
			t.Errorf("%s: got %q, want %s", payload, res.Log, want)
		}
	}
}

// TestWebTime: a function's timeout is for the head of the answer and for each part of its body that is
// waited for, not for the whole, nor for what the client takes; whoever gives up, the slot is free again.
func TestWebTime(t *testing.T) {
	const timeout = 3 * time.Second
	rest := func(r *http.Request, d time.Duration) {
		select {
		case <-time.After(d):
		case <-r.Context().Done():
		}
	}
	part := func(rw http.ResponseWriter) { io.WriteString(rw, "part\n") }
	for name, c := range map[string]struct {
		app  http.HandlerFunc
		body func(w *io.PipeWriter) // of the request
		read func(resp *http.Response, cancel func()) error
		want function.Outcome // zero: OK
		took time.Duration
	}{
		"a long stream": {app: func(rw http.ResponseWriter, r *http.Request) {
			for range 100 {
				part(rw)
				rest(r, 2*time.Second)
			}
		}, took: 200 * time.Second},
		"no head": {app: func(_ http.ResponseWriter, r *http.Request) { rest(r, time.Hour) },
			want: function.OutcomeTimeout, took: timeout},
		"a stream that stops": {app: func(rw http.ResponseWriter, r *http.Request) {
			part(rw)
			rest(r, time.Hour)
		}, want: function.OutcomeTimeout, took: timeout},
		"a slow upload": {app: func(rw http.ResponseWriter, r *http.Request) {
			n, _ := io.Copy(io.Discard, r.Body)
			fmt.Fprint(rw, n)
		}, body: func(w *io.PipeWriter) {
			for range 10 {
				time.Sleep(2 * time.Second)
				io.WriteString(w, "x")
			}
			w.Close()
		}, took: 20 * time.Second},
		"a slow reader": {app: func(rw http.ResponseWriter, r *http.Request) {
			for range 5 {
				part(rw)
			}
		}, read: func(resp *http.Response, _ func()) error {
			for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
				time.Sleep(10 * time.Second)
			}
			return nil
		}, took: 50 * time.Second},
		"a client that goes": {app: func(rw http.ResponseWriter, r *http.Request) {
			part(rw)
			rest(r, time.Hour)
		}, read: func(resp *http.Response, cancel func()) error {
			cancel()
			_, err := io.ReadAll(resp.Body)
			if errors.Is(err, context.Canceled) {
				err = nil
			}
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := open(t, &world{program: func(worker.Spec) fake.Program { return fake.Program{Web: c.app} }}, nil)
				defer w.Close()
				id := w.deploy(t, "web", func(s *function.Spec) { s.Kind, s.Timeout = function.KindWeb, timeout })
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var body io.Reader
				if c.body != nil {
					r, pw := io.Pipe()
					body = r
					go c.body(pw)
				}
				req, _ := http.NewRequestWithContext(ctx, http.MethodPost, "http://web/", body)
				began := time.Now()
				resp, err := w.RoundTrip(id, req)
				if err == nil {
					if c.read != nil {
						err = c.read(resp, cancel)
					} else {
						_, err = io.ReadAll(resp.Body)
					}
					resp.Body.Close()
				}
				took := time.Since(began)
				got := function.OutcomeOK
				var failed *FunctionError
				if errors.As(err, &failed) {
					got = failed.Result.Outcome
				} else if err != nil {
					t.Errorf("got %v", err)
				}
				if want := max(c.want, function.OutcomeOK); got != want || took != c.took {
					t.Errorf("got %s after %s, want %s after %s", got, took, want, c.took)
				}
				synctest.Wait()
				if s := w.Snapshot(); s.Running != 0 {
					t.Errorf("%d requests still hold a worker", s.Running)
				}
				if err := w.Drain(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestRestart: a node that is opened again goes on where it was; a build that was cut off starts again.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, &world{program: rungs}, nil)
		defer func() { w.Close() }()
		id := w.deploy(t, "f", nil)
		w.burst(t, id, 4)
		time.Sleep(10 * time.Second)
		if v, _ := w.Revision(t.Context(), id); phase(v) != "building" {
			t.Fatalf("before the restart: %+v", v)
		}
		w.Close()

		w = open(t, &world{program: rungs, state: w.state, builder: w.builder}, nil)
		time.Sleep(time.Minute)
		if v, _ := w.Revision(t.Context(), id); v.Rung != ladder.Native {
			t.Fatalf("after the restart: %+v, want native", v)
		}
		w.Close()

		w = open(t, &world{program: rungs, state: w.state, builder: w.builder}, nil)
		if res := w.call(t, id, "x"); res.Rung != ladder.Native || !res.Cold {
			t.Errorf("after the second restart: %+v, want a cold native start", res)
		}
		w.Close()

		w = open(t, &world{program: rungs, state: w.state, builder: &builder{time: time.Second}}, nil)
		if v, _ := w.Revision(t.Context(), id); v.Rung != ladder.HotSpot || phase(v) != "building" {
			t.Errorf("without its binary: %+v, want it to be built again", v)
		}
	})
}

// TestUpdate: an update drops nothing, and the same code keeps what was learned of it.
func TestUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, &world{program: rungs}, nil)
		defer w.Close()
		old := w.deploy(t, "f", nil)
		w.burst(t, old, 4)
		time.Sleep(time.Minute)
		done := make(chan map[function.Rung]int)
		go func() { done <- w.burst(t, old, 30) }()
		synctest.Wait()
		fresh := w.deploy(t, "f", func(s *function.Spec) { s.MemoryMiB = 256 })
		<-done
		if _, err := w.Invoke(t.Context(), old, &worker.Invocation{}); !errors.Is(err, ErrNotFound) {
			t.Errorf("the old revision after the update: %v", err)
		}
		time.Sleep(time.Second)
		v, _ := w.Revision(t.Context(), fresh)
		if v.Rung != ladder.Native || w.builder.runs != 1 {
			t.Errorf("the new revision: %+v after %d builds, want the old one's binary", v, w.builder.runs)
		}
		w.state.mu.Lock()
		delete(w.state.functions, "f")
		w.state.mu.Unlock()
		if err := w.Sync(t.Context(), "f"); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if s := w.Snapshot(); s.Workers != 0 || len(s.RevisionsBy) != 0 {
			t.Errorf("after the function was deleted: %+v", s)
		}
	})
}

// TestBuildFails: a failed build hurts nobody, is tried again later, and is not tried again with
// the same metadata if it must fail again.
func TestBuildFails(t *testing.T) {
	for _, class := range []aot.Class{aot.ClassMemory, aot.ClassUser} {
		t.Run(string(class), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &builder{time: time.Second}
				b.fails = func(*aot.Request) error {
					if b.runs > 1 {
						return nil
					}
					return &aot.Error{Class: class, Reason: "no"}
				}
				w := open(t, &world{program: rungs, builder: b}, nil)
				defer w.Close()
				id := w.deploy(t, "f", nil)
				for range 20 {
					w.burst(t, id, 4)
					time.Sleep(5 * time.Second)
				}
				v, _ := w.Revision(t.Context(), id)
				if class.Deterministic() && (v.Rung == ladder.Native || b.runs != 1) {
					t.Errorf("%+v after %d builds", v, b.runs)
				}
				if !class.Deterministic() && (v.Rung != ladder.Native || b.runs != 2) {
					t.Errorf("%+v after %d builds", v, b.runs)
				}
			})
		})
	}
}

// recording is a Recorder that keeps the engine's log.
type recording struct {
	bytes.Buffer
	*engine.LogWriter
}

// TestRecording: what a live node did replays through a new engine to the very same actions.
func TestRecording(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &recording{}
		rec.LogWriter, _ = engine.NewLogWriter(&rec.Buffer)
		w := open(t, &world{program: rungs}, func(o *Options) {
			o.Record, o.Limits = rec, engine.NodeConfig{MemoryMiB: 4096, Starts: 3, TraceLimit: 5}
		})
		a, b := w.deploy(t, "a", nil), w.deploy(t, "b", nil)
		for range 5 {
			w.burst(t, a, 6)
			w.burst(t, b, 6)
			time.Sleep(20 * time.Second)
		}
		_ = w.Deoptimize(t.Context(), a)
		w.burst(t, a, 6)
		w.Close()
		r, err := engine.NewLogReader(bytes.NewReader(rec.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		steps, err := engine.Replay(r, &policy.Paper{})
		if err != nil || steps < 100 || rec.Err() != nil {
			t.Errorf("%d steps replayed: %v, %v", steps, err, rec.Err())
		}
		t.Logf("%d steps in %d bytes", steps, rec.Len())
	})
}

// TestOtherToolChain: a build that had to fail is made again after a restart with another builder.
func TestOtherToolChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := &builder{time: time.Second, fails: func(*aot.Request) error { return &aot.Error{Class: aot.ClassUser, Reason: "no"} }}
		w := open(t, &world{program: rungs, builder: old}, nil)
		id := w.deploy(t, "f", nil)
		for range 3 {
			w.burst(t, id, 4)
			time.Sleep(11 * time.Minute)
		}
		w.Close()
		for _, other := range []*builder{old, {time: time.Second, version: "2"}} {
			w = open(t, &world{program: rungs, state: w.state, builder: other}, nil)
			w.burst(t, id, 4)
			time.Sleep(time.Minute)
			w.Close()
		}
		if n := len(w.state.builds); n != 2 {
			t.Errorf("%d builds, want one with each tool chain", n)
		}
		if h := w.state.history(id); !strings.HasSuffix(h[len(h)-1], "-> ready") {
			t.Errorf("ended with %s, want native", h[len(h)-1])
		}
	})
}

// TestEvents: a listener sees what happens, in order and numbered.
func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, &world{program: rungs}, nil)
		defer w.Close()
		ctx, cancel := context.WithCancel(t.Context())
		var seen []string
		var last uint64
		done := make(chan error)
		go func() {
			done <- w.Events(ctx, func(e Event) error {
				if e.Seq != last+1 {
					t.Errorf("event %d after %d", e.Seq, last)
				}
				last = e.Seq
				seen = append(seen, e.Type)
				return nil
			})
		}()
		synctest.Wait()
		id := w.deploy(t, "f", nil)
		w.burst(t, id, 4)
		time.Sleep(time.Minute)
		cancel()
		<-done
		all := strings.Join(seen, " ")
		for _, want := range []string{"worker.started", "invocation.cold", "metadata.grown", "pipeline.moved", "build.started", "build.progress", "build.ended"} {
			if !strings.Contains(all, want) {
				t.Errorf("no %s among %s", want, all)
			}
		}
	})
}
