package sim

import (
	"slices"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/trace"
)

// Result of a simulation: one Outcome a policy, in the order of Options.Policies.
type Result struct {
	Options     Options       `json:"options"`
	Functions   int           `json:"functions"`
	Invocations uint64        `json:"invocations"`
	Length      time.Duration `json:"lengthNs"`
	Runs        []Outcome     `json:"runs"`
	// Problems are those of the trace's files, for the report.
	Problems []trace.Problem `json:"problems,omitempty"`
	// Live is what happened, where a recording was simulated.
	Live *LiveCounts `json:"live,omitempty"`
}

// Outcome is what one policy did.
type Outcome struct {
	Policy  string  `json:"policy"`
	Summary Summary `json:"summary"`
	// Series has an entry for each second of the trace.
	Series Series `json:"-"`
	// PerFunction is by the trace's table.
	PerFunction []FunctionUse `json:"-"`
}

// Find is the run of a policy, or nil.
func (r *Result) Find(policy string) *Outcome {
	for i := range r.Runs {
		if r.Runs[i].Policy == policy {
			return &r.Runs[i]
		}
	}
	return nil
}

// Series is one value for each simulated second: what was so at its end, or was counted in it. Of several
// nodes it is their sum: a function that two nodes run, or have a binary of, counts twice.
type Series struct {
	// ActiveOptimized and ActiveOther count functions that ran an invocation at any time of the
	// second, by whether they were optimized when it began or the invocation did.
	ActiveOptimized []int32
	ActiveOther     []int32
	// RunningOptimized and RunningOther count functions that run an invocation at the end of
	// the second, on a native worker or only on others.
	RunningOptimized []int32
	RunningOther     []int32
	// Invocations that run at the end of the second.
	Invocations []int32
	// Resident workers: starting, busy, idle and stopping ones, native and all.
	ResidentNative []int32
	Resident       []int32
	// RunningMB and ResidentMB are the memory of workers that run an invocation, and of all,
	// without the sandbox's own; the sandboxes' is Options.Model.SandboxMB a worker.
	RunningMB  []float64
	ResidentMB []float64
	// ColdOptimized and ColdOther count cold starts in the second, of native workers and of others.
	ColdOptimized []int32
	ColdOther     []int32
	// Builds that run; their CPUs and memory are the model's, times this.
	Builds []int32
	// BuildsQueued wait for a builder.
	BuildsQueued []int32
	// OptimizedFunctions have a binary that serves.
	OptimizedFunctions []int32
	// ArtifactMB is the disk that all artifacts which serve take.
	ArtifactMB []float64
	// Rungs are what is counted by rung, the lowest first.
	Rungs []RungSeries
}

// RungSeries is one value for each second, of one rung: its workers at the end of it, and the cold
// starts in it.
type RungSeries struct {
	Rung           function.Rung
	Resident, Cold []int32
}

// Len is the number of seconds.
func (s *Series) Len() int { return len(s.RunningMB) }

// From is the series from a second on.
func (s *Series) From(second int) Series {
	rest := *s
	rest.Rungs = slices.Clone(s.Rungs)
	for _, column := range rest.counts() {
		*column = (*column)[min(second, len(*column)):]
	}
	for _, column := range rest.sizes() {
		*column = (*column)[min(second, len(*column)):]
	}
	return rest
}

// FunctionUse is what one function had over the whole trace.
type FunctionUse struct {
	Invocations uint32
	Cold        uint32 // cold starts, native ones included
	ColdNative  uint32
	Deopts      uint32
	// ResidentMBs is the memory of its workers over time, MB times seconds.
	ResidentMBs float64
	// Waited is the sum of its invocations' waits for workers.
	Waited time.Duration
}

// add takes what the function had on another node.
func (u *FunctionUse) add(o *FunctionUse) {
	u.Invocations += o.Invocations
	u.Cold += o.Cold
	u.ColdNative += o.ColdNative
	u.Deopts += o.Deopts
	u.ResidentMBs += o.ResidentMBs
	u.Waited += o.Waited
}

