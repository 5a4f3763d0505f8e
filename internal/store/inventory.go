package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/oklog/ulid/v2"
	"golang.org/x/sys/unix"
)

// inventory is the list of what must be there, in a file of its own: for each thing its sequence in the
// embedded server, its checksum and, where it is small, itself. What was acknowledged is on disk in both
// places, so that damage to one is noticed by the other, and repaired.
//
// A thing is listed after it was written and struck off before it is removed. So what a crash leaves
// between the two is only ever a thing that is there and not listed, which nobody was promised.
// A nil *inventory lists nothing: of several nodes none can say alone what there must be.
//
// The file is a row of frames: "CJiv", the length and the CRC-32C of the body (both 4 bytes, little endian), the
// body: an operation, a sequence (8), the length of the name (2), the name, the SHA-256 of the
// value (32), the value or nothing. Zeros follow, which are on disk before they are written over: to flush a write
// into them takes a fifth of what flushing a longer file does.
type inventory struct {
	path   string
	noSync bool

	mu      sync.Mutex
	entries map[string]listed
	newest  map[string]uint64 // by class: the highest sequence that was ever listed
	counts  map[string]int    // by class: how many are listed
	early   map[string]bool   // struck off before they were listed
	coming  map[string]int    // listed on pages that are not written yet
	next    *page             // what is to be written

	flush sync.Mutex // held while the file is written
	file  *os.File
	id    string
	end   int64 // where the next frame goes
	size  int64 // of the file, zeros included
	live  int64 // bytes of the frames that count
}

// listed is one thing that must be there.
type listed struct {
	seq  uint64
	sum  [sha256.Size]byte
	at   int64 // of its frame in the file
	size int64 // of the frame
	kept bool  // with its value
}

// page is what several writers write at once.
type page struct {
	frames []byte
	apply  []func(at int64)
	lists  []string
	done   bool
	err    error
}

const (
	inventoryFile = "inventory"
	frameMagic    = "CJiv"
	frameHead     = 12
	// maxKept is the largest value that is kept in the inventory.
	maxKept = 64 << 10
	// inventoryStep is by how much the file grows, and what it keeps at least free of what counts.
	inventoryStep = 1 << 20
	compactFrom   = 8 << 20

	opHeader = 'H'
	opList   = 'P'
	opStrike = 'R'
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// survey is how an inventory was found.
type survey struct {
	// absent: there was no file. damaged: bytes that are no frames, though frames follow, or the end is missing.
	absent  bool
	damaged string
}

// openInventory reads the inventory in a folder, or begins one.
func openInventory(dir string, noSync bool) (*inventory, survey, error) {
	v := &inventory{path: filepath.Join(dir, inventoryFile), noSync: noSync, entries: map[string]listed{}, newest: map[string]uint64{}, counts: map[string]int{}, early: map[string]bool{}, coming: map[string]int{}}
	b, err := os.ReadFile(v.path)
	if errors.Is(err, fs.ErrNotExist) {
		return v, survey{absent: true}, v.rewrite(nil)
	}
	if err != nil {
		return nil, survey{}, fmt.Errorf("open inventory: %w", err)
	}
	found := v.parse(b)
	if found.damaged != "" {
		return v, found, v.rewrite(b)
	}
	if v.file, err = os.OpenFile(v.path, os.O_RDWR, 0o600); err != nil {
		return nil, survey{}, fmt.Errorf("open inventory: %w", err)
	}
	v.size = int64(len(b))
	return v, found, nil
}

// parse reads all frames, over what is damaged, and says what was.
func (v *inventory) parse(b []byte) (s survey) {
	bad := 0
	at := 0
	for at < len(b) {
		body, ok := frameAt(b[at:])
		if !ok {
			next := nextFrame(b, at+1)
			if next < 0 {
				break
			}
			bad += next - at
			at = next
			continue
		}
		v.read(body, int64(at))
		at += frameHead + len(body)
	}
	v.end = int64(at)
	rest := b[min(at, len(b)):]
	switch {
	case bad > 0:
		s.damaged = fmt.Sprintf("%d bytes of the inventory are not what was written", bad)
	case v.id == "":
		s.damaged = "the inventory has no beginning"
	case len(rest) < 8 || rest[len(rest)-1] != 0:
		s.damaged = "the end of the inventory is missing"
	}
	// Other bytes before the zeros are a write that was cut off: nobody was told that it was done.
	return s
}

func frameAt(b []byte) (body []byte, ok bool) {
	if len(b) < frameHead || string(b[:4]) != frameMagic {
		return nil, false
	}
	n := binary.LittleEndian.Uint32(b[4:])
	if uint64(n) > uint64(len(b)-frameHead) || n < 11+sha256.Size {
		return nil, false
	}
	body = b[frameHead : frameHead+int(n)]
	name := int(binary.LittleEndian.Uint16(body[9:]))
	return body, len(body) >= 11+name+sha256.Size && crc32.Checksum(body, castagnoli) == binary.LittleEndian.Uint32(b[8:])
}

// nextFrame is where the next whole frame begins; less than 0: nowhere.
func nextFrame(b []byte, from int) int {
	for from < len(b) {
		i := bytes.Index(b[from:], []byte(frameMagic))
		if i < 0 {
			return -1
		}
		if _, ok := frameAt(b[from+i:]); ok {
			return from + i
		}
		from += i + 1
	}
	return -1
}

// read takes one frame.
func (v *inventory) read(body []byte, at int64) {
	seq, n := binary.LittleEndian.Uint64(body[1:]), int(binary.LittleEndian.Uint16(body[9:]))
	name, value := string(body[11:11+n]), body[11+n+sha256.Size:]
	switch body[0] {
	case opHeader:
		v.id = name
		_ = json.Unmarshal(value, &v.newest) // what is missing makes it ask less
	case opList:
		e := listed{seq: seq, at: at, size: int64(frameHead + len(body)), kept: len(value) > 0}
		copy(e.sum[:], body[11+n:])
		v.set(name, e)
	case opStrike:
		v.strike(name)
	}
}

func (v *inventory) set(name string, e listed) {
	class, _, _ := strings.Cut(name, "/")
	before, ok := v.entries[name]
	if !ok {
		v.counts[class]++
	}
	v.live += e.size - before.size
	v.entries[name] = e
	v.newest[class] = max(v.newest[class], e.seq)
}

func (v *inventory) strike(name string) {
	e, ok := v.entries[name]
	if !ok {
		return
	}
	class, _, _ := strings.Cut(name, "/")
	v.counts[class]--
	v.live -= e.size
	delete(v.entries, name)
}

func frame(op byte, name string, seq uint64, sum [sha256.Size]byte, value []byte) []byte {
	b := make([]byte, frameHead, frameHead+11+len(name)+sha256.Size+len(value))
	b = append(b, op)
	b = binary.LittleEndian.AppendUint64(b, seq)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(name)))
	b = append(append(append(b, name...), sum[:]...), value...)
	copy(b, frameMagic)
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-frameHead))
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b[frameHead:], castagnoli))
	return b
}

