package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/assets"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/server"
	"github.com/cloudjit/cloudjit/internal/toolchain"
)

type doctorCommand struct {
	GraalvmHome string `name:"graalvm-home" help:"A home to look at first." placeholder:"DIR"`
}

// finding is one thing that doctor looked at.
type finding struct {
	What string `json:"what"`
	// OK is "yes", "no" or "weaker".
	OK     string `json:"ok"`
	Detail string `json:"detail"`
	// Do is what to do about what lacks; empty where nothing does.
	Do string `json:"do,omitempty"`
}

func (cmd *doctorCommand) Run(c *Context) error {
	cache := config.CacheDir()
	found, rejected := toolchain.Find(toolchain.FindOptions{GraalVMHome: cmd.GraalvmHome, Cache: cache})
	findings := jdkFindings()
	findings = append(findings, builderFindings(found, rejected)...)
	findings = append(findings, tracerFinding(found), kvmFinding())
	findings = append(findings, driverFindings(c)...)
	return c.Print(findings, func(w io.Writer) error {
		for _, f := range findings {
			fmt.Fprintf(w, "%-7s %s: %s\n", f.OK, f.What, f.Detail)
			if f.Do != "" {
				fmt.Fprintf(w, "        -> %s\n", f.Do)
			}
		}
		return nil
	})
}

func jdkFindings() []finding {
	var out []finding
	for _, j := range toolchain.FindJDKs(toolchain.FindOptions{}) {
		out = append(out, finding{"JDK", "yes", fmt.Sprintf("%s (%s) in %s", j.Version, j.Vendor, j.Home), ""})
	}
	if len(out) == 0 {
		out = append(out, finding{"JDK", "no", "none found: Java functions cannot run", "install JDK 25 (Debian: apt-get install openjdk-25-jdk-headless) or set JAVA_HOME"})
	}
	return out
}

func builderFindings(found []toolchain.Toolchain, rejected []toolchain.Rejection) []finding {
	var out []finding
	for _, tc := range found {
		pgo := "no profile-guided optimization"
		if tc.Edition == "oracle" {
			pgo = "with profile-guided optimization"
		}
		out = append(out, finding{"native-image", "yes", fmt.Sprintf("%s %s %s (%s) in %s", tc.Kind, tc.Edition, tc.Version, pgo, tc.Home), ""})
	}
	for _, r := range rejected {
		out = append(out, finding{"native-image", "no", fmt.Sprintf("%s (from %s): %s", r.Home, r.Source, r.Reason), ""})
	}
	if len(found) == 0 {
		out = append(out, finding{"native-image", "no", "none found: functions run, but none is optimized", `install one with "cloudjit toolchain install"`})
	}
	return out
}

func tracerFinding(found []toolchain.Toolchain) finding {
	if len(found) > 0 && found[0].Agent {
		return finding{"tracer", "yes", "the native-image agent of " + found[0].Home, ""}
	}
	if _, err := assets.Install(filepath.Join(config.CacheDir(), "assets"), assets.Tracer); err != nil {
		return finding{"tracer", "no", err.Error(), `build cloudjit with "make build"`}
	}
	return finding{"tracer", "yes", "CloudJIT's own (needs JDK 25)", ""}
}

func kvmFinding() finding {
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return finding{"KVM", "no", err.Error(), "nothing: the process driver does not need it"}
	}
	defer f.Close()
	const getAPIVersion = 0xAE00 // KVM_GET_API_VERSION, https://docs.kernel.org/virt/kvm/api.html
	if version, err := unix.IoctlRetInt(int(f.Fd()), getAPIVersion); err != nil || version != 12 {
		return finding{"KVM", "no", fmt.Sprintf("/dev/kvm opens and does not answer as it should (version %d, %v)", version, err), ""}
	}
	return finding{"KVM", "yes", "/dev/kvm answers; that guests boot is proven only by booting one", ""}
}

func driverFindings(ctx context.Context) []finding {
	dir, err := os.MkdirTemp("", "cloudjit-doctor-")
	if err != nil {
		return []finding{{"process driver", "no", err.Error(), ""}}
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	caps, err := server.ProbeDriver(ctx, config.Default(), dir)
	if err != nil {
		return []finding{{"process driver", "no", err.Error(), ""}}
	}
	yes := func(what string, ok bool) finding {
		if ok {
			return finding{what, "yes", "works", ""}
		}
		return finding{what, "no", "not on this machine", ""}
	}
	out := []finding{yes("sandbox isolation", caps.Isolated), yes("memory limit (cgroup)", caps.MemoryLimit), yes("CPU limit (cgroup)", caps.CPULimit)}
	for _, w := range caps.Weaker {
		out = append(out, finding{"sandbox", "weaker", w, ""})
	}
	return out
}
