package toolchain

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/language"
)

// Interpreter is a program of this machine that runs functions of a language.
type Interpreter struct {
	Kind function.Kind `json:"kind"`
	// Release is what a runtime's identifier names: "3.12", "20".
	Release string `json:"release"`
	// Runtime is that identifier: "python3.12", "nodejs20.x".
	Runtime string `json:"runtime"`
	// Program is the executable itself, no link to it.
	Program string `json:"program"`
	// Home is the folder of the installation: Program lies in its folder bin.
	Home string `json:"home"`
}

// InterpreterOptions say where to look besides the usual places.
type InterpreterOptions struct {
	// Named are programs, or folders with programs, that come before all others.
	Named []string
	// Cache is the folder in which the versions of programs are remembered, so that each is asked once and not at every start; a program
	// that was changed is asked again. Empty: nothing is remembered.
	Cache string
	// Env replaces the environment, and Root the top of the file system; for tests.
	Env  func(key string) string
	Root string
}

// managers are the folders of the programs that install interpreters side by side; %s is the user's home.
var managers = map[function.Kind][]string{
	function.KindPython: {
		"%s/.pyenv/versions/*/bin", "%s/.local/share/uv/python/*/bin", "%s/.asdf/installs/python/*/bin", "%s/.local/share/mise/installs/python/*/bin",
		"/opt/python*/bin", "/opt/python/*/bin", "/usr/local/python*/bin",
	},
	function.KindNode: {
		"%s/.nvm/versions/node/*/bin", "%s/.local/share/fnm/node-versions/*/installation/bin", "%s/.volta/tools/image/node/*/bin",
		"%s/.asdf/installs/nodejs/*/bin", "%s/.local/share/mise/installs/node/*/bin", "%s/.nodenv/versions/*/bin", "/usr/local/n/versions/node/*/bin", "/opt/node*/bin",
	},
}

// roots are the variables that move the folders of managers elsewhere, in the order of precedence.
var roots = []struct{ variable, below string }{
	{"PYENV_ROOT", "/versions/*/bin"}, {"NVM_DIR", "/versions/node/*/bin"}, {"UV_PYTHON_INSTALL_DIR", "/*/bin"}, {"N_PREFIX", "/n/versions/node/*/bin"},
}

// FindInterpreters lists the interpreters that can run functions, one of each release: named ones first, then those in PATH,
// then those of version managers, the newest of each first. It asks programs whose name does not say so for their version.
func FindInterpreters(ctx context.Context, o InterpreterOptions) []Interpreter {
	var found []Interpreter
	known := readVersions(o.Cache)
	for _, l := range language.All() {
		for _, program := range o.programs(&l) {
			real, err := filepath.EvalSymlinks(program)
			if err != nil || !isProgram(real) {
				continue
			}
			release := releaseOf(&l, real, func(program string) string { return known.of(ctx, program) })
			if release == "" || !slices.Contains(l.Runtimes, l.Runtime(release)) {
				continue
			}
			i := Interpreter{Kind: l.Kind, Release: release, Runtime: l.Runtime(release), Program: real, Home: filepath.Dir(filepath.Dir(real))}
			if !slices.ContainsFunc(found, func(f Interpreter) bool { return f.Runtime == i.Runtime }) {
				found = append(found, i)
			}
		}
	}
	known.write()
	slices.SortStableFunc(found, func(a, b Interpreter) int {
		if a.Kind != b.Kind {
			return int(a.Kind) - int(b.Kind)
		}
		return compareVersions(a.Release, b.Release)
	})
	return found
}

// programs lists the files that may be interpreters of a language, in the order of precedence.
func (o InterpreterOptions) programs(l *language.Language) []string {
	env := o.Env
	if env == nil {
		env = os.Getenv
	}
	var list []string
	folder := func(dir string) {
		if l.Exact != "" {
			exact, _ := filepath.Glob(filepath.Join(dir, fmt.Sprintf(l.Exact, "[0-9]*")))
			list = append(list, exact...)
		}
		list = append(list, filepath.Join(dir, l.Command))
	}
	for _, named := range o.Named {
		if info, err := os.Stat(named); err == nil && info.IsDir() {
			folder(named)
			folder(filepath.Join(named, "bin"))
		} else {
			list = append(list, named)
		}
	}
	for _, dir := range filepath.SplitList(env("PATH")) {
		folder(dir)
	}
	folder(o.Root + "/usr/local/bin")
	folder(o.Root + "/usr/bin")
	var patterns []string
	for _, r := range roots {
		if root := env(r.variable); root != "" {
			patterns = append(patterns, root+r.below)
		}
	}
	for _, pattern := range managers[l.Kind] {
		if strings.HasPrefix(pattern, "%s") {
			if home := env("HOME"); home != "" {
				patterns = append(patterns, fmt.Sprintf(pattern, home))
			}
		} else {
			patterns = append(patterns, o.Root+pattern)
		}
	}
	for _, pattern := range patterns {
		dirs, _ := filepath.Glob(pattern) // an odd name that is no pattern matches nothing
		slices.SortFunc(dirs, func(a, b string) int {
			return -compareVersions(filepath.Base(filepath.Dir(a)), filepath.Base(filepath.Dir(b)))
		})
		for _, dir := range dirs {
			folder(dir)
		}
	}
	return list
}

// isProgram: an executable of the machine's, not a script that starts one somewhere else (a version manager's shim): what a
// sandbox has to show is not to be seen in that.
func isProgram(file string) bool {
	if !executable(file) {
		return false
	}
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 4)
	_, err = f.Read(head)
	return err == nil && bytes.Equal(head, []byte("\x7fELF"))
}

var releaseName = regexp.MustCompile(`^python(\d+\.\d+)$`)

var releaseLine = regexp.MustCompile(`^(?:Python (\d+\.\d+)\.|v(\d+)\.)`)

// releaseOf is the release of an interpreter, empty if it says none.
func releaseOf(l *language.Language, program string, versionOf func(program string) string) string {
	if m := releaseName.FindStringSubmatch(filepath.Base(program)); m != nil && l.Kind == function.KindPython {
		return m[1]
	}
	version := versionOf(program)
	if m := releaseLine.FindStringSubmatch(version); m != nil {
		return m[1] + m[2]
	}
	return ""
}

// VersionOf is what an interpreter says of itself: "Python 3.12.1", "v20.20.2"; empty if it does not.
func VersionOf(ctx context.Context, program string) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "--version")
	cmd.Env = []string{}
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
