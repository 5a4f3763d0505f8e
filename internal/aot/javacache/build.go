package javacache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/aot/keep"
	"github.com/cloudjit/cloudjit/internal/launch"
	"github.com/cloudjit/cloudjit/internal/seal"
	"github.com/cloudjit/cloudjit/internal/worker"
)

const (
	// maxMemoryMiB is what the JVM that assembles a cache gets, where builds may have as much: three times what
	// a Spring Boot application with JPA takes (600 MiB).
	maxMemoryMiB = 2048
	// maxCache is the largest cache that is kept, in bytes.
	maxCache = 1 << 30
)

// Build implements aot.Builder. Callers of an equal key wait for the first one's build, whose Log and Progress
// alone are used.
func (b *Builder) Build(ctx context.Context, req *aot.Request) (*aot.Result, error) {
	if req.Same != "" { // rungs differ in how a JVM runs, not in its cache
		if done, ok := b.Lookup(req.Same); ok {
			return done, nil
		}
	}
	r, err := b.request(ctx, req)
	if err != nil {
		return nil, err
	}
	key, err := key(req, &r)
	if err != nil {
		return nil, err
	}
	if done, ok := b.Lookup(key); ok {
		return done, nil
	}
	return b.flight.Do(ctx, key, func(ctx context.Context) (*aot.Result, error) {
		j := &job{b: b, req: req, launch: r, begin: time.Now()}
		result, err := j.do(ctx, key)
		if err != nil {
			return nil, j.end(ctx, err)
		}
		return result, nil
	})
}

// job is one build while it runs.
type job struct {
	b       *Builder
	req     *aot.Request
	launch  launch.Request
	scratch *keep.Scratch
	begin   time.Time
	cost    aot.Cost
}

// end makes an *aot.Error of whatever ended a build.
func (j *job) end(ctx context.Context, err error) *aot.Error {
	var e *aot.Error
	switch {
	case errors.As(err, &e):
	case ctx.Err() != nil:
		e = keep.Cancelled(ctx.Err())
	case errors.Is(err, context.DeadlineExceeded):
		e = &aot.Error{Class: aot.ClassTime, Reason: fmt.Sprintf("the cache took longer than %s to make", j.req.Limits.Time), Hint: "allow builds more time", Err: err}
	case errors.Is(err, launch.ErrNoJava):
		e = &aot.Error{Class: aot.ClassTool, Reason: err.Error(), Err: err}
	default:
		e = &aot.Error{Class: aot.ClassTool, Reason: "the cache could not be made: " + err.Error(), Err: err}
	}
	j.cost.Wall = time.Since(j.begin)
	e.Cost = j.cost
	return e
}

