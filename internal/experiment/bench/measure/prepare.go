package measure

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/cloudjit/cloudjit/internal/client"
	"github.com/cloudjit/cloudjit/internal/experiment/bench"
	"github.com/cloudjit/cloudjit/internal/experiment/live"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/store"
)

const (
	// never is a threshold of cold starts that a measurement does not reach: builds are asked for.
	never = 1_000_000
	kept  = time.Hour
	// attempts is how many binaries of one level are built before it is given up: each that
	// met a missing element is followed by one with it.
	attempts = 5
	// goneTime is how long workers may take to go when they are not kept any more.
	goneTime = 45 * time.Second
	// tracing is the stage of a revision whose metadata is not complete.
	tracing = "hotspot-agent"
)

func policy(optimize bool, keepAlive time.Duration) store.Policy {
	threshold, window, keep, missing := never, store.Duration(time.Minute), store.Duration(keepAlive), function.DeoptReexecute
	return store.Policy{Optimize: &optimize, Threshold: &threshold, Window: &window, KeepAlive: &keep, OnMissing: &missing}
}

// prepare leaves the application traced and, where a part needs it, native in all levels.
func (a *app) prepare(ctx context.Context) error {
	figure1 := slices.Contains(a.run.Parts, bench.Figure1)
	if figure1 {
		if err := a.deployHotSpot(ctx); err != nil {
			return err
		}
	}
	reused, err := a.deploy(ctx)
	if err != nil {
		return err
	}
	if !reused {
		if err := a.trace(ctx); err != nil {
			return err
		}
	}
	if !figure1 && !slices.Contains(a.run.Parts, bench.Table1) {
		return nil
	}
	for _, l := range slices.Sorted(slices.Values(a.run.Settings.Levels)) {
		if err := a.build(ctx, l); err != nil {
			return fmt.Errorf("no native image (%s): %w", l, err)
		}
	}
	return nil
}

func (a *app) function() string { return "bench-" + a.Name }

// deployHotSpot makes the function that is never optimized.
func (a *app) deployHotSpot(ctx context.Context) error {
	name := a.function() + "-hotspot"
	rev, err := revision(ctx, a.run.Client, name)
	if err != nil {
		return err
	}
	if rev != nil && a.same(rev) {
		if a.hotspot, err = live.Open(ctx, a.run.Client, name, a.Sample); err != nil {
			return err
		}
		return a.hotspot.SetPolicy(ctx, policy(false, 0))
	}
	a.hotspot, err = live.Deploy(ctx, a.run.Client, name, a.Sample, policy(false, 0))
	return err
}

// deploy makes the function that becomes native. reused says that an earlier run left it,
// traced, with the same code.
func (a *app) deploy(ctx context.Context) (reused bool, err error) {
	c := a.run.Client
	rev, err := revision(ctx, c, a.function())
	if err != nil {
		return false, err
	}
	if rev != nil && a.same(rev) && a.reusable(rev) {
		a.run.say("  %s is there from an earlier run: %s", a.function(), rev.Pipeline.State())
		if a.fn, err = live.Open(ctx, c, a.function(), a.Sample); err != nil {
			return false, err
		}
		return true, a.fn.SetPolicy(ctx, policy(true, 0))
	}
	if rev != nil { // of other code, or stuck: a new one begins from nothing
		if err := c.Call(ctx, http.MethodDelete, client.FunctionPath(a.function()), nil, nil); err != nil {
			return false, fmt.Errorf("delete %s: %w", a.function(), err)
		}
	}
	a.fn, err = live.Deploy(ctx, c, a.function(), a.Sample, policy(true, kept))
	return false, err
}

// revision is a function's newest revision; nil if there is no such function.
func revision(ctx context.Context, c *client.Client, name string) (*client.Revision, error) {
	rev := new(client.Revision)
	err := c.Call(ctx, http.MethodGet, client.OwnFunction(name)+"/revisions/latest", nil, rev)
	var missing *client.Error
	if errors.As(err, &missing) && missing.Status == 404 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", name, err)
	}
	return rev, nil
}

// same says that a revision is what would be deployed.
func (a *app) same(rev *client.Revision) bool {
	return rev.CodeSHA256 == a.sha && rev.MemoryMiB == a.out.MemoryMiB && rev.Kind.String() == a.Sample.Kind &&
		(a.Sample.Kind == "web" || rev.Handler == a.Sample.Handler)
}

// reusable says that an earlier run's function can serve this one: it was traced, and no binary
// of a higher level stands in the way of one that is missing.
func (a *app) reusable(rev *client.Revision) bool {
	if a.run.Fresh || rev.Pipeline == nil || len(rev.Metadata) == 0 || rev.Pipeline.Stage == tracing {
		return false
	}
	higher := false
	for _, l := range []function.Level{function.LevelOptimized, function.LevelQuick} {
		_, built := a.binary(rev, l)
		if slices.Contains(a.run.Settings.Levels, l) && !built && higher {
			return false
		}
		higher = higher || built
	}
	return true
}

// binary is the newest build of a level whose result is on this machine.
func (a *app) binary(rev *client.Revision, l function.Level) (dir string, ok bool) {
	for _, b := range slices.Backward(rev.Builds) {
		if b.Level == l && b.State == "succeeded" {
			return a.run.Binary(b.Key)
		}
	}
	return "", false
}

