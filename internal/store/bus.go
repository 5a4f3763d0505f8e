package store

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/cloudjit/cloudjit/internal/cluster"
)

// bus is what nodes tell each other past the stored state: messages that may be lost.
type bus struct {
	mu   sync.Mutex
	next int
	subs map[int]*subscription
}

type subscription struct {
	subject string
	f       func([]byte)
	sub     *nats.Subscription
}

func (b *subscription) open(x *session) (err error) {
	b.sub, err = x.conn.Subscribe(b.subject, func(m *nats.Msg) { b.f(m.Data) })
	return err
}

// Publish sends a message to all nodes that subscribed, this one included; it may be lost.
func (s *Store) Publish(subject string, data []byte) error {
	return s.now.Load().conn.Publish(subject, data)
}

// Subscribe calls f for each message, one after the other, until stop is called.
func (s *Store) Subscribe(subject string, f func(data []byte)) (stop func(), err error) {
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	b := &subscription{subject: subject, f: f}
	if err := b.open(s.now.Load()); err != nil {
		return nil, err
	}
	if s.bus.subs == nil {
		s.bus.subs = map[int]*subscription{}
	}
	id := s.bus.next
	s.bus.next++
	s.bus.subs[id] = b
	return func() {
		s.bus.mu.Lock()
		defer s.bus.mu.Unlock()
		delete(s.bus.subs, id)
		_ = b.sub.Unsubscribe()
	}, nil
}

// resubscribe begins all subscriptions again in another session.
func (s *Store) resubscribe(x *session) error {
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	for _, b := range s.bus.subs {
		if err := b.open(x); err != nil {
			return err
		}
	}
	return nil
}

// Replication is how the stored state stood a moment ago.
func (s *Store) Replication() cluster.Replication {
	if r := s.replication.Load(); r != nil {
		return *r
	}
	return cluster.Replication{Behind: true}
}

// replicationPeriod is how often it is asked how the stored state stands.
const replicationPeriod = 2 * time.Second

// watchReplication keeps Replication up to date until ctx ends.
func (s *Store) watchReplication(ctx context.Context) {
	for ctx.Err() == nil {
		x := s.now.Load()
		r := &cluster.Replication{At: time.Now().UTC(), Behind: x.behind(ctx)}
		asking, cancel := context.WithTimeout(ctx, replicationPeriod)
		if info, err := x.states.Info(asking); err == nil {
			if c := info.Cluster; c == nil { // one server of somebody else's
				r.Leader = "-"
				r.Replicas = []cluster.Replica{{Name: "-", Current: true}}
			} else {
				r.Leader = c.Leader
				r.Replicas = append(r.Replicas, cluster.Replica{Name: c.Leader, Current: true})
				for _, p := range c.Replicas {
					r.Replicas = append(r.Replicas, cluster.Replica{Name: p.Name, Current: p.Current, Offline: p.Offline, Lag: p.Lag})
				}
			}
		} else if old := s.replication.Load(); old != nil {
			r.Replicas = old.Replicas // whoever they are, they have no leader
		}
		cancel()
		if ctx.Err() == nil {
			s.replication.Store(r)
			sleep(ctx, replicationPeriod)
		}
	}
}

// behind reports whether this node's copies, of those streams that it has one of, are not yet what the others have. One that only applies
// what has just been written is not behind: it gets a moment for it.
func (x *session) behind(ctx context.Context) bool {
	if x.server == nil { // somebody else's have the copies
		return false
	}
	const account = server.DEFAULT_GLOBAL_ACCOUNT
	for range behindTries {
		if x.server.JetStreamIsCurrent() && !slices.ContainsFunc(streams(replicas), func(cfg jetstream.StreamConfig) bool {
			return x.server.JetStreamIsStreamAssigned(account, cfg.Name) && !x.server.JetStreamIsStreamCurrent(account, cfg.Name)
		}) {
			return false
		}
		sleep(ctx, behindPause)
	}
	return true
}

// behindTries and behindPause are the moment of behind.
const (
	behindTries = 5
	behindPause = 50 * time.Millisecond
)
