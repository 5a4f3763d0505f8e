// Package api is the platform's HTTP surface: the AWS Lambda control plane and invoke, function
// URLs, and CloudJIT's own resources under /cloudjit/v1/.
//
// It translates: requests into documents of the store and calls of the Platform, outcomes into
// the statuses, headers and bodies that AWS's clients expect. It must not know how functions
// run, when they are optimized, or how anything is stored. The warm path, an invocation of a
// function that has a worker, reads two maps in memory and nothing else.
package api

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/cloudjit/cloudjit/internal/api/sigv4"
	"github.com/cloudjit/cloudjit/internal/audit"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/health"
	"github.com/cloudjit/cloudjit/internal/node"
	"github.com/cloudjit/cloudjit/internal/spool"
	"github.com/cloudjit/cloudjit/internal/store"
)

// Options of a Server; Store, Platform, Code and Bodies are needed.
type Options struct {
	Store    *store.Store
	Platform Platform
	Code     Code
	Logs     Logs
	// CodeBytes is what archives may take on disk, unpacked ones included; 0: no limit.
	CodeBytes int64
	// Disk, if set, says what is stored, for the health resource.
	Disk func() []health.Disk
	// Bodies of requests and answers are kept there while they are under way.
	Bodies *spool.Pool
	// Prepare, if set, makes sure that workers of a revision can be started (its code is unpacked, a
	// JDK is there) while the function's State says Pending or its LastUpdateStatus InProgress.
	// It is called again after a restart if it had not returned nil. The error's text is the
	// reason that the user sees.
	Prepare func(ctx context.Context, rev *store.Revision) error
	// Metrics answers GET /metrics; Web everything that is no other route (the dashboard).
	Metrics, Web http.Handler
	// Observe, if set, is told the end of each asynchronous attempt: "succeeded", "retried",
	// "deferred", "dead".
	Observe func(async string)
	Logger  *slog.Logger

	Region, Account string
	Credentials     []config.Credential
	// Insecure says that the operator wants requests to any name of this server.
	Insecure bool
	// Hosts and Origins are names and web pages that are let in beside the server's own.
	Hosts, Origins []string
	// Audit takes who changed what, and what was refused; AuditInvocations who ran what. Nil: nobody asks.
	Audit, AuditInvocations *audit.Log
	Limits                  config.Limits
	Async                   config.Async
	// ClientTime is how long the client of a web function may take to send, and to take, each part
	// of a body; 0: one minute.
	ClientTime time.Duration
	// Concurrency is what the account settings show.
	Concurrency int
	// Policy is what holds where neither a function nor the platform has its own; all fields set.
	Policy store.Policy
	// Backup writes everything that must not be lost; nil: there are no backups.
	Backup func(ctx context.Context, w io.Writer) error
	// Problems say what is wrong, for the health resource; nil: nothing ever is.
	Problems func() []health.Problem
	// Version of CloudJIT, for the health resource.
	Version string
}

// Server answers the API. Make one with New, start its background work with Run.
type Server struct {
	opt     Options
	log     *slog.Logger
	store   *store.Store
	run     Platform
	handler http.Handler
	started time.Time
	uploads uploads
	seen    seen
	doors   doors

	// memory is what bodies that are worked on take.
	memory *semaphore.Weighted
	// streams has an element for each stream of events or logs.
	streams chan struct{}

	verifier *sigv4.Verifier // nil: no credentials are asked for
	callers  map[string]*caller
	once     *sigv4.Once

	// life ends with Run; updates counts the preparations that run.
	life    context.Context
	stop    context.CancelFunc
	updates sync.WaitGroup
	// settled is closed and replaced whenever a function's state may have changed.
	settledMu sync.Mutex
	settled   chan struct{}
}

