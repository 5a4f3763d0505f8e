package language_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cloudjit/cloudjit/internal/assets"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/guest"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// These tests run the platform's own runtime clients and those that AWS publishes over the same handlers, and compare what
// comes of it: answers, errors, how the process ends, what is logged.

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client is a runtime client as a command.
type client struct {
	command []string
	env     []string
}

// form is one handler and what it is asked.
type form struct {
	handler string
	events  []string
	env     []string
	// context of the invocations; empty: none
	client, identity, trace string
	// ends: the process ends after the last answer.
	ends bool
	// again is how many more times the published client may run until it does the same: it sends two requests at once, and
	// either of them may come first.
	again int
	// because says where the platform's own client answers otherwise than the published one, and why; the transcripts are
	// only compared where it is empty.
	because string
	// want, if set, is in the transcript of the platform's own client.
	want []string
}

// transcript runs a form, and writes down what came of it.
func transcript(t *testing.T, c client, folder string, f form) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	runtime := guest.NewRuntime()
	server := guest.Serve(l, runtime)
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		server.Shutdown(ctx)
	}()
	var log output
	cmd := exec.Command(c.command[0], append(c.command[1:], f.handler)...)
	cmd.Dir = folder
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.Env = append([]string{
		"PATH=/usr/bin:/bin", "LANG=C.UTF-8", "TZ=:UTC", "HOME=/tmp", "LAMBDA_TASK_ROOT=" + folder, "_HANDLER=" + f.handler, "AWS_LAMBDA_RUNTIME_API=" + l.Addr().String(),
		"AWS_LAMBDA_FUNCTION_NAME=f", "AWS_LAMBDA_FUNCTION_VERSION=$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128", "AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/f",
		"AWS_LAMBDA_LOG_STREAM_NAME=stream", "AWS_REGION=us-east-1", "PYTHONDONTWRITEBYTECODE=1",
	}, append(c.env, f.env...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		server.Shutdown(ctx)
	}()
	defer func() {
		_ = cmd.Process.Kill()
		<-ended
	}()
	var out strings.Builder
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	gone := func() bool {
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			fmt.Fprintln(&out, "it does not end")
			return false
		}
		fmt.Fprintf(&out, "it ended: %s\n", cmd.ProcessState)
		return true
	}
	select {
	case <-runtime.Ready():
	case <-runtime.Failed():
		fmt.Fprintf(&out, "initialization failed: %s\n", document(runtime.InitError(), folder))
		gone()
		return out.String() + log.text(folder)
	case <-ended:
		gone()
		return out.String() + log.text(folder)
	case <-ctx.Done():
		t.Fatalf("%v does not start %s: %s", c.command, f.handler, log.text(folder))
	}
	for i, event := range f.events {
		var stream collected
		inv := &worker.Invocation{
			RequestID: fmt.Sprintf("request-%d", i), Payload: []byte(event), Deadline: time.Now().Add(time.Minute), FunctionARN: "arn:aws:lambda:us-east-1:1:function:f",
			ClientContext: f.client, Identity: f.identity, TraceID: f.trace, Stream: &stream,
		}
		fmt.Fprintf(&out, "%s -> ", event)
		res, err := runtime.Invoke(ctx, inv)
		switch {
		case errors.Is(err, guest.ErrGone):
			fmt.Fprint(&out, "gone; ")
		case err != nil:
			t.Fatalf("%v, %s, %s: %v\n%s", c.command, f.handler, event, err, log.text(folder))
		case res.Outcome == function.OutcomeHandlerError:
			fmt.Fprintf(&out, "error: %s", document(res.Payload, folder))
		default:
			body := string(res.Payload)
			if len(body) > 1000 {
				body = fmt.Sprintf("%s... %d bytes", body[:100], len(body))
			}
			fmt.Fprintf(&out, "%s: %s", res.Outcome, body)
		}
		if res != nil && res.Streamed {
			text := stream.String()
			if len(text) > 1000 {
				text = fmt.Sprintf("%s... %d bytes", text[:100], len(text))
			}
			fmt.Fprintf(&out, " streamed as %s: %q", stream.kind, text)
		}
		fmt.Fprintln(&out)
		if err != nil {
			gone()
			break
		}
		if i == len(f.events)-1 && f.ends {
			gone()
		}
	}
	_ = cmd.Process.Kill()
	<-ended
	return out.String() + log.text(folder)
}

