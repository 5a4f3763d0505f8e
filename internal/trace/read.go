package trace

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// ReadOptions are the choices that the published sets leave to their reader.
type ReadOptions struct {
	// WholeAppMemory gives each function the memory of its whole app. Otherwise the app's is
	// divided by the number of its functions in the trace, as the invitro subset has it:
	// the set measured apps, which run all their functions in one process.
	WholeAppMemory bool
	// TempDir is where a recorded trace beyond memory is sorted; empty: the system's.
	TempDir string
}

// Read opens a trace: files, folders and archives of one format, recognized by their content.
// What was wrong in them is in the Problems, also when the error is not nil.
//
//   - Azure 2019: invocations, durations and memory, one day or several, as published or in
//     the layout of the invitro subset.
//   - Azure 2021: app, func, end_timestamp, duration.
//   - This package's own CSV or Parquet; see WriteCSV.
func Read(ctx context.Context, o ReadOptions, paths ...string) (Trace, *Problems, error) {
	l := &loader{o: o, problems: &Problems{}}
	t, err := l.read(ctx, paths)
	return t, l.problems, err
}

type loader struct {
	o        ReadOptions
	problems *Problems
	counted  *azure2019
	recorded *recorder
}

func (l *loader) read(ctx context.Context, paths []string) (Trace, error) {
	if len(paths) == 0 {
		return nil, errors.New("read trace: no files named")
	}
	err := walk(ctx, paths, l.problems, func(name string, r io.Reader) error {
		return l.file(ctx, name, r)
	})
	if err != nil {
		if l.recorded != nil {
			l.recorded.close()
		}
		return nil, err
	}
	switch {
	case l.recorded != nil && l.counted != nil:
		l.recorded.close()
		return nil, &FormatError{strings.Join(paths, ", "), "counts per minute and recorded invocations together", "read one kind at a time"}
	case l.recorded != nil:
		return l.recorded.finish()
	case l.counted != nil:
		return l.counted.finish(l.o, paths)
	}
	return nil, &FormatError{strings.Join(paths, ", "), "no file of a trace", ""}
}

// file reads one plain stream by what its first line says.
func (l *loader) file(ctx context.Context, name string, r io.Reader) error {
	b := bufio.NewReaderSize(r, 1<<16)
	if head, _ := b.Peek(4); bytes.Equal(head, []byte("PAR1")) {
		return l.parquet(ctx, name, b)
	}
	in := newLines(name, contextReader{ctx, b}, l.problems)
	fields, err := in.next()
	if errors.Is(err, io.EOF) {
		return &FormatError{name, "the file is empty", ""}
	} else if err != nil {
		return broken(in, err)
	}
	h := newHeader(fields)
	columns := len(fields)
	switch {
	case h.has("HashFunction", "Average", "percentile_Average_50"):
		err = l.azure().durations(in, h, columns)
	case h.has("HashApp", "AverageAllocatedMb"):
		err = l.azure().memory(in, h, columns)
	case h.has("HashFunction", "Trigger"):
		err = l.azure().invocations(in, fields, h)
	case h.has("func", "end_timestamp", "duration"):
		err = l.record().azure2021(in, h, columns)
	case h.has("function") && h.at("start_seconds", "start") >= 0 && h.at("duration_seconds", "duration") >= 0:
		err = l.record().own(in, h, columns)
	default:
		return &FormatError{name, "the first line names no columns of a known format", "want those of Azure 2019 or 2021, or function,start_seconds,duration_seconds[,memory_mb,trigger,app]"}
	}
	var format *FormatError
	if err == nil || errors.As(err, &format) {
		return err
	}
	return broken(in, err)
}

// broken is the error of a file that could not be read to its end.
func broken(in *lines, err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return &FormatError{in.name, fmt.Sprintf("the compressed data ends early, after line %d", in.line), "get the file again"}
	}
	return fmt.Errorf("read trace %s: after line %d: %w", in.name, in.line, err)
}

func (l *loader) azure() *azure2019 {
	if l.counted == nil {
		l.counted = newAzure2019(l.problems)
	}
	return l.counted
}

func (l *loader) record() *recorder {
	if l.recorded == nil {
		l.recorded = &recorder{problems: l.problems, index: map[key]int32{}, spool: spool{dir: l.o.TempDir}}
	}
	return l.recorded
}

// parquet needs a file to seek in: the one it stands in, or a copy of what an archive holds.
func (l *loader) parquet(ctx context.Context, name string, r io.Reader) error {
	if f, err := os.Open(name); err == nil {
		defer f.Close()
		magic := make([]byte, 4)
		if _, err := io.ReadFull(f, magic); err == nil && string(magic) == "PAR1" {
			return l.record().parquet(ctx, name, f)
		}
	}
	f, err := os.CreateTemp(l.o.TempDir, "cloudjit-trace-*.parquet")
	if err != nil {
		return fmt.Errorf("read trace %s: %w", name, err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := io.Copy(f, contextReader{ctx, r}); err != nil {
		return fmt.Errorf("read trace %s: %w", name, err)
	}
	return l.record().parquet(ctx, name, f)
}

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context // of the call to Read
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// seconds turns seconds into a Duration; false beyond ten years either way.
func seconds(s float64) (time.Duration, bool) {
	const limit = 10 * 366 * 24 * 3600
	if !(s > -limit && s < limit) {
		return 0, false
	}
	if s < 0 {
		return time.Duration(s*1e9 - 0.5), true
	}
	return time.Duration(s*1e9 + 0.5), true
}
