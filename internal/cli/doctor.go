package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/aot/nativeimage"
	"github.com/cloudjit/cloudjit/internal/assets"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/language"
	"github.com/cloudjit/cloudjit/internal/server"
	"github.com/cloudjit/cloudjit/internal/toolchain"
)

type doctorCommand struct {
	GraalvmHome string `name:"graalvm-home" help:"A home to look at first." placeholder:"DIR"`
}

// Help is shown below the command's usage.
func (*doctorCommand) Help() string {
	return "Ends with 1 if the machine does not have everything that CloudJIT needs to run Java functions and to optimize them. Interpreters of other languages are listed."
}

// Marks of findings.
const (
	markOK      = "ok"
	markMissing = "missing" // needed: the exit code is 1
	markLimited = "limited" // works without, but weaker
	markNote    = "note"
)

// finding is one thing that doctor looked at.
type finding struct {
	What   string `json:"what"`
	Mark   string `json:"mark"`
	Detail string `json:"detail"`
	// Do is what to do about what is missing; empty where nothing does.
	Do string `json:"do,omitempty"`
}

// diagnosis is what doctor prints.
type diagnosis struct {
	// OK: nothing that is needed is missing.
	OK       bool      `json:"ok"`
	Findings []finding `json:"findings"`
	// Machine is what the findings about Java and native-image are made from.
	Machine toolchain.Report `json:"machine"`
}

func (cmd *doctorCommand) Run(c *Context) error {
	d := diagnosis{OK: true, Machine: toolchain.Inspect(c, toolchain.FindOptions{GraalVMHome: cmd.GraalvmHome, Cache: config.CacheDir()})}
	d.Findings = javaFindings(&d.Machine)
	d.Findings = append(d.Findings, interpreterFindings(c)...)
	d.Findings = append(d.Findings, builderFindings(&d.Machine)...)
	d.Findings = append(d.Findings, profilesFinding(c, &d.Machine)...)
	d.Findings = append(d.Findings, answersFinding(c, &d.Machine)...)
	d.Findings = append(d.Findings, tracerFinding(&d.Machine))
	d.Findings = append(d.Findings, sandboxFindings(c)...)
	d.Findings = append(d.Findings, userNamespaces(), kvmFinding(), microVMFinding(c, config.DriverQEMU), microVMFinding(c, config.DriverFirecracker))
	d.Findings = append(d.Findings, clusterFindings(c)...)
	d.OK = !slices.ContainsFunc(d.Findings, func(f finding) bool { return f.Mark == markMissing })
	err := c.Print(d, func(w io.Writer) error {
		for _, f := range d.Findings {
			fmt.Fprintf(w, "%-7s  %s: %s\n", f.Mark, f.What, f.Detail)
			if f.Do != "" {
				fmt.Fprintf(w, "         -> %s\n", f.Do)
			}
		}
		return nil
	})
	if err == nil && !d.OK {
		err = errors.New(`CloudJIT needs more than this machine has: see the lines with "missing"`)
	}
	return err
}

func javaFindings(m *toolchain.Report) []finding {
	var out []finding
	for _, j := range m.JDKs {
		out = append(out, finding{"JDK", markOK, fmt.Sprintf("%s (%s) in %s", j.Version, j.Vendor, j.Home), ""})
	}
	if len(out) == 0 {
		out = append(out, finding{"JDK", markMissing, "none found: Java functions cannot run",
			`install one with "cloudjit toolchain install jdk" (or apt-get install openjdk-25-jdk-headless), or set JAVA_HOME`})
	}
	return out
}

// interpreterFindings says which runtimes of other languages functions can have, and what each interpreter says of itself.
func interpreterFindings(ctx context.Context) []finding {
	found := toolchain.FindInterpreters(ctx, toolchain.InterpreterOptions{Cache: config.CacheDir()})
	var out []finding
	for _, l := range language.All() {
		any := false
		for _, i := range found {
			if i.Kind != l.Kind {
				continue
			}
			any = true
			if version := toolchain.VersionOf(ctx, i.Program); version == "" {
				out = append(out, finding{l.Name, markLimited, fmt.Sprintf("%s does not run: no function has the runtime %s", i.Program, i.Runtime), "install it again"})
			} else {
				out = append(out, finding{l.Name, markOK, fmt.Sprintf("%s: %s in %s", i.Runtime, strings.TrimPrefix(version, "Python "), i.Program), ""})
			}
		}
		if !any {
			out = append(out, finding{l.Name, markNote, "none found: functions in it cannot run here",
				fmt.Sprintf("install it (Debian: apt-get install %s), or name its program in workers.interpreters", l.Package)})
		}
	}
	return out
}

