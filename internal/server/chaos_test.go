package server_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/ziptest"
)

// chaosLength is how long TestChaos goes on: what CLOUDJIT_CHAOS says (make chaos), or long enough for each fault once or twice.
func chaosLength(t *testing.T) time.Duration {
	t.Helper()
	v := os.Getenv("CLOUDJIT_CHAOS")
	if v == "" {
		if testing.Short() {
			t.Skip("takes half a minute")
		}
		return 15 * time.Second
	}
	length, err := time.ParseDuration(v)
	if err != nil {
		t.Fatal(err)
	}
	return length
}

// chaosSeed is CLOUDJIT_SEED, or 1.
func chaosSeed(t *testing.T) uint64 {
	t.Helper()
	v := os.Getenv("CLOUDJIT_SEED")
	if v == "" {
		return 1
	}
	seed, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return seed
}

// wellness is what the health resource answers.
type wellness struct {
	Status    string
	Functions int
	Queued    int
	Problems  []problem
}

type problem struct {
	Component, Message string
	Lost, Repaired     []string
	Warning            bool
}

func (c *child) health() (wellness, error) {
	var w wellness
	status, _, b, err := c.call("GET", "/cloudjit/v1/health", nil)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("health: %d %s", status, b)
	}
	if err == nil {
		err = json.Unmarshal(b, &w)
	}
	return w, err
}

// about reports whether a component has a problem that is more than a warning.
func (w *wellness) about(component string) bool {
	return slices.ContainsFunc(w.Problems, func(p problem) bool { return p.Component == component && !p.Warning })
}

// lost is everything that is said to be lost.
func (w *wellness) lost() (all []string) {
	for _, p := range w.Problems {
		all = append(all, p.Lost...)
	}
	return all
}

// chaos is one run of faults, all from one seed.
type chaos struct {
	*storm
	o     childOptions
	tmp   string
	mark  string
	rand  *rand.Rand
	c     *child
	count map[string]int
	lost  map[string]bool
}

// again starts the server after it was ended, and holds what was acknowledged to what is there.
func (x *chaos) again() {
	x.c = spawn(x.t, x.o, x.tmp)
	x.server.Store(x.c)
	w, err := x.c.health()
	if err != nil {
		x.t.Errorf("health after a start: %v", err)
	}
	for _, what := range w.lost() {
		x.lost[what] = true
	}
	if (w.Status == "ok") != (len(w.lost()) == 0 && !w.about("disk")) {
		x.t.Errorf("health after a start: got %+v", w)
	}
	x.check(x.c)
}

func (x *chaos) killServer() {
	_ = x.c.end(syscall.SIGKILL)
	until(x.t, "all workers ended with their server", func() bool { return len(processes(x.mark)) == 0 })
	x.again()
}

func (x *chaos) killWorker() {
	if workers := processes(x.mark); len(workers) > 0 {
		_ = syscall.Kill(workers[x.rand.IntN(len(workers))], syscall.SIGKILL)
	}
}

