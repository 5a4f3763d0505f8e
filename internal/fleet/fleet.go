// Package fleet makes one platform of the nodes of a cluster: it tells the others what this node has to do, hears the same of
// them, lets internal/placement choose who runs an invocation, and passes on what another node is to run, once at most.
//
// It does not run functions, nor decide which node is best; it knows neither the API above it nor how state is shared.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudjit/cloudjit/internal/cluster"
	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/node"
	"github.com/cloudjit/cloudjit/internal/peer"
	"github.com/cloudjit/cloudjit/internal/placement"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// Members know which nodes live; *cluster.Cluster does.
type Members interface {
	Self() cluster.Member
	Live() []string
	Members() []cluster.Member
	OnChange(f func())
	Publish(topic string, data []byte) error
	Subscribe(topic string, f func(from string, data []byte)) (stop func(), err error)
}

// Local is what runs functions on this node; *node.Node does.
type Local interface {
	Invoke(ctx context.Context, rev function.RevisionID, inv *worker.Invocation) (*node.Result, error)
	RoundTrip(rev function.RevisionID, r *http.Request) (*http.Response, error)
	Standing(rev function.RevisionID) (node.Standing, bool)
	Counts() engine.Counts
	Idle(most int) []function.RevisionID
}

// Options of Open; all but Log are needed, and of Node and Local one.
type Options struct {
	Members Members
	Node    *node.Node
	// Local is in the place of Node in tests.
	Local  Local
	Client *peer.Client
	// Address is host:port where this node answers others.
	Address string
	// Cores of this machine.
	Cores float64
	// Drivers are those that functions may choose on this node, now; nil: whatever they choose.
	Drivers func() []string
	Log     *slog.Logger
}

// Fleet is the platform of all nodes. Its methods may be called concurrently; those that it does not have itself are this node's.
type Fleet struct {
	*node.Node
	opt  Options
	here Local
	self string
	// began is when it was opened.
	began time.Time
	stop  []func()
	life  context.Context
	end   context.CancelFunc
	done  sync.WaitGroup

	view atomic.Pointer[view]

	mu     sync.Mutex
	others map[string]*other

	streamsMu sync.Mutex
	streams   placement.Streams

	totals Totals
}

// Totals count what was passed on since the start.
type Totals struct {
	// Forwarded invocations and requests; Refused are those of them that ran elsewhere after all, Lost those whose node went away.
	Forwarded, Refused, Lost atomic.Int64
}

// other is another node, as it told of itself last.
type other struct {
	standing
	name   string
	at     time.Time
	life   context.Context // ends when the node is gone
	gone   context.CancelCauseFunc
	asleep time.Time // it did not answer; not asked before
}

// view is what placement is given. It does not change.
type view struct {
	nodes  []placement.Node
	others []*other   // in the same order; nil: this node
	warm   [][]uint32 // of each the revisions that have idle workers
	self   int        // -1: this node takes nothing new
}

const (
	// gossipEvery is how often a node tells of itself, staleAfter how long what it told holds.
	gossipEvery = 200 * time.Millisecond
	staleAfter  = 2 * time.Second
	// sleep is how long a node is left alone that could not be reached.
	sleep = time.Second
	// patience is how long a driver is waited for that no node has which takes work now: longer than it takes until a node that
	// died counts as dead. driverEvery is how often it is looked for meanwhile.
	patience    = 5 * time.Second
	driverEvery = 50 * time.Millisecond
)

// Open begins to tell of this node, and to hear of others. Close ends that.
func Open(opt Options) (*Fleet, error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	f := &Fleet{Node: opt.Node, here: opt.Local, opt: opt, self: opt.Members.Self().Name, began: time.Now(), others: map[string]*other{}}
	if f.here == nil {
		f.here = opt.Node
	}
	f.look(time.Now())
	stop, err := opt.Members.Subscribe(topic, f.heard)
	if err != nil {
		return nil, fmt.Errorf("listen for what other nodes have to do: %w", err)
	}
	f.stop = append(f.stop, stop)
	opt.Members.OnChange(func() { f.look(time.Now()) })
	f.life, f.end = context.WithCancel(context.Background())
	f.done.Go(func() { f.gossip(f.life) })
	return f, nil
}

// Close ends it; the node goes on. Idempotent.
func (f *Fleet) Close() {
	if f == nil {
		return
	}
	f.end()
	f.done.Wait()
	f.mu.Lock()
	stop := f.stop
	f.stop = nil
	for name := range f.others {
		f.forget(name)
	}
	f.mu.Unlock()
	for _, s := range stop {
		s()
	}
	f.opt.Client.CloseIdle()
}

