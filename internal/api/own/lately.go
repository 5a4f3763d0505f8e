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
	"github.com/cloudjit/cloudjit/internal/cluster"
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
	all, silent := gate.All(s.Gate, r, "functions", out)
	gate.WriteJSON(w, http.StatusOK, gate.Unanswered(map[string]any{"functions": together(all, len(out))}, silent))
	return nil
}

// figures are what other nodes have of functions.
type figures map[function.Name]glance

// elsewhere asks the other nodes for their part of all functions.
func (s *API) elsewhere(r *http.Request) (all figures, silent []string) {
	if s.Alone(r) {
		return nil, nil
	}
	all = figures{}
	for _, a := range s.Opt.Others.Ask(r.Context(), gate.OwnPrefix+"/overview") {
		var doc struct{ Functions []glance }
		if a.Err != nil || json.Unmarshal(a.Body, &doc) != nil {
			silent = append(silent, a.Node)
			continue
		}
		for _, g := range doc.Functions {
			t := all[g.Name]
			t.Workers += g.Workers
			t.Queued += g.Queued
			t.ColdStarts += g.ColdStarts
			t.Invocations += g.Invocations
			all[g.Name] = t
		}
	}
	return all, silent
}

// addTo adds other nodes' part to where a function's newest revision stands on this one.
func (f figures) addTo(name function.Name, v *node.RevisionView) {
	g := f[name]
	v.Workers += g.Workers
	v.Queued += g.Queued
	v.ColdStarts += g.ColdStarts
	v.Invocations += g.Invocations
}

// addOthers adds what other nodes did for a revision to where it stands on this one: each counts its own invocations and workers.
func (s *API) addOthers(r *http.Request, v *node.RevisionView) {
	if s.Alone(r) {
		return
	}
	for _, a := range s.Opt.Others.Ask(r.Context(), r.URL.RequestURI()) {
		var doc struct {
			Pipeline struct {
				Invocations, ColdStarts, OutputDropped int64
				Queued, Workers                        int
				CPUSeconds                             float64
			}
		}
		if a.Err != nil || json.Unmarshal(a.Body, &doc) != nil {
			continue
		}
		v.Invocations += doc.Pipeline.Invocations
		v.ColdStarts += doc.Pipeline.ColdStarts
		v.OutputDropped += doc.Pipeline.OutputDropped
		v.Queued += doc.Pipeline.Queued
		v.Workers += doc.Pipeline.Workers
		v.CPUSeconds += doc.Pipeline.CPUSeconds
	}
}

// together adds what other nodes have of functions to the first n, which are this node's; others are not the caller's.
func together(all []glance, n int) []glance {
	at := map[function.Name]int{}
	for i, g := range all[:n] {
		at[g.Name] = i
	}
	for _, g := range all[n:] {
		i, ok := at[g.Name]
		if !ok {
			continue
		}
		t := &all[i]
		t.Workers += g.Workers
		t.Queued += g.Queued
		t.ColdStarts += g.ColdStarts
		t.Deoptimizations = max(t.Deoptimizations, g.Deoptimizations)
		t.MemoryBytes += g.MemoryBytes
		t.Invocations += g.Invocations
		t.Errors += g.Errors
		if rate := t.Rate + g.Rate; rate > 0 {
			t.ErrorRate = (t.ErrorRate*t.Rate + g.ErrorRate*g.Rate) / rate
			t.Rate = rate
		}
		// Of two halves with quantiles of their own the larger one is an upper bound.
		t.P50, t.P99 = max(t.P50, g.P50), max(t.P99, g.P99)
		if t.Making == "" {
			t.Making, t.Phase = g.Making, g.Phase
		}
	}
	return all[:n]
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
			return gate.Invalid("before must be the seq of an invocation")
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
	for i := range out {
		out[i].Node = s.Node()
	}
	out, silent := gate.All(s.Gate, r, "invocations", out)
	if !s.Alone(r) {
		out = slices.DeleteFunc(out, func(i recent.Invocation) bool { return !c.Owns(i.Function) })
		slices.SortStableFunc(out, func(a, b recent.Invocation) int { return b.At.Compare(a.At) })
		out = out[:min(len(out), limit)]
	}
	gate.WriteJSON(w, http.StatusOK, gate.Unanswered(map[string]any{"invocations": out}, silent))
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
	if found == nil && !s.Alone(r) {
		for _, a := range s.Opt.Others.Ask(r.Context(), r.URL.RequestURI()) {
			var theirs struct{ Function function.Name }
			if a.Err == nil && json.Unmarshal(a.Body, &theirs) == nil && theirs.Function != "" && c.Owns(theirs.Function) {
				w.Header().Set("Content-Type", "application/json")
				s.SendPayload(w, a.Body, nil)
				return nil
			}
		}
	}
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
	all, silent := gate.All(s.Gate, r, "ends", s.Opt.Recent.Ends())
	if !s.Alone(r) {
		slices.SortStableFunc(all, func(a, b recent.End) int { return b.At.Compare(a.At) })
	}
	all = slices.DeleteFunc(all, func(e recent.End) bool { return !c.Owns(e.Function) })
	gate.WriteJSON(w, http.StatusOK, gate.Unanswered(map[string]any{"ends": all}, silent))
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

	// Of several nodes: State is live, draining, silent (it lives, and did not answer) or gone; LastSeen when it was heard of last. Load is what
	// it has to do, 1 being all that it can. Its copy of the state is Lag operations behind; Current: none.
	State    string     `json:"state,omitempty"`
	API      string     `json:"api,omitempty"`
	LastSeen *time.Time `json:"lastSeen,omitempty"`
	Load     float64    `json:"load"`
	Current  bool       `json:"current"`
	Lag      uint64     `json:"lag"`
}

