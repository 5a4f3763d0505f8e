package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/cloudjit/cloudjit/internal/compare"
	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/metadata"
	"github.com/cloudjit/cloudjit/internal/recent"
	"github.com/cloudjit/cloudjit/internal/telemetry"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// poll reads what a tracing worker has found, again and again while it lives.
func (n *Node) poll(ctx context.Context, w *instance) {
	wait := time.NewTimer(n.opt.TracePeriod)
	defer wait.Stop()
	for {
		select {
		case <-wait.C:
			began := time.Now()
			n.standIn(ctx, w)
			n.collect(ctx, w, false)
			wait.Reset(max(n.opt.TracePeriod, traceShare*time.Since(began)))
		case <-ctx.Done():
			return
		}
	}
}

// rehearseAfter is how long a recorder that an operator waits for may go without an invocation.
const rehearseAfter = 3 * time.Second

// standIn takes the place of traffic that does not come: where an operator waits for an artifact and nobody invokes the
// function, what it was asked before is rehearsed once.
func (n *Node) standIn(ctx context.Context, w *instance) {
	n.mu.Lock()
	idle := w.served == 0 && w.uses == 0 && n.engine.RevisionCounts(w.rev.id).Invocations > 0
	n.mu.Unlock()
	if w.stoodIn || !idle || !w.rev.wished.Load() || time.Since(w.began) < rehearseAfter {
		return
	}
	w.stoodIn = true
	n.rehearse(ctx, w.rev)
}

// rehearse lets a worker with the tracer, without a network, answer the samples that none has rehearsed yet. A check asks the
// binary all of them: what one of them needs and the tracer has not seen would cost another build. Nothing is lost where
// that cannot be done: the check finds it then. A function whose artifacts are not compared has no samples.
func (n *Node) rehearse(ctx context.Context, rev *revision) {
	if rev.refused.Load() != nil {
		return
	}
	samples := slices.DeleteFunc(n.collectSamples(rev), func(s *compare.Sample) bool { return rev.sampler.rehearses(s.Digest) })
	if len(samples) == 0 {
		return
	}
	w := &instance{
		name: ulid.Make().String() + "-rehearsal", rev: rev, rung: ladder.First, row: &rev.ladder.Rungs[ladder.First], recording: ladder.RecordingMetadata, began: time.Now(),
	}
	defer n.tidy(w)
	c := &check{n: n, w: w}
	r := run{rung: w.rung, launch: Launch{Rung: *w.row, Recording: w.recording}}
	if err := n.recordInto(w, &r.launch); err != nil {
		n.log.Warn("a worker cannot record", telemetry.KeyWorker, w.name, telemetry.KeyError, err)
		return
	}
	var err error
	if w.worker, err = c.start(ctx, &r); err != nil {
		n.log.Warn("no worker came up to answer samples for a recording", telemetry.KeyFunction, rev.fn.name, telemetry.KeyError, err)
		return
	}
	answered, _ := c.each(ctx, w.worker, samples)
	w.served = int64(answered)
	select {
	case <-time.After(traceSettles):
	case <-ctx.Done():
	}
	if err := w.worker.Stop(context.WithoutCancel(ctx), n.opt.StopGrace); err != nil {
		n.log.Error("stop worker", telemetry.KeyWorker, w.name, telemetry.KeyError, err)
	}
	n.log.Info("samples were answered for a recording", telemetry.KeyFunction, rev.fn.name, telemetry.KeyRevision, rev.spec.ID, "samples", answered)
	n.collect(context.WithoutCancel(ctx), w, true)
}

const (
	// traceShare is how many times as long as reading a trace took the next is waited for: a function that writes
	// much, and always something else, takes a twentieth of a core.
	traceShare = 20
	// maxBroken is how many traces of a worker, one after the other, may be no metadata at all: tracers that do
	// not write at once are read in the middle now and then.
	maxBroken = 3
)

// refuse says once that nothing more is learnt of a revision from its tracers, and why.
func (n *Node) refuse(w *instance, why string) {
	if !w.rev.refused.CompareAndSwap(nil, &why) {
		return
	}
	n.log.Warn("the metadata of a revision is refused", telemetry.KeyFunction, w.rev.fn.name, telemetry.KeyRevision, w.rev.spec.ID,
		telemetry.KeyWorker, w.name, telemetry.KeyReason, why)
	n.events.send(Event{Type: "metadata.refused", Function: w.rev.fn.name, Revision: w.rev.spec.ID, Worker: w.name, Reason: why})
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range w.rev.artifacts {
		if w.rev.ladder.Rungs[i].From == ladder.RecordingMetadata {
			w.rev.artifacts[i].reason, w.rev.artifacts[i].since = "its metadata is refused: "+why, time.Now().UTC()
		}
	}
}

