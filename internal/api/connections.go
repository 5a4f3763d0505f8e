package api

import (
	"container/list"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// connections bounds the connections of clients, so that they leave descriptors and memory to what the server does. Who
// connects needs no credentials for that. Where there are too many of those that have sent nothing for a while, the one that
// has been silent for longest is closed; where there are too many in all, the one that has been idle for longest, and
// where all others are busy, the new one.
type connections struct {
	maxSilent, maxAll int
	grace             time.Duration

	mu     sync.Mutex
	known  map[net.Conn]*client
	silent list.List // of net.Conn: those that have sent nothing, the oldest first
	idle   list.List // those whose last request is answered, the longest idle first
}

// client is one connection: the list that it is in, if any, its place there, and since when it is known.
type client struct {
	in    *list.List
	at    *list.Element
	since time.Time
}

const (
	// connectionPart is the part of the server's descriptors that connections may take, and silentPart the part of
	// these that silent ones may. A worker takes some five descriptors of the server.
	connectionPart, silentPart = 4, 4
	// The bounds where there are very many descriptors: a connection takes some 20 KB of memory.
	mostConnections, mostSilent = 20_000, 1_000
	// grace is how long a connection may be silent however many there are: a burst of clients that has just connected.
	grace = time.Second
)

// newConnections bounds them by how many descriptors the server may have.
func newConnections() *connections {
	limit := unix.Rlimit{Cur: 1024}
	_ = unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	all := int(min(limit.Cur/connectionPart, mostConnections))
	return &connections{maxSilent: min(all/silentPart, mostSilent), maxAll: all, grace: grace, known: map[net.Conn]*client{}}
}

// changed is an http.Server's ConnState.
func (c *connections) changed(conn net.Conn, to http.ConnState) {
	if excess := c.note(conn, to); excess != nil {
		excess.Close()
	}
}

// note takes a change, and returns a connection that is one too many.
func (c *connections) note(conn net.Conn, to http.ConnState) (excess net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.known[conn]
	if k != nil && k.in != nil {
		k.in.Remove(k.at)
		k.in = nil
	}
	switch to {
	case http.StateNew:
		k = &client{in: &c.silent, at: c.silent.PushBack(conn), since: time.Now()}
		c.known[conn] = k
	case http.StateIdle:
		if k != nil {
			k.in, k.at = &c.idle, c.idle.PushBack(conn)
		}
	case http.StateHijacked, http.StateClosed:
		delete(c.known, conn)
	}
	if to != http.StateNew {
		return nil
	}
	if len(c.known) > c.maxAll && c.idle.Len() > 0 && c.silent.Len() <= c.maxSilent {
		return c.forget(&c.idle)
	}
	for c.silent.Len() > 0 {
		oldest := c.silent.Front().Value.(net.Conn)
		k := c.known[oldest]
		if len(c.known) <= c.maxAll && (c.silent.Len() <= c.maxSilent || time.Since(k.since) < c.grace) {
			return nil
		}
		if !sentSomething(oldest) {
			return c.forget(&c.silent)
		}
		c.silent.Remove(k.at) // what came and was not looked at yet is no silence
		k.in = nil
	}
	if len(c.known) > c.maxAll {
		delete(c.known, conn)
		return conn
	}
	return nil
}

// sentSomething reports whether there is something to be read.
func sentSomething(conn net.Conn) bool {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	s, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	err = raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCINQ) })
	return err == nil && n > 0
}

// forget takes the first of a list for closed: its end is told later, and changes nothing any more.
func (c *connections) forget(in *list.List) net.Conn {
	conn := in.Remove(in.Front()).(net.Conn)
	delete(c.known, conn)
	return conn
}
