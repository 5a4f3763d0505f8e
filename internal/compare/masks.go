package compare

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// masks are what is known to differ from run to run, by path. A path names all elements of an array as one:
// "$.items[*].id". What varies in the answer to one sample is not compared in any.
type masks struct {
	vary      map[string]bool
	unordered map[string]bool
	// text has the words of a text that vary, by path and the number of words in it.
	text map[string]map[int]map[int]bool
}

func newMasks() *masks {
	return &masks{vary: map[string]bool{}, unordered: map[string]bool{}, text: map[string]map[int]map[int]bool{}}
}

// learn takes two answers of the same rung to the same question.
func (m *masks) learn(a, b *Answer) {
	x, y := byPath(a), byPath(b)
	for path := range maps.Keys(x) {
		m.learnValue(path, at(x, path), at(y, path))
	}
	for path := range maps.Keys(y) {
		if _, ok := x[path]; !ok {
			m.vary[path] = true
		}
	}
}

func byPath(a *Answer) map[string]any {
	out := map[string]any{}
	for _, f := range a.fields() {
		out[f.path] = f.value
	}
	return out
}

func at(fields map[string]any, path string) any {
	if v, ok := fields[path]; ok {
		return v
	}
	return missing
}

func (m *masks) learnValue(path string, a, b any) {
	switch x := a.(type) {
	case map[string]any:
		if y, ok := b.(map[string]any); ok {
			for _, name := range union(x, y) {
				m.learnValue(path+"."+name, at(x, name), at(y, name))
			}
			return
		}
	case []any:
		if y, ok := b.([]any); ok {
			switch {
			case slices.EqualFunc(x, y, same):
			case len(x) != len(y):
				m.vary[path] = true
			case permuted(x, y):
				m.unordered[path] = true
			default:
				for i := range x {
					m.learnValue(path+"[*]", x[i], y[i])
				}
			}
			return
		}
	case string:
		if y, ok := b.(string); ok {
			m.learnText(path, normal(x), normal(y))
			return
		}
	}
	if !same(a, b) {
		m.vary[path] = true
	}
}

func (m *masks) learnText(path, a, b string) {
	if a == b {
		return
	}
	x, y := words(a), words(b)
	if len(x) != len(y) || len(x) < 2 {
		m.vary[path] = true
		return
	}
	if m.text[path] == nil {
		m.text[path] = map[int]map[int]bool{}
	}
	if m.text[path][len(x)] == nil {
		m.text[path][len(x)] = map[int]bool{}
	}
	for i := range x {
		if x[i] != y[i] {
			m.text[path][len(x)][i] = true
		}
	}
}

var word = regexp.MustCompile(`[\pL\pN_.:+\-]+|\s+|.`)

func words(s string) []string { return word.FindAllString(s, -1) }

// compare finds the first value of an artifact's answer that differs from the first rung's, and counts those that
// were compared.
func (m *masks) compare(first, artifact *Answer) (*Difference, int) {
	c := comparison{masks: m}
	x, y := first.fields(), byPath(artifact)
	for _, f := range x {
		c.value(f.path, f.path, f.value, at(y, f.path))
	}
	known := byPath(first)
	for _, f := range artifact.fields() {
		if _, ok := known[f.path]; !ok {
			c.value(f.path, f.path, missing, f.value)
		}
	}
	return c.found, c.values
}

type comparison struct {
	*masks
	found  *Difference
	values int
}

func (c *comparison) differs(path string, first, artifact any) {
	if c.found == nil {
		c.found = &Difference{Path: cut(path), First: show(first), Artifact: show(artifact)}
	}
}

// value compares two values; mask is their path in the masks.
func (c *comparison) value(path, mask string, first, artifact any) {
	if c.vary[mask] || c.found != nil || c.vary["lines"] && strings.HasPrefix(mask, "line ") {
		return
	}
	switch x := first.(type) {
	case map[string]any:
		if y, ok := artifact.(map[string]any); ok {
			for _, name := range union(x, y) {
				c.value(path+"."+name, mask+"."+name, at(x, name), at(y, name))
			}
			c.values++
			return
		}
	case []any:
		if y, ok := artifact.([]any); ok {
			c.list(path, mask, x, y)
			return
		}
	case string:
		if y, ok := artifact.(string); ok {
			c.values++
			if !c.alike(mask, normal(x), normal(y)) {
				c.differs(path, x, y)
			}
			return
		}
	}
	c.values++
	if !same(first, artifact) {
		c.differs(path, first, artifact)
	}
}

func (c *comparison) list(path, mask string, x, y []any) {
	c.values++
	switch {
	case len(x) != len(y):
		c.differs(path, x, y)
	case c.unordered[mask]:
		if !permuted(x, y) && !slices.EqualFunc(x, y, same) && !c.within(mask+"[*]") {
			c.differs(path, x, y)
		}
	default:
		for i := range x {
			c.value(path+"["+strconv.Itoa(i)+"]", mask+"[*]", x[i], y[i])
		}
	}
}

// within reports whether something below a path varies: then an order cannot be told from that.
func (m *masks) within(path string) bool {
	below := func(p string) bool { return strings.HasPrefix(p, path) }
	for p := range m.vary {
		if below(p) {
			return true
		}
	}
	for p := range m.text {
		if below(p) {
			return true
		}
	}
	return false
}

// alike compares two texts but for the words that vary. Where some word of the path varies, other words with
// digits may have been the same by chance, as times of some milliseconds are.
func (m *masks) alike(mask, a, b string) bool {
	if a == b {
		return true
	}
	known := m.text[mask]
	if known == nil {
		return false
	}
	x, y := words(a), words(b)
	if len(x) != len(y) {
		return false
	}
	for i := range x {
		if x[i] != y[i] && !known[len(x)][i] && !(digits(x[i]) && digits(y[i])) {
			return false
		}
	}
	return true
}

func digits(s string) bool { return strings.ContainsAny(s, "0123456789") }

func union(x, y map[string]any) []string {
	names := slices.Collect(maps.Keys(x))
	for name := range y {
		if _, ok := x[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// same compares two values whole. Numbers are compared as they are written: 1.0 is another answer than 1.
func same(a, b any) bool {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		return ok && maps.EqualFunc(x, y, same)
	case []any:
		y, ok := b.([]any)
		return ok && slices.EqualFunc(x, y, same)
	case string:
		y, ok := b.(string)
		return ok && (x == y || normal(x) == normal(y))
	}
	if _, ok := b.(map[string]any); ok {
		return false
	}
	if _, ok := b.([]any); ok {
		return false
	}
	return a == b
}

// permuted reports whether two lists of one length have the same elements.
func permuted(x, y []any) bool {
	count := map[string]int{}
	for i := range x {
		count[whole(x[i])]++
		count[whole(y[i])]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}
