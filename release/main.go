// Command release makes what users install: Debian packages, an OCI image, archives, their checksums and their bills of
// materials. The same commit gives the same bytes. It is a module of its own, so that the libraries that make packages are no part of
// the product.
package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// release is one version in the making.
type release struct {
	root    string // of the checkout
	out     string // folder of the results
	version string // as in SemVer
	time    time.Time
	arches  []string
	// binary stands for building one; a test's.
	binary string
	// base is the image's: a .tar.gz, or a reference in a registry; empty: it is made of Debian's packages.
	base string
	// imageArches are the architectures of images; none: no image is made. Where they were not asked for by name, one whose programs
	// do not run here is left out, and said.
	imageArches []string
	asked       bool
	push        string // reference that the image is pushed to
	say         func(format string, args ...any)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	r := &release{say: func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }}
	var arches string
	flag.StringVar(&r.root, "root", "..", "folder of the checkout")
	flag.StringVar(&r.out, "out", "../out/release", "folder of the results; what is in it is replaced")
	flag.StringVar(&r.version, "version", "", "version, as 0.2.0 (the tag of the commit, or its time and hash)")
	flag.StringVar(&arches, "arches", "amd64,arm64", "architectures of packages and archives")
	image := flag.Bool("image", true, "make the image too")
	imageArches := flag.String("image-arches", "", "architectures of the image (those of -arches whose programs can run here)")
	flag.StringVar(&r.base, "base", "", "base of the image: a .tar.gz (ARCH in its name stands for the architecture) or a reference in a registry (made of Debian's packages)")
	flag.StringVar(&r.push, "push", "", "reference in a registry to push the image to")
	flag.Parse()
	r.arches = strings.Split(arches, ",")
	if *image {
		r.imageArches, r.asked = strings.Split(cmp.Or(*imageArches, arches), ","), *imageArches != ""
	}
	if err := r.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func (r *release) run(ctx context.Context) error {
	if err := r.identify(ctx); err != nil {
		return err
	}
	if err := os.RemoveAll(r.out); err != nil {
		return err
	}
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "cloudjit-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	var images []platformImage
	for _, arch := range r.arches {
		binary := r.binary
		if binary == "" {
			binary = filepath.Join(work, arch, "cloudjit")
			r.say("build cloudjit %s for linux/%s", r.version, arch)
			if err := r.build(ctx, arch, binary); err != nil {
				return err
			}
		}
		files, err := r.content(ctx, binary, filepath.Join(work, "share"))
		if err != nil {
			return err
		}
		bom, err := r.bill(binary, arch)
		if err != nil {
			return fmt.Errorf("make the bill of materials: %w", err)
		}
		if err := os.WriteFile(r.path("cloudjit_%s_%s.cdx.json", r.version, arch), bom, 0o644); err != nil {
			return err
		}
		if err := r.archive(files, arch); err != nil {
			return fmt.Errorf("make the archive: %w", err)
		}
		if err := r.deb(files, arch); err != nil {
			return fmt.Errorf("make the Debian package: %w", err)
		}
		if slices.Contains(r.imageArches, arch) {
			image, err := r.makeImage(ctx, files, arch)
			if errors.Is(err, errForeign) && !r.asked {
				r.say("LEFT OUT: %v", err)
				continue
			}
			if err != nil {
				return fmt.Errorf("make the image for %s: %w", arch, err)
			}
			images = append(images, platformImage{arch, image})
		}
	}
	if len(images) > 0 {
		if err := r.publish(ctx, images, work); err != nil {
			return fmt.Errorf("put the images together: %w", err)
		}
	}
	return r.checksums()
}

func (r *release) path(format string, args ...any) string {
	return filepath.Join(r.out, fmt.Sprintf(format, args...))
}

// identify finds the version and the time of what is released: SOURCE_DATE_EPOCH, else the commit's.
func (r *release) identify(ctx context.Context) error {
	git := func(args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, "git", append([]string{"-C", r.root}, args...)...).Output()
		return strings.TrimSpace(string(out)), err
	}
	seconds := os.Getenv("SOURCE_DATE_EPOCH")
	var err error
	if seconds == "" {
		if seconds, err = git("log", "-1", "--format=%ct"); err != nil {
			return fmt.Errorf("find the time of the commit: %w (set SOURCE_DATE_EPOCH where there is no repository)", err)
		}
	}
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return fmt.Errorf("read the time %q: %w", seconds, err)
	}
	r.time = time.Unix(n, 0).UTC()
	if r.version == "" {
		if tag, err := git("describe", "--tags", "--exact-match", "--match", "v[0-9]*"); err == nil {
			r.version = strings.TrimPrefix(tag, "v")
		} else {
			commit, err := git("rev-parse", "--short=12", "HEAD")
			if err != nil {
				return fmt.Errorf("find the version: %w (give one with -version)", err)
			}
			r.version = "0.0.0-" + r.time.Format("20060102150405") + "." + commit
		}
	}
	if strings.Trim(r.version, "0123456789abcdefghijklmnopqrstuvwxyz.-") != "" || r.version[0] < '0' || r.version[0] > '9' {
		return fmt.Errorf("%q is no version: write it like 0.2.0 or 0.2.0-rc.1", r.version)
	}
	return nil
}

// build compiles the product for an architecture: static, and the same for the same source.
func (r *release) build(ctx context.Context, arch, to string) error {
	to, err := filepath.Abs(to)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -buildid= -X github.com/cloudjit/cloudjit/internal/cli.version="+r.version, "-o", to, "./cmd/cloudjit")
	cmd.Dir = r.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOFLAGS=")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build for %s: %w", arch, err)
	}
	return nil
}

// checksums writes SHA256SUMS, as sha256sum -c reads it.
func (r *release) checksums() error {
	entries, err := os.ReadDir(r.out)
	if err != nil {
		return err
	}
	var lines []string
	for _, e := range entries {
		sum, err := sumOf(filepath.Join(r.out, e.Name()))
		if err != nil {
			return err
		}
		lines = append(lines, sum+"  "+e.Name()+"\n")
		r.say("%s", filepath.Join(r.out, e.Name()))
	}
	slices.Sort(lines)
	return os.WriteFile(filepath.Join(r.out, "SHA256SUMS"), []byte(strings.Join(lines, "")), 0o644)
}

func sumOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
