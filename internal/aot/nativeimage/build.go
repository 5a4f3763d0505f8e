package nativeimage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/aot/keep"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/jar"
	"github.com/cloudjit/cloudjit/internal/metadata"
)

// job is one build while it runs.
type job struct {
	b       *Builder
	req     *aot.Request
	scratch *keep.Scratch
	log     *keptLog
	usage   usage
	begin   time.Time
	sets    []*metadata.Set   // metadata that the class path got, but for the community's
	lambdas []metadata.Lambda // that reflection looks at
}

// build makes the binary of a key that is not there, alone among all processes that share the cache.
func (b *Builder) build(ctx context.Context, key aot.Key, req *aot.Request) (*aot.Result, error) {
	req.Progress("waiting")
	release, err := b.store.Lock(ctx, key)
	if err != nil {
		return nil, b.end(ctx, err, nil)
	}
	defer release()
	if r, ok := b.store.lookup(key); ok {
		return r, nil // another process made it
	}
	sc, err := b.store.Scratch()
	if err != nil {
		return nil, b.end(ctx, err, nil)
	}
	j := &job{b: b, req: req, scratch: sc, log: newKeptLog(req.Log), begin: time.Now()}
	result, err := j.do(ctx, key)
	cleanErr := sc.Remove()
	if err != nil {
		_ = os.WriteFile(b.store.failed(key), j.log.bytes(), 0o644)
		return nil, b.end(ctx, err, j)
	}
	if cleanErr != nil {
		fmt.Fprintf(j.log, "cloudjit: %v\n", cleanErr)
	}
	return result, nil
}

// end makes an *aot.Error of whatever ended a build.
func (b *Builder) end(ctx context.Context, err error, j *job) *aot.Error {
	var e *aot.Error
	var refused *jar.Error
	switch {
	case errors.As(err, &e):
	case ctx.Err() != nil:
		e = keep.Cancelled(ctx.Err())
	case errors.Is(err, context.DeadlineExceeded):
		e = &aot.Error{
			Class: aot.ClassTime, Reason: fmt.Sprintf("the build took longer than %s", j.req.Limits.Time),
			Hint: "allow builds more time or more processors", Err: err,
		}
	case errors.As(err, &refused):
		e = &aot.Error{Class: aot.ClassUser, Reason: refused.Reason, Hint: refused.Hint, Err: err}
	default:
		e = &aot.Error{Class: aot.ClassTool, Reason: err.Error(), Err: err}
	}
	if j != nil {
		e.Cost = j.usage.cost(j.begin)
	}
	return e
}

func (j *job) do(ctx context.Context, key aot.Key) (*aot.Result, error) {
	if j.req.Limits.Time > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, j.req.Limits.Time)
		defer cancel()
	}
	// Tools run as another user, and see the folder where nobody else is on the way to it.
	if err := os.Chmod(j.scratch.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("make scratch folder: %w", err)
	}
	for _, d := range []string{"out", "metadata"} {
		if err := os.Mkdir(filepath.Join(j.scratch.Dir, d), 0o755); err != nil {
			return nil, fmt.Errorf("make scratch folder: %w", err)
		}
	}
	j.req.Progress("unpack")
	root := filepath.Join(j.scratch.Dir, "code")
	info, err := jar.Extract(j.req.Code, root, j.b.opts.Archive)
	if err != nil {
		return nil, err
	}
	if err := refuseOptions(root); err != nil {
		return nil, err
	}
	im, err := j.plan(ctx, root, info)
	if err != nil {
		return nil, err
	}
	if im.profiles, err = j.profiles(); err != nil {
		return nil, err
	}
	if im.inlines = j.b.inlines(im.level); im.inlines {
		if len(im.patches) == 0 {
			return nil, &aot.Error{Class: aot.ClassTool, Reason: "the builder cannot be patched, so it cannot use a profile of HotSpot's"}
		}
		im.patches = append(im.patches, inlining(im.profiles[0])...)
	}
	if err := im.check(filepath.Join(j.scratch.Dir, "metadata")); err != nil {
		return nil, err
	}
	j.req.Progress("image")
	e, err := j.image(ctx, im)
	if err != nil {
		return nil, err
	}
	if !e.ok() {
		return nil, j.failed("native-image failed", e)
	}
	j.req.Progress("keep")
	return j.keep(key)
}

