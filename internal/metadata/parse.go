package metadata

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
)

const (
	// MaxSize is the largest document that is read, in bytes, and the store keeps none that is larger. The
	// metadata of a big Spring Boot application is below 2 MB.
	MaxSize = 7 << 20
	// maxName is the longest name that is read, in bytes; the JVM's own limit is 65535.
	maxName = 1 << 16
	// MaxElements is how many elements a document may have; Petclinic on Spring Boot has 5,900.
	MaxElements = 1 << 16
	// maxDepth is how deep objects and arrays may be nested; what the schema knows is seven deep.
	maxDepth = 32
	// maxValues bounds the memory that reading takes: each may become a struct of a hundred bytes.
	maxValues = 1 << 19
)

// ErrTooLarge is returned for documents over MaxSize, with too many elements or values, or nested too deep.
var ErrTooLarge = errors.New("metadata is too large")

// flags of a type that stand for themselves, with their kind; the bulk ones keep their name.
var bulkFlags = []string{
	"allDeclaredConstructors", "allDeclaredFields", "allDeclaredMethods",
	"allPublicConstructors", "allPublicFields", "allPublicMethods",
}

type document struct {
	Comment       json.RawMessage      `json:"comment"`
	Reflection    []typeEntry          `json:"reflection"`
	JNI           []typeEntry          `json:"jni"`
	Resources     []resourceEntry      `json:"resources"`
	Bundles       []bundleEntry        `json:"bundles"`
	Serialization []serializationEntry `json:"serialization"`
	Foreign       *foreignSection      `json:"foreign"`
}

type typeEntry struct {
	Reason    json.RawMessage `json:"reason"`
	Condition *condition      `json:"condition"`
	Type      json.RawMessage `json:"type"`
	Methods   []methodEntry   `json:"methods"`
	Fields    []fieldEntry    `json:"fields"`

	AllDeclaredConstructors bool `json:"allDeclaredConstructors"`
	AllDeclaredFields       bool `json:"allDeclaredFields"`
	AllDeclaredMethods      bool `json:"allDeclaredMethods"`
	AllPublicConstructors   bool `json:"allPublicConstructors"`
	AllPublicFields         bool `json:"allPublicFields"`
	AllPublicMethods        bool `json:"allPublicMethods"`

	UnsafeAllocated bool `json:"unsafeAllocated"`
	Serializable    bool `json:"serializable"`
	JNIAccessible   bool `json:"jniAccessible"`
}

func (t *typeEntry) bulk() []bool {
	return []bool{
		t.AllDeclaredConstructors, t.AllDeclaredFields, t.AllDeclaredMethods,
		t.AllPublicConstructors, t.AllPublicFields, t.AllPublicMethods,
	}
}

type condition struct {
	Reached   json.RawMessage `json:"typeReached"`
	Reachable json.RawMessage `json:"typeReachable"` // the older, weaker form
}

type methodEntry struct {
	Name string `json:"name"`
	// Parameters is nil for every signature, empty for none.
	Parameters *[]string `json:"parameterTypes"`
}

type fieldEntry struct {
	Name        string `json:"name"`
	AllowWrite  bool   `json:"allowWrite"`
	AllowUnsafe bool   `json:"allowUnsafeAccess"` // allowed and without meaning
}

type resourceEntry struct {
	Reason    json.RawMessage `json:"reason"`
	Condition *condition      `json:"condition"`
	Module    string          `json:"module"`
	Glob      *string         `json:"glob"`
	Bundle    *string         `json:"bundle"`
}

// bundleEntry has locales and class names that narrow it down; the whole bundle covers them.
type bundleEntry struct {
	Reason     json.RawMessage `json:"reason"`
	Condition  *condition      `json:"condition"`
	Name       string          `json:"name"`
	Locales    []string        `json:"locales"`
	ClassNames []string        `json:"classNames"`
}

