package server_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"

	"github.com/cloudjit/cloudjit/internal/porttest"
	"github.com/cloudjit/cloudjit/internal/ziptest"
)

// authority makes certificates of nodes.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	file string
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	doc, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(doc); err != nil {
		t.Fatal(err)
	}
	a := &authority{t, key, c, filepath.Join(t.TempDir(), "ca.pem")}
	if err := os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: doc}), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// prove gives a node a certificate of the authority.
func (a *authority) prove(o *childOptions) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "node"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	doc, err := x509.CreateCertificate(rand.Reader, c, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	dir := a.t.TempDir()
	own := &o.Config.Cluster
	own.Cert, own.Key, own.CA = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), a.file
	for name, block := range map[string]*pem.Block{own.Cert: {Type: "CERTIFICATE", Bytes: doc}, own.Key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
}

// deployed makes the function f on a node, and asks all for an answer, so that some are passed on.
func deployed(t *testing.T, nodes [3]*child) {
	t.Helper()
	nodes[0].create(t, "f", "provided.al2023", "x", ziptest.Of(t, "bootstrap", string(guestProgram(t))),
		map[string]any{"Timeout": 10, "MemorySize": 128, "Environment": map[string]any{"Variables": map[string]string{"TAG": "n"}}})
	for i, c := range nodes {
		var got struct{ ID, Tag string }
		if body := c.must(t, "POST", functionsPath+"/f/invocations", map[string]any{"id": fmt.Sprint(i)}); json.Unmarshal(body, &got) != nil || got.Tag != "n" {
			t.Errorf("node %d answers %s", i, body)
		}
	}
	taken := 0.0
	for _, c := range nodes {
		taken += c.number(t, `cloudjit_forwarded_invocations{result="taken"}`)
	}
	if taken < 1 {
		t.Errorf("%v invocations were passed on", taken)
	}
}

// TestNodesProveThemselves: three nodes with certificates of one authority are a platform, also for what they pass on to each other; a node
// with the certificate of another authority is not let in, and says why.
func TestNodesProveThemselves(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: takes ten seconds")
	}
	ours, foreign := newAuthority(t, "ours"), newAuthority(t, "theirs")
	options, tmp := nodeOptions(t)
	nodes := startNodes(t, &options, tmp, func(o *childOptions) { o.Config.Insecure = false; ours.prove(o) })
	deployed(t, nodes)

	_ = nodes[2].end(syscall.SIGKILL)
	foreign.prove(&options[2])
	options[2].Config.Data = filepath.Join(t.TempDir(), "data")
	doc, err := json.Marshal(options[2])
	if err != nil {
		t.Fatal(err)
	}
	said, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	stranger := exec.Command(os.Args[0])
	stranger.Env = append(os.Environ(), childEnv+"="+string(doc), "TMPDIR="+tmp[2])
	stranger.Stdout, stranger.Stderr = said, said
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stranger.Process.Kill(); _ = stranger.Wait() }()
	read := func() string { b, _ := os.ReadFile(said.Name()); return string(b) }
	until(t, "the stranger says why it is not let in", func() bool { return strings.Contains(read(), "do not trust each other's certificates") })
	status, _, body, err := nodes[0].call("GET", "/cloudjit/v1/nodes", nil)
	if err != nil || status != http.StatusOK {
		t.Fatalf("got %d %s, %v", status, body, err)
	}
	if n := strings.Count(string(body), `"state":"live"`); n != 2 {
		t.Errorf("%d nodes live: %s", n, body)
	}
}

// TestNodesOnNATS: nodes whose state is on NATS servers of somebody else.
func TestNodesOnNATS(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: takes ten seconds")
	}
	urls := startNATS(t)
	options, tmp := nodeOptions(t)
	nodes := startNodes(t, &options, tmp, func(o *childOptions) {
		o.Config.Cluster.Node = o.Config.Cluster.NodeName()
		o.Config.Cluster.Listen, o.Config.Cluster.Join, o.Config.Cluster.NATS = "", nil, urls
	})
	deployed(t, nodes)
	for i, c := range nodes {
		c.must(t, "POST", functionsPath+"/f/invocations", map[string]any{"id": fmt.Sprint(i)})
	}
	// What is deployed stays when all nodes go.
	for i := range nodes {
		_ = nodes[i].end(syscall.SIGKILL)
	}
	again := spawn(t, options[1], tmp[1])
	defer func() { _ = again.end(syscall.SIGTERM) }()
	again.must(t, "POST", functionsPath+"/f/invocations", map[string]any{"id": "again"})
}

