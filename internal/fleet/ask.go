package fleet

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cloudjit/cloudjit/internal/peer"
)

// Answer is what one other node has to show, or why it did not.
type Answer struct {
	Node string
	Body []byte
	Err  error
}

const (
	// askTime is how long all others together may take to show something, answerLimit the most bytes of one.
	askTime     = 2 * time.Second
	answerLimit = 16 << 20
)

// errSilent is of a node that lives and was not heard of otherwise.
var errSilent = errors.New("it did not say where it can be asked")

// targets are the other nodes that live, those that drain included, by name; silent are those that cannot be asked.
func (f *Fleet) targets() (asked []*other, silent []string) {
	members := f.opt.Members.Members()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range members {
		switch o := f.others[m.Name]; {
		case m.Name == f.self || !m.Live:
		case o == nil:
			silent = append(silent, m.Name)
		default:
			asked = append(asked, o)
		}
	}
	return asked, silent
}

// Ask gets a resource of each other node, of what it itself has, within two seconds; in the order of their names.
func (f *Fleet) Ask(ctx context.Context, path string) []Answer {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	asked, silent := f.targets()
	answers := make([]Answer, len(asked), len(asked)+len(silent))
	var all sync.WaitGroup
	for i, o := range asked {
		all.Go(func() {
			a := &answers[i]
			a.Node = o.name
			body, err := f.opt.Client.Ask(ctx, peer.Target{Name: o.name, Address: o.Address}, path)
			if err != nil {
				a.Err = err
				return
			}
			defer body.Close()
			a.Body, a.Err = io.ReadAll(io.LimitReader(body, answerLimit))
		})
	}
	all.Wait()
	for _, name := range silent {
		answers = append(answers, Answer{Node: name, Err: errSilent})
	}
	slices.SortFunc(answers, func(a, b Answer) int { return strings.Compare(a.Node, b.Node) })
	return answers
}

// Sources are the other nodes that live, those that drain included, the one called first before all others.
func (f *Fleet) Sources(first string) []peer.Target {
	asked, _ := f.targets()
	out := make([]peer.Target, 0, len(asked))
	for _, o := range asked {
		t := peer.Target{Name: o.name, Address: o.Address}
		if o.name == first {
			out = slices.Insert(out, 0, t)
			continue
		}
		out = append(out, t)
	}
	return out
}

// File opens a file of another node: see peer.Client.
func (f *Fleet) File(ctx context.Context, from peer.Target, kind, name string) (io.ReadCloser, error) {
	return f.opt.Client.File(ctx, from, kind, name)
}

// Follow reads a stream of each other node that lives now, until ctx ends: yield is called with what comes, of several nodes at
// once. It returns the names of those that cannot be followed.
func (f *Fleet) Follow(ctx context.Context, path string, yield func(node string, stream io.Reader)) (silent []string) {
	asked, silent := f.targets()
	for _, o := range asked {
		f.done.Go(func() {
			fctx, cancel := context.WithCancel(ctx)
			defer cancel()
			defer context.AfterFunc(o.life, cancel)()
			defer context.AfterFunc(f.life, cancel)()
			body, err := f.opt.Client.Ask(fctx, peer.Target{Name: o.name, Address: o.Address}, path)
			if err != nil {
				f.opt.Log.Debug("another node's stream", "node", o.name, "error", err)
				return
			}
			defer body.Close()
			yield(o.name, body)
		})
	}
	return silent
}
