package guest

import (
	"io"
	"log"
	"net"
	"sync"
)

// quiet takes what net/http says of broken requests: a hostile guest must not fill the log.
var quiet = log.New(io.Discard, "", 0)

// bounded is a listener that has at most cap(free) connections open.
type bounded struct {
	net.Listener
	free   chan struct{} // one element for each open connection
	open   sync.WaitGroup
	closed chan struct{}
	once   sync.Once
}

func newBounded(l net.Listener, limit int) *bounded {
	return &bounded{Listener: l, free: make(chan struct{}, limit), closed: make(chan struct{})}
}

func (b *bounded) Accept() (net.Conn, error) {
	select {
	case b.free <- struct{}{}:
	case <-b.closed:
		return nil, net.ErrClosed
	}
	c, err := b.Listener.Accept()
	if err != nil {
		<-b.free
		return nil, err
	}
	b.open.Add(1)
	return &boundedConn{Conn: c, release: func() { <-b.free; b.open.Done() }}, nil
}

func (b *bounded) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.Listener.Close()
}

type boundedConn struct {
	net.Conn
	once    sync.Once
	release func()
}

func (c *boundedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.release)
	return err
}
