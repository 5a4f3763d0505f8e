package cloudjit_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// plainPath is the machine's commands without Java's and Maven's.
func plainPath(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	for _, name := range strings.Fields("sh bash sed mktemp cat chmod mkdir rm dirname basename sha256sum uname cut tr awk ls mv expr readlink env grep tar gzip") {
		if path, err := exec.LookPath(name); err == nil {
			if err := os.Symlink(path, filepath.Join(bin, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return bin
}

func writeScript(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// TestFindJDKLooksIntoTheCache: the build uses what "cloudjit toolchain install jdk" installed.
func TestFindJDKLooksIntoTheCache(t *testing.T) {
	cache := t.TempDir()
	home := filepath.Join(cache, "toolchains", "jdk-99")
	writeScript(t, filepath.Join(home, "bin", "javac"), "#!/bin/sh\n")
	writeScript(t, filepath.Join(home, "release"), "JAVA_VERSION=\"99.0.1\"\n")
	cmd := exec.Command("scripts/find-jdk", "99")
	cmd.Env = []string{"PATH=" + plainPath(t), "HOME=" + t.TempDir(), "CLOUDJIT_CACHE=" + cache}
	out, err := cmd.CombinedOutput()
	if got := strings.TrimSpace(string(out)); err != nil || got != home {
		t.Errorf("got %q, %v, want %q", got, err, home)
	}
}

// TestMavenComesByItsWrapper: without Maven, or with one that is too old, the wrapper downloads the pinned one, and
// nothing else is run.
func TestMavenComesByItsWrapper(t *testing.T) {
	var asked atomic.Value
	repository := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.URL.Path)
		_, _ = w.Write([]byte("another archive"))
	}))
	defer repository.Close()
	java := filepath.Join(t.TempDir(), "jdk")
	// The wrapper downloads with Java where there is neither wget nor curl: java -cp DIR Downloader URL FILE.
	writeScript(t, filepath.Join(java, "bin", "javac"), "#!/bin/sh\n")
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Fatal(err)
	}
	writeScript(t, filepath.Join(java, "bin", "java"), "#!/bin/sh\n"+curl+" -sSf -o \"$5\" \"$4\"\n")
	for name, version := range map[string]string{"none": "", "too old": "3.6.3"} {
		t.Run(name, func(t *testing.T) {
			bin := plainPath(t)
			if version != "" {
				writeScript(t, filepath.Join(bin, "mvn"), "#!/bin/sh\necho 'Apache Maven "+version+"'\n")
			}
			cmd := exec.Command("scripts/mvn", "package")
			cmd.Env = []string{"PATH=" + bin, "HOME=" + t.TempDir(), "JAVA_HOME=" + java, "MVNW_REPOURL=" + repository.URL}
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "Failed to validate Maven distribution SHA-256") {
				t.Errorf("got %v: %s", err, out)
			}
			if path, _ := asked.Load().(string); !strings.HasSuffix(path, "-bin.zip") {
				t.Errorf("asked for %q", path)
			}
		})
	}
	t.Run("new enough", func(t *testing.T) {
		bin := plainPath(t)
		writeScript(t, filepath.Join(bin, "mvn"), "#!/bin/sh\n[ \"$1\" = -v ] && echo 'Apache Maven 3.8.7' || echo \"ran $*\"\n")
		cmd := exec.Command("scripts/mvn", "-q", "package")
		cmd.Env = []string{"PATH=" + bin, "HOME=" + t.TempDir()}
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != "ran -q package\n" {
			t.Errorf("got %v: %s", err, out)
		}
	})
}
