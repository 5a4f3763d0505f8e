package toolchain

import (
	"bufio"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	"github.com/cloudjit/cloudjit/internal/untar"
)

// kernelSources are Debian's sources of the small kernel by architecture, of the same release as guestKernels. The hashes are those
// of Debian's signed index.
var kernelSources = map[string]pin{
	"amd64": {"debian/pool/main/l/linux/linux-source-6.1_6.1.176-1_all.deb", "9305d1a151b8e83dcb88aa11361e7b9513f0c252bdf7f5647e4542762d99c094", 139131140},
}

// kernelConfig is what the small kernel has beyond tinyconfig.
//
//go:embed kernel.config
var kernelConfig string

// kernelFormat is in the address of a small kernel: it changes with how one is built.
const kernelFormat = "1"

// Files of a small kernel's folder, beside guestKernel.
const (
	kernelModule = "virtio_blk.ko" // the only module
	kernelWhole  = "config"        // the whole configuration, for who wants to look
)

// kernelAddress says what the small kernel is made of; empty: none is known for this architecture.
func kernelAddress() string {
	source, ok := kernelSources[runtime.GOARCH]
	if !ok {
		return ""
	}
	sum := sha256.Sum256([]byte(kernelFormat + "\n" + source.sha256 + "\n" + kernelConfig))
	return hex.EncodeToString(sum[:8])
}

func kernelDir(cache string) string { return filepath.Join(cache, "guest", "kernel-"+kernelAddress()) }

// FindKernel fails where the small kernel is not in the cache, and says how it is built.
func FindKernel(cache string) error {
	if _, err := os.Stat(filepath.Join(kernelDir(cache), guestKernel)); err != nil {
		return &Error{Op: "find the small kernel", Err: errors.New("it is not built yet"), Hint: "cloudjit guest build --kernel small"}
	}
	return nil
}

// smallKernel is the small kernel, built where it is not in the cache. It takes minutes, so that it stays there for guests with
// other agents.
func (o *GuestOptions) smallKernel(ctx context.Context) ([]byte, []module, error) {
	dir := kernelDir(o.Cache)
	find := func() (string, error) { return dir, FindKernel(o.Cache) }
	dir, err := installOnce(ctx, dir, o.Progress, find, func() error { return o.buildKernel(ctx, dir) })
	if err != nil {
		return nil, nil, fmt.Errorf("build the small kernel: %w", err)
	}
	vmlinux, err := os.ReadFile(filepath.Join(dir, guestKernel))
	if err != nil {
		return nil, nil, err
	}
	ko, err := os.ReadFile(filepath.Join(dir, kernelModule))
	if err != nil {
		return nil, nil, err
	}
	return vmlinux, []module{{strings.TrimSuffix(kernelModule, ".ko"), ko}}, nil
}

// kernelTools are what the kernel is built with, and Debian's packages of them.
var kernelTools = []struct{ what, pkg string }{
	{"gcc", "gcc"}, {"ld", "binutils"}, {"make", "make"}, {"flex", "flex"}, {"bison", "bison"}, {"bc", "bc"}, {"perl", "perl-base"}, {"xz", "xz-utils"},
	{"/usr/include/stdio.h", "libc6-dev"}, {"/usr/include/libelf.h", "libelf-dev"},
}

