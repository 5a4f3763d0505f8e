// Package fake is a small working driver in memory: its workers are plain values that
// do what a Program says. It serves the tests of everything above the driver contract.
//
// It waits only with timers, so that it runs inside testing/synctest, and it must not know the
// tests that use it.
package fake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// Program is what one worker does. The zero value starts at once and echoes payloads.
type Program struct {
	// Sandbox, Runtime and Init are how long the phases of the start take.
	Sandbox, Runtime, Init time.Duration
	// StartErr, if set, ends the start after Sandbox and Runtime.
	StartErr *worker.StartError
	// Handler runs one invocation; nil echoes the payload. An error that is an *worker.ExitError
	// ends the worker as it says; any other error is a broken test and panics. ctx ends when the
	// worker is stopped or the caller gives up.
	Handler func(ctx context.Context, inv *worker.Invocation) (*worker.Result, error)
	// Web answers requests to the port of a web function.
	Web http.Handler
	// Memory is what the worker reports.
	Memory worker.Memory
	// Trace is what the tracer has written when it is asked for; nil: nothing.
	Trace func() []byte
	// Job runs the specification as a job; nil: it ends at once with code 0. ctx ends when the caller gives
	// up or the driver is closed.
	Job func(ctx context.Context) worker.Finished
	// Maps is whether the runtime maps a file; nil: every one.
	Maps func(file string) bool
	// CPU is the time that the worker took; nil: it does not know.
	CPU func() time.Duration
	// Stop is how long the worker takes to obey SIGTERM; longer than the grace: it is killed then.
	Stop time.Duration
}

// Driver starts workers that run what Programs says for their specification.
type Driver struct {
	programs func(worker.Spec) Program
	caps     worker.Capabilities
	closing  chan struct{}

	mu      sync.Mutex
	closed  bool
	workers map[*Worker]struct{}
	started int
}

// New returns a driver. programs is called once for each Start, maybe concurrently.
func New(programs func(worker.Spec) Program) *Driver {
	return &Driver{
		programs: programs,
		caps:     worker.Capabilities{MemoryLimit: true, CPULimit: true, Isolated: true},
		closing:  make(chan struct{}),
		workers:  map[*Worker]struct{}{},
	}
}

// Name implements worker.Driver.
func (d *Driver) Name() string { return "fake" }

// Capabilities implements worker.Driver.
func (d *Driver) Capabilities() worker.Capabilities { return d.caps }

// Probe implements worker.Driver; it always works.
func (d *Driver) Probe(context.Context) error { return nil }

// Clean implements worker.Driver; nothing outlives the process.
func (d *Driver) Clean(context.Context) (int, error) { return 0, nil }

// Started is how many starts have succeeded, and Alive how many of their workers run.
func (d *Driver) Started() int { d.mu.Lock(); defer d.mu.Unlock(); return d.started }

// Alive is how many workers run.
func (d *Driver) Alive() int { d.mu.Lock(); defer d.mu.Unlock(); return len(d.workers) }

// Paused is how many workers are kept from running.
func (d *Driver) Paused() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for w := range d.workers {
		if w.Paused() {
			n++
		}
	}
	return n
}

// Start implements worker.Driver.
func (d *Driver) Start(ctx context.Context, spec worker.Spec) (worker.Worker, error) {
	if d.isClosed() {
		return nil, worker.ErrClosed
	}
	p := d.programs(spec)
	if err := sleep(ctx, p.Sandbox); err != nil {
		return nil, &worker.StartError{Phase: "sandbox", Err: err}
	}
	if err := sleep(ctx, p.Runtime); err != nil {
		return nil, &worker.StartError{Phase: "runtime", Err: err}
	}
	if p.StartErr != nil {
		return nil, p.StartErr
	}
	if err := sleep(ctx, p.Init); err != nil {
		return nil, &worker.StartError{Phase: "init", Err: err}
	}
	w := &Worker{driver: d, spec: spec, program: p, done: make(chan struct{})}
	w.ctx, w.cancel = context.WithCancel(context.WithoutCancel(ctx))
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, worker.ErrClosed
	}
	d.started++
	d.workers[w] = struct{}{}
	return w, nil
}

