package server_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/ziptest"
)

// observer takes the identifiers of what functions have finished. It is no part of the server, so
// that it forgets nothing when that is killed.
type observer struct {
	net.Listener
	mu   sync.Mutex
	seen map[string]int
}

func observe(t *testing.T) *observer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &observer{Listener: l, seen: map[string]int{}}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if id, err := bufio.NewReader(conn).ReadString('\n'); err == nil {
					o.mu.Lock()
					o.seen[strings.TrimSpace(id)]++
					o.mu.Unlock()
					_, _ = conn.Write([]byte{1})
				}
			}()
		}
	}()
	return o
}

// missing lists what was not seen.
func (o *observer) missing(ids []string) (left []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range ids {
		if o.seen[id] == 0 {
			left = append(left, id)
		}
	}
	return left
}

// slowBuilder makes a home whose native-image takes its time and leaves the guest as the binary.
func slowBuilder(t *testing.T, dir string) string {
	t.Helper()
	bin := filepath.Join(dir, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for file, content := range map[string]string{
		"release": "IMPLEMENTOR=\"GraalVM Community\"\nJAVA_VERSION=\"25.0.1\"\nGRAALVM_VERSION=\"25.0.1\"\n",
		"bin/native-image": "#!/bin/sh\necho building\nsleep 2.5\n" +
			"for a; do case $a in @*) set -- \"$@\" $(cat \"${a#@}\");; esac; done\n" +
			"while [ $# -gt 0 ]; do [ \"$1\" = -o ] && out=$2; shift; done\n" +
			"cp " + filepath.Join(dir, "guest") + " \"$out\"\n",
		"bin/java": "#!/bin/sh\nexit 1\n",
		"guest":    string(guestProgram(t)),
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// storm is what is asked of the servers, and what they said.
type storm struct {
	t      *testing.T
	server atomic.Pointer[child]
	stop   chan struct{}
	wg     sync.WaitGroup

	mu       sync.Mutex
	accepted []string          // events
	want     map[string]string // what was acknowledged of a function: its description; "" is deleted
	maybe    map[string]string // what may have been done to it, since the answer did not come

	answers, failures, lost, wrong, writes, native atomic.Int64
	workers, builders, servers                     int
}

// loop runs f until the storm ends, n of it at once.
func (s *storm) loop(n int, pause time.Duration, f func(id string)) {
	for k := range n {
		s.wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-s.stop:
					return
				case <-time.After(rand.N(2 * pause)):
				}
				f(fmt.Sprintf("%d-%d", k, i))
			}
		})
	}
}

// ask invokes and checks the answer: an error may come of what is killed, a wrong answer never.
func (s *storm) ask(name, id, tag string, ms int) {
	status, head, body, err := s.server.Load().call("POST", functionsPath+"/"+name+"/invocations", map[string]any{"id": id, "ms": ms})
	switch {
	case err != nil:
		s.lost.Add(1)
	case status != http.StatusOK || head.Get("X-Amz-Function-Error") != "":
		s.failures.Add(1)
		if status == http.StatusOK && !strings.Contains(string(body), "RequestId") {
			s.t.Errorf("%s: a failure that says nothing: %s", name, body)
		}
	default:
		s.answers.Add(1)
		if head.Get("X-Cloudjit-Rung") == "native" {
			s.native.Add(1)
		}
		var got struct{ ID, Tag string }
		if err := json.Unmarshal(body, &got); err != nil || got.ID != id || got.Tag != tag {
			s.wrong.Add(1)
			s.t.Errorf("%s: answer %s to %s", name, body, id)
		}
	}
}

// send queues an event.
func (s *storm) send(id string) {
	status, _, _, err := s.server.Load().call("POST", functionsPath+"/events/invocations",
		map[string]any{"do": "report", "id": id, "ms": rand.IntN(30)}, "X-Amz-Invocation-Type", "Event")
	if err == nil && status == http.StatusAccepted {
		s.mu.Lock()
		s.accepted = append(s.accepted, id)
		s.mu.Unlock()
	}
}

