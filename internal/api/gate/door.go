package gate

import (
	"cmp"
	"net"
	"net/http"
	"strings"

	"github.com/cloudjit/cloudjit/internal/config"
)

// Which names requests may be sent to, and which web pages may send them. Both are about browsers, which
// carry requests of pages of anybody to whatever they can reach.

// doors are the names and pages that are let in beside the server's own.
type doors struct {
	hosts    map[string]bool
	anyHost  bool
	origins  map[string]bool
	insecure bool
}

func newDoors(opt *Options) doors {
	d := doors{hosts: map[string]bool{}, origins: map[string]bool{}, insecure: opt.Insecure}
	for _, h := range opt.Hosts {
		d.hosts[strings.ToLower(h)] = true
		d.anyHost = d.anyHost || h == "*"
	}
	for _, o := range opt.Origins {
		d.origins[strings.ToLower(o)] = true
	}
	return d
}

// checkHost refuses requests to a name that is not the server's: one that was made to lead here (DNS
// rebinding) makes a foreign page the server's own in a browser's eyes.
func (d *doors) checkHost(r *http.Request, host string) error {
	if d.insecure || d.anyHost {
		return nil
	}
	name := hostname(host)
	if name == "" || config.Loopback(name) || d.hosts[strings.ToLower(name)] {
		return nil
	}
	if ip := net.ParseIP(name); ip != nil {
		if local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok && local.IP.Equal(ip) {
			return nil // the address listened on
		}
	}
	return denied("Requests to the host name %s are not accepted: use localhost or the address that the server listens on, or add the name to hosts in the server's configuration", Clip(name))
}

// hostname is a Host header without its port.
func hostname(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.TrimSuffix(strings.Trim(host, "[]"), ".")
}

// OwnOrigin is the origin of the pages that the server itself serves under the name it was called by.
func OwnOrigin(r *http.Request) string { return Scheme(r) + "://" + strings.ToLower(r.Host) }

func Scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

// UIPath is where the server's own pages are; others may link to them.
const UIPath = "/ui/"

// checkPage refuses what a web page of somebody else makes a browser send. What no browser sent has
// neither of the headers. configured says that the page is one of those in the configuration.
func (d *doors) checkPage(r *http.Request) (configured bool, err error) {
	for _, o := range r.Header["Origin"] {
		o = strings.ToLower(o)
		if o == OwnOrigin(r) {
			continue
		}
		if !d.origins[o] {
			return false, denied("Requests from the web page %s are not accepted: add it to origins in the server's configuration if it may use everything here", Clip(o))
		}
		configured = true
	}
	if configured {
		return true, nil
	}
	for _, site := range r.Header["Sec-Fetch-Site"] {
		switch {
		case site == "same-origin", site == "none": // none: the user's own doing
		case r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document" &&
			(r.URL.Path == "/" || strings.HasPrefix(r.URL.Path, UIPath)):
		default:
			return false, denied("Requests from web pages of other sites are not accepted (Sec-Fetch-Site: %s)", Clip(site))
		}
	}
	return false, nil
}

// shareWith tells a browser that a configured page may read the answer, and reports whether it answered
// the request, a preflight (https://fetch.spec.whatwg.org/#cors-protocol).
func shareWith(w http.ResponseWriter, r *http.Request) bool {
	h := w.Header()
	h.Add("Vary", "Origin")
	h.Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
	if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
		h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE")
		h.Set("Access-Control-Allow-Headers", cmp.Or(r.Header.Get("Access-Control-Request-Headers"), "*"))
		h.Set("Access-Control-Max-Age", "600")
		w.WriteHeader(http.StatusNoContent)
		return true
	}
	h.Set("Access-Control-Expose-Headers", "X-Amz-Executed-Version, X-Amz-Function-Error, X-Amz-Log-Result, X-Amzn-Errortype, X-Amzn-Requestid, X-Cloudjit-Cold, X-Cloudjit-Rung")
	return false
}

func denied(format string, args ...any) *Error {
	return Fault(http.StatusForbidden, "AccessDeniedException", format, args...)
}
