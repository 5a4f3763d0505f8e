// Package demo drives sample functions on a running platform through every tier and measures
// what their users see: cold starts, warm invocations, memory, and that no answer was wrong on
// the way. Nothing in it is scripted: the platform decides by its ordinary rules, and what is
// printed is what was measured. It must not know what is behind the platform's API.
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
	// ColdStarts and Warm are how many of each are measured for each tier.
	ColdStarts, Warm int
	// BuildTime is how long a function may take to become native.
	BuildTime time.Duration
}

// Tier is what was measured of one tier.
type Tier struct {
	Tier    function.Tier `json:"tier"`
	ColdP50 float64       `json:"cold_p50_ms"`
	WarmP50 float64       `json:"warm_p50_ms"`
	// Memory is the mean PSS of an idle worker.
	Memory float64 `json:"memory_mib"`
	Colds  int     `json:"cold_starts"`
	Warms  int     `json:"warm_invocations"`
}

// Function is what was measured of one function.
type Function struct {
	Name   string             `json:"name"`
	Tiers  []Tier             `json:"tiers"`
	Builds []*store.Build     `json:"builds"`
	Steps  []store.Transition `json:"pipeline"`
}

// Report is what out/demo.json holds. Tiers are those of the first function.
type Report struct {
	Tiers            []Tier     `json:"tiers"`
	Functions        []Function `json:"functions"`
	Deoptimizations  int        `json:"deoptimizations"`
	Invocations      int        `json:"invocations"`
	WrongAnswers     int        `json:"wrong_answers"`
	FirstWrongAnswer string     `json:"first_wrong_answer,omitempty"`
}

// run is one function on its way.
type run struct {
	o  *Options
	fn *live.Function

	mu       sync.Mutex
	asked    int
	wrong    []error
	measured bool // answers count for the table
	cold     map[function.Tier][]time.Duration
	warm     map[function.Tier][]time.Duration
	memory   map[function.Tier]float64
}

