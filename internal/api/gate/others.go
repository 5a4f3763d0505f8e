package gate

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"github.com/cloudjit/cloudjit/internal/fleet"
	"github.com/cloudjit/cloudjit/internal/peer"
)

// Others are the other nodes of a cluster, as far as they have something to show; *fleet.Fleet.
type Others interface {
	// Ask gets a resource of each of them, within a bounded time.
	Ask(ctx context.Context, path string) []fleet.Answer
	// Follow reads a stream of each of them until ctx ends.
	Follow(ctx context.Context, path string, yield func(node string, stream io.Reader)) (silent []string)
}

// Alone reports whether a request is for what this node itself has: there are no others, or one of them asks.
func (s *Gate) Alone(r *http.Request) bool { return s.Opt.Others == nil || peer.Asked(r.Context()) }

// Node is this node's name; empty without a cluster.
func (s *Gate) Node() string { return s.Opt.Cluster.Self().Name }

// All are this node's elements of a list, and those that the other nodes have under the same name in their answers to the same
// request. silent are the nodes that did not answer in time.
func All[T any](s *Gate, r *http.Request, key string, mine []T) (all []T, silent []string) {
	if s.Alone(r) {
		return mine, nil
	}
	for _, a := range s.Opt.Others.Ask(r.Context(), r.URL.RequestURI()) {
		var doc map[string]json.RawMessage
		var theirs []T
		err := a.Err
		if err == nil {
			err = json.Unmarshal(a.Body, &doc)
		}
		if err == nil {
			err = json.Unmarshal(doc[key], &theirs)
		}
		if err != nil {
			s.Log.Debug("another node did not answer", "node", a.Node, "path", r.URL.Path, "error", err)
			silent = append(silent, a.Node)
			continue
		}
		mine = append(mine, theirs...)
	}
	return mine, silent
}

// Unanswered adds the nodes that did not answer to an answer.
func Unanswered(doc map[string]any, silent []string) map[string]any {
	if len(silent) > 0 {
		doc["unanswered"] = silent
	}
	return doc
}

// maxStreamed is the longest line of another node's stream of events, in bytes.
const maxStreamed = 1 << 20

// FollowOthers gives the documents of the other nodes' streams of server-sent events to yield, one at a time for each node.
func (s *Gate) FollowOthers(ctx context.Context, r *http.Request, path string, yield func(doc []byte) error) {
	if s.Alone(r) {
		return
	}
	s.Opt.Others.Follow(ctx, path, func(_ string, stream io.Reader) {
		lines := bufio.NewScanner(stream)
		lines.Buffer(nil, maxStreamed)
		for lines.Scan() {
			if doc, ok := strings.CutPrefix(lines.Text(), "data:"); ok && yield([]byte(strings.TrimSpace(doc))) != nil {
				return
			}
		}
	})
}
