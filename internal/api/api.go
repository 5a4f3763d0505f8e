// Package api is the platform's HTTP surface. It puts together its three faces, Lambda's API (lambda),
// function URLs (furl) and CloudJIT's own resources (own), behind one gate.
//
// It answers no request itself and must not know what the faces do.
package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/api/calls"
	"github.com/cloudjit/cloudjit/internal/api/furl"
	"github.com/cloudjit/cloudjit/internal/api/gate"
	"github.com/cloudjit/cloudjit/internal/api/lambda"
	"github.com/cloudjit/cloudjit/internal/api/own"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/peer"
)

// Options of a Server.
type Options = gate.Options

// Server answers the API. Make one with New, start its background work with Run.
type Server struct {
	run     *calls.Runner
	lambda  *lambda.API
	handler http.Handler
	mux     *http.ServeMux
}

// New makes the server of opt. Nothing runs until Run.
func New(opt Options) *Server {
	g := gate.New(opt)
	run := calls.New(g)
	s := &Server{run: run, lambda: lambda.New(run)}
	urls := furl.New(run)
	mux := http.NewServeMux()
	s.lambda.Routes(mux)
	s.lambda.InvokeRoutes(mux)
	own.New(run).Routes(mux)
	urls.Routes(mux)
	s.handler, s.mux = g.Front(mux, urls.Serve), mux
	return s
}

// Handler answers all requests.
func (s *Server) Handler() http.Handler { return s.handler }

// Local answers other nodes, which are known as such (peer.Asked), with what this one itself has to show.
func (s *Server) Local() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, gate.OwnPrefix+"/") || !peer.Asked(r.Context()) {
			http.NotFound(w, r)
			return
		}
		s.mux.ServeHTTP(w, r)
	})
}

// Run does the background work until ctx ends: it makes the platform serve what the store has,
// finishes what an earlier server had begun (functions that are Pending), and works off the queue of asynchronous invocations. It returns
// when all of it has ended; invocations under way are given up then and come again later.
func (s *Server) Run(ctx context.Context) error {
	defer s.run.Updates.Wait()
	defer s.run.Stop()
	context.AfterFunc(ctx, s.run.Stop)
	if err := s.run.Resume(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // the server stops; the next one does it
		}
		return err
	}
	s.lambda.Tidy(s.run.Life)
	if s.run.Opt.Cluster != nil {
		s.run.Updates.Go(func() { s.run.Adopt(s.run.Life) })
	}
	return s.run.Dispatch(ctx)
}

// Changed takes a change of a function that another node may have made.
func (s *Server) Changed(ctx context.Context, name function.Name) { s.run.Changed(ctx, name) }

// NewHTTPServer returns an http.Server for h with the limits that a server on a network needs.
// There is no limit on a whole request: invocations take up to 15 minutes, streams as well;
// heads, bodies and idle connections have their own, and connections are bounded in number.
func NewHTTPServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       3 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ConnState:         newConnections().changed,
	}
}
