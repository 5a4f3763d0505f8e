package gate

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
	"github.com/cloudjit/cloudjit/internal/peer"
)

// Who sent a request, and what they may do.

// Caller is who a request is from.
type Caller struct {
	user, key string
	// allow and functions are what it is limited to; nil: it is not.
	allow, functions []string
}

// anonymous is everybody, where no credentials are asked for.
var anonymous = &Caller{user: "anonymous"}

// May reports whether the caller may do a kind of thing, to some function at least.
func (c *Caller) May(kind string) bool { return c.allow == nil || slices.Contains(c.allow, kind) }

// Owns reports whether a function is one of the caller's.
func (c *Caller) Owns(name function.Name) bool {
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

// CallerOf is who sent a request.
func CallerOf(ctx context.Context) *Caller {
	if c, ok := ctx.Value(callerKey{}).(*Caller); ok {
		return c
	}
	return anonymous
}

// Refuse is the answer to a caller that may not do something.
func (s *Gate) Refuse(c *Caller, a *action, name function.Name) error {
	resource := "*"
	if name != "" {
		resource = s.ARN(name, "")
	}
	return denied("User: %s is not authorized to perform: lambda:%s on resource: %s", c.user, a.Name, resource)
}

// action is what a route does: for permissions, for the audit log, for limits of the body.
type action struct {
	Name string
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
	"POST /2015-03-31/functions":                                       {Name: "CreateFunction", upload: true},
	"DELETE /2015-03-31/functions/{name}":                              {Name: "DeleteFunction"},
	"PUT /2015-03-31/functions/{name}/code":                            {Name: "UpdateFunctionCode", upload: true},
	"PUT /2015-03-31/functions/{name}/configuration":                   {Name: "UpdateFunctionConfiguration"},
	"POST /2015-03-31/functions/{name}/versions":                       {Name: "PublishVersion"},
	"POST /2015-03-31/functions/{name}/aliases":                        {Name: "CreateAlias"},
	"PUT /2015-03-31/functions/{name}/aliases/{alias}":                 {Name: "UpdateAlias"},
	"DELETE /2015-03-31/functions/{name}/aliases/{alias}":              {Name: "DeleteAlias"},
	"POST /2015-03-31/functions/{name}/policy":                         {Name: "AddPermission"},
	"DELETE /2015-03-31/functions/{name}/policy/{sid}":                 {Name: "RemovePermission"},
	"PUT /2017-10-31/functions/{name}/concurrency":                     {Name: "PutFunctionConcurrency"},
	"DELETE /2017-10-31/functions/{name}/concurrency":                  {Name: "DeleteFunctionConcurrency"},
	"PUT /2019-09-30/functions/{name}/provisioned-concurrency":         {Name: "PutProvisionedConcurrencyConfig"},
	"DELETE /2019-09-30/functions/{name}/provisioned-concurrency":      {Name: "DeleteProvisionedConcurrencyConfig"},
	"POST /2021-10-31/functions/{name}/url":                            {Name: "CreateFunctionUrlConfig"},
	"PUT /2021-10-31/functions/{name}/url":                             {Name: "UpdateFunctionUrlConfig"},
	"DELETE /2021-10-31/functions/{name}/url":                          {Name: "DeleteFunctionUrlConfig"},
	"POST /2017-03-31/tags/{name}":                                     {Name: "TagResource"},
	"DELETE /2017-03-31/tags/{name}":                                   {Name: "UntagResource"},
	"PUT /2019-09-25/functions/{name}/event-invoke-config":             {Name: "PutFunctionEventInvokeConfig"},
	"POST /2019-09-25/functions/{name}/event-invoke-config":            {Name: "UpdateFunctionEventInvokeConfig"},
	"DELETE /2019-09-25/functions/{name}/event-invoke-config":          {Name: "DeleteFunctionEventInvokeConfig"},
	"POST /2015-03-31/functions/{name}/invocations":                    {Name: "InvokeFunction", kind: config.ActionInvoke},
	"POST /2021-11-15/functions/{name}/response-streaming-invocations": {Name: "InvokeWithResponseStream", kind: config.ActionInvoke},
	"POST /2014-11-13/functions/{name}/invoke-async":                   {Name: "InvokeAsync", kind: config.ActionInvoke},
	"GET " + OwnPrefix + "/functions/{name}/revisions/{revision}/code": {Name: "GetRevisionCode", audited: true},
	"PUT " + OwnPrefix + "/functions/{name}/policy":                    {Name: "PutFunctionPolicy"},
	"DELETE " + OwnPrefix + "/functions/{name}/policy":                 {Name: "DeleteFunctionPolicy"},
	"PUT " + OwnPrefix + "/policy":                                     {Name: "PutPlatformPolicy", platform: true},
	"POST " + OwnPrefix + "/functions/{name}/optimize":                 {Name: "Optimize"},
	"POST " + OwnPrefix + "/functions/{name}/deoptimize":               {Name: "Deoptimize"},
	"DELETE " + OwnPrefix + "/dead-letters/{id}":                       {Name: "DeleteDeadLetter"},
	"DELETE " + ProblemsPath:                                           {Name: "AcknowledgeProblems", platform: true},
	"POST " + OwnPrefix + "/backup":                                    {Name: "Backup", platform: true},
	"POST " + OwnPrefix + "/dead-letters/{id}/redrive":                 {Name: "RedriveDeadLetter", kind: config.ActionInvoke},
	"GET /2015-03-31/functions":                                        {Name: "ListFunctions"},
	"GET /2015-03-31/functions/{name}":                                 {Name: "GetFunction"},
	"GET /2015-03-31/functions/{name}/configuration":                   {Name: "GetFunctionConfiguration"},
	"GET /2015-03-31/functions/{name}/versions":                        {Name: "ListVersionsByFunction"},
	"GET /2015-03-31/functions/{name}/aliases":                         {Name: "ListAliases"},
	"GET /2015-03-31/functions/{name}/aliases/{alias}":                 {Name: "GetAlias"},
	"GET /2015-03-31/functions/{name}/policy":                          {Name: "GetPolicy"},
	"GET /2019-09-30/functions/{name}/concurrency":                     {Name: "GetFunctionConcurrency"},
	"GET /2021-10-31/functions/{name}/url":                             {Name: "GetFunctionUrlConfig"},
	"GET /2021-10-31/functions/{name}/urls":                            {Name: "ListFunctionUrlConfigs"},
	"GET /2017-03-31/tags/{name}":                                      {Name: "ListTags"},
	"GET /2019-09-25/functions/{name}/event-invoke-config":             {Name: "GetFunctionEventInvokeConfig"},
	"GET /2016-08-19/account-settings":                                 {Name: "GetAccountSettings"},
	"GET " + OwnPrefix + "/nodes":                                      {Name: "ListNodes", platform: true},
	"PUT " + OwnPrefix + "/nodes/{node}/drain":                         {Name: "DrainNode", platform: true},
	"DELETE " + OwnPrefix + "/nodes/{node}/drain":                      {Name: "UndrainNode", platform: true},
	MetricsRoute:                                                 {Name: "GetMetrics", platform: true},
	"POST /2015-03-31/event-source-mappings":                     {Name: "CreateEventSourceMapping"},
	"POST /2018-10-31/layers/{layer}/versions":                   {Name: "PublishLayerVersion"},
	"POST /2020-04-22/code-signing-configs":                      {Name: "CreateCodeSigningConfig"},
	"POST /2025-11-30/capacity-providers":                        {Name: "CreateCapacityProvider"},
	"PUT /2024-08-31/functions/{name}/recursion-config":          {Name: "PutFunctionRecursionConfig"},
	"PUT /2021-07-20/functions/{name}/runtime-management-config": {Name: "PutRuntimeManagementConfig"},
	"PUT /2020-06-30/functions/{name}/code-signing-config":       {Name: "PutFunctionCodeSigningConfig"},
	"DELETE /2020-06-30/functions/{name}/code-signing-config":    {Name: "DeleteFunctionCodeSigningConfig"},
	"PUT /2015-03-31/event-source-mappings/{uuid}":               {Name: "UpdateEventSourceMapping"},
	"DELETE /2015-03-31/event-source-mappings/{uuid}":            {Name: "DeleteEventSourceMapping"},
}

// InvokeURL is what requests to function URLs do.
var InvokeURL = action{Name: "InvokeFunctionUrl", kind: config.ActionInvoke, upload: true}

const MetricsRoute = "GET /metrics"

// ActionOf is the action of a route; those without a name are told by the route itself.
func ActionOf(pattern string) *action {
	a := actions[pattern]
	a.Name = cmp.Or(a.Name, pattern)
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
func (s *Gate) serve(w http.ResponseWriter, r *http.Request, a *action, e Endpoint) {
	line := audit.Entry{Action: a.Name}
	if f, err := ParseRef(r.PathValue("name")); err == nil {
		line.Function = string(f.Name)
	}
	kind := a.of(r)
	if kind == config.ActionRead && !a.audited {
		r2, _, err := s.Enter(w, r, a, function.Name(line.Function), &line)
		if err == nil {
			defer r2.Body.Close()
			err = e(w, r2)
		}
		if err != nil {
			if answer := AsError(err); answer.Status == http.StatusForbidden {
				s.Record(r, w, kind, &line, answer.Status, answer.Code)
			}
			s.Fail(w, r, err)
		}
		return
	}
	out := &Witness{ResponseWriter: w, Line: &line, Tell: func(status int) {
		s.Record(r, w, kind, &line, status, w.Header().Get("X-Amzn-ErrorType"))
	}}
	r2, forget, err := s.Enter(w, r, a, function.Name(line.Function), &line)
	if err == nil {
		defer r2.Body.Close()
		err = e(out, r2)
	}
	if err != nil {
		s.Fail(out, r, err)
	}
	out.end()
	if forget != nil && (out.status == http.StatusTooManyRequests || out.status == http.StatusServiceUnavailable || out.status == http.StatusInsufficientStorage) {
		forget() // nothing was done: the same request may come again
	}
}

// Witness tells the status of an answer before it leaves.
type Witness struct {
	http.ResponseWriter
	status int
	Line   *audit.Entry
	Tell   func(status int)
}

// About says which function a request is about whose path does not name it.
func About(w http.ResponseWriter, name function.Name) {
	if o, ok := w.(*Witness); ok {
		o.Line.Function = string(name)
	}
}

// WriteHeader tells the status, and sends it.
func (o *Witness) WriteHeader(status int) {
	if o.status == 0 && status >= 200 {
		o.status = status
		o.Tell(status)
	}
	o.ResponseWriter.WriteHeader(status)
}

// Write sends a part of the answer.
func (o *Witness) Write(b []byte) (int, error) {
	if o.status == 0 {
		o.WriteHeader(http.StatusOK)
	}
	return o.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (o *Witness) Unwrap() http.ResponseWriter { return o.ResponseWriter }

// end tells of an answer that has neither status nor body.
func (o *Witness) end() {
	if o.status == 0 {
		o.status = http.StatusOK
		o.Tell(o.status)
	}
}

// Record writes a line of the audit log.
func (s *Gate) Record(r *http.Request, w http.ResponseWriter, kind string, e *audit.Entry, status int, code string) {
	log := s.Opt.Audit
	if kind == config.ActionInvoke && status != http.StatusForbidden {
		log = s.Opt.AuditInvocations
	}
	if log == nil {
		return
	}
	e.Time, e.Request, e.Address, e.Status, e.Error = time.Now().UTC(), w.Header().Get(HeaderRequest), r.RemoteAddr, status, code
	if err := log.Record(*e); err != nil {
		s.Log.Error("the audit log has a gap", "error", err)
	}
}

// maxRefused is the largest body, in bytes, that is read to make sure who it is that may not do something.
const maxRefused = 64 << 10

// Enter finds out who a request is from and whether they may do what it asks for. The request that it
// returns knows its caller, and has a body that can be read. forget takes back that its signature was used.
func (s *Gate) Enter(w http.ResponseWriter, r *http.Request, a *action, name function.Name, e *audit.Entry) (_ *http.Request, forget func(), err error) {
	if s.Verifier == nil || peer.Asked(r.Context()) && a.of(r) == config.ActionRead { // the other node knows who asks
		e.User = anonymous.user
		return r, nil, nil
	}
	now := time.Now()
	claim, err := s.Verifier.Claim(r, now)
	if err != nil {
		return nil, nil, authError(err)
	}
	e.AccessKey = claim.Key
	c := s.callers[claim.Key]
	kind := a.of(r)
	// A large body is not read for those who may not, though it is not sure who it is then.
	if !c.May(kind) || name != "" && !c.Owns(name) || a.platform && c.functions != nil {
		if claim.BodySHA256 != "" || r.ContentLength >= 0 && r.ContentLength <= maxRefused {
			r2, err := s.authenticate(w, r, claim, a, kind)
			if err != nil {
				return nil, nil, err
			}
			r2.Body.Close()
			e.User = c.user
		}
		return nil, nil, s.Refuse(c, a, name)
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
func (s *Gate) authenticate(w http.ResponseWriter, r *http.Request, claim *sigv4.Claim, a *action, kind string) (*http.Request, error) {
	if claim.BodySHA256 != "" {
		if err := claim.Check(claim.BodySHA256); err != nil {
			return nil, authError(err)
		}
	}
	limit := int64(MaxDocument)
	switch {
	case a.upload:
		limit = s.UploadLimit()
	case kind == config.ActionInvoke:
		limit = s.Opt.Limits.Request
	}
	within := BodyTime
	if a.upload {
		within = UploadTime
	}
	sum := sha256.New()
	body, err := s.receive(w, io.TeeReader(r.Body, sum), r.ContentLength, limit, within)
	var tooBig *http.MaxBytesError
	if kind == config.ActionInvoke && errors.As(err, &tooBig) {
		return nil, PayloadTooLarge(max(r.ContentLength, limit+1), limit, TypeRequest)
	}
	if err != nil {
		return nil, err
	}
	if err := claim.Check(hex.EncodeToString(sum.Sum(nil))); err != nil {
		body.Close()
		return nil, authError(err)
	}
	r = r.Clone(r.Context())
	r.Body = &Kept{body.Reader(), body}
	return r, nil
}

// authenticator prepares the check of signatures, if there are credentials to check them against.
func (s *Gate) authenticator() {
	if len(s.Opt.Credentials) == 0 {
		return
	}
	s.Verifier = &sigv4.Verifier{Service: "lambda", Region: s.Opt.Region, Secrets: map[string]string{}}
	s.once = sigv4.NewOnce(time.Now())
	s.callers = map[string]*Caller{}
	for _, c := range s.Opt.Credentials {
		s.Verifier.Secrets[c.AccessKeyID] = c.SecretAccessKey
		k := &Caller{user: cmp.Or(c.Name, c.AccessKeyID), key: c.AccessKeyID}
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
	forbid := func(code string) error { return Fault(http.StatusForbidden, code, "%s", err) }
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
		return Fault(http.StatusTooManyRequests, "TooManyRequestsException", "%s", err) // SDKs sign and try again
	}
	return BodyError(err)
}
