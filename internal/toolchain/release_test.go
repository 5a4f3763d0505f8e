package toolchain

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/untar"
)

// entry is a file of an archive; link is the target of a symbolic one.
type entry struct {
	name, content, link string
	mode                int64
}

// distribution has the layout of an official archive.
func distribution(version string) []entry {
	noise := make([]byte, 300_000) // so that it takes more than one read
	for i := range noise {
		noise[i] = byte(rand.IntN(256))
	}
	top := "graalvm-community-openjdk-" + version + "+1.1/"
	return []entry{
		{name: top},
		{name: top + "bin/"},
		{name: top + "bin/java", content: "#!/bin/sh\n", mode: 0o755},
		{name: top + "lib/svm/bin/native-image", content: "#!/bin/sh\n", mode: 0o755},
		{name: top + "bin/native-image", link: "../lib/svm/bin/native-image"},
		{name: top + "lib/libnative-image-agent.so", content: string(noise), mode: 0o644},
		{name: top + "release", content: fmt.Sprintf("IMPLEMENTOR=\"GraalVM Community\"\nJAVA_VERSION=\"%s\"\nGRAALVM_VERSION=\"%s\"\n", version, version), mode: 0o644},
	}
}

func tarball(t testing.TB, entries []entry) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: e.mode, Size: int64(len(e.content)), Typeflag: tar.TypeReg}
		switch {
		case e.link != "":
			h.Typeflag, h.Linkname = tar.TypeSymlink, e.link
		case strings.HasSuffix(e.name, "/"):
			h.Typeflag, h.Mode = tar.TypeDir, 0o755
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// releasePage serves one archive and its checksum, and breaks off answers on demand.
type releasePage struct {
	*httptest.Server
	archive  []byte
	checksum string
	cutAfter atomic.Int64 // bytes that an answer may hold; 0: all
	archives atomic.Int64 // requests for the archive
	ranges   atomic.Int64 // of these with a Range
}

func newReleasePage(t *testing.T, archive []byte) *releasePage {
	p := &releasePage{}
	p.offer(archive)
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, ".tar.gz.sha256"):
			fmt.Fprintf(w, "%s  graalvm.tar.gz\n", p.checksum)
		case strings.HasSuffix(r.URL.Path, ".tar.gz"):
			p.archives.Add(1)
			if r.Header.Get("Range") != "" {
				p.ranges.Add(1)
			}
			if cut := p.cutAfter.Load(); cut > 0 {
				w = &cutting{ResponseWriter: w, left: cut}
			}
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(p.archive))
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(p.Close)
	return p
}

// offer changes the archive, and its checksum.
func (p *releasePage) offer(archive []byte) {
	sum := sha256.Sum256(archive)
	p.archive, p.checksum = archive, hex.EncodeToString(sum[:])
}

// atOnce installs four times at once: one asks for the archive, and the others have what it brought.
func (p *releasePage) atOnce(t *testing.T, install func() error) {
	t.Helper()
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if err := install(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := p.archives.Load(); n != 1 {
		t.Errorf("the archive was asked for %d times", n)
	}
}

// fails wants an error with a text, that is another one if is is not nil.
func fails(t *testing.T, err error, text string, is error) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) || (is != nil && !errors.Is(err, is)) {
		t.Errorf("got %v, want %q and %v", err, text, is)
	}
}

// cutting drops the connection after some bytes.
type cutting struct {
	http.ResponseWriter
	left int64
}

func (c *cutting) Write(b []byte) (int, error) {
	if int64(len(b)) > c.left {
		c.ResponseWriter.Write(b[:c.left])
		c.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	c.left -= int64(len(b))
	return c.ResponseWriter.Write(b)
}

func (p *releasePage) options(cache string) ReleaseOptions {
	d := newDownloader(nil)
	d.pause = time.Millisecond
	return ReleaseOptions{Cache: cache, Version: "25.0.2", Mirror: p.URL, downloader: d}
}

// leftovers lists what an installation must not leave behind.
func leftovers(t *testing.T, cache string) []string {
	t.Helper()
	var left []string
	for _, pattern := range []string{"toolchains/*.tmp-*", "downloads/*.tar.gz"} {
		found, err := filepath.Glob(filepath.Join(cache, pattern))
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, found...)
	}
	return left
}

