package api

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

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/health"
	"github.com/cloudjit/cloudjit/internal/node"
	"github.com/cloudjit/cloudjit/internal/store"
)

// CloudJIT's own resources. Their names are in lower camel case, times are RFC 3339, durations
// as Go writes them ("10m0s"); openapi.json describes them all.
const (
	ownPrefix  = "/cloudjit/v1"
	healthPath = ownPrefix + "/health"
	// problemsPath is what was lost and repaired.
	problemsPath = healthPath + "/problems"
)

func (s *Server) ownRoutes(mux *http.ServeMux) {
	const f = ownPrefix + "/functions/{name}"
	const rev = f + "/revisions/{revision}"
	for pattern, e := range map[string]endpoint{
		"DELETE " + problemsPath:             s.acknowledge,
		"POST " + ownPrefix + "/backup":      s.backup,
		"GET " + ownPrefix + "/functions":    s.ownFunctions,
		"GET " + f:                           s.ownFunction,
		"GET " + f + "/revisions":            s.ownRevisions,
		"GET " + rev:                         s.ownRevision,
		"GET " + rev + "/code":               s.revisionCode,
		"GET " + rev + "/metadata":           s.metadataVersions,
		"GET " + rev + "/metadata/{number}":  s.metadataDocument,
		"GET " + rev + "/metadata-diff":      s.metadataDiff,
		"GET " + rev + "/builds":             s.ownBuilds,
		"GET " + rev + "/builds/{build}":     s.ownBuild,
		"GET " + rev + "/builds/{build}/log": s.buildLog,
		"GET " + f + "/policy":               s.functionPolicy,
		"PUT " + f + "/policy":               s.putFunctionPolicy,
		"DELETE " + f + "/policy":            s.deleteFunctionPolicy,
		"GET " + f + "/samples":              s.samples,
		"PUT " + f + "/samples":              s.putSamples,
		"DELETE " + f + "/samples":           s.deleteSamples,
		"GET " + ownPrefix + "/policy":       s.platformPolicy,
		"PUT " + ownPrefix + "/policy":       s.putPlatformPolicy,
		"POST " + f + "/optimize":            s.optimize,
		"POST " + f + "/deoptimize":          s.deoptimize,
		"GET " + f + "/logs":                 s.functionLogs,
		"GET " + ownPrefix + "/workers":      s.workers,
		"GET " + ownPrefix + "/events":       s.events,

		"GET " + ownPrefix + "/dead-letters":               s.deadLetters,
		"GET " + ownPrefix + "/dead-letters/{id}":          s.deadLetter,
		"DELETE " + ownPrefix + "/dead-letters/{id}":       s.removeDeadLetter,
		"POST " + ownPrefix + "/dead-letters/{id}/redrive": s.redriveDeadLetter,

		"GET " + ownPrefix + "/openapi.json": s.openAPI,
	} {
		s.route(mux, pattern, e)
	}
	mux.HandleFunc("GET "+healthPath, func(w http.ResponseWriter, r *http.Request) { // asks for no credentials
		if err := s.health(w, r); err != nil {
			s.fail(w, r, err)
		}
	})
	mux.HandleFunc(urlPrefix+"{id}/", s.serveURLPath)
	mux.HandleFunc(urlPrefix+"{id}", s.serveURLPath)
	if s.opt.Metrics != nil {
		s.route(mux, metricsRoute, func(w http.ResponseWriter, r *http.Request) error {
			s.opt.Metrics.ServeHTTP(w, r)
			return nil
		})
	}
	s.route(mux, "/", func(w http.ResponseWriter, r *http.Request) error {
		if s.opt.Web != nil && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
			s.opt.Web.ServeHTTP(w, r)
			return nil
		}
		return fault(http.StatusNotFound, "UnknownOperationException", "There is nothing at %s %s", r.Method, clip(r.URL.Path))
	})
}

