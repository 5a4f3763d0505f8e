package process

import (
	"cmp"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/process/script"
)

// criu is a folder with CRIU in it, as distributions lay it out. One that was installed beside the system's
// own libraries brings its own, and so its own dynamic linker.
type criu struct {
	dir    string
	linker string   // relative to dir; empty: the system's
	files  []string // the program and its libraries, on the host; none if they are the system's
}

// findCRIU looks at what lies in dir.
func findCRIU(dir string) (criu, error) {
	if _, err := os.Stat(filepath.Join(dir, criuProgram)); err != nil {
		return criu{}, fmt.Errorf("find CRIU: %w", err)
	}
	c := criu{dir: dir}
	if filepath.Clean(dir) == "/" {
		return c, nil
	}
	found, err := filepath.Glob(filepath.Join(dir, "usr/lib/*/ld-linux-*.so.*"))
	if err != nil || len(found) != 1 {
		return criu{}, fmt.Errorf("find CRIU: %s has no dynamic linker beside it", filepath.Join(dir, criuProgram))
	}
	if c.linker, err = filepath.Rel(dir, found[0]); err != nil {
		return criu{}, fmt.Errorf("find CRIU: %w", err)
	}
	c.files = linked([]string{filepath.Join(dir, criuProgram), found[0]}, filepath.Dir(found[0]))
	return c, nil
}

// linked adds to programs the libraries in a folder that they are linked with, but for those that have a stand-in.
func linked(programs []string, folder string) []string {
	all := programs
	for i := 0; i < len(all); i++ {
		f, err := elf.Open(all[i])
		if err != nil {
			continue // who starts it says so
		}
		names, _ := f.ImportedLibraries()
		f.Close()
		for _, name := range names {
			file := filepath.Join(folder, name)
			if !slices.Contains(all, file) && !slices.ContainsFunc(standins, func(s standin) bool { return s.name == name }) {
				all = append(all, file)
			}
		}
	}
	return all
}

const criuProgram = "usr/sbin/criu"

// argv begins the command; dir is where the folder can be reached, and libraries are those that come before its own, if there are any.
func (c criu) argv(dir, libraries string) []string {
	if c.linker == "" {
		return []string{"/" + criuProgram}
	}
	at := func(name string) string { return dir + "/" + name }
	search := at(filepath.Dir(c.linker))
	if libraries != "" {
		search = libraries + ":" + search
	}
	return []string{at(c.linker), "--library-path", search, at(criuProgram)}
}

// lookAtCRIU finds out whether workers can be saved here, as far as that can be seen without doing it.
func (d *Driver) lookAtCRIU() error {
	if d.options.CRIU == "" {
		return errors.New(cmp.Or(d.options.NoCRIU, "there is no CRIU"))
	}
	switch {
	case !d.base.privileged || d.users == nil:
		return errors.New("the server is not root, and without CAP_SYS_ADMIN of the host Linux lets nobody save a process that has a system call filter, which all workers have")
	case !d.base.userNS:
		return errors.New("user namespaces are turned off here (user.max_user_namespaces)")
	}
	if d.options.ShareNetwork {
		return errors.New("workers share the host's network")
	}
	c, err := findCRIU(d.options.CRIU)
	if err != nil {
		return err
	}
	d.criu = c
	// An earlier version kept this in a folder.
	if err := os.RemoveAll(filepath.Join("/dev/shm", d.prefix+"criu")); err != nil {
		return err
	}
	if d.memory, err = newMemory(); err != nil {
		return err
	}
	for _, folder := range []string{cacheName, librariesName} {
		err = errors.Join(err, os.Mkdir(d.memory.path(folder), 0o755), os.Chmod(d.memory.path(folder), 0o755)) // whatever the server's mask is
	}
	if err == nil && c.linker != "" {
		err = writeStandins(d.memory.path(librariesName))
	}
	if err == nil {
		err = d.checkKernel()
	}
	if err == nil {
		d.firstProgram, err = firstProgram()
	}
	if err != nil {
		return errors.Join(err, d.memory.close())
	}
	d.caps.Snapshot = true
	d.leastRun = 1 // the program of the test has few
	err = d.selfTest()
	if err == nil {
		d.leastRun = leastRun
		return nil
	}
	d.leastRun = neverShare
	if again := d.selfTest(); again != nil {
		d.caps.Snapshot = false
		return again
	}
	d.caps.Weaker = append(d.caps.Weaker, fmt.Sprintf("Restored workers share no memory (%v).", err))
	return nil
}

