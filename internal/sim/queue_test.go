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
