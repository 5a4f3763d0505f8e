// Package cgroup puts a tree of processes under limits of memory and CPU with whatever control
// groups the machine has: version 2, version 1, or both beside each other (hybrid).
//
// A Group is made below the caller's own group, so that what limits the caller limits it too.
// The package knows nothing of what runs in a group.
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrUnsupported is wrapped by New where no controller can be used.
var ErrUnsupported = errors.New("no usable control groups")

// Limits of a group; zero: none.
type Limits struct {
	Memory int64   // bytes, swap not allowed beyond it
	CPUs   float64 // cores' worth of time
	PIDs   int     // processes and threads
	// Weight is the group's part of the processors when others want them too: 1024 is that of a group that
	// nothing was said about, 2 to 262144 are possible (cpu.shares). Zero leaves it.
	Weight int
}

// Group is one control group; on version 1 it is a folder of the same name in each hierarchy.
type Group struct {
	unified bool
	hybrid  bool // frozen in version 2, all else is version 1's
	// dirs are the group's folders by controller ("memory", "cpu", "cpuacct", "pids", "freezer"); with version 2
	// all the same.
	dirs map[string]string
}

// New makes a group below the caller's own. The name must be new and a plain file name.
func New(name string, limits Limits) (*Group, error) {
	at, err := own()
	if err != nil {
		return nil, err
	}
	g := &Group{unified: at.unified, hybrid: at.hybrid, dirs: map[string]string{}}
	for controller, parent := range at.parents {
		dir := filepath.Join(parent, name)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			if controller == freezer && !at.unified {
				g.hybrid = false
				continue // all else works without
			}
			_ = g.Remove()
			return nil, fmt.Errorf("make control group %s: %w: %w", name, ErrUnsupported, err)
		}
		g.dirs[controller] = dir
	}
	if err := g.limit(limits); err != nil {
		_ = g.Remove()
		return nil, fmt.Errorf("limit control group %s: %w", name, err)
	}
	return g, nil
}

func (g *Group) limit(l Limits) error {
	if l.Memory > 0 {
		dir, ok := g.dirs["memory"]
		if !ok {
			return fmt.Errorf("%w: no memory controller", ErrUnsupported)
		}
		bytes := strconv.FormatInt(l.Memory, 10)
		if g.unified {
			if err := write(dir, "memory.max", bytes); err != nil {
				return err
			}
			// Kernels without swap accounting have neither file; then there is nothing to bound.
			_ = write(dir, "memory.swap.max", "0")
			// All or none: a build without one of its processes is of no use.
			_ = write(dir, "memory.oom.group", "1")
		} else {
			if err := write(dir, "memory.limit_in_bytes", bytes); err != nil {
				return err
			}
			_ = write(dir, "memory.memsw.limit_in_bytes", bytes)
			if err := g.boundSockets(l.Memory); err != nil {
				return err
			}
		}
	}
	if l.PIDs > 0 {
		dir, ok := g.dirs["pids"]
		if !ok {
			return fmt.Errorf("%w: no pids controller", ErrUnsupported)
		}
		if err := write(dir, "pids.max", strconv.Itoa(l.PIDs)); err != nil {
			return err
		}
	}
	if l.Weight > 0 {
		dir, ok := g.dirs["cpu"]
		if !ok {
			return fmt.Errorf("%w: no cpu controller", ErrUnsupported)
		}
		file, value := "cpu.shares", l.Weight
		if g.unified {
			// 1024 shares are a weight of 100, the default of both.
			file, value = "cpu.weight", min(max((l.Weight*100+512)/1024, 1), 10_000)
		}
		if err := write(dir, file, strconv.Itoa(value)); err != nil {
			return err
		}
	}
	if l.CPUs > 0 {
		return g.Quota(l.CPUs, quotaPeriod)
	}
	return nil
}

// quotaPeriod is the kernel's default.
const quotaPeriod = 100 * time.Millisecond

// Quota lets the group have so many cores' worth of time at most, in each period (1 ms to 1 s); 0: as many as there are.
func (g *Group) Quota(cpus float64, period time.Duration) error {
	dir, ok := g.dirs["cpu"]
	if !ok {
		return fmt.Errorf("%w: no cpu controller", ErrUnsupported)
	}
	quota, each := "-1", strconv.FormatInt(period.Microseconds(), 10)
	if cpus > 0 {
		quota = strconv.Itoa(max(1000, int(cpus*float64(period.Microseconds()))))
	} else if g.unified {
		quota = "max"
	}
	if g.unified {
		return write(dir, "cpu.max", quota+" "+each)
	}
	// A quota that does not fit the new period would be refused.
	if err := write(dir, "cpu.cfs_quota_us", "-1"); err != nil {
		return err
	}
	if err := write(dir, "cpu.cfs_period_us", each); err != nil {
		return err
	}
	return write(dir, "cpu.cfs_quota_us", quota)
}

