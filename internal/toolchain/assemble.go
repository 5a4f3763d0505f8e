package toolchain

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// AssembleOptions say where a builder is put and where its parts come from.
type AssembleOptions struct {
	// Cache is CloudJIT's cache folder; the builder and its downloads go to folders in it.
	Cache string
	// JDK is the home of the JDK that runs the builder; "": the newest suitable one.
	JDK string
	// MavenURL and DebianURL replace what Maven and apt are set up for on this machine. Below
	// DebianURL stand debian/ and debian-security/.
	MavenURL, DebianURL string
	// InstallPackages lets Assemble install missing system packages where it runs as root; else
	// it fails and names them.
	InstallPackages bool
	Progress        ProgressFunc
}

// Assemble makes a community builder from published packages, or returns the one that is
// there. Concurrent calls, of other processes too, wait for the first; what an interrupted call
// left behind is used or removed by the next.
func Assemble(ctx context.Context, o AssembleOptions) (Toolchain, error) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return Toolchain{}, &Error{Op: "assemble the builder", Err: fmt.Errorf("not supported on %s/%s", runtime.GOOS, runtime.GOARCH),
			Hint: "install GraalVM: cloudjit toolchain install graalvm"}
	}
	jdk, err := o.jdk()
	if err != nil {
		return Toolchain{}, err
	}
	home := filepath.Join(toolchainsDir(o.Cache), "assembled-"+builderVersion+"-"+assemblyKey(jdk)[:16])
	if tc, err := readAssembled(home); err == nil {
		return tc, nil
	}
	if err := checkPackages(ctx, o.InstallPackages, o.Progress); err != nil {
		return Toolchain{}, err
	}
	tc, err := installOnce(ctx, home, o.Progress, func() (Toolchain, error) { return readAssembled(home) }, func() error { return o.assemble(ctx, jdk, home) })
	if err != nil {
		return Toolchain{}, fmt.Errorf("assemble the builder: %w", err)
	}
	return tc, nil
}

func toolchainsDir(cache string) string { return filepath.Join(cache, "toolchains") }

func (o AssembleOptions) jdk() (JDK, error) {
	if o.JDK == "" {
		return builderJDK(FindOptions{Cache: o.Cache})
	}
	j, err := readJDK(o.JDK)
	if err == nil && !j.suitsBuilder() {
		err = fmt.Errorf("%s is Java %s; the builder needs a stock JDK %d", j.Home, j.Version, builderFeature)
	}
	return j, err
}

// assemblyKey is the hash of all that the builder is made of.
func assemblyKey(jdk JDK) string {
	h := sha256.New()
	for _, p := range append(append([]pin{}, builderJars...), jdkSources[0]) {
		fmt.Fprintln(h, p.path, p.sha256)
	}
	fmt.Fprintln(h, jdk.Home, jdk.runtimeVersion)
	fmt.Fprintln(h, glueHash())
	return hex.EncodeToString(h.Sum(nil))
}

// manifest is what an assembled builder knows of itself. It is written last.
type manifest struct {
	// Patches: its command takes a further --patch-module of the builder's module.
	Patches bool           `json:"patches"`
	Version string         `json:"version"`
	JDK     string         `json:"jdk"`   // home
	Files   []manifestFile `json:"files"` // all regular ones but the manifest
}

type manifestFile struct {
	Path string `json:"path"` // below home
	Size int64  `json:"size"` // bytes
}

const manifestName = "cloudjit-builder.json"

var errDamaged = errors.New("the builder is damaged")

