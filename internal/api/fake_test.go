package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cloudjit/cloudjit/internal/api"
	"github.com/cloudjit/cloudjit/internal/artifact"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/health"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/logs"
	"github.com/cloudjit/cloudjit/internal/node"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/recent"
	"github.com/cloudjit/cloudjit/internal/spool"
	"github.com/cloudjit/cloudjit/internal/store"
	"github.com/cloudjit/cloudjit/internal/worker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// platform is a small platform without workers: what a function does is named by its Handler.
type platform struct {
	store *store.Store
	web   http.RoundTripper // answers for web functions

	mu       sync.Mutex
	calls    map[string]int // by request
	invoked  []string       // functions, in order
	changed  []function.Name
	optimize []function.RevisionID
	rungs    []function.Rung                                   // those that were asked for
	prepare  func(context.Context, function.RevisionID) string // nil: there is nothing to prepare
	events   chan node.Event
	workers  []node.WorkerView // nil: one of a function "f"
}

func (p *platform) setWorkers(w ...node.WorkerView) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.workers = append([]node.WorkerView{}, w...)
}

func (p *platform) Sync(_ context.Context, name function.Name) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changed = append(p.changed, name)
	return nil
}

func (p *platform) Invoke(ctx context.Context, id function.RevisionID, inv *worker.Invocation) (*node.Result, error) {
	rev, ok := p.store.Revision(id)
	if !ok {
		return nil, node.ErrNotFound
	}
	p.mu.Lock()
	if p.calls == nil {
		p.calls = map[string]int{}
	}
	p.calls[inv.RequestID]++
	n := p.calls[inv.RequestID]
	p.invoked = append(p.invoked, string(rev.Spec.Function))
	p.mu.Unlock()
	return behave(ctx, &rev.Spec, inv, n)
}

