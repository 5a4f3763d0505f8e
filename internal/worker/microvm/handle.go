package microvm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"
	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/guest"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/microvm/usernet"
	"github.com/cloudjit/cloudjit/internal/worker/microvm/wire"
	"github.com/cloudjit/cloudjit/internal/worker/process"
)

// handle is one worker: a monitor, the guest in it, and the command in that.
type handle struct {
	driver  *Driver
	spec    worker.Spec
	job     bool
	machine *process.Machine
	shape   shape
	drives  []string
	memory  *os.File // the guest's; nil if it cannot be saved
	conn    net.Conn // the control channel
	monitor monitor
	// link is what leads into the guest now; it is another one once the worker was saved, under relinking.
	link      atomic.Pointer[link]
	relinking sync.Mutex
	listener  *listener
	api       *guest.Server // handlers and provided runtimes, and web functions that are told when they are saved
	web       *guest.Web
	network   *usernet.Network // nil: it has none
	undo      []func()         // the last first

	began, executed time.Time
	phases          worker.Phases
	stopping        atomic.Bool
	exit            worker.Exit
	ran             wire.Exit // of the command, once done
	wall            time.Duration
	before          time.Duration // the machine's CPU time when the command began
	done            chan struct{} // exit is known
	removed         chan struct{} // nothing is left
	removal         error
	kept            error
}

var (
	_ worker.Pauser  = (*handle)(nil)
	_ worker.Clocker = (*handle)(nil)
	_ worker.Peaker  = (*handle)(nil)
	_ worker.Dropper = (*handle)(nil)
	_ worker.Mapper  = (*handle)(nil)

	_ worker.Snapshotter = (*handle)(nil)
)

// link is a session with what the driver has open in it.
type link struct {
	session *session
	control *yamux.Stream // says how the command ends
	out     [2]*output
}

func (h *handle) session() *session { return h.link.Load().session }

// run starts the command in the guest, or takes up one that was saved.
func (h *handle) run(ctx context.Context, v *view, from *standing) error {
	plan, err := h.driver.plan(&h.spec, v, h.job)
	if err != nil {
		return err
	}
	request := wire.Request{Op: wire.OpStart, Start: plan}
	runtime := guest.NewRuntime()
	if h.spec.Restore != "" {
		for _, variable := range h.spec.Env {
			if !slices.Contains(from.Env, variable) {
				runtime.Environment = append(runtime.Environment, variable)
			}
		}
		request = wire.Request{Op: wire.OpAttach, Renew: &wire.Renew{Now: plan.Now, Entropy: plan.Entropy}}
	}
	if plan.API {
		h.api = guest.Serve(h.listener, runtime)
	}
	if !h.job && h.spec.Revision.Kind == function.KindWeb {
		h.web = guest.NewWeb(func(ctx context.Context) (net.Conn, error) { return h.session().dial(ctx) }, webConnections(h.spec.Revision))
	}
	if plan.Network {
		o := usernet.Options{Dial: h.driver.options.dial}
		if h.spec.Trial {
			o.Reach = usernet.Nothing
		}
		if h.network, err = usernet.New(o); err != nil {
			return err
		}
		h.undo = append(h.undo, h.network.Close)
	}
	l, err := h.open(ctx, h.session(), request)
	if err != nil {
		return err
	}
	h.link.Store(l)
	h.executed, h.before = time.Now(), h.machine.CPU()
	h.phases.Sandbox = h.executed.Sub(h.began)
	return nil
}

