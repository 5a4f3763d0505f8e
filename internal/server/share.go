package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync/atomic"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/aot/keep"
	"github.com/cloudjit/cloudjit/internal/fleet"
	"github.com/cloudjit/cloudjit/internal/node"
	"github.com/cloudjit/cloudjit/internal/telemetry"
)

// share gives artifacts to other nodes, and takes them from there.
type share struct {
	kept  map[string]*keep.Store // by builder
	admit func(bytes int64) error
	fleet atomic.Pointer[fleet.Fleet] // nil until the other nodes can be asked

	fetched, failed atomic.Int64
}

func newShare(builders []aot.Builder, admit func(bytes int64) error) *share {
	s := &share{kept: map[string]*keep.Store{}, admit: admit}
	for _, b := range builders {
		if m, ok := b.(keep.Movable); ok {
			s.kept[b.Name()] = m.Kept()
		}
	}
	return s
}

// open is peer.ServerOptions.Open: kind is a builder, name the key of an artifact, for the list of its files, or KEY/SHA256 for
// one of them.
func (s *share) open(kind, name string) (io.ReadCloser, int64, error) {
	store := s.kept[kind]
	key, sum, _ := strings.Cut(name, "/")
	if store == nil {
		return nil, 0, fmt.Errorf("this node makes no %s", kind)
	}
	f, size, err := store.Open(aot.Key(key), sum)
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.New("this node does not have the artifact")
	}
	return f, size, err
}

// fetch is node.Options.Fetch: one node after the other is asked.
func (s *share) fetch(ctx context.Context, w node.Wanted) (err error) {
	defer func() {
		if err == nil {
			s.fetched.Add(1)
		} else {
			s.failed.Add(1)
		}
	}()
	store, others := s.kept[w.Builder], s.fleet.Load()
	if store == nil || others == nil {
		return errors.New("no other node can be asked yet")
	}
	nodes := others.Sources(w.Owner)
	if len(nodes) == 0 {
		return errors.New("no other node lives")
	}
	var errs []error
	for _, from := range nodes {
		err := store.Take(ctx, w.Key, w.Digest, keep.Source{Admit: s.admit, Get: func(ctx context.Context, sum string) (io.ReadCloser, error) {
			name := string(w.Key)
			if sum != "" {
				name += "/" + sum
			}
			return others.File(ctx, from, w.Builder, name)
		}})
		if err == nil || ctx.Err() != nil {
			return err
		}
		errs = append(errs, fmt.Errorf("from node %s: %w", from.Name, err))
	}
	return errors.Join(errs...)
}

// gauges are what was fetched.
func (s *share) gauges() telemetry.Gauge {
	return telemetry.Gauge{Name: "cloudjit_fetched_artifacts", Help: "Artifacts that were fetched from other nodes since the start, by what became of that: ok, failed.", Labels: []string{"result"},
		Read: func(put func(float64, ...string)) {
			put(float64(s.fetched.Load()), "ok")
			put(float64(s.failed.Load()), "failed")
		}}
}
