package backup

import (
	"archive/tar"
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudjit/cloudjit/internal/artifact"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/store"
)

func open(t *testing.T, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: dir, NoSync: true, Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// source is a store with a function, its code, metadata, and two events, one of them large.
func source(t *testing.T) (*store.Store, *artifact.Store) {
	t.Helper()
	dir := t.TempDir()
	s := open(t, dir)
	code, err := artifact.Open(filepath.Join(dir, "artifacts"), nil)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := code.Put(t.Context(), strings.NewReader("the code"), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	rev := &store.Revision{Spec: function.Spec{ID: store.NewRevisionID(), Function: "f", Version: function.Latest, CodeSHA256: ref.SHA256}}
	f := &store.Function{Name: "f", LastVersion: 7, Latest: store.Version{Version: function.Latest, Revision: rev.Spec.ID}}
	if err := s.CreateFunction(t.Context(), f, rev); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutMetadata(t.Context(), rev.Spec.ID, bytes.Repeat([]byte("m"), 100<<10), ""); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"small", strings.Repeat("large", 10<<10)} {
		if err := s.Enqueue(t.Context(), &store.Async{RequestID: p[:5], Function: "f", Payload: []byte(p)}); err != nil {
			t.Fatal(err)
		}
	}
	return s, code
}

func TestWhatWasBackedUpIsThereAgain(t *testing.T) {
	s, code := source(t)
	var b bytes.Buffer
	if err := Write(t.Context(), &b, s, code, "test"); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(s.Dir(), leftPattern)); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	dir := filepath.Join(t.TempDir(), "data")
	about, err := Restore(t.Context(), bytes.NewReader(b.Bytes()), dir)
	if err != nil || about.Functions != 1 || about.Events != 2 {
		t.Fatalf("got %+v, %v", about, err)
	}
	got := open(t, dir)
	f, ok := got.Function("f")
	if !ok || f.LastVersion != 7 {
		t.Fatalf("got %+v", f)
	}
	rev, ok := got.Revision(f.Latest.Revision)
	if !ok {
		t.Fatal("the revision is not there")
	}
	if doc, _, err := got.Metadata(t.Context(), rev.Spec.ID, 0); err != nil || len(doc) != 100<<10 {
		t.Errorf("metadata: got %d bytes, %v", len(doc), err)
	}
	restored, err := artifact.Open(filepath.Join(dir, "artifacts"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := restored.Path(rev.Spec.CodeSHA256); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"small", strings.Repeat("large", 10<<10)} {
		d, err := got.NextAsync(t.Context())
		if err != nil || string(d.Payload) != want {
			t.Fatalf("got %.10q, %v, want %.10q", d.Payload, err, want)
		}
		if err := d.Done(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if p := got.Problems(); len(p) > 0 {
		t.Errorf("got %+v", p)
	}
	if err := got.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), bytes.NewReader(b.Bytes()), dir); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("over a folder that is not empty: got %v", err)
	}
	if _, err := Restore(t.Context(), bytes.NewReader(b.Bytes()), s.Dir()); !errors.Is(err, store.ErrInUse) {
		t.Errorf("over a folder in use: got %v", err)
	}
}

func TestHostileArchivesLeaveNothing(t *testing.T) {
	s, code := source(t)
	var b bytes.Buffer
	if err := Write(t.Context(), &b, s, code, "test"); err != nil {
		t.Fatal(err)
	}
	archive := func(headers ...tar.Header) []byte {
		var out bytes.Buffer
		w := tar.NewWriter(&out)
		for _, h := range headers {
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
		}
		_ = w.Flush()
		return out.Bytes()
	}
	cases := map[string][]byte{
		"empty":          nil,
		"text":           []byte("no archive"),
		"cut":            b.Bytes()[:b.Len()*6/10],
		"without an end": b.Bytes()[:b.Len()-4<<10],
		"outside":        archive(tar.Header{Name: "../../evil", Typeflag: tar.TypeReg}),
		"absolute":       archive(tar.Header{Name: "/etc/evil", Typeflag: tar.TypeReg}),
		"a link":         archive(tar.Header{Name: "records", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}),
		"a hard link":    archive(tar.Header{Name: "records", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}),
		"a device":       archive(tar.Header{Name: "records", Typeflag: tar.TypeChar}),
		"huge":           archive(tar.Header{Name: "about.json", Typeflag: tar.TypeReg, Size: 1 << 40}),
	}
	r := rand.New(rand.NewPCG(1, 1))
	for i := range 30 {
		flipped := bytes.Clone(b.Bytes())
		flipped[r.IntN(len(flipped)-2048)] ^= byte(1 + r.IntN(255))
		cases["flipped "+string(rune('a'+i))] = flipped
	}
	parent := t.TempDir()
	for name, content := range cases {
		_, err := Restore(t.Context(), bytes.NewReader(content), filepath.Join(parent, "data"))
		if err == nil && strings.HasPrefix(name, "flipped") {
			// A byte of the tar's own padding or of a header's time may be another: then the content is what it was.
			if err := os.RemoveAll(filepath.Join(parent, "data")); err != nil {
				t.Fatal(err)
			}
		} else if err == nil || !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
		if left, _ := os.ReadDir(parent); len(left) > 0 {
			t.Fatalf("%s: left behind: %v", name, left)
		}
	}
}

// FuzzCheck reads any bytes as a backup.
func FuzzCheck(f *testing.F) {
	f.Add([]byte("records"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if about, err := Check(bytes.NewReader(b)); err == nil && about.Format != format {
			t.Errorf("took %+v", about)
		}
	})
}
