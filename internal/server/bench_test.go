package server_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/client"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/guest"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/launch"
	"github.com/cloudjit/cloudjit/internal/store"
	"github.com/cloudjit/cloudjit/internal/toolchain"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/ziptest"
)

// The benchmarks here run the cloudjit program itself and ask it as its users do: through the
// API, over HTTP, from another process. The function is the smallest there is, "echo", in Go as
// a provided runtime and in Java as a handler.
//
// CLOUDJIT_BENCH_DATA names a folder to keep the server's data in. With it, and a toolchain, the
// native rung is measured too: its binary is built at the first run, which takes minutes.

const runtimeJAR = "../assets/files/runtime.jar"

// event that every request sends.
var event = []byte(`{"id": "o-1", "items": [{"sku": "a", "count": 2}, {"sku": "b", "count": 1}]}`)

// asker sends one request of a benchmark.
type asker func() error

// to returns the asker of one client with a connection of its own.
func to(url string, check func(*http.Response) error) asker {
	hc := &http.Client{Transport: &http.Transport{}}
	return func() error {
		res, err := post(hc, url)
		if err != nil {
			return err
		}
		return check(res)
	}
}

// post sends the event, and returns an answer that has it, whose body has been read.
func post(hc *http.Client, url string) (*http.Response, error) {
	res, err := hc.Post(url, "application/json", bytes.NewReader(event))
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK || !bytes.Equal(body, event) {
		return nil, fmt.Errorf("got %s: %s", res.Status, body)
	}
	return res, nil
}

// asWorker is the command of a JVM as a worker's, with what a folder has.
func asWorker(b *testing.B, dir string, args ...string) *exec.Cmd {
	b.Helper()
	return exec.Command(filepath.Join(jdk(b), "bin/java"), append([]string{"-XX:+UseSerialGC", "-XX:-UsePerfData",
		"-XX:TieredStopAtLevel=1", "-Xmx72m", "-cp", runtimeJAR + ":" + dir}, args...)...)
}

// platform is a running cloudjit.
type platform struct {
	*client.Client
	pid int
}

// onDemand is a configuration under which only what a benchmark asks for is built, and not beside what
// it measures.
const onDemand = "policy:\n  name: paper\n  threshold: 1000000\n  optimizeAfter: 0\n"

// serve builds cloudjit and starts it; its data is kept from run to run, where that was asked for.
func serve(b *testing.B) *platform {
	b.Helper()
	data := filepath.Join(b.TempDir(), "data")
	if kept := os.Getenv("CLOUDJIT_BENCH_DATA"); kept != "" {
		runtime, err := os.ReadFile(runtimeJAR)
		if err != nil {
			b.Fatal(err)
		}
		data = filepath.Join(kept, fmt.Sprintf("%.6x", sha256.Sum256(runtime))) // a binary holds its runtime client
	}
	return serveWith(b, onDemand, data)
}

// serveWith starts a server with a configuration.
func serveWith(b *testing.B, configuration, data string) *platform {
	b.Helper()
	return serveBy(b, build(b, b.TempDir(), "cloudjit", "../../cmd/cloudjit"), configuration, data)
}

// serveBy is serveWith of a program that is there.
func serveBy(b *testing.B, exe, configuration, data string) *platform {
	b.Helper()
	conf := filepath.Join(b.TempDir(), "config.yaml")
	if err := os.WriteFile(conf, []byte(configuration), 0o644); err != nil {
		b.Fatal(err)
	}
	url, pid := run(b, exec.Command(exe, "serve", "--config", conf, "--listen", "127.0.0.1:0", "--data", data, "--log-level", "error"))
	c, err := client.New(url)
	if err != nil {
		b.Fatal(err)
	}
	return &platform{c, pid}
}

