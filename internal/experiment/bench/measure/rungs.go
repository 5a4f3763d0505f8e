package measure

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/assets"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/experiment/bench"
	"github.com/cloudjit/cloudjit/internal/experiment/live"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/launch"
	"github.com/cloudjit/cloudjit/internal/toolchain"
)

// rung is a way to run an application.
type rung struct {
	app *app
	out *bench.Rung
	cmd *command       // nil: it is not run outside the platform
	fn  *live.Function // nil: it is not run by the platform
	// want is the rung that the platform must answer from.
	want function.Rung
	// train, if not nil, is run once before all: it leaves what cmd needs.
	train func(context.Context) error
	off   bool // a measurement has failed: no more of them
}

// aotCacheSince is the first Java release that makes an AOT cache in one run (JEP 514).
const aotCacheSince = 25

// addRungs finds all ways to run the application.
func (a *app) addRungs(ctx context.Context) error {
	jdks, err := a.run.jdks()
	if err != nil {
		return err
	}
	jdk, err := launch.SelectJDK(launchable(jdks), a.info.JavaVersion)
	if err != nil {
		return err
	}
	own := jdks[slices.IndexFunc(jdks, func(j toolchain.JDK) bool { return j.Home == jdk.Home })]
	cmd, err := a.command(ladder.HotSpot, own, "")
	if err != nil {
		return err
	}
	a.add(&rung{cmd: cmd, fn: a.hotspot, want: ladder.HotSpot}, ladder.HotSpot, named(own))
	if slices.Contains(a.run.Settings.Rungs, ladder.AOTCache) {
		if err := a.addCached(ctx, cmd, own); err != nil {
			return err
		}
	}
	for _, home := range a.run.JDKs {
		j, err := toolchain.JDKAt(home)
		if err != nil {
			return err
		}
		cmd, err := a.command(ladder.HotSpot, j, "")
		if err != nil {
			return err
		}
		t := a.add(&rung{cmd: cmd}, a.free(function.Rung(fmt.Sprintf("hotspot-jdk%d", j.Feature()))), named(j))
		if j.Feature() < a.info.JavaVersion {
			t.fail(fmt.Errorf("the code needs Java %d", a.info.JavaVersion))
		}
	}
	return a.addNative(ctx, own)
}

func (a *app) addNative(ctx context.Context, jdk toolchain.JDK) error {
	if a.fn == nil {
		return nil
	}
	rev, err := a.fn.Revision(ctx)
	if err != nil {
		return err
	}
	for _, name := range a.binaries() {
		t := &rung{want: name}
		if rev.Pipeline != nil && rev.Pipeline.Rung == name {
			t.fn = a.fn
		}
		if dir, ok := a.binary(rev, name); ok {
			if t.cmd, err = a.command(name, jdk, dir); err != nil {
				return err
			}
		}
		a.add(t, name, "native image, "+map[function.Rung]string{ladder.Native: "quick build (-Ob)", ladder.NativeOptimized: "optimized build", ladder.NativeProfiled: "optimized build with a profile"}[name])
		if t.fn == nil && t.cmd == nil {
			t.fail(errors.New("there is no binary"))
		}
	}
	return nil
}

// addCached adds HotSpot with a cache: the platform's, and of the bare process, whose paths are others
// than those inside the platform's sandbox, one of what a training run loaded and linked.
func (a *app) addCached(ctx context.Context, plain *command, jdk toolchain.JDK) error {
	t := &rung{want: ladder.AOTCache}
	if a.cached != nil {
		rev, err := a.cached.Revision(ctx)
		if err != nil {
			return err
		}
		if rev.Pipeline != nil && rev.Pipeline.Rung == ladder.AOTCache {
			t.fn = a.cached
		}
	}
	a.add(t, ladder.AOTCache, named(jdk)+" with an AOT cache")
	switch {
	case jdk.Feature() >= aotCacheSince:
		t.bareCache(plain)
	case t.fn != nil:
		a.note("no AOT cache of the bare process: it needs Java %d, and the newest JDK is %d", aotCacheSince, jdk.Feature())
	default:
		t.fail(errors.New("there is no cache"))
	}
	return nil
}

// bareCache makes the rung's command one with a cache, and its training the run that leaves it.
func (t *rung) bareCache(plain *command) {
	a := t.app
	file := filepath.Join(a.run.Dir, "aot", a.sha[:16]+".aot")
	with := func(options ...string) *command {
		c := *plain
		c.args = append(slices.Clone(options), plain.args...)
		return &c
	}
	// Mode "on" ends the JVM if the cache cannot be used, instead of measuring without it.
	t.cmd = with("-XX:AOTMode=on", "-XX:AOTCache="+file)
	t.out.Command = t.cmd.String()
	t.train = func(ctx context.Context) error {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		_ = os.Remove(file) // one of an earlier run; a new one replaces it anyway
		p, err := start(with("-XX:AOTCacheOutput="+file), a.Sample)
		if err != nil {
			return err
		}
		c := p.connect(a.asks)
		defer c.close()
		_, err = c.first(ctx)
		for i := 0; err == nil && i < a.run.Rounds*len(a.Sample.Requests); i++ {
			err = c.ask(ctx, i)
		}
		p.stop(2 * time.Minute) // the cache is written when the JVM ends
		if err != nil {
			return fmt.Errorf("train: %w", err)
		}
		info, err := os.Stat(file)
		if err != nil {
			return fmt.Errorf("the JVM left no cache: %s", p.output.String())
		}
		a.note("AOT cache of the bare process: %.0f MB, trained with each request %d times", float64(info.Size())/1e6, a.run.Rounds)
		return nil
	}
}

