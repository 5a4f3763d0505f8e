package measure

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/cloudjit/cloudjit/internal/experiment/bench"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/sample"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// requests are those of a sample with their payloads in memory.
type requests struct {
	sample   *sample.Sample
	payloads [][]byte
}

func newRequests(s *sample.Sample) (*requests, error) {
	r := &requests{sample: s}
	for i := range s.Requests {
		p, err := s.Requests[i].Payload()
		if err != nil {
			return nil, fmt.Errorf("request %q: %w", s.Requests[i].Name, err)
		}
		r.payloads = append(r.payloads, p)
	}
	return r, nil
}

// connection asks one process, one request after the other.
type connection struct {
	p    *running
	r    *requests
	http *http.Client // of a web application
	asks int
}

func (p *running) connect(r *requests) *connection {
	c := &connection{p: p, r: r}
	if p.runtime == nil {
		c.http = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1, DisableCompression: true}}
	}
	return c
}

func (c *connection) close() {
	if c.http != nil {
		c.http.CloseIdleConnections()
	}
}

// wrongError is an answer that is not the right one.
type wrongError struct{ error }

// checkEvery says of which answers all is checked, of the others the status alone, so
// that the load costs little beside what it loads.
const checkEvery = 64

// ask sends the i-th request. The error is a wrongError if an answer came.
func (c *connection) ask(ctx context.Context, i int) error {
	k := i % len(c.r.payloads)
	c.asks++
	whole := c.asks <= len(c.r.payloads) || c.asks%checkEvery == 0
	if c.http == nil {
		return c.invoke(ctx, &c.r.sample.Requests[k], c.r.payloads[k], whole)
	}
	return c.fetch(ctx, &c.r.sample.Requests[k], c.r.payloads[k], whole)
}

