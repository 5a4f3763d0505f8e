package lambda

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/api/gate"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/store"
)

// Routes mounts the Lambda control plane (botocore's model of service lambda, 2015-03-31).
func (s *API) Routes(mux *http.ServeMux) {
	const f = "/2015-03-31/functions"
	for pattern, e := range map[string]gate.Endpoint{
		"POST " + f:                               s.createFunction,
		"GET " + f:                                s.listFunctions,
		"GET " + f + "/{name}":                    s.getFunction,
		"DELETE " + f + "/{name}":                 s.deleteFunction,
		"GET " + f + "/{name}/configuration":      s.getConfiguration,
		"PUT " + f + "/{name}/configuration":      s.updateConfiguration,
		"PUT " + f + "/{name}/code":               s.updateCode,
		"POST " + f + "/{name}/versions":          s.publishVersion,
		"GET " + f + "/{name}/versions":           s.listVersions,
		"POST " + f + "/{name}/aliases":           s.createAlias,
		"GET " + f + "/{name}/aliases":            s.listAliases,
		"GET " + f + "/{name}/aliases/{alias}":    s.getAlias,
		"PUT " + f + "/{name}/aliases/{alias}":    s.updateAlias,
		"DELETE " + f + "/{name}/aliases/{alias}": s.deleteAlias,
		"POST " + f + "/{name}/policy":            s.addPermission,
		"GET " + f + "/{name}/policy":             s.getPolicy,
		"DELETE " + f + "/{name}/policy/{sid}":    s.removePermission,

		"PUT /2017-10-31/functions/{name}/concurrency":    s.putConcurrency,
		"DELETE /2017-10-31/functions/{name}/concurrency": s.deleteConcurrency,
		"GET /2019-09-30/functions/{name}/concurrency":    s.getConcurrency,

		"PUT /2019-09-30/functions/{name}/provisioned-concurrency":    s.putProvisioned,
		"GET /2019-09-30/functions/{name}/provisioned-concurrency":    s.getProvisioned,
		"DELETE /2019-09-30/functions/{name}/provisioned-concurrency": s.deleteProvisioned,

		"POST /2021-10-31/functions/{name}/url":   s.createURL,
		"GET /2021-10-31/functions/{name}/url":    s.getURL,
		"PUT /2021-10-31/functions/{name}/url":    s.updateURL,
		"DELETE /2021-10-31/functions/{name}/url": s.deleteURL,
		"GET /2021-10-31/functions/{name}/urls":   s.listURLs,

		"GET /2017-03-31/tags/{name}":    s.listTags,
		"POST /2017-03-31/tags/{name}":   s.tag,
		"DELETE /2017-03-31/tags/{name}": s.untag,

		"PUT /2019-09-25/functions/{name}/event-invoke-config":      s.putEventInvoke,
		"POST /2019-09-25/functions/{name}/event-invoke-config":     s.updateEventInvoke,
		"GET /2019-09-25/functions/{name}/event-invoke-config":      s.getEventInvoke,
		"DELETE /2019-09-25/functions/{name}/event-invoke-config":   s.deleteEventInvoke,
		"GET /2019-09-25/functions/{name}/event-invoke-config/list": s.listEventInvoke,
	} {
		s.Route(mux, pattern, e)
	}
	s.accountRoutes(mux)
}

type createInput struct {
	configInput
	FunctionName string
	Code         codeSource
	Publish      bool
	Tags         map[string]string
	// CloudjitPolicy is ours: the function's policy from its first moment on, since what is prepared
	// at deploy is prepared before a policy could be set. Other clients leave it out.
	CloudjitPolicy *store.Policy
}

func (s *API) createFunction(w http.ResponseWriter, r *http.Request) error {
	var in createInput
	up, err := s.readUpload(w, r, &in)
	if err != nil {
		return err
	}
	if f, err := gate.ParseRef(in.FunctionName); err == nil {
		gate.About(w, f.Name)
	}
	fn, revs, err := s.newFunction(r.Context(), &in, up)
	if err == nil {
		err = s.Store.CreateFunction(r.Context(), fn, revs...)
		if errors.Is(err, store.ErrExists) {
			err = gate.Conflict("Function already exist: %s", fn.Name)
		}
	}
	if up != nil {
		up.release()
		if err != nil {
			s.dropCode(up.SHA256)
		}
	}
	if err != nil {
		return err
	}
	s.seen.note(revs...)
	s.Sync(fn.Name)
	s.Prepare(fn)
	v := &fn.Latest
	if in.Publish {
		v = &fn.Published[0]
	}
	// It was made, though somebody may have deleted it since.
	rev := revs[slices.IndexFunc(revs, func(r *store.Revision) bool { return r.Spec.ID == v.Revision })]
	gate.WriteJSON(w, http.StatusCreated, s.configurationOf(fn, v, rev, shown(v)))
	return nil
}

