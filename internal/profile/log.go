package profile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
)

// ErrNothingHot says that a log shows no method that the second compiler compiled.
var ErrNothingHot = errors.New("the second compiler compiled nothing: the function computed too little")

// Bounds of a log.
const (
	// MaxLog is the most that is read of a log, in bytes; a JVM that ends in the middle, or has no more room, leaves one
	// without its end, and what is there is used.
	MaxLog = 256 << 20
	// maxLine is the longest line that is looked at. Longer ones are passed over.
	maxLine = 64 << 10
	// maxDepth is how deep inlined calls may be nested; HotSpot's limit is 15.
	maxDepth = 200
	// maxIDs is how many names a compilation may have, and maxNames how many bytes all that are made of them, in it and in all: a
	// short line can make a long descriptor.
	maxIDs   = 100_000
	maxNames = 32 << 20
)

// ReadLog reads the log that HotSpot writes with -XX:+LogCompilation
// (https://wiki.openjdk.org/spaces/HotSpot/pages/11829295/LogCompilation+overview), of Java 17 to 26: the tasks of the second
// compiler. Each <task> has a tree of <parse>, one for each method that it compiles into the code, and in it <bc> and <call>
// for each call, with <inline_success> after those that it inlined. Names are declared in the task, by number.
func ReadLog(r io.Reader) (Profile, error) {
	l := logReader{profile: Profile{}, lambdas: map[Method]lambda{}, receivers: map[place]map[receiver]int64{}, targets: map[place]map[string]int64{}}
	in := bufio.NewReaderSize(io.LimitReader(r, MaxLog), maxLine)
	for {
		line, err := in.ReadSlice('\n')
		for errors.Is(err, bufio.ErrBufferFull) {
			line = nil
			_, err = in.ReadSlice('\n')
		}
		if err == nil && len(line) > 0 {
			if err := l.line(line); err != nil {
				return nil, err
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read compiler log: %w", err)
		}
	}
	l.finish()
	if l.profile.Hot() == 0 {
		return nil, ErrNothingHot
	}
	return l.profile, nil
}

// Shorten writes the profile of a log into a new file, which has a hundredth of its size.
func Shorten(log, to string) error {
	in, err := os.Open(log)
	if err != nil {
		return err
	}
	defer in.Close()
	p, err := ReadLog(in)
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(p.Write(out), out.Close())
}

type logReader struct {
	profile Profile
	sites   int
	// lambdas are what the methods of hidden classes call.
	lambdas map[Method]lambda
	// receivers are those of virtual calls, of which those of hidden classes are known by what they call.
	receivers map[place]map[receiver]int64
	// targets are the classes of the methods that virtual calls were found to call without them.
	targets map[place]map[string]int64

	long int // the bytes of all names that were made

	// The task at hand: none if names is nil.
	names   map[string]string // of types, as classes have them
	methods map[string]Method
	parses  []parse
	made    int    // the bytes of its names that were made
	root    bool   // its first method was seen
	call    *Site  // the last call
	target  string // the class of what it calls, where its receivers were not counted
	seen    int64  // how often it was
}

// place is a call in the profile.
type place struct {
	method Method
	index  int
}

// receiver is a class and the method of it that was called.
type receiver struct{ class, name, descriptor string }

// parse is a method that is being compiled, at a bytecode.
type parse struct {
	method  Method
	index   int
	virtual bool // it is invokevirtual or invokeinterface
}

// lambda is the method that a lambda calls.
type lambda struct {
	target string
	boxes  bool // it only puts a number into an object, or takes it out
}

func (l *logReader) line(line []byte) error {
	s := strings.TrimSuffix(string(line), "\n")
	tag, rest, _ := strings.Cut(s, " ")
	switch tag {
	case "<task":
		a := attributes(rest)
		l.names, l.methods, l.parses, l.made, l.root, l.call = nil, nil, nil, 0, false, nil
		if level := a["level"]; level == "" || level == "4" {
			l.names, l.methods = map[string]string{}, map[string]Method{}
		}
		return nil
	case "</task>":
		l.names = nil
		return nil
	}
	if l.names == nil {
		return nil
	}
	switch tag {
	case "<type", "<klass":
		a := attributes(rest)
		if len(l.names) < maxIDs && legal(a["name"]) {
			l.names[a["id"]] = a["name"]
		}
	case "<method":
		l.method(attributes(rest))
	case "<parse":
		return l.parse(attributes(rest))
	case "</parse>":
		l.parses, l.call = l.parses[:max(len(l.parses)-1, 0)], nil
	case "<bc":
		if n := len(l.parses); n > 0 {
			a := attributes(rest)
			l.parses[n-1].virtual = a["code"] == "182" || a["code"] == "185" // JVMS 6.5
			if l.parses[n-1].index, l.call = -1, nil; a["bci"] != "" {
				if i, err := strconv.Atoi(a["bci"]); err == nil && i >= 0 && i <= maxIndex {
					l.parses[n-1].index = i
				}
			}
		}
	case "<call":
		return l.called(attributes(rest))
	case "<branch":
		return l.branch(attributes(rest))
	case "<inline_success":
		if l.call != nil {
			l.call.Inlined = true
			l.found()
		}
	}
	return nil
}

// method declares one.
func (l *logReader) method(a map[string]string) {
	if len(l.methods) >= maxIDs || l.made > maxNames {
		return
	}
	var d strings.Builder
	d.WriteByte('(')
	for id := range strings.FieldsSeq(a["arguments"]) {
		d.WriteString(descriptor(l.names[id]))
		if d.Len() > maxName {
			return
		}
	}
	d.WriteByte(')')
	d.WriteString(descriptor(l.names[a["return"]]))
	if m := (Method{l.names[a["holder"]], a["name"], d.String()}); m.legal() {
		l.methods[a["id"]] = m
		l.made += d.Len()
	}
}

// parse begins the compilation of a method, as a part of the one before it.
func (l *logReader) parse(a map[string]string) error {
	if len(l.parses) >= maxDepth {
		return fmt.Errorf("its calls are nested deeper than %d", maxDepth)
	}
	m := l.methods[a["method"]]
	l.parses, l.call = append(l.parses, parse{method: m, index: -1}), nil
	if l.root {
		return nil
	}
	l.root = true
	if m == (Method{}) || hidden(m.Class) {
		return nil
	}
	b, err := l.body(m)
	if err == nil {
		b.Hot = true
	}
	return err
}

// body is that of a method in the profile.
func (l *logReader) body(m Method) (*Body, error) {
	if b := l.profile[m]; b != nil {
		return b, nil
	}
	if l.long += len(m.Descriptor); l.long > maxNames {
		return nil, errSize
	}
	return l.profile.body(m)
}

// called notes a call of the method that is being compiled.
func (l *logReader) called(a map[string]string) error {
	l.call = nil
	if len(l.parses) == 0 {
		return nil
	}
	at := l.parses[len(l.parses)-1]
	to := l.methods[a["method"]]
	if at.method == (Method{}) || at.index < 0 || to == (Method{}) {
		return nil
	}
	if hidden(at.method.Class) {
		if b := boxing(to); !hidden(to.Class) && len(l.lambdas) < MaxMethods {
			if known, ok := l.lambdas[at.method]; !ok || known.boxes || !b {
				target := to.target()
				if l.long += len(target) + len(at.method.Descriptor); l.long > maxNames {
					return errSize
				}
				l.lambdas[at.method] = lambda{target, b}
			}
		}
		return nil
	}
	body, err := l.body(at.method)
	if err != nil {
		return err
	}
	s := body.Sites[at.index]
	if s == nil {
		if l.sites++; l.sites > MaxSites {
			return errSites
		}
		s = &Site{}
		body.Sites[at.index] = s
	}
	// Counters only grow: a later compilation of the same code has seen more.
	l.call, l.target, l.seen = s, "", times(a["count"])
	s.Count = max(s.Count, l.seen)
	if at.virtual && a["receiver"] == "" && !hidden(to.Class) {
		l.target = to.Class
	}
	for _, who := range []string{"receiver", "receiver2"} {
		class := l.names[a[who]]
		if class == "" {
			continue
		}
		p := place{at.method, at.index}
		if l.receivers[p] == nil {
			l.receivers[p] = map[receiver]int64{}
		}
		r := receiver{class, to.Name, to.Descriptor}
		if len(l.receivers[p]) < 16*maxReceivers {
			l.receivers[p][r] = max(l.receivers[p][r], times(a[who+"_count"]))
		}
	}
	return nil
}

// found notes what the compiler knew by itself of the last call.
func (l *logReader) found() {
	if l.target == "" {
		return
	}
	at := l.parses[len(l.parses)-1]
	p := place{at.method, at.index}
	if l.targets[p] == nil {
		l.targets[p] = map[string]int64{}
	}
	if len(l.targets[p]) < maxReceivers {
		l.targets[p][l.target] = max(l.targets[p][l.target], l.seen)
	}
}

// branch notes how often one was taken.
func (l *logReader) branch(a map[string]string) error {
	if len(l.parses) == 0 || a["taken"] == "" {
		return nil
	}
	at := l.parses[len(l.parses)-1]
	b := Branch{times(a["taken"]), times(a["not_taken"])}
	if at.method == (Method{}) || at.index < 0 || hidden(at.method.Class) || b.all() == 0 {
		return nil
	}
	body, err := l.body(at.method)
	if err != nil {
		return err
	}
	before, known := body.Branches[at.index]
	if !known {
		if l.sites++; l.sites > MaxSites {
			return errSites
		}
	}
	if b.all() > before.all() { // counters only grow
		body.Branches[at.index] = b
	}
	return nil
}

// finish gives virtual calls their receivers.
func (l *logReader) finish() {
	for p, all := range l.receivers {
		s := l.profile[p.method].Sites[p.index]
		for r, n := range all {
			if !hidden(r.class) {
				s.add(Receiver{Class, r.class}, n)
				continue
			}
			// A lambda's own method may have another descriptor than the interface's.
			if to, ok := l.lambdas[Method{r.class, r.name, r.descriptor}]; ok && legal(to.target) {
				s.add(Receiver{Lambda, to.target}, n)
			}
		}
	}
	for p, all := range l.targets {
		s := l.profile[p.method].Sites[p.index]
		counted := int64(0)
		for _, n := range s.Receivers {
			counted += n
		}
		if 2*counted >= s.Count { // what was counted says it better: calls behind a test of the class are among these
			continue
		}
		for class, n := range all {
			if s.Receivers[Receiver{Class, class}] == 0 {
				s.add(Receiver{Holder, class}, n)
			}
		}
	}
}

// hidden reports whether a class has no name by which another process could find it.
func hidden(class string) bool {
	return strings.Contains(class, "/0x") || strings.Contains(class, "+0x") || strings.Contains(class, "$$Lambda") || strings.Contains(class, "LambdaForm")
}

// boxing reports whether a method puts a number into an object, or takes it out, as code around a lambda's does.
func boxing(m Method) bool {
	switch m.Class {
	case "java.lang.Boolean", "java.lang.Byte", "java.lang.Character", "java.lang.Short", "java.lang.Integer", "java.lang.Long", "java.lang.Float", "java.lang.Double", "java.lang.Number":
		return m.Name == "valueOf" && !strings.Contains(m.Descriptor, "String") || strings.HasSuffix(m.Name, "Value") && strings.HasPrefix(m.Descriptor, "()")
	}
	return false
}

// times is a count, which may be written as a fraction; 0 if it is none.
func times(text string) int64 {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(f) || f < 0 {
		return 0
	}
	return int64(min(f, maxCount))
}

var primitives = map[string]string{
	"void": "V", "boolean": "Z", "byte": "B", "char": "C", "short": "S", "int": "I", "long": "J", "float": "F", "double": "D",
}

// descriptor is that of a type by its name: arrays have theirs as name already, with dots.
func descriptor(name string) string {
	if p, ok := primitives[name]; ok {
		return p
	}
	name = strings.ReplaceAll(name, ".", "/")
	if strings.HasPrefix(name, "[") {
		return name
	}
	return "L" + name + ";"
}

// attributes are those of an element: a='x' b='y'/>.
func attributes(s string) map[string]string {
	a := make(map[string]string, 8)
	for {
		s = strings.TrimLeft(s, " ")
		name, rest, ok := strings.Cut(s, "='")
		if !ok {
			return a
		}
		value, after, ok := strings.Cut(rest, "'")
		if !ok {
			return a
		}
		if strings.Contains(value, "&") {
			value = entities.Replace(value)
		}
		if _, twice := a[name]; !twice && len(a) < 64 {
			a[name] = value
		}
		s = after
	}
}

var entities = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&", "&apos;", "'", "&quot;", `"`)
