package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"github.com/cloudjit/cloudjit/internal/api"
	"github.com/cloudjit/cloudjit/internal/client"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/logs"
	"github.com/cloudjit/cloudjit/internal/node"
	"github.com/cloudjit/cloudjit/internal/recent"
	"github.com/cloudjit/cloudjit/internal/store"
	"github.com/cloudjit/cloudjit/internal/ziptest"
)

// contract checks answers against the OpenAPI document, and counts which operations were seen.
type contract struct {
	*fixture
	doc    *openapi3.T
	router routers.Router
	seen   map[string]bool
}

func loadContract(t *testing.T, f *fixture) *contract {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData([]byte(f.do(t, "GET", "/cloudjit/v1/openapi.json", "").Body))
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	router, err := legacy.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return &contract{f, doc, router, map[string]bool{}}
}

// call sends a request and holds it and its answer to the document.
func (c *contract) call(t *testing.T, status int, method, path, body string, kind ...string) answer {
	t.Helper()
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		req.Header.Set("Content-Type", append(kind, "application/json")[0])
	}
	route, params, err := c.router.FindRoute(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	c.seen[route.Operation.OperationID] = true
	in := &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route, Options: &openapi3filter.Options{IncludeResponseStatus: true}}
	if status < 400 {
		if err := openapi3filter.ValidateRequest(t.Context(), in); err != nil {
			t.Errorf("%s %s: request: %v", method, path, err)
		}
	}
	a := c.do(t, method, path, body)
	if a.Status != status {
		t.Errorf("%s %s: got %d %s, want %d", method, path, a.Status, a.Body, status)
	}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: a.Status, Header: a.Header, Options: in.Options}
	if ct := a.Header.Get("Content-Type"); ct == "application/zip" || ct == "application/jsonl" {
		return a
	}
	out.SetBodyBytes([]byte(a.Body))
	if err := openapi3filter.ValidateResponse(t.Context(), out); err != nil {
		t.Errorf("%s %s: answer: %v\n%s", method, path, err, a.Body)
	}
	return a
}

// lately holds what happened lately to the document.
func (c *contract) lately(t *testing.T, base string) {
	t.Helper()
	at := time.Now().UTC()
	for i := range 5 {
		inv := recent.Invocation{At: at, Request: fmt.Sprintf("r%d", i), Function: "hello", Rung: ladder.HotSpot, Outcome: "ok", Seconds: .001, Payload: []byte(`{"n":1}`)}
		if i == 3 {
			inv.Outcome, inv.Error = "crashed", "Boom"
		}
		if i == 0 {
			inv.Cold, inv.MemoryBytes = &recent.Phases{Queue: .001, Sandbox: .02, Runtime: .3, Init: .1}, 90e6
		}
		c.recent.Invocation(inv)
	}
	c.recent.End(recent.End{At: at, Function: "hello", Worker: "01W", Rung: ladder.HotSpot, Reason: "evicted"})
	c.recent.Fall(recent.Fall{At: at, Function: "hello", Rung: ladder.Native, Missing: "reflection of a.C"})
	c.create(t, "throttle", "throttle")
	c.do(t, "POST", functions+"/throttle/invocations", `{"n":1}`, "X-Amz-Invocation-Type", "Event")
	for path, want := range map[string]string{
		"/overview":                `"rung":"aot-cache"`,
		"/functions/hello/figures": `"errors":1`,
		"/builds":                  `"reason":"the build failed"`,
		"/invocations":             `"r4"`,
		"/invocations?function=hello&failed=true": `"Boom"`,
		"/invocations?search=BOOM&limit=1":        `"r3"`,
		"/invocations?cold=true":                  `"sandbox":0.02`,
		"/invocations?before=2":                   `"r0"`,
		"/invocations/r3":                         `"payload":{"n":1}`,
		"/worker-ends":                            `"evicted"`,
		"/deoptimizations":                        `"reflection of a.C"`,
		"/queue":                                  `"function":"throttle"`,
		"/nodes":                                  `"role":"single"`,
		"/functions/hello/logs?request=nobody":    `"lines":[]`,
	} {
		await(t, func() bool { // the queue's event is known when it has been tried
			a := c.do(t, "GET", base+path, "")
			return strings.Contains(a.Body, want)
		})
		c.call(t, 200, "GET", base+path, "")
	}
	if a := c.call(t, 200, "GET", base+"/invocations?function=hello&failed=true", ""); strings.Contains(a.Body, `"r4"`) {
		t.Errorf("failed only: got %s", a.Body)
	}
	c.call(t, 404, "GET", base+"/invocations/none", "")
	for _, bad := range []string{"limit=0", "limit=x", "limit=1001", "before=x"} {
		if a := c.do(t, "GET", base+"/invocations?"+bad, ""); a.Status != 400 {
			t.Errorf("%s: got %d", bad, a.Status)
		}
	}
}

