// Package peer carries what the nodes of a cluster ask of each other: an invocation that runs on another node, a request to
// a web function, a file, what a node has to show. Each is one request over HTTP/1.1; connections are kept.
//
// A node passes on nothing that it got from another one. Who asks has the cluster's key, and where the cluster has
// certificates both ends prove who they are with them; all the same nothing that comes is trusted: documents are bounded and
// checked, and what a file is to be is up to who fetches it. It does not decide which node runs what, nor know which
// nodes there are.
package peer

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/node"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// Paths, all POST. What is asked for stands in a header; the body is the event's, or the request's.
const (
	invokePath = "/peer/v1/invoke"
	webPath    = "/peer/v1/web"
	filePath   = "/peer/v1/file"
	askPath    = "/peer/v1/ask"
)

// Headers between nodes. Their names are removed from what a client sends and a function answers.
const (
	headerKey = "X-Cloudjit-Peer-Key"
	headerAsk = "X-Cloudjit-Peer-Ask"
	// headerAnswer is a reply, as JSON. An answer without it is not from a node.
	headerAnswer = "X-Cloudjit-Peer-Answer"
)

// maxHead is the most bytes of a document in a header, and of all headers of a request together but for those of a web function.
const maxHead = 32 << 10

// ErrRefused is returned for what another node certainly did not begin with: it can run elsewhere.
var ErrRefused = errors.New("the other node did not take it")

// ErrGone is the cause of a context that ends because the node that was asked is gone.
var ErrGone = errors.New("the other nodes do not hear of it any more")

// token proves that a request is from a node of the cluster. It is derived from the key, so that one is not learnt from the other.
func token(key []byte) string {
	m := hmac.New(sha256.New, key)
	m.Write([]byte("cloudjit peer v1"))
	return hex.EncodeToString(m.Sum(nil))
}

// sameToken compares in constant time.
func sameToken(got, want string) bool {
	return subtle.ConstantTimeCompare([]byte(got), []byte(want)) == 1
}

// call is an invocation but for its event.
type call struct {
	Revision      function.RevisionID `json:"revision"`
	RequestID     string              `json:"request,omitempty"`
	FunctionARN   string              `json:"arn,omitempty"`
	TraceID       string              `json:"trace,omitempty"`
	ClientContext string              `json:"context,omitempty"`
	Identity      string              `json:"identity,omitempty"`
	// Left is how much time (ns) it has from now on; 0: that of the function. Clocks of nodes differ.
	Left int64 `json:"left,omitempty"`
	Tail bool  `json:"tail,omitempty"`
	// Stream: the answer is wanted as it comes.
	Stream bool `json:"stream,omitempty"`
	// Method and URL are those of a request to a web function.
	Method string `json:"method,omitempty"`
	URL    string `json:"url,omitempty"`
}

// reply is how an invocation ended, but for its payload. Of a stream it comes last.
type reply struct {
	// Refused: nothing was begun. Error says why, or what of the platform went wrong; Reason is that of a limit.
	Refused bool          `json:"refused,omitempty"`
	Error   string        `json:"error,omitempty"`
	Kind    string        `json:"kind,omitempty"`
	Reason  engine.Reason `json:"reason,omitempty"`

	Outcome     function.Outcome `json:"outcome,omitempty"`
	ErrorType   string           `json:"errorType,omitempty"`
	ContentType string           `json:"contentType,omitempty"`
	Exit        *worker.Exit     `json:"exit,omitempty"`
	StartError  string           `json:"startError,omitempty"`
	Log         []byte           `json:"log,omitempty"`
	Rung        function.Rung    `json:"rung,omitempty"`
	Cold        bool             `json:"cold,omitempty"`
	Duration    time.Duration    `json:"ns,omitempty"`
	Init        time.Duration    `json:"initNs,omitempty"`
	// Payload of a streamed answer that ended in an error, or of a web function's failure; else it is the body.
	Payload []byte `json:"payload,omitempty"`
	// Streaming: the body is frames. Web: the answer is the function's own.
	Streaming bool `json:"streaming,omitempty"`
	Web       bool `json:"web,omitempty"`
	// Length is the Content-Length that is told of the answer to a HEAD.
	Length string `json:"length,omitempty"`
}

// Kinds of errors that callers tell apart.
const (
	kindNotFound = "not-found"
	kindDraining = "draining"
	kindStopped  = "stopped"
	kindLimit    = "limit"
	kindGivenUp  = "given-up"
	kindKeep     = "keep"
)

