package own

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/api/gate"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/health"
	"github.com/cloudjit/cloudjit/internal/node"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/recent"
	"github.com/cloudjit/cloudjit/internal/store"
)

// What happened lately, of all functions that a caller may see: what the page and an operator look at.

// glance is a function in a line.
type glance struct {
	Name    function.Name `json:"name"`
	Kind    function.Kind `json:"kind"`
	Runtime string        `json:"runtime"`
	State   string        `json:"state"`
	Rung    function.Rung `json:"rung"`
	// Making is the rung whose artifact is being made, checked or waits for that.
	Making          function.Rung `json:"making,omitempty"`
	Phase           string        `json:"phase,omitempty"`
	Workers         int           `json:"workers"`
	Queued          int           `json:"queued"`
	ColdStarts      int64         `json:"coldStarts"`
	Deoptimizations int           `json:"deoptimizations"`
	MemoryBytes     int64         `json:"memoryBytes"`
	MemoryMiB       int           `json:"memoryMiB"`
	Invocations     int64         `json:"invocations"`
	Errors          uint64        `json:"errors"`
	Rate            float64       `json:"rate"`
	ErrorRate       float64       `json:"errorRate"`
	P50             float64       `json:"p50"`
	P99             float64       `json:"p99"`
}

func (s *API) overview(w http.ResponseWriter, r *http.Request) error {
	c, now := gate.CallerOf(r.Context()), time.Now()
	memory := map[function.Name]int64{}
	for _, v := range s.Platform.Workers(r.Context()) {
		memory[v.Function] += cmp.Or(v.Memory.PSS, v.Memory.RSS)
	}
	out := []glance{}
	for _, fn := range s.Store.Functions() {
		rev, ok := s.Store.Revision(fn.Latest.Current())
		if !ok || !c.Owns(fn.Name) {
			continue
		}
		g := glance{
			Name: fn.Name, Kind: rev.Spec.Kind, Runtime: rev.Spec.Runtime, State: fn.Latest.State.Value, MemoryMiB: rev.Spec.MemoryMiB,
			MemoryBytes: memory[fn.Name],
		}
		if p, ok := s.Platform.Revision(r.Context(), rev.Spec.ID); ok {
			g.Rung, g.Workers, g.Queued, g.ColdStarts, g.Deoptimizations, g.Invocations = p.Rung, p.Workers, p.Queued, p.ColdStarts, p.Deoptimizations, p.Invocations
			for _, x := range p.Ladder {
				if busy(x) {
					g.Making, g.Phase = x.Rung, x.Phase.String()
				}
			}
		}
		if f, ok := s.Opt.Recent.Function(fn.Name, now); ok {
			g.Errors, g.Rate, g.ErrorRate, g.P50, g.P99 = f.Errors, f.Rate, f.ErrorRate, f.P50, f.P99
		}
		out = append(out, g)
	}
	gate.WriteJSON(w, http.StatusOK, map[string]any{"functions": out})
	return nil
}

// busy reports whether something is about to be done for a rung.
func busy(x node.RungView) bool {
	return x.Wanted || x.Phase == pipeline.PhaseQueued || x.Phase == pipeline.PhaseBuilding || x.Phase == pipeline.PhaseChecking
}

func (s *API) figures(w http.ResponseWriter, r *http.Request) error {
	_, fn, err := s.Targeted(r)
	if err != nil {
		return err
	}
	f, _ := s.Opt.Recent.Function(fn.Name, time.Now())
	gate.WriteJSON(w, http.StatusOK, f)
	return nil
}

// waitingBuild is a rung that something is to be done for.
type waitingBuild struct {
	Function  function.Name       `json:"function"`
	Revision  function.RevisionID `json:"revision"`
	Rung      function.Rung       `json:"rung"`
	Phase     pipeline.Phase      `json:"phase"`
	Wanted    bool                `json:"wanted"`
	Never     bool                `json:"never"`
	Failures  int                 `json:"failures"`
	NotBefore *time.Time          `json:"notBefore,omitempty"`
	Reason    string              `json:"reason,omitempty"`
}

// shownBuilds is how many builds of all functions are listed.
const shownBuilds = 200

