package metadata

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"strings"
)

// Files are the base names that ParseFile reads, newest schema first.
var Files = []string{
	"reachability-metadata.json",
	"reflect-config.json", "jni-config.json", "proxy-config.json",
	"resource-config.json", "serialization-config.json",
}

// ParseFile reads one file of a META-INF/native-image folder by its name: the present schema
// or one of the older ones, which agents before GraalVM 23 and many libraries write. skipped
// says, one sentence each, what of it today's schema cannot express (regular expressions over
// resources, serializable lambdas by class).
func ParseFile(name string, data []byte) (set *Set, skipped []string, err error) {
	switch base := path.Base(name); base {
	case "reachability-metadata.json":
		set, err = Parse(data)
	case "reflect-config.json":
		set, err = legacyTypes(data, false)
	case "jni-config.json":
		set, err = legacyTypes(data, true)
	case "proxy-config.json":
		set, err = legacyProxies(data)
	case "resource-config.json":
		set, skipped, err = legacyResources(data)
	case "serialization-config.json":
		set, skipped, err = legacySerialization(data)
	default:
		err = fmt.Errorf("read metadata: %q is none of %q", base, Files)
	}
	return set, skipped, err
}

// legacyType is a typeEntry by "name". The queries that it lists one by one are all allowed by
// a "type" of today, so they are read and dropped.
type legacyType struct {
	typeEntry
	Name string `json:"name"`

	QueriedMethods               json.RawMessage `json:"queriedMethods"`
	QueryAllDeclaredConstructors bool            `json:"queryAllDeclaredConstructors"`
	QueryAllPublicConstructors   bool            `json:"queryAllPublicConstructors"`
	QueryAllDeclaredMethods      bool            `json:"queryAllDeclaredMethods"`
	QueryAllPublicMethods        bool            `json:"queryAllPublicMethods"`
	AllDeclaredClasses           bool            `json:"allDeclaredClasses"`
	AllPublicClasses             bool            `json:"allPublicClasses"`
	AllRecordComponents          bool            `json:"allRecordComponents"`
	AllPermittedSubclasses       bool            `json:"allPermittedSubclasses"`
	AllNestMembers               bool            `json:"allNestMembers"`
	AllSigners                   bool            `json:"allSigners"`
}

func legacyTypes(data []byte, jni bool) (*Set, error) {
	var types []legacyType
	if err := decode(data, &types); err != nil {
		return nil, err
	}
	b := builder{set: newSet()}
	for i := range types {
		t := &types[i]
		if len(t.Type) == 0 {
			t.Type, _ = json.Marshal(t.Name)
		}
		b.typeEntry(&t.typeEntry, jni)
	}
	return b.result()
}

// legacyProxies reads [["I","J"],...] and [{"interfaces":["I","J"]},...].
func legacyProxies(data []byte) (*Set, error) {
	var entries []json.RawMessage
	if err := decode(data, &entries); err != nil {
		return nil, err
	}
	b := builder{set: newSet()}
	for _, raw := range entries {
		b.typeEntry(b.legacyProxy(raw), false)
	}
	return b.result()
}

type legacyProxy struct {
	Condition  *condition `json:"condition"`
	Interfaces []string   `json:"interfaces"`
}

func (b *builder) legacyProxy(raw json.RawMessage) *typeEntry {
	var p legacyProxy
	var err error
	if bytes.HasPrefix(bytes.TrimSpace(raw), []byte("[")) {
		err = decode(raw, &p.Interfaces)
	} else {
		err = decode(raw, &p)
	}
	if err != nil {
		b.fail("proxy: %w", err)
	}
	typ, _ := json.Marshal(descriptor{Proxy: &p.Interfaces})
	return &typeEntry{Condition: p.Condition, Type: typ}
}

func legacySerialization(data []byte) (*Set, []string, error) {
	var doc struct {
		Types   []serializationEntry `json:"types"`
		Lambdas []serializationEntry `json:"lambdaCapturingTypes"`
		Proxies []json.RawMessage    `json:"proxies"`
	}
	var err error
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("[")) {
		err = decode(data, &doc.Types)
	} else {
		err = decode(data, &doc)
	}
	if err != nil {
		return nil, nil, err
	}
	b := builder{set: newSet()}
	for i := range doc.Types {
		b.serialization(&doc.Types[i])
	}
	var skipped []string
	for _, l := range doc.Lambdas {
		skipped = append(skipped, fmt.Sprintf("serializable lambdas of %q: today's schema asks for their interfaces too", l.Name))
	}
	for _, raw := range doc.Proxies {
		t := b.legacyProxy(raw)
		t.Serializable = true
		b.typeEntry(t, false)
	}
	set, err := b.result()
	return set, skipped, err
}

