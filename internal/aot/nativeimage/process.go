package nativeimage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/aot/keep"
	"github.com/cloudjit/cloudjit/internal/cgroup"
)

// command is one tool to run for a build.
type command struct {
	path string
	args []string
	env  []string // the whole environment
	dir  string
}

// ending is how a tool ended.
type ending struct {
	code     int            // exit code; -1 if by a signal
	signal   syscall.Signal // 0 if by exit
	oomKills int            // processes that the kernel killed at the memory limit
}

func (e ending) ok() bool { return e.code == 0 }

// limiter is a build's control group, or why it has none.
type limiter struct {
	group *cgroup.Group // nil where there are no control groups
	why   error
}

func newLimiter(name string, l aot.Limits) limiter {
	g, err := cgroup.New(groupPrefix+name, cgroup.Limits{Memory: int64(l.MemoryMiB) << 20, CPUs: l.CPUs})
	return limiter{group: g, why: err}
}

func (l limiter) close() error {
	if l.group == nil {
		return nil
	}
	return l.group.Remove()
}

// gate holds the tool back until it stands in its control group with its low priority, so that
// it has no children outside. A second process of the group waits for the pipe's other end to
// close, which it does when this process dies, however it dies: then all of the group is killed.
const gate = `read -r _ <&3 || exit 125
(read -r _ <&3; kill -9 0) >/dev/null 2>&1 </dev/null &
exec 3<&-
exec "$@"`

// run runs a tool in its own process group to its end. When ctx ends, everything that it started
// is killed. It returns when nothing of it runs any more.
func run(ctx context.Context, c command, sc *keep.Scratch, lim limiter, log io.Writer, use *usage) (ending, error) {
	if ctx.Err() != nil {
		return ending{}, ctx.Err()
	}
	opened, hold, err := os.Pipe()
	if err != nil {
		return ending{}, fmt.Errorf("run %s: %w", c.path, err)
	}
	defer hold.Close()
	cmd := exec.Command("/bin/sh", append([]string{"-c", gate, "sh", c.path}, c.args...)...)
	cmd.Env, cmd.Dir = c.env, c.dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{opened}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// Children that keep the output open after everything was killed are waited for no longer.
	cmd.WaitDelay = 2 * time.Second

	err = cmd.Start()
	opened.Close()
	if err != nil {
		return ending{}, fmt.Errorf("run %s: %w", c.path, err)
	}
	waited := make(chan error, 1)
	go func() { waited <- cmd.Wait() }()
	pid := cmd.Process.Pid
	killAll := func() {
		_ = unix.Kill(-pid, unix.SIGKILL)
		if lim.group != nil {
			lim.group.Kill()
		}
	}
	begin := time.Now()
	err = prepare(pid, sc, lim)
	if err == nil {
		_, err = hold.Write([]byte("\n"))
	}
	if err != nil {
		killAll()
		<-waited
		return ending{}, fmt.Errorf("run %s: %w", c.path, err)
	}
	stopWatch := use.watch(pid, lim.group)
	var waitErr error
	select {
	case waitErr = <-waited:
		killAll() // stragglers
	case <-ctx.Done():
		killAll()
		waitErr = <-waited
	}
	stopWatch()
	use.add(cmd.ProcessState, lim.group, time.Since(begin))
	return endingOf(cmd, waitErr, lim)
}

func endingOf(cmd *exec.Cmd, waitErr error, lim limiter) (ending, error) {
	e := ending{}
	if lim.group != nil {
		e.oomKills = lim.group.Stats().OOMKills
	}
	ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	var exit *exec.ExitError
	if !ok || (waitErr != nil && !errors.As(waitErr, &exit) && !errors.Is(waitErr, exec.ErrWaitDelay)) {
		return e, fmt.Errorf("run %s: %w", cmd.Path, waitErr)
	}
	e.code = ws.ExitStatus()
	if ws.Signaled() {
		e.code, e.signal = -1, ws.Signal()
	}
	return e, nil
}

func prepare(pid int, sc *keep.Scratch, lim limiter) error {
	if err := remember(sc.Dir, pid); err != nil {
		return err
	}
	if lim.group != nil {
		if err := lim.group.Add(pid); err != nil {
			return err
		}
	}
	// Serving goes before building: a build gets a third of what a server's process gets that
	// wants the same processor. Neither can fail for lack of rights: both only lower.
	_ = unix.Setpriority(unix.PRIO_PGRP, pid, 5)
	const whoProcess, classBestEffortLowest = 1, 2<<13 | 7 // ioprio_set(2)
	_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, whoProcess, uintptr(pid), classBestEffortLowest)
	return nil
}
