package process

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// memory is a file system in memory that is mounted nowhere: it is reached by its descriptor alone, so that nobody else sees it,
// and it is gone with the process, however that ends.
type memory struct{ root *os.File }

func newMemory() (memory, error) {
	fail := func(err error) (memory, error) { return memory{}, fmt.Errorf("make a file system in memory: %w", err) }
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return fail(err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigSetString(fs, "mode", "0711"); err != nil {
		return fail(err)
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return fail(err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return fail(err)
	}
	return memory{os.NewFile(uintptr(fd), "memory")}, nil
}

// path is where this process finds a file of it.
func (m memory) path(name string) string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", m.root.Fd(), name)
}

func (m memory) close() error {
	if m.root == nil {
		return nil
	}
	return m.root.Close()
}
