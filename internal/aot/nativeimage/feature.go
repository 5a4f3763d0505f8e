package nativeimage

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// image runs native-image, and again without what a library says of itself where that breaks the build: a Feature
// that fails, for it registers what the library may do, and often assumes optional parts that the application does not
// have (Angus Activation without Jakarta Mail); initialization while the image is built of what cannot be (fastjson2);
// files that cannot be read. The tracer saw what is really done, and what is initialized at run time
// is initialized as on HotSpot. Each round leaves a file out, so that it ends.
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
		if j.unpatch(im, e, j.log.tail()) {
			continue
		}
		im.repatch()
		files, why, err := culprits(e, j.log.tail(), im.classPath)
		if err != nil {
			return e, fmt.Errorf("look for what breaks the build: %w", err)
		}
		before := len(im.excludes)
		for _, name := range files {
			ex := exclusion{jars: ".*", resources: "/" + regexp.QuoteMeta(name)}
			if !slices.Contains(im.excludes, ex) {
				im.excludes = append(im.excludes, ex)
			}
		}
		if len(im.excludes) == before {
			return e, nil // not the application's archives
		}
		fmt.Fprintf(j.log, "cloudjit: %s; again without %s\n", why, strings.Join(files, ", "))
		j.req.Progress("image, without what a library says of itself")
	}
}

// What native-image says when a library's own files break a build.
var (
	featureFailed = regexp.MustCompile(`(?m)^Error: Feature defined by ([\w.$]+) unexpectedly failed`)
	unknownOption = regexp.MustCompile(`(?i)(?:unrecognized option(?:\(s\))?:?|could not find option) '([^']+)'`)
	unreadable    = regexp.MustCompile(`(?m)^.*(?:Error parsing|JSONParserException).*$`)
	metadataFile  = regexp.MustCompile(`META-INF/native-image/[\w./-]+\.json`)
	buildTime     = regexp.MustCompile(`--initialize-at-build-time=?([^\s"\\]*(?:\\\r?\n\s*[^\s"\\]*)*)`)
	qualified     = regexp.MustCompile(`[\w$]+(?:\.[\w$]+)+`)
)

// culprits returns the files of the class path's archives that may be why a build failed, and what they do.
func culprits(e ending, log string, classPath []string) (files []string, why string, err error) {
	if m := featureFailed.FindStringSubmatch(log); m != nil {
		files, err = filesThatName(m[1], classPath)
		return files, "the feature " + m[1] + " fails", err
	}
	class, reason := classify(e, log)
	option := ""
	if m := unknownOption.FindStringSubmatch(log); m != nil {
		option = m[1]
	}
	switch {
	case option != "":
		option, _, _ = strings.Cut(option, "=")
		files, err = filesThatName(option, classPath)
		return files, "a library asks for an option that the builder does not have (" + option + ")", err
	case class == aot.ClassMetadata:
		for _, line := range unreadable.FindAllString(log, -1) {
			for _, name := range metadataFile.FindAllString(line, -1) {
				if !strings.Contains(name, "/dev.cloudjit") {
					files = append(files, name)
				}
			}
		}
		return files, "a library's metadata cannot be read (" + reason + ")", nil
	case class != aot.ClassUser:
		return nil, "", nil
	}
	// Those that name a class of the message; else all that have anything initialized.
	var all, named []string
	said := map[string]bool{}
	for _, c := range qualified.FindAllString(log, -1) {
		said[c] = true
	}
	err = eachProperties(classPath, func(_, name string, content []byte) {
		for _, m := range buildTime.FindAllSubmatch(content, -1) {
			all = append(all, name)
			for _, prefix := range qualified.FindAllString(string(m[1]), -1) {
				if names(said, prefix) {
					named = append(named, name)
				}
			}
		}
	})
	if len(named) == 0 {
		named = all
	}
	slices.Sort(named)
	return slices.Compact(named), "a library has classes initialized while the image is built (" + reason + ")", err
}

// names reports whether a class of a prefix was said.
func names(said map[string]bool, prefix string) bool {
	for class := range said {
		if class == prefix || strings.HasPrefix(class, prefix+".") || strings.HasPrefix(class, prefix+"$") {
			return true
		}
	}
	return false
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
