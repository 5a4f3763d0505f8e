package lambda

import (
	"errors"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/api/gate"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/store"
)

// publish adds the next version to fn, with the configuration of $LATEST and a revision made from rev.
func publish(fn *store.Function, rev *store.Revision, description *string) *store.Revision {
	made := &store.Revision{Spec: rev.Spec, Parent: rev.Spec.ID, CreatedAt: time.Now().UTC()}
	made.Spec.ID = store.NewRevisionID()
	made.Spec.Version = strconv.Itoa(fn.LastVersion + 1)
	if v := publishWith(fn, made); description != nil {
		v.Config.Description = *description
	}
	return made
}

// publishWith adds a version with the revision made for it; nil if another took its number.
func publishWith(fn *store.Function, made *store.Revision) *store.Version {
	if made.Spec.Version != strconv.Itoa(fn.LastVersion+1) {
		return nil
	}
	fn.LastVersion++
	fn.Published = append(fn.Published, store.Version{
		Version: made.Spec.Version, Revision: made.Spec.ID, ETag: gate.NewUUID(), LastModified: made.CreatedAt,
		State: gate.Pending, LastUpdate: gate.Successful, Config: fn.Latest.Config,
	})
	return &fn.Published[len(fn.Published)-1]
}

func (s *API) publishVersion(w http.ResponseWriter, r *http.Request) error {
	f, err := gate.Target(r)
	if err != nil {
		return err
	}
	var in struct {
		CodeSha256, RevisionID, PublishTo string
		Description                       *string
	}
	if err := s.Decode(w, r, &in); err != nil {
		return err
	}
	if err := refusePublishTo(in.PublishTo); err != nil {
		return err
	}
	if in.Description != nil && len(*in.Description) > maxDescription {
		return gate.Validation("description", gate.Clip(*in.Description), "Member must have length less than or equal to 256")
	}
	fn, err := s.Function(f)
	if err != nil {
		return err
	}
	rev, ok := s.Store.Revision(fn.Latest.Revision)
	if !ok {
		return s.NoFunction(f.Name, "")
	}
	if in.CodeSha256 != "" && in.CodeSha256 != codeSHA(&rev.Spec) {
		return gate.Invalid("CodeSHA256 (%s) is different from current CodeSHA256 in $LATEST (%s). Please try again with the CodeSHA256 in $LATEST.", gate.Clip(in.CodeSha256), codeSHA(&rev.Spec))
	}
	if in.RevisionID != "" && in.RevisionID != fn.Latest.ETag {
		return gate.Precondition()
	}
	switch {
	case fn.Latest.State.Value != gate.Active.Value:
		return gate.Conflict("The operation cannot be performed at this time. The function is currently in the following state: %s", fn.Latest.State.Value)
	case fn.Latest.LastUpdate == gate.InProgress:
		return gate.Conflict("The operation cannot be performed at this time. An update is in progress for resource: %s", s.ARN(fn.Name, ""))
	}
	if v := s.unchanged(fn, rev, in.Description); v != nil {
		return s.answer(w, http.StatusCreated, fn, v, v.Version)
	}
	made := publish(&store.Function{LastVersion: fn.LastVersion}, rev, nil)
	fn, err = s.Store.UpdateFunction(r.Context(), f.Name, func(fn *store.Function) error {
		if fn.Latest.Revision != rev.Spec.ID {
			return gate.Conflict("The function %s was changed by another request at the same time.", fn.Name)
		}
		v := publishWith(fn, made)
		if v == nil {
			return gate.Conflict("The function %s was published by another request at the same time.", fn.Name)
		}
		if in.Description != nil {
			v.Config.Description = *in.Description
		}
		return nil
	}, made)
	if errors.Is(err, store.ErrNotFound) {
		return s.NoFunction(f.Name, "")
	}
	if err != nil {
		return err
	}
	s.Sync(f.Name)
	s.Prepare(fn)
	v, ok := fn.Version(made.Spec.Version)
	if !ok {
		return s.NoFunction(f.Name, made.Spec.Version)
	}
	return s.answer(w, http.StatusCreated, fn, v, v.Version)
}

