package guest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/worker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start serves a runtime on loopback and returns the base of its API.
func start(t testing.TB) (*Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := Serve(l, NewRuntime())
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		s.Shutdown(ctx)
	})
	return s, "http://" + l.Addr().String() + prefix
}

// do sends one request and returns status, headers and body.
func do(t testing.TB, method, url, body string, headers ...string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(b)
}

type answer struct {
	res *worker.Result
	err error
}

func invoke(s *Server, inv *worker.Invocation) <-chan answer {
	got := make(chan answer, 1)
	go func() {
		res, err := s.Invoke(context.Background(), inv)
		got <- answer{res, err}
	}()
	return got
}

func TestOneInvocation(t *testing.T) {
	s, base := start(t)
	deadline := time.UnixMilli(1_700_000_000_123)
	got := invoke(s, &worker.Invocation{
		RequestID: "r1", Payload: []byte(`{"a":1}`), Deadline: deadline, FunctionARN: "arn:x",
		TraceID: "Root=1", ClientContext: `{"c":1}`, Identity: `{"i":1}`,
	})
	status, h, body := do(t, "GET", base+"invocation/next", "")
	if status != 200 || body != `{"a":1}` {
		t.Errorf("next: got %d %s", status, body)
	}
	for name, want := range map[string]string{
		headerRequestID: "r1", headerDeadline: "1700000000123", headerARN: "arn:x", headerTrace: "Root=1",
		headerClient: `{"c":1}`, headerIdentity: `{"i":1}`, "Content-Type": "application/json",
	} {
		if h.Get(name) != want {
			t.Errorf("header %s: got %q, want %q", name, h.Get(name), want)
		}
	}
	select {
	case <-s.Ready():
	default:
		t.Error("not ready after next")
	}
	status, _, body = do(t, "POST", base+"invocation/r1/response", `"ok"`, "Content-Type", "text/x")
	if status != 202 || body != "{\"status\":\"OK\"}\n" {
		t.Errorf("response: got %d %q", status, body)
	}
	a := <-got
	if a.err != nil || string(a.res.Payload) != `"ok"` || a.res.Outcome != function.OutcomeOK || a.res.ContentType != "text/x" {
		t.Errorf("got %+v, %v", a.res, a.err)
	}
}

// TestCheckpoint: a runtime is told so where it waits for an invocation, also if it has yet to ask for the next one.
func TestCheckpoint(t *testing.T) {
	s, base := start(t)
	if err := s.Checkpoint(t.Context()); !errors.Is(err, ErrNotIdle) {
		t.Errorf("before its start: got %v, want ErrNotIdle", err)
	}
	got := invoke(s, &worker.Invocation{RequestID: "r1"})
	do(t, "GET", base+"invocation/next", "")
	if err := s.Checkpoint(t.Context()); !errors.Is(err, ErrNotIdle) {
		t.Errorf("in an invocation: got %v, want ErrNotIdle", err)
	}
	do(t, "POST", base+"invocation/r1/response", "1")
	<-got
	saved := make(chan error, 1)
	go func() { saved <- s.Checkpoint(t.Context()) }()
	time.Sleep(20 * time.Millisecond)
	if status, h, body := do(t, "GET", base+"invocation/next", ""); status != 200 || h.Get(headerCheckpoint) != "true" || h.Get(headerRequestID) != "" || body != "" {
		t.Errorf("next: got %d %v %q", status, h, body)
	}
	restored := make(chan int, 1)
	go func() {
		status, _, _ := do(t, "GET", base+"restore/next", "")
		restored <- status
	}()
	if err := <-saved; err != nil {
		t.Error(err)
	}
	select {
	case <-restored:
		t.Error("restored without Restore")
	case <-time.After(20 * time.Millisecond):
	}
	s.Restore()
	if status := <-restored; status != 200 {
		t.Errorf("restore/next: got %d", status)
	}
	got = invoke(s, &worker.Invocation{RequestID: "r2"})
	if _, h, _ := do(t, "GET", base+"invocation/next", ""); h.Get(headerRequestID) != "r2" {
		t.Errorf("after it: got %v", h)
	}
	do(t, "POST", base+"invocation/r2/response", "1")
	<-got
}

