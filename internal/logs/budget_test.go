package logs_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/logs"
)

// TestMemoryIsBoundedInBytes: the newest lines of many functions that write long ones.
func TestMemoryIsBoundedInBytes(t *testing.T) {
	s := open(t, t.TempDir(), logs.Options{RecentBytes: 256 << 10, MemoryBytes: 2 << 20, MaxBytes: 1 << 20})
	long := strings.Repeat("x", 64<<10)
	for range 100 {
		for f := range 20 {
			s.Append(fmt.Sprint("f", f), logs.Line{Text: long})
		}
	}
	if _, memory := s.Usage(); memory > 20*(256<<10) {
		t.Errorf("the recent lines take %d bytes", memory)
	}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		_, memory := s.Usage()
		if memory <= 2<<20 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the recent lines of all take %d bytes", memory)
		}
	}
	// A follower still gets the newest line, and the next one.
	ctx, cancel := context.WithCancel(t.Context())
	var got []uint64
	_ = s.Follow(ctx, "f0", 0, func(l logs.Line) error {
		if got = append(got, l.Seq); l.Seq == 100 {
			s.Append("f0", logs.Line{Text: "next"})
		}
		if l.Seq == 101 {
			cancel()
		}
		return nil
	})
	if len(got) < 2 || got[len(got)-2] != 100 {
		t.Errorf("got lines %v", got)
	}
	for _, f := range []string{"f0", "f1"} {
		if err := s.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	if _, memory := s.Usage(); memory > 18*(2<<20)/20+64<<10 {
		t.Errorf("after two are gone: %d bytes", memory)
	}
}

// TestLastIsBoundedInBytes, however many lines are asked for.
func TestLastIsBoundedInBytes(t *testing.T) {
	s := open(t, t.TempDir(), logs.Options{})
	long := strings.Repeat("x", 64<<10)
	for i := range 200 {
		s.Append("f", logs.Line{Text: fmt.Sprint(i, long)})
	}
	got, err := s.Last("f", 10_000)
	if err != nil {
		t.Fatal(err)
	}
	size := 0
	for _, l := range got {
		size += len(l.Text)
	}
	if size > 2<<20 || len(got) < 20 || got[len(got)-1].Seq != 200 || got[0].Seq != 200-uint64(len(got))+1 {
		t.Errorf("got %d lines, %d bytes, %d to %d", len(got), size, got[0].Seq, got[len(got)-1].Seq)
	}
}

// TestDiskOfAllIsBounded: the functions that wrote least recently lose their older half first; those that
// an earlier server has left count as well.
func TestDiskOfAllIsBounded(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "left"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"older.jsonl", "current.jsonl"} {
		if err := os.WriteFile(filepath.Join(dir, "left", name), []byte(strings.Repeat("{}\n", 50_000)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-time.Hour)
	_ = os.Chtimes(filepath.Join(dir, "left", "current.jsonl"), old, old)
	s := open(t, dir, logs.Options{MaxBytes: 200_000, TotalBytes: 400_000})
	if disk, _ := s.Usage(); disk != 300_000 {
		t.Fatalf("what is left takes %d bytes", disk)
	}
	write := func(f string) {
		for range 200 {
			s.Append(f, logs.Line{Text: strings.Repeat("x", 1000)})
		}
	}
	write("a")
	time.Sleep(10 * time.Millisecond)
	write("b")
	deadline := time.Now().Add(10 * time.Second)
	for {
		if disk, _ := s.Usage(); disk <= 400_000 {
			break
		}
		if time.Now().After(deadline) {
			disk, _ := s.Usage()
			t.Fatalf("the logs take %d bytes", disk)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if _, err := os.Stat(filepath.Join(dir, "left", "older.jsonl")); err == nil {
		t.Error("the oldest half is still there")
	}
	for _, f := range []string{"a", "b"} {
		if got, err := s.Last(f, 1); err != nil || len(got) != 1 || got[0].Seq != 200 {
			t.Errorf("%s: the newest line is %v, %v", f, got, err)
		}
	}
}

// TestASlowDiskHoldsNobodyUp: while a file takes nothing, the platform's lines, which belong to invocations,
// are taken at once, of this function and of others, and followers see them.
func TestASlowDiskHoldsNobodyUp(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, logs.Options{MaxBytes: 400})
	s.Append("f", logs.Line{Text: strings.Repeat("x", 300)})
	if err := s.Flush(); err != nil { // and a new file begins with the next line
		t.Fatal(err)
	}
	s.Append("g", logs.Line{Text: "there"})
	pipe := filepath.Join(dir, "f", "current.jsonl")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for range 3000 {
		s.Append("f", logs.Line{Text: "START of a request with its number", Platform: true})
		s.Append("g", logs.Line{Text: "END of another one with its number", Platform: true})
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("6000 lines took %s", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var last uint64
	_ = s.Follow(ctx, "f", 0, func(l logs.Line) error {
		if last = l.Seq; last == 3001 {
			cancel()
		}
		return nil
	})
	if last != 3001 {
		t.Errorf("the newest line that a follower saw is %d", last)
	}
	r, err := os.Open(pipe) // now it takes something
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	_ = os.Remove(pipe)
	go func() { _, _ = io.Copy(io.Discard, r) }()
	if got, err := s.Last("g", 1); err != nil || len(got) != 1 {
		t.Errorf("the other function's log: %v, %v", got, err)
	}
}
