package toolchain

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cloudjit/cloudjit/internal/ziptest"
)

// driverHome is a builder's home with everything but the builder: enough for --dry-run.
var driverHome = sync.OnceValues(func() (string, error) {
	jdk, err := builderJDK(FindOptions{})
	if err != nil {
		return "", err
	}
	home, err := os.MkdirTemp("", "driver-")
	if err != nil {
		return "", err
	}
	a := &assembly{jdk: jdk, work: home, top: filepath.Join(home, "home"), svm: filepath.Join(home, "home", "lib", "svm")}
	if err := a.layout(nil); err != nil {
		return "", err
	}
	files, err := writeGlue("driver", filepath.Join(home, "driver"))
	if err != nil {
		return "", err
	}
	args := append([]string{"-Xlint:all", "-Werror", "-J-XX:TieredStopAtLevel=1", "-d", filepath.Join(a.svm, "driver")}, files...)
	if out, err := exec.Command(filepath.Join(jdk.Home, "bin", "javac"), args...).CombinedOutput(); err != nil {
		return "", errors.New(string(out))
	}
	if err := os.WriteFile(filepath.Join(a.svm, "builder", "compiler-1.jar"), nil, 0o644); err != nil {
		return "", err
	}
	return a.top, copyFile("testdata/driver/options", filepath.Join(a.svm, "options"))
})

// madeDriverHome is set when a test asked for the driver's home, so that only then it is removed.
var madeDriverHome atomic.Bool

func TestMain(m *testing.M) {
	status := m.Run()
	if madeDriverHome.Load() {
		if home, err := driverHome(); err == nil {
			os.RemoveAll(filepath.Dir(home))
		}
	}
	os.Exit(status)
}

// drive runs the command with --dry-run in dir and returns what it would give to the builder.
func drive(t *testing.T, dir string, env []string, args ...string) (jvm, builder []string, stderr string, status int) {
	t.Helper()
	madeDriverHome.Store(true)
	home, err := driverHome()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(home, "bin", "native-image"), append([]string{"--dry-run"}, args...)...)
	cmd.Dir = dir
	scratch := t.TempDir()
	cmd.Env = append(append(os.Environ(), "TMPDIR="+scratch, "CLASSPATH=", "NATIVE_IMAGE_OPTIONS="), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
		t.Errorf("scratch left behind: %v %v", left, err)
	}
	text := out.String()
	if _, after, ok := strings.Cut(text, "Executing [\n"); ok {
		command, rest, _ := strings.Cut(after, "\n]\n")
		jvm = strings.Split(command, " \\\n")
		_, list, _ := strings.Cut(rest, "[\n")
		builder = strings.Split(strings.TrimSuffix(list, "\n]\n"), "\n")
	}
	before, _, _ := strings.Cut(text, "Executing [")
	return jvm, builder, errs.String() + before, cmd.ProcessState.ExitCode()
}