// build compiles a Go program without cgo, and so into one static file.
func build(b *testing.B, dir, name string, source ...string) string {
	b.Helper()
	exe := filepath.Join(dir, name)
	cmd := exec.Command("go", append([]string{"build", "-trimpath", "-o", exe}, source...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("build %s: %v\n%s", name, err, out)
	}
	return exe
}

// run starts a program that prints its address first, and ends it with the benchmark.
func run(b *testing.B, cmd *exec.Cmd) (url string, pid int) {
	b.Helper()
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatalf("start %s: %v", cmd.Path, err)
	}
	return strings.TrimSpace(line), cmd.Process.Pid
}

// echo is the function in one rung, and a plain HTTP server around the same code.
type echo struct {
	rung     function.Rung
	name     string
	platform *platform
	bare     string           // URL of the plain server
	alone    func() *exec.Cmd // the runtime without a platform
}

// onRung deploys the function that runs in a rung.
func onRung(b *testing.B, p *platform, rung function.Rung) *echo {
	b.Helper()
	if rung == ladder.Direct {
		return provided(b, p)
	}
	return handler(b, p, rung)
}

// provided deploys the one in Go.
func provided(b *testing.B, p *platform) *echo {
	b.Helper()
	dir := b.TempDir()
	exe := build(b, dir, "bootstrap", "testdata/bench/echo.go")
	code, err := os.ReadFile(exe)
	if err != nil {
		b.Fatal(err)
	}
	e := &echo{rung: ladder.Direct, name: "echo-go", platform: p}
	e.deploy(b, ziptest.Of(b, "bootstrap", string(code)), "provided.al2023", "bootstrap")
	e.bare, _ = run(b, exec.Command(exe, "127.0.0.1:0"))
	e.alone = func() *exec.Cmd { return exec.Command(exe) }
	return e
}

// jdk is the home of the newest one. The benchmark is skipped where there is none.
func jdk(b *testing.B) string {
	b.Helper()
	jdks := toolchain.FindJDKs(toolchain.FindOptions{})
	if len(jdks) == 0 {
		b.Skip("SKIPPED: no JDK")
	}
	return jdks[0].Home
}

// handler deploys the one in Java. It is skipped where there is no JDK.
func handler(b *testing.B, p *platform, rung function.Rung) *echo {
	b.Helper()
	if rung == ladder.Native && os.Getenv("CLOUDJIT_BENCH_DATA") == "" {
		b.Skip("SKIPPED: CLOUDJIT_BENCH_DATA names no folder to keep a native binary in")
	}
	dir := classes(b, "Echo")
	class, err := os.ReadFile(filepath.Join(dir, "Echo.class"))
	if err != nil {
		b.Fatal(err)
	}
	e := &echo{rung: rung, name: "echo-java", platform: p}
	if rung == ladder.Native {
		e.name = "echo-native"
	}
	e.deploy(b, ziptest.Of(b, "Echo.class", string(class)), "java21", "Echo")
	// Without nodelay, com.sun.net.httpserver waits for acknowledgements.
	e.bare, _ = run(b, asWorker(b, dir, "-Dsun.net.httpserver.nodelay=true", "Echo"))
	if rung == ladder.HotSpot {
		e.alone = func() *exec.Cmd { return asWorker(b, dir, launch.RuntimeMain, "Echo") }
	}
	if rung == ladder.Native {
		e.optimize(b)
	}
	return e
}

func (e *echo) deploy(b *testing.B, code []byte, runtime, entry string) {
	b.Helper()
	_, err := e.platform.WaitActive(b.Context(), e.name)
	if err != nil { // it is not there yet; one that is may have its binary already
		_, err = e.platform.Deploy(b.Context(), e.name, code, map[string]any{
			"Runtime": runtime, "Handler": entry, "MemorySize": 128, "Timeout": 60, "Role": "arn:aws:iam::000000000000:role/bench",
		}, false)
	}
	if err != nil {
		b.Fatal(err)
	}
}

// keep sets how long idle workers of the function stay.
func (e *echo) keep(b *testing.B, alive time.Duration) {
	b.Helper()
	d := store.Duration(alive)
	if err := e.platform.SetPolicy(b.Context(), e.name, store.Policy{KeepAlive: &d}); err != nil {
		b.Fatal(err)
	}
}

