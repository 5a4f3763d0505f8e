package launch

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// firstLinked is the first Java release whose archives hold classes that are linked already (JEP 483), which
// is what makes an AOT cache of them. Those of older ones hold class data alone (AppCDS, JEP 310).
const firstLinked = 24

// Names of what JVMs write and read.
const (
	classesFile = "app.classlist"
	profileFile = "app.iprof"
	// compilerLog is what a JVM writes of its compilers' work.
	compilerLog = "app.jit.log"
	// CacheFile is the name of the cache in the folder of an ArtifactCache.
	CacheFile = "app.jsa"
)

const (
	// recordMiB is what a recorder may write; recordings of large Spring applications have 2 MB, and tracers write
	// them anew beside the old one.
	recordMiB = 64
	// ProfileMiB is the same of a binary that takes a profile.
	ProfileMiB = 96
	// logMiB is the same of a JVM's compilers; Petclinic's write 139 MB in their first minute. What does not fit is left out.
	logMiB = 192
	// maxRecording is the largest recording that is looked at, in bytes.
	maxRecording = 16 << 20
	// maxCacheMiB is the largest cache that a JVM may write; that of an application with 30,000 classes has 200.
	maxCacheMiB = 1024
)

// RecordingFile finds what a worker left in its folder on the host. Only after the worker has ended: until
// then it may still be exchanged, and what lambdas became is missing. What it names is a file of a possible
// size; its content is hostile. Of metadata there is none: worker.Trace reads it.
func RecordingFile(r ladder.Recording, dir string) (file string, ok bool) {
	for _, kind := range recordingFiles {
		if kind.of != r {
			continue
		}
		file = filepath.Join(dir, kind.name)
		if st, err := os.Lstat(file); err == nil {
			return file, st.Mode().IsRegular() && st.Size() > 0 && st.Size() <= kind.most
		}
	}
	return "", false
}

// recordingFiles are the files that recorders leave, and how large they may be.
var recordingFiles = []struct {
	of   ladder.Recording
	name string
	most int64
}{
	{ladder.RecordingClasses, classesFile, maxRecording},
	{ladder.RecordingProfile, profileFile, ProfileMiB << 20},
	{ladder.RecordingProfile, compilerLog, logMiB << 20},
}

// CompilerLog reports whether a profile is a JVM's log of its compilers, and not a binary's.
func CompilerLog(file string) bool { return filepath.Base(file) == compilerLog }

// recordCompiler makes the JVM write what its second compiler found out, at its end. The option is there for who looks into
// the compiler: it is a diagnostic one in all releases, and costs what the writing does.
func (b *builder) recordCompiler() ([]string, error) {
	if err := b.record(compilerLog); err != nil {
		return nil, err
	}
	b.spec.Folders[len(b.spec.Folders)-1].MiB = logMiB
	return []string{"-XX:+UnlockDiagnosticVMOptions", "-XX:+LogCompilation", "-XX:LogFile=" + path.Join(recordDir, compilerLog)}, nil
}

// CacheUsed reports whether a worker that was started with the cache in a folder has it in its memory, which
// a JVM in service does not say. known is false where the driver cannot tell.
func CacheUsed(w worker.Worker, dir string) (used, known bool) {
	m, ok := w.(worker.Mapper)
	if !ok {
		return false, false
	}
	file := filepath.Join(dir, CacheFile)
	if _, err := os.Stat(file); err != nil {
		return false, true
	}
	used, err := m.Maps(file)
	return used, err == nil
}

// assembler are options of the job that makes the cache of a web application, which loads ten thousand classes. By itself that JVM
// interprets; it is its compilers that make two caches differ, which matters to nobody here ("if your classlist is large and you don't
// care about deterministic dumping, you can use -Xshare:dump -Xmixed": cdsConfig.cpp of JDK 25). And their names, some 300,000, are looked up
// in a table of 32,768 places. Petclinic takes a quarter less CPU time so (docs/performance.md).
var assembler = []string{"-Xmixed", "-XX:TieredStopAtLevel=1", "-XX:+UnlockExperimentalVMOptions", "-XX:SymbolTableSize=1048576"}

