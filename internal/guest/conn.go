package guest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/cloudjit/cloudjit/internal/worker"
)

const (
	// maxConnections of one runtime at once; real clients have one or two.
	maxConnections = 64
	// maxHeader of one request: trailers carry error documents, nothing else is long.
	maxHeader = 64 << 10
	// maxLeft is how much of a body that nobody wanted is read to keep the connection.
	maxLeft = 256 << 10
	// oneWrite is the largest event that is copied behind its head, to leave in one write.
	oneWrite = 16 << 10
	// linger is how long a connection that ends with an error stays open for the peer to read it.
	linger = 500 * time.Millisecond
)

// Server serves one runtime on a listener.
//
// It is no http.Server, because of what an invocation costs: there, each request has a second
// goroutine that looks out for the end of the connection and is interrupted at the end of the
// request, an event goes from the invoking goroutine to the one of the connection before it is
// written, and an answer and the next request of a client that sends them together are
// acknowledged in two writes that wake it up twice.
type Server struct {
	*Runtime
	listener net.Listener
	free     chan struct{} // one element for each open connection
	stop     chan struct{} // closed by Shutdown: no more connections
	once     sync.Once
	done     chan struct{} // closed when nothing is accepted any more

	openMu sync.Mutex
	conns  map[*conn]struct{}
	open   sync.WaitGroup
}

// Serve starts serving the Runtime API on l, which it owns from now on, until Shutdown.
func Serve(l net.Listener, r *Runtime) *Server {
	s := &Server{
		Runtime: r, listener: l, free: make(chan struct{}, maxConnections),
		stop: make(chan struct{}), done: make(chan struct{}), conns: map[*conn]struct{}{},
	}
	go s.accept()
	return s
}

func (s *Server) accept() {
	defer close(s.done)
	for {
		select {
		case s.free <- struct{}{}:
		case <-s.stop:
			return
		}
		nc, err := s.listener.Accept()
		if err != nil {
			<-s.free
			if errors.Is(err, net.ErrClosed) {
				return
			}
			select { // out of descriptors, or the like
			case <-time.After(10 * time.Millisecond):
				continue
			case <-s.stop:
				return
			}
		}
		c := newConn(s.Runtime, nc)
		s.openMu.Lock()
		s.conns[c] = struct{}{}
		s.openMu.Unlock()
		s.open.Go(func() {
			c.run()
			s.openMu.Lock()
			delete(s.conns, c)
			s.openMu.Unlock()
			<-s.free
		})
	}
}

// Shutdown ends the server of a runtime that has ended: what it sent before is still taken, until
// ctx ends. It returns when nothing is left. Idempotent.
func (s *Server) Shutdown(ctx context.Context) {
	s.once.Do(func() { close(s.stop) })
	_ = s.listener.Close()
	<-s.done
	gone := make(chan struct{})
	go func() {
		s.open.Wait()
		close(gone)
	}()
	select {
	case <-gone:
	case <-ctx.Done():
	}
	s.Close()
	s.openMu.Lock()
	for c := range s.conns {
		_ = c.net.Close()
	}
	s.openMu.Unlock()
	<-gone
}

// conn is one connection of a runtime. Its goroutine reads and answers the requests one after
// the other. Between a request for the next invocation and its answer the right to write, and
// pending with it, belongs to whoever takes the connection out of Runtime.waiter; that one calls
// answered in the end.
type conn struct {
	runtime *Runtime
	net     net.Conn
	left    int64 // what may still be read: bounds heads
	br      *bufio.Reader
	pending []byte        // answers that have not been written yet
	closing bool          // no request after this one
	usual   []byte        // the head of the first request for an invocation, which others are compared with
	waiting bool          // this connection's next has not been answered; its goroutine's
	woken   chan struct{} // one element: it has been
}

func newConn(r *Runtime, nc net.Conn) *conn {
	c := &conn{runtime: r, net: nc, woken: make(chan struct{}, 1)}
	c.br = bufio.NewReader(c)
	return c
}

var errHead = errors.New("head of the request is too long")

// Read is the connection's for its buffer.
func (c *conn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errHead
	}
	n, err := c.net.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

func (c *conn) run() {
	defer c.net.Close()
	for {
		c.left = maxHeader
		if c.waiting && !c.await() {
			return
		}
		if !c.pipelined() && c.flush() != nil || c.closing {
			return
		}
		_, _ = c.br.Peek(1) // an error comes again
		next := c.nextHead()
		if next != nil && bytes.Equal(next, c.usual) {
			_, _ = c.br.Discard(len(next))
			c.serveNext()
			continue
		}
		next = bytes.Clone(next)
		r, err := http.ReadRequest(c.br)
		if err != nil {
			c.malformed(err)
			return
		}
		c.left = math.MaxInt64
		c.runtime.seen()
		c.closing = r.Close || !r.ProtoAtLeast(1, 1) || r.Method == http.MethodHead
		if r.Header.Get("Expect") != "" && r.ContentLength != 0 {
			c.pending = append(c.pending, "HTTP/1.1 100 Continue\r\n\r\n"...)
			if c.flush() != nil {
				return
			}
		}
		if r.Method == http.MethodGet && !read(r) {
			return
		}
		if next != nil && r.Body == http.NoBody && !c.closing {
			c.usual = next
		}
		c.serve(r)
		if !c.waiting && !read(r) {
			c.hangUp()
			return
		}
	}
}

