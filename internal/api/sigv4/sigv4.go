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
	// ErrUsed: it was accepted before, or may have been.
	ErrUsed = errors.New("The signature was used before: sign each request again")
	// ErrSame: another request was signed in the same second in the same words. Signed again a second
	// later it is another one.
	ErrSame = errors.New("Another request had the same signature: sign again, a second later")
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
	// Service and Region are what requests must be signed for.
	Service, Region string
	// Secrets by access key.
	Secrets map[string]string
}

// Claim is what a request says of its signature. It proves nothing before Check.
type Claim struct {
	// Key is the access key: one that the verifier knows.
	Key string
	// BodySHA256 is what the request says its body's hash is, hex; empty: it says nothing.
	BodySHA256 string
	// At is when it was signed, Until how long that holds.
	At, Until time.Time

	request       *http.Request
	secret        string
	scope         [3]string // date, region, service
	signedHeaders []string
	signature     string
	presigned     bool
	expires       time.Duration
}

// Claim reads a request's signature and checks all of it that needs neither the body nor a calculation:
// the key is known, the time is right, it is for this service and region, and nothing that it could mean
// something else with is unsigned.
func (v *Verifier) Claim(r *http.Request, now time.Time) (*Claim, error) {
	c, err := read(r)
	if err != nil {
		return nil, err
	}
	c.request = r
	var ok bool
	if c.secret, ok = v.Secrets[c.Key]; !ok {
		return nil, ErrUnknownKey
	}
	if service := c.scope[2]; service != v.Service {
		return nil, fmt.Errorf("%w: Credential should be scoped to correct service: '%s'", ErrMismatch, v.Service)
	}
	if region := c.scope[1]; region != v.Region {
		return nil, fmt.Errorf("%w: Credential should be scoped to a valid region, '%s', not '%.40s'", ErrMismatch, v.Region, region)
	}
	if err := c.checkTime(now); err != nil {
		return nil, err
	}
	if !slices.Contains(c.signedHeaders, "host") {
		return nil, fmt.Errorf("%w: 'host' must be a signed header", ErrMismatch)
	}
	for name := range r.Header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-amz-") && !slices.Contains(c.signedHeaders, lower) {
			return nil, fmt.Errorf("%w: '%.80s' must be a signed header", ErrMismatch, lower)
		}
	}
	c.BodySHA256 = r.Header.Get("X-Amz-Content-Sha256")
	return c, nil
}

// Check says whether the claim's signature is right for a body with a hash, hex. Where the request says
// what the hash is, that one proves who sent it before the body has come; whether the body has that hash
// is to be checked as well then.
func (c *Claim) Check(bodySHA256 string) error {
	if c.BodySHA256 != "" && c.BodySHA256 != bodySHA256 {
		return fmt.Errorf("%w (the body is not what X-Amz-Content-Sha256 says)", ErrMismatch)
	}
	if !hmac.Equal([]byte(c.sign(canonical(c.request, c, bodySHA256))), []byte(c.signature)) {
		return ErrMismatch
	}
	return nil
}

// read finds the signature of a request, without trusting it.
func read(r *http.Request) (*Claim, error) {
	if h := r.Header.Get("Authorization"); h != "" {
		return readHeader(r, h)
	}
	if r.URL.RawQuery != "" && strings.Contains(r.URL.RawQuery, "X-Amz-Signature") {
		return readQuery(r.URL.Query())
	}
	return nil, ErrMissing
}

func readHeader(r *http.Request, h string) (*Claim, error) {
	rest, ok := strings.CutPrefix(h, algorithm+" ")
	if !ok {
		return nil, fmt.Errorf("%w: want %s", ErrMalformed, algorithm)
	}
	c := new(Claim)
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Credential":
			if err := c.readScope(value); err != nil {
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

func readQuery(q url.Values) (*Claim, error) {
	c := &Claim{presigned: true, signature: q.Get("X-Amz-Signature"), signedHeaders: strings.Split(q.Get("X-Amz-SignedHeaders"), ";")}
	if q.Get("X-Amz-Algorithm") != algorithm {
		return c, fmt.Errorf("%w: want %s", ErrMalformed, algorithm)
	}
	seconds, err := strconv.Atoi(q.Get("X-Amz-Expires"))
	if err != nil || seconds < 1 || time.Duration(seconds)*time.Second > maxPresign {
		return c, fmt.Errorf("%w: X-Amz-Expires", ErrMalformed)
	}
	c.expires = time.Duration(seconds) * time.Second
	if err := c.readScope(q.Get("X-Amz-Credential")); err != nil {
		return c, err
	}
	return c, c.finish(q.Get("X-Amz-Date"))
}

// readScope reads KEY/DATE/REGION/SERVICE/aws4_request; a key may contain slashes.
func (c *Claim) readScope(credential string) error {
	parts := strings.Split(credential, "/")
	n := len(parts)
	if n < 5 || parts[n-1] != terminator {
		return fmt.Errorf("%w: Credential", ErrMalformed)
	}
	c.Key = strings.Join(parts[:n-4], "/")
	c.scope = [3]string(parts[n-4 : n-1])
	return nil
}

func (c *Claim) finish(date string) error {
	at, err := time.Parse(timeFormat, date)
	if err != nil {
		return fmt.Errorf("%w: X-Amz-Date", ErrMalformed)
	}
	c.At, c.Until = at, at.Add(MaxSkew)
	if c.presigned {
		c.Until = at.Add(c.expires)
	}
	if c.Key == "" || c.signature == "" || len(c.signedHeaders) == 0 || len(c.signedHeaders) > maxHeaders || c.scope[0] != at.Format("20060102") {
		return fmt.Errorf("%w: a part of it is missing", ErrMalformed)
	}
	return nil
}

func (c *Claim) checkTime(now time.Time) error {
	if now.Before(c.At.Add(-MaxSkew)) || now.After(c.Until) {
		return fmt.Errorf("%w: %s is not within the allowed time of %s", ErrExpired, c.At.Format(timeFormat), now.UTC().Format(timeFormat))
	}
	return nil
}

// canonical is the canonical request.
func canonical(r *http.Request, c *Claim, hash string) string {
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
func (c *Claim) sign(request string) string {
	sum := sha256.Sum256([]byte(request))
	text := strings.Join([]string{
		algorithm, c.At.Format(timeFormat), strings.Join([]string{c.scope[0], c.scope[1], c.scope[2], terminator}, "/"), hex.EncodeToString(sum[:]),
	}, "\n")
	key := []byte("AWS4" + c.secret)
	for _, part := range []string{c.scope[0], c.scope[1], c.scope[2], terminator, text} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return hex.EncodeToString(key)
}
