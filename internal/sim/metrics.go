package sim

import (
	"time"

	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/pipeline"
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
	builds                            int
	buildNs                           int64

	arrivals, finished, rejected, failed, deopts, events uint64

	response, wait histogram
}

func (m *metrics) init(seconds int) {
	m.seconds = seconds
	m.ends = int64(time.Second)
	s := &m.series
	for _, v := range s.counts() {
		*v = make([]int32, 0, seconds)
	}
	s.RunningMB, s.ResidentMB = make([]float64, 0, seconds), make([]float64, 0, seconds)
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
	for i := range s.RunningMB {
		s.RunningMB[i] /= 1000
		s.ResidentMB[i] /= 1000
	}
}

// add takes another part's numbers into these.
func (m *metrics) add(o *metrics) {
	m.colds += o.colds
	m.coldsNative += o.coldsNative
	m.builds += o.builds
	m.buildNs += o.buildNs
	m.arrivals += o.arrivals
	m.finished += o.finished
	m.rejected += o.rejected
	m.failed += o.failed
	m.deopts += o.deopts
	m.events += o.events
	m.response.merge(&o.response)
	m.wait.merge(&o.wait)
	mine, theirs := m.series.counts(), o.series.counts()
	for i := range mine {
		for s := range *mine[i] {
			(*mine[i])[s] += (*theirs[i])[s]
		}
	}
	for s := range m.series.RunningMB {
		m.series.RunningMB[s] += o.series.RunningMB[s]
		m.series.ResidentMB[s] += o.series.ResidentMB[s]
	}
}

// counts are the columns of whole numbers.
func (s *Series) counts() []*[]int32 {
	return []*[]int32{
		&s.ActiveOptimized, &s.ActiveOther, &s.RunningOptimized, &s.RunningOther, &s.Invocations, &s.ResidentNative,
		&s.Resident, &s.ColdOptimized, &s.ColdOther, &s.Builds, &s.BuildsQueued, &s.OptimizedFunctions,
	}
}

// pipelineMoved follows a pipeline: only what begins or ends the native stage matters here.
func (c *cluster) pipelineMoved(a *engine.Action) {
	f := &c.fns[a.Revision]
	native := a.To.Stage == pipeline.StageNative
	if native == f.optimized {
		return
	}
	f.optimized = native
	if native {
		c.m.optimized++
		if !f.wasOptimized {
			f.wasOptimized = true
		}
	} else {
		c.m.optimized--
	}
}
