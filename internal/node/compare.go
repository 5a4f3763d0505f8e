package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/cloudjit/cloudjit/internal/compare"
	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/metadata"
	"github.com/cloudjit/cloudjit/internal/store"
	"github.com/cloudjit/cloudjit/internal/telemetry"
	"github.com/cloudjit/cloudjit/internal/worker"
)

const (
	// askTime is the longest that one question may take in a check, askAll the longest for all of one run
	// of the first rung. An artifact has more: askSlack, and askFactor times as long as the first rung took.
	askTime   = 10 * time.Second
	askAll    = time.Minute
	askSlack  = 20 * time.Second
	askFactor = 3
	// againTime is how long a worker that will be saved is asked what it has answered already.
	againTime = 10 * time.Second
	// gatherQuiet is for how long nothing new must have been sampled before a worker is asked to be saved, gatherTime how long that is
	// waited for at most: what the first burst of invocations asks shall be warm in the snapshot.
	gatherQuiet = 500 * time.Millisecond
	gatherTime  = 5 * time.Second
	// slowStarts is how many times the first rung may not come up in its time before it is taken for a function that
	// waits for a network when it starts.
	slowStarts = 3
	// maxRestarts is how many workers that end while they are asked are replaced in one run.
	maxRestarts = 3
	// maxAnswer bounds what is read of an answer's body.
	maxAnswer = 8 << 20
	// surveyTime is the longest that a survey asks.
	surveyTime = 30 * time.Second
)

// check is the record of the last check of a rung; nil if there was none.
func (r *revision) check(rung function.Rung) *store.Check {
	r.sampler.mu.Lock()
	defer r.sampler.mu.Unlock()
	return r.sampler.checked[rung]
}

// fresh reports whether only a worker that has answered nothing may be saved.
func (r *revision) fresh() bool {
	r.sampler.mu.Lock()
	defer r.sampler.mu.Unlock()
	for _, c := range r.sampler.checked {
		if c.Fresh {
			return true
		}
	}
	return false
}

// compared compares answers of a new artifact with those of the first rung, and says whether it may serve.
// Version is that of the samples; 0: nothing was compared.
func (n *Node) compared(ctx context.Context, w *instance, artifact string) (failure engine.Failure, version uint32, cost ladder.Cost) {
	c := &check{n: n, w: w, artifact: artifact, began: time.Now(), record: store.Check{Rung: w.row.Name}}
	failure = c.run(ctx)
	r := &c.record
	r.At, r.Wall, r.CPU, r.PeakRSS = time.Now().UTC(), time.Since(c.began), c.cpu, c.peak
	if failure == engine.FailureStopped {
		return failure, 0, ladder.Cost{}
	}
	if r.Reason == "" {
		r.Reason = c.text()
	}
	m := &w.rev.sampler
	m.mu.Lock()
	m.checked[r.Rung] = r
	if r.Compared > 0 || r.Result == store.CheckDiffers {
		version = c.version
	}
	m.mu.Unlock()
	if r.Result == store.CheckDiffers {
		n.keepDiffered(w.rev, r.Differs())
	}
	if r.Samples == 0 && failure == engine.FailureNone {
		return failure, 0, ladder.Cost{}
	}
	n.log.Info("check ended", telemetry.KeyFunction, w.rev.fn.name, telemetry.KeyRevision, w.rev.spec.ID, telemetry.KeyRung, r.Rung,
		telemetry.KeyOutcome, r.Result, telemetry.KeyDuration, r.Wall, telemetry.KeyReason, r.Reason)
	if n.opt.Metrics != nil {
		n.opt.Metrics.Check(r.Rung, r.Result, r.Wall, r.CPU)
	}
	n.events.send(Event{Type: "check.ended", Function: w.rev.fn.name, Revision: w.rev.spec.ID, Reason: r.Reason, Data: data(r)})
	return failure, version, ladder.Cost{Wall: r.Wall, CPU: r.CPU, MemoryMB: float64(r.PeakRSS) / 1e6}
}

// check is one comparison.
type check struct {
	n        *Node
	w        *instance // the worker that checks, which has not started yet
	artifact string
	began    time.Time
	record   store.Check
	version  uint32 // of the samples that are asked
	cpu      time.Duration
	peak     int64
	slow     bool // a worker did not come up in its time
}