// Assemble is the job that makes a cache from a recording: recording is the host's file, r.Paths.Artifact the
// folder where CacheFile will be. Everything else is as in the worker that recorded, but for what makes the job short.
func Assemble(r Request, recording string) (worker.Spec, error) {
	b := newBuilder(r)
	b.mount(filepath.Dir(recording), recordDir)
	b.spec.Folders = append(b.spec.Folders, worker.Folder{Target: cacheDir, MiB: maxCacheMiB, Files: 16, Keep: r.Paths.Artifact, Names: []string{CacheFile}})
	options := b.quiet()
	if r.Revision.Kind == function.KindWeb { // a handler's are quick already
		options = append(options, userOptions(r.Revision.Environment).defaults(assembler)...)
	}
	if r.Paths.JDK.Version >= firstLinked {
		options = append(options, "-XX:+AOTClassLinking")
	}
	err := b.java(append(options,
		"-Xshare:dump",
		"-XX:SharedClassListFile="+path.Join(recordDir, filepath.Base(recording)),
		"-XX:SharedArchiveFile="+path.Join(cacheDir, CacheFile)), b.spec.Limits.MemoryMiB)
	if err != nil {
		return worker.Spec{}, fmt.Errorf("make a cache for revision %s: %w", r.Revision.ID, err)
	}
	b.spec.Env = b.environment()
	return b.spec, nil
}

// useCache maps the cache. In service a JVM that does not like it goes on without, and says nothing of it in
// the function's log; in the check it ends.
func (b *builder) useCache() ([]string, error) {
	if b.Paths.Artifact == "" {
		return nil, errors.New("no cache")
	}
	b.mount(b.Paths.Artifact, cacheDir)
	options := b.quiet()
	if b.Check {
		options = []string{"-Xlog:disable", "-Xlog:all=warning:stderr"}
	}
	return append(options,
		// At the address that it was made for: nothing in it has to be changed, so that workers share its pages.
		"-XX:+UnlockDiagnosticVMOptions", "-XX:ArchiveRelocationMode=0",
		"-XX:SharedArchiveFile="+path.Join(cacheDir, CacheFile), "-Xshare:"+mode(b.Check)), nil
}

func mode(check bool) string {
	if check {
		return "on"
	}
	return "auto"
}

// recordCache makes the JVM list the classes that it loads, and at its end what its lambdas became. A JVM that
// records an AOT configuration instead (-XX:AOTMode=record) takes 1.3 to 1.7 times as long to its first answer, and
// hundreds of MiB more at its end; with the list it takes as long as without, and the cache gains as much
// (docs/ladder.md).
func (b *builder) recordCache() ([]string, error) {
	if why := b.unsuited(); why != "" {
		return nil, fmt.Errorf("%w: %s", ErrUnsuited, why)
	}
	if err := b.record(classesFile); err != nil {
		return nil, err
	}
	return append(b.quiet(), "-XX:DumpLoadedClassList="+path.Join(recordDir, classesFile)), nil
}

// quiet keeps what the JVM has to say about caches out of the function's log.
func (b *builder) quiet() []string {
	if b.Paths.JDK.Version >= firstLinked {
		return []string{"-Xlog:aot*=off,cds*=off"}
	}
	return []string{"-Xlog:cds*=off"}
}

// unsuited says why the JVM would refuse to record, and end, empty if it would not.
func (b *builder) unsuited() string {
	if b.Paths.Classes == "" && slices.Contains(b.Paths.code(), ".") {
		return "its classes lie in a folder, and must stay there because they ask where they were loaded from"
	}
	for _, name := range []string{"JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS"} {
		for _, option := range strings.Fields(b.Revision.Environment[name]) {
			for _, prefix := range refused {
				if strings.HasPrefix(option, prefix) {
					return fmt.Sprintf("its %s has %q", name, option)
				}
			}
		}
	}
	return ""
}

// refused begin the options that cannot be had together with a cache: agents change classes as they are
// loaded, the module options change what the cache holds of the JDK, and the last ones are about caches.
var refused = []string{
	"-javaagent:", "-agentlib:", "-agentpath:", "-Xrun", "-Xdebug",
	"--patch-module", "--upgrade-module-path", "--limit-modules", "--module-path", "-p",
	"-Xshare:", "-XX:SharedArchiveFile", "-XX:ArchiveClassesAtExit", "-XX:AOT", "-XX:+AutoCreateSharedArchive", "-XX:DumpLoadedClassList", "-XX:SharedClassListFile", "@",
}
