package furl

import (
	"net/http"
	"slices"
	"strings"

	"github.com/cloudjit/cloudjit/internal/api/gate"
)

// sandboxed are answers of functions that are served at the server's own origin, under gate.URLPrefix. A script in
// one could do whatever the server's own page can, and take the key that somebody signed in to it with: so
// browsers are told to take such a page for one of another site.
type sandboxed struct {
	http.ResponseWriter
	sent bool
}

const sandboxPolicy = "sandbox allow-downloads allow-forms allow-modals allow-popups allow-scripts"

// WriteHeader adds the policy to the function's own headers; browsers follow the strictest of several.
func (s *sandboxed) WriteHeader(status int) {
	if !s.sent && status >= 200 {
		s.sent = true
		s.Header().Add("Content-Security-Policy", sandboxPolicy)
	}
	s.ResponseWriter.WriteHeader(status)
}

// Write sends a part of the answer.
func (s *sandboxed) Write(b []byte) (int, error) {
	if !s.sent {
		s.WriteHeader(http.StatusOK)
	}
	return s.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (s *sandboxed) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// pageAllowed reports whether a request is of a page that the owner of a function URL lets use it, of the
// URL's own, or of none. Without CORS settings nobody asks: the function decides itself. Nor for what only
// looks, as on AWS: the browser keeps the answer from the page.
func pageAllowed(r *http.Request, allow []string) bool {
	return !slices.ContainsFunc(r.Header["Origin"], func(o string) bool { return strings.ToLower(o) != gate.OwnOrigin(r) && !allowed(allow, o) })
}
