// Package own is the API's third face: CloudJIT's own resources under /cloudjit/v1/, which
// openapi.json describes.
//
// It shows what the store and the platform have and hands on what is wanted. It decides nothing.
package own

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/cloudjit/cloudjit/internal/api/calls"
	"github.com/cloudjit/cloudjit/internal/api/gate"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/health"
	"github.com/cloudjit/cloudjit/internal/node"
	"github.com/cloudjit/cloudjit/internal/store"
)

// API answers for the platform's own resources.
type API struct {
	*calls.Runner
	// streams has an element for each stream of events or logs.
	streams chan struct{}
}

// New makes the face; Routes mounts it.
func New(r *calls.Runner) *API { return &API{Runner: r, streams: make(chan struct{}, maxStreams)} }

// Routes mounts the resources, the metrics, and what answers where nothing else is.
func (s *API) Routes(mux *http.ServeMux) {
	const f = gate.OwnPrefix + "/functions/{name}"
	const rev = f + "/revisions/{revision}"
	for pattern, e := range map[string]gate.Endpoint{
		"DELETE " + gate.ProblemsPath:                      s.acknowledge,
		"POST " + gate.OwnPrefix + "/backup":               s.backup,
		"GET " + gate.OwnPrefix + "/functions":             s.ownFunctions,
		"GET " + f:                                         s.ownFunction,
		"GET " + f + "/figures":                            s.figures,
		"GET " + gate.OwnPrefix + "/overview":              s.overview,
		"GET " + gate.OwnPrefix + "/builds":                s.builds,
		"GET " + gate.OwnPrefix + "/invocations":           s.invocations,
		"GET " + gate.OwnPrefix + "/invocations/{request}": s.invocation,
		"GET " + gate.OwnPrefix + "/worker-ends":           s.workerEnds,
		"GET " + gate.OwnPrefix + "/deoptimizations":       s.deoptimizations,
		"GET " + gate.OwnPrefix + "/queue":                 s.queue,
		"GET " + gate.OwnPrefix + "/nodes":                 s.nodes,
		"PUT " + gate.OwnPrefix + "/nodes/{node}/drain":    s.drain,
		"DELETE " + gate.OwnPrefix + "/nodes/{node}/drain": s.drain,
		"GET " + f + "/revisions":                          s.ownRevisions,
		"GET " + rev:                                       s.ownRevision,
		"GET " + rev + "/code":                             s.revisionCode,
		"GET " + rev + "/metadata":                         s.metadataVersions,
		"GET " + rev + "/metadata/{number}":                s.metadataDocument,
		"GET " + rev + "/metadata-diff":                    s.metadataDiff,
		"GET " + rev + "/builds":                           s.ownBuilds,
		"GET " + rev + "/builds/{build}":                   s.ownBuild,
		"GET " + rev + "/builds/{build}/log":               s.buildLog,
		"GET " + f + "/policy":                             s.functionPolicy,
		"PUT " + f + "/policy":                             s.putFunctionPolicy,
		"DELETE " + f + "/policy":                          s.deleteFunctionPolicy,
		"GET " + f + "/samples":                            s.samples,
		"PUT " + f + "/samples":                            s.putSamples,
		"DELETE " + f + "/samples":                         s.deleteSamples,
		"GET " + gate.OwnPrefix + "/policy":                s.platformPolicy,
		"PUT " + gate.OwnPrefix + "/policy":                s.putPlatformPolicy,
		"POST " + f + "/optimize":                          s.optimize,
		"POST " + f + "/deoptimize":                        s.deoptimize,
		"GET " + f + "/logs":                               s.functionLogs,
		"GET " + gate.OwnPrefix + "/workers":               s.workers,
		"GET " + gate.OwnPrefix + "/events":                s.events,

		"GET " + gate.OwnPrefix + "/dead-letters":               s.deadLetters,
		"GET " + gate.OwnPrefix + "/dead-letters/{id}":          s.deadLetter,
		"DELETE " + gate.OwnPrefix + "/dead-letters/{id}":       s.removeDeadLetter,
		"POST " + gate.OwnPrefix + "/dead-letters/{id}/redrive": s.redriveDeadLetter,

		"GET " + gate.OwnPrefix + "/openapi.json": s.openAPI,
	} {
		s.Route(mux, pattern, e)
	}
	mux.HandleFunc("GET "+gate.HealthPath, func(w http.ResponseWriter, r *http.Request) { // asks for no credentials
		if err := s.health(w, r); err != nil {
			s.Fail(w, r, err)
		}
	})
	if s.Opt.Metrics != nil {
		s.Route(mux, gate.MetricsRoute, func(w http.ResponseWriter, r *http.Request) error {
			s.Opt.Metrics.ServeHTTP(w, r)
			return nil
		})
	}
	if s.Opt.Page != nil {
		mux.Handle("GET "+gate.UIPath, s.Opt.Page)
		mux.Handle("GET /{$}", http.RedirectHandler(gate.UIPath, http.StatusFound))
	}
	s.Route(mux, "/", func(w http.ResponseWriter, r *http.Request) error {
		return gate.Fault(http.StatusNotFound, "UnknownOperationException", "There is nothing at %s %s", r.Method, gate.Clip(r.URL.Path))
	})
}

