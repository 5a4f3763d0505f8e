package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
)

// PaperLadder has the paper's two rungs: native memory 0.375 of HotSpot's (5.1), builds with the
// mean time and memory of Table 1 (6.41, 8.21 and 6.31 GB) on 4 cores. The paper gives no numbers
// for starts (Fig. 1.b is a plot): those are what a small function with a JSON library was measured
// at, 1.1 s on HotSpot and 35 ms native.
func PaperLadder() *ladder.Ladder {
	return &ladder.Ladder{
		Name: "paper", Start: 1100 * time.Millisecond,
		Rungs: []ladder.Rung{
			{Name: ladder.HotSpot, Start: 1, First: 1, Speed: 1, Memory: 1},
			{Name: ladder.Native, Artifact: ladder.ArtifactBinary, From: ladder.RecordingMetadata, Builder: ladder.BuilderNative,
				Start: 35.0 / 1100, First: 1, Speed: 1, Memory: 0.375,
				Cost: ladder.Cost{Wall: 128 * time.Second, CPU: 4 * 128 * time.Second, MemoryMB: 6977, DiskMB: 35}},
		},
	}
}

// PaperBuildTimes are those of Table 1.
func PaperBuildTimes() []time.Duration {
	return []time.Duration{97 * time.Second, 200 * time.Second, 87 * time.Second}
}

// NamedLadder is a ladder that ships with CloudJIT: "paper", "measured" (this platform's own for
// handlers in Java, which is also docs/simulator/ladder-measured.json), "web" (its own for web applications), "python" and "nodejs".
func NamedLadder(name string) (*ladder.Ladder, bool) {
	switch name {
	case "paper":
		return PaperLadder(), true
	case "measured":
		return ladder.Usual(function.KindHandler), true
	case "web":
		return ladder.Usual(function.KindWeb), true
	case "python":
		return ladder.Usual(function.KindPython), true
	case "nodejs":
		return ladder.Usual(function.KindNode), true
	}
	return nil, false
}

// maxLadder bounds a ladder's file, in bytes; ten rungs have a hundredth of it.
const maxLadder = 1 << 20

// ReadLadder reads a ladder as JSON, in the form in which a ladder.Ladder is written, and trusts
// nothing that it reads.
func ReadLadder(r io.Reader) (*ladder.Ladder, error) {
	in := &io.LimitedReader{R: r, N: maxLadder + 1}
	d := json.NewDecoder(in)
	d.DisallowUnknownFields()
	var l ladder.Ladder
	err := d.Decode(&l)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the ladder")
		}
	}
	if in.N <= 0 {
		return nil, fmt.Errorf("read a ladder: it has more than %d bytes", maxLadder)
	}
	if err != nil {
		return nil, fmt.Errorf("read a ladder: %w", err)
	}
	if err := checkLadder(&l); err != nil {
		return nil, fmt.Errorf("read a ladder: %w", err)
	}
	return &l, nil
}

// What a figure may be at most: beyond that, times would not fit and nothing would be learned.
const (
	maxFactor = 1e4
	maxTime   = 24 * time.Hour
	maxMB     = 1e9
)

// checkLadder refuses a ladder that cannot be simulated.
func checkLadder(l *ladder.Ladder) error {
	if err := l.Check(); err != nil {
		return err
	}
	if l.Start > time.Hour {
		return fmt.Errorf("ladder %q: startNs: %v: want an hour at most", l.Name, l.Start)
	}
	for i := range l.Rungs {
		r := &l.Rungs[i]
		for _, f := range []struct {
			field      string
			value, max float64
		}{
			{"start", r.Start, maxFactor}, {"first", r.First, maxFactor}, {"speed", r.Speed, maxFactor}, {"memory", r.Memory, maxFactor},
			{"cost.wallNs", float64(r.Cost.Wall), float64(maxTime)}, {"cost.cpuNs", float64(r.Cost.CPU), 100 * float64(maxTime)},
			{"check.wallNs", float64(r.Check.Wall), float64(maxTime)}, {"check.cpuNs", float64(r.Check.CPU), 100 * float64(maxTime)},
			{"check.memoryMB", r.Check.MemoryMB, maxMB}, {"cost.memoryMB", r.Cost.MemoryMB, maxMB}, {"cost.diskMB", r.Cost.DiskMB, maxMB},
		} {
			if !(f.value <= f.max) {
				return fmt.Errorf("ladder %q, rung %d (%q): %s: %g: want %g at most", l.Name, i, r.Name, f.field, f.value, f.max)
			}
		}
	}
	return nil
}
