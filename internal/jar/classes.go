package jar

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// errAsks is a class that asks where it was loaded from.
var errAsks = errors.New("a class asks for its code source")

// PackClasses writes the classes that lie in the folder itself, not those in JARs, into the new JAR to, whose
// manifest leads to the folder shown, where everything else is found as before: a JVM keeps classes of JARs in
// its caches, and none of a folder. It returns false, and writes no JAR, where a class asks for its code
// source, which would be another one.
func PackClasses(folder, to, shown string) (bool, error) {
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return false, fmt.Errorf("pack classes: %w", err)
	}
	defer f.Close()
	w := zip.NewWriter(f)
	// A path would be looked at when a cache is made, and the folder refused there; a URL is not (JDK 17 to 25).
	err = store(w, "META-INF/MANIFEST.MF", []byte("Manifest-Version: 1.0\r\nClass-Path: file:"+shown+"/\r\n\r\n"))
	if err == nil {
		err = packFolder(w, folder)
	}
	err = errors.Join(err, w.Close(), f.Close())
	if err == nil {
		return true, nil
	}
	_ = os.Remove(to)
	if errors.Is(err, errAsks) {
		return false, nil
	}
	return false, fmt.Errorf("pack classes: %w", err)
}

func packFolder(w *zip.Writer, folder string) error {
	return filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		switch {
		case d.IsDir() && name == "META-INF":
			return fs.SkipDir
		case !d.Type().IsRegular() || !strings.HasSuffix(name, ".class"):
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if bytes.Contains(b, []byte("getCodeSource")) {
			return errAsks
		}
		return store(w, name, b)
	})
}

// store adds a file as it is: a JVM reads it sooner. It has no time, so that the same classes make the same JAR.
func store(w *zip.Writer, name string, b []byte) error {
	e, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
	if err == nil {
		_, err = e.Write(b)
	}
	return err
}
