package process

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPresentPieces: pages that lie near one another are asked for by one call.
func TestPresentPieces(t *testing.T) {
	page := uint64(os.Getpagesize())
	pagemap := func(pages ...uint64) *bytes.Reader {
		b := make([]byte, 8*200)
		for _, n := range pages {
			binary.NativeEndian.PutUint64(b[8*n:], pagemapPresent|n)
		}
		return bytes.NewReader(b)
	}
	piece := func(first, pages uint64) fileRange {
		return fileRange{Offset: int64(first * page), Length: int64(pages * page)}
	}
	for _, c := range []struct {
		pages []uint64
		want  []fileRange
	}{
		{nil, nil},
		{[]uint64{100, 101, 103}, []fileRange{piece(7, 4)}},
		{[]uint64{100, 100 + nearPages + 1}, []fileRange{piece(7, nearPages+2)}},
		{[]uint64{100, 100 + nearPages + 2}, []fileRange{piece(7, 1), piece(7+nearPages+2, 1)}},
	} {
		got, err := presentIn(nil, pagemap(c.pages...), 100*page, 200*page, 7*page)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%v: got %v, %v", c.pages, got, err)
		}
	}
	if _, err := presentIn(nil, pagemap(), 100*page, 300*page, 0); err == nil {
		t.Error("a map of pages that ends early is not noticed")
	}
}

// TestPresentOfThisProcess: of a file that is mapped those pages are found that were read, and those around them that the kernel maps.
func TestPresentOfThisProcess(t *testing.T) {
	page := os.Getpagesize()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, make([]byte, 512*page), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := unix.Mmap(int(f.Fd()), 0, 512*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(m)
	m[300*page]++
	all, err := present(os.Getpid())
	got := all[name]
	if err != nil || len(got) != 1 || got[0].Offset > int64(300*page) || got[0].Offset+got[0].Length < int64(301*page) || got[0].Length > int64(64*page) {
		t.Errorf("got %v, %v", got, err)
	}
}
