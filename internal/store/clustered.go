package store

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Cluster makes the store one of several that hold the same state: each write is on a majority of three of them before it
// is acknowledged.
type Cluster struct {
	// Name of the cluster, the same on all nodes; Node is this one's, always the same.
	Name, Node string
	// Host and Port are where the embedded servers of other nodes reach this one's; Advertise, if not empty, is the host that
	// they are told. Join are the others' addresses, host:port.
	Host, Advertise string
	Port            int
	Join            []string
	// TLS, if set, is how nodes prove to each other who they are, on both ends of a route.
	TLS *tls.Config
	// NATS are URLs of servers that are used instead of embedded ones; Credentials is a file, or empty; with them TLS, if set, is
	// the client's.
	NATS        []string
	Credentials string
	// Changed is told which document has changed: its kind ("function", "revision", "pipeline", "setting", ...) and its key.
	// It must not block, and must not write.
	Changed func(kind, key string)
	// Code returns the file of an uploaded archive: what a converted folder brings into the cluster.
	Code func(sha256 string) (string, error)
}

func (c *Cluster) external() bool { return len(c.NATS) > 0 }

// nodes is how many nodes the cluster is of; 0: nobody knows.
func (c *Cluster) nodes() int {
	if c.external() {
		return 0
	}
	return len(c.Join) + 1
}

// Errors of a cluster that callers branch on.
var (
	// ErrNotConverted is returned by Open for a folder with the state of one node alone that was told to be one of several.
	ErrNotConverted = errors.New("the data folder has the state of one node alone")
	// ErrClustered is returned by Open for a folder of a node of a cluster that is opened as something else.
	ErrClustered = errors.New("the data folder belongs to a node of a cluster")
)

const (
	// clusterFolder is where the embedded server of a cluster's node keeps its files, beside stateFolder, which it never touches.
	clusterFolder = "cluster"
	identityFile  = "cluster.json"
	// replicas is how many copies there are of everything.
	replicas = 3
	// patient is how long a read or a write waits while there is no leader, a kill -9 of which takes up to ten seconds to get over.
	patient = 10 * time.Second
	// oneTry bounds one try of these.
	oneTry = 3 * time.Second
)

// identity says whose folder it is.
type identity struct {
	Cluster string `json:"cluster"`
	Node    string `json:"node"`
}

// clustered reports whether the state is shared with other nodes.
func (s *Store) clustered() bool { return s.opt.Cluster != nil }

// identify refuses a folder of another kind or node, and notes whose it is. Nothing in it has been touched before.
func (s *Store) identify() error {
	path := filepath.Join(s.dir, identityFile)
	b, err := os.ReadFile(path)
	var is identity
	if err == nil {
		err = json.Unmarshal(b, &is)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read whose folder it is: %w", err)
	}
	known := err == nil
	c := s.opt.Cluster
	switch {
	case c == nil && known:
		return fmt.Errorf("%w: node %s of %s; start it with --cluster %s", ErrClustered, is.Node, is.Cluster, is.Cluster)
	case c == nil && hasSeed(s.dir):
		return fmt.Errorf("%w: it was converted; start it with --cluster, or remove %s and rename the folder %s.single-... to %s to go back",
			ErrClustered, filepath.Join(s.dir, seedFolder), stateFolder, stateFolder)
	case c == nil:
		return nil
	case known && (is.Cluster != c.Name || is.Node != c.Node):
		return fmt.Errorf("%w: node %s of %s, and not %s of %s: a node keeps its name (--node %s)", ErrClustered, is.Node, is.Cluster, c.Node, c.Name, is.Node)
	case known:
		return nil
	case hasStreams(filepath.Join(s.dir, stateFolder)):
		return fmt.Errorf("%w, which no cluster would keep: stop the server and run \"cloudjit cluster convert --data %s\" first, or name a new folder", ErrNotConverted, s.dir)
	}
	doc, err := json.Marshal(identity{c.Name, c.Node})
	if err != nil {
		return err
	}
	return replaceFile(path, doc)
}

// hasStreams reports whether an embedded server has stored something in a folder.
func hasStreams(dir string) bool {
	found, _ := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "*"))
	return len(found) > 0
}

