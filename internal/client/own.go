package client

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/store"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// What is read of CloudJIT's own resources (openapi.json describes them whole).

// Own is the prefix of CloudJIT's own resources.
const Own = "/cloudjit/v1"

// Pipeline is where a revision stands.
type Pipeline struct {
	Tier  function.Tier `json:"tier"`
	Stage string        `json:"stage"`
	Phase string        `json:"phase"`
	// Level of the binary in use; LevelNone without one.
	Level            function.Level `json:"level,omitempty"`
	Reason           string         `json:"reason"`
	Since            *time.Time     `json:"since,omitempty"`
	NotBefore        *time.Time     `json:"notBefore,omitempty"`
	Invocations      int64          `json:"invocations"`
	ColdStarts       int64          `json:"coldStarts"`
	ColdInWindow     int            `json:"coldInWindow"`
	Deoptimizations  int            `json:"deoptimizations"`
	Queued           int            `json:"queued"`
	Workers          int            `json:"workers"`
	MetadataComplete bool           `json:"metadataComplete"`
}

// State is stage, level of the binary, and phase in a word or two.
func (p *Pipeline) State() string {
	s := p.Stage
	if p.Level != function.LevelNone {
		s += " (" + p.Level.String() + ")"
	}
	if p.Phase == "" || p.Phase == "idle" {
		return s
	}
	return s + ", " + p.Phase
}

// Function is a function with its newest revision.
type Function struct {
	Name      function.Name       `json:"name"`
	ARN       string              `json:"arn"`
	Kind      function.Kind       `json:"kind"`
	Runtime   string              `json:"runtime"`
	Handler   string              `json:"handler,omitempty"`
	State     store.Status        `json:"state"`
	MemoryMiB int                 `json:"memoryMiB"`
	Timeout   store.Duration      `json:"timeout"`
	Reserved  *int                `json:"reservedConcurrency,omitempty"`
	Revision  function.RevisionID `json:"revision"`
	Pipeline  *Pipeline           `json:"pipeline,omitempty"`
	URLs      []struct {
		Qualifier string `json:"qualifier"`
		URL       string `json:"url"`
		// Path reaches the same below the API's own address.
		Path string `json:"path"`
	} `json:"urls"`
	Policy store.Policy `json:"policy"`
}

// Revision is a revision with its history.
type Revision struct {
	ID         function.RevisionID     `json:"id"`
	Version    string                  `json:"version"`
	CreatedAt  time.Time               `json:"createdAt"`
	Kind       function.Kind           `json:"kind"`
	Handler    string                  `json:"handler,omitempty"`
	CodeSHA256 string                  `json:"codeSha256"`
	MemoryMiB  int                     `json:"memoryMiB"`
	Pipeline   *Pipeline               `json:"pipeline,omitempty"`
	History    []store.Transition      `json:"history"`
	Metadata   []store.MetadataVersion `json:"metadata"`
	Builds     []*store.Build          `json:"builds"`
}

// Worker is a worker that is there now.
type Worker struct {
	ID          string        `json:"id"`
	Function    function.Name `json:"function"`
	Version     string        `json:"version"`
	Tier        function.Tier `json:"tier"`
	State       string        `json:"state"`
	StartedAt   time.Time     `json:"startedAt"`
	Invocations int64         `json:"invocations"`
	Memory      worker.Memory `json:"memory"`
	Phases      worker.Phases `json:"phases"`
}

// OwnFunction is the path of a function in CloudJIT's own resources.
func OwnFunction(name string) string { return Own + "/functions/" + url.PathEscape(name) }

// Overview lists all functions.
func (c *Client) Overview(ctx context.Context) ([]Function, error) {
	var out struct {
		Functions []Function `json:"functions"`
	}
	err := c.Call(ctx, http.MethodGet, Own+"/functions", nil, &out)
	return out.Functions, err
}

// Workers lists all workers, with their memory.
func (c *Client) Workers(ctx context.Context) ([]Worker, error) {
	var out struct {
		Workers []Worker `json:"workers"`
	}
	err := c.Call(ctx, http.MethodGet, Own+"/workers", nil, &out)
	return out.Workers, err
}

// Stream reads server-sent events and calls yield with the data of each.
func (c *Client) Stream(ctx context.Context, path string, yield func(data json.RawMessage) error) error {
	resp, err := c.Do(ctx, http.MethodGet, path, http.Header{"Accept": {"text/event-stream"}}, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		if err := yield(json.RawMessage(data)); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	return nil
}
