// Package cloudjit_test holds the rules of the tree as a whole.
package cloudjit_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/cloudjit/cloudjit/"

// core decides and does nothing; each package may import only those before it.
var core = []string{"internal/placement", "internal/function", "internal/ladder", "internal/policy", "internal/pool", "internal/pipeline", "internal/engine"}

// sideEffects are what the core must not reach for: then the simulator could not run it.
var sideEffects = []string{"os", "net", "net/http", "log", "log/slog", "os/exec", "sync", "syscall", "io/ioutil", "math/rand", "math/rand/v2"}

// rules say which package must not import which, and why.
var rules = []struct{ from, to, why string }{
	{"internal/sim", "internal/node", "the simulator runs the engine, not the shell: what it needs of the node belongs into the engine"},
	{"internal/sim", "internal/worker", "simulated workers are durations"},
	{"internal/worker", "internal/node", "a driver knows one sandbox and nothing of who wants it"},
	{"internal/worker", "internal/engine", "a driver knows one sandbox and nothing of who wants it"},
	{"internal/node", "internal/api", "the API calls the node, never the other way round"},
	{"internal/api/lambda", "internal/api/furl", "the API's faces do not know of each other: what two need belongs into gate or calls"},
	{"internal/api/lambda", "internal/api/own", "the API's faces do not know of each other: what two need belongs into gate or calls"},
	{"internal/api/furl", "internal/api/lambda", "the API's faces do not know of each other: what two need belongs into gate or calls"},
	{"internal/api/furl", "internal/api/own", "the API's faces do not know of each other: what two need belongs into gate or calls"},
	{"internal/api/own", "internal/api/lambda", "the API's faces do not know of each other: what two need belongs into gate or calls"},
	{"internal/api/own", "internal/api/furl", "the API's faces do not know of each other: what two need belongs into gate or calls"},
	{"internal/api/gate", "internal/api/calls", "the gate does not know what is asked for"},
	{"internal/store", "internal/api", "state does not know how it is served"},
	{"internal/store", "internal/node", "state does not know who changes it"},
	{"internal/aot", "internal/node", "a builder knows one build and nothing of who wants it"},
	{"internal/", "internal/cli", "the command line is on top of everything"},
}

// onlyIn are libraries that one package hides from all others.
var onlyIn = []struct{ library, pkg, why string }{
	{"github.com/nats-io/", "internal/store", "a later cluster changes the store and nothing else (DESIGN: State, and more than one node)"},
	{"github.com/alecthomas/kong", "internal/cli", "commands are the only place that parses arguments"},
}

func TestArrowsGoOneWay(t *testing.T) {
	for pkg, imports := range packages(t) {
		for _, imp := range imports {
			inner, ours := strings.CutPrefix(imp, module)
			for _, r := range rules {
				if ours && within(pkg, r.from) && !within(pkg, r.to) && within(inner, r.to) {
					t.Errorf("%s imports %s: %s", pkg, inner, r.why)
				}
			}
			for _, o := range onlyIn {
				if strings.HasPrefix(imp, o.library) && !within(pkg, o.pkg) {
					t.Errorf("%s imports %s, which only %s may: %s", pkg, imp, o.pkg, o.why)
				}
			}
		}
	}
}

func TestCoreOnlyDecides(t *testing.T) {
	all := packages(t)
	for i, pkg := range core {
		imports, ok := all[pkg]
		if !ok {
			t.Errorf("no package %s: the list in this test is out of date", pkg)
		}
		for _, imp := range imports {
			if inner, ours := strings.CutPrefix(imp, module); ours && !contains(core[:i], inner) {
				t.Errorf("%s imports %s: the core is function <- ladder <- policy <- pool, pipeline <- engine, and never imports the shell", pkg, inner)
			}
			if contains(sideEffects, imp) {
				t.Errorf("%s imports %s: the core reads no clock, starts nothing and talks to nobody, so that the simulator runs the very code that serves", pkg, imp)
			}
		}
	}
}

// boundary is how a package comment says where the package ends.
var boundary = regexp.MustCompile(`(must|may|do|does) not |knows? (no|nothing|neither|of no)\b|nothing of|is pure|decides nothing|serves no|does no `)

// TestPackagesSayWhatTheyAreFor: one comment for each package, which also says what the package must
// not do or know: that is what keeps the next change out of the wrong one.
func TestPackagesSayWhatTheyAreFor(t *testing.T) {
	for pkg := range packages(t) {
		files, err := filepath.Glob(filepath.Join(pkg, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		var docs []string
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if file.Doc != nil {
				docs = append(docs, strings.Join(strings.Fields(file.Doc.Text()), " "))
			}
		}
		if len(docs) != 1 {
			t.Errorf("%s has %d package comments, want one", pkg, len(docs))
			continue
		}
		kind := "Package "
		if strings.HasPrefix(pkg, "cmd/") || pkg == "release" {
			kind = "Command "
		} else if !boundary.MatchString(docs[0]) {
			t.Errorf("the comment of %s does not say what the package must not know or do", pkg)
		}
		if !strings.HasPrefix(docs[0], kind+filepath.Base(pkg)+" ") {
			t.Errorf("the comment of %s begins %.30q, want %q", pkg, docs[0], kind+filepath.Base(pkg))
		}
	}
}

// TestTheMapIsWhole: every package below internal stands in the architecture page's table.
func TestTheMapIsWhole(t *testing.T) {
	page, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range packages(t) {
		inner, ok := strings.CutPrefix(pkg, "internal/")
		if top, _, _ := strings.Cut(inner, "/"); ok && !strings.Contains(string(page), "`"+top+"`") {
			t.Errorf("docs/architecture.md does not name `%s`", top)
		}
	}
}

// TestChangelog: the form of changelog/README.md.
func TestChangelog(t *testing.T) {
	files, err := filepath.Glob("changelog/unreleased/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no changes: %v", err)
	}
	form := regexp.MustCompile(`^(Enhancement|Change|Bugfix|Security): .+[^.\n]\n\n(?s:.+)\n$`)
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !form.Match(b) {
			t.Errorf("%s does not begin with a line like \"Bugfix: What was wrong\", an empty line and a paragraph (changelog/README.md)", name)
		}
	}
}

// packages maps each folder with Go files to what its files, tests left out, import.
func packages(t *testing.T) map[string][]string {
	t.Helper()
	pkgs := map[string][]string{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name == "testdata" || name == "java" || name != "." && strings.HasPrefix(name, ".") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		for _, spec := range file.Imports {
			imp, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			pkgs[dir] = append(pkgs[dir], imp)
		}
		if pkgs[dir] == nil {
			pkgs[dir] = []string{}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return pkgs
}

func within(pkg, prefix string) bool {
	return pkg == strings.TrimSuffix(prefix, "/") || strings.HasPrefix(pkg, strings.TrimSuffix(prefix, "/")+"/")
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
