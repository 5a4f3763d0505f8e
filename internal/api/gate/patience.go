package gate

import (
	"net/http"
	"sync/atomic"
	"time"
)

// Patient gives a client limit for each part of an answer that it has to take.
type Patient struct {
	http.ResponseWriter
	Conn  *http.ResponseController
	Limit time.Duration
	Due   atomic.Int64 // until when the client has to have sent what is being read, Unix ns; 0: nothing is
}

// Stalled reports whether the client did not send in its time. The context may end before the read does.
func (p *Patient) Stalled() bool {
	due := p.Due.Load()
	return due != 0 && time.Now().UnixNano() >= due
}

func (s *Gate) Patience(w http.ResponseWriter) *Patient {
	return &Patient{ResponseWriter: w, Conn: http.NewResponseController(w), Limit: s.Opt.ClientTime}
}

// Write sends a part of the answer.
func (p *Patient) Write(b []byte) (int, error) {
	_ = p.Conn.SetWriteDeadline(time.Now().Add(p.Limit)) // without a connection, as in tests, there is nothing to bound
	return p.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (p *Patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// Lift ends the limit, for the connection's next request.
func (p *Patient) Lift() { _ = p.Conn.SetWriteDeadline(time.Time{}) }
