package compare

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/cloudjit/cloudjit/internal/function"
)

// field is a part of an answer: where it stands, and a value as encoding/json gives it (numbers as
// json.Number).
type field struct {
	path  string
	value any
}

// loose headers say nothing of what a function answers, or follow from other parts.
var loose = map[string]bool{
	"Date": true, "Connection": true, "Keep-Alive": true, "Transfer-Encoding": true, "Content-Length": true,
	"Server-Timing": true, "X-Cloudjit-Rung": true, "X-Cloudjit-Cold": true,
}

// fields takes an answer apart.
func (a *Answer) fields() []field {
	all := []field{{"outcome", a.Outcome.String()}}
	if a.Exit != "" {
		all = append(all, field{"exit", a.Exit})
	}
	if a.Status != 0 {
		all = append(all, field{"status", json.Number(strconv.Itoa(a.Status))})
		for _, name := range slices.Sorted(maps.Keys(a.Header)) {
			if canonical := http.CanonicalHeaderKey(name); !loose[canonical] {
				all = append(all, field{"header " + canonical, strings.Join(a.Header[name], ", ")})
			}
		}
	}
	return append(all, a.body()...)
}

func (a *Answer) body() []field {
	switch {
	case a.Digest != "":
		return []field{{"bytes", fmt.Sprintf("%d bytes, SHA-256 %.12s", a.Size, a.Digest)}}
	case len(a.Body) == 0:
		return []field{{"$", ""}}
	}
	if v, err := parse(a.Body); err == nil {
		if a.Outcome == function.OutcomeHandlerError {
			v = withoutFrames(v)
		}
		return []field{{"$", v}}
	}
	if !utf8.Valid(a.Body) || bytes.IndexByte(a.Body, 0) >= 0 {
		sum := sha256.Sum256(a.Body)
		return []field{{"bytes", fmt.Sprintf("%d bytes, SHA-256 %.12s", len(a.Body), hex.EncodeToString(sum[:]))}}
	}
	lines := strings.Split(normal(string(a.Body)), "\n")
	all := []field{{"lines", json.Number(strconv.Itoa(len(lines)))}}
	for i, line := range lines {
		all = append(all, field{"line " + strconv.Itoa(i+1), line})
	}
	return all
}

// maxDepth bounds how deep a body may be nested to be compared by its structure.
const maxDepth = 200

// parse reads a whole JSON document; of a nesting that is too deep it is an error.
func parse(doc []byte) (any, error) {
	depth, most, quoted, escaped := 0, 0, false, false
	for _, c := range doc {
		switch {
		case escaped:
			escaped = false
		case quoted && c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
			most = max(most, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	if most > maxDepth {
		return nil, errors.New("nested too deep")
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows")
	}
	return v, nil
}

// withoutFrames leaves the stack out of an error document: frames are how a rung runs, not what it answers.
func withoutFrames(v any) any {
	object, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := map[string]any{}
	for name, value := range object {
		if name != "stackTrace" {
			out[name] = withoutFrames(value)
		}
	}
	return out
}

var (
	frames = regexp.MustCompile(`(?m)^\s*(at [\w.$/@<>-]+\(.*\)|\.\.\. \d+ (more|common frames omitted))\s*(\n|$)`)
	// What names an object, or a class that is made at run time, by an address or a counter.
	hashes  = regexp.MustCompile(`([\w\]);])@[0-9a-f]{4,8}\b`)
	lambdas = regexp.MustCompile(`\$\$Lambda[^\s@"',;:)\]}]*`)
	proxies = regexp.MustCompile(`\$Proxy\d+`)
	address = regexp.MustCompile(`\b0x[0-9a-f]{8,16}\b`)
)

// normal takes out of a text what no program can rely on.
func normal(s string) string {
	if strings.Contains(s, "\tat ") || strings.Contains(s, " at ") || strings.Contains(s, "\nat ") {
		s = frames.ReplaceAllString(s, "")
	}
	if strings.IndexByte(s, '@') >= 0 {
		s = hashes.ReplaceAllString(s, "$1@#")
	}
	if strings.IndexByte(s, '$') >= 0 {
		s = lambdas.ReplaceAllString(s, "$$$$Lambda#")
		s = proxies.ReplaceAllString(s, "$$Proxy#")
	}
	if strings.Contains(s, "0x") {
		s = address.ReplaceAllString(s, "0x#")
	}
	return s
}

// show is a value for people.
func show(v any) string {
	if v == missing {
		return "(nothing)"
	}
	b, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	return cut(string(b))
}

type nothing struct{}

var missing any = nothing{}

// whole is a value as one text; the keys of objects are in order.
func whole(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return normal(string(b))
}
