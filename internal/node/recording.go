package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/telemetry"
)

const (
	recordFolder    = "record"     // a folder each of the recorders that run
	recordingFolder = "recordings" // files that recorders left, by revision
)

// recordingFile is where a recording that is a file is kept until its artifact is made.
func (n *Node) recordingFile(rev *revision, x ladder.Recording) string {
	return filepath.Join(n.opt.Dir, recordingFolder, string(rev.spec.ID)+"."+x.String())
}

// take keeps the file that a recorder left at its end, and tells the engine of it.
func (n *Node) take(w *instance) {
	file, ok := n.opt.Launcher.Recorded(w.recording, w.record)
	if !ok {
		n.log.Warn("a recorder left nothing that can be used", telemetry.KeyFunction, w.rev.fn.name, telemetry.KeyWorker, w.name,
			telemetry.KeyRecording, w.recording)
		return
	}
	if !n.stored(w.rev) {
		return
	}
	if err := n.recordingFits(file); err != nil {
		n.log.Warn("a recording is not kept", telemetry.KeyFunction, w.rev.fn.name, telemetry.KeyWorker, w.name, telemetry.KeyRecording, w.recording, telemetry.KeyError, err)
		return
	}
	if err := os.Rename(file, n.recordingFile(w.rev, w.recording)); err != nil {
		n.log.Error("keep a recording", telemetry.KeyWorker, w.name, telemetry.KeyError, err)
		return
	}
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
	if !x.AtEnd() {
		return
	}
	if err := os.Remove(n.recordingFile(rev, x)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		n.log.Error("remove a recording", telemetry.KeyRevision, rev.spec.ID, telemetry.KeyError, err)
	}
}

// hasRecording reports whether the file of a recording is there.
func (n *Node) hasRecording(rev *revision, x ladder.Recording) bool {
	info, err := os.Lstat(n.recordingFile(rev, x))
	return err == nil && info.Mode().IsRegular()
}
