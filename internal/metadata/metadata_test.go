package metadata

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const sample = `{
  "comment": "written by hand",
  "reflection": [
    {"type": "a.B", "methods": [{"name": "<init>", "parameterTypes": []}, {"name": "run"},
      {"name": "put", "parameterTypes": ["[Ljava.lang.String;", "int"]}],
     "fields": [{"name": "x"}, {"name": "y", "allowWrite": true}], "allDeclaredFields": true, "jniAccessible": true},
    {"type": {"proxy": ["a.I", "a.J"]}, "condition": {"typeReached": "a.B"}},
    {"type": {"lambda": {"declaringClass": "a.B", "interfaces": ["java.lang.Runnable"]}}, "serializable": true}
  ],
  "resources": [{"glob": "a/**/b.txt"}, {"module": "java.base", "glob": "x"}, {"bundle": "a.Texts"}],
  "foreign": {"downcalls": [{"returnType": "void", "parameterTypes": []}]}
}`

func mustParse(t testing.TB, doc string) *Set {
	t.Helper()
	s, err := Parse([]byte(doc))
	if err != nil {
		t.Fatalf("Parse(%s): %v", doc, err)
	}
	return s
}

func TestParse(t *testing.T) {
	want := []Element{
		{Kind: KindDowncall, Name: `{"returnType":"void","parameterTypes":[]}`},
		{Kind: KindBundle, Name: "a.Texts"},
		{Kind: KindResource, Name: "a/**/b.txt"},
		{Kind: KindResource, Name: "x", Module: "java.base"},
		{Kind: KindType, Type: "a.B"},
		{Kind: KindMethod, Type: "a.B", Name: "<init>()"},
		{Kind: KindMethod, Type: "a.B", Name: "run(*)"},
		{Kind: KindMethod, Type: "a.B", Name: "put(java.lang.String[],int)"},
		{Kind: KindField, Type: "a.B", Name: "x"},
		{Kind: KindField, Type: "a.B", Name: "y"},
		{Kind: KindFinalField, Type: "a.B", Name: "y"},
		{Kind: KindBulk, Type: "a.B", Name: "allDeclaredFields"},
		{Kind: KindJNI, Type: "a.B"},
		{Kind: KindProxy, Type: `{"proxy":["a.I","a.J"]}`, Condition: "a.B"},
		{Kind: KindLambda, Type: `{"lambda":{"declaringClass":"a.B","interfaces":["java.lang.Runnable"]}}`},
		{Kind: KindSerializable, Type: `{"lambda":{"declaringClass":"a.B","interfaces":["java.lang.Runnable"]}}`},
	}
	got := mustParse(t, sample)
	for _, e := range want {
		if !got.Contains(e) {
			t.Errorf("Parse: %+v is missing", e)
		}
	}
	if got.Len() != len(want) {
		t.Errorf("Parse: %d elements, want %d: %+v", got.Len(), len(want), got.Elements())
	}
	counts := got.Counts()
	counts.ByKind = nil
	if diff := cmp.Diff(Counts{Reflection: 8, Proxy: 1, Serialization: 2, JNI: 1, Resource: 3, Foreign: 1, Total: 16}, counts); diff != "" {
		t.Errorf("Counts (-want +got):\n%s", diff)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, doc := range map[string]string{
		"nothing":           ``,
		"array":             `[]`,
		"unknown section":   `{"reflections": []}`,
		"unknown key":       `{"reflection": [{"type": "a.B", "allMethods": true}]}`,
		"wrong type":        `{"reflection": [{"type": "a.B", "methods": "all"}]}`,
		"no type":           `{"reflection": [{}]}`,
		"number":            `{"reflection": [{"type": 7}]}`,
		"empty name":        `{"reflection": [{"type": ""}]}`,
		"control character": `{"reflection": [{"type": "a\nB"}]}`,
		"object as name":    `{"reflection": [{"type": "{\"proxy\":[]}"}]}`,
		"empty proxy":       `{"reflection": [{"type": {"proxy": []}}]}`,
		"proxy and lambda":  `{"reflection": [{"type": {"proxy": ["a.I"], "lambda": {"declaringClass": "a.B", "interfaces": ["a.I"]}}}]}`,
		"nested lambda":     `{"reflection": [{"type": {"lambda": {"declaringClass": {"proxy": ["a.I"]}, "interfaces": ["a.I"]}}}]}`,
		"glob of 3 stars":   `{"resources": [{"glob": "a/***"}]}`,
		"empty glob":        `{"resources": [{"glob": ""}]}`,
		"empty level":       `{"resources": [{"glob": "a//b"}]}`,
		"doubled level":     `{"resources": [{"glob": "a/**/**/b"}]}`,
		"unescaped":         `{"resources": [{"glob": "a/b?.txt"}]}`,
		"glob and bundle":   `{"resources": [{"glob": "a", "bundle": "b"}]}`,
		"neither":           `{"resources": [{"module": "m"}]}`,
		"downcall of void":  `{"foreign": {"downcalls": [{"parameterTypes": ["int"]}]}}`,
		"trailing":          `{} {}`,
		"cut off":           sample[:len(sample)/2],
	} {
		if s, err := Parse([]byte(doc)); err == nil {
			t.Errorf("%s: Parse(%s) = %+v, want an error", name, doc, s.Elements())
		}
	}
	for name, doc := range map[string][]byte{
		"size":     make([]byte, MaxSize+1),
		"depth":    []byte(`{"comment":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}`),
		"values":   []byte(`{"reflection":[{"type":"a"}` + strings.Repeat(`,{}`, maxValues) + `]}`),
		"elements": manyTypes(MaxElements + 1),
	} {
		if _, err := Parse(doc); !errors.Is(err, ErrTooLarge) {
			t.Errorf("Parse of a document over the limit of %s: %v, want ErrTooLarge", name, err)
		}
	}
	if set, err := Parse(manyTypes(MaxElements)); err != nil || set.Len() != MaxElements {
		t.Errorf("Parse at the limit: %d elements, %v", set.Len(), err)
	}
	if _, err := Parse([]byte(`{"comment":"` + strings.Repeat(`[\"`, 100) + `"}`)); err != nil {
		t.Errorf("brackets in a text are no depth: %v", err)
	}
}

func TestJSONIsCanonical(t *testing.T) {
	s := mustParse(t, sample)
	again := mustParse(t, string(s.JSON()))
	if diff := cmp.Diff(s.Elements(), again.Elements()); diff != "" {
		t.Errorf("Parse(JSON()) (-want +got):\n%s", diff)
	}
	if s.Hash() != again.Hash() {
		t.Errorf("hashes of equal sets differ")
	}
	if got := string(new(Set).JSON()); got != "{}\n" {
		t.Errorf("JSON of the empty set = %q", got)
	}
}

func TestDiff(t *testing.T) {
	old := mustParse(t, `{"reflection": [{"type": "a.B"}, {"type": "a.C"}]}`)
	now := mustParse(t, `{"reflection": [{"type": "a.B", "fields": [{"name": "x"}]}]}`)
	got, err := json.Marshal(Diff(old, now))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"added":[{"kind":"field","type":"a.B","name":"x"}],"removed":[{"kind":"type","type":"a.C"}],` +
		`"addedCounts":{"reflection":1,"proxy":0,"serialization":0,"jni":0,"resource":0,"foreign":0,"total":1,"byKind":{"field":1}},` +
		`"removedCounts":{"reflection":1,"proxy":0,"serialization":0,"jni":0,"resource":0,"foreign":0,"total":1,"byKind":{"type":1}}}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("Diff (-want +got):\n%s", diff)
	}
	if !Diff(now, now).Empty() || !Diff(nil, nil).Empty() {
		t.Error("Diff of a set with itself is not empty")
	}
}

