package toolchain

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// JDK is a Java development kit on this machine.
type JDK struct {
	Home string `json:"home"`
	// Version is what the release file says: "25.0.3".
	Version string `json:"version"`
	// Vendor is the implementor: "Eclipse Adoptium".
	Vendor string `json:"vendor"`

	runtimeVersion string
	modules        []string
	graal          string // GraalVM's version, if it is one
}

// Feature is the number of the Java release: 25.
func (j JDK) Feature() int {
	first, _, _ := strings.Cut(j.Version, ".")
	n, err := strconv.Atoi(first)
	if err != nil {
		return 0
	}
	return n
}

// Java is the launcher.
func (j JDK) Java() string { return filepath.Join(j.Home, "bin", "java") }

// Agent reports that it brings native-image-agent, as GraalVM distributions do.
func (j JDK) Agent() bool {
	for _, library := range []string{"libnative-image-agent.so", "libnative-image-agent.dylib"} {
		if _, err := os.Stat(filepath.Join(j.Home, "lib", library)); err == nil {
			return true
		}
	}
	return false
}

// FindJDKs lists the JDKs of the machine, newest first: JAVA_HOME, PATH, SDKMAN, the usual folders, and what InstallJDK
// put into the cache. It runs nothing.
func FindJDKs(o FindOptions) []JDK {
	var found []JDK
	for _, home := range o.homes() {
		if o.Cache != "" && home.source == toolchainsDir(o.Cache) && !strings.HasPrefix(filepath.Base(home.path), jdkPrefix) {
			continue // a builder
		}
		j, err := readJDK(home.path)
		if err != nil || !executable(filepath.Join(j.Home, "bin", "javac")) {
			continue
		}
		if !slices.ContainsFunc(found, func(f JDK) bool { return f.Home == j.Home }) {
			found = append(found, j)
		}
	}
	slices.SortStableFunc(found, func(a, b JDK) int { return -compareVersions(a.Version, b.Version) })
	return found
}

// JDKAt is the JDK in a folder that somebody names.
func JDKAt(home string) (JDK, error) {
	j, err := readJDK(home)
	if err != nil {
		return j, fmt.Errorf("no JDK: %w", err)
	}
	return j, nil
}

// readJDK reads the release file of a home.
func readJDK(home string) (JDK, error) {
	real, err := filepath.EvalSymlinks(home)
	if err != nil {
		return JDK{}, err
	}
	data, err := os.ReadFile(filepath.Join(real, "release"))
	if err != nil {
		return JDK{}, err
	}
	r := parseRelease(string(data))
	j := JDK{
		Home:           real,
		Version:        r["JAVA_VERSION"],
		Vendor:         r["IMPLEMENTOR"],
		runtimeVersion: r["JAVA_RUNTIME_VERSION"],
		modules:        strings.Fields(r["MODULES"]),
		graal:          r["GRAALVM_VERSION"],
	}
	if j.Version == "" {
		return JDK{}, fmt.Errorf("%s/release names no JAVA_VERSION", real)
	}
	if !executable(j.Java()) {
		return JDK{}, fmt.Errorf("%s has no bin/java", real)
	}
	return j, nil
}

// parseRelease reads the KEY="value" lines of a JDK's release file.
func parseRelease(text string) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || key == "" || strings.HasPrefix(key, "#") {
			continue
		}
		value = strings.TrimSpace(value)
		if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
			value = value[1 : len(value)-1]
		}
		values[key] = value
	}
	return values
}

// compareVersions orders "25.0.10" after "25.0.9" and "25.0.1+9" after "25.0.1".
func compareVersions(a, b string) int {
	split := func(s string) []string {
		return strings.FieldsFunc(s, func(r rune) bool { return r == '.' || r == '+' || r == '-' || r == '_' })
	}
	x, y := split(a), split(b)
	for i := range min(len(x), len(y)) {
		m, errM := strconv.Atoi(x[i])
		n, errN := strconv.Atoi(y[i])
		c := cmp.Compare(m, n)
		if errM != nil || errN != nil {
			c = cmp.Compare(x[i], y[i])
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Compare(len(x), len(y))
}

// errNoJDK is a machine on which nothing can run the builder.
var errNoJDK = errors.New("no JDK found")

// builderJDK picks the JDK that runs the assembled builder.
func builderJDK(o FindOptions) (JDK, error) {
	for _, j := range FindJDKs(o) {
		if j.suitsBuilder() {
			return j, nil
		}
	}
	return JDK{}, &Error{Op: "assemble the builder", Err: fmt.Errorf("%w of Java %d for %s/%s", errNoJDK, builderFeature, runtime.GOOS, runtime.GOARCH),
		Hint: fmt.Sprintf("install one with: cloudjit toolchain install jdk; or: apt-get install openjdk-%d-jdk-headless; or set JAVA_HOME", builderFeature)}
}

// suitsBuilder: the builder needs its own Java release, with the compiler interface, and no
// other Graal compiler in it.
func (j JDK) suitsBuilder() bool {
	return j.Feature() == builderFeature && j.graal == "" && (len(j.modules) == 0 || slices.Contains(j.modules, "jdk.internal.vm.ci"))
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
