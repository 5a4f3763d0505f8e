package toolchain

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// limits of an archive, so that a hostile one does not fill the disk.
type limits struct {
	bytes   int64 // of all files together
	entries int
}

// unpackLimits are several times what the largest distribution has.
var unpackLimits = limits{bytes: 4 << 30, entries: 100_000}

var errUnsafe = errors.New("unsafe archive")

// unpack extracts a .tar.gz that holds one folder into dir and returns the folder. Nothing is
// written outside dir, whatever names and links the archive holds: all goes through os.Root.
func unpack(ctx context.Context, archive, dir string, max limits) (string, error) {
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
	entries := 0
	for r := tar.NewReader(zipped); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", err
		}
		if err := ctx.Err(); err != nil {
			return "", err
		}
		if entries++; entries > max.entries {
			return "", fmt.Errorf("%w: more than %d entries", errUnsafe, max.entries)
		}
		name := path.Clean(h.Name)
		if name == "." || h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		if !filepath.IsLocal(name) {
			return "", fmt.Errorf("%w: name %q", errUnsafe, h.Name)
		}
		first, _, _ := strings.Cut(name, "/")
		if top == "" {
			top = first
		}
		if first != top {
			return "", fmt.Errorf("%w: %q and %q at the top, expected one folder", errUnsafe, top, first)
		}
		if max.bytes -= h.Size; max.bytes < 0 {
			return "", fmt.Errorf("%w: it holds too much", errUnsafe)
		}
		if err := unpackEntry(root, name, h, r); err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
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
			return fmt.Errorf("%w: link %s: %w", errUnsafe, name, err)
		}
		return nil
	})
}

func unpackEntry(root *os.Root, name string, h *tar.Header, r io.Reader) error {
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return root.MkdirAll(name, 0o755)
	case tar.TypeReg:
		out, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644|os.FileMode(h.Mode)&0o111)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, r)
		return errors.Join(err, out.Close())
	case tar.TypeSymlink:
		// Within the folder, relative, so that it still holds after the folder was renamed.
		to := path.Join(path.Dir(name), h.Linkname)
		top, _, _ := strings.Cut(name, "/")
		if path.IsAbs(h.Linkname) || !filepath.IsLocal(to) || (to != top && !strings.HasPrefix(to, top+"/")) {
			return fmt.Errorf("%w: link to %q", errUnsafe, h.Linkname)
		}
		return root.Symlink(h.Linkname, name)
	case tar.TypeLink:
		if !filepath.IsLocal(h.Linkname) {
			return fmt.Errorf("%w: link to %q", errUnsafe, h.Linkname)
		}
		return root.Link(path.Clean(h.Linkname), name)
	}
	return fmt.Errorf("%w: entry of type %q", errUnsafe, h.Typeflag)
}
