// Package store is CloudJIT's durable state: functions with their versions and aliases,
// revisions, pipelines with their history, metadata versions, build records, policies, and the
// queue of asynchronous invocations with its dead letters.
//
// It is the one place that knows NATS: everything lives in JetStream, embedded, with an
// in-process connection and no listening port, in one data folder that one server holds at a
// time. What a method acknowledged is on disk: the server syncs every write.
//
// Reads of functions, revisions, pipelines and build records are answered from memory, kept
// current by a watch on the bucket, and take no lock; the documents they return are shared and
// must not be changed. Writes are optimistic: they compare the sequence of what they read.
//
// The package must not know HTTP, workers, or what a pipeline's state means. Code archives and
// binaries are not here but in the artifact store.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/cloudjit/cloudjit/internal/function"
)

// Errors that callers branch on.
var (
	// ErrNotFound is returned when the named thing does not exist.
	ErrNotFound = errors.New("not found")
	// ErrExists is returned by a create when the name is taken.
	ErrExists = errors.New("already exists")
	// ErrInUse is returned by Open when another server holds the data folder.
	ErrInUse = errors.New("data folder is in use by another server")
	// ErrTooLarge is returned when a value is over the limit of its kind.
	ErrTooLarge = errors.New("value is too large")
)

// Limits of what is stored, in bytes.
const (
	// MaxValue is the largest document (metadata, a build log).
	MaxValue = 7 << 20
	// MaxAsyncPayload is the largest event of an asynchronous invocation (1 MB, as on Lambda).
	MaxAsyncPayload = 1 << 20
)

// Options of Open.
type Options struct {
	// Dir is the data folder; it is made when it does not exist.
	Dir string
	// Logger takes the embedded server's warnings and errors; nil: they are dropped.
	Logger *slog.Logger
	// NoSync leaves it to the kernel when to write to disk: nothing is lost when the process is
	// killed, but power loss may lose the last writes. For tests and benchmarks.
	NoSync bool
}

// Store is an open data folder. All methods may be called concurrently.
type Store struct {
	dir    string
	unlock func() error
	server *server.Server
	conn   *nats.Conn
	js     jetstream.JetStream

	state jetstream.KeyValue // small documents, all of them in memory
	docs  jetstream.KeyValue // large ones, read from disk

	functions *table[Function]
	revisions *table[Revision]
	pipelines *table[Pipeline]
	metadata  *table[metadataIndex]
	builds    *table[Build]
	attempts  *table[attempt]
	settings  *table[Setting]
	urls      sync.Map // URL identifier -> URLTarget

	watch     jetstream.KeyWatcher
	watchDone chan struct{}

	queue  jetstream.Stream
	dead   jetstream.Stream
	worker jetstream.Consumer

	closeOnce sync.Once
	closeErr  error
}

const (
	readyTimeout = 20 * time.Second
	// tombstones of deleted keys stay this long, for watchers that are behind.
	tombstoneTTL = time.Hour
)

