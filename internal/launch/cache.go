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

// firstAOT is the first Java release with AOT caches that a configuration is recorded for (JEP 483, 514,
// 515). Older ones archive class data at their exit (AppCDS, JEP 350).
const firstAOT = 25

// Names of what JVMs write and read. A JVM of a release before firstAOT records the archive itself.
const (
	configurationFile = "app.aotconf"
	aotFile           = "app.aot"
	archiveFile       = "app.jsa"
)

// maxRecording is the largest recording that is looked at, in bytes; a large Spring application's has 100 MB.
const maxRecording = 1 << 30

// RecordingMiB is what the sandbox of a worker that records should have beyond the function's own memory. A JVM
// needs it at its very end, where it copies everything that it knows of its classes: 75 MiB for 2,000 classes,
// 290 MiB for a Spring Boot application with JPA.
const RecordingMiB = 512

// RecordsCache reports whether this JDK writes a configuration, which a cache is then assembled from; if
// not, what it writes is the archive itself.
func (j JDK) RecordsCache() bool { return j.Version >= firstAOT }

// CacheFile is the name of the cache in the folder of an ArtifactCache of this JDK.
func (j JDK) CacheFile() string {
	if j.RecordsCache() {
		return aotFile
	}
	return archiveFile
}

// RecordingFile finds what a worker left in its folder on the host. Only after the worker has ended: until
// then it may still be exchanged. What it names is a file of a possible size; its content is hostile. Of
// metadata there is none: worker.Trace reads it.
func RecordingFile(r ladder.Recording, dir string) (file string, ok bool) {
	if r != ladder.RecordingConfiguration {
		return "", false
	}
	for _, name := range []string{configurationFile, archiveFile} {
		file = filepath.Join(dir, name)
		if st, err := os.Lstat(file); err == nil && st.Mode().IsRegular() && st.Size() > 0 && st.Size() <= maxRecording {
			return file, true
		}
	}
	return "", false
}

// CacheUsed reports whether a worker that was started with the cache in a folder has it in its memory, which
// a JVM in service does not say. known is false where the driver cannot tell.
func CacheUsed(w worker.Worker, dir string) (used, known bool) {
	m, ok := w.(worker.Mapper)
	if !ok {
		return false, false
	}
	for _, name := range []string{aotFile, archiveFile} {
		file := filepath.Join(dir, name)
		if _, err := os.Stat(file); err == nil {
			used, err = m.Maps(file)
			return used, err == nil
		}
	}
	return false, true
}

// Assemble is the job that makes a cache from a recording: recording is the host's file, r.Paths.Artifact the
// writable folder where CacheFile will be. Everything else is as in the worker that recorded, but for the
// compiler: the job is short.
func Assemble(r Request, recording string) (worker.Spec, error) {
	b := newBuilder(r)
	b.mount(filepath.Dir(recording), recordDir)
	b.spec.Mounts = append(b.spec.Mounts, worker.Mount{Source: r.Paths.Artifact, Target: cacheDir, Writable: true})
	options := b.quiet()
	if r.Revision.Kind == function.KindWeb { // a handler's are quick already
		options = append(options, userOptions(r.Revision.Environment).defaults(quickCompiler)...)
	}
	err := b.java(append(options,
		"-XX:AOTMode=create",
		"-XX:AOTConfiguration="+path.Join(recordDir, filepath.Base(recording)),
		"-XX:AOTCache="+path.Join(cacheDir, aotFile)), b.spec.Limits.MemoryMiB)
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
	file := path.Join(cacheDir, b.Paths.JDK.CacheFile())
	options := b.quiet()
	if b.Check {
		options = []string{"-Xlog:disable", "-Xlog:all=warning:stderr"}
	}
	switch {
	case b.Paths.JDK.RecordsCache():
		options = append(options, "-XX:AOTCache="+file, "-XX:AOTMode="+mode(b.Check))
	default:
		options = append(options, "-XX:SharedArchiveFile="+file, "-Xshare:"+mode(b.Check))
	}
	return options, nil
}

func mode(check bool) string {
	if check {
		return "on"
	}
	return "auto"
}

// recordCache makes the JVM write down, at its end, what a cache is made of.
func (b *builder) recordCache() ([]string, error) {
	if why := b.unsuited(); why != "" {
		return nil, fmt.Errorf("%w: %s", ErrUnsuited, why)
	}
	if err := b.record(); err != nil {
		return nil, err
	}
	if !b.Paths.JDK.RecordsCache() {
		return append(b.quiet(), "-XX:ArchiveClassesAtExit="+path.Join(recordDir, archiveFile)), nil
	}
	return append(b.quiet(),
		// Not the line that the JVM prints when it is done.
		"-XX:+UnlockDiagnosticVMOptions", "-XX:-DisplayVMOutput",
		// No profiles: recorded with the first compiler only, they would hold methods there for ever, and they
		// make a start on two processors later and not sooner (docs/ladder.md).
		"-XX:-AOTRecordTraining",
		"-XX:AOTMode=record", "-XX:AOTConfiguration="+path.Join(recordDir, configurationFile)), nil
}

// quiet keeps what the JVM has to say about caches out of the function's log.
func (b *builder) quiet() []string {
	if b.Paths.JDK.RecordsCache() {
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
	"-Xshare:", "-XX:SharedArchiveFile", "-XX:ArchiveClassesAtExit", "-XX:AOT", "-XX:+AutoCreateSharedArchive", "@",
}
