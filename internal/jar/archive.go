package jar

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// archive is an opened ZIP whose directory was checked; file contents were not.
type archive struct {
	file  *os.File
	zip   *zip.Reader
	files []*entry
	names map[string]*entry
	// links are the symbolic links, which are in neither of these; linked are the same by their names.
	links  []*entry
	linked map[string]*entry
	// unzipped is the declared size of everything; the reader refuses contents that are larger.
	unzipped int64
	entries  int
}

// entry is one file (folders are dropped) under its clean, slash-separated, relative name.
type entry struct {
	*zip.File
	name   string
	target string // of a symbolic link that was checked
}

// open checks the directory of the archive at path against limits.
func open(file string, lim Limits) (*archive, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("open archive: %w", err)
	}
	a, err := read(f, lim)
	if err != nil {
		f.Close()
		return nil, err
	}
	return a, nil
}

func (a *archive) Close() error { return a.file.Close() }

func read(f *os.File, lim Limits) (*archive, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read archive: %w", err)
	}
	if st.Size() > lim.Archive {
		return nil, tooLarge("leave out what the function does not need", "it has %d bytes, %d are allowed", st.Size(), lim.Archive)
	}
	a := &archive{file: f}
	if a.zip, err = directory(f, st.Size(), min(lim.Entries, lim.Files)); err != nil {
		return nil, err
	}
	if err := a.check(lim); err != nil {
		return nil, err
	}
	return a, nil
}

// directory reads a ZIP's directory. Go's reader makes some 300 bytes of structures of each
// entry of 46 bytes, so entries are counted first.
func directory(r io.ReaderAt, size int64, entries int) (*zip.Reader, error) {
	n, err := mostEntries(io.NewSectionReader(r, 0, size))
	if err != nil {
		return nil, fmt.Errorf("read archive: %w", err)
	}
	if n > entries {
		return nil, tooLarge("", "it has more than %d entries", entries)
	}
	z, err := zip.NewReader(r, size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return nil, &Error{Reason: "it is not a complete ZIP or JAR", Hint: "was the upload cut off?", Err: err}
	}
	return z, nil
}

// mostEntries counts the signature that every entry of a ZIP's directory begins with: no
// archive has more entries than that, whatever it says of itself.
func mostEntries(r io.Reader) (int, error) {
	sig := []byte("PK\x01\x02")
	buf := make([]byte, 256<<10)
	n, kept := 0, 0
	for {
		m, err := r.Read(buf[kept:])
		n += bytes.Count(buf[:kept+m], sig)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return 0, err
		}
		// The last 3 bytes may begin a signature that the next read ends.
		end := kept + m
		keep := min(3, end)
		copy(buf, buf[end-keep:end])
		kept = keep
	}
}

func (a *archive) check(lim Limits) error {
	a.names = make(map[string]*entry, len(a.zip.File))
	a.linked = map[string]*entry{}
	dirs := map[string]bool{}
	whole := false // a JAR, which is never unpacked file by file
	for _, f := range a.zip.File {
		if f.Name == "META-INF/MANIFEST.MF" {
			whole = true
		}
	}
	for _, f := range a.zip.File {
		name, err := cleanName(f.Name)
		if err != nil {
			return err
		}
		if err := checkHeader(f); err != nil {
			return err
		}
		a.entries++
		if strings.Count(name, "/") > lim.Depth {
			return tooLarge("", "%.100q... is more than %d folders deep", name, lim.Depth)
		}
		if name == "." || f.Mode().IsDir() {
			continue
		}
		if f.UncompressedSize64 > uint64(lim.Unzipped) || a.unzipped+int64(f.UncompressedSize64) > lim.Unzipped {
			return tooLarge("leave out what the function does not need", "unzipped it is larger than %d bytes", lim.Unzipped)
		}
		a.unzipped += int64(f.UncompressedSize64)
		if a.linked[name] != nil {
			return refuse("%q is in it twice", name)
		}
		if _, twice := a.names[name]; twice {
			// Build tools put licences twice into fat JARs; the JVM takes one of them.
			if !whole || strings.HasSuffix(name, ".class") || strings.HasSuffix(name, ".jar") {
				return refuse("%q is in it twice", name)
			}
			continue
		}
		e := &entry{File: f, name: name}
		if f.Mode()&fs.ModeSymlink != 0 {
			a.linked[name] = e
			a.links = append(a.links, e)
		} else {
			a.names[name] = e
			a.files = append(a.files, e)
		}
		for d := path.Dir(name); d != "." && !dirs[d]; d = path.Dir(d) {
			dirs[d] = true
		}
		if len(a.files)+len(a.links)+len(dirs) > lim.Files {
			return tooLarge("", "it has more than %d files and folders", lim.Files)
		}
	}
	for _, list := range [][]*entry{a.files, a.links} {
		for _, e := range list {
			if dirs[e.name] {
				return refuse("%q is a file and a folder in it", e.name)
			}
		}
	}
	if len(a.files) == 0 {
		return refuse("it is empty")
	}
	return nil
}

const longestName = 4096 // bytes; PATH_MAX

// cleanName refuses every name that could mean a place outside the folder, on any system.
func cleanName(name string) (string, error) {
	if name == "" || len(name) > longestName || strings.ContainsAny(name, "\x00\\") || strings.HasPrefix(name, "/") {
		return "", refuse("the name %.100q is not allowed in it", name)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." || len(part) > 255 {
			return "", refuse("the name %.100q is not allowed in it", name)
		}
	}
	return path.Clean(name), nil
}

func checkHeader(f *zip.File) error {
	const encrypted = 0x1 | 0x40 | 0x2000 // traditional, strong, masked headers (APPNOTE 4.4.4)
	if f.Flags&encrypted != 0 {
		return refuse("%q is encrypted", f.Name)
	}
	if f.Method != zip.Store && f.Method != zip.Deflate {
		return refuse("%q is compressed by method %d; only stored and deflated files can be read", f.Name, f.Method)
	}
	switch f.Mode() & fs.ModeType {
	case 0, fs.ModeDir, fs.ModeSymlink:
		return nil
	}
	return refuse("%q is not a regular file", f.Name)
}

// read returns a whole file. Its size is within the limits; the ZIP reader checks that the
// contents are as long as declared, and their checksum.
func (e *entry) read() ([]byte, error) {
	r, err := e.Open()
	if err != nil {
		return nil, &Error{Reason: fmt.Sprintf("%q is damaged", e.name), Err: err}
	}
	defer r.Close()
	// Not a buffer of the declared size at once: that may be a lie about a few bytes.
	var b bytes.Buffer
	b.Grow(int(min(e.UncompressedSize64, 1<<20)))
	if _, err := b.ReadFrom(io.LimitReader(r, int64(e.UncompressedSize64)+1)); err != nil {
		return nil, &Error{Reason: fmt.Sprintf("%q is damaged", e.name), Err: err}
	}
	return b.Bytes(), nil
}

// verify reads a file to its end and throws it away.
func (e *entry) verify() error {
	r, err := e.Open()
	if err == nil {
		_, err = io.Copy(io.Discard, r)
		r.Close()
	}
	if err != nil {
		return &Error{Reason: fmt.Sprintf("%q is damaged", e.name), Err: err}
	}
	return nil
}
