package load_test

import (
	"context"
	"iter"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudjit/cloudjit/internal/experiment/load"
)

// every yields n items, one each interval.
func every(interval time.Duration, n int) iter.Seq2[time.Duration, int] {
	return func(yield func(time.Duration, int) bool) {
		for i := range n {
			if !yield(time.Duration(i)*interval, i) {
				return
			}
		}
	}
}

func TestASlowServerDoesNotSlowTheArrivals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var last time.Duration
		stats := load.Run(t.Context(), every(time.Second, 10), func(_ context.Context, i int) {
			if at := time.Since(start); at != time.Duration(i)*time.Second {
				t.Errorf("item %d was sent at %v", i, at)
			}
			time.Sleep(time.Minute)
			last = max(last, time.Since(start))
		}, load.Options{})
		if stats.Sent != 10 || stats.NotSent != 0 || stats.ErrorMax != 0 || last != 69*time.Second {
			t.Fatalf("got %+v, the last ended at %v", stats, last)
		}
	})
}

func TestSpeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		load.Run(t.Context(), every(time.Second, 11), func(context.Context, int) {}, load.Options{Speed: 10})
		if got := time.Since(start); got != time.Second {
			t.Fatalf("10 seconds at tenfold speed took %v", got)
		}
	})
}

func TestWhatCannotBeSentIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stats := load.Run(t.Context(), every(time.Second, 10), func(context.Context, int) {
			time.Sleep(3500 * time.Millisecond)
		}, load.Options{InFlight: 2})
		if stats.Scheduled != 10 || stats.Sent != 6 || stats.NotSent != 4 {
			t.Fatalf("got %+v, want 6 of 10 sent", stats)
		}
	})
}

func TestAnInterruptedRunReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3500*time.Millisecond)
		defer cancel()
		var ended atomic.Int32
		stats := load.Run(ctx, every(time.Second, 10), func(ctx context.Context, _ int) {
			<-ctx.Done()
			ended.Add(1)
		}, load.Options{})
		if !stats.Interrupted || stats.Sent != 4 || ended.Load() != 4 {
			t.Fatalf("got %+v, %d ended: want 4 sent and ended", stats, ended.Load())
		}
	})
}
