package nativeimage

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ziptest"
)

// TestOptionsOfArchives: what libraries ask for is allowed, what reaches out of the build is refused by name.
func TestOptionsOfArchives(t *testing.T) {
	for _, allowed := range []string{
		"", "# Args = -cp /etc",
		`Args = --initialize-at-build-time=io.micronaut.aop.InterceptorKind,a.B$C`,
		`Args = --initialize-at-build-time\=org.junit.platform.engine.TestDescriptor$Type`,
		"Args = -H:ReflectionConfigurationResources=${.}/reflect-config.json \\\n       -H:ResourceConfigurationResources=${.}/resource-config.json",
		"Args=-H:Class=corpus.notes.NotesApplication \\\n--no-fallback --install-exit-handlers",
		"Args = --add-exports=org.graalvm.nativeimage/org.graalvm.nativeimage.impl=ALL-UNNAMED --add-opens java.base/java.lang=ALL-UNNAMED",
		"Args = -H:+ReportExceptionStackTraces -H:-ParseRuntimeOptions -H:IncludeLocales=de,fr -H:ServiceLoaderFeatureExcludeServices=a.B",
		`Args = "-H:IncludeResources=.*\\.json" -H:IncludeResources@user='a|b' -O2 -ea:org.x... --enable-monitoring`,
		"Args = -Dio.netty.noUnsafe=true -Djava.awt.headless=true -J-Dorg.x=y -J--add-opens=java.base/java.util=ALL-UNNAMED",
		"Args = --exclude-config org/x.jar META-INF/native-image/.* --enable-http",
		"ForceOnModulePath = org.graalvm.word\nImageName = x\nJavaArgs = -Dorg.x=1 --add-exports=a/b=c",
	} {
		if bad, err := checkProperties([]byte(allowed)); bad != nil || err != nil {
			t.Errorf("%s\nis refused: %+v, %v", allowed, bad, err)
		}
	}
	for args, does := range map[string]string{
		"-H:ConfigurationFileDirectories=/etc":        "reads files",
		"-H:ReflectionConfigurationFiles=/etc/shadow": "reads files",
		"-H:ConfigurationFileDirectories@user=/etc":   "reads files",
		"@/etc/passwd":                           "reads files",
		"-H:Path=/tmp":                           "writes files",
		"-H:Name=../../x":                        "writes files",
		"-H:LogFile=/tmp/x":                      "writes files",
		"-H:Dump=:1 -H:DumpPath=/tmp":            "writes files",
		"-o /tmp/x":                              "writes files",
		"-J-javaagent:/tmp/agent.jar":            "agent",
		"-J-agentpath:/tmp/x.so":                 "agent",
		"-J-XX:OnError=id":                       "agent",
		"--debug-attach=*:8000":                  "agent",
		"-cp /etc":                               "class path",
		"--class-path=/etc":                      "class path",
		"-p /etc":                                "class path",
		"--module-path=/etc":                     "class path",
		"-J--patch-module=java.base=x":           "class path",
		"-J-Xbootclasspath/a:/tmp/x":             "class path",
		"-J-cp -J/etc":                           "class path",
		"-H:NativeLinkerOption=/etc/shadow":      "linked with",
		"-H:CLibraryPath=/tmp":                   "linked with",
		"-H:CCompilerPath=/tmp/cc":               "linked with",
		"--native-compiler-path=/tmp/cc":         "linked with",
		"--native-compiler-options=-Wl,x":        "linked with",
		"--shared":                               "linked with",
		"-J-Xmx100g":                             "JVM of the builder",
		"-Djava.system.class.loader=evil.Loader": "JVM of the builder",
		"-J-Djdk.module.path=x":                  "JVM of the builder",
		"-Dsvm.modulesupport.addedModules=x":     "JVM of the builder",
		"-ELD_PRELOAD=/tmp/x.so":                 "environment",
		"--parallelism=900":                      "limits",
		"-H:NoSuchOption=1":                      "none of the options",
		"--features=a ${x}":                      "none of the options",
		"evil.Main":                              "none of the options",
		`--features="a -J-javaagent:x"`:          "agent",
		`-H:"Path"=/tmp`:                         "writes files",
		"--enable-http -cp x":                    "class path",
		"--add-opens java.base/java.lang=ALL-UNNAMED -J-javaagent:x":    "agent",
		`"--features=a` + "\\n" + `-J-javaagent:x"`:                     "agent",
		`\u002d\u004a-javaagent:x`:                                      "agent",
		"-H:Path@x=/tmp":                                                "writes files",
		"-R:HeapDumpPath=/tmp/x":                                        "none of the options",
		"--exclude-config a b -J-agentlib:jdwp=transport=dt_socket":     "agent",
		"--initialize-at-build-time=evil -H:ProfilesUse=/root/.ssh/key": "none of the options",
	} {
		bad, err := checkProperties([]byte("Args = " + args))
		if err != nil || bad == nil || !strings.Contains(bad.does, does) {
			t.Errorf("%s: got %+v, %v, want %q", args, bad, err, does)
		}
	}
	for file, does := range map[string]string{
		"JavaArgs = -javaagent:x.jar":            "agent",
		"JavaArgs = -Dx=y -Xmx4g":                "JVM of the builder",
		"Requires = language:js":                 "no key",
		"ImageBuilderClasspath = x":              "no key",
		"Args : -cp x":                           "class path",
		"Args -cp x":                             "class path",
		"Args = --enable-http\nArgs = -cp x":     "class path",
		"Args = --enable-http \\\n\\\n  -J-Xint": "JVM of the builder",
	} {
		bad, err := checkProperties([]byte(file))
		if err != nil || bad == nil || !strings.Contains(bad.does, does) {
			t.Errorf("%s: got %+v, %v, want %q", file, bad, err, does)
		}
	}
}

