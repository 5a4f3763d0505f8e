package trace

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/parquet-go/parquet-go"
)

// Write writes a trace in the form that the path's name asks for: ".csv" and ".parquet"
// (recorded invocations; ".csv.gz" compressed), otherwise a folder in the layout of the
// Azure 2019 subsets, which Read, and other tools, take.
func Write(ctx context.Context, path string, t Trace, o Options) error {
	switch {
	case strings.HasSuffix(path, ".csv"), strings.HasSuffix(path, ".csv.gz"):
		return toFile(path, func(w io.Writer) error {
			if !strings.HasSuffix(path, ".gz") {
				return WriteCSV(ctx, w, t, o)
			}
			z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
			if err != nil {
				return err
			}
			if err := WriteCSV(ctx, z, t, o); err != nil {
				return err
			}
			return z.Close()
		})
	case strings.HasSuffix(path, ".parquet"):
		return toFile(path, func(w io.Writer) error { return WriteParquet(ctx, w, t, o) })
	}
	return WriteAzure(ctx, path, t)
}

// WritesInvocations reports whether Write makes a file of single invocations of the path, and not
// a folder of counts.
func WritesInvocations(path string) bool {
	return strings.HasSuffix(path, ".csv") || strings.HasSuffix(path, ".csv.gz") || strings.HasSuffix(path, ".parquet")
}

// toFile writes beside the path and renames, so that a trace is there whole or not at all.
func toFile(path string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write trace: %w", err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := write(w); err != nil {
		return fmt.Errorf("write trace %s: %w", path, err)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write trace %s: %w", path, err)
	}
	if err := f.Chmod(0o644); err != nil {
		return fmt.Errorf("write trace %s: %w", path, err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("write trace %s: %w", path, err)
	}
	return os.Rename(f.Name(), path)
}

// WriteCSV writes the invocations of a pass, a row each, in order of their start. Times are in
// seconds with microseconds; a row carries its function's memory.
func WriteCSV(ctx context.Context, w io.Writer, t Trace, o Options) error {
	functions := t.Functions()
	tails := make([]string, len(functions))
	for i := range functions {
		f := &functions[i]
		tails[i] = "," + strconv.FormatFloat(f.MemoryMB, 'f', -1, 64) + "," + f.Trigger.String() + "," + quote(f.App) + "\n"
	}
	names := make([]string, len(functions))
	for i := range functions {
		names[i] = quote(functions[i].Name) + ","
	}
	b := bufio.NewWriterSize(w, 1<<16)
	b.WriteString("function,start_seconds,duration_seconds,memory_mb,trigger,app\n")
	line := make([]byte, 0, 256)
	err := ForEach(ctx, t, o, func(inv Invocation) error {
		line = append(line[:0], names[inv.Function]...)
		line = appendSeconds(line, inv.At)
		line = append(line, ',')
		line = appendSeconds(line, inv.Duration)
		line = append(line, tails[inv.Function]...)
		_, err := b.Write(line)
		return err
	})
	if err != nil {
		return err
	}
	return b.Flush()
}

// quote protects a name that would not come back as it is.
func quote(s string) string {
	if strings.ContainsAny(s, ",\"\n\r") || strings.TrimSpace(s) != s {
		return `"` + strings.NewReplacer(`"`, `""`, "\n", " ", "\r", " ").Replace(s) + `"`
	}
	return s
}

func appendSeconds(b []byte, d time.Duration) []byte {
	us := uint64(max(d, 0) / time.Microsecond)
	b = strconv.AppendUint(b, us/1e6, 10)
	b = append(b, '.')
	frac := us % 1e6
	for scale := uint64(1e5); scale > 0; scale /= 10 {
		b = append(b, byte('0'+frac/scale%10))
	}
	return b
}

// WriteParquet writes what WriteCSV does, as Parquet with times in microseconds.
func WriteParquet(ctx context.Context, w io.Writer, t Trace, o Options) error {
	out := parquet.NewGenericWriter[parquetRow](w, parquet.Compression(&parquet.Snappy), parquet.MaxRowsPerRowGroup(1<<20))
	functions := t.Functions()
	rows := make([]parquetRow, 0, 4096)
	err := ForEach(ctx, t, o, func(inv Invocation) error {
		f := &functions[inv.Function]
		rows = append(rows, parquetRow{
			Function: f.Name, App: f.App, Trigger: f.Trigger.String(),
			Start: int64(inv.At / time.Microsecond), Duration: int64(inv.Duration / time.Microsecond), MemoryMB: f.MemoryMB,
		})
		if len(rows) < cap(rows) {
			return nil
		}
		_, err := out.Write(rows)
		rows = rows[:0]
		return err
	})
	if err != nil {
		return err
	}
	if _, err := out.Write(rows); err != nil {
		return err
	}
	return out.Close()
}

