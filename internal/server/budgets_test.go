package server_test

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/ziptest"
)

// TestBudgetsThatAreNearlyFull: health warns before anything is refused, and goes on to say ok.
func TestBudgetsThatAreNearlyFull(t *testing.T) {
	c, o := single(t, func(o *config.Config) {
		o.Disk.CodeMB, o.Disk.RecordingsMB, o.Async.Queue = 10, 2, 10
	})
	warned := func(component, text string) bool {
		w, err := c.health()
		if err != nil || w.Status != "ok" {
			t.Fatalf("health: got %+v, %v", w, err)
		}
		return slices.ContainsFunc(w.Problems, func(p problem) bool {
			return p.Warning && p.Component == component && strings.Contains(p.Message, text)
		})
	}
	for _, component := range []string{"code", "recordings", "queue", "logs", "artifacts", "bodies"} {
		if warned(component, "") {
			t.Errorf("of an empty server health warns of %s", component)
		}
	}
	noise := make([]byte, 4_600_000) // it is kept, and unpacked
	_, _ = rand.Read(noise)
	c.create(t, "f", "provided.al2023", "x", ziptest.Of(t, "bootstrap", "#!/bin/sh\n", "noise", string(noise)), nil)
	until(t, "health warns of code", func() bool { return warned("code", "9.2 of 10.0 MB") })

	c.must(t, "PUT", "/2017-10-31/functions/f/concurrency", map[string]any{"ReservedConcurrentExecutions": 0})
	send := func() int {
		status, _, _, err := c.call("POST", functionsPath+"/f/invocations", nil, "X-Amz-Invocation-Type", "Event")
		if err != nil {
			t.Fatal(err)
		}
		return status
	}
	for range 9 {
		if status := send(); status != 202 {
			t.Fatalf("event: got %d", status)
		}
	}
	until(t, "health warns of the queue", func() bool { return warned("queue", "function f is nearly full: 9 of 10 events") })
	if status := send(); status != 202 {
		t.Errorf("the last event that fits: got %d", status)
	}
	if status := send(); status != 429 {
		t.Errorf("one event too many: got %d, want 429", status)
	}

	if err := os.WriteFile(filepath.Join(o.Config.Data, "run", "recordings", "x.jsa"), make([]byte, 1_900_000), 0o600); err != nil {
		t.Fatal(err)
	}
	until(t, "health warns of recordings", func() bool { return warned("recordings", "1.9 of 2.0 MB") })
}
