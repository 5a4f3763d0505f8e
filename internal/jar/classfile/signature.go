package classfile

import "strings"

// SuperType is a super class or interface with the type arguments it was given.
type SuperType struct {
	Name string
	// Args are the class names found at each type argument's top ("java.util.List" for
	// List<Order>); "" for a variable, a wildcard or a primitive array.
	Args []string
	// Mentions are all the classes named anywhere inside the arguments, in order, once.
	Mentions []string
}

// SuperTypes reads the class's generic signature; without one, the plain super types.
func (c *Class) SuperTypes() []SuperType {
	if c.Signature != "" {
		p := &sigParser{s: c.Signature}
		p.skipFormals()
		var out []SuperType
		for p.s != "" && !p.failed {
			if t, ok := p.classType(); ok {
				out = append(out, t)
			}
		}
		if !p.failed {
			return out
		}
	}
	var out []SuperType
	if c.Super != "" {
		out = append(out, SuperType{Name: c.Super})
	}
	for _, i := range c.Interfaces {
		out = append(out, SuperType{Name: i})
	}
	return out
}

// Types returns the classes that a method's parameters and result mention, type arguments
// included, in order, once; primitives are left out.
func (m Member) Types() []string {
	s := m.Signature
	if s == "" {
		s = m.Descriptor
	}
	return Mentions(s)
}

// Mentions returns the classes that a descriptor or signature names, in order, once.
func Mentions(signature string) []string {
	p := &sigParser{s: signature}
	p.skipFormals()
	p.s = strings.TrimPrefix(p.s, "(")
	for p.s != "" && !p.failed {
		switch p.s[0] {
		case ')', '^':
			p.s = p.s[1:]
		default:
			p.anyType(0)
		}
	}
	return p.mentions
}

// sigParser reads the grammar of JVM specification 4.7.9.1.
type sigParser struct {
	s        string
	mentions []string
	failed   bool
}

const deepestSignature = 64 // a signature nested deeper is refused, so that recursion is bounded

// skipFormals passes over "<T:Ljava/lang/Object;...>".
func (p *sigParser) skipFormals() {
	if !strings.HasPrefix(p.s, "<") {
		return
	}
	depth := 0
	for i := 0; i < len(p.s); i++ {
		switch p.s[i] {
		case '<':
			depth++
		case '>':
			if depth--; depth == 0 {
				p.s = p.s[i+1:]
				return
			}
		}
	}
	p.failed = true
}

func (p *sigParser) classType() (SuperType, bool) {
	if !strings.HasPrefix(p.s, "L") {
		p.failed = true
		return SuperType{}, false
	}
	before := p.mentions
	p.mentions = nil
	name, args := p.class(0)
	t := SuperType{Name: name, Args: args}
	for _, m := range p.mentions {
		if m != name {
			t.Mentions = append(t.Mentions, m)
		}
	}
	p.mentions = before
	return t, !p.failed
}

// anyType reads one type and returns its class name, "" if it has none of its own.
func (p *sigParser) anyType(depth int) string {
	if p.s == "" || depth > deepestSignature {
		p.failed = true
		return ""
	}
	switch p.s[0] {
	case 'L':
		name, _ := p.class(depth)
		return name
	case 'T':
		i := strings.IndexByte(p.s, ';')
		if i < 0 {
			p.failed = true
			return ""
		}
		p.s = p.s[i+1:]
		return ""
	case '[', '+', '-':
		array := p.s[0] == '['
		p.s = p.s[1:]
		name := p.anyType(depth + 1)
		if array {
			return ""
		}
		return name
	case '*', 'B', 'C', 'D', 'F', 'I', 'J', 'S', 'Z', 'V':
		p.s = p.s[1:]
		return ""
	default:
		p.failed = true
		return ""
	}
}

// class reads "Lpkg/Outer<args>.Inner<args>;".
func (p *sigParser) class(depth int) (string, []string) {
	p.s = p.s[1:]
	var name strings.Builder
	var args []string
	for {
		i := strings.IndexAny(p.s, ";<.")
		if i < 0 {
			p.failed = true
			return "", nil
		}
		name.WriteString(dotted(p.s[:i]))
		c := p.s[i]
		p.s = p.s[i+1:]
		switch c {
		case '.':
			name.WriteByte('$')
		case ';':
			n := name.String()
			if n == "" {
				p.failed = true
				return "", nil
			}
			p.mention(n)
			return n, args
		case '<':
			args = args[:0]
			for !strings.HasPrefix(p.s, ">") {
				args = append(args, p.anyType(depth+1))
				if p.failed {
					return "", nil
				}
			}
			p.s = p.s[1:]
		}
	}
}

// mostMentions bounds the work on a hostile signature; real ones name fewer than ten classes.
const mostMentions = 256

func (p *sigParser) mention(name string) {
	if len(p.mentions) >= mostMentions {
		return
	}
	for _, m := range p.mentions {
		if m == name {
			return
		}
	}
	p.mentions = append(p.mentions, name)
}
