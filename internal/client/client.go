// Package client speaks to a CloudJIT server: the Lambda API and CloudJIT's own resources. The
// command line and the experiments stand on it, and so see what every user sees. It must not
// print anything nor know what its callers want it for.
package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Client of one server. Requests are signed when AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are set.
type Client struct {
	endpoint string
	http     *http.Client
	key      aws.Credentials
	region   string
}

// Error is an answer that is not 2xx.
type Error struct {
	Status  int
	Code    string
	Message string
}

func (e *Error) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("%s (status %d)", e.Code, e.Status)
	}
	return e.Message + " (" + e.Code + ")"
}

// UnreachableError means that no server answered.
type UnreachableError struct {
	endpoint string
	err      error
}

func (e *UnreachableError) Error() string {
	return "no server answers at " + e.endpoint + ": " + e.err.Error()
}
func (e *UnreachableError) Unwrap() error { return e.err }
func (e *UnreachableError) Hint() string {
	return "Start one with \"cloudjit serve\", or name another with --endpoint or CLOUDJIT_ENDPOINT."
}

// New makes the client of a server; the environment's AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
// AWS_REGION and AWS_CA_BUNDLE are used.
func New(endpoint string) (*Client, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("endpoint %q: want http://HOST:PORT", endpoint)
	}
	region := os.Getenv("AWS_REGION")
	if region == "" {
		region = "us-east-1"
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 256 // bursts go to one host
	if file := os.Getenv("AWS_CA_BUNDLE"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("AWS_CA_BUNDLE: %w", err)
		}
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("AWS_CA_BUNDLE: %s has no certificate in PEM", file)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
		transport.ForceAttemptHTTP2 = true
	}
	return &Client{
		endpoint: strings.TrimSuffix(endpoint, "/"),
		http:     &http.Client{Transport: transport},
		key: aws.Credentials{AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
			SessionToken: os.Getenv("AWS_SESSION_TOKEN")},
		region: region,
	}, nil
}

// Do sends a request and returns an answer of 2xx, whose body the caller closes.
func (c *Client) Do(ctx context.Context, method, path string, header http.Header, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.endpoint+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	if c.key.HasKeys() {
		// A number that is signed: of two requests with the same words in the same second, the second would
		// be taken for the first one sent again.
		req.Header.Set("Amz-Sdk-Invocation-Id", rand.Text())
		sum := sha256.Sum256(body)
		if err := v4.NewSigner().SignHTTP(ctx, c.key, req, hex.EncodeToString(sum[:]), "lambda", c.region, time.Now()); err != nil {
			return nil, fmt.Errorf("sign request: %w", err)
		}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			return nil, &UnreachableError{c.endpoint, op.Err}
		}
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode/100 != 2 {
		defer resp.Body.Close()
		return nil, readError(resp)
	}
	return resp, nil
}

// Call sends in, if not nil, as JSON and reads the answer into out, if not nil.
func (c *Client) Call(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	header := http.Header{}
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		body = b
		header.Set("Content-Type", "application/json")
	}
	resp, err := c.Do(ctx, method, path, header, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		_, err := io.Copy(io.Discard, resp.Body)
		return err
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("%s %s: read answer: %w", method, path, err)
	}
	return nil
}

func readError(resp *http.Response) error {
	e := &Error{Status: resp.StatusCode, Code: resp.Header.Get("X-Amzn-ErrorType")}
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	var doc struct {
		Message string `json:"message"` // encoding/json matches "Message" too
		Code    string `json:"code"`
	}
	if json.Unmarshal(b, &doc) == nil {
		e.Message = doc.Message
		if e.Code == "" {
			e.Code = doc.Code
		}
	}
	if e.Code == "" {
		e.Code = http.StatusText(resp.StatusCode)
	}
	return e
}

// FunctionPath is the path of a function in the Lambda API.
func FunctionPath(name string) string { return "/2015-03-31/functions/" + url.PathEscape(name) }

// Endpoint is the server's URL, without a slash at its end.
func (c *Client) Endpoint() string { return c.endpoint }

// HTTP is the client that requests go through; requests sent with it directly are not signed.
func (c *Client) HTTP() *http.Client { return c.http }