// checkKernelTools says what is missing, and how it is installed.
func checkKernelTools() error {
	var missing []string
	for _, t := range kernelTools {
		_, err := exec.LookPath(t.what)
		if path.IsAbs(t.what) {
			_, err = os.Stat(t.what)
		}
		if err != nil {
			missing = append(missing, t.pkg)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	names := strings.Join(missing, " ")
	return &Error{Op: "compile", Err: errors.New("missing system packages: " + names), Hint: "as root: apt-get install -y --no-install-recommends " + names}
}

func (o *GuestOptions) buildKernel(ctx context.Context, dir string) error {
	if err := checkKernelTools(); err != nil {
		return err
	}
	source := kernelSources[runtime.GOARCH]
	file, err := o.fetch(ctx, source)
	if err != nil {
		return err
	}
	part := dir + ".part" // nobody else builds this one now; what is there is of one who was killed
	if err := errors.Join(os.RemoveAll(part), os.Mkdir(part, 0o755)); err != nil {
		return err
	}
	defer os.RemoveAll(part)
	tree, err := unpackSource(ctx, file, part)
	if err != nil {
		return fmt.Errorf("unpack %s: %w", source.name(), err)
	}
	k := &kernelTree{dir: tree, progress: o.Progress}
	if err := k.configure(ctx); err != nil {
		return err
	}
	if err := k.compile(ctx); err != nil {
		return err
	}
	out := filepath.Join(part, "out")
	if err := os.Mkdir(out, 0o755); err != nil {
		return err
	}
	if err := k.give(ctx, out); err != nil {
		return err
	}
	_ = os.RemoveAll(dir) // one that is not whole
	if err := os.Rename(out, dir); err != nil {
		return err
	}
	_ = os.Remove(file)
	return nil
}

// unusedSources are large parts of the kernel that the small one has nothing of. What says how they are built is read even so.
var (
	unusedSources = regexp.MustCompile(`^[^/]+/(Documentation|LICENSES|rust|samples|sound|tools/(perf|testing)|` +
		`arch/(alpha|arc|arm|arm64|csky|hexagon|ia64|loongarch|m68k|microblaze|mips|nios2|openrisc|parisc|powerpc|riscv|s390|sh|sparc|um|xtensa)|` +
		`drivers/(gpu|infiniband|media|staging|iio|net/(ethernet|wireless))|fs/(xfs|btrfs|ocfs2|f2fs))/`)
	buildFiles = regexp.MustCompile(`/(Kconfig[^/]*|Makefile[^/]*|Kbuild[^/]*)$`)
)

func usedSource(name string) bool {
	return !unusedSources.MatchString(name) || buildFiles.MatchString(name)
}

// unpackSource unpacks what the small kernel needs of Debian's package, and returns the folder of the tree.
func unpackSource(ctx context.Context, file, dir string) (string, error) {
	isSource := regexp.MustCompile(`^usr/src/linux-source-[^/]+\.tar\.xz$`)
	if err := unpackDeb(ctx, file, dir, isSource.MatchString); err != nil {
		return "", err
	}
	archives, err := filepath.Glob(filepath.Join(dir, "usr", "src", "*.tar.xz"))
	if err != nil || len(archives) != 1 {
		return "", fmt.Errorf("it holds %d archives, want one", len(archives))
	}
	f, err := os.Open(archives[0])
	if err != nil {
		return "", err
	}
	defer f.Close()
	r, done, err := decompress(ctx, f)
	if err != nil {
		return "", err
	}
	defer done()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	top := ""
	for e, err := range untar.Entries(bufio.NewReaderSize(r, 1<<20), untar.Limits{Bytes: 2 << 30, Entries: 200_000}) {
		if err != nil {
			return "", err
		}
		if top == "" {
			top, _, _ = strings.Cut(e.Name, "/")
		}
		if e.IsDir() || !usedSource(e.Name) {
			continue
		}
		if err := e.Extract(root, e.Name, e.Executable(), top); err != nil {
			return "", fmt.Errorf("%s: %w", e.Name, err)
		}
	}
	return filepath.Join(dir, top), nil
}

// kernelTree is a kernel's source that is being built.
type kernelTree struct {
	dir      string
	progress ProgressFunc
}

// make runs the kernel's makefile. Nothing of this machine or user is in what it makes, but what the compiler makes of the source.
func (k *kernelTree) make(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "make", append([]string{"-s", "-C", k.dir, "ARCH=x86_64"}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + k.dir, "LC_ALL=C", "TZ=UTC",
		"KBUILD_BUILD_TIMESTAMP=1970-01-01 00:00:00 UTC", "KBUILD_BUILD_USER=cloudjit", "KBUILD_BUILD_HOST=cloudjit", "KBUILD_BUILD_VERSION=1"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		text := strings.TrimSpace(string(out))
		return fmt.Errorf("make %s: %w: %s", strings.Join(args, " "), err, text[max(0, len(text)-2000):])
	}
	return nil
}

// configure makes the whole configuration, and makes sure that it says all that kernelConfig wants.
func (k *kernelTree) configure(ctx context.Context) error {
	k.progress.report("configure the kernel", 0, 0)
	if err := k.make(ctx, "tinyconfig"); err != nil {
		return err
	}
	file := filepath.Join(k.dir, ".config")
	tiny, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, append(tiny, kernelConfig...), 0o644); err != nil {
		return err
	}
	if err := k.make(ctx, "olddefconfig"); err != nil {
		return err
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return checkConfig(string(whole), kernelConfig)
}

// unset is how a configuration says that an option is off.
var unset = regexp.MustCompile(`^# (CONFIG_\w+) is not set$`)

// checkConfig fails for what a configuration has otherwise than it is wanted: an option that depends on another one is dropped
// without a word.
func checkConfig(whole, wanted string) error {
	has := map[string]string{}
	for line := range strings.Lines(whole) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && strings.HasPrefix(name, "CONFIG_") {
			has[name] = value
		}
	}
	var wrong []string
	for line := range strings.Lines(wanted) {
		line = strings.TrimSpace(line)
		name, value, set := strings.Cut(line, "=")
		if m := unset.FindStringSubmatch(line); m != nil {
			name, value = m[1], ""
		} else if !set || strings.HasPrefix(line, "#") {
			continue
		}
		if has[name] != value {
			wrong = append(wrong, line)
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("configure the kernel: it does not take %s", strings.Join(wrong, ", "))
	}
	return nil
}

func (k *kernelTree) compile(ctx context.Context) error {
	k.progress.report("compile the kernel, which takes minutes", 0, 0)
	return k.make(ctx, "-j"+strconv.Itoa(runtime.GOMAXPROCS(0)), "vmlinux", "modules")
}

// give leaves what guests need in a folder, without the names of what is in it.
func (k *kernelTree) give(ctx context.Context, out string) error {
	for from, args := range map[string][]string{
		"vmlinux":                     {"--strip-all", "-o", filepath.Join(out, guestKernel)},
		"drivers/block/virtio_blk.ko": {"--strip-debug", "-o", filepath.Join(out, kernelModule)},
	} {
		if err := run(ctx, "strip", append(args, filepath.Join(k.dir, from))...); err != nil {
			return err
		}
	}
	config, err := os.ReadFile(filepath.Join(k.dir, ".config"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, kernelWhole), config, 0o644)
}
