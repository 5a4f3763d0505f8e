package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// applier takes changes from the watch.
type applier interface {
	// apply takes one change, unless a later one is known.
	apply(key string, f found) error
	// replace takes all that there is.
	replace(rows map[string]found) error
}

// table is one kind of document in the state bucket: written through to JetStream with the
// sequence compared, read from memory.
type table[T any] struct {
	kv     bucket
	prefix string
	// note says that its changes tell how something ended.
	note bool
	// onChange, if set, sees every change in order, under the table's lock; old or new is nil
	// when there was none or it is deleted.
	onChange func(old, new *T)

	mu   sync.Mutex // orders writers of rows
	rows sync.Map   // key -> *row[T]
}

// row is what is known of a key; doc is nil for a key that this process deleted and whose
// deletion the watch has not shown yet.
type row[T any] struct {
	seq uint64
	doc *T
}

// maxConflicts is how often an update starts again because another writer was first.
const maxConflicts = 64

// conflictWait is the first wait of overtaken, maxConflictWait the longest.
const (
	conflictWait    = 5 * time.Millisecond
	maxConflictWait = 500 * time.Millisecond
)

func newTable[T any](kv bucket, prefix string, note bool) *table[T] {
	return &table[T]{kv: kv, prefix: prefix, note: note}
}

func (t *table[T]) get(key string) (*T, bool) {
	if r := t.row(key); r != nil && r.doc != nil {
		return r.doc, true
	}
	return nil, false
}

func (t *table[T]) row(key string) *row[T] {
	if r, ok := t.rows.Load(key); ok {
		return r.(*row[T])
	}
	return nil
}

// keys returns the keys in order.
func (t *table[T]) keys() []string {
	var keys []string
	t.rows.Range(func(k, v any) bool {
		if v.(*row[T]).doc != nil {
			keys = append(keys, k.(string))
		}
		return true
	})
	sort.Strings(keys)
	return keys
}

func (t *table[T]) apply(key string, f found) error {
	doc, err := t.decode(key, f)
	if err != nil {
		return err
	}
	t.set(key, f.seq, doc)
	return nil
}

func (t *table[T]) decode(key string, f found) (*T, error) {
	if f.deleted {
		return nil, nil
	}
	doc := new(T)
	if err := json.Unmarshal(f.value, doc); err != nil {
		return nil, fmt.Errorf("read %s %s: %w", t.prefix, key, err)
	}
	return doc, nil
}

func (t *table[T]) replace(rows map[string]found) error {
	docs := make(map[string]*row[T], len(rows))
	for key, f := range rows {
		doc, err := t.decode(key, f)
		if err != nil {
			return err
		}
		docs[key] = &row[T]{f.seq, doc}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows.Range(func(k, v any) bool {
		if docs[k.(string)] == nil {
			t.rows.Delete(k)
			if old := v.(*row[T]).doc; old != nil && t.onChange != nil {
				t.onChange(old, nil)
			}
		}
		return true
	})
	for key, r := range docs {
		var old *T
		if r := t.row(key); r != nil {
			old = r.doc
		}
		t.rows.Store(key, r)
		if t.onChange != nil {
			t.onChange(old, r.doc)
		}
	}
	return nil
}

func (t *table[T]) set(key string, seq uint64, doc *T) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var old *T
	if r := t.row(key); r != nil {
		if r.seq >= seq {
			return
		}
		old = r.doc
	}
	if doc == nil {
		t.rows.Delete(key)
	} else {
		t.rows.Store(key, &row[T]{seq, doc})
	}
	if t.onChange != nil && (old != nil || doc != nil) {
		t.onChange(old, doc)
	}
}

// create writes a new key; ErrExists if there is one.
func (t *table[T]) create(ctx context.Context, key string, doc *T) error {
	if _, ok := t.get(key); ok {
		return fmt.Errorf("%s %s: %w", t.prefix, key, ErrExists)
	}
	value, err := t.encode(key, doc)
	if err != nil {
		return err
	}
	seq, err := t.kv.create(ctx, t.prefix+"."+key, value)
	if errors.Is(err, jetstream.ErrKeyExists) {
		return fmt.Errorf("%s %s: %w", t.prefix, key, ErrExists)
	}
	if err != nil {
		return fmt.Errorf("write %s %s: %w", t.prefix, key, err)
	}
	return t.apply(key, found{seq: seq, value: value})
}

// put writes a key, whatever was there.
func (t *table[T]) put(ctx context.Context, key string, doc *T) error {
	value, err := t.encode(key, doc)
	if err != nil {
		return err
	}
	seq, err := t.kv.put(ctx, t.prefix+"."+key, value, t.note)
	if err != nil {
		return fmt.Errorf("write %s %s: %w", t.prefix, key, err)
	}
	return t.apply(key, found{seq: seq, value: value})
}

