package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/cloudjit/cloudjit/internal/client"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/experiment/replay"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/sample"
	"github.com/cloudjit/cloudjit/internal/server"
	"github.com/cloudjit/cloudjit/internal/toolchain"
	"github.com/cloudjit/cloudjit/internal/trace"
)

// replayCommand runs a trace against a live platform of its own.
type replayCommand struct {
	traceSource

	Length time.Duration `help:"Length of the part, unless --to says where it ends." default:"30m"`
	Scale  trace.Method  `help:"How the trace is cut to size: stratified or apps keep whole functions or apps, and leave out those that use too much CPU; thin keeps each invocation with the same probability, as in the paper." enum:"stratified,apps,thin" default:"stratified"`
	Keep   int           `help:"How many functions to keep at most; 0: all." default:"40"`
	Cores  float64       `help:"CPU that the invocations may use on average, in cores; 0: a third of the machine's. Starts of workers and builds need CPU in addition."`
	Busy   float64       `help:"Share of its duration in which an invocation computes; for the rest it waits. 1 is the paper's function." default:"1"`
	Speed  float64       `help:"How many times as fast to run: arrivals, durations, keep-alive and window." default:"1"`

	MemoryScale float64 `help:"Share of the trace's memory that functions allocate." default:"0.5"`
	Function    string  `help:"Folder of the built generic function." type:"path" default:"java/samples/work" placeholder:"DIR"`
	Runs        string  `help:"with, without (the optimizer), or both, one after the other." enum:"both,with,without" default:"both"`
	ShareBuilds bool    `help:"Deploy the same bytes for all functions. Then they share their artifacts, and only the first pays for the builds."`

	Policy        string         `help:"The optimizer's policy, as in policy.name of the configuration." default:"ladder"`
	Threshold     int            `help:"For the policy paper: a function with more cold starts than this in the window is built (paper, 5.2: 2)." default:"2"`
	Window        time.Duration  `help:"For the policy paper: length of the window (paper, 5.2: 10 minutes)." default:"10m"`
	KeepAlive     time.Duration  `help:"How long an idle worker is kept at most." default:"10m"`
	Prepare       policy.Prepare `help:"When light artifacts are made: first-use, deploy (they are there when the trace begins) or never." default:"first-use"`
	Builders      int            `help:"Builds of native images at once." default:"1"`
	BuilderMemory int            `help:"Memory of a build in MiB; 0: half of the machine's, but at most 8192."`
	WorkerMemory  int            `help:"How much memory all workers together may reserve, in MiB; 0: what the builds leave of the machine's."`
	Graalvm       string         `name:"graalvm-home" help:"GraalVM to build with, instead of the newest found." placeholder:"DIR"`
	Drain         time.Duration  `help:"How long to wait for open invocations at the end." default:"1m"`

	Report string `help:"Write report.html, figures as SVG, seconds and invocations as CSV, the engine's logs and result.json into this folder." type:"path" placeholder:"DIR"`
	DryRun bool   `help:"Only print what would be replayed, and what the simulator expects with the durations that the simulate command assumes."`
}

// Run replays, simulates, prints a summary and writes the report.
func (cmd *replayCommand) Run(c *Context) error {
	if cmd.To == 0 {
		cmd.To = cmd.From + cmd.Length
	}
	t, _, src, err := cmd.open(c, "replay")
	if err != nil {
		return err
	}
	defer t.Close()
	cores := cmd.Cores
	if cores == 0 {
		cores = float64(runtime.NumCPU()) / 3
	}
	c.Say("choosing from the %d functions of the trace", len(t.Functions()))
	plan, err := replay.NewPlan(c, t, cmd.options(), replay.Scaling{
		Method: cmd.Scale, Functions: cmd.Keep, Cores: cores, Memory: cmd.MemoryScale, Busy: cmd.Busy, Speed: cmd.Speed, Seed: cmd.Seed,
	})
	if err != nil {
		return err
	}
	if n := float64(runtime.NumCPU()); plan.OfferedCores > n {
		return &usageError{fmt.Sprintf("replay: the scaled trace needs %.2f cores at speed %g, and there are %g: lower --cores, --keep or --speed", plan.OfferedCores, cmd.Speed, n)}
	}
	cmd.describe(c, plan)
	o := replay.Options{
		Plan: plan, Policy: cmd.Policy, ShareBuilds: cmd.ShareBuilds, Drain: cmd.Drain, Say: c.Say, Dir: cmd.Report,
		Params: policy.Params{KeepAlive: int64(cmd.KeepAlive), Threshold: int32(cmd.Threshold), Window: int64(cmd.Window), Prepare: cmd.Prepare},
	}
	switch cmd.Runs {
	case "both":
		o.Modes = []bool{true, false}
	default:
		o.Modes = []bool{cmd.Runs == "with"}
	}
	if err := cmd.prepare(c, &o); err != nil {
		return err
	}
	if cmd.DryRun {
		r, err := replay.Predict(c, o)
		if err != nil {
			return err
		}
		return c.Print(r, r.WriteText)
	}
	if cmd.Report != "" {
		if err := os.MkdirAll(cmd.Report, 0o755); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
	}
	r, err := replay.Run(c, o)
	if len(r.Runs) == 0 {
		return errors.Join(err, c.Err())
	}
	if cmd.Report != "" {
		if err := replay.Write(cmd.Report, r, src); err != nil {
			return err
		}
		c.Say("report: %s", filepath.Join(cmd.Report, "report.html"))
	}
	return errors.Join(c.Print(r, r.WriteText), err, c.Err())
}

