package process

import (
	"context"
	"fmt"
	"time"

	"github.com/cloudjit/cloudjit/internal/worker"
)

var _ worker.Runner = (*Driver)(nil)

// samplePeriod is how often a job's memory is looked at. The kernel keeps the peak of each process, so
// only what the last one adds within a period is missed.
const samplePeriod = 50 * time.Millisecond

// Run implements worker.Runner.
func (d *Driver) Run(ctx context.Context, spec worker.Spec) (*worker.Finished, error) {
	if !d.enter() {
		return nil, worker.ErrClosed
	}
	defer d.starts.Done()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("run job %s: %w", spec.ID, err)
	}
	h, err := d.launch(ctx, spec, true, time.Now())
	if err != nil {
		return nil, err
	}
	h.aside()
	d.yielding.add(h)
	t := time.NewTicker(samplePeriod)
	defer t.Stop()
	var rss int64
	for gone := false; !gone; {
		select {
		case <-h.removed:
			gone = true
		case <-t.C:
			rss = max(rss, h.Peak())
		case <-ctx.Done():
			h.stop()
			<-h.removed
			return nil, fmt.Errorf("run job %s: %w", spec.ID, ctx.Err())
		}
	}
	switch {
	case h.removal != nil:
		return nil, fmt.Errorf("run job %s: %w", spec.ID, h.removal)
	case h.exit.Stopped:
		return nil, worker.ErrClosed
	}
	if rss == 0 { // it ended before the first look; this counts what the server has in memory, too
		rss = h.rss
	}
	finished := &worker.Finished{Exit: h.exit, Wall: h.wall, CPU: h.cpu, PeakRSS: rss}
	if h.kept != nil {
		return finished, fmt.Errorf("run job %s: %w", spec.ID, h.kept)
	}
	return finished, nil
}