type collected struct {
	kind string
	strings.Builder
}

func (c *collected) Start(kind string) { c.kind = kind }

// output is what a process wrote.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

var (
	timestamp = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)
	address   = regexp.MustCompile(`0x[0-9a-f]{6,}`)
	// position is where a frame of JavaScript is in the function; how it is called there is how a client calls it.
	position = regexp.MustCompile(`TASK/[^():]+:\d+:\d+`)
)

// text is the log, in the form in which both clients write it.
func (o *output) text(folder string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := strings.ReplaceAll(o.buf.String(), folder, "TASK")
	s = strings.ReplaceAll(strings.ReplaceAll(s, "\r", "\n"), "\u00a0", " ") // as the published ones write lines where nobody frames them
	s = requireStack.ReplaceAllString(s, "Require stack: ...")
	s = address.ReplaceAllString(timestamp.ReplaceAllString(s, "TIME"), "ADDRESS")
	var kept []string
	for line := range strings.Lines(s) {
		line = stacks.ReplaceAllString(strings.TrimSpace(line), `"stack":[]`)
		if line == "" || strings.HasPrefix(line, "Executing '") || strings.HasPrefix(line, "at ") || strings.HasPrefix(line, "- ") || strings.Contains(line, "Node.js v") ||
			strings.Contains(line, "LAMBDA_WARNING") || strings.Contains(line, "awslambdaric/bootstrap.py") || line == "response = request_handler(event, lambda_context)" {
			continue
		}
		kept = append(kept, "  | "+line+"\n")
	}
	return strings.Join(kept, "")
}

var stacks = regexp.MustCompile(`"(stack|stackTrace)":\[("([^"\\]|\\.)*",?)*\]`)

