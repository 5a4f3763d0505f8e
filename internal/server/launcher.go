package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/aot/javacache"
	"github.com/cloudjit/cloudjit/internal/aot/keep"
	"github.com/cloudjit/cloudjit/internal/aot/nativeimage"
	"github.com/cloudjit/cloudjit/internal/aot/snapshot"
	"github.com/cloudjit/cloudjit/internal/fleet"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/language"
	"github.com/cloudjit/cloudjit/internal/launch"
	"github.com/cloudjit/cloudjit/internal/node"
	"github.com/cloudjit/cloudjit/internal/profile"
	"github.com/cloudjit/cloudjit/internal/store"
	"github.com/cloudjit/cloudjit/internal/toolchain"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// launcher says how the workers of this machine are started: it implements node.Launcher.
type launcher struct {
	code          *code
	jdks          []launch.JDK
	runtime       string // JARs
	serialization string
	tracer        string
	image         string
	platform      launch.Platform
	interpreters  []toolchain.Interpreter
	clients       map[function.Kind]string // folders of the languages' runtime clients
	caches        *javacache.Builder
	snapshots     *snapshot.Builder
	// drivers fails for a revision that no driver runs, neither here nor on the nodes that elsewhere knows.
	drivers   func(rev *function.Spec, elsewhere func(driver string) bool) error
	elsewhere atomic.Pointer[fleet.Fleet]
}

// Launch implements node.Launcher. The error wraps aot.ErrStale where the artifact is a cache that no longer
// fits. A function that cannot be recorded for a cache runs all the same, and leaves no recording.
func (l *launcher) Launch(ctx context.Context, n node.Launch) (worker.Spec, error) {
	request := l.managed
	if n.Rung.Artifact == ladder.ArtifactBinary {
		request = l.request
	}
	r, err := request(ctx, n.Revision)
	if err != nil {
		return worker.Spec{}, err
	}
	r.ID, r.Rung, r.Recording, r.Check, r.Survey, r.Limits = n.ID, n.Rung, n.Recording, n.Check, n.Survey, n.Limits
	r.Paths.Artifact, r.Paths.Record = n.Artifact, n.Record
	if n.Rung.Artifact == ladder.ArtifactCache && n.Recording == ladder.RecordingNone {
		if l.caches == nil {
			return worker.Spec{}, fmt.Errorf("%w: nothing here makes caches", aot.ErrStale)
		}
		if err := l.caches.Check(n.Artifact, &r); err != nil {
			return worker.Spec{}, err
		}
	}
	if n.Rung.Artifact == ladder.ArtifactBinary {
		if err := keep.Check(n.Artifact); err != nil {
			return worker.Spec{}, fmt.Errorf("%w: the binary is %v", aot.ErrStale, err)
		}
	}
	if n.Rung.Artifact == ladder.ArtifactSnapshot {
		if l.snapshots == nil {
			return worker.Spec{}, fmt.Errorf("%w: nothing here restores snapshots", aot.ErrStale)
		}
		if err := l.snapshots.Check(n.Artifact, &r); err != nil {
			return worker.Spec{}, err
		}
	}
	spec, err := launch.Worker(r)
	if errors.Is(err, launch.ErrUnsuited) {
		r.Recording = ladder.RecordingNone
		spec, err = launch.Worker(r)
	}
	return spec, err
}

// Recorded implements node.Launcher.
func (l *launcher) Recorded(what ladder.Recording, dir string) (string, error) {
	file, ok := launch.RecordingFile(what, dir)
	if !ok {
		return "", errors.New("there is no plain file of a possible size")
	}
	if what != ladder.RecordingProfile {
		return file, nil
	}
	if launch.CompilerLog(file) {
		short := file + ".profile"
		if err := profile.Shorten(file, short); err != nil {
			return "", fmt.Errorf("the compiler's log: %w", err)
		}
		file = short
	}
	if err := nativeimage.CheckProfile(file); err != nil {
		return "", fmt.Errorf("the profile: %w", err)
	}
	return file, nil
}

// Uses implements node.Launcher.
func (l *launcher) Uses(w worker.Worker, rung ladder.Rung, artifact string) bool {
	if rung.Artifact != ladder.ArtifactCache {
		return true
	}
	used, known := launch.CacheUsed(w, artifact)
	return used || !known
}

