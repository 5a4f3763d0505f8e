package server_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/config"
)

// TestRealClients runs boto3 and the AWS CLI against functions that really run: what works, what
// functions do wrong, limits, updates under load, destinations, web functions.
func TestRealClients(t *testing.T) {
	cache := os.Getenv("CLOUDJIT_CACHE")
	if cache == "" {
		cache = config.CacheDir()
	}
	bin := filepath.Join(cache, "python", "current", "bin")
	if exec.CommandContext(t.Context(), filepath.Join(bin, "python3"), "-c", "import boto3").Run() != nil {
		t.Skip("SKIPPED: there is no boto3: run scripts/prerequisites test")
	}
	dir := t.TempDir()
	tmp := filepath.Join(dir, "tmp")
	if err := os.Mkdir(tmp, 0o777); err != nil {
		t.Fatal(err)
	}
	bootstrap := string(guestProgram(t))
	for name, content := range map[string][]byte{
		"greeter.jar": javaJar(t, "Greeter", false), "site.jar": javaJar(t, "Site", true),
		"guest.zip": zipOf(t, "bootstrap", bootstrap), "other.zip": zipOf(t, "bootstrap", bootstrap, "other", "code"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o := childOptions{Config: config.Default(), Cache: filepath.Join(dir, "cache")}
	o.Config.Listen, o.Config.Data = "127.0.0.1:0", filepath.Join(dir, "data")
	o.Config.Async.Backoff = 100 * time.Millisecond
	o.Config.Policy.Enabled = false // builds are another test's
	c := spawn(t, o, tmp)
	defer func() {
		if err := c.end(syscall.SIGTERM); err != nil {
			t.Errorf("a clean stop: %v", err)
		}
		if left := leftovers(t, o, tmp); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	for _, args := range [][]string{
		{filepath.Join(bin, "python3"), "testdata/real_clients.py", c.url, dir},
		{"sh", "testdata/real_cli.sh", c.url, dir},
	} {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
		cmd.WaitDelay = 5 * time.Second
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", args[1], err, out)
		}
		t.Logf("%s", out)
	}
}
