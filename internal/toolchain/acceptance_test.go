package toolchain

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestAcceptance builds the probe with the assembled builder and compares what it prints with
// HotSpot. It assembles the builder in $CLOUDJIT_CACHE where it is missing and takes minutes:
//
//	CLOUDJIT_ACCEPTANCE=1 CLOUDJIT_CACHE=~/.cache/cloudjit go test -timeout 60m -run Acceptance ./internal/toolchain
func TestAcceptance(t *testing.T) {
	if os.Getenv("CLOUDJIT_ACCEPTANCE") == "" {
		t.Skip("it takes minutes: set CLOUDJIT_ACCEPTANCE=1")
	}
	cache := os.Getenv("CLOUDJIT_CACHE")
	if cache == "" {
		cache = t.TempDir()
	}
	tc, err := Assemble(t.Context(), AssembleOptions{Cache: cache, Progress: func(p Progress) {
		if p.Done == 0 {
			t.Log(p.Step)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	command := func(name string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	source, err := filepath.Abs("testdata/probe/Probe.java")
	if err != nil {
		t.Fatal(err)
	}
	command(filepath.Join(tc.Home, "bin", "javac"), "-nowarn", "-d", "classes", source)
	command(filepath.Join(tc.Home, "bin", "keytool"), "-genkeypair", "-alias", "probe", "-keyalg", "EC", "-dname", "CN=localhost",
		"-validity", "3650", "-storetype", "PKCS12", "-keystore", "keys.p12", "-storepass", "changeit")
	image := os.Getenv("CLOUDJIT_PROBE_IMAGE") // one that was built before, to repeat the comparison
	if image == "" {
		image = filepath.Join(dir, "probe")
		command(tc.NativeImage(), "-cp", "classes", "-Ob", "--no-fallback", "--enable-url-protocols=http",
			"-H:+UnlockExperimentalVMOptions", "-H:+AddAllCharsets", "-H:IncludeLocales=de,fr,ja,en", "-J-Xmx4g", "-o", image, "Probe")
	}
	hotspot := func(args ...string) *exec.Cmd {
		return exec.CommandContext(t.Context(), tc.Java(), append([]string{"-Xmx96m", "-cp", "classes", "Probe"}, args...)...)
	}
	native := func(args ...string) *exec.Cmd {
		return exec.CommandContext(t.Context(), image, append([]string{"-Xmx96m"}, args...)...)
	}
	type outcome struct {
		out    string
		status int
	}
	run := func(cmd *exec.Cmd, env ...string) outcome {
		t.Helper()
		var out bytes.Buffer
		cmd.Dir, cmd.Stdin, cmd.Stdout = dir, strings.NewReader("süß\n"), &out
		cmd.Env = append(os.Environ(), env...)
		var exit *exec.ExitError
		if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return outcome{out.String(), cmd.ProcessState.ExitCode()}
	}
	for _, env := range [][]string{
		{"LANG=C.UTF-8", "LC_ALL=C.UTF-8", "TZ=UTC"},
		{"LANG=C.UTF-8", "LC_ALL=C.UTF-8", "TZ=Europe/Berlin"},
	} {
		want, got := run(hotspot("all", "keys.p12"), env...), run(native("all", "keys.p12"), env...)
		if got != want {
			t.Errorf("%v: native ends with %d, HotSpot with %d", env, got.status, want.status)
			a, b := strings.Split(want.out, "\n"), strings.Split(got.out, "\n")
			for i := range min(len(a), len(b)) {
				if a[i] != b[i] {
					t.Errorf("HotSpot: %s\nnative:  %s", a[i], b[i])
				}
			}
		}
	}
	for _, args := range [][]string{{"exit", "42"}, {"throw"}, {"limits"}} {
		want, got := run(hotspot(args...)), run(native(args...))
		if got != want {
			t.Errorf("%v: native %+v, HotSpot %+v", args, got, want)
		}
	}
	terminated := native("wait")
	terminated.Dir = dir
	var out bytes.Buffer
	terminated.Stdout = &out
	if err := terminated.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	if err := terminated.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = terminated.Wait() // it ends by a signal's status, which is checked
	if got, want := terminated.ProcessState.ExitCode(), 128+15; got != want || out.String() != "ready\nhook ran\n" {
		t.Errorf("after SIGTERM: exit status %d, want %d; %q", got, want, out.String())
	}
}
