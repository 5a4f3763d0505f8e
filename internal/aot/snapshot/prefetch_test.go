package snapshot

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/function"
)

type piece struct{ Offset, Length int64 }

// bytesOf is how much of the snapshot's memory is needed.
func bytesOf(needed map[string][]piece) (n int64) {
	for _, p := range needed["/opt/cloudjit/memory"] {
		n += p.Length
	}
	return n
}

// TestWhatCopiesNeed: a snapshot says what of its memory a copy needs until it is ready and, once one has answered, until then. If that file is
// broken, copies start as well.
func TestWhatCopiesNeed(t *testing.T) {
	f := newFixture(t, function.KindHandler, map[string]string{"Draws": draws})
	made, err := f.build()
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string, to any) error {
		b, err := os.ReadFile(filepath.Join(made.Dir, name))
		if err == nil {
			err = json.Unmarshal(b, to)
		}
		return err
	}
	st, err := os.Stat(filepath.Join(made.Dir, "memory.img"))
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct{ Needed map[string][]piece }
	if err := read("sandbox.json", &manifest); err != nil || bytesOf(manifest.Needed) == 0 || bytesOf(manifest.Needed) >= st.Size() {
		t.Fatalf("needed until ready: %d of %d bytes (%v)", bytesOf(manifest.Needed), st.Size(), err)
	}
	w, err := f.restore(made.Dir)
	if err != nil {
		t.Fatal(err)
	}
	f.ask(w)
	var needed map[string][]piece
	for end := time.Now().Add(5 * time.Second); read("needed.json", &needed) != nil && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	if bytesOf(needed) < bytesOf(manifest.Needed)/2 {
		t.Errorf("needed until the first answer: %d bytes, and %d until it was ready", bytesOf(needed), bytesOf(manifest.Needed))
	}
	for _, broken := range []string{"", "[", "[]", `{"/opt/cloudjit/memory":[{"offset":-1,"length":9223372036854775807}]}`} {
		if err := os.WriteFile(filepath.Join(made.Dir, "needed.json"), []byte(broken), 0o600); err != nil {
			t.Fatal(err)
		}
		w, err := f.restore(made.Dir)
		if err != nil {
			t.Fatalf("with %q: %v", broken, err)
		}
		f.ask(w)
	}
}

// BenchmarkCopyFromDisk starts copies of a handler, and lets each answer once, in turn where the snapshot is in memory, and where it has left it.
func BenchmarkCopyFromDisk(b *testing.B) {
	f := newFixture(b, function.KindHandler, map[string]string{"Draws": draws})
	made, err := f.build()
	if err != nil {
		b.Fatal(err)
	}
	forget := func() {
		unix.Sync()
		list, err := os.ReadDir(made.Dir)
		if err != nil {
			b.Fatal(err)
		}
		for _, e := range list {
			file, err := os.Open(filepath.Join(made.Dir, e.Name()))
			if err != nil {
				b.Fatal(err)
			}
			_ = unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED)
			file.Close()
		}
	}
	one := func() float64 {
		began := time.Now()
		w, err := f.restore(made.Dir)
		if err != nil {
			b.Fatal(err)
		}
		f.ask(w)
		took := float64(time.Since(began).Microseconds()) / 1000
		if err := w.Stop(b.Context(), 0); err != nil {
			b.Fatal(err)
		}
		return took
	}
	one() // from which later ones know what they need
	var cached, forgotten []float64
	for b.Loop() {
		cached = append(cached, one())
		forget()
		forgotten = append(forgotten, one())
	}
	slices.Sort(cached)
	slices.Sort(forgotten)
	median := len(cached) / 2
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(cached[median], "cached-ms")
	b.ReportMetric(forgotten[median], "from-disk-ms")
	b.ReportMetric(forgotten[0]/cached[0], "from-disk/cached-least")
	b.ReportMetric(forgotten[median]/cached[median], "from-disk/cached")
}
