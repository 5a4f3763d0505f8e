package own

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cloudjit/cloudjit/internal/api/calls"
	"github.com/cloudjit/cloudjit/internal/api/gate"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/logs"
	"github.com/cloudjit/cloudjit/internal/node"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/store"
)

//go:embed openapi.json
var openAPIDocument []byte

func (s *API) openAPI(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(openAPIDocument) // the client is gone: nobody to tell
	return nil
}

// serving finds the revision that serves the function and qualifier of a request.
func (s *API) serving(r *http.Request) (*store.Version, error) {
	f, err := gate.Target(r)
	if err != nil {
		return nil, err
	}
	_, v, err := s.Version(f)
	return v, err
}

func (s *API) optimize(w http.ResponseWriter, r *http.Request) error {
	v, err := s.serving(r)
	if err != nil {
		return err
	}
	var in struct {
		Rung  function.Rung `json:"rung"`
		Level string        `json:"level"`
	}
	if err := s.Decode(w, r, &in); err != nil {
		return err
	}
	switch in.Level {
	case "":
	case "quick", "optimized":
		if in.Rung != "" {
			return gate.Invalid("Give rung or level, and not both")
		}
		in.Rung = s.rungOfLevel(v.Current(), in.Level)
	default:
		return gate.Invalid("level must be quick or optimized")
	}
	id := v.Current()
	rung, ready := s.wantedRung(r.Context(), id, in.Rung)
	if !ready {
		if err := s.Platform.Optimize(r.Context(), id, in.Rung); err != nil {
			return err
		}
	}
	gate.WriteJSON(w, http.StatusAccepted, map[string]any{"revision": id, "rung": rung, "ready": ready})
	return nil
}

// rows is the whole ladder of a revision, also the rungs that nothing here can make.
func (s *API) rows(id function.RevisionID) []ladder.Rung {
	if rev, ok := s.Store.Revision(id); ok {
		if l := ladder.Of(rev.Spec.Kind); l != nil {
			return l.Rungs
		}
	}
	return nil
}

// rungOfLevel is the rung whose binary is made at a level: so rungs were asked for before there was
// a ladder.
func (s *API) rungOfLevel(id function.RevisionID, level string) function.Rung {
	for _, row := range s.rows(id) {
		if row.Artifact == ladder.ArtifactBinary && row.Options == level {
			return row.Name
		}
	}
	return ""
}

// wantedRung is the rung that an optimization means, and whether there is nothing to do for it: without
// a name the lowest with a binary, or the highest of a ladder without one.
func (s *API) wantedRung(ctx context.Context, id function.RevisionID, name function.Rung) (rung function.Rung, ready bool) {
	view, ok := s.Platform.Revision(ctx, id)
	if !ok || len(view.Ladder) == 0 {
		return name, false
	}
	rows := s.rows(id)
	means := func(r node.RungView) bool {
		if name != "" {
			return r.Rung == name
		}
		return slices.ContainsFunc(rows, func(row ladder.Rung) bool { return row.Name == r.Rung && row.Artifact == ladder.ArtifactBinary })
	}
	at := len(view.Ladder) - 1
	if i := slices.IndexFunc(view.Ladder, means); i >= 0 {
		at = i
	} else if name != "" {
		return name, false // what is wrong with it, the platform says
	}
	return view.Ladder[at].Rung, at > 0 && view.Ladder[at].Phase == pipeline.PhaseReady
}

func (s *API) deoptimize(w http.ResponseWriter, r *http.Request) error {
	v, err := s.serving(r)
	if err != nil {
		return err
	}
	if err := s.Platform.Deoptimize(r.Context(), v.Current()); err != nil {
		return err
	}
	gate.WriteJSON(w, http.StatusAccepted, map[string]any{"revision": v.Current()})
	return nil
}

func (s *API) workers(w http.ResponseWriter, r *http.Request) error {
	c := gate.CallerOf(r.Context())
	all, silent := s.allWorkers(r)
	all = slices.DeleteFunc(all, func(v node.WorkerView) bool { return !c.Owns(v.Function) })
	gate.WriteJSON(w, http.StatusOK, gate.Unanswered(map[string]any{"workers": append([]node.WorkerView{}, all...)}, silent))
	return nil
}

// allWorkers are the workers of all nodes, or of this one where another asks.
func (s *API) allWorkers(r *http.Request) (all []node.WorkerView, silent []string) {
	mine := s.Platform.Workers(r.Context())
	for i := range mine {
		mine[i].Node = s.Node()
	}
	return gate.All(s.Gate, r, "workers", mine)
}

const (
	defaultLines = 100
	maxLines     = 10_000
)