// elements draws sets, of which the documents are made.
func elements() *rapid.Generator[*Set] {
	name := rapid.StringMatching(`[a-c](\.[A-C])?(\$[a-c])?`)
	element := rapid.Custom(func(t *rapid.T) Element {
		e := Element{Type: name.Draw(t, "type"), Condition: rapid.SampledFrom([]string{"", "q.Q"}).Draw(t, "condition")}
		e.Kind = rapid.SampledFrom([]Kind{KindType, KindMethod, KindField, KindBulk, KindUnsafe, KindJNI, KindSerializable, KindResource, KindBundle}).Draw(t, "kind")
		switch e.Kind {
		case KindMethod:
			e.Name = name.Draw(t, "name") + rapid.SampledFrom([]string{"()", "(*)", "(int,a.B[])"}).Draw(t, "signature")
		case KindField:
			e.Name = name.Draw(t, "name")
		case KindBulk:
			e.Name = rapid.SampledFrom(bulkFlags).Draw(t, "flag")
		case KindSerializable:
			e.Condition = ""
		case KindResource, KindBundle:
			e.Type, e.Name, e.Module = "", name.Draw(t, "name"), rapid.SampledFrom([]string{"", "java.base"}).Draw(t, "module")
		}
		return e
	})
	return rapid.Map(rapid.SliceOf(element), func(all []Element) *Set {
		s := newSet()
		for _, e := range all {
			s.add(e)
			if e.Type != "" {
				s.add(Element{Kind: KindType, Type: e.Type, Condition: e.Condition})
			}
		}
		return s
	})
}

