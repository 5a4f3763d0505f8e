package store

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/cloudjit/cloudjit/internal/health"
)

// change is one change of the durable state, as it is asked for.
type change struct {
	// class and key, or the sequence in its place, name in the inventory what is changed; an empty class is not
	// kept there.
	class, key string
	seq        uint64
	// value is what is there afterwards; nil: nothing is.
	value []byte
	// room is how many bytes are written.
	room int
	// long is how long one try may take, if that is not oneTry; on several nodes.
	long time.Duration
	// note says how something ended that is under way: it may use the disk's reserve.
	note bool
}

// Classes of what the inventory lists.
const (
	stateKey = "state"
	queueKey = "queue"
	deadKey  = "dead"
	docsKey  = "docs"
)

// write makes one change: where the disk has room for it, on the embedded server as it runs now, and
// with the inventory. The sequence is that of the change. It returns an error at once while the
// server is broken.
func (s *Store) write(ctx context.Context, c change, do func(context.Context, *session) (uint64, error)) (uint64, error) {
	admit := s.disk.Admit
	if c.note {
		admit = s.disk.AdmitNote
	}
	if err := admit(int64(c.room)); err != nil {
		return 0, err
	}
	if err := s.unavailable(); err != nil {
		return 0, err
	}
	s.gate.RLock()
	defer s.gate.RUnlock()
	if err := s.unavailable(); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if s.clustered() {
		return s.writeClustered(ctx, c, do)
	}
	x := s.now.Load()
	// An embedded server that ran out of room may not answer at all.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(x.sound, cancel)()
	name := c.name(c.seq)
	if c.class != "" && c.key != "" {
		defer s.lockKey(name)()
	}
	restore, err := s.strikeOff(c, name)
	if err != nil {
		return 0, err
	}
	seq, err := do(ctx, x)
	if err != nil && restore != nil {
		err = errors.Join(err, s.inventory.list(*restore))
	}
	if err == nil && c.class != "" && c.value != nil {
		if err := s.inventory.list(entry{c.name(seq), seq, c.value}); err != nil {
			return 0, err
		}
	}
	if x.sound.Err() != nil && err != nil {
		return 0, errors.Join(s.unavailable(), err)
	}
	if !harmless(err) {
		s.suspect(err)
	}
	return seq, err
}

// writeClustered makes a change on several nodes, again while there is no leader; the caller finds out whether an earlier try that
// was not answered has done it.
func (s *Store) writeClustered(ctx context.Context, c change, do func(context.Context, *session) (uint64, error)) (uint64, error) {
	var seq uint64
	err := s.again(ctx, max(c.long, oneTry), func(ctx context.Context, x *session) (err error) {
		seq, err = do(ctx, x)
		return err
	})
	return seq, err
}