// write changes the control plane: makes a function, changes it, deletes every third.
func (s *storm) write(id string, archive string) {
	name := "w-" + id
	step := func(method, path string, doc any, value string) bool {
		s.mu.Lock()
		s.maybe[name] = value
		s.mu.Unlock()
		status, _, body, err := s.server.Load().call(method, path, doc)
		if err != nil {
			return false
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.maybe, name)
		if status >= 300 {
			if status < 500 && status != http.StatusConflict {
				s.t.Errorf("%s %s: got %d %s", method, path, status, body)
			}
			return false
		}
		s.want[name] = value
		s.writes.Add(1)
		return true
	}
	path := functionsPath + "/" + name
	if !step("POST", functionsPath, map[string]any{
		"FunctionName": name, "Runtime": "provided.al2023", "Handler": "x", "Role": "arn:aws:iam::000000000000:role/r", "Description": "made",
		"Code": map[string]string{"ZipFile": archive},
	}, "made") {
		return
	}
	for i := range 3 {
		if !step("PUT", path+"/configuration", map[string]any{"Description": fmt.Sprint("changed ", i)}, fmt.Sprint("changed ", i)) {
			return
		}
	}
	if strings.HasSuffix(id, "0") || strings.HasSuffix(id, "3") {
		step("DELETE", path, nil, "")
	}
}

// check compares what was acknowledged with what the server has.
func (s *storm) check(c *child) {
	s.mu.Lock()
	want, maybe := maps.Clone(s.want), maps.Clone(s.maybe)
	s.mu.Unlock()
	for name := range maybe {
		if _, ok := want[name]; !ok {
			want[name] = "" // its creation was not acknowledged
		}
	}
	for name, value := range want {
		var got struct{ Description string }
		status, _, body, err := c.call("GET", functionsPath+"/"+name+"/configuration", nil)
		_ = json.Unmarshal(body, &got)
		if status == http.StatusNotFound {
			got.Description = ""
		}
		other, open := maybe[name]
		if open || got.Description != value { // it may have been changed since the lists were copied
			s.mu.Lock()
			if now, ok := s.want[name]; ok && now == got.Description {
				value = now
			} else if now, ok := s.maybe[name]; ok {
				other, open = now, true
			}
			s.mu.Unlock()
		}
		if err != nil || got.Description != value && !(open && got.Description == other) {
			s.t.Errorf("function %s: got %d %q, %v, want %q (or %q)", name, status, got.Description, err, value, other)
		}
	}
}

// descriptors counts what a server has open.
func descriptors(c *child) int {
	open, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", c.cmd.Process.Pid))
	return len(open)
}

