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
	"github.com/cloudjit/cloudjit/internal/health"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/store"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// What is read of CloudJIT's own resources (openapi.json describes them whole).

// Own is the prefix of CloudJIT's own resources.
const Own = "/cloudjit/v1"

// Pipeline is where a revision stands on its ladder.
type Pipeline struct {
	// Rung and Recording are how a worker that starts now runs.
	Rung      function.Rung    `json:"rung"`
	Recording ladder.Recording `json:"recording,omitempty"`
	// Ladder has all rungs, the lowest first; Recordings those that were begun.
	Ladder     []Rung      `json:"ladder"`
	Recordings []Recording `json:"recordings,omitempty"`
	// Reason and Since are those of the last move.
	Reason          string     `json:"reason"`
	Since           *time.Time `json:"since,omitempty"`
	Invocations     int64      `json:"invocations"`
	ColdStarts      int64      `json:"coldStarts"`
	ColdInWindow    int        `json:"coldInWindow"`
	Deoptimizations int        `json:"deoptimizations"`
	Queued          int        `json:"queued"`
	Workers         int        `json:"workers"`
	// CPUSeconds is what its workers took since the server's start, OutputDropped bytes that they wrote too fast.
	CPUSeconds    float64 `json:"cpuSeconds"`
	OutputDropped int64   `json:"outputDropped,omitempty"`
}

// Rung is one rung of a revision.
type Rung struct {
	Rung function.Rung `json:"rung"`
	// Phase is absent, queued, building, checking, ready, failed or dropped; ready of the first rung.
	Phase pipeline.Phase `json:"phase"`
	// Wanted: a build was decided on and waits for a recording, for back-off or for its turn.
	Wanted bool `json:"wanted,omitempty"`
	// Never: the function needs what no artifact of this kind can do (Reason says what); it is not made any more.
	Never bool `json:"never,omitempty"`
	// Reason and Since are those of its last move; NotBefore is when it may be made again.
	Reason    string     `json:"reason,omitempty"`
	Since     *time.Time `json:"since,omitempty"`
	NotBefore *time.Time `json:"notBefore,omitempty"`
	// Falls counts how often its artifact turned out wrong, Failures failed builds and checks in a row.
	Falls    int `json:"falls,omitempty"`
	Failures int `json:"failures,omitempty"`
	// StartMs and MemoryMB are what a worker is expected to take, measured where it was.
	StartMs  float64 `json:"startMs,omitempty"`
	MemoryMB float64 `json:"memoryMB,omitempty"`
	DiskMB   float64 `json:"diskMB,omitempty"`
	// Check is the last one that compared its artifact.
	Check *store.Check `json:"check,omitempty"`
}

// Recording is one recording of a revision.
type Recording struct {
	Recording ladder.Recording `json:"recording"`
	// Phase is recording or recorded.
	Phase   pipeline.Phase `json:"phase"`
	Version int            `json:"version,omitempty"`
	// Refused is why nothing more is taken of what its workers record.
	Refused string `json:"refused,omitempty"`
}

// Of is a rung of the ladder; nil if it has none of that name.
func (p *Pipeline) Of(rung function.Rung) *Rung {
	for i := range p.Ladder {
		if p.Ladder[i].Rung == rung {
			return &p.Ladder[i]
		}
	}
	return nil
}

// State says in a word or two where the revision stands: the rung of new workers, and what is being
// made or recorded.
func (p *Pipeline) State() string {
	s := string(p.Rung)
	for i := range p.Ladder {
		if r := &p.Ladder[i]; r.Phase.Making() {
			s += ", " + string(r.Rung) + " " + r.Phase.String()
		}
	}
	for _, r := range p.Recordings {
		if r.Phase == pipeline.PhaseRecording {
			s += ", recording " + r.Recording.String()
		}
	}
	return s
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
	// Samples are the user's own, for checks of artifacts.
	Samples *store.Samples `json:"samples,omitempty"`
}

// Revision is a revision with its history.
type Revision struct {
	ID         function.RevisionID `json:"id"`
	Version    string              `json:"version"`
	CreatedAt  time.Time           `json:"createdAt"`
	Kind       function.Kind       `json:"kind"`
	Handler    string              `json:"handler,omitempty"`
	CodeSHA256 string              `json:"codeSha256"`
	MemoryMiB  int                 `json:"memoryMiB"`
	// Driver makes its workers.
	Driver   string                  `json:"driver"`
	Pipeline *Pipeline               `json:"pipeline,omitempty"`
	History  []store.Transition      `json:"history"`
	Metadata []store.MetadataVersion `json:"metadata"`
	Builds   []*store.Build          `json:"builds"`
}

// Worker is a worker that is there now.
type Worker struct {
	ID       string        `json:"id"`
	Function function.Name `json:"function"`
	Version  string        `json:"version"`
	Rung     function.Rung `json:"rung"`
	// Recording is what the worker records; none if it does not.
	Recording   ladder.Recording `json:"recording,omitempty"`
	State       string           `json:"state"`
	StartedAt   time.Time        `json:"startedAt"`
	Invocations int64            `json:"invocations"`
	// Paused: it is idle and kept from running.
	Paused        bool          `json:"paused,omitempty"`
	CPUSeconds    float64       `json:"cpuSeconds"`
	OutputDropped int64         `json:"outputDropped,omitempty"`
	Memory        worker.Memory `json:"memory"`
	Phases        worker.Phases `json:"phases"`
}

// OwnFunction is the path of a function in CloudJIT's own resources.
func OwnFunction(name string) string { return Own + "/functions/" + url.PathEscape(name) }

// Latest is the newest revision of a function, with its history and builds.
func (c *Client) Latest(ctx context.Context, name string) (*Revision, error) {
	v := new(Revision)
	return v, c.Call(ctx, http.MethodGet, OwnFunction(name)+"/revisions/latest", nil, v)
}

// SetPolicy replaces a function's own policy.
func (c *Client) SetPolicy(ctx context.Context, name string, p store.Policy) error {
	if err := c.Call(ctx, http.MethodPut, OwnFunction(name)+"/policy", p, nil); err != nil {
		return fmt.Errorf("set policy of %s: %w", name, err)
	}
	return nil
}

// Optimize asks for the artifact of a rung, whatever the policy says.
func (c *Client) Optimize(ctx context.Context, name string, rung function.Rung) error {
	if err := c.Call(ctx, http.MethodPost, OwnFunction(name)+"/optimize", map[string]any{"rung": rung}, nil); err != nil {
		return fmt.Errorf("ask for %s of %s: %w", rung, name, err)
	}
	return nil
}

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

// Disk says what the server has stored.
func (c *Client) Disk(ctx context.Context) ([]health.Disk, error) {
	var out struct {
		Disk []health.Disk `json:"disk"`
	}
	err := c.Call(ctx, http.MethodGet, Own+"/health", nil, &out)
	return out.Disk, err
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