// TestRefusedOptionsAreNamed wherever they are: in the archive, in a JAR of it, in a file that only a
// manifest calls a JAR.
func TestRefusedOptionsAreNamed(t *testing.T) {
	const evil = "Args = --enable-http -H:ConfigurationFileDirectories=/etc"
	inner := ziptest.OfMap(t, map[string][]byte{"META-INF/native-image/a/b/native-image.properties": []byte(evil)})
	base := func() map[string][]byte {
		return map[string][]byte{
			"META-INF/MANIFEST.MF": []byte("Manifest-Version: 1.0\n\n"), "shop/Checkout.class": class(t, "shop/Checkout"), "library/Base.class": class(t, "library/Base"),
		}
	}
	for name, add := range map[string]map[string][]byte{
		"app.jar":    {"META-INF/native-image/native-image.properties": []byte(evil)},
		"x.jar":      {"META-INF/MANIFEST.MF": []byte("Main-Class: org.springframework.boot.loader.launch.JarLauncher\nStart-Class: shop.Main\nSpring-Boot-Classes: BOOT-INF/classes/\n\n"), "BOOT-INF/lib/x.jar": inner},
		"lib/x.jar":  {"lib/x.jar": inner},
		"data.class": {"lib/x.jar": ziptest.OfMap(t, map[string][]byte{"META-INF/MANIFEST.MF": []byte("Class-Path: ../data.class\n\n")}), "data.class": inner},
		"deep":       {"META-INF/native-image/x/y/z/native-image.properties": []byte(evil)},
	} {
		t.Run(name, func(t *testing.T) {
			files := base()
			for k, v := range add {
				files[k] = v
			}
			f := newFixture(t, "")
			_, err := f.Build(t.Context(), request(t, files, function.Spec{Kind: function.KindHandler, Handler: "shop.Checkout"}))
			var failed *aot.Error
			if !errors.As(err, &failed) || failed.Class != aot.ClassUser || !strings.Contains(failed.Reason, "-H:ConfigurationFileDirectories=/etc") || !strings.Contains(failed.Reason, "META-INF/native-image/") {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("large", func(t *testing.T) {
		dir := t.TempDir()
		file := filepath.Join(dir, propertiesFolder, propertiesName)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, make([]byte, largestProperties+1), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := refuseOptions(dir); err == nil {
			t.Error("a giant was read")
		}
	})
}

// TestNamesThatAreOptions: what stands on a tool's command line begins no option and is one word.
func TestNamesThatAreOptions(t *testing.T) {
	f := newFixture(t, "")
	for _, main := range []string{"-javaagent:x", "@/etc/passwd", "--verbose", "a b", "a\n-b"} {
		req := webRequest(t)
		req.Revision.MainClass = main
		_, err := f.Build(t.Context(), req)
		var failed *aot.Error
		if !errors.As(err, &failed) || failed.Class != aot.ClassUser || !strings.Contains(failed.Reason, "main class") {
			t.Errorf("%q: got %v", main, err)
		}
	}
}

func FuzzCheckProperties(f *testing.F) {
	f.Add([]byte("Args = --enable-http \\\n -H:Path=/x\nJavaArgs=-Dx"))
	f.Fuzz(func(t *testing.T, content []byte) {
		bad, err := checkProperties(content)
		if err == nil && bad == nil && strings.Contains(string(content), "Args=-javaagent") && !strings.ContainsAny(string(content), "#!\\") {
			t.Errorf("allowed: %q", content)
		}
	})
}
