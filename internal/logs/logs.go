// Package logs keeps what functions write: in order, live, and never more than a cap.
//
// Each function has one stream of lines. A line is visible to followers the moment it is
// complete and is on disk a tenth of a second later; a slow disk or a slow follower never
// holds back the function. The package must not know what invocations or workers are: it is
// told a worker's name and, while one runs, a request's.
package logs

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Line is one line of a function's log.
type Line struct {
	// Seq counts the lines of the function from 1; a gap means that lines were dropped.
	Seq     uint64    `json:"seq"`
	Time    time.Time `json:"time"`
	Version string    `json:"version,omitempty"`
	Worker  string    `json:"worker,omitempty"`
	Request string    `json:"request,omitempty"`
	// Platform is true for START, END and REPORT lines, which the platform writes.
	Platform bool   `json:"platform,omitempty"`
	Text     string `json:"text"`
}

// Options of a Store; zero values give the defaults.
type Options struct {
	// MaxBytes on disk for each function (64 MiB): the oldest half goes when it is reached.
	MaxBytes int64
	// MaxLine is the longest line in bytes (64 KiB): a longer one is cut into several.
	MaxLine int
	// Recent is how many lines a follower may be behind before it misses some (4096).
	Recent int
	// RecentBytes bounds the same in bytes, for each function (256 KiB); MemoryBytes for all (16 MiB).
	RecentBytes, MemoryBytes int
	// TotalBytes on disk for all functions; 0: no limit. Of those that wrote least recently the older
	// half goes, within a second.
	TotalBytes int64
}

const (
	// flushEvery is how long a line may be in memory only.
	flushEvery = 100 * time.Millisecond
	// tidyEvery is how often the disk of all is counted.
	tidyEvery = time.Second
	// idleAfter is when the file of a function that writes nothing is closed.
	idleAfter = 30 * time.Second
	// maxRead is the most bytes of lines that Last returns, reads how many calls of it read at once.
	maxRead = 2 << 20
	reads   = 4
	// maxBatch is how many bytes of lines a follower is given at once.
	maxBatch = 64 << 10
	// lineBytes is what a line takes beside its text.
	lineBytes = 160
	// wakeAt is how many bytes of a function's lines wait to be written at once, maxPending how many may wait:
	// with more, what the function writes waits for the disk. Lines of the platform never do: they belong
	// to invocations. Of those the ones beyond twice as much are left out.
	wakeAt     = 16 << 10
	maxPending = 64 << 10
)

// Store keeps the logs of all functions in a folder.
type Store struct {
	dir string
	opt Options

	mu      sync.Mutex
	streams map[string]*stream
	cold    map[string]diskUse // of functions whose streams are not open
	closed  bool

	memory  atomic.Int64 // of all streams' recent lines
	reading chan struct{}

	wake chan struct{} // has room for one: there is much to write
	stop chan struct{}
	done chan struct{}
}

// ErrClosed is returned after Close.
var ErrClosed = errors.New("log store is closed")

// Open starts the store in dir. Names of functions become names of folders: the caller has
// checked them.
func Open(dir string, opt Options) (*Store, error) {
	if opt.MaxBytes == 0 {
		opt.MaxBytes = 64 << 20
	}
	if opt.MaxLine == 0 {
		opt.MaxLine = 64 << 10
	}
	if opt.Recent == 0 {
		opt.Recent = 4096
	}
	if opt.RecentBytes == 0 {
		opt.RecentBytes = 256 << 10
	}
	if opt.MemoryBytes == 0 {
		opt.MemoryBytes = 16 << 20
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open log store: %w", err)
	}
	s := &Store{dir: dir, opt: opt, streams: map[string]*stream{}, cold: map[string]diskUse{}, reading: make(chan struct{}, reads), wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	folders, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open log store: %w", err)
	}
	for _, f := range folders {
		s.cold[f.Name()] = useOf(filepath.Join(dir, f.Name()))
	}
	go s.flushLoop()
	return s, nil
}

// Close writes what is in memory and ends all followers.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	streams := s.all()
	s.mu.Unlock()
	close(s.stop)
	<-s.done
	var errs []error
	for _, st := range streams {
		errs = append(errs, st.close())
	}
	return errors.Join(errs...)
}

