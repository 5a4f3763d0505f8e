package launch

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/metadata"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// hotspot is a JVM, with or without a cache, that records or does not.
func (b *builder) hotspot() error {
	var special []string
	var err error
	switch b.Recording {
	case ladder.RecordingNone:
		switch b.Rung.Artifact {
		case ladder.ArtifactCache:
			special, err = b.useCache()
		case ladder.ArtifactSnapshot:
			special = b.saveOptions()
		}
	case ladder.RecordingClasses:
		special, err = b.recordCache()
	case ladder.RecordingMetadata:
		special, err = b.tracerOption()
	case ladder.RecordingProfile:
		special, err = b.recordCompiler()
	default:
		err = fmt.Errorf("a JVM records no %s", b.Recording)
	}
	if err != nil {
		return err
	}
	main, err := b.main()
	if err != nil {
		return err
	}
	memoryMiB := b.spec.Limits.MemoryMiB
	if b.Revision.MemoryMiB > 0 {
		memoryMiB = min(memoryMiB, b.Revision.MemoryMiB)
	}
	if err := b.java(special, memoryMiB); err != nil {
		return err
	}
	b.spec.Args = append(b.spec.Args, main)
	return nil
}

// java is the command of a JVM with the function's class path, all but the main class. memoryMiB is what its
// heap and all else of it shall stay below.
func (b *builder) java(special []string, memoryMiB int) error {
	if b.Paths.JDK.Home == "" {
		return fmt.Errorf("%w: install one of Java %d or newer", ErrNoJava, minimumJava)
	}
	b.mount(b.Paths.JDK.Home, javaDir)
	for _, dir := range b.Paths.JDK.Links {
		b.mount(dir, dir)
	}
	b.spec.Path = javaPath
	user := userOptions(b.Revision.Environment)
	args := user.defaults(heapOptions(memoryMiB), commonOptions)
	args = append(args, special...)
	if b.Revision.Kind == function.KindHandler {
		args = append(args, user.defaults(b.compilerOptions(), handlerOptions, b.resolverOption())...)
	} else {
		args = append(args, b.Paths.ModuleOptions...)
	}
	b.spec.Args = append(args, "-cp", strings.Join(b.classPath(), ":"))
	return nil
}

// saveOptions let the process get ready to be saved, and copies be different from one another, with the hooks of org.crac
// (dev.cloudjit.runtime.Agent).
func (b *builder) saveOptions() []string {
	jar := path.Join(runtimeDir, filepath.Base(b.Paths.Runtime))
	if b.Revision.Kind == function.KindWeb { // others have it on their class path
		b.mountFile(b.Paths.Runtime, runtimeDir)
	}
	argument := jar
	if b.Rung.Early {
		argument += ",early" // it loads then what the first invocation will need
	}
	options := []string{"-javaagent:" + jar + "=" + argument}
	if b.Paths.JDK.Version >= firstUnsafeWarned {
		options = append(options, "--sun-misc-unsafe-memory-access=allow")
	}
	return append(options, userOptions(b.Revision.Environment).defaults(savedHeap)...)
}

// firstUnsafeWarned is the first Java release that can warn of sun.misc.Unsafe (JEP 471).
const firstUnsafeWarned = 23

// main is the class that the JVM starts.
func (b *builder) main() (string, error) {
	switch {
	case b.Revision.Kind == function.KindHandler && b.Revision.Handler != "":
		return RuntimeMain, nil
	case b.Revision.Kind == function.KindHandler:
		return "", errors.New("the function has no handler")
	case b.Revision.Kind != function.KindWeb:
		return "", fmt.Errorf("a function of kind %s does not run on HotSpot", b.Revision.Kind)
	case b.Revision.MainClass != "":
		return b.Revision.MainClass, nil
	case b.Paths.MainClass != "":
		return b.Paths.MainClass, nil
	}
	return "", errors.New("the archive names no main class, and neither does the function")
}

