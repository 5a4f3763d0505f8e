package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/oklog/ulid/v2"

	"github.com/cloudjit/cloudjit/internal/health"
)

// A seed is the state of a single node on its way into a cluster: a snapshot of each of its streams, in a folder beside them.
// Convert makes it; the node that has it restores it into a cluster that has no state yet, and then forgets it. Naming a single
// node's own files in a cluster would not do: its embedded server takes them for orphans and deletes them.

const (
	seedFolder = "seed"
	seedFile   = "seed.json"
)

type seed struct {
	ID        string                `json:"id"`
	CreatedAt time.Time             `json:"createdAt"`
	Streams   map[string]seedStream `json:"streams"`

	dir string
}

type seedStream struct {
	State server.StreamState `json:"state"`
	Bytes int64              `json:"bytes"`
}

func hasSeed(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, seedFolder))
	return err == nil
}

// openSeed opens the seed of a data folder; nil if there is none.
func openSeed(dir string) (*seed, error) {
	sd := &seed{dir: filepath.Join(dir, seedFolder)}
	b, err := os.ReadFile(filepath.Join(sd.dir, seedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(b, sd)
	}
	if err != nil {
		return nil, fmt.Errorf("open what was converted: %w", err)
	}
	for name, st := range sd.Streams {
		if info, err := os.Stat(sd.file(name)); err != nil || info.Size() != st.Bytes {
			return nil, fmt.Errorf("open what was converted: the snapshot of stream %s is %w", name, ErrDamaged)
		}
	}
	return sd, nil
}

func (sd *seed) file(stream string) string { return filepath.Join(sd.dir, stream+".snapshot") }

func (sd *seed) has(stream string) bool { _, ok := sd.Streams[stream]; return ok }

// applied removes the seed: the cluster has it.
func (sd *seed) applied() error {
	if err := os.RemoveAll(sd.dir); err != nil {
		return fmt.Errorf("remove what was brought into the cluster: %w", err)
	}
	return syncFolder(filepath.Dir(sd.dir))
}

// Converted says what Convert found.
type Converted struct {
	Functions int `json:"functions"`
	Events    int `json:"events"`
	Letters   int `json:"deadLetters"`
	// Kept is where the single node's own files are now.
	Kept string `json:"kept"`
	// Before: it had been converted before, and nothing was done now.
	Before bool `json:"before,omitempty"`
}

// Convert turns the data folder of a single node, which no server uses, into one that brings its state into a new cluster. All
// sequences stay, and the old files are kept under another name. Killed at any moment, it can be called again.
func Convert(ctx context.Context, dir string, log *slog.Logger) (*Converted, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	state := filepath.Join(dir, stateFolder)
	if _, err := os.Stat(filepath.Join(dir, identityFile)); err == nil {
		return nil, fmt.Errorf("convert: %w already", ErrClustered)
	}
	if !hasStreams(state) {
		if hasSeed(dir) {
			return &Converted{Before: true}, nil
		}
		return nil, fmt.Errorf("convert: %s has no state: name the data folder of a single node (--data)", dir)
	}
	done := &Converted{}
	if !hasSeed(dir) {
		if err := makeSeed(ctx, dir, log, done); err != nil {
			return nil, fmt.Errorf("convert: %w", err)
		}
	}
	unlock, err := lock(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unlock() }()
	done.Kept = state + ".single-" + time.Now().UTC().Format("20060102T150405")
	if err := os.Rename(filepath.Join(dir, inventoryFile), done.Kept+".inventory"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("convert: %w", err)
	}
	if err := os.Rename(state, done.Kept); err != nil {
		return nil, fmt.Errorf("convert: %w", err)
	}
	return done, syncFolder(dir)
}

// makeSeed opens the folder as a single node does, which finds and repairs damage, and takes a snapshot of each stream.
func makeSeed(ctx context.Context, dir string, log *slog.Logger, done *Converted) (err error) {
	if err := os.RemoveAll(filepath.Join(dir, seedFolder+".new")); err != nil {
		return err
	}
	s, err := Open(ctx, Options{Dir: dir, Logger: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if s.Doubtful() {
		return errors.New("something was lost that nobody has acknowledged: start the server, look at \"cloudjit health\", and acknowledge it first")
	}
	sd := &seed{ID: ulid.Make().String(), CreatedAt: time.Now().UTC(), Streams: map[string]seedStream{}, dir: filepath.Join(dir, seedFolder+".new")}
	if err := os.Mkdir(sd.dir, 0o700); err != nil {
		return err
	}
	x := s.now.Load()
	for _, name := range []string{"KV_state", "KV_docs", queueStream, deadStream} {
		st, err := snapshot(ctx, x, name, sd.file(name))
		if err != nil {
			return fmt.Errorf("take a snapshot of stream %s: %w", name, err)
		}
		sd.Streams[name] = st
	}
	done.Functions, done.Events, done.Letters = len(s.Functions()), s.inventory.count(queueKey), s.inventory.count(deadKey)
	if got := int(sd.Streams[queueStream].State.Msgs); got != done.Events {
		return fmt.Errorf("the snapshot of the queue has %d events, and not %d", got, done.Events)
	}
	b, err := json.MarshalIndent(sd, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(sd.dir, seedFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(b); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := syncFolder(sd.dir); err != nil {
		return err
	}
	if err := os.Rename(sd.dir, filepath.Join(dir, seedFolder)); err != nil {
		return err
	}
	return syncFolder(dir)
}

// snapshot writes one stream, as it is now, into a file.
func snapshot(ctx context.Context, x *session, name, file string) (seedStream, error) {
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return seedStream{}, err
	}
	defer out.Close()
	inbox := x.conn.NewInbox()
	sub, err := x.conn.SubscribeSync(inbox)
	if err != nil {
		return seedStream{}, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	req, err := json.Marshal(server.JSApiStreamSnapshotRequest{DeliverSubject: inbox, NoConsumers: true, CheckMsgs: true})
	if err != nil {
		return seedStream{}, err
	}
	asking, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	msg, err := x.conn.RequestWithContext(asking, "$JS.API.STREAM.SNAPSHOT."+name, req)
	if err != nil {
		return seedStream{}, err
	}
	var res server.JSApiStreamSnapshotResponse
	if err := json.Unmarshal(msg.Data, &res); err != nil {
		return seedStream{}, err
	}
	if res.Error != nil {
		return seedStream{}, res.Error
	}
	st := seedStream{}
	if res.State != nil {
		st.State = *res.State
	}
	for {
		next, cancel := context.WithTimeout(ctx, time.Minute)
		chunk, err := sub.NextMsgWithContext(next)
		cancel()
		if err != nil {
			return st, err
		}
		if len(chunk.Data) == 0 { // the end
			if status := chunk.Header.Get("Status"); status != "" && status != "204" {
				return st, fmt.Errorf("%s %s", status, chunk.Header.Get("Description"))
			}
			return st, out.Sync()
		}
		n, err := out.Write(chunk.Data)
		if st.Bytes += int64(n); err != nil {
			return st, err
		}
		if chunk.Reply != "" {
			if err := chunk.Respond(nil); err != nil {
				return st, err
			}
		}
	}
}

// restore makes a stream of its snapshot, and waits until all its copies have it.
func (sd *seed) restore(ctx context.Context, x *session, cfg jetstream.StreamConfig) error {
	in, err := os.Open(sd.file(cfg.Name))
	if err != nil {
		return err
	}
	defer in.Close()
	var req struct {
		Config jetstream.StreamConfig `json:"config"`
		State  server.StreamState     `json:"state"`
	}
	req.Config, req.State = cfg, sd.Streams[cfg.Name].State
	doc, err := json.Marshal(&req)
	if err != nil {
		return err
	}
	ask := func(subject string, data []byte, res any) error {
		asking, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		msg, err := x.conn.RequestWithContext(asking, subject, data)
		if err != nil {
			return err
		}
		failed := server.ApiResponse{}
		if len(msg.Data) > 0 {
			if err := json.Unmarshal(msg.Data, &failed); err != nil {
				return err
			}
		}
		if failed.Error != nil {
			return failed.Error
		}
		if res == nil || len(msg.Data) == 0 {
			return nil
		}
		return json.Unmarshal(msg.Data, res)
	}
	var res server.JSApiStreamRestoreResponse
	if err := ask("$JS.API.STREAM.RESTORE."+cfg.Name, doc, &res); err != nil {
		return err
	}
	chunk := make([]byte, 128<<10)
	for {
		n, err := io.ReadFull(in, chunk)
		if n > 0 {
			if err := ask(res.DeliverSubject, chunk[:n], nil); err != nil {
				return err
			}
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if err := ask(res.DeliverSubject, nil, nil); err != nil {
		return err
	}
	return x.copied(ctx, cfg, req.State)
}

// copied waits until all copies of a stream have what it is to have.
func (x *session) copied(ctx context.Context, cfg jetstream.StreamConfig, want server.StreamState) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		asking, end := context.WithTimeout(ctx, oneTry)
		stream, why := x.js.Stream(asking, cfg.Name)
		end()
		if why == nil {
			info := stream.CachedInfo()
			behind := 0
			if info.Cluster != nil {
				behind = cfg.Replicas - 1 - len(info.Cluster.Replicas)
				for _, p := range info.Cluster.Replicas {
					if !p.Current {
						behind++
					}
				}
			}
			switch {
			case info.State.Msgs != want.Msgs || info.State.LastSeq != want.LastSeq:
				why = fmt.Errorf("it has %d messages up to %d, and not %d up to %d", info.State.Msgs, info.State.LastSeq, want.Msgs, want.LastSeq)
			case behind > 0:
				why = fmt.Errorf("%d of %d copies are not whole", behind, cfg.Replicas)
			default:
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return errors.Join(why, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// bringFiles brings what the single node had in files of its own into the cluster: large payloads, and code.
func (s *Store) bringFiles(ctx context.Context, x *session) error {
	files, err := os.ReadDir(filepath.Join(s.dir, payloadFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, f := range files {
		if strings.HasPrefix(f.Name(), ".") {
			continue
		}
		if err := x.putBlob(ctx, payloadBlob+f.Name(), s.payloadFile(f.Name())); err != nil {
			return fmt.Errorf("bring a payload into the cluster: %w", err)
		}
	}
	lister, err := x.state.ListKeys(ctx)
	if err != nil {
		return err
	}
	var keys []string
	for key := range lister.Keys() {
		if strings.HasPrefix(key, "revision.") {
			keys = append(keys, key)
		}
	}
	brought := map[string]bool{}
	for _, key := range keys {
		e, err := x.state.Get(ctx, key)
		if err != nil {
			return err
		}
		var r Revision
		if err := json.Unmarshal(e.Value(), &r); err != nil || brought[r.Spec.CodeSHA256] || s.opt.Cluster.Code == nil {
			continue
		}
		sha := r.Spec.CodeSHA256
		brought[sha] = true
		path, err := s.opt.Cluster.Code(sha)
		if err != nil { // it was lost before; the function's next update heals it
			s.Report(health.Problem{Component: "code", Message: "The uploaded archive was not there when the state was brought into the cluster.", Lost: []string{string(r.Spec.Function) + ": " + err.Error()}})
			continue
		}
		if err := x.putBlob(ctx, sha, path); err != nil {
			return fmt.Errorf("bring the code of function %s into the cluster: %w", r.Spec.Function, err)
		}
	}
	return nil
}

// isTransient reports whether an error of a cluster goes away by itself: there is no leader, or an answer did not come.
func isTransient(err error) bool {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return api.Code >= 500 && api.ErrorCode != errCodeFull
	}
	for _, known := range []error{
		nats.ErrNoResponders, nats.ErrTimeout, jetstream.ErrNoStreamResponse, context.DeadlineExceeded, nats.ErrConnectionClosed,
		nats.ErrDisconnected, nats.ErrConnectionReconnecting, nats.ErrReconnectBufExceeded, jetstream.ErrNoHeartbeat, nats.ErrStaleConnection,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// errCodeFull is storage that is used up.
const errCodeFull = 10047

// equal reports whether what is stored under a key is a value, which a write whose answer was lost may have left.
func (b bucket) equal(ctx context.Context, key string, value []byte) (uint64, bool) {
	e, err := b.get(ctx, key)
	if err != nil || !bytes.Equal(e.Value(), value) {
		return 0, false
	}
	return e.Revision(), true
}
