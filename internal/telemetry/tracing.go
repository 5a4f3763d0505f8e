package telemetry

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
)

// Tracing sends OpenTelemetry traces where OTEL_EXPORTER_OTLP_ENDPOINT (or its traces-only
// sibling) says; the other OTEL_* variables of the specification are honoured too
// (https://opentelemetry.io/docs/specs/otel/protocol/exporter/). Without an endpoint nothing
// is traced. The function that it returns sends what is left; enabled says whether anything is traced.
func Tracing(ctx context.Context, version string) (enabled bool, stop func(context.Context) error, err error) {
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" {
		return false, func(context.Context) error { return nil }, nil
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return false, nil, fmt.Errorf("start trace exporter: %w", err)
	}
	res, err := resource.New(ctx, resource.WithFromEnv(), resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", "cloudjit"), attribute.String("service.version", version)))
	if err != nil {
		return false, nil, fmt.Errorf("describe trace source: %w", err)
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithResource(res))
	otel.SetTracerProvider(provider)
	otel.SetTextMapPropagator(propagation.TraceContext{})
	return true, provider.Shutdown, nil
}

// TraceRequests makes a span of every request, as a child of the caller's if it sent one.
func TraceRequests(h http.Handler) http.Handler {
	return otelhttp.NewHandler(h, "http.request", otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string {
		return r.Method + " " + r.Pattern
	}))
}