// password is a secret of this process: who has it may connect to its embedded server.
func password() (string, error) {
	b := make([]byte, 24)
	_, err := rand.Read(b)
	return hex.EncodeToString(b), err
}

// beginClustered starts the embedded server, if there is one, and connects. Nothing is opened yet.
func (s *Store) beginClustered(ctx context.Context) (*session, error) {
	c := s.opt.Cluster
	x := &session{}
	x.sound, x.fail = context.WithCancel(context.Background())
	opts := []nats.Option{
		nats.Name("cloudjit " + c.Node), nats.MaxReconnects(-1), nats.ReconnectWait(100 * time.Millisecond), nats.ReconnectBufSize(-1),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { s.log.Debug("NATS", "error", err) }),
	}
	where := ""
	if c.external() {
		where = strings.Join(c.NATS, ",")
		opts = append(opts, nats.RetryOnFailedConnect(true))
		if c.TLS != nil {
			opts = append(opts, nats.Secure(c.TLS))
		}
		if c.Credentials != "" {
			opts = append(opts, nats.UserCredentials(c.Credentials))
		}
	} else {
		secret, err := password()
		if err != nil {
			return x, err
		}
		if err := s.startClustered(x, secret); err != nil {
			return x, err
		}
		opts = append(opts, nats.InProcessServer(x.server), nats.UserInfo("cloudjit", secret))
	}
	var err error
	if x.conn, err = nats.Connect(where, opts...); err != nil {
		return x, fmt.Errorf("connect to NATS: %w", err)
	}
	x.js, err = jetstream.New(x.conn, jetstream.WithDefaultTimeout(oneTry))
	return x, err
}

func (s *Store) startClustered(x *session, secret string) error {
	c := s.opt.Cluster
	var routes []*url.URL
	for _, a := range c.Join {
		routes = append(routes, &url.URL{Scheme: "nats-route", Host: a})
	}
	advertise := ""
	if c.Advertise != "" {
		advertise = fmt.Sprintf("%s:%d", c.Advertise, c.Port)
	}
	err := s.serve(x, clusterFolder, server.Options{
		ServerName: c.Node,
		// A server that does not listen waits for its listener for ever when it is to be part of a cluster.
		Host: "127.0.0.1", Port: server.RANDOM_PORT, Username: "cloudjit", Password: secret,
		Cluster: server.ClusterOpts{
			Name: c.Name, Host: c.Host, Port: c.Port, Advertise: advertise, TLSConfig: c.TLS, TLSTimeout: 5, ConnectBackoff: false,
			PoolSize: 3, PingInterval: 2 * time.Second, MaxPingsOut: 3,
		},
		Routes:             routes,
		JetStreamMaxMemory: 64 << 20, // for consumers
	}, fmt.Sprintf("is %s:%d in use, or the folder damaged?", c.Host, c.Port))
	if err != nil && strings.Contains(err.Error(), cannotStart) {
		// Not done by itself: with one of the others away, too, what only this node had would be gone.
		folder := filepath.Join(s.dir, clusterFolder)
		return fmt.Errorf("%w: this node's copy of the state (%w). The other nodes have it: when both run and are current (\"cloudjit cluster status\" there), rename %s and start this node again; it fetches everything from them. Keep the old folder until it is current, too",
			ErrDamaged, err, folder)
	}
	return err
}

// cannotStart is what the embedded server says of files that it cannot begin with.
const cannotStart = "Can't start JetStream"

