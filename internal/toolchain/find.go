package toolchain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// FindOptions say where to look besides the usual places.
type FindOptions struct {
	// GraalVMHome is a home that the user named; it wins over all others.
	GraalVMHome string
	// Cache is CloudJIT's cache folder, where Assemble and InstallRelease put builders.
	Cache string
	// Env replaces the environment, and Root the top of the file system; for tests.
	Env  func(key string) string
	Root string
}

// sourceFlag is where a home comes from that the user named.
const sourceFlag = "--graalvm-home"

// candidate is a folder that may be a home, and who named it.
type candidate struct{ path, source string }

// homes lists folders that may be homes, in the order of precedence.
func (o FindOptions) homes() []candidate {
	env := o.Env
	if env == nil {
		env = os.Getenv
	}
	var list []candidate
	add := func(path, source string) {
		if path != "" {
			list = append(list, candidate{path, source})
		}
	}
	add(o.GraalVMHome, sourceFlag)
	add(env("GRAALVM_HOME"), "GRAALVM_HOME")
	add(env("JAVA_HOME"), "JAVA_HOME")
	for _, dir := range filepath.SplitList(env("PATH")) {
		for _, command := range []string{"native-image", "java"} {
			if real, err := filepath.EvalSymlinks(filepath.Join(dir, command)); err == nil && executable(real) {
				home := filepath.Dir(filepath.Dir(real))
				if filepath.Base(home) == "jre" {
					home = filepath.Dir(home)
				}
				add(home, "PATH")
			}
		}
	}
	user := env("HOME")
	sdkman := env("SDKMAN_DIR")
	if sdkman == "" && user != "" {
		sdkman = filepath.Join(user, ".sdkman")
	}
	patterns := []string{filepath.Join(sdkman, "candidates", "java", "*")}
	if user != "" {
		patterns = append(patterns, filepath.Join(user, ".jdks", "*"))
	}
	patterns = append(patterns, o.Root+"/usr/lib/jvm/*", o.Root+"/opt/*", o.Root+"/usr/java/*", o.Root+"/usr/local/graalvm*")
	if runtime.GOOS == "darwin" {
		patterns = append(patterns, o.Root+"/Library/Java/JavaVirtualMachines/*/Contents/Home",
			filepath.Join(user, "Library/Java/JavaVirtualMachines/*/Contents/Home"))
	}
	if o.Cache != "" {
		patterns = append(patterns, filepath.Join(toolchainsDir(o.Cache), "*"))
	}
	for _, pattern := range patterns {
		matches, _ := filepath.Glob(pattern) // a bad pattern comes from an odd name and matches nothing
		for _, m := range matches {
			if info, err := os.Stat(m); err == nil && info.IsDir() && !strings.Contains(filepath.Base(m), ".tmp-") {
				add(m, filepath.Dir(pattern))
			}
		}
	}
	return list
}

// Rejection is a folder that is no suitable builder, and why.
type Rejection struct {
	Home string `json:"home"`
	// Source is what led there: "GRAALVM_HOME", "PATH", "/usr/lib/jvm".
	Source string `json:"source"`
	// Reason is a sentence.
	Reason string `json:"reason"`
}

// oldestFeature is the first Java release whose native-image has --exact-reachability-metadata,
// without which a missing element is no certain signal.
const oldestFeature = 23

// patchFeature is the first Java release whose JDK has java.lang.classfile, which patches builders.
const patchFeature = 24

