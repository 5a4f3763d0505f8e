package node

import (
	"sync"
	"time"

	"github.com/cloudjit/cloudjit/internal/machine"
)

const (
	// coresPeriod is how long the machine's cores are watched before it is said whether they are full.
	coresPeriod = 500 * time.Millisecond
	// fullPart is the part of the cores' time that is not free on a full machine.
	fullPart = 0.93
)

// cores watches how much of the machine's CPU time is free.
type cores struct {
	mu        sync.Mutex
	at        time.Time
	idle, all time.Duration // of all cores since the machine's start
	full      bool
	read      func() (idle, all time.Duration, ok bool) // nil: machine.CPU
}

// isFull reports whether the cores had hardly a moment free between the last two looks.
func (c *cores) isFull(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.at) < coresPeriod {
		return c.full
	}
	read := c.read
	if read == nil {
		read = machine.CPU
	}
	idle, all, ok := read()
	first := c.at.IsZero()
	spent, free := all-c.all, idle-c.idle
	c.at, c.idle, c.all = now, idle, all
	c.full = ok && !first && spent > 0 && float64(spent-free) >= fullPart*float64(spent)
	return c.full
}
