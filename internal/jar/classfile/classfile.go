// Package classfile reads the part of a Java class file (JVM specification, chapter 4) that
// says what a class is: its version, names, super types, fields and methods with their generic
// signatures. It skips code and everything else. Input is hostile: Parse never panics, never
// reads past the end and allocates in proportion to the input.
//
// It must not know of archives, class paths or frameworks.
package classfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// Access flags (JVM specification, tables 4.1-B, 4.5-A and 4.6-A).
const (
	AccPublic     = 0x0001
	AccPrivate    = 0x0002
	AccStatic     = 0x0008
	AccBridge     = 0x0040 // of a method
	AccInterface  = 0x0200
	AccAbstract   = 0x0400
	AccSynthetic  = 0x1000
	AccAnnotation = 0x2000
	AccEnum       = 0x4000
	AccModule     = 0x8000
)

const magic = 0xCAFEBABE

// Class is a parsed class file. Class names are written as in source, "com.example.Outer$Inner".
type Class struct {
	// Major is the class-file version; JavaVersion turns it into a release.
	Major      uint16
	Access     uint16
	Name       string
	Super      string // empty for java.lang.Object and modules
	Interfaces []string
	// Signature is the generic signature in the specification's own form; empty: not generic.
	Signature string
	Fields    []Member
	Methods   []Member
	// Annotations are the names of the types of the class's run-time visible annotations.
	Annotations []string
}

// Member is a field or a method.
type Member struct {
	Access     uint16
	Name       string
	Descriptor string
	Signature  string // generic; empty: the descriptor says it all
}

// ErrFormat is what every error of Parse wraps.
var ErrFormat = errors.New("not a valid class file")

// JavaVersion is the oldest Java feature release that loads the class (52 -> 8, 69 -> 25).
func (c *Class) JavaVersion() int { return JavaVersion(c.Major) }

// JavaVersion maps a class-file major version to a Java feature release (JVM specification, 4.1).
func JavaVersion(major uint16) int {
	if major < 45 {
		return 1
	}
	if major < 49 {
		return max(1, int(major)-44)
	}
	return int(major) - 44
}

// Version reads only the class-file version, from the first 8 bytes.
func Version(b []byte) (major uint16, err error) {
	if len(b) < 8 || binary.BigEndian.Uint32(b) != magic {
		return 0, ErrFormat
	}
	return binary.BigEndian.Uint16(b[6:]), nil
}

// Constructible reports whether code outside can make an instance with no arguments.
func (c *Class) Constructible() bool {
	if c.Access&(AccInterface|AccAbstract|AccModule) != 0 {
		return false
	}
	for _, m := range c.Methods {
		if m.Name == "<init>" && m.Descriptor == "()V" && m.Access&AccPrivate == 0 {
			return true
		}
	}
	return false
}

// HasMain reports whether the class has public static void main(String[]).
func (c *Class) HasMain() bool {
	for _, m := range c.Methods {
		if m.Name == "main" && m.Descriptor == "([Ljava/lang/String;)V" && m.Access&(AccPublic|AccStatic) == AccPublic|AccStatic {
			return true
		}
	}
	return false
}

// Parse reads a class file.
func Parse(b []byte) (*Class, error) {
	r := &reader{b: b}
	if r.u4() != magic {
		return nil, fmt.Errorf("%w: no magic number", ErrFormat)
	}
	r.u2() // minor version: preview features, which do not change what is read here
	c := &Class{Major: r.u2()}
	p := readPool(r)
	c.Access = r.u2()
	c.Name = p.class(r.u2())
	c.Super = p.class(r.u2())
	n := int(r.u2())
	if r.need(2 * n) {
		c.Interfaces = make([]string, 0, n)
		for range n {
			c.Interfaces = append(c.Interfaces, p.class(r.u2()))
		}
	}
	c.Fields = readMembers(r, p)
	c.Methods = readMembers(r, p)
	readAttributes(r, p, func(name string, body []byte) {
		switch name {
		case "Signature":
			c.Signature = p.signature(body)
		case "RuntimeVisibleAnnotations":
			c.Annotations = readAnnotations(body, p)
		}
	})
	if r.failed || p.failed {
		return nil, fmt.Errorf("%w: cut off or inconsistent", ErrFormat)
	}
	if c.Name == "" {
		return nil, fmt.Errorf("%w: no name", ErrFormat)
	}
	return c, nil
}

func readMembers(r *reader, p *pool) []Member {
	n := int(r.u2())
	if !r.need(8 * n) {
		return nil
	}
	ms := make([]Member, 0, n)
	for range n {
		m := Member{Access: r.u2(), Name: p.utf8(r.u2()), Descriptor: p.utf8(r.u2())}
		readAttributes(r, p, func(name string, body []byte) {
			if name == "Signature" {
				m.Signature = p.signature(body)
			}
		})
		if r.failed {
			return nil
		}
		ms = append(ms, m)
	}
	return ms
}

func readAttributes(r *reader, p *pool, each func(name string, body []byte)) {
	n := int(r.u2())
	for range n {
		name := p.utf8(r.u2())
		body := r.bytes(r.u4())
		if r.failed {
			return
		}
		each(name, body)
	}
}

// readAnnotations returns the types of the annotations up to the first that has elements
// beyond the constants, which it does not need to understand: a list that is cut short only
// makes a hint weaker.
func readAnnotations(body []byte, p *pool) []string {
	r := &reader{b: body}
	var names []string
	for range int(r.u2()) {
		t := p.utf8(r.u2())
		if r.failed {
			break
		}
		if strings.HasPrefix(t, "L") && strings.HasSuffix(t, ";") {
			names = append(names, dotted(t[1:len(t)-1]))
		}
		for range int(r.u2()) {
			r.u2()
			if !skipElement(r, 0) {
				return names
			}
		}
	}
	return names
}

// skipElement passes over one element_value (JVM specification, 4.7.16.1).
func skipElement(r *reader, depth int) bool {
	const deepest = 16 // annotations in annotations; javac's own output stays under 4
	if depth > deepest || r.failed {
		return false
	}
	switch tag := r.u1(); tag {
	case 'e':
		r.u4()
	case '@':
		r.u2()
		for range int(r.u2()) {
			r.u2()
			if !skipElement(r, depth+1) {
				return false
			}
		}
	case '[':
		for range int(r.u2()) {
			if !skipElement(r, depth+1) {
				return false
			}
		}
	default: // constants and classes: one index
		r.u2()
	}
	return !r.failed
}

// reader walks over a byte slice; after the first read past its end it is failed and gives zeros.
type reader struct {
	b      []byte
	failed bool
}

func (r *reader) need(n int) bool {
	if n > len(r.b) {
		r.failed = true
	}
	return !r.failed
}

func (r *reader) u1() uint8 {
	if !r.need(1) {
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) u2() uint16 {
	if !r.need(2) {
		return 0
	}
	v := binary.BigEndian.Uint16(r.b)
	r.b = r.b[2:]
	return v
}

func (r *reader) u4() uint32 {
	if !r.need(4) {
		return 0
	}
	v := binary.BigEndian.Uint32(r.b)
	r.b = r.b[4:]
	return v
}

func (r *reader) bytes(n uint32) []byte {
	if uint64(n) > uint64(len(r.b)) {
		r.failed = true
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func dotted(internal string) string { return strings.ReplaceAll(internal, "/", ".") }
