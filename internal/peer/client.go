package peer

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/node"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// Client asks other nodes. Its methods may be called concurrently.
type Client struct {
	token     string
	scheme    string
	transport *http.Transport
}

// Target is a node: its name, for errors, and where it answers other nodes (host:port).
type Target struct{ Name, Address string }

const (
	// dialTime is how long a node may take to accept a connection: they are near each other.
	dialTime = 2 * time.Second
	// idleTime is how long a connection is kept without use; a server keeps it longer, so that it does not close one
	// in the moment when it is used.
	idleTime = 90 * time.Second
	// ServerIdleTime is that of a server.
	ServerIdleTime = 3 * time.Minute
	// keptConnections is how many idle connections to one node are kept.
	keptConnections = 256
)

// dialError is a connection that was never made: nothing was sent.
type dialError struct{ error }

func (e dialError) Unwrap() error { return e.error }

// Unreachable reports whether an ErrRefused is of a node that did not answer at all.
func Unreachable(err error) bool {
	var never dialError
	return errors.As(err, &never)
}

// NewClient makes a client with the cluster's key. With certificates (tls is not nil) both ends prove who they are.
func NewClient(key []byte, config *tls.Config) *Client {
	c := &Client{token: token(key), scheme: "http"}
	dialer := &net.Dialer{Timeout: dialTime, KeepAlive: 5 * time.Second}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, dialError{err}
		}
		return conn, nil
	}
	c.transport = &http.Transport{
		DialContext: dial, DisableCompression: true, MaxIdleConns: 0, MaxIdleConnsPerHost: keptConnections, IdleConnTimeout: idleTime,
		MaxResponseHeaderBytes: 256 << 10, WriteBufferSize: 8 << 10, ReadBufferSize: 8 << 10,
		Protocols: new(http.Protocols),
	}
	c.transport.Protocols.SetHTTP1(true)
	if config != nil {
		c.scheme = "https"
		c.transport.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			mine := config.Clone()
			if host, _, err := net.SplitHostPort(address); err == nil && mine.ServerName == "" {
				mine.ServerName = host
			}
			secure := tls.Client(conn, mine)
			hctx, cancel := context.WithTimeout(ctx, dialTime)
			defer cancel()
			if err := secure.HandshakeContext(hctx); err != nil {
				conn.Close()
				return nil, dialError{fmt.Errorf("prove who we are: %w", err)}
			}
			return secure, nil
		}
	}
	return c
}

// CloseIdle closes connections that are not in use.
func (c *Client) CloseIdle() { c.transport.CloseIdleConnections() }

// send sends a request to a node. The error is ErrRefused where nothing was sent, else a *node.LostError, or ctx's.
func (c *Client) send(ctx context.Context, to Target, path, head string, body io.Reader, length int64, again func() (io.ReadCloser, error), header http.Header) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.scheme+"://"+to.Address+path, body)
	if err != nil {
		return nil, fmt.Errorf("node %s: %w: %w", to.Name, ErrRefused, err)
	}
	if header != nil {
		r.Header = header
	}
	r.ContentLength, r.GetBody = length, again
	r.Header[headerKey] = []string{c.token}
	r.Header[headerAsk] = []string{head}
	if _, ok := r.Header["User-Agent"]; !ok {
		r.Header["User-Agent"] = nil // none is sent
	}
	return c.roundTrip(to, r)
}

func (c *Client) roundTrip(to Target, r *http.Request) (*http.Response, error) {
	res, err := c.transport.RoundTrip(r)
	if err == nil {
		return res, nil
	}
	var never dialError
	switch {
	case errors.As(err, &never):
		return nil, fmt.Errorf("node %s: %w: %w", to.Name, ErrRefused, err)
	}
	return nil, lost(r.Context(), to, err)
}

