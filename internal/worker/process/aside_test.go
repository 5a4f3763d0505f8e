package process

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/worker"
)

// TestPartOfAJob: a job that has the processors for itself stays behind all others; one that gets nothing competes with them, until it
// has had its part.
func TestPartOfAJob(t *testing.T) {
	const period = 100 * time.Millisecond
	p := part{processors: 4} // 40 ms in each period
	idle := func(used time.Duration) bool { return p.next(period, used, 0).idle }
	for range 50 {
		if !idle(4 * period) {
			t.Fatal("it competes, and has all processors")
		}
	}
	if !idle(0) {
		t.Error("it competes after one period without any")
	}
	if idle(0) {
		t.Error("it does not compete after two periods without any")
	}
	if idle(100 * time.Millisecond) {
		t.Error("it competes no more, and has not had its part")
	}
	if !idle(4 * period) {
		t.Error("it competes, and has had its part")
	}
	for range 10_000 {
		idle(0)
	}
	n := 0
	for ; !idle(4 * period); n++ {
	}
	if n > 10 {
		t.Errorf("after long without any, it competed for %d periods", n)
	}
	// Over time it has its part and hardly more, where it has one processor while it competes and else nothing.
	p, all := part{processors: 4}, time.Duration(0)
	behind := true
	for range 1000 {
		used := time.Duration(0)
		if !behind {
			used = period
		}
		all += used
		behind = idle(used)
	}
	if got := float64(all) / float64(4*1000*period); got < leastPart || got > 1.3*leastPart {
		t.Errorf("it had %.2f of the processors: want %.2f", got, leastPart)
	}
}

// TestHeldOnACrowdedMachine: where others use nearly all processors, a job has a small part and no more, but a short one
// has what it needs, and no job is held back for long.
func TestHeldOnACrowdedMachine(t *testing.T) {
	const period = 250 * time.Millisecond
	p := part{processors: 2}
	// crowd is what others use beside a job that takes what it can get: up to half a processor, or its quota.
	crowd := func(n int, wanted float64) (used, held time.Duration) {
		now := turn{idle: true}
		for range n {
			mine := time.Duration(0.5 * float64(period))
			if now.quota > 0 {
				held += period
				mine = min(mine, time.Duration(now.quota*float64(period)))
			}
			used += mine
			now = p.next(period, mine, min(time.Duration(wanted*2*float64(period)), 2*period-mine))
		}
		return used, held
	}
	if used, held := crowd(4, 1); held != 0 {
		t.Errorf("a job that had %s was held back for %s: want it not to be", used, held)
	}
	crowd(8, 1)
	if used, held := crowd(240, 1); held < time.Minute-period || used > 7*time.Second || used < 5*time.Second {
		t.Errorf("in a minute it had %s and was held back for %s: want 6 s, all the time but at first", used, held)
	}
	crowd(12, 0.3) // the crowd leaves
	if _, held := crowd(40, 0.3); held != 0 {
		t.Errorf("it was held back for %s beside others that use a third of the processors", held)
	}
	if _, held := crowd(40*60*4, 1); held > heldMost {
		t.Errorf("it was held back for %s of 40 minutes: want %s at most", held, heldMost)
	}
}

// TestJobsRunAside: the kernel knows that a job comes after all others.
func TestJobsRunAside(t *testing.T) {
	d := newDriver(t, Options{})
	defer d.Close()
	if !d.idles {
		t.Skip("SKIPPED: there are no control groups that can be idle")
	}
	defer beginJob(t, d, "aside", "sleep 60")()
	var said []string
	for end := time.Now().Add(10 * time.Second); len(said) == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("no job's group is idle")
		}
		_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.IsDir() || e.Name() != d.prefix+"aside" {
				return nil
			}
			if b, _ := os.ReadFile(filepath.Join(path, "cpu.idle")); strings.TrimSpace(string(b)) == "1" {
				said = append(said, path)
			}
			return nil
		})
	}
}

// beginJob runs a shell's command as a job, until end is called, which returns when the job has ended.
func beginJob(t testing.TB, d *Driver, id, command string) (end func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var job sync.WaitGroup
	job.Go(func() {
		_, _ = d.Run(ctx, worker.Spec{
			ID: id, Revision: revision(false), Path: "/bin/sh", Args: []string{"-c", command}, Dir: "/tmp", Env: []string{"PATH=/usr/bin"},
			Limits: worker.Limits{MemoryMiB: 64, TmpMiB: 16},
		})
	})
	return func() {
		cancel()
		job.Wait()
	}
}
