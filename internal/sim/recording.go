package sim

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/trace"
)

// FunctionOptions are what differs from function to function. Zero durations: as in Options.
type FunctionOptions struct {
	// Function and Revision are what the engine is told; the identifiers in them are the simulation's.
	Function engine.FunctionConfig
	Revision engine.RevisionConfig
	// Starts are measured ones by tier, in order of time: a start takes as long as the one that was
	// nearest in time, for a busy machine starts slowly.
	Starts [function.TierCount][]MeasuredStart
	// BuildTime is a measured mean.
	BuildTime time.Duration
	// MemoryMB is what a worker of each tier uses; 0: the trace's and Model.NativeMemory.
	MemoryMB [function.TierCount]float64
}

// MeasuredStart is the start of a worker.
type MeasuredStart struct{ At, Took time.Duration }

// nearest is how long the start took that was nearest to a time.
func nearest(starts []MeasuredStart, at time.Duration) time.Duration {
	i, _ := slices.BinarySearchFunc(starts, at, func(s MeasuredStart, at time.Duration) int { return cmp.Compare(s.At, at) })
	if i == len(starts) || i > 0 && at-starts[i-1].At < starts[i].At-at {
		i--
	}
	return starts[i].Took
}

// Recording is what the log of a live engine says, as a trace and a model for a simulation:
// the arrivals, the measured durations of invocations, starts and builds, the limits and every
// function's own configuration, as it was last. Simulated, it should have the cold starts that
// Live counts.
type Recording struct {
	Trace   *trace.Recorded
	Options Options
	Live    LiveCounts
}

// LiveCounts is what happened.
type LiveCounts struct {
	Invocations      int `json:"invocations"`
	ColdStarts       int `json:"coldStarts"`
	ColdStartsNative int `json:"coldStartsNative"`
	Builds           int `json:"builds"`
	// Skipped invocations never ran or had not ended: they are not in the trace.
	Skipped int `json:"skipped"`
	// Steps were read. CutOff: the last one was not whole, as of a server that was killed.
	Steps  int  `json:"steps"`
	CutOff bool `json:"cutOff"`
	// ColdBySecond are the cold starts in each second from the log's beginning.
	ColdBySecond []int32 `json:"-"`
}

// maxRecording bounds the time that a log may cover.
const maxRecording = 366 * 24 * time.Hour

// FromLog reads the log of a live engine to its end, or to where it was cut off (see Live). What is
// damaged inside is an error.
func FromLog(l *engine.LogReader) (*Recording, error) {
	r := &logReader{
		first: -1, number: map[engine.RevisionID]int32{}, open: map[engine.InvocationID]*openCall{},
		workers: map[engine.WorkerID]openWorker{}, building: map[engine.RevisionID]int64{}, configs: map[engine.FunctionID]*functionState{},
	}
	for {
		now, ev, actions, err := l.Next()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			r.live.CutOff = errors.Is(err, io.ErrUnexpectedEOF)
			break
		}
		if err != nil {
			return nil, fmt.Errorf("simulate a recording: after step %d: %w", r.live.Steps, err)
		}
		r.live.Steps++
		if r.live.Steps > 1 && (now < r.last || now-r.first < 0 || now-r.first > int64(maxRecording)) {
			return nil, fmt.Errorf("simulate a recording: step %d comes %v after the one before it: the log is damaged", r.live.Steps, time.Duration(now-r.last))
		}
		r.step(now, ev, actions)
	}
	return r.finish()
}

type logReader struct {
	first, last int64
	number      map[engine.RevisionID]int32 // of the revisions that there are now
	configs     map[engine.FunctionID]*functionState
	table       []trace.Function
	options     []FunctionOptions
	measured    []measured
	open        map[engine.InvocationID]*openCall
	workers     map[engine.WorkerID]openWorker
	building    map[engine.RevisionID]int64
	calls       []trace.Invocation
	node        engine.NodeConfig
	live        LiveCounts
	stopping    time.Duration // workers that were told to stop, until they were gone
	stopped     int
}

