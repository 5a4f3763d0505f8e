package bench

import (
	"slices"
	"sort"
	"time"

	"github.com/cloudjit/cloudjit/internal/metadata"
)

// Spread is what repetitions of a measurement are reduced to.
type Spread struct {
	N                int
	Min, Median, Max float64
}

// SpreadOf reduces values; the zero Spread of none. The median of an even number of values is
// the mean of the two in the middle.
func SpreadOf(values []float64) Spread {
	n := len(values)
	if n == 0 {
		return Spread{}
	}
	v := slices.Sorted(slices.Values(values))
	return Spread{N: n, Min: v[0], Median: (v[(n-1)/2] + v[n/2]) / 2, Max: v[n-1]}
}

// Of is the spread of a rung's values; a nil rung has none.
func (r *Rung) Of(m Metric) Spread {
	if r == nil {
		return Spread{}
	}
	return SpreadOf(r.Values[m.Key])
}

// Between counts the answers that came from one age of the process (included) to another
// (excluded). The ages must be sorted.
func Between(ages []time.Duration, from, to time.Duration) int {
	at := func(age time.Duration) int {
		return sort.Search(len(ages), func(i int) bool { return ages[i] >= age })
	}
	return max(0, at(to)-at(from))
}

// Rate is Between as answers a second.
func Rate(ages []time.Duration, from, to time.Duration) float64 {
	if to <= from {
		return 0
	}
	return float64(Between(ages, from, to)) / (to - from).Seconds()
}

// Parameter is a sort of metadata as the paper's Figure 2 counts it.
type Parameter struct {
	Name string
	of   []metadata.Kind
}

// Parameters are all sorts; each kind of element is in exactly one of them.
var Parameters = []Parameter{
	{"reflection: types", []metadata.Kind{metadata.KindType}},
	{"reflection: methods", []metadata.Kind{metadata.KindMethod}},
	{"reflection: fields", []metadata.Kind{metadata.KindField, metadata.KindFinalField}},
	{"reflection: all members, allocation", []metadata.Kind{metadata.KindBulk, metadata.KindUnsafe}},
	{"proxies", []metadata.Kind{metadata.KindProxy}},
	{"resources", []metadata.Kind{metadata.KindResource}},
	{"bundles", []metadata.Kind{metadata.KindBundle}},
	{"serialization", []metadata.Kind{metadata.KindSerializable, metadata.KindLambda}},
	{"JNI", []metadata.Kind{metadata.KindJNI}},
	{"foreign functions", []metadata.Kind{metadata.KindDowncall, metadata.KindUpcall, metadata.KindDirectUpcall}},
}

// Count is how many elements of this sort there are.
func (p Parameter) Count(c *metadata.Counts) int {
	n := 0
	for _, k := range p.of {
		n += c.ByKind[k]
	}
	return n
}