type serializationEntry struct {
	Reason    json.RawMessage `json:"reason"`
	Condition *condition      `json:"condition"`
	Type      json.RawMessage `json:"type"`
	Name      string          `json:"name"`                         // the older form
	Target    json.RawMessage `json:"customTargetConstructorClass"` // without meaning
}

type foreignSection struct {
	Downcalls     []foreignCall `json:"downcalls"`
	Upcalls       []foreignCall `json:"upcalls"`
	DirectUpcalls []foreignCall `json:"directUpcalls"`
}

type foreignCall struct {
	Reason     json.RawMessage `json:"reason,omitempty"`
	Condition  *condition      `json:"condition,omitempty"`
	Class      string          `json:"class,omitempty"`
	Method     string          `json:"method,omitempty"`
	Return     string          `json:"returnType,omitempty"`
	Parameters *[]string       `json:"parameterTypes,omitempty"`
	Options    *foreignOptions `json:"options,omitempty"`
}

type foreignOptions struct {
	CaptureCallState bool             `json:"captureCallState,omitempty"`
	Critical         *foreignCritical `json:"critical,omitempty"`
	FirstVariadicArg *int             `json:"firstVariadicArg,omitempty"`
}

type foreignCritical struct {
	AllowHeapAccess bool `json:"allowHeapAccess,omitempty"`
}

// Parse reads a reachability-metadata.json. Unknown keys, wrong types, names that no class can
// have and trailing data are errors; an empty object is an empty set.
func Parse(data []byte) (*Set, error) {
	var doc document
	if err := decode(data, &doc); err != nil {
		return nil, err
	}
	return doc.set()
}

func decode(data []byte, v any) error {
	if len(data) > MaxSize {
		return fmt.Errorf("read metadata: %d bytes: %w (limit %d)", len(data), ErrTooLarge, MaxSize)
	}
	if err := bounded(data); err != nil {
		return fmt.Errorf("read metadata: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("read metadata: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("read metadata: data after the end of the document")
	}
	return nil
}

// bounded counts what the decoder would make of a document, before it does. Whether that is JSON at all the
// decoder sees.
func bounded(data []byte) error {
	depth, values := 0, 0
	inString := false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return fmt.Errorf("nested more than %d deep: %w", maxDepth, ErrTooLarge)
			}
			values++
		case c == '}' || c == ']':
			depth--
		case c == ',':
			values++
		}
	}
	if values > maxValues {
		return fmt.Errorf("more than %d values: %w", maxValues, ErrTooLarge)
	}
	return nil
}

func (doc *document) set() (*Set, error) {
	b := builder{set: newSet()}
	for i := range doc.Reflection {
		b.typeEntry(&doc.Reflection[i], false)
	}
	for i := range doc.JNI {
		b.typeEntry(&doc.JNI[i], true)
	}
	for i := range doc.Resources {
		b.resource(&doc.Resources[i])
	}
	for i := range doc.Bundles {
		e := &doc.Bundles[i]
		b.add(Element{Kind: KindBundle, Name: b.name("bundle", e.Name), Condition: b.condition(e.Condition)})
	}
	for i := range doc.Serialization {
		b.serialization(&doc.Serialization[i])
	}
	if f := doc.Foreign; f != nil {
		b.foreign(KindDowncall, f.Downcalls)
		b.foreign(KindUpcall, f.Upcalls)
		b.foreign(KindDirectUpcall, f.DirectUpcalls)
	}
	if b.err != nil {
		return nil, fmt.Errorf("read metadata: %w", b.err)
	}
	return b.set, nil
}

// builder collects elements and keeps the first error.
type builder struct {
	set *Set
	err error
}

func (b *builder) fail(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf(format, args...)
	}
}

func (b *builder) add(e Element) {
	if b.err != nil {
		return
	}
	b.set.add(e)
	if len(b.set.elements) > MaxElements {
		b.fail("more than %d elements: %w", MaxElements, ErrTooLarge)
	}
}

