package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/cloudjit/cloudjit/internal/function"
)

// Function is all that is durable about one function but its revisions. It is one document, so
// that every change of a function is one write.
type Function struct {
	Name      function.Name `json:"name"`
	CreatedAt time.Time     `json:"createdAt"`
	// Latest is the version $LATEST; Published are the others, the oldest first.
	Latest    Version   `json:"latest"`
	Published []Version `json:"published,omitempty"`
	// LastVersion is the number of the version published last; numbers are never used again.
	LastVersion int               `json:"lastVersion"`
	Aliases     map[string]Alias  `json:"aliases,omitempty"`
	Tags        map[string]string `json:"tags,omitempty"`
	// Reserved is the reserved concurrency; nil: none.
	Reserved *int `json:"reserved,omitempty"`
	// URLs, EventInvoke and Access are keyed by qualifier: "$LATEST", a version or an alias.
	URLs        map[string]URL            `json:"urls,omitempty"`
	EventInvoke map[string]EventInvoke    `json:"eventInvoke,omitempty"`
	Access      map[string]ResourcePolicy `json:"access,omitempty"`
	// Policy overrides the platform's; nil: nothing overridden.
	Policy *Policy `json:"policy,omitempty"`
	// Samples are the user's own of what it is asked; nil: none.
	Samples *Samples `json:"samples,omitempty"`
	// Superseded are revisions that $LATEST had before, the newest first, kept to look at.
	Superseded []function.RevisionID `json:"superseded,omitempty"`
}

// maxSuperseded is how many former revisions of $LATEST are kept with their history.
const maxSuperseded = 10

// Version is one version of a function: $LATEST or a published one.
type Version struct {
	Version string `json:"version"`
	// Revision is what the configuration shows. Serving is what invocations get while an update
	// is in progress or after it failed; empty: Revision.
	Revision function.RevisionID `json:"revision"`
	Serving  function.RevisionID `json:"serving,omitempty"`
	// ETag is the RevisionId of the Lambda API: it changes with every change of the version.
	ETag         string     `json:"etag"`
	LastModified time.Time  `json:"lastModified"`
	State        Status     `json:"state"`      // Pending, Active, Inactive, Failed
	LastUpdate   Status     `json:"lastUpdate"` // Successful, InProgress, Failed
	Config       Attributes `json:"config"`
}

// Status is a state with the reason for it.
type Status struct {
	Value  string `json:"value"`
	Reason string `json:"reason,omitempty"`
	Code   string `json:"code,omitempty"`
}

// Attributes are the parts of a configuration that do not change how the code runs: changing
// them makes no new revision.
type Attributes struct {
	Description   string `json:"description,omitempty"`
	Role          string `json:"role,omitempty"`
	KMSKey        string `json:"kmsKey,omitempty"`
	Architecture  string `json:"architecture,omitempty"`
	TracingMode   string `json:"tracingMode,omitempty"`
	SnapStart     string `json:"snapStart,omitempty"` // ApplyOn
	DeadLetterARN string `json:"deadLetterArn,omitempty"`
	SysLogLevel   string `json:"sysLogLevel,omitempty"`
}

// Alias points to a version, or to two by weight.
type Alias struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Version     string `json:"version"`
	// Weights are the shares (0..1) of other versions; Version gets the rest.
	Weights map[string]float64 `json:"weights,omitempty"`
	ETag    string             `json:"etag"`
}

// URL is a function URL.
type URL struct {
	// ID is the first label of the host name, unique and never used again.
	ID           string    `json:"id"`
	AuthType     string    `json:"authType"`
	InvokeMode   string    `json:"invokeMode"`
	CORS         *CORS     `json:"cors,omitempty"`
	CreatedAt    time.Time `json:"createdAt"`
	LastModified time.Time `json:"lastModified"`
}

// CORS is a function URL's answer to browsers of other origins.
type CORS struct {
	AllowCredentials bool     `json:"allowCredentials,omitempty"`
	AllowHeaders     []string `json:"allowHeaders,omitempty"`
	AllowMethods     []string `json:"allowMethods,omitempty"`
	AllowOrigins     []string `json:"allowOrigins,omitempty"`
	ExposeHeaders    []string `json:"exposeHeaders,omitempty"`
	// MaxAge is in seconds; nil: not told to the browser.
	MaxAge *int `json:"maxAge,omitempty"`
}

