package toolchain

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/cloudjit/cloudjit/internal/function"
)

// TestFindInterpreters: the one that is named first, then PATH, then version managers; scripts are none.
func TestFindInterpreters(t *testing.T) {
	root := t.TempDir()
	elf := func(name string) {
		t.Helper()
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("\x7fELF"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	elf("usr/bin/python3.11")
	if err := os.Symlink("python3.11", filepath.Join(root, "usr/bin/python3")); err != nil {
		t.Fatal(err)
	}
	elf("usr/bin/python2.7")
	elf("home/.pyenv/versions/3.11.9/bin/python3.11")
	elf("home/.pyenv/versions/3.12.1/bin/python3.12")
	elf("home/.pyenv/versions/3.12.10/bin/python3.12")
	elf("home/.pyenv/versions/3.6.15/bin/python3.6")
	elf("own/bin/python3.13")
	shims := filepath.Join(root, "shims")
	if err := os.MkdirAll(shims, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"python3.14": "#!/bin/sh\nexec pyenv\n", "node": "#!/bin/sh\necho v20.1.0\n"} {
		if err := os.WriteFile(filepath.Join(shims, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{"PATH": shims + ":" + filepath.Join(root, "usr/bin"), "HOME": filepath.Join(root, "home")}
	found := FindInterpreters(t.Context(), InterpreterOptions{Root: root, Env: func(k string) string { return env[k] }, Named: []string{filepath.Join(root, "own")}})
	want := []Interpreter{
		{function.KindPython, "3.11", "python3.11", filepath.Join(root, "usr/bin/python3.11"), filepath.Join(root, "usr")},
		{function.KindPython, "3.12", "python3.12", filepath.Join(root, "home/.pyenv/versions/3.12.10/bin/python3.12"), filepath.Join(root, "home/.pyenv/versions/3.12.10")},
		{function.KindPython, "3.13", "python3.13", filepath.Join(root, "own/bin/python3.13"), filepath.Join(root, "own")},
	}
	if len(found) != len(want) {
		t.Fatalf("got %+v", found)
	}
	for i := range want {
		if found[i] != want[i] {
			t.Errorf("got %+v, want %+v", found[i], want[i])
		}
	}
}
