package api

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/api/sigv4"
	"github.com/cloudjit/cloudjit/internal/audit"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/function"
)

// Who sent a request, and what they may do.

// caller is who a request is from.
type caller struct {
	user, key string
	// allow and functions are what it is limited to; nil: it is not.
	allow, functions []string
}

// anonymous is everybody, where no credentials are asked for.
var anonymous = &caller{user: "anonymous"}

// may reports whether the caller may do a kind of thing, to some function at least.
func (c *caller) may(kind string) bool { return c.allow == nil || slices.Contains(c.allow, kind) }

// owns reports whether a function is one of the caller's.
func (c *caller) owns(name function.Name) bool {
	return c.functions == nil || slices.ContainsFunc(c.functions, func(p string) bool { return matches(p, string(name)) })
}

// matches compares a name with a pattern, in which an asterisk stands for any characters.
func matches(pattern, name string) bool {
	first, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == name
	}
	if !strings.HasPrefix(name, first) {
		return false
	}
	name = name[len(first):]
	for {
		part, after, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(name, part)
		}
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name, rest = name[i+len(part):], after
	}
}

type callerKey struct{}

// callerOf is who sent a request.
func callerOf(ctx context.Context) *caller {
	if c, ok := ctx.Value(callerKey{}).(*caller); ok {
		return c
	}
	return anonymous
}

// refuse is the answer to a caller that may not do something.
func (s *Server) refuse(c *caller, a *action, name function.Name) error {
	resource := "*"
	if name != "" {
		resource = s.arn(name, "")
	}
	return denied("User: %s is not authorized to perform: lambda:%s on resource: %s", c.user, a.name, resource)
}

// action is what a route does: for permissions, for the audit log, for limits of the body.
type action struct {
	name string
	kind string // of config.Actions; empty: the method says
	// platform is true of what concerns all functions: for callers who are not limited to some.
	platform bool
	// audited is true of what stands in the audit log though it only reads.
	audited bool
	// upload is true where an archive may come.
	upload bool
}