// unchanged returns the newest version if publishing again would make an equal one.
func (s *API) unchanged(fn *store.Function, rev *store.Revision, description *string) *store.Version {
	if len(fn.Published) == 0 {
		return nil
	}
	last := &fn.Published[len(fn.Published)-1]
	lastRev, ok := s.Store.Revision(last.Revision)
	if !ok {
		return nil
	}
	a, b := rev.Spec, lastRev.Spec
	b.ID, b.Version = a.ID, a.Version
	x, y := fn.Latest.Config, last.Config
	x.Description, y.Description = "", "" // a new description alone is no change, as on Lambda
	_ = description
	if reflect.DeepEqual(a, b) && x == y {
		return last
	}
	return nil
}

func (s *API) listVersions(w http.ResponseWriter, r *http.Request) error {
	_, fn, err := s.Targeted(r)
	if err != nil {
		return err
	}
	versions := append([]store.Version{fn.Latest}, fn.Published...)
	versions, next, err := pageOf(r, versions, func(v store.Version) string {
		n, _ := strconv.Atoi(v.Version) // $LATEST is the first
		return pad(n)
	})
	if err != nil {
		return err
	}
	out := struct {
		Versions   []*configuration
		NextMarker string `json:",omitempty"`
	}{[]*configuration{}, next}
	for i := range versions {
		if c, err := s.configuration(fn, &versions[i], versions[i].Version); err == nil {
			out.Versions = append(out.Versions, c)
		}
	}
	gate.WriteJSON(w, http.StatusOK, out)
	return nil
}

type routing struct {
	AdditionalVersionWeights map[string]float64
}

type aliasView struct {
	AliasArn, Name, FunctionVersion, Description string
	RoutingConfig                                *routing `json:",omitempty"`
	RevisionId                                   string   // AWS's spelling
}

func (s *API) alias(name function.Name, a store.Alias) aliasView {
	v := aliasView{AliasArn: s.ARN(name, a.Name), Name: a.Name, FunctionVersion: a.Version, Description: a.Description, RevisionId: a.ETag}
	if len(a.Weights) > 0 {
		v.RoutingConfig = &routing{a.Weights}
	}
	return v
}

type aliasInput struct {
	Name            string
	FunctionVersion *string
	Description     *string
	RoutingConfig   *routing
	RevisionID      string `json:"RevisionId"`
}

// apply checks what is given and puts it into the alias.
func (in *aliasInput) apply(s *API, fn *store.Function, a *store.Alias) error {
	if in.Description != nil {
		if len(*in.Description) > maxDescription {
			return gate.Validation("description", gate.Clip(*in.Description), "Member must have length less than or equal to 256")
		}
		a.Description = *in.Description
	}
	if in.FunctionVersion != nil {
		a.Version = *in.FunctionVersion
	}
	if in.RoutingConfig != nil {
		a.Weights = in.RoutingConfig.AdditionalVersionWeights
	}
	if _, ok := fn.Version(a.Version); !ok {
		return s.NoFunction(fn.Name, gate.Clip(a.Version))
	}
	if len(a.Weights) > 1 {
		return gate.Invalid("Number of items in AdditionalVersionWeights cannot be greater than 1")
	}
	for version, weight := range a.Weights {
		switch _, ok := fn.Version(version); {
		case !gate.IsNumber(version) || a.Version == function.Latest:
			return gate.Invalid("$LATEST is not supported for an alias pointing to more than 1 version")
		case !ok:
			return s.NoFunction(fn.Name, version)
		case version == a.Version:
			return gate.Invalid("Invalid function version %s. Function version %s is already included in routing configuration.", version, version)
		case !(weight >= 0 && weight <= 1):
			return gate.Validation("routingConfig.additionalVersionWeights", strconv.FormatFloat(weight, 'g', -1, 64), "Map value must satisfy constraint: [Member must have value between 0 and 1]")
		}
	}
	return nil
}

