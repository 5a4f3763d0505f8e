package api_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/api/gate"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ziptest"
)

const functions = "/2015-03-31/functions"

// create deploys a provided function that behaves as its handler says.
func (f *fixture) create(t testing.TB, name, handler string, more ...string) {
	t.Helper()
	doc := map[string]any{
		"FunctionName": name, "Runtime": "provided.al2023", "Handler": handler, "Role": "arn:aws:iam::000000000000:role/r",
		"Code": map[string]any{"ZipFile": ziptest.Of(t, "bootstrap", "#!/bin/sh")},
	}
	for i := 0; i < len(more); i += 2 {
		doc[more[i]] = json.RawMessage(more[i+1])
	}
	b, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	if a := f.do(t, "POST", functions, string(b)); a.Status != http.StatusCreated {
		t.Fatalf("create %s: got %d %s", name, a.Status, a.Body)
	}
	f.awaitActive(t, name)
}

func (f *fixture) awaitActive(t testing.TB, name string) {
	t.Helper()
	for range 500 {
		if fn, ok := f.store.Function(function.Name(name)); ok && fn.Latest.State.Value == "Active" && fn.Latest.LastUpdate.Value == "Successful" {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	t.Fatalf("%s does not become active", name)
}

func TestInvokeOutcomes(t *testing.T) {
	f := start(t)
	for _, c := range []struct{ handler, failure, body string }{
		{"echo", "", `{"a": 1}`},
		{"fail", "Unhandled", `{"errorType":"java.lang.IllegalStateException","errorMessage":"no","stackTrace":[]}`},
		{"timeout", "Unhandled", `{"errorMessage":"RequestId: ID Error: Task timed out after 3.00 seconds","errorType":"Sandbox.Timedout"}`},
		{"crash", "Unhandled", `{"errorMessage":"RequestId: ID Error: Runtime exited with error: exit status 1","errorType":"Runtime.ExitError"}`},
		{"killed", "Unhandled", `{"errorMessage":"RequestId: ID Error: Runtime exited with error: signal: killed","errorType":"Runtime.ExitError"}`},
		{"memory", "Unhandled", `{"errorMessage":"RequestId: ID Error: Runtime exited with error: signal: killed","errorType":"Runtime.OutOfMemory"}`},
		{"init", "Unhandled", `{"errorType":"java.lang.ClassNotFoundException","errorMessage":"Class not found: x"}`},
		{"large", "Unhandled", `{"errorMessage":"Response payload size exceeded maximum allowed payload size (6291556 bytes).","errorType":"Function.ResponseSizeTooLarge"}`},
	} {
		f.create(t, c.handler, c.handler)
		a := f.do(t, "POST", functions+"/"+c.handler+"/invocations", `{"a": 1}`)
		body := strings.ReplaceAll(a.Body, a.Header.Get("X-Amzn-Requestid"), "ID")
		if a.Status != http.StatusOK || a.Header.Get("X-Amz-Function-Error") != c.failure || body != c.body {
			t.Errorf("%s: got %d, error %q, %s\nwant 200, %q, %s", c.handler, a.Status, a.Header.Get("X-Amz-Function-Error"), body, c.failure, c.body)
		}
		if v := a.Header.Get("X-Amz-Executed-Version"); v != "$LATEST" {
			t.Errorf("%s: executed version %q", c.handler, v)
		}
	}
}

func TestInvokeRefusals(t *testing.T) {
	f := start(t)
	f.create(t, "echo", "echo")
	f.create(t, "throttle", "throttle")
	f.create(t, "broken", "broken")
	big := `"` + strings.Repeat("x", 6<<20) + `"`
	for name, c := range map[string]struct {
		path, body string
		header     []string
		status     int
		code, part string
	}{
		"no function":   {"/none/invocations", "{}", nil, 404, "ResourceNotFoundException", `"Message":"Function not found: arn:aws:lambda:us-east-1:000000000000:function:none"`},
		"no version":    {"/echo/invocations?Qualifier=7", "{}", nil, 404, "ResourceNotFoundException", "function:echo:7"},
		"bad name":      {"/a%20b/invocations", "{}", nil, 400, "ValidationException", "functionName"},
		"bad qualifier": {"/echo:1/invocations?Qualifier=2", "{}", nil, 400, "InvalidParameterValueException", "derived qualifier"},
		"no JSON":       {"/echo/invocations", "{", nil, 400, "InvalidRequestContentException", "Could not parse request body into json"},
		"too large":     {"/echo/invocations", big, nil, 413, "RequestTooLargeException", "limit 6291456 bytes"},
		"large event":   {"/echo/invocations", big[:2<<20], []string{"X-Amz-Invocation-Type", "Event"}, 413, "RequestTooLargeException", "limit 1048576 bytes"},
		"type":          {"/echo/invocations", "{}", []string{"X-Amz-Invocation-Type", "Sometimes"}, 400, "ValidationException", "invocationType"},
		"context":       {"/echo/invocations", "{}", []string{"X-Amz-Client-Context", "!"}, 400, "InvalidRequestContentException", "Client context"},
		"throttled":     {"/throttle/invocations", "{}", nil, 429, "TooManyRequestsException", `"Reason":"ReservedFunctionConcurrentInvocationLimitExceeded"`},
		"broken":        {"/broken/invocations", "{}", nil, 500, "ServiceException", `"Type":"Service"`},
	} {
		a := f.do(t, "POST", functions+c.path, c.body, c.header...)
		if a.Status != c.status || a.Header.Get("X-Amzn-Errortype") != c.code || !strings.Contains(a.Body, c.part) {
			t.Errorf("%s: got %d %s %.200s\nwant %d %s ...%s...", name, a.Status, a.Header.Get("X-Amzn-Errortype"), a.Body, c.status, c.code, c.part)
		}
	}
}

func TestInvokeForms(t *testing.T) {
	f := start(t)
	f.create(t, "d", "describe", "Environment", `{"Variables":{"STAGE":"test"}}`)
	var got struct{ Request, ARN, Version, Context, Trace, Stage string }
	invoke := func(path string, header ...string) answer {
		t.Helper()
		a := f.do(t, "POST", functions+path, "", header...)
		if a.Status != 200 {
			t.Fatalf("%s: got %d %s", path, a.Status, a.Body)
		}
		if err := json.Unmarshal([]byte(a.Body), &got); err != nil {
			t.Fatal(err)
		}
		return a
	}
	a := invoke("/d/invocations", "X-Amz-Client-Context", base64.StdEncoding.EncodeToString([]byte("{\n\"custom\": {\"a\":\"b\"}}")), "X-Amzn-Trace-Id", "Root=1-a-b")
	if got.Request != a.Header.Get("X-Amzn-Requestid") || got.Context != `{"custom":{"a":"b"}}` || got.Trace != "Root=1-a-b" || got.Stage != "test" {
		t.Errorf("got %+v", got)
	}
	for _, name := range []string{"d", "function:d", "000000000000:function:d", "arn:aws:lambda:us-east-1:000000000000:function:d"} {
		invoke("/" + name + "/invocations")
		if want := "arn:aws:lambda:us-east-1:000000000000:function:d"; got.ARN != want {
			t.Errorf("%s: got ARN %s, want %s", name, got.ARN, want)
		}
	}
	invoke("/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Ad%3A%24LATEST/invocations")
	if !strings.HasSuffix(got.ARN, ":d:$LATEST") {
		t.Errorf("qualified: got ARN %s", got.ARN)
	}
	if a := f.do(t, "POST", functions+"/d/invocations", "{}", "X-Amz-Invocation-Type", "DryRun"); a.Status != 204 || a.Body != "" {
		t.Errorf("dry run: got %d %q", a.Status, a.Body)
	}
	f.create(t, "fail", "fail")
	a = f.do(t, "POST", functions+"/fail/invocations", "{}", "X-Amz-Log-Type", "Tail")
	if log, err := base64.StdEncoding.DecodeString(a.Header.Get("X-Amz-Log-Result")); err != nil || len(log) != 4<<10 {
		t.Errorf("log tail: got %d bytes, %v, want 4096", len(log), err)
	}
}

func TestAliasWeights(t *testing.T) {
	f := start(t)
	f.create(t, "d", "describe")
	for _, body := range []string{`{}`, `{}`} {
		if a := f.do(t, "POST", functions+"/d/versions", body); a.Status != 201 {
			t.Fatalf("publish: got %d %s", a.Status, a.Body)
		}
		if a := f.do(t, "PUT", functions+"/d/configuration", fmt.Sprintf(`{"Timeout":%d}`, 5+len(body))); a.Status != 200 {
			t.Fatalf("configure: got %d %s", a.Status, a.Body)
		}
		f.awaitActive(t, "d")
	}
	if a := f.do(t, "POST", functions+"/d/versions", `{"Description":"third"}`); a.Status != 201 {
		t.Fatalf("publish: got %d %s", a.Status, a.Body)
	}
	if a := f.do(t, "POST", functions+"/d/aliases", `{"Name":"live","FunctionVersion":"1","RoutingConfig":{"AdditionalVersionWeights":{"2":0.25}}}`); a.Status != 201 {
		t.Fatalf("alias: got %d %s", a.Status, a.Body)
	}
	seen := map[string]int{}
	for range 400 {
		a := f.do(t, "POST", functions+"/d:live/invocations", "{}")
		seen[a.Header.Get("X-Amz-Executed-Version")]++
	}
	if seen["1"]+seen["2"] != 400 || seen["2"] < 50 || seen["2"] > 150 { // 100 +- 5.8 standard deviations
		t.Errorf("got %v, want about 300 and 100", seen)
	}
}

func TestEventsAreRetriedAndGivenUp(t *testing.T) {
	f := start(t)
	f.create(t, "sink", "echo")
	f.create(t, "fail", "fail")
	f.create(t, "once", "fail-once")
	arn := "arn:aws:lambda:us-east-1:000000000000:function:sink"
	for _, name := range []string{"fail", "once"} {
		doc := `{"DestinationConfig":{"OnFailure":{"Destination":"` + arn + `"},"OnSuccess":{"Destination":"` + arn + `"}}}`
		if a := f.do(t, "PUT", "/2019-09-25/functions/"+name+"/event-invoke-config", doc); a.Status != 200 {
			t.Fatalf("configure: got %d %s", a.Status, a.Body)
		}
		if a := f.do(t, "POST", functions+"/"+name+"/invocations", `{"n":1}`, "X-Amz-Invocation-Type", "Event"); a.Status != 202 || a.Body != "" {
			t.Fatalf("event: got %d %q", a.Status, a.Body)
		}
	}
	await(t, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.invoked) == 3+2+2
	})
	n := map[string]int{}
	f.mu.Lock()
	for _, name := range f.invoked {
		n[name]++
	}
	f.mu.Unlock()
	if n["fail"] != 3 || n["once"] != 2 || n["sink"] != 2 {
		t.Errorf("got %v, want fail 3, once 2, sink 2", n)
	}
	await(t, func() bool { return f.store.QueueLength() == 0 })
	a := f.do(t, "GET", "/cloudjit/v1/dead-letters?function=fail", "")
	var list struct {
		DeadLetters []struct {
			ID       uint64
			Reason   string
			Attempts int
			Payload  json.RawMessage
			Error    json.RawMessage
		}
	}
	if err := json.Unmarshal([]byte(a.Body), &list); err != nil || len(list.DeadLetters) != 1 {
		t.Fatalf("dead letters: got %s", a.Body)
	}
	if l := list.DeadLetters[0]; l.Reason != "RetriesExhausted" || l.Attempts != 3 || string(l.Payload) != `{"n":1}` || !strings.Contains(string(l.Error), "IllegalState") {
		t.Errorf("dead letter: got %+v", l)
	}
	path := fmt.Sprintf("/cloudjit/v1/dead-letters/%d", list.DeadLetters[0].ID)
	if a := f.do(t, "POST", path+"/redrive", ""); a.Status != 202 {
		t.Errorf("redrive: got %d %s", a.Status, a.Body)
	}
	if a := f.do(t, "GET", path, ""); a.Status != 404 {
		t.Errorf("after redrive: got %d", a.Status)
	}
}

