package nativeimage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/jar"
	"github.com/cloudjit/cloudjit/internal/jar/classfile"
	"github.com/cloudjit/cloudjit/internal/metadata"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// rehearsalTime is enough for large applications on a busy machine.
const rehearsalTime = 3 * time.Minute

const springProcessor = "org.springframework.boot.SpringApplicationAotProcessor"

// springAOT prepares an application with a main class of its own.
func (j *job) springAOT(ctx context.Context, folder metadataFolder, app []string, info *jar.Info) ([]string, error) {
	if info.MainClass == "" {
		return nil, nil // it only uses Spring's classes
	}
	has, err := hasSpringProcessor(app)
	if err != nil {
		return nil, err
	}
	if !has {
		return nil, &aot.Error{
			Class: aot.ClassUser, Reason: "this Spring Boot has no ahead-of-time processing, so it cannot be compiled",
			Hint: "Spring Boot 3 and newer can be",
		}
	}
	p := springProgram{classPath: app, main: info.MainClass, env: environment(j.req.Revision.Environment)}
	made, e, err := j.processSpring(ctx, folder, app, p)
	if err == nil && !e.ok() {
		err = j.failed("Spring's ahead-of-time processing of the application failed", e)
	}
	return made, err
}

// startsSpring: a handler of Spring's own, or one that was seen to use Spring Boot.
func startsSpring(handler string, traced *metadata.Set) bool {
	if strings.HasPrefix(handler, "org.springframework.") {
		return true
	}
	if traced == nil {
		return false
	}
	return slices.ContainsFunc(traced.Elements(), func(e metadata.Element) bool {
		return e.Kind == metadata.KindType && strings.HasPrefix(e.Type, "org.springframework.boot.")
	})
}

// handlerStarter stands for the runtime client's main class while Spring processes a handler: it makes the handler, as
// the client does at its start, which starts the application. What Spring generates bears the name of this
// class. The binary looks for it under the name of what the handler sets as its application's main class, so a class
// of that name is generated too, as soon as the name is known. Handlers wrap what ends Spring's processing into errors
// of their own.
const handlerStarter = `package dev.cloudjit.runtime;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.springframework.boot.context.event.ApplicationStartingEvent;
import org.springframework.context.ApplicationListener;

public final class Main implements ApplicationListener<ApplicationStartingEvent> {
    private static Path sources;

    public static void main(String[] args) throws Throwable {
        sources = Path.of(args[1]);
        try {
            Class.forName(args[0]).getConstructor().newInstance();
            System.exit(0); // threads of the application's would go on
        } catch (Throwable t) {
            for (Throwable cause = t; cause != null; cause = cause.getCause()) {
                if (cause.getClass().getName().equals("org.springframework.boot.SpringApplication$AbandonedRunException")) {
                    throw cause;
                }
            }
            throw t;
        }
    }

    @Override
    public void onApplicationEvent(ApplicationStartingEvent event) {
        Class<?> main = event.getSpringApplication().getMainApplicationClass();
        if (!Boolean.getBoolean("spring.aot.processing") || main == null || main == Main.class) {
            return;
        }
        String suffix = "__ApplicationContextInitializer";
        String name = main.getName().substring(main.getPackageName().isEmpty() ? 0 : main.getPackageName().length() + 1) + suffix;
        String type = "org.springframework.context.support.GenericApplicationContext";
        String source = (main.getPackageName().isEmpty() ? "" : "package " + main.getPackageName() + ";\n")
                + "public class " + name + " implements org.springframework.context.ApplicationContextInitializer<" + type + "> {\n"
                + "    @Override public void initialize(" + type + " context) {\n"
                + "        new " + Main.class.getName() + suffix + "().initialize(context);\n    }\n}\n";
        try {
            Path file = sources.resolve(main.getPackageName().replace('.', '/')).resolve(name + ".java");
            Files.createDirectories(file.getParent());
            Files.writeString(file, source);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
`

// handlerListener has Spring tell the starter of the application.
const handlerListener = "org.springframework.context.ApplicationListener=" + RuntimeMain + "\n"

