package cli

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/client"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/language"
)

// source is a function in a language that an interpreter runs, as it is in a folder, in a single file or in a ZIP.
type source struct {
	language language.Language
	// handlers are those that can be meant.
	handlers []string
	// release is the one that its compiled modules are made for; empty: any.
	release string
	// archive is the ZIP to send; nil: the file that was named is one.
	archive []byte
}

// readSource looks into what the user wants to deploy; nil where it is nothing of the kind.
func readSource(name string) (*source, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("read archive: %w", err)
	}
	switch {
	case info.IsDir():
		archive, err := packFolder(name)
		if err != nil {
			return nil, fmt.Errorf("pack %s: %w", name, err)
		}
		s, err := guessZIP(bytes.NewReader(archive), int64(len(archive)))
		if err != nil || s == nil {
			return nil, errors.Join(err, fmt.Errorf("%s has no source of %s: name a folder with a function in it, or an archive", name, languages()))
		}
		s.archive = archive
		return s, nil
	case ofLanguage(name):
		p := newPacker()
		if err := p.file(name, filepath.Base(name), info); err != nil {
			return nil, fmt.Errorf("pack %s: %w", name, err)
		}
		archive, err := p.end()
		if err != nil {
			return nil, fmt.Errorf("pack %s: %w", name, err)
		}
		s, err := guessZIP(bytes.NewReader(archive), int64(len(archive)))
		if s != nil {
			s.archive = archive
		}
		return s, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read archive: %w", err)
	}
	defer f.Close()
	s, err := guessZIP(f, info.Size())
	if err != nil {
		return nil, nil // jar.Inspect says it better
	}
	return s, nil
}

func languages() string {
	var names []string
	for _, l := range language.All() {
		names = append(names, l.Name)
	}
	return strings.Join(names, " or ")
}

func ofLanguage(name string) bool {
	return slices.ContainsFunc(language.All(), func(l language.Language) bool { return slices.Contains(l.Extensions, path.Ext(name)) })
}

// largestSource is the largest file that is looked through for a handler, in bytes.
const largestSource = 1 << 20

// guessZIP says what an archive holds; nil where it is Java's or a runtime of its own.
func guessZIP(r io.ReaderAt, size int64) (*source, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, err
	}
	var names []string
	byName := map[string]*zip.File{}
	for _, f := range z.File {
		if f.Name == "bootstrap" || f.Name == "META-INF/MANIFEST.MF" || strings.HasSuffix(f.Name, ".class") {
			return nil, nil
		}
		if dir := path.Dir(f.Name); strings.HasSuffix(f.Name, ".jar") && (dir == "." || dir == "lib") {
			return nil, nil
		}
		names = append(names, f.Name)
		byName[f.Name] = f
	}
	l, handlers, ok := language.Guess(names, func(name string) string {
		rc, err := byName[name].Open()
		if err != nil {
			return ""
		}
		defer rc.Close()
		b, _ := io.ReadAll(io.LimitReader(rc, largestSource))
		return string(b)
	})
	if !ok {
		return nil, nil
	}
	s := &source{language: l, handlers: handlers}
	for _, name := range names {
		if m := compiledFor.FindStringSubmatch(name); m != nil && l.Kind == function.KindPython {
			s.release = m[1] + "." + m[2]
			break
		}
	}
	return s, nil
}

// compiledFor is what names of Python's compiled modules say (PEP 3149).
var compiledFor = regexp.MustCompile(`\.cpython-(\d)(\d+)-[^/]*\.so$`)

// packer makes a ZIP. Files keep their times: by them Python knows whether compiled code is that of the source beside it, and
// it takes seconds to compile large libraries at each start.
type packer struct {
	buf bytes.Buffer
	zip *zip.Writer
}

func newPacker() *packer {
	p := &packer{}
	p.zip = zip.NewWriter(&p.buf)
	return p
}

func (p *packer) end() ([]byte, error) {
	if err := p.zip.Close(); err != nil {
		return nil, err
	}
	return p.buf.Bytes(), nil
}

func (p *packer) file(from, name string, info fs.FileInfo) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	h := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: info.ModTime().Truncate(time.Second).UTC()}
	h.SetMode(0o644 | info.Mode().Perm()&0o111)
	w, err := p.zip.CreateHeader(h)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return err
}

// leftOut are what tools keep in a folder beside the function.
var leftOut = []string{".git", ".hg", ".svn", ".venv", ".idea", ".vscode", ".DS_Store", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".tox", ".bin", ".cache"}

// deepest is how deep folders may lie: links that lead back are found so.
const deepest = 60

// packFolder makes an archive of everything in a folder that can belong to a function. What links lead to is in it: an archive
// has no links.
func packFolder(dir string) ([]byte, error) {
	p := newPacker()
	var walk func(from, name string, depth int) error
	walk = func(from, name string, depth int) error {
		if depth > deepest {
			return fmt.Errorf("%s is more than %d folders deep: does a link lead back?", name, deepest)
		}
		entries, err := os.ReadDir(from)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if slices.Contains(leftOut, e.Name()) {
				continue
			}
			full, inner := filepath.Join(from, e.Name()), path.Join(name, e.Name())
			info, err := os.Stat(full)
			if err != nil {
				return err
			}
			switch {
			case info.IsDir():
				err = walk(full, inner, depth+1)
			case info.Mode().IsRegular():
				err = p.file(full, inner, info)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	if err := walk(dir, "", 0); err != nil {
		return nil, err
	}
	return p.end()
}

// handler is the only one that can be meant, or an error that says what to do.
func (s *source) handler() (string, error) {
	switch ext := s.language.Extensions[0]; len(s.handlers) {
	case 1:
		return s.handlers[0], nil
	case 0:
		return "", &usageError{fmt.Sprintf("no function named handler is in the files at the root: say which with --handler, as app.handler for the function handler in app%s", ext)}
	}
	return "", &usageError{"several functions could be the handler: choose one with --handler: " + strings.Join(first(s.handlers, 10), ", ")}
}

// runtime is the newest that the server can run; of a function that is there already the one that it has.
func (s *source) runtime(c *Context, has string) (string, error) {
	if slices.Contains(s.language.Runtimes, has) && (s.release == "" || has == s.language.Runtime(s.release)) {
		return has, nil
	}
	var health struct{ Runtimes []string }
	if err := c.Client.Call(c, http.MethodGet, client.Own+"/health", nil, &health); err != nil {
		return "", err
	}
	for _, r := range slices.Backward(s.language.Runtimes) {
		if slices.Contains(health.Runtimes, r) && (s.release == "" || r == s.language.Runtime(s.release)) {
			return r, nil
		}
	}
	if s.release != "" {
		return "", fmt.Errorf("the compiled modules in it are for %s %s, and the server does not have that: install it there, or put in modules for one of %s",
			s.language.Name, s.release, strings.Join(health.Runtimes, ", "))
	}
	return "", fmt.Errorf("the server has no %s: install it there (\"cloudjit doctor\" says what is found), or name a runtime with --runtime", s.language.Name)
}
