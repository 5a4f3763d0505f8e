package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/cloudjit/cloudjit/internal/cluster"
)

// On several nodes every node reads the whole queue, so that each can be fair and knows the bounds. Which of them runs an
// invocation is decided by rendezvous over those that live, and made certain by a claim: before each run the node writes into the
// invocation's attempt that it runs it, comparing the sequence. A claim of a node that died counts as an attempt that failed. So
// whatever dies, and whoever is mistaken about that, nothing runs more often than its retries allow, and nothing is left out.
// The record goes when the invocation has ended, which tells the other nodes.

// claimsPeriod is how often it is looked for claims of nodes that died, allPeriod at all that is left to others: a safety net.
const (
	claimsPeriod = time.Second
	allPeriod    = 15 * time.Second
)

// Join tells the store of the other nodes; from then on it takes part in running the queue and in cleaning up.
func (s *Store) Join(c *cluster.Cluster) {
	s.peers.Store(c)
	changed := make(chan struct{}, 1)
	c.OnChange(func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	life, end := context.WithCancel(context.Background())
	s.endScrub = end
	s.scrubbed.Go(func() { s.watchReplication(life) })
	s.scrubbed.Go(func() { s.tidy(life) })
	s.scrubbed.Go(func() { s.relist(life) })
	s.scrubbed.Go(func() {
		tick, all := time.NewTicker(claimsPeriod), time.NewTicker(allPeriod)
		defer tick.Stop()
		defer all.Stop()
		s.takeOver(true)
		for {
			select {
			case <-life.Done():
				return
			case <-changed:
				s.takeOver(true)
			case <-all.C:
				s.takeOver(true)
			case <-tick.C:
				s.takeOver(false)
			}
		}
	})
}

// isHome reports whether this node is the one that an invocation falls to among those that live.
func (s *Store) isHome(seq uint64) bool {
	p := s.peers.Load()
	return p != nil && p.Owns("async."+strconv.FormatUint(seq, 10))
}

// mayRun reports whether this node is to run an invocation, as far as it knows. What it has begun is its own to end even
// where the invocation falls to another node meanwhile: that one waits as long as this one lives.
func (s *Store) mayRun(seq uint64) bool {
	p := s.peers.Load()
	if p == nil {
		return false
	}
	a, ok := s.attempts.get(strconv.FormatUint(seq, 10))
	if ok && a.Runner == p.Self().ID {
		return true
	}
	return s.isHome(seq) && (!ok || a.Runner == "" || !p.Running(a.Runner))
}

// takeOver looks for invocations that other nodes had and that are this one's now: of all, or of those that a node had begun.
func (s *Store) takeOver(all bool) {
	var mine []uint64
	if all {
		s.backlogMu.Lock()
		for seq, q := range s.backlog.known {
			if q.held {
				mine = append(mine, seq)
			}
		}
		s.backlogMu.Unlock()
	} else {
		s.attempts.rows.Range(func(_, v any) bool {
			if a := v.(*row[attempt]).doc; a != nil && a.Runner != "" {
				mine = append(mine, a.Seq)
			}
			return true
		})
	}
	for _, seq := range mine {
		s.held(seq)
	}
}

// held looks once more at an invocation that was just left to another node: whose it is may have changed between the look
// that said so and the note of it, and who told of the change found nothing to let go.
func (s *Store) held(seq uint64) {
	if s.mayRun(seq) {
		s.unhold(seq)
	}
}

// unhold lets this node run an invocation.
func (s *Store) unhold(seq uint64) {
	var at time.Time
	if a, ok := s.attempts.get(strconv.FormatUint(seq, 10)); ok {
		at = a.NotBefore
	}
	s.changeBacklog(func(b *backlog) { b.unhold(seq, at, time.Now()) })
}

// attempted sees every change of an attempt's record.
func (s *Store) attempted(old, new *attempt) {
	switch {
	case new == nil:
		s.changeBacklog(func(b *backlog) { b.ended(old.Seq) })
	case new.Runner == "" && s.isHome(new.Seq): // not mayRun: the table's lock is held
		at := new.NotBefore
		s.changeBacklog(func(b *backlog) { b.unhold(new.Seq, at, time.Now()) })
	}
}

// claim makes sure that only this node runs an invocation whose turn it is; nil: it does not.
func (s *Store) claim(ctx context.Context, q *queued) (*Delivery, error) {
	p := s.peers.Load()
	key := strconv.FormatUint(q.seq, 10)
	hold := func() (*Delivery, error) {
		s.changeBacklog(func(b *backlog) { b.hold(q) })
		s.held(q.seq)
		return nil, nil
	}
	for i := range maxConflicts {
		a, seq := attempt{Seq: q.seq}, uint64(0)
		if r := s.attempts.row(key); r != nil && r.doc != nil {
			a, seq = *r.doc, r.seq
		}
		self := p.Self().ID
		if a.Runner != self {
			if !s.isHome(q.seq) || a.Runner != "" && p.Running(a.Runner) {
				return hold()
			}
			if a.Runner != "" {
				a.Failed++ // it was cut off with its node
				a.NotBefore = time.Time{}
			}
			q.given = false
		} else if q.given {
			a.Failed++ // who had it could not say how it ended
		}
		if a.NotBefore.After(time.Now()) {
			s.putBack(q, a.NotBefore)
			return nil, nil
		}
		a.Runner, a.Started = self, time.Now().UTC()
		claimed, err := s.writeClaim(ctx, key, &a, seq)
		if isConflict(err) || errors.Is(err, jetstream.ErrKeyExists) {
			err := s.attempts.overtaken(ctx, key, seq, i)
			if errors.Is(err, ErrNotFound) { // it has ended, or a record that was removed is not known as that yet
				if seq > 0 {
					s.attempts.set(key, seq+1, nil)
				}
				err = nil
			}
			if err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		v, err := s.readClaimed(ctx, q, claimed)
		if err != nil {
			return nil, err
		}
		if v == nil { // it has ended
			return nil, ignoreNotFound(s.attempts.remove(ctx, key))
		}
		v.Failed, v.Deferred = a.Failed, a.Deferred
		q.given = true
		return v, nil
	}
	return nil, fmt.Errorf("claim invocation %s: %d other writers were first", key, maxConflicts)
}

// writeClaim writes an attempt where its record is still at seq (0: there is none).
func (s *Store) writeClaim(ctx context.Context, key string, a *attempt, seq uint64) (uint64, error) {
	value, err := json.Marshal(a)
	if err != nil {
		return 0, err
	}
	var now uint64
	if seq == 0 {
		now, err = s.attempts.kv.create(ctx, "attempt."+key, value)
	} else {
		now, err = s.attempts.kv.update(ctx, "attempt."+key, value, seq, true)
	}
	if err != nil {
		return 0, err
	}
	return now, s.attempts.apply(key, found{seq: now, value: value})
}

// unclaim ends a run that is to be followed by another one; where another node has taken it over meanwhile, that one goes on.
func (v *Delivery) unclaim(ctx context.Context, a *attempt) error {
	err := v.s.persist(ctx, func() error {
		_, err := v.s.writeClaim(ctx, v.key(), a, v.claimed)
		return err
	})
	if isConflict(err) {
		v.s.log.Warn("another node took over an invocation that this one ran", "request", v.RequestID, "function", v.Function)
		v.hold()
		return nil
	}
	return err
}

// hold leaves the invocation to another node.
func (v *Delivery) hold() {
	seq := v.number()
	v.end((*backlog).hold)
	v.s.held(seq)
}

// mine reports whether the run that ends is still this node's.
func (v *Delivery) mine(ctx context.Context) (bool, error) {
	if !v.s.clustered() {
		return true, nil
	}
	mine := false
	err := v.s.persist(ctx, func() error {
		e, err := v.s.attempts.kv.get(ctx, "attempt."+v.key())
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			return nil
		}
		mine = err == nil && e.Revision() == v.claimed
		return err
	})
	return mine, err
}

// tidyPeriod is how often one node removes what nothing refers to, tidyAge how old that has to be: another node may be
// between two writes.
const (
	tidyPeriod = 5 * time.Minute
	tidyAge    = 10 * time.Minute
)

// tidy removes, on one node, what a crash between two writes left, until ctx ends.
func (s *Store) tidy(ctx context.Context) {
	for {
		sleep(ctx, tidyPeriod)
		if ctx.Err() != nil {
			return
		}
		if p := s.peers.Load(); !p.Owns("tidy") || s.Doubtful() {
			continue
		}
		err := s.sweepClustered(ctx)
		if err == nil {
			err = s.sweepBlobs(ctx)
		}
		if err != nil && ctx.Err() == nil {
			s.log.Warn("remove what nothing refers to", "error", err)
		}
	}
}

// sweepClustered is sweep beside other nodes that write.
func (s *Store) sweepClustered(ctx context.Context) error {
	used := map[string]bool{}
	for _, f := range s.Functions() {
		for _, id := range f.revisions() {
			used[string(id)] = true
		}
	}
	for _, r := range s.Revisions() {
		if used[string(r.Spec.ID)] || time.Since(r.CreatedAt) < tidyAge {
			continue
		}
		// The leader knows whether it is named meanwhile.
		err := s.functions.refresh(ctx, string(r.Spec.Function))
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		if f, ok := s.Function(r.Spec.Function); ok && err == nil && slices.Contains(f.revisions(), r.Spec.ID) {
			continue
		}
		if err := s.removeRevision(ctx, r.Spec.ID); err != nil {
			return err
		}
	}
	for _, key := range s.attempts.keys() {
		a, ok := s.attempts.get(key)
		if !ok || time.Since(a.Started) < tidyAge || time.Since(a.NotBefore) < tidyAge || a.Runner != "" && s.peers.Load().Running(a.Runner) {
			continue
		}
		there, err := s.isQueued(ctx, a.Seq)
		if err == nil && !there {
			err = ignoreNotFound(s.attempts.remove(ctx, key))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// feedClustered keeps the backlog up to date with the queue until ctx ends.
func (s *Store) feedClustered(ctx context.Context) {
	for ctx.Err() == nil {
		x := s.now.Load()
		life, end := context.WithCancel(ctx)
		stop := context.AfterFunc(x.sound, end)
		lost := false
		x.listen(life, s, x.queue, jetstream.OrderedConsumerConfig{HeadersOnly: true}, listener{
			took:    func(msg jetstream.Msg, _ uint64) { s.told(ctx, msg) },
			current: func() { lost = false },
			broken: func(err error) {
				if !lost {
					s.log.Warn("the queue is not heard of for a moment", "error", err)
				}
				lost = true
			},
		})
		stop()
		end()
		if ctx.Err() == nil {
			_ = s.renewed(ctx, x)
		}
	}
}
