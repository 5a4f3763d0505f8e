package engine

import (
	"container/heap"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/policy"
)

var update = flag.Bool("update", false, "write the scenarios' outputs")

// TestScenarios plays the transcripts in testdata/scenarios: lines that begin with ">" are what
// happens, the lines after one are what the engine did, with the time since the start. How
// long starts, invocations and builds take is the script's (">model").
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/scenarios/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := newStage(t).perform(string(b))
			if got == string(b) {
				return
			}
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			t.Errorf("%s differs; look at it with -update and git diff. Got:\n%s", file, got)
		})
	}
}

// stage runs an engine on modelled durations.
type stage struct {
	t        *testing.T
	e        *Engine
	now      int64
	policy   policy.Policy
	queue    events
	seq      int
	out      strings.Builder
	model    map[string]time.Duration
	names    []string // revisions
	ladders  []*ladder.Ladder
	fns      map[string]FunctionID
	workers  map[WorkerID]Action // as started
	inv      map[InvocationID]string
	next     InvocationID
	versions map[RevisionID]uint32
	samples  map[RevisionID]uint32
	served   map[WorkerID]bool
	meets    map[RevisionID]Failure // the next native invocation meets a missing element, or what no binary can do
	fails    map[RevisionID]Failure // the next build, or start, fails
	hangs    map[RevisionID]bool    // its starts do
	compares map[RevisionID]time.Duration
	ends     map[string]int
}

type scheduled struct {
	at  int64
	seq int
	ev  Event
}

type events []scheduled

func (q events) Len() int { return len(q) }
func (q events) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *events) Push(x any)   { *q = append(*q, x.(scheduled)) }
func (q *events) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}

func newStage(t *testing.T) *stage {
	return &stage{
		t: t, e: New(NodeConfig{}, &policy.Paper{HotInvocations: 256}), fns: map[string]FunctionID{}, workers: map[WorkerID]Action{},
		inv: map[InvocationID]string{}, versions: map[RevisionID]uint32{}, samples: map[RevisionID]uint32{}, served: map[WorkerID]bool{}, meets: map[RevisionID]Failure{},
		fails: map[RevisionID]Failure{}, hangs: map[RevisionID]bool{}, compares: map[RevisionID]time.Duration{}, ends: map[string]int{},
		model: map[string]time.Duration{
			"instrumented": 40 * time.Millisecond, "instrumented+profile": 40 * time.Millisecond, "profiled": 20 * time.Millisecond,
			"hotspot+profile":  700 * time.Millisecond,
			"hotspot+metadata": 900 * time.Millisecond, "hotspot+classes": 800 * time.Millisecond, "aot-cache": 200 * time.Millisecond,
			"native-optimized": 20 * time.Millisecond, "make": time.Second, "hotspot": 600 * time.Millisecond, "native": 20 * time.Millisecond, "direct": 5 * time.Millisecond,
			"run": 100 * time.Millisecond, "build": 30 * time.Second, "stop": 10 * time.Millisecond, "flush": time.Second,
		},
	}
}

// perform plays a transcript and returns it with the outputs that there should be.
func (s *stage) perform(script string) string {
	for _, line := range strings.Split(script, "\n") {
		if line == "" || line[0] == '#' {
			s.out.WriteString(line + "\n")
			continue
		}
		if line[0] != '>' {
			continue // an output of before
		}
		s.out.WriteString(line + "\n")
		s.command(strings.Fields(line[1:]))
	}
	return strings.TrimRight(s.out.String(), "\n") + "\n"
}

