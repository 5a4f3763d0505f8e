package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/cloudjit/cloudjit/internal/compare"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/worker"
)

const (
	// speedTurns is how many turns each of two artifacts has, and speedTurn how long one takes: they share the machine with others,
	// so they take turns, and the best one counts.
	speedTurns = 3
	speedTurn  = 300 * time.Millisecond
	// slowerBy is how many times the CPU time of another makes an artifact the slower one.
	slowerBy = 1.1
)

// slower says why an artifact that is there to compute faster does not: it and the highest artifact of its kind below it answer
// the same samples in turn, and it takes more CPU time for one answer. Empty: it does not, or there is nothing to compare it with.
func (c *check) slower(ctx context.Context, samples []*compare.Sample) string {
	if c.w.row.Also == ladder.RecordingNone {
		return ""
	}
	samples = slices.DeleteFunc(slices.Clone(samples), func(s *compare.Sample) bool { return !s.Safe() })
	below, dir := c.n.below(c.w.rev, c.w.rung)
	if below == ladder.First || len(samples) == 0 {
		return ""
	}
	row := &c.w.rev.ladder.Rungs[below]
	runs := []run{
		{rung: c.w.rung, launch: Launch{Rung: *c.w.row, Artifact: c.artifact, Check: true}},
		{rung: below, launch: Launch{Rung: *row, Artifact: dir, Check: true}},
	}
	workers := make([]worker.Worker, len(runs))
	defer func() {
		for _, w := range workers {
			c.end(ctx, w)
		}
	}()
	for i := range runs {
		w, err := c.start(ctx, &runs[i])
		if err != nil {
			return "" // it came up before: this machine is short of something
		}
		workers[i] = w
		if answered, usable := c.each(ctx, w, samples); !usable || answered < len(samples) {
			return ""
		}
	}
	var best [2]time.Duration
	for range speedTurns {
		for i, w := range workers {
			took := c.turn(ctx, w, samples)
			if took == 0 {
				return ""
			}
			if best[i] == 0 || took < best[i] {
				best[i] = took
			}
		}
	}
	if float64(best[0]) <= slowerBy*float64(best[1]) {
		c.record.Reason = fmt.Sprintf("%s; %v of CPU time for an answer, %v on %s", c.text(), best[0].Round(time.Microsecond), best[1].Round(time.Microsecond), row.Name)
		return ""
	}
	return fmt.Sprintf("it is slower: %v of CPU time for an answer, %v on %s", best[0].Round(time.Microsecond), best[1].Round(time.Microsecond), row.Name)
}

// below is the highest rung below another that is ready and has an artifact of the same kind, and where that is; First: none.
func (n *Node) below(rev *revision, rung ladder.ID) (ladder.ID, string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	saved, ok := n.engine.Saved(rev.id)
	if !ok {
		return ladder.First, ""
	}
	for i := rung - 1; i > ladder.First; i-- {
		row := &rev.ladder.Rungs[i]
		s := saved.Rung(row.Name)
		if row.Artifact == rev.ladder.Rungs[rung].Artifact && row.Serves() && s != nil && s.Phase == pipeline.PhaseReady && rev.artifacts[i].dir != "" {
			return i, rev.artifacts[i].dir
		}
	}
	return ladder.First, ""
}

// turn is the CPU time of one answer, of all samples over and over; 0: it is not known.
func (c *check) turn(ctx context.Context, w worker.Worker, samples []*compare.Sample) time.Duration {
	clock, ok := w.(worker.Clocker)
	if !ok {
		return 0
	}
	began, before, n := time.Now(), clock.CPU(), 0
	for n == 0 || time.Since(began) < speedTurn {
		answered, usable := c.each(ctx, w, samples)
		if !usable || answered < len(samples) {
			return 0
		}
		n += answered
	}
	return (clock.CPU() - before) / time.Duration(n)
}
