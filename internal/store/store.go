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
	"sync/atomic"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/cloudjit/cloudjit/internal/cluster"
	"github.com/cloudjit/cloudjit/internal/disk"
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
	// ErrUnavailable is returned by writes while the store repairs itself. What is stored can be read.
	ErrUnavailable = errors.New("the store cannot be written at this moment")
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
	// Reserve is how much of the disk is kept back, in bytes; 0: disk.Options' default; less: nothing is.
	Reserve int64
	// Queue bounds the queue of asynchronous invocations.
	Queue QueueLimits
	// Cluster, if set, makes the store one of several with the same state.
	Cluster *Cluster
	// NoSync leaves it to the kernel when to write to disk: nothing is lost when the process is
	// killed, but power loss may lose the last writes. For tests and benchmarks.
	NoSync bool
}

// Store is an open data folder. All methods may be called concurrently.
type Store struct {
	dir    string
	opt    Options
	log    *slog.Logger
	unlock func() error

	now    atomic.Pointer[session]
	disk   *disk.Guard  // asked before anything is written
	gate   sync.RWMutex // held for reading while something is written, and by who exchanges the session
	broken atomic.Pointer[brokenness]
	repair chan struct{} // one token: the session is broken

	inventory *inventory
	survey    survey // how it was found
	damage    *damage
	gone      []string       // keys of documents that are lost, until open has dealt with them
	deep      atomic.Bool    // damage was met: the next session is looked through to the end
	keys      [64]sync.Mutex // of what is changed, by a hash of its name

	closing chan struct{}
	kept    chan struct{} // closed when the keeper has ended

	endScrub context.CancelFunc
	scrubbed sync.WaitGroup

	docs      bucket
	functions *table[Function]
	revisions *table[Revision]
	pipelines *table[Pipeline]
	metadata  *table[metadataIndex]
	builds    *table[Build]
	attempts  *table[attempt]
	settings  *table[Setting]
	tables    map[string]applier
	urls      sync.Map // URL identifier -> URLTarget

	backlogMu sync.Mutex
	backlog   *backlog
	ready     chan struct{} // one token: the backlog has changed
	endFeed   context.CancelFunc
	fed       chan struct{} // closed when the feeder has ended

	bus   bus
	peers atomic.Pointer[cluster.Cluster]
	key   atomic.Pointer[[]byte] // the nodes' shared secret
	// stranger is the last complaint of a route whose ends do not trust each other.
	stranger    atomic.Pointer[string]
	replication atomic.Pointer[cluster.Replication]

	closeOnce sync.Once
	closeErr  error
}

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
	s := &Store{dir: dir, opt: opts, log: opts.Logger, unlock: unlock, repair: make(chan struct{}, 1), closing: make(chan struct{}), ready: make(chan struct{}, 1), backlog: newBacklog(opts.Queue)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if err := s.identify(); err != nil {
		return nil, errors.Join(fmt.Errorf("open data folder %s: %w", dir, err), unlock())
	}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open data folder %s: %w", dir, err), s.Close())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) error {
	if s.opt.Reserve >= 0 {
		var err error
		if s.disk, err = disk.Open(disk.Options{Dir: s.dir, Reserve: s.opt.Reserve, Logger: s.opt.Logger}); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(s.dir, payloadFolder), 0o700); err != nil {
		return err
	}
	state := bucket{s, func(x *session) jetstream.KeyValue { return x.state }, stateKey}
	s.docs = bucket{s, func(x *session) jetstream.KeyValue { return x.docs }, docsKey}
	s.functions = newTable[Function](state, "function", false)
	s.functions.onChange = s.indexURLs
	s.revisions = newTable[Revision](state, "revision", false)
	s.pipelines = newTable[Pipeline](state, "pipeline", true)
	s.metadata = newTable[metadataIndex](state, "metadata", true)
	s.builds = newTable[Build](state, "build", true)
	state.class = "" // lost attempts are only made again
	s.attempts = newTable[attempt](state, "attempt", true)
	state.class = stateKey
	s.settings = newTable[Setting](state, "setting", false)
	s.tables = map[string]applier{
		"function": s.functions, "revision": s.revisions, "pipeline": s.pipelines, "metadata": s.metadata,
		"build": s.builds, "attempt": s.attempts, "setting": s.settings,
	}
	s.damage = openDamage(s.dir)
	if s.clustered() {
		return s.openShared(ctx)
	}
	var err error
	if s.inventory, s.survey, err = openInventory(s.dir, s.opt.NoSync); err != nil {
		return err
	}
	if err := s.goOn(ctx, s.openSession); err != nil {
		return err
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	s.endScrub = end
	s.scrubbed.Go(func() {
		if err := s.scrub(life); err != nil && life.Err() == nil {
			s.log.Error("look through the queue", "error", err)
		}
	})
	if err := s.forgetDocs(ctx); err != nil {
		return fmt.Errorf("forget lost documents: %w", err)
	}
	if s.Doubtful() {
		return nil // what nothing refers to may be what lost functions had
	}
	if err := s.sweep(ctx); err != nil {
		return fmt.Errorf("remove what no function refers to: %w", err)
	}
	return s.sweepPayloads()
}

// openShared is the rest of open for one node of several. There is no inventory: other nodes write too, and have copies.
func (s *Store) openShared(ctx context.Context) error {
	s.functions.onChange = func(old, new *Function) {
		s.indexURLs(old, new)
		if new == nil {
			s.tell("function", string(old.Name))
		} else {
			s.tell("function", string(new.Name))
		}
	}
	s.attempts.onChange = s.attempted
	s.pipelines.onChange = func(old, new *Pipeline) {
		if new != nil {
			s.tell("pipeline", string(new.Revision))
		}
	}
	s.settings.onChange = func(_, new *Setting) { s.tell("setting", "") }
	return s.goOn(ctx, s.openClustered)
}

// goOn begins the first session, and what keeps it and feeds from it.
func (s *Store) goOn(ctx context.Context, open func(context.Context) (*session, error)) error {
	x, err := open(ctx)
	s.now.Store(x)
	if err != nil {
		return err
	}
	s.kept = make(chan struct{})
	go s.keep()
	s.startFeed(ctx)
	return nil
}

func (s *Store) tell(kind, key string) {
	if f := s.opt.Cluster.Changed; f != nil {
		f(kind, key)
	}
}

// openSession begins a session with everything that must be there, and makes the tables what it has. Where
// the embedded server cannot open its folder, or lacks something, the folder is made anew.
func (s *Store) openSession(ctx context.Context) (*session, error) {
	_ = os.RemoveAll(filepath.Join(s.dir, freshFolder)) // of a server that died while it made one
	if mended, err := s.mendBlocks(); err != nil {
		return nil, err
	} else if mended {
		s.deep.Store(true)
	}
	var x *session
	var err error
	if died := s.opening(); died < tolerateDeath {
		x, err = s.begin(ctx, stateFolder)
	} else {
		err = fmt.Errorf("the last %d servers died while they opened it", died)
	}
	s.opened()
	if err != nil {
		x.end()
		if ctx.Err() != nil || s.disk.AdmitNote(1<<20) != nil || len(s.inventory.all(stateKey)) == 0 {
			return x, err
		}
		s.log.Error("the store cannot be opened; it is made again from the inventory", "error", err)
		x = nil
	}
	a := s.newAudit(x)
	if err := a.compare(ctx); err != nil {
		return x, err
	}
	if a.damaged {
		if x, err = a.rebuild(ctx); err != nil {
			return x, err
		}
	} else if err := a.settle(ctx); err != nil {
		return x, err
	}
	if err := a.report(ctx, x); err != nil {
		return x, err
	}
	return x, s.replaceTables(a.state)
}

// replaceTables makes the tables what a session has.
func (s *Store) replaceTables(state map[string]found) error {
	rows := map[applier]map[string]found{}
	for _, t := range s.tables {
		rows[t] = map[string]found{}
	}
	for key, f := range state {
		if t, key, ok := s.tableOf(key); ok && !f.deleted {
			rows[t][key] = f
		}
	}
	for t, r := range rows {
		if err := t.replace(r); err != nil {
			return err
		}
	}
	return nil
}

// follow takes a change that a session tells of.
func (s *Store) follow(key string, f found) {
	if l, ok := s.inventory.get(stateKey + "/" + key); ok && f.deleted && f.seq > l.seq {
		// Whoever removes something strikes it off first: the embedded server took it away by itself, on the
		// word of a damaged file of its own.
		s.deep.Store(true)
		s.suspect(errDamaged)
		return
	}
	if t, key, ok := s.tableOf(key); ok {
		if err := t.apply(key, f); err != nil {
			s.log.Error("read a change of the state", "key", key, "error", err)
		}
	}
}

// tableOf returns the table of a key, and the key in it; false for what a newer version wrote.
func (s *Store) tableOf(key string) (applier, string, bool) {
	prefix, key, _ := strings.Cut(key, ".")
	t, ok := s.tables[prefix]
	return t, key, ok
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

// Disk guards the data folder's file system, for whoever else writes there.
func (s *Store) Disk() *disk.Guard { return s.disk }

// Clustered reports whether the state is shared with other nodes.
func (s *Store) Clustered() bool { return s.clustered() }

// Dir is the data folder.
func (s *Store) Dir() string { return s.dir }

// Close stops the embedded server and releases the data folder. Idempotent.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		close(s.closing)
		if s.endFeed != nil {
			s.endFeed()
			<-s.fed
		}
		if s.kept != nil {
			<-s.kept
			if s.endScrub != nil {
				s.endScrub()
			}
			s.scrubbed.Wait()
		}
		s.now.Load().end()
		s.closeErr = s.inventory.close()
		s.disk.Close()
		s.closeErr = errors.Join(s.closeErr, s.unlock())
	})
	return s.closeErr
}
