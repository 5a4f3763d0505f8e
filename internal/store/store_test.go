package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/cloudjit/cloudjit/internal/function"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("CLOUDJIT_TEST_WRITER"); dir != "" {
		writeUntilKilled(dir)
	}
	// An embedded server that cannot start with damaged files leaves these behind; the process ends then.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"))
}

func open(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{Dir: dir, NoSync: true, Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func newFunction(name string) (*Function, *Revision) {
	rev := &Revision{CreatedAt: time.Now().UTC().Truncate(0), Spec: function.Spec{
		ID: NewRevisionID(), Function: function.Name(name), Version: function.Latest, Kind: function.KindHandler,
		Runtime: "java21", Handler: "example.Handler::handle", MemoryMiB: 512, TmpMiB: 512, Timeout: 3 * time.Second,
		Environment: map[string]string{"STAGE": "test"},
	}}
	return &Function{Name: function.Name(name), CreatedAt: rev.CreatedAt,
		Latest: Version{Version: function.Latest, Revision: rev.Spec.ID, State: Status{Value: "Active"}}}, rev
}

func create(t testing.TB, s *Store, name string) (*Function, *Revision) {
	t.Helper()
	f, rev := newFunction(name)
	if err := s.CreateFunction(t.Context(), f, rev); err != nil {
		t.Fatal(err)
	}
	return f, rev
}

func TestEverythingSurvivesAReopen(t *testing.T) {
	dir := t.TempDir()
	ctx := t.Context()
	s := open(t, dir)
	f, rev := create(t, s, "hello")
	id := rev.Spec.ID
	if err := s.PutPipeline(ctx, id, json.RawMessage(`{"tier":"hotspot"}`), Transition{To: "tracing", Reason: "new"}, Transition{From: "tracing", To: "hotspot"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutMetadata(ctx, id, []byte(`{"reflection":[]}`), "first flush"); err != nil {
		t.Fatal(err)
	}
	b := &Build{ID: "01B", Revision: id, Function: f.Name, State: "succeeded", Rung: "native", QueuedAt: f.CreatedAt}
	if err := s.PutBuild(ctx, b); err != nil {
		t.Fatal(err)
	}
	if err := s.PutBuildLog(ctx, id, b.ID, []byte("[1/8] Initializing")); err != nil {
		t.Fatal(err)
	}
	if err := s.PutSetting(ctx, "policy", json.RawMessage(`{"threshold":10}`)); err != nil {
		t.Fatal(err)
	}
	if err := s.Enqueue(ctx, &Async{RequestID: "r1", Function: f.Name, EnqueuedAt: f.CreatedAt, Payload: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = open(t, dir)
	got, ok := s.Function("hello")
	if !ok {
		t.Fatal("the function is gone")
	}
	if d := cmp.Diff(f, got); d != "" {
		t.Errorf("function (-want +got):\n%s", d)
	}
	gotRev, _ := s.Revision(id)
	if d := cmp.Diff(rev, gotRev); d != "" {
		t.Errorf("revision (-want +got):\n%s", d)
	}
	if p, ok := s.Pipeline(id); !ok || len(p.History) != 2 || string(p.State) != `{"tier":"hotspot"}` {
		t.Errorf("pipeline: got %+v", p)
	}
	doc, v, err := s.Metadata(ctx, id, 0)
	if err != nil || string(doc) != `{"reflection":[]}` || v.Number != 1 {
		t.Errorf("metadata: got %s, %+v, %v", doc, v, err)
	}
	if bs := s.Builds(id); len(bs) != 1 || cmp.Diff(b, bs[0]) != "" {
		t.Errorf("builds: got %+v", bs)
	}
	if log, err := s.BuildLog(ctx, id, "01B"); err != nil || string(log) != "[1/8] Initializing" {
		t.Errorf("build log: got %q, %v", log, err)
	}
	if p, ok := s.Setting("policy"); !ok || string(p.Document) != `{"threshold":10}` {
		t.Errorf("setting: got %+v", p)
	}
	d, err := s.NextAsync(ctx)
	if err != nil || d.RequestID != "r1" || string(d.Payload) != "{}" {
		t.Errorf("queue: got %+v, %v", d, err)
	}
}

func TestNamesAreTakenOnce(t *testing.T) {
	s := open(t, t.TempDir())
	create(t, s, "hello")
	f, rev := newFunction("hello")
	if err := s.CreateFunction(t.Context(), f, rev); !errors.Is(err, ErrExists) {
		t.Fatalf("second create: got %v, want ErrExists", err)
	}
	if _, ok := s.Revision(rev.Spec.ID); ok {
		t.Error("the refused function's revision was left behind")
	}
	if err := s.DeleteFunction(t.Context(), "hello"); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Function("hello"); ok {
		t.Error("the deleted function is still there")
	}
	if err := s.DeleteFunction(t.Context(), "hello"); !errors.Is(err, ErrNotFound) {
		t.Errorf("second delete: got %v, want ErrNotFound", err)
	}
	create(t, s, "hello") // the name is free again
}

func TestConcurrentUpdatesAllCount(t *testing.T) {
	s := open(t, t.TempDir())
	create(t, s, "hello")
	const writers, each = 4, 25
	errs := make(chan error, writers)
	for range writers {
		go func() {
			var err error
			for range each {
				_, e := s.UpdateFunction(context.Background(), "hello", func(f *Function) error {
					f.LastVersion++
					return nil
				})
				err = errors.Join(err, e)
			}
			errs <- err
		}()
	}
	for range writers {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	if f, _ := s.Function("hello"); f.LastVersion != writers*each {
		t.Errorf("got %d updates, want %d", f.LastVersion, writers*each)
	}
}

func TestUpdateRemovesWhatNothingRefersTo(t *testing.T) {
	s := open(t, t.TempDir())
	ctx := t.Context()
	_, first := create(t, s, "hello")
	if _, err := s.PutMetadata(ctx, first.Spec.ID, []byte("{}"), ""); err != nil {
		t.Fatal(err)
	}
	for i := range maxSuperseded + 1 {
		_, next := newFunction("hello")
		if _, err := s.UpdateFunction(ctx, "hello", func(f *Function) error {
			f.Supersede(f.Latest.Revision)
			f.Latest.Revision = next.Spec.ID
			return nil
		}, next); err != nil {
			t.Fatalf("update %d: %v", i, err)
		}
	}
	if _, ok := s.Revision(first.Spec.ID); ok {
		t.Error("the oldest revision was kept")
	}
	if _, _, err := s.Metadata(ctx, first.Spec.ID, 0); !errors.Is(err, ErrNotFound) {
		t.Errorf("metadata of the oldest revision: got %v, want ErrNotFound", err)
	}
	if n := len(s.Revisions()); n != maxSuperseded+1 {
		t.Errorf("got %d revisions, want %d", n, maxSuperseded+1)
	}
	refuse := errors.New("refused")
	_, next := newFunction("hello")
	if _, err := s.UpdateFunction(ctx, "hello", func(*Function) error { return refuse }, next); !errors.Is(err, refuse) {
		t.Errorf("refused update: got %v", err)
	}
	if _, ok := s.Revision(next.Spec.ID); ok {
		t.Error("the refused update's revision was left behind")
	}
}

func TestMetadataVersions(t *testing.T) {
	s := open(t, t.TempDir())
	ctx := t.Context()
	_, rev := create(t, s, "hello")
	for i, want := range []int{1, 1, 2} {
		doc := []byte{"aab"[i]}
		if n, err := s.PutMetadata(ctx, rev.Spec.ID, doc, ""); err != nil || n != want {
			t.Errorf("put %q: got version %d, %v, want %d", doc, n, err, want)
		}
	}
	if doc, _, err := s.Metadata(ctx, rev.Spec.ID, 1); err != nil || string(doc) != "a" {
		t.Errorf("version 1: got %q, %v", doc, err)
	}
	if _, err := s.PutMetadata(ctx, rev.Spec.ID, make([]byte, MaxValue+1), ""); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: got %v", err)
	}
	// A large document that is another one each time: what is kept of it is bounded.
	for i := range 8 {
		doc := bytes.Repeat([]byte{byte('a' + i)}, 6<<20)
		if _, err := s.PutMetadata(ctx, rev.Spec.ID, doc, ""); err != nil {
			t.Fatal(err)
		}
	}
	size := 0
	versions := s.MetadataVersions(rev.Spec.ID)
	for _, v := range versions {
		size += v.Size
	}
	if size > maxMetadataBytes || len(versions) < minMetadata || versions[len(versions)-1].Number != 10 {
		t.Errorf("%d versions of %d bytes are kept", len(versions), size)
	}
	if _, _, err := s.Metadata(ctx, rev.Spec.ID, 3); !errors.Is(err, ErrNotFound) {
		t.Errorf("a version that was dropped: got %v", err)
	}
}

func TestOneServerPerFolder(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	_, err := Open(t.Context(), Options{Dir: dir})
	if !errors.Is(err, ErrInUse) {
		t.Fatalf("got %v, want ErrInUse", err)
	}
	if want := fmt.Sprintf("process %d", os.Getpid()); !bytes.Contains([]byte(err.Error()), []byte(want)) {
		t.Errorf("error %q does not name %s", err, want)
	}
}

func TestURLIndex(t *testing.T) {
	s := open(t, t.TempDir())
	create(t, s, "hello")
	if _, err := s.UpdateFunction(t.Context(), "hello", func(f *Function) error {
		f.URLs = map[string]URL{"live": {ID: "abc"}}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got, ok := s.FunctionURL("abc"); !ok || got != (URLTarget{"hello", "live"}) {
		t.Errorf("got %+v, %v", got, ok)
	}
	if err := s.DeleteFunction(t.Context(), "hello"); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.FunctionURL("abc"); ok {
		t.Error("the URL of a deleted function still leads somewhere")
	}
}

func TestQueueRetriesAcrossRestarts(t *testing.T) {
	dir := t.TempDir()
	ctx := t.Context()
	s := open(t, dir)
	if err := s.Enqueue(ctx, &Async{RequestID: "r1", Function: "f", Payload: []byte(`"event"`)}); err != nil {
		t.Fatal(err)
	}
	d := next(t, s)
	if err := d.Retry(ctx, 300*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	s = open(t, dir)
	d = next(t, s)
	if d.Failed != 1 {
		t.Errorf("after the restart: got %d failed attempts, want 1", d.Failed)
	}
	t.Logf("delivered again %v after the restart", time.Since(start))
	if err := d.Defer(ctx, 0); err != nil {
		t.Fatal(err)
	}
	d = next(t, s)
	if d.Failed != 1 || d.Deferred != 1 {
		t.Errorf("got %d failed, %d deferred, want 1, 1", d.Failed, d.Deferred)
	}
	if err := d.Dead(ctx, "RetriesExhausted", 3, json.RawMessage(`{"errorMessage":"no"}`)); err != nil {
		t.Fatal(err)
	}
	if n := s.QueueLength(); n != 0 {
		t.Errorf("queue length: got %d, want 0", n)
	}
	if keys := s.attempts.keys(); len(keys) != 0 {
		t.Errorf("records of attempts left behind: %v", keys)
	}
	letters, err := s.DeadLetters(ctx, "f", 0, 10)
	if err != nil || len(letters) != 1 {
		t.Fatalf("dead letters: got %v, %v, want one", letters, err)
	}
	l := letters[0]
	if l.RequestID != "r1" || string(l.Payload) != `"event"` || l.Attempts != 3 || string(l.Error) != `{"errorMessage":"no"}` {
		t.Errorf("dead letter: got %+v", l)
	}
	if err := s.RemoveDeadLetter(ctx, l.ID); err != nil {
		t.Error(err)
	}
	if err := s.RemoveDeadLetter(ctx, l.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("second removal: got %v, want ErrNotFound", err)
	}
}

func TestLeasedInvocationComesBackAfterARestart(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := s.Enqueue(t.Context(), &Async{RequestID: "r1", Function: "f"}); err != nil {
		t.Fatal(err)
	}
	next(t, s) // and never finished
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	if d := next(t, s); d.RequestID != "r1" {
		t.Errorf("got %s", d.RequestID)
	}
}

// TestEventsTakeTurns: 200 events of one function that never end do not hold up another's; a second start knows of all,
// and what is over the bound is refused before and after it.
func TestEventsTakeTurns(t *testing.T) {
	dir := t.TempDir()
	limits := QueueLimits{Events: 200, Bytes: 4 << 20}
	s := openWith(t, dir, limits)
	full := func() {
		t.Helper()
		var e *QueueFullError
		if err := s.Enqueue(t.Context(), &Async{RequestID: "r", Function: "flood"}); !errors.As(err, &e) || e.All || e.Events != 200 {
			t.Errorf("one more than 200: %v, %+v", err, e)
		}
	}
	for i := range 200 {
		a := &Async{RequestID: fmt.Sprint(i), Function: "flood", Payload: make([]byte, i%20<<10)} // some in files
		if err := s.Enqueue(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	full()
	for range 64 {
		if d := next(t, s); d.Function != "flood" {
			t.Fatalf("a turn of %s", d.Function)
		}
	}
	began := time.Now()
	if err := s.Enqueue(t.Context(), &Async{RequestID: "other", Function: "other", Payload: []byte("1")}); err != nil {
		t.Fatal(err)
	}
	d := next(t, s)
	if d.RequestID != "other" || time.Since(began) > time.Second {
		t.Errorf("got %s of %s after %v, want the other function's", d.RequestID, d.Function, time.Since(began))
	}
	if err := d.Done(t.Context()); err != nil {
		t.Error(err)
	}
	d.Release() // has no effect any more
	if err := s.Enqueue(t.Context(), &Async{RequestID: "big", Function: "big", Hops: 1, Payload: make([]byte, MaxAsyncPayload)}); err != nil {
		t.Fatal(err)
	}
	if d := next(t, s); d.RequestID != "big" || len(d.Payload) != MaxAsyncPayload {
		t.Errorf("got %s", d.RequestID)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openWith(t, dir, limits)
	for i := 0; i < 10; {
		d := next(t, s)
		if d.Function == "big" {
			continue
		}
		if d.RequestID != fmt.Sprint(i) {
			t.Errorf("after the restart: %s, want %d", d.RequestID, i)
		}
		i++
	}
	for range 100 { // it is told of all that there is
		s.backlogMu.Lock()
		known := s.backlog.lines["flood"].events
		s.backlogMu.Unlock()
		if known == 200 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	full()
}

func openWith(t *testing.T, dir string, limits QueueLimits) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{Dir: dir, NoSync: true, Queue: limits})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func next(t testing.TB, s *Store) *Delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	d, err := s.NextAsync(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
