package nativeimage

import (
	"archive/zip"
	"io"
	"os"
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

func readEntry(f *zip.File) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}