// EventInvoke configures asynchronous invocations.
type EventInvoke struct {
	// MaxRetries is 0..2; nil: the default, 2.
	MaxRetries *int `json:"maxRetries,omitempty"`
	// MaxAgeSeconds is 60..21600; nil: the default, 6 hours.
	MaxAgeSeconds *int `json:"maxAgeSeconds,omitempty"`
	// OnSuccess and OnFailure are ARNs of destinations; empty: none.
	OnSuccess    string    `json:"onSuccess,omitempty"`
	OnFailure    string    `json:"onFailure,omitempty"`
	LastModified time.Time `json:"lastModified"`
}

// ResourcePolicy is the list of statements added to a function, as the documents they are.
type ResourcePolicy struct {
	ETag       string      `json:"etag"`
	Statements []Statement `json:"statements"`
}

// Statement is one permission.
type Statement struct {
	SID      string          `json:"sid"`
	Document json.RawMessage `json:"document"`
}

// Revision is a stored revision.
type Revision struct {
	Spec function.Spec `json:"spec"`
	// Parent is the revision that this one was made from by an update or by publishing a version;
	// where the code is the same, its metadata holds for this one too. Empty for the first.
	Parent    function.RevisionID `json:"parent,omitempty"`
	CreatedAt time.Time           `json:"createdAt"`
}

// URLTarget is what a function URL leads to.
type URLTarget struct {
	Function  function.Name
	Qualifier string
}

// NewRevisionID returns an identifier that was never used before.
func NewRevisionID() function.RevisionID { return function.RevisionID(ulid.Make().String()) }

// Version returns the version of that name ("$LATEST" or a number).
func (f *Function) Version(name string) (*Version, bool) {
	if name == function.Latest {
		return &f.Latest, true
	}
	i := slices.IndexFunc(f.Published, func(v Version) bool { return v.Version == name })
	if i < 0 {
		return nil, false
	}
	return &f.Published[i], true
}

// Current is the revision that invocations of the version get.
func (v *Version) Current() function.RevisionID {
	if v.Serving != "" {
		return v.Serving
	}
	return v.Revision
}

// Supersede puts a revision that $LATEST had on the list of former ones.
func (f *Function) Supersede(id function.RevisionID) {
	if id != "" && !slices.Contains(f.Superseded, id) {
		f.Superseded = slices.Insert(f.Superseded, 0, id)
	}
}

// revisions returns all revisions that the function refers to.
func (f *Function) revisions() []function.RevisionID {
	ids := slices.Clone(f.Superseded)
	for _, v := range append([]Version{f.Latest}, f.Published...) {
		ids = append(ids, v.Revision)
		if v.Serving != "" {
			ids = append(ids, v.Serving)
		}
	}
	return ids
}

// Function returns a function. The document is shared: do not change it.
func (s *Store) Function(name function.Name) (*Function, bool) { return s.functions.get(string(name)) }

// Functions returns all functions by name.
func (s *Store) Functions() []*Function {
	var out []*Function
	for _, name := range s.functions.keys() {
		if f, ok := s.functions.get(name); ok {
			out = append(out, f)
		}
	}
	return out
}

// CreateFunction writes a new function and its first revisions; ErrExists if the name is taken.
func (s *Store) CreateFunction(ctx context.Context, f *Function, revisions ...*Revision) error {
	if _, ok := s.Function(f.Name); ok {
		return fmt.Errorf("function %s: %w", f.Name, ErrExists)
	}
	if err := s.putRevisions(ctx, revisions); err != nil {
		return err
	}
	if err := s.functions.create(ctx, string(f.Name), f); err != nil {
		return errors.Join(err, s.removeRevisions(ctx, revisions))
	}
	return nil
}

