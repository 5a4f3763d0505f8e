package peer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/node"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// Platform runs what other nodes send; *node.Node, never what would pass it on.
type Platform interface {
	Invoke(ctx context.Context, rev function.RevisionID, inv *worker.Invocation) (*node.Result, error)
	RoundTrip(rev function.RevisionID, r *http.Request) (*http.Response, error)
}

// ServerOptions of NewServer. Key, Platform and Keep are needed.
type ServerOptions struct {
	// Key is the cluster's secret.
	Key      []byte
	Platform Platform
	// Keep puts what is not small out of memory, up to limit bytes.
	Keep func(r io.Reader, limit int64) (worker.Body, error)
	// EventLimit is the most bytes of an event.
	EventLimit int64
	// Open returns what is kept under a name of a kind of files, for another node; nil: there are none.
	Open func(kind, name string) (io.ReadCloser, int64, error)
	// Ask answers what this node itself has to show.
	Ask http.Handler
	// Draining reports that the node takes nothing new.
	Draining func() bool
}

// Server answers other nodes.
type Server struct {
	opt   ServerOptions
	token string
}

// NewServer makes the handler of what other nodes ask.
func NewServer(opt ServerOptions) *Server {
	if opt.Draining == nil {
		opt.Draining = func() bool { return false }
	}
	return &Server{opt, token(opt.Key)}
}

// ServeHTTP answers one request. Without the key there is nothing here.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || !sameToken(r.Header.Get(headerKey), s.token) {
		http.Error(w, "only nodes of the cluster are answered here", http.StatusForbidden)
		return
	}
	head := r.Header.Get(headerAsk)
	switch r.URL.Path {
	case invokePath, webPath:
		c, err := parseCall(head)
		if err != nil {
			s.answer(w, http.StatusBadRequest, reply{Refused: true, Error: "what was asked for cannot be read: " + err.Error()})
			return
		}
		if s.opt.Draining() {
			s.answer(w, http.StatusServiceUnavailable, failure(node.ErrDraining))
			return
		}
		if r.URL.Path == webPath {
			s.web(w, r, c)
			return
		}
		s.invoke(w, r, c)
	case filePath:
		s.file(w, head)
	case askPath:
		s.ask(w, r, head)
	default:
		s.answer(w, http.StatusNotFound, reply{Refused: true, Error: "this node does not know " + r.URL.Path})
	}
}

// answer sends a reply without a payload.
func (s *Server) answer(w http.ResponseWriter, status int, r reply) {
	w.Header()[headerAnswer] = []string{encode(&r)}
	w.Header()["Content-Length"] = []string{"0"}
	w.WriteHeader(status)
}

// plainEvent is the largest event that is read into memory at once.
const plainEvent = 4 << 10

func (s *Server) invoke(w http.ResponseWriter, r *http.Request, c *call) {
	inv := &worker.Invocation{
		RequestID: c.RequestID, FunctionARN: c.FunctionARN, TraceID: c.TraceID, ClientContext: c.ClientContext, Identity: c.Identity, Keep: s.opt.Keep,
	}
	if c.Left > 0 {
		inv.Deadline = time.Now().Add(time.Duration(c.Left))
	}
	body, err := s.event(r, inv)
	if err != nil {
		s.answer(w, http.StatusServiceUnavailable, reply{Refused: true, Error: "the event did not come whole: " + err.Error()})
		return
	}
	if body != nil {
		defer body.Close()
	}
	ctx := r.Context()
	if c.Tail {
		ctx = node.WithTail(ctx)
	}
	var out *framed
	if c.Stream {
		out = &framed{w: w}
		inv.Stream = out
	}
	res, err := s.opt.Platform.Invoke(ctx, c.Revision, inv)
	var end reply
	if err != nil {
		end = failure(err)
	} else {
		if res.Body != nil {
			defer res.Body.Close()
		}
		end = replyOf(res)
	}
	switch {
	case out != nil && out.started:
		if end.Refused = false; err == nil {
			end.Payload = res.Payload
		}
		out.end(&end)
	case err != nil:
		s.answer(w, http.StatusOK, end)
	default:
		s.payload(w, &end, res)
	}
}

// event reads the event of an invocation; the caller closes the body, if there is one.
func (s *Server) event(r *http.Request, inv *worker.Invocation) (worker.Body, error) {
	n := r.ContentLength
	switch {
	case n < 0:
		return nil, errors.New("its length is not said")
	case n > s.opt.EventLimit:
		return nil, errors.New("it is too large")
	case n <= plainEvent:
		inv.Payload = make([]byte, n)
		_, err := io.ReadFull(r.Body, inv.Payload)
		return nil, err
	}
	b, err := s.opt.Keep(r.Body, s.opt.EventLimit)
	if err != nil {
		return nil, err
	}
	if b.Size() != n {
		b.Close()
		return nil, io.ErrUnexpectedEOF
	}
	inv.Body = b
	return b, nil
}

// payload sends how an invocation ended, and its answer.
func (s *Server) payload(w http.ResponseWriter, end *reply, res *node.Result) {
	size := int64(len(res.Payload))
	if res.Body != nil {
		size = res.Body.Size()
	}
	h := w.Header()
	h[headerAnswer] = []string{encode(end)}
	h["Content-Length"] = []string{strconv.FormatInt(size, 10)}
	w.WriteHeader(http.StatusOK)
	if res.Body != nil {
		_, _ = io.Copy(w, res.Body.Reader()) // the other node is gone: nobody to tell
		return
	}
	_, _ = w.Write(res.Payload) // likewise
}

// framed sends a streamed answer: each part as it comes, in a frame, and at last how it ended. A frame is its kind (one byte), its
// length (four bytes, big endian) and its content. Without the last one the answer is cut off.
type framed struct {
	w       http.ResponseWriter
	started bool
}

