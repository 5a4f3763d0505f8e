package toolchain

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// glue is what has to be added to the published packages to make a builder of them: see
// docs/native-image-assembled.md for the parts.
//
//go:embed glue
var glue embed.FS

// writeGlue lays a folder of the glue out below dir and returns its files.
func writeGlue(folder, dir string) (files []string, err error) {
	sub, err := fs.Sub(glue, "glue/"+folder)
	if err != nil {
		return nil, err
	}
	err = fs.WalkDir(sub, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(sub, name)
		if err != nil {
			return err
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		files = append(files, path)
		return os.WriteFile(path, data, 0o644)
	})
	return files, err
}

// glueHash changes whenever a file of the glue does.
func glueHash() string {
	h := sha256.New()
	// The embedded file system always walks, in order of names.
	_ = fs.WalkDir(glue, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := glue.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		fmt.Fprintf(h, "%s\n", name)
		_, err = io.Copy(h, f)
		return err
	})
	return hex.EncodeToString(h.Sum(nil))
}
