package api_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/api"
	"github.com/cloudjit/cloudjit/internal/audit"
	"github.com/cloudjit/cloudjit/internal/config"
)

// auditLogs are the two logs of a server in a folder.
func auditLogs(t *testing.T, dir string) (changes, invocations *audit.Log) {
	t.Helper()
	var logs [2]*audit.Log
	for i, name := range []string{"audit", "invocations"} {
		l, err := audit.Open(dir, name, 1e6, 2)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		logs[i] = l
	}
	return logs[0], logs[1]
}

// auditLines reads a log: "user action function status error".
func auditLines(t *testing.T, path string) (lines []string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		var e audit.Entry
		if err := json.Unmarshal(sc.Bytes(), &e); err != nil {
			t.Fatalf("%v in %s", err, sc.Text())
		}
		if e.Time.IsZero() || e.Request == "" || e.Address == "" {
			t.Errorf("a line without time, request or address: %s", sc.Text())
		}
		if e.User == "" {
			e.User = "?"
		}
		lines = append(lines, fmt.Sprintf("%s %s %s %d %s", e.User, e.Action, e.Function, e.Status, e.Error))
	}
	return lines
}

// TestOtherWebPagesAreKeptOut: what a page of somebody else makes a browser send, and names that were
// made to lead here.
func TestOtherWebPagesAreKeptOut(t *testing.T) {
	dir := t.TempDir()
	changes, invocations := auditLogs(t, dir)
	f := start(t, func(o *api.Options) {
		o.Hosts, o.Origins = []string{"cloudjit.example.org"}, []string{"https://console.example.org"}
		o.Audit, o.AuditInvocations = changes, invocations
	})
	f.create(t, "hello", "echo")
	own := f.url // http://127.0.0.1:PORT
	port := own[strings.LastIndex(own, ":"):]
	for _, c := range []struct {
		header []string
		status int
	}{
		{nil, 200},
		{[]string{"Origin", own}, 200},
		{[]string{"Origin", "https" + strings.TrimPrefix(own, "http")}, 403},
		{[]string{"Origin", "http://localhost:3000"}, 403},
		{[]string{"Origin", "http://localhost" + port}, 403}, // not the name that it was called by
		{[]string{"Origin", "http://localhost" + port, "Host", "localhost" + port}, 200},
		{[]string{"Origin", "http://127.0.0.1:1"}, 403},
		{[]string{"Origin", "http://192.0.2.7"}, 403},
		{[]string{"Origin", "http://192.0.2.7:9700"}, 403},
		{[]string{"Origin", "https://evil.test"}, 403},
		{[]string{"Origin", "null"}, 403},
		{[]string{"Origin", "http://x.lambda-url.localhost" + port}, 403}, // a function's page
		{[]string{"Origin", "https://console.example.org", "Sec-Fetch-Site", "cross-site"}, 200},
		{[]string{"Origin", "http://console.example.org"}, 403},
		{[]string{"Sec-Fetch-Site", "same-origin"}, 200},
		{[]string{"Sec-Fetch-Site", "none"}, 200},
		{[]string{"Sec-Fetch-Site", "same-site"}, 403},
		{[]string{"Sec-Fetch-Site", "cross-site"}, 403},
		{[]string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, 403}, // the API is no page
		{[]string{"Origin", own, "Sec-Fetch-Site", "cross-site"}, 403},
		{[]string{"Host", "localhost:9700"}, 200},
		{[]string{"Host", "LOCALHOST"}, 200},
		{[]string{"Host", "any.localhost"}, 200},
		{[]string{"Host", "[::1]:9700"}, 200},
		{[]string{"Host", "cloudjit.example.org:9700"}, 200},
		{[]string{"Host", "rebound.evil.test"}, 403},
		{[]string{"Host", "localhost.evil.test"}, 403},
		{[]string{"Host", "192.0.2.7"}, 403},
		{[]string{"Host", "x.cloudjit.example.org"}, 403},
	} {
		for _, r := range []struct {
			method, path string
			good         int
		}{{"GET", functions, 200}, {"POST", functions + "/hello/invocations", 200}, {"DELETE", functions + "/hello/concurrency", 404}, {"GET", "/cloudjit/v1/health", 200}} {
			want := c.status
			if want == 200 {
				want = r.good
			}
			if a := f.do(t, r.method, r.path, "", c.header...); a.Status != want {
				t.Errorf("%s %s %v: got %d, want %d", r.method, r.path, c.header, a.Status, want)
			}
		}
	}
	if lines := strings.Join(auditLines(t, dir+"/audit.jsonl"), "\n"); !strings.Contains(lines, "? POST /2015-03-31/functions/hello/invocations  403 AccessDeniedException") {
		t.Errorf("what was refused is not in the audit log:\n%s", lines)
	}
	if lines := strings.Join(auditLines(t, dir+"/invocations.jsonl"), "\n"); !strings.Contains(lines, "anonymous InvokeFunction hello 200 ") {
		t.Errorf("what ran is not in the audit log:\n%s", lines)
	}

	a := f.do(t, "OPTIONS", functions, "", "Origin", "https://console.example.org", "Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "x-amz-date")
	if a.Status != 204 || a.Header.Get("Access-Control-Allow-Origin") != "https://console.example.org" || a.Header.Get("Access-Control-Allow-Headers") != "x-amz-date" {
		t.Errorf("preflight of a configured page: got %d %v", a.Status, a.Header)
	}
	if a := f.do(t, "OPTIONS", functions, "", "Origin", "https://evil.test", "Access-Control-Request-Method", "PUT"); a.Status != 403 || a.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("preflight of another page: got %d %v", a.Status, a.Header)
	}
	a = f.do(t, "GET", "/ui/", "", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document")
	if a.Status != 404 { // there is no page yet, but it may be linked to
		t.Errorf("a link to the server's pages: got %d", a.Status)
	}

	open := start(t, func(o *api.Options) { o.Insecure = true })
	if a := open.do(t, "GET", functions, "", "Host", "cloudjit.example.org"); a.Status != 200 {
		t.Errorf("insecure: got %d", a.Status)
	}
	if a := open.do(t, "GET", functions, "", "Host", "cloudjit.example.org", "Origin", "https://evil.test"); a.Status != 403 {
		t.Errorf("insecure, from a web page: got %d", a.Status)
	}
}

// TestFunctionURLsAndWebPages: who may use a function's URL from a browser is its owner's matter.
func TestFunctionURLsAndWebPages(t *testing.T) {
	f := start(t)
	path := f.webFunction(t, "web", 1e9, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'self'")
		_, _ = w.Write([]byte("page"))
	})
	id := path[strings.LastIndex(path, "/")+1:]
	host := id + ".lambda-url.localhost"
	if a := f.do(t, "POST", path, "", "Origin", "https://any.test"); a.Status != 200 {
		t.Errorf("without settings: got %d", a.Status)
	}
	if a := f.do(t, "PUT", "/2021-10-31/functions/web/url", `{"Cors":{"AllowOrigins":["https://shop.example.org"]}}`); a.Status != 200 {
		t.Fatalf("set: %d %s", a.Status, a.Body)
	}
	for _, c := range []struct {
		header []string
		status int
		allow  string
	}{
		{nil, 200, ""},
		{[]string{"Origin", "https://shop.example.org"}, 200, "https://shop.example.org"},
		{[]string{"Origin", "http://" + host, "Host", host}, 200, ""}, // its own page
		{[]string{"Origin", "https://evil.test"}, 403, ""},
		{[]string{"Host", id + ".lambda-url.evil.test"}, 403, ""},
	} {
		target := path
		if len(c.header) > 2 {
			target = "/"
		}
		if a := f.do(t, "POST", target, "", c.header...); a.Status != c.status || a.Header.Get("Access-Control-Allow-Origin") != c.allow {
			t.Errorf("%v: got %d, allowed %q", c.header, a.Status, a.Header.Get("Access-Control-Allow-Origin"))
		}
	}
	if a := f.do(t, "GET", path, "", "Origin", "https://evil.test"); a.Status != 200 || a.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a page that only looks: got %d %v", a.Status, a.Header)
	}
	// At the server's own origin a function's page must not be one of the server's.
	a := f.do(t, "GET", path, "")
	if got := a.Header["Content-Security-Policy"]; len(got) != 2 || !strings.Contains(strings.Join(got, ";"), "sandbox") || strings.Contains(strings.Join(got, ";"), "allow-same-origin") {
		t.Errorf("by path: got %q", got)
	}
	if a := f.do(t, "GET", "/", "", "Host", host); len(a.Header["Content-Security-Policy"]) != 1 {
		t.Errorf("by host: got %q", a.Header["Content-Security-Policy"])
	}
	if a := f.do(t, "PUT", "/2021-10-31/functions/web/url", `{"AuthType":"AWS_IAM"}`); a.Status != 200 {
		t.Fatalf("set: %d %s", a.Status, a.Body)
	}
	if a := f.do(t, "GET", path, ""); a.Status != 403 || !strings.Contains(a.Body, "no credentials") {
		t.Errorf("AWS_IAM without credentials: got %d %s", a.Status, a.Body)
	}
}

// With credentials it must not be either: somebody may have signed in to the server's page in that browser.
func TestFunctionsPagesBesideSignedInOnes(t *testing.T) {
	f := start(t, func(o *api.Options) {
		o.Credentials = []config.Credential{{AccessKeyID: "AKID", SecretAccessKey: "secret"}}
	})
	path := f.webFunction(t, "web", time.Second, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Service-Worker-Allowed", "/") })
	if a := f.do(t, "GET", path, ""); a.Status != 200 || !strings.Contains(a.Header.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("got %d %v", a.Status, a.Header)
	}
}