func TestWhen(t *testing.T) {
	set := mustParse(t, `{"reflection": [{"type": "a.B", "methods": [{"name": "m"}]}, {"type": "a.R", "serializable": true},
		{"type": "a.C", "condition": {"typeReached": "x.Y"}}], "resources": [{"glob": "g"}]}`)
	want := mustParse(t, `{"reflection": [{"type": "a.B", "methods": [{"name": "m"}], "condition": {"typeReached": "q.Q"}},
		{"type": "a.R", "serializable": true, "condition": {"typeReached": "q.Q"}}, {"type": "a.C", "condition": {"typeReached": "x.Y"}}],
		"resources": [{"glob": "g", "condition": {"typeReached": "q.Q"}}]}`)
	got := set.When("q.Q")
	if diff := cmp.Diff(want.Elements(), got.Elements()); diff != "" {
		t.Errorf("When (-want +got):\n%s", diff)
	}
	if !got.Contains(Element{Kind: KindSerializable, Type: "a.R"}) {
		t.Error("what is serializable is so on condition")
	}
}

func TestForImage(t *testing.T) {
	set := mustParse(t, `{"reflection": [{"type": "sun.management.RuntimeImpl"}, {"type": "a.B"}]}`)
	got := set.ForImage()
	if !got.Contains(Element{Kind: KindType, Type: "com.oracle.svm.core.jdk.management.SubstrateRuntimeMXBean"}) || Merge(got, set).Len() != got.Len() {
		t.Errorf("got %v", got.Elements())
	}
	if plain := mustParse(t, `{"reflection": [{"type": "a.B"}]}`); plain.ForImage().Hash() != plain.Hash() {
		t.Error("beans of the image are added where none is used")
	}
}

func TestAlgebra(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := elements().Draw(t, "a"), elements().Draw(t, "b")
		if Merge(a, b).Hash() != Merge(b, a).Hash() {
			t.Error("Merge is not commutative")
		}
		if Merge(a, a).Hash() != a.Hash() {
			t.Error("Merge is not idempotent")
		}
		d := Diff(a, b)
		if len(d.Added) != Merge(a, b).Len()-a.Len() || len(d.Removed) != Merge(a, b).Len()-b.Len() {
			t.Errorf("Diff: %d added, %d removed", len(d.Added), len(d.Removed))
		}
		back, err := Parse(a.JSON())
		if err != nil {
			t.Fatalf("Parse(JSON()): %v", err)
		}
		if diff := cmp.Diff(a.Elements(), back.Elements()); diff != "" {
			t.Errorf("Parse(JSON()) (-want +got):\n%s", diff)
		}
	})
}

