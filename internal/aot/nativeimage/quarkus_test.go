package nativeimage

import (
	"archive/zip"
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cloudjit/cloudjit/internal/function"
)

// classNamed is the smallest class file of a name that also has another text among its constants.
func classNamed(name, text string) []byte {
	utf8 := func(s string) []byte { return append([]byte{1, byte(len(s) >> 8), byte(len(s))}, s...) }
	return slices.Concat(
		[]byte{0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 61, 0, 6},
		utf8(name), []byte{7, 0, 1}, utf8("java/lang/Object"), []byte{7, 0, 3}, utf8(text),
		[]byte{0, 0x21, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0}, // public; no interfaces, fields, methods, attributes
	)
}

// An uber-jar of Quarkus is built without the substitutions that only its own native build can
// use, and with its log manager.
func TestQuarkusIsBuiltAsAnOrdinaryApplication(t *testing.T) {
	f := newFixture(t, "")
	req := request(t, map[string][]byte{
		"META-INF/MANIFEST.MF":                                              []byte("Manifest-Version: 1.0\nMain-Class: io.quarkus.runner.GeneratedMain\n\n"),
		"io/quarkus/runner/GeneratedMain.class":                             classNamed("io/quarkus/runner/GeneratedMain", "main"),
		"io/quarkus/runner/ApplicationImpl.class":                           classNamed("io/quarkus/runner/ApplicationImpl", "main"),
		"io/quarkus/runtime/graal/Target_java_util_logging_Logger.class":    classNamed("io/quarkus/runtime/graal/Target_java_util_logging_Logger", string(targetClass)),
		"io/quarkus/netty/runtime/graal/Target_io_netty_X.class":            classNamed("io/quarkus/netty/runtime/graal/Target_io_netty_X", string(targetClass)),
		"io/netty/util/NetUtilSubstitutions$NetUtilLocalhostAccessor.class": classNamed("io/netty/util/NetUtilSubstitutions$NetUtilLocalhostAccessor", string(targetClass)),
	}, function.Spec{Kind: function.KindWeb, MainClass: "io.quarkus.runner.GeneratedMain"})
	var log bytes.Buffer
	req.Log = &log
	if _, err := f.Build(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"1 of Quarkus' substitutions are left out",
		"-J-Djava.util.logging.manager=org.jboss.logmanager.LogManager", "--initialize-at-build-time=org.jboss.logmanager,",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%q is not in the log:\n%s", want, log.String())
		}
	}

	to := filepath.Join(t.TempDir(), "copy.jar")
	left, err := withoutSubstitutions(req.Code, to)
	if err != nil || left != 1 {
		t.Fatalf("left out %d, %v; want 1", left, err)
	}
	r, err := zip.OpenReader(to)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var got []string
	for _, f := range r.File {
		content, err := readEntry(f)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, targetClass) {
			got = append(got, f.Name)
		}
	}
	slices.Sort(got)
	want := []string{"io/netty/util/NetUtilSubstitutions$NetUtilLocalhostAccessor.class", "io/quarkus/runtime/graal/Target_java_util_logging_Logger.class"}
	if !slices.Equal(got, want) {
		t.Errorf("substitutions in the copy: %v, want %v", got, want)
	}
}
