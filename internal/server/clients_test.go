package server_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/ziptest"
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
	dir, bootstrap := t.TempDir(), string(guestProgram(t))
	for name, content := range map[string][]byte{
		"greeter.jar": javaJar(t, "Greeter", false), "site.jar": javaJar(t, "Site", true),
		"guest.zip": ziptest.Of(t, "bootstrap", bootstrap), "other.zip": ziptest.Of(t, "bootstrap", bootstrap, "other", "code"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, _ := single(t, func(c *config.Config) { c.Async.Backoff = 100 * time.Millisecond })
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
