package language_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/assets"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/guest"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// BenchmarkClients is the time from a process's start to its first answer, and that of a later invocation, with the platform's
// own runtime client and with the published one, in turn.
func BenchmarkClients(b *testing.B) {
	python := filepath.Join(config.CacheDir(), "python", "current", "bin", "python3")
	node, err := exec.LookPath("node")
	if err != nil {
		b.Skip("SKIPPED: there is no Node.js")
	}
	py, err := assets.InstallFolder(b.TempDir(), assets.Python)
	if err != nil {
		b.Fatal(err)
	}
	js, err := assets.InstallFolder(b.TempDir(), assets.NodeJS)
	if err != nil {
		b.Fatal(err)
	}
	ric := filepath.Join(config.CacheDir(), "nodejs", "current", "node_modules", "aws-lambda-ric", "bin", "index.mjs")
	for name, c := range map[string]struct {
		folder, handler string
		clients         map[string][]string
	}{
		"python": {"testdata/python", "pkg.inner.handler", map[string][]string{"own": {python, filepath.Join(py, "bootstrap.py")}, "published": {python, "-m", "awslambdaric"}}},
		"nodejs": {"testdata/nodejs", "src/index.handler", map[string][]string{"own": {node, filepath.Join(js, "bootstrap.js")}, "published": {node, ric}}},
	} {
		b.Run(name, func(b *testing.B) {
			if err := exec.Command(python, "-c", "import awslambdaric").Run(); err != nil && name == "python" {
				b.Skip("SKIPPED: awslambdaric is not installed")
			}
			if _, err := os.Stat(ric); err != nil && name == "nodejs" {
				b.Skip("SKIPPED: aws-lambda-ric is not installed")
			}
			folder, err := filepath.Abs(c.folder)
			if err != nil {
				b.Fatal(err)
			}
			starts, later := map[string][]time.Duration{}, map[string][]time.Duration{}
			for b.Loop() {
				for client, command := range c.clients {
					s, l := first(b, command, folder, c.handler)
					starts[client], later[client] = append(starts[client], s), append(later[client], l)
				}
			}
			b.ReportMetric(0, "ns/op")
			for client := range c.clients {
				slices.Sort(starts[client])
				slices.Sort(later[client])
				b.ReportMetric(float64(starts[client][len(starts[client])/2])/1e6, client+"-start-ms")
				b.ReportMetric(float64(later[client][len(later[client])/2])/1e3, client+"-warm-us")
			}
		})
	}
}

// first is the time to the first answer, and the median of 200 later ones.
func first(b *testing.B, command []string, folder, handler string) (start, warm time.Duration) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	runtime := guest.NewRuntime()
	server := guest.Serve(l, runtime)
	cmd := exec.Command(command[0], append(command[1:], handler)...)
	cmd.Dir = folder
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LANG=C.UTF-8", "LAMBDA_TASK_ROOT=" + folder, "_HANDLER=" + handler, "AWS_LAMBDA_RUNTIME_API=" + l.Addr().String()}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		server.Shutdown(ctx)
	}()
	ask := func(i int) {
		ctx, cancel := context.WithTimeout(b.Context(), 30*time.Second)
		defer cancel()
		if _, err := runtime.Invoke(ctx, &worker.Invocation{RequestID: fmt.Sprint("r", i), Payload: []byte(`{"a":1}`), Deadline: time.Now().Add(time.Minute)}); err != nil {
			b.Fatal(err)
		}
	}
	ask(0)
	start = time.Since(began)
	var times []time.Duration
	for i := range 200 {
		at := time.Now()
		ask(i + 1)
		times = append(times, time.Since(at))
	}
	slices.Sort(times)
	return start, times[len(times)/2]
}
