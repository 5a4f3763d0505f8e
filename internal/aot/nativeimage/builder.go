// Package nativeimage is the aot.Builder that makes native binaries with GraalVM Native Image.
//
// It turns an uploaded archive into a class path, merges metadata from all sources, does what
// a framework needs at build time, runs native-image in a sandbox of the worker driver, and keeps the
// binary under the hash of everything that it was made from. It knows nothing of policies,
// pipelines, workers or HTTP; where the tool chain comes from is internal/toolchain's matter.
//
// Layout of the cache folder:
//
//	images/ab/abcd.../   one finished build: function, its shared libraries, result.json, build.log
//	logs/abcd....log     the log of a key's last failed build
//	locks/abcd...        one build of a key at a time, among processes too
//	scratch/…/           one build each, locked while it runs; removed by the next New if not
package nativeimage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/aot/keep"
	"github.com/cloudjit/cloudjit/internal/aot/metarepo"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/jar"
	"github.com/cloudjit/cloudjit/internal/metadata"
	"github.com/cloudjit/cloudjit/internal/seal"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// Options of a builder. Home, ID and Cache are required.
type Options struct {
	// Home is the folder whose bin/native-image is run.
	Home string
	// ID names the tool chain with all its versions; a part of every key.
	ID string
	// JDK is the home of the JDK that the tool chain stands on; it runs and compiles what
	// frameworks need before the image. Empty: Home.
	JDK string
	// Runtime is the path of the Java runtime client, which handlers are compiled with;
	// Serialization is that of the published aws-lambda-java-serialization, to which the client
	// leaves what it does not do itself. Empty: left out.
	Runtime, Serialization string
	// Tracer records what an application does in rehearsals that its framework makes possible;
	// nil: without.
	Tracer *metadata.Tracer
	// Image is the JAR with what takes part in building images (java/image); empty: without it
	// classes that HotSpot cannot link are left as they are, and some lambdas cannot be reflected on.
	Image string
	// Patch: the builder's classes can be exchanged (toolchain.Toolchain). Needs Image.
	Patch bool
	// Profiles: the builder makes binaries that take profiles, and builds with them (toolchain.Toolchain.Profiles).
	Profiles bool
	// Inlines: our inliner can be a part of the builder, so that it makes binaries with what HotSpot's compiler found out
	// (toolchain.Toolchain.Inlines). Needs Image. Profiles, where there are, come first.
	Inlines bool
	// Cache is the folder for everything that is kept, and for scratch. Builders of several
	// processes may share it.
	Cache string
	// Repository is where the community's reachability metadata is; nil: not used.
	Repository *metarepo.Source
	// March is native-image's -march; empty: "compatibility", so that a binary may move to another machine.
	March string
	// Optimize are the options of the optimized level; none: Optimized.
	Optimize []string
	// Extra are more options of native-image, after all others.
	Extra []string
	// Runner runs the tools, each in a sandbox; without one nothing is made.
	Runner worker.Runner
	// Archive are the limits that code was accepted with.
	Archive jar.Limits
}

// Builder makes native images. It implements aot.Builder.
type Builder struct {
	opts    Options
	store   *store
	runtime string // hash of the runtime client and its library
	tracer  string // hash of the tracer
	image   string // hash of the JAR Image
	flight  keep.Flight
}

var (
	_ keep.Movable = (*Builder)(nil)
	_ aot.Choosy   = (*Builder)(nil)
)

// New opens the cache folder and removes the scratch that killed builds left in it. Of what ran there nothing
// is left: that is the Runner's.
func New(opts Options) (*Builder, error) {
	if opts.Home == "" || opts.ID == "" || opts.Cache == "" {
		return nil, errors.New("open native-image builder: Home, ID and Cache are required")
	}
	tool := filepath.Join(opts.Home, "bin", "native-image")
	if _, err := os.Stat(tool); err != nil {
		return nil, fmt.Errorf("open native-image builder: %w", err)
	}
	if opts.JDK == "" {
		opts.JDK = opts.Home
	}
	if opts.March == "" {
		opts.March = "compatibility"
	}
	if len(opts.Optimize) == 0 {
		opts.Optimize = Optimized
	}
	b := &Builder{opts: opts}
	var err error
	if b.runtime, err = hashFiles(opts.Runtime, opts.Serialization); err != nil {
		return nil, fmt.Errorf("open native-image builder: read runtime client: %w", err)
	}
	if opts.Tracer != nil {
		if b.tracer, err = hashFiles(opts.Tracer.Jar); err != nil {
			return nil, fmt.Errorf("open native-image builder: read tracer: %w", err)
		}
	}
	if b.image, err = hashFiles(opts.Image); err != nil {
		return nil, fmt.Errorf("open native-image builder: read %s: %w", opts.Image, err)
	}
	if b.store, err = openStore(opts.Cache); err != nil {
		return nil, err
	}
	return b, nil
}

// Name implements aot.Builder.
func (b *Builder) Name() string { return "native-image" }

