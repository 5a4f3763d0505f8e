// Package metadata reads, merges, compares and writes GraalVM reachability metadata: what a
// function uses through reflection, JNI, proxies, resources, serialization and foreign calls,
// which native-image must be told.
//
// A Set is a mathematical set of Elements, so that merging is union and a difference is a set
// difference; the documents' nesting exists only while reading and writing. What it reads is
// hostile (it comes out of sandboxes that run users' code): sizes are capped and unknown keys
// refused. The package knows nothing of workers, builders or files: bytes in, bytes out.
package metadata

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
)

// Kind says what an Element allows.
type Kind string

const (
	// KindType makes a type known by name, with all queries for its members. Every other
	// element of a type comes with one.
	KindType Kind = "type"
	// KindProxy is a type that java.lang.reflect.Proxy makes; Type holds its interfaces.
	KindProxy Kind = "proxy"
	// KindLambda is a lambda's hidden class (it matters for serialization).
	KindLambda Kind = "lambda"
	// KindMethod allows to invoke a method or constructor: Name is "name(type,type)", or
	// "name(*)" for every signature; constructors are called "<init>".
	KindMethod Kind = "method"
	// KindField allows to read and write a field.
	KindField Kind = "field"
	// KindFinalField allows to write a final field too; it comes with a KindField.
	KindFinalField Kind = "final-field"
	// KindBulk is one of "allDeclaredMethods" and its like, which Name holds.
	KindBulk Kind = "bulk"
	// KindUnsafe allows to allocate objects of a type without a constructor.
	KindUnsafe Kind = "unsafe-allocated"
	// KindSerializable allows to serialize and deserialize objects of a type.
	KindSerializable Kind = "serializable"
	// KindJNI makes a type and those of its members that are registered known to native code.
	KindJNI Kind = "jni"
	// KindResource is a glob of resources (Name), perhaps of one Module.
	KindResource Kind = "resource"
	// KindBundle is a resource bundle (Name), perhaps of one Module.
	KindBundle Kind = "bundle"
	// KindDowncall, KindUpcall and KindDirectUpcall are foreign functions; Name holds the
	// canonical JSON of the descriptor.
	KindDowncall     Kind = "downcall"
	KindUpcall       Kind = "upcall"
	KindDirectUpcall Kind = "direct-upcall"
)

// Element is the smallest thing that metadata can allow.
type Element struct {
	Kind Kind `json:"kind"`
	// Type is the type's name as in Java source ("int", "a.B$C", "java.lang.String[][]"), or the
	// canonical JSON of a proxy's or lambda's descriptor; empty for what belongs to no type.
	Type string `json:"type,omitempty"`
	// Name is the member, glob, bundle or descriptor: see the Kinds.
	Name   string `json:"name,omitempty"`
	Module string `json:"module,omitempty"`
	// Condition is the type (as Type) that must have been reached; empty: always. What is
	// serializable has none: GraalVM 25's builder fails at a record that is, on condition.
	Condition string `json:"condition,omitempty"`
}

func compare(a, b Element) int {
	return cmp.Or(
		cmp.Compare(a.Type, b.Type),
		cmp.Compare(a.Condition, b.Condition),
		cmp.Compare(a.Kind, b.Kind),
		cmp.Compare(a.Module, b.Module),
		cmp.Compare(a.Name, b.Name),
	)
}

// Set is an immutable set of elements. The zero value and nil are empty sets. It is safe for
// concurrent use.
type Set struct {
	elements map[Element]struct{}
}

// Len is the number of elements.
func (s *Set) Len() int {
	if s == nil {
		return 0
	}
	return len(s.elements)
}

// Contains reports whether the set has exactly this element. It does not reason: a type's
// "allDeclaredMethods" does not contain its methods.
func (s *Set) Contains(e Element) bool {
	if s == nil {
		return false
	}
	_, ok := s.elements[e]
	return ok
}

