package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/metadata"
	"github.com/cloudjit/cloudjit/internal/store"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/fake"
)

// answering is a program that answers as said, on workers that start as rungs says.
func answering(answer func(s worker.Spec, payload string) (string, error)) func(worker.Spec) fake.Program {
	return func(s worker.Spec) fake.Program {
		p := rungs(s)
		p.Handler = func(_ context.Context, inv *worker.Invocation) (*worker.Result, error) {
			time.Sleep(time.Millisecond)
			body, err := answer(s, string(inv.Payload))
			if err != nil {
				return nil, err
			}
			outcome := function.OutcomeOK
			if strings.HasPrefix(body, `{"errorType"`) {
				outcome = function.OutcomeHandlerError
			}
			return &worker.Result{Outcome: outcome, Payload: []byte(body)}, nil
		}
		return p
	}
}

func sampled20(o *Options) { o.Samples = SampleOptions{Each: 20, DiskMB: 64} }

// ask invokes with each payload and waits until what was decided then is done.
func (w *world) ask(t testing.TB, id function.RevisionID, payloads ...string) {
	t.Helper()
	for _, p := range payloads {
		w.call(t, id, p)
	}
}

// toNative asks for a binary, and for the metadata that it is made from with payloads.
func (w *world) toNative(t testing.TB, id function.RevisionID, payloads ...string) RungView {
	t.Helper()
	if err := w.Optimize(t.Context(), id, ladder.Native); err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Second)
	w.ask(t, id, payloads...)
	time.Sleep(time.Minute)
	v, _ := w.Revision(t.Context(), id)
	for _, r := range v.Ladder {
		if r.Rung == ladder.Native {
			return r
		}
	}
	t.Fatal("no rung native")
	return RungView{}
}

