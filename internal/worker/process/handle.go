package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/cgroup"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/guest"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// handle is one running worker.
type handle struct {
	driver  *Driver
	spec    worker.Spec
	job     bool // neither api nor web
	tenant  *tenant
	group   *cgroup.Group // nil without control groups
	child   *child
	out     *output
	api     *guest.Server // handlers and provided runtimes
	web     *guest.Web    // web functions
	dialer  *dialer
	folders *folders // what it may write into
	status  *os.File // of the first process, until it is the child's
	saved   *saved   // nil of a worker that can be neither saved nor restored
	vmm     *tool    // what a monitor says; nil of all else
	ends    [2]*os.File

	began, executed time.Time
	phases          worker.Phases
	stopping        atomic.Bool
	invoked         atomic.Bool
	pausing         sync.Mutex
	paused          bool // under pausing
	exit            worker.Exit
	cpu, wall       time.Duration // in all, once done
	rss             int64         // of a job: the most memory of one of its processes, bytes
	done            chan struct{} // exit is known
	removed         chan struct{} // nothing is left
	removal         error
	kept            error // why something that it left was not kept
}

// lag is how much later than a connection breaks the server may learn that a process has ended.
const lag = 20 * time.Millisecond

// process is the runtime as others see it.
func (h *handle) process() guest.Process {
	return guest.Process{API: h.api, Web: h.web, Done: h.done, Exit: &h.exit, Lag: lag}
}

// ready waits until the runtime is ready for its first invocation.
func (h *handle) ready(ctx context.Context) (e *worker.StartError) {
	h.phases.Runtime, h.phases.Init, e = h.process().Await(ctx, guest.Started{
		ReadyPath: h.spec.ReadyPath, Executed: h.executed, Renewed: h.api != nil && h.spec.Restore != "",
	})
	if e != nil && h.spec.Restore != "" && (h.api == nil || h.api.Contact().IsZero()) && !errors.Is(ctx.Err(), context.Canceled) {
		e.Err = fmt.Errorf("%w: %w", worker.ErrNotRestored, e.Err)
	}
	return e
}

// explain adds the end of stderr to a failure of a start.
func (h *handle) explain(err error) error {
	if tail := h.out.stderr(); tail != "" {
		err = fmt.Errorf("%w; stderr: %s", err, tail[max(0, len(tail)-2048):])
	}
	if h.saved != nil {
		err = h.saved.explain(err)
	}
	if h.vmm != nil {
		if said := h.vmm.said(); said != "" {
			err = fmt.Errorf("%w; it said: %s", err, said)
		}
	}
	return err
}

// watch waits for the end of the runtime and removes what the worker had.
func (h *handle) watch() {
	code, signal, use := h.child.wait()
	// With the first process the kernel has killed all others of the namespace, so that what is
	// in the sockets and pipes now is all there will be.
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if h.api != nil {
		h.api.Shutdown(ctx)
	}
	if h.vmm != nil {
		h.vmm.close()
	}
	h.out.close()
	h.exit = worker.Exit{Code: code, Signal: signal, Stopped: h.stopping.Load(), Stderr: h.out.stderr()}
	if h.group != nil && (signal != "" || code != 0) && h.group.Stats().OOMKills > 0 {
		h.exit.OutOfMemory = true
	}
	h.cpu, h.wall, h.rss = use.cpu, time.Since(h.executed), use.rss
	if h.group != nil { // which knows of children that nobody waited for
		h.cpu = max(use.cpu, h.group.CPU())
	}
	close(h.done)

	if h.web != nil {
		h.web.Close()
	}
	if h.dialer != nil {
		h.dialer.close()
	}
	if h.saved != nil {
		h.saved.close()
	}
	h.kept = h.folders.keep(h.job && code != 0)
	h.folders.close()
	if h.group != nil {
		h.removal = h.group.Remove()
	}
	h.driver.unmark(h.spec.ID)
	h.driver.mu.Lock()
	delete(h.driver.workers, h)
	h.driver.mu.Unlock()
	h.driver.leave(h.tenant)
	close(h.removed)
}

