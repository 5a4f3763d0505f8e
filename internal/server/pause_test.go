package server_test

import (
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/client"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/server"
	"github.com/cloudjit/cloudjit/internal/toolchain"
)

// TestWhatLastsSurvivesThePause: a JVM's timer and its TLS connection stand still while their worker is paused, and go
// on with the next invocation.
func TestWhatLastsSurvivesThePause(t *testing.T) {
	jdks := toolchain.FindJDKs(toolchain.FindOptions{})
	if len(jdks) == 0 {
		t.Skip("SKIPPED: there is no JDK")
	}
	key := filepath.Join(t.TempDir(), "key.p12")
	if out, err := exec.Command(filepath.Join(jdks[0].Home, "bin", "keytool"), "-genkeypair", "-alias", "k", "-keyalg", "EC", "-dname", "CN=localhost",
		"-ext", "san=dns:localhost,ip:127.0.0.1", "-validity", "2", "-storetype", "PKCS12", "-keystore", key, "-storepass", "changeit").CombinedOutput(); err != nil {
		t.Fatalf("make a key: %v\n%s", err, out)
	}
	doc, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	conf := config.Default()
	conf.Listen, conf.Data = "127.0.0.1:0", t.TempDir()
	conf.Policy.Enabled = false
	s, err := server.Start(t.Context(), server.Options{Config: conf, Cache: t.TempDir(), Version: "test", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, s)
	c := &child{url: "http://" + s.Addr().String()}
	cl, err := client.New(c.url)
	if err != nil {
		t.Fatal(err)
	}
	c.create(t, "lasting", "java21", "Lasting::handle", javaJar(t, "Lasting", false, "key.p12", string(doc)), map[string]any{"MemorySize": 512, "Timeout": 20})

	type answer struct{ Calls, Echo, Before, After int }
	var last answer
	for round := range 4 {
		var a answer
		if b := c.must(t, "POST", functionsPath+"/lasting/invocations", map[string]any{}); json.Unmarshal(b, &a) != nil || a.Calls != round+1 || a.Echo != round+1 {
			t.Fatalf("round %d: got %s", round, b)
		}
		if a.After <= a.Before {
			t.Errorf("round %d: its timer stands still in an invocation: %+v", round, a)
		}
		// Before the pause comes a grace; a timer of 20 ms would make a hundred in two seconds.
		if round > 0 && a.Before-last.After > 50 {
			t.Errorf("round %d: its timer went on while it was paused: %+v after %+v", round, a, last)
		}
		last = a
		until(t, "the worker is paused", func() bool {
			w, err := cl.Workers(t.Context())
			return err == nil && len(w) == 1 && w[0].Paused
		})
		time.Sleep(2 * time.Second)
	}
}
