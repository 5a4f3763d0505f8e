package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/cloudjit/cloudjit/internal/api"
	"github.com/cloudjit/cloudjit/internal/artifact"
	"github.com/cloudjit/cloudjit/internal/cluster"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/store"
)

// storeCluster is the store's part of being one of several nodes; nil: the server is alone.
func (s *Server) storeCluster(data string) (*store.Cluster, error) {
	c := s.opt.Config.Cluster
	if !c.Enabled() {
		return nil, nil
	}
	out := &store.Cluster{
		Name: c.Name, Node: c.NodeName(), Join: c.Others(), Advertise: c.Advertise, NATS: c.NATS, Credentials: c.NATSCredentials,
		Changed: s.changes.note,
		Code: func(sha string) (string, error) {
			a, err := artifact.Open(filepath.Join(data, "artifacts"), nil)
			if err != nil {
				return "", err
			}
			return a.Path(sha)
		},
	}
	if out.Name == "" {
		out.Name = "cloudjit"
	}
	if !c.External() {
		host, port, err := net.SplitHostPort(c.Listen)
		if err != nil {
			return nil, fmt.Errorf("cluster.listen: %w", err)
		}
		out.Host = host
		if out.Port, err = strconv.Atoi(port); err != nil {
			return nil, fmt.Errorf("cluster.listen: %w", err)
		}
	}
	if c.Cert != "" {
		t, err := mutualTLS(c)
		if err != nil {
			return nil, err
		}
		out.TLS = t
	}
	return out, nil
}

// mutualTLS has both ends of a connection between nodes prove who they are. The certificate is read again for each
// connection, so that it can be renewed.
func mutualTLS(c config.Cluster) (*tls.Config, error) {
	pem, err := os.ReadFile(c.CA)
	if err != nil {
		return nil, fmt.Errorf("cluster.ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("cluster.ca: no certificate in %s", c.CA)
	}
	load := func() (*tls.Certificate, error) {
		cert, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		return &cert, err
	}
	cert, err := load()
	if err != nil {
		return nil, fmt.Errorf("cluster.cert and cluster.key: %w", err)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{*cert},
		GetCertificate:       func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return load() },
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() },
		ClientAuth:           tls.RequireAndVerifyClientCert, ClientCAs: pool, RootCAs: pool,
	}, nil
}

// join makes this server known to the other nodes, and them to it.
func (s *Server) join() error {
	c := s.opt.Config.Cluster
	if !c.Enabled() {
		return nil
	}
	host, port, err := net.SplitHostPort(s.Addr().String())
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = c.Host()
	}
	scheme := "http"
	if s.opt.Config.TLS.Cert != "" {
		scheme = "https"
	}
	address := ""
	if !c.External() {
		_, p, err := net.SplitHostPort(c.Listen)
		if err != nil {
			return err
		}
		address = net.JoinHostPort(c.Host(), p)
	}
	s.cluster, err = cluster.Open(cluster.Options{
		Self: cluster.Member{
			Name: c.NodeName(), ID: ulid.Make().String(), API: scheme + "://" + net.JoinHostPort(host, port), Address: address,
			Version: s.opt.Version, Started: time.Now().UTC(),
		},
		Bus: s.store, Key: s.store.ClusterKey(),
	})
	if err != nil {
		return err
	}
	s.store.Join(s.cluster)
	return nil
}

// changes are what changed in the state, by whichever node, and was not looked at yet.
type changes struct {
	mu        sync.Mutex
	functions map[function.Name]bool
	pipelines map[function.RevisionID]bool
	all       bool
	more      chan struct{}
}

func newChanges() *changes {
	return &changes{functions: map[function.Name]bool{}, pipelines: map[function.RevisionID]bool{}, more: make(chan struct{}, 1)}
}

// note takes a change. It does not block.
func (c *changes) note(kind, key string) {
	c.mu.Lock()
	switch kind {
	case "function":
		c.functions[function.Name(key)] = true
	case "pipeline":
		c.pipelines[function.RevisionID(key)] = true
	case "setting":
		c.all = true
	}
	c.mu.Unlock()
	select {
	case c.more <- struct{}{}:
	default:
	}
}

// take returns what was noted.
func (c *changes) take() (functions map[function.Name]bool, pipelines map[function.RevisionID]bool, all bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	functions, pipelines, all = c.functions, c.pipelines, c.all
	c.functions, c.pipelines, c.all = map[function.Name]bool{}, map[function.RevisionID]bool{}, false
	return functions, pipelines, all
}

// follow makes this node serve what other nodes changed, until ctx ends.
func (s *Server) follow(ctx context.Context, a *api.Server) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.changes.more:
		}
		functions, pipelines, all := s.changes.take()
		if all {
			for _, f := range s.store.Functions() {
				functions[f.Name] = true
			}
		}
		for name := range functions {
			if ctx.Err() != nil {
				return nil
			}
			a.Changed(ctx, name)
		}
		for id := range pipelines {
			s.node.PipelineChanged(id)
		}
	}
}
