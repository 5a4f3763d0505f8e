package cluster_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudjit/cloudjit/internal/cluster"
)

// bus carries messages in memory.
type bus struct {
	mu   sync.Mutex
	subs map[string]map[int]func([]byte)
	next int
	cut  map[string]bool
	// behind are nodes that have not yet what the others have; where it is set, the leader says of d that it is current.
	behind map[string]bool
}

// port is one node's end of a bus.
type port struct {
	*bus
	name string
}

func (p port) Publish(subject string, data []byte) error {
	p.mu.Lock()
	var all []func([]byte)
	if !p.cut[p.name] {
		for _, f := range p.subs[subject] {
			all = append(all, f)
		}
	}
	p.mu.Unlock()
	for _, f := range all {
		go f(data)
	}
	return nil
}

func (p port) Subscribe(subject string, f func([]byte)) (func(), error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.subs[subject] == nil {
		p.subs[subject] = map[int]func([]byte){}
	}
	id := p.next
	p.next++
	p.subs[subject][id] = f
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.subs[subject], id)
	}, nil
}

func (p port) Replication() cluster.Replication {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := cluster.Replication{Leader: "b", Replicas: []cluster.Replica{{Name: "a", Lag: 3}, {Name: "b", Current: true}, {Name: "c", Offline: true}}}
	if p.behind != nil {
		r.Replicas, r.Behind = append(r.Replicas, cluster.Replica{Name: "d", Current: true}), p.behind[p.name]
	}
	return r
}

func open(t *testing.T, b *bus, name, id string) *cluster.Cluster {
	t.Helper()
	c, err := cluster.Open(cluster.Options{Self: cluster.Member{Name: name, ID: id, API: "http://" + name}, Bus: port{b, name}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNodesComeDrainDieAndComeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &bus{subs: map[string]map[int]func([]byte){}, cut: map[string]bool{}}
		a, b, c := open(t, shared, "a", "1"), open(t, shared, "b", "1"), open(t, shared, "c", "1")
		defer a.Close()
		changes := make(chan struct{}, 100)
		a.OnChange(func() { changes <- struct{}{} })
		want := func(names ...string) {
			t.Helper()
			synctest.Wait()
			if got := a.Live(); !slices.Equal(got, names) {
				t.Fatalf("live are %v, want %v", got, names)
			}
		}
		want("a", "b", "c") // at once: who comes asks
		b.Drain(true)
		want("a", "c")
		b.Drain(false)
		want("a", "b", "c")
		shared.mu.Lock()
		shared.cut["c"] = true
		shared.mu.Unlock()
		time.Sleep(2 * time.Second)
		want("a", "b", "c")
		time.Sleep(2 * time.Second)
		want("a", "b")
		if a.Running("1") && len(changes) == 0 {
			t.Error("nobody was told of the death of c")
		}
		c.Close()
		shared.mu.Lock()
		shared.cut["c"] = false
		shared.mu.Unlock()
		c = open(t, shared, "c", "2")
		want("a", "b", "c")
		if m, ok := a.Member("c"); !ok || m.ID != "2" || !a.Running("2") {
			t.Errorf("c is %+v after it started again", m)
		}
		b.Close()
		c.Close()
		want("a") // who leaves says so
		var names []string
		for _, m := range a.Members() {
			names = append(names, fmt.Sprint(m.Name, m.Live, m.Leader, m.Lag))
		}
		if got := fmt.Sprint(names); got != "[atrue false 3 bfalse true 0 cfalse false 0]" {
			t.Errorf("members are %s", got)
		}
		if r := a.Replication(); !r.Quorum() {
			t.Error("two of three replicas are a quorum")
		}
	})
}

// TestCurrentByItsOwnWord: a node that has lost its copies is not current though the leader says so, until it says itself that it has caught up;
// neither is one that does not live.
func TestCurrentByItsOwnWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &bus{subs: map[string]map[int]func([]byte){}, cut: map[string]bool{}, behind: map[string]bool{"d": true}}
		b := open(t, shared, "b", "1")
		defer b.Close()
		current := func() (names []string) {
			synctest.Wait()
			var replicas []string
			for _, x := range b.Replication().Replicas {
				if x.Current {
					replicas = append(replicas, x.Name)
				}
			}
			for _, m := range b.Members() {
				if m.Current {
					names = append(names, m.Name)
				}
			}
			if !slices.Equal(replicas, names) {
				t.Errorf("of the replicas %v are current, and of the members %v", replicas, names)
			}
			return names
		}
		want := func(why string, names ...string) {
			t.Helper()
			if got := current(); !slices.Equal(got, names) {
				t.Errorf("%s: current are %v, want %v", why, got, names)
			}
		}
		d := open(t, shared, "d", "1")
		want("d has nothing yet", "b")
		shared.mu.Lock()
		shared.behind["d"] = false
		shared.mu.Unlock()
		time.Sleep(time.Second)
		want("d has caught up", "b", "d")
		d.Close()
		want("d has left", "b")
		shared.mu.Lock()
		shared.behind["b"] = true
		shared.mu.Unlock()
		time.Sleep(time.Second)
		want("b is behind itself")
	})
}

func TestGossipReachesOthersOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &bus{subs: map[string]map[int]func([]byte){}}
		a, b := open(t, shared, "a", "1"), open(t, shared, "b", "1")
		defer a.Close()
		defer b.Close()
		heard := make(chan string, 10)
		for _, c := range []*cluster.Cluster{a, b} {
			stop, err := c.Subscribe("load", func(from string, data []byte) { heard <- c.Self().Name + " heard " + from + ": " + string(data) })
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
		}
		if err := a.Publish("load", []byte("x\x00y")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := <-heard; got != "b heard a: x\x00y" || len(heard) != 0 {
			t.Errorf("%q, and %d more", got, len(heard))
		}
	})
}

// TestOwnersMoveLittle: a node that goes leaves only what was its own to others, and owners are spread evenly.
func TestOwnersMoveLittle(t *testing.T) {
	three, two := []string{"127.0.0.1-4001", "127.0.0.1-4002", "127.0.0.1-4003"}, []string{"127.0.0.1-4001", "127.0.0.1-4003"}
	count := map[string]int{}
	for i := range 3000 {
		thing := fmt.Sprint("thing-", i)
		was, is := cluster.Rendezvous(thing, three), cluster.Rendezvous(thing, two)
		if was != "127.0.0.1-4002" && was != is {
			t.Fatalf("%s moved from %s to %s, though both live", thing, was, is)
		}
		count[was]++
	}
	for _, name := range three {
		if count[name] < 850 || count[name] > 1150 {
			t.Errorf("%s owns %d of 3000 things", name, count[name])
		}
	}
}

// TestOneNodeAlone: without a cluster everything is one's own.
func TestOneNodeAlone(t *testing.T) {
	var c *cluster.Cluster
	if !c.Owns("x") || c.Members() != nil || c.Publish("load", nil) != nil || c.Running("") || c.Self().Name != "" {
		t.Error("a nil cluster is one node that owns everything")
	}
	c.OnChange(nil)
	c.Drain(true)
	c.Close()
}
