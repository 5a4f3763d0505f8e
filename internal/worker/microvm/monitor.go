package microvm

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/process"
)

// kind is a kind of monitor.
type kind struct {
	name string
	// find is its program.
	find func(o *Options) (string, error)
	// path is where that is in the monitor's sandbox.
	path func(program string) string
	// memoryMiB is what it takes beside the guest's memory.
	memoryMiB func(kvm bool) int
	// drives are how many drives its guests have places for, the largest number last. Each takes 0.1 s of an emulated boot;
	// functions have five to seven.
	drives []int
	// needsKVM: it cannot emulate a processor.
	needsKVM bool
	// joined: images lie on one drive, one behind the other.
	joined bool
	// lay says how one is started.
	lay func(d *Driver, h *handle, p *powering) (*layout, error)
	// fit is what of its machines is the same for all: one that was saved by another fits none of them.
	fit func(kvm bool) []string
}

// kinds of monitors; the first is the default.
var kinds = []kind{qemuKind, firecrackerKind}

// Kinds are the names of the drivers of virtual machines.
func Kinds() (names []string) {
	for i := range kinds {
		names = append(names, kinds[i].name)
	}
	return names
}

func kindOf(name string) (*kind, error) {
	if runtime.GOARCH != "amd64" {
		return nil, fmt.Errorf("microVMs are not made on %s", runtime.GOARCH)
	}
	if name == "" {
		return &kinds[0], nil
	}
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })
	if i < 0 {
		return nil, fmt.Errorf("no kind of monitor %q: want %s", name, strings.Join(Kinds(), ", "))
	}
	return &kinds[i], nil
}

// layout is how a monitor is started in its sandbox.
type layout struct {
	args      []string
	mounts    []worker.Mount // beside its program
	folders   []worker.Folder
	connected process.Monitor
	// inherited are the monitor's ends of what connects it, closed once it has them.
	inherited []*os.File
	monitor   monitor
}

// monitor is the one of a virtual machine, once it runs. It is as hostile as the guest in it. It is not called concurrently.
type monitor interface {
	// begin lets the machine boot, or go on from what was saved, and returns what leads to the agent.
	begin(ctx context.Context, h *handle, from *standing) (net.Conn, error)
	// save stops the machine and writes the state of its devices. Its memory is in h.memory then, until it goes on.
	save(ctx context.Context, h *handle, devices *os.File) error
	// resume lets a machine go on that was stopped, and returns what leads to the agent then.
	resume(ctx context.Context, h *handle) (net.Conn, error)
	// close gives back what the server has of it. The machine has ended, or ends. Idempotent.
	close()
}

// guestMounts show a monitor what it boots, and the images.
func (d *Driver) guestMounts(drives []string) []worker.Mount {
	return append([]worker.Mount{{Source: d.options.Guest.Kernel, Target: kernelAt}, {Source: d.options.Guest.Init, Target: initAt}}, driveMounts(drives)...)
}

// driveMounts show a monitor the images.
func driveMounts(drives []string) (mounts []worker.Mount) {
	for i, file := range drives {
		mounts = append(mounts, worker.Mount{Source: file, Target: driveAt(i)})
	}
	return mounts
}

// kernelWords are the guest kernel's command line: no console, an end of the virtual machine where the kernel panics, and
// nothing that a guest without devices has no use for.
var kernelWords = []string{
	"quiet", "loglevel=0", "panic=-1", "reboot=t", "nokaslr", "random.trust_cpu=on", "cgroup_no_v1=all", "tsc=reliable",
	"no_timer_check", "i8042.noaux", "i8042.nokbd", "8250.nr_uarts=0", "apparmor=0", "audit=0", "lsm=", "mitigations=off",
	"cryptomgr.notests",
	"transparent_hugepage=madvise", // else a small program takes two megabytes more
}
