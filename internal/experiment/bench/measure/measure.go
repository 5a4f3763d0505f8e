// Package measure does what package bench reports: it takes applications through a running
// platform until they are native, as a user would, and measures them there and as processes of
// their own. It decides nothing of the platform's and knows no figure's look.
package measure

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/client"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/experiment/bench"
	"github.com/cloudjit/cloudjit/internal/experiment/live"
	"github.com/cloudjit/cloudjit/internal/jar"
	"github.com/cloudjit/cloudjit/internal/machine"
	"github.com/cloudjit/cloudjit/internal/metadata"
	"github.com/cloudjit/cloudjit/internal/sample"
	"github.com/cloudjit/cloudjit/internal/store"
)

// Application is one to measure.
type Application struct {
	// Name of the functions it becomes: "bench-NAME", which becomes native; "bench-NAME-hotspot", which is
	// never optimized; and "bench-NAME-aot-cache", which gets an AOT cache.
	Name   string
	Sample *sample.Sample
}

// Options of a run.
type Options struct {
	Client *client.Client
	Parts  []bench.Part
	Apps   []Application
	// Settings of the measurement; its rungs are at least one.
	Settings bench.Settings
	// Fresh traces anew, and builds what that asks for, instead of using what an earlier run left.
	Fresh bool
	// Rounds is how often each request is asked while the tracer looks.
	Rounds int
	// BuildTime is how long one native build may take, its wait for a builder included.
	BuildTime time.Duration
	// JDKs are homes of further JDKs to measure, as processes of their own.
	JDKs []string
	// Dir keeps unpacked archives and AOT caches.
	Dir string
	// Binary finds the folder of a finished native build on this machine.
	Binary func(aot.Key) (dir string, ok bool)
	// Assets returns the path of a file that functions run with (see package assets).
	Assets func(name string) (string, error)
	// Versions and Command are for the report.
	Versions bench.Versions
	Command  string
	// Out takes what happens, as it happens.
	Out io.Writer
}

// run is a run under way.
type run struct {
	*Options
	result *bench.Result
	began  time.Time
	apps   []*app
}

// app is an application under way.
type app struct {
	Application
	run      *run
	out      *bench.App
	info     *jar.Info
	sha      string
	asks     *requests
	fn       *live.Function // the one that becomes native
	hotspot  *live.Function // the one that never leaves HotSpot
	cached   *live.Function // the one that gets an AOT cache
	rungs    []*rung
	prepared bool
}

// Run measures all applications. What goes wrong with one of them stands in the result; the
// error says what kept the whole from its end, and the result has what was measured until then.
func Run(ctx context.Context, o Options) (*bench.Result, error) {
	r := &run{Options: &o, began: time.Now()}
	r.result = &bench.Result{Parts: o.Parts, Began: r.began.UTC(), Command: o.Command, Machine: thisMachine(), Versions: o.Versions, Settings: o.Settings, Apps: []*bench.App{}}
	err := r.all(ctx)
	r.result.Ended = time.Now().UTC()
	r.result.Machine.LoadAfter = machine.Load()
	if ctx.Err() != nil {
		r.result.Interrupted = true
		err = fmt.Errorf("interrupted: %w", ctx.Err())
	}
	return r.result, err
}