func (b *builder) typeEntry(t *typeEntry, jni bool) {
	cond := b.condition(t.Condition)
	typ, ok := b.descriptor(t.Type)
	if !ok {
		return
	}
	element := func(k Kind, name string) {
		b.add(Element{Kind: k, Type: typ, Name: name, Condition: cond})
	}
	element(typeKind(typ), "")
	for i := range t.Methods {
		element(KindMethod, b.method(&t.Methods[i]))
	}
	for i := range t.Fields {
		name := b.name("field", t.Fields[i].Name)
		element(KindField, name)
		if t.Fields[i].AllowWrite {
			element(KindFinalField, name)
		}
	}
	for i, set := range t.bulk() {
		if set {
			element(KindBulk, bulkFlags[i])
		}
	}
	if t.UnsafeAllocated {
		element(KindUnsafe, "")
	}
	if t.JNIAccessible || jni {
		element(KindJNI, "")
	}
	if t.Serializable {
		cond = "" // see Element.Condition
		element(typeKind(typ), "")
		element(KindSerializable, "")
	}
}

func (b *builder) resource(r *resourceEntry) {
	cond := b.condition(r.Condition)
	if r.Module != "" {
		b.name("module", r.Module)
	}
	switch {
	case r.Glob != nil && r.Bundle == nil:
		b.glob(*r.Glob)
		b.add(Element{Kind: KindResource, Name: *r.Glob, Module: r.Module, Condition: cond})
	case r.Bundle != nil && r.Glob == nil:
		b.add(Element{Kind: KindBundle, Name: b.name("bundle", *r.Bundle), Module: r.Module, Condition: cond})
	default:
		b.fail("a resource must have a glob or a bundle")
	}
}

func (b *builder) serialization(s *serializationEntry) {
	raw := s.Type
	if len(raw) == 0 {
		raw, _ = json.Marshal(s.Name)
	}
	b.typeEntry(&typeEntry{Condition: s.Condition, Type: raw, Serializable: true}, false)
}

func (b *builder) foreign(kind Kind, calls []foreignCall) {
	for i := range calls {
		c := calls[i]
		cond := b.condition(c.Condition)
		c.Reason, c.Condition = nil, nil
		if kind == KindDirectUpcall {
			b.name("class", c.Class)
			b.name("method", c.Method)
		} else if c.Return == "" || c.Class != "" || c.Method != "" {
			b.fail("a %s must have a return type and neither class nor method", kind)
		}
		if c.Parameters == nil && c.Return != "" {
			c.Parameters = &[]string{}
		}
		if c.Parameters != nil {
			for _, p := range *c.Parameters {
				b.name("memory layout", p)
			}
		}
		b.add(Element{Kind: kind, Name: canonical(c), Condition: cond})
	}
}

// condition returns the descriptor of the type that must be reached. The older
// "typeReachable" asks for less, so it is dropped: the element is then there always.
func (b *builder) condition(c *condition) string {
	if c == nil || len(c.Reached) == 0 {
		return ""
	}
	typ, _ := b.descriptor(c.Reached)
	return typ
}

type descriptor struct {
	Proxy  *[]string         `json:"proxy,omitempty"`
	Lambda *lambdaDescriptor `json:"lambda,omitempty"`
}

type lambdaDescriptor struct {
	Class      json.RawMessage `json:"declaringClass"`
	Method     *methodEntry    `json:"declaringMethod,omitempty"`
	Interfaces []string        `json:"interfaces"`
}

// descriptor reads a type: its name, or an object for a proxy or a lambda.
func (b *builder) descriptor(raw json.RawMessage) (string, bool) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		b.fail("a type is missing")
		return "", false
	}
	if raw[0] == '"' {
		var name string
		if err := json.Unmarshal(raw, &name); err != nil {
			b.fail("type: %w", err)
			return "", false
		}
		name = b.typeName(name)
		return name, b.err == nil
	}
	var d descriptor
	if err := decode(raw, &d); err != nil {
		b.fail("type: %w", err)
		return "", false
	}
	switch {
	case d.Proxy != nil && d.Lambda == nil:
		if len(*d.Proxy) == 0 {
			b.fail("a proxy type needs an interface")
		}
		for i, name := range *d.Proxy {
			(*d.Proxy)[i] = b.typeName(name)
		}
	case d.Lambda != nil && d.Proxy == nil:
		b.lambda(d.Lambda)
	default:
		b.fail("a type must be a name, a proxy or a lambda")
	}
	if b.err != nil {
		return "", false
	}
	return canonical(d), true
}

