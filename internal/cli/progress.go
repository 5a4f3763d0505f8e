package cli

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/cloudjit/cloudjit/internal/trace"
)

// progress says on stderr how far something is, once it has taken two seconds: in one line that
// changes on a terminal, in a line every ten seconds elsewhere.
type progress struct {
	mu      sync.Mutex
	screen  bool
	w       io.Writer
	length  time.Duration
	started time.Time
	last    time.Time
	shown   bool
}

func newProgress(c *Context, length time.Duration) *progress {
	return &progress{w: c.Stderr, screen: isTerminal(c.Stderr), length: length, started: time.Now()}
}

func (p *progress) at(done time.Duration, invocations uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	elapsed := now.Sub(p.started)
	pause := 10 * time.Second
	if p.screen {
		pause = 500 * time.Millisecond
	}
	if elapsed < 2*time.Second || now.Sub(p.last) < pause || p.length <= 0 {
		return
	}
	p.last, p.shown = now, p.screen
	share := min(float64(done)/float64(p.length), 1)
	left := time.Duration(0)
	if share > 0 {
		left = time.Duration(float64(elapsed) * (1 - share) / share).Round(time.Second)
	}
	line := fmt.Sprintf("%5.1f %%  %d million invocations, %.1f million a second, %v left",
		100*share, invocations/1e6, float64(invocations)/1e6/elapsed.Seconds(), left)
	if p.screen {
		fmt.Fprintf(p.w, "\r%s   ", line)
		return
	}
	fmt.Fprintln(p.w, line)
}

// end clears the line.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		fmt.Fprintf(p.w, "\r%70s\r", "")
		p.shown = false
	}
}

// watch shows the progress of passes over a trace.
func (p *progress) watch(t trace.Trace) trace.Trace { return &watchedTrace{t, p} }

type watchedTrace struct {
	trace.Trace
	p *progress
}

func (w *watchedTrace) Open(ctx context.Context, o trace.Options) (trace.Stream, error) {
	s, err := w.Trace.Open(ctx, o)
	return &watchedStream{Stream: s, p: w.p}, err
}

type watchedStream struct {
	trace.Stream
	p     *progress
	total uint64
}

func (w *watchedStream) Next(buf []trace.Invocation) ([]trace.Invocation, error) {
	list, err := w.Stream.Next(buf)
	if w.total += uint64(len(list)); len(list) > 0 {
		w.p.at(list[len(list)-1].At, w.total)
	}
	return list, err
}
