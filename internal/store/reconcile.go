package store

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/cloudjit/cloudjit/internal/health"
)

// audit compares what a session has with what the inventory lists. Where something is missing or is not what
// was written, the embedded server's files are damaged: it goes silent when it is to write beside
// such damage. So everything is written anew, from what can be read and from the inventory.
type audit struct {
	s *Store
	x *session // nil: it could not be opened
	// whole says that the inventory can be trusted: what it does not list is not meant to be there.
	whole bool
	found survey
	// deep has every message read.
	deep, damaged bool

	// state, docs and messages are what is to be there in the end.
	state    map[string]found
	docs     map[string]found
	messages map[string][]message // by class, the oldest first

	// lost and repaired are for people.
	lost, repaired []string
	gone           []string // documents
	adopted        int
	changes        []entry // of the inventory
	purge          []string
	drop           map[string][]uint64
}

// message is one of the queue or of the dead letters: its header document, a zero, its data.
type message struct {
	seq   uint64
	value []byte
}

func (s *Store) newAudit(x *session) *audit {
	return &audit{s: s, x: x, whole: !s.survey.absent && s.survey.damaged == "", found: s.survey, deep: s.deep.Swap(false),
		state: map[string]found{}, docs: map[string]found{}, messages: map[string][]message{}, drop: map[string][]uint64{}}
}

// what names a listed thing for people.
func what(class, key string, value []byte) string {
	switch class {
	case queueKey, deadKey:
		kind := map[string]string{queueKey: "invocation", deadKey: "dead letter"}[class]
		var h struct {
			Async
			Of Async `json:"async"`
		}
		head, _, _ := bytes.Cut(value, []byte{0})
		if json.Unmarshal(head, &h) == nil {
			if class == deadKey {
				h.Async = h.Of
			}
			if h.RequestID != "" {
				return fmt.Sprintf("%s %s of function %s", kind, h.RequestID, h.Function)
			}
		}
		return kind + " number " + key
	case docsKey:
		return "document " + key
	}
	prefix, rest, _ := strings.Cut(key, ".")
	return prefix + " " + rest
}

// compare reads the session and finds out what differs.
func (a *audit) compare(ctx context.Context) error {
	all := map[string]found{}
	if a.x == nil {
		a.damaged = true
	} else {
		var err error
		if all, err = a.x.read(ctx, a.s.follow); err != nil {
			if ctx.Err() != nil || len(a.s.inventory.all(stateKey)) == 0 {
				return err
			}
			a.damaged = true
		}
	}
	a.compareState(all)
	for _, class := range []string{queueKey, deadKey} {
		if err := a.compareMessages(ctx, class); err != nil {
			return err
		}
	}
	return a.compareDocs(ctx)
}

func (a *audit) compareState(all map[string]found) {
	list := a.s.inventory.all(stateKey)
	for key, l := range list {
		f, ok := all[key]
		switch {
		case ok && !f.deleted && sha256.Sum256(f.value) == l.sum:
			a.state[key] = f
			if f.seq != l.seq {
				a.changes = append(a.changes, entry{stateKey + "/" + key, f.seq, f.value})
			}
			continue
		case ok && !f.deleted && f.seq > l.seq && json.Valid(f.value):
			a.state[key] = f
			a.changes = append(a.changes, entry{stateKey + "/" + key, f.seq, f.value}) // written, and then the server died
			continue
		}
		a.damaged = true
		value, ok := a.s.inventory.value(stateKey + "/" + key)
		name := what(stateKey, key, value)
		if !ok {
			a.lost = append(a.lost, name)
			continue
		}
		a.state[key] = found{value: value}
		a.repaired = append(a.repaired, name)
	}
	newest := a.s.inventory.newestOf(stateKey)
	for key, f := range all {
		prefix, _, _ := strings.Cut(key, ".")
		if _, ok := list[key]; ok || f.deleted {
			continue
		}
		if _, ours := a.s.tables[prefix]; !ours || prefix == "attempt" {
			a.state[key] = f // written by a newer version: leave it alone
			continue
		}
		if a.whole && f.seq <= newest {
			// It was struck off, or nobody was told that it was written; damage may have brought back an old one.
			a.purge = append(a.purge, key)
			continue
		}
		if !json.Valid(f.value) {
			a.damaged = true
			a.lost = append(a.lost, what(stateKey, key, nil))
			continue
		}
		a.adopted++
		a.state[key] = f
		a.changes = append(a.changes, entry{stateKey + "/" + key, f.seq, f.value})
	}
}

// present is the set of sequences that a stream has, as far as it knows without reading them.
type present struct {
	first, last, count uint64
	deleted            map[uint64]bool
}

func (p *present) has(seq uint64) bool { return seq >= p.first && seq <= p.last && !p.deleted[seq] }

