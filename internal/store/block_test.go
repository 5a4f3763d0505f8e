package store

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
)

// FuzzInventory reads any bytes as an inventory: it takes nothing that is no whole frame.
func FuzzInventory(f *testing.F) {
	good := append(frame(opHeader, "id", 0, [32]byte{}, []byte(`{"state":3}`)), frame(opList, "state/a", 3, [32]byte{1}, []byte("x"))...)
	f.Add(good)
	f.Add(append(good[:len(good)-3:len(good)-3], good...))
	f.Fuzz(func(t *testing.T, b []byte) {
		v := &inventory{entries: map[string]listed{}, newest: map[string]uint64{}, counts: map[string]int{}, early: map[string]bool{}, coming: map[string]int{}}
		v.parse(b)
		for name, e := range v.entries {
			if e.at < 0 || e.size < frameHead || e.at+e.size > int64(len(b)) {
				t.Errorf("entry %q lies outside: %+v", name, e)
			}
		}
	})
}

// FuzzBlock walks any bytes as a block file: what is left of it is sound.
func FuzzBlock(f *testing.F) {
	f.Add([]byte("cmp\x01"))
	f.Add(make([]byte, 64))
	for _, b := range blocksOf(f, furnished(f)) {
		f.Add(b[:min(len(b), 4<<10)])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		out, all := sound(t, "KV_state", b)
		if all != bytes.Equal(out, b) && !bytes.HasPrefix(b, []byte(packedMagic)) {
			t.Errorf("%d of %d bytes are sound, and all: %v", len(out), len(b), all)
		}
		if again, all := sound(t, "KV_state", out); !all && !bytes.HasPrefix(out, []byte(packedMagic)) {
			t.Errorf("of %d sound bytes %d are", len(out), len(again))
		}
	})
}

func sound(t testing.TB, stream string, b []byte) ([]byte, bool) {
	t.Helper()
	r, err := newRecords(stream, 1)
	if err != nil {
		t.Fatal(err)
	}
	return r.sound(b)
}

func furnished(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	furnish(t, dir)
	return dir
}

// blocksOf are the first blocks of the streams in a folder, by the names of the streams.
func blocksOf(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	blocks, _ := filepath.Glob(filepath.Join(dir, stateFolder, "jetstream", "*", "streams", "*", "msgs", "1.blk"))
	if len(blocks) < 4 {
		t.Fatalf("got %d blocks, want one for each stream", len(blocks))
	}
	out := map[string][]byte{}
	for _, file := range blocks {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(filepath.Dir(filepath.Dir(file)))] = b
	}
	return out
}

// TestSoundBlocksAreLeftAlone: what the embedded server itself writes makes sense to the walk, and every flipped byte is noticed.
func TestSoundBlocksAreLeftAlone(t *testing.T) {
	for stream, b := range blocksOf(t, furnished(t)) {
		if out, all := sound(t, stream, b); !all {
			t.Errorf("%s: %d of %d bytes are sound", stream, len(out), len(b))
		}
		for at := 0; at < len(b); at += 1 + len(b)/200 {
			b[at] ^= 0x10
			out, all := sound(t, stream, b)
			if all {
				t.Errorf("%s: byte %d of %d is another, and nobody notices", stream, at, len(b))
			}
			if len(b)-len(out) > 16<<10 {
				t.Errorf("%s: for byte %d %d bytes of %d are taken out", stream, at, len(b)-len(out), len(b))
			}
			b[at] ^= 0x10
		}
	}
}

// TestPackedBlocks: a block is packed when it is full.
func TestPackedBlocks(t *testing.T) {
	b := blocksOf(t, furnished(t))["KV_state"]
	var packed bytes.Buffer
	w := s2.NewWriter(&packed)
	if _, err := w.Write(b[:len(b)-recordHash]); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	file := append(binary.AppendUvarint([]byte(packedMagic), uint64(len(b))), packed.Bytes()...)
	file = append(file, b[len(b)-recordHash:]...)
	if _, all := sound(t, "KV_state", file); !all {
		t.Error("a packed block is taken for damaged")
	}
	for _, at := range []int{4, 20, len(file) / 2, len(file) - 1} {
		bad := bytes.Clone(file)
		bad[at] ^= 0x10
		out, all := sound(t, "KV_state", bad)
		if all {
			t.Errorf("byte %d of a packed block is another, and nobody notices", at)
		}
		if again, all := sound(t, "KV_state", out); !all {
			t.Errorf("of %d sound bytes %d are", len(out), len(again))
		}
	}
}

// TestServersThatDiedWhileOpening: damage that ends the process as often as it is opened is not met for ever.
func TestServersThatDiedWhileOpening(t *testing.T) {
	dir := t.TempDir()
	want := furnish(t, dir)
	if err := os.WriteFile(filepath.Join(dir, openingFile), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := openLogged(t, dir) // one may have been killed
	if p := s.Problems(); len(p) > 0 {
		t.Errorf("after one: got %+v", p)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, openingFile)); err == nil {
		t.Error("a store that is open is still noted as being opened")
	}
	if err := os.WriteFile(filepath.Join(dir, openingFile), []byte("xx"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, repaired := want.verify(t, openLogged(t, dir))
	if len(repaired) == 0 {
		t.Error("after two nothing was repaired")
	}
}

// TestStruckOffWhileItIsListed: an event may be finished before its sender is told that it was accepted.
func TestStruckOffWhileItIsListed(t *testing.T) {
	dir := t.TempDir()
	v, _, err := openInventory(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	v.flush.Lock() // another one writes
	var writers sync.WaitGroup
	waits := func() bool {
		v.mu.Lock()
		defer v.mu.Unlock()
		return v.next != nil
	}
	writers.Go(func() {
		if err := v.list(entry{"queue/1", 1, []byte("x")}); err != nil {
			t.Error(err)
		}
	})
	for !waits() {
		time.Sleep(time.Millisecond)
	}
	writers.Go(func() {
		if err := v.list(entry{name: "queue/1", seq: 1}); err != nil {
			t.Error(err)
		}
	})
	time.Sleep(20 * time.Millisecond)
	v.flush.Unlock()
	writers.Wait()
	if n := v.count(queueKey); n != 0 {
		t.Errorf("%d events are listed, want none", n)
	}
	if err := v.close(); err != nil {
		t.Fatal(err)
	}
	again, _, err := openInventory(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	defer again.close()
	if n := again.count(queueKey); n != 0 {
		t.Errorf("of another server %d events are listed, want none", n)
	}
}
