package nativeimage

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/cloudjit/cloudjit/internal/aot"
)

// RuntimeMain is the main class of the Java runtime client, which runs handlers.
const RuntimeMain = "dev.cloudjit.runtime.Main"

// levelOptimized is what a rung's Options say where the binary may take longer to make; all else, "quick"
// among it, is made as fast as possible.
const levelOptimized = "optimized"

// Optimized are the options of the optimized level. More small methods are inlined than -O2 does by itself:
// three of five microbenchmarks answered 15 to 24 % sooner for 8 % more size. With a profile of HotSpot's only the first option is
// taken: what is hot is inlined by the profile, and the rest stays small (docs/builder.md).
var Optimized = []string{
	"-O2", "-H:MaxNodesInTrivialMethod=40", "-H:MaxInvokesInTrivialMethod=2", "-H:MaxNodesInTrivialLeafMethod=80",
}

// inlinedOptions are the options of the profiled level beside the first one of the optimized level, where our own inliner makes it. Both
// trade what a small worker cares for against speed (docs/builder.md has the figures).
func inlinedOptions() []string {
	// The default policy makes the young generation smaller until collections take a twentieth of the time. This one collects when it
	// is as large as package launch says.
	options := []string{"-H:InitialCollectionPolicy=BySpaceAndTime"}
	if runtime.GOARCH == "amd64" {
		// The builder expects processors with Intel's JCC erratum (Skylake to Comet Lake) and puts a no-operation before each branch that
		// would meet a boundary of 32 bytes: 4 % of what is executed.
		options = append(options, "-H:-UseBranchesWithin32ByteBoundary")
	}
	return options
}

// image is all that decides the command line of native-image.
type image struct {
	classPath []string
	mainClass string
	output    string   // path of the binary
	level     string   // ladder.Rung.Options
	optimize  []string // options of the optimized level
	profiles  []string // paths
	inlines   bool     // the profiles are HotSpot's
	march     string
	tmp       string // folder for the builder's temporary files
	limits    aot.Limits
	excludes  []exclusion
	needs     needs
	modules   []string // options that the application's manifest asks for
	framework []string // options that the framework needs
	features  []string // options that switch our own features on
	patches   []string // options that exchange classes of the builder
	unpatched []string // those that are left out, to see whether the build fails by them
	extra     []string
}

// arguments is the command line of native-image, without the command.
func (i *image) arguments() []string {
	args := []string{
		"-cp", strings.Join(i.classPath, ":"),
		"-o", i.output,
		"--no-fallback",
		// A missing element ends the process with a code of its own (DESIGN: deoptimization)
		// instead of becoming whatever the library makes of a ClassNotFoundException.
		"--exact-reachability-metadata",
		"--install-exit-handlers",
		"-H:+UnlockExperimentalVMOptions",
		"-H:+AddAllCharsets",
		"-H:+ReportExceptionStackTraces",
		"-march=" + i.march,
		"-J-Djava.io.tmpdir=" + i.tmp,
		"-J-XX:-UsePerfData", // its files would stay in /tmp
	}
	if runtime.GOARCH == "amd64" {
		// A binary at a fixed address needs no relocation of its image heap at each start: less to read, and
		// fewer pages of its own for each worker (docs/adr/0016).
		args = append(args, "-H:NativeLinkerOption=-no-pie")
	}
	args = append(args, "--enable-url-protocols="+strings.Join(i.needs.protocols(), ","))
	if len(i.needs.providers) > 0 {
		args = append(args, "-H:AdditionalSecurityProviders="+strings.Join(i.needs.providers, ","))
	}
	switch {
	case i.inlines:
		args = append(append(args, i.optimize[:1]...), inlinedOptions()...)
	case optimized(i.level):
		args = append(args, i.optimize...)
	default:
		args = append(args, "-Ob")
	}
	args = append(args, i.pgo()...)
	if heap := heapMiB(i.limits.MemoryMiB); heap > 0 {
		args = append(args, fmt.Sprintf("-J-Xmx%dm", heap))
	}
	if n := threads(i.limits.CPUs); n > 0 {
		args = append(args, fmt.Sprintf("-J-XX:ActiveProcessorCount=%d", n))
	}
	for _, e := range i.excludes {
		args = append(args, "--exclude-config", e.jars, e.resources)
	}
	if len(i.needs.locales) > 0 {
		args = append(args, "-H:IncludeLocales="+strings.Join(i.needs.locales, ","))
	}
	args = append(args, i.modules...)
	args = append(args, i.framework...)
	args = append(args, i.features...)
	args = append(args, i.patches...)
	args = append(args, i.extra...)
	return append(args, i.mainClass)
}

// heapMiB leaves the builder's JVM a quarter of the limit for what is not heap: class data,
// thread stacks, and the linker, which runs at the end.
func heapMiB(limit int) int { return limit * 3 / 4 }

// threads is the number of processors that the builder shall see; a share of one counts as one.
func threads(cpus float64) int {
	if cpus <= 0 {
		return 0
	}
	return max(1, int(cpus+0.5))
}
