package api

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"
)

// bounded serves with small bounds, and returns how to connect and how to wait until so many are idle. Requests for /wait are answered when the test ends.
func bounded(t *testing.T, silent, all int, grace time.Duration) (connect func() net.Conn, idle func(int)) {
	t.Helper()
	end := make(chan struct{})
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			<-end
		}
	}))
	c := newConnections()
	c.maxSilent, c.maxAll, c.grace = silent, all, grace
	s.Config.ConnState = c.changed
	s.Start()
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(end) })
	connect = func() net.Conn {
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	// A connection is idle only after its answer has been sent.
	idle = func(n int) {
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			c.mu.Lock()
			now := c.idle.Len()
			c.mu.Unlock()
			if now == n {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%d connections are idle, want %d", now, n)
			}
		}
	}
	return connect, idle
}

// ask sends a request on a connection, and returns when the head of the answer is there.
func ask(t *testing.T, conn net.Conn, path string) {
	t.Helper()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// closed reports whether the server closes a connection soon.
func closed(t *testing.T, conn net.Conn, within time.Duration) bool {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(within))
	_, err := conn.Read(make([]byte, 1))
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

func TestSilentConnectionsAreBounded(t *testing.T) {
	connect, _ := bounded(t, 3, 100, 0)
	spoke := connect()
	ask(t, spoke, "/")
	var silent []net.Conn
	for range 10 {
		conn := connect()
		silent = append(silent, conn)
	}
	for i, conn := range silent[:7] {
		if !closed(t, conn, 10*time.Second) {
			t.Errorf("connection %d of 10 silent ones is open, and 3 may be", i)
		}
	}
	for i, conn := range silent[7:] {
		if closed(t, conn, 50*time.Millisecond) {
			t.Errorf("connection %d, one of the last 3, was closed", 7+i)
		}
	}
	ask(t, spoke, "/")     // one that has sent something is no silent one
	ask(t, silent[9], "/") // and the last ones work
}

func TestConnectionsAreBoundedInAll(t *testing.T) {
	connect, idle := bounded(t, 100, 5, 0)
	busy, first, second := connect(), connect(), connect()
	ask(t, busy, "/wait")
	ask(t, first, "/")
	ask(t, second, "/")
	idle(2)
	ask(t, first, "/") // so the second is idle for longer
	idle(2)
	for range 3 {
		ask(t, connect(), "/wait")
	}
	if !closed(t, second, 10*time.Second) {
		t.Error("the connection that was idle for longest is open")
	}
	ask(t, first, "/wait")
	if !closed(t, connect(), 10*time.Second) {
		t.Error("a connection beyond the bound is open where all others are busy")
	}
	if closed(t, busy, 50*time.Millisecond) {
		t.Error("a busy connection was closed")
	}
}

// TestBurstsOfConnections: who has just connected is not sent away for others that have, too.
func TestBurstsOfConnections(t *testing.T) {
	connect, _ := bounded(t, 3, 1000, time.Minute)
	var burst []net.Conn
	for range 50 {
		burst = append(burst, connect())
	}
	for _, conn := range burst {
		ask(t, conn, "/")
	}
}