// selfTest saves a small program and restores it: what the kernel says it can do proves nothing.
func (d *Driver) selfTest() error {
	ctx, cancel := context.WithTimeout(context.Background(), dumpTime)
	defer cancel()
	dir, err := os.MkdirTemp(d.options.Dir, "self-test-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	spec := worker.Spec{Path: "/bin/sleep", Args: []string{"1000"}, Dir: "/", Revision: &function.Spec{Kind: function.KindProvided}}
	spec.ID, spec.Savable = "self-test-"+strconv.FormatInt(time.Now().UnixNano(), 36), true
	saved, err := d.launch(ctx, spec, false, time.Now())
	if err != nil {
		return err
	}
	err = errors.Join(saved.Snapshot(ctx, dir), saved.Stop(ctx, 0))
	if err != nil {
		return err
	}
	spec.ID, spec.Savable, spec.Restore = spec.ID+"-restored", false, dir
	restored, err := d.launch(ctx, spec, false, time.Now())
	if err != nil {
		return err
	}
	defer func() { _ = restored.Stop(ctx, 0) }()
	for !strings.HasPrefix(restored.command(), "/bin/sleep\x001000") {
		select {
		case <-restored.done:
			return restored.explain(errors.New("a program that was saved was not restored"))
		case <-ctx.Done():
			return restored.explain(ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

// command is the command line of the process that runs the function, empty if there is none.
func (h *handle) command() string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", h.runtime()))
	return string(b)
}

// checkKernel lets CRIU find out what the kernel can do, and keeps that for when it saves workers.
func (d *Driver) checkKernel() error {
	run, err := newMemory()
	if err != nil {
		return err
	}
	defer run.close()
	var inherited closers
	defer inherited.close()
	log, err := newTool(&inherited)
	if err != nil {
		return err
	}
	defer log.close()
	b := &builder{plan: &plan{sink: int(d.sink.Fd())}}
	b.Do("separate the mounts", unix.SYS_MOUNT, 0, "/", 0, unix.MS_REC|unix.MS_PRIVATE, 0)
	b.Do("mount /run", unix.SYS_MOVE_MOUNT, int(run.root.Fd()), "", unix.AT_FDCWD, "/run", unix.MOVE_MOUNT_F_EMPTY_PATH)
	b.connect(b.plan.sink, rawFD(log.write), rawFD(log.write))
	b.takeSignals()
	argv := d.criu.argv(d.criu.dir, "")
	b.Exec(argv[0], append(argv, "check", "-v1"), []string{"PATH=/usr/sbin:/usr/bin"})
	started, err := d.spawn(&b.Script, unix.CLONE_NEWNS, &inherited)
	if err != nil {
		return err
	}
	c := newChild(started.PID, started.PidFD)
	t := time.AfterFunc(dumpTime, func() { c.kill(unix.SIGKILL) })
	defer t.Stop()
	code, _, _ := c.wait()
	if err := started.Ended(); err != nil {
		return fmt.Errorf("criu check: %w", err)
	}
	if code != 0 {
		return fmt.Errorf("criu check ended with %d: %s", code, log.said())
	}
	if d.kernel, err = os.ReadFile(run.path(kernelFile)); err != nil {
		return fmt.Errorf("criu check: it left nothing: %w", err)
	}
	return nil
}

// spawn starts what is no sandbox, and returns when all processes of the script have executed a program or have ended.
// What they inherit is closed.
func (d *Driver) spawn(s *script.Script, flags uint64, inherited *closers) (*script.Child, error) {
	ours, theirs, err := SocketPair()
	if err != nil {
		return nil, err
	}
	defer ours.Close()
	inherited.add(theirs.Close)
	d.birth.Lock() // as in launch
	defer d.birth.Unlock()
	started, err := d.spawner.Start(s, script.Options{Flags: flags})
	if err != nil {
		return nil, err
	}
	inherited.close()
	_, _ = receive(ours, nil)
	return started, nil
}
