package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/api/urlevent"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/node"
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

// errIdle is the cause of a context that ended because nothing came from the function in its time.
var errIdle = errors.New("the function's time is over")

// proxy forwards a request to a web function and streams the answer back. The function has its
// timeout for the first byte and for each one after; the whole may take longer.
func (s *Server) proxy(w http.ResponseWriter, r *http.Request, rev *store.Revision, at store.URLTarget, strip string) {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	// The function's time starts when a worker has the request, not while it waits for one.
	idle := time.AfterFunc(maxStream, func() { cancel(errIdle) })
	defer idle.Stop()
	whole := time.AfterFunc(maxStream, func() { cancel(errIdle) })
	defer whole.Stop()
	r = r.WithContext(whenSent(ctx, func() { idle.Reset(rev.Spec.Timeout) }))
	if !s.replayable(w, r) {
		return
	}
	p := &httputil.ReverseProxy{
		FlushInterval: -1, // each chunk at once
		Transport: roundTripper(func(out *http.Request) (*http.Response, error) {
			res, err := s.roundTrip(rev, at, out)
			if err == nil {
				idle.Reset(rev.Spec.Timeout)
				res.Body = watch(res.Body, idle, rev.Spec.Timeout)
			}
			return res, err
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
			s.proxyFailure(w, r, rev, err)
		},
	}
	p.ServeHTTP(w, r)
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

// whenSent calls f when the head of a request was written to a worker's port.
func whenSent(ctx context.Context, f func()) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: f})
}

// replayable reads a small body into memory, so that the request can be sent again.
func (s *Server) replayable(w http.ResponseWriter, r *http.Request) bool {
	if r.ContentLength <= 0 || r.ContentLength > maxReplay {
		return true
	}
	defer bodyDeadline(w, bodyTime)()
	b := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, b); err != nil {
		urlFailure(w, http.StatusBadRequest, "The request ended too soon")
		return false
	}
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
	r.Body, _ = r.GetBody()
	return true
}

func (s *Server) proxyFailure(w http.ResponseWriter, r *http.Request, rev *store.Revision, err error) {
	var failed *node.FunctionError
	var refused *node.RejectError
	switch {
	case errors.Is(context.Cause(r.Context()), errIdle):
		urlFailure(w, http.StatusGatewayTimeout, "The function did not answer in its time")
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

// watch gives the function its time anew with each byte that comes. A body that can also be
// written to (an upgraded connection) stays one.
func watch(body io.ReadCloser, idle *time.Timer, timeout time.Duration) io.ReadCloser {
	b := &watched{body, idle, timeout}
	if rw, ok := body.(io.ReadWriteCloser); ok {
		return struct {
			io.Reader
			io.Writer
			io.Closer
		}{b, rw, b}
	}
	return b
}

type watched struct {
	io.ReadCloser
	idle    *time.Timer
	timeout time.Duration
}

func (b *watched) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.idle.Reset(b.timeout)
	}
	return n, err
}

func rooted(path string) string {
	if !strings.HasPrefix(path, "/") {
		return "/" + path
	}
	return path
}

// performWeb invokes a web function through the Lambda API: an event of a function URL becomes
// the request that it describes, any other a POST; the answer goes the same way back.
func (s *Server) performWeb(ctx context.Context, rev *store.Revision, inv *worker.Invocation) (*node.Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := time.AfterFunc(maxStream, func() { cancel(errIdle) })
	defer late.Stop()
	ctx = whenSent(ctx, func() { late.Reset(rev.Spec.Timeout) })
	timedOut := func() bool { return errors.Is(context.Cause(ctx), errIdle) }
	method, target, header, body, isHTTP := urlevent.ToRequest(inv.Payload)
	if !isHTTP {
		method, target, body = http.MethodPost, or(rev.Spec.Environment[eventPathVariable], eventPath), inv.Payload
		header = http.Header{"Content-Type": {"application/json"}}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://function"+target, bytes.NewReader(body))
	if err != nil {
		return nil, fault(http.StatusBadRequest, "InvalidRequestContentException", "The event describes no HTTP request: %v", err)
	}
	req.Header = header
	req.Header.Set(headerRequest, inv.RequestID)
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
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxResponse+1))
	switch {
	case timedOut():
		return &node.Result{Outcome: function.OutcomeTimeout}, nil
	case err != nil:
		return &node.Result{Outcome: function.OutcomeCrashed}, nil
	case len(answer) > maxResponse:
		return &node.Result{Outcome: function.OutcomeTooLarge}, nil
	}
	out := &node.Result{Outcome: function.OutcomeOK, Cold: res.Header.Get(headerCold) != ""}
	_ = out.Tier.UnmarshalText([]byte(res.Header.Get(headerTier))) // unknown if the platform did not say
	res.Header.Del(headerCold)
	res.Header.Del(headerTier)
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
	return out, err
}
