// Package machine reads what the kernel tells of the whole machine. It knows nothing of workers, and keeps nothing.
package machine

import (
	"os"
	"strconv"
	"strings"
	"time"
)

// Load is the mean number of tasks of the last minute that run or want to; 0 where it is not known.
func Load() float64 {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(b), " ")
	load, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0
	}
	return load
}

// CPU is the time of all cores together since the machine's start, and how much of it they were idle; false where it
// cannot be read.
func CPU() (idle, all time.Duration, ok bool) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, false
	}
	line, _, _ := strings.Cut(string(b), "\n")
	fields := strings.Fields(line)
	// user, nice, system, idle, iowait, irq, softirq, steal; what follows is part of the first two (proc_stat(5)).
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, 0, false
	}
	for i, field := range fields[1:9] {
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, 0, false
		}
		d := time.Duration(ticks) * time.Second / 100 // USER_HZ is 100 on every Linux
		all += d
		if i == 3 || i == 4 {
			idle += d
		}
	}
	return idle, all, true
}

// Processor is what tells processors apart that have other features: a text of the kernel's, for comparison.
func Processor() (string, error) {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "", err
	}
	var all strings.Builder
	for line := range strings.SplitSeq(string(b), "\n") {
		// "flags" is x86's, "Features" ARM's.
		if strings.HasPrefix(line, "flags") || strings.HasPrefix(line, "Features") || strings.HasPrefix(line, "model name") {
			all.WriteString(line)
		}
	}
	return all.String(), nil
}
