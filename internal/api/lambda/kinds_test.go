package lambda

import (
	"strings"
	"testing"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/jar"
	"github.com/cloudjit/cloudjit/internal/store"
)

// How a function says what it is: docs/adr/0011.
func TestKinds(t *testing.T) {
	handlers := []jar.Handler{{Class: "a.Handler"}}
	plain := jar.Info{Layout: jar.LayoutJar, Classes: 3, Handlers: handlers}
	several := jar.Info{Layout: jar.LayoutJar, Classes: 3, Handlers: append(handlers, jar.Handler{Class: "a.Other"})}
	app := jar.Info{Layout: jar.LayoutJar, Classes: 3, MainClass: "a.Main"}
	both := jar.Info{Layout: jar.LayoutJar, Classes: 3, MainClass: "a.Main", Handlers: handlers, Framework: jar.FrameworkPlain}
	native := jar.Info{Layout: jar.LayoutProvided}
	empty := jar.Info{Layout: jar.LayoutZip, Paths: []string{"."}}
	for name, c := range map[string]struct {
		runtime, handler string
		info             jar.Info
		kind             function.Kind
		main, as         string
		refused          string
	}{
		"handler":                   {"java21", "a.Handler::handleRequest", plain, function.KindHandler, "", "a.Handler::handleRequest", ""},
		"the only handler":          {"java21", "", plain, function.KindHandler, "", "a.Handler", ""},
		"one of several handlers":   {"java21", "", several, 0, "", "", "2 classes"},
		"web application by itself": {"java21", "", app, function.KindWeb, "a.Main", "web", ""},
		"web":                       {"java21", "web", both, function.KindWeb, "a.Main", "web", ""},
		"web with a main class":     {"java21", "web:a.b.Other$Main", plain, function.KindWeb, "a.b.Other$Main", "web:a.b.Other$Main", ""},
		"main class as handler":     {"java17", "a.Main", app, function.KindWeb, "a.Main", "a.Main", ""},
		"handler that has a main":   {"java21", "a.Handler", jar.Info{Classes: 1, MainClass: "a.Handler", Handlers: handlers}, function.KindHandler, "", "a.Handler", ""},
		"web without a main class":  {"java21", "web", plain, 0, "", "", "no executable JAR"},
		"web with no class's name":  {"java21", "web:../x", app, 0, "", "", "full name of the main class"},
		"provided":                  {"provided.al2023", "anything", native, function.KindProvided, "", "anything", ""},
		"provided without":          {"provided.al2023", "x", plain, 0, "", "", "bootstrap"},
		"bootstrap as Java":         {"java21", "a.B", native, 0, "", "", "bootstrap"},
		"no classes":                {"java21", "a.B", empty, 0, "", "", "no classes"},
	} {
		spec := function.Spec{Runtime: c.runtime, Handler: c.handler}
		err := classify(&spec, &store.Attributes{Architecture: machine()}, &c.info)
		switch {
		case c.refused != "":
			if err == nil || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%s: got %v, want ... %s", name, err, c.refused)
			}
		case err != nil || spec.Kind != c.kind || spec.MainClass != c.main || spec.Handler != c.as:
			t.Errorf("%s: got %v %q %q, %v", name, spec.Kind, spec.MainClass, spec.Handler, err)
		}
	}
}