// Close implements worker.Driver.
func (d *Driver) Close() error {
	d.mu.Lock()
	if !d.closed {
		close(d.closing)
	}
	d.closed = true
	var left []*Worker
	for w := range d.workers {
		left = append(left, w)
	}
	d.mu.Unlock()
	for _, w := range left {
		_ = w.Stop(context.Background(), 0)
	}
	return nil
}

// Run implements worker.Runner.
func (d *Driver) Run(ctx context.Context, spec worker.Spec) (*worker.Finished, error) {
	if d.isClosed() {
		return nil, worker.ErrClosed
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	job := d.programs(spec).Job
	if job == nil {
		return &worker.Finished{}, nil
	}
	jctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan worker.Finished, 1)
	go func() { ended <- job(jctx) }()
	select {
	case f := <-ended:
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return &f, nil
	case <-d.closing:
		cancel()
		<-ended
		return nil, worker.ErrClosed
	}
}

func (d *Driver) isClosed() bool { d.mu.Lock(); defer d.mu.Unlock(); return d.closed }

// Worker is one worker in memory.
type Worker struct {
	driver  *Driver
	spec    worker.Spec
	program Program
	ctx     context.Context // ends with the worker
	cancel  context.CancelFunc
	done    chan struct{}

	mu     sync.Mutex
	busy   bool
	paused bool
	ended  bool
	exit   worker.Exit
}

// ID implements worker.Worker.
func (w *Worker) ID() string { return w.spec.ID }

// Spec is what the worker was started with.
func (w *Worker) Spec() worker.Spec { return w.spec }

// Phases implements worker.Worker.
func (w *Worker) Phases() worker.Phases {
	return worker.Phases{Sandbox: w.program.Sandbox, Runtime: w.program.Runtime, Init: w.program.Init}
}

// Invoke implements worker.Worker.
func (w *Worker) Invoke(ctx context.Context, inv *worker.Invocation) (*worker.Result, error) {
	w.mu.Lock()
	if w.ended {
		w.mu.Unlock()
		return nil, &worker.ExitError{Exit: w.Exit()}
	}
	if w.busy {
		w.mu.Unlock()
		return nil, worker.ErrBusy
	}
	if w.paused {
		panic(fmt.Sprintf("fake: %s has an invocation while it is paused", w.spec.ID))
	}
	w.busy = true
	w.mu.Unlock()
	defer func() { w.mu.Lock(); w.busy = false; w.mu.Unlock() }()

	hctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(w.ctx, cancel)()
	res, err := w.handle(hctx, inv)
	var exit *worker.ExitError
	switch {
	case errors.As(err, &exit):
		w.end(exit.Exit)
		return nil, &worker.ExitError{Exit: w.Exit()}
	case w.ctx.Err() != nil:
		<-w.done
		return nil, &worker.ExitError{Exit: w.Exit()}
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		panic(fmt.Sprintf("fake: handler of %s returned an error that is no *worker.ExitError: %v", w.spec.ID, err))
	}
	return res, nil
}

func (w *Worker) handle(ctx context.Context, inv *worker.Invocation) (*worker.Result, error) {
	if w.program.Handler == nil {
		event, err := inv.Event()
		if err != nil {
			return nil, &worker.ExitError{}
		}
		return &worker.Result{Outcome: function.OutcomeOK, Payload: event, ContentType: "application/json"}, nil
	}
	return w.program.Handler(ctx, inv)
}

// HTTP implements worker.Worker.
func (w *Worker) HTTP() http.RoundTripper { return port{w} }

type port struct{ w *Worker }

// RoundTrip answers from the program's handler, streamed as it writes. The request's context is the
// handler's; it also ends with the worker and when the answer's body is closed.
func (p port) RoundTrip(r *http.Request) (*http.Response, error) {
	if p.w.program.Web == nil {
		return nil, worker.ErrNotWeb
	}
	if p.w.ctx.Err() != nil {
		return nil, &worker.ExitError{Exit: p.w.Exit()}
	}
	if p.w.Paused() {
		panic(fmt.Sprintf("fake: %s has a request while it is paused", p.w.spec.ID))
	}
	ctx, cancel := context.WithCancel(r.Context())
	unlink := context.AfterFunc(p.w.ctx, cancel)
	in := r.Clone(ctx)
	in.RequestURI = r.URL.RequestURI()
	if in.Body == nil {
		in.Body = http.NoBody
	}
	out := &answer{head: make(chan *http.Response, 1), header: http.Header{}, request: r, stop: cancel}
	out.read, out.write = io.Pipe()
	go func() {
		defer unlink()
		context.AfterFunc(ctx, func() { _ = out.write.CloseWithError(ctx.Err()) })
		p.w.program.Web.ServeHTTP(out, in)
		if ctx.Err() != nil { // whatever the handler made of that
			_ = out.write.CloseWithError(ctx.Err())
			return
		}
		out.WriteHeader(http.StatusOK)
		_ = out.write.Close()
	}()
	select {
	case res := <-out.head:
		return res, nil
	case <-ctx.Done():
		if p.w.ctx.Err() != nil {
			return nil, &worker.ExitError{Exit: p.w.Exit()}
		}
		return nil, ctx.Err()
	}
}