// entry is one thing to be listed or, without a value, struck off.
type entry struct {
	name  string
	seq   uint64
	value []byte
}

// list writes entries, all of them or none, and returns when they are durable.
func (v *inventory) list(entries ...entry) error {
	if v == nil {
		return nil
	}
	v.mu.Lock()
	p := v.next
	if p == nil {
		p = &page{}
		v.next = p
	}
	for _, e := range entries {
		v.add(p, e)
	}
	v.mu.Unlock()

	// Whoever comes first writes for all that came until then.
	v.flush.Lock()
	defer v.flush.Unlock()
	if p.done {
		return p.err
	}
	v.mu.Lock()
	v.next = nil
	v.mu.Unlock()
	p.done = true
	at := v.end
	p.err = v.append(p.frames)
	v.mu.Lock()
	for _, name := range p.lists {
		if v.coming[name]--; v.coming[name] == 0 {
			delete(v.coming, name)
		}
	}
	if p.err != nil {
		v.mu.Unlock()
		p.err = fmt.Errorf("write inventory: %w", p.err)
		return p.err
	}
	for _, f := range p.apply {
		f(at)
	}
	compact := v.end > compactFrom && v.end > 4*v.live
	v.mu.Unlock()
	if compact {
		// Where that fails, for want of room, the file stays as it is and is long.
		if b, err := os.ReadFile(v.path); err == nil {
			_ = v.rewrite(b)
		}
	}
	return nil
}

// add puts an entry on a page. The caller holds v.mu.
func (v *inventory) add(p *page, e entry) {
	offset := int64(len(p.frames))
	if e.value == nil {
		if _, ok := v.entries[e.name]; !ok && v.coming[e.name] == 0 {
			v.early[e.name] = true
			return
		}
		p.frames = append(p.frames, frame(opStrike, e.name, e.seq, [sha256.Size]byte{}, nil)...)
		p.apply = append(p.apply, func(int64) { v.strike(e.name) })
		return
	}
	if v.early[e.name] { // it is over already
		delete(v.early, e.name)
		return
	}
	l := listed{seq: e.seq, sum: sha256.Sum256(e.value)}
	value := e.value
	if l.kept = len(value) > 0 && len(value) <= maxKept; !l.kept {
		value = nil
	}
	f := frame(opList, e.name, e.seq, l.sum, value)
	l.size = int64(len(f))
	p.frames = append(p.frames, f...)
	p.lists = append(p.lists, e.name)
	v.coming[e.name]++
	p.apply = append(p.apply, func(at int64) { l.at = at + offset; v.set(e.name, l) })
}

