package toolchain

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
)

// jdkPrefix begins the names of the folders that InstallJDK makes.
const jdkPrefix = "jdk-"

// jdkVersion is the release of Eclipse Temurin that is installed.
const jdkVersion = "25.0.4.1+1"

// jdkReleases is the vendor's release page.
const jdkReleases = "https://github.com/adoptium/temurin25-binaries/releases/download"

// jdkArchives are the archives of jdkVersion by system. The hashes are those that the vendor's own container images
// are built with (https://github.com/adoptium/containers, 25/jdk).
var jdkArchives = map[string]struct{ system, sha256 string }{
	"linux/amd64": {"x64_linux", "dbb698396d478e7fa2b1e50f4103324b2a99b90569ee27c33f2261f9215cf41e"},
	"linux/arm64": {"aarch64_linux", "69df11a02cfa3ef7d7ca645e03edce6778ec090e100f6ae2b42097865730ac52"},
}

// JDKOptions say which JDK to install. Cache is required.
type JDKOptions struct {
	// Cache is CloudJIT's cache folder.
	Cache string
	// Mirror replaces the vendor's release page: the part of the URL before the version.
	Mirror string
	// URL of another JDK's .tar.gz, and SHA256 of that archive in hexadecimal digits: both or neither.
	URL, SHA256 string
	Progress    ProgressFunc

	downloader *downloader // a test's
}

// archive is what to download, and the name of the folder that it becomes.
func (o JDKOptions) archive() (source, sum, name string, err error) {
	sum = strings.ToLower(strings.TrimSpace(o.SHA256))
	if o.URL != "" {
		u, err := url.Parse(o.URL)
		if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || !strings.HasSuffix(u.Path, ".tar.gz") {
			return "", "", "", fmt.Errorf("%q is not the URL of a .tar.gz: write it like https://example.org/jdk-25.tar.gz", o.URL)
		}
		if !sha256Shape.MatchString(sum) {
			return "", "", "", fmt.Errorf("%q is no SHA-256: give the archive's, 64 hexadecimal digits, with its URL", o.SHA256)
		}
		return o.URL, sum, jdkPrefix + sum[:16], nil
	}
	if sum != "" {
		return "", "", "", errors.New("a SHA-256 was given without the URL of its archive")
	}
	a, ok := jdkArchives[runtime.GOOS+"/"+runtime.GOARCH]
	if !ok {
		return "", "", "", fmt.Errorf("no JDK is known for %s/%s: give the URL of one and its SHA-256", runtime.GOOS, runtime.GOARCH)
	}
	base := strings.TrimSuffix(o.Mirror, "/")
	if base == "" {
		base = jdkReleases
	}
	file := fmt.Sprintf("OpenJDK%dU-jdk_%s_hotspot_%s.tar.gz", builderFeature, a.system, strings.ReplaceAll(jdkVersion, "+", "_"))
	return base + "/jdk-" + url.QueryEscape(jdkVersion) + "/" + file, a.sha256, jdkPrefix + jdkVersion, nil
}

// InstallJDK downloads a JDK, verifies it against the SHA-256 that is known beforehand and unpacks it into the cache,
// where FindJDKs finds it; or returns the one that is there. Concurrent calls wait for the first; an interrupted
// download goes on where it broke off.
func InstallJDK(ctx context.Context, o JDKOptions) (JDK, error) {
	source, sum, name, err := o.archive()
	if err != nil {
		return JDK{}, fmt.Errorf("install a JDK: %w", err)
	}
	if o.downloader == nil {
		o.downloader = newDownloader(o.Progress)
	}
	dir := filepath.Join(toolchainsDir(o.Cache), name)
	j, err := installOnce(ctx, dir, o.Progress, func() (JDK, error) { return wholeJDK(dir) }, func() error {
		if err := sweep(dir); err != nil {
			return err
		}
		return o.downloader.install(ctx, source, sum, dir, filepath.Join(o.Cache, "downloads"), func(top string) error {
			_, err := wholeJDK(top)
			return err
		})
	})
	if refused(ctx, err) {
		return JDK{}, &Error{Op: "install a JDK", Err: err,
			Hint: fmt.Sprintf("name a mirror of %s with --mirror, or install openjdk-%d-jdk-headless with apt-get", jdkReleases, builderFeature)}
	}
	if err != nil {
		return JDK{}, fmt.Errorf("install a JDK: %w", err)
	}
	return j, nil
}

// wholeJDK reads a JDK that has a compiler.
func wholeJDK(home string) (JDK, error) {
	j, err := readJDK(home)
	if err != nil {
		return j, err
	}
	if javac := path.Join("bin", "javac"); !executable(filepath.Join(home, javac)) {
		return j, fmt.Errorf("it has no %s: it is a runtime, and a JDK is needed", javac)
	}
	if _, err := os.Stat(filepath.Join(home, "lib", "modules")); err != nil {
		return j, errors.New("it has no lib/modules")
	}
	return j, nil
}
