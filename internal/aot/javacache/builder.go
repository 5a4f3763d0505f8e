// Package javacache is the aot.Builder that makes what a JVM starts sooner with: a cache of the classes that one
// worker loaded, linked already (JDK 24 and newer), or an archive of their data (AppCDS, 17 to 23).
//
// A JVM checks little of what a cache was made of: 25.0.3 takes one that was made of other JARs, and of a
// damaged one it may crash. So what a cache needs is written beside it and compared before each start
// (Check). The package knows nothing of policies, pipelines or HTTP, nor how code came to be where it is.
package javacache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/aot/keep"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/launch"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// Options of a builder. Cache and Request are required.
type Options struct {
	// Cache is the folder for everything that is kept, and for scratch. Builders of several processes may
	// share it.
	Cache string
	// Request says how a worker of a revision is started on this machine: Revision, Paths and Platform.
	Request func(ctx context.Context, rev *function.Spec) (launch.Request, error)
	// Runner runs the JVM that assembles a cache; without one nothing is made.
	Runner worker.Runner
}

// Builder makes caches. It implements aot.Builder.
type Builder struct {
	opts     Options
	store    *keep.Store
	flight   keep.Flight
	verified sync.Map // path of a touched cache's file -> identity that it was found good with
}

var _ keep.Movable = (*Builder)(nil)

// New opens the cache folder and removes what killed builds left in it.
func New(opts Options) (*Builder, error) {
	if opts.Cache == "" || opts.Request == nil {
		return nil, errors.New("open cache builder: Cache and Request are required")
	}
	store, err := keep.Open(opts.Cache)
	if err != nil {
		return nil, err
	}
	return &Builder{opts: opts, store: store}, nil
}

// Name implements aot.Builder.
func (b *Builder) Name() string { return ladder.BuilderCache }

// recipe is everything that a cache depends on, besides the code of this package and of launch, whose changes
// that matter are counted by format.
type recipe struct {
	Format    int           `json:"format"`
	JDK       string        `json:"jdk"`
	Code      string        `json:"code"`
	Kind      function.Kind `json:"kind"`
	ClassPath []string      `json:"classPath"` // hashes of the platform's JARs, names of the archive's
	Modules   []string      `json:"modules"`
	Options   []string      `json:"options"` // the user's
	Recording string        `json:"recording"`
}

const format = 2

// Key implements aot.Builder. It asks Options.Request.
func (b *Builder) Key(req *aot.Request) (aot.Key, error) {
	r, err := b.request(context.Background(), req)
	if err != nil {
		return "", err
	}
	return key(req, &r)
}

func (b *Builder) request(ctx context.Context, req *aot.Request) (launch.Request, error) {
	r, err := b.opts.Request(ctx, req.Revision)
	if err != nil {
		return r, &aot.Error{Class: aot.ClassTool, Reason: "the function cannot be started here", Err: err}
	}
	r.Rung = req.Rung
	return r, nil
}

func key(req *aot.Request, r *launch.Request) (aot.Key, error) {
	jdk, err := aot.JDKIdentity(r.Paths.JDK.Home)
	if err != nil {
		return "", &aot.Error{Class: aot.ClassTool, Reason: "the JDK cannot be read", Err: err}
	}
	c := recipe{
		Format: format, JDK: jdk, Code: req.Revision.CodeSHA256, Kind: req.Revision.Kind,
		ClassPath: slices.Clone(r.Paths.ClassPath), Modules: r.Paths.ModuleOptions,
	}
	for _, name := range []string{"JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS"} {
		c.Options = append(c.Options, req.Revision.Environment[name])
	}
	if req.Revision.Kind == function.KindHandler {
		for _, file := range []string{r.Paths.Runtime, r.Paths.Serialization} {
			if file == "" {
				continue
			}
			sum, err := hashFile(file)
			if err != nil {
				return "", &aot.Error{Class: aot.ClassTool, Reason: "the runtime client cannot be read", Err: err}
			}
			c.ClassPath = append(c.ClassPath, sum)
		}
	}
	if c.Recording, err = hashFile(req.Recording.File); err != nil {
		return "", &aot.Error{Class: aot.ClassMetadata, Reason: "the recording cannot be read", Err: err}
	}
	doc, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("make build key: %w", err)
	}
	sum := sha256.Sum256(doc)
	return aot.Key(hex.EncodeToString(sum[:])), nil
}

// Lookup implements aot.Builder. Whether the class path still fits, Check knows.
func (b *Builder) Lookup(key aot.Key) (*aot.Result, bool) {
	r, ok := b.store.Lookup(key, fitName)
	if !ok {
		return nil, false
	}
	f, err := readFit(r.Dir)
	if err == nil {
		err = errors.Join(b.intact(r.Dir, f), f.jdkFits(f.Home))
	}
	return r, err == nil
}

// Drop implements aot.Builder.
func (b *Builder) Drop(key aot.Key) error {
	if r, ok := b.store.Lookup(key, fitName); ok {
		if f, err := readFit(r.Dir); err == nil {
			b.verified.Delete(f.path(r.Dir))
		}
	}
	return b.store.Remove(key)
}

// Digest implements aot.Movable.
func (b *Builder) Digest(key aot.Key) (string, error) { return b.store.Digest(key) }

// Kept implements keep.Movable.
func (b *Builder) Kept() *keep.Store { return b.store }

// Keys are the finished caches, in no order.
func (b *Builder) Keys() ([]aot.Key, error) { return b.store.Keys() }

// Check reports why the cache in a folder must not be used by a worker that is to be started so; the error
// wraps aot.ErrStale. It reads some kilobytes, and the whole cache only where that was touched.
func (b *Builder) Check(dir string, r *launch.Request) error {
	f, err := readFit(dir)
	if err == nil {
		err = errors.Join(b.intact(dir, f), f.jdkFits(r.Paths.JDK.Home), f.classPathFits(r.ClassPathFiles()))
	}
	if err != nil {
		return fmt.Errorf("%w: %s", aot.ErrStale, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return nil
}

// hashFile is the hex SHA-256 of a regular file.
func hashFile(file string) (string, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !st.Mode().IsRegular() {
		return "", fmt.Errorf("%s is no file but %v", file, st.Mode().Type())
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(f, st.Size())); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
