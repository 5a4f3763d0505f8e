package lambda

import (
	"errors"
	"maps"
	"net/http"
	"reflect"
	"time"

	"github.com/cloudjit/cloudjit/internal/api/gate"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/jar"
	"github.com/cloudjit/cloudjit/internal/store"
)

type updateCodeInput struct {
	codeSource
	Architectures   []string
	Publish, DryRun bool
	RevisionID      string `json:"RevisionId"`
	PublishTo       string
}

func (s *API) updateCode(w http.ResponseWriter, r *http.Request) error {
	f, err := gate.Target(r)
	if err != nil {
		return err
	}
	if _, err := s.Function(f); err != nil {
		return err
	}
	var in updateCodeInput
	up, err := s.readUpload(w, r, &in)
	if err != nil {
		return err
	}
	if up != nil {
		defer s.dropCode(up.SHA256) // unless the update came to name it
		defer up.release()
	}
	if err := errors.Join(in.refuse(), refusePublishTo(in.PublishTo)); err != nil {
		return err
	}
	if up == nil {
		return gate.Invalid("Please provide a source for function code.")
	}
	return s.update(w, r, f, change{
		etag: in.RevisionID, publish: in.Publish, dryRun: in.DryRun,
		apply: func(spec *function.Spec, attr *store.Attributes) (*jar.Info, error) {
			spec.CodeSHA256, spec.CodeSize = up.SHA256, up.Size
			c := configInput{Architectures: in.Architectures}
			return up.info, c.apply(spec, attr)
		},
	})
}

func (s *API) updateConfiguration(w http.ResponseWriter, r *http.Request) error {
	f, err := gate.Target(r)
	if err != nil {
		return err
	}
	var in struct {
		configInput
		RevisionID string `json:"RevisionId"`
	}
	if err := s.Decode(w, r, &in); err != nil {
		return err
	}
	if err := in.unsupported(); err != nil {
		return err
	}
	return s.update(w, r, f, change{
		etag: in.RevisionID,
		apply: func(spec *function.Spec, attr *store.Attributes) (*jar.Info, error) {
			before := *spec
			if err := in.apply(spec, attr); err != nil {
				return nil, err
			}
			if spec.Handler == before.Handler && spec.Runtime == before.Runtime {
				return nil, nil
			}
			path, err := s.Opt.Code.Path(spec.CodeSHA256)
			if err != nil {
				return nil, err
			}
			return jar.Inspect(path, jar.Limits{Archive: s.Opt.Limits.Code, Unzipped: s.Opt.Limits.Unzipped})
		},
	})
}

// change is an update of $LATEST.
type change struct {
	etag            string // the RevisionId that it must have; empty: any
	publish, dryRun bool
	// apply changes copies; the archive's contents are returned if what the code is has to be
	// decided anew.
	apply func(*function.Spec, *store.Attributes) (*jar.Info, error)
}

var errDryRun = errors.New("dry run")

// update makes a new revision of $LATEST, unless nothing that matters for running it changed.
func (s *API) update(w http.ResponseWriter, r *http.Request, f gate.Ref, c change) error {
	if f.Qualifier != "" && f.Qualifier != function.Latest {
		return gate.Invalid("A published version cannot be changed: %s", f.Qualifier)
	}
	// The new revisions are made from what is there now; that this has not changed is checked
	// when they are written.
	fn, err := s.Function(f)
	if err != nil {
		return err
	}
	old, ok := s.Store.Revision(fn.Latest.Revision)
	if !ok {
		return s.NoFunction(f.Name, f.Qualifier)
	}
	now := time.Now().UTC()
	rev := &store.Revision{Spec: old.Spec, Parent: fn.Latest.Current(), CreatedAt: now}
	rev.Spec.Environment = maps.Clone(old.Spec.Environment)
	attr := fn.Latest.Config
	info, err := c.apply(&rev.Spec, &attr)
	if err != nil {
		return err
	}
	if info != nil {
		if err := classify(&rev.Spec, &attr, info); err != nil {
			return err
		}
	}
	revs := []*store.Revision{}
	current := old
	if !reflect.DeepEqual(rev.Spec, old.Spec) {
		rev.Spec.ID = store.NewRevisionID()
		revs, current = append(revs, rev), rev
	}
	var made *store.Version
	next := func(fn *store.Function) error {
		made = nil
		switch {
		case c.etag != "" && c.etag != fn.Latest.ETag:
			return gate.Precondition()
		case fn.Latest.State.Value == gate.Pending.Value:
			return gate.Conflict("The operation cannot be performed at this time. The function is currently in the following state: Pending")
		case fn.Latest.LastUpdate == gate.InProgress:
			return gate.Conflict("The operation cannot be performed at this time. An update is in progress for resource: %s", s.ARN(fn.Name, ""))
		case fn.Latest.Revision != old.Spec.ID:
			return gate.Conflict("The function %s was changed by another request at the same time.", fn.Name)
		}
		v := &fn.Latest
		v.Config, v.ETag, v.LastModified = attr, gate.NewUUID(), now
		if current == rev {
			v.Serving, v.Revision, v.LastUpdate = v.Current(), rev.Spec.ID, gate.InProgress
			if v.State.Value != gate.Active.Value { // there is nothing that could serve meanwhile
				v.Serving, v.State = "", gate.Pending
				fn.Supersede(old.Spec.ID)
			}
		}
		if c.dryRun {
			made = v
			return errDryRun
		}
		return nil
	}
	if c.publish {
		latest := next
		published := publish(&store.Function{LastVersion: fn.LastVersion}, current, nil)
		if !c.dryRun {
			revs = append(revs, published)
		}
		next = func(fn *store.Function) error {
			if err := latest(fn); err != nil {
				return err
			}
			if publishWith(fn, published) == nil {
				return gate.Conflict("The function %s was published by another request at the same time.", fn.Name)
			}
			made = &fn.Published[len(fn.Published)-1]
			return nil
		}
	}
	if c.dryRun {
		revs = nil
	}
	changed, err := s.Store.UpdateFunction(r.Context(), f.Name, next, revs...)
	switch {
	case errors.Is(err, errDryRun):
		return s.answerDryRun(w, fn, made, current, old)
	case errors.Is(err, store.ErrNotFound):
		return s.NoFunction(f.Name, f.Qualifier)
	case err != nil:
		return err
	}
	s.seen.note(revs...)
	s.Sync(f.Name)
	s.unnamed()
	s.Prepare(changed)
	v := &changed.Latest
	if made != nil {
		v = &changed.Published[len(changed.Published)-1]
	}
	return s.answer(w, http.StatusOK, changed, v, shown(v))
}

// answerDryRun shows what an update would have made, which is stored nowhere.
func (s *API) answerDryRun(w http.ResponseWriter, fn *store.Function, v *store.Version, rev, old *store.Revision) error {
	shadow := *v
	shadow.Revision = old.Spec.ID
	shadow.LastUpdate = gate.Successful
	c, err := s.configuration(fn, &shadow, "")
	if err != nil {
		return err
	}
	c.CodeSize, c.CodeSha256 = rev.Spec.CodeSize, codeSHA(&rev.Spec)
	gate.WriteJSON(w, http.StatusOK, c)
	return nil
}
