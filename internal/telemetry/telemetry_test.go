package telemetry_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func scrape(m *telemetry.Metrics) string {
	rec := httptest.NewRecorder()
	m.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return rec.Body.String()
}

func TestMetricsSayWhatHappened(t *testing.T) {
	m := telemetry.NewMetrics()
	m.ColdStart("f", "native", map[string]time.Duration{telemetry.PhaseSandbox: 4 * time.Millisecond})
	m.Invocation("f", "native", function.OutcomeOK, time.Millisecond)
	m.Build("native", "ok", 90*time.Second, 170*time.Second, 1<<30)
	m.WorkerEnd("aot-cache", "expired")
	m.Deoptimization("f")
	m.Fall("f", "aot-cache", "unusable")
	m.Gauges(telemetry.Gauge{Name: "cloudjit_workers", Help: "Workers, by rung.", Labels: []string{"rung"},
		Read: func(put func(float64, ...string)) { put(3, "hotspot") }})
	got := scrape(m)
	for _, want := range []string{
		`cloudjit_cold_starts_total{function="f",rung="native"} 1`,
		`cloudjit_cold_start_seconds_bucket{phase="sandbox",rung="native",le="0.005"} 1`,
		`cloudjit_invocations_total{function="f",outcome="ok",rung="native"} 1`,
		`cloudjit_build_cpu_seconds_total{rung="native"} 170`,
		`cloudjit_builds_total{result="ok",rung="native"} 1`,
		`cloudjit_worker_ends_total{reason="expired",rung="aot-cache"} 1`,
		`cloudjit_falls_total{reason="unusable",rung="aot-cache"} 1`,
		`cloudjit_workers{rung="hotspot"} 3`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
	m.Forget("f")
	if got := scrape(m); strings.Contains(got, `function="f"`) {
		t.Error("series of a deleted function are still there")
	}
}
