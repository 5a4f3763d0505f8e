package toolchain

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// firecrackerRelease has the layout of an archive of Firecracker's release page.
func firecrackerRelease(version string) []entry {
	top := "release-v" + version + "-x86_64/"
	return []entry{
		{name: top},
		{name: top + "firecracker-v" + version + "-x86_64", content: "\x7fELF program", mode: 0o755},
		{name: top + "jailer-v" + version + "-x86_64", content: "\x7fELF jailer", mode: 0o755},
		{name: top + "LICENSE", content: "text"},
	}
}

// firecrackerPage stands in for the release page: it publishes one archive and its checksum.
type firecrackerPage struct {
	*httptest.Server
	archive  []byte
	sum      string
	cutAfter atomic.Int64
	archives atomic.Int64
}

func newFirecrackerPage(t *testing.T, version string, archive []byte) *firecrackerPage {
	t.Helper()
	if host, err := firecrackerMachine(); err != nil || host != "x86_64" {
		t.Skipf("SKIPPED: %v", err)
	}
	sum := sha256.Sum256(archive)
	p := &firecrackerPage{archive: archive, sum: hex.EncodeToString(sum[:])}
	path := "/v" + version + "/firecracker-v" + version + "-x86_64.tgz"
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case path + ".sha256.txt":
			fmt.Fprintf(w, "%s  firecracker-v%s-x86_64.tgz\n", p.sum, version)
		case path:
			p.archives.Add(1)
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

func (p *firecrackerPage) options(cache string) FirecrackerOptions {
	d := newDownloader(nil)
	d.pause = time.Millisecond
	return FirecrackerOptions{Cache: cache, Mirror: p.URL, downloader: d}
}

func TestInstallFirecracker(t *testing.T) {
	page := newFirecrackerPage(t, firecrackerVersion, tarball(t, firecrackerRelease(firecrackerVersion)))
	page.cutAfter.Store(100) // each answer breaks off, and each brings it further
	cache := t.TempDir()
	if _, err := FindFirecracker("", cache); err == nil || !strings.Contains(fmt.Sprint(err, hintOf(err)), "toolchain install firecracker") {
		if _, system := os.Stat("/usr/bin/firecracker"); system != nil {
			t.Errorf("found before it is there: %v", err)
		}
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			program, err := InstallFirecracker(t.Context(), page.options(cache))
			if want := filepath.Join(cache, "toolchains", "firecracker-"+firecrackerVersion, "firecracker-v"+firecrackerVersion+"-x86_64"); err != nil || program != want {
				t.Errorf("got %s, %v, want %s", program, err, want)
			}
		})
	}
	all.Wait()
	asked := page.archives.Load()
	program, err := InstallFirecracker(t.Context(), page.options(cache))
	if err != nil || page.archives.Load() != asked {
		t.Errorf("asked again: %v", err)
	}
	if found, err := FindFirecracker("", cache); err != nil || found != program {
		t.Errorf("found %s, %v", found, err)
	}
	newer := newFirecrackerPage(t, "1.20.0", tarball(t, firecrackerRelease("1.20.0")))
	o := newer.options(cache)
	o.Version = "v1.20.0"
	if program, err = InstallFirecracker(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if found, err := FindFirecracker("", cache); err != nil || found != program {
		t.Errorf("found %s, %v, want the newest", found, err)
	}
	if found, err := FindFirecracker(program, t.TempDir()); err != nil || found != program {
		t.Errorf("named: %s, %v", found, err)
	}
	if left, err := filepath.Glob(filepath.Join(cache, "*", "*t*mp-*")); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
	if left, err := filepath.Glob(filepath.Join(cache, "downloads", "*")); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestInstallFirecrackerFails(t *testing.T) {
	for name, tc := range map[string]struct {
		entries []entry
		change  func(p *firecrackerPage, o *FirecrackerOptions)
		want    string
		is      error
	}{
		"another archive":           {change: func(p *firecrackerPage, _ *FirecrackerOptions) { p.sum = strings.Repeat("a", 64) }, is: ErrChecksum},
		"another that is asked for": {change: func(_ *firecrackerPage, o *FirecrackerOptions) { o.SHA256 = strings.Repeat("b", 64) }, is: ErrChecksum},
		"no program in it":          {entries: firecrackerRelease("1.0.0"), want: "it has no program firecracker-v" + firecrackerVersion + "-x86_64"},
		"no checksum":               {change: func(p *firecrackerPage, _ *FirecrackerOptions) { p.sum = "<html>" }, want: "the answer is no SHA-256"},
		"no such version":           {change: func(_ *firecrackerPage, o *FirecrackerOptions) { o.Version = "9.9.9" }, want: "404"},
		"what is no version":        {change: func(_ *firecrackerPage, o *FirecrackerOptions) { o.Version = "../x" }, want: "is no version of Firecracker"},
		"what is no SHA-256":        {change: func(_ *firecrackerPage, o *FirecrackerOptions) { o.SHA256 = "beef" }, want: "is no SHA-256"},
		"nobody answers":            {change: func(p *firecrackerPage, _ *FirecrackerOptions) { p.Close() }, want: "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			entries := tc.entries
			if entries == nil {
				entries = firecrackerRelease(firecrackerVersion)
			}
			page := newFirecrackerPage(t, firecrackerVersion, tarball(t, entries))
			cache := t.TempDir()
			o := page.options(cache)
			if tc.change != nil {
				tc.change(page, &o)
			}
			_, err := InstallFirecracker(t.Context(), o)
			fails(t, err, tc.want, tc.is)
			if found, err := filepath.Glob(filepath.Join(cache, "toolchains", "firecracker-*", "*")); err != nil || len(found) > 0 {
				t.Errorf("left %v, %v", found, err)
			}
		})
	}
}

func hintOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Hint
	}
	return ""
}
