package nativeimage

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cloudjit/cloudjit/internal/jar"
	"github.com/cloudjit/cloudjit/internal/metadata"
	"github.com/cloudjit/cloudjit/internal/worker"
)

const linkerMain = "dev.cloudjit.image.Linker"

// standIns puts stand-ins for the classes that HotSpot cannot link before the application on the
// image's class path. Libraries find out by their NoClassDefFoundError whether an optional library is
// there (Commons Compress whether XZ is); an image has such classes, but none of their methods,
// and throws NoSuchMethodError, which nobody expects and which is no signal to deoptimize on.
//
// Where metadata names such a class, its constructors may be called, which initializes it: HotSpot throws as
// soon as it is asked for them, so a trace has none, and an image would miss metadata instead of
// throwing (Micronaut's beans for optional libraries).
//
// A builder whose JDK cannot run the linker makes the image without.
func (j *job) standIns(ctx context.Context, im *image, folder metadataFolder) error {
	if j.b.opts.Image == "" {
		return nil
	}
	j.req.Progress("link")
	out := filepath.Join(j.scratch.Dir, "stand-ins")
	if err := os.Mkdir(out, 0o755); err != nil {
		return fmt.Errorf("link application: %w", err)
	}
	e, err := j.run(ctx, command{
		path: filepath.Join(j.b.opts.JDK, "bin", "java"),
		args: append(j.jvmOptions(),
			"-XX:+UnlockExperimentalVMOptions", "-XX:+EnableJVMCI", "-XX:-UseJVMCICompiler", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
			"--add-modules=jdk.internal.vm.ci",
			"--add-exports=jdk.internal.vm.ci/jdk.vm.ci.meta=ALL-UNNAMED", "--add-exports=jdk.internal.vm.ci/jdk.vm.ci.runtime=ALL-UNNAMED",
			"-cp", j.b.opts.Image, linkerMain, out, strings.Join(im.classPath, ":")),
		env: j.env(), out: []worker.Folder{tree(out)},
	})
	if err != nil {
		return err
	}
	if !e.ok() {
		fmt.Fprintf(j.log, "cloudjit: the linker failed (exit code %d); going on without stand-ins\n", e.code)
		return nil
	}
	im.classPath = append([]string{out}, im.classPath...)
	made, err := jar.OpenClassPath([]string{out})
	if err != nil {
		return fmt.Errorf("link application: %w", err)
	}
	defer made.Close()
	var constructors []metadata.Element
	for _, e := range metadata.Merge(j.sets...).Elements() {
		if e.Kind == metadata.KindType && made.Has(e.Type) {
			constructors = append(constructors, e, metadata.Element{Kind: metadata.KindBulk, Type: e.Type, Name: "allDeclaredConstructors"})
		}
	}
	return j.addSet(folder, "stand-ins", metadata.Of(constructors...))
}
