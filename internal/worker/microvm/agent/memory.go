package agent

import (
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Of thrashing.
const (
	// leastFiles is how much room of its limit a command needs for pages of its own program and libraries. One that has less is
	// read from its drives again and again, for minutes where the processor is emulated, before the kernel says that there
	// is no memory.
	leastFiles = 6 << 20
	// thrashTime is how long that may last.
	thrashTime = time.Second
)

// watchMemory ends a command that has no memory left and that the kernel does not end.
func (c *command) watchMemory() {
	f, err := os.Open(filepath.Join(c.group, "memory.events"))
	if err != nil {
		return
	}
	defer f.Close()
	limit := c.counter("memory.max", "")
	if limit == 0 {
		return
	}
	buf := make([]byte, 256)
	full := func() bool {
		return c.counter("memory.stat", "anon")+c.counter("memory.stat", "shmem") > limit-leastFiles
	}
	for seen := int64(0); ; {
		_, _ = f.ReadAt(buf, 0) // or the next poll returns at once
		p := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLPRI}}
		if _, err := unix.Poll(p, 60_000); err != nil && err != unix.EINTR {
			return
		}
		select {
		case <-c.ended:
			return
		default:
		}
		at := c.counter("memory.events", "max")
		if at == seen || !full() {
			seen = at
			continue
		}
		time.Sleep(thrashTime)
		if now := c.counter("memory.events", "max"); now > at && full() {
			c.starved.Store(true)
			_ = os.WriteFile(filepath.Join(c.group, "cgroup.kill"), []byte("1"), 0)
			return
		}
		seen = at
	}
}
