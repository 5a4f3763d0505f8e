package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/oklog/ulid/v2"
)

// Payloads over maxInline bytes lie in files of their own, so that neither a start nor a message that is
// looked at reads them.
const maxInline = 16 << 10

const payloadFolder = "payloads"

// ErrDamaged is returned for what was stored and is not what was stored any more.
var ErrDamaged = errors.New("damaged")

// payloadRef says where a payload is that is not beside its header.
type payloadRef struct {
	File   string `json:"file"`
	Size   int    `json:"size"`
	SHA256 string `json:"sha256"`
}

func (s *Store) payloadFile(name string) string { return filepath.Join(s.dir, payloadFolder, name) }

// spool writes a payload to a file, durably, if it is a large one; nil if it is not.
func (s *Store) spool(payload []byte) (*payloadRef, error) {
	if len(payload) <= maxInline || s.clustered() { // every node must be able to read it
		return nil, nil
	}
	if err := s.disk.Admit(int64(len(payload))); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(payload)
	ref := &payloadRef{File: ulid.Make().String(), Size: len(payload), SHA256: hex.EncodeToString(sum[:])}
	err := s.writePayload(ref.File, payload)
	if err != nil {
		s.removePayload(ref)
		return nil, fmt.Errorf("write payload: %w", err)
	}
	return ref, nil
}

func (s *Store) writePayload(name string, payload []byte) error {
	f, err := os.OpenFile(s.payloadFile(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(payload); err != nil {
		return err
	}
	if s.opt.NoSync {
		return nil
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(f.Name()))
}

// payload reads what spool wrote; ErrDamaged if it is not that.
func (s *Store) payload(ref *payloadRef) ([]byte, error) {
	if ref.File != filepath.Base(ref.File) {
		return nil, fmt.Errorf("payload %q: %w: no name of a file", ref.File, ErrDamaged)
	}
	b, err := os.ReadFile(s.payloadFile(ref.File))
	if errors.Is(err, fs.ErrNotExist) && s.clustered() { // from when there was one node
		var kept bytes.Buffer
		if err = s.Blob(context.Background(), payloadBlob+ref.File, &kept); errors.Is(err, ErrNotFound) {
			err = fs.ErrNotExist
		}
		b = kept.Bytes()
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("payload %s: %w: the file is gone", ref.File, ErrDamaged)
	}
	if err != nil {
		return nil, fmt.Errorf("read payload: %w", err)
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != ref.SHA256 {
		return nil, fmt.Errorf("payload %s: %w: its checksum is another", ref.File, ErrDamaged)
	}
	return b, nil
}

// removePayload removes a payload's file; nil has none.
func (s *Store) removePayload(ref *payloadRef) {
	if ref == nil || ref.File != filepath.Base(ref.File) {
		return
	}
	if err := os.Remove(s.payloadFile(ref.File)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("remove the payload of an invocation that ended", "file", ref.File, "error", err)
	}
	if s.clustered() {
		_, err := s.write(context.Background(), change{note: true}, func(ctx context.Context, x *session) (uint64, error) {
			return 0, x.blobs.Delete(ctx, payloadBlob+ref.File)
		})
		if err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
			s.log.Warn("remove the payload of an invocation that ended", "file", ref.File, "error", err)
		}
	}
}

// sweepPayloads removes the files that no invocation and no dead letter names.
func (s *Store) sweepPayloads() error {
	used := map[string]bool{}
	for _, class := range []string{queueKey, deadKey} {
		for key := range s.inventory.all(class) {
			value, ok := s.inventory.value(class + "/" + key)
			var h struct {
				Spooled *payloadRef `json:"payload"`
				Of      Async       `json:"async"`
			}
			head, _, _ := bytes.Cut(value, []byte{0})
			if !ok || json.Unmarshal(head, &h) != nil {
				return nil // it may have a payload
			}
			for _, ref := range []*payloadRef{h.Spooled, h.Of.Spooled} {
				if ref != nil {
					used[ref.File] = true
				}
			}
		}
	}
	files, err := os.ReadDir(filepath.Join(s.dir, payloadFolder))
	if err != nil {
		return fmt.Errorf("remove payloads: %w", err)
	}
	for _, f := range files {
		if !used[f.Name()] && !strings.HasPrefix(f.Name(), ".") {
			s.removePayload(&payloadRef{File: f.Name()})
		}
	}
	return nil
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
