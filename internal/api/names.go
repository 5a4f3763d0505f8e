package api

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/store"
)

// ref is what a caller means: a function and, maybe, a qualifier.
type ref struct {
	Name      function.Name
	Qualifier string // "$LATEST", a version number, an alias, or empty
}

const namePattern = `(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?`

const (
	maxName      = 64
	maxRef       = 170 // a full ARN with the longest name and alias
	maxQualifier = 128
)

// parseRef reads a name, a partial ARN (123456789012:function:name) or a full one, each with or
// without a qualifier. Region and account are not compared: there is only one of each here.
func parseRef(text string) (ref, error) {
	bad := validation("functionName", clip(text), "Member must satisfy regular expression pattern: "+namePattern)
	if len(text) > maxRef {
		return ref{}, bad
	}
	parts := strings.Split(text, ":")
	if strings.HasPrefix(text, "arn:") {
		if len(parts) < 7 || !strings.HasPrefix(parts[1], "aws") || parts[2] != "lambda" || !isAccount(parts[4]) || parts[5] != "function" {
			return ref{}, bad
		}
		parts = parts[6:]
	} else {
		if len(parts) > 2 && isAccount(parts[0]) && parts[1] == "function" {
			parts = parts[1:]
		}
		if len(parts) > 1 && parts[0] == "function" {
			parts = parts[1:]
		}
	}
	if len(parts) > 2 || !isWord(parts[0]) {
		return ref{}, bad
	}
	if len(parts[0]) > maxName {
		return ref{}, validation("functionName", clip(parts[0]), "Member must have length less than or equal to 64")
	}
	r := ref{Name: function.Name(parts[0])}
	if len(parts) == 2 {
		if !isQualifier(parts[1]) {
			return ref{}, bad
		}
		r.Qualifier = parts[1]
	}
	return r, nil
}

// target reads the function that a request's path names, with the qualifier of path or query.
func target(r *http.Request) (ref, error) {
	f, err := parseRef(r.PathValue("name"))
	if err != nil || r.URL.RawQuery == "" {
		return f, err
	}
	q := r.URL.Query().Get("Qualifier")
	switch {
	case q == "":
	case !isQualifier(q):
		return f, validation("qualifier", clip(q), `Member must satisfy regular expression pattern: \$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+`)
	case f.Qualifier != "" && f.Qualifier != q:
		return f, invalid("The derived qualifier from the function name does not match the specified qualifier.")
	default:
		f.Qualifier = q
	}
	return f, nil
}

func isAccount(s string) bool {
	return len(s) == 12 && strings.Trim(s, "0123456789") == ""
}

func isWord(s string) bool {
	for i := range len(s) {
		if c := s[i]; !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return s != ""
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func isQualifier(s string) bool {
	return len(s) <= maxQualifier && (s == function.Latest || isWord(s))
}

// clip shortens what is repeated in a message.
func clip(s string) string {
	if len(s) > 200 {
		return s[:200] + "..."
	}
	return s
}

// function finds the function that is named, whatever the qualifier.
func (s *Server) function(f ref) (*store.Function, error) {
	if fn, ok := s.store.Function(f.Name); ok {
		return fn, nil
	}
	return nil, s.noFunction(f.Name, f.Qualifier)
}

// targeted finds the function that a request's path names.
func (s *Server) targeted(r *http.Request) (ref, *store.Function, error) {
	f, err := target(r)
	if err != nil {
		return f, nil, err
	}
	fn, err := s.function(f)
	return f, fn, err
}

// version finds the version that is meant; of an alias the one that has no weight.
func (s *Server) version(f ref) (*store.Function, *store.Version, error) {
	fn, err := s.function(f)
	if err != nil {
		return nil, nil, err
	}
	v, ok := versionOf(fn, f.Qualifier)
	if !ok {
		return nil, nil, s.noFunction(f.Name, f.Qualifier)
	}
	return fn, v, nil
}

// versionOf resolves a qualifier within a function.
func versionOf(fn *store.Function, qualifier string) (*store.Version, bool) {
	if qualifier == "" {
		return &fn.Latest, true
	}
	if a, ok := fn.Aliases[qualifier]; ok {
		qualifier = a.Version
	}
	return fn.Version(qualifier)
}

// qualified is the qualifier under which a function's settings are kept.
func qualified(q string) string {
	if q == "" {
		return function.Latest
	}
	return q
}

var (
	rolePattern  = regexp.MustCompile(`^arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+$`)
	envPattern   = regexp.MustCompile(`^[a-zA-Z]([a-zA-Z0-9_])+$`)
	groupPattern = regexp.MustCompile(`^[.\-_/#A-Za-z0-9]{1,512}$`)
)
