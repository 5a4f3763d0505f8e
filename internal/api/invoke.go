package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/node"
	"github.com/cloudjit/cloudjit/internal/spool"
	"github.com/cloudjit/cloudjit/internal/store"
	"github.com/cloudjit/cloudjit/internal/worker"
)

func (s *Server) invokeRoutes(mux *http.ServeMux) {
	s.route(mux, "POST /2015-03-31/functions/{name}/invocations", s.invoke)
	s.route(mux, "POST /2021-11-15/functions/{name}/response-streaming-invocations", s.invokeStreaming)
	s.route(mux, "POST /2014-11-13/functions/{name}/invoke-async", s.invokeAsync)
}

// Header names in the form that http.Header keeps them.
const (
	headerType     = "X-Amz-Invocation-Type"
	headerLogType  = "X-Amz-Log-Type"
	headerContext  = "X-Amz-Client-Context"
	headerError    = "X-Amz-Function-Error"
	headerLog      = "X-Amz-Log-Result"
	headerExecuted = "X-Amz-Executed-Version"
	headerTrace    = "X-Amzn-Trace-Id"
	headerRequest  = "X-Amzn-Requestid"
	// Ours: which rung served, and whether the invocation had to wait for a new worker.
	headerRung = node.HeaderRung
	headerCold = node.HeaderCold
)

const (
	typeRequest = "RequestResponse"
	typeEvent   = "Event"
	typeDryRun  = "DryRun"

	maxClientContext = 3583 // bytes of base64
	maxLogTail       = 4 << 10
)

// call is one invocation on its way to the platform.
type call struct {
	fn        *store.Function
	version   *store.Version
	qualifier string // as the caller gave it
	inv       worker.Invocation
	body      *spool.Body // of the event, if it is in the spool
}

// close gives back what the event takes.
func (c *call) close() {
	if c.body != nil {
		c.body.Close()
	}
}

// resolve finds the version that an invocation goes to. Of an alias with weights it is drawn.
func (s *Server) resolve(f ref) (*store.Function, *store.Version, error) {
	fn, ok := s.store.Function(f.Name)
	if !ok {
		return nil, nil, s.noFunction(f.Name, f.Qualifier)
	}
	qualifier := f.Qualifier
	if a, ok := fn.Aliases[qualifier]; ok {
		qualifier = draw(a, mathrand.Float64())
	}
	v, ok := versionOf(fn, qualifier)
	if !ok {
		return nil, nil, s.noFunction(f.Name, f.Qualifier)
	}
	return fn, v, nil
}

// draw chooses one of an alias's versions by weight; x is in [0, 1).
func draw(a store.Alias, x float64) string {
	for version, weight := range a.Weights { // one at most
		if x < weight {
			return version
		}
	}
	return a.Version
}

// readCall reads what all kinds of invocation have in common.
func (s *Server) readCall(w http.ResponseWriter, r *http.Request, limit int64, kind string) (_ *call, err error) {
	f, err := target(r)
	if err != nil {
		return nil, err
	}
	fn, v, err := s.resolve(f)
	if err != nil {
		return nil, err
	}
	if v.State.Value != active.Value {
		if err := s.awaitActive(r.Context(), f, v); err != nil {
			return nil, err
		}
		if fn, v, err = s.resolve(f); err != nil {
			return nil, err
		}
	}
	c := &call{fn: fn, version: v, qualifier: f.Qualifier}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if err := s.readPayload(w, r, limit, kind, c); err != nil {
		return nil, err
	}
	if h := r.Header[headerContext]; len(h) > 0 && h[0] != "" {
		if len(h[0]) > maxClientContext {
			return nil, invalid("Client context must be no more than 3583 bytes when base64-encoded.")
		}
		doc, err := base64.StdEncoding.DecodeString(h[0])
		var line bytes.Buffer // it travels in a header: no line breaks
		if err != nil || json.Compact(&line, doc) != nil {
			return nil, fault(http.StatusBadRequest, "InvalidRequestContentException", "Client context must be a valid Base64-encoded JSON object.")
		}
		c.inv.ClientContext = line.String()
	}
	c.inv.RequestID = w.Header().Get(headerRequest)
	c.inv.FunctionARN = s.arn(fn.Name, f.Qualifier)
	if c.inv.TraceID = r.Header.Get(headerTrace); c.inv.TraceID == "" {
		c.inv.TraceID = newTraceID()
	}
	return c, nil
}

