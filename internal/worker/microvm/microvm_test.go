package microvm

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/assets"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/function"
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

// testKernels are those that guests of the tests can have: Debian's, and the small one where it was built.
func testKernels(t testing.TB) []string {
	t.Helper()
	all := []string{toolchain.KernelDebian}
	if err := toolchain.FindKernel(config.CacheDir()); err != nil {
		t.Logf("WITHOUT THE SMALL KERNEL: %v", err)
		return all
	}
	return append(all, toolchain.KernelSmall)
}

// testGuest makes the guest that tests boot, in the cache.
func testGuest(t testing.TB, kernel string) Guest {
	t.Helper()
	cache := config.CacheDir()
	agent, err := assets.Install(filepath.Join(cache, "assets"), assets.Agent)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	g, err := toolchain.BuildGuest(ctx, toolchain.GuestOptions{Cache: cache, Agent: agent, Kernel: kernel})
	if err != nil {
		t.Fatal(err)
	}
	return Guest{Kernel: g.Vmlinux, Init: g.Init, Small: g.Kernel == toolchain.KernelSmall}
}

// TestGuest makes the guest, for the others and for scripts/test-firecracker.
func TestGuest(t *testing.T) {
	t.Logf("the guest is in %s", filepath.Dir(testGuest(t, os.Getenv("CLOUDJIT_MICROVM_KERNEL")).Kernel))
}

// newDriver has the kernel that CLOUDJIT_MICROVM_KERNEL says, else the one that was chosen for the cache.
func newDriver(t testing.TB) *Driver {
	t.Helper()
	return newDriverOf(t, os.Getenv("CLOUDJIT_MICROVM_KERNEL"), process.Options{})
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
	return newDriverOf(t, os.Getenv("CLOUDJIT_MICROVM_KERNEL"), o, more...)
}

func newDriverOf(t testing.TB, kernel string, o process.Options, more ...func(o *Options)) *Driver {
	t.Helper()
	o.Dir = filepath.Join(t.TempDir(), "process")
	inner, err := process.New(o)
	if err != nil {
		t.Fatal(err)
	}
	options := Options{Guest: testGuest(t, kernel), Images: filepath.Join(config.CacheDir(), "guest", "images"), Process: inner, Accel: "tcg"}
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

// TestConformance starts some eighty guests.
func TestConformance(t *testing.T) {
	workertest.Suite{New: func(t testing.TB) worker.Driver { return newDriver(t) }, Spec: guestSpec, Slow: slow()}.Run(t)
}

// TestProbe boots a guest with each kernel.
func TestProbe(t *testing.T) {
	for _, kernel := range testKernels(t) {
		t.Run(kernel, func(t *testing.T) {
			d := newDriverOf(t, kernel, process.Options{})
			defer d.Close()
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), bootTime)
			defer cancel()
			hello, err := d.boot(ctx)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v after %v", hello, time.Since(began))
		})
	}
}

// TestLargeGuest: a guest has all its processors, and memory on both sides of where devices lie.
func TestLargeGuest(t *testing.T) {
	for _, kernel := range testKernels(t) {
		t.Run(kernel, func(t *testing.T) {
			d := newDriverOf(t, kernel, process.Options{})
			defer d.Close()
			spec := guestSpec(t, workertest.Handler)
			const memory = 6144
			spec.ID, spec.Revision = "large", &function.Spec{ID: "r", Function: "large", Kind: function.KindProvided, MemoryMiB: memory, Concurrency: 1}
			w, err := d.Start(t.Context(), spec)
			if err != nil {
				t.Fatal(err)
			}
			h := w.(*handle)
			defer h.Stop(context.Background(), 0)
			read := func(file string) string {
				t.Helper()
				res, err := invoke(t.Context(), h, workertest.Command{Do: "read", Text: file})
				if err != nil {
					t.Fatal(err)
				}
				var text string
				if err := json.Unmarshal(res.Payload, &text); err != nil {
					t.Fatal(err)
				}
				return text
			}
			if got, want := strings.Count(read("/proc/cpuinfo"), "processor\t"), virtualCPUs(memory, 0); got != want {
				t.Errorf("it has %d processors, want %d", got, want)
			}
			var total int
			if _, err := fmt.Sscanf(read("/proc/meminfo"), "MemTotal: %d kB", &total); err != nil || total>>10 < memory*95/100 {
				t.Errorf("it has %d MiB of memory, %v, want about %d", total>>10, err, memory)
			}
		})
	}
}