func (s *stage) command(words []string) {
	arg := map[string]string{}
	var name string
	for _, w := range words[1:] {
		if k, v, ok := strings.Cut(w, "="); ok {
			arg[k] = v
		} else {
			name = w
		}
	}
	num := func(key string, or int) int32 {
		if arg[key] == "" {
			return int32(or)
		}
		n, err := strconv.Atoi(arg[key])
		if err != nil {
			s.t.Fatalf("%v: %v", words, err)
		}
		return int32(n)
	}
	dur := func(text string, or time.Duration) time.Duration {
		if text == "" {
			return or
		}
		d, err := time.ParseDuration(text)
		if err != nil {
			s.t.Fatalf("%v: %v", words, err)
		}
		return d
	}
	switch words[0] {
	case "policy":
		s.policy = &eager{}
		if name != "eager" {
			var err error
			if s.policy, err = policy.New(name); err != nil {
				s.t.Fatal(err)
			}
		}
		s.e = New(NodeConfig{}, s.policy)
	case "restart": // with what was saved of one revision
		saved, _ := s.e.Saved(s.rev(name))
		s.e = New(NodeConfig{}, s.policy)
		s.queue, s.workers = nil, map[WorkerID]Action{}
		fn, _, _ := strings.Cut(name, "/")
		s.command([]string{"function", fn})
		l := s.ladders[s.rev(name)]
		s.step(Event{Kind: EventRevisionAdded, Revision: s.rev(name), RevisionConfig: &RevisionConfig{
			Function: s.fns[fn], Ladder: l, MemoryMiB: reserves(l, 512, 192), Restored: saved,
		}})
	case "model":
		for k, v := range arg {
			s.model[k] = dur(v, 0)
		}
	case "node":
		s.step(Event{Kind: EventConfigured, NodeConfig: &NodeConfig{
			MemoryMiB: int64(num("memory", 0)), Starts: num("starts", 0), Concurrency: num("concurrency", 0), QueueLimit: num("queue", 0),
			Builders: num("builders", 1), TraceLimit: num("trace", 1000),
		}})
	case "function":
		if _, ok := s.fns[name]; !ok {
			s.fns[name] = FunctionID(len(s.fns))
		}
		c := FunctionConfig{Reserved: num("reserved", -1), QueueLimit: num("queue", 0), NoOptimize: arg["optimize"] == "off", NoCheck: arg["check"] == "off",
			Params: policy.Params{KeepAlive: int64(dur(arg["keepalive"], 10*time.Minute)), Threshold: num("threshold", 10), Window: int64(dur(arg["window"], time.Minute))}}
		if arg["prepare"] != "" {
			if err := c.Params.Prepare.UnmarshalText([]byte(arg["prepare"])); err != nil {
				s.t.Fatal(err)
			}
		}
		if arg["deopt"] == "error" {
			c.Deopt = function.DeoptError
		}
		s.step(Event{Kind: EventFunctionSet, Function: s.fns[name], FunctionConfig: &c})
	case "revision":
		fn, _, _ := strings.Cut(name, "/")
		m := num("memory", 512)
		l := map[string]*ladder.Ladder{"": climbing, "whole": whole, "direct": direct, "deployed": deployed, "profiled": profiled, "inlined": inlined}[arg["ladder"]]
		s.ladders = append(s.ladders, l)
		s.names = append(s.names, name)
		s.step(Event{Kind: EventRevisionAdded, Revision: RevisionID(len(s.names) - 1), RevisionConfig: &RevisionConfig{
			Function: s.fns[fn], Ladder: l, Slots: num("slots", 1), MemoryMiB: reserves(l, m, num("native", int(m)*3/8)),
			InitLimit: int64(dur(arg["init"], 0)), InitMost: int64(dur(arg["most"], 0)), Wait: int64(dur(arg["wait"], 0)),
		}})
	case "arrive":
		for range num("n", 1) {
			id := s.next
			s.next++
			s.inv[id] = name
			s.step(Event{Kind: EventArrived, Revision: s.rev(name), Invocation: id})
		}
	case "every": // arrivals one after the other, and time passes
		for range num("n", 1) {
			s.command([]string{"arrive", name})
			s.until(s.now + int64(dur(arg["gap"], time.Second)))
		}
	case "run":
		s.until(s.now + int64(dur(name, 0)))
	case "meets":
		s.meets[s.rev(name)] = FailureNone
		if arg["as"] == FailureNever.String() {
			s.meets[s.rev(name)] = FailureNever
		}
	case "fails":
		for f := FailureSandbox; int(f) < failureCount; f++ {
			if f.String() == arg["as"] {
				s.fails[s.rev(name)] = f
			}
		}
	case "samples":
		s.samples[s.rev(name)]++
		s.step(Event{Kind: EventSamples, Revision: s.rev(name), Version: s.samples[s.rev(name)], Complete: num("own", 0) == 1})
	case "recorded": // more metadata, as a check finds it
		s.versions[s.rev(name)]++
		s.step(Event{Kind: EventRecording, Recording: ladder.RecordingMetadata, Revision: s.rev(name), Version: s.versions[s.rev(name)]})
	case "hangs":
		s.hangs[s.rev(name)] = arg["off"] == ""
	case "compares": // how long it takes until its answers are compared
		s.compares[s.rev(name)] = dur(arg["takes"], 0)
	case "optimize":
		s.step(Event{Kind: EventOptimize, Revision: s.rev(name), Rung: ladder.ID(num("rung", 2))})
	case "deoptimize":
		s.step(Event{Kind: EventDeoptimize, Revision: s.rev(name)})
	case "remove":
		s.step(Event{Kind: EventRevisionRemoved, Revision: s.rev(name)})
	case "drain":
		s.step(Event{Kind: EventDrain})
	case "counts":
		c := s.e.Counts()
		fmt.Fprintf(&s.out, "  %d waiting, %d running, %d workers, %d MiB; ended: %v\n", c.Waiting, c.Running, c.Workers, c.ReservedMiB, s.ends)
	default:
		s.t.Fatalf("unknown command %q", words[0])
	}
}

