package nativeimage

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/cloudjit/cloudjit/internal/worker"
)

// featureFailed is what native-image says when a library's own Feature throws.
var featureFailed = regexp.MustCompile(`(?m)^Error: Feature defined by ([\w.$]+) unexpectedly failed`)

// image runs native-image, and again without the Feature of a library that failed: such a Feature
// registers what the library may do, and often assumes optional parts that the application
// does not have (Angus Activation without Jakarta Mail). The tracer saw what is really done.
// Each round leaves one Feature out, so that it ends.
func (j *job) image(ctx context.Context, im *image) (ending, error) {
	for {
		e, err := j.run(ctx, command{
			path: filepath.Join(j.b.opts.Home, "bin", "native-image"), args: im.arguments(), env: j.env(),
			// Beside the binary only shared libraries are needed to run (AWT's, for example).
			out: []worker.Folder{{
				Target: filepath.Dir(im.output), Keep: filepath.Dir(im.output), Names: []string{binaryName, "*.so"}, MiB: outMiB, Files: outFiles,
			}},
		})
		if err != nil || e.ok() {
			return e, err
		}
		m := featureFailed.FindStringSubmatch(j.log.tail())
		if m == nil {
			return e, nil
		}
		files, err := filesThatName(m[1], im.classPath)
		if err != nil {
			return e, fmt.Errorf("look for the feature %s: %w", m[1], err)
		}
		before := len(im.excludes)
		for _, name := range files {
			ex := exclusion{jars: ".*", resources: "/" + regexp.QuoteMeta(name)}
			if !slices.Contains(im.excludes, ex) {
				im.excludes = append(im.excludes, ex)
			}
		}
		if len(im.excludes) == before {
			return e, nil // not switched on by the application's archives
		}
		fmt.Fprintf(j.log, "cloudjit: the feature %s fails; again without %s\n", m[1], strings.Join(files, ", "))
		j.req.Progress("image, without a library's feature that fails")
	}
}

// filesThatName returns the native-image.properties on a class path that name a class.
func filesThatName(class string, classPath []string) ([]string, error) {
	var names []string
	err := eachProperties(classPath, func(_, name string, content []byte) {
		if bytes.Contains(content, []byte(class)) {
			names = append(names, name)
		}
	})
	return names, err
}
