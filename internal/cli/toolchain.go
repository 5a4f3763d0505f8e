package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/toolchain"
)

type toolchainCommands struct {
	List    toolchainList    `cmd:"" help:"List the builders of this machine, the best first."`
	Install toolchainInstall `cmd:"" help:"Install a builder, a JDK, CRIU or Firecracker into CloudJIT's cache."`
}

type toolchainList struct {
	GraalvmHome string `name:"graalvm-home" help:"A home to look at first." placeholder:"DIR"`
}

func (cmd *toolchainList) Run(c *Context) error {
	found, rejected := toolchain.Find(toolchain.FindOptions{GraalVMHome: cmd.GraalvmHome, Cache: config.CacheDir()})
	for _, r := range rejected {
		c.Say("not suitable: %s (%s): %s", r.Home, r.Source, r.Reason)
	}
	if found == nil {
		found = []toolchain.Toolchain{}
	}
	return c.Print(found, func(w io.Writer) error {
		t := table(w)
		fmt.Fprintln(t, "KIND\tVERSION\tEDITION\tAGENT\tHOME")
		for _, tc := range found {
			fmt.Fprintf(t, "%s\t%s\t%s\t%t\t%s\n", tc.Kind, tc.Version, tc.Edition, tc.Agent, tc.Home)
		}
		return t.Flush()
	})
}

type toolchainInstall struct {
	Auto      installAuto      `cmd:"" default:"1" help:"The best that this machine can have: one that is installed, a release, or an assembled one."`
	Graalvm   installGraalVM   `cmd:"" name:"graalvm" help:"An official GraalVM release."`
	Assembled installAssembled `cmd:"" help:"A community builder, assembled from published packages."`
	JDK       installJDK       `cmd:"" name:"jdk" help:"A JDK to run functions on: Eclipse Temurin, from its vendor."`
	Criu      installCRIU      `cmd:"" name:"criu" help:"CRIU, which saves and restores workers, from Debian's packages."`

	Firecracker installFirecracker `cmd:"" help:"Firecracker, which runs workers in virtual machines, from its release page."`
}

type installFirecracker struct {
	Version string `help:"Version (the one that CloudJIT is written for)." placeholder:"V"`
	Mirror  string `help:"URL of a mirror of the release page." env:"CLOUDJIT_FIRECRACKER_MIRROR" placeholder:"URL"`
	SHA256  string `name:"sha256" help:"SHA-256 of the archive. Without it, the one that is published beside it." placeholder:"SUM"`
}

func (cmd *installFirecracker) Run(c *Context) error {
	p := newInstallProgress(c.Stderr)
	defer p.done()
	program, err := toolchain.InstallFirecracker(c, toolchain.FirecrackerOptions{
		Cache: config.CacheDir(), Version: cmd.Version, Mirror: cmd.Mirror, SHA256: cmd.SHA256, Progress: p.show})
	if err != nil {
		return err
	}
	return c.Print(map[string]string{"firecracker": program}, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, program)
		return err
	})
}

type installJDK struct {
	Mirror string `help:"URL of a mirror of the vendor's release page." env:"CLOUDJIT_JDK_MIRROR" placeholder:"URL"`
	URL    string `name:"url" help:"URL of another JDK's .tar.gz. It needs --sha256." env:"CLOUDJIT_JDK_URL" placeholder:"URL"`
	SHA256 string `name:"sha256" help:"SHA-256 of the archive at --url." env:"CLOUDJIT_JDK_SHA256" placeholder:"SUM"`
}

func (cmd *installJDK) Run(c *Context) error {
	if (cmd.URL == "") != (cmd.SHA256 == "") {
		return &usageError{"--url and --sha256 go together: an archive is installed only if it is the one that you mean"}
	}
	p := newInstallProgress(c.Stderr)
	defer p.done()
	j, err := toolchain.InstallJDK(c, toolchain.JDKOptions{Cache: config.CacheDir(), Mirror: cmd.Mirror, URL: cmd.URL, SHA256: cmd.SHA256, Progress: p.show})
	if err != nil {
		return err
	}
	return c.Print(j, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, j.Home)
		return err
	})
}

