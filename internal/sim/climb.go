package sim

import (
	"math"
	"slices"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
)

// way is a rung and a recording as one small number, for tables.
type way uint8

const maxWays = ladder.Max * ladder.RecordingCount

func wayOf(rung ladder.ID, x ladder.Recording) way {
	return way(int(rung)*ladder.RecordingCount + int(x))
}

func (w way) rung() ladder.ID             { return ladder.ID(w / way(ladder.RecordingCount)) }
func (w way) recording() ladder.Recording { return ladder.Recording(w % way(ladder.RecordingCount)) }

// climb is a ladder as a cluster runs it: what each way to run takes, and where each rung is counted.
type climb struct {
	ladder *ladder.Ladder
	ways   [maxWays]wayTimes
	// slow: some duration differs from the trace's.
	slow bool
	// column of each rung in the series and summaries.
	column [ladder.Max]uint8
	// binaries and lights are the rungs that are such, prepared those that can be made before the first invocation, compared those whose
	// answers are compared with the first rung's, by bit.
	binaries, lights, prepared, compared uint16
}

// wayTimes is how long things take on workers that run in one way. Times are ns.
type wayTimes struct {
	start int64
	speed float64
	overhead
}

// overhead is how much longer than in the trace invocations take, and the first of a worker on top, ns.
type overhead struct{ each, firstExtra int64 }

func newClimb(l *ladder.Ladder, m *Model, columns []function.Rung) *climb {
	c := &climb{ladder: l}
	for id := range l.Rungs {
		r := &l.Rungs[id]
		c.column[id] = uint8(slices.Index(columns, r.Name))
		if r.Artifact == ladder.ArtifactBinary {
			c.binaries |= 1 << id
		}
		if r.Light {
			c.lights |= 1 << id
		}
		if !r.Weighed() {
			c.prepared |= 1 << id
		}
		if r.Check.Wall > 0 {
			c.compared |= 1 << id
		}
		plain := int64(math.Round(float64(l.Start) * r.Start))
		if d, ok := m.Starts[Way{Rung: r.Name}]; ok {
			plain = int64(d)
		}
		for x := range ladder.RecordingCount {
			named := Way{r.Name, ladder.Recording(x)}
			t := wayTimes{
				start: int64(math.Round(float64(plain) * m.RecordStart[x])), speed: r.Speed * m.RecordSpeed[x],
				overhead: overhead{int64(m.Overhead[named]), int64(float64(m.FirstExtra) * r.First)},
			}
			if d, ok := m.Starts[named]; ok {
				t.start = int64(d)
			}
			if d, ok := m.FirstOverhead[named]; ok {
				t.firstExtra = int64(d) - t.each
			}
			c.slow = c.slow || t.speed != 1 || t.overhead != overhead{}
			c.ways[wayOf(ladder.ID(id), named.Recording)] = t
		}
	}
	return c
}

// native reports whether a rung runs a binary.
func (c *climb) native(rung ladder.ID) bool { return c.binaries>>rung&1 != 0 }

// columns are the names of all rungs of a simulation, those of the first ladder first.
func (o *Options) columns() []function.Rung {
	var names []function.Rung
	add := func(l *ladder.Ladder) {
		for i := range l.Rungs {
			if !slices.Contains(names, l.Rungs[i].Name) {
				names = append(names, l.Rungs[i].Name)
			}
		}
	}
	for i := range o.Functions {
		add(o.ladderOf(int32(i)))
	}
	if o.Functions == nil {
		add(o.Ladder)
	}
	return names
}

// ladderOf is the ladder of a function of the trace.
func (o *Options) ladderOf(function int32) *ladder.Ladder {
	if o.Functions != nil && o.Functions[function].Revision.Ladder != nil {
		return o.Functions[function].Revision.Ladder
	}
	return o.Ladder
}
