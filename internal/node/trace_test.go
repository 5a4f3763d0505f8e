package node

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/metadata"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/fake"
)

// TestPoisonedMetadataIsRefusedOnce: a function that writes its own "metadata" is told of once, costs nothing
// more, goes on serving, and none of it reaches its builds.
func TestPoisonedMetadataIsRefusedOnce(t *testing.T) {
	types := func(from, n int) []byte {
		var b strings.Builder
		fmt.Fprintf(&b, `{"reflection":[{"type":"a.B"}`)
		for i := range n {
			fmt.Fprintf(&b, `,{"type":"poison.T%d"}`, from+i)
		}
		b.WriteString(`]}`)
		return []byte(b.String())
	}
	for name, test := range map[string]struct {
		trace  func(turn int) []byte
		reason string
		stored int // versions, at most
	}{
		"large":   {func(int) []byte { return make([]byte, metadata.MaxSize+1) }, "too large", 0},
		"deep":    {func(int) []byte { return []byte(strings.Repeat("[", 1<<20)) }, "nested", 0},
		"many":    {func(int) []byte { return types(0, metadata.MaxElements) }, "elements", 0},
		"growing": {func(turn int) []byte { return types(turn*30_000, 30_000) }, "elements with what was known", 2},
		"no JSON": {func(turn int) []byte { return fmt.Appendf(nil, "poison %d", turn) }, "invalid character", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var turns atomic.Int32
				w := open(t, &world{program: func(s worker.Spec) fake.Program {
					p := rungs(s)
					if records(s) == ladder.RecordingMetadata.String() {
						p.Trace = func() []byte { return test.trace(int(turns.Add(1))) }
					}
					return p
				}}, nil)
				defer w.Close()
				id := w.deploy(t, "hostile", nil)
				ctx, cancel := context.WithCancel(t.Context())
				told := make(chan int)
				go func() {
					n := 0
					_ = w.Events(ctx, func(e Event) error {
						if e.Type == "metadata.refused" {
							n++
						}
						return nil
					})
					told <- n
				}()
				for range 10 {
					w.burst(t, id, 3)
					time.Sleep(30 * time.Second)
				}
				if n := turns.Load(); n == 0 || n > 4 {
					t.Errorf("its traces were read %d times", n)
				}
				if n := len(w.state.metadata[id]); n > test.stored {
					t.Errorf("%d versions are stored, want %d at most", n, test.stored)
				}
				v, _ := w.Revision(t.Context(), id)
				why := ""
				for _, r := range v.Recordings {
					why += r.Refused
				}
				if !strings.Contains(why, test.reason) {
					t.Errorf("the reason is %q, want %q in it", why, test.reason)
				}
				cancel()
				if n := <-told; n != 1 {
					t.Errorf("told %d times, want once", n)
				}
			})
		})
	}
}

// TestMetadataStaysWithItsFunction: two functions of the same code, one of which recorded: the other's builds
// see nothing of that.
func TestMetadataStaysWithItsFunction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &builder{time: time.Second}
		w := open(t, &world{builder: b, program: func(s worker.Spec) fake.Program {
			p := rungs(s)
			if records(s) == ladder.RecordingMetadata.String() {
				name := s.Revision.Function
				p.Trace = func() []byte { return fmt.Appendf(nil, `{"reflection":[{"type":"only.%s"}]}`, name) }
			}
			return p
		}}, nil)
		defer w.Close()
		for _, name := range []function.Name{"mine", "theirs"} {
			id := w.deploy(t, name, nil)
			for range 4 {
				w.burst(t, id, 5)
				time.Sleep(30 * time.Second)
			}
			if docs := w.state.metadata[id]; len(docs) == 0 {
				t.Fatalf("%s recorded nothing", name)
			}
		}
		if len(b.made) != 2 {
			t.Errorf("%d builds, want one of each", len(b.made))
		}
		for key, doc := range b.made {
			if strings.Contains(string(doc), "only.mine") && strings.Contains(string(doc), "only.theirs") {
				t.Errorf("build %s was made from both functions' metadata: %s", key, doc)
			}
		}
	})
}
