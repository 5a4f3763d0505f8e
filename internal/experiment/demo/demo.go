// Package demo takes sample functions on a running platform up the ladder, rung by rung, and measures
// what their users see: cold starts, warm invocations, memory, and that no answer was wrong on
// the way. What is printed is what was measured, and every wish that a user would not have is said.
// It must not know what is behind the platform's API.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/cloudjit/cloudjit/internal/client"
	"github.com/cloudjit/cloudjit/internal/experiment/live"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/sample"
	"github.com/cloudjit/cloudjit/internal/store"
)

// Options of a run.
type Options struct {
	Client *client.Client
	// Samples to run; the rare requests of those that have any force a deoptimization.
	Samples []*sample.Sample
	Names   []string // of the functions, for Samples
	// Out takes what happens, as it happens.
	Out io.Writer
	// ColdStarts and Warm are how many of each are measured on each rung.
	ColdStarts, Warm int
	// BuildTime is how long a function may take to become native.
	BuildTime time.Duration
}

// rungs that are shown, in their order.
var rungs = []function.Rung{ladder.HotSpot, ladder.AOTCache, ladder.Snapshot, ladder.Native}

// Rung is what was measured of one rung.
type Rung struct {
	Rung    function.Rung `json:"rung"`
	ColdP50 float64       `json:"cold_p50_ms"`
	// WarmP50 is absent if no warm invocation was answered by the rung: while metadata are recorded,
	// the worker that records is preferred for what follows a cold start.
	WarmP50 float64 `json:"warm_p50_ms,omitempty"`
	// Memory is the mean PSS of an idle worker; absent if none was idle.
	Memory float64 `json:"memory_mib,omitempty"`
	Colds  int     `json:"cold_starts"`
	Warms  int     `json:"warm_invocations"`
	// After is how long it took until the rung served, from the first invocation with the optimizer
	// (aot-cache), from the end of that (snapshot), or from the wish for it (native).
	After float64 `json:"ready_after_s,omitempty"`
}

// Warm is WarmP50 for people.
func (r *Rung) Warm() string { return inWords("%.2f ms", r.WarmP50, r.Warms > 0) }

// PSS is Memory for people.
func (r *Rung) PSS() string { return inWords("%.0f MiB", r.Memory, r.Memory > 0) }

func inWords(format string, value float64, was bool) string {
	if !was {
		return "not measured"
	}
	return fmt.Sprintf(format, value)
}

// Function is what was measured of one function.
type Function struct {
	Name  string `json:"name"`
	Rungs []Rung `json:"rungs"`
	// Recording is the cold start of the worker that recorded for the AOT cache.
	Recording float64            `json:"recording_cold_ms"`
	Builds    []*store.Build     `json:"builds"`
	Steps     []store.Transition `json:"pipeline"`
}

// Report is what out/demo.json holds. Rungs are those of the first function.
type Report struct {
	Rungs            []Rung     `json:"rungs"`
	Functions        []Function `json:"functions"`
	Deoptimizations  int        `json:"deoptimizations"`
	Invocations      int        `json:"invocations"`
	WrongAnswers     int        `json:"wrong_answers"`
	FirstWrongAnswer string     `json:"first_wrong_answer,omitempty"`
}

// run is one function on its way.
type run struct {
	o         *Options
	fn        *live.Function
	recording time.Duration
	at        map[function.Rung]*measured

	mu       sync.Mutex
	asked    int
	wrong    []error
	counting function.Rung // whose answers count for the table; empty: none's
}

// measured is what was seen of a rung.
type measured struct {
	cold, warm []time.Duration
	memory     float64 // MiB
	after      time.Duration
}

// Run takes all samples up the ladder. The error says what kept it from its end; the
// report has what was measured until then.
func Run(ctx context.Context, o Options) (*Report, error) {
	report := &Report{}
	var runs []*run
	for i, s := range o.Samples {
		r := &run{o: &o, at: map[function.Rung]*measured{}}
		for _, rung := range rungs {
			r.at[rung] = &measured{}
		}
		runs = append(runs, r)
		o.say("\n%s", o.Names[i])
		if err := r.climb(ctx, o.Names[i], s); err != nil {
			return o.finish(ctx, report, runs), err
		}
	}
	for _, r := range runs {
		if len(r.fn.Sample.Rare) == 0 {
			continue
		}
		if err := r.deoptimize(ctx); err != nil {
			return o.finish(ctx, report, runs), err
		}
	}
	o.finish(ctx, report, runs)
	switch {
	case report.WrongAnswers > 0:
		return report, fmt.Errorf("%d of %d answers were wrong, the first: %s", report.WrongAnswers, report.Invocations, report.FirstWrongAnswer)
	case report.Deoptimizations == 0:
		return report, errors.New("no deoptimization happened, although a request reached code that was never traced")
	}
	return report, nil
}

