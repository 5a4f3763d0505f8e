package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"syscall"
	"time"

	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/server"
)

type serveCommand struct {
	Config           string   `type:"existingfile" help:"YAML file. Flags override it." placeholder:"FILE"`
	Listen           string   `help:"Address of the API (127.0.0.1:9700). Port 0 takes a free one." placeholder:"HOST:PORT"`
	Data             string   `help:"Folder for all state. Each server needs its own." placeholder:"DIR"`
	Graalvm          string   `name:"graalvm-home" help:"GraalVM to build with, instead of the newest found." placeholder:"DIR"`
	TLSCert          string   `name:"tls-cert" help:"PEM file with a certificate and its chain, for HTTPS. The server reads it again when it changes." placeholder:"FILE"`
	TLSKey           string   `name:"tls-key" help:"PEM file with the key of the certificate." placeholder:"FILE"`
	Insecure         bool     `help:"Listen beyond loopback without credentials or TLS, and accept any host name. Without credentials, everybody who reaches the port can run code here."`
	LogLevel         string   `help:"debug, info, warn or error." placeholder:"LEVEL"`
	LogJSON          bool     `name:"log-json" help:"Write the server's own log as JSON."`
	Record           string   `type:"path" help:"Write every step of the engine into a new file, for \"cloudjit simulate FILE\"." placeholder:"FILE"`
	Cluster          string   `help:"Make this server a node of the cluster with this name. All nodes have the same." placeholder:"NAME"`
	ClusterListen    string   `help:"Address at which other nodes reach the store of this one." placeholder:"HOST:PORT"`
	Join             []string `help:"The addresses in --cluster-listen of all nodes." placeholder:"HOST:PORT,..."`
	Node             string   `help:"Name of this node in the cluster. It must not change. (Made from --cluster-listen.)" placeholder:"NAME"`
	ClusterAdvertise string   `help:"Host name at which other nodes reach this one (the one in --cluster-listen)." placeholder:"HOST"`
	ClusterPeer      string   `name:"cluster-peer-listen" help:"Address at which other nodes send invocations to this one (a free port at the host of --cluster-listen)." placeholder:"HOST:PORT"`
	ClusterCert      string   `help:"PEM file with the certificate that this node shows to others." placeholder:"FILE"`
	ClusterKey       string   `help:"PEM file with the key of this certificate." placeholder:"FILE"`
	ClusterCA        string   `name:"cluster-ca" help:"PEM file with the authority that signed the certificates of all nodes." placeholder:"FILE"`
	NATS             []string `name:"nats" help:"Keep the state on your own NATS cluster, instead of on the nodes." placeholder:"URL,..."`
	NATSCredentials  string   `name:"nats-credentials" help:"File with the credentials for this NATS cluster." placeholder:"FILE"`

	Grace time.Duration `default:"30s" help:"How long running invocations may take to end when the server stops."`
}

func (cmd *serveCommand) Run(c *Context) error {
	cfg := config.Default()
	if cmd.Config != "" {
		var err error
		if cfg, err = config.Load(cmd.Config); err != nil {
			return err
		}
	}
	set := func(to *string, v string) {
		if v != "" {
			*to = v
		}
	}
	set(&cfg.Listen, cmd.Listen)
	set(&cfg.Data, cmd.Data)
	set(&cfg.TLS.Cert, cmd.TLSCert)
	set(&cfg.TLS.Key, cmd.TLSKey)
	set(&cfg.Builder.GraalVM, cmd.Graalvm)
	set(&cfg.LogLevel, cmd.LogLevel)
	cfg.Insecure = cfg.Insecure || cmd.Insecure
	cl := &cfg.Cluster
	set(&cl.Name, cmd.Cluster)
	set(&cl.Listen, cmd.ClusterListen)
	set(&cl.Node, cmd.Node)
	set(&cl.Advertise, cmd.ClusterAdvertise)
	set(&cl.PeerListen, cmd.ClusterPeer)
	set(&cl.Cert, cmd.ClusterCert)
	set(&cl.Key, cmd.ClusterKey)
	set(&cl.CA, cmd.ClusterCA)
	set(&cl.NATSCredentials, cmd.NATSCredentials)
	if len(cmd.Join) > 0 {
		cl.Join = cmd.Join
	}
	if len(cmd.NATS) > 0 {
		cl.NATS = cmd.NATS
	}
	if err := cfg.Check(); err != nil {
		return &usageError{err.Error()}
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.LogLevel)); err != nil {
		return &usageError{err.Error()}
	}
	var handler slog.Handler = slog.NewTextHandler(c.Stderr, &slog.HandlerOptions{Level: level})
	if cmd.LogJSON {
		handler = slog.NewJSONHandler(c.Stderr, &slog.HandlerOptions{Level: level})
	}
	log := slog.New(handler)

	begin := time.Now()
	options := server.Options{Config: cfg, Cache: config.CacheDir(), Version: Version(), Log: log}
	if cmd.Record != "" {
		recorded, err := server.CreateLogFile(cmd.Record, log)
		if errors.Is(err, os.ErrExist) {
			return &hintError{err, "A log is of one run of the server: name a new file, or remove that one."}
		}
		if err != nil {
			return err
		}
		defer closeRecord(log, recorded, cmd.Record)
		options.Record = recorded
	}
	s, err := server.Start(c, options)
	if errors.Is(err, syscall.EADDRINUSE) {
		return &hintError{err, "Is a server running already? Stop it, or choose another address with --listen; port 0 takes a free one."}
	}
	if err != nil {
		return err
	}
	log.Info("serving", "address", s.Addr().String(), "data", cfg.Data, "pid", os.Getpid(), "start", time.Since(begin).Round(time.Millisecond))
	// The one line on stdout is for scripts that asked for port 0.
	if c.JSON {
		fmt.Fprintf(c.Stdout, "{\"endpoint\":%q}\n", s.URL())
	} else {
		fmt.Fprintln(c.Stdout, s.URL())
	}
	select {
	case <-c.Done():
		err = nil
	case err = <-s.Failed():
		log.Error("server failed", "error", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), cmd.Grace)
	defer cancel()
	if stopErr := s.Stop(ctx); err == nil {
		err = stopErr
	}
	log.Info("stopped")
	return err
}

// closeRecord ends the engine's log, and says what is in it. One without a step, of a server that did
// not start, is removed.
func closeRecord(log *slog.Logger, l *server.LogFile, path string) {
	stats, err := l.Close()
	switch {
	case err != nil:
		log.Error("the engine's log is not whole", "file", path, "steps", stats.Steps, "lost", stats.Lost, "bytes", stats.Bytes, "error", err)
	case stats.Steps == 0:
		_ = os.Remove(path)
	default:
		log.Info("recorded the engine's log", "file", path, "steps", stats.Steps, "bytes", stats.Bytes)
	}
}