// lost is the error of what a node may have begun with.
func lost(ctx context.Context, to Target, err error) error {
	switch {
	case errors.Is(context.Cause(ctx), ErrGone):
		return &node.LostError{Node: to.Name, Err: ErrGone}
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return &node.LostError{Node: to.Name, Err: err}
}

// smallAnswer is the largest that is read into memory at once.
const smallAnswer = 4 << 10

// answerLimit is the most bytes of an answer (Lambda's 6 MB, and what a streamed one may have beyond).
const answerLimit = 32 << 20

// Invoke runs an invocation on another node. What the function did wrong is in the result; errors are as of
// node.Node.Invoke, and ErrRefused, or a *node.LostError. A context that ends with ErrGone means that the node
// is gone.
func (c *Client) Invoke(ctx context.Context, to Target, rev function.RevisionID, inv *worker.Invocation, tail bool) (*node.Result, error) {
	head := call{
		Revision: rev, RequestID: inv.RequestID, FunctionARN: inv.FunctionARN, TraceID: inv.TraceID, ClientContext: inv.ClientContext,
		Identity: inv.Identity, Tail: tail, Stream: inv.Stream != nil,
	}
	if !inv.Deadline.IsZero() {
		head.Left = max(int64(time.Until(inv.Deadline)), 1)
	}
	length := int64(len(inv.Payload))
	open := func() io.Reader { return bytes.NewReader(inv.Payload) }
	if inv.Body != nil {
		length, open = inv.Body.Size(), inv.Body.Reader
	}
	var body io.Reader = http.NoBody
	if length > 0 {
		body = open()
	}
	res, err := c.send(ctx, to, invokePath, encode(&head), body, length, func() (io.ReadCloser, error) { return io.NopCloser(open()), nil }, nil)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	r, err := parseReply(res.Header.Get(headerAnswer))
	if err != nil {
		return nil, &node.LostError{Node: to.Name, Err: fmt.Errorf("%w (status %d)", err, res.StatusCode)}
	}
	if r.Streaming {
		if inv.Stream == nil {
			return nil, &node.LostError{Node: to.Name, Err: errors.New("it sent a stream that was not asked for")}
		}
		return readStream(ctx, to, res.Body, r.ContentType, inv.Stream)
	}
	if err := r.err(to.Name); err != nil {
		return nil, err
	}
	out := r.result()
	if err := readAnswer(out, res, inv); err != nil {
		if errors.Is(err, worker.ErrNotKept) {
			return nil, err
		}
		return nil, lost(ctx, to, err)
	}
	return out, nil
}

// readAnswer reads the payload of an answer.
func readAnswer(out *node.Result, res *http.Response, inv *worker.Invocation) error {
	n := res.ContentLength
	switch {
	case n < 0 || n > answerLimit:
		return fmt.Errorf("an answer of %d bytes", n)
	case n == 0:
		return nil
	case n <= smallAnswer || inv.Keep == nil:
		out.Payload = make([]byte, n)
		_, err := io.ReadFull(res.Body, out.Payload)
		return err
	}
	b, err := inv.Keep(res.Body, n)
	if err != nil {
		return err
	}
	if b.Size() != n {
		b.Close()
		return io.ErrUnexpectedEOF
	}
	out.Body, out.Payload = b, nil
	return nil
}

// readStream hands a streamed answer on, part by part, and returns how it ended.
func readStream(ctx context.Context, to Target, body io.Reader, contentType string, out worker.StreamWriter) (*node.Result, error) {
	in := bufio.NewReader(body)
	out.Start(contentType)
	var failed error // of our own client: the stream is read to its end all the same, which says how it went
	part := make([]byte, 32<<10)
	for {
		var head [5]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return nil, lost(ctx, to, noEOF(err))
		}
		n := int64(binary.BigEndian.Uint32(head[1:]))
		if n > maxFrame {
			return nil, &node.LostError{Node: to.Name, Err: fmt.Errorf("it sent a part of %d bytes", n)}
		}
		switch head[0] {
		case frameData:
			for n > 0 {
				k, err := io.ReadFull(in, part[:min(n, int64(len(part)))])
				if err != nil {
					return nil, lost(ctx, to, noEOF(err))
				}
				if n -= int64(k); failed == nil {
					_, failed = out.Write(part[:k])
				}
			}
		case frameEnd:
			doc := make([]byte, n)
			if _, err := io.ReadFull(in, doc); err != nil {
				return nil, lost(ctx, to, noEOF(err))
			}
			r, err := parseReply(string(doc))
			if err != nil {
				return nil, &node.LostError{Node: to.Name, Err: err}
			}
			if err := r.err(to.Name); err != nil {
				return nil, err
			}
			return r.result(), nil
		default:
			return nil, &node.LostError{Node: to.Name, Err: fmt.Errorf("it sent a part of kind %d", head[0])}
		}
	}
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// RoundTrip sends a request to a web function on another node. Errors are as of node.Node.RoundTrip, and ErrRefused, or a
// *node.LostError. The request's body has been used up unless nothing was sent.
func (c *Client) RoundTrip(ctx context.Context, to Target, rev function.RevisionID, r *http.Request) (*http.Response, error) {
	out := r.Clone(ctx)
	strip(out.Header)
	head := call{Revision: rev, Method: r.Method, URL: r.URL.RequestURI()}
	out.Method = http.MethodPost // which is never sent a second time by itself
	out.URL.Scheme, out.URL.Host, out.URL.Path, out.URL.RawPath, out.URL.RawQuery = c.scheme, to.Address, webPath, "", ""
	out.Host = r.Host
	if out.Host == "" {
		out.Host = r.URL.Host
	}
	if r.ContentLength == 0 {
		out.Body = http.NoBody
	}
	out.Header[headerKey] = []string{c.token}
	out.Header[headerAsk] = []string{encode(&head)}
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header["User-Agent"] = nil
	}
	res, err := c.roundTrip(to, out)
	if err != nil {
		return nil, err
	}
	answer, err := parseReply(res.Header.Get(headerAnswer))
	if err != nil {
		res.Body.Close()
		return nil, &node.LostError{Node: to.Name, Err: fmt.Errorf("%w (status %d)", err, res.StatusCode)}
	}
	strip(res.Header)
	if answer.Web {
		res.Request = r
		if n, err := strconv.ParseInt(answer.Length, 10, 64); err == nil && n >= 0 && r.Method == http.MethodHead {
			res.Header.Set("Content-Length", answer.Length)
			res.ContentLength = n
			res.Body.Close()
			res.Body = http.NoBody
		}
		return res, nil
	}
	res.Body.Close()
	if err := answer.err(to.Name); err != nil {
		return nil, err
	}
	return nil, &node.FunctionError{Result: answer.result()}
}

