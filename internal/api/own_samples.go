package api

import (
	"bytes"
	"errors"
	"io"
	"net/http"

	"github.com/cloudjit/cloudjit/internal/compare"
	"github.com/cloudjit/cloudjit/internal/store"
)

const jsonLines = "application/jsonl"

// samples answers with the samples that the user gave of a function, as they were given.
func (s *Server) samples(w http.ResponseWriter, r *http.Request) error {
	_, fn, err := s.targeted(r)
	if err != nil {
		return err
	}
	if fn.Samples == nil {
		return notFound("Function %s has no samples of its user's own", fn.Name)
	}
	doc, err := s.store.Samples(r.Context(), fn.Name)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", jsonLines)
	_, _ = w.Write(doc) // the client is gone: nobody to tell
	return nil
}

// putSamples takes samples in the place of those before. What serves already is compared with them, too.
func (s *Server) putSamples(w http.ResponseWriter, r *http.Request) error {
	_, fn, err := s.targeted(r)
	if err != nil {
		return err
	}
	rev, ok := s.store.Revision(fn.Latest.Current())
	if !ok {
		return s.noFunction(fn.Name, "")
	}
	defer bodyDeadline(w, bodyTime)()
	doc, err := io.ReadAll(http.MaxBytesReader(w, r.Body, compare.MaxOwnBytes+1))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return invalid("Samples: more than %d bytes together", compare.MaxOwnBytes)
	}
	if err != nil {
		return invalid("Samples: %v", err)
	}
	all, err := compare.ParseOwn(rev.Spec.Kind, bytes.NewReader(doc))
	if err != nil {
		return invalid("%v", err)
	}
	if len(all) == 0 {
		return invalid("Samples: there are none: want one JSON value in each line")
	}
	return s.storeSamples(w, r, fn, doc, len(all))
}

func (s *Server) deleteSamples(w http.ResponseWriter, r *http.Request) error {
	_, fn, err := s.targeted(r)
	if err != nil {
		return err
	}
	return s.storeSamples(w, r, fn, nil, 0)
}

func (s *Server) storeSamples(w http.ResponseWriter, r *http.Request, fn *store.Function, doc []byte, count int) error {
	fn, err := s.store.PutSamples(r.Context(), fn.Name, doc, count)
	if err != nil {
		return err
	}
	s.sync(fn.Name)
	if fn.Samples == nil {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	writeJSON(w, http.StatusOK, fn.Samples)
	return nil
}
