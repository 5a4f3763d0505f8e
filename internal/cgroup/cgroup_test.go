package cgroup

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLocate(t *testing.T) {
	const hybrid = `31 30 0:26 / /sys/fs/cgroup/memory rw shared:1 - cgroup cgroup rw,memory
32 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw shared:2 - cgroup cgroup rw,cpu,cpuacct
33 30 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
34 30 0:29 / /proc rw - proc proc rw`
	v1, v2 := locate(hybrid, "4:memory:/\n2:cpu,cpuacct:/no/such/folder\n0::/\n")
	if v1["memory"] != "/sys/fs/cgroup/memory" || v1["cpu"] != "/sys/fs/cgroup/cpu,cpuacct" || v1["cpuacct"] != v1["cpu"] || v2 != "/sys/fs/cgroup/unified" {
		t.Errorf("got %q, %q", v1, v2)
	}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "a/b"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, v2 = locate("1 2 0:1 /host "+dir+" rw - cgroup2 cgroup2 rw\n", "0::/host/a/b\n")
	if v2 != filepath.Join(dir, "a/b") {
		t.Errorf("got %q", v2)
	}
}

func TestGroupLimitsAndKills(t *testing.T) {
	g, err := New("cloudjit-test-"+filepath.Base(t.TempDir()), Limits{Memory: 64 << 20, CPUs: 0.5})
	if errors.Is(err, ErrUnsupported) {
		t.Skipf("this machine has no control groups for us: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := g.Remove(); err != nil {
			t.Error(err)
		}
	}()
	// The shell waits until it is in the group; then its child outlives it.
	cmd := exec.Command("sh", "-c", "read _; sleep 100 & sleep 100")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := g.Add(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); len(g.Procs()) < 3; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("processes: %v", g.Procs())
		}
	}
	g.Kill()
	if left := g.Procs(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("got %v", err)
	}
	if g.Stats().CPU == 0 {
		t.Error("no CPU time was counted")
	}
}

// made is a group of files that only look like one.
func made(t *testing.T, g *Group, files map[string]string) {
	t.Helper()
	dir := t.TempDir()
	g.dirs = map[string]string{}
	for file := range files {
		controller, _, _ := strings.Cut(file, "/")
		g.dirs[controller] = filepath.Join(dir, controller)
		if g.unified {
			g.dirs[controller] = dir
			file = filepath.Base(file)
		} else if err := os.MkdirAll(g.dirs[controller], 0o755); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{filepath.Join(dir, file), filepath.Join(g.dirs[controller], "tasks")} {
			if err := os.WriteFile(file, nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestWhatIsWritten: the same group by each version's files.
func TestWhatIsWritten(t *testing.T) {
	for name, c := range map[string]struct {
		group Group
		files map[string]string
	}{
		"version 1": {Group{}, map[string]string{"cpu/cpu.shares": "296", "cpu/cpu.idle": "1", "cpu/cpu.cfs_period_us": "1000000", "cpu/cpu.cfs_quota_us": "150000", "freezer/freezer.state": "FROZEN", "memory/memory.kmem.tcp.limit_in_bytes": "16777216", "memory/memory.limit_in_bytes": "134217728"}},
		"version 2": {Group{unified: true}, map[string]string{"cpu/cpu.weight": "29", "cpu/cpu.idle": "1", "cpu/cpu.max": "150000 1000000", "freezer/cgroup.freeze": "1", "memory/memory.max": "134217728"}},
		"hybrid":    {Group{hybrid: true}, map[string]string{"cpu/cpu.shares": "296", "cpu/cpu.idle": "1", "cpu/cpu.cfs_period_us": "1000000", "cpu/cpu.cfs_quota_us": "150000", "freezer/cgroup.freeze": "1", "memory/memory.limit_in_bytes": "134217728"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := &c.group
			made(t, g, c.files)
			if err := g.limit(Limits{Weight: 296, Memory: 128 << 20}); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(g.Freeze(), g.Idle(false), g.Idle(true), g.Quota(0.15, time.Second)); err != nil {
				t.Fatal(err)
			}
			// A child is born in version 2's group, and writes itself into each of version 1's.
			born, tasks, err := g.Doors()
			if err != nil {
				t.Fatal(err)
			}
			if want := map[string]int{"version 1": 3, "version 2": 0, "hybrid": 2}[name]; len(tasks) != want || (born != nil) != (name != "version 1") {
				t.Errorf("doors: %v, %v", born, tasks)
			}
			for _, f := range append(tasks, born) {
				if f != nil {
					f.Close()
				}
			}
			for file, want := range c.files {
				controller, file, _ := strings.Cut(file, "/")
				if got, _ := os.ReadFile(filepath.Join(g.dirs[controller], file)); string(got) != want {
					t.Errorf("%s: got %q, want %q", file, got, want)
				}
			}
		})
	}
}

// TestFrozenGroup: what is frozen does not run, and dies all the same.
func TestFrozenGroup(t *testing.T) {
	g, err := New("cloudjit-test-"+filepath.Base(t.TempDir()), Limits{})
	if errors.Is(err, ErrUnsupported) || err == nil && !g.CanFreeze() {
		t.Skipf("this machine has no freezer for us: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		cmd := exec.Command("sh", "-c", "while :; do :; done")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if err := g.Add(cmd.Process.Pid); err != nil {
			t.Fatal(err)
		}
		used := func(d time.Duration) time.Duration {
			before := g.CPU()
			time.Sleep(d)
			return g.CPU() - before
		}
		if err := g.Freeze(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
		if took := used(50 * time.Millisecond); took > time.Millisecond {
			t.Errorf("frozen, it took %v of 50 ms", took)
		}
		if err := errors.Join(g.Thaw(), g.Thaw()); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(10 * time.Second); used(10*time.Millisecond) == 0; {
			if time.Now().After(end) {
				t.Fatal("thawed, it does not run")
			}
		}
		if err := g.Freeze(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		g.Kill()
		if err := cmd.Wait(); err == nil || time.Since(began) > patience/2 {
			t.Errorf("killed: %v after %v", err, time.Since(began))
		}
	}
	if err := g.Remove(); err != nil {
		t.Error(err)
	}
}

func TestCleanRemovesOnlyStaleGroups(t *testing.T) {
	name := "cloudjit-clean-" + filepath.Base(t.TempDir())
	g, err := New(name, Limits{})
	if errors.Is(err, ErrUnsupported) {
		t.Skipf("this machine has no control groups for us: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer g.Remove()
	if err := Clean("cloudjit-clean-", func(n string) bool { return false }); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(g.folders()[0]); err != nil {
		t.Error("a group in use was removed")
	}
	if err := Clean("cloudjit-clean-", func(n string) bool { return n == name }); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(g.folders()[0]); err == nil {
		t.Error("a stale group is still there")
	}
}