// jarFile writes a JAR with the given entries and returns its path.
func jarFile(t *testing.T, path string, entries map[string]string) string {
	t.Helper()
	if err := os.WriteFile(path, ziptest.OfMap(t, entries), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDriverOptions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file.args"), []byte("# options\n--features=a.B 'c d'\n-H:Name2=\"x y\\tz\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	jvm, builder, stderr, status := drive(t, dir, []string{"NATIVE_IMAGE_OPTIONS=-J-Xmx3g"},
		"-cp", "classes:"+dir, "-Ob", "-march=native", "--exact-reachability-metadata", "--no-fallback", "-g",
		"--initialize-at-build-time=a.B,c.D", "--initialize-at-run-time=e", "--gc=epsilon", "--enable-url-protocols=http,https",
		"--add-opens", "java.base/java.lang=ALL-UNNAMED", "--add-exports=java.base/sun.misc=ALL-UNNAMED", "-ea:com.example...",
		"-H:+AddAllCharsets", "-H:IncludeLocales=de", "-H:Given@origin=1", "-R:MaxHeapSize=64m", "-Dkey=value", "-J-Xms1g",
		"-o", "out/app", "@file.args")
	if status != 0 {
		t.Fatalf("exit status %d: %s", status, stderr)
	}
	for _, want := range []string{
		"-Xmx3g", "-Xms1g", "-Dkey=value",
		"-Djava.lang.invoke.MethodHandle.PROFILE_GWT=false", // else images interpret what a record's equals is made of
	} {
		if !slices.Contains(jvm, want) {
			t.Errorf("the virtual machine does not get %s: %v", want, jvm)
		}
	}
	for _, want := range []string{
		"-imagecp", dir,
		"-H:Optimize@user+api=b",
		"-H:MicroArchitecture@user+api=native",
		"-H:ThrowMissingRegistrationErrors@user+api=",
		"-H:FallbackThreshold@user+api=0",
		"-H:GenerateDebugInfo@user+api=2",
		"-H:ClassInitialization@user+api=a.B:build_time,c.D:build_time",
		"-H:ClassInitialization@user+api=e:run_time",
		"-H:+UseEpsilonGC@user+api",
		"-H:EnableURLProtocols@user+api=http,https",
		"-H:AddOpens@user+api=java.base/java.lang=ALL-UNNAMED",
		"-H:AddExports@user+api=java.base/sun.misc=ALL-UNNAMED",
		"-H:RuntimeAssertions@user+api=+com.example...",
		"-H:+AddAllCharsets@user",
		"-H:IncludeLocales@user=de",
		"-H:Given@origin=1",
		"-R:MaxHeapSize@user=64m",
		"-H:Features@user+api=a.B",
		"-H:Name2@user=x y\tz",
		"-H:Class@driver=c d",
		"-H:Path@driver=" + filepath.Join(dir, "out"),
		"-H:Name@driver=app",
	} {
		if !slices.Contains(builder, want) {
			t.Errorf("the builder does not get %s", want)
		}
	}
	if t.Failed() {
		t.Log(strings.Join(builder, "\n"))
	}
}

func TestDriverJar(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "lib"), 0o755); err != nil {
		t.Fatal(err)
	}
	library := jarFile(t, filepath.Join(dir, "lib", "library.jar"), map[string]string{
		"META-INF/native-image/g/a/native-image.properties":    "Args = --initialize-at-build-time=lib \\\n -H:ReflectionConfigurationResources=${.}/r.json\nJavaArgs=-Xmx9g\n",
		"META-INF/native-image/g/a/reachability-metadata.json": "{}",
		"META-INF/native-image/g/b/reflect-config.json":        "[]",
	})
	app := jarFile(t, filepath.Join(dir, "my-app.jar"), map[string]string{
		"META-INF/MANIFEST.MF":                              "Manifest-Version: 1.0\nMain-Class: com.example.Main\nClass-Path: lib/library.jar lib/none.jar\nAdd-Opens: java.base/java.util\n\n",
		"META-INF/native-image/bad/native-image.properties": "Args = --link-at-build-time\n",
	})
	_, builder, stderr, status := drive(t, dir, nil, "-jar", "my-app.jar", "--exclude-config", `.*my-app.*\.jar`, `^/META-INF/native-image/bad/.*`)
	if status != 0 {
		t.Fatalf("exit status %d: %s", status, stderr)
	}
	origin := "jar:file://" + library + "!/META-INF/native-image/g/"
	for _, want := range []string{
		app + ":" + library,
		"-H:Class@driver=com.example.Main",
		"-H:Name@driver=my-app",
		"-H:AddOpens@driver=java.base/java.util=ALL-UNNAMED",
		"-H:ClassInitialization@" + origin + "a/native-image.properties+api=lib:build_time",
		"-H:ReflectionConfigurationResources@" + origin + "a/native-image.properties=META-INF/native-image/g/a/r.json",
		"-H:ReachabilityMetadataResources@" + origin + "a/reachability-metadata.json=META-INF/native-image/g/a/reachability-metadata.json",
		"-H:ReflectionConfigurationResources@" + origin + "b/reflect-config.json=META-INF/native-image/g/b/reflect-config.json",
	} {
		if !slices.Contains(builder, want) {
			t.Errorf("the builder does not get %s", want)
		}
	}
	if slices.ContainsFunc(builder, func(s string) bool { return strings.Contains(s, "LinkAtBuildTime") }) {
		t.Error("the excluded configuration is used")
	}
	if t.Failed() {
		t.Log(strings.Join(builder, "\n"))
	}
}