// optimize waits until new workers run the binary.
func (e *echo) optimize(b *testing.B) {
	b.Helper()
	if err := e.ask()(); err != nil { // traced
		b.Fatal(err)
	}
	for asked := false; ; time.Sleep(200 * time.Millisecond) {
		r, err := e.platform.Latest(b.Context(), e.name)
		if err != nil {
			b.Fatal(err)
		}
		if r.Pipeline != nil && r.Pipeline.Rung == ladder.Native {
			break
		}
		if n := len(r.Builds); asked && n > 0 && r.Builds[n-1].State == "failed" {
			b.Fatalf("build: %s", r.Builds[n-1].Reason)
		}
		if !asked {
			asked = true
			if err := e.platform.Optimize(b.Context(), e.name, ladder.Native); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func (e *echo) url() string {
	return e.platform.Endpoint() + client.FunctionPath(e.name) + "/invocations"
}

// ask returns a client of the function.
func (e *echo) ask() asker {
	return to(e.url(), func(res *http.Response) error {
		if failed := res.Header.Get("X-Amz-Function-Error"); failed != "" {
			return fmt.Errorf("function error %s", failed)
		}
		return nil
	})
}

// warm asks until workers are there for so many clients, of the rung that is to be measured, and have found their speed.
func (e *echo) warm(b *testing.B, clients, requests int) {
	b.Helper()
	for _, alive := range []time.Duration{0, time.Hour} { // workers of other rungs go first
		e.keep(b, alive)
		if err := e.ask()(); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := together(crowd(clients, e.ask), requests*clients); err != nil {
		b.Fatal(err)
	}
}

// crowd is so many clients.
func crowd(clients int, one func() asker) []asker {
	all := make([]asker, clients)
	for i := range all {
		all[i] = one()
	}
	return all
}

// together sends so many requests from several clients, each the next one when it has its
// answer, and returns how long each took.
func together(clients []asker, requests int) ([]time.Duration, error) {
	all, errs := make([][]time.Duration, len(clients)), make([]error, len(clients))
	var group sync.WaitGroup
	for i, send := range clients {
		group.Go(func() {
			for range max(requests/len(clients), 1) {
				began := time.Now()
				if errs[i] = send(); errs[i] != nil {
					return
				}
				all[i] = append(all[i], time.Since(began))
			}
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return slices.Concat(all...), nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// at is a percentile in milliseconds.
func at(times []time.Duration, percent int) float64 {
	slices.Sort(times)
	return milliseconds(times[min(len(times)*percent/100, len(times)-1)])
}

// BenchmarkWarmPause is the same with and without the pause of idle workers, in turn: calls that follow each
// other within the grace do not pay for it, and after-p50-ms is a call that has to resume its worker.
func BenchmarkWarmPause(b *testing.B) {
	const turn = 500
	names := []string{"with", "without"}
	all := map[string][]asker{}
	for _, name := range names {
		conf := onDemand
		if name == "without" {
			conf += "workers:\n  pause: false\n"
		}
		e := provided(b, serveWith(b, conf, filepath.Join(b.TempDir(), "data")))
		e.warm(b, 1, 1000)
		all[name] = crowd(1, e.ask)
	}
	b.Run("1", func(b *testing.B) { // what is above takes its time, and is done once
		times, after := map[string][]time.Duration{}, map[string][]time.Duration{}
		for done := 0; done < b.N; done += turn {
			for _, name := range names {
				took, err := together(all[name], min(turn, b.N-done))
				if err != nil {
					b.Fatal(err)
				}
				times[name] = append(times[name], took...)
			}
			for range 5 {
				time.Sleep(200 * time.Millisecond)
				for _, name := range names {
					took, err := together(all[name], 1)
					if err != nil {
						b.Fatal(err)
					}
					after[name] = append(after[name], took...)
				}
			}
		}
		b.ReportMetric(0, "ns/op")
		for _, name := range names {
			b.ReportMetric(at(times[name], 50), name+"-p50-ms")
			b.ReportMetric(at(times[name], 99), name+"-p99-ms")
			b.ReportMetric(at(after[name], 50), name+"-after-p50-ms")
		}
	})
}

// BenchmarkWarm is a warm invocation through the public API, beside a round trip to a plain HTTP
// server around the same handler, in turn. added-p50-ms is the difference, x-bare the ratio.
func BenchmarkWarm(b *testing.B) {
	p := serve(b)
	for _, rung := range []function.Rung{ladder.Direct, ladder.HotSpot, ladder.Native} {
		b.Run(string(rung), func(b *testing.B) {
			e := onRung(b, p, rung)
			bare := func() asker { return to(e.bare, func(*http.Response) error { return nil }) }
			for _, clients := range []int{1, 8, 64} {
				// C1 compiles a method after 200 calls (Tier3InvocationThreshold).
				e.warm(b, clients, 1000)
				ask, askBare := crowd(clients, e.ask), crowd(clients, bare)
				b.Run(strconv.Itoa(clients), func(b *testing.B) {
					var ours, theirs []time.Duration
					const turn = 1000
					for done := 0; done < b.N; done += turn {
						for _, t := range []struct {
							clients []asker
							times   *[]time.Duration
						}{{askBare, &theirs}, {ask, &ours}} {
							times, err := together(t.clients, min(turn, b.N-done))
							if err != nil {
								b.Fatal(err)
							}
							*t.times = append(*t.times, times...)
						}
					}
					b.ReportMetric(0, "ns/op")
					b.ReportMetric(at(ours, 50), "p50-ms")
					b.ReportMetric(at(ours, 99), "p99-ms")
					b.ReportMetric(at(theirs, 50), "bare-p50-ms")
					b.ReportMetric(at(theirs, 99), "bare-p99-ms")
					b.ReportMetric(at(ours, 50)-at(theirs, 50), "added-p50-ms")
					b.ReportMetric(at(ours, 50)/at(theirs, 50), "x-bare")
				})
			}
			e.keep(b, 0) // the next one has the machine to itself
		})
	}
}

// memory of the function's one worker by the node's own measure, which adds up what each process has.
func (e *echo) memory(b *testing.B) worker.Memory {
	b.Helper()
	all, err := e.platform.Workers(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for _, w := range all {
		if string(w.Function) == e.name && w.Rung == e.rung {
			return w.Memory
		}
	}
	b.Fatalf("no worker of rung %s", e.rung)
	return worker.Memory{}
}

// BenchmarkColdStart is a cold start through the API, each with its new worker, beside the bare
// process: from its start to its request for the first event and the answer to it, without any
// platform. The difference is the platform's own share; the phases are the node's own account.
func BenchmarkColdStart(b *testing.B) {
	p := serve(b)
	for _, rung := range []function.Rung{ladder.Direct, ladder.HotSpot, ladder.Native} {
		b.Run(string(rung), func(b *testing.B) {
			e := onRung(b, p, rung)
			e.warm(b, 1, 1)
			e.keep(b, 0)
			cold := ""
			ask := to(e.url(), func(res *http.Response) error { cold = res.Header.Get("X-Cloudjit-Cold"); return nil })
			if err := ask(); err != nil { // ends the worker that was warm
				b.Fatal(err)
			}
			before := phases(b, p, rung)
			var ours, bare []time.Duration
			for b.Loop() {
				time.Sleep(20 * time.Millisecond) // the last worker's end is not this one's start
				began := time.Now()
				if err := ask(); err != nil {
					b.Fatal(err)
				}
				if cold != "true" {
					b.Fatal("the invocation found a worker")
				}
				ours = append(ours, time.Since(began))
				if e.alone != nil {
					d, err := firstAnswer(e.alone())
					if err != nil {
						b.Fatal(err)
					}
					bare = append(bare, d)
				}
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(at(ours, 0), "min-ms")
			b.ReportMetric(at(ours, 50), "p50-ms")
			b.ReportMetric(at(ours, 99), "p99-ms")
			if len(bare) > 0 {
				b.ReportMetric(at(bare, 50), "bare-p50-ms")
				b.ReportMetric(at(ours, 50)-at(bare, 50), "share-p50-ms")
			}
			for phase, after := range phases(b, p, rung) {
				if was := before[phase]; after.count > was.count {
					b.ReportMetric((after.sum-was.sum)/(after.count-was.count)*1000, phase+"-mean-ms")
				}
			}
		})
	}
}

// phase is a histogram's sum in seconds and its count.
type phase struct{ sum, count float64 }

// phases reads the parts of a rung's cold starts from the server's metrics.
func phases(b *testing.B, p *platform, rung function.Rung) map[string]phase {
	b.Helper()
	res, err := http.Get(p.Endpoint() + "/metrics")
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	all := map[string]phase{}
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		var name string
		var value float64
		series, rest, _ := strings.Cut(lines.Text(), "} ")
		if _, err := fmt.Sscan(rest, &value); err != nil {
			continue
		}
		for _, kind := range []string{"sum", "count"} {
			labels, ok := strings.CutPrefix(series, "cloudjit_cold_start_seconds_"+kind+"{")
			if !ok || !strings.Contains(labels, `rung="`+string(rung)+`"`) {
				continue
			}
			_, name, _ = strings.Cut(labels, `phase="`)
			name, _, _ = strings.Cut(name, `"`)
			v := all[name]
			if kind == "sum" {
				v.sum = value
			} else {
				v.count = value
			}
			all[name] = v
		}
	}
	return all
}

// firstAnswer starts a runtime beside a Runtime API that does nothing else, and returns how long its first answer took.
func firstAnswer(cmd *exec.Cmd) (time.Duration, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	api := guest.Serve(l, guest.NewRuntime())
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		api.Shutdown(context.Background())
	}()
	cmd.Env = append(cmd.Env, "AWS_LAMBDA_RUNTIME_API="+l.Addr().String())
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	res, err := api.Invoke(ctx, &worker.Invocation{RequestID: "r", Payload: event})
	if err == nil && !bytes.Equal(res.Payload, event) {
		err = fmt.Errorf("got %s", res.Payload)
	}
	return time.Since(began), err
}

// BenchmarkMemory is what an idle server holds, and an idle worker that has served 1,000
// invocations and is the only one of its function. PSS counts what another process has mapped
// too (the C library, and of HotSpot its class archive) by share. vs-hotspot is the ratio of PSS.
func BenchmarkMemory(b *testing.B) {
	p := serve(b)
	b.Run("server", func(b *testing.B) {
		time.Sleep(2 * time.Second)
		report(b, statistics(b, p.pid))
	})
	hotspot := 0.0
	for _, rung := range []function.Rung{ladder.Direct, ladder.HotSpot, ladder.Native} {
		b.Run(string(rung), func(b *testing.B) {
			e := onRung(b, p, rung)
			e.warm(b, 1, 1000)
			time.Sleep(time.Second)
			m := e.memory(b)
			e.keep(b, 0)
			report(b, m)
			switch pss := float64(m.PSS); rung {
			case ladder.HotSpot:
				hotspot = pss
			case ladder.Native:
				if hotspot > 0 {
					b.ReportMetric(pss/hotspot, "vs-hotspot")
				}
			}
		})
	}
	b.Run("server-after", func(b *testing.B) { report(b, statistics(b, p.pid)) })
}

func report(b *testing.B, m worker.Memory) {
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(m.PSS)/(1<<20), "pss-MiB")
	b.ReportMetric(float64(m.RSS)/(1<<20), "rss-MiB")
}

// statistics of a process's memory.
func statistics(b *testing.B, pid int) (m worker.Memory) {
	b.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "Pss: %d", &kib); n == 1 {
			m.PSS = kib << 10
		}
		if n, _ := fmt.Sscanf(line, "Rss: %d", &kib); n == 1 {
			m.RSS = kib << 10
		}
	}
	return m
}
