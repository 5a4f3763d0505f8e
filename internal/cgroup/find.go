package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// wanted are the controllers that are used where they are. The freezer is one of version 1 alone.
var wanted = []string{"memory", "cpu", "cpuacct", "pids", "freezer"}

const freezer = "freezer"

// place is where groups are made.
type place struct {
	// parents are the folders of the caller's own group by controller; freezer's is where groups are frozen.
	parents map[string]string
	unified bool // all is version 2's
	// hybrid: groups are frozen in the version 2 hierarchy, which has none of the controllers. What is frozen
	// there can be killed; under version 1 a frozen process outlives a server that was killed.
	hybrid bool
}

// own finds the folder of the caller's own group for each controller.
func own() (place, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return place{}, fmt.Errorf("find control groups: %w", err)
	}
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return place{}, fmt.Errorf("find control groups: %w", err)
	}
	v1, v2 := locate(string(mounts), string(groups))
	if len(v1) > 0 {
		p := place{parents: v1}
		if v2 != "" && writable(v2) {
			p.hybrid = true
			p.parents[freezer] = v2
		}
		return p, nil
	}
	if v2 == "" {
		return place{}, fmt.Errorf("find control groups: %w: none are mounted", ErrUnsupported)
	}
	p := place{parents: map[string]string{}, unified: true}
	enabled := delegate(v2)
	for _, c := range wanted {
		if slices.Contains(enabled, c) {
			p.parents[c] = v2
		}
	}
	if len(p.parents) == 0 {
		return place{}, fmt.Errorf("find control groups: %w: no controller is delegated to %s", ErrUnsupported, v2)
	}
	p.parents[freezer] = v2 // it needs no controller
	return p, nil
}

// writable reports whether groups can be made in a folder.
func writable(dir string) bool { return unix.Access(dir, unix.W_OK) == nil }

// delegate turns the controllers on for groups below dir, as far as allowed, and returns those
// that are. A group with processes of its own cannot (the kernel's "no internal processes" rule).
func delegate(dir string) []string {
	for _, c := range wanted { // not all at once: one that is not there would fail the others
		_ = write(dir, "cgroup.subtree_control", "+"+c)
	}
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
	if err != nil {
		return nil
	}
	return strings.Fields(string(b))
}

// locate reads mountinfo and cgroup of /proc/self (proc(5), cgroups(7)): version 1's folder of the
// caller for each wanted controller, and version 2's, empty if not mounted.
func locate(mountinfo, cgroup string) (v1 map[string]string, v2 string) {
	v1 = map[string]string{}
	paths := map[string]string{} // controller -> path; "" is version 2
	for line := range strings.SplitSeq(cgroup, "\n") {
		parts := strings.SplitN(line, ":", 3)
		if len(parts) != 3 {
			continue
		}
		for c := range strings.SplitSeq(parts[1], ",") {
			paths[c] = parts[2]
		}
	}
	for line := range strings.SplitSeq(mountinfo, "\n") {
		front, back, ok := strings.Cut(line, " - ")
		if !ok {
			continue
		}
		f, b := strings.Fields(front), strings.Fields(back)
		if len(f) < 5 || len(b) < 3 {
			continue
		}
		root, point := f[3], f[4]
		switch b[0] {
		case "cgroup2":
			v2 = below(root, point, paths[""])
		case "cgroup":
			for c := range strings.SplitSeq(b[2], ",") {
				if slices.Contains(wanted, c) {
					v1[c] = below(root, point, paths[c])
				}
			}
		}
	}
	return v1, v2
}

// below is the folder of a group's path in a mount that shows the tree from root on. In a
// container the two may not fit together; then the mount's top is the caller's own group.
func below(root, point, path string) string {
	if rest, ok := strings.CutPrefix(path, strings.TrimSuffix(root, "/")); ok {
		dir := filepath.Join(point, rest)
		if _, err := os.Stat(dir); err == nil {
			return dir
		}
	}
	return point
}
