package sim

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/trace"
)

// FunctionOptions are what differs from function to function. Zero values: as in Options.
type FunctionOptions struct {
	Params    policy.Params
	Direct    bool // a provided runtime: nothing is optimized
	Slots     int32
	ColdStart [function.TierCount]time.Duration
	BuildTime time.Duration
}

// Recording is what the log of a live engine says, as a trace and a model for a simulation:
// the arrivals, the measured durations of invocations, starts and builds. Simulated, it
// should have the cold starts that Live counts.
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
}

// FromLog reads the log of a live engine to its end, or to where it was cut off.
func FromLog(l *engine.LogReader) (*Recording, error) {
	r := &logReader{
		first: -1, number: map[engine.RevisionID]int32{}, open: map[engine.InvocationID]*openCall{},
		workers: map[engine.WorkerID]openWorker{}, building: map[engine.RevisionID]int64{}, functionParams: map[engine.FunctionID]policy.Params{},
	}
	for {
		now, ev, actions, err := l.Next()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("simulate a recording: %w", err)
		}
		r.step(now, ev, actions)
	}
	return r.finish()
}

type logReader struct {
	first, last    int64
	number         map[engine.RevisionID]int32 // of the revisions that there are now
	functionParams map[engine.FunctionID]policy.Params
	table          []trace.Function
	options        []FunctionOptions
	measured       []measured
	open           map[engine.InvocationID]*openCall
	workers        map[engine.WorkerID]openWorker
	building       map[engine.RevisionID]int64
	calls          []trace.Invocation
	node           engine.NodeConfig
	live           LiveCounts
}

// measured sums starts and builds of a function.
type measured struct {
	start  [function.TierCount]time.Duration
	starts [function.TierCount]int
	build  time.Duration
	builds int
}

type openCall struct {
	fn               int32
	arrived, started int64
}

type openWorker struct {
	fn    int32
	tier  function.Tier
	since int64
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
		if ev.FunctionConfig != nil {
			r.functionParams[ev.Function] = ev.FunctionConfig.Params
		}
	case engine.EventRevisionAdded:
		r.add(ev)
	case engine.EventArrived:
		if i, ok := r.number[ev.Revision]; ok {
			r.open[ev.Invocation] = &openCall{fn: i, arrived: now, started: -1}
			r.live.Invocations++
		}
	case engine.EventWorkerReady:
		if w, ok := r.workers[ev.Worker]; ok {
			m := &r.measured[w.fn]
			m.start[w.tier] += time.Duration(now - w.since)
			m.starts[w.tier]++
		}
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

func (r *logReader) add(ev engine.Event) {
	c := ev.RevisionConfig
	if c == nil {
		return
	}
	i := int32(len(r.table))
	r.number[ev.Revision] = i
	r.table = append(r.table, trace.Function{
		Name:     "revision-" + strconv.Itoa(int(i)),
		MemoryMB: float64(c.MemoryMiB[function.TierHotSpot]) * (1 << 20) / 1e6,
	})
	r.options = append(r.options, FunctionOptions{Params: r.functionParams[c.Function], Direct: c.Direct, Slots: c.Slots})
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
			r.workers[a.Worker] = openWorker{i, a.Tier, now}
		}
		if a.Cold {
			r.live.ColdStarts++
			if a.Tier == function.TierNative {
				r.live.ColdStartsNative++
			}
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

// finish makes the trace, and means of what was measured: a function's own where it has any.
func (r *logReader) finish() (*Recording, error) {
	if len(r.table) == 0 || len(r.calls) == 0 {
		return nil, errors.New("simulate a recording: the log has no invocation that ended")
	}
	r.live.Skipped += len(r.open)
	o := DefaultOptions()
	o.Policies = []string{"none", "paper"}
	var all measured
	for i := range r.measured {
		m := &r.measured[i]
		for t := range m.start {
			all.start[t] += m.start[t]
			all.starts[t] += m.starts[t]
			if m.starts[t] > 0 {
				r.options[i].ColdStart[t] = m.start[t] / time.Duration(m.starts[t])
			}
		}
		all.build += m.build
		all.builds += m.builds
		if m.builds > 0 {
			r.options[i].BuildTime = m.build / time.Duration(m.builds)
		}
	}
	for t, n := range all.starts {
		if n > 0 {
			o.Model.ColdStart[t] = all.start[t] / time.Duration(n)
		}
	}
	if all.builds > 0 {
		o.Model.BuildTimes = []time.Duration{all.build / time.Duration(all.builds)}
	}
	o.Model.Builders = max(int(r.node.Builders), 0)
	if o.Model.Builders == 0 {
		o.Model.Builders = 1 // the engine's default
	}
	if r.node.TraceLimit > 0 {
		o.Model.TraceLimit = int(r.node.TraceLimit)
	}
	o.Functions = r.options
	t, err := trace.NewRecorded(r.table, r.calls, time.Duration(r.last-r.first)+time.Second)
	if err != nil {
		return nil, fmt.Errorf("simulate a recording: %w", err)
	}
	return &Recording{Trace: t, Options: o, Live: r.live}, nil
}