// builds lists the newest builds of all functions, and what is to be built next or not again so soon.
func (s *API) builds(w http.ResponseWriter, r *http.Request) error {
	c := gate.CallerOf(r.Context())
	all, waiting := []*store.Build{}, []waitingBuild{}
	for _, rev := range s.Store.Revisions() {
		name, id := rev.Spec.Function, rev.Spec.ID
		if !c.Owns(name) {
			continue
		}
		all = append(all, s.Store.Builds(id)...)
		v, ok := s.Platform.Revision(r.Context(), id)
		if !ok {
			continue
		}
		for _, x := range v.Ladder {
			if busy(x) || x.Failures > 0 || x.NotBefore != nil || x.Never {
				waiting = append(waiting, waitingBuild{name, id, x.Rung, x.Phase, x.Wanted, x.Never, x.Failures, x.NotBefore, x.Reason})
			}
		}
	}
	slices.SortFunc(all, func(a, b *store.Build) int { return strings.Compare(b.ID, a.ID) })
	gate.WriteJSON(w, http.StatusOK, map[string]any{"builds": all[:min(len(all), shownBuilds)], "waiting": waiting})
	return nil
}

const (
	defaultInvocations = 100
	maxInvocations     = 1000
)

// invocations lists the last invocations: of one function, failed or cold ones only, those that a text is in.
func (s *API) invocations(w http.ResponseWriter, r *http.Request) error {
	c, q := gate.CallerOf(r.Context()), r.URL.Query()
	name, text := function.Name(q.Get("function")), strings.ToLower(q.Get("search"))
	failed, cold := q.Get("failed") == "true", q.Get("cold") == "true"
	limit, before := defaultInvocations, uint64(0)
	var err error
	if v := q.Get("limit"); v != "" {
		if limit, err = strconv.Atoi(v); err != nil || limit < 1 || limit > maxInvocations {
			return gate.Invalid("limit: want 1..%d", maxInvocations)
		}
	}
	if v := q.Get("before"); v != "" {
		if before, err = strconv.ParseUint(v, 10, 64); err != nil {
			return gate.Invalid("before: want the seq of an invocation")
		}
	}
	out := []recent.Invocation{}
	s.Opt.Recent.Invocations(before, func(i *recent.Invocation) bool {
		if name != "" && i.Function != name || failed && !i.Failed() || cold && i.Cold == nil || !c.Owns(i.Function) {
			return true
		}
		if text != "" && !containsFold(text, string(i.Function), i.Request, i.Worker, i.Error, i.Outcome, string(i.Rung)) && !bytes.Contains(bytes.ToLower(i.Payload), []byte(text)) {
			return true
		}
		out = append(out, *i)
		return len(out) < limit
	})
	gate.WriteJSON(w, http.StatusOK, map[string]any{"invocations": out})
	return nil
}

func containsFold(lower string, in ...string) bool {
	return slices.ContainsFunc(in, func(s string) bool { return strings.Contains(strings.ToLower(s), lower) })
}

// invocation is one of the last ones, with its event if that was kept.
func (s *API) invocation(w http.ResponseWriter, r *http.Request) error {
	c, id := gate.CallerOf(r.Context()), r.PathValue("request")
	var found *recent.Invocation
	s.Opt.Recent.Invocations(0, func(i *recent.Invocation) bool {
		if i.Request != id || !c.Owns(i.Function) {
			return true
		}
		found = i
		return false
	})
	if found == nil {
		return gate.NotFound("The invocation %s is not among the last ones", gate.Clip(id))
	}
	out := struct {
		*recent.Invocation
		Payload json.RawMessage `json:"payload,omitempty"`
	}{found, nil}
	if json.Valid(found.Payload) {
		out.Payload = found.Payload
	}
	gate.WriteJSON(w, http.StatusOK, out)
	return nil
}

// workerEnds are workers that ended lately, evicted ones among them.
func (s *API) workerEnds(w http.ResponseWriter, r *http.Request) error {
	c := gate.CallerOf(r.Context())
	gate.WriteJSON(w, http.StatusOK, map[string]any{"ends": slices.DeleteFunc(s.Opt.Recent.Ends(), func(e recent.End) bool { return !c.Owns(e.Function) })})
	return nil
}

