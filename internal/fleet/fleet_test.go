package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/cluster"
	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/node"
	"github.com/cloudjit/cloudjit/internal/peer"
	"github.com/cloudjit/cloudjit/internal/placement"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// bus is a cluster in one process: everybody hears everybody at once.
type bus struct {
	mu    sync.Mutex
	names []string // those that live and take work
	gone  map[string]bool
	mute  map[string]bool // nobody hears them
	ears  map[string]func(from string, data []byte)
	hooks []func()
}

// member is one node's view of it.
type member struct {
	*bus
	name string
}

func (m member) Self() cluster.Member { return cluster.Member{Name: m.name} }
func (m member) Live() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.names)
}
func (m member) Members() (all []cluster.Member) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range m.ears {
		all = append(all, cluster.Member{Name: name, Live: !m.gone[name]})
	}
	return all
}
func (m member) OnChange(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hooks = append(m.hooks, f)
}
func (m member) Publish(_ string, data []byte) error {
	m.mu.Lock()
	ears := map[string]func(string, []byte){}
	for name, f := range m.ears {
		if name != m.name && !m.gone[m.name] && !m.mute[m.name] {
			ears[name] = f
		}
	}
	m.mu.Unlock()
	for _, f := range ears {
		f(m.name, data)
	}
	return nil
}
func (m member) Subscribe(_ string, f func(from string, data []byte)) (func(), error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ears[m.name] = f
	return func() {}, nil
}

// leaves takes a node out; dead: it does not live any more either.
func (b *bus) leaves(name string, dead bool) {
	b.mu.Lock()
	b.names = slices.DeleteFunc(b.names, func(s string) bool { return s == name })
	b.gone[name] = dead
	hooks := slices.Clone(b.hooks)
	b.mu.Unlock()
	for _, f := range hooks {
		f()
	}
}

// mutes makes nobody hear a node, or everybody again.
func (b *bus) mutes(name string, mute bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mute[name] = mute
}

// local answers with its name.
type local struct {
	name    string
	mu      sync.Mutex
	counts  engine.Counts
	idle    []function.RevisionID
	limited bool
	driver  string // of all functions
	drivers []string
	ran     int
	refuse  error
	block   chan struct{}
}

func (l *local) Invoke(ctx context.Context, _ function.RevisionID, _ *worker.Invocation) (*node.Result, error) {
	l.mu.Lock()
	block, refuse := l.block, l.refuse
	if refuse == nil {
		l.ran++
	}
	l.mu.Unlock()
	if refuse != nil {
		return nil, refuse
	}
	if block != nil {
		select {
		case <-block:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return &node.Result{Outcome: function.OutcomeOK, Payload: []byte(l.name)}, nil
}

func (l *local) RoundTrip(_ function.RevisionID, r *http.Request) (*http.Response, error) {
	b, err := io.ReadAll(r.Body)
	return &http.Response{StatusCode: 200, Header: http.Header{}, ContentLength: -1, Body: io.NopCloser(strings.NewReader(l.name + " " + string(b)))}, err
}

func (l *local) Standing(rev function.RevisionID) (node.Standing, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return node.Standing{Counts: l.counts, Function: function.Name(rev), MiB: 128, Idle: slices.Contains(l.idle, rev), Limited: l.limited, Driver: l.driver}, true
}

func (l *local) Counts() engine.Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts
}

func (l *local) Idle(int) []function.RevisionID {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.idle)
}

func (l *local) has() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.drivers
}

func (l *local) set(f func(l *local)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(l)
}

// platform are n nodes.
type platform struct {
	bus    *bus
	fleets []*Fleet
	locals []*local
	https  []*httptest.Server
}