// plan gathers the class path, the metadata and the framework's own preparations.
func (j *job) plan(ctx context.Context, root string, info *jar.Info) (*image, error) {
	opts := &j.b.opts
	set, err := parseMetadata(j.req.Recording.Document)
	if err != nil {
		return nil, err
	}
	folder := metadataFolder{filepath.Join(j.scratch.Dir, "metadata")}
	if err := j.addSet(folder, "traced", set); err != nil {
		return nil, err
	}
	// Before all others, so that a rehearsal runs without them too.
	app, err := j.withoutServices(info.ClassPath(root), folder)
	if err != nil {
		return nil, err
	}
	more, err := moreResources(app, set)
	if err != nil {
		return nil, fmt.Errorf("look for resources: %w", err)
	}
	if err := j.addSet(folder, "more", more); err != nil {
		return nil, err
	}
	im := &image{
		mainClass: info.MainClass, output: filepath.Join(j.scratch.Dir, "out", binaryName),
		level: j.req.Rung.Options, optimize: opts.Optimize, march: opts.March,
		tmp: tmpDir, limits: j.req.Limits, extra: append(assertions(j.req.Revision.Environment), opts.Extra...),
	}
	switch j.req.Revision.Kind {
	case function.KindHandler:
		if opts.Runtime == "" {
			return nil, &aot.Error{Class: aot.ClassTool, Reason: "the builder has no Java runtime client to compile handlers with"}
		}
		im.mainClass = RuntimeMain
		if err := j.registerHandler(folder, app); err != nil {
			return nil, err
		}
		var before []string
		if info.Framework == jar.FrameworkSpringBoot && startsSpring(j.req.Revision.Handler, set) {
			if before, err = j.springHandlerAOT(ctx, folder, app); err != nil {
				return nil, err
			}
		}
		// In the order in which HotSpot workers have them.
		im.classPath = slices.Concat([]string{opts.Runtime}, before, app)
		if opts.Serialization != "" {
			im.classPath = append(im.classPath, opts.Serialization)
		}
	case function.KindWeb:
		if j.req.Revision.MainClass != "" {
			im.mainClass = j.req.Revision.MainClass
		}
		if im.mainClass == "" {
			return nil, &aot.Error{Class: aot.ClassUser, Reason: "the archive has no main class", Hint: "name one in the function's configuration"}
		}
		if !className.MatchString(im.mainClass) { // it would be another option
			return nil, &aot.Error{Class: aot.ClassUser, Reason: fmt.Sprintf("%q is no name of a main class", shorten(im.mainClass))}
		}
		own := *info
		own.MainClass = im.mainClass
		if err := j.prepare(ctx, im, folder, app, &own); err != nil {
			return nil, err
		}
		im.modules = info.ModuleOptions()
	default:
		return nil, &aot.Error{Class: aot.ClassUser, Reason: fmt.Sprintf("a function of kind %s has nothing to compile", j.req.Revision.Kind)}
	}
	if err := j.standIns(ctx, im, folder); err != nil {
		return nil, err
	}
	if im.needs, err = findNeeds(app, append(j.sets, set)); err != nil {
		return nil, err
	}
	im.needs.addLocale(configuredLocale(j.req.Revision.Environment))
	replaced, err := folder.addCommunity(ctx, opts.Repository, info.Libraries, j.log)
	if err != nil {
		return nil, err
	}
	im.excludes = append(append(im.excludes, knownBad...), replaced...)
	if opts.Image != "" {
		if im.features, err = ImageOptions(j.lambdas, j.scratch.Dir); err != nil {
			return nil, err
		}
		im.classPath = append(im.classPath, opts.Image)
	}
	if err := j.patch(ctx, im); err != nil {
		return nil, err
	}
	im.classPath = append(im.classPath, folder.dir)
	return im, nil
}

// className is the name of a Java class, or of another language's.
var className = regexp.MustCompile(`^[\p{L}_$][\p{L}\p{M}\p{N}\p{Pc}_$.-]*$`)

// check looks at what tools made for the class path, running the application's code, and at names that would
// be more than one entry. own is the folder that nobody but us writes to.
func (i *image) check(own string) error {
	for _, p := range i.classPath {
		if strings.Contains(p, ":") {
			return &aot.Error{Class: aot.ClassUser, Reason: fmt.Sprintf("the archive has a colon in %q, which class paths cannot have", filepath.Base(p))}
		}
		if info, err := os.Stat(p); err != nil || !info.IsDir() || p == own {
			continue
		}
		if err := refuseOptions(p); err != nil {
			return err
		}
	}
	return nil
}