// readAssembled checks that an assembled builder is whole and its JDK still there.
func readAssembled(home string) (Toolchain, error) {
	data, err := os.ReadFile(filepath.Join(home, manifestName))
	if err != nil {
		return Toolchain{}, err
	}
	var m manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return Toolchain{}, fmt.Errorf("%w: %s: %w", errDamaged, manifestName, err)
	}
	for _, f := range m.Files {
		info, err := os.Stat(filepath.Join(home, f.Path))
		if err != nil || info.Size() != f.Size {
			return Toolchain{}, fmt.Errorf("%w: %s is missing or changed", errDamaged, f.Path)
		}
	}
	if !executable(filepath.Join(home, "bin", "java")) {
		return Toolchain{}, fmt.Errorf("%w: its JDK %s is gone", errDamaged, m.JDK)
	}
	return Toolchain{Kind: Assembled, Home: home, Version: m.Version, Edition: "community", Patches: m.Patches}, nil
}

// assemble makes the builder in a folder beside home and renames it when it is complete.
func (o AssembleOptions) assemble(ctx context.Context, jdk JDK, home string) error {
	if err := sweep(home); err != nil {
		return err
	}
	user, err := os.UserHomeDir()
	if err != nil {
		return err
	}
	p := &packages{download: newDownloader(o.Progress), dir: filepath.Join(o.Cache, "downloads"), maven: o.MavenURL,
		debian: o.DebianURL, home: user, progress: o.Progress}
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return err
	}
	jars, err := p.jars(ctx)
	if err != nil {
		return err
	}
	archive, err := p.source(ctx)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp(filepath.Dir(home), filepath.Base(home)+".tmp-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	a := &assembly{jdk: jdk, work: work, top: filepath.Join(work, "home"), progress: o.Progress}
	a.svm = filepath.Join(a.top, "lib", "svm")
	for _, step := range []func(context.Context) error{
		func(ctx context.Context) error { return a.layout(jars) },
		func(ctx context.Context) error { return a.nativeLibraries(ctx, archive) },
		a.javaParts,
		func(context.Context) error { return a.writeManifest() },
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return os.Rename(a.top, home)
}

// sweep removes what killed installations of the same home left, and a home that is damaged.
// The caller holds the lock.
func sweep(home string) error {
	left, err := filepath.Glob(home + ".tmp-*")
	if err != nil {
		return err
	}
	for _, dir := range append(left, home) {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// assembly is a builder in the making.
type assembly struct {
	jdk      JDK
	work     string // scratch
	top      string // becomes home
	svm      string // top/lib/svm
	progress ProgressFunc
}

const nativeImageScript = `#!/bin/sh
# The native-image command of a builder that CloudJIT assembled.
home=$(dirname -- "$(dirname -- "$(readlink -f -- "$0")")")
exec "$home/bin/java" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto -Xmx256m \
    "-Dcloudjit.home=$home" -cp "$home/lib/svm/driver" cloudjit.builder.NativeImage "$@"
`

// layout makes the folders of a GraalVM home: the JDK's own files by links, the builder's beside.
func (a *assembly) layout(jars []string) error {
	for _, dir := range []string{"bin", "lib/svm/builder", "lib/svm/clibraries/include", "lib/svm/driver", "lib/svm/patch"} {
		if err := os.MkdirAll(filepath.Join(a.top, dir), 0o755); err != nil {
			return err
		}
	}
	for _, dir := range []string{"", "bin", "lib"} {
		entries, err := os.ReadDir(filepath.Join(a.jdk.Home, dir))
		if err != nil {
			return err
		}
		for _, e := range entries {
			link := filepath.Join(a.top, dir, e.Name())
			if _, err := os.Lstat(link); err == nil || (dir == "" && e.Name() == "release") {
				continue
			}
			if err := os.Symlink(filepath.Join(a.jdk.Home, dir, e.Name()), link); err != nil {
				return err
			}
		}
	}
	for _, jar := range jars {
		if err := copyFile(jar, filepath.Join(a.svm, "builder", filepath.Base(jar))); err != nil {
			return err
		}
	}
	release, err := os.ReadFile(filepath.Join(a.jdk.Home, "release"))
	if err != nil {
		return err
	}
	release = append([]byte(strings.TrimRight(string(release), "\n")+"\n"), fmt.Sprintf("GRAALVM_VERSION=%q\n", builderVersion)...)
	if err := os.WriteFile(filepath.Join(a.top, "release"), release, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(a.top, "bin", "native-image"), []byte(nativeImageScript), 0o755)
}

// nativeLibraries compiles the JDK's libraries and the glue's.
func (a *assembly) nativeLibraries(ctx context.Context, archive string) error {
	out := filepath.Join(a.svm, "clibraries")
	c := &compiler{jdk: a.jdk.Home, version: a.jdk.runtimeVersion, sources: filepath.Join(a.work, "jdk"), glue: filepath.Join(a.work, "glue"),
		headers: filepath.Join(a.work, "headers"), objects: filepath.Join(a.work, "objects"), out: out, progress: a.progress}
	for _, dir := range []string{c.headers, c.objects} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for _, folder := range []string{"c", "include"} {
		if _, err := writeGlue(folder, filepath.Join(c.glue, folder)); err != nil {
			return err
		}
	}
	if _, err := writeGlue("include", filepath.Join(out, "include")); err != nil {
		return err
	}
	a.progress.report("unpack the sources of the JDK", 0, 0)
	if err := extractSources(ctx, archive, c.sources); err != nil {
		return err
	}
	if err := c.jniHeaders(ctx); err != nil {
		return err
	}
	return c.archives(ctx)
}

// javaParts compiles the driver and the patch, and asks the builder for its options.
func (a *assembly) javaParts(ctx context.Context) error {
	javac := filepath.Join(a.jdk.Home, "bin", "javac")
	java := a.jdk.Java()
	compile := func(folder, out string, flags ...string) error {
		files, err := writeGlue(folder, filepath.Join(a.work, folder))
		if err != nil {
			return err
		}
		a.progress.report("compile the "+folder, 0, 0)
		return run(ctx, javac, append(append(flags, "-J-Xmx256m", "-d", out), files...)...)
	}
	jars, err := filepath.Glob(filepath.Join(a.svm, "builder", "*.jar"))
	if err != nil {
		return err
	}
	if err := compile("driver", filepath.Join(a.svm, "driver")); err != nil {
		return err
	}
	// The class stands alone, so it needs neither the module it patches nor its dependencies.
	if err := compile("patch", filepath.Join(a.svm, "patch")); err != nil {
		return err
	}
	describe := filepath.Join(a.work, "classes")
	if err := compile("describe", describe); err != nil {
		return err
	}
	a.progress.report("read the options of the builder", 0, 0)
	const main = "cloudjit.builder.Describe"
	if err := run(ctx, java, append([]string{"-cp", describe, main, "modules", a.svm}, jars...)...); err != nil {
		return err
	}
	var compilerJar string
	var modules []string
	for _, jar := range jars {
		if strings.HasPrefix(filepath.Base(jar), "compiler-") {
			compilerJar = jar
		} else {
			modules = append(modules, jar)
		}
	}
	opens := filepath.Join(a.svm, "describe.args")
	defer os.Remove(opens)
	return run(ctx, java, "@"+filepath.Join(a.svm, "exports.args"), "@"+opens, "-Xmx512m",
		"-XX:+UnlockExperimentalVMOptions", "-XX:+EnableJVMCI", "-XX:-UseJVMCICompiler", "--upgrade-module-path", compilerJar,
		"--module-path", strings.Join(modules, ":"), "--add-modules=ALL-MODULE-PATH", "-cp", describe, main, "options", a.svm)
}

func (a *assembly) writeManifest() error {
	m := manifest{Patches: true, Version: builderVersion, JDK: a.jdk.Home}
	err := filepath.WalkDir(a.top, func(p string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(a.top, p)
		m.Files = append(m.Files, manifestFile{Path: rel, Size: info.Size()})
		return err
	})
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(a.top, manifestName), data, 0o644)
}
