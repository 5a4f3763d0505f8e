package agent

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
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
	b := make([]byte, wire.NetworkMTU)
	for {
		if _, err := io.ReadFull(in, b[:2]); err != nil {
			break
		}
		size := int(binary.BigEndian.Uint16(b))
		if size > len(b) {
			break
		}
		if _, err := io.ReadFull(in, b[:size]); err != nil {
			break
		}
		_, _ = n.device.Write(b[:size]) // one that the kernel does not take is lost
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
func ifreq(fill func(data []byte)) *[40]byte {
	var r [40]byte
	copy(r[:], deviceName)
	fill(r[unix.IFNAMSIZ:])
	return &r
}

// inet fills in an address: struct sockaddr_in.
func inet(b []byte, address [4]byte) {
	binary.NativeEndian.PutUint16(b, unix.AF_INET)
	copy(b[4:], address[:])
}

// makeDevice makes the device in this network namespace, all of whose packets go that way, and hands it to the agent.
func makeDevice() error {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("open /dev/net/tun: %w", err)
	}
	defer unix.Close(fd)
	ask := func(fd int, what uint, r unsafe.Pointer) error {
		if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(what), uintptr(r)); e != 0 {
			return e
		}
		return nil
	}
	half := func(n uint16) func([]byte) { return func(b []byte) { binary.NativeEndian.PutUint16(b, n) } }
	if err := ask(fd, unix.TUNSETIFF, unsafe.Pointer(ifreq(half(unix.IFF_TUN|unix.IFF_NO_PI)))); err != nil {
		return err
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	// The default route: struct rtentry of 64-bit machines, with where its fields are. All but the device's name is zero.
	const flagsAt, deviceAt = 56, 88
	var route [120]byte
	for _, at := range []int{8, 24, 40} { // rt_dst, rt_gateway, rt_genmask
		binary.NativeEndian.PutUint16(route[at:], unix.AF_INET)
	}
	binary.NativeEndian.PutUint16(route[flagsAt:], unix.RTF_UP)
	name := append([]byte(deviceName), 0)
	*(*unsafe.Pointer)(unsafe.Pointer(&route[deviceAt])) = unsafe.Pointer(&name[0])
	for _, step := range []error{
		ask(s, unix.SIOCSIFMTU, unsafe.Pointer(ifreq(func(b []byte) { binary.NativeEndian.PutUint32(b, wire.NetworkMTU) }))),
		ask(s, unix.SIOCSIFADDR, unsafe.Pointer(ifreq(func(b []byte) { inet(b, wire.NetworkAddress.As4()) }))),
		ask(s, unix.SIOCSIFNETMASK, unsafe.Pointer(ifreq(func(b []byte) { inet(b, [4]byte{255, 255, 255, 0}) }))),
		ask(s, unix.SIOCSIFFLAGS, unsafe.Pointer(ifreq(half(unix.IFF_UP|unix.IFF_RUNNING)))),
		ask(s, unix.SIOCADDRT, unsafe.Pointer(&route[0])),
	} {
		if step != nil {
			return step
		}
	}
	return unix.Sendmsg(socketFD, []byte{1}, unix.UnixRights(fd), nil, 0)
}
