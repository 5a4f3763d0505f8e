package store

import (
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
)

// BenchmarkOpen is the store's part of a server's start.
func BenchmarkOpen(b *testing.B) {
	for _, n := range []int{0, 1000} {
		b.Run(fmt.Sprintf("functions=%d", n), func(b *testing.B) {
			dir := b.TempDir()
			s := open(b, dir)
			for i := range n {
				create(b, s, "f"+strconv.Itoa(i))
			}
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				s, err := Open(b.Context(), Options{Dir: dir})
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				debug.FreeOSMemory()
				b.ReportMetric(rss(b), "rss-MiB")
				if len(s.Functions()) != n {
					b.Fatalf("got %d functions", len(s.Functions()))
				}
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

// BenchmarkWrite is the cost of durability: each iteration is one acknowledged write.
func BenchmarkWrite(b *testing.B) {
	for _, sync := range []bool{true, false} {
		s, err := Open(b.Context(), Options{Dir: b.TempDir(), NoSync: !sync})
		if err != nil {
			b.Fatal(err)
		}
		f, rev := newFunction("f")
		if err := s.CreateFunction(b.Context(), f, rev); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("update/sync=%v", sync), func(b *testing.B) {
			for b.Loop() {
				if _, err := s.UpdateFunction(b.Context(), "f", func(f *Function) error { f.LastVersion++; return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("enqueue/sync=%v", sync), func(b *testing.B) {
			a := &Async{RequestID: "r", Function: "f", Payload: make([]byte, 1<<10)}
			for b.Loop() {
				if err := s.Enqueue(b.Context(), a); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("enqueue-by-16/sync=%v", sync), func(b *testing.B) {
			a := &Async{RequestID: "r", Function: "f", Payload: make([]byte, 1<<10)}
			b.SetParallelism(8)
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					if err := s.Enqueue(b.Context(), a); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRead is what the warm path pays when it resolves a name.
func BenchmarkRead(b *testing.B) {
	s := open(b, b.TempDir())
	f, _ := create(b, s, "f")
	for b.Loop() {
		f, ok := s.Function(f.Name)
		if !ok {
			b.Fatal("gone")
		}
		if _, ok := s.Revision(f.Latest.Current()); !ok {
			b.Fatal("gone")
		}
	}
}

// rss is the resident memory of this process in MiB.
func rss(b *testing.B) float64 {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Fatal(err)
	}
	pages, err := strconv.ParseFloat(strings.Fields(string(statm))[1], 64)
	if err != nil {
		b.Fatal(err)
	}
	return pages * float64(os.Getpagesize()) / (1 << 20)
}
