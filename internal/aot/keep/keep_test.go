package keep

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/cloudjit/cloudjit/internal/aot"
)

const key = aot.Key("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// made is a scratch folder with a subfolder that holds an artifact.
func made(t *testing.T, s *Store) (*Scratch, string) {
	t.Helper()
	sc, err := s.Scratch()
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(sc.Dir, "out")
	if err := os.Mkdir(out, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(out, "main"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	return sc, out
}

func TestStoreKeepsAndRemoves(t *testing.T) {
	s := open(t, t.TempDir())
	if _, ok := s.Lookup(key, "main"); ok {
		t.Fatal("found what is not there")
	}
	sc, out := made(t, s)
	if err := s.Publish(key, out, &aot.Result{Cost: aot.Cost{Size: 1}}); err != nil {
		t.Fatal(err)
	}
	if err := sc.Remove(); err != nil {
		t.Fatal(err)
	}
	r, ok := s.Lookup(key, "main")
	if !ok || !r.Cached || r.Key != key || r.Dir != s.Path(key) || r.Cost.Size != 1 {
		t.Errorf("got %+v, %v", r, ok)
	}
	if _, ok := s.Lookup(key, "other"); ok {
		t.Error("an artifact without its file was found")
	}
	if keys, err := s.Keys(); err != nil || len(keys) != 1 || keys[0] != key {
		t.Errorf("got %v, %v", keys, err)
	}
	for range 2 {
		if err := s.Remove(key); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := s.Lookup(key, "main"); ok {
		t.Error("found what was removed")
	}
	for _, bad := range []aot.Key{"", "../x", aot.Key(strings.ToUpper(string(key)))} {
		if _, ok := s.Lookup(bad, "main"); ok || s.Remove(bad) != nil {
			t.Errorf("%q is no key", bad)
		}
	}
}

func TestOpenCleansWhatNobodyHolds(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	held, _ := made(t, s)
	defer held.Remove()
	stale, _ := made(t, s)
	stale.lock.Close() // as the kernel does with a killed builder's
	open(t, dir)
	if _, err := os.Stat(stale.Dir); err == nil {
		t.Error("the scratch of a killed build is still there")
	}
	if _, err := os.Stat(held.Dir); err != nil {
		t.Error("the scratch of a running build was removed")
	}
}

func TestFlightIsOneBuildForAllCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f Flight
		builds := 0
		finish := make(chan struct{})
		build := func(ctx context.Context) (*aot.Result, error) {
			builds++
			select {
			case <-finish:
				return &aot.Result{Key: key}, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { _, err := f.Do(ctx, key, build); first <- err }()
		synctest.Wait()
		go func() { _, err := f.Do(t.Context(), key, build); second <- err }()
		synctest.Wait()
		cancel()
		var gone *aot.Error
		if err := <-first; !errors.As(err, &gone) || gone.Class != aot.ClassCancelled {
			t.Errorf("the caller that went away got %v", err)
		}
		close(finish)
		if err := <-second; err != nil || builds != 1 {
			t.Errorf("the caller that stayed got %v after %d builds", err, builds)
		}
	})
}

func TestFlightEndsWithItsLastCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f Flight
		ended := false
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan error, 1)
		go func() {
			_, err := f.Do(ctx, key, func(ctx context.Context) (*aot.Result, error) {
				<-ctx.Done()
				ended = true
				return nil, ctx.Err()
			})
			got <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-got; err == nil || !ended || len(f.building) != 0 {
			t.Errorf("got %v, ended %v, %d left", err, ended, len(f.building))
		}
	})
}