// Totals are counters since the start.
func (f *Fleet) Totals() *Totals { return &f.totals }

func (f *Fleet) gossip(ctx context.Context) {
	tick := time.NewTicker(gossipEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			f.tell()
			f.look(time.Now())
		case <-ctx.Done():
			return
		}
	}
}

// tell says what this node has to do. What is lost is said again.
func (f *Fleet) tell() {
	s := f.standing()
	_ = f.opt.Members.Publish(topic, s.encode())
}

// Load is what this node has to do, in thousandths of what it has.
func (f *Fleet) Load() int32 {
	counts := f.here.Counts()
	return counts.Node(f.opt.Cores).Load
}

// standing is how this node stands now.
func (f *Fleet) standing() standing {
	counts := f.here.Counts()
	n := counts.Node(f.opt.Cores)
	s := standing{Address: f.opt.Address, Load: n.Load, FreeMiB: n.FreeMiB, LargestMiB: n.LargestMiB}
	for _, id := range f.here.Idle(maxWarm) {
		s.warm = append(s.warm, warmKey(id))
	}
	slices.Sort(s.warm)
	s.warm = slices.Compact(s.warm)
	if f.opt.Drivers != nil {
		s.Drivers = f.opt.Drivers()
	}
	return s
}

// HasDriver reports whether another node that takes work has a driver. It waits, for five seconds at most, while a node lives that
// may have it and is not heard of now.
func (f *Fleet) HasDriver(ctx context.Context, name string) bool {
	return f.drivenBy(name) || f.awaitDriver(ctx, name, time.Now().Add(patience))
}

// drivenBy reports whether another node that takes work now has a driver.
func (f *Fleet) drivenBy(driver string) bool {
	return slices.ContainsFunc(f.view.Load().others, func(o *other) bool { return o != nil && f.drives(o, driver) })
}

// awaitDriver waits until another node that takes work has a driver, and reports whether one has. It gives up at a time, and where no
// node lives that may have it.
func (f *Fleet) awaitDriver(ctx context.Context, driver string, until time.Time) bool {
	tick := time.NewTicker(driverEvery)
	defer tick.Stop()
	for f.mayDrive(driver) && time.Now().Before(until) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		case <-f.life.Done():
			return false
		}
		if f.drivenBy(driver) {
			return true
		}
	}
	return false
}

// mayDrive reports whether another node lives and takes work that has a driver, or of which that is not known yet: a busy node
// is silent for a moment, and one that began says nothing at first.
func (f *Fleet) mayDrive(driver string) bool {
	live := f.opt.Members.Live()
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(live, func(name string) bool {
		o := f.others[name]
		return name != f.self && (o == nil || f.drives(o, driver))
	})
}

// drives reports whether a node, nil: this one, has the driver that a function chose.
func (f *Fleet) drives(o *other, driver string) bool {
	switch {
	case driver == "":
		return true
	case o == nil:
		return f.opt.Drivers == nil || slices.Contains(f.opt.Drivers(), driver)
	}
	return slices.Contains(o.Drivers, driver)
}

// heard takes what another node says of itself.
func (f *Fleet) heard(from string, data []byte) {
	s, err := parseStanding(data)
	if err != nil || from == f.self {
		return
	}
	f.mu.Lock()
	o := f.others[from]
	if o == nil || o.Address != s.Address { // it was started again
		if o != nil {
			f.forget(from)
		}
		o = &other{name: from}
		o.life, o.gone = context.WithCancelCause(context.Background())
		f.others[from] = o
	}
	next := *o
	next.standing, next.at = s, time.Now()
	f.others[from] = &next
	f.mu.Unlock()
	f.look(time.Now())
}

// forget ends what runs on a node. The caller holds f.mu.
func (f *Fleet) forget(name string) {
	f.others[name].gone(peer.ErrGone)
	delete(f.others, name)
}