// pause stops a worker or the server for a moment.
func (x *chaos) pause() {
	pid := x.c.cmd.Process.Pid
	if workers := processes(x.mark); len(workers) > 0 && x.rand.IntN(2) == 0 {
		pid = workers[x.rand.IntN(len(workers))]
	}
	if syscall.Kill(pid, syscall.SIGSTOP) == nil {
		time.Sleep(time.Duration(200+x.rand.IntN(800)) * time.Millisecond)
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
}

// fillDisk takes all room, looks that the server says so, and frees it again.
func (x *chaos) fillDisk() {
	name := filepath.Join(x.o.Config.Data, "fill")
	f, err := os.Create(name)
	if err != nil {
		x.t.Error(err)
		return
	}
	for _, n := range []int{1 << 20, 4 << 10} {
		for b := make([]byte, n); ; {
			if _, err := f.Write(b); err != nil {
				break
			}
		}
	}
	f.Close()
	until(x.t, "health says that the disk is full", func() bool {
		w, err := x.c.health()
		return err == nil && w.Status == "degraded" && w.about("disk")
	})
	status, _, body, err := x.c.call("POST", functionsPath+"/events/invocations", map[string]any{"do": "report", "id": "full", "ms": 0}, "X-Amz-Invocation-Type", "Event")
	if err == nil && status != http.StatusInsufficientStorage && status != http.StatusServiceUnavailable {
		x.t.Errorf("an event on a full disk: got %d %s, want 507 or 503", status, body)
	}
	if x.rand.IntN(3) == 0 {
		x.killWorker() // its successor starts on a full disk
		x.ask("calls", "full", "c", 0)
	}
	if err := os.Remove(name); err != nil {
		x.t.Error(err)
	}
	began := time.Now()
	until(x.t, "writes work again", func() bool {
		status, _, _, err := x.c.call("PUT", functionsPath+"/events/configuration", map[string]any{"Description": fmt.Sprint(began)})
		return err == nil && status == http.StatusOK
	})
	if d := time.Since(began); d > 5*time.Second {
		x.t.Errorf("the first write worked %v after there was room again, want 5 s at most", d)
	}
}

// flip inverts bytes of one file of the store, of its inventory or of unpacked code, while no server runs.
func (x *chaos) flip() {
	_ = x.c.end(syscall.SIGKILL)
	until(x.t, "all workers ended with their server", func() bool { return len(processes(x.mark)) == 0 })
	folder := []string{"state", "inventory", filepath.Join("artifacts", "trees")}[x.rand.IntN(3)]
	var files []string
	_ = filepath.WalkDir(filepath.Join(x.o.Config.Data, folder), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
		}
		return nil
	})
	if len(files) > 0 {
		file := files[x.rand.IntN(len(files))]
		b, err := os.ReadFile(file)
		if err != nil {
			x.t.Fatal(err)
		}
		end := len(strings.TrimRight(string(b), "\x00"))
		for range 1 + x.rand.IntN(64) {
			if end > 0 {
				b[x.rand.IntN(end)] ^= byte(1 + x.rand.IntN(255))
			}
		}
		info, err := os.Stat(file)
		if err == nil {
			err = os.WriteFile(file, b, info.Mode())
		}
		if err != nil {
			x.t.Fatal(err)
		}
		x.t.Logf("flipped bytes of %s", strings.TrimPrefix(file, x.o.Config.Data))
	}
	x.again()
}

// flood calls from many sides at once.
func (x *chaos) flood() {
	var wait []chan struct{}
	for i := range 60 {
		done := make(chan struct{})
		wait = append(wait, done)
		go func() {
			defer close(done)
			x.ask("calls", fmt.Sprint("flood-", i), "c", 5)
		}()
	}
	for _, done := range wait {
		<-done
	}
}

// exhaust opens as many connections as there are descriptors for, and sends nothing on them.
func (x *chaos) exhaust() {
	var open []net.Conn
	for range 1500 {
		conn, err := net.DialTimeout("tcp", strings.TrimPrefix(x.c.url, "http://"), time.Second)
		if err != nil {
			break
		}
		open = append(open, conn)
	}
	x.killWorker() // and another one is to start meanwhile
	x.ask("calls", "exhausted", "c", 0)
	for _, conn := range open {
		conn.Close()
	}
}

