// Package otlptest is an OTLP/HTTP end point in the test's own process, for tests that look at traces.
// It knows the protocol and nothing of what is traced.
package otlptest

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	pb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Receiver keeps the spans that it gets.
type Receiver struct {
	mu    sync.Mutex
	spans []*pb.Span
}

// Start serves until the test ends, and points OTEL_EXPORTER_OTLP_ENDPOINT at itself.
func Start(t *testing.T) *Receiver {
	r := &Receiver{}
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		var doc collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &doc)
		}
		if err != nil || req.URL.Path != "/v1/traces" {
			t.Errorf("request for %s: %v", req.URL.Path, err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, resource := range doc.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				r.spans = append(r.spans, scope.Spans...)
			}
		}
	}))
	t.Cleanup(s.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", s.URL)
	return r
}

// Tree draws the spans below a parent's (its ID in hex; empty: those without) in the order of their begin, those
// within the platform with their durations.
func (r *Receiver) Tree(parent string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	// Children that begin with their parent were begun, and sent, before it ended: a stable sort keeps their order.
	slices.SortStableFunc(r.spans, func(a, b *pb.Span) int { return int(int64(a.StartTimeUnixNano - b.StartTimeUnixNano)) })
	var b strings.Builder
	r.draw(&b, parent, "")
	return b.String()
}

func (r *Receiver) draw(b *strings.Builder, parent, indent string) {
	for _, s := range r.spans {
		if hex.EncodeToString(s.ParentSpanId) != parent {
			continue
		}
		b.WriteString(indent + s.Name)
		if s.Kind != pb.Span_SPAN_KIND_SERVER {
			b.WriteString(" " + time.Duration(s.EndTimeUnixNano-s.StartTimeUnixNano).String())
		}
		if s.Status.GetCode() == pb.Status_STATUS_CODE_ERROR {
			b.WriteString(" failed: " + s.Status.Message)
		}
		b.WriteString("\n")
		r.draw(b, hex.EncodeToString(s.SpanId), indent+"  ")
	}
}