func TestOwnResourcesAreAsDocumented(t *testing.T) {
	openapi3filter.RegisterBodyDecoder("application/jsonl", openapi3filter.FileBodyDecoder)
	defer openapi3filter.UnregisterBodyDecoder("application/jsonl")
	f := start(t)
	c := loadContract(t, f)
	f.create(t, "hello", "echo", "Tags", `{"a":"b"}`, "Publish", "true")
	f.create(t, "fail", "fail")
	for _, doc := range []string{`{"Name":"live","FunctionVersion":"1"}`} {
		f.do(t, "POST", functions+"/hello/aliases", doc)
	}
	f.do(t, "POST", "/2021-10-31/functions/hello/url", `{"AuthType":"NONE"}`)
	fn, _ := f.store.Function("hello")
	id := fn.Latest.Revision
	now := time.Now().UTC()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	must(f.store.PutPipeline(ctx, id, json.RawMessage(`{}`),
		store.Transition{At: now, Recording: "metadata", From: "absent", To: "recording", Event: "record", Reason: "the policy says that it is worth its cost"},
		store.Transition{At: now, Rung: "native", From: "absent", To: "queued", Event: "promoted"},
		store.Transition{At: now, To: "hotspot-agent", Reason: "a step of an earlier version"}))
	for _, doc := range []string{`{"reflection":[{"type":"a.A"}]}`, `{"reflection":[{"type":"a.B","methods":[{"name":"m","parameterTypes":[]}]}]}`} {
		_, err := f.store.PutMetadata(ctx, id, []byte(doc), "trace")
		must(err)
	}
	must(f.store.PutBuild(ctx, &store.Build{ID: "01B", Revision: id, Function: "hello", Rung: "native", RecordingVersion: 1, State: "failed", QueuedAt: now, EndedAt: &now, Class: "out-of-memory", Reason: "killed"}))
	must(f.store.PutBuildLog(ctx, id, "01B", []byte("[1/8] Initializing...")))
	f.logs.Append("hello", logs.Line{Text: "a line"})
	f.do(t, "PUT", "/2019-09-25/functions/fail/event-invoke-config", `{"MaximumRetryAttempts":0}`)
	f.do(t, "POST", functions+"/fail/invocations", `{"n":1}`, "X-Amz-Invocation-Type", "Event")
	var letters []*store.DeadLetter
	await(t, func() bool {
		letters, _ = f.store.DeadLetters(ctx, "", 0, 1)
		return len(letters) == 1
	})

	const base = "/cloudjit/v1"
	h := base + "/functions/hello"
	rev := h + "/revisions/latest"
	letter := base + "/dead-letters/" + strconv.FormatUint(letters[0].ID, 10)
	c.call(t, 200, "GET", base+"/health", "")
	c.call(t, 204, "DELETE", base+"/health/problems", "")
	c.call(t, 501, "POST", base+"/backup", "")           // this server has nobody who makes them
	c.call(t, 409, "PUT", base+"/nodes/other/drain", "") // it is alone
	c.call(t, 409, "DELETE", base+"/nodes/other/drain", "")
	c.call(t, 200, "GET", base+"/functions", "")
	c.call(t, 200, "GET", h, "")
	c.call(t, 404, "GET", base+"/functions/none", "")
	c.call(t, 200, "GET", h+"/revisions", "")
	c.call(t, 200, "GET", rev, "")
	c.call(t, 404, "GET", h+"/revisions/none", "")
	if a := c.call(t, 200, "GET", rev+"/code", ""); a.Body != string(ziptest.Of(t, "bootstrap", "#!/bin/sh")) {
		t.Error("the code is not what was uploaded")
	}
	c.call(t, 200, "GET", rev+"/metadata", "")
	if a := c.call(t, 200, "GET", rev+"/metadata/1", ""); a.Body != `{"reflection":[{"type":"a.A"}]}` {
		t.Errorf("metadata 1: got %s", a.Body)
	}
	c.call(t, 200, "GET", rev+"/metadata/latest", "")
	c.call(t, 404, "GET", rev+"/metadata/9", "")
	diff := c.call(t, 200, "GET", rev+"/metadata-diff", "")
	if !strings.Contains(diff.Body, `"a.B"`) || !strings.Contains(diff.Body, `"a.A"`) {
		t.Errorf("diff: got %s", diff.Body)
	}
	c.call(t, 200, "GET", rev+"/metadata-diff?from=1&to=1", "")
	c.call(t, 200, "GET", rev+"/builds", "")
	c.call(t, 200, "GET", rev+"/builds/01B", "")
	if a := c.call(t, 200, "GET", rev+"/builds/01B/log", ""); a.Body != "[1/8] Initializing..." {
		t.Errorf("build log: got %q", a.Body)
	}
	c.call(t, 404, "GET", rev+"/builds/none", "")
	c.lately(t, base)
	c.call(t, 200, "PUT", base+"/policy", `{"threshold":2,"window":"10m"}`)
	c.call(t, 200, "GET", base+"/policy", "")
	a := c.call(t, 200, "PUT", h+"/policy", `{"keepAlive":"0s","onMissing":"error","prepare":"deploy","maxWait":"250ms","snapshotAfter":0}`)
	if want := `"effective":{"optimize":true,"threshold":2,"window":"10m0s","prepare":"deploy","maxWait":"250ms","snapshotAfter":0,"keepAlive":"0s","onMissing":"error","queueLimit":1000}`; !strings.Contains(a.Body, want) {
		t.Errorf("policy: got %s, want %s", a.Body, want)
	}
	for _, bad := range []string{`{"treshold":2}`, `{"threshold":-1}`, `{"window":"long"}`, `{"onMissing":"maybe"}`, `{"prepare":"soon"}`, `{"maxWait":"-1s"}`, `{"maxWait":"16m"}`, `{"snapshotAfter":-1}`, `{"snapshotAfter":10001}`} {
		c.call(t, 400, "PUT", h+"/policy", bad)
	}
	c.call(t, 200, "GET", h+"/policy", "")
	c.call(t, 204, "DELETE", h+"/policy", "")
	c.call(t, 404, "GET", h+"/samples", "")
	lines := "{\"a\":1}\n\n[2]\n"
	if a := c.call(t, 200, "PUT", h+"/samples", lines, "application/jsonl"); !strings.Contains(a.Body, `"count":2`) {
		t.Errorf("samples: got %s", a.Body)
	}
	if a := c.call(t, 200, "GET", h+"/samples", ""); a.Body != lines {
		t.Errorf("samples: got %s", a.Body)
	}
	for bad, want := range map[string]string{"{": "line 1", "": "there are none", strings.Repeat("1\n", 5<<20): "more than"} {
		if a := c.call(t, 400, "PUT", h+"/samples", bad, "application/jsonl"); !strings.Contains(a.Body, want) {
			t.Errorf("samples %.9q: got %s", bad, a.Body)
		}
	}
	c.call(t, 200, "GET", h, "")
	c.call(t, 204, "DELETE", h+"/samples", "")
	c.call(t, 404, "GET", h+"/samples", "")
	java := &store.Revision{Spec: function.Spec{ID: store.NewRevisionID(), Function: "java", Version: function.Latest, Kind: function.KindHandler, Handler: "a.B"}}
	must(f.store.CreateFunction(ctx, &store.Function{Name: "java", Latest: store.Version{Version: function.Latest, Revision: java.Spec.ID, State: store.Status{Value: "Active"}}}, java))
	for _, o := range []struct{ body, rung string }{
		{`{"rung":"aot-cache"}`, "aot-cache"}, {`{"level":"quick"}`, "native"}, {`{"level":"optimized"}`, "native-optimized"}, {"", "native"},
	} {
		a := c.call(t, 202, "POST", base+"/functions/java/optimize", o.body)
		if want := fmt.Sprintf(`{"ready":%t,"revision":%q,"rung":%q}`, o.rung == "aot-cache", java.Spec.ID, o.rung); a.Body != want {
			t.Errorf("optimize %s: got %s, want %s", o.body, a.Body, want)
		}
	}
	c.call(t, 202, "POST", h+"/optimize?Qualifier=live", `{"rung":"native"}`)
	c.call(t, 400, "POST", h+"/optimize", `{"level":"none"}`)
	c.call(t, 400, "POST", h+"/optimize", `{"level":"quick","rung":"native"}`)
	if a := c.call(t, 409, "POST", h+"/optimize", `{"rung":"attic"}`); !strings.Contains(a.Body, "the ladder has no rung") {
		t.Errorf("unknown rung: got %s", a.Body)
	}
	c.call(t, 409, "POST", h+"/deoptimize", "")
	c.call(t, 200, "GET", h+"/logs?lines=5", "")
	c.call(t, 200, "GET", base+"/workers", "")
	c.call(t, 200, "GET", base+"/dead-letters?function=fail", "")
	c.call(t, 200, "GET", letter, "")
	c.call(t, 202, "POST", letter+"/redrive", "")
	c.call(t, 404, "DELETE", letter, "")
	c.call(t, 200, "GET", base+"/openapi.json", "")

	for path, item := range c.doc.Paths.Map() {
		for method, op := range item.Operations() {
			if !c.seen[op.OperationID] && op.OperationID != "events" { // TestEventStream
				t.Errorf("%s %s (%s) is documented and was not tried", method, path, op.OperationID)
			}
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.optimize) != 4 || f.optimize[0] != java.Spec.ID || f.optimize[3] == java.Spec.ID {
		t.Errorf("optimized %v", f.optimize)
	}
	if want := []function.Rung{"native", "native-optimized", "", "native"}; !slices.Equal(f.rungs, want) {
		t.Errorf("optimized to %v, want %v", f.rungs, want)
	}
}

// TestTheClientReadsTheWholePipeline: internal/client has the same members, so that nothing is lost on
// the way to a user.
func TestTheClientReadsTheWholePipeline(t *testing.T) {
	v, _ := (&platform{}).Revision(t.Context(), "")
	sent := mustEncode(t, v)
	var p client.Pipeline
	d := json.NewDecoder(strings.NewReader(sent))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		t.Fatal(err)
	}
	if got := mustEncode(t, p); got != sent {
		t.Errorf("got\n%s, sent\n%s", got, sent)
	}
	if got, want := p.State(), "aot-cache, recording metadata"; got != want {
		t.Errorf("state: got %q, want %q", got, want)
	}
	if p.Of("native") == nil || p.Of("attic") != nil {
		t.Error("rungs are not found by their names")
	}
}

