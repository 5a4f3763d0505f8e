package trace

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// walk calls visit for each plain stream behind the paths, in order: the files of a folder
// (not of folders in it, for subsets of a trace lie there), the members of a tar or zip archive, a
// file itself; compressed by gzip or zstd or not.
func walk(ctx context.Context, paths []string, problems *Problems, visit func(name string, r io.Reader) error) error {
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("read trace: %w", err)
		}
		if !info.IsDir() {
			if err := walkFile(ctx, path, problems, visit); err != nil {
				return err
			}
			continue
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			return fmt.Errorf("read trace: %w", err)
		}
		files := 0
		for _, e := range entries {
			if e.Type()&fs.ModeType != 0 && e.Type()&fs.ModeSymlink == 0 {
				continue
			}
			name := filepath.Join(path, e.Name())
			if !looksLikeTrace(e.Name()) {
				problems.add(IgnoredFile, name, 0, "")
				continue
			}
			files++
			if err := walkFile(ctx, name, problems, visit); err != nil {
				return err
			}
		}
		if files == 0 {
			return &FormatError{path, "the folder holds no .csv, .txt or .parquet file", "name the folder that has the files of the set directly in it"}
		}
	}
	return nil
}

// looksLikeTrace says whether a file of a folder or archive is worth opening.
func looksLikeTrace(name string) bool {
	name = strings.ToLower(filepath.Base(name))
	if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "readme") {
		return false
	}
	for _, s := range []string{".gz", ".zst"} {
		name = strings.TrimSuffix(name, s)
	}
	switch filepath.Ext(name) {
	case ".csv", ".txt", ".parquet", ".tar", ".tgz", ".zip":
		return true
	}
	return false
}

func walkFile(ctx context.Context, path string, problems *Problems, visit func(string, io.Reader) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read trace: %w", err)
	}
	defer f.Close()
	magic := make([]byte, 4)
	n, err := io.ReadFull(f, magic)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("read trace %s: %w", path, err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read trace %s: %w", path, err)
	}
	if string(magic[:n]) == "PK\x03\x04" {
		return walkZip(path, problems, visit)
	}
	return walkStream(path, f, problems, visit)
}

// walkStream takes compression and tar off, as often as needed.
func walkStream(name string, r io.Reader, problems *Problems, visit func(string, io.Reader) error) error {
	for range 3 {
		b := bufio.NewReaderSize(r, 1<<16)
		head, _ := b.Peek(512)
		switch {
		case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
			z, err := gzip.NewReader(b)
			if err != nil {
				return &FormatError{name, "damaged gzip header: " + err.Error(), ""}
			}
			r = z
		case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
			z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20))
			if err != nil {
				return &FormatError{name, "damaged zstd header: " + err.Error(), ""}
			}
			defer z.Close()
			r = z
		case bytes.HasPrefix(head, []byte{0xfd, '7', 'z', 'X', 'Z'}), bytes.HasPrefix(head, []byte("Rar!")), bytes.HasPrefix(head, []byte("7z\xbc\xaf")):
			return &FormatError{name, "an archive of a kind that is not read", "unpack it and name the folder"}
		case len(head) >= 262 && string(head[257:262]) == "ustar":
			return walkTar(name, b, problems, visit)
		default:
			return visit(name, b)
		}
	}
	return &FormatError{name, "compressed more than twice", ""}
}

func walkTar(name string, r io.Reader, problems *Problems, visit func(string, io.Reader) error) error {
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return &FormatError{name, "damaged tar archive: " + err.Error(), ""}
		}
		member := name + "!" + h.Name
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if !looksLikeTrace(h.Name) {
			problems.add(IgnoredFile, member, 0, "")
			continue
		}
		if err := walkStream(member, t, problems, visit); err != nil {
			return err
		}
	}
}

func walkZip(path string, problems *Problems, visit func(string, io.Reader) error) error {
	z, err := zip.OpenReader(path)
	if err != nil {
		return &FormatError{path, "damaged zip archive: " + err.Error(), ""}
	}
	defer z.Close()
	for _, m := range z.File {
		member := path + "!" + m.Name
		if m.FileInfo().IsDir() {
			continue
		}
		if !looksLikeTrace(m.Name) {
			problems.add(IgnoredFile, member, 0, "")
			continue
		}
		r, err := m.Open()
		if err != nil {
			return &FormatError{member, err.Error(), ""}
		}
		err = walkStream(member, r, problems, visit)
		r.Close()
		if err != nil {
			return err
		}
	}
	return nil
}
