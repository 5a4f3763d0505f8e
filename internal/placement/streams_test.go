package placement_test

import (
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/placement"
)

const ms = int64(time.Millisecond)

// TestHot: a function of which much comes through a node gets workers there, as long as that node has not more to do than others.
func TestHot(t *testing.T) {
	nodes := empty(3)
	f := placement.Key("orders")
	home := placement.Home(f, nodes)
	nodes[home].Idle = true
	self := (home + 1) % 3
	var s placement.Streams
	at := func(now int64) int {
		nodes[self].Hot = s.Hot(now, f)
		return placement.Place(f, 128, self, nodes, placement.Default)
	}
	for now := int64(0); now < 5000*ms; now += 50 * ms { // twenty a second
		if at(now) != home {
			t.Fatalf("after %d ms a function with few invocations left its home", now/ms)
		}
		s.Passed(now, f)
	}
	for i := int64(0); i < 60; i++ {
		s.Passed(6000*ms+i*10*ms, f)
	}
	if at(6700*ms) != self || at(7500*ms) != self {
		t.Error("a hundred a second are passed on")
	}
	nodes[self].FreeMiB = 100
	if at(7500*ms) != home {
		t.Error("it is at a node without memory")
	}
	nodes[self].FreeMiB, nodes[self].Load = placement.Unlimited, 900
	if at(7500*ms) != home {
		t.Error("it is at a node that has much to do")
	}
	nodes[self].Load = 0
	if at(9000*ms) != home {
		t.Error("it is hot though nothing was passed on for two seconds")
	}
}

// TestStreamsAreForgotten: their number is bounded, whoever invents functions.
func TestStreamsAreForgotten(t *testing.T) {
	var s placement.Streams
	for i := range uint64(20_000) {
		for range 50 {
			s.Passed(int64(i)*ms, i)
		}
		if !s.Hot(int64(i)*ms, i) {
			t.Fatalf("function %d is not hot", i)
		}
	}
	if s.Hot(20_000*ms, 1) {
		t.Error("the first is hot still")
	}
}
