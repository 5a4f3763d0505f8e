package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/client"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/store"
)

// TestOutcomeOfAWish: whoever waits for a rung hears of its end, whichever it is, and only of that.
func TestOutcomeOfAWish(t *testing.T) {
	at := time.Unix(1000, 0)
	revision := func(serves function.Rung, native client.Rung, change ...func(*client.Revision)) *client.Revision {
		native.Rung = "native"
		r := &client.Revision{ID: "1", Kind: function.KindHandler, Pipeline: &client.Pipeline{Rung: serves, Reason: "the last move",
			Ladder: []client.Rung{{Rung: "hotspot", Phase: pipeline.PhaseReady}, {Rung: "aot-cache", Phase: pipeline.PhaseReady}, native, {Rung: "native-optimized"}}}}
		for _, c := range change {
			c(r)
		}
		return r
	}
	history := func(steps ...store.Transition) func(*client.Revision) {
		return func(r *client.Revision) { r.History = steps }
	}
	build := func(id, rung, state string) func(*client.Revision) {
		return func(r *client.Revision) {
			r.Builds = append(r.Builds, &store.Build{ID: id, Rung: function.Rung(rung), State: state, Class: "out-of-memory", Reason: "killed at 2 GB", Hint: "Give it more."})
		}
	}
	tried := client.Rung{Phase: pipeline.PhaseFailed, Failures: 2, Falls: 1, Since: &at, Reason: "the build failed"}
	again := tried
	again.Wanted, again.Reason = true, "an operator asked for it"
	old := store.Transition{At: at, Recording: "metadata", From: "recording", To: "recording", Reason: "no worker came up that records"}
	newer := old
	newer.At = at.Add(time.Second)
	other := newer
	other.Recording = "classes"
	for name, c := range map[string]struct {
		before, now *client.Revision
		done        bool
		err         string
	}{
		"waits for a recording":              {now: revision("hotspot", client.Rung{Wanted: true})},
		"waits for a builder":                {now: revision("aot-cache", client.Rung{Phase: pipeline.PhaseQueued})},
		"is built":                           {now: revision("aot-cache", client.Rung{Phase: pipeline.PhaseBuilding})},
		"is checked":                         {now: revision("aot-cache", client.Rung{Phase: pipeline.PhaseChecking})},
		"is ready":                           {now: revision("native", client.Rung{Phase: pipeline.PhaseReady}), done: true},
		"is ready and does not run":          {now: revision("aot-cache", client.Rung{Phase: pipeline.PhaseReady}), done: true},
		"a higher one serves":                {now: revision("native-optimized", client.Rung{}), done: true},
		"is made though a higher one serves": {now: revision("native-optimized", client.Rung{Phase: pipeline.PhaseChecking})},
		"had failed before":                  {before: revision("hotspot", tried), now: revision("hotspot", again)},
		"failed": {now: revision("hotspot", client.Rung{Phase: pipeline.PhaseFailed, Wanted: true, Failures: 1, Reason: "no worker of the new artifact came up"}),
			err: "native of f was not made: no worker of the new artifact came up"},
		"failed again": {before: revision("hotspot", tried), now: revision("hotspot", client.Rung{Phase: pipeline.PhaseFailed, Wanted: true, Failures: 3, Falls: 1, Reason: "the build failed"}),
			err: "native of f was not made: the build failed"},
		"failed and is wanted again": {before: revision("hotspot", tried, history(old)),
			now: revision("hotspot", again, history(old, store.Transition{At: at.Add(time.Second), Rung: "native", From: "checking", To: "failed", Event: "deoptimized", Reason: "a.B is missing"})),
			err: "native of f was not made: a.B is missing"},
		"is built again at once": {before: revision("hotspot", tried, history(old)),
			now: revision("hotspot", client.Rung{Phase: pipeline.PhaseBuilding, Failures: 2, Falls: 2}, history(old, store.Transition{At: at.Add(time.Second), Rung: "native", From: "checking", To: "failed"},
				store.Transition{At: at.Add(time.Second), Rung: "native", From: "failed", To: "queued"}))},
		"another rung failed": {before: revision("hotspot", tried, history(old)),
			now: revision("hotspot", again, history(old, store.Transition{At: at.Add(time.Second), Rung: "aot-cache", From: "checking", To: "failed"}))},
		"its build failed": {before: revision("hotspot", tried, build("a", "native", "failed")),
			now: revision("hotspot", client.Rung{Phase: pipeline.PhaseFailed, Wanted: true, Failures: 3, Reason: "the build failed"}, build("a", "native", "failed"), build("b", "native", "failed")),
			err: "build of native of f failed (out-of-memory): killed at 2 GB"},
		"another's build failed": {now: revision("hotspot", client.Rung{Phase: pipeline.PhaseQueued}, build("b", "aot-cache", "failed"))},
		"deoptimized": {now: revision("hotspot", client.Rung{Phase: pipeline.PhaseFailed, Falls: 1, Reason: "a.B has no metadata"}),
			err: "native of f was not made: a.B has no metadata"},
		"given up": {now: revision("hotspot", client.Rung{}), err: "native of f was not made: the last move"},
		"turned off": {now: revision("hotspot", client.Rung{Reason: "optimization of the function was turned off"}),
			err: "optimization of the function was turned off"},
		"no recorder comes up": {before: revision("hotspot", client.Rung{}, history(old)), now: revision("hotspot", client.Rung{Wanted: true}, history(old, newer)),
			err: "native of f cannot be made: nothing could be recorded: no worker came up that records"},
		"what it recorded is refused": {now: revision("hotspot", client.Rung{Wanted: true}, func(r *client.Revision) {
			r.Pipeline.Recordings = []client.Recording{{Recording: ladder.RecordingMetadata, Refused: "it has more than 8 MiB"}}
		}), err: "what was recorded is refused: it has more than 8 MiB"},
		"none came up before":         {before: revision("hotspot", client.Rung{}, history(old)), now: revision("hotspot", client.Rung{Wanted: true}, history(old))},
		"another recording came to n": {now: revision("hotspot", client.Rung{Wanted: true}, history(other))},
		"updated":                     {now: revision("hotspot", client.Rung{Wanted: true}, func(r *client.Revision) { r.ID = "2" }), err: "f was changed meanwhile"},
		"not served":                  {now: &client.Revision{ID: "1"}},
		"no such rung any more":       {now: &client.Revision{ID: "1", Pipeline: &client.Pipeline{Rung: "hotspot", Ladder: []client.Rung{{Rung: "hotspot"}}}}, err: "has no rung native any more"},
	} {
		w := wish{function: "f", rung: "native", before: *revision("hotspot", client.Rung{})}
		if c.before != nil {
			w.before = *c.before
		}
		done, err := w.outcome(c.now)
		if done != c.done || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: got %v, %v, want %v, %q", name, done, err, c.done, c.err)
		}
	}
}