// document is an error's, without what is the clients' own of its frames.
func document(doc []byte, folder string) string {
	var d map[string]any
	if err := json.Unmarshal(doc, &d); err != nil {
		return "no JSON: " + string(doc)
	}
	for _, name := range []string{"trace", "stackTrace"} {
		list, ok := d[name].([]any)
		if !ok {
			continue
		}
		var frames []string
		for _, f := range list {
			line := strings.TrimSpace(fmt.Sprint(f))
			line = strings.ReplaceAll(line, folder, "TASK")
			if name == "trace" {
				line = position.FindString(line)
			}
			if line != "" && !strings.Contains(line, "awslambdaric/bootstrap.py") {
				frames = append(frames, line)
			}
		}
		d[name] = frames
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(d); err != nil {
		return err.Error()
	}
	s := strings.ReplaceAll(strings.TrimSpace(b.String()), folder, "TASK")
	s = requireStack.ReplaceAllString(s, "Require stack: ...")
	return address.ReplaceAllString(s, "ADDRESS")
}

var requireStack = regexp.MustCompile(`Require stack:(\\n- [^"\\]*)+`)

func compareClients(t *testing.T, own, published client, folder string, forms []form) {
	folder, err := filepath.Abs(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range forms {
		name := f.handler
		if len(f.env) > 0 {
			name += " " + f.env[0]
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mine := transcript(t, own, folder, f)
			for _, want := range f.want {
				if !strings.Contains(mine, want) {
					t.Errorf("got\n%s\nwithout %q", mine, want)
				}
			}
			if f.because != "" {
				return
			}
			theirs := transcript(t, published, folder, f)
			for again := 0; again < f.again && mine != theirs; again++ {
				theirs = transcript(t, published, folder, f)
			}
			if mine == theirs {
				return
			}
			a, b := strings.Split(mine, "\n"), strings.Split(theirs, "\n")
			for i := range max(len(a), len(b)) {
				x, y := "", ""
				if i < len(a) {
					x = a[i]
				}
				if i < len(b) {
					y = b[i]
				}
				if x != y {
					t.Errorf("the platform's own client:\n%s\nthe published one:\n%s", x, y)
					if i > 0 && len(a) != len(b) {
						t.Logf("whole:\n%s\n---\n%s", mine, theirs)
						break
					}
				}
			}
		})
	}
}

func does(names ...string) []string {
	var events []string
	for _, n := range names {
		b, _ := json.Marshal(map[string]string{"do": n})
		events = append(events, string(b))
	}
	return events
}

func TestPythonClients(t *testing.T) {
	python := filepath.Join(config.CacheDir(), "python", "current", "bin", "python3")
	if exec.Command(python, "-c", "import awslambdaric").Run() != nil {
		t.Skip("SKIPPED: awslambdaric is not installed (make test-prerequisites)")
	}
	dir, err := assets.InstallFolder(t.TempDir(), assets.Python)
	if err != nil {
		t.Fatal(err)
	}
	own := client{command: []string{python, filepath.Join(dir, "bootstrap.py")}}
	published := client{command: []string{python, "-m", "awslambdaric"}}
	values := []string{`1`, `"text"`, `[1,{"a":null}]`, `{"ü":"€"}`, `1e400`, `123456789012345678901234567890`, `1.10`, `null`, `true`}
	compareClients(t, own, published, "testdata/python", []form{
		{handler: "forms.handler", events: append(values, does("none", "numbers", "special", "text", "tuple", "named tuple", "decimal", "keys", "bad key", "enum", "subclass",
			"bytes", "bytes inside", "bad bytes inside", "set", "date", "uuid", "object", "generator", "circular", "large", "directory", "environment", "level")...)},
		{handler: "forms.handler", env: []string{"AWS_LAMBDA_LOG_LEVEL=DEBUG"}, events: does("logs", "level")},
		{handler: "forms.handler", env: []string{"AWS_LAMBDA_LOG_FORMAT=JSON"}, events: does("logs", "raise")},
		{handler: "forms.handler", env: []string{"A=errors"}, events: does("raise", "raise chain", "raise odd", "raise empty", "type", "no such", "logs", "none")},
		{handler: "forms.handler", env: []string{"A=surrogate"}, events: does("lone surrogate")},
		{handler: "forms.handler", env: []string{"A=context"}, events: does("context"), trace: "Root=1-a-b;Sampled=1",
			client: `{"custom":{"a":1},"env":{"x":"y"},"client":{"installation_id":"i","app_title":"t"},"w3c":{"traceparent":"p","other":"o"}}`, identity: `{"cognitoIdentityId":"id","cognitoIdentityPoolId":"pool"}`,
			because: "objects are written with the names of their own classes", want: []string{`"w3c": {"traceparent": "p"}`, `"installation_id": "i"`, `["id", "pool"]`}},
		{handler: "forms.handler", env: []string{"A=no context"}, events: does("context"), because: "objects are written with the names of their own classes", want: []string{`"client": null`, `"left": true`}},
		{handler: "forms.handler", env: []string{"A=bad context"}, events: does("none"), client: "{"},
		{handler: "forms.coroutine", events: []string{`1`, `1`}, because: "a warning names the line of the client", want: []string{"Object of type coroutine is not JSON serializable"}},
		{handler: "forms.exits", events: []string{`3`}},
		{handler: "forms.exits", env: []string{"A=text"}, events: []string{`"why"`}},
		{handler: "forms.dies", events: []string{`1`}},
		{handler: "forms.one_argument", events: []string{`1`, `1`}},
		{handler: "forms.instance", events: []string{`1`}},
		{handler: "forms.method", events: []string{`1`}},
		{handler: "forms.number", events: []string{`1`}},
		{handler: "forms.Callable", events: []string{`1`}},
		{handler: "forms.nothing"},
		{handler: "pkg.inner.handler", events: []string{`1`}},
		{handler: "pkg/inner.handler", events: []string{`1`}},
		{handler: "nowhere.handler"},
		{handler: "pkg.nowhere.handler"},
		{handler: "handler"},
		{handler: "sys.handler"},
		{handler: "syntax.handler"},
		{handler: "lacks.handler"},
		{handler: "raises.handler"},
		{handler: "leaves.handler"},
		{handler: "early.handler", events: []string{`1`, `2`}},
	})
}

func TestNodeClients(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("SKIPPED: there is no Node.js (make test-prerequisites)")
	}
	published := filepath.Join(config.CacheDir(), "nodejs", "current", "node_modules", "aws-lambda-ric", "bin", "index.mjs")
	if _, err := os.Stat(filepath.Join(published, "../../dist/rapid-client.node")); err != nil {
		t.Skip("SKIPPED: aws-lambda-ric is not installed (make test-prerequisites)")
	}
	dir, err := assets.InstallFolder(t.TempDir(), assets.NodeJS)
	if err != nil {
		t.Fatal(err)
	}
	own := client{command: []string{node, filepath.Join(dir, "bootstrap.js")}}
	ric := client{command: []string{node, published}}
	values := []string{`1`, `"text"`, `[1,{"a":null}]`, `{"ü":"€"}`, `1e400`, `null`, `true`, `{"__proto__":1}`}
	compareClients(t, own, ric, "testdata/nodejs", []form{
		{handler: "forms.handler", events: append(values, does("undefined", "null", "numbers", "text", "date", "map", "toJSON", "bigint", "circular", "large", "dependency", "environment", "globals")...)},
		{handler: "forms.handler", env: []string{"A=errors"}, events: does("throw", "throw text", "throw nothing", "throw object", "throw number", "throw cause", "throw odd name", "aggregate", "reference", "type", "null")},
		{handler: "forms.handler", env: []string{"A=logs"}, events: does("logs", "logs")},
		{handler: "forms.handler", env: []string{"AWS_LAMBDA_LOG_FORMAT=JSON"}, events: does("logs", "throw")},
		{handler: "forms.handler", env: []string{"AWS_LAMBDA_LOG_LEVEL=WARN"}, events: does("logs")},
		{handler: "forms.handler", env: []string{"A=context"}, events: does("context"), client: `{"custom":{"a":1}}`, identity: `{"cognitoIdentityId":"id"}`, trace: "Root=1-a-b"},
		{handler: "forms.handler", env: []string{"A=no context"}, events: does("context")},
		{handler: "forms.handler", env: []string{"A=bad context"}, events: does("null"), client: `{`},
		{handler: "forms.handler", env: []string{"AWS_LAMBDA_NODEJS_NO_GLOBAL_AWSLAMBDA=1"}},
		{handler: "forms.handler", env: []string{"A=function"}, events: does("function"), because: "the published one answers the text undefined, which is no JSON", want: []string{"ok: null"}},
		{handler: "forms.sync", events: does("null", "throw", "throw text")},
		{handler: "forms.callback", events: append(does("later", "waits", "does not wait", "twice", "error", "error text", "succeed", "fail", "fail nothing", "done", "thenable", "never"), `{"a":1}`)},
		{handler: "forms.callback", env: []string{"A=after"}, events: does("after error")},
		{handler: "forms.never", events: []string{`1`, `2`}},
		{handler: "forms.uncaught", events: []string{`1`}, ends: true},
		{handler: "forms.rejected", events: []string{`1`}, ends: true},
		{handler: "forms.rejectedText", events: []string{`1`}, ends: true},
		{handler: "forms.exits", events: []string{`0`}},
		{handler: "forms.exits", env: []string{"A=3"}, events: []string{`3`}},
		{handler: "forms.kills", events: []string{`3`}},
		{handler: "forms.deep.er.handler", events: []string{`1`}},
		{handler: "forms.number"},
		{handler: "forms.nothing"},
		{handler: "forms.background", events: []string{`1`, `2`}},
		{handler: "forms.streamed", events: append(does("chunks", "pipeline", "http", "object", "end with", "empty", "large", "error before", "error midway", "context", "returns", "type too late"), `{"a":1}`)},
		{handler: "forms.notAsync", events: []string{`1`}, because: "the published one waits for ever", want: []string{"Streaming does not support non-async handlers."}},
		{handler: "module.handler", events: []string{`1`}},
		{handler: "module.default.handler", events: []string{`1`}},
		{handler: "esm/app.handler", events: []string{`1`}},
		{handler: "esm/old.handler", events: []string{`1`}},
		{handler: "src/index.handler", events: []string{`1`}},
		{handler: "nowhere.handler"},
		{handler: "../x.handler"},
		{handler: "handler"},
		{handler: "syntax.handler"},
		{handler: "syntax2.handler"},
		{handler: "lacks.handler"},
		{handler: "lacks2.handler"},
		{handler: "raises.handler"},
		{handler: "leaves.handler"},
		{handler: "rejects.handler", again: 20}, // it asks for an invocation, and reports the error
	})
}
