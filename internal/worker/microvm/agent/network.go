package agent

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"sync"
	"unsafe"

	"github.com/hashicorp/yamux"
	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/worker/microvm/wire"
)

// network carries the packets of the sandbox's device. Without a stream to the driver they are lost, as those of a cable that
// is not plugged in.
type network struct {
	device *os.File

	mu sync.Mutex
	to *yamux.Stream // nil: there is none
}

// carry takes packets from the driver until its stream ends, and sends it those of the sandbox.
func (n *network) carry(st *yamux.Stream) {
	n.mu.Lock()
	n.to = st
	n.mu.Unlock()
	in := bufio.NewReader(plain{st})
	packet := make([]byte, wire.NetworkMTU)
	for {
		b, err := wire.ReadPacket(in, packet)
		if err != nil {
			break
		}
		_, _ = n.device.Write(b) // one that the kernel does not take is lost
	}
	n.mu.Lock()
	if n.to == st {
		n.to = nil
	}
	n.mu.Unlock()
}

// run sends what the sandbox has to say, until its device is gone.
func (n *network) run() {
	b := make([]byte, 2+wire.NetworkMTU)
	for {
		k, err := n.device.Read(b[2:])
		if err != nil {
			return
		}
		binary.BigEndian.PutUint16(b, uint16(k))
		n.mu.Lock()
		st := n.to
		n.mu.Unlock()
		if st != nil {
			_, _ = st.Write(b[:2+k])
		}
	}
}

// resolvers says in the sandbox who answers questions for names.
func (b *builder) resolvers() {
	const own, shown = "/run/resolv.conf", "/etc/resolv.conf"
	if b.err != nil {
		return
	}
	err := os.WriteFile(in(own), []byte("nameserver "+wire.NetworkResolver.String()+"\n"), 0o644)
	if err == nil {
		err = unix.Mount(in(own), in(shown), "", unix.MS_BIND, "")
	}
	if err != nil {
		b.err = fmt.Errorf("write %s: %w", shown, err)
	}
}

// deviceName is what the sandbox's device is called, as programs expect.
const deviceName = "eth0"

// ifreq is a question about a device: struct ifreq (netdevice(7)).
func ifreq(device string, fill func(data []byte)) unsafe.Pointer {
	var r [40]byte
	copy(r[:], device)
	fill(r[unix.IFNAMSIZ:])
	return unsafe.Pointer(&r)
}

// flags fills in those of a device.
func flags(n uint16) func([]byte) { return func(b []byte) { binary.NativeEndian.PutUint16(b, n) } }

// inet is an IPv4 address without a port: struct sockaddr_in.
func inet(address [4]byte) (b [16]byte) {
	binary.NativeEndian.PutUint16(b[:], unix.AF_INET)
	copy(b[4:], address[:])
	return b
}

// address fills one in.
func address(a [4]byte) func([]byte) {
	return func(b []byte) {
		full := inet(a)
		copy(b, full[:])
	}
}

func ioctl(fd int, what uint, arg unsafe.Pointer) error {
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(what), uintptr(arg)); e != 0 {
		return e
	}
	return nil
}

// route is struct rtentry of 64-bit machines (linux/route.h).
type route struct {
	_           uint64
	destination [16]byte
	gateway     [16]byte
	mask        [16]byte
	flags       uint16
	_           [30]byte // rt_pad2 to rt_metric
	device      *byte
	_           [24]byte // rt_mtu, rt_window, rt_irtt
}

// makeDevice makes the device in this network namespace, all of whose packets go that way, and hands it to the agent.
func makeDevice() error {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("open /dev/net/tun: %w", err)
	}
	defer unix.Close(fd)
	if err := ioctl(fd, unix.TUNSETIFF, ifreq(deviceName, flags(unix.IFF_TUN|unix.IFF_NO_PI))); err != nil {
		return err
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	name, err := unix.BytePtrFromString(deviceName)
	if err != nil {
		return err
	}
	everywhere := inet([4]byte{})
	for _, q := range []struct {
		what uint
		arg  unsafe.Pointer
	}{
		{unix.SIOCSIFMTU, ifreq(deviceName, func(b []byte) { binary.NativeEndian.PutUint32(b, wire.NetworkMTU) })},
		{unix.SIOCSIFADDR, ifreq(deviceName, address(wire.NetworkAddress.As4()))},
		{unix.SIOCSIFNETMASK, ifreq(deviceName, address([4]byte{255, 255, 255, 0}))},
		{unix.SIOCSIFFLAGS, ifreq(deviceName, flags(unix.IFF_UP|unix.IFF_RUNNING))},
		{unix.SIOCADDRT, unsafe.Pointer(&route{destination: everywhere, gateway: everywhere, mask: everywhere, flags: unix.RTF_UP, device: name})},
	} {
		if err := ioctl(s, q.what, q.arg); err != nil {
			return err
		}
	}
	return unix.Sendmsg(socketFD, []byte{1}, unix.UnixRights(fd), nil, 0)
}
