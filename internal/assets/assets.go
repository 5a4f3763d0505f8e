// Package assets carries the files that functions run with, inside the cloudjit binary: the runtime clients, the
// tracer, and what takes part in building images. It must not know what they are for.
package assets

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

//go:embed files python nodejs
var files embed.FS

// Names of the embedded folders.
const (
	Python = "python"
	NodeJS = "nodejs"
)

// Names of the embedded files.
const (
	Runtime       = "runtime.jar"
	Serialization = "serialization.jar"
	Tracer        = "tracer.jar"
	Image         = "image.jar"
	// Agent is the first process of a microVM's guest, an executable.
	Agent = "guest-agent"
)

// Install writes an embedded file into a folder of dir named by its hash, unless it is there
// already, and returns its path. Different versions stand side by side.
func Install(dir, name string) (string, error) {
	content, err := files.ReadFile("files/" + name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("this cloudjit was built without %s: build it with \"make build\"", name)
	}
	if err != nil {
		return "", fmt.Errorf("install %s: %w", name, err)
	}
	sum := sha256.Sum256(content)
	path := filepath.Join(dir, hex.EncodeToString(sum[:8]), name)
	if err := write(path, content); err != nil {
		return "", err
	}
	return path, nil
}

// InstallFolder writes an embedded folder into one of dir named by its hash, where it is not there already, and
// returns its path.
func InstallFolder(dir, name string) (string, error) {
	list, err := files.ReadDir(name)
	if err != nil {
		return "", fmt.Errorf("install %s: %w", name, err)
	}
	content := map[string][]byte{}
	sum := sha256.New()
	for _, e := range list {
		b, err := files.ReadFile(name + "/" + e.Name())
		if err != nil {
			return "", fmt.Errorf("install %s: %w", name, err)
		}
		content[e.Name()] = b
		fmt.Fprintf(sum, "%s %d\n%s", e.Name(), len(b), b)
	}
	if name == NodeJS {
		content["reseed.node"] = reseedAddon()
		sum.Write(content["reseed.node"])
	}
	path := filepath.Join(dir, hex.EncodeToString(sum.Sum(nil)[:8]), name)
	for file, b := range content {
		if err := write(filepath.Join(path, file), b); err != nil {
			return "", err
		}
	}
	return path, nil
}

// written is the time of all files: a JVM compares that of a JAR with what its cache was made of, and the cache may be another
// node's.
var written = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// write makes a file, unless it is there already.
func write(path string, content []byte) error {
	name := filepath.Base(path)
	if info, err := os.Stat(path); err == nil && info.Size() == int64(len(content)) {
		if !info.ModTime().Equal(written) { // an earlier version wrote it
			_ = os.Chtimes(path, written, written) // of somebody else: it is as good, for this machine
		}
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("install %s: %w", name, err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), name+".")
	if err != nil {
		return fmt.Errorf("install %s: %w", name, err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(content)
	err = errors.Join(err, tmp.Chmod(0o444), os.Chtimes(tmp.Name(), written, written), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("install %s: %w", name, err)
	}
	return nil
}
