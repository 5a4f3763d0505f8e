package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// filesOf are the files of a node's embedded server whose path holds part.
func filesOf(t *testing.T, dir, part string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(dir, clusterFolder), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.Contains(path, part) {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestNodesWithDamagedFiles: files of one node's embedded server are damaged while it is down. It starts again, and catches up with the others;
// nothing that was acknowledged is lost.
func TestNodesWithDamagedFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: takes a minute")
	}
	ports := freePorts(t, 3)
	dirs := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	n := openNodes(t, ports, dirs)
	defer func() {
		for _, p := range n {
			if p == nil {
				continue
			}
			if err := p.close(); err != nil {
				t.Error(err)
			}
		}
	}()
	ctx := t.Context()
	made := 0
	write := func() {
		for range 10 {
			create(t, n[0].Store, fmt.Sprintf("f%02d", made))
			if err := n[1].Enqueue(ctx, &Async{RequestID: fmt.Sprint("r", made), Function: "f00", EnqueuedAt: time.Now(), Payload: bytes.Repeat([]byte("p"), 500)}); err != nil {
				t.Fatal(err)
			}
			made++
		}
	}
	write()
	for i, c := range []struct {
		name string
		// refuses: it does not start, and says what to do, which is done then.
		refuses bool
		damage  func(dir string)
	}{
		{"messages cut", false, func(dir string) {
			for _, f := range filesOf(t, dir, "KV_state/msgs/") {
				cut(50)(t, f)
			}
		}},
		{"messages flipped", false, func(dir string) {
			for _, f := range append(filesOf(t, dir, "KV_state/msgs/"), filesOf(t, dir, "async/msgs/")...) {
				flip(3, 1)(t, f)
			}
		}},
		{"raft logs cut", true, func(dir string) {
			for _, f := range filesOf(t, dir, "$SYS/") {
				cut(50)(t, f)
			}
		}},
		{"raft logs flipped", true, func(dir string) {
			for _, f := range filesOf(t, dir, "$SYS/") {
				flip(3, 1)(t, f)
			}
		}},
		{"descriptions of streams flipped", false, func(dir string) {
			for _, f := range filesOf(t, dir, "/meta.") {
				flip(3, 1)(t, f)
			}
		}},
		{"all gone", false, func(dir string) {
			gone(t, filepath.Join(dir, clusterFolder))
		}},
	} {
		ok := t.Run(c.name, func(t *testing.T) {
			at := i % 3
			if err := n[at].close(); err != nil {
				t.Fatal(err)
			}
			c.damage(dirs[at])
			n[at] = nil
			begin := time.Now()
			if c.refuses {
				folder := filepath.Join(dirs[at], clusterFolder)
				_, err := openNode(ctx, t, ports, dirs[at], at)
				if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "rename "+folder) {
					t.Fatalf("got %v, want an ErrDamaged that says what to do", err)
				}
				if err := os.Rename(folder, folder+".old"); err != nil {
					t.Fatal(err)
				}
				defer gone(t, folder+".old")
			}
			n[at] = reopen(t, ports, dirs, at)
			t.Logf("it is back after %v", time.Since(begin).Round(100*time.Millisecond))
			write()
			for k, p := range n {
				eventually(t, 20*time.Second, fmt.Sprintf("node %d has all of %d functions and events", k, made), func() bool {
					return len(p.Functions()) == made && p.QueueLength() == made
				})
			}
			// As cluster status says it. What another one alone had may be lost before.
			eventually(t, 30*time.Second, "its copies are current", func() bool {
				r := n[(at+1)%3].cluster.Replication()
				for _, x := range r.Replicas {
					if !x.Current || x.Offline {
						return false
					}
				}
				return len(r.Replicas) == 3
			})
		})
		if !ok {
			t.FailNow() // what follows needs all three
		}
	}
}

// reopen opens one node again.
func reopen(t *testing.T, ports []int, dirs []string, i int) *peer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p, err := openNode(ctx, t, ports, dirs[i], i)
	if err != nil {
		t.Fatalf("open node %d again: %v", i, err)
	}
	return p
}
