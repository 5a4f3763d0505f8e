package gate

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
	// PlainBody is the largest body, in bytes, that is read into memory at once.
	PlainBody = 4 << 10
	// WorkMemory is what bodies that are worked on take together.
	WorkMemory = 48 << 20
	// workTime is how long one waits for its share.
	workTime = 10 * time.Second
	// UploadWait is the same of an archive: looking at a large one takes seconds.
	UploadWait = time.Minute
)

// ErrBusy is the answer while bodies take all that they may take.
func ErrBusy() error {
	e := Fault(http.StatusTooManyRequests, "TooManyRequestsException", "Rate Exceeded: the bodies of other requests use all the memory or disk that bodies may use.")
	e.Reason = "ConcurrentInvocationLimitExceeded"
	return e
}

// Work waits for n bytes of memory to work on.
func (s *Gate) Work(ctx context.Context, n int64) (release func(), err error) {
	return s.WorkWithin(ctx, n, workTime)
}

func (s *Gate) WorkWithin(ctx context.Context, n int64, d time.Duration) (release func(), err error) {
	if n <= PlainBody {
		return func() {}, nil
	}
	n = min(n, WorkMemory/2)
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	if s.memory.Acquire(ctx, n) != nil {
		return nil, ErrBusy()
	}
	return func() { s.memory.Release(n) }, nil
}

// Kept is the body of a request that has been read: what its signature needed.
type Kept struct {
	io.Reader
	body *spool.Body
}

// Close gives back what the body takes.
func (k *Kept) Close() error { return k.body.Close() }

// Keep reads a request's body, of at most limit bytes, which must come within d. The caller closes it.
func (s *Gate) Keep(w http.ResponseWriter, r *http.Request, limit int64, d time.Duration) (*spool.Body, error) {
	if k, ok := r.Body.(*Kept); ok {
		if k.body.Size() > limit {
			return nil, &http.MaxBytesError{Limit: limit}
		}
		return k.body, nil
	}
	return s.receive(w, r.Body, r.ContentLength, limit, d)
}

// receive reads a body that says that it has length bytes; -1: it does not say.
func (s *Gate) receive(w http.ResponseWriter, r io.Reader, length, limit int64, d time.Duration) (*spool.Body, error) {
	if length > limit {
		return nil, &http.MaxBytesError{Limit: limit}
	}
	defer BodyDeadline(w, d)()
	b, err := s.Opt.Bodies.Read(r, limit)
	switch {
	case errors.Is(err, spool.ErrTooLarge):
		return nil, &http.MaxBytesError{Limit: limit}
	case errors.Is(err, spool.ErrFull):
		return nil, ErrBusy()
	case errors.Is(err, disk.ErrFull):
		return nil, err
	case err != nil:
		return nil, BodyError(err)
	}
	return b, nil
}

// Document is a request's body of at most maxDocument bytes. release says that it is not needed any more.
func (s *Gate) Document(w http.ResponseWriter, r *http.Request) (doc []byte, release func(), err error) {
	b, err := s.Keep(w, r, MaxDocument, BodyTime)
	if err != nil {
		return nil, nil, err
	}
	defer b.Close()
	done, err := s.Work(r.Context(), 2*b.Size())
	if err != nil {
		return nil, nil, err
	}
	if doc, err = b.Bytes(); err != nil {
		done()
		return nil, nil, err
	}
	return doc, done, nil
}

// Decode reads a request's JSON. Unknown fields are ignored, as AWS does; no body is {}.
func (s *Gate) Decode(w http.ResponseWriter, r *http.Request, into any) error {
	b, release, err := s.Document(w, r)
	if err != nil {
		return err
	}
	defer release()
	return Unmarshal(b, into)
}

// Stash puts what is not small out of memory. The body is nil if it is.
func (s *Gate) Stash(p []byte) (small []byte, body *spool.Body, err error) {
	if len(p) <= PlainBody {
		return p, nil, nil
	}
	b, err := s.Opt.Bodies.Read(bytes.NewReader(p), int64(len(p)))
	if errors.Is(err, spool.ErrFull) {
		err = ErrBusy()
	}
	return nil, b, err
}

// KeepAnswer is what invocations do with answers that are not small.
func (s *Gate) KeepAnswer(r io.Reader, limit int64) (worker.Body, error) {
	b, err := s.Opt.Bodies.Read(r, limit)
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

// CloseResult gives back what an answer takes.
func CloseResult(res *node.Result) {
	if res != nil && res.Body != nil {
		res.Body.Close()
	}
}

// InMemory is a whole answer of a function, for the server to work on it until release. factor says how many
// times its size that takes.
func (s *Gate) InMemory(ctx context.Context, res *node.Result, factor int64) (release func(), err error) {
	if res.Body == nil {
		return func() {}, nil
	}
	release, err = s.Work(ctx, factor*res.Body.Size())
	if err != nil {
		return nil, err
	}
	if res.Payload, err = res.Body.Bytes(); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// SendPayload answers with a function's payload, or with the body in its place. A client that does
// not take it loses its connection.
func (s *Gate) SendPayload(w http.ResponseWriter, payload []byte, body worker.Body) {
	h := w.Header()
	size := len(payload)
	if body != nil {
		size = int(body.Size())
	}
	h["Content-Length"] = []string{strconv.Itoa(size)}
	if body == nil && size <= PlainBody {
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write(payload) // the caller is gone: nobody to tell
		return
	}
	slow := s.Patience(w)
	defer slow.Lift()
	w.WriteHeader(http.StatusOK)
	if body == nil {
		_, _ = slow.Write(payload) // likewise
		return
	}
	_, _ = io.Copy(slow, body.Reader()) // likewise
}

// Later keeps the body of an answer that is made in memory, until it is sent from where it does not take any.
type Later struct {
	http.ResponseWriter
	Gate *Gate
	body *spool.Body
}

// Write takes the whole body: it is called once.
func (l *Later) Write(p []byte) (int, error) {
	small, body, err := l.Gate.Stash(p)
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
func (l *Later) Unwrap() http.ResponseWriter { return l.ResponseWriter }

// Send sends what was kept.
func (l *Later) Send() {
	if l.body == nil {
		return
	}
	defer l.body.Close()
	slow := l.Gate.Patience(l.ResponseWriter)
	defer slow.Lift()
	_, _ = io.Copy(slow, l.body.Reader()) // the caller is gone: nobody to tell
}
