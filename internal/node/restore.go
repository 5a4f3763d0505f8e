package node

import (
	"context"
	"encoding/json"
	"time"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/telemetry"
)

// restore reads a revision's pipeline from before a restart. An artifact that is not there any more, or
// does not fit this machine any more, is made again.
func (n *Node) restore(ctx context.Context, rev *revision, parent function.RevisionID) pipeline.Saved {
	p, ok := n.opt.State.Pipeline(rev.spec.ID)
	if !ok {
		s := n.inherit(ctx, rev, parent)
		n.loadSamples(rev, &s, nil)
		return s
	}
	d, err := decode(p.State)
	if err != nil {
		n.log.Error("stored pipeline is not usable; it starts again", telemetry.KeyRevision, rev.spec.ID, telemetry.KeyError, err)
		n.loadSamples(rev, &pipeline.Saved{}, nil)
		return pipeline.Saved{}
	}
	rev.since = p.UpdatedAt
	if len(p.History) > 0 {
		last := p.History[len(p.History)-1]
		rev.reason, rev.since = last.Reason, last.At
	}
	for _, step := range p.History {
		if id, ok := rev.ladder.Find(step.Rung); ok && step.Rung != "" {
			rev.artifacts[id].reason, rev.artifacts[id].since = step.Reason, step.At
		}
	}
	s := d.Saved
	n.loadSamples(rev, &s, d)
	for id := 1; id < len(rev.ladder.Rungs); id++ {
		if r := s.Rung(rev.ladder.Rungs[id].Name); r != nil {
			n.restoreRung(ctx, rev, ladder.ID(id), r, &s, d)
		}
	}
	// A recording that is a file is only there until its artifact is.
	for x := range s.Recordings {
		kind := ladder.Recording(x)
		if kind.AtEnd() && s.Recordings[x].Phase == pipeline.PhaseRecorded && !n.hasRecording(rev, kind) && !ready(rev.ladder, &s, kind) {
			s.Recordings[x].Phase = pipeline.PhaseAbsent
			s.Recordings[x].Least = s.Recordings[x].Version + 1
		}
	}
	return s
}

// ready reports whether an artifact that is made from a recording is there.
func ready(l *ladder.Ladder, s *pipeline.Saved, x ladder.Recording) bool {
	for id := 1; id < len(l.Rungs); id++ {
		if r := s.Rung(l.Rungs[id].Name); l.Rungs[id].Needs(x) && r != nil && r.Phase == pipeline.PhaseReady {
			return true
		}
	}
	return false
}

// restoreRung finds the artifact of a rung again.
func (n *Node) restoreRung(ctx context.Context, rev *revision, id ladder.ID, r *pipeline.Rung, s *pipeline.Saved, d *document) {
	row, b := &rev.ladder.Rungs[id], &rev.artifacts[id]
	builder := n.builders[row.Builder]
	b.failed = d.Failed[row.Name]
	if r.FailedVersion > 0 && b.failed != "" && n.mayBuildNow(ctx, rev, id, r.FailedVersion) {
		r.FailedVersion, r.NotBefore = 0, 0
	}
	if r.Phase != pipeline.PhaseReady {
		return
	}
	if res, ok := builder.Lookup(d.Keys[row.Name]); ok {
		b.take(built{dir: res.Dir, key: res.Key, digest: d.Digests[row.Name]})
		if b.digest == "" { // made while this was the only node
			b.digest = n.digest(builder, b.key)
			rev.unlisted = rev.unlisted || b.digest != ""
		}
		r.DiskMB = float64(res.Cost.Size) / 1e6
		return
	}
	n.log.Info("an artifact is gone or does not fit any more; it is made again", telemetry.KeyFunction, rev.spec.Function,
		telemetry.KeyRevision, rev.spec.ID, telemetry.KeyRung, row.Name)
	r.Phase, r.NotBefore, r.DiskMB = pipeline.PhaseQueued, 0, 0
}

// decode reads what is stored of a pipeline, of this version or of the one that knew tiers.
func decode(state json.RawMessage) (*document, error) {
	var d document
	if err := json.Unmarshal(state, &d); err != nil {
		return nil, err
	}
	var old tiered
	if err := json.Unmarshal(state, &old); err == nil && old.State.Stage != "" {
		d = old.document()
	}
	return &d, nil
}

