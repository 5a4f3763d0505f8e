// Package launch turns a revision in a tier into the command that a worker runs: program,
// arguments, environment and what of the host it sees.
//
// It is pure: it starts nothing, reads no file, no clock and no environment of its own. It must
// not know drivers, policies or how code and binaries came to be where they are.
package launch

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/metadata"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// Where things are inside every sandbox. TaskDir is AWS Lambda's.
const (
	TaskDir          = "/var/task"
	nativeDir        = "/opt/cloudjit/native"
	runtimeDir       = "/opt/cloudjit/runtime"
	serializationDir = "/opt/cloudjit/serialization"
	tracerDir        = "/opt/cloudjit/tracer"
	traceDir         = "/opt/cloudjit/trace"
	javaDir          = "/opt/java"
)

// Binary is the name of the executable in a native artifact's folder.
const Binary = "function"

// RuntimeMain is the main class of the runtime client, which is also the main class of a
// handler's native binary.
const RuntimeMain = "dev.cloudjit.runtime.Main"

// Paths are the host's files that a worker needs. What a tier does not use may be empty.
type Paths struct {
	// Code is the folder that the archive was laid out in; read-only in the sandbox.
	Code string
	// ClassPath lists JARs and folders relative to Code, in order ("." is Code itself).
	ClassPath []string
	// MainClass is the archive's own, used where the revision names none (web functions).
	MainClass string
	// ModuleOptions are what the archive's manifest asks of the JVM (jar.Info).
	ModuleOptions []string
	// JDK runs the tiers on HotSpot.
	JDK JDK
	// Runtime is the JAR of the runtime client, Serialization that of the published
	// aws-lambda-java-serialization, to which the client leaves what it does not do itself.
	Runtime, Serialization string
	// Tracer is the JAR of the tracing agent. Empty: the JDK's own native-image-agent.
	Tracer string
	// Trace is the writable folder of this worker for the tracer.
	Trace string
	// Native is the folder of the binary ("function") and the shared libraries beside it.
	Native string
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
	Tier     function.Tier
	Paths    Paths
	Platform Platform
	// Survey lets a native binary go on where it lacks metadata, and only say so (node.Launch).
	Survey bool
	// Now names the log stream.
	Now time.Time
	// Limits of the sandbox; MemoryMiB and TmpMiB 0: the revision's.
	Limits worker.Limits
}

// ErrNoJava is returned for a HotSpot tier without a JDK.
var ErrNoJava = errors.New("no JDK")

// Worker returns the sandbox to start. Output, and whatever else is the node's, is left to the
// caller. An error means that this revision can never run in this tier with these paths.
func Worker(r Request) (worker.Spec, error) {
	if err := ValidateEnvironment(r.Revision.Environment); err != nil {
		return worker.Spec{}, err
	}
	b := &builder{Request: r}
	b.spec = worker.Spec{ID: r.ID, Revision: r.Revision, Tier: r.Tier, Dir: TaskDir, Limits: r.Limits}
	if b.spec.Limits.MemoryMiB == 0 {
		b.spec.Limits.MemoryMiB = r.Revision.MemoryMiB
	}
	if b.spec.Limits.TmpMiB == 0 {
		b.spec.Limits.TmpMiB = r.Revision.TmpMiB
	}
	b.mount(r.Paths.Code, TaskDir)
	var err error
	switch r.Tier {
	case function.TierDirect:
		err = b.direct()
	case function.TierNative:
		err = b.native()
	case function.TierHotSpot, function.TierHotSpotAgent:
		err = b.hotspot()
	default:
		err = fmt.Errorf("tier %s cannot be launched", r.Tier)
	}
	if err != nil {
		return worker.Spec{}, fmt.Errorf("launch revision %s as %s: %w", r.Revision.ID, r.Tier, err)
	}
	b.spec.Env = b.environment()
	return b.spec, nil
}

type builder struct {
	Request
	spec worker.Spec
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
	if b.Revision.Kind != function.KindProvided {
		return fmt.Errorf("a function of kind %s is not run directly", b.Revision.Kind)
	}
	b.spec.Path = path.Join(TaskDir, "bootstrap")
	return nil
}

