package node

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/store"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/fake"
)

// TestABuildHasWhatWasTracedLast: a tracer writes once a second, and a build of minutes that begins right after
// an invocation has what that traced all the same.
func TestABuildHasWhatWasTracedLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		seen := map[string]time.Time{}
		b := &builder{time: time.Second}
		w := open(t, &world{builder: b, program: func(s worker.Spec) fake.Program {
			p := answering(func(_ worker.Spec, payload string) (string, error) {
				mu.Lock()
				defer mu.Unlock()
				if _, ok := seen[payload]; !ok {
					seen[payload] = time.Now()
				}
				return `"ok"`, nil
			})(s)
			if records(s) == "metadata" {
				p.Trace = func() []byte {
					mu.Lock()
					defer mu.Unlock()
					types := []string{`{"type":"a.Start"}`}
					for payload, at := range seen {
						if time.Since(at) > time.Second { // it was written down
							types = append(types, fmt.Sprintf(`{"type":"a.%s"}`, payload))
						}
					}
					return []byte(`{"reflection":[` + strings.Join(types, ",") + `]}`)
				}
			}
			return p
		}}, nil)
		defer w.Close()
		id := w.deploy(t, "hello", nil)
		w.ask(t, id, "First")
		time.Sleep(5 * time.Second)
		w.ask(t, id, "Last")
		if err := w.Optimize(t.Context(), id, ladder.Native); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.runs != 1 {
			t.Errorf("%d builds, want 1", b.runs)
		}
		for _, doc := range b.made {
			if !strings.Contains(string(doc), "a.Last") {
				t.Errorf("made from %s", doc)
			}
		}
	})
}

// TestWishWithoutTraffic: an operator who waits for a binary of a function that nobody invokes now gets one that is made
// from what the function was asked before. It is asked again where nothing gets out, and by nobody if nobody waits.
// That holds as well where no idle worker is kept.
func TestWishWithoutTraffic(t *testing.T) {
	for _, kept := range []time.Duration{10 * time.Minute, 0} {
		t.Run(kept.String(), func(t *testing.T) { wishWithoutTraffic(t, kept) })
	}
}

func wishWithoutTraffic(t *testing.T, kept time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		b := &builder{time: time.Second}
		var mu sync.Mutex
		rehearsed := map[string]int{}
		w := open(t, &world{builder: b, program: func(s worker.Spec) fake.Program {
			seen := ""
			p := answering(func(_ worker.Spec, payload string) (string, error) {
				mu.Lock()
				defer mu.Unlock()
				if records(s) == "metadata" {
					if !s.Trial {
						t.Errorf("%s was sent to a recorder that reaches others", payload)
					}
					rehearsed[payload]++
					seen = payload
				}
				return `"ok"`, nil
			})(s)
			if records(s) == "metadata" {
				p.Trace = func() []byte {
					mu.Lock()
					defer mu.Unlock()
					return fmt.Appendf(nil, `{"reflection":[{"type":"a.Start"},{"type":"a.%s"}]}`, seen)
				}
			}
			return p
		}}, func(o *Options) {
			sampled20(o)
			o.Policy = &policy.Ladder{}
			o.Defaults.KeepAlive = ptr(store.Duration(kept))
		})
		defer w.Close()
		id := w.deploy(t, "hello", nil)
		w.ask(t, id, "Once")
		time.Sleep(time.Minute)
		if len(rehearsed) > 0 {
			t.Errorf("nobody waits, and %v was asked", rehearsed)
		}
		if err := w.Optimize(t.Context(), id, ladder.Native); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		if len(rehearsed) != 1 || rehearsed["Once"] != 1 {
			t.Errorf("asked %v, want Once, once", rehearsed)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.made) != 1 {
			t.Errorf("%d binaries, want 1", len(b.made))
		}
		for _, doc := range b.made {
			if !strings.Contains(string(doc), "a.Once") {
				t.Errorf("made from %s", doc)
			}
		}
	})
}

// TestAChangeOfConfigurationIsNoRestart: what a new revision takes over is said as that.
func TestAChangeOfConfigurationIsNoRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, &world{program: rungs}, nil)
		defer w.Close()
		id := w.deploy(t, "hello", nil)
		w.ask(t, id, "1")
		if r := w.toNative(t, id, "2"); r.Phase.String() != "ready" {
			t.Fatalf("got %+v", r)
		}
		next := w.deploy(t, "hello", func(s *function.Spec) { s.MemoryMiB = 1024 })
		time.Sleep(time.Minute)
		if v, _ := w.Revision(t.Context(), next); v.Rung != ladder.Native {
			t.Errorf("got %+v", v)
		}
		w.state.mu.Lock()
		defer w.state.mu.Unlock()
		inherited := false
		for _, step := range w.state.pipelines[next].History {
			inherited = inherited || step.Reason == "the revision before had it, and the code is the same"
			if strings.Contains(step.Reason, "restart") {
				t.Errorf("got %+v", step)
			}
		}
		if !inherited {
			t.Errorf("got %+v", w.state.pipelines[next].History)
		}
	})
}

// TestABuildKnowsTheSamples: what the tracer was not asked, because other workers were, is rehearsed with it before a build: a
// check asks that. Nothing is rehearsed twice, and nothing where artifacts are not compared.
func TestABuildKnowsTheSamples(t *testing.T) {
	for _, checked := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			b := &builder{time: time.Second}
			var mu sync.Mutex
			rehearsed := map[string]int{}
			w := open(t, &world{builder: b, program: func(s worker.Spec) fake.Program {
				seen := []string{"Start"}
				p := answering(func(_ worker.Spec, payload string) (string, error) {
					mu.Lock()
					defer mu.Unlock()
					if records(s) == "metadata" && s.Trial { // the one that serves is not asked these, say
						seen = append(seen, payload)
						rehearsed[payload]++
					}
					return payload, nil
				})(s)
				if records(s) == "metadata" {
					p.Trace = func() []byte {
						mu.Lock()
						defer mu.Unlock()
						return []byte(`{"reflection":[{"type":"a.` + strings.Join(seen, `"},{"type":"a.`) + `"}]}`)
					}
				}
				return p
			}}, func(o *Options) { sampled20(o); o.Defaults.Compare = ptr(checked) })
			defer w.Close()
			id := w.deploy(t, "hello", nil)
			w.ask(t, id, "One", "Two") // before anything records
			time.Sleep(time.Minute)
			w.toNative(t, id, "Three")
			if err := w.Optimize(t.Context(), id, ladder.NativeOptimized); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			mu.Lock()
			defer mu.Unlock()
			b.mu.Lock()
			defer b.mu.Unlock()
			if len(b.made) == 0 {
				t.Fatal("nothing was built")
			}
			for _, doc := range b.made {
				if all := strings.Contains(string(doc), "a.One") && strings.Contains(string(doc), "a.Two"); all != checked {
					t.Errorf("checked %t: made from %s", checked, doc)
				}
			}
			for payload, n := range rehearsed {
				if n != 1 || !checked {
					t.Errorf("checked %t: %s was rehearsed %d times", checked, payload, n)
				}
			}
		})
	}
}
