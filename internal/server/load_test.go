package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/client"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/ziptest"
)

// How much the tests here ask for: what CI has time for, or what docs/durability.md promises. CLOUDJIT_LOAD=full is
// the latter (make load).
func full() bool { return os.Getenv("CLOUDJIT_LOAD") == "full" }

// tiny is a bootstrap that takes one process and a megabyte: a shell that speaks HTTP by itself. It answers what it was sent,
// after as many seconds as that says ({"s":9}).
const tiny = `#!/bin/bash
exec 3<>/dev/tcp/${AWS_LAMBDA_RUNTIME_API%:*}/${AWS_LAMBDA_RUNTIME_API#*:}
api=/2018-06-01/runtime/invocation
while :; do
	printf 'GET %s/next HTTP/1.1\r\nHost: runtime\r\n\r\n' $api >&3
	while IFS= read -r line <&3 && line=${line%$'\r'} && [ -n "$line" ]; do
		case ${line,,} in
		lambda-runtime-aws-request-id:*) id=${line##*: } ;;
		content-length:*) length=${line##*: } ;;
		esac
	done
	IFS= read -r -N $length event <&3
	s=${event//[^0-9]/}
	[ "$s" ] && read -t $s -N 1 <> <(:)
	printf 'POST %s/%s/response HTTP/1.1\r\nHost: runtime\r\nContent-Length: %s\r\n\r\n%s' $api $id $length "$event" >&3
	while IFS= read -r line <&3 && line=${line%$'\r'} && [ -n "$line" ]; do
		case ${line,,} in content-length:*) length=${line##*: } ;; esac
	done
	[ "$length" -gt 0 ] && IFS= read -r -N $length line <&3
done
`

// caller is a client of one server with as many connections as it has calls under way.
func caller(c *child) func(ctx context.Context, name string, payload string, headers ...string) (int, []byte, error) {
	hc := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 10_000, MaxIdleConns: 10_000}}
	return func(ctx context.Context, name, payload string, headers ...string) (int, []byte, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+functionsPath+"/"+name+"/invocations", strings.NewReader(payload))
		if err != nil {
			return 0, nil, err
		}
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		res, err := hc.Do(req)
		if err != nil {
			return 0, nil, err
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if res.Header.Get("X-Amz-Function-Error") != "" {
			err = fmt.Errorf("function error: %s", b)
		}
		return res.StatusCode, b, err
	}
}

// TestManyWorkers: thousands of workers on one node, beside connections of strangers that send nothing.
func TestManyWorkers(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	workers, strangers, patience := 60, 1500, 30*time.Second
	if full() {
		workers, strangers, patience = 2000, 10_000, 10*time.Minute
	}
	c, _ := single(t, func(o *config.Config) {
		// One function has nine times as many invocations in flight as it leaves to others, and leaves an eighth of the memory.
		o.Workers.MemoryMiB, o.Workers.Concurrency, o.Workers.Queue = 128*(workers+workers/2), 2*workers, 2*workers
	})
	c.create(t, "tiny", "provided.al2023", "x", ziptest.Of(t, "bootstrap", tiny), map[string]any{"MemorySize": 128, "Timeout": 900})
	call := caller(c)
	if status, b, err := call(t.Context(), "tiny", `{"a":"b"}`); status != 200 || string(b) != `{"a":"b"}` {
		t.Fatalf("one: got %d %s, %v", status, b, err)
	}
	// The strangers come again as soon as they are sent away.
	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	defer group.Wait()
	defer stop()
	var connected, sentAway atomic.Int64
	for range 8 {
		group.Go(func() {
			var mine []net.Conn
			defer func() {
				for _, conn := range mine {
					conn.Close()
				}
			}()
			for ctx.Err() == nil {
				if len(mine) == strangers/8 { // those that came first were closed, if any was
					mine[0].Close()
					mine = mine[1:]
					sentAway.Add(1)
					time.Sleep(10 * time.Millisecond)
				}
				conn, err := net.DialTimeout("tcp", strings.TrimPrefix(c.url, "http://"), time.Second)
				if err == nil {
					mine = append(mine, conn)
					connected.Add(1)
				}
			}
		})
	}
	until(t, "the strangers are there", func() bool { return connected.Load() >= int64(strangers) })
	began := time.Now()
	var answered, failed atomic.Int64
	calling, end := context.WithTimeout(ctx, patience+time.Minute)
	defer end()
	seconds := int(patience.Seconds())
	for range workers {
		group.Go(func() {
			status, b, err := call(calling, "tiny", fmt.Sprintf(`{"s":%d}`, seconds))
			switch {
			case status == 200 && err == nil:
				answered.Add(1)
			case !errors.Is(calling.Err(), context.Canceled): // the test is not over
				if failed.Add(1) < 5 {
					t.Errorf("got %d %s, %v", status, b, err)
				}
			}
		})
	}
	ready := func() (n int) {
		for line := range strings.Lines(string(c.must(t, "GET", "/metrics", nil))) {
			if rest, ok := strings.CutPrefix(line, `cloudjit_workers{rung="direct",state="busy"} `); ok {
				_, _ = fmt.Sscan(rest, &n)
			}
		}
		return n
	}
	var n int
	for end := time.Now().Add(patience); time.Now().Before(end) && failed.Load() == 0; time.Sleep(500 * time.Millisecond) {
		if n = ready(); n >= workers {
			break
		}
	}
	took := time.Since(began)
	open, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", c.cmd.Process.Pid))
	t.Logf("%d workers run after %s, beside %d connections that send nothing (%d were made in all); the server has %d descriptors open and takes %d MiB",
		n, took.Round(time.Millisecond), strangers, connected.Load(), len(open), resident(t, c)>>20)
	if n < workers {
		t.Errorf("%d workers run, want %d", n, workers)
	}
	c.create(t, "other", "provided.al2023", "x", ziptest.Of(t, "bootstrap", tiny), map[string]any{"MemorySize": 128})
	if status, b, err := call(ctx, "other", `{}`); status != 200 || err != nil {
		t.Errorf("another function's cold start: got %d %s, %v", status, b, err)
	}
	c.must(t, "DELETE", functionsPath+"/tiny", nil)
}

