package aot

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// File is a file by what a JVM would look at.
type File struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
	Time int64  `json:"time"` // of the last change, ns since 1970
}

// Look is a file as it is now. A folder is refused: its contents are not seen.
func Look(path string) (File, error) {
	st, err := os.Stat(path)
	if err != nil {
		return File{}, err
	}
	if !st.Mode().IsRegular() {
		return File{}, fmt.Errorf("%s is no file", path)
	}
	return File{filepath.Base(path), st.Size(), st.ModTime().UnixNano()}, nil
}

// LookAll is Look of each.
func LookAll(paths []string) ([]File, error) {
	files := make([]File, len(paths))
	for i, p := range paths {
		var err error
		if files[i], err = Look(p); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// JDKIdentity tells builds of JDKs apart, an update in place too: by what the release says of itself, and by
// size and time of the JVM and of its classes.
func JDKIdentity(home string) (string, error) {
	doc, err := os.ReadFile(filepath.Join(home, "release"))
	if err != nil {
		return "", err
	}
	files, err := LookAll([]string{filepath.Join(home, "lib", "modules"), filepath.Join(home, "lib", "server", "libjvm.so")})
	if err != nil {
		return "", err
	}
	h := sha256.New()
	_, _ = h.Write(doc)
	if err := json.NewEncoder(h).Encode(files); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
