package toolchain

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/untar"
)

// temurin has the layout of the vendor's archive.
func temurin() []entry {
	top := "jdk-25.0.4.1+1/"
	return []entry{
		{name: top},
		{name: top + "bin/java", content: "#!/bin/sh\n", mode: 0o755},
		{name: top + "bin/javac", content: "#!/bin/sh\n", mode: 0o755},
		{name: top + "legal/java.base/LICENSE", content: "text"},
		{name: top + "legal/java.compiler/LICENSE", link: "../java.base/LICENSE"},
		{name: top + "lib/modules", content: strings.Repeat("noise that does not pack well: 8f3a", 20_000)},
		{name: top + "release", content: "IMPLEMENTOR=\"Eclipse Adoptium\"\nJAVA_VERSION=\"25.0.4.1\"\nJAVA_RUNTIME_VERSION=\"25.0.4.1+1-LTS\"\n"},
	}
}

// jdkOptions ask a stand-in for the archive that it has.
func (p *releasePage) jdkOptions(cache string) JDKOptions {
	d := newDownloader(nil)
	d.pause = time.Millisecond
	return JDKOptions{Cache: cache, URL: p.URL + "/jdk.tar.gz", SHA256: p.checksum, downloader: d}
}

func TestInstallJDK(t *testing.T) {
	page := newReleasePage(t, tarball(t, temurin()))
	page.cutAfter.Store(1000) // each answer breaks off, and each brings it further
	cache := t.TempDir()
	j, err := InstallJDK(t.Context(), page.jdkOptions(cache))
	if err != nil {
		t.Fatal(err)
	}
	if j.Version != "25.0.4.1" || j.Vendor != "Eclipse Adoptium" || filepath.Dir(j.Home) != filepath.Join(cache, "toolchains") {
		t.Errorf("got %+v", j)
	}
	if page.ranges.Load() == 0 {
		t.Error("no answer was taken up where it broke off")
	}
	asked := page.archives.Load()
	if again, err := InstallJDK(t.Context(), page.jdkOptions(cache)); err != nil || again.Home != j.Home || page.archives.Load() != asked {
		t.Errorf("second call: %+v, %v, %d requests", again, err, page.archives.Load()-asked)
	}
	nothing := func(string) string { return "" }
	if found := FindJDKs(FindOptions{Cache: cache, Env: nothing, Root: t.TempDir()}); len(found) != 1 || found[0].Home != j.Home {
		t.Errorf("found %+v", found)
	}
	if left := leftovers(t, cache); left != nil {
		t.Errorf("left behind: %v", left)
	}
}

