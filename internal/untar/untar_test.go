package untar

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// archive has entries of a name and a type: a file has the name as its content, a link leads to to.
func archive(t testing.TB, entries ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range entries {
		if h.Typeflag == 0 || h.Typeflag == tar.TypeReg {
			h.Typeflag, h.Size = tar.TypeReg, int64(len(h.Name))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte(h.Name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// all extracts everything as it is called.
func all(data []byte, dir string, max Limits) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for e, err := range Entries(bytes.NewReader(data), max) {
		if err == nil {
			err = e.Extract(root, e.Name, e.Executable(), ".")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

var plenty = Limits{Entries: 100, Bytes: 1 << 20}

func TestExtract(t *testing.T) {
	dir := t.TempDir()
	data := archive(t, tar.Header{Name: "./", Typeflag: tar.TypeDir}, tar.Header{Name: "./bin/", Typeflag: tar.TypeDir}, tar.Header{Name: "./bin/run", Mode: 0o755},
		tar.Header{Name: "lib/deep/a.so", Mode: 0o600}, tar.Header{Name: "lib/a.so", Linkname: "deep/a.so", Typeflag: tar.TypeSymlink},
		tar.Header{Name: "bin/again", Linkname: "./bin/run", Typeflag: tar.TypeLink})
	if err := all(data, dir, plenty); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"bin/run": "./bin/run", "lib/a.so": "lib/deep/a.so", "bin/again": "./bin/run"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "bin/run")); err != nil || info.Mode()&0o100 == 0 {
		t.Errorf("bin/run may not be run: %v, %v", info, err)
	}
}

// TestUnsafe: what must not be is an error that says so, and nothing is outside.
func TestUnsafe(t *testing.T) {
	for name, c := range map[string]struct {
		entries []tar.Header
		max     Limits
	}{
		"a name that climbs":      {[]tar.Header{{Name: "a/../../x"}}, plenty},
		"an absolute name":        {[]tar.Header{{Name: "/x"}}, plenty},
		"a link that climbs":      {[]tar.Header{{Name: "a/l", Linkname: "../../x", Typeflag: tar.TypeSymlink}}, plenty},
		"an absolute link":        {[]tar.Header{{Name: "l", Linkname: "/etc/passwd", Typeflag: tar.TypeSymlink}}, plenty},
		"a hard link that climbs": {[]tar.Header{{Name: "l", Linkname: "../x", Typeflag: tar.TypeLink}}, plenty},
		"a device":                {[]tar.Header{{Name: "null", Typeflag: tar.TypeChar}}, plenty},
		"a pipe":                  {[]tar.Header{{Name: "p", Typeflag: tar.TypeFifo}}, plenty},
		"too many entries":        {[]tar.Header{{Name: "a"}, {Name: "b"}, {Name: "c"}}, Limits{Entries: 2, Bytes: 100}},
		"too many bytes":          {[]tar.Header{{Name: "aaaa"}, {Name: "bbbb"}}, Limits{Entries: 9, Bytes: 7}},
	} {
		t.Run(name, func(t *testing.T) {
			above := t.TempDir()
			dir := filepath.Join(above, "in")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := all(archive(t, c.entries...), dir, c.max); !errors.Is(err, ErrUnsafe) {
				t.Errorf("got %v", err)
			}
			if found, err := os.ReadDir(above); err != nil || len(found) != 1 {
				t.Errorf("outside: %v, %v", found, err)
			}
		})
	}
}

// TestThroughLinks: a link that only looks harmless is not followed out of the folder, and files are not replaced.
func TestThroughLinks(t *testing.T) {
	for name, entries := range map[string][]tar.Header{
		"by way of a link": {{Name: "a/b/s", Linkname: "..", Typeflag: tar.TypeSymlink}, {Name: "up", Linkname: "a/b/s/../../..", Typeflag: tar.TypeSymlink}, {Name: "up/x"}},
		"a file twice":     {{Name: "a"}, {Name: "a"}},
		"over a link":      {{Name: "a"}, {Name: "l", Linkname: "a", Typeflag: tar.TypeSymlink}, {Name: "l"}},
	} {
		above := t.TempDir()
		dir := filepath.Join(above, "in")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := all(archive(t, entries...), dir, plenty); err == nil {
			t.Errorf("%s: no error", name)
		}
		if found, err := os.ReadDir(above); err != nil || len(found) != 1 {
			t.Errorf("%s: outside: %v, %v", name, found, err)
		}
	}
}

// TestClaimedSize: a header that claims more than there is takes no memory for it.
func TestClaimedSize(t *testing.T) {
	data := archive(t, tar.Header{Name: strings.Repeat("x", 90)})
	copy(data[124:], "77777777777\x00") // 8 GB
	sum := 0
	copy(data[148:156], "        ")
	for _, b := range data[:512] {
		sum += int(b)
	}
	copy(data[148:156], []byte{byte('0' + sum>>15&7), byte('0' + sum>>12&7), byte('0' + sum>>9&7), byte('0' + sum>>6&7), byte('0' + sum>>3&7), byte('0' + sum&7), 0, ' '})
	for e, err := range Entries(bytes.NewReader(data), Limits{Entries: 1, Bytes: 1 << 40}) {
		if err != nil {
			t.Fatal(err)
		}
		if b, err := e.Read(); err == nil || len(b) > len(data) {
			t.Errorf("got %d bytes, %v", len(b), err)
		}
		break
	}
}

func FuzzExtract(f *testing.F) {
	f.Add(archive(f, tar.Header{Name: "a/b"}, tar.Header{Name: "l", Linkname: "a/b", Typeflag: tar.TypeSymlink}))
	f.Add(archive(f, tar.Header{Name: "l", Linkname: "../..", Typeflag: tar.TypeSymlink}, tar.Header{Name: "l/x"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		above := t.TempDir()
		dir := filepath.Join(above, "in")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		_ = all(data, dir, Limits{Entries: 50, Bytes: 1 << 16}) // an error is an answer, too
		if found, err := os.ReadDir(above); err != nil || len(found) != 1 {
			t.Errorf("outside: %v, %v", found, err)
		}
		total := int64(0)
		err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				info, err := d.Info()
				if err != nil {
					return err
				}
				total += info.Size()
			}
			return err
		})
		if err != nil || total > 50<<16 { // hard links count again
			t.Errorf("%d bytes, %v", total, err)
		}
	})
}