// TestManyClients: thousands of clients over a hundred functions are answered, or told that there are too many.
func TestManyClients(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	clients, functions, lasts := 300, 20, 3*time.Second
	if full() {
		clients, functions, lasts = 3000, 100, 30*time.Second
	}
	c, _ := single(t, func(o *config.Config) { o.Workers.MemoryMiB = 128 * 400 })
	archive := ziptest.Of(t, "bootstrap", string(guestProgram(t)))
	for i := range functions {
		c.create(t, fmt.Sprint("f", i), "provided.al2023", "x", archive, map[string]any{"MemorySize": 128, "Timeout": 30})
	}
	call := caller(c)
	for i := range functions {
		if status, b, err := call(t.Context(), fmt.Sprint("f", i), `{"id":"warm"}`); status != 200 || err != nil {
			t.Fatalf("f%d: got %d %s, %v", i, status, b, err)
		}
	}
	var group sync.WaitGroup
	var answered, throttled, failed atomic.Int64
	var counting, over atomic.Bool
	for k := range clients {
		group.Go(func() {
			name := fmt.Sprint("f", k%functions)
			for i := 0; !over.Load(); i++ {
				id := fmt.Sprint(k, "-", i)
				status, b, err := call(t.Context(), name, `{"id":"`+id+`"}`)
				switch {
				case err == nil && status == 200 && bytes.Contains(b, []byte(`"id":"`+id+`"`)):
					if counting.Load() {
						answered.Add(1)
					}
				case err == nil && status == 429:
					throttled.Add(1)
					time.Sleep(time.Second) // Retry-After
				default:
					if failed.Add(1) < 5 {
						t.Errorf("got %d %s, %v", status, b, err)
					}
				}
			}
		})
	}
	time.Sleep(lasts / 3) // the workers come
	counting.Store(true)
	began := time.Now()
	time.Sleep(lasts)
	n, d := answered.Load(), time.Since(began)
	over.Store(true)
	group.Wait()
	rate := float64(n) / d.Seconds()
	// The same clients and a server that does nothing, since both share the machine with whoever else computes on it.
	bare := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	defer bare.Close()
	nothing := caller(&child{url: bare.URL})
	var answers atomic.Int64
	over.Store(false)
	for range clients {
		group.Go(func() {
			for !over.Load() {
				if status, _, err := nothing(t.Context(), "x", `{"id":"x"}`); err == nil && status == 200 {
					answers.Add(1)
				}
			}
		})
	}
	time.Sleep(lasts / 3)
	reference := float64(answers.Load()) / (lasts / 3).Seconds()
	over.Store(true)
	group.Wait()
	t.Logf("%d clients over %d functions: %.0f answered a second (a server that does nothing: %.0f), %d times 429, %d errors; the server has taken %s of CPU time and takes %d MiB; cold starts:%s",
		clients, functions, rate, reference, throttled.Load(), failed.Load(), cpu(t, c), resident(t, c)>>20, series(t, c, "cloudjit_cold_start_seconds_count"))
	if failed.Load() > 0 {
		t.Errorf("%d errors other than 429", failed.Load())
	}
	if want := min(1500, reference/10); full() && rate < want {
		t.Errorf("%.0f answered a second, want %.0f", rate, want)
	}
}