// A process that was killed leaves a part of the archive and half of a folder.
func TestInstallJDKGoesOnAfterKill(t *testing.T) {
	page := newReleasePage(t, tarball(t, temurin()))
	cache := t.TempDir()
	o := page.jdkOptions(cache)
	_, _, name, err := o.archive()
	if err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(cache, "toolchains", name, "bin")
	scratch := filepath.Join(cache, "toolchains", name+".tmp-1", "jdk")
	downloads := filepath.Join(cache, "downloads")
	for _, dir := range []string{half, scratch, downloads} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(downloads, "jdk.tar.gz.part"), page.archive[:1000], 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := InstallJDK(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if page.ranges.Load() != 1 || page.archives.Load() != 1 {
		t.Errorf("%d requests, %d of them for the rest", page.archives.Load(), page.ranges.Load())
	}
	if left := leftovers(t, cache); left != nil {
		t.Errorf("left behind: %v", left)
	}
}

func TestInstallJDKFaults(t *testing.T) {
	whole := tarball(t, temurin())
	as := func(p *releasePage, o *JDKOptions, archive []byte) {
		p.offer(archive)
		o.SHA256 = p.checksum
	}
	without := func(file string) []entry {
		var list []entry
		for _, e := range temurin() {
			if !strings.HasSuffix(e.name, file) {
				list = append(list, e)
			}
		}
		return list
	}
	for _, c := range []struct {
		name   string
		change func(*releasePage, *JDKOptions)
		want   string
		is     error
	}{
		{"wrong checksum", func(_ *releasePage, o *JDKOptions) { o.SHA256 = strings.Repeat("0", 64) }, "got SHA-256", ErrChecksum},
		{"a mirror with another archive", func(p *releasePage, o *JDKOptions) { o.Mirror, o.URL, o.SHA256 = p.URL, "", "" }, "got SHA-256", ErrChecksum},
		{"cut short by its publisher", func(p *releasePage, o *JDKOptions) { as(p, o, whole[:len(whole)-10]) }, "EOF", nil},
		{"a page of text", func(p *releasePage, o *JDKOptions) { as(p, o, []byte("<html>")) }, "unpack", nil},
		{"writes beside itself", func(p *releasePage, o *JDKOptions) {
			as(p, o, tarball(t, append(temurin(), entry{name: "jdk-25.0.4.1+1/../../../evil", content: "x"})))
		}, "unsafe", untar.ErrUnsafe},
		{"writes through a link", func(p *releasePage, o *JDKOptions) {
			as(p, o, tarball(t, append(temurin(), entry{name: "jdk-25.0.4.1+1/l", link: "../../.."}, entry{name: "jdk-25.0.4.1+1/l/evil", content: "x"})))
		}, "unsafe", untar.ErrUnsafe},
		{"links to what is outside", func(p *releasePage, o *JDKOptions) {
			as(p, o, tarball(t, append(temurin(), entry{name: "jdk-25.0.4.1+1/conf", link: "/etc"})))
		}, "unsafe", untar.ErrUnsafe},
		{"a runtime without a compiler", func(p *releasePage, o *JDKOptions) { as(p, o, tarball(t, without("javac"))) }, "it has no bin/javac", nil},
		{"no modules", func(p *releasePage, o *JDKOptions) { as(p, o, tarball(t, without("lib/modules"))) }, "it has no lib/modules", nil},
		{"not there", func(p *releasePage, _ *JDKOptions) { p.Config.Handler = http.NotFoundHandler() }, "name a mirror", nil},
		{"nobody answers", func(p *releasePage, _ *JDKOptions) { p.Close() }, "name a mirror", nil},
		{"no URL", func(_ *releasePage, o *JDKOptions) { o.URL = "jdk.tar.gz" }, "is not the URL", nil},
		{"a file", func(_ *releasePage, o *JDKOptions) { o.URL = "file:///etc/jdk.tar.gz" }, "is not the URL", nil},
		{"no checksum", func(_ *releasePage, o *JDKOptions) { o.SHA256 = "" }, "is no SHA-256", nil},
		{"a checksum alone", func(_ *releasePage, o *JDKOptions) { o.URL = "" }, "without the URL", nil},
		{"full disk", func(_ *releasePage, o *JDKOptions) {
			o.downloader.create = func(path string, flag int) (io.WriteCloser, error) {
				f, err := os.OpenFile(path, flag, 0o644)
				return &fullDisk{f, 100}, err
			}
		}, "free space in", unix.ENOSPC},
	} {
		t.Run(c.name, func(t *testing.T) {
			page := newReleasePage(t, whole)
			outside := t.TempDir()
			cache := filepath.Join(outside, "cache")
			o := page.jdkOptions(cache)
			c.change(page, &o)
			_, err := InstallJDK(t.Context(), o)
			fails(t, err, c.want, c.is)
			parts, _ := filepath.Glob(filepath.Join(cache, "downloads", "*.part"))
			homes, _ := filepath.Glob(filepath.Join(cache, "toolchains", "jdk-*[^k]"))
			if left := append(append(parts, homes...), leftovers(t, cache)...); left != nil {
				t.Errorf("left behind: %v", left)
			}
			if evil, _ := filepath.Glob(filepath.Join(outside, "*evil*")); evil != nil {
				t.Errorf("written outside: %v", evil)
			}
		})
	}
}

func TestInstallJDKTwoAtOnce(t *testing.T) {
	page := newReleasePage(t, tarball(t, temurin()))
	cache := t.TempDir()
	page.atOnce(t, func() error {
		_, err := InstallJDK(t.Context(), page.jdkOptions(cache))
		return err
	})
}

// A mirror is asked for the very paths of the vendor's release page.
func TestInstallJDKFromAMirror(t *testing.T) {
	var asked string
	mirror := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.EscapedPath()
		http.NotFound(w, r)
	}))
	defer mirror.Close()
	_, err := InstallJDK(t.Context(), JDKOptions{Cache: t.TempDir(), Mirror: mirror.URL + "/temurin/"})
	if err == nil || !strings.HasPrefix(asked, "/temurin/jdk-25.0.4.1%2B1/OpenJDK25U-jdk_") || !strings.HasSuffix(asked, "_linux_hotspot_25.0.4.1_1.tar.gz") {
		t.Errorf("asked for %q, %v", asked, err)
	}
}
