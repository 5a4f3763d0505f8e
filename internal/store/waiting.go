package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/cloudjit/cloudjit/internal/function"
)

// Waiting is an asynchronous invocation in the queue, without its payload.
type Waiting struct {
	Async
	// Bytes of its payload.
	Bytes int `json:"bytes"`
	// Running: an attempt is under way.
	Running bool `json:"running"`
	// Failed attempts until now, and how many times it was put off because the function was throttled.
	Failed   int `json:"failed"`
	Deferred int `json:"deferred"`
	// NotBefore is when it is tried again, if it waits for that.
	NotBefore *time.Time `json:"notBefore,omitempty"`
}

// FunctionQueue is what a function has in the queue.
type FunctionQueue struct {
	Function function.Name `json:"function"`
	Events   int           `json:"events"`
	Running  int           `json:"running"`
	Bytes    int64         `json:"bytes"`
}

// Queue says what the functions for which keep says yes have in the queue, by name, and shows the limit oldest of those
// invocations.
func (s *Store) Queue(ctx context.Context, keep func(function.Name) bool, limit int) ([]FunctionQueue, []*Waiting, error) {
	uses, events := []FunctionQueue{}, []*Waiting{}
	s.backlogMu.Lock()
	var all []queued
	for seq, q := range s.backlog.known {
		if keep(q.line.name) {
			all = append(all, queued{seq: seq, size: q.size, at: q.at, taken: q.taken})
		}
	}
	for name, l := range s.backlog.lines {
		if l.events > 0 && keep(name) {
			uses = append(uses, FunctionQueue{name, l.events, l.taken, l.bytes})
		}
	}
	s.backlogMu.Unlock()
	slices.SortFunc(uses, func(a, b FunctionQueue) int { return cmp.Compare(a.Function, b.Function) })
	slices.SortFunc(all, func(a, b queued) int { return cmp.Compare(a.seq, b.seq) })
	now := time.Now()
	for _, q := range all[:min(limit, len(all))] {
		var msg *jetstream.RawStreamMsg
		err := s.read(ctx, func(ctx context.Context, x *session) (err error) {
			msg, err = x.queue.GetMsg(ctx, q.seq)
			return err
		})
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue // it ended meanwhile
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read queue: %w", err)
		}
		w := &Waiting{Bytes: q.size, Running: q.taken}
		if err := json.Unmarshal([]byte(msg.Header.Get(asyncHeader)), &w.Async); err != nil {
			continue // nothing of ours
		}
		if a, ok := s.attempts.get(strconv.FormatUint(q.seq, 10)); ok {
			w.Failed, w.Deferred = a.Failed, a.Deferred
			w.Running = w.Running || a.Runner != ""
			if !w.Running && a.NotBefore.After(now) {
				w.NotBefore = &a.NotBefore
			}
		}
		w.Spooled = nil
		events = append(events, w)
	}
	return uses, events, nil
}