// look makes the view anew: of the nodes that live, take work, and were heard of lately.
func (f *Fleet) look(now time.Time) {
	live := f.opt.Members.Live()
	f.mu.Lock()
	defer f.mu.Unlock()
	v := &view{self: -1}
	for name, o := range f.others {
		if now.Sub(o.at) > staleAfter && !f.alive(name) {
			f.forget(name)
		}
	}
	for _, name := range live {
		n := placement.Node{Key: placement.Key(name)}
		if name == f.self {
			v.self = len(v.nodes)
			v.nodes, v.others, v.warm = append(v.nodes, n), append(v.others, nil), append(v.warm, nil)
			continue
		}
		o := f.others[name]
		if o == nil || now.Sub(o.at) > staleAfter || now.Before(o.asleep) {
			continue
		}
		n.Load, n.FreeMiB, n.LargestMiB = o.Load, o.FreeMiB, o.LargestMiB
		v.nodes, v.others, v.warm = append(v.nodes, n), append(v.others, o), append(v.warm, o.warm)
	}
	f.view.Store(v)
}

// alive reports whether a node lives, drain or not.
func (f *Fleet) alive(name string) bool {
	return slices.ContainsFunc(f.opt.Members.Members(), func(m cluster.Member) bool { return m.Name == name && m.Live })
}

// unreachable leaves a node alone for a moment.
func (f *Fleet) unreachable(o *other) {
	f.mu.Lock()
	if now := f.others[o.name]; now != nil && now.Address == o.Address {
		next := *now
		next.asleep = time.Now().Add(sleep)
		f.others[o.name] = &next
	}
	f.mu.Unlock()
	f.look(time.Now())
}

// place chooses the node of an invocation; nil: this one. not are nodes that refused it, a nil among them this one. Where no
// node that takes work has the function's driver, it is this one, and lacks is the driver.
func (f *Fleet) place(id function.RevisionID, not []*other) (at *other, lacks string) {
	v := f.view.Load()
	here, ok := f.here.Standing(id)
	if !ok {
		return nil, "" // which says so
	}
	if (len(v.nodes) == 0 || len(v.nodes) == 1 && v.self == 0) && f.drives(nil, here.Driver) {
		return nil, ""
	}
	var room [32]placement.Node
	nodes := append(room[:0], v.nodes...)
	key, name := warmKey(id), placement.Key(string(here.Function))
	for i := range nodes {
		switch {
		case i == v.self:
			n := here.Node(f.opt.Cores)
			n.Key, n.Idle, n.Hot = nodes[i].Key, here.Idle, f.hot(name)
			nodes[i] = n
		default:
			_, nodes[i].Idle = slices.BinarySearch(v.warm[i], key)
		}
	}
	others := v.others
	self := v.self
	if len(not) > 0 || here.Driver != "" {
		others = slices.Clone(others)
		for i := len(nodes) - 1; i >= 0; i-- {
			o := others[i]
			refused := slices.ContainsFunc(not, func(x *other) bool { return x == o || x != nil && o != nil && x.name == o.name })
			if !refused && f.drives(o, here.Driver) {
				continue
			}
			nodes, others = slices.Delete(nodes, i, i+1), slices.Delete(others, i, i+1)
			switch {
			case i < self:
				self--
			case i == self:
				self = -1
			}
		}
	}
	if len(nodes) == 0 && !f.drives(nil, here.Driver) {
		return nil, here.Driver
	}
	best := -1
	if here.Limited { // its limit holds for the cluster, so all of it is in one place
		best = placement.Home(name, nodes)
	} else {
		best = placement.Place(name, here.MiB, self, nodes, placement.Default)
	}
	if best < 0 || best == self {
		return nil, ""
	}
	f.streamsMu.Lock()
	defer f.streamsMu.Unlock()
	f.streams.Passed(f.now(), name)
	return others[best], ""
}

// hot reports whether so much of a function was passed on lately that it is worth a worker here.
func (f *Fleet) hot(function uint64) bool {
	f.streamsMu.Lock()
	defer f.streamsMu.Unlock()
	return f.streams.Hot(f.now(), function)
}

// now is a time in ns that never goes backwards.
func (f *Fleet) now() int64 { return int64(time.Since(f.began)) }

// tries is how many nodes are asked at most.
const tries = 4

