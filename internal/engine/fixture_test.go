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

// deployed has the light rung, one that is made before the first invocation alone, and the better one of its kind.
var deployed = &ladder.Ladder{Name: "deployed", Start: 600 * time.Millisecond, Rungs: append(whole.Clone().Rungs[:2],
	ladder.Rung{Name: "snapshot-deploy", Artifact: ladder.ArtifactSnapshot, Builder: "snapshot", Early: true, Back: 1, Start: 0.1, First: 1, Speed: 1, Memory: 1, Cost: ladder.Cost{CPU: time.Second}},
	ladder.Rung{Name: "snapshot", Artifact: ladder.ArtifactSnapshot, Builder: "snapshot", Back: 1, Start: 0.1, First: 0.1, Speed: 1, Memory: 1, Cost: ladder.Cost{CPU: time.Second}})}

// profiled is climbing with a binary that takes a recording, for one that is made with it.
var profiled = &ladder.Ladder{Name: "profiled", Start: 600 * time.Millisecond, Rungs: append(climbing.Clone().Rungs,
	ladder.Rung{Name: "instrumented", Artifact: ladder.ArtifactBinary, From: ladder.RecordingMetadata, Recorder: ladder.RecordingProfile, Builder: "native-image", Start: 0.06, First: 1, Speed: 3, Memory: 0.6},
	ladder.Rung{Name: "profiled", Artifact: ladder.ArtifactBinary, From: ladder.RecordingMetadata, Also: ladder.RecordingProfile, Builder: "native-image", Start: 0.03, First: 1, Speed: 0.5, Memory: 0.375},
)}

// inlined has a cache, and a binary with two recordings that workers of the first rung take.
var inlined = &ladder.Ladder{Name: "inlined", Start: 600 * time.Millisecond, Rungs: append(whole.Clone().Rungs[:2], profiled.Rungs[4])}

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
		row := &v.Ladder.Rungs[id]
		if v.Rungs[id].Ready || v.Rungs[id].Making || v.Rungs[id].Barred || !row.Serves() {
			continue
		}
		switch {
		case !v.Recorded[row.From]:
			d.Record = row.From
		case row.Also != ladder.RecordingNone && !v.Recorded[row.Also]:
			d.Record = row.Also
		default:
			d.Make = ladder.ID(id)
		}
		break
	}
	return d
}
