package sim

import (
	"context"
	"testing"

	"github.com/cloudjit/cloudjit/internal/trace"
)

// BenchmarkCluster simulates minutes of the whole Azure cluster (46,412 functions, 0.63 million
// invocations a minute) under one policy on one core, the expansion of the trace included.
func BenchmarkCluster(b *testing.B) {
	for _, policy := range []string{"none", "paper", "adaptive"} {
		b.Run(policy, func(b *testing.B) { benchmarkCluster(b, policy, 3) })
	}
}

func benchmarkCluster(b *testing.B, policy string, minutes int) {
	t, err := trace.Generate{Minutes: minutes, StartMinute: 480, Seed: 1}.New()
	if err != nil {
		b.Fatal(err)
	}
	o := DefaultOptions()
	o.Policies = []string{policy}
	o.Sequential = true
	b.ReportAllocs()
	n := uint64(0)
	for b.Loop() {
		r, err := Run(context.Background(), t, o)
		if err != nil {
			b.Fatal(err)
		}
		n += r.Invocations
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "invocations/s")
}
