package guest

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
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
	// Of the platform's own; see Runtime.Checkpoint.
	headerCheckpoint = "Lambda-Runtime-Checkpoint"
	// Of the answer to restore/next: variables that a copy has otherwise than the worker that was saved, as a query is
	// written (application/x-www-form-urlencoded).
	headerEnvironment = "Lambda-Runtime-Environment"
)

const (
	prefix = "/2018-06-01/runtime/"
	// maxDrained is how much of an oversized answer is read, so that the runtime sees the 413
	// and its connection stays; what sends more loses the connection.
	maxDrained = 256 << 20
)

// serve answers one request, or leaves its connection waiting for an invocation.
func (c *conn) serve(r *http.Request) {
	path, ok := strings.CutPrefix(r.URL.Path, prefix)
	if !ok {
		c.refuseAs(http.StatusNotFound, "NotFound", "There is no such resource.")
		return
	}
	if r.Method == http.MethodGet {
		switch path {
		case "invocation/next":
			c.serveNext()
		case "restore/next":
			c.serveRestore()
		default:
			c.refuseAs(http.StatusNotFound, "NotFound", "There is no such resource.")
		}
		return
	}
	if r.Method != http.MethodPost {
		c.refuseAs(http.StatusMethodNotAllowed, "MethodNotAllowed", "The method is not allowed here.")
		return
	}
	switch path {
	case "init/error", "restore/error":
		c.serveInitError(r)
		return
	}
	if rest, ok := strings.CutPrefix(path, "invocation/"); ok {
		if id, ok := strings.CutSuffix(rest, "/response"); ok {
			c.serveResponse(r, id)
			return
		}
		if id, ok := strings.CutSuffix(rest, "/error"); ok {
			c.serveError(r, id)
			return
		}
	}
	c.refuseAs(http.StatusNotFound, "NotFound", "There is no such resource.")
}

// serveNext enters the wait. Whoever takes the connection out of it answers the request.
func (c *conn) serveNext() {
	former, call, err := c.runtime.next(c)
	if err != nil {
		c.refuse(err)
		return
	}
	c.waiting = true
	if former != nil { // a runtime that asks again has given up its earlier connection
		former.refuse(&stateError{from: waiting, to: waiting})
		_ = former.flush()
		former.answered()
	}
	if call != nil {
		c.runtime.deliver(c, call)
	}
}

func (c *conn) serveRestore() {
	if c.runtime.hold() {
		c.flush()
		select {
		case <-c.runtime.restore:
		case <-c.runtime.closed:
		}
	}
	c.head(http.StatusOK, 0)
	c.pending = append(header(c.pending, headerEnvironment, query(c.runtime.Environment)), "\r\n"...)
}

// query writes variables as a query is written, in their order.
func query(environment []string) string {
	var b strings.Builder
	for _, variable := range environment {
		name, value, _ := strings.Cut(variable, "=")
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(name) + "=" + url.QueryEscape(value))
	}
	return b.String()
}

func (c *conn) serveInitError(r *http.Request) {
	doc, err := io.ReadAll(io.LimitReader(r.Body, maxDocument))
	if err != nil {
		return
	}
	if err := c.runtime.fail(errorDocument(doc, r.Header.Get(headerErrorType))); err != nil {
		c.refuse(err)
		return
	}
	c.accept()
}

func (c *conn) serveResponse(r *http.Request, id string) {
	call, err := c.runtime.begin(id)
	if err != nil {
		drain(r)
		c.refuse(err)
		return
	}
	if strings.EqualFold(r.Header.Get(headerMode), "streaming") {
		c.runtime.finish(call, receive(call, r))
		c.accept()
		return
	}
	res := &worker.Result{Outcome: function.OutcomeOK, ContentType: r.Header.Get("Content-Type")}
	err = take(res, call, r)
	switch {
	case errors.Is(err, errTooLarge):
		drain(r)
		c.runtime.finish(call, tooLarge(MaxPayload))
		c.refuseAs(http.StatusRequestEntityTooLarge, "RequestEntityTooLarge",
			fmt.Sprintf("Exceeded maximum allowed payload size (%d bytes).", MaxPayload))
	case errors.Is(err, worker.ErrNotKept):
		drain(r)
		doc, _ := json.Marshal(map[string]string{"errorType": "Platform.ResponseNotKept", "errorMessage": err.Error()})
		c.runtime.finish(call, &worker.Result{Outcome: function.OutcomeHandlerError, ErrorType: "Platform.ResponseNotKept", Payload: doc, ContentType: "application/json"})
		c.accept()
	case err != nil:
		c.runtime.abandon()
	default:
		c.runtime.finish(call, res)
		c.accept()
	}
}

func (c *conn) serveError(r *http.Request, id string) {
	call, err := c.runtime.begin(id)
	if err != nil {
		drain(r)
		c.refuse(err)
		return
	}
	body, err := readBody(r, maxDocument)
	if errors.Is(err, errTooLarge) {
		drain(r)
		body, err = nil, nil
	}
	if err != nil {
		c.runtime.abandon()
		return
	}
	kind := errorType(r.Header.Get(headerErrorType))
	c.runtime.finish(call, &worker.Result{
		Outcome: function.OutcomeHandlerError, Payload: errorDocument(body, kind),
		ErrorType: kind, ContentType: "application/json",
	})
	c.accept()
}

// receive takes a streamed answer and gives it on as it comes.
func receive(c *call, r *http.Request) *worker.Result {
	res := &worker.Result{Outcome: function.OutcomeOK, ContentType: r.Header.Get("Content-Type")}
	var err error
	if c.inv.Stream == nil {
		err = take(res, c, r)
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
		if res.Body != nil {
			res.Body.Close()
			res.Body = nil
		}
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

// smallAnswer is what is taken into memory at once, in bytes.
const smallAnswer = 4 << 10

// take reads an answer: into memory, or where the invocation wants large ones kept. A runtime may say that
// a large one comes, and send nothing.
func take(res *worker.Result, c *call, r *http.Request) (err error) {
	if c.inv.Keep == nil || r.ContentLength >= 0 && r.ContentLength <= smallAnswer || r.ContentLength > MaxPayload {
		res.Payload, err = readBody(r, MaxPayload)
		return err
	}
	b, err := c.inv.Keep(r.Body, MaxPayload)
	if errors.Is(err, worker.ErrTooLarge) {
		return errTooLarge
	}
	if err == nil && r.ContentLength >= 0 && b.Size() != r.ContentLength {
		b.Close()
		return io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	res.Body = b
	return nil
}

// readBody reads a body of at most limit bytes.
func readBody(r *http.Request, limit int64) ([]byte, error) {
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

func (c *conn) refuse(err error) {
	var state *stateError
	if errors.As(err, &state) {
		c.refuseAs(http.StatusForbidden, "InvalidStateTransition", err.Error())
		return
	}
	c.refuseAs(http.StatusBadRequest, "InvalidRequestID", err.Error())
}

func (c *conn) refuseAs(status int, kind, message string) {
	doc, err := json.Marshal(map[string]string{"errorMessage": message, "errorType": kind})
	if err != nil {
		panic("guest: two strings do not marshal: " + err.Error())
	}
	c.answer(status, append(doc, '\n'))
}

var statusOK = []byte(`{"status":"OK"}` + "\n")

func (c *conn) accept() { c.answer(http.StatusAccepted, statusOK) }
