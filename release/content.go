package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

//go:embed files
var files embed.FS

const hostArch = runtime.GOARCH

// file is one that is installed.
type file struct {
	path   string // on the user's machine, absolute
	data   []byte
	source string // of a large file, in the place of data
	mode   int64
	config bool // the user's to change
}

func (f file) open() (io.ReadCloser, int64, error) {
	if f.source == "" {
		return io.NopCloser(bytes.NewReader(f.data)), int64(len(f.data)), nil
	}
	source, err := os.Open(f.source)
	if err != nil {
		return nil, 0, err
	}
	info, err := source.Stat()
	return source, info.Size(), err
}

// content is what packages install, in the order of the paths.
func (r *release) content(ctx context.Context, binary, work string) ([]file, error) {
	list := []file{{path: "/usr/bin/cloudjit", source: binary, mode: 0o755}}
	pages, err := r.manPages(ctx, binary, work)
	if err != nil {
		return nil, err
	}
	list = append(list, pages...)
	for name, path := range map[string]string{
		"cloudjit.service":  "/usr/lib/systemd/system/cloudjit.service",
		"cloudjit.yaml":     "/etc/cloudjit/cloudjit.yaml",
		"own-user.conf":     "/usr/share/doc/cloudjit/examples/own-user.conf",
		"completion.bash":   "/usr/share/bash-completion/completions/cloudjit",
		"completion.zsh":    "/usr/share/zsh/vendor-completions/_cloudjit",
		"completion.fish":   "/usr/share/fish/vendor_completions.d/cloudjit.fish",
		"lintian-overrides": "/usr/share/lintian/overrides/cloudjit",
	} {
		data, err := files.ReadFile("files/" + name)
		if err != nil {
			return nil, err
		}
		list = append(list, file{path: path, data: data, mode: 0o644, config: strings.HasPrefix(path, "/etc/")})
	}
	for from, path := range map[string]string{"LICENSE": "copyright", "NOTICE": "NOTICE", "README.md": "README.md"} {
		data, err := os.ReadFile(filepath.Join(r.root, from))
		if err != nil {
			return nil, err
		}
		list = append(list, file{path: "/usr/share/doc/cloudjit/" + path, data: data, mode: 0o644})
	}
	changes, err := r.changelog()
	if err != nil {
		return nil, err
	}
	list = append(list, file{path: "/usr/share/doc/cloudjit/changelog.gz", data: squeeze(changes), mode: 0o644})
	slices.SortFunc(list, func(a, b file) int { return strings.Compare(a.path, b.path) })
	return list, nil
}

// manPages lets the product write its own. A program for another machine cannot run, so the first one's stay for all.
func (r *release) manPages(ctx context.Context, binary, dir string) ([]file, error) {
	if _, err := os.Stat(dir); err != nil {
		host := binary
		if r.arches[0] != hostArch && r.binary == "" {
			host = filepath.Join(filepath.Dir(dir), "host-cloudjit")
			if err := r.build(ctx, hostArch, host); err != nil {
				return nil, err
			}
		}
		if out, err := exec.CommandContext(ctx, host, "man", dir).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("write the manual pages: %w: %s", err, out)
		}
	}
	pages, err := filepath.Glob(filepath.Join(dir, "*.1"))
	if err != nil || len(pages) == 0 {
		return nil, fmt.Errorf("no manual pages were written: %w", err)
	}
	var list []file
	for _, p := range pages {
		data, err := os.ReadFile(p)
		if err != nil {
			return nil, err
		}
		list = append(list, file{path: "/usr/share/man/man1/" + filepath.Base(p) + ".gz", data: squeeze(data), mode: 0o644})
	}
	return list, nil
}

// changelog is what users notice, the newest version first.
func (r *release) changelog() ([]byte, error) {
	folders, err := filepath.Glob(filepath.Join(r.root, "changelog", "*", ""))
	if err != nil {
		return nil, err
	}
	slices.Sort(folders)
	slices.Reverse(folders) // "unreleased" comes after all versions
	var b bytes.Buffer
	for _, folder := range folders {
		changes, err := filepath.Glob(filepath.Join(folder, "*.md"))
		if err != nil {
			return nil, err
		}
		if len(changes) == 0 {
			continue
		}
		name := filepath.Base(folder)
		if name == "unreleased" {
			name = r.version
		}
		fmt.Fprintf(&b, "# %s\n\n", strings.Replace(name, "_", ", ", 1))
		for _, c := range changes {
			text, err := os.ReadFile(c)
			if err != nil {
				return nil, err
			}
			fmt.Fprintf(&b, "## %s\n\n", bytes.TrimSpace(text))
		}
	}
	return b.Bytes(), nil
}

// squeeze is gzip without a name or a time.
func squeeze(data []byte) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err) // a buffer takes everything
	}
	return b.Bytes()
}
