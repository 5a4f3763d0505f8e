package microvm

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/assets"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/toolchain"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/process"
	"github.com/cloudjit/cloudjit/internal/worker/workertest"
)

func TestMain(m *testing.M) {
	if isStandIn() {
		standInMain()
	}
	workertest.Main()
	os.Exit(m.Run())
}

// guest makes the guest that all tests boot, in the cache.
func testGuest(t testing.TB) Guest {
	t.Helper()
	cache := config.CacheDir()
	agent, err := assets.Install(filepath.Join(cache, "assets"), assets.Agent)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	dir, err := toolchain.BuildGuest(ctx, toolchain.GuestOptions{Cache: cache, Agent: agent})
	if err != nil {
		t.Fatal(err)
	}
	return Guest{Kernel: filepath.Join(dir, toolchain.GuestKernel), Init: filepath.Join(dir, toolchain.GuestInit)}
}

// TestGuest makes the guest, for the others and for scripts/test-firecracker.
func TestGuest(t *testing.T) { t.Logf("the guest is in %s", filepath.Dir(testGuest(t).Kernel)) }

func newDriver(t testing.TB) *Driver {
	t.Helper()
	return newDriverWith(t, process.Options{})
}

// realFirecracker is the program that tests of real guests use in the place of QEMU; empty: QEMU. Where a guest boots with KVM, the
// tests can be run so as they are; scripts/test-firecracker runs them in a machine whose KVM is emulated.
var realFirecracker = os.Getenv("CLOUDJIT_TEST_FIRECRACKER")

// slow is how many times as long as with processes everything may take.
func slow() int {
	if realFirecracker != "" {
		return 20
	}
	return 6
}

func newDriverWith(t testing.TB, o process.Options, more ...func(o *Options)) *Driver {
	t.Helper()
	o.Dir = filepath.Join(t.TempDir(), "process")
	inner, err := process.New(o)
	if err != nil {
		t.Fatal(err)
	}
	options := Options{Guest: testGuest(t), Images: filepath.Join(config.CacheDir(), "guest", "images"), Process: inner, Accel: "tcg"}
	if realFirecracker != "" {
		options.Monitor, options.Firecracker, options.Accel, options.nested = "firecracker", realFirecracker, "kvm", true
	}
	for _, f := range more {
		f(&options)
	}
	d, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// guestSpec runs this test binary as the program inside.
func guestSpec(t testing.TB, g workertest.Guest) worker.Spec {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return worker.Spec{
		Path: "/var/task/guest", Dir: "/var/task",
		Env:       []string{workertest.Env + "=" + string(g), "WORKERTEST_TRACE=/trace", "PATH=/usr/bin:/bin"},
		Mounts:    []worker.Mount{{Source: exe, Target: "/var/task/guest"}},
		Folders:   []worker.Folder{{Target: "/trace", Keep: t.TempDir(), Names: []string{process.TraceFile}}},
		RecordDir: "/trace",
	}
}

// TestConformance runs what needs few guests; in an emulated processor each takes five seconds to boot, and the rest boots
// some sixty.
func TestConformance(t *testing.T) {
	s := workertest.Suite{New: func(t testing.TB) worker.Driver { return newDriver(t) }, Spec: guestSpec, Slow: slow()}
	if os.Getenv("CLOUDJIT_MICROVM") != "full" {
		s.Elsewhere = map[string]string{}
		for _, name := range []string{"Burst", "Job", "Limits", "Pause", "Leaks"} {
			s.Elsewhere[name] = "it boots many guests: make test-microvm"
		}
	}
	s.Run(t)
}

func TestProbe(t *testing.T) {
	d := newDriver(t)
	defer d.Close()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), bootTime)
	defer cancel()
	hello, err := d.boot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v after %v", hello, time.Since(began))
}
