package telemetry

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/cloudjit/cloudjit/internal/function"
)

// Tracer sends OpenTelemetry traces: of each request, of what an invocation spent its time on, and
// of builds. A nil Tracer traces nothing, but still hands callers' traces on. Methods may be
// called concurrently and do not wait for the network.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
}

// NewTracer sends where OTEL_EXPORTER_OTLP_ENDPOINT (or its traces-only sibling) says; the other
// OTEL_* variables of the specification are honoured too
// (https://opentelemetry.io/docs/specs/otel/protocol/exporter/). Without an endpoint the Tracer is nil.
func NewTracer(ctx context.Context, version string) (*Tracer, error) {
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" {
		return nil, nil
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("start trace exporter: %w", err)
	}
	res, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", "cloudjit"), attribute.String("service.version", version)), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("describe trace source: %w", err)
	}
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(res))
	return &Tracer{provider, provider.Tracer("github.com/cloudjit/cloudjit")}, nil
}

// Stop sends what is left, as long as ctx lasts.
func (t *Tracer) Stop(ctx context.Context) error {
	if t == nil {
		return nil
	}
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("send the last traces: %w", err)
	}
	return nil
}

// Headers, in the form that http.Header keeps them. Lambda runtimes get their trace in X-Ray's form
// and no other.
const (
	headerXRay = "X-Amzn-Trace-Id"
	headerW3C  = "Traceparent"
)

// signed reports that the caller's signature covers a header, so that it must stay as it is.
func signed(r *http.Request, header string) bool {
	_, list, _ := strings.Cut(r.Header.Get("Authorization"), "SignedHeaders=")
	list, _, _ = strings.Cut(list, ",")
	return slices.Contains(strings.Split(list, ";"), strings.ToLower(header))
}

// Requests makes a span of every request, below the caller's if it sent one as W3C traceparent or
// as X-Ray header, and hands that on to the function: as traceparent to web applications, as X-Ray header
// to handlers.
func (t *Tracer) Requests(h http.Handler) http.Handler {
	var w3c propagation.TraceContext
	handOn := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sc := trace.SpanContextFromContext(r.Context())
		if t == nil && r.Header.Get(headerW3C) != "" {
			sc = trace.SpanContextFromContext(w3c.Extract(context.Background(), propagation.HeaderCarrier(r.Header)))
		}
		if sc.IsValid() {
			if !signed(r, headerXRay) {
				r.Header[headerXRay] = []string{formatXRay(sc)}
			}
			if t != nil && !signed(r, headerW3C) {
				w3c.Inject(r.Context(), propagation.HeaderCarrier(r.Header))
			}
		}
		h.ServeHTTP(w, r)
	})
	if t == nil {
		return handOn
	}
	traced := otelhttp.NewHandler(handOn, "request", otelhttp.WithTracerProvider(t.provider), otelhttp.WithPropagators(w3c),
		otelhttp.WithSpanNameFormatter(func(operation string, r *http.Request) string {
			if r.Pattern == "" {
				return operation
			}
			return r.Pattern
		}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(headerW3C) == "" {
			if sc := parseXRay(r.Header.Get(headerXRay)); sc.IsValid() {
				w3c.Inject(trace.ContextWithRemoteSpanContext(r.Context(), sc), propagation.HeaderCarrier(r.Header))
			}
		}
		traced.ServeHTTP(w, r)
	})
}

// formatXRay writes a span as X-Ray does: the first 8 of the trace's 32 digits stand for its time
// (https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader).
func formatXRay(sc trace.SpanContext) string {
	id, sampled := sc.TraceID().String(), "0"
	if sc.IsSampled() {
		sampled = "1"
	}
	return "Root=1-" + id[:8] + "-" + id[8:] + ";Parent=" + sc.SpanID().String() + ";Sampled=" + sampled
}

// parseXRay reads what formatXRay writes, its parts in any order. It is not valid without a parent.
func parseXRay(header string) trace.SpanContext {
	c := trace.SpanContextConfig{Remote: true}
	for part := range strings.SplitSeq(header, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch key {
		case "Root":
			if len(value) == 35 && value[:2] == "1-" && value[10] == '-' {
				if _, err := hex.Decode(c.TraceID[:], []byte(value[2:10]+value[11:])); err != nil {
					return trace.SpanContext{}
				}
			}
		case "Parent":
			if len(value) == 16 {
				if _, err := hex.Decode(c.SpanID[:], []byte(value)); err != nil {
					return trace.SpanContext{}
				}
			}
		case "Sampled":
			if value == "1" {
				c.TraceFlags = trace.FlagsSampled
			}
		}
	}
	return trace.NewSpanContext(c)
}

