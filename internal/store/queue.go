package store

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/cloudjit/cloudjit/internal/disk"
	"github.com/cloudjit/cloudjit/internal/function"
)

// Async is one asynchronous invocation, from its acceptance until it succeeded or is given up.
type Async struct {
	RequestID string        `json:"requestId"`
	Function  function.Name `json:"function"`
	// Qualifier is what the caller named: a version, an alias, or empty.
	Qualifier     string    `json:"qualifier,omitempty"`
	ClientContext string    `json:"clientContext,omitempty"` // JSON, not base64
	TraceID       string    `json:"traceId,omitempty"`
	EnqueuedAt    time.Time `json:"enqueuedAt"`
	// Hops is how many destinations this invocation came through.
	Hops int `json:"hops,omitempty"`
	// Payload is not part of the header document; spooled says in which file it is, if it is large.
	Payload []byte      `json:"-"`
	Spooled *payloadRef `json:"payload,omitempty"`
}

// attempt is what is remembered of an invocation between its attempts, so that a restart neither
// forgets how many there were nor shortens the wait.
type attempt struct {
	Seq       uint64    `json:"seq"`    // of the queued message
	Failed    int       `json:"failed"` // attempts that ended in an error of the function
	Deferred  int       `json:"deferred"`
	NotBefore time.Time `json:"notBefore"`
}

const (
	queueStream = "async"
	deadStream  = "dead"
	asyncHeader = "Cloudjit-Async"
	deadHeader  = "Cloudjit-Dead"
	maxDead     = 100_000
)

func (x *session) openQueue(ctx context.Context) error {
	var err error
	if x.queue, err = x.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: queueStream, Subjects: []string{"async.>"}, Retention: jetstream.WorkQueuePolicy, MaxMsgSize: 2 << 20,
	}); err != nil {
		return fmt.Errorf("open queue: %w", err)
	}
	if x.dead, err = x.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: deadStream, Subjects: []string{"dead.>"}, MaxMsgs: maxDead, MaxMsgSize: 2 << 20, AllowDirect: true,
	}); err != nil {
		return fmt.Errorf("open dead letters: %w", err)
	}
	// The consumer is made anew: what a dead server had leased is delivered at once and not when
	// its lease ends. Attempts are counted in our own records, not by the consumer.
	const name = "dispatch"
	if err := x.queue.DeleteConsumer(ctx, name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return fmt.Errorf("open queue: %w", err)
	}
	x.worker, err = x.queue.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: name, AckPolicy: jetstream.AckExplicitPolicy, AckWait: LeaseTime, MaxDeliver: -1, MaxAckPending: -1,
	})
	if err != nil {
		return fmt.Errorf("open queue: %w", err)
	}
	return nil
}

// Enqueue accepts an asynchronous invocation: when it returns nil the invocation is on disk.
func (s *Store) Enqueue(ctx context.Context, a *Async) error {
	if len(a.Payload) > MaxAsyncPayload {
		return fmt.Errorf("queue invocation %s: %d bytes: %w", a.RequestID, len(a.Payload), ErrTooLarge)
	}
	h := *a
	var err error
	if h.Spooled, err = s.spool(a.Payload); err != nil {
		return fmt.Errorf("queue invocation %s: %w", a.RequestID, err)
	}
	data := a.Payload
	if h.Spooled != nil {
		data = nil
	}
	if _, err := s.publish(ctx, queueKey, "async."+string(a.Function), asyncHeader, h, data, false); err != nil {
		s.removePayload(h.Spooled)
		return fmt.Errorf("queue invocation %s: %w", a.RequestID, err)
	}
	return nil
}

// publish writes a message with a header document to a stream.
func (s *Store) publish(ctx context.Context, class, subject, header string, doc any, data []byte, note bool, opts ...jetstream.PublishOpt) (uint64, error) {
	head, err := json.Marshal(doc)
	if err != nil {
		return 0, err
	}
	msg := &nats.Msg{Subject: subject, Data: data, Header: nats.Header{header: {string(head)}}}
	c := change{class: class, value: append(append(head, 0), data...), room: len(head) + len(data) + 1<<10, note: note}
	return s.write(ctx, c, func(ctx context.Context, x *session) (uint64, error) {
		ack, err := x.js.PublishMsg(ctx, msg, opts...)
		if err != nil {
			return 0, err
		}
		return ack.Sequence, nil
	})
}

