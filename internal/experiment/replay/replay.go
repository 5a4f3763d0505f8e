// Package replay runs a trace against a live platform, with a function that takes the memory and
// the time that the trace says, and then simulates exactly the same with the durations that were
// measured: what the paper's section 5.2 does, and how far the simulator of 5.1 is from it.
//
// Live seconds come from the log of the live engine by the same definitions as the simulator's,
// memory from the workers, responses from the client's side. It must not know how a platform is
// started, and asks of it what every user can; only the engine's log is more.
package replay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cloudjit/cloudjit/internal/client"
	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/experiment/load"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/sim"
	"github.com/cloudjit/cloudjit/internal/store"
)

// Platform is a live platform of the replay's own.
type Platform struct {
	Client *client.Client
	// Stop ends it; the log is complete then.
	Stop func() error
}

// Options of a replay.
type Options struct {
	Plan *Plan
	// Archive is the built generic function (java/samples/work), Handler its handler.
	Archive, Handler string
	// Start starts a platform with or without the optimizer, whose engine tells record everything.
	Start func(ctx context.Context, optimize bool, record *engine.LogWriter) (*Platform, error)
	// Modes are the runs, in their order: true is with the optimizer.
	Modes []bool
	// Policy is the name of the optimizer's policy.
	Policy string
	// Params are the policy's, of all functions, before Plan.Scaling.Speed compresses them.
	Params policy.Params
	// Node is the platform's limits, for Predict; runs tell their own.
	Node engine.NodeConfig
	// ShareBuilds deploys the same bytes for all functions, which then share one binary.
	ShareBuilds bool
	// Drain is how long what is open at the trace's end may take.
	Drain time.Duration
	// Machine describes what it runs on; see ThisMachine.
	Machine Machine
	// Dir takes the logs of the live engine (events-MODE.log); empty: they are not kept.
	Dir string
	// Say tells people how far it is.
	Say func(format string, args ...any)
}

// Call is an invocation as it went.
type Call struct {
	Function     int32
	At, Duration time.Duration // planned
	Sent         bool
	Late         time.Duration // sent so much after its time
	Response     time.Duration // from its time in the plan to the answer
	Rung         function.Rung
	Cold         bool
	// Kind is why there is no right answer; empty: there is one.
	Kind string
}

// Kinds of answers that are not right, beside the platform's own error codes.
const (
	kindWrong      = "wrong answer"
	kindUnfinished = "no answer before the end"
	kindFunction   = "function error"
	kindTransport  = "connection failed"
)

// Live is one run.
type Live struct {
	Optimizer bool           `json:"optimizer"`
	Begun     time.Time      `json:"begun"`
	Load      load.Stats     `json:"load"`
	Answers   Answers        `json:"answers"`
	Figures   Figures        `json:"figures"`
	Responses []Distribution `json:"responses"`
	Builds    []*store.Build `json:"builds"`
	Measured  Measured       `json:"measured"`
	Sampling  Sampling       `json:"memorySampling"`
	// FirstWrong is the first answer that was not right.
	FirstWrong string `json:"firstWrong,omitempty"`

	Series  sim.Series `json:"-"`
	Calls   []Call     `json:"-"`
	Samples []Sample   `json:"-"`
}

// Answers counts what came back.
type Answers struct {
	Right int64 `json:"right"`
	Wrong int64 `json:"wrong"`
	// Other counts by kind: throttled, function errors, no answer...
	Other map[string]int64 `json:"other,omitempty"`
}

// Sampling says how the memory was measured.
type Sampling struct {
	Count     int     `json:"count"`
	Failed    int     `json:"failed,omitempty"`
	MeanTook  float64 `json:"meanTookMs"`
	MaxPause  float64 `json:"maxPauseSeconds"`
	MeanPause float64 `json:"meanPauseSeconds"`
	// BusyCores is the mean of the cores that the whole machine kept busy.
	BusyCores float64 `json:"busyCores"`
}

// name of a mode in files and tables.
func modeName(optimizer bool) string {
	if optimizer {
		return "with"
	}
	return "without"
}

// Run replays the plan in each mode and simulates it. When ctx ends, what was measured until then
// is reported: Result.Interrupted. An error means that a run could not be made; the result has
// those before it.
func Run(ctx context.Context, o Options) (*Result, error) {
	speed := o.Plan.Scaling.Speed
	o.Params.KeepAlive, o.Params.Window = int64(float64(o.Params.KeepAlive)/speed), int64(float64(o.Params.Window)/speed)
	r := &Result{Plan: o.Plan, Policy: o.Policy, Params: o.Params, ShareBuilds: o.ShareBuilds, Machine: o.Machine}
	for _, mode := range o.Modes {
		if ctx.Err() != nil {
			break
		}
		l, err := o.live(ctx, mode)
		if err != nil {
			if ctx.Err() != nil {
				break // it had not begun yet
			}
			return r, fmt.Errorf("replay %s the optimizer: %w", modeName(mode), err)
		}
		s, err := o.simulate(context.WithoutCancel(ctx), l)
		if err != nil {
			return r, err
		}
		r.Runs = append(r.Runs, Pair{Live: l, Simulated: s, Errors: compare(&l.Figures, &s.Figures)})
	}
	r.Interrupted = ctx.Err() != nil
	r.finish()
	return r, nil
}

