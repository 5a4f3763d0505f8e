package peer_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/node"
	"github.com/cloudjit/cloudjit/internal/peer"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// platform is another node's: what it does is up to the test.
type platform struct {
	invoke func(ctx context.Context, inv *worker.Invocation) (*node.Result, error)
	web    http.RoundTripper
}

func (p platform) Invoke(ctx context.Context, _ function.RevisionID, inv *worker.Invocation) (*node.Result, error) {
	return p.invoke(ctx, inv)
}

func (p platform) RoundTrip(_ function.RevisionID, r *http.Request) (*http.Response, error) {
	return p.web.RoundTrip(r)
}

// memory is a body for tests.
type memory struct{ b []byte }

func (m memory) Size() int64            { return int64(len(m.b)) }
func (m memory) Reader() io.Reader      { return bytes.NewReader(m.b) }
func (m memory) Bytes() ([]byte, error) { return m.b, nil }
func (m memory) Close() error           { return nil }

func keep(r io.Reader, limit int64) (worker.Body, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = worker.ErrTooLarge
	}
	return memory{b}, err
}

var key = []byte("a secret of the cluster")

func serve(t testing.TB, p peer.Platform, change ...func(*peer.ServerOptions)) (*peer.Client, peer.Target, *httptest.Server) {
	t.Helper()
	opt := peer.ServerOptions{Key: key, Platform: p, Keep: keep, EventLimit: 7 << 20}
	for _, f := range change {
		f(&opt)
	}
	s := httptest.NewServer(peer.NewServer(opt))
	t.Cleanup(s.Close)
	c := peer.NewClient(key, nil)
	t.Cleanup(c.CloseIdle)
	return c, peer.Target{Name: "other", Address: s.Listener.Addr().String()}, s
}

func payloadOf(t testing.TB, inv *worker.Invocation) []byte {
	t.Helper()
	b, err := inv.Event()
	if err != nil {
		t.Error(err)
	}
	return b
}

// TestInvoke: what goes in comes out on the other side, small or large.
func TestInvoke(t *testing.T) {
	var got worker.Invocation
	c, to, _ := serve(t, platform{invoke: func(ctx context.Context, inv *worker.Invocation) (*node.Result, error) {
		got = *inv
		res := &node.Result{Outcome: function.OutcomeOK, Payload: payloadOf(t, inv), Rung: "native", Cold: true, Duration: 3 * time.Second, Init: time.Second}
		if node.WantsTail(ctx) {
			res.Log = []byte("a line\n\x00")
		}
		return res, nil
	}})
	for _, size := range []int{0, 2, 5000, 6 << 20} {
		in := &worker.Invocation{
			RequestID: "r-1", FunctionARN: "arn:x", TraceID: "Root=1", ClientContext: `{"a":"ü"}`, Payload: bytes.Repeat([]byte("x"), size),
			Deadline: time.Now().Add(time.Minute), Keep: keep,
		}
		res, err := c.Invoke(context.Background(), to, "rev", in, true)
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		answer := res.Payload
		if res.Body != nil {
			answer, _ = res.Body.Bytes()
		}
		if !bytes.Equal(answer, in.Payload) || res.Rung != "native" || !res.Cold || res.Duration != 3*time.Second || res.Init != time.Second || string(res.Log) != "a line\n\x00" {
			t.Errorf("%d bytes: got %d bytes and %+v", size, len(answer), res)
		}
		if got.RequestID != in.RequestID || got.ClientContext != in.ClientContext || got.TraceID != in.TraceID || got.FunctionARN != in.FunctionARN {
			t.Errorf("the other node got %+v", got)
		}
		if left := time.Until(got.Deadline); left > time.Minute || left < 30*time.Second {
			t.Errorf("the other node has %v left: want a minute", left)
		}
	}
	in := &worker.Invocation{Payload: make([]byte, 8<<20)}
	if _, err := c.Invoke(context.Background(), to, "rev", in, false); !errors.Is(err, peer.ErrRefused) {
		t.Errorf("an event over the limit: %v", err)
	}
}

