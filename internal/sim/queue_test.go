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

// TestQueueTakesABurst looks far ahead and then lets a million events fall due before that, a
// thousand at each time, in one day and over many: inserting each into a sorted list would last
// for an hour.
func TestQueueTakesABurst(t *testing.T) {
	for _, spread := range []int64{1, 1000} {
		const n = 1_000_000
		q := newQueue()
		q.push(2000<<dayBits, dueReady, -1)
		if at := q.next(); at != 2000<<dayBits {
			t.Fatalf("next at %d: want %d", at, 2000<<dayBits)
		}
		for i := range int32(n) {
			q.push(5<<dayBits+int64(i)*7919%1000*spread, dueReady, i)
		}
		var last event
		for i := range n + 1 {
			at := q.next()
			e := q.pop()
			if e.at != at || i > 0 && !last.before(&e) {
				t.Fatalf("spread %d, event %d: %+v after %+v, next said %d", spread, i, e, last, at)
			}
			last = e
		}
		if at := q.next(); at != never {
			t.Fatalf("next at %d after the last: want never", at)
		}
	}
}