// Summary is a run in a few numbers. Means are over all seconds of the trace.
type Summary struct {
	Invocations uint64 `json:"invocations"`
	Rejected    uint64 `json:"rejected"`
	Failed      uint64 `json:"failed"`
	// Unfinished wait or run when the trace ends.
	Unfinished int `json:"unfinished"`

	ColdStarts       uint64 `json:"coldStarts"`
	ColdStartsNative uint64 `json:"coldStartsNative"`
	// ColdShare is cold starts over invocations, NativeColdShare native cold starts over cold starts.
	ColdShare       float64 `json:"coldShare"`
	NativeColdShare float64 `json:"nativeColdShare"`
	// SteadyNativeColdShare is that over the last third of the trace, when builds have had time.
	SteadyNativeColdShare float64 `json:"steadyNativeColdShare"`

	// Invoked is the number of functions with an invocation, Optimized of those that had a binary
	// serve, OptimizedShare the second over the first.
	Invoked        int     `json:"invokedFunctions"`
	Optimized      int     `json:"optimizedFunctions"`
	OptimizedShare float64 `json:"optimizedShare"`
	// OptimizedInvocations is the share of invocations that were of those functions.
	OptimizedInvocations float64 `json:"optimizedInvocationsShare"`
	Builds               int     `json:"builds"`
	Deoptimizations      uint64  `json:"deoptimizations"`

	// Means in MB, without and with the sandboxes' memory.
	RunningMB         float64 `json:"runningMB"`
	ResidentMB        float64 `json:"residentMB"`
	RunningSandboxMB  float64 `json:"runningWithSandboxMB"`
	ResidentSandboxMB float64 `json:"residentWithSandboxMB"`
	PeakResidentMB    float64 `json:"peakResidentMB"`
	MeanResident      float64 `json:"meanResidentWorkers"`
	PeakResident      int32   `json:"peakResidentWorkers"`

	// Saved are against the first policy of the simulation, over the whole trace and over its last third.
	SavedRunning         float64 `json:"savedRunning"`
	SavedResident        float64 `json:"savedResident"`
	SavedRunningSandbox  float64 `json:"savedRunningWithSandbox"`
	SavedResidentSandbox float64 `json:"savedResidentWithSandbox"`
	SteadySavedRunning   float64 `json:"steadySavedRunning"`
	SteadySavedResident  float64 `json:"steadySavedResident"`

	// Build cost: builder time, CPU time and memory-time, and what was saved of workers'
	// resident memory-time (without sandboxes), in the same unit.
	BuildSeconds    float64 `json:"buildSeconds"`
	BuildCPUSeconds float64 `json:"buildCPUSeconds"`
	BuildGBSeconds  float64 `json:"buildGBSeconds"`
	SavedGBSeconds  float64 `json:"savedGBSeconds"`
	// Checks are artifacts that were compared with the first rung, CheckCPUSeconds what that took; no part of
	// what builds and starts cost.
	Checks          int     `json:"checks"`
	CheckCPUSeconds float64 `json:"checkCPUSeconds"`
	PeakBuilds      int32   `json:"peakBuilds"`

	// Response is arrival to end; Wait is arrival to begin, of those that had to wait at all.
	Response Latency `json:"response"`
	Wait     Latency `json:"wait"`
	// WaitedSeconds is the sum of all waits, for a start or for a worker that was busy.
	WaitedSeconds float64 `json:"waitedSeconds"`
	// Rungs are the same by rung, the lowest first.
	Rungs []RungSummary `json:"rungs"`
	// StartsAhead are workers that were started ahead of an invocation, Recorders those that recorded.
	// CPU time is that of starts, the model's cores each; AheadCPUSeconds is part of StartCPUSeconds.
	StartsAhead     uint64  `json:"startsAhead"`
	Recorders       uint64  `json:"recorders"`
	StartCPUSeconds float64 `json:"startCPUSeconds"`
	AheadCPUSeconds float64 `json:"aheadCPUSeconds"`
	// MeanArtifactMB and PeakArtifactMB are the disk of all artifacts that serve; Dropped were given up
	// for it.
	MeanArtifactMB float64 `json:"meanArtifactMB"`
	PeakArtifactMB float64 `json:"peakArtifactMB"`
	Dropped        int     `json:"droppedArtifacts"`
	// Events that the engine took.
	Events uint64 `json:"events"`
	// Forwarded are invocations that ran on another node than the one that took them; of one node 0.
	Forwarded uint64 `json:"forwarded,omitempty"`
}

// RungSummary is what one rung did.
type RungSummary struct {
	Rung function.Rung `json:"rung"`
	// Functions had the rung's artifact serve, and were invoked. Of the first rung: all that were.
	Functions   int     `json:"functions"`
	ColdStarts  uint64  `json:"coldStarts"`
	StartsAhead uint64  `json:"startsAhead"`
	Invocations uint64  `json:"invocations"`
	MeanWorkers float64 `json:"meanWorkers"`
	// WaitedSeconds is the sum of the waits of invocations that its workers took.
	WaitedSeconds float64 `json:"waitedSeconds"`
	// Builds and what they took; those that were done before the trace began count.
	Builds          int     `json:"builds"`
	BuildSeconds    float64 `json:"buildSeconds"`
	BuildCPUSeconds float64 `json:"buildCPUSeconds"`
}
