package process

import (
	"runtime"
	"time"

	"github.com/cloudjit/cloudjit/internal/machine"
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
		p := part{processors: float64(runtime.NumCPU())}
		quota := h.spec.Limits.CPUs
		at, used, busy := time.Now(), h.group.CPU(), busyTime()
		for now := (turn{idle: true, quota: quota}); ; {
			select {
			case <-h.removed:
				return
			case <-t.C:
			}
			lookedAt, cpu, all := time.Now(), h.group.CPU(), busyTime()
			mine := cpu - used
			next := p.next(lookedAt.Sub(at), mine, all-busy-mine)
			at, used, busy = lookedAt, cpu, all
			if next.quota == 0 || quota > 0 && quota < next.quota {
				next.quota = quota
			}
			if next.idle != now.idle && h.group.Idle(next.idle) == nil {
				now.idle = next.idle
			}
			if next.quota != now.quota && h.group.Quota(next.quota, quotaPeriod) == nil {
				now.quota = next.quota
			}
		}
	}()
}

// busyTime is the CPU time that everything on this machine has used; what cannot be read does not change.
func busyTime() time.Duration {
	idle, all, _ := machine.CPU()
	return all - idle
}

const (
	// partPeriod is how often a job's part of the processors is looked at.
	partPeriod = 250 * time.Millisecond
	// leastPart of all processors is what a job has, also where others would use them all: else an optimization would never be
	// made on a machine that always has something to do, and there it is needed most.
	leastPart = 0.1
	// mostDue bounds what a job that was kept from running can make up for.
	mostDue = 2 * time.Second

	// crowdedPart of all processors is what others use on a crowded machine, over crowdedFor. There a job that comes after all others still
	// has more than its part, at their cost: a processor that runs it does not look for what waits on other ones before the
	// kernel's next tick. 64 clients of one function wait 13 ms in one of a hundred cases while a build stands still, and 17 ms while
	// it runs and takes 17 % (docs/performance.md).
	crowdedPart = 0.7
	crowdedFor  = time.Second
	// heldPart of all processors is all that a job has on a crowded machine, in each quotaPeriod, but not for longer than heldMost in all: what a
	// crowd needs most may be the binary that is being built, and the time for a build is bounded. What takes no
	// more CPU time than heldAfter, as an AOT cache does, is not held back.
	heldPart    = 0.05
	heldMost    = 10 * time.Minute
	heldAfter   = 500 * time.Millisecond
	quotaPeriod = time.Second // the longest that the kernel knows
)

// turn is how a job shares the processors: idle runs only where nobody else does, and quota is how many processors it has at most, 0 for
// no bound.
type turn struct {
	idle  bool
	quota float64
}

// part keeps account of what a job should have had of the processors.
type part struct {
	processors float64
	due        time.Duration
	competes   bool
	used       time.Duration
	others     float64       // the part of the processors that others use
	held       time.Duration // for how long it was
}

// next is told how much CPU time a job, and how much all others, used within a period of time. It returns how the job shares the
// processors in the next one.
func (p *part) next(period, used, others time.Duration) turn {
	all := p.processors * float64(period)
	p.used += used
	p.others += (float64(others)/all - p.others) * min(float64(period)/float64(crowdedFor), 1)
	s := turn{}
	least := time.Duration(leastPart * all)
	if p.others >= crowdedPart && p.used > heldAfter && p.held < heldMost {
		p.held += period
		s.quota = heldPart * p.processors
		least = time.Duration(0.8 * heldPart * all) // with all of it, one that has its quota would never have had its part
	}
	p.due = min(max(p.due+least-used, 0), mostDue)
	switch {
	case p.due == 0:
		p.competes = false
	case p.due >= 2*least: // two periods without any
		p.competes = true
	}
	s.idle = !p.competes
	return s
}
