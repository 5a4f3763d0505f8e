package nativeimage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/aot/metarepo"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/jar"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/metadata"
	"github.com/cloudjit/cloudjit/internal/seal"
	"github.com/cloudjit/cloudjit/internal/worker/process"
)

// The corpus test compiles the applications of java/corpus for real, which takes minutes each,
// so it runs only where it is asked for (see docs/builder.md):
//
//	CLOUDJIT_CORPUS=/path/of/graalvm/home go test -v -timeout 2h -run 'TestCorpus/jackson' ./internal/aot/nativeimage
//
// Each application is traced on HotSpot while it answers requests, compiled with what the tracer
// saw, and must give the same answers as a binary. CLOUDJIT_CORPUS_LEVEL=optimized compiles at
// that level; CLOUDJIT_CORPUS_OUT is a file to which a line of JSON is added for each. With -short
// everything but the image itself is done.

const corpusDir = "../../../java/corpus"

// request of a corpus application; only Body is used for handlers.
type corpusRequest struct{ method, path, body string }

var corpus = map[string]struct {
	archive  string // below corpusDir
	handler  string // empty: a web application
	requests []corpusRequest
}{
	"jackson": {"jackson/target/jackson-orders.jar", "corpus.orders.OrderHandler", []corpusRequest{
		{body: `{"id":"a","lines":[{"product":"tea","quantity":3,"price":2.50}],"discount":{"kind":"percent","percent":10}}`},
		{body: `{"id":"b","lines":[],"discount":null}`},
		{body: `{"id":"c","lines":[{"product":"tea","quantity":1,"price":1}],"discount":{"kind":"amount","amount":5}}`},
		{body: `{"id":7,"unknown":true}`},
	}},
	"spring-boot": {"spring-boot/target/spring-boot-notes.jar", "", []corpusRequest{
		{"GET", "/", ""}, {"GET", "/?name=Ada", ""},
		{"POST", "/notes", `{"id":0,"title":"first","tags":["a","b"],"created":null}`},
		{"GET", "/notes", ""}, {"GET", "/notes/1", ""}, {"GET", "/notes/77", ""}, {"GET", "/none", ""},
		{"POST", "/notes", `{"broken"`},
	}},
	"micronaut": {"micronaut/target/micronaut-cart-1.jar", "", []corpusRequest{
		{"GET", "/carts/ada", ""},
		{"PUT", "/carts/ada", `{"product":"tea","quantity":2,"price":3.25}`},
		{"GET", "/carts/ada", ""}, {"DELETE", "/carts/ada/tea", ""}, {"DELETE", "/carts/ada/tea", ""},
		{"GET", "/none", ""}, {"PUT", "/carts/ada", `{"broken"`},
	}},
	"quarkus": {"quarkus/target/quarkus-words-1-runner.jar", "", []corpusRequest{
		{"GET", "/words", ""}, {"GET", "/words?name=Ada", ""},
		{"POST", "/words", `{"text":"to be or not to be"}`}, {"GET", "/none", ""}, {"POST", "/words", `{"broken"`},
	}},
	"aws-sdk": {"aws-sdk/target/aws-sdk-objects.jar", "corpus.objects.ItemsHandler", []corpusRequest{
		{body: `{"endpoint":"ENDPOINT","id":"7"}`}, {body: `{"endpoint":"ENDPOINT","id":"8"}`},
	}},
}

// rebuilds is how often a binary that met missing elements is built again. All that it misses
// is collected at once (mode Warn), where the platform would go back to the tracer.
const rebuilds = 1

func TestCorpus(t *testing.T) {
	home := os.Getenv("CLOUDJIT_CORPUS")
	if home == "" {
		t.Skip("compiles real applications, which takes long: set CLOUDJIT_CORPUS to a GraalVM home")
	}
	java := "../../../java/"
	for _, name := range slices.Sorted(maps.Keys(corpus)) {
		t.Run(name, func(t *testing.T) {
			c := corpus[name]
			r := &corpusRun{
				t: t, name: name, home: home, archive: abs(t, filepath.Join(corpusDir, c.archive)), requests: c.requests,
				tracer: abs(t, java+"tracer/target/tracer.jar"), runtime: abs(t, java+"runtime/target/runtime.jar"),
				dir: t.TempDir(), level: "quick",
			}
			if os.Getenv("CLOUDJIT_CORPUS_LEVEL") == "optimized" {
				r.level = levelOptimized
			}
			r.spec = function.Spec{Kind: function.KindWeb, Function: function.Name(name)}
			if c.handler != "" {
				r.spec.Kind, r.spec.Handler = function.KindHandler, c.handler
			}
			r.run()
		})
	}
}

