// Package untar takes files out of tar archives that are not trusted: names stay inside a folder, and numbers and sizes are limited.
// It must not know what archives are for: which entries are wanted and what they are called then is the caller's.
package untar

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
)

// ErrUnsafe is that of an archive with names, links, types or sizes that it must not have.
var ErrUnsafe = errors.New("unsafe archive")

// Limits are those of one archive.
type Limits struct {
	// Entries is how many it may have at most, also those that are not wanted.
	Entries int
	// Bytes is how many the files that are extracted may have together.
	Bytes int64
}

// Entry is one of an archive. Its content is there until the next one is asked for.
type Entry struct {
	*tar.Header
	// Name is the header's, without "./" and the like: relative, with slashes, and it leads nowhere outside.
	Name string

	content *tar.Reader
	left    *int64
}

// Entries are those of an archive, in its order, without the archive's own folder "." and global headers. An error is the last that comes.
func Entries(r io.Reader, max Limits) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		in, left := tar.NewReader(r), max.Bytes
		for n := 0; ; {
			h, err := in.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err == nil {
				if n++; n > max.Entries {
					err = fmt.Errorf("%w: more than %d entries", ErrUnsafe, max.Entries)
				}
			}
			if err != nil {
				yield(nil, err)
				return
			}
			name := path.Clean(h.Name)
			if name == "." || h.Typeflag == tar.TypeXGlobalHeader {
				continue
			}
			if !filepath.IsLocal(name) {
				yield(nil, fmt.Errorf("%w: name %q", ErrUnsafe, h.Name))
				return
			}
			if !yield(&Entry{Header: h, Name: name, content: in, left: &left}, nil) {
				return
			}
		}
	}
}

// IsFile and IsDir say what it is; it may also be a link or something else.
func (e *Entry) IsFile() bool { return e.Typeflag == tar.TypeReg }

// IsDir: see IsFile.
func (e *Entry) IsDir() bool { return e.Typeflag == tar.TypeDir }

// Read is the content of a file, whose size counts among what is extracted.
func (e *Entry) Read() ([]byte, error) {
	if err := e.take(); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(e.content, e.Size)) // a size that a header only claims takes no memory
	if err == nil && int64(len(b)) < e.Size {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}

// Extract makes a file, a folder or a link below root, under a name of the caller's, and the folders above it. A file that is there
// already is an error; a folder is not. Links are made where they are relative and lead to something below the folder within. What a
// link leads to by other links is not looked at: os.Root does that when it is used.
func (e *Entry) Extract(root *os.Root, name string, mode fs.FileMode, within string) error {
	if !filepath.IsLocal(name) {
		return fmt.Errorf("%w: name %q", ErrUnsafe, name)
	}
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	switch e.Typeflag {
	case tar.TypeDir:
		return root.MkdirAll(name, 0o755)
	case tar.TypeReg:
		if err := e.take(); err != nil {
			return err
		}
		out, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
		if err != nil {
			return err
		}
		_, err = io.CopyN(out, e.content, e.Size)
		return errors.Join(err, out.Close())
	case tar.TypeSymlink:
		if to := path.Join(path.Dir(name), e.Linkname); path.IsAbs(e.Linkname) || !inside(to, within) {
			return fmt.Errorf("%w: link to %q", ErrUnsafe, e.Linkname)
		}
		return root.Symlink(e.Linkname, name)
	case tar.TypeLink:
		to := path.Clean(e.Linkname)
		if !inside(to, within) {
			return fmt.Errorf("%w: link to %q", ErrUnsafe, e.Linkname)
		}
		return root.Link(to, name)
	}
	return fmt.Errorf("%w: entry of type %q", ErrUnsafe, e.Typeflag)
}

func (e *Entry) take() error {
	if *e.left -= e.Size; e.Size < 0 || *e.left < 0 {
		return fmt.Errorf("%w: it holds too much", ErrUnsafe)
	}
	return nil
}

// inside reports whether a name is the folder or below it; every name is below ".".
func inside(name, folder string) bool {
	if !filepath.IsLocal(name) {
		return false
	}
	rel, err := filepath.Rel(folder, name)
	return err == nil && filepath.IsLocal(rel)
}

// Executable is 0644 for most files, and 0755 for those that may be run.
func (e *Entry) Executable() fs.FileMode { return 0o644 | fs.FileMode(e.Mode)&0o111 }