func (w *world) sampleFiles(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(w.opt.Dir, sampleFolder, "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestWhatDiffersDoesNotServe: a binary that answers one of what was asked otherwise never serves, and the reason
// is shown. The same samples are not tried again; what differed is asked again with others.
func TestWhatDiffersDoesNotServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var right atomic.Bool
		w := open(t, &world{program: answering(func(s worker.Spec, payload string) (string, error) {
			if s.Rung != ladder.HotSpot && payload == `{"b":1}` && !right.Load() {
				return `{"answer":{"of":"nobody"}}`, nil
			}
			return `{"answer":{"of":"` + strings.ReplaceAll(payload, `"`, "") + `"}}`, nil
		})}, sampled20)
		defer w.Close()
		var ended []Event
		var mu sync.Mutex
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go func() {
			_ = w.Events(ctx, func(e Event) error {
				mu.Lock()
				defer mu.Unlock()
				if e.Type == "check.ended" {
					ended = append(ended, e)
				}
				return nil
			})
		}()
		id := w.deploy(t, "hello", nil)
		w.ask(t, id, `{"a":1}`, `{"b":1}`)
		r := w.toNative(t, id, `{"a":1}`)
		if r.Phase.String() != "failed" || r.Check == nil || r.Check.Result != store.CheckDiffers || r.Failures != 1 {
			t.Fatalf("got %+v", r)
		}
		d := r.Check.Difference
		if d.Path != "$.answer.of" || d.First != `"{b:1}"` || d.Artifact != `"nobody"` || len(d.Digest) != 64 || r.Check.Compared != 2 || r.Check.Wall < time.Second {
			t.Errorf("got %+v, %+v", d, r.Check)
		}
		if !strings.Contains(r.Reason, `$.answer.of: "nobody", not "{b:1}"`) {
			t.Errorf("got reason %q", r.Reason)
		}
		found := false
		for _, move := range w.state.history(id) {
			found = found || move == "native: checking -differed-> failed"
		}
		if !found {
			t.Errorf("got %v", w.state.history(id))
		}
		mu.Lock()
		if len(ended) != 1 || !strings.Contains(string(ended[0].Data), `"result":"differs"`) {
			t.Errorf("got %+v", ended)
		}
		mu.Unlock()
		for _, file := range w.sampleFiles(t) {
			if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", file, info.Mode(), err)
			}
		}
		runs := w.builder.runs
		time.Sleep(5 * time.Hour)
		if v, _ := w.Revision(t.Context(), id); v.Rung != ladder.HotSpot || w.builder.runs != runs {
			t.Errorf("got %+v, %d builds", v, w.builder.runs)
		}
		// Another question alone does not help: what differed is asked again. When it is answered right, all is well.
		w.ask(t, id, `{"c":1}`)
		time.Sleep(time.Hour)
		if v, _ := w.Revision(t.Context(), id); v.Rung != ladder.HotSpot || v.Ladder[1].Failures < 2 {
			t.Errorf("got %+v", v)
		}
		right.Store(true)
		w.ask(t, id, `{"d":1}`)
		time.Sleep(24 * time.Hour)
		v, _ := w.Revision(t.Context(), id)
		if v.Rung != ladder.Native || v.Ladder[1].Check.Result != store.CheckSame {
			t.Errorf("got %+v, %+v", v, v.Ladder[1].Check)
		}
		if err := w.Drain(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestWhatDiffersIsNotTriedAgain: samples that a check asked before they were told to be there are no other ones.
func TestWhatDiffersIsNotTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, &world{program: answering(func(s worker.Spec, payload string) (string, error) {
			if s.Rung != ladder.HotSpot {
				return `"wrong"`, nil
			}
			return payload, nil
		})}, sampled20)
		defer w.Close()
		id := w.deploy(t, "hello", nil)
		native := func() RungView {
			v, _ := w.Revision(t.Context(), id)
			return v.Ladder[1]
		}
		for n, payload := range []string{`{"a":1}`, `{"b":1}`} {
			began := time.Now()
			w.ask(t, id, payload)
			time.Sleep(time.Second)
			if err := w.Optimize(t.Context(), id, ladder.Native); err != nil {
				t.Fatal(err)
			}
			for native().Failures == n && time.Since(began) < time.Hour {
				w.ask(t, id, payload)
				time.Sleep(time.Second)
			}
			if took := time.Since(began); n > 0 && took > sampleSettle {
				t.Fatalf("the check of what was just asked ended after %s: too late to show something", took)
			}
			time.Sleep(24 * time.Hour)
			if r := native(); r.Failures != n+1 || r.Phase.String() != "failed" || r.Check.Samples != n+1 {
				t.Errorf("got %d checks of %d samples, want %d: %+v", r.Failures, r.Check.Samples, n+1, r)
			}
		}
		if err := w.Drain(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestWhatVariesIsNoDifference: times and identifiers are no reason to keep a binary out, nor is an error that
// comes from the missing network on both rungs.
func TestWhatVariesIsNoDifference(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		w := open(t, &world{program: answering(func(s worker.Spec, payload string) (string, error) {
			switch {
			case payload == `"net"` && s.Trial:
				return `{"errorType":"java.net.ConnectException","errorMessage":"Network is unreachable","stackTrace":["` + string(s.Rung) + `"]}`, nil
			case payload == `"exit"` && s.Trial:
				return "", &worker.ExitError{Exit: worker.Exit{Code: 3}}
			}
			return fmt.Sprintf(`{"id":%d,"at":"%s","echo":%s}`, n.Add(1), time.Now().Format(time.RFC3339), payload), nil
		})}, sampled20)
		defer w.Close()
		id := w.deploy(t, "hello", nil)
		w.ask(t, id, `"net"`, `"exit"`, `"x"`)
		r := w.toNative(t, id, `"y"`)
		if r.Phase.String() != "ready" || r.Check == nil || r.Check.Result != store.CheckSame || r.Check.Compared != 4 || r.Check.Unlike != 2 {
			t.Errorf("got %+v, %+v", r, r.Check)
		}
		if !strings.Contains(r.Reason, "4 of 4 samples were answered as on hotspot, 2 of them otherwise than in service") {
			t.Errorf("got %q", r.Reason)
		}
		if err := w.Drain(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestNothingToCompare: a function that does not start without a network is checked by a start alone, and so is
// one that is not compared at all; it is said.
func TestNothingToCompare(t *testing.T) {
	for name, c := range map[string]struct {
		policy *store.Policy
		want   string
	}{
		"no network": {nil, "does not start without a network"},
		"off":        {&store.Policy{Compare: ptr(false)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				trials := atomic.Int32{}
				w := open(t, &world{program: func(s worker.Spec) fake.Program {
					p := rungs(s)
					if s.Trial {
						trials.Add(1)
						p.StartErr = &worker.StartError{Phase: "init", Err: errors.New("no route to the database")}
					}
					return p
				}}, sampled20)
				defer w.Close()
				w.state.functions["hello"] = &store.Function{Name: "hello", Policy: c.policy}
				id := w.deploy(t, "hello", nil)
				w.ask(t, id, "1")
				r := w.toNative(t, id, "2")
				if r.Phase.String() != "ready" || !strings.Contains(r.Reason, c.want) {
					t.Errorf("got %+v", r)
				}
				if c.policy != nil && (trials.Load() > 0 || len(w.sampleFiles(t)) > 0) {
					t.Errorf("%d trials, samples %v", trials.Load(), w.sampleFiles(t))
				}
				if err := w.Drain(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestASlowMachineIsCompared: a first rung that does not come up in its time is started again, before it is taken for one
// that waits for a network.
func TestASlowMachineIsCompared(t *testing.T) {
	for name, c := range map[string]struct {
		slow int32
		want string
	}{
		"now and then": {2, "2 of 2 samples were answered as on hotspot"},
		"always":       {100, "does not start without a network"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				trials := atomic.Int32{}
				w := open(t, &world{program: func(s worker.Spec) fake.Program {
					p := rungs(s)
					if s.Trial && s.Rung == ladder.HotSpot && trials.Add(1) <= c.slow {
						p.Runtime = time.Hour
					}
					return p
				}}, sampled20)
				defer w.Close()
				id := w.deploy(t, "hello", nil)
				w.ask(t, id, "1")
				if err := w.Optimize(t.Context(), id, ladder.Native); err != nil {
					t.Fatal(err)
				}
				w.ask(t, id, "2")
				time.Sleep(10 * time.Minute)
				v, _ := w.Revision(t.Context(), id)
				r := v.Ladder[1]
				if r.Phase.String() != "ready" || !strings.Contains(r.Reason, c.want) {
					t.Errorf("got %+v", r)
				}
				if err := w.Drain(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestACheckTeachesAll: a binary that lacks metadata for what it is asked is surveyed with all samples, so that the
// next one has it, and no invocation is lost to that.
func TestACheckTeachesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &builder{time: 30 * time.Second}
		w := open(t, &world{builder: b, program: answering(func(s worker.Spec, payload string) (string, error) {
			if s.Rung == ladder.HotSpot {
				return payload, nil
			}
			name := "a." + strings.Trim(payload, `"`)
			b.mu.Lock()
			has := strings.Contains(string(b.made[keyOf(s)]), name)
			b.mu.Unlock()
			hint := strings.ReplaceAll(missing, "a.Unseen", name)
			switch {
			case has:
			case len(s.Args) > 1:
				fmt.Fprintln(s.Output, hint)
			default:
				return "", &worker.ExitError{Exit: worker.Exit{Code: function.ExitMissingMetadata, Stderr: hint}}
			}
			return payload, nil
		})}, sampled20)
		defer w.Close()
		id := w.deploy(t, "hello", nil)
		w.ask(t, id, `"One"`, `"Two"`)
		// The wish outlives that check: what was missing is known now.
		if r := w.toNative(t, id, `"Three"`); r.Phase.String() != "building" || r.Falls != 1 || !strings.Contains(r.Check.Reason, "a.One") {
			t.Fatalf("got %+v, %+v", r, r.Check)
		}
		time.Sleep(2 * time.Minute)
		if v, _ := w.Revision(t.Context(), id); v.Rung != ladder.Native || b.runs != 2 {
			t.Errorf("got %+v after %d builds", v, b.runs)
		}
		if err := w.Drain(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestACheckFindsWhatNoBinaryCanDo: then there is no further build, and a wish for one is refused with the reason.
func TestACheckFindsWhatNoBinaryCanDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &builder{time: 30 * time.Second}
		w := open(t, &world{builder: b, program: answering(func(s worker.Spec, payload string) (string, error) {
			if s.Rung != ladder.HotSpot && payload == `"defines"` {
				fmt.Fprintf(s.Output, "%sunsupported] Classes cannot be defined at runtime by default when using ahead-of-time compilation\n   at a.B.c(B.java:1)\n", metadata.LackMark)
				return "", &worker.ExitError{Exit: worker.Exit{Code: function.ExitMissingMetadata}}
			}
			return payload, nil
		})}, sampled20)
		defer w.Close()
		id := w.deploy(t, "hello", nil)
		w.ask(t, id, `"a"`, `"defines"`)
		if r := w.toNative(t, id, `"b"`); r.Phase.String() != "failed" || !r.Never || !strings.Contains(r.Check.Reason, "Classes cannot be defined") {
			t.Fatalf("got %+v, %+v", r, r.Check)
		}
		if err := w.Optimize(t.Context(), id, ladder.Native); !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "Classes cannot be defined") {
			t.Errorf("asked for: %v", err)
		}
		if b.runs != 1 {
			t.Errorf("%d builds", b.runs)
		}
	})
}

// TestOwnSamples: what the user gives is asked before anything serves, and of what serves already; it survives a
// restart, which does not check again.
func TestOwnSamples(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var trials atomic.Int32
		make := func(state *state, b *builder, dir string) *world {
			return open(t, &world{state: state, builder: b, program: answering(func(s worker.Spec, payload string) (string, error) {
				if s.Trial {
					trials.Add(1)
				}
				if s.Rung != ladder.HotSpot && payload == `"rare"` {
					return `"wrong"`, nil
				}
				return payload, nil
			})}, func(o *Options) { sampled20(o); o.Dir = dir })
		}
		dir := filepath.Join(t.TempDir(), "node")
		w := make(nil, nil, dir)
		id := w.deploy(t, "hello", nil)
		w.ask(t, id, `"x"`)
		if r := w.toNative(t, id, `"y"`); r.Phase.String() != "ready" {
			t.Fatalf("got %+v, %+v", r, r.Check)
		}
		before := trials.Load()
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		w = make(w.state, w.builder, dir)
		time.Sleep(time.Minute)
		if trials.Load() != before {
			t.Error("a restart checked again")
		}
		w.state.mu.Lock()
		f := *w.state.functions["hello"]
		f.Samples = &store.Samples{Count: 1, SHA256: "1"}
		w.state.functions["hello"], w.state.samples["hello"] = &f, []byte("\"rare\"\n")
		w.state.mu.Unlock()
		if err := w.Sync(t.Context(), "hello"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		v, _ := w.Revision(t.Context(), id)
		if v.Rung != ladder.HotSpot || v.Ladder[1].Falls != 1 || v.Ladder[1].Check.Own != 1 || v.Ladder[1].Check.Difference.Artifact != `"wrong"` {
			t.Errorf("got %+v, %+v", v, v.Ladder[1].Check)
		}
		before = trials.Load()
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		w = make(w.state, w.builder, dir)
		defer w.Close()
		time.Sleep(time.Hour)
		if v, _ := w.Revision(t.Context(), id); trials.Load() != before || v.Rung != ladder.HotSpot || v.Ladder[1].Check == nil {
			t.Errorf("after a restart: %+v, %d trials more", v, trials.Load()-before)
		}
		if err := w.Drain(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestSamplesAreBounded: by number and size, and dropped when nothing may be checked any more.
func TestSamplesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, &world{program: rungs}, sampled20)
		defer w.Close()
		id := w.deploy(t, "hello", nil)
		w.ask(t, id, `"`+strings.Repeat("x", 256<<10)+`"`)
		for i := range 50 {
			w.ask(t, id, fmt.Sprint(i), fmt.Sprint(i))
		}
		time.Sleep(time.Second)
		if n := len(w.sampleFiles(t)); n != 20 {
			t.Errorf("%d samples, want 20", n)
		}
		time.Sleep(26 * time.Hour)
		if n := len(w.sampleFiles(t)); n != 0 {
			t.Errorf("%d samples a day later", n)
		}
		w.ask(t, id, "1")
		time.Sleep(time.Second)
		if n := len(w.sampleFiles(t)); n != 1 {
			t.Errorf("%d samples, want another one", n)
		}
		w.state.mu.Lock()
		delete(w.state.functions, "hello")
		w.state.mu.Unlock()
		if err := w.Sync(t.Context(), "hello"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if left := w.sampleFiles(t); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
		if err := w.Drain(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestWebIsCompared: status, headers and body of what a web application answered.
func TestWebIsCompared(t *testing.T) {
	for artifact, want := range map[string]string{"200 as ever": "ready", "404 as ever": "failed", "200 otherwise": "failed"} {
		t.Run(artifact, func(t *testing.T) {
			var status int
			var text string
			fmt.Sscanf(artifact, "%d %s", &status, &text)
			w := open(t, &world{program: func(s worker.Spec) fake.Program {
				p := rungs(s)
				p.Runtime, p.Sandbox = time.Millisecond, 0
				p.Web = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					body, _ := io.ReadAll(r.Body)
					w.Header().Set("X-Request", fmt.Sprint(time.Now().UnixNano()))
					if s.Rung != ladder.HotSpot {
						w.WriteHeader(status)
						fmt.Fprintf(w, "%s\n%s %s", text, r.URL, body)
						return
					}
					fmt.Fprintf(w, "as\n%s %s", r.URL, body)
				})
				return p
			}, builder: &builder{time: time.Millisecond}}, func(o *Options) { sampled20(o); o.TracePeriod = 10 * time.Millisecond })
			defer w.Close()
			id := w.deploy(t, "site", func(s *function.Spec) { s.Kind, s.Handler, s.Concurrency = function.KindWeb, "", 4 })
			get := func(path string) {
				t.Helper()
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://site.example"+path, strings.NewReader("body"))
				if err != nil {
					t.Fatal(err)
				}
				resp, err := w.RoundTrip(id, r)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
			get("/a?b=1")
			if err := w.Optimize(t.Context(), id, ladder.Native); err != nil {
				t.Fatal(err)
			}
			got := ""
			for range 500 {
				get("/a?b=1")
				v, _ := w.Revision(t.Context(), id)
				if got = phase(v); got == "ready" || got == "failed" {
					if c := v.Ladder[1].Check; c == nil || c.Compared != 1 {
						t.Errorf("got %+v", c)
					}
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			if got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

// TestWorkersDuringACheck: a worker that compares has no process of its own yet, and can be looked at all the same.
func TestWorkersDuringACheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w *world
		var checking atomic.Bool
		w = open(t, &world{program: answering(func(s worker.Spec, payload string) (string, error) {
			if s.Trial {
				for _, v := range w.Workers(t.Context()) {
					if v.State == "checking" {
						checking.Store(true)
					}
				}
			}
			return payload, nil
		})}, sampled20)
		defer func() { w.Close() }()
		id := w.deploy(t, "f", nil)
		if r := w.toNative(t, id, `{"a":1}`); r.Phase.String() != "ready" {
			t.Errorf("got %+v, want it ready", r)
		}
		if !checking.Load() {
			t.Error("no worker was seen that checks")
		}
	})
}

// TestASnapshotWaitsForABurst: a worker is saved when the burst that led to that is over, and has answered all kinds of its invocations.
func TestASnapshotWaitsForABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		asked := map[string]int{}
		w := &world{program: answering(func(s worker.Spec, payload string) (string, error) {
			if s.ID == "saved" {
				mu.Lock()
				asked[payload]++
				mu.Unlock()
			}
			return payload, nil
		})}
		open(t, w, func(o *Options) { sampled20(o); o.Defaults.SnapshotAfter = ptr(12) })
		defer w.Close()
		id := w.deploy(t, "f", func(s *function.Spec) { s.Timeout = 10 * time.Second })
		w.ask(t, id, "0")
		time.Sleep(50 * time.Millisecond)
		rev, _ := w.lookup(id)
		rev.sampler.mu.Lock()
		clear(rev.sampler.kept) // as if it was not on the disk yet
		rev.sampler.mu.Unlock()
		saved, err := w.driver.Start(t.Context(), worker.Spec{ID: "saved", Revision: rev.spec})
		if err != nil {
			t.Fatal(err)
		}
		var burst sync.WaitGroup
		burst.Go(func() {
			for i := range 7 {
				time.Sleep(300 * time.Millisecond)
				w.ask(t, id, fmt.Sprint(1+i))
			}
		})
		began := time.Now()
		n, err := w.exercise(t.Context(), rev, saved)
		took := time.Since(began)
		burst.Wait()
		mu.Lock()
		defer mu.Unlock()
		if err != nil || n != 12 || len(asked) != 7 || took > 4*time.Second {
			t.Errorf("answered %d of %d kinds after %v: %v; want 12 of 7", n, len(asked), took, err)
		}
		if err := saved.Stop(t.Context(), 0); err != nil {
			t.Error(err)
		}
	})
}

// TestWhatAWorkerAnswersBeforeItIsSaved: as much as the function's policy says of what it was asked, all of it once and then again.
func TestWhatAWorkerAnswersBeforeItIsSaved(t *testing.T) {
	for _, tt := range []struct {
		after *int
		slow  time.Duration
		want  string
	}{
		{nil, 0, ""},
		{ptr(0), 0, ""},
		{ptr(2), 0, "a b"},
		{ptr(3), 0, "a b c"},
		{ptr(7), 0, "a b c a b c a"},
		{ptr(100), 4 * time.Second, "a b c"}, // not again for more than ten seconds
	} {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			var asked []string
			w := &world{program: answering(func(s worker.Spec, payload string) (string, error) {
				if s.ID == "saved" {
					mu.Lock()
					asked = append(asked, strings.Trim(payload, `"`))
					mu.Unlock()
					time.Sleep(tt.slow)
				}
				return payload, nil
			})}
			open(t, w, func(o *Options) { sampled20(o); o.Defaults.SnapshotAfter = tt.after })
			defer w.Close()
			id := w.deploy(t, "f", func(s *function.Spec) { s.Timeout = 10 * time.Second })
			for _, payload := range []string{`"a"`, `"b"`, `"c"`} {
				w.ask(t, id, payload)
				time.Sleep(time.Second)
			}
			rev, _ := w.lookup(id)
			saved, err := w.driver.Start(t.Context(), worker.Spec{ID: "saved", Revision: rev.spec})
			if err != nil {
				t.Fatal(err)
			}
			n, err := w.exercise(t.Context(), rev, saved)
			if got := strings.Join(asked, " "); err != nil || got != tt.want || n != len(asked) {
				t.Errorf("after %v: asked %q, says %d, %v: want %q", tt.after, got, n, err, tt.want)
			}
			if err := saved.Stop(t.Context(), 0); err != nil {
				t.Error(err)
			}
		})
	}
}