// stream reads server-sent events until stop returns true.
func (f *fixture) stream(t *testing.T, path string, opened func(), stop func(event, data string) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", f.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if ct := res.Header.Get("Content-Type"); ct != "text/event-stream" {
		t.Fatalf("%s: content type %q", path, ct)
	}
	opened()
	event := ""
	for sc := bufio.NewScanner(res.Body); sc.Scan(); {
		name, value, _ := strings.Cut(sc.Text(), ": ")
		switch name {
		case "event":
			event = value
		case "data":
			if stop(event, value) {
				return
			}
		}
	}
	t.Fatalf("%s: the stream ended", path)
}

func TestEventStream(t *testing.T) {
	f := start(t)
	f.stream(t, "/cloudjit/v1/events?function=f", func() {
		go func() {
			for i, name := range []function.Name{"other", "f"} {
				select {
				case f.events <- node.Event{Seq: uint64(i), Type: "worker.started", Function: name}:
				case <-t.Context().Done():
				}
			}
		}()
	}, func(event, data string) bool {
		var e node.Event
		if err := json.Unmarshal([]byte(data), &e); err != nil || event != "worker.started" || e.Function != "f" || e.Seq != 1 {
			t.Errorf("got %s %s, %v", event, data, err)
		}
		return true
	})
}

