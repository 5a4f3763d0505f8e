// Package logs keeps what functions write: in order, live, and never more than a cap.
//
// Each function has one stream of lines. A line is visible to followers the moment it is
// complete and is on disk a tenth of a second later; a slow disk or a slow follower never
// holds back the function. The package must not know what invocations or workers are: it is
// told a worker's name and, while one runs, a request's.
package logs

import (
	"bufio"
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
}

// flushEvery is how long a line may be in memory only.
const flushEvery = 100 * time.Millisecond

// Store keeps the logs of all functions in a folder.
type Store struct {
	dir string
	opt Options

	mu      sync.Mutex
	streams map[string]*stream
	closed  bool

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
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open log store: %w", err)
	}
	s := &Store{dir: dir, opt: opt, streams: map[string]*stream{}, stop: make(chan struct{}), done: make(chan struct{})}
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
	s.mu.Unlock()
	if st != nil {
		if err := st.close(); err != nil {
			return err
		}
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

// Last returns the newest n lines, oldest first.
func (s *Store) Last(function string, n int) ([]Line, error) {
	st, err := s.stream(function)
	if err != nil {
		return nil, err
	}
	if err := st.flush(); err != nil {
		return nil, err
	}
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
	st, err := openStream(filepath.Join(s.dir, function), s.opt)
	if err != nil {
		return nil, fmt.Errorf("open log of %s: %w", function, err)
	}
	s.streams[function] = st
	return st, nil
}

func (s *Store) flushLoop() {
	defer close(s.done)
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_ = s.Flush() // kept by the stream, and returned to whoever reads or closes it
		case <-s.stop:
			return
		}
	}
}

// stream is one function's log: two files of at most half the cap each, and the newest lines
// in a ring for followers.
type stream struct {
	dir string
	opt Options

	mu     sync.Mutex
	file   *os.File // nil until something is written
	out    *bufio.Writer
	size   int64
	err    error // the first failed write; later lines are for followers only
	seq    uint64
	ring   []Line
	more   chan struct{} // closed when a line comes; nil: nobody waits
	buf    []byte        // of one line, used again
	closed bool
}

const (
	currentFile = "current.jsonl"
	olderFile   = "older.jsonl"
)

func openStream(dir string, opt Options) (*stream, error) {
	st := &stream{dir: dir, opt: opt}
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
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed {
		return
	}
	st.seq++
	line.Seq = st.seq
	if len(st.ring) < st.opt.Recent {
		st.ring = append(st.ring, line)
	} else {
		st.ring[(line.Seq-1)%uint64(len(st.ring))] = line
	}
	st.tell()
	if st.err == nil {
		st.err = st.write(line)
	}
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

func (st *stream) write(line Line) error {
	if st.file == nil {
		if err := st.openFile(); err != nil {
			return err
		}
	}
	var err error
	if st.buf, err = appendLine(st.buf[:0], &line); err != nil {
		return err
	}
	n, err := st.out.Write(append(st.buf, '\n'))
	st.size += int64(n)
	if err == nil && st.size > st.opt.MaxBytes/2 {
		err = st.rotate()
	}
	return err
}

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
	st.file, st.size, st.out = f, info.Size(), bufio.NewWriterSize(f, 8<<10)
	return nil
}

func (st *stream) rotate() error {
	if err := st.out.Flush(); err != nil {
		return err
	}
	if err := st.file.Close(); err != nil {
		return err
	}
	st.file = nil
	return os.Rename(filepath.Join(st.dir, currentFile), filepath.Join(st.dir, olderFile))
}

func (st *stream) flush() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.flushLocked()
}

func (st *stream) flushLocked() error {
	if st.err == nil && st.file != nil {
		st.err = st.out.Flush()
	}
	return st.err
}

func (st *stream) close() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed {
		return nil
	}
	st.closed = true
	st.tell()
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
	first := st.seq + 1 - uint64(len(st.ring))
	if st.more == nil {
		st.more = make(chan struct{})
	}
	if len(st.ring) == 0 || after >= st.seq {
		return nil, st.more, nil
	}
	from := max(after+1, first)
	lines := make([]Line, 0, st.seq-from+1)
	oldest := 0
	if len(st.ring) == st.opt.Recent {
		oldest = int(st.seq % uint64(len(st.ring)))
	}
	for seq := from; seq <= st.seq; seq++ {
		lines = append(lines, st.ring[(oldest+int(seq-first))%len(st.ring)])
	}
	return lines, st.more, nil
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

func readLines(r io.Reader, lines []Line, n, maxLine int) ([]Line, error) {
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 8*maxLine+4096) // JSON may write a byte as six
	for sc.Scan() {
		var l Line
		if json.Unmarshal(sc.Bytes(), &l) != nil {
			continue
		}
		lines = append(lines, l)
		if len(lines) >= 2*n+64 {
			lines = append(lines[:0:0], lines[len(lines)-n:]...)
		}
	}
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return lines, sc.Err()
}
