package trace

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"
)

// Slice is the part of a trace from a time up to another one, moved to start at 0. Functions
// that are not invoked in it keep their row. A counted trace is cut at whole minutes.
func Slice(t Trace, from, to time.Duration) (Trace, error) {
	if to == 0 || to > t.Length() {
		to = t.Length()
	}
	if from < 0 || from >= to {
		return nil, fmt.Errorf("slice trace: %v to %v is empty: want times inside 0 to %v", from, to, t.Length())
	}
	c, ok := t.(*Counted)
	if !ok {
		return &slicedTrace{Trace: t, from: from, to: to}, nil
	}
	if from%time.Minute != 0 || to%time.Minute != 0 {
		return nil, fmt.Errorf("slice trace: %v to %v: a trace of counts per minute is cut at whole minutes", from, to)
	}
	skip, minutes := int(from/time.Minute), int((to-from)/time.Minute)
	return &Counted{
		functions: c.functions, minutes: minutes, start: (c.start + skip) % 1440,
		open: func() Counter {
			inner := c.open()
			var buf []Cell
			for range skip {
				buf, _ = inner.Next(buf)
			}
			return &limitCounter{inner, minutes}
		},
	}, nil
}

type limitCounter struct {
	Counter
	left int
}

func (l *limitCounter) Next(buf []Cell) ([]Cell, bool) {
	if l.left == 0 {
		return buf[:0], false
	}
	l.left--
	return l.Counter.Next(buf)
}

type slicedTrace struct {
	Trace
	from, to time.Duration
}

func (s *slicedTrace) Length() time.Duration { return s.to - s.from }

func (s *slicedTrace) Open(ctx context.Context, o Options) (Stream, error) {
	inner, err := s.Trace.Open(ctx, o)
	return &filterStream{Stream: inner, keep: func(inv *Invocation) (bool, bool) {
		if inv.At >= s.to {
			return false, true
		}
		inv.At -= s.from
		return inv.At >= 0, false
	}}, err
}

// filterStream passes on what keep wants, and ends when keep says that it is enough.
type filterStream struct {
	Stream
	keep func(*Invocation) (keep, enough bool)
	done bool
}

func (f *filterStream) Next(buf []Invocation) ([]Invocation, error) {
	for !f.done {
		var err error
		if buf, err = f.Stream.Next(buf); err != nil {
			return buf[:0], err
		}
		kept := buf[:0]
		for i := range buf {
			inv := buf[i]
			keep, enough := f.keep(&inv)
			if f.done = enough; enough {
				break
			}
			if keep {
				kept = append(kept, inv)
			}
		}
		if buf = kept; len(buf) > 0 {
			return buf, nil
		}
	}
	return buf[:0], io.EOF
}

// Method is a way to scale a trace down to what fewer machines can run.
type Method string

const (
	// ScaleStratified ranks functions by their invocations and keeps every nth of the
	// ranking, from a random start, with all their invocations. Arrival patterns, and so cold
	// starts, are those of the original. Bias: of the few busiest functions one or none is
	// kept, so the total of invocations differs from draw to draw; calls between functions of
	// one app are torn apart.
	ScaleStratified Method = "stratified"
	// ScaleApps does the same with whole apps. Bias: as stratified, and stronger in the
	// number of functions, for apps differ in size.
	ScaleApps Method = "apps"
	// ScaleThin keeps every function and each invocation with the same probability, as the
	// paper did (5.2). The total is met closely. Bias: functions lose their bursts, and
	// concurrency with them; cold starts become more frequent per invocation and repeated
	// cold starts of a function in a short time nearly vanish.
	ScaleThin Method = "thin"
)

// Methods are all of them.
var Methods = []Method{ScaleStratified, ScaleApps, ScaleThin}

// Scale returns a trace of about factor (0 < factor <= 1) times the functions, or for
// ScaleThin the invocations.
func Scale(ctx context.Context, t Trace, m Method, factor float64, seed uint64) (Trace, error) {
	if !(factor > 0 && factor <= 1) {
		return nil, fmt.Errorf("scale trace: factor %g: want one in (0, 1]", factor)
	}
	switch m {
	case ScaleThin:
		return thin(t, factor, seed), nil
	case ScaleStratified, ScaleApps:
		groups, err := rank(ctx, t, m == ScaleApps)
		if err != nil {
			return nil, err
		}
		keep := make([]bool, len(t.Functions()))
		rnd := newRandom(seed, 20)
		// Group i is kept when i*factor+start passes a whole number: evenly over the ranking.
		at := rnd.float()
		for _, g := range groups {
			if at += factor; at >= 1 {
				at--
				for _, f := range g {
					keep[f] = true
				}
			}
		}
		return Select(t, keep), nil
	}
	return nil, fmt.Errorf("scale trace: unknown method %q: want one of %q", m, Methods)
}

