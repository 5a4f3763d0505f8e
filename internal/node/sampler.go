package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudjit/cloudjit/internal/compare"
	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/store"
	"github.com/cloudjit/cloudjit/internal/telemetry"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// SampleOptions bound what is kept of what functions are asked, for the checks of their artifacts.
type SampleOptions struct {
	// Each is how many samples of a revision are kept; 0: none.
	Each int
	// DiskMB (1e6 bytes) is what all samples together may take; 0: nothing.
	DiskMB int
}

const (
	sampleFolder = "samples" // a folder each of revisions, in it a file each of samples
	// sampleAge is how long a sample is kept that no check has needed.
	sampleAge = 24 * time.Hour
	// sampleTime is the longest that an invocation may have taken to be a sample.
	sampleTime = 5 * time.Second
	// sampleSettle is how long after the first of new samples they are given to the engine, if there are not
	// as many as may be before.
	sampleSettle = 30 * time.Second
	// maxDiffered is how many samples of a revision are kept because an artifact answered them otherwise.
	maxDiffered = 3
	// sampleTries is how many invocations are looked at for one that was not kept yet; then one in
	// sampleEvery is.
	sampleTries, sampleEvery = 256, 16
	// sampleQueue is how many samples wait to be written, all revisions together.
	sampleQueue = 16
)

// sampler is what is kept of what a revision was asked. Samples are files, which nobody else may read; in memory
// is only where they are.
type sampler struct {
	open  atomic.Bool // takes more: all that most invocations look at
	tries atomic.Uint32
	slow  atomic.Int32 // checks in which the first rung did not come up in its time

	mu      sync.Mutex
	kept    map[string]*keptSample // by digest
	own     []compare.Sample       // the user's
	ownSHA  string                 // of their document
	version uint32                 // of the samples: it grows when there are others
	asked   map[string]bool        // digests of those in the last check
	traced  map[string]bool        // digests of those that were rehearsed with the tracer
	settle  *time.Timer            // runs while new ones are waited for
	checked map[function.Rung]*store.Check
}

type keptSample struct {
	size     int64
	at       time.Time
	differed bool
	written  bool
}

// sampled is one sample to be written.
type sampled struct {
	rev *revision
	s   *compare.Sample
}

// samples writes what is sampled, off the path of invocations.
type samples struct {
	queue chan sampled
	used  atomic.Int64 // bytes of all files
}

func (n *Node) sampleDir(rev *revision) string {
	return filepath.Join(n.opt.Dir, sampleFolder, string(rev.spec.ID))
}

