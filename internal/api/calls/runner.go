// Package calls runs functions for the API's faces: it finds the version that is meant, waits until
// that can serve, invokes it, says in Lambda's words what came of it, and works off the queue of
// asynchronous invocations.
//
// It must not know how a request came or how its answer is written, nor how functions run. The warm
// path, an invocation of a function that has a worker, reads two maps in memory and nothing else.
package calls

import (
	"sync"

	"github.com/cloudjit/cloudjit/internal/api/gate"
)

// Runner invokes functions and prepares them.
type Runner struct {
	*gate.Gate

	// Updates counts the preparations that run.
	Updates sync.WaitGroup
	// preparing has the revisions that are being prepared.
	preparing sync.Map
	// settled is closed and replaced whenever a function's state may have changed.
	settledMu sync.Mutex
	settled   chan struct{}
}

// New makes a runner behind a gate.
func New(g *gate.Gate) *Runner { return &Runner{Gate: g, settled: make(chan struct{})} }
