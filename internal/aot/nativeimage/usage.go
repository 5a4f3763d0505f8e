package nativeimage

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/cgroup"
)

// usage adds up what the tools of one build took.
type usage struct {
	wall, cpu time.Duration
	peak      atomic.Int64 // bytes, of all processes at the same time
}

func (u *usage) cost(begin time.Time) aot.Cost {
	return aot.Cost{Wall: time.Since(begin), CPU: u.cpu, PeakRSS: u.peak.Load()}
}

// add takes the counters of a tool that has ended.
func (u *usage) add(ps *os.ProcessState, g *cgroup.Group, wall time.Duration) {
	u.wall += wall
	// The control group knows of children that nobody waited for; its counter runs over the
	// whole build.
	if g != nil {
		if cpu := g.Stats().CPU; cpu > 0 {
			u.cpu = cpu
			u.raise(maxRSS(ps))
			return
		}
	}
	u.cpu += ps.UserTime() + ps.SystemTime()
	u.raise(maxRSS(ps))
}

func maxRSS(ps *os.ProcessState) int64 {
	if r, ok := ps.SysUsage().(*syscall.Rusage); ok {
		return r.Maxrss << 10
	}
	return 0
}

func (u *usage) raise(bytes int64) {
	for {
		old := u.peak.Load()
		if bytes <= old || u.peak.CompareAndSwap(old, bytes) {
			return
		}
	}
}

// watch samples the memory of a process group until the returned function is called. Peaks
// shorter than the period are missed but for the largest process, whose own counter add reads.
func (u *usage) watch(pgid int, g *cgroup.Group) (stop func()) {
	const period = 250 * time.Millisecond
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		t := time.NewTicker(period)
		defer t.Stop()
		for {
			select {
			case <-quit:
				return
			case <-t.C:
				u.raise(rss(members(pgid, g)))
			}
		}
	}()
	return func() { close(quit); <-done }
}

func members(pgid int, g *cgroup.Group) []int {
	if g != nil {
		return g.Procs()
	}
	return groupMembers(pgid)
}

func rss(pids []int) int64 {
	var sum int64
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if err != nil {
			continue
		}
		if f := strings.Fields(string(b)); len(f) > 1 {
			pages, _ := strconv.ParseInt(f[1], 10, 64)
			sum += pages * int64(os.Getpagesize())
		}
	}
	return sum
}

// groupMembers are the processes of a process group.
func groupMembers(pgid int) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var out []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if f, err := stat(pid); err == nil && f[2] == strconv.Itoa(pgid) {
			out = append(out, pid)
		}
	}
	return out
}

// stat returns the fields of /proc/PID/stat after the command's name: state, parent, group, ...
func stat(pid int) ([]string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	i := bytes.LastIndexByte(b, ')')
	f := strings.Fields(string(b[i+1:]))
	if i < 0 || len(f) < 20 {
		return nil, fmt.Errorf("read /proc/%d/stat: unknown form", pid)
	}
	return f, nil
}

// startTime tells processes apart that were given the same number (proc_pid_stat(5), field 22).
func startTime(pid int) (string, error) {
	f, err := stat(pid)
	if err != nil {
		return "", err
	}
	return f[19], nil
}

// belongs reports whether any process of the group works in or below dir or names it.
func belongs(pgid int, dir string) bool {
	for _, pid := range groupMembers(pgid) {
		cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		environ, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if bytes.Contains(cmdline, []byte(dir)) || bytes.Contains(environ, []byte(dir)) {
			return true
		}
	}
	return false
}