func (s *stage) rev(name string) RevisionID {
	for i, n := range s.names {
		if n == name {
			return RevisionID(i)
		}
	}
	s.t.Fatalf("no revision %q", name)
	return 0
}

func (s *stage) later(d time.Duration, ev Event) {
	s.seq++
	heap.Push(&s.queue, scheduled{s.now + int64(d), s.seq, ev})
}

func (s *stage) until(end int64) {
	for len(s.queue) > 0 && s.queue[0].at <= end {
		next := heap.Pop(&s.queue).(scheduled)
		s.now = next.at
		switch next.ev.Kind {
		case EventFinished:
			if w, ok := s.workers[next.ev.Worker]; !ok || w.Revision != next.ev.Revision {
				continue
			}
			if next.ev.Outcome == function.OutcomeOK {
				s.ends["ok"]++
			}
		case EventWorkerExited, EventWorkerFailed:
			delete(s.workers, next.ev.Worker)
			delete(s.served, next.ev.Worker)
		}
		s.step(next.ev)
	}
	s.now = end
}

func (s *stage) step(ev Event) {
	for _, a := range s.e.Step(s.now, ev, nil) {
		if text := s.do(a); text != "" {
			fmt.Fprintf(&s.out, "  %9.3fs  %s\n", float64(s.now)/1e9, text)
		}
	}
}

// how says how a worker runs: its rung and what it records.
func (s *stage) how(a Action) string {
	how := string(s.ladders[a.Revision].RungName(a.Rung))
	if a.Recording != ladder.RecordingNone {
		how += "+" + a.Recording.String()
	}
	return how
}

