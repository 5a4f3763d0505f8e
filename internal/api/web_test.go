package api_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/node"
	"github.com/cloudjit/cloudjit/internal/store"
)

// web makes a web function whose worker is app, and returns the path of its URL.
func (f *fixture) webFunction(t *testing.T, name string, timeout time.Duration, app http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewServer(app)
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	f.web = tripper(func(r *http.Request) (*http.Response, error) {
		r = r.Clone(r.Context())
		r.URL.Host = u.Host
		return transport.RoundTrip(r)
	})
	return f.storeWeb(t, name, timeout)
}

// storeWeb stores a web function and returns the path of its URL. What an archive must be for this
// is TestKinds' matter; here the document is enough.
func (f *fixture) storeWeb(t *testing.T, name string, timeout time.Duration) string {
	t.Helper()
	rev := &store.Revision{Spec: function.Spec{ID: store.NewRevisionID(), Function: function.Name(name), Version: function.Latest, Kind: function.KindWeb, MemoryMiB: 128, Timeout: timeout}}
	fn := &store.Function{Name: function.Name(name), Latest: store.Version{
		Version: function.Latest, Revision: rev.Spec.ID, State: store.Status{Value: "Active"}, LastUpdate: store.Status{Value: "Successful"},
	}, URLs: map[string]store.URL{function.Latest: {ID: name + "id", AuthType: "NONE", InvokeMode: "BUFFERED"}}}
	if err := f.store.CreateFunction(t.Context(), fn, rev); err != nil {
		t.Fatal(err)
	}
	return "/cloudjit/v1/urls/" + name + "id"
}

type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestWebFunctionGetsTheRequestAsItIs(t *testing.T) {
	f := start(t)
	path := f.webFunction(t, "web", time.Second, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Seen", strings.Join([]string{r.Method, r.URL.RequestURI(), r.Host, r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Forwarded-Prefix"), string(body)}, "|"))
		w.Header().Add("Set-Cookie", "a=1")
		w.Header().Add("Set-Cookie", "b=2")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "short and stout")
	})
	a := f.do(t, "PATCH", path+"/a%2Fb/c?d=e&d=f", "body")
	host := strings.TrimPrefix(f.url, "http://")
	if want := "PATCH|/a%2Fb/c?d=e&d=f|" + host + "|127.0.0.1|" + path + "|body"; a.Header.Get("X-Seen") != want {
		t.Errorf("by path: got %s, want %s", a.Header.Get("X-Seen"), want)
	}
	if a.Status != http.StatusTeapot || a.Body != "short and stout" || len(a.Header["Set-Cookie"]) != 2 {
		t.Errorf("answer: got %d %q %v", a.Status, a.Body, a.Header)
	}
	a = f.do(t, "GET", "/", "", "Host", "webid.lambda-url.localhost:9700")
	if want := "GET|/|webid.lambda-url.localhost:9700|127.0.0.1||"; a.Header.Get("X-Seen") != want {
		t.Errorf("by host: got %s, want %s", a.Header.Get("X-Seen"), want)
	}
	if a := f.do(t, "GET", "/", "", "Host", "none.lambda-url.localhost"); a.Status != 404 {
		t.Errorf("unknown URL: got %d", a.Status)
	}
}

