package jar

import (
	"archive/zip"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cloudjit/cloudjit/internal/jar/classfile"
)

// ClassPath finds classes in an extracted application, in the order in which a JVM would.
type ClassPath struct {
	parts []part
}

// part is a folder or a JAR.
type part struct {
	folder string
	files  map[string]*zip.File
	close  func() error
}

// OpenClassPath opens the folders and JARs of a class path, which were extracted before. Missing
// ones are left out, as a JVM does.
func OpenClassPath(paths []string) (*ClassPath, error) {
	c := &ClassPath{}
	for _, p := range paths {
		st, err := os.Stat(p)
		if err != nil {
			continue
		}
		if st.IsDir() {
			c.parts = append(c.parts, part{folder: p})
			continue
		}
		z, err := zip.OpenReader(p)
		if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
			c.Close()
			return nil, fmt.Errorf("open class path: %s: %w", filepath.Base(p), err)
		}
		files := make(map[string]*zip.File, len(z.File))
		for _, f := range z.File {
			files[f.Name] = f
		}
		c.parts = append(c.parts, part{files: files, close: z.Close})
	}
	return c, nil
}

// Close closes the JARs.
func (c *ClassPath) Close() error {
	var errs []error
	for _, p := range c.parts {
		if p.close != nil {
			errs = append(errs, p.close())
		}
	}
	return errors.Join(errs...)
}

// Has reports whether a class is there.
func (c *ClassPath) Has(class string) bool { return c.read(classFile(class)) != nil }

// Find parses a class; nil if it is not there (the JDK's are not) or broken.
func (c *ClassPath) Find(class string) *classfile.Class {
	b := c.read(classFile(class))
	if b == nil {
		return nil
	}
	parsed, err := classfile.Parse(b)
	if err != nil || parsed.Name != class {
		return nil
	}
	return parsed
}

func (c *ClassPath) read(file string) []byte {
	if !filepath.IsLocal(filepath.FromSlash(file)) {
		return nil
	}
	for _, p := range c.parts {
		if p.folder != "" {
			if b, err := os.ReadFile(filepath.Join(p.folder, filepath.FromSlash(file))); err == nil {
				return b
			}
			continue
		}
		if f := p.files[file]; f != nil && f.UncompressedSize64 <= largestSmallFile {
			return readSmall(f)
		}
	}
	return nil
}

// Each calls visit with every class of the class path until it returns false. Broken files and
// folders are passed over.
func (c *ClassPath) Each(visit func(class string, content []byte) bool) {
	for _, p := range c.parts {
		if p.folder != "" {
			if !eachInFolder(p.folder, visit) {
				return
			}
			continue
		}
		for name, f := range p.files {
			class, ok := className(name)
			if !ok || f.UncompressedSize64 > largestSmallFile {
				continue
			}
			if b := readSmall(f); b != nil && !visit(class, b) {
				return
			}
		}
	}
}

var errStop = errors.New("stop")

func eachInFolder(folder string, visit func(string, []byte) bool) bool {
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		rel, err := filepath.Rel(folder, path)
		if err != nil {
			return nil
		}
		class, ok := className(filepath.ToSlash(rel))
		if !ok {
			return nil
		}
		if b, err := os.ReadFile(path); err == nil && !visit(class, b) {
			return errStop
		}
		return nil
	})
	return !errors.Is(err, errStop)
}

// Names visits the names of all files, "a/b/text.properties", part by part in no further order. Folders that cannot
// be read are left out.
func (c *ClassPath) Names(visit func(name string)) {
	for _, p := range c.parts {
		for name := range p.files {
			if !strings.HasSuffix(name, "/") {
				visit(name)
			}
		}
		if p.folder == "" {
			continue
		}
		_ = filepath.WalkDir(p.folder, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return nil
			}
			if name, err := filepath.Rel(p.folder, path); err == nil {
				visit(filepath.ToSlash(name))
			}
			return nil
		})
	}
}