// Find lists the suitable builders of the machine, best first: the one that the user named,
// then the newest, official ones before assembled ones. It runs nothing.
func Find(o FindOptions) (found []Toolchain, rejected []Rejection) {
	seen := map[string]bool{}
	named := ""
	for _, c := range o.homes() {
		home := c.path
		if real, err := filepath.EvalSymlinks(home); err == nil {
			home = real
		}
		if seen[home] {
			continue
		}
		seen[home] = true
		tc, err := inspect(home)
		if errors.Is(err, errNotJDK) && filepath.IsAbs(c.source) {
			continue // nobody named it: it only stands where JDKs stand too
		}
		if err != nil {
			rejected = append(rejected, Rejection{Home: home, Source: c.source, Reason: err.Error()})
			continue
		}
		if o.GraalVMHome != "" && c.source == sourceFlag {
			named = home
		}
		found = append(found, tc)
	}
	slices.SortStableFunc(found, func(a, b Toolchain) int {
		switch {
		case a.Home == named:
			return -1
		case b.Home == named:
			return 1
		}
		if c := -compareVersions(a.Version, b.Version); c != 0 {
			return c
		}
		rank := map[Kind]int{GraalVM: 0, Mandrel: 1, Assembled: 2}
		if c := cmp.Compare(rank[a.Kind], rank[b.Kind]); c != 0 || a.Kind != Assembled {
			return c
		}
		return -cmp.Compare(modified(a.Home), modified(b.Home)) // of several assembled ones the latest
	})
	return found, rejected
}

func modified(home string) int64 {
	info, err := os.Stat(filepath.Join(home, manifestName))
	if err != nil {
		return 0
	}
	return info.ModTime().UnixNano()
}

var errNotJDK = errors.New("it has no release file, so it is no JDK")

// inspect tells what a home is; the error is the reason to reject it.
func inspect(home string) (Toolchain, error) {
	if info, err := os.Stat(home); err != nil || !info.IsDir() {
		return Toolchain{}, errors.New("there is no such folder")
	}
	if _, err := os.Stat(filepath.Join(home, manifestName)); err == nil {
		tc, err := readAssembled(home)
		if err != nil {
			return Toolchain{}, fmt.Errorf("%w; 'cloudjit toolchain install assembled' repairs it", err)
		}
		return tc, nil
	}
	data, err := os.ReadFile(filepath.Join(home, "release"))
	if err != nil {
		return Toolchain{}, errNotJDK
	}
	r := parseRelease(string(data))
	jdk := JDK{Home: home, Version: r["JAVA_VERSION"]}
	tc := Toolchain{Kind: GraalVM, Home: home, Version: r["GRAALVM_VERSION"], Edition: "community"}
	if !executable(tc.NativeImage()) {
		if tc.Version != "" {
			return Toolchain{}, fmt.Errorf("it is GraalVM %s without bin/native-image", tc.Version)
		}
		return Toolchain{}, fmt.Errorf("it is a JDK %s without native-image", jdk.Version)
	}
	if !executable(tc.Java()) {
		return Toolchain{}, errors.New("it has no bin/java")
	}
	if tc.Version == "" {
		tc.Version = jdk.Version
	}
	if jdk.Feature() < oldestFeature {
		return Toolchain{}, fmt.Errorf("it is for Java %s; --exact-reachability-metadata came with %d", jdk.Version, oldestFeature)
	}
	vendor := strings.ToLower(r["IMPLEMENTOR"] + " " + r["IMPLEMENTOR_VERSION"] + " " + tc.Version + " " + filepath.Base(home))
	switch {
	case strings.Contains(vendor, "mandrel") || strings.HasSuffix(tc.Version, "-Final"):
		tc.Kind = Mandrel
	case strings.Contains(vendor, "oracle"):
		tc.Edition = "oracle"
	}
	tc.Agent = jdk.Agent()
	tc.Patches = jdk.Feature() >= patchFeature
	return tc, nil
}

// Report is what the machine has, for the user to read.
type Report struct {
	Builders []Toolchain   `json:"builders"`
	Rejected []Rejection   `json:"rejected"`
	JDKs     []JDK         `json:"jdks"`
	System   []Requirement `json:"system"`
}

// Inspect gathers all that this package knows of the machine.
func Inspect(ctx context.Context, o FindOptions) Report {
	found, rejected := Find(o)
	return Report{Builders: found, Rejected: rejected, JDKs: FindJDKs(o), System: CheckSystem(ctx)}
}