func abs(t *testing.T, p string) string {
	t.Helper()
	p, err := filepath.Abs(p)
	if err == nil {
		_, err = os.Stat(p)
	}
	if err != nil {
		t.Fatalf("%v: package the Java parts with Maven first", err)
	}
	return p
}

type corpusRun struct {
	t                      *testing.T
	name, home             string
	archive, tracer        string
	runtime, dir           string
	level                  string
	spec                   function.Spec
	requests               []corpusRequest
	info                   *jar.Info
	report                 corpusReport
	answersHot, answersNat []string
}

type corpusReport struct {
	Name             string   `json:"name"`
	Level            string   `json:"level"`
	Metadata         int      `json:"metadata"` // elements
	Build            aot.Cost `json:"build"`
	Missing          []string `json:"missing"`              // what the tracer did not see, first element of each build
	HotSpotFirst     int64    `json:"hotspotFirstAnswerMs"` // with the tracer
	NativeFirst      int64    `json:"nativeFirstAnswerMs"`
	NativeRSS, HSRSS int64
}

func (r *corpusRun) run() {
	t := r.t
	sum, err := seal.Sum(r.archive)
	if err != nil {
		t.Fatal(err)
	}
	r.spec.CodeSHA256 = sum
	code := filepath.Join(r.dir, "code")
	if r.info, err = jar.Extract(r.archive, code, jar.Limits{}); err != nil {
		t.Fatal(err)
	}
	if r.spec.Kind == function.KindWeb && r.info.MainClass == "" {
		t.Fatalf("no main class: %+v", r.info)
	}
	doc := r.trace(code)
	set, err := metadata.Parse(doc)
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	home := r.home
	if testing.Short() {
		home = abs(t, "testdata/home") // all but the image
		cache = r.dir
	}
	b, err := New(Options{
		Home: home, ID: r.home, JDK: r.home, Runtime: r.runtime, Tracer: &metadata.Tracer{Jar: r.tracer}, Cache: filepath.Join(cache, "cloudjit-corpus"), Runner: sandboxes(t),
		Repository: metarepo.Known(filepath.Join(cache, "cloudjit-corpus")),
	})
	if err != nil {
		t.Fatal(err)
	}
	for range rebuilds + 1 {
		res := r.build(b, set)
		if testing.Short() {
			log, _ := b.Log(res.Key)
			t.Logf("traced %d elements\n%s\n%s", set.Len(), strings.Join(r.answersHot, "\n"), log)
			return
		}
		missing, ok := r.native(res.Dir)
		if ok {
			break
		}
		r.report.Missing = append(r.report.Missing, missing.What)
		set = metadata.Merge(set, missing.Set)
	}
	for i, want := range r.answersHot {
		if i >= len(r.answersNat) || r.answersNat[i] != want {
			t.Errorf("request %d:\nHotSpot: %s\nnative:  %s", i, want, r.answersNat[min(i, len(r.answersNat)-1)])
		}
	}
	r.report.Name, r.report.Level, r.report.Metadata = r.name, r.level, set.Len()
	line, _ := json.Marshal(r.report)
	t.Logf("%s", line)
	if out := os.Getenv("CLOUDJIT_CORPUS_OUT"); out != "" {
		f, err := os.OpenFile(out, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		fmt.Fprintf(f, "%s\n", line)
	}
}

// trace runs the application on HotSpot with the tracer and returns what that saw.
func (r *corpusRun) trace(code string) []byte {
	out := filepath.Join(r.dir, "trace")
	if err := os.Mkdir(out, 0o755); err != nil {
		r.t.Fatal(err)
	}
	option, err := metadata.Tracer{Jar: r.tracer}.JVMOption(out, "", 200*time.Millisecond)
	if err != nil {
		r.t.Fatal(err)
	}
	cp, main := r.info.ClassPath(code), r.info.MainClass
	if r.spec.Kind == function.KindHandler {
		cp, main = append([]string{r.runtime}, cp...), RuntimeMain
	}
	p := r.start(filepath.Join(r.home, "bin", "java"), "-XX:+UseSerialGC", option, "-cp", strings.Join(cp, ":"), main)
	r.answersHot = p.drive()
	r.report.HotSpotFirst, r.report.HSRSS = p.first.Milliseconds(), p.rss()
	time.Sleep(time.Second) // the tracer's period
	p.stop()
	doc, err := os.ReadFile(filepath.Join(out, metadata.TraceFile))
	if err != nil {
		r.t.Fatalf("the tracer wrote nothing: %v\n%s", err, p.out.String())
	}
	return doc
}

// build compiles while no other build of the machine does.
func (r *corpusRun) build(b *Builder, set *metadata.Set) *aot.Result {
	res := alone(r.t, b, &aot.Request{
		Revision: &r.spec, Code: r.archive, Rung: ladder.Rung{Options: r.level}, Recording: aot.Recording{Document: set.JSON()},
		Limits: aot.Limits{MemoryMiB: 8192, Time: 30 * time.Minute},
	})
	r.report.Build = res.Cost
	return res
}

// native runs the binary; ok is false if it met a missing element.
func (r *corpusRun) native(dir string) (missing metadata.Missing, ok bool) {
	const mode = "-XX:MissingRegistrationReportingMode="
	p := r.start(filepath.Join(dir, binaryName), mode+"Exit", "-Xmx256m")
	r.answersNat = p.drive()
	r.report.NativeFirst, r.report.NativeRSS = p.first.Milliseconds(), p.rss()
	code := p.stop()
	if code == function.ExitMissingMetadata {
		if missing, ok = metadata.ParseMissing(p.out.String()); !ok {
			r.t.Fatalf("exit code 172 with no element:\n%s", p.out.String())
		}
		all := r.start(filepath.Join(dir, binaryName), mode+"Warn", "-Xmx256m")
		all.drive()
		all.stop()
		if more, ok := metadata.ParseMissing(all.out.String()); ok {
			missing.Set = metadata.Merge(missing.Set, more.Set)
		}
		r.t.Logf("missing: %s; in all:\n%s", missing.What, missing.Set.JSON())
		return missing, false
	}
	if len(r.answersNat) < len(r.answersHot) {
		r.t.Fatalf("the binary ended with %d:\n%s", code, p.out.String())
	}
	return metadata.Missing{}, true
}

// corpusProcess is a running application with what it talks to.
type corpusProcess struct {
	r     *corpusRun
	cmd   *exec.Cmd
	out   syncBuffer
	begin time.Time
	first time.Duration
	done  chan struct{}
	port  int
	api   *runtimeAPI
	store *httptest.Server
}

// syncBuffer is written by the process' output and read while it runs.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (r *corpusRun) start(path string, args ...string) *corpusProcess {
	p := &corpusProcess{r: r, done: make(chan struct{})}
	p.api = newRuntimeAPI()
	p.store = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		fmt.Fprint(w, `{"Item":{"id":{"S":"7"},"count":{"N":"42"}}}`)
	}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	p.port = l.Addr().(*net.TCPAddr).Port
	l.Close()
	p.cmd = exec.Command(path, args...)
	p.cmd.Dir = r.dir
	p.cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + r.dir, "LANG=C.UTF-8", "PORT=" + strconv.Itoa(p.port),
		"AWS_LAMBDA_RUNTIME_API=" + strings.TrimPrefix(p.api.server.URL, "http://"), "_HANDLER=" + r.spec.Handler,
		"AWS_LAMBDA_FUNCTION_NAME=corpus", "AWS_LAMBDA_FUNCTION_VERSION=1", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=512", "AWS_REGION=eu-central-1"}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.begin = time.Now()
	if err := p.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	go func() { _ = p.cmd.Wait(); close(p.done) }()
	r.t.Cleanup(func() { _ = unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL); <-p.done })
	return p
}