// open connects the outputs of the command and what tells its end, with the request that starts it or finds it running. All is
// asked for before the first answer is waited for: each takes the way into the guest and back.
func (h *handle) open(ctx context.Context, s *session, request wire.Request) (_ *link, err error) {
	var streams [3]*yamux.Stream
	var answers [3]wire.Event
	defer func() {
		for _, st := range streams {
			if err != nil && st != nil {
				_ = st.Close()
			}
		}
	}()
	var stops [3]func() bool
	for i, r := range []wire.Request{{Op: wire.OpStdout}, {Op: wire.OpStderr}, request} {
		if streams[i], stops[i], err = s.open(ctx, r); err != nil {
			return nil, err
		}
		defer stops[i]()
	}
	for i, st := range streams {
		err := wire.Read(st, &answers[i])
		if !stops[i]() && err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, fmt.Errorf("hear of the guest: %w", err)
		}
	}
	if e := answers[2]; !e.Started {
		failed := errors.New(e.Error)
		if e.Phase == "runtime" {
			return nil, &worker.StartError{Phase: "runtime", Err: failed}
		}
		return nil, fmt.Errorf("in the guest: %w", failed)
	}
	if h.network != nil {
		st, stop, err := s.open(ctx, wire.Request{Op: wire.OpNetwork})
		if err != nil {
			return nil, err
		}
		stop()
		go func() { _ = h.network.Carry(st) }()
	}
	return &link{
		session: s, control: streams[2],
		out: [2]*output{copyOutput(streams[0], h.machine.Stdout), copyOutput(streams[1], h.machine.Stderr)},
	}, nil
}

// webConnections is how many connections a web function may have open at once.
func webConnections(rev *function.Spec) int { return min(2*rev.Concurrency+8, 250) }

// cut ends a machine that runs no command yet, or for which nobody watches.
func (h *handle) cut() {
	h.machine.Kill()
	h.release()
	_ = h.machine.Stop(context.Background(), 0)
	h.forget()
}

// release ends everything of the server's that leads into the guest. The monitor ends, or has ended.
func (h *handle) release() {
	if l := h.link.Load(); l != nil {
		l.session.close()
		for _, o := range l.out {
			if o != nil {
				<-o.done
			}
		}
	}
	_ = h.listener.Close()
	if h.api != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		h.api.Shutdown(ctx)
		cancel()
	}
	if h.web != nil {
		h.web.Close()
	}
	_, _ = h.machine.Stdout.Close(), h.machine.Stderr.Close()
}

// forget gives back what the server has for the machine, which has ended.
func (h *handle) forget() {
	for _, f := range slices.Backward(h.undo) {
		f()
	}
	h.undo = nil
}

// lag is how much later than a connection breaks the server may learn that the command has ended.
const lag = 100 * time.Millisecond

// process is the runtime as others see it.
func (h *handle) process() guest.Process {
	return guest.Process{API: h.api, Web: h.web, Done: h.done, Exit: &h.exit, Lag: lag}
}

// ready waits until the runtime is ready for its first invocation.
func (h *handle) ready(ctx context.Context) (e *worker.StartError) {
	h.phases.Runtime, h.phases.Init, e = h.process().Await(ctx, guest.Started{
		ReadyPath: h.spec.ReadyPath, Executed: h.executed, Renewed: h.api != nil && h.spec.Restore != "",
	})
	h.phases.Runtime = max(h.phases.Runtime, 0) // it may ask before the agent says that it runs
	if e != nil && h.spec.Restore != "" && (h.api == nil || h.api.Contact().IsZero()) && ctx.Err() == nil {
		e.Err = fmt.Errorf("%w: %w", worker.ErrNotRestored, e.Err)
	}
	return e
}

// explain adds the end of stderr to a failure of a start.
func (h *handle) explain(err error) error {
	if tail := h.exit.Stderr; tail != "" {
		err = fmt.Errorf("%w; stderr: %s", err, tail[max(0, len(tail)-2048):])
	}
	return h.machine.Explain(err)
}

// keepTime bounds how long the copy of what a worker leaves may take: the guest may be hostile, or slow.
const keepTime = 2 * time.Minute

