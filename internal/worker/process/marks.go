package process

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A mark is a file that names the first process of a worker, for Clean. The start time tells
// that process from a later one with the same number.

func writeMark(file string, pid int) error {
	if err := os.WriteFile(file, fmt.Appendf(nil, "%d %s\n", pid, startTime(pid)), 0o600); err != nil {
		return fmt.Errorf("mark worker: %w", err)
	}
	return nil
}

// endMarked kills the process that a mark names, if it is still that one, and removes the mark.
func endMarked(file string) {
	b, err := os.ReadFile(file)
	if err != nil {
		return
	}
	if pid, start, ok := parseMark(string(b)); ok {
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			if startTime(pid) == start {
				_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
			}
			_ = unix.Close(fd)
		}
	}
	_ = os.Remove(file)
}

func parseMark(s string) (pid int, start string, ok bool) {
	f := strings.Fields(s)
	if len(f) != 2 {
		return 0, "", false
	}
	pid, err := strconv.Atoi(f[0])
	return pid, f[1], err == nil && pid > 1
}

// startTime is when the process began, in the kernel's clock ticks since boot; empty if it is gone.
func startTime(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	return statStart(string(b))
}

// statStart reads field 22 of /proc/PID/stat. The name, field 2, may contain anything.
func statStart(stat string) string {
	i := strings.LastIndexByte(stat, ')')
	if i < 0 {
		return ""
	}
	f := strings.Fields(stat[i+1:])
	if len(f) < 20 {
		return ""
	}
	return f[19]
}
