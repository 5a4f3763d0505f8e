// Package launch turns a revision on a rung into the command that a worker runs: program,
// arguments, environment and what of the host it sees.
//
// It is pure but for RecordingFile: it starts nothing, reads no file, no clock and no environment of its
// own. It asks what a rung's artifact is and what is recorded, never for a rung's name. It must not know
// drivers, policies or how code and artifacts came to be where they are.
package launch

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// Where things are inside every sandbox. TaskDir is AWS Lambda's.
const (
	TaskDir          = "/var/task"
	nativeDir        = "/opt/cloudjit/native"
	cacheDir         = "/opt/cloudjit/cache"
	classesDir       = "/opt/cloudjit/classes"
	runtimeDir       = "/opt/cloudjit/runtime"
	serializationDir = "/opt/cloudjit/serialization"
	tracerDir        = "/opt/cloudjit/tracer"
	recordDir        = "/opt/cloudjit/record"
	javaDir          = "/opt/java"
	javaPath         = javaDir + "/bin/java"
)

// Binary is the name of the executable in the folder of an ArtifactBinary.
const Binary = "function"

// RuntimeMain is the main class of the runtime client, which is also the main class of a
// handler's native binary.
const RuntimeMain = "dev.cloudjit.runtime.Main"

// Paths are the host's files that a worker needs. What a rung does not use may be empty.
type Paths struct {
	// Code is the folder that the archive was laid out in; read-only in the sandbox.
	Code string
	// ClassPath lists JARs and folders relative to Code, in order ("." is Code itself).
	ClassPath []string
	// MainClass is the archive's own, used where the revision names none (web functions).
	MainClass string
	// ModuleOptions are what the archive's manifest asks of the JVM (jar.Info).
	ModuleOptions []string
	// Classes is a JAR with the classes of Code itself, for the place of "." in ClassPath: a JVM keeps no
	// class of a folder in a cache. Its manifest must lead to TaskDir, for everything else in there. Empty:
	// the folder.
	Classes string
	// JDK runs the rungs on HotSpot.
	JDK JDK
	// Runtime is the JAR of the runtime client, Serialization that of the published
	// aws-lambda-java-serialization, to which the client leaves what it does not do itself.
	Runtime, Serialization string
	// Tracer is the JAR of the tracing agent. Empty: the JDK's own native-image-agent.
	Tracer string
	// Artifact is the folder of the rung's artifact: of ArtifactBinary it holds Binary and the shared
	// libraries beside it, of ArtifactCache what the builder javacache keeps, of ArtifactSnapshot what the
	// driver saved.
	Artifact string
	// Record is the host's folder that gets this worker's recording at its end.
	Record string
	// Interpreter runs the functions of a language that has one, and Client is the folder of its runtime client.
	Interpreter Interpreter
	Client      string
}

// Platform is what all functions of a node are told.
type Platform struct {
	// Region is AWS_REGION; empty: us-east-1.
	Region string
}

// Request is one worker to be started.
type Request struct {
	// ID of the worker: global, never used again.
	ID       string
	Revision *function.Spec
	Rung     ladder.Rung
	// Recording is what the worker leaves in Paths.Record. A JVM that records uses no cache.
	Recording ladder.Recording
	Paths     Paths
	Platform  Platform
	// Check: the worker is to show that a new artifact is good, and fails where it is not used.
	Check bool
	// Save: the worker is to be saved, for the artifact of a rung of ArtifactSnapshot. Its command is the same as that of
	// those that are restored from it.
	Save bool
	// Survey lets a native binary go on where it lacks metadata, and only say so (node.Launch).
	Survey bool
	// Now names the log stream.
	Now time.Time
	// Limits of the sandbox; MemoryMiB and TmpMiB 0: the revision's. What MemoryMiB is beyond the revision's
	// is for the recording: the program's heap does not grow with it.
	Limits worker.Limits
}

var (
	// ErrNoJava is returned for a rung on HotSpot without a JDK.
	ErrNoJava = errors.New("no JDK")
	// ErrUnsuited is wrapped where a revision runs but cannot be recorded for a cache; it says why.
	ErrUnsuited = errors.New("no cache can be made of this function")
)

// Worker returns the sandbox to start. Output, and whatever else is the node's, is left to the
// caller. An error means that this revision can never run on this rung with these paths.
func Worker(r Request) (worker.Spec, error) {
	if err := ValidateEnvironment(r.Revision.Environment); err != nil {
		return worker.Spec{}, err
	}
	b := newBuilder(r)
	var err error
	switch {
	case r.Rung.Artifact == ladder.ArtifactBinary:
		err = b.native()
	case r.Rung.Artifact == ladder.ArtifactSnapshot && !r.Save && r.Paths.Artifact == "":
		err = errors.New("no snapshot")
	case int(r.Rung.Artifact) > int(ladder.ArtifactSnapshot):
		err = fmt.Errorf("nothing is started from an artifact of the kind %q", r.Rung.Artifact)
	case r.Revision.Kind == function.KindProvided:
		err = b.direct()
	default:
		if c, ok := commands[r.Revision.Kind]; ok {
			err = b.interpreted(c)
		} else {
			err = b.hotspot()
		}
	}
	if err != nil {
		return worker.Spec{}, fmt.Errorf("launch revision %s as %s: %w", r.Revision.ID, r.Rung.Name, err)
	}
	b.spec.Env = b.environment()
	if r.Rung.Artifact == ladder.ArtifactSnapshot {
		b.spec.Savable, b.spec.Announce = r.Save, true
		if !r.Save {
			b.spec.Restore = r.Paths.Artifact
		}
	}
	return b.spec, nil
}

