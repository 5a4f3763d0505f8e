package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/trace"
)

// Options of a simulation. DefaultOptions are the paper's, where it says something.
type Options struct {
	// Trace says how counts become invocations, and seeds everything that is random.
	Trace trace.Options `json:"trace"`
	// Params are every function's keep-alive, threshold and window.
	Params policy.Params `json:"params"`
	Model  Model         `json:"model"`
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
	// Record, if not nil, is given every step of the first policy's engine, as
	// engine.LogWriter.Record takes it. It wants Sequential.
	Record func(now int64, ev engine.Event, actions []engine.Action) `json:"-"`
	// Sequential runs all policies in the caller's goroutine, one engine each, batch by batch.
	// Results do not depend on it.
	Sequential bool `json:"-"`
}

// Model is what the simulator assumes where the live platform measures.
type Model struct {
	// ColdStart is how long a worker of each tier takes to be ready.
	ColdStart [function.TierCount]time.Duration `json:"coldStartNs"`
	// ColdSpread is the sigma of a lognormal around ColdStart's median; 0: always the same.
	ColdSpread float64 `json:"coldSpread"`
	// Slowdown is an invocation's duration on a tier over the trace's.
	Slowdown [function.TierCount]float64 `json:"slowdown"`
	// FirstSlowdown is that of the first invocation of a worker, while code is cold.
	FirstSlowdown [function.TierCount]float64 `json:"firstSlowdown"`
	// Overhead is what an invocation takes on a tier beyond that: the way to the worker and back.
	// FirstOverhead is that of the first one of a worker.
	Overhead      [function.TierCount]time.Duration `json:"overheadNs"`
	FirstOverhead [function.TierCount]time.Duration `json:"firstOverheadNs"`
	// NativeMemory is a native worker's memory over a HotSpot worker's (paper, 5.1: 0.375).
	NativeMemory float64 `json:"nativeMemory"`
	// SandboxMB is what the virtualization stack adds to every worker. The paper's simulation
	// left it out, and names that as a reason why its execution saved less (5.2): summaries
	// give memory without it and with it.
	SandboxMB float64 `json:"sandboxMB"`
	// BuildTimes are the builds' lengths; a function always has the same one of them.
	BuildTimes []time.Duration `json:"buildTimesNs"`
	// BuildMB is a running builder's memory, BuildCPUs the cores that it keeps busy.
	BuildMB   float64 `json:"buildMB"`
	BuildCPUs float64 `json:"buildCPUs"`
	// Builders is how many builds run at once; 0: no limit; -1: none.
	Builders int `json:"builders"`
	// TraceLimit is how many invocations the tracing worker serves (paper, 4.1: 1000).
	TraceLimit int `json:"traceLimit"`
	// TraceDelay is how long after its first invocation begins the tracer's findings are there.
	TraceDelay time.Duration `json:"traceDelayNs"`
	// Deoptimize is the probability that an invocation of a native worker meets an element
	// that its binary has no metadata for.
	Deoptimize float64 `json:"deoptimize"`
	// Stop is how long a worker that was told to stop keeps its memory.
	Stop time.Duration `json:"stopNs"`
	// MemoryMB is what all workers together may reserve; 0: no limit. Functions reserve
	// whole MiB.
	MemoryMB float64 `json:"memoryMB"`
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
// starts in 1 min, native memory 0.375 of HotSpot's, build times of Table 1 and the mean of
// its memory. The paper gives no numbers for starts (Fig. 1.b is a plot): those are what a
// small function with a JSON library was measured at, 1.1 s on HotSpot and 35 ms native; the
// tracer adds a third. Nor does it name a number of builders: there is no limit.
func DefaultOptions() Options {
	var m Model
	m.ColdStart[function.TierHotSpotAgent] = 1500 * time.Millisecond
	m.ColdStart[function.TierHotSpot] = 1100 * time.Millisecond
	m.ColdStart[function.TierNative] = 35 * time.Millisecond
	m.ColdStart[function.TierDirect] = 100 * time.Millisecond
	for t := range m.Slowdown {
		m.Slowdown[t], m.FirstSlowdown[t] = 1, 1
	}
	m.NativeMemory = 0.375
	m.SandboxMB = 40
	m.BuildTimes = []time.Duration{97 * time.Second, 200 * time.Second, 87 * time.Second}
	m.BuildMB = 6977 // the mean of 6.41, 8.21 and 6.31 GB
	m.BuildCPUs = 4
	m.TraceLimit = 1000
	m.TraceDelay = time.Second
	return Options{
		Params:   policy.DefaultParams(),
		Model:    m,
		Policies: []string{"none", "paper"},
	}
}

// validate refuses what would make a simulation meaningless or endless.
func (o *Options) validate() error {
	m := &o.Model
	for t := range m.ColdStart {
		if m.ColdStart[t] < 0 || m.Overhead[t] < 0 || m.FirstOverhead[t] < 0 || !(m.Slowdown[t] > 0) || !(m.FirstSlowdown[t] > 0) {
			return fmt.Errorf("simulate: tier %v: start %v, slowdown %g and %g: want a start and overheads of 0 or more and slowdowns over 0",
				function.Tier(t), m.ColdStart[t], m.Slowdown[t], m.FirstSlowdown[t])
		}
	}
	switch {
	case !(m.NativeMemory > 0):
		return fmt.Errorf("simulate: native memory is %g of HotSpot's: want more than 0", m.NativeMemory)
	case !(m.Deoptimize >= 0 && m.Deoptimize <= 1):
		return fmt.Errorf("simulate: deoptimization with probability %g: want 0..1", m.Deoptimize)
	case !(m.ColdSpread >= 0 && m.ColdSpread < 5):
		return fmt.Errorf("simulate: spread of starts %g: want 0..5", m.ColdSpread)
	case len(m.BuildTimes) == 0:
		return fmt.Errorf("simulate: no build times")
	case m.TraceDelay < 0 || m.Stop < 0:
		return fmt.Errorf("simulate: times below zero")
	case o.Params.KeepAlive < 0 || o.Params.Window <= 0 || o.Params.Threshold < 0:
		return fmt.Errorf("simulate: keep-alive %v, window %v, threshold %d: want none below zero, and a window",
			time.Duration(o.Params.KeepAlive), time.Duration(o.Params.Window), o.Params.Threshold)
	case o.Record != nil && !o.Sequential:
		return fmt.Errorf("simulate: recording wants Sequential: parts have engines of their own")
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
