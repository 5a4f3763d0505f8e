package trace

import (
	"bufio"
	"cmp"
	"container/heap"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// spool sorts invocations by time: in memory up to runLength of them, beyond that by sorted
// runs in temporary files that are merged when the trace is read. Equal times keep the order
// in which they were added. The zero value is ready.
type spool struct {
	dir  string
	mem  []Invocation
	runs []*os.File
}

// runLength is how many invocations are sorted at once: 96 MB of them.
const runLength = 4 << 20

// recordSize is what an invocation takes in a run.
const recordSize = 20

func (s *spool) add(inv Invocation) error {
	if len(s.mem) == runLength {
		if err := s.flush(); err != nil {
			return err
		}
	}
	s.mem = append(s.mem, inv)
	return nil
}

func (s *spool) sort() {
	byTime := func(a, b Invocation) int { return cmp.Compare(a.At, b.At) }
	if !slices.IsSortedFunc(s.mem, byTime) {
		slices.SortStableFunc(s.mem, byTime)
	}
}

// flush writes the run at hand. The file has no name once it is open: it goes with the process.
func (s *spool) flush() error {
	s.sort()
	f, err := os.CreateTemp(s.dir, "cloudjit-trace-*")
	if err != nil {
		return fmt.Errorf("sort trace: %w", err)
	}
	s.runs = append(s.runs, f)
	if err := os.Remove(f.Name()); err != nil {
		return fmt.Errorf("sort trace: %w", err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	var b [recordSize]byte
	for _, inv := range s.mem {
		binary.LittleEndian.PutUint64(b[0:], uint64(inv.At))
		binary.LittleEndian.PutUint64(b[8:], uint64(inv.Duration))
		binary.LittleEndian.PutUint32(b[16:], uint32(inv.Function))
		w.Write(b[:]) // its error is Flush's
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("sort trace on disk: %w", err)
	}
	s.mem = s.mem[:0]
	return nil
}

func (s *spool) finish() error {
	if len(s.runs) == 0 {
		s.sort()
		return nil
	}
	err := s.flush()
	s.mem = nil
	return err
}

func (s *spool) close() error {
	var err error
	for _, f := range s.runs {
		err = errors.Join(err, f.Close())
	}
	s.runs, s.mem = nil, nil
	return err
}

func (s *spool) open(ctx context.Context, shift time.Duration) (Stream, error) {
	if len(s.runs) == 0 {
		return &memoryStream{ctx: ctx, rest: s.mem, shift: shift}, nil
	}
	m := &mergeStream{ctx: ctx, shift: shift}
	for i, f := range s.runs {
		info, err := f.Stat()
		if err != nil {
			return nil, fmt.Errorf("read sorted trace: %w", err)
		}
		r := &run{order: i, r: bufio.NewReaderSize(io.NewSectionReader(f, 0, info.Size()), 1<<17)}
		if err := r.advance(); err == nil {
			m.runs = append(m.runs, r)
		} else if !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read sorted trace: %w", err)
		}
	}
	heap.Init(m)
	return m, nil
}

// batchLength is how many recorded invocations a stream returns at once.
const batchLength = 1 << 15

type memoryStream struct {
	ctx   context.Context // of the pass
	rest  []Invocation
	shift time.Duration
}

func (m *memoryStream) Next(buf []Invocation) ([]Invocation, error) {
	if err := m.ctx.Err(); err != nil {
		return buf[:0], err
	}
	n := min(len(m.rest), batchLength)
	if n == 0 {
		return buf[:0], io.EOF
	}
	buf = append(buf[:0], m.rest[:n]...)
	m.rest = m.rest[n:]
	for i := range buf {
		buf[i].At += m.shift
	}
	return buf, nil
}

func (m *memoryStream) Close() error { return nil }

// run is a cursor in a sorted file.
type run struct {
	order int
	r     *bufio.Reader
	head  Invocation
}

func (r *run) advance() error {
	var b [recordSize]byte
	if _, err := io.ReadFull(r.r, b[:]); err != nil {
		return err
	}
	r.head = Invocation{
		At:       time.Duration(binary.LittleEndian.Uint64(b[0:])),
		Duration: time.Duration(binary.LittleEndian.Uint64(b[8:])),
		Function: int32(binary.LittleEndian.Uint32(b[16:])),
	}
	return nil
}

// mergeStream merges the runs by a heap of their heads.
type mergeStream struct {
	ctx   context.Context // of the pass
	runs  []*run
	shift time.Duration
}

func (m *mergeStream) Len() int { return len(m.runs) }
func (m *mergeStream) Less(i, j int) bool {
	a, b := m.runs[i], m.runs[j]
	return a.head.At < b.head.At || a.head.At == b.head.At && a.order < b.order
}
func (m *mergeStream) Swap(i, j int) { m.runs[i], m.runs[j] = m.runs[j], m.runs[i] }
func (m *mergeStream) Push(x any)    { m.runs = append(m.runs, x.(*run)) }
func (m *mergeStream) Pop() any {
	r := m.runs[len(m.runs)-1]
	m.runs = m.runs[:len(m.runs)-1]
	return r
}

func (m *mergeStream) Next(buf []Invocation) ([]Invocation, error) {
	buf = buf[:0]
	if err := m.ctx.Err(); err != nil {
		return buf, err
	}
	for len(m.runs) > 0 && len(buf) < batchLength {
		r := m.runs[0]
		inv := r.head
		inv.At += m.shift
		buf = append(buf, inv)
		switch err := r.advance(); {
		case err == nil:
			heap.Fix(m, 0)
		case errors.Is(err, io.EOF):
			heap.Pop(m)
		default:
			return buf[:0], fmt.Errorf("read sorted trace: %w", err)
		}
	}
	if len(buf) == 0 {
		return buf, io.EOF
	}
	return buf, nil
}

func (m *mergeStream) Close() error { return nil }
