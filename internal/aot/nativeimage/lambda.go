package nativeimage

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cloudjit/cloudjit/internal/metadata"
)

// Features of java/image.
const (
	lambdaFeature = "dev.cloudjit.image.LambdaFeature"
	exitFeature   = "dev.cloudjit.image.ExitFeature"
)

// imageOptions let what java/image brings take part in a build: the feature that makes a binary end at once
// where it lacks metadata, and not after the application's shutdown hooks, which may wait for the
// very request that ends it; and the memory of what the globs of resources match.
var imageOptions = []string{
	"--features=" + exitFeature,
	"--add-exports=org.graalvm.nativeimage.builder/com.oracle.svm.core.jdk=ALL-UNNAMED",
	"--add-exports=org.graalvm.nativeimage.builder/com.oracle.svm.core.jdk.resources.CompressedGlobTrie=ALL-UNNAMED",
	"--add-exports=java.base/jdk.internal.access=ALL-UNNAMED",
}

// addSet adds a set to the metadata on the class path, but for the classes of lambdas: native-image
// 25 finds of those that metadata names only the ones that methods make, and not those of constructors
// and initializers. They are left to a feature of our own.
func (j *job) addSet(folder metadataFolder, artifact string, set *metadata.Set) error {
	if j.b.opts.Image != "" {
		var lambdas []metadata.Lambda
		lambdas, set = set.SplitLambdas()
		j.lambdas = append(j.lambdas, lambdas...)
	}
	if set.Len() == 0 {
		return nil
	}
	j.sets = append(j.sets, set)
	return folder.add("dev.cloudjit", artifact, metadata.TraceFile, set.JSON())
}

// ImageOptions returns the options of native-image with which the JAR of java/image, which must be on
// the class path, takes part in a build. What its feature for lambdas reads is written into dir.
func ImageOptions(lambdas []metadata.Lambda, dir string) ([]string, error) {
	if len(lambdas) == 0 {
		return imageOptions, nil
	}
	var lines strings.Builder
	for _, l := range lambdas {
		fmt.Fprintf(&lines, "%s %s\n", l.Class, l.Interfaces[0])
	}
	file := filepath.Join(dir, "lambdas.txt")
	if err := os.WriteFile(file, []byte(lines.String()), 0o644); err != nil {
		return nil, fmt.Errorf("write metadata: %w", err)
	}
	return slices.Concat(imageOptions, []string{"--features=" + lambdaFeature, "-J-Ddev.cloudjit.lambdas=" + file}), nil
}
