package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cloudjit/cloudjit/internal/api/urlevent"
	"github.com/cloudjit/cloudjit/internal/disk"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/node"
	"github.com/cloudjit/cloudjit/internal/spool"
	"github.com/cloudjit/cloudjit/internal/store"
	"github.com/cloudjit/cloudjit/internal/worker"
)

const (
	// maxReplay is the largest request body that is kept, so that the request can be sent again
	// to another worker.
	maxReplay = 1 << 20
	// maxStream is how long one request to a web function may take in all, as long as bytes flow.
	maxStream = 15 * time.Minute
	// eventPath is where a web function that is invoked gets events that are no HTTP requests,
	// unless its environment names another place (the convention of the AWS Lambda Web Adapter).
	eventPath         = "/events"
	eventPathVariable = "AWS_LWA_PASS_THROUGH_PATH"
)

// errTooLong is the cause of a context that ended because a request took longer than maxStream.
var errTooLong = errors.New("the request took too long in all")

// proxy forwards a request to a web function and streams both bodies as they come. The function's time
// is the platform's matter (node.RoundTrip); the client's is bounded here, since a client that
// sends or takes nothing holds a worker.
func (s *Server) proxy(w http.ResponseWriter, r *http.Request, rev *store.Revision, at store.URLTarget, strip string) {
	ctx, cancel := context.WithTimeoutCause(r.Context(), maxStream, errTooLong)
	defer cancel()
	r = r.WithContext(ctx)
	sent, ok := s.replayable(w, r)
	if !ok {
		return
	}
	if sent != nil {
		defer sent.Close()
	}
	slow := s.patience(w)
	defer slow.lift()
	if r.GetBody == nil && r.Body != nil && r.Body != http.NoBody {
		r.Body = patientBody{r.Body, slow}
		// Or the server would read all of the body before it sends any of the answer.
		_ = slow.conn.EnableFullDuplex() // HTTP/2 always is
	}
	p := &httputil.ReverseProxy{
		FlushInterval: -1, // each chunk at once
		ErrorLog:      quiet,
		Transport: roundTripper(func(out *http.Request) (*http.Response, error) {
			return s.roundTrip(rev, at, out)
		}),
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetXForwarded()
			p.Out.Host = p.In.Host
			p.Out.URL.Scheme, p.Out.URL.Host = "http", "function"
			p.Out.GetBody = p.In.GetBody
			if strip != "" {
				p.Out.URL.Path = rooted(strings.TrimPrefix(p.In.URL.Path, strip))
				p.Out.URL.RawPath = strings.TrimPrefix(p.In.URL.RawPath, strip)
				p.Out.Header.Set("X-Forwarded-Prefix", strip)
			}
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if slow.stalled() { // which has also ended the context
				urlFailure(w, http.StatusRequestTimeout, "The request's body did not come")
				return
			}
			s.proxyFailure(w, r, rev, err)
		},
	}
	p.ServeHTTP(slow, r)
}

// quiet takes what the reverse proxy says of clients and functions that broke off; the node counts those.
var quiet = log.New(io.Discard, "", 0)

// patient gives a client limit for each part of an answer that it has to take.
type patient struct {
	http.ResponseWriter
	conn  *http.ResponseController
	limit time.Duration
	due   atomic.Int64 // until when the client has to have sent what is being read, Unix ns; 0: nothing is
}

// stalled reports whether the client did not send in its time. The context may end before the read does.
func (p *patient) stalled() bool {
	due := p.due.Load()
	return due != 0 && time.Now().UnixNano() >= due
}

func (s *Server) patience(w http.ResponseWriter) *patient {
	return &patient{ResponseWriter: w, conn: http.NewResponseController(w), limit: s.opt.ClientTime}
}

