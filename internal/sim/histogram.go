package sim

import (
	"math"
	"math/bits"
	"time"
)

// histogram counts times in buckets of 1/16 of a power of two: a quantile is exact to 3%.
type histogram struct {
	counts [64 * 16]uint64
	n      uint64
	sum    uint64 // ns; whole, so that it does not depend on the order of additions
	max    int64
}

func (h *histogram) add(ns int64) {
	h.n++
	h.sum += uint64(ns)
	h.max = max(h.max, ns)
	h.counts[bucket(uint64(ns))]++
}

func (h *histogram) merge(o *histogram) {
	for i, c := range o.counts {
		h.counts[i] += c
	}
	h.n += o.n
	h.sum += o.sum
	h.max = max(h.max, o.max)
}

func bucket(v uint64) int {
	if v < 16 {
		return int(v)
	}
	e := bits.Len64(v) - 5 // v>>e is in 16..31
	return e*16 + int(v>>uint(e))
}

// floor is the least value of a bucket.
func floor(b int) float64 {
	if b < 32 {
		return float64(b)
	}
	e := b/16 - 1
	return math.Ldexp(float64(b-e*16), e)
}

// quantile is the middle of the bucket that holds it.
func (h *histogram) quantile(p float64) time.Duration {
	if h.n == 0 {
		return 0
	}
	rank := uint64(math.Ceil(p * float64(h.n)))
	seen := uint64(0)
	for b, c := range h.counts {
		if seen += c; seen >= max(rank, 1) {
			if b < 16 {
				return time.Duration(b)
			}
			return min(time.Duration((floor(b)+floor(b+1))/2), time.Duration(h.max))
		}
	}
	return time.Duration(h.max)
}

func (h *histogram) mean() time.Duration {
	if h.n == 0 {
		return 0
	}
	return time.Duration(h.sum / h.n)
}

// Latency is a distribution of times.
type Latency struct {
	Count uint64        `json:"count"`
	Mean  time.Duration `json:"meanNs"`
	P50   time.Duration `json:"p50Ns"`
	P90   time.Duration `json:"p90Ns"`
	P99   time.Duration `json:"p99Ns"`
	P999  time.Duration `json:"p999Ns"`
	Max   time.Duration `json:"maxNs"`
}

func (h *histogram) latency() Latency {
	return Latency{h.n, h.mean(), h.quantile(.5), h.quantile(.9), h.quantile(.99), h.quantile(.999), time.Duration(h.max)}
}
