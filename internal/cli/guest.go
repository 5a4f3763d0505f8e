package cli

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/cloudjit/cloudjit/internal/assets"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/toolchain"
	"github.com/cloudjit/cloudjit/internal/worker/microvm"
)

type guestCommands struct {
	Build guestBuild `cmd:"" help:"Make the guest of virtual machines in CloudJIT's cache: a kernel from Debian's packages, the agent, and read-only images of this machine's programs and JDKs."`
}

type guestBuild struct {
	Kernel string `help:"Kernel of guests, from now on: debian (Debian's for clouds) or small (compiled of Debian's source with a small configuration, which takes minutes). Without it: the one chosen before, else debian." placeholder:"NAME" enum:"debian,small," default:""`
	Debian string `help:"URL of a Debian mirror." placeholder:"URL"`
}

func (cmd *guestBuild) Run(c *Context) error {
	p := newInstallProgress(c.Stderr)
	defer p.done()
	cache := config.CacheDir()
	agent, err := assets.Install(filepath.Join(cache, "assets"), assets.Agent)
	if err != nil {
		return err
	}
	guest, err := toolchain.BuildGuest(c, toolchain.GuestOptions{Cache: cache, Agent: agent, Kernel: cmd.Kernel, DebianURL: cmd.Debian, Progress: p.show})
	if err != nil {
		return err
	}
	if cmd.Kernel != "" {
		if err := toolchain.ChooseKernel(cache, cmd.Kernel); err != nil {
			return err
		}
	}
	var homes []string
	for _, j := range toolchain.Inspect(c, toolchain.FindOptions{Cache: cache}).JDKs {
		homes = append(homes, j.Home)
	}
	p.show(toolchain.Progress{Step: "make images of the system and its JDKs"})
	if err := microvm.MakeImages(c, toolchain.GuestImages(cache), homes); err != nil {
		return err
	}
	return c.Print(guest, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, guest.Dir)
		return err
	})
}
