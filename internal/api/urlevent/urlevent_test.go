package urlevent_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"github.com/cloudjit/cloudjit/internal/api/urlevent"
)

func event(t *testing.T, r *http.Request, strip string) events.LambdaFunctionURLRequest {
	t.Helper()
	doc, err := urlevent.FromRequest(r, urlevent.Context{RequestID: "id", URLID: "abc", StripPrefix: strip, MaxBody: 100})
	if err != nil {
		t.Fatal(err)
	}
	var e events.LambdaFunctionURLRequest
	if err := json.Unmarshal(doc, &e); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestFromRequest(t *testing.T) {
	r := httptest.NewRequest("POST", "/prefix/a%20b?x=1&x=2&y=%2B", strings.NewReader(`{"a":1}`))
	r.Host = "abc.lambda-url.localhost:9700"
	r.Header.Set("Content-Type", "application/json")
	r.Header.Add("X-Two", "1")
	r.Header.Add("X-Two", "2")
	r.Header.Set("Cookie", "c=1; d=2")
	e := event(t, r, "/prefix")
	if e.Version != "2.0" || e.RawPath != "/a%20b" || e.RawQueryString != "x=1&x=2&y=%2B" || e.Body != `{"a":1}` || e.IsBase64Encoded {
		t.Errorf("got %+v", e)
	}
	if d := cmp.Diff(map[string]string{"x": "1,2", "y": "+"}, e.QueryStringParameters); d != "" {
		t.Error(d)
	}
	if e.Headers["x-two"] != "1,2" || e.Headers["host"] != r.Host || e.Headers["x-forwarded-for"] != "192.0.2.1" || e.Headers["cookie"] != "" {
		t.Errorf("headers: got %v", e.Headers)
	}
	if d := cmp.Diff([]string{"c=1", "d=2"}, e.Cookies); d != "" {
		t.Error(d)
	}
	http1 := e.RequestContext.HTTP
	if http1.Method != "POST" || http1.Path != "/a%20b" || http1.SourceIP != "192.0.2.1" || e.RequestContext.DomainPrefix != "abc" {
		t.Errorf("context: got %+v", e.RequestContext)
	}

	r = httptest.NewRequest("POST", "/", bytes.NewReader([]byte{0xff, 0}))
	r.Header.Set("Content-Type", "image/png")
	if e := event(t, r, ""); !e.IsBase64Encoded || e.Body != "/wA=" {
		t.Errorf("binary: got %q %v", e.Body, e.IsBase64Encoded)
	}
	r = httptest.NewRequest("POST", "/", strings.NewReader(strings.Repeat("x", 101)))
	if _, err := urlevent.FromRequest(r, urlevent.Context{MaxBody: 100}); !errors.Is(err, urlevent.ErrTooLarge) {
		t.Errorf("too large: got %v", err)
	}
}

func TestRespond(t *testing.T) {
	for _, c := range []struct {
		payload     string
		status      int
		contentType string
		body        string
	}{
		{`{"statusCode":404,"headers":{"Content-Type":"text/html"},"body":"<p>"}`, 404, "text/html", "<p>"},
		{`{"statusCode":200,"body":"aGk=","isBase64Encoded":true}`, 200, "application/json", "hi"},
		{`{"statusCode":200,"body":{"a":1},"headers":{"X-N":5}}`, 200, "application/json", `{"a":1}`},
		{`{"statusCode":204}`, 204, "application/json", ""},
		{`{"a":1}`, 200, "application/json", `{"a":1}`},
		{`"text"`, 200, "application/json", "text"},
		{`null`, 200, "application/json", "null"},
		{`[1]`, 200, "application/json", "[1]"},
	} {
		w := httptest.NewRecorder()
		if err := urlevent.Respond(w, []byte(c.payload)); err != nil {
			t.Errorf("%s: %v", c.payload, err)
			continue
		}
		if w.Code != c.status || w.Header().Get("Content-Type") != c.contentType || w.Body.String() != c.body {
			t.Errorf("%s: got %d %q %q", c.payload, w.Code, w.Header().Get("Content-Type"), w.Body)
		}
	}
	for _, bad := range []string{`{"statusCode":99}`, `{"statusCode":1000}`, `{"statusCode":200,"body":"!","isBase64Encoded":true}`} {
		if err := urlevent.Respond(httptest.NewRecorder(), []byte(bad)); !errors.Is(err, urlevent.ErrInvalid) {
			t.Errorf("%s: got %v", bad, err)
		}
	}
}

func FuzzRespond(f *testing.F) {
	f.Add([]byte(`{"statusCode":200,"headers":{"a":"b\r\nc: d"},"cookies":["x"],"body":"b"}`))
	f.Add([]byte(`"text`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		w := httptest.NewRecorder()
		if urlevent.Respond(w, payload) == nil && (w.Code < 200 || w.Code > 599) {
			t.Fatalf("%q: status %d", payload, w.Code)
		}
	})
}

// FuzzToRequest: what an event describes can be sent, or it is no event.
func FuzzToRequest(f *testing.F) {
	f.Add([]byte(`{"version":"2.0","rawPath":"/a","rawQueryString":"b=c","headers":{"d":"e"},"cookies":["f=g"],"requestContext":{"http":{"method":"GET"}},"body":"aGk=","isBase64Encoded":true}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		_, target, header, _, ok := urlevent.ToRequest(doc)
		if ok && (!strings.HasPrefix(target, "/") || header == nil) {
			t.Fatalf("%q: target %q", doc, target)
		}
	})
}
