package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/placement"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/trace"
)

// Options of a simulation. DefaultOptions are the paper's, where it says something.
type Options struct {
	// Trace says how counts become invocations, and seeds everything that is random.
	Trace trace.Options `json:"trace"`
	// Params are every function's keep-alive, threshold and window, and when its light artifacts are
	// made: with policy.PrepareDeploy they are there when the trace begins.
	Params policy.Params `json:"params"`
	// Ladder of every function that has none of its own in Functions.
	Ladder *ladder.Ladder `json:"ladder"`
	Model  Model          `json:"model"`
	// Policies are simulated side by side over the same invocations; see PolicyNames. The
	// first is what the others are compared with.
	Policies []string `json:"policies"`
	// Progress, if not nil, is told now and then how much of the trace is done, from the
	// goroutine of the slowest policy.
	Progress func(done time.Duration, invocations uint64) `json:"-"`
	// Functions, if not nil, has what differs, by the trace's table: of a recording.
	Functions []FunctionOptions `json:"-"`
	// Node has limits of a recorded node that are not in Model: starts, invocations and waiting
	// ones at once. Zero: none.
	Node engine.NodeConfig `json:"-"`
	// Nodes, if there are several, share the invocations; the model's and Node's limits are of all of them
	// together.
	Nodes Nodes `json:"nodes"`
	// Record, if not nil, is given every step of the first policy's engine, as
	// engine.LogWriter.Record takes it. It wants Sequential.
	Record func(now int64, ev engine.Event, actions []engine.Action) `json:"-"`
	// Sequential runs all policies in the caller's goroutine, one engine each, batch by batch.
	// Results do not depend on it.
	Sequential bool `json:"-"`
}

// Model is what the simulator assumes where the live platform measures, besides the ladder: how long
// a worker of a rung takes to start, what it uses and what its artifact costs are the ladder's.
type Model struct {
	// ColdSpread is the sigma of a lognormal around the median of starts; 0: always the same.
	ColdSpread float64 `json:"coldSpread"`
	// RecordStart and RecordSpeed are by how much a worker that records starts later and answers later.
	RecordStart [ladder.RecordingCount]float64 `json:"recordStart"`
	RecordSpeed [ladder.RecordingCount]float64 `json:"recordSpeed"`
	// FirstExtra is how much longer the first invocation of a worker of the first rung takes; of
	// other rungs it is this times their First.
	FirstExtra time.Duration `json:"firstExtraNs"`
	// Starts are measured ones, in the place of the ladder's.
	Starts map[Way]time.Duration `json:"startNs,omitempty"`
	// Overhead is what an invocation takes beyond its duration: the way to the worker and back.
	// FirstOverhead is that of the first one of a worker, in the place of FirstExtra. None: 0.
	Overhead      map[Way]time.Duration `json:"overheadNs,omitempty"`
	FirstOverhead map[Way]time.Duration `json:"firstOverheadNs,omitempty"`
	// SandboxMB is what the virtualization stack adds to every worker. The paper's simulation
	// left it out, and names that as a reason why its execution saved less (5.2): summaries
	// give memory without it and with it.
	SandboxMB float64 `json:"sandboxMB"`
	// BuildTimes, if there are any, are the lengths of binaries' builds, in the place of the
	// ladder's: a function always has the same one of them. Their CPU time is the ladder's, in proportion.
	BuildTimes []time.Duration `json:"buildTimesNs"`
	// Builders is how many builds run at once; 0: no limit; -1: none. LightBuilders is the same for
	// builds of seconds.
	Builders      int `json:"builders"`
	LightBuilders int `json:"lightBuilders"`
	// ArtifactMB is how much disk all artifacts together may take; 0: no limit.
	ArtifactMB float64 `json:"artifactMB"`
	// StartCores is how many cores a start keeps busy, for what starts cost in CPU time. CPUPrice
	// is what a second of a core is worth in MB*s; the oracle alone weighs with it.
	StartCores float64 `json:"startCores"`
	CPUPrice   float64 `json:"cpuPriceMBs"`
	// TraceLimit is how many invocations the tracing worker serves (paper, 4.1: 1000).
	TraceLimit int `json:"traceLimit"`
	// TraceDelay is how long after its first invocation begins the tracer's findings are there,
	// RecordEnd how long a worker takes to end whose recording is there only at its end.
	TraceDelay time.Duration `json:"traceDelayNs"`
	RecordEnd  time.Duration `json:"recordEndNs"`
	// Deoptimize is the probability that an invocation of a native worker meets an element
	// that its binary has no metadata for.
	Deoptimize float64 `json:"deoptimize"`
	// Stop is how long a worker that was told to stop keeps its memory.
	Stop time.Duration `json:"stopNs"`
	// MemoryMB is what all workers together may reserve; 0: no limit. Functions reserve
	// whole MiB.
	MemoryMB float64 `json:"memoryMB"`
}

// Way is how a worker runs.
type Way struct {
	Rung      function.Rung
	Recording ladder.Recording
}

// MarshalText writes "hotspot", "hotspot+metadata".
func (w Way) MarshalText() ([]byte, error) {
	if w.Recording == ladder.RecordingNone {
		return []byte(w.Rung), nil
	}
	return []byte(string(w.Rung) + "+" + w.Recording.String()), nil
}

