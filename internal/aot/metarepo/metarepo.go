// Package metarepo reads the GraalVM community's reachability metadata repository: metadata of
// libraries that ship none, by Maven coordinates. It is one ZIP on Maven Central, fetched once
// and checked against a known hash. The package knows nothing of builds.
package metarepo

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/jar"
)

// Source is where a version of the repository is and what it must be.
type Source struct {
	Version string
	SHA256  string // hex, of the ZIP
	// BaseURL is a Maven repository's; empty: Maven Central's.
	BaseURL string
	// Cache is the folder that the ZIP is kept in.
	Cache string
	// Local is a Maven repository on disk that is looked into first; empty: none.
	Local string
	// Client is used to download; nil: one that honours the environment's proxies.
	Client *http.Client
}

// Known is the version that CloudJIT was tested with.
func Known(cache string) *Source {
	return &Source{
		Version: "0.10.6",
		SHA256:  "65436cd741ecc774ec8574926c0c30f8f48b76bd8a161d61ab6d3ff2a6411ddf",
		Cache:   cache,
	}
}

const (
	central = "https://repo.maven.apache.org/maven2"
	// largest is far above the 300 KB that versions have.
	largest = 64 << 20
	// downloadTime is generous for that size; builds go on without the repository after it.
	downloadTime = 30 * time.Second
)

func (s *Source) artifact() string {
	return "org/graalvm/buildtools/graalvm-reachability-metadata/" + s.Version + "/graalvm-reachability-metadata-" + s.Version + "-repository.zip"
}

// Open returns the repository, downloading it if it is not in the cache.
func (s *Source) Open(ctx context.Context) (*Repository, error) {
	name := filepath.Join(s.Cache, "reachability-metadata-"+s.Version+"-"+s.SHA256[:min(12, len(s.SHA256))]+".zip")
	for _, p := range []string{name, s.inLocal()} {
		if p == "" {
			continue
		}
		if b, err := os.ReadFile(p); err == nil && s.fits(b) {
			return read(b)
		}
	}
	b, err := s.download(ctx)
	if err != nil {
		return nil, fmt.Errorf("fetch reachability metadata repository %s: %w", s.Version, err)
	}
	if err := keep(name, b); err != nil {
		return nil, fmt.Errorf("keep reachability metadata repository: %w", err)
	}
	return read(b)
}

func (s *Source) inLocal() string {
	if s.Local == "" {
		return ""
	}
	return filepath.Join(s.Local, filepath.FromSlash(s.artifact()))
}

func (s *Source) fits(b []byte) bool {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]) == s.SHA256
}

func (s *Source) download(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, downloadTime)
	defer cancel()
	base, client := s.BaseURL, s.Client
	if base == "" {
		base = central
	}
	if client == nil {
		client = http.DefaultClient
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base, "/")+"/"+s.artifact(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server answered %s", resp.Status)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, largest+1))
	if err != nil {
		return nil, err
	}
	if len(b) > largest || !s.fits(b) {
		return nil, errors.New("what arrived is not the file that was expected: its SHA-256 differs")
	}
	return b, nil
}

func keep(name string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".download-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// Repository is an opened repository.
type Repository struct {
	files   map[string]*zip.File
	modules map[string][]string // artifact -> modules "group:artifact"
}

// Entry is the metadata of one library.
type Entry struct {
	// Module is "group:artifact"; Version is the metadata's, not the library's.
	Module, Version string
	// Override is true if the metadata in the library's own JAR must be left out.
	Override bool
	// Files are the configuration files by their base names, in native-image's formats.
	Files map[string][]byte
}

func read(b []byte) (*Repository, error) {
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, fmt.Errorf("read reachability metadata repository: %w", err)
	}
	r := &Repository{files: map[string]*zip.File{}, modules: map[string][]string{}}
	for _, f := range z.File {
		r.files[f.Name] = f
		parts := strings.Split(f.Name, "/")
		if len(parts) == 3 && parts[2] == "index.json" {
			r.modules[parts[1]] = append(r.modules[parts[1]], parts[0]+":"+parts[1])
		}
	}
	return r, nil
}

// index is one element of a module's index.json, as the repository's CONTRIBUTING.md describes it.
type index struct {
	Latest     bool     `json:"latest"`
	Override   bool     `json:"override"`
	Version    string   `json:"metadata-version"`
	DefaultFor string   `json:"default-for"` // regular expression over library versions
	Tested     []string `json:"tested-versions"`
	Module     string   `json:"module"`
}

// Find returns the metadata of a library: that of its very version, else of the range of versions
// that the repository names, else the latest. A library without a group is found by its artifact
// if no other group has one of that name.
func (r *Repository) Find(lib jar.Library) (Entry, bool) {
	module := lib.Group + ":" + lib.Artifact
	if lib.Group == "" {
		candidates := r.modules[lib.Artifact]
		if len(candidates) != 1 {
			return Entry{}, false
		}
		module = candidates[0]
	}
	folder := strings.Replace(module, ":", "/", 1)
	var all []index
	if err := json.Unmarshal(r.read(folder+"/index.json"), &all); err != nil {
		return Entry{}, false
	}
	chosen := choose(all, lib.Version)
	if chosen == nil || chosen.Module != "" && chosen.Module != module {
		return Entry{}, false
	}
	e := Entry{Module: module, Version: chosen.Version, Override: chosen.Override, Files: map[string][]byte{}}
	folder += "/" + chosen.Version
	var names []string
	if err := json.Unmarshal(r.read(folder+"/index.json"), &names); err != nil {
		return Entry{}, false
	}
	for _, name := range names {
		if b := r.read(folder + "/" + name); b != nil && path.Base(name) == name {
			e.Files[name] = b
		}
	}
	return e, len(e.Files) > 0
}

func choose(all []index, version string) *index {
	for i := range all {
		if slices.Contains(all[i].Tested, version) {
			return &all[i]
		}
	}
	for i := range all {
		if all[i].DefaultFor == "" {
			continue
		}
		if re, err := regexp.Compile("^(?:" + all[i].DefaultFor + ")$"); err == nil && re.MatchString(version) {
			return &all[i]
		}
	}
	for i := range all {
		if all[i].Latest {
			return &all[i]
		}
	}
	return nil
}

func (r *Repository) read(name string) []byte {
	f := r.files[name]
	if f == nil || f.UncompressedSize64 > largest {
		return nil
	}
	rc, err := f.Open()
	if err != nil {
		return nil
	}
	defer rc.Close()
	b, err := io.ReadAll(io.LimitReader(rc, largest))
	if err != nil {
		return nil
	}
	return b
}
