package toolchain

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// profileOption is what a builder offers that can make binaries which take profiles, and build with those.
const profileOption = "--pgo-instrument"

// Profiles asks a builder whether it can take profiles of binaries and build with them; the error says why not. It runs
// native-image --help, but for an assembled builder: that has published parts alone, and its driver refuses the option.
func (t Toolchain) Profiles(ctx context.Context) error {
	const lacks = "profiles need Oracle GraalVM, and this builder is "
	if t.Kind == Assembled {
		return errors.New(lacks + "assembled from parts of the community's")
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, t.NativeImage(), "--help")
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"}
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s --help does not say whether it takes profiles: %w", t.NativeImage(), err)
	}
	if !bytes.Contains(out, []byte(profileOption)) {
		return fmt.Errorf("%s%s %s %s: its native-image does not offer %s", lacks, t.Kind, t.Edition, t.Version, profileOption)
	}
	return nil
}

// inlinerClasses are the builder's classes that our inliner (java/image, CloudJitInliner) is made for: what it calls, and what
// decides when it runs. inlinerKnown are SHA-256 of them all, in this order, of the versions that it was tested with.
var (
	inlinerClasses = []string{
		"com/oracle/svm/hosted/code/CompilationInfo", "com/oracle/svm/hosted/code/CompilationGraph", "com/oracle/svm/hosted/code/CompileQueue",
		"com/oracle/svm/hosted/NativeImageGenerator", "com/oracle/svm/hosted/meta/HostedMethod", "com/oracle/svm/hosted/meta/HostedType",
		"com/oracle/svm/core/feature/InternalFeature", "com/oracle/svm/core/nodes/SubstrateMethodCallTargetNode",
		// What our patches for smaller code change (java/image, Patcher), and what they rely on.
		"com/oracle/svm/core/graal/amd64/SubstrateAMD64Backend", "com/oracle/svm/core/graal/amd64/SubstrateAMD64Backend$SubstrateAMD64MoveFactory$LoadCompressedObjectConstantOp",
		"com/oracle/svm/core/graal/meta/SubstrateBasicLoweringProvider", "com/oracle/svm/core/code/CodeInfoEncoder", "com/oracle/svm/core/code/CodeInfoDecoder",
		"com/oracle/svm/core/posix/PosixSubstrateSegfaultHandler", "com/oracle/svm/core/SubstrateSegfaultHandler", "com/oracle/svm/core/SubstrateSegfaultHandlerStartupHook",
		"com/oracle/svm/core/snippets/ImplicitExceptions", "com/oracle/svm/core/genscavenge/HeapImpl", "com/oracle/svm/hosted/code/amd64/AMD64HostedPatcher",
		"com/oracle/svm/hosted/image/NativeImage",
	}
	inlinerKnown = map[string]string{
		"c437d3174b68a14cc87baade2d7d919a59a8d4b986feaccfb18ea14b95865dd9": "25.0.2",
	}
)

// Inlines says why our inliner cannot be a part of this builder; nil: it can. It changes how the builder compiles, so it is only put
// into those whose classes are known, byte for byte. All others make binaries without profiles.
func (t Toolchain) Inlines() error {
	const unknown = "our inliner is not made for this builder: "
	if !t.Patches {
		return errors.New(unknown + "its classes cannot be replaced")
	}
	sum, err := t.sumOf(inlinerClasses)
	if err != nil {
		return fmt.Errorf("%s%w", unknown, err)
	}
	if inlinerKnown[sum] == "" {
		return fmt.Errorf("%sthe classes of %s %s are not those of %s (SHA-256 %s)", unknown, t.Kind, t.Version, strings.Join(slices.Sorted(maps.Values(inlinerKnown)), ", "), sum)
	}
	return nil
}

// sumOf is the SHA-256 of classes of the builder, in hexadecimal.
func (t Toolchain) sumOf(classes []string) (string, error) {
	dir := filepath.Join(t.Home, "lib", "svm", "builder")
	files, err := filepath.Glob(filepath.Join(dir, "*.jar")) // the pattern is well formed; a home with one of its characters has none
	if err != nil || len(files) == 0 {
		return "", fmt.Errorf("there is no JAR in %s", dir)
	}
	content := map[string][]byte{}
	for _, file := range files {
		if err := readClasses(file, classes, content); err != nil {
			return "", err
		}
	}
	h := sha256.New()
	for _, class := range classes {
		if content[class] == nil {
			return "", fmt.Errorf("it has no class %s", strings.ReplaceAll(class, "/", "."))
		}
		h.Write(content[class])
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func readClasses(file string, classes []string, content map[string][]byte) error {
	z, err := zip.OpenReader(file)
	if err != nil {
		return fmt.Errorf("read %s: %w", filepath.Base(file), err)
	}
	defer z.Close()
	for _, class := range classes {
		f, err := z.Open(class + ".class")
		if err != nil {
			continue // another JAR's
		}
		const most = 4 << 20
		b, err := io.ReadAll(io.LimitReader(f, most))
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("read %s of %s: %w", class, filepath.Base(file), err)
		}
		content[class] = b
	}
	return nil
}