func (c *connection) fetch(ctx context.Context, r *sample.Request, payload []byte, whole bool) error {
	req, err := http.NewRequestWithContext(ctx, r.Method, "http://127.0.0.1:"+strconv.Itoa(c.p.port)+r.Path, bytes.NewReader(payload))
	if err != nil {
		return fmt.Errorf("request %q: %w", r.Name, err)
	}
	for k, v := range r.Headers {
		req.Header.Set(k, v)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if !whole {
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return err
		}
		if resp.StatusCode != r.Status {
			return wrongError{fmt.Errorf("%s: status %d, want %d", r.Name, resp.StatusCode, r.Status)}
		}
		return nil
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if err := r.Check(resp.StatusCode, body); err != nil {
		return wrongError{err}
	}
	return nil
}

func (c *connection) invoke(ctx context.Context, r *sample.Request, payload []byte, whole bool) error {
	result, err := c.p.runtime.Invoke(ctx, &worker.Invocation{
		RequestID: "bench-" + strconv.Itoa(c.asks), Payload: payload, Deadline: time.Now().Add(answerTime),
		FunctionARN: "arn:aws:lambda:us-east-1:000000000000:function:bench",
	})
	if err != nil {
		return err
	}
	if result.Outcome != function.OutcomeOK {
		return wrongError{fmt.Errorf("%s: %s: %s", r.Name, result.Outcome, result.Payload)}
	}
	if whole {
		if err := r.Check(0, result.Payload); err != nil {
			return wrongError{err}
		}
	}
	return nil
}

const (
	// startTime is how long a process may take to its first right answer, and answerTime each answer.
	startTime  = 3 * time.Minute
	answerTime = time.Minute
	// wrongTime is how long a web application may answer wrongly before it is ready.
	wrongTime = 20 * time.Second
	// poll is the wait between two tries to reach a process that does not listen yet; a refused
	// connection costs some ten microseconds.
	poll = time.Millisecond
)

// first waits for the first right answer and returns the age of the process then. A web
// application may listen before it is ready, so a wrong answer of it is tried again for a while.
func (c *connection) first(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithDeadline(ctx, c.p.began.Add(startTime))
	defer cancel()
	var wrong error
	var since time.Time
	for {
		err := c.ask(ctx, 0)
		if err == nil {
			return time.Since(c.p.began), nil
		}
		if gone := c.p.ended(); gone != nil {
			return 0, gone
		}
		if errors.As(err, new(wrongError)) {
			if wrong == nil {
				since = time.Now()
			}
			if wrong = err; c.http == nil || time.Since(since) > wrongTime {
				return 0, fmt.Errorf("a wrong answer: %w", err)
			}
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("no right answer within %s: %w", startTime, cmp.Or(wrong, err))
		case <-c.p.done:
		case <-time.After(poll):
		}
	}
}

// loaded is what a process did under load.
type loaded struct {
	ages  []time.Duration // of the process at each right answer, sorted
	peak  time.Duration   // the age at which the peak began to be counted
	pss   float64         // MiB, the greatest while the peak was counted
	wrong int64
	first string // what was wrong with the first of those
}

// atLeast is the age until which every process is under load: start-up throughput wants so much.
const atLeast = 5 * time.Second

// load asks on all connections from the start of the process until its peak throughput was
// counted, which begins a time after the first answer. The error says that the process ended,
// gave no answer, or ctx ended; what was counted until then is returned as well.
func (p *running) load(ctx context.Context, r *requests, s bench.Settings) (*loaded, error) {
	connections := s.Connections
	if p.runtime != nil {
		connections = 1
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		l        = &loaded{}
		mu       sync.Mutex
		asking   sync.WaitGroup
		answered = make(chan time.Duration, 1) // the age at the first answer
	)
	for i := range connections {
		asking.Go(func() {
			c := p.connect(r)
			defer c.close()
			var mine loaded
			// Each connection begins elsewhere, so that they do not all ask the same.
			for k := i; ctx.Err() == nil && p.ended() == nil; {
				err := c.ask(ctx, k)
				var w wrongError
				switch {
				case err == nil:
					mine.ages = append(mine.ages, time.Since(p.began))
					if len(mine.ages) == 1 {
						select {
						case answered <- mine.ages[0]:
						default: // another connection was first
						}
					}
					k++
				case errors.As(err, &w):
					if mine.wrong++; mine.first == "" {
						mine.first = err.Error()
					}
					k++
				default: // not there yet, or gone
					time.Sleep(poll)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			l.ages, l.wrong = append(l.ages, mine.ages...), l.wrong+mine.wrong
			if l.first == "" {
				l.first = mine.first
			}
		})
	}
	err := p.watch(ctx, l, answered, s)
	gone := p.ended()
	cancel()
	asking.Wait()
	slices.Sort(l.ages)
	switch {
	case gone != nil:
		return l, gone
	case err != nil && l.first != "":
		return l, fmt.Errorf("%w; %d answers were wrong, the first: %s", err, l.wrong, l.first)
	}
	return l, err
}

// watch waits until the peak was counted, and samples memory meanwhile: as it begins, in its
// middle and shortly before its end.
func (p *running) watch(ctx context.Context, l *loaded, answered <-chan time.Duration, s bench.Settings) error {
	until := func(age time.Duration) error {
		select {
		case <-time.After(age - time.Since(p.began)):
			return nil
		case <-p.done:
			return p.ended()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	select {
	case first := <-answered:
		l.peak = first + s.PeakAfter
	case <-time.After(startTime):
		return fmt.Errorf("no right answer within %s", startTime)
	case <-p.done:
		return p.ended()
	case <-ctx.Done():
		return ctx.Err()
	}
	for _, share := range []time.Duration{0, 45, 90} {
		if err := until(l.peak + s.PeakWindow*share/100); err != nil {
			return err
		}
		if m, err := p.pss(); err == nil { // else it has ended, which is said below
			l.pss = max(l.pss, m)
		}
	}
	return until(max(l.peak+s.PeakWindow, atLeast))
}
