package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/cloudjit/cloudjit/internal/compare"
	"github.com/cloudjit/cloudjit/internal/function"
)

// Samples are those that a user gave of what a function is asked, for checks of artifacts.
type Samples struct {
	Count int `json:"count"`
	// Bytes and SHA256 (hex) are the document's.
	Bytes  int       `json:"bytes"`
	SHA256 string    `json:"sha256"`
	At     time.Time `json:"at"`
}

// PutSamples stores the samples of a function, JSON Lines that were parsed; none: they are removed.
func (s *Store) PutSamples(ctx context.Context, name function.Name, doc []byte, count int) (*Function, error) {
	if _, ok := s.Function(name); !ok {
		return nil, fmt.Errorf("function %s: %w", name, ErrNotFound)
	}
	var info *Samples
	if count > 0 {
		sum := sha256.Sum256(doc)
		info = &Samples{Count: count, Bytes: len(doc), SHA256: hex.EncodeToString(sum[:]), At: time.Now().UTC()}
		if _, err := s.docs.put(ctx, samplesKey(name), doc, false); err != nil {
			return nil, fmt.Errorf("write samples of function %s: %w", name, err)
		}
	}
	f, err := s.UpdateFunction(ctx, name, func(f *Function) error { f.Samples = info; return nil })
	if err != nil || info != nil {
		return f, err
	}
	return f, ignoreNotFound(s.removeDoc(ctx, samplesKey(name)))
}

// Samples returns what PutSamples stored last; nil if there is nothing.
func (s *Store) Samples(ctx context.Context, name function.Name) ([]byte, error) {
	doc, err := s.doc(ctx, samplesKey(name))
	return doc, ignoreNotFound(err)
}

func samplesKey(name function.Name) string { return "samples." + string(name) }

// Results of a check.
const (
	CheckSame    = "same"    // all that was compared was alike
	CheckDiffers = "differs" // something was not
	CheckNothing = "nothing" // nothing could be compared
	CheckFailed  = "failed"  // it came to no end; Reason says why
)

// Check is the record of one check of a rung's artifact: what it answered against what the first rung did.
type Check struct {
	At     time.Time     `json:"at"`
	Rung   function.Rung `json:"rung"`
	Result string        `json:"result"`
	// Reason is a sentence for people.
	Reason string `json:"reason"`
	// Samples were there, of which the user gave Own.
	Samples int `json:"samples"`
	Own     int `json:"own,omitempty"`
	// Fresh: snapshots are of a worker that has answered nothing, since one that had answered something remembered it.
	Fresh bool `json:"fresh,omitempty"`
	compare.Verdict
	// Wall, CPU (user and system, of all sandboxes) and PeakRSS (bytes, of the largest) are what it took.
	Wall    time.Duration `json:"wall"`
	CPU     time.Duration `json:"cpu"`
	PeakRSS int64         `json:"peakRss,omitempty"`
}
