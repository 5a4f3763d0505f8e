package compare

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cloudjit/cloudjit/internal/function"
)

// Asked is one sample with the answers to it. Run 0 is the first time that it was asked.
type Asked struct {
	Sample *Sample
	// First are the answers of the first rung, two at least; Artifact are those of the artifact, one at least.
	First, Artifact []*Answer
}

// Difference is where an artifact answered otherwise than the first rung.
type Difference struct {
	// Digest is that of the sample.
	Digest string `json:"digest"`
	// Path of the first value that differs: "$.items[2].price", "status", "line 3", "outcome".
	Path string `json:"path"`
	// First and Artifact are the two values, cut short.
	First    string `json:"first"`
	Artifact string `json:"artifact"`
}

func (d *Difference) String() string {
	return fmt.Sprintf("%s: %s, not %s (payload %.12s)", d.Path, d.Artifact, d.First, d.Digest)
}

// Verdict is what came of a comparison.
type Verdict struct {
	// Compared samples got an answer from both; Values is how many values of answers were compared.
	Compared int `json:"compared"`
	Values   int `json:"values"`
	// Skipped samples got no answer of the first rung in time, or not the same kind of answer twice.
	Skipped int `json:"skipped,omitempty"`
	// Late samples got no answer of the artifact in time.
	Late int `json:"late,omitempty"`
	// Unlike samples end otherwise where they are checked than in service, as those do that need a network.
	// They are compared all the same: both rungs have to fail alike.
	Unlike int `json:"unlike,omitempty"`
	// Varying are paths that differ from run to run of the first rung, and so are not compared.
	Varying []string `json:"varying,omitempty"`
	// Difference is the first one; nil: all answers were the same.
	Difference *Difference `json:"difference,omitempty"`
	// differs are the samples that differ.
	differs []*Sample
}

// Differs are the samples to which the answers differ.
func (v *Verdict) Differs() []*Sample { return v.differs }

// maxVarying is how many paths are named.
const maxVarying = 20

// Judge compares the answers. A difference counts only if the artifact never answered as the first rung did.
func Judge(asked []Asked) *Verdict {
	v := &Verdict{}
	m := newMasks()
	var fit []Asked
	for _, a := range asked {
		first, ok := settled(a.First)
		if !ok || len(a.Artifact) == 0 {
			v.Skipped++
			continue
		}
		if slices.ContainsFunc(a.Artifact, func(x *Answer) bool { return x.Outcome == function.OutcomeTimeout }) {
			v.Late++
			continue
		}
		live := a.Sample.Answer
		if live != nil && live.Outcome == first.Outcome && live.Status == first.Status {
			// One run more, unless another rung answered: what that does wrong must not be learnt as chance.
			if !a.Sample.First {
				live = nil
			}
		} else {
			if live != nil {
				v.Unlike++
			}
			live = nil
		}
		for _, other := range a.First[1:] {
			m.learn(first, other)
		}
		if live != nil {
			m.learn(first, live)
		}
		fit = append(fit, a)
	}
	for _, a := range fit {
		v.Compared++
		var d *Difference
		for i, artifact := range a.Artifact {
			found, n := m.compare(a.First[0], artifact)
			if i == 0 {
				d, v.Values = found, v.Values+n
			}
			if found == nil {
				d = nil
				break
			}
		}
		if d == nil {
			continue
		}
		d.Digest = a.Sample.Digest
		v.differs = append(v.differs, a.Sample)
		if v.Difference == nil {
			v.Difference = d
		}
	}
	v.Varying = m.names()
	return v
}

// settled is the answer of the first rung, if it gave the same kind of answer each time.
func settled(runs []*Answer) (*Answer, bool) {
	if len(runs) < 2 || runs[0] == nil {
		return nil, false
	}
	for _, a := range runs {
		if a == nil || a.Outcome == function.OutcomeTimeout || a.Outcome != runs[0].Outcome || a.Exit != runs[0].Exit {
			return nil, false
		}
	}
	return runs[0], true
}

func (m *masks) names() []string {
	var names []string
	for path := range m.vary {
		names = append(names, path)
	}
	for path := range m.unordered {
		names = append(names, path+" (order)")
	}
	for path := range m.text {
		if !m.vary[path] {
			names = append(names, path+" (part)")
		}
	}
	slices.Sort(names)
	if len(names) > maxVarying {
		names = append(names[:maxVarying], "...")
	}
	return names
}

// cut shortens a value for people.
func cut(s string) string {
	const most = 160
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
