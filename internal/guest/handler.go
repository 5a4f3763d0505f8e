package guest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// Header names of the Runtime API, in canonical form so that no lookup has to make it.
const (
	headerRequestID = "Lambda-Runtime-Aws-Request-Id"
	headerDeadline  = "Lambda-Runtime-Deadline-Ms"
	headerARN       = "Lambda-Runtime-Invoked-Function-Arn"
	headerTrace     = "Lambda-Runtime-Trace-Id"
	headerClient    = "Lambda-Runtime-Client-Context"
	headerIdentity  = "Lambda-Runtime-Cognito-Identity"
	headerErrorType = "Lambda-Runtime-Function-Error-Type"
	headerErrorBody = "Lambda-Runtime-Function-Error-Body"
	headerMode      = "Lambda-Runtime-Function-Response-Mode"
)

const (
	prefix = "/2018-06-01/runtime/"
	// maxConnections of one runtime at once; real clients have one or two.
	maxConnections = 64
	// maxHeader of one request: trailers carry error documents, nothing else is long.
	maxHeader = 64 << 10
	// maxDrained is how much of an oversized answer is read, so that the runtime sees the 413
	// and its connection stays; what sends more loses the connection.
	maxDrained = 256 << 20
)

// Server serves one runtime on a listener.
type Server struct {
	*Runtime
	http     http.Server
	listener *bounded
	done     chan struct{}
}

// Serve starts serving the Runtime API on l, which it owns from now on, until Shutdown.
func Serve(l net.Listener, r *Runtime) *Server {
	s := &Server{Runtime: r, listener: newBounded(l, maxConnections), done: make(chan struct{})}
	// There are no timeouts: a slow runtime holds up nobody but itself, and connections are few.
	s.http = http.Server{Handler: s, MaxHeaderBytes: maxHeader, DisableGeneralOptionsHandler: true, ErrorLog: quiet}
	go func() {
		defer close(s.done)
		_ = s.http.Serve(s.listener)
	}()
	return s
}

// Shutdown ends the server of a runtime that has ended: what it sent before is still taken, until
// ctx ends. It returns when nothing is left. Idempotent.
func (s *Server) Shutdown(ctx context.Context) {
	_ = s.listener.Close()
	// Not http.Server.Shutdown: it closes connections whose last request has not been read yet.
	gone := make(chan struct{})
	go func() {
		s.listener.open.Wait()
		close(gone)
	}()
	select {
	case <-gone:
	case <-ctx.Done():
	}
	s.Close()
	_ = s.http.Close()
	<-gone
	<-s.done
}

// ServeHTTP routes one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.seen()
	path, ok := strings.CutPrefix(r.URL.Path, prefix)
	if !ok {
		http.NotFound(w, r)
		return
	}
	if r.Method == http.MethodGet {
		switch path {
		case "invocation/next":
			s.serveNext(w, r)
		case "restore/next":
			s.serveRestore(w, r)
		default:
			http.NotFound(w, r)
		}
		return
	}
	if r.Method != http.MethodPost {
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	switch path {
	case "init/error", "restore/error":
		s.serveInitError(w, r)
		return
	}
	if rest, ok := strings.CutPrefix(path, "invocation/"); ok {
		if id, ok := strings.CutSuffix(rest, "/response"); ok {
			s.serveResponse(w, r, id)
			return
		}
		if id, ok := strings.CutSuffix(rest, "/error"); ok {
			s.serveError(w, r, id)
			return
		}
	}
	http.NotFound(w, r)
}

func (s *Server) serveNext(w http.ResponseWriter, r *http.Request) {
	wait, err := s.next()
	if err != nil {
		refuse(w, err)
		return
	}
	var c *call
	select {
	case got, ok := <-wait:
		if !ok { // a newer next took its place
			refuse(w, &stateError{from: waiting, to: waiting})
			return
		}
		c = got
	case <-r.Context().Done():
		s.leave(wait)
		return
	case <-s.closed:
		w.Header().Set("Connection", "close")
		refuse(w, &stateError{from: ended, to: waiting})
		return
	}
	inv := c.inv
	h := w.Header()
	h["Content-Type"] = jsonType
	h["Content-Length"] = []string{strconv.Itoa(len(inv.Payload))}
	h[headerRequestID] = []string{inv.RequestID}
	h[headerDeadline] = []string{strconv.FormatInt(inv.Deadline.UnixMilli(), 10)}
	h[headerARN] = []string{inv.FunctionARN}
	set(h, headerTrace, inv.TraceID)
	set(h, headerClient, inv.ClientContext)
	set(h, headerIdentity, inv.Identity)
	_, _ = w.Write(inv.Payload)
}

func set(h http.Header, name, value string) {
	if value != "" {
		h[name] = []string{value}
	}
}

func (s *Server) serveRestore(w http.ResponseWriter, r *http.Request) {
	if s.HoldRestore {
		select {
		case <-s.restore:
		case <-r.Context().Done():
			return
		case <-s.closed:
		}
	}
	w.WriteHeader(http.StatusOK)
}

func (s *Server) serveInitError(w http.ResponseWriter, r *http.Request) {
	doc, err := io.ReadAll(io.LimitReader(r.Body, maxDocument))
	if err != nil {
		return
	}
	if err := s.fail(errorDocument(doc, r.Header.Get(headerErrorType))); err != nil {
		refuse(w, err)
		return
	}
	accept(w)
}

