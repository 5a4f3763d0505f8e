package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/function"
)

// Pipeline is the durable state of one revision's pipeline, with its history.
type Pipeline struct {
	Revision  function.RevisionID `json:"revision"`
	UpdatedAt time.Time           `json:"updatedAt"`
	// State is the pipeline's own document; the store does not look into it.
	State json.RawMessage `json:"state,omitempty"`
	// Owner is the node, of several, that writes it; empty: nobody did on several.
	Owner string `json:"owner,omitempty"`
	// History is the last transitions, the oldest first.
	History []Transition `json:"history,omitempty"`
}

// Transition is one step of a pipeline.
type Transition struct {
	At time.Time `json:"at"`
	// Rung whose artifact moved, or Recording that did; a step of an earlier version has neither.
	Rung      function.Rung `json:"rung,omitempty"`
	Recording string        `json:"recording,omitempty"`
	// From, To and Event are the pipeline's names for its states and events.
	From   string `json:"from,omitempty"`
	To     string `json:"to"`
	Event  string `json:"event,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// maxHistory is how many transitions of a pipeline are kept.
const maxHistory = 200

// PutPipeline writes a pipeline's state and appends to its history, in one write.
func (s *Store) PutPipeline(ctx context.Context, id function.RevisionID, state json.RawMessage, steps ...Transition) error {
	return s.PutPipelineOf(ctx, "", id, state, steps...)
}

// ErrNotOwner is returned to a node that writes a pipeline that is another's.
var ErrNotOwner = errors.New("another node owns the pipeline")

// ClaimPipeline makes a node the owner of a pipeline: what another one writes from then on is refused. ErrNotFound if it has
// not been written yet.
func (s *Store) ClaimPipeline(ctx context.Context, owner string, id function.RevisionID) error {
	if p, ok := s.Pipeline(id); ok && p.Owner == owner {
		return nil
	}
	_, err := s.pipelines.update(ctx, string(id), func(p *Pipeline) error { p.Owner = owner; return nil })
	return err
}

// PutPipelineOf is PutPipeline of one of several nodes, owner; ErrNotOwner if the pipeline is another's.
func (s *Store) PutPipelineOf(ctx context.Context, owner string, id function.RevisionID, state json.RawMessage, steps ...Transition) error {
	change := func(p *Pipeline) error {
		if p.Owner != owner && p.Owner != "" {
			return fmt.Errorf("write pipeline %s: %w: %s", id, ErrNotOwner, p.Owner)
		}
		p.Owner = owner
		p.Revision, p.State, p.UpdatedAt = id, state, time.Now().UTC()
		p.History = append(p.History, steps...)
		if n := len(p.History) - maxHistory; n > 0 {
			p.History = p.History[n:]
		}
		return nil
	}
	_, err := s.pipelines.update(ctx, string(id), change)
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	p := &Pipeline{}
	_ = change(p) // cannot fail
	return s.pipelines.create(ctx, string(id), p)
}

// Pipeline returns a revision's pipeline. The document is shared: do not change it.
func (s *Store) Pipeline(id function.RevisionID) (*Pipeline, bool) {
	return s.pipelines.get(string(id))
}

// MetadataVersion is one version of a revision's reachability metadata.
type MetadataVersion struct {
	// Number counts from 1.
	Number int       `json:"number"`
	At     time.Time `json:"at"`
	// SHA256 of the document, hex; Size in bytes.
	SHA256 string `json:"sha256"`
	Size   int    `json:"size"`
	Reason string `json:"reason,omitempty"`
}

type metadataIndex struct {
	Versions []MetadataVersion `json:"versions"`
}

const (
	// maxMetadata is how many versions of a revision's metadata are kept.
	maxMetadata = 50
	// maxMetadataBytes is how much all versions may have together, but for the newest few: a large function that
	// records something else each second must not fill the disk.
	maxMetadataBytes = 32 << 20
	minMetadata      = 4
)

// PutMetadata stores a new version of a revision's metadata and returns its number. A document
// that is equal to the newest one makes no new version.
func (s *Store) PutMetadata(ctx context.Context, id function.RevisionID, doc []byte, reason string) (int, error) {
	if len(doc) > MaxValue {
		return 0, fmt.Errorf("write metadata of revision %s: %d bytes: %w", id, len(doc), ErrTooLarge)
	}
	sum := sha256.Sum256(doc)
	v := MetadataVersion{Number: 1, At: time.Now().UTC(), SHA256: hex.EncodeToString(sum[:]), Size: len(doc), Reason: reason}
	if versions := s.MetadataVersions(id); len(versions) > 0 {
		last := versions[len(versions)-1]
		if last.SHA256 == v.SHA256 {
			return last.Number, nil
		}
		v.Number = last.Number + 1
	}
	if _, err := s.docs.put(ctx, metadataKey(id, v.Number), doc, false); err != nil {
		return 0, fmt.Errorf("write metadata of revision %s: %w", id, err)
	}
	var dropped []MetadataVersion
	change := func(m *metadataIndex) error {
		m.Versions, dropped = append(m.Versions, v), nil
		n := max(len(m.Versions)-maxMetadata, 0)
		size := 0
		for i := len(m.Versions) - 1; i >= n; i-- {
			if size += m.Versions[i].Size; size > maxMetadataBytes && len(m.Versions)-i > minMetadata {
				n = i + 1
			}
		}
		dropped, m.Versions = m.Versions[:n], m.Versions[n:]
		return nil
	}
	_, err := s.metadata.update(ctx, string(id), change)
	if errors.Is(err, ErrNotFound) {
		err = s.metadata.create(ctx, string(id), &metadataIndex{Versions: []MetadataVersion{v}})
	}
	for _, d := range dropped {
		err = errors.Join(err, s.removeDoc(ctx, metadataKey(id, d.Number)))
	}
	return v.Number, err
}

// MetadataVersions lists the versions of a revision's metadata, the oldest first.
func (s *Store) MetadataVersions(id function.RevisionID) []MetadataVersion {
	if m, ok := s.metadata.get(string(id)); ok {
		return m.Versions
	}
	return nil
}

// Metadata returns one version of a revision's metadata; number 0 is the newest.
func (s *Store) Metadata(ctx context.Context, id function.RevisionID, number int) ([]byte, MetadataVersion, error) {
	versions := s.MetadataVersions(id)
	for i := len(versions) - 1; i >= 0; i-- {
		if v := versions[i]; number == 0 || v.Number == number {
			doc, err := s.doc(ctx, metadataKey(id, v.Number))
			return doc, v, err
		}
	}
	return nil, MetadataVersion{}, fmt.Errorf("metadata version %d of revision %s: %w", number, id, ErrNotFound)
}

// Build is the record of one build.
type Build struct {
	ID       string              `json:"id"` // a ULID
	Revision function.RevisionID `json:"revision"`
	Function function.Name       `json:"function"`
	Builder  string              `json:"builder,omitempty"`
	// Rung is the one that the artifact is of.
	Rung function.Rung `json:"rung"`
	// State is queued, running, succeeded, failed or cancelled.
	State string `json:"state"`
	// Phase is what the builder said last that it does.
	Phase string `json:"phase,omitempty"`
	// Trigger is why it was started, for people.
	Trigger string `json:"trigger,omitempty"`
	// RecordingVersion is the version of the recording that it is made from.
	RecordingVersion int        `json:"recordingVersion,omitempty"`
	QueuedAt         time.Time  `json:"queuedAt"`
	StartedAt        *time.Time `json:"startedAt,omitempty"`
	EndedAt          *time.Time `json:"endedAt,omitempty"`
	Key              aot.Key    `json:"key,omitempty"`
	Cached           bool       `json:"cached,omitempty"`
	Cost             aot.Cost   `json:"cost"`
	// Class, Reason and Hint say why it failed.
	Class  aot.Class `json:"class,omitempty"`
	Reason string    `json:"reason,omitempty"`
	Hint   string    `json:"hint,omitempty"`
}

// maxBuilds is how many build records of a revision are kept.
const maxBuilds = 50

// PutBuild writes a build's record, new or changed.
func (s *Store) PutBuild(ctx context.Context, b *Build) error {
	if err := s.builds.put(ctx, buildKey(b.Revision, b.ID), b); err != nil {
		return err
	}
	all := s.buildKeys(b.Revision)
	var errs error
	for len(all) > maxBuilds {
		errs = errors.Join(errs, s.removeBuild(ctx, all[0]))
		all = all[1:]
	}
	return errs
}

// PutBuildLog stores a build's log. Of a log over 1 MiB the middle is left out.
func (s *Store) PutBuildLog(ctx context.Context, rev function.RevisionID, build string, log []byte) error {
	const half = 512 << 10
	if cut := len(log) - 2*half; cut > 0 {
		short := append([]byte{}, log[:half]...)
		short = fmt.Appendf(short, "\n... %d bytes left out ...\n", cut)
		log = append(short, log[len(log)-half:]...)
	}
	if _, err := s.docs.put(ctx, logKey(rev, build), log, false); err != nil {
		return fmt.Errorf("write log of build %s: %w", build, err)
	}
	return nil
}

// Builds lists the builds of a revision, the oldest first.
func (s *Store) Builds(id function.RevisionID) []*Build {
	var out []*Build
	for _, key := range s.buildKeys(id) {
		if b, ok := s.builds.get(key); ok {
			out = append(out, b)
		}
	}
	return out
}

// Build returns a build's record. The document is shared: do not change it.
func (s *Store) Build(rev function.RevisionID, build string) (*Build, bool) {
	return s.builds.get(buildKey(rev, build))
}

// BuildLog returns a build's log, empty while it has none.
func (s *Store) BuildLog(ctx context.Context, rev function.RevisionID, build string) ([]byte, error) {
	log, err := s.doc(ctx, logKey(rev, build))
	return log, ignoreNotFound(err)
}

// Setting is a platform-wide document, such as the platform's policy.
type Setting struct {
	UpdatedAt time.Time       `json:"updatedAt"`
	Document  json.RawMessage `json:"document"`
}

// PutSetting writes a platform-wide document under a name of [a-z-].
func (s *Store) PutSetting(ctx context.Context, name string, document json.RawMessage) error {
	return s.settings.put(ctx, name, &Setting{UpdatedAt: time.Now().UTC(), Document: document})
}

// Setting returns a platform-wide document.
func (s *Store) Setting(name string) (*Setting, bool) { return s.settings.get(name) }

func metadataKey(id function.RevisionID, number int) string {
	return "metadata." + string(id) + "." + strconv.Itoa(number)
}
func buildKey(rev function.RevisionID, build string) string { return string(rev) + "." + build }
func logKey(rev function.RevisionID, build string) string {
	return "log." + string(rev) + "." + build
}

// buildKeys returns the keys of a revision's builds, the oldest first.
func (s *Store) buildKeys(id function.RevisionID) []string {
	var keys []string
	for _, key := range s.builds.keys() {
		if strings.HasPrefix(key, string(id)+".") {
			keys = append(keys, key)
		}
	}
	return keys
}

func (s *Store) removeBuild(ctx context.Context, key string) error {
	return errors.Join(s.removeDoc(ctx, "log."+key), ignoreNotFound(s.builds.remove(ctx, key)))
}

func (s *Store) removeBuilds(ctx context.Context, id function.RevisionID) error {
	var errs error
	for _, key := range s.buildKeys(id) {
		errs = errors.Join(errs, s.removeBuild(ctx, key))
	}
	return errs
}

func (s *Store) removeMetadata(ctx context.Context, id function.RevisionID) error {
	var errs error
	for _, v := range s.MetadataVersions(id) {
		errs = errors.Join(errs, s.removeDoc(ctx, metadataKey(id, v.Number)))
	}
	return errors.Join(errs, ignoreNotFound(s.metadata.remove(ctx, string(id))))
}

// doc reads a large document from disk.
func (s *Store) doc(ctx context.Context, key string) ([]byte, error) {
	e, err := s.docs.get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, fmt.Errorf("%s: %w", key, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	if l, ok := s.inventory.get(docsKey + "/" + key); ok && l.seq == e.Revision() && sha256.Sum256(e.Value()) != l.sum {
		s.lose("store", what(docsKey, key, nil))
		return nil, fmt.Errorf("read %s: %w", key, ErrDamaged)
	}
	return e.Value(), nil
}

// forgetDocs takes lost versions of metadata out of their indexes, so that an older one is used. Where none is
// left, the pipeline starts again.
func (s *Store) forgetDocs(ctx context.Context) error {
	var errs error
	for _, key := range s.gone {
		rest, ok := strings.CutPrefix(key, "metadata.")
		id, number, _ := strings.Cut(rest, ".")
		if !ok {
			continue // a log
		}
		left, err := s.metadata.update(ctx, id, func(m *metadataIndex) error {
			m.Versions = slices.DeleteFunc(m.Versions, func(v MetadataVersion) bool { return strconv.Itoa(v.Number) == number })
			return nil
		})
		if err == nil && len(left.Versions) == 0 {
			err = errors.Join(s.metadata.remove(ctx, id), ignoreNotFound(s.pipelines.remove(ctx, id)))
		}
		errs = errors.Join(errs, ignoreNotFound(err))
	}
	s.gone = nil
	return errs
}

func (s *Store) removeDoc(ctx context.Context, key string) error {
	if err := s.docs.purge(ctx, key, 0); err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return nil
}