func TestParseFileOfOlderSchemas(t *testing.T) {
	tests := []struct{ name, doc, want string }{
		{"reflect-config.json", `[{"name":"a.B","queryAllDeclaredMethods":true,"queriedMethods":[{"name":"q","parameterTypes":[]}],"methods":[{"name":"m","parameterTypes":["int"]}]}]`,
			`{"reflection":[{"type":"a.B","methods":[{"name":"m","parameterTypes":["int"]}]}]}`},
		{"jni-config.json", `[{"name":"[I"},{"condition":{"typeReachable":"x.Y"},"name":"a.B","fields":[{"name":"f"}]}]`,
			`{"reflection":[{"type":"int[]","jniAccessible":true},{"type":"a.B","fields":[{"name":"f"}],"jniAccessible":true}]}`},
		{"proxy-config.json", `[["a.I"],{"interfaces":["a.I","a.J"]}]`,
			`{"reflection":[{"type":{"proxy":["a.I"]}},{"type":{"proxy":["a.I","a.J"]}}]}`},
		{"serialization-config.json", `{"types":[{"name":"a.B","customTargetConstructorClass":"java.lang.Object"}],"lambdaCapturingTypes":[],"proxies":[["a.I"]]}`,
			`{"reflection":[{"type":"a.B","serializable":true},{"type":{"proxy":["a.I"]},"serializable":true}]}`},
		{"resource-config.json", `{"resources":{"includes":[{"pattern":"\\Qa/b.txt\\E"},{"pattern":"java.base:\\Qx\\E"},{"pattern":"conf/.*\\.yml$"}]},"bundles":[{"name":"a.T","locales":["de"]}],"globs":[{"glob":"g/*"}]}`,
			`{"resources":[{"glob":"a/b.txt"},{"module":"java.base","glob":"x"},{"glob":"conf/**/*.yml"},{"bundle":"a.T"},{"glob":"g/*"}]}`},
		{"some/folder/reachability-metadata.json", `{"jni":[{"type":"a.B"}],"serialization":[{"type":"a.C"}],"bundles":[{"name":"a.T"}]}`,
			`{"reflection":[{"type":"a.B","jniAccessible":true},{"type":"a.C","serializable":true}],"resources":[{"bundle":"a.T"}]}`},
	}
	for _, tt := range tests {
		got, skipped, err := ParseFile(tt.name, []byte(tt.doc))
		if err != nil || len(skipped) > 0 {
			t.Errorf("ParseFile(%s, %s): %v, skipped %q", tt.name, tt.doc, err, skipped)
			continue
		}
		if diff := cmp.Diff(mustParse(t, tt.want).Elements(), got.Elements()); diff != "" {
			t.Errorf("ParseFile(%s) (-want +got):\n%s", tt.name, diff)
		}
	}
	if _, skipped, err := ParseFile("resource-config.json", []byte(`{"resources":[{"pattern":"a(b|c)"}]}`)); err != nil || len(skipped) != 1 {
		t.Errorf("a pattern that is no glob: %v, skipped %q; want it skipped", err, skipped)
	}
	if _, _, err := ParseFile("other.json", nil); err == nil {
		t.Error("ParseFile(other.json) gives no error")
	}
}

