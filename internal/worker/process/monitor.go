package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/worker"
)

// Monitor is how a virtual machine's monitor is connected, beside what its worker.Spec says.
type Monitor struct {
	// Stdin becomes its standard input. It stays the caller's.
	Stdin *os.File
	// Files are inherited, with the numbers that they have in this process. They stay the caller's.
	Files []*os.File
	// KVM shows it /dev/kvm.
	KVM bool
}

// Machine is a running monitor in a sandbox like a worker's: its own user, namespaces, system call filter and control
// group. What its own process prints is for errors only (Explain).
type Machine struct {
	*handle
	// Stdout and Stderr take what the function inside writes, within the bounds of a function's output and on to
	// Spec.Output. They are the caller's to close; Done waits a second for that.
	Stdout, Stderr *os.File
}

// Contain starts the monitor of a virtual machine. spec.Limits are the monitor's, with all that the guest has in
// memory; the specification's Folders are the host's to look into by Folder.
func (d *Driver) Contain(ctx context.Context, spec worker.Spec, m Monitor) (*Machine, error) {
	if !d.enter() {
		return nil, worker.ErrClosed
	}
	defer d.starts.Done()
	h, err := d.launchIn(ctx, spec, false, &m, time.Now())
	if err != nil {
		return nil, err
	}
	return &Machine{handle: h, Stdout: h.ends[0], Stderr: h.ends[1]}, nil
}

// monitor lays the sandbox out for a monitor, whose output is not the function's.
func (h *handle) monitor(p *plan, m *Monitor, out, errs *os.File, inherited, undo *closers) (err error) {
	if h.vmm, err = newTool(inherited); err != nil {
		return err
	}
	undo.add(func() error { h.vmm.close(); return nil })
	p.stdout, p.stderr = rawFD(h.vmm.write), rawFD(h.vmm.write)
	if m.Stdin != nil {
		p.stdin = int(m.Stdin.Fd())
	}
	for _, f := range m.Files {
		p.inherit = append(p.inherit, rawFD(f))
	}
	p.kvm = m.KVM
	h.ends = [2]*os.File{out, errs}
	return nil
}

// Explain adds what the monitor printed to an error.
func (m *Machine) Explain(err error) error {
	if said := m.vmm.said(); said != "" {
		return fmt.Errorf("%w; the monitor said: %s", err, said)
	}
	return err
}

// Kill ends the machine at once; Stop waits for its end.
func (m *Machine) Kill() { m.stop() }

// Flush gives on what was written to Stdout and Stderr, and waits a moment for the reader.
func (m *Machine) Flush() { m.out.flush() }

// Tail is the end of what was written to Stderr.
func (m *Machine) Tail() string { return m.out.stderr() }

// Folder calls f with a path that leads into the i-th of the specification's Folders, from this process alone.
func (m *Machine) Folder(i int, f func(dir string) error) error {
	m.folders.mu.Lock()
	defer m.folders.mu.Unlock()
	if i >= len(m.folders.all) || m.folders.all[i].fd < 0 {
		return errors.New("the sandbox is gone")
	}
	return f(fmt.Sprintf("/proc/self/fd/%d", m.folders.all[i].fd))
}

// Weaker lists what is weaker of sandboxes here than it can be, whatever runs in them.
func (d *Driver) Weaker() []string { return d.weaker }

// Filter is the system call filter of every sandbox: struct sock_filter, one after the other (seccomp(2)).
func (d *Driver) Filter() []byte { return d.base.filter }

// Etc is the folder that sandboxes see as /etc.
func (d *Driver) Etc() string { return d.base.etc }

// System lists the host's folders of programs and libraries that sandboxes see, and the links to them, which have a
// Link.
func System() []SystemDir {
	var out []SystemDir
	for _, d := range systemDirs() {
		out = append(out, SystemDir{Name: d.name, Link: d.link})
	}
	return out
}

// SystemDir is one folder in the root, or a link in the place of one.
type SystemDir struct{ Name, Link string }

// Alive reports whether the monitor runs.
func (m *Machine) Alive() bool { return !m.ended() && unix.Kill(m.child.pid, 0) == nil }

// PID is the monitor's process.
func (m *Machine) PID() int { return m.child.pid }