func (s *API) createAlias(w http.ResponseWriter, r *http.Request) error {
	var in aliasInput
	return s.writeAlias(w, r, http.StatusCreated, &in, func(fn *store.Function) (store.Alias, error) {
		switch {
		case !gate.IsWord(in.Name) || len(in.Name) > gate.MaxQualifier || gate.IsNumber(in.Name):
			return store.Alias{}, gate.Validation("name", gate.Clip(in.Name), "Member must satisfy regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)")
		case in.FunctionVersion == nil:
			return store.Alias{}, gate.Validation("functionVersion", "null", "Member must not be null")
		}
		if _, taken := fn.Aliases[in.Name]; taken {
			return store.Alias{}, gate.Conflict("Alias already exists: %s", s.ARN(fn.Name, in.Name))
		}
		return store.Alias{Name: in.Name}, nil
	})
}

func (s *API) updateAlias(w http.ResponseWriter, r *http.Request) error {
	var in aliasInput
	return s.writeAlias(w, r, http.StatusOK, &in, func(fn *store.Function) (store.Alias, error) {
		a, ok := fn.Aliases[r.PathValue("alias")]
		if !ok {
			return a, s.noAlias(fn.Name, r.PathValue("alias"))
		}
		if in.RevisionID != "" && in.RevisionID != a.ETag {
			return a, gate.Precondition()
		}
		return a, nil
	})
}

func (s *API) noAlias(name function.Name, alias string) *gate.Error {
	return gate.NotFound("Cannot find alias arn: %s", s.ARN(name, gate.Clip(alias)))
}

// writeAlias changes or makes the alias that start returns.
func (s *API) writeAlias(w http.ResponseWriter, r *http.Request, status int, in *aliasInput, start func(*store.Function) (store.Alias, error)) error {
	var a store.Alias
	f, err := s.Change(w, r, in, func(fn *store.Function) error {
		var err error
		if a, err = start(fn); err != nil {
			return err
		}
		if err := in.apply(s, fn, &a); err != nil {
			return err
		}
		a.ETag = gate.NewUUID()
		if fn.Aliases == nil {
			fn.Aliases = map[string]store.Alias{}
		}
		fn.Aliases[a.Name] = a
		return nil
	})
	if err != nil {
		return err
	}
	gate.WriteJSON(w, status, s.alias(f.Name, a))
	return nil
}

func (s *API) getAlias(w http.ResponseWriter, r *http.Request) error {
	f, fn, err := s.Targeted(r)
	if err != nil {
		return err
	}
	a, ok := fn.Aliases[r.PathValue("alias")]
	if !ok {
		return s.noAlias(f.Name, r.PathValue("alias"))
	}
	gate.WriteJSON(w, http.StatusOK, s.alias(f.Name, a))
	return nil
}

func (s *API) listAliases(w http.ResponseWriter, r *http.Request) error {
	f, fn, err := s.Targeted(r)
	if err != nil {
		return err
	}
	views := []aliasView{}
	for _, a := range fn.Aliases {
		if v := r.URL.Query().Get("FunctionVersion"); v == "" || v == a.Version {
			views = append(views, s.alias(f.Name, a))
		}
	}
	views, next, err := pageOf(r, views, func(v aliasView) string { return v.Name })
	if err != nil {
		return err
	}
	gate.WriteJSON(w, http.StatusOK, struct {
		Aliases    []aliasView
		NextMarker string `json:",omitempty"`
	}{views, next})
	return nil
}

func (s *API) deleteAlias(w http.ResponseWriter, r *http.Request) error {
	alias := r.PathValue("alias")
	_, err := s.Change(w, r, nil, func(fn *store.Function) error {
		delete(fn.Aliases, alias) // one that is not there is no error, as on Lambda
		if !gate.IsNumber(alias) && !strings.HasPrefix(alias, "$") {
			delete(fn.URLs, alias)
			delete(fn.EventInvoke, alias)
			delete(fn.Access, alias)
		}
		return nil
	})
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
