package node

import (
	"bytes"
	"strings"
	"testing"

	"github.com/cloudjit/cloudjit/internal/metadata"
)

// TestHintOutlivesALongStackTrace: the element that a binary lacks stands before the stack, which is
// longer than what is kept of a log.
func TestHintOutlivesALongStackTrace(t *testing.T) {
	output := strings.Repeat("a line of the program\n", 2000) + strings.ReplaceAll(missing, "a.Unseen", "a.Earlier") +
		strings.Repeat("\tat org.springframework.Frame.method(Frame.java:1)\n", 500) +
		missing + strings.Repeat("\tat org.springframework.Frame.method(Frame.java:1)\n", 1000)
	for _, size := range []int{1, 7, 64, 4096, len(output)} {
		var passed bytes.Buffer
		h := &hint{next: &passed}
		for rest := output; rest != ""; {
			n := min(size, len(rest))
			if _, err := h.Write([]byte(rest[:n])); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if passed.String() != output {
			t.Errorf("in pieces of %d: the output is not passed on as it is", size)
		}
		got, ok := metadata.ParseMissing(string(h.last()))
		if !ok || !got.Set.Contains(metadata.Element{Kind: metadata.KindType, Type: "a.Unseen"}) {
			t.Errorf("in pieces of %d: got %+v, %v of %q", size, got, ok, h.last())
		}
		if len(h.last()) > hintBefore+len(hintMark)+hintAfter || cap(h.recent) > 4*(len(output)+hintBefore) {
			t.Errorf("in pieces of %d: %d bytes are kept", size, len(h.last()))
		}
	}
	if got := (*hint)(nil).last(); got != nil {
		t.Errorf("without one: %q", got)
	}
}

// TestHintOfALack: what a binary cannot do is kept as what it lacks is; the last counts.
func TestHintOfALack(t *testing.T) {
	var h hint
	for _, piece := range []string{missing, "more\n" + metadata.LackMark[:9], metadata.LackMark[9:] + "unsupp", "orted] what it met\n", strings.Repeat("   at a.B\n", 5000)} {
		_, _ = h.Write([]byte(piece))
	}
	if got, ok := metadata.ParseLack(string(h.last())); !ok || got.What != "what it met" || !got.Never {
		t.Errorf("got %+v, %v", got, ok)
	}
}
