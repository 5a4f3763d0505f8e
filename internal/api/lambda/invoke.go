package lambda

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/cloudjit/cloudjit/internal/api/calls"
	"github.com/cloudjit/cloudjit/internal/api/gate"
	"github.com/cloudjit/cloudjit/internal/node"
	"github.com/cloudjit/cloudjit/internal/store"
)

func (s *API) InvokeRoutes(mux *http.ServeMux) {
	s.Route(mux, "POST /2015-03-31/functions/{name}/invocations", s.invoke)
	s.Route(mux, "POST /2021-11-15/functions/{name}/response-streaming-invocations", s.invokeStreaming)
	s.Route(mux, "POST /2014-11-13/functions/{name}/invoke-async", s.invokeAsync)
}

// readCall reads what all kinds of invocation have in common.
func (s *API) readCall(w http.ResponseWriter, r *http.Request, limit int64, kind string) (_ *calls.Call, err error) {
	f, err := gate.Target(r)
	if err != nil {
		return nil, err
	}
	fn, v, err := s.Resolve(f)
	if err != nil {
		return nil, err
	}
	if v.State.Value != gate.Active.Value {
		if err := s.AwaitActive(r.Context(), f, v); err != nil {
			return nil, err
		}
		if fn, v, err = s.Resolve(f); err != nil {
			return nil, err
		}
	}
	c := &calls.Call{Function: fn, Version: v, Qualifier: f.Qualifier}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	if err := s.readPayload(w, r, limit, kind, c); err != nil {
		return nil, err
	}
	if h := r.Header[gate.HeaderContext]; len(h) > 0 && h[0] != "" {
		if len(h[0]) > gate.MaxClientContext {
			return nil, gate.Invalid("Client context must be no more than 3583 bytes when base64-encoded.")
		}
		doc, err := base64.StdEncoding.DecodeString(h[0])
		var line bytes.Buffer // it travels in a header: no line breaks
		if err != nil || json.Compact(&line, doc) != nil {
			return nil, gate.Fault(http.StatusBadRequest, "InvalidRequestContentException", "Client context must be a valid Base64-encoded JSON object.")
		}
		c.Invocation.ClientContext = line.String()
	}
	c.Invocation.RequestID = w.Header().Get(gate.HeaderRequest)
	c.Invocation.FunctionARN = s.ARN(fn.Name, f.Qualifier)
	if c.Invocation.TraceID = r.Header.Get(gate.HeaderTrace); c.Invocation.TraceID == "" {
		c.Invocation.TraceID = calls.NewTraceID()
	}
	return c, nil
}

// readPayload reads an event, which is JSON; none is {}.
func (s *API) readPayload(w http.ResponseWriter, r *http.Request, limit int64, kind string, c *calls.Call) error {
	if r.ContentLength > limit {
		return gate.PayloadTooLarge(r.ContentLength, limit, kind)
	}
	var b []byte
	if _, read := r.Body.(*gate.Kept); !read && r.ContentLength >= 0 && r.ContentLength <= gate.PlainBody {
		defer gate.BodyDeadline(w, gate.BodyTime)()
		b = make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, b); err != nil {
			return gate.BodyError(err)
		}
	} else {
		body, err := s.Keep(w, r, limit, gate.BodyTime)
		var tooBig *http.MaxBytesError
		if errors.As(err, &tooBig) {
			return gate.PayloadTooLarge(limit+1, limit, kind)
		}
		if err != nil {
			return err
		}
		c.Body = body
		var small bool
		if b, small = body.Memory(); !small {
			release, err := s.Work(r.Context(), body.Size())
			if err != nil {
				return err
			}
			defer release()
			if b, err = body.Bytes(); err != nil {
				return err
			}
			c.Invocation.Body = body
		}
	}
	if len(b) == 0 {
		b = []byte("{}")
	}
	if !json.Valid(b) {
		return gate.Fault(http.StatusBadRequest, "InvalidRequestContentException", "Could not parse request body into json: %s", syntax(b))
	}
	if c.Invocation.Body == nil {
		c.Invocation.Payload = b
	}
	return nil
}

// syntax says where a document that is not JSON stops being so.
func syntax(b []byte) string {
	var v json.RawMessage
	if err := json.Unmarshal(b, &v); err != nil {
		return err.Error()
	}
	return "not JSON"
}

func (s *API) invoke(w http.ResponseWriter, r *http.Request) error {
	kind := gate.TypeRequest
	if h := r.Header[gate.HeaderType]; len(h) > 0 {
		kind = h[0]
	}
	limit := s.Opt.Limits.Request
	switch kind {
	case gate.TypeRequest, gate.TypeDryRun:
	case gate.TypeEvent:
		limit = s.Opt.Limits.Event
	default:
		return gate.Validation("invocationType", gate.Clip(kind), "Member must satisfy enum value set: [Event, RequestResponse, DryRun]")
	}
	c, err := s.readCall(w, r, limit, kind)
	if err != nil {
		return err
	}
	defer c.Close()
	switch kind {
	case gate.TypeDryRun:
		w.WriteHeader(http.StatusNoContent)
		return nil
	case gate.TypeEvent:
		return s.enqueue(w, r, c)
	}
	logType := r.Header[gate.HeaderLogType]
	ctx, wantLog := r.Context(), len(logType) > 0 && logType[0] == "Tail"
	if wantLog {
		ctx = node.WithTail(ctx)
	}
	res, err := s.Perform(ctx, c)
	if err != nil {
		return err
	}
	defer gate.CloseResult(res)
	payload, failure := calls.Render(c.Invocation.RequestID, res, s.TimeoutOf(c.Version))
	h := w.Header()
	h[gate.HeaderExecuted] = []string{c.Version.Version}
	h[gate.HeaderTrace] = []string{c.Invocation.TraceID}
	if failure != "" {
		h[gate.HeaderError] = []string{failure}
	}
	if wantLog {
		h[gate.HeaderLog] = []string{base64.StdEncoding.EncodeToString(tail(res.Log))}
	}
	h[gate.HeaderRung] = []string{string(res.Rung)}
	if res.Cold {
		h[gate.HeaderCold] = []string{"true"}
	}
	h["Content-Type"] = []string{"application/json"}
	body := res.Body
	if failure != "" {
		body = nil
	}
	s.SendPayload(w, payload, body)
	return nil
}

func (s *API) enqueue(w http.ResponseWriter, r *http.Request, c *calls.Call) error {
	if c.Invocation.Body != nil {
		release, err := s.Work(r.Context(), c.Invocation.Body.Size())
		if err != nil {
			return err
		}
		defer release()
		if c.Invocation.Payload, err = c.Invocation.Body.Bytes(); err != nil {
			return err
		}
	}
	err := s.Store.Enqueue(r.Context(), &store.Async{
		RequestID: c.Invocation.RequestID, Function: c.Function.Name, Qualifier: c.Qualifier, ClientContext: c.Invocation.ClientContext,
		TraceID: c.Invocation.TraceID, EnqueuedAt: time.Now().UTC(), Payload: c.Invocation.Payload,
	})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// invokeAsync is the oldest form of an Event invocation, which SDKs still have.
func (s *API) invokeAsync(w http.ResponseWriter, r *http.Request) error {
	c, err := s.readCall(w, r, s.Opt.Limits.Event, gate.TypeEvent)
	if err != nil {
		return err
	}
	defer c.Close()
	return s.enqueue(w, r, c)
}

// tail is the end of a log, as much as the header takes.
func tail(log []byte) []byte {
	if n := len(log) - gate.MaxLogTail; n > 0 {
		return log[n:]
	}
	return log
}
