package answers

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Archive puts together what is deployed from what Maven made of a module: of libraries in it a ZIP with lib/, as
// AWS Lambda takes them; without any one JAR. What stands in src/main/c becomes lib/libfeatures.so.
func Archive(module string) ([]byte, error) {
	target := filepath.Join(module, "target")
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
	if source := filepath.Join(module, "src", "main", "c", "features.c"); exists(source) {
		if err := compileInto(w, source, filepath.Join(target, "libfeatures.so")); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// compileInto adds a native library.
func compileInto(w *zip.Writer, source, library string) error {
	if out, err := exec.Command("gcc", "-shared", "-fPIC", "-O1", "-Wl,--build-id=none", "-o", library, source).CombinedOutput(); err != nil {
		return fmt.Errorf("compile %s: %w: %s", source, err, out)
	}
	content, err := os.ReadFile(library)
	if err != nil {
		return err
	}
	f, err := w.CreateHeader(&zip.FileHeader{Name: "lib/" + filepath.Base(library), Method: zip.Deflate})
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return err
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