// run asks the first rung, the artifact, and the first rung again; if something differs, both once more.
func (c *check) run(ctx context.Context) engine.Failure {
	before := c.w.rev.check(c.w.row.Name)
	c.record.Fresh = before != nil && before.Fresh
	samples := c.n.collectSamples(c.w.rev)
	c.version = c.w.rev.sampler.asks(samples)
	c.record.Samples = len(samples)
	for _, s := range samples {
		if s.Own {
			c.record.Own++
		}
	}
	c.record.Result = store.CheckNothing
	if len(samples) == 0 {
		c.record.Reason = "nothing was compared: no invocation was sampled"
		return c.again(before)
	}
	asked := make([]compare.Asked, len(samples))
	for i, s := range samples {
		asked[i].Sample = s
	}
	began := time.Now()
	failure, err := c.first(ctx, asked, c.n.slowly(c.w.rev.spec, askAll))
	if err != nil || failure != engine.FailureNone {
		if c.slow && int(c.w.rev.sampler.slow.Add(1)) < slowStarts {
			failure = engine.FailureSandbox // perhaps only the machine is slow: it is tried again
		}
		if failure == engine.FailureInit {
			c.record.Reason = "nothing was compared: the function does not start without a network: " + shorten(err.Error())
			return c.again(before)
		}
		return c.failed(failure, err)
	}
	limit := askSlack + askFactor*time.Since(began)
	for range 2 {
		if failure, err := c.second(ctx, asked, limit); failure != engine.FailureNone {
			return c.failed(failure, err)
		}
		if failure, err := c.first(ctx, asked, limit); failure != engine.FailureNone {
			return c.failed(failure, err)
		}
		v := compare.Judge(asked)
		c.record.Verdict = *v
		if v.Late > 0 && v.Difference == nil {
			return c.failed(engine.FailureInit, fmt.Errorf("it did not answer in time what the first rung did (%d samples)", v.Late))
		}
		if v.Difference == nil {
			break
		}
	}
	switch {
	case c.record.Difference != nil:
		c.record.Result = store.CheckDiffers
		if c.remembers() {
			c.record.Fresh = true
			return engine.FailureRemembers
		}
		return engine.FailureDiffers
	case c.record.Compared == 0:
		return c.again(before)
	}
	why := c.slower(ctx, samples)
	if ctx.Err() != nil {
		return engine.FailureStopped
	}
	if why != "" {
		c.record.Result, c.record.Reason = store.CheckFailed, why
		return engine.FailureBuild // another profile may do better
	}
	c.record.Result = store.CheckSame
	return engine.FailureNone
}

// remembers reports whether it may be what the worker answered before it was saved that shows in the answers of its copies, as
// the entries that it added to a list. Another one is saved that has answered nothing.
func (c *check) remembers() bool {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	return c.w.row.Artifact == ladder.ArtifactSnapshot && c.w.rev.artifacts[c.w.rung].answered > 0
}

// again keeps an artifact from serving that differed before, where nothing says that it does not any more.
func (c *check) again(before *store.Check) engine.Failure {
	if before == nil || before.Result != store.CheckDiffers {
		return engine.FailureNone
	}
	c.record.Result, c.record.Difference = store.CheckDiffers, before.Difference
	c.record.Reason = "it answered differently before, and nothing could be compared since: " + before.Reason
	return engine.FailureDiffers
}

func (c *check) failed(failure engine.Failure, err error) engine.Failure {
	c.record.Result = store.CheckFailed
	if err != nil {
		c.record.Reason = "the check did not finish: " + shorten(err.Error())
		var start *worker.StartError
		if errors.As(err, &start) && start.Exit != nil {
			if line := lastLine(start.Exit.Stderr); line != "" {
				c.record.Reason += ": " + shorten(line)
			}
		}
	}
	return failure
}

// lastLine is what a runtime said last, without the frames of its stack trace, and without how many of them are left out.
func lastLine(said string) (last string) {
	for line := range strings.Lines(said) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "at ") && !strings.HasPrefix(line, "...") {
			last = line
		}
	}
	return last
}