// do models what a shell does, and says it.
func (s *stage) do(a Action) string {
	w := fmt.Sprintf("w%d", a.Worker)
	name := func() string { return s.names[a.Revision] }
	rung := func() function.Rung { return s.ladders[a.Revision].RungName(a.Rung) }
	switch a.Kind {
	case ActionStart:
		s.workers[a.Worker] = a
		d := s.model[s.how(a)]
		if f, ok := s.fails[a.Revision]; ok && (f <= FailureRemembers || f == FailureNever) && (a.Rung != ladder.First || f == FailureSandbox) {
			delete(s.fails, a.Revision)
			s.later(d, Event{Kind: EventWorkerFailed, Worker: a.Worker, Failure: f, Version: s.samples[a.Revision]})
		} else if s.hangs[a.Revision] && a.At > 0 {
			s.later(time.Duration(a.At), Event{Kind: EventWorkerFailed, Worker: a.Worker, Failure: FailureSlow})
		} else {
			ev := Event{Kind: EventWorkerReady, Worker: a.Worker}
			if a.Compare {
				ev.Version = s.samples[a.Revision]
				d += s.compares[a.Revision]
			}
			s.later(d, ev)
		}
		what := ""
		if a.Check {
			what = ", check"
		}
		return fmt.Sprintf("start %s of %s: %s%s", w, name(), s.how(a), what)
	case ActionAssign:
		out := function.OutcomeOK
		failure, meets := s.meets[a.Revision]
		if meets && s.ladders[a.Revision].Rungs[a.Rung].Artifact == ladder.ArtifactBinary {
			out = function.OutcomeDeoptimized
			delete(s.meets, a.Revision)
		}
		s.later(s.model["run"], Event{Kind: EventFinished, Invocation: a.Invocation, Worker: a.Worker, Revision: a.Revision, Outcome: out, Failure: failure})
		fresh := !s.served[a.Worker]
		s.served[a.Worker] = true
		if a.Recording == ladder.RecordingMetadata && fresh {
			s.versions[a.Revision]++
			s.later(s.model["flush"], Event{Kind: EventRecording, Recording: a.Recording, Revision: a.Revision, Version: s.versions[a.Revision]})
		}
		cold := ""
		if a.Cold {
			cold = ", cold"
		}
		return fmt.Sprintf("run i%d on %s (%s%s)", a.Invocation, w, s.how(a), cold)
	case ActionStop:
		if a.Recording.AtEnd() && (a.Recording.Least() == 0 || s.served[a.Worker]) {
			s.versions[a.Revision]++
			s.later(s.model["stop"], Event{Kind: EventRecording, Recording: a.Recording, Revision: a.Revision, Version: s.versions[a.Revision]})
		}
		s.later(s.model["stop"], Event{Kind: EventWorkerExited, Worker: a.Worker})
		return fmt.Sprintf("stop %s of %s: %s", w, name(), a.Reason)
	case ActionReject, ActionFail:
		s.ends[a.Reason.String()]++
		return fmt.Sprintf("%s i%d: %s", a.Kind, a.Invocation, a.Reason)
	case ActionRetry:
		return fmt.Sprintf("retry i%d: %s", a.Invocation, a.Reason)
	case ActionBuild:
		d := s.model["build"]
		if weight(&s.ladders[a.Revision].Rungs[a.Rung]) == light {
			d = s.model["make"]
		}
		if f, ok := s.fails[a.Revision]; ok && f >= FailureBuild && f != FailureNever {
			delete(s.fails, a.Revision)
			s.later(d, Event{Kind: EventBuildFailed, Revision: a.Revision, Rung: a.Rung, Failure: f})
		} else {
			s.later(d, Event{Kind: EventBuildDone, Revision: a.Revision, Rung: a.Rung})
		}
		return fmt.Sprintf("build %s of %s from version %d", rung(), name(), a.Version)
	case ActionCancelBuild:
		for i, q := range s.queue {
			if q.ev.Kind == EventBuildDone && q.ev.Revision == a.Revision && q.ev.Rung == a.Rung {
				s.queue[i].ev = Event{Kind: EventBuildFailed, Revision: a.Revision, Rung: a.Rung, Failure: FailureCancelled}
			}
		}
		return fmt.Sprintf("cancel the build of %s of %s: %s", rung(), name(), a.Reason)
	case ActionRecord:
		wait := ""
		if a.At > s.now {
			wait = ", not before " + strconv.FormatFloat(float64(a.At)/1e9, 'f', 3, 64) + "s"
		}
		what := a.Recording.String()
		if a.Rung != ladder.First {
			what = string(rung())
		}
		return fmt.Sprintf("%s, %s: %s -> %s (%s%s)", name(), what, a.From, a.To, a.Reason, wait)
	case ActionDrop:
		return fmt.Sprintf("drop %s of %s: %s", rung(), name(), a.Reason)
	case ActionPrepared:
		return fmt.Sprintf("prepared %s: %s", name(), a.Reason)
	case ActionWake:
		s.later(time.Duration(a.At-s.now), Event{Kind: EventWoke})
		return ""
	case ActionIllegal:
		s.t.Errorf("illegal: %+v", a)
	}
	if a.Kind == ActionGone {
		return "gone " + name()
	}
	return a.Kind.String()
}
