package nativeimage

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cloudjit/cloudjit/internal/worker"
)

const (
	patcherMain = "dev.cloudjit.image.Patcher"
	// archiveFeature tells a binary what its archive holds; it needs the patches.
	archiveFeature = "dev.cloudjit.image.ArchiveFeature"
)

// builderModule is the module of the builder whose classes are patched.
const builderModule = "org.graalvm.nativeimage.builder"

// patch makes, from the builder's own classes, those with which a binary ends where it cannot do what HotSpot does
// (java/image, Patcher). A point that a builder does not have is said in the log; a builder that cannot be patched makes
// the image without.
func (j *job) patch(ctx context.Context, im *image) error {
	opts := &j.b.opts
	if opts.Image == "" || !opts.Patch {
		return nil
	}
	out := filepath.Join(j.scratch.Dir, "patch")
	if err := os.Mkdir(out, 0o755); err != nil {
		return fmt.Errorf("patch builder: %w", err)
	}
	e, err := j.run(ctx, command{
		path: filepath.Join(opts.JDK, "bin", "java"),
		args: append(j.jvmOptions(), "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", opts.Image, patcherMain, opts.Home, out),
		env:  j.env(), out: []worker.Folder{tree(out)},
	})
	if err != nil {
		return err
	}
	if !e.ok() {
		fmt.Fprintf(j.log, "cloudjit: the builder's classes cannot be patched (exit code %d); some differences from HotSpot give no signal\n", e.code)
		return nil
	}
	im.features = append(im.features, "-J--patch-module="+builderModule+"="+out, "--features="+archiveFeature)
	return nil
}
