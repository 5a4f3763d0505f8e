package measure

import (
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/experiment/bench"
	"github.com/cloudjit/cloudjit/internal/machine"
)

// thisMachine says what this is measured on; what cannot be read is left empty.
func thisMachine() bench.Machine {
	m := bench.Machine{Cores: runtime.NumCPU(), CPU: runtime.GOARCH, LoadBefore: machine.Load()}
	if model := value("/proc/cpuinfo", "model name", ":"); model != "" {
		m.CPU = model
	}
	m.OS = strings.Trim(value("/etc/os-release", "PRETTY_NAME", "="), `"`)
	if kb, ok := strings.CutSuffix(value("/proc/meminfo", "MemTotal", ":"), " kB"); ok {
		n, _ := strconv.ParseInt(kb, 10, 64) // 0: not known
		m.MemoryBytes = n << 10
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	return m
}

// value is the first "name SEPARATOR value" line of a file.
func value(file, name, separator string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, separator); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
