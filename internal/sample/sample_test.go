package sample_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/sample"
)

func TestCheck(t *testing.T) {
	r := sample.Request{Name: "r", Status: 200, Answer: []byte(`{"a":[1,{"$any":""}],"b":"x"}`), Contains: []string{`"x"`}}
	tests := map[string]struct {
		status int
		answer string
		ok     bool
	}{
		"right":            {200, `{"b":"x","a":[1,"whatever"]}`, true},
		"wrong status":     {500, `{"b":"x","a":[1,2]}`, false},
		"member missing":   {200, `{"a":[1,2]}`, false},
		"member too many":  {200, `{"a":[1,2],"b":"x","c":0}`, false},
		"other value":      {200, `{"a":[2,2],"b":"x"}`, false},
		"null for any":     {200, `{"a":[1,null],"b":"x"}`, false},
		"shorter array":    {200, `{"a":[1],"b":"x"}`, false},
		"not JSON":         {200, `<html>`, false},
		"text not in it":   {200, `{"a":[1,2],"b":"y"}`, false},
		"something behind": {200, `{"a":[1,2],"b":"x"} x`, false},
	}
	for name, test := range tests {
		if err := r.Check(test.status, []byte(test.answer)); (err == nil) != test.ok {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	for name, content := range map[string]string{
		"not JSON":       `{`,
		"unknown member": `{"kind":"web","artifact":"a","request":[]}`,
		"no requests":    `{"kind":"web","artifact":"a"}`,
		"no handler":     `{"kind":"handler","artifact":"a","requests":[{"name":"n","event":1,"answer":1}]}`,
		"no answer":      `{"kind":"handler","artifact":"a","handler":"h","requests":[{"name":"n","event":1}]}`,
		"no path":        `{"kind":"web","artifact":"a","requests":[{"name":"n","method":"GET","status":200,"answer":1}]}`,
		"unknown kind":   `{"kind":"x","artifact":"a","requests":[{"name":"n","answer":1}]}`,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, sample.File), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := sample.Load(dir); err == nil {
			t.Errorf("%s: loaded", name)
		}
	}
}

const samples = "../../java/samples"

func all(t *testing.T) []*sample.Sample {
	files, err := filepath.Glob(filepath.Join(samples, "*", sample.File))
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	var list []*sample.Sample
	for _, file := range files {
		s, err := sample.Load(filepath.Dir(file))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, s)
	}
	return list
}

func TestEverySampleIsWellFormed(t *testing.T) {
	for _, s := range all(t) {
		for i := range s.Requests {
			if _, err := s.Requests[i].Payload(); err != nil {
				t.Errorf("%s: %v", s.Dir, err)
			}
		}
	}
}

// TestSamplesAnswerOnHotSpot runs every sample that is built, on the JDK of JAVA_HOME, as its own
// framework starts it.
func TestSamplesAnswerOnHotSpot(t *testing.T) {
	home := os.Getenv("JAVA_HOME")
	if home == "" {
		t.Skip("JAVA_HOME is not set")
	}
	for _, s := range all(t) {
		t.Run(filepath.Base(s.Dir), func(t *testing.T) {
			if _, err := os.Stat(s.Archive()); err != nil {
				t.Skip("not built: mvn -f java/samples package")
			}
			for name, list := range map[string][]sample.Request{"": s.Requests, " (rare)": s.Rare} {
				if len(list) == 0 {
					continue
				}
				var errs []error
				if s.Kind == "web" {
					errs = askWeb(t, home, s, list)
				} else {
					errs = invoke(t, home, s, list)
				}
				for _, err := range errs {
					t.Errorf("%v%s", err, name)
				}
			}
		})
	}
}

func askWeb(t *testing.T, home string, s *sample.Sample, requests []sample.Request) (errs []error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	_, port, _ := net.SplitHostPort(address)
	run(t, []string{"PORT=" + port}, filepath.Join(home, "bin/java"), "-XX:+UseSerialGC", "-jar", s.Archive())
	for range 600 {
		if c, err := net.Dial("tcp", address); err == nil {
			_ = c.Close()
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	// Twice: an answer must not depend on how often it was asked for.
	for range 2 {
		for _, r := range requests {
			body, err := r.Payload()
			if err != nil {
				t.Fatal(err)
			}
			q, err := http.NewRequest(r.Method, "http://"+address+r.Path, bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			for name, value := range r.Headers {
				q.Header.Set(name, value)
			}
			answer, err := http.DefaultTransport.RoundTrip(q)
			if err != nil {
				return append(errs, err)
			}
			content, _ := io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			if err := r.Check(answer.StatusCode, content); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errs
}

// invoke runs a handler under the runtime client, against a stand-in Runtime API.
func invoke(t *testing.T, home string, s *sample.Sample, requests []sample.Request) (errs []error) {
	client := "../../java/runtime/target/runtime.jar"
	if _, err := os.Stat(client); err != nil {
		t.Skip("the runtime client is not built: mvn -f java package")
	}
	answers := make(chan []byte, 1)
	events := make(chan string)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", func(w http.ResponseWriter, r *http.Request) {
		select {
		case event := <-events:
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", "1")
			_, _ = io.WriteString(w, event)
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/1/{end}", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
		answers <- body
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: mux}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	class := strings.Join([]string{client, s.Archive(), "../../java/runtime/target/lib/aws-lambda-java-serialization.jar"}, ":")
	run(t, []string{"AWS_LAMBDA_RUNTIME_API=" + listener.Addr().String(), "_HANDLER=" + s.Handler},
		filepath.Join(home, "bin/java"), "-XX:+UseSerialGC", "-cp", class, "dev.cloudjit.runtime.Main")
	for range 2 {
		for _, r := range requests {
			event, err := r.Payload()
			if err != nil {
				t.Fatal(err)
			}
			select {
			case events <- string(event):
			case <-time.After(30 * time.Second):
				return append(errs, fmt.Errorf("%s: the client did not ask for the event", r.Name))
			}
			select {
			case answer := <-answers:
				if err := r.Check(0, answer); err != nil {
					errs = append(errs, err)
				}
			case <-time.After(30 * time.Second):
				return append(errs, fmt.Errorf("%s: no answer", r.Name))
			}
		}
	}
	return errs
}

// run starts a process that ends with the test; what it wrote is shown when the test fails.
func run(t *testing.T, env []string, program string, args ...string) {
	ctx, cancel := context.WithCancel(t.Context())
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s", output.String())
		}
	})
}
