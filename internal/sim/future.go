package sim

import (
	"context"
	"errors"
	"io"
	"slices"

	"github.com/cloudjit/cloudjit/internal/trace"
)

// future is when the functions of a trace need their workers: for each function and number n, the
// times at which an invocation arrives while n others run. Where the idle worker that was used
// last is taken first, that is when the worker is needed again which becomes idle while n others run.
// Four bytes an invocation.
type future struct {
	functions [][][]uint32 // by function, then n; in futureUnit
}

// futureUnit is the grain of a future's times: 2^21 ns, so that 32 bits reach 104 days.
const (
	futureUnit = int64(1) << futureBits
	futureBits = 21
)

// lookAhead goes through the trace once.
func (r *Result) lookAhead(ctx context.Context, t trace.Trace) (*future, error) {
	s, err := t.Open(ctx, r.Options.Trace)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	n := len(t.Functions())
	f := &future{functions: make([][][]uint32, n)}
	running := make([]eventHeap, n) // ends of each function's invocations
	var batch []trace.Invocation
	for {
		if batch, err = s.Next(batch); errors.Is(err, io.EOF) {
			return f, nil
		} else if err != nil {
			return nil, err
		}
		for i := range batch {
			inv := &batch[i]
			ends := &running[inv.Function]
			for len(*ends) > 0 && (*ends)[0].at <= int64(inv.At) {
				ends.pop()
			}
			levels := &f.functions[inv.Function]
			if len(*ends) == len(*levels) {
				*levels = append(*levels, nil)
			}
			times := &(*levels)[len(*ends)]
			*times = append(*times, uint32(int64(inv.At)>>futureBits))
			ends.push(event{at: int64(inv.At + inv.Duration)})
		}
	}
}

// needed is the first time not before now at which an invocation of a function arrives while n others
// run, or up to a futureUnit before it; never if there is none.
func (f *future) needed(function int32, n int, now int64) int64 {
	levels := f.functions[function]
	if n >= len(levels) {
		return never
	}
	i, _ := slices.BinarySearch(levels[n], uint32(now>>futureBits)+1)
	if i == len(levels[n]) {
		return never
	}
	return int64(levels[n][i]) << futureBits
}
