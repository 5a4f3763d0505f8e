package metarepo

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cloudjit/cloudjit/internal/jar"
	"github.com/cloudjit/cloudjit/internal/ziptest"
)

func repository(t *testing.T) []byte {
	t.Helper()
	files := map[string]string{
		"io.x/net/index.json": `[
			{"latest": true, "override": true, "metadata-version": "2.0", "module": "io.x:net", "tested-versions": ["2.0", "2.1"]},
			{"default-for": "1\\.[0-9]+", "metadata-version": "1.5", "module": "io.x:net", "tested-versions": ["1.5"]}]`,
		"io.x/net/2.0/index.json":          `["reflect-config.json"]`,
		"io.x/net/2.0/reflect-config.json": `[{"name":"two"}]`,
		"io.x/net/1.5/index.json":          `["reflect-config.json", "../../evil", "gone.json"]`,
		"io.x/net/1.5/reflect-config.json": `[{"name":"one"}]`,
		"io.y/net2/index.json":             `[{"latest": true, "metadata-version": "1", "module": "io.y:net2"}]`,
		"io.y/net2/1/index.json":           `["proxy-config.json"]`,
		"io.y/net2/1/proxy-config.json":    `[]`,
	}
	return ziptest.OfMap(t, files)
}

func TestFindChoosesByVersion(t *testing.T) {
	r, err := read(repository(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		lib      jar.Library
		version  string // "": not found
		override bool
	}{
		{jar.Library{Group: "io.x", Artifact: "net", Version: "2.1"}, "2.0", true},
		{jar.Library{Group: "io.x", Artifact: "net", Version: "1.9"}, "1.5", false},
		{jar.Library{Group: "io.x", Artifact: "net", Version: "3.0"}, "2.0", true},
		{jar.Library{Artifact: "net2", Version: "7"}, "1", false},
		{jar.Library{Group: "io.z", Artifact: "net", Version: "2.1"}, "", false},
		{jar.Library{Artifact: "other", Version: "1"}, "", false},
	} {
		e, ok := r.Find(tt.lib)
		if ok != (tt.version != "") || e.Version != tt.version || e.Override != tt.override {
			t.Errorf("%+v: got %+v, %v", tt.lib, e, ok)
		}
		if len(e.Files) > 1 {
			t.Errorf("%+v: files outside its folder: %v", tt.lib, e.Files)
		}
	}
}

func TestOpenDownloadsOnceAndChecks(t *testing.T) {
	content := repository(t)
	asked := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if !strings.HasSuffix(r.URL.Path, "/0.1/graalvm-reachability-metadata-0.1-repository.zip") {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Write(content)
	}))
	defer srv.Close()
	sum := sha256.Sum256(content)
	s := &Source{Version: "0.1", SHA256: hex.EncodeToString(sum[:]), BaseURL: srv.URL, Cache: t.TempDir()}
	for range 2 {
		if _, err := s.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if asked != 1 {
		t.Errorf("downloaded %d times", asked)
	}
	wrong := *s
	wrong.SHA256, wrong.Cache = strings.Repeat("0", 64), t.TempDir()
	if _, err := wrong.Open(t.Context()); err == nil || !strings.Contains(err.Error(), "SHA-256 differs") {
		t.Errorf("got %v", err)
	}
	gone := *s
	gone.Version, gone.Cache = "0.2", t.TempDir()
	if _, err := gone.Open(t.Context()); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("got %v", err)
	}
}
