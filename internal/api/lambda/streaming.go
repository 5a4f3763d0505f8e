package lambda

import (
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"io"
	"net/http"

	"github.com/cloudjit/cloudjit/internal/api/calls"
	"github.com/cloudjit/cloudjit/internal/api/gate"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/node"
)

// invokeStreaming is InvokeWithResponseStream: the answer comes as it is made, in AWS's
// framing of event streams.
func (s *API) invokeStreaming(w http.ResponseWriter, r *http.Request) error {
	c, err := s.readCall(w, r, s.Opt.Limits.Request, gate.TypeRequest)
	if err != nil {
		return err
	}
	defer c.Close()
	switch r.Header.Get(gate.HeaderType) {
	case "", gate.TypeRequest:
	case gate.TypeDryRun:
		w.WriteHeader(http.StatusNoContent)
		return nil
	default:
		return gate.Invalid("A streamed invocation is of the type RequestResponse or DryRun.")
	}
	slow := s.Patience(w)
	defer slow.Lift()
	out := &eventStream{w: slow, call: c}
	c.Invocation.Stream = out
	ctx, wantLog := r.Context(), r.Header.Get(gate.HeaderLogType) == "Tail"
	if wantLog {
		ctx = node.WithTail(ctx)
	}
	res, err := s.Perform(ctx, c)
	if err != nil {
		if out.started {
			_ = out.complete("Service", err.Error(), nil)
			return nil
		}
		return err
	}
	defer gate.CloseResult(res)
	payload, failure := calls.Render(c.Invocation.RequestID, res, s.TimeoutOf(c.Version))
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
	call    *calls.Call
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
	h.Set(gate.HeaderExecuted, e.call.Version.Version)
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
