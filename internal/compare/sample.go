// Package compare says whether two rungs answer alike: it holds what a revision was asked, what it
// answered, and judges the answers of an artifact by those of the first rung.
//
// What differs from run to run of the first rung alone (times, random identifiers, order) is learnt from those
// runs and not compared. The package is pure: it runs nothing and knows no workers, files or clocks.
package compare

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"

	"github.com/cloudjit/cloudjit/internal/function"
)

// MaxSample is the size in bytes of a question with its answer, at most.
const MaxSample = 256 << 10

// Bounds of the samples that users give: how many, and their size together in bytes.
const (
	MaxOwn      = 100
	MaxOwnBytes = 4 << 20
)

// Sample is one question and, if it was asked in service, its answer.
type Sample struct {
	// Digest is the hex SHA-256 of what makes the question: the payload, or method, path and body.
	Digest string `json:"digest"`
	// At is when it was asked, Rung who answered, and Took how long that took. Empty of a user's own.
	At   time.Time     `json:"at,omitzero"`
	Rung function.Rung `json:"rung,omitempty"`
	Took time.Duration `json:"took,omitempty"`
	// First: who answered was the first rung.
	First bool `json:"first,omitempty"`
	// Differed: an artifact answered it otherwise than the first rung. It is asked in every later check.
	Differed bool `json:"differed,omitempty"`
	// Own: the user gave it.
	Own bool `json:"own,omitempty"`

	// Of an invocation.
	Payload       []byte `json:"payload,omitempty"`
	FunctionARN   string `json:"functionArn,omitempty"`
	TraceID       string `json:"traceId,omitempty"`
	ClientContext string `json:"clientContext,omitempty"`
	Identity      string `json:"identity,omitempty"`
	// Request of a web application; nil: it is an invocation.
	Request *Request `json:"request,omitempty"`

	// Answer in service; nil: it was not asked there.
	Answer *Answer `json:"answer,omitempty"`
}

// Request is a request to a web application.
type Request struct {
	Method string      `json:"method"`
	URI    string      `json:"uri"` // path and query
	Host   string      `json:"host,omitempty"`
	Header http.Header `json:"header,omitempty"`
	Body   []byte      `json:"body,omitempty"`
}

// Answer is how a question ended.
type Answer struct {
	// Outcome is ok or handler-error; crashed, timeout and the like are answers, too.
	Outcome function.Outcome `json:"outcome"`
	// Exit is how the runtime ended, if it did: "exit status 1".
	Exit string `json:"exit,omitempty"`
	// Status and Header are those of a web application.
	Status int         `json:"status,omitempty"`
	Header http.Header `json:"header,omitempty"`
	Body   []byte      `json:"body,omitempty"`
	// Digest and Size stand for a body that is too large to be kept.
	Digest string `json:"digest,omitempty"`
	Size   int64  `json:"size,omitempty"`
}

// Seal fills in the digest.
func (s *Sample) Seal() {
	h := sha256.New()
	if r := s.Request; r != nil {
		fmt.Fprintf(h, "%s %s\n", r.Method, r.URI)
		h.Write(r.Body)
	} else {
		h.Write(s.Payload)
	}
	s.Digest = hex.EncodeToString(h.Sum(nil))
}

// Safe reports whether the question should change nothing, so that it may be asked more often than a client did. Of a request its
// method says that (RFC 9110, 9.2.1); of an invocation nothing is known.
func (s *Sample) Safe() bool {
	if s.Request == nil {
		return true
	}
	switch s.Request.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return true
	}
	return false
}

// Size is that of the question and the answer, bytes, roughly.
func (s *Sample) Size() int {
	n := len(s.Payload) + len(s.FunctionARN) + len(s.TraceID) + len(s.ClientContext) + len(s.Identity)
	if r := s.Request; r != nil {
		n += len(r.Method) + len(r.URI) + len(r.Host) + len(r.Body) + headerSize(r.Header)
	}
	if a := s.Answer; a != nil {
		n += len(a.Body) + headerSize(a.Header)
	}
	return n
}

