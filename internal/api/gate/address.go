package gate

import (
	"net"
	"net/http"
	"strings"
)

// URLPrefix is where function URLs are served for those who cannot set the Host header.
const URLPrefix = "/cloudjit/v1/urls/"

// CloudJIT's own resources. Their names are in lower camel case, times are RFC 3339, durations
// as Go writes them ("10m0s"); openapi.json describes them all.
const (
	OwnPrefix  = "/cloudjit/v1"
	HealthPath = OwnPrefix + "/health"
	// ProblemsPath is what was lost and repaired.
	ProblemsPath = HealthPath + "/problems"
)

// urlLabel is the second label of a function URL's host.
const urlLabel = "lambda-url"

// urlHost returns the identifier of the function URL that a Host header names, and what of the host is
// the server's name.
func urlHost(host string) (id, base string, ok bool) {
	i := strings.IndexByte(host, '.')
	if i < 1 || !strings.HasPrefix(host[i+1:], urlLabel+".") {
		return "", "", false
	}
	return host[:i], host[i+len(urlLabel)+2:], true
}

// URLOf is the address of a function URL, on the port that the request came to: below localhost, or below
// the name that the server was called by if it is one of the configuration's.
func (s *Gate) URLOf(r *http.Request, id string) string {
	name, port := "localhost", ""
	if h, p, err := net.SplitHostPort(r.Host); err == nil {
		port = ":" + p
		if s.doors.hosts[strings.ToLower(h)] && net.ParseIP(h) == nil {
			name = h
		}
	} else if s.doors.hosts[strings.ToLower(r.Host)] && net.ParseIP(r.Host) == nil {
		name = r.Host
	}
	return Scheme(r) + "://" + id + "." + urlLabel + "." + name + port + "/"
}
