package node

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
)

// Event is one thing that happened, for the event stream.
type Event struct {
	Seq  uint64    `json:"seq"`
	Time time.Time `json:"time"`
	// Type is a dotted name: "worker.started", "pipeline.moved", "build.ended"...
	Type     string              `json:"type"`
	Function function.Name       `json:"function,omitempty"`
	Revision function.RevisionID `json:"revision,omitempty"`
	Worker   string              `json:"worker,omitempty"`
	Reason   string              `json:"reason,omitempty"`
	Data     json.RawMessage     `json:"data,omitempty"`
	// Node is where it happened, of several nodes. Each counts its own.
	Node string `json:"node,omitempty"`
}

// eventBuffer is how many events a reader may be behind before it misses some.
const eventBuffer = 1024

// bus hands events to readers. Sending never blocks.
type bus struct {
	watched atomic.Int32 // how many readers
	mu      sync.Mutex
	seq     uint64
	readers map[chan Event]struct{}
	ended   chan struct{}
}

func (b *bus) init() {
	b.readers, b.ended = map[chan Event]struct{}{}, make(chan struct{})
}

func (b *bus) send(e Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e.Seq, e.Time = b.seq+1, time.Now().UTC()
	b.seq = e.Seq
	for r := range b.readers {
		select {
		case r <- e:
		default: // it is too slow and sees a gap in Seq
		}
	}
}

func (b *bus) close() { close(b.ended) }

// Events calls yield with each event from now on, in order, until yield fails, ctx ends or the
// node closes. A reader that is too slow misses events: Event.Seq shows it.
func (n *Node) Events(ctx context.Context, yield func(Event) error) error {
	b := &n.events
	r := make(chan Event, eventBuffer)
	b.mu.Lock()
	b.readers[r] = struct{}{}
	b.watched.Add(1)
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		delete(b.readers, r)
		b.watched.Add(-1)
		b.mu.Unlock()
	}()
	for {
		select {
		case e := <-r:
			if err := yield(e); err != nil {
				return err
			}
		case <-b.ended:
			return ErrDraining
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// data encodes what an event says beside its fields; the values are the node's own and always encode.
func data(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return b
}
