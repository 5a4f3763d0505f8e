// Package urlevent translates between HTTP and the events of Lambda function URLs, payload
// format 2.0 (https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html).
//
// It is pure translation: it knows no functions and no platform.
package urlevent

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
)

// ErrTooLarge is returned for a request whose body is over the limit.
var ErrTooLarge = errors.New("the request's body is too large")

// ErrInvalid is returned for an answer that is no HTTP response.
var ErrInvalid = errors.New("the function's answer is no HTTP response")

// Context is what an event says that the request does not.
type Context struct {
	RequestID, URLID, Account string
	// StripPrefix is taken off the path.
	StripPrefix string
	// MaxBody is the most bytes of a body.
	MaxBody int64
}

// FromRequest makes the event of a request.
func FromRequest(r *http.Request, c Context) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, c.MaxBody+1))
	if err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	if int64(len(body)) > c.MaxBody {
		return nil, ErrTooLarge
	}
	now := time.Now().UTC()
	path := strings.TrimPrefix(r.URL.EscapedPath(), c.StripPrefix)
	if path == "" {
		path = "/"
	}
	host := r.Host
	source, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		source = r.RemoteAddr
	}
	event := events.LambdaFunctionURLRequest{
		Version: "2.0", RawPath: path, RawQueryString: r.URL.RawQuery,
		Headers: headers(r), QueryStringParameters: query(r.URL.RawQuery),
		RequestContext: events.LambdaFunctionURLRequestContext{
			AccountID: "anonymous", RequestID: c.RequestID, APIID: c.URLID, DomainName: host, DomainPrefix: c.URLID,
			Time: now.Format("02/Jan/2006:15:04:05 -0700"), TimeEpoch: now.UnixMilli(),
			HTTP: events.LambdaFunctionURLRequestContextHTTPDescription{
				Method: r.Method, Path: path, Protocol: r.Proto, SourceIP: source, UserAgent: r.UserAgent(),
			},
		},
	}
	for _, cookie := range r.Cookies() {
		event.Cookies = append(event.Cookies, cookie.Name+"="+cookie.Value)
	}
	if isText(r.Header.Get("Content-Type")) && utf8.Valid(body) {
		event.Body = string(body)
	} else if len(body) > 0 {
		event.Body, event.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
	}
	return encode(event)
}

// encode adds the two constants that the events package has no fields for.
func encode(event events.LambdaFunctionURLRequest) ([]byte, error) {
	b, err := json.Marshal(struct {
		RouteKey string `json:"routeKey"`
		events.LambdaFunctionURLRequest
	}{"$default", event})
	if err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	return b, nil
}

// headers are in lower case, with the values of one name joined by commas.
func headers(r *http.Request) map[string]string {
	out := make(map[string]string, len(r.Header)+3)
	for k, v := range r.Header {
		if k != "Cookie" {
			out[strings.ToLower(k)] = strings.Join(v, ",")
		}
	}
	out["host"] = r.Host
	out["x-forwarded-proto"] = "http"
	if _, port, err := net.SplitHostPort(r.Host); err == nil {
		out["x-forwarded-port"] = port
	}
	if source, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		out["x-forwarded-for"] = source
	}
	return out
}

// query joins the values of one name by commas.
func query(raw string) map[string]string {
	values, _ := url.ParseQuery(raw) // what cannot be read is still in rawQueryString
	if len(values) == 0 {
		return nil
	}
	out := make(map[string]string, len(values))
	for k, v := range values {
		out[k] = strings.Join(v, ",")
	}
	return out
}

// isText reports content that Lambda passes as text and not as base64.
func isText(contentType string) bool {
	t, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return contentType == ""
	}
	return strings.HasPrefix(t, "text/") || t == "application/json" || t == "application/xml" || t == "application/javascript" ||
		t == "application/x-www-form-urlencoded" || strings.HasSuffix(t, "+json") || strings.HasSuffix(t, "+xml")
}

// response is events.LambdaFunctionURLResponse with what tells an HTTP response from any other JSON.
type response struct {
	StatusCode        *int                       `json:"statusCode"`
	Headers           map[string]json.RawMessage `json:"headers"`
	MultiValueHeaders map[string][]string        `json:"multiValueHeaders"`
	Body              json.RawMessage            `json:"body"`
	IsBase64Encoded   bool                       `json:"isBase64Encoded"`
	Cookies           []string                   `json:"cookies"`
}