// streams are what there is in a cluster. Nothing is read directly from a copy: a read that decides something is the
// leader's.
func streams(copies int) []jetstream.StreamConfig {
	all := []jetstream.StreamConfig{
		{
			Name: "KV_state", Subjects: []string{"$KV.state.>"}, MaxMsgsPerSubject: 1, MaxMsgSize: MaxValue, AllowRollup: true, DenyDelete: true,
			Discard: jetstream.DiscardNew, AllowMsgTTL: true, SubjectDeleteMarkerTTL: tombstoneTTL,
		},
		{
			Name: "KV_docs", Subjects: []string{"$KV.docs.>"}, MaxMsgsPerSubject: 1, MaxMsgSize: MaxValue, AllowRollup: true, DenyDelete: true,
			Discard: jetstream.DiscardNew, AllowMsgTTL: true, SubjectDeleteMarkerTTL: tombstoneTTL, Compression: jetstream.S2Compression,
		},
		// Invocations end by being deleted. Every node reads all of them, which a work queue would not allow.
		{Name: queueStream, Subjects: []string{"async.>"}, MaxMsgSize: 2 << 20, Duplicates: 2 * time.Minute},
		{Name: deadStream, Subjects: []string{"dead.>"}, MaxMsgs: maxDead, MaxMsgSize: 2 << 20, Duplicates: 2 * time.Minute},
		{Name: "OBJ_" + blobBucket, Subjects: []string{"$O." + blobBucket + ".C.>", "$O." + blobBucket + ".M.>"}, AllowRollup: true, Discard: jetstream.DiscardNew},
	}
	for i := range all {
		all[i].Storage, all[i].Replicas = jetstream.FileStorage, copies
	}
	return all
}

// openClustered begins a session that shares its state with other nodes, and reads it into memory. It waits for the others as
// long as ctx allows.
func (s *Store) openClustered(ctx context.Context) (*session, error) {
	x, err := s.beginClustered(ctx)
	if err != nil {
		return x, err
	}
	if err := s.resubscribe(x); err != nil {
		return x, err
	}
	if err := s.form(ctx, x); err != nil {
		return x, err
	}
	all, err := x.readClustered(ctx, s)
	if err != nil {
		return x, err
	}
	return x, s.replaceTables(all)
}

// handles opens what form has made sure of.
func (x *session) handles(ctx context.Context) error {
	var err error
	if x.state, err = x.js.KeyValue(ctx, "state"); err != nil {
		return err
	}
	if x.docs, err = x.js.KeyValue(ctx, "docs"); err != nil {
		return err
	}
	if x.states, err = x.js.Stream(ctx, "KV_state"); err != nil {
		return err
	}
	if x.queue, err = x.js.Stream(ctx, queueStream); err != nil {
		return err
	}
	if x.dead, err = x.js.Stream(ctx, deadStream); err != nil {
		return err
	}
	x.blobs, err = x.js.ObjectStore(ctx, blobBucket)
	return err
}

// clusterSetting says that the cluster's state is whole, and has the nodes' shared secret.
const clusterSetting = "cluster"

type clusterMark struct {
	Cluster string    `json:"cluster"`
	Key     string    `json:"key"` // hex
	Seed    string    `json:"seed,omitempty"`
	At      time.Time `json:"at"`
}