// trace lets the tracer see ordinary traffic, and then end.
func (a *app) trace(ctx context.Context) error {
	a.run.say("  tracing: each of %d requests %d times", len(a.Sample.Requests), a.run.Rounds)
	if err := a.fn.SetPolicy(ctx, policy(true, kept)); err != nil { // one worker sees all
		return err
	}
	begin := time.Now()
	if err := a.askAll(ctx, a.run.Rounds); err != nil {
		return err
	}
	if err := dismiss(ctx, a.fn, true); err != nil {
		return err
	}
	for end := time.Now().Add(goneTime); ; {
		rev, err := a.fn.Revision(ctx)
		if err != nil {
			return err
		}
		traced := len(rev.Metadata) > 0
		if p := rev.Pipeline; traced && p != nil && p.Stage != tracing {
			a.run.say("  traced in %s", time.Since(begin).Round(time.Second))
			return nil
		}
		if time.Now().After(end) {
			if traced {
				return nil // what there is can be built
			}
			return errors.New("the tracer left no metadata")
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// askAll asks every request so many times through the platform. Wrong answers are noted.
func (a *app) askAll(ctx context.Context, rounds int) error {
	for range rounds {
		for i := range a.Sample.Requests {
			answer, err := a.fn.Ask(ctx, &a.Sample.Requests[i])
			if err != nil {
				return err
			}
			if answer.Wrong != nil {
				a.note("a wrong answer of the platform on %s: %v", answer.Tier, answer.Wrong)
			}
		}
	}
	return nil
}

// build leaves a binary of a level that answers all requests. One that meets an element that
// tracing had not seen is built again with it, as the platform would.
func (a *app) build(ctx context.Context, l function.Level) error {
	for try := 1; ; try++ {
		if err := a.buildOnce(ctx, l); err != nil {
			return err
		}
		rev, err := a.fn.Revision(ctx)
		if err != nil {
			return err
		}
		if rev.Pipeline != nil && rev.Pipeline.Tier == function.TierNative { // else it did not even start
			if err := a.askAll(ctx, 2); err != nil {
				return err
			}
			if rev, err = a.fn.Revision(ctx); err != nil {
				return err
			}
		}
		if _, built := a.binary(rev, l); rev.Pipeline != nil && rev.Pipeline.Tier == function.TierNative {
			if !built {
				a.note("the binary (%s) is not on this machine, so it is measured through the platform alone", l)
			}
			return nil
		}
		why := "deoptimized"
		for _, t := range rev.History {
			if t.To == tracing { // only a deoptimization leads there again
				why = t.Reason
			}
		}
		if try == attempts {
			return fmt.Errorf("%d binaries met elements without metadata, the last: %s", try, why)
		}
		a.run.say("  the binary met an element without metadata (%s): traced and built again", why)
		a.note("the binary of try %d met an element that tracing had not seen, and was built again with it", try)
		if err := a.trace(ctx); err != nil {
			return err
		}
	}
}

// buildOnce waits until the revision is native with a binary of at least a level.
func (a *app) buildOnce(ctx context.Context, l function.Level) error {
	rev, err := a.fn.Revision(ctx)
	if err != nil {
		return err
	}
	if _, built := a.binary(rev, l); built && rev.Pipeline != nil && rev.Pipeline.Tier == function.TierNative && (rev.Pipeline.Phase == "idle" || rev.Pipeline.Phase == "") {
		return nil
	}
	known := map[string]bool{}
	for _, b := range rev.Builds {
		known[b.ID] = b.State != "running"
	}
	if err := a.run.Client.Call(ctx, http.MethodPost, client.OwnFunction(a.function())+"/optimize", map[string]any{"level": l}, nil); err != nil {
		return fmt.Errorf("ask for a build: %w", err)
	}
	begin, shown, told := time.Now(), "", time.Now()
	for {
		if rev, err = a.fn.Revision(ctx); err != nil {
			return err
		}
		var b *store.Build
		if n := len(rev.Builds); n > 0 && !known[rev.Builds[n-1].ID] {
			b = rev.Builds[n-1]
		}
		state := "waiting"
		if p := rev.Pipeline; p != nil {
			state = p.State()
			switch {
			case b == nil || b.State == "running":
				if b != nil && b.Phase != "" {
					state += ": " + b.Phase
				}
			case b.State == "failed":
				return fmt.Errorf("the build failed after %s (%s): %s", b.Cost.Wall.Round(time.Second), b.Class, b.Reason)
			case b.State == "succeeded" && p.Phase == "idle" && p.Tier == function.TierNative:
				a.run.say("  native (%s): built in %s, %.1f MB", l, b.Cost.Wall.Round(time.Second), float64(b.Cost.Size)/1e6)
				return nil
			case b.State == "succeeded" && p.Phase == "idle":
				if n := len(rev.History); n > 0 && p.Stage != tracing {
					return fmt.Errorf("the binary did not come up: %s", rev.History[n-1].Reason)
				}
				return nil // it met a missing element while it started: the caller traces
			case b.State == "cancelled":
				return errors.New("the build was cancelled")
			}
		}
		if state != shown || time.Since(told) > time.Minute {
			a.run.say("  %s", state)
			shown, told = state, time.Now()
		}
		if time.Since(begin) > a.run.BuildTime {
			return fmt.Errorf("not native after %s", a.run.BuildTime)
		}
		if err := pause(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
}

// dismiss lets a function keep no worker any more. One that is idle already goes only after it
// has served once more, so one request is asked.
func dismiss(ctx context.Context, fn *live.Function, optimize bool) error {
	if err := fn.SetPolicy(ctx, policy(optimize, 0)); err != nil {
		return err
	}
	_, err := fn.Ask(ctx, &fn.Sample.Requests[0])
	return err
}

// pause waits, or returns the context's error.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
