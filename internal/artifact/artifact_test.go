package artifact_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cloudjit/cloudjit/internal/artifact"
)

func open(t *testing.T) (*artifact.Store, string) {
	t.Helper()
	dir := t.TempDir()
	s, err := artifact.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s, dir
}

func put(t *testing.T, s *artifact.Store, content string) artifact.Ref {
	t.Helper()
	ref, err := s.Put(t.Context(), strings.NewReader(content), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func TestPutIsContentAddressed(t *testing.T) {
	s, _ := open(t)
	a, b := put(t, s, "code"), put(t, s, "code")
	if a != b {
		t.Fatalf("same content, two names: %v and %v", a, b)
	}
	path, err := s.Path(a.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(path); string(got) != "code" {
		t.Fatalf("got %q, want %q", got, "code")
	}
}

func TestPutRefusesAndLeavesNothing(t *testing.T) {
	s, dir := open(t)
	if _, err := s.Put(t.Context(), strings.NewReader("12345"), 4); !errors.Is(err, artifact.ErrTooLarge) {
		t.Fatalf("got %v, want ErrTooLarge", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Put(ctx, strings.NewReader("12345"), 10); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want Canceled", err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, "*", "*"))
	if len(left) > 0 {
		t.Fatalf("left behind: %v", left)
	}
	for _, name := range []string{"", "../../etc/passwd", strings.Repeat("zz", 32)} {
		if _, err := s.Path(name); !errors.Is(err, artifact.ErrNotFound) {
			t.Errorf("Path(%q): got %v, want ErrNotFound", name, err)
		}
	}
}

func TestTreeIsFilledOnce(t *testing.T) {
	s, _ := open(t)
	ref := put(t, s, "archive")
	var fills atomic.Int32
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			dir, err := s.Tree(t.Context(), ref.SHA256, func(blob, dir string) error {
				fills.Add(1)
				return os.WriteFile(filepath.Join(dir, "f"), nil, 0o644)
			})
			if err != nil {
				t.Error(err)
			} else if _, err := os.Stat(filepath.Join(dir, "f")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if fills.Load() != 1 {
		t.Fatalf("filled %d times, want once", fills.Load())
	}
}

func TestTreeThatFailsIsTriedAgain(t *testing.T) {
	s, _ := open(t)
	ref := put(t, s, "archive")
	broken := errors.New("truncated archive")
	if _, err := s.Tree(t.Context(), ref.SHA256, func(_, _ string) error { return broken }); !errors.Is(err, broken) {
		t.Fatalf("got %v, want %v", err, broken)
	}
	if _, err := s.Tree(t.Context(), ref.SHA256, func(_, _ string) error { return nil }); err != nil {
		t.Fatal(err)
	}
}

func TestOpenRemovesHalfMade(t *testing.T) {
	s, dir := open(t)
	ref := put(t, s, "keep")
	half := filepath.Join(dir, "tmp", "put-1")
	if err := os.WriteFile(half, []byte("half"), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := artifact.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(half); !os.IsNotExist(err) {
		t.Fatalf("half-made file is still there: %v", err)
	}
	if _, err := s.Path(ref.SHA256); err != nil {
		t.Fatal(err)
	}
}

func TestSweepKeepsWhatIsNamed(t *testing.T) {
	s, _ := open(t)
	kept, gone := put(t, s, "kept"), put(t, s, "gone")
	if _, err := s.Sweep(func(sha string) bool { return sha == kept.SHA256 }, -1); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Path(kept.SHA256); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Path(gone.SHA256); !errors.Is(err, artifact.ErrNotFound) {
		t.Fatalf("got %v, want ErrNotFound", err)
	}
}

// TestDamageIsNoticedAndHealed damages a blob and what was unpacked from it: neither is handed out, and the next
// upload of the same content heals both.
func TestDamageIsNoticedAndHealed(t *testing.T) {
	s, dir := open(t)
	ref := put(t, s, "code")
	fills := 0
	fill := func(blob, dir string) error {
		fills++
		b, err := os.ReadFile(blob)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, "unpacked"), b, 0o644)
	}
	tree, err := s.Tree(t.Context(), ref.SHA256, fill)
	if err != nil {
		t.Fatal(err)
	}
	file, blob := filepath.Join(tree, "unpacked"), filepath.Join(dir, "blobs", ref.SHA256[:2], ref.SHA256)

	if err := os.Truncate(file, 2); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Known(ref.SHA256); !errors.Is(err, artifact.ErrDamaged) {
		t.Errorf("a tree that was cut: got %v, want ErrDamaged", err)
	}
	if _, err := s.Tree(t.Context(), ref.SHA256, fill); err != nil || fills != 2 {
		t.Errorf("it was not unpacked again: %v, %d times", err, fills)
	}
	if b, _ := os.ReadFile(file); string(b) != "code" {
		t.Errorf("got %q", b)
	}

	if err := os.WriteFile(blob+".new", []byte("c0de"), 0o444); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(blob+".new", blob); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Path(ref.SHA256); !errors.Is(err, artifact.ErrDamaged) || !strings.Contains(err.Error(), "upload the same file again") {
		t.Errorf("a blob with another content: got %v, want ErrDamaged and what to do", err)
	}
	if _, err := s.Tree(t.Context(), ref.SHA256, fill); err != nil {
		t.Errorf("what is unpacked is whole: %v", err)
	}
	found, err := s.Verify(t.Context())
	if err != nil || len(found) != 1 || found[0].SHA256 != ref.SHA256 || found[0].Healed {
		t.Errorf("got %+v, %v", found, err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Tree(t.Context(), ref.SHA256, fill); !errors.Is(err, artifact.ErrDamaged) {
		t.Errorf("both are damaged: got %v, want ErrDamaged", err)
	}
	put(t, s, "code")
	if _, err := s.Tree(t.Context(), ref.SHA256, fill); err != nil {
		t.Errorf("after the same content came again: %v", err)
	}
	if found, err := s.Verify(t.Context()); err != nil || len(found) > 0 {
		t.Errorf("got %+v, %v", found, err)
	}
}