// boundSockets bounds what the buffers of sockets take, which version 1 does not count with the memory: an
// eighth of it. (Two processes that talk over loopback at full speed have some MiB in flight.)
func (g *Group) boundSockets(memory int64) error {
	err := write(g.dirs["memory"], "memory.kmem.tcp.limit_in_bytes", strconv.FormatInt(max(memory/8, minSockets), 10))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // SocketsBounded says so
	}
	return err
}

const minSockets = 8 << 20

// SocketsBounded reports whether the buffers of the group's sockets are bounded together with a limit of memory,
// if it has one: version 2 counts them with the memory unless the kernel was told not to.
func (g *Group) SocketsBounded() bool {
	dir, ok := g.dirs["memory"]
	if !ok {
		return false
	}
	if g.unified {
		cmdline, err := os.ReadFile("/proc/cmdline")
		return err != nil || !slices.Contains(strings.Split(memoryOption(string(cmdline)), ","), "nosocket")
	}
	_, err := os.Stat(filepath.Join(dir, "memory.kmem.tcp.limit_in_bytes"))
	return err == nil
}

// memoryOption is the value of the kernel's option cgroup.memory.
func memoryOption(cmdline string) string {
	for f := range strings.FieldsSeq(cmdline) {
		if v, ok := strings.CutPrefix(f, "cgroup.memory="); ok {
			return v
		}
	}
	return ""
}

// Add moves a process into the group; its later children are born there.
func (g *Group) Add(pid int) error {
	for _, dir := range g.folders() {
		if err := write(dir, "cgroup.procs", strconv.Itoa(pid)); err != nil {
			return fmt.Errorf("add process %d to control group: %w", pid, err)
		}
	}
	return nil
}

// Doors opens the ways into the group for a process that is about to be made; the caller closes
// them. With version 2, born is the folder that clone3(2) takes (CLONE_INTO_CGROUP); with
// version 1 the child itself writes "0" into each of tasks: a thread that moves only itself
// waits for no other, whereas moving a process waits milliseconds for the whole machine.
//
// In a hybrid there are both.
func (g *Group) Doors() (born *os.File, tasks []*os.File, err error) {
	if g.unified || g.hybrid {
		if born, err = os.Open(g.dirs[freezer]); err != nil {
			return nil, nil, fmt.Errorf("open control group: %w", err)
		}
	}
	for _, dir := range g.folders() {
		if born != nil && dir == g.dirs[freezer] {
			continue
		}
		f, err := os.OpenFile(filepath.Join(dir, "tasks"), os.O_WRONLY, 0)
		if err != nil {
			for _, f := range tasks {
				_ = f.Close()
			}
			if born != nil {
				_ = born.Close()
			}
			return nil, nil, fmt.Errorf("open control group: %w", err)
		}
		tasks = append(tasks, f)
	}
	return born, tasks, nil
}

// Procs are the processes in the group now.
func (g *Group) Procs() []int {
	if dir, ok := g.dirs[freezer]; ok && g.hybrid {
		return procs(dir) // version 2 makes no list of them all first
	}
	for _, dir := range g.folders() {
		return procs(dir)
	}
	return nil
}

// Stats of a group's life so far.
type Stats struct {
	CPU      time.Duration // user and system time of everything that ran in it; 0: not known
	OOMKills int           // processes killed at the memory limit
}

// CPU is the user and system time of everything that ran in the group; 0: not known.
func (g *Group) CPU() time.Duration {
	if g.unified {
		return time.Duration(field(filepath.Join(g.dirs["cpu"], "cpu.stat"), "usage_usec")) * time.Microsecond
	}
	if dir, ok := g.dirs["cpuacct"]; ok {
		if b, err := os.ReadFile(filepath.Join(dir, "cpuacct.usage")); err == nil {
			n, _ := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
			return time.Duration(n)
		}
	}
	return 0
}

// Stats reads the counters.
func (g *Group) Stats() Stats {
	s := Stats{CPU: g.CPU()}
	if g.unified {
		s.OOMKills = int(field(filepath.Join(g.dirs["memory"], "memory.events"), "oom_kill"))
		return s
	}
	if dir, ok := g.dirs["memory"]; ok {
		s.OOMKills = int(field(filepath.Join(dir, "memory.oom_control"), "oom_kill"))
	}
	return s
}

