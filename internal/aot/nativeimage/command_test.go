package nativeimage

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/cloudjit/cloudjit/internal/aot"
)

func TestArgumentsByLevelAndLimits(t *testing.T) {
	im := image{
		classPath: []string{"a.jar", "b"}, mainClass: "x.Main", output: "out/function", optimize: Optimized, march: "compatibility", tmp: "tmp",
		limits: aot.Limits{MemoryMiB: 4096, CPUs: 0.5}, needs: needs{locales: []string{"de", "fr-CA"}, urls: true}, extra: []string{"-H:+X"},
		excludes: []exclusion{{jars: ".*", resources: "/y"}}, level: levelOptimized,
	}
	got := im.arguments()
	for _, want := range [][]string{
		{"-cp", "a.jar:b", "-o", "out/function"},
		{"--exact-reachability-metadata"}, Optimized, {"-J-Xmx3072m"}, {"-J-XX:ActiveProcessorCount=1"},
		{"--exclude-config", ".*", "/y"}, {"-H:IncludeLocales=de,fr-CA"}, {"--enable-url-protocols=ftp,jar,jmod,jrt,mailto,http,https"},
		{"-H:+X", "x.Main"},
	} {
		i := slices.Index(got, want[0])
		if i < 0 || i+len(want) > len(got) || !slices.Equal(got[i:i+len(want)], want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
	plain := image{mainClass: "x.Main", level: "quick"}
	if got := plain.arguments(); !slices.Contains(got, "-Ob") || slices.ContainsFunc(got, func(a string) bool {
		return strings.HasPrefix(a, "-J-Xmx") || strings.Contains(a, "Trivial") || strings.HasPrefix(a, "--enable-url") && strings.Contains(a, "http") || strings.HasPrefix(a, "-H:IncludeLocales")
	}) {
		t.Errorf("got %q", got)
	}
}

func TestKeptLogHasBeginAndEnd(t *testing.T) {
	var passed bytes.Buffer
	l := newKeptLog(&passed)
	line := []byte(strings.Repeat("x", 99) + "\n")
	total := 0
	for range 30_000 {
		n, err := l.Write(line)
		if err != nil {
			t.Fatal(err)
		}
		total += n
	}
	_, _ = l.Write([]byte("the end"))
	got := l.bytes()
	if len(got) > keptHead+keptTail+100 || !bytes.HasPrefix(got, line) || !bytes.HasSuffix(got, []byte("the end")) || !bytes.Contains(got, []byte("bytes are left out here")) {
		t.Errorf("kept %d bytes", len(got))
	}
	if passed.Len() != total+len("the end") {
		t.Errorf("passed on %d bytes of %d", passed.Len(), total)
	}
	short := newKeptLog(nil)
	_, _ = short.Write([]byte("all of it"))
	if string(short.bytes()) != "all of it" {
		t.Errorf("got %q", short.bytes())
	}
}