// TestFailuresOfFunctions arrive whole.
func TestFailuresOfFunctions(t *testing.T) {
	for _, want := range []node.Result{
		{Outcome: function.OutcomeHandlerError, ErrorType: "Handled", Payload: []byte(`{"errorMessage":"no"}`)},
		{Outcome: function.OutcomeTimeout},
		{Outcome: function.OutcomeCrashed, Exit: &worker.Exit{Code: 3, Stderr: "boom"}},
		{Outcome: function.OutcomeInitError, StartError: "not ready"},
	} {
		c, to, _ := serve(t, platform{invoke: func(context.Context, *worker.Invocation) (*node.Result, error) { r := want; return &r, nil }})
		got, err := c.Invoke(context.Background(), to, "rev", &worker.Invocation{}, false)
		if err != nil {
			t.Fatal(err)
		}
		if got.Outcome != want.Outcome || got.ErrorType != want.ErrorType || !bytes.Equal(got.Payload, want.Payload) || got.StartError != want.StartError ||
			(got.Exit == nil) != (want.Exit == nil) || got.Exit != nil && *got.Exit != *want.Exit {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

// TestRefusals: only what certainly never began may run elsewhere.
func TestRefusals(t *testing.T) {
	limit := func(r engine.Reason) error { return &node.RejectError{Reason: r} }
	for _, x := range []struct {
		err       error
		elsewhere bool
		is        func(error) bool
	}{
		{fmt.Errorf("x: %w", node.ErrNotFound), true, nil},
		{node.ErrDraining, true, nil},
		{limit(engine.ReasonNodeThrottled), true, nil},
		{limit(engine.ReasonThrottled), false, func(err error) bool {
			var r *node.RejectError
			return errors.As(err, &r) && r.Reason == engine.ReasonThrottled
		}},
		{node.ErrStopped, false, func(err error) bool { var l *node.LostError; return errors.As(err, &l) && l.Node == "other" }},
		{errors.New("no sandbox"), false, func(err error) bool { return strings.Contains(err.Error(), "no sandbox") }},
	} {
		c, to, _ := serve(t, platform{invoke: func(context.Context, *worker.Invocation) (*node.Result, error) { return nil, x.err }})
		_, err := c.Invoke(context.Background(), to, "rev", &worker.Invocation{}, false)
		if errors.Is(err, peer.ErrRefused) != x.elsewhere || x.is != nil && !x.is(err) {
			t.Errorf("%v became %v", x.err, err)
		}
	}
	c, to, s := serve(t, platform{})
	s.Close()
	if _, err := c.Invoke(context.Background(), to, "rev", &worker.Invocation{}, false); !errors.Is(err, peer.ErrRefused) || !peer.Unreachable(err) {
		t.Errorf("a node that is not there: %v", err)
	}
	c, to, _ = serve(t, platform{}, func(o *peer.ServerOptions) { o.Draining = func() bool { return true } })
	if _, err := c.Invoke(context.Background(), to, "rev", &worker.Invocation{}, false); !errors.Is(err, peer.ErrRefused) || peer.Unreachable(err) {
		t.Errorf("a node that drains: %v", err)
	}
	wrong := peer.NewClient([]byte("another key"), nil)
	var lost *node.LostError
	if _, err := wrong.Invoke(context.Background(), to, "rev", &worker.Invocation{}, false); err == nil || !errors.As(err, &lost) {
		t.Errorf("without the key: %v", err)
	}
}

// TestNodeGoesAway: an invocation whose node dies fails at once, and never runs a second time by itself.
func TestNodeGoesAway(t *testing.T) {
	began := make(chan struct{}, 10)
	c, to, s := serve(t, platform{invoke: func(ctx context.Context, _ *worker.Invocation) (*node.Result, error) {
		began <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	go func() { <-began; s.CloseClientConnections() }()
	var lost *node.LostError
	if _, err := c.Invoke(context.Background(), to, "rev", &worker.Invocation{Payload: []byte("{}")}, false); !errors.As(err, &lost) || lost.Node != "other" {
		t.Errorf("the connection broke: %v", err)
	}
	// Cut off without a word: others do not hear of it any more.
	ctx, gone := context.WithCancelCause(context.Background())
	go func() { <-began; gone(peer.ErrGone) }()
	if _, err := c.Invoke(ctx, to, "rev", &worker.Invocation{Payload: []byte("{}")}, false); !errors.As(err, &lost) {
		t.Errorf("cut off: %v", err)
	}
	// The client went away: the other node hears of it.
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-began; cancel() }()
	if _, err := c.Invoke(ctx, to, "rev", &worker.Invocation{Payload: []byte("{}")}, false); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	if len(began) > 0 {
		t.Error("something ran a second time")
	}
}

// parts takes a stream.
type parts struct {
	contentType string
	got         []string
	seen        chan string
}

func (p *parts) Start(contentType string) { p.contentType = contentType }
func (p *parts) Write(b []byte) (int, error) {
	p.got = append(p.got, string(b))
	p.seen <- string(b)
	return len(b), nil
}

// TestStream: each part arrives before the next is made.
func TestStream(t *testing.T) {
	next := make(chan struct{})
	c, to, _ := serve(t, platform{invoke: func(_ context.Context, inv *worker.Invocation) (*node.Result, error) {
		inv.Stream.Start("text/x")
		for _, part := range []string{"one", "two"} {
			if _, err := inv.Stream.Write([]byte(part)); err != nil {
				return nil, err
			}
			<-next
		}
		return &node.Result{Outcome: function.OutcomeHandlerError, Payload: []byte(`"late"`)}, nil
	}})
	p := &parts{seen: make(chan string)}
	go func() {
		for range 2 {
			<-p.seen
			next <- struct{}{}
		}
	}()
	res, err := c.Invoke(context.Background(), to, "rev", &worker.Invocation{Stream: p}, false)
	if err != nil || res.Outcome != function.OutcomeHandlerError || string(res.Payload) != `"late"` || p.contentType != "text/x" || strings.Join(p.got, "") != "onetwo" {
		t.Errorf("got %q of %s, %+v, %v", p.got, p.contentType, res, err)
	}
}

// TestWeb: method, address, headers, body, status and upgrade pass; what only nodes may say does not.
func TestWeb(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
			rw.Flush()
			line, _ := rw.ReadString('\n')
			fmt.Fprint(rw, "echo "+line)
			rw.Flush()
			return
		}
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Cloudjit-Peer-Answer", `{"refused":true}`)
		w.Header().Set("Content-Length", fmt.Sprint(len(b)+3))
		w.Header().Set("X-Saw", fmt.Sprintf("%s %s %s %q %q", r.Method, r.RequestURI, r.Host, r.Header.Get("X-Mine"), r.Header.Get("X-Cloudjit-Peer-Key")))
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, "ok "+string(b))
	}))
	t.Cleanup(app.Close)
	c, to, _ := serve(t, platform{web: roundTripper(func(r *http.Request) (*http.Response, error) {
		r.URL.Host = app.Listener.Addr().String()
		return http.DefaultTransport.RoundTrip(r)
	})})
	for _, method := range []string{"GET", "POST", "HEAD", "DELETE"} {
		body := ""
		if method == "POST" {
			body = strings.Repeat("b", 2<<20)
		}
		r := httptest.NewRequest(method, "http://shop.example/a%2Fb?x=1", strings.NewReader(body))
		r.Header.Set("X-Mine", "1")
		r.Header.Set("X-Cloudjit-Peer-Key", "forged")
		res, err := c.RoundTrip(context.Background(), to, "rev", r)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		want := method + ` /a%2Fb?x=1 shop.example "1" ""`
		if err != nil || res.StatusCode != http.StatusTeapot || res.Header.Get("X-Saw") != want || res.Header.Get("X-Cloudjit-Peer-Answer") != "" {
			t.Errorf("%s: status %d, saw %q, want %q, %v", method, res.StatusCode, res.Header.Get("X-Saw"), want, err)
		}
		if method == "HEAD" && (len(b) > 0 || res.ContentLength != 3) || method != "HEAD" && string(b) != "ok "+body {
			t.Errorf("%s: %d bytes, length %d", method, len(b), res.ContentLength)
		}
	}
	r := httptest.NewRequest("GET", "http://shop.example/ws", nil)
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "echo")
	res, err := c.RoundTrip(context.Background(), to, "rev", r)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("upgrade: %v %v", res, err)
	}
	conn := res.Body.(io.ReadWriteCloser)
	defer conn.Close()
	fmt.Fprint(conn, "hello\n")
	if line, err := bufio.NewReader(conn).ReadString('\n'); line != "echo hello\n" {
		t.Errorf("upgraded connection: %q, %v", line, err)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestWebFailures are told apart from what the application says.
func TestWebFailures(t *testing.T) {
	c, to, _ := serve(t, platform{web: roundTripper(func(*http.Request) (*http.Response, error) {
		return nil, &node.FunctionError{Result: &node.Result{Outcome: function.OutcomeTimeout}}
	})})
	var failed *node.FunctionError
	if _, err := c.RoundTrip(context.Background(), to, "rev", httptest.NewRequest("GET", "http://x/", nil)); !errors.As(err, &failed) || failed.Result.Outcome != function.OutcomeTimeout {
		t.Errorf("a timeout became %v", err)
	}
}

// TestFiles: a file that breaks off is not taken for a whole one, and no name leads out of its place.
func TestFiles(t *testing.T) {
	c, to, _ := serve(t, platform{}, func(o *peer.ServerOptions) {
		o.Open = func(kind, name string) (io.ReadCloser, int64, error) {
			if kind != "code" {
				return nil, 0, errors.New("no such kind")
			}
			return io.NopCloser(strings.NewReader("content of " + name)), int64(len("content of a/b")), nil
		}
	})
	read := func(kind, name string) (string, error) {
		f, err := c.File(context.Background(), to, kind, name)
		if err != nil {
			return "", err
		}
		defer f.Close()
		b, err := io.ReadAll(f)
		return string(b), err
	}
	if got, err := read("code", "a/b"); got != "content of a/b" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := read("code", "x"); err == nil {
		t.Error("a file that was too short was taken")
	}
	for _, name := range []string{"../x", "a/../b", "", "/etc/passwd", ".hidden", "a b"} {
		if _, err := read("code", name); !errors.Is(err, peer.ErrRefused) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// BenchmarkHop is what another node adds to an invocation of 1 KB that takes no time.
func BenchmarkHop(b *testing.B) {
	c, to, _ := serve(b, platform{invoke: func(_ context.Context, inv *worker.Invocation) (*node.Result, error) {
		return &node.Result{Outcome: function.OutcomeOK, Payload: inv.Payload}, nil
	}})
	inv := &worker.Invocation{RequestID: "r", FunctionARN: "arn", TraceID: "Root=1", Payload: bytes.Repeat([]byte("x"), 1024)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Invoke(context.Background(), to, "rev", inv, false); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzServer: whatever comes with the key is answered, and nothing breaks.
func FuzzServer(f *testing.F) {
	f.Add("/peer/v1/invoke", `{"revision":"r","left":1,"tail":true,"stream":true}`, "{}")
	f.Add("/peer/v1/web", `{"revision":"r","method":"GET","url":"/x"}`, "")
	f.Add("/peer/v1/file", "code/ab", "")
	f.Add("/peer/v1/ask", "/x", "")
	s := peer.NewServer(peer.ServerOptions{
		Key: key, Keep: keep, EventLimit: 1 << 10,
		Platform: platform{
			invoke: func(_ context.Context, inv *worker.Invocation) (*node.Result, error) {
				for _, h := range []string{inv.RequestID, inv.TraceID, inv.ClientContext, inv.FunctionARN, inv.Identity} {
					if strings.ContainsAny(h, "\r\n\x00") {
						panic("a header with a line break")
					}
				}
				return &node.Result{Outcome: function.OutcomeOK, Payload: inv.Payload}, nil
			},
			web: roundTripper(func(*http.Request) (*http.Response, error) { return nil, node.ErrNotFound }),
		},
		Open: func(_, name string) (io.ReadCloser, int64, error) {
			if strings.Contains(name, "..") && strings.Contains(name, "/..") {
				panic("a name that leads elsewhere")
			}
			return nil, 0, errors.New("none")
		},
	})
	token := tokenOf(f)
	f.Fuzz(func(_ *testing.T, path, ask, body string) {
		r := httptest.NewRequest("POST", "http://node/", strings.NewReader(body))
		r.URL.Path = path
		r.Header["X-Cloudjit-Peer-Key"] = []string{token}
		r.Header["X-Cloudjit-Peer-Ask"] = []string{ask}
		s.ServeHTTP(httptest.NewRecorder(), r)
	})
}

// tokenOf learns what a client proves itself with.
func tokenOf(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	s := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header.Get("X-Cloudjit-Peer-Key") })}
	go s.Serve(l)
	defer s.Close()
	_, _ = peer.NewClient(key, nil).Invoke(context.Background(), peer.Target{Name: "x", Address: l.Addr().String()}, "r", &worker.Invocation{}, false)
	return <-got
}