// CanFreeze reports whether the group can be frozen.
func (g *Group) CanFreeze() bool { return g.dirs[freezer] != "" }

// Freeze keeps everything in the group from running until Thaw. Processes that are on a processor run for
// some microseconds more. Idempotent. What is frozen under version 1 cannot be killed.
func (g *Group) Freeze() error { return g.freeze("1", "FROZEN") }

// Thaw lets everything run again. Idempotent.
func (g *Group) Thaw() error { return g.freeze("0", "THAWED") }

func (g *Group) freeze(v2, v1 string) error {
	dir, ok := g.dirs[freezer]
	if !ok {
		return fmt.Errorf("freeze control group: %w: no freezer", ErrUnsupported)
	}
	file, value := "freezer.state", v1
	if g.unified || g.hybrid {
		file, value = "cgroup.freeze", v2
	}
	if err := write(dir, file, value); err != nil {
		return fmt.Errorf("freeze control group: %w", err)
	}
	return nil
}

// Idle lets the group run only on processors that no group and no process beside it wants (cpu.idle, Linux 5.15), or takes that back: then it
// has the part of one that nothing was said about, whatever its weight was.
func (g *Group) Idle(idle bool) error {
	dir, ok := g.dirs["cpu"]
	if !ok {
		return fmt.Errorf("make control group idle: %w: no cpu controller", ErrUnsupported)
	}
	value := "0"
	if idle {
		value = "1"
	}
	if err := write(dir, "cpu.idle", value); err != nil {
		return fmt.Errorf("make control group idle: %w", err)
	}
	return nil
}

// thaw lets what is in a folder of version 1's freezer die; in any other folder it does nothing.
func thaw(dir string) {
	if dir != "" {
		_ = write(dir, "freezer.state", "THAWED")
	}
}

// Kill ends everything in the group, however fast it forks, and returns when nothing is left
// or after a few seconds.
func (g *Group) Kill() {
	thaw(g.dirs[freezer])
	for _, dir := range g.folders() {
		kill(dir)
	}
}

// Remove kills what is left in the group and removes it. Idempotent.
func (g *Group) Remove() error {
	var errs []error
	thaw(g.dirs[freezer])
	for _, dir := range g.folders() {
		errs = append(errs, remove(dir))
	}
	return errors.Join(errs...)
}

// Clean kills and removes every group below the caller's own whose name begins with prefix and
// for which stale says yes: what a server that was killed left.
func Clean(prefix string, stale func(name string) bool) error {
	at, err := own()
	if err != nil {
		return nil // without control groups there is nothing to clean
	}
	var errs []error
	var left []string
	seen := map[string]bool{}
	for _, parent := range at.parents {
		if seen[parent] {
			continue
		}
		seen[parent] = true
		dirs, err := filepath.Glob(filepath.Join(parent, prefix+"*"))
		if err != nil {
			return fmt.Errorf("clean control groups: %w", err)
		}
		for _, dir := range dirs {
			if stale(filepath.Base(dir)) {
				thaw(dir) // all before any is removed: what is frozen is in the other hierarchies too
				left = append(left, dir)
			}
		}
	}
	for _, dir := range left {
		errs = append(errs, remove(dir))
	}
	return errors.Join(errs...)
}

// folders are the group's different folders.
func (g *Group) folders() []string {
	var out []string
	seen := map[string]bool{}
	for _, dir := range g.dirs {
		if !seen[dir] {
			seen[dir] = true
			out = append(out, dir)
		}
	}
	return out
}

const patience = 5 * time.Second // for killed processes to go; the kernel takes milliseconds

func kill(dir string) {
	_ = write(dir, "cgroup.kill", "1") // version 2, Linux 5.14
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		left := procs(dir)
		if len(left) == 0 {
			return
		}
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

func remove(dir string) error {
	kill(dir)
	// A group is busy for a moment after its last process.
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if err = syscall.Rmdir(dir); err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	return fmt.Errorf("remove control group %s: %w", filepath.Base(dir), err)
}

func procs(dir string) []int {
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return nil
	}
	var out []int
	for f := range strings.FieldsSeq(string(b)) {
		if pid, err := strconv.Atoi(f); err == nil && pid > 0 {
			out = append(out, pid)
		}
	}
	return out
}

func write(dir, file, value string) error {
	// Not os.WriteFile: a control file is never to be created.
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(value)
	return err
}

// field reads "name value" out of a flat keyed file; 0 if it is not there.
func field(file, name string) int64 {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(rest), 10, 64)
			return n
		}
	}
	return 0
}
