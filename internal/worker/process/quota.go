package process

import (
	"bytes"
	"time"

	"golang.org/x/time/rate"
)

// What the workers of one function may write together. Programs that log, log some kilobytes with each
// invocation; what writes without an end must cost the server little, and other functions nothing.
const (
	// readRate and readBurst bound what is read at all, bytes: beyond, the pipes fill up and writers wait.
	readRate, readBurst = 16 << 20, 4 << 20
	// keepRate and keepBurst bound what is given on; the rest of what was read is dropped and counted. A
	// line costs lineCost more than its bytes: each becomes an entry of the log.
	keepRate, keepBurst, lineCost = 1 << 20, 4 << 20, 128
	// dropPeriod is how long everything is dropped once there was too much.
	dropPeriod = 500 * time.Millisecond
	// minWait is the shortest wait of a reader: a wait for each read would cost more than the read.
	minWait = 5 * time.Millisecond
)

// quota is what the workers of one function may still write.
type quota struct {
	reads, keeps *rate.Limiter
	patient      bool // who writes waits for the reader, and nothing is dropped
}

func newQuota() *quota {
	return &quota{reads: rate.NewLimiter(readRate, readBurst), keeps: rate.NewLimiter(keepRate, keepBurst)}
}

// read notes n bytes, readBurst at most, that were read, and says how long to read no more.
func (q *quota) read(n int) time.Duration {
	now := time.Now()
	wait := q.reads.ReserveN(now, n).DelayFrom(now)
	if wait > 0 {
		wait = max(wait, minWait)
	}
	return wait
}

// keep says whether p may be given on, and notes it then.
func (q *quota) keep(p []byte) bool {
	return q.keeps.AllowN(time.Now(), len(p)+lineCost*bytes.Count(p, []byte("\n")))
}
