// Package profile knows what HotSpot's second compiler found out about a program: which methods are hot, which calls it
// inlined there, and of which classes the receivers of virtual calls were. It reads the compiler's log, and writes the
// few kilobytes that a builder of binaries needs (java/image, CloudJitInliner). It knows nothing of workers and builders.
package profile

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Method is a method of a class: the class with dots, the descriptor as in class files.
type Method struct{ Class, Name, Descriptor string }

// String is the method's name in a profile.
func (m Method) String() string { return m.Class + " " + m.Name + " " + m.Descriptor }

// target is the same as one word.
func (m Method) target() string { return m.Class + "." + m.Name + m.Descriptor }

// Receiver is a class of the receivers of a virtual call.
type Receiver struct {
	Kind Kind
	Name string
}

// Kind says what a receiver's name is.
type Kind uint8

const (
	// Class is the name of the receiver's own class.
	Class Kind = iota
	// Lambda is the method that a lambda calls, whose class has another name in each process: CLASS.NAMEDESCRIPTOR.
	Lambda
	// Holder is the class that declares the method that was called, of calls whose receivers were not counted since the compiler
	// knew by itself which method it is.
	Holder
)

var kinds = [...]string{Class: "class", Lambda: "lambda", Holder: "holder"}

// Branch is how often a branch was taken, and how often not.
type Branch struct{ Taken, Not int64 }

func (b Branch) all() int64 { return b.Taken + b.Not }

// Site is a call in a method.
type Site struct {
	// Inlined says that the compiler inlined it at least once.
	Inlined bool
	// Count is how often it was seen, until it was compiled: a measure within its method alone.
	Count int64
	// Receivers are counts by class, of virtual calls.
	Receivers map[Receiver]int64
}

// Body is what is known of a method.
type Body struct {
	// Hot: it was compiled by itself, and not only as a part of others.
	Hot bool
	// Sites are its calls, and Branches its branches, by the index of their bytecode.
	Sites    map[int]*Site
	Branches map[int]Branch
}

// Profile is what was found out, by method.
type Profile map[Method]*Body

// Bounds of what is read. What a function wrote may be anything.
const (
	// MaxMethods and MaxSites are the most methods, and calls and branches together; a Spring application under load has some
	// 10,000 and 60,000.
	MaxMethods = 100_000
	MaxSites   = 400_000
	// MaxSize is the largest profile that is written or read, in bytes; that of a Spring application has some 2 MB.
	MaxSize = 16 << 20
	// maxName is the longest name or descriptor that is taken, in bytes; those beyond are left out.
	maxName = 2000
	// maxReceivers is how many classes of receivers are written of a call; a builder uses two.
	maxReceivers = 4
	// maxIndex is the largest index of a bytecode (JVMS 4.7.3).
	maxIndex = 65535
	// maxCount bounds counts, so that sums cannot overflow.
	maxCount = 1 << 50
)

var (
	errMethods = fmt.Errorf("it has more than %d methods", MaxMethods)
	errSize    = fmt.Errorf("it has more than %d MB", MaxSize>>20)
	errSites   = fmt.Errorf("it has more than %d calls and branches", MaxSites)
)

// Magic begins every profile.
const Magic = "cloudjit-profile "

// header begins one of this version. A builder refuses any other.
const header = Magic + "1"

// body is that of a method, made if there is none.
func (p Profile) body(m Method) (*Body, error) {
	b := p[m]
	if b == nil {
		if len(p) >= MaxMethods {
			return nil, errMethods
		}
		b = &Body{Sites: map[int]*Site{}, Branches: map[int]Branch{}}
		p[m] = b
	}
	return b, nil
}

// Hot is how many methods are hot.
func (p Profile) Hot() int {
	n := 0
	for _, b := range p {
		if b.Hot {
			n++
		}
	}
	return n
}

// Merge adds what another worker's profile says.
func (p Profile) Merge(o Profile) error {
	sites := 0
	for _, b := range p {
		sites += len(b.Sites) + len(b.Branches)
	}
	for m, from := range o {
		to, err := p.body(m)
		if err != nil {
			return err
		}
		to.Hot = to.Hot || from.Hot
		for index, s := range from.Sites {
			t := to.Sites[index]
			if t == nil {
				if sites++; sites > MaxSites {
					return errSites
				}
				t = &Site{}
				to.Sites[index] = t
			}
			t.Inlined = t.Inlined || s.Inlined
			t.Count = min(t.Count+s.Count, maxCount)
			for r, n := range s.Receivers {
				t.add(r, n)
			}
		}
		for index, b := range from.Branches {
			t, known := to.Branches[index]
			if !known {
				if sites++; sites > MaxSites {
					return errSites
				}
			}
			to.Branches[index] = Branch{min(t.Taken+b.Taken, maxCount), min(t.Not+b.Not, maxCount)}
		}
	}
	return nil
}

func (s *Site) add(r Receiver, n int64) {
	if s.Receivers == nil {
		s.Receivers = map[Receiver]int64{}
	}
	s.Receivers[r] = min(s.Receivers[r]+n, maxCount)
}