// recipe is everything that a binary depends on, besides the code of this package, whose
// changes that matter are counted by format.
type recipe struct {
	Format     int               `json:"format"`
	Code       string            `json:"code"`
	Kind       function.Kind     `json:"kind"`
	Handler    string            `json:"handler"`
	MainClass  string            `json:"mainClass"`
	Metadata   string            `json:"metadata"`
	Toolchain  string            `json:"toolchain"`
	Runtime    string            `json:"runtime"`
	Tracer     string            `json:"tracer"`
	Image      string            `json:"image"`
	Repository string            `json:"repository"`
	Level      string            `json:"level"`
	Options    []string          `json:"options"`
	Env        map[string]string `json:"env"`
	Patch      bool              `json:"patch,omitempty"`
	Locale     string            `json:"locale,omitempty"`
	Profiles   string            `json:"profiles,omitempty"`
}

const format = 6

// Key implements aot.Builder.
func (b *Builder) Key(req *aot.Request) (aot.Key, error) {
	set, err := parseMetadata(req.Recording.Document)
	if err != nil {
		return "", err
	}
	// The first option of the optimized level was always part of a key, and the keys of quick binaries stay.
	options := append([]string{b.opts.March}, b.opts.Optimize[:1]...)
	profiles, err := hashProfiles(req)
	if err != nil {
		return "", err
	}
	switch {
	case b.inlines(req.Rung.Options):
		options = append(options, inlinedOptions()...)
	case optimized(req.Rung.Options):
		options = append(options, b.opts.Optimize[1:]...)
	}
	r := recipe{
		Format: format, Code: req.Revision.CodeSHA256, Kind: req.Revision.Kind,
		Metadata: set.Hash(), Toolchain: b.opts.ID, Image: b.image, Patch: b.opts.Patch, Level: req.Rung.Options,
		Locale: configuredLocale(req.Revision.Environment), Profiles: profiles,
		Options: append(append(options, assertions(req.Revision.Environment)...), b.opts.Extra...),
	}
	if b.opts.Repository != nil {
		r.Repository = b.opts.Repository.Version
	}
	if req.Revision.Kind == function.KindHandler {
		r.Handler, r.Runtime = req.Revision.Handler, b.runtime
	} else {
		r.MainClass = req.Revision.MainClass
	}
	if req.Revision.Kind != function.KindHandler || startsSpring(req.Revision.Handler, set) {
		// Spring decides by the environment, at build time, which beans there are.
		r.Tracer, r.Env = b.tracer, req.Revision.Environment
	}
	doc, err := json.Marshal(r) // maps are written in the order of their keys
	if err != nil {
		return "", fmt.Errorf("make build key: %w", err)
	}
	sum := sha256.Sum256(doc)
	return aot.Key(hex.EncodeToString(sum[:])), nil
}

func parseMetadata(b []byte) (*metadata.Set, error) {
	if len(b) == 0 {
		return nil, nil
	}
	set, err := metadata.Parse(b)
	if err != nil {
		return nil, &aot.Error{Class: aot.ClassMetadata, Reason: "the function's metadata cannot be read", Err: err}
	}
	return set.ForImage(), nil
}

// Lookup implements aot.Builder.
func (b *Builder) Lookup(key aot.Key) (*aot.Result, bool) { return b.store.lookup(key) }

// Log returns the kept log of a key's build: of the binary if there is one, else of the last
// failed try. At most 1 MiB; fs.ErrNotExist if there is none.
func (b *Builder) Log(key aot.Key) ([]byte, error) { return b.store.log(key) }

// Drop implements aot.Builder.
func (b *Builder) Drop(key aot.Key) error { return b.store.Remove(key) }

// Digest implements aot.Movable.
func (b *Builder) Digest(key aot.Key) (string, error) { return b.store.Digest(key) }

// Kept implements keep.Movable.
func (b *Builder) Kept() *keep.Store { return b.store.Store }

// Keys are the finished builds, in no order.
func (b *Builder) Keys() ([]aot.Key, error) { return b.store.Keys() }

// Build implements aot.Builder. Callers of an equal key wait for the first one's build, whose
// Log and Progress alone are used; it is cancelled when all of them have gone.
func (b *Builder) Build(ctx context.Context, req *aot.Request) (*aot.Result, error) {
	key, err := b.Key(req)
	if err != nil {
		return nil, err
	}
	if r, ok := b.store.lookup(key); ok {
		return r, nil
	}
	own := *req
	if own.Log == nil {
		own.Log = io.Discard
	}
	if own.Progress == nil {
		own.Progress = func(string) {}
	}
	return b.flight.Do(ctx, key, func(ctx context.Context) (*aot.Result, error) { return b.build(ctx, key, &own) })
}

// hashFiles joins the hashes of the files that are named.
func hashFiles(paths ...string) (string, error) {
	all := ""
	for _, p := range paths {
		if p == "" {
			continue
		}
		sum, err := seal.Sum(p)
		if err != nil {
			return "", err
		}
		all += sum
	}
	return all, nil
}

// environment is a map as the sorted "K=V" list of a process.
func environment(env map[string]string) []string {
	out := make([]string, 0, len(env))
	for _, k := range slices.Sorted(maps.Keys(env)) {
		out = append(out, k+"="+env[k])
	}
	return out
}