// openSamples removes what was kept of revisions that are gone, and begins to write.
func (n *Node) openSamples() error {
	n.samples.queue = make(chan sampled, sampleQueue)
	dir := filepath.Join(n.opt.Dir, sampleFolder)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	left, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range left {
		if _, ok := n.opt.State.Revision(function.RevisionID(e.Name())); !ok {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	n.wg.Go(n.keepSamples)
	return nil
}

// keepSamples writes samples, and drops those that are too old.
func (n *Node) keepSamples() {
	tick := time.NewTicker(sampleAge / 24)
	defer tick.Stop()
	for {
		select {
		case s := <-n.samples.queue:
			n.write(s)
		case <-tick.C:
			n.revisions.Range(func(_, v any) bool {
				n.dropSamples(v.(*revision), func(_ string, k *keptSample) bool { return !k.differed && time.Since(k.at) > sampleAge })
				return true
			})
		case <-n.ctx.Done():
			return
		}
	}
}

// loadSamples finds the samples from before a restart.
func (n *Node) loadSamples(rev *revision, s *pipeline.Saved, d *document) {
	m := &rev.sampler
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept, m.checked, m.version = map[string]*keptSample{}, map[function.Rung]*store.Check{}, s.Samples
	for _, r := range s.Rungs {
		m.version = max(m.version, r.Compared, r.Differed)
	}
	if d != nil {
		m.ownSHA = d.OwnSamples
		for rung, c := range d.Checks {
			m.checked[rung] = c
		}
	}
	files, err := os.ReadDir(n.sampleDir(rev))
	if err != nil {
		return // there are none
	}
	for _, f := range files {
		sample, err := readSample(filepath.Join(n.sampleDir(rev), f.Name()))
		if err != nil || sample.Digest+".json" != f.Name() {
			_ = os.Remove(filepath.Join(n.sampleDir(rev), f.Name())) // half written
			continue
		}
		size := int64(0)
		if info, err := f.Info(); err == nil {
			size = info.Size()
		}
		m.kept[sample.Digest] = &keptSample{size: size, at: sample.At, differed: sample.Differed, written: true}
		n.samples.used.Add(size)
	}
}

func readSample(file string) (*compare.Sample, error) {
	doc, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var s compare.Sample
	if err := json.Unmarshal(doc, &s); err != nil {
		return nil, err
	}
	return &s, nil
}

// sampling says whether a revision's invocations are sampled, from how it stands: as long as an artifact of it
// may have to be compared. The caller holds n.mu.
func (n *Node) sampling(rev *revision) {
	c := rev.fn.config
	want := n.opt.Samples.Each > 0 && len(rev.ladder.Rungs) > 1 && !c.NoCheck && !c.NoOptimize && !rev.gone && n.unchecked(rev)
	if !want {
		rev.sampler.open.Store(false)
		n.wg.Go(func() {
			n.dropSamples(rev, func(_ string, k *keptSample) bool { return !k.differed || c.NoCheck })
		})
		return
	}
	rev.sampler.mu.Lock()
	defer rev.sampler.mu.Unlock()
	rev.sampler.open.Store(n.room(&rev.sampler))
}

// unchecked reports whether some rung may still have to be compared. The caller holds n.mu.
func (n *Node) unchecked(rev *revision) bool {
	saved, ok := n.engine.Saved(rev.id)
	if !ok {
		return false
	}
	return slices.ContainsFunc(saved.Rungs, func(r pipeline.Rung) bool { return r.Phase != pipeline.PhaseReady || r.Compared == 0 })
}

// room reports whether one more sample of a revision is taken. The caller holds m.mu.
func (n *Node) room(m *sampler) bool {
	ordinary := 0
	for _, k := range m.kept {
		if !k.differed {
			ordinary++
		}
	}
	return ordinary < n.opt.Samples.Each && n.samples.used.Load() < int64(n.opt.Samples.DiskMB)*1e6
}

// sample offers what a worker answered to be kept.
func (n *Node) sample(w *instance, s *compare.Sample, took time.Duration) {
	m := &w.rev.sampler
	if took > sampleTime || s.Size() > compare.MaxSample {
		return
	}
	if tries := m.tries.Add(1); tries > sampleTries && tries%sampleEvery != 0 {
		return
	}
	s.Seal()
	s.At, s.Rung, s.Took, s.First = time.Now().UTC(), w.row.Name, took, w.rung == 0
	m.mu.Lock()
	if m.kept[s.Digest] != nil || !n.room(m) {
		m.mu.Unlock()
		return
	}
	k := &keptSample{at: s.At, size: int64(s.Size())}
	m.kept[s.Digest] = k
	n.samples.used.Add(k.size)
	m.mu.Unlock()
	m.tries.Store(0)
	select {
	case n.samples.queue <- sampled{w.rev, s}:
	default: // the disk is slow: another one will do
		n.forgetSample(w.rev, s.Digest)
	}
}

// forgetSample takes a sample out of the index.
func (n *Node) forgetSample(rev *revision, digest string) {
	m := &rev.sampler
	m.mu.Lock()
	defer m.mu.Unlock()
	if k := m.kept[digest]; k != nil {
		n.samples.used.Add(-k.size)
		delete(m.kept, digest)
	}
}

// write stores a sample. It is lost with a power cut, and that is all right.
func (n *Node) write(x sampled) {
	m := &x.rev.sampler
	err := n.putSample(x.rev, x.s)
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.kept[x.s.Digest]
	if k == nil { // it was dropped meanwhile
		_ = os.Remove(n.sampleFile(x.rev, x.s.Digest))
		return
	}
	if err != nil {
		n.samples.used.Add(-k.size)
		delete(m.kept, x.s.Digest)
		n.log.Error("keep a sample", telemetry.KeyRevision, x.rev.spec.ID, telemetry.KeyError, err)
		return
	}
	k.written = true
	full := !n.room(m)
	if full {
		m.open.Store(false)
	}
	if m.asked[x.s.Digest] {
		return // nothing new
	}
	switch {
	case full && m.settle != nil:
		m.settle.Reset(0)
	case m.settle == nil:
		wait := sampleSettle
		if full {
			wait = 0
		}
		m.settle = time.AfterFunc(wait, func() { n.settled(x.rev) })
	}
}

func (n *Node) sampleFile(rev *revision, digest string) string {
	return filepath.Join(n.sampleDir(rev), digest+".json")
}

// putSample writes a file whole or not at all.
func (n *Node) putSample(rev *revision, s *compare.Sample) error {
	doc, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(n.sampleDir(rev), 0o700); err != nil {
		return err
	}
	file := n.sampleFile(rev, s.Digest)
	if err := os.WriteFile(file+".new", doc, 0o600); err != nil {
		return errors.Join(err, os.Remove(file+".new"))
	}
	return os.Rename(file+".new", file)
}

// settled gives the engine new samples. They are no other ones if a check has asked them all meanwhile.
func (n *Node) settled(rev *revision) {
	m := &rev.sampler
	m.mu.Lock()
	m.settle = nil
	for digest, k := range m.kept {
		if k.written && !m.asked[digest] {
			m.version++
			break
		}
	}
	m.mu.Unlock()
	n.tellSamples(rev, false)
}

// asks notes what a check asks, and returns the version of that: another one than before if the last check did not ask
// all of it.
func (m *sampler) asks(samples []*compare.Sample) uint32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	asked, others := map[string]bool{}, false
	for _, s := range samples {
		asked[s.Digest] = true
		others = others || !m.asked[s.Digest]
	}
	if others && (m.asked != nil || m.version == 0) {
		m.version++
	}
	m.asked = asked
	return m.version
}

// tellSamples tells the engine which samples there are. All: all artifacts are to be compared with them.
func (n *Node) tellSamples(rev *revision, all bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || rev.gone {
		return
	}
	m := &rev.sampler
	m.mu.Lock()
	version := m.version
	m.mu.Unlock()
	if version == 0 {
		return // they were dropped meanwhile
	}
	n.step(engine.Event{Kind: engine.EventSamples, Revision: rev.id, Version: version, Complete: all})
	n.record(&engine.Action{Revision: rev.id}) // the version is part of what is saved
}

// dropSamples removes the samples of which that is wanted, and takes new ones if it may.
func (n *Node) dropSamples(rev *revision, wanted func(digest string, k *keptSample) bool) {
	m := &rev.sampler
	var files []string
	m.mu.Lock()
	for digest, k := range m.kept {
		if !wanted(digest, k) {
			continue
		}
		if k.written {
			files = append(files, n.sampleFile(rev, digest))
		}
		n.samples.used.Add(-k.size)
		delete(m.kept, digest)
	}
	m.mu.Unlock()
	for _, file := range files {
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			n.log.Error("remove a sample", telemetry.KeyRevision, rev.spec.ID, telemetry.KeyError, err)
		}
	}
	if len(files) == 0 {
		return
	}
	_ = os.Remove(n.sampleDir(rev)) // if nothing is left in it
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.closed && !rev.gone && n.unchecked(rev) {
		n.sampling(rev)
	}
}