// do makes the cache of a key that is not there, alone among all processes that share the folder.
func (j *job) do(ctx context.Context, key aot.Key) (_ *aot.Result, err error) {
	if j.req.Limits.Time > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, j.req.Limits.Time)
		defer cancel()
	}
	release, err := j.b.store.Lock(ctx, key)
	if err != nil {
		return nil, err
	}
	defer release()
	if r, ok := j.b.Lookup(key); ok {
		return r, nil // another process made it
	}
	// Before the work, so that what changes meanwhile makes the cache unfit and not wrong.
	f := &fit{Home: j.launch.Paths.JDK.Home}
	if f.JDK, err = aot.JDKIdentity(f.Home); err != nil {
		return nil, err
	}
	if f.ClassPath, err = aot.LookAll(j.launch.ClassPathFiles()); err != nil {
		return nil, &aot.Error{Class: aot.ClassUser, Reason: "its class path is not made of JARs alone", Err: err}
	}
	if j.scratch, err = j.b.store.Scratch(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, j.scratch.Remove()) }()
	for _, d := range []string{"in", "out", "artifact"} {
		if err := os.Mkdir(filepath.Join(j.scratch.Dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	made, err := j.make(ctx)
	if err != nil {
		return nil, err
	}
	return j.keep(key, f, made)
}

// make returns the file of the cache, which is hostile still.
func (j *job) make(ctx context.Context) (string, error) {
	recording := filepath.Join(j.scratch.Dir, "in", filepath.Base(j.req.Recording.File))
	if err := keep.Copy(j.req.Recording.File, recording); err != nil {
		return "", fmt.Errorf("read the recording: %w", err)
	}
	if err := checkList(recording); err != nil {
		return "", err
	}
	if j.b.opts.Runner == nil {
		return "", errors.New("this driver runs no jobs")
	}
	j.progress("assemble")
	r := j.launch
	r.ID = ulid.Make().String()
	r.Paths.Artifact = filepath.Join(j.scratch.Dir, "out")
	r.Limits = worker.Limits{MemoryMiB: maxMemoryMiB, CPUs: j.req.Limits.CPUs}
	if l := j.req.Limits.MemoryMiB; l > 0 {
		r.Limits.MemoryMiB = min(l, maxMemoryMiB)
	}
	spec, err := launch.Assemble(r, recording)
	if err != nil {
		return "", err
	}
	spec.Rung = j.req.Rung.Name
	tail := &tail{to: j.req.Log}
	spec.Output = tail
	done, err := j.b.opts.Runner.Run(ctx, spec)
	if err != nil {
		return "", err
	}
	j.cost.CPU, j.cost.PeakRSS = done.CPU, done.PeakRSS
	if done.Exit.Code != 0 {
		return "", failed(done.Exit, tail.text(), r.Limits.MemoryMiB)
	}
	return filepath.Join(r.Paths.Artifact, launch.CacheFile), nil
}

// listHead is what a JVM begins a list of classes with.
const listHead = "# NOTE: Do not modify this file."

// checkList refuses what is no recording at all, for a reason that can be read.
func checkList(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, len(listHead))
	if _, _ = io.ReadFull(f, head); string(head) != listHead {
		return &aot.Error{Class: aot.ClassMetadata, Reason: "what the worker left is no list of classes"}
	}
	return nil
}

// failed says why the JVM made no cache. It fails of the same recording again.
func failed(exit worker.Exit, log string, memoryMiB int) *aot.Error {
	if exit.OutOfMemory || strings.Contains(log, "OutOfMemoryError") || strings.Contains(log, "insufficient memory") {
		return &aot.Error{Class: aot.ClassMemory, Reason: fmt.Sprintf("the JVM ran out of its %d MiB of memory while it made the cache", memoryMiB), Hint: "allow builds more memory"}
	}
	if strings.Contains(log, "No space left") {
		return &aot.Error{Class: aot.ClassTool, Reason: "there was no space left for the cache"}
	}
	reason := "the JVM made no cache of the recording (" + exit.String() + ")"
	if line := reasonLine.FindStringSubmatch(log); line != nil {
		reason += ": " + strings.TrimSpace(line[1])
	}
	return &aot.Error{Class: aot.ClassMetadata, Reason: reason}
}

// reasonLine is what a JVM ends with.
var reasonLine = regexp.MustCompile(`(?m)^(?:Error occurred during .*\n|.*\[error *\]\[[^\]]*\] ?)(.{1,300})`)

// keep publishes the cache.
func (j *job) keep(key aot.Key, f *fit, made string) (*aot.Result, error) {
	j.progress("keep")
	st, err := os.Lstat(made)
	if err != nil || !st.Mode().IsRegular() || st.Size() == 0 || st.Size() > maxCache {
		return nil, &aot.Error{Class: aot.ClassTool, Reason: "the JVM ended well but left no cache", Err: err}
	}
	dir := filepath.Join(j.scratch.Dir, "artifact")
	to := filepath.Join(dir, launch.CacheFile)
	err = os.Rename(made, to)
	if err == nil {
		err = errors.Join(os.Lchown(to, os.Geteuid(), os.Getegid()), os.Chmod(to, 0o444))
	}
	if err == nil {
		f.Cache, err = aot.Look(to)
	}
	if err == nil {
		f.SHA256, err = hashFile(to)
	}
	if err == nil {
		f.Seen, err = seal.Identify(to)
	}
	if err != nil {
		return nil, err
	}
	doc, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, fitName), doc, 0o644); err != nil {
		return nil, err
	}
	j.cost.Wall, j.cost.Size = time.Since(j.begin), st.Size()
	r := &aot.Result{Key: key, Cost: j.cost}
	if err := j.b.store.Publish(key, dir, r); err != nil {
		return nil, err
	}
	return r, nil
}

func (j *job) progress(phase string) {
	if j.req.Progress != nil {
		j.req.Progress(phase)
	}
}

// tail passes output on and keeps its end. It never fails.
type tail struct {
	mu   sync.Mutex
	to   io.Writer
	kept []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.to != nil {
		if _, err := t.to.Write(p); err != nil {
			t.to = nil
		}
	}
	const enough = 16 << 10
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - enough; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(p), nil
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept)
}