// free makes a rung's name unlike all others.
func (a *app) free(name function.Rung) function.Rung {
	for n, candidate := 2, name; ; n++ {
		if a.out.Rung(candidate) == nil {
			return candidate
		}
		candidate = function.Rung(fmt.Sprintf("%s-%d", name, n))
	}
}

func (a *app) add(t *rung, name function.Rung, runtime string) *rung {
	t.app = a
	t.out = &bench.Rung{Name: name, Runtime: runtime, Values: map[string][]float64{}}
	if t.cmd != nil {
		t.out.Command = t.cmd.String()
	}
	a.out.Rungs, a.rungs = append(a.out.Rungs, t.out), append(a.rungs, t)
	return t
}

// command is what the platform would run in a sandbox, outside of one.
func (a *app) command(name function.Rung, jdk toolchain.JDK, artifact string) (*command, error) {
	spec := &function.Spec{
		ID: "bench", Function: function.Name(a.function()), Version: "$LATEST", Runtime: "java21", Handler: a.Sample.Handler,
		CodeSHA256: a.sha, MemoryMiB: a.out.MemoryMiB, TmpMiB: 512, Timeout: answerTime,
	}
	if err := spec.Kind.UnmarshalText([]byte(a.Sample.Kind)); err != nil {
		return nil, err
	}
	paths := launch.Paths{
		Code: a.code(), ClassPath: a.info.Paths, MainClass: a.info.MainClass, ModuleOptions: a.info.ModuleOptions(),
		JDK: launch.JDK{Home: jdk.Home, Version: jdk.Feature()}, Artifact: artifact,
	}
	var err error
	for _, f := range []struct {
		name string
		path *string
	}{{assets.Runtime, &paths.Runtime}, {assets.Serialization, &paths.Serialization}} {
		if *f.path, err = a.run.Assets(f.name); err != nil {
			return nil, err
		}
	}
	l := ladder.Of(spec.Kind)
	id, ok := l.Find(name)
	if !ok {
		return nil, fmt.Errorf("a %s has no rung %s", spec.Kind, name)
	}
	s, err := launch.Worker(launch.Request{ID: "bench", Revision: spec, Rung: l.Rungs[id], Paths: paths, Now: a.run.began})
	if err != nil {
		return nil, err
	}
	return bare(s), nil
}

// jdks are those that the platform finds, newest first.
func (r *run) jdks() ([]toolchain.JDK, error) {
	found := toolchain.FindJDKs(toolchain.FindOptions{Cache: config.CacheDir()})
	if len(found) == 0 {
		return nil, launch.ErrNoJava
	}
	return found, nil
}

func launchable(jdks []toolchain.JDK) []launch.JDK {
	var out []launch.JDK
	for _, j := range jdks {
		out = append(out, launch.JDK{Home: j.Home, Version: j.Feature()})
	}
	return out
}

// named is a JDK for people.
func named(j toolchain.JDK) string { return fmt.Sprintf("JDK %s (%s)", j.Version, j.Vendor) }

func (t *rung) fail(err error) {
	t.off = true
	t.out.Failed = err.Error()
	t.app.run.say("  %s, %s: %v", t.app.Name, t.out.Name, err)
}

// figure1 measures all rungs of all applications, in turns, so that what changes on the machine
// meanwhile changes all alike.
func (r *run) figure1(ctx context.Context) error {
	for _, a := range r.apps {
		if !a.prepared {
			continue
		}
		if err := a.addRungs(ctx); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			a.failed("%v", err)
		}
	}
	r.say("warming up: each rung once, so that its files are in memory")
	if err := r.each(ctx, 0, (*rung).warmUp); err != nil {
		return err
	}
	for i := range r.Settings.Repeat {
		r.say("measuring, repetition %d of %d", i+1, r.Settings.Repeat)
		if err := r.each(ctx, i, (*rung).measure); err != nil {
			return err
		}
	}
	return nil
}

// each goes through the rungs of all applications; each repetition begins with another one.
func (r *run) each(ctx context.Context, repetition int, do func(*rung, context.Context) error) error {
	for _, a := range r.apps {
		for i := range a.rungs {
			t := a.rungs[(i+repetition)%len(a.rungs)]
			if t.off {
				continue
			}
			err := do(t, ctx)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				t.fail(err)
			}
		}
	}
	return nil
}

