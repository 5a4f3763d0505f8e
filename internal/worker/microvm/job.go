package microvm

import (
	"context"
	"fmt"

	"github.com/cloudjit/cloudjit/internal/worker"
)

var _ worker.Runner = (*Driver)(nil)

// Run implements worker.Runner.
func (d *Driver) Run(ctx context.Context, spec worker.Spec) (*worker.Finished, error) {
	h, err := d.start(ctx, spec, true)
	if d.ctx.Err() != nil && err != nil {
		return nil, worker.ErrClosed
	}
	if err != nil {
		return nil, err
	}
	h.machine.Aside()
	select {
	case <-h.removed:
	case <-ctx.Done():
		h.kill()
		<-h.removed
		return nil, fmt.Errorf("run job %s: %w", spec.ID, ctx.Err())
	}
	switch {
	case h.removal != nil:
		return nil, fmt.Errorf("run job %s: %w", spec.ID, h.removal)
	case h.exit.Stopped:
		return nil, worker.ErrClosed
	}
	// The guest's own clock runs also while its processors wait for the host's.
	finished := &worker.Finished{Exit: h.exit, Wall: h.wall, CPU: h.machine.CPU() - h.before, PeakRSS: h.ran.Peak}
	if h.kept != nil {
		return finished, fmt.Errorf("run job %s: %w", spec.ID, h.kept)
	}
	return finished, nil
}