// New makes the server of opt. Nothing runs until Run.
func New(opt Options) *Server {
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.Observe == nil {
		opt.Observe = func(string) {}
	}
	if opt.ClientTime == 0 {
		opt.ClientTime = bodyTime
	}
	s := &Server{opt: opt, log: opt.Logger, store: opt.Store, run: opt.Platform, started: time.Now(), settled: make(chan struct{}), memory: semaphore.NewWeighted(workMemory), streams: make(chan struct{}, maxStreams)}
	s.life, s.stop = context.WithCancel(context.Background())
	s.seen.code, s.seen.look = map[function.RevisionID]string{}, make(chan struct{}, 1)
	s.doors = newDoors(&opt)
	s.authenticator()
	mux := http.NewServeMux()
	s.controlRoutes(mux)
	s.invokeRoutes(mux)
	s.ownRoutes(mux)
	s.handler = s.front(mux)
	return s
}

// Handler answers all requests.
func (s *Server) Handler() http.Handler { return s.handler }

// Run does the background work until ctx ends: it makes the platform serve what the store has,
// finishes what an earlier server had begun (functions that are Pending), and works off the queue of asynchronous invocations. It returns
// when all of it has ended; invocations under way are given up then and come again later.
func (s *Server) Run(ctx context.Context) error {
	defer s.updates.Wait()
	defer s.stop()
	context.AfterFunc(ctx, s.stop)
	if err := s.resume(ctx); err != nil {
		return err
	}
	s.updates.Go(func() { s.sweepCode(s.life) })
	s.updates.Go(func() { s.dropUnnamed(s.life) })
	return s.dispatch(ctx)
}

// front is what every request passes: request identifiers, the names that it may be sent to and the web
// pages that may send it, the hosts of function URLs.
func (s *Server) front(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()[headerRequest] = []string{newUUID()}
		id, base, isURL := urlHost(r.Host)
		if !isURL {
			base = r.Host
		}
		if err := s.doors.checkHost(r, base); err != nil {
			s.turnAway(w, r, err)
			return
		}
		if isURL {
			s.serveURL(w, r, id, "")
			return
		}
		path := r.URL.Path
		if strings.HasPrefix(path, urlPrefix) {
			mux.ServeHTTP(w, r) // function URLs have their own settings
			return
		}
		configured, err := s.doors.checkPage(r)
		if err != nil {
			s.turnAway(w, r, err)
			return
		}
		if configured && shareWith(w, r) {
			return
		}
		// SDKs disagree about a slash at the end.
		if n := len(path); n > 1 && path[n-1] == '/' && strings.HasPrefix(path, "/20") {
			r = r.Clone(r.Context())
			r.URL.Path = strings.TrimRight(path, "/")
			r.URL.RawPath = strings.TrimRight(r.URL.RawPath, "/")
		}
		mux.ServeHTTP(w, r)
	})
}

// turnAway refuses a request before it is looked at any closer.
func (s *Server) turnAway(w http.ResponseWriter, r *http.Request, err error) {
	e := asError(err)
	s.record(r, w, "", &audit.Entry{Action: r.Method + " " + clip(r.URL.Path)}, e.Status, e.Code)
	s.fail(w, r, err)
}

// endpoint is a handler that returns its failure.
type endpoint func(w http.ResponseWriter, r *http.Request) error

// route mounts an endpoint; its error becomes the answer.
func (s *Server) route(mux *http.ServeMux, pattern string, e endpoint) {
	a := actionOf(pattern)
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, a, e) })
}

// sync makes the platform serve a function as it is stored now.
func (s *Server) sync(name function.Name) {
	if err := s.run.Sync(s.life, name); err != nil && !errors.Is(err, node.ErrDraining) {
		s.log.Error("serve a changed function", "function", name, "error", err)
	}
}

// fail answers with an error, in the one place that maps errors to statuses.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := asError(err)
	if e.Status >= 500 && !errors.Is(err, context.Canceled) {
		s.log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	e.write(w)
}

// arn of a function, with an optional qualifier.
func (s *Server) arn(name function.Name, qualifier string) string {
	arn := "arn:aws:lambda:" + s.opt.Region + ":" + s.opt.Account + ":function:" + string(name)
	if qualifier != "" {
		arn += ":" + qualifier
	}
	return arn
}
