package toolchain

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// installerVar tells the process that installer starts what to install: "release" or
// "assembled".
const installerVar = "CLOUDJIT_TEST_INSTALLER"

// TestInstaller is no test but the process that others start and kill.
func TestInstaller(t *testing.T) {
	what := os.Getenv(installerVar)
	if what == "" {
		t.Skip("it is started by other tests")
	}
	cache, mirror := os.Getenv("CLOUDJIT_CACHE"), os.Getenv("CLOUDJIT_TEST_MIRROR")
	var tc Toolchain
	var err error
	if what == "release" {
		d := newDownloader(nil)
		d.pause = time.Millisecond
		tc, err = InstallRelease(t.Context(), ReleaseOptions{Cache: cache, Version: "25.0.2", Mirror: mirror, downloader: d})
	} else {
		tc, err = Assemble(t.Context(), AssembleOptions{Cache: cache})
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(tc); err != nil {
		t.Fatal(err)
	}
}

// installer is a process that installs into cache, in a process group of its own.
func installer(ctx context.Context, t *testing.T, what, cache string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestInstaller$")
	cmd.Env = append(append(os.Environ(), installerVar+"="+what, "CLOUDJIT_CACHE="+cache), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// killed lets it run for a while and reports whether it was not done by then.
func killed(t *testing.T, what, cache string, after time.Duration, env ...string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), after)
	defer cancel()
	out, err := installer(ctx, t, what, cache, env...).CombinedOutput()
	if err != nil && ctx.Err() == nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return err != nil
}

// installAgain lets two run to their end at once and returns what both found.
func installAgain(t *testing.T, what, cache string, env ...string) Toolchain {
	t.Helper()
	var group sync.WaitGroup
	var found [2]Toolchain
	for i := range found {
		group.Go(func() {
			out, err := installer(t.Context(), t, what, cache, env...).CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s", err, out)
				return
			}
			if err := json.NewDecoder(bytes.NewReader(out)).Decode(&found[i]); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	group.Wait()
	if found[0] != found[1] {
		t.Errorf("two at once made %+v and %+v", found[0], found[1])
	}
	if tc, err := inspect(found[0].Home); err != nil || tc != found[0] {
		t.Errorf("it is %+v, %v", tc, err)
	}
	if left := leftovers(t, cache); left != nil {
		t.Errorf("left behind: %v", left)
	}
	return found[0]
}

// slowly sends an answer in pieces, so that there are moments to be killed in.
type slowly struct{ http.ResponseWriter }

func (s slowly) Write(b []byte) (int, error) {
	n := 0
	for piece := range slices.Chunk(b, 16<<10) {
		m, err := s.ResponseWriter.Write(piece)
		n += m
		if err != nil {
			return n, err
		}
		s.ResponseWriter.(http.Flusher).Flush()
		time.Sleep(5 * time.Millisecond)
	}
	return n, nil
}

func TestInstallReleaseKilledAtAnyMoment(t *testing.T) {
	page := newReleasePage(t, tarball(t, distribution("25.0.2")))
	fast := page.Config.Handler
	page.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fast.ServeHTTP(slowly{w}, r) })
	cache, mirror := t.TempDir(), "CLOUDJIT_TEST_MIRROR="+page.URL
	start := time.Now()
	done := !killed(t, "release", t.TempDir(), time.Minute, mirror)
	whole := time.Since(start)
	if !done {
		t.Fatal("it does not end")
	}
	kills := 0
	for range 20 {
		if killed(t, "release", cache, whole/6+rand.N(whole), mirror) {
			kills++
		} else if err := os.RemoveAll(toolchainsDir(cache)); err != nil { // from the start
			t.Fatal(err)
		}
	}
	if kills == 0 {
		t.Error("none was killed")
	}
	t.Logf("a whole installation takes %v; killed %d of 20 times", whole, kills)
	installAgain(t, "release", cache, mirror)
}

// TestAssembleKilledAtAnyMoment takes minutes, and the parts that CLOUDJIT_CACHE has.
func TestAssembleKilledAtAnyMoment(t *testing.T) {
	parts := os.Getenv("CLOUDJIT_CACHE")
	if os.Getenv("CLOUDJIT_ACCEPTANCE") == "" || parts == "" {
		t.Skip("it takes minutes: set CLOUDJIT_ACCEPTANCE=1 and CLOUDJIT_CACHE")
	}
	cache := t.TempDir()
	files, err := filepath.Glob(filepath.Join(parts, "downloads", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s holds no parts of a builder, so \"cloudjit toolchain install assembled\" comes first: %v", parts, err)
	}
	if err := os.Mkdir(filepath.Join(cache, "downloads"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err == nil && info.Mode().IsRegular() {
			if err := copyFile(f, filepath.Join(cache, "downloads", filepath.Base(f))); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range 6 {
		after := time.Second + rand.N(20*time.Second)*time.Duration(i+1)/3
		t.Logf("killed after %v: %t", after, killed(t, "assembled", cache, after))
	}
	start := time.Now()
	tc := installAgain(t, "assembled", cache)
	t.Logf("two at once: %v", time.Since(start))
	if err := os.Truncate(filepath.Join(tc.Home, "lib", "svm", "options"), 10); err != nil {
		t.Fatal(err)
	}
	if again := installAgain(t, "assembled", cache); again != tc {
		t.Errorf("repaired, it is %+v, not %+v", again, tc)
	}
	out, err := exec.CommandContext(t.Context(), tc.NativeImage(), "--version").CombinedOutput()
	if err != nil || !strings.Contains(string(out), builderVersion) {
		t.Errorf("%v: %s", err, out)
	}
}

func TestInstallReleaseThroughProxy(t *testing.T) {
	page := newReleasePage(t, tarball(t, distribution("25.0.2")))
	var asked atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Host != "mirror.invalid" {
			http.Error(w, "not through here", http.StatusBadGateway)
			return
		}
		asked.Add(1)
		resp, err := http.Get(page.URL + r.URL.Path)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
		io.Copy(w, resp.Body)
	}))
	defer proxy.Close()
	var env []string
	for _, name := range []string{"HTTP_PROXY", "http_proxy"} {
		env = append(env, name+"="+proxy.URL)
	}
	installAgain(t, "release", t.TempDir(), append(env, "NO_PROXY=", "no_proxy=", "CLOUDJIT_TEST_MIRROR=http://mirror.invalid")...)
	if n := asked.Load(); n != 2 { // the checksum and the archive
		t.Errorf("the proxy was asked %d times", n)
	}
}