// watch waits for the end of the command, or of the machine, and removes what the worker had.
func (h *handle) watch() {
	var e wire.Event
	l := h.link.Load()
	err := wire.Read(l.control, &e)
	for err != nil {
		h.relinking.Lock() // it may have been saved
		now := h.link.Load()
		h.relinking.Unlock()
		if now == l {
			break
		}
		l = now
		err = wire.Read(l.control, &e)
	}
	h.wall = time.Since(h.executed)
	alive := err == nil && e.Exit != nil
	if alive {
		h.ran = *e.Exit
		h.exit = worker.Exit{Code: e.Exit.Code, Signal: e.Exit.Signal, OutOfMemory: e.Exit.OutOfMemory}
		for _, o := range l.out { // the agent has sent all of it
			select {
			case <-o.done:
			case <-time.After(time.Second):
			}
		}
	} else {
		// The guest panicked, or the monitor ended: whatever ran there ended by no act of its own.
		h.exit = worker.Exit{Code: -1, Signal: "killed"}
		h.machine.Kill()
		<-h.machine.Done()
		h.exit.OutOfMemory = h.machine.Exit().OutOfMemory
	}
	if h.api != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		h.api.Shutdown(ctx)
		cancel()
	}
	h.machine.Flush()
	h.exit.Stopped, h.exit.Stderr = h.stopping.Load(), h.machine.Tail()
	close(h.done)

	if alive {
		ctx, cancel := context.WithTimeout(context.Background(), keepTime)
		h.kept = h.keep(ctx)
		cancel()
	}
	h.machine.Kill()
	h.release()
	h.removal = h.machine.Stop(context.Background(), 0)
	h.forget()
	h.driver.mu.Lock()
	delete(h.driver.workers, h)
	h.driver.mu.Unlock()
	close(h.removed)
}

// announceTime is how long the runtime may take to get ready to be saved.
const announceTime = time.Minute

// Snapshot implements worker.Snapshotter: the whole machine is saved.
func (h *handle) Snapshot(ctx context.Context, dir string) error {
	if h.memory == nil {
		return errors.New("save worker: its machine was not made for it")
	}
	ctx, cancel := context.WithTimeout(ctx, saveTime*h.driver.slowness())
	defer cancel()
	h.relinking.Lock()
	defer h.relinking.Unlock()
	if h.ended() {
		return &worker.SnapshotError{Reason: "it has ended"}
	}
	if h.web != nil {
		h.web.Close() // its copies would have connections that nobody holds the other end of
	}
	if h.spec.Announce {
		p := h.process()
		if err := p.Announce(ctx, announceTime*h.driver.slowness()); err != nil {
			return err
		}
		defer h.api.Restore()
	}
	fail := func(err error) error {
		if h.ended() || !h.machine.Alive() {
			return &worker.SnapshotError{Reason: "it has ended"}
		}
		return fmt.Errorf("save worker: %w", h.machine.Explain(err))
	}
	old, mark := h.link.Load(), newMark()
	if err := old.session.suspend(ctx, mark); err != nil {
		return fail(err)
	}
	for _, o := range old.out {
		<-o.done
	}
	err := h.driver.options.Process.Seal(dir, &h.spec, func(dir string) error {
		return h.write(ctx, dir, record{Mark: mark, Env: h.spec.Env, Network: h.network != nil})
	})
	if err != nil {
		return fail(err)
	}
	before := h.conn
	if h.conn, err = h.monitor.resume(ctx, h); err != nil {
		h.conn = before
		return fail(err)
	}
	if conn := h.conn; conn != before {
		_ = before.Close()
		h.undo = append(h.undo, func() { _ = conn.Close() })
	}
	s, err := nextSession(h.conn, h.listener, mark, saveTime*h.driver.slowness())
	if err != nil {
		return fail(err)
	}
	l, err := h.open(ctx, s, wire.Request{Op: wire.OpAttach})
	if err != nil {
		s.close()
		return fail(err)
	}
	h.link.Store(l)
	return nil
}

// ID implements worker.Worker.
func (h *handle) ID() string { return h.spec.ID }

// Phases implements worker.Worker.
func (h *handle) Phases() worker.Phases { return h.phases }

// Invoke implements worker.Worker.
func (h *handle) Invoke(ctx context.Context, inv *worker.Invocation) (*worker.Result, error) {
	res, err := h.process().Invoke(ctx, inv)
	if err == nil {
		for _, o := range h.link.Load().out {
			o.settle()
		}
		h.machine.Flush()
	}
	return res, err
}

// HTTP implements worker.Worker.
func (h *handle) HTTP() http.RoundTripper { return h.process() }