// text says what came of it.
func (c *check) text() string {
	v := &c.record.Verdict
	cost := fmt.Sprintf(" (%.1f s, %.1f CPU s)", time.Since(c.began).Seconds(), c.cpu.Seconds())
	if v.Difference != nil {
		return "it answers differently from " + string(c.w.rev.ladder.RungName(ladder.First)) + ": " + v.Difference.String() + cost
	}
	s := fmt.Sprintf("%d of %d samples were answered as on %s", v.Compared, c.record.Samples, c.w.rev.ladder.RungName(ladder.First))
	if v.Compared == 0 {
		s = fmt.Sprintf("nothing was compared: none of %d samples is answered twice alike, in time", c.record.Samples)
	}
	if v.Unlike > 0 {
		s += fmt.Sprintf(", %d of them otherwise than in service, as where a network is needed", v.Unlike)
	}
	return s + cost
}

func shorten(s string) string {
	const most = 400
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}

// first asks the first rung.
func (c *check) first(ctx context.Context, asked []compare.Asked, limit time.Duration) (engine.Failure, error) {
	r := run{rung: ladder.First, launch: Launch{Rung: c.w.rev.ladder.Rungs[ladder.First]}}
	answers, err := c.ask(ctx, &r, asked, limit)
	for i := range asked {
		asked[i].First = append(asked[i].First, answers[i])
	}
	return c.n.failed(ctx, &r, err), err
}

// second asks the artifact what the first rung has answered. A binary that lacks metadata is surveyed.
func (c *check) second(ctx context.Context, asked []compare.Asked, limit time.Duration) (engine.Failure, error) {
	r := run{rung: c.w.rung, launch: Launch{Rung: *c.w.row, Artifact: c.artifact, Check: true}}
	if c.w.row.Artifact == ladder.ArtifactBinary {
		r.hint = &hint{}
	}
	answers, err := c.ask(ctx, &r, asked, limit)
	if r.exit != nil && r.exit.Code == function.ExitMissingMetadata && r.hint != nil {
		survey := run{rung: c.w.rung, launch: Launch{Rung: *c.w.row, Artifact: c.artifact, Survey: true}}
		said := &bounded{}
		survey.said = said
		_, _ = c.ask(ctx, &survey, asked, surveyTime)
		missing, _ := metadata.ParseMissing(said.String())
		c.w.hint = r.hint
		c.n.learn(c.w.rev, c.w, r.exit, missing.Set)
		if why := c.w.rev.missing.Load(); why != nil {
			err = errors.New(*why)
		}
		if c.w.never.Load() {
			return engine.FailureNever, err
		}
		return engine.FailureMetadata, err
	}
	for i := range asked {
		if asked[i].First[0] == nil {
			continue
		}
		a := answers[i]
		if a == nil && err == nil { // no time was left for it
			a = &compare.Answer{Outcome: function.OutcomeTimeout}
		}
		if a != nil {
			asked[i].Artifact = append(asked[i].Artifact, a)
		}
	}
	return c.n.failed(ctx, &r, err), err
}

// failed classes the error of a run, as failure does that of a start.
func (n *Node) failed(ctx context.Context, r *run, err error) engine.Failure {
	var start *worker.StartError
	switch {
	case ctx.Err() != nil || errors.Is(err, worker.ErrClosed):
		return engine.FailureStopped
	case err == nil:
		return engine.FailureNone
	case stale(err) && r.rung != ladder.First:
		return engine.FailureStale
	case !errors.As(err, &start) || start.Phase == "sandbox":
		return engine.FailureSandbox
	}
	return engine.FailureInit
}

// run is one worker, or several after each other, that is asked all samples in their order.
type run struct {
	rung   ladder.ID
	launch Launch
	hint   *hint
	said   io.Writer
	exit   *worker.Exit // of the last worker that ended by itself
}

// ask returns an answer to each sample; nil where there was no time. An error means that no worker came up.
func (c *check) ask(ctx context.Context, r *run, asked []compare.Asked, limit time.Duration) ([]*compare.Answer, error) {
	answers := make([]*compare.Answer, len(asked))
	until := time.Now().Add(limit)
	var w worker.Worker
	defer func() { c.end(ctx, w) }()
	for i, starts := 0, 0; i < len(asked); i++ {
		if time.Now().After(until) || ctx.Err() != nil {
			break
		}
		if r.rung != ladder.First && asked[i].First[0] == nil {
			continue
		}
		if w == nil {
			if starts++; starts > maxRestarts {
				break
			}
			var err error
			if w, err = c.start(ctx, r); err != nil {
				var failed *worker.StartError
				if errors.As(err, &failed) && failed.Exit != nil {
					r.exit = failed.Exit
				}
				return answers, err
			}
		}
		a, usable := c.answer(ctx, w, asked[i].Sample, i)
		answers[i] = a
		if usable {
			continue
		}
		if exited(w) {
			exit := w.Exit()
			r.exit = &exit
		}
		c.end(ctx, w)
		w = nil
		if r.exit != nil && r.exit.Code == function.ExitMissingMetadata && r.launch.Rung.Artifact == ladder.ArtifactBinary {
			break // nothing else is to be learnt here
		}
	}
	if ctx.Err() != nil {
		return answers, ctx.Err()
	}
	return answers, nil
}

