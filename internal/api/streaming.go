package api

import (
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"io"
	"net/http"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/node"
)

// invokeStreaming is InvokeWithResponseStream: the answer comes as it is made, in AWS's
// framing of event streams.
func (s *Server) invokeStreaming(w http.ResponseWriter, r *http.Request) error {
	c, err := s.readCall(w, r, s.opt.Limits.Request, typeRequest)
	if err != nil {
		return err
	}
	defer c.close()
	switch r.Header.Get(headerType) {
	case "", typeRequest:
	case typeDryRun:
		w.WriteHeader(http.StatusNoContent)
		return nil
	default:
		return invalid("A streamed invocation is of the type RequestResponse or DryRun.")
	}
	slow := s.patience(w)
	defer slow.lift()
	out := &eventStream{w: slow, call: c}
	c.inv.Stream = out
	ctx, wantLog := r.Context(), r.Header.Get(headerLogType) == "Tail"
	if wantLog {
		ctx = node.WithTail(ctx)
	}
	res, err := s.perform(ctx, c)
	if err != nil {
		if out.started {
			_ = out.complete("Service", err.Error(), nil)
			return nil
		}
		return err
	}
	defer closeResult(res)
	payload, failure := render(c.inv.RequestID, res, s.timeoutOf(c.version))
	if out.started && failure == "" && res.Outcome == function.OutcomeOK && len(res.Payload) == 0 {
		payload = nil // it was streamed
	}
	out.Start("")
	details := ""
	if failure != "" {
		details = string(payload)
	} else if res.Body != nil {
		if _, err := io.Copy(out, res.Body.Reader()); err != nil {
			return nil // the caller is gone: nobody to tell
		}
	} else if len(payload) > 0 {
		if _, err := out.Write(payload); err != nil {
			return nil // the caller is gone: nobody to tell
		}
	}
	var log []byte
	if wantLog {
		log = tail(res.Log)
	}
	_ = out.complete(failure, details, log) // likewise
	return nil
}

// eventStream frames an answer as application/vnd.amazon.eventstream.
type eventStream struct {
	w       http.ResponseWriter
	call    *call
	started bool
}

// Start sends the head. Idempotent.
func (e *eventStream) Start(contentType string) {
	if e.started {
		return
	}
	e.started = true
	h := e.w.Header()
	h.Set("Content-Type", "application/vnd.amazon.eventstream")
	h.Set(headerExecuted, e.call.version.Version)
	if contentType != "" {
		h.Set("X-Amzn-Remapped-Content-Type", contentType)
	}
	e.w.WriteHeader(http.StatusOK)
}

// Write sends one PayloadChunk.
func (e *eventStream) Write(p []byte) (int, error) {
	e.Start("")
	if err := e.send("PayloadChunk", "application/octet-stream", p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// complete sends the InvokeComplete that ends the stream.
func (e *eventStream) complete(code, details string, log []byte) error {
	doc, err := json.Marshal(struct {
		ErrorCode    string `json:",omitempty"`
		ErrorDetails string `json:",omitempty"`
		LogResult    []byte `json:",omitempty"`
	}{code, details, log})
	if err != nil {
		return err
	}
	return e.send("InvokeComplete", "application/json", doc)
}

func (e *eventStream) send(event, contentType string, payload []byte) error {
	if _, err := e.w.Write(frame(event, contentType, payload)); err != nil {
		return err
	}
	return http.NewResponseController(e.w).Flush()
}

// frame is one message: lengths, their checksum, headers, payload, checksum of it all
// (https://smithy.io/2.0/aws/amazon-eventstream.html).
func frame(event, contentType string, payload []byte) []byte {
	var headers []byte
	for _, h := range [][2]string{{":event-type", event}, {":content-type", contentType}, {":message-type", "event"}} {
		headers = append(headers, byte(len(h[0])))
		headers = append(headers, h[0]...)
		headers = append(headers, 7) // a string
		headers = binary.BigEndian.AppendUint16(headers, uint16(len(h[1])))
		headers = append(headers, h[1]...)
	}
	total := 12 + len(headers) + len(payload) + 4
	b := make([]byte, 0, total)
	b = binary.BigEndian.AppendUint32(b, uint32(total))
	b = binary.BigEndian.AppendUint32(b, uint32(len(headers)))
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	b = append(append(b, headers...), payload...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

// httpIntegration is the content type of a streamed answer that begins with a head as JSON and
// eight zero bytes.
const httpIntegration = "application/vnd.awslambda.http-integration-response"

// urlStream sends a handler's streamed answer to the client of a function URL.
type urlStream struct {
	w       http.ResponseWriter
	started bool
	head    []byte // of an integration response, until it is complete
	inHead  bool
	zeros   int
}

// maxHead is the most bytes of an integration response's head.
const maxHead = 64 << 10

// Start takes the content type; the status is sent with the first byte of the body.
func (u *urlStream) Start(contentType string) {
	u.started = true
	if contentType == httpIntegration {
		u.inHead = true
		return
	}
	u.w.Header().Set("Content-Type", or(contentType, "application/octet-stream"))
	u.w.WriteHeader(http.StatusOK)
}

// Write sends a part of the body at once.
func (u *urlStream) Write(p []byte) (int, error) {
	n := len(p)
	for u.inHead && len(p) > 0 {
		c := p[0]
		p = p[1:]
		u.head = append(u.head, c)
		u.zeros++
		if c != 0 {
			u.zeros = 0
		}
		if u.zeros == 8 || len(u.head) > maxHead {
			u.sendHead(u.head[:len(u.head)-u.zeros])
		}
	}
	if u.inHead || len(p) == 0 {
		return n, nil
	}
	if _, err := u.w.Write(p); err != nil {
		return 0, err
	}
	return n, http.NewResponseController(u.w).Flush()
}

func (u *urlStream) sendHead(doc []byte) {
	u.inHead = false
	var head struct {
		StatusCode int               `json:"statusCode"`
		Headers    map[string]string `json:"headers"`
		Cookies    []string          `json:"cookies"`
	}
	if json.Unmarshal(doc, &head) != nil || head.StatusCode < 200 || head.StatusCode > 599 {
		u.w.WriteHeader(http.StatusBadGateway)
		return
	}
	h := u.w.Header()
	for k, v := range head.Headers {
		h.Set(k, v)
	}
	for _, c := range head.Cookies {
		h.Add("Set-Cookie", c)
	}
	u.w.WriteHeader(head.StatusCode)
}

// finish sends what is left when the function has ended.
func (u *urlStream) finish() {
	if u.inHead {
		u.sendHead(u.head)
	}
}
