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
// between the published percentiles up to the 75th.
//
// Above, a straight line would overstate the mean, often by an order of magnitude, for real
// tails are convex. There the value is lo + (hi-lo)*v^shape, v uniform, whose mean is
// lo + (hi-lo)/(shape+1), and the shapes are chosen so that the mean of the whole is the
// published average: the last percent has the shape 4 and the part from 75 to 99 takes what
// is left; where it would have to be flatter than a line, the last percent is.
type sampler struct {
	at    [7]float32 // ms
	upper float32    // shape from the 75th to the 99th percentile, 1 or more
	last  float32    // shape of the last percent
	mean  float32    // ms, the published average
}

const (
	defaultShape = 4
	maxShape     = 1000
)

func newSampler(d *Durations) sampler {
	s := sampler{mean: float32(d.Average), upper: 1, last: defaultShape}
	p := &d.Percentiles
	body := 0.0
	for i := range p {
		s.at[i] = float32(p[i])
		if i > 0 && i < 5 {
			body += (levels[i] - levels[i-1]) * (p[i] + p[i-1]) / 2
		}
	}
	body += 0.24*p[4] + 0.01*p[5]
	left := d.Average - body // what the two curved parts have to add
	upper, last := 0.24*(p[5]-p[4]), 0.01*(p[6]-p[5])
	s.upper = shapeFor(upper, left-last/(defaultShape+1), 1)
	s.last = shapeFor(last, left-upper/(float64(s.upper)+1), 0)
	return s
}

// shapeFor solves span/(shape+1) = wanted for a shape from least on.
func shapeFor(span, wanted, least float64) float32 {
	if wanted <= 0 {
		return maxShape
	}
	return float32(min(max(span/wanted-1, least), maxShape))
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
		return s.at[4] + (s.at[5]-s.at[4])*power((u-0.75)/0.24, s.upper)
	default:
		return s.at[5] + (s.at[6]-s.at[5])*power((u-0.99)/0.01, s.last)
	}
	return s.at[i] + (s.at[i+1]-s.at[i])*(u-lo)/width
}

func power(v, shape float32) float32 {
	if v <= 0 {
		return 0
	}
	if shape == 1 {
		return v
	}
	return float32(math.Exp2(float64(shape) * math.Log2(float64(v))))
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
