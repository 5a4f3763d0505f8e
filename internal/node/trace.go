package node

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/metadata"
	"github.com/cloudjit/cloudjit/internal/telemetry"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// poll reads what a tracing worker has found, again and again while it lives.
func (n *Node) poll(ctx context.Context, w *instance) {
	tick := time.NewTicker(n.opt.TracePeriod)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			n.collect(ctx, w, false)
		case <-ctx.Done():
			return
		}
	}
}

// collect merges what a tracing worker has found so far into its revision's metadata. Last: it
// has ended, and what it wrote at its end lies in its folder.
func (n *Node) collect(ctx context.Context, w *instance, last bool) {
	var doc []byte
	var err error
	if last {
		doc, err = readTrace(w.trace)
	}
	if doc == nil {
		doc, err = w.worker.Trace(ctx)
	}
	if err != nil {
		if ctx.Err() == nil && !last {
			n.log.Warn("read trace", telemetry.KeyWorker, w.name, telemetry.KeyError, err)
		}
		return
	}
	n.mu.Lock()
	served := w.served
	n.mu.Unlock()
	// Before the first invocation there is only what the start has used: too little to build from.
	if doc == nil || served == 0 {
		return
	}
	if bytes.Equal(doc, w.found) {
		return
	}
	w.found = doc
	found, err := metadata.Parse(doc)
	if err != nil {
		n.log.Warn("trace is not usable", telemetry.KeyFunction, w.rev.fn.name, telemetry.KeyWorker, w.name, telemetry.KeyError, err)
		return
	}
	n.merge(ctx, w.rev, found, "traced by worker "+w.name)
}

// readTrace reads the file that a tracer left on this host; nil if there is none.
func readTrace(dir string) ([]byte, error) {
	file := filepath.Join(dir, metadata.TraceFile)
	if info, err := os.Lstat(file); err != nil || !info.Mode().IsRegular() || info.Size() > metadata.MaxSize {
		return nil, nil
	}
	doc, err := os.ReadFile(file)
	return bytes.TrimSpace(doc), err
}

// learn takes the missing element from the last words of a native worker. It does not wait for the store.
func (n *Node) learn(rev *revision, w *instance, exit *worker.Exit) {
	said := []byte(exit.Stderr)
	if w.out != nil {
		said = append(append(said, '\n'), w.out.Tail()...)
	}
	missing, ok := metadata.ParseMissing(string(said))
	reason := "the binary met an element without metadata"
	if ok {
		reason = missing.What
	}
	n.totals.deopts.Add(1)
	if n.opt.Metrics != nil {
		n.opt.Metrics.Deoptimization(rev.fn.name)
	}
	n.log.Info("deoptimized", telemetry.KeyFunction, rev.fn.name, telemetry.KeyRevision, rev.spec.ID, telemetry.KeyReason, reason)
	n.events.send(Event{Type: "pipeline.deoptimized", Function: rev.fn.name, Revision: rev.spec.ID, Worker: w.name, Reason: reason})
	rev.missing.Store(&reason)
	if !ok {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.closed {
		n.wg.Go(func() { n.merge(n.ctx, rev, missing.Set, reason) })
	}
}

// merge adds to a revision's metadata, stores what is new, and tells the engine.
func (n *Node) merge(ctx context.Context, rev *revision, found *metadata.Set, why string) {
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
		return
	}
	if !n.stored(rev) {
		return
	}
	version, err := n.opt.State.PutMetadata(ctx, rev.spec.ID, all.JSON(), why)
	if err != nil {
		if ctx.Err() == nil {
			n.log.Error("store metadata", telemetry.KeyRevision, rev.spec.ID, telemetry.KeyError, err)
		}
		return
	}
	rev.meta, rev.version = all, uint32(version)
	n.mu.Lock()
	defer n.mu.Unlock()
	if !rev.gone && !n.closed {
		n.step(engine.Event{Kind: engine.EventMetadata, Revision: rev.id, Version: rev.version})
		n.record(&engine.Action{Revision: rev.id, Reason: engine.ReasonNone}) // the version is part of what is saved
		n.events.send(Event{
			Type: "metadata.grown", Function: rev.fn.name, Revision: rev.spec.ID, Reason: why,
			Data: data(map[string]any{"version": version, "elements": all.Len()}),
		})
	}
}