// drive sends the requests twice and returns the answers of both rounds, up to the process' end.
func (p *corpusProcess) drive() []string {
	var answers []string
	for range 2 {
		for _, q := range p.r.requests {
			a, err := p.send(q)
			if err != nil {
				select {
				case <-p.done:
					return answers
				default:
					p.r.t.Fatalf("%+v: %v\n%s", q, err, p.out.String())
				}
			}
			if p.first == 0 {
				p.first = time.Since(p.begin)
			}
			answers = append(answers, a)
		}
	}
	return answers
}

func (p *corpusProcess) send(q corpusRequest) (string, error) {
	if p.r.spec.Kind == function.KindHandler {
		return p.api.invoke(strings.ReplaceAll(q.body, "ENDPOINT", p.store.URL), p.done)
	}
	client := &http.Client{Timeout: 20 * time.Second}
	for end := time.Now().Add(90 * time.Second); ; {
		req, err := http.NewRequest(q.method, fmt.Sprintf("http://127.0.0.1:%d%s", p.port, q.path), strings.NewReader(q.body))
		if err != nil {
			return "", err
		}
		if q.body != "" {
			req.Header.Set("Content-Type", "application/json")
		}
		resp, err := client.Do(req)
		if errors.Is(err, syscall.ECONNREFUSED) && time.Now().Before(end) {
			select {
			case <-p.done:
				return "", errors.New("it ended")
			case <-time.After(time.Millisecond):
				continue
			}
		}
		if err != nil {
			<-time.After(50 * time.Millisecond) // for its end to be seen
			return "", err
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		return fmt.Sprintf("%d %s %s", resp.StatusCode, resp.Header.Get("Content-Type"), withoutTimes(b)), err
	}
}

// withoutTimes leaves the time of an answer out of error documents.
func withoutTimes(b []byte) string {
	var doc map[string]any
	if json.Unmarshal(b, &doc) != nil {
		return string(b)
	}
	delete(doc, "timestamp")
	delete(doc, "stackTrace") // line numbers of hidden frames differ
	b, _ = json.Marshal(doc)
	return string(b)
}

func (p *corpusProcess) rss() int64 {
	m, err := process.MemoryOf(p.cmd.Process.Pid)
	if err != nil {
		p.r.t.Error(err)
	}
	return m.RSS
}

func (p *corpusProcess) stop() int {
	_ = unix.Kill(p.cmd.Process.Pid, unix.SIGTERM)
	p.api.close()
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		_ = unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL)
		<-p.done
	}
	p.store.Close()
	return p.cmd.ProcessState.ExitCode()
}

