// Package audit keeps the log of who did what: one JSON object a line, in files that are put aside at a
// size and of which a number is kept. It must not know what the actions are, nor who may do them.
//
// Lines are written before Record returns: one that was recorded survives the process's end. A log that
// was opened with OpenBuffered writes them a moment later instead, and no caller ever waits for its disk.
package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// Entry is one line.
type Entry struct {
	Time time.Time `json:"time"`
	// Request is the identifier that the answer has in X-Amzn-Requestid.
	Request string `json:"requestId"`
	// User is the credential's name, "anonymous" where none are asked for, empty if it is not known who it was.
	User string `json:"user,omitempty"`
	// AccessKey is the one that the request named, whether it is its or not.
	AccessKey string `json:"accessKeyId,omitempty"`
	Address   string `json:"address"`
	// Action is what the request asks for, as AWS names it: CreateFunction.
	Action   string `json:"action"`
	Function string `json:"function,omitempty"`
	// Status is the answer's, Error its code.
	Status int    `json:"status"`
	Error  string `json:"error,omitempty"`
	// Left is how many lines were left out before this one, because there were too many.
	Left int `json:"leftOut,omitempty"`
}

// Log is one series of files: NAME.jsonl, and older ones from NAME.1.jsonl on.
type Log struct {
	dir, name string
	most      int64
	files     int

	mu     sync.Mutex
	file   *os.File
	size   int64
	buf    []byte // of lines that have not been written
	closed bool
	err    error

	// Refused requests of nobody known: whoever reaches the port can send as many as they like, and must
	// not push everything else out.
	tokens float64
	filled time.Time
	left   int

	stop, done chan struct{} // of the goroutine that writes a buffered log; nil: it is none
}

const (
	// strangers is how many lines of requests without a known user are written a second, in the long run.
	strangers = 20
	// burst is how many may come at once.
	burst = 500
	// flushEvery is how long a line of a buffered log may be in memory only, maxBuffered how much of them.
	flushEvery  = 100 * time.Millisecond
	maxBuffered = 1 << 20
)

// Open continues the log in a folder, which is made. most is the size of a file in bytes, files how many
// are kept.
func Open(dir, name string, most int64, files int) (*Log, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	l := &Log{dir: dir, name: name, most: most, files: files, tokens: burst, filled: time.Now()}
	if err := l.open(); err != nil {
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	return l, nil
}

// OpenBuffered is Open for lines that come often. What does not fit while the disk is slow is left out, and counted.
func OpenBuffered(dir, name string, most int64, files int) (*Log, error) {
	l, err := Open(dir, name, most, files)
	if err != nil {
		return nil, err
	}
	l.stop, l.done = make(chan struct{}), make(chan struct{})
	go l.flushLoop()
	return l, nil
}

func (l *Log) flushLoop() {
	defer close(l.done)
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	var spare []byte
	for ended := false; !ended; {
		select {
		case <-tick.C:
		case <-l.stop:
			ended = true
		}
		l.mu.Lock()
		spare, l.buf = l.buf, spare[:0]
		l.mu.Unlock()
		// Only this goroutine touches the file.
		if len(spare) > 0 {
			if err := l.write(spare); err != nil {
				l.mu.Lock()
				l.left += bytes.Count(spare, []byte{'\n'})
				l.mu.Unlock()
			}
		}
	}
}

func (l *Log) path(n int) string {
	if n == 0 {
		return filepath.Join(l.dir, l.name+".jsonl")
	}
	return filepath.Join(l.dir, l.name+"."+strconv.Itoa(n)+".jsonl")
}

func (l *Log) open() error {
	f, err := os.OpenFile(l.path(0), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	l.file, l.size = f, info.Size()
	return l.repair()
}

// repair ends a line that an earlier process was cut off in.
func (l *Log) repair() error {
	if l.size == 0 {
		return nil
	}
	var last [1]byte
	if _, err := l.file.ReadAt(last[:], l.size-1); err != nil || last[0] == '\n' {
		return err
	}
	n, err := l.file.Write([]byte{'\n'})
	l.size += int64(n)
	return err
}

// Record writes a line. The error is of the disk; it is told once, until a line could be written again.
func (l *Log) Record(e Entry) error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	if e.User == "" && !l.token(e.Time) {
		l.left++
		return nil
	}
	if l.stop != nil && len(l.buf) > maxBuffered {
		l.left++
		return nil
	}
	e.Left, l.left = l.left, 0
	doc, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	l.buf = append(append(l.buf, doc...), '\n')
	if l.stop != nil {
		return nil
	}
	before := l.err
	l.err = l.write(l.buf)
	l.buf = l.buf[:0]
	if l.err != nil && before == nil {
		return fmt.Errorf("audit: %w", l.err)
	}
	return nil
}

// token takes one of those that lines of strangers need. l.mu is held.
func (l *Log) token(now time.Time) bool {
	if d := now.Sub(l.filled); d > 0 {
		l.tokens = min(burst, l.tokens+d.Seconds()*strangers)
		l.filled = now
	}
	if l.tokens < 1 {
		return false
	}
	l.tokens--
	return true
}

// write appends whole lines to the file.
func (l *Log) write(lines []byte) error {
	if l.file == nil || l.size > 0 && l.size+int64(len(lines)) >= l.most {
		if err := l.rotate(); err != nil {
			return err
		}
	}
	n, err := l.file.Write(lines)
	l.size += int64(n)
	if err != nil && n > 0 { // on a full disk: the next line must not continue this one
		if l.file.Truncate(l.size-int64(n)) == nil {
			l.size -= int64(n)
		}
	}
	return err
}

// rotate puts the current file aside and begins a new one.
func (l *Log) rotate() error {
	if l.file != nil {
		err := l.file.Close()
		l.file = nil
		if err != nil {
			return err
		}
		for n := l.files - 1; n >= 1; n-- {
			if err := os.Rename(l.path(n-1), l.path(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		if l.files == 1 {
			if err := os.Remove(l.path(0)); err != nil {
				return err
			}
		}
	}
	return l.open()
}

// Size is what the files take, in bytes.
func (l *Log) Size() int64 {
	if l == nil {
		return 0
	}
	var total int64
	for n := range l.files {
		if info, err := os.Stat(l.path(n)); err == nil {
			total += info.Size()
		}
	}
	return total
}

// Close ends the log. Idempotent.
func (l *Log) Close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	if l.stop != nil {
		l.mu.Unlock()
		close(l.stop)
		<-l.done
		l.mu.Lock()
	}
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}
