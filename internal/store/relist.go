package store

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A node learns of an invocation from the queue, and of its end from another stream. Where the end comes first, it would count
// something for ever that is not there; and whatever else may go wrong on the way, nothing that was accepted must be
// overlooked. So from time to time what a node knows is compared with what there is.

const (
	// relistPeriod is how often the numbers are compared, relistAll after how many of these the queue is listed anyway, and relistMost
	// how many differences are looked at in one go.
	relistPeriod = 5 * time.Second
	relistAll    = 12
	relistMost   = 2000
)

// relist compares again and again until ctx ends.
func (s *Store) relist(ctx context.Context) {
	for n := 1; ; n++ {
		s.backlogMu.Lock()
		known := len(s.backlog.known)
		s.backlogMu.Unlock()
		// Listing a hundred thousand takes a second or two.
		sleep(ctx, relistPeriod+time.Duration(known)*time.Millisecond/10)
		if ctx.Err() != nil {
			return
		}
		if err := s.relistOnce(ctx, n%relistAll == 0); err != nil && ctx.Err() == nil {
			s.log.Debug("compare the queue with what is known of it", "error", err)
		}
	}
}

// knows reports whether an invocation is known to this node.
func (s *Store) knows(seq uint64) bool {
	s.backlogMu.Lock()
	defer s.backlogMu.Unlock()
	return s.backlog.known[seq] != nil
}

// relistOnce compares the numbers, and each invocation where they differ, or if all is said.
func (s *Store) relistOnce(ctx context.Context, all bool) error {
	x := s.now.Load()
	before := map[uint64]bool{}
	s.backlogMu.Lock()
	for seq, q := range s.backlog.known {
		if !q.taken { // what this node runs it sees the end of
			before[seq] = true
		}
	}
	known := len(s.backlog.known)
	s.backlogMu.Unlock()
	look, cancel := context.WithTimeout(ctx, oneTry)
	info, err := x.queue.Info(look)
	cancel()
	if err != nil {
		return err
	}
	if info.State.Msgs == 0 && len(before) == 0 || !all && info.State.Msgs == uint64(known) {
		return nil
	}
	var unknown []jetstream.Msg
	err = x.each(ctx, s, x.queue, jetstream.OrderedConsumerConfig{HeadersOnly: true}, func(msg jetstream.Msg, seq uint64) error {
		delete(before, seq)
		if !s.knows(seq) && len(unknown) < relistMost {
			unknown = append(unknown, msg)
		}
		return nil
	})
	if err != nil {
		return err
	}
	missed, ended := 0, 0
	for _, msg := range unknown {
		meta, err := msg.Metadata()
		if err != nil {
			continue
		}
		seq := meta.Sequence.Stream
		there, err := s.isQueued(ctx, seq) // what was listed may be behind
		if err != nil {
			return err
		}
		if there && !s.knows(seq) {
			s.told(ctx, msg)
			missed++
		}
	}
	looked := 0
	for seq := range before {
		if looked++; looked > relistMost {
			break
		}
		there, err := s.isQueued(ctx, seq)
		if err != nil {
			return err
		}
		if !there {
			s.changeBacklog(func(b *backlog) { b.ended(seq) })
			ended++
		}
	}
	if missed > 0 {
		s.log.Warn("this node had overlooked invocations in the queue", "invocations", missed)
	}
	if ended > 0 {
		s.log.Debug("invocations had ended on other nodes, unnoticed", "invocations", ended)
	}
	return nil
}