// deoptimizations are what made functions leave a rung: with the missing element those since the start, and what the
// pipelines' histories have.
func (s *API) deoptimizations(w http.ResponseWriter, r *http.Request) error {
	c := gate.CallerOf(r.Context())
	falls := s.Opt.Recent.Falls()
	out := slices.Clone(falls)
	for _, rev := range s.Store.Revisions() {
		p, ok := s.Store.Pipeline(rev.Spec.ID)
		if !ok {
			continue
		}
		for _, t := range p.History {
			told := func(f recent.Fall) bool { // the step that a fall led to
				return f.Revision == rev.Spec.ID && f.Rung == t.Rung && t.At.Sub(f.At).Abs() < fallTime
			}
			if t.Rung == "" || t.Event != pipeline.EventDeoptimized.String() || slices.ContainsFunc(falls, told) {
				continue
			}
			out = append(out, recent.Fall{At: t.At, Function: rev.Spec.Function, Revision: rev.Spec.ID, Rung: t.Rung, Missing: t.Reason})
		}
	}
	out = slices.DeleteFunc(out, func(f recent.Fall) bool { return !c.Owns(f.Function) })
	slices.SortStableFunc(out, func(a, b recent.Fall) int { return b.At.Compare(a.At) })
	gate.WriteJSON(w, http.StatusOK, map[string]any{"deoptimizations": out})
	return nil
}

// fallTime is how long after a fall its step of the pipeline comes at most.
const fallTime = 2 * time.Second

// shownEvents is how many waiting events are listed.
const shownEvents = 100

// queue shows the asynchronous invocations that wait or run.
func (s *API) queue(w http.ResponseWriter, r *http.Request) error {
	uses, events, err := s.Store.Queue(r.Context(), gate.CallerOf(r.Context()).Owns, shownEvents)
	if err != nil {
		return err
	}
	gate.WriteJSON(w, http.StatusOK, map[string]any{"functions": uses, "events": events})
	return nil
}

// ownNode is a node of the platform.
type ownNode struct {
	Name      string           `json:"name"`
	Role      string           `json:"role"` // leader, follower; single: there is no other
	Status    string           `json:"status"`
	Version   string           `json:"version"`
	StartedAt time.Time        `json:"startedAt"`
	CPUs      int              `json:"cpus"`
	Host      *health.Host     `json:"host,omitempty"`
	Problems  []health.Problem `json:"problems"`
	Disk      []health.Disk    `json:"disk"`

	Workers         map[function.Rung]map[string]int `json:"workers"`
	ReservedMiB     int64                            `json:"reservedMiB"`
	BudgetMiB       int64                            `json:"budgetMiB"`
	Waiting         int                              `json:"waiting"`
	Running         int                              `json:"running"`
	BuildsRunning   int                              `json:"buildsRunning"`
	BuildsQueued    int                              `json:"buildsQueued"`
	Invocations     int64                            `json:"invocations"`
	ColdStarts      int64                            `json:"coldStarts"`
	Rejections      int64                            `json:"rejections"`
	Deoptimizations int64                            `json:"deoptimizations"`
}

// nodes lists the platform's nodes, of which there is one.
func (s *API) nodes(w http.ResponseWriter, _ *http.Request) error {
	v := s.Platform.Snapshot()
	status, problems, stored := s.condition()
	n := ownNode{
		Name: "node", Role: "single", Status: status, Version: s.Opt.Version, StartedAt: s.Started.UTC(), CPUs: runtime.NumCPU(),
		Problems: append([]health.Problem{}, problems...), Disk: append([]health.Disk{}, stored...), Workers: v.WorkersBy, ReservedMiB: v.ReservedMiB, BudgetMiB: v.BudgetMiB,
		Waiting: int(v.Waiting), Running: int(v.Running), BuildsRunning: v.BuildsRunning, BuildsQueued: v.BuildsQueued,
		Invocations: v.Invocations, ColdStarts: v.ColdStarts, Rejections: v.Rejections, Deoptimizations: v.Deoptimizations,
	}
	if n.Workers == nil {
		n.Workers = map[function.Rung]map[string]int{}
	}
	if s.Opt.Host != nil {
		h := s.Opt.Host()
		n.Host, n.Name = &h, h.Name
	}
	gate.WriteJSON(w, http.StatusOK, map[string]any{"nodes": []ownNode{n}})
	return nil
}
