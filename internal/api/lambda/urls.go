package lambda

import (
	"crypto/rand"
	"encoding/base32"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/api/gate"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/store"
)

type corsView struct {
	AllowCredentials *bool    `json:",omitempty"`
	AllowHeaders     []string `json:",omitempty"`
	AllowMethods     []string `json:",omitempty"`
	AllowOrigins     []string `json:",omitempty"`
	ExposeHeaders    []string `json:",omitempty"`
	MaxAge           *int     `json:",omitempty"`
}

type urlView struct {
	FunctionUrl string // AWS's spelling
	// CloudjitPathUrl is the same function's address below the server's own name, for clients that resolve no names
	// below localhost (Node.js, glibc).
	CloudjitPathUrl  string
	FunctionArn      string
	AuthType         string
	Cors             *corsView `json:",omitempty"`
	CreationTime     string
	LastModifiedTime string `json:",omitempty"`
	InvokeMode       string
}

type urlInput struct {
	AuthType   *string
	InvokeMode *string
	Cors       *corsView
}

func (s *API) url(r *http.Request, name function.Name, qualifier string, u store.URL) urlView {
	if qualifier == function.Latest {
		qualifier = ""
	}
	v := urlView{
		FunctionUrl: s.URLOf(r, u.ID), CloudjitPathUrl: gate.Scheme(r) + "://" + r.Host + gate.URLPrefix + u.ID + "/", FunctionArn: s.ARN(name, qualifier), AuthType: u.AuthType, InvokeMode: u.InvokeMode,
		CreationTime: u.CreatedAt.Format(time.RFC3339Nano), LastModifiedTime: u.LastModified.Format(time.RFC3339Nano),
	}
	if c := u.CORS; c != nil {
		v.Cors = &corsView{&c.AllowCredentials, c.AllowHeaders, c.AllowMethods, c.AllowOrigins, c.ExposeHeaders, c.MaxAge}
	}
	return v
}

// apply checks what is given and puts it into the URL.
func (in *urlInput) apply(u *store.URL) error {
	if in.AuthType != nil {
		if err := oneOf("authType", *in.AuthType, "NONE", "AWS_IAM"); err != nil {
			return err
		}
		u.AuthType = *in.AuthType
	}
	if in.InvokeMode != nil {
		if err := oneOf("invokeMode", *in.InvokeMode, gate.BufferedMode, gate.StreamMode); err != nil {
			return err
		}
		u.InvokeMode = *in.InvokeMode
	}
	if c := in.Cors; c != nil {
		if err := c.check(); err != nil {
			return err
		}
		u.CORS = &store.CORS{
			AllowCredentials: c.AllowCredentials != nil && *c.AllowCredentials,
			AllowHeaders:     c.AllowHeaders, AllowMethods: c.AllowMethods, AllowOrigins: c.AllowOrigins, ExposeHeaders: c.ExposeHeaders, MaxAge: c.MaxAge,
		}
	}
	u.LastModified = time.Now().UTC()
	return nil
}

func (c *corsView) check() error {
	for _, l := range []struct {
		field string
		items []string
		most  int
	}{
		{"allowHeaders", c.AllowHeaders, 100}, {"allowMethods", c.AllowMethods, 6},
		{"allowOrigins", c.AllowOrigins, 100}, {"exposeHeaders", c.ExposeHeaders, 100},
	} {
		if len(l.items) > l.most {
			return gate.Validation("cors."+l.field, strconv.Itoa(len(l.items)), "Member must have length less than or equal to "+strconv.Itoa(l.most))
		}
		for _, v := range l.items {
			if v == "" || len(v) > 1024 || strings.ContainsAny(v, " \t\r\n,") {
				return gate.Validation("cors."+l.field, gate.Clip(v), "Member must be a header's value without commas or spaces")
			}
		}
	}
	for _, m := range c.AllowMethods {
		if err := oneOf("cors.allowMethods", m, "GET", "PUT", "HEAD", "POST", "PATCH", "DELETE", "*"); err != nil {
			return err
		}
	}
	if c.MaxAge != nil && (*c.MaxAge < 0 || *c.MaxAge > 86400) {
		return gate.Validation("cors.maxAge", strconv.Itoa(*c.MaxAge), "Member must have value between 0 and 86400")
	}
	return nil
}

