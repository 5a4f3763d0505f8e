package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/telemetry"
)

const (
	recordFolder    = "record"     // a folder each of the recorders that run
	recordingFolder = "recordings" // files that recorders left, by revision
)

// recordingFile is where a recording that is a file is kept until its artifact is made; of one that is kept longer, how the
// names of its files begin.
func (n *Node) recordingFile(rev *revision, x ladder.Recording) string {
	return filepath.Join(n.opt.Dir, recordingFolder, string(rev.spec.ID)+"."+x.String())
}

// take keeps the file that a recorder left at its end, and tells the engine of it.
func (n *Node) take(w *instance) {
	file, err := n.opt.Launcher.Recorded(w.recording, w.record)
	if err != nil {
		n.log.Warn("a recorder left nothing that can be used", telemetry.KeyFunction, w.rev.fn.name, telemetry.KeyWorker, w.name,
			telemetry.KeyRecording, w.recording, telemetry.KeyError, err)
		return
	}
	if !n.stored(w.rev) {
		return
	}
	n.mu.Lock()
	served := w.served
	n.mu.Unlock()
	if served == 0 && w.recording.Least() > 0 {
		return // it says nothing of what the function does
	}
	if err := n.recordingFits(file); err != nil {
		n.log.Warn("a recording is not kept", telemetry.KeyFunction, w.rev.fn.name, telemetry.KeyWorker, w.name, telemetry.KeyRecording, w.recording, telemetry.KeyError, err)
		return
	}
	to := n.recordingFile(w.rev, w.recording)
	if w.recording.Kept() {
		to += "." + w.name // they are sorted by the time of their worker's start
	}
	if err := os.Rename(file, to); err != nil {
		n.log.Error("keep a recording", telemetry.KeyWorker, w.name, telemetry.KeyError, err)
		return
	}
	n.forgetOldest(w.rev, w.recording)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || w.rev.gone {
		return
	}
	saved, ok := n.engine.Saved(w.rev.id)
	if !ok {
		return
	}
	n.step(engine.Event{
		Kind: engine.EventRecording, Revision: w.rev.id, Recording: w.recording, Version: saved.Recordings[w.recording].Version + 1,
	})
	n.record(&engine.Action{Revision: w.rev.id, Reason: engine.ReasonNone}) // the version is part of what is saved
}

// recordingFits says why there is no room for one more recording.
func (n *Node) recordingFits(file string) error {
	if n.opt.RecordingBytes == 0 {
		return nil
	}
	info, err := os.Lstat(file)
	if err != nil {
		return err
	}
	kept, err := os.ReadDir(filepath.Join(n.opt.Dir, recordingFolder))
	if err != nil {
		return err
	}
	all := info.Size()
	for _, f := range kept {
		if info, err := f.Info(); err == nil {
			all += info.Size()
		}
	}
	if all > n.opt.RecordingBytes {
		return fmt.Errorf("with it recordings take %.1f MB, and %.1f MB may be kept", float64(all)/1e6, float64(n.opt.RecordingBytes)/1e6)
	}
	return nil
}

// forgetRecordings removes the files of recordings that nothing is made from any more.
func (n *Node) forgetRecordings(rev *revision) {
	for x := range ladder.RecordingCount {
		n.forgetRecording(rev, ladder.Recording(x))
	}
}

func (n *Node) forgetRecording(rev *revision, x ladder.Recording) {
	for _, file := range n.recordingFiles(rev, x) {
		n.removeRecording(rev, file)
	}
}

func (n *Node) removeRecording(rev *revision, file string) {
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		n.log.Error("remove a recording", telemetry.KeyRevision, rev.spec.ID, telemetry.KeyError, err)
	}
}

// keptFiles is of how many workers a recording that is kept is merged: later ones take the place of the oldest.
const keptFiles = 4

// forgetOldest removes the oldest files of a recording that is kept.
func (n *Node) forgetOldest(rev *revision, x ladder.Recording) {
	if all := n.recordingFiles(rev, x); x.Kept() && len(all) > keptFiles {
		for _, file := range all[:len(all)-keptFiles] {
			n.removeRecording(rev, file)
		}
	}
}

// recordingFiles are the files of a recording that are there, the oldest first.
func (n *Node) recordingFiles(rev *revision, x ladder.Recording) []string {
	if !x.AtEnd() {
		return nil
	}
	name := n.recordingFile(rev, x)
	files := []string{name}
	if x.Kept() {
		files, _ = filepath.Glob(name + ".*") // sorted; the pattern is well formed
	}
	return slices.DeleteFunc(files, func(file string) bool {
		info, err := os.Lstat(file)
		return err != nil || !info.Mode().IsRegular()
	})
}

// hasRecording reports whether a file of a recording is there.
func (n *Node) hasRecording(rev *revision, x ladder.Recording) bool {
	return len(n.recordingFiles(rev, x)) > 0
}

// inheritFiles gives a new revision the recordings of its parent, of the same code, that stay of use.
func (n *Node) inheritFiles(rev *revision, parent function.RevisionID, d *document, s *pipeline.Saved) {
	old := &revision{spec: &function.Spec{ID: parent}}
	for i := range ladder.RecordingCount {
		x := ladder.Recording(i)
		if !x.Kept() || !rev.ladder.Records(x) {
			continue
		}
		var err error
		for _, file := range n.recordingFiles(old, x) {
			to := n.recordingFile(rev, x) + strings.TrimPrefix(file, n.recordingFile(old, x))
			if err = n.recordingFits(file); err == nil {
				err = os.Link(file, to)
			}
			if err != nil {
				n.log.Warn("a recording is not taken over", telemetry.KeyRevision, rev.spec.ID, telemetry.KeyRecording, x, telemetry.KeyError, err)
				break
			}
			s.Recordings[x].Version++
		}
		if s.Recordings[x].Phase = d.Recordings[x].Phase; s.Recordings[x].Version == 0 && s.Recordings[x].Phase == pipeline.PhaseRecorded {
			s.Recordings[x].Phase = pipeline.PhaseAbsent
		}
	}
}