// again tries something until it works or fails for a reason that stays, as long as a new leader may take. The error is
// ErrUnavailable then.
func (s *Store) again(ctx context.Context, one time.Duration, do func(context.Context, *session) error) error {
	for end := time.Now().Add(patient); ; {
		x := s.now.Load()
		try, cancel := context.WithTimeout(ctx, one)
		stop := context.AfterFunc(x.sound, cancel)
		err := do(try, x)
		stop()
		cancel()
		switch {
		case errors.Is(ctx.Err(), context.DeadlineExceeded) && isTransient(err):
			return fmt.Errorf("%w: the cluster has no leader, or does not answer: %w", ErrUnavailable, err)
		case err == nil, ctx.Err() != nil, harmless(err) && !errors.Is(err, context.Canceled):
			return err
		case !isTransient(err) && x.sound.Err() == nil:
			return err
		case s.unavailable() != nil:
			return errors.Join(s.unavailable(), err)
		case time.Now().After(end):
			return fmt.Errorf("%w: the cluster has no leader, or does not answer: %w", ErrUnavailable, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.closing:
			return ErrUnavailable
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// name is what the inventory calls what is changed.
func (c *change) name(seq uint64) string {
	if c.key != "" {
		return c.class + "/" + c.key
	}
	return c.class + "/" + strconv.FormatUint(seq, 10)
}

// strikeOff takes what is to be removed off the inventory, and returns what lists it again.
func (s *Store) strikeOff(c change, name string) (*entry, error) {
	if c.class == "" || c.value != nil {
		return nil, nil
	}
	var back *entry
	if l, ok := s.inventory.get(name); ok && c.key != "" {
		if value, ok := s.inventory.value(name); ok {
			back = &entry{name, l.seq, value}
		}
	} else if !ok && c.key != "" {
		return nil, nil
	}
	return back, s.inventory.list(entry{name: name, seq: c.seq})
}

// lockKey keeps the inventory's order of what is done to one key that of the embedded server.
func (s *Store) lockKey(name string) func() {
	m := &s.keys[maphash.String(keySeed, name)%uint64(len(s.keys))]
	m.Lock()
	return m.Unlock
}

var keySeed = maphash.MakeSeed()

// brokenness is why nothing can be written, and since when.
type brokenness struct {
	err   error
	since time.Time
}

// suspect takes the embedded server for broken: nothing is written until the keeper has started it anew.
func (s *Store) suspect(err error) {
	if s.broken.CompareAndSwap(nil, &brokenness{err, time.Now()}) {
		s.now.Load().fail()
		select {
		case s.repair <- struct{}{}:
		default:
		}
	}
}

func (s *Store) unavailable() error {
	if b := s.broken.Load(); b != nil {
		return fmt.Errorf("%w: %v", ErrUnavailable, b.err)
	}
	return nil
}

// keeperPeriod is how long the keeper waits after a start that failed.
const keeperPeriod = 250 * time.Millisecond

// keep starts the embedded server anew whenever it is broken, until the store is closed.
func (s *Store) keep() {
	defer close(s.kept)
	for {
		select {
		case <-s.repair:
		case <-s.closing:
			return
		}
		for s.broken.Load() != nil {
			if err := s.restart(); err != nil {
				s.log.Error("the store cannot be opened again; it will be tried again", "error", err)
			}
			select {
			case <-time.After(keeperPeriod):
			case <-s.closing:
				return
			}
		}
	}
}

// restart ends the embedded server and begins anew. What is in memory stays until then, and is read from.
func (s *Store) restart() error {
	if err := s.disk.AdmitNote(1 << 20); err != nil {
		return err
	}
	s.gate.Lock()
	defer s.gate.Unlock()
	why := s.broken.Load()
	s.log.Warn("starting the embedded NATS server again", "because", why.err)
	begin, limit := s.openSession, readyTimeout
	if s.clustered() {
		begin, limit = s.openClustered, 3*readyTimeout
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	s.now.Load().end()
	x, err := begin(ctx)
	if err != nil {
		x.end()
		return err
	}
	s.now.Store(x)
	s.broken.Store(nil)
	s.log.Info("the store is writable again", "after", time.Since(why.since).Round(time.Millisecond))
	return nil
}

// Problems are what is wrong with the store now.
func (s *Store) Problems() []health.Problem {
	var out []health.Problem
	if st := s.disk.State(); st.Full {
		out = append(out, health.Problem{Component: "disk", Since: st.Since, Message: fmt.Sprintf(
			"The disk is full: %s has %.1f MB left beside what is kept back. What is new is refused; make room, and it goes on by itself.", s.dir, float64(st.Free)/1e6)})
	}
	if b := s.broken.Load(); b != nil {
		out = append(out, health.Problem{Component: "store", Since: b.since,
			Message: fmt.Sprintf("Nothing can be written (%v); it goes on by itself as soon as that is over.", b.err)})
	}
	return append(out, s.damage.list()...)
}

// bucket writes to one key-value bucket through the store's gate.
type bucket struct {
	s *Store
	// of is the bucket in a session.
	of func(*session) jetstream.KeyValue
	// class of its keys in the inventory; empty: they are not listed.
	class string
}

// bounded bounds a write of several steps: on several nodes each of them waits for a leader.
func (b bucket) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if b.s == nil || !b.s.clustered() {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, patient+oneTry)
}

func (b bucket) change(key string, value []byte, note bool) change {
	c := change{value: value, room: len(key) + len(value) + 1<<10, note: note}
	if b.class != "" {
		c.class, c.key = b.class, key
	}
	return c
}

func (b bucket) create(ctx context.Context, key string, value []byte) (uint64, error) {
	tries := 0
	seq, err := b.s.write(ctx, b.change(key, value, false), func(ctx context.Context, x *session) (uint64, error) {
		tries++
		return b.of(x).Create(ctx, key, value)
	})
	return b.settled(ctx, key, value, tries, seq, err)
}

// settled finds out, after a conflict, whether an earlier try of the same write was done whose answer did not come.
func (b bucket) settled(ctx context.Context, key string, value []byte, tries int, seq uint64, err error) (uint64, error) {
	if tries > 1 && (isConflict(err) || errors.Is(err, jetstream.ErrKeyExists)) {
		if seq, ok := b.equal(ctx, key, value); ok {
			return seq, nil
		}
	}
	return seq, err
}

func (b bucket) put(ctx context.Context, key string, value []byte, note bool) (uint64, error) {
	return b.s.write(ctx, b.change(key, value, note), func(ctx context.Context, x *session) (uint64, error) { return b.of(x).Put(ctx, key, value) })
}

func (b bucket) update(ctx context.Context, key string, value []byte, seq uint64, note bool) (uint64, error) {
	tries := 0
	now, err := b.s.write(ctx, b.change(key, value, note), func(ctx context.Context, x *session) (uint64, error) {
		tries++
		return b.of(x).Update(ctx, key, value, seq)
	})
	return b.settled(ctx, key, value, tries, now, err)
}

// purge deletes a key with its history; seq, if not 0, is what it must be at.
func (b bucket) purge(ctx context.Context, key string, seq uint64) error {
	opts := []jetstream.KVDeleteOpt{jetstream.PurgeTTL(tombstoneTTL)}
	if seq > 0 {
		opts = append(opts, jetstream.LastRevision(seq))
	}
	_, err := b.s.write(ctx, b.change(key, nil, true), func(ctx context.Context, x *session) (uint64, error) { return 0, b.of(x).Purge(ctx, key, opts...) })
	return err
}

// get reads a key.
func (b bucket) get(ctx context.Context, key string) (e jetstream.KeyValueEntry, err error) {
	err = b.s.read(ctx, func(ctx context.Context, x *session) (err error) {
		e, err = b.of(x).Get(ctx, key)
		return err
	})
	return e, err
}

// read reads something, again from a new session where the old one ends meanwhile. From one that is broken it reads
// what it can.
func (s *Store) read(ctx context.Context, do func(context.Context, *session) error) error {
	if s.clustered() {
		return s.again(ctx, oneTry, do)
	}
	for {
		x := s.now.Load()
		sound := x.sound.Err() == nil
		reading, cancel := context.WithCancel(ctx)
		stop := context.AfterFunc(x.sound, cancel)
		if !sound { // it may not answer at all
			stop()
			cancel()
			reading, cancel = context.WithTimeout(ctx, patience)
		}
		err := do(reading, x)
		stop()
		cancel()
		switch {
		case err == nil || ctx.Err() != nil:
			return err
		case errors.Is(err, nats.ErrConnectionClosed):
			if err := s.renewed(ctx, x); err != nil {
				return err
			}
		case !sound:
			return errors.Join(s.unavailable(), err)
		case x.sound.Err() == nil:
			return err
		}
	}
}

// renewed waits for another session than x.
func (s *Store) renewed(ctx context.Context, x *session) error {
	for s.now.Load() == x {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.closing:
			return ErrUnavailable
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}