// WriteAzure writes invocations.csv, durations.csv and memory.csv into a folder: counts per
// minute, so that a recorded trace loses its moments inside them. Values that were assumed
// and not read are not written, so that nobody takes them for data.
func WriteAzure(ctx context.Context, dir string, t Trace) error {
	c, err := Collect(ctx, t)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write trace: %w", err)
	}
	for _, day := range c.days() {
		for name, write := range map[string]func(io.Writer) error{
			"invocations": func(w io.Writer) error { return c.writeInvocations(w, day) },
			"durations":   c.writeDurations,
			"memory":      c.writeMemory,
		} {
			if name != "invocations" && day.number > 0 {
				continue
			}
			if err := toFile(filepath.Join(dir, name+day.suffix+".csv"), write); err != nil {
				return err
			}
		}
	}
	return nil
}

// daySpan is the minutes of a trace that stand in one file.
type daySpan struct {
	number    int
	from, to  int // minutes of the trace
	firstName int // label of the first column, from 1
	suffix    string
}

// days cuts a trace at midnights. One day needs no number in its file's name.
func (c *Counted) days() []daySpan {
	var spans []daySpan
	for from := 0; from < c.minutes; {
		ofDay := (c.start + from) % 1440
		to := min(from+1440-ofDay, c.minutes)
		spans = append(spans, daySpan{number: len(spans), from: from, to: to, firstName: ofDay + 1})
		from = to
	}
	if len(spans) > 1 {
		for i := range spans {
			spans[i].suffix = fmt.Sprintf(".d%02d", i+1)
		}
	}
	return spans
}

func (c *Counted) writeInvocations(w io.Writer, d daySpan) error {
	b := bufio.NewWriterSize(w, 1<<16)
	b.WriteString("HashOwner,HashApp,HashFunction,Trigger")
	for m := d.from; m < d.to; m++ {
		fmt.Fprintf(b, ",%d", d.firstName+m-d.from)
	}
	rows, ok := c.open().(*rowCounter)
	if !ok {
		return fmt.Errorf("write counts: not collected")
	}
	for i := range c.functions {
		f := &c.functions[i]
		fmt.Fprintf(b, "\n%s,%s,%s,%s", quote(f.Owner), quote(f.App), quote(f.Name), f.Trigger)
		next := d.from
		for m, n := range rows.rows[i].cells {
			if m < d.from || m >= d.to {
				continue
			}
			for ; next < m; next++ {
				b.WriteString(",0")
			}
			b.WriteByte(',')
			b.Write(strconv.AppendUint(b.AvailableBuffer(), uint64(n), 10))
			next = m + 1
		}
		for ; next < d.to; next++ {
			b.WriteString(",0")
		}
	}
	b.WriteByte('\n')
	return b.Flush()
}

func (c *Counted) writeDurations(w io.Writer) error {
	b := bufio.NewWriterSize(w, 1<<16)
	b.WriteString("HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum,percentile_Average_0,percentile_Average_1,percentile_Average_25,percentile_Average_50,percentile_Average_75,percentile_Average_99,percentile_Average_100\n")
	for i := range c.functions {
		f := &c.functions[i]
		if f.DurationAssumed {
			continue
		}
		d := &f.Duration
		fmt.Fprintf(b, "%s,%s,%s,%s,%d,%s,%s", quote(f.Owner), quote(f.App), quote(f.Name), decimal(d.Average), d.Count, decimal(d.Percentiles[0]), decimal(d.Percentiles[6]))
		for _, p := range d.Percentiles {
			b.WriteByte(',')
			b.WriteString(decimal(p))
		}
		b.WriteByte('\n')
	}
	return b.Flush()
}

func (c *Counted) writeMemory(w io.Writer) error {
	b := bufio.NewWriterSize(w, 1<<16)
	b.WriteString("HashOwner,HashApp,HashFunction,SampleCount,AverageAllocatedMb\n")
	for i := range c.functions {
		f := &c.functions[i]
		if !f.MemoryAssumed {
			fmt.Fprintf(b, "%s,%s,%s,1,%s\n", quote(f.Owner), quote(f.App), quote(f.Name), decimal(f.MemoryMB))
		}
	}
	return b.Flush()
}

func decimal(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1e15 {
		return strconv.FormatInt(int64(v), 10)
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}
