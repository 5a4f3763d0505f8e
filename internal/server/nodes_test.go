package server_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/porttest"
	"github.com/cloudjit/cloudjit/internal/ziptest"
)

// nodeKills is how many nodes TestNodesDie kills: CLOUDJIT_NODE_KILLS, two if that is not set.
func nodeKills(t *testing.T) int {
	t.Helper()
	v := os.Getenv("CLOUDJIT_NODE_KILLS")
	if v == "" {
		return 2
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		t.Fatalf("CLOUDJIT_NODE_KILLS: %v", err)
	}
	return n
}

// nodeOptions are those of three nodes of one cluster, each with its folder.
func nodeOptions(t *testing.T) (all [3]childOptions, tmp [3]string) {
	t.Helper()
	var addresses []string
	free := porttest.Free(t, 2*len(all))
	for i := range all {
		all[i], _, tmp[i] = newOptions(t)
		all[i].Config.Listen = free[2*i].String() // it comes back under the same
		all[i].Config.Cluster.Listen = free[2*i+1].String()
		addresses = append(addresses, all[i].Config.Cluster.Listen)
	}
	for i := range all {
		c := &all[i].Config
		c.Cluster.Name, c.Cluster.Join, c.Insecure = "test", addresses, true
		c.Workers.Network = "host" // functions reach the observer
		c.Workers.MemoryMiB = 2048
		c.Policy.Enabled = false
		c.Async.Backoff = 200 * time.Millisecond
	}
	return all, tmp
}

// TestNodesDie kills nodes under load. What was acknowledged runs, none of it more often than its retries allow, and no answer is
// wrong.
func TestNodesDie(t *testing.T) {
	options, tmp := nodeOptions(t)
	seen := observe(t)
	var nodes [3]atomic.Pointer[child]
	start := func(which ...int) {
		var starting sync.WaitGroup
		for _, i := range which {
			starting.Go(func() { nodes[i].Store(spawn(t, options[i], tmp[i])) })
		}
		starting.Wait()
	}
	start(0, 1, 2)
	defer func() {
		for i := range nodes {
			if c := nodes[i].Load(); c != nil {
				_ = c.cmd.Process.Kill()
				_ = c.cmd.Wait()
			}
		}
	}()
	environment := map[string]any{"Timeout": 10, "MemorySize": 128, "Environment": map[string]any{
		"Variables": map[string]string{"TAG": "n", "OBSERVER": seen.Addr().String()},
	}}
	bootstrap := ziptest.Of(t, "bootstrap", string(guestProgram(t)))
	nodes[0].Load().create(t, "f", "provided.al2023", "x", bootstrap, environment)
	for i := range nodes { // deployed on one, there on all
		nodes[i].Load().must(t, "POST", functionsPath+"/f/invocations", map[string]any{"id": "first"})
	}

	var mu sync.Mutex
	var accepted []string
	var answers, refused, lost, wrong atomic.Int64
	stop := make(chan struct{})
	var load sync.WaitGroup
	loop := func(n int, pause time.Duration, f func(id string)) {
		for k := range n {
			load.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					case <-time.After(rand.N(2 * pause)):
						f(fmt.Sprintf("%d-%d", k, i))
					}
				}
			})
		}
	}
	loop(3, 40*time.Millisecond, func(id string) {
		status, _, _, err := nodes[rand.IntN(3)].Load().call("POST", functionsPath+"/f/invocations",
			map[string]any{"do": "report", "id": id, "ms": rand.IntN(50)}, "X-Amz-Invocation-Type", "Event")
		if err == nil && status == http.StatusAccepted {
			mu.Lock()
			accepted = append(accepted, id)
			mu.Unlock()
		}
	})
	loop(3, 30*time.Millisecond, func(id string) {
		status, head, body, err := nodes[rand.IntN(3)].Load().call("POST", functionsPath+"/f/invocations", map[string]any{"id": id, "ms": rand.IntN(20)})
		var got struct{ ID, Tag string }
		switch {
		case err != nil:
			lost.Add(1)
		case status != http.StatusOK || head.Get("X-Amz-Function-Error") != "":
			refused.Add(1)
		case json.Unmarshal(body, &got) != nil || got.ID != id || got.Tag != "n":
			wrong.Add(1)
			t.Errorf("answer %s to %s", body, id)
		default:
			answers.Add(1)
		}
	})
	kills := nodeKills(t)
	for range kills {
		time.Sleep(2*time.Second + rand.N(2*time.Second))
		i := rand.IntN(3)
		_ = nodes[i].Load().end(syscall.SIGKILL)
		time.Sleep(rand.N(6 * time.Second)) // sometimes the others have noticed, and sometimes not
		start(i)
	}
	time.Sleep(time.Second)
	close(stop)
	load.Wait()
	// A rolling restart of one more ends what runs.
	if err := nodes[0].Load().end(syscall.SIGTERM); err != nil {
		t.Errorf("a node that stops: %v", err)
	}
	start(0)
	for end := time.Now().Add(2 * time.Minute); len(seen.missing(accepted)) > 0; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d of %d acknowledged events did not run: %v", len(seen.missing(accepted)), len(accepted), seen.missing(accepted))
		}
	}
	most := 0
	seen.mu.Lock()
	for id, n := range seen.seen {
		if most = max(most, n); n > 3 {
			t.Errorf("%s ran %d times, and two retries allow three", id, n)
		}
	}
	seen.mu.Unlock()
	t.Logf("%d kills: %d events acknowledged, 0 lost, none ran more than %d times; %d answers, %d wrong, %d refused, %d connections broke",
		kills, len(accepted), most, answers.Load(), wrong.Load(), refused.Load(), lost.Load())
	if answers.Load() == 0 || len(accepted) == 0 {
		t.Error("there was no load")
	}
	for i := range nodes {
		if err := nodes[i].Load().end(syscall.SIGTERM); err != nil {
			said, _ := os.ReadFile(nodes[i].Load().log.Name())
			t.Errorf("node %d: %v\n%s", i, err, said)
		}
		nodes[i].Store(nil)
	}
}