// actions names what changes or runs something, what is more than to look, and what AWS has a name for.
var actions = map[string]action{
	"POST /2015-03-31/functions":                                       {name: "CreateFunction", upload: true},
	"DELETE /2015-03-31/functions/{name}":                              {name: "DeleteFunction"},
	"PUT /2015-03-31/functions/{name}/code":                            {name: "UpdateFunctionCode", upload: true},
	"PUT /2015-03-31/functions/{name}/configuration":                   {name: "UpdateFunctionConfiguration"},
	"POST /2015-03-31/functions/{name}/versions":                       {name: "PublishVersion"},
	"POST /2015-03-31/functions/{name}/aliases":                        {name: "CreateAlias"},
	"PUT /2015-03-31/functions/{name}/aliases/{alias}":                 {name: "UpdateAlias"},
	"DELETE /2015-03-31/functions/{name}/aliases/{alias}":              {name: "DeleteAlias"},
	"POST /2015-03-31/functions/{name}/policy":                         {name: "AddPermission"},
	"DELETE /2015-03-31/functions/{name}/policy/{sid}":                 {name: "RemovePermission"},
	"PUT /2017-10-31/functions/{name}/concurrency":                     {name: "PutFunctionConcurrency"},
	"DELETE /2017-10-31/functions/{name}/concurrency":                  {name: "DeleteFunctionConcurrency"},
	"PUT /2019-09-30/functions/{name}/provisioned-concurrency":         {name: "PutProvisionedConcurrencyConfig"},
	"DELETE /2019-09-30/functions/{name}/provisioned-concurrency":      {name: "DeleteProvisionedConcurrencyConfig"},
	"POST /2021-10-31/functions/{name}/url":                            {name: "CreateFunctionUrlConfig"},
	"PUT /2021-10-31/functions/{name}/url":                             {name: "UpdateFunctionUrlConfig"},
	"DELETE /2021-10-31/functions/{name}/url":                          {name: "DeleteFunctionUrlConfig"},
	"POST /2017-03-31/tags/{name}":                                     {name: "TagResource"},
	"DELETE /2017-03-31/tags/{name}":                                   {name: "UntagResource"},
	"PUT /2019-09-25/functions/{name}/event-invoke-config":             {name: "PutFunctionEventInvokeConfig"},
	"POST /2019-09-25/functions/{name}/event-invoke-config":            {name: "UpdateFunctionEventInvokeConfig"},
	"DELETE /2019-09-25/functions/{name}/event-invoke-config":          {name: "DeleteFunctionEventInvokeConfig"},
	"POST /2015-03-31/functions/{name}/invocations":                    {name: "InvokeFunction", kind: config.ActionInvoke},
	"POST /2021-11-15/functions/{name}/response-streaming-invocations": {name: "InvokeWithResponseStream", kind: config.ActionInvoke},
	"POST /2014-11-13/functions/{name}/invoke-async":                   {name: "InvokeAsync", kind: config.ActionInvoke},
	"GET " + ownPrefix + "/functions/{name}/revisions/{revision}/code": {name: "GetRevisionCode", audited: true},
	"PUT " + ownPrefix + "/functions/{name}/policy":                    {name: "PutFunctionPolicy"},
	"DELETE " + ownPrefix + "/functions/{name}/policy":                 {name: "DeleteFunctionPolicy"},
	"PUT " + ownPrefix + "/policy":                                     {name: "PutPlatformPolicy", platform: true},
	"POST " + ownPrefix + "/functions/{name}/optimize":                 {name: "Optimize"},
	"POST " + ownPrefix + "/functions/{name}/deoptimize":               {name: "Deoptimize"},
	"DELETE " + ownPrefix + "/dead-letters/{id}":                       {name: "DeleteDeadLetter"},
	"DELETE " + problemsPath:                                           {name: "AcknowledgeProblems", platform: true},
	"POST " + ownPrefix + "/backup":                                    {name: "Backup", platform: true},
	"POST " + ownPrefix + "/dead-letters/{id}/redrive":                 {name: "RedriveDeadLetter", kind: config.ActionInvoke},
	"GET /2015-03-31/functions":                                        {name: "ListFunctions"},
	"GET /2015-03-31/functions/{name}":                                 {name: "GetFunction"},
	"GET /2015-03-31/functions/{name}/configuration":                   {name: "GetFunctionConfiguration"},
	"GET /2015-03-31/functions/{name}/versions":                        {name: "ListVersionsByFunction"},
	"GET /2015-03-31/functions/{name}/aliases":                         {name: "ListAliases"},
	"GET /2015-03-31/functions/{name}/aliases/{alias}":                 {name: "GetAlias"},
	"GET /2015-03-31/functions/{name}/policy":                          {name: "GetPolicy"},
	"GET /2019-09-30/functions/{name}/concurrency":                     {name: "GetFunctionConcurrency"},
	"GET /2021-10-31/functions/{name}/url":                             {name: "GetFunctionUrlConfig"},
	"GET /2021-10-31/functions/{name}/urls":                            {name: "ListFunctionUrlConfigs"},
	"GET /2017-03-31/tags/{name}":                                      {name: "ListTags"},
	"GET /2019-09-25/functions/{name}/event-invoke-config":             {name: "GetFunctionEventInvokeConfig"},
	"GET /2016-08-19/account-settings":                                 {name: "GetAccountSettings"},
	metricsRoute:                                                       {name: "GetMetrics", platform: true},
	"POST /2015-03-31/event-source-mappings":                           {name: "CreateEventSourceMapping"},
	"POST /2018-10-31/layers/{layer}/versions":                         {name: "PublishLayerVersion"},
	"POST /2020-04-22/code-signing-configs":                            {name: "CreateCodeSigningConfig"},
	"POST /2025-11-30/capacity-providers":                              {name: "CreateCapacityProvider"},
	"PUT /2024-08-31/functions/{name}/recursion-config":                {name: "PutFunctionRecursionConfig"},
	"PUT /2021-07-20/functions/{name}/runtime-management-config":       {name: "PutRuntimeManagementConfig"},
	"PUT /2020-06-30/functions/{name}/code-signing-config":             {name: "PutFunctionCodeSigningConfig"},
	"DELETE /2020-06-30/functions/{name}/code-signing-config":          {name: "DeleteFunctionCodeSigningConfig"},
	"PUT /2015-03-31/event-source-mappings/{uuid}":                     {name: "UpdateEventSourceMapping"},
	"DELETE /2015-03-31/event-source-mappings/{uuid}":                  {name: "DeleteEventSourceMapping"},
}