// UpdateFunction changes a function: change gets a copy that is its own, may be called again
// when another writer was first, and refuses by an error, which is returned as it is. The new
// revisions are written before the function refers to them, and removed if it does not come to
// that. Revisions that the function does not refer to any more are removed with all that hangs on them.
func (s *Store) UpdateFunction(ctx context.Context, name function.Name, change func(*Function) error, revisions ...*Revision) (*Function, error) {
	if err := s.putRevisions(ctx, revisions); err != nil {
		return nil, err
	}
	var before []function.RevisionID
	f, err := s.functions.update(ctx, string(name), func(f *Function) error {
		before = f.revisions()
		if err := change(f); err != nil {
			return err
		}
		if len(f.Superseded) > maxSuperseded {
			f.Superseded = f.Superseded[:maxSuperseded]
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, s.removeRevisions(ctx, revisions))
	}
	after := f.revisions()
	for _, r := range revisions {
		before = append(before, r.Spec.ID) // change may have found that it does not need it
	}
	for _, id := range before {
		if !slices.Contains(after, id) {
			err = errors.Join(err, s.removeRevision(ctx, id))
		}
	}
	return f, err
}

// DeleteFunction removes a function with everything that hangs on it.
func (s *Store) DeleteFunction(ctx context.Context, name function.Name) error {
	f, ok := s.Function(name)
	if !ok {
		return fmt.Errorf("function %s: %w", name, ErrNotFound)
	}
	if err := s.functions.remove(ctx, string(name)); err != nil {
		return err
	}
	errs := ignoreNotFound(s.removeDoc(ctx, samplesKey(name)))
	for _, id := range f.revisions() {
		errs = errors.Join(errs, s.removeRevision(ctx, id))
	}
	return errs
}

// FindFunction is Function; of one that this node does not know it asks the other nodes, where it may have been made a
// moment ago.
func (s *Store) FindFunction(ctx context.Context, name function.Name) (*Function, bool) {
	f, ok := s.Function(name)
	if ok || !s.clustered() {
		return f, ok
	}
	ctx, cancel := context.WithTimeout(ctx, findTime)
	defer cancel()
	if s.functions.refresh(ctx, string(name)) != nil {
		return nil, false
	}
	if f, ok = s.Function(name); !ok {
		return nil, false
	}
	for _, id := range f.revisions() {
		if _, ok := s.Revision(id); !ok {
			if s.revisions.refresh(ctx, string(id)) != nil {
				return nil, false
			}
		}
	}
	return f, true
}

// findTime bounds the question for a function that is not known here.
const findTime = 2 * time.Second

// Revision returns a revision. The document is shared: do not change it.
func (s *Store) Revision(id function.RevisionID) (*Revision, bool) {
	return s.revisions.get(string(id))
}

// Revisions returns all revisions, the oldest first.
func (s *Store) Revisions() []*Revision {
	var out []*Revision
	for _, id := range s.revisions.keys() {
		if r, ok := s.revisions.get(id); ok {
			out = append(out, r)
		}
	}
	return out
}

// FunctionURL returns what a function URL leads to.
func (s *Store) FunctionURL(id string) (URLTarget, bool) {
	if t, ok := s.urls.Load(id); ok {
		return t.(URLTarget), true
	}
	return URLTarget{}, false
}

// indexURLs keeps the index from URL identifiers to functions.
func (s *Store) indexURLs(old, new *Function) {
	if old != nil {
		for _, u := range old.URLs {
			s.urls.Delete(u.ID)
		}
	}
	if new != nil {
		for qualifier, u := range new.URLs {
			s.urls.Store(u.ID, URLTarget{new.Name, qualifier})
		}
	}
}

func (s *Store) putRevisions(ctx context.Context, revisions []*Revision) error {
	for i, r := range revisions {
		if err := s.revisions.create(ctx, string(r.Spec.ID), r); err != nil {
			return errors.Join(err, s.removeRevisions(ctx, revisions[:i]))
		}
	}
	return nil
}

func (s *Store) removeRevisions(ctx context.Context, revisions []*Revision) error {
	var errs error
	for _, r := range revisions {
		errs = errors.Join(errs, s.removeRevision(ctx, r.Spec.ID))
	}
	return errs
}

// removeRevision removes a revision, its pipeline, metadata and builds. What is gone already is no error.
func (s *Store) removeRevision(ctx context.Context, id function.RevisionID) error {
	errs := []error{
		ignoreNotFound(s.removeBuilds(ctx, id)),
		ignoreNotFound(s.removeMetadata(ctx, id)),
		ignoreNotFound(s.pipelines.remove(ctx, string(id))),
		ignoreNotFound(s.revisions.remove(ctx, string(id))),
	}
	return errors.Join(errs...)
}

func ignoreNotFound(err error) error {
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