// mark reads the mark; nil if there is none. The error is of an answer that did not come.
func (x *session) mark(ctx context.Context) (*clusterMark, error) {
	ctx, cancel := context.WithTimeout(ctx, oneTry)
	defer cancel()
	err := x.handles(ctx)
	if errors.Is(err, jetstream.ErrBucketNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	e, err := x.state.Get(ctx, "setting."+clusterSetting)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var set Setting
	m := &clusterMark{}
	if err := json.Unmarshal(e.Value(), &set); err != nil {
		return nil, fmt.Errorf("read the cluster's mark: %w", err)
	}
	if err := json.Unmarshal(set.Document, m); err != nil {
		return nil, fmt.Errorf("read the cluster's mark: %w", err)
	}
	return m, nil
}

// bootSubject is where nodes ask each other, before there is any state, whether one brings some.
const bootSubject = "cloudjit.boot"

// boot is what they answer.
type boot struct {
	Node string `json:"node"`
	Seed bool   `json:"seed"`
}

// form waits until the cluster has its state, and makes it where there is none: from a seed, if a node has one, else empty, once
// all nodes are there and none has one. A cluster that has lost its majority is not made anew.
func (s *Store) form(ctx context.Context, x *session) error {
	c := s.opt.Cluster
	seed, err := openSeed(s.dir)
	if err != nil {
		return err
	}
	sub, err := x.conn.Subscribe(bootSubject, func(m *nats.Msg) {
		if doc, err := json.Marshal(boot{c.Node, seed != nil}); err == nil {
			_ = m.Respond(doc)
		}
	})
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }()
	began, told := time.Now(), time.Now()
	for {
		m, err := x.mark(ctx)
		switch {
		case err == nil && m != nil && seed != nil && m.Seed != seed.ID:
			return fmt.Errorf("%s holds the converted state of a single node, but cluster %s has a state already, which it would replace: bring it in with a new cluster, or remove that folder", filepath.Join(s.dir, seedFolder), c.Name)
		case err == nil && m != nil:
			if seed != nil {
				if err := seed.applied(); err != nil {
					return err
				}
				s.log.Info("the converted state is in the cluster")
			}
			key, err := hex.DecodeString(m.Key)
			if err != nil {
				return fmt.Errorf("read the cluster's mark: %w", err)
			}
			s.key.Store(&key)
			return nil
		case err == nil:
			err = s.found(ctx, x, seed)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && time.Since(told) > 5*time.Second {
			told = time.Now()
			level := slog.LevelInfo
			if line := s.stranger.Swap(nil); line != nil {
				level = slog.LevelWarn
				err = fmt.Errorf("this node and another one do not trust each other's certificates: cluster.cert of each has to be of an authority in cluster.ca of all (%s)", *line)
			}
			s.log.Log(ctx, level, "waiting for the cluster", "cluster", c.Name, "node", c.Node, "join", strings.Join(c.Join, ","), "for", time.Since(began).Round(time.Second), "because", err)
		}
		sleep(ctx, 100*time.Millisecond)
	}
}

// found makes the state of a new cluster. An error says why not now.
func (s *Store) found(ctx context.Context, x *session, seed *seed) error {
	c := s.opt.Cluster
	if seed == nil && !c.external() {
		nodes, err := s.ask(ctx, x)
		if err != nil {
			return err
		}
		if len(nodes) < c.nodes() {
			return fmt.Errorf("%d of %d nodes are there, and all have to be before a new cluster begins", len(nodes), c.nodes())
		}
		first := c.Node
		for _, n := range nodes {
			if n.Seed {
				return fmt.Errorf("node %s brings the state of a single node", n.Node)
			}
			first = min(first, n.Node)
		}
		if first != c.Node {
			return fmt.Errorf("node %s begins", first)
		}
	}
	// With fewer servers there cannot be as many copies.
	for copies := replicas; ; copies -= 2 {
		err := s.make(ctx, x, seed, copies)
		var api *jetstream.APIError
		if copies > 1 && c.external() && errors.As(err, &api) && (api.ErrorCode == errCodeNotClustered || api.ErrorCode == errCodeNoPeers) {
			s.log.Warn("the NATS servers are fewer than three: there is one copy of everything", "error", err)
			continue
		}
		return err
	}
}

// Codes of the embedded server that its client has no names for (server/errors.json).
const (
	errCodeNoPeers      = 10005
	errCodeNotClustered = 10074
)

// ask collects what all nodes answer, this one's own answer included.
func (s *Store) ask(ctx context.Context, x *session) (map[string]boot, error) {
	inbox := x.conn.NewInbox()
	sub, err := x.conn.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := x.conn.PublishRequest(bootSubject, inbox, nil); err != nil {
		return nil, err
	}
	nodes := map[string]boot{}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for len(nodes) < s.opt.Cluster.nodes() {
		msg, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			break
		}
		var b boot
		if json.Unmarshal(msg.Data, &b) == nil && b.Node != "" {
			nodes[b.Node] = b
		}
	}
	return nodes, nil
}

