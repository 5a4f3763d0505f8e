package own

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/cloudjit/cloudjit/internal/api/gate"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/metadata"
	"github.com/cloudjit/cloudjit/internal/store"
)

func (s *API) metadataVersions(w http.ResponseWriter, r *http.Request) error {
	_, rev, err := s.revision(r)
	if err != nil {
		return err
	}
	versions := append([]store.MetadataVersion{}, s.Store.MetadataVersions(rev.Spec.ID)...)
	gate.WriteJSON(w, http.StatusOK, map[string]any{"versions": versions})
	return nil
}

// metadataNumber reads a version's number; "latest" is 0.
func metadataNumber(text string) (int, error) {
	if text == "latest" || text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, gate.Invalid("Metadata version %q: it must be a number or \"latest\"", gate.Clip(text))
	}
	return n, nil
}

func (s *API) metadataDocument(w http.ResponseWriter, r *http.Request) error {
	_, rev, err := s.revision(r)
	if err != nil {
		return err
	}
	n, err := metadataNumber(r.PathValue("number"))
	if err != nil {
		return err
	}
	doc, _, err := s.Store.Metadata(r.Context(), rev.Spec.ID, n)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(doc) // the client is gone: nobody to tell
	return nil
}

// metadataDiff says what one version has that another has not. Without "from" it is compared
// with the version before; the first one with nothing.
func (s *API) metadataDiff(w http.ResponseWriter, r *http.Request) error {
	_, rev, err := s.revision(r)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	to, err := metadataNumber(q.Get("to"))
	if err != nil {
		return err
	}
	after, toVersion, err := s.parsedMetadata(r, rev.Spec.ID, to)
	if err != nil {
		return err
	}
	from := toVersion.Number - 1
	if v := q.Get("from"); v != "" {
		if from, err = metadataNumber(v); err != nil {
			return err
		}
	}
	var before *metadata.Set
	if from > 0 || q.Get("from") != "" {
		if before, _, err = s.parsedMetadata(r, rev.Spec.ID, from); err != nil {
			return err
		}
	}
	d := metadata.Diff(before, after)
	gate.WriteJSON(w, http.StatusOK, struct {
		From    int                `json:"from"`
		To      int                `json:"to"`
		Added   []metadata.Element `json:"added"`
		Removed []metadata.Element `json:"removed"`
	}{from, toVersion.Number, append([]metadata.Element{}, d.Added...), append([]metadata.Element{}, d.Removed...)})
	return nil
}

func (s *API) parsedMetadata(r *http.Request, id function.RevisionID, n int) (*metadata.Set, store.MetadataVersion, error) {
	doc, v, err := s.Store.Metadata(r.Context(), id, n)
	if err != nil {
		return nil, v, err
	}
	set, err := metadata.Parse(doc)
	if err != nil {
		return nil, v, fmt.Errorf("read metadata version %d: %w", v.Number, err)
	}
	return set, v, nil
}

func (s *API) ownBuilds(w http.ResponseWriter, r *http.Request) error {
	_, rev, err := s.revision(r)
	if err != nil {
		return err
	}
	gate.WriteJSON(w, http.StatusOK, map[string]any{"builds": append([]*store.Build{}, s.Store.Builds(rev.Spec.ID)...)})
	return nil
}

func (s *API) build(r *http.Request) (*store.Build, error) {
	_, rev, err := s.revision(r)
	if err != nil {
		return nil, err
	}
	b, ok := s.Store.Build(rev.Spec.ID, r.PathValue("build"))
	if !ok {
		return nil, gate.NotFound("Revision %s has no build %s", rev.Spec.ID, gate.Clip(r.PathValue("build")))
	}
	return b, nil
}

func (s *API) ownBuild(w http.ResponseWriter, r *http.Request) error {
	b, err := s.build(r)
	if err != nil {
		return err
	}
	gate.WriteJSON(w, http.StatusOK, b)
	return nil
}

func (s *API) buildLog(w http.ResponseWriter, r *http.Request) error {
	b, err := s.build(r)
	if err != nil {
		return err
	}
	log, running := s.Platform.BuildLog(b.ID)
	if !running {
		if log, err = s.Store.BuildLog(r.Context(), b.Revision, b.ID); err != nil {
			return err
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write(log) // the client is gone: nobody to tell
	return nil
}
