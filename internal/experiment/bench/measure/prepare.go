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
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/store"
)

const (
	// never is a threshold of cold starts that a measurement does not reach: builds are asked for.
	never = 1_000_000
	kept  = time.Hour
	// attempts is how many binaries of one rung are built before it is given up: each that
	// met a missing element is followed by one with it.
	attempts = 5
	// goneTime is how long workers may take to go when they are not kept any more.
	goneTime = 45 * time.Second
	// cacheTime is how long the recording for an AOT cache and the cache may take.
	cacheTime = 3 * time.Minute
)

// tracing says that the tracer has not seen all that it is to see.
func tracing(p *client.Pipeline) bool { return recording(p, ladder.RecordingMetadata) }

// recording says that a recording is being taken.
func recording(p *client.Pipeline, what ladder.Recording) bool {
	return p != nil && slices.ContainsFunc(p.Recordings, func(r client.Recording) bool {
		return r.Recording == what && r.Phase == pipeline.PhaseRecording
	})
}

// phase of a rung's artifact.
func phase(rev *client.Revision, name function.Rung) pipeline.Phase {
	if p := rev.Pipeline; p != nil {
		if r := p.Of(name); r != nil {
			return r.Phase
		}
	}
	return pipeline.PhaseAbsent
}

func policy(optimize bool, keepAlive time.Duration) store.Policy {
	threshold, window, keep, missing := never, store.Duration(time.Minute), store.Duration(keepAlive), function.DeoptReexecute
	return store.Policy{Optimize: &optimize, Threshold: &threshold, Window: &window, KeepAlive: &keep, OnMissing: &missing}
}