// QueueLength is how many asynchronous invocations are accepted and not finished.
func (s *Store) QueueLength(ctx context.Context) (uint64, error) {
	info, err := s.now.Load().queue.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("read queue: %w", err)
	}
	return info.State.Msgs, nil
}

// Delivery is one attempt of an asynchronous invocation, leased to the caller until it says how
// the attempt ended by Done, Retry, Defer or Dead. If it never does, the invocation is delivered again.
type Delivery struct {
	Async
	// Failed is how many attempts have ended in an error of the function before this one;
	// Deferred how many times it had to wait since (throttled, or the platform's fault).
	Failed, Deferred int

	s *Store

	mu      sync.Mutex
	seq     uint64 // in the queue; it changes where the store is made anew
	msg     jetstream.Msg
	session *session // that msg is of
	leased  time.Time
}

// LeaseTime is how long an invocation that nobody extends stays leased.
const LeaseTime = 30 * time.Second

// pollTime is how long one request for a message stands at the embedded server.
const pollTime = 30 * time.Second

// leases are the invocations that somebody works on. A new session delivers them again.
type leases struct {
	mu sync.Mutex
	of map[uint64]*Delivery // by sequence
}

// take makes v the one that works on its invocation, unless another one still does: then that one goes on with
// v's message.
func (l *leases) take(v *Delivery) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if old := l.of[v.seq]; old != nil && old.renew(v) {
		return false
	}
	if l.of == nil {
		l.of = map[uint64]*Delivery{}
	}
	l.of[v.seq] = v
	return true
}

func (l *leases) drop(v *Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if seq := v.number(); l.of[seq] == v {
		delete(l.of, seq)
	}
}

// move tells those who work on invocations that these have other sequences now; those that are not among
// them are gone.
func (l *leases) move(to map[uint64]uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	of := map[uint64]*Delivery{}
	for old, v := range l.of {
		v.mu.Lock()
		v.seq = to[old]
		v.mu.Unlock()
		if v.seq != 0 {
			of[v.seq] = v
		}
	}
	l.of = of
}

// renew gives a delivery the message of a later session; false if its lease has ended.
func (v *Delivery) renew(by *Delivery) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.session == by.session || time.Since(v.leased) > LeaseTime {
		return false
	}
	v.msg, v.session, v.leased = by.msg, by.session, time.Now()
	return true
}

// NextAsync waits for the next asynchronous invocation that is due and leases it to the caller.
// Nothing is fetched ahead, so that a lease starts when there is somebody to work on it. The
// error is ctx's when ctx ends.
func (s *Store) NextAsync(ctx context.Context) (*Delivery, error) {
	for {
		x := s.now.Load()
		msg, err := s.pull(ctx, x)
		if err != nil && ctx.Err() == nil && (s.broken.Load() != nil || s.now.Load() != x) {
			if err := s.renewed(ctx, x); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		if msg == nil {
			continue
		}
		v, err := s.delivery(ctx, x, msg)
		if err != nil {
			return nil, err
		}
		if v != nil {
			return v, nil
		}
	}
}

// pull waits a while for one message; nil if none came.
func (s *Store) pull(ctx context.Context, x *session) (jetstream.Msg, error) {
	wait, cancel := context.WithTimeout(ctx, pollTime)
	defer cancel()
	batch, err := x.worker.Fetch(1, jetstream.FetchContext(wait))
	if err == nil {
		for msg := range batch.Messages() {
			return msg, nil
		}
		err = batch.Error()
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err == nil, errors.Is(err, nats.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		return nil, nil
	}
	return nil, fmt.Errorf("read queue: %w", err)
}

// delivery reads a message; nil if it is not due or not ours.
func (s *Store) delivery(ctx context.Context, x *session, msg jetstream.Msg) (*Delivery, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return nil, fmt.Errorf("read queue: %w", err)
	}
	v := &Delivery{s: s, msg: msg, seq: meta.Sequence.Stream, session: x, leased: time.Now()}
	if err := json.Unmarshal([]byte(msg.Headers().Get(asyncHeader)), &v.Async); err != nil {
		if err := msg.Term(); err != nil { // nothing of ours: it can never succeed
			return nil, fmt.Errorf("drop foreign message: %w", err)
		}
		return nil, nil
	}
	if l, ok := s.inventory.get(queueKey + "/" + v.key()); ok && sha256.Sum256(append(append([]byte(msg.Headers().Get(asyncHeader)), 0), msg.Data()...)) != l.sum {
		s.deep.Store(true)
		s.suspect(errDamaged)
		return nil, nil // it comes again as it was
	}
	if a, ok := s.attempts.get(v.key()); ok {
		if wait := time.Until(a.NotBefore); wait > 0 { // a restart made it come early
			if err := msg.NakWithDelay(wait); err != nil {
				return nil, fmt.Errorf("put back invocation %s: %w", v.RequestID, err)
			}
			return nil, nil
		}
		v.Failed, v.Deferred = a.Failed, a.Deferred
	}
	if !s.leases.take(v) {
		return nil, nil
	}
	if v.Payload = msg.Data(); v.Spooled != nil {
		if v.Payload, err = s.payload(v.Spooled); errors.Is(err, ErrDamaged) {
			s.lose("queue", fmt.Sprintf("the payload of invocation %s of function %s (%v)", v.RequestID, v.Function, err))
			return nil, v.Dead(ctx, reasonDamaged, v.Failed, nil)
		}
		if err != nil {
			return nil, err
		}
	}
	return v, nil
}

// reasonDamaged is why an invocation is a dead letter whose payload was damaged on disk.
const reasonDamaged = "PayloadDamaged"

func (v *Delivery) number() uint64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.seq
}

