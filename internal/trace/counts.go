package trace

import (
	"context"
	"encoding/binary"
	"slices"
	"time"
)

// Cell is the number of invocations of one function in one minute.
type Cell struct {
	Function int32
	Count    uint32
}

// Counter yields the cells of one minute after the other.
type Counter interface {
	// Next returns the cells of the next minute in order of function, reusing the memory of
	// buf; the second result is false after the last minute. Minutes may be empty.
	Next(buf []Cell) ([]Cell, bool)
}

// Counted is a trace that knows counts per function and minute only.
type Counted struct {
	functions []Function
	minutes   int
	start     int
	open      func() Counter
}

// Functions implements Trace.
func (c *Counted) Functions() []Function { return c.functions }

// Length implements Trace.
func (c *Counted) Length() time.Duration { return time.Duration(c.minutes) * time.Minute }

// Minutes is the number of minutes that the trace covers.
func (c *Counted) Minutes() int { return c.minutes }

// StartMinute implements Trace.
func (c *Counted) StartMinute() int { return c.start }

// Close implements Trace; a counted trace holds nothing.
func (c *Counted) Close() error { return nil }

// Counts starts a pass over the counts themselves.
func (c *Counted) Counts() Counter { return c.open() }

// Open implements Trace.
func (c *Counted) Open(ctx context.Context, o Options) (Stream, error) {
	return newExpansion(ctx, c, o), nil
}

// row is the counts of one function, as pairs of varints: minutes without an invocation,
// then the count of the minute that follows them. A day of the whole 2019 set takes some
// 20 MB so, instead of 267 MB as a table.
type row struct {
	data []byte
	next int // the first minute that is not written yet
}

func (r *row) add(minute int, count uint32) {
	if count == 0 {
		return
	}
	r.data = binary.AppendUvarint(r.data, uint64(minute-r.next))
	r.data = binary.AppendUvarint(r.data, uint64(count))
	r.next = minute + 1
}

// cells decodes the row, for tests, writers and the merging of doubled rows.
func (r *row) cells(yield func(minute int, count uint32) bool) {
	minute := 0
	for b := r.data; len(b) > 0; {
		gap, n := binary.Uvarint(b)
		count, m := binary.Uvarint(b[n:])
		b = b[n+m:]
		minute += int(gap)
		if !yield(minute, uint32(count)) {
			return
		}
		minute++
	}
}

// newRows makes a counted trace of finished rows.
func newRows(functions []Function, rows []row, minutes, start int) *Counted {
	return &Counted{functions: functions, minutes: minutes, start: start, open: func() Counter {
		return openRows(rows, minutes)
	}}
}

// rowCounter walks all rows at once. A row's cursor waits in the bucket of the minute of its
// next cell, so that a minute costs what is in it and not the number of functions.
type rowCounter struct {
	rows    []row
	offset  []uint32 // into the row's data, after the gap of the cell that is due
	due     [][]int32
	minute  int
	minutes int
}

func openRows(rows []row, minutes int) *rowCounter {
	c := &rowCounter{rows: rows, offset: make([]uint32, len(rows)), due: make([][]int32, minutes), minutes: minutes}
	for i := range rows {
		c.schedule(int32(i), 0)
	}
	return c
}

// schedule reads the gap at the row's cursor and puts it where its next cell is due.
func (c *rowCounter) schedule(f int32, from int) {
	b := c.rows[f].data[c.offset[f]:]
	if len(b) == 0 {
		return
	}
	gap, n := binary.Uvarint(b)
	c.offset[f] += uint32(n)
	if at := from + int(gap); at < c.minutes {
		c.due[at] = append(c.due[at], f)
	}
}

func (c *rowCounter) Next(buf []Cell) ([]Cell, bool) {
	if c.minute >= c.minutes {
		return buf[:0], false
	}
	buf = buf[:0]
	due := c.due[c.minute]
	slices.Sort(due)
	for _, f := range due {
		count, n := binary.Uvarint(c.rows[f].data[c.offset[f]:])
		c.offset[f] += uint32(n)
		buf = append(buf, Cell{f, uint32(count)})
		c.schedule(f, c.minute+1)
	}
	c.due[c.minute] = nil
	c.minute++
	return buf, true
}

// Collect brings any trace into counts per minute in memory; a recorded trace loses its
// moments inside the minutes and its single durations by that.
func Collect(ctx context.Context, t Trace) (*Counted, error) {
	rows := make([]row, len(t.Functions()))
	minutes := int((t.Length() + time.Minute - 1) / time.Minute)
	if c, ok := t.(*Counted); ok {
		counter := c.Counts()
		var cells []Cell
		for m := 0; ; m++ {
			var more bool
			if cells, more = counter.Next(cells); !more {
				break
			}
			for _, cell := range cells {
				rows[cell.Function].add(m, cell.Count)
			}
		}
		return newRows(c.functions, rows, minutes, c.start), nil
	}
	pending := make([]uint32, len(rows))
	var touched []int32
	minute := 0
	flush := func() {
		for _, f := range touched {
			rows[f].add(minute, pending[f])
			pending[f] = 0
		}
		touched = touched[:0]
	}
	err := ForEach(ctx, t, Options{}, func(inv Invocation) error {
		if m := int(inv.At / time.Minute); m != minute {
			flush()
			minute = m
		}
		if pending[inv.Function] == 0 {
			touched = append(touched, inv.Function)
		}
		pending[inv.Function]++
		return nil
	})
	flush()
	return newRows(t.Functions(), rows, minutes, t.StartMinute()), err
}
