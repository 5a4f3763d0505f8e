package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/client"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/store"
)

// wish is a rung that an operator asked for.
type wish struct {
	function string
	rung     function.Rung
	// before is how the revision was before that: what had failed then is no answer.
	before client.Revision
}

// patience is how long nothing may happen to a wish that waits for a recording. A recorder that is given
// an invocation, or that only has to start, needs some seconds.
const patience = 2 * time.Minute

// await shows the moves of the function's pipeline until the rung is ready, or it is certain that
// this wish will not be met.
func (w *wish) await(ctx context.Context, c *client.Client, progress io.Writer) error {
	begin, moved, shown, nearer := time.Now(), time.Now(), "", ""
	for {
		r, err := c.Latest(ctx, w.function)
		if err != nil {
			return err
		}
		if state := w.state(r); state != shown {
			fmt.Fprintf(progress, "%6.1f s  %s: %s\n", time.Since(begin).Seconds(), w.function, state)
			shown = state
		}
		if p := w.progress(r); p != nearer {
			moved, nearer = time.Now(), p
		}
		if done, err := w.outcome(r); done || err != nil {
			return err
		}
		if w.idle(r) && time.Since(moved) > patience {
			return &hintError{fmt.Errorf("%s of %s waits for a recording, and nothing was recorded for %s", w.rung, w.function, patience),
				fmt.Sprintf("Invoke %s as it is used: the wish stays, and %s is made then.", w.function, w.rung)}
		}
		select {
		case <-time.After(250 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// state is the pipeline's in a line, with what the builder says that it does.
func (w *wish) state(r *client.Revision) string {
	p := r.Pipeline
	if p == nil {
		return "not served yet"
	}
	s := p.State()
	if rung := p.Of(w.rung); rung != nil && rung.Wanted {
		s += ", " + string(w.rung) + " wanted"
	}
	if n := len(r.Builds); n > 0 && r.Builds[n-1].State == "running" && r.Builds[n-1].Phase != "" {
		s += " (" + r.Builds[n-1].Phase + ")"
	}
	return s
}

// progress changes when the rung has come nearer: whatever else moves is none, as a recorder that comes and goes.
func (w *wish) progress(r *client.Revision) string {
	if r.Pipeline == nil {
		return ""
	}
	s := fmt.Sprint(len(r.Builds))
	if rung := r.Pipeline.Of(w.rung); rung != nil {
		s += " " + rung.Phase.String()
	}
	for _, x := range r.Pipeline.Recordings {
		s += fmt.Sprint(" ", x.Recording, x.Version)
	}
	return s
}

// idle reports whether the wish waits for a recording.
func (w *wish) idle(r *client.Revision) bool {
	if r.Pipeline == nil {
		return true
	}
	rung := r.Pipeline.Of(w.rung)
	return rung != nil && rung.Wanted && !rung.Phase.Making()
}

// outcome is how the wish ended, from how the revision is now; not done and no error: that is open.
// An artifact that failed is made again after a while, but whoever waits hears of it at once.
func (w *wish) outcome(r *client.Revision) (done bool, err error) {
	p := r.Pipeline
	switch {
	case r.ID != w.before.ID:
		return false, fmt.Errorf("%s was changed meanwhile: its new revision has artifacts of its own", w.function)
	case p == nil:
		return false, nil
	}
	rung := p.Of(w.rung)
	if rung == nil {
		return false, fmt.Errorf("%s has no rung %s any more", w.function, w.rung)
	}
	var before client.Rung
	if w.before.Pipeline != nil {
		if b := w.before.Pipeline.Of(w.rung); b != nil {
			before = *b
		}
	}
	at := func(name function.Rung) int {
		return slices.IndexFunc(p.Ladder, func(r client.Rung) bool { return r.Rung == name })
	}
	switch {
	case rung.Phase == pipeline.PhaseReady, at(p.Rung) > at(w.rung) && !rung.Phase.Making():
		return true, nil
	case !rung.Phase.Making() && (!rung.Wanted || rung.Failures > before.Failures || rung.Falls > before.Falls):
		return false, w.failed(r, rung)
	}
	if step := w.left(r); step != nil {
		rung.Reason = step.Reason // it may be wanted again already
		return false, w.failed(r, rung)
	}
	if by := w.recorder(r); by != nil && by.Phase == pipeline.PhaseFailed {
		return false, &hintError{fmt.Errorf("%s of %s cannot be made: %s, which records for it, was not made: %s", w.rung, w.function, by.Rung, by.Reason),
			fmt.Sprintf("More: cloudjit describe %s", w.function)}
	}
	if why := w.refused(r); why != "" && w.idle(r) {
		return false, &hintError{fmt.Errorf("%s of %s cannot be made: what was recorded is refused: %s", w.rung, w.function, why),
			fmt.Sprintf("More: cloudjit describe %s", w.function)}
	}
	if step := w.lost(r); step != nil {
		return false, &hintError{fmt.Errorf("%s of %s cannot be made: nothing could be recorded: %s", w.rung, w.function, step.Reason),
			fmt.Sprintf("What it wrote: cloudjit logs %s", w.function)}
	}
	return false, nil
}

// failed says why there is no artifact, with the build that failed if one did.
func (w *wish) failed(r *client.Revision, rung *client.Rung) error {
	reason := rung.Reason
	if reason == "" {
		reason = r.Pipeline.Reason
	}
	if n := len(r.Builds); n > 0 {
		b := r.Builds[n-1]
		known := slices.ContainsFunc(w.before.Builds, func(old *store.Build) bool { return old.ID == b.ID })
		if b.Rung == w.rung && b.State == "failed" && !known {
			text := fmt.Sprintf("build of %s of %s failed (%s): %s", w.rung, w.function, b.Class, b.Reason)
			hint := fmt.Sprintf("Its log: %s/revisions/%s/builds/%s/log", client.OwnFunction(w.function), r.ID, b.ID)
			return &hintError{errors.New(text), strings.TrimSpace(b.Hint + "\n" + hint)}
		}
	}
	return &hintError{fmt.Errorf("%s of %s was not made: %s", w.rung, w.function, reason), fmt.Sprintf("More: cloudjit describe %s; cloudjit logs %s", w.function, w.function)}
}

// since is when the wish was made, as the history says.
func (w *wish) since() (at time.Time) {
	if n := len(w.before.History); n > 0 {
		at = w.before.History[n-1].At
	}
	return at
}

// left is the step of the history in which the artifact failed since the wish, whatever it is doing now; nil: it did not. Where the
// next build began at once, the wish goes on.
func (w *wish) left(r *client.Revision) *store.Transition {
	since := w.since()
	for i := range r.History {
		h := &r.History[i]
		again := func(next store.Transition) bool {
			return next.Rung == w.rung && next.To == pipeline.PhaseQueued.String() && next.At.Sub(h.At) < time.Second
		}
		if h.At.After(since) && h.Rung == w.rung && h.To == pipeline.PhaseFailed.String() && h.From != h.To && !slices.ContainsFunc(r.History[i+1:], again) {
			return h
		}
	}
	return nil
}

// row is the rung in the ladder of the function's kind; nil if it is not there.
func (w *wish) row(r *client.Revision) (*ladder.Ladder, *ladder.Rung) {
	if l := ladder.Of(r.Kind); l != nil {
		if id, ok := l.Find(w.rung); ok {
			return l, &l.Rungs[id]
		}
	}
	return nil, nil
}

// needs reports whether the rung is made from a recording.
func (w *wish) needs(r *client.Revision, x ladder.Recording) bool {
	_, row := w.row(r)
	return row != nil && row.Needs(x)
}

// recorder is the rung that only records for this one; nil if there is none.
func (w *wish) recorder(r *client.Revision) *client.Rung {
	if l, row := w.row(r); row != nil {
		if by := l.Recorder(row.Also); by != ladder.First {
			return r.Pipeline.Of(l.Rungs[by].Name)
		}
	}
	return nil
}

// refused is why nothing is taken of a recording that the rung is made from; empty if it is.
func (w *wish) refused(r *client.Revision) string {
	for _, x := range r.Pipeline.Recordings {
		if x.Refused != "" && w.needs(r, x.Recording) {
			return x.Refused
		}
	}
	return ""
}

// lost is the newest step of the history that says that a recording which the rung is made from
// could not be taken; nil if there is none since the wish.
func (w *wish) lost(r *client.Revision) *store.Transition {
	since := w.since()
	for i := len(r.History) - 1; i >= 0 && r.History[i].At.After(since); i-- {
		// A recording that stays where it is has failed; every other step of one moves it.
		var x ladder.Recording
		if h := &r.History[i]; h.From == h.To && x.UnmarshalText([]byte(h.Recording)) == nil && w.needs(r, x) {
			return h
		}
	}
	return nil
}