func TestWebFunctionStreams(t *testing.T) {
	f := start(t)
	next := make(chan struct{})
	path := f.webFunction(t, "web", 500*time.Millisecond, func(w http.ResponseWriter, r *http.Request) {
		for range 4 { // in all longer than the timeout, which is for each part
			_, _ = io.WriteString(w, "part\n")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
			time.Sleep(200 * time.Millisecond)
		}
	})
	res, err := http.Get(f.url + path + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	n := 0
	for sc := bufio.NewScanner(res.Body); sc.Scan(); n++ {
		next <- struct{}{} // it goes on only when its last part has arrived
	}
	if n != 4 {
		t.Errorf("got %d parts, want 4", n)
	}
}

func TestWebFunctionThatHangs(t *testing.T) {
	f := webOnNode(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	path := f.storeWeb(t, "web", 100*time.Millisecond)
	if a := f.do(t, "GET", path, ""); a.Status != http.StatusGatewayTimeout {
		t.Errorf("URL: got %d %s, want 504", a.Status, a.Body)
	}
	a := f.do(t, "POST", functions+"/web/invocations", "{}")
	if a.Status != 200 || !strings.Contains(a.Body, "Task timed out after 0.10 seconds") {
		t.Errorf("invoke: got %d %s", a.Status, a.Body)
	}
}

// TestBadWebClients: clients that take nothing, send nothing, or go away hold a worker no longer
// than their time.
func TestBadWebClients(t *testing.T) {
	f := webOnNode(t, func(w http.ResponseWriter, r *http.Request) {
		if n, _ := io.Copy(io.Discard, r.Body); n > 0 {
			return
		}
		for chunk := make([]byte, 64<<10); ; {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	path := f.storeWeb(t, "web", time.Minute)
	state := func(want string) func() bool {
		return func() bool { w := f.workers(t); return len(w) == 1 && w[0].State == want }
	}
	for name, c := range map[string]struct {
		request string
		leaves  bool
		want    string
	}{
		"takes nothing": {request: "GET " + path + "/ HTTP/1.1\r\nHost: localhost\r\n\r\n", want: "HTTP/1.1 200 OK"},
		"sends nothing": {request: "POST " + path + "/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\nsome", want: "HTTP/1.1 408 Request Timeout"},
		"goes away":     {request: "GET " + path + "/ HTTP/1.1\r\nHost: localhost\r\n\r\n", leaves: true, want: "HTTP/1.1 200 OK"},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, c.request); err != nil {
				t.Fatal(err)
			}
			await(t, state("busy"))
			in := bufio.NewReader(conn)
			if c.leaves {
				if _, err := in.ReadString('\n'); err != nil {
					t.Fatal(err)
				}
				conn.Close()
			}
			await(t, state("idle"))
			if !c.leaves {
				if line, err := in.ReadString('\n'); strings.TrimSpace(line) != c.want {
					t.Errorf("got %q, %v, want %q", line, err, c.want)
				}
			}
		})
	}
}

func TestWebFunctionFailures(t *testing.T) {
	f := start(t)
	path := f.webFunction(t, "web", time.Second, func(http.ResponseWriter, *http.Request) {})
	for name, c := range map[string]struct {
		err    error
		status int
	}{
		"throttled": {&node.RejectError{Reason: engine.ReasonThrottled}, 429},
		"crashed":   {&node.FunctionError{Result: &node.Result{Outcome: function.OutcomeCrashed}}, 502},
		"late":      {&node.FunctionError{Result: &node.Result{Outcome: function.OutcomeTimeout}}, 504},
		"platform":  {errors.New("no sandbox"), 502},
	} {
		f.web = tripper(func(*http.Request) (*http.Response, error) { return nil, c.err })
		if a := f.do(t, "GET", path, ""); a.Status != c.status {
			t.Errorf("%s: got %d %s, want %d", name, a.Status, a.Body, c.status)
		}
	}
}

// A request whose revision was replaced on its way goes to the new one, and its body is whole.
func TestReplacedRevision(t *testing.T) {
	f := start(t)
	path := f.webFunction(t, "web", time.Second, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	inner, tries := f.web, 0
	f.web = tripper(func(r *http.Request) (*http.Response, error) {
		if tries++; tries == 1 {
			return nil, node.ErrNotFound
		}
		return inner.RoundTrip(r)
	})
	if a := f.do(t, "POST", path, "body"); a.Status != 200 || a.Body != "body" || tries != 2 {
		t.Errorf("got %d %q after %d tries", a.Status, a.Body, tries)
	}
}

func TestInvokeOfAWebFunction(t *testing.T) {
	f := start(t)
	f.webFunction(t, "web", time.Second, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/broken" {
			w.WriteHeader(500)
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, r.Method+" "+r.URL.RequestURI()+" "+string(body))
	})
	for event, want := range map[string]string{
		`{"a":1}`: `"POST /events {\"a\":1}"`,
		`{"version":"2.0","rawPath":"/x","rawQueryString":"q=1","body":"b","requestContext":{"http":{"method":"PUT"}}}`: `"body":"PUT /x?q=1 b"`,
		`{"version":"2.0","rawPath":"/broken","requestContext":{"http":{"method":"GET"}}}`:                              `"statusCode":500`,
	} {
		a := f.do(t, "POST", functions+"/web/invocations", event)
		if a.Status != 200 || !strings.Contains(a.Body, want) {
			t.Errorf("%s: got %d %s, want ... %s", event, a.Status, a.Body, want)
		}
	}
}

func TestStreamedURLAnswers(t *testing.T) {
	f := start(t)
	f.create(t, "s", "stream")
	f.do(t, "POST", "/2021-10-31/functions/s/url", `{"AuthType":"NONE","InvokeMode":"RESPONSE_STREAM"}`)
	fn, _ := f.store.Function("s")
	a := f.do(t, "GET", "/cloudjit/v1/urls/"+fn.URLs[function.Latest].ID+"/", "")
	if a.Status != 200 || a.Body != "one two" || a.Header.Get("Content-Type") != "text/plain" {
		t.Errorf("got %d %q %v", a.Status, a.Body, a.Header)
	}
}