// health says "ok" or "degraded"; the status is 200 in both cases, since invocations are served in both.
func (s *API) health(w http.ResponseWriter, r *http.Request) error {
	status, problems, stored := s.condition()
	answer := struct {
		Status    string           `json:"status"`
		Version   string           `json:"version"`
		StartedAt time.Time        `json:"startedAt"`
		Functions int              `json:"functions"`
		Queued    int              `json:"queued"`
		Problems  []health.Problem `json:"problems,omitempty"`
		Disk      []health.Disk    `json:"disk,omitempty"`
		Runtimes  []string         `json:"runtimes,omitempty"`
	}{status, s.Opt.Version, s.Started.UTC(), len(s.Store.Functions()), s.Store.QueueLength(), problems, stored, s.Opt.Runtimes}
	gate.WriteJSON(w, http.StatusOK, answer)
	return nil
}

// condition is how the server is: what is the matter, and what it has stored.
func (s *API) condition() (status string, problems []health.Problem, stored []health.Disk) {
	if s.Opt.Disk != nil {
		stored = s.Opt.Disk()
	}
	if s.Opt.Problems != nil {
		problems = s.Opt.Problems()
	}
	status = "ok"
	for i := range problems {
		if problems[i].Serious() {
			status = "degraded"
		}
	}
	return status, problems, stored
}