// fileStall is how long a node may send nothing of a file.
const fileStall = 10 * time.Second

// File fetches a file of a node. What it is to be the caller knows: nothing of it is to be trusted until it was compared. A node
// that sends nothing for ten seconds is given up.
func (c *Client) File(ctx context.Context, to Target, kind, name string) (io.ReadCloser, error) {
	return c.file(ctx, to, kind, name, fileStall)
}

func (c *Client) file(ctx context.Context, to Target, kind, name string, stall time.Duration) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(stall, func() {
		cancel(fmt.Errorf("it sent nothing for %s", stall))
	})
	fail := func(err error) error {
		timer.Stop()
		if cause := context.Cause(ctx); ctx.Err() != nil && !errors.Is(cause, context.Canceled) {
			err = fmt.Errorf("node %s: %w", to.Name, cause)
		}
		cancel(nil)
		return err
	}
	res, err := c.send(ctx, to, filePath, kind+"/"+name, http.NoBody, 0, nil, nil)
	if err != nil {
		return nil, fail(err)
	}
	body, err := open(res, to)
	if err != nil {
		return nil, fail(err)
	}
	return &stalling{body, func() { timer.Reset(stall) }, fail}, nil
}

// stalling is a file whose sender must not pause for long.
type stalling struct {
	io.ReadCloser
	came func()
	fail func(err error) error
}

func (s *stalling) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	switch {
	case err == nil:
		s.came()
	case !errors.Is(err, io.EOF):
		err = s.fail(err)
	}
	return n, err
}

func (s *stalling) Close() error {
	err := s.ReadCloser.Close()
	_ = s.fail(nil)
	return err
}

// Ask gets what a node has to show: a resource of its API, without what other nodes have.
func (c *Client) Ask(ctx context.Context, to Target, path string) (io.ReadCloser, error) {
	res, err := c.send(ctx, to, askPath, path, http.NoBody, 0, nil, nil)
	if err != nil {
		return nil, err
	}
	return open(res, to)
}

// open is the body of an answer that is what was asked for.
func open(res *http.Response, to Target) (io.ReadCloser, error) {
	r, err := parseReply(res.Header.Get(headerAnswer))
	if err == nil {
		err = r.err(to.Name)
	}
	if err == nil && res.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10)) // what it says of it
		var doc struct{ Message string }
		_ = json.Unmarshal(b, &doc)
		err = fmt.Errorf("node %s: status %d: %s", to.Name, res.StatusCode, doc.Message)
	}
	if err != nil {
		res.Body.Close()
		return nil, err
	}
	return res.Body, nil
}

// parseFile reads what file is asked for: KIND/NAME, both of letters, digits, dots, hyphens and underscores, and a name of several
// such parts.
func parseFile(head string) (kind, name string, err error) {
	kind, name, ok := strings.Cut(head, "/")
	if !ok || kind == "" || name == "" || len(head) > 512 {
		return "", "", errors.New("no file is named")
	}
	for _, part := range append(strings.Split(name, "/"), kind) {
		if part == "" || part[0] == '.' {
			return "", "", errors.New("a name that leads elsewhere")
		}
		for _, b := range []byte(part) {
			if !(b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '.' || b == '-' || b == '_') {
				return "", "", errors.New("a name with other characters than letters, digits, dots, hyphens and underscores")
			}
		}
	}
	return kind, name, nil
}