// runtimeAPI is the part of the Lambda Runtime API that a runtime client needs.
type runtimeAPI struct {
	server  *httptest.Server
	events  chan string
	answers chan string
	quit    context.CancelFunc
}

func newRuntimeAPI() *runtimeAPI {
	ctx, quit := context.WithCancel(context.Background())
	a := &runtimeAPI{events: make(chan string), answers: make(chan string, 1), quit: quit}
	n := 0
	a.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/next") {
			select {
			case e := <-a.events:
				n++
				w.Header().Set("Lambda-Runtime-Aws-Request-Id", fmt.Sprintf("00000000-0000-0000-0000-%012d", n))
				w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(time.Now().Add(time.Minute).UnixMilli(), 10))
				w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-central-1:1:function:corpus")
				fmt.Fprint(w, e)
			case <-ctx.Done():
			case <-r.Context().Done():
			}
			return
		}
		b, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
		a.answers <- filepath.Base(r.URL.Path) + " " + withoutTimes(b)
	}))
	return a
}

func (a *runtimeAPI) invoke(event string, ended <-chan struct{}) (string, error) {
	select {
	case a.events <- event:
	case <-ended:
		return "", errors.New("it ended")
	case <-time.After(60 * time.Second):
		return "", errors.New("it does not ask for events")
	}
	select {
	case s := <-a.answers:
		return s, nil
	case <-ended:
		return "", errors.New("it ended")
	case <-time.After(60 * time.Second):
		return "", errors.New("it does not answer")
	}
}

func (a *runtimeAPI) close() { a.quit(); a.server.CloseClientConnections() }
