package keep

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/aot"
)

// publish makes an artifact of two files and a folder with nothing in it, and returns its digest.
func publish(t *testing.T, s *Store, content string) string {
	t.Helper()
	sc, out := made(t, s)
	defer sc.Remove()
	if err := os.Mkdir(filepath.Join(out, "lib"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(out, "function"), []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := s.Publish(key, out, &aot.Result{Key: key, Cost: aot.Cost{Size: int64(len(content))}}); err != nil {
		t.Fatal(err)
	}
	digest, err := s.Digest(key)
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// from is a Source of another store, whose answers may be changed on their way.
func from(s *Store, change func(sum string, b []byte) ([]byte, error)) Source {
	return Source{Get: func(_ context.Context, sum string) (io.ReadCloser, error) {
		f, _, err := s.Open(key, sum)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		b, err := io.ReadAll(f)
		if err == nil && change != nil {
			b, err = change(sum, b)
			if err != nil && b != nil { // the connection breaks
				return io.NopCloser(io.MultiReader(bytes.NewReader(b), broken{err})), nil
			}
		}
		return io.NopCloser(bytes.NewReader(b)), err
	}}
}

type broken struct{ error }

func (b broken) Read([]byte) (int, error) { return 0, b.error }

// nothing fails the test if a store holds anything.
func nothing(t *testing.T, dir string) {
	t.Helper()
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasPrefix(path, filepath.Join(dir, "locks")) {
			t.Errorf("%s is left", path)
		}
		return nil
	})
	for _, sub := range []string{"scratch", "images/" + string(key[:2])} {
		if entries, err := os.ReadDir(filepath.Join(dir, sub)); err == nil && len(entries) > 0 {
			t.Errorf("%s holds %s", sub, entries[0].Name())
		}
	}
}

// TestArtifactsMove: what one store has another takes, whole and as it was, and gives it to a third.
func TestArtifactsMove(t *testing.T) {
	first, second, third := open(t, t.TempDir()), open(t, t.TempDir()), open(t, t.TempDir())
	digest := publish(t, first, strings.Repeat("binary", 100_000))
	if err := second.Take(t.Context(), key, digest, from(first, nil)); err != nil {
		t.Fatal(err)
	}
	if err := third.Take(t.Context(), key, digest, from(second, nil)); err != nil {
		t.Fatal(err)
	}
	r, ok := third.Lookup(key, "function")
	if !ok || r.Cost.Size != 600_000 {
		t.Fatalf("got %+v, %v", r, ok)
	}
	st, err := os.Stat(filepath.Join(r.Dir, "function"))
	if err != nil || st.Mode().Perm() != 0o755 || st.Size() != 600_000 {
		t.Errorf("got %v, %v", st, err)
	}
	if st, err := os.Stat(filepath.Join(r.Dir, "lib")); err != nil || !st.IsDir() {
		t.Errorf("the empty folder: %v", err)
	}
	if entries, _ := os.ReadDir(filepath.Join(filepath.Dir(filepath.Dir(filepath.Dir(r.Dir))), "scratch")); len(entries) > 0 {
		t.Errorf("scratch is left: %v", entries[0])
	}
	never := Source{Get: func(_ context.Context, sum string) (io.ReadCloser, error) {
		if sum != "" {
			t.Error("what is here was asked for")
		}
		return from(first, nil).Get(t.Context(), sum)
	}}
	if err := third.Take(t.Context(), key, digest, never); err != nil {
		t.Error(err)
	}
}

// TestOnlyWhatWasMadeIsTaken: whatever another node sends, what is not what was made leaves nothing.
func TestOnlyWhatWasMadeIsTaken(t *testing.T) {
	first := open(t, t.TempDir())
	digest := publish(t, first, "binary of the function")
	cut := errors.New("connection reset")
	big := func(b []byte) bool {
		return bytes.Contains(b, []byte("binary")) && !bytes.Contains(b, []byte("machine"))
	}
	for name, c := range map[string]struct {
		digest string
		change func(sum string, b []byte) ([]byte, error)
		want   error
	}{
		"another content": {digest, func(_ string, b []byte) ([]byte, error) {
			if big(b) {
				return bytes.Replace(b, []byte("binary"), []byte("malice"), 1), nil
			}
			return b, nil
		}, ErrDiffers},
		"too long": {digest, func(_ string, b []byte) ([]byte, error) {
			if big(b) {
				return append(b, bytes.Repeat([]byte("x"), 1<<20)...), nil
			}
			return b, nil
		}, ErrDiffers},
		"cut short": {digest, func(_ string, b []byte) ([]byte, error) {
			if big(b) {
				return b[:5], nil
			}
			return b, nil
		}, ErrDiffers},
		"the connection breaks": {digest, func(_ string, b []byte) ([]byte, error) {
			if big(b) {
				return b[:5], cut
			}
			return b, nil
		}, cut},
		"the list breaks": {digest, func(sum string, b []byte) ([]byte, error) {
			if sum == "" {
				return b[:20], cut
			}
			return b, nil
		}, cut},
		"another list": {digest, func(sum string, b []byte) ([]byte, error) {
			if sum == "" {
				return bytes.Replace(b, []byte(`"path":"function"`), []byte(`"path":"../../f"`), 1), nil
			}
			return b, nil
		}, ErrDiffers},
		"another digest": {strings.Repeat("0", 64), nil, ErrDiffers},
		"no digest":      {"", nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			err := s.Take(t.Context(), key, c.digest, from(first, c.change))
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			nothing(t, dir)
			if err := s.Take(t.Context(), key, digest, from(first, nil)); err != nil {
				t.Errorf("afterwards, as it was: %v", err)
			}
		})
	}
	t.Run("another key's", func(t *testing.T) {
		dir := t.TempDir()
		if err := open(t, dir).Take(t.Context(), aot.Key(strings.Repeat("1", 64)), digest, from(first, nil)); !errors.Is(err, ErrDiffers) {
			t.Errorf("got %v, want ErrDiffers", err)
		}
	})
	t.Run("a full disk", func(t *testing.T) {
		dir := t.TempDir()
		if err := unix.Mount("small", dir, "tmpfs", 0, "size=256k"); err != nil {
			t.Skipf("SKIPPED: no file system can be mounted here: %v", err)
		}
		t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
		large := open(t, t.TempDir())
		digest := publish(t, large, strings.Repeat("binary", 100_000))
		s := open(t, dir)
		if err := s.Take(t.Context(), key, digest, from(large, nil)); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("got %v, want that there is no space", err)
		}
		nothing(t, dir)
	})
	t.Run("no room", func(t *testing.T) {
		dir, full := t.TempDir(), errors.New("the disk is full")
		source := from(first, nil)
		source.Admit = func(int64) error { return full }
		if err := open(t, dir).Take(t.Context(), key, digest, source); !errors.Is(err, full) {
			t.Errorf("got %v", err)
		}
		nothing(t, dir)
	})
}

func FuzzContents(f *testing.F) {
	f.Add([]byte(`{"machine":"` + machine + `","folders":["lib"],"files":[{"path":"function","sha256":"` + string(key) + `","size":3,"mode":493}]}`))
	f.Add([]byte(`{"machine":"` + machine + `","files":[{"path":"../x"}]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		c, err := parseContents(doc)
		if err != nil {
			return
		}
		for _, p := range c.Files {
			if !filepath.IsLocal(filepath.FromSlash(p.Path)) || p.Size < 0 {
				t.Errorf("%+v was let through", p)
			}
		}
	})
}
