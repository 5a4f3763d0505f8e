package microvm

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/microvm/wire"
	"github.com/cloudjit/cloudjit/internal/worker/process"
)

// standInDriver has the stand-in for Firecracker, with faults.
func standInDriver(t *testing.T, faults string) *Driver {
	t.Helper()
	dir := t.TempDir()
	kernel, initrd := filepath.Join(dir, "vmlinux"), filepath.Join(dir, "initramfs")
	if err := errors.Join(os.WriteFile(kernel, []byte(faults+"\n"), 0o644), os.WriteFile(initrd, []byte("agent"), 0o644)); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	inner, err := process.New(process.Options{Dir: filepath.Join(dir, "process")})
	if err != nil {
		t.Fatal(err)
	}
	d, err := New(Options{Monitor: "firecracker", Firecracker: exe, standIn: true, Guest: Guest{Kernel: kernel, Init: initrd}, Images: filepath.Join(dir, "images"), Process: inner})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// requests are what a machine was asked for.
func requests(t *testing.T, h *handle) (lines []string) {
	t.Helper()
	err := h.machine.Folder(0, func(dir string) error {
		b, err := os.ReadFile(filepath.Join(dir, standInLog))
		lines = strings.Split(strings.TrimSpace(string(b)), "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// echoes reports whether the guest answers.
func echoes(t *testing.T, h *handle, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	st, stop, err := h.session().open(ctx, wire.Request{Op: wire.OpEcho})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	defer st.Close()
	if _, err := st.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(st, got); err != nil || string(got) != text {
		t.Fatalf("got %q, %v", got, err)
	}
}

// TestFirecrackerRequests: a machine boots, is saved, goes on, and goes on as two copies with files of their own, and Firecracker is
// asked for that in its own words and order.
func TestFirecrackerRequests(t *testing.T) {
	d := standInDriver(t, "")
	if d.Name() != "firecracker" || d.Capabilities().Emulated || !d.Capabilities().Snapshot {
		t.Errorf("got %s, %+v", d.Name(), d.Capabilities())
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	sh := shape{MemoryMiB: 224, CPUs: 2, Drives: 2}
	h, hello, err := d.booted(ctx, sh)
	if err != nil {
		t.Fatal(err)
	}
	defer h.cut()
	if hello.Version != wire.Version {
		t.Errorf("got %+v", hello)
	}
	echoes(t, h, "new")
	booted := []string{
		`PUT /machine-config {"mem_size_mib":224,"smt":false,"track_dirty_pages":false,"vcpu_count":2}`,
		`PUT /boot-source {"boot_args":"` + strings.Join(firecrackerWords(), " ") + `","initrd_path":"/vm/initramfs","kernel_image_path":"/vm/vmlinux"}`,
		`PUT /drives/drive0 {"drive_id":"drive0","is_read_only":true,"is_root_device":false,"path_on_host":"/vm/0.erofs","rate_limiter":{"bandwidth":{"one_time_burst":1073741824,"refill_time":1000,"size":268435456}}}`,
		`PUT /drives/drive1 {"drive_id":"drive1","is_read_only":true,"is_root_device":false,"path_on_host":"/vm/1.erofs","rate_limiter":{"bandwidth":{"one_time_burst":1073741824,"refill_time":1000,"size":268435456}}}`,
		`PUT /entropy {"rate_limiter":{"bandwidth":{"one_time_burst":65536,"refill_time":1000,"size":65536}}}`,
		`PUT /vsock {"guest_cid":3,"uds_path":"/machine/host.sock"}`,
		`PUT /actions {"action_type":"InstanceStart"}`,
	}
	if got := requests(t, h); !slices.Equal(got, booted) {
		t.Errorf("booted by\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(booted, "\n"))
	}

	// Saved twice, since a machine that is saved goes on.
	var saved *standing
	for range 2 {
		mark := newMark()
		if err := h.session().suspend(ctx, mark); err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if err := h.write(ctx, dir, record{Mark: mark}); err != nil {
			t.Fatal(err)
		}
		if h.conn, err = h.monitor.resume(ctx, h); err != nil {
			t.Fatal(err)
		}
		s, err := nextSession(h.conn, h.listener, mark, restoreTime)
		if err != nil {
			t.Fatal(err)
		}
		h.link.Store(&link{session: s})
		echoes(t, h, "goes on")
		if saved, err = load(dir); err != nil {
			t.Fatal(err)
		}
		defer saved.close()
	}
	for i, line := range requests(t, h)[len(booted):] {
		want := []string{`PATCH /vm {"state":"Paused"}`, `PUT /snapshot/create {"mem_file_path":"/proc/self/fd/`, `PATCH /vm {"state":"Resumed"}`}[i%3]
		if !strings.HasPrefix(line, want) {
			t.Errorf("request %d after the boot: %s, want %s", i, line, want)
		}
	}

	image := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, bytes.Repeat([]byte("e"), 8192), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"copy-a", "copy-b"} {
		c, err := d.power(ctx, worker.Spec{ID: id, Revision: probed}, powering{shape: saved.Shape, drives: []string{image}, from: saved, savable: id == "copy-b"})
		if err != nil {
			t.Fatal(err)
		}
		defer c.cut()
		echoes(t, c, id)
		got := requests(t, c)
		if want := `PUT /snapshot/load {"mem_backend":{"backend_path":"/proc/self/fd/`; len(got) != 1 || !strings.HasPrefix(got[0], want) || !strings.Contains(got[0], `"backend_type":"File"},"resume_vm":true,"snapshot_path":"/proc/self/fd/`) {
			t.Errorf("%s: asked for %q", id, got)
		}
		if id == "copy-a" {
			if err := c.write(ctx, t.TempDir(), record{}); err == nil || !strings.Contains(err.Error(), "not made to be saved") {
				t.Errorf("saved, and was not made for it: %v", err)
			}
		}
	}
}

// TestFirecrackerTemplate: what has booted once is there for all machines of its size, and the next driver, if it is the same guest.
func TestFirecrackerTemplate(t *testing.T) {
	d := standInDriver(t, "")
	s, release, err := d.template(t.Context(), shape{MemoryMiB: 224, CPUs: 1, Drives: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	h, err := d.power(t.Context(), worker.Spec{ID: "one", Revision: probed}, powering{shape: s.Shape, from: s})
	if err != nil {
		t.Fatal(err)
	}
	echoes(t, h, "from a template")
	pid := h.machine.PID()
	h.cut()
	if why := left(t, d, pid); why != "" {
		t.Error(why)
	}
	if s.Fit != d.fit() {
		t.Error("it does not fit its own driver")
	}
	if q := (&Driver{kind: &qemuKind, options: d.options, program: d.program}); q.fit() == s.Fit {
		t.Error("what Firecracker saved fits QEMU")
	}
}

// TestFirecrackerFaults: whatever the monitor does, the start fails with a reason, in time, and nothing is left.
func TestFirecrackerFaults(t *testing.T) {
	for _, tc := range []struct {
		fault, want string
		limit       time.Duration
	}{
		{"PUT /boot-source refuse", "tell the monitor to PUT /boot-source: it refuses: told to refuse it", 0},
		{"PUT /actions refuse", "tell the monitor to PUT /actions: it refuses: told to refuse it", 0},
		{"PUT /machine-config garble", `tell the monitor to PUT /machine-config: it answers with status 418: "<<<`, 0},
		{"PUT /vsock die", "tell the monitor to PUT /vsock: ", 0},
		{"PUT /entropy hang", "tell the monitor to PUT /entropy: context deadline exceeded", 3 * time.Second},
		{"no socket", "wait for the monitor's socket: context deadline exceeded", 3 * time.Second},
		{"no guest", "wait for the guest: context deadline exceeded", 3 * time.Second},
	} {
		t.Run(tc.fault, func(t *testing.T) {
			t.Parallel()
			d := standInDriver(t, tc.fault)
			limit := tc.limit
			if limit == 0 {
				limit = 20 * time.Second
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			began := time.Now()
			_, err := d.boot(ctx)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			if took := time.Since(began); took > limit+5*time.Second {
				t.Errorf("it took %v", took)
			}
			if n, err := d.Clean(t.Context()); n != 0 || err != nil {
				t.Errorf("left %d, %v", n, err)
			}
		})
	}
}

// TestFirecrackerSaveFaults: a machine that cannot be saved or restored says why; what was there before is not touched.
func TestFirecrackerSaveFaults(t *testing.T) {
	for _, tc := range []struct{ fault, want string }{
		{"PATCH /vm refuse", "tell the monitor to PATCH /vm: it refuses"},
		{"PUT /snapshot/create die", "tell the monitor to PUT /snapshot/create: "},
		{"PUT /snapshot/create hang", "tell the monitor to PUT /snapshot/create: context deadline exceeded"},
		{"PUT /snapshot/load refuse", "restore the machine: tell the monitor to PUT /snapshot/load: it refuses"},
		{"PUT /snapshot/load die", "restore the machine: tell the monitor to PUT /snapshot/load: "},
	} {
		t.Run(tc.fault, func(t *testing.T) {
			t.Parallel()
			d := standInDriver(t, tc.fault)
			save := func() error {
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				s, release, err := d.template(ctx, shape{MemoryMiB: 224, CPUs: 1, Drives: 1})
				if err != nil {
					return err
				}
				defer release()
				_, err = d.power(ctx, worker.Spec{ID: "copy", Revision: probed}, powering{shape: s.Shape, from: s})
				return err
			}
			if strings.HasSuffix(tc.fault, "hang") { // a template may take longer than a test
				save = func() error {
					h, _, err := d.booted(t.Context(), shape{MemoryMiB: 224, CPUs: 1, Drives: 1})
					if err != nil {
						return err
					}
					defer h.cut()
					ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
					defer cancel()
					if err := h.session().suspend(ctx, newMark()); err != nil {
						return err
					}
					return h.write(ctx, t.TempDir(), record{})
				}
			}
			if err := save(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			if left, err := filepath.Glob(filepath.Join(d.images.dir, bootedFolder, ".part-*")); err != nil || len(left) > 0 {
				t.Errorf("left %v, %v", left, err)
			}
			if n, err := d.Clean(t.Context()); n != 0 || err != nil {
				t.Errorf("left %d, %v", n, err)
			}
		})
	}
}

// TestFirecrackerDrives: the guest for the most drives that a function may have is the largest that Firecracker takes.
func TestFirecrackerDrives(t *testing.T) {
	d := standInDriver(t, "")
	most := d.kind.shapeOf(128, 0, 9)
	if h, _, err := d.booted(t.Context(), most); err != nil {
		t.Error(err)
	} else {
		h.cut()
	}
	most.Drives++
	if _, _, err := d.booted(t.Context(), most); err == nil || !strings.Contains(err.Error(), "tell the monitor to PUT /actions: it refuses: Start microvm error") {
		t.Errorf("%d drives: got %v", most.Drives, err)
	}
}

// TestFirecrackerIsNotThere: nobody is told that it could be used.
func TestFirecrackerIsNotThere(t *testing.T) {
	guest := filepath.Join(t.TempDir(), "vmlinux")
	if err := os.WriteFile(guest, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	o := Options{Monitor: "firecracker", Guest: Guest{Kernel: guest, Init: guest}}
	if err := Look(o); err == nil || !strings.Contains(err.Error(), "cloudjit toolchain install firecracker") {
		t.Errorf("got %v", err)
	}
	o.Monitor = "xen"
	if err := Look(o); err == nil || !strings.Contains(err.Error(), `no kind of monitor "xen": want qemu, firecracker`) {
		t.Errorf("got %v", err)
	}
}

func FuzzFault(f *testing.F) {
	f.Add(400, []byte(`{"fault_message":"no"}`))
	f.Add(500, []byte(`<`))
	f.Fuzz(func(t *testing.T, status int, said []byte) {
		if err := fault(status, said); err == nil || len(err.Error()) > 4096 {
			t.Errorf("got %v", err)
		}
	})
}