// springHandlerAOT prepares the application that a handler starts when it is made: that of
// spring-cloud-function's FunctionInvoker, or of an aws-serverless-java-container. A handler that starts none in its
// constructor, or in another thread, is compiled as it is.
func (j *job) springHandlerAOT(ctx context.Context, folder metadataFolder, app []string) ([]string, error) {
	if has, err := hasSpringProcessor(app); err != nil || !has {
		return nil, err
	}
	sources, classes := filepath.Join(j.scratch.Dir, "starter", "sources"), filepath.Join(j.scratch.Dir, "starter", "classes")
	source := filepath.Join(sources, filepath.FromSlash(strings.ReplaceAll(RuntimeMain, ".", "/"))+".java")
	for file, content := range map[string]string{source: handlerStarter, filepath.Join(classes, "META-INF", "spring.factories"): handlerListener} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return nil, fmt.Errorf("process Spring handler: %w", err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			return nil, fmt.Errorf("process Spring handler: %w", err)
		}
	}
	if err := j.compile(ctx, app, sources, classes); err != nil {
		return nil, err
	}
	class, _ := splitHandler(j.req.Revision.Handler)
	made, e, err := j.processSpring(ctx, folder, app, springProgram{
		classPath: append([]string{classes}, app...), main: RuntimeMain, args: []string{class, j.springDirs().sources},
		env: append(environment(j.req.Revision.Environment), "_HANDLER="+j.req.Revision.Handler), handler: true,
	})
	if err == nil && !e.ok() {
		fmt.Fprintf(j.log, "cloudjit: Spring's ahead-of-time processing of the handler did not succeed (exit code %d); it is compiled without\n", e.code)
	}
	return made, err
}

func hasSpringProcessor(app []string) (bool, error) {
	cp, err := jar.OpenClassPath(app)
	if err != nil {
		return false, err
	}
	return cp.Has(springProcessor), cp.Close()
}

// springProgram is what Spring processes and rehearses.
type springProgram struct {
	// classPath is what it runs with; without what was generated.
	classPath []string
	// main is the class whose main method starts the application, and args are its arguments.
	main string
	args []string
	// env is the application's own, which decides on profiles and conditions.
	env []string
	// handler: main makes a handler, and ends. It is rehearsed to that end.
	handler bool
}

// command starts the program on a JVM.
func (p *springProgram) command() []string {
	return slices.Concat([]string{"-cp", strings.Join(p.classPath, ":"), p.main}, p.args)
}

// springDirs are the folders of what Spring generates, and the one that they are in. Spring deletes those that are there first, which
// cannot be done with a folder that a sandbox shows by itself.
type springDirs struct{ all, sources, resources, classes string }

func (j *job) springDirs() springDirs {
	dir := filepath.Join(j.scratch.Dir, "spring")
	return springDirs{dir, filepath.Join(dir, "sources"), filepath.Join(dir, "resources"), filepath.Join(dir, "classes")}
}

// processSpring runs Spring Boot's ahead-of-time processing as its build plugins do: the context is
// prepared on the JVM, and what it found becomes Java source, classes and metadata, which the
// image uses instead of scanning. It returns what goes before the application on the class path; nothing if
// the processor did not end well.
func (j *job) processSpring(ctx context.Context, folder metadataFolder, app []string, p springProgram) ([]string, ending, error) {
	j.req.Progress("spring-aot")
	dirs := j.springDirs()
	sources, resources, classes := dirs.sources, dirs.resources, dirs.classes
	if err := os.MkdirAll(dirs.all, 0o755); err != nil {
		return nil, ending{}, fmt.Errorf("process Spring application: %w", err)
	}
	e, err := j.run(ctx, command{
		path: filepath.Join(j.b.opts.JDK, "bin", "java"),
		args: slices.Concat(j.jvmOptions(), []string{"-Dspring.aot.processing=true", "-cp", strings.Join(p.classPath, ":"), springProcessor,
			p.main, sources, resources, classes, "cloudjit", string(j.req.Revision.Function)}, p.args),
		env: append(slices.Clone(p.env), j.env()...), out: []worker.Folder{tree(dirs.all)},
	})
	if err != nil || !e.ok() {
		return nil, e, err
	}
	for _, d := range []string{sources, resources, classes} { // of which nothing was generated, too
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, e, fmt.Errorf("process Spring application: %w", err)
		}
	}
	if err := j.compile(ctx, p.classPath, sources, classes); err != nil {
		return nil, e, err
	}
	generated := []string{classes, resources}
	inherited, err := ancestors(classes, slices.Concat(generated, app))
	if err != nil {
		return nil, e, fmt.Errorf("process Spring application: %w", err)
	}
	if err := j.addSet(folder, "generated", inherited); err != nil {
		return nil, e, err
	}
	p.classPath = slices.Concat(generated, p.classPath)
	if err := j.rehearseSpring(ctx, folder, p); err != nil {
		return nil, e, err
	}
	return generated, e, nil
}

