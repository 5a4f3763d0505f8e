package store

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
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
	// Runner is the run of the node, of several, that runs it since Started; empty: none does.
	Runner  string    `json:"runner,omitempty"`
	Started time.Time `json:"started,omitzero"`
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
	// The consumer only tells what there is, without payloads; it is made anew, so that it tells all of it. What becomes of
	// an invocation is kept in our own records, and it ends by being deleted.
	if err := x.queue.DeleteConsumer(ctx, feederName); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return fmt.Errorf("open queue: %w", err)
	}
	x.worker, err = x.queue.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: feederName, AckPolicy: jetstream.AckExplicitPolicy, AckWait: toldAgain, MaxDeliver: -1, MaxAckPending: -1,
		HeadersOnly: true, MemoryStorage: true,
	})
	if err != nil {
		return fmt.Errorf("open queue: %w", err)
	}
	return nil
}

const (
	feederName = "dispatch"
	// toldAgain is after how long the consumer names an invocation once more that is still there.
	toldAgain = 24 * time.Hour
)

// Enqueue accepts an asynchronous invocation: when it returns nil the invocation is on disk. The error is a
// *QueueFullError where there is no room for it; what follows from another invocation (Hops) is always taken.
func (s *Store) Enqueue(ctx context.Context, a *Async) error {
	if len(a.Payload) > MaxAsyncPayload {
		return fmt.Errorf("queue invocation %s: %d bytes: %w", a.RequestID, len(a.Payload), ErrTooLarge)
	}
	if err := s.promise(a); err != nil {
		return fmt.Errorf("queue invocation %s: %w", a.RequestID, err)
	}
	defer s.endPromise(a)
	h := *a
	var err error
	if h.Spooled, err = s.spool(a.Payload); err != nil {
		return fmt.Errorf("queue invocation %s: %w", a.RequestID, err)
	}
	data := a.Payload
	if h.Spooled != nil {
		data = nil
	}
	var opts []jetstream.PublishOpt
	if s.clustered() { // a try whose answer is lost is made again
		opts = append(opts, jetstream.WithMsgID(a.RequestID))
	}
	var seq uint64
	publish := func() (err error) {
		seq, err = s.publish(ctx, queueKey, "async."+string(a.Function), asyncHeader, h, data, false, opts...)
		return err
	}
	if a.Hops > 0 { // what it follows from has run, and would run again
		err = s.persist(ctx, publish)
	} else {
		err = publish()
	}
	if err != nil {
		s.removePayload(h.Spooled)
		return fmt.Errorf("queue invocation %s: %w", a.RequestID, err)
	}
	s.learn(seq, a.Function, len(a.Payload))
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
func (s *Store) QueueLength() int {
	if !s.clustered() {
		return s.inventory.count(queueKey)
	}
	s.backlogMu.Lock()
	defer s.backlogMu.Unlock()
	return len(s.backlog.known)
}

// QueueRoom is what all functions have in the queue, and what the one has that is nearest to its bounds.
func (s *Store) QueueRoom() (all QueueRoom, nearest function.Name, its QueueRoom) {
	s.backlogMu.Lock()
	defer s.backlogMu.Unlock()
	return s.backlog.use()
}

// Delivery is one attempt of an asynchronous invocation, the caller's until it says how the attempt ended by Done, Retry,
// Defer or Dead, or gives it back by Release.
type Delivery struct {
	Async
	// Failed is how many attempts have ended in an error of the function before this one;
	// Deferred how many times it had to wait since (throttled, or the platform's fault).
	Failed, Deferred int

	s     *Store
	seq   uint64  // in the queue, as it was last seen; see number
	place *queued // nil: it has ended; under the store's backlogMu
	// claimed is the sequence of the record that says that this node runs it, on several nodes.
	claimed uint64
}

// startFeed begins to feed the backlog, until endFeed.
func (s *Store) startFeed(ctx context.Context) {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	s.endFeed, s.fed = end, make(chan struct{})
	go func() {
		defer close(s.fed)
		if s.clustered() {
			s.feedClustered(life)
			return
		}
		s.feed(life)
	}()
}

// feed keeps the backlog up to date with the queue until ctx ends.
func (s *Store) feed(ctx context.Context) {
	for ctx.Err() == nil {
		x := s.now.Load()
		wait, cancel := context.WithTimeout(ctx, feedTime)
		batch, err := x.worker.Fetch(feedBatch, jetstream.FetchContext(wait))
		if err == nil {
			for msg := range batch.Messages() {
				s.told(ctx, msg)
			}
			err = batch.Error()
		}
		cancel()
		if err == nil || errors.Is(err, nats.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) {
			continue
		}
		if s.broken.Load() != nil || s.now.Load() != x {
			_ = s.renewed(ctx, x) // the next session tells all that there is
			continue
		}
		if ctx.Err() == nil {
			s.log.Error("read queue", "error", err)
			sleep(ctx, time.Second)
		}
	}
}

const (
	feedBatch = 256
	feedTime  = 5 * time.Second
)

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// told takes what the consumer says of one message: its header and the size of its payload.
func (s *Store) told(ctx context.Context, msg jetstream.Msg) {
	meta, err := msg.Metadata()
	if err != nil {
		return
	}
	var a Async
	if err := json.Unmarshal([]byte(msg.Headers().Get(asyncHeader)), &a); err != nil {
		// Nothing of ours: it can never succeed.
		if err := s.now.Load().queue.DeleteMsg(ctx, meta.Sequence.Stream); err != nil && ctx.Err() == nil {
			s.log.Warn("drop a foreign message", "error", err)
		}
		return
	}
	size, _ := strconv.Atoi(msg.Headers().Get("Nats-Msg-Size"))
	if a.Spooled != nil {
		size = a.Spooled.Size
	}
	s.learn(meta.Sequence.Stream, a.Function, size)
}

// learn makes an invocation known to the backlog, with the wait that it has from before a restart.
func (s *Store) learn(seq uint64, name function.Name, size int) {
	var at time.Time
	if a, ok := s.attempts.get(strconv.FormatUint(seq, 10)); ok {
		at = a.NotBefore
	}
	if s.clustered() && !s.mayRun(seq) {
		s.changeBacklog(func(b *backlog) { b.addHeld(seq, name, size) })
		s.held(seq)
		return
	}
	s.changeBacklog(func(b *backlog) { b.add(seq, name, size, at, time.Now()) })
}

// changeBacklog does something to the backlog, and lets NextAsync look at it again.
func (s *Store) changeBacklog(do func(*backlog)) {
	s.backlogMu.Lock()
	do(s.backlog)
	s.backlogMu.Unlock()
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

func (s *Store) promise(a *Async) error {
	s.backlogMu.Lock()
	defer s.backlogMu.Unlock()
	if a.Hops > 0 {
		s.backlog.promise(s.backlog.line(a.Function), len(a.Payload), 1)
		return nil
	}
	return s.backlog.admit(a.Function, len(a.Payload))
}

func (s *Store) endPromise(a *Async) {
	s.backlogMu.Lock()
	defer s.backlogMu.Unlock()
	s.backlog.endPromise(a.Function, len(a.Payload))
}

// NextAsync waits for the next asynchronous invocation that is due and that has its turn, and leaves it to the caller
// until Done, Retry, Defer, Dead or Release; so many may be under way at once as QueueLimits says. For one caller at a
// time. The error is ctx's when ctx ends.
func (s *Store) NextAsync(ctx context.Context) (*Delivery, error) {
	for {
		s.backlogMu.Lock()
		q, when := s.backlog.next(time.Now())
		s.backlogMu.Unlock()
		if q == nil {
			wait := time.Hour
			if !when.IsZero() {
				wait = max(time.Until(when), time.Millisecond)
			}
			timer := time.NewTimer(wait)
			select {
			case <-s.ready:
			case <-timer.C:
			case <-ctx.Done():
			}
			timer.Stop()
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			continue
		}
		read := s.read1
		if s.clustered() {
			read = s.claim
		}
		v, err := read(ctx, q)
		if ctx.Err() != nil {
			s.putBack(q, time.Now())
			return nil, ctx.Err()
		}
		if err != nil {
			s.putBack(q, time.Now().Add(time.Second))
			if s.broken.Load() == nil && !errors.Is(err, context.Canceled) && !errors.Is(err, ErrUnavailable) {
				return nil, err
			}
			continue
		}
		if v != nil {
			return v, nil
		}
	}
}

func (s *Store) putBack(q *queued, at time.Time) {
	s.changeBacklog(func(b *backlog) { b.again(q, at, time.Now()) })
}

func (s *Store) drop(q *queued) { s.changeBacklog(func(b *backlog) { b.remove(q) }) }

// read1 reads a message whose turn it is; nil if it is not there any more.
func (s *Store) read1(ctx context.Context, q *queued) (*Delivery, error) {
	return s.readClaimed(ctx, q, 0)
}

// readClaimed is read1 of what this node has claimed, on several nodes, with the record of that sequence.
func (s *Store) readClaimed(ctx context.Context, q *queued, claimed uint64) (*Delivery, error) {
	v := &Delivery{s: s, place: q, claimed: claimed}
	seq := v.number()
	x := s.now.Load()
	// An embedded server that is broken may not answer at all.
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(x.sound, cancel)()
	msg, err := x.queue.GetMsg(reading, seq)
	if seq == 0 || errors.Is(err, jetstream.ErrMsgNotFound) {
		s.drop(q)
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read queue: %w", err)
	}
	if err := json.Unmarshal([]byte(msg.Header.Get(asyncHeader)), &v.Async); err != nil {
		return nil, fmt.Errorf("read queue: invocation %d: %w", seq, err)
	}
	if l, ok := s.inventory.get(queueKey + "/" + v.key()); ok && sha256.Sum256(append(append([]byte(msg.Header.Get(asyncHeader)), 0), msg.Data...)) != l.sum {
		s.deep.Store(true)
		s.suspect(errDamaged)
		return nil, errDamaged // it comes again as it was
	}
	if a, ok := s.attempts.get(v.key()); ok {
		v.Failed, v.Deferred = a.Failed, a.Deferred
	}
	if v.Payload = msg.Data; v.Spooled != nil {
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

// Release puts back an invocation of which its caller could not say how it ended; after Done, Retry, Defer and Dead it
// does nothing.
func (v *Delivery) Release() { v.putBack(time.Now().Add(releaseTime)) }

// putBack and drop end the delivery, once.
func (v *Delivery) putBack(at time.Time) {
	v.end(func(b *backlog, q *queued) { b.again(q, at, time.Now()) })
}
func (v *Delivery) drop() { v.end((*backlog).remove) }

func (v *Delivery) end(how func(*backlog, *queued)) {
	v.s.changeBacklog(func(b *backlog) {
		if v.place != nil {
			how(b, v.place)
			v.place = nil
		}
	})
}

// releaseTime is how long an invocation waits that was given back.
const releaseTime = 30 * time.Second

// reasonDamaged is why an invocation is a dead letter whose payload was damaged on disk.
const reasonDamaged = "PayloadDamaged"

// number is the invocation's sequence; it changes where the store is made anew, and is 0 if it is not there any more.
func (v *Delivery) number() uint64 {
	v.s.backlogMu.Lock()
	defer v.s.backlogMu.Unlock()
	if v.place != nil {
		v.seq = v.place.seq
	}
	return v.seq
}

func (v *Delivery) key() string { return strconv.FormatUint(v.number(), 10) }

// Done takes the invocation off the queue. It has run, so this is tried as long as ctx allows
// while the store cannot be written.
func (v *Delivery) Done(ctx context.Context) error {
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
			err := x.queue.DeleteMsg(ctx, v.number())
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				err = nil
			}
			return 0, err
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("finish invocation %s: %w", v.RequestID, err)
	}
	err = ignoreNotFound(v.s.attempts.remove(ctx, v.key()))
	v.drop()
	return err
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
	a.NotBefore = time.Now().Add(wait).UTC()
	if v.s.clustered() {
		if err := v.unclaim(ctx, &a); err != nil {
			return err
		}
		v.putBack(a.NotBefore)
		return nil
	}
	if err := v.s.persist(ctx, func() error { return v.s.attempts.put(ctx, v.key(), &a) }); err != nil {
		return err
	}
	v.putBack(a.NotBefore)
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
	if mine, err := v.mine(ctx); err != nil || !mine {
		if err == nil {
			v.hold()
		}
		return err
	}
	err := v.s.persist(ctx, func() error {
		// The identifier keeps a crash between the two writes from making a second letter.
		_, err := v.s.publish(ctx, deadKey, "dead."+string(v.Function), deadHeader, doc, data, true, jetstream.WithMsgID(v.RequestID))
		return err
	})
	if err != nil {
		return fmt.Errorf("keep dead letter %s: %w", v.RequestID, err)
	}
	return v.take(ctx)
}

// DeadLetters lists dead letters from the newest to the oldest, at most limit, older than
// letter before (0: from the newest); name "" is all functions.
func (s *Store) DeadLetters(ctx context.Context, name function.Name, before uint64, limit int) ([]*DeadLetter, error) {
	var info *jetstream.StreamInfo
	err := s.read(ctx, func(ctx context.Context, x *session) (err error) {
		info, err = x.dead.Info(ctx)
		return err
	})
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
	var msg *jetstream.RawStreamMsg
	err := s.read(ctx, func(ctx context.Context, x *session) (err error) {
		msg, err = x.dead.GetMsg(ctx, id)
		return err
	})
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
		there, err := s.isQueued(ctx, a.Seq)
		if err != nil {
			return fmt.Errorf("read queue: %w", err)
		}
		if there {
			continue
		}
		if err := ignoreNotFound(s.attempts.remove(ctx, key)); err != nil {
			return err
		}
	}
	return nil
}

// isQueued reports whether an invocation is in the queue; of several nodes the leader says so.
func (s *Store) isQueued(ctx context.Context, seq uint64) (bool, error) {
	err := s.read(ctx, func(ctx context.Context, x *session) error {
		_, err := x.queue.GetMsg(ctx, seq)
		return err
	})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	return err == nil, err
}
