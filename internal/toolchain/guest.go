package toolchain

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"
)

// Kernels of guests.
const (
	// KernelDebian is Debian's for clouds.
	KernelDebian = "debian"
	// KernelSmall is built of Debian's source with a small configuration: see kernel.config.
	KernelSmall = "small"
)

// guestKernels are Debian's kernels for clouds by architecture, of a release that gets no more point
// releases. The hashes are those of Debian's signed index.
var guestKernels = map[string]pin{
	"amd64": {"debian/pool/main/l/linux-signed-amd64/linux-image-6.1.0-50-cloud-amd64_6.1.176-1_amd64.deb", "efe19f605b6f54a8352e68d85a629abb2d30b72a085faef603a9152590baa791", 26484304},
}

// guestModules are what a guest needs of the modules of Debian's kernel, on QEMU and on Firecracker; those that they need come too.
// The agent keeps drives from being looked at once it comes to virtio_blk, so that one is the last.
var guestModules = []string{"virtio_pci", "virtio_mmio", "virtio_console", "virtio_rng", "erofs", "tun", "vmw_vsock_virtio_transport", "virtio_blk"}

// guestFormat is in the address of a guest: it changes with how one is made.
const guestFormat = "3"

// Files of a guest's folder.
const (
	guestKernel = "vmlinux"   // an uncompressed ELF
	guestInit   = "initramfs" // cpio(5), "newc"
)

// GuestOptions of BuildGuest and FindGuest.
type GuestOptions struct {
	Cache string
	// Agent is the program that becomes the guest's first process.
	Agent string
	// Kernel is KernelDebian or KernelSmall; empty: what ChooseKernel chose for this cache.
	Kernel string
	// DebianURL replaces the mirror that apt is set up for.
	DebianURL string
	Progress  ProgressFunc
}

// Guest is what virtual machines boot.
type Guest struct {
	// Dir is its folder: its name says what it is made of.
	Dir string `json:"guest"`
	// Kernel is KernelDebian or KernelSmall.
	Kernel string `json:"kernel"`
	// Vmlinux and Init are the kernel and its first file system.
	Vmlinux string `json:"-"`
	Init    string `json:"-"`
}

// chosenKernel is the file of the cache that ChooseKernel writes.
func chosenKernel(cache string) string { return filepath.Join(cache, "guest", "kernel") }

// ChooseKernel says which kernel the guests of a cache have from now on, where nobody asks for another one.
func ChooseKernel(cache, kernel string) error {
	file := chosenKernel(cache)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("choose the kernel of guests: %w", err)
	}
	if err := os.WriteFile(file, []byte(kernel+"\n"), 0o644); err != nil {
		return fmt.Errorf("choose the kernel of guests: %w", err)
	}
	return nil
}

// ChosenKernel is what ChooseKernel chose, else KernelDebian.
func ChosenKernel(cache string) string {
	b, err := os.ReadFile(chosenKernel(cache))
	if name := strings.TrimSpace(string(b)); err == nil && name != "" {
		return name
	}
	return KernelDebian
}

// guest says where the guest is: its address is what it is made of.
func (o *GuestOptions) guest() (Guest, error) {
	g := Guest{Kernel: o.Kernel}
	if g.Kernel == "" {
		g.Kernel = ChosenKernel(o.Cache)
	}
	var made string // what the kernel is made of
	switch g.Kernel {
	case KernelDebian:
		made = guestKernels[runtime.GOARCH].sha256
	case KernelSmall:
		made = kernelAddress()
	default:
		return g, fmt.Errorf("no kernel %q of guests: want %s or %s", g.Kernel, KernelDebian, KernelSmall)
	}
	if made == "" {
		return g, fmt.Errorf("no guest is known for %s", runtime.GOARCH)
	}
	agent, err := fileSHA256(o.Agent)
	if err != nil {
		return g, err
	}
	sum := sha256.Sum256([]byte(guestFormat + "\n" + made + "\n" + agent + "\n"))
	g.Dir = filepath.Join(o.Cache, "guest", hex.EncodeToString(sum[:8]))
	g.Vmlinux, g.Init = filepath.Join(g.Dir, guestKernel), filepath.Join(g.Dir, guestInit)
	return g, nil
}

// GuestImages is the folder of guests' read-only images.
func GuestImages(cache string) string { return filepath.Join(cache, "guest", "images") }

// FindGuest returns the guest that this cloudjit makes. The error says how it is made.
func FindGuest(o GuestOptions) (Guest, error) {
	g, err := o.guest()
	if err != nil {
		return g, err
	}
	for _, file := range []string{g.Vmlinux, g.Init} {
		if _, err := os.Stat(file); err != nil {
			return g, &Error{Op: "find the guest of microVMs", Err: fmt.Errorf("it is not made yet: no %s", file), Hint: "cloudjit guest build"}
		}
	}
	return g, nil
}

