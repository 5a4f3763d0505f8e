package store

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Files that all nodes of a cluster must be able to get, whichever node dies, are objects: uploaded archives, by their SHA-256.

const (
	blobBucket = "blobs"
	// payloadBlob stands before the name of a payload that a single node kept in a file.
	payloadBlob = "payload-"
	// blobFresh is for how long an object is not written again that is put again, blobAge from which age on one that nothing
	// names is removed: who puts one names it soon.
	blobFresh = 10 * time.Minute
	blobAge   = time.Hour
	// blobTime bounds one transfer.
	blobTime = 2 * time.Minute
	// blobRate is what three copies are written with at least, bytes/s.
	blobRate = 4 << 20
)

// PutBlob keeps a file for all nodes under the SHA-256 (hex) of its content, and returns when a majority of the copies is
// on disk. Without a cluster it does nothing.
func (s *Store) PutBlob(ctx context.Context, sha, file string) error {
	if !s.clustered() {
		return nil
	}
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	// A try is short enough to be followed by another where its questions got lost with a node.
	long := min(oneTry+time.Duration(info.Size()/blobRate)*time.Second, blobTime)
	_, err = s.write(ctx, change{room: int(info.Size()), long: long}, func(ctx context.Context, x *session) (uint64, error) {
		return 0, x.putBlob(ctx, sha, file)
	})
	if err != nil {
		return fmt.Errorf("keep %s for all nodes: %w", sha, err)
	}
	return nil
}

func (x *session) putBlob(ctx context.Context, name, file string) error {
	info, err := x.blobs.GetInfo(ctx, name)
	if err == nil && time.Since(info.ModTime) < blobFresh && info.Digest == digestOf(name) {
		return nil
	}
	if err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	put, err := x.blobs.Put(ctx, jetstream.ObjectMeta{Name: name}, f)
	if err != nil {
		return err
	}
	if want := digestOf(name); want != "" && put.Digest != want {
		return errors.Join(fmt.Errorf("%s: %w", name, ErrDamaged), x.blobs.Delete(ctx, name))
	}
	return nil
}

// digestOf is how the object store writes a SHA-256; empty if the name is none.
func digestOf(sha string) string {
	b, err := hex.DecodeString(sha)
	if err != nil || len(b) != 32 {
		return ""
	}
	return "SHA-256=" + base64.URLEncoding.EncodeToString(b)
}

// Blob writes to w what PutBlob kept; ErrNotFound if it is not there. The caller compares it with its name. A node that dies
// meanwhile takes a question or some of the content with it: what does not go on for a moment is asked again, from where it stood.
func (s *Store) Blob(ctx context.Context, sha string, w io.Writer) error {
	if !s.clustered() {
		return fmt.Errorf("file %s: %w", sha, ErrNotFound)
	}
	ctx, cancel := context.WithTimeout(ctx, blobTime)
	defer cancel()
	to := &resumed{w: w}
	err := s.again(ctx, blobTime, func(ctx context.Context, x *session) error {
		ctx, stall := context.WithCancelCause(ctx)
		defer stall(nil)
		watch := time.AfterFunc(oneTry, func() { stall(context.DeadlineExceeded) })
		defer watch.Stop()
		to.begin(func() { watch.Reset(oneTry) })
		res, err := x.blobs.Get(ctx, sha)
		if err == nil {
			_, err = io.Copy(to, res)
			err = errors.Join(err, res.Close())
		}
		if err != nil && to.err == nil && context.Cause(ctx) == context.DeadlineExceeded {
			return context.DeadlineExceeded
		}
		return err
	})
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return fmt.Errorf("file %s: %w", sha, ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("read file %s: %w", sha, err)
	}
	return nil
}

// resumed writes a content of which the beginning may come again.
type resumed struct {
	w             io.Writer
	written, skip int64
	moved         func() // is told of each step
	err           error  // of w
}

// begin says that the content comes from its beginning.
func (r *resumed) begin(moved func()) { r.skip, r.moved = r.written, moved }

func (r *resumed) Write(p []byte) (int, error) {
	r.moved()
	known := min(int64(len(p)), r.skip)
	r.skip -= known
	n, err := r.w.Write(p[known:])
	r.written += int64(n)
	if err != nil {
		r.err = err
	}
	r.moved()
	return int(known) + n, err
}

// sweepBlobs removes objects that no revision names. One node does it.
func (s *Store) sweepBlobs(ctx context.Context) error {
	var all []*jetstream.ObjectInfo
	err := s.read(ctx, func(ctx context.Context, x *session) (err error) {
		all, err = x.blobs.List(ctx)
		return err
	})
	if errors.Is(err, jetstream.ErrNoObjectsFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list files: %w", err)
	}
	used := map[string]bool{}
	for _, r := range s.Revisions() {
		used[r.Spec.CodeSHA256] = true
	}
	for _, o := range all {
		if used[o.Name] || time.Since(o.ModTime) < blobAge || digestOf(o.Name) == "" {
			continue
		}
		_, err := s.write(ctx, change{note: true}, func(ctx context.Context, x *session) (uint64, error) {
			info, err := x.blobs.GetInfo(ctx, o.Name)
			if err != nil || time.Since(info.ModTime) < blobAge {
				return 0, err // somebody has put it again
			}
			return 0, x.blobs.Delete(ctx, o.Name)
		})
		if err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
			return fmt.Errorf("remove file %s: %w", o.Name, err)
		}
	}
	return nil
}
