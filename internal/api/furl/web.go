package furl

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"os"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/api/calls"
	"github.com/cloudjit/cloudjit/internal/api/gate"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/node"
	"github.com/cloudjit/cloudjit/internal/spool"
	"github.com/cloudjit/cloudjit/internal/store"
)

// proxy forwards a request to a web function and streams both bodies as they come. The function's time
// is the platform's matter (node.RoundTrip); the client's is bounded here, since a client that
// sends or takes nothing holds a worker.
func (s *API) proxy(w http.ResponseWriter, r *http.Request, rev *store.Revision, at store.URLTarget, strip string) {
	ctx, cancel := context.WithTimeoutCause(r.Context(), calls.MaxStream, calls.ErrTooLong)
	defer cancel()
	r = r.WithContext(ctx)
	sent, ok := s.replayable(w, r)
	if !ok {
		return
	}
	if sent != nil {
		defer sent.Close()
	}
	slow := s.Patience(w)
	defer slow.Lift()
	if r.GetBody == nil && r.Body != nil && r.Body != http.NoBody {
		r.Body = patientBody{r.Body, slow}
		// Or the server would read all of the body before it sends any of the answer.
		_ = slow.Conn.EnableFullDuplex() // HTTP/2 always is
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
			if slow.Stalled() { // which has also ended the context
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

// patientBody gives a client the same for each part of a request that it has to send.
type patientBody struct {
	io.ReadCloser
	client *gate.Patient
}

// Read takes a part of the request. The limit holds only meanwhile: it would end the wait for the
// answer as well.
func (b patientBody) Read(p []byte) (int, error) {
	due := time.Now().Add(b.client.Limit)
	b.client.Due.Store(due.UnixNano())
	_ = b.client.Conn.SetReadDeadline(due)
	n, err := b.ReadCloser.Read(p)
	_ = b.client.Conn.SetReadDeadline(time.Time{})
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		b.client.Due.Store(0)
	}
	return n, err
}

// roundTrip sends a request to a function's worker, to that of another revision if rev was
// replaced meanwhile: nothing of the request is used up then.
func (s *API) roundTrip(rev *store.Revision, at store.URLTarget, r *http.Request) (*http.Response, error) {
	for n := 1; ; n++ {
		res, err := s.Platform.RoundTrip(rev.Spec.ID, r)
		if !errors.Is(err, node.ErrNotFound) || n == calls.MaxResolve {
			return res, err
		}
		s.Sync(at.Function)
		_, v, resolveErr := s.Resolve(gate.Ref{Name: at.Function, Qualifier: at.Qualifier})
		if resolveErr != nil {
			return nil, resolveErr
		}
		var ok bool
		if rev, ok = s.Store.Revision(v.Current()); !ok {
			return nil, err
		}
	}
}

// replayable reads a small body, so that the request can be sent again. The caller closes the body, if there is one.
func (s *API) replayable(w http.ResponseWriter, r *http.Request) (*spool.Body, bool) {
	if r.ContentLength <= 0 || r.ContentLength > calls.MaxReplay {
		return nil, true
	}
	b, err := s.Keep(w, r, calls.MaxReplay, s.Opt.ClientTime)
	if err == nil && b.Size() != r.ContentLength {
		b.Close()
		err = gate.BodyError(io.ErrUnexpectedEOF)
	}
	if err != nil {
		if e := gate.AsError(err); e.Status != http.StatusBadRequest {
			e.RetryLater(w)
			urlFailure(w, e.Status, e.Message)
		} else {
			urlFailure(w, http.StatusBadRequest, "The request ended too soon")
		}
		return nil, false
	}
	calls.Resend(r, b)
	return b, true
}

func (s *API) proxyFailure(w http.ResponseWriter, r *http.Request, rev *store.Revision, err error) {
	var failed *node.FunctionError
	var refused *node.RejectError
	switch {
	case errors.Is(context.Cause(r.Context()), calls.ErrTooLong):
		urlFailure(w, http.StatusGatewayTimeout, "The request took too long")
	case r.Context().Err() != nil: // the client went away: nobody reads this
		urlFailure(w, http.StatusServiceUnavailable, "The request was given up")
	case errors.As(err, &refused):
		urlFailure(w, gate.Refusal(refused).Status, "Rate exceeded")
	case errors.As(err, &failed) && failed.Result.Outcome == function.OutcomeTimeout:
		urlFailure(w, http.StatusGatewayTimeout, "The function did not answer in its time")
	case errors.As(err, &failed):
		urlFailure(w, http.StatusBadGateway, "Internal Server Error")
	default:
		s.Log.Warn("forward request", "function", rev.Spec.Function, "error", err)
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
