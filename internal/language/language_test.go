package language

import (
	"slices"
	"testing"

	"github.com/cloudjit/cloudjit/internal/function"
)

func TestRuntimes(t *testing.T) {
	for runtime, want := range map[string]struct {
		kind    function.Kind
		release string
	}{"python3.12": {function.KindPython, "3.12"}, "nodejs20.x": {function.KindNode, "20"}} {
		l, ok := OfRuntime(runtime)
		if !ok || l.Kind != want.kind || l.Release(runtime) != want.release || l.Runtime(want.release) != runtime {
			t.Errorf("%s: got %s %s, %t", runtime, l.Kind, l.Release(runtime), ok)
		}
	}
	if l, ok := OfRuntime("java21"); ok {
		t.Errorf("java21 is %s", l.Name)
	}
}

func TestCheckHandler(t *testing.T) {
	for kind, names := range map[function.Kind]map[string]bool{
		function.KindPython: {"app.handler": true, "a/b.handler": true, "a.b.handler": true, "": false, "handler": false, "app.": false, ".handler": false, "a//b.c": false},
		function.KindNode:   {"index.handler": true, "src/index.handler": true, "index.api.get": true, "": false, "index": false, "index.": false, ".x": false, "a/.x": false},
	} {
		l, _ := Of(kind)
		for name, ok := range names {
			if err := l.CheckHandler(name); (err == nil) != ok {
				t.Errorf("%s handler %q: got %v", l.Name, name, err)
			}
		}
	}
}

// TestGuess: what is plain is recognized, what could be several things is not chosen.
func TestGuess(t *testing.T) {
	for name, c := range map[string]struct {
		files    map[string]string
		language string
		handlers []string
	}{
		"python":          {map[string]string{"app.py": "import json\n\ndef handler(event, context):\n    pass\n"}, "Python", []string{"app.handler"}},
		"lambda_handler":  {map[string]string{"lambda_function.py": "def lambda_handler(e, c): pass", "requests/api.py": "def handler(x): pass"}, "Python", []string{"lambda_function.lambda_handler"}},
		"assigned":        {map[string]string{"app.py": "handler = Mangum(app)\nif handler == 1: pass"}, "Python", []string{"app.handler"}},
		"a method":        {map[string]string{"app.py": "class A:\n  def handler(self): pass"}, "Python", nil},
		"two":             {map[string]string{"a.py": "def handler(e, c): pass", "b.py": "def handler(e, c): pass"}, "Python", []string{"a.handler", "b.handler"}},
		"commonjs":        {map[string]string{"index.js": "exports.handler = async (event) => 1;"}, "Node.js", []string{"index.handler"}},
		"module.exports":  {map[string]string{"index.js": "module.exports.handler = f"}, "Node.js", []string{"index.handler"}},
		"an object":       {map[string]string{"index.js": "async function handler() {}\nmodule.exports = { other, handler };"}, "Node.js", []string{"index.handler"}},
		"es module":       {map[string]string{"index.mjs": "export const handler = async () => 1"}, "Node.js", []string{"index.handler"}},
		"export function": {map[string]string{"index.mjs": "export async function handler(event) {}"}, "Node.js", []string{"index.handler"}},
		"bundled":         {map[string]string{"index.mjs": "var x = 1;\nexport {\n  x as y,\n  handler\n};"}, "Node.js", []string{"index.handler"}},
		"dependencies":    {map[string]string{"app.py": "def handler(e, c): pass", "node_modules/a/1.js": "", "node_modules/a/2.js": ""}, "Python", []string{"app.handler"}},
		"nothing":         {map[string]string{"readme.txt": "def handler(e, c): pass"}, "", nil},
	} {
		var files []string
		for f := range c.files {
			files = append(files, f)
		}
		l, handlers, ok := Guess(files, func(name string) string { return c.files[name] })
		if l.Name != c.language || ok != (c.language != "") || !slices.Equal(handlers, c.handlers) {
			t.Errorf("%s: got %q, %q, want %q, %q", name, l.Name, handlers, c.language, c.handlers)
		}
	}
}

// FuzzGuess: no file makes it panic, or name what no runtime accepts.
func FuzzGuess(f *testing.F) {
	f.Add("app.py", "def handler(e, c): pass")
	f.Add("a b/.x.mjs", "export { handler }")
	f.Fuzz(func(t *testing.T, name, text string) {
		l, handlers, ok := Guess([]string{name}, func(string) string { return text })
		for _, h := range handlers {
			if !ok || h == "" || h[len(h)-1] == '.' {
				t.Errorf("%s: %q", l.Name, h)
			}
		}
	})
}