// TestChaos does everything at once that goes wrong in the field, at random from a seed: what was acknowledged is there or is
// named among the lost, no answer is wrong, health is right at every step, and nothing is left behind.
func TestChaos(t *testing.T) {
	seed, length := chaosSeed(t), chaosLength(t)
	dir := t.TempDir()
	tmp, data := filepath.Join(dir, "tmp"), filepath.Join(dir, "data")
	for _, sub := range []string{tmp, data} {
		if err := os.Mkdir(sub, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mount("small", data, "tmpfs", 0, "size=512m"); err != nil {
		t.Skipf("SKIPPED: no small file system can be mounted here: %v", err)
	}
	defer func() { _ = unix.Unmount(data, unix.MNT_DETACH) }()
	o := childOptions{Config: config.Default(), Cache: filepath.Join(dir, "cache")}
	o.Config.Listen, o.Config.Data = "127.0.0.1:0", filepath.Join(data, "d")
	if err := os.Mkdir(o.Config.Data, 0o700); err != nil {
		t.Fatal(err)
	}
	o.Config.Workers.Network = "host"
	o.Config.Workers.MemoryMiB = 4096
	o.Config.Async.Backoff = 200 * time.Millisecond
	seen := observe(t)
	mark := "CHAOS=" + filepath.Base(filepath.Dir(dir)) + filepath.Base(dir)
	environment := func(tag string) map[string]any {
		name, value, _ := strings.Cut(mark, "=")
		return map[string]any{"Timeout": 10, "MemorySize": 256, "Environment": map[string]any{
			"Variables": map[string]string{name: value, "TAG": tag, "OBSERVER": seen.Addr().String()},
		}}
	}
	s := &storm{t: t, stop: make(chan struct{}), want: map[string]string{}, maybe: map[string]string{}}
	x := &chaos{storm: s, o: o, tmp: tmp, mark: mark, rand: rand.New(rand.NewPCG(seed, 16)), count: map[string]int{}, lost: map[string]bool{}}
	x.c = spawn(t, o, tmp)
	s.server.Store(x.c)
	defer func() { _ = s.server.Load().cmd.Process.Kill() }() // of a test that failed
	bootstrap := ziptest.Of(t, "bootstrap", string(guestProgram(t)))
	x.c.create(t, "events", "provided.al2023", "x", bootstrap, environment("e"))
	x.c.create(t, "calls", "provided.al2023", "x", bootstrap, environment("c"))
	small := base64.StdEncoding.EncodeToString(ziptest.Of(t, "bootstrap", "#!/bin/sh\n"))
	s.loop(2, 25*time.Millisecond, func(id string) { s.send("e-" + id) })
	s.loop(2, 15*time.Millisecond, func(id string) { s.ask("calls", id, "c", rand.IntN(20)) })
	s.loop(1, 40*time.Millisecond, func(id string) { s.write(id, small) })

	faults := []struct {
		name string
		do   func()
	}{
		{"server killed", x.killServer}, {"worker killed", x.killWorker}, {"disk full", x.fillDisk}, {"bytes flipped", x.flip},
		{"stopped", x.pause}, {"descriptors taken", x.exhaust}, {"flood", x.flood}, {"worker killed", x.killWorker},
	}
	for began, i := time.Now(), 0; time.Since(began) < length || i < len(faults); i++ {
		f := faults[x.rand.IntN(len(faults))]
		if i < len(faults) { // each at least once
			f = faults[(i+int(seed))%len(faults)]
		}
		t.Logf("%v: %s", time.Since(began).Round(time.Millisecond), f.name)
		f.do()
		x.count[f.name]++
		time.Sleep(time.Duration(200+x.rand.IntN(600)) * time.Millisecond)
		if t.Failed() {
			break
		}
	}
	close(s.stop)
	s.wg.Wait()
	s.check(x.c)
	until(t, "every accepted event is finished, given up or named among the lost", func() bool {
		w, err := x.c.health()
		if err != nil || w.Queued > 0 {
			return false
		}
		for _, what := range w.lost() {
			x.lost[what] = true
		}
		var letters struct{ DeadLetters []json.RawMessage }
		_ = json.Unmarshal(x.c.must(t, "GET", "/cloudjit/v1/dead-letters", nil), &letters)
		return len(seen.missing(s.accepted)) <= len(letters.DeadLetters)+len(x.lost)
	})
	for _, name := range []string{"events", "calls"} {
		x.c.must(t, "DELETE", functionsPath+"/"+name, nil)
	}
	until(t, "all workers have ended", func() bool { return len(processes(mark)) == 0 })
	if err := x.c.end(syscall.SIGTERM); err != nil {
		t.Errorf("a clean stop: %v", err)
	}
	if left := processes(mark); len(left) > 0 {
		t.Errorf("processes %d outlived the server", left)
	}
	if left := leftovers(t, o, tmp); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	t.Logf("seed %d: %v; %d events accepted, %d answers, %d failures, %d connections lost, %d wrong; %d writes acknowledged; lost %d",
		seed, x.count, len(s.accepted), s.answers.Load(), s.failures.Load(), s.lost.Load(), s.wrong.Load(), s.writes.Load(), len(x.lost))
	if t.Failed() {
		b, _ := os.ReadFile(filepath.Join(dir, "server.log"))
		t.Logf("the end of the servers' log:\n%s", b[max(0, len(b)-8<<10):])
	}
	if len(s.accepted) < 20 || s.answers.Load() < 50 || s.writes.Load() < 10 {
		t.Error("this was no storm")
	}
}
