package ui_test

import (
	"bytes"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudjit/cloudjit/internal/ui"
	"github.com/cloudjit/cloudjit/internal/ui/bundle"
)

// cache is where npm packages are kept, as the Makefile names it.
func cache(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("CLOUDJIT_CACHE"); dir != "" {
		return dir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "cloudjit")
}

// TestBundleIsWhatTheSourcesGive: dist is made of src by the packages in packages.json; UPDATE=1 makes it anew.
func TestBundleIsWhatTheSourcesGive(t *testing.T) {
	modules, packages, err := bundle.Modules(t.Context(), "packages.json", cache(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packages {
		if p.License != "MIT" && !p.Test {
			t.Errorf("%s is under %s: the page may have what is under MIT only", p.Name, p.License)
		}
	}
	src, err := filepath.Abs("src")
	if err != nil {
		t.Fatal(err)
	}
	files, err := bundle.Build(src, modules)
	if err != nil {
		t.Fatal(err)
	}
	all := 0
	for name, want := range files {
		all += len(want)
		if os.Getenv("UPDATE") != "" {
			if err := os.WriteFile("dist/"+name, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile("dist/" + name)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("dist/%s is not what the sources give (%v): UPDATE=1 go test ./internal/ui -run Bundle", name, err)
		}
	}
	entries, err := os.ReadDir("dist")
	if err != nil || len(entries) != len(files) {
		t.Errorf("dist has %d files, want %d (%v)", len(entries), len(files), err)
	}
	if all > 250<<10 {
		t.Errorf("the page has %d bytes: too much to load at once", all)
	}
}

func TestHandler(t *testing.T) {
	h := ui.Handler()
	get := func(path string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", path, nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	for path, kind := range map[string]string{"/ui/": "text/html", "/ui/app.js": "text/javascript", "/ui/app.css": "text/css", "/ui/icon.svg": "image/svg+xml"} {
		w := get(path)
		csp := w.Header().Get("Content-Security-Policy")
		if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), kind) || !strings.Contains(csp, "default-src 'self'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: got %d %v", path, w.Code, w.Header())
		}
		if again := get(path, "If-None-Match", w.Header().Get("ETag")); again.Code != 304 || again.Body.Len() != 0 {
			t.Errorf("%s, known: got %d", path, again.Code)
		}
		packed := get(path, "Accept-Encoding", "gzip")
		if packed.Header().Get("Content-Encoding") != "gzip" || packed.Body.Len() == 0 {
			t.Errorf("%s: not packed", path)
		}
		t.Logf("%s: %d bytes, %d packed", path, w.Body.Len(), packed.Body.Len())
	}
	for _, path := range []string{"/ui/none", "/ui/../ui.go", "/ui/src/main.jsx"} {
		if w := get(path); w.Code != 404 {
			t.Errorf("%s: got %d", path, w.Code)
		}
	}
}
