package server_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/toolchain"
)

// profilingBuilder makes a home whose native-image offers profiles. What it makes is the guest behind a script, which writes
// what it is told to as a profile when it ends. It refuses to build with what is no profile of that script's.
func profilingBuilder(t *testing.T, dir string) string {
	t.Helper()
	slowBuilder(t, dir)
	for file, content := range map[string]string{
		"bin/native-image": `#!/bin/sh
if [ "$1" = --help ]; then echo "    --pgo-instrument      instrument AOT-compiled code to collect data"; exit 0; fi
for a; do case $a in @*) set -- "$@" $(cat "${a#@}");; esac; done
profiles=
while [ $# -gt 0 ]; do
	case $1 in
	-o) out=$2 ;;
	--pgo=*) profiles=$(echo "${1#--pgo=}" | tr , ' ') ;;
	esac
	shift
done
for p in $profiles; do grep -q '"guest"' "$p" || { echo "Error: cannot read $p"; exit 1; }; done
cp ` + filepath.Join(dir, "wrapper") + ` "$out"
cp ` + filepath.Join(dir, "guest") + ` "$(dirname "$out")/libguest.so"
`,
		"wrapper": `#!/bin/sh
for a; do case $a in -XX:ProfilesDumpFile=*) profile=${a#*=} ;; esac; done
"${0%/*}/libguest.so" "$@" &
trap 'kill $!; wait $!; [ -z "$profile" ] || echo "{\"version\":\"1.0.0\",\"types\":[],\"methods\":[{\"id\":0,\"name\":\"guest\",\"signature\":[]}]}" > "$profile"; exit 143' TERM
wait $!
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// inliningBuilder makes a home whose classes are those of the builder that takes our inliner; its programs are stand-ins. What its
// native-image makes is the guest, if it is given a profile of HotSpot's and told to use it.
func inliningBuilder(t *testing.T, dir string) string {
	t.Helper()
	found, _ := toolchain.Find(toolchain.FindOptions{Cache: config.CacheDir()})
	if len(found) == 0 || found[0].Inlines() != nil {
		t.Skip("SKIPPED: no builder that takes our inliner: cloudjit toolchain install")
	}
	slowBuilder(t, dir)
	if err := os.MkdirAll(filepath.Join(dir, "lib", "svm"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(found[0].Home, "lib", "svm", "builder"), filepath.Join(dir, "lib", "svm", "builder")); err != nil {
		t.Fatal(err)
	}
	for file, content := range map[string]string{
		"bin/java": "#!/bin/sh\ncase \"$*\" in *image.Patcher*) exit 0 ;; esac\nexit 1\n",
		"bin/native-image": `#!/bin/sh
for a; do case $a in @*) set -- "$@" $(cat "${a#@}");; esac; done
while [ $# -gt 0 ]; do
	case $1 in
	-o) out=$2 ;;
	-J-Ddev.cloudjit.profile=*) profile=${1#-J-Ddev.cloudjit.profile=} ;;
	--features=*CloudJitInliner) inlines=yes ;;
	esac
	shift
done
if [ -n "$inlines" ]; then
	head -1 "$profile" | grep -qx 'cloudjit-profile 1' && grep -q '^method .* hot$' "$profile" || { echo "Error: cannot read $profile"; exit 1; }
fi
cp ` + filepath.Join(dir, "guest") + ` "$out"
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestProfiledThroughTheServer: a worker records a profile while it serves, what it writes at its end is built with, and the new binary
// serves; a kill of the server in the middle loses nothing. The worker is an instrumented binary, or HotSpot. The builders are stand-ins.
func TestProfiledThroughTheServer(t *testing.T) {
	for _, tt := range []struct {
		name    string
		builder func(*testing.T, string) string
		rung    string // that records
		process string // what the recorder's command line has
	}{
		{"an instrumented binary", profilingBuilder, "native-instrumented", "ProfilesDumpFile=/opt/cloudjit/record/"},
		{"HotSpot", inliningBuilder, "hotspot", "LogFile=/opt/cloudjit/record/"},
	} {
		t.Run(tt.name, func(t *testing.T) { profiled(t, tt.builder, tt.rung, tt.process) })
	}
}