// acknowledge forgets what was lost and repaired. From then on what nothing refers to is removed again.
func (s *API) acknowledge(w http.ResponseWriter, r *http.Request) error {
	if err := s.Store.Acknowledge(); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// backup sends everything that must not be lost. An answer that cannot be finished is broken off, so that nobody takes it
// for a whole one.
func (s *API) backup(w http.ResponseWriter, r *http.Request) error {
	if s.Opt.Backup == nil {
		return gate.Fault(http.StatusNotImplemented, "ServiceException", "This server makes no backups")
	}
	out := &begun{w: w}
	err := s.Opt.Backup(r.Context(), out)
	if err != nil && out.any {
		s.Log.Error("a backup was broken off", "error", err)
		panic(http.ErrAbortHandler)
	}
	return err
}

// begun sends the head of an answer with its first byte.
type begun struct {
	w   http.ResponseWriter
	any bool
}

func (b *begun) Write(p []byte) (int, error) {
	if !b.any {
		b.any = true
		b.w.Header().Set("Content-Type", "application/x-tar")
		b.w.WriteHeader(http.StatusOK)
	}
	return b.w.Write(p)
}

type ownFunction struct {
	Name       function.Name     `json:"name"`
	ARN        string            `json:"arn"`
	CreatedAt  time.Time         `json:"createdAt"`
	Kind       function.Kind     `json:"kind"`
	Runtime    string            `json:"runtime"`
	Handler    string            `json:"handler,omitempty"`
	State      store.Status      `json:"state"`
	LastUpdate store.Status      `json:"lastUpdate"`
	MemoryMiB  int               `json:"memoryMiB"`
	Timeout    store.Duration    `json:"timeout"`
	Tags       map[string]string `json:"tags,omitempty"`
	Reserved   *int              `json:"reservedConcurrency,omitempty"`
	// Revision serves $LATEST; Pipeline is where it stands.
	Revision function.RevisionID `json:"revision"`
	Pipeline *node.RevisionView  `json:"pipeline,omitempty"`
	Versions []ownVersion        `json:"versions"`
	Aliases  []ownAlias          `json:"aliases"`
	URLs     []ownURL            `json:"urls"`
	// Samples are the user's own, for checks of artifacts.
	Samples *store.Samples `json:"samples,omitempty"`
	// Policy is what holds; Overrides what of it is the function's own.
	Policy    store.Policy  `json:"policy"`
	Overrides *store.Policy `json:"overrides,omitempty"`
}

type ownVersion struct {
	Version  string              `json:"version"`
	Revision function.RevisionID `json:"revision"`
}

type ownAlias struct {
	Name    string             `json:"name"`
	Version string             `json:"version"`
	Weights map[string]float64 `json:"weights,omitempty"`
}

type ownURL struct {
	Qualifier string `json:"qualifier"`
	URL       string `json:"url"`
	Path      string `json:"path"`
	AuthType  string `json:"authType"`
}

func (s *API) own(r *http.Request, fn *store.Function, elsewhere figures) (*ownFunction, error) {
	rev, ok := s.Store.Revision(fn.Latest.Current())
	if !ok {
		return nil, s.NoFunction(fn.Name, "")
	}
	policy, err := s.Store.PolicyOf(fn, s.Opt.Policy)
	if err != nil {
		return nil, err
	}
	o := &ownFunction{
		Name: fn.Name, ARN: s.ARN(fn.Name, ""), CreatedAt: fn.CreatedAt, Kind: rev.Spec.Kind, Runtime: rev.Spec.Runtime, Handler: rev.Spec.Handler,
		State: fn.Latest.State, LastUpdate: fn.Latest.LastUpdate, MemoryMiB: rev.Spec.MemoryMiB, Timeout: store.Duration(rev.Spec.Timeout),
		Tags: fn.Tags, Reserved: fn.Reserved, Revision: rev.Spec.ID, Policy: policy, Overrides: fn.Policy, Samples: fn.Samples,
		Versions: []ownVersion{}, Aliases: []ownAlias{}, URLs: []ownURL{},
	}
	if v, ok := s.Platform.Revision(r.Context(), rev.Spec.ID); ok {
		elsewhere.addTo(fn.Name, &v)
		o.Pipeline = &v
	}
	for _, v := range fn.Published {
		o.Versions = append(o.Versions, ownVersion{v.Version, v.Current()})
	}
	for _, name := range sortedKeys(fn.Aliases) {
		a := fn.Aliases[name]
		o.Aliases = append(o.Aliases, ownAlias{a.Name, a.Version, a.Weights})
	}
	for _, q := range sortedKeys(fn.URLs) {
		u := fn.URLs[q]
		o.URLs = append(o.URLs, ownURL{q, s.URLOf(r, u.ID), gate.URLPrefix + u.ID + "/", u.AuthType})
	}
	return o, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (s *API) ownFunctions(w http.ResponseWriter, r *http.Request) error {
	out := []*ownFunction{}
	c := gate.CallerOf(r.Context())
	elsewhere, silent := s.elsewhere(r)
	for _, fn := range s.Store.Functions() {
		if !c.Owns(fn.Name) {
			continue
		}
		if o, err := s.own(r, fn, elsewhere); err == nil { // else deleted meanwhile
			out = append(out, o)
		}
	}
	gate.WriteJSON(w, http.StatusOK, gate.Unanswered(map[string]any{"functions": out}, silent))
	return nil
}

func (s *API) ownFunction(w http.ResponseWriter, r *http.Request) error {
	_, fn, err := s.Targeted(r)
	if err != nil {
		return err
	}
	elsewhere, _ := s.elsewhere(r)
	o, err := s.own(r, fn, elsewhere)
	if err != nil {
		return err
	}
	gate.WriteJSON(w, http.StatusOK, o)
	return nil
}

type ownRevision struct {
	ID        function.RevisionID `json:"id"`
	Function  function.Name       `json:"function"`
	Version   string              `json:"version"`
	Parent    function.RevisionID `json:"parent,omitempty"`
	CreatedAt time.Time           `json:"createdAt"`
	// Current says that some version has it now; the others are kept to look at.
	Current     bool                    `json:"current"`
	Kind        function.Kind           `json:"kind"`
	Runtime     string                  `json:"runtime"`
	Handler     string                  `json:"handler,omitempty"`
	MainClass   string                  `json:"mainClass,omitempty"`
	CodeSHA256  string                  `json:"codeSha256"`
	CodeSize    int64                   `json:"codeSize"`
	MemoryMiB   int                     `json:"memoryMiB"`
	Timeout     store.Duration          `json:"timeout"`
	Concurrency int                     `json:"concurrency"`
	Driver      string                  `json:"driver,omitempty"`
	Pipeline    *node.RevisionView      `json:"pipeline,omitempty"`
	History     []store.Transition      `json:"history"`
	Metadata    []store.MetadataVersion `json:"metadata"`
	Builds      []*store.Build          `json:"builds"`
}

func (s *API) revisionView(r *http.Request, fn *store.Function, rev *store.Revision) *ownRevision {
	spec := &rev.Spec
	o := &ownRevision{
		ID: spec.ID, Function: spec.Function, Version: spec.Version, Parent: rev.Parent, CreatedAt: rev.CreatedAt,
		Kind: spec.Kind, Runtime: spec.Runtime, Handler: spec.Handler, MainClass: spec.MainClass,
		CodeSHA256: spec.CodeSHA256, CodeSize: spec.CodeSize, MemoryMiB: spec.MemoryMiB, Timeout: store.Duration(spec.Timeout),
		Concurrency: max(1, spec.Concurrency), History: []store.Transition{}, Metadata: []store.MetadataVersion{}, Builds: []*store.Build{},
	}
	if s.Opt.DriverOf != nil {
		o.Driver = s.Opt.DriverOf(spec)
	}
	for _, v := range append([]store.Version{fn.Latest}, fn.Published...) {
		o.Current = o.Current || v.Revision == spec.ID || v.Serving == spec.ID
	}
	if v, ok := s.Platform.Revision(r.Context(), spec.ID); ok {
		o.Pipeline = &v
	}
	if p, ok := s.Store.Pipeline(spec.ID); ok {
		o.History = append(o.History, p.History...)
	}
	o.Metadata = append(o.Metadata, s.Store.MetadataVersions(spec.ID)...)
	o.Builds = append(o.Builds, s.Store.Builds(spec.ID)...)
	return o
}

func (s *API) ownRevisions(w http.ResponseWriter, r *http.Request) error {
	_, fn, err := s.Targeted(r)
	if err != nil {
		return err
	}
	out := []*ownRevision{}
	for _, rev := range s.Store.Revisions() {
		if rev.Spec.Function == fn.Name {
			out = append(out, s.revisionView(r, fn, rev))
		}
	}
	slices.Reverse(out) // the newest first
	gate.WriteJSON(w, http.StatusOK, map[string]any{"revisions": out})
	return nil
}

// revision finds the revision of a request's path. "latest" is the one that serves $LATEST.
func (s *API) revision(r *http.Request) (*store.Function, *store.Revision, error) {
	f, err := gate.Target(r)
	if err != nil {
		return nil, nil, err
	}
	fn, err := s.Function(f)
	if err != nil {
		return nil, nil, err
	}
	id := function.RevisionID(r.PathValue("revision"))
	if id == "latest" {
		id = fn.Latest.Current()
	}
	rev, ok := s.Store.Revision(id)
	if !ok || rev.Spec.Function != fn.Name {
		return nil, nil, gate.NotFound("Function %s has no revision %s", fn.Name, gate.Clip(string(id)))
	}
	return fn, rev, nil
}

func (s *API) ownRevision(w http.ResponseWriter, r *http.Request) error {
	fn, rev, err := s.revision(r)
	if err != nil {
		return err
	}
	o := s.revisionView(r, fn, rev)
	if o.Pipeline != nil {
		s.addOthers(r, o.Pipeline)
	}
	gate.WriteJSON(w, http.StatusOK, o)
	return nil
}

func (s *API) revisionCode(w http.ResponseWriter, r *http.Request) error {
	_, rev, err := s.revision(r)
	if err != nil {
		return err
	}
	path, err := s.Opt.Code.Path(rev.Spec.CodeSHA256)
	if err != nil {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read code: %w", err)
	}
	defer file.Close()
	w.Header().Set("Content-Type", "application/zip")
	http.ServeContent(w, r, "", rev.CreatedAt, file)
	return nil
}

// readPolicy reads a policy strictly: a misspelt field would silently change nothing.
func (s *API) readPolicy(w http.ResponseWriter, r *http.Request) (store.Policy, error) {
	var p store.Policy
	doc, release, err := s.Document(w, r)
	if err != nil {
		return p, err
	}
	defer release()
	d := json.NewDecoder(bytes.NewReader(doc))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil && !errors.Is(err, io.EOF) {
		return p, gate.Invalid("Policy: %v", err)
	}
	if err := p.Check(); err != nil {
		return p, gate.Invalid("Policy: %v", err)
	}
	return p, nil
}

func (s *API) functionPolicy(w http.ResponseWriter, r *http.Request) error {
	_, fn, err := s.Targeted(r)
	if err != nil {
		return err
	}
	p, err := s.Store.PolicyOf(fn, s.Opt.Policy)
	if err != nil {
		return err
	}
	gate.WriteJSON(w, http.StatusOK, policyView{p, fn.Policy})
	return nil
}

// policyView is the policy that holds, and what of it was set here.
type policyView struct {
	Effective store.Policy  `json:"effective"`
	Set       *store.Policy `json:"set,omitempty"`
}

func (s *API) putFunctionPolicy(w http.ResponseWriter, r *http.Request) error {
	p, err := s.readPolicy(w, r)
	if err != nil {
		return err
	}
	if _, err := s.Change(w, r, nil, func(fn *store.Function) error { fn.Policy = &p; return nil }); err != nil {
		return err
	}
	return s.functionPolicy(w, r)
}

func (s *API) deleteFunctionPolicy(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.Change(w, r, nil, func(fn *store.Function) error { fn.Policy = nil; return nil }); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *API) platformPolicy(w http.ResponseWriter, _ *http.Request) error {
	p, err := s.Store.PlatformPolicy()
	if err != nil {
		return err
	}
	gate.WriteJSON(w, http.StatusOK, policyView{p.Over(s.Opt.Policy), &p})
	return nil
}

func (s *API) putPlatformPolicy(w http.ResponseWriter, r *http.Request) error {
	p, err := s.readPolicy(w, r)
	if err != nil {
		return err
	}
	if err := s.Store.PutPlatformPolicy(r.Context(), p); err != nil {
		return err
	}
	for _, fn := range s.Store.Functions() {
		s.Sync(fn.Name)
	}
	return s.platformPolicy(w, r)
}