// functionLogs answers with the newest lines, or follows the log as server-sent events.
func (s *API) functionLogs(w http.ResponseWriter, r *http.Request) error {
	f, err := gate.Target(r)
	if err != nil {
		return err
	}
	if _, err := s.Function(f); err != nil {
		return err
	}
	if s.Opt.Logs == nil {
		return gate.NotFound("This server keeps no logs")
	}
	q := r.URL.Query()
	n := defaultLines
	if v := q.Get("lines"); v != "" {
		if n, err = strconv.Atoi(v); err != nil || n < 0 || n > maxLines {
			return gate.Invalid("lines: want 0..%d", maxLines)
		}
	}
	follow, request := q.Get("follow") == "true", q.Get("request")
	if request != "" {
		if n = maxLines; follow {
			return gate.Invalid("request and follow cannot be used together")
		}
	}
	if follow {
		end, err := s.enterStream()
		if err != nil {
			return err
		}
		defer end()
	}
	release, err := s.Work(r.Context(), min(int64(n)*logLine, logMost))
	if err != nil {
		return err
	}
	lines, err := s.Opt.Logs.Last(string(f.Name), n)
	if err != nil {
		release()
		return err
	}
	if request != "" {
		lines = slices.DeleteFunc(lines, func(l logs.Line) bool { return l.Request != request && !strings.Contains(l.Text, request) })
	}
	if !follow {
		var silent []string
		if lines, silent = gate.All(s.Gate, r, "lines", lines); !s.Alone(r) {
			slices.SortStableFunc(lines, func(a, b logs.Line) int { return a.Time.Compare(b.Time) })
			lines = lines[max(len(lines)-n, 0):]
		}
		doc := calls.MustJSON(gate.Unanswered(map[string]any{"lines": append([]logs.Line{}, lines...)}, silent))
		small, body, err := s.Stash(doc)
		doc, lines = nil, nil
		release()
		if err != nil {
			return err
		}
		if body == nil {
			w.Header().Set("Content-Type", "application/json")
			s.SendPayload(w, small, nil)
			return nil
		}
		defer body.Close()
		w.Header().Set("Content-Type", "application/json")
		s.SendPayload(w, nil, body)
		return nil
	}
	var last uint64
	var frames []byte
	for _, l := range lines {
		last = l.Seq
		if frames, err = appendFrame(frames, "line", l.Seq, l); err != nil {
			release()
			return err
		}
	}
	small, body, err := s.Stash(frames)
	lines, frames = nil, nil
	release()
	if err != nil {
		return err
	}
	out := s.openStream(w)
	defer out.close()
	if body == nil {
		err = out.write(small)
	} else {
		_, err = io.Copy(out, body.Reader())
		body.Close()
	}
	if err != nil {
		return nil // the client is gone: nobody to tell
	}
	if n == 0 { // from now on
		if newest, err := s.Opt.Logs.Last(string(f.Name), 1); err == nil && len(newest) > 0 {
			last = newest[0].Seq
		}
	}
	ctx := s.until(r)
	s.FollowOthers(ctx, r, r.URL.RequestURI(), func(doc []byte) error {
		var l logs.Line
		if json.Unmarshal(doc, &l) != nil {
			return nil
		}
		return out.send("line", l.Seq, l)
	})
	_ = s.Opt.Logs.Follow(ctx, string(f.Name), last, func(l logs.Line) error { return out.send("line", l.Seq, l) })
	return nil
}