func TestInstallRelease(t *testing.T) {
	page := newReleasePage(t, tarball(t, distribution("25.0.2")))
	cache := t.TempDir()
	tc, err := InstallRelease(t.Context(), page.options(cache))
	if err != nil {
		t.Fatal(err)
	}
	want := Toolchain{Kind: GraalVM, Home: filepath.Join(cache, "toolchains", "graalvm-community-25.0.2"), Version: "25.0.2", Edition: "community", Agent: true, Patches: true}
	if tc != want {
		t.Errorf("got %+v, want %+v", tc, want)
	}
	if left := leftovers(t, cache); left != nil {
		t.Errorf("left behind: %v", left)
	}
	again, err := InstallRelease(t.Context(), page.options(cache))
	if err != nil || again != tc {
		t.Errorf("second call: %+v, %v", again, err)
	}
	if n := page.archives.Load(); n != 1 {
		t.Errorf("the archive was asked for %d times", n)
	}
	if err := ReleaseReachable(t.Context(), page.options(cache), time.Second); err != nil {
		t.Error(err)
	}
}

func TestInstallReleaseResumes(t *testing.T) {
	page := newReleasePage(t, tarball(t, distribution("25.0.2")))
	page.cutAfter.Store(100_000)
	cache := t.TempDir()
	// Each answer is cut, each brings the download further, so it succeeds in the end.
	if _, err := InstallRelease(t.Context(), page.options(cache)); err != nil {
		t.Fatal(err)
	}
	if page.ranges.Load() < 2 {
		t.Errorf("%d requests asked for the rest of the archive", page.ranges.Load())
	}
}

