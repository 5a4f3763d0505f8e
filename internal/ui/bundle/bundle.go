// Package bundle makes the page's files from their sources: npm packages by exact version and SHA-512,
// and esbuild as a library, so that Go alone is needed.
//
// Its result is part of the tree (internal/ui/dist), so that a build of the server needs neither this
// package nor a network. It must not be imported by what serves.
package bundle

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/evanw/esbuild/pkg/api"

	"github.com/cloudjit/cloudjit/internal/untar"
)

// Package is one npm package.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// Integrity is "sha512-" and the archive's SHA-512 in base64, as the registry says it.
	Integrity string `json:"integrity"`
	License   string `json:"license"`
	// Test says that the page has nothing of it.
	Test bool `json:"test,omitempty"`
}

// registry is asked for packages, or the one that npm's own variable names.
const registry = "https://registry.npmjs.org"

const (
	maxArchive = 64 << 20
	maxFiles   = 256 << 20
)

// Modules makes sure that the packages of a lock file are unpacked in the cache, and returns the folder that
// has them by name.
func Modules(ctx context.Context, lock, cache string) (string, []Package, error) {
	doc, err := os.ReadFile(lock)
	if err != nil {
		return "", nil, fmt.Errorf("read the list of packages: %w", err)
	}
	var packages []Package
	if err := json.Unmarshal(doc, &packages); err != nil {
		return "", nil, fmt.Errorf("read %s: %w", lock, err)
	}
	sum := sha256.Sum256(doc)
	dir := filepath.Join(cache, "npm", hex.EncodeToString(sum[:8]))
	if _, err := os.Stat(dir); err == nil {
		return dir, packages, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", nil, err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".new-")
	if err != nil {
		return "", nil, err
	}
	defer os.RemoveAll(tmp)
	for _, p := range packages {
		archive, err := download(ctx, &p)
		if err == nil {
			err = unpack(archive, filepath.Join(tmp, filepath.FromSlash(p.Name)))
		}
		if err != nil {
			return "", nil, fmt.Errorf("npm package %s %s: %w", p.Name, p.Version, err)
		}
	}
	if err := os.Rename(tmp, dir); err != nil && !exists(dir) { // another may have been faster
		return "", nil, err
	}
	return dir, packages, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func download(ctx context.Context, p *Package) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	base := strings.TrimSuffix(cmp.Or(os.Getenv("npm_config_registry"), registry), "/")
	url := base + "/" + p.Name + "/-/" + path.Base(p.Name) + "-" + p.Version + ".tgz"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, res.Status)
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, maxArchive))
	if err != nil {
		return nil, err
	}
	sum := sha512.Sum512(b)
	if got := "sha512-" + base64.StdEncoding.EncodeToString(sum[:]); got != p.Integrity {
		return nil, fmt.Errorf("%s: its checksum is %s, want %s", url, got, p.Integrity)
	}
	return b, nil
}

func unpack(archive []byte, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	z, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for e, err := range untar.Entries(z, untar.Limits{Bytes: maxFiles, Entries: 10_000}) {
		if err != nil {
			return err
		}
		_, name, ok := strings.Cut(e.Name, "/") // all is in one folder
		if !e.IsFile() || !ok {
			continue
		}
		if err := e.Extract(root, name, 0o644, "."); err != nil {
			return err
		}
	}
	return nil
}

// Build makes the page's files, by name, of the sources in src.
func Build(src, modules string) (map[string][]byte, error) {
	r := api.Build(api.BuildOptions{
		EntryPoints: []string{filepath.Join(src, "main.jsx")}, EntryNames: "app", Outdir: "/out", Bundle: true, Format: api.FormatESModule, Target: api.ES2022,
		JSX: api.JSXAutomatic, JSXImportSource: "preact", NodePaths: []string{modules}, AbsWorkingDir: src,
		MinifyIdentifiers: true, MinifySyntax: true, MinifyWhitespace: true, LegalComments: api.LegalCommentsNone, Charset: api.CharsetUTF8,
		MainFields: []string{"module", "main"}, LogLevel: api.LogLevelSilent,
	})
	if len(r.Errors) > 0 {
		return nil, errors.New(strings.Join(api.FormatMessages(r.Errors, api.FormatMessagesOptions{Kind: api.ErrorMessage}), "\n"))
	}
	out := map[string][]byte{}
	for _, f := range r.OutputFiles {
		out[filepath.Base(f.Path)] = f.Contents
	}
	for _, name := range []string{"index.html", "icon.svg"} {
		b, err := os.ReadFile(filepath.Join(src, name))
		if err != nil {
			return nil, err
		}
		out[name] = b
	}
	return out, nil
}