// Elements returns all elements in canonical order.
func (s *Set) Elements() []Element {
	if s == nil {
		return nil
	}
	all := make([]Element, 0, len(s.elements))
	for e := range s.elements {
		all = append(all, e)
	}
	slices.SortFunc(all, compare)
	return all
}

// Merge returns the union of sets. Nil sets are empty.
func Merge(sets ...*Set) *Set {
	m := newSet()
	for _, s := range sets {
		if s == nil {
			continue
		}
		for e := range s.elements {
			m.elements[e] = struct{}{}
		}
	}
	return m
}

// When returns the same elements on condition that typ (as Element.Type) has been reached. What
// has a condition already keeps its own: there is room for one only.
func (s *Set) When(typ string) *Set {
	w := newSet()
	if s == nil {
		return w
	}
	for e := range s.elements {
		if e.Kind == KindSerializable {
			w.add(Element{Kind: typeKind(e.Type), Type: e.Type})
		} else {
			e.Condition = cmp.Or(e.Condition, typ)
		}
		w.add(e)
	}
	return w
}

// Change is the difference between two versions of metadata.
type Change struct {
	Added   []Element `json:"added"`   // in canonical order, never nil
	Removed []Element `json:"removed"` // in canonical order, never nil
	// AddedCounts and RemovedCounts are the same by kind.
	AddedCounts   Counts `json:"addedCounts"`
	RemovedCounts Counts `json:"removedCounts"`
}

// Empty reports whether nothing changed.
func (c Change) Empty() bool { return len(c.Added) == 0 && len(c.Removed) == 0 }

// Diff says what must be added to and removed from a to get b.
func Diff(a, b *Set) Change {
	added, removed := minus(b, a), minus(a, b)
	return Change{
		Added: added.sorted(), Removed: removed.sorted(),
		AddedCounts: added.Counts(), RemovedCounts: removed.Counts(),
	}
}

func minus(a, b *Set) *Set {
	d := newSet()
	if a == nil {
		return d
	}
	for e := range a.elements {
		if !b.Contains(e) {
			d.elements[e] = struct{}{}
		}
	}
	return d
}

func (s *Set) sorted() []Element {
	if all := s.Elements(); all != nil {
		return all
	}
	return []Element{}
}

// Counts is the number of configuration parameters by what they are for (paper, Figure 2).
type Counts struct {
	Reflection    int `json:"reflection"` // types, methods, fields, bulk, unsafe allocation
	Proxy         int `json:"proxy"`
	Serialization int `json:"serialization"`
	JNI           int `json:"jni"`
	Resource      int `json:"resource"` // globs and bundles
	Foreign       int `json:"foreign"`
	Total         int `json:"total"`
	// ByKind is the same in full.
	ByKind map[Kind]int `json:"byKind"`
}

// Counts counts the elements.
func (s *Set) Counts() Counts {
	c := Counts{ByKind: map[Kind]int{}}
	if s == nil {
		return c
	}
	for e := range s.elements {
		c.Total++
		c.ByKind[e.Kind]++
		switch e.Kind {
		case KindProxy:
			c.Proxy++
		case KindSerializable, KindLambda:
			c.Serialization++
		case KindJNI:
			c.JNI++
		case KindResource, KindBundle:
			c.Resource++
		case KindDowncall, KindUpcall, KindDirectUpcall:
			c.Foreign++
		default:
			c.Reflection++
		}
	}
	return c
}

// Hash is the hex SHA-256 of JSON: equal for equal sets, whatever documents they came from.
func (s *Set) Hash() string {
	sum := sha256.Sum256(s.JSON())
	return hex.EncodeToString(sum[:])
}

func newSet() *Set { return &Set{elements: map[Element]struct{}{}} }

// Of is the set of these elements. The type of a member must be among them.
func Of(elements ...Element) *Set {
	s := newSet()
	for _, e := range elements {
		s.add(e)
	}
	return s
}

func (s *Set) add(e Element) { s.elements[e] = struct{}{} }
