package telemetry_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/telemetry"
	"github.com/cloudjit/cloudjit/internal/telemetry/otlptest"
)

// TestTraceOfAnInvocation: the caller's span, the request, and what the platform did for it are one
// trace, which goes on into the function in both forms.
func TestTraceOfAnInvocation(t *testing.T) {
	r := otlptest.Start(t)
	tracer, err := telemetry.NewTracer(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now().Add(-time.Second)
	at := func(ms int) time.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }
	var w3c, xray string
	mux := http.NewServeMux()
	mux.HandleFunc("POST /functions/{name}", func(_ http.ResponseWriter, r *http.Request) {
		w3c, xray = r.Header.Get("Traceparent"), r.Header.Get("X-Amzn-Trace-Id")
		tracer.Invocation(r.Context(), &telemetry.Invocation{
			Function: "f", Rung: "native", Outcome: function.OutcomeOK, Cold: true,
			Arrived: at(0), Began: at(50), Ended: at(57),
			Sandbox: 8 * time.Millisecond, Runtime: 20 * time.Millisecond, Init: 2 * time.Millisecond,
		})
	})
	const caller, callersSpan = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	req := httptest.NewRequest(http.MethodPost, "/functions/f", nil)
	req.Header.Set("Traceparent", "00-"+caller+"-"+callersSpan+"-01")
	tracer.Requests(mux).ServeHTTP(httptest.NewRecorder(), req)

	// A queued event runs later, without a request: its X-Ray header says where it belongs.
	tracer.Invocation(context.Background(), &telemetry.Invocation{
		Function: "f", Rung: "native", Outcome: function.OutcomeTimeout, TraceID: xray,
		Arrived: at(100), Began: at(101), Ended: at(150),
	})
	if err := tracer.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	const want = `POST /functions/{name}
  invocation 57ms
    queue 20ms
    cold start 30ms
      sandbox 8ms
      runtime 20ms
      init 2ms
    handler 7ms
  invocation 50ms failed: timeout
    queue 1ms
    handler 49ms
`
	if diff := cmp.Diff(want, r.Tree(callersSpan)); diff != "" {
		t.Errorf("spans below the caller's (-want +got):\n%s", diff)
	}
	if !strings.HasPrefix(w3c, "00-"+caller+"-") || strings.Contains(w3c, callersSpan) {
		t.Errorf("the function gets traceparent %q: want the caller's trace, and the request's span", w3c)
	}
	if span := strings.Split(w3c+"---", "-")[2]; xray != "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent="+span+";Sampled=1" {
		t.Errorf("the function gets X-Ray header %q, and traceparent %q", xray, w3c)
	}
}

func TestTraceOfABuild(t *testing.T) {
	r := otlptest.Start(t)
	tracer, err := telemetry.NewTracer(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	at := func(s int) time.Time { return begin.Add(time.Duration(s) * time.Second) }
	tracer.Build(&telemetry.Build{Function: "f", Rung: "native", Result: "tool", Reason: "out of memory", Began: at(0), Ended: at(90),
		Phases: []telemetry.BuildPhase{{Name: "prepare", At: at(1)}, {Name: "analysis", At: at(10)}}})
	if err := tracer.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	const want = "build 1m30s failed: out of memory\n  prepare 9s\n  analysis 1m20s\n"
	if diff := cmp.Diff(want, r.Tree("")); diff != "" {
		t.Error(diff)
	}
}

// TestTracesPassWithoutAnEndpoint: nothing is traced here, but callers' traces still reach functions.
func TestTracesPassWithoutAnEndpoint(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	tracer, err := telemetry.NewTracer(t.Context(), "test")
	if err != nil || tracer != nil {
		t.Fatalf("got %v, %v", tracer, err)
	}
	const w3c = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for _, test := range []struct{ traceparent, authorization, has, want string }{
		{"", "", "", ""},
		{"", "", "Root=mine", "Root=mine"},
		{"rubbish", "", "", ""},
		{w3c, "", "", "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1"},
		{w3c, "AWS4-HMAC-SHA256 Credential=k/s, SignedHeaders=host;x-amzn-trace-id, Signature=0", "Root=signed", "Root=signed"},
	} {
		req := httptest.NewRequest(http.MethodPost, "/", nil)
		for key, value := range map[string]string{"Traceparent": test.traceparent, "Authorization": test.authorization, "X-Amzn-Trace-Id": test.has} {
			if value != "" {
				req.Header.Set(key, value)
			}
		}
		var got string
		tracer.Requests(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get("X-Amzn-Trace-Id") })).ServeHTTP(httptest.NewRecorder(), req)
		if got != test.want || req.Header.Get("Traceparent") != test.traceparent {
			t.Errorf("%+v: got %q", test, got)
		}
	}
	if err := tracer.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// FuzzTraceHeaders: whatever callers send, requests are served, and what goes on is well formed.
func FuzzTraceHeaders(f *testing.F) {
	f.Add("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1")
	f.Add("", "Root=1-4bf92f35-;Parent=;;=")
	f.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	f.Setenv("OTEL_TRACES_SAMPLER", "always_off")
	tracer, err := telemetry.NewTracer(context.Background(), "test")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = tracer.Stop(context.Background()) }) // there is nothing to send
	served := 0
	h := tracer.Requests(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		served++
		if got := r.Header.Get("X-Amzn-Trace-Id"); len(got) != len("Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1") {
			f.Errorf("malformed %q", got)
		}
	}))
	f.Fuzz(func(t *testing.T, w3c, xray string) {
		req := httptest.NewRequest(http.MethodPost, "/", nil)
		req.Header["Traceparent"], req.Header["X-Amzn-Trace-Id"] = []string{w3c}, []string{xray}
		before := served
		h.ServeHTTP(httptest.NewRecorder(), req)
		if served != before+1 {
			t.Error("not served")
		}
	})
}
