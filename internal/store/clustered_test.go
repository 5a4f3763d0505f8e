package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/cloudjit/cloudjit/internal/cluster"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/porttest"
)

// peer is one node of a test's cluster.
type peer struct {
	*Store
	cluster *cluster.Cluster
}

// freePorts returns ports that nobody listens on.
func freePorts(t *testing.T, n int) (ports []int) {
	t.Helper()
	for _, a := range porttest.Free(t, n) {
		ports = append(ports, int(a.Port()))
	}
	return ports
}

func clusterOf(ports []int, i int) *Cluster {
	c := &Cluster{Name: "test", Node: fmt.Sprint("node-", i), Host: "127.0.0.1", Port: ports[i]}
	for j, p := range ports {
		if j != i {
			c.Join = append(c.Join, fmt.Sprint("127.0.0.1:", p))
		}
	}
	return c
}

// openNodes opens nodes of a cluster at once, each with its folder.
func openNodes(t *testing.T, ports []int, dirs []string) []*peer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	nodes := make([]*peer, len(dirs))
	var opening sync.WaitGroup
	for i, dir := range dirs {
		opening.Go(func() {
			p, err := openNode(ctx, t, ports, dir, i)
			if err != nil {
				t.Errorf("open node %d: %v", i, err)
			}
			nodes[i] = p
		})
	}
	opening.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return nodes
}

// openNode opens one node.
func openNode(ctx context.Context, t *testing.T, ports []int, dir string, i int) (*peer, error) {
	c := clusterOf(ports, i)
	c.Code = func(sha string) (string, error) { return filepath.Join(dir, "code-"+sha), nil }
	s, err := Open(ctx, Options{Dir: dir, NoSync: true, Reserve: -1, Cluster: c, Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))})
	if err != nil {
		return nil, err
	}
	members, err := cluster.Open(cluster.Options{Self: cluster.Member{Name: c.Node, ID: ulid.Make().String()}, Bus: s, Key: s.ClusterKey()})
	if err != nil {
		return nil, err
	}
	s.Join(members)
	return &peer{s, members}, nil
}

func (p *peer) close() error {
	p.cluster.Close()
	return p.Store.Close()
}

// die ends a node as far as others can see: it says nothing any more, and nothing that it does is heard.
func (p *peer) die() { p.now.Load().server.Shutdown() }

func eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not after %v", what, within)
		}
	}
}

func tag(f *Function, name string) error {
	if f.Tags == nil {
		f.Tags = map[string]string{}
	}
	f.Tags[name] = "x"
	return nil
}

