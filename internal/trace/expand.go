package trace

import (
	"context"
	"io"
	"time"
)

// expansion turns counts into invocations, a minute at a time.
type expansion struct {
	ctx       context.Context // of the pass; checked once a minute
	functions []Function
	samplers  []sampler
	ids       []uint64
	counter   Counter
	o         Options
	minute    int
	cells     []Cell
	a, b      []place
}

// place is one invocation of the minute at hand: microseconds into it, and the function.
type place struct {
	at       uint32
	function int32
}

const microsPerMinute = 60_000_000 // below 2^26: two passes of 13 bits sort a minute

func newExpansion(ctx context.Context, c *Counted, o Options) *expansion {
	e := &expansion{ctx: ctx, functions: c.functions, counter: c.open(), o: o}
	e.samplers = make([]sampler, len(c.functions))
	e.ids = make([]uint64, len(c.functions))
	for i := range c.functions {
		e.samplers[i] = newSampler(&c.functions[i].Duration)
		e.ids[i] = c.functions[i].id()
	}
	return e
}

func (e *expansion) Close() error { return nil }

func (e *expansion) Next(buf []Invocation) ([]Invocation, error) {
	for {
		if err := e.ctx.Err(); err != nil {
			return buf[:0], err
		}
		cells, more := e.counter.Next(e.cells)
		e.cells = cells
		if !more {
			return buf[:0], io.EOF
		}
		e.a = e.a[:0]
		for _, c := range cells {
			e.place(c)
		}
		minute := e.minute
		e.minute++
		if len(e.a) > 0 {
			e.sort()
			return e.emit(minute, buf[:0]), nil
		}
	}
}

// place puts the cell's invocations into the minute.
func (e *expansion) place(c Cell) {
	id := e.ids[c.Function]
	n := c.Count
	rnd := newRandom(e.o.Seed, id, uint64(e.minute))
	timer := e.functions[c.Function].Trigger == TriggerTimer
	if e.o.Placement == PlacePoisson && !timer {
		n = rnd.poisson(float64(n))
	}
	if e.o.Placement == PlaceEven || e.o.Placement == PlaceBurst || timer {
		// The phase is the function's own and lasts: what fires once a minute fires at
		// the same second of each.
		phase := float64(mix(id^e.o.Seed)>>11) / (1 << 53)
		step := microsPerMinute / float64(n)
		if e.o.Placement == PlaceBurst {
			at := uint32(phase * microsPerMinute)
			for range n {
				e.a = append(e.a, place{at, c.Function})
			}
			return
		}
		for i := uint32(0); i < n; i++ {
			at := uint32((float64(i) + phase) * step)
			e.a = append(e.a, place{min(at, microsPerMinute-1), c.Function})
		}
		return
	}
	for i := uint32(0); i < n; i++ {
		at := uint32((rnd.next() >> 32) * microsPerMinute >> 32)
		e.a = append(e.a, place{at, c.Function})
	}
}

// sort orders the minute by moment, and by function within one microsecond: a stable radix
// sort of places that were appended in order of function.
func (e *expansion) sort() {
	const bits, buckets = 13, 1 << 13
	if cap(e.b) < len(e.a) {
		e.b = make([]place, len(e.a), cap(e.a))
	}
	from, to := e.a, e.b[:len(e.a)]
	var low, high [buckets]uint32
	for _, p := range from {
		low[p.at&(buckets-1)]++
		high[p.at>>bits]++
	}
	var l, h uint32
	for i := range low {
		l, low[i] = l+low[i], l
		h, high[i] = h+high[i], h
	}
	for _, p := range from {
		k := p.at & (buckets - 1)
		to[low[k]] = p
		low[k]++
	}
	for _, p := range to {
		k := p.at >> bits
		from[high[k]] = p
		high[k]++
	}
}

// emit writes the sorted minute. The draw of a duration belongs to (seed, minute, moment,
// function), not to a place in a sequence.
func (e *expansion) emit(minute int, buf []Invocation) []Invocation {
	if cap(buf) < len(e.a) {
		buf = make([]Invocation, 0, len(e.a)+len(e.a)/8)
	}
	origin := time.Duration(minute) * time.Minute
	seed := mix(e.o.Seed ^ mix(uint64(minute)+golden))
	again := uint64(0)
	for i, p := range e.a {
		s := &e.samplers[p.function]
		var d time.Duration
		if e.o.AverageDurations {
			d = time.Duration(s.mean*1000) * time.Microsecond
		} else {
			if i > 0 && e.a[i-1] == p {
				again++ // the same function at the same moment
			} else {
				again = 0
			}
			d = s.draw(mix(seed ^ e.ids[p.function] + uint64(p.at)*golden + again<<32))
		}
		buf = append(buf, Invocation{
			At:       origin + time.Duration(p.at)*time.Microsecond,
			Duration: d,
			Function: p.function,
		})
	}
	return buf
}
