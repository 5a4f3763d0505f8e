package process

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/encoding/protowire"
)

// images are CRIU's of one process, with random areas and pages.
type images struct {
	areas   [][]byte
	pagemap [][]byte
	pages   []byte
	own     []byte // the content of the file that some areas map
}

const pageSize = 4096

func randomImages(r *rand.Rand) *images {
	m := &images{own: make([]byte, 2<<20)}
	for i := range m.own {
		m.own[i] = byte(i>>12) ^ byte(i)
	}
	at := uint64(0x400000)
	for range 1 + r.IntN(20) {
		at += uint64(r.IntN(2)*r.IntN(50)) * pageSize // some touch
		size := uint64(1 + r.IntN(300))
		flags, status, offset := uint64(unix.MAP_PRIVATE|unix.MAP_ANONYMOUS), statusRegular|statusAnonymous, uint64(0)
		switch r.IntN(6) {
		case 0:
			flags, status, offset = unix.MAP_PRIVATE, statusRegular|statusFile, uint64(r.IntN(100))*pageSize
		case 1:
			flags |= unix.MAP_GROWSDOWN
		case 2:
			flags, status = unix.MAP_SHARED|unix.MAP_ANONYMOUS, statusRegular|1<<8
		}
		var a []byte
		for num, v := range map[protowire.Number]uint64{vmaStart: at, vmaEnd: at + size*pageSize, vmaOffset: offset, vmaFile: 1, vmaFlags: flags, vmaStatus: status, 5: 3, 8: 1} {
			a = set(a, num, v)
		}
		m.areas = append(m.areas, a)
		for page := uint64(0); page < size; {
			page += uint64(r.IntN(3) * r.IntN(12))
			n := min(uint64(1+r.IntN(40)), size-min(page, size))
			if n == 0 {
				break
			}
			if r.IntN(3) > 0 {
				entry := set(set(set(set(nil, pagesAt, at+page*pageSize), pagesCountOld, 0), pagesFlags, pagesPresent), pagesCount, n)
				m.pagemap = append(m.pagemap, entry)
				for range n * pageSize / 8 {
					m.pages = binary.LittleEndian.AppendUint64(m.pages, r.Uint64())
				}
			}
			page += n
		}
		at += size * pageSize
	}
	return m
}

func (m *images) write(t *testing.T, dir string) {
	t.Helper()
	mm := protowire.AppendVarint(protowire.AppendTag(nil, mmExe, protowire.VarintType), 7)
	for _, a := range m.areas {
		mm = protowire.AppendBytes(protowire.AppendTag(mm, mmVMAs, protowire.BytesType), a)
	}
	regular := set(set(set(set(nil, regularID, 7), regularFlags, 0), regularPos, 0), regularMode, 0o100755)
	regular = protowire.AppendString(protowire.AppendTag(regular, regularName, protowire.BytesType), "/usr/bin/program")
	program := protowire.AppendBytes(protowire.AppendTag(set(set(nil, fileType, 1), fileID, 7), fileRegular, protowire.BytesType), regular)
	for name, list := range map[string][][]byte{"mm-301.img": {mm}, "pagemap-301.img": append([][]byte{set(nil, 1, 1)}, m.pagemap...), "files.img": {program}} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, imageHeader-4), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := writeEntries(filepath.Join(dir, name), list); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "pages-1.img"), m.pages, 0o600); err != nil {
		t.Fatal(err)
	}
}

// memory is what a process restored from the images has at each page, and whether it is of the shared file.
func (m *images) memory(t *testing.T, dir string) (content map[uint64][]byte, shared int) {
	t.Helper()
	read := func(name string) [][]byte {
		list, err := readEntries(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	areas, _, err := parseAreas(read("mm-301.img")[0])
	if err != nil {
		t.Fatal(err)
	}
	list, ok, err := parsePages(read("pagemap-301.img")[1:])
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	file, _ := os.ReadFile(filepath.Join(dir, memoryName))
	content = map[uint64][]byte{}
	for _, a := range areas {
		id, _ := number(a.fields, vmaFile)
		for at := a.start; at < a.end; at += pageSize {
			from := a.offset + at - a.start
			switch {
			case id == 8:
				content[at] = file[from : from+pageSize]
				shared++
			case a.status&statusFile != 0:
				content[at] = m.own[from : from+pageSize]
			default:
				content[at] = make([]byte, pageSize)
			}
		}
	}
	pages, err := os.ReadFile(filepath.Join(dir, "pages-1.img"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		for i := range p.count {
			at := p.at + i*pageSize
			if content[at] == nil {
				t.Fatalf("pages at %#x, where nothing is mapped", at)
			}
			content[at], pages = pages[:pageSize], pages[pageSize:]
		}
	}
	if len(pages) > 0 {
		t.Errorf("%d bytes of pages are nobody's", len(pages))
	}
	return content, shared
}

// TestShareChangesNoMemory: whatever the images are like, each address has the same content as before.
func TestShareChangesNoMemory(t *testing.T) {
	if os.Getpagesize() != pageSize {
		t.Skipf("SKIPPED: pages of %d bytes", os.Getpagesize())
	}
	total := 0
	for seed := range uint64(25) {
		m, dir := randomImages(rand.New(rand.NewPCG(seed, 1))), t.TempDir()
		m.write(t, dir)
		before, _ := m.memory(t, dir)
		did, err := share(dir, leastRun)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		after, shared := m.memory(t, dir)
		if total += shared; did != (shared > 0) {
			t.Errorf("seed %d: it says %v, and %d pages are shared", seed, did, shared)
		}
		if len(after) != len(before) {
			t.Errorf("seed %d: %d pages are mapped, %d were", seed, len(after), len(before))
		}
		for at, want := range before {
			if !bytes.Equal(after[at], want) {
				t.Fatalf("seed %d: the page at %#x has another content", seed, at)
			}
		}
		list, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(list) != 4 && !did || len(list) != 5 && did {
			t.Errorf("seed %d: left %v", seed, list)
		}
	}
	if total == 0 {
		t.Error("nothing was shared at all")
	}
}

// FuzzShare: images that make no sense are refused, and never more.
func FuzzShare(f *testing.F) {
	m, dir := randomImages(rand.New(rand.NewPCG(3, 1))), f.TempDir()
	m.write(&testing.T{}, dir)
	var seed [3][]byte
	for i, name := range []string{"mm-301.img", "pagemap-301.img", "files.img"} {
		seed[i], _ = os.ReadFile(filepath.Join(dir, name))
	}
	f.Add(seed[0], seed[1], seed[2], m.pages[:1<<16])
	f.Fuzz(func(t *testing.T, mm, pagemap, files, pages []byte) {
		dir := t.TempDir()
		for name, b := range map[string][]byte{"mm-301.img": mm, "pagemap-301.img": pagemap, "files.img": files, "pages-1.img": pages} {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, _ = share(dir, 1)
	})
}

// TestAllocatorsThatRelyOnZeros are found, also where the word lies across two reads.
func TestAllocatorsThatRelyOnZeros(t *testing.T) {
	for text, want := range map[string]bool{
		strings.Repeat("x", 256<<10-3) + "jemalloc" + "y": true,
		strings.Repeat("x", 600<<10) + "mimalloc":         true,
		strings.Repeat("jemallo", 200<<10):                false,
		"":                                                false,
	} {
		if got, err := contains(strings.NewReader(text), zeroing); err != nil || got != want {
			t.Errorf("%d bytes: got %v, %v", len(text), got, err)
		}
	}
}
