package server

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/cloudjit/cloudjit/internal/engine"
)

// LogFile is the engine's log in a file, a node.Recorder. Recording appends to memory and never waits
// for the disk; one goroutine writes what has gathered, every second and whenever there is
// much. A process that is killed loses what came after the last write, and the reader ends there.
//
// A log with a gap would be worthless, for every step builds on those before it. So when the
// disk fails, or falls behind by more than the bound, the log ends at that step, and the
// steps after it are only counted.
type LogFile struct {
	file  *os.File
	limit int
	log   *slog.Logger
	wake  chan struct{} // has room for one
	stop  chan struct{}
	done  chan struct{}
	once  sync.Once

	mu      sync.Mutex
	w       *engine.LogWriter // into pending
	pending buffer
	spare   buffer
	stats   LogStats
	err     error // the log has ended
}

// LogStats is what became of the steps.
type LogStats struct {
	Steps uint64 // recorded
	Lost  uint64 // came after the log had to end
	Bytes int64  // written
}

const (
	logFlushEvery = time.Second
	logFlushAt    = 64 << 10  // bytes that wait, to write at once
	logLimit      = 128 << 20 // bytes that may wait: a minute of a hundred thousand steps a second and more
)

// ErrLogBehind ends a log whose disk does not keep up.
var ErrLogBehind = errors.New("the disk does not keep up with the engine's log")

// CreateLogFile makes a new file; one that is there is left alone, with os.ErrExist. Should the log have to end
// early, that is logged at once.
func CreateLogFile(path string, log *slog.Logger) (*LogFile, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("record the engine's log: %w", err)
	}
	return newLogFile(f, logLimit, log)
}

func newLogFile(f *os.File, limit int, log *slog.Logger) (*LogFile, error) {
	l := &LogFile{file: f, limit: limit, log: log, wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	var err error
	if l.w, err = engine.NewLogWriter(&l.pending); err != nil {
		return nil, err
	}
	l.flush()
	go l.run()
	return l, nil
}

type buffer []byte

func (b *buffer) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

// Record implements node.Recorder.
func (l *LogFile) Record(now int64, ev engine.Event, actions []engine.Action) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil && len(l.pending) > l.limit {
		l.err = ErrLogBehind
	}
	if l.err != nil {
		l.stats.Lost++
		return
	}
	l.w.Record(now, ev, actions)
	l.stats.Steps++
	if len(l.pending) >= logFlushAt {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

func (l *LogFile) run() {
	defer close(l.done)
	tick := time.NewTicker(logFlushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-l.wake:
		case <-l.stop:
			return
		}
		l.flush()
		if _, err := l.Stats(); err != nil {
			l.log.Error("the engine's log ends here", "file", l.file.Name(), "error", err)
			return
		}
	}
}

// flush writes what waits. One caller at a time: the goroutine, and before and after it the owner.
func (l *LogFile) flush() {
	l.mu.Lock()
	l.pending, l.spare = l.spare[:0], l.pending
	l.mu.Unlock()
	if len(l.spare) == 0 {
		return
	}
	n, err := l.file.Write(l.spare)
	if cap(l.spare) > 16*logFlushAt {
		l.spare = nil // a burst's
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.Bytes += int64(n)
	if err != nil {
		l.pending = nil
		l.err = errors.Join(l.err, err)
	}
}

// Stats are the numbers so far, and why the log has ended, if it has.
func (l *LogFile) Stats() (LogStats, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stats, l.err
}

// Close writes the rest, to the disk itself. Nothing may be recorded after it. The error says why the
// log is not whole. Idempotent.
func (l *LogFile) Close() (LogStats, error) {
	l.once.Do(func() {
		close(l.stop)
		<-l.done
		l.flush()
		err := errors.Join(l.file.Sync(), l.file.Close())
		l.mu.Lock()
		l.err = errors.Join(l.err, err)
		l.mu.Unlock()
	})
	stats, err := l.Stats()
	if err != nil {
		err = fmt.Errorf("record the engine's log: %w", err)
	}
	return stats, err
}