func TestInstallReleaseGoesOnAfterKill(t *testing.T) {
	page := newReleasePage(t, tarball(t, distribution("25.0.2")))
	cache := t.TempDir()
	o := page.options(cache)
	url, err := o.withDefaults().archive()
	if err != nil {
		t.Fatal(err)
	}
	downloads := filepath.Join(cache, "downloads")
	scratch := filepath.Join(cache, "toolchains", "graalvm-community-25.0.2.tmp-1", "half")
	for _, dir := range []string{downloads, scratch} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	part := filepath.Join(downloads, filepath.Base(url)+".part")
	if err := os.WriteFile(part, page.archive[:1000], 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := InstallRelease(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if page.ranges.Load() != 1 {
		t.Errorf("the part was not used: %d ranges", page.ranges.Load())
	}
	if left := leftovers(t, cache); left != nil {
		t.Errorf("left behind: %v", left)
	}
}

func TestInstallReleaseWithDamagedPart(t *testing.T) {
	page := newReleasePage(t, tarball(t, distribution("25.0.2")))
	for name, part := range map[string][]byte{
		"wrong bytes": bytes.Repeat([]byte("x"), 1000),
		"too long":    append(bytes.Clone(page.archive), "tail"...),
	} {
		t.Run(name, func(t *testing.T) {
			cache := t.TempDir()
			o := page.options(cache)
			url, err := o.withDefaults().archive()
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(cache, "downloads", filepath.Base(url)+".part")
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, part, 0o644)); err != nil {
				t.Fatal(err)
			}
			if _, err := InstallRelease(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestInstallReleaseFaults(t *testing.T) {
	archive := tarball(t, distribution("25.0.2"))
	for _, c := range []struct {
		name   string
		change func(*releasePage, *ReleaseOptions)
		want   string
		is     error
	}{
		{"wrong checksum", func(p *releasePage, _ *ReleaseOptions) { p.checksum = strings.Repeat("0", 64) }, "", ErrChecksum},
		{"checksum is a page", func(p *releasePage, _ *ReleaseOptions) { p.checksum = "<html>" }, "no SHA-256", ErrChecksum},
		{"no such version", func(p *releasePage, o *ReleaseOptions) { o.Mirror += "/x"; p.Config.Handler = http.NotFoundHandler() }, "404", nil},
		{"version out of the tree", func(_ *releasePage, o *ReleaseOptions) { o.Version = "../25" }, "no version", nil},
		{"edition", func(_ *releasePage, o *ReleaseOptions) { o.Edition = "enterprise" }, "no edition", nil},
		{"full disk", func(_ *releasePage, o *ReleaseOptions) {
			o.downloader.create = func(path string, flag int) (io.WriteCloser, error) {
				f, err := os.OpenFile(path, flag, 0o644)
				return &fullDisk{f, 50_000}, err
			}
		}, "free space in", unix.ENOSPC},
		{"server cuts off at once", func(p *releasePage, _ *ReleaseOptions) {
			p.Config.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		}, "EOF", nil},
		{"not a distribution", func(p *releasePage, _ *ReleaseOptions) {
			p.offer(tarball(t, []entry{{name: "top/readme", content: "hello"}}))
		}, "not usable", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			page := newReleasePage(t, archive)
			page.Config.ErrorLog = nil
			cache := t.TempDir()
			o := page.options(cache)
			c.change(page, &o)
			_, err := InstallRelease(t.Context(), o)
			fails(t, err, c.want, c.is)
			parts, _ := filepath.Glob(filepath.Join(cache, "downloads", "*.part"))
			homes, _ := filepath.Glob(filepath.Join(cache, "toolchains", "graalvm-*[0-9]"))
			if len(parts)+len(homes) > 0 {
				t.Errorf("left behind: %v %v", parts, homes)
			}
		})
	}
}

// fullDisk fails as a file does when the disk is full.
type fullDisk struct {
	io.WriteCloser
	left int
}

func (d *fullDisk) Write(b []byte) (int, error) {
	if d.left -= len(b); d.left < 0 {
		return 0, &os.PathError{Op: "write", Path: "archive", Err: unix.ENOSPC}
	}
	return d.WriteCloser.Write(b)
}

func TestInstallReleaseTwoAtOnce(t *testing.T) {
	page := newReleasePage(t, tarball(t, distribution("25.0.2")))
	cache := t.TempDir()
	page.atOnce(t, func() error {
		_, err := InstallRelease(t.Context(), page.options(cache))
		return err
	})
}

func TestInstallReleaseCancelled(t *testing.T) {
	blocked := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(blocked)
		<-r.Context().Done()
	}))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-blocked; cancel() }()
	_, err := InstallRelease(ctx, ReleaseOptions{Cache: t.TempDir(), Mirror: server.URL})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestReleaseReachableGivesUp(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer server.Close()
	err := ReleaseReachable(t.Context(), ReleaseOptions{Mirror: server.URL}, 20*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "no answer within 20ms") {
		t.Errorf("got %v", err)
	}
}

func TestUnpackRefuses(t *testing.T) {
	for name, entries := range map[string][]entry{
		"name out of the tree":     {{name: "top/a"}, {name: "top/../../evil", content: "x"}},
		"absolute name":            {{name: "/etc/evil", content: "x"}},
		"absolute link":            {{name: "top/l", link: "/etc/passwd"}},
		"link out of the tree":     {{name: "top/l", link: "../../etc"}},
		"link beside the top":      {{name: "top/l", link: "../other"}},
		"write through a link":     {{name: "top/l", link: "../top/../.."}, {name: "top/l/evil", content: "x"}},
		"link by way of a link":    {{name: "top/a/b/c/s", link: "../../.."}, {name: "top/a/b/c/l", link: "s/../../etc"}},
		"two folders":              {{name: "a/x", content: "1"}, {name: "b/x", content: "2"}},
		"too much":                 {{name: "top/big", content: strings.Repeat("x", 2000)}},
		"too many":                 {{name: "t/1"}, {name: "t/2"}, {name: "t/3"}, {name: "t/4"}, {name: "t/5"}, {name: "t/6"}},
		"a file twice":             {{name: "t/1", content: "a"}, {name: "t/1", content: "b"}},
		"nothing":                  {},
		"a file where a folder is": {{name: "t/d/x", content: "a"}, {name: "t/d", content: "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			archive := filepath.Join(dir, "a.tar.gz")
			inside := filepath.Join(dir, "in")
			if err := errors.Join(os.WriteFile(archive, tarball(t, entries), 0o644), os.Mkdir(inside, 0o755)); err != nil {
				t.Fatal(err)
			}
			if top, err := unpack(t.Context(), archive, inside, untar.Limits{Bytes: 1000, Entries: 5}); err == nil {
				t.Errorf("unpacked to %s", top)
			}
			outside, err := os.ReadDir(dir)
			if err != nil || len(outside) != 2 {
				t.Errorf("outside: %v %v", outside, err)
			}
		})
	}
}

func TestUnpackCutArchive(t *testing.T) {
	whole := tarball(t, distribution("25.0.2"))
	for _, n := range []int{0, 10, 1000, len(whole) - 4} {
		dir := t.TempDir()
		archive := filepath.Join(dir, "a.tar.gz")
		if err := os.WriteFile(archive, whole[:n], 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := unpack(t.Context(), archive, dir, unpackLimits); err == nil {
			t.Errorf("unpacked %d of %d bytes", n, len(whole))
		}
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(tarball(f, []entry{{name: "t/"}, {name: "t/a", content: "x"}, {name: "t/l", link: "a"}}))
	f.Add(tarball(f, []entry{{name: "t/l", link: "../.."}, {name: "t/l/x", content: "x"}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		archive := filepath.Join(dir, "a.tar.gz")
		inside := filepath.Join(dir, "in")
		if err := errors.Join(os.WriteFile(archive, data, 0o644), os.Mkdir(inside, 0o755)); err != nil {
			t.Fatal(err)
		}
		top, err := unpack(t.Context(), archive, inside, untar.Limits{Bytes: 1 << 16, Entries: 50})
		if err == nil && !strings.HasPrefix(top, inside+"/") {
			t.Errorf("top is %s", top)
		}
		if outside, err := os.ReadDir(dir); err != nil || len(outside) != 2 {
			t.Errorf("outside: %v %v", outside, err)
		}
	})
}