// events streams what happens on the platform as server-sent events, of one function if asked to.
func (s *API) events(w http.ResponseWriter, r *http.Request) error {
	name := function.Name(r.URL.Query().Get("function"))
	c := gate.CallerOf(r.Context())
	end, err := s.enterStream()
	if err != nil {
		return err
	}
	defer end()
	out := s.openStream(w)
	defer out.close()
	mine := func(e node.Event) error {
		if name != "" && e.Function != name || !c.Owns(e.Function) {
			return nil
		}
		return out.send(e.Type, e.Seq, e)
	}
	ctx := s.until(r)
	s.FollowOthers(ctx, r, r.URL.RequestURI(), func(doc []byte) error {
		var e node.Event
		if json.Unmarshal(doc, &e) != nil {
			return nil
		}
		return mine(e)
	})
	err = s.Platform.Events(ctx, func(e node.Event) error {
		e.Node = s.Node()
		return mine(e)
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		s.Log.Debug("event stream ended", "error", err)
	}
	return nil
}

// until is a request's context that also ends with the server, so that a stream does not hold
// up its stop.
func (s *API) until(r *http.Request) context.Context {
	ctx, cancel := context.WithCancel(r.Context())
	stop := context.AfterFunc(s.Life, cancel)
	context.AfterFunc(r.Context(), func() { stop(); cancel() })
	return ctx
}

// maxStreams is how many event and log streams there may be at once: a reader that is behind takes memory.
const maxStreams = 256

const (
	// logLine is what most lines of a log take in memory while they are read, twice: as they are and encoded.
	logLine = 2 << 10
	// logMost is what all lines of an answer take at most: logs.Last returns 2 MiB.
	logMost = 8 << 20
)

// enterStream takes one of the places for streams.
func (s *API) enterStream() (end func(), err error) {
	select {
	case s.streams <- struct{}{}:
		return func() { <-s.streams }, nil
	default:
		return nil, gate.Fault(http.StatusTooManyRequests, "TooManyRequestsException", "There are %d streams of events and logs already: close one.", maxStreams)
	}
}

// keepAlive is how often an idle stream sends a comment, so that proxies keep it open.
const keepAlive = 15 * time.Second

// sse is one stream of server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).
type sse struct {
	mu    sync.Mutex
	w     http.ResponseWriter
	slow  *gate.Patient // a client that takes nothing loses its stream
	flush func() error
	stop  chan struct{}
	done  chan struct{}
}

func (srv *API) openStream(w http.ResponseWriter) *sse {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	s := &sse{w: w, slow: srv.Patience(w), flush: http.NewResponseController(w).Flush, stop: make(chan struct{}), done: make(chan struct{})}
	_ = s.write([]byte(": open\n\n")) // the head goes out now
	go s.beat()
	return s
}

func (s *sse) beat() {
	defer close(s.done)
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_ = s.write([]byte(": alive\n\n")) // the reader of the stream finds out
		case <-s.stop:
			return
		}
	}
}

func (s *sse) send(event string, id uint64, v any) error {
	b, err := appendFrame(nil, event, id, v)
	if err != nil {
		return err
	}
	return s.write(b)
}

// appendFrame appends one event as it is sent.
func appendFrame(b []byte, event string, id uint64, v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	b = strconv.AppendUint(append(b, "id: "...), id, 10)
	b = append(append(b, "\nevent: "...), event...)
	return append(append(append(b, "\ndata: "...), data...), "\n\n"...), nil
}

// Write sends events as they are.
func (s *sse) Write(b []byte) (int, error) {
	if err := s.write(b); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (s *sse) write(b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.slow.Write(b); err != nil {
		return err
	}
	return s.flush()
}

func (s *sse) close() {
	close(s.stop)
	<-s.done
	s.slow.Lift()
}

func (s *API) deadLetters(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	var before uint64
	if v := q.Get("before"); v != "" {
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			return gate.Invalid("before must be the id of a dead letter")
		}
		before = n
	}
	letters, err := s.Store.DeadLetters(r.Context(), function.Name(q.Get("function")), before, defaultLines)
	if err != nil {
		return err
	}
	c := gate.CallerOf(r.Context())
	out := []ownLetter{}
	for _, l := range letters {
		if !c.Owns(l.Function) {
			continue
		}
		out = append(out, letterView(l))
	}
	gate.WriteJSON(w, http.StatusOK, map[string]any{"deadLetters": out})
	return nil
}

// ownLetter is a dead letter with its payload, which is JSON.
type ownLetter struct {
	store.DeadLetter
	Payload json.RawMessage `json:"payload"`
}

func letterView(l *store.DeadLetter) ownLetter {
	v := ownLetter{*l, l.Payload}
	if !json.Valid(v.Payload) {
		v.Payload = json.RawMessage("null")
	}
	return v
}

// letter finds the dead letter that a request's path names. One of a function that is not the caller's
// is not there.
func (s *API) letter(r *http.Request) (*store.DeadLetter, error) {
	missing := gate.NotFound("There is no dead letter %s", gate.Clip(r.PathValue("id")))
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 64)
	if err != nil {
		return nil, missing
	}
	l, err := s.Store.DeadLetter(r.Context(), id)
	if err == nil && !gate.CallerOf(r.Context()).Owns(l.Function) {
		err = missing
	}
	return l, err
}

func (s *API) deadLetter(w http.ResponseWriter, r *http.Request) error {
	l, err := s.letter(r)
	if err != nil {
		return err
	}
	gate.WriteJSON(w, http.StatusOK, letterView(l))
	return nil
}

func (s *API) removeDeadLetter(w http.ResponseWriter, r *http.Request) error {
	l, err := s.letter(r)
	if err != nil {
		return err
	}
	gate.About(w, l.Function)
	if err := s.Store.RemoveDeadLetter(r.Context(), l.ID); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *API) redriveDeadLetter(w http.ResponseWriter, r *http.Request) error {
	l, err := s.letter(r)
	if err != nil {
		return err
	}
	gate.About(w, l.Function)
	a, err := s.Redrive(r.Context(), l)
	if err != nil {
		return err
	}
	gate.WriteJSON(w, http.StatusAccepted, map[string]string{"requestId": a.RequestID})
	return nil
}
