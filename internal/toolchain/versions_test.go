package toolchain

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestVersionsAreRemembered: a program is started once for its version, also by the next process, and again once it was changed.
func TestVersionsAreRemembered(t *testing.T) {
	dir := t.TempDir()
	cache, program, starts := filepath.Join(dir, "cache"), filepath.Join(dir, "node"), filepath.Join(dir, "starts")
	if err := os.Mkdir(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	install := func(version string) {
		t.Helper()
		text := fmt.Sprintf("#!/bin/sh\necho once >>%s\necho %s\n", starts, version)
		if err := os.WriteFile(program+".new", []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(program+".new", program); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(want string, wantStarts int) {
		t.Helper()
		v := readVersions(cache)
		for range 2 {
			if got := v.of(t.Context(), program); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		v.write()
		text, err := os.ReadFile(starts)
		if err != nil || strings.Count(string(text), "once") != wantStarts {
			t.Errorf("started %d times, want %d (%v)", strings.Count(string(text), "once"), wantStarts, err)
		}
	}
	install("v20.1.0")
	ask("v20.1.0", 1)
	ask("v20.1.0", 1)
	install("v22.1.0") // as many bytes as before
	ask("v22.1.0", 2)
	if err := os.WriteFile(filepath.Join(cache, "interpreters.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	ask("v22.1.0", 3)
	ask("v22.1.0", 3)
	if left, err := os.ReadDir(cache); err != nil || len(left) != 1 {
		t.Errorf("the cache has %v, %v", left, err)
	}
	cache = "" // without a folder nothing is kept
	ask("v22.1.0", 4)
	ask("v22.1.0", 5)
}