// Remove deletes a function's log and ends its followers.
func (s *Store) Remove(function string) error {
	s.mu.Lock()
	st := s.streams[function]
	delete(s.streams, function)
	delete(s.cold, function)
	s.mu.Unlock()
	if st != nil {
		_ = st.close() // lines that a full disk did not take go now anyway
	}
	return os.RemoveAll(filepath.Join(s.dir, function))
}

// Append adds one line; Seq and, where it is zero, Time are set here.
func (s *Store) Append(function string, line Line) {
	if st, err := s.stream(function); err == nil {
		st.append(line)
	}
}

// Flush writes to disk what is in memory.
func (s *Store) Flush() error {
	s.mu.Lock()
	streams := s.all()
	s.mu.Unlock()
	var errs []error
	for _, st := range streams {
		errs = append(errs, st.flush())
	}
	return errors.Join(errs...)
}

// Last returns the newest n lines, oldest first; fewer if those take more than 2 MiB.
func (s *Store) Last(function string, n int) ([]Line, error) {
	st, err := s.stream(function)
	if err != nil {
		return nil, err
	}
	if err := st.flush(); err != nil {
		return nil, err
	}
	s.reading <- struct{}{}
	defer func() { <-s.reading }()
	return st.read(n)
}

// Follow calls yield with every line after the given sequence number, and then with new ones
// as they come, until yield fails, ctx ends, or the function or the store goes. A follower
// that is too slow misses lines, which the sequence numbers show.
func (s *Store) Follow(ctx context.Context, function string, after uint64, yield func(Line) error) error {
	st, err := s.stream(function)
	if err != nil {
		return err
	}
	for {
		lines, more, err := st.since(after)
		if err != nil {
			return err
		}
		for _, l := range lines {
			if err := yield(l); err != nil {
				return err
			}
			after = l.Seq
		}
		if len(lines) > 0 {
			continue
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *Store) all() []*stream {
	streams := make([]*stream, 0, len(s.streams))
	for _, st := range s.streams {
		streams = append(streams, st)
	}
	return streams
}

func (s *Store) stream(function string) (*stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	if st := s.streams[function]; st != nil {
		return st, nil
	}
	st, err := openStream(filepath.Join(s.dir, function), s)
	if err != nil {
		return nil, fmt.Errorf("open log of %s: %w", function, err)
	}
	st.older = s.cold[function].older
	delete(s.cold, function)
	s.streams[function] = st
	return st, nil
}

func (s *Store) flushLoop() {
	defer close(s.done)
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	tidied := time.Now()
	for {
		select {
		case <-s.wake:
			_ = s.Flush()
		case <-tick.C:
			_ = s.Flush() // kept by the stream, and returned to whoever reads or closes it
			s.shrink()
			if now := time.Now(); now.Sub(tidied) >= tidyEvery {
				tidied = now
				s.tidy(now)
			}
		case <-s.stop:
			return
		}
	}
}

// stream is one function's log: two files of at most half the cap each, and the newest lines
// in a ring for followers.
type stream struct {
	dir   string
	opt   Options
	store *Store

	// disk is held while files are written, and is taken before mu.
	disk  sync.Mutex
	file  *os.File // nil until something is written
	spare []byte   // used again for pending

	mu      sync.Mutex
	pending []byte // lines that have not been written
	size    int64  // of the current file
	older   int64  // of the older one
	wrote   time.Time
	err     error // the failure of the last write; until it is tried again, lines are for followers only
	failed  time.Time
	seq     uint64
	recent  []Line        // the newest lines, in order
	bytes   int           // that they take
	more    chan struct{} // closed when a line comes; nil: nobody waits
	closed  bool
}

const (
	currentFile = "current.jsonl"
	olderFile   = "older.jsonl"
)

func openStream(dir string, store *Store) (*stream, error) {
	use := useOf(dir)
	st := &stream{dir: dir, opt: store.opt, store: store, size: use.current, older: use.older, wrote: use.wrote}
	lines, err := st.read(1)
	if err != nil {
		return nil, err
	}
	if len(lines) > 0 {
		st.seq = lines[0].Seq
	}
	return st, nil
}

func (st *stream) append(line Line) {
	if line.Time.IsZero() {
		line.Time = time.Now()
	}
	if st.add(line) && !line.Platform {
		_ = st.flush() // kept by the stream
	}
}

// add takes a line, and reports whether too much waits to be written.
func (st *stream) add(line Line) (much bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed {
		return false
	}
	st.seq++
	line.Seq = st.seq
	st.wrote = line.Time
	st.keep(line)
	st.tell()
	if st.err != nil {
		if time.Since(st.failed) < tidyEvery {
			return false
		}
		st.err = nil // the disk may have room again
	}
	if len(st.pending) > 2*maxPending {
		return true // its number will show that it is missing
	}
	before := len(st.pending)
	var err error
	if st.pending, err = appendLine(st.pending, &line); err != nil {
		st.pending = st.pending[:before]
		return false
	}
	st.pending = append(st.pending, '\n')
	if len(st.pending) > wakeAt {
		select {
		case st.store.wake <- struct{}{}:
		default:
		}
	}
	return len(st.pending) > maxPending
}

// keep adds a line to the recent ones, and drops the oldest of those that are too many or too large. st.mu
// is held.
func (st *stream) keep(line Line) {
	n := len(line.Text) + lineBytes
	st.recent = append(st.recent, line)
	st.bytes += n
	st.store.memory.Add(int64(n))
	st.trim(st.opt.RecentBytes)
}

// trim keeps at most so many bytes of recent lines, but for the newest line. st.mu is held.
func (st *stream) trim(most int) {
	drop := 0
	for len(st.recent)-drop > 1 && (len(st.recent)-drop > st.opt.Recent || st.bytes > most) {
		n := len(st.recent[drop].Text) + lineBytes
		st.bytes -= n
		st.store.memory.Add(-int64(n))
		st.recent[drop] = Line{}
		drop++
	}
	st.recent = st.recent[drop:]
}

// tell wakes up who waits for a line. st.mu is held.
func (st *stream) tell() {
	if st.more != nil {
		close(st.more)
		st.more = nil
	}
}

// appendLine appends a line as json.Marshal writes it, in a quarter of the time: three lines of
// the platform's own go with each invocation.
func appendLine(b []byte, l *Line) ([]byte, error) {
	b = append(b, `{"seq":`...)
	b = strconv.AppendUint(b, l.Seq, 10)
	b = append(b, `,"time":"`...)
	b = l.Time.AppendFormat(b, time.RFC3339Nano)
	b = append(b, '"')
	var err error
	for _, f := range [...]struct{ name, value string }{{`,"version":`, l.Version}, {`,"worker":`, l.Worker}, {`,"request":`, l.Request}} {
		if f.value == "" {
			continue
		}
		if b, err = appendString(append(b, f.name...), f.value); err != nil {
			return b, err
		}
	}
	if l.Platform {
		b = append(b, `,"platform":true`...)
	}
	if b, err = appendString(append(b, `,"text":`...), l.Text); err != nil {
		return b, err
	}
	return append(b, '}'), nil
}

func appendString(b []byte, s string) ([]byte, error) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, err := json.Marshal(s)
			return append(b, quoted...), err
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"'), nil
}

// write appends whole lines to the current file, and begins a new one when it has half of what the log may
// take. st.disk is held, st.mu is not: invocations must not wait for the disk.
func (st *stream) write(lines []byte) error {
	for len(lines) > 0 {
		if st.file == nil {
			if err := st.openFile(); err != nil {
				return err
			}
		}
		st.mu.Lock()
		room := max(st.opt.MaxBytes/2-st.size, 0)
		st.mu.Unlock()
		n := len(lines)
		if int64(n) > room { // up to the end of the line that is over
			n = int(room) + bytes.IndexByte(lines[room:], '\n') + 1
		}
		written, err := st.file.Write(lines[:n])
		st.mu.Lock()
		st.size += int64(written)
		full := st.size > st.opt.MaxBytes/2
		st.mu.Unlock()
		if err == nil && full {
			err = st.rotate()
		}
		if err != nil {
			return err
		}
		lines = lines[n:]
	}
	return nil
}

// openFile opens the current file. st.disk is held.
func (st *stream) openFile() error {
	if err := os.MkdirAll(st.dir, 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(st.dir, currentFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	st.file = f
	st.mu.Lock()
	st.size = info.Size()
	st.mu.Unlock()
	return nil
}

// rotate makes the current file the older one. st.disk is held.
func (st *stream) rotate() error {
	if st.file != nil {
		err := st.file.Close()
		st.file = nil
		if err != nil {
			return err
		}
	}
	if err := os.Rename(filepath.Join(st.dir, currentFile), filepath.Join(st.dir, olderFile)); err != nil {
		return err
	}
	st.mu.Lock()
	st.older, st.size = st.size, 0
	st.mu.Unlock()
	return nil
}

// flush writes what waits.
func (st *stream) flush() error {
	st.disk.Lock()
	defer st.disk.Unlock()
	return st.flushLocked()
}

// flushLocked is flush for who holds st.disk.
func (st *stream) flushLocked() error {
	st.mu.Lock()
	lines, err := st.pending, st.err
	st.pending = st.spare[:0]
	st.mu.Unlock()
	st.spare = nil
	if cap(lines) <= 2*maxPending {
		st.spare = lines[:0]
	}
	if len(lines) == 0 || err != nil {
		return err
	}
	if err = st.write(lines); err == nil {
		return nil
	}
	if st.file != nil { // a line may be cut off: what comes next begins another
		_ = st.file.Close()
		st.file = nil
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.err, st.failed = err, time.Now()
	return err
}

func (st *stream) close() error {
	st.disk.Lock()
	defer st.disk.Unlock()
	st.mu.Lock()
	closed := st.closed
	st.closed = true
	if !closed {
		st.store.memory.Add(-int64(st.bytes))
		st.recent, st.bytes = nil, 0
		st.tell()
	}
	st.mu.Unlock()
	if closed {
		return nil
	}
	err := st.flushLocked()
	if st.file != nil {
		err = errors.Join(err, st.file.Close())
		st.file = nil
	}
	return err
}

// since returns the lines after a sequence number that are still in memory, and a channel
// that is closed when there are more.
func (st *stream) since(after uint64) ([]Line, <-chan struct{}, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed {
		return nil, nil, ErrClosed
	}
	if st.more == nil {
		st.more = make(chan struct{})
	}
	if len(st.recent) == 0 || after >= st.seq {
		return nil, st.more, nil
	}
	from := 0
	if first := st.recent[0].Seq; after >= first {
		from = int(after + 1 - first)
	}
	to, size := from, 0
	for to < len(st.recent) && (to == from || size < maxBatch) {
		size += len(st.recent[to].Text) + lineBytes
		to++
	}
	return append([]Line(nil), st.recent[from:to]...), st.more, nil
}

// read returns the newest n lines on disk. Lines that a crash cut off are left out.
func (st *stream) read(n int) ([]Line, error) {
	var lines []Line
	for _, name := range []string{olderFile, currentFile} {
		f, err := os.Open(filepath.Join(st.dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		lines, err = readLines(f, lines, n, st.opt.MaxLine)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", f.Name(), err)
		}
	}
	return lines, nil
}

// readLines reads on behind lines and keeps the newest n of all, maxRead bytes at most.
func readLines(r io.Reader, lines []Line, n, maxLine int) ([]Line, error) {
	size := 0
	for _, l := range lines {
		size += len(l.Text) + lineBytes
	}
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 8*maxLine+4096) // JSON may write a byte as six
	drop := 0
	for sc.Scan() {
		var l Line
		if json.Unmarshal(sc.Bytes(), &l) != nil {
			continue
		}
		lines = append(lines, l)
		size += len(l.Text) + lineBytes
		for len(lines)-drop > n || size > maxRead && len(lines)-drop > 1 {
			size -= len(lines[drop].Text) + lineBytes
			lines[drop] = Line{}
			drop++
		}
		if drop > 1024 && drop > len(lines)/2 {
			lines, drop = append(lines[:0:0], lines[drop:]...), 0
		}
	}
	return lines[drop:], sc.Err()
}