// TestStates walks through what a runtime may and may not do, in order.
func TestStates(t *testing.T) {
	s, base := start(t)
	var got <-chan answer
	for i, step := range []struct {
		before       func()
		method, path string
		status       int
		says         string
	}{
		{nil, "POST", "invocation/none/response", 400, `{"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}`},
		{nil, "POST", "invocation/none/error", 400, "InvalidRequestID"},
		{func() { got = invoke(s, &worker.Invocation{RequestID: "r1"}) }, "GET", "invocation/next", 200, ""},
		{nil, "GET", "invocation/next", 403, "InvalidStateTransition"},
		{nil, "POST", "init/error", 403, "InvalidStateTransition"},
		{nil, "POST", "invocation/r2/response", 400, "InvalidRequestID"},
		{nil, "POST", "invocation/r1/response", 202, "OK"},
		{func() { <-got }, "POST", "invocation/r1/response", 403, "InvalidStateTransition"},
		{nil, "POST", "invocation/r1/error", 403, "InvalidStateTransition"},
		{func() { got = invoke(s, &worker.Invocation{RequestID: "r2"}) }, "GET", "invocation/next", 200, ""},
		{nil, "POST", "invocation/r1/response", 400, "InvalidRequestID"},
		{nil, "POST", "invocation/r2/error", 202, "OK"},
		{nil, "GET", "invocation/last", 404, ""},
		{nil, "PUT", "invocation/next", 405, ""},
		{nil, "GET", "../../x", 404, ""},
		{nil, "GET", "restore/next", 200, ""},
	} {
		if step.before != nil {
			step.before()
		}
		status, _, body := do(t, step.method, base+step.path, `{}`)
		if status != step.status || !strings.Contains(body, step.says) {
			t.Errorf("step %d, %s %s: got %d %s, want %d %s", i, step.method, step.path, status, body, step.status, step.says)
		}
	}
}