// update reads, changes a copy and writes, again if another writer was first. change may be
// called several times; an error of it ends the update and is returned as it is.
func (t *table[T]) update(ctx context.Context, key string, change func(*T) error) (*T, error) {
	ctx, cancel := t.kv.bounded(ctx)
	defer cancel()
	for i := range maxConflicts {
		r, err := t.present(ctx, key)
		if err != nil {
			return nil, err
		}
		doc, err := clone(r.doc)
		if err != nil {
			return nil, fmt.Errorf("copy %s %s: %w", t.prefix, key, err)
		}
		if err := change(doc); err != nil {
			return nil, err
		}
		value, err := t.encode(key, doc)
		if err != nil {
			return nil, err
		}
		seq, err := t.kv.update(ctx, t.prefix+"."+key, value, r.seq, t.note)
		if isConflict(err) {
			if err := t.overtaken(ctx, key, r.seq, i); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("write %s %s: %w", t.prefix, key, err)
		}
		return doc, t.apply(key, found{seq: seq, value: value})
	}
	return nil, fmt.Errorf("write %s %s: %d other writers were first", t.prefix, key, maxConflicts)
}

// present is the row of a key, which another node may have written a moment ago; ErrNotFound if there is none.
func (t *table[T]) present(ctx context.Context, key string) (*row[T], error) {
	r := t.row(key)
	if r == nil && t.kv.s != nil && t.kv.s.clustered() {
		if err := t.refresh(ctx, key); err != nil {
			return nil, err
		}
		r = t.row(key)
	}
	if r == nil || r.doc == nil {
		return nil, fmt.Errorf("%s %s: %w", t.prefix, key, ErrNotFound)
	}
	return r, nil
}

// refresh reads a key from the bucket, for a writer that met a sequence it has not seen.
func (t *table[T]) refresh(ctx context.Context, key string) error {
	e, err := t.kv.get(ctx, t.prefix+"."+key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return fmt.Errorf("%s %s: %w", t.prefix, key, ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("read %s %s: %w", t.prefix, key, err)
	}
	return t.apply(key, found{seq: e.Revision(), value: e.Value()})
}

// overtaken reads what another writer has made of a key that was at seq, after the tries before. Where nothing is newer, a change
// is under way that no majority has confirmed yet, maybe one of this writer's that was not answered: that is waited for, longer each
// time. ErrUnavailable when the time is over.
func (t *table[T]) overtaken(ctx context.Context, key string, seq uint64, tries int) error {
	err := t.refresh(ctx, key)
	if r := t.row(key); err == nil && (r == nil || r.seq > seq) {
		return nil
	}
	if err == nil {
		select {
		case <-time.After(min(conflictWait<<min(tries, 10), maxConflictWait)):
			return nil
		case <-ctx.Done():
		}
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: no majority of the nodes confirms a change of %s %s: %w", ErrUnavailable, t.prefix, key, ctx.Err())
	}
	return err
}

// remove deletes a key; ErrNotFound if there is none.
func (t *table[T]) remove(ctx context.Context, key string) error {
	ctx, cancel := t.kv.bounded(ctx)
	defer cancel()
	for i := range maxConflicts {
		r, err := t.present(ctx, key)
		if err != nil {
			return err
		}
		err = t.kv.purge(ctx, t.prefix+"."+key, r.seq)
		if isConflict(err) {
			if err := t.overtaken(ctx, key, r.seq, i); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("delete %s %s: %w", t.prefix, key, err)
		}
		t.forget(key, r)
		return nil
	}
	return fmt.Errorf("delete %s %s: %d other writers were first", t.prefix, key, maxConflicts)
}

// forget marks a key as deleted until the watch shows the deletion, which has a later sequence.
func (t *table[T]) forget(key string, r *row[T]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.row(key) != r {
		return // the watch was faster
	}
	t.rows.Store(key, &row[T]{seq: r.seq})
	if t.onChange != nil {
		t.onChange(r.doc, nil)
	}
}

func (t *table[T]) encode(key string, doc *T) ([]byte, error) {
	value, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("encode %s %s: %w", t.prefix, key, err)
	}
	if len(value) > MaxValue {
		return nil, fmt.Errorf("write %s %s: %d bytes: %w", t.prefix, key, len(value), ErrTooLarge)
	}
	return value, nil
}

func isConflict(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

func clone[T any](doc *T) (*T, error) {
	b, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	out := new(T)
	return out, json.Unmarshal(b, out)
}