// exercise lets a worker that will be saved answer what the function was asked, as often as its policy says, and returns how often
// that was. All that is kept is asked once if it may be so many, and then again in turn, but not for long. It is not asked
// what changes something: that would be in every copy.
func (n *Node) exercise(ctx context.Context, rev *revision, w worker.Worker) (answered int, err error) {
	most, err := n.snapshotAfter(rev)
	if err != nil || most == 0 || rev.fresh() {
		return 0, err
	}
	samples := slices.DeleteFunc(n.gatherSamples(ctx, rev, most), func(s *compare.Sample) bool { return !s.Safe() })
	if len(samples) == 0 {
		return 0, ctx.Err()
	}
	c := &check{n: n, w: &instance{rev: rev}}
	began, all := time.Now(), n.slowly(rev.spec, askAll)
	for answered < most && ctx.Err() == nil {
		if took := time.Since(began); took > all || answered >= len(samples) && took > againTime {
			break
		}
		if _, usable := c.answer(ctx, w, samples[answered%len(samples)], answered); !usable {
			return answered, errors.New("the worker to be saved did not answer what the function was asked before")
		}
		answered++
	}
	return answered, ctx.Err()
}

// gatherSamples waits until there are as many samples as are enough, or no more come at the moment.
func (n *Node) gatherSamples(ctx context.Context, rev *revision, enough int) []*compare.Sample {
	count := func() int {
		digests, own := rev.sampler.there()
		return len(digests) + len(own)
	}
	n.mu.Lock()
	invoked := n.engine.RevisionCounts(rev.id).Invocations > 0 // the first sample may be on its way to the disk
	n.mu.Unlock()
	if invoked {
		began := time.Now()
		tick := time.NewTicker(gatherQuiet / 5)
		defer tick.Stop()
		seen, since := count(), began
		for now := began; seen < enough && now.Sub(since) < gatherQuiet && now.Sub(began) < gatherTime && ctx.Err() == nil; {
			select {
			case now = <-tick.C:
			case <-ctx.Done():
			}
			if k := count(); k > seen {
				seen, since = k, now
			}
		}
	}
	return n.collectSamples(rev)
}

// snapshotAfter is how many invocations a worker of a revision answers before it is saved.
func (n *Node) snapshotAfter(rev *revision) (int, error) {
	f, ok := n.opt.State.Function(rev.spec.Function)
	if !ok {
		return 0, nil // it is being deleted
	}
	p, err := n.opt.State.PolicyOf(f, n.opt.Defaults)
	if err != nil || p.SnapshotAfter == nil {
		return 0, err
	}
	return *p.SnapshotAfter, nil
}

// each asks a worker all questions once, while there is time, and returns how many it answered. False: it can be asked no
// more.
func (c *check) each(ctx context.Context, w worker.Worker, samples []*compare.Sample) (answered int, usable bool) {
	until := time.Now().Add(c.n.slowly(c.w.rev.spec, askAll))
	for i, s := range samples {
		if time.Now().After(until) || ctx.Err() != nil {
			break
		}
		if _, usable := c.answer(ctx, w, s, i); !usable {
			return answered, false
		}
		answered++
	}
	return answered, true
}

func exited(w worker.Worker) bool {
	select {
	case <-w.Done():
		return true
	case <-time.After(exitWait):
		return false
	}
}