// newURLID returns 32 letters and digits, as Lambda's identifiers have.
func newURLID() string {
	var b [20]byte
	_, _ = rand.Read(b[:]) // never fails
	return strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
}

func (s *API) createURL(w http.ResponseWriter, r *http.Request) error {
	return s.writeURL(w, r, http.StatusCreated, func(fn *store.Function, q string, in *urlInput) (store.URL, error) {
		if _, taken := fn.URLs[q]; taken {
			return store.URL{}, gate.Conflict("Failed to create function url config for [functionArn = %s]. Error message:  FunctionUrlConfig exists for this Lambda function", s.ARN(fn.Name, q))
		}
		if in.AuthType == nil {
			return store.URL{}, gate.Validation("authType", "null", "Member must not be null")
		}
		return store.URL{ID: newURLID(), InvokeMode: gate.BufferedMode, CreatedAt: time.Now().UTC()}, nil
	})
}

func (s *API) updateURL(w http.ResponseWriter, r *http.Request) error {
	return s.writeURL(w, r, http.StatusOK, func(fn *store.Function, q string, _ *urlInput) (store.URL, error) {
		u, ok := fn.URLs[q]
		if !ok {
			return u, errNoURL
		}
		return u, nil
	})
}

var errNoURL = gate.NotFound("The resource you requested does not exist.")

func (s *API) writeURL(w http.ResponseWriter, r *http.Request, status int, start func(*store.Function, string, *urlInput) (store.URL, error)) error {
	f, err := gate.Target(r)
	if err != nil {
		return err
	}
	if gate.IsNumber(f.Qualifier) {
		return gate.Invalid("A function URL leads to $LATEST or an alias, not to version %s.", f.Qualifier)
	}
	q := gate.Qualified(f.Qualifier)
	var in urlInput
	var u store.URL
	if _, err := s.Change(w, r, &in, func(fn *store.Function) error {
		if _, ok := gate.VersionOf(fn, q); !ok {
			return s.NoFunction(fn.Name, f.Qualifier)
		}
		var err error
		if u, err = start(fn, q, &in); err != nil {
			return err
		}
		if err := in.apply(&u); err != nil {
			return err
		}
		if fn.URLs == nil {
			fn.URLs = map[string]store.URL{}
		}
		fn.URLs[q] = u
		return nil
	}); err != nil {
		return err
	}
	gate.WriteJSON(w, status, s.url(r, f.Name, q, u))
	return nil
}

func (s *API) getURL(w http.ResponseWriter, r *http.Request) error {
	f, fn, err := s.Targeted(r)
	if err != nil {
		return err
	}
	q := gate.Qualified(f.Qualifier)
	u, ok := fn.URLs[q]
	if !ok {
		return errNoURL
	}
	gate.WriteJSON(w, http.StatusOK, s.url(r, f.Name, q, u))
	return nil
}

func (s *API) listURLs(w http.ResponseWriter, r *http.Request) error {
	f, fn, err := s.Targeted(r)
	if err != nil {
		return err
	}
	views := []urlView{}
	for q, u := range fn.URLs {
		views = append(views, s.url(r, f.Name, q, u))
	}
	views, next, err := pageOf(r, views, func(v urlView) string { return v.FunctionArn })
	if err != nil {
		return err
	}
	gate.WriteJSON(w, http.StatusOK, struct {
		FunctionUrlConfigs []urlView // AWS's spelling
		NextMarker         string    `json:",omitempty"`
	}{views, next})
	return nil
}

func (s *API) deleteURL(w http.ResponseWriter, r *http.Request) error {
	f, err := gate.Target(r)
	if err != nil {
		return err
	}
	q := gate.Qualified(f.Qualifier)
	if _, err := s.Change(w, r, nil, func(fn *store.Function) error {
		if _, ok := fn.URLs[q]; !ok {
			return errNoURL
		}
		delete(fn.URLs, q)
		return nil
	}); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
