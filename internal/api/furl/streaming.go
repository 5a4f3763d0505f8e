package furl

import (
	"encoding/json"
	"net/http"

	"github.com/cloudjit/cloudjit/internal/api/gate"
)

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
	u.w.Header().Set("Content-Type", gate.Or(contentType, "application/octet-stream"))
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