// behave does what the Handler says, at the nth attempt of an invocation.
func behave(ctx context.Context, spec *function.Spec, inv *worker.Invocation, n int) (*node.Result, error) {
	ok := func(payload string) (*node.Result, error) {
		return &node.Result{Outcome: function.OutcomeOK, Payload: []byte(payload), Rung: ladder.Direct, Log: []byte("START\nhello\nEND\n")}, nil
	}
	switch spec.Handler {
	case "echo":
		event, err := inv.Event()
		if err != nil {
			return nil, err
		}
		if inv.Keep != nil && len(event) > 4<<10 { // as runtimes' answers are kept
			b, err := inv.Keep(bytes.NewReader(event), 6<<20)
			return &node.Result{Outcome: function.OutcomeOK, Body: b, Rung: ladder.Direct}, err
		}
		return ok(string(event))
	case "describe":
		return ok(fmt.Sprintf(`{"request":%q,"arn":%q,"version":%q,"context":%q,"trace":%q,"stage":%q}`,
			inv.RequestID, inv.FunctionARN, spec.Version, inv.ClientContext, inv.TraceID, spec.Environment["STAGE"]))
	case "fail":
		return &node.Result{Outcome: function.OutcomeHandlerError, Payload: []byte(`{"errorType":"java.lang.IllegalStateException","errorMessage":"no","stackTrace":[]}`), Log: bytes.Repeat([]byte("0123456789"), 1000)}, nil
	case "fail-once":
		if n == 1 {
			return &node.Result{Outcome: function.OutcomeHandlerError, Payload: []byte(`{"errorMessage":"first"}`)}, nil
		}
		return ok(`"second"`)
	case "throttle-once":
		if n == 1 {
			return nil, &node.RejectError{Reason: engine.ReasonThrottled}
		}
		return ok(`"second"`)
	case "timeout":
		return &node.Result{Outcome: function.OutcomeTimeout}, nil
	case "crash":
		return &node.Result{Outcome: function.OutcomeCrashed, Exit: &worker.Exit{Code: 1}}, nil
	case "killed":
		return &node.Result{Outcome: function.OutcomeCrashed, Exit: &worker.Exit{Code: -1, Signal: "killed"}}, nil
	case "memory":
		return &node.Result{Outcome: function.OutcomeOutOfMemory, Exit: &worker.Exit{Code: -1, Signal: "killed", OutOfMemory: true}}, nil
	case "init":
		return &node.Result{Outcome: function.OutcomeInitError, Payload: []byte(`{"errorType":"java.lang.ClassNotFoundException","errorMessage":"Class not found: x"}`)}, nil
	case "large":
		return &node.Result{Outcome: function.OutcomeTooLarge}, nil
	case "throttle":
		return nil, &node.RejectError{Reason: engine.ReasonThrottled}
	case "broken":
		return nil, errors.New("no sandbox could be made")
	case "http":
		return ok(`{"statusCode":201,"headers":{"X-A":"b","content-type":"text/plain"},"cookies":["c=1"],"body":"aGk=","isBase64Encoded":true}`)
	case "stream":
		inv.Stream.Start("text/plain")
		for _, part := range []string{"one ", "two"} {
			if _, err := io.WriteString(inv.Stream, part); err != nil {
				return nil, err
			}
		}
		return &node.Result{Outcome: function.OutcomeOK}, nil
	case "wait":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return nil, fmt.Errorf("no behaviour %q", spec.Handler)
}

func (p *platform) RoundTrip(_ function.RevisionID, r *http.Request) (*http.Response, error) {
	return p.web.RoundTrip(r)
}

func (p *platform) Optimize(_ context.Context, id function.RevisionID, rung function.Rung) error {
	if rung == "attic" {
		return fmt.Errorf("optimize %s: %w: the ladder has no rung %q", id, node.ErrConflict, rung)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.optimize, p.rungs = append(p.optimize, id), append(p.rungs, rung)
	return nil
}

func (p *platform) Prepare(ctx context.Context, id function.RevisionID) string {
	if p.prepare == nil {
		return ""
	}
	return p.prepare(ctx, id)
}

func (p *platform) Deoptimize(context.Context, function.RevisionID) error {
	return node.ErrConflict
}

func (p *platform) Workers(context.Context) []node.WorkerView {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.workers != nil {
		return p.workers
	}
	return []node.WorkerView{{ID: "01W", Function: "f", Rung: ladder.HotSpot, Recording: ladder.RecordingMetadata, State: "idle", StartedAt: time.Unix(0, 0).UTC()}}
}

func (p *platform) Revision(context.Context, function.RevisionID) (node.RevisionView, bool) {
	at := time.Unix(0, 0).UTC()
	return node.RevisionView{
		Rung: ladder.AOTCache, Recording: ladder.RecordingMetadata, Reason: "the build failed", Since: &at,
		Ladder: []node.RungView{
			{Rung: ladder.HotSpot, Phase: pipeline.PhaseReady, StartMs: 388, MemoryMB: 90},
			{Rung: ladder.AOTCache, Phase: pipeline.PhaseReady, StartMs: 141, MemoryMB: 90, DiskMB: 22, Since: &at, Reason: "a worker of the new artifact came up"},
			{Rung: ladder.Native, Phase: pipeline.PhaseFailed, Wanted: true, Falls: 1, Failures: 2, Since: &at, NotBefore: &at, Reason: "the build failed"},
		},
		Recordings: []node.RecordingView{
			{Recording: ladder.RecordingClasses, Phase: pipeline.PhaseRecorded, Version: 1},
			{Recording: ladder.RecordingMetadata, Phase: pipeline.PhaseRecording},
		},
	}, true
}

func (p *platform) BuildLog(string) ([]byte, bool) { return nil, false }

func (p *platform) Snapshot() node.Snapshot { return node.Snapshot{Invocations: 3} }

func (p *platform) Events(ctx context.Context, yield func(node.Event) error) error {
	for {
		select {
		case e := <-p.events:
			if err := yield(e); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// fixture is a running server.
type fixture struct {
	*platform
	api  *api.Server
	url  string
	logs *logs.Store
	code *artifact.Store
	dir  string

	recent *recent.Activity
}

func start(t testing.TB, change ...func(*api.Options)) *fixture {
	t.Helper()
	dir := t.TempDir()
	s, err := store.Open(t.Context(), store.Options{Dir: dir, NoSync: true, Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	code, err := artifact.Open(dir+"/code", nil)
	if err != nil {
		t.Fatal(err)
	}
	logStore, err := logs.Open(dir+"/logs", logs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := &platform{store: s, events: make(chan node.Event)}
	bodies, err := spool.Open(spool.Options{Dir: dir + "/spool", Memory: 1 << 20, Disk: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	def := config.Default()
	def.Async.Backoff = time.Millisecond
	opt := api.Options{
		Store: s, Platform: p, Code: code, Logs: logStore, Bodies: bodies, Region: def.Region, Account: def.Account,
		Limits: def.Limits, Async: def.Async, Concurrency: 1000, Version: "test", Policy: defaultPolicy(),
		Disk: func() []health.Disk {
			return []health.Disk{{Kind: "code", Bytes: code.Usage(), Limit: 1e9}, {Kind: "queue"}}
		},
	}
	opt.Recent = &recent.Activity{}
	for _, c := range change {
		c(&opt)
	}
	server := api.New(opt)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	web := httptest.NewUnstartedServer(server.Handler())
	web.Config = api.NewHTTPServer(server.Handler())
	web.Start()
	t.Cleanup(func() {
		stop()
		web.Close()
		if err := errors.Join(<-done, bodies.Close(), logStore.Close(), s.Close()); err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return &fixture{p, server, web.URL, logStore, code, dir, opt.Recent}
}

func defaultPolicy() store.Policy {
	yes, threshold, queue := true, 10, 1000
	window, keep := store.Duration(time.Minute), store.Duration(10*time.Minute)
	mode, prepare, wait := function.DeoptReexecute, policy.PrepareFirstUse, store.Duration(0)
	return store.Policy{Prepare: &prepare, MaxWait: &wait, Optimize: &yes, Threshold: &threshold, Window: &window, KeepAlive: &keep, OnMissing: &mode, QueueLimit: &queue}
}

// answer is what came back.
type answer struct {
	Status int
	Header http.Header
	Body   string
}

func (f *fixture) do(t testing.TB, method, path string, body string, header ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, f.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(b)}
}
