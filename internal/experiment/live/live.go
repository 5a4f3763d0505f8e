// Package live drives functions on a running platform as their users would, and measures
// what those see. It knows the platform's API and nothing of what is behind it.
package live

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/cloudjit/cloudjit/internal/client"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/sample"
	"github.com/cloudjit/cloudjit/internal/store"
)

// Function is a deployed function.
type Function struct {
	Name   string
	Sample *sample.Sample
	client *client.Client
	path   string // where its requests go, below the API's address
}

// Answer is what came back, and how.
type Answer struct {
	// Rung of the worker that answered; empty: the platform did not say.
	Rung function.Rung
	// Cold: the invocation waited for a new worker.
	Cold bool
	// Latency is what the client measured, from the request to the answer's last byte.
	Latency time.Duration
	// Wrong says what is wrong with the answer; nil: it is right.
	Wrong error
}

// DefaultMemoryMiB is what a worker of a sample gets that names nothing.
const DefaultMemoryMiB = 512

// Deploy makes a sample a function, or replaces it. Policy is the function's own.
func Deploy(ctx context.Context, c *client.Client, name string, s *sample.Sample, policy store.Policy) (*Function, error) {
	archive, err := os.ReadFile(s.Archive())
	if err != nil {
		return nil, fmt.Errorf("deploy %s: %w (build the samples first: make samples)", name, err)
	}
	memory := s.MemoryMiB
	if memory == 0 {
		memory = DefaultMemoryMiB
	}
	handler := s.Handler
	if s.Kind == "web" {
		handler = "web"
	}
	_, err = c.Deploy(ctx, name, archive, map[string]any{
		"Runtime": "java21", "Handler": handler, "MemorySize": memory, "Timeout": 60,
		"Role": "arn:aws:iam::000000000000:role/cloudjit",
	}, false)
	if err != nil {
		return nil, fmt.Errorf("deploy %s: %w", name, err)
	}
	f, err := Open(ctx, c, name, s)
	if err != nil {
		return nil, fmt.Errorf("deploy %s: %w", name, err)
	}
	return f, f.SetPolicy(ctx, policy)
}

// Open takes a function that was deployed before, with its policy as it is.
func Open(ctx context.Context, c *client.Client, name string, s *sample.Sample) (*Function, error) {
	f := &Function{Name: name, Sample: s, client: c, path: client.FunctionPath(name) + "/invocations"}
	if s.Kind == "web" {
		if _, err := c.FunctionURL(ctx, name); err != nil {
			return nil, err
		}
		v, err := f.View(ctx)
		if err != nil {
			return nil, err
		}
		if len(v.URLs) == 0 {
			return nil, fmt.Errorf("%s has no URL", name)
		}
		f.path = v.URLs[0].Path
	}
	return f, nil
}

// View is the function as the platform shows it.
func (f *Function) View(ctx context.Context) (*client.Function, error) {
	v := new(client.Function)
	return v, f.client.Call(ctx, http.MethodGet, client.OwnFunction(f.Name), nil, v)
}

// Revision is its newest revision with history and builds.
func (f *Function) Revision(ctx context.Context) (*client.Revision, error) {
	return f.client.Latest(ctx, f.Name)
}

// SetPolicy replaces the function's own policy.
func (f *Function) SetPolicy(ctx context.Context, p store.Policy) error {
	return f.client.SetPolicy(ctx, f.Name, p)
}

// Optimize asks for the artifact of a rung, whatever the policy says.
func (f *Function) Optimize(ctx context.Context, rung function.Rung) error {
	return f.client.Optimize(ctx, f.Name, rung)
}

// Deoptimize asks that the tracer records again.
func (f *Function) Deoptimize(ctx context.Context) error {
	if err := f.client.Call(ctx, http.MethodPost, client.OwnFunction(f.Name)+"/deoptimize", struct{}{}, nil); err != nil {
		return fmt.Errorf("deoptimize %s: %w", f.Name, err)
	}
	return nil
}

// Ask sends one request of the sample and checks the answer. The error says that there was
// none: the platform refused, or broke.
func (f *Function) Ask(ctx context.Context, r *sample.Request) (Answer, error) {
	payload, err := r.Payload()
	if err != nil {
		return Answer{}, err
	}
	if f.Sample.Kind == "handler" {
		return f.invoke(ctx, r, payload)
	}
	return f.fetch(ctx, r, payload)
}

func (f *Function) invoke(ctx context.Context, r *sample.Request, payload []byte) (Answer, error) {
	begin := time.Now()
	resp, err := f.client.Do(ctx, http.MethodPost, f.path, http.Header{"Content-Type": {"application/json"}}, payload)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return Answer{}, fmt.Errorf("read answer of %s: %w", f.Name, err)
	}
	a := answer(resp, begin)
	if kind := resp.Header.Get("X-Amz-Function-Error"); kind != "" {
		a.Wrong = fmt.Errorf("%s: %s error: %s", r.Name, kind, body)
	} else {
		a.Wrong = r.Check(0, body)
	}
	return a, nil
}

func (f *Function) fetch(ctx context.Context, r *sample.Request, payload []byte) (Answer, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, f.client.Endpoint()+f.path+r.Path[1:], bytes.NewReader(payload))
	if err != nil {
		return Answer{}, fmt.Errorf("ask %s: %w", f.Name, err)
	}
	for k, v := range r.Headers {
		req.Header.Set(k, v)
	}
	begin := time.Now()
	resp, err := f.client.HTTP().Do(req)
	if err != nil {
		return Answer{}, fmt.Errorf("ask %s: %w", f.Name, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return Answer{}, fmt.Errorf("read answer of %s: %w", f.Name, err)
	}
	a := answer(resp, begin)
	a.Wrong = r.Check(resp.StatusCode, body)
	return a, nil
}

func answer(resp *http.Response, begin time.Time) Answer {
	return Answer{
		Rung: function.Rung(resp.Header.Get("X-Cloudjit-Rung")), Cold: resp.Header.Get("X-Cloudjit-Cold") == "true", Latency: time.Since(begin),
	}
}

// Workers are the function's workers now.
func (f *Function) Workers(ctx context.Context) ([]client.Worker, error) {
	all, err := f.client.Workers(ctx)
	if err != nil {
		return nil, err
	}
	var mine []client.Worker
	for _, w := range all {
		if string(w.Function) == f.Name {
			mine = append(mine, w)
		}
	}
	return mine, nil
}
