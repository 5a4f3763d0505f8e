package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/client"
	"github.com/cloudjit/cloudjit/internal/experiment/live"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/launch"
	"github.com/cloudjit/cloudjit/internal/machine"
	"github.com/cloudjit/cloudjit/internal/recent"
	"github.com/cloudjit/cloudjit/internal/sample"
	"github.com/cloudjit/cloudjit/internal/store"
	"github.com/cloudjit/cloudjit/internal/ziptest"
)

// These are the figures that the ladder is to reach (docs/ladder.md), each beside its reference in the
// same run: a server of the same program with nothing configured, and one that optimizes nothing.

const (
	nothing  = ""                                               // nothing is configured
	plain    = "policy:\n  enabled: false\n"                    // HotSpot as it is
	prepared = "policy:\n  name: none\n  prepare: deploy\n"     // one artifact, made before the first invocation
	paper    = "policy:\n  name: paper\n  threshold: 1000000\n" // a worker for each parallel invocation
)

// classes is a folder with a compiled class of testdata/bench.
func classes(b *testing.B, name string) (dir string) {
	b.Helper()
	dir = b.TempDir()
	out, err := exec.Command(filepath.Join(jdk(b), "bin/javac"), "--release", "17", "-cp", runtimeJAR, "-d", dir, "testdata/bench/"+name+".java").CombinedOutput()
	if err != nil {
		b.Fatalf("compile %s.java: %v\n%s", name, err, out)
	}
	return dir
}

// compile makes an archive of a class in testdata/bench.
func compile(b *testing.B, name string) []byte {
	b.Helper()
	dir := classes(b, name)
	compiled, err := filepath.Glob(filepath.Join(dir, "*.class"))
	if err != nil {
		b.Fatal(err)
	}
	var files []string
	for _, class := range compiled {
		code, err := os.ReadFile(class)
		if err != nil {
			b.Fatal(err)
		}
		files = append(files, filepath.Base(class), string(code))
	}
	return ziptest.Of(b, files...)
}

func deploy(b *testing.B, p *platform, name, handler string, code []byte, environment map[string]string) {
	b.Helper()
	settings := map[string]any{"Runtime": "java21", "Handler": handler, "MemorySize": 256, "Timeout": 60, "Role": "arn:aws:iam::000000000000:role/bench"}
	if environment != nil {
		settings["Environment"] = map[string]any{"Variables": environment}
	}
	if _, err := p.Deploy(b.Context(), name, code, settings, false); err != nil {
		b.Fatal(err)
	}
}

// answer sends a request and wants any answer of the function but an error; it says which rung gave it.
func answer(p *platform, hc *http.Client, name string, payload []byte) (rung function.Rung, cold bool, took time.Duration, err error) {
	began := time.Now()
	res, err := hc.Post(p.Endpoint()+client.FunctionPath(name)+"/invocations", "application/json", bytes.NewReader(payload))
	if err != nil {
		return "", false, 0, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && (res.StatusCode != http.StatusOK || res.Header.Get("X-Amz-Function-Error") != "") {
		err = fmt.Errorf("%s: %s %s", name, res.Status, body)
	}
	return function.Rung(res.Header.Get("X-Cloudjit-Rung")), res.Header.Get("X-Cloudjit-Cold") != "", time.Since(began), err
}

// reach waits until new workers of a function are of a rung.
func reach(b *testing.B, p *platform, name string, rung function.Rung) {
	b.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for ; time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		r, err := p.Latest(b.Context(), name)
		if err != nil {
			b.Fatal(err)
		}
		if r.Pipeline != nil && r.Pipeline.Rung == rung {
			return
		}
	}
	b.Fatalf("%s is not on rung %s", name, rung)
}

// BenchmarkSecondCold is a later cold start of a newly deployed function with nothing configured, against
// one of the same function where nothing is optimized, in turn.
func BenchmarkSecondCold(b *testing.B) {
	servers := []*platform{serveWith(b, nothing, b.TempDir()), serveWith(b, plain, b.TempDir())}
	for _, name := range []string{"orders", "hello-web", "petclinic"} {
		b.Run(name, func(b *testing.B) {
			s := sampleOf(b, name)
			fs := onAll(b, servers, name, s, s.Requests[:1])
			reach(b, servers[0], name, ladder.AOTCache)
			inTurn(b, fs, "default", func(live.Answer) bool { return true })
		})
	}
}