// live is one run against a platform of its own.
func (o *Options) live(ctx context.Context, optimizer bool) (_ *Live, err error) {
	events, err := o.eventFile(optimizer)
	if err != nil {
		return nil, err
	}
	defer events.Close()
	buffer := bufio.NewWriterSize(events, 1<<20)
	record, err := engine.NewLogWriter(buffer)
	if err != nil {
		return nil, err
	}
	p, err := o.Start(ctx, optimizer, record)
	if err != nil {
		return nil, err
	}
	stopped := false
	stop := func() error {
		if stopped {
			return nil
		}
		stopped = true
		return p.Stop()
	}
	defer func() { err = errors.Join(err, stop()) }()

	o.Say("%s the optimizer: deploying %d functions", modeName(optimizer), len(o.Plan.Functions))
	if err := o.deploy(ctx, p.Client); err != nil {
		return nil, err
	}
	if optimizer && o.Params.Prepare == policy.PrepareDeploy {
		o.Say("waiting until what is made before the first invocation is there")
		if err := o.prepared(ctx, p.Client); err != nil {
			return nil, err
		}
	}
	l, s, planned := o.drive(ctx, p.Client, optimizer)
	after := context.WithoutCancel(ctx)
	if optimizer {
		if l.Builds, err = o.builds(after, p.Client); err != nil {
			return nil, err
		}
	}
	if err := stop(); err != nil {
		return nil, err
	}
	if err := errors.Join(record.Err(), buffer.Flush()); err != nil {
		return nil, err
	}
	if _, err := events.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read engine log: %w", err)
	}
	log, err := engine.NewLogReader(events)
	if err != nil {
		return nil, err
	}
	length := o.Plan.Length
	if l.Load.Interrupted {
		length = min(length, max(time.Since(l.Begun), time.Second).Round(time.Second))
		if n := len(s.samples); n > 0 {
			length = min(length, s.samples[n-1].At.Truncate(time.Second)+time.Second)
		}
	}
	seen, err := observe(log, l.Begun, length, planned)
	if err != nil {
		return nil, err
	}
	l.finish(seen, s)
	return l, nil
}

func (o *Options) eventFile(optimizer bool) (*os.File, error) {
	var f *os.File
	var err error
	if o.Dir == "" {
		if f, err = os.CreateTemp("", "cloudjit-replay-*.log"); err == nil {
			err = os.Remove(f.Name()) // it goes with the process
		}
	} else {
		f, err = os.Create(filepath.Join(o.Dir, "events-"+modeName(optimizer)+".log"))
	}
	if err != nil {
		return nil, fmt.Errorf("make engine log: %w", err)
	}
	return f, nil
}

