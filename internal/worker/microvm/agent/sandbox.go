package agent

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/worker/microvm/wire"
)

// build makes the sandbox's file system below root.
func build(s *wire.Start) error {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	b := &builder{parts: s.Parts}
	b.mount("root", "", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755,size=1m,nr_inodes=1024")
	for _, l := range s.Links {
		if b.err == nil {
			b.err = os.Symlink(l.To, filepath.Join(root, l.Name))
		}
	}
	b.devices()
	b.mkdir("/dev/shm")
	b.mount("shm", "/dev/shm", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=1777,size=64m")
	b.mkdir("/tmp")
	b.mount("tmp", "/tmp", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("mode=1777,size=%dm", max(s.TmpMiB, 1)))
	b.mkdir("/var")
	_ = os.Symlink("/tmp", filepath.Join(root, "var/tmp"))
	b.mkdir("/run")
	b.mkdir("/proc")
	mounted := map[int]string{}
	if b.err == nil {
		b.err = attachDrives(s.Drives)
	}
	for _, m := range s.Mounts {
		b.show(mounted, m)
	}
	if s.Network {
		b.resolvers()
	}
	for _, f := range s.Folders {
		b.mkdir(f.Target)
		b.mount("folder", f.Target, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("mode=1777,size=%dm,nr_inodes=%d", f.MiB, f.Files+1))
	}
	for _, dir := range []string{"", "/dev"} {
		if b.err == nil {
			if err := unix.Mount("", filepath.Join(root, dir), "", unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NOSUID, ""); err != nil {
				b.err = fmt.Errorf("make %s read-only: %w", path.Clean("/"+dir), err)
			}
		}
	}
	return b.err
}

// builder keeps the first error.
type builder struct {
	err    error
	drives map[string]string // by serial number, once they are looked for
	parts  []wire.Part       // of the only drive; none: images have a drive each
	cut    bool              // the drive is cut into them
}

// in is where a path of the sandbox is. What is below root is the agent's alone until the command runs, and images are
// read-only: their links are the driver's business.
func in(target string) string { return filepath.Join(root, path.Clean("/"+target)) }

func (b *builder) mount(name, target, kind string, flags uintptr, data string) {
	if b.err != nil {
		return
	}
	if err := unix.Mount(name, in(target), kind, flags, data); err != nil {
		b.err = fmt.Errorf("mount %s: %w", path.Clean("/"+target), err)
	}
}

// mkdir makes a folder and those above it. Inside of an image they must be there.
func (b *builder) mkdir(dir string) {
	if b.err == nil {
		if err := os.MkdirAll(in(dir), 0o755); err != nil {
			b.err = fmt.Errorf("make %s: %w", dir, err)
		}
	}
}

// numbers of the devices (Documentation/admin-guide/devices.txt of the kernel).
var deviceNumbers = map[string][2]uint32{"null": {1, 3}, "zero": {1, 5}, "full": {1, 7}, "random": {1, 8}, "urandom": {1, 9}, "tty": {5, 0}}

func (b *builder) devices() {
	b.mkdir("/dev")
	b.mount("dev", "/dev", "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, "mode=755,size=64k,nr_inodes=64")
	if b.err != nil {
		return
	}
	for name, n := range deviceNumbers {
		file := in("/dev/" + name)
		if err := errors.Join(unix.Mknod(file, unix.S_IFCHR|0o666, int(unix.Mkdev(n[0], n[1]))), os.Chmod(file, 0o666)); err != nil {
			b.err = fmt.Errorf("make /dev/%s: %w", name, err)
			return
		}
	}
	for link, to := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		_ = os.Symlink(to, in("/dev/"+link))
	}
}

// show mounts a drive, once, and binds what is wanted of it.
func (b *builder) show(mounted map[int]string, m wire.Mount) {
	if b.err != nil {
		return
	}
	const flags = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV
	image, ok := mounted[m.Drive]
	if !ok {
		image = filepath.Join(images, strconv.Itoa(m.Drive))
		device, err := b.image(m.Drive)
		if err == nil {
			err = os.MkdirAll(image, 0o755)
		}
		if err == nil {
			err = unix.Mount(device, image, "erofs", flags, "")
		}
		if err != nil {
			b.err = fmt.Errorf("mount drive %d for %s: %w", m.Drive, m.Target, err)
			return
		}
		mounted[m.Drive] = image
	}
	if m.File {
		b.mkdir(path.Dir(m.Target))
		f, err := os.OpenFile(in(m.Target), os.O_CREATE|os.O_RDONLY, 0o644)
		if err == nil {
			_ = f.Close()
		} else if !errors.Is(err, unix.EROFS) { // in an image it must be there
			b.err = err
			return
		}
	} else {
		b.mkdir(m.Target)
	}
	if b.err == nil {
		if err := unix.Mount(filepath.Join(image, m.Within), in(m.Target), "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			b.err = fmt.Errorf("mount %s: %w", m.Target, err)
		}
	}
}

// attachDrives lets the kernel use the first n drives.
func attachDrives(n int) error {
	all, err := filepath.Glob("/sys/bus/virtio/devices/virtio*")
	if err != nil {
		return err
	}
	number := func(dev string) int {
		i, _ := strconv.Atoi(strings.TrimPrefix(filepath.Base(dev), "virtio"))
		return i
	}
	slices.SortFunc(all, func(a, b string) int { return number(a) - number(b) }) // as the monitor's command line has them
	for _, dev := range all {
		const block = "0x0002" // VIRTIO_ID_BLOCK
		if id, err := os.ReadFile(dev + "/device"); err != nil || strings.TrimSpace(string(id)) != block {
			continue
		}
		if n--; n < 0 {
			break
		}
		if _, err := os.Lstat(dev + "/driver"); err == nil {
			continue
		}
		if err := os.WriteFile("/sys/bus/virtio/drivers/virtio_blk/bind", []byte(filepath.Base(dev)), 0); err != nil {
			return fmt.Errorf("attach a drive: %w", err)
		}
	}
	return nil
}

// drives finds the devices of the driver's drives by their serial numbers; none where the monitor gives none.
func drives() map[string]string {
	found, _ := filepath.Glob("/sys/block/vd*/serial")
	out := map[string]string{}
	for _, file := range found {
		if b, err := os.ReadFile(file); err == nil && strings.HasPrefix(string(b), wire.DriveSerial) {
			out[strings.TrimSpace(string(b))] = "/dev/" + filepath.Base(filepath.Dir(file))
		}
	}
	return out
}

// image is the device with image n.
func (b *builder) image(n int) (string, error) {
	if len(b.parts) == 0 {
		return b.drive(n)
	}
	whole, err := b.drive(0)
	if err != nil {
		return "", err
	}
	if !b.cut {
		if err := partition(whole, b.parts); err != nil {
			return "", err
		}
		b.cut = true
	}
	return whole + strconv.Itoa(n+1), nil
}

// partition tells the kernel of the parts of a drive, which then have devices of their own, numbered from 1 (linux/blkpg.h).
func partition(device string, parts []wire.Part) error {
	f, err := os.Open(device)
	if err != nil {
		return err
	}
	defer f.Close()
	const blkpg, add = 0x1269, 1 // BLKPG, BLKPG_ADD_PARTITION
	for i, p := range parts {
		info := struct {
			start, length int64
			number        int32
			names         [128]byte
		}{start: p.Offset, length: p.Size, number: int32(i + 1)}
		order := struct {
			op, flags, size int32
			data            unsafe.Pointer
		}{op: add, size: int32(unsafe.Sizeof(info)), data: unsafe.Pointer(&info)}
		if err := ioctl(int(f.Fd()), blkpg, unsafe.Pointer(&order)); err != nil {
			return fmt.Errorf("find part %d of %d of the drive: %w", i, len(parts), err)
		}
	}
	return nil
}

// drive is the device of the driver's drive n: by its serial number, or by its order where the monitor gives none.
func (b *builder) drive(n int) (string, error) {
	if b.drives == nil {
		b.drives = drives()
	}
	if device := b.drives[wire.DriveSerial+strconv.Itoa(n)]; device != "" {
		return device, nil
	}
	if len(b.drives) > 0 || n >= 26 {
		return "", fmt.Errorf("there is no such drive among %d", len(b.drives))
	}
	return "/dev/vd" + string(rune('a'+n)), nil
}
