package nativeimage

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cloudjit/cloudjit/internal/metadata"
)

// Features of java/image.
const (
	lambdaFeature = "dev.cloudjit.image.LambdaFeature"
	exitFeature   = "dev.cloudjit.image.ExitFeature"
)

// exitOptions make a binary end at once where it lacks metadata, and not after the application's
// shutdown hooks, which may wait for the very request that ends it.
var exitOptions = []string{
	"--features=" + exitFeature,
	"--add-exports=org.graalvm.nativeimage.builder/com.oracle.svm.core.jdk=ALL-UNNAMED",
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

// LambdaOptions writes the file that the feature for lambdas reads into dir, and returns the options
// of native-image that switch the feature on; the JAR of java/image must be on the class path then.
func LambdaOptions(lambdas []metadata.Lambda, dir string) ([]string, error) {
	var lines strings.Builder
	for _, l := range lambdas {
		fmt.Fprintf(&lines, "%s %s\n", l.Class, l.Interfaces[0])
	}
	file := filepath.Join(dir, "lambdas.txt")
	if err := os.WriteFile(file, []byte(lines.String()), 0o644); err != nil {
		return nil, fmt.Errorf("write metadata: %w", err)
	}
	return []string{"--features=" + lambdaFeature, "-J-Ddev.cloudjit.lambdas=" + file}, nil
}
