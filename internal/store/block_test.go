package store

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzInventory reads any bytes as an inventory: it takes nothing that is no whole frame.
func FuzzInventory(f *testing.F) {
	good := append(frame(opHeader, "id", 0, [32]byte{}, []byte(`{"state":3}`)), frame(opList, "state/a", 3, [32]byte{1}, []byte("x"))...)
	f.Add(good)
	f.Add(append(good[:len(good)-3:len(good)-3], good...))
	f.Fuzz(func(t *testing.T, b []byte) {
		v := &inventory{entries: map[string]listed{}, newest: map[string]uint64{}, early: map[string]bool{}}
		v.parse(b)
		for name, e := range v.entries {
			if e.at < 0 || e.size < frameHead || e.at+e.size > int64(len(b)) {
				t.Errorf("entry %q lies outside: %+v", name, e)
			}
		}
	})
}

// FuzzBlock walks any bytes as a block file.
func FuzzBlock(f *testing.F) {
	f.Add([]byte("cmp"))
	f.Add(make([]byte, 64))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n := soundUntil(b); n < 0 || n > len(b) || n < len(b) && soundUntil(b[:n]) != n {
			t.Errorf("%d of %d bytes are sound", n, len(b))
		}
	})
}

// TestSoundBlocksAreLeftAlone: what the embedded server itself writes makes sense to the walk.
func TestSoundBlocksAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	furnish(t, dir)
	blocks, _ := filepath.Glob(filepath.Join(dir, stateFolder, "jetstream", "*", "streams", "*", "msgs", "*.blk"))
	if len(blocks) < 4 {
		t.Fatalf("got %d blocks, want one for each stream", len(blocks))
	}
	for _, file := range blocks {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if n := soundUntil(b); n != len(b) {
			t.Errorf("%s: %d of %d bytes are sound", file, n, len(b))
		}
	}
}