// ancestors names what the classes in a folder of generated ones extend and implement, as far as
// the class path has it. Spring looks for annotations through the whole hierarchy of a bean when it is first
// used, in a request, so neither a trace on HotSpot (which has no generated classes) nor a
// rehearsal (which ends before requests) sees that: of Spring Data's generated repositories, for one.
func ancestors(generated string, classPath []string) (*metadata.Set, error) {
	folder, err := jar.OpenClassPath([]string{generated})
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	cp, err := jar.OpenClassPath(classPath)
	if err != nil {
		return nil, err
	}
	defer cp.Close()
	seen := map[string]bool{}
	var types []metadata.Element
	var visit func(c *classfile.Class)
	visit = func(c *classfile.Class) {
		for _, name := range append(c.Interfaces, c.Super) {
			above := cp.Find(name)
			if above == nil || seen[name] {
				continue
			}
			seen[name] = true
			types = append(types, metadata.Element{Kind: metadata.KindType, Type: name})
			visit(above)
		}
	}
	folder.Each(func(_ string, content []byte) bool {
		if c, err := classfile.Parse(content); err == nil {
			visit(c)
		}
		return true
	})
	return metadata.Of(types...), nil
}

// rehearseSpring runs the processed application on the JVM up to the point where its beans are
// there and nothing serves yet (spring.context.exit, made for training runs), and adds what the
// tracer saw: workers on HotSpot run without the generated classes, so their traces do not have
// what those look up, and each would cost a deoptimization. An application that cannot start
// here is built without.
//
// First the application is told that it is in an image, as GraalVM's agent tells it in its runs, so
// that branches for images alone are seen (Spring's JPA support asks for a method only there);
// if it cannot start so, it is rehearsed as on the JVM.
func (j *job) rehearseSpring(ctx context.Context, folder metadataFolder, p springProgram) error {
	if j.b.opts.Tracer == nil {
		return nil
	}
	j.req.Progress("rehearsal")
	limited, cancel := context.WithTimeout(ctx, rehearsalTime)
	defer cancel()
	processed := []string{"-Dspring.aot.enabled=true"}
	if !p.handler {
		processed = append(processed, "-Dspring.context.exit=onRefresh")
	}
	shown, came := metadata.Of(), false
	for i, as := range [][]string{{"-Dorg.graalvm.nativeimage.imagecode=agent"}, nil} {
		set, ok, err := j.rehearse(limited, fmt.Sprintf("trace-%d", i), p.env, slices.Concat(as, processed, p.command()))
		if err := errors.Join(ctx.Err(), err); err != nil {
			return err
		}
		shown = metadata.Merge(shown, set)
		if came = ok; ok {
			break
		}
	}
	if p.handler && !came {
		if err := j.unfitForProcessing(limited, p); err != nil {
			return err
		}
	}
	fmt.Fprintf(j.log, "cloudjit: the rehearsal showed %d elements\n", shown.Len())
	return j.addSet(folder, "rehearsed", shown.ForImage())
}