func (v *Delivery) key() string { return strconv.FormatUint(v.number(), 10) }

// message is the present message, and the session it is of.
func (v *Delivery) message() (jetstream.Msg, *session) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.msg, v.session
}

// Extend prolongs the lease; call it every LeaseTime/3 while the invocation runs.
func (v *Delivery) Extend() error {
	v.mu.Lock()
	v.leased = time.Now()
	v.mu.Unlock()
	msg, x := v.message()
	if err := msg.InProgress(); err != nil && v.s.now.Load() == x && v.s.broken.Load() == nil {
		return err
	}
	return nil
}

// Done takes the invocation off the queue. It has run, so this is tried as long as ctx allows
// while the store cannot be written.
func (v *Delivery) Done(ctx context.Context) error {
	defer v.s.leases.drop(v)
	if err := v.take(ctx); err != nil {
		return err
	}
	v.s.removePayload(v.Spooled)
	return nil
}

// take removes the invocation and what is remembered of it.
func (v *Delivery) take(ctx context.Context) error {
	err := v.s.persist(ctx, func() error {
		_, err := v.s.write(ctx, change{class: queueKey, seq: v.number(), room: 1 << 10, note: true}, func(ctx context.Context, x *session) (uint64, error) {
			if msg, of := v.message(); of == x {
				return 0, msg.DoubleAck(ctx)
			}
			err := x.queue.DeleteMsg(ctx, v.number())
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				err = nil
			}
			return 0, err
		})
		_ = v.Extend()
		return err
	})
	if err != nil {
		return fmt.Errorf("finish invocation %s: %w", v.RequestID, err)
	}
	return ignoreNotFound(v.s.attempts.remove(ctx, v.key()))
}

// persist tries something again and again while the store cannot be written, until ctx ends.
func (s *Store) persist(ctx context.Context, try func() error) error {
	for {
		err := try()
		if !errors.Is(err, ErrUnavailable) && !errors.Is(err, disk.ErrFull) {
			return err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return err
		case <-s.closing:
			return err
		}
	}
}

// Retry counts a failed attempt; the invocation is delivered again after wait.
func (v *Delivery) Retry(ctx context.Context, wait time.Duration) error {
	return v.again(ctx, attempt{Seq: v.number(), Failed: v.Failed + 1}, wait)
}

// Defer puts the invocation back for wait without counting an attempt.
func (v *Delivery) Defer(ctx context.Context, wait time.Duration) error {
	return v.again(ctx, attempt{Seq: v.number(), Failed: v.Failed, Deferred: v.Deferred + 1}, wait)
}

func (v *Delivery) again(ctx context.Context, a attempt, wait time.Duration) error {
	defer v.s.leases.drop(v)
	a.NotBefore = time.Now().Add(wait).UTC()
	if err := v.s.persist(ctx, func() error { return v.s.attempts.put(ctx, v.key(), &a) }); err != nil {
		return err
	}
	msg, x := v.message()
	// A session that ended delivers nothing; the next one looks at the attempts.
	if err := msg.NakWithDelay(wait); err != nil && v.s.now.Load() == x && v.s.broken.Load() == nil {
		return fmt.Errorf("put back invocation %s: %w", v.RequestID, err)
	}
	return nil
}