// prepare does what a framework needs before the image, and sets the image's class path and the
// framework's options.
func (j *job) prepare(ctx context.Context, im *image, folder metadataFolder, app []string, info *jar.Info) error {
	var err error
	switch info.Framework {
	case jar.FrameworkSpringBoot:
		var before []string
		before, err = j.springAOT(ctx, folder, app, info)
		im.classPath = append(before, app...)
	case jar.FrameworkQuarkus:
		im.framework = quarkusOptions
		if err = folder.add("dev.cloudjit", "quarkus", metadata.TraceFile, []byte(quarkusMetadata)); err == nil {
			im.classPath, err = j.quarkus(app)
		}
	default:
		im.classPath = app
	}
	return err
}

func (j *job) registerHandler(folder metadataFolder, app []string) error {
	class, _ := splitHandler(j.req.Revision.Handler)
	cp, err := jar.OpenClassPath(app)
	if err != nil {
		return err
	}
	defer cp.Close()
	if !cp.Has(class) {
		return &aot.Error{Class: aot.ClassUser, Reason: fmt.Sprintf("the handler's class %q is not in the archive", class)}
	}
	doc, err := handlerMetadata(cp, j.req.Revision.Handler)
	if err != nil {
		return fmt.Errorf("describe handler: %w", err)
	}
	return folder.add("dev.cloudjit", "handler", "reachability-metadata.json", doc)
}

// keep publishes what came out of the image's build.
func (j *job) keep(key aot.Key) (*aot.Result, error) {
	out := filepath.Join(j.scratch.Dir, "out")
	// The binary's java.home is its folder (package launch), and AWT looks for fonts only where that has a lib.
	if err := os.Mkdir(filepath.Join(out, "lib"), 0o755); err != nil {
		return nil, fmt.Errorf("keep build: %w", err)
	}
	st, err := os.Stat(filepath.Join(out, binaryName))
	if err != nil {
		return nil, &aot.Error{Class: aot.ClassTool, Reason: "native-image ended well but left no binary", Err: err}
	}
	if err := os.Chmod(filepath.Join(out, binaryName), 0o755); err != nil {
		return nil, fmt.Errorf("keep build: %w", err)
	}
	r := &aot.Result{Key: key, Cost: j.usage.cost(j.begin)}
	r.Cost.Size = st.Size()
	if err := os.WriteFile(filepath.Join(out, logName), j.log.bytes(), 0o644); err != nil {
		return nil, fmt.Errorf("keep build: %w", err)
	}
	if err := j.b.store.publish(key, out, r); err != nil {
		return nil, err
	}
	return r, nil
}

// failed says why a tool that ran to its end failed.
func (j *job) failed(what string, e ending) *aot.Error {
	class, reason := classify(e, j.log.tail())
	if blames(j.req.Rung.Options, class, j.log.tail()) {
		class, what = aot.ClassMetadata, what+" with the function's profile"
	}
	if reason == "" {
		reason = what
	} else {
		reason = what + ": " + reason
	}
	err := &aot.Error{Class: class, Reason: reason}
	if class == aot.ClassMemory {
		err.Reason = "the build ran out of memory"
		if l := j.req.Limits.MemoryMiB; l > 0 {
			err.Reason = fmt.Sprintf("the build ran out of its %d MiB of memory", l)
		}
		err.Hint = "allow builds more memory"
	}
	return err
}

// env is the whole environment of a tool: nothing of the server's own reaches code that a
// build may run.
func (j *job) env() []string {
	return environment(map[string]string{
		"PATH":      "/usr/local/bin:/usr/bin:/bin",
		"HOME":      tmpDir,
		"TMPDIR":    tmpDir,
		"JAVA_HOME": j.b.opts.JDK,
		"LANG":      "C.UTF-8",
	})
}

// jvmOptions are for the JVMs that run beside native-image.
func (j *job) jvmOptions() []string {
	options := []string{"-Djava.io.tmpdir=" + tmpDir, "-XX:-UsePerfData"}
	if heap := heapMiB(j.req.Limits.MemoryMiB); heap > 0 {
		options = append(options, fmt.Sprintf("-Xmx%dm", heap))
	}
	return options
}

var _ io.Writer = (*keptLog)(nil)
