package toolchain

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// home lays a JDK out; native says whether it has native-image.
func home(t *testing.T, dir, release string, files ...string) string {
	t.Helper()
	for _, f := range append([]string{"bin/java", "bin/javac"}, files...) {
		path := filepath.Join(dir, f)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "release"), []byte(release), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

const (
	community = "IMPLEMENTOR=\"GraalVM Community\"\nJAVA_VERSION=\"25.0.2\"\nGRAALVM_VERSION=\"25.0.2\"\n"
	oracle    = "IMPLEMENTOR=\"Oracle Corporation\"\nIMPLEMENTOR_VERSION=\"Oracle GraalVM 25.0.1+8.1\"\nJAVA_VERSION=\"25.0.1\"\nGRAALVM_VERSION=\"25.0.1\"\n"
	mandrel   = "IMPLEMENTOR=\"Eclipse Adoptium\"\nJAVA_VERSION=\"25.0.1\"\nGRAALVM_VERSION=\"25.0.1.0-Final\"\n"
	old       = "IMPLEMENTOR=\"GraalVM Community\"\nJAVA_VERSION=\"21.0.2\"\nGRAALVM_VERSION=\"23.1.2\"\n"
	plain     = "IMPLEMENTOR=\"Eclipse Adoptium\"\nJAVA_VERSION=\"25.0.3\"\n"
)

func TestFind(t *testing.T) {
	root := t.TempDir()
	jvm := filepath.Join(root, "usr/lib/jvm")
	newest := home(t, filepath.Join(jvm, "graalvm-25"), community, "bin/native-image", "lib/libnative-image-agent.so")
	sdkman := home(t, filepath.Join(root, "home/.sdkman/candidates/java/25-graal"), oracle, "bin/native-image")
	red := home(t, filepath.Join(root, "opt/mandrel-25"), mandrel, "bin/native-image")
	home(t, filepath.Join(jvm, "graalvm-21"), old, "bin/native-image")
	home(t, filepath.Join(jvm, "temurin-25"), plain)
	if err := os.MkdirAll(filepath.Join(root, "opt/no-jdk-at-all"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(newest, filepath.Join(jvm, "default")); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"HOME": filepath.Join(root, "home"), "JAVA_HOME": filepath.Join(jvm, "temurin-25"),
		"GRAALVM_HOME": filepath.Join(root, "gone"), "PATH": filepath.Join(sdkman, "bin")}
	o := FindOptions{Root: root, Env: func(key string) string { return env[key] }}

	found, rejected := Find(o)
	want := []Toolchain{
		{GraalVM, newest, "25.0.2", "community", true, true},
		{Mandrel, red, "25.0.1.0-Final", "community", false, true},
		{GraalVM, sdkman, "25.0.1", "oracle", false, true},
	}
	if len(found) != len(want) {
		t.Fatalf("got %+v", found)
	}
	for i := range want {
		if found[i] != want[i] {
			t.Errorf("%d: got %+v, want %+v", i, found[i], want[i])
		}
	}
	reasons := map[string]string{"gone": "no such folder", "graalvm-21": "--exact-reachability-metadata", "temurin-25": "without native-image"}
	for _, r := range rejected {
		name := filepath.Base(r.Home)
		if reasons[name] == "" || !strings.Contains(r.Reason, reasons[name]) {
			t.Errorf("%s is rejected because %s", name, r.Reason)
		}
		delete(reasons, name)
	}
	if len(reasons) > 0 {
		t.Errorf("not rejected: %v", reasons)
	}

	o.GraalVMHome = red
	if found, _ := Find(o); found[0].Home != red {
		t.Errorf("the named home does not win: %+v", found)
	}
	jdks := FindJDKs(o)
	if len(jdks) != 5 || jdks[0].Version != "25.0.3" || jdks[0].Vendor != "Eclipse Adoptium" || jdks[4].Feature() != 21 {
		t.Errorf("JDKs: %+v", jdks)
	}
	data, err := json.Marshal(want[1])
	if got := string(data); err != nil || got != `{"kind":"mandrel","home":"`+red+`","version":"25.0.1.0-Final","edition":"community","agent":false,"patches":true}` {
		t.Errorf("JSON: %s %v", got, err)
	}
}

// TestFindByEachWay: a distribution is found by any one of the ways to name it.
func TestFindByEachWay(t *testing.T) {
	root := t.TempDir()
	graal := home(t, filepath.Join(root, "graal"), community, "bin/native-image")
	managed := home(t, filepath.Join(root, "sdk/candidates/java/25"), community, "bin/native-image")
	for name, c := range map[string]struct {
		named, want string
		env         map[string]string
	}{
		"--graalvm-home": {graal, graal, nil},
		"GRAALVM_HOME":   {"", graal, map[string]string{"GRAALVM_HOME": graal}},
		"JAVA_HOME":      {"", graal, map[string]string{"JAVA_HOME": graal}},
		"PATH":           {"", graal, map[string]string{"PATH": "/none:" + filepath.Join(graal, "bin")}},
		"SDKMAN_DIR":     {"", managed, map[string]string{"SDKMAN_DIR": filepath.Join(root, "sdk")}},
	} {
		found, _ := Find(FindOptions{Root: filepath.Join(root, "none"), GraalVMHome: c.named, Env: func(key string) string { return c.env[key] }})
		if len(found) != 1 || found[0].Home != c.want || found[0].Kind != GraalVM {
			t.Errorf("%s: found %+v, want %s", name, found, c.want)
		}
	}
}

func TestDamagedAssembledBuilderIsRejected(t *testing.T) {
	dir := home(t, t.TempDir(), community, "bin/native-image")
	a := &assembly{top: dir, jdk: JDK{Home: dir}}
	if err := a.writeManifest(); err != nil {
		t.Fatal(err)
	}
	if tc, err := inspect(dir); err != nil || tc.Kind != Assembled || tc.Version != builderVersion {
		t.Errorf("got %+v, %v", tc, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bin", "native-image"), []byte("longer"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := inspect(dir); err == nil || !strings.Contains(err.Error(), "install assembled") {
		t.Errorf("got %v", err)
	}
}

func TestCompareVersions(t *testing.T) {
	ordered := []string{"", "21.0.2", "25", "25.0.1", "25.0.1.0-Final", "25.0.2", "25.0.10", "25.1"}
	for i, a := range ordered {
		for j, b := range ordered {
			if got := compareVersions(a, b); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("%q and %q: %d", a, b, got)
			}
		}
	}
}

func FuzzRelease(f *testing.F) {
	f.Add(community)
	f.Add("A=\"\nB=\n=C\n#D=1\n\"=\"\"\"")
	f.Fuzz(func(t *testing.T, text string) {
		for key := range parseRelease(text) {
			if key == "" || strings.Contains(key, "\n") {
				t.Errorf("key %q", key)
			}
		}
		v := parseRelease(text)["JAVA_VERSION"]
		if compareVersions(v, v) != 0 {
			t.Errorf("%q differs from itself", v)
		}
	})
}

func TestMirrors(t *testing.T) {
	deb822 := "Types: deb\nURIs: https://mirror.example/debian\nSuites: x\n\nURIs: http://mirror.example/sec/debian-security/\n"
	for _, c := range []struct{ sources, archive, want string }{
		{deb822, "debian", "https://mirror.example"},
		{deb822, "debian-security", "http://mirror.example/sec"},
		{"deb [signed-by=/k] http://m/debian bookworm main\n", "debian", "http://m"},
		{"# deb http://m/debian bookworm main\ndeb http://archive.example/ubuntu x main", "debian", ""},
	} {
		if got := mirrorIn(c.sources, c.archive); got != c.want {
			t.Errorf("%q, %s: got %q, want %q", c.sources, c.archive, got, c.want)
		}
	}
	settings := "<settings><mirrors><mirror><mirrorOf>%s</mirrorOf><url> https://m/maven </url></mirror></mirrors></settings>"
	for of, want := range map[string]string{"*": "https://m/maven", "a,central": "https://m/maven", "other": mavenCentral} {
		if got := mirrorOfCentral(strings.NewReader(strings.Replace(settings, "%s", of, 1))); got != want {
			t.Errorf("%s: got %s", of, got)
		}
	}
}

func FuzzMirrors(f *testing.F) {
	f.Add("URIs: http://m/debian\n")
	f.Add("deb http:// x\ndeb-src")
	f.Add("<settings><mirrors><mirror><mirrorOf>*</mirrorOf><url>http://x</url></mirror></mirrors></settings>")
	f.Fuzz(func(t *testing.T, text string) {
		if got := mirrorIn(text, "debian"); got != "" && !strings.HasPrefix(got, "http") {
			t.Errorf("mirror %q", got)
		}
		if got := mirrorOfCentral(strings.NewReader(text)); !strings.HasPrefix(got, "http") {
			t.Errorf("mirror %q", got)
		}
	})
}