// forgetSamples removes all that was kept of a revision that is gone.
func (n *Node) forgetSamples(rev *revision) {
	rev.sampler.open.Store(false)
	n.dropSamples(rev, func(string, *keptSample) bool { return true })
	if err := os.RemoveAll(n.sampleDir(rev)); err != nil {
		n.log.Error("remove samples", telemetry.KeyRevision, rev.spec.ID, telemetry.KeyError, err)
	}
}

// there are the digests of what is on the disk, and what the user gave beside that.
func (m *sampler) there() (digests []string, own []*compare.Sample) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for digest, k := range m.kept {
		if k.written {
			digests = append(digests, digest)
		}
	}
	for _, s := range m.own {
		if k := m.kept[s.Digest]; k == nil || !k.written {
			own = append(own, &s)
		}
	}
	return digests, own
}

// rehearses reports whether a sample was rehearsed already, and notes that it is.
func (m *sampler) rehearses(digest string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.traced[digest]
	if m.traced == nil {
		m.traced = map[string]bool{}
	}
	m.traced[digest] = true
	return known
}

// collectSamples are what a check asks of a revision: what differed before, the user's own, and what was sampled.
func (n *Node) collectSamples(rev *revision) []*compare.Sample {
	digests, all := rev.sampler.there()
	for _, digest := range digests { // from the disk: nobody must wait for that
		if s, err := readSample(n.sampleFile(rev, digest)); err == nil {
			all = append(all, s)
		}
	}
	rank := func(s *compare.Sample) int {
		switch {
		case s.Differed:
			return 0
		case s.Own:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(all, func(a, b *compare.Sample) int {
		if r := rank(a) - rank(b); r != 0 {
			return r
		}
		return a.At.Compare(b.At)
	})
	return all
}

// keepDiffered keeps samples that an artifact answered otherwise, for all later checks. Users' own are asked
// every time.
func (n *Node) keepDiffered(rev *revision, differ []*compare.Sample) {
	m := &rev.sampler
	m.mu.Lock()
	have := 0
	for _, k := range m.kept {
		if k.differed {
			have++
		}
	}
	m.mu.Unlock()
	for _, s := range differ {
		if s.Own || s.Differed || have >= maxDiffered {
			continue
		}
		have++
		s.Differed = true
		if err := n.putSample(rev, s); err != nil {
			n.log.Error("keep a sample", telemetry.KeyRevision, rev.spec.ID, telemetry.KeyError, err)
			continue
		}
		m.mu.Lock()
		if k := m.kept[s.Digest]; k != nil {
			n.samples.used.Add(-k.size)
		}
		m.kept[s.Digest] = &keptSample{size: int64(s.Size()), at: s.At, differed: true, written: true}
		n.samples.used.Add(int64(s.Size()))
		m.mu.Unlock()
	}
}

// setOwn takes the samples that the user gave of a function; true: they are others than before.
func (n *Node) setOwn(ctx context.Context, rev *revision, f *store.Function) bool {
	sha := ""
	if f.Samples != nil {
		sha = f.Samples.SHA256
	}
	m := &rev.sampler
	m.mu.Lock()
	loaded, known := len(m.own) > 0, m.ownSHA == sha
	m.mu.Unlock()
	if known && (loaded || sha == "") {
		return false
	}
	var own []compare.Sample
	if sha != "" {
		doc, err := n.opt.State.Samples(ctx, f.Name)
		if err == nil {
			own, err = compare.ParseOwn(rev.spec.Kind, bytes.NewReader(doc))
		}
		if err != nil {
			n.log.Error("samples of the user's own are not usable", telemetry.KeyFunction, f.Name, telemetry.KeyError, err)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.own, m.ownSHA = own, sha
	if known || len(own) == 0 {
		return false
	}
	m.version++
	return true
}

// sampleOf is a sample of an invocation.
func sampleOf(inv *worker.Invocation, r *Result) *compare.Sample {
	a := &compare.Answer{Outcome: r.Outcome}
	a.SetBody(r.Payload)
	return &compare.Sample{
		Payload: bytes.Clone(inv.Payload), FunctionARN: inv.FunctionARN, TraceID: inv.TraceID,
		ClientContext: inv.ClientContext, Identity: inv.Identity, Answer: a,
	}
}

// recorder keeps a request to a web application and its answer while they pass.
type recorder struct {
	sample   *compare.Sample
	mu       sync.Mutex // the body of a request is read by another goroutine
	asked    []byte
	answered []byte
	tooLarge bool
}

func newRecorder(r *http.Request) *recorder {
	if r.Header.Get("Upgrade") != "" || r.ContentLength > compare.MaxSample {
		return nil
	}
	uri := r.URL.RequestURI()
	if !strings.HasPrefix(uri, "/") {
		return nil
	}
	return &recorder{sample: &compare.Sample{Request: &compare.Request{Method: r.Method, URI: uri, Host: r.Host, Header: r.Header.Clone()}}}
}

// keep appends to one of the two bodies.
func (x *recorder) keep(to *[]byte, p []byte) {
	if x == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.tooLarge = x.tooLarge || len(*to)+len(p) > compare.MaxSample; !x.tooLarge {
		*to = append(*to, p...)
	}
}

// tee keeps what is read of a request's body.
type tee struct {
	io.ReadCloser
	to *recorder
}

func (t tee) Read(p []byte) (int, error) {
	k, err := t.ReadCloser.Read(p)
	t.to.keep(&t.to.asked, p[:k])
	return k, err
}

// done is the sample of a request that was answered whole; nil if it is none.
func (x *recorder) done(resp *http.Response, header http.Header) *compare.Sample {
	if x == nil {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.tooLarge || resp.StatusCode == http.StatusSwitchingProtocols {
		return nil
	}
	x.sample.Request.Body = x.asked
	x.sample.Answer = &compare.Answer{Outcome: function.OutcomeOK, Status: resp.StatusCode, Header: header, Body: x.answered}
	return x.sample
}