// start starts a worker in a sandbox without a network.
func (c *check) start(ctx context.Context, r *run) (worker.Worker, error) {
	l := r.launch
	l.ID, l.Revision, l.Trial, l.Limits = ulid.Make().String(), c.w.rev.spec, true, c.n.opt.WorkerLimits
	l.Limits.MemoryMiB = int(c.w.rev.memory + l.Recording.MiB())
	spec, err := c.n.opt.Launcher.Launch(ctx, l)
	if err != nil {
		return nil, &worker.StartError{Phase: "runtime", Err: err}
	}
	spec.Trial = true
	switch {
	case r.hint != nil:
		spec.Output = r.hint
	case r.said != nil:
		spec.Output = r.said
	}
	limited, cancel := context.WithTimeout(ctx, c.n.initTimeout(c.w.rev.spec))
	defer cancel()
	w, err := c.n.opt.Driver.Start(limited, spec)
	c.slow = err != nil && limited.Err() != nil && ctx.Err() == nil
	return w, err
}

// end stops a worker, if there is one, and counts what it took.
func (c *check) end(ctx context.Context, w worker.Worker) {
	if w == nil {
		return
	}
	if p, ok := w.(worker.Peaker); ok {
		c.peak = max(c.peak, p.Peak())
	}
	if p, ok := w.(worker.Clocker); ok {
		c.cpu += p.CPU()
	}
	if err := w.Stop(context.WithoutCancel(ctx), 0); err != nil {
		c.n.log.Error("stop worker", telemetry.KeyWorker, w.ID(), telemetry.KeyError, err)
	}
}

// answer asks one question. False: the worker can be asked no more.
func (c *check) answer(ctx context.Context, w worker.Worker, s *compare.Sample, number int) (*compare.Answer, bool) {
	limit := c.n.slowly(c.w.rev.spec, askTime)
	if own := c.w.rev.spec.Timeout; own > 0 {
		limit = min(limit, own)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if s.Request != nil {
		return c.request(ctx, w, s.Request)
	}
	if c.w.rev.spec.Kind == function.KindWeb {
		return &compare.Answer{Outcome: function.OutcomeHandlerError}, true // a sample of what it was before
	}
	inv := &worker.Invocation{
		// The same in all runs: it may be a part of the answer.
		RequestID: fmt.Sprintf("00000000-0000-4000-8000-%.8s%04x", s.Digest, number), Payload: s.Payload,
		Deadline: time.Now().Add(limit), FunctionARN: s.FunctionARN, TraceID: s.TraceID, ClientContext: s.ClientContext, Identity: s.Identity,
	}
	if inv.FunctionARN == "" {
		inv.FunctionARN = "arn:aws:lambda:us-east-1:000000000000:function:" + string(c.w.rev.fn.name)
	}
	res, err := w.Invoke(ctx, inv)
	var exit *worker.ExitError
	switch {
	case err == nil:
		a := &compare.Answer{Outcome: res.Outcome}
		a.SetBody(res.Payload)
		return a, true
	case errors.As(err, &exit):
		return &compare.Answer{Outcome: function.OutcomeCrashed, Exit: exit.Exit.String()}, false
	}
	return &compare.Answer{Outcome: function.OutcomeTimeout}, false
}

// request sends one request to a web application.
func (c *check) request(ctx context.Context, w worker.Worker, r *compare.Request) (*compare.Answer, bool) {
	lost := func() (*compare.Answer, bool) {
		if ctx.Err() == nil && exited(w) {
			return &compare.Answer{Outcome: function.OutcomeCrashed, Exit: w.Exit().String()}, false
		}
		if ctx.Err() == nil {
			return &compare.Answer{Outcome: function.OutcomeHandlerError}, true // it closed the connection, and lives
		}
		return &compare.Answer{Outcome: function.OutcomeTimeout}, false
	}
	u, err := url.ParseRequestURI(r.URI)
	if err != nil {
		return &compare.Answer{Outcome: function.OutcomeHandlerError}, true
	}
	u.Scheme, u.Host = "http", "sandbox"
	out, err := http.NewRequestWithContext(ctx, r.Method, u.String(), bytes.NewReader(r.Body))
	if err != nil {
		return &compare.Answer{Outcome: function.OutcomeHandlerError}, true
	}
	out.Host = r.Host
	if out.Host == "" {
		out.Host = "localhost"
	}
	if r.Header != nil {
		out.Header = r.Header.Clone()
	}
	resp, err := w.HTTP().RoundTrip(out)
	if err != nil {
		return lost()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return lost()
	}
	a := &compare.Answer{Outcome: function.OutcomeOK, Status: resp.StatusCode, Header: resp.Header}
	a.SetBody(body)
	return a, true
}
