package toolchain

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// firecrackerPrefix begins the names of the folders that InstallFirecracker makes.
const firecrackerPrefix = "firecracker-"

// firecrackerVersion is the release that is installed by default.
const firecrackerVersion = "1.16.1"

const firecrackerReleases = "https://github.com/firecracker-microvm/firecracker/releases/download"

// FirecrackerOptions say which Firecracker to install. Cache is required.
type FirecrackerOptions struct {
	// Cache is CloudJIT's cache folder.
	Cache string
	// Version is "1.16.1"; "": the one that CloudJIT is written for.
	Version string
	// Mirror replaces the release page: the part of the URL before the version.
	Mirror string
	// SHA256 of the archive in hexadecimal digits; "": the one that is published beside it.
	SHA256   string
	Progress ProgressFunc

	downloader *downloader // a test's
}

// firecrackerMachine is how releases name this processor.
func firecrackerMachine() (string, error) {
	name, ok := map[string]string{"amd64": "x86_64"}[runtime.GOARCH]
	if !ok || runtime.GOOS != "linux" {
		return "", fmt.Errorf("microVMs are not made on %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	return name, nil
}

// firecrackerProgram is the name of the program in the archive of a version, and in the folder that it becomes.
func firecrackerProgram(version, machine string) string {
	return "firecracker-v" + version + "-" + machine
}

// InstallFirecracker downloads a release of Firecracker, verifies it against its SHA-256 and unpacks it into the cache, or returns the
// program that is there. Concurrent calls wait for the first; an interrupted download goes on where it broke off.
func InstallFirecracker(ctx context.Context, o FirecrackerOptions) (string, error) {
	if o.Version = strings.TrimPrefix(o.Version, "v"); o.Version == "" {
		o.Version = firecrackerVersion
	}
	fail := func(err error) (string, error) {
		return "", fmt.Errorf("install Firecracker %s: %w", o.Version, err)
	}
	machine, err := firecrackerMachine()
	if err != nil {
		return fail(err)
	}
	if !versionShape.MatchString(o.Version) {
		return "", fmt.Errorf("%q is no version of Firecracker; write it like %s", o.Version, firecrackerVersion)
	}
	sum := strings.ToLower(strings.TrimSpace(o.SHA256))
	if sum != "" && !sha256Shape.MatchString(sum) {
		return fail(fmt.Errorf("%q is no SHA-256: want 64 hexadecimal digits", o.SHA256))
	}
	if o.downloader == nil {
		o.downloader = newDownloader(o.Progress)
	}
	base := strings.TrimSuffix(o.Mirror, "/")
	if base == "" {
		base = firecrackerReleases
	}
	name := firecrackerProgram(o.Version, machine)
	source := fmt.Sprintf("%s/v%s/%s.tgz", base, o.Version, name)
	dir := filepath.Join(toolchainsDir(o.Cache), firecrackerPrefix+o.Version)
	find := func() (string, error) {
		program := filepath.Join(dir, name)
		if !executable(program) {
			return "", fmt.Errorf("there is no %s", program)
		}
		return program, nil
	}
	program, err := installOnce(ctx, dir, o.Progress, find, func() error {
		if err := sweep(dir); err != nil {
			return err
		}
		if sum == "" {
			var err error
			if sum, err = o.downloader.checksum(ctx, source+".sha256.txt"); err != nil {
				return err
			}
		}
		return o.downloader.install(ctx, source, sum, dir, filepath.Join(o.Cache, "downloads"), func(top string) error {
			if !executable(filepath.Join(top, name)) {
				return fmt.Errorf("it has no program %s", name)
			}
			return nil
		})
	})
	if refused(ctx, err) {
		return "", &Error{Op: "install Firecracker " + o.Version, Err: err,
			Hint: fmt.Sprintf("name a mirror of %s with --mirror, or the program of another installation with workers.firecracker", firecrackerReleases)}
	}
	if err != nil {
		return fail(err)
	}
	return program, nil
}

// FindFirecracker returns Firecracker's program: the one that is named, else the newest in the cache, else the system's. The error says
// what to do.
func FindFirecracker(named, cache string) (string, error) {
	fail := func(err error) (string, error) {
		return "", &Error{Op: "find Firecracker", Err: err, Hint: "cloudjit toolchain install firecracker"}
	}
	machine, err := firecrackerMachine()
	if err != nil {
		return "", err
	}
	if named != "" {
		if !executable(named) {
			return fail(fmt.Errorf("workers.firecracker: %s is no program", named))
		}
		return filepath.Abs(named)
	}
	folders, _ := filepath.Glob(filepath.Join(toolchainsDir(cache), firecrackerPrefix+"*"))
	var versions []string
	for _, f := range folders {
		if v := strings.TrimPrefix(filepath.Base(f), firecrackerPrefix); versionShape.MatchString(v) {
			versions = append(versions, v)
		}
	}
	slices.SortFunc(versions, func(a, b string) int {
		if olderVersion(b, a) {
			return -1
		}
		return 1
	})
	for _, v := range versions {
		if p := filepath.Join(toolchainsDir(cache), firecrackerPrefix+v, firecrackerProgram(v, machine)); executable(p) {
			return p, nil
		}
	}
	for _, p := range []string{"/usr/bin/firecracker", "/usr/local/bin/firecracker"} {
		if executable(p) {
			if real, err := filepath.EvalSymlinks(p); err == nil {
				return real, nil
			}
		}
	}
	return fail(errors.New("there is none"))
}
