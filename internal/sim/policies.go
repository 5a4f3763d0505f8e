package sim

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/trace"
)

// Oracle is the name of the bound on what a policy can do. It is no policy that can run: it knows the
// future. Every function that is invoked has its light artifacts before the trace begins, and those
// to which a better rung means most, by the first policy's run, have that one, as many as the policy
// that built the most. It knows when each idle worker would be needed again, and keeps it or
// starts one just in time, whichever costs less.
const Oracle = "oracle"

// PolicyNames are what Options.Policies may name.
func PolicyNames() []string { return append(policy.Names(), Oracle) }

func newPolicy(name string, next *future) (policy.Policy, error) {
	if name == Oracle {
		return &oracle{next: next}, nil
	}
	p, err := policy.New(name)
	if err != nil {
		return nil, fmt.Errorf("simulate: unknown policy %q: want some of %q", name, PolicyNames())
	}
	return p, nil
}

// foresight is what the oracle knows of a function before the trace begins.
type foresight struct {
	invoked bool
	// best is the rung whose artifact is there, besides the light ones.
	best ladder.ID
}

// choice is a rung for a function and what it is worth, in MB*s.
type choice struct {
	function    int32
	rung        ladder.ID
	value, cost float64
}

// foresee chooses the oracle's artifacts.
func (r *Result) foresee(t trace.Trace) []foresight {
	functions := t.Functions()
	seen := make([]foresight, len(functions))
	var order []choice
	for i := range functions {
		use := &r.Runs[0].PerFunction[i]
		if use.Invocations == 0 {
			continue
		}
		seen[i].invoked = true
		if best, ok := r.Options.bestRung(int32(i), use, functions[i].MemoryMB); ok {
			order = append(order, best)
		}
	}
	slices.SortStableFunc(order, func(a, b choice) int { return cmp.Compare(b.value, a.value) })
	builds := 0
	for i := range r.Runs[1:] {
		builds = max(builds, r.heavyBuilds(&r.Runs[i+1]))
	}
	if builds == 0 { // nothing to compare with: all that pay
		for _, c := range order {
			if c.value > c.cost {
				builds++
			}
		}
	}
	for _, c := range order[:min(builds, len(order))] {
		seen[c.function].best = c.rung
	}
	return seen
}

// bestRung is the one above the light ones that saves a function most, against the light ones; false
// if it has none.
func (o *Options) bestRung(i int32, use *FunctionUse, mb float64) (best choice, ok bool) {
	l := o.ladderOf(i)
	from := &l.Rungs[ladder.First]
	for id := range l.Rungs {
		if l.Rungs[id].Light {
			from = &l.Rungs[id]
		}
	}
	keep := time.Duration(o.Params.KeepAlive).Seconds()
	for id := 1; id < len(l.Rungs); id++ {
		r := &l.Rungs[id]
		if !r.Weighed() || !r.Serves() || r.Also != ladder.RecordingNone { // what only computes faster saves it nothing
			continue
		}
		c := choice{function: i, rung: ladder.ID(id), cost: r.Cost.MemoryMB*r.Cost.Wall.Seconds() + r.Cost.CPU.Seconds()*o.Model.CPUPrice}
		// A wait is worth what the keep-alive gives for it: see policy.Benefit.
		c.value = use.ResidentMBs*(from.Memory-r.Memory) + float64(use.Cold)*(from.Start-r.Start)*keep*mb
		if !ok || c.value-c.cost > best.value-best.cost {
			best, ok = c, true
		}
	}
	return best, ok
}

// heavyBuilds counts the builds of a run that are not light.
func (r *Result) heavyBuilds(run *Outcome) int {
	light := map[string]bool{}
	for i := range r.Functions {
		for _, row := range r.Options.ladderOf(int32(i)).Rungs {
			light[string(row.Name)] = !row.Weighed()
		}
	}
	n := 0
	for _, s := range run.Summary.Rungs {
		if !light[string(s.Rung)] {
			n += s.Builds
		}
	}
	return n
}

// oracle keeps each idle worker until it is needed, or stops it and starts one in time.
type oracle struct {
	policy.Paper
	next *future
	c    *cluster
}

// watch lets it see how many workers of a function run.
func (o *oracle) watch(c *cluster) { o.c = c }

// Decide: all is there already.
func (*oracle) Decide(_ int64, v *policy.View) policy.Decision {
	return policy.Decision{Serve: ladder.ID(len(v.Ladder.Rungs) - 1)}
}

// Keep weighs the memory of an idle worker until it is needed against what another start costs. The
// first worker of a function can be started just in time, and then costs its CPU time and its
// memory meanwhile; the engine starts no others ahead, so for those there is a wait, at the price that the
// platform's keep-alive gives for one.
func (o *oracle) Keep(now int64, v *policy.View) policy.Keep {
	f := &o.c.fns[v.Revision]
	level := int(f.runningNative + f.runningOther)
	next := o.next.needed(f.global, level, now)
	soon := policy.Keep{Alive: futureUnit} // not seen: what comes within the grain of the future's times
	if next == never {
		return soon
	}
	m := &o.c.model
	own, first := &v.Rungs[v.Rung], &v.Rungs[ladder.First]
	start := time.Duration(own.Start).Seconds()
	worth := start * (own.MemoryMB + m.StartCores*m.CPUPrice)
	if level > 0 {
		worth = time.Duration(v.Params.KeepAlive).Seconds() * first.MemoryMB * start / max(time.Duration(first.Start).Seconds(), 1e-3)
	}
	switch gap := next - now; {
	case time.Duration(gap).Seconds()*own.MemoryMB <= worth:
		return policy.Keep{Alive: gap + futureUnit}
	case level == 0:
		soon.Again = max(next-own.Start-futureUnit, 1)
	}
	return soon
}