func TestThreeNodes(t *testing.T) {
	ports := freePorts(t, 3)
	dirs := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	n := openNodes(t, ports, dirs)
	defer func() {
		for _, p := range n {
			if err := p.close(); err != nil {
				t.Error(err)
			}
		}
	}()
	ctx := t.Context()
	if k := n[0].ClusterKey(); len(k) < 16 || !bytes.Equal(k, n[1].ClusterKey()) || !bytes.Equal(k, n[2].ClusterKey()) {
		t.Error("the nodes have no shared secret")
	}
	eventually(t, 10*time.Second, "all see each other", func() bool { return len(n[0].cluster.Live()) == 3 && len(n[2].cluster.Live()) == 3 })

	// What one wrote all have, and no change is lost between them.
	create(t, n[0].Store, "f")
	if _, ok := n[1].FindFunction(ctx, "f"); !ok {
		t.Error("another node does not find what was made a moment ago")
	}
	var writing sync.WaitGroup
	for i, p := range n {
		writing.Go(func() {
			for k := range 10 {
				if _, err := p.UpdateFunction(ctx, "f", func(f *Function) error { return tag(f, fmt.Sprint(i, "-", k)) }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
	eventually(t, 10*time.Second, "all have all changes", func() bool {
		for _, p := range n {
			if f, ok := p.Function("f"); !ok || len(f.Tags) != 30 {
				return false
			}
		}
		return true
	})
	file := filepath.Join(t.TempDir(), "code")
	if err := os.WriteFile(file, []byte("code"), 0o600); err != nil {
		t.Fatal(err)
	}
	const sha = "5694d08a2e53ffcae0c3103e5ad6f6076abd960eb1f8a56577040bc1028f702b"
	if err := n[0].PutBlob(ctx, sha, file); err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := n[2].Blob(ctx, sha, &got); err != nil || got.String() != "code" {
		t.Errorf("another node has %q of the file: %v", got.String(), err)
	}
	if err := os.WriteFile(file, []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := n[0].PutBlob(ctx, strings.Repeat("ab", 32), file); !errors.Is(err, ErrDamaged) {
		t.Errorf("a file under another's name: %v", err)
	}

	begunElsewhere(t, n)
	comparedWithTheQueue(t, n)

	// Events run on all nodes, each as often as it has to. One dies while it runs some.
	const events = 60
	var mu sync.Mutex
	runs, ended, on := map[string]int{}, map[string]bool{}, map[int]int{}
	running, stop := context.WithCancel(ctx)
	var dead atomic.Bool
	var workers sync.WaitGroup
	for i, p := range n {
		workers.Go(func() {
			for {
				d, err := p.NextAsync(running)
				if running.Err() != nil {
					return
				}
				if err != nil {
					sleep(running, 50*time.Millisecond)
					continue
				}
				workers.Go(func() {
					mu.Lock()
					runs[d.RequestID]++
					on[i]++
					mu.Unlock()
					sleep(running, 100*time.Millisecond)
					if i == 2 && dead.Load() || running.Err() != nil {
						return // it is cut off
					}
					if d.Failed == 0 && strings.HasSuffix(d.RequestID, "7") {
						err = d.Retry(running, 50*time.Millisecond)
					} else if err = d.Done(running); err == nil {
						mu.Lock()
						ended[d.RequestID] = true
						mu.Unlock()
					}
					if err != nil && running.Err() == nil && i != 2 {
						t.Error(err)
					}
				})
			}
		})
	}
	for k := range events {
		a := &Async{RequestID: fmt.Sprint("request-", k), Function: "f", EnqueuedAt: time.Now(), Payload: bytes.Repeat([]byte("p"), 100*k)}
		if err := n[k%3].Enqueue(ctx, a); err != nil {
			t.Fatal(err)
		}
		if k == events/2 {
			if err := n[k%3].Enqueue(ctx, a); err != nil { // as a try whose answer was lost
				t.Fatal(err)
			}
		}
	}
	dead.Store(true)
	n[2].die()
	eventually(t, time.Minute, "all events end", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(ended) == events
	})
	eventually(t, 20*time.Second, "all queues are empty", func() bool { return n[0].QueueLength() == 0 && n[1].QueueLength() == 0 })
	stop()
	workers.Wait()
	for id, k := range runs {
		if k > 3 {
			t.Errorf("%s ran %d times", id, k)
		}
	}
	if on[0] == 0 || on[1] == 0 {
		t.Errorf("nodes ran %v events", on)
	}
	if r := n[0].Replication(); len(r.Replicas) != 3 {
		t.Errorf("the state is on %+v", r)
	}

	// Two of three are enough to write; one alone refuses, after a while, and goes on to read.
	if _, err := n[0].UpdateFunction(ctx, "f", func(f *Function) error { return tag(f, "two") }); err != nil {
		t.Errorf("write with two of three: %v", err)
	}
	n[1].die()
	begin := time.Now()
	_, err := n[0].UpdateFunction(ctx, "f", func(f *Function) error { return tag(f, "one") })
	if took := time.Since(begin); !errors.Is(err, ErrUnavailable) || took > 16*time.Second {
		t.Errorf("write with one of three, after %v: %v", took, err)
	}
	if _, ok := n[0].Function("f"); !ok {
		t.Error("one alone does not know what it knew")
	}
}

// begunElsewhere: what a node has begun and could not go on with is run by it once more, though it falls to another node meanwhile.
func begunElsewhere(t *testing.T, n []*peer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := n[0].Enqueue(ctx, &Async{RequestID: "begun", Function: "f", EnqueuedAt: time.Now(), Payload: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	var home *peer
	eventually(t, 10*time.Second, "one node is at home", func() bool {
		for _, p := range n {
			if p.QueueLength() == 1 && p.isHome(p.now.Load().lastOf(t)) {
				home = p
			}
		}
		return home != nil
	})
	d, err := home.NextAsync(ctx)
	if err != nil {
		t.Fatal(err)
	}
	d.putBack(time.Now())
	home.cluster.Drain(true)
	for _, p := range n {
		eventually(t, 10*time.Second, "all know that it drains", func() bool { return len(p.cluster.Live()) == 2 })
	}
	if d, err = home.NextAsync(ctx); err != nil {
		t.Fatalf("what was begun is not run again: %v", err)
	}
	if d.Failed != 1 {
		t.Errorf("a run that nobody knows the end of counts as %d attempts", d.Failed)
	}
	if err := d.Done(ctx); err != nil {
		t.Fatal(err)
	}
	home.cluster.Drain(false)
	for _, p := range n {
		eventually(t, 10*time.Second, "it is back", func() bool { return len(p.cluster.Live()) == 3 && p.QueueLength() == 0 })
	}
}

// comparedWithTheQueue: what a node has overlooked it finds, and what it has not seen the end of it forgets.
func comparedWithTheQueue(t *testing.T, n []*peer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := n[0].Enqueue(ctx, &Async{RequestID: "overlooked", Function: "f", EnqueuedAt: time.Now(), Payload: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	last := n[0].now.Load().lastOf(t)
	for _, p := range n {
		eventually(t, 10*time.Second, "all know of it", func() bool { return p.QueueLength() == 1 })
		p.changeBacklog(func(b *backlog) { b.ended(last) })
		p.learn(last+1000, "f", 2)
		if err := p.relistOnce(ctx, true); err != nil {
			t.Fatal(err)
		}
		p.backlogMu.Lock()
		if k := p.backlog.known; len(k) != 1 || k[last] == nil {
			t.Errorf("after the comparison it knows of %d invocations", len(k))
		}
		p.backlogMu.Unlock()
	}
	for _, p := range n {
		if !p.isHome(last) {
			continue
		}
		d, err := p.NextAsync(ctx)
		if err != nil || d.RequestID != "overlooked" || d.Failed != 0 {
			t.Fatalf("got %+v, %v", d, err)
		}
		if err := d.Done(ctx); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range n {
		eventually(t, 10*time.Second, "all see its end", func() bool { return p.QueueLength() == 0 })
	}
}

// lastOf is the sequence of the last invocation that was queued.
func (x *session) lastOf(t *testing.T) uint64 {
	t.Helper()
	info, err := x.queue.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info.State.LastSeq
}

// TestConvert: the state of a single node is there on three, with its sequences; nothing else begins a cluster with it.
func TestConvert(t *testing.T) {
	ctx := t.Context()
	dirs := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	single, err := Open(ctx, Options{Dir: dirs[0], NoSync: true, Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	f, rev := newFunction("f")
	const sha = "5694d08a2e53ffcae0c3103e5ad6f6076abd960eb1f8a56577040bc1028f702b"
	rev.Spec.CodeSHA256 = sha
	if err := os.WriteFile(filepath.Join(dirs[0], "code-"+sha), []byte("code"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := single.CreateFunction(ctx, f, rev); err != nil {
		t.Fatal(err)
	}
	if _, err := single.PutMetadata(ctx, rev.Spec.ID, []byte(`{"x":1}`), "test"); err != nil {
		t.Fatal(err)
	}
	large := bytes.Repeat([]byte("large"), 10_000)
	for k := range 6 {
		payload := []byte(`{}`)
		if k == 4 {
			payload = large
		}
		if err := single.Enqueue(ctx, &Async{RequestID: fmt.Sprint("request-", k), Function: "f", EnqueuedAt: time.Now(), Payload: payload}); err != nil {
			t.Fatal(err)
		}
	}
	for k := range 3 { // the first ends, the second failed once, the third is a dead letter
		d, err := single.NextAsync(ctx)
		if err != nil {
			t.Fatal(err)
		}
		switch k {
		case 0:
			err = d.Done(ctx)
		case 1:
			err = d.Retry(ctx, time.Millisecond)
		case 2:
			err = d.Dead(ctx, "RetriesExhausted", 3, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := single.Close(); err != nil {
		t.Fatal(err)
	}

	ports := freePorts(t, 3)
	refused := func(want error, c *Cluster) {
		t.Helper()
		s, err := Open(ctx, Options{Dir: dirs[0], NoSync: true, Reserve: -1, Cluster: c})
		if !errors.Is(err, want) {
			t.Fatalf("open: %v, want %v", err, want)
		}
		if err == nil {
			s.Close()
		}
	}
	refused(ErrNotConverted, clusterOf(ports, 0))
	done, err := Convert(ctx, dirs[0], slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil || done.Functions != 1 || done.Events != 4 || done.Letters != 1 {
		t.Fatalf("converted %+v: %v", done, err)
	}
	if done, err := Convert(ctx, dirs[0], nil); err != nil || !done.Before {
		t.Errorf("converted again: %+v, %v", done, err)
	}
	refused(ErrClustered, nil)

	n := openNodes(t, ports, dirs)
	if hasSeed(dirs[0]) {
		t.Error("the seed is still there")
	}
	other := n[1]
	if _, ok := other.Function("f"); !ok || len(other.Builds(rev.Spec.ID)) != 0 {
		t.Error("the function is not there")
	}
	if doc, _, err := other.Metadata(ctx, rev.Spec.ID, 0); err != nil || string(doc) != `{"x":1}` {
		t.Errorf("metadata %s: %v", doc, err)
	}
	var code bytes.Buffer
	if err := n[2].Blob(ctx, sha, &code); err != nil || code.String() != "code" {
		t.Errorf("code %q: %v", code.String(), err)
	}
	if letters, err := n[2].DeadLetters(ctx, "", 0, 10); err != nil || len(letters) != 1 || letters[0].RequestID != "request-2" {
		t.Errorf("dead letters %v: %v", letters, err)
	}
	eventually(t, 20*time.Second, "the queue is known", func() bool { return other.QueueLength() == 4 && n[2].QueueLength() == 4 })
	found := map[string]string{}
	var mu sync.Mutex
	taking, stop := context.WithTimeout(ctx, time.Minute)
	var takers sync.WaitGroup
	for _, p := range n {
		takers.Go(func() {
			for {
				d, err := p.NextAsync(taking)
				if err != nil {
					return
				}
				mu.Lock()
				found[d.RequestID] = fmt.Sprint(d.seq, " failed ", d.Failed, " bytes ", len(d.Payload))
				if len(found) == 4 {
					stop()
				}
				mu.Unlock()
				if err := d.Done(ctx); err != nil {
					t.Error(err)
				}
			}
		})
	}
	takers.Wait()
	stop()
	want := map[string]string{"request-1": "2 failed 1 bytes 2", "request-3": "4 failed 0 bytes 2", "request-4": "5 failed 0 bytes 50000", "request-5": "6 failed 0 bytes 2"}
	for id, is := range want {
		if found[id] != is {
			t.Errorf("%s is %q, want %q", id, found[id], is)
		}
	}
	// What a cluster has can be backed up, too.
	backup := t.TempDir()
	snap, err := n[2].Snapshot(ctx, backup)
	if err != nil || snap.Functions != 1 || snap.Letters != 1 || snap.Events != 0 {
		t.Errorf("snapshot %+v: %v", snap, err)
	} else {
		records, err := os.Open(snap.Records)
		if err != nil {
			t.Fatal(err)
		}
		defer records.Close()
		again := filepath.Join(t.TempDir(), "data")
		if err := Fill(ctx, again, records, func(string) ([]byte, error) { return large, nil }); err != nil {
			t.Fatal(err)
		}
		s := open(t, again)
		if _, ok := s.Function("f"); !ok {
			t.Error("the function is not in the backup")
		}
		if doc, _, err := s.Metadata(ctx, rev.Spec.ID, 0); err != nil || string(doc) != `{"x":1}` {
			t.Errorf("metadata of the backup %s: %v", doc, err)
		}
	}
	for _, p := range n {
		if err := p.close(); err != nil {
			t.Error(err)
		}
	}
	refused(ErrClustered, nil)
	wrong := clusterOf(ports, 0)
	wrong.Node = "other"
	refused(ErrClustered, wrong)
	// All start again, and have it.
	n = openNodes(t, ports, dirs)
	for _, p := range n {
		if f, ok := p.Function("f"); !ok || f.Latest.Revision != function.RevisionID(rev.Spec.ID) {
			t.Error("the function is not there after all started again")
		}
		if err := p.close(); err != nil {
			t.Error(err)
		}
	}
}