// Write sends a part of the answer.
func (p *patient) Write(b []byte) (int, error) {
	_ = p.conn.SetWriteDeadline(time.Now().Add(p.limit)) // without a connection, as in tests, there is nothing to bound
	return p.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (p *patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// lift ends the limit, for the connection's next request.
func (p *patient) lift() { _ = p.conn.SetWriteDeadline(time.Time{}) }

// patientBody gives a client the same for each part of a request that it has to send.
type patientBody struct {
	io.ReadCloser
	client *patient
}

// Read takes a part of the request. The limit holds only meanwhile: it would end the wait for the
// answer as well.
func (b patientBody) Read(p []byte) (int, error) {
	due := time.Now().Add(b.client.limit)
	b.client.due.Store(due.UnixNano())
	_ = b.client.conn.SetReadDeadline(due)
	n, err := b.ReadCloser.Read(p)
	_ = b.client.conn.SetReadDeadline(time.Time{})
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		b.client.due.Store(0)
	}
	return n, err
}

// roundTrip sends a request to a function's worker, to that of another revision if rev was
// replaced meanwhile: nothing of the request is used up then.
func (s *Server) roundTrip(rev *store.Revision, at store.URLTarget, r *http.Request) (*http.Response, error) {
	for n := 1; ; n++ {
		res, err := s.run.RoundTrip(rev.Spec.ID, r)
		if !errors.Is(err, node.ErrNotFound) || n == maxResolve {
			return res, err
		}
		s.sync(at.Function)
		_, v, resolveErr := s.resolve(ref{at.Function, at.Qualifier})
		if resolveErr != nil {
			return nil, resolveErr
		}
		var ok bool
		if rev, ok = s.store.Revision(v.Current()); !ok {
			return nil, err
		}
	}
}

// replayable reads a small body, so that the request can be sent again. The caller closes the body, if there is one.
func (s *Server) replayable(w http.ResponseWriter, r *http.Request) (*spool.Body, bool) {
	if r.ContentLength <= 0 || r.ContentLength > maxReplay {
		return nil, true
	}
	b, err := s.keep(w, r, maxReplay, s.opt.ClientTime)
	if err == nil && b.Size() != r.ContentLength {
		b.Close()
		err = bodyError(io.ErrUnexpectedEOF)
	}
	if err != nil {
		if e := asError(err); e.Status != http.StatusBadRequest {
			e.retryLater(w)
			urlFailure(w, e.Status, e.Message)
		} else {
			urlFailure(w, http.StatusBadRequest, "The request ended too soon")
		}
		return nil, false
	}
	resend(r, b)
	return b, true
}

func (s *Server) proxyFailure(w http.ResponseWriter, r *http.Request, rev *store.Revision, err error) {
	var failed *node.FunctionError
	var refused *node.RejectError
	switch {
	case errors.Is(context.Cause(r.Context()), errTooLong):
		urlFailure(w, http.StatusGatewayTimeout, "The request took too long")
	case r.Context().Err() != nil: // the client went away: nobody reads this
		urlFailure(w, http.StatusServiceUnavailable, "The request was given up")
	case errors.As(err, &refused):
		urlFailure(w, refusal(refused).Status, "Rate exceeded")
	case errors.As(err, &failed) && failed.Result.Outcome == function.OutcomeTimeout:
		urlFailure(w, http.StatusGatewayTimeout, "The function did not answer in its time")
	case errors.As(err, &failed):
		urlFailure(w, http.StatusBadGateway, "Internal Server Error")
	default:
		s.log.Warn("forward request", "function", rev.Spec.Function, "error", err)
		urlFailure(w, http.StatusBadGateway, "Internal Server Error")
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func rooted(path string) string {
	if !strings.HasPrefix(path, "/") {
		return "/" + path
	}
	return path
}

// performWeb invokes a web function through the Lambda API: an event of a function URL becomes
// the request that it describes, any other a POST; the answer goes the same way back.
func (s *Server) performWeb(ctx context.Context, rev *store.Revision, inv *worker.Invocation) (*node.Result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, maxStream, errTooLong)
	defer cancel()
	timedOut := func() bool { return errors.Is(context.Cause(ctx), errTooLong) }
	req, sent, isHTTP, err := s.webRequest(ctx, rev, inv)
	if err != nil {
		return nil, err
	}
	if sent != nil {
		defer sent.Close()
	}
	res, err := s.run.RoundTrip(rev.Spec.ID, req)
	var failed *node.FunctionError
	switch {
	case errors.As(err, &failed):
		return failed.Result, nil
	case timedOut():
		return &node.Result{Outcome: function.OutcomeTimeout}, nil
	case err != nil:
		return nil, err
	}
	defer res.Body.Close()
	kept, err := s.opt.Bodies.Read(res.Body, maxResponse)
	switch {
	case errors.As(err, &failed):
		return failed.Result, nil
	case timedOut():
		return &node.Result{Outcome: function.OutcomeTimeout}, nil
	case errors.Is(err, spool.ErrTooLarge):
		return &node.Result{Outcome: function.OutcomeTooLarge}, nil
	case errors.Is(err, spool.ErrFull):
		return nil, errBusy()
	case errors.Is(err, disk.ErrFull):
		return nil, err
	case err != nil:
		return &node.Result{Outcome: function.OutcomeCrashed}, nil
	}
	defer kept.Close()
	release, err := s.work(ctx, 4*kept.Size())
	if err != nil {
		return nil, err
	}
	defer release()
	answer, err := kept.Bytes()
	if err != nil {
		return nil, err
	}
	out := &node.Result{Outcome: function.OutcomeOK, Rung: function.Rung(res.Header.Get(headerRung)), Cold: res.Header.Get(headerCold) != ""}
	res.Header.Del(headerCold)
	res.Header.Del(headerRung)
	switch {
	case isHTTP:
		out.Payload, err = urlevent.FromResponse(res.StatusCode, res.Header, answer)
	case res.StatusCode >= 400:
		out.Outcome = function.OutcomeHandlerError
		out.Payload = mustJSON(map[string]string{"errorType": "Http." + http.StatusText(res.StatusCode), "errorMessage": clip(string(answer))})
	case len(answer) > 0 && !json.Valid(answer):
		out.Payload = mustJSON(string(answer))
	default:
		out.Payload = answer
	}
	if err != nil || out.Outcome != function.OutcomeOK {
		return out, err
	}
	payload, body, err := s.stash(out.Payload)
	if out.Payload = payload; body != nil {
		out.Body = body
	}
	return out, err
}

// webRequest makes the request that an event stands for. sent, if not nil, holds its body, to be closed
// when it is not needed any more.
func (s *Server) webRequest(ctx context.Context, rev *store.Revision, inv *worker.Invocation) (req *http.Request, sent *spool.Body, isHTTP bool, err error) {
	if inv.Body != nil {
		release, err := s.work(ctx, 3*inv.Body.Size())
		if err != nil {
			return nil, nil, false, err
		}
		defer release()
	}
	event, err := inv.Event()
	if err != nil {
		return nil, nil, false, err
	}
	method, target, header, body, isHTTP := urlevent.ToRequest(event)
	if !isHTTP {
		method, target, body = http.MethodPost, or(rev.Spec.Environment[eventPathVariable], eventPath), event
		header = http.Header{"Content-Type": {"application/json"}}
	}
	small, sent, err := s.stash(body)
	if err != nil {
		return nil, nil, false, err
	}
	req, err = http.NewRequestWithContext(ctx, method, "http://function"+target, bytes.NewReader(small))
	if err != nil {
		if sent != nil {
			sent.Close()
		}
		return nil, nil, false, fault(http.StatusBadRequest, "InvalidRequestContentException", "The event describes no HTTP request: %v", err)
	}
	if sent != nil {
		resend(req, sent)
	}
	req.Header = header
	req.Header.Set(headerRequest, inv.RequestID)
	return req, sent, isHTTP, nil
}

// resend makes a kept body that of a request, which can be sent as often as it takes.
func resend(r *http.Request, b *spool.Body) {
	r.ContentLength = b.Size()
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(b.Reader()), nil }
	r.Body, _ = r.GetBody()
}