// invokeURL is what requests to function URLs do.
var invokeURL = action{name: "InvokeFunctionUrl", kind: config.ActionInvoke, upload: true}

const metricsRoute = "GET /metrics"

// actionOf is the action of a route; those without a name are told by the route itself.
func actionOf(pattern string) *action {
	a := actions[pattern]
	a.name = cmp.Or(a.name, pattern)
	return &a
}

// of is the kind of a request of this action.
func (a *action) of(r *http.Request) string {
	switch {
	case a.kind != "":
		return a.kind
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		return config.ActionRead
	}
	return config.ActionWrite
}

// serve is what all requests but those to function URLs pass: who is it, may they, what became of it.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, a *action, e endpoint) {
	line := audit.Entry{Action: a.name}
	if f, err := parseRef(r.PathValue("name")); err == nil {
		line.Function = string(f.Name)
	}
	kind := a.of(r)
	if kind == config.ActionRead && !a.audited {
		r2, _, err := s.enter(w, r, a, function.Name(line.Function), &line)
		if err == nil {
			defer r2.Body.Close()
			err = e(w, r2)
		}
		if err != nil {
			if answer := asError(err); answer.Status == http.StatusForbidden {
				s.record(r, w, kind, &line, answer.Status, answer.Code)
			}
			s.fail(w, r, err)
		}
		return
	}
	out := &witness{ResponseWriter: w, line: &line, tell: func(status int) {
		s.record(r, w, kind, &line, status, w.Header().Get("X-Amzn-ErrorType"))
	}}
	r2, forget, err := s.enter(w, r, a, function.Name(line.Function), &line)
	if err == nil {
		defer r2.Body.Close()
		err = e(out, r2)
	}
	if err != nil {
		s.fail(out, r, err)
	}
	out.end()
	if forget != nil && (out.status == http.StatusTooManyRequests || out.status == http.StatusServiceUnavailable || out.status == http.StatusInsufficientStorage) {
		forget() // nothing was done: the same request may come again
	}
}

// witness tells the status of an answer before it leaves.
type witness struct {
	http.ResponseWriter
	status int
	line   *audit.Entry
	tell   func(status int)
}

// about says which function a request is about whose path does not name it.
func about(w http.ResponseWriter, name function.Name) {
	if o, ok := w.(*witness); ok {
		o.line.Function = string(name)
	}
}

// WriteHeader tells the status, and sends it.
func (o *witness) WriteHeader(status int) {
	if o.status == 0 && status >= 200 {
		o.status = status
		o.tell(status)
	}
	o.ResponseWriter.WriteHeader(status)
}

// Write sends a part of the answer.
func (o *witness) Write(b []byte) (int, error) {
	if o.status == 0 {
		o.WriteHeader(http.StatusOK)
	}
	return o.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (o *witness) Unwrap() http.ResponseWriter { return o.ResponseWriter }

// end tells of an answer that has neither status nor body.
func (o *witness) end() {
	if o.status == 0 {
		o.status = http.StatusOK
		o.tell(o.status)
	}
}

// record writes a line of the audit log.
func (s *Server) record(r *http.Request, w http.ResponseWriter, kind string, e *audit.Entry, status int, code string) {
	log := s.opt.Audit
	if kind == config.ActionInvoke && status != http.StatusForbidden {
		log = s.opt.AuditInvocations
	}
	if log == nil {
		return
	}
	e.Time, e.Request, e.Address, e.Status, e.Error = time.Now().UTC(), w.Header().Get(headerRequest), r.RemoteAddr, status, code
	if err := log.Record(*e); err != nil {
		s.log.Error("the audit log has a gap", "error", err)
	}
}

// maxRefused is the largest body, in bytes, that is read to make sure who it is that may not do something.
const maxRefused = 64 << 10

// enter finds out who a request is from and whether they may do what it asks for. The request that it
// returns knows its caller, and has a body that can be read. forget takes back that its signature was used.
func (s *Server) enter(w http.ResponseWriter, r *http.Request, a *action, name function.Name, e *audit.Entry) (_ *http.Request, forget func(), err error) {
	if s.verifier == nil {
		e.User = anonymous.user
		return r, nil, nil
	}
	now := time.Now()
	claim, err := s.verifier.Claim(r, now)
	if err != nil {
		return nil, nil, authError(err)
	}
	e.AccessKey = claim.Key
	c := s.callers[claim.Key]
	kind := a.of(r)
	// A large body is not read for those who may not, though it is not sure who it is then.
	if !c.may(kind) || name != "" && !c.owns(name) || a.platform && c.functions != nil {
		if claim.BodySHA256 != "" || r.ContentLength >= 0 && r.ContentLength <= maxRefused {
			r2, err := s.authenticate(w, r, claim, a, kind)
			if err != nil {
				return nil, nil, err
			}
			r2.Body.Close()
			e.User = c.user
		}
		return nil, nil, s.refuse(c, a, name)
	}
	if r, err = s.authenticate(w, r, claim, a, kind); err != nil {
		return nil, nil, err
	}
	e.User = c.user
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		address, _, _ := net.SplitHostPort(r.RemoteAddr)
		call := ""
		if id := r.Header.Get("Amz-Sdk-Invocation-Id"); id != "" {
			call = id + " " + r.Header.Get("Amz-Sdk-Request")
		}
		if forget, err = s.once.Use(claim, address, call, kind == config.ActionInvoke, now); err != nil {
			r.Body.Close()
			return nil, nil, authError(err)
		}
	}
	return r.WithContext(context.WithValue(r.Context(), callerKey{}, c)), forget, nil
}

