package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

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
	// Payload is not part of the header document.
	Payload []byte `json:"-"`
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

func (s *Store) openQueue(ctx context.Context) error {
	var err error
	if s.queue, err = s.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: queueStream, Subjects: []string{"async.>"}, Retention: jetstream.WorkQueuePolicy, MaxMsgSize: 2 << 20,
	}); err != nil {
		return fmt.Errorf("open queue: %w", err)
	}
	if s.dead, err = s.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: deadStream, Subjects: []string{"dead.>"}, MaxMsgs: maxDead, MaxMsgSize: 2 << 20, AllowDirect: true,
	}); err != nil {
		return fmt.Errorf("open dead letters: %w", err)
	}
	// The consumer is made anew: what a dead server had leased is delivered at once and not when
	// its lease ends. Attempts are counted in our own records, not by the consumer.
	const name = "dispatch"
	if err := s.queue.DeleteConsumer(ctx, name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return fmt.Errorf("open queue: %w", err)
	}
	s.worker, err = s.queue.CreateConsumer(ctx, jetstream.ConsumerConfig{
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
	head, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("queue invocation %s: %w", a.RequestID, err)
	}
	msg := &nats.Msg{Subject: "async." + string(a.Function), Data: a.Payload, Header: nats.Header{asyncHeader: {string(head)}}}
	if _, err := s.js.PublishMsg(ctx, msg); err != nil {
		return fmt.Errorf("queue invocation %s: %w", a.RequestID, err)
	}
	return nil
}

// QueueLength is how many asynchronous invocations are accepted and not finished.
func (s *Store) QueueLength(ctx context.Context) (uint64, error) {
	info, err := s.queue.Info(ctx)
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

	s   *Store
	msg jetstream.Msg
	seq uint64
}

// LeaseTime is how long an invocation that nobody extends stays leased.
const LeaseTime = 30 * time.Second

// pollTime is how long one request for a message stands at the embedded server.
const pollTime = 30 * time.Second

// NextAsync waits for the next asynchronous invocation that is due and leases it to the caller.
// Nothing is fetched ahead, so that a lease starts when there is somebody to work on it. The
// error is ctx's when ctx ends.
func (s *Store) NextAsync(ctx context.Context) (*Delivery, error) {
	for {
		msg, err := s.pull(ctx)
		if err != nil {
			return nil, err
		}
		if msg == nil {
			continue
		}
		v, err := s.delivery(msg)
		if err != nil {
			return nil, err
		}
		if v != nil {
			return v, nil
		}
	}
}

// pull waits a while for one message; nil if none came.
func (s *Store) pull(ctx context.Context) (jetstream.Msg, error) {
	wait, cancel := context.WithTimeout(ctx, pollTime)
	defer cancel()
	batch, err := s.worker.Fetch(1, jetstream.FetchContext(wait))
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
func (s *Store) delivery(msg jetstream.Msg) (*Delivery, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return nil, fmt.Errorf("read queue: %w", err)
	}
	v := &Delivery{s: s, msg: msg, seq: meta.Sequence.Stream}
	if err := json.Unmarshal([]byte(msg.Headers().Get(asyncHeader)), &v.Async); err != nil {
		if err := msg.Term(); err != nil { // nothing of ours: it can never succeed
			return nil, fmt.Errorf("drop foreign message: %w", err)
		}
		return nil, nil
	}
	v.Payload = msg.Data()
	if a, ok := s.attempts.get(v.key()); ok {
		if wait := time.Until(a.NotBefore); wait > 0 { // a restart made it come early
			if err := msg.NakWithDelay(wait); err != nil {
				return nil, fmt.Errorf("put back invocation %s: %w", v.RequestID, err)
			}
			return nil, nil
		}
		v.Failed, v.Deferred = a.Failed, a.Deferred
	}
	return v, nil
}

func (v *Delivery) key() string { return strconv.FormatUint(v.seq, 10) }

// Extend prolongs the lease; call it every LeaseTime/3 while the invocation runs.
func (v *Delivery) Extend() error { return v.msg.InProgress() }

// Done takes the invocation off the queue.
func (v *Delivery) Done(ctx context.Context) error {
	if err := v.msg.DoubleAck(ctx); err != nil {
		return fmt.Errorf("finish invocation %s: %w", v.RequestID, err)
	}
	return ignoreNotFound(v.s.attempts.remove(ctx, v.key()))
}

// Retry counts a failed attempt; the invocation is delivered again after wait.
func (v *Delivery) Retry(ctx context.Context, wait time.Duration) error {
	return v.again(ctx, attempt{Seq: v.seq, Failed: v.Failed + 1}, wait)
}

// Defer puts the invocation back for wait without counting an attempt.
func (v *Delivery) Defer(ctx context.Context, wait time.Duration) error {
	return v.again(ctx, attempt{Seq: v.seq, Failed: v.Failed, Deferred: v.Deferred + 1}, wait)
}

func (v *Delivery) again(ctx context.Context, a attempt, wait time.Duration) error {
	a.NotBefore = time.Now().Add(wait).UTC()
	if err := v.s.attempts.put(ctx, v.key(), &a); err != nil {
		return err
	}
	if err := v.msg.NakWithDelay(wait); err != nil {
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
	head, err := json.Marshal(deadHead{v.Async, time.Now().UTC(), reason, attempts, errorDoc})
	if err != nil {
		return fmt.Errorf("keep dead letter %s: %w", v.RequestID, err)
	}
	msg := &nats.Msg{Subject: "dead." + string(v.Function), Data: v.Payload, Header: nats.Header{deadHeader: {string(head)}}}
	// The identifier keeps a crash between the two writes from making a second letter.
	if _, err := v.s.js.PublishMsg(ctx, msg, jetstream.WithMsgID(v.RequestID)); err != nil {
		return fmt.Errorf("keep dead letter %s: %w", v.RequestID, err)
	}
	return v.Done(ctx)
}

// DeadLetters lists dead letters from the newest to the oldest, at most limit, older than
// letter before (0: from the newest); name "" is all functions.
func (s *Store) DeadLetters(ctx context.Context, name function.Name, before uint64, limit int) ([]*DeadLetter, error) {
	info, err := s.dead.Info(ctx)
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
	msg, err := s.dead.GetMsg(ctx, id)
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
	return &DeadLetter{h.Async, id, h.At, h.Reason, h.Attempts, h.Error}, nil
}

// RemoveDeadLetter deletes a dead letter.
func (s *Store) RemoveDeadLetter(ctx context.Context, id uint64) error {
	err := s.dead.DeleteMsg(ctx, id)
	if errors.Is(err, jetstream.ErrMsgNotFound) || errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
		return fmt.Errorf("dead letter %d: %w", id, ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("delete dead letter %d: %w", id, err)
	}
	return nil
}

// sweepAttempts removes the records of invocations that are not queued any more.
func (s *Store) sweepAttempts(ctx context.Context) error {
	for _, key := range s.attempts.keys() {
		a, ok := s.attempts.get(key)
		if !ok {
			continue
		}
		_, err := s.queue.GetMsg(ctx, a.Seq)
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
