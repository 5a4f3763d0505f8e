package jar

import (
	"archive/zip"
	"bytes"
	"io"
	"path"
	"strings"
)

// nested is a JAR inside an archive. It is read where it is, never unpacked; names inside are
// only ever looked up, so they need no check.
type nested struct {
	name  string // in the outer archive
	zip   *zip.Reader
	files map[string]*zip.File
}

// openNested opens a JAR entry: in place if it is stored (as Spring Boot does), in memory if not.
func (a *archive) openNested(e *entry, lim Limits) (*nested, error) {
	var r io.ReaderAt
	size := int64(e.UncompressedSize64)
	if e.Method == zip.Store {
		off, err := e.DataOffset()
		if err != nil {
			return nil, &Error{Reason: "\"" + e.name + "\" is damaged", Err: err}
		}
		r = io.NewSectionReader(a.file, off, size)
	} else {
		b, err := e.read()
		if err != nil {
			return nil, err
		}
		r = bytes.NewReader(b)
	}
	z, err := directory(r, size, lim.Entries-a.entries)
	if err != nil {
		return nil, &Error{Reason: "the JAR \"" + e.name + "\" in it cannot be read", Err: err}
	}
	a.entries += len(z.File)
	n := &nested{name: e.name, zip: z, files: make(map[string]*zip.File, len(z.File))}
	for _, f := range z.File {
		n.files[f.Name] = f
	}
	return n, nil
}

const largestSmallFile = 1 << 20 // manifests, pom.properties and single classes that are looked at

// small reads a small file of the nested JAR; nil if it is not there, too large or damaged:
// what is read this way only improves hints.
func (n *nested) small(name string) []byte {
	f := n.files[name]
	if f == nil || f.UncompressedSize64 > largestSmallFile {
		return nil
	}
	return readSmall(f)
}

func readSmall(f *zip.File) []byte {
	r, err := f.Open()
	if err != nil {
		return nil
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, largestSmallFile))
	if err != nil {
		return nil
	}
	return b
}

// className returns "com.example.Main" for "com/example/Main.class" and false for files that are
// not ordinary classes of the base version.
func className(file string) (string, bool) {
	base, ok := strings.CutSuffix(file, ".class")
	if !ok || strings.HasPrefix(file, "META-INF/") || path.Base(base) == "module-info" || path.Base(base) == "package-info" {
		return "", false
	}
	return strings.ReplaceAll(base, "/", "."), true
}

func classFile(name string) string { return strings.ReplaceAll(name, ".", "/") + ".class" }
