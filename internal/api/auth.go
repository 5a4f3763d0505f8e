package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/api/sigv4"
	"github.com/cloudjit/cloudjit/internal/config"
)

// authenticator returns what checks a request's signature, nil if there are no credentials to
// check it against. The request it returns has a body that can be read.
func (s *Server) authenticator() func(*http.Request) (*http.Request, error) {
	if len(s.opt.Credentials) == 0 {
		return nil
	}
	v := &sigv4.Verifier{Service: "lambda", Secrets: map[string]string{}}
	for _, c := range s.opt.Credentials {
		v.Secrets[c.AccessKeyID] = c.SecretAccessKey
	}
	return func(r *http.Request) (*http.Request, error) {
		_, err := v.Verify(r, time.Now(), func() (string, error) {
			body, sum, err := hashed(r.Body, s.opt.Limits.Code/3*4+s.opt.Limits.Code/16+maxDocument)
			if err == nil {
				r = r.Clone(r.Context())
				r.Body = body
			}
			return sum, err
		})
		return r, authError(err)
	}
}

func authError(err error) error {
	forbid := func(code string) error { return fault(http.StatusForbidden, code, "%s", err) }
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sigv4.ErrMissing):
		return forbid("MissingAuthenticationTokenException")
	case errors.Is(err, sigv4.ErrMalformed):
		return forbid("IncompleteSignatureException")
	case errors.Is(err, sigv4.ErrUnknownKey):
		return forbid("UnrecognizedClientException")
	case errors.Is(err, sigv4.ErrMismatch), errors.Is(err, sigv4.ErrExpired):
		return forbid("InvalidSignatureException")
	}
	return bodyError(err)
}

// maxSigned is the largest body that is kept in memory while its hash is compared.
const maxSigned = 8 << 20

// hashed reads a body to its end, which a signature needs before anything of it is used, and
// returns it again: from memory, or from a file that has no name any more.
func hashed(body io.ReadCloser, limit int64) (io.ReadCloser, string, error) {
	sum := sha256.New()
	in := io.TeeReader(io.LimitReader(body, limit+1), sum)
	var head bytes.Buffer
	if _, err := io.CopyN(&head, in, maxSigned); errors.Is(err, io.EOF) {
		return io.NopCloser(&head), hex.EncodeToString(sum.Sum(nil)), nil
	} else if err != nil {
		return nil, "", err
	}
	f, err := os.CreateTemp("", "cloudjit-upload-")
	if err != nil {
		return nil, "", fmt.Errorf("keep request: %w", err)
	}
	err = os.Remove(f.Name())
	var n int64
	if err == nil {
		n, err = io.Copy(f, in)
	}
	if err == nil && n+maxSigned > limit {
		err = &http.MaxBytesError{Limit: limit}
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, "", err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(&head, f), f}, hex.EncodeToString(sum.Sum(nil)), nil
}

// checkOrigin refuses what a web page of somebody else makes a browser send to a server that
// asks for no credentials: requests with a foreign Origin, and those to a name that was made to
// lead here (DNS rebinding).
func (s *Server) checkOrigin(r *http.Request) error {
	if s.opt.Insecure {
		return nil
	}
	if origins := r.Header["Origin"]; len(origins) > 0 {
		u, err := url.Parse(origins[0])
		if err != nil || u.Host != r.Host && !local(u.Hostname()) {
			return fault(http.StatusForbidden, "AccessDeniedException", "Requests from the web page %s are not accepted", clip(origins[0]))
		}
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if host != "" && !local(host) {
		return fault(http.StatusForbidden, "AccessDeniedException",
			"Requests to the host name %s are not accepted without credentials: use localhost or an address, configure credentials, or start with --insecure", clip(host))
	}
	return nil
}

// local reports a name of this machine, or an address.
func local(host string) bool {
	return config.Loopback(host) || strings.HasSuffix(host, ".localhost") || net.ParseIP(strings.Trim(host, "[]")) != nil
}

// NewHTTPServer returns an http.Server for h with the limits that a server on a network needs.
// There is no limit on a whole request: invocations take up to 15 minutes, streams as well;
// heads, bodies and idle connections have their own.
func NewHTTPServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       3 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
}
