package microvm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/process"
)

// firecrackerKind runs guests in Firecracker (https://github.com/firecracker-microvm/firecracker), which is told everything by
// requests on a socket. In the place of its jailer it has the sandbox that every monitor has: docs/adr/0022 says why.
var firecrackerKind = kind{
	name: "firecracker",
	find: func(o *Options) (string, error) {
		if o.Firecracker == "" {
			return "", errors.New("there is no firecracker (cloudjit toolchain install firecracker)")
		}
		_, err := os.Stat(o.Firecracker)
		return o.Firecracker, err
	},
	path:      func(string) string { return firecrackerAt },
	memoryMiB: func(bool) int { return firecrackerMiB },
	drives:    []int{8, firecrackerDevices - 2}, // beside vsock and the entropy device
	needsKVM:  true,
	lay:       layFirecracker,
	fit:       func(bool) []string { return append(firecrackerWords(), fmt.Sprint(driveRate, entropyRate)) }, // limits are saved, too
}

const (
	firecrackerAt = "/vm/firecracker"
	// firecrackerMiB is what the monitor takes beside the guest's memory (its own bound for itself is 5 MiB), with what it reads
	// of files.
	firecrackerMiB = 32
	// firecrackerDevices is how many devices a machine can have: each has an interrupt line of its own, and there are 19 from 5 to 23
	// (src/vmm/src/arch/x86_64/layout.rs), of which the generation ID and, since 1.15, the clock page have one each.
	firecrackerDevices = 17
	// socketsAt is the folder in the monitor's sandbox with its sockets, which the server reaches from outside.
	socketsAt  = "/machine"
	apiSocket  = "api.sock"
	hostSocket = "host.sock" // connections of the guest to a port of the host come to host.sock_PORT
	// hostPort is where the agent finds the server, guestCID the guest's own number, which nobody else sees.
	hostPort = 1024
	guestCID = 3
)

// object is one of the API's documents.
type object = map[string]any

// rate bounds what a device moves, bytes: burst once, and then perSecond.
type rate struct{ burst, perSecond int64 }

// A drive's burst is more than any start reads of an image, so that only what goes on reading is slowed down. The guest's kernel takes
// some tens of bytes a minute of the entropy device.
var (
	driveRate   = rate{burst: 1 << 30, perSecond: 256 << 20}
	entropyRate = rate{burst: 64 << 10, perSecond: 64 << 10}
)

// limiter is the token bucket for it, which is filled within 1000 ms.
func (r rate) limiter() object {
	return object{"bandwidth": object{"one_time_burst": r.burst, "size": r.perSecond, "refill_time": 1000}}
}

// firecrackerWords are those of the kernel's command line. Firecracker adds where its devices are.
func firecrackerWords() []string {
	return append([]string{"pci=off", "cloudjit.vsock=" + strconv.Itoa(hostPort)}, kernelWords...)
}

// firecracker is one virtual machine.
type firecracker struct {
	shape  shape
	drives int
	api    *firecrackerAPI
	// agent is where the guest's agent comes to, devices the file that the monitor writes the state of devices into.
	agent   *net.UnixListener
	devices *os.File
}

func layFirecracker(d *Driver, h *handle, p *powering) (*layout, error) {
	f := &firecracker{shape: p.shape, drives: len(p.drives)}
	l := &layout{
		// What it says of requests and of what a guest does wrong would hide why it fails.
		args:      []string{"--api-sock", filepath.Join(socketsAt, apiSocket), "--id", h.spec.ID, "--level", "Error"},
		mounts:    append(d.guestMounts(p.drives), worker.Mount{Source: d.program, Target: firecrackerAt}),
		folders:   []worker.Folder{{Target: socketsAt, MiB: 1, Files: 16}},
		connected: process.Monitor{KVM: d.kvm}, monitor: f,
	}
	// Places without a drive are there, too: a guest that has booted takes drives that it has not seen before.
	for i := len(p.drives); i < p.shape.Drives; i++ {
		l.mounts = append(l.mounts, worker.Mount{Source: d.blank, Target: driveAt(i)})
	}
	var err error
	if p.from == nil || p.savable { // files that it writes into when it is saved
		if h.memory, err = newMemory(0); err != nil {
			return nil, err
		}
		if f.devices, err = newMemory(0); err != nil {
			return nil, errors.Join(err, h.memory.Close())
		}
		l.connected.Files = append(l.connected.Files, h.memory, f.devices)
	}
	if p.from != nil {
		l.connected.Files = append(l.connected.Files, p.from.memory, p.from.devices)
	}
	return l, nil
}

