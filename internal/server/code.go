package server

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/cloudjit/cloudjit/internal/artifact"
	"github.com/cloudjit/cloudjit/internal/jar"
	"github.com/cloudjit/cloudjit/internal/launch"
)

// code unpacks uploaded archives, each once, and knows what is in them.
type code struct {
	store  *artifact.Store
	limits jar.Limits
	known  sync.Map // SHA-256 -> unpacked
}

// unpacked is an archive on disk.
type unpacked struct {
	dir     string // what the sandbox sees as /var/task
	classes string // JAR of the classes in dir itself; empty: there are none, or they must stay there
	info    *jar.Info
}

const (
	codeFolder    = "code"
	filesFolder   = "files"
	classesFolder = "classes"
	classesFile   = "classes.jar"
	infoFile      = "info.json"
)

// unpackedAt is the time of all JARs on a class path: a JVM compares it with what its cache was made of, and
// code that is unpacked a second time is the same.
var unpackedAt = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// open returns an archive's folder, unpacking it first where that was not done yet.
func (c *code) open(ctx context.Context, sha string) (unpacked, error) {
	if u, ok := c.known.Load(sha); ok {
		// The API removes archives that no function has; the same one may come again later. What was
		// unpacked and is damaged is unpacked again.
		if tree, err := c.store.Known(sha); err == nil && filepath.Dir(u.(unpacked).dir) == tree {
			return u.(unpacked), nil
		}
	}
	tree, err := c.store.Tree(ctx, sha, func(blob, dir string) error {
		folder := filepath.Join(dir, codeFolder)
		if err := os.Mkdir(folder, 0o755); err != nil {
			return err
		}
		info, err := jar.Unpack(blob, folder, c.limits)
		if err != nil {
			return err
		}
		for _, p := range info.ClassPath(folder) {
			if err := os.Chtimes(p, unpackedAt, unpackedAt); err != nil {
				return err
			}
		}
		b, err := json.Marshal(info)
		if err != nil {
			return err
		}
		if slices.Contains(info.Paths, ".") {
			if _, err := packClasses(dir); err != nil {
				return fmt.Errorf("pack the classes: %w", err)
			}
		}
		return os.WriteFile(filepath.Join(dir, infoFile), b, 0o644)
	})
	if err != nil {
		return unpacked{}, err
	}
	b, err := os.ReadFile(filepath.Join(tree, infoFile))
	if err != nil {
		return unpacked{}, fmt.Errorf("read what is known of code %s: %w", sha, err)
	}
	u := unpacked{dir: filepath.Join(tree, codeFolder), info: new(jar.Info)}
	if err := json.Unmarshal(b, u.info); err != nil {
		return unpacked{}, fmt.Errorf("read what is known of code %s: %w", sha, err)
	}
	if slices.Contains(u.info.Paths, ".") {
		if u.classes, err = packClasses(tree); err != nil {
			return unpacked{}, fmt.Errorf("pack the classes of code %s: %w", sha, err)
		}
	}
	c.known.Store(sha, u)
	return u, nil
}

// files returns the folder of an archive's files as they are: what languages other than Java see as /var/task.
func (c *code) files(ctx context.Context, sha string) (string, error) {
	u, err := c.open(ctx, sha)
	if err != nil || u.info.Layout == jar.LayoutFiles {
		return u.dir, err
	}
	// An archive that looks like a JAR was rearranged.
	tree := filepath.Dir(u.dir)
	final := filepath.Join(tree, filesFolder)
	if _, err := os.Stat(final); err == nil {
		return final, nil
	}
	blob, err := c.store.Path(sha)
	if err != nil {
		return "", err
	}
	if err := addFolder(final, func(tmp string) error { return jar.UnpackFiles(blob, tmp, c.limits) }); err != nil {
		return "", fmt.Errorf("unpack code %s: %w", sha, err)
	}
	return final, nil
}

// addFolder makes a folder of what fill puts into an empty one, whole or not at all, unless another one is first.
func addFolder(final string, fill func(tmp string) error) error {
	tmp, err := os.MkdirTemp(filepath.Dir(final), "."+filepath.Base(final)+"-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := fill(tmp); err != nil {
		return err
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := os.Rename(tmp, final); err != nil {
		if _, statErr := os.Stat(final); statErr != nil {
			return err
		} // another one was first
	}
	return nil
}

// packClasses returns the JAR of the classes that lie in the folder of code itself, and makes it where an
// earlier version unpacked the archive without.
func packClasses(tree string) (string, error) {
	final := filepath.Join(tree, classesFolder)
	file := filepath.Join(final, classesFile)
	if _, err := os.Stat(final); err == nil {
		if _, err := os.Stat(file); err != nil {
			return "", nil // found out before that they must stay
		}
		return file, nil
	}
	ok := false
	if err := addFolder(final, func(tmp string) (err error) {
		packed := filepath.Join(tmp, classesFile)
		if ok, err = jar.PackClasses(filepath.Join(tree, codeFolder), packed, launch.TaskDir); err == nil && ok {
			err = os.Chtimes(packed, unpackedAt, unpackedAt)
		}
		return err
	}); err != nil || !ok {
		return "", err
	}
	return file, nil
}
