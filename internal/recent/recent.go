// Package recent remembers what happened lately on a node: its last invocations, and of each function
// how often it ran, how long that took on each rung, what its cold starts were made of; which workers
// ended and why, and what made functions leave a rung.
//
// All of it is in memory, bounded, and gone with the process: what must last is the store's. The
// package reads no clock, does no I/O and knows nothing of how functions run.
package recent

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
)

const (
	// maxInvocations, maxEnds and maxFalls are how many of each are kept.
	maxInvocations = 10_000
	maxEnds        = 500
	maxFalls       = 500
	// maxFunctions is of how many functions there are figures: those that ran last.
	maxFunctions = 20_000
	// window is how many durations of a function on a rung percentiles are made from.
	window = 256
	// MaxPayload is the largest event in bytes that is kept, to be run again; maxPayloads is what all of
	// them take. Those before give way.
	MaxPayload  = 4 << 10
	maxPayloads = 8 << 20
	// maxError is what is kept of an error's text, in bytes.
	maxError = 500
	// seconds is the time that rates are about, slot its parts.
	seconds = 60
	slot    = 5
)

// Phases are the parts of a cold start in seconds, in order; the handler's time is Invocation.Seconds.
type Phases struct {
	Queue   float64 `json:"queue"`
	Sandbox float64 `json:"sandbox"`
	Runtime float64 `json:"runtime"`
	Init    float64 `json:"init"`
}

// Invocation is one that ended.
type Invocation struct {
	// Seq counts them from 1.
	Seq      uint64              `json:"seq"`
	At       time.Time           `json:"at"` // its end
	Request  string              `json:"request"`
	Node     string              `json:"node,omitempty"` // where it ran, of several nodes, each of which counts its own
	Function function.Name       `json:"function"`
	Revision function.RevisionID `json:"revision"`
	Version  string              `json:"version"`
	Worker   string              `json:"worker"`
	Rung     function.Rung       `json:"rung"`
	// Outcome is ok, or how it failed; Error is what the function said then, cut short.
	Outcome string `json:"outcome"`
	Error   string `json:"error,omitempty"`
	// Cold has the parts of a cold start, if it was one.
	Cold *Phases `json:"cold,omitempty"`
	// Seconds in its worker.
	Seconds float64 `json:"seconds"`
	// MemoryBytes that its worker takes, as it was measured last; 0: it was not yet.
	MemoryBytes int64 `json:"memoryBytes,omitempty"`
	// Payload is the event; nil if it was larger than MaxPayload or has given way to later ones.
	Payload []byte `json:"-"`
}

// Failed reports whether the function did not answer.
func (i *Invocation) Failed() bool { return i.Outcome != function.OutcomeOK.String() }

// End is a worker that ended.
type End struct {
	At       time.Time     `json:"at"`
	Function function.Name `json:"function"`
	Worker   string        `json:"worker"`
	Rung     function.Rung `json:"rung"`
	Reason   string        `json:"reason"`
}

// Fall is an invocation that met what its artifact had not been built for.
type Fall struct {
	At       time.Time           `json:"at"`
	Function function.Name       `json:"function"`
	Revision function.RevisionID `json:"revision"`
	Worker   string              `json:"worker"`
	Rung     function.Rung       `json:"rung"`
	// Missing is the element, or what else was the matter.
	Missing string `json:"missing"`
}

// RungFigures are of a function on one rung, of its last invocations there.
type RungFigures struct {
	Rung        function.Rung `json:"rung"`
	Invocations uint64        `json:"invocations"`
	ColdStarts  uint64        `json:"coldStarts"`
	// P50 and P99 are of the time in the worker, ColdP50 of whole cold starts; seconds.
	P50     float64 `json:"p50"`
	P99     float64 `json:"p99"`
	ColdP50 float64 `json:"coldP50,omitempty"`
	// Parts are the means of the parts of cold starts, Handler of the handler's time in those; seconds.
	Parts   *Phases `json:"parts,omitempty"`
	Handler float64 `json:"handler,omitempty"`
	// MemoryBytes of a worker, as it was measured last.
	MemoryBytes int64 `json:"memoryBytes,omitempty"`
}

