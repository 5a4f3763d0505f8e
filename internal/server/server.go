// Package server puts a node together: configuration, state, workers, builders and the API,
// started in their order and stopped in the reverse. It is where the packages of this tree
// meet, and must not do anything itself that one of them could.
package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cloudjit/cloudjit/internal/api"
	"github.com/cloudjit/cloudjit/internal/api/gate"
	"github.com/cloudjit/cloudjit/internal/artifact"
	"github.com/cloudjit/cloudjit/internal/assets"
	"github.com/cloudjit/cloudjit/internal/audit"
	"github.com/cloudjit/cloudjit/internal/backup"
	"github.com/cloudjit/cloudjit/internal/cluster"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/health"
	"github.com/cloudjit/cloudjit/internal/jar"
	"github.com/cloudjit/cloudjit/internal/language"
	"github.com/cloudjit/cloudjit/internal/launch"
	"github.com/cloudjit/cloudjit/internal/logs"
	"github.com/cloudjit/cloudjit/internal/node"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/recent"
	"github.com/cloudjit/cloudjit/internal/spool"
	"github.com/cloudjit/cloudjit/internal/store"
	"github.com/cloudjit/cloudjit/internal/telemetry"
	"github.com/cloudjit/cloudjit/internal/toolchain"
	"github.com/cloudjit/cloudjit/internal/ui"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// Options of a server.
type Options struct {
	Config config.Config
	// Cache is where tool chains are looked for and derived files are kept.
	Cache string
	// Builds is where finished binaries are kept; empty: in Cache, for all servers.
	Builds  string
	Version string
	Log     *slog.Logger
	// Record, if set, takes the engine's events and actions.
	Record node.Recorder
}

// Server is a running node with its API.
type Server struct {
	opt      Options
	log      *slog.Logger
	store    *store.Store
	logs     *logs.Store
	driver   *drivers
	node     *node.Node
	http     *http.Server
	listener net.Listener
	audits   []*audit.Log
	bodies   *spool.Pool
	cluster  *cluster.Cluster // nil: there is one node
	peers    *peers           // nil: likewise
	share    *share           // nil: likewise
	changes  *changes

	life   context.Context // ends when background work has to
	end    context.CancelFunc
	tasks  errgroup.Group
	failed chan error // takes the first failure of what serves
	tracer *telemetry.Tracer
}