// maxDeleted is how many gaps of a stream are asked for at once: the answer is one message.
const maxDeleted = 300_000

func presentIn(ctx context.Context, stream jetstream.Stream) (*present, error) {
	info, err := stream.Info(ctx)
	if err != nil {
		return nil, err
	}
	p := &present{first: info.State.FirstSeq, last: info.State.LastSeq, count: info.State.Msgs, deleted: map[uint64]bool{}}
	if n := info.State.NumDeleted; n > 0 && n <= maxDeleted {
		if info, err = stream.Info(ctx, jetstream.WithDeletedDetails(true)); err != nil {
			return nil, err
		}
		for _, seq := range info.State.Deleted {
			p.deleted[seq] = true
		}
	}
	return p, nil
}

// patience bounds the reading of one message or document.
const patience = 2 * time.Second

// compareMessages compares the queue or the dead letters. Where nothing points to damage, no message is read.
func (a *audit) compareMessages(ctx context.Context, class string) error {
	list := map[uint64]listed{}
	for key, l := range a.s.inventory.all(class) {
		if seq, err := strconv.ParseUint(key, 10, 64); err == nil {
			list[seq] = l
		}
	}
	p := &present{}
	if a.x != nil {
		var err error
		if p, err = presentIn(ctx, a.x.stream(class)); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			a.damaged, p = true, &present{}
		}
	}
	silent := a.x == nil
	get := func(seq uint64) ([]byte, bool) {
		if silent || !p.has(seq) {
			return nil, false
		}
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		value, err := a.x.message(ctx, class, seq)
		silent = errors.Is(err, context.DeadlineExceeded)
		return value, err == nil
	}
	for seq, l := range list {
		name := class + "/" + strconv.FormatUint(seq, 10)
		if class == deadKey && seq < p.first && p.count >= maxDead {
			a.changes = append(a.changes, entry{name: name}) // the oldest letters go when there are too many
			continue
		}
		value, kept := a.s.inventory.value(name)
		if p.has(seq) && !a.deep {
			if !kept {
				value = nil // read in rebuild
			}
			a.messages[class] = append(a.messages[class], message{seq, value})
			continue
		}
		read, ok := get(seq)
		if ok && sha256.Sum256(read) == l.sum {
			a.messages[class] = append(a.messages[class], message{seq, read})
			continue
		}
		a.damaged = true
		told := what(class, strconv.FormatUint(seq, 10), value)
		if !kept {
			a.lost = append(a.lost, told)
			continue
		}
		a.repaired = append(a.repaired, told)
		a.messages[class] = append(a.messages[class], message{seq, value})
	}
	newest := a.s.inventory.newestOf(class)
	for seq := p.first; seq <= p.last && seq > 0; seq++ {
		if _, ok := list[seq]; ok || !p.has(seq) {
			continue
		}
		if a.whole && seq <= newest {
			a.drop[class] = append(a.drop[class], seq) // it was finished, or its sender was never told that it was accepted
			continue
		}
		value, ok := get(seq)
		if !ok {
			continue // nothing lists it, and it cannot be read
		}
		a.adopted++
		a.messages[class] = append(a.messages[class], message{seq, value})
		a.changes = append(a.changes, entry{class + "/" + strconv.FormatUint(seq, 10), seq, value})
	}
	a.sort()
	return nil
}

func (a *audit) sort() {
	for _, m := range a.messages {
		slices.SortFunc(m, func(x, y message) int { return cmp.Compare(x.seq, y.seq) })
	}
}

// stream is that of a class.
func (x *session) stream(class string) jetstream.Stream {
	if class == deadKey {
		return x.dead
	}
	return x.queue
}

// message reads one as the inventory has it.
func (x *session) message(ctx context.Context, class string, seq uint64) ([]byte, error) {
	msg, err := x.stream(class).GetMsg(ctx, seq)
	if err != nil {
		return nil, err
	}
	return append(append([]byte(msg.Header.Get(headerOf(class))), 0), msg.Data...), nil
}

func headerOf(class string) string {
	if class == deadKey {
		return deadHeader
	}
	return asyncHeader
}