// TestWishForAProfile: whoever waits for a rung that needs another one to record hears why there is no recording.
func TestWishForAProfile(t *testing.T) {
	at := time.Unix(1000, 0)
	revision := func(by client.Rung, steps ...store.Transition) *client.Revision {
		by.Rung = ladder.NativeInstrumented
		return &client.Revision{ID: "1", Kind: function.KindHandler, History: steps, Pipeline: &client.Pipeline{Rung: "native", Ladder: []client.Rung{
			{Rung: "hotspot", Phase: pipeline.PhaseReady}, {Rung: "native", Phase: pipeline.PhaseReady}, by, {Rung: ladder.NativeProfiled, Wanted: true}}}}
	}
	old := store.Transition{At: at, Recording: "profile", From: "absent", To: "recording"}
	for name, c := range map[string]struct {
		now *client.Revision
		err string
	}{
		"is built":                 {revision(client.Rung{Phase: pipeline.PhaseBuilding}, old), ""},
		"records":                  {revision(client.Rung{Phase: pipeline.PhaseReady}, old), ""},
		"could not be built":       {revision(client.Rung{Phase: pipeline.PhaseFailed, Reason: "out of memory"}, old), "native-instrumented, which records for it, was not made: out of memory"},
		"nobody invoked it":        {revision(client.Rung{Phase: pipeline.PhaseReady}, old, store.Transition{At: at.Add(time.Second), Recording: "profile", From: "recording", To: "recording", Reason: "none came"}), "nothing could be recorded: none came"},
		"another's recording ends": {revision(client.Rung{Phase: pipeline.PhaseReady}, old, store.Transition{At: at.Add(time.Second), Recording: "classes", From: "recording", To: "recording"}), ""},
	} {
		w := wish{function: "f", rung: ladder.NativeProfiled, before: *revision(client.Rung{}, old)}
		done, err := w.outcome(c.now)
		if done || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: got %v, %v, want %q", name, done, err, c.err)
		}
	}
}