// newFunction checks a create request and makes its documents.
func (s *API) newFunction(ctx context.Context, in *createInput, up *uploaded) (*store.Function, []*store.Revision, error) {
	f, err := gate.ParseRef(in.FunctionName)
	switch {
	case err != nil:
		return nil, nil, err
	case f.Qualifier != "":
		return nil, nil, gate.Invalid("The function name must not have a qualifier: %s", gate.Clip(in.FunctionName))
	}
	if c := gate.CallerOf(ctx); !c.Owns(f.Name) {
		return nil, nil, s.Refuse(c, gate.ActionOf("POST /2015-03-31/functions"), f.Name)
	}
	if _, ok := s.Store.Function(f.Name); ok {
		return nil, nil, gate.Conflict("Function already exist: %s", f.Name)
	}
	if err := errors.Join(in.Code.refuse(), in.unsupported()); err != nil {
		return nil, nil, err
	}
	if up == nil {
		return nil, nil, gate.Invalid("Please provide a source for function code.")
	}
	if in.Runtime == nil {
		return nil, nil, gate.Invalid("Runtime is mandatory for functions created with deployment packages.")
	}
	if err := checkTags(nil, in.Tags); err != nil {
		return nil, nil, err
	}
	if in.CloudjitPolicy != nil {
		if err := in.CloudjitPolicy.Check(); err != nil {
			return nil, nil, gate.Invalid("Policy: %v", err)
		}
	}
	now := time.Now().UTC()
	rev := &store.Revision{CreatedAt: now, Spec: function.Spec{
		ID: store.NewRevisionID(), Function: f.Name, Version: function.Latest,
		CodeSHA256: up.SHA256, CodeSize: up.Size, MemoryMiB: defaultMemory, TmpMiB: minTmp, Timeout: defaultTimeout,
	}}
	attr := store.Attributes{Architecture: machine()}
	if err := in.apply(&rev.Spec, &attr); err != nil {
		return nil, nil, err
	}
	if err := classify(&rev.Spec, &attr, up.info); err != nil {
		return nil, nil, err
	}
	fn := &store.Function{Name: f.Name, CreatedAt: now, Tags: in.Tags, Policy: in.CloudjitPolicy, Latest: store.Version{
		Version: function.Latest, Revision: rev.Spec.ID, ETag: gate.NewUUID(), LastModified: now,
		State: gate.Pending, LastUpdate: gate.Successful, Config: attr,
	}}
	revs := []*store.Revision{rev}
	if in.Publish {
		revs = append(revs, publish(fn, rev, nil))
	}
	return fn, revs, nil
}

const defaultPage = 50

// page reads Marker and MaxItems. The marker is the index of the next item's name, opaque to the caller.
func page(r *http.Request) (after string, size int, err error) {
	q := r.URL.Query()
	size = defaultPage
	if v := q.Get("MaxItems"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > 10_000 {
			return "", 0, gate.Validation("maxItems", gate.Clip(v), "Member must have value between 1 and 10000")
		}
		size = min(n, defaultPage)
	}
	if v := q.Get("Marker"); v != "" {
		b, err := base64.URLEncoding.DecodeString(v)
		if err != nil {
			return "", 0, gate.Invalid("Invalid marker: %s", gate.Clip(v))
		}
		after = string(b)
	}
	return after, size, nil
}

// paged cuts one page out of items, which are in order of key, and returns the next marker.
func paged[T any](items []T, key func(T) string, after string, size int) ([]T, string) {
	start := 0
	for after != "" && start < len(items) && key(items[start]) <= after {
		start++
	}
	items = items[start:]
	if len(items) <= size {
		return items, ""
	}
	return items[:size], base64.URLEncoding.EncodeToString([]byte(key(items[size-1])))
}

// pageOf brings items into the order of key and cuts out the page that a request asks for.
func pageOf[T any](r *http.Request, items []T, key func(T) string) (cut []T, next string, err error) {
	after, size, err := page(r)
	if err != nil {
		return nil, "", err
	}
	slices.SortStableFunc(items, func(a, b T) int { return strings.Compare(key(a), key(b)) })
	cut, next = paged(items, key, after, size)
	return cut, next, nil
}