func newBuilder(r Request) *builder {
	b := &builder{Request: r}
	b.spec = worker.Spec{ID: r.ID, Revision: r.Revision, Rung: r.Rung.Name, Dir: TaskDir, Limits: r.Limits}
	if b.spec.Limits.MemoryMiB == 0 {
		b.spec.Limits.MemoryMiB = r.Revision.MemoryMiB
	}
	if b.spec.Limits.TmpMiB == 0 {
		b.spec.Limits.TmpMiB = r.Revision.TmpMiB
	}
	b.mount(r.Paths.Code, TaskDir)
	return b
}

type builder struct {
	Request
	spec worker.Spec
	// defaults are variables that the function may replace.
	defaults map[string]string
}

func (b *builder) mount(source, target string) {
	b.spec.Mounts = append(b.spec.Mounts, worker.Mount{Source: source, Target: target})
}

// mountFile makes the folder of a file visible (every driver can show a folder) and returns the
// file's path inside.
func (b *builder) mountFile(file, target string) string {
	b.mount(filepath.Dir(file), target)
	return path.Join(target, filepath.Base(file))
}

func (b *builder) direct() error {
	if b.Rung.Artifact != ladder.ArtifactNone || b.Recording != ladder.RecordingNone {
		return fmt.Errorf("a function of kind %s has neither a cache nor a recording", b.Revision.Kind)
	}
	b.spec.Path = path.Join(TaskDir, "bootstrap")
	return nil
}

func (b *builder) native() error {
	if b.Paths.Artifact == "" {
		return errors.New("no native binary")
	}
	profile, err := b.profileOptions()
	if err != nil {
		return err
	}
	b.mount(b.Paths.Artifact, nativeDir)
	b.spec.Path = path.Join(nativeDir, Binary)
	memory := b.spec.Limits.MemoryMiB
	if b.Recording != ladder.RecordingNone && b.Revision.MemoryMiB > 0 {
		memory = min(memory, b.Revision.MemoryMiB)
	}
	heap := nativeHeapMiB(memory)
	// A missing element must end the process even where the program catches every Throwable.
	reporting := "Exit"
	if b.Survey {
		reporting = "Warn"
	}
	user := userOptions(b.Revision.Environment)
	args := append([]string{"-XX:MissingRegistrationReportingMode=" + reporting}, user.defaults(
		nativeHeapOptions(heap, b.Rung.Options == ladder.OptionsProfiled),
		nativeOptions(commonOptions),
		[]string{"-Djava.library.path=" + libraryPath(b.Revision.Environment)},
	)...)
	args = append(args, profile...)
	if b.Revision.Kind == function.KindHandler {
		args = append(args, user.defaults(handlerOptions)...)
	}
	args = append(args, nativeOptions(ToolOptions(b.Revision.Environment))...)
	b.spec.Args = append(append(b.spec.Args, args...),
		// Some classes of the JDK fail without one (calendars), or without its folder lib (fonts), though
		// they find nothing there: the builder makes that folder.
		"-Djava.home="+nativeDir,
		"-Djava.class.path="+strings.Join(b.classPathNames(), ":"),
		"-Djdk.debug=release", "-Dsun.java.launcher=SUN_STANDARD")
	if main, err := b.main(); err == nil {
		b.spec.Args = append(b.spec.Args, "-Dsun.java.command="+main)
	}
	return nil
}

// profileOptions say where a binary that takes a profile writes it, at its end: it would else write where it was started.
func (b *builder) profileOptions() ([]string, error) {
	switch {
	case b.Recording == ladder.RecordingNone && b.Rung.Recorder == ladder.RecordingProfile:
		return []string{"-XX:ProfilesDumpFile=/dev/null"}, nil // it is only checked
	case b.Recording == ladder.RecordingNone:
		return nil, nil
	case b.Recording != b.Rung.Recorder || b.Recording != ladder.RecordingProfile:
		return nil, fmt.Errorf("a binary of %s records no %s", b.Rung.Name, b.Recording)
	}
	if err := b.record(profileFile); err != nil {
		return nil, err
	}
	b.spec.Folders[len(b.spec.Folders)-1].MiB = ProfileMiB
	return []string{"-XX:ProfilesDumpFile=" + path.Join(recordDir, profileFile)}, nil
}

// libraryPath is where a JVM looks for shared libraries (os_linux.cpp).
func libraryPath(environment map[string]string) string {
	path := "/usr/java/packages/lib:/usr/lib64:/lib64:/lib:/usr/lib"
	more, set := environment["LD_LIBRARY_PATH"]
	if !set {
		more = lambdaLibraries
	}
	if more != "" {
		path = more + ":" + path
	}
	return path
}