// describe says what will happen, and warns.
func (cmd *replayCommand) describe(c *Context, p *replay.Plan) {
	for _, s := range p.Steps {
		c.Say("scaled: %s; bias: %s", s.Did, s.Bias)
	}
	c.Say("%d invocations of %d functions in %v want %.2f cores on average, %.2f in the busiest minute, of %d", p.InvocationCount, p.FunctionCount, p.Length, p.OfferedCores, p.PeakCores, runtime.NumCPU())
	if p.PeakCores > float64(runtime.NumCPU()) {
		c.Say("warning: the busiest minute needs more cores than the machine has. Response times of that minute say more about the machine than about the platform")
	}
}

// prepare fills in what the platform is.
func (cmd *replayCommand) prepare(c *Context, o *replay.Options) error {
	s, err := sample.Load(cmd.Function)
	if err != nil {
		return err
	}
	if s.Kind != "handler" {
		return &usageError{fmt.Sprintf("replay: %s is not a handler", cmd.Function)}
	}
	o.Archive, o.Handler = s.Archive(), s.Handler
	o.Machine = replay.ThisMachine()
	o.Machine.CloudJIT = Version()
	if jdks := toolchain.FindJDKs(toolchain.FindOptions{Cache: config.CacheDir()}); len(jdks) > 0 {
		o.Machine.JDK = jdks[0].Version + " (" + jdks[0].Vendor + ")"
	}
	found, _ := toolchain.Find(toolchain.FindOptions{GraalVMHome: cmd.Graalvm, Cache: config.CacheDir()})
	if len(found) > 0 {
		o.Machine.Builder = found[0].Version + " (" + string(found[0].Kind) + ")"
	} else if cmd.Runs != "without" && !cmd.DryRun {
		c.Say(`warning: no native-image found, so no function becomes native: install one with "cloudjit toolchain install"`)
	}
	cfg := cmd.config()
	if err := cfg.Check(); err != nil {
		return &usageError{err.Error()}
	}
	o.Node = server.NodeLimits(cfg)
	// Artifacts of this replay alone: none is there before, and each function pays for its builds.
	o.Start = func(ctx context.Context, optimize bool, record *engine.LogWriter) (*replay.Platform, error) {
		return cmd.platform(ctx, cfg, optimize, record)
	}
	return nil
}

func (cmd *replayCommand) config() config.Config {
	cfg := config.Default()
	cfg.Listen = "127.0.0.1:0"
	cfg.Policy.Name, cfg.Policy.Prepare = cmd.Policy, cmd.Prepare.String()
	cfg.Policy.Threshold, cfg.Policy.Window = cmd.Threshold, time.Duration(float64(cmd.Window)/cmd.Speed)
	cfg.Policy.OptimizeAfter = policy.DefaultHotInvocations // as in the simulation
	cfg.Workers.KeepAlive, cfg.Workers.MemoryMiB = time.Duration(float64(cmd.KeepAlive)/cmd.Speed), cmd.WorkerMemory
	cfg.Builder.Parallel, cfg.Builder.MemoryMiB, cfg.Builder.GraalVM = cmd.Builders, cmd.BuilderMemory, cmd.Graalvm
	return cfg
}

// platform is a server in this process, on folders of its own that go with it.
func (cmd *replayCommand) platform(ctx context.Context, cfg config.Config, optimize bool, record *engine.LogWriter) (_ *replay.Platform, err error) {
	dir, err := os.MkdirTemp("", "cloudjit-replay-")
	if err != nil {
		return nil, fmt.Errorf("start platform: %w", err)
	}
	var log io.Writer = io.Discard
	closeLog := func() error { return nil }
	if cmd.Report != "" {
		mode := "without"
		if optimize {
			mode = "with"
		}
		f, err := os.Create(filepath.Join(cmd.Report, "server-"+mode+".log"))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("start platform: %w", err), os.RemoveAll(dir))
		}
		log, closeLog = f, f.Close
	}
	cleanUp := func() error { return errors.Join(closeLog(), os.RemoveAll(dir)) }
	cfg.Data, cfg.Policy.Enabled = filepath.Join(dir, "data"), optimize
	if !optimize {
		// Which workers are kept, how many start, and what is made before, is the policy's too.
		cfg.Policy.Name, cfg.Policy.Prepare = "none", policy.PrepareFirstUse.String()
	}
	s, err := server.Start(ctx, server.Options{
		Config: cfg, Cache: config.CacheDir(), Builds: filepath.Join(dir, "builds"), Version: Version(),
		Log: slog.New(slog.NewTextHandler(log, nil)), Record: record,
	})
	if err != nil {
		return nil, errors.Join(err, cleanUp())
	}
	stop := func() error {
		// What is open then has had its time.
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		return errors.Join(s.Stop(ctx), cleanUp())
	}
	cl, err := client.New("http://" + s.Addr().String())
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	return &replay.Platform{Client: cl, Stop: stop}, nil
}
