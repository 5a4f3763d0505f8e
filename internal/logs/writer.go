package logs

import (
	"bytes"
	"strings"
	"sync"
	"time"
)

// tailBytes is how much of an invocation's log the caller may ask for (LogType=Tail).
const tailBytes = 4 << 10

// Writer turns what one worker writes into lines of its function's log. The worker's output
// comes through Write; the node says with Begin and End which request it belongs to.
type Writer struct {
	store             *Store
	function, version string
	worker            string

	mu      sync.Mutex
	request string
	partial []byte
	tail    []byte
	wrote   time.Time
}

// Writer returns the writer of one worker.
func (s *Store) Writer(function, version, worker string) *Writer {
	return &Writer{store: s, function: function, version: version, worker: worker}
}

// Write takes output as it comes; it never fails and keeps no reference to p.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrote = time.Now()
	for rest := p; len(rest) > 0; {
		line, after, complete := bytes.Cut(rest, []byte{'\n'})
		room := w.store.opt.MaxLine - len(w.partial)
		if len(line) >= room {
			complete, line, after = true, rest[:room], rest[room:]
		}
		w.partial = append(w.partial, line...)
		rest = after
		if complete {
			w.emit()
		}
	}
	return len(p), nil
}

// Platform adds a line of the platform's own (START, END, REPORT).
func (w *Writer) Platform(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.keepTail(text)
	w.store.Append(w.function, Line{Version: w.version, Worker: w.worker, Request: w.request, Platform: true, Text: text})
}

// Begin says that what comes now belongs to a request.
func (w *Writer) Begin(request string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flush()
	w.request, w.tail = request, w.tail[:0]
}

// Tail returns the last 4 KiB of the lines since Begin.
func (w *Writer) Tail() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flush()
	return bytes.Clone(w.tail)
}

// Settle waits, at most for limit, until nothing was written for a moment: output that the
// runtime wrote before it answered may still be on its way through the pipe.
func (w *Writer) Settle(limit time.Duration) {
	const moment = 2 * time.Millisecond
	for end := time.Now().Add(limit); time.Now().Before(end); {
		time.Sleep(moment)
		w.mu.Lock()
		quiet := time.Since(w.wrote) >= moment
		w.mu.Unlock()
		if quiet {
			return
		}
	}
}

// Close ends a last line that had no line feed.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flush()
	return nil
}

func (w *Writer) flush() {
	if len(w.partial) > 0 {
		w.emit()
	}
}

func (w *Writer) emit() {
	text := strings.ToValidUTF8(strings.TrimSuffix(string(w.partial), "\r"), "\uFFFD")
	w.partial = w.partial[:0]
	w.keepTail(text)
	w.store.Append(w.function, Line{Version: w.version, Worker: w.worker, Request: w.request, Text: text})
}

func (w *Writer) keepTail(text string) {
	w.tail = append(append(w.tail, text...), '\n')
	if over := len(w.tail) - tailBytes; over > 0 {
		w.tail = append(w.tail[:0], w.tail[over:]...)
	}
}
