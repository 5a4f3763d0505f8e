package own

import (
	"bytes"
	"errors"
	"io"
	"net/http"

	"github.com/cloudjit/cloudjit/internal/api/gate"
	"github.com/cloudjit/cloudjit/internal/compare"
	"github.com/cloudjit/cloudjit/internal/store"
)

const jsonLines = "application/jsonl"

// samples answers with the samples that the user gave of a function, as they were given.
func (s *API) samples(w http.ResponseWriter, r *http.Request) error {
	_, fn, err := s.Targeted(r)
	if err != nil {
		return err
	}
	if fn.Samples == nil {
		return gate.NotFound("No samples were given for the function %s", fn.Name)
	}
	doc, err := s.Store.Samples(r.Context(), fn.Name)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", jsonLines)
	_, _ = w.Write(doc) // the client is gone: nobody to tell
	return nil
}

// putSamples takes samples in the place of those before. What serves already is compared with them, too.
func (s *API) putSamples(w http.ResponseWriter, r *http.Request) error {
	_, fn, err := s.Targeted(r)
	if err != nil {
		return err
	}
	rev, ok := s.Store.Revision(fn.Latest.Current())
	if !ok {
		return s.NoFunction(fn.Name, "")
	}
	defer gate.BodyDeadline(w, gate.BodyTime)()
	doc, err := io.ReadAll(http.MaxBytesReader(w, r.Body, compare.MaxOwnBytes+1))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return gate.Invalid("Samples: they have more than %d bytes together", compare.MaxOwnBytes)
	}
	if err != nil {
		return gate.Invalid("Samples: %v", err)
	}
	all, err := compare.ParseOwn(rev.Spec.Kind, bytes.NewReader(doc))
	if err != nil {
		return gate.Invalid("%v", err)
	}
	if len(all) == 0 {
		return gate.Invalid("Samples: there are none. Send one JSON value on each line")
	}
	return s.storeSamples(w, r, fn, doc, len(all))
}

func (s *API) deleteSamples(w http.ResponseWriter, r *http.Request) error {
	_, fn, err := s.Targeted(r)
	if err != nil {
		return err
	}
	return s.storeSamples(w, r, fn, nil, 0)
}

func (s *API) storeSamples(w http.ResponseWriter, r *http.Request, fn *store.Function, doc []byte, count int) error {
	fn, err := s.Store.PutSamples(r.Context(), fn.Name, doc, count)
	if err != nil {
		return err
	}
	s.Sync(fn.Name)
	if fn.Samples == nil {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	gate.WriteJSON(w, http.StatusOK, fn.Samples)
	return nil
}
