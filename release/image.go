package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// suite is the release of Debian that the image stands on, and basePackages what it has beside the essential: a JDK, and
// what links native binaries.
const suite = "trixie"

var basePackages = []string{"openjdk-25-jdk-headless", "gcc", "libc6-dev", "zlib1g-dev", "ca-certificates"}

// baseAge is how long a base is used again: Debian's security updates shall arrive.
const baseAge = 7 * 24 * time.Hour

// makeImage writes the image as "docker load" and "podman load" read it, and pushes it where that was asked for.
func (r *release) makeImage(ctx context.Context, list []file, arch string) error {
	base, bill, err := r.baseImage(ctx, arch)
	if err != nil {
		return err
	}
	if bill != nil {
		if err := os.WriteFile(r.path("cloudjit_%s_image_%s.cdx.json", r.version, arch), bill, 0o644); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	if err := writeTar(&b, list, r.time, func(p string) string { return strings.TrimPrefix(p, "/") }); err != nil {
		return err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	if err != nil {
		return err
	}
	image, err := mutate.Append(base, mutate.Addendum{Layer: layer, History: v1.History{Created: v1.Time{Time: r.time}, CreatedBy: "cloudjit " + r.version}})
	if err != nil {
		return err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return err
	}
	config = config.DeepCopy()
	config.Architecture, config.OS, config.Created = arch, "linux", v1.Time{Time: r.time}
	config.Config.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/var/lib/cloudjit", "CLOUDJIT_CACHE=/var/cache/cloudjit", "LANG=C.UTF-8"}
	config.Config.Entrypoint, config.Config.Cmd = []string{"/usr/bin/cloudjit"}, []string{"serve", "--config", "/etc/cloudjit/cloudjit.yaml"}
	config.Config.Volumes = map[string]struct{}{"/var/lib/cloudjit": {}, "/var/cache/cloudjit": {}}
	config.Config.ExposedPorts = map[string]struct{}{"9700/tcp": {}}
	config.Config.StopSignal = "SIGTERM"
	config.Config.Labels = map[string]string{"org.opencontainers.image.title": "CloudJIT", "org.opencontainers.image.version": r.version,
		"org.opencontainers.image.licenses": "Apache-2.0", "org.opencontainers.image.source": "https://github.com/cloudjit/cloudjit"}
	if image, err = mutate.ConfigFile(image, config); err != nil {
		return err
	}
	tag, err := name.NewTag("cloudjit:" + r.version)
	if err != nil {
		return err
	}
	if err := tarball.WriteToFile(r.path("cloudjit_%s_image_%s.tar", r.version, arch), tag, image); err != nil {
		return err
	}
	if r.push == "" {
		return nil
	}
	to, err := name.ParseReference(r.push)
	if err != nil {
		return err
	}
	r.say("push %s", to)
	return remote.Write(to, image, remote.WithContext(ctx))
}

// baseImage is what the product is put on, and the list of its packages where we made it.
func (r *release) baseImage(ctx context.Context, arch string) (v1.Image, []byte, error) {
	path := r.base
	if path != "" && !strings.HasSuffix(path, ".tar.gz") {
		ref, err := name.ParseReference(path)
		if err != nil {
			return nil, nil, err
		}
		image, err := remote.Image(ref, remote.WithContext(ctx), remote.WithPlatform(v1.Platform{OS: "linux", Architecture: arch}))
		return image, nil, err
	}
	if path == "" {
		var err error
		if path, err = r.debianBase(ctx, arch); err != nil {
			return nil, nil, err
		}
	}
	layer, err := tarball.LayerFromFile(path)
	if err != nil {
		return nil, nil, err
	}
	image, err := mutate.Append(empty.Image, mutate.Addendum{Layer: layer, History: v1.History{Created: v1.Time{Time: r.time}, CreatedBy: "Debian " + suite}})
	if err != nil {
		return nil, nil, err
	}
	status, err := fromTar(path, "var/lib/dpkg/status")
	if err != nil {
		return nil, nil, err
	}
	bill, err := r.debianBill(status, r.version)
	return image, bill, err
}

// debianBase makes a root of Debian's packages, or takes the one that was made a short time ago.
func (r *release) debianBase(ctx context.Context, arch string) (string, error) {
	cache := os.Getenv("CLOUDJIT_CACHE")
	if cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		cache = filepath.Join(dir, "cloudjit")
	}
	path := filepath.Join(cache, "release", "base-"+suite+"-"+arch+".tar.gz")
	if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) < baseAge {
		return path, nil
	}
	if _, err := exec.LookPath("mmdebstrap"); err != nil {
		return "", errors.New("the image's base is made with mmdebstrap, which is not here: apt-get install mmdebstrap, or name a base with -base, or leave the image out with -image=false")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	r.say("make the image's base of Debian's packages; this takes some minutes")
	part := path + ".part.tar.gz"
	defer os.Remove(part)
	cmd := exec.CommandContext(ctx, "mmdebstrap", "--quiet", "--variant=minbase", "--architectures="+arch, "--include="+strings.Join(basePackages, ","),
		"--dpkgopt=path-exclude=/usr/share/locale/*", "--aptopt=APT::Install-Recommends \"false\"",
		suite, part, "deb http://deb.debian.org/debian "+suite+" main", "deb http://deb.debian.org/debian "+suite+"-updates main",
		"deb http://deb.debian.org/debian-security "+suite+"-security main")
	cmd.Env = append(os.Environ(), fmt.Sprintf("SOURCE_DATE_EPOCH=%d", r.time.Unix()))
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("mmdebstrap: %w: %s", err, lastLines(out))
	}
	return path, os.Rename(part, path)
}

func lastLines(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}

// fromTar reads one file of an archive.
func fromTar(path, name string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if err != nil {
			return nil, fmt.Errorf("find %s in %s: %w", name, path, err)
		}
		if strings.TrimPrefix(h.Name, "./") == name {
			return io.ReadAll(t)
		}
	}
}