// collect merges what a tracing worker has found so far into its revision's metadata. Last: it
// has ended, and what it wrote at its end lies in its folder.
//
// What it wrote is the function's word: it is read one at a time on a node, in bounded memory, and not any more
// once it turned out to be too much.
func (n *Node) collect(ctx context.Context, w *instance, last bool) {
	if w.rev.refused.Load() != nil {
		return
	}
	n.reading.Lock()
	defer n.reading.Unlock()
	var doc []byte
	var err error
	if last {
		doc, err = readTrace(w.record)
	}
	if doc == nil {
		doc, err = w.worker.Trace(ctx)
	}
	if err != nil {
		if ctx.Err() == nil && !last {
			n.unreadable(w, err)
		}
		return
	}
	n.mu.Lock()
	served, never := w.served, n.engine.RevisionCounts(w.rev.id).Invocations == 0
	n.mu.Unlock()
	// Before the first invocation there is only what the start has used: too little to build from, unless
	// nobody ever comes and it was asked for all the same.
	if doc == nil || served == 0 && (!never || time.Since(w.began) < unservedTrace) {
		return
	}
	sum := sha256.Sum256(doc)
	if sum == w.found {
		return
	}
	w.found = sum
	found, err := metadata.Parse(doc)
	if err != nil {
		n.unreadable(w, err)
		return
	}
	w.broken = 0
	if err := n.merge(ctx, w.rev, found, "traced by worker "+w.name); err != nil {
		n.refuse(w, err.Error())
	}
}

// unreadable notes a trace that is no metadata.
func (n *Node) unreadable(w *instance, err error) {
	if w.broken++; w.broken >= maxBroken || errors.Is(err, metadata.ErrTooLarge) {
		n.refuse(w, err.Error())
		return
	}
	n.log.Warn("trace is not usable", telemetry.KeyFunction, w.rev.fn.name, telemetry.KeyWorker, w.name, telemetry.KeyError, err)
}

// traceSettles is how long after an invocation what it traced is surely on disk: the tracer writes once a second.
const traceSettles = 1500 * time.Millisecond

// newestMetadata is the version of a revision's metadata, at least the given one, with all that can be known now: what the last
// invocations of a recorder did, and what the samples need. A build of minutes would miss it else.
func (n *Node) newestMetadata(ctx context.Context, rev *revision, version uint32) uint32 {
	n.newestTrace(ctx, rev)
	n.rehearse(ctx, rev)
	rev.metaMu.Lock()
	defer rev.metaMu.Unlock()
	return max(version, rev.version)
}

// newestTrace waits for what the last invocations of a recorder did.
func (n *Node) newestTrace(ctx context.Context, rev *revision) {
	n.mu.Lock()
	var w *instance
	wait := time.Duration(0)
	for _, other := range n.workers {
		if other != nil && other.rev == rev && other.recording == ladder.RecordingMetadata && other.ready && other.served > 0 {
			w = other
			if wait = traceSettles - time.Since(w.last); w.uses > 0 || w.last.IsZero() {
				wait = traceSettles
			}
		}
	}
	n.mu.Unlock()
	if w == nil {
		return
	}
	if wait > 0 {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
	n.collect(ctx, w, false)
}

// unservedTrace is how long a recorder that an operator's wish started waits for an invocation of a function that
// never had one.
const unservedTrace = 10 * time.Second

// readTrace reads the file that a tracer left on this host; nil if there is none.
func readTrace(dir string) ([]byte, error) {
	file := filepath.Join(dir, metadata.TraceFile)
	if info, err := os.Lstat(file); err != nil || !info.Mode().IsRegular() || info.Size() > metadata.MaxSize {
		return nil, nil
	}
	doc, err := os.ReadFile(file)
	return bytes.TrimSpace(doc), err
}

// surveyOutput bounds what is kept of a survey's output, bytes: some hundred elements with their stacks.
const surveyOutput = 4 << 20

// survey starts a binary once more that could not start for lack of metadata, lets it go on at what
// it lacks, and returns all elements that it names until it is ready. By itself a binary ends at the
// first, and each would cost a build. No invocation ever runs there: what a program does
// that goes on without what it looks for is not to be relied on.
//
// It takes the place of the worker that failed, which the engine still counts.
func (n *Node) survey(ctx context.Context, w *instance, binary string) *metadata.Set {
	limits := n.opt.WorkerLimits
	limits.MemoryMiB = int(w.rev.memory)
	name := ulid.Make().String()
	spec, err := n.opt.Launcher.Launch(ctx, Launch{ID: name, Revision: w.rev.spec, Rung: *w.row, Artifact: binary, Survey: true, Limits: limits})
	if err != nil {
		return nil
	}
	said := &bounded{}
	spec.Output = said
	started, err := n.start(ctx, spec, n.limitOf(w))
	var failed *worker.StartError
	switch {
	case err == nil:
		if err := started.Stop(context.WithoutCancel(ctx), n.opt.StopGrace); err != nil {
			n.log.Error("stop worker", telemetry.KeyWorker, name, telemetry.KeyError, err)
		}
		_, _ = said.Write([]byte(started.Exit().Stderr))
	case errors.As(err, &failed) && failed.Exit != nil:
		_, _ = said.Write([]byte(failed.Exit.Stderr))
	}
	missing, _ := metadata.ParseMissing(said.String())
	n.log.Info("surveyed what a binary lacks", telemetry.KeyFunction, w.rev.fn.name, telemetry.KeyRevision, w.rev.spec.ID, "elements", missing.Set.Len())
	return missing.Set
}

// bounded keeps the first surveyOutput bytes that are written to it.
type bounded struct {
	mu sync.Mutex
	b  []byte
}

func (o *bounded) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.b = append(o.b, p[:min(len(p), surveyOutput-len(o.b))]...)
	return len(p), nil
}

