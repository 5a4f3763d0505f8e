package guest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/cloudjit/cloudjit/internal/worker"
)

// Process is a runtime as the driver that started it sees it: where it is spoken to, and how one learns that it has ended.
type Process struct {
	API *Server // nil of a web function that has no Runtime API
	Web *Web    // nil of all but web functions
	// Done is closed when the runtime has ended, and Exit says then how.
	Done <-chan struct{}
	Exit *worker.Exit
	// Lag is how much later than a connection breaks the driver may learn that the runtime has ended.
	Lag time.Duration
}

// report is how much longer than Lag a runtime that has failed may take to end: most say on stderr why.
const report = 5

// Started is what is known of a runtime before it is ready.
type Started struct {
	// ReadyPath is as of worker.Spec.
	ReadyPath string
	// Executed is when it began to run.
	Executed time.Time
	// Renewed: it is a copy of a saved web application, which serves when it has renewed what must not be the same in all copies.
	Renewed bool
}

// Await waits until the runtime is ready for its first invocation. runtime is the time to its first sign, init the time from there.
func (p Process) Await(ctx context.Context, s Started) (runtime, init time.Duration, _ *worker.StartError) {
	contact, err := p.await(ctx, s)
	if err != nil {
		return 0, 0, err
	}
	return contact.Sub(s.Executed), time.Since(contact), nil
}

func (p Process) await(ctx context.Context, s Started) (contact time.Time, _ *worker.StartError) {
	fail := func(phase string, err error) *worker.StartError { return &worker.StartError{Phase: phase, Err: err} }
	failed := func(why string) *worker.StartError {
		e := fail("init", errors.New(why))
		e.InitError = p.API.InitError()
		return e
	}
	ended := func(phase string) *worker.StartError {
		<-p.Done
		exit := *p.Exit
		e := fail(phase, fmt.Errorf("the runtime ended before it was ready: %s", exit))
		if e.Exit = &exit; p.API != nil {
			e.InitError = p.API.InitError()
		}
		return e
	}
	if p.Web != nil {
		if s.Renewed {
			select {
			case <-p.API.Ready():
			case <-p.API.Failed():
				return contact, failed("it could not be renewed after it was restored")
			case <-p.Done:
				return contact, ended("init")
			case <-ctx.Done():
				return contact, fail("init", fmt.Errorf("wait for the restored application: %w", ctx.Err()))
			}
		}
		wctx, cancel := context.WithCancel(ctx)
		defer cancel()
		ready := make(chan error, 1)
		go func() { ready <- p.Web.Ready(wctx, s.ReadyPath, func() { contact = time.Now() }) }()
		select {
		case err := <-ready:
			if err != nil {
				return contact, fail("init", err)
			}
			return contact, nil
		case <-p.Done:
			cancel()
			<-ready
			return contact, ended("init")
		}
	}
	select {
	case <-p.API.Ready():
		return p.API.Contact(), nil
	case <-p.API.Failed():
		// Most runtimes exit now, and say on stderr why: give them the moment.
		select {
		case <-p.Done:
			return contact, ended("init")
		case <-time.After(report * p.Lag):
		case <-ctx.Done():
		}
		return contact, failed("the runtime reported that it cannot start")
	case <-p.Done:
		if p.API.InitError() != nil {
			return contact, ended("init")
		}
		return contact, ended("runtime")
	case <-ctx.Done():
		phase := "runtime"
		if !p.API.Contact().IsZero() {
			phase = "init"
		}
		return contact, fail(phase, fmt.Errorf("wait for the runtime: %w", ctx.Err()))
	}
}

// Announce tells the runtime that it will be saved, and returns when it is ready for that, which may take so long: it looks
// through its memory, and hooks of the function's run. The error is a *worker.SnapshotError.
func (p Process) Announce(ctx context.Context, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if p.Web != nil {
		select {
		case <-p.API.Ready(): // what waits there began with the application
		case <-p.Done:
		case <-ctx.Done():
		}
	}
	err := p.API.Checkpoint(ctx)
	if err == nil {
		return nil
	}
	reason := err.Error()
	select {
	case <-p.Done:
		err = ErrGone
	default:
	}
	switch {
	case errors.Is(err, ErrGone):
		reason = "it ended when it was told that it will be saved"
	case errors.Is(err, context.DeadlineExceeded):
		reason = fmt.Sprintf("it was not ready to be saved within %s", patience)
	}
	return &worker.SnapshotError{Reason: reason}
}

// Invoke is as worker.Worker.Invoke.
func (p Process) Invoke(ctx context.Context, inv *worker.Invocation) (*worker.Result, error) {
	if p.API == nil || p.Web != nil {
		return nil, fmt.Errorf("invoke: %w: a web function has no Runtime API", worker.ErrInvalidInvocation)
	}
	res, err := p.API.Invoke(ctx, inv)
	if errors.Is(err, ErrGone) {
		<-p.Done
		return nil, &worker.ExitError{Exit: *p.Exit, NotTaken: errors.Is(err, ErrNotTaken)}
	}
	return res, err
}

// RoundTrip implements http.RoundTripper, as worker.Worker.HTTP wants it.
func (p Process) RoundTrip(r *http.Request) (*http.Response, error) {
	if p.Web == nil {
		return nil, worker.ErrNotWeb
	}
	res, err := p.Web.RoundTrip(r)
	if err == nil {
		return res, nil
	}
	// A broken connection and the end of the runtime race with each other; the end says more.
	select {
	case <-p.Done:
		return nil, &worker.ExitError{Exit: *p.Exit}
	case <-time.After(p.Lag):
		return nil, err
	}
}