// Figures are of a function.
type Figures struct {
	Invocations uint64 `json:"invocations"`
	Errors      uint64 `json:"errors"`
	// Rate and ErrorRate are per second over the last minute.
	Rate      float64 `json:"rate"`
	ErrorRate float64 `json:"errorRate"`
	// P50 and P99 are of the last invocations, in seconds.
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	// Rungs are in the order in which they were first run on.
	Rungs []RungFigures `json:"rungs"`
}

// ring keeps the last durations, and their percentiles until the next comes.
type ring struct {
	values   []float32
	next     int
	p50, p99 float64
	stale    bool
}

func (r *ring) add(v float64) {
	if len(r.values) < window {
		r.values = append(r.values, float32(v))
	} else {
		r.values[r.next] = float32(v)
		r.next = (r.next + 1) % window
	}
	r.stale = true
}

// percentiles by the nearest rank.
func (r *ring) percentiles() (p50, p99 float64) {
	if r.stale {
		s := slices.Clone(r.values)
		slices.Sort(s)
		at := func(p float64) float64 { return float64(s[min(int(p*float64(len(s))), len(s)-1)]) }
		r.p50, r.p99, r.stale = at(.5), at(.99), false
	}
	return r.p50, r.p99
}

type rungUse struct {
	name        function.Rung
	invocations uint64
	cold        uint64
	times       ring
	colds       ring
	parts       Phases // sums
	handler     float64
	memory      int64
}

type use struct {
	invocations, errors uint64
	last                time.Time
	times               ring
	rungs               []*rungUse
	slots               [seconds / slot]struct {
		at        int64 // the slot's number since the epoch
		all, fail uint32
	}
}

// Activity is what happened lately. Methods may be called concurrently; the zero value is ready.
type Activity struct {
	mu          sync.Mutex
	functions   map[function.Name]*use
	invocations []Invocation // a ring, the oldest at first
	first       int
	seq         uint64
	payloads    int
	cut         uint64 // invocations up to this have no payload any more
	ends        []End
	falls       []Fall
}

// Invocation takes one that ended. The payload is copied if it is kept.
func (a *Activity) Invocation(i Invocation) {
	if len(i.Error) > maxError {
		i.Error = strings.ToValidUTF8(i.Error[:maxError], "") + "..."
	}
	if len(i.Payload) > MaxPayload {
		i.Payload = nil
	}
	i.Payload = slices.Clone(i.Payload)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seq++
	i.Seq = a.seq
	if len(a.invocations) < maxInvocations {
		a.invocations = append(a.invocations, i)
	} else {
		a.payloads -= len(a.invocations[a.first].Payload)
		a.invocations[a.first] = i
		a.first = (a.first + 1) % maxInvocations
	}
	a.payloads += len(i.Payload)
	for a.payloads > maxPayloads && a.cut < a.seq {
		a.cut = max(a.cut+1, a.seq-uint64(len(a.invocations))+1)
		old := a.at(a.cut)
		a.payloads -= len(old.Payload)
		old.Payload = nil
	}
	a.count(&i)
}

// at is the invocation with a number, which is there.
func (a *Activity) at(seq uint64) *Invocation {
	back := int(a.seq - seq) // 0: the newest
	n := len(a.invocations)
	return &a.invocations[(a.first+n-1-back)%n]
}

