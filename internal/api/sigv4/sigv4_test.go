package sigv4_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"pgregory.net/rapid"

	"github.com/cloudjit/cloudjit/internal/api/sigv4"
)

var (
	verifier = sigv4.Verifier{Service: "lambda", Region: "us-east-1", Secrets: map[string]string{"AKID": "secret"}}
	key      = aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret"}
)

func sha(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// received is the request as a server sees it after it went over the wire.
func received(t testing.TB, sent *http.Request) (*http.Request, []byte) {
	var got *http.Request
	var body []byte
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		got = r.Clone(context.Background())
	}))
	defer srv.Close()
	u, _ := url.Parse(srv.URL)
	sent.URL.Host = u.Host
	res, err := http.DefaultTransport.RoundTrip(sent)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	return got, body
}

func request(t testing.TB, method, target, body string) *http.Request {
	r, err := http.NewRequest(method, "http://cloudjit.test"+target, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "cloudjit.test:9700"
	return r
}

func sign(t testing.TB, r *http.Request, body, service string, creds aws.Credentials, at time.Time) {
	if err := v4.NewSigner().SignHTTP(context.Background(), creds, r, sha([]byte(body)), service, "us-east-1", at); err != nil {
		t.Fatal(err)
	}
}

func verify(r *http.Request, body []byte, now time.Time) error {
	c, err := verifier.Claim(r, now)
	if err != nil {
		return err
	}
	return c.Check(sha(body))
}

func TestAgreesWithTheSDK(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct{ method, target, body string }{
		{"GET", "/2015-03-31/functions", ""},
		{"GET", "/2015-03-31/functions?MaxItems=50&Marker=a%2Fb%3D&FunctionVersion=ALL", ""},
		{"POST", "/2015-03-31/functions/hello/invocations?Qualifier=%24LATEST", `{"a": 1}`},
		{"DELETE", "/2017-03-31/tags/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Ahello?tagKeys=a+b&tagKeys=A%20c", ""},
		{"GET", "/a%20b/~c/*d", ""},
	} {
		r := request(t, c.method, c.target, c.body)
		r.Header.Set("X-Amz-Client-Context", "  two   spaces ")
		sign(t, r, c.body, "lambda", key, now)
		got, body := received(t, r)
		if err := verify(got, body, now.Add(4*time.Minute)); err != nil {
			t.Errorf("%s %s: %v", c.method, c.target, err)
		}
		if err := verify(got, append(body, 'x'), now); !errors.Is(err, sigv4.ErrMismatch) {
			t.Errorf("%s %s with another body: got %v", c.method, c.target, err)
		}
	}
}

func TestRefuses(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, c := range map[string]struct {
		change func(*http.Request)
		creds  aws.Credentials
		at     time.Time
		want   error
	}{
		"no signature":    {func(r *http.Request) { r.Header.Del("Authorization") }, key, now, sigv4.ErrMissing},
		"basic":           {func(r *http.Request) { r.SetBasicAuth("a", "b") }, key, now, sigv4.ErrMalformed},
		"unknown key":     {nil, aws.Credentials{AccessKeyID: "X", SecretAccessKey: "secret"}, now, sigv4.ErrUnknownKey},
		"wrong secret":    {nil, aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "guess"}, now, sigv4.ErrMismatch},
		"late":            {nil, key, now.Add(-6 * time.Minute), sigv4.ErrExpired},
		"early":           {nil, key, now.Add(6 * time.Minute), sigv4.ErrExpired},
		"another path":    {func(r *http.Request) { r.URL.Path = "/other" }, key, now, sigv4.ErrMismatch},
		"another query":   {func(r *http.Request) { r.URL.RawQuery = "a=b" }, key, now, sigv4.ErrMismatch},
		"another host":    {func(r *http.Request) { r.Host = "elsewhere" }, key, now, sigv4.ErrMismatch},
		"another date":    {func(r *http.Request) { r.Header.Set("X-Amz-Date", "20260102T030406Z") }, key, now, sigv4.ErrMismatch},
		"one more header": {func(r *http.Request) { r.Header.Set("X-Amz-Invocation-Type", "Event") }, key, now, sigv4.ErrMismatch},
		"any other one":   {func(r *http.Request) { r.Header.Set("User-Agent", "another") }, key, now, nil},
		"date is nothing": {func(r *http.Request) { r.Header.Del("X-Amz-Date") }, key, now, sigv4.ErrMalformed},
	} {
		r := request(t, "GET", "/2015-03-31/functions", "")
		sign(t, r, "", "lambda", c.creds, c.at)
		if c.change != nil {
			c.change(r)
		}
		if err := verify(r, nil, now); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	r := request(t, "GET", "/", "")
	sign(t, r, "", "s3", key, now)
	if err := verify(r, nil, now); !errors.Is(err, sigv4.ErrMismatch) {
		t.Errorf("another service: got %v", err)
	}
	r = request(t, "GET", "/", "")
	if err := v4.NewSigner().SignHTTP(t.Context(), key, r, sha(nil), "lambda", "eu-west-1", now); err != nil {
		t.Fatal(err)
	}
	if err := verify(r, nil, now); !errors.Is(err, sigv4.ErrMismatch) || !strings.Contains(err.Error(), "us-east-1") {
		t.Errorf("another region: got %v", err)
	}
}

func TestPresigned(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := request(t, "GET", "/2015-03-31/functions?X-Amz-Expires=60", "")
	signed, header, err := v4.NewSigner().PresignHTTP(t.Context(), key, r, sha(nil), "lambda", "us-east-1", now)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(signed)
	if err != nil {
		t.Fatal(err)
	}
	got := &http.Request{Method: "GET", URL: u, Host: r.Host, Header: header}
	if err := verify(got, nil, now.Add(59*time.Second)); err != nil {
		t.Error(err)
	}
	if err := verify(got, nil, now.Add(61*time.Second)); !errors.Is(err, sigv4.ErrExpired) {
		t.Errorf("after its time: got %v", err)
	}
	if err := verify(got, []byte("x"), now); !errors.Is(err, sigv4.ErrMismatch) {
		t.Errorf("with a body that was not signed: got %v", err)
	}
}

func TestAnyQueryAgrees(t *testing.T) {
	now := time.Now()
	rapid.Check(t, func(t *rapid.T) {
		q := url.Values{}
		for range rapid.IntRange(0, 4).Draw(t, "n") {
			q.Add(rapid.StringN(1, 8, -1).Draw(t, "key"), rapid.StringN(0, 8, -1).Draw(t, "value"))
		}
		r, err := http.NewRequest("GET", "http://h/"+url.PathEscape(rapid.StringN(1, 10, -1).Filter(func(s string) bool { return s != "." && s != ".." }).Draw(t, "path"))+"?"+q.Encode(), nil)
		if err != nil {
			t.Skip()
		}
		if err := v4.NewSigner().SignHTTP(context.Background(), key, r, sha(nil), "lambda", "us-east-1", now); err != nil {
			t.Fatal(err)
		}
		r.Host = "h"
		if err := verify(r, nil, now); err != nil {
			t.Fatalf("%s: %v", r.URL, err)
		}
	})
}

func FuzzVerify(f *testing.F) {
	r := request(f, "GET", "/x?a=b", "")
	sign(f, r, "", "lambda", key, time.Now())
	f.Add(r.Header.Get("Authorization"), "/x?a=b", r.Header.Get("X-Amz-Date"))
	f.Add("AWS4-HMAC-SHA256 Credential=/////,SignedHeaders=;,Signature=", "/?X-Amz-Signature=%zz", "")
	f.Fuzz(func(t *testing.T, authorization, target, date string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			t.Skip()
		}
		r := &http.Request{Method: "GET", URL: u, Host: "h", Header: http.Header{"Authorization": {authorization}, "X-Amz-Date": {date}}}
		other := sigv4.Verifier{Service: "lambda", Region: "us-east-1", Secrets: map[string]string{"AKID": "never used to sign"}}
		if c, err := other.Claim(r, time.Now()); err == nil && c.Check(sha(nil)) == nil {
			t.Fatalf("accepted %q", authorization)
		}
	})
}
