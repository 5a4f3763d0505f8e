package nativeimage

import (
	"archive/zip"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// copyArchive copies an archive but for the entries that drop names.
func copyArchive(from, to string, drop func(name string) bool) error {
	r, err := zip.OpenReader(from)
	if err != nil {
		return err
	}
	defer r.Close()
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	defer f.Close()
	w := zip.NewWriter(f)
	for _, e := range r.File {
		if drop(e.Name) {
			continue
		}
		if e.FileInfo().IsDir() {
			// Maven's plug-ins deflate a folder's nothing to two bytes, which Copy refuses.
			if _, err := w.CreateHeader(&zip.FileHeader{Name: e.Name, Modified: e.Modified}); err != nil {
				return err
			}
			continue
		}
		if err := w.Copy(e); err != nil { // as it is, not unpacked
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return f.Close()
}

// eachProperties visits the native-image.properties of the archives on a class path. Folders hold
// what we wrote ourselves.
func eachProperties(classPath []string, visit func(name string, content []byte)) error {
	for _, p := range classPath {
		if filepath.Ext(p) != ".jar" {
			continue
		}
		r, err := zip.OpenReader(p)
		if err != nil {
			return err
		}
		for _, f := range r.File {
			if !strings.HasPrefix(f.Name, "META-INF/native-image/") || path.Base(f.Name) != "native-image.properties" {
				continue
			}
			content, err := readEntry(f)
			if err != nil {
				r.Close()
				return err
			}
			visit(f.Name, content)
		}
		r.Close()
	}
	return nil
}

func readEntry(f *zip.File) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}
