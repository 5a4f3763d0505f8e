package toolchain

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCheckConfig: an option that was dropped, or is on against the wish, is named.
func TestCheckConfig(t *testing.T) {
	const whole = "# CONFIG_PCI is not set\nCONFIG_SMP=y\nCONFIG_NR_CPUS=64\nCONFIG_VIRTIO_BLK=m\nCONFIG_MODULES=y\n"
	const wanted = "# Why it is so.\nCONFIG_SMP=y\nCONFIG_NR_CPUS=64\n\n# CONFIG_PCI is not set\n# CONFIG_ACPI is not set\nCONFIG_VIRTIO_BLK=m\n"
	if err := checkConfig(whole, wanted); err != nil {
		t.Error(err)
	}
	for _, more := range []string{"CONFIG_EROFS_FS=y", "CONFIG_NR_CPUS=8", "CONFIG_VIRTIO_BLK=y", "# CONFIG_MODULES is not set"} {
		if err := checkConfig(whole, wanted+more+"\n"); err == nil || !strings.HasSuffix(err.Error(), "it does not take "+more) {
			t.Errorf("%s: got %v", more, err)
		}
	}
	if err := checkConfig(kernelConfig, kernelConfig); err != nil { // it says nothing twice
		t.Error(err)
	}
}

// TestUsedSources: what the small kernel is built of is unpacked, and what says how things are built.
func TestUsedSources(t *testing.T) {
	for name, want := range map[string]bool{
		"linux-source-6.1/arch/x86/kernel/setup.c":           true,
		"linux-source-6.1/arch/arm/kernel/setup.c":           false,
		"linux-source-6.1/arch/arm/Kconfig":                  true,
		"linux-source-6.1/drivers/net/loopback.c":            true,
		"linux-source-6.1/drivers/net/ethernet/intel/main.c": false,
		"linux-source-6.1/drivers/gpu/drm/Kconfig.debug":     true,
		"linux-source-6.1/drivers/gpu/drm/Makefile":          true,
		"linux-source-6.1/sound/core/init.c":                 false,
		"linux-source-6.1/tools/objtool/check.c":             true,
		"linux-source-6.1/tools/perf/perf.c":                 false,
		"linux-source-6.1/Documentation/Kconfig":             true,
		"linux-source-6.1/fs/erofs/super.c":                  true,
	} {
		if got := usedSource(name); got != want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

// TestChooseKernel: a kernel is chosen for a cache, and may be asked for besides. Each makes another guest.
func TestChooseKernel(t *testing.T) {
	cache := t.TempDir()
	agent := filepath.Join(cache, "agent")
	if err := os.WriteFile(agent, []byte("agent"), 0o755); err != nil {
		t.Fatal(err)
	}
	of := func(kernel string) Guest {
		t.Helper()
		g, err := FindGuest(GuestOptions{Cache: cache, Agent: agent, Kernel: kernel})
		var known *Error
		if !errors.As(err, &known) || known.Hint == "" {
			t.Fatalf("%q: got %v, want a hint", kernel, err)
		}
		return g
	}
	if g := of(""); g.Kernel != KernelDebian {
		t.Errorf("without a choice: got %s", g.Kernel)
	}
	if err := ChooseKernel(cache, KernelSmall); err != nil {
		t.Fatal(err)
	}
	small, debian := of(""), of(KernelDebian)
	if small.Kernel != KernelSmall || small.Dir == debian.Dir || small != of(KernelSmall) {
		t.Errorf("chosen: got %+v, and asked for the other one %+v", small, debian)
	}
	if _, err := FindGuest(GuestOptions{Cache: cache, Agent: agent, Kernel: "large"}); err == nil || !strings.Contains(err.Error(), `no kernel "large"`) {
		t.Errorf("got %v", err)
	}
}

// TestKernelTools: what is missing to compile is named with the command that installs it.
func TestKernelTools(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := BuildGuest(t.Context(), GuestOptions{Cache: t.TempDir(), Agent: os.Args[0], Kernel: KernelSmall})
	var known *Error
	if !errors.As(err, &known) || !strings.Contains(known.Hint, "apt-get install -y --no-install-recommends gcc binutils make flex bison bc perl-base xz-utils") {
		t.Errorf("got %v", err)
	}
}
