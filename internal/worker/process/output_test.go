package process

import (
	"bytes"
	"os"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// collected is a reader of output.
type collected struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (c *collected) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.b.Write(p)
}

// pipes is the output of a runtime, and the end that it writes to.
func pipes(t *testing.T, to *collected, q *quota) (*output, *os.File) {
	t.Helper()
	stdout, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, e, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	e.Close()
	return newOutput(to, q, stdout, stderr), w
}

var droppedLine = regexp.MustCompile(`\n\[cloudjit: (\d+) bytes of output dropped: it came too fast\]\n`)

// TestOutputIsBounded: what writes without an end is slowed down, costs its reader little, and every byte
// is either given on or told of as dropped.
func TestOutputIsBounded(t *testing.T) {
	var got collected
	o, w := pipes(t, &got, newQuota())
	yes := bytes.Repeat([]byte("y\n"), 4<<10)
	var wrote atomic.Int64
	began := time.Now()
	for time.Since(began) < 1500*time.Millisecond {
		n, err := w.Write(yes)
		if err != nil {
			t.Fatal(err)
		}
		wrote.Add(int64(n))
	}
	took := time.Since(began).Seconds()
	w.Close()
	o.close()
	if most := int64(readBurst + readRate*took + 1<<20); wrote.Load() > most {
		t.Errorf("%d bytes were taken in %.1f s, want at most %d", wrote.Load(), took, most)
	}
	marks := droppedLine.FindAllSubmatch(got.b.Bytes(), -1)
	var dropped int64
	for _, m := range marks {
		n, _ := strconv.ParseInt(string(m[1]), 10, 64)
		dropped += n
	}
	rest := droppedLine.ReplaceAll(got.b.Bytes(), nil)
	if int64(len(rest))+dropped != wrote.Load() || dropped != o.Dropped() {
		t.Errorf("%d bytes given on, %d told of as dropped, %d counted, of %d", len(rest), dropped, o.Dropped(), wrote.Load())
	}
	if lines := bytes.Count(rest, []byte("\n")); lines == 0 || float64(lines) > (keepBurst+keepRate*took)/lineCost*1.2 {
		t.Errorf("%d lines were given on", lines)
	}
	if len(marks) == 0 || float64(len(marks)) > 2+took/dropPeriod.Seconds() {
		t.Errorf("%d lines say that output was dropped", len(marks))
	}
}

// TestOutputOfOthers: the quota is a function's; another one's output is all there.
func TestOutputOfOthers(t *testing.T) {
	var flood, quiet collected
	loud, lw := pipes(t, &flood, newQuota())
	other, ow := pipes(t, &quiet, newQuota())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for _, err := lw.Write(make([]byte, 1<<20)); err == nil; _, err = lw.Write(make([]byte, 1<<20)) {
		}
	}()
	line := []byte("a line of ordinary length\n")
	for range 200 {
		if _, err := ow.Write(line); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	other.flush()
	if want := bytes.Repeat(line, 200); !bytes.Equal(quiet.b.Bytes(), want) {
		t.Errorf("got %d bytes, want %d", quiet.b.Len(), len(want))
	}
	for _, f := range loud.files { // the writer's pipe breaks
		f.Close()
	}
	<-ended
	lw.Close()
	ow.Close()
	loud.close()
	other.close()
}