// UnmarshalText reads what MarshalText writes.
func (w *Way) UnmarshalText(b []byte) error {
	rung, recording, ok := strings.Cut(string(b), "+")
	*w = Way{Rung: function.Rung(rung)}
	if !ok {
		return nil
	}
	return w.Recording.UnmarshalText([]byte(recording))
}

// SetParams changes the parameters of all functions.
func (o *Options) SetParams(change func(*policy.Params)) {
	change(&o.Params)
	o.Functions = slices.Clone(o.Functions)
	for i := range o.Functions {
		change(&o.Functions[i].Function.Params)
	}
}

// DefaultOptions are the paper's values: keep-alive 10 min, a build after more than 10 cold
// starts in 1 min, and PaperLadder with the build times of Table 1. Nor does it name a number of
// builders: there is no limit.
//
// CPUPrice is what clouds ask: 0.0405 dollars for an hour of a core and 0.00445 for that of a
// GB (AWS Fargate, us-east-1), so a core is worth 9.1 GB.
func DefaultOptions() Options {
	m := Model{
		SandboxMB:  40,
		BuildTimes: PaperBuildTimes(),
		StartCores: 1.5,
		CPUPrice:   9100,
		TraceLimit: 1000,
		TraceDelay: time.Second,
		RecordEnd:  time.Second,
	}
	for x := range m.RecordStart {
		m.RecordStart[x], m.RecordSpeed[x] = ladder.Recording(x).Start(), 1
	}
	return Options{
		Params:   policy.DefaultParams(),
		Ladder:   PaperLadder(),
		Model:    m,
		Policies: []string{"none", "paper"},
		Nodes:    Nodes{Gossip: 200 * time.Millisecond, Params: placement.Default},
	}
}

// validate refuses what would make a simulation meaningless or endless.
func (o *Options) validate() error {
	m := &o.Model
	if o.Ladder == nil {
		return fmt.Errorf("simulate: no ladder")
	}
	if err := checkLadder(o.Ladder); err != nil {
		return fmt.Errorf("simulate: %w", err)
	}
	for x := range m.RecordStart {
		if !(m.RecordStart[x] >= 0) || !(m.RecordSpeed[x] > 0) {
			return fmt.Errorf("simulate: recording %v: start times %g, duration times %g: want a start of 0 or more and a duration over 0", ladder.Recording(x), m.RecordStart[x], m.RecordSpeed[x])
		}
	}
	for _, times := range []map[Way]time.Duration{m.Starts, m.Overhead, m.FirstOverhead} {
		for way, d := range times {
			if d < 0 {
				return fmt.Errorf("simulate: %v of workers of rung %q: want 0 or more", d, way.Rung)
			}
		}
	}
	switch {
	case !(m.Deoptimize >= 0 && m.Deoptimize <= 1):
		return fmt.Errorf("simulate: deoptimization with probability %g: want 0..1", m.Deoptimize)
	case !(m.ColdSpread >= 0 && m.ColdSpread < 5):
		return fmt.Errorf("simulate: spread of starts %g: want 0..5", m.ColdSpread)
	case m.TraceDelay < 0 || m.RecordEnd < 0 || m.Stop < 0 || m.FirstExtra < 0:
		return fmt.Errorf("simulate: times below zero")
	case !(m.ArtifactMB >= 0 && m.SandboxMB >= 0 && m.StartCores >= 0 && m.CPUPrice >= 0):
		return fmt.Errorf("simulate: disk %g MB, sandbox %g MB, %g cores a start, price of a core %g: want 0 or more", m.ArtifactMB, m.SandboxMB, m.StartCores, m.CPUPrice)
	case o.Params.KeepAlive < 0 || o.Params.Window <= 0 || o.Params.Threshold < 0 || o.Params.MaxWait < 0:
		return fmt.Errorf("simulate: keep-alive %v, window %v, threshold %d, longest wait %v: want none below zero, and a window",
			time.Duration(o.Params.KeepAlive), time.Duration(o.Params.Window), o.Params.Threshold, time.Duration(o.Params.MaxWait))
	case o.Record != nil && !o.Sequential:
		return fmt.Errorf("simulate: a recording needs Sequential, because otherwise each part has its own engine")
	case o.Nodes.Count > 1 && (o.Record != nil || slices.Contains(o.Policies, Oracle)):
		return fmt.Errorf("simulate: %d nodes: the oracle and recordings are of one node", o.Nodes.Count)
	case o.Nodes.Count < 0 || o.Nodes.Count > maxNodes || !(o.Nodes.Cores >= 0):
		return fmt.Errorf("simulate: %d nodes with %g cores: want 1..%d nodes", o.Nodes.Count, o.Nodes.Cores, maxNodes)
	case o.Nodes.Count > 1 && o.Nodes.Gossip <= 0:
		return fmt.Errorf("simulate: nodes that hear of each other every %v: want more than 0", o.Nodes.Gossip)
	case len(o.Policies) == 0:
		return fmt.Errorf("simulate: no policy named: want some of %q", PolicyNames())
	}
	for _, d := range m.BuildTimes {
		if d < 0 {
			return fmt.Errorf("simulate: a build time of %v", d)
		}
	}
	return nil
}
