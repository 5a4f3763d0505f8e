package process

import (
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/worker"
)

var _ worker.Pauser = (*handle)(nil)

// Pause implements worker.Pauser.
func (h *handle) Pause() error {
	h.pausing.Lock()
	defer h.pausing.Unlock()
	if h.paused || h.stopping.Load() || h.ended() {
		return nil
	}
	var err error
	if h.driver.freezes {
		err = h.group.Freeze()
	} else {
		err = h.signal(unix.SIGSTOP)
	}
	if err != nil {
		return fmt.Errorf("pause worker %s: %w", h.spec.ID, err)
	}
	h.paused = true
	return nil
}

// Resume implements worker.Pauser.
func (h *handle) Resume() error {
	h.pausing.Lock()
	defer h.pausing.Unlock()
	if !h.paused || h.ended() {
		return nil
	}
	var err error
	if h.driver.freezes {
		err = h.group.Thaw()
	} else {
		err = h.signal(unix.SIGCONT)
	}
	if err != nil {
		return fmt.Errorf("resume worker %s: %w", h.spec.ID, err)
	}
	h.paused = false
	return nil
}

// maxPasses is how often the processes are looked at again for ones that came meanwhile. What makes new ones
// faster than that goes on; it is bounded by its control group or its share of the processor all the same.
const maxPasses = 16

// signal sends SIGSTOP or SIGCONT to every process of the sandbox, where there is no freezer. A runtime does
// not see them: what waits in a system call goes on waiting, or sees EINTR as after any signal.
func (h *handle) signal(sig unix.Signal) error {
	inside, err := os.Readlink(namespaceOf(h.child.pid))
	if err != nil {
		return err
	}
	var known []int
	for range maxPasses {
		fresh := false
		for _, pid := range h.pids() {
			if slices.Contains(known, pid) {
				continue
			}
			fresh, known = true, append(known, pid)
			fd, err := unix.PidfdOpen(pid, 0)
			if err != nil {
				continue // it has ended
			}
			// The number may be another process's by now, of which this one tells.
			if ns, err := os.Readlink(namespaceOf(pid)); err == nil && ns == inside {
				_ = unix.PidfdSendSignal(fd, sig, nil, 0)
			}
			_ = unix.Close(fd)
		}
		if !fresh {
			break
		}
	}
	return nil
}

func namespaceOf(pid int) string { return fmt.Sprintf("/proc/%d/ns/pid", pid) }
