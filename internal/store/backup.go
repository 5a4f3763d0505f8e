package store

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/cloudjit/cloudjit/internal/function"
)

// Snapshot is everything that a store has at one moment, in a folder.
type Snapshot struct {
	// Records is the file of all documents and messages, in the inventory's frames, each with its value.
	Records string
	// Payloads are files by their names.
	Payloads map[string]string
	// Code names the archives of all revisions, by SHA-256.
	Code []string
	// Functions, Events and Letters count what is in it.
	Functions, Events, Letters int
}

// Snapshot writes what the store has now into an empty folder on the same file system. Writes wait meanwhile: for as
// long as it takes to copy what is not a large payload. It fails where something cannot be read.
func (s *Store) Snapshot(ctx context.Context, dir string) (*Snapshot, error) {
	if err := s.disk.Admit(s.inventory.bytes()); err != nil {
		return nil, err
	}
	s.gate.Lock()
	defer s.gate.Unlock()
	if err := s.unavailable(); err != nil {
		return nil, err
	}
	p := &Snapshot{Records: filepath.Join(dir, "records"), Payloads: map[string]string{}, Functions: len(s.functions.keys())}
	f, err := os.OpenFile(p.Records, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("take a snapshot: %w", err)
	}
	defer f.Close()
	out := bufio.NewWriterSize(f, 1<<20)
	if s.clustered() { // of one moment of each stream; other nodes go on to write
		err := s.recordsOf(ctx, p, dir, func(name string, seq uint64, value []byte) error {
			_, err := out.Write(frame(opList, name, seq, sha256.Sum256(value), value))
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("take a snapshot: %w", err)
		}
	}
	for _, class := range []string{stateKey, docsKey, queueKey, deadKey} {
		for key, l := range s.inventory.all(class) {
			value, err := s.valueOf(ctx, class, key, l)
			if err != nil {
				return nil, fmt.Errorf("take a snapshot: read %s: %w", what(class, key, nil), err)
			}
			switch class {
			case queueKey:
				p.Events++
			case deadKey:
				p.Letters++
			}
			if ref := spooledIn(value); ref != nil && (class == queueKey || class == deadKey) {
				to := filepath.Join(dir, "payload-"+ref.File)
				if err := os.Link(s.payloadFile(ref.File), to); err != nil {
					return nil, fmt.Errorf("take a snapshot: %w", err)
				}
				p.Payloads[ref.File] = to
			}
			if _, err := out.Write(frame(opList, class+"/"+key, l.seq, l.sum, value)); err != nil {
				return nil, fmt.Errorf("take a snapshot: %w", err)
			}
		}
	}
	if err := out.Flush(); err != nil {
		return nil, fmt.Errorf("take a snapshot: %w", err)
	}
	code := map[string]bool{}
	for _, r := range s.Revisions() {
		if sha := r.Spec.CodeSHA256; !code[sha] {
			code[sha] = true
			p.Code = append(p.Code, sha)
		}
	}
	return p, nil
}

// valueOf is what a listed thing holds.
func (s *Store) valueOf(ctx context.Context, class, key string, l listed) ([]byte, error) {
	if value, ok := s.inventory.value(class + "/" + key); ok {
		return value, nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	x := s.now.Load()
	kv := x.state
	switch class {
	case queueKey, deadKey:
		return x.message(ctx, class, l.seq)
	case docsKey:
		kv = x.docs
	}
	e, err := kv.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	return e.Value(), nil
}

// spooledIn is the payload's file of a message, if it has one.
func spooledIn(value []byte) *payloadRef {
	var h struct {
		Spooled *payloadRef `json:"payload"`
		Of      Async       `json:"async"`
	}
	head, _, _ := bytes.Cut(value, []byte{0})
	if json.Unmarshal(head, &h) != nil {
		return nil
	}
	if h.Spooled != nil {
		return h.Spooled
	}
	return h.Of.Spooled
}

// maxRecords bounds one record that Fill reads.
const maxRecords = MaxValue + 2*maxKept

// Fill makes a new store in dir of a Snapshot's records; payload opens a payload by its name. Nothing in them
// is trusted: a record that is not whole, or of another class, is an error, and so is a payload that is not what its record says.
func Fill(ctx context.Context, dir string, records io.Reader, payload func(name string) ([]byte, error)) error {
	s, err := Open(ctx, Options{Dir: dir, Reserve: -1})
	if err != nil {
		return err
	}
	return errors.Join(s.fill(ctx, records, payload), s.Close())
}

func (s *Store) fill(ctx context.Context, records io.Reader, payload func(name string) ([]byte, error)) error {
	a := &audit{s: s, state: map[string]found{}, docs: map[string]found{}, messages: map[string][]message{}}
	in := bufio.NewReaderSize(records, 1<<20)
	for {
		name, seq, value, err := readRecord(in)
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("read records: %w", err)
		}
		class, key, _ := strings.Cut(name, "/")
		switch class {
		case stateKey:
			if t, k, ok := s.tableOf(key); key == "setting."+inventorySetting {
				continue // this store has its own
			} else if !ok || t.apply(k, found{seq: 1, value: value}) != nil {
				return fmt.Errorf("read records: %q is no document of this version", key)
			}
			a.state[key] = found{value: value}
		case docsKey:
			a.docs[key] = found{value: value}
		case queueKey, deadKey:
			if ref := spooledIn(value); ref != nil {
				if err := s.copyPayload(ref, payload); err != nil {
					return fmt.Errorf("%s: %w", what(class, key, value), err)
				}
			}
			a.messages[class] = append(a.messages[class], message{seq, value})
		default:
			return fmt.Errorf("read records: %q is of no known class", name)
		}
	}
	a.sort()
	if err := a.fill(ctx, s.now.Load()); err != nil {
		return fmt.Errorf("write records: %w", err)
	}
	return s.inventory.list(a.changes...)
}

func (s *Store) copyPayload(ref *payloadRef, payload func(string) ([]byte, error)) error {
	if ref.File != filepath.Base(ref.File) || strings.HasPrefix(ref.File, ".") {
		return fmt.Errorf("payload %q: %w: no name of a file", ref.File, ErrDamaged)
	}
	b, err := payload(ref.File)
	if err != nil {
		return err
	}
	if err := s.writePayload(ref.File, b); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	_, err = s.payload(ref)
	return err
}

// readRecord reads one frame with its value; io.EOF at the end.
func readRecord(in *bufio.Reader) (name string, seq uint64, value []byte, err error) {
	head, err := in.Peek(frameHead)
	if len(head) == 0 && err == io.EOF {
		return "", 0, nil, io.EOF
	}
	if err != nil {
		return "", 0, nil, io.ErrUnexpectedEOF
	}
	n := binary.LittleEndian.Uint32(head[4:])
	if n > maxRecords {
		return "", 0, nil, fmt.Errorf("%w: a record of %d bytes", ErrTooLarge, n)
	}
	b := make([]byte, frameHead+int(n))
	if _, err := io.ReadFull(in, b); err != nil {
		return "", 0, nil, io.ErrUnexpectedEOF
	}
	body, ok := frameAt(b)
	if !ok || body[0] != opList {
		return "", 0, nil, fmt.Errorf("a record is %w", ErrDamaged)
	}
	k := int(binary.LittleEndian.Uint16(body[9:]))
	return string(body[11 : 11+k]), binary.LittleEndian.Uint64(body[1:]), bytes.Clone(body[11+k+32:]), nil
}

// InUse fails, with ErrInUse, where a server has a data folder open.
func InUse(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, "lock")); err != nil {
		return nil
	}
	unlock, err := lock(dir)
	if err != nil {
		return err
	}
	return unlock()
}

// CodeOf names the functions whose code is an archive.
func (s *Store) CodeOf(sha string) (names []function.Name) {
	for _, f := range s.Functions() {
		for _, id := range f.revisions() {
			if r, ok := s.Revision(id); ok && r.Spec.CodeSHA256 == sha {
				names = append(names, f.Name)
				break
			}
		}
	}
	return names
}