func TestLogsAreFollowed(t *testing.T) {
	f := start(t)
	f.create(t, "hello", "echo")
	f.logs.Append("hello", logs.Line{Text: "old"})
	var got []string
	f.stream(t, "/cloudjit/v1/functions/hello/logs?follow=true", func() {
		f.logs.Append("hello", logs.Line{Text: "new"})
	}, func(_, data string) bool {
		var l logs.Line
		if err := json.Unmarshal([]byte(data), &l); err != nil {
			t.Error(err)
		}
		got = append(got, l.Text)
		return len(got) == 2
	})
	if !slices.Equal(got, []string{"old", "new"}) {
		t.Errorf("got %v", got)
	}
}

func TestUnknownRoutes(t *testing.T) {
	f := start(t)
	for _, path := range []string{"/", "/2015-03-31/nothing", "/cloudjit/v1/nothing"} {
		if a := f.do(t, "POST", path, ""); a.Status != 404 || a.Header.Get("X-Amzn-Errortype") != "UnknownOperationException" {
			t.Errorf("%s: got %d %s", path, a.Status, a.Body)
		}
	}
	if a := f.do(t, "GET", functions+"/", ""); a.Status != 200 {
		t.Errorf("with a slash at the end: got %d %s", a.Status, a.Body)
	}
}