// Write writes the profile: equal ones are equal in every byte. It fails when there are more than MaxSize of them.
//
//	cloudjit-profile 1
//	method CLASS NAME DESCRIPTOR hot|cold
//	call INDEX inlined|called COUNT [class|lambda|holder NAME COUNT]...
//	branch INDEX TAKEN NOT
//
// Calls and branches belong to the method before them.
func (p Profile) Write(w io.Writer) error {
	b := bufio.NewWriter(&bounded{w: w, left: MaxSize})
	fmt.Fprintln(b, header)
	for _, m := range slices.SortedFunc(maps.Keys(p), func(a, b Method) int { return strings.Compare(a.String(), b.String()) }) {
		body := p[m]
		fmt.Fprintf(b, "method %s %s\n", m, word(body.Hot, "hot", "cold"))
		for _, index := range slices.Sorted(maps.Keys(body.Sites)) {
			s := body.Sites[index]
			fmt.Fprintf(b, "call %d %s %d", index, word(s.Inlined, "inlined", "called"), s.Count)
			for _, r := range s.most() {
				fmt.Fprintf(b, " %s %s %d", kinds[r.Kind], r.Name, s.Receivers[r])
			}
			fmt.Fprintln(b)
		}
		for _, index := range slices.Sorted(maps.Keys(body.Branches)) {
			fmt.Fprintf(b, "branch %d %d %d\n", index, body.Branches[index].Taken, body.Branches[index].Not)
		}
	}
	return b.Flush()
}

// bounded fails where more is written than it may take.
type bounded struct {
	w    io.Writer
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	if len(p) > b.left {
		return 0, errSize
	}
	b.left -= len(p)
	return b.w.Write(p)
}

// most are the most frequent receivers.
func (s *Site) most() []Receiver {
	all := slices.SortedFunc(maps.Keys(s.Receivers), func(a, b Receiver) int {
		return cmp.Or(cmp.Compare(s.Receivers[b], s.Receivers[a]), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return all[:min(len(all), maxReceivers)]
}

func word(is bool, yes, no string) string {
	if is {
		return yes
	}
	return no
}

// Read reads what Write wrote, and refuses all else.
func Read(r io.Reader) (Profile, error) {
	all := &io.LimitedReader{R: r, N: MaxSize + 1}
	in := bufio.NewScanner(all)
	in.Buffer(make([]byte, 0, 1<<16), 1<<20)
	if !in.Scan() || in.Text() != header {
		if err := in.Err(); err != nil {
			return nil, fmt.Errorf("read profile: %w", err)
		}
		return nil, fmt.Errorf("its first line is not %q", header)
	}
	p := Profile{}
	var body *Body
	sites := 0
	for number := 2; in.Scan(); number++ {
		f := strings.Split(in.Text(), " ")
		var err error
		switch {
		case f[0] == "method" && len(f) == 5:
			body, err = p.readMethod(f)
		case f[0] == "call" && len(f) >= 4 && len(f)%3 == 1 && body != nil:
			if sites++; sites > MaxSites {
				return nil, errSites
			}
			err = body.readCall(f)
		case f[0] == "branch" && len(f) == 4 && body != nil:
			if sites++; sites > MaxSites {
				return nil, errSites
			}
			err = body.readBranch(f)
		default:
			err = errors.New("it is neither a method nor a call or branch of one")
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("read profile: %w", err)
	}
	if all.N == 0 {
		return nil, errSize
	}
	return p, nil
}

func (p Profile) readMethod(f []string) (*Body, error) {
	m := Method{f[1], f[2], f[3]}
	if !m.legal() || f[4] != "hot" && f[4] != "cold" {
		return nil, errors.New("it is no method")
	}
	if p[m] != nil {
		return nil, fmt.Errorf("%s is there twice", m)
	}
	b, err := p.body(m)
	if err == nil {
		b.Hot = f[4] == "hot"
	}
	return b, err
}

func (b *Body) readCall(f []string) error {
	index, err := strconv.Atoi(f[1])
	if err != nil || index < 0 || index > maxIndex || b.Sites[index] != nil || f[2] != "inlined" && f[2] != "called" {
		return errors.New("it is no call")
	}
	s := &Site{Inlined: f[2] == "inlined"}
	if s.Count, err = count(f[3]); err != nil {
		return err
	}
	for f = f[4:]; len(f) > 0; f = f[3:] {
		n, err := count(f[2])
		if err != nil {
			return err
		}
		kind := slices.Index(kinds[:], f[0])
		if kind < 0 || !legal(f[1]) || len(s.Receivers) == maxReceivers {
			return errors.New("it has no such receivers")
		}
		s.add(Receiver{Kind(kind), f[1]}, n)
	}
	b.Sites[index] = s
	return nil
}

func (b *Body) readBranch(f []string) error {
	index, err := strconv.Atoi(f[1])
	if _, twice := b.Branches[index]; err != nil || index < 0 || index > maxIndex || twice {
		return errors.New("it is no branch")
	}
	taken, err := count(f[2])
	if err != nil {
		return err
	}
	not, err := count(f[3])
	b.Branches[index] = Branch{taken, not}
	return err
}

func count(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > maxCount {
		return 0, errors.New("it has no such count")
	}
	return n, nil
}

// legal reports whether a name can be written as a word.
func legal(name string) bool {
	return name != "" && len(name) <= maxName && utf8.ValidString(name) && !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f || r == 0x85 || r == 0x2028 })
}

func (m Method) legal() bool { return legal(m.Class) && legal(m.Name) && legal(m.Descriptor) }
