package sim

import (
	"cmp"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestQueueOrdersLikeASortedList schedules and takes events at random, near and far.
func TestQueueOrdersLikeASortedList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := newQueue()
		var want []event
		now := int64(0)
		delay := rapid.OneOf(
			rapid.Int64Range(0, 3), rapid.Int64Range(0, 1<<21), rapid.Int64Range(0, 1<<32),
			rapid.Int64Range(calendar<<dayBits-2, calendar<<dayBits+2), rapid.Int64Range(0, 1<<42))
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "push") || len(want) == 0 {
				at := now + delay.Draw(t, "delay")
				q.push(at, dueFinish, int32(len(want)))
				want = append(want, event{at, q.seq << kindBits, int32(len(want))})
				slices.SortFunc(want, func(a, b event) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.seq, b.seq)) })
				continue
			}
			if at := q.next(); at != want[0].at {
				t.Fatalf("next at %d: want %d", at, want[0].at)
			}
			if got := q.pop(); got != want[0] {
				t.Fatalf("got %+v, want %+v", got, want[0])
			}
			now = want[0].at
			want = want[1:]
		}
		if len(want) == 0 && q.next() != never {
			t.Fatal("something is left")
		}
	})
}

// TestQueueTakesABurst lets a million events fall due within one millisecond, a thousand at each
// time: taking them one by one into a sorted list would last for hours.
func TestQueueTakesABurst(t *testing.T) {
	const n = 1_000_000
	q := newQueue()
	for i := range int32(n) {
		q.push(5<<dayBits+int64(i)*7919%1000, dueReady, i)
	}
	var last event
	for i := range n {
		q.next()
		e := q.pop()
		if i > 0 && !last.before(&e) {
			t.Fatalf("event %d: %+v after %+v", i, e, last)
		}
		last = e
	}
	if at := q.next(); at != never {
		t.Fatalf("next at %d after the last: want never", at)
	}
}