// compareDocs compares the large documents by their sequences; their contents only where something is damaged.
func (a *audit) compareDocs(ctx context.Context) error {
	list := a.s.inventory.all(docsKey)
	p := &present{}
	if a.x != nil {
		stream, err := a.x.js.Stream(ctx, "KV_docs")
		if err == nil {
			p, err = presentIn(ctx, stream)
		}
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			a.damaged, p = true, &present{}
		}
	}
	for _, l := range list {
		a.damaged = a.damaged || !p.has(l.seq)
	}
	if !a.whole && a.x != nil {
		lister, err := a.x.docs.ListKeys(ctx)
		if err == nil {
			for key := range lister.Keys() {
				if _, ok := list[key]; !ok {
					list[key] = listed{}
				}
			}
		}
	}
	if !a.damaged && !a.deep && a.whole {
		return nil
	}
	silent := a.x == nil
	for key, l := range list {
		var value []byte
		var seq uint64
		if !silent {
			ctx, cancel := context.WithTimeout(ctx, patience)
			e, err := a.x.docs.Get(ctx, key)
			cancel()
			if silent = errors.Is(err, context.DeadlineExceeded); err == nil {
				value, seq = e.Value(), e.Revision()
			}
		}
		switch {
		case value != nil && (l.seq == 0 || seq > l.seq || sha256.Sum256(value) == l.sum):
			a.docs[key] = found{seq: seq, value: value}
			if seq != l.seq {
				a.changes = append(a.changes, entry{docsKey + "/" + key, seq, value})
			}
		case l.seq > 0:
			if v, ok := a.s.inventory.value(docsKey + "/" + key); ok {
				a.docs[key] = found{value: v}
				a.repaired = append(a.repaired, what(docsKey, key, nil))
			} else {
				a.lost, a.gone = append(a.lost, what(docsKey, key, nil)), append(a.gone, key)
			}
			a.damaged = true
		}
	}
	return nil
}

// settle makes the small changes of a session that is not damaged.
func (a *audit) settle(ctx context.Context) error {
	for _, key := range a.purge {
		if err := a.x.state.Purge(ctx, key, jetstream.PurgeTTL(tombstoneTTL)); err != nil {
			return fmt.Errorf("remove %s, which was removed before: %w", key, err)
		}
	}
	for class, seqs := range a.drop {
		for _, seq := range seqs {
			if err := a.x.stream(class).DeleteMsg(ctx, seq); err != nil && !harmless(err) {
				return fmt.Errorf("remove %s %d, which was finished before: %w", class, seq, err)
			}
		}
	}
	return a.s.inventory.list(a.changes...)
}

// freshFolder is where a new folder of the embedded server is made.
const freshFolder = stateFolder + ".new"

// rebuild writes everything into a new folder of the embedded server, keeps the damaged one beside it, and
// begins a session in the new one.
func (a *audit) rebuild(ctx context.Context) (*session, error) {
	if err := a.s.disk.AdmitNote(1 << 20); err != nil {
		return nil, err
	}
	// What is not in the inventory is read before the session ends.
	for class, messages := range a.messages {
		for i := range messages {
			if m := &messages[i]; m.value == nil {
				if m.value, _ = a.x.message(ctx, class, m.seq); m.value == nil {
					a.lost = append(a.lost, what(class, strconv.FormatUint(m.seq, 10), nil))
				}
			}
		}
	}
	a.x.end()
	fresh := filepath.Join(a.s.dir, freshFolder)
	if err := os.RemoveAll(fresh); err != nil {
		return nil, err
	}
	x, err := a.s.begin(ctx, freshFolder)
	if err == nil {
		err = a.fill(ctx, x)
	}
	x.end()
	if err != nil {
		_ = os.RemoveAll(fresh)
		return x, fmt.Errorf("make the store again: %w", err)
	}
	old := filepath.Join(a.s.dir, stateFolder)
	kept := old + ".damaged-" + time.Now().UTC().Format("20060102T150405.000")
	if err := os.Rename(old, kept); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return x, fmt.Errorf("set the damaged store aside: %w", err)
	}
	if err := os.Rename(fresh, old); err != nil {
		return x, fmt.Errorf("make the store again: %w", err)
	}
	if err := syncFolder(a.s.dir); err != nil {
		return x, err
	}
	if err := a.s.inventory.replace(a.changes); err != nil {
		return x, err
	}
	a.s.log.Warn("the store was made again", "damaged", kept)
	if x, err = a.s.begin(ctx, stateFolder); err != nil {
		return x, err
	}
	_, err = x.read(ctx, a.s.follow)
	return x, err
}

