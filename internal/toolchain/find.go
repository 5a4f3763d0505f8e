package toolchain

import (
	"os"
	"path/filepath"
	"runtime"
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
	add(o.GraalVMHome, "--graalvm-home")
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