func (s *Server) serveResponse(w http.ResponseWriter, r *http.Request, id string) {
	c, err := s.begin(id)
	if err != nil {
		drain(r)
		refuse(w, err)
		return
	}
	if strings.EqualFold(r.Header.Get(headerMode), "streaming") {
		s.finish(c, receive(c, r))
		accept(w)
		return
	}
	body, err := read(r, MaxPayload)
	switch {
	case errors.Is(err, errTooLarge):
		drain(r)
		s.finish(c, tooLarge(MaxPayload))
		reply(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge",
			fmt.Sprintf("Exceeded maximum allowed payload size (%d bytes).", MaxPayload))
	case err != nil:
		s.abandon()
	default:
		s.finish(c, &worker.Result{Outcome: function.OutcomeOK, Payload: body, ContentType: r.Header.Get("Content-Type")})
		accept(w)
	}
}

func (s *Server) serveError(w http.ResponseWriter, r *http.Request, id string) {
	c, err := s.begin(id)
	if err != nil {
		drain(r)
		refuse(w, err)
		return
	}
	body, err := read(r, MaxPayload)
	if errors.Is(err, errTooLarge) {
		drain(r)
		body, err = nil, nil
	}
	if err != nil {
		s.abandon()
		return
	}
	kind := errorType(r.Header.Get(headerErrorType))
	s.finish(c, &worker.Result{
		Outcome: function.OutcomeHandlerError, Payload: errorDocument(body, kind),
		ErrorType: kind, ContentType: "application/json",
	})
	accept(w)
}

// receive takes a streamed answer and gives it on as it comes.
func receive(c *call, r *http.Request) *worker.Result {
	res := &worker.Result{Outcome: function.OutcomeOK, ContentType: r.Header.Get("Content-Type")}
	var err error
	if c.inv.Stream == nil {
		res.Payload, err = read(r, MaxPayload)
		if errors.Is(err, errTooLarge) {
			drain(r)
			return tooLarge(MaxPayload)
		}
	} else {
		res.Streamed = true
		err = relay(c, r)
	}
	switch kind := r.Trailer.Get(headerErrorType); {
	case kind != "": // the handler failed midway
		doc, _ := base64.StdEncoding.DecodeString(r.Trailer.Get(headerErrorBody))
		res.Outcome, res.ErrorType = function.OutcomeHandlerError, errorType(kind)
		res.Payload = errorDocument(doc, kind)
	case errors.Is(err, errTooLarge):
		large := tooLarge(MaxStreamed)
		large.Streamed = true
		return large
	case err != nil:
		res.Outcome, res.ErrorType = function.OutcomeHandlerError, "Runtime.TruncatedResponse"
		res.Payload = errorDocument(nil, res.ErrorType)
	}
	return res
}

var errTooLarge = errors.New("too large")

// relay copies the body to the caller, chunk by chunk.
func relay(c *call, r *http.Request) error {
	c.inv.Stream.Start(r.Header.Get("Content-Type"))
	buf := make([]byte, 32<<10)
	total := 0
	for {
		n, err := r.Body.Read(buf)
		if total += n; total > MaxStreamed {
			return errTooLarge
		}
		if n > 0 {
			if c.ctx.Err() != nil { // nobody may touch the caller's writer any more
				return c.ctx.Err()
			}
			if _, werr := c.inv.Stream.Write(buf[:n]); werr != nil {
				drain(r)
				return nil // the caller went away; the runtime did nothing wrong
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// read reads a body of at most limit bytes.
func read(r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, errTooLarge
	}
	if r.ContentLength >= 0 {
		b := make([]byte, r.ContentLength)
		_, err := io.ReadFull(r.Body, b)
		return b, err
	}
	b, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err == nil && int64(len(b)) > limit {
		return nil, errTooLarge
	}
	return b, err
}

func drain(r *http.Request) { _, _ = io.CopyN(io.Discard, r.Body, maxDrained) }

// errorType bounds what the runtime says.
func errorType(s string) string {
	if s == "" {
		return "Unhandled"
	}
	return s[:min(len(s), maxErrorType)]
}

// errorDocument is the document that the runtime posted, or one in its place if that is no JSON object.
func errorDocument(doc []byte, kind string) []byte {
	var object map[string]json.RawMessage
	if len(doc) > 0 && json.Unmarshal(doc, &object) == nil && object != nil {
		return doc
	}
	b, err := json.Marshal(map[string]string{
		"errorType": errorType(kind), "errorMessage": strings.ToValidUTF8(string(doc[:min(len(doc), 4096)]), "\uFFFD"),
	})
	if err != nil {
		panic("guest: two strings do not marshal: " + err.Error())
	}
	return b
}

var (
	jsonType = []string{"application/json"}
	statusOK = []byte(`{"status":"OK"}` + "\n")
)

func accept(w http.ResponseWriter) {
	h := w.Header()
	h["Content-Type"] = jsonType
	w.WriteHeader(http.StatusAccepted)
	_, _ = w.Write(statusOK)
}

func refuse(w http.ResponseWriter, err error) {
	var state *stateError
	if errors.As(err, &state) {
		reply(w, http.StatusForbidden, "InvalidStateTransition", err.Error())
		return
	}
	reply(w, http.StatusBadRequest, "InvalidRequestID", err.Error())
}

func reply(w http.ResponseWriter, status int, kind, message string) {
	w.Header()["Content-Type"] = jsonType
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"errorMessage": message, "errorType": kind})
}
