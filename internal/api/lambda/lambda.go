// Package lambda is the API's first face: AWS Lambda's control plane and its ways to invoke.
//
// It translates requests into documents of the store and calls of the platform, and outcomes into the
// statuses, headers and bodies that AWS's clients expect. It must not know how functions run, when
// they are optimized, or how anything is stored.
package lambda

import (
	"context"

	"github.com/cloudjit/cloudjit/internal/api/calls"
	"github.com/cloudjit/cloudjit/internal/function"
)

// API answers Lambda's clients.
type API struct {
	*calls.Runner
	uploads uploads
	seen    seen
}

// New makes the face; Routes and InvokeRoutes mount it.
func New(r *calls.Runner) *API {
	s := &API{Runner: r}
	s.seen.code, s.seen.look = map[function.RevisionID]string{}, make(chan struct{}, 1)
	return s
}

// Tidy removes archives that nothing needs any more until ctx ends, in two goroutines that the runner's
// Updates counts.
func (s *API) Tidy(ctx context.Context) {
	s.Updates.Go(func() { s.sweepCode(ctx) })
	s.Updates.Go(func() { s.dropUnnamed(ctx) })
}
