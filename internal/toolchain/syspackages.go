package toolchain

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Requirement is a part of the system that building images needs.
type Requirement struct {
	// Name is what is needed: "C compiler".
	Name string `json:"name"`
	// Package is Debian's name of what brings it.
	Package string `json:"package"`
	// Present reports that it is there.
	Present bool `json:"present"`
}

// CheckSystem looks for the C compiler, the C library's headers and zlib, which every
// native-image builder needs to link.
func CheckSystem(ctx context.Context) []Requirement {
	compiles := func(program string, args ...string) bool {
		cmd := exec.CommandContext(ctx, "gcc", append([]string{"-xc", "-", "-o", "/dev/null"}, args...)...)
		cmd.Stdin = strings.NewReader(program)
		return cmd.Run() == nil
	}
	_, gcc := exec.LookPath("gcc")
	_, ar := exec.LookPath("ar")
	return []Requirement{
		{Name: "C compiler", Package: "gcc", Present: gcc == nil && ar == nil},
		{Name: "headers of the C library", Package: "libc6-dev", Present: gcc == nil && compiles("#include <stdio.h>\nint main(void) { return 0; }")},
		{Name: "zlib with headers", Package: "zlib1g-dev", Present: gcc == nil && compiles("#include <zlib.h>\nint main(void) { return !zlibVersion(); }", "-lz")},
	}
}

// checkPackages makes sure that the system has what is needed, or says how it gets it.
func checkPackages(ctx context.Context, install bool, progress ProgressFunc) error {
	missing := missingPackages(ctx)
	if len(missing) == 0 {
		return ctx.Err()
	}
	if install && os.Geteuid() == 0 {
		if _, err := exec.LookPath("apt-get"); err == nil {
			progress.report("install "+strings.Join(missing, ", "), 0, 0)
			args := append([]string{"install", "-y", "--no-install-recommends"}, missing...)
			if run(ctx, "apt-get", args...) != nil {
				// The lists may be old or missing.
				if err := run(ctx, "apt-get", "update", "-q"); err != nil {
					return fmt.Errorf("install %s: %w", strings.Join(missing, ", "), err)
				}
				if err := run(ctx, "apt-get", args...); err != nil {
					return fmt.Errorf("install %s: %w", strings.Join(missing, ", "), err)
				}
			}
			if missing = missingPackages(ctx); len(missing) == 0 {
				return nil
			}
		}
	}
	return &Error{Op: "assemble the builder", Err: errors.New("missing system packages: " + strings.Join(missing, ", ")),
		Hint: InstallHint(missing)}
}

func missingPackages(ctx context.Context) []string {
	var missing []string
	for _, r := range CheckSystem(ctx) {
		if !r.Present {
			missing = append(missing, r.Package)
		}
	}
	return missing
}

// InstallHint is the command that installs the packages on this distribution.
func InstallHint(packages []string) string {
	for _, m := range []struct {
		command, install string
		names            map[string]string
	}{
		{"apt-get", "apt-get install -y", nil},
		{"dnf", "dnf install -y", map[string]string{"libc6-dev": "glibc-devel", "zlib1g-dev": "zlib-devel"}},
		{"zypper", "zypper install -y", map[string]string{"libc6-dev": "glibc-devel", "zlib1g-dev": "zlib-devel"}},
		{"pacman", "pacman -S --noconfirm", map[string]string{"libc6-dev": "glibc", "zlib1g-dev": "zlib"}},
	} {
		if _, err := exec.LookPath(m.command); err != nil {
			continue
		}
		names := make([]string, len(packages))
		for i, p := range packages {
			names[i] = p
			if n, ok := m.names[p]; ok {
				names[i] = n
			}
		}
		return "as root: " + m.install + " " + strings.Join(names, " ")
	}
	return "install a C compiler, the C library's headers and zlib's"
}
