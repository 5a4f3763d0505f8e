package guest

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
)

// quiet takes what net/http says of broken requests: a hostile guest must not fill the log.
var quiet = log.New(io.Discard, "", 0)

// Proxy returns a handler that passes requests of the outside to a web function: method, path,
// query, Host and body as they are, each chunk of the answer flushed as it comes, upgrades
// (websockets) included. It adds Forwarded (RFC 7239) and X-Forwarded-For, -Host and -Proto, as Knative's
// runtime contract asks, and removes what an untrusted client said in them. failed answers
// when the function did not.
func Proxy(to http.RoundTripper, failed func(http.ResponseWriter, *http.Request, error)) http.Handler {
	return &httputil.ReverseProxy{
		Transport:     to,
		FlushInterval: -1,
		ErrorHandler:  failed,
		ErrorLog:      quiet,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = "http", "sandbox"
			p.Out.Host = p.In.Host
			p.SetXForwarded()
			p.Out.Header.Set("Forwarded", forwarded(p.In))
			if _, ok := p.In.Header["User-Agent"]; !ok {
				p.Out.Header["User-Agent"] = nil // the transport would add its own
			}
		},
	}
}

// forwarded is the one element that this hop adds.
func forwarded(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = "unknown"
	}
	if strings.Contains(host, ":") {
		host = `"[` + host + `]"`
	}
	proto := "http"
	if r.TLS != nil {
		proto = "https"
	}
	return "for=" + host + ";host=" + quote(r.Host) + ";proto=" + proto
}

// quote makes a quoted-string of RFC 9110.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