// fill writes everything into an empty session, and leaves the new inventory in a.changes.
func (a *audit) fill(ctx context.Context, x *session) error {
	a.changes = nil
	moved := map[uint64]uint64{}
	for _, class := range []string{queueKey, deadKey} {
		for _, m := range a.messages[class] {
			head, data, _ := bytes.Cut(m.value, []byte{0})
			var h struct {
				Function string
				Async    struct{ Function string }
			}
			if m.value == nil || json.Unmarshal(head, &h) != nil {
				continue // told of among the lost
			}
			subject := "async." + h.Function
			if class == deadKey {
				subject = "dead." + h.Async.Function
			}
			ack, err := x.js.PublishMsg(ctx, &nats.Msg{Subject: subject, Data: data, Header: nats.Header{headerOf(class): {string(head)}}})
			if err != nil {
				return err
			}
			if class == queueKey {
				moved[m.seq] = ack.Sequence
			}
			a.changes = append(a.changes, entry{class + "/" + strconv.FormatUint(ack.Sequence, 10), ack.Sequence, m.value})
		}
	}
	a.s.changeBacklog(func(b *backlog) { b.move(moved) })
	attempts := map[string]found{}
	for key, f := range a.state {
		if old, ok := strings.CutPrefix(key, "attempt."); ok {
			delete(a.state, key)
			var at attempt
			if seq, ok := moved[number(old)]; ok && json.Unmarshal(f.value, &at) == nil {
				at.Seq = seq
				if b, err := json.Marshal(&at); err == nil {
					attempts["attempt."+strconv.FormatUint(seq, 10)] = found{value: b}
				}
			}
		}
	}
	maps.Copy(a.state, attempts)
	for key, f := range a.state {
		seq, err := x.state.Put(ctx, key, f.value)
		if err != nil {
			return err
		}
		a.state[key] = found{seq: seq, value: f.value}
		if _, ok := attempts[key]; !ok {
			a.changes = append(a.changes, entry{stateKey + "/" + key, seq, f.value})
		}
	}
	for key, f := range a.docs {
		seq, err := x.docs.Put(ctx, key, f.value)
		if err != nil {
			return err
		}
		a.changes = append(a.changes, entry{docsKey + "/" + key, seq, f.value})
	}
	return nil
}

func number(s string) uint64 {
	n, _ := strconv.ParseUint(s, 10, 64)
	return n
}

// report tells what was found, and marks a store that has an inventory now.
func (a *audit) report(ctx context.Context, x *session) error {
	s := a.s
	clear(s.inventory.early)
	s.gone = append(s.gone, a.gone...)
	slices.Sort(a.lost)
	slices.Sort(a.repaired)
	if a.damaged {
		s.Report(health.Problem{Component: "store", Lost: a.lost, Repaired: append(a.repaired, "the files of the store"),
			Message: "Files below " + filepath.Join(s.dir, stateFolder) + " were damaged. They are kept beside it, and the store was made again."})
	}
	_, marked := a.state["setting."+inventorySetting]
	switch {
	case a.found.damaged != "":
		s.Report(health.Problem{Component: "inventory", Repaired: []string{fmt.Sprintf("the inventory (%d entries added)", a.adopted)},
			Message: "The inventory was damaged (" + a.found.damaged + "), and was made again from the store."})
	case a.found.absent && marked:
		s.Report(health.Problem{Component: "inventory", Repaired: []string{fmt.Sprintf("the inventory (%d entries)", a.adopted)},
			Message: "The inventory was missing, and was made again from the store. What the store had lost before is not known."})
	case a.adopted > 0:
		s.log.Info("listed what the inventory did not have", "entries", a.adopted)
	}
	s.survey = survey{}
	if marked {
		return nil
	}
	doc, err := json.Marshal(&Setting{UpdatedAt: time.Now().UTC(), Document: json.RawMessage(`{"id":"` + s.inventory.id + `"}`)})
	if err != nil {
		return err
	}
	key := "setting." + inventorySetting
	seq, err := x.state.Put(ctx, key, doc)
	if err != nil {
		return fmt.Errorf("mark that there is an inventory: %w", err)
	}
	a.state[key] = found{seq: seq, value: doc}
	return s.inventory.list(entry{stateKey + "/" + key, seq, doc})
}

// inventorySetting tells a store whose inventory was lost from one that never had one.
const inventorySetting = "inventory"

// errDamaged makes the keeper look through everything.
var errDamaged = fmt.Errorf("the store's files are %w; as much as possible is made again", ErrDamaged)

// scrub reads every message and document once, in the background. Where one is not what was written, the store is
// looked through and made anew.
func (s *Store) scrub(ctx context.Context) error {
	for _, class := range []string{queueKey, deadKey, docsKey} {
		for key, l := range s.inventory.all(class) {
			x := s.now.Load()
			ok := s.intact(ctx, x, class, key, l)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if now, listed := s.inventory.get(class + "/" + key); ok || !listed || now.seq != l.seq || s.now.Load() != x {
				continue // or it is finished meanwhile, or another session has looked at it
			}
			s.deep.Store(true)
			s.suspect(errDamaged)
			return nil
		}
	}
	return nil
}

func (s *Store) intact(ctx context.Context, x *session, class, key string, l listed) bool {
	ctx, cancel := context.WithTimeout(ctx, 4*patience)
	defer cancel()
	if class == docsKey {
		e, err := x.docs.Get(ctx, key)
		return err == nil && sha256.Sum256(e.Value()) == l.sum
	}
	value, err := x.message(ctx, class, l.seq)
	return err == nil && sha256.Sum256(value) == l.sum
}
