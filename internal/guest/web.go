package guest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// Dial opens a connection to the web function's port inside its sandbox.
type Dial func(ctx context.Context) (net.Conn, error)

// Web reaches the port of one web function. It is an http.RoundTripper whose requests keep
// their own method, path, Host and headers; the address in the URL is not looked at.
type Web struct {
	dial      Dial
	transport *http.Transport
}

// NewWeb returns the adapter. connections is how many may be open at once, idle ones included.
func NewWeb(dial Dial, connections int) *Web {
	return &Web{dial: dial, transport: &http.Transport{
		DialContext:            func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableCompression:     true, // bodies pass as they are
		MaxConnsPerHost:        connections,
		MaxIdleConnsPerHost:    connections,
		MaxResponseHeaderBytes: 1 << 20,
		Protocols:              http1(),
	}}
}

func http1() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	return p
}

// RoundTrip sends one request into the sandbox.
func (w *Web) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.WithContext(r.Context()) // a copy: a RoundTripper must not change its request
	u := *r.URL
	if in.Host == "" {
		in.Host = u.Host
	}
	u.Scheme, u.Host = "http", "sandbox" // one pool of connections whatever the Host is
	in.URL = &u
	return w.transport.RoundTrip(in)
}

// Close drops the idle connections.
func (w *Web) Close() { w.transport.CloseIdleConnections() }

// Ready waits until the port takes connections and, with a path, until a GET of it answers with
// a status below 400. contact is called at the first connection.
func (w *Web) Ready(ctx context.Context, path string, contact func()) error {
	// A poll, because nothing tells when another process listens. A refused connection on
	// loopback costs some microseconds, so that the wait may begin short.
	wait := 500 * time.Microsecond
	connected := false
	for {
		c, err := w.dial(ctx)
		if err == nil {
			_ = c.Close()
			if !connected {
				connected = true
				contact()
			}
			if path == "" {
				return nil
			}
			if err = w.answers(ctx, path); err == nil {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the port: %w (%w)", ctx.Err(), err)
		case <-time.After(wait):
		}
		wait = min(wait*5/4, 10*time.Millisecond)
	}
}

func (w *Web) answers(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return fmt.Errorf("ready path: %w", err)
	}
	res, err := w.RoundTrip(req)
	if err != nil {
		return err
	}
	_, _ = io.CopyN(io.Discard, res.Body, 64<<10)
	_ = res.Body.Close()
	if res.StatusCode >= http.StatusBadRequest {
		return errors.New("ready path answered " + res.Status)
	}
	return nil
}
