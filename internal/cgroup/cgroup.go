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
}

// Group is one control group; on version 1 it is a folder of the same name in each hierarchy.
type Group struct {
	unified bool
	// dirs are the group's folders by controller ("memory", "cpu", "cpuacct", "pids"); with version 2 all the same.
	dirs map[string]string
}

// New makes a group below the caller's own. The name must be new and a plain file name.
func New(name string, limits Limits) (*Group, error) {
	parents, unified, err := own()
	if err != nil {
		return nil, err
	}
	g := &Group{unified: unified, dirs: map[string]string{}}
	for controller, parent := range parents {
		dir := filepath.Join(parent, name)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
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
	if l.CPUs > 0 {
		dir, ok := g.dirs["cpu"]
		if !ok {
			return fmt.Errorf("%w: no cpu controller", ErrUnsupported)
		}
		const period = 100_000 // microseconds, the kernel's default
		quota := strconv.Itoa(max(1000, int(l.CPUs*period)))
		if g.unified {
			return write(dir, "cpu.max", quota+" "+strconv.Itoa(period))
		}
		if err := write(dir, "cpu.cfs_period_us", strconv.Itoa(period)); err != nil {
			return err
		}
		return write(dir, "cpu.cfs_quota_us", quota)
	}
	return nil
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
func (g *Group) Doors() (born *os.File, tasks []*os.File, err error) {
	if g.unified {
		for _, dir := range g.folders() {
			born, err = os.Open(dir)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("open control group: %w", err)
		}
		return born, nil, nil
	}
	for _, dir := range g.folders() {
		f, err := os.OpenFile(filepath.Join(dir, "tasks"), os.O_WRONLY, 0)
		if err != nil {
			for _, f := range tasks {
				_ = f.Close()
			}
			return nil, nil, fmt.Errorf("open control group: %w", err)
		}
		tasks = append(tasks, f)
	}
	return nil, tasks, nil
}

// Procs are the processes in the group now.
func (g *Group) Procs() []int {
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

// Kill ends everything in the group, however fast it forks, and returns when nothing is left
// or after a few seconds.
func (g *Group) Kill() {
	for _, dir := range g.folders() {
		kill(dir)
	}
}

// Remove kills what is left in the group and removes it. Idempotent.
func (g *Group) Remove() error {
	var errs []error
	for _, dir := range g.folders() {
		errs = append(errs, remove(dir))
	}
	return errors.Join(errs...)
}

// Clean kills and removes every group below the caller's own whose name begins with prefix and
// for which stale says yes: what a server that was killed left.
func Clean(prefix string, stale func(name string) bool) error {
	parents, _, err := own()
	if err != nil {
		return nil // without control groups there is nothing to clean
	}
	var errs []error
	seen := map[string]bool{}
	for _, parent := range parents {
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
				errs = append(errs, remove(dir))
			}
		}
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