func TestRefusedArchivesLeaveNothing(t *testing.T) {
	f := start(t)
	bomb := ziptest.Of(t, "bootstrap", "#!/bin/sh", "zeros", string(make([]byte, 3<<20)))
	small := start(t, func(o *api.Options) { o.Limits.Unzipped = 2 << 20 })
	for name, c := range map[string]struct {
		f    *fixture
		zip  []byte
		part string
	}{
		"empty":        {f, nil, "non-empty zip"},
		"no zip":       {f, []byte("hello, world"), "not a complete ZIP"},
		"truncated":    {f, bomb[:len(bomb)/2], "not a complete ZIP"},
		"zip slip":     {f, ziptest.Of(t, "../../etc/passwd", "x"), "../../etc/passwd"},
		"absolute":     {f, ziptest.Of(t, "/etc/passwd", "x"), "/etc/passwd"},
		"twice":        {f, ziptest.Of(t, "bootstrap", "x", "bootstrap", "y"), "twice"},
		"bomb":         {small, bomb, "unzipped"},
		"no bootstrap": {f, ziptest.Of(t, "readme", "x"), "bootstrap"},
	} {
		doc, err := json.Marshal(map[string]any{"FunctionName": "x", "Runtime": "provided.al2023", "Role": "arn:aws:iam::000000000000:role/r",
			"Handler": "h", "Code": map[string]any{"ZipFile": append([]byte{}, c.zip...)}})
		if err != nil {
			t.Fatal(err)
		}
		a := c.f.do(t, "POST", functions, string(doc))
		if a.Status != 400 || a.Header.Get("X-Amzn-Errortype") != "InvalidParameterValueException" || !strings.Contains(a.Body, c.part) {
			t.Errorf("%s: got %d %s, want 400 ... %s", name, a.Status, a.Body, c.part)
		}
		if left := files(t, c.f.dir+"/code"); len(left) > 0 {
			t.Errorf("%s: left %v", name, left)
		}
	}
}

