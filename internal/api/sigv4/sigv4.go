// Package sigv4 verifies requests that were signed with AWS Signature Version 4
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html), in the
// Authorization header or, presigned, in the query.
//
// It reads no body and no clock: it is told the body's hash and the time. It must not know what
// the requests are for.
package sigv4

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Errors that a verification ends with.
var (
	// ErrMissing: the request is not signed.
	ErrMissing = errors.New("Missing Authentication Token") // AWS's words, for the client
	// ErrMalformed: it is signed in a way that cannot be read.
	ErrMalformed = errors.New("the request's signature is malformed")
	// ErrUnknownKey: nobody has this access key.
	ErrUnknownKey = errors.New("The security token included in the request is invalid.") // AWS's words
	// ErrMismatch: the signature is another than the one calculated.
	ErrMismatch = errors.New("The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.") // AWS's words
	// ErrExpired: it was signed too long ago, or in the future.
	ErrExpired = errors.New("Signature expired") // AWS's words
)

// MaxSkew is how far a request's time may be from ours.
const MaxSkew = 5 * time.Minute

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
	timeFormat = "20060102T150405Z"
	maxPresign = 7 * 24 * time.Hour
	maxHeaders = 100
)

// Verifier holds the keys.
type Verifier struct {
	// Service is the name that requests must be signed for.
	Service string
	// Secrets by access key.
	Secrets map[string]string
}

// claim is what a request says of its signature.
type claim struct {
	key, date, region, service string
	signedHeaders              []string
	signature                  string
	at                         time.Time
	presigned                  bool
	expires                    time.Duration
}

// Verify returns the access key that signed r. bodySHA256 is the hex hash of its body, asked for
// when all that is cheaper to check was right.
func (v *Verifier) Verify(r *http.Request, now time.Time, bodySHA256 func() (string, error)) (string, error) {
	c, err := read(r)
	if err != nil {
		return "", err
	}
	secret, ok := v.Secrets[c.key]
	if !ok {
		return "", ErrUnknownKey
	}
	if c.service != v.Service {
		return "", fmt.Errorf("%w: Credential should be scoped to correct service: '%s'", ErrMismatch, v.Service)
	}
	if err := c.checkTime(now); err != nil {
		return "", err
	}
	if !slices.Contains(c.signedHeaders, "host") {
		return "", fmt.Errorf("%w: 'host' must be a signed header", ErrMismatch)
	}
	hash, err := bodySHA256()
	if err != nil {
		return "", err
	}
	if stated := r.Header.Get("X-Amz-Content-Sha256"); stated != "" && stated != hash {
		return "", fmt.Errorf("%w (the body is not what X-Amz-Content-Sha256 says)", ErrMismatch)
	}
	want := c.sign(secret, canonical(r, &c, hash))
	if !hmac.Equal([]byte(want), []byte(c.signature)) {
		return "", ErrMismatch
	}
	return c.key, nil
}

// read finds the signature of a request, without trusting it.
func read(r *http.Request) (claim, error) {
	if h := r.Header.Get("Authorization"); h != "" {
		return readHeader(r, h)
	}
	if r.URL.RawQuery != "" && strings.Contains(r.URL.RawQuery, "X-Amz-Signature") {
		return readQuery(r.URL.Query())
	}
	return claim{}, ErrMissing
}

func readHeader(r *http.Request, h string) (claim, error) {
	rest, ok := strings.CutPrefix(h, algorithm+" ")
	if !ok {
		return claim{}, fmt.Errorf("%w: want %s", ErrMalformed, algorithm)
	}
	var c claim
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Credential":
			if err := c.scope(value); err != nil {
				return c, err
			}
		case "SignedHeaders":
			c.signedHeaders = strings.Split(value, ";")
		case "Signature":
			c.signature = value
		}
	}
	return c, c.finish(cmp.Or(r.Header.Get("X-Amz-Date"), r.Header.Get("Date")))
}

func readQuery(q url.Values) (claim, error) {
	c := claim{presigned: true, signature: q.Get("X-Amz-Signature"), signedHeaders: strings.Split(q.Get("X-Amz-SignedHeaders"), ";")}
	if q.Get("X-Amz-Algorithm") != algorithm {
		return c, fmt.Errorf("%w: want %s", ErrMalformed, algorithm)
	}
	seconds, err := strconv.Atoi(q.Get("X-Amz-Expires"))
	if err != nil || seconds < 1 || time.Duration(seconds)*time.Second > maxPresign {
		return c, fmt.Errorf("%w: X-Amz-Expires", ErrMalformed)
	}
	c.expires = time.Duration(seconds) * time.Second
	if err := c.scope(q.Get("X-Amz-Credential")); err != nil {
		return c, err
	}
	return c, c.finish(q.Get("X-Amz-Date"))
}

