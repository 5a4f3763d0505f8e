package server_test

import (
	"bytes"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/cloudjit/cloudjit/internal/client"
	"github.com/cloudjit/cloudjit/internal/telemetry/otlptest"
	"github.com/cloudjit/cloudjit/internal/ziptest"
)

// TestTelemetryOfAColdStart: one cold and one warm invocation, as traces and as metrics.
func TestTelemetryOfAColdStart(t *testing.T) {
	traces := otlptest.Start(t)
	s, c := start(t, t.TempDir())
	config := map[string]any{"Runtime": "provided.al2023", "Handler": "bootstrap", "MemorySize": 128, "Timeout": 10, "Role": "arn:aws:iam::000000000000:role/any"}
	if _, err := c.Deploy(t.Context(), "echo", ziptest.Of(t, "bootstrap", string(guestProgram(t))), config, false); err != nil {
		t.Fatal(err)
	}
	const trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	for range 2 {
		resp, err := c.Do(t.Context(), http.MethodPost, client.FunctionPath("echo")+"/invocations",
			http.Header{"Traceparent": {"00-" + trace + "-" + span + "-01"}}, []byte(`{"do":"trace"}`))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !strings.Contains(string(got), "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=") {
			t.Errorf("the function saw trace %s (%v), want the caller's", got, err)
		}
	}
	resp, err := c.Do(t.Context(), http.MethodGet, "/metrics", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`cloudjit_cold_starts_total{function="echo",rung="direct"} 1`,
		`cloudjit_cold_start_seconds_count{phase="queue",rung="direct"} 1`,
		`cloudjit_cold_start_seconds_count{phase="sandbox",rung="direct"} 1`,
		`cloudjit_cold_start_seconds_count{phase="runtime",rung="direct"} 1`,
		`cloudjit_cold_start_seconds_count{phase="init",rung="direct"} 1`,
		`cloudjit_cold_start_seconds_count{phase="handler",rung="direct"} 1`,
		`cloudjit_invocations_total{function="echo",outcome="ok",rung="direct"} 2`,
		`cloudjit_workers{rung="direct",state="idle"} 1`,
		`cloudjit_revisions{rung="direct"} 1`,
		`cloudjit_builds_running 0`,
		`cloudjit_async_queue_length 0`,
		`cloudjit_memory_reserved_bytes 1.34217728e+08`,
	} {
		if !strings.Contains(string(metrics), want+"\n") {
			t.Errorf("no metric %s", want)
		}
	}
	problems, err := promlint.New(bytes.NewReader(metrics)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("metric %s: %s", p.Metric, p.Text)
	}
	for _, labels := range regexp.MustCompile(`(?m)^cloudjit_\w+\{(.*)\}`).FindAllStringSubmatch(string(metrics), -1) {
		for _, label := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(labels[1], -1) {
			if !strings.Contains(" function rung outcome phase reason result end state le version kind ", " "+label[1]+" ") {
				t.Errorf("label %s: is the number of its values bounded? (worker, request and revision are not)", label[1])
			}
		}
	}
	stop(t, s)
	const want = `POST /2015-03-31/functions/{name}/invocations
  invocation
    queue
    cold start
      sandbox
      runtime
      init
    handler
POST /2015-03-31/functions/{name}/invocations
  invocation
    queue
    handler
`
	drawn := regexp.MustCompile(`(?m) [\d.]+[nµm]?s$`).ReplaceAllString(traces.Tree(span), "")
	if diff := cmp.Diff(want, drawn); diff != "" {
		t.Errorf("spans below the caller's (-want +got):\n%s", diff)
	}
}
