package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"time"

	"github.com/cloudjit/cloudjit/internal/fleet"
	"github.com/cloudjit/cloudjit/internal/peer"
	"github.com/cloudjit/cloudjit/internal/telemetry"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// peers is what this node is to others: where it answers them, and the platform of all.
type peers struct {
	listener net.Listener
	http     *http.Server
	local    http.Handler
	fleet    *fleet.Fleet
}

// openPeers makes one platform of this node and the others; nil: there are none.
func (s *Server) openPeers() (*peers, error) {
	c := s.opt.Config.Cluster
	if s.cluster == nil {
		return nil, nil
	}
	var config *tls.Config
	if c.Cert != "" {
		var err error
		if config, err = mutualTLS(c); err != nil {
			return nil, err
		}
	}
	listen, err := c.PeerAddress(s.opt.Config.Listen)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("listen for what other nodes send: %w", err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	p := &peers{listener: l}
	handler := peer.NewServer(peer.ServerOptions{
		Key: s.cluster.Key(), Platform: s.node, EventLimit: s.opt.Config.Limits.Request + 1<<20,
		Open: s.share.open,
		Ask:  http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.local.ServeHTTP(w, r) }),
		Keep: func(r io.Reader, limit int64) (worker.Body, error) {
			b, err := s.bodies.Read(r, limit)
			if err != nil {
				return nil, errors.Join(worker.ErrNotKept, err)
			}
			return b, nil
		},
		Draining: func() bool { return s.cluster.Self().Draining },
	})
	p.http = &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: peer.ServerIdleTime, MaxHeaderBytes: 256 << 10,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), TLSConfig: config,
	}
	if config != nil {
		p.listener = tls.NewListener(l, config)
	}
	p.fleet, err = fleet.Open(fleet.Options{
		Members: s.cluster, Node: s.node, Client: peer.NewClient(s.cluster.Key(), config), Cores: float64(runtime.NumCPU()), Drivers: s.driver.Names, Log: s.log,
		Address: net.JoinHostPort(c.PeerHost(s.opt.Config.Listen), port),
	})
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	s.share.fleet.Store(p.fleet)
	return p, nil
}

// servePeers begins to answer other nodes; local shows what this one itself has.
func (s *Server) servePeers(local http.Handler) {
	if s.peers == nil {
		return
	}
	s.peers.local = local
	s.tasks.Go(func() error {
		if err := s.peers.http.Serve(s.peers.listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve other nodes: %w", err)
		}
		return nil
	})
}

// close ends what other nodes have here.
func (p *peers) close() error {
	if p == nil {
		return nil
	}
	p.fleet.Close()
	err := p.http.Close()
	_ = p.listener.Close() // which the server has done, if it served
	return err
}

// stop lets what other nodes have here end, until ctx does. Nothing new comes: they know that this node drains.
func (p *peers) stop(ctx context.Context) error {
	if p == nil {
		return nil
	}
	return p.http.Shutdown(ctx)
}

// clusterGauges are what a node knows of the cluster.
func (s *Server) clusterGauges() []telemetry.Gauge {
	t := s.peers.fleet.Totals()
	return []telemetry.Gauge{
		s.share.gauges(),
		{Name: "cloudjit_nodes", Help: "Nodes of the cluster, by state: live, draining, gone (in the last hour).", Labels: []string{"state"},
			Read: func(put func(float64, ...string)) {
				count := map[string]int{"live": 0, "draining": 0, "gone": 0}
				for _, m := range s.cluster.Members() {
					count[m.State()]++
				}
				for state, n := range count {
					put(float64(n), state)
				}
			}},
		{Name: "cloudjit_node_load_ratio", Help: "What runs and waits here, of what this node has.",
			Read: func(put func(float64, ...string)) { put(float64(s.peers.fleet.Load()) / 1000) }},
		{Name: "cloudjit_cluster_quorum", Help: "1 if enough copies of the state are there for writes, else 0.",
			Read: func(put func(float64, ...string)) {
				r := s.cluster.Replication()
				v := 0.0
				if r.Quorum() {
					v = 1
				}
				put(v)
			}},
		{Name: "cloudjit_replica_lag_operations", Help: "Operations that a copy of the state is behind.", Labels: []string{"node"},
			Read: func(put func(float64, ...string)) {
				r := s.cluster.Replication()
				for _, x := range r.Replicas {
					put(float64(x.Lag), x.Name)
				}
			}},
		{Name: "cloudjit_forwarded_invocations", Help: "Invocations that were sent to another node since the start, by what became of that: taken, refused (they ran elsewhere), lost (the node went away).", Labels: []string{"result"},
			Read: func(put func(float64, ...string)) {
				all, refused, lost := t.Forwarded.Load(), t.Refused.Load(), t.Lost.Load()
				put(float64(all-refused-lost), "taken")
				put(float64(refused), "refused")
				put(float64(lost), "lost")
			}},
	}
}