// TestStartWithBacklog: a server that starts does not read the payloads that wait.
func TestStartWithBacklog(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	events := 150
	if full() {
		events = 1500
	}
	o, dir, tmp := newOptions(t)
	o.Config.Async.QueueMB, o.Config.Async.QueueAllMB = 2000, 2000
	c := spawn(t, o, tmp)
	defer func() { _ = c.end(syscall.SIGTERM) }()
	c.create(t, "held", "provided.al2023", "x", ziptest.Of(t, "bootstrap", tiny), nil)
	c.must(t, "PUT", "/2017-10-31/functions/held/concurrency", map[string]any{"ReservedConcurrentExecutions": 0})
	payload := `{"pad":"` + strings.Repeat("x", 1<<20-100) + `"}`
	var group sync.WaitGroup
	for k := range 4 {
		group.Go(func() {
			call := caller(c)
			for i := k; i < events; i += 4 {
				if status, b, err := call(t.Context(), "held", payload, "X-Amz-Invocation-Type", "Event"); status != 202 {
					t.Errorf("event %d: got %d %s, %v", i, status, b, err)
					return
				}
			}
		})
	}
	group.Wait()
	if err := c.end(syscall.SIGKILL); err == nil {
		t.Error("a killed server ended well")
	}
	began := time.Now()
	c = spawn(t, o, tmp)
	if _, err := c.health(); err != nil {
		t.Fatal(err)
	}
	took, work := time.Since(began), cpu(t, c)
	time.Sleep(2 * time.Second) // it looks through everything once
	w, err := c.health()
	if err != nil || w.Queued != events || w.Status != "ok" {
		t.Errorf("health: got %+v, %v, want %d events", w, err, events)
	}
	took, most := took.Round(time.Millisecond), peak(t, c)>>20
	// The same without any.
	o.Config.Data = filepath.Join(dir, "empty")
	began = time.Now()
	empty := spawn(t, o, tmp)
	if _, err := empty.health(); err != nil {
		t.Fatal(err)
	}
	reference, rest := time.Since(began).Round(time.Millisecond), cpu(t, empty)
	time.Sleep(2 * time.Second)
	t.Logf("with %d events of 1 MB that wait the server answers after %s (%s of CPU time) and has taken %d MiB; without any, after %s (%s) and %d MiB",
		events, took, work, most, reference, rest, peak(t, empty)>>20)
	if err := empty.end(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	limit := 3 * time.Second // among other tests
	if full() {
		limit = max(time.Second, reference+500*time.Millisecond)
	}
	if took > limit {
		t.Errorf("the start took %s, want %s", took, limit)
	}
	if most > 100 {
		t.Errorf("the start took %d MiB, want 100", most)
	}
}

// series adds up a metric over its labels, by phase where it has one.
func series(t *testing.T, c *child, name string) string {
	t.Helper()
	sums := map[string]float64{}
	for line := range strings.Lines(string(c.must(t, "GET", "/metrics", nil))) {
		rest, ok := strings.CutPrefix(line, name+"{")
		if !ok {
			continue
		}
		labels, value, _ := strings.Cut(rest, "} ")
		_, phase, _ := strings.Cut(labels, `phase="`)
		phase, _, _ = strings.Cut(phase, `"`)
		var v float64
		_, _ = fmt.Sscan(value, &v)
		sums[phase] += v
	}
	return fmt.Sprint(" ", sums)
}

// cpu is the CPU time that a server has taken.
func cpu(t *testing.T, c *child) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	var user, system int64
	fields := strings.Fields(rest)
	_, _ = fmt.Sscan(fields[11], &user)
	_, _ = fmt.Sscan(fields[12], &system)
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ
}

