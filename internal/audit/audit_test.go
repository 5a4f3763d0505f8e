package audit_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/audit"
)

// read returns the lines of a file, each of which must be JSON.
func read(t *testing.T, path string) (lines []audit.Entry) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		var e audit.Entry
		if err := json.Unmarshal(sc.Bytes(), &e); err != nil {
			t.Errorf("%s: %v in %q", path, err, sc.Text())
			continue
		}
		lines = append(lines, e)
	}
	return lines
}

func TestFilesAreBounded(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	l, err := audit.Open(dir, "audit", 10_000, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const lines = 1000
	for i := range lines {
		if err := l.Record(audit.Entry{Time: time.Now(), User: "u", Action: fmt.Sprint("A", i), Address: "127.0.0.1"}); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 3 {
		t.Fatalf("got %v, %v", files, err)
	}
	if n := l.Size(); n > 30_000 || n < 20_000 {
		t.Errorf("the files take %d bytes", n)
	}
	newest := read(t, filepath.Join(dir, "audit.jsonl"))
	if got := newest[len(newest)-1].Action; got != fmt.Sprint("A", lines-1) {
		t.Errorf("the last line is of %s", got)
	}
	older := read(t, filepath.Join(dir, "audit.1.jsonl"))
	if want := fmt.Sprint("A", lines-len(newest)-1); older[len(older)-1].Action != want {
		t.Errorf("the file before ends with %s, want %s", older[len(older)-1].Action, want)
	}
	if info, err := os.Stat(filepath.Join(dir, "audit.jsonl")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read it: %v, %v", info.Mode(), err)
	}
}

// TestAnotherProcessGoesOn: after one that was killed in the middle of a line.
func TestAnotherProcessGoesOn(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "audit.jsonl"), []byte(`{"user":"a"}`+"\n"+`{"user":`), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := audit.Open(dir, "audit", 1e6, 3)
	if err == nil {
		err = l.Record(audit.Entry{Time: time.Now(), User: "b"})
	}
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b, err := os.ReadFile(filepath.Join(dir, "audit.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var good []string
	for line := range bytes.SplitSeq(b, []byte("\n")) {
		var e audit.Entry
		if json.Unmarshal(line, &e) == nil {
			good = append(good, e.User)
		}
	}
	if fmt.Sprint(good) != "[a b]" {
		t.Errorf("got %v of %s", good, b)
	}
}

// TestStrangersPushNothingOut: refused requests of nobody known are counted when they are many.
func TestStrangersPushNothingOut(t *testing.T) {
	dir := t.TempDir()
	l, err := audit.Open(dir, "audit", 1e6, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	now := time.Now()
	for range 100_000 {
		_ = l.Record(audit.Entry{Time: now, Status: 403})
	}
	if err := l.Record(audit.Entry{Time: now, User: "u"}); err != nil {
		t.Fatal(err)
	}
	lines := read(t, filepath.Join(dir, "audit.jsonl"))
	last := lines[len(lines)-1]
	if len(lines) > 600 || last.User != "u" || last.Left != 100_000-(len(lines)-1) {
		t.Errorf("%d lines, the last %+v", len(lines), last)
	}
	if err := l.Record(audit.Entry{Time: now.Add(time.Minute), Status: 403}); err != nil || len(read(t, filepath.Join(dir, "audit.jsonl"))) != len(lines)+1 {
		t.Errorf("a minute later nothing is written: %v", err)
	}
}

// TestBuffered: nobody waits, and everything is there a moment later, or when the log is closed.
func TestBuffered(t *testing.T) {
	dir := t.TempDir()
	l, err := audit.OpenBuffered(dir, "audit", 1e6, 2)
	if err != nil {
		t.Fatal(err)
	}
	record := func(user string) {
		if err := l.Record(audit.Entry{Time: time.Now(), User: user}); err != nil {
			t.Error(err)
		}
	}
	record("a")
	for end := time.Now().Add(5 * time.Second); len(read(t, filepath.Join(dir, "audit.jsonl"))) != 1; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the line is not written")
		}
	}
	record("b")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	record("c")
	if lines := read(t, filepath.Join(dir, "audit.jsonl")); len(lines) != 2 || lines[1].User != "b" {
		t.Errorf("got %+v", lines)
	}
	_ = l.Close()
}
