package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// session is the embedded server while it runs, and what was opened in it. The store ends one and
// begins another where a write failed: the server never lifts a write error by itself.
type session struct {
	server *server.Server
	conn   *nats.Conn
	js     jetstream.JetStream

	state jetstream.KeyValue // small documents, all of them in memory
	docs  jetstream.KeyValue // large ones, read from disk

	queue  jetstream.Stream
	dead   jetstream.Stream
	worker jetstream.Consumer

	// Of several nodes: the stream of the state bucket, and the files that all nodes need.
	states jetstream.Stream
	blobs  jetstream.ObjectStore

	watch     jetstream.KeyWatcher
	watchStop chan struct{}
	watchDone chan struct{}

	// sound ends, by fail, when a write error was seen: what waits for an answer need not wait any longer.
	sound context.Context
	fail  context.CancelFunc
}

const (
	readyTimeout = 20 * time.Second
	// tombstones of deleted keys stay this long, for watchers that are behind.
	tombstoneTTL = time.Hour
	stateFolder  = "state"
	// maxStore keeps the embedded server from setting a limit by what was free when it started.
	maxStore = 1 << 50
)

// begin starts the embedded server, connects to it through memory and opens the streams. What
// it returns with an error is to be ended too.
func (s *Store) begin(ctx context.Context, folder string) (*session, error) {
	x := &session{}
	x.sound, x.fail = context.WithCancel(context.Background())
	err := s.serve(x, folder, server.Options{
		ServerName:         "cloudjit",
		DontListen:         true,
		NoSystemAccount:    true,
		JetStreamMaxMemory: 1 << 20, // nothing is kept in memory streams
	}, "is the disk full or the folder damaged?")
	if err != nil {
		return x, err
	}
	x.conn, err = nats.Connect("", nats.InProcessServer(x.server), nats.Name("store"), nats.NoReconnect())
	if err != nil {
		return x, fmt.Errorf("connect to embedded NATS server: %w", err)
	}
	if x.js, err = jetstream.New(x.conn, jetstream.WithDefaultTimeout(30*time.Second)); err != nil {
		return x, err
	}
	return x, x.openStreams(ctx)
}

// serve starts a session's embedded server, whose files lie in a folder of the store's, with what is special in the options. hint asks
// what may be wrong if it does not get ready.
func (s *Store) serve(x *session, folder string, o server.Options, hint string) error {
	o.NoSigs, o.DisableJetStreamBanner, o.JetStream = true, true, true
	o.StoreDir, o.SyncAlways, o.JetStreamMaxStore = filepath.Join(s.dir, folder), !s.opt.NoSync, maxStore
	o.MaxPayload, o.MaxPending = 8<<20, 64<<20
	srv, err := server.NewServer(&o)
	if err != nil {
		return fmt.Errorf("set up embedded NATS server: %w", err)
	}
	x.server = srv
	fatal := make(chan string, 1)
	srv.SetLoggerV2(natsLogger{s.opt.Logger, s.complaint, fatal}, false, false, false)
	srv.Start()
	for end := time.Now().Add(readyTimeout); !srv.ReadyForConnections(10 * time.Millisecond); {
		select {
		case why := <-fatal:
			return fmt.Errorf("start embedded NATS server: %s", why)
		default:
		}
		if time.Now().After(end) {
			return fmt.Errorf("start embedded NATS server: not ready after %v (%s)", readyTimeout, hint)
		}
	}
	return nil
}

// openStreams makes or opens the two buckets, the queue and the dead letters.
func (x *session) openStreams(ctx context.Context) error {
	var err error
	if x.state, err = x.bucket(ctx, jetstream.KeyValueConfig{
		Bucket: "state", History: 1, MaxValueSize: MaxValue, LimitMarkerTTL: tombstoneTTL,
	}); err != nil {
		return err
	}
	if x.docs, err = x.bucket(ctx, jetstream.KeyValueConfig{
		Bucket: "docs", History: 1, MaxValueSize: MaxValue, LimitMarkerTTL: tombstoneTTL, Compression: true,
	}); err != nil {
		return err
	}
	return x.openQueue(ctx)
}

