package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/match"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

const (
	product = "../bin/cloudjit"
	orders  = "../java/samples/orders/target/orders.jar"
)

// made is a release of the product that "make build" left, without building it anew.
func made(t *testing.T, version string, change func(*release)) string {
	t.Helper()
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	r := &release{root: "..", out: filepath.Join(t.TempDir(), "out"), version: version, arches: []string{hostArch}, binary: product, say: t.Logf}
	if change != nil {
		change(r)
	}
	if err := r.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r.out
}

// smallBase is a base with nothing but dpkg's list.
func smallBase(t *testing.T, arch string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	status := "Package: base-files\nStatus: install ok installed\nVersion: 13.8\nArchitecture: " + arch + "\nDescription: text\n more\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n"
	err := w.WriteHeader(&tar.Header{Name: "./var/lib/dpkg/status", Mode: 0o644, Size: int64(len(status))})
	if err == nil {
		_, err = io.WriteString(w, status)
	}
	path := filepath.Join(t.TempDir(), "base-"+arch+".tar.gz")
	if err := errors.Join(err, w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func only(t *testing.T, dir, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %v, %v", pattern, found, err)
	}
	return found[0]
}

// TestRelease: everything is there, says what is in it, and is the same bytes when it is made again.
func TestRelease(t *testing.T) {
	stand := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer stand.Close()
	ref := strings.TrimPrefix(stand.URL, "http://") + "/cloudjit:test"
	base := smallBase(t, hostArch)
	out := made(t, "1.2.3-rc.1", func(r *release) { r.imageArches, r.base, r.push = []string{hostArch}, base, ref })
	again := made(t, "1.2.3-rc.1", func(r *release) { r.imageArches, r.base = []string{hostArch}, base })

	sums, err := os.ReadFile(filepath.Join(out, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	if second, err := os.ReadFile(filepath.Join(again, "SHA256SUMS")); err != nil || !bytes.Equal(sums, second) {
		t.Errorf("not the same twice:\n%s\n%s (%v)", sums, second, err)
	}
	if n := bytes.Count(sums, []byte("\n")); n != 6 {
		t.Errorf("%d checksums:\n%s", n, sums)
	}
	check := exec.CommandContext(t.Context(), "sha256sum", "-c", "--strict", "SHA256SUMS")
	check.Dir = out
	if text, err := check.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, text)
	}

	deb := only(t, out, "cloudjit_1.2.3~rc.1_*.deb")
	listing := command(t, "dpkg-deb", "-c", deb)
	for _, want := range []string{"usr/bin/cloudjit\n", "usr/share/man/man1/cloudjit-serve.1.gz\n", "usr/lib/systemd/system/cloudjit.service\n", "usr/share/bash-completion/completions/cloudjit\n", "etc/cloudjit/cloudjit.yaml\n"} {
		if !strings.Contains(listing, want) {
			t.Errorf("the package has no %s", want)
		}
	}
	if conf := command(t, "dpkg-deb", "-I", deb, "conffiles"); conf != "/etc/cloudjit/cloudjit.yaml\n" {
		t.Errorf("conffiles: %q", conf)
	}
	command(t, "dpkg", "--compare-versions", "1.2.3~rc.1", "lt", "1.2.3")
	if listing := command(t, "tar", "-tzf", only(t, out, "*.tar.gz")); !strings.Contains(listing, "/bin/cloudjit\n") || !strings.Contains(listing, "/LICENSE\n") {
		t.Errorf("the archive holds:\n%s", listing)
	}

	f, err := os.Open(only(t, out, "cloudjit_1.2.3-rc.1_"+hostArch+".cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(f, cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, c := range *bom.Components {
		text += c.PackageURL + "\n"
	}
	for _, want := range []string{"pkg:golang/github.com/nats-io/nats-server/v2@", "pkg:golang/std@", "pkg:maven/com.amazonaws/"} {
		if !strings.Contains(text, want) {
			t.Errorf("the bill of materials does not name %s", want)
		}
	}
	if strings.Contains(text, "goreleaser") {
		t.Error("the bill names what only makes packages")
	}

	pushed, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	image, err := remote.Image(pushed)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil || config.Config.Entrypoint[0] != "/usr/bin/cloudjit" || config.Architecture != hostArch {
		t.Errorf("the registry has %+v, %v", config, err)
	}
	// The stand-in's image can be the base of another.
	if standing, _, err := (&release{base: ref}).baseImage(t.Context(), hostArch); err != nil {
		t.Error(err)
	} else if layers, err := standing.Layers(); err != nil || len(layers) != 2 {
		t.Errorf("%d layers, %v", len(layers), err)
	}
}

// TestImageIndex: one index has the images of both architectures, in an archive that any tool for OCI layouts reads, and in the
// registry that it is pushed to.
func TestImageIndex(t *testing.T) {
	stand := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer stand.Close()
	bases, both := t.TempDir(), []string{"amd64", "arm64"}
	for _, arch := range both {
		if err := os.Rename(smallBase(t, arch), filepath.Join(bases, "base-"+arch+".tar.gz")); err != nil {
			t.Fatal(err)
		}
	}
	r := &release{out: t.TempDir(), version: "1.2.3", time: time.Unix(1700000000, 0).UTC(), base: filepath.Join(bases, "base-ARCH.tar.gz"),
		push: strings.TrimPrefix(stand.URL, "http://") + "/cloudjit:1.2.3", say: t.Logf}
	var images []platformImage
	for _, arch := range both {
		image, err := r.makeImage(t.Context(), []file{{path: "/usr/bin/cloudjit", data: []byte("of " + arch), mode: 0o755}}, arch)
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, platformImage{arch, image})
	}
	if err := r.publish(t.Context(), images, t.TempDir()); err != nil {
		t.Fatal(err)
	}

	dir := t.TempDir()
	command(t, "tar", "-xf", filepath.Join(r.out, "cloudjit_1.2.3_image.oci.tar"), "-C", dir)
	top, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(top); err != nil {
		t.Fatal(err)
	}
	manifest, err := top.IndexManifest()
	if err != nil || len(manifest.Manifests) != 1 || manifest.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != "1.2.3" {
		t.Fatalf("the layout has %+v, %v", manifest, err)
	}
	index, err := top.ImageIndex(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(r.push)
	if err != nil {
		t.Fatal(err)
	}
	for _, arch := range both {
		platform := v1.Platform{OS: "linux", Architecture: arch}
		found, err := partial.FindImages(index, match.Platforms(platform, v1.Platform{OS: "linux", Architecture: arch, Variant: variants[arch]}))
		if err != nil || len(found) != 1 {
			t.Fatalf("%s: %d images, %v", arch, len(found), err)
		}
		pulled, err := remote.Image(ref, remote.WithPlatform(platform))
		if err != nil {
			t.Fatal(err)
		}
		for where, image := range map[string]v1.Image{"layout": found[0], "registry": pulled} {
			config, err := image.ConfigFile()
			if err != nil || config.Architecture != arch || config.OS != "linux" || config.Config.Entrypoint[0] != "/usr/bin/cloudjit" {
				t.Errorf("%s, %s: %+v, %v", where, arch, config, err)
			}
			flat := mutate.Extract(image)
			text, err := io.ReadAll(flat)
			if err := errors.Join(err, flat.Close()); err != nil {
				t.Fatal(err)
			}
			if !bytes.Contains(text, []byte("of "+arch)) || !bytes.Contains(text, []byte("Architecture: "+arch)) {
				t.Errorf("%s, %s: it has another's program or base", where, arch)
			}
		}
	}

	r.base = filepath.Join(bases, "base-arm64.tar.gz")
	if _, err := r.makeImage(t.Context(), nil, "amd64"); err == nil || !strings.Contains(err.Error(), "is a base for arm64") {
		t.Errorf("a base of another architecture: %v", err)
	}
}

// TestForeignPrograms: programs of another architecture run, and only for the command that needs them.
func TestForeignPrograms(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("to register an emulator with the kernel needs root")
	}
	arch := "arm64"
	if hostArch == arch {
		arch = "amd64"
	}
	cmd, err := foreign(t.Context(), arch, "arch-test", arch)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if registered, _ := filepath.Glob("/proc/sys/fs/binfmt_misc/cloudjit"); len(registered) != 0 {
		t.Error("the emulator is registered still")
	}
}

func TestVersions(t *testing.T) {
	for version, want := range map[string]string{"0.2.0": "0.2.0", "0.2.0-rc.1": "0.2.0~rc.1", "0.0.0-20261128125746.2ee36b10e3cc": "0.0.0~20261128125746.2ee36b10e3cc"} {
		if got := debVersion(version); got != want {
			t.Errorf("%s: got %s, want %s", version, got, want)
		}
	}
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	for _, bad := range []string{"../1", "v1.0", "1.0 2", "1;rm"} {
		if err := (&release{root: "..", version: bad}).identify(t.Context()); err == nil {
			t.Errorf("%q is a version", bad)
		}
	}
}

// debianRoot is the image's base, unpacked; kept from one run to the next, and never changed.
func debianRoot(t *testing.T) string {
	t.Helper()
	r := &release{say: t.Logf}
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	if err := errors.Join(func() error { r.root, r.version = "..", "1.0.0"; return r.identify(t.Context()) }()); err != nil {
		t.Fatal(err)
	}
	base, err := r.debianBase(context.WithoutCancel(t.Context()), hostArch)
	if err != nil {
		t.Fatal(err)
	}
	sum, err := sumOf(base)
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(filepath.Dir(base), "root-"+sum[:16])
	if _, err := os.Stat(root); err == nil {
		return root
	}
	part := root + ".part"
	if err := errors.Join(os.RemoveAll(part), os.MkdirAll(part, 0o755)); err != nil {
		t.Fatal(err)
	}
	command(t, "tar", "-xzf", base, "-C", part)
	if err := os.Rename(part, root); err != nil {
		t.Fatal(err)
	}
	old, _ := filepath.Glob(filepath.Join(filepath.Dir(base), "root-*"))
	for _, dir := range old {
		if dir != root {
			os.RemoveAll(dir)
		}
	}
	return root
}

// script runs one of testdata with mounts of its own, and checks what it said.
func script(t *testing.T, wants []string, name string, args ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounts and roots of their own need root")
	}
	out := command(t, "unshare", append([]string{"--mount", "--propagation", "private", "testdata/" + name}, args...)...)
	at := 0
	for _, want := range wants {
		i := strings.Index(out[at:], want)
		if i < 0 {
			t.Fatalf("did not say %q after byte %d:\n%s", want, at, out)
		}
		at += i + len(want)
	}
	if testing.Verbose() {
		t.Log(out)
	}
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

// TestPackageInItsRoot: installed, upgraded with its state and the user's configuration kept, removed, purged; served
// as the unit does, and as a user of its own.
func TestPackageInItsRoot(t *testing.T) {
	old, next := made(t, "1.0.0", nil), made(t, "1.1.0", nil)
	script(t, []string{
		"== install", "conffiles: /etc/cloudjit/cloudjit.yaml ", "== the unit", "== doctor", "JDK: 25.", "sandbox: a program ran in one",
		"== a function serves", `"total_cents":900`, "== upgrade", "# mine", "orders", `"total_cents":900`, "== a user of its own", `"total_cents":900`,
		"== remove", "== purge", "== done"},
		"install.sh", debianRoot(t), only(t, old, "*.deb"), only(t, next, "*.deb"), absolute(t, product), absolute(t, orders))
}

// TestImageUnderRunc: the image serves with the least capabilities.
func TestImageUnderRunc(t *testing.T) {
	root := debianRoot(t)
	base := smallBase(t, hostArch) // the real one stands below already
	out := made(t, "1.0.0", func(r *release) { r.imageArches, r.base = []string{hostArch}, base })
	script(t, []string{"== doctor", "JDK: 25.", "sandbox: a program ran in one", "cgroup memory limit: enforced", "== a function serves", `"total_cents":900`, "== done"},
		"runc.sh", only(t, out, "*_image_*.tar"), root, absolute(t, product), absolute(t, orders))
}
