package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/worker"
)

// MemoryOf measures a process and all below it, one that no sandbox is around.
func MemoryOf(pid int) (worker.Memory, error) { return measure(tree(pid)) }

// measure adds up the memory of processes. One that ends meanwhile counts nothing.
func measure(pids []int) (worker.Memory, error) {
	var sum worker.Memory
	var failed error
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			failed = err
			continue
		}
		sum.PSS += kilobytes(b, "Pss:")
		sum.RSS += kilobytes(b, "Rss:")
	}
	sum.Peak = peak(pids)
	if sum.RSS == 0 {
		if failed == nil {
			failed = errors.New("no process is left")
		}
		return worker.Memory{}, fmt.Errorf("measure memory: %w", failed)
	}
	return sum, nil
}

// peak adds up the most that processes ever had in memory.
func peak(pids []int) (sum int64) {
	for _, pid := range pids {
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)); err == nil {
			sum += kilobytes(b, "VmHWM:")
		}
	}
	return sum
}

// cpuOf adds up the time that processes took, and those that they waited for.
func cpuOf(pids []int) (sum time.Duration) {
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		f := statFields(string(b))
		for i := 14; i <= 17 && i < len(f); i++ { // utime, stime, cutime, cstime (proc_pid_stat(5))
			n, _ := strconv.ParseInt(f[i], 10, 64)
			sum += time.Duration(n) * (time.Second / clockTicks)
		}
	}
	return sum
}

// clockTicks are in a second in /proc, on every architecture that Go runs on.
const clockTicks = 100

// mapped looks in /proc/PID/maps (proc_pid_maps(5)) for a file's inode. Neither devices, which are not those
// of stat on every file system, nor paths, which are the sandbox's, can be compared; a runtime maps so few
// files that another one with the same number is not to be expected.
func mapped(maps []byte, inode uint64) bool {
	want := []byte(strconv.FormatUint(inode, 10))
	for line := range bytes.SplitSeq(maps, []byte("\n")) {
		if f := bytes.Fields(line); len(f) > 4 && bytes.Equal(f[4], want) {
			return true
		}
	}
	return false
}

// fileMapping is what of a file a process has mapped, and where.
type fileMapping struct {
	start, end  uint64 // addresses
	offset      uint64 // in the file
	permissions string // as "r-xp"
	path        string // in the process's root
}

// mappings are the files that a process has mapped, by /proc/PID/maps (proc_pid_maps(5)).
func mappings(pid int) (list []fileMapping, err error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return nil, err
	}
	for line := range strings.SplitSeq(string(maps), "\n") {
		f := strings.Fields(line) // address, permissions, offset, device, inode, path
		if len(f) < 6 || !strings.HasPrefix(f[5], "/") {
			continue
		}
		m := fileMapping{permissions: f[1], path: f[5]}
		if _, err := fmt.Sscanf(f[0]+" "+f[2], "%x-%x %x", &m.start, &m.end, &m.offset); err != nil {
			return nil, fmt.Errorf("read what process %d has mapped: %w", pid, err)
		}
		list = append(list, m)
	}
	return list, nil
}

// kilobytes reads "name  123 kB" of a file of /proc and returns bytes; 0 if it is not there.
func kilobytes(b []byte, name string) int64 {
	for line := range bytes.SplitSeq(b, []byte("\n")) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok {
			f := bytes.Fields(rest)
			if len(f) == 0 {
				return 0
			}
			n, _ := strconv.ParseInt(string(f[0]), 10, 64)
			return n << 10
		}
	}
	return 0
}

// tree lists a process and all below it, where no control group knows them.
func tree(root int) []int {
	all := []int{root}
	for i := 0; i < len(all) && len(all) < 4096; i++ {
		tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", all[i]))
		if err != nil {
			continue
		}
		for _, t := range tasks {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", all[i], t.Name()))
			if err != nil {
				continue
			}
			for f := range bytes.FieldsSeq(b) {
				if pid, err := strconv.Atoi(string(f)); err == nil {
					all = append(all, pid)
				}
			}
		}
	}
	return all
}