// away runs something on the node that is chosen for a revision, or on the next where that refuses; false: it is to run here. What
// run has begun without an error, it ends with release.
// not is as of place. Where the only nodes that have the function's driver are silent for a moment, or could not be reached, they are
// waited for.
func (f *Fleet) away(ctx context.Context, id function.RevisionID, not []*other, run func(ctx context.Context, o *other, release func()) error) (done bool, err error) {
	var until time.Time
	for range tries {
		o, lacks := f.place(id, not)
		if lacks != "" {
			if until.IsZero() {
				until = time.Now().Add(patience)
			}
			if !f.awaitDriver(ctx, lacks, until) {
				return false, nil
			}
			not = slices.DeleteFunc(not, func(o *other) bool { return o != nil })
			continue
		}
		if o == nil {
			return false, nil
		}
		rctx, cancel := context.WithCancelCause(ctx)
		stop := context.AfterFunc(o.life, func() { cancel(peer.ErrGone) })
		release := func() { stop(); cancel(nil) }
		f.totals.Forwarded.Add(1)
		err := run(rctx, o, release)
		if err == nil {
			return true, nil
		}
		release()
		var lost *node.LostError
		switch {
		case errors.Is(err, peer.ErrRefused):
			f.totals.Refused.Add(1)
			f.opt.Log.Debug("another node did not take an invocation", "node", o.name, "revision", id, "error", err)
			if peer.Unreachable(err) {
				f.unreachable(o)
			}
			not = append(not, o)
			continue
		case errors.As(err, &lost):
			f.totals.Lost.Add(1)
			f.opt.Log.Warn("a node went away with an invocation", "node", o.name, "revision", id, "error", err)
		}
		return true, err
	}
	return false, nil
}

// Invoke runs an invocation on the node that placement chooses. Errors are as of node.Node.Invoke, or a *node.LostError.
func (f *Fleet) Invoke(ctx context.Context, id function.RevisionID, inv *worker.Invocation) (*node.Result, error) {
	var res *node.Result
	away := func(not ...*other) (bool, error) {
		return f.away(ctx, id, not, func(ctx context.Context, o *other, release func()) (err error) {
			if res, err = f.opt.Client.Invoke(ctx, peer.Target{Name: o.name, Address: o.Address}, id, inv, node.WantsTail(ctx)); err == nil {
				release()
			}
			return err
		})
	}
	if done, err := away(); done {
		return res, err
	}
	res, err := f.here.Invoke(ctx, id, inv)
	if errors.Is(err, node.ErrDraining) && !errors.Is(err, node.ErrStopped) { // in this moment
		if done, err := away(nil); done {
			return res, err
		}
	}
	return res, err
}

// RoundTrip sends a request to a web function on the node that placement chooses. Errors are as of node.Node.RoundTrip, or a
// *node.LostError.
func (f *Fleet) RoundTrip(id function.RevisionID, r *http.Request) (*http.Response, error) {
	var res *http.Response
	away := func(not ...*other) (bool, error) {
		return f.away(r.Context(), id, not, func(ctx context.Context, o *other, release func()) (err error) {
			if !rewind(r) { // a node had begun to read it, and refused
				return node.ErrDraining
			}
			if res, err = f.opt.Client.RoundTrip(ctx, peer.Target{Name: o.name, Address: o.Address}, id, r); err == nil {
				res.Body = released(res.Body, release)
			}
			return err
		})
	}
	if done, err := away(); done {
		return res, err
	}
	if !rewind(r) {
		return nil, node.ErrDraining
	}
	res, err := f.here.RoundTrip(id, r)
	if errors.Is(err, node.ErrDraining) && !errors.Is(err, node.ErrStopped) {
		if done, err := away(nil); done {
			return res, err
		}
	}
	return res, err
}

// rewind makes a request's body new, where it can be had again; false where it cannot, and was read.
func rewind(r *http.Request) bool {
	if r.Body == nil || r.Body == http.NoBody {
		return true
	}
	if r.GetBody != nil {
		if b, err := r.GetBody(); err == nil {
			r.Body = b
			return true
		}
		return false
	}
	if u, ok := r.Body.(*unread); ok {
		return !u.used
	}
	r.Body = &unread{ReadCloser: r.Body}
	return true
}

// unread is a body that knows whether somebody began to read it.
type unread struct {
	io.ReadCloser
	used bool
}

func (u *unread) Read(p []byte) (int, error) {
	u.used = true
	return u.ReadCloser.Read(p)
}

// released is a body that gives back what its request holds when it is closed.
func released(b io.ReadCloser, release func()) io.ReadCloser {
	r := releasing{b, sync.OnceFunc(release)}
	if w, ok := b.(io.Writer); ok { // a connection that was upgraded
		return struct {
			releasing
			io.Writer
		}{r, w}
	}
	return r
}

type releasing struct {
	io.ReadCloser
	release func()
}

func (r releasing) Close() error {
	err := r.ReadCloser.Close()
	r.release()
	return err
}