type legacyPattern struct {
	Condition *condition `json:"condition"`
	Module    string     `json:"module"`
	Pattern   string     `json:"pattern"`
}

type legacyIncludes struct {
	Includes []legacyPattern `json:"includes"`
	Excludes []legacyPattern `json:"excludes"`
}

func legacyResources(data []byte) (*Set, []string, error) {
	var doc struct {
		Resources json.RawMessage `json:"resources"`
		Globs     []resourceEntry `json:"globs"`
		Bundles   []bundleEntry   `json:"bundles"`
	}
	if err := decode(data, &doc); err != nil {
		return nil, nil, err
	}
	var patterns legacyIncludes
	switch raw := bytes.TrimSpace(doc.Resources); {
	case len(raw) == 0 || bytes.Equal(raw, []byte("null")):
	case raw[0] == '[':
		if err := decode(raw, &patterns.Includes); err != nil {
			return nil, nil, err
		}
	default:
		if err := decode(raw, &patterns); err != nil {
			return nil, nil, err
		}
	}
	today := document{Resources: doc.Globs, Bundles: doc.Bundles}
	var skipped []string
	for _, p := range patterns.Includes {
		module, pattern := splitModule(p)
		glob, ok := globOf(pattern)
		if !ok {
			skipped = append(skipped, fmt.Sprintf("resource pattern %q cannot be written as a glob", p.Pattern))
			continue
		}
		today.Resources = append(today.Resources, resourceEntry{Condition: p.Condition, Module: module, Glob: &glob})
	}
	for _, p := range patterns.Excludes {
		skipped = append(skipped, fmt.Sprintf("resources cannot be excluded any more: pattern %q", p.Pattern))
	}
	set, err := today.set()
	return set, skipped, err
}

// splitModule splits "java.base:\\Qsun/x\\E".
func splitModule(p legacyPattern) (module, pattern string) {
	if m, rest, ok := strings.Cut(p.Pattern, ":"); ok && moduleName.MatchString(m) {
		return m, rest
	}
	return p.Module, p.Pattern
}

var (
	moduleName = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_$.]*$`)
	// plain is what stands for itself in a regular expression and in a glob.
	plain = regexp.MustCompile(`^[A-Za-z0-9_/$ ,=@%&;'!#~-]$`)
)

// escapeGlob makes what is special in a glob stand for itself.
var escapeGlob = strings.NewReplacer("*", `\*`, "?", `\?`, "[", `\[`, "]", `\]`, "{", `\{`, "}", `\}`)

// globOf rewrites the regular expressions that agents and people wrote: literals (\Q...\E and
// escaped), and .* for anything.
func globOf(pattern string) (string, bool) {
	pattern = strings.TrimSuffix(strings.TrimPrefix(pattern, "^"), "$")
	var glob strings.Builder
	for i := 0; i < len(pattern); {
		rest := pattern[i:]
		switch {
		case strings.HasPrefix(rest, `\Q`):
			literal, _, ok := strings.Cut(rest[2:], `\E`)
			if !ok {
				return "", false
			}
			glob.WriteString(escapeGlob.Replace(literal))
			i += len(literal) + 4
		case strings.HasPrefix(rest, ".*"):
			glob.WriteString("**")
			i += 2
		case rest[0] == '\\' && len(rest) > 1 && strings.ContainsRune(`.-/$()[]{}+?^|`, rune(rest[1])):
			glob.WriteString(escapeGlob.Replace(rest[1:2]))
			i += 2
		case plain.MatchString(rest[:1]):
			glob.WriteByte(rest[0])
			i++
		default:
			return "", false
		}
	}
	return wholeLevels(glob.String())
}

// wholeLevels writes each ** as a level of its own, which is all that globs allow: "a/**.txt"
// stands for "a/*.txt" and "a/**/*.txt", so the wider second form is taken.
func wholeLevels(glob string) (string, bool) {
	levels := strings.Split(glob, "/")
	var out []string
	for _, level := range levels {
		switch {
		case level == "**" || !strings.Contains(level, "**"):
			out = append(out, level)
		case strings.HasPrefix(level, "**") && !strings.Contains(level[2:], "**"):
			out = append(out, "**", "*"+level[2:])
		case strings.HasSuffix(level, "**") && !strings.Contains(level[:len(level)-2], "**"):
			out = append(out, level[:len(level)-2]+"*", "**")
		default:
			return "", false
		}
	}
	return strings.Join(out, "/"), true
}

func (b *builder) result() (*Set, error) {
	if b.err != nil {
		return nil, fmt.Errorf("read metadata: %w", b.err)
	}
	return b.set, nil
}
