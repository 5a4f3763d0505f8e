package jar

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudjit/cloudjit/internal/function"
)

// file is one entry of a test archive, in order.
type file struct {
	name string
	data []byte
	mode fs.FileMode
}

func class(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata/classes", name+".class"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func pack(t testing.TB, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range files {
		h := &zip.FileHeader{Name: f.name, Method: zip.Deflate}
		if strings.HasSuffix(f.name, ".jar") && strings.HasPrefix(f.name, "BOOT-INF") {
			h.Method = zip.Store
		}
		if f.mode != 0 {
			h.SetMode(f.mode)
		}
		out, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := out.Write(f.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func save(t testing.TB, b []byte) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), "code.zip")
	if err := os.WriteFile(p, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func manifestFile(lines ...string) file {
	return file{name: "META-INF/MANIFEST.MF", data: []byte("Manifest-Version: 1.0\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n")}
}

func archives(t testing.TB) map[string][]byte {
	checkout := file{name: "shop/Checkout.class", data: class(t, "shop/Checkout")}
	base := file{name: "library/Base.class", data: class(t, "library/Base")}
	main := file{name: "shop/Main.class", data: class(t, "shop/Main")}
	library := pack(t, base, file{name: "META-INF/maven/lib/base/pom.properties", data: []byte("#x\ngroupId=lib\nartifactId=base\nversion=2.1\n")})
	spring := pack(t, file{name: "org/springframework/boot/SpringApplication.class", data: []byte("x")})
	return map[string][]byte{
		"shaded":  pack(t, manifestFile(), checkout, base, file{name: "shop/Stream.class", data: class(t, "shop/Stream")}),
		"lib":     pack(t, checkout, file{name: "lib/base-2.1.jar", data: library}, file{name: "lib/other-3.0.Final.jar", data: spring[:0:0]}),
		"web":     pack(t, manifestFile("Main-Class: shop.Main"), main),
		"no-main": pack(t, manifestFile("Main-Class: shop.Gone"), base),
		"boot": pack(t, manifestFile("Main-Class: org.springframework.boot.loader.launch.JarLauncher", "Start-Class: shop.", " Main", "Spring-Boot-Classes: BOOT-INF/classes/"),
			file{name: "BOOT-INF/classes/shop/Main.class", data: main.data},
			file{name: "META-INF/native-image/x/reachability-metadata.json", data: []byte("{}")},
			file{name: "META-INF/SIG.SF", data: []byte("x")},
			file{name: "BOOT-INF/lib/a-1.jar", data: library},
			file{name: "BOOT-INF/lib/spring-boot-4.1.2.jar", data: spring},
			file{name: "BOOT-INF/classpath.idx", data: []byte("- \"BOOT-INF/lib/spring-boot-4.1.2.jar\"\n- \"BOOT-INF/lib/a-1.jar\"\n")}),
		"quarkus": pack(t, file{name: "quarkus-app/quarkus-run.jar", data: pack(t, manifestFile())},
			file{name: "quarkus-app/quarkus/generated-bytecode.jar", data: library},
			file{name: "quarkus-app/quarkus/transformed-bytecode.jar", data: library},
			file{name: "quarkus-app/app/shop.jar", data: library},
			file{name: "quarkus-app/lib/main/io.x.y-1.2.jar", data: spring}),
		"provided": pack(t, file{name: "bootstrap", data: []byte("#!/bin/sh\n"), mode: 0o644}, file{name: "data/x", data: []byte("x")}),
		"distzip": pack(t, file{name: "shop-1/lib/shop-1.jar", data: pack(t, manifestFile("Main-Class: shop.Main"), main)},
			file{name: "shop-1/bin/shop", data: []byte("#!/bin/sh\n"), mode: 0o755}),
	}
}

func TestInspectSaysWhatAnArchiveIs(t *testing.T) {
	all := archives(t)
	all["lib"] = pack(t, file{name: "shop/Checkout.class", data: class(t, "shop/Checkout")},
		file{name: "lib/base.jar", data: pack(t, file{name: "library/Base.class", data: class(t, "library/Base")})})
	tests := map[string]struct {
		kind      function.Kind
		layout    Layout
		framework Framework
		main      string
		handlers  []string
		paths     []string
	}{
		"shaded":   {function.KindHandler, LayoutJar, FrameworkPlain, "", []string{"shop.Checkout", "shop.Stream"}, []string{"app.jar"}},
		"lib":      {function.KindHandler, LayoutZip, FrameworkPlain, "", []string{"shop.Checkout"}, []string{".", "lib/base.jar"}},
		"web":      {function.KindWeb, LayoutJar, FrameworkPlain, "shop.Main", nil, []string{"app.jar"}},
		"no-main":  {function.KindHandler, LayoutJar, FrameworkPlain, "", nil, []string{"app.jar"}},
		"boot":     {function.KindWeb, LayoutSpringBoot, FrameworkSpringBoot, "shop.Main", nil, []string{"app.jar", "lib/spring-boot-4.1.2.jar", "lib/a-1.jar"}},
		"quarkus":  {function.KindWeb, LayoutQuarkus, FrameworkQuarkus, "io.quarkus.runner.GeneratedMain", nil, []string{"quarkus/transformed-bytecode.jar", "quarkus/generated-bytecode.jar", "app/shop.jar", "lib/main/io.x.y-1.2.jar"}},
		"provided": {function.KindProvided, LayoutProvided, FrameworkPlain, "", nil, nil},
		"distzip":  {function.KindWeb, LayoutZip, FrameworkPlain, "shop.Main", nil, []string{".", "lib/shop-1.jar"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := save(t, all[name])
			info, err := Inspect(path, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			var handlers []string
			for _, h := range info.Handlers {
				handlers = append(handlers, h.Class)
			}
			if info.Kind() != tt.kind || info.Layout != tt.layout || info.Framework != tt.framework || info.MainClass != tt.main ||
				!slices.Equal(handlers, tt.handlers) || !slices.Equal(info.Paths, tt.paths) {
				t.Errorf("got kind %s %+v", info.Kind(), info)
			}
			dir := filepath.Join(t.TempDir(), "out")
			extracted, err := Extract(path, dir, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(info, extracted, cmp.AllowUnexported(Info{})); d != "" {
				t.Error(d)
			}
			for _, p := range info.ClassPath(dir) {
				if _, err := os.Stat(p); err != nil {
					t.Error(err)
				}
			}
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), ".*")); left != nil {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// TestWhatIsDeployedIsRecognized: applications of frameworks that were made for AWS Lambda are handlers, whatever their
// manifests say, and where it cannot be known the user is asked.
func TestWhatIsDeployedIsRecognized(t *testing.T) {
	type files = []file
	empty := func(names ...string) (out files) {
		for _, n := range names {
			out = append(out, file{name: strings.ReplaceAll(n, ".", "/") + ".class", data: []byte("x")})
		}
		return out
	}
	const invoker, tomcat = "org.springframework.cloud.function.adapter.aws.FunctionInvoker", "org.apache.catalina.startup.Tomcat"
	spring := empty("org.springframework.boot.SpringApplication")
	own := files{{name: "shop/Checkout.class", data: class(t, "shop/Checkout")}, {name: "library/Base.class", data: class(t, "library/Base")}}
	main := files{manifestFile("Start-Class: shop.Main"), {name: "shop/Main.class", data: class(t, "shop/Main")}}
	quarkus := "io.quarkus.amazon.lambda.runtime.QuarkusStreamHandler"
	library := func(f files) file { return file{name: "lib/library-1.jar", data: pack(t, f...)} }
	tests := map[string]struct {
		archive    files
		kind       function.Kind
		candidates []string
		doubt      string
	}{
		"spring-cloud-function, shaded":   {slices.Concat(main, spring, empty(invoker)), function.KindHandler, []string{invoker}, ""},
		"spring-cloud-function, ZIP":      {slices.Concat(main[1:], files{library(append(spring, empty(invoker)...))}), function.KindHandler, []string{invoker}, ""},
		"spring-cloud-function 5, shaded": {slices.Concat(main, spring, empty(invoker, reactorServer)), function.KindHandler, []string{invoker}, ""},
		"spring-cloud-function with a server": {slices.Concat(main, spring, empty(invoker, tomcat)), function.KindUnknown, []string{invoker},
			"it could be the web application shop.Main, which brings a server of its own, and a function with the handler " + invoker + ": say which"},
		"aws-serverless-java-container": {slices.Concat(main, spring, own), function.KindHandler, []string{"shop.Checkout"}, ""},
		"spring with a server":          {slices.Concat(main, spring, empty(tomcat)), function.KindWeb, nil, ""},
		"quarkus function.zip": {slices.Concat(main[1:], own, files{library(empty("io.quarkus.runner.ApplicationImpl", quarkus))}),
			function.KindHandler, []string{quarkus}, ""},
		"quarkus for the web": {slices.Concat(main, empty("io.quarkus.runner.ApplicationImpl")), function.KindWeb, nil, ""},
		"micronaut's two": {slices.Concat(main, empty("io.micronaut.context.ApplicationContext", adapters[3], adapters[4])), function.KindHandler, adapters[3:5],
			"several classes could be the handler: " + adapters[3] + ", " + adapters[4]},
		"own handlers": {slices.Concat(own, files{{name: "shop/Stream.class", data: class(t, "shop/Stream")}}), function.KindHandler, []string{"shop.Checkout", "shop.Stream"},
			"several classes could be the handler: shop.Checkout, shop.Stream"},
		"nothing": {files{{name: "readme.txt", data: []byte("x")}}, function.KindUnknown, nil, "no class in the archive implements a Lambda handler and no manifest names a main class"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			info, err := Inspect(save(t, pack(t, tt.archive...)), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if info.Kind() != tt.kind || !slices.Equal(info.Candidates(), tt.candidates) || info.Doubt() != tt.doubt {
				t.Errorf("got %s, %q, %q of %+v", info.Kind(), info.Candidates(), info.Doubt(), info)
			}
		})
	}
}

// TestNativeLibrariesAreLaidOut: where java.library.path looks, of a JAR as of a ZIP.
func TestNativeLibrariesAreLaidOut(t *testing.T) {
	so := func(name string) file { return file{name: name, data: []byte("so")} }
	checkout := file{name: "shop/Checkout.class", data: class(t, "shop/Checkout")}
	for name, archive := range map[string][]byte{
		"classes": pack(t, checkout, so("libone.so"), so("lib/libtwo.so.1"), so("org/x/native/libdeep.so")),
		"JAR":     pack(t, manifestFile(), checkout, so("libone.so"), so("lib/libtwo.so.1"), so("org/x/native/libdeep.so")),
		"ZIP":     pack(t, checkout, so("libone.so"), so("lib/libtwo.so.1"), file{name: "lib/a.jar", data: pack(t, checkout)}),
	} {
		dir := filepath.Join(t.TempDir(), "out")
		info, err := Extract(save(t, archive), dir, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		for _, library := range []string{"libone.so", "lib/libtwo.so.1"} {
			if _, err := os.Stat(filepath.Join(dir, library)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := os.Stat(filepath.Join(dir, "org")); info.Layout == LayoutJar && err == nil {
			t.Errorf("%s: what lies deeper is the business of its library", name)
		}
	}
}

func TestManifestAsksOfTheModuleSystem(t *testing.T) {
	asks := manifestFile("Main-Class: shop.Main", "Add-Opens: java.base/java.lang java.base/java.", " util java.base/java.lang", "Add-Exports: jdk.unsupported/sun.misc",
		"Enable-Native-Access: ALL-UNNAMED")
	main := file{name: "shop/Main.class", data: class(t, "shop/Main")}
	want := []string{
		"--add-exports=jdk.unsupported/sun.misc=ALL-UNNAMED", "--add-opens=java.base/java.lang=ALL-UNNAMED",
		"--add-opens=java.base/java.util=ALL-UNNAMED", "--enable-native-access=ALL-UNNAMED",
	}
	tests := map[string]struct {
		archive []byte
		want    []string
	}{
		"executable":    {pack(t, asks, main), want},
		"in a ZIP":      {pack(t, file{name: "lib/shop.jar", data: pack(t, asks, main)}), want},
		"quarkus":       {pack(t, file{name: "quarkus-app/quarkus-run.jar", data: pack(t, asks)}, file{name: "quarkus-app/app/shop.jar", data: pack(t, main)}), want},
		"a damaged one": {pack(t, file{name: "quarkus-app/quarkus-run.jar", data: []byte("PK")}, file{name: "quarkus-app/app/shop.jar", data: pack(t, main)}), nil},
		"hostile":       {pack(t, manifestFile("Main-Class: shop.Main", "Add-Opens: -javaagent:x java.base/java.lang=ALL @file java.base/a,b", "Enable-Native-Access: x"), main), nil},
		"none":          {archives(t)["web"], nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			info, err := Inspect(save(t, tt.archive), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, info.ModuleOptions()); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestExtractSpringBootMakesAnOrdinaryJar(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	info, err := Extract(save(t, archives(t)["boot"]), dir, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want := []Library{{Group: "lib", Artifact: "base", Version: "2.1"}, {Artifact: "spring-boot", Version: "4.1.2"}}
	if d := cmp.Diff(want, info.Libraries); d != "" {
		t.Error(d)
	}
	z, err := zip.OpenReader(filepath.Join(dir, "app.jar"))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	var names []string
	for _, f := range z.File {
		names = append(names, f.Name)
	}
	// Folders too: Spring's component scan asks for them.
	if want := []string{
		"META-INF/", "META-INF/MANIFEST.MF", "shop/", "shop/Main.class",
		"META-INF/native-image/", "META-INF/native-image/x/", "META-INF/native-image/x/reachability-metadata.json",
	}; !slices.Equal(names, want) {
		t.Errorf("got %q", names)
	}
}

func TestExtractKeepsBootstrapExecutable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	if _, err := Extract(save(t, archives(t)["provided"]), dir, Limits{}); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(filepath.Join(dir, "bootstrap"))
	if err != nil || st.Mode().Perm() != 0o755 {
		t.Errorf("got %v, %v", st, err)
	}
}

func TestExtractTwiceIsOnce(t *testing.T) {
	p, dir := save(t, archives(t)["shaded"]), filepath.Join(t.TempDir(), "out")
	for range 2 {
		if _, err := Extract(p, dir, Limits{}); err != nil {
			t.Fatal(err)
		}
	}
	scratch := filepath.Join(filepath.Dir(dir), ".extract-killed")
	if err := os.MkdirAll(scratch, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := CleanScratch(filepath.Dir(dir)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(scratch); !errors.Is(err, fs.ErrNotExist) {
		t.Error("scratch is still there")
	}
}

func TestHostileArchivesAreRefused(t *testing.T) {
	small := Limits{Unzipped: 1 << 20, Entries: 100, Files: 60, Depth: 10}
	x := []byte("x")
	many := make([]file, 101)
	for i := range many {
		many[i] = file{name: fmt.Sprint(i), data: x}
	}
	folders := make([]file, 8)
	for i := range folders {
		folders[i] = file{name: strings.Repeat(fmt.Sprint("d", i, "/"), 9) + "f", data: x}
	}
	good := archives(t)["shaded"]
	tests := map[string][]byte{
		"slip":            pack(t, file{name: "../evil", data: x}),
		"slip inside":     pack(t, file{name: "a/../../evil", data: x}),
		"absolute":        pack(t, file{name: "/etc/evil", data: x}),
		"backslash":       pack(t, file{name: `..\evil`, data: x}),
		"nul":             pack(t, file{name: "a\x00b", data: x}),
		"link away":       pack(t, file{name: "app.py", data: x}, link("link", "/etc/passwd")),
		"link up":         pack(t, file{name: "app.py", data: x}, link("a/link", "../../x")),
		"link by a link":  pack(t, file{name: "app.py", data: x}, file{name: "b/c/d", data: x}, link("a", "b/c"), link("b/c/up", ".."), link("evil", "a/up/../../x")),
		"link to itself":  pack(t, file{name: "app.py", data: x}, link("a", "b"), link("b", "./a")),
		"link in a link":  pack(t, file{name: "app.py", data: x}, link("a", "b"), file{name: "a/file", data: x}),
		"link twice":      pack(t, file{name: "app.py", data: x}, link("a", "b"), link("a", "c")),
		"link and file":   pack(t, file{name: "app.py", data: x}, link("a", "b"), file{name: "a", data: x}),
		"link to no path": pack(t, file{name: "app.py", data: x}, link("a", "b\x00c")),
		"link in a JAR":   pack(t, manifestFile(), file{name: "A.class", data: class(t, "shop/Checkout")}, link("a", "b")),
		"only a link":     pack(t, link("a", "b")),
		"device":          pack(t, file{name: "dev", mode: fs.ModeDevice | 0o666}),
		"twice":           pack(t, file{name: "bootstrap", data: x}, file{name: "./bootstrap", data: x}),
		"class twice":     pack(t, manifestFile(), file{name: "A.class", data: x}, file{name: "A.class", data: x}),
		"file and folder": pack(t, file{name: "a", data: x}, file{name: "a/b", data: x}),
		"bomb":            pack(t, file{name: "zeros", data: make([]byte, 2<<20)}),
		"many":            pack(t, many...),
		"many files":      pack(t, many[:61]...),
		"many folders":    pack(t, folders...),
		"deep":            pack(t, file{name: strings.Repeat("d/", 11) + "f", data: x}),
		"many in a jar":   pack(t, file{name: "lib/a.jar", data: pack(t, many...)}),
		"empty":           pack(t),
		"nothing":         {},
		"truncated":       good[:len(good)-30],
		"no directory":    good[:len(good)/2],
		"broken jar":      pack(t, file{name: "lib/a.jar", data: x}),
		"encrypted":       patch(t, pack(t, file{name: "a", data: x}), func(h []byte) { h[8] |= 1 }),
		"method":          patch(t, pack(t, file{name: "a", data: x}), func(h []byte) { h[10] = 14 }),
		"lying size":      patch(t, pack(t, file{name: "a", data: make([]byte, 2<<20)}), func(h []byte) { binary.LittleEndian.PutUint32(h[24:], 10) }),
		"wrong sum":       patch(t, pack(t, file{name: "a", data: x}), func(h []byte) { binary.LittleEndian.PutUint32(h[16:], crc32.ChecksumIEEE([]byte("y"))) }),
	}
	for name, b := range tests {
		t.Run(name, func(t *testing.T) {
			path, dir := save(t, b), filepath.Join(t.TempDir(), "out")
			_, err := Inspect(path, small)
			var refused *Error
			if !errors.As(err, &refused) {
				t.Errorf("inspect: got %v, want a refusal", err)
			}
			if _, err := Extract(path, dir, small); err == nil {
				t.Error("extract: accepted")
			}
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), "*")); left != nil {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

func link(name, target string) file {
	return file{name: name, data: []byte(target), mode: fs.ModeSymlink | 0o777}
}

// TestLinksInsideAreKept: npm makes them in node_modules/.bin, and linkers for versions of a library.
func TestLinksInsideAreKept(t *testing.T) {
	links := map[string]string{
		"node_modules/.bin/tool": "../tool/cli.js", "lib/libx.so": "libx.so.1", "current": "node_modules/tool", "through": "current/../tool/cli.js",
		"nothing": "is/not/there", "here": ".", "bin/deep/up": "../../node_modules/",
	}
	files := []file{{name: "node_modules/tool/cli.js", data: []byte("x"), mode: 0o755}, {name: "lib/libx.so.1", data: []byte("x")}}
	for name, target := range links {
		files = append(files, link(name, target))
	}
	path := save(t, pack(t, files...))
	extracted, unpacked := filepath.Join(t.TempDir(), "out"), t.TempDir()
	if _, err := Extract(path, extracted, Limits{}); err != nil {
		t.Fatal(err)
	}
	if err := UnpackFiles(path, unpacked, Limits{}); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{extracted, unpacked} {
		for name, target := range links {
			if got, err := os.Readlink(filepath.Join(dir, name)); err != nil || got != target {
				t.Errorf("%s leads to %q, want %q: %v", name, got, target, err)
			}
		}
		if b, err := os.ReadFile(filepath.Join(dir, "through")); err != nil || string(b) != "x" {
			t.Errorf("read through two links: %q, %v", b, err)
		}
	}
}

// patch changes the first header of an archive's directory.
func patch(t *testing.T, b []byte, edit func(header []byte)) []byte {
	t.Helper()
	i := bytes.Index(b, []byte("PK\x01\x02"))
	if i < 0 {
		t.Fatal("no directory")
	}
	edit(b[i:])
	return b
}

func TestTooLargeIsToldApart(t *testing.T) {
	p := save(t, archives(t)["shaded"])
	for _, lim := range []Limits{{Archive: 10}, {Unzipped: 10}, {Entries: 1}} {
		if _, err := Inspect(p, lim); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%+v: got %v", lim, err)
		}
	}
}

func TestLicencesTwiceInAFatJarAreFine(t *testing.T) {
	p := save(t, pack(t, manifestFile(), file{name: "META-INF/LICENSE", data: []byte("a")}, file{name: "META-INF/LICENSE", data: []byte("b")}))
	if _, err := Inspect(p, Limits{}); err != nil {
		t.Error(err)
	}
}

func TestClassPathFindsAndVisits(t *testing.T) {
	lib := filepath.Join(t.TempDir(), "lib.jar")
	if err := os.WriteFile(lib, pack(t, file{name: "library/Base.class", data: class(t, "library/Base")}), 0o600); err != nil {
		t.Fatal(err)
	}
	cp, err := OpenClassPath([]string{lib, filepath.Join(t.TempDir(), "gone.jar"), "testdata/classes"})
	if err != nil {
		t.Fatal(err)
	}
	defer cp.Close()
	if c := cp.Find("library.Base"); c == nil || c.Name != "library.Base" || !cp.Has("shop.Main") || cp.Has("shop.Gone") || cp.Has("../jar_test") {
		t.Errorf("found %+v", c)
	}
	seen := map[string]int{}
	cp.Each(func(class string, _ []byte) bool { seen[class]++; return true })
	if seen["library.Base"] != 2 || seen["shop.Checkout$Order"] != 1 || len(seen) != 9 {
		t.Errorf("visited %v", seen)
	}
	n := 0
	cp.Each(func(string, []byte) bool { n++; return n < 3 })
	if n != 3 {
		t.Errorf("visited %d after the stop", n)
	}
}

func FuzzInspect(f *testing.F) {
	for _, b := range archives(f) {
		f.Add(b)
	}
	f.Add(pack(f, file{name: "a/b/app.py", data: []byte("x")}, link("l", "a/b"), link("a/up", "../l/.."), link("m", "l/../up")))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		in, err := os.CreateTemp(dir, "in")
		if err != nil {
			t.Fatal(err)
		}
		defer os.Remove(in.Name())
		if _, err := in.Write(b); err != nil {
			t.Fatal(err)
		}
		in.Close()
		lim := Limits{Unzipped: 1 << 20, Entries: 1000}
		if _, err := Inspect(in.Name(), lim); err != nil {
			return
		}
		out := in.Name() + ".out"
		defer os.RemoveAll(out)
		if _, err := Extract(in.Name(), out, lim); err != nil {
			t.Fatalf("accepted by Inspect, refused by Extract: %v", err)
		}
	})
}

func BenchmarkInspect(b *testing.B) {
	files := []file{manifestFile()}
	c := class(b, "shop/Checkout")
	for i := range 5000 {
		files = append(files, file{name: fmt.Sprintf("p%d/C.class", i), data: c})
	}
	p := save(b, pack(b, files...))
	for b.Loop() {
		if _, err := Inspect(p, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
