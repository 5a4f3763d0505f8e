package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/config"
)

func TestDefaultsPass(t *testing.T) {
	c := config.Default()
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
}

func TestParse(t *testing.T) {
	c, err := config.Parse([]byte("workers:\n  keepAlive: 90s\npolicy:\n  threshold: 2\n  window: 10m\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Workers.KeepAlive != 90*time.Second || c.Policy.Threshold != 2 || c.Policy.Window != 10*time.Minute {
		t.Fatalf("got %+v", c)
	}
	if c.Workers.Driver != "process" {
		t.Fatalf("a key that the file does not name lost its default: %+v", c.Workers)
	}
}

func TestSettingsOfTheLadder(t *testing.T) {
	c, err := config.Parse([]byte("policy:\n  name: paper\n  prepare: deploy\n  maxWait: 200ms\n  snapshotAfter: 0\nbuilder:\n  light: 2\nartifacts:\n  diskMB: 500\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Policy.Prepare != "deploy" || c.Policy.MaxWait != 200*time.Millisecond || c.Policy.SnapshotAfter != 0 || c.Builder.Light != 2 || c.Artifacts.DiskMB != 500 {
		t.Errorf("got %+v", c)
	}
	d := config.Default()
	if d.Policy.Name != "ladder" || d.Policy.Prepare != "first-use" || d.Policy.MaxWait != 0 || d.Policy.SnapshotAfter != 20 || d.Builder.Light != 1 || d.Artifacts.DiskMB != 20_000 {
		t.Errorf("defaults: got %+v", d)
	}
}

// TestChoices: functions may choose what keeps them in more strictly, and what the operator lists.
func TestChoices(t *testing.T) {
	for _, tc := range []struct{ file, want string }{
		{"{}", "process qemu firecracker"},
		{"workers: {driver: qemu}", "qemu firecracker"},
		{"workers: {driver: firecracker}", "firecracker qemu"},
		{"workers: {driver: qemu, drivers: [process]}", "qemu process"},
		{"workers: {drivers: []}", "process"},
		{"workers: {drivers: [process, qemu, qemu]}", "process qemu"},
	} {
		c, err := config.Parse([]byte(tc.file))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(c.Workers.Choices(), " "); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.file, got, tc.want)
		}
	}
}

func TestBeyondLoopback(t *testing.T) {
	for _, file := range []string{
		"listen: 0.0.0.0:80\ntls: {cert: c, key: k}\ncredentials: [{accessKeyId: a, secretAccessKey: b, name: shop, allow: [invoke], functions: [shop-*]}]",
		"listen: 0.0.0.0:80\ninsecure: true",
		"listen: localhost:80", "listen: '[::1]:80'", "listen: 127.1.2.3:80",
	} {
		if _, err := config.Parse([]byte(file)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestErrorsNameTheKey(t *testing.T) {
	for _, tc := range []struct{ file, want string }{
		{"wrokers: {}", "wrokers"},
		{"listen: 0.0.0.0:80", "credentials"},
		{"listen: 0.0.0.0:80\ncredentials: [{accessKeyId: a, secretAccessKey: b}]", "--tls-cert"},
		{"listen: 0.0.0.0:80\ntls: {cert: c, key: k}", "credentials"},
		{"tls: {cert: c}", "tls: want cert and key"},
		{"hosts: ['a b']", "hosts[0]"},
		{"origins: [example.org]", "origins[0]"},
		{"origins: ['https://example.org/']", "origins[0]"},
		{"credentials: [{accessKeyId: a, secretAccessKey: b, allow: [fly]}]", `credentials[0].allow: "fly" is not one of read, invoke, write`},
		{"credentials: [{accessKeyId: a, secretAccessKey: b, functions: ['a/b']}]", "credentials[0].functions"},
		{"credentials: [{accessKeyId: a, secretAccessKey: b}, {accessKeyId: a, secretAccessKey: c}]", "there twice"},
		{"audit: {files: -1}", "audit.files"},
		{"listen: nonsense", "listen: want HOST:PORT"},
		{"workers: {keepAlive: -1s}", "workers.keepAlive"},
		{"workers: {network: bridge}", `"bridge" is not one of none, host`},
		{"workers: {driver: chroot}", `workers.driver: "chroot" is not one of process, qemu, firecracker`},
		{"workers: {drivers: [chroot]}", `workers.drivers: "chroot" is not one of process, qemu, firecracker`},
		{"policy: {threshold: many}", "threshold"},
		{"policy: {name: best}", `policy.name: "best" is not one of`},
		{"policy: {prepare: soon}", `policy.prepare: "soon" is not one of first-use, deploy, never`},
		{"policy: {maxWait: 16m}", "policy.maxWait: want 0 to 15m"},
		{"policy: {snapshotAfter: -1}", "policy.snapshotAfter: want 0 to 10000"},
		{"builder: {light: 0}", "builder.light: want 1 or more"},
		{"artifacts: {diskMB: -1}", "artifacts.diskMB"},
		{"account: 12", "account: want 12 digits"},
	} {
		if _, err := config.Parse([]byte(tc.file)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want an error with %q", tc.file, err, tc.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("workers:\n  keepAlive: 90s\n"))
	f.Add([]byte("credentials: [{accessKeyId: a, secretAccessKey: b}]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := config.Parse(b); err == nil && c.Check() != nil {
			t.Fatalf("accepted what does not pass: %q", b)
		}
	})
}
