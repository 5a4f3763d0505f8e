package toolchain

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cloudjit/cloudjit/internal/untar"
)

// unpackLimits are several times what the largest distribution has.
var unpackLimits = untar.Limits{Bytes: 4 << 30, Entries: 100_000}

// unpack extracts a .tar.gz that holds one folder into dir and returns the folder. Nothing is
// written outside dir, whatever names and links the archive holds: all goes through os.Root.
func unpack(ctx context.Context, archive, dir string, max untar.Limits) (string, error) {
	f, err := os.Open(archive)
	if err != nil {
		return "", err
	}
	defer f.Close()
	zipped, err := gzip.NewReader(f)
	if err != nil {
		return "", err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	top := ""
	for e, err := range untar.Entries(zipped, max) {
		if err := errors.Join(err, ctx.Err()); err != nil {
			return "", err
		}
		first, _, _ := strings.Cut(e.Name, "/")
		if top == "" {
			top = first
		}
		if first != top {
			return "", fmt.Errorf("%w: %q and %q at the top, expected one folder", untar.ErrUnsafe, top, first)
		}
		if err := e.Extract(root, e.Name, e.Executable(), top); err != nil { // links hold after the folder was renamed, too
			return "", fmt.Errorf("%s: %w", e.Name, err)
		}
	}
	if _, err := io.Copy(io.Discard, zipped); err != nil { // the checksum at the end
		return "", err
	}
	if top == "" {
		return "", errors.New("the archive is empty")
	}
	unpacked := filepath.Join(dir, top)
	return unpacked, checkLinks(unpacked)
}

// checkLinks makes sure that no link leads out of dir, by way of other links either: each was
// checked by its text alone when it was made.
func checkLinks(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink == 0 {
			return err
		}
		if _, err := root.Stat(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: link %s: %w", untar.ErrUnsafe, name, err)
		}
		return nil
	})
}
