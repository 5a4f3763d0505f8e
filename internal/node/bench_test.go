package node

import (
	"context"
	"testing"

	"github.com/cloudjit/cloudjit/internal/worker"
)

// BenchmarkInvokeWarm is what the node adds to a warm invocation: the fake worker answers at once.
// Compare with BenchmarkWorker, the same worker without the node.
func BenchmarkInvokeWarm(b *testing.B) {
	w := open(b, &world{}, nil)
	defer w.Close()
	id := w.deploy(b, "f", nil)
	inv := &worker.Invocation{RequestID: "r", Payload: []byte("x")}
	w.call(b, id, "x")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.Invoke(context.Background(), id, inv); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkInvokeParallel has as many callers as there are cores, each with its worker.
func BenchmarkInvokeParallel(b *testing.B) {
	w := open(b, &world{}, nil)
	defer w.Close()
	id := w.deploy(b, "f", nil)
	w.burst(b, id, 16)
	b.RunParallel(func(pb *testing.PB) {
		inv := &worker.Invocation{RequestID: "r", Payload: []byte("x")}
		for pb.Next() {
			if _, err := w.Invoke(context.Background(), id, inv); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkWorker is the fake worker alone.
func BenchmarkWorker(b *testing.B) {
	w := open(b, &world{}, nil)
	defer w.Close()
	in, err := w.driver.Start(context.Background(), worker.Spec{ID: "w"})
	if err != nil {
		b.Fatal(err)
	}
	inv := &worker.Invocation{RequestID: "r", Payload: []byte("x")}
	for b.Loop() {
		if _, err := in.Invoke(context.Background(), inv); err != nil {
			b.Fatal(err)
		}
	}
}