// Invocation is one turn of an invocation on a worker, after its end. An invocation that runs again
// has several.
type Invocation struct {
	Function function.Name
	Revision function.RevisionID
	Worker   string
	Request  string
	// TraceID is the X-Ray header that came with it: its parent where the context has none (a queued event).
	TraceID string
	Rung    function.Rung
	Outcome function.Outcome
	// Reason says why no worker ran it.
	Reason string
	Cold   bool
	// Arrived; Began on its worker, zero if on none; Ended.
	Arrived, Began, Ended time.Time
	// Sandbox, Runtime and Init are the phases of its worker's start, if Cold.
	Sandbox, Runtime, Init time.Duration
}

// Invocation makes the spans of a turn: queue, cold start with its phases, handler.
func (t *Tracer) Invocation(ctx context.Context, i *Invocation) {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		ctx = trace.ContextWithRemoteSpanContext(ctx, parseXRay(i.TraceID))
	}
	start, begun := i.Sandbox+i.Runtime+i.Init, i.Began
	if begun.IsZero() {
		begun = i.Ended
	}
	queued := begun
	if i.Cold {
		queued = begun.Add(-start)
	}
	arrived := i.Arrived
	if queued.Before(arrived) { // its worker was started for another that had no use for it
		arrived = queued
	}
	ctx, span := t.tracer.Start(ctx, "invocation", trace.WithTimestamp(arrived), trace.WithAttributes(
		attribute.String("faas.name", string(i.Function)), attribute.String("faas.instance", i.Worker),
		attribute.String("faas.invocation_id", i.Request), attribute.Bool("faas.coldstart", i.Cold),
		attribute.String("cloudjit.revision", string(i.Revision)), attribute.String("cloudjit.rung", string(i.Rung)),
		attribute.String("cloudjit.outcome", i.Outcome.String())))
	if i.Outcome != function.OutcomeOK {
		span.SetStatus(codes.Error, cmp.Or(i.Reason, i.Outcome.String()))
	}
	t.span(ctx, PhaseQueue, arrived, queued)
	if i.Cold {
		in, cold := t.tracer.Start(ctx, "cold start", trace.WithTimestamp(queued))
		at := queued
		for _, phase := range []struct {
			name string
			d    time.Duration
		}{{PhaseSandbox, i.Sandbox}, {PhaseRuntime, i.Runtime}, {PhaseInit, i.Init}} {
			t.span(in, phase.name, at, at.Add(phase.d))
			at = at.Add(phase.d)
		}
		cold.End(trace.WithTimestamp(begun))
	}
	if !i.Began.IsZero() {
		t.span(ctx, PhaseHandler, i.Began, i.Ended)
	}
	span.End(trace.WithTimestamp(i.Ended))
}

func (t *Tracer) span(ctx context.Context, name string, from, to time.Time) {
	_, span := t.tracer.Start(ctx, name, trace.WithTimestamp(from))
	span.End(trace.WithTimestamp(to))
}

// Build is a build after its end.
type Build struct {
	ID       string
	Function function.Name
	Revision function.RevisionID
	Rung     function.Rung
	// Result is "ok", "cached" or an aot.Class, Reason of a failure.
	Result, Reason string
	Began, Ended   time.Time
	// Phases in their order; each lasts until the next begins.
	Phases []BuildPhase
}

// BuildPhase is the begin of a part of a build.
type BuildPhase struct {
	Name string
	At   time.Time
}

// Build makes the spans of a build and its phases, in a trace of its own.
func (t *Tracer) Build(b *Build) {
	ctx, span := t.tracer.Start(context.Background(), "build", trace.WithTimestamp(b.Began), trace.WithAttributes(
		attribute.String("faas.name", string(b.Function)), attribute.String("cloudjit.build", b.ID),
		attribute.String("cloudjit.revision", string(b.Revision)), attribute.String("cloudjit.rung", string(b.Rung)),
		attribute.String("cloudjit.result", b.Result)))
	if b.Result != "ok" && b.Result != "cached" {
		span.SetStatus(codes.Error, b.Reason)
	}
	for n, phase := range b.Phases {
		end := b.Ended
		if n+1 < len(b.Phases) {
			end = b.Phases[n+1].At
		}
		t.span(ctx, phase.Name, phase.At, end)
	}
	span.End(trace.WithTimestamp(b.Ended))
}