// Start opens the data folder, cleans up what an earlier server left, and listens. The folder
// is locked first: a second server on it fails with store.ErrInUse and has touched nothing.
func Start(ctx context.Context, opt Options) (_ *Server, err error) {
	if err := opt.Config.Check(); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	s := &Server{opt: opt, log: opt.Log, failed: make(chan error, 1), changes: newChanges()}
	s.life, s.end = context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	// Listening first makes a taken port an error before anything is touched; requests wait
	// in the listener's queue until the API is there.
	if s.listener, err = net.Listen("tcp", opt.Config.Listen); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", opt.Config.Listen, err)
	}
	certificates, err := newCertificates(opt.Config.TLS, opt.Log)
	if err != nil {
		return nil, err
	}
	several, err := s.storeCluster(opt.Config.Data)
	if err != nil {
		return nil, err
	}
	if s.store, err = store.Open(ctx, store.Options{Dir: opt.Config.Data, Logger: opt.Log, Queue: queueLimits(opt.Config), Cluster: several}); err != nil {
		return nil, err
	}
	if err := s.join(); err != nil {
		return nil, fmt.Errorf("join the cluster: %w", err)
	}
	data := s.store.Dir()
	backup.Clean(data)
	artifacts, err := artifact.Open(filepath.Join(data, "artifacts"), s.store.Disk().Admit)
	if err != nil {
		return nil, err
	}
	if several != nil {
		artifacts.Share(s.store)
	}
	if s.logs, err = logs.Open(filepath.Join(data, "logs"), logs.Options{MaxBytes: opt.Config.Limits.Logs, TotalBytes: int64(opt.Config.Disk.LogsMB) * 1e6}); err != nil {
		return nil, err
	}
	if s.tracer, err = telemetry.NewTracer(ctx, opt.Version); err != nil {
		return nil, err
	}
	metrics := telemetry.NewMetrics()
	audits, err := s.openAudit(data)
	if err != nil {
		return nil, err
	}

	limits := jar.Limits{Archive: opt.Config.Limits.Code, Unzipped: opt.Config.Limits.Unzipped}
	l, err := s.newLauncher(&code{store: artifacts, limits: limits})
	if err != nil {
		return nil, err
	}
	if s.driver, err = newDrivers(ctx, opt.Config, data, opt.Cache); err != nil {
		return nil, err
	}
	decide, err := newPolicy(opt.Config.Policy)
	if err != nil {
		return nil, err
	}
	l.drivers = s.driver.check
	builders, err := newBuilders(ctx, opt, data, l, s.driver, limits)
	if err != nil {
		return nil, err
	}
	if s.bodies, err = spool.Open(spool.Options{
		Dir: filepath.Join(data, "spool"), Memory: bodyMemory, Disk: int64(opt.Config.Disk.BodiesMB) * 1e6,
	}); err != nil {
		return nil, err
	}
	m := memoryBudget(opt.Config)
	lately := &recent.Activity{}
	nodeOptions := node.Options{
		Recent: lately,
		Driver: s.driver, Launcher: l, State: s.store, Code: artifacts.Path, Logs: s.logs, Metrics: metrics,
		Builders: builders, Policy: decide, Defaults: defaultPolicy(opt.Config), Limits: nodeLimits(opt.Config, m),
		BuildLimits:  buildLimits(opt.Config, m),
		WorkerLimits: worker.Limits{CPUs: opt.Config.Workers.CPUs}, PauseAfter: opt.Config.Workers.PauseAfter,
		InitTimeout: opt.Config.Workers.InitTimeout, WebInitTimeout: opt.Config.Workers.WebInitTimeout,
		RecordingBytes: int64(opt.Config.Disk.RecordingsMB) * 1e6,
		Samples:        node.SampleOptions{Each: opt.Config.Checks.Samples, DiskMB: opt.Config.Checks.DiskMB},
		Dir:            filepath.Join(data, "run"), Record: opt.Record, Log: opt.Log,
	}
	if s.cluster != nil {
		s.share = newShare(builders, s.store.Disk().Admit)
		nodeOptions.Peers, nodeOptions.Name, nodeOptions.Fetch = s.cluster, s.cluster.Self().Name, s.share.fetch
	}
	if s.tracer != nil {
		nodeOptions.Tracer = s.tracer
	}
	if s.node, err = node.Open(ctx, nodeOptions); err != nil {
		return nil, err
	}
	use := &diskUse{server: s, code: artifacts}
	metrics.Gauges(append(gauges(s.node, s.store), diskGauges(use, s.bodies)...)...)

	var platform gate.Platform = s.node
	if s.peers, err = s.openPeers(); err != nil {
		return nil, err
	}
	var others gate.Others
	if s.peers != nil {
		l.elsewhere.Store(s.peers.fleet)
		platform, others = s.peers.fleet, s.peers.fleet
		metrics.Gauges(s.clusterGauges()...)
	}
	a := api.New(api.Options{
		Cluster: s.cluster, Others: others,
		Recent: lately, Host: func() health.Host { return host(data, s.driver) }, Page: ui.Handler(),
		Store: s.store, Platform: platform, DriverOf: s.driver.NameFor, Code: artifacts, Logs: s.logs, Bodies: s.bodies, Prepare: l.prepare, Metrics: metrics.Handler(), Observe: metrics.Async, Logger: opt.Log,
		Region: opt.Config.Region, Account: opt.Config.Account,
		Credentials: opt.Config.Credentials, Insecure: opt.Config.Insecure, Hosts: hosts(opt.Config), Origins: opt.Config.Origins,
		Audit: audits[0], AuditInvocations: audits[1],
		Limits: opt.Config.Limits, Async: opt.Config.Async, Concurrency: opt.Config.Workers.Concurrency,
		Policy: nodeOptions.Defaults, Version: opt.Version, Runtimes: l.runtimes(), Problems: use.problems, Disk: use.kinds, CodeBytes: int64(opt.Config.Disk.CodeMB) * 1e6,
		Backup: func(ctx context.Context, w io.Writer) error {
			return backup.Write(ctx, w, s.store, artifacts, opt.Version)
		},
	})
	s.servePeers(a.Local())
	s.tasks.Go(func() error { return a.Run(s.life) })
	s.tasks.Go(func() error { return s.verify(artifacts) })
	if several != nil {
		s.tasks.Go(func() error { return s.follow(s.life, a) })
	}
	s.http = api.NewHTTPServer(s.tracer.Requests(a.Handler()))
	s.http.ErrorLog = slog.NewLogLogger(opt.Log.Handler(), slog.LevelDebug)
	serve := func() error { return s.http.Serve(s.listener) }
	if certificates != nil {
		s.http.TLSConfig = certificates.config()
		serve = func() error { return s.http.ServeTLS(s.listener, "", "") }
	}
	s.tasks.Go(func() error {
		err := serve()
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		err = fmt.Errorf("serve: %w", err)
		s.failed <- err
		return err
	})
	return s, nil
}

