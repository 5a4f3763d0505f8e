package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/store"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/fake"
)

// state is a State in memory.
type state struct {
	mu        sync.Mutex
	functions map[function.Name]*store.Function
	revisions map[function.RevisionID]*store.Revision
	pipelines map[function.RevisionID]*store.Pipeline
	metadata  map[function.RevisionID][][]byte
	builds    map[string]store.Build
	samples   map[function.Name][]byte
	logs      map[string][]byte
	// full makes writes of pipelines fail, and refused counts them.
	full    bool
	refused int
	// changed, if set, is told of pipelines that were written by one of several nodes.
	changed func(function.RevisionID)
}

func newState() *state {
	return &state{
		functions: map[function.Name]*store.Function{}, revisions: map[function.RevisionID]*store.Revision{},
		pipelines: map[function.RevisionID]*store.Pipeline{}, metadata: map[function.RevisionID][][]byte{},
		samples: map[function.Name][]byte{}, builds: map[string]store.Build{}, logs: map[string][]byte{},
	}
}

func (s *state) Function(name function.Name) (*store.Function, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.functions[name]
	return f, ok
}

func (s *state) Revision(id function.RevisionID) (*store.Revision, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.revisions[id]
	return r, ok
}

func (s *state) PolicyOf(f *store.Function, defaults store.Policy) (store.Policy, error) {
	if f.Policy == nil {
		return defaults, nil
	}
	return f.Policy.Over(defaults), nil
}

func (s *state) Pipeline(id function.RevisionID) (*store.Pipeline, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.pipelines[id]
	return p, ok
}

func (s *state) PutPipeline(_ context.Context, id function.RevisionID, doc json.RawMessage, steps ...store.Transition) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full {
		s.refused++
		return errors.New("no space left on device")
	}
	p := &store.Pipeline{Revision: id, State: doc}
	if old := s.pipelines[id]; old != nil {
		p.History = append(p.History, old.History...)
	}
	p.History = append(p.History, steps...)
	s.pipelines[id] = p
	return nil
}

func (s *state) PutMetadata(_ context.Context, id function.RevisionID, doc []byte, _ string) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.metadata[id] = append(s.metadata[id], doc)
	return len(s.metadata[id]), nil
}

func (s *state) Metadata(_ context.Context, id function.RevisionID, number int) ([]byte, store.MetadataVersion, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	docs := s.metadata[id]
	if number == 0 {
		number = len(docs)
	}
	if number == 0 || number > len(docs) {
		return nil, store.MetadataVersion{}, store.ErrNotFound
	}
	return docs[number-1], store.MetadataVersion{Number: number}, nil
}

func (s *state) Samples(_ context.Context, name function.Name) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.samples[name], nil
}

func (s *state) PutBuild(_ context.Context, b *store.Build) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.builds[b.ID] = *b
	return nil
}

func (s *state) PutBuildLog(_ context.Context, _ function.RevisionID, build string, log []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logs[build] = log
	return nil
}

// fill makes writes of pipelines fail, or succeed again, and returns how many failed so far.
func (s *state) fill(full bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full = full
	return s.refused
}

// history is the pipeline of a revision in words.
func (s *state) history(id function.RevisionID) (moves []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.pipelines[id]; p != nil {
		for _, t := range p.History {
			moves = append(moves, fmt.Sprintf("%s%s: %s -%s-> %s", t.Rung, t.Recording, t.From, t.Event, t.To))
		}
	}
	return moves
}

// builder makes "binaries" that take some time and know their metadata.
type builder struct {
	time    time.Duration
	version string // of the tool chain
	fails   func(*aot.Request) error
	// profiles: it makes what takes profiles, and what is made with them.
	profiles bool

	mu   sync.Mutex
	made map[aot.Key][]byte // metadata of each
	runs int
}

// Name is that of the real one, whose place it takes in the ladders.
func (b *builder) Name() string { return ladder.BuilderNative }

// Makes implements aot.Choosy.
func (b *builder) Makes(row *ladder.Rung) bool {
	return b.profiles || row.Serves() && row.Also == ladder.RecordingNone
}

func (b *builder) Drop(key aot.Key) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.made, key)
	return nil
}

func (b *builder) Key(req *aot.Request) (aot.Key, error) {
	return aot.Key(fmt.Sprintf("%s%s-%s-%x", b.version, req.Revision.CodeSHA256, req.Rung.Options, req.Recording.Document)), nil
}

func (b *builder) Lookup(key aot.Key) (*aot.Result, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, ok := b.made[key]
	return &aot.Result{Key: key, Dir: "/binaries/" + string(key), Cached: true}, ok
}