// startNATS runs three NATS servers with JetStream, in this process, and returns their URLs.
func startNATS(t *testing.T) (urls []string) {
	t.Helper()
	var routes []*url.URL
	free := porttest.Free(t, 3)
	for _, a := range free {
		routes = append(routes, &url.URL{Scheme: "nats-route", Host: a.String()})
	}
	for i := range 3 {
		s, err := natsserver.NewServer(&natsserver.Options{
			ServerName: fmt.Sprint("nats-", i), Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(),
			Cluster: natsserver.ClusterOpts{Name: "theirs", Host: "127.0.0.1", Port: int(free[i].Port())}, Routes: routes,
		})
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
		if !s.ReadyForConnections(20 * time.Second) {
			t.Fatal("a NATS server did not start")
		}
		urls = append(urls, s.ClientURL())
	}
	return urls
}

// TestNodesRestartInTurn: each node is drained, stopped and started again, under load. No invocation fails and no event is lost.
func TestNodesRestartInTurn(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: takes a minute")
	}
	options, tmp := nodeOptions(t)
	seen := observe(t)
	started := startNodes(t, &options, tmp, nil)
	var nodes [3]atomic.Pointer[child]
	for i, c := range started {
		nodes[i].Store(c)
	}
	started[0].create(t, "f", "provided.al2023", "x", ziptest.Of(t, "bootstrap", string(guestProgram(t))), map[string]any{"Timeout": 10, "MemorySize": 128,
		"Environment": map[string]any{"Variables": map[string]string{"TAG": "n", "OBSERVER": seen.Addr().String()}}})
	var away atomic.Int32 // the node whose API is not there; clients of a load balancer do not ask it
	away.Store(-1)
	var answers, failures atomic.Int64
	var mu sync.Mutex
	var accepted []string
	stop := make(chan struct{})
	var load sync.WaitGroup
	for k := range 4 {
		load.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
				}
				to := (k + i) % 3
				if int32(to) == away.Load() {
					to = (to + 1) % 3
				}
				id := fmt.Sprintf("%d-%d", k, i)
				if k == 0 {
					status, _, body, err := nodes[to].Load().call("POST", functionsPath+"/f/invocations", map[string]any{"do": "report", "id": id}, "X-Amz-Invocation-Type", "Event")
					if err != nil || status != http.StatusAccepted {
						failures.Add(1)
						t.Errorf("event %s: got %d %s, %v", id, status, body, err)
						continue
					}
					mu.Lock()
					accepted = append(accepted, id)
					mu.Unlock()
					continue
				}
				status, head, body, err := nodes[to].Load().call("POST", functionsPath+"/f/invocations", map[string]any{"id": id, "ms": 30})
				if err != nil || status != http.StatusOK || head.Get("X-Amz-Function-Error") != "" {
					failures.Add(1)
					t.Errorf("invocation %s via node %d: got %d %s, %v", id, to, status, body, err)
					continue
				}
				answers.Add(1)
			}
		})
	}
	type member struct {
		Name, State      string
		Current          bool
		Running, Waiting int
	}
	members := func(via *child) map[string]member {
		var doc struct{ Nodes []member }
		if _, _, body, err := via.call("GET", "/cloudjit/v1/nodes", nil); err == nil {
			_ = json.Unmarshal(body, &doc)
		}
		all := map[string]member{}
		for _, m := range doc.Nodes {
			all[m.Name] = m
		}
		return all
	}
	for i := range nodes {
		via := nodes[(i+1)%3].Load()
		until(t, "all nodes are live and current", func() bool {
			good := 0
			for _, m := range members(via) {
				if m.State == "live" && m.Current {
					good++
				}
			}
			return good == 3
		})
		// What "cloudjit cluster drain" does.
		name := options[i].Config.Cluster.NodeName()
		via.must(t, "PUT", "/cloudjit/v1/nodes/"+name+"/drain", nil)
		until(t, "nothing runs on the node that drains", func() bool {
			m := members(via)[name]
			return m.State == "draining" && m.Running+m.Waiting == 0
		})
		away.Store(int32(i))
		time.Sleep(500 * time.Millisecond) // what the clients asked it before
		if err := nodes[i].Load().end(syscall.SIGTERM); err != nil {
			t.Errorf("node %d stops: %v", i, err)
		}
		nodes[i].Store(spawn(t, options[i], tmp[i]))
		away.Store(-1)
	}
	close(stop)
	load.Wait()
	until(t, "all events have run", func() bool { return len(seen.missing(accepted)) == 0 })
	t.Logf("%d answers, %d events, %d failures", answers.Load(), len(accepted), failures.Load())
	if answers.Load() < 50 || len(accepted) < 20 {
		t.Error("there was no load")
	}
	for i := range nodes {
		_ = nodes[i].Load().end(syscall.SIGTERM)
	}
}