// tiered is what versions before the ladder stored.
type tiered struct {
	State struct {
		Stage string `json:"stage"`
		Phase string `json:"phase"`
	} `json:"state"`
	Level         string  `json:"level"`
	Wanted        string  `json:"wanted"`
	BuiltVersion  uint32  `json:"builtVersion"`
	Version       uint32  `json:"version"`
	Complete      bool    `json:"complete"`
	Deopts        int32   `json:"deopts"`
	BuildFailures int32   `json:"buildFailures"`
	NotBefore     int64   `json:"notBefore"`
	Key           aot.Key `json:"key"`
}

func (t *tiered) document() document {
	d := document{Keys: map[function.Rung]aot.Key{}}
	rec := &d.Recordings[ladder.RecordingMetadata]
	rec.Version = t.Version
	switch {
	case t.Complete && t.Version > 0:
		rec.Phase = pipeline.PhaseRecorded
	case t.Version > 0:
		rec.Phase = pipeline.PhaseRecording
	}
	for level, name := range map[string]function.Rung{"quick": ladder.Native, "optimized": ladder.NativeOptimized} {
		r := pipeline.Rung{Name: name}
		switch level {
		case t.Level:
			r.Phase, r.Built = pipeline.PhaseReady, t.BuiltVersion
			d.Keys[name] = t.Key
		case t.Wanted:
			r.Phase = pipeline.PhaseQueued
		}
		if level == "quick" {
			r.Falls, r.Failures, r.NotBefore = t.Deopts, t.BuildFailures, t.NotBefore
		}
		d.Rungs = append(d.Rungs, r)
	}
	return d
}

// mayBuildNow reports whether a build that had to fail depends on something else now.
func (n *Node) mayBuildNow(ctx context.Context, rev *revision, id ladder.ID, version uint32) bool {
	req, err := n.request(ctx, rev, id, version)
	if err != nil {
		return false
	}
	key, err := n.builders[req.Rung.Builder].Key(req)
	return err == nil && key != rev.artifacts[id].failed
}

// inherit gives a new revision what is known of its parent, if their code is the same: its
// metadata, and the wish for its artifacts, which may well be there already.
func (n *Node) inherit(ctx context.Context, rev *revision, parent function.RevisionID) pipeline.Saved {
	if parent == "" || !rev.ladder.Records(ladder.RecordingMetadata) {
		return pipeline.Saved{}
	}
	from, ok := n.opt.State.Revision(parent)
	p, known := n.opt.State.Pipeline(parent)
	if !ok || !known || from.Spec.Function != rev.spec.Function || from.Spec.CodeSHA256 != rev.spec.CodeSHA256 || from.Spec.Kind != rev.spec.Kind || from.Spec.Handler != rev.spec.Handler {
		return pipeline.Saved{}
	}
	d, err := decode(p.State)
	if err != nil {
		return pipeline.Saved{}
	}
	doc, _, err := n.opt.State.Metadata(ctx, parent, 0)
	if err != nil {
		return pipeline.Saved{}
	}
	version, err := n.opt.State.PutMetadata(ctx, rev.spec.ID, doc, "inherited from revision "+string(parent))
	if err != nil {
		n.log.Error("store metadata", telemetry.KeyRevision, rev.spec.ID, telemetry.KeyError, err)
		return pipeline.Saved{}
	}
	var s pipeline.Saved
	rec := &s.Recordings[ladder.RecordingMetadata]
	rec.Phase, rec.Version = d.Recordings[ladder.RecordingMetadata].Phase, uint32(version)
	if rec.Phase == pipeline.PhaseAbsent {
		rec.Phase = pipeline.PhaseRecording
	}
	n.inheritFiles(rev, parent, d, &s)
	for id := 1; id < len(rev.ladder.Rungs); id++ {
		row := &rev.ladder.Rungs[id]
		if row.From != ladder.RecordingMetadata {
			continue
		}
		switch r := d.Rung(row.Name); {
		case r == nil:
		case r.Never:
			s.Rungs = append(s.Rungs, pipeline.Rung{Name: row.Name, Never: true})
			s.Preparing = true // all else is made anew
			rev.artifacts[id].reason = "the code is that of revision " + string(parent) + ", which needs what no binary can do"
		case r.Phase == pipeline.PhaseReady || r.Phase.Making():
			s.Rungs = append(s.Rungs, pipeline.Rung{Name: row.Name, Phase: pipeline.PhaseQueued})
		}
	}
	rev.inherited = true
	rev.reason, rev.since = "the code is that of revision "+string(parent), time.Now().UTC()
	return s
}
