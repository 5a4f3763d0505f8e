package lambda

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/api/gate"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/store"
)

// maxUnreserved is what of the account's concurrency functions must leave unreserved, at most.
const maxUnreserved = 100

func (s *API) putConcurrency(w http.ResponseWriter, r *http.Request) error {
	var in struct{ ReservedConcurrentExecutions *int }
	_, err := s.Change(w, r, &in, func(fn *store.Function) error {
		n := in.ReservedConcurrentExecutions
		if n == nil {
			return gate.Validation("reservedConcurrentExecutions", "null", "Member must not be null")
		}
		if *n < 0 {
			return gate.Validation("reservedConcurrentExecutions", strconv.Itoa(*n), "Member must have value greater than or equal to 0")
		}
		left := min(maxUnreserved, s.Opt.Concurrency/10)
		if s.reserved(fn.Name)+*n > s.Opt.Concurrency-left {
			return gate.Invalid("Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [%d].", left)
		}
		fn.Reserved = n
		return nil
	})
	if err != nil {
		return err
	}
	gate.WriteJSON(w, http.StatusOK, map[string]int{"ReservedConcurrentExecutions": *in.ReservedConcurrentExecutions})
	return nil
}

// reserved is what all functions but one have reserved.
func (s *API) reserved(but function.Name) int {
	n := 0
	for _, fn := range s.Store.Functions() {
		if fn.Reserved != nil && fn.Name != but {
			n += *fn.Reserved
		}
	}
	return n
}

func (s *API) getConcurrency(w http.ResponseWriter, r *http.Request) error {
	_, fn, err := s.Targeted(r)
	if err != nil {
		return err
	}
	out := map[string]int{}
	if fn.Reserved != nil {
		out["ReservedConcurrentExecutions"] = *fn.Reserved
	}
	gate.WriteJSON(w, http.StatusOK, out)
	return nil
}

