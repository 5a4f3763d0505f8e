package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/workertest"
)

func TestUsersOfTheMachine(t *testing.T) {
	const whole, container = "         0          0 4294967295\n", "0 100000 65536\n"
	for _, c := range []struct {
		name, uidMap string
		given        Users
		files        map[string]string
		want         Users
		err          string
	}{
		{"default", whole, Users{}, map[string]string{"/etc/subuid": "alice:100000:65536\n"}, DefaultUsers, ""},
		{"container", container, Users{}, nil, containerUsers, ""},
		{"configured", whole, Users{300_000, 100}, nil, Users{300_000, 100}, ""},
		{"not in the container", container, Users{300_000, 100}, nil, Users{}, "user namespace"},
		{"somebody's", whole, Users{1000, 100}, map[string]string{"/etc/passwd": "root:x:0:0::/:/bin/sh\nbob:x:1042:1042::/:/bin/sh\n"}, Users{}, "/etc/passwd gives 1042-1042 to bob"},
		{"a group's", whole, Users{2000, 100}, map[string]string{"/etc/group": "staff:x:2099:\n"}, Users{}, "staff"},
		{"subordinate", whole, Users{160_000, 10}, map[string]string{"/etc/subuid": "# none\nalice:100000:65536\n"}, Users{}, "/etc/subuid gives 100000-165535 to alice"},
		{"root's", whole, Users{0, 10}, nil, Users{}, "range"},
		{"past the end", whole, Users{1<<31 - 5, 10}, nil, Users{}, "range"},
	} {
		t.Run(c.name, func(t *testing.T) {
			u, err := newUsers(c.given, t.TempDir(), c.uidMap, func(file string) ([]byte, error) {
				if text, ok := c.files[file]; ok {
					return []byte(text), nil
				}
				return nil, fs.ErrNotExist
			})
			switch {
			case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err) || !errors.Is(err, errUsers)):
				t.Errorf("got %v, want %q", err, c.err)
			case c.err == "" && (err != nil || u.all != c.want):
				t.Errorf("got %+v, %v, want %v", u, err, c.want)
			}
		})
	}
}

// TestUsersAreOneServers: two servers never give out the same user, one that ended leaves its to others, and the
// user that was given back last is given out last.
func TestUsersAreOneServers(t *testing.T) {
	locks := t.TempDir()
	all := Users{First: 500_000, Count: 2*blockSize + 1}
	server := func() *users {
		u, err := newUsers(all, locks, "0 0 4294967295\n", os.ReadFile)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(u.close)
		return u
	}
	take := func(u *users) int {
		t.Helper()
		uid, err := u.take()
		if err != nil {
			t.Fatal(err)
		}
		return uid
	}
	a, b := server(), server()
	first := take(a)
	if got := take(b); got == first {
		t.Fatalf("both have %d", got)
	}
	a.give(first)
	if got := take(a); got == first {
		t.Errorf("%d is given out again at once", got)
	}
	for range blockSize - 1 { // first is the last of them
		take(a)
	}
	if got := take(a); got != 500_000+2*blockSize {
		t.Errorf("got %d, want the one of the third block", got)
	}
	if uid, err := a.take(); !errors.Is(err, errUsers) {
		t.Errorf("got %d, %v, want an error: all are in use", uid, err)
	}
	b.close()
	if got := take(server()); got != 500_000+blockSize {
		t.Errorf("got %d, want the first one of the server that has ended", got)
	}
}

// TestUserOfEachFunction: workers of one function share a user, and those of others have others; what is counted
// by user one function cannot take from another.
func TestUserOfEachFunction(t *testing.T) {
	d := newDriver(t, Options{})
	defer d.Close()
	if d.users == nil {
		t.Skip("CAPABILITY root IS LACKING HERE: all workers are the server's user")
	}
	start := func(name string, i int) worker.Worker {
		t.Helper()
		spec := guestSpec(t, workertest.Handler)
		spec.ID, spec.Revision = fmt.Sprintf("%s-%d", name, i), revision(false)
		spec.Revision.Function = function.Name(name)
		w, err := d.Start(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	user := func(w worker.Worker) string {
		b, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(w.(*handle).child.pid), "status"))
		if err != nil {
			t.Fatal(err)
		}
		_, after, _ := strings.Cut(string(b), "Uid:")
		return strings.Fields(after)[0]
	}
	a, a2, b := start("a", 1), start("a", 2), start("b", 1)
	if user(a) != user(a2) || user(a) == user(b) || user(a) == "0" {
		t.Errorf("users: %s and %s of one function, %s of another", user(a), user(a2), user(b))
	}
	for _, what := range []string{"inotify", "mqueue"} {
		greedy, sibling, other := workertest.Take(t, a, what), workertest.Take(t, a2, what), workertest.Take(t, b, what)
		if greedy < 1 || sibling != 0 || other != greedy {
			t.Errorf("%s: a worker has %d, the next one of its function %d, and another function's %d after them", what, greedy, sibling, other)
		}
	}
	if n := workertest.Take(t, a, "aio"); n != 0 {
		t.Errorf("a worker can make %d io contexts, which are counted for the whole machine", n)
	}
	// A function's user is free for another once nothing of it runs.
	for _, w := range []worker.Worker{a, a2} {
		if err := w.Stop(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.tenants) != 1 {
		t.Errorf("%d functions have a user, want 1", len(d.tenants))
	}
}