// TestCodeGoesWithItsLastName: of a function that is deleted, at once, but not while a worker runs it; and
// uploads beyond the budget are refused until there is room.
func TestCodeGoesWithItsLastName(t *testing.T) {
	f := start(t, func(o *api.Options) { o.CodeBytes = 500_000 })
	upload := func(name, content string) answer {
		doc, err := json.Marshal(map[string]any{"FunctionName": name, "Runtime": "provided.al2023", "Role": "arn:aws:iam::000000000000:role/r",
			"Handler": "echo", "Code": map[string]any{"ZipFile": ziptest.Of(t, "bootstrap", "#!/bin/sh", "noise", content)}})
		if err != nil {
			t.Fatal(err)
		}
		return f.do(t, "POST", functions, string(doc))
	}
	noise := func(seed uint64) string {
		b := make([]byte, 150_000)
		r := rand.New(rand.NewPCG(seed, 1))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return string(b)
	}
	for name, seed := range map[string]uint64{"a": 1, "same": 1, "b": 2} {
		if a := upload(name, noise(seed)); a.Status != 201 {
			t.Fatalf("%s: got %d %s", name, a.Status, a.Body)
		}
	}
	if a := upload("c", noise(3)); a.Status != 400 || a.Header.Get("X-Amzn-Errortype") != "CodeStorageExceededException" {
		t.Errorf("beyond the budget: got %d %s", a.Status, a.Body)
	}
	if n := len(files(t, f.dir+"/code/blobs")); n != 2 {
		t.Errorf("%d archives, want 2", n)
	}
	gone := func(n int) func() bool { return func() bool { return len(files(t, f.dir+"/code/blobs")) == n } }
	fn, _ := f.store.Function("b")
	f.setWorkers(node.WorkerView{ID: "01X", Function: "b", Revision: fn.Latest.Revision, State: "draining"})
	f.do(t, "DELETE", functions+"/b", "")
	f.do(t, "DELETE", functions+"/a", "")
	time.Sleep(600 * time.Millisecond)
	if !gone(2)() {
		t.Error("an archive went that a worker runs, or that another function has")
	}
	f.setWorkers()
	await(t, gone(1))
	if a := upload("c", noise(3)); a.Status != 201 {
		t.Errorf("when there is room: got %d %s", a.Status, a.Body)
	}
	f.do(t, "DELETE", functions+"/same", "")
	f.do(t, "DELETE", functions+"/c", "")
	await(t, gone(0))
	await(t, func() bool { return f.code.Usage() == 0 })
}

// TestSameArchiveAtOnce: of many creates with the same archive, all for one name or another, each is made or
// refused because of its name; what is refused takes no other's archive away.
func TestSameArchiveAtOnce(t *testing.T) {
	f := start(t)
	doc := func(name string) string {
		b, err := json.Marshal(map[string]any{"FunctionName": name, "Runtime": "provided.al2023", "Role": "arn:aws:iam::000000000000:role/r",
			"Handler": "echo", "Code": map[string]any{"ZipFile": ziptest.Of(t, "bootstrap", "#!/bin/sh")}})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	const names = 12
	creates := 360
	if os.Getenv("CLOUDJIT_LOAD") == "full" {
		creates = 1440
	}
	var group sync.WaitGroup
	var made [names]atomic.Int32
	for i := range creates {
		create := doc(fmt.Sprint("f", i%names))
		group.Go(func() {
			switch a := f.do(t, "POST", functions, create); a.Status {
			case 201:
				made[i%names].Add(1)
			case 409:
			default:
				t.Errorf("got %d %s", a.Status, a.Body)
			}
			if i%5 == 0 {
				f.do(t, "DELETE", functions+fmt.Sprint("/f", i%names), "") // and the archive may go with the last name
			}
		})
	}
	group.Wait()
	for i := range made {
		if made[i].Load() == 0 {
			t.Errorf("f%d was never made", i)
		}
	}
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	var walk func(string)
	walk = func(dir string) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.IsDir() {
				walk(dir + "/" + e.Name())
			} else {
				out = append(out, dir+"/"+e.Name())
			}
		}
	}
	walk(dir)
	return out
}