// readPayload reads an event, which is JSON; none is {}.
func (s *Server) readPayload(w http.ResponseWriter, r *http.Request, limit int64, kind string, c *call) error {
	if r.ContentLength > limit {
		return payloadTooLarge(r.ContentLength, limit, kind)
	}
	var b []byte
	if _, read := r.Body.(*kept); !read && r.ContentLength >= 0 && r.ContentLength <= plainBody {
		defer bodyDeadline(w, bodyTime)()
		b = make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, b); err != nil {
			return bodyError(err)
		}
	} else {
		body, err := s.keep(w, r, limit, bodyTime)
		var tooBig *http.MaxBytesError
		if errors.As(err, &tooBig) {
			return payloadTooLarge(limit+1, limit, kind)
		}
		if err != nil {
			return err
		}
		c.body = body
		var small bool
		if b, small = body.Memory(); !small {
			release, err := s.work(r.Context(), body.Size())
			if err != nil {
				return err
			}
			defer release()
			if b, err = body.Bytes(); err != nil {
				return err
			}
			c.inv.Body = body
		}
	}
	if len(b) == 0 {
		b = []byte("{}")
	}
	if !json.Valid(b) {
		return fault(http.StatusBadRequest, "InvalidRequestContentException", "Could not parse request body into json: %s", syntax(b))
	}
	if c.inv.Body == nil {
		c.inv.Payload = b
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

func payloadTooLarge(size, limit int64, kind string) *Error {
	return fault(http.StatusRequestEntityTooLarge, "RequestTooLargeException",
		"%d byte payload is too large for the %s invocation type (limit %d bytes)", size, kind, limit)
}

func (s *Server) invoke(w http.ResponseWriter, r *http.Request) error {
	kind := typeRequest
	if h := r.Header[headerType]; len(h) > 0 {
		kind = h[0]
	}
	limit := s.opt.Limits.Request
	switch kind {
	case typeRequest, typeDryRun:
	case typeEvent:
		limit = s.opt.Limits.Event
	default:
		return validation("invocationType", clip(kind), "Member must satisfy enum value set: [Event, RequestResponse, DryRun]")
	}
	c, err := s.readCall(w, r, limit, kind)
	if err != nil {
		return err
	}
	defer c.close()
	switch kind {
	case typeDryRun:
		w.WriteHeader(http.StatusNoContent)
		return nil
	case typeEvent:
		return s.enqueue(w, r, c)
	}
	logType := r.Header[headerLogType]
	ctx, wantLog := r.Context(), len(logType) > 0 && logType[0] == "Tail"
	if wantLog {
		ctx = node.WithTail(ctx)
	}
	res, err := s.perform(ctx, c)
	if err != nil {
		return err
	}
	defer closeResult(res)
	payload, failure := render(c.inv.RequestID, res, s.timeoutOf(c.version))
	h := w.Header()
	h[headerExecuted] = []string{c.version.Version}
	h[headerTrace] = []string{c.inv.TraceID}
	if failure != "" {
		h[headerError] = []string{failure}
	}
	if wantLog {
		h[headerLog] = []string{base64.StdEncoding.EncodeToString(tail(res.Log))}
	}
	h[headerRung] = []string{string(res.Rung)}
	if res.Cold {
		h[headerCold] = []string{"true"}
	}
	h["Content-Type"] = []string{"application/json"}
	body := res.Body
	if failure != "" {
		body = nil
	}
	s.sendPayload(w, payload, body)
	return nil
}

// maxResolve is how often a name is resolved again because its revision was replaced meanwhile.
const maxResolve = 5

// perform runs one invocation. A web function gets the event as a request. The revision may be
// replaced on the way; c.version is the one that ran.
func (s *Server) perform(ctx context.Context, c *call) (*node.Result, error) {
	for n := 1; ; n++ {
		res, err := s.performOn(ctx, c.version, &c.inv)
		if !errors.Is(err, node.ErrNotFound) || n == maxResolve {
			return res, err
		}
		s.sync(c.fn.Name) // whichever of the two is behind
		if c.fn, c.version, err = s.resolve(ref{c.fn.Name, c.qualifier}); err != nil {
			return nil, err
		}
	}
}

func (s *Server) performOn(ctx context.Context, v *store.Version, inv *worker.Invocation) (*node.Result, error) {
	id := v.Current()
	rev, ok := s.store.Revision(id)
	if !ok {
		return nil, fmt.Errorf("invoke %s: %w", id, node.ErrNotFound)
	}
	if rev.Spec.Kind == function.KindWeb {
		return s.performWeb(ctx, rev, inv)
	}
	inv.Keep = s.keepAnswer
	return s.run.Invoke(ctx, id, inv)
}

func (s *Server) timeoutOf(v *store.Version) time.Duration {
	if rev, ok := s.store.Revision(v.Current()); ok {
		return rev.Spec.Timeout
	}
	return 0
}

func (s *Server) enqueue(w http.ResponseWriter, r *http.Request, c *call) error {
	if c.inv.Body != nil {
		release, err := s.work(r.Context(), c.inv.Body.Size())
		if err != nil {
			return err
		}
		defer release()
		if c.inv.Payload, err = c.inv.Body.Bytes(); err != nil {
			return err
		}
	}
	err := s.store.Enqueue(r.Context(), &store.Async{
		RequestID: c.inv.RequestID, Function: c.fn.Name, Qualifier: c.qualifier, ClientContext: c.inv.ClientContext,
		TraceID: c.inv.TraceID, EnqueuedAt: time.Now().UTC(), Payload: c.inv.Payload,
	})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// invokeAsync is the oldest form of an Event invocation, which SDKs still have.
func (s *Server) invokeAsync(w http.ResponseWriter, r *http.Request) error {
	c, err := s.readCall(w, r, s.opt.Limits.Event, typeEvent)
	if err != nil {
		return err
	}
	defer c.close()
	return s.enqueue(w, r, c)
}

// tail is the end of a log, as much as the header takes.
func tail(log []byte) []byte {
	if n := len(log) - maxLogTail; n > 0 {
		return log[n:]
	}
	return log
}

// newUUID returns a random UUID, as Lambda uses for requests and RevisionIds.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	var t [36]byte
	hex.Encode(t[:8], b[:4])
	hex.Encode(t[9:13], b[4:6])
	hex.Encode(t[14:18], b[6:8])
	hex.Encode(t[19:23], b[8:10])
	hex.Encode(t[24:], b[10:])
	t[8], t[13], t[18], t[23] = '-', '-', '-', '-'
	return string(t[:])
}

// newTraceID returns an X-Ray trace header that asks for no sampling.
func newTraceID() string {
	const form = "Root=1-00000000-000000000000000000000000;Sampled=0"
	b := []byte(form)
	var x [16]byte
	now := uint32(time.Now().Unix())
	x[0], x[1], x[2], x[3] = byte(now>>24), byte(now>>16), byte(now>>8), byte(now)
	for i, v := 4, mathrand.Uint64(); i < 12; i, v = i+1, v>>8 {
		x[i] = byte(v)
	}
	for i, v := 12, mathrand.Uint32(); i < 16; i, v = i+1, v>>8 {
		x[i] = byte(v)
	}
	hex.Encode(b[7:15], x[:4])
	hex.Encode(b[16:40], x[4:])
	return string(b)
}