func profiled(t *testing.T, builder func(*testing.T, string) string, rung, process string) {
	o, dir, tmp := newOptions(t)
	o.Config.Builder.GraalVM = builder(t, filepath.Join(dir, "graalvm"))
	o.Config.Checks.Enabled = false // the builder's binary is another program
	o.Config.Policy.Name = "paper"  // one recorder less to wait for
	c := spawn(t, o, tmp)
	defer func() { _ = c.cmd.Process.Kill() }()
	mark := filepath.Base(filepath.Dir(dir)) + filepath.Base(dir)
	c.create(t, "greeter", "java21", "Greeter::handle", javaJar(t, "Greeter", false), map[string]any{
		"Timeout": 10, "MemorySize": 256, "Environment": map[string]any{"Variables": map[string]string{"TAG": "g", "MARK": mark}},
	})
	ask := func() string {
		status, head, body, err := c.call("POST", functionsPath+"/greeter/invocations", map[string]any{"id": "1"})
		if err != nil || status != http.StatusOK {
			t.Fatalf("got %d %s, %v", status, body, err)
		}
		if head.Get("X-Amz-Function-Error") != "" { // of the worker that is ended below
			return ""
		}
		return head.Get("X-Cloudjit-Rung")
	}
	phase := func(rung string) string {
		var got struct {
			Pipeline struct {
				Ladder []struct{ Rung, Phase string }
			}
		}
		if err := json.Unmarshal(c.must(t, "GET", "/cloudjit/v1/functions/greeter", nil), &got); err != nil {
			t.Fatal(err)
		}
		for _, r := range got.Pipeline.Ladder {
			if r.Rung == rung {
				return r.Phase
			}
		}
		return "none"
	}
	began := time.Now()
	step := func(what string) { t.Logf("%s after %.1f s", what, time.Since(began).Seconds()) }
	ask()
	c.must(t, "POST", "/cloudjit/v1/functions/greeter/optimize", map[string]string{"rung": "native-profiled"})
	defer func() {
		if t.Failed() {
			b, _ := os.ReadFile(filepath.Join(dir, "server.log"))
			t.Logf("%s\nthe servers' log:\n%s", c.must(t, "GET", "/cloudjit/v1/functions/greeter", nil), b[max(0, len(b)-8<<10):])
		}
	}()
	recorders := func() (pids []int) {
		for _, pid := range processes(process) {
			if b, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ")); strings.Contains(string(b), mark) {
				pids = append(pids, pid)
			}
		}
		return pids
	}
	until(t, "the recorder serves", func() bool { return ask() == rung && len(recorders()) > 0 })

	step("recording")

	_ = c.end(syscall.SIGKILL)
	c = spawn(t, o, tmp)
	until(t, "the recorder serves after the restart", func() bool { return ask() == rung && len(recorders()) > 0 })
	for served := 0; served < 200; {
		if ask() == rung {
			served++
		}
	}
	step("recorded")
	// It would go on for a minute. What ends in good order before leaves its profile, too.
	for _, pid := range recorders() {
		_ = syscall.Kill(pid, syscall.SIGTERM)
	}
	until(t, "the profiled binary serves", func() bool { return ask() == "native-profiled" })
	step("there")
	if p := phase("native-instrumented"); p != "dropped" && rung != "hotspot" || p != "none" && rung == "hotspot" {
		t.Errorf("the instrumented binary is %s", p)
	}
	recordings := func() int {
		files, _ := filepath.Glob(filepath.Join(o.Config.Data, "*", "recordings", "*.profile.*"))
		return len(files)
	}
	if recordings() == 0 {
		t.Error("the profile is not kept")
	}
	c.must(t, "DELETE", functionsPath+"/greeter", nil)
	until(t, "no recording is left", func() bool { return recordings() == 0 })
	if err := c.end(syscall.SIGTERM); err != nil {
		t.Errorf("a clean stop: %v", err)
	}
	if left := leftovers(t, o, tmp); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
