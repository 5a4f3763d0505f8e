package logs_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/cloudjit/cloudjit/internal/logs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, dir string, opt logs.Options) *logs.Store {
	t.Helper()
	s, err := logs.Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func texts(lines []logs.Line) string {
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&b, "%d:%s ", l.Seq, l.Text)
	}
	return strings.TrimSpace(b.String())
}

func TestLinesSurviveTheStore(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, logs.Options{})
	w := s.Writer("f", "$LATEST", "w1")
	w.Begin("r1")
	fmt.Fprint(w, "one\ntw")
	fmt.Fprint(w, "o\r\nlast without line feed")
	w.Close()
	s.Close()

	s = open(t, dir, logs.Options{})
	s.Append("f", logs.Line{Text: "after"})
	got, err := s.Last("f", 10)
	if err != nil {
		t.Fatal(err)
	}
	if want := "1:one 2:two 3:last without line feed 4:after"; texts(got) != want {
		t.Fatalf("got %q, want %q", texts(got), want)
	}
	if got[0].Request != "r1" || got[0].Worker != "w1" {
		t.Fatalf("the line does not say whose it is: %+v", got[0])
	}
}

func TestTailIsOfThisRequestAndCapped(t *testing.T) {
	s := open(t, t.TempDir(), logs.Options{})
	w := s.Writer("f", "1", "w")
	w.Begin("r1")
	fmt.Fprintln(w, "of the first")
	w.Begin("r2")
	w.Platform("START RequestId: r2 Version: 1")
	fmt.Fprintln(w, "of the second")
	if got, want := string(w.Tail()), "START RequestId: r2 Version: 1\nof the second\n"; got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
	fmt.Fprintln(w, strings.Repeat("x", 10_000)+"end")
	if got := w.Tail(); len(got) != 4096 || !strings.HasSuffix(string(got), "xend\n") {
		t.Fatalf("got %d bytes, want the last 4096", len(got))
	}
}

func TestLongLinesAndBadBytes(t *testing.T) {
	s := open(t, t.TempDir(), logs.Options{MaxLine: 8})
	w := s.Writer("f", "1", "w")
	fmt.Fprint(w, "0123456789abcdef!\n\xff\xfe\n")
	got, err := s.Last("f", 10)
	if err != nil {
		t.Fatal(err)
	}
	if want := "1:01234567 2:89abcdef 3:! 4:\uFFFD"; texts(got) != want {
		t.Fatalf("got %q, want %q", texts(got), want)
	}
}

func TestDiskIsCapped(t *testing.T) {
	s := open(t, t.TempDir(), logs.Options{MaxBytes: 4000})
	for i := range 1000 {
		s.Append("f", logs.Line{Text: fmt.Sprint("line ", i)})
	}
	got, err := s.Last("f", 1000)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) == 0 || len(got) > 60 || got[len(got)-1].Text != "line 999" {
		t.Fatalf("got %d lines, the last %v: want few, and the newest", len(got), got[len(got)-1:])
	}
}

func TestFollowersSeeEveryLineInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, t.TempDir(), logs.Options{})
		s.Append("f", logs.Line{Text: "before"})
		var got []logs.Line
		done := make(chan error)
		enough := errors.New("enough")
		go func() {
			done <- s.Follow(t.Context(), "f", 0, func(l logs.Line) error {
				if got = append(got, l); len(got) == 301 {
					return enough
				}
				return nil
			})
		}()
		synctest.Wait()
		for i := range 300 {
			s.Append("f", logs.Line{Text: fmt.Sprint(i)})
		}
		if err := <-done; !errors.Is(err, enough) {
			t.Fatal(err)
		}
		for i, l := range got {
			if l.Seq != uint64(i+1) {
				t.Fatalf("line %d has sequence number %d", i, l.Seq)
			}
		}
		s.Close()
	})
}

func TestSlowFollowerMissesLinesAndCanTell(t *testing.T) {
	s := open(t, t.TempDir(), logs.Options{Recent: 4})
	for i := range 10 {
		s.Append("f", logs.Line{Text: fmt.Sprint(i)})
	}
	ctx, cancel := context.WithCancel(t.Context())
	var got []logs.Line
	err := s.Follow(ctx, "f", 0, func(l logs.Line) error {
		if got = append(got, l); l.Seq == 10 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if want := "7:6 8:7 9:8 10:9"; texts(got) != want {
		t.Fatalf("got %q, want %q", texts(got), want)
	}
}

func TestRemoveEndsFollowers(t *testing.T) {
	s := open(t, t.TempDir(), logs.Options{})
	s.Append("f", logs.Line{Text: "x"})
	done := make(chan error)
	seen := make(chan struct{})
	go func() {
		done <- s.Follow(t.Context(), "f", 0, func(logs.Line) error { close(seen); return nil })
	}()
	<-seen
	if err := s.Remove("f"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, logs.ErrClosed) {
		t.Fatalf("got %v, want ErrClosed", err)
	}
	if got, err := s.Last("f", 10); err != nil || len(got) > 0 {
		t.Fatalf("got %v, %v: want nothing", got, err)
	}
}

// TestRemoveWhatCannotBeWritten: a log goes even where its last lines cannot be written, as on a full disk.
func TestRemoveWhatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, logs.Options{})
	s.Append("f", logs.Line{Text: "x"})
	if err := os.RemoveAll(filepath.Join(dir, "f")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("in the way"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(); err == nil {
		t.Fatal("the line could be written: this test shows nothing")
	}
	s.Append("f", logs.Line{Text: "y"})
	if err := s.Remove("f"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "f")); !os.IsNotExist(err) {
		t.Fatalf("got %v: the log is still there", err)
	}
}

func BenchmarkWrite(b *testing.B) {
	s, err := logs.Open(b.TempDir(), logs.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	w := s.Writer("f", "1", "w")
	line := []byte("a line of ordinary length, as programs write them to their logs\n")
	b.ReportAllocs()
	for b.Loop() {
		w.Write(line)
	}
}