func (b *builder) Build(ctx context.Context, req *aot.Request) (*aot.Result, error) {
	key, _ := b.Key(req)
	if res, ok := b.Lookup(key); ok {
		return res, nil
	}
	fmt.Fprintln(req.Log, "building")
	req.Progress("analysis")
	select {
	case <-time.After(b.time):
	case <-ctx.Done():
		return nil, &aot.Error{Class: aot.ClassCancelled, Reason: "cancelled", Err: ctx.Err()}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.runs++
	if b.fails != nil {
		if err := b.fails(req); err != nil {
			return nil, err
		}
	}
	if b.made == nil {
		b.made = map[aot.Key][]byte{}
	}
	b.made[key] = req.Recording.Document
	return &aot.Result{Key: key, Dir: "/binaries/" + string(key)}, nil
}

// world is a node with everything around it in memory.
type world struct {
	*Node
	state   *state
	builder *builder
	driver  *fake.Driver
	program func(worker.Spec) fake.Program
}

// Launch implements Launcher: the command line names the artifact, for the program to see.
func (w *world) Launch(_ context.Context, l Launch) (worker.Spec, error) {
	s := worker.Spec{ID: l.ID, Revision: l.Revision, Rung: l.Rung.Name, Limits: l.Limits, Args: []string{l.Artifact}, RecordDir: l.Record}
	if l.Recording != ladder.RecordingNone {
		s.Args = append(s.Args, l.Recording.String())
	}
	if l.Survey {
		s.Args = append(s.Args, "survey")
	}
	return s, nil
}

// Recorded implements Launcher.
func (w *world) Recorded(_ ladder.Recording, dir string) (string, error) {
	file := filepath.Join(dir, "recording")
	_, err := os.Stat(file)
	return file, err
}

// Uses implements Launcher.
func (w *world) Uses(worker.Worker, ladder.Rung, string) bool { return true }

// records is what a worker records, by its command line.
func records(s worker.Spec) string {
	if len(s.Args) > 1 && s.Args[1] != "survey" {
		return s.Args[1]
	}
	return ""
}

func ptr[T any](v T) *T { return &v }

// defaults are a policy under which the third cold start within a minute asks for a build.
func defaults() store.Policy {
	return store.Policy{
		Optimize: ptr(true), Threshold: ptr(2), Window: ptr(store.Duration(time.Minute)),
		KeepAlive: ptr(store.Duration(10 * time.Minute)), OnMissing: ptr(function.DeoptReexecute), QueueLimit: ptr(1000),
	}
}

// open starts a node; set changes the options.
func open(t testing.TB, w *world, set func(*Options)) *world {
	t.Helper()
	if w.state == nil {
		w.state = newState()
	}
	if w.builder == nil {
		w.builder = &builder{time: 30 * time.Second}
	}
	if w.program == nil {
		w.program = func(worker.Spec) fake.Program { return fake.Program{} }
	}
	w.driver = fake.New(func(s worker.Spec) fake.Program { return w.program(s) })
	opt := Options{
		Driver: w.driver, Launcher: w, State: w.state, Builders: []aot.Builder{w.builder}, Defaults: defaults(),
		Dir: filepath.Join(t.TempDir(), "node"), Load: func() float64 { return 0 },
	}
	if set != nil {
		set(&opt)
	}
	var err error
	if w.Node, err = Open(context.Background(), opt); err != nil {
		t.Fatal(err)
	}
	for name := range maps.Clone(w.state.functions) {
		if err := w.Sync(context.Background(), name); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// deploy stores a function with one revision and lets the node know.
func (w *world) deploy(t testing.TB, name function.Name, change func(*function.Spec)) function.RevisionID {
	t.Helper()
	spec := function.Spec{
		ID: store.NewRevisionID(), Function: name, Version: function.Latest, Kind: function.KindHandler, Handler: "a.B",
		CodeSHA256: "c0de", MemoryMiB: 512, Timeout: 3 * time.Second,
	}
	if change != nil {
		change(&spec)
	}
	w.state.mu.Lock()
	rev := &store.Revision{Spec: spec}
	f := &store.Function{Name: name}
	if old := w.state.functions[name]; old != nil {
		*f = *old
		rev.Parent = old.Latest.Revision
	}
	f.Latest = store.Version{Version: function.Latest, Revision: spec.ID}
	w.state.functions[name], w.state.revisions[spec.ID] = f, rev
	w.state.mu.Unlock()
	if err := w.Sync(context.Background(), name); err != nil {
		t.Fatal(err)
	}
	return spec.ID
}

// call invokes and wants an answer.
func (w *world) call(t testing.TB, id function.RevisionID, payload string) *Result {
	t.Helper()
	res, err := w.Invoke(context.Background(), id, &worker.Invocation{RequestID: "r", Payload: []byte(payload)})
	if err != nil {
		t.Fatalf("invoke: %v", err)
	}
	return res
}

// burst invokes n times at once and counts the rungs that answered.
func (w *world) burst(t testing.TB, id function.RevisionID, n int) map[function.Rung]int {
	t.Helper()
	var mu sync.Mutex
	rungs := map[function.Rung]int{}
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			payload := fmt.Sprint(i)
			res, err := w.Invoke(context.Background(), id, &worker.Invocation{RequestID: payload, Payload: []byte(payload)})
			if err != nil || res.Outcome != function.OutcomeOK || string(res.Payload) != payload {
				t.Errorf("invocation %d: %+v, %v", i, res, err)
				return
			}
			mu.Lock()
			rungs[res.Rung]++
			mu.Unlock()
		})
	}
	wg.Wait()
	return rungs
}