// append writes at the end, which has to be zeros.
func (v *inventory) append(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if v.file == nil {
		return errors.New("it is closed")
	}
	for v.end+int64(len(b))+8 > v.size {
		zeros := make([]byte, inventoryStep)
		if _, err := v.file.WriteAt(zeros, v.size); err != nil {
			_ = v.file.Truncate(v.size)
			return err
		}
		if err := v.sync(v.file); err != nil {
			return err
		}
		v.size += inventoryStep
	}
	if _, err := v.file.WriteAt(b, v.end); err != nil {
		return err
	}
	if !v.noSync {
		if err := fdatasync(v.file); err != nil {
			return err
		}
	}
	v.end += int64(len(b))
	return nil
}

func (v *inventory) sync(f *os.File) error {
	if v.noSync {
		return nil
	}
	return f.Sync()
}

// rewrite makes the file anew with what counts, from its content b. The caller holds v.flush, or is alone.
func (v *inventory) rewrite(b []byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.id == "" {
		v.id = ulid.Make().String()
	}
	newest, err := json.Marshal(v.newest)
	if err != nil {
		return fmt.Errorf("write inventory: %w", err)
	}
	out := frame(opHeader, v.id, 0, [sha256.Size]byte{}, newest)
	names := make([]string, 0, len(v.entries))
	for name := range v.entries {
		names = append(names, name)
	}
	slices.SortFunc(names, func(x, y string) int { return int(v.entries[x].at - v.entries[y].at) })
	entries := make(map[string]listed, len(names))
	for _, name := range names {
		e := v.entries[name]
		f := b[e.at : e.at+e.size]
		e.at = int64(len(out))
		out = append(out, f...)
		entries[name] = e
	}
	end := int64(len(out))
	out = append(out, make([]byte, inventoryStep-len(out)%inventoryStep)...)
	if int64(len(out)) < end+8 {
		out = append(out, make([]byte, inventoryStep)...)
	}
	f, err := os.OpenFile(v.path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write inventory: %w", err)
	}
	if _, err = f.Write(out); err == nil {
		err = v.sync(f)
	}
	if err == nil {
		err = os.Rename(f.Name(), v.path)
	}
	if err != nil {
		f.Close()
		_ = os.Remove(f.Name())
		return fmt.Errorf("write inventory: %w", err)
	}
	if v.file != nil {
		v.file.Close()
	}
	v.file, v.end, v.size, v.entries = f, end, int64(len(out)), entries
	if v.noSync {
		return nil
	}
	return syncFolder(filepath.Dir(v.path))
}

// replace makes the file anew with these entries alone.
func (v *inventory) replace(entries []entry) error {
	v.flush.Lock()
	defer v.flush.Unlock()
	var b []byte
	v.mu.Lock()
	v.entries, v.newest, v.counts, v.live = map[string]listed{}, map[string]uint64{}, map[string]int{}, 0
	for _, e := range entries {
		p := &page{}
		v.add(p, e)
		for _, f := range p.apply {
			f(int64(len(b)))
		}
		clear(v.coming)
		b = append(b, p.frames...)
	}
	v.mu.Unlock()
	return v.rewrite(b)
}

// newestOf is the highest sequence of a class that was ever listed.
func (v *inventory) newestOf(class string) uint64 {
	if v == nil {
		return 0
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.newest[class]
}

// get returns what is listed of a name.
func (v *inventory) get(name string) (listed, bool) {
	if v == nil {
		return listed{}, false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	e, ok := v.entries[name]
	return e, ok
}

// count is how many things of a class are listed.
func (v *inventory) count(class string) int {
	if v == nil {
		return 0
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.counts[class]
}

// all are the entries of a class, by their name in it.
func (v *inventory) all(class string) map[string]listed {
	if v == nil {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	out := map[string]listed{}
	for name, e := range v.entries {
		if key, ok := strings.CutPrefix(name, class+"/"); ok {
			out[key] = e
		}
	}
	return out
}

// value returns what is listed, if it is kept and whole.
func (v *inventory) value(name string) ([]byte, bool) {
	if v == nil {
		return nil, false
	}
	v.flush.Lock() // the file may be exchanged
	defer v.flush.Unlock()
	e, ok := v.get(name)
	if !ok || !e.kept || v.file == nil {
		return nil, false
	}
	b := make([]byte, e.size)
	if _, err := v.file.ReadAt(b, e.at); err != nil {
		return nil, false
	}
	body, ok := frameAt(b)
	if !ok {
		return nil, false
	}
	value := body[11+int(binary.LittleEndian.Uint16(body[9:]))+sha256.Size:]
	return value, sha256.Sum256(value) == e.sum
}

func (v *inventory) close() error {
	if v == nil {
		return nil
	}
	v.flush.Lock()
	defer v.flush.Unlock()
	if v.file == nil {
		return nil
	}
	err := v.file.Close()
	v.file = nil
	return err
}

func fdatasync(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// bytes is how much of the file counts.
func (v *inventory) bytes() int64 {
	if v == nil {
		return 0
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.live
}
