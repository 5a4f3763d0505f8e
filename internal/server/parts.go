package server

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/aot/javacache"
	"github.com/cloudjit/cloudjit/internal/aot/metarepo"
	"github.com/cloudjit/cloudjit/internal/aot/nativeimage"
	"github.com/cloudjit/cloudjit/internal/aot/snapshot"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/jar"
	"github.com/cloudjit/cloudjit/internal/metadata"
	"github.com/cloudjit/cloudjit/internal/telemetry"
	"github.com/cloudjit/cloudjit/internal/toolchain"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/process"
)

// newProcess makes the driver of processes, which virtual machines and builds run in, too.
func newProcess(ctx context.Context, c config.Config, data, cache string) (*process.Driver, error) {
	criu, err := toolchain.FindCRIU(ctx, cache)
	o := process.Options{Dir: filepath.Join(data, "workers"), ShareNetwork: c.Workers.Network == "host",
		Users: process.Users(c.Workers.Users), CRIU: criu}
	if err != nil {
		o.NoCRIU = err.Error()
	}
	if c.Snapshots.Key != "" {
		if o.SnapshotKey, err = readKey(c.Snapshots.Key); err != nil {
			return nil, fmt.Errorf("snapshots.key: %w", err)
		}
	}
	return process.New(o)
}

// readKey reads the key of snapshots.
func readKey(file string) ([]byte, error) {
	st, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("others may read %s: chmod 600 %s", file, file)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(key) != process.KeySize {
		return nil, fmt.Errorf("%s: want %d random bytes in base64: openssl rand -base64 %d", file, process.KeySize, process.KeySize)
	}
	return key, nil
}

// newBuilders makes the builders that this machine has what it takes for.
func newBuilders(ctx context.Context, opt Options, data string, l *launcher, driver *drivers, limits jar.Limits) ([]aot.Builder, error) {
	var builders []aot.Builder
	if len(l.jdks) > 0 {
		caches, err := javacache.New(javacache.Options{Cache: filepath.Join(opt.Cache, "aot"), Request: l.java, Runner: driver.process})
		if err != nil {
			return nil, fmt.Errorf("start the builder of AOT caches: %w", err)
		}
		l.caches = caches
		builders = append(builders, caches)
	}
	if driver.saves() {
		snapshots, err := snapshot.New(snapshot.Options{Cache: filepath.Join(data, "snapshots"), Driver: driver, Request: l.managed})
		if err != nil {
			return nil, fmt.Errorf("start the builder of snapshots: %w", err)
		}
		l.snapshots = snapshots
		builders = append(builders, snapshots)
	}
	native, err := newNative(ctx, opt, l, driver.process, limits)
	if native != nil {
		builders = append(builders, native)
	}
	return builders, err
}

// newNative makes the builder of binaries on the best tool chain here; nil without one.
func newNative(ctx context.Context, opt Options, l *launcher, runner worker.Runner, limits jar.Limits) (aot.Builder, error) {
	found, rejected := toolchain.Find(toolchain.FindOptions{GraalVMHome: opt.Config.Builder.GraalVM, Cache: opt.Cache})
	if opt.Config.Builder.GraalVM != "" && (len(found) == 0 || found[0].Home != opt.Config.Builder.GraalVM) {
		for _, r := range rejected {
			if r.Home == opt.Config.Builder.GraalVM {
				return nil, fmt.Errorf("builder.graalvm: %s: %s", r.Home, r.Reason)
			}
		}
	}
	if len(found) == 0 {
		opt.Log.Warn("no native-image found: no function gets a binary",
			"hint", `install one with "cloudjit toolchain install", and start again`)
		return nil, nil
	}
	tc := found[0]
	opt.Log.Info("native-image found", "home", tc.Home, "version", tc.Version, "kind", string(tc.Kind))
	builds := opt.Builds
	if builds == "" {
		builds = filepath.Join(opt.Cache, "native")
	}
	unprofiled, uninlined := tc.Profiles(ctx), tc.Inlines()
	if unprofiled != nil && uninlined != nil {
		opt.Log.Info("no binary is made with a profile", telemetry.KeyReason, errors.Join(unprofiled, uninlined))
	}
	b, err := nativeimage.New(nativeimage.Options{
		Home: tc.Home, ID: string(tc.Kind) + "-" + tc.Edition + "-" + filepath.Base(tc.Home) + "-" + tc.Version, Runtime: l.runtime, Serialization: l.serialization,
		Tracer: &metadata.Tracer{Jar: l.tracer}, Image: l.image, Patch: tc.Patches, Profiles: unprofiled == nil, Inlines: uninlined == nil,
		Cache: builds, Repository: metarepo.Known(opt.Cache), Archive: limits, Runner: runner,
	})
	if err != nil {
		return nil, fmt.Errorf("start builder: %w", err)
	}
	return b, nil
}