func (b *builder) lambda(l *lambdaDescriptor) {
	var name string
	if err := json.Unmarshal(l.Class, &name); err != nil {
		b.fail("the declaring class of a lambda must be a name: %w", err)
		return
	}
	l.Class, _ = json.Marshal(b.typeName(name))
	if l.Method != nil {
		b.method(l.Method)
	}
	if len(l.Interfaces) == 0 {
		b.fail("a lambda type needs an interface")
	}
	for i, name := range l.Interfaces {
		l.Interfaces[i] = b.typeName(name)
	}
}

func (b *builder) method(m *methodEntry) string {
	name := b.name("method", m.Name)
	if m.Parameters == nil {
		return name + "(*)"
	}
	types := slices.Clone(*m.Parameters)
	for i, p := range types {
		types[i] = b.typeName(p)
	}
	return name + "(" + strings.Join(types, ",") + ")"
}

// typeName checks a name and turns "[Ljava.lang.String;" into "java.lang.String[]", so that
// equal types are equal elements.
func (b *builder) typeName(name string) string {
	// A binary names what native code missed as that asks for it: "java/awt/Color".
	name = strings.ReplaceAll(sourceName(b.name("type", name)), "/", ".")
	if strings.ContainsAny(name, "{}()\",") {
		b.fail("%q is no name of a type", name)
	}
	return name
}

// name refuses what no class file and no archive can hold.
func (b *builder) name(what, name string) string {
	switch {
	case name == "":
		b.fail("the name of a %s is empty", what)
	case len(name) > maxName:
		b.fail("the name of a %s is longer than %d bytes", what, maxName)
	case strings.ContainsFunc(name, unicode.IsControl):
		b.fail("the name of a %s has a control character: %q", what, name)
	}
	return name
}

// glob checks what native-image refuses: it would fail the whole build.
func (b *builder) glob(glob string) {
	b.name("resource", glob)
	if strings.Contains(strings.ReplaceAll(glob, `\*`, ""), "***") {
		b.fail("glob %q has more than two * in a row", glob)
	}
	if strings.Contains(glob, "//") || strings.Contains(glob, "**/**") {
		b.fail("glob %q has an empty or a doubled level", glob)
	}
	escaped := false
	for _, c := range glob {
		if strings.ContainsRune("?[]{}", c) && !escaped {
			b.fail("glob %q has a %c without a \\ before it", glob, c)
		}
		escaped = c == '\\'
	}
}

func typeKind(descriptor string) Kind {
	switch {
	case strings.HasPrefix(descriptor, `{"proxy"`):
		return KindProxy
	case strings.HasPrefix(descriptor, `{"lambda"`):
		return KindLambda
	}
	return KindType
}

var primitives = map[byte]string{
	'B': "byte", 'C': "char", 'D': "double", 'F': "float", 'I': "int", 'J': "long", 'S': "short", 'Z': "boolean",
}

// sourceName turns the JVM's name of an array class into the one of Java source.
func sourceName(name string) string {
	element := strings.TrimLeft(name, "[")
	dimensions := len(name) - len(element)
	if dimensions == 0 || dimensions > 255 || element == "" {
		return name
	}
	switch {
	case element[0] == 'L' && strings.HasSuffix(element, ";") && len(element) > 2:
		element = element[1 : len(element)-1]
	case len(element) == 1 && primitives[element[0]] != "":
		element = primitives[element[0]]
	default:
		return name
	}
	return element + strings.Repeat("[]", dimensions)
}
