// Package furl is the API's second face: function URLs. A handler gets the request as an event, a web
// function as it is.
//
// It must not know how functions run, nor serve anything at the server's own name but what is below
// gate.URLPrefix.
package furl

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/cloudjit/cloudjit/internal/api/calls"
	"github.com/cloudjit/cloudjit/internal/api/gate"
	"github.com/cloudjit/cloudjit/internal/api/urlevent"
	"github.com/cloudjit/cloudjit/internal/audit"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/spool"
	"github.com/cloudjit/cloudjit/internal/store"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// API answers the callers of function URLs.
type API struct{ *calls.Runner }

// New makes the face; Routes mounts what is at the server's own name, Serve answers at URLs' own hosts.
func New(r *calls.Runner) *API { return &API{r} }

// Routes mounts the paths below gate.URLPrefix.
func (s *API) Routes(mux *http.ServeMux) {
	mux.HandleFunc(gate.URLPrefix+"{id}/", s.serveURLPath)
	mux.HandleFunc(gate.URLPrefix+"{id}", s.serveURLPath)
}

// serveURLPath serves a function URL under urlPrefix{id}/.
func (s *API) serveURLPath(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	s.serve(&sandboxed{ResponseWriter: w}, r, id, gate.URLPrefix+id)
}

// Serve answers a request to a function URL's own host.
func (s *API) Serve(w http.ResponseWriter, r *http.Request, id string) { s.serve(w, r, id, "") }

// serve answers a request to a function URL. strip is what of the path is not the function's.
func (s *API) serve(w http.ResponseWriter, r *http.Request, id, strip string) {
	requestID := w.Header().Get(gate.HeaderRequest)
	r0, w0 := r, w
	at, ok := s.Store.FunctionURL(id)
	if !ok {
		urlFailure(w, http.StatusNotFound, "There is no such function URL")
		return
	}
	fn, v, err := s.Resolve(gate.Ref{Name: at.Function, Qualifier: at.Qualifier})
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
		if s.Verifier == nil {
			urlFailure(w, http.StatusForbidden, "Forbidden: the function URL needs signed requests (AuthType AWS_IAM), but this server has no credentials to check them with")
			return
		}
		line := &audit.Entry{Action: gate.InvokeURL.Name, Function: string(fn.Name)}
		if r, _, err = s.Enter(w, r, &gate.InvokeURL, fn.Name, line); err != nil {
			e := gate.AsError(err)
			s.Record(r0, w, config.ActionInvoke, line, e.Status, e.Code)
			message := "Forbidden"
			if e.Status != http.StatusForbidden {
				message = e.Message
			}
			urlFailure(w, e.Status, message)
			return
		}
		defer r.Body.Close()
		w = &gate.Witness{ResponseWriter: w, Line: line, Tell: func(status int) { s.Record(r0, w0, config.ActionInvoke, line, status, "") }}
	}
	if v.State.Value != gate.Active.Value {
		if err := s.AwaitActive(r.Context(), gate.Ref{Name: at.Function, Qualifier: at.Qualifier}, v); err != nil {
			urlFailure(w, http.StatusServiceUnavailable, "The function is not ready")
			return
		}
		if _, v, err = s.Resolve(gate.Ref{Name: at.Function, Qualifier: at.Qualifier}); err != nil {
			urlFailure(w, http.StatusNotFound, "The function URL leads to nothing")
			return
		}
	}
	rev, ok := s.Store.Revision(v.Current())
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
func (s *API) urlEvent(w http.ResponseWriter, r *http.Request, c urlCall) {
	event, body, err := s.urlPayload(w, r, &c)
	var tooBig *http.MaxBytesError
	switch {
	case errors.As(err, &tooBig):
		urlFailure(w, http.StatusRequestEntityTooLarge, "Request Too Long")
		return
	case err != nil:
		if e := gate.AsError(err); e.Status != http.StatusBadRequest {
			e.RetryLater(w)
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
	inv := &worker.Invocation{RequestID: c.req, Payload: event, FunctionARN: s.ARN(c.fn.Name, qualifier), TraceID: r.Header.Get(gate.HeaderTrace)}
	if inv.TraceID == "" {
		inv.TraceID = calls.NewTraceID()
	}
	if body != nil {
		defer body.Close()
		inv.Body = body
	}
	var stream *urlStream
	if c.fn.URLs[c.qualifier].InvokeMode == gate.StreamMode {
		slow := s.Patience(w)
		defer slow.Lift()
		stream = &urlStream{w: slow}
		inv.Stream = stream
	}
	call := &calls.Call{Function: c.fn, Version: c.version, Qualifier: c.qualifier, Invocation: *inv}
	res, err := s.Perform(r.Context(), call)
	defer gate.CloseResult(res)
	if stream != nil && stream.started {
		stream.finish()
		return // the head is out: whatever happened since shows as the end of the body
	}
	if err != nil {
		e := gate.AsError(err)
		if e.Status == http.StatusTooManyRequests {
			urlFailure(w, e.Status, "Rate exceeded")
			return
		}
		s.Log.Error("function URL", "function", c.fn.Name, "error", err)
		urlFailure(w, http.StatusServiceUnavailable, "Service Unavailable")
		return
	}
	w.Header().Set(gate.HeaderTrace, inv.TraceID)
	w.Header().Set(gate.HeaderRung, string(res.Rung))
	if _, failure := calls.Render(c.req, res, s.TimeoutOf(call.Version)); failure != "" {
		// What went wrong is in the function's log, not for everybody on the net.
		urlFailure(w, http.StatusBadGateway, "Internal Server Error")
		return
	}
	release, err := s.InMemory(r.Context(), res, 4)
	if err != nil {
		e := gate.AsError(err)
		e.RetryLater(w)
		urlFailure(w, e.Status, "Rate exceeded")
		return
	}
	out := &gate.Later{ResponseWriter: w, Gate: s.Gate}
	err = urlevent.Respond(out, res.Payload)
	res.Payload = nil
	release()
	if err != nil {
		urlFailure(w, http.StatusBadGateway, "Internal Server Error")
	}
	out.Send()
}

// urlPayload makes the event of a request to a function URL; one that is not small is out of memory.
func (s *API) urlPayload(w http.ResponseWriter, r *http.Request, c *urlCall) (event []byte, body *spool.Body, err error) {
	in, err := s.Keep(w, r, s.Opt.Limits.Request, gate.BodyTime)
	if err != nil {
		return nil, nil, err
	}
	defer in.Close()
	release, err := s.Work(r.Context(), 5*in.Size())
	if err != nil {
		return nil, nil, err
	}
	defer release()
	r = r.WithContext(r.Context())
	r.Body = io.NopCloser(in.Reader())
	if event, err = urlevent.FromRequest(r, urlevent.Context{
		RequestID: c.req, URLID: c.urlID, Account: s.Opt.Account, StripPrefix: c.strip, MaxBody: s.Opt.Limits.Request,
	}); err != nil {
		return nil, nil, err
	}
	return s.Stash(event)
}

func urlFailure(w http.ResponseWriter, status int, message string) {
	if status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	gate.WriteJSON(w, status, map[string]string{"Message": message})
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
