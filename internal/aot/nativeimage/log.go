package nativeimage

import (
	"bytes"
	"fmt"
	"io"
	"sync"
)

const (
	keptHead = 256 << 10 // bytes kept of a log's begin
	keptTail = 768 << 10 // and of its end
)

// keptLog passes a build's output on and keeps its begin and its end. It never fails: a reader
// that went away does not end a build.
type keptLog struct {
	mu      sync.Mutex
	to      io.Writer
	head    []byte
	ring    []byte
	dropped int64
}

func newKeptLog(to io.Writer) *keptLog { return &keptLog{to: to} }

func (l *keptLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.to != nil {
		if _, err := l.to.Write(p); err != nil {
			l.to = nil
		}
	}
	rest := p
	if room := keptHead - len(l.head); room > 0 {
		n := min(room, len(rest))
		l.head = append(l.head, rest[:n]...)
		rest = rest[n:]
	}
	l.ring = append(l.ring, rest...)
	if over := len(l.ring) - 2*keptTail; over > 0 {
		// Cut down only now and then, so that each byte is moved once.
		cut := len(l.ring) - keptTail
		l.dropped += int64(cut)
		l.ring = append(l.ring[:0], l.ring[cut:]...)
	}
	return len(p), nil
}

// bytes is the whole log, or its begin and its end with a line that says what is left out.
func (l *keptLog) bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	tail, dropped := l.ring, l.dropped
	if over := len(tail) - keptTail; over > 0 {
		tail, dropped = tail[over:], dropped+int64(over)
	}
	out := append([]byte(nil), l.head...)
	if dropped > 0 {
		out = fmt.Appendf(out, "\ncloudjit: %d bytes are left out here\n", dropped)
	}
	return append(out, tail...)
}

// runLine begins the lines that say which tool runs.
const runLine = "cloudjit: run "

// tail is the last part of what the last tool wrote, where it says why it failed.
func (l *keptLog) tail() string {
	b := l.bytes()
	const enough = 128 << 10
	b = b[max(0, len(b)-enough):]
	return string(b[max(0, bytes.LastIndex(b, []byte("\n"+runLine))):])
}