// BenchmarkSnapshotCold is a cold start from a snapshot with nothing configured, against one of the same function where nothing is
// optimized, in turn, and the parts that the first has.
func BenchmarkSnapshotCold(b *testing.B) {
	servers := []*platform{serveWith(b, nothing, b.TempDir()), serveWith(b, plain, b.TempDir())}
	for _, name := range []string{"orders", "hello-web", "petclinic"} {
		b.Run(name, func(b *testing.B) {
			s := sampleOf(b, name)
			fs := onAll(b, servers, name, s, s.Requests)
			if err := fs[0].Optimize(b.Context(), ladder.Snapshot); err != nil {
				b.Skipf("SKIPPED: %v", err)
			}
			reach(b, servers[0], name, ladder.Snapshot)
			inTurn(b, fs, "snapshot", func(a live.Answer) bool { return a.Rung == ladder.Snapshot })
			var f recent.Figures
			if err := servers[0].Call(b.Context(), http.MethodGet, client.OwnFunction(name)+"/figures", nil, &f); err != nil {
				b.Fatal(err)
			}
			for _, r := range f.Rungs {
				if r.Rung == ladder.Snapshot && r.Parts != nil {
					for part, seconds := range map[string]float64{"queue": r.Parts.Queue, "sandbox": r.Parts.Sandbox, "runtime": r.Parts.Runtime, "init": r.Parts.Init, "handler": r.Handler} {
						b.ReportMetric(seconds*1000, part+"-mean-ms")
					}
				}
			}
		})
	}
}

// BenchmarkDeployCold is the first answer of a copy that was saved before the first invocation (prepare: deploy), against one of the
// same function where nothing is prepared, in turn.
func BenchmarkDeployCold(b *testing.B) {
	servers := []*platform{serveWith(b, prepared, b.TempDir()), serveWith(b, plain, b.TempDir())}
	for _, name := range []string{"orders", "jwt-check", "csv-to-json", "thumbnail", "hello-web", "shopcart", "petclinic", "documents"} {
		b.Run(name, func(b *testing.B) {
			fs := onAll(b, servers, name, sampleOf(b, name), nil)
			reach(b, servers[0], name, ladder.SnapshotDeploy)
			inTurn(b, fs, "copy", func(a live.Answer) bool { return a.Rung == ladder.SnapshotDeploy })
		})
	}
}

// sampleOf is one of the samples, which must be built.
func sampleOf(b *testing.B, name string) *sample.Sample {
	b.Helper()
	s, err := sample.Load(filepath.Join("../../java/samples", name))
	if err == nil {
		_, err = os.Stat(s.Archive())
	}
	if err != nil {
		b.Skipf("SKIPPED: sample %s is not built: %v", name, err)
	}
	return s
}

// onAll deploys a sample on each server, and sends the requests once.
func onAll(b *testing.B, servers []*platform, name string, s *sample.Sample, requests []sample.Request) []*live.Function {
	b.Helper()
	var fs []*live.Function
	for _, p := range servers {
		f, err := live.Deploy(b.Context(), p.Client, name, s, store.Policy{})
		if err != nil {
			b.Fatal(err)
		}
		for i := range requests {
			asked(b, f, &requests[i])
		}
		fs = append(fs, f)
	}
	return fs
}

// asked sends a request, whose answer must be right.
func asked(b *testing.B, f *live.Function, r *sample.Request) live.Answer {
	b.Helper()
	a, err := f.Ask(b.Context(), r)
	if err != nil || a.Wrong != nil {
		b.Fatal(err, a.Wrong)
	}
	return a
}

// inTurn takes cold starts of two functions in turn, and reports those of the first that count as what, those of the second as plain, and
// their ratio.
func inTurn(b *testing.B, fs []*live.Function, what string, counts func(live.Answer) bool) {
	b.Helper()
	none := store.Duration(0)
	for _, f := range fs {
		if err := f.SetPolicy(b.Context(), store.Policy{KeepAlive: &none}); err != nil {
			b.Fatal(err)
		}
	}
	times := make([][]time.Duration, len(fs))
	for b.Loop() {
		for i, f := range fs {
			if a := asked(b, f, &f.Sample.Requests[0]); a.Cold && (i > 0 || counts(a)) {
				times[i] = append(times[i], a.Latency)
			}
		}
	}
	b.ReportMetric(0, "ns/op")
	figures(b, what, times[0])
	figures(b, "plain", times[1])
	b.ReportMetric(at(times[0], 50)/at(times[1], 50), "ratio")
}

// figures reports the minimum and the median of times in milliseconds.
func figures(b *testing.B, what string, times []time.Duration) {
	b.ReportMetric(at(times, 0), what+"-min-ms")
	b.ReportMetric(at(times, 50), what+"-p50-ms")
}

