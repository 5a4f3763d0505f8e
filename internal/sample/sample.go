// Package sample reads what a sample function is to be asked and what must come back: the file
// requests.json beside its build file.
//
// It must not know how functions are deployed or reached; whoever asks hands the answer back to
// Check.
package sample

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
)

// File is the name of the file in a sample's folder.
const File = "requests.json"

// Sample is a function with requests whose answers are known.
type Sample struct {
	// Dir is the sample's folder.
	Dir string `json:"-"`
	// Kind is "handler" or "web".
	Kind string `json:"kind"`
	// Artifact is the archive to deploy, relative to Dir or absolute, once the sample is built.
	Artifact string `json:"artifact"`
	// Handler of a sample of kind "handler".
	Handler string `json:"handler,omitempty"`
	// MemoryMiB is what a worker needs; 0: the platform's default.
	MemoryMiB int `json:"memoryMiB,omitempty"`
	// Requests are the ordinary traffic, each independent of the others and of its own repetition.
	Requests []Request `json:"requests"`
	// Rare are requests that reach code which the ordinary ones never reach.
	Rare []Request `json:"rare,omitempty"`
}

// Request is one request and what its answer must be.
type Request struct {
	Name string `json:"name"`
	// Event is what a handler is invoked with.
	Event json.RawMessage `json:"event,omitempty"`
	// Method, Path, Headers and Body are what a web function is asked. BodyFile, relative to the
	// sample's folder, is a body in the place of Body.
	Method   string            `json:"method,omitempty"`
	Path     string            `json:"path,omitempty"`
	Headers  map[string]string `json:"headers,omitempty"`
	Body     string            `json:"body,omitempty"`
	BodyFile string            `json:"bodyFile,omitempty"`
	// Status is the status of the answer of a web function.
	Status int `json:"status,omitempty"`
	// Answer is the whole answer as JSON, if given. An object in it whose only member is
	// "$any" stands for any value.
	Answer json.RawMessage `json:"answer,omitempty"`
	// Contains lists texts that the answer holds.
	Contains []string `json:"contains,omitempty"`

	dir string
}

// Load reads the sample in the folder dir.
func Load(dir string) (*Sample, error) {
	return load(filepath.Join(dir, File), dir, "")
}

// LoadFor reads requests for another archive than the one that the file names, such as the
// same application as upstream builds it.
func LoadFor(archive, file string) (*Sample, error) {
	archive, err := filepath.Abs(archive)
	if err != nil {
		return nil, fmt.Errorf("load sample: %w", err)
	}
	return load(file, filepath.Dir(file), archive)
}

func load(file, dir, archive string) (*Sample, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("load sample: %w", err)
	}
	s := &Sample{Dir: dir}
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(s); err != nil {
		return nil, fmt.Errorf("load sample %s: %w", file, err)
	}
	if archive != "" {
		s.Artifact = archive
	}
	if err := s.validate(); err != nil {
		return nil, fmt.Errorf("load sample %s: %w", file, err)
	}
	return s, nil
}

// Archive is the path of the built archive.
func (s *Sample) Archive() string {
	if filepath.IsAbs(s.Artifact) {
		return s.Artifact
	}
	return filepath.Join(s.Dir, s.Artifact)
}

// Payload returns the event or body to send.
func (r *Request) Payload() ([]byte, error) {
	switch {
	case r.Event != nil:
		return r.Event, nil
	case r.BodyFile != "":
		return os.ReadFile(filepath.Join(r.dir, r.BodyFile))
	default:
		return []byte(r.Body), nil
	}
}

// Check says what is wrong with an answer; nil if nothing is. Of a handler the status is 0.
func (r *Request) Check(status int, answer []byte) error {
	if status != r.Status {
		return fmt.Errorf("%s: status %d, want %d: %s", r.Name, status, r.Status, shorten(answer))
	}
	if r.Answer != nil {
		var got, want any
		if err := json.Unmarshal(answer, &got); err != nil {
			return fmt.Errorf("%s: the answer is not JSON: %s", r.Name, shorten(answer))
		}
		if err := json.Unmarshal(r.Answer, &want); err != nil {
			return fmt.Errorf("%s: the expected answer is not JSON: %w", r.Name, err)
		}
		if !matches(want, got) {
			return fmt.Errorf("%s: got %s, want %s", r.Name, shorten(answer), shorten(r.Answer))
		}
	}
	for _, text := range r.Contains {
		if !strings.Contains(string(answer), text) {
			return fmt.Errorf("%s: %q is not in the answer: %s", r.Name, text, shorten(answer))
		}
	}
	return nil
}

func matches(want, got any) bool {
	switch w := want.(type) {
	case map[string]any:
		if _, any := w["$any"]; any && len(w) == 1 {
			return got != nil
		}
		g, ok := got.(map[string]any)
		if !ok || len(g) != len(w) {
			return false
		}
		for name, value := range w {
			member, ok := g[name]
			if !ok || !matches(value, member) {
				return false
			}
		}
		return true
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return false
		}
		for i := range w {
			if !matches(w[i], g[i]) {
				return false
			}
		}
		return true
	default:
		return reflect.DeepEqual(want, got)
	}
}

func (s *Sample) validate() error {
	if s.Artifact == "" || len(s.Requests) == 0 {
		return errors.New("artifact and requests must be given")
	}
	for _, list := range [][]Request{s.Requests, s.Rare} {
		for i := range list {
			r := &list[i]
			r.dir = s.Dir
			switch {
			case r.Name == "":
				return errors.New("a request has no name")
			case r.Answer == nil && len(r.Contains) == 0:
				return fmt.Errorf("request %q says nothing of its answer", r.Name)
			case s.Kind == "handler" && r.Event == nil:
				return fmt.Errorf("request %q has no event", r.Name)
			case s.Kind == "web" && (r.Method == "" || r.Path == "" || r.Status == 0):
				return fmt.Errorf("request %q has no method, path or status", r.Name)
			}
		}
	}
	switch {
	case s.Kind != "handler" && s.Kind != "web":
		return fmt.Errorf("unknown kind %q", s.Kind)
	case s.Kind == "handler" && s.Handler == "":
		return errors.New("a handler must be named")
	}
	return nil
}

func shorten(b []byte) string {
	const most = 500
	if len(b) > most {
		return string(b[:most]) + "..."
	}
	return string(b)
}