func started(t *testing.T, n int) *platform {
	t.Helper()
	key := []byte("key")
	p := &platform{bus: &bus{gone: map[string]bool{}, mute: map[string]bool{}, ears: map[string]func(string, []byte){}}}
	for i := range n {
		name := fmt.Sprintf("n%d", i)
		l := &local{name: name}
		s := httptest.NewServer(peer.NewServer(peer.ServerOptions{Key: key, Platform: l, EventLimit: 1 << 20}))
		p.bus.names = append(p.bus.names, name)
		f, err := Open(Options{Members: member{p.bus, name}, Local: l, Client: peer.NewClient(key, nil), Address: s.Listener.Addr().String(), Cores: 2, Drivers: l.has})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		t.Cleanup(f.Close)
		p.fleets, p.locals, p.https = append(p.fleets, f), append(p.locals, l), append(p.https, s)
	}
	p.gossip()
	return p
}

// gossip lets everybody hear of everybody.
func (p *platform) gossip() {
	for _, f := range p.fleets {
		f.tell()
	}
}

// from invokes a function at a node, and returns which one ran it.
func (p *platform) from(t *testing.T, i int, rev string) string {
	t.Helper()
	res, err := p.fleets[i].Invoke(context.Background(), function.RevisionID(rev), &worker.Invocation{})
	if err != nil {
		t.Fatalf("%s at node %d: %v", rev, i, err)
	}
	return string(res.Payload)
}

// TestDriversOfNodes: a function runs where its driver is, wherever it comes in. Where no node has it the one that was asked says so.
func TestDriversOfNodes(t *testing.T) {
	p := started(t, 3)
	p.locals[2].set(func(l *local) { l.drivers = []string{"process", "qemu"} })
	for _, l := range p.locals {
		l.set(func(l *local) { l.driver = "qemu" })
	}
	p.gossip()
	for i := range p.fleets {
		for n := range 20 {
			if got := p.from(t, i, fmt.Sprint("f", n)); got != "n2" {
				t.Fatalf("from node %d: ran on %s, which has no such driver", i, got)
			}
		}
		if want := i != 2; p.fleets[i].HasDriver(t.Context(), "qemu") != want {
			t.Errorf("node %d: another node has it: want %v", i, want)
		}
	}
	p.bus.leaves("n2", true)
	p.locals[0].set(func(l *local) { l.refuse = worker.ErrNoDriver })
	if _, err := p.fleets[0].Invoke(t.Context(), "f", &worker.Invocation{}); !errors.Is(err, worker.ErrNoDriver) {
		t.Errorf("got %v, want what the node says of its driver", err)
	}
	if p.fleets[0].HasDriver(t.Context(), "qemu") {
		t.Error("a node that is gone has a driver")
	}
}

// TestDriverOfASilentNode: the only node that has a driver lives, and was not heard of for a while: what needs the driver waits. Nobody
// waits for a node that is gone.
func TestDriverOfASilentNode(t *testing.T) {
	p := started(t, 2)
	p.locals[1].set(func(l *local) { l.drivers = []string{"qemu"} })
	p.locals[0].set(func(l *local) { l.driver = "qemu" })
	p.gossip()
	silent := func() { // since long
		p.bus.mutes("n1", true)
		p.fleets[0].mu.Lock()
		p.fleets[0].others["n1"].at = time.Now().Add(-time.Hour)
		p.fleets[0].mu.Unlock()
		p.fleets[0].look(time.Now())
	}
	silent()
	speaks := time.AfterFunc(300*time.Millisecond, func() {
		p.bus.mutes("n1", false)
		p.fleets[1].tell()
	})
	defer speaks.Stop()
	if got := p.from(t, 0, "f"); got != "n1" {
		t.Errorf("ran on %s, which has no such driver", got)
	}

	silent()
	time.AfterFunc(300*time.Millisecond, func() { p.bus.mutes("n1", false) })
	if !p.fleets[0].HasDriver(t.Context(), "qemu") {
		t.Error("a node that was silent for a moment has no driver")
	}
	if p.fleets[0].HasDriver(t.Context(), "firecracker") {
		t.Error("it has a driver that it did not speak of")
	}

	silent()
	time.AfterFunc(300*time.Millisecond, func() { p.bus.leaves("n1", true) })
	p.locals[0].set(func(l *local) { l.refuse = worker.ErrNoDriver })
	began := time.Now()
	if _, err := p.fleets[0].Invoke(t.Context(), "f", &worker.Invocation{}); !errors.Is(err, worker.ErrNoDriver) {
		t.Errorf("got %v, want what the node says of its driver", err)
	}
	if took := time.Since(began); took > patience/2 {
		t.Errorf("it took %v to say that no node has the driver", took)
	}
}