// Open opens the data folder, makes what is missing in it, and reads the state into memory.
// The error is ErrInUse when another server has it open.
func Open(ctx context.Context, opts Options) (*Store, error) {
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("open data folder %s: %w", opts.Dir, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	unlock, err := lock(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{dir: dir, unlock: unlock}
	if err := s.open(ctx, opts); err != nil {
		return nil, errors.Join(fmt.Errorf("open data folder %s: %w", dir, err), s.Close())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, opts Options) error {
	if err := s.startServer(opts); err != nil {
		return err
	}
	if err := s.openStreams(ctx); err != nil {
		return err
	}
	s.functions = newTable[Function](s.state, "function")
	s.functions.onChange = s.indexURLs
	s.revisions = newTable[Revision](s.state, "revision")
	s.pipelines = newTable[Pipeline](s.state, "pipeline")
	s.metadata = newTable[metadataIndex](s.state, "metadata")
	s.builds = newTable[Build](s.state, "build")
	s.attempts = newTable[attempt](s.state, "attempt")
	s.settings = newTable[Setting](s.state, "setting")
	if err := s.load(ctx); err != nil {
		return fmt.Errorf("read state: %w", err)
	}
	if err := s.sweep(ctx); err != nil {
		return fmt.Errorf("remove what no function refers to: %w", err)
	}
	return nil
}

// startServer starts the embedded server and connects to it through memory.
func (s *Store) startServer(opts Options) error {
	srv, err := server.NewServer(&server.Options{
		ServerName:             "cloudjit",
		DontListen:             true,
		NoSigs:                 true,
		NoSystemAccount:        true,
		DisableJetStreamBanner: true,
		JetStream:              true,
		StoreDir:               filepath.Join(s.dir, "state"),
		SyncAlways:             !opts.NoSync,
		JetStreamMaxMemory:     1 << 20, // nothing is kept in memory streams
		MaxPayload:             8 << 20,
		MaxPending:             64 << 20,
	})
	if err != nil {
		return fmt.Errorf("set up embedded NATS server: %w", err)
	}
	s.server = srv
	srv.SetLoggerV2(natsLogger{opts.Logger}, false, false, false)
	srv.Start()
	if !srv.ReadyForConnections(readyTimeout) {
		return fmt.Errorf("start embedded NATS server: not ready after %v (is the disk full or the folder damaged?)", readyTimeout)
	}
	s.conn, err = nats.Connect("", nats.InProcessServer(srv), nats.Name("store"), nats.NoReconnect())
	if err != nil {
		return fmt.Errorf("connect to embedded NATS server: %w", err)
	}
	s.js, err = jetstream.New(s.conn, jetstream.WithDefaultTimeout(30*time.Second))
	return err
}

// openStreams makes or opens the two buckets, the queue and the dead letters.
func (s *Store) openStreams(ctx context.Context) error {
	var err error
	if s.state, err = s.bucket(ctx, jetstream.KeyValueConfig{
		Bucket: "state", History: 1, MaxValueSize: MaxValue, LimitMarkerTTL: tombstoneTTL,
	}); err != nil {
		return err
	}
	if s.docs, err = s.bucket(ctx, jetstream.KeyValueConfig{
		Bucket: "docs", History: 1, MaxValueSize: MaxValue, LimitMarkerTTL: tombstoneTTL, Compression: true,
	}); err != nil {
		return err
	}
	return s.openQueue(ctx)
}

func (s *Store) bucket(ctx context.Context, cfg jetstream.KeyValueConfig) (jetstream.KeyValue, error) {
	kv, err := s.js.CreateOrUpdateKeyValue(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", cfg.Bucket, err)
	}
	return kv, nil
}

// load reads the whole state and starts to follow its changes.
func (s *Store) load(ctx context.Context) error {
	tables := map[string]applier{
		"function": s.functions, "revision": s.revisions, "pipeline": s.pipelines, "metadata": s.metadata,
		"build": s.builds, "attempt": s.attempts, "setting": s.settings,
	}
	// The watch outlives the call that opened the store; Close stops it.
	watch, err := s.state.WatchAll(context.WithoutCancel(ctx))
	if err != nil {
		return err
	}
	s.watch, s.watchDone = watch, make(chan struct{})
	loaded := make(chan error, 1)
	go func() {
		defer close(s.watchDone)
		for e := range watch.Updates() {
			if e == nil { // all that was there has been read
				loaded <- nil
				continue
			}
			prefix, key, _ := strings.Cut(e.Key(), ".")
			t, ok := tables[prefix]
			if !ok {
				continue // written by a newer version: leave it alone
			}
			if err := t.apply(key, e.Revision(), e.Value(), e.Operation() != jetstream.KeyValuePut); err != nil {
				select {
				case loaded <- fmt.Errorf("%s: %w", e.Key(), err):
				default:
				}
			}
		}
	}()
	select {
	case err := <-loaded:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sweep removes what a crash between two writes left: revisions that no function refers to with
// all that hangs on them, and attempts of invocations that are not queued any more.
func (s *Store) sweep(ctx context.Context) error {
	used := map[function.RevisionID]bool{}
	for _, f := range s.Functions() {
		for _, id := range f.revisions() {
			used[id] = true
		}
	}
	orphans := map[function.RevisionID]bool{}
	add := func(key string) {
		id, _, _ := strings.Cut(key, ".")
		if !used[function.RevisionID(id)] {
			orphans[function.RevisionID(id)] = true
		}
	}
	for _, key := range s.revisions.keys() {
		add(key)
	}
	for _, key := range s.pipelines.keys() {
		add(key)
	}
	for _, key := range s.metadata.keys() {
		add(key)
	}
	for _, key := range s.builds.keys() {
		add(key)
	}
	for id := range orphans {
		if err := s.removeRevision(ctx, id); err != nil {
			return err
		}
	}
	return s.sweepAttempts(ctx)
}

// Dir is the data folder.
func (s *Store) Dir() string { return s.dir }

// Close stops the embedded server and releases the data folder. Idempotent.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		if s.watch != nil {
			_ = s.watch.Stop()
			<-s.watchDone
		}
		if s.conn != nil {
			s.conn.Close()
		}
		if s.server != nil {
			s.server.Shutdown()
			s.server.WaitForShutdown()
		}
		s.closeErr = s.unlock()
	})
	return s.closeErr
}
