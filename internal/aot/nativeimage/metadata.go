package nativeimage

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/cloudjit/cloudjit/internal/aot/metarepo"
	"github.com/cloudjit/cloudjit/internal/jar"
)

// metadataFolder is a part of the class path that holds nothing but metadata, in the place
// where native-image looks for it.
type metadataFolder struct{ dir string }

func (m metadataFolder) add(group, artifact, file string, content []byte) error {
	dir := filepath.Join(m.dir, "META-INF", "native-image", group, artifact)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write metadata: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, file), content, 0o644); err != nil {
		return fmt.Errorf("write metadata: %w", err)
	}
	return nil
}

// addCommunity adds the community's metadata of the application's libraries and returns what of
// the application's own it replaces. A repository that cannot be had makes the build poorer,
// not impossible: the tracer's metadata is what counts.
func (m metadataFolder) addCommunity(ctx context.Context, src *metarepo.Source, libs []jar.Library, log io.Writer) ([]exclusion, error) {
	if src == nil || len(libs) == 0 {
		return nil, nil
	}
	repo, err := src.Open(ctx)
	if err != nil {
		fmt.Fprintf(log, "cloudjit: building without the community's metadata: %v\n", err)
		return nil, nil
	}
	var out []exclusion
	seen := map[string]bool{}
	for _, lib := range libs {
		e, ok := repo.Find(lib)
		if !ok || seen[e.Module] {
			continue
		}
		seen[e.Module] = true
		group, artifact := splitModule(e.Module)
		// A name of its own, so that the library's own files are told apart by --exclude-config.
		for file, content := range e.Files {
			if err := m.add("dev.cloudjit.community", group+"."+artifact, file, content); err != nil {
				return nil, err
			}
		}
		if e.Override {
			out = append(out, overridden(e))
		}
		fmt.Fprintf(log, "cloudjit: metadata of %s %s from the community's repository (%s)\n", e.Module, lib.Version, e.Version)
	}
	return out, nil
}

func splitModule(module string) (group, artifact string) {
	group, artifact, _ = strings.Cut(module, ":")
	return group, artifact
}