// drive keeps so many clients asking for a time and returns how many answers came in a second, and how
// long each took.
func drive(b *testing.B, clients int, d time.Duration, ask func(hc *http.Client) error) (rate float64, times []time.Duration) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), d)
	defer cancel()
	var mu sync.Mutex
	var failed atomic.Pointer[error]
	var group sync.WaitGroup
	for range clients {
		group.Go(func() {
			hc := &http.Client{Transport: &http.Transport{}}
			defer hc.CloseIdleConnections()
			var mine []time.Duration
			for ctx.Err() == nil {
				began := time.Now()
				if err := ask(hc); err != nil {
					failed.Store(&err)
					return
				}
				mine = append(mine, time.Since(began))
			}
			mu.Lock()
			times = append(times, mine...)
			mu.Unlock()
		})
	}
	group.Wait()
	if err := failed.Load(); err != nil {
		b.Fatal(*err)
	}
	return float64(len(times)) / d.Seconds(), times
}

// BenchmarkComputing is a handler that computes for some 20 ms, after a minute of one client, with nothing
// configured, against the same with both of HotSpot's compilers set by hand.
func BenchmarkComputing(b *testing.B) {
	code := compile(b, "Compute")
	byDefault, byHand := serveWith(b, nothing, b.TempDir()), serveWith(b, plain, b.TempDir())
	deploy(b, byDefault, "compute", "Compute", code, nil)
	deploy(b, byHand, "compute", "Compute", code, map[string]string{"JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=4"})
	payload := []byte(`{"rounds": 60}`)
	rate := func(p *platform, d time.Duration) float64 {
		r, _ := drive(b, 1, d, func(hc *http.Client) error {
			_, _, _, err := answer(p, hc, "compute", payload)
			return err
		})
		return r
	}
	for b.Loop() {
		rate(byDefault, time.Minute)
		rate(byHand, time.Minute)
		var mine, theirs []float64
		for range 3 {
			mine, theirs = append(mine, rate(byDefault, 4*time.Second)), append(theirs, rate(byHand, 4*time.Second))
		}
		slices.Sort(mine)
		slices.Sort(theirs)
		b.ReportMetric(mine[1], "default-answers/s")
		b.ReportMetric(theirs[1], "by-hand-answers/s")
		b.ReportMetric(mine[1]/theirs[1], "ratio")
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkCrowd is 64 clients of one function that answers in a third of a millisecond, then the same
// 64 over 50 other functions, with nothing configured; beside it the first under a policy that starts
// a worker for each parallel invocation, the least that any platform in Go does (testdata/forward, with as many workers), and a plain HTTP
// server around the same handler. CLOUDJIT_OLDER names the program
// of an older version, which is measured too, as it is without a configuration.
func BenchmarkCrowd(b *testing.B) {
	const clients = 64
	code := compile(b, "Echo")
	for b.Loop() {
		now := serveWith(b, nothing, b.TempDir())
		deploy(b, now, "echo", "Echo", code, nil)
		// warm is the median of three times, answers a second and the p99 in milliseconds.
		warm := func(ask func(hc *http.Client) error) (rate, p99 float64) {
			drive(b, clients, 20*time.Second, ask)
			var rates, p99s []float64
			for range 3 {
				rate, times := drive(b, clients, 5*time.Second, ask)
				rates, p99s = append(rates, rate), append(p99s, at(times, 99))
			}
			slices.Sort(rates)
			slices.Sort(p99s)
			return rates[1], p99s[1]
		}
		one := func(p *platform) (rate, p99 float64, workers int) {
			rate, p99 = warm(askEcho(p))
			all, err := p.Workers(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			return rate, p99, len(all)
		}
		rate, p99, workers := one(now)
		b.ReportMetric(rate, "answers/s")
		b.ReportMetric(p99, "p99-ms")
		b.ReportMetric(float64(workers), "workers")

		const others = 50
		for i := range others {
			deploy(b, now, fmt.Sprintf("other-%d", i), "Echo", code, nil)
		}
		_, times := drive(b, clients, 15*time.Second, func(hc *http.Client) error {
			_, _, _, err := answer(now, hc, fmt.Sprintf("other-%d", rand.IntN(others)), event)
			return err
		})
		b.ReportMetric(at(times, 99), "others-p99-ms")
		b.ReportMetric(at(times, 100), "others-longest-ms")

		compare := func(name string, theirs, p99 float64) {
			b.ReportMetric(theirs, name+"-answers/s")
			b.ReportMetric(p99, name+"-p99-ms")
			b.ReportMetric(rate/theirs, "x-"+name)
		}
		beside := func(name string, p *platform) {
			deploy(b, p, "echo", "Echo", code, nil)
			theirs, p99, workers := one(p)
			compare(name, theirs, p99)
			b.ReportMetric(float64(workers), name+"-workers")
		}
		beside("paper", serveWith(b, paper, b.TempDir()))
		if exe := os.Getenv("CLOUDJIT_OLDER"); exe != "" {
			beside("older", serveBy(b, exe, nothing, b.TempDir()))
		}

		theirs, p99 := warm(forwarder(b, workers))
		compare("forwarder", theirs, p99)
		theirs, p99 = warm(alone(b))
		compare("no-platform", theirs, p99)
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkCrowdByWorkers is how much of the machine's CPU time an answer takes that 64 clients of one quick function wait for, client
// and all, by the number of workers: where they keep the cores busy, this is what the rate goes by.
func BenchmarkCrowdByWorkers(b *testing.B) {
	const clients, memory = 64, 256
	code := compile(b, "Echo")
	for _, workers := range []int{4, 8, 16, 44} {
		b.Run(strconv.Itoa(workers), func(b *testing.B) {
			p := serveWith(b, onDemand+fmt.Sprintf("workers: {memoryMiB: %d}\n", workers*memory), b.TempDir())
			deploy(b, p, "echo", "Echo", code, nil)
			ask := askEcho(p)
			drive(b, clients, 12*time.Second, ask)
			for b.Loop() {
				idle, all, _ := machine.CPU()
				rate, times := drive(b, clients, 4*time.Second, ask)
				idleNow, allNow, _ := machine.CPU()
				busy := (allNow - all) - (idleNow - idle)
				b.ReportMetric(float64(busy.Microseconds())/float64(len(times)), "cpu-us/answer")
				b.ReportMetric(rate, "answers/s")
				b.ReportMetric(at(times, 99), "p99-ms")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// askEcho asks the echo handler of a platform.
func askEcho(p *platform) func(hc *http.Client) error {
	return func(hc *http.Client) error {
		_, _, _, err := answer(p, hc, "echo", event)
		return err
	}
}

// alone starts a plain HTTP server around the echo handler, and returns what asks it.
func alone(b *testing.B) func(hc *http.Client) error {
	b.Helper()
	url, _ := run(b, exec.Command(filepath.Join(jdk(b), "bin/java"), "-cp", runtimeJAR, "testdata/bench/Echo.java"))
	return asks(url)
}

// forwarder starts the least that a platform in Go does, before so many runtimes with the echo handler.
func forwarder(b *testing.B, runtimes int) func(hc *http.Client) error {
	b.Helper()
	exe := build(b, b.TempDir(), "forward", "./testdata/forward")
	runtime := asWorker(b, classes(b, "Echo"), launch.RuntimeMain, "Echo")
	url, _ := run(b, exec.Command(exe, append([]string{strconv.Itoa(runtimes)}, runtime.Args...)...))
	return asks(url)
}

// asks sends the event to an address.
func asks(url string) func(hc *http.Client) error {
	return func(hc *http.Client) error {
		_, err := post(hc, url)
		return err
	}
}

// BenchmarkFirstHundred is a hundred Java functions that are invoked for the first time at once: the last
// answer, with nothing configured and where nothing is optimized.
func BenchmarkFirstHundred(b *testing.B) {
	const functions = 100
	code := compile(b, "Echo")
	for b.Loop() {
		for what, configuration := range map[string]string{"default": nothing, "plain": plain} {
			p := serveWith(b, configuration, b.TempDir())
			for i := range functions {
				deploy(b, p, fmt.Sprintf("first-%d", i), "Echo", code, nil)
			}
			began := time.Now()
			var last atomic.Int64
			var group sync.WaitGroup
			for i := range functions {
				group.Go(func() {
					if _, _, _, err := answer(p, http.DefaultClient, fmt.Sprintf("first-%d", i), event); err != nil {
						b.Error(err)
					}
					last.Store(max(last.Load(), int64(time.Since(began))))
				})
			}
			group.Wait()
			b.ReportMetric(time.Since(began).Seconds(), what+"-last-s")
		}
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkCacheCost is what an AOT cache costs to make, the recording apart, by the builder's own account.
func BenchmarkCacheCost(b *testing.B) {
	p := serveWith(b, nothing, b.TempDir())
	for _, name := range []string{"orders", "petclinic"} {
		b.Run(name, func(b *testing.B) {
			s := sampleOf(b, name)
			for i := 0; b.Loop(); i++ {
				f, err := live.Deploy(b.Context(), p.Client, fmt.Sprintf("%s-%d", name, i), s, store.Policy{})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := f.Ask(b.Context(), &s.Requests[0]); err != nil {
					b.Fatal(err)
				}
				reach(b, p, f.Name, ladder.AOTCache)
				r, err := p.Latest(b.Context(), f.Name)
				if err != nil {
					b.Fatal(err)
				}
				last := r.Builds[len(r.Builds)-1]
				b.ReportMetric(last.Cost.CPU.Seconds(), "cpu-s")
				b.ReportMetric(last.Cost.Wall.Seconds(), "wall-s")
				b.ReportMetric(float64(last.Cost.Size)/1e6, "MB")
				if doc, err := json.Marshal(last); err == nil {
					b.Logf("%s", doc)
				}
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}
