package classfile

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const classes = "../testdata/classes" // compiled from ../testdata/src with javac --release 17 -g:none

func load(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(classes, name+".class"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseReadsWhatAClassIs(t *testing.T) {
	c, err := Parse(load(t, "shop/Checkout"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "shop.Checkout" || c.Super != "library.Base" || c.JavaVersion() != 17 || !c.Constructible() || c.HasMain() {
		t.Errorf("got %+v", c)
	}
	if !slices.Equal(c.Annotations, []string{"java.lang.Deprecated"}) {
		t.Errorf("annotations: %q", c.Annotations)
	}
	want := []SuperType{{
		Name:     "library.Base",
		Args:     []string{"java.util.Map", "shop.Checkout$Receipt"},
		Mentions: []string{"java.lang.String", "shop.Checkout$Order", "java.util.List", "java.util.Map", "shop.Checkout$Receipt"},
	}}
	if d := cmp.Diff(want, c.SuperTypes()); d != "" {
		t.Error(d)
	}
	for _, m := range c.Methods {
		if m.Name == "price" {
			if got := m.Types(); !slices.Equal(got, []string{"shop.Checkout$Order", "shop.Checkout$Receipt"}) {
				t.Errorf("types of price: %q", got)
			}
		}
	}
}

func TestParseOtherShapes(t *testing.T) {
	base, err := Parse(load(t, "library/Base"))
	if err != nil {
		t.Fatal(err)
	}
	if base.Constructible() || !slices.Equal(base.Interfaces, []string{"com.amazonaws.services.lambda.runtime.RequestHandler"}) {
		t.Errorf("got %+v", base)
	}
	main, err := Parse(load(t, "shop/Main"))
	if err != nil {
		t.Fatal(err)
	}
	if !main.HasMain() {
		t.Error("Main has a main method")
	}
	order, err := Parse(load(t, "shop/Checkout$Order"))
	if err != nil {
		t.Fatal(err)
	}
	if len(order.Fields) != 2 || order.Fields[1].Name != "amount" || order.Fields[1].Descriptor != "J" {
		t.Errorf("fields: %+v", order.Fields)
	}
}

func TestParseRefusesEveryPrefix(t *testing.T) {
	b := load(t, "shop/Checkout")
	for n := range b {
		if _, err := Parse(b[:n]); err == nil {
			t.Fatalf("accepted the first %d of %d bytes", n, len(b))
		}
	}
}

func TestConstants(t *testing.T) {
	seen := map[string]bool{}
	if !Constants(load(t, "shop/Main"), func(text []byte) { seen[string(text)] = true }) {
		t.Error("not a class file")
	}
	if !seen["shop/Main"] || !seen["println"] || !seen["shop"] {
		t.Errorf("got %v", seen)
	}
	if Constants([]byte("PK"), func([]byte) {}) {
		t.Error("took a ZIP for a class")
	}
}

func TestJavaVersion(t *testing.T) {
	for major, want := range map[uint16]int{45: 1, 52: 8, 61: 17, 69: 25} {
		if got := JavaVersion(major); got != want {
			t.Errorf("major %d: got %d, want %d", major, got, want)
		}
	}
}

func TestMentions(t *testing.T) {
	for _, tt := range []struct {
		signature string
		want      []string
	}{
		{"()V", nil},
		{"(I[Ljava/lang/String;J)Lshop/Order;", []string{"java.lang.String", "shop.Order"}},
		{"<T:Ljava/lang/Object;>(TT;Ljava/util/List<+Lshop/Order;>;)V^Ljava/io/IOException;", []string{"shop.Order", "java.util.List", "java.io.IOException"}},
		{"Lshop/Outer<TT;>.Inner<*>;", []string{"shop.Outer$Inner"}},
		{"L;", nil},
		{"(((", nil},
	} {
		if got := Mentions(tt.signature); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.signature, got, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"shop/Checkout", "shop/Main", "library/Base"} {
		f.Add(load(f, name))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Parse(b)
		if err != nil {
			return
		}
		c.SuperTypes()
		for _, m := range c.Methods {
			m.Types()
		}
	})
}

func BenchmarkParse(b *testing.B) {
	in := load(b, "shop/Checkout")
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(in); err != nil {
			b.Fatal(err)
		}
	}
}
