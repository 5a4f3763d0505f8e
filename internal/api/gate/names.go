package gate

import (
	"errors"
	"net/http"
	"regexp"
	"strings"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/store"
)

// Ref is what a caller means: a function and, maybe, a qualifier.
type Ref struct {
	Name      function.Name
	Qualifier string // "$LATEST", a version number, an alias, or empty
}

const namePattern = `(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?`

const (
	MaxName      = 64
	maxRef       = 170 // a full ARN with the longest name and alias
	MaxQualifier = 128
)

// ParseRef reads a name, a partial ARN (123456789012:function:name) or a full one, each with or
// without a qualifier. Region and account are not compared: there is only one of each here.
func ParseRef(text string) (Ref, error) {
	bad := func() (Ref, error) {
		return Ref{}, Validation("functionName", Clip(text), "Member must satisfy regular expression pattern: "+namePattern)
	}
	if len(text) > maxRef {
		return bad()
	}
	parts := strings.Split(text, ":")
	if strings.HasPrefix(text, "arn:") {
		if len(parts) < 7 || !strings.HasPrefix(parts[1], "aws") || parts[2] != "lambda" || !isAccount(parts[4]) || parts[5] != "function" {
			return bad()
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
	if len(parts) > 2 || !IsWord(parts[0]) {
		return bad()
	}
	if len(parts[0]) > MaxName {
		return Ref{}, Validation("functionName", Clip(parts[0]), "Member must have length less than or equal to 64")
	}
	r := Ref{Name: function.Name(parts[0])}
	if len(parts) == 2 {
		if !IsQualifier(parts[1]) {
			return bad()
		}
		r.Qualifier = parts[1]
	}
	return r, nil
}

// Target reads the function that a request's path names, with the qualifier of path or query.
func Target(r *http.Request) (Ref, error) {
	f, err := ParseRef(r.PathValue("name"))
	if err != nil || r.URL.RawQuery == "" {
		return f, err
	}
	q := r.URL.Query().Get("Qualifier")
	switch {
	case q == "":
	case !IsQualifier(q):
		return f, Validation("qualifier", Clip(q), `Member must satisfy regular expression pattern: \$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+`)
	case f.Qualifier != "" && f.Qualifier != q:
		return f, Invalid("The derived qualifier from the function name does not match the specified qualifier.")
	default:
		f.Qualifier = q
	}
	return f, nil
}

func isAccount(s string) bool {
	return len(s) == 12 && strings.Trim(s, "0123456789") == ""
}

func IsWord(s string) bool {
	for i := range len(s) {
		if c := s[i]; !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return s != ""
}

func IsNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func IsQualifier(s string) bool {
	return len(s) <= MaxQualifier && (s == function.Latest || IsWord(s))
}

// Clip shortens what is repeated in a message.
func Clip(s string) string {
	if len(s) > 200 {
		return s[:200] + "..."
	}
	return s
}

// Function finds the function that is named, whatever the qualifier.
func (s *Gate) Function(f Ref) (*store.Function, error) {
	if fn, ok := s.Store.FindFunction(s.Life, f.Name); ok {
		return fn, nil
	}
	return nil, s.NoFunction(f.Name, f.Qualifier)
}

// Targeted finds the function that a request's path names.
func (s *Gate) Targeted(r *http.Request) (Ref, *store.Function, error) {
	f, err := Target(r)
	if err != nil {
		return f, nil, err
	}
	fn, err := s.Function(f)
	return f, fn, err
}

// Version finds the version that is meant; of an alias the one that has no weight.
func (s *Gate) Version(f Ref) (*store.Function, *store.Version, error) {
	fn, err := s.Function(f)
	if err != nil {
		return nil, nil, err
	}
	v, ok := VersionOf(fn, f.Qualifier)
	if !ok {
		return nil, nil, s.NoFunction(f.Name, f.Qualifier)
	}
	return fn, v, nil
}

// VersionOf resolves a qualifier within a function.
func VersionOf(fn *store.Function, qualifier string) (*store.Version, bool) {
	if qualifier == "" {
		return &fn.Latest, true
	}
	if a, ok := fn.Aliases[qualifier]; ok {
		qualifier = a.Version
	}
	return fn.Version(qualifier)
}

// Qualified is the qualifier under which a function's settings are kept.
func Qualified(q string) string {
	if q == "" {
		return function.Latest
	}
	return q
}

var (
	RolePattern  = regexp.MustCompile(`^arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+$`)
	EnvPattern   = regexp.MustCompile(`^[a-zA-Z]([a-zA-Z0-9_])+$`)
	GroupPattern = regexp.MustCompile(`^[.\-_/#A-Za-z0-9]{1,512}$`)
)

// Change reads a request's document, if in is not nil, and changes the function of its path.
func (s *Gate) Change(w http.ResponseWriter, r *http.Request, in any, apply func(*store.Function) error) (Ref, error) {
	f, err := Target(r)
	if err != nil {
		return f, err
	}
	if in != nil {
		if err := s.Decode(w, r, in); err != nil {
			return f, err
		}
	}
	_, err = s.Store.UpdateFunction(r.Context(), f.Name, apply)
	if errors.Is(err, store.ErrNotFound) {
		return f, s.NoFunction(f.Name, f.Qualifier)
	}
	if err != nil {
		return f, err
	}
	s.Sync(f.Name)
	return f, nil
}
