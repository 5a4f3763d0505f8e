package node

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/fake"
)

// TestTwoLevels: a function whose quick binary stays in use gets an optimized one. Callers who never
// pause all get their answer, once, through both switches, and in the end from the optimized binary.
func TestTwoLevels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		ran := map[string]int{}    // handler runs by payload
		native := map[string]int{} // answers by binary
		w := open(t, &world{program: func(s worker.Spec) fake.Program {
			p := rungs(s)
			run := echo(100 * time.Millisecond)
			p.Handler = func(ctx context.Context, inv *worker.Invocation) (*worker.Result, error) {
				mu.Lock()
				ran[string(inv.Payload)]++
				if s.Rung != ladder.HotSpot {
					native[s.Args[0]]++
				}
				mu.Unlock()
				return run(ctx, inv)
			}
			return p
		}}, func(o *Options) { o.Policy = &policy.Paper{HotInvocations: 100} })
		defer w.Close()
		id := w.deploy(t, "hot", nil)

		const callers, each = 4, 3000
		var wg sync.WaitGroup
		for c := range callers {
			wg.Go(func() {
				for i := range each {
					payload := fmt.Sprintf("%d-%d", c, i)
					if res := w.call(t, id, payload); res.Outcome != function.OutcomeOK || string(res.Payload) != payload {
						t.Errorf("call %s: %+v", payload, res)
					}
				}
			})
		}
		wg.Wait()

		quick, optimized := 0, 0
		for dir, n := range native {
			switch {
			case strings.Contains(dir, "c0de-quick-"):
				quick += n
			case strings.Contains(dir, "c0de-optimized-"):
				optimized += n
			}
		}
		if quick < 100 || optimized == 0 {
			t.Errorf("the quick binary answered %d times, the optimized one %d: want both, the first 100 times and more: %v", quick, optimized, native)
		}
		if len(ran) != callers*each {
			t.Errorf("%d of %d calls ran", len(ran), callers*each)
		}
		for payload, n := range ran {
			if n != 1 {
				t.Errorf("call %s ran %d times", payload, n)
			}
		}
		v, _ := w.Revision(t.Context(), id)
		if v.Rung != ladder.NativeOptimized {
			t.Errorf("in the end: %+v, want native, optimized", v)
		}
		if w.builder.runs != 2 {
			t.Errorf("%d builds ran, want one for each level", w.builder.runs)
		}
		history := w.state.history(id)
		if !slices.Contains(history, "native-optimized: absent -promoted-> queued") {
			t.Errorf("nothing in the history promotes the optimized binary: %q", history)
		}
		workers := w.driver.Alive()
		if err := w.Drain(t.Context()); err != nil || workers == 0 {
			t.Errorf("drain %d workers: %v", workers, err)
		}
	})
}
