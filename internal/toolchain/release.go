package toolchain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Release pages of the two editions.
const (
	communityReleases = "https://github.com/graalvm/graalvm-ce-builds/releases/download"
	oracleReleases    = "https://download.oracle.com/graalvm"
)

// ReleaseOptions say which official GraalVM to install.
type ReleaseOptions struct {
	// Cache is CloudJIT's cache folder.
	Cache string
	// Version is "25.0.2"; "": the one that CloudJIT is tested with.
	Version string
	// Edition is "community" or "oracle"; "": community. Oracle's has a licence of its own.
	Edition string
	// Mirror replaces the edition's release page: the part of the URL before the version.
	Mirror   string
	Progress ProgressFunc

	downloader *downloader // a test's
}

// versionShape keeps a version from being more than a part of a file name.
var versionShape = regexp.MustCompile(`^[0-9]+(\.[0-9]+){0,4}$`)

// archive is the URL of the archive; its checksum is at the same URL with .sha256.
func (o ReleaseOptions) archive() (string, error) {
	if !versionShape.MatchString(o.Version) {
		return "", fmt.Errorf("%q is no version of GraalVM; write it like %s", o.Version, builderVersion)
	}
	system, ok := map[string]string{"linux/amd64": "linux-x64", "linux/arm64": "linux-aarch64",
		"darwin/arm64": "macos-aarch64", "darwin/amd64": "macos-x64"}[runtime.GOOS+"/"+runtime.GOARCH]
	if !ok {
		return "", fmt.Errorf("there is no GraalVM for %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	base := strings.TrimSuffix(o.Mirror, "/")
	switch o.Edition {
	case "community":
		if base == "" {
			base = communityReleases
		}
		return fmt.Sprintf("%s/jdk-%s/graalvm-community-jdk-%s_%s_bin.tar.gz", base, o.Version, o.Version, system), nil
	case "oracle":
		if base == "" {
			base = oracleReleases
		}
		feature, _, _ := strings.Cut(o.Version, ".")
		return fmt.Sprintf("%s/%s/archive/graalvm-jdk-%s_%s_bin.tar.gz", base, feature, o.Version, system), nil
	}
	return "", fmt.Errorf("%q is no edition of GraalVM; there are community and oracle", o.Edition)
}

func (o ReleaseOptions) withDefaults() ReleaseOptions {
	if o.Version == "" {
		o.Version = builderVersion
	}
	if o.Edition == "" {
		o.Edition = "community"
	}
	if o.downloader == nil {
		o.downloader = newDownloader(o.Progress)
	}
	return o
}

// InstallRelease downloads an official GraalVM, verifies it against its published checksum
// and unpacks it into the cache, or returns the one that is there. Concurrent calls wait for
// the first; an interrupted download goes on where it broke off.
func InstallRelease(ctx context.Context, o ReleaseOptions) (Toolchain, error) {
	o = o.withDefaults()
	url, err := o.archive()
	if err != nil {
		return Toolchain{}, err
	}
	dir := filepath.Join(toolchainsDir(o.Cache), "graalvm-"+o.Edition+"-"+o.Version)
	tc, err := installOnce(ctx, dir, o.Progress, func() (Toolchain, error) { return inspect(homeIn(dir)) }, func() error { return o.install(ctx, url, dir) })
	if err != nil {
		return Toolchain{}, fmt.Errorf("install GraalVM %s: %w", o.Version, err)
	}
	return tc, nil
}

// installOnce returns what is found at dir, and installs it before that if it is not there. Concurrent calls, of other
// processes too, wait for the one that does.
func installOnce[T any](ctx context.Context, dir string, progress ProgressFunc, find func() (T, error), install func() error) (T, error) {
	if found, err := find(); err == nil {
		return found, nil
	}
	var nothing T
	release, err := lock(ctx, dir+".lock", func() { progress.report("wait for another installation", 0, 0) })
	if err != nil {
		return nothing, err
	}
	defer release()
	if found, err := find(); err == nil {
		return found, nil
	}
	if err := install(); err != nil {
		return nothing, err
	}
	return find()
}

// homeIn is the home in an unpacked archive; on macOS it is a bundle.
func homeIn(dir string) string {
	bundle := filepath.Join(dir, "Contents", "Home")
	if _, err := os.Stat(bundle); err == nil {
		return bundle
	}
	return dir
}

func (o ReleaseOptions) install(ctx context.Context, url, dir string) error {
	if err := sweep(dir); err != nil {
		return err
	}
	sum, err := o.downloader.checksum(ctx, url+".sha256")
	if err != nil {
		return err
	}
	return o.downloader.install(ctx, url, sum, dir, filepath.Join(o.Cache, "downloads"), func(top string) error {
		_, err := inspect(homeIn(top))
		return err
	})
}

// install downloads an archive of one folder to the folder downloads and makes dir of it, if check finds nothing wrong
// with what was unpacked. The caller holds the lock of dir.
func (d *downloader) install(ctx context.Context, url, sum, dir, downloads string, check func(top string) error) error {
	archive := filepath.Join(downloads, path.Base(url))
	if got, err := fileSHA256(archive); err != nil || got != sum {
		if err := d.fetch(ctx, url, archive, sum); err != nil {
			return err
		}
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), filepath.Base(dir)+".tmp-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	d.progress.report("unpack "+filepath.Base(archive), 0, 0)
	top, err := unpack(ctx, archive, work, unpackLimits)
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, unix.ENOSPC) {
			os.Remove(archive) // it would fail again
		}
		return fmt.Errorf("unpack %s: %w", filepath.Base(archive), err)
	}
	if err := check(top); err != nil {
		os.Remove(archive)
		return fmt.Errorf("%s is not usable: %w", filepath.Base(archive), err)
	}
	if err := os.Rename(top, dir); err != nil {
		return err
	}
	os.Remove(archive) // it could only be unpacked again
	return nil
}

var sha256Shape = regexp.MustCompile(`^[0-9a-f]{64}$`)

// checksum reads a published .sha256 file: the hash, perhaps followed by a file name.
func (d *downloader) checksum(ctx context.Context, url string) (string, error) {
	pause := d.pause
	for try := 1; ; try++ {
		sum, err := d.checksumOnce(ctx, url)
		if err == nil || permanent(err) || ctx.Err() != nil || try >= downloadTries {
			return sum, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause *= 2
	}
}

func (d *downloader) checksumOnce(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", &statusError{url, resp.StatusCode}
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1024))
	if err != nil {
		return "", fmt.Errorf("GET %s: %w", url, err)
	}
	fields := strings.Fields(strings.ToLower(string(data)))
	if len(fields) == 0 || !sha256Shape.MatchString(fields[0]) {
		return "", fmt.Errorf("GET %s: %w: the answer is no SHA-256", url, ErrChecksum)
	}
	return fields[0], nil
}

// ReleaseReachable asks the release page for the checksum of the release, and nothing more.
// It returns nil when the release can be installed from there, within the timeout.
func ReleaseReachable(ctx context.Context, o ReleaseOptions, timeout time.Duration) error {
	o = o.withDefaults()
	url, err := o.archive()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %v", timeout))
	defer cancel()
	_, err = o.downloader.checksumOnce(ctx, url+".sha256")
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	if err != nil {
		return fmt.Errorf("reach the release page of GraalVM: %w", err)
	}
	return nil
}
