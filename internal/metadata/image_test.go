package metadata

import "testing"

func TestForImageAddsWhatNoTraceOfHotSpotHas(t *testing.T) {
	tests := []struct {
		traced string
		want   Element
	}{
		{"sun.management.RuntimeImpl", Element{Kind: KindType, Type: "com.oracle.svm.core.jdk.management.SubstrateRuntimeMXBean"}},
		{"sun.font.StrikeCache", Element{Kind: KindMethod, Type: "java.lang.invoke.VarHandleSegmentAsFloatsAligned", Name: "get(java.lang.invoke.VarHandle,java.lang.Object,long)"}},
	}
	for _, tt := range tests {
		set, err := Parse([]byte(`{"reflection": [{"type": "` + tt.traced + `"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := set.ForImage(); !got.Contains(tt.want) || !got.Contains(Element{Kind: KindType, Type: tt.traced}) {
			t.Errorf("of %s: %s", tt.traced, got.JSON())
		}
	}
	plain, err := Parse([]byte(`{"reflection": [{"type": "a.B"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if plain.ForImage() != plain {
		t.Error("a set that needs nothing is changed")
	}
}
