package calls

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"time"

	"github.com/cloudjit/cloudjit/internal/api/gate"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/node"
	"github.com/cloudjit/cloudjit/internal/spool"
	"github.com/cloudjit/cloudjit/internal/store"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// Call is one invocation on its way to the platform.
type Call struct {
	Function   *store.Function
	Version    *store.Version
	Qualifier  string // as the caller gave it
	Invocation worker.Invocation
	Body       *spool.Body // of the event, if it is in the spool
}

// Close gives back what the event takes.
func (c *Call) Close() {
	if c.Body != nil {
		c.Body.Close()
	}
}

// Resolve finds the version that an invocation goes to. Of an alias with weights it is drawn.
func (s *Runner) Resolve(f gate.Ref) (*store.Function, *store.Version, error) {
	fn, ok := s.Store.FindFunction(s.Life, f.Name)
	if !ok {
		return nil, nil, s.NoFunction(f.Name, f.Qualifier)
	}
	qualifier := f.Qualifier
	if a, ok := fn.Aliases[qualifier]; ok {
		qualifier = Draw(a, mathrand.Float64())
	}
	v, ok := gate.VersionOf(fn, qualifier)
	if !ok {
		return nil, nil, s.NoFunction(f.Name, f.Qualifier)
	}
	return fn, v, nil
}

// Draw chooses one of an alias's versions by weight; x is in [0, 1).
func Draw(a store.Alias, x float64) string {
	for version, weight := range a.Weights { // one at most
		if x < weight {
			return version
		}
	}
	return a.Version
}

// MaxResolve is how often a name is resolved again because its revision was replaced meanwhile.
const MaxResolve = 5

// Perform runs one invocation. A web function gets the event as a request. The revision may be
// replaced on the way; c.version is the one that ran.
func (s *Runner) Perform(ctx context.Context, c *Call) (*node.Result, error) {
	for n := 1; ; n++ {
		res, err := s.performOn(ctx, c.Version, &c.Invocation)
		if !errors.Is(err, node.ErrNotFound) || n == MaxResolve {
			return res, err
		}
		s.Sync(c.Function.Name) // whichever of the two is behind
		if c.Function, c.Version, err = s.Resolve(gate.Ref{Name: c.Function.Name, Qualifier: c.Qualifier}); err != nil {
			return nil, err
		}
	}
}

func (s *Runner) performOn(ctx context.Context, v *store.Version, inv *worker.Invocation) (*node.Result, error) {
	id := v.Current()
	rev, ok := s.Store.Revision(id)
	if !ok {
		return nil, fmt.Errorf("invoke %s: %w", id, node.ErrNotFound)
	}
	if rev.Spec.Kind == function.KindWeb {
		return s.performWeb(ctx, rev, inv)
	}
	inv.Keep = s.KeepAnswer
	return s.Platform.Invoke(ctx, id, inv)
}

func (s *Runner) TimeoutOf(v *store.Version) time.Duration {
	if rev, ok := s.Store.Revision(v.Current()); ok {
		return rev.Spec.Timeout
	}
	return 0
}

// NewTraceID returns an X-Ray trace header that asks for no sampling.
func NewTraceID() string {
	const form = "Root=1-00000000-000000000000000000000000;Sampled=0"
	b := []byte(form)
	var x [16]byte
	now := uint32(time.Now().Unix())
	x[0], x[1], x[2], x[3] = byte(now>>24), byte(now>>16), byte(now>>8), byte(now)
	for i, v := 4, mathrand.Uint64(); i < 12; i, v = i+1, v>>8 {
		x[i] = byte(v)
	}
	for i, v := 12, mathrand.Uint32(); i < 16; i, v = i+1, v>>8 {
		x[i] = byte(v)
	}
	hex.Encode(b[7:15], x[:4])
	hex.Encode(b[16:40], x[4:])
	return string(b)
}
