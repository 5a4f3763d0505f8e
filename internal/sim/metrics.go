package sim

import (
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
)

// metrics are the present numbers of a cluster and the seconds that are past. Memory is in
// whole kB, so that sums do not depend on the order of additions.
type metrics struct {
	second  int   // the one at hand
	ends    int64 // when it ends
	series  Series
	seconds int

	running, resident, residentNative int32
	fnsNative, fnsOther               int32
	runningKB, residentKB             int64
	activeNative, activeOther         int32
	coldNative, coldOther             int32 // in this second
	coldsNative, colds                uint64
	building                          int32
	optimized                         int32
	artifactKB                        int64 // of all artifacts that serve
	dropped                           int
	startNs, aheadNs                  int64 // of all starts, and of those ahead of an invocation
	recorders                         uint64
	rungs                             []rungMetrics // by column

	arrivals, finished, rejected, failed, deopts, events uint64
	forwarded                                            uint64 // to another node

	response, wait histogram
}

// rungMetrics are those of one rung.
type rungMetrics struct {
	resident, cold            int32 // now, and in this second
	colds, ahead, invocations uint64
	waited                    int64 // ns
	builds, checks            int
	checkUs                   int64 // CPU time
	buildNs, buildUs          int64 // time, and CPU time
	buildMBms                 int64
}

func (m *metrics) init(seconds int, columns []function.Rung) {
	m.seconds = seconds
	m.ends = int64(time.Second)
	m.rungs = make([]rungMetrics, len(columns))
	s := &m.series
	for _, name := range columns {
		s.Rungs = append(s.Rungs, RungSeries{Rung: name})
	}
	for _, v := range s.counts() {
		*v = make([]int32, 0, seconds)
	}
	for _, v := range s.sizes() {
		*v = make([]float64, 0, seconds)
	}
}

// book notes what a build costs.
func (m *metrics) book(column uint8, cost *ladder.Cost) {
	r := &m.rungs[column]
	r.builds++
	r.buildNs += int64(cost.Wall)
	r.buildUs += cost.CPU.Microseconds()
	r.buildMBms += int64(cost.MemoryMB * float64(cost.Wall.Milliseconds()))
}

// check notes what comparing an artifact costs.
func (m *metrics) check(column uint8, cost *ladder.Cost) {
	if cost.Wall > 0 {
		r := &m.rungs[column]
		r.checks++
		r.checkUs += cost.CPU.Microseconds()
	}
}

func (m *metrics) active(optimized bool) {
	if optimized {
		m.activeNative++
	} else {
		m.activeOther++
	}
}

// sampleUntil writes the seconds that end at or before a time.
func (m *metrics) sampleUntil(c *cluster, at int64) {
	for at >= m.ends {
		m.sample(c)
	}
}

func (m *metrics) sample(c *cluster) {
	counts := c.engine.Counts()
	s := &m.series
	if s.Len() < m.seconds {
		s.ActiveOptimized = append(s.ActiveOptimized, m.activeNative)
		s.ActiveOther = append(s.ActiveOther, m.activeOther)
		s.RunningOptimized = append(s.RunningOptimized, m.fnsNative)
		s.RunningOther = append(s.RunningOther, m.fnsOther)
		s.Invocations = append(s.Invocations, m.running)
		s.ResidentNative = append(s.ResidentNative, m.residentNative)
		s.Resident = append(s.Resident, m.resident)
		s.RunningMB = append(s.RunningMB, float64(m.runningKB)) // kB until toMB
		s.ResidentMB = append(s.ResidentMB, float64(m.residentKB))
		s.ColdOptimized = append(s.ColdOptimized, m.coldNative)
		s.ColdOther = append(s.ColdOther, m.coldOther)
		s.Builds = append(s.Builds, m.building)
		s.BuildsQueued = append(s.BuildsQueued, int32(counts.BuildsQueued))
		s.OptimizedFunctions = append(s.OptimizedFunctions, m.optimized)
		s.ArtifactMB = append(s.ArtifactMB, float64(m.artifactKB))
		for i := range m.rungs {
			s.Rungs[i].Resident = append(s.Rungs[i].Resident, m.rungs[i].resident)
			s.Rungs[i].Cold = append(s.Rungs[i].Cold, m.rungs[i].cold)
		}
	}
	for i := range m.rungs {
		r := &m.rungs[i]
		r.colds += uint64(r.cold)
		r.cold = 0
	}
	m.coldsNative += uint64(m.coldNative)
	m.colds += uint64(m.coldNative) + uint64(m.coldOther)
	m.coldNative, m.coldOther = 0, 0
	m.second++
	m.ends += int64(time.Second)
	// Those that run go on into the next second.
	m.activeNative, m.activeOther = m.fnsNative, m.fnsOther
}

// toMB turns the memory columns from kB, whose sums are exact, into MB.
func (s *Series) toMB() {
	for _, column := range s.sizes() {
		for i := range *column {
			(*column)[i] /= 1000
		}
	}
}

// add takes another part's numbers into these.
func (m *metrics) add(o *metrics) {
	m.colds += o.colds
	m.coldsNative += o.coldsNative
	m.dropped += o.dropped
	m.startNs += o.startNs
	m.aheadNs += o.aheadNs
	m.recorders += o.recorders
	for i := range m.rungs {
		m.rungs[i].add(&o.rungs[i])
	}
	m.arrivals += o.arrivals
	m.finished += o.finished
	m.rejected += o.rejected
	m.failed += o.failed
	m.deopts += o.deopts
	m.events += o.events
	m.forwarded += o.forwarded
	m.response.merge(&o.response)
	m.wait.merge(&o.wait)
	mine, theirs := m.series.counts(), o.series.counts()
	for i := range mine {
		for s := range *mine[i] {
			(*mine[i])[s] += (*theirs[i])[s]
		}
	}
	sizes, others := m.series.sizes(), o.series.sizes()
	for i := range sizes {
		for s := range *sizes[i] {
			(*sizes[i])[s] += (*others[i])[s]
		}
	}
}

func (r *rungMetrics) add(o *rungMetrics) {
	r.colds += o.colds
	r.ahead += o.ahead
	r.invocations += o.invocations
	r.waited += o.waited
	r.builds += o.builds
	r.checks += o.checks
	r.checkUs += o.checkUs
	r.buildNs += o.buildNs
	r.buildUs += o.buildUs
	r.buildMBms += o.buildMBms
}

// counts are the columns of whole numbers.
func (s *Series) counts() []*[]int32 {
	all := []*[]int32{
		&s.ActiveOptimized, &s.ActiveOther, &s.RunningOptimized, &s.RunningOther, &s.Invocations, &s.ResidentNative,
		&s.Resident, &s.ColdOptimized, &s.ColdOther, &s.Builds, &s.BuildsQueued, &s.OptimizedFunctions,
	}
	for i := range s.Rungs {
		all = append(all, &s.Rungs[i].Resident, &s.Rungs[i].Cold)
	}
	return all
}

// sizes are the columns of memory and disk.
func (s *Series) sizes() []*[]float64 {
	return []*[]float64{&s.RunningMB, &s.ResidentMB, &s.ArtifactMB}
}