func TestErrors(t *testing.T) {
	s, base := start(t)
	for _, c := range []struct{ name, kind, body, wantKind, want string }{
		{"document", "My.Error", `{"errorType":"E","errorMessage":"m"}`, "My.Error", `{"errorType":"E","errorMessage":"m"}`},
		{"no type", "", `{"errorType":"E"}`, "Unhandled", `{"errorType":"E"}`},
		{"no JSON", "T", "trouble\xff", "T", `{"errorMessage":"trouble` + "\uFFFD" + `","errorType":"T"}`},
		{"array", "T", `[1]`, "T", `{"errorMessage":"[1]","errorType":"T"}`},
		{"nothing", "", "", "Unhandled", `{"errorMessage":"","errorType":"Unhandled"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := invoke(s, &worker.Invocation{RequestID: "r"})
			do(t, "GET", base+"invocation/next", "")
			if status, _, body := do(t, "POST", base+"invocation/r/error", c.body, headerErrorType, c.kind); status != 202 {
				t.Errorf("got %d %s", status, body)
			}
			a := <-got
			if a.err != nil || a.res.Outcome != function.OutcomeHandlerError || a.res.ErrorType != c.wantKind || string(a.res.Payload) != c.want {
				t.Errorf("got %+v %s, %v", a.res, a.res.Payload, a.err)
			}
		})
	}
}

func TestInitError(t *testing.T) {
	s, base := start(t)
	if status, _, _ := do(t, "POST", base+"init/error", `{"errorType":"NoHandler"}`); status != 202 {
		t.Errorf("got %d", status)
	}
	select {
	case <-s.Failed():
	default:
		t.Fatal("not failed")
	}
	if string(s.InitError()) != `{"errorType":"NoHandler"}` {
		t.Errorf("got %s", s.InitError())
	}
	if status, _, _ := do(t, "GET", base+"invocation/next", ""); status != 403 {
		t.Errorf("next after an initialization error: got %d", status)
	}
}

func TestTooLarge(t *testing.T) {
	s, base := start(t)
	large := strings.Repeat("x", MaxPayload+1)
	for i, path := range []string{"response", "response", "error"} {
		got := invoke(s, &worker.Invocation{RequestID: "r"})
		do(t, "GET", base+"invocation/next", "")
		var body io.Reader = strings.NewReader(large)
		if i == 1 { // of unknown length
			body = io.MultiReader(body)
		}
		res, err := http.Post(base+"invocation/r/"+path, "application/json", body)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		a := <-got
		if path == "error" {
			if res.StatusCode != 202 || a.res.Outcome != function.OutcomeHandlerError {
				t.Errorf("large error: got %d, %+v", res.StatusCode, a.res)
			}
			continue
		}
		if res.StatusCode != 413 || !bytes.Contains(b, []byte("RequestEntityTooLarge")) || a.res.Outcome != function.OutcomeTooLarge {
			t.Errorf("got %d %s, %+v", res.StatusCode, b, a.res)
		}
	}
	got := invoke(s, &worker.Invocation{RequestID: "r"})
	do(t, "GET", base+"invocation/next", "")
	do(t, "POST", base+"invocation/r/response", large[:MaxPayload])
	if a := <-got; a.res.Outcome != function.OutcomeOK || len(a.res.Payload) != MaxPayload {
		t.Errorf("the largest answer: got %v of %d bytes", a.res.Outcome, len(a.res.Payload))
	}
}

// TestBrokenAnswer: a connection that breaks in the middle of an answer is no answer, and the
// runtime may try again.
func TestBrokenAnswer(t *testing.T) {
	s, base := start(t)
	got := invoke(s, &worker.Invocation{RequestID: "r"})
	do(t, "GET", base+"invocation/next", "")
	c, err := net.Dial("tcp", strings.Split(base, "/")[2])
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(c, "POST %sinvocation/r/response HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf", prefix)
	time.Sleep(20 * time.Millisecond)
	c.Close()
	for {
		status, _, _ := do(t, "POST", base+"invocation/r/response", `"whole"`)
		if status == 202 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if a := <-got; string(a.res.Payload) != `"whole"` {
		t.Errorf("got %s", a.res.Payload)
	}
}

// TestNextThatGaveUp: an invocation is not lost with the connection that waited for it.
func TestNextThatGaveUp(t *testing.T) {
	s, base := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, "GET", base+"invocation/next", nil)
	if _, err := http.DefaultClient.Do(req); err == nil {
		t.Fatal("next answered without an invocation")
	}
	time.Sleep(20 * time.Millisecond)
	got := invoke(s, &worker.Invocation{RequestID: "r"})
	do(t, "GET", base+"invocation/next", "")
	do(t, "POST", base+"invocation/r/response", `1`)
	if a := <-got; a.err != nil {
		t.Error(a.err)
	}
}

func TestNewestNextWins(t *testing.T) {
	s, base := start(t)
	first := make(chan int, 1)
	go func() {
		res, err := http.Get(base + "invocation/next")
		if err != nil {
			first <- 0
			return
		}
		res.Body.Close()
		first <- res.StatusCode
	}()
	<-s.Ready()
	second := make(chan int, 1)
	go func() {
		res, err := http.Get(base + "invocation/next")
		if err != nil {
			second <- 0
			return
		}
		res.Body.Close()
		second <- res.StatusCode
	}()
	if got := <-first; got != 403 {
		t.Errorf("the older next: got %d", got)
	}
	got := invoke(s, &worker.Invocation{RequestID: "r"})
	if got := <-second; got != 200 {
		t.Errorf("the newer next: got %d", got)
	}
	do(t, "POST", base+"invocation/r/response", `1`)
	<-got
}

func TestInvokeRefuses(t *testing.T) {
	s, _ := start(t)
	for _, inv := range []*worker.Invocation{
		{}, {RequestID: "a/b"}, {RequestID: "a", TraceID: "x\r\nInjected: y"}, {RequestID: "a", ClientContext: "x\ny"},
	} {
		if _, err := s.Invoke(t.Context(), inv); !errors.Is(err, worker.ErrInvalidInvocation) {
			t.Errorf("%+v: got %v", inv, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error, 1)
	go func() { _, err := s.Invoke(ctx, &worker.Invocation{RequestID: "a"}); got <- err }()
	for s.mu.Lock(); s.call == nil; s.mu.Lock() {
		s.mu.Unlock()
	}
	s.mu.Unlock()
	if _, err := s.Invoke(t.Context(), &worker.Invocation{RequestID: "b"}); !errors.Is(err, worker.ErrBusy) {
		t.Errorf("a second invocation: got %v", err)
	}
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	s.Close()
	if _, err := s.Invoke(t.Context(), &worker.Invocation{RequestID: "b"}); !errors.Is(err, ErrNotTaken) {
		t.Errorf("after the end: got %v", err)
	}
}

// TestAnswerBeforeTheEnd: what a runtime sent before it died counts.
func TestAnswerBeforeTheEnd(t *testing.T) {
	for range 50 {
		s, base := start(t)
		got := invoke(s, &worker.Invocation{RequestID: "r"})
		c, err := net.Dial("tcp", strings.Split(base, "/")[2])
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "GET %sinvocation/next HTTP/1.1\r\nHost: x\r\n\r\n", prefix)
		if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "POST %sinvocation/r/response HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nlast", prefix)
		c.Close()
		s.Shutdown(t.Context())
		if a := <-got; a.err != nil || string(a.res.Payload) != "last" {
			t.Fatalf("got %+v, %v", a.res, a.err)
		}
	}
}

// dialed is one connection whose bytes the test decides.
func dialed(t testing.TB, base string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", strings.Split(base, "/")[2])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return c, bufio.NewReader(c)
}

func readAnswer(t testing.TB, br *bufio.Reader) (*http.Response, string) {
	t.Helper()
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

const getNext = "GET " + prefix + "invocation/next HTTP/1.1\r\nHost: x\r\n\r\n"

// TestPipelined: a client that sends its answer together with the request for the next
// invocation is woken up once: both answers come in one piece, when there is an invocation.
func TestPipelined(t *testing.T) {
	s, base := start(t)
	c, br := dialed(t, base)
	fmt.Fprint(c, getNext)
	for i := range 5 {
		payload := fmt.Sprint(i)
		got := invoke(s, &worker.Invocation{RequestID: "r" + payload, Payload: []byte(payload)})
		if i > 0 {
			if res, body := readAnswer(t, br); res.StatusCode != 202 || body != string(statusOK) {
				t.Errorf("answer: got %d %q", res.StatusCode, body)
			}
			if br.Buffered() == 0 {
				t.Error("the invocation did not come with the answer to the request before it")
			}
		}
		res, body := readAnswer(t, br)
		if res.StatusCode != 200 || body != payload {
			t.Errorf("next: got %d %q, want %q", res.StatusCode, body, payload)
		}
		fmt.Fprintf(c, "POST %sinvocation/%s/response HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n\"%s%s", prefix, res.Header.Get(headerRequestID), payload, getNext)
		if a := <-got; a.err != nil || string(a.res.Payload) != "\""+payload {
			t.Errorf("got %+v, %v", a.res, a.err)
		}
	}
}

// TestOrder: what is sent while a next waits is answered after it, and not before.
func TestOrder(t *testing.T) {
	s, base := start(t)
	c, br := dialed(t, base)
	fmt.Fprint(c, getNext+"GET "+prefix+"restore/next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	<-s.Ready()
	time.Sleep(10 * time.Millisecond)
	got := invoke(s, &worker.Invocation{RequestID: "r", Payload: []byte("first")})
	if _, body := readAnswer(t, br); body != "first" {
		t.Errorf("got %q, want the invocation", body)
	}
	if res, body := readAnswer(t, br); res.StatusCode != 200 || body != "" || !res.Close {
		t.Errorf("got %d %q, close %t", res.StatusCode, body, res.Close)
	}
	if _, err := br.ReadByte(); err != io.EOF {
		t.Errorf("after Connection: close: got %v, want %v", err, io.EOF)
	}
	do(t, "POST", base+"invocation/r/response", "1")
	<-got
}

// TestOneShotConnections is a runtime in a shell: a connection for each request.
func TestOneShotConnections(t *testing.T) {
	s, base := start(t)
	for _, proto := range []string{"HTTP/1.1\r\nHost: x\r\nConnection: close", "HTTP/1.0"} {
		got := invoke(s, &worker.Invocation{RequestID: "r", Payload: []byte("in")})
		c, _ := dialed(t, base)
		fmt.Fprintf(c, "GET %sinvocation/next %s\r\n\r\n", prefix, proto)
		if all, err := io.ReadAll(c); err != nil || !bytes.HasSuffix(all, []byte("\r\n\r\nin")) {
			t.Fatalf("next: got %q, %v", all, err)
		}
		c, _ = dialed(t, base)
		fmt.Fprintf(c, "POST %sinvocation/r/response %s\r\nContent-Length: 3\r\n\r\nout", prefix, proto)
		if all, err := io.ReadAll(c); err != nil || !bytes.HasPrefix(all, []byte("HTTP/1.1 202 Accepted\r\n")) {
			t.Fatalf("response: got %q, %v", all, err)
		}
		if a := <-got; a.err != nil || string(a.res.Payload) != "out" {
			t.Errorf("got %+v, %v", a.res, a.err)
		}
	}
}

// TestContinue: curl asks before it sends a large body.
func TestContinue(t *testing.T) {
	s, base := start(t)
	got := invoke(s, &worker.Invocation{RequestID: "r"})
	do(t, "GET", base+"invocation/next", "")
	c, br := dialed(t, base)
	fmt.Fprintf(c, "POST %sinvocation/r/response HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n", prefix)
	if line, err := br.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	_, _ = br.ReadString('\n')
	fmt.Fprint(c, "late")
	if res, _ := readAnswer(t, br); res.StatusCode != 202 {
		t.Errorf("got %d", res.StatusCode)
	}
	if a := <-got; string(a.res.Payload) != "late" {
		t.Errorf("got %+v", a.res)
	}
}

// TestRuntimeThatDoesNotRead: an event that nobody takes from the connection does not hold the caller.
func TestRuntimeThatDoesNotRead(t *testing.T) {
	s, base := start(t)
	c, _ := dialed(t, base)
	fmt.Fprint(c, getNext)
	<-s.Ready()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := s.Invoke(ctx, &worker.Invocation{RequestID: "r", Payload: make([]byte, 64<<20)})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
	}
}

// TestMalformed: what is no request, or too much of one, gets its answer and the end.
func TestMalformed(t *testing.T) {
	_, base := start(t)
	for _, test := range []struct{ send, want string }{
		{"nonsense\r\n\r\n", "HTTP/1.1 400 "},
		{"GET " + prefix + "invocation/next HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 2*maxHeader), "HTTP/1.1 431 "},
		{"POST " + prefix + "init/x HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 400 "},
		{"HEAD " + prefix + "invocation/next HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 405 "},
	} {
		c, _ := dialed(t, base)
		go io.WriteString(c, test.send)
		if all, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(all), test.want) {
			t.Errorf("%.60q: got %q, %v, want %s", test.send, all, err, test.want)
		}
	}
}

// FuzzConnection: whatever a runtime sends, its connection ends with it, and the server too.
func FuzzConnection(f *testing.F) {
	f.Add([]byte(getNext + "POST " + prefix + "invocation/r/response HTTP/1.1\r\nContent-Length: 1\r\n\r\nx" + getNext))
	f.Add([]byte("POST " + prefix + "invocation/r/response HTTP/1.1\r\nTransfer-Encoding: chunked\r\nLambda-Runtime-Function-Response-Mode: streaming\r\n\r\n1\r\nx\r\n0\r\nLambda-Runtime-Function-Error-Type: E\r\n\r\n"))
	f.Add([]byte("POST " + prefix + "init/error HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n{}"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		s := NewRuntime()
		ours, theirs := net.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		invoked := make(chan struct{})
		go func() {
			defer close(invoked)
			_, _ = s.Invoke(ctx, &worker.Invocation{RequestID: "r", Payload: []byte("e")})
		}()
		go io.Copy(io.Discard, theirs)
		go func() {
			_, _ = theirs.Write(sent)
			_ = theirs.Close()
		}()
		newConn(s, ours).run()
		cancel()
		<-invoked
		s.Close()
	})
}

func TestManyConnections(t *testing.T) {
	_, base := start(t)
	addr := strings.Split(base, "/")[2]
	for range 2 * maxConnections { // each of them silent
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
}

// client is the least that a runtime client does, so that the benchmark measures the server.
func client(addr string) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	br := bufio.NewReader(c)
	next := []byte("GET " + prefix + "invocation/next HTTP/1.1\r\nHost: x\r\n\r\n")
	for {
		if _, err := c.Write(next); err != nil {
			return err
		}
		res, err := http.ReadResponse(br, nil)
		if err != nil {
			return err
		}
		body, _ := io.ReadAll(res.Body)
		if res.StatusCode != 200 {
			return fmt.Errorf("next: %s", res.Status)
		}
		if _, err := fmt.Fprintf(c, "POST %sinvocation/%s/response HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s",
			prefix, res.Header.Get(headerRequestID), len(body), body); err != nil {
			return err
		}
		if res, err = http.ReadResponse(br, nil); err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, res.Body)
	}
}

func BenchmarkInvoke(b *testing.B) {
	s, base := start(b)
	go client(strings.Split(base, "/")[2])
	inv := &worker.Invocation{RequestID: "r", Payload: []byte(`{"a":1}`)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Invoke(b.Context(), inv); err != nil {
			b.Fatal(err)
		}
	}
}