// prepare leaves the application traced and, where a part needs it, on all rungs.
func (a *app) prepare(ctx context.Context) (err error) {
	figure1 := slices.Contains(a.run.Parts, bench.Figure1)
	built := figure1 || slices.Contains(a.run.Parts, bench.Table1)
	if figure1 {
		if a.hotspot, err = a.open(ctx, a.function()+"-hotspot", policy(false, 0)); err != nil {
			return err
		}
	}
	if built && slices.Contains(a.run.Settings.Rungs, ladder.AOTCache) {
		if err := a.cache(ctx); err != nil {
			a.failed("no %s: %v", ladder.AOTCache, err)
		}
	}
	if len(a.binaries()) == 0 && !slices.Contains(a.run.Parts, bench.Figure2) {
		return nil // nothing needs the tracer
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
	if !built {
		return nil
	}
	for _, name := range a.binaries() {
		if err := a.build(ctx, name); err != nil {
			return fmt.Errorf("no %s: %w", name, err)
		}
	}
	return nil
}

// binaries are the native rungs that are asked for, the lowest first.
func (a *app) binaries() []function.Rung {
	var names []function.Rung
	for _, name := range []function.Rung{ladder.Native, ladder.NativeOptimized, ladder.NativeProfiled} {
		if slices.Contains(a.run.Settings.Rungs, name) {
			names = append(names, name)
		}
	}
	return names
}

func (a *app) function() string { return "bench-" + a.Name }

// open takes a function that an earlier run left with the same code, or deploys it.
func (a *app) open(ctx context.Context, name string, p store.Policy) (*live.Function, error) {
	rev, err := revision(ctx, a.run.Client, name)
	if err != nil {
		return nil, err
	}
	if rev == nil || !a.same(rev) {
		return live.Deploy(ctx, a.run.Client, name, a.Sample, p)
	}
	fn, err := live.Open(ctx, a.run.Client, name, a.Sample)
	if err != nil {
		return nil, err
	}
	return fn, fn.SetPolicy(ctx, p)
}

// cache makes the function that gets an AOT cache, and waits for it.
func (a *app) cache(ctx context.Context) error {
	name := a.function() + "-" + string(ladder.AOTCache)
	rev, err := revision(ctx, a.run.Client, name)
	if err != nil {
		return err
	}
	is := func(p pipeline.Phase) bool {
		return rev != nil && !a.run.Fresh && a.same(rev) && phase(rev, ladder.AOTCache) == p
	}
	// The earlier run may have ended while the cache was compared with new samples.
	for begin := time.Now(); is(pipeline.PhaseChecking) && time.Since(begin) < cacheTime; {
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
		if rev, err = revision(ctx, a.run.Client, name); err != nil {
			return err
		}
	}
	reused := is(pipeline.PhaseReady)
	if !reused {
		if err := a.forget(ctx, name); err != nil {
			return err
		}
	}
	fn, err := a.open(ctx, name, policy(true, kept))
	if err != nil {
		return err
	}
	a.cached = fn
	if reused {
		a.run.say("  %s is there from an earlier run: %s", name, rev.Pipeline.State())
		return dismiss(ctx, fn, true)
	}
	a.run.say("  recording for an AOT cache")
	// It has no worker yet: the first is the one that records, and ends when it is idle.
	if err := fn.Optimize(ctx, ladder.AOTCache); err != nil {
		return err
	}
	if err := a.askAll(ctx, fn, a.run.Rounds); err != nil {
		return err
	}
	for begin := time.Now(); ; {
		if rev, err = fn.Revision(ctx); err != nil {
			return err
		}
		if n := len(rev.Builds); n > 0 && rev.Builds[n-1].State == "failed" {
			return fmt.Errorf("the build failed (%s): %s", rev.Builds[n-1].Class, rev.Builds[n-1].Reason)
		}
		switch p := phase(rev, ladder.AOTCache); {
		case p == pipeline.PhaseReady:
			a.run.say("  %s: there after %s", ladder.AOTCache, time.Since(begin).Round(100*time.Millisecond))
			return dismiss(ctx, fn, true)
		case p == pipeline.PhaseFailed:
			return fmt.Errorf("no worker came up with it: %s", rev.Pipeline.Of(ladder.AOTCache).Reason)
		case time.Since(begin) > cacheTime:
			return fmt.Errorf("it is not there after %s: %s", cacheTime, rev.Pipeline.State())
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// forget deletes a function, if it is there.
func (a *app) forget(ctx context.Context, name string) error {
	rev, err := revision(ctx, a.run.Client, name)
	if err != nil || rev == nil {
		return err
	}
	if err := a.run.Client.Call(ctx, http.MethodDelete, client.FunctionPath(name), nil, nil); err != nil {
		return fmt.Errorf("delete %s: %w", name, err)
	}
	return nil
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
	if err := a.forget(ctx, a.function()); err != nil { // of other code, or stuck: a new one begins from nothing
		return false, err
	}
	a.fn, err = live.Deploy(ctx, c, a.function(), a.Sample, policy(true, kept))
	return false, err
}

// revision is a function's newest revision; nil if there is no such function.
func revision(ctx context.Context, c *client.Client, name string) (*client.Revision, error) {
	rev, err := c.Latest(ctx, name)
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
// of a higher rung stands in the way of one that is missing.
func (a *app) reusable(rev *client.Revision) bool {
	if a.run.Fresh || rev.Pipeline == nil || len(rev.Metadata) == 0 || tracing(rev.Pipeline) {
		return false
	}
	higher := false
	for _, name := range []function.Rung{ladder.NativeProfiled, ladder.NativeOptimized, ladder.Native} {
		_, built := a.binary(rev, name)
		if slices.Contains(a.run.Settings.Rungs, name) && !built && higher {
			return false
		}
		higher = higher || built
	}
	return true
}

// binary is the newest build of a rung whose result is on this machine.
func (a *app) binary(rev *client.Revision, name function.Rung) (dir string, ok bool) {
	for _, b := range slices.Backward(rev.Builds) {
		if b.Rung == name && b.State == "succeeded" {
			return a.run.Binary(b.Key)
		}
	}
	return "", false
}

// trace lets the tracer see ordinary traffic, and then end. It comes when it is asked for, after a
// deoptimization by itself.
func (a *app) trace(ctx context.Context) error {
	a.run.say("  tracing: each of %d requests %d times", len(a.Sample.Requests), a.run.Rounds)
	if err := a.fn.SetPolicy(ctx, policy(true, kept)); err != nil { // one worker sees all
		return err
	}
	begin := time.Now()
	rev, err := a.fn.Revision(ctx)
	if err != nil {
		return err
	}
	if p := rev.Pipeline; p != nil && p.Of(ladder.Native) == nil && p.Of(ladder.NativeOptimized) == nil {
		return errors.New("nothing can be traced: this node has no builder of native images")
	}
	if !tracing(rev.Pipeline) {
		if err := a.fn.Deoptimize(ctx); err != nil {
			return err
		}
	}
	if err := a.askAll(ctx, a.fn, a.run.Rounds); err != nil {
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
		if traced && !tracing(rev.Pipeline) {
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
func (a *app) askAll(ctx context.Context, fn *live.Function, rounds int) error {
	for range rounds {
		for i := range a.Sample.Requests {
			answer, err := fn.Ask(ctx, &a.Sample.Requests[i])
			if err != nil {
				return err
			}
			if answer.Wrong != nil {
				a.note("a wrong answer of the platform on %s: %v", answer.Rung, answer.Wrong)
			}
		}
	}
	return nil
}

// build leaves a binary of a rung that answers all requests. One that meets an element that
// tracing had not seen is built again with it, as the platform would.
func (a *app) build(ctx context.Context, name function.Rung) error {
	for try := 1; ; try++ {
		if err := a.buildOnce(ctx, name); err != nil {
			return err
		}
		rev, err := a.fn.Revision(ctx)
		if err != nil {
			return err
		}
		if phase(rev, name) == pipeline.PhaseReady { // else it did not even start
			if err := a.askAll(ctx, a.fn, 2); err != nil {
				return err
			}
			if rev, err = a.fn.Revision(ctx); err != nil {
				return err
			}
		}
		if phase(rev, name) == pipeline.PhaseReady {
			if _, built := a.binary(rev, name); !built {
				a.note("the binary (%s) is not on this machine, so it is measured through the platform alone", name)
			}
			return nil
		}
		why := "deoptimized"
		for _, t := range rev.History {
			if t.Event == pipeline.EventDeoptimized.String() {
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

// buildOnce waits until the revision has a binary of a rung.
func (a *app) buildOnce(ctx context.Context, name function.Rung) error {
	rev, err := a.fn.Revision(ctx)
	if err != nil {
		return err
	}
	if _, built := a.binary(rev, name); built && phase(rev, name) == pipeline.PhaseReady {
		return nil
	}
	known := map[string]bool{}
	for _, b := range rev.Builds {
		known[b.ID] = b.State != "running" && b.State != "queued"
	}
	if err := a.fn.Optimize(ctx, name); err != nil {
		return err
	}
	begin, shown, told := time.Now(), "", time.Now()
	for {
		if rev, err = a.fn.Revision(ctx); err != nil {
			return err
		}
		var b store.Build // the one that was asked for, once it is there
		if n := len(rev.Builds); n > 0 && !known[rev.Builds[n-1].ID] {
			b = *rev.Builds[n-1]
		}
		p := phase(rev, name)
		switch {
		case b.State == "failed":
			return fmt.Errorf("the build failed after %s (%s): %s", b.Cost.Wall.Round(time.Second), b.Class, b.Reason)
		case b.State == "cancelled":
			return errors.New("the build was cancelled")
		case b.State == "succeeded" && p == pipeline.PhaseReady:
			a.run.say("  %s: built in %s, %.1f MB", name, b.Cost.Wall.Round(time.Second), float64(b.Cost.Size)/1e6)
			return nil
		case b.State == "succeeded" && !p.Making():
			if tracing(rev.Pipeline) {
				return nil // it met a missing element while it started: the caller traces
			}
			return fmt.Errorf("the binary did not come up: %s", rev.Pipeline.Of(name).Reason)
		}
		state := "waiting"
		if rev.Pipeline != nil {
			state = rev.Pipeline.State()
		}
		if b.State == "running" && b.Phase != "" {
			state += ": " + b.Phase
		}
		if state != shown || time.Since(told) > time.Minute {
			a.run.say("  %s", state)
			shown, told = state, time.Now()
		}
		if time.Since(begin) > a.run.BuildTime {
			return fmt.Errorf("not native after %s", a.run.BuildTime)
		}
		if recording(rev.Pipeline, ladder.RecordingProfile) { // of ordinary traffic
			if err := a.askAll(ctx, a.fn, 1); err != nil {
				return err
			}
			continue
		}
		if err := pause(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
}

// dismiss lets a function keep no worker any more. One that is idle already goes only after it
// has served once more, so each is asked something.
func dismiss(ctx context.Context, fn *live.Function, optimize bool) error {
	if err := fn.SetPolicy(ctx, policy(optimize, 0)); err != nil {
		return err
	}
	for {
		workers, err := fn.Workers(ctx)
		if err != nil || !slices.ContainsFunc(workers, func(w client.Worker) bool { return w.State == "idle" }) {
			return err
		}
		if _, err := fn.Ask(ctx, &fn.Sample.Requests[0]); err != nil {
			return err
		}
	}
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