func (o *Options) say(format string, args ...any) { fmt.Fprintf(o.Out, format+"\n", args...) }

// policy of the demonstration: the platform's own, but for how long an idle worker is kept at most.
func policy(optimize bool, keepAlive time.Duration) store.Policy {
	keep := store.Duration(keepAlive)
	return store.Policy{Optimize: &optimize, KeepAlive: &keep}
}

const (
	kept     = 10 * time.Minute
	parallel = 4 // requests of a burst

	// cacheTime is how long the recording and the making of an AOT cache may take.
	cacheTime = 2 * time.Minute
	// traceTime is how long it may take until the tracer has seen enough for a build.
	traceTime = 2 * time.Minute
	// burstPause leaves most of a small machine to the builder: JVMs that start every two seconds
	// keep two cores busy, and the builder is the one that waits.
	burstPause = 15 * time.Second
	look       = 200 * time.Millisecond
)

// climb takes the function from rung to rung.
func (r *run) climb(ctx context.Context, name string, s *sample.Sample) (err error) {
	if r.fn, err = live.Deploy(ctx, r.o.Client, name, s, policy(false, kept)); err != nil {
		return err
	}
	ordinary := max(20, 5*len(s.Requests))
	r.o.say("  deployed, with the optimizer off for now: what HotSpot alone does")
	if err := r.sequence(ctx, ordinary); err != nil {
		return err
	}
	if err := r.measure(ctx, false, ladder.HotSpot); err != nil {
		return err
	}
	if err := r.cache(ctx, ordinary); err != nil {
		return err
	}
	if err := r.measure(ctx, true, ladder.AOTCache); err != nil {
		return err
	}
	if err := r.snapshot(ctx); err != nil {
		return err
	}
	if err := r.native(ctx); err != nil {
		return err
	}
	return r.measure(ctx, true, ladder.Native)
}

// snapshot waits for the snapshot, which comes by itself where this machine can save workers and the function is a handler,
// and may have come before the cache was measured.
func (r *run) snapshot(ctx context.Context) error {
	rev, err := r.fn.Revision(ctx)
	if err != nil || rev.Pipeline == nil || rev.Pipeline.Of(ladder.Snapshot) == nil {
		return err
	}
	if err := r.until(ctx, time.Now(), ladder.Snapshot, ready, cacheTime, func(int) error { return r.sequence(ctx, 1) }); err != nil {
		return err
	}
	return r.measure(ctx, true, ladder.Snapshot)
}

// cache turns the optimizer on and waits for the AOT cache, which comes by itself.
func (r *run) cache(ctx context.Context, ordinary int) error {
	// The worker that is there goes with its next answer, so that the one after it finds none.
	if err := r.fn.SetPolicy(ctx, policy(false, 0)); err != nil {
		return err
	}
	if _, err := r.ask(ctx, 0); err != nil {
		return err
	}
	if err := r.fn.SetPolicy(ctx, policy(true, kept)); err != nil {
		return err
	}
	r.o.say("  the optimizer is on, as it is by default; %d requests, then nobody asks for a while", ordinary)
	begin := time.Now()
	first, err := r.ask(ctx, 0)
	if err != nil {
		return err
	}
	r.recording = first.Latency
	r.o.say("  %5.1f s  first answer, from %s, after %.0f ms: its worker records what it loads", time.Since(begin).Seconds(), first.Rung, ms(first.Latency))
	if err := r.sequence(ctx, ordinary-1); err != nil {
		return err
	}
	return r.until(ctx, begin, ladder.AOTCache, ready, cacheTime, func(int) error { return nil })
}

