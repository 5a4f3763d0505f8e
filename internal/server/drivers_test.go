package server_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/assets"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/toolchain"
	"github.com/cloudjit/cloudjit/internal/ziptest"
)

// chooses is a function's configuration with a driver.
func chooses(driver string) map[string]any {
	return map[string]any{"MemorySize": 128, "Timeout": 60, "Environment": map[string]any{"Variables": map[string]string{"CLOUDJIT_DRIVER": driver}}}
}

// kernel is the release of the kernel that a function runs on.
func (c *child) kernel(t *testing.T, name string) (release string) {
	t.Helper()
	b := c.must(t, "POST", functionsPath+"/"+name+"/invocations", map[string]any{"do": "kernel"})
	if err := json.Unmarshal(b, &release); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return release
}

// driver is what is said of a function's.
func (c *child) driver(t *testing.T, name string) string {
	t.Helper()
	var r struct{ Driver string }
	if err := json.Unmarshal(c.must(t, "GET", "/cloudjit/v1/functions/"+name+"/revisions/latest", nil), &r); err != nil {
		t.Fatal(err)
	}
	return r.Driver
}

// linkGuest gives a server with a cache of its own the guest that all tests have.
func linkGuest(t *testing.T, own string) {
	t.Helper()
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		t.Skip("SKIPPED: there is no qemu-system-x86_64")
	}
	cache := config.CacheDir()
	agent, err := assets.Install(filepath.Join(cache, "assets"), assets.Agent)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := toolchain.BuildGuest(t.Context(), toolchain.GuestOptions{Cache: cache, Agent: agent}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.MkdirAll(own, 0o755), os.Symlink(filepath.Join(cache, "guest"), filepath.Join(own, "guest"))); err != nil {
		t.Fatal(err)
	}
}

