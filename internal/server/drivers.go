package server

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/cloudjit/cloudjit/internal/assets"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/toolchain"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/choice"
	"github.com/cloudjit/cloudjit/internal/worker/microvm"
	"github.com/cloudjit/cloudjit/internal/worker/process"
)

// drivers make the workers of this node: those of the configuration, and those that functions choose.
type drivers struct {
	*choice.Driver
	// process is what virtual machines stand on. The tools of builders run in its sandboxes, also where workers are virtual
	// machines, since what they make for a function reaches no other one, and compilers in an emulated processor would take hours.
	process *process.Driver
	several bool
	kernel  string // of virtual machines, chosen when the server started
}

// newDrivers makes them; the one that the configuration has for all must be there.
func newDrivers(ctx context.Context, c config.Config, data, cache string) (*drivers, error) {
	inner, err := newProcess(ctx, c, data, cache)
	if err != nil {
		return nil, err
	}
	o := choice.Options{Default: c.Workers.Driver, Base: inner, Setting: "workers.driver and workers.drivers"}
	for _, name := range c.Workers.Choices() {
		k := choice.Kind{Name: name, Open: func() (worker.Driver, error) { return inner, nil }}
		if name != config.DriverProcess {
			v := &virtual{name: name, config: c, cache: cache, inner: inner}
			k.Open, k.Look = v.open, v.look
		}
		o.Kinds = append(o.Kinds, k)
	}
	d := &drivers{process: inner, several: len(o.Kinds) > 1, kernel: toolchain.ChosenKernel(cache)}
	if d.Driver, err = choice.New(o); err != nil {
		return nil, errors.Join(err, inner.Close())
	}
	return d, nil
}

// guestKernel is the kernel of virtual machines, if there are drivers of such.
func (d *drivers) guestKernel(names []string) string {
	for _, name := range names {
		if name != config.DriverProcess {
			return d.kernel
		}
	}
	return ""
}

// saves reports whether a function can have workers that are saved.
func (d *drivers) saves() bool { return d.several || d.Capabilities().Snapshot }

// check fails for a revision whose driver is not here; elsewhere says whether another node has a driver.
func (d *drivers) check(rev *function.Spec, elsewhere func(driver string) bool) error {
	_, err := d.For(rev)
	if err != nil && elsewhere != nil && elsewhere(d.NameFor(rev)) {
		return nil
	}
	return err
}

// virtual is a driver of virtual machines that may be wanted.
type virtual struct {
	name   string
	config config.Config
	cache  string
	inner  *process.Driver
}

// options are those of the driver. The error says what it lacks; that nothing is missing proves nothing.
func (v *virtual) options() (microvm.Options, error) {
	agent, err := assets.Install(filepath.Join(v.cache, "assets"), assets.Agent)
	if err != nil {
		return microvm.Options{}, err
	}
	guest, err := toolchain.FindGuest(toolchain.GuestOptions{Cache: v.cache, Agent: agent})
	if err != nil {
		return microvm.Options{}, err
	}
	firecracker := ""
	if v.name == config.DriverFirecracker {
		if firecracker, err = toolchain.FindFirecracker(v.config.Workers.Firecracker, v.cache); err != nil {
			return microvm.Options{}, err
		}
	}
	return microvm.Options{
		Monitor: v.name, Firecracker: firecracker,
		Guest:  microvm.Guest{Kernel: guest.Vmlinux, Init: guest.Init, Small: guest.Kernel == toolchain.KernelSmall},
		Images: toolchain.GuestImages(v.cache), Process: v.inner, Accel: v.config.Workers.Accel,
		Network: v.config.Workers.Network == "host",
	}, nil
}

func (v *virtual) look() error {
	o, err := v.options()
	if err != nil {
		return err
	}
	return microvm.Look(o)
}

func (v *virtual) open() (worker.Driver, error) {
	o, err := v.options()
	if err != nil {
		return nil, err
	}
	d, err := microvm.New(o)
	if err != nil {
		return nil, err
	}
	return d, nil
}

// ProbeDriver runs something in a sandbox of the configured driver and says what such a
// sandbox can do on this machine.
func ProbeDriver(ctx context.Context, c config.Config, dir string) (worker.Capabilities, error) {
	d, err := newDrivers(ctx, c, dir, config.CacheDir())
	if err != nil {
		return worker.Capabilities{}, err
	}
	defer d.Close()
	if err := d.Probe(ctx); err != nil {
		return worker.Capabilities{}, err
	}
	return d.Capabilities(), nil
}