// Respond writes the answer of a function. One with a statusCode is an HTTP response; any other
// JSON is a body of 200.
func Respond(w http.ResponseWriter, payload []byte) error {
	var res response
	trimmed := bytes.TrimSpace(payload)
	if len(trimmed) == 0 || trimmed[0] != '{' || json.Unmarshal(trimmed, &res) != nil || res.StatusCode == nil {
		body := payload
		var text string
		if len(trimmed) > 0 && trimmed[0] == '"' && json.Unmarshal(trimmed, &text) == nil { // a string is its text, as on Lambda
			body = []byte(text)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write(body) // the caller is gone: nobody to tell
		return nil
	}
	status := *res.StatusCode
	if status < 200 || status > 599 {
		return fmt.Errorf("%w: statusCode %d", ErrInvalid, status)
	}
	body, err := res.body()
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	for k, raw := range res.Headers {
		if hopByHop(k) {
			continue
		}
		h.Set(k, scalar(raw))
	}
	for k, v := range res.MultiValueHeaders {
		if !hopByHop(k) {
			h[http.CanonicalHeaderKey(k)] = v
		}
	}
	for _, c := range res.Cookies {
		h.Add("Set-Cookie", c)
	}
	w.WriteHeader(status)
	if status != http.StatusNoContent && status != http.StatusNotModified {
		_, _ = w.Write(body)
	}
	return nil
}

func (r *response) body() ([]byte, error) {
	if len(r.Body) == 0 || string(r.Body) == "null" {
		return nil, nil
	}
	var text string
	if err := json.Unmarshal(r.Body, &text); err != nil {
		return r.Body, nil // an object: its JSON
	}
	if !r.IsBase64Encoded {
		return []byte(text), nil
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%w: body is not base64", ErrInvalid)
	}
	return b, nil
}

// scalar is the text of a header's value, which may be a string, a number or a boolean.
func scalar(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(raw)
}

// hopByHop headers are the server's own.
func hopByHop(name string) bool {
	switch strings.ToLower(name) {
	case "connection", "content-length", "keep-alive", "transfer-encoding", "upgrade", "trailer", "te", "proxy-connection":
		return true
	}
	return false
}

// ToRequest makes the HTTP request that an event of payload format 2.0 describes; false if the
// document is no such event.
func ToRequest(event []byte) (method, target string, header http.Header, body []byte, ok bool) {
	var e events.LambdaFunctionURLRequest
	if json.Unmarshal(event, &e) != nil || e.Version != "2.0" || e.RequestContext.HTTP.Method == "" {
		return "", "", nil, nil, false
	}
	header = http.Header{}
	for k, v := range e.Headers {
		if !hopByHop(k) && !strings.EqualFold(k, "host") {
			header.Set(k, v)
		}
	}
	if len(e.Cookies) > 0 {
		header.Set("Cookie", strings.Join(e.Cookies, "; "))
	}
	body = []byte(e.Body)
	if e.IsBase64Encoded {
		b, err := base64.StdEncoding.DecodeString(e.Body)
		if err != nil {
			return "", "", nil, nil, false
		}
		body = b
	}
	target = e.RawPath
	if !strings.HasPrefix(target, "/") {
		target = "/" + target
	}
	if e.RawQueryString != "" {
		target += "?" + e.RawQueryString
	}
	return e.RequestContext.HTTP.Method, target, header, body, true
}

// FromResponse makes the answer of payload format 2.0 that an HTTP response is.
func FromResponse(status int, header http.Header, body []byte) ([]byte, error) {
	out := events.LambdaFunctionURLResponse{StatusCode: status, Headers: map[string]string{}}
	for k, v := range header {
		switch {
		case k == "Set-Cookie":
			out.Cookies = v
		case !hopByHop(k):
			out.Headers[strings.ToLower(k)] = strings.Join(v, ",")
		}
	}
	if utf8.Valid(body) {
		out.Body = string(body)
	} else {
		out.Body, out.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
	}
	b, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("encode answer: %w", err)
	}
	return b, nil
}