// TestDriverOfAFunction: one function runs in a virtual machine beside another one that does not, also after the server was killed.
func TestDriverOfAFunction(t *testing.T) {
	o, _, tmp := newOptions(t)
	linkGuest(t, o.Cache)
	o.Config.Workers.Accel, o.Config.Policy.Enabled = "tcg", false
	var host unix.Utsname
	if err := unix.Uname(&host); err != nil {
		t.Fatal(err)
	}
	bootstrap := ziptest.Of(t, "bootstrap", string(guestProgram(t)))

	c := spawn(t, o, tmp)
	defer func() { _ = c.end(syscall.SIGKILL) }()
	c.create(t, "plain", "provided.al2023", "x", bootstrap, nil)
	c.create(t, "contained", "provided.al2023", "x", bootstrap, chooses("qemu"))
	check := func(when string) {
		t.Helper()
		if got, want := c.kernel(t, "plain"), unix.ByteSliceToString(host.Release[:]); got != want || c.driver(t, "plain") != "process" {
			t.Errorf("%s: the function without a driver runs on %s, driver %s: want %s", when, got, c.driver(t, "plain"), want)
		}
		if got := c.kernel(t, "contained"); got == unix.ByteSliceToString(host.Release[:]) || c.driver(t, "contained") != "qemu" {
			t.Errorf("%s: the function in a virtual machine runs on %s, driver %s", when, got, c.driver(t, "contained"))
		}
	}
	check("new")
	_ = c.end(syscall.SIGKILL)
	c = spawn(t, o, tmp)
	check("after a kill")

	// Where its driver went away it says so, and nobody else notices.
	if err := c.end(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	guests := filepath.Join(o.Cache, "guest")
	if err := os.Remove(guests); err != nil {
		t.Fatal(err)
	}
	c = spawn(t, o, tmp)
	c.kernel(t, "plain")
	began := time.Now()
	status, _, b, err := c.call("POST", functionsPath+"/contained/invocations", map[string]any{"do": "kernel"})
	if err != nil || status != http.StatusInternalServerError || !strings.Contains(string(b), "qemu is not on this node") {
		t.Errorf("without its driver: got %d %s, %v after %v", status, b, err, time.Since(began))
	}

	// Changed, it goes on where it is told to.
	c.must(t, "PUT", functionsPath+"/contained/configuration", map[string]any{"Environment": map[string]any{"Variables": map[string]string{}}})
	until(t, "it runs as all do", func() bool { // what served before does until then
		_, _, b, err := c.call("POST", functionsPath+"/contained/invocations", map[string]any{"do": "kernel"})
		return err == nil && string(b) == strconv.Quote(unix.ByteSliceToString(host.Release[:]))
	})
	if err := c.end(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if left := leftovers(t, o, tmp); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestDriverThatIsNotThere: a function that chose it does not become active, and says why; an update leaves what served.
func TestDriverThatIsNotThere(t *testing.T) {
	o, _, tmp := newOptions(t) // no guest was made in its cache
	o.Config.Policy.Enabled = false
	c := spawn(t, o, tmp)
	defer func() { _ = c.end(syscall.SIGTERM) }()
	bootstrap := ziptest.Of(t, "bootstrap", string(guestProgram(t)))
	c.create(t, "f", "provided.al2023", "x", bootstrap, nil)

	status, _, b, err := c.call("PUT", functionsPath+"/f/configuration", chooses("chroot"))
	if err != nil || status != http.StatusBadRequest || !strings.Contains(string(b), `CLOUDJIT_DRIVER: want what makes the function's workers, one of process, qemu, firecracker`) {
		t.Errorf("no such driver: got %d %s, %v", status, b, err)
	}
	c.must(t, "PUT", functionsPath+"/f/configuration", chooses("qemu"))
	var conf struct{ State, StateReason, LastUpdateStatus, LastUpdateStatusReason string }
	until(t, "the update failed", func() bool {
		if err := json.Unmarshal(c.must(t, "GET", functionsPath+"/f/configuration", nil), &conf); err != nil {
			t.Fatal(err)
		}
		return conf.LastUpdateStatus == "Failed"
	})
	if !strings.Contains(conf.LastUpdateStatusReason, "qemu is not on this node: find the guest of microVMs: it is not made yet") {
		t.Errorf("got %+v", conf)
	}
	c.must(t, "POST", functionsPath+"/f/invocations", map[string]any{"id": "still"})
}

// TestDriverOnOneNode: of two nodes one has the driver. A function that chose it runs there, wherever its calls come in, and is made active by a
// node that lacks it.
func TestDriverOnOneNode(t *testing.T) {
	all, tmps := nodeOptions(t)
	linkGuest(t, all[2].Cache)
	var nodes [3]*child
	var starting sync.WaitGroup
	for i := range all {
		all[i].Config.Workers.Network, all[i].Config.Workers.Accel = "none", "tcg"
		starting.Go(func() { nodes[i] = spawn(t, all[i], tmps[i]) })
	}
	starting.Wait()
	for _, c := range nodes {
		defer func() { _ = c.end(syscall.SIGKILL) }()
	}
	has := func(i int) bool {
		return strings.Contains(string(nodes[i].must(t, "GET", "/cloudjit/v1/nodes", nil)), `"qemu"`)
	}
	until(t, "all nodes know who has the driver", func() bool { return has(0) && has(1) })
	bootstrap := ziptest.Of(t, "bootstrap", string(guestProgram(t)))
	nodes[0].create(t, "contained", "provided.al2023", "x", bootstrap, chooses("qemu"))
	var host unix.Utsname
	if err := unix.Uname(&host); err != nil {
		t.Fatal(err)
	}
	for i, c := range nodes {
		if got := c.kernel(t, "contained"); got == unix.ByteSliceToString(host.Release[:]) {
			t.Errorf("asked at node %d it ran on %s", i, got)
		}
	}
	_ = nodes[2].end(syscall.SIGKILL)
	until(t, "the others say that none has it", func() bool {
		status, _, b, err := nodes[0].call("POST", functionsPath+"/contained/invocations", map[string]any{"do": "kernel"})
		return err == nil && status == http.StatusInternalServerError && strings.Contains(string(b), "qemu is not on this node")
	})
}