func (b *builder) native() error {
	if b.Paths.Native == "" {
		return errors.New("no native binary")
	}
	b.mount(b.Paths.Native, nativeDir)
	b.spec.Path = path.Join(nativeDir, Binary)
	heap := nativeHeapMiB(b.spec.Limits.MemoryMiB)
	// A missing element must end the process even where the program catches every Throwable.
	reporting := "Exit"
	if b.Survey {
		reporting = "Warn"
	}
	b.spec.Args = append(b.spec.Args,
		"-XX:MissingRegistrationReportingMode="+reporting,
		// Some classes of the JDK fail without one (calendars), or without its folder lib (fonts), though
		// they find nothing there: the builder makes that folder.
		"-Djava.home="+nativeDir,
		"-Xmx"+strconv.Itoa(heap)+"m",
		"-Xmn"+strconv.Itoa(nativeYoungMiB(heap))+"m")
	return nil
}

func (b *builder) hotspot() error {
	if b.Paths.JDK.Home == "" {
		return fmt.Errorf("%w: install one of Java %d or newer", ErrNoJava, minimumJava)
	}
	b.mount(b.Paths.JDK.Home, javaDir)
	for _, dir := range b.Paths.JDK.Links {
		b.mount(dir, dir)
	}
	b.spec.Path = path.Join(javaDir, "bin/java")
	user := userOptions(b.Revision.Environment)
	args := user.defaults(heapOptions(b.spec.Limits.MemoryMiB), commonOptions)
	if b.Tier == function.TierHotSpotAgent {
		option, err := b.tracerOption()
		if err != nil {
			return err
		}
		args = append(args, option)
	}
	code := b.classPath()
	switch b.Revision.Kind {
	case function.KindHandler:
		if b.Revision.Handler == "" {
			return errors.New("the function has no handler")
		}
		args = append(args, user.defaults(handlerOptions, b.resolverOption())...)
		// The platform's JAR first, as in Lambda: it holds aws-lambda-java-core.
		runtime := b.mountFile(b.Paths.Runtime, runtimeDir)
		code = append([]string{runtime}, code...)
		if b.Paths.Serialization != "" {
			code = append(code, b.mountFile(b.Paths.Serialization, serializationDir))
		}
		args = append(args, "-cp", strings.Join(code, ":"), RuntimeMain)
	case function.KindWeb:
		main := b.Revision.MainClass
		if main == "" {
			main = b.Paths.MainClass
		}
		if main == "" {
			return errors.New("the archive names no main class, and neither does the function")
		}
		args = append(append(args, b.Paths.ModuleOptions...), "-cp", strings.Join(code, ":"), main)
	default:
		return fmt.Errorf("a function of kind %s does not run on HotSpot", b.Revision.Kind)
	}
	b.spec.Args = args
	return nil
}

func (b *builder) classPath() []string {
	if len(b.Paths.ClassPath) == 0 {
		return []string{TaskDir}
	}
	paths := make([]string, len(b.Paths.ClassPath))
	for i, p := range b.Paths.ClassPath {
		paths[i] = path.Join(TaskDir, filepath.ToSlash(p))
	}
	return paths
}

func (b *builder) tracerOption() (string, error) {
	if b.Paths.Trace == "" {
		return "", errors.New("no folder for the trace")
	}
	b.spec.Mounts = append(b.spec.Mounts, worker.Mount{Source: b.Paths.Trace, Target: traceDir, Writable: true})
	b.spec.TraceDir = traceDir
	tracer := metadata.Tracer{}
	if b.Paths.Tracer != "" {
		tracer.Jar = b.mountFile(b.Paths.Tracer, tracerDir)
	} else if !b.Paths.JDK.Agent {
		return "", errors.New("neither a tracer nor a JDK with native-image-agent")
	}
	return tracer.JVMOption(traceDir, "", 0)
}

// resolverOption sets how long a host name that was not found is remembered, as Lambda does.
func (b *builder) resolverOption() []string {
	seconds := b.Revision.Environment["AWS_LAMBDA_JAVA_NETWORKADDRESS_CACHE_NEGATIVE_TTL"]
	if _, err := strconv.Atoi(seconds); err != nil {
		seconds = "1"
	}
	return []string{"-Dsun.net.inetaddr.negative.ttl=" + seconds}
}