// BuildGuest makes the guest of microVMs, if it is not there: a kernel and a first file system with its modules and
// the agent. The same packages, agent and, for the small kernel, compiler make the same bytes.
func BuildGuest(ctx context.Context, o GuestOptions) (Guest, error) {
	fail := func(err error) (Guest, error) { return Guest{}, fmt.Errorf("build the guest: %w", err) }
	g, err := o.guest()
	if err != nil {
		return fail(err)
	}
	if err := os.MkdirAll(filepath.Dir(g.Dir), 0o755); err != nil {
		return fail(err)
	}
	find := func() (Guest, error) { return FindGuest(o) }
	if g, err = installOnce(ctx, g.Dir, o.Progress, find, func() error { return o.build(ctx, g) }); err != nil {
		return fail(err)
	}
	return g, nil
}

func (o *GuestOptions) build(ctx context.Context, g Guest) error {
	get := o.debianKernel
	if g.Kernel == KernelSmall {
		get = o.smallKernel
	}
	vmlinux, modules, err := get(ctx)
	if err != nil {
		return err
	}
	agent, err := os.ReadFile(o.Agent)
	if err != nil {
		return err
	}
	part, err := os.MkdirTemp(filepath.Dir(g.Dir), "part-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(part)
	err = errors.Join(os.WriteFile(filepath.Join(part, guestKernel), vmlinux, 0o644),
		os.WriteFile(filepath.Join(part, guestInit), guestInitramfs(agent, modules), 0o644), os.Chmod(part, 0o755))
	if err != nil {
		return err
	}
	_ = os.RemoveAll(g.Dir) // one that is not whole
	return os.Rename(part, g.Dir)
}

// fetch gets a pinned package into the folder of downloads.
func (o *GuestOptions) fetch(ctx context.Context, pkg pin) (string, error) {
	downloads := filepath.Join(o.Cache, "downloads")
	if err := os.MkdirAll(downloads, 0o755); err != nil {
		return "", err
	}
	p := &packages{download: newDownloader(o.Progress), dir: downloads, debian: o.DebianURL, progress: o.Progress}
	file := filepath.Join(downloads, pkg.name())
	if err := p.fetchPinned(ctx, pkg, file); err != nil {
		return "", err
	}
	o.Progress.report("unpack "+pkg.name(), 0, 0)
	return file, nil
}

// debianKernel takes the kernel and the modules that guests need out of Debian's package.
func (o *GuestOptions) debianKernel(ctx context.Context) ([]byte, []module, error) {
	pkg := guestKernels[runtime.GOARCH]
	file, err := o.fetch(ctx, pkg)
	if err != nil {
		return nil, nil, err
	}
	unpacked, err := os.MkdirTemp(filepath.Join(o.Cache, "guest"), "part-")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(unpacked)
	wanted := func(name string) bool {
		return strings.HasPrefix(name, "boot/vmlinuz-") || strings.HasSuffix(name, ".ko") && strings.HasPrefix(strings.TrimPrefix(name, "usr/"), "lib/modules/")
	}
	if err := unpackDeb(ctx, file, unpacked, wanted); err != nil {
		return nil, nil, fmt.Errorf("unpack %s: %w", pkg.name(), err)
	}
	images, err := filepath.Glob(filepath.Join(unpacked, "boot", "vmlinuz-*"))
	if err != nil || len(images) != 1 {
		return nil, nil, fmt.Errorf("%s holds %d kernels, want one", pkg.name(), len(images))
	}
	image, err := os.ReadFile(images[0])
	if err != nil {
		return nil, nil, err
	}
	vmlinux, err := unpackKernel(image)
	if err != nil {
		return nil, nil, fmt.Errorf("unpack the kernel: %w", err)
	}
	modules, err := modulesOf(unpacked, guestModules)
	if err != nil {
		return nil, nil, err
	}
	_ = os.Remove(file)
	return vmlinux, modules, nil
}

// unpackKernel takes the kernel out of a bzImage (Documentation/x86/boot.rst of the kernel).
func unpackKernel(image []byte) ([]byte, error) {
	if len(image) < 0x250 || string(image[0x202:0x206]) != "HdrS" {
		return nil, errors.New("it is no kernel of this architecture")
	}
	le := binary.LittleEndian
	sectors := uint64(image[0x1f1])
	if sectors == 0 {
		sectors = 4
	}
	begin := (sectors+1)*512 + uint64(le.Uint32(image[0x248:]))
	end := begin + uint64(le.Uint32(image[0x24c:]))
	if begin+8 > end || end > uint64(len(image)) {
		return nil, errors.New("its payload lies outside of it")
	}
	payload := image[begin:end]
	size := int64(le.Uint32(payload[len(payload)-4:]))
	if size > 256<<20 {
		return nil, fmt.Errorf("it has %d bytes", size)
	}
	var r io.Reader = bytes.NewReader(payload)
	var err error
	switch magic := le.Uint32(payload); {
	case magic == 0x184c2102 || magic == 0x184d2204:
		r = lz4.NewReader(bytes.NewReader(payload[:len(payload)-4]))
	case magic == 0xfd2fb528:
		var z *zstd.Decoder
		if z, err = zstd.NewReader(r); err == nil {
			defer z.Close()
			r = z
		}
	case bytes.HasPrefix(payload, []byte("\xfd7zXZ\x00")):
		r, err = xz.NewReader(r)
	default:
		err = fmt.Errorf("it is packed in a way that is not known (%#x)", magic)
	}
	if err != nil {
		return nil, err
	}
	out, err := io.ReadAll(io.LimitReader(r, size)) // the size is only claimed
	if err != nil {
		return nil, err
	}
	if int64(len(out)) < size {
		return nil, io.ErrUnexpectedEOF
	}
	if !bytes.HasPrefix(out, []byte(elf.ELFMAG)) {
		return nil, errors.New("it holds no ELF")
	}
	return out, nil
}

// module is a kernel module of a guest.
type module struct {
	name    string
	content []byte
}

// modulesOf finds modules and what they need below dir, in the order in which they are to be loaded.
func modulesOf(dir string, names []string) ([]module, error) {
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if name, ok := strings.CutSuffix(d.Name(), ".ko"); err == nil && ok {
			files[strings.ReplaceAll(name, "-", "_")] = path
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var out []module
	seen := map[string]bool{}
	var add func(name string) error
	add = func(name string) error {
		if seen[name] {
			return nil
		}
		seen[name] = true
		file, ok := files[name]
		if !ok {
			return fmt.Errorf("the kernel has no module %s", name)
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		needs, err := moduleNeeds(content)
		if err != nil {
			return fmt.Errorf("read module %s: %w", name, err)
		}
		for _, n := range needs {
			if err := add(n); err != nil {
				return err
			}
		}
		out = append(out, module{name, content})
		return nil
	}
	for _, n := range names {
		if err := add(n); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// moduleNeeds reads which modules must be loaded before.
func moduleNeeds(content []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	s := f.Section(".modinfo")
	if s == nil {
		return nil, errors.New("it says nothing of itself")
	}
	info, err := s.Data()
	if err != nil {
		return nil, err
	}
	var needs []string
	for line := range bytes.SplitSeq(info, []byte{0}) {
		if list, ok := strings.CutPrefix(string(line), "depends="); ok {
			for name := range strings.SplitSeq(list, ",") {
				if name != "" {
					needs = append(needs, strings.ReplaceAll(name, "-", "_"))
				}
			}
		}
	}
	slices.Sort(needs)
	return needs, nil
}

// guestInitramfs is the guest's first file system. Neither times nor numbers of this machine are in it.
func guestInitramfs(agent []byte, modules []module) []byte {
	var order strings.Builder
	content := map[string][]byte{"init": agent}
	for _, m := range modules {
		content["modules/"+m.name+".ko"] = m.content
		fmt.Fprintln(&order, m.name+".ko")
	}
	content["modules/order"] = []byte(order.String())
	var c cpio
	for _, dir := range []string{"dev", "groups", "images", "modules", "proc", "root", "sys"} {
		c.entry(dir, 0o40755, 0, nil)
	}
	c.entry("dev/console", 0o20600, 5<<8|1, nil)
	c.entry("dev/null", 0o20666, 1<<8|3, nil) // what the agent has for its output where the kernel has no console
	for _, name := range slices.Sorted(maps.Keys(content)) {
		c.entry(name, 0o100755, 0, content[name])
	}
	c.entry("TRAILER!!!", 0, 0, nil)
	return c.b
}

// cpio writes an archive of the form "newc" (cpio(5)).
type cpio struct {
	b     []byte
	inode int
}

func (c *cpio) entry(name string, mode, device int, content []byte) {
	c.inode++
	c.b = fmt.Appendf(c.b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", c.inode, mode, 0, 0, 1, 0, len(content),
		0, 0, device>>8, device&0xff, len(name)+1, 0)
	c.b = append(append(c.b, name...), 0)
	c.pad()
	c.b = append(c.b, content...)
	c.pad()
}

func (c *cpio) pad() {
	for len(c.b)%4 != 0 {
		c.b = append(c.b, 0)
	}
}
