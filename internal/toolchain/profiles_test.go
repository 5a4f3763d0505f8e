package toolchain

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestProfiles: the builder itself says whether it takes profiles, whatever it calls itself.
func TestProfiles(t *testing.T) {
	for _, tt := range []struct{ name, help, want string }{
		{"offers it", "echo '    --pgo-instrument      instrument AOT-compiled code to collect data'", ""},
		{"does not", "echo '    -O                    control code optimizations'", "need Oracle GraalVM"},
		{"fails", "echo --pgo-instrument; exit 3", "does not say"},
	} {
		home := t.TempDir()
		if err := os.Mkdir(filepath.Join(home, "bin"), 0o755); err != nil {
			t.Fatal(err)
		}
		script := "#!/bin/sh\n[ \"$1\" = --help ] || exit 9\n" + tt.help + "\n"
		if err := os.WriteFile(filepath.Join(home, "bin", "native-image"), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		err := Toolchain{Kind: GraalVM, Home: home, Version: "25.0.2", Edition: "community"}.Profiles(t.Context())
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("one that %s: %v, want %q", tt.name, err, tt.want)
		}
	}
	if err := (Toolchain{Kind: Assembled}).Profiles(t.Context()); err == nil || !strings.Contains(err.Error(), "need Oracle GraalVM") {
		t.Errorf("an assembled one: %v", err)
	}
}
