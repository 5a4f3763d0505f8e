package toolchain

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
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

// criuVersion is the release that is installed, and the oldest that is known to restore on present kernels: 4.1.1
// passes its own check and then fails to save.
const criuVersion = "4.2.1"

// criuPackages are CRIU and the libraries that it needs, of one architecture, as Debian publishes them. They lie in a
// folder of their own and never meet the system's. The hashes are those of Debian's signed index.
var criuPackages = map[string][]pin{"amd64": {
	{"debian/pool/main/c/criu/criu_4.2.1-1_amd64.deb", "4039578de7dd6480964754c1348416f0f0658fba3eadaa918bfe43e9a5fb9b04", 556568},
	{"debian/pool/main/libb/libbsd/libbsd0_0.12.2-3_amd64.deb", "0383e47d704a5e58080606cbcafd2f2aa725702767ccf8b877fb224d04ff38c5", 131912},
	{"debian/pool/main/g/glibc/libc6_2.43-7_amd64.deb", "5c71715c51103beb4fbba9fe9f8dff604af6610dfa71c70bff342f54a7860803", 1866392},
	{"debian/pool/main/g/gnutls28/libgnutls30t64_3.8.13-1_amd64.deb", "81f7f28a3968228293cabf6a92f7d6b2a8807f64ccf57469f2ce9a06b7b226af", 1545536},
	{"debian/pool/main/libn/libnet/libnet9_1.3+dfsg-3+b2_amd64.deb", "2a27e79bb376a1052a77b6373e17b3c2e71b2b2d15bc05d899f2a6318e5d36ea", 55704},
	{"debian/pool/main/n/nftables/libnftables1_1.1.7-3_amd64.deb", "a9fe852108aa99288b9305534203869e406aedaebeb833a48a32c48e50affd75", 364060},
	{"debian/pool/main/libn/libnl3/libnl-3-200_3.12.0-2+b1_amd64.deb", "a5ca78bbb9d5cc067b78952c5d38b7caac831d42e94b85b91edf1f6f00dfd48a", 62208},
	{"debian/pool/main/p/protobuf-c/libprotobuf-c1_1.5.1-1+b2_amd64.deb", "8f0f2c76c4574b986aec4d3ed53e5b5939a8ce26c21294adf9020ebed9d2b3da", 21208},
	{"debian/pool/main/u/util-linux/libuuid1_2.42.4-1_amd64.deb", "bdef15911ca5748219f5257bf4f1e81444fb40966499c02b1176bfbbcd9a2d08", 34456},
	{"debian/pool/main/c/criu/libcompel1_4.2.1-1_amd64.deb", "c41087440d28973c9abc04dcd31674a28969e5dc0cefde5023a89aaf07ef357d", 64424},
	{"debian/pool/main/libm/libmd/libmd0_1.3.0-1_amd64.deb", "b93615e08319799bedd98a68643d607b06a7713365f829fb3cae131f8a3b81b1", 45420},
	{"debian/pool/main/g/gcc-16/libgcc-s1_16.2.0-4_amd64.deb", "d251ea642c3795e8723ac2b9eeebe511467ca04590ba70f3d555a7616787d7e3", 74120},
	{"debian/pool/main/g/gmp/libgmp10_6.3.0+dfsg-5+b2_amd64.deb", "032743c787f0e1e644e4dcfbdb38f01be8cb150cb9633f8be5e79aba6938f349", 559860},
	{"debian/pool/main/n/nettle/libhogweed6t64_3.10.2-1+b1_amd64.deb", "d5872392a9d3b9b6e06f3dbd07a3f954346226d9fa2f318c4a3b5732b060fc44", 334792},
	{"debian/pool/main/libi/libidn2/libidn2-0_2.3.8-5_amd64.deb", "25a38f7d9ba5bb3daf47a21ad5d348303e602f3c9037a48d621683fe87e7ce28", 108596},
	{"debian/pool/main/n/nettle/libnettle8t64_3.10.2-1+b1_amd64.deb", "213f9f0119cd63efc2529401547bad5f6d2cea4cae5d05cffdef22f19aabb30e", 305348},
	{"debian/pool/main/p/p11-kit/libp11-kit0_0.26.5-1_amd64.deb", "7f6187247766dca57582c4fa327928fb612de3cd17a13786c1762c57357b4930", 482444},
	{"debian/pool/main/libt/libtasn1-6/libtasn1-6_4.21.0-2+b1_amd64.deb", "097059368c29f6bac5253cc9a4ee3b8c2f449326de016feddf5a00b896fabe49", 49292},
	{"debian/pool/main/libu/libunistring/libunistring5_1.4.2-1_amd64.deb", "509fb596f6b4de34f1d9cb5a0001abc3c6c51f4800e908ef888262ebdaaefa3b", 479564},
	{"debian/pool/main/j/jansson/libjansson4_2.15.1-1_amd64.deb", "024a1537ca17a8215c7b03c6e84ea961ae96d3ecce9cd1db6a5226c180568419", 65632},
	{"debian/pool/main/libm/libmnl/libmnl0_1.0.5-3+b2_amd64.deb", "5c058833d7f95cea335627f8ae48dbac38749493867ed3151113150e1612b264", 12200},
	{"debian/pool/main/libn/libnftnl/libnftnl11_1.3.2-1_amd64.deb", "409b62c0d383ae181e3550d0ec9279359856d98a449d8bce9983f69e1995dbc6", 69672},
	{"debian/pool/main/i/iptables/libxtables12_1.8.13-1_amd64.deb", "08ca0b50ecc24b84faf75716b4a7a279a5e5fb01d7a5c602fe3f473b6d9ffcb9", 30468},
	{"debian/pool/main/libf/libffi/libffi8_3.8.0-2_amd64.deb", "8f52979b2f3831088c419aae858f10fd3ad7e42cc6c1d28967bae996a98223a4", 32472},
}}