// compilerOptions choose the JVM's compilers for a handler.
func (b *builder) compilerOptions() []string {
	if b.Rung.Options == ladder.OptionsC2 || b.Recording == ladder.RecordingProfile {
		return nil
	}
	return quickCompiler
}

// classPathEntry is a file or folder on the class path of a worker.
type classPathEntry struct {
	host string
	// dir is where the sandbox shows the host's file; empty: it lies in the code, at task.
	dir, task string
}

// classPathEntries are in order.
func (r *Request) classPathEntries() []classPathEntry {
	var entries []classPathEntry
	if r.Revision.Kind == function.KindHandler {
		// The platform's JAR first, as in Lambda: it holds aws-lambda-java-core.
		entries = append(entries, classPathEntry{host: r.Paths.Runtime, dir: runtimeDir})
	}
	for _, p := range r.Paths.code() {
		if p == "." && r.Paths.Classes != "" {
			entries = append(entries, classPathEntry{host: r.Paths.Classes, dir: classesDir})
			continue
		}
		entries = append(entries, classPathEntry{
			host: filepath.Join(r.Paths.Code, filepath.FromSlash(p)), task: path.Join(TaskDir, filepath.ToSlash(p)),
		})
	}
	if r.Revision.Kind == function.KindHandler && r.Paths.Serialization != "" {
		entries = append(entries, classPathEntry{host: r.Paths.Serialization, dir: serializationDir})
	}
	return entries
}

// classPathNames are the entries of the class path by their names in the sandbox, also where they are not shown there.
func (b *builder) classPathNames() []string {
	var names []string
	for _, e := range b.classPathEntries() {
		if e.dir == "" {
			names = append(names, e.task)
		} else {
			names = append(names, path.Join(e.dir, filepath.Base(e.host)))
		}
	}
	return names
}

// classPath shows everything on the class path in the sandbox, and returns it.
func (b *builder) classPath() []string {
	var paths []string
	for _, e := range b.classPathEntries() {
		if e.dir == "" {
			paths = append(paths, e.task)
			continue
		}
		paths = append(paths, b.mountFile(e.host, e.dir))
	}
	return paths
}

// code is the class path of the archive, relative to Code.
func (p *Paths) code() []string {
	if len(p.ClassPath) == 0 {
		return []string{"."}
	}
	return p.ClassPath
}

// ClassPathFiles are the host's files and folders on the class path of a worker, in order.
func (r *Request) ClassPathFiles() []string {
	var files []string
	for _, e := range r.classPathEntries() {
		files = append(files, e.host)
	}
	return files
}

// record shows the folder for the recording in the sandbox.
func (b *builder) record(file string) error {
	if b.Paths.Record == "" {
		return errors.New("no folder for the recording")
	}
	b.spec.Folders = append(b.spec.Folders, worker.Folder{Target: recordDir, MiB: recordMiB, Keep: b.Paths.Record, Names: []string{file}})
	b.spec.RecordDir = recordDir
	return nil
}

func (b *builder) tracerOption() ([]string, error) {
	if err := b.record(metadata.TraceFile); err != nil {
		return nil, err
	}
	tracer := metadata.Tracer{}
	if b.Paths.Tracer != "" {
		tracer.Jar = b.mountFile(b.Paths.Tracer, tracerDir)
	} else if !b.Paths.JDK.Agent {
		return nil, errors.New("neither a tracer nor a JDK with native-image-agent")
	}
	option, err := tracer.JVMOption(recordDir, "", 0)
	return []string{option}, err
}

// resolverOption sets how long a host name that was not found is remembered, as Lambda does.
func (b *builder) resolverOption() []string {
	seconds := b.Revision.Environment["AWS_LAMBDA_JAVA_NETWORKADDRESS_CACHE_NEGATIVE_TTL"]
	if _, err := strconv.Atoi(seconds); err != nil {
		seconds = "1"
	}
	return []string{"-Dsun.net.inetaddr.negative.ttl=" + seconds}
}
