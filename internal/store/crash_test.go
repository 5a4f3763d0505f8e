package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
)

// writeUntilKilled is the child of TestKillLosesNothingAcknowledged: it creates functions,
// changes them and queues invocations, and prints each one after it was acknowledged.
func writeUntilKilled(dir string) {
	ctx := context.Background()
	s, err := Open(ctx, Options{Dir: dir})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	for i := range 1_000_000 {
		name := fmt.Sprintf("f%d-%d", os.Getpid(), i)
		f, rev := newFunction(name)
		steps := []func() error{
			func() error { return s.CreateFunction(ctx, f, rev) },
			func() error {
				_, err := s.UpdateFunction(ctx, f.Name, func(f *Function) error { f.LastVersion = 1; return nil })
				return err
			},
			func() error { return s.Enqueue(ctx, &Async{RequestID: name, Function: f.Name}) },
			func() error { _, err := s.PutMetadata(ctx, rev.Spec.ID, []byte(name), ""); return err },
		}
		for n, step := range steps {
			if err := step(); err != nil {
				fmt.Println("error", err)
				os.Exit(1)
			}
			fmt.Println([]string{"created", "updated", "queued", "metadata"}[n], name)
		}
	}
}

func TestKillLosesNothingAcknowledged(t *testing.T) {
	dir := t.TempDir()
	acknowledged := map[string]bool{}
	for round := range 4 {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		cmd := exec.CommandContext(ctx, os.Args[0])
		cmd.Env = append(os.Environ(), "CLOUDJIT_TEST_WRITER="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines, stopAt := 0, 40+round*37
		for sc := bufio.NewScanner(out); sc.Scan(); {
			if strings.HasPrefix(sc.Text(), "error") {
				t.Errorf("writer: %s", sc.Text())
			}
			acknowledged[sc.Text()] = true
			if lines++; lines == stopAt {
				if err := cmd.Process.Kill(); err != nil { // while it goes on writing
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // "signal: killed"
		cancel()
		if lines < stopAt {
			t.Fatalf("the writer ended by itself after %d lines", lines)
		}
	}

	s := open(t, dir)
	queued := map[string]bool{}
	for n := s.QueueLength(); len(queued) < n; {
		queued[next(t, s).RequestID] = true
	}
	for line := range acknowledged {
		what, name, _ := strings.Cut(line, " ")
		f, ok := s.Function(function.Name(name))
		if !ok {
			t.Errorf("%s: the function is lost", line)
			continue
		}
		switch what {
		case "created":
			if _, ok := s.Revision(f.Latest.Revision); !ok {
				t.Errorf("%s: its revision is lost", line)
			}
		case "updated":
			if f.LastVersion != 1 {
				t.Errorf("%s: the update is lost", line)
			}
		case "queued":
			if !queued[name] {
				t.Errorf("%s: the invocation is lost", line)
			}
		case "metadata":
			if doc, _, err := s.Metadata(t.Context(), f.Latest.Revision, 0); err != nil || string(doc) != name {
				t.Errorf("%s: got %q, %v", line, doc, err)
			}
		}
	}
	t.Logf("%d acknowledged writes, 4 kills, none lost", len(acknowledged))
}

func TestOrphansAreSweptAtOpen(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	_, rev := newFunction("never-created")
	if err := s.putRevisions(t.Context(), []*Revision{rev}); err != nil { // and then the server dies
		t.Fatal(err)
	}
	if _, err := s.PutMetadata(t.Context(), rev.Spec.ID, []byte("{}"), ""); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	if _, ok := s.Revision(rev.Spec.ID); ok {
		t.Error("the orphan is still there")
	}
	if _, err := s.doc(t.Context(), metadataKey(rev.Spec.ID, 1)); !errors.Is(err, ErrNotFound) {
		t.Errorf("the orphan's metadata: got %v, want ErrNotFound", err)
	}
}
