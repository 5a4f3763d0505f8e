package engine

import (
	"time"

	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/policy"
)

// climbing is a ladder as the paper's: HotSpot, a quick binary, a better one; the tracer records.
var climbing = &ladder.Ladder{Name: "climbing", Start: 600 * time.Millisecond, Rungs: []ladder.Rung{
	{Name: "hotspot", Start: 1, First: 1, Speed: 1, Memory: 1},
	{Name: "native", Artifact: ladder.ArtifactBinary, From: ladder.RecordingMetadata, Builder: "native-image", Options: "quick", Start: 0.03, First: 1, Speed: 1, Memory: 0.375},
	{Name: "native-optimized", Artifact: ladder.ArtifactBinary, From: ladder.RecordingMetadata, Builder: "native-image", Options: "optimized", Start: 0.03, First: 1, Speed: 1, Memory: 0.375},
}}

// whole has the light rung between them.
var whole = &ladder.Ladder{Name: "whole", Start: 600 * time.Millisecond, Rungs: []ladder.Rung{
	climbing.Rungs[0],
	{Name: "aot-cache", Artifact: ladder.ArtifactCache, From: ladder.RecordingClasses, Builder: "java-cache", Light: true, Start: 0.36, First: 1, Speed: 1, Memory: 1},
	{Name: "native", Artifact: ladder.ArtifactBinary, From: ladder.RecordingMetadata, Builder: "native-image", Back: 1, Start: 0.03, First: 1, Speed: 1, Memory: 0.375},
}}

// direct is a ladder of one rung.
var direct = &ladder.Ladder{Name: "direct", Rungs: []ladder.Rung{{Name: "direct", Start: 1, First: 1, Speed: 1, Memory: 1}}}

// reserves is what workers of a ladder reserve: binaries less than all others.
func reserves(l *ladder.Ladder, mib, native int32) []int32 {
	m := make([]int32, len(l.Rungs))
	for i := range m {
		if m[i] = mib; l.Rungs[i].Artifact == ladder.ArtifactBinary {
			m[i] = native
		}
	}
	return m
}

// eager is a policy that makes every rung, one after the other.
type eager struct{ policy.Paper }

func (*eager) Decide(_ int64, v *policy.View) policy.Decision {
	d := policy.Decision{Serve: ladder.ID(len(v.Rungs) - 1)}
	for id := 1; id < len(v.Rungs); id++ {
		if v.Rungs[id].Ready || v.Rungs[id].Making || v.Rungs[id].Barred {
			continue
		}
		if from := v.Ladder.Rungs[id].From; v.Recorded[from] {
			d.Make = ladder.ID(id)
		} else {
			d.Record = from
		}
		break
	}
	return d
}
