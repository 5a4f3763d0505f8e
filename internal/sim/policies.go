package sim

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/trace"
)

// Oracle is the name of the bound on choosing what to build, and on waiting for it. It is no policy that can run: from
// the first policy's run it takes how much memory over time, and how many cold starts, each
// function will have, and gives those to which a binary means most one before the trace
// begins; as many as the policy that built the most. It keeps native workers as "adaptive" does: it does not know their next arrivals.
const Oracle = "oracle"

// PolicyNames are what Options.Policies may name.
func PolicyNames() []string { return append(policy.Names(), Oracle) }

// newPolicy makes a policy for the model's costs. One build a function, as in the paper: the
// second, at a higher level, is left to the live platform.
func newPolicy(name string, o *Options) (policy.Policy, error) {
	paper := policy.Paper{HotInvocations: -1}
	m := &o.Model
	costs := policy.Costs{BuildSeconds: meanBuild(m)}
	costs.BuildMBSeconds = costs.BuildSeconds * m.BuildMB
	for t := range m.ColdStart {
		costs.Cold[t] = int64(m.ColdStart[t])
	}
	benefit := policy.Benefit{Paper: paper, Costs: costs}
	switch name {
	case "none":
		return &policy.Never{Paper: paper}, nil
	case "paper":
		return &paper, nil
	case "benefit":
		return &benefit, nil
	case "adaptive":
		return &policy.Adaptive{Benefit: benefit}, nil
	case Oracle:
		return &foreseen{policy.Adaptive{Benefit: benefit}}, nil
	}
	return nil, fmt.Errorf("simulate: unknown policy %q: want some of %q", name, PolicyNames())
}

func meanBuild(m *Model) float64 {
	sum := 0.0
	for _, d := range m.BuildTimes {
		sum += d.Seconds()
	}
	return sum / float64(len(m.BuildTimes))
}

// foreseen has all its binaries before it begins.
type foreseen struct{ policy.Adaptive }

func (*foreseen) Promote(_ int64, v *policy.View) function.Level { return v.Level }

// foresee chooses the oracle's functions.
func (r *Result) foresee(t trace.Trace) []bool {
	base := &r.Runs[0]
	m := &r.Options.Model
	cold := m.ColdStart[function.TierHotSpot]
	saved := cold - m.ColdStart[function.TierNative]
	keep := time.Duration(r.Options.Params.KeepAlive)
	functions := t.Functions()
	value := make([]float64, len(functions))
	order := make([]int, 0, len(functions))
	for i := range functions {
		use := &base.PerFunction[i]
		if use.Invocations == 0 {
			continue
		}
		value[i] = use.ResidentMBs * (1 - m.NativeMemory)
		if cold > 0 { // a wait is worth what the keep-alive gives for it
			value[i] += float64(use.Cold) * float64(saved) / float64(cold) * keep.Seconds() * functions[i].MemoryMB
		}
		order = append(order, i)
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(value[b], value[a]) })
	builds := 0
	for _, run := range r.Runs[1:] {
		builds = max(builds, run.Summary.Builds)
	}
	if builds == 0 { // nothing to compare with: all that pay
		cost := meanBuild(m) * m.BuildMB
		for _, i := range order {
			if value[i] > cost {
				builds++
			}
		}
	}
	native := make([]bool, len(functions))
	for _, i := range order[:min(builds, len(order))] {
		native[i] = true
	}
	return native
}

// builtState is a revision that has its binary.
func builtState() pipeline.Saved {
	return pipeline.Saved{
		State:   pipeline.State{Stage: pipeline.StageNative},
		Version: 1, Complete: true, BuiltVersion: 1, Level: function.LevelQuick,
	}
}