// answer is the http.ResponseWriter of a program's handler.
type answer struct {
	head    chan *http.Response
	header  http.Header
	sent    bool
	request *http.Request
	read    *io.PipeReader
	write   *io.PipeWriter
	stop    context.CancelFunc
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.sent {
		return
	}
	a.sent = true
	a.head <- &http.Response{
		StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.header.Clone(), ContentLength: -1, Request: a.request, Body: answerBody{a.read, a.stop},
	}
}

func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.write.Write(p)
}

type answerBody struct {
	*io.PipeReader
	stop context.CancelFunc
}

func (b answerBody) Close() error {
	b.stop()
	return b.PipeReader.Close()
}

// Trace implements worker.Worker.
func (w *Worker) Trace(context.Context) ([]byte, error) {
	if w.program.Trace == nil {
		return nil, nil
	}
	return w.program.Trace(), nil
}

// Memory implements worker.Worker.
func (w *Worker) Memory(context.Context) (worker.Memory, error) { return w.program.Memory, nil }

// Pause implements worker.Pauser.
func (w *Worker) Pause() error { w.pause(true); return nil }

// Resume implements worker.Pauser.
func (w *Worker) Resume() error { w.pause(false); return nil }

func (w *Worker) pause(paused bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if paused && w.busy {
		panic(fmt.Sprintf("fake: %s was paused under an invocation", w.spec.ID))
	}
	w.paused = paused && !w.ended
}

// Paused reports whether the worker is kept from running.
func (w *Worker) Paused() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.paused }

// CPU implements worker.Clocker.
func (w *Worker) CPU() time.Duration {
	if w.program.CPU == nil {
		return 0
	}
	return w.program.CPU()
}

// Peak implements worker.Peaker.
func (w *Worker) Peak() int64 { return w.program.Memory.Peak }

// Maps implements worker.Mapper.
func (w *Worker) Maps(file string) (bool, error) {
	return w.program.Maps == nil || w.program.Maps(file), nil
}

// Stop implements worker.Worker.
func (w *Worker) Stop(ctx context.Context, grace time.Duration) error {
	w.mu.Lock()
	ended := w.ended
	w.mu.Unlock()
	if ended {
		return nil
	}
	w.pause(false)
	w.cancel()
	if w.program.Stop <= grace {
		if err := sleep(ctx, w.program.Stop); err == nil {
			w.end(worker.Exit{Code: 143, Stopped: true})
			return nil
		}
	} else {
		_ = sleep(ctx, grace)
	}
	w.end(worker.Exit{Code: -1, Signal: "killed", Stopped: true})
	return nil
}

// Kill ends the worker as if it had crashed by itself.
func (w *Worker) Kill(exit worker.Exit) { w.end(exit) }

// Done implements worker.Worker.
func (w *Worker) Done() <-chan struct{} { return w.done }

// Exit implements worker.Worker.
func (w *Worker) Exit() worker.Exit { w.mu.Lock(); defer w.mu.Unlock(); return w.exit }

// end records the first end and tells everybody.
func (w *Worker) end(exit worker.Exit) {
	w.mu.Lock()
	if w.ended {
		w.mu.Unlock()
		return
	}
	w.ended, w.exit = true, exit
	w.mu.Unlock()
	w.driver.mu.Lock()
	delete(w.driver.workers, w)
	w.driver.mu.Unlock()
	close(w.done)
	w.cancel()
}

// sleep waits for d or until ctx ends, whichever is first.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