// health says "ok" or "degraded"; the status is 200 in both cases, since invocations are served in both.
func (s *Server) health(w http.ResponseWriter, r *http.Request) error {
	answer := struct {
		Status    string           `json:"status"`
		Version   string           `json:"version"`
		StartedAt time.Time        `json:"startedAt"`
		Functions int              `json:"functions"`
		Queued    uint64           `json:"queued"`
		Problems  []health.Problem `json:"problems,omitempty"`
		Disk      []health.Disk    `json:"disk,omitempty"`
	}{"ok", s.opt.Version, s.started.UTC(), len(s.store.Functions()), 0, nil, nil}
	if s.opt.Disk != nil {
		answer.Disk = s.opt.Disk()
	}
	if s.opt.Problems != nil {
		answer.Problems = s.opt.Problems()
	}
	var err error
	if answer.Queued, err = s.store.QueueLength(r.Context()); err != nil && len(answer.Problems) == 0 {
		answer.Problems = append(answer.Problems, health.Problem{Component: "queue", Message: err.Error(), Since: time.Now().UTC()})
	}
	for i := range answer.Problems {
		if answer.Problems[i].Serious() {
			answer.Status = "degraded"
		}
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

// acknowledge forgets what was lost and repaired. From then on what nothing refers to is removed again.
func (s *Server) acknowledge(w http.ResponseWriter, r *http.Request) error {
	if err := s.store.Acknowledge(); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// backup sends everything that must not be lost. An answer that cannot be finished is broken off, so that nobody takes it
// for a whole one.
func (s *Server) backup(w http.ResponseWriter, r *http.Request) error {
	if s.opt.Backup == nil {
		return fault(http.StatusNotImplemented, "ServiceException", "This server makes no backups")
	}
	out := &begun{w: w}
	err := s.opt.Backup(r.Context(), out)
	if err != nil && out.any {
		s.log.Error("a backup was broken off", "error", err)
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

func (s *Server) own(r *http.Request, fn *store.Function) (*ownFunction, error) {
	rev, ok := s.store.Revision(fn.Latest.Current())
	if !ok {
		return nil, s.noFunction(fn.Name, "")
	}
	policy, err := s.store.PolicyOf(fn, s.opt.Policy)
	if err != nil {
		return nil, err
	}
	o := &ownFunction{
		Name: fn.Name, ARN: s.arn(fn.Name, ""), CreatedAt: fn.CreatedAt, Kind: rev.Spec.Kind, Runtime: rev.Spec.Runtime, Handler: rev.Spec.Handler,
		State: fn.Latest.State, LastUpdate: fn.Latest.LastUpdate, MemoryMiB: rev.Spec.MemoryMiB, Timeout: store.Duration(rev.Spec.Timeout),
		Tags: fn.Tags, Reserved: fn.Reserved, Revision: rev.Spec.ID, Policy: policy, Overrides: fn.Policy, Samples: fn.Samples,
		Versions: []ownVersion{}, Aliases: []ownAlias{}, URLs: []ownURL{},
	}
	if v, ok := s.run.Revision(r.Context(), rev.Spec.ID); ok {
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
		o.URLs = append(o.URLs, ownURL{q, s.urlOf(r, u.ID), urlPrefix + u.ID + "/", u.AuthType})
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

func (s *Server) ownFunctions(w http.ResponseWriter, r *http.Request) error {
	out := []*ownFunction{}
	c := callerOf(r.Context())
	for _, fn := range s.store.Functions() {
		if !c.owns(fn.Name) {
			continue
		}
		if o, err := s.own(r, fn); err == nil { // else deleted meanwhile
			out = append(out, o)
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{"functions": out})
	return nil
}

func (s *Server) ownFunction(w http.ResponseWriter, r *http.Request) error {
	_, fn, err := s.targeted(r)
	if err != nil {
		return err
	}
	o, err := s.own(r, fn)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, o)
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
	Pipeline    *node.RevisionView      `json:"pipeline,omitempty"`
	History     []store.Transition      `json:"history"`
	Metadata    []store.MetadataVersion `json:"metadata"`
	Builds      []*store.Build          `json:"builds"`
}

func (s *Server) revisionView(r *http.Request, fn *store.Function, rev *store.Revision) *ownRevision {
	spec := &rev.Spec
	o := &ownRevision{
		ID: spec.ID, Function: spec.Function, Version: spec.Version, Parent: rev.Parent, CreatedAt: rev.CreatedAt,
		Kind: spec.Kind, Runtime: spec.Runtime, Handler: spec.Handler, MainClass: spec.MainClass,
		CodeSHA256: spec.CodeSHA256, CodeSize: spec.CodeSize, MemoryMiB: spec.MemoryMiB, Timeout: store.Duration(spec.Timeout),
		Concurrency: max(1, spec.Concurrency), History: []store.Transition{}, Metadata: []store.MetadataVersion{}, Builds: []*store.Build{},
	}
	for _, v := range append([]store.Version{fn.Latest}, fn.Published...) {
		o.Current = o.Current || v.Revision == spec.ID || v.Serving == spec.ID
	}
	if v, ok := s.run.Revision(r.Context(), spec.ID); ok {
		o.Pipeline = &v
	}
	if p, ok := s.store.Pipeline(spec.ID); ok {
		o.History = append(o.History, p.History...)
	}
	o.Metadata = append(o.Metadata, s.store.MetadataVersions(spec.ID)...)
	o.Builds = append(o.Builds, s.store.Builds(spec.ID)...)
	return o
}

func (s *Server) ownRevisions(w http.ResponseWriter, r *http.Request) error {
	_, fn, err := s.targeted(r)
	if err != nil {
		return err
	}
	out := []*ownRevision{}
	for _, rev := range s.store.Revisions() {
		if rev.Spec.Function == fn.Name {
			out = append(out, s.revisionView(r, fn, rev))
		}
	}
	slices.Reverse(out) // the newest first
	writeJSON(w, http.StatusOK, map[string]any{"revisions": out})
	return nil
}

// revision finds the revision of a request's path. "latest" is the one that serves $LATEST.
func (s *Server) revision(r *http.Request) (*store.Function, *store.Revision, error) {
	f, err := target(r)
	if err != nil {
		return nil, nil, err
	}
	fn, err := s.function(f)
	if err != nil {
		return nil, nil, err
	}
	id := function.RevisionID(r.PathValue("revision"))
	if id == "latest" {
		id = fn.Latest.Current()
	}
	rev, ok := s.store.Revision(id)
	if !ok || rev.Spec.Function != fn.Name {
		return nil, nil, notFound("Function %s has no revision %s", fn.Name, clip(string(id)))
	}
	return fn, rev, nil
}

func (s *Server) ownRevision(w http.ResponseWriter, r *http.Request) error {
	fn, rev, err := s.revision(r)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, s.revisionView(r, fn, rev))
	return nil
}

func (s *Server) revisionCode(w http.ResponseWriter, r *http.Request) error {
	_, rev, err := s.revision(r)
	if err != nil {
		return err
	}
	path, err := s.opt.Code.Path(rev.Spec.CodeSHA256)
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
func (s *Server) readPolicy(w http.ResponseWriter, r *http.Request) (store.Policy, error) {
	var p store.Policy
	doc, release, err := s.document(w, r)
	if err != nil {
		return p, err
	}
	defer release()
	d := json.NewDecoder(bytes.NewReader(doc))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil && !errors.Is(err, io.EOF) {
		return p, invalid("Policy: %v", err)
	}
	if err := p.Check(); err != nil {
		return p, invalid("Policy: %v", err)
	}
	return p, nil
}

func (s *Server) functionPolicy(w http.ResponseWriter, r *http.Request) error {
	_, fn, err := s.targeted(r)
	if err != nil {
		return err
	}
	p, err := s.store.PolicyOf(fn, s.opt.Policy)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, policyView{p, fn.Policy})
	return nil
}

// policyView is the policy that holds, and what of it was set here.
type policyView struct {
	Effective store.Policy  `json:"effective"`
	Set       *store.Policy `json:"set,omitempty"`
}

func (s *Server) putFunctionPolicy(w http.ResponseWriter, r *http.Request) error {
	p, err := s.readPolicy(w, r)
	if err != nil {
		return err
	}
	if _, err := s.change(w, r, nil, func(fn *store.Function) error { fn.Policy = &p; return nil }); err != nil {
		return err
	}
	return s.functionPolicy(w, r)
}

func (s *Server) deleteFunctionPolicy(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.change(w, r, nil, func(fn *store.Function) error { fn.Policy = nil; return nil }); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) platformPolicy(w http.ResponseWriter, _ *http.Request) error {
	p, err := s.store.PlatformPolicy()
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, policyView{p.Over(s.opt.Policy), &p})
	return nil
}

func (s *Server) putPlatformPolicy(w http.ResponseWriter, r *http.Request) error {
	p, err := s.readPolicy(w, r)
	if err != nil {
		return err
	}
	if err := s.store.PutPlatformPolicy(r.Context(), p); err != nil {
		return err
	}
	for _, fn := range s.store.Functions() {
		s.sync(fn.Name)
	}
	return s.platformPolicy(w, r)
}