func (s *API) deleteConcurrency(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.Change(w, r, nil, func(fn *store.Function) error { fn.Reserved = nil; return nil }); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// Limits of tags, as documented for Lambda.
const (
	maxTags     = 50
	maxTagKey   = 128
	maxTagValue = 256
)

// checkTags checks what is to be added to a function's tags.
func checkTags(have, add map[string]string) error {
	n := len(have)
	for k, v := range add {
		if _, ok := have[k]; !ok {
			n++
		}
		switch {
		case k == "" || len(k) > maxTagKey:
			return gate.Validation("tags", "["+gate.Clip(k)+"]", "Map keys must satisfy constraint: [Member must have length between 1 and 128]")
		case len(v) > maxTagValue:
			return gate.Validation("tags", gate.Clip(v), "Map value must satisfy constraint: [Member must have length less than or equal to 256]")
		case strings.HasPrefix(strings.ToLower(k), "aws:"):
			return gate.Invalid("Tag keys that begin with aws: are reserved: %s", gate.Clip(k))
		}
	}
	if n > maxTags {
		return gate.Invalid("A function can have at most %d tags.", maxTags)
	}
	return nil
}

// tagged refuses a resource that cannot have tags: only functions can, not their versions.
func tagged(f gate.Ref) error {
	if f.Qualifier != "" {
		return gate.Invalid("Tags on function aliases and versions are not supported. Please specify a function ARN.")
	}
	return nil
}

func (s *API) listTags(w http.ResponseWriter, r *http.Request) error {
	f, err := gate.Target(r)
	if err != nil {
		return err
	}
	if err := tagged(f); err != nil {
		return err
	}
	fn, err := s.Function(f)
	if err != nil {
		return err
	}
	tags := fn.Tags
	if tags == nil {
		tags = map[string]string{}
	}
	gate.WriteJSON(w, http.StatusOK, map[string]any{"Tags": tags})
	return nil
}

func (s *API) tag(w http.ResponseWriter, r *http.Request) error {
	var in struct{ Tags map[string]string }
	f, err := gate.Target(r)
	if err == nil {
		err = tagged(f)
	}
	if err != nil {
		return err
	}
	if _, err := s.Change(w, r, &in, func(fn *store.Function) error {
		if err := checkTags(fn.Tags, in.Tags); err != nil {
			return err
		}
		if fn.Tags == nil {
			fn.Tags = map[string]string{}
		}
		for k, v := range in.Tags {
			fn.Tags[k] = v
		}
		return nil
	}); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *API) untag(w http.ResponseWriter, r *http.Request) error {
	keys := r.URL.Query()["tagKeys"]
	if len(keys) == 0 {
		return gate.Validation("tagKeys", "null", "Member must not be null")
	}
	if _, err := s.Change(w, r, nil, func(fn *store.Function) error {
		for _, k := range keys {
			delete(fn.Tags, k)
		}
		return nil
	}); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

type destination struct{ Destination string }

type destinations struct {
	OnSuccess, OnFailure *destination `json:",omitempty"`
}

type eventInvokeInput struct {
	MaximumRetryAttempts     *int
	MaximumEventAgeInSeconds *int
	DestinationConfig        *destinations
}

type eventInvokeView struct {
	FunctionArn              string
	LastModified             float64 // seconds
	MaximumRetryAttempts     *int    `json:",omitempty"`
	MaximumEventAgeInSeconds *int    `json:",omitempty"`
	DestinationConfig        destinations
}

func (s *API) eventInvoke(name function.Name, qualifier string, c store.EventInvoke) eventInvokeView {
	v := eventInvokeView{
		FunctionArn: s.ARN(name, qualifier), LastModified: float64(c.LastModified.UnixMilli()) / 1000,
		MaximumRetryAttempts: c.MaxRetries, MaximumEventAgeInSeconds: c.MaxAgeSeconds,
		DestinationConfig: destinations{&destination{c.OnSuccess}, &destination{c.OnFailure}},
	}
	if c.OnSuccess == "" {
		v.DestinationConfig.OnSuccess = nil
	}
	if c.OnFailure == "" {
		v.DestinationConfig.OnFailure = nil
	}
	return v
}

// apply checks what is given and puts it into the configuration.
func (in *eventInvokeInput) apply(s *API, by *gate.Caller, c *store.EventInvoke) error {
	if n := in.MaximumRetryAttempts; n != nil {
		if *n < 0 || *n > 2 {
			return gate.Validation("maximumRetryAttempts", strconv.Itoa(*n), "Member must have value between 0 and 2")
		}
		c.MaxRetries = n
	}
	if n := in.MaximumEventAgeInSeconds; n != nil {
		if *n < 60 || *n > 21600 {
			return gate.Validation("maximumEventAgeInSeconds", strconv.Itoa(*n), "Member must have value between 60 and 21600")
		}
		c.MaxAgeSeconds = n
	}
	if d := in.DestinationConfig; d != nil {
		for _, x := range []struct {
			given *destination
			to    *string
		}{{d.OnSuccess, &c.OnSuccess}, {d.OnFailure, &c.OnFailure}} {
			if x.given == nil {
				continue
			}
			if arn := x.given.Destination; arn != "" {
				if err := s.checkDestination(by, arn); err != nil {
					return err
				}
			}
			*x.to = x.given.Destination
		}
	}
	c.LastModified = time.Now().UTC()
	return nil
}

// checkDestination accepts functions that are here and that the caller may invoke.
func (s *API) checkDestination(by *gate.Caller, arn string) error {
	f, err := gate.ParseRef(arn)
	if err != nil || !strings.HasPrefix(arn, "arn:") {
		return gate.Invalid("The destination ARN %s is not supported: only functions can be destinations.", gate.Clip(arn))
	}
	if !by.May(config.ActionInvoke) || !by.Owns(f.Name) {
		return s.Refuse(by, gate.ActionOf("POST /2015-03-31/functions/{name}/invocations"), f.Name)
	}
	fn, ok := s.Store.FindFunction(s.Life, f.Name)
	if ok {
		_, ok = gate.VersionOf(fn, f.Qualifier)
	}
	if !ok {
		return gate.Invalid("The destination ARN %s is invalid: there is no such function.", gate.Clip(arn))
	}
	return nil
}

func (s *API) putEventInvoke(w http.ResponseWriter, r *http.Request) error {
	return s.writeEventInvoke(w, r, func(_ *store.Function, _ string) (store.EventInvoke, error) { return store.EventInvoke{}, nil })
}

func (s *API) updateEventInvoke(w http.ResponseWriter, r *http.Request) error {
	return s.writeEventInvoke(w, r, func(fn *store.Function, q string) (store.EventInvoke, error) {
		c, ok := fn.EventInvoke[q]
		if !ok {
			return c, s.noEventInvoke(fn.Name, q)
		}
		return c, nil
	})
}

func (s *API) noEventInvoke(name function.Name, q string) *gate.Error {
	return gate.NotFound("The function %s doesn't have an EventInvokeConfig", s.ARN(name, q))
}

func (s *API) writeEventInvoke(w http.ResponseWriter, r *http.Request, start func(*store.Function, string) (store.EventInvoke, error)) error {
	f, err := gate.Target(r)
	if err != nil {
		return err
	}
	q := gate.Qualified(f.Qualifier)
	var in eventInvokeInput
	var c store.EventInvoke
	if _, err := s.Change(w, r, &in, func(fn *store.Function) error {
		if _, ok := gate.VersionOf(fn, q); !ok {
			return s.NoFunction(fn.Name, q)
		}
		var err error
		if c, err = start(fn, q); err != nil {
			return err
		}
		if err := in.apply(s, gate.CallerOf(r.Context()), &c); err != nil {
			return err
		}
		if fn.EventInvoke == nil {
			fn.EventInvoke = map[string]store.EventInvoke{}
		}
		fn.EventInvoke[q] = c
		return nil
	}); err != nil {
		return err
	}
	gate.WriteJSON(w, http.StatusOK, s.eventInvoke(f.Name, q, c))
	return nil
}

func (s *API) getEventInvoke(w http.ResponseWriter, r *http.Request) error {
	f, fn, err := s.Targeted(r)
	if err != nil {
		return err
	}
	q := gate.Qualified(f.Qualifier)
	c, ok := fn.EventInvoke[q]
	if !ok {
		return s.noEventInvoke(f.Name, q)
	}
	gate.WriteJSON(w, http.StatusOK, s.eventInvoke(f.Name, q, c))
	return nil
}

func (s *API) listEventInvoke(w http.ResponseWriter, r *http.Request) error {
	f, fn, err := s.Targeted(r)
	if err != nil {
		return err
	}
	views := []eventInvokeView{}
	for q, c := range fn.EventInvoke {
		views = append(views, s.eventInvoke(f.Name, q, c))
	}
	views, next, err := pageOf(r, views, func(v eventInvokeView) string { return v.FunctionArn })
	if err != nil {
		return err
	}
	gate.WriteJSON(w, http.StatusOK, struct {
		FunctionEventInvokeConfigs []eventInvokeView
		NextMarker                 string `json:",omitempty"`
	}{views, next})
	return nil
}

func (s *API) deleteEventInvoke(w http.ResponseWriter, r *http.Request) error {
	f, err := gate.Target(r)
	if err != nil {
		return err
	}
	q := gate.Qualified(f.Qualifier)
	if _, err := s.Change(w, r, nil, func(fn *store.Function) error {
		if _, ok := fn.EventInvoke[q]; !ok {
			return s.noEventInvoke(fn.Name, q)
		}
		delete(fn.EventInvoke, q)
		return nil
	}); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