// functionState is a function that there is now, and its revisions by their number in the table.
type functionState struct {
	config    engine.FunctionConfig
	revisions []int32
}

// measured sums builds of a function.
type measured struct {
	build  time.Duration
	builds int
}

type openCall struct {
	fn               int32
	arrived, started int64
}

type openWorker struct {
	fn       int32
	tier     function.Tier
	since    int64
	stopping int64 // when it was told to stop; -1: it was not
}

func (r *logReader) step(now int64, ev engine.Event, actions []engine.Action) {
	if r.first < 0 {
		r.first = now
	}
	r.last = now
	switch ev.Kind {
	case engine.EventConfigured:
		if ev.NodeConfig != nil {
			r.node = *ev.NodeConfig
		}
	case engine.EventFunctionSet:
		r.configure(ev)
	case engine.EventFunctionRemoved:
		delete(r.configs, ev.Function)
	case engine.EventRevisionAdded:
		r.add(ev)
	case engine.EventArrived:
		if i, ok := r.number[ev.Revision]; ok {
			r.open[ev.Invocation] = &openCall{fn: i, arrived: now, started: -1}
			r.live.Invocations++
		}
	case engine.EventWorkerReady:
		if w, ok := r.workers[ev.Worker]; ok {
			took := MeasuredStart{time.Duration(w.since - r.first), time.Duration(now - w.since)}
			r.options[w.fn].Starts[w.tier] = append(r.options[w.fn].Starts[w.tier], took)
		}
	case engine.EventWorkerExited:
		if w, ok := r.workers[ev.Worker]; ok && w.stopping >= 0 {
			r.stopping += time.Duration(now - w.stopping)
			r.stopped++
		}
		delete(r.workers, ev.Worker)
	case engine.EventWorkerFailed:
		delete(r.workers, ev.Worker)
	case engine.EventFinished:
		r.finished(now, ev, actions)
	case engine.EventBuildDone:
		if at, ok := r.building[ev.Revision]; ok {
			if i, ok := r.number[ev.Revision]; ok {
				r.measured[i].build += time.Duration(now - at)
				r.measured[i].builds++
			}
			delete(r.building, ev.Revision)
		}
	}
	for i := range actions {
		r.action(now, &actions[i])
	}
}

func (r *logReader) configure(ev engine.Event) {
	if ev.FunctionConfig == nil {
		return
	}
	f := r.configs[ev.Function]
	if f == nil {
		f = &functionState{}
		r.configs[ev.Function] = f
	}
	f.config = *ev.FunctionConfig
	for _, i := range f.revisions {
		r.options[i].Function = f.config
	}
}

func (r *logReader) add(ev engine.Event) {
	c := ev.RevisionConfig
	if c == nil || r.configs[c.Function] == nil {
		return
	}
	i := int32(len(r.table))
	r.number[ev.Revision] = i
	r.table = append(r.table, trace.Function{
		Name:     "revision-" + strconv.Itoa(int(i)),
		MemoryMB: float64(c.MemoryMiB[function.TierHotSpot]) * (1 << 20) / 1e6,
	})
	f := r.configs[c.Function]
	f.revisions = append(f.revisions, i)
	own := FunctionOptions{Function: f.config, Revision: *c}
	own.Revision.Restored.NotBefore = max(c.Restored.NotBefore-r.first, 0) // a simulation begins at 0
	r.options = append(r.options, own)
	r.measured = append(r.measured, measured{})
}

func (r *logReader) finished(now int64, ev engine.Event, actions []engine.Action) {
	for i := range actions {
		if actions[i].Kind == engine.ActionRetry && actions[i].Invocation == ev.Invocation {
			return
		}
	}
	c := r.open[ev.Invocation]
	if c == nil {
		return
	}
	delete(r.open, ev.Invocation)
	if c.started >= 0 {
		r.calls = append(r.calls, trace.Invocation{
			At: time.Duration(c.arrived - r.first), Duration: time.Duration(now - c.started), Function: c.fn,
		})
	}
}