func (x *session) bucket(ctx context.Context, cfg jetstream.KeyValueConfig) (jetstream.KeyValue, error) {
	kv, err := x.js.CreateOrUpdateKeyValue(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", cfg.Bucket, err)
	}
	return kv, nil
}

// found is a key of the state bucket as it was read.
type found struct {
	seq     uint64
	value   []byte
	deleted bool
}

// read reads the whole state and goes on to follow its changes with follow.
func (x *session) read(ctx context.Context, follow func(key string, f found)) (map[string]found, error) {
	// The watch outlives the call that opened the store; end stops it.
	watch, err := x.state.WatchAll(context.WithoutCancel(ctx))
	if err != nil {
		return nil, err
	}
	all := map[string]found{}
	loaded := make(chan struct{})
	last := atomic.Int64{} // when the last one came
	last.Store(time.Now().UnixNano())
	x.watch, x.watchStop, x.watchDone = watch, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(x.watchDone)
		reading := true
		for {
			var e jetstream.KeyValueEntry
			var ok bool
			select {
			case e, ok = <-watch.Updates():
			case <-x.watchStop:
			}
			switch {
			case !ok:
				return
			case e == nil: // all that was there has been read
				if reading {
					close(loaded)
				}
				reading = false
			case reading:
				last.Store(time.Now().UnixNano())
				all[e.Key()] = found{e.Revision(), e.Value(), e.Operation() != jetstream.KeyValuePut}
			default:
				follow(e.Key(), found{e.Revision(), e.Value(), e.Operation() != jetstream.KeyValuePut})
			}
		}
	}()
	for {
		select {
		case <-loaded:
			return all, nil
		case <-ctx.Done():
			x.unwatch()
			return all, ctx.Err()
		case <-time.After(readTimeout / 8):
			if time.Now().UnixNano()-last.Load() > int64(readTimeout) {
				x.unwatch()
				return all, fmt.Errorf("read state: nothing came for %v", readTimeout)
			}
		}
	}
}

// readTimeout is how long nothing may come while the state is read: an embedded server that meets damage goes silent.
const readTimeout = 4 * time.Second

// unwatch ends the watch, and waits for it.
func (x *session) unwatch() {
	if x.watchDone == nil {
		return
	}
	close(x.watchStop)
	<-x.watchDone
	if x.watch != nil {
		_ = x.watch.Stop()
	}
	x.watch, x.watchDone = nil, nil
}

// end stops the embedded server. Idempotent.
func (x *session) end() {
	if x == nil {
		return
	}
	x.fail()
	x.unwatch()
	if x.conn != nil {
		x.conn.Close()
	}
	if x.server != nil {
		x.server.Shutdown()
		x.server.WaitForShutdown()
	}
}

// harmless reports whether an error of a write is an answer and no sign that the server is broken.
func harmless(err error) bool {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode {
		case jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant, jetstream.JSErrCodeMessageNotFound, errCodeTooLarge:
			return true
		case errCodeNotDeleted, errCodeNotStored:
			return strings.Contains(api.Description, "not found") || strings.Contains(api.Description, "no message") ||
				strings.Contains(api.Description, "maximum") // a limit of the stream
		}
		return false
	}
	for _, known := range []error{
		jetstream.ErrKeyExists, jetstream.ErrKeyNotFound, jetstream.ErrKeyDeleted, jetstream.ErrInvalidKey, jetstream.ErrMsgNotFound,
		nats.ErrMaxPayload, nats.ErrBadSubject, context.Canceled,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return err == nil
}

// Codes of the embedded server that its client has no names for (server/errors.json).
const (
	errCodeTooLarge   = 10054
	errCodeNotDeleted = 10057
	errCodeNotStored  = 10077
)

// complaint reads the embedded server's log: some write errors are told nowhere else.
func (s *Store) complaint(line string) {
	if strings.Contains(line, "TLS route handshake error") {
		s.stranger.Store(&line)
	}
	if strings.Contains(line, "Critical write error") || strings.Contains(line, "will be DISABLED") {
		s.suspect(errors.New(line))
	}
}