// native asks for a binary, lets the tracer see ordinary traffic until a build begins, and goes on
// asking now and then until it serves.
func (r *run) native(ctx context.Context) error {
	r.o.say("  asked for native, as \"cloudjit optimize\" does: by itself the policy builds where minutes of building pay")
	if err := r.fn.SetPolicy(ctx, policy(true, kept)); err != nil {
		return err
	}
	// The policy may have begun to record by itself, while only one kind of request was asked: what is built shall know all.
	for range 3 {
		if err := r.sequence(ctx, len(r.fn.Sample.Requests)); err != nil {
			return err
		}
	}
	begin := time.Now()
	if err := r.fn.Optimize(ctx, ladder.Native); err != nil {
		return err
	}
	begun := func(p pipeline.Phase) bool { return p.Making() || ready(p) }
	err := r.until(ctx, begin, ladder.Native, begun, traceTime, func(int) error { return r.sequence(ctx, len(r.fn.Sample.Requests)) })
	if err != nil {
		return err
	}
	last := time.Now()
	err = r.until(ctx, begin, ladder.Native, ready, r.o.BuildTime, func(i int) error {
		if time.Since(last) < burstPause {
			return nil
		}
		last = time.Now()
		return r.burst(ctx, i)
	})
	if err != nil {
		return err
	}
	r.o.say("  native after %s, while every request was answered", time.Since(begin).Round(time.Second))
	return nil
}

func ready(p pipeline.Phase) bool { return p == pipeline.PhaseReady }