// begin implements monitor.
func (f *firecracker) begin(ctx context.Context, h *handle, from *standing) (net.Conn, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { // who waits for it hears that it has ended
		select {
		case <-h.machine.Done():
			cancel(errors.New("the monitor has ended"))
		case <-ctx.Done():
		}
	}()
	f.api = newFirecrackerAPI(func(use func(dir string) error) error { return h.machine.Folder(0, use) })
	if err := f.api.await(ctx); err != nil {
		return nil, err
	}
	if err := h.machine.Folder(0, f.listen); err != nil {
		return nil, fmt.Errorf("listen for the guest: %w", err)
	}
	var err error
	if from != nil {
		err = f.api.load(ctx, from)
	} else {
		err = f.boot(ctx)
	}
	if err != nil {
		return nil, err
	}
	return f.accept(ctx)
}

// listen makes the socket that connections of the guest come to.
func (f *firecracker) listen(dir string) error {
	name := filepath.Join(dir, hostSocket+"_"+strconv.Itoa(hostPort))
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)                     // the folder goes with the sandbox, and its name is another one's then
	if err := os.Chmod(name, 0o666); err != nil { // only its sandbox sees it
		return errors.Join(err, l.Close())
	}
	f.agent = l
	return nil
}

// accept takes the agent's connection. There is no other: what comes later waits.
func (f *firecracker) accept(ctx context.Context) (net.Conn, error) {
	_ = f.agent.SetDeadline(time.Time{})
	stop := context.AfterFunc(ctx, func() { _ = f.agent.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	c, err := f.agent.Accept()
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("wait for the guest: %w", err)
	}
	return c, nil
}

// boot says what the machine has, and starts it.
func (f *firecracker) boot(ctx context.Context) error {
	type request struct {
		path string
		body object
	}
	requests := []request{
		{"/machine-config", object{"vcpu_count": f.shape.CPUs, "mem_size_mib": f.shape.MemoryMiB, "smt": false, "track_dirty_pages": false}},
		{"/boot-source", object{"kernel_image_path": kernelAt, "initrd_path": initAt, "boot_args": strings.Join(firecrackerWords(), " ")}},
	}
	for i := range f.shape.Drives {
		id := "drive" + strconv.Itoa(i)
		requests = append(requests, request{"/drives/" + id, object{
			"drive_id": id, "path_on_host": driveAt(i), "is_root_device": false, "is_read_only": true, "rate_limiter": driveRate.limiter(),
		}})
	}
	requests = append(requests,
		request{"/entropy", object{"rate_limiter": entropyRate.limiter()}},
		request{"/vsock", object{"guest_cid": guestCID, "uds_path": filepath.Join(socketsAt, hostSocket)}},
		request{"/actions", object{"action_type": "InstanceStart"}},
	)
	for _, r := range requests {
		if err := f.api.do(ctx, "PUT", r.path, r.body); err != nil {
			return err
		}
	}
	return nil
}

// save implements monitor.
func (f *firecracker) save(ctx context.Context, h *handle, devices *os.File) error {
	if f.devices == nil {
		return errors.New("its machine was not made to be saved")
	}
	// It writes every page of the guest. A page of a file in memory is counted where it is made: the server does so, since the monitor's
	// control group has room for the guest's memory once.
	want := int64(f.shape.MemoryMiB) << 20
	if err := errors.Join(f.devices.Truncate(0), unix.Fallocate(int(h.memory.Fd()), 0, 0, want)); err != nil {
		return fmt.Errorf("make room for the guest's memory: %w", err)
	}
	if err := f.api.state(ctx, "Paused"); err != nil {
		return err
	}
	if err := f.api.create(ctx, h.memory, f.devices); err != nil {
		return err
	}
	// All that the monitor wrote is believed no more than what it says: sizes are compared, and the content is its own.
	info, err := h.memory.Stat()
	if err != nil {
		return err
	}
	if info.Size() != want {
		return fmt.Errorf("the monitor saved %d bytes of memory, of %d", info.Size(), want)
	}
	n, err := io.Copy(devices, io.NewSectionReader(f.devices, 0, maxDevices+1))
	switch {
	case err != nil:
		return fmt.Errorf("read the state of devices: %w", err)
	case n == 0:
		return errors.New("the monitor saved no state of its devices")
	}
	return nil
}

// resume implements monitor. The guest's connection was reset when it was saved: its agent comes again.
func (f *firecracker) resume(ctx context.Context, h *handle) (net.Conn, error) {
	if err := h.memory.Truncate(0); err != nil { // what it was saved into is not the machine's own memory
		return nil, err
	}
	if err := f.api.state(ctx, "Resumed"); err != nil {
		return nil, err
	}
	return f.accept(ctx)
}

// close implements monitor.
func (f *firecracker) close() {
	if f.api != nil {
		f.api.close()
	}
	if f.agent != nil {
		_ = f.agent.Close()
	}
	if f.devices != nil {
		_ = f.devices.Close()
	}
}