// TestEverywhereTheSame: an invocation runs on the same node, wherever it comes in, and functions spread over all.
func TestEverywhereTheSame(t *testing.T) {
	p := started(t, 3)
	on := map[string]int{}
	for k := range 30 {
		rev := fmt.Sprint("f", k)
		want := p.from(t, 0, rev)
		on[want]++
		for i := 1; i < 3; i++ {
			if got := p.from(t, i, rev); got != want {
				t.Errorf("%s ran on %s at node %d: want %s", rev, got, i, want)
			}
		}
	}
	if len(on) != 3 {
		t.Errorf("functions ran on %v: want all three", on)
	}
}

// elsewhere is a function that another node than the first is home of, and the number of that node.
func (p *platform) elsewhere(t *testing.T) (rev string, home int) {
	t.Helper()
	for k := range 100 {
		rev = fmt.Sprint("g", k)
		if at := p.from(t, 0, rev); at != "n0" {
			return rev, int(at[1] - '0')
		}
	}
	t.Fatal("one node is home of everything")
	return "", 0
}

// TestOwnWorkers: an idle worker here goes before the home, and one elsewhere that was told of.
func TestOwnWorkers(t *testing.T) {
	p := started(t, 3)
	rev, home := p.elsewhere(t)
	p.locals[0].set(func(l *local) { l.idle = []function.RevisionID{function.RevisionID(rev)} })
	if got := p.from(t, 0, rev); got != "n0" {
		t.Errorf("ran on %s: it has an idle worker itself", got)
	}
	p.gossip()
	if got := p.from(t, 3-home, rev); got != "n0" {
		t.Errorf("ran on %s: n0 has an idle worker", got)
	}
	for _, l := range p.locals {
		l.set(func(l *local) { l.limited = true })
	}
	if got := p.from(t, 0, rev); got != fmt.Sprint("n", home) {
		t.Errorf("ran on %s: a function with a concurrency of its own stays at home", got)
	}
}