// TestKills kills workers, builders and the server at random moments under load, and the server again
// and again: what was acknowledged is there, every accepted event is finished, no answer is wrong,
// and nothing is left when all has ended.
func TestKills(t *testing.T) {
	o, dir, tmp := newOptions(t)
	o.Config.Workers.Network = "host" // functions reach the observer
	o.Config.Workers.MemoryMiB = 4096
	o.Config.Policy.Threshold = 1
	o.Config.Async.Backoff = 200 * time.Millisecond
	o.Config.Builder.GraalVM = slowBuilder(t, filepath.Join(dir, "graalvm"))
	o.Config.Checks.Enabled = false // the builder's binary is another program
	tool := filepath.Join(o.Config.Builder.GraalVM, "bin", "native-image")
	seen := observe(t)
	mark := "KILLS=" + filepath.Base(filepath.Dir(dir)) + filepath.Base(dir)
	environment := func(tag string) map[string]any {
		name, value, _ := strings.Cut(mark, "=")
		return map[string]any{"Timeout": 10, "MemorySize": 256, "Environment": map[string]any{
			"Variables": map[string]string{name: value, "TAG": tag, "OBSERVER": seen.Addr().String()},
		}}
	}

	c := spawn(t, o, tmp)
	s := &storm{t: t, stop: make(chan struct{}), want: map[string]string{}, maybe: map[string]string{}}
	s.server.Store(c)
	defer func() { // of a test that failed
		_ = s.server.Load().cmd.Process.Kill()
	}()
	bootstrap := ziptest.Of(t, "bootstrap", string(guestProgram(t)))
	c.create(t, "events", "provided.al2023", "x", bootstrap, environment("e"))
	c.create(t, "calls", "provided.al2023", "x", bootstrap, environment("c"))
	c.create(t, "greeter", "java21", "Greeter::handle", javaJar(t, "Greeter", false), environment("g"))

	s.loop(2, 20*time.Millisecond, func(id string) { s.send("e-" + id) })
	s.loop(3, 10*time.Millisecond, func(id string) { s.ask("calls", id, "c", rand.IntN(20)) })
	s.loop(3, 40*time.Millisecond, func(id string) { s.ask("greeter", id, "g", rand.IntN(40)) })
	small := base64.StdEncoding.EncodeToString(ziptest.Of(t, "bootstrap", "#!/bin/sh\n"))
	s.loop(1, 20*time.Millisecond, func(id string) { s.write(id, small) })

	killBuilder := func() bool {
		tools := processes(tool)
		if len(tools) == 0 {
			_, _, _, _ = c.call("POST", "/cloudjit/v1/functions/greeter/optimize", nil) // a failed build waits a minute
			return false
		}
		for _, pid := range tools { // the tool and what watches it
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		s.builders++
		return true
	}
	const rounds = 5
	idle := 0 // descriptors of a server that has just started
	for round := range rounds {
		// The first round lasts until a builder was killed.
		began := time.Now()
		for least := 2500*time.Millisecond + rand.N(2*time.Second); time.Since(began) < least || s.builders == 0 && time.Since(began) < 30*time.Second; {
			time.Sleep(100*time.Millisecond + rand.N(300*time.Millisecond))
			if workers := processes(mark); len(workers) > 0 {
				_ = syscall.Kill(workers[rand.IntN(len(workers))], syscall.SIGKILL)
				s.workers++
			}
			if s.builders == 0 || rand.IntN(4) == 0 && round < rounds-1 { // the first before it can end
				killBuilder()
			}
		}
		if round == rounds-1 {
			break
		}
		if round == 0 && os.Geteuid() == 0 && !slices.ContainsFunc(leftovers(t, o, tmp), func(s string) bool { return strings.HasPrefix(s, "control group") }) {
			t.Error("the search for control groups finds none while workers run")
		}
		_ = c.end(syscall.SIGKILL)
		s.servers++
		until(t, "all workers and builders ended with their server", func() bool {
			return len(processes(mark)) == 0 && len(processes(tool)) == 0
		})
		c = spawn(t, o, tmp)
		idle = descriptors(c)
		s.server.Store(c)
		s.check(c)
	}
	until(t, "the greeter is native", func() bool {
		_, _, _, _ = c.call("POST", "/cloudjit/v1/functions/greeter/optimize", nil)
		s.ask("greeter", "last", "g", 0)
		return s.native.Load() > 0
	})
	close(s.stop)
	s.wg.Wait()
	s.check(c)
	var dead []string
	until(t, "every accepted event is finished or given up", func() bool {
		var letters struct {
			DeadLetters []struct {
				Attempts int
				Payload  json.RawMessage
			}
		}
		var health struct{ Queued int }
		_ = json.Unmarshal(c.must(t, "GET", "/cloudjit/v1/dead-letters", nil), &letters)
		_ = json.Unmarshal(c.must(t, "GET", "/cloudjit/v1/health", nil), &health)
		dead = nil
		for _, l := range letters.DeadLetters {
			dead = append(dead, fmt.Sprint(l.Attempts, " ", string(l.Payload)))
		}
		return health.Queued == 0 && len(seen.missing(s.accepted)) <= len(dead)
	})
	if missing := seen.missing(s.accepted); len(missing) > 0 {
		t.Errorf("%d events were not finished: %q; dead letters %q", len(missing), missing, dead)
	}
	for _, name := range []string{"events", "calls", "greeter"} {
		c.must(t, "DELETE", functionsPath+"/"+name, nil)
	}
	until(t, "all workers have ended", func() bool { return len(processes(mark)) == 0 })
	until(t, "no descriptors are left of the workers", func() bool { return descriptors(c) <= idle+10 })
	if err := c.end(syscall.SIGTERM); err != nil {
		t.Errorf("a clean stop: %v", err)
	}
	if left := processes(mark); len(left) > 0 {
		t.Errorf("processes %d outlived the server", left)
	}
	if left := leftovers(t, o, tmp); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	twice := 0
	seen.mu.Lock()
	for _, n := range seen.seen {
		if n > 1 {
			twice++
		}
	}
	seen.mu.Unlock()
	t.Logf("killed %d workers, %d builders, %d servers; %d events accepted, all finished (%d more than once, %d given up); %d answers (%d native), %d failures, %d connections lost, %d wrong; %d writes acknowledged",
		s.workers, s.builders, s.servers, len(s.accepted), twice, len(dead), s.answers.Load(), s.native.Load(), s.failures.Load(), s.lost.Load(), s.wrong.Load(), s.writes.Load())
	if t.Failed() {
		b, _ := os.ReadFile(filepath.Join(dir, "server.log"))
		t.Logf("the end of the servers' log:\n%s", b[max(0, len(b)-8<<10):])
	}
	if len(s.accepted) < 50 || s.answers.Load() < 100 || s.writes.Load() < 20 || s.workers < 10 || s.builders == 0 {
		t.Error("this was no storm")
	}
}
