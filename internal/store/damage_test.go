package store

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/health"
)

// content is what a store was given before it was damaged.
type content struct {
	functions map[function.Name]int // to their LastVersion
	removed   []function.Name
	events    map[string]bool // their payloads, by what they are
	letters   int
	metadata  []function.RevisionID
}

// furnish makes a store with functions that were changed and removed, events, dead letters and metadata.
func furnish(t testing.TB, dir string) *content {
	t.Helper()
	s := open(t, dir)
	c := &content{functions: map[function.Name]int{}, events: map[string]bool{}}
	for i := range 40 {
		f, rev := create(t, s, fmt.Sprintf("f%02d", i))
		if i%3 == 0 {
			if err := s.PutPipeline(t.Context(), rev.Spec.ID, json.RawMessage(`{"padding":"`+strings.Repeat("p", 4<<10)+`"}`)); err != nil {
				t.Fatal(err)
			}
		}
		if i%10 == 1 {
			if _, err := s.PutMetadata(t.Context(), rev.Spec.ID, []byte(`{"n":`+fmt.Sprint(i)+`}`), ""); err != nil {
				t.Fatal(err)
			}
			c.metadata = append(c.metadata, rev.Spec.ID)
		}
		for n := range i % 4 {
			if _, err := s.UpdateFunction(t.Context(), f.Name, func(f *Function) error { f.LastVersion = n + 1; return nil }); err != nil {
				t.Fatal(err)
			}
		}
		if i%5 == 4 {
			if err := s.DeleteFunction(t.Context(), f.Name); err != nil {
				t.Fatal(err)
			}
			c.removed = append(c.removed, f.Name)
			continue
		}
		c.functions[f.Name] = i % 4
	}
	for i := range 30 {
		id := fmt.Sprintf("e%02d", i)
		a := &Async{RequestID: id, Function: "f00", Payload: []byte(id + strings.Repeat("x", i%3*12<<10))} // some in files of their own
		if err := s.Enqueue(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		c.events[id] = true
	}
	for i := range 10 {
		d := next(t, s)
		var err error
		if delete(c.events, d.RequestID); i%2 == 0 {
			err = d.Done(t.Context())
		} else {
			err = d.Dead(t.Context(), "RetriesExhausted", 3, nil)
			c.letters++
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return c
}

// verify compares a store with what it was given: what is not there must be named among the lost.
func (c *content) verify(t *testing.T, s *Store) (lost, repaired []string) {
	t.Helper()
	told := func() {
		lost, repaired = nil, nil
		for _, p := range s.Problems() {
			lost, repaired = append(lost, p.Lost...), append(repaired, p.Repaired...)
		}
	}
	told()
	said := func(what string) bool { return slices.Contains(lost, what) }
	for name, version := range c.functions {
		f, ok := s.Function(name)
		switch {
		case !ok && !said("function "+string(name)):
			t.Errorf("function %s is lost, and nobody says so", name)
		case ok && f.LastVersion != version:
			t.Errorf("function %s is an old one: got version %d, want %d", name, f.LastVersion, version)
		case ok:
			if _, ok := s.Revision(f.Latest.Revision); !ok && !said("revision "+string(f.Latest.Revision)) {
				t.Errorf("the revision of %s is lost, and nobody says so", name)
			}
		}
	}
	for _, name := range c.removed {
		if _, ok := s.Function(name); ok {
			t.Errorf("function %s, which was deleted, is back", name)
		}
	}
	for _, id := range c.metadata {
		if _, _, err := s.Metadata(t.Context(), id, 0); err != nil && !slices.ContainsFunc(s.Problems(), func(p health.Problem) bool {
			return slices.ContainsFunc(p.Lost, func(what string) bool { return strings.Contains(what, string(id)) })
		}) {
			t.Errorf("metadata of %s: %v, and nobody says so", id, err)
		}
	}
	got := map[string]bool{}
	for s.QueueLength() > 0 {
		d := next(t, s)
		var i int
		_, _ = fmt.Sscanf(d.RequestID, "e%d", &i)
		if string(d.Payload) != d.RequestID+strings.Repeat("x", i%3*12<<10) {
			t.Errorf("event %s has the payload %.10q", d.RequestID, d.Payload)
		}
		got[d.RequestID] = true
		told() // what is read late is noticed late
		if err := d.Done(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for id := range c.events {
		if !got[id] && !said("invocation "+id+" of function f00") && !slices.ContainsFunc(lost, func(what string) bool { return strings.Contains(what, "invocation "+id+" ") }) {
			t.Errorf("event %s is lost, and nobody says so", id)
		}
	}
	for id := range got {
		if !c.events[id] {
			t.Errorf("event %s, which was finished, is back", id)
		}
	}
	letters, err := s.DeadLetters(t.Context(), "", 0, 100)
	if err != nil || len(letters) < c.letters && !slices.ContainsFunc(lost, func(what string) bool { return strings.HasPrefix(what, "dead letter") }) {
		t.Errorf("got %d dead letters, %v, want %d", len(letters), err, c.letters)
	}
	told()
	for end := time.Now().Add(30 * time.Second); s.unavailable() != nil && time.Now().Before(end); { // damage was met just now
		time.Sleep(10 * time.Millisecond)
	}
	create(t, s, "new") // and it can be written
	return lost, repaired
}

func cut(share int) func(t *testing.T, file string) {
	return func(t *testing.T, file string) {
		info, err := os.Stat(file)
		if err == nil {
			err = os.Truncate(file, info.Size()*int64(share)/100)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// flip inverts bytes, from the first that count to the last that do.
func flip(n int, seed uint64) func(t *testing.T, file string) {
	return func(t *testing.T, file string) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		end := len(strings.TrimRight(string(b), "\x00"))
		r := rand.New(rand.NewPCG(seed, 1))
		for range n {
			if end > 0 {
				b[r.IntN(end)] ^= 0xff
			}
		}
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func gone(t *testing.T, file string) {
	if err := os.RemoveAll(file); err != nil {
		t.Fatal(err)
	}
}

// TestDamageIsNoticedAndRepaired damages each file of the store in each way: everything is there afterwards, since the
// inventory has it.
func TestDamageIsNoticedAndRepaired(t *testing.T) {
	stream := func(name, file string) string { return "state/jetstream/$G/streams/" + name + "/" + file }
	for _, c := range []struct {
		name, file string
		do         func(*testing.T, string)
		// repairs says that something must be repaired.
		repairs bool
	}{
		{"block of functions cut to 60 %", stream("KV_state", "msgs/1.blk"), cut(60), true},
		{"64 bytes of functions flipped", stream("KV_state", "msgs/1.blk"), flip(64, 1), true},
		{"block of functions cut to nothing", stream("KV_state", "msgs/1.blk"), cut(0), true},
		{"block of functions missing", stream("KV_state", "msgs/1.blk"), gone, true},
		{"block of events cut to 60 %", stream("async", "msgs/1.blk"), cut(60), true},
		{"64 bytes of events flipped", stream("async", "msgs/1.blk"), flip(64, 2), true},
		{"block of events cut to nothing", stream("async", "msgs/1.blk"), cut(0), true},
		{"block of dead letters cut to nothing", stream("dead", "msgs/1.blk"), cut(0), true},
		{"block of documents cut to nothing", stream("KV_docs", "msgs/1.blk"), cut(0), false},
		{"64 bytes of documents flipped", stream("KV_docs", "msgs/1.blk"), flip(64, 3), false},
		{"index flipped", stream("KV_state", "msgs/index.db"), flip(64, 4), false},
		{"index cut", stream("KV_state", "msgs/index.db"), cut(50), false},
		{"description of a stream flipped", stream("KV_state", "meta.inf"), flip(64, 5), false},
		{"description of a stream missing", stream("KV_state", "meta.inf"), gone, false},
		{"description of the queue cut", stream("async", "meta.inf"), cut(50), false},
		{"all files of a stream missing", stream("KV_state", ""), gone, true},
		{"all files of the store missing", stateFolder, gone, true},
		{"the store is a file", stateFolder, func(t *testing.T, f string) { gone(t, f); _ = os.WriteFile(f, []byte("x"), 0o600) }, true},
		{"64 bytes of the inventory flipped", inventoryFile, flip(64, 6), true},
		{"inventory cut", inventoryFile, cut(2), true},
		{"inventory cut to nothing", inventoryFile, cut(0), true},
		{"inventory missing", inventoryFile, gone, true},
		{"damage.json is none", damageFile, func(t *testing.T, f string) { _ = os.WriteFile(f, []byte("x"), 0o600) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			want := furnish(t, dir)
			c.do(t, filepath.Join(dir, c.file))
			s := openLogged(t, dir)
			lost, repaired := want.verify(t, s)
			if c.repairs && len(repaired) == 0 {
				t.Error("nothing was repaired")
			}
			t.Logf("lost %q, repaired %d", lost, len(repaired))
			if err := s.Acknowledge(); err != nil || len(s.Problems()) > 0 || s.Doubtful() {
				t.Errorf("acknowledged: got %v, %v", s.Problems(), err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			again := open(t, dir)
			if p := again.Problems(); len(p) > 0 {
				t.Errorf("the damage is there again: %+v", p)
			}
		})
	}
}

// TestRandomDamage damages any files at random.
func TestRandomDamage(t *testing.T) {
	rounds := 10
	if testing.Short() {
		rounds = 5
	}
	for seed := range uint64(rounds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			dir := t.TempDir()
			want := furnish(t, dir)
			var files []string
			err := filepath.WalkDir(filepath.Join(dir, stateFolder), func(path string, d fs.DirEntry, err error) error {
				if err == nil && !d.IsDir() {
					files = append(files, path)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			r := rand.New(rand.NewPCG(seed, 2))
			for range 1 + r.IntN(3) {
				file := files[r.IntN(len(files))]
				if _, err := os.Stat(file); err != nil {
					continue
				}
				t.Log(strings.TrimPrefix(file, dir))
				[]func(*testing.T, string){cut(r.IntN(100)), flip(1+r.IntN(64), seed), gone}[r.IntN(3)](t, file)
			}
			s := openLogged(t, dir)
			lost, repaired := want.verify(t, s)
			t.Logf("lost %q, repaired %d", lost, len(repaired))
		})
	}
}

func openLogged(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{Dir: dir, NoSync: true, Reserve: -1, Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}