// request is how workers of a revision are started here, whatever they run on, but for the JDK.
func (l *launcher) request(ctx context.Context, rev *function.Spec) (launch.Request, error) {
	u, err := l.code.open(ctx, rev.CodeSHA256)
	if err != nil {
		return launch.Request{}, err
	}
	return launch.Request{Revision: rev, Platform: l.platform, Now: time.Now(), Paths: launch.Paths{
		Code: u.dir, Classes: u.classes, ClassPath: u.info.Paths, MainClass: u.info.MainClass, ModuleOptions: u.info.ModuleOptions(),
		Runtime: l.runtime, Serialization: l.serialization, Tracer: l.tracer,
	}}, nil
}

// java is request with the JDK that the revision runs on.
func (l *launcher) java(ctx context.Context, rev *function.Spec) (launch.Request, error) {
	r, err := l.request(ctx, rev)
	if err != nil {
		return r, err
	}
	u, err := l.code.open(ctx, rev.CodeSHA256)
	if err != nil {
		return r, err
	}
	if r.Paths.JDK, err = launch.SelectJDK(l.jdks, u.info.JavaVersion); err != nil {
		return r, err
	}
	if r.Paths.JDK.Agent {
		r.Paths.Tracer = ""
	}
	return r, nil
}

// managed is request with what the revision runs on: an interpreter, a JDK, or nothing.
func (l *launcher) managed(ctx context.Context, rev *function.Spec) (launch.Request, error) {
	if rev.Kind == function.KindProvided {
		return l.request(ctx, rev)
	}
	if _, ok := language.Of(rev.Kind); !ok {
		return l.java(ctx, rev)
	}
	i, err := l.interpreter(rev)
	if err != nil {
		return launch.Request{}, err
	}
	code, err := l.code.files(ctx, rev.CodeSHA256)
	if err != nil {
		return launch.Request{}, err
	}
	return launch.Request{Revision: rev, Platform: l.platform, Now: time.Now(), Paths: launch.Paths{
		Code: code, Client: l.clients[rev.Kind],
		Interpreter: launch.Interpreter{Release: i.Release, Program: i.Program, Home: i.Home},
	}}, nil
}

// runtimes are those of the interpreters that are here.
func (l *launcher) runtimes() []string {
	var all []string
	for _, i := range l.interpreters {
		all = append(all, i.Runtime)
	}
	return all
}

// interpreter is the one that runs a revision.
func (l *launcher) interpreter(rev *function.Spec) (toolchain.Interpreter, error) {
	var there []string
	for _, i := range l.interpreters {
		if i.Runtime == rev.Runtime {
			return i, nil
		}
		if i.Kind == rev.Kind {
			there = append(there, i.Runtime)
		}
	}
	lang, _ := language.Of(rev.Kind)
	what := "no " + lang.Name + " at all is"
	if len(there) > 0 {
		what = "this machine has " + strings.Join(there, ", ")
	} else {
		what += " found on this machine"
	}
	return toolchain.Interpreter{}, fmt.Errorf("%s %s is needed for %s, and %s: install it, or name it in workers.interpreters, and start the server again",
		lang.Name, lang.Release(rev.Runtime), rev.Runtime, what)
}

// prepare fails for a revision that can never run here.
func (l *launcher) prepare(ctx context.Context, rev *store.Revision) error {
	u, err := l.code.open(ctx, rev.Spec.CodeSHA256)
	if err != nil {
		return err
	}
	var elsewhere func(string) bool
	if f := l.elsewhere.Load(); f != nil {
		elsewhere = func(driver string) bool { return f.HasDriver(ctx, driver) }
	}
	if err := l.drivers(&rev.Spec, elsewhere); err != nil {
		return err
	}
	if rev.Spec.Kind == function.KindProvided {
		return nil
	}
	if _, ok := language.Of(rev.Spec.Kind); ok {
		_, err = l.interpreter(&rev.Spec)
		return err
	}
	_, err = launch.SelectJDK(l.jdks, u.info.JavaVersion)
	return err
}
