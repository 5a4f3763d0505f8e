// Package gate is what every request to the server passes, whichever of the API's faces it is for:
// host names and web pages that are let in, credentials, what is kept of who did what, names of
// functions, bodies and the memory they take, errors in AWS's form.
//
// It does not know what is asked for: each face mounts its own routes. How functions run it leaves to
// its Platform.
package gate

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/cloudjit/cloudjit/internal/api/sigv4"
	"github.com/cloudjit/cloudjit/internal/audit"
	"github.com/cloudjit/cloudjit/internal/cluster"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/health"
	"github.com/cloudjit/cloudjit/internal/node"
	"github.com/cloudjit/cloudjit/internal/recent"
	"github.com/cloudjit/cloudjit/internal/spool"
	"github.com/cloudjit/cloudjit/internal/store"
)

// Options of the server; Store, Platform, Code and Bodies are needed.
type Options struct {
	Store    *store.Store
	Platform Platform
	Code     Code
	Logs     Logs
	// CodeBytes is what archives may take on disk, unpacked ones included; 0: no limit.
	CodeBytes int64
	// Disk, if set, says what is stored, for the health resource.
	Disk func() []health.Disk
	// Host, if set, says what the machine has, for the nodes resource.
	Host func() health.Host
	// Recent has what happened lately; nil: nothing has.
	Recent *recent.Activity
	// Bodies of requests and answers are kept there while they are under way.
	Bodies *spool.Pool
	// Prepare, if set, makes sure that workers of a revision can be started (its code is unpacked, a
	// JDK is there) while the function's State says Pending or its LastUpdateStatus InProgress.
	// It is called again after a restart if it had not returned nil. The error's text is the
	// reason that the user sees.
	Prepare func(ctx context.Context, rev *store.Revision) error
	// DriverOf is the name of the driver that makes the workers of a revision, whether it is here or not; nil: nobody knows.
	DriverOf func(rev *function.Spec) string
	// Metrics answers GET /metrics; Page what is below /ui/, which asks for no credentials and has nothing secret.
	Metrics, Page http.Handler
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
	// Runtimes are those of the interpreters that are here, for the health resource.
	Runtimes []string
	// Version of CloudJIT, for the health resource.
	Version string
	// Cluster knows the other nodes; nil: there are none.
	Cluster *cluster.Cluster
	// Others shows what they have; nil: likewise.
	Others Others
}

// Gate has what all faces work with. Each embeds it, so that its methods are theirs.
type Gate struct {
	Opt      Options
	Log      *slog.Logger
	Store    *store.Store
	Platform Platform
	Started  time.Time
	doors    doors

	// memory is what bodies that are worked on take.
	memory *semaphore.Weighted

	Verifier *sigv4.Verifier // nil: no credentials are asked for
	callers  map[string]*Caller
	once     *sigv4.Once

	// Life ends with Stop: the server's background work and its streams end then.
	Life context.Context
	Stop context.CancelFunc
}

// New makes a gate of opt, with a life that lasts until Stop.
func New(opt Options) *Gate {
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.Recent == nil {
		opt.Recent = &recent.Activity{}
	}
	if opt.Observe == nil {
		opt.Observe = func(string) {}
	}
	if opt.ClientTime == 0 {
		opt.ClientTime = BodyTime
	}
	s := &Gate{Opt: opt, Log: opt.Logger, Store: opt.Store, Platform: opt.Platform, Started: time.Now(), memory: semaphore.NewWeighted(WorkMemory)}
	s.Life, s.Stop = context.WithCancel(context.Background())
	s.doors = newDoors(&opt)
	s.authenticator()
	return s
}

// Front is what every request passes: request identifiers, the names that it may be sent to and the web
// pages that may send it, the hosts of function URLs, which are url's.
func (s *Gate) Front(mux *http.ServeMux, url func(w http.ResponseWriter, r *http.Request, id string)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()[HeaderRequest] = []string{NewUUID()}
		id, base, isURL := urlHost(r.Host)
		if !isURL {
			base = r.Host
		}
		if err := s.doors.checkHost(r, base); err != nil {
			s.turnAway(w, r, err)
			return
		}
		if isURL {
			url(w, r, id)
			return
		}
		path := r.URL.Path
		if strings.HasPrefix(path, URLPrefix) {
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
func (s *Gate) turnAway(w http.ResponseWriter, r *http.Request, err error) {
	e := AsError(err)
	s.Record(r, w, "", &audit.Entry{Action: r.Method + " " + Clip(r.URL.Path)}, e.Status, e.Code)
	s.Fail(w, r, err)
}

// Endpoint is a handler that returns its failure.
type Endpoint func(w http.ResponseWriter, r *http.Request) error

// Route mounts an endpoint; its error becomes the answer.
func (s *Gate) Route(mux *http.ServeMux, pattern string, e Endpoint) {
	a := ActionOf(pattern)
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, a, e) })
}

// Sync makes the platform serve a function as it is stored now.
func (s *Gate) Sync(name function.Name) {
	if err := s.Platform.Sync(s.Life, name); err != nil && !errors.Is(err, node.ErrDraining) {
		s.Log.Error("serve a changed function", "function", name, "error", err)
	}
}

// Fail answers with an error, in the one place that maps errors to statuses.
func (s *Gate) Fail(w http.ResponseWriter, r *http.Request, err error) {
	e := AsError(err)
	if e.Status >= 500 && !errors.Is(err, context.Canceled) {
		s.Log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	e.write(w)
}

// ARN of a function, with an optional qualifier.
func (s *Gate) ARN(name function.Name, qualifier string) string {
	arn := "arn:aws:lambda:" + s.Opt.Region + ":" + s.Opt.Account + ":function:" + string(name)
	if qualifier != "" {
		arn += ":" + qualifier
	}
	return arn
}
