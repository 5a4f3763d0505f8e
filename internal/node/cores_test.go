package node

import (
	"testing"
	"time"
)

// TestFullMachine: the cores are full when they had hardly a moment free since the last look, and not on the word of
// the first one.
func TestFullMachine(t *testing.T) {
	var idle, all time.Duration
	ok := true
	c := cores{read: func() (time.Duration, time.Duration, bool) { return idle, all, ok }}
	now := time.Now()
	look := func(after time.Duration, free, spent time.Duration) bool {
		now, idle, all = now.Add(after), idle+free, all+spent
		return c.isFull(now)
	}
	if look(0, 0, 1000) {
		t.Error("full at the first look")
	}
	if !look(time.Second, 2, 200) {
		t.Error("not full with 1 % of the time free")
	}
	if !look(time.Millisecond, 100, 100) {
		t.Error("looked again after a millisecond")
	}
	if look(time.Second, 100, 200) {
		t.Error("full with half of the time free")
	}
	if look(time.Second, 0, 0) {
		t.Error("full though no time was counted")
	}
	look(time.Second, 0, 200)
	ok = false
	if look(time.Second, 0, 200) {
		t.Error("full though nothing is known")
	}
}