// scope reads KEY/DATE/REGION/SERVICE/aws4_request; a key may contain slashes.
func (c *claim) scope(credential string) error {
	parts := strings.Split(credential, "/")
	n := len(parts)
	if n < 5 || parts[n-1] != terminator {
		return fmt.Errorf("%w: Credential", ErrMalformed)
	}
	c.key = strings.Join(parts[:n-4], "/")
	c.date, c.region, c.service = parts[n-4], parts[n-3], parts[n-2]
	return nil
}

func (c *claim) finish(date string) error {
	at, err := time.Parse(timeFormat, date)
	if err != nil {
		return fmt.Errorf("%w: X-Amz-Date", ErrMalformed)
	}
	c.at = at
	if c.key == "" || c.signature == "" || len(c.signedHeaders) == 0 || len(c.signedHeaders) > maxHeaders || c.date != at.Format("20060102") {
		return fmt.Errorf("%w: a part of it is missing", ErrMalformed)
	}
	return nil
}

func (c *claim) checkTime(now time.Time) error {
	early := c.at.Add(-MaxSkew)
	late := c.at.Add(MaxSkew)
	if c.presigned {
		late = c.at.Add(c.expires)
	}
	if now.Before(early) || now.After(late) {
		return fmt.Errorf("%w: %s is not within the allowed time of %s", ErrExpired, c.at.Format(timeFormat), now.UTC().Format(timeFormat))
	}
	return nil
}

// canonical is the canonical request.
func canonical(r *http.Request, c *claim, hash string) string {
	var b strings.Builder
	b.WriteString(r.Method + "\n" + canonicalPath(r.URL) + "\n" + canonicalQuery(r.URL, c.presigned) + "\n")
	for _, name := range c.signedHeaders {
		b.WriteString(name + ":" + headerValue(r, name) + "\n")
	}
	b.WriteString("\n" + strings.Join(c.signedHeaders, ";") + "\n" + hash)
	return b.String()
}

// canonicalPath escapes the path as it was sent once more, as all services but S3 have it.
func canonicalPath(u *url.URL) string {
	p := u.EscapedPath()
	if p == "" {
		return "/"
	}
	clean := path.Clean(p)
	if strings.HasSuffix(p, "/") && clean != "/" {
		clean += "/"
	}
	return escape(clean, true)
}

// canonicalQuery sorts the parameters by their escaped names, then values.
func canonicalQuery(u *url.URL, presigned bool) string {
	var pairs [][2]string
	for part := range strings.SplitSeq(u.RawQuery, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		name, value = reescape(name), reescape(value)
		if presigned && name == "X-Amz-Signature" {
			continue
		}
		pairs = append(pairs, [2]string{name, value})
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	var b strings.Builder
	for i, p := range pairs {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p[0] + "=" + p[1])
	}
	return b.String()
}

func reescape(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return escape(plain, false)
	}
	return s
}

// escape writes all but unreserved characters as %XX (RFC 3986).
func escape(s string, keepSlash bool) string {
	const hexDigits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.' || c == '~' || c == '/' && keepSlash {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', hexDigits[c>>4], hexDigits[c&15]})
	}
	return b.String()
}

// headerValue is a header's values joined, trimmed, and with runs of spaces as one.
func headerValue(r *http.Request, name string) string {
	if name == "host" {
		return r.Host
	}
	values := r.Header.Values(name)
	if len(values) == 0 && name == "content-length" && r.ContentLength >= 0 {
		return strconv.FormatInt(r.ContentLength, 10)
	}
	trimmed := make([]string, len(values))
	for i, v := range values {
		trimmed[i] = strings.Join(strings.Fields(v), " ")
	}
	return strings.Join(trimmed, ",")
}

// sign is the signature of a canonical request.
func (c *claim) sign(secret, request string) string {
	sum := sha256.Sum256([]byte(request))
	text := strings.Join([]string{
		algorithm, c.at.Format(timeFormat), strings.Join([]string{c.date, c.region, c.service, terminator}, "/"), hex.EncodeToString(sum[:]),
	}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range []string{c.date, c.region, c.service, terminator, text} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return hex.EncodeToString(key)
}