func TestThrottledEventsWaitWithoutCounting(t *testing.T) {
	f := start(t)
	f.create(t, "t", "throttle-once", "Timeout", "1")
	zero := `{"MaximumRetryAttempts":0}`
	if a := f.do(t, "PUT", "/2019-09-25/functions/t/event-invoke-config", zero); a.Status != 200 {
		t.Fatalf("configure: got %d %s", a.Status, a.Body)
	}
	f.do(t, "POST", functions+"/t/invocations", "{}", "X-Amz-Invocation-Type", "Event")
	await(t, func() bool { return f.store.QueueLength() == 0 })
	if letters, err := f.store.DeadLetters(t.Context(), "", 0, 10); err != nil || len(letters) != 0 {
		t.Errorf("got %d dead letters, %v, want none", len(letters), err)
	}
}

func await(t testing.TB, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatal("does not come to an end")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// BenchmarkInvoke is the API's own share of a warm invocation: HTTP, routing, resolution, answer.
func BenchmarkInvoke(b *testing.B) {
	f := start(b)
	f.create(b, "echo", "echo")
	for b.Loop() {
		if a := f.do(b, "POST", functions+"/echo/invocations", `{"a": 1}`); a.Status != 200 {
			b.Fatal(a)
		}
	}
}

var _ gate.Platform = (*platform)(nil)

// BenchmarkBare is the same exchange with nothing behind it, to compare with BenchmarkInvoke.
func BenchmarkBare(b *testing.B) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			b.Error(err)
		}
		_, _ = w.Write(body)
	}))
	defer srv.Close()
	f := &fixture{url: srv.URL}
	for b.Loop() {
		if a := f.do(b, "POST", functions+"/echo/invocations", `{"a": 1}`); a.Status != 200 {
			b.Fatal(a)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// BenchmarkHandler leaves the network out: all that the API itself does for a warm invocation.
func BenchmarkHandler(b *testing.B) {
	f := start(b)
	f.create(b, "echo", "echo")
	h := f.api.Handler()
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest("POST", functions+"/echo/invocations", strings.NewReader(`{"a": 1}`))
		r.Host = "127.0.0.1:9700"
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
}