// Trace implements worker.Worker.
func (h *handle) Trace(ctx context.Context) ([]byte, error) {
	for i, f := range h.spec.Folders {
		if h.spec.RecordDir == "" || filepath.Clean(f.Target) != filepath.Clean(h.spec.RecordDir) {
			continue
		}
		if h.ended() {
			<-h.removed
			return readKept(f.Keep, process.TraceFile, maxTrace)
		}
		return h.session().read(ctx, i, process.TraceFile, maxTrace)
	}
	return nil, nil
}

// maxTrace is the largest trace that is read; real ones have some hundred kilobytes.
const maxTrace = 8 << 20

// Memory implements worker.Worker: it is the whole machine's, as the host sees it.
func (h *handle) Memory(ctx context.Context) (worker.Memory, error) { return h.machine.Memory(ctx) }

// Peak implements worker.Peaker.
func (h *handle) Peak() int64 { return h.machine.Peak() }

// CPU implements worker.Clocker: it is the whole machine's.
func (h *handle) CPU() time.Duration { return h.machine.CPU() }

// Dropped implements worker.Dropper.
func (h *handle) Dropped() int64 { return h.machine.Dropped() }

// Pause implements worker.Pauser: the monitor stands still, and all processors of the guest with it.
func (h *handle) Pause() error { return h.machine.Pause() }

// Resume implements worker.Pauser.
func (h *handle) Resume() error { return h.machine.Resume() }

// askTime bounds a question to the guest.
const askTime = 10 * time.Second

// Maps implements worker.Mapper.
func (h *handle) Maps(file string) (bool, error) {
	fail := func(err error) (bool, error) {
		return false, fmt.Errorf("look for %s in the memory of worker %s: %w", file, h.spec.ID, err)
	}
	if h.ended() {
		return fail(errors.New("the runtime has ended"))
	}
	inside := ""
	for _, m := range h.spec.Mounts {
		source, err := filepath.Abs(m.Source)
		if err != nil {
			continue
		}
		if file == source {
			inside = m.Target
		} else if rel, ok := strings.CutPrefix(file, source+"/"); ok {
			inside = filepath.Join(m.Target, rel)
		}
	}
	if inside == "" {
		return false, nil // it sees no such file
	}
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	var e wire.Event
	if err := h.session().ask(ctx, wire.Request{Op: wire.OpMaps, Name: inside}, &e); err != nil {
		return fail(err)
	}
	if e.Error != "" {
		return fail(errors.New(e.Error))
	}
	return e.Yes, nil
}

// keepPatience is how long a guest has to hand out what is kept of a worker that is stopped without grace.
const keepPatience = 5 * time.Second

// Stop implements worker.Worker.
func (h *handle) Stop(ctx context.Context, grace time.Duration) error {
	h.stopping.Store(true)
	_ = h.Resume()
	wait := func(how unix.Signal, patience time.Duration) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		go func() { _ = h.session().do(ctx, wire.Request{Op: wire.OpSignal, Signal: int(how)}) }()
		select {
		case <-h.removed:
		case <-ctx.Done():
			if h.ended() { // what it leaves is on its way
				select {
				case <-h.removed:
				case <-time.After(keepTime):
				}
			}
		}
	}
	if grace > 0 && !h.ended() {
		wait(unix.SIGTERM, grace)
	}
	if !h.gone() && h.keeps() {
		wait(unix.SIGKILL, keepPatience)
	}
	h.kill()
	<-h.removed
	if h.removal != nil {
		return fmt.Errorf("stop worker %s: %w", h.spec.ID, h.removal)
	}
	return nil
}

// kill ends the machine, and with it everything.
func (h *handle) kill() {
	h.stopping.Store(true)
	h.machine.Kill()
}

func (h *handle) keeps() bool {
	for _, f := range h.spec.Folders {
		if f.Keep != "" {
			return true
		}
	}
	return false
}

func (h *handle) ended() bool { return closed(h.done) }
func (h *handle) gone() bool  { return closed(h.removed) }

func closed(c chan struct{}) bool {
	select {
	case <-c:
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