func (r *logReader) action(now int64, a *engine.Action) {
	switch a.Kind {
	case engine.ActionStart:
		if i, ok := r.number[a.Revision]; ok {
			r.workers[a.Worker] = openWorker{i, a.Tier, now, -1}
		}
		if a.Cold {
			r.live.ColdStarts++
			second := int((now - r.first) / int64(time.Second))
			for len(r.live.ColdBySecond) <= second {
				r.live.ColdBySecond = append(r.live.ColdBySecond, 0)
			}
			r.live.ColdBySecond[second]++
			if a.Tier == function.TierNative {
				r.live.ColdStartsNative++
			}
		}
	case engine.ActionStop:
		if w, ok := r.workers[a.Worker]; ok && w.stopping < 0 {
			w.stopping = now
			r.workers[a.Worker] = w
		}
	case engine.ActionAssign:
		if c := r.open[a.Invocation]; c != nil {
			c.started = now
		}
	case engine.ActionReject, engine.ActionFail:
		if r.open[a.Invocation] != nil {
			r.live.Skipped++
			delete(r.open, a.Invocation)
		}
	case engine.ActionBuild:
		r.live.Builds++
		r.building[a.Revision] = now
	case engine.ActionGone:
		delete(r.number, a.Revision)
	}
}

// finish makes the trace, and means of what was measured for functions that have nothing of their own.
func (r *logReader) finish() (*Recording, error) {
	if len(r.table) == 0 || len(r.calls) == 0 {
		return nil, errors.New("simulate a recording: the log has no invocation that ended")
	}
	r.live.Skipped += len(r.open)
	o := DefaultOptions()
	o.Policies = []string{"none", "paper"}
	var all measured
	var start [function.TierCount]time.Duration
	var starts [function.TierCount]int
	for i := range r.measured {
		m := &r.measured[i]
		for t, list := range r.options[i].Starts {
			// They were noted as they ended.
			slices.SortStableFunc(list, func(a, b MeasuredStart) int { return cmp.Compare(a.At, b.At) })
			for _, s := range list {
				start[t] += s.Took
				starts[t]++
			}
		}
		all.build += m.build
		all.builds += m.builds
		if m.builds > 0 {
			r.options[i].BuildTime = m.build / time.Duration(m.builds)
		}
	}
	for t, n := range starts {
		if n > 0 {
			o.Model.ColdStart[t] = start[t] / time.Duration(n)
		}
	}
	if all.builds > 0 {
		o.Model.BuildTimes = []time.Duration{all.build / time.Duration(all.builds)}
	}
	if r.stopped > 0 {
		o.Model.Stop = r.stopping / time.Duration(r.stopped)
	}
	o.Model.Builders = 1 // the engine's default
	if r.node.Builders != 0 {
		o.Model.Builders = int(r.node.Builders)
	}
	if r.node.TraceLimit > 0 {
		o.Model.TraceLimit = int(r.node.TraceLimit)
	}
	o.Model.MemoryMB = float64(max(r.node.MemoryMiB, 0)) * (1 << 20) / 1e6
	o.Node, o.Functions = r.node, r.options
	o.Params = mostCommon(r.options)
	t, err := trace.NewRecorded(r.table, r.calls, time.Duration(r.last-r.first)+time.Second)
	if err != nil {
		return nil, fmt.Errorf("simulate a recording: %w", err)
	}
	return &Recording{Trace: t, Options: o, Live: r.live}, nil
}

// mostCommon are the parameters that most functions have.
func mostCommon(options []FunctionOptions) policy.Params {
	count := map[policy.Params]int{}
	best := options[0].Function.Params
	for i := range options {
		p := options[i].Function.Params
		if count[p]++; count[p] > count[best] {
			best = p
		}
	}
	return best
}
