// Package telemetry is what operators see: Prometheus metrics, OpenTelemetry traces and the
// names of log keys. It must not decide anything and must not import what it measures: the
// node tells it what happened, and asks for a gauge's value are answered by functions given
// to Gauges.
package telemetry

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/cloudjit/cloudjit/internal/function"
)

// Phases of a cold start, in order (DESIGN.md: queue + sandbox + runtime + init + handler).
const (
	PhaseQueue   = "queue"
	PhaseSandbox = "sandbox"
	PhaseRuntime = "runtime"
	PhaseInit    = "init"
	PhaseHandler = "handler"
)

// Metrics of one server. Methods may be called concurrently and are cheap enough for the
// warm path.
type Metrics struct {
	reg         *prometheus.Registry
	invocations *prometheus.CounterVec
	coldStarts  *prometheus.CounterVec
	coldPhase   *prometheus.HistogramVec
	duration    *prometheus.HistogramVec
	rejections  *prometheus.CounterVec
	workerEnds  *prometheus.CounterVec
	workerCPU   *prometheus.CounterVec
	dropped     *prometheus.CounterVec
	builds      *prometheus.CounterVec
	buildWall   *prometheus.HistogramVec
	buildCPU    *prometheus.CounterVec
	buildRSS    *prometheus.GaugeVec
	checks      *prometheus.CounterVec
	checkWall   *prometheus.CounterVec
	checkCPU    *prometheus.CounterVec
	deopts      *prometheus.CounterVec
	falls       *prometheus.CounterVec
	async       *prometheus.CounterVec
}

// startBuckets cover a native start of a few milliseconds and a framework's of a minute.
var startBuckets = []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30, 60}

// NewMetrics registers everything, the Go runtime's and the process's figures included.
func NewMetrics() *Metrics {
	m := &Metrics{
		reg: prometheus.NewRegistry(),
		invocations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cloudjit_invocations_total", Help: "Invocations that ended, by function, rung and outcome."},
			[]string{"function", "rung", "outcome"}),
		coldStarts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cloudjit_cold_starts_total", Help: "Invocations that waited for a new worker, by function and rung."},
			[]string{"function", "rung"}),
		coldPhase: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "cloudjit_cold_start_seconds", Help: "Parts of a cold start, by rung and phase (queue, sandbox, runtime, init, handler).",
			Buckets: startBuckets}, []string{"rung", "phase"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "cloudjit_invocation_seconds", Help: "Time of an invocation in its worker, by rung.",
			Buckets: []float64{.0001, .0002, .0005, .001, .002, .005, .01, .05, .1, .5, 1, 5, 30, 300, 900}}, []string{"rung"}),
		rejections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cloudjit_rejections_total", Help: "Invocations that were refused, by reason."}, []string{"reason"}),
		workerEnds: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cloudjit_worker_ends_total", Help: "Workers that ended, by rung and reason."}, []string{"rung", "reason"}),
		workerCPU: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cloudjit_worker_cpu_seconds_total", Help: "CPU time of workers, by function and rung, up to the end of their last invocation or what was looked at since."},
			[]string{"function", "rung"}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cloudjit_output_dropped_bytes_total", Help: "Output that was dropped because a function wrote too much, by function."}, []string{"function"}),
		builds: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cloudjit_builds_total", Help: "Builds that ended, by rung and result (ok, cached, or the class of the failure)."}, []string{"rung", "result"}),
		buildWall: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "cloudjit_build_seconds", Help: "Duration of builds, by rung.",
			Buckets: []float64{.5, 1, 2, 5, 10, 20, 30, 60, 90, 120, 180, 300, 600, 1200, 1800}}, []string{"rung"}),
		buildCPU: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cloudjit_build_cpu_seconds_total", Help: "CPU time of builds, by rung."}, []string{"rung"}),
		buildRSS: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "cloudjit_build_last_peak_rss_bytes", Help: "Peak memory of the last build, by rung."}, []string{"rung"}),
		checks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cloudjit_checks_total", Help: "Checks that compared an artifact's answers with those of the first rung, by rung and result (same, differs, nothing, failed)."}, []string{"rung", "result"}),
		checkWall: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cloudjit_check_seconds_total", Help: "Duration of those checks, by rung."}, []string{"rung"}),
		checkCPU: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cloudjit_check_cpu_seconds_total", Help: "CPU time of those checks, by rung."}, []string{"rung"}),
		deopts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cloudjit_deoptimizations_total", Help: "Deoptimizations, by function."}, []string{"function"}),
		falls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cloudjit_falls_total", Help: "Artifacts that turned out wrong in service, by rung and reason."}, []string{"rung", "reason"}),
		async: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cloudjit_async_events_total", Help: "Asynchronous events, by what became of them (accepted, succeeded, retried, dead)."}, []string{"end"}),
	}
	m.reg.MustRegister(m.invocations, m.coldStarts, m.coldPhase, m.duration, m.rejections, m.workerEnds, m.workerCPU, m.dropped,
		m.builds, m.buildWall, m.buildCPU, m.buildRSS, m.checks, m.checkWall, m.checkCPU, m.deopts, m.falls, m.async,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler serves the metrics in the Prometheus text format.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.reg, promhttp.HandlerOpts{Registry: m.reg})
}

