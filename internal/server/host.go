package server

import (
	"bufio"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/health"
	"github.com/cloudjit/cloudjit/internal/machine"
)

// host says what the machine has whose data folder this is; what cannot be read is 0.
func host(data string, d *drivers) health.Host {
	h := health.Host{MemoryBytes: int64(totalMemoryMiB()) << 20, Load: machine.Load(), Drivers: d.Names()}
	h.GuestKernel = d.guestKernel(h.Drivers)
	h.Name, _ = os.Hostname()
	if f, err := os.Open("/proc/meminfo"); err == nil {
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if rest, ok := strings.CutPrefix(lines.Text(), "MemAvailable:"); ok {
				kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
				h.MemoryFree = kib << 10
			}
		}
	}
	var st unix.Statfs_t
	if unix.Statfs(data, &st) == nil {
		h.DiskBytes, h.DiskFree = int64(st.Blocks)*st.Bsize, int64(st.Bavail)*st.Bsize
	}
	return h
}