// ID implements worker.Worker.
func (h *handle) ID() string { return h.spec.ID }

// Phases implements worker.Worker.
func (h *handle) Phases() worker.Phases { return h.phases }

// Invoke implements worker.Worker.
func (h *handle) Invoke(ctx context.Context, inv *worker.Invocation) (*worker.Result, error) {
	defer h.first()()
	res, err := h.process().Invoke(ctx, inv)
	h.answered(err)
	if err == nil {
		h.out.flush()
	}
	return res, err
}

// HTTP implements worker.Worker.
func (h *handle) HTTP() http.RoundTripper {
	if !h.invoked.Load() || h.saved != nil && h.saved.learn.Load() {
		return first{h.process(), h}
	}
	return h.process()
}

// Trace implements worker.Worker.
func (h *handle) Trace(context.Context) ([]byte, error) {
	if h.spec.RecordDir == "" {
		return nil, nil
	}
	return h.folders.read(h.spec.RecordDir, TraceFile, maxTrace)
}

// Memory implements worker.Worker.
func (h *handle) Memory(context.Context) (worker.Memory, error) { return measure(h.pids()) }

// Peak implements worker.Peaker.
func (h *handle) Peak() int64 {
	if h.ended() {
		return 0 // the number of the process may be another's
	}
	return peak(h.pids())
}

// Dropped implements worker.Dropper.
func (h *handle) Dropped() int64 { return h.out.Dropped() }

// CPU implements worker.Clocker.
func (h *handle) CPU() time.Duration {
	switch {
	case h.ended():
		return h.cpu
	case h.group == nil:
		return cpuOf(h.pids())
	}
	return h.group.CPU()
}

func (h *handle) pids() []int {
	if h.group != nil {
		return h.group.Procs()
	}
	return tree(h.child.pid)
}

// Maps implements worker.Mapper.
func (h *handle) Maps(file string) (bool, error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", h.runtime()))
	if err == nil && h.ended() {
		err = errors.New("the runtime has ended") // and the number may be another's
	}
	var st unix.Stat_t
	if err == nil {
		err = unix.Stat(file, &st)
	}
	if err != nil {
		return false, fmt.Errorf("look for %s in the memory of worker %s: %w", file, h.spec.ID, err)
	}
	return mapped(maps, st.Ino), nil
}

// Stop implements worker.Worker.
func (h *handle) Stop(ctx context.Context, grace time.Duration) error {
	h.stopping.Store(true)
	_ = h.Resume() // or SIGTERM is not heard; what cannot be resumed is killed
	if pid := h.runtime(); grace > 0 && !h.ended() && catches(pid, unix.SIGTERM) {
		h.terminate(pid)
		t := time.NewTimer(grace)
		defer t.Stop()
		select {
		case <-h.done:
		case <-t.C:
		case <-ctx.Done():
		}
	}
	h.stop()
	<-h.removed
	if h.removal != nil {
		return fmt.Errorf("stop worker %s: %w", h.spec.ID, h.removal)
	}
	return nil
}

// stop kills everything in the sandbox.
func (h *handle) stop() {
	if !h.ended() {
		h.stopping.Store(true)
		_ = h.Resume() // what version 1's freezer holds does not die
		h.child.kill(unix.SIGKILL)
	}
}

func (h *handle) ended() bool {
	select {
	case <-h.done:
		return true
	default:
		return false
	}
}

// Done implements worker.Worker.
func (h *handle) Done() <-chan struct{} { return h.done }

// Exit implements worker.Worker.
func (h *handle) Exit() worker.Exit {
	if !h.ended() {
		return worker.Exit{}
	}
	return h.exit
}

// webConnections is how many connections a web function may have open at once: some more than
// the requests it takes, for event streams and upgrades.
func webConnections(rev *function.Spec) int { return min(2*rev.Concurrency+8, maxSockets) }

// hostPort dials a port of the host's network, which the worker shares.
func hostPort(port int) guest.Dial {
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	}
}
