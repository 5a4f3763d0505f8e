package replay

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/cloudjit/cloudjit/internal/trace"
)

// Scaling says how a trace is made to fit one machine.
type Scaling struct {
	// Method is stratified or apps (whole functions or apps are chosen) or thin (invocations are).
	Method trace.Method `json:"method"`
	// Functions is how many to keep at most; 0: all.
	Functions int `json:"functions"`
	// Cores is how much CPU the invocations may want on average; 0: no limit.
	Cores float64 `json:"cores"`
	// Memory is what a function allocates of the memory that the trace says.
	Memory float64 `json:"memory"`
	// Busy is the share of its duration that an invocation computes; for the rest it waits. 1: the
	// paper's.
	Busy float64 `json:"busy"`
	// Speed compresses time: arrivals, durations, keep-alive and window. 1: as recorded.
	Speed float64 `json:"speed"`
	// Seed of everything random.
	Seed uint64 `json:"seed"`
}

// Step is something that was done to the trace, and what that does to the results.
type Step struct {
	Did  string `json:"did"`
	Bias string `json:"bias"`
}

// Plan is exactly what is replayed, and simulated afterwards.
type Plan struct {
	Functions   []trace.Function   `json:"-"`
	Invocations []trace.Invocation `json:"-"`
	// Megabytes (MiB) is what each function allocates.
	Megabytes []int         `json:"-"`
	Length    time.Duration `json:"lengthNs"`
	Steps     []Step        `json:"steps"`
	Scaling   Scaling       `json:"scaling"`

	FunctionCount   int `json:"functions"`
	InvocationCount int `json:"invocations"`
	// OfferedCores is the CPU that the invocations want, PeakCores that of the busiest minute;
	// starts of workers and builds come on top.
	OfferedCores float64 `json:"offeredCores"`
	PeakCores    float64 `json:"peakCores"`
}

// maxInvocations bounds what is kept in memory of a scaled trace.
const maxInvocations = 2_000_000