const (
	frameData = 'd'
	frameEnd  = 'e'
	// maxFrame bounds one frame: what a worker writes at once, or a reply with an error document in it.
	maxFrame = 8 << 20
)

// Start sends the head. Idempotent.
func (f *framed) Start(contentType string) {
	if f.started {
		return
	}
	f.started = true
	f.w.Header()[headerAnswer] = []string{encode(&reply{Streaming: true, ContentType: contentType})}
	f.w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(f.w).Flush() // what is wrong with the connection, the next write says
}

// Write sends one part at once.
func (f *framed) Write(p []byte) (int, error) {
	f.Start("")
	if err := f.frame(frameData, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (f *framed) frame(kind byte, p []byte) error {
	var head [5]byte
	head[0] = kind
	binary.BigEndian.PutUint32(head[1:], uint32(len(p)))
	if _, err := f.w.Write(head[:]); err != nil {
		return err
	}
	if _, err := f.w.Write(p); err != nil {
		return err
	}
	return http.NewResponseController(f.w).Flush()
}

func (f *framed) end(r *reply) { _ = f.frame(frameEnd, []byte(encode(r))) } // the other node is gone: nobody to tell

// maxReplay is the largest body of a request to a web function that is kept, so that another worker can get it, too.
const maxReplay = 1 << 20

// web passes a request on to a web function, and its answer back, both as they come; a connection that is upgraded is passed through.
func (s *Server) web(w http.ResponseWriter, r *http.Request, c *call) {
	target, err := url.ParseRequestURI(c.URL)
	if err != nil || c.Method == "" {
		s.answer(w, http.StatusBadRequest, reply{Refused: true, Error: "no method and address of a request"})
		return
	}
	strip(r.Header)
	if n := r.ContentLength; n > 0 && n <= maxReplay {
		b := make([]byte, n)
		if _, err := io.ReadFull(r.Body, b); err != nil {
			s.answer(w, http.StatusServiceUnavailable, reply{Refused: true, Error: "the request did not come whole: " + err.Error()})
			return
		}
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
		r.Body, _ = r.GetBody()
	} else if n != 0 {
		_ = http.NewResponseController(w).EnableFullDuplex() // or the whole request would be read before any of the answer is sent
	}
	p := &httputil.ReverseProxy{
		FlushInterval: -1, ErrorLog: quiet,
		Transport: platformTripper{s.opt.Platform, c.Revision},
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.Method, p.Out.Host, p.Out.GetBody = c.Method, p.In.Host, p.In.GetBody
			p.Out.URL = target
			p.Out.URL.Scheme, p.Out.URL.Host = "http", "function"
			// What the first node said of the client.
			for _, h := range []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded"} {
				if v, ok := p.In.Header[h]; ok {
					p.Out.Header[h] = v
				}
			}
		},
		ModifyResponse: func(res *http.Response) error {
			strip(res.Header)
			answer := reply{Web: true}
			if c.Method == http.MethodHead { // which has a length and no body; between nodes it is a POST
				answer.Length = res.Header.Get("Content-Length")
				res.Header.Del("Content-Length")
				res.ContentLength, res.Body = 0, http.NoBody
			}
			res.Header[headerAnswer] = []string{encode(&answer)}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			var failed *node.FunctionError
			if errors.As(err, &failed) {
				end := replyOf(failed.Result)
				end.Payload = failed.Result.Payload[:min(len(failed.Result.Payload), maxStderr)]
				s.answer(w, http.StatusOK, end)
				return
			}
			s.answer(w, http.StatusOK, failure(err))
		},
	}
	p.ServeHTTP(w, r)
}

var quiet = log.New(io.Discard, "", 0)

type platformTripper struct {
	platform Platform
	rev      function.RevisionID
}

func (t platformTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	return t.platform.RoundTrip(t.rev, r)
}

// file sends a file.
func (s *Server) file(w http.ResponseWriter, head string) {
	kind, name, err := parseFile(head)
	if err != nil || s.opt.Open == nil {
		s.answer(w, http.StatusNotFound, reply{Refused: true, Error: "there is no such file here"})
		return
	}
	f, size, err := s.opt.Open(kind, name)
	if err != nil {
		s.answer(w, http.StatusNotFound, reply{Refused: true, Error: err.Error()})
		return
	}
	defer f.Close()
	h := w.Header()
	h[headerAnswer] = []string{encode(&reply{Web: true})}
	if size >= 0 {
		h["Content-Length"] = []string{strconv.FormatInt(size, 10)}
	}
	w.WriteHeader(http.StatusOK)
	if n, err := io.Copy(w, f); err != nil || size >= 0 && n != size {
		panic(http.ErrAbortHandler) // so that nobody takes it for the whole
	}
}

// ask answers with what this node itself has to show.
func (s *Server) ask(w http.ResponseWriter, r *http.Request, head string) {
	target, err := url.ParseRequestURI(head)
	if err != nil || s.opt.Ask == nil {
		s.answer(w, http.StatusBadRequest, reply{Refused: true, Error: "no address of a resource"})
		return
	}
	strip(r.Header)
	in := r.Clone(context.WithValue(r.Context(), askedKey{}, true))
	in.Method, in.URL, in.RequestURI = http.MethodGet, target, head
	w.Header()[headerAnswer] = []string{encode(&reply{Web: true})}
	s.opt.Ask.ServeHTTP(w, in)
}

type askedKey struct{}

// Asked reports whether a request is another node's, for what this one itself has to show: it was let in, and it is not to be asked of
// others again.
func Asked(ctx context.Context) bool {
	asked, _ := ctx.Value(askedKey{}).(bool)
	return asked
}
