// Package language is the table of the languages whose functions an interpreter runs: what their runtimes are called, how a
// handler is named, and how their code is recognized.
//
// It is pure data: it does not know where interpreters are (toolchain), how a worker is started (launch) or what a rung
// costs (ladder). A new language is a row here, and one in each of those.
package language

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/cloudjit/cloudjit/internal/assets"
	"github.com/cloudjit/cloudjit/internal/function"
)

// Language is a row of the table.
type Language struct {
	Kind function.Kind
	// Name is how people call it.
	Name string
	// Runtimes are AWS Lambda's identifiers, the oldest first.
	Runtimes []string
	// prefix and suffix stand around the release in them.
	prefix, suffix string
	// Command is the name of the interpreter; Exact is a pattern for the name of one of a release, "python3.12", with %s
	// for the release; empty: there is none.
	Command, Exact string
	// Package is Debian's of the interpreter.
	Package string
	// Client is the folder of assets that has the runtime client.
	Client string
	// Extensions are those of files that a handler's module can be in, the most usual one first.
	Extensions []string
	// dependencies are folders at the root of an archive that hold what the function did not write.
	dependencies *regexp.Regexp
	// definition finds the definition of a function called "handler" or "lambda_handler" in a source file.
	definition *regexp.Regexp
}

var languages = []Language{
	{
		Kind: function.KindPython, Name: "Python",
		Runtimes: []string{"python3.8", "python3.9", "python3.10", "python3.11", "python3.12", "python3.13", "python3.14"},
		prefix:   "python", Command: "python3", Exact: "python%s", Package: "python3", Client: assets.Python,
		Extensions:   []string{".py"},
		dependencies: regexp.MustCompile(`^(site-packages|venv|\.venv|__pycache__|bin|[^/]+\.(dist-info|egg-info|libs))(/|$)`),
		definition:   regexp.MustCompile(`(?m)^(?:async\s+)?def\s+(lambda_handler|handler)\s*\(|^(lambda_handler|handler)\s*=[^=]`),
	},
	{
		Kind: function.KindNode, Name: "Node.js",
		Runtimes: []string{"nodejs16.x", "nodejs18.x", "nodejs20.x", "nodejs22.x", "nodejs24.x"},
		prefix:   "nodejs", suffix: ".x", Command: "node", Package: "nodejs", Client: assets.NodeJS,
		Extensions:   []string{".js", ".mjs", ".cjs"},
		dependencies: regexp.MustCompile(`^(node_modules)(/|$)`),
		definition: regexp.MustCompile(`(?m)(?:^|[;\s])(?:module\.)?exports\.(handler|lambdaHandler)\s*=|^\s*export\s+(?:async\s+)?(?:const|let|var|function)\s*\*?\s*(handler|lambdaHandler)\b|` +
			`^\s*export\s*\{[^}]*\b(handler|lambdaHandler)\b[^}]*\}|^\s*module\.exports\s*=\s*\{[^}]*\b(handler|lambdaHandler)\b`),
	},
}

// All are the rows of the table.
func All() []Language { return slices.Clone(languages) }

// Of is the language of a kind of function.
func Of(kind function.Kind) (Language, bool) {
	for _, l := range languages {
		if l.Kind == kind {
			return l, true
		}
	}
	return Language{}, false
}

// OfRuntime is the language of one of Lambda's identifiers.
func OfRuntime(runtime string) (Language, bool) {
	for _, l := range languages {
		if slices.Contains(l.Runtimes, runtime) {
			return l, true
		}
	}
	return Language{}, false
}

// Release is what a runtime's identifier says of the interpreter: "3.12", "20".
func (l *Language) Release(runtime string) string {
	return strings.TrimSuffix(strings.TrimPrefix(runtime, l.prefix), l.suffix)
}

// Runtime is the identifier of a release.
func (l *Language) Runtime(release string) string { return l.prefix + release + l.suffix }

// CheckHandler refuses a name that no handler can have; the error is for the function's owner.
func (l *Language) CheckHandler(handler string) error {
	if handler == "" {
		return fmt.Errorf("Handler is missing: name it as module.function, the function %q in app%s as app.handler", "handler", l.Extensions[0])
	}
	module, name, ok := cutHandler(l.Kind, handler)
	bad := !ok || name == ""
	for part := range strings.SplitSeq(strings.TrimPrefix(module, "/"), "/") {
		bad = bad || part == ""
	}
	if bad {
		return fmt.Errorf("Handler %q: want module.function, as app.handler for the function %q in app%s", handler, "handler", l.Extensions[0])
	}
	return nil
}

// cutHandler splits as the runtime clients do: Python at the last dot, Node.js at the first one after the last slash.
func cutHandler(kind function.Kind, handler string) (module, name string, ok bool) {
	if kind == function.KindPython {
		at := strings.LastIndexByte(handler, '.')
		if at < 0 {
			return "", "", false
		}
		return handler[:at], handler[at+1:], true
	}
	dir, last := path.Split(handler)
	module, name, ok = strings.Cut(last, ".")
	return dir + module, name, ok
}

// Guess says which language's code an archive holds, by the files at its root, and which handler it has, where exactly one
// can be meant. files are names relative to the root; read returns the text of one of them.
func Guess(files []string, read func(name string) string) (l Language, handlers []string, ok bool) {
	most := 0
	for _, candidate := range languages {
		n := 0
		for _, f := range files {
			if candidate.own(f) {
				n++
			}
		}
		if n > most {
			most, l, ok = n, candidate, true
		}
	}
	if !ok {
		return Language{}, nil, false
	}
	slices.Sort(files)
	for _, f := range files {
		if !l.own(f) || strings.Contains(f, "/") {
			continue
		}
		for _, m := range l.definition.FindAllStringSubmatch(read(f), -1) {
			for _, name := range m[1:] {
				handler := strings.TrimSuffix(f, path.Ext(f)) + "." + name
				if name != "" && !slices.Contains(handlers, handler) {
					handlers = append(handlers, handler)
				}
			}
		}
	}
	return l, handlers, true
}

// own reports whether a file is source of the function's own.
func (l *Language) own(file string) bool {
	return slices.Contains(l.Extensions, path.Ext(file)) && !l.dependencies.MatchString(file)
}