func TestParseMissing(t *testing.T) {
	output, err := os.ReadFile("testdata/missing-class.txt")
	if err != nil {
		t.Fatal(err)
	}
	got, ok := ParseMissing("log line\n" + string(output))
	if !ok || got.What != "Cannot reflectively access the class 'a.B'" || !got.Set.Contains(Element{Kind: KindType, Type: "a.B"}) {
		t.Errorf("ParseMissing = %+v, %v", got, ok)
	}
	native := "Cannot reflectively access class java/awt/Color. To allow this operation, add the following to the 'reflection' section of " +
		"'reachability-metadata.json' and rebuild the native image:\n{\"type\": \"java/awt/Color\", \"jniAccessible\": true}\n"
	if got, ok := ParseMissing(native); !ok || !got.Set.Contains(Element{Kind: KindJNI, Type: "java.awt.Color"}) {
		t.Errorf("ParseMissing of what native code missed = %+v, %v", got, ok)
	}
	if got, ok := ParseMissing(strings.Split(string(output), `"type"`)[0]); ok {
		t.Errorf("ParseMissing of a cut off hint = %+v, want none", got)
	}
	if _, ok := ParseMissing("java.lang.ClassNotFoundException: a.B"); ok {
		t.Error("ParseMissing sees a hint where there is none")
	}
}

func TestJVMOption(t *testing.T) {
	tests := []struct {
		tracer     Tracer
		out, known string
		want       string
	}{
		{Tracer{}, "/trace", "", "-agentlib:native-image-agent=config-output-dir=/trace,config-write-initial-delay-secs=0,config-write-period-secs=1"},
		{Tracer{Jar: "/t.jar"}, "/trace", "", "-javaagent:/t.jar=out=/trace,interval=1000"},
		{Tracer{Jar: "/t.jar"}, "/trace", "/k.json", "-javaagent:/t.jar=out=/trace,interval=1000,merge=/k.json"},
		{Tracer{Jar: "/t.jar"}, "/a,b", "", ""},
		{Tracer{Jar: "/t.jar"}, "", "", ""},
	}
	for _, tt := range tests {
		got, err := tt.tracer.JVMOption(tt.out, tt.known, 0)
		if got != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("%+v.JVMOption(%q, %q) = %q, %v; want %q", tt.tracer, tt.out, tt.known, got, err, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("reachability-metadata.json", []byte(sample))
	f.Add("reflect-config.json", []byte(`[{"name":"a.B","queriedMethods":[]}]`))
	f.Add("resource-config.json", []byte(`{"resources":{"includes":[{"pattern":"\\Qa\\E.*b"}]}}`))
	f.Add("serialization-config.json", []byte(`{"types":[],"lambdaCapturingTypes":[{"name":"a.B"}]}`))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		set, _, err := ParseFile(name, data)
		if err != nil {
			return
		}
		back, err := Parse(set.JSON())
		if err != nil {
			t.Fatalf("what was read cannot be read again: %v\n%s", err, set.JSON())
		}
		if diff := cmp.Diff(set.Elements(), back.Elements()); diff != "" {
			t.Fatalf("Parse(JSON()) (-want +got):\n%s", diff)
		}
	})
}

func FuzzParseMissing(f *testing.F) {
	output, _ := os.ReadFile("testdata/missing-class.txt")
	f.Add(string(output))
	f.Fuzz(func(t *testing.T, output string) {
		if m, ok := ParseMissing(output); ok && m.Set.Len() == 0 {
			t.Fatal("a hint without an element")
		}
	})
}

func BenchmarkParse(b *testing.B) {
	s := newSet()
	for i := range 5000 {
		typ := "com.example.Type" + string(rune('A'+i%26)) + strings.Repeat("x", i%50)
		s.add(Element{Kind: KindType, Type: typ})
		s.add(Element{Kind: KindMethod, Type: typ, Name: "m(int)"})
	}
	data := s.JSON()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := Parse(data); err != nil {
			b.Fatal(err)
		}
	}
}

// manyTypes is a document that names n types.
func manyTypes(n int) []byte {
	var b strings.Builder
	b.WriteString(`{"reflection":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"type":"a.B%d"}`, i)
	}
	b.WriteString(`]}`)
	return []byte(b.String())
}
