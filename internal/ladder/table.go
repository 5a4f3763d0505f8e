package ladder

import (
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
)

// Names of the rungs.
const (
	HotSpot         function.Rung = "hotspot"
	AOTCache        function.Rung = "aot-cache"
	AOTCacheC2      function.Rung = "aot-cache-c2"
	SnapshotDeploy  function.Rung = "snapshot-deploy"
	Snapshot        function.Rung = "snapshot"
	SnapshotC2      function.Rung = "snapshot-c2"
	Native          function.Rung = "native"
	NativeOptimized function.Rung = "native-optimized"
	// NativeInstrumented only records, for NativeProfiled.
	NativeInstrumented function.Rung = "native-instrumented"
	NativeProfiled     function.Rung = "native-profiled"
	Direct             function.Rung = "direct"
	Interpreter        function.Rung = "interpreter"
)

// Names of the builders.
const (
	BuilderCache    = "java-cache"
	BuilderNative   = "native-image"
	BuilderSnapshot = "snapshot"
)

// OptionsC2 asks launch for both of HotSpot's compilers.
const OptionsC2 = "c2"

// What the builder of binaries is told of those that take profiles, and are made with them. A builder that cannot do
// that says so (aot.Choosy), and the ladder of its node has neither rung.
const (
	OptionsInstrumented = "instrumented"
	OptionsProfiled     = "profiled"
)

