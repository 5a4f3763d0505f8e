package metadata

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// The documents as they are written: keys in the order of GraalVM's own writer.

type outDocument struct {
	Reflection []*outType `json:"reflection,omitempty"`
	// Serialization holds lambdas only: as a serializable type of the section "reflection", a
	// lambda makes GraalVM 25's builder fail with an internal error (two types for one class).
	Serialization []outSerialization `json:"serialization,omitempty"`
	Resources     []outResource      `json:"resources,omitempty"`
	Foreign       *outForeign        `json:"foreign,omitempty"`
}

type outCondition struct {
	Reached json.RawMessage `json:"typeReached"`
}

type outType struct {
	Condition *outCondition   `json:"condition,omitempty"`
	Type      json.RawMessage `json:"type"`

	AllDeclaredConstructors bool `json:"allDeclaredConstructors,omitempty"`
	AllDeclaredFields       bool `json:"allDeclaredFields,omitempty"`
	AllDeclaredMethods      bool `json:"allDeclaredMethods,omitempty"`
	AllPublicConstructors   bool `json:"allPublicConstructors,omitempty"`
	AllPublicFields         bool `json:"allPublicFields,omitempty"`
	AllPublicMethods        bool `json:"allPublicMethods,omitempty"`
	UnsafeAllocated         bool `json:"unsafeAllocated,omitempty"`
	Serializable            bool `json:"serializable,omitempty"`
	JNIAccessible           bool `json:"jniAccessible,omitempty"`

	Fields  []outField  `json:"fields,omitempty"`
	Methods []outMethod `json:"methods,omitempty"`
}

type outSerialization struct {
	Condition *outCondition   `json:"condition,omitempty"`
	Type      json.RawMessage `json:"type"`
}

type outField struct {
	Name       string `json:"name"`
	AllowWrite bool   `json:"allowWrite,omitempty"`
}

type outMethod struct {
	Name       string    `json:"name"`
	Parameters *[]string `json:"parameterTypes,omitempty"`
}

type outResource struct {
	Condition *outCondition `json:"condition,omitempty"`
	Module    string        `json:"module,omitempty"`
	Glob      *string       `json:"glob,omitempty"`
	Bundle    string        `json:"bundle,omitempty"`
}

type outForeign struct {
	Downcalls     []json.RawMessage `json:"downcalls,omitempty"`
	Upcalls       []json.RawMessage `json:"upcalls,omitempty"`
	DirectUpcalls []json.RawMessage `json:"directUpcalls,omitempty"`
}

// JSON writes the set as a reachability-metadata.json in canonical form: equal sets give equal
// bytes, and Parse gives the set back.
func (s *Set) JSON() []byte {
	var doc outDocument
	var t *outType
	var last Element
	for _, e := range s.Elements() {
		switch e.Kind {
		case KindResource:
			glob := e.Name
			doc.Resources = append(doc.Resources, outResource{Condition: outConditionOf(e), Module: e.Module, Glob: &glob})
		case KindBundle:
			doc.Resources = append(doc.Resources, outResource{Condition: outConditionOf(e), Module: e.Module, Bundle: e.Name})
		case KindDowncall, KindUpcall, KindDirectUpcall:
			if doc.Foreign == nil {
				doc.Foreign = &outForeign{}
			}
			doc.Foreign.add(e)
		default:
			if typeKind(e.Type) == KindLambda {
				serializable := Element{Kind: KindSerializable, Type: e.Type, Condition: e.Condition}
				if e == serializable {
					doc.Serialization = append(doc.Serialization, outSerialization{outConditionOf(e), outDescriptor(e.Type)})
					continue
				}
				if e.Kind == KindLambda && s.Contains(serializable) {
					continue // comes with the other
				}
			}
			if t == nil || last.Type != e.Type || last.Condition != e.Condition {
				t = &outType{Condition: outConditionOf(e), Type: outDescriptor(e.Type)}
				doc.Reflection = append(doc.Reflection, t)
				last = e
			}
			t.add(e)
		}
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(doc); err != nil {
		panic("metadata: write a set: " + err.Error()) // every part was parsed or marshalled before
	}
	return out.Bytes()
}

func (t *outType) add(e Element) {
	switch e.Kind {
	case KindMethod:
		open := strings.LastIndexByte(e.Name, '(')
		m := outMethod{Name: e.Name[:open]}
		if params := e.Name[open+1 : len(e.Name)-1]; params != "*" {
			list := []string{}
			if params != "" {
				list = strings.Split(params, ",")
			}
			m.Parameters = &list
		}
		t.Methods = append(t.Methods, m)
	case KindField:
		t.Fields = append(t.Fields, outField{Name: e.Name})
	case KindFinalField: // all fields of the type are there and sorted: "field" sorts before "final-field"
		i, ok := slices.BinarySearchFunc(t.Fields, e.Name, func(f outField, name string) int { return strings.Compare(f.Name, name) })
		if ok {
			t.Fields[i].AllowWrite = true
		}
	case KindUnsafe:
		t.UnsafeAllocated = true
	case KindSerializable:
		t.Serializable = true
	case KindJNI:
		t.JNIAccessible = true
	case KindBulk:
		switch e.Name {
		case "allDeclaredConstructors":
			t.AllDeclaredConstructors = true
		case "allDeclaredFields":
			t.AllDeclaredFields = true
		case "allDeclaredMethods":
			t.AllDeclaredMethods = true
		case "allPublicConstructors":
			t.AllPublicConstructors = true
		case "allPublicFields":
			t.AllPublicFields = true
		case "allPublicMethods":
			t.AllPublicMethods = true
		}
	}
}

func (f *outForeign) add(e Element) {
	raw := json.RawMessage(e.Name)
	if e.Condition != "" {
		raw = json.RawMessage(`{"condition":` + canonical(outConditionOf(e)) + "," + strings.TrimPrefix(e.Name, "{"))
	}
	switch e.Kind {
	case KindDowncall:
		f.Downcalls = append(f.Downcalls, raw)
	case KindUpcall:
		f.Upcalls = append(f.Upcalls, raw)
	default:
		f.DirectUpcalls = append(f.DirectUpcalls, raw)
	}
}

func outConditionOf(e Element) *outCondition {
	if e.Condition == "" {
		return nil
	}
	return &outCondition{Reached: outDescriptor(e.Condition)}
}

func outDescriptor(typ string) json.RawMessage {
	if strings.HasPrefix(typ, "{") {
		return json.RawMessage(typ)
	}
	return json.RawMessage(canonical(typ))
}

// canonical is compact JSON without HTML escapes.
func canonical(v any) string {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("metadata: write a descriptor: " + err.Error())
	}
	return strings.TrimSuffix(out.String(), "\n")
}
