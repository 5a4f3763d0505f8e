package wire

import (
	"bytes"
	"encoding/binary"
	"io"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

func TestMessages(t *testing.T) {
	var b bytes.Buffer
	want := Request{Op: OpStart, Start: &Start{Path: "/x", Args: []string{"a b"}, Env: []string{"K=ü"}, Filter: []byte{0, 1}}}
	if err := Write(&b, want); err != nil {
		t.Fatal(err)
	}
	var got Request
	if err := Read(&b, &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if err := Write(&b, Request{Name: strings.Repeat("x", MaxMessage)}); err == nil {
		t.Error("a message that is too long was written")
	}
}

// TestTooLong: a claimed length takes no memory.
func TestTooLong(t *testing.T) {
	for _, n := range []uint32{MaxMessage, MaxMessage + 1, 1<<32 - 1} {
		in := append(binary.BigEndian.AppendUint32(nil, n), "{}"...)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		const reads = 100
		for range reads {
			var e Event
			if Read(bytes.NewReader(in), &e) == nil {
				t.Fatal("it was read")
			}
		}
		runtime.ReadMemStats(&after)
		allocs := (after.TotalAlloc - before.TotalAlloc) / reads
		if allocs > 64<<10 {
			t.Errorf("%d bytes claimed: %d allocated", n, allocs)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, m := range []any{Hello{Version: 1, Kernel: "6.1"}, Event{Exit: &Exit{Code: 1}}, Entry{Path: "a", Size: 3}} {
		var b bytes.Buffer
		_ = Write(&b, m)
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, into := range []any{&Hello{}, &Event{}, &Entry{}, &Request{}} {
			r := bytes.NewReader(in)
			if err := Read(r, into); err == nil && r.Len() > len(in)-4 {
				t.Error("read without a length")
			}
		}
	})
}

// TestSeek: what comes before the mark is dropped, and what comes after it stays.
func TestSeek(t *testing.T) {
	mark := []byte("abcabcabdabcabca")
	for before := range map[string]bool{"": true, "x": true, "abcabc": true, "abcabcabdabcabdabc": true, strings.Repeat("y", 5000): true} {
		r := iotest.OneByteReader(strings.NewReader(before + string(mark) + "after"))
		if err := Seek(r, mark); err != nil {
			t.Fatalf("%q: %v", before, err)
		}
		if got, _ := io.ReadAll(r); string(got) != "after" {
			t.Errorf("%q: %q is left", before, got)
		}
	}
	if err := Seek(strings.NewReader("abcabcabdabcabc"), mark); err == nil {
		t.Error("half a mark was found")
	}
}

func FuzzSeek(f *testing.F) {
	f.Add([]byte("xxabab"), []byte("ab"))
	f.Fuzz(func(t *testing.T, in, mark []byte) {
		if len(mark) == 0 {
			return
		}
		r := bytes.NewReader(in)
		at := bytes.Index(in, mark)
		if err := Seek(r, mark); (err == nil) != (at >= 0) {
			t.Fatalf("got %v, the mark is at %d", err, at)
		}
		if at >= 0 && r.Len() != len(in)-at-len(mark) {
			t.Errorf("%d bytes are left, want %d", r.Len(), len(in)-at-len(mark))
		}
	})
}