// Ladders are the built-in ones, by the kind of function. Figures were measured on two cores with the
// samples (docs/ladder.md says how); a node replaces them by what it measures itself.
var ladders = map[function.Kind]Ladder{
	function.KindHandler: {
		Name: "handler", Start: 1100 * time.Millisecond, // a small function with a JSON library
		Rungs: []Rung{
			{Name: HotSpot, Start: 1, First: 1, Speed: 1, Memory: 1},
			{Name: AOTCache, Artifact: ArtifactCache, From: RecordingClasses, Builder: BuilderCache, Light: true,
				Start: 0.36, First: 0.5, Speed: 1, Memory: 1,
				Cost:  Cost{Wall: time.Second, CPU: 1200 * time.Millisecond, MemoryMB: 200, DiskMB: 22},
				Check: Cost{Wall: 3 * time.Second, CPU: 2700 * time.Millisecond, MemoryMB: 65}},
			// Handlers run with HotSpot's first compiler alone, as in AWS Lambda. Here they have both: those that
			// compute are twice to four times as fast once they are warm, those that wait gain nothing, and all start
			// a little later. The cache is the same.
			{Name: AOTCacheC2, Artifact: ArtifactCache, From: RecordingClasses, Builder: BuilderCache, Options: OptionsC2, Back: 0,
				Start: 0.48, First: 0.5, Speed: 0.45, Memory: 1.05,
				Cost:  Cost{Wall: 200 * time.Millisecond, CPU: 200 * time.Millisecond, MemoryMB: 100},
				Check: Cost{Wall: 3 * time.Second, CPU: 2700 * time.Millisecond, MemoryMB: 65}},
			// A worker that has initialized, saved before the first invocation. What only invocations load is loaded in each copy.
			{Name: SnapshotDeploy, Artifact: ArtifactSnapshot, Builder: BuilderSnapshot, Early: true, Back: 1,
				Start: 0.1, First: 0.65, Speed: 1, Memory: 1.05,
				Cost:  Cost{Wall: 600 * time.Millisecond, CPU: 600 * time.Millisecond, MemoryMB: 65, DiskMB: 49}, // orders
				Check: Cost{Wall: 2500 * time.Millisecond, CPU: 2300 * time.Millisecond, MemoryMB: 65}},
			// A worker that has answered, saved. Memory is that of a copy that is alone; further copies share with it what
			// none has written to, and take 0.41 (Python 0.34, Node.js 0.6) of a plain worker that shares as much as it can.
			{Name: Snapshot, Artifact: ArtifactSnapshot, Builder: BuilderSnapshot, Back: 1,
				Start: 0.1, First: 0.1, Speed: 1, Memory: 1.05,
				Cost:  Cost{Wall: 5500 * time.Millisecond, CPU: 2500 * time.Millisecond, MemoryMB: 120, DiskMB: 60},
				Check: Cost{Wall: 2500 * time.Millisecond, CPU: 2300 * time.Millisecond, MemoryMB: 65}},
			// The same with both compilers, for those that compute. For others, each worker's second compiler would only
			// take the processors from the answers: with 64 clients of a small function a sixth of all.
			{Name: SnapshotC2, Artifact: ArtifactSnapshot, Builder: BuilderSnapshot, Options: OptionsC2, Back: 4,
				Start: 0.1, First: 0.1, Speed: 0.45, Memory: 1.1,
				Cost:  Cost{Wall: 5500 * time.Millisecond, CPU: 2500 * time.Millisecond, MemoryMB: 120, DiskMB: 60},
				Check: Cost{Wall: 2500 * time.Millisecond, CPU: 2300 * time.Millisecond, MemoryMB: 65}},
			{Name: Native, Artifact: ArtifactBinary, From: RecordingMetadata, Builder: BuilderNative, Options: "quick", Back: 4,
				Start: 0.032, First: 0.1, Speed: 1, Memory: 0.375,
				Cost:  Cost{Wall: 128 * time.Second, CPU: 150 * time.Second, MemoryMB: 2000, DiskMB: 35},
				Check: Cost{Wall: 2500 * time.Millisecond, CPU: 2300 * time.Millisecond, MemoryMB: 65}},
			{Name: NativeOptimized, Artifact: ArtifactBinary, From: RecordingMetadata, Builder: BuilderNative, Options: "optimized", Back: 4,
				Start: 0.032, First: 0.1, Speed: 0.95, Memory: 0.375,
				Cost:  Cost{Wall: 160 * time.Second, CPU: 190 * time.Second, MemoryMB: 2500, DiskMB: 38},
				Check: Cost{Wall: 2500 * time.Millisecond, CPU: 2300 * time.Millisecond, MemoryMB: 65}},
			// ESTIMATES of Oracle GraalVM, which was not here: public figures say that an instrumented binary takes some three times as
			// long. A node replaces them by what it measures. Workers of it only record.
			{Name: NativeInstrumented, Artifact: ArtifactBinary, From: RecordingMetadata, Recorder: RecordingProfile, Builder: BuilderNative, Options: OptionsInstrumented, Back: 4,
				Start: 0.064, First: 0.3, Speed: 3, Memory: 0.6,
				Cost:  Cost{Wall: 180 * time.Second, CPU: 210 * time.Second, MemoryMB: 2700, DiskMB: 75},
				Check: Cost{Wall: 2500 * time.Millisecond, CPU: 2300 * time.Millisecond, MemoryMB: 65}},
			// Measured with our inliner (docs/builder.md#profiles): five microbenchmarks take 0.26 to 0.6 of the time on the first rung.
			{Name: NativeProfiled, Artifact: ArtifactBinary, From: RecordingMetadata, Also: RecordingProfile, Builder: BuilderNative, Options: OptionsProfiled, Back: 4,
				Start: 0.032, First: 0.1, Speed: 0.45, Memory: 0.375,
				Cost:  Cost{Wall: 200 * time.Second, CPU: 240 * time.Second, MemoryMB: 3000, DiskMB: 38},
				Check: Cost{Wall: 2500 * time.Millisecond, CPU: 2300 * time.Millisecond, MemoryMB: 65}},
		},
	},
	function.KindWeb: {
		Name: "web", Start: 3 * time.Second, // a Spring Boot application
		Rungs: []Rung{
			{Name: HotSpot, Start: 1, First: 1, Speed: 1, Memory: 1},
			{Name: AOTCache, Artifact: ArtifactCache, From: RecordingClasses, Builder: BuilderCache, Light: true,
				Start: 0.36, First: 0.5, Speed: 1, Memory: 0.8,
				Cost:  Cost{Wall: 4 * time.Second, CPU: 5 * time.Second, MemoryMB: 500, DiskMB: 80},
				Check: Cost{Wall: 8 * time.Second, CPU: 11 * time.Second, MemoryMB: 170}},
			{Name: SnapshotDeploy, Artifact: ArtifactSnapshot, Builder: BuilderSnapshot, Early: true, Back: 1,
				Start: 0.05, First: 0.85, Speed: 1, Memory: 1,
				Cost:  Cost{Wall: 5 * time.Second, CPU: 5 * time.Second, MemoryMB: 300, DiskMB: 190},
				Check: Cost{Wall: 8 * time.Second, CPU: 11 * time.Second, MemoryMB: 170}},
			{Name: Snapshot, Artifact: ArtifactSnapshot, Builder: BuilderSnapshot, Back: 1,
				Start: 0.05, First: 0.1, Speed: 1, Memory: 1,
				Cost:  Cost{Wall: 6 * time.Second, CPU: 7 * time.Second, MemoryMB: 300, DiskMB: 150},
				Check: Cost{Wall: 8 * time.Second, CPU: 11 * time.Second, MemoryMB: 170}},
			{Name: Native, Artifact: ArtifactBinary, From: RecordingMetadata, Builder: BuilderNative, Options: "quick", Back: 3,
				Start: 0.05, First: 0.1, Speed: 1, Memory: 0.375,
				Cost:  Cost{Wall: 400 * time.Second, CPU: 500 * time.Second, MemoryMB: 3500, DiskMB: 80},
				Check: Cost{Wall: 7 * time.Second, CPU: 9 * time.Second, MemoryMB: 170}},
			{Name: NativeOptimized, Artifact: ArtifactBinary, From: RecordingMetadata, Builder: BuilderNative, Options: "optimized", Back: 3,
				Start: 0.05, First: 0.1, Speed: 0.95, Memory: 0.375,
				Cost:  Cost{Wall: 500 * time.Second, CPU: 600 * time.Second, MemoryMB: 4500, DiskMB: 90},
				Check: Cost{Wall: 7 * time.Second, CPU: 9 * time.Second, MemoryMB: 170}},
			// ESTIMATES of Oracle GraalVM, which was not here: public figures say that an instrumented binary takes some three times as
			// long. A node replaces them by what it measures. Workers of it only record.
			{Name: NativeInstrumented, Artifact: ArtifactBinary, From: RecordingMetadata, Recorder: RecordingProfile, Builder: BuilderNative, Options: OptionsInstrumented, Back: 3,
				Start: 0.1, First: 0.3, Speed: 3, Memory: 0.6,
				Cost:  Cost{Wall: 560 * time.Second, CPU: 660 * time.Second, MemoryMB: 4800, DiskMB: 180},
				Check: Cost{Wall: 7 * time.Second, CPU: 9 * time.Second, MemoryMB: 170}},
			{Name: NativeProfiled, Artifact: ArtifactBinary, From: RecordingMetadata, Also: RecordingProfile, Builder: BuilderNative, Options: OptionsProfiled, Back: 3,
				Start: 0.05, First: 0.1, Speed: 0.75, Memory: 0.375,
				Cost:  Cost{Wall: 620 * time.Second, CPU: 750 * time.Second, MemoryMB: 5400, DiskMB: 90},
				Check: Cost{Wall: 7 * time.Second, CPU: 9 * time.Second, MemoryMB: 170}},
		},
	},
	function.KindProvided: {
		Name: "provided", Start: 100 * time.Millisecond,
		Rungs: []Rung{{Name: Direct, Start: 1, First: 1, Speed: 1, Memory: 1}},
	},
	function.KindPython: {
		Name: "python", Start: 250 * time.Millisecond, // with a library or two
		Rungs: []Rung{
			{Name: Interpreter, Start: 1, First: 1, Speed: 1, Memory: 1},
			{Name: SnapshotDeploy, Artifact: ArtifactSnapshot, Builder: BuilderSnapshot, Early: true,
				Start: 0.2, First: 1, Speed: 1, Memory: 0.65,
				Cost:  Cost{Wall: 1200 * time.Millisecond, CPU: 800 * time.Millisecond, MemoryMB: 80, DiskMB: 45},
				Check: Cost{Wall: 1500 * time.Millisecond, CPU: 1000 * time.Millisecond, MemoryMB: 60}},
			{Name: Snapshot, Artifact: ArtifactSnapshot, Builder: BuilderSnapshot,
				Start: 0.2, First: 0.5, Speed: 1, Memory: 0.65,
				Cost:  Cost{Wall: 1500 * time.Millisecond, CPU: 1000 * time.Millisecond, MemoryMB: 80, DiskMB: 45},
				Check: Cost{Wall: 1500 * time.Millisecond, CPU: 1000 * time.Millisecond, MemoryMB: 60}},
		},
	},
	function.KindNode: {
		Name: "nodejs", Start: 250 * time.Millisecond, // with a library or two
		Rungs: []Rung{
			{Name: Interpreter, Start: 1, First: 1, Speed: 1, Memory: 1},
			{Name: SnapshotDeploy, Artifact: ArtifactSnapshot, Builder: BuilderSnapshot, Early: true,
				Start: 0.26, First: 1, Speed: 1, Memory: 0.7,
				Cost:  Cost{Wall: 1200 * time.Millisecond, CPU: 800 * time.Millisecond, MemoryMB: 100, DiskMB: 45},
				Check: Cost{Wall: 1500 * time.Millisecond, CPU: 1000 * time.Millisecond, MemoryMB: 80}},
			{Name: Snapshot, Artifact: ArtifactSnapshot, Builder: BuilderSnapshot,
				Start: 0.26, First: 0.5, Speed: 1, Memory: 0.7,
				Cost:  Cost{Wall: 1500 * time.Millisecond, CPU: 1000 * time.Millisecond, MemoryMB: 100, DiskMB: 45},
				Check: Cost{Wall: 1500 * time.Millisecond, CPU: 1000 * time.Millisecond, MemoryMB: 80}},
		},
	},
}

// Of is the ladder of a kind of function; nil if there is none. It must not be changed: see Clone.
func Of(kind function.Kind) *Ladder {
	l, ok := ladders[kind]
	if !ok {
		return nil
	}
	return &l
}

// Clone is a copy that may be changed.
func (l *Ladder) Clone() *Ladder {
	c := *l
	c.Rungs = append([]Rung(nil), l.Rungs...)
	return &c
}

// Names are those of all rungs of all ladders, each once.
func Names() []function.Rung {
	return []function.Rung{HotSpot, AOTCache, AOTCacheC2, SnapshotDeploy, Snapshot, SnapshotC2, Native, NativeOptimized, NativeInstrumented, NativeProfiled, Direct, Interpreter}
}