func (r *run) all(ctx context.Context) error {
	for i := range r.Apps {
		a := &app{Application: r.Apps[i], run: r, out: &bench.App{Name: r.Apps[i].Name}}
		r.apps, r.result.Apps = append(r.apps, a), append(r.result.Apps, a.out)
		if err := a.look(); err != nil {
			a.failed("%v", err)
			continue
		}
		a.prepared = true
	}
	for _, a := range r.apps {
		if !a.prepared {
			continue
		}
		r.say("%s: %s, %.1f MB", a.Name, a.out.Framework, float64(a.out.ArchiveBytes)/1e6)
		err := a.prepare(ctx)
		var unreachable *client.UnreachableError
		if errors.As(err, &unreachable) {
			return err
		}
		if err != nil && ctx.Err() == nil {
			a.failed("%v", err)
			r.say("  %v", err)
		}
		a.collect(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if slices.Contains(r.Parts, bench.Figure1) {
		return r.figure1(ctx)
	}
	return nil
}

func (r *run) say(format string, args ...any) {
	fmt.Fprintf(r.Out, "%7.1f s  %s\n", time.Since(r.began).Seconds(), fmt.Sprintf(format, args...))
}

func (a *app) failed(format string, args ...any) {
	a.out.Failed = append(a.out.Failed, fmt.Sprintf(format, args...))
}

func (a *app) note(format string, args ...any) {
	n := fmt.Sprintf(format, args...)
	if !slices.Contains(a.out.Notes, n) {
		a.out.Notes = append(a.out.Notes, n)
	}
}

// look reads the archive and the requests.
func (a *app) look() error {
	s := a.Sample
	a.out.Archive, a.out.Kind, a.out.Requests, a.out.MemoryMiB = filepath.Base(s.Archive()), s.Kind, len(s.Requests), s.MemoryMiB
	if s.MemoryMiB == 0 {
		a.out.MemoryMiB = live.DefaultMemoryMiB
	}
	f, err := os.Open(s.Archive())
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s is not there: build it first", s.Archive())
	}
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if a.out.ArchiveBytes, err = io.Copy(h, f); err != nil {
		return fmt.Errorf("read %s: %w", s.Archive(), err)
	}
	a.sha = hex.EncodeToString(h.Sum(nil))
	a.out.SHA256 = a.sha
	// What an earlier version of this program unpacked may be laid out otherwise.
	if err := os.RemoveAll(a.code()); err != nil {
		return err
	}
	limits := config.Default().Limits
	if a.info, err = jar.Extract(s.Archive(), a.code(), jar.Limits{Archive: limits.Code, Unzipped: limits.Unzipped}); err != nil {
		return fmt.Errorf("unpack %s: %w", s.Archive(), err)
	}
	a.out.Framework = framework(a.info)
	a.asks, err = newRequests(s)
	return err
}

// code is where the archive is unpacked.
func (a *app) code() string { return filepath.Join(a.run.Dir, "code", a.sha) }

// frameworkLibraries tell a framework's version, the first that is there.
var frameworkLibraries = map[jar.Framework][]string{
	jar.FrameworkSpringBoot: {"spring-boot"},
	jar.FrameworkQuarkus:    {"quarkus-core", "quarkus-arc", "quarkus-bootstrap-runner"},
	jar.FrameworkMicronaut:  {"micronaut-core", "micronaut-runtime", "micronaut-context", "micronaut-inject"},
}

// framework names the framework, with its version where the archive tells.
func framework(info *jar.Info) string {
	name := string(info.Framework)
	for _, artifact := range frameworkLibraries[info.Framework] {
		for _, l := range info.Libraries {
			if l.Artifact == artifact && l.Version != "" {
				return name + " " + l.Version
			}
		}
	}
	return name
}

// collect takes builds and metadata from the platform's records.
func (a *app) collect(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second) // an interrupted run reports too
	defer cancel()
	for _, fn := range []*live.Function{a.cached, a.fn} {
		if fn == nil {
			continue
		}
		rev, err := fn.Revision(ctx)
		if err != nil {
			a.failed("read builds: %v", err)
			continue
		}
		a.collectBuilds(rev)
		if fn == a.fn && len(rev.Metadata) > 0 {
			if err := a.collectMetadata(ctx, rev); err != nil {
				a.failed("read metadata: %v", err)
			}
		}
	}
}

// collectBuilds takes the newest build of each rung that succeeded, and the one that failed after it.
func (a *app) collectBuilds(rev *client.Revision) {
	for _, name := range a.run.Settings.Rungs {
		var done, failed *store.Build
		for _, b := range rev.Builds {
			switch {
			case b.Rung != name:
			case b.State == "succeeded":
				done, failed = b, nil
			case b.State == "failed":
				failed = b
			}
		}
		for _, b := range []*store.Build{done, failed} {
			if b == nil {
				continue
			}
			out := bench.Build{Rung: b.Rung, Wall: b.Cost.Wall, CPU: b.Cost.CPU, RSS: b.Cost.PeakRSS, Size: b.Cost.Size, Cached: b.Cached, At: b.QueuedAt, State: b.State}
			if b == failed {
				out.Reason = string(b.Class) + ": " + b.Reason
			}
			a.out.Builds = append(a.out.Builds, out)
		}
	}
}

func (a *app) collectMetadata(ctx context.Context, rev *client.Revision) error {
	var doc json.RawMessage
	newest := fmt.Sprintf("%s/revisions/%s/metadata/%d", client.OwnFunction(a.function()), rev.ID, rev.Metadata[len(rev.Metadata)-1].Number)
	if err := a.run.Client.Call(ctx, http.MethodGet, newest, nil, &doc); err != nil {
		return err
	}
	set, err := metadata.Parse(doc)
	if err != nil {
		return err
	}
	counts := set.Counts()
	a.out.Metadata = &counts
	return nil
}