// eventsDone sends Events to a function, one after the other, and tells how long each took until it was done.
func eventsDone(t *testing.T, c *child, name string, lasts time.Duration) (took []time.Duration) {
	for began := time.Now(); time.Since(began) < lasts; time.Sleep(50 * time.Millisecond) {
		at := time.Now()
		status, header, b, err := c.call(http.MethodPost, functionsPath+"/"+name+"/invocations", map[string]any{"id": "e"}, "X-Amz-Invocation-Type", "Event")
		if err != nil || status != http.StatusAccepted {
			t.Errorf("another function's Event: got %d %s, %v", status, b, err)
			return append(took, time.Since(at))
		}
		id := header.Get("X-Amzn-RequestId")
		for {
			if status, _, _, err := c.call(http.MethodGet, client.Own+"/invocations/"+id, nil); err == nil && status == http.StatusOK {
				break
			}
			if time.Since(at) > 2*lasts {
				t.Errorf("another function's Event is not done after %s", 2*lasts)
				return append(took, time.Since(at))
			}
			time.Sleep(10 * time.Millisecond)
		}
		took = append(took, time.Since(at))
	}
	return took
}

// TestFloodsOfOthers: while one function is flooded, another one's warm call and Event wait hardly longer. What is compared is
// a server that does nothing, asked in turn in the same run: on a machine that computes all the time everybody waits.
func TestFloodsOfOthers(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	lasts := 4 * time.Second
	if full() {
		lasts = 20 * time.Second
	}
	c, _ := single(t, nil)
	archive := ziptest.Of(t, "bootstrap", string(guestProgram(t)))
	for _, name := range []string{"flooded", "other"} {
		c.create(t, name, "provided.al2023", "x", archive, map[string]any{"MemorySize": 128, "Timeout": 60})
	}
	bare := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	defer bare.Close()
	call := caller(c)
	for _, flood := range []struct {
		name, payload string
		clients       int
		header        []string
	}{
		{"calls", `{"id":"x"}`, 400, nil},
		{"calls that sleep", `{"id":"x","ms":500}`, 400, nil},
		{"calls with answers of 6 MB", fmt.Sprintf(`{"do":"answer","kb":%d}`, 6<<10-1), 20, nil},
		{"events", `{"id":"x","ms":1000}`, 50, []string{"X-Amz-Invocation-Type", "Event"}},
		{"logs", `{"do":"shout","kb":6000,"id":"x"}`, 8, nil},
	} {
		t.Run(flood.name, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			var group sync.WaitGroup
			var calls atomic.Int64
			for range flood.clients {
				group.Go(func() {
					for ctx.Err() == nil {
						if status, _, _ := call(ctx, "flooded", flood.payload, flood.header...); status == 429 {
							time.Sleep(50 * time.Millisecond)
						}
						calls.Add(1)
					}
				})
			}
			time.Sleep(time.Second)
			events := make(chan []time.Duration)
			go func() { events <- eventsDone(t, c, "other", lasts) }()
			var ours, theirs []time.Duration
			for began := time.Now(); time.Since(began) < lasts; time.Sleep(20 * time.Millisecond) {
				at := time.Now()
				res, err := http.Post(bare.URL, "application/json", strings.NewReader(`{"id":"x"}`))
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
				theirs = append(theirs, time.Since(at))
				at = time.Now()
				if status, b, err := call(t.Context(), "other", `{"id":"y"}`); status != 200 || err != nil {
					t.Errorf("another function's call: got %d %s, %v", status, b, err)
				}
				ours = append(ours, time.Since(at))
			}
			done := <-events
			stop()
			group.Wait()
			slices.Sort(ours)
			slices.Sort(theirs)
			half, most := func(d []time.Duration) time.Duration { return d[len(d)/2].Round(10 * time.Microsecond) }, func(d []time.Duration) time.Duration { return d[len(d)*99/100].Round(10 * time.Microsecond) }
			t.Logf("%d calls of the flood; %d of another function beside it: half in %s, 99 %% in %s; a server that does nothing: %s, %s",
				calls.Load(), len(ours), half(ours), most(ours), half(theirs), most(theirs))
			// A call waits for a processor three times where the server that does nothing waits once: to the server, to the worker, and back.
			if half(ours)-3*half(theirs) > 100*time.Millisecond {
				t.Errorf("another function's warm call takes %s, and one of a server that does nothing %s: a flood may add 100 ms to three of these", half(ours), half(theirs))
			}
			slices.Sort(done)
			t.Logf("%d events of another function beside it: half were done in %s, the last in %s", len(done), half(done), done[len(done)-1].Round(time.Millisecond))
			if half(done) > time.Second {
				t.Errorf("another function's Event is done after %s: a flood may add a second", half(done))
			}
		})
	}
}
