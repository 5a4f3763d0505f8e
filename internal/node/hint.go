package node

import (
	"bytes"
	"io"
	"sync"

	"github.com/cloudjit/cloudjit/internal/metadata"
)

// lackMark begins what a native binary says of what it cannot do (metadata.ParseLack).
var lackMark = []byte(metadata.LackMark)

// hintMark stands in what a native binary says of an element that it lacks (metadata.ParseMissing),
// between the element's name and its JSON.
var hintMark = []byte("section of 'reachability-metadata.json' and rebuild the native image:")

const (
	hintBefore = 2 << 10 // bytes kept before the mark: the sentence that it ends
	hintAfter  = 8 << 10 // and after it: the element
)

// hint passes a native worker's output on and keeps the last hint in it. A stack trace follows a
// hint, and that of a request in a framework is longer than the end of the log that is kept.
type hint struct {
	next io.Writer // nil: nobody wants the output

	mu     sync.Mutex
	recent []byte // the last bytes, at most hintBefore and a mark that has only begun
	kept   []byte // around the last mark
	room   int    // what may still be added to kept
}

func (h *hint) Write(p []byte) (int, error) {
	h.keep(p)
	if h.next == nil {
		return len(p), nil
	}
	return h.next.Write(p)
}

func (h *hint) keep(p []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.recent = append(h.recent, p...)
	if end := h.mark(); end > 0 {
		rest := h.recent[end:min(len(h.recent), end+hintAfter)]
		h.kept = append(bytes.Clone(h.recent[max(end-len(hintMark)-hintBefore, 0):end]), rest...)
		h.room = hintAfter - len(rest)
		h.recent = bytes.Clone(h.recent[end:]) // the mark is not found again
	} else if h.room > 0 {
		more := p[:min(len(p), h.room)]
		h.kept = append(h.kept, more...)
		h.room -= len(more)
	}
	if over := len(h.recent) - hintBefore - len(hintMark); over > 0 {
		h.recent = append(h.recent[:0], h.recent[over:]...)
	}
}

// mark is the end of the last mark; 0 if there is none.
func (h *hint) mark() int {
	end := 0
	for _, mark := range [][]byte{hintMark, lackMark} {
		if at := bytes.LastIndex(h.recent, mark); at >= 0 {
			end = max(end, at+len(mark))
		}
	}
	return end
}

// last is the last hint with what stood around it; empty if there was none.
func (h *hint) last() []byte {
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return bytes.Clone(h.kept)
}
