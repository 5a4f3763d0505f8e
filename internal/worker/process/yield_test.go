package process

import (
	"runtime"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/workertest"
)

// TestAllowance: builds stand still for a part of the time at most, and what they were not stopped for is saved up for a while.
func TestAllowance(t *testing.T) {
	now := time.Now()
	a := allowance{at: now}
	if left := a.take(now.Add(time.Second), false); left != 200*time.Millisecond {
		t.Errorf("after a second they may stand still for %v", left)
	}
	if left := a.take(now.Add(time.Hour), false); left != yieldSaved {
		t.Errorf("after an hour they may stand still for %v", left)
	}
	// As often as it may be: a fifth of the time.
	a, still := allowance{at: now}, time.Duration(0)
	const step = 10 * time.Millisecond
	stopped := false
	for i := 1; i <= 10_000; i++ {
		left := a.take(now.Add(time.Duration(i)*step), stopped)
		if stopped {
			still += step
		}
		stopped = left >= step
	}
	if part := still.Seconds() / (10_000 * step).Seconds(); part < 0.19 || part > 0.21 {
		t.Errorf("they stood still for %.3f of the time", part)
	}
}

// TestJobsStandStill: while a worker answers for the first time, a job does nothing; after that it goes on.
func TestJobsStandStill(t *testing.T) {
	d := newDriver(t, Options{})
	defer d.Close()
	if !d.freezes {
		t.Skip("SKIPPED: there are no control groups with a freezer")
	}
	end := beginJob(t, d, "busy", "while :; do :; done")
	defer end()
	var job *handle
	for end := time.Now().Add(10 * time.Second); job == nil || job.group.CPU() < 50*time.Millisecond; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the job does not run")
		}
		for _, h := range d.alive() {
			job = h
		}
	}
	time.Sleep(time.Second) // it has run for so long that it may stand still
	w := startGuest(t, d, workertest.Handler, "serves")
	took := func() time.Duration {
		before := job.group.CPU()
		if _, err := w.Invoke(t.Context(), &worker.Invocation{RequestID: "r", Payload: workertest.Command{Do: "sleep", N: 200}.JSON(), Deadline: time.Now().Add(time.Minute)}); err != nil {
			t.Fatal(err)
		}
		return job.group.CPU() - before
	}
	first, second := took(), took()
	t.Logf("of 200 ms, the job took %v in the first invocation, and %v in the second, with %d processors", first, second, runtime.NumCPU())
	if first > 100*time.Millisecond || second < first {
		t.Errorf("of 200 ms, the job took %v in the first invocation, and %v in the second", first, second)
	}
	// A job that stands still ends when it is told to.
	next := startGuest(t, d, workertest.Handler, "next")
	done := make(chan error, 1)
	go func() {
		_, err := next.Invoke(t.Context(), &worker.Invocation{RequestID: "r", Payload: workertest.Command{Do: "sleep", N: 200}.JSON(), Deadline: time.Now().Add(time.Minute)})
		done <- err
	}()
	time.Sleep(20 * time.Millisecond)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		end()
	}()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Error("a job that stands still does not end")
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := w.Stop(t.Context(), 0); err != nil {
		t.Error(err)
	}
	if err := next.Stop(t.Context(), 0); err != nil {
		t.Error(err)
	}
	d.yielding.mu.Lock()
	defer d.yielding.mu.Unlock()
	if d.yielding.causes != 0 || d.yielding.still {
		t.Errorf("jobs stand still for %d: want none", d.yielding.causes)
	}
}
