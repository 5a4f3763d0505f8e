package microvm

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/toolchain"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/microvm/wire"
	"github.com/cloudjit/cloudjit/internal/worker/process"
	"github.com/cloudjit/cloudjit/internal/worker/workertest"
)

// median reports the middle of some times.
func median(b *testing.B, times []time.Duration, name string) {
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, name)
}

// BenchmarkDrivers is the test program, a static binary as a native function is, in processes and in virtual machines: from
// nothing to its first answer, from a snapshot to that, a warm invocation, and its memory while it waits.
func BenchmarkDrivers(b *testing.B) {
	criu, err := toolchain.FindCRIU(b.Context(), config.CacheDir())
	if err != nil {
		b.Logf("no snapshots of processes: %v", err)
	}
	type with struct {
		name string
		open func() worker.Driver
	}
	all := []with{{"process", func() worker.Driver {
		d, err := process.New(process.Options{Dir: filepath.Join(b.TempDir(), "process"), CRIU: criu})
		if err != nil {
			b.Fatal(err)
		}
		return d
	}}}
	if realFirecracker != "" {
		all = append(all, with{"firecracker", func() worker.Driver { return newDriver(b) }})
	} else {
		for _, kernel := range testKernels(b) {
			all = append(all, with{"qemu-" + kernel, func() worker.Driver { return newDriverOf(b, kernel, process.Options{}) }})
		}
	}
	for _, with := range all {
		b.Run(with.name, func(b *testing.B) {
			d := with.open()
			defer d.Close()
			n := 0
			start := func(b *testing.B, change func(*worker.Spec)) worker.Worker {
				spec := guestSpec(b, workertest.Handler)
				spec.Folders, spec.RecordDir = nil, ""
				spec.Env = append(spec.Env, "GODEBUG=multipathtcp=0") // which CRIU does not know
				n++
				spec.ID = "bench-" + strconv.Itoa(n)
				spec.Revision = &function.Spec{ID: "r", Kind: function.KindProvided, Function: "bench", Version: function.Latest, MemoryMiB: 512, Concurrency: 1}
				change(&spec)
				w, err := d.Start(b.Context(), spec)
				if err != nil {
					b.Fatal(err)
				}
				return w
			}
			answer := func(b *testing.B, w worker.Worker) {
				inv := &worker.Invocation{RequestID: "r", Payload: workertest.Command{Do: "echo", Text: "hello"}.JSON(), Deadline: time.Now().Add(time.Hour)}
				if _, err := w.Invoke(b.Context(), inv); err != nil {
					b.Fatal(err)
				}
			}
			first := func(b *testing.B, change func(*worker.Spec)) {
				_ = start(b, change).Stop(context.Background(), 0) // images, the guest that has booted, what was saved
				var times, took []time.Duration
				var pss int64
				for b.Loop() {
					began := time.Now()
					w := start(b, change)
					answer(b, w)
					times = append(times, time.Since(began))
					took = append(took, w.(worker.Clocker).CPU())
					m, err := w.Memory(b.Context())
					if err != nil {
						b.Fatal(err)
					}
					pss = m.PSS
					_ = w.Stop(context.Background(), 0)
				}
				median(b, times, "p50-ms")
				median(b, took, "CPU-ms") // also where others use the machine
				b.ReportMetric(float64(times[0].Microseconds())/1000, "min-ms")
				b.ReportMetric(float64(pss>>20), "PSS-MiB")
			}
			b.Run("start", func(b *testing.B) { first(b, func(*worker.Spec) {}) })
			b.Run("snapshot", func(b *testing.B) {
				if !d.Capabilities().Snapshot {
					b.Skip("CAPABILITY snapshot IS LACKING HERE")
				}
				dir := b.TempDir()
				w := start(b, func(s *worker.Spec) { s.Savable = true })
				answer(b, w)
				if err := w.(worker.Snapshotter).Snapshot(b.Context(), dir); err != nil {
					b.Fatal(err)
				}
				_ = w.Stop(context.Background(), 0)
				first(b, func(s *worker.Spec) { s.Restore = dir })
			})
			b.Run("invoke", func(b *testing.B) {
				w := start(b, func(*worker.Spec) {})
				defer w.Stop(context.Background(), 0)
				answer(b, w)
				var times []time.Duration
				for b.Loop() {
					began := time.Now()
					answer(b, w)
					times = append(times, time.Since(began))
				}
				median(b, times, "p50-ms")
			})
		})
	}
}

// BenchmarkEcho is 1 KB to the agent in a guest and back.
func BenchmarkEcho(b *testing.B) {
	for _, kernel := range testKernels(b) {
		b.Run("qemu-"+kernel, func(b *testing.B) { benchmarkEcho(b, newDriverOf(b, kernel, process.Options{})) })
	}
}

func benchmarkEcho(b *testing.B, d *Driver) {
	defer d.Close()
	h := startGuest(b, d, workertest.Handler, "echo")
	defer h.Stop(context.Background(), 0)
	st, stop, err := h.session().open(b.Context(), wire.Request{Op: wire.OpEcho})
	if err != nil {
		b.Fatal(err)
	}
	defer stop()
	defer st.Close()
	out, in := bytes.Repeat([]byte("x"), 1024), make([]byte, 1024)
	var times []time.Duration
	for b.Loop() {
		began := time.Now()
		if _, err := st.Write(out); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(st, in); err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(began))
	}
	median(b, times, "p50-ms")
}