func (a *Activity) count(i *Invocation) {
	if a.functions == nil {
		a.functions = map[function.Name]*use{}
	}
	u := a.functions[i.Function]
	if u == nil {
		a.makeRoom()
		u = &use{}
		a.functions[i.Function] = u
	}
	u.last = i.At
	u.invocations++
	u.times.add(i.Seconds)
	n := i.At.Unix() / slot
	s := &u.slots[n%int64(len(u.slots))]
	if s.at != n {
		s.at, s.all, s.fail = n, 0, 0
	}
	s.all++
	if i.Failed() {
		u.errors++
		s.fail++
	}
	k := slices.IndexFunc(u.rungs, func(r *rungUse) bool { return r.name == i.Rung })
	if k < 0 {
		k = len(u.rungs)
		u.rungs = append(u.rungs, &rungUse{name: i.Rung})
	}
	r := u.rungs[k]
	r.invocations++
	r.times.add(i.Seconds)
	if i.MemoryBytes > 0 {
		r.memory = i.MemoryBytes
	}
	if c := i.Cold; c != nil {
		r.cold++
		r.colds.add(c.Queue + c.Sandbox + c.Runtime + c.Init + i.Seconds)
		r.parts.Queue += c.Queue
		r.parts.Sandbox += c.Sandbox
		r.parts.Runtime += c.Runtime
		r.parts.Init += c.Init
		r.handler += i.Seconds
	}
}

// makeRoom forgets the function that ran longest ago, if there are too many.
func (a *Activity) makeRoom() {
	if len(a.functions) < maxFunctions {
		return
	}
	var oldest function.Name
	var at time.Time
	for name, u := range a.functions {
		if oldest == "" || u.last.Before(at) {
			oldest, at = name, u.last
		}
	}
	delete(a.functions, oldest)
}

// End takes a worker that ended.
func (a *Activity) End(e End) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ends = last(append(a.ends, e), maxEnds)
}

// Fall takes what made a function leave a rung.
func (a *Activity) Fall(f Fall) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.falls = last(append(a.falls, f), maxFalls)
}

func last[T any](s []T, n int) []T {
	if len(s) < 2*n {
		return s
	}
	return append([]T{}, s[len(s)-n:]...)
}

// Removed forgets a function.
func (a *Activity) Removed(name function.Name) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.functions, name)
}

// Function has a function's figures at now; false if it has not run.
func (a *Activity) Function(name function.Name, now time.Time) (Figures, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.functions[name]
	if u == nil {
		return Figures{Rungs: []RungFigures{}}, false
	}
	f := Figures{Invocations: u.invocations, Errors: u.errors, Rungs: []RungFigures{}}
	f.P50, f.P99 = u.times.percentiles()
	from := now.Unix()/slot - int64(len(u.slots))
	for _, s := range u.slots {
		if s.at > from {
			f.Rate += float64(s.all) / seconds
			f.ErrorRate += float64(s.fail) / seconds
		}
	}
	for _, r := range u.rungs {
		v := RungFigures{Rung: r.name, Invocations: r.invocations, ColdStarts: r.cold, MemoryBytes: r.memory}
		v.P50, v.P99 = r.times.percentiles()
		if r.cold > 0 {
			v.ColdP50, _ = r.colds.percentiles()
			n := float64(r.cold)
			v.Parts = &Phases{r.parts.Queue / n, r.parts.Sandbox / n, r.parts.Runtime / n, r.parts.Init / n}
			v.Handler = r.handler / n
		}
		f.Rungs = append(f.Rungs, v)
	}
	return f, true
}

// Invocations yields those kept that came before the one with a number (0: all), the newest first, until yield says no.
func (a *Activity) Invocations(before uint64, yield func(*Invocation) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for back := range len(a.invocations) {
		seq := a.seq - uint64(back)
		if before != 0 && seq >= before {
			continue
		}
		if i := *a.at(seq); !yield(&i) {
			return
		}
	}
}

// Ends are the workers that ended, the newest first.
func (a *Activity) Ends() []End {
	a.mu.Lock()
	defer a.mu.Unlock()
	return newest(a.ends, maxEnds)
}

// Falls are what made functions leave rungs, the newest first.
func (a *Activity) Falls() []Fall {
	a.mu.Lock()
	defer a.mu.Unlock()
	return newest(a.falls, maxFalls)
}

func newest[T any](s []T, n int) []T {
	out := append([]T{}, s[max(0, len(s)-n):]...)
	slices.Reverse(out)
	return out
}
