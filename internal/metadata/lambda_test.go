package metadata

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSplitLambdas(t *testing.T) {
	set, err := Parse([]byte(`{"reflection": [
		{"type": "a.Bean"},
		{"type": {"lambda": {"declaringClass": "a.Made", "interfaces": ["java.util.function.Supplier", "java.io.Closeable"]}}, "methods": [{"name": "get", "parameterTypes": []}]},
		{"type": {"proxy": ["a.Service"]}}
	], "serialization": [{"type": {"lambda": {"declaringClass": "a.Written", "interfaces": ["java.lang.Runnable"]}}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	lambdas, rest := set.SplitLambdas()
	want := []Lambda{
		{"a.Made", []string{"java.util.function.Supplier", "java.io.Closeable"}},
		{"a.Written", []string{"java.lang.Runnable"}}, // its class is known, too
	}
	if d := cmp.Diff(want, lambdas); d != "" {
		t.Error(d)
	}
	left, err := Parse([]byte(`{"reflection": [{"type": "a.Bean"}, {"type": {"proxy": ["a.Service"]}}],
		"serialization": [{"type": {"lambda": {"declaringClass": "a.Written", "interfaces": ["java.lang.Runnable"]}}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if !rest.Contains(Element{Kind: KindSerializable, Type: `{"lambda":{"declaringClass":"a.Written","interfaces":["java.lang.Runnable"]}}`}) {
		t.Errorf("a serializable lambda is lost: %s", rest.JSON())
	}
	if got, want := string(rest.JSON()), string(left.JSON()); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if lambdas, same := rest.SplitLambdas(); lambdas != nil || same != rest {
		t.Errorf("split again: %v", lambdas)
	}
}