// Run takes all samples through the pipeline. The error says what kept it from its end; the
// report has what was measured until then.
func Run(ctx context.Context, o Options) (*Report, error) {
	report := &Report{}
	var runs []*run
	for i, s := range o.Samples {
		r := &run{o: &o, cold: map[function.Tier][]time.Duration{}, warm: map[function.Tier][]time.Duration{}, memory: map[function.Tier]float64{}}
		runs = append(runs, r)
		o.say("\n%s", o.Names[i])
		if err := r.optimize(ctx, o.Names[i], s); err != nil {
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

// policy of the demonstration: promotes after more than threshold cold starts in a minute.
func policy(threshold int, keepAlive time.Duration) store.Policy {
	on, window, keep := true, store.Duration(time.Minute), store.Duration(keepAlive)
	return store.Policy{Optimize: &on, Threshold: &threshold, Window: &window, KeepAlive: &keep}
}

const (
	notYet   = 100_000 // cold starts: the policy waits until the HotSpot tier is measured
	eager    = 2       // cold starts: the paper's live policy
	kept     = 10 * time.Minute
	parallel = 4 // requests of a burst

	// burstPause lets the workers of the last burst go, so that the next one starts cold.
	burstPause = 1500 * time.Millisecond
	// buildPause leaves most of a small machine to the builder: four JVMs that start every
	// two seconds keep two cores busy, and the builder is the one that waits.
	buildPause = 15 * time.Second
)

func (r *run) optimize(ctx context.Context, name string, s *sample.Sample) (err error) {
	if r.fn, err = live.Deploy(ctx, r.o.Client, name, s, policy(notYet, kept)); err != nil {
		return err
	}
	r.o.say("  deployed; ordinary traffic runs on HotSpot with the tracer")
	r.measured = true
	if err := r.sequence(ctx, max(20, 5*len(s.Requests))); err != nil {
		return err
	}
	if err := r.weigh(ctx); err != nil {
		return err
	}
	if err := r.measure(ctx, notYet, function.TierHotSpot); err != nil {
		return err
	}

	r.o.say("  the policy is told to optimize after %d cold starts in a minute; bursts of %d requests until it did", eager, parallel)
	r.measured = false
	if err := r.fn.SetPolicy(ctx, policy(eager, time.Second)); err != nil {
		return err
	}
	begin := time.Now()
	if err := r.untilNative(ctx, begin); err != nil {
		return err
	}
	r.o.say("  native after %s, while every request was answered", time.Since(begin).Round(time.Second))
	r.measured = true
	return r.measure(ctx, notYet, function.TierNative)
}

// measure takes cold starts one after the other, with workers that are not kept at all, and
// then warm invocations of one that is.
func (r *run) measure(ctx context.Context, threshold int, want function.Tier) error {
	if err := r.fn.SetPolicy(ctx, policy(threshold, 0)); err != nil {
		return err
	}
	// Workers that were kept until now go, and one that runs this tier comes.
	for range 50 {
		a, err := r.ask(ctx, 0)
		if err != nil {
			return err
		}
		if a.Cold && a.Tier == want && len(r.cold[want]) >= 2 {
			break
		}
	}
	if err := r.sequence(ctx, r.o.ColdStarts); err != nil {
		return err
	}
	if err := r.fn.SetPolicy(ctx, policy(threshold, kept)); err != nil {
		return err
	}
	if err := r.sequence(ctx, r.o.Warm); err != nil {
		return err
	}
	if err := r.weigh(ctx); err != nil {
		return err
	}
	t := r.tier(want)
	r.o.say("  %-14s cold start p50 %8.1f ms   warm p50 %6.2f ms   %5.0f MiB", want, t.ColdP50, t.WarmP50, t.Memory)
	if t.Colds == 0 {
		return fmt.Errorf("%s: no cold start was on %s", r.fn.Name, want)
	}
	return nil
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
	if r.measured && a.Wrong == nil {
		if a.Cold {
			r.cold[a.Tier] = append(r.cold[a.Tier], a.Latency)
		} else {
			r.warm[a.Tier] = append(r.warm[a.Tier], a.Latency)
		}
	}
	return a, nil
}

// untilNative sends bursts, a second apart so that workers of the last one have gone, until
// new workers are native.
func (r *run) untilNative(ctx context.Context, begin time.Time) error {
	shown := ""
	for i := 0; ; i++ {
		var burst sync.WaitGroup
		errs := make([]error, parallel)
		for k := range parallel {
			burst.Go(func() { _, errs[k] = r.ask(ctx, i*parallel+k) })
		}
		burst.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
		rev, err := r.fn.Revision(ctx)
		if err != nil {
			return err
		}
		pause := burstPause
		if p := rev.Pipeline; p != nil {
			if p.Phase != "idle" && p.Phase != "" {
				pause = buildPause
			}
			state := p.State()
			if n := len(rev.Builds); n > 0 && rev.Builds[n-1].State == "running" && rev.Builds[n-1].Phase != "" {
				state += ": " + rev.Builds[n-1].Phase
			}
			if state != shown {
				r.o.say("  %5.0f s  %s", time.Since(begin).Seconds(), state)
				shown = state
			}
			if p.Tier == function.TierNative {
				return nil
			}
		}
		if n := len(rev.Builds); n > 0 && rev.Builds[n-1].State == "failed" {
			return fmt.Errorf("the build of %s failed (%s): %s", r.fn.Name, rev.Builds[n-1].Class, rev.Builds[n-1].Reason)
		}
		if time.Since(begin) > r.o.BuildTime {
			return fmt.Errorf("%s is not native after %s", r.fn.Name, r.o.BuildTime)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// weigh measures idle workers.
func (r *run) weigh(ctx context.Context) error {
	workers, err := r.fn.Workers(ctx)
	if err != nil {
		return err
	}
	sum, count := map[function.Tier]float64{}, map[function.Tier]float64{}
	for _, w := range workers {
		if w.State == "idle" {
			sum[w.Tier] += float64(w.Memory.PSS) / (1 << 20)
			count[w.Tier]++
		}
	}
	for tier := range sum {
		r.memory[tier] = sum[tier] / count[tier]
	}
	return nil
}

// deoptimize asks what was never traced.
func (r *run) deoptimize(ctx context.Context) error {
	request := &r.fn.Sample.Rare[0]
	r.o.say("\n%s\n  a request that reaches code which the tracer never saw: %s", r.fn.Name, request.Name)
	r.measured = false
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
	r.o.say("  answered by %s after %s, the answer is %s", a.Tier, a.Latency.Round(time.Millisecond), verdict)
	if p := rev.Pipeline; p != nil {
		r.o.say("  deoptimizations: %d; new workers are %s (%s)", p.Deoptimizations, p.Tier, p.Reason)
	}
	return r.sequence(ctx, 10) // ordinary traffic goes on
}

func (r *run) tier(t function.Tier) Tier {
	return Tier{Tier: t, ColdP50: p50(r.cold[t]), WarmP50: p50(r.warm[t]), Memory: r.memory[t], Colds: len(r.cold[t]), Warms: len(r.warm[t])}
}

// p50 is the median in ms; 0 of nothing.
func p50(d []time.Duration) float64 {
	if len(d) == 0 {
		return 0
	}
	d = slices.Sorted(slices.Values(d))
	return float64(d[len(d)/2].Microseconds()) / 1000
}

// finish fills the report with what the runs have.
func (o *Options) finish(ctx context.Context, report *Report, runs []*run) *Report {
	for i, r := range runs {
		f := Function{Name: o.Names[i]}
		for _, t := range []function.Tier{function.TierHotSpotAgent, function.TierHotSpot, function.TierNative} {
			if tier := r.tier(t); tier.Colds+tier.Warms > 0 {
				f.Tiers = append(f.Tiers, tier)
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
		report.Tiers = report.Functions[0].Tiers
	}
	return report
}
