package nativeimage

import (
	"time"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// usage adds up what the tools of one build took.
type usage struct {
	cpu  time.Duration
	peak int64 // bytes
}

// add takes what a tool took that has ended; they run one after the other.
func (u *usage) add(f *worker.Finished) {
	u.cpu += f.CPU
	u.peak = max(u.peak, f.PeakRSS)
}

func (u *usage) cost(begin time.Time) aot.Cost {
	return aot.Cost{Wall: time.Since(begin), CPU: u.cpu, PeakRSS: u.peak}
}
