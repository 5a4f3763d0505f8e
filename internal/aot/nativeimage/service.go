package nativeimage

import (
	"archive/zip"
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/cloudjit/cloudjit/internal/metadata"
)

// excludedService is how a library says, in its native-image.properties, that images shall not find
// a service's providers.
var excludedService = regexp.MustCompile(`-H:ServiceLoaderFeatureExcludeServices=([\w.$,]+)`)

const servicesFolder = "META-INF/services/"

// withoutServices takes the services out of the class path that its libraries do not want in an image.
// Spring does so with Hibernate's BytecodeProvider, which makes classes while it runs: without
// it, Hibernate makes none. native-image heeds the option where it looks for providers
// itself; here the tracer has seen the provider on HotSpot, and its metadata would bring it back.
//
// It returns the class path with copies in the place of archives that had some.
func (j *job) withoutServices(app []string, folder metadataFolder) ([]string, error) {
	services, err := excludedServices(app)
	if err != nil || len(services) == 0 {
		return app, err
	}
	out := slices.Clone(app)
	type glob struct {
		Glob string `json:"glob"`
	}
	var doc struct {
		Resources []glob `json:"resources"`
	}
	var files []string
	for _, s := range services {
		files = append(files, servicesFolder+s)
		doc.Resources = append(doc.Resources, glob{servicesFolder + s}) // that it is not there is known
	}
	for i, p := range app {
		to := filepath.Join(j.scratch.Dir, fmt.Sprintf("services-%d.jar", i))
		had, err := withoutFiles(p, to, files)
		if err != nil {
			return nil, fmt.Errorf("take services out of %s: %w", filepath.Base(p), err)
		}
		if len(had) > 0 {
			fmt.Fprintf(j.log, "cloudjit: left out of %s, as a library asks for: %s\n", filepath.Base(p), strings.Join(had, ", "))
			out[i] = to
		}
	}
	content, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("write metadata: %w", err)
	}
	return out, folder.add("dev.cloudjit", "services", metadata.TraceFile, content)
}

// excludedServices are the services that libraries of a class path exclude, in order.
func excludedServices(classPath []string) ([]string, error) {
	var services []string
	err := eachProperties(classPath, func(_, _ string, content []byte) {
		for _, m := range excludedService.FindAllSubmatch(content, -1) {
			services = append(services, strings.Split(string(m[1]), ",")...)
		}
	})
	slices.Sort(services)
	return slices.DeleteFunc(slices.Compact(services), func(s string) bool { return s == "" }), err
}

// withoutFiles copies an archive without files and returns those that it had; without any there is no copy.
func withoutFiles(from, to string, files []string) ([]string, error) {
	if filepath.Ext(from) != ".jar" {
		return nil, nil // folders hold what we wrote ourselves
	}
	r, err := zip.OpenReader(from)
	if err != nil {
		return nil, err
	}
	var had []string
	for _, f := range r.File {
		if slices.Contains(files, f.Name) {
			had = append(had, f.Name)
		}
	}
	if err := r.Close(); err != nil || len(had) == 0 {
		return nil, err
	}
	return had, copyArchive(from, to, func(name string) bool { return slices.Contains(files, name) })
}
