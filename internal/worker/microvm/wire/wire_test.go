package wire

import (
	"bytes"
	"encoding/binary"
	"io"
	"reflect"
	"runtime"
	"slices"
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

// written keeps what one write after the other brings.
type written struct {
	Conn
	all [][]byte
}

func (w *written) Write(b []byte) (int, error) {
	w.all = append(w.all, bytes.Clone(b))
	return len(b), nil
}

// TestLineJoins: the head of a frame and its data leave in one write, and all that is written arrives in its order.
func TestLineJoins(t *testing.T) {
	head := func(kind byte, n int) []byte {
		return binary.BigEndian.AppendUint32([]byte{0, kind, 0, 0, 0, 0, 0, 1}, uint32(n))
	}
	mark := bytes.Repeat([]byte{MarkBegin}, MarkSize)
	small, large := bytes.Repeat([]byte("s"), 1024), bytes.Repeat([]byte("l"), joinedMost+1)
	for name, c := range map[string]struct {
		writes [][]byte
		want   []int // lengths
	}{
		"data":    {[][]byte{head(0, len(small)), small, head(0, len(small)), small}, []int{headSize + len(small), headSize + len(small)}},
		"nothing": {[][]byte{head(0, 0), head(1, 5), head(2, 7)}, []int{headSize, headSize, headSize}},
		"large":   {[][]byte{head(0, len(large)), large}, []int{headSize, len(large)}},
		"mark":    {[][]byte{mark, head(0, 1), []byte("x")}, []int{MarkSize, headSize + 1}},
		"twelve":  {[][]byte{head(0, headSize), head(0, 3), head(0, 1), []byte("x")}, []int{2 * headSize, headSize + 1}},
	} {
		w := &written{}
		l := NewLine(w)
		for _, b := range c.writes {
			if n, err := l.Write(b); n != len(b) || err != nil {
				t.Errorf("%s: wrote %d of %d, %v", name, n, len(b), err)
			}
		}
		var got []int
		for _, b := range w.all {
			got = append(got, len(b))
		}
		if !slices.Equal(got, c.want) || !bytes.Equal(bytes.Join(w.all, nil), bytes.Join(c.writes, nil)) {
			t.Errorf("%s: got writes of %v, want %v", name, got, c.want)
		}
	}
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
