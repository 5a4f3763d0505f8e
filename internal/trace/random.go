package trace

import "math"

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood, OOPSLA'14): a bijection whose
// output bits all depend on all input bits. Everything random in this package is mix of
// what it belongs to (seed, function, minute, ...), so that no result depends on the order
// in which, or the core on which, it was computed, and a function keeps its arrivals when
// others are cut away.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

const golden = 0x9e3779b97f4a7c15

// random is a SplitMix64 sequence: eight bytes of state, no allocation.
type random uint64

func newRandom(parts ...uint64) random {
	h := uint64(golden)
	for _, p := range parts {
		h = mix(h ^ mix(p+golden))
	}
	return random(h)
}

func (r *random) next() uint64 {
	*r += golden
	return mix(uint64(*r))
}

// float is uniform in [0, 1).
func (r *random) float() float64 { return float64(r.next()>>11) / (1 << 53) }

// exp is exponential with mean 1.
func (r *random) exp() float64 { return -math.Log1p(-r.float()) }

// normal is standard normal (Box and Muller; the second value is thrown away to keep no state).
func (r *random) normal() float64 {
	return math.Sqrt(2*r.exp()) * math.Cos(2*math.Pi*r.float())
}

// poisson draws a Poisson number: by multiplication for small means, by a rounded normal with
// continuity correction above 50, where the two differ by less than 2% in the tails.
func (r *random) poisson(mean float64) uint32 {
	if mean <= 0 {
		return 0
	}
	if mean > 50 {
		n := math.Floor(mean + math.Sqrt(mean)*r.normal() + 0.5)
		return uint32(math.Min(math.Max(n, 0), math.MaxUint32))
	}
	limit, p, n := math.Exp(-mean), r.float(), uint32(0)
	for p > limit {
		p *= r.float()
		n++
	}
	return n
}

// gamma draws from a gamma distribution with mean 1 and the given shape (Marsaglia, Tsang 2000).
func (r *random) gamma(shape float64) float64 {
	if shape < 1 {
		// Boosting: Gamma(a) = Gamma(a+1) * U^(1/a).
		return r.gamma(shape+1) * (shape + 1) / shape * math.Pow(1-r.float(), 1/shape)
	}
	d := shape - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := r.normal()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v = v * v * v
		if math.Log1p(-r.float()) < 0.5*x*x+d-d*v+d*math.Log(v) {
			return d * v / shape
		}
	}
}

// hashString is FNV-1a, finished by mix.
func hashString(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := 0; i < len(s); i++ {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return mix(h)
}

// id is a function's identity for random draws.
func (f *Function) id() uint64 {
	return mix(hashString(f.Owner) ^ mix(hashString(f.App)^mix(hashString(f.Name))))
}

// inverseNormal is the quantile function of the standard normal distribution.
func inverseNormal(p float64) float64 { return -math.Sqrt2 * math.Erfinv(1-2*p) }
