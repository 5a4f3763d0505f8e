package api

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/cloudjit/cloudjit/internal/api/urlevent"
	"github.com/cloudjit/cloudjit/internal/audit"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/spool"
	"github.com/cloudjit/cloudjit/internal/store"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// urlPrefix is where function URLs are served for those who cannot set the Host header.
const urlPrefix = "/cloudjit/v1/urls/"

// serveURLPath serves a function URL under urlPrefix{id}/.
func (s *Server) serveURLPath(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if s.verifier == nil {
		w = &sandboxed{ResponseWriter: w}
	}
	s.serveURL(w, r, id, urlPrefix+id)
}

// serveURL answers a request to a function URL. strip is what of the path is not the function's.
func (s *Server) serveURL(w http.ResponseWriter, r *http.Request, id, strip string) {
	requestID := w.Header().Get(headerRequest)
	r0, w0 := r, w
	at, ok := s.store.FunctionURL(id)
	if !ok {
		urlFailure(w, http.StatusNotFound, "There is no such function URL")
		return
	}
	fn, v, err := s.resolve(ref{at.Function, at.Qualifier})
	if err != nil {
		urlFailure(w, http.StatusNotFound, "The function URL leads to nothing")
		return
	}
	u := fn.URLs[at.Qualifier]
	if u.CORS != nil && cors(w, r, u.CORS) {
		return // a preflight request, which the platform answers
	}
	if u.CORS != nil && r.Method != http.MethodGet && r.Method != http.MethodHead && !pageAllowed(r, u.CORS.AllowOrigins) {
		urlFailure(w, http.StatusForbidden, "The function's owner lets no page of this origin use it")
		return
	}
	if u.AuthType == "AWS_IAM" {
		if s.verifier == nil {
			urlFailure(w, http.StatusForbidden, "Forbidden: the function URL wants signed requests (AuthType AWS_IAM), and this server has no credentials to check them against")
			return
		}
		line := &audit.Entry{Action: invokeURL.name, Function: string(fn.Name)}
		if r, _, err = s.enter(w, r, &invokeURL, fn.Name, line); err != nil {
			e := asError(err)
			s.record(r0, w, config.ActionInvoke, line, e.Status, e.Code)
			message := "Forbidden"
			if e.Status != http.StatusForbidden {
				message = e.Message
			}
			urlFailure(w, e.Status, message)
			return
		}
		defer r.Body.Close()
		w = &witness{ResponseWriter: w, line: line, tell: func(status int) { s.record(r0, w0, config.ActionInvoke, line, status, "") }}
	}
	if v.State.Value != active.Value {
		if err := s.awaitActive(r.Context(), ref{at.Function, at.Qualifier}, v); err != nil {
			urlFailure(w, http.StatusServiceUnavailable, "The function is not ready")
			return
		}
		if _, v, err = s.resolve(ref{at.Function, at.Qualifier}); err != nil {
			urlFailure(w, http.StatusNotFound, "The function URL leads to nothing")
			return
		}
	}
	rev, ok := s.store.Revision(v.Current())
	if !ok {
		urlFailure(w, http.StatusNotFound, "The function URL leads to nothing")
		return
	}
	if rev.Spec.Kind == function.KindWeb {
		s.proxy(w, r, rev, at, strip)
		return
	}
	s.urlEvent(w, r, urlCall{fn, v, rev, id, at.Qualifier, strip, requestID})
}

type urlCall struct {
	fn                           *store.Function
	version                      *store.Version
	rev                          *store.Revision
	urlID, qualifier, strip, req string
}