// make makes all streams, restores what a seed has of them, and marks the state as whole.
func (s *Store) make(ctx context.Context, x *session, seed *seed, copies int) error {
	for _, cfg := range streams(copies) {
		if seed == nil || !seed.has(cfg.Name) {
			long, cancel := context.WithTimeout(ctx, patient)
			_, err := x.js.CreateStream(long, cfg)
			cancel()
			if err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
				return fmt.Errorf("make stream %s: %w", cfg.Name, err)
			}
			continue
		}
		// What an earlier try left is not whole: nobody has written to it, because there is no mark.
		if err := x.js.DeleteStream(ctx, cfg.Name); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("remove a stream that was not restored to its end: %w", err)
		}
		if err := seed.restore(ctx, x, cfg); err != nil {
			return fmt.Errorf("restore stream %s: %w", cfg.Name, err)
		}
	}
	if err := x.handles(ctx); err != nil {
		return err
	}
	m := clusterMark{Cluster: s.opt.Cluster.Name, At: time.Now().UTC()}
	var err error
	if m.Key, err = password(); err != nil {
		return err
	}
	if seed != nil {
		m.Seed = seed.ID
		if err := s.bringFiles(ctx, x); err != nil {
			return err
		}
	}
	doc, err := json.Marshal(m)
	if err == nil {
		doc, err = json.Marshal(&Setting{UpdatedAt: m.At, Document: doc})
	}
	if err != nil {
		return err
	}
	if seed != nil { // a backup of a cluster may have been converted, with the mark of that
		_, err = x.state.Put(ctx, "setting."+clusterSetting, doc)
	} else if _, err = x.state.Create(ctx, "setting."+clusterSetting, doc); errors.Is(err, jetstream.ErrKeyExists) {
		return nil
	}
	if err == nil {
		s.log.Info("a new cluster has begun", "cluster", m.Cluster, "copies", copies)
	}
	return err
}

// ClusterKey is a secret that all nodes of the cluster have, and nobody else; nil without one.
func (s *Store) ClusterKey() []byte {
	if k := s.key.Load(); k != nil {
		return *k
	}
	return nil
}

// readClustered reads the whole state, and goes on to follow its changes.
func (x *session) readClustered(ctx context.Context, s *Store) (map[string]found, error) {
	all := map[string]found{}
	loaded := make(chan error, 1)
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	x.watchStop, x.watchDone = make(chan struct{}), make(chan struct{})
	go func() {
		select {
		case <-x.watchStop:
		case <-life.Done():
		}
		end()
	}()
	go func() {
		defer close(x.watchDone)
		defer end()
		reading := true
		gone := time.Time{} // since when nothing was heard
		x.listen(life, s, x.states, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy}, listener{
			took: func(msg jetstream.Msg, seq uint64) {
				key, ok := strings.CutPrefix(msg.Subject(), "$KV.state.")
				if !ok {
					return
				}
				f := found{seq, msg.Data(), msg.Headers().Get("KV-Operation") != "" || msg.Headers().Get("Nats-Marker-Reason") != ""}
				if reading {
					all[key] = f
				} else {
					s.follow(key, f)
				}
			},
			current: func() {
				if !gone.IsZero() {
					s.log.Info("the changes of the state are heard of again", "after", time.Since(gone).Round(time.Millisecond))
				}
				gone = time.Time{}
				if reading {
					reading = false
					loaded <- nil
				}
			},
			broken: func(err error) {
				if gone.IsZero() {
					gone = time.Now()
					s.log.Warn("the changes of the state are not heard of for a moment", "error", err)
				}
				if reading {
					return
				}
				if time.Since(gone) > tombstoneTTL/2 { // what was deleted meanwhile may not be told any more
					s.suspect(errors.New("the changes of the state were not heard of for too long"))
				}
			},
		})
	}()
	select {
	case err := <-loaded:
		return all, err
	case <-ctx.Done():
		end()
		<-x.watchDone
		x.watchDone = nil
		return nil, ctx.Err()
	}
}

// listener takes what listen hears.
type listener struct {
	took func(msg jetstream.Msg, seq uint64)
	// current: all that there was has been told. It is called once for each consumer.
	current func()
	broken  func(err error)
}

// listen tells of all messages of a stream, each once and in order, until ctx ends: where its consumer is lost with its server
// it goes on with another from where it was.
func (x *session) listen(ctx context.Context, s *Store, stream jetstream.Stream, cfg jetstream.OrderedConsumerConfig, l listener) {
	last := uint64(0)
	for ctx.Err() == nil {
		err := x.hear(ctx, stream, cfg, l, &last)
		if ctx.Err() != nil {
			return
		}
		l.broken(err)
		sleep(ctx, 200*time.Millisecond)
	}
}