// bodyMemory is what the blocks of bodies under way take together, in bytes.
const bodyMemory = 32 << 20

// verify looks through all code once, in the background, and says what is damaged. What was only unpacked is unpacked
// again.
func (s *Server) verify(code *artifact.Store) error {
	found, err := code.Verify(s.life)
	for _, d := range found {
		of := fmt.Sprintf("the code of functions %v (SHA-256 %s)", s.store.CodeOf(d.SHA256), d.SHA256)
		p := health.Problem{Component: "code", Message: "What was unpacked from uploaded archives was damaged; it is unpacked again.", Repaired: []string{of}}
		if !d.Healed {
			p = health.Problem{Component: "code", Message: "Uploaded archives are damaged on the disk. Upload the same files again: that heals them.", Lost: []string{of}}
		}
		s.store.Report(p)
	}
	if err != nil && s.life.Err() == nil {
		s.log.Error("look through the code", "error", err)
	}
	return nil
}

// Addr is what the server listens on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// URL is where clients reach the server.
func (s *Server) URL() string {
	if s.opt.Config.TLS.Cert != "" {
		return "https://" + s.Addr().String()
	}
	return "http://" + s.Addr().String()
}

// openAudit opens the logs of who changed what and who ran what; nil where nobody wants one.
func (s *Server) openAudit(data string) (logs [2]*audit.Log, err error) {
	c := s.opt.Config.Audit
	for i, name := range []string{"audit", "invocations"} {
		if c.Files == 0 || i == 1 && !c.Invocations {
			continue
		}
		open := audit.Open
		if i == 1 {
			open = audit.OpenBuffered // invocations wait for no disk
		}
		if logs[i], err = open(filepath.Join(data, "audit"), name, int64(c.FileMB)*1e6, c.Files); err != nil {
			return logs, err
		}
		s.audits = append(s.audits, logs[i])
	}
	return logs, nil
}

// hosts are the names that the server goes by, the one that it was told to listen on among them.
func hosts(c config.Config) []string {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil || host == "" || net.ParseIP(host) != nil && net.ParseIP(host).IsUnspecified() {
		return c.Hosts
	}
	return append([]string{host}, c.Hosts...)
}

// Failed yields an error when the server cannot go on; Stop is to be called then too.
func (s *Server) Failed() <-chan error { return s.failed }