// drive sends the plan and samples memory meanwhile. Planned are the durations of what was sent,
// by function, in the order of sending.
func (o *Options) drive(ctx context.Context, c *client.Client, optimizer bool) (*Live, *sampler, [][]time.Duration) {
	plan := o.Plan
	l := &Live{Optimizer: optimizer, Calls: make([]Call, len(plan.Invocations)), Answers: Answers{Other: map[string]int64{}}}
	s := newSampler(c, plan.Megabytes)
	functions := make([]*target, len(plan.Functions))
	for i := range functions {
		functions[i] = newTarget(c, name(i), plan.Megabytes[i], int(math.Round(100*plan.Scaling.Busy)))
		s.number[name(i)] = i
	}
	// Sampling ends with the trace, sending when what is open has had its time.
	l.Begun = time.Now()
	s.start = l.Begun
	sampling, stopSampling := context.WithDeadline(ctx, l.Begun.Add(plan.Length))
	sampled := make(chan struct{})
	go func() { defer close(sampled); s.run(sampling) }()
	sending, stopSending := context.WithDeadline(ctx, l.Begun.Add(plan.Length+o.Drain))
	told := time.Now()
	schedule := func(yield func(time.Duration, int) bool) {
		for i := range plan.Invocations {
			if now := time.Now(); now.Sub(told) >= 30*time.Second {
				told = now
				o.Say("%s the optimizer: %v of %v, %d of %d invocations sent", modeName(optimizer), now.Sub(l.Begun).Round(time.Second), plan.Length, i, len(plan.Invocations))
			}
			if !yield(plan.Invocations[i].At, i) {
				return
			}
		}
	}
	l.Load = load.Run(sending, schedule, func(ctx context.Context, i int) {
		inv := &plan.Invocations[i]
		call := Call{Function: inv.Function, At: inv.At, Duration: inv.Duration, Sent: true, Late: time.Since(l.Begun) - inv.At}
		functions[inv.Function].ask(ctx, &call)
		call.Response = time.Since(l.Begun) - inv.At
		l.Calls[i] = call
	}, load.Options{Late: tooLate, InFlight: inFlight})
	if ctx.Err() == nil && !l.Load.Interrupted {
		<-sampled // the trace goes on to its end when nothing is sent any more
	}
	l.Load.Interrupted = ctx.Err() != nil
	stopSampling()
	stopSending()
	<-sampled

	// In the order of sending: load.Run starts them in the plan's order, and what was
	// a moment later overtakes hardly ever.
	planned := make([][]time.Duration, len(plan.Functions))
	for i := range l.Calls {
		call := &l.Calls[i]
		switch {
		case !call.Sent:
			continue
		case call.Kind == "":
			l.Answers.Right++
		case call.Kind == kindWrong:
			l.Answers.Wrong++
		default:
			l.Answers.Other[call.Kind]++
		}
		planned[call.Function] = append(planned[call.Function], call.Duration)
	}
	for _, f := range functions {
		if l.FirstWrong == "" {
			l.FirstWrong = f.firstWrong()
		}
	}
	return l, s, planned
}

const (
	// tooLate: what would be sent later than this is counted as not sent; the trace is not
	// what it was any more.
	tooLate = 5 * time.Second
	// inFlight bounds what a platform that answers nothing can make us hold.
	inFlight = 5000
)

// finish computes the run's figures.
func (l *Live) finish(seen *observation, s *sampler) {
	l.Series, l.Samples = seen.series, s.samples
	l.Series.ResidentMB, l.Series.RunningMB = s.series(len(l.Series.Resident))
	l.Measured = measure(seen, s)
	var right, within []time.Duration
	length := time.Duration(l.Series.Len()) * time.Second
	groups := map[string][]time.Duration{}
	for i := range l.Calls {
		c := &l.Calls[i]
		if !c.Sent || c.Kind != "" {
			continue
		}
		right = append(right, c.Response)
		if c.At+c.Response < length {
			within = append(within, c.Response)
		}
		group := string(c.Rung) + ", warm"
		if c.Cold {
			group = string(c.Rung) + ", cold"
		}
		groups[group] = append(groups[group], c.Response-c.Duration)
	}
	l.Responses = append(l.Responses, distribution("all, duration included", right))
	for _, rung := range seen.rungs {
		for _, how := range []string{", cold", ", warm"} {
			if d := groups[string(rung)+how]; len(d) > 0 {
				l.Responses = append(l.Responses, distribution(string(rung)+how, d))
			}
		}
	}
	l.Figures = figures(&l.Series, seen)
	l.Figures.Response = distribution(answeredWithin, within)
	n := len(s.samples)
	l.Sampling = Sampling{Count: n, Failed: s.failed}
	for i := range s.samples {
		l.Sampling.MeanTook += s.samples[i].Took.Seconds() * 1e3 / float64(n)
		l.Sampling.BusyCores += s.samples[i].Busy / float64(n)
		if i > 0 {
			pause := (s.samples[i].At - s.samples[i-1].At).Seconds()
			l.Sampling.MaxPause = max(l.Sampling.MaxPause, pause)
			l.Sampling.MeanPause += pause / float64(n-1)
		}
	}
}

// answeredWithin is what responses are compared by: the simulator ends with the trace.
const answeredWithin = "answered within the time of the trace, duration included"

// Distribution of times in milliseconds.
type Distribution struct {
	Of    string  `json:"of"`
	Count int     `json:"count"`
	Mean  float64 `json:"meanMs"`
	P50   float64 `json:"p50Ms"`
	P90   float64 `json:"p90Ms"`
	P99   float64 `json:"p99Ms"`
	Max   float64 `json:"maxMs"`
}

func distribution(of string, d []time.Duration) Distribution {
	out := Distribution{Of: of, Count: len(d)}
	if len(d) == 0 {
		return out
	}
	slices.Sort(d)
	at := func(q float64) float64 { return ms(d[min(int(q*float64(len(d))), len(d)-1)]) }
	out.Mean, out.P50, out.P90, out.P99, out.Max = ms(sum(d))/float64(len(d)), at(.5), at(.9), at(.99), at(1)
	return out
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
