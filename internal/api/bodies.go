package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/cloudjit/cloudjit/internal/disk"
	"github.com/cloudjit/cloudjit/internal/node"
	"github.com/cloudjit/cloudjit/internal/spool"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// How much of bodies is in memory. One that comes, waits or goes is in the spool; whole ones are in memory
// only while the server itself works on them, and all of those together within a budget.

const (
	// plainBody is the largest body, in bytes, that is read into memory at once.
	plainBody = 4 << 10
	// workMemory is what bodies that are worked on take together.
	workMemory = 48 << 20
	// workTime is how long one waits for its share.
	workTime = 10 * time.Second
	// uploadWait is the same of an archive: looking at a large one takes seconds.
	uploadWait = time.Minute
)

// errBusy is the answer while bodies take all that they may take.
func errBusy() error {
	e := fault(http.StatusTooManyRequests, "TooManyRequestsException", "Rate Exceeded: the bodies of requests under way take all the memory or disk that they may take.")
	e.Reason = "ConcurrentInvocationLimitExceeded"
	return e
}

// work waits for n bytes of memory to work on.
func (s *Server) work(ctx context.Context, n int64) (release func(), err error) {
	return s.workWithin(ctx, n, workTime)
}

func (s *Server) workWithin(ctx context.Context, n int64, d time.Duration) (release func(), err error) {
	if n <= plainBody {
		return func() {}, nil
	}
	n = min(n, workMemory/2)
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	if s.memory.Acquire(ctx, n) != nil {
		return nil, errBusy()
	}
	return func() { s.memory.Release(n) }, nil
}

// kept is the body of a request that has been read: what its signature needed.
type kept struct {
	io.Reader
	body *spool.Body
}

// Close gives back what the body takes.
func (k *kept) Close() error { return k.body.Close() }

// keep reads a request's body, of at most limit bytes, which must come within d. The caller closes it.
func (s *Server) keep(w http.ResponseWriter, r *http.Request, limit int64, d time.Duration) (*spool.Body, error) {
	if k, ok := r.Body.(*kept); ok {
		if k.body.Size() > limit {
			return nil, &http.MaxBytesError{Limit: limit}
		}
		return k.body, nil
	}
	return s.receive(w, r.Body, r.ContentLength, limit, d)
}

// receive reads a body that says that it has length bytes; -1: it does not say.
func (s *Server) receive(w http.ResponseWriter, r io.Reader, length, limit int64, d time.Duration) (*spool.Body, error) {
	if length > limit {
		return nil, &http.MaxBytesError{Limit: limit}
	}
	defer bodyDeadline(w, d)()
	b, err := s.opt.Bodies.Read(r, limit)
	switch {
	case errors.Is(err, spool.ErrTooLarge):
		return nil, &http.MaxBytesError{Limit: limit}
	case errors.Is(err, spool.ErrFull):
		return nil, errBusy()
	case errors.Is(err, disk.ErrFull):
		return nil, err
	case err != nil:
		return nil, bodyError(err)
	}
	return b, nil
}

// document is a request's body of at most maxDocument bytes. release says that it is not needed any more.
func (s *Server) document(w http.ResponseWriter, r *http.Request) (doc []byte, release func(), err error) {
	b, err := s.keep(w, r, maxDocument, bodyTime)
	if err != nil {
		return nil, nil, err
	}
	defer b.Close()
	done, err := s.work(r.Context(), 2*b.Size())
	if err != nil {
		return nil, nil, err
	}
	if doc, err = b.Bytes(); err != nil {
		done()
		return nil, nil, err
	}
	return doc, done, nil
}

// decode reads a request's JSON. Unknown fields are ignored, as AWS does; no body is {}.
func (s *Server) decode(w http.ResponseWriter, r *http.Request, into any) error {
	b, release, err := s.document(w, r)
	if err != nil {
		return err
	}
	defer release()
	return unmarshal(b, into)
}

// stash puts what is not small out of memory. The body is nil if it is.
func (s *Server) stash(p []byte) (small []byte, body *spool.Body, err error) {
	if len(p) <= plainBody {
		return p, nil, nil
	}
	b, err := s.opt.Bodies.Read(bytes.NewReader(p), int64(len(p)))
	if errors.Is(err, spool.ErrFull) {
		err = errBusy()
	}
	return nil, b, err
}

// keepAnswer is what invocations do with answers that are not small.
func (s *Server) keepAnswer(r io.Reader, limit int64) (worker.Body, error) {
	b, err := s.opt.Bodies.Read(r, limit)
	switch {
	case errors.Is(err, spool.ErrTooLarge):
		return nil, worker.ErrTooLarge
	case errors.Is(err, spool.ErrFull), errors.Is(err, disk.ErrFull):
		return nil, errors.Join(worker.ErrNotKept, err)
	case err != nil:
		return nil, err
	}
	return b, nil
}

// closeResult gives back what an answer takes.
func closeResult(res *node.Result) {
	if res != nil && res.Body != nil {
		res.Body.Close()
	}
}

// inMemory is a whole answer of a function, for the server to work on it until release. factor says how many
// times its size that takes.
func (s *Server) inMemory(ctx context.Context, res *node.Result, factor int64) (release func(), err error) {
	if res.Body == nil {
		return func() {}, nil
	}
	release, err = s.work(ctx, factor*res.Body.Size())
	if err != nil {
		return nil, err
	}
	if res.Payload, err = res.Body.Bytes(); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// sendPayload answers with a function's payload, or with the body in its place. A client that does
// not take it loses its connection.
func (s *Server) sendPayload(w http.ResponseWriter, payload []byte, body worker.Body) {
	h := w.Header()
	size := len(payload)
	if body != nil {
		size = int(body.Size())
	}
	h["Content-Length"] = []string{strconv.Itoa(size)}
	if body == nil && size <= plainBody {
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write(payload) // the caller is gone: nobody to tell
		return
	}
	slow := s.patience(w)
	defer slow.lift()
	w.WriteHeader(http.StatusOK)
	if body == nil {
		_, _ = slow.Write(payload) // likewise
		return
	}
	_, _ = io.Copy(slow, body.Reader()) // likewise
}

// later keeps the body of an answer that is made in memory, until it is sent from where it does not take any.
type later struct {
	http.ResponseWriter
	server *Server
	body   *spool.Body
}

// Write takes the whole body: it is called once.
func (l *later) Write(p []byte) (int, error) {
	small, body, err := l.server.stash(p)
	if err != nil { // what is in memory goes from there
		return l.ResponseWriter.Write(p)
	}
	l.body = body
	if body == nil {
		return l.ResponseWriter.Write(small)
	}
	return len(p), nil
}

// Unwrap is for http.ResponseController.
func (l *later) Unwrap() http.ResponseWriter { return l.ResponseWriter }

// send sends what was kept.
func (l *later) send() {
	if l.body == nil {
		return
	}
	defer l.body.Close()
	slow := l.server.patience(l.ResponseWriter)
	defer slow.lift()
	_, _ = io.Copy(slow, l.body.Reader()) // the caller is gone: nobody to tell
}
