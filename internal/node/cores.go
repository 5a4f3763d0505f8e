package node

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
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
	idle, all int64 // of all cores since the machine's start, in ticks
	full      bool
	readTicks func() (idle, all int64, ok bool) // nil: the kernel's
}

// isFull reports whether the cores had hardly a moment free between the last two looks.
func (c *cores) isFull(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.at) < coresPeriod {
		return c.full
	}
	read := c.readTicks
	if read == nil {
		read = readTicks
	}
	idle, all, ok := read()
	first := c.at.IsZero()
	spent, free := all-c.all, idle-c.idle
	c.at, c.idle, c.all = now, idle, all
	c.full = ok && !first && spent > 0 && float64(spent-free) >= fullPart*float64(spent)
	return c.full
}

// readTicks are the first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal; what follows is part of
// the first two (proc_stat(5)).
func readTicks() (idle, all int64, ok bool) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, false
	}
	line, _, _ := strings.Cut(string(b), "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, 0, false
	}
	for i, field := range fields[1:9] {
		v, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, 0, false
		}
		all += v
		if i == 3 || i == 4 {
			idle += v
		}
	}
	return idle, all, true
}
