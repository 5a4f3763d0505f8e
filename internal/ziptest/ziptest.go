// Package ziptest makes the archives that tests hand over. It knows nothing of what is in them;
// archives that are damaged or hostile are made where they are used.
package ziptest

import (
	"archive/zip"
	"bytes"
	"io"
	"maps"
	"slices"
	"testing"
)

// Of makes an archive of names and contents, in turn. All files are executable, as a bootstrap
// must be.
func Of(t testing.TB, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		h := &zip.FileHeader{Name: files[i], Method: zip.Deflate}
		h.SetMode(0o755)
		w, err := z.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, files[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// OfMap makes an archive of contents by name, in the order of the names.
func OfMap[T string | []byte](t testing.TB, files map[string]T) []byte {
	t.Helper()
	var list []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		list = append(list, name, string(files[name]))
	}
	return Of(t, list...)
}
