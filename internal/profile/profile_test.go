package profile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestReadLog: what the compiler inlined, with counts and receivers, as a builder gets it. The log is a real one, of a program
// with two shapes and a stream, cut down.
func TestReadLog(t *testing.T) {
	p := readLog(t, "shapes.log")
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/shapes.profile")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Errorf("want -, got +:\n%s", d)
	}
	again, err := Read(&b)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(p, again); d != "" {
		t.Errorf("written -, read +:\n%s", d)
	}
}

func readLog(t *testing.T, name string) Profile {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p, err := ReadLog(f)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestCutLog: of a log that ends in the middle, as of a JVM that was killed, what is there is used.
func TestCutLog(t *testing.T) {
	log, err := os.ReadFile("testdata/shapes.log")
	if err != nil {
		t.Fatal(err)
	}
	whole := readLog(t, "shapes.log")
	for n := len(log); n > 0; n -= 997 {
		p, err := ReadLog(bytes.NewReader(log[:n]))
		switch {
		case errors.Is(err, ErrNothingHot):
		case err != nil:
			t.Fatalf("%d bytes: %v", n, err)
		case p.Hot() > whole.Hot():
			t.Fatalf("%d bytes have %d hot methods, all have %d", n, p.Hot(), whole.Hot())
		}
	}
}

// TestNothingHot: a JVM that compiled with its first compiler alone has no profile, and neither has what is no log.
func TestNothingHot(t *testing.T) {
	for _, log := range []string{"", "hello\n", "<task level='3'>\n<klass id='1' name='A'/>\n<method id='2' holder='1' name='m'/>\n<parse method='2'>\n</parse>\n</task>\n"} {
		if _, err := ReadLog(strings.NewReader(log)); !errors.Is(err, ErrNothingHot) {
			t.Errorf("%q: %v", log, err)
		}
	}
}

// TestBounds: nobody can make a profile larger than a builder takes, or a name that is more than one word.
func TestBounds(t *testing.T) {
	deep := "<task compile_id='1'>\n<klass id='1' name='A'/>\n<type id='3' name='void'/>\n<method id='2' holder='1' return='3' name='m'/>\n" + strings.Repeat("<parse method='2'>\n", maxDepth+1)
	if _, err := ReadLog(strings.NewReader(deep)); err == nil || !strings.Contains(err.Error(), "nested deeper") {
		t.Errorf("deep: %v", err)
	}
	odd := "<task compile_id='1'>\n<klass id='1' name='A B'/>\n<klass id='4' name='C'/>\n<type id='3' name='void'/>\n<method id='2' holder='1' return='3' name='m'/>\n" +
		"<method id='5' holder='4' return='3' name='a&#10;b'/>\n<method id='6' holder='4' return='3' name='ok'/>\n<parse method='6'>\n<bc code='1' bci='3'/>\n<call method='2' count='7'/>\n" +
		"<call method='6' count='1e99' receiver='1' receiver_count='3'/>\n</parse>\n" + strings.Repeat("x", 3*maxLine) + "\n</task>\n"
	p, err := ReadLog(strings.NewReader(odd))
	if err != nil {
		t.Fatal(err)
	}
	want := Profile{{"C", "ok", "()V"}: {Hot: true, Sites: map[int]*Site{3: {Count: maxCount}}, Branches: map[int]Branch{}}}
	if d := cmp.Diff(want, p); d != "" {
		t.Errorf("want -, got +:\n%s", d)
	}
}

// TestLongNames: a short log cannot make a profile that fills memory or disk.
func TestLongNames(t *testing.T) {
	var b strings.Builder
	fmt.Fprintf(&b, "<task compile_id='1'>\n<klass id='1' name='%s'/>\n", strings.Repeat("n", maxName-10))
	for i := range 30_000 {
		fmt.Fprintf(&b, "<method id='m%d' holder='1' return='1' name='m%d'/>\n<parse method='m%d'>\n<bc bci='1'/>\n<call method='m%d'/>\n</parse>\n", i, i, i, i)
	}
	p, err := ReadLog(strings.NewReader(b.String()))
	if err == nil {
		err = p.Write(io.Discard)
	}
	if !errors.Is(err, errSize) {
		t.Errorf("got %v", err)
	}
}

// TestMerge: what two workers saw is added up.
func TestMerge(t *testing.T) {
	at, to := Method{"A", "m", "()V"}, Receiver{Class, "B"}
	p := Profile{at: {Sites: map[int]*Site{1: {Count: 2, Receivers: map[Receiver]int64{to: 2}}}, Branches: map[int]Branch{4: {1, 2}}}}
	o := Profile{at: {
		Hot: true, Sites: map[int]*Site{1: {Inlined: true, Count: 3, Receivers: map[Receiver]int64{to: 1}}, 9: {Count: 1}},
		Branches: map[int]Branch{4: {3, 0}, 5: {0, 1}},
	}}
	if err := p.Merge(o); err != nil {
		t.Fatal(err)
	}
	want := Profile{at: {
		Hot: true, Sites: map[int]*Site{1: {Inlined: true, Count: 5, Receivers: map[Receiver]int64{to: 3}}, 9: {Count: 1}},
		Branches: map[int]Branch{4: {4, 2}, 5: {0, 1}},
	}}
	if d := cmp.Diff(want, p); d != "" {
		t.Errorf("want -, got +:\n%s", d)
	}
}

// TestReadRefuses: a profile that was kept may have been changed.
func TestReadRefuses(t *testing.T) {
	const method = header + "\nmethod A m ()V hot\n"
	for _, tt := range []struct{ text, want string }{
		{"", "first line"},
		{Magic + "2\n", "first line"},
		{header + "\ncall 1 inlined 3\n", "line 2"},
		{header + "\nmethod A m hot\n", "line 2"},
		{header + "\nmethod A m ()V warm\n", "no method"},
		{method + "method A m ()V hot\n", "twice"},
		{method + "call x inlined 3\n", "no call"},
		{method + "call 65536 inlined 3\n", "no call"},
		{method + "call 1 inlined 3\ncall 1 inlined 3\n", "no call"},
		{method + "call 1 inlined -3\n", "no such count"},
		{method + "call 1 inlined 3 class B\n", "line 3"},
		{method + "call 1 inlined 3 kind B 3\n", "no such receivers"},
		{method + "branch 1 2\n", "neither"},
		{method + "branch 1 2 x\n", "no such count"},
		{method + "branch 1 2 3\nbranch 1 2 3\n", "no branch"},
		{method + "call 1 inlined 3" + strings.Repeat(" class B 1", maxReceivers+1) + "\n", ""},
		{method + strings.Repeat("x", 2<<20), "too long"},
		{method + strings.Repeat("call 1", 3<<20), "too long"},
	} {
		_, err := Read(strings.NewReader(tt.text))
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%.80q: %v, want %q", tt.text, err, tt.want)
		}
	}
}