// until looks at the function's rung until its phase is one that is wanted, and does something between
// two looks.
func (r *run) until(ctx context.Context, begin time.Time, want function.Rung, reached func(pipeline.Phase) bool, limit time.Duration, meanwhile func(i int) error) error {
	shown := ""
	for i := 0; ; i++ {
		rev, err := r.fn.Revision(ctx)
		if err != nil {
			return err
		}
		var build store.Build
		if n := len(rev.Builds); n > 0 {
			build = *rev.Builds[n-1]
		}
		if p := rev.Pipeline; p != nil {
			state := p.State()
			if build.State == "running" && build.Phase != "" {
				state += ": " + build.Phase
			}
			if state != shown {
				r.o.say("  %5.1f s  %s", time.Since(begin).Seconds(), state)
				shown = state
			}
			rung := p.Of(want)
			if rung == nil {
				return fmt.Errorf("%s has no rung %s", r.fn.Name, want)
			}
			if reached(rung.Phase) {
				r.at[want].after = time.Since(begin)
				return nil
			}
		}
		if build.Rung == want && build.State == "failed" {
			return fmt.Errorf("the build of %s for %s failed (%s): %s", want, r.fn.Name, build.Class, build.Reason)
		}
		if time.Since(begin) > limit {
			return fmt.Errorf("%s: %s is not there after %s", r.fn.Name, want, limit)
		}
		if err := meanwhile(i); err != nil {
			return err
		}
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// measure takes cold starts one after the other, with workers that are not kept at all, and
// then warm invocations of one that is.
//
// A rung that a better one has taken the place of already, as a snapshot does that is there before the AOT cache, is
// said and not measured.
func (r *run) measure(ctx context.Context, optimize bool, rung function.Rung) error {
	if above, err := r.above(ctx, rung); err != nil || above != "" {
		return err
	}
	if err := r.fn.SetPolicy(ctx, policy(optimize, 0)); err != nil {
		return err
	}
	// Workers that were kept until now go, and one of this rung comes.
	for range 50 {
		a, err := r.ask(ctx, 0)
		if err != nil {
			return err
		}
		if a.Cold && a.Rung == rung {
			break
		}
	}
	r.count(rung)
	defer r.count("")
	if err := r.sequence(ctx, r.o.ColdStarts); err != nil {
		return err
	}
	if err := r.fn.SetPolicy(ctx, policy(optimize, kept)); err != nil {
		return err
	}
	if err := r.sequence(ctx, r.o.Warm); err != nil {
		return err
	}
	if err := r.weigh(ctx, rung); err != nil {
		return err
	}
	t := r.rung(rung)
	if t.Colds == 0 {
		if above, err := r.above(ctx, rung); err != nil || above != "" {
			return err
		}
		return fmt.Errorf("%s: no cold start was on %s", r.fn.Name, rung)
	}
	r.o.say("  %-10s cold start p50 %8.1f ms   warm p50 %s   memory %s", rung, t.ColdP50, t.Warm(), t.PSS())
	return nil
}

// above is the rung above another one that new workers are of already, which it says; empty if there is none.
func (r *run) above(ctx context.Context, rung function.Rung) (function.Rung, error) {
	rev, err := r.fn.Revision(ctx)
	if err != nil || rev.Pipeline == nil || rung == ladder.HotSpot {
		return "", err
	}
	p := rev.Pipeline
	at := func(name function.Rung) int {
		return slices.IndexFunc(p.Ladder, func(r client.Rung) bool { return r.Rung == name })
	}
	if at(p.Rung) <= at(rung) {
		return "", nil
	}
	r.o.say("  %-10s is there; new workers are of %s already", rung, p.Rung)
	return p.Rung, nil
}

// count lets the answers of a rung count for the table from now on.
func (r *run) count(rung function.Rung) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counting = rung
}

// burst asks some requests at once.
func (r *run) burst(ctx context.Context, i int) error {
	var all sync.WaitGroup
	errs := make([]error, parallel)
	for k := range parallel {
		all.Go(func() { _, errs[k] = r.ask(ctx, i*parallel+k) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// sequence asks n requests, one after the other.
func (r *run) sequence(ctx context.Context, n int) error {
	for i := range n {
		if _, err := r.ask(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) ask(ctx context.Context, i int) (live.Answer, error) {
	requests := r.fn.Sample.Requests
	return r.askFor(ctx, &requests[i%len(requests)])
}

func (r *run) askFor(ctx context.Context, request *sample.Request) (live.Answer, error) {
	a, err := r.fn.Ask(ctx, request)
	if err != nil {
		return a, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	if a.Wrong != nil {
		r.wrong = append(r.wrong, a.Wrong)
	}
	if a.Rung == r.counting && r.counting != "" && a.Wrong == nil {
		at := r.at[a.Rung]
		if a.Cold {
			at.cold = append(at.cold, a.Latency)
		} else {
			at.warm = append(at.warm, a.Latency)
		}
	}
	return a, nil
}

// weigh measures the idle workers of a rung.
func (r *run) weigh(ctx context.Context, rung function.Rung) error {
	workers, err := r.fn.Workers(ctx)
	if err != nil {
		return err
	}
	var sum, count float64
	for _, w := range workers {
		if w.State == "idle" && w.Rung == rung && w.Recording == ladder.RecordingNone && w.Memory.PSS > 0 {
			sum += float64(w.Memory.PSS) / (1 << 20)
			count++
		}
	}
	if count > 0 {
		r.at[rung].memory = sum / count
	}
	return nil
}

// deoptimize asks what was never traced.
func (r *run) deoptimize(ctx context.Context) error {
	request := &r.fn.Sample.Rare[0]
	r.o.say("\n%s\n  a request that reaches code which the tracer never saw: %s", r.fn.Name, request.Name)
	a, err := r.askFor(ctx, request)
	if err != nil {
		return err
	}
	verdict := "right"
	if a.Wrong != nil {
		verdict = "WRONG: " + a.Wrong.Error()
	}
	rev, err := r.fn.Revision(ctx)
	if err != nil {
		return err
	}
	r.o.say("  answered by %s after %s, the answer is %s", a.Rung, a.Latency.Round(time.Millisecond), verdict)
	if p := rev.Pipeline; p != nil {
		r.o.say("  deoptimizations: %d; now %s (%s)", p.Deoptimizations, p.State(), p.Reason)
	}
	return r.sequence(ctx, 10) // ordinary traffic goes on
}

func (r *run) rung(rung function.Rung) Rung {
	m := r.at[rung]
	return Rung{Rung: rung, ColdP50: p50(m.cold), WarmP50: p50(m.warm), Memory: m.memory, Colds: len(m.cold), Warms: len(m.warm), After: m.after.Seconds()}
}

// p50 is the median in ms; 0 of nothing.
func p50(d []time.Duration) float64 {
	if len(d) == 0 {
		return 0
	}
	d = slices.Sorted(slices.Values(d))
	return ms(d[len(d)/2])
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// finish fills the report with what the runs have.
func (o *Options) finish(ctx context.Context, report *Report, runs []*run) *Report {
	for i, r := range runs {
		f := Function{Name: o.Names[i], Recording: ms(r.recording)}
		for _, name := range rungs {
			if rung := r.rung(name); rung.Colds+rung.Warms > 0 {
				f.Rungs = append(f.Rungs, rung)
			}
		}
		report.Invocations += r.asked
		report.WrongAnswers += len(r.wrong)
		if len(r.wrong) > 0 && report.FirstWrongAnswer == "" {
			report.FirstWrongAnswer = r.wrong[0].Error()
		}
		if r.fn != nil {
			if rev, err := r.fn.Revision(ctx); err == nil {
				f.Builds, f.Steps = rev.Builds, rev.History
				if rev.Pipeline != nil {
					report.Deoptimizations += rev.Pipeline.Deoptimizations
				}
			}
		}
		report.Functions = append(report.Functions, f)
	}
	if len(report.Functions) > 0 {
		report.Rungs = report.Functions[0].Rungs
	}
	return report
}