// await waits until the request for the next invocation has been answered and the runtime has
// sent more. False: the connection has ended.
func (c *conn) await() bool {
	_, err := c.br.Peek(1)
	if err != nil {
		if c.runtime.leave(c) {
			return false
		}
		_ = c.net.Close() // ends a write that is under way
	}
	<-c.woken
	c.waiting = false
	return err == nil
}

// answered gives the connection back to its goroutine.
func (c *conn) answered() {
	if c.closing {
		_ = c.net.Close()
	}
	c.woken <- struct{}{}
}

// nextRequest is how the request for the next invocation begins.
var nextRequest = []byte("GET " + prefix + "invocation/next ")

// nextHead is the whole head of a request for the next invocation, if one is in the buffer.
func (c *conn) nextHead() []byte {
	if c.br.Buffered() < len(nextRequest) {
		return nil
	}
	b, _ := c.br.Peek(c.br.Buffered())
	if !bytes.HasPrefix(b, nextRequest) {
		return nil
	}
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		return nil
	}
	return b[:end+4]
}

// pipelined says that the runtime has asked for the next invocation already: the answers to both
// requests will leave together, and wake it up once.
func (c *conn) pipelined() bool { return len(c.pending) > 0 && !c.closing && c.nextHead() != nil }

func (c *conn) flush() error {
	if len(c.pending) == 0 {
		return nil
	}
	_, err := c.net.Write(c.pending)
	c.pending = c.pending[:0]
	return err
}

// read takes what is left of a body; false: too much, or it broke.
func read(r *http.Request) bool {
	if r.Body == http.NoBody {
		return true
	}
	var one [1]byte
	if _, err := r.Body.Read(one[:]); err != nil {
		return err == io.EOF
	}
	_, err := io.CopyN(io.Discard, r.Body, maxLeft)
	return err == io.EOF
}

// malformed answers what is no request.
func (c *conn) malformed(err error) {
	switch {
	case errors.Is(err, errHead):
		c.refuseAs(http.StatusRequestHeaderFieldsTooLarge, "HeaderTooLong", err.Error())
	case err == io.EOF, errors.Is(err, net.ErrClosed):
		return
	default:
		var broken net.Error
		if errors.As(err, &broken) || errors.Is(err, io.ErrUnexpectedEOF) {
			return
		}
		c.refuseAs(http.StatusBadRequest, "BadRequest", "That is no HTTP request.")
	}
	c.hangUp()
}

// hangUp ends a connection whose peer may still be sending: closing it at once would
// destroy the answer on its way.
func (c *conn) hangUp() {
	if c.flush() != nil {
		return
	}
	if half, ok := c.net.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_ = c.net.SetReadDeadline(time.Now().Add(linger))
		_, _ = io.CopyN(io.Discard, c.net, maxLeft)
	}
}

// answer appends one answer with a JSON document to pending.
func (c *conn) answer(status int, body []byte) {
	c.head(status, len(body))
	c.pending = append(append(c.pending, "\r\n"...), body...)
}

// head appends a status line and the headers that all answers have.
func (c *conn) head(status, length int) {
	b := append(c.pending, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(append(b, ' '), http.StatusText(status)...)
	b = append(b, "\r\nContent-Type: application/json\r\nContent-Length: "...)
	b = append(strconv.AppendInt(b, int64(length), 10), "\r\n"...)
	if c.closing {
		b = append(b, "Connection: close\r\n"...)
	}
	c.pending = b
}

// give writes an invocation, with what was pending before it, in one write if it is not large.
func (c *conn) give(inv *worker.Invocation) error {
	size := len(inv.Payload)
	if inv.Body != nil {
		size = int(inv.Body.Size())
	}
	c.head(http.StatusOK, size)
	b := header(c.pending, headerRequestID, inv.RequestID)
	b = append(append(b, headerDeadline...), ": "...)
	b = append(strconv.AppendInt(b, inv.Deadline.UnixMilli(), 10), "\r\n"...)
	b = header(b, headerARN, inv.FunctionARN)
	b = header(b, headerTrace, inv.TraceID)
	b = header(b, headerClient, inv.ClientContext)
	b = header(b, headerIdentity, inv.Identity)
	b = append(b, "\r\n"...)
	large := inv.Body != nil || size > oneWrite
	if !large {
		b = append(b, inv.Payload...)
	}
	c.pending = b
	if err := c.flush(); err != nil || !large {
		return err
	}
	if inv.Body == nil {
		_, err := c.net.Write(inv.Payload)
		return err
	}
	if n, err := io.Copy(c.net, inv.Body.Reader()); err != nil || n != int64(size) {
		return errors.Join(err, c.net.Close()) // the runtime must not take what it got for all
	}
	return nil
}

// header appends one line, whose value validate has looked at; none without a value.
func header(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	b = append(append(b, name...), ": "...)
	return append(append(b, value...), "\r\n"...)
}
