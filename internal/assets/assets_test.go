package assets

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// TestInstallFolder: twice the same, readable by workers.
func TestInstallFolder(t *testing.T) {
	dir := t.TempDir()
	for name, file := range map[string]string{Python: "cloudjit_runtime.py", NodeJS: "bootstrap.js"} {
		one, err := InstallFolder(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		two, err := InstallFolder(dir, name)
		if err != nil || one != two {
			t.Errorf("got %s and %s, %v", one, two, err)
		}
		if st, err := os.Stat(filepath.Join(one, file)); err != nil || st.Mode().Perm() != 0o444 {
			t.Errorf("got %v, %v", st, err)
		}
	}
}

// TestReseedAddon: Node.js loads it, as often as it likes.
func TestReseedAddon(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil || runtime.GOARCH != "amd64" {
		t.Skip("SKIPPED: there is no Node.js for x86-64 in PATH")
	}
	dir, err := InstallFolder(t.TempDir(), NodeJS)
	if err != nil {
		t.Fatal(err)
	}
	script := `for (let i = 0; i < 3; i++) process.dlopen({ exports: {} }, process.argv[1]); console.log(require("crypto").randomBytes(8).length)`
	out, err := exec.Command(node, "-e", script, filepath.Join(dir, "reseed.node")).CombinedOutput()
	if err != nil || string(out) != "8\n" {
		t.Errorf("got %s, %v", out, err)
	}
}