// NewPlan scales a trace. Durations are in whole milliseconds, as the function takes them.
func NewPlan(ctx context.Context, t trace.Trace, o trace.Options, s Scaling) (*Plan, error) {
	switch {
	case s.Functions < 0 || !(s.Cores >= 0):
		return nil, fmt.Errorf("plan replay: %d functions, %g cores: want none below 0", s.Functions, s.Cores)
	case !(s.Speed > 0) || math.IsInf(s.Speed, 0):
		return nil, fmt.Errorf("plan replay: speed %g: want more than 0", s.Speed)
	case !(s.Busy >= 0.01 && s.Busy <= 1):
		return nil, fmt.Errorf("plan replay: busy %g: want 0.01 to 1", s.Busy)
	case !(s.Memory >= 0 && s.Memory <= 100):
		return nil, fmt.Errorf("plan replay: memory scale %g: want 0 to 100", s.Memory)
	}
	p := &Plan{Length: time.Duration(float64(t.Length()) / s.Speed), Scaling: s}
	t, err := p.choose(ctx, t, o)
	if err != nil {
		return nil, err
	}
	p.Functions = t.Functions()
	err = trace.ForEach(ctx, t, o, func(inv trace.Invocation) error {
		if len(p.Invocations) == maxInvocations {
			return fmt.Errorf("plan replay: more than %d invocations are left: ask for fewer functions or cores", maxInvocations)
		}
		inv.At = time.Duration(float64(inv.At) / s.Speed)
		inv.Duration = time.Duration(float64(inv.Duration) / s.Speed).Round(time.Millisecond)
		if inv.At < p.Length {
			p.Invocations = append(p.Invocations, inv)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(p.Invocations) == 0 {
		return nil, fmt.Errorf("plan replay: no invocation is left: ask for more functions or cores, or another part of the trace")
	}
	for i := range p.Functions {
		p.Megabytes = append(p.Megabytes, int(math.Round(p.Functions[i].MemoryMB*s.Memory*1e6/(1<<20))))
	}
	if s.Memory != 1 {
		p.Steps = append(p.Steps, Step{fmt.Sprintf("functions allocate %g of the trace's memory", s.Memory),
			"the runtime's own part of a worker's memory counts for more, and with it what a native binary saves"})
	}
	if s.Busy != 1 {
		p.Steps = append(p.Steps, Step{fmt.Sprintf("functions compute for %g of their duration and wait for the rest, as others wait for a network", s.Busy),
			"more invocations run at once than the cores could compute, so concurrency and cold starts are nearer to those of a larger machine; the paper's function computes all the time"})
	}
	if s.Speed != 1 {
		p.Steps = append(p.Steps, Step{fmt.Sprintf("time runs %g times as fast: arrivals, durations, keep-alive and window", s.Speed),
			"starts and builds take as long as ever, and so weigh as much more"})
	}
	p.FunctionCount, p.InvocationCount = len(p.Functions), len(p.Invocations)
	p.load()
	return p, nil
}

// choose applies the method, the number of functions and the limit of CPU.
func (p *Plan) choose(ctx context.Context, t trace.Trace, o trace.Options) (trace.Trace, error) {
	s := &p.Scaling
	// What is not invoked in this part of the trace would only blur the numbers.
	demand, err := demands(ctx, t, o)
	if err != nil {
		return nil, err
	}
	all := len(demand)
	t, demand = keep(t, demand, func(_ int, d time.Duration) bool { return d > 0 })
	if len(demand) < all {
		p.did("of %d functions the %d taken that are invoked in this part of the trace", "none", all, len(demand))
	}
	method := s.Method
	if method == trace.ScaleThin {
		method = trace.ScaleStratified // for the number of functions
	} else if s.Cores > 0 {
		// One that fills the machine alone would be drawn only to be left out again.
		before := len(demand)
		t, demand = keep(t, demand, func(_ int, d time.Duration) bool { return d.Seconds()*s.Busy <= s.Cores*t.Length().Seconds() })
		if len(demand) < before {
			p.did("left out: %d functions that alone want more than %.2f cores", "the busiest functions are missing, which are the first to be optimized: their share of cold starts, memory and invocations is too low", before-len(demand), s.Cores)
		}
	}
	if s.Functions > 0 && s.Functions < len(demand) {
		factor := float64(s.Functions) / float64(len(demand))
		if t, err = trace.Scale(ctx, t, method, factor, s.Seed); err != nil {
			return nil, err
		}
		bias := "patterns of arrival are those of the original; of the few busiest functions one or none is there"
		if method == trace.ScaleApps {
			bias += "; apps differ in size, and so does the number of functions"
		}
		if demand, err = demands(ctx, t, o); err != nil {
			return nil, err
		}
		p.did("drawn: %d functions (%s, seed %d)", bias, len(demand), method, s.Seed)
	}
	total := sum(demand).Seconds() * s.Busy / t.Length().Seconds()
	if s.Cores == 0 || total <= s.Cores {
		return t, nil
	}
	if s.Method == trace.ScaleThin {
		factor := s.Cores / total
		if t, err = trace.Scale(ctx, t, trace.ScaleThin, factor, s.Seed); err != nil {
			return nil, err
		}
		p.did("every invocation kept with probability %.4f, which is what %.2f of the %.2f cores allow", "as in the paper: functions lose their bursts, and with them their repeated cold starts", factor, s.Cores, total)
		return t, nil
	}
	order := make([]int, len(demand))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(demand[b], demand[a]) })
	out, left := map[int]bool{}, total
	for _, f := range order {
		if left <= s.Cores {
			break
		}
		out[f] = true
		left -= demand[f].Seconds() * s.Busy / t.Length().Seconds()
	}
	t, _ = keep(t, demand, func(f int, _ time.Duration) bool { return !out[f] })
	p.did("left out: the %d functions that want the most CPU (%.2f of %.2f cores)", "the busiest functions are missing, which are the first to be optimized: their share of cold starts, memory and invocations is too low", len(out), total-left, total)
	return t, nil
}

func (p *Plan) did(format, bias string, args ...any) {
	p.Steps = append(p.Steps, Step{fmt.Sprintf(format, args...), bias})
}

// load computes the CPU that is asked for, were every invocation alone.
func (p *Plan) load() {
	minutes := make([]time.Duration, int(p.Length/time.Minute)+1)
	all := time.Duration(0)
	for i := range p.Invocations {
		inv := &p.Invocations[i]
		// What runs beyond the end is not offered within the trace.
		d := min(inv.Duration, p.Length-inv.At)
		all += d
		for at := inv.At; d > 0; {
			part := min(d, at.Truncate(time.Minute)+time.Minute-at)
			minutes[at/time.Minute] += part
			at += part
			d -= part
		}
	}
	p.OfferedCores = all.Seconds() * p.Scaling.Busy / p.Length.Seconds()
	p.PeakCores = slices.Max(minutes).Seconds() * p.Scaling.Busy / min(time.Minute, p.Length).Seconds()
}

// demands sums the time that each function's invocations run inside the trace; one that is
// invoked has 1 ns at least.
func demands(ctx context.Context, t trace.Trace, o trace.Options) ([]time.Duration, error) {
	demand := make([]time.Duration, len(t.Functions()))
	err := trace.ForEach(ctx, t, o, func(inv trace.Invocation) error {
		demand[inv.Function] += max(min(inv.Duration, t.Length()-inv.At), 1)
		return nil
	})
	return demand, err
}

func keep(t trace.Trace, demand []time.Duration, wanted func(int, time.Duration) bool) (trace.Trace, []time.Duration) {
	which := make([]bool, len(demand))
	var left []time.Duration
	for i, d := range demand {
		if which[i] = wanted(i, d); which[i] {
			left = append(left, d)
		}
	}
	if len(left) == len(demand) {
		return t, demand
	}
	return trace.Select(t, which), left
}

func sum(d []time.Duration) time.Duration {
	total := time.Duration(0)
	for _, x := range d {
		total += x
	}
	return total
}

// trace is the plan up to a time, as the simulator takes it. It begins with so much time before the first invocation.
func (p *Plan) trace(before, length time.Duration) (*trace.Recorded, error) {
	length = min(length, p.Length)
	n, _ := slices.BinarySearchFunc(p.Invocations, length, func(inv trace.Invocation, at time.Duration) int { return cmp.Compare(inv.At, at) })
	invocations := slices.Clone(p.Invocations[:n])
	for i := range invocations {
		invocations[i].At += before
	}
	return trace.NewRecorded(slices.Clone(p.Functions), invocations, before+length)
}

// durations are those of each function's invocations up to a time, in their order.
func (p *Plan) durations(length time.Duration) [][]time.Duration {
	planned := make([][]time.Duration, len(p.Functions))
	for _, inv := range p.Invocations {
		if inv.At < length {
			planned[inv.Function] = append(planned[inv.Function], inv.Duration)
		}
	}
	return planned
}

// MemoryMiB is the limit that a worker needs: the heap must hold what one invocation allocates
// beside what the last one left behind, and the runtime comes on top (internal/launch takes a
// quarter off, 56 MiB at least).
func (p *Plan) MemoryMiB(function int) int {
	heap := 32 + p.Megabytes[function]*7/4
	limit := max(heap+56, heap*4/3)
	return max((limit+63)/64*64, 128)
}