func TestDriverFailures(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"loop.args": "@loop.args", "one.args": "-g @two.args", "two.args": "@one.args", "latin.args": "\xfc",
		"not.jar": "no archive", "nested.args": "@none.args", "quoted.args": `"--no such"`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	jarFile(t, filepath.Join(dir, "escape.jar"), map[string]string{"META-INF/native-image/native-image.properties": `Args=\uZZZZ`})
	jarFile(t, filepath.Join(dir, "value.jar"), map[string]string{"META-INF/native-image/native-image.properties": "Args=-g \\\n --features"})
	jarFile(t, filepath.Join(dir, "main.jar"), map[string]string{"META-INF/native-image/a/b/native-image.properties": "Args=-cp x"})
	jarFile(t, filepath.Join(dir, "nomain.jar"), map[string]string{"a": ""})
	jarFile(t, filepath.Join(dir, "odd.jar"), map[string]string{"META-INF/native-image/native-image.properties": "Args=--no-such-option"})
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--no-such-option", "Main"}, "unrecognized option '--no-such-option'"},
		{[]string{"-Zx", "Main"}, "unrecognized option '-Zx'"},
		{[]string{"--pgo=x.iprof", "Main"}, "needs Oracle GraalVM"},
		{[]string{"--gc=G1", "Main"}, "needs Oracle GraalVM"},
		{[]string{"--features", "Main"}, "needs a value"},
		{[]string{"-cp"}, "needs a value"},
		{[]string{"-cp", "."}, "name the main class"},
		{[]string{"@none.args"}, "cannot read argument file none.args"},
		{[]string{"@nested.args"}, "cannot read argument file none.args"},
		{[]string{"@."}, "cannot read argument file ."},
		{[]string{"@latin.args"}, "cannot read argument file latin.args"},
		{[]string{"@loop.args"}, "contains itself"},
		{[]string{"@one.args"}, "contains itself"},
		{[]string{"@quoted.args", "Main"}, "unrecognized option '--no such'"},
		{[]string{"-cp", "not.jar", "Main"}, "not.jar: zip"},
		{[]string{"-cp", "escape.jar", "Main"}, "cannot read jar:"},
		{[]string{"-cp", "value.jar", "Main"}, "option --features needs a value"},
		{[]string{"-cp", "main.jar", "Main"}, "unrecognized option '-cp' in jar:"},
		{[]string{"-jar", "none.jar"}, "cannot read none.jar"},
		{[]string{"-jar", "nomain.jar"}, "no Main-Class"},
		{[]string{"-cp", "odd.jar", "Main"}, "unrecognized option '--no-such-option' in jar:"},
		{[]string{"Main", "name", "more"}, "unexpected argument 'more'"},
		{[]string{"--exclude-config", "(", ".*", "Main"}, "not a regular expression"},
	} {
		_, _, stderr, status := drive(t, dir, nil, c.args...)
		if status != 20 || !strings.Contains(stderr, c.want) {
			t.Errorf("%v: exit status %d, want 20; got %q, want %q", c.args, status, stderr, c.want)
		}
	}
}

func TestDriverHelp(t *testing.T) {
	t.Parallel()
	_, _, text, status := drive(t, t.TempDir(), nil, "--version")
	if status != 0 || !strings.HasPrefix(text, "native-image "+builderVersion+"\n") {
		t.Errorf("exit status %d: %q", status, text)
	}
	_, _, text, status = drive(t, t.TempDir(), nil, "--help")
	for _, want := range []string{"-march=<value>", "--exact-reachability-metadata", "-O<value>", "-o <value>"} {
		if status != 0 || !strings.Contains(text, want) {
			t.Errorf("exit status %d, the help lacks %s", status, want)
		}
	}
}

// TestDriverPatches: the JVM takes one --patch-module of a module, so the user's joins the driver's own; those of other
// modules are none of its business.
func TestDriverPatches(t *testing.T) {
	t.Parallel()
	jvm, _, stderr, status := drive(t, t.TempDir(), nil, "-cp", ".", "-J--patch-module=org.graalvm.nativeimage.builder=/a/patch", "-J--patch-module=java.base=/b", "x.Main")
	if status != 0 {
		t.Fatalf("exit status %d: %s", status, stderr)
	}
	var patches []string
	for _, option := range jvm {
		if strings.HasPrefix(option, "--patch-module") {
			patches = append(patches, option)
		}
	}
	if len(patches) != 2 || !strings.HasSuffix(patches[0], "/lib/svm/patch:/a/patch") || patches[1] != "--patch-module=java.base=/b" {
		t.Errorf("got %q", patches)
	}
}