// unfitForProcessing is an error if a handler, which did not come up with what Spring had processed ahead of time, comes up without:
// a binary could only fail as it did, after minutes. That of aws-serverless-java-container expects a context of
// another class, for one.
func (j *job) unfitForProcessing(ctx context.Context, p springProgram) error {
	why := "it fails"
	if causes := cause.FindAllStringSubmatch(j.log.tail(), -1); causes != nil {
		why = causes[len(causes)-1][1]
	}
	_, ok, err := j.rehearse(ctx, "trace-unprocessed", p.env, p.command())
	if err != nil || !ok {
		return err // as here, where nothing gets out, it may come up in service
	}
	return &aot.Error{
		Class: aot.ClassUser, Reason: "the handler does not start with what Spring processes ahead of time, which a binary needs: " + shorten(why),
		Hint: "the rungs below serve; a library may have a handler of its own for native images",
	}
}

// cause matches the reasons in a JVM's stack traces.
var cause = regexp.MustCompile(`(?m)^(?:Caused by|Exception in thread "[^"]*"): ?(.*)$`)

// rehearse runs an application with the tracer, which writes into a new folder of the scratch folder, and
// returns what it recorded and whether the application ended well. What went wrong with the
// application is logged and no error.
func (j *job) rehearse(ctx context.Context, name string, env, args []string) (shown *metadata.Set, ok bool, err error) {
	out := filepath.Join(j.scratch.Dir, name)
	if err := os.MkdirAll(out, 0o755); err != nil {
		return nil, false, fmt.Errorf("rehearse application: %w", err)
	}
	option, err := j.b.opts.Tracer.JVMOption(out, "", 0)
	if err != nil {
		return nil, false, fmt.Errorf("rehearse application: %w", err)
	}
	e, err := j.run(ctx, command{
		path: filepath.Join(j.b.opts.JDK, "bin", "java"),
		args: append(append(j.jvmOptions(), option), args...),
		env:  slices.Concat(env, j.env(), []string{"PORT=0"}),
		out:  []worker.Folder{{Target: out, Keep: out, Names: []string{metadata.TraceFile}}},
	})
	ok = err == nil && e.ok()
	if !ok {
		fmt.Fprintf(j.log, "cloudjit: the rehearsal did not succeed (exit code %d, %v); what it showed is used\n", e.code, err)
	}
	doc, err := os.ReadFile(filepath.Join(out, metadata.TraceFile))
	if err != nil {
		fmt.Fprintf(j.log, "cloudjit: the rehearsal left no trace: %v\n", err)
		return nil, ok, nil
	}
	if shown, err = metadata.Parse(doc); err != nil {
		fmt.Fprintf(j.log, "cloudjit: the rehearsal's trace cannot be read: %v\n", err)
	}
	return shown, ok, nil
}

// compiledDir is where javac leaves classes in its sandbox; they come to those that were there already.
const compiledDir = "/compiled"

// compile runs javac over a folder of generated sources.
func (j *job) compile(ctx context.Context, app []string, sources, classes string) error {
	list := filepath.Join(j.scratch.Dir, "sources.txt")
	n, err := listSources(sources, list)
	if err != nil {
		return fmt.Errorf("compile generated sources: %w", err)
	}
	if n == 0 {
		return nil
	}
	var options []string
	for _, o := range j.jvmOptions() {
		options = append(options, "-J"+o)
	}
	e, err := j.run(ctx, command{
		path: filepath.Join(j.b.opts.JDK, "bin", "javac"),
		args: append(options, "-nowarn", "-proc:none", "-parameters", "-encoding", "UTF-8",
			"-cp", strings.Join(append([]string{classes}, app...), ":"), "-d", compiledDir, "@"+list),
		env: j.env(), out: []worker.Folder{{Target: compiledDir, Keep: classes, Names: []string{"**"}, MiB: treeMiB, Files: treeFiles}},
	})
	if err != nil {
		return err
	}
	if !e.ok() {
		return j.failed("what Spring's ahead-of-time processing generated does not compile", e)
	}
	return nil
}

// quoted is how javac's argument files quote; names of files are the application's choice.
var quoted = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// listSources writes an argument file for javac and returns how many files it names.
func listSources(dir, to string) (int, error) {
	f, err := os.Create(to)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	n := 0
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(p) != ".java" {
			return err
		}
		n++
		_, err = io.WriteString(f, `"`+quoted.Replace(p)+"\"\n")
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, f.Close()
}