func FuzzReadLog(f *testing.F) {
	log, err := os.ReadFile("testdata/shapes.log")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(log[:min(len(log), 8<<10)])
	f.Add([]byte("<task compile_id='1'>\n<klass id='1' name='A'/>\n<type id='3' name='void'/>\n<method id='2' holder='1' return='3' name='m'/>\n<parse method='2'>\n<bc bci='1'/>\n<call method='2' count='1' receiver='1' receiver_count='1'/>\n<inline_success/>\n</parse>\n</task>\n"))
	f.Fuzz(func(t *testing.T, log []byte) {
		p, err := ReadLog(bytes.NewReader(log))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := p.Write(&b); err != nil {
			t.Fatal(err)
		}
		text := b.String()
		q, err := Read(&b)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, text)
		}
		var again bytes.Buffer
		if err := q.Write(&again); err != nil || again.String() != text {
			t.Fatalf("%v: written again it is\n%s\nand not\n%s", err, again.String(), text)
		}
	})
}

func FuzzRead(f *testing.F) {
	f.Add(header + "\nmethod A m ()V hot\ncall 1 inlined 3 class B 2 lambda C.x()V 1 holder D 1\nbranch 7 1 2\n")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Read(strings.NewReader(text))
		if err != nil {
			return
		}
		if err := p.Merge(p); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := p.Write(&b); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(&b); err != nil {
			t.Fatal(err)
		}
	})
}
