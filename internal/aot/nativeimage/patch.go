package nativeimage

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

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
	args := append(j.jvmOptions(), "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", opts.Image, patcherMain, opts.Home, out)
	if j.b.inlines(j.req.Rung.Options) {
		args = append(args, "--known") // smaller code, too
	}
	e, err := j.run(ctx, command{
		path: filepath.Join(opts.JDK, "bin", "java"),
		args: args,
		env:  j.env(), out: []worker.Folder{tree(out)},
	})
	if err != nil {
		return err
	}
	if !e.ok() {
		fmt.Fprintf(j.log, "cloudjit: the builder's classes cannot be patched (exit code %d); some differences from HotSpot give no signal\n", e.code)
		return nil
	}
	im.patches = []string{"-J--patch-module=" + builderModule + "=" + out, "--features=" + archiveFeature}
	return nil
}

// unpatch leaves the patches out of an image whose build failed by them, as with a builder that nobody knew; false if
// that was not why. One with our inliner fails by its profile, and there are binaries without.
func (j *job) unpatch(im *image, e ending, log string) bool {
	if len(im.patches) == 0 || im.inlines || !patchFailed.MatchString(log) {
		return false
	}
	_, reason := classify(e, log)
	fmt.Fprintf(j.log, "cloudjit: the builder fails with patched classes (%s); again without: some differences from HotSpot give no signal\n", reason)
	j.req.Progress("image, with the builder's own classes")
	im.patches, im.unpatched = nil, im.patches
	return true
}

// repatch takes the patches up again where the build fails without them as well: they were not why.
func (im *image) repatch() {
	if im.unpatched != nil {
		im.patches, im.unpatched = im.unpatched, nil
	}
}

// patchFailed matches what names our part of a patched builder as the place of a failure, and errors of the builder's
// own. The command and the list of features name it in every log.
var patchFailed = regexp.MustCompile(`CloudJit(?:Lack|Answers)|(?:at|Feature defined by) [\w./@]*ArchiveFeature\b|Fatal error: .*(?:VMError|GraalError|AssertionError)|(?:VerifyError|IncompatibleClassChangeError|NoSuchMethodError|NoSuchFieldError|IllegalAccessError).*com[./]oracle[./]svm`)

// Unpatched says which points of a builder cannot be patched, and why: where its binaries may answer otherwise than
// HotSpot without a signal. home is a tool chain's, image the JAR of java/image. Nil: every point is.
func Unpatched(ctx context.Context, home, image string) ([]string, error) {
	out, err := os.MkdirTemp("", "cloudjit-patch-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(out)
	said, err := exec.CommandContext(ctx, filepath.Join(home, "bin", "java"), "-XX:-UsePerfData", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", image, patcherMain, home, out).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("patch builder: %w: %s", err, shorten(string(said)))
	}
	var lacks []string
	for line := range strings.Lines(string(said)) {
		if point, ok := strings.CutPrefix(strings.TrimSpace(line), "lacks "); ok {
			lacks = append(lacks, point)
		}
	}
	return lacks, nil
}