// DeadLetter is an asynchronous invocation that was given up.
type DeadLetter struct {
	Async
	// ID is the number of the letter.
	ID     uint64    `json:"id"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason"` // RetriesExhausted, EventAgeExceeded, FunctionNotFound
	// Attempts is how many times the function was invoked.
	Attempts int `json:"attempts"`
	// Error is what the last attempt answered.
	Error json.RawMessage `json:"error,omitempty"`
}

type deadHead struct {
	Async    Async           `json:"async"`
	At       time.Time       `json:"at"`
	Reason   string          `json:"reason"`
	Attempts int             `json:"attempts"`
	Error    json.RawMessage `json:"error,omitempty"`
}

// Dead keeps the invocation among the dead letters and takes it off the queue.
func (v *Delivery) Dead(ctx context.Context, reason string, attempts int, errorDoc json.RawMessage) error {
	if !json.Valid(errorDoc) || len(errorDoc) > 256<<10 {
		errorDoc = nil
	}
	data := v.Payload
	if v.Spooled != nil {
		data = nil // the file goes over to the letter
	}
	doc := deadHead{v.Async, time.Now().UTC(), reason, attempts, errorDoc}
	err := v.s.persist(ctx, func() error {
		// The identifier keeps a crash between the two writes from making a second letter.
		_, err := v.s.publish(ctx, deadKey, "dead."+string(v.Function), deadHeader, doc, data, true, jetstream.WithMsgID(v.RequestID))
		return err
	})
	if err != nil {
		return fmt.Errorf("keep dead letter %s: %w", v.RequestID, err)
	}
	defer v.s.leases.drop(v)
	return v.take(ctx)
}

// DeadLetters lists dead letters from the newest to the oldest, at most limit, older than
// letter before (0: from the newest); name "" is all functions.
func (s *Store) DeadLetters(ctx context.Context, name function.Name, before uint64, limit int) ([]*DeadLetter, error) {
	info, err := s.now.Load().dead.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("read dead letters: %w", err)
	}
	seq := info.State.LastSeq
	if before > 0 && before <= seq {
		seq = before - 1
	}
	var out []*DeadLetter
	for ; seq >= info.State.FirstSeq && seq > 0 && len(out) < limit; seq-- {
		d, err := s.DeadLetter(ctx, seq)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if name == "" || d.Function == name {
			out = append(out, d)
		}
	}
	return out, nil
}

// DeadLetter returns one dead letter with its payload.
func (s *Store) DeadLetter(ctx context.Context, id uint64) (*DeadLetter, error) {
	msg, err := s.now.Load().dead.GetMsg(ctx, id)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, fmt.Errorf("dead letter %d: %w", id, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read dead letter %d: %w", id, err)
	}
	var h deadHead
	if err := json.Unmarshal([]byte(msg.Header.Get(deadHeader)), &h); err != nil {
		return nil, fmt.Errorf("read dead letter %d: %w", id, err)
	}
	h.Async.Payload = msg.Data
	if h.Async.Spooled != nil {
		if h.Async.Payload, err = s.payload(h.Async.Spooled); err != nil && !errors.Is(err, ErrDamaged) {
			return nil, fmt.Errorf("read dead letter %d: %w", id, err)
		}
	}
	return &DeadLetter{h.Async, id, h.At, h.Reason, h.Attempts, h.Error}, nil
}

// RemoveDeadLetter deletes a dead letter.
func (s *Store) RemoveDeadLetter(ctx context.Context, id uint64) error {
	d, err := s.DeadLetter(ctx, id)
	if err != nil {
		return err
	}
	_, err = s.write(ctx, change{class: deadKey, seq: id, room: 1 << 10, note: true}, func(ctx context.Context, x *session) (uint64, error) {
		return 0, x.dead.DeleteMsg(ctx, id)
	})
	if errors.Is(err, jetstream.ErrMsgNotFound) || errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
		return fmt.Errorf("dead letter %d: %w", id, ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("delete dead letter %d: %w", id, err)
	}
	s.removePayload(d.Spooled)
	return nil
}

// sweepAttempts removes the records of invocations that are not queued any more.
func (s *Store) sweepAttempts(ctx context.Context) error {
	for _, key := range s.attempts.keys() {
		a, ok := s.attempts.get(key)
		if !ok {
			continue
		}
		_, err := s.now.Load().queue.GetMsg(ctx, a.Seq)
		if err == nil {
			continue
		}
		if !errors.Is(err, jetstream.ErrMsgNotFound) {
			return fmt.Errorf("read queue: %w", err)
		}
		if err := ignoreNotFound(s.attempts.remove(ctx, key)); err != nil {
			return err
		}
	}
	return nil
}
