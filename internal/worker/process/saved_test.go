package process

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/workertest"
)

// installedCRIU is the folder that "cloudjit toolchain install criu" filled, or the test ends: "make test" runs that.
func installedCRIU(t testing.TB) string {
	t.Helper()
	found := findInstalledCRIU(t)
	if found == "" {
		t.Skip("SKIPPED: there is no CRIU: bin/cloudjit toolchain install criu")
	}
	return found
}

// findInstalledCRIU is the same; empty where there is none.
func findInstalledCRIU(t testing.TB) string {
	t.Helper()
	cache := os.Getenv("CLOUDJIT_CACHE")
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		cache = filepath.Join(user, "cloudjit")
	}
	found, _ := filepath.Glob(filepath.Join(cache, "toolchains", "criu-*", criuProgram))
	if len(found) == 0 {
		return ""
	}
	return strings.TrimSuffix(found[len(found)-1], criuProgram)
}

// copies is a driver whose workers are all restored from one that was started, saved and stopped.
type copies struct {
	*Driver
	dir string
}

func (c *copies) Start(ctx context.Context, spec worker.Spec) (worker.Worker, error) {
	first := spec
	first.ID, first.Savable = spec.ID+"-saved", true
	w, err := c.Driver.Start(ctx, first)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(c.dir, first.ID)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	if err := w.(worker.Snapshotter).Snapshot(ctx, dir); err != nil {
		_ = w.Stop(ctx, 0)
		return nil, err
	}
	if err := w.Stop(ctx, 0); err != nil {
		return nil, err
	}
	spec.Restore = dir
	return c.Driver.Start(ctx, spec)
}

func newCopies(t testing.TB) worker.Driver {
	d := newDriver(t, Options{CRIU: installedCRIU(t)})
	if !d.Capabilities().Snapshot {
		t.Fatalf("workers cannot be saved: %v", d.Capabilities().Weaker)
	}
	return &copies{Driver: d, dir: t.TempDir()}
}

func savedSpec(t testing.TB, g workertest.Guest) worker.Spec {
	spec := guestSpec(t, g)
	// CRIU does not know the protocol that Go listens with.
	spec.Env = append(spec.Env, "GODEBUG=multipathtcp=0")
	return spec
}

// A restored worker is held to what other workers are held to, in the same sandbox.
func TestRestoredConformance(t *testing.T) {
	installedCRIU(t)
	workertest.Suite{New: newCopies, Spec: savedSpec, Init: true}.Run(t)
}
