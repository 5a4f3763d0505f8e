package replay

import (
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/machine"
)

// Machine is what a replay ran on.
type Machine struct {
	CPU         string `json:"cpu"`
	Cores       int    `json:"cores"`
	MemoryBytes int64  `json:"memoryBytes"`
	Kernel      string `json:"kernel"`
	// Load is the load average over a minute before the replay began.
	Load float64 `json:"loadBefore"`
	// CloudJIT, Builder and JDK are versions; the caller fills them in.
	CloudJIT string `json:"cloudjit"`
	Builder  string `json:"builder,omitempty"`
	JDK      string `json:"jdk"`
}

// ThisMachine describes the machine as well as it can be read.
func ThisMachine() Machine {
	m := Machine{CPU: runtime.GOARCH, Cores: runtime.NumCPU(), Load: machine.Load()}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
				m.CPU = strings.TrimSpace(v)
				break
			}
		}
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		m.MemoryBytes = int64(info.Totalram) * int64(info.Unit)
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	return m
}