// Stop takes nothing new, lets what runs end until ctx does, and then stops everything.
func (s *Server) Stop(ctx context.Context) error {
	s.log.Info("stopping: running invocations end first")
	s.cluster.Drain(true)
	s.end() // event streams, preparations and the asynchronous queue; what it runs comes again later
	drained := make(chan error, 1)
	go func() { drained <- s.node.Drain(ctx) }()
	err := s.http.Shutdown(ctx)
	err = errors.Join(err, <-drained, s.peers.stop(ctx))
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		s.log.Warn("stopped before all invocations had ended")
		err = nil
	}
	return errors.Join(err, s.close())
}

func (s *Server) close() error {
	s.end()
	var errs []error
	switch {
	case s.http != nil:
		errs = append(errs, s.http.Close())
	case s.listener != nil:
		errs = append(errs, s.listener.Close())
	}
	errs = append(errs, s.peers.close())
	if s.node != nil {
		errs = append(errs, s.node.Close())
	}
	errs = append(errs, s.tasks.Wait())
	if s.driver != nil {
		errs = append(errs, s.driver.Close())
	}
	if s.logs != nil {
		errs = append(errs, s.logs.Close())
	}
	if s.bodies != nil {
		errs = append(errs, s.bodies.Close())
	}
	s.cluster.Close()
	for _, l := range s.audits {
		errs = append(errs, l.Close())
	}
	if s.store != nil {
		errs = append(errs, s.store.Close())
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return errors.Join(append(errs, s.tracer.Stop(ctx))...)
}

func (s *Server) newLauncher(c *code) (*launcher, error) {
	l := &launcher{
		code: c, jdks: findJDKs(s.opt.Cache), platform: launch.Platform{Region: s.opt.Config.Region},
	}
	if len(l.jdks) == 0 {
		s.log.Warn("no JDK found: Java functions cannot run", "hint", "install JDK 25 or set JAVA_HOME")
	}
	for _, a := range []struct {
		name string
		path *string
	}{{assets.Runtime, &l.runtime}, {assets.Serialization, &l.serialization}, {assets.Tracer, &l.tracer}, {assets.Image, &l.image}} {
		path, err := assets.Install(filepath.Join(s.opt.Cache, "assets"), a.name)
		if err != nil {
			return nil, err
		}
		*a.path = path
	}
	l.interpreters = toolchain.FindInterpreters(s.life, toolchain.InterpreterOptions{Named: s.opt.Config.Workers.Interpreters, Cache: s.opt.Cache})
	l.clients = map[function.Kind]string{}
	for _, lang := range language.All() {
		path, err := assets.InstallFolder(filepath.Join(s.opt.Cache, "assets"), lang.Client)
		if err != nil {
			return nil, err
		}
		l.clients[lang.Kind] = path
	}
	return l, nil
}

func newPolicy(c config.Policy) (policy.Policy, error) {
	if c.Name != "paper" {
		return policy.New(c.Name)
	}
	if c.OptimizeAfter == 0 {
		return &policy.Paper{HotInvocations: -1}, nil
	}
	return &policy.Paper{HotInvocations: int64(c.OptimizeAfter)}, nil
}

func defaultPolicy(c config.Config) store.Policy {
	var onMissing function.DeoptMode
	if err := onMissing.UnmarshalText([]byte(c.Policy.OnMissing)); err != nil {
		panic(err) // checked with the configuration
	}
	var prepare policy.Prepare
	if err := prepare.UnmarshalText([]byte(c.Policy.Prepare)); err != nil {
		panic(err) // checked with the configuration
	}
	window, keepAlive, maxWait := store.Duration(c.Policy.Window), store.Duration(c.Workers.KeepAlive), store.Duration(c.Policy.MaxWait)
	return store.Policy{
		Optimize: &c.Policy.Enabled, Compare: &c.Checks.Enabled, Threshold: &c.Policy.Threshold, Window: &window, KeepAlive: &keepAlive,
		OnMissing: &onMissing, QueueLimit: &c.Workers.Queue, Prepare: &prepare, MaxWait: &maxWait, Pause: &c.Workers.Pause,
		SnapshotAfter: &c.Policy.SnapshotAfter,
	}
}