// replyOf says how an invocation ended.
func replyOf(res *node.Result) reply {
	exit := res.Exit
	if exit != nil && len(exit.Stderr) > maxStderr {
		e := *exit
		e.Stderr = e.Stderr[len(e.Stderr)-maxStderr:]
		exit = &e
	}
	return reply{
		Outcome: res.Outcome, ErrorType: res.ErrorType, ContentType: res.ContentType, Exit: exit, StartError: res.StartError, Log: res.Log,
		Rung: res.Rung, Cold: res.Cold, Duration: res.Duration, Init: res.Init,
	}
}

// maxStderr is how much of a worker's last words travels.
const maxStderr = 4 << 10

// result is the other way round; the payload is set by the caller.
func (r *reply) result() *node.Result {
	return &node.Result{
		Outcome: r.Outcome, ErrorType: r.ErrorType, ContentType: r.ContentType, Exit: r.Exit, StartError: r.StartError, Log: r.Log,
		Rung: r.Rung, Cold: r.Cold, Duration: r.Duration, Init: r.Init, Payload: r.Payload,
	}
}

// failure turns an error of the platform into a reply.
func failure(err error) reply {
	r := reply{Error: err.Error()}
	var limit *node.RejectError
	switch {
	case errors.As(err, &limit):
		r.Kind, r.Reason = kindLimit, limit.Reason
		r.Refused = limit.Reason == engine.ReasonNodeThrottled || limit.Reason == engine.ReasonTooLarge // of this node alone
	case errors.Is(err, node.ErrNotFound):
		r.Kind, r.Refused = kindNotFound, true
	case errors.Is(err, node.ErrStopped):
		r.Kind = kindStopped
	case errors.Is(err, node.ErrDraining):
		r.Kind, r.Refused = kindDraining, true
	case errors.Is(err, worker.ErrNotKept):
		r.Kind = kindKeep
	}
	if len(r.Error) > maxStderr {
		r.Error = r.Error[:maxStderr]
	}
	return r
}

// err is the error that a reply stands for; nil: it is a result. who is the node that sent it.
func (r *reply) err(who string) error {
	switch {
	case r.Error == "" && !r.Refused:
		return nil
	case r.Kind == kindLimit && r.Refused:
		return fmt.Errorf("node %s: %w: %w", who, ErrRefused, &node.RejectError{Reason: r.Reason})
	case r.Kind == kindLimit:
		return &node.RejectError{Reason: r.Reason}
	case r.Refused:
		return fmt.Errorf("node %s: %w: %s", who, ErrRefused, r.Error)
	case r.Kind == kindStopped:
		return &node.LostError{Node: who, Err: errors.New(r.Error)}
	case r.Kind == kindKeep:
		return fmt.Errorf("node %s: %w", who, worker.ErrNotKept)
	}
	return fmt.Errorf("node %s: %s", who, r.Error)
}

// parseCall reads what another node asks for.
func parseCall(head string) (*call, error) {
	if len(head) > maxHead {
		return nil, fmt.Errorf("a document of %d bytes: want %d at most", len(head), maxHead)
	}
	var c call
	if err := json.Unmarshal([]byte(head), &c); err != nil {
		return nil, err
	}
	switch {
	case c.Revision == "":
		return nil, errors.New("no revision")
	case c.Left < 0:
		return nil, errors.New("a time that is over")
	}
	for _, s := range []string{c.RequestID, c.FunctionARN, c.TraceID, c.ClientContext, c.Identity} {
		if !plain(s) {
			return nil, errors.New("control characters in a header")
		}
	}
	return &c, nil
}

// plain reports whether a text can stand in a header, where the runtime gets it.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// parseReply reads how it ended.
func parseReply(head string) (*reply, error) {
	if head == "" {
		return nil, errors.New("no answer of a node")
	}
	var r reply
	if err := json.Unmarshal([]byte(head), &r); err != nil {
		return nil, fmt.Errorf("answer of a node: %w", err)
	}
	if r.Outcome > function.OutcomeCancelled {
		return nil, fmt.Errorf("answer of a node: outcome %d", r.Outcome)
	}
	return &r, nil
}

// strip removes what only nodes may say from the headers of others.
func strip(h http.Header) {
	h.Del(headerKey)
	h.Del(headerAsk)
	h.Del(headerAnswer)
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", v, err)) // made of plain fields
	}
	return string(b)
}