// rank returns the functions, or apps, busiest first.
func rank(ctx context.Context, t Trace, apps bool) ([][]int32, error) {
	totals, err := Totals(ctx, t)
	if err != nil {
		return nil, err
	}
	functions := t.Functions()
	index := map[string]int{}
	var groups [][]int32
	var sums []uint64
	for i := range functions {
		k := fmt.Sprint(i)
		if apps {
			k = functions[i].appKey()
		}
		g, ok := index[k]
		if !ok {
			g = len(groups)
			index[k] = g
			groups = append(groups, nil)
			sums = append(sums, 0)
		}
		groups[g] = append(groups[g], int32(i))
		sums[g] += totals[i]
	}
	order := make([]int, len(groups))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case sums[a] > sums[b]:
			return -1
		case sums[a] < sums[b]:
			return 1
		}
		return 0
	})
	ranked := make([][]int32, 0, len(groups))
	for _, g := range order {
		ranked = append(ranked, groups[g])
	}
	return ranked, nil
}

// Totals counts the invocations of each function.
func Totals(ctx context.Context, t Trace) ([]uint64, error) {
	totals := make([]uint64, len(t.Functions()))
	if c, ok := t.(*Counted); ok {
		counter := c.open()
		var cells []Cell
		for more := true; more; {
			if cells, more = counter.Next(cells); more {
				for _, cell := range cells {
					totals[cell.Function] += uint64(cell.Count)
				}
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
		}
		return totals, nil
	}
	err := ForEach(ctx, t, Options{}, func(inv Invocation) error {
		totals[inv.Function]++
		return nil
	})
	return totals, err
}

// Select keeps the functions for which keep is true, and their invocations as they are.
func Select(t Trace, keep []bool) Trace {
	place := make([]int32, len(keep))
	var functions []Function
	for i, f := range t.Functions() {
		place[i] = -1
		if keep[i] {
			place[i] = int32(len(functions))
			functions = append(functions, f)
		}
	}
	if c, ok := t.(*Counted); ok {
		return &Counted{functions: functions, minutes: c.minutes, start: c.start, open: func() Counter {
			return &mapCounter{c.open(), func(_ int, cell Cell) Cell {
				if p := place[cell.Function]; p >= 0 {
					return Cell{p, cell.Count}
				}
				return Cell{}
			}, 0}
		}}
	}
	return &selectedTrace{t, functions, place}
}

// mapCounter changes cells; those that become 0 are left out.
type mapCounter struct {
	Counter
	change func(minute int, c Cell) Cell
	minute int
}

func (m *mapCounter) Next(buf []Cell) ([]Cell, bool) {
	cells, more := m.Counter.Next(buf)
	kept := cells[:0]
	for _, c := range cells {
		if c = m.change(m.minute, c); c.Count > 0 {
			kept = append(kept, c)
		}
	}
	m.minute++
	return kept, more
}

type selectedTrace struct {
	Trace
	functions []Function
	place     []int32
}

func (s *selectedTrace) Functions() []Function { return s.functions }

func (s *selectedTrace) Open(ctx context.Context, o Options) (Stream, error) {
	inner, err := s.Trace.Open(ctx, o)
	return &filterStream{Stream: inner, keep: func(inv *Invocation) (bool, bool) {
		inv.Function = s.place[inv.Function]
		return inv.Function >= 0, false
	}}, err
}

func thin(t Trace, factor float64, seed uint64) Trace {
	c, ok := t.(*Counted)
	if !ok {
		return &thinnedTrace{t, factor, seed}
	}
	return &Counted{functions: c.functions, minutes: c.minutes, start: c.start, open: func() Counter {
		return &mapCounter{c.open(), func(minute int, cell Cell) Cell {
			rnd := newRandom(seed, 21, c.functions[cell.Function].id(), uint64(minute))
			kept := uint32(0)
			for range cell.Count {
				if rnd.float() < factor {
					kept++
				}
			}
			return Cell{cell.Function, kept}
		}, 0}
	}}
}

type thinnedTrace struct {
	Trace
	factor float64
	seed   uint64
}

func (s *thinnedTrace) Open(ctx context.Context, o Options) (Stream, error) {
	inner, err := s.Trace.Open(ctx, o)
	rnd := newRandom(s.seed, 22)
	return &filterStream{Stream: inner, keep: func(*Invocation) (bool, bool) {
		return rnd.float() < s.factor, false
	}}, err
}
