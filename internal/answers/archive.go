package answers

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Archive puts together what is deployed from what Maven made in a folder: of libraries in it a ZIP with lib/, as
// AWS Lambda takes them; without any one JAR.
func Archive(target string) ([]byte, error) {
	libraries, err := filepath.Glob(filepath.Join(target, "lib", "*.jar"))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	own, other := []string{filepath.Join(target, "features.jar")}, []string{}
	for _, library := range libraries {
		if name := filepath.Base(library); strings.HasPrefix(name, "features-common") || strings.HasPrefix(name, "aws-lambda-java-core") {
			own = append(own, library)
		} else {
			other = append(other, library)
		}
	}
	seen := map[string]bool{}
	for _, jar := range own {
		if err := unpackInto(w, jar, seen); err != nil {
			return nil, fmt.Errorf("archive %s: %w", jar, err)
		}
	}
	for _, library := range other {
		content, err := os.ReadFile(library)
		if err != nil {
			return nil, err
		}
		f, err := w.CreateHeader(&zip.FileHeader{Name: "lib/" + filepath.Base(library), Method: zip.Store})
		if err != nil {
			return nil, err
		}
		if _, err := f.Write(content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// unpackInto copies the entries of a JAR; of equal names the first stays.
func unpackInto(w *zip.Writer, jar string, seen map[string]bool) error {
	r, err := zip.OpenReader(jar)
	if err != nil {
		return err
	}
	defer r.Close()
	for _, e := range r.File {
		if seen[e.Name] || strings.HasPrefix(e.Name, "META-INF/maven/") {
			continue
		}
		seen[e.Name] = true
		f, err := w.CreateHeader(&zip.FileHeader{Name: e.Name, Method: zip.Deflate})
		if err != nil {
			return err
		}
		in, err := e.Open()
		if err != nil {
			return err
		}
		_, err = io.Copy(f, in)
		if err = errors.Join(err, in.Close()); err != nil {
			return err
		}
	}
	return nil
}