// urlEvent invokes a handler with the request as an event of payload format 2.0.
func (s *Server) urlEvent(w http.ResponseWriter, r *http.Request, c urlCall) {
	event, body, err := s.urlPayload(w, r, &c)
	var tooBig *http.MaxBytesError
	switch {
	case errors.As(err, &tooBig):
		urlFailure(w, http.StatusRequestEntityTooLarge, "Request Too Long")
		return
	case err != nil:
		if e := asError(err); e.Status != http.StatusBadRequest {
			e.retryLater(w)
			urlFailure(w, e.Status, e.Message)
			return
		}
		urlFailure(w, http.StatusBadRequest, "The request ended too soon")
		return
	}
	qualifier := c.qualifier
	if qualifier == function.Latest {
		qualifier = ""
	}
	inv := &worker.Invocation{RequestID: c.req, Payload: event, FunctionARN: s.arn(c.fn.Name, qualifier), TraceID: r.Header.Get(headerTrace)}
	if inv.TraceID == "" {
		inv.TraceID = newTraceID()
	}
	if body != nil {
		defer body.Close()
		inv.Body = body
	}
	var stream *urlStream
	if c.fn.URLs[c.qualifier].InvokeMode == streamMode {
		slow := s.patience(w)
		defer slow.lift()
		stream = &urlStream{w: slow}
		inv.Stream = stream
	}
	call := &call{fn: c.fn, version: c.version, qualifier: c.qualifier, inv: *inv}
	res, err := s.perform(r.Context(), call)
	defer closeResult(res)
	if stream != nil && stream.started {
		stream.finish()
		return // the head is out: whatever happened since shows as the end of the body
	}
	if err != nil {
		e := asError(err)
		if e.Status == http.StatusTooManyRequests {
			urlFailure(w, e.Status, "Rate exceeded")
			return
		}
		s.log.Error("function URL", "function", c.fn.Name, "error", err)
		urlFailure(w, http.StatusServiceUnavailable, "Service Unavailable")
		return
	}
	w.Header().Set(headerTrace, inv.TraceID)
	w.Header().Set(headerRung, string(res.Rung))
	if _, failure := render(c.req, res, s.timeoutOf(call.version)); failure != "" {
		// What went wrong is in the function's log, not for everybody on the net.
		urlFailure(w, http.StatusBadGateway, "Internal Server Error")
		return
	}
	release, err := s.inMemory(r.Context(), res, 4)
	if err != nil {
		e := asError(err)
		e.retryLater(w)
		urlFailure(w, e.Status, "Rate exceeded")
		return
	}
	out := &later{ResponseWriter: w, server: s}
	err = urlevent.Respond(out, res.Payload)
	res.Payload = nil
	release()
	if err != nil {
		urlFailure(w, http.StatusBadGateway, "Internal Server Error")
	}
	out.send()
}

// urlPayload makes the event of a request to a function URL; one that is not small is out of memory.
func (s *Server) urlPayload(w http.ResponseWriter, r *http.Request, c *urlCall) (event []byte, body *spool.Body, err error) {
	in, err := s.keep(w, r, s.opt.Limits.Request, bodyTime)
	if err != nil {
		return nil, nil, err
	}
	defer in.Close()
	release, err := s.work(r.Context(), 5*in.Size())
	if err != nil {
		return nil, nil, err
	}
	defer release()
	r = r.WithContext(r.Context())
	r.Body = io.NopCloser(in.Reader())
	if event, err = urlevent.FromRequest(r, urlevent.Context{
		RequestID: c.req, URLID: c.urlID, Account: s.opt.Account, StripPrefix: c.strip, MaxBody: s.opt.Limits.Request,
	}); err != nil {
		return nil, nil, err
	}
	return s.stash(event)
}

func urlFailure(w http.ResponseWriter, status int, message string) {
	if status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	writeJSON(w, status, map[string]string{"Message": message})
}

// cors adds the headers of a function URL's CORS configuration and reports whether it answered
// the request, a preflight (https://fetch.spec.whatwg.org/#cors-protocol).
func cors(w http.ResponseWriter, r *http.Request, c *store.CORS) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	preflight := r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
	h := w.Header()
	h.Add("Vary", "Origin")
	if allowed(c.AllowOrigins, origin) {
		switch {
		case slices.Contains(c.AllowOrigins, "*") && !c.AllowCredentials:
			h.Set("Access-Control-Allow-Origin", "*")
		default:
			h.Set("Access-Control-Allow-Origin", origin)
		}
		if c.AllowCredentials {
			h.Set("Access-Control-Allow-Credentials", "true")
		}
		if preflight {
			set(h, "Access-Control-Allow-Methods", c.AllowMethods)
			set(h, "Access-Control-Allow-Headers", c.AllowHeaders)
			if c.MaxAge != nil {
				h.Set("Access-Control-Max-Age", strconv.Itoa(*c.MaxAge))
			}
		} else {
			set(h, "Access-Control-Expose-Headers", c.ExposeHeaders)
		}
	}
	if preflight {
		w.WriteHeader(http.StatusOK)
	}
	return preflight
}

func set(h http.Header, name string, values []string) {
	if len(values) > 0 {
		h.Set(name, strings.Join(values, ","))
	}
}

// allowed reports whether one of the patterns, which may have one asterisk, is the origin.
func allowed(patterns []string, origin string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		before, after, star := strings.Cut(p, "*")
		if !star {
			return strings.EqualFold(p, origin)
		}
		return len(origin) >= len(before)+len(after) && strings.HasPrefix(origin, before) && strings.HasSuffix(origin, after)
	})
}
