package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// suite is the release of Debian that the image stands on, and basePackages what it has beside the essential: a JDK, and
// what links native binaries.
const suite = "trixie"

var basePackages = []string{"openjdk-25-jdk-headless", "gcc", "libc6-dev", "zlib1g-dev", "ca-certificates"}

// baseAge is how long a base is used again: Debian's security updates shall arrive.
const baseAge = 7 * 24 * time.Hour

// platformImage is the image of one architecture.
type platformImage struct {
	arch  string
	image v1.Image
}

// makeImage writes the image of one architecture as "docker load" and "podman load" read it.
func (r *release) makeImage(ctx context.Context, list []file, arch string) (v1.Image, error) {
	base, bill, err := r.baseImage(ctx, arch)
	if err != nil {
		return nil, err
	}
	if bill != nil {
		if err := os.WriteFile(r.path("cloudjit_%s_image_%s.cdx.json", r.version, arch), bill, 0o644); err != nil {
			return nil, err
		}
	}
	var b bytes.Buffer
	if err := writeTar(&b, list, r.time, func(p string) string { return strings.TrimPrefix(p, "/") }); err != nil {
		return nil, err
	}
	kind := types.OCILayer
	if of, err := base.MediaType(); err != nil {
		return nil, err
	} else if of == types.DockerManifestSchema2 { // a registry's base: all layers of an image are of one kind
		kind = types.DockerLayer
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }, tarball.WithMediaType(kind))
	if err != nil {
		return nil, err
	}
	image, err := mutate.Append(base, mutate.Addendum{Layer: layer, History: v1.History{Created: v1.Time{Time: r.time}, CreatedBy: "cloudjit " + r.version}})
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.Architecture, config.OS, config.Variant, config.Created = arch, "linux", variants[arch], v1.Time{Time: r.time}
	config.Config.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/var/lib/cloudjit", "CLOUDJIT_CACHE=/var/cache/cloudjit", "LANG=C.UTF-8"}
	config.Config.Entrypoint, config.Config.Cmd = []string{"/usr/bin/cloudjit"}, []string{"serve", "--config", "/etc/cloudjit/cloudjit.yaml"}
	config.Config.Volumes = map[string]struct{}{"/var/lib/cloudjit": {}, "/var/cache/cloudjit": {}}
	config.Config.ExposedPorts = map[string]struct{}{"9700/tcp": {}}
	config.Config.StopSignal = "SIGTERM"
	config.Config.Labels = map[string]string{"org.opencontainers.image.title": "CloudJIT", "org.opencontainers.image.version": r.version,
		"org.opencontainers.image.licenses": "Apache-2.0", "org.opencontainers.image.source": "https://github.com/cloudjit/cloudjit"}
	if image, err = mutate.ConfigFile(image, config); err != nil {
		return nil, err
	}
	tag, err := name.NewTag("cloudjit:" + r.version)
	if err != nil {
		return nil, err
	}
	return image, tarball.WriteToFile(r.path("cloudjit_%s_image_%s.tar", r.version, arch), tag, image)
}

// variants are those that registries expect in a platform.
var variants = map[string]string{"arm64": "v8"}

// publish puts the images of all architectures into one index, writes that as an archive with an OCI layout, and pushes it where that
// was asked for.
func (r *release) publish(ctx context.Context, images []platformImage, work string) error {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, i := range images {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: i.image,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: i.arch, Variant: variants[i.arch]}}})
	}
	dir := filepath.Join(work, "layout")
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	if err := path.AppendIndex(index, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": r.version})); err != nil {
		return err
	}
	if err := r.archiveOf(dir, r.path("cloudjit_%s_image.oci.tar", r.version)); err != nil {
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
	return remote.WriteIndex(to, index, remote.WithContext(ctx))
}

// archiveOf writes a folder as an archive, the same bytes for the same files.
func (r *release) archiveOf(dir, to string) error {
	var list []file
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		inside, err := filepath.Rel(dir, path)
		list = append(list, file{path: inside, source: path, mode: 0o644})
		return err
	})
	if err != nil {
		return err
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	return errors.Join(writeTar(out, list, r.time, func(p string) string { return p }), out.Close())
}

// baseImage is what the product is put on, and the list of its packages where we made it.
func (r *release) baseImage(ctx context.Context, arch string) (v1.Image, []byte, error) {
	path := strings.ReplaceAll(r.base, "ARCH", arch)
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
	layer, err := tarball.LayerFromFile(path, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err = mutate.Append(image, mutate.Addendum{Layer: layer, History: v1.History{Created: v1.Time{Time: r.time}, CreatedBy: "Debian " + suite}})
	if err != nil {
		return nil, nil, err
	}
	status, err := fromTar(path, "var/lib/dpkg/status")
	if err != nil {
		return nil, nil, err
	}
	bill, of, err := r.debianBill(status, r.version)
	if err == nil && of != arch {
		err = fmt.Errorf("%s is a base for %s, and the image is for %s", path, of, arch)
	}
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
	work, err := os.MkdirTemp(filepath.Dir(path), "base-*") // two who make it at once do not write into one file
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	part := filepath.Join(work, "base.tar.gz")
	args := []string{"mmdebstrap", "--quiet", "--variant=minbase", "--architectures=" + arch, "--include=" + strings.Join(basePackages, ","),
		"--dpkgopt=path-exclude=/usr/share/locale/*", "--aptopt=APT::Install-Recommends \"false\"",
		suite, part, "deb http://deb.debian.org/debian " + suite + " main", "deb http://deb.debian.org/debian " + suite + "-updates main",
		"deb http://deb.debian.org/debian-security " + suite + "-security main"}
	cmd, err := foreign(ctx, arch, args...)
	if err != nil {
		return "", err
	}
	cmd.Env = append(os.Environ(), fmt.Sprintf("SOURCE_DATE_EPOCH=%d", r.time.Unix()))
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("mmdebstrap: %w: %s", err, lastLines(out))
	}
	return path, os.Rename(part, path)
}

//go:embed emulate.sh
var emulate string

// emulators are those of QEMU, and which programs are theirs: the first 20 bytes of an ELF file, as the kernel wants them.
var emulators = map[string]struct{ name, magic string }{
	"arm64": {"qemu-aarch64-static", `\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00`},
	"amd64": {"qemu-x86_64-static", `\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x3e\x00`},
}

// errForeign: the base of an image is made with programs of its architecture.
var errForeign = errors.New("this machine does not run programs of that architecture, which make the image's base")

// foreign is a command that runs programs of an architecture. Where the machine does not run them, QEMU is registered with the
// kernel for this one command.
func foreign(ctx context.Context, arch string, args ...string) (*exec.Cmd, error) {
	if arch == hostArch || exec.CommandContext(ctx, "arch-test", arch).Run() == nil {
		return exec.CommandContext(ctx, args[0], args[1:]...), nil
	}
	e, known := emulators[arch]
	path, err := exec.LookPath(e.name)
	if !known || err != nil {
		return nil, fmt.Errorf("the image for %s: %w: apt-get install qemu-user-static, or make it on such a machine", arch, errForeign)
	}
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("the image for %s: %w: run as root, or register QEMU with the kernel (apt-get install qemu-user-static binfmt-support)", arch, errForeign)
	}
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-c", emulate, "emulate", path, e.magic}, args...)...)
	all := []syscall.SysProcIDMap{{Size: 1 << 16}}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID, UidMappings: all, GidMappings: all, GidMappingsEnableSetgroups: true}
	return cmd, nil
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
