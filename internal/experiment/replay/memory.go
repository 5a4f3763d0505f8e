package replay

import (
	"context"
	"time"

	"github.com/cloudjit/cloudjit/internal/client"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/machine"
	"github.com/cloudjit/cloudjit/internal/sim"
)

// sampler measures the memory of all workers each second, or more seldom where that takes
// long: a tenth of the time at most, but every five seconds whatever it takes. On a busy machine the
// measurement waits for its turn like everything else, which costs nobody anything.
type sampler struct {
	client    *client.Client
	start     time.Time
	number    map[string]int // of functions, by name
	megabytes []int

	samples []Sample
	fits    map[sim.Way]*fit
	// own is what was measured of each function's workers, in MB.
	own    []map[sim.Way]*moments
	failed int
}

func newSampler(c *client.Client, megabytes []int) *sampler {
	s := &sampler{client: c, number: map[string]int{}, megabytes: megabytes, fits: map[sim.Way]*fit{}}
	for range megabytes {
		s.own = append(s.own, map[sim.Way]*moments{})
	}
	return s
}

// leastSamples is how many measurements of a function's own workers stand for them, in the place of the line through all functions'.
const leastSamples = 30

// Sample is one measurement.
type Sample struct {
	At time.Duration
	// Resident is the PSS of all workers that are up, Running of those that run an invocation, in
	// MB.
	Resident, Running float64
	Workers           int
	// Rungs are the parts of Resident and Workers that workers of each rung have.
	Rungs map[function.Rung]RungSample
	// Took is how long it took.
	Took time.Duration
	// Busy is how many of the machine's cores were busy since the last one, with anything.
	Busy float64
}

// RungSample is the part of a rung.
type RungSample struct {
	MB      float64
	Workers int
}

const (
	sampleEvery  = time.Second
	sampleShare  = 10
	sampleSeldom = 5 * time.Second
)

// run samples until ctx ends.
func (s *sampler) run(ctx context.Context) {
	lastCPU, lastAt := busyTime(), time.Now()
	for {
		begin := time.Now()
		workers, err := s.client.Workers(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.failed++ // the series keeps its last value
		default:
			now, cpu := time.Now(), busyTime()
			s.add(Sample{At: begin.Sub(s.start), Took: now.Sub(begin), Busy: (cpu - lastCPU).Seconds() / max(now.Sub(lastAt).Seconds(), 1e-3)}, workers)
			lastCPU, lastAt = cpu, now
		}
		took := time.Since(begin)
		select {
		case <-time.After(max(min(max(sampleEvery, sampleShare*took), sampleSeldom)-took, sampleEvery/2)):
		case <-ctx.Done():
			return
		}
	}
}

func (s *sampler) add(m Sample, workers []client.Worker) {
	m.Rungs = map[function.Rung]RungSample{}
	for i := range workers {
		w := &workers[i]
		mb := float64(w.Memory.PSS) / 1e6
		if mb == 0 {
			continue // it starts, or has just gone
		}
		m.Workers++
		m.Resident += mb
		rung := m.Rungs[w.Rung]
		m.Rungs[w.Rung] = RungSample{rung.MB + mb, rung.Workers + 1}
		if w.State == "busy" {
			m.Running += mb
		}
		if f, ok := s.number[string(w.Function)]; ok {
			way := sim.Way{Rung: w.Rung, Recording: w.Recording}
			at(s.fits, way).add(float64(s.megabytes[f]), mb)
			at(s.own[f], way).add(mb)
		}
	}
	s.samples = append(s.samples, m)
}

// series writes the value of each second: that of the last sample before its end.
func (s *sampler) series(seconds int) (resident, running []float64) {
	i := 0
	var last Sample
	for sec := range seconds {
		for i < len(s.samples) && s.samples[i].At < time.Duration(sec+1)*time.Second {
			last = s.samples[i]
			i++
		}
		resident, running = append(resident, last.Resident), append(running, last.Running)
	}
	return resident, running
}

// fit is a line through (what a function allocates, what a worker of it has), by least squares.
type fit struct{ n, x, y, xx, xy float64 }

func (f *fit) add(x, y float64) {
	f.n++
	f.x += x
	f.y += y
	f.xx += x * x
	f.xy += x * y
}

// line is base + slope*x; a mean where the x are all alike, zeros without samples.
func (f *fit) line() (base, slope float64) {
	if f == nil || f.n == 0 {
		return 0, 0
	}
	if spread := f.xx - f.x*f.x/f.n; spread > 1e-9*f.xx+1e-9 {
		slope = max((f.xy-f.x*f.y/f.n)/spread, 0)
	}
	return (f.y - slope*f.x) / f.n, slope
}

// busyTime is the CPU time that the machine has worked, of all cores; 0 where it cannot be read.
func busyTime() time.Duration {
	idle, all, _ := machine.CPU()
	return all - idle
}
