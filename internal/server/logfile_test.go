package server

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/engine"
)

func readLog(t *testing.T, path string) (steps int, err error) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l, err := engine.NewLogReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for ; ; steps++ {
		if _, _, _, err := l.Next(); err != nil {
			return steps, err
		}
	}
}

var quiet = slog.New(slog.DiscardHandler)

// TestLogFile: what was recorded before the last write is there without any end, as after a kill, and
// all of it after the end.
func TestLogFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "engine.log")
	l, err := CreateLogFile(path, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := CreateLogFile(path, quiet); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second log in the same file: %v", err)
	}
	const writers, each = 4, 20000
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for i := range each {
				l.Record(int64(i), engine.Event{Kind: engine.EventArrived, Invocation: engine.InvocationID(i)}, []engine.Action{{Kind: engine.ActionWake, At: 7}})
			}
		})
	}
	group.Wait()
	for end := time.Now().Add(10 * logFlushEvery); ; time.Sleep(10 * time.Millisecond) {
		steps, err := readLog(t, path)
		if steps == writers*each {
			break
		}
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) || time.Now().After(end) {
			t.Fatalf("while it is written the log has %d steps of %d: %v", steps, writers*each, err)
		}
	}
	l.Record(0, engine.Event{Kind: engine.EventWoke}, nil)
	stats, err := l.Close()
	info, _ := os.Stat(path)
	if err != nil || stats != (LogStats{Steps: writers*each + 1, Bytes: info.Size()}) {
		t.Errorf("closed with %+v, %v: the file has %d bytes", stats, err, info.Size())
	}
	if steps, err := readLog(t, path); steps != writers*each+1 || !errors.Is(err, io.EOF) {
		t.Errorf("the closed log has %d steps: %v", steps, err)
	}
}

// TestLogFileNeverBlocks: with a disk that is full, or that does not answer, recording goes on, and what is
// lost is counted.
func TestLogFileNeverBlocks(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("SKIPPED: no /dev/full")
	}
	l, err := newLogFile(full, logLimit, quiet)
	if err != nil {
		t.Fatal(err)
	}
	l.Record(0, engine.Event{Kind: engine.EventWoke}, nil)
	if stats, err := l.Close(); !errors.Is(err, syscall.ENOSPC) || stats.Lost != 1 || stats.Bytes != 0 {
		t.Errorf("on a full disk: %+v, %v", stats, err)
	}

	path := filepath.Join(t.TempDir(), "engine.log")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	stuck, err := os.OpenFile(path, os.O_RDWR, 0) // nobody reads
	if err != nil {
		t.Fatal(err)
	}
	const limit = 1 << 20
	if l, err = newLogFile(stuck, limit, quiet); err != nil {
		t.Fatal(err)
	}
	const steps = 1_000_000
	for i := range steps {
		l.Record(int64(i), engine.Event{Kind: engine.EventWoke}, nil)
	}
	stats, err := l.Stats()
	if !errors.Is(err, ErrLogBehind) || stats.Steps == 0 || stats.Lost == 0 || stats.Steps+stats.Lost != steps {
		t.Errorf("with a disk that does not answer: %+v, %v", stats, err)
	}
	l.mu.Lock()
	n := len(l.pending)
	l.mu.Unlock()
	if n > limit+100 {
		t.Errorf("%d bytes wait: want %d at most", n, limit)
	}
	go func() { _, _ = io.Copy(io.Discard, stuck) }()
	if stats, err := l.Close(); !errors.Is(err, ErrLogBehind) || stats.Bytes == 0 {
		t.Errorf("closed with %+v, %v", stats, err)
	}
}
