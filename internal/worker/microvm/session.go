package microvm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/cloudjit/cloudjit/internal/worker/microvm/wire"
)

// session is the connection to the agent in one guest. Whatever comes over it is hostile: the guest may have been
// taken over by what runs in it.
type session struct {
	conn  net.Conn
	mux   *yamux.Session
	api   *listener
	ended sync.WaitGroup
}

// newSession begins a session. Neither the connection nor the listener, which gets what the guest opens, ends with it.
func newSession(conn net.Conn, api *listener) (*session, error) {
	return beginSession(conn, wire.NewLine(conn), api)
}

// nextSession is newSession on a connection over which another session went before, which mark ends. A guest that does not send it
// back within patience is lost. What is asked for in the session meanwhile is on its way already.
func nextSession(conn net.Conn, api *listener, mark []byte, patience time.Duration) (*session, error) {
	e := &entrance{Line: wire.NewLine(conn), mark: mark}
	if _, err := e.Write(mark); err != nil {
		return nil, fmt.Errorf("meet the guest: %w", err)
	}
	e.late = time.AfterFunc(patience, func() { _ = e.Close() })
	s, err := beginSession(conn, e, api)
	if err != nil {
		e.late.Stop()
	}
	return s, err
}

// entrance is a session's use of a connection, which begins after a mark.
type entrance struct {
	*wire.Line
	mark []byte // nil: it has begun
	late *time.Timer
}

func (e *entrance) Read(b []byte) (int, error) {
	if e.mark != nil {
		err := wire.Seek(e.Line, e.mark)
		if !e.late.Stop() || err != nil {
			return 0, errors.Join(errors.New("meet the guest: it did not answer"), err)
		}
		e.mark = nil
	}
	return e.Line.Read(b)
}

func beginSession(conn net.Conn, line io.ReadWriteCloser, api *listener) (*session, error) {
	mux, err := yamux.Client(line, wire.Config())
	if err != nil {
		return nil, fmt.Errorf("begin the session with the guest: %w", err)
	}
	s := &session{conn: conn, mux: mux, api: api}
	s.ended.Go(func() {
		for {
			st, err := mux.AcceptStream()
			if err != nil {
				return
			}
			select {
			case s.api.streams <- st:
			case <-s.api.closed:
				_ = st.Close()
			case <-mux.CloseChan():
				return
			}
		}
	})
	return s, nil
}

func (s *session) close() {
	_ = s.mux.Close()
	s.ended.Wait()
}

// suspend ends the session, so that the guest can be saved; the next one begins with mark. When it returns, the guest's agent
// reads nothing any more but that.
func (s *session) suspend(ctx context.Context, mark []byte) error {
	err := s.do(ctx, wire.Request{Op: wire.OpSuspend, Mark: mark})
	if !s.mux.IsClosed() {
		if err == nil {
			err = errors.New("the guest did not get ready to be saved")
		}
		return err
	}
	s.close()
	return s.conn.SetDeadline(time.Time{})
}

// newMark makes a mark between sessions.
func newMark() []byte {
	mark := random(wire.MarkSize)
	mark[0] = wire.MarkBegin
	return mark
}

// open begins a stream with a request. The stream ends with ctx.
func (s *session) open(ctx context.Context, r wire.Request) (*yamux.Stream, func() bool, error) {
	st, err := s.mux.OpenStream()
	if err != nil {
		return nil, nil, fmt.Errorf("talk to the guest: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = st.SetDeadline(time.Unix(1, 0)) })
	if err := wire.Write(st, r); err != nil {
		stop()
		_ = st.Close()
		return nil, nil, fmt.Errorf("talk to the guest: %w", err)
	}
	return st, stop, nil
}

// ask sends a request that has one answer.
func (s *session) ask(ctx context.Context, r wire.Request, answer any) error {
	st, stop, err := s.open(ctx, r)
	if err != nil {
		return err
	}
	defer st.Close()
	defer stop()
	if err := wire.Read(st, answer); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("hear of the guest: %w", err)
	}
	return nil
}

// do is ask where the answer is only whether it worked.
func (s *session) do(ctx context.Context, r wire.Request) error {
	var e wire.Event
	if err := s.ask(ctx, r, &e); err != nil {
		return err
	}
	if e.Error != "" {
		return fmt.Errorf("the guest refused: %s", e.Error)
	}
	return nil
}

// hello waits for the agent, and refuses one of another version.
func (s *session) hello(ctx context.Context) (wire.Hello, error) {
	var h wire.Hello
	if err := s.ask(ctx, wire.Request{Op: wire.OpHello}, &h); err != nil {
		return h, err
	}
	if h.Version != wire.Version {
		return h, fmt.Errorf("the guest's agent speaks version %d, and this cloudjit %d: cloudjit guest build", h.Version, wire.Version)
	}
	return h, nil
}

// dial opens a connection to the web function's port.
func (s *session) dial(ctx context.Context) (net.Conn, error) {
	st, stop, err := s.open(ctx, wire.Request{Op: wire.OpDial})
	if err != nil {
		return nil, err
	}
	var e wire.Event
	err = wire.Read(st, &e)
	if err == nil && e.Error != "" {
		err = errors.New(e.Error)
	}
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = st.Close()
		return nil, err
	}
	return st, nil
}

func newListener() *listener {
	return &listener{streams: make(chan net.Conn), closed: make(chan struct{})}
}

// listener hands out the streams that are connections to the Runtime API.
type listener struct {
	streams chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.streams:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) Addr() net.Addr { return &net.UnixAddr{Name: "guest", Net: "unix"} }

// output copies one of the two outputs to the host's pipe, which stays open.
type output struct {
	stream *yamux.Stream
	to     *os.File
	idle   chan chan struct{}
	done   chan struct{}
}

func copyOutput(st *yamux.Stream, to *os.File) *output {
	o := &output{stream: st, to: to, idle: make(chan chan struct{}, 1), done: make(chan struct{})}
	go o.run()
	return o
}

func (o *output) run() {
	defer close(o.done)
	buf := make([]byte, 16<<10)
	for {
		n, err := o.stream.Read(buf)
		if n > 0 {
			if _, werr := o.to.Write(buf[:n]); werr != nil {
				_ = o.stream.Close()
				return
			}
		}
		if errors.Is(err, yamux.ErrTimeout) {
			// Somebody wanted to know that nothing is left: see settle.
			_ = o.stream.SetReadDeadline(time.Time{})
			select {
			case reply := <-o.idle:
				close(reply)
			default:
			}
			continue
		}
		if err != nil {
			return
		}
	}
}

// settle waits until all that came before is copied: a read with a deadline that is over returns what is there, and only
// then fails. It waits a moment at most.
func (o *output) settle() {
	reply := make(chan struct{})
	select {
	case o.idle <- reply:
	default:
		return // somebody else waits already
	}
	_ = o.stream.SetReadDeadline(time.Unix(1, 0))
	t := time.NewTimer(20 * time.Millisecond)
	defer t.Stop()
	select {
	case <-reply:
	case <-o.done:
	case <-t.C:
	}
}