type installCRIU struct {
	Debian string `help:"URL of a Debian mirror." placeholder:"URL"`
}

func (cmd *installCRIU) Run(c *Context) error {
	p := newInstallProgress(c.Stderr)
	defer p.done()
	dir, err := toolchain.InstallCRIU(c, toolchain.CRIUOptions{Cache: config.CacheDir(), DebianURL: cmd.Debian, Progress: p.show})
	if err != nil {
		return err
	}
	return c.Print(map[string]string{"criu": dir}, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, dir)
		return err
	})
}

type installGraalVM struct {
	Version string `help:"Version (the one that CloudJIT is tested with)." placeholder:"V"`
	Edition string `enum:"community,oracle" default:"community" help:"community or oracle. Oracle's has its own licence, and profile-guided optimization."`
	Mirror  string `help:"URL of a mirror of the release page." placeholder:"URL"`
}

func (cmd *installGraalVM) Run(c *Context) error {
	p := newInstallProgress(c.Stderr)
	defer p.done()
	tc, err := toolchain.InstallRelease(c, toolchain.ReleaseOptions{
		Cache: config.CacheDir(), Version: cmd.Version, Edition: cmd.Edition, Mirror: cmd.Mirror, Progress: p.show})
	return installed(c, tc, err)
}

type installAssembled struct {
	JDK      string `help:"JDK 25 for the builder." placeholder:"DIR"`
	Maven    string `help:"URL of a Maven repository." placeholder:"URL"`
	Debian   string `help:"URL of a Debian mirror." placeholder:"URL"`
	Packages bool   `negatable:"" default:"true" help:"Install missing system packages, if this runs as root."`
}

func (cmd *installAssembled) Run(c *Context) error {
	p := newInstallProgress(c.Stderr)
	defer p.done()
	tc, err := toolchain.Assemble(c, toolchain.AssembleOptions{Cache: config.CacheDir(), JDK: cmd.JDK,
		MavenURL: cmd.Maven, DebianURL: cmd.Debian, InstallPackages: cmd.Packages, Progress: p.show})
	return installed(c, tc, err)
}

type installAuto struct{}

// probeTime is how long a release page has to answer before a builder is assembled instead.
const probeTime = 5 * time.Second

func (installAuto) Run(c *Context) error {
	if found, _ := toolchain.Find(toolchain.FindOptions{Cache: config.CacheDir()}); len(found) > 0 {
		return installed(c, found[0], nil)
	}
	release := toolchain.ReleaseOptions{Cache: config.CacheDir()}
	if err := toolchain.ReleaseReachable(c, release, probeTime); err != nil {
		c.Say("no release page answers (%v): assembling a builder from published packages", err)
		return (&installAssembled{Packages: true}).Run(c)
	}
	return (&installGraalVM{Edition: "community"}).Run(c)
}

func installed(c *Context, tc toolchain.Toolchain, err error) error {
	if err != nil {
		return err
	}
	return c.Print(tc, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, tc.Home)
		return err
	})
}

// installProgress shows an installation's steps: one line that is written over on a terminal, else a
// line for every step.
type installProgress struct {
	w        io.Writer
	terminal bool
	step     string
	at       time.Time
}

func newInstallProgress(w io.Writer) *installProgress {
	return &installProgress{w: w, terminal: isTerminal(w)}
}

func (p *installProgress) show(s toolchain.Progress) {
	if s.Step == p.step && (!p.terminal || time.Since(p.at) < 100*time.Millisecond) {
		return
	}
	if !p.terminal {
		if s.Step != p.step {
			fmt.Fprintln(p.w, s.Step)
		}
		p.step = s.Step
		return
	}
	p.step, p.at = s.Step, time.Now()
	part := ""
	if s.Total > 0 {
		part = fmt.Sprintf(" %3d%%", s.Done*100/s.Total)
	}
	fmt.Fprintf(p.w, "\r\x1b[K%s%s", s.Step, part)
}

func (p *installProgress) done() {
	if p.terminal && p.step != "" {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
