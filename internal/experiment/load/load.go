// Package load sends requests at given times, whatever becomes of the earlier ones (an open
// loop: a slow server does not slow the arrivals down), and says how well it kept the times.
// It must not know what is sent.
package load

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Options of a run.
type Options struct {
	// Speed is how much faster than the schedule it runs; 0 and 1: as scheduled.
	Speed float64
	// InFlight is how many requests may be open at once; one that finds so many is not sent,
	// but counted (Stats.NotSent). 0: no limit.
	InFlight int
	// Late is how late a request may be sent; one that would be later is not sent, but
	// counted. 0: no limit.
	Late time.Duration
}

// Stats of a run.
type Stats struct {
	Scheduled int64 `json:"scheduled"`
	Sent      int64 `json:"sent"`
	// NotSent are those that were scheduled and left out, because too many were open or it was too late.
	NotSent int64 `json:"notSent"`
	// Interrupted: the context ended before the schedule did.
	Interrupted bool `json:"interrupted"`
	// Error of the schedule: how much later than scheduled requests were sent, microseconds.
	ErrorP50 int64 `json:"scheduleErrorP50Us"`
	ErrorP99 int64 `json:"scheduleErrorP99Us"`
	ErrorMax int64 `json:"scheduleErrorMaxUs"`
}

// Run sends everything of the schedule, each item at its time after the start, in a goroutine
// of its own, and returns when all have ended. Times must not go back. When ctx ends, nothing
// more is sent; what is open gets the ended context and is waited for.
func Run[T any](ctx context.Context, schedule iter.Seq2[time.Duration, T], send func(context.Context, T), o Options) Stats {
	speed := o.Speed
	if speed <= 0 {
		speed = 1
	}
	var (
		stats Stats
		open  sync.WaitGroup
		slots chan struct{}
		late  = hdrhistogram.New(1, time.Hour.Microseconds(), 3)
		start = time.Now()
		timer = time.NewTimer(0)
	)
	defer timer.Stop()
	if o.InFlight > 0 {
		slots = make(chan struct{}, o.InFlight)
	}
	for at, item := range schedule {
		at = time.Duration(float64(at) / speed)
		if wait := at - time.Since(start); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			stats.Interrupted = true
			break
		}
		stats.Scheduled++
		behind := time.Since(start) - at
		if o.Late > 0 && behind > o.Late {
			stats.NotSent++
			continue
		}
		if slots != nil {
			select {
			case slots <- struct{}{}:
			default:
				stats.NotSent++
				continue
			}
		}
		_ = late.RecordValue(min(behind, time.Hour).Microseconds())
		stats.Sent++
		open.Go(func() {
			send(ctx, item)
			if slots != nil {
				<-slots
			}
		})
	}
	open.Wait()
	stats.ErrorP50, stats.ErrorP99, stats.ErrorMax = late.ValueAtQuantile(50), late.ValueAtQuantile(99), late.Max()
	return stats
}