// debianArchive has what mirrors have replaced by newer versions.
const debianArchive = "https://snapshot.debian.org/archive"

// debianSnapshot is a time at which the archive had all packages that are pinned.
const debianSnapshot = "20261128T000000Z"

const criuProgram = "usr/sbin/criu"

func criuDir(cache string) string { return filepath.Join(toolchainsDir(cache), "criu-"+criuVersion) }

// FindCRIU returns the folder that CRIU lies in, as distributions lay it out: "/" where the system's own is new enough,
// or that of an installed one. The error says what to do.
func FindCRIU(ctx context.Context, cache string) (string, error) {
	old := ""
	if out, err := exec.CommandContext(ctx, "/"+criuProgram, "--version").Output(); err == nil {
		m := criuVersionLine.FindSubmatch(out)
		if m != nil && !olderVersion(string(m[1]), criuVersion) {
			return "/", nil
		}
		if m != nil {
			old = " (the system's is " + string(m[1]) + ", older than " + criuVersion + ")"
		}
	}
	dir := criuDir(cache)
	if _, err := os.Stat(filepath.Join(dir, criuProgram)); err == nil {
		return dir, nil
	}
	return "", fmt.Errorf("there is no CRIU%s: cloudjit toolchain install criu", old)
}

var criuVersionLine = regexp.MustCompile(`(?m)^Version: ([0-9.]+)`)

// olderVersion compares versions of numbers between dots.
func olderVersion(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(x), len(y)) {
		var m, n int
		if i < len(x) {
			m, _ = strconv.Atoi(x[i])
		}
		if i < len(y) {
			n, _ = strconv.Atoi(y[i])
		}
		if m != n {
			return m < n
		}
	}
	return false
}

// CRIUOptions of InstallCRIU. Cache is required.
type CRIUOptions struct {
	Cache string
	// DebianURL replaces the mirror that apt is set up for; below it the archive "debian" is looked for.
	DebianURL string
	Progress  ProgressFunc
}

// InstallCRIU makes sure that there is a CRIU that can be used, and returns its folder; see FindCRIU.
func InstallCRIU(ctx context.Context, o CRIUOptions) (string, error) {
	if dir, err := FindCRIU(ctx, o.Cache); err == nil {
		return dir, nil
	}
	dir := criuDir(o.Cache)
	pins, ok := criuPackages[runtime.GOARCH]
	if !ok {
		return "", fmt.Errorf("install CRIU: no packages are known for %s; install CRIU %s or newer", runtime.GOARCH, criuVersion)
	}
	find := func() (string, error) {
		_, err := os.Stat(filepath.Join(dir, criuProgram))
		return dir, err
	}
	if _, err := installOnce(ctx, dir, o.Progress, find, func() error { return installCRIU(ctx, o, pins, dir) }); err != nil {
		return "", fmt.Errorf("install CRIU: %w", err)
	}
	return dir, nil
}

