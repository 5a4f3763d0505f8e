package server_test

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/client"
	"github.com/cloudjit/cloudjit/internal/porttest"
)

// serveNodes starts three nodes of a cluster on this machine.
func serveNodes(b *testing.B) (nodes [3]*platform) {
	b.Helper()
	dir := b.TempDir()
	exe := build(b, dir, "cloudjit", "../../cmd/cloudjit")
	conf := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(conf, []byte(onDemand), 0o644); err != nil {
		b.Fatal(err)
	}
	var addresses []string
	for _, a := range porttest.Free(b, len(nodes)) {
		addresses = append(addresses, a.String())
	}
	var starting sync.WaitGroup
	for i := range nodes {
		starting.Go(func() {
			url, pid := run(b, exec.Command(exe, "serve", "--config", conf, "--listen", "127.0.0.1:0", "--data", filepath.Join(dir, fmt.Sprint("node-", i)), "--log-level", "error",
				"--cluster", "bench", "--cluster-listen", addresses[i], "--join", strings.Join(addresses, ",")))
			c, err := client.New(url)
			if err != nil {
				b.Error(err)
			}
			nodes[i] = &platform{c, pid}
		})
	}
	starting.Wait()
	if b.Failed() {
		b.FailNow()
	}
	return nodes
}

// BenchmarkNodes is what three nodes answer within a second, against one, on the same processors, in turn: warm invocations of as many clients, who
// ask all nodes alike. ratio is the quotient. What nodes do for each other, and the hop where an invocation is passed on, is what is lost; the
// clients' work is in both.
func BenchmarkNodes(b *testing.B) {
	const clients, turn = 12, 3000
	one := provided(b, serveWith(b, onDemand, filepath.Join(b.TempDir(), "data")))
	nodes := serveNodes(b)
	three := provided(b, nodes[0])
	one.warm(b, clients, 200)
	three.keep(b, time.Hour)
	several := make([]asker, clients)
	for i := range several {
		e := *three
		e.platform = nodes[i%len(nodes)]
		if _, err := e.platform.WaitActive(b.Context(), e.name); err != nil {
			b.Fatal(err)
		}
		several[i] = e.ask()
	}
	if _, err := together(several, 200*clients); err != nil {
		b.Fatal(err)
	}
	single, before := crowd(clients, one.ask), forwarded(b, nodes)
	b.Run("12", func(b *testing.B) {
		var took [2]time.Duration
		var times [2][]time.Duration
		done := 0
		for ; done < b.N; done += turn {
			for k, all := range [][]asker{single, several} {
				began := time.Now()
				each, err := together(all, turn)
				if err != nil {
					b.Fatal(err)
				}
				took[k] += time.Since(began)
				times[k] = append(times[k], each...)
			}
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(float64(done)/took[0].Seconds(), "one-per-s")
		b.ReportMetric(float64(done)/took[1].Seconds(), "three-per-s")
		b.ReportMetric(took[0].Seconds()/took[1].Seconds(), "ratio")
		b.ReportMetric(at(times[0], 50), "one-p50-ms")
		b.ReportMetric(at(times[1], 50), "three-p50-ms")
		b.ReportMetric(100*(forwarded(b, nodes)-before)/float64(done), "forwarded-%")
	})
}

// forwarded is how many invocations nodes have passed on so far.
func forwarded(b *testing.B, nodes [3]*platform) (n float64) {
	b.Helper()
	for _, p := range nodes {
		resp, err := http.Get(p.Endpoint() + "/metrics")
		if err != nil {
			b.Fatal(err)
		}
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			if rest, ok := strings.CutPrefix(lines.Text(), `cloudjit_forwarded_invocations{`); ok {
				_, value, _ := strings.Cut(rest, "} ")
				v, err := strconv.ParseFloat(value, 64)
				if err != nil {
					b.Fatal(err)
				}
				n += v
			}
		}
		resp.Body.Close()
	}
	return n
}
