package nativeimage

import (
	"archive/zip"
	"bytes"
	"os"
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

	// As Maven's plug-ins write folders.
	from, to := filepath.Join(t.TempDir(), "from.jar"), filepath.Join(t.TempDir(), "copy.jar")
	withFolder(t, req.Code, from, "deflated/")
	left, err := withoutSubstitutions(from, to)
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

// withFolder copies an archive and adds a folder whose nothing is deflated.
func withFolder(t *testing.T, from, to, name string) {
	t.Helper()
	r, err := zip.OpenReader(from)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	file := strings.TrimSuffix(name, "/") + "_" // the writer refuses what it makes folders of
	raw, err := w.CreateRaw(&zip.FileHeader{Name: file, Method: zip.Deflate, CompressedSize64: 2})
	if err == nil {
		_, err = raw.Write([]byte{3, 0})
	}
	for _, f := range r.File {
		if err == nil {
			err = w.Copy(f)
		}
	}
	if err == nil {
		err = w.Close()
	}
	if err == nil {
		err = os.WriteFile(to, bytes.ReplaceAll(b.Bytes(), []byte(file), []byte(name)), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
