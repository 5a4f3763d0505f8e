package lambda

import (
	"context"
	"sync"
	"time"

	"github.com/cloudjit/cloudjit/internal/api/gate"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/store"
)

// Archives that nothing names any more go as soon as no worker runs them. Only those that this process
// has seen named: for all others there is sweepCode, which takes its time.

// seen are the archives that revisions have named since the start.
type seen struct {
	mu   sync.Mutex
	code map[function.RevisionID]string // the archive of each revision
	look chan struct{}                  // has room for one: something may not be named any more
}

func (s *seen) note(revs ...*store.Revision) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range revs {
		s.code[r.Spec.ID] = r.Spec.CodeSHA256
	}
}

// unnamed says that archives may have lost their last name.
func (s *API) unnamed() {
	select {
	case s.seen.look <- struct{}{}:
	default:
	}
}

const (
	// dropEvery is how often it is looked whether the workers of unnamed archives have ended, dropFor for how long.
	dropEvery = 250 * time.Millisecond
	dropFor   = 16 * time.Minute // the longest that a worker's last invocation can take
)

// dropUnnamed removes archives that are not named any more, as it happens, until ctx ends.
func (s *API) dropUnnamed(ctx context.Context) {
	s.seen.note(s.Store.Revisions()...)
	tick := time.NewTicker(dropEvery)
	defer tick.Stop()
	var until time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.seen.look:
			until = time.Now().Add(dropFor)
		case <-tick.C:
			if until.IsZero() {
				continue
			}
		}
		if s.dropNow(ctx) == 0 || time.Now().After(until) {
			until = time.Time{}
		}
	}
}

// dropNow removes the unnamed archives that nothing runs, and says how many are left.
func (s *API) dropNow(ctx context.Context) (left int) {
	if s.Store.Doubtful() {
		return 0 // what it has lost may have named them
	}
	s.seen.mu.Lock()
	defer s.seen.mu.Unlock()
	gone := map[string][]function.RevisionID{}
	used := s.namedCode()
	for id, sha := range s.seen.code {
		if _, ok := s.Store.Revision(id); !ok {
			gone[sha] = append(gone[sha], id)
		}
	}
	if len(gone) == 0 {
		return 0
	}
	running := map[string]bool{}
	for _, w := range s.Platform.Workers(ctx) {
		if sha, ok := s.seen.code[w.Revision]; ok {
			running[sha] = true
		}
	}
	drop := map[string]bool{}
	for sha, ids := range gone {
		switch {
		case used[sha]: // by another revision
			for _, id := range ids {
				if !running[sha] {
					delete(s.seen.code, id)
				}
			}
		case running[sha], s.uploads.has(sha):
			left++
		default:
			drop[sha] = true
			for _, id := range ids {
				delete(s.seen.code, id)
			}
		}
	}
	if len(drop) == 0 {
		return left
	}
	if _, err := s.Opt.Code.Sweep(func(x string) bool { return !drop[x] || s.uploads.has(x) || s.namedCode()[x] }, 0); err != nil {
		s.Log.Warn("remove unused archives", "error", err)
	}
	return left
}

// codeRoom refuses an upload that there is no room for within the budget of code, after what is not named
// any more has gone.
func (s *API) codeRoom(ctx context.Context, bytes int64) error {
	limit := s.Opt.CodeBytes
	if limit == 0 || s.Opt.Code.Usage()+bytes <= limit {
		return nil
	}
	s.dropNow(ctx)
	if used := s.Opt.Code.Usage(); used+bytes > limit {
		return gate.Fault(400, "CodeStorageExceededException",
			"Code storage limit exceeded: %d of %d bytes are used, and this takes %d. Delete functions or versions, or raise disk.codeMB in the server's configuration.", used, limit, bytes)
	}
	return nil
}
