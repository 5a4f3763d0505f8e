package nativeimage

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ziptest"
)

// A library's Feature that assumes what the application does not have is left out; one that
// none of the application's archives switches on ends the build, once.
func TestFeatureThatFailsIsLeftOut(t *testing.T) {
	for name, tc := range map[string]struct{ properties, want string }{
		"of a library": {"Args = --features=org.x.MailFeature", "again without META-INF/native-image/org.x/mail/native-image.properties"},
		"of nobody":    {"Args = --features=org.x.Other", "Feature defined by org.x.MailFeature"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, "feature")
			req := request(t, map[string][]byte{
				"META-INF/MANIFEST.MF": []byte("Manifest-Version: 1.0\nMain-Class: shop.Main\n\n"),
				"shop/Main.class":      classNamed("shop/Main", "main"),
				"META-INF/native-image/org.x/mail/native-image.properties": []byte(tc.properties),
			}, function.Spec{Kind: function.KindWeb, MainClass: "shop.Main"})
			var log bytes.Buffer
			req.Log = &log
			_, err := f.Build(t.Context(), req)
			if (err == nil) != (name == "of a library") {
				t.Errorf("built: %v", err)
			}
			if !strings.Contains(log.String(), tc.want) {
				t.Errorf("%q is not in the log:\n%s", tc.want, log.String())
			}
			if n := strings.Count(log.String(), "mode feature"); err != nil && n != 1 {
				t.Errorf("tried %d times, want once", n)
			}
		})
	}
}

// TestWhatALibrarySaysIsLeftOut: a library whose own properties break the build is built without them, and the log says
// why; what names none of the classes in the message stays.
func TestWhatALibrarySaysIsLeftOut(t *testing.T) {
	const left = "again without META-INF/native-image/org.x/mail/native-image.properties"
	for name, tc := range map[string]struct {
		mode, properties string
		built            bool
	}{
		"initialized while the image is built": {"buildtime", "Args = --initialize-at-build-time=org.x.other,\\\n  org.x.mail", true},
		"all of a package":                     {"buildtime", "Args = --initialize-at-build-time=org.x", true},
		"nothing of it":                        {"buildtime", "Args = --no-fallback", false},
		"it names no class of the message":     {"buildtime", "Args = --initialize-at-build-time=com.other", true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, tc.mode)
			req := request(t, map[string][]byte{
				"META-INF/MANIFEST.MF": []byte("Manifest-Version: 1.0\nMain-Class: shop.Main\n\n"),
				"shop/Main.class":      classNamed("shop/Main", "main"),
				"META-INF/native-image/org.x/mail/native-image.properties": []byte(tc.properties),
			}, function.Spec{Kind: function.KindWeb, MainClass: "shop.Main"})
			var log bytes.Buffer
			req.Log = &log
			_, err := f.Build(t.Context(), req)
			if (err == nil) != tc.built || strings.Contains(log.String(), left) != tc.built {
				t.Errorf("built: %v\n%s", err, log.String())
			}
		})
	}
}

// TestALibraryAtFaultKeepsThePatches: a build that a library breaks is no reason to leave out what the builder's binaries give
// signals by, though the log names that, and though it was tried without.
func TestALibraryAtFaultKeepsThePatches(t *testing.T) {
	for mode, tries := range map[string]int{"buildtime": 2, "entangled": 3} {
		t.Run(mode, func(t *testing.T) {
			f := newFixture(t, mode)
			f.opts.Image, f.opts.Patch = filepath.Join(t.TempDir(), "image.jar"), true
			if err := os.WriteFile(f.opts.Image, ziptest.OfMap(t, map[string][]byte{"x": nil}), 0o644); err != nil {
				t.Fatal(err)
			}
			req := request(t, map[string][]byte{
				"META-INF/MANIFEST.MF": []byte("Manifest-Version: 1.0\nMain-Class: shop.Main\n\n"),
				"shop/Main.class":      classNamed("shop/Main", "main"),
				"META-INF/native-image/org.x/mail/native-image.properties": []byte("Args = --initialize-at-build-time=org.x"),
			}, function.Spec{Kind: function.KindWeb, MainClass: "shop.Main"})
			var log bytes.Buffer
			req.Log = &log
			r, err := f.Build(t.Context(), req)
			if err != nil {
				t.Fatalf("%v\n%s", err, log.String())
			}
			args, err := os.ReadFile(filepath.Join(r.Dir, binaryName+".args.so"))
			if err != nil || !strings.Contains(string(args), "-J--patch-module="+builderModule+"=") {
				t.Errorf("%v: not patched: %s\n%s", err, args, log.String())
			}
			if n := strings.Count(log.String(), "mode "+mode); n != tries {
				t.Errorf("tried %d times, want %d", n, tries)
			}
		})
	}
}

func TestCulprits(t *testing.T) {
	archive := t.TempDir()
	file := filepath.Join(archive, "META-INF/native-image/org.x/mail/native-image.properties")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("Args = --org-x-old=1"), 0o644); err != nil {
		t.Fatal(err)
	}
	const mail = "META-INF/native-image/org.x/mail/"
	for log, want := range map[string]string{
		"Error: unrecognized option '--org-x-old=1' in x; 'native-image --help' lists the options":     mail + propertiesName,
		"Error: Could not find option '--org-x-new'":                                                   "",
		"Error: Error parsing jar:file:/a.jar!/" + mail + "reflect-config.json: no JSON":               mail + "reflect-config.json",
		"Error: Error parsing /b/META-INF/native-image/dev.cloudjit/traced/reachability-metadata.json": "",
		"java.lang.OutOfMemoryError: Java heap space":                                                  "",
		"collect2: error: ld returned 1 exit status":                                                   "",
	} {
		files, why, err := culprits(ending{code: 1}, log, []string{archive})
		if err != nil || strings.Join(files, " ") != want || want != "" && why == "" {
			t.Errorf("%s: got %q (%s), %v", log, files, why, err)
		}
	}
}
