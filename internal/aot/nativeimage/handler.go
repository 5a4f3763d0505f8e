package nativeimage

import (
	"encoding/json"
	"strings"

	"github.com/cloudjit/cloudjit/internal/jar"
	"github.com/cloudjit/cloudjit/internal/jar/classfile"
)

// registration is one type of reachability-metadata.json with all its members.
type registration struct {
	Type                    string `json:"type"`
	AllDeclaredConstructors bool   `json:"allDeclaredConstructors"`
	AllPublicConstructors   bool   `json:"allPublicConstructors"`
	AllDeclaredMethods      bool   `json:"allDeclaredMethods"`
	AllPublicMethods        bool   `json:"allPublicMethods"`
	AllDeclaredFields       bool   `json:"allDeclaredFields"`
	AllPublicFields         bool   `json:"allPublicFields"`
}

// splitHandler takes "package.Class::method" apart.
func splitHandler(handler string) (class, method string) {
	class, method, _ = strings.Cut(handler, "::")
	return class, method
}

// handlerMetadata is what the runtime client needs to know of a handler by reflection: the
// class with its super classes, and the types of event and answer with all that they are made
// of. The tracer saw only what the events so far had in them; this is the whole of it.
func handlerMetadata(cp *jar.ClassPath, handler string) ([]byte, error) {
	class, method := splitHandler(handler)
	g := &typeGraph{cp: cp, seen: map[string]bool{}}
	for name := class; name != ""; {
		c := g.register(name)
		if c == nil {
			break
		}
		for _, s := range c.SuperTypes() {
			g.queue = append(g.queue, s.Mentions...)
		}
		for _, m := range c.Methods {
			if m.Name == method || method == "" && m.Name == "handleRequest" {
				g.queue = append(g.queue, m.Types()...)
			}
		}
		name = c.Super
	}
	g.close()
	out := make([]registration, len(g.types))
	for i, t := range g.types {
		out[i] = registration{t, true, true, true, true, true, true}
	}
	return json.MarshalIndent(map[string]any{"reflection": out}, "", "  ")
}

// mostTypes bounds the graph of an event's types; generated models with more exist only where
// nobody uses all of them.
const mostTypes = 2000

// typeGraph collects the application's types that are reachable through fields and properties.
type typeGraph struct {
	cp    *jar.ClassPath
	seen  map[string]bool
	types []string
	queue []string
}

// register adds a class of the application and returns it; nil for others and known ones.
func (g *typeGraph) register(name string) *classfile.Class {
	if g.seen[name] || len(g.types) >= mostTypes || platform(name) {
		return nil
	}
	g.seen[name] = true
	c := g.cp.Find(name)
	if c == nil {
		return nil
	}
	g.types = append(g.types, name)
	return c
}

func (g *typeGraph) close() {
	for len(g.queue) > 0 {
		name := g.queue[0]
		g.queue = g.queue[1:]
		c := g.register(name)
		if c == nil {
			continue
		}
		for _, s := range c.SuperTypes() {
			g.queue = append(g.queue, s.Name)
			g.queue = append(g.queue, s.Mentions...)
		}
		for _, f := range c.Fields {
			if f.Access&classfile.AccStatic == 0 {
				g.queue = append(g.queue, member(f)...)
			}
		}
		for _, m := range c.Methods {
			if property(m) {
				g.queue = append(g.queue, m.Types()...)
			}
		}
	}
}

// member returns the classes that a field's type mentions.
func member(m classfile.Member) []string { return m.Types() }

// property reports methods that a JSON library may read or write a value by.
func property(m classfile.Member) bool {
	if m.Access&(classfile.AccStatic|classfile.AccSynthetic) != 0 {
		return false
	}
	for _, p := range []string{"get", "set", "is", "with", "<init>"} {
		if strings.HasPrefix(m.Name, p) {
			return true
		}
	}
	return false
}

// platform reports classes that are never the application's own model.
func platform(name string) bool {
	for _, p := range []string{"java.", "javax.", "jdk.", "sun.", "com.sun.", "com.amazonaws.services.lambda.runtime.Context"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}