// nodes lists the platform's nodes: this one, and what the others say of themselves.
func (s *API) nodes(w http.ResponseWriter, r *http.Request) error {
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
	n.Load = float64(v.Node(float64(n.CPUs)).Load) / 1000
	if s.Opt.Cluster == nil {
		n.Current = true
		gate.WriteJSON(w, http.StatusOK, map[string]any{"nodes": []ownNode{n}})
		return nil
	}
	n.Name = s.Node()
	all, silent := gate.All(s.Gate, r, "nodes", []ownNode{n})
	if s.Alone(r) {
		gate.WriteJSON(w, http.StatusOK, map[string]any{"nodes": all})
		return nil
	}
	state := s.Opt.Cluster.Replication()
	doc := map[string]any{"nodes": s.members(all), "leader": state.Leader, "quorum": state.Quorum(), "replicas": append([]cluster.Replica{}, state.Replicas...)}
	gate.WriteJSON(w, http.StatusOK, gate.Unanswered(doc, silent))
	return nil
}

// members completes what nodes say of themselves by what this one knows of them.
func (s *API) members(said []ownNode) []ownNode {
	out := []ownNode{}
	for _, m := range s.Opt.Cluster.Members() {
		n := ownNode{Name: m.Name, Version: m.Version, StartedAt: m.Started, Status: "unknown", Problems: []health.Problem{}, Disk: []health.Disk{}, Workers: map[function.Rung]map[string]int{}}
		n.State = m.State()
		if i := slices.IndexFunc(said, func(x ownNode) bool { return x.Name == m.Name }); i >= 0 {
			n = said[i]
			n.State = m.State()
		} else if m.Live {
			n.State = "silent"
		}
		n.Role = "follower"
		if m.Leader {
			n.Role = "leader"
		}
		n.API, n.Current, n.Lag = m.API, m.Current, m.Lag
		if seen := m.LastSeen.UTC(); !m.Self {
			n.LastSeen = &seen
		}
		out = append(out, n)
	}
	return out
}

// drain lets a node take nothing new, or take work again; it says so itself, to all others.
func (s *API) drain(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("node")
	m, ok := s.Opt.Cluster.Member(name)
	switch {
	case s.Opt.Cluster == nil:
		return gate.Conflict("There is one node: nothing could run elsewhere")
	case !ok:
		return gate.NotFound("There is no node %s", gate.Clip(name))
	case !m.Live:
		return gate.Conflict("The node %s does not live", name)
	}
	on := r.Method != http.MethodDelete
	if on && len(s.Opt.Cluster.Live()) < 2 && slices.Contains(s.Opt.Cluster.Live(), name) {
		return gate.Conflict("The node %s is the only one that takes work", name)
	}
	if err := s.Opt.Cluster.AskToDrain(name, on); err != nil {
		return err
	}
	gate.WriteJSON(w, http.StatusAccepted, map[string]any{"node": name, "draining": on})
	return nil
}
