package microvm

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
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
	joined: true,
	fit: func(kvm bool) []string {
		return slices.Concat((&qemuMachine{kvm: kvm, memory: "memory"}).args(), (&qemuMachine{kvm: kvm, memory: "memory", small: true}).args())
	},
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
	drive  joinedDrive
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
	open = append(open, orders, ordersEnd)
	m := qemuMachine{kvm: d.kvm, small: d.options.Guest.Small, tsc: d.tsc, shape: p.shape, memory: memoryPath(memory), shared: h.memory != nil, orders: int(ordersEnd.Fd()), goesOn: p.from != nil}
	l := &layout{
		mounts:    driveMounts(p.drives),
		connected: process.Monitor{Stdin: controlEnd, Files: []*os.File{ordersEnd, memory}, KVM: d.kvm},
		inherited: []*os.File{controlEnd, ordersEnd},
	}
	if p.from == nil {
		l.mounts = d.guestMounts(p.drives)
	}
	if len(p.drives) > 0 {
		file, size, err := join(p.drives)
		if err != nil {
			return nil, err
		}
		m.drive = joinedDrive{file: memoryPath(file), size: size}
		l.connected.Files, l.inherited = append(l.connected.Files, file), append(l.inherited, file)
	}
	l.args, l.monitor = m.args(), &qemu{qmp: newQMP(orders), conn: control, orders: orders, drive: m.drive}
	return l, nil
}

const sectorSize = 512

// sectors is the size of an image.
func sectors(image string) (int64, error) {
	info, err := os.Stat(image)
	if err != nil {
		return 0, err
	}
	if info.Size()%sectorSize != 0 {
		return 0, fmt.Errorf("image %s has %d bytes", image, info.Size())
	}
	return info.Size() / sectorSize, nil
}

// joinedDrive is a drive on which images lie one behind the other: each device more would make QEMU start later, and the guest boot
// later, and a small machine has few places for them.
type joinedDrive struct {
	file string // which describes it; empty: there is no image
	size int64  // bytes
}

// Names of what lies behind the drive's device: the images, and above them what can be put onto something else.
const (
	driveNode  = "drive"
	imagesNode = "images"
	blankNode  = "blank"
)

// images is what the drive shows, as QEMU is told.
func (j joinedDrive) images() map[string]any {
	if j.file == "" {
		return zeroes(blankSize, imagesNode)
	}
	return map[string]any{"driver": "vmdk", "file": map[string]any{"driver": "file", "filename": j.file}, "read-only": true, "node-name": imagesNode}
}

// zeroes is a node with nothing in it.
func zeroes(size int64, node string) map[string]any {
	return map[string]any{"driver": "null-co", "size": size, "read-zeroes": true, "read-only": true, "node-name": node}
}

// on is the drive, put onto a node.
func (j joinedDrive) on(node string) map[string]any {
	return map[string]any{"driver": "raw", "file": node, "read-only": true, "node-name": driveNode}
}

// join describes a drive of images, in the form of VMware's. It returns the size.
func join(images []string) (_ *os.File, size int64, err error) {
	var text strings.Builder
	text.WriteString("# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"twoGbMaxExtentFlat\"\n")
	for i, image := range images {
		n, err := sectors(image)
		if err != nil {
			return nil, 0, err
		}
		size += n * sectorSize
		fmt.Fprintf(&text, "RW %d FLAT %q 0\n", n, driveAt(i))
	}
	f, err := newMemory(0)
	if err != nil {
		return nil, 0, err
	}
	if _, err := f.WriteString(text.String()); err != nil {
		_ = f.Close()
		return nil, 0, err
	}
	return f, size, nil
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
	if err := q.do(ctx, "stop", nil, nil, nil); err != nil {
		return err
	}
	if q.drive.file != "" { // QEMU refuses to save a machine with images in that form, though they are read only
		if err := q.put(ctx, zeroes(q.drive.size, blankNode), blankNode, imagesNode); err != nil {
			return err
		}
	}
	return q.qmp.save(ctx, devices)
}

// resume implements monitor. The connection stays.
func (q *qemu) resume(ctx context.Context, _ *handle) (net.Conn, error) {
	if q.drive.file != "" {
		if err := q.put(ctx, q.drive.images(), imagesNode, blankNode); err != nil {
			return nil, err
		}
	}
	return q.conn, q.qmp.resume(ctx)
}

// put puts the drive of a machine that stands still onto a new node, and removes the one that it was on.
func (q *qemu) put(ctx context.Context, node map[string]any, onto, from string) error {
	if err := q.do(ctx, "blockdev-add", node, nil, nil); err != nil {
		return err
	}
	if err := q.do(ctx, "blockdev-reopen", map[string]any{"options": []any{q.drive.on(onto)}}, nil, nil); err != nil {
		return err
	}
	return q.do(ctx, "blockdev-del", map[string]any{"node-name": from}, nil, nil)
}

// close implements monitor.
func (q *qemu) close() { _, _ = q.conn.Close(), q.orders.Close() }

// qemuMachine is one virtual machine, as QEMU's command line says it.
type qemuMachine struct {
	kvm    bool
	small  bool // the kernel is
	tsc    int  // kHz; 0: the guest finds it out
	shape  shape
	drive  joinedDrive
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
	// A PC where the kernel is a distribution's, which wants one; else little more than a processor.
	machine, virtio := "pc,usb=off,vmport=off,sata=off,smbus=off,hpet=off", "pci"
	words := append([]string{"pci=lastbus=0"}, kernelWords...)
	if m.small { // with a clock, since Linux waits a second for one that is not there
		machine, virtio = "microvm,acpi=off,isa-serial=off", "device"
		words = slices.Clone(kernelWords)
		if m.tsc != 0 {
			words = append(words, "tsc_early_khz="+strconv.Itoa(m.tsc))
		}
	}
	args := []string{
		"-M", machine + ",memory-backend=ram", "-accel", accel, "-cpu", cpu,
		"-m", strconv.Itoa(m.shape.MemoryMiB) + "M", "-smp", strconv.Itoa(m.shape.CPUs),
		"-object", "memory-backend-file,id=ram,size=" + strconv.Itoa(m.shape.MemoryMiB) + "M,mem-path=" + m.memory + ",share=" + share,
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "none", "-parallel", "none",
		"-chardev", "socket,id=orders,fd=" + strconv.Itoa(m.orders), "-mon", "chardev=orders,mode=control",
		// Standard input is the control channel.
		"-chardev", "socket,id=control,fd=0", "-device", "virtio-serial-" + virtio + ",max_ports=2", "-device", "virtserialport,chardev=control,nr=1,name=cloudjit",
	}
	if m.small {
		args = append(args, "-global", "virtio-mmio.force-legacy=false")
	}
	if m.goesOn {
		args = append(args, "-incoming", "defer") // the kernel is in its memory already
	} else {
		args = append(args, "-kernel", kernelAt, "-initrd", initAt, "-append", strings.Join(words, " "))
	}
	// The place of a drive is there without one, too: a guest that has booted takes a drive that it has not seen before.
	for _, node := range []map[string]any{m.drive.images(), m.drive.on(imagesNode)} {
		b, _ := json.Marshal(node) // of texts and numbers
		args = append(args, "-blockdev", string(b))
	}
	return append(args, "-device", "virtio-blk-"+virtio+",num-queues=1,drive="+driveNode+",serial="+serial(0))
}