func installCRIU(ctx context.Context, o CRIUOptions, pins []pin, dir string) error {
	downloads := filepath.Join(o.Cache, "downloads")
	if err := os.MkdirAll(downloads, 0o755); err != nil {
		return err
	}
	part, err := os.MkdirTemp(filepath.Dir(dir), "criu-part-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(part)
	p := &packages{download: newDownloader(o.Progress), dir: downloads, debian: o.DebianURL, progress: o.Progress}
	for _, pkg := range pins {
		file := filepath.Join(downloads, pkg.name())
		if err := p.fetchPinned(ctx, pkg, file); err != nil {
			return err
		}
		if err := unpackDeb(ctx, file, part, debFiles.MatchString); err != nil {
			return fmt.Errorf("unpack %s: %w", pkg.name(), err)
		}
		_ = os.Remove(file)
	}
	if _, err := os.Stat(filepath.Join(part, criuProgram)); err != nil {
		return fmt.Errorf("the packages hold no %s", criuProgram)
	}
	if err := os.Chmod(part, 0o755); err != nil {
		return err
	}
	return os.Rename(part, dir)
}

// debFiles are those that are unpacked: the program, and libraries that lie directly in a folder of them.
var debFiles = regexp.MustCompile(`^usr/(sbin/criu|lib/[^/]+/[^/]+\.so[^/]*)$`)

// unpackDeb extracts what is wanted of a Debian package (deb(5)) into dir.
func unpackDeb(ctx context.Context, file, dir string, wanted func(name string) bool) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := seekMember(f, "data.tar.xz"); err != nil {
		return err
	}
	r, done, err := decompress(ctx, f)
	if err != nil {
		return err
	}
	defer done()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for e, err := range untar.Entries(bufio.NewReader(r), untar.Limits{Bytes: 256 << 20, Entries: 100_000}) {
		if err != nil {
			return err
		}
		if !wanted(e.Name) {
			continue
		}
		if err := e.Extract(root, e.Name, e.Executable(), path.Dir(e.Name)); err != nil {
			return err
		}
	}
	return nil
}

// fetchPinned gets a package of Debian's, from its archive where no mirror has it any more.
func (p *packages) fetchPinned(ctx context.Context, pkg pin, file string) error {
	if matches(file, pkg) {
		return nil
	}
	err := p.fetchDebian(ctx, pkg, file)
	if err != nil && p.debian == "" && ctx.Err() == nil {
		old := strings.Replace(pkg.path, "debian/", "debian/"+debianSnapshot+"/", 1)
		err = errors.Join(err, p.download.fetch(ctx, debianArchive+"/"+strings.ReplaceAll(old, "+", "%2b"), file, pkg.sha256))
		if matches(file, pkg) {
			err = nil
		}
	}
	return err
}

// seekMember goes to the content of a member of an ar(5) archive. What comes after that is not asked for: xz ends by
// itself.
func seekMember(f *os.File, want string) error {
	head := make([]byte, 8)
	if _, err := io.ReadFull(f, head); err != nil || string(head) != "!<arch>\n" {
		return errors.New("it is no Debian package")
	}
	for {
		entry := make([]byte, 60) // name 16, time 12, user 6, group 6, mode 8, size 10, end 2
		if _, err := io.ReadFull(f, entry); err != nil {
			return fmt.Errorf("it has no %s", want)
		}
		size, err := strconv.ParseInt(strings.TrimSpace(string(entry[48:58])), 10, 64)
		if err != nil || size < 0 {
			return errors.New("it is damaged")
		}
		if strings.TrimRight(strings.TrimSpace(string(entry[:16])), "/") == want {
			return nil
		}
		if _, err := f.Seek(size+size&1, io.SeekCurrent); err != nil {
			return err
		}
	}
}
