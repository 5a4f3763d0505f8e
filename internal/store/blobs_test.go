package store

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

// TestResumed: a content that breaks off, and comes again from its beginning, is written once.
func TestResumed(t *testing.T) {
	content := make([]byte, 1000)
	for i := range content {
		content[i] = byte(i % 251)
	}
	var got bytes.Buffer
	to := &resumed{w: &got}
	steps := 0
	for _, until := range []int{0, 100, 300, 200, 700, 1000} {
		to.begin(func() { steps++ })
		n, err := io.Copy(to, iotest.OneByteReader(bytes.NewReader(content[:until])))
		if err != nil || n != int64(until) {
			t.Fatalf("took %d of %d: %v", n, until, err)
		}
	}
	if !bytes.Equal(got.Bytes(), content) || steps == 0 {
		t.Errorf("wrote %d bytes in %d steps, not the content", got.Len(), steps)
	}
	full := &resumed{w: brokenWriter{}}
	full.begin(func() {})
	if _, err := full.Write(content); !errors.Is(err, io.ErrShortWrite) || !errors.Is(full.err, io.ErrShortWrite) {
		t.Errorf("got %v, %v", err, full.err)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrShortWrite }
