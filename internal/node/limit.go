package node

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// emulated is how many times as long as on a real processor a worker may take to become ready where it is emulated:
// a JVM takes some 15 times as long.
const emulated = 20

// askedEmulated is how many times as long a worker may take there to answer a check: a JVM's first answer takes some 6 s.
const askedEmulated = 5

// initTimeout is how long a worker of a revision may take to become ready.
func (n *Node) initTimeout(spec *function.Spec) time.Duration {
	limit := n.opt.InitTimeout
	if spec.Kind == function.KindWeb {
		limit = n.opt.WebInitTimeout
	}
	if n.capabilities(spec).Emulated {
		limit *= emulated
	}
	return limit
}

// slowly is how long something may take of a revision's workers that takes so long at most on a real processor.
func (n *Node) slowly(spec *function.Spec, limit time.Duration) time.Duration {
	if n.capabilities(spec).Emulated {
		return limit * askedEmulated
	}
	return limit
}

// capabilities of the workers of a revision; none where its driver is not there.
func (n *Node) capabilities(spec *function.Spec) worker.Capabilities {
	d, err := worker.DriverOf(n.opt.Driver, spec)
	if err != nil {
		return worker.Capabilities{}
	}
	return d.Capabilities()
}

// limitOf is how long a start may take: as the engine says, or, where it does not (a check), as any of its kind.
func (n *Node) limitOf(w *instance) time.Duration {
	if w.limit > 0 {
		return w.limit
	}
	return n.initTimeout(w.rev.spec)
}

// start starts a worker that has a time to become ready. It gets more where the machine has more to do than it has
// cores: then it is no fault of the function's that it takes longer. The error says when it was too slow.
func (n *Node) start(ctx context.Context, spec worker.Spec, limit time.Duration) (worker.Worker, error) {
	limit = time.Duration(float64(limit) * crowding(n.opt.Load(), runtime.NumCPU()))
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	w, err := n.opt.Driver.Start(limited, spec)
	var start *worker.StartError
	if err != nil && ctx.Err() == nil && limited.Err() != nil && errors.As(err, &start) && start.Exit == nil && start.Phase != "sandbox" {
		start.Err = &slowError{limit, start.Phase, start.Err}
	}
	return w, err
}

// slowError is a start that was given up because of its time.
type slowError struct {
	limit time.Duration
	phase string
	err   error
}

func (e *slowError) Error() string {
	what := "it did not ask for its first invocation"
	if e.phase == "init" {
		what = "its initialization did not end"
	}
	said := ""
	if _, after, ok := strings.Cut(e.err.Error(), "; stderr: "); ok {
		said = "; stderr: " + after
	}
	return fmt.Sprintf("not ready after %v: %s (the limit is workers.initTimeout, of web applications workers.webInitTimeout)%s",
		e.limit.Round(100*time.Millisecond), what, said)
}

func (e *slowError) Unwrap() error { return e.err }

// mostCrowding is how many times as long as on a free machine a start may take at most.
const mostCrowding = 6

// crowding is how many times as long everything takes where load tasks want to run on some cores.
func crowding(load float64, cores int) float64 {
	return min(max(load/float64(cores), 1), mostCrowding)
}
