package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A mark is a file that names the first process of a worker, for Clean, where there are no control groups, which would say
// the same. The start time tells that process from a later one with the same number. Marks lie in memory, so that a full disk ends
// no start: a machine that was switched off has no workers left to find.

// markParents are where a file system in memory is found, the best first.
func markParents() []string {
	parents := []string{"/run", "/dev/shm"}
	if user := os.Getenv("XDG_RUNTIME_DIR"); user != "" && os.Geteuid() != 0 {
		parents = append([]string{user}, parents...)
	}
	return parents
}

// marksFolder makes the folder of marks of the driver in dir: in memory, named name, where there is a place for it
// that nobody else can write to, and else in dir.
func marksFolder(dir, name string) (string, error) {
	for _, parent := range markParents() {
		if m, ok := inMemory(parent, name); ok {
			return m, nil
		}
	}
	m := filepath.Join(dir, "workers")
	return m, os.MkdirAll(m, 0o755)
}

// marksLeft are the marks that earlier drivers in dir left, wherever they had them, and their folders.
func marksLeft(dir, name string) (marks, folders []string) {
	for _, parent := range markParents() {
		folders = append(folders, filepath.Join(parent, name+"workers"))
	}
	folders = append(folders, filepath.Join(dir, "workers"))
	for _, folder := range folders {
		var st unix.Stat_t
		if err := unix.Lstat(folder, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Geteuid() {
			continue // there is none, or it is another user's
		}
		found, _ := filepath.Glob(filepath.Join(folder, "*"))
		marks = append(marks, found...)
	}
	return marks, folders
}

func inMemory(parent, name string) (string, bool) {
	var fs unix.Statfs_t
	if err := unix.Statfs(parent, &fs); err != nil || int64(fs.Type) != unix.TMPFS_MAGIC && int64(fs.Type) != unix.RAMFS_MAGIC {
		return "", false
	}
	m := filepath.Join(parent, name+"workers")
	if err := os.Mkdir(m, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", false
	}
	var st unix.Stat_t
	if err := unix.Lstat(m, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Geteuid() || st.Mode&0o077 != 0 {
		return "", false // another user was first with the name
	}
	return m, true
}

func writeMark(file string, pid int) error {
	mark := fmt.Appendf(nil, "%d %s\n", pid, startTime(pid))
	err := os.WriteFile(file, mark, 0o600)
	if errors.Is(err, os.ErrNotExist) { // an earlier driver took the folder away when it closed
		if err = os.Mkdir(filepath.Dir(file), 0o700); err == nil || errors.Is(err, os.ErrExist) {
			err = os.WriteFile(file, mark, 0o600)
		}
	}
	if err != nil {
		return fmt.Errorf("mark worker: %w", err)
	}
	return nil
}

// endMarked kills the process that a mark names, if it is still that one, and removes the mark.
func endMarked(file string) {
	b, err := os.ReadFile(file)
	if err != nil {
		return
	}
	if pid, start, ok := parseMark(string(b)); ok {
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			if startTime(pid) == start {
				_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
			}
			_ = unix.Close(fd)
		}
	}
	_ = os.Remove(file)
}

func parseMark(s string) (pid int, start string, ok bool) {
	f := strings.Fields(s)
	if len(f) != 2 {
		return 0, "", false
	}
	pid, err := strconv.Atoi(f[0])
	return pid, f[1], err == nil && pid > 1
}

// startTime is when the process began, in the kernel's clock ticks since boot; empty if it is gone.
func startTime(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	return statStart(string(b))
}

// statStart reads field 22 of /proc/PID/stat.
func statStart(stat string) string {
	if f := statFields(stat); len(f) > 22 {
		return f[22]
	}
	return ""
}

// statFields are the fields of /proc/PID/stat by their number in proc_pid_stat(5), from the third on: the name,
// field 2, may contain anything.
func statFields(stat string) []string {
	i := strings.LastIndexByte(stat, ')')
	if i < 0 {
		return nil
	}
	return append([]string{"", "", ""}, strings.Fields(stat[i+1:])...)
}
