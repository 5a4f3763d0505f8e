package nativeimage

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/oklog/ulid/v2"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// command is one tool to run for a build. It handles what a user uploaded, and most run it: so it runs in a
// sandbox, which shows it the build's folder and the tool chain, read-only and by the paths that they have here.
type command struct {
	path string
	args []string
	env  []string // the whole environment
	// out is what the tool may write into besides /tmp. Only what of it has a name comes out.
	out []worker.Folder
}

// ending is how a tool ended.
type ending struct {
	code        int  // exit code; -1 if by a signal
	killed      bool // by the kernel, or by somebody
	outOfMemory bool // by the kernel at the memory limit
}

func (e ending) ok() bool { return e.code == 0 }

// Limits of a build's sandbox that nobody sets.
const (
	tmpDir      = "/tmp"
	tmpMiB      = 2048 // object files, as large as the binary each
	outMiB      = 1024
	outFiles    = 64
	treeMiB     = 256 // of generated sources, classes and resources
	treeFiles   = 1 << 16
	maxPIDs     = 1024
	sandboxName = "build-"
)

// withFiles adds to a limit of memory what a tool writes, object files and binary: on a disk the kernel could
// have written that out, and on a tmpfs it stays.
func withFiles(limitMiB int) int { return limitMiB + min(limitMiB/8, 256) }

// tree is a folder of the build's that a tool fills with files of any names.
func tree(dir string) worker.Folder {
	return worker.Folder{Target: dir, Keep: dir, Names: []string{"**"}, MiB: treeMiB, Files: treeFiles}
}

// run runs a tool to its end. When ctx ends, everything that it started is killed. It returns when nothing of
// it is left.
func (j *job) run(ctx context.Context, c command) (ending, error) {
	fmt.Fprintf(j.log, runLine+"%s %s\n", c.path, strings.Join(c.args, " "))
	if err := ctx.Err(); err != nil {
		return ending{}, err
	}
	if j.b.opts.Runner == nil {
		return ending{}, errors.New("this driver runs no jobs, and builds run nowhere else")
	}
	rev := *j.req.Revision
	rev.MemoryMiB, rev.TmpMiB = 0, 0 // are its workers'
	done, err := j.b.opts.Runner.Run(ctx, worker.Spec{
		ID: sandboxName + ulid.Make().String(), Revision: &rev, Rung: j.req.Rung.Name,
		Path: c.path, Args: c.args, Dir: tmpDir, Env: c.env, Mounts: j.inputs(), Folders: c.out, Output: j.log,
		Limits: worker.Limits{MemoryMiB: withFiles(j.req.Limits.MemoryMiB), CPUs: j.req.Limits.CPUs, TmpMiB: tmpMiB, PIDs: maxPIDs},
	})
	if done != nil {
		j.usage.add(done)
	}
	if ctx.Err() != nil {
		return ending{}, ctx.Err()
	}
	var hostile *worker.KeepError
	if errors.As(err, &hostile) {
		return ending{}, &aot.Error{Class: aot.ClassUser, Reason: "the build left what cannot be kept: " + hostile.Error(), Err: err}
	}
	if err != nil {
		return ending{}, fmt.Errorf("run %s: %w", c.path, err)
	}
	return ending{code: done.Exit.Code, killed: done.Exit.Signal == "killed", outOfMemory: done.Exit.OutOfMemory}, nil
}

// inputs are all that a tool sees besides the system: what this build was given and has made so far, and
// the tool chain.
func (j *job) inputs() []worker.Mount {
	o := &j.b.opts
	paths := []string{j.scratch.Dir, o.Home, o.JDK}
	// An assembled tool chain is made of links into a JDK.
	for _, home := range []string{o.Home, o.JDK} {
		if java, err := filepath.EvalSymlinks(filepath.Join(home, "bin", "java")); err == nil {
			paths = append(paths, filepath.Dir(filepath.Dir(java)))
		}
	}
	paths = append(paths, o.Runtime, o.Serialization, o.Image)
	if o.Tracer != nil {
		paths = append(paths, o.Tracer.Jar)
	}
	var mounts []worker.Mount
	seen := map[string]bool{"": true}
	for _, p := range paths {
		if !seen[p] {
			seen[p] = true
			mounts = append(mounts, worker.Mount{Source: p, Target: p})
		}
	}
	return mounts
}