func (s *API) listFunctions(w http.ResponseWriter, r *http.Request) error {
	after, size, err := page(r)
	if err != nil {
		return err
	}
	all := r.URL.Query().Get("FunctionVersion")
	if all != "" && all != "ALL" {
		return gate.Validation("functionVersion", gate.Clip(all), "Member must satisfy enum value set: [ALL]")
	}
	type item struct {
		fn  *store.Function
		v   *store.Version
		key string
	}
	var items []item
	c := gate.CallerOf(r.Context())
	for _, fn := range s.Store.Functions() {
		if !c.Owns(fn.Name) {
			continue
		}
		items = append(items, item{fn, &fn.Latest, string(fn.Name)})
		for i := range fn.Published {
			if all != "" {
				// Versions in order of their numbers: ten digits hold any of them.
				n, _ := strconv.Atoi(fn.Published[i].Version)
				items = append(items, item{fn, &fn.Published[i], string(fn.Name) + ":" + pad(n)})
			}
		}
	}
	items, next := paged(items, func(i item) string { return i.key }, after, size)
	out := struct {
		Functions  []*configuration
		NextMarker string `json:",omitempty"`
	}{[]*configuration{}, next}
	for _, i := range items {
		qualifier := shown(i.v)
		if all != "" {
			qualifier = i.v.Version
		}
		if c, err := s.configuration(i.fn, i.v, qualifier); err == nil { // else deleted meanwhile
			out.Functions = append(out.Functions, c)
		}
	}
	gate.WriteJSON(w, http.StatusOK, out)
	return nil
}

// pad writes a number so that text order is number order.
func pad(n int) string {
	t := strconv.Itoa(n)
	return "0000000000"[:max(0, 10-len(t))] + t
}

func (s *API) getFunction(w http.ResponseWriter, r *http.Request) error {
	f, err := gate.Target(r)
	if err != nil {
		return err
	}
	fn, v, err := s.Version(f)
	if err != nil {
		return err
	}
	c, err := s.configuration(fn, v, f.Qualifier)
	if err != nil {
		return err
	}
	type concurrency struct{ ReservedConcurrentExecutions int }
	out := struct {
		Configuration *configuration
		Code          struct{ RepositoryType, Location string }
		Tags          map[string]string `json:",omitempty"`
		Concurrency   *concurrency      `json:",omitempty"`
	}{Configuration: c, Tags: fn.Tags}
	out.Code.RepositoryType = "S3" // the only value that clients know
	out.Code.Location = gate.Scheme(r) + "://" + r.Host + gate.OwnPrefix + "/functions/" + string(fn.Name) + "/revisions/" + string(v.Revision) + "/code"
	if fn.Reserved != nil {
		out.Concurrency = &concurrency{*fn.Reserved}
	}
	gate.WriteJSON(w, http.StatusOK, out)
	return nil
}

func (s *API) getConfiguration(w http.ResponseWriter, r *http.Request) error {
	f, err := gate.Target(r)
	if err != nil {
		return err
	}
	fn, v, err := s.Version(f)
	if err != nil {
		return err
	}
	return s.answer(w, http.StatusOK, fn, v, f.Qualifier)
}

func (s *API) deleteFunction(w http.ResponseWriter, r *http.Request) error {
	f, err := gate.Target(r)
	if err != nil {
		return err
	}
	if _, err := s.Function(f); err != nil {
		return err
	}
	switch {
	case f.Qualifier == function.Latest:
		return gate.Invalid("$LATEST version cannot be deleted without deleting the function.")
	case f.Qualifier != "":
		err = s.deleteVersion(r.Context(), f)
	default:
		if err = s.Store.DeleteFunction(r.Context(), f.Name); err == nil && s.Opt.Logs != nil {
			err = s.Opt.Logs.Remove(string(f.Name))
		}
	}
	if errors.Is(err, store.ErrNotFound) {
		return s.NoFunction(f.Name, f.Qualifier)
	}
	if err != nil {
		return err
	}
	s.Sync(f.Name)
	s.unnamed()
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *API) deleteVersion(ctx context.Context, f gate.Ref) error {
	_, err := s.Store.UpdateFunction(ctx, f.Name, func(fn *store.Function) error {
		for _, a := range fn.Aliases {
			if _, weighted := a.Weights[f.Qualifier]; weighted || a.Version == f.Qualifier {
				return gate.Conflict("Version %s of function %s is referenced by alias %s: change or delete the alias first.", f.Qualifier, fn.Name, a.Name)
			}
		}
		if _, alias := fn.Aliases[f.Qualifier]; alias {
			return gate.Invalid("%s is an alias: delete it with DeleteAlias.", f.Qualifier)
		}
		for i := range fn.Published {
			if fn.Published[i].Version == f.Qualifier {
				fn.Published = append(fn.Published[:i], fn.Published[i+1:]...)
				delete(fn.URLs, f.Qualifier)
				delete(fn.EventInvoke, f.Qualifier)
				delete(fn.Access, f.Qualifier)
				return nil
			}
		}
		return s.NoFunction(f.Name, f.Qualifier)
	})
	return err
}
