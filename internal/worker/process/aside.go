package process

import (
	"runtime"
	"time"
)

// Aside lets a machine that runs a job have only the processors that nothing else wants, but for a least part of them.
func (m *Machine) Aside() { m.aside() }

// aside does so for a job, until it has ended. Where the kernel cannot, the job keeps the weight of its group.
func (h *handle) aside() {
	if h.group == nil || !h.driver.idles || h.group.Idle(true) != nil {
		return
	}
	go func() {
		t := time.NewTicker(partPeriod)
		defer t.Stop()
		p := part{processors: runtime.NumCPU()}
		at, used := time.Now(), h.group.CPU()
		for idle := true; ; {
			select {
			case <-h.removed:
				return
			case <-t.C:
			}
			now, all := time.Now(), h.group.CPU()
			next := p.next(now.Sub(at), all-used)
			at, used = now, all
			if next != idle && h.group.Idle(next) == nil {
				idle = next
			}
		}
	}()
}

const (
	// partPeriod is how often a job's part of the processors is looked at.
	partPeriod = 250 * time.Millisecond
	// leastPart of all processors is what a job has, also where others would use them all: else an optimization would never be
	// made on a machine that always has something to do, and there it is needed most.
	leastPart = 0.1
	// mostDue bounds what a job that was kept from running can make up for.
	mostDue = 2 * time.Second
)

// part keeps account of what a job should have had of the processors.
type part struct {
	processors int
	due        time.Duration
	competes   bool
}

// next is told how much CPU time a job used within a period of time. It reports whether the job is idle in the next one, which is to say
// that it runs only where nobody else does.
func (p *part) next(period, used time.Duration) (idle bool) {
	least := time.Duration(leastPart * float64(p.processors) * float64(period))
	p.due = min(max(p.due+least-used, 0), mostDue)
	switch {
	case p.due == 0:
		p.competes = false
	case p.due >= 2*least: // two periods without any
		p.competes = true
	}
	return !p.competes
}