// TestDeadNode: what has not begun runs elsewhere, what has fails at once.
func TestDeadNode(t *testing.T) {
	p := started(t, 3)
	rev, home := p.elsewhere(t)
	block := make(chan struct{})
	p.locals[home].set(func(l *local) { l.block, l.ran = block, 0 })
	failed := make(chan error, 1)
	go func() {
		_, err := p.fleets[0].Invoke(context.Background(), function.RevisionID(rev), &worker.Invocation{})
		failed <- err
	}()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		p.locals[home].mu.Lock()
		ran := p.locals[home].ran
		p.locals[home].mu.Unlock()
		if ran == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing arrived")
		}
	}
	p.bus.leaves(fmt.Sprint("n", home), true) // cut off: its connections are open, and silent
	p.fleets[home].Close()
	p.fleets[0].mu.Lock()
	p.fleets[0].others[fmt.Sprint("n", home)].at = time.Now().Add(-time.Minute)
	p.fleets[0].mu.Unlock()
	p.fleets[0].look(time.Now())
	var lost *node.LostError
	select {
	case err := <-failed:
		if !errors.As(err, &lost) {
			t.Errorf("error %v: want one that names the node", err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("an invocation hangs whose node is gone")
	}
	close(block)
	if got := p.from(t, 0, rev); got == fmt.Sprint("n", home) {
		t.Errorf("ran on %s, which is gone", got)
	}
}

// TestUnreachable: a node that nobody has missed yet takes no connection; nothing fails.
func TestUnreachable(t *testing.T) {
	p := started(t, 3)
	rev, home := p.elsewhere(t)
	p.https[home].Close()
	time.Sleep(50 * time.Millisecond) // until that is known of the connections that are kept
	if got := p.from(t, 0, rev); got == fmt.Sprint("n", home) {
		t.Errorf("ran on %s, which is not there", got)
	}
	if n := p.fleets[0].totals.Refused.Load(); n != 1 {
		t.Errorf("%d refused: want 1", n)
	}
	p.from(t, 0, rev)
	if n := p.fleets[0].totals.Refused.Load(); n != 1 {
		t.Errorf("%d refused: it was asked again at once", n)
	}
	// A web function's request, its body included, gets there too.
	r := httptest.NewRequest("POST", "http://x/", io.NopCloser(strings.NewReader("body")))
	res, err := p.fleets[0].RoundTrip(function.RevisionID(rev), r)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(res.Body); !strings.HasSuffix(string(b), " body") {
		t.Errorf("the function got %q", b)
	}
	res.Body.Close()
}

// TestDraining: a node that drains sends all away, and nobody sends it anything.
func TestDraining(t *testing.T) {
	p := started(t, 3)
	rev, home := p.elsewhere(t)
	p.bus.leaves(fmt.Sprint("n", home), false)
	for i := range 3 {
		if got := p.from(t, i, rev); got == fmt.Sprint("n", home) {
			t.Errorf("at node %d: ran on %s, which drains", i, got)
		}
	}
	// Said before others have heard of it.
	p2 := started(t, 3)
	rev, home = p2.elsewhere(t)
	p2.locals[home].set(func(l *local) { l.refuse = node.ErrDraining })
	if got := p2.from(t, home, rev); got == fmt.Sprint("n", home) {
		t.Errorf("ran on %s", got)
	}
}

// TestGossip: what was said comes back, and nothing else is believed.
func TestGossip(t *testing.T) {
	s := standing{Address: "10.0.0.1:99", Load: 5, FreeMiB: 7, LargestMiB: 9, warm: []uint32{1, 5, 1 << 31}}
	got, err := parseStanding(s.encode())
	if err != nil || got.Address != s.Address || got.Load != 5 || got.FreeMiB != 7 || got.LargestMiB != 9 || !slices.Equal(got.warm, s.warm) {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{
		"", "{}", `{"address":"x","largest":1}`, `{"address":"x:0","largest":1}`, `{"address":"x:1","load":-1,"largest":1}`,
		`{"address":"x:1","largest":0}`, `{"address":"x:1","largest":1,"warm":"AAA="}`, `{"address":"x:1","largest":1,"warm":"AAAABQAAAAE="}`,
	} {
		if _, err := parseStanding([]byte(bad)); err == nil {
			t.Errorf("%s was believed", bad)
		}
	}
}

func FuzzGossip(f *testing.F) {
	f.Add((&standing{Address: "10.0.0.1:99", Load: 5, FreeMiB: 7, LargestMiB: 9, warm: []uint32{1, 5}}).encode())
	f.Add([]byte(`{"address":"[::1]:1","largest":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseStanding(data)
		if err != nil {
			return
		}
		again, err := parseStanding(s.encode())
		if err != nil || again.Address != s.Address || again.Load != s.Load || !slices.Equal(again.warm, s.warm) {
			t.Errorf("%q: %+v, then %+v, %v", data, s, again, err)
		}
	})
}

// BenchmarkPlace is what choosing costs an invocation that stays.
func BenchmarkPlace(b *testing.B) {
	f := &Fleet{here: &local{}, self: "n0"}
	v := &view{}
	for i := range 8 {
		o := &other{name: fmt.Sprint("n", i)}
		if i == 0 {
			o = nil
		}
		v.nodes, v.others, v.warm = append(v.nodes, placementNode(i)), append(v.others, o), append(v.warm, make([]uint32, 1000))
	}
	f.view.Store(v)
	b.ReportAllocs()
	for b.Loop() {
		f.place("some-revision", nil)
	}
}

func placementNode(i int) placement.Node {
	return placement.Node{Key: uint64(i) * 7919, FreeMiB: placement.Unlimited, LargestMiB: placement.Unlimited}
}