// hear is listen with one consumer.
func (x *session) hear(ctx context.Context, stream jetstream.Stream, cfg jetstream.OrderedConsumerConfig, l listener, last *uint64) error {
	if *last > 0 {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, *last+1
	}
	cfg.MaxResetAttempts = 1 // we make another one ourselves
	cfg.InactiveThreshold = time.Minute
	begin, cancel := context.WithTimeout(ctx, oneTry)
	defer cancel()
	consumer, err := stream.OrderedConsumer(begin, cfg)
	if err != nil {
		return err
	}
	info := consumer.CachedInfo()
	told := info.NumPending == 0
	if told {
		l.current()
	}
	messages, err := consumer.Messages(jetstream.PullExpiry(5*time.Second), jetstream.PullHeartbeat(time.Second))
	if err != nil {
		return err
	}
	defer messages.Stop()
	defer context.AfterFunc(ctx, messages.Stop)()
	for {
		msg, err := messages.Next()
		if err != nil {
			return err
		}
		meta, err := msg.Metadata()
		if err != nil {
			continue
		}
		l.took(msg, meta.Sequence.Stream)
		*last = meta.Sequence.Stream
		if !told && meta.NumPending == 0 {
			told = true
			l.current()
		}
	}
}

// each tells of all that a stream has now, in order.
func (x *session) each(ctx context.Context, s *Store, stream jetstream.Stream, cfg jetstream.OrderedConsumerConfig, f func(msg jetstream.Msg, seq uint64) error) error {
	life, end := context.WithCancelCause(ctx)
	defer end(nil)
	whole := errors.New("that is all")
	x.listen(life, s, stream, cfg, listener{
		took: func(msg jetstream.Msg, seq uint64) {
			if err := f(msg, seq); err != nil {
				end(err)
			}
		},
		current: func() { end(whole) },
		broken:  func(err error) { end(err) },
	})
	if err := context.Cause(life); !errors.Is(err, whole) {
		return err
	}
	return nil
}

// recordsOf writes what the cluster has, in order of its sequences, so that what something refers to comes with it.
func (s *Store) recordsOf(ctx context.Context, p *Snapshot, dir string, put func(name string, seq uint64, value []byte) error) error {
	x := s.now.Load()
	docs, err := x.js.Stream(ctx, "KV_docs")
	if err != nil {
		return err
	}
	last := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy}
	for _, part := range []struct {
		class, prefix string
		stream        jetstream.Stream
	}{{stateKey, "$KV.state.", x.states}, {docsKey, "$KV.docs.", docs}} {
		err := x.each(ctx, s, part.stream, last, func(msg jetstream.Msg, seq uint64) error {
			key, ok := strings.CutPrefix(msg.Subject(), part.prefix)
			if !ok || msg.Headers().Get("KV-Operation") != "" || msg.Headers().Get("Nats-Marker-Reason") != "" ||
				part.class == stateKey && (strings.HasPrefix(key, "attempt.") || key == "setting."+clusterSetting || key == "setting."+inventorySetting) {
				return nil
			}
			return put(part.class+"/"+key, seq, msg.Data())
		})
		if err != nil {
			return err
		}
	}
	for _, class := range []string{queueKey, deadKey} {
		err := x.each(ctx, s, x.stream(class), jetstream.OrderedConsumerConfig{}, func(msg jetstream.Msg, seq uint64) error {
			value := append(append([]byte(msg.Headers().Get(headerOf(class))), 0), msg.Data()...)
			if ref := spooledIn(value); ref != nil {
				b, err := s.payload(ref)
				if err != nil {
					return err
				}
				to := filepath.Join(dir, "payload-"+filepath.Base(ref.File))
				if err := os.WriteFile(to, b, 0o600); err != nil {
					return err
				}
				p.Payloads[ref.File] = to
			}
			if class == queueKey {
				p.Events++
			} else {
				p.Letters++
			}
			return put(class+"/"+fmt.Sprint(seq), seq, value)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
