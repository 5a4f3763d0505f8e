package process

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/workertest"
)

func revision(web bool) *function.Spec {
	kind := function.KindProvided
	if web {
		kind = function.KindWeb
	}
	return &function.Spec{Kind: kind, Function: "bench", Version: function.Latest, MemoryMiB: 256, Concurrency: 1}
}

func startGuest(b testing.TB, d worker.Driver, g workertest.Guest, id string) worker.Worker {
	b.Helper()
	spec := guestSpec(b, g)
	spec.ID, spec.Revision = id, revision(g == workertest.Web)
	w, err := d.Start(b.Context(), spec)
	if err != nil {
		b.Fatal(err)
	}
	return w
}

// BenchmarkInvoke is a warm invocation of the test program, a Go program on net/http, beside a
// bare HTTP round trip over loopback to a handler that does the same without any platform.
func BenchmarkInvoke(b *testing.B) {
	command := workertest.Command{Do: "echo", Text: "hello"}.JSON()
	b.Run("worker", func(b *testing.B) {
		d := newDriver(b, Options{})
		defer d.Close()
		w := startGuest(b, d, workertest.Handler, "bench")
		inv := &worker.Invocation{RequestID: "r", Payload: command, Deadline: time.Now().Add(time.Hour)}
		var times []time.Duration
		for b.Loop() {
			began := time.Now()
			if _, err := w.Invoke(b.Context(), inv); err != nil {
				b.Fatal(err)
			}
			times = append(times, time.Since(began))
		}
		percentiles(b, times)
	})
	b.Run("bare", func(b *testing.B) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })}
		go s.Serve(l)
		defer s.Close()
		url := "http://" + l.Addr().String()
		var times []time.Duration
		for b.Loop() {
			began := time.Now()
			res, err := http.Post(url, "application/json", bytes.NewReader(command))
			if err != nil {
				b.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
			times = append(times, time.Since(began))
		}
		percentiles(b, times)
	})
	b.Run("web", func(b *testing.B) {
		d := newDriver(b, Options{})
		defer d.Close()
		w := startGuest(b, d, workertest.Web, "bench")
		var times []time.Duration
		for b.Loop() {
			began := time.Now()
			req, _ := http.NewRequestWithContext(b.Context(), http.MethodPost, "http://f/echo/", bytes.NewReader(command))
			res, err := w.HTTP().RoundTrip(req)
			if err != nil {
				b.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
			times = append(times, time.Since(began))
		}
		percentiles(b, times)
	})
}

func percentiles(b *testing.B, times []time.Duration) {
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Nanoseconds()), "p50-ns")
	b.ReportMetric(float64(times[len(times)*99/100].Nanoseconds()), "p99-ns")
}

// BenchmarkStart is the start and the end of a worker: the platform's share (sandbox), the test
// program's own, and the memory of the idle worker.
func BenchmarkStart(b *testing.B) {
	for _, mode := range []struct {
		name string
		o    Options
	}{{"root", Options{}}, {"rootless", Options{Rootless: true}}} {
		b.Run(mode.name, func(b *testing.B) {
			if mode.o.Rootless && !userNamespaces() {
				b.Skip("USER NAMESPACES ARE LACKING HERE")
			}
			d := newDriver(b, mode.o)
			defer d.Close()
			var sandbox, whole, stop []time.Duration
			var pss int64
			i := 0
			for b.Loop() {
				i++
				began := time.Now()
				w := startGuest(b, d, workertest.Handler, fmt.Sprintf("bench-%d", i))
				whole = append(whole, time.Since(began))
				sandbox = append(sandbox, w.Phases().Sandbox)
				if i == 1 {
					m, err := w.Memory(b.Context())
					if err != nil {
						b.Fatal(err)
					}
					pss = m.PSS
				}
				began = time.Now()
				if err := w.Stop(b.Context(), 0); err != nil {
					b.Fatal(err)
				}
				stop = append(stop, time.Since(began))
			}
			slices.Sort(sandbox)
			slices.Sort(whole)
			slices.Sort(stop)
			ms := func(d []time.Duration, at int) float64 { return float64(d[len(d)*at/100].Microseconds()) / 1000 }
			b.ReportMetric(ms(sandbox, 0), "sandbox-min-ms")
			b.ReportMetric(ms(sandbox, 50), "sandbox-p50-ms")
			b.ReportMetric(ms(sandbox, 99), "sandbox-p99-ms")
			b.ReportMetric(ms(whole, 50), "ready-p50-ms")
			b.ReportMetric(ms(stop, 50), "stop-p50-ms")
			b.ReportMetric(float64(pss)/(1<<20), "idle-pss-MiB")
		})
	}
}