func (t *rung) warmUp(ctx context.Context) error {
	if t.train != nil {
		t.app.run.say("  %s, %s: training", t.app.Name, t.out.Name)
		if err := t.train(ctx); err != nil {
			return err
		}
	}
	if t.cmd != nil {
		if _, _, err := t.once(ctx, 0); err != nil {
			return err
		}
	}
	if t.fn != nil {
		if _, err := t.cold(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (t *rung) measure(ctx context.Context) error {
	if t.cmd != nil {
		if err := t.measureBare(ctx); err != nil {
			return err
		}
	}
	if t.fn != nil {
		if err := t.measurePlatform(ctx); err != nil {
			return err
		}
	}
	var text []string
	for _, m := range []struct {
		bench.Metric
		format string
	}{
		{bench.BareFirst, "first answer %.0f ms bare"}, {bench.PlatformFirst, "%.0f ms through the platform"}, {bench.FirstFive, "%.0f answers in 5 s"},
		{bench.Peak, "peak %.0f/s"}, {bench.IdleMemory, "%.0f MiB idle"}, {bench.LoadMemory, "%.0f MiB under load"},
	} {
		if v := t.out.Values[m.Key]; len(v) > 0 {
			text = append(text, fmt.Sprintf(m.format, v[len(v)-1]))
		}
	}
	t.app.run.say("  %s, %s: %s", t.app.Name, t.out.Name, strings.Join(text, ", "))
	return nil
}

const (
	killGrace = 2 * time.Second
	second    = time.Second
)

// once starts the process, waits for its first answer, and measures its memory after a while.
func (t *rung) once(ctx context.Context, settle time.Duration) (first time.Duration, mib float64, err error) {
	p, err := start(t.cmd, t.app.Sample)
	if err != nil {
		return 0, 0, err
	}
	defer p.stop(killGrace)
	c := p.connect(t.app.asks)
	defer c.close()
	if first, err = c.first(ctx); err != nil {
		return 0, 0, err
	}
	if err := pause(ctx, settle); err != nil {
		return 0, 0, err
	}
	mib, err = p.pss()
	return first, mib, err
}

// measureBare takes one start that is left idle and one that is under load from its start.
func (t *rung) measureBare(ctx context.Context) error {
	s := t.app.run.Settings
	first, idle, err := t.once(ctx, s.Settle)
	if err != nil {
		return err
	}
	t.out.Add(bench.BareFirst, ms(first))
	t.out.Add(bench.IdleMemory, idle)

	p, err := start(t.cmd, t.app.Sample)
	if err != nil {
		return err
	}
	defer p.stop(killGrace)
	l, err := p.load(ctx, t.app.asks, s)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	t.out.Answers += int64(len(l.ages)) + l.wrong
	t.out.Wrong += l.wrong
	if t.out.FirstWrong == "" {
		t.out.FirstWrong = l.first
	}
	if err != nil {
		return err
	}
	t.out.Add(bench.FirstSecond, float64(bench.Between(l.ages, 0, second)))
	t.out.Add(bench.FirstFive, float64(bench.Between(l.ages, 0, 5*second)))
	t.out.Add(bench.Peak, bench.Rate(l.ages, l.peak, l.peak+s.PeakWindow))
	t.out.Add(bench.LoadMemory, l.pss)
	return nil
}

// measurePlatform takes cold starts through the platform; the last one's worker is kept, and
// measured idle.
func (t *rung) measurePlatform(ctx context.Context) error {
	s := t.app.run.Settings
	optimize := t.want != ladder.HotSpot
	for i := range s.ColdStarts {
		if i == s.ColdStarts-1 {
			if err := t.gone(ctx); err != nil {
				return err
			}
			if err := t.fn.SetPolicy(ctx, policy(optimize, kept)); err != nil {
				return err
			}
		}
		latency, err := t.cold(ctx)
		if err != nil {
			return err
		}
		t.out.Add(bench.PlatformFirst, ms(latency))
	}
	if err := pause(ctx, s.Settle); err != nil {
		return err
	}
	workers, err := t.fn.Workers(ctx)
	if err != nil {
		return err
	}
	for _, w := range workers {
		if w.State == "idle" && w.Rung == t.want && w.Recording == ladder.RecordingNone && w.Memory.PSS > 0 {
			t.out.Add(bench.WorkerMemory, float64(w.Memory.PSS)/(1<<20))
			break
		}
	}
	return dismiss(ctx, t.fn, optimize)
}

// cold asks one request that finds no worker.
func (t *rung) cold(ctx context.Context) (time.Duration, error) {
	if err := t.gone(ctx); err != nil {
		return 0, err
	}
	a, err := t.fn.Ask(ctx, &t.app.Sample.Requests[0])
	switch {
	case err != nil:
		return 0, err
	case a.Wrong != nil:
		return 0, fmt.Errorf("a wrong answer of the platform: %w", a.Wrong)
	case a.Rung != t.want || !a.Cold:
		return 0, fmt.Errorf("the platform answered from %s (cold start: %t), want a cold start of %s", a.Rung, a.Cold, t.want)
	}
	return a.Latency, nil
}

// gone waits until the function has no worker.
func (t *rung) gone(ctx context.Context) error {
	for end := time.Now().Add(goneTime); ; {
		workers, err := t.fn.Workers(ctx)
		if err != nil || len(workers) == 0 {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d workers are still there %s after the last request", len(workers), goneTime)
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
