package node

import (
	"context"

	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/function"
)

// Standing is what placement on several nodes asks of this one.
type Standing struct {
	engine.Counts
	Function function.Name
	// MiB is what a worker of the revision reserves; Idle: one is idle.
	MiB  int32
	Idle bool
	// Limited: the function has a concurrency of its own.
	Limited bool
	// Driver is the one that the function chose; empty: each node's own.
	Driver string
}

// Standing says how the node stands for a revision; false if it does not have it.
func (n *Node) Standing(id function.RevisionID) (Standing, bool) {
	rev, ok := n.lookup(id)
	if !ok {
		return Standing{}, false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return Standing{
		Counts: n.engine.Counts(), Function: rev.spec.Function, MiB: rev.memory + rev.overhead,
		Idle: n.engine.RevisionCounts(rev.id).Idle > 0, Limited: rev.fn.config.Reserved >= 0, Driver: rev.spec.Driver,
	}, true
}

// Counts are the engine's present numbers.
func (n *Node) Counts() engine.Counts {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.engine.Counts()
}

// Idle are the revisions that have idle workers, most of them at most.
func (n *Node) Idle(most int) []function.RevisionID {
	n.mu.Lock()
	defer n.mu.Unlock()
	var ids []function.RevisionID
	for _, w := range n.workers {
		if w == nil || !w.ready || w.uses > 0 || w.why != engine.ReasonNone {
			continue
		}
		if ids = append(ids, w.rev.spec.ID); len(ids) == most {
			break
		}
	}
	return ids
}

// WantsTail reports whether WithTail was asked for.
func WantsTail(ctx context.Context) bool {
	tail, _ := ctx.Value(tailKey{}).(bool)
	return tail
}