func headerSize(h http.Header) (n int) {
	for name, values := range h {
		for _, v := range values {
			n += len(name) + len(v)
		}
	}
	return n
}

// SetBody keeps a body, or what stands for it if it is too large.
func (a *Answer) SetBody(body []byte) {
	if len(body) <= MaxSample {
		a.Body = body
		return
	}
	sum := sha256.Sum256(body)
	a.Digest, a.Size = hex.EncodeToString(sum[:]), int64(len(body))
}

// ownRequest is how users write a request.
type ownRequest struct {
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers"`
	// Body is text; Base64 is for any other.
	Body   *string `json:"body"`
	Base64 []byte  `json:"bodyBase64"`
}

// ParseOwn reads the samples of a user: JSON Lines, each line a payload, or of a web application an object with
// path and maybe method, headers and body. It trusts nothing that it reads; errors name the line.
func ParseOwn(kind function.Kind, r io.Reader) ([]Sample, error) {
	doc, err := io.ReadAll(io.LimitReader(r, MaxOwnBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read samples: %w", err)
	}
	if len(doc) > MaxOwnBytes {
		return nil, fmt.Errorf("samples: more than %d bytes together", MaxOwnBytes)
	}
	doc = bytes.TrimPrefix(doc, []byte("\ufeff")) // what some editors put before UTF-8
	var all []Sample
	seen := map[string]bool{}
	for n, line := range bytes.Split(doc, []byte("\n")) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		wrong := func(format string, args ...any) error {
			return fmt.Errorf("samples, line %d: %s", n+1, fmt.Sprintf(format, args...))
		}
		if len(line) > MaxSample {
			return nil, wrong("%d bytes: want %d at most", len(line), MaxSample)
		}
		if !json.Valid(line) {
			return nil, wrong("not JSON: want one JSON value in each line")
		}
		s := Sample{Own: true}
		if kind == function.KindWeb {
			if s.Request, err = parseRequest(line); err != nil {
				return nil, wrong("%v", err)
			}
		} else {
			s.Payload = bytes.Clone(line)
		}
		s.Seal()
		if seen[s.Digest] {
			continue
		}
		seen[s.Digest] = true
		if all = append(all, s); len(all) > MaxOwn {
			return nil, wrong("more than %d samples", MaxOwn)
		}
	}
	return all, nil
}

func parseRequest(line []byte) (*Request, error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	var own ownRequest
	if err := d.Decode(&own); err != nil {
		return nil, fmt.Errorf(`%w: want {"method":"GET","path":"/...","headers":{},"body":"..."}`, err)
	}
	r := &Request{Method: own.Method, URI: own.Path, Body: own.Base64, Header: http.Header{}}
	if r.Method == "" {
		r.Method = http.MethodGet
	}
	if own.Body != nil {
		if own.Base64 != nil {
			return nil, errors.New("body and bodyBase64: want one of the two")
		}
		r.Body = []byte(*own.Body)
	}
	if !httpguts.ValidHeaderFieldName(r.Method) || strings.EqualFold(r.Method, http.MethodConnect) {
		return nil, fmt.Errorf("method %q: want one as GET", cut(r.Method))
	}
	if !strings.HasPrefix(r.URI, "/") || !utf8.ValidString(r.URI) || strings.ContainsFunc(r.URI, func(c rune) bool { return c <= ' ' || c == 0x7f || c == '#' }) {
		return nil, fmt.Errorf("path %q: want one that begins with /, without spaces", cut(r.URI))
	}
	for name, value := range own.Headers {
		if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return nil, fmt.Errorf("header %q: not one of HTTP", cut(name))
		}
		if strings.EqualFold(name, "Host") {
			r.Host = value
			continue
		}
		r.Header.Set(name, value)
	}
	return r, nil
}
