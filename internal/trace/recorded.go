package trace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
)

// recorder gathers invocations that were recorded one by one.
type recorder struct {
	problems *Problems
	index    map[key]int32
	table    []recordedFunction
	spool    spool
	earliest time.Duration
	latest   time.Duration
	early    Place
}

type recordedFunction struct {
	function  Function
	durations reservoir
	memory    float64 // the mean
	memories  int64
}

// azure2021 reads app,func,end_timestamp,duration; the start is the difference.
func (r *recorder) azure2021(in *lines, h header, columns int) error {
	app, name, end, duration := h.at("app"), h.at("func"), h.at("end_timestamp"), h.at("duration")
	return eachRecorded(in, columns, func(f [][]byte) error {
		e, ok1 := parseFloat(f[end])
		d, ok2 := parseFloat(f[duration])
		if !ok1 || !ok2 {
			in.malformed("no numbers: %.20q, %.20q", f[end], f[duration])
			return nil
		}
		return r.add(in, record{name: field(f, name), app: field(f, app), start: e - d, duration: d})
	})
}

// own reads the columns that WriteCSV writes, in any order, those in brackets if they are
// there: function, start_seconds, duration_seconds [memory_mb, trigger, app].
func (r *recorder) own(in *lines, h header, columns int) error {
	name, app, trigger := h.at("function"), h.at("app"), h.at("trigger")
	start, duration, memory := h.at("start_seconds", "start"), h.at("duration_seconds", "duration"), h.at("memory_mb", "memory")
	return eachRecorded(in, columns, func(f [][]byte) error {
		s, ok1 := parseFloat(f[start])
		d, ok2 := parseFloat(f[duration])
		if !ok1 || !ok2 {
			in.malformed("no numbers: %.20q, %.20q", f[start], f[duration])
			return nil
		}
		rec := record{name: field(f, name), app: field(f, app), trigger: field(f, trigger), start: s, duration: d}
		if memory >= 0 && len(f[memory]) > 0 {
			mb, ok := parseFloat(f[memory])
			if !ok || mb > 1e7 || mb < -1e7 {
				in.malformed("%.20q is no amount of memory", f[memory])
				return nil
			}
			rec.memory, rec.hasMemory = mb, true
		}
		return r.add(in, rec)
	})
}

// parquetRow is a row of this package's own Parquet, all times in microseconds.
type parquetRow struct {
	Function string  `parquet:"function,dict"`
	App      string  `parquet:"app,dict"`
	Trigger  string  `parquet:"trigger,dict"`
	Start    int64   `parquet:"start_us,delta"`
	Duration int64   `parquet:"duration_us"`
	MemoryMB float64 `parquet:"memory_mb,dict"`
}

