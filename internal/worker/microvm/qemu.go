package microvm

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cloudjit/cloudjit/internal/worker/process"
)

// qemuKind runs guests in QEMU, also without KVM.
var qemuKind = kind{
	name: "qemu",
	find: func(*Options) (string, error) { return findQEMU() },
	path: func(program string) string { return program }, // with its libraries
	lay:  layQEMU,
	memoryMiB: func(kvm bool) int {
		if kvm {
			return monitorMiB
		}
		return monitorMiB + translatedMiB
	},
	drives: []int{8, 20}, // a PC has slots for some more devices
	fit:    func(kvm bool) []string { return (&qemuMachine{kvm: kvm, memory: "memory"}).args() },
}

const (
	// monitorMiB is what QEMU takes beside the guest's memory, translatedMiB what it keeps of translated code with TCG.
	monitorMiB    = 128
	translatedMiB = 128
)

// findQEMU finds the monitor of this architecture.
func findQEMU() (string, error) {
	const name = "qemu-system-x86_64"
	for _, dir := range []string{"/usr/bin", "/usr/libexec", "/usr/local/bin"} { // sandboxes see those
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return filepath.Join(dir, name), nil
		}
	}
	return "", fmt.Errorf("there is no %s (Debian: apt-get install --no-install-recommends qemu-system-x86)", name)
}

// qemu is one virtual machine, which runs.
type qemu struct {
	*qmp
	conn   net.Conn
	orders net.Conn
}

func layQEMU(d *Driver, h *handle, p *powering) (_ *layout, err error) {
	switch {
	case p.from == nil:
		h.memory, err = newMemory(int64(p.shape.MemoryMiB) << 20)
	case p.savable:
		h.memory, err = inMemory(p.from.memory, false)
	}
	if err != nil {
		return nil, err
	}
	memory := h.memory
	if memory == nil {
		memory = p.from.memory
	}
	var open []interface{ Close() error }
	if h.memory != nil {
		open = append(open, h.memory)
	}
	defer func() {
		if err != nil {
			for _, o := range open {
				_ = o.Close()
			}
		}
	}()
	control, controlEnd, err := process.SocketPair()
	if err != nil {
		return nil, err
	}
	open = append(open, control, controlEnd)
	orders, ordersEnd, err := process.SocketPair()
	if err != nil {
		return nil, err
	}
	m := qemuMachine{kvm: d.kvm, shape: p.shape, drives: len(p.drives), memory: memoryPath(memory), shared: h.memory != nil, orders: int(ordersEnd.Fd()), goesOn: p.from != nil}
	l := &layout{
		args: m.args(), mounts: d.guestMounts(p.drives),
		connected: process.Monitor{Stdin: controlEnd, Files: []*os.File{ordersEnd, memory}, KVM: d.kvm},
		inherited: []*os.File{controlEnd, ordersEnd},
		monitor:   &qemu{qmp: newQMP(orders), conn: control, orders: orders},
	}
	return l, nil
}

// begin implements monitor. A machine that boots was told to by its command line.
func (q *qemu) begin(ctx context.Context, _ *handle, from *standing) (net.Conn, error) {
	if from == nil {
		return q.conn, nil
	}
	devices, err := reopen(from.devices)
	if err != nil {
		return nil, err
	}
	defer devices.Close()
	return q.conn, q.restore(ctx, devices)
}

// save implements monitor. All of the machine's memory is in h.memory at any time.
func (q *qemu) save(ctx context.Context, _ *handle, devices *os.File) error {
	return q.qmp.save(ctx, devices)
}

// resume implements monitor. The connection stays.
func (q *qemu) resume(ctx context.Context, _ *handle) (net.Conn, error) {
	return q.conn, q.qmp.resume(ctx)
}

// close implements monitor.
func (q *qemu) close() { _, _ = q.conn.Close(), q.orders.Close() }

// qemuMachine is one virtual machine, as QEMU's command line says it.
type qemuMachine struct {
	kvm    bool
	shape  shape
	drives int
	memory string // the file
	shared bool   // what it writes goes into the file
	orders int    // the descriptor of the machine protocol
	goesOn bool   // it waits for what was saved
}

func (m *qemuMachine) args() []string {
	accel, cpu := "tcg,tb-size="+strconv.Itoa(translatedMiB), "max,-cx16" // with cx16 guests crash at random in QEMU 7.2
	if m.kvm {
		accel, cpu = "kvm", "host"
	}
	share := "off"
	if m.shared {
		share = "on"
	}
	args := []string{
		"-M", "pc,usb=off,vmport=off,sata=off,smbus=off,hpet=off,memory-backend=ram", "-accel", accel, "-cpu", cpu,
		"-m", strconv.Itoa(m.shape.MemoryMiB) + "M", "-smp", strconv.Itoa(m.shape.CPUs),
		"-object", "memory-backend-file,id=ram,size=" + strconv.Itoa(m.shape.MemoryMiB) + "M,mem-path=" + m.memory + ",share=" + share,
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "none", "-parallel", "none",
		"-chardev", "socket,id=orders,fd=" + strconv.Itoa(m.orders), "-mon", "chardev=orders,mode=control",
		"-kernel", kernelAt, "-initrd", initAt, "-append", strings.Join(append([]string{"pci=lastbus=0"}, kernelWords...), " "),
		// Standard input is the control channel.
		"-chardev", "socket,id=control,fd=0", "-device", "virtio-serial-pci,max_ports=2", "-device", "virtserialport,chardev=control,nr=1,name=cloudjit",
	}
	if m.goesOn {
		args = append(args, "-incoming", "defer")
	}
	// Places without a drive are there, too: a guest that has booted takes drives that it has not seen before.
	for i := range m.shape.Drives {
		n := strconv.Itoa(i)
		drive := "driver=null-co,size=4096,read-zeroes=on"
		if i < m.drives {
			drive = "driver=raw,file.driver=file,file.locking=off,file.filename=" + driveAt(i)
		}
		args = append(args, "-blockdev", drive+",read-only=on,node-name=d"+n,
			"-device", "virtio-blk-pci,num-queues=1,drive=d"+n+",serial="+serial(i))
	}
	return args
}
