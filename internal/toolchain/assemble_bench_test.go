package toolchain

import (
	"os"
	"testing"
)

// BenchmarkAssembleAgain measures the call that finds the builder in its place.
func BenchmarkAssembleAgain(b *testing.B) {
	cache := os.Getenv("CLOUDJIT_CACHE")
	if found, _ := Find(FindOptions{Cache: cache, Root: "/none"}); cache == "" || len(found) == 0 {
		b.Skip("there is no assembled builder in CLOUDJIT_CACHE")
	}
	for b.Loop() {
		if _, err := Assemble(b.Context(), AssembleOptions{Cache: cache}); err != nil {
			b.Fatal(err)
		}
	}
}