// profilesFinding says whether binaries can be made with profiles.
func profilesFinding(ctx context.Context, m *toolchain.Report) []finding {
	if len(m.Builders) == 0 {
		return nil
	}
	b := m.Builders[0]
	unprofiled := b.Profiles(ctx)
	if unprofiled == nil {
		return []finding{{"profiles", markOK, fmt.Sprintf("%s takes profiles: functions that compute much get the rung %s", b.NativeImage(), ladder.NativeProfiled), ""}}
	}
	if err := b.Inlines(); err != nil {
		return []finding{{"profiles", markNote, fmt.Sprintf("no function gets the rung %s: %v", ladder.NativeProfiled, errors.Join(unprofiled, err)),
			`for faster binaries of functions that compute much, install the builder that CloudJIT knows (cloudjit toolchain install), or Oracle GraalVM, name it in builder.graalvm, and start the server again`}}
	}
	return []finding{{"profiles", markOK, fmt.Sprintf("functions that compute much get the rung %s: our inliner does what HotSpot's compiler did", ladder.NativeProfiled), ""}}
}

func builderFindings(m *toolchain.Report) []finding {
	var out []finding
	for _, tc := range m.Builders {
		out = append(out, finding{"native-image", markOK, fmt.Sprintf("%s %s %s in %s", tc.Kind, tc.Edition, tc.Version, tc.Home), ""})
	}
	if len(out) == 0 {
		out = append(out, finding{"native-image", markMissing, "none found: functions run, and get AOT caches, but none becomes native", `install one with "cloudjit toolchain install", then start the server again`})
	}
	for _, r := range m.Rejected {
		out = append(out, finding{"native-image", markNote, fmt.Sprintf("not %s (from %s): %s", r.Home, r.Source, r.Reason), ""})
	}
	for _, r := range m.System {
		if r.Present {
			out = append(out, finding{r.Name, markOK, "found; native-image links with it", ""})
		} else {
			out = append(out, finding{r.Name, markMissing, "not found: native-image cannot link binaries without it", toolchain.InstallHint([]string{r.Package})})
		}
	}
	return out
}