// number is a metric of a server; 0 if it has none of that name.
func (c *child) number(t *testing.T, name string) (v float64) {
	t.Helper()
	for line := range strings.Lines(string(c.must(t, "GET", "/metrics", nil))) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			v, _ = strconv.ParseFloat(strings.TrimSpace(rest), 64)
		}
	}
	return v
}

// TestNodesShareArtifacts: three nodes with nothing in common but the cluster. One makes a cache for a function, once; the node that
// comes next for it has it soon after, and serves from it when the first one is gone.
func TestNodesShareArtifacts(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: takes half a minute")
	}
	archive := javaJar(t, "Greeter", false)
	options, tmp := nodeOptions(t)
	nodes := startNodes(t, &options, tmp, func(o *childOptions) { o.Config.Policy.Enabled = true; o.Config.Policy.SnapshotAfter = 10000 })
	nodes[0].create(t, "greeter", "java25", "Greeter::handle", archive, map[string]any{"Timeout": 10, "MemorySize": 256})
	killed := false
	greet := func(via *child, id string, ms int) (rung string) {
		status, head, body, err := via.call("POST", functionsPath+"/greeter/invocations", map[string]any{"id": id, "ms": ms})
		if killed && err == nil && status == http.StatusInternalServerError && strings.Contains(string(body), "went away before it answered") {
			return "" // it was on its way to the node that died
		}
		var got struct{ ID string }
		if err != nil || status != http.StatusOK || json.Unmarshal(body, &got) != nil || got.ID != id {
			t.Errorf("got %d %s, %v", status, body, err)
		}
		return head.Get("X-Cloudjit-Rung")
	}
	greet(nodes[0], "first", 0)
	for i, c := range nodes { // it ran on one, and all say so
		until(t, fmt.Sprintf("node %d counts what others ran", i), func() bool {
			var rev struct {
				Pipeline struct{ Invocations, Workers int }
			}
			err := json.Unmarshal(c.must(t, "GET", "/cloudjit/v1/functions/greeter/revisions/latest", nil), &rev)
			return err == nil && rev.Pipeline.Invocations == 1 && rev.Pipeline.Workers == 1
		})
	}
	nodes[1].must(t, "POST", "/cloudjit/v1/functions/greeter/optimize", map[string]any{"rung": "aot-cache"})
	caches := func() (have []int) {
		for i := range nodes {
			if found, _ := filepath.Glob(filepath.Join(options[i].Cache, "aot", "images", "*", "*")); len(found) > 0 && nodes[i] != nil {
				have = append(have, i)
			}
		}
		return have
	}
	until(t, "two nodes have the cache", func() bool { greet(nodes[2], "again", 0); return len(caches()) >= 2 })
	builds, fetched, owner := 0.0, 0.0, -1
	for i, c := range nodes {
		if n := c.number(t, `cloudjit_builds_total{result="ok",rung="aot-cache"}`); n > 0 {
			builds, owner = builds+n, i
		}
		fetched += c.number(t, `cloudjit_fetched_artifacts{result="ok"}`)
	}
	if builds != 1 || fetched < 1 || fetched > 2 { // the third node has it too where it has served
		t.Errorf("%v caches were made and %v fetched", builds, fetched)
	}
	if owner < 0 {
		t.Fatal("nobody made it")
	}
	_ = nodes[owner].end(syscall.SIGKILL)
	nodes[owner], killed = nil, true
	via := nodes[(owner+1)%3]
	// A worker of the first rung that is there already goes on: the second invocation of two at once needs a new one.
	until(t, "a node that did not make the cache serves from it", func() bool {
		var rungs [2]string
		var both sync.WaitGroup
		for i := range rungs {
			both.Go(func() { rungs[i] = greet(via, "later", 500) })
		}
		both.Wait()
		return slices.Contains(rungs[:], "aot-cache")
	})
	for i, c := range nodes {
		if c != nil && c.number(t, `cloudjit_builds_total{result="ok",rung="aot-cache"}`) > 0 {
			t.Errorf("node %d made it again", i)
		}
	}
}

// startNodes starts all nodes of a cluster, and ends them with the test.
func startNodes(t *testing.T, options *[3]childOptions, tmp [3]string, change func(*childOptions)) (nodes [3]*child) {
	t.Helper()
	var starting sync.WaitGroup
	for i := range nodes {
		if change != nil {
			change(&options[i])
		}
		starting.Go(func() { nodes[i] = spawn(t, options[i], tmp[i]) })
	}
	starting.Wait()
	if t.Failed() {
		t.FailNow()
	}
	running := nodes
	t.Cleanup(func() {
		for i, c := range running {
			if c != nil && c.cmd.ProcessState == nil {
				_ = c.end(syscall.SIGTERM)
			}
			if t.Failed() && c != nil {
				said, _ := os.ReadFile(c.log.Name())
				t.Logf("the end of the log of node %d:\n%s", i, said[max(0, len(said)-4<<10):])
			}
		}
	})
	return nodes
}
