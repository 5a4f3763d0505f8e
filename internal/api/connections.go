package api

import (
	"container/list"
	"net"
	"net/http"
	"sync"

	"golang.org/x/sys/unix"
)

// connections bounds the connections of clients, so that they leave descriptors and memory to what the server does. Who
// connects needs no credentials for that. Where there are too many of those that have sent nothing, the one that
// has been silent for longest is closed; where there are too many in all, the one that has been idle for longest, and
// where all others are busy, the new one.
type connections struct {
	maxSilent, maxAll int

	mu     sync.Mutex
	known  map[net.Conn]*client
	silent list.List // of net.Conn: those that have sent nothing, the oldest first
	idle   list.List // those whose last request is answered, the longest idle first
}

// client is one connection: the list that it is in, if any, and its place there.
type client struct {
	in *list.List
	at *list.Element
}

const (
	// connectionPart is the part of the server's descriptors that connections may take, and silentPart the part of
	// these that silent ones may. A worker takes some five descriptors of the server.
	connectionPart, silentPart = 4, 4
	// The bounds where there are very many descriptors: a connection takes some 20 KB of memory.
	mostConnections, mostSilent = 20_000, 1_000
)

// newConnections bounds them by how many descriptors the server may have.
func newConnections() *connections {
	limit := unix.Rlimit{Cur: 1024}
	_ = unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	all := int(min(limit.Cur/connectionPart, mostConnections))
	return &connections{maxSilent: min(all/silentPart, mostSilent), maxAll: all, known: map[net.Conn]*client{}}
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
		k = &client{in: &c.silent, at: c.silent.PushBack(conn)}
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
	switch {
	case c.silent.Len() > c.maxSilent:
		return c.forget(&c.silent)
	case len(c.known) > c.maxAll && c.idle.Len() > 0:
		return c.forget(&c.idle)
	case len(c.known) > c.maxAll:
		return c.forget(&c.silent)
	}
	return nil
}

// forget takes the first of a list for closed: its end is told later, and changes nothing any more.
func (c *connections) forget(in *list.List) net.Conn {
	conn := in.Remove(in.Front()).(net.Conn)
	delete(c.known, conn)
	return conn
}