// authenticate reads the body and checks the signature, in the other order where the request says what
// the body's hash is.
func (s *Server) authenticate(w http.ResponseWriter, r *http.Request, claim *sigv4.Claim, a *action, kind string) (*http.Request, error) {
	if claim.BodySHA256 != "" {
		if err := claim.Check(claim.BodySHA256); err != nil {
			return nil, authError(err)
		}
	}
	limit := int64(maxDocument)
	switch {
	case a.upload:
		limit = s.uploadLimit()
	case kind == config.ActionInvoke:
		limit = s.opt.Limits.Request
	}
	within := bodyTime
	if a.upload {
		within = uploadTime
	}
	sum := sha256.New()
	body, err := s.receive(w, io.TeeReader(r.Body, sum), r.ContentLength, limit, within)
	var tooBig *http.MaxBytesError
	if kind == config.ActionInvoke && errors.As(err, &tooBig) {
		return nil, payloadTooLarge(max(r.ContentLength, limit+1), limit, typeRequest)
	}
	if err != nil {
		return nil, err
	}
	if err := claim.Check(hex.EncodeToString(sum.Sum(nil))); err != nil {
		body.Close()
		return nil, authError(err)
	}
	r = r.Clone(r.Context())
	r.Body = &kept{body.Reader(), body}
	return r, nil
}

// authenticator prepares the check of signatures, if there are credentials to check them against.
func (s *Server) authenticator() {
	if len(s.opt.Credentials) == 0 {
		return
	}
	s.verifier = &sigv4.Verifier{Service: "lambda", Region: s.opt.Region, Secrets: map[string]string{}}
	s.once = sigv4.NewOnce(time.Now())
	s.callers = map[string]*caller{}
	for _, c := range s.opt.Credentials {
		s.verifier.Secrets[c.AccessKeyID] = c.SecretAccessKey
		k := &caller{user: cmp.Or(c.Name, c.AccessKeyID), key: c.AccessKeyID}
		if len(c.Allow) > 0 {
			k.allow = c.Allow
		}
		if len(c.Functions) > 0 {
			k.functions = c.Functions
		}
		s.callers[c.AccessKeyID] = k
	}
}

func authError(err error) error {
	forbid := func(code string) error { return fault(http.StatusForbidden, code, "%s", err) }
	var answer *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &answer):
		return answer
	case errors.Is(err, sigv4.ErrMissing):
		return forbid("MissingAuthenticationTokenException")
	case errors.Is(err, sigv4.ErrMalformed):
		return forbid("IncompleteSignatureException")
	case errors.Is(err, sigv4.ErrUnknownKey):
		return forbid("UnrecognizedClientException")
	case errors.Is(err, sigv4.ErrMismatch), errors.Is(err, sigv4.ErrExpired), errors.Is(err, sigv4.ErrUsed):
		return forbid("InvalidSignatureException")
	case errors.Is(err, sigv4.ErrSame):
		return fault(http.StatusTooManyRequests, "TooManyRequestsException", "%s", err) // SDKs sign and try again
	}
	return bodyError(err)
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