// Invocation counts one that ended after d in its worker.
func (m *Metrics) Invocation(fn function.Name, rung function.Rung, outcome function.Outcome, d time.Duration) {
	m.invocations.WithLabelValues(string(fn), string(rung), outcome.String()).Inc()
	m.duration.WithLabelValues(string(rung)).Observe(d.Seconds())
}

// ColdStart counts one; phases are by name, as above.
func (m *Metrics) ColdStart(fn function.Name, rung function.Rung, phases map[string]time.Duration) {
	m.coldStarts.WithLabelValues(string(fn), string(rung)).Inc()
	for phase, d := range phases {
		m.coldPhase.WithLabelValues(string(rung), phase).Observe(d.Seconds())
	}
}

// Rejection counts an invocation that was refused.
func (m *Metrics) Rejection(reason string) { m.rejections.WithLabelValues(reason).Inc() }

// WorkerEnd counts a worker that ended.
func (m *Metrics) WorkerEnd(rung function.Rung, reason string) {
	m.workerEnds.WithLabelValues(string(rung), reason).Inc()
}

// Use counts CPU time that a function's workers took, and bytes of their output that were dropped.
func (m *Metrics) Use(fn function.Name, rung function.Rung, cpu time.Duration, dropped int64) {
	m.workerCPU.WithLabelValues(string(fn), string(rung)).Add(cpu.Seconds())
	if dropped > 0 {
		m.dropped.WithLabelValues(string(fn)).Add(float64(dropped))
	}
}

// Build counts a build that ended; result is "ok", "cached" or an aot.Class.
func (m *Metrics) Build(rung function.Rung, result string, wall, cpu time.Duration, peakRSS int64) {
	m.builds.WithLabelValues(string(rung), result).Inc()
	if result == "cached" {
		return
	}
	m.buildWall.WithLabelValues(string(rung)).Observe(wall.Seconds())
	m.buildCPU.WithLabelValues(string(rung)).Add(cpu.Seconds())
	m.buildRSS.WithLabelValues(string(rung)).Set(float64(peakRSS))
}

// Check counts a check that compared; result is one of the store's.
func (m *Metrics) Check(rung function.Rung, result string, wall, cpu time.Duration) {
	m.checks.WithLabelValues(string(rung), result).Inc()
	m.checkWall.WithLabelValues(string(rung)).Add(wall.Seconds())
	m.checkCPU.WithLabelValues(string(rung)).Add(cpu.Seconds())
}

// Deoptimization counts one.
func (m *Metrics) Deoptimization(fn function.Name) { m.deopts.WithLabelValues(string(fn)).Inc() }

// Fall counts an artifact that turned out wrong while it served. There may be many functions: the
// log and the history say which one fell.
func (m *Metrics) Fall(_ function.Name, rung function.Rung, reason string) {
	m.falls.WithLabelValues(string(rung), reason).Inc()
}

// Async counts what became of an asynchronous event.
func (m *Metrics) Async(end string) { m.async.WithLabelValues(end).Inc() }

// Forget drops the series of a function that was deleted, so that they do not pile up.
func (m *Metrics) Forget(fn function.Name) {
	label := prometheus.Labels{"function": string(fn)}
	m.invocations.DeletePartialMatch(label)
	m.coldStarts.DeletePartialMatch(label)
	m.deopts.DeletePartialMatch(label)
	m.workerCPU.DeletePartialMatch(label)
	m.dropped.DeletePartialMatch(label)
}

// Gauge is a value that is asked for when metrics are read.
type Gauge struct {
	Name, Help string
	Labels     []string
	// Read calls put once for each combination of label values.
	Read func(put func(value float64, labels ...string))
}

// Gauges registers values to ask for.
func (m *Metrics) Gauges(gauges ...Gauge) {
	for _, g := range gauges {
		m.reg.MustRegister(&gaugeCollector{prometheus.NewDesc(g.Name, g.Help, g.Labels, nil), g.Read})
	}
}

type gaugeCollector struct {
	desc *prometheus.Desc
	read func(put func(float64, ...string))
}

func (c *gaugeCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

func (c *gaugeCollector) Collect(ch chan<- prometheus.Metric) {
	c.read(func(v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, v, labels...)
	})
}