// parquet reads the columns that WriteParquet writes. The library checks little of a damaged
// file and panics on some: that is turned into an error here.
func (r *recorder) parquet(ctx context.Context, name string, f *os.File) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &FormatError{name, fmt.Sprintf("damaged Parquet: %v", p), ""}
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("read trace %s: %w", name, err)
	}
	file, err := parquet.OpenFile(f, info.Size())
	if err != nil {
		return &FormatError{name, "damaged Parquet: " + err.Error(), ""}
	}
	for _, column := range []string{"function", "start_us", "duration_us"} {
		if _, ok := file.Schema().Lookup(column); !ok {
			return &FormatError{name, "no column " + column, "want function, start_us, duration_us [, memory_mb, trigger, app]"}
		}
	}
	_, hasMemory := file.Schema().Lookup("memory_mb")
	rows := parquet.NewGenericReader[parquetRow](file)
	defer rows.Close()
	in := &lines{name: name, problems: r.problems}
	buf := make([]parquetRow, 1024)
	for {
		n, err := rows.Read(buf)
		for _, p := range buf[:n] {
			in.line++
			rec := record{
				name: p.Function, app: p.App, trigger: p.Trigger, start: float64(p.Start) / 1e6,
				duration: float64(p.Duration) / 1e6, memory: p.MemoryMB, hasMemory: hasMemory && p.MemoryMB == p.MemoryMB,
			}
			if err := r.add(in, rec); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return &FormatError{name, fmt.Sprintf("damaged Parquet after row %d: %v", in.line, err), ""}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

func eachRecorded(in *lines, columns int, f func([][]byte) error) error {
	var failed error
	err := each(in, columns, func(fields [][]byte) {
		if failed == nil {
			failed = f(fields)
		}
	})
	if failed != nil {
		return failed
	}
	return err
}

// record is one row as it was read; times in seconds.
type record struct {
	name, app, trigger string
	start, duration    float64
	memory             float64
	hasMemory          bool
}

func (r *recorder) add(in *lines, rec record) error {
	start, ok1 := seconds(rec.start)
	duration, ok2 := seconds(rec.duration)
	switch {
	case !ok1 || !ok2 || rec.duration*1000 > maxDuration:
		in.malformed("a time out of range")
		return nil
	case rec.name == "":
		in.malformed("no function")
		return nil
	}
	if duration < 0 {
		r.problems.add(NegativeValue, in.name, in.line, "duration %g", rec.duration)
		duration = 0
	}
	if start < 0 && r.early.File == "" {
		r.early = Place{File: in.name, Line: in.line}
	}
	r.earliest, r.latest = min(r.earliest, start), max(r.latest, start)
	k := key{app: rec.app, name: rec.name}
	i, known := r.index[k]
	if !known {
		i = int32(len(r.table))
		t, ok := parseTrigger(rec.trigger)
		if !ok {
			r.problems.add(UnknownTrigger, in.name, in.line, "%.40q", rec.trigger)
		}
		k = key{app: strings.Clone(k.app), name: strings.Clone(k.name)}
		r.index[k] = i
		r.table = append(r.table, recordedFunction{function: Function{App: k.app, Name: k.name, Trigger: t}})
	}
	f := &r.table[i]
	f.durations.add(float64(duration) / float64(time.Millisecond))
	if rec.hasMemory {
		if rec.memory < 0 {
			r.problems.add(NegativeValue, in.name, in.line, "memory %g", rec.memory)
			rec.memory = 0
		}
		f.memories++
		f.memory += (rec.memory - f.memory) / float64(f.memories)
	}
	return r.spool.add(Invocation{At: start, Duration: duration, Function: i})
}

func (r *recorder) close() { r.spool.close() }

func (r *recorder) finish() (Trace, error) {
	if len(r.table) == 0 {
		r.close()
		return nil, errors.New("read trace: no invocations: all rows were malformed, or there were none")
	}
	functions := make([]Function, len(r.table))
	for i := range r.table {
		f := &r.table[i]
		functions[i] = f.function
		functions[i].Duration = f.durations.durations()
		if f.memories > 0 {
			functions[i].MemoryMB = f.memory
		} else {
			functions[i].MemoryMB, functions[i].MemoryAssumed = typicalMemoryMB, true
			r.problems.add(NoMemory, "", 0, "function %.16s", f.function.Name)
		}
	}
	r.table = nil
	if r.earliest < 0 {
		r.problems.add(BeforeStart, r.early.File, r.early.Line, "moved by %v", -r.earliest)
	}
	if err := r.spool.finish(); err != nil {
		r.close()
		return nil, err
	}
	length := (r.latest - r.earliest + time.Second) / time.Second * time.Second
	return &Recorded{functions: functions, length: length, shift: -r.earliest, spool: &r.spool}, nil
}

// Recorded is a trace whose invocations have times and durations of their own.
type Recorded struct {
	functions []Function
	length    time.Duration
	shift     time.Duration
	spool     *spool
}

// NewRecorded makes a trace of invocations in memory, in any order of their times. It keeps both slices.
func NewRecorded(functions []Function, invocations []Invocation, length time.Duration) (*Recorded, error) {
	s := &spool{mem: invocations}
	for _, inv := range invocations {
		if inv.Function < 0 || int(inv.Function) >= len(functions) || inv.At < 0 || inv.At >= length || inv.Duration < 0 {
			return nil, fmt.Errorf("make trace: invocation %+v of %d functions in %v is out of range", inv, len(functions), length)
		}
	}
	return &Recorded{functions: functions, length: length, spool: s}, s.finish()
}

// Functions implements Trace.
func (r *Recorded) Functions() []Function { return r.functions }

// Length implements Trace.
func (r *Recorded) Length() time.Duration { return r.length }

// StartMinute implements Trace; the time of day is not known.
func (r *Recorded) StartMinute() int { return 0 }

// Open implements Trace.
func (r *Recorded) Open(ctx context.Context, _ Options) (Stream, error) {
	return r.spool.open(ctx, r.shift)
}

// Close implements Trace and removes what was sorted on disk.
func (r *Recorded) Close() error { return r.spool.close() }
