package store

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cloudjit/cloudjit/internal/function"
)

// TestTurns: a function that has queued a thousand events holds up nobody: it runs 64 at once, and who comes later has
// the next turn.
func TestTurns(t *testing.T) {
	now := time.Unix(1000, 0)
	b := newBacklog(QueueLimits{})
	for seq := range uint64(1000) {
		b.add(seq, "flood", 100, time.Time{}, now)
	}
	running := 0
	for {
		q, _ := b.next(now)
		if q == nil {
			break
		}
		if q.seq != uint64(running) {
			t.Fatalf("number %d has the turn of %d", q.seq, running)
		}
		running++
	}
	if running != 64 {
		t.Errorf("%d run at once, want 64", running)
	}
	b.add(5000, "other", 100, time.Time{}, now)
	if q, _ := b.next(now); q == nil || q.seq != 5000 {
		t.Errorf("the other function's turn: %+v", q)
	}
	// Five hundred functions that flood leave room for one more.
	for f := range 500 {
		name := function.Name(fmt.Sprint("f", f))
		for k := range uint64(5) {
			b.add(uint64(f)*10+10000+k, name, 100, time.Time{}, now)
		}
	}
	for {
		if q, _ := b.next(now); q == nil {
			break
		}
	}
	b.add(6000, "last", 100, time.Time{}, now)
	if q, _ := b.next(now); q == nil || q.seq != 6000 {
		t.Errorf("beside five hundred floods: %+v, %d of %d slots taken", q, b.taken, b.limits.Slots)
	}
}

// TestLater: what is not due waits, and the time is told.
func TestLater(t *testing.T) {
	now := time.Unix(1000, 0)
	b := newBacklog(QueueLimits{})
	b.add(1, "f", 1, now.Add(time.Minute), now)
	b.add(2, "f", 1, now.Add(time.Second), now)
	if q, when := b.next(now); q != nil || !when.Equal(now.Add(time.Second)) {
		t.Errorf("%+v, %v: want nothing for a second", q, when)
	}
	now = now.Add(2 * time.Second)
	q, _ := b.next(now)
	if q == nil || q.seq != 2 {
		t.Fatalf("%+v, want number 2", q)
	}
	b.again(q, now.Add(time.Hour), now)
	if _, when := b.next(now); !when.Equal(time.Unix(1060, 0)) {
		t.Errorf("the next is due at %v", when)
	}
}

func TestQueueIsBounded(t *testing.T) {
	b := newBacklog(QueueLimits{Events: 3, Bytes: 100, AllEvents: 5, AllBytes: 150})
	full := func(name function.Name, size int, all bool) {
		t.Helper()
		var e *QueueFullError
		if err := b.admit(name, size); !errors.As(err, &e) || e.All != all {
			t.Errorf("%s, %d bytes: %v, want a queue that is full (all: %v)", name, size, err, all)
		}
	}
	take := func(name function.Name, size int) {
		t.Helper()
		if err := b.admit(name, size); err != nil {
			t.Errorf("%s, %d bytes: %v", name, size, err)
		}
	}
	take("a", 60)
	full("a", 60, false)
	take("a", 0)
	take("a", 0)
	full("a", 0, false)
	take("b", 80)
	full("c", 20, true)
	take("c", 1)
	full("c", 0, true)
	b.endPromise("a", 60)
	take("c", 1)
	if len(b.lines) != 3 {
		t.Errorf("%d lines", len(b.lines))
	}
}

// TestBacklogKeepsCount: whatever is done, in whatever order, the counts are those of what is there, and everything is
// served in the end.
func TestBacklogKeepsCount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1000, 0)
		b := newBacklog(QueueLimits{Slots: rapid.IntRange(1, 20).Draw(t, "slots"), RunBytes: 500})
		var taken []*queued
		there := map[uint64]int{}
		end := func(i int, again bool) {
			q := taken[i]
			taken = append(taken[:i], taken[i+1:]...)
			if again {
				b.again(q, now.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "wait"))*time.Second), now)
				return
			}
			b.remove(q)
			delete(there, q.seq)
		}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 1000).Draw(t, "ms")) * time.Millisecond)
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				seq, size := uint64(rapid.IntRange(1, 100).Draw(t, "seq")), rapid.IntRange(0, 400).Draw(t, "size")
				if _, ok := there[seq]; !ok {
					there[seq] = size
				}
				b.add(seq, function.Name(fmt.Sprint(seq%5)), size, time.Time{}, now)
			case 1:
				if q, _ := b.next(now); q != nil {
					taken = append(taken, q)
				}
			default:
				if len(taken) > 0 {
					end(rapid.IntRange(0, len(taken)-1).Draw(t, "which"), rapid.Bool().Draw(t, "again"))
				}
			}
			var bytes, run int64
			for _, size := range there {
				bytes += int64(size)
			}
			for _, q := range taken {
				run += int64(q.size)
			}
			if len(b.known) != len(there) || b.bytes != bytes || b.taken != len(taken) || b.takenBytes != run || b.taken > b.limits.Slots {
				t.Fatalf("%d known, %d bytes, %d taken with %d: want %d, %d, %d, %d", len(b.known), b.bytes, b.taken, b.takenBytes, len(there), bytes, len(taken), run)
			}
		}
		for range 10000 {
			q, when := b.next(now)
			switch {
			case q != nil:
				taken = append(taken, q)
			case len(taken) > 0:
				end(0, false)
			case !when.IsZero():
				now = when
			default:
				if len(there) > 0 || len(b.lines) > 0 {
					t.Fatalf("%d are never served; %d lines are left", len(there), len(b.lines))
				}
				return
			}
		}
		t.Fatal("no end")
	})
}
