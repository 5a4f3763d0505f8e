// Package ui is the page at /ui/: what people see of the platform in a browser. It serves the bundle that
// package bundle makes of src, and nothing else.
//
// The page is a client like any other: what it shows and does goes through the API, with the API's
// access rules. This package knows nothing of the API, and the files have nothing secret: they are the same for everybody.
package ui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"
)

//go:embed dist
var dist embed.FS

// policy lets the page load from and talk to its own server alone, be in nobody's frame and post to nobody.
const policy = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"

// types are those of the bundle's files: the machine's table may say something else.
var types = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
}

type file struct {
	plain, packed []byte
	etag, kind    string
}

// files are the bundle's, packed for the first who asks: few servers are looked at in their first second.
var files = sync.OnceValue(func() map[string]file {
	files := map[string]file{}
	entries, err := fs.ReadDir(dist, "dist")
	if err != nil {
		panic(err) // it is part of the binary
	}
	for _, e := range entries {
		b, err := dist.ReadFile("dist/" + e.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(b)
		var packed bytes.Buffer
		z, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression) // the level is a valid one
		_, _ = z.Write(b)                                          // a buffer takes all
		_ = z.Close()
		files[e.Name()] = file{b, packed.Bytes(), `"` + hex.EncodeToString(sum[:12]) + `"`, types[path.Ext(e.Name())]}
	}
	return files
})

// Handler serves the page below /ui/.
func Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		name := strings.TrimPrefix(r.URL.Path, "/ui/")
		if name == "" {
			name = "index.html"
		}
		f, ok := files()[name]
		if !ok {
			http.Error(w, "There is no such file; the page is at /ui/", http.StatusNotFound)
			return
		}
		h.Set("Content-Type", f.kind)
		h.Set("Cache-Control", "no-cache") // asked for again each time, and sent only if it is another
		h.Set("ETag", f.etag)
		h.Set("Vary", "Accept-Encoding")
		if strings.Contains(r.Header.Get("If-None-Match"), f.etag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		body := f.plain
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			h.Set("Content-Encoding", "gzip")
			body = f.packed
		}
		_, _ = w.Write(body) // the client is gone: nobody to tell
	})
}