func (o *bounded) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.b)
}

// learn takes the missing element from the last words of a native worker, and what more is known to
// lack; it notes where no binary has what was met. It does not wait for the store.
func (n *Node) learn(rev *revision, w *instance, exit *worker.Exit, more *metadata.Set) {
	said := append(append(w.hint.last(), '\n'), exit.Stderr...)
	if w.out != nil {
		said = append(append(said, '\n'), w.out.Tail()...)
	}
	missing, ok := metadata.ParseMissing(string(said))
	reason := "the binary met an element without metadata"
	if ok {
		reason = missing.What
	}
	// Of a binary's last words the lack counts: it ends there.
	if lack, ok := metadata.ParseLack(string(said)); ok {
		missing.Set, reason = metadata.Merge(missing.Set, lack.Set), "a binary cannot do what the function needs: "+lack.What
		w.never.Store(lack.Never)
	}
	n.totals.deopts.Add(1)
	if n.opt.Metrics != nil {
		n.opt.Metrics.Deoptimization(rev.fn.name)
	}
	n.log.Info("deoptimized", telemetry.KeyFunction, rev.fn.name, telemetry.KeyRevision, rev.spec.ID, telemetry.KeyReason, reason)
	n.events.send(Event{Type: "pipeline.deoptimized", Function: rev.fn.name, Revision: rev.spec.ID, Worker: w.name, Reason: reason})
	if n.opt.Recent != nil {
		n.opt.Recent.Fall(recent.Fall{At: time.Now().UTC(), Function: rev.fn.name, Revision: rev.spec.ID, Worker: w.name, Rung: w.row.Name, Missing: reason})
	}
	rev.missing.Store(&reason)
	if w.never.Load() {
		return // nothing can be built with it
	}
	found := metadata.Merge(missing.Set, more)
	if found.Len() == 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.closed {
		n.wg.Go(func() {
			if err := n.merge(n.ctx, rev, found, reason); err != nil {
				n.refuse(w, err.Error())
			}
		})
	}
}

// merge adds to a revision's metadata, stores what is new, and tells the engine. The error is that it would
// become too large.
func (n *Node) merge(ctx context.Context, rev *revision, found *metadata.Set, why string) error {
	rev.metaMu.Lock()
	defer rev.metaMu.Unlock()
	if rev.meta == nil {
		rev.meta = &metadata.Set{}
		if doc, version, err := n.opt.State.Metadata(ctx, rev.spec.ID, 0); err == nil {
			known, err := metadata.Parse(doc)
			if err != nil {
				n.log.Error("stored metadata is not usable", telemetry.KeyRevision, rev.spec.ID, telemetry.KeyError, err)
			} else {
				rev.meta, rev.version = known, uint32(version.Number)
			}
		}
	}
	all := metadata.Merge(rev.meta, found)
	if rev.version > 0 && all.Len() == rev.meta.Len() {
		return nil
	}
	if !n.stored(rev) {
		return nil
	}
	if all.Len() > metadata.MaxElements {
		return fmt.Errorf("%d elements with what was known: %w", all.Len(), metadata.ErrTooLarge)
	}
	doc := all.JSON()
	if len(doc) > metadata.MaxSize {
		return fmt.Errorf("%d bytes with what was known: %w", len(doc), metadata.ErrTooLarge)
	}
	version, err := n.opt.State.PutMetadata(ctx, rev.spec.ID, doc, why)
	if err != nil {
		if ctx.Err() == nil {
			n.log.Error("store metadata", telemetry.KeyRevision, rev.spec.ID, telemetry.KeyError, err)
		}
		return nil
	}
	rev.meta, rev.version = all, uint32(version)
	n.mu.Lock()
	defer n.mu.Unlock()
	if rev.follows {
		n.say(&news{Kind: "learnt", Revision: rev.spec.ID, Version: rev.version})
	}
	if !rev.gone && !n.closed {
		n.step(engine.Event{Kind: engine.EventRecording, Revision: rev.id, Recording: ladder.RecordingMetadata, Version: rev.version})
		n.record(&engine.Action{Revision: rev.id, Reason: engine.ReasonNone}) // the version is part of what is saved
		n.events.send(Event{
			Type: "metadata.grown", Function: rev.fn.name, Revision: rev.spec.ID, Reason: why,
			Data: data(map[string]any{"version": version, "elements": all.Len()}),
		})
	}
	return nil
}
