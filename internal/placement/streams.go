package placement

import "time"

// Streams count what a node passes on of each function. Where much of one comes through a node, its workers belong there: a hop
// costs both nodes some 0.24 ms of CPU time together (BenchmarkHop of internal/peer), and a second of CPU time is worth 9000 MB*s
// (internal/policy), so 46 hops a second cost as much as an idle worker of 100 MB. The zero value is ready. Not safe for concurrent use.
type Streams struct{ of map[uint64]stream }

// stream is what was passed on of a function since a time (ns), and in the second before that.
type stream struct {
	since   int64
	n, last int32
}

const (
	// hot is how many invocations passed on within streamTime (ns) are worth a worker.
	hot        = 46
	streamTime = int64(time.Second)
	// maxStreams are remembered: then those that have ended are forgotten.
	maxStreams = 4096
)

// Passed notes that an invocation of a function, by its key, was passed on at now (ns).
func (s *Streams) Passed(now int64, function uint64) {
	if s.of == nil {
		s.of = map[uint64]stream{}
	}
	x := s.of[function].at(now)
	x.n++
	s.of[function] = x
	if len(s.of) <= maxStreams {
		return
	}
	for k, x := range s.of {
		if now-x.since >= streamTime {
			delete(s.of, k)
		}
	}
	if len(s.of) > maxStreams {
		clear(s.of)
	}
}

// Hot reports whether so much of a function was passed on lately that it is worth a worker on this node.
func (s *Streams) Hot(now int64, function uint64) bool {
	x, ok := s.of[function]
	if !ok {
		return false
	}
	x = x.at(now)
	return max(x.n, x.last) >= hot
}

// at is a stream at a time.
func (x stream) at(now int64) stream {
	switch d := now - x.since; {
	case d < streamTime:
		return x
	case d < 2*streamTime:
		return stream{since: x.since + streamTime, last: x.n}
	}
	return stream{since: now}
}
