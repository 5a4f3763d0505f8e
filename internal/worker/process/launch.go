package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/guest"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/process/script"
)

// launch makes the sandbox and executes the command; a job has neither the Runtime API nor a port. What
// it acquires is released when it fails, and belongs to the handle when it does not.
func (d *Driver) launch(ctx context.Context, spec worker.Spec, job bool, began time.Time) (*handle, error) {
	return d.launchIn(ctx, spec, job, nil, began)
}

// launchIn is launch; a monitor of a virtual machine, if there is one, is neither a job nor has it what workers have.
func (d *Driver) launchIn(ctx context.Context, spec worker.Spec, job bool, vm *Monitor, began time.Time) (_ *handle, err error) {
	defer func() {
		var known *worker.StartError
		if err != nil && !errors.As(err, &known) {
			err = &worker.StartError{Phase: "sandbox", Err: err}
		}
	}()
	p, err := d.plan(&spec)
	if err != nil {
		return nil, err
	}
	if !job {
		go d.prefetch(&spec)
	}
	p.aside = job || spec.Trial
	if p.aside || vm != nil {
		p.shareNet = false
	}
	h := &handle{driver: d, spec: spec, job: job || vm != nil, began: began, done: make(chan struct{}), removed: make(chan struct{})}
	if h.tenant, err = d.admit(&spec, p.aside); err != nil {
		return nil, err
	}
	if h.tenant.uid >= 0 {
		p.uid, p.gid = h.tenant.uid, h.tenant.uid
	}
	var undo, inherited closers
	undo.add(func() error { d.leave(h.tenant); return nil })
	defer func() {
		inherited.close() // the child has them, or is gone
		if err != nil {
			undo.close()
		}
	}()

	if h.group, err = d.group(&spec, job); err != nil {
		return nil, err
	}
	if h.group != nil {
		undo.add(h.group.Remove)
	}
	var options script.Options
	if h.group != nil {
		born, tasks, err := h.group.Doors()
		if err != nil {
			return nil, err
		}
		if born != nil {
			inherited.add(born.Close)
			options.Cgroup = int(born.Fd())
		}
		for _, f := range tasks {
			inherited.add(f.Close)
			p.joins = append(p.joins, int(f.Fd()))
		}
	}

	stdout, out, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make output: %w", err)
	}
	undo.add(stdout.Close)
	ends := &inherited // whose the writing ends are
	if vm != nil {
		ends = &undo
	}
	ends.add(out.Close)
	stderr, errs, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make output: %w", err)
	}
	undo.add(stderr.Close)
	ends.add(errs.Close)
	ours, theirs, err := SocketPair()
	if err != nil {
		return nil, err
	}
	defer ours.Close()
	inherited.add(theirs.Close)
	p.sink, p.stdout, p.stderr, p.control = int(d.sink.Fd()), rawFD(out), rawFD(errs), int(theirs.Fd())

	if vm != nil {
		if err := h.monitor(&p, vm, out, errs, &inherited, &undo); err != nil {
			return nil, err
		}
	}

	job = job || vm != nil // neither has the Runtime API nor a port
	web := spec.Revision.Kind == function.KindWeb
	var api net.Listener
	port := webPort
	switch {
	case job:
	case p.shareNet:
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("listen for the Runtime API: %w", err)
		}
		port = l.Addr().(*net.TCPAddr).Port
		if web { // only the number is wanted; nobody else gets it for a while
			_ = l.Close()
		} else {
			api = l
			undo.add(l.Close)
		}
	case web:
		p.sockets, p.listen = webConnections(spec.Revision), spec.Announce
	default:
		p.listen, port = true, apiPort
	}
	// A full slice: the caller's array is not written to.
	env := spec.Env[:len(spec.Env):len(spec.Env)]
	switch {
	case job:
		p.env = env
	case web:
		p.env = append(env, fmt.Sprintf("PORT=%d", port))
		if p.listen {
			p.env = append(p.env, fmt.Sprintf("CLOUDJIT_CHECKPOINT_API=127.0.0.1:%d", apiPort))
		}
	default:
		p.env = append(env, fmt.Sprintf("AWS_LAMBDA_RUNTIME_API=127.0.0.1:%d", port))
	}
	if err := d.save(&spec, &p, h, out, errs, &inherited, &undo); err != nil {
		return nil, err
	}
	options.Flags = p.flags()

	// One at a time: until execve children share the server's memory, and with it the flag
	// "dumpable", which a change of user takes away and the next step needs (prctl(2)).
	d.birth.Lock()
	started, err := d.spawner.Start(p.build(), options)
	if err != nil {
		d.birth.Unlock()
		return nil, fmt.Errorf("make namespaces: %w", err)
	}
	inherited.close()
	h.child = newChild(started.PID, started.PidFD)
	giveUp := context.AfterFunc(ctx, func() {
		h.child.kill(unix.SIGKILL)
		_ = ours.CloseWrite() // the process that waits for its users has a copy of this end, too
		_ = ours.Close()
	})
	fds, rerr := receive(ours, func() error { return p.mapUsers() })
	d.birth.Unlock()
	h.executed = time.Now()
	stopped := !giveUp()
	err = errors.Join(rerr, started.Ended())
	var failed *script.CallError
	if errors.As(err, &failed) && strings.HasPrefix(failed.Does, "execute ") {
		err = &worker.StartError{Phase: "runtime", Err: failed}
	}
	if err == nil && stopped {
		err = ctx.Err()
	}
	if p.savable {
		err = errors.Join(err, h.adopt(&p))
	}
	sockets := p.handedOver()
	if err == nil && len(fds) != sockets+len(p.folders) {
		err = errors.New("make sandbox: the child ended early")
	}
	if err == nil {
		h.folders, fds = newFolders(spec.Folders, fds[sockets:]), fds[:sockets]
	}
	if err == nil && p.listen {
		api, err = listener(fds[0])
		fds = fds[1:]
	}
	if err == nil {
		err = d.mark(spec.ID, h.child.pid)
	}
	if err != nil {
		h.child.kill(unix.SIGKILL)
		h.child.wait()
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
		h.folders.close()
		if api != nil {
			_ = api.Close()
		}
		return nil, err
	}

	h.phases.Sandbox = h.executed.Sub(began)
	h.out = newOutput(spec.Output, h.tenant.output, stdout, stderr)
	if api != nil {
		runtime := guest.NewRuntime()
		if h.saved != nil {
			runtime.Environment = h.saved.changed
		}
		h.api = guest.Serve(api, runtime)
	}
	switch {
	case job || !web:
	case p.shareNet:
		h.web = guest.NewWeb(hostPort(port), webConnections(spec.Revision))
	default:
		h.dialer = newDialer(fds, webPort)
		h.web = guest.NewWeb(h.dialer.dial, len(fds))
	}
	d.mu.Lock()
	d.workers[h] = struct{}{}
	closed := d.closed
	d.mu.Unlock()
	if closed { // Close has looked already, and waits
		h.stop()
	}
	go h.watch()
	return h, nil
}

// rawFD is the descriptor of a file whose mode (Go's, non-blocking) must not become the
// child's: a pipe end that the runtime writes to blocks, as every program expects.
func rawFD(f *os.File) int { return int(f.Fd()) }

// closers are released in reverse order, once.
type closers []func() error

func (c *closers) add(f func() error) { *c = append(*c, f) }

func (c *closers) close() {
	for i := len(*c) - 1; i >= 0; i-- {
		_ = (*c)[i]()
	}
	*c = nil
}
