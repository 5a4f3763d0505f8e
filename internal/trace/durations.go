package trace

import (
	"math"
	"slices"
	"time"
)

// Durations is what a trace says of a function's execution times, in milliseconds.
type Durations struct {
	// Average over all its invocations.
	Average float64 `json:"average"`
	// Count is the number of invocations behind it; 0 where it is not known.
	Count int64 `json:"count,omitempty"`
	// Percentiles are those of levels: 0, 1, 25, 50, 75, 99, 100.
	Percentiles [7]float64 `json:"percentiles"`
}

var levels = [7]float64{0, 0.01, 0.25, 0.50, 0.75, 0.99, 1}

// maxDuration bounds what a row may claim: a year in milliseconds.
const maxDuration = 366 * 24 * 3600 * 1000.0

// sampler draws durations of one function by the inverse of its distribution function, linear
// between the published percentiles.
//
// The last percent is the exception: between the 99th percentile and the maximum a straight
// line would overstate the mean, often by an order of magnitude. There the value is
// p99 + (max-p99)*v^shape, v uniform, with the shape for which the mean of the whole is the
// published average, as far as a shape in [0, 1000] can do that. Mean of v^s is 1/(s+1).
type sampler struct {
	at    [7]float32 // ms
	shape float32
	mean  float32 // ms, the published average
}

func newSampler(d *Durations) sampler {
	s := sampler{mean: float32(d.Average)}
	body := 0.0
	for i, p := range d.Percentiles {
		s.at[i] = float32(p)
		if i > 0 && i < 6 {
			body += (levels[i] - levels[i-1]) * (p + d.Percentiles[i-1]) / 2
		}
	}
	span := d.Percentiles[6] - d.Percentiles[5]
	if span <= 0 {
		return s
	}
	rest := (d.Average-body)/0.01 - d.Percentiles[5] // wanted mean of the last percent, over p99
	s.shape = 1000
	if rest > 0 {
		s.shape = float32(min(max(span/rest-1, 0), 1000))
	}
	return s
}

// quantile maps u in [0, 1) to a duration in milliseconds.
func (s *sampler) quantile(u float32) float32 {
	var i int
	var lo, width float32
	switch {
	case u < 0.25:
		if u < 0.01 {
			i, lo, width = 0, 0, 0.01
		} else {
			i, lo, width = 1, 0.01, 0.24
		}
	case u < 0.5:
		i, lo, width = 2, 0.25, 0.25
	case u < 0.75:
		i, lo, width = 3, 0.5, 0.25
	case u < 0.99:
		i, lo, width = 4, 0.75, 0.24
	default:
		v := (u - 0.99) / 0.01
		if s.shape != 1 {
			v = float32(math.Pow(float64(v), float64(s.shape)))
		}
		return s.at[5] + (s.at[6]-s.at[5])*v
	}
	return s.at[i] + (s.at[i+1]-s.at[i])*(u-lo)/width
}

// draw returns the duration that belongs to the random bits h.
func (s *sampler) draw(h uint64) time.Duration {
	u := float32(h>>40) / (1 << 24)
	return time.Duration(s.quantile(u)*1000) * time.Microsecond
}

// sound reports whether the values are finite and in range, and repairs what can be:
// percentiles out of order are sorted, negative values become 0. It says what was repaired.
func (d *Durations) sound() (ok, negative, unsorted bool) {
	for _, v := range append(d.Percentiles[:], d.Average) {
		if math.IsNaN(v) || math.IsInf(v, 0) || v > maxDuration || v < -maxDuration {
			return false, false, false
		}
	}
	for i := range d.Percentiles {
		if d.Percentiles[i] < 0 {
			d.Percentiles[i], negative = 0, true
		}
	}
	if d.Average < 0 {
		d.Average, negative = 0, true
	}
	if !slices.IsSorted(d.Percentiles[:]) {
		slices.Sort(d.Percentiles[:])
		unsorted = true
	}
	return true, negative, unsorted
}

// reservoir keeps the count, mean, extremes and an even sample of durations of one
// function of a recorded trace, to give it a Durations (algorithm R with a fixed seed).
type reservoir struct {
	n        int64
	sum      float64
	min, max float32
	sample   []float32
	rnd      random
}

const reservoirSize = 256

func (r *reservoir) add(ms float64) {
	v := float32(ms)
	if r.n == 0 {
		r.min, r.max, r.rnd = v, v, newRandom(1)
	}
	r.n++
	r.sum += ms
	r.min, r.max = min(r.min, v), max(r.max, v)
	if len(r.sample) < reservoirSize {
		r.sample = append(r.sample, v)
	} else if i := r.rnd.next() % uint64(r.n); i < reservoirSize {
		r.sample[i] = v
	}
}

func (r *reservoir) durations() Durations {
	d := Durations{Count: r.n}
	if r.n == 0 {
		return d
	}
	d.Average = r.sum / float64(r.n)
	slices.Sort(r.sample)
	for i, l := range levels {
		d.Percentiles[i] = float64(r.sample[int(l*float64(len(r.sample)-1)+0.5)])
	}
	d.Percentiles[0], d.Percentiles[6] = float64(r.min), float64(r.max)
	return d
}