// answersFinding says whether binaries of the builder that is used end where they cannot do what HotSpot does.
func answersFinding(ctx context.Context, m *toolchain.Report) []finding {
	if len(m.Builders) == 0 {
		return nil
	}
	const what = "signals of binaries"
	tc := m.Builders[0]
	if !tc.Patches {
		do := "install GraalVM for JDK 25: cloudjit toolchain install graalvm"
		if tc.Kind == toolchain.Assembled {
			do = `an earlier version assembled it: renew it with "cloudjit toolchain install assembled"`
		}
		return []finding{{what, markLimited, "classes of this builder cannot be replaced. If a binary cannot do what HotSpot does, programs may see an error", do}}
	}
	image, err := assets.Install(filepath.Join(config.CacheDir(), "assets"), assets.Image)
	if err != nil {
		return []finding{{what, markLimited, err.Error(), `build cloudjit with "make build"`}}
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	lacks, err := nativeimage.Unpatched(ctx, tc.Home, image)
	switch {
	case err != nil:
		return []finding{{what, markLimited, err.Error(), ""}}
	case len(lacks) > 0:
		return []finding{{what, markLimited, "binaries of this builder give no signal for: " + strings.Join(lacks, "; "), ""}}
	}
	return []finding{{what, markOK, "if a binary cannot do what HotSpot does, it ends and HotSpot answers", ""}}
}

func tracerFinding(m *toolchain.Report) finding {
	if len(m.Builders) > 0 && m.Builders[0].Agent {
		return finding{"tracer", markOK, "the native-image agent of " + m.Builders[0].Home, ""}
	}
	if _, err := assets.Install(filepath.Join(config.CacheDir(), "assets"), assets.Tracer); err != nil {
		return finding{"tracer", markMissing, err.Error(), `build cloudjit with "make build"`}
	}
	for _, j := range m.JDKs {
		if j.Feature() >= tracerFeature {
			return finding{"tracer", markOK, "CloudJIT's own, on JDK " + j.Version, ""}
		}
	}
	return finding{"tracer", markMissing, fmt.Sprintf("CloudJIT's own needs JDK %d", tracerFeature), fmt.Sprintf("install JDK %d", tracerFeature)}
}

// tracerFeature is the oldest Java release that java/tracer runs on.
const tracerFeature = 25

func sandboxFindings(ctx context.Context) []finding {
	dir, err := os.MkdirTemp("", "cloudjit-doctor-")
	if err != nil {
		return []finding{{"sandbox", markMissing, err.Error(), "free space, or set TMPDIR"}}
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	caps, err := server.ProbeDriver(ctx, config.Default(), dir)
	if err != nil {
		return []finding{{"sandbox", markMissing, "a program did not run in one: " + err.Error(), "run as root, or allow user namespaces (see below)"}}
	}
	out := []finding{{"sandbox", markOK, "a program ran in one", ""}}
	for _, limit := range []struct {
		what string
		ok   bool
	}{{"cgroup memory limit", caps.MemoryLimit}, {"cgroup CPU limit", caps.CPULimit}} {
		if limit.ok {
			out = append(out, finding{limit.what, markOK, "enforced", ""})
		} else {
			out = append(out, finding{limit.what, markLimited, "not enforced: functions can take more than their share",
				`run as root, or with a group of its own: systemd-run --user --scope -p Delegate=yes cloudjit serve`})
		}
	}
	if caps.Snapshot {
		out = append(out, finding{"snapshots", markOK, "a program was saved and restored", ""})
	}
	for _, w := range caps.Weaker {
		out = append(out, finding{"sandbox", markLimited, w, ""})
	}
	return out
}

// microVMFinding boots a guest and waits for its answer; nothing less shows that the driver can be used.
func microVMFinding(ctx context.Context, driver string) finding {
	what := "microVMs, " + driver
	dir, err := os.MkdirTemp("", "cloudjit-doctor-")
	if err != nil {
		return finding{what, markNote, err.Error(), "free space, or set TMPDIR"}
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	c := config.Default()
	c.Workers.Driver = driver
	began := time.Now()
	caps, err := server.ProbeDriver(ctx, c, dir)
	if err != nil {
		do := ""
		var hint *toolchain.Error
		if errors.As(err, &hint) {
			do = hint.Hint
		}
		return finding{what, markNote, "the driver cannot be used: " + err.Error(), do}
	}
	took := time.Since(began).Round(100 * time.Millisecond)
	if caps.Emulated {
		return finding{what, markLimited, fmt.Sprintf("a guest with the kernel %q booted and answered (%v), in an emulated processor: all runs many times slower. Functions have it with workers.driver, or cloudjit deploy --driver %s", caps.Kernel, took, driver), "give this machine hardware virtualization (KVM)"}
	}
	return finding{what, markOK, fmt.Sprintf("a guest with the kernel %q booted with KVM and answered (%v). Functions have it with workers.driver, or cloudjit deploy --driver %s", caps.Kernel, took, driver), ""}
}

// userNamespaces makes one, as a user who is not root does; that they are configured proves nothing.
func userNamespaces() finding {
	cmd := exec.Command("/proc/self/exe", "version")
	cmd.Args[0], cmd.Env = os.Args[0], []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}},
	}
	if err := cmd.Run(); err != nil {
		what, do := "none can be made: "+err.Error(), "sysctl -w user.max_user_namespaces=10000; with AppArmor also kernel.apparmor_restrict_unprivileged_userns=0"
		if os.Geteuid() == 0 {
			return finding{"user namespaces", markLimited, what + "; root works without them, but less separates functions from the host", do}
		}
		return finding{"user namespaces", markMissing, what, do}
	}
	return finding{"user namespaces", markOK, "one was made", ""}
}

func kvmFinding() finding {
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		var do string
		if errors.Is(err, os.ErrPermission) {
			do = "for virtual machines: usermod -aG kvm $USER"
		}
		return finding{"KVM", markNote, err.Error() + "; the process driver does not need it", do}
	}
	defer f.Close()
	const getAPIVersion = 0xAE00 // KVM_GET_API_VERSION, https://docs.kernel.org/virt/kvm/api.html
	if version, err := unix.IoctlRetInt(int(f.Fd()), getAPIVersion); err != nil || version != 12 {
		return finding{"KVM", markNote, fmt.Sprintf("/dev/kvm opens, but does not answer as it should (version %d, %v)", version, err), ""}
	}
	return finding{"KVM", markOK, "/dev/kvm answers; whether guests boot was not tried", ""}
}
