package process

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/encoding/protowire"
)

// Copies of a snapshot share the memory that none of them has written to. CRIU would read all of it into each copy; here the images
// are changed before they are kept: what was private memory without a file becomes a private mapping of a file beside the images,
// which has the same content. So a copy reads nothing at its start but what it touches, from the page cache that all of them share,
// and its first write to a page makes that one its own.
//
// The program can tell the difference by MADV_DONTNEED alone: a page that is given back has its content of before and not zeros.
// glibc, the JVM, CPython and V8 (v8-platform.h, DiscardSystemPages) do not rely on zeros there; allocators that do are looked for, and their processes left as they are.

const (
	memoryName = "memory.img"
	// memoryPath is where a sandbox has it. It is the second user's: the worker cannot open it.
	memoryPath = "/opt/cloudjit/memory"
	// leastRun is how many pages make a mapping worth its system calls, mostGap how many without content may lie between them.
	leastRun, mostGap = 16, 8
	neverShare        = 0
)

// Fields and bits of CRIU's images (images/vma.proto, mm.proto, pagemap.proto, regfile.proto, fdinfo.proto; criu/include/image.h).
const (
	mmExe, mmVMAs                                                 protowire.Number = 12, 14
	vmaStart, vmaEnd, vmaOffset, vmaFile, vmaFlags, vmaStatus     protowire.Number = 1, 2, 3, 4, 6, 7
	vmaAdvice                                                     protowire.Number = 9
	pagesAt, pagesCountOld, pagesInParent, pagesFlags, pagesCount protowire.Number = 1, 2, 3, 4, 5
	fileType, fileID, fileRegular                                 protowire.Number = 1, 2, 3
	regularID, regularFlags, regularPos, regularName              protowire.Number = 1, 2, 3, 6
	regularSize, regularMode, regularBuild, regularChecksum       protowire.Number = 8, 10, 11, 12
	regularChecksumConfig, regularChecksumParameter               protowire.Number = 13, 14
	statusRegular, statusHeap, statusFile, statusAnonymous        uint64           = 1 << 0, 1 << 5, 1 << 6, 1 << 9
	pagesPresent                                                  uint64           = 1 << 2
	mapNoReserve, mapStack                                        uint64           = 0x4000, 0x20000
)

// area is a part of the address space, and what the images say of it.
type area struct {
	start, end uint64
	offset     uint64 // in its file
	fields     []byte // all of them
	flags      uint64
	status     uint64
	advice     uint64
}

// pages are those with content, one after the other.
type pages struct {
	at, count uint64
	offset    int64 // in the file of pages
	fields    []byte
}

// share changes the images in dir so that copies share memory, runs of least pages each. It reports whether it did: where there is
// nothing to share, or it is not known how, they stay as they are.
func share(dir string, least uint64) (bool, error) {
	one := func(pattern string) string {
		list, _ := filepath.Glob(filepath.Join(dir, pattern))
		if len(list) != 1 {
			return ""
		}
		return list[0]
	}
	mmFile, mapFile, pagesFile, filesFile := one("mm-*.img"), one("pagemap-*.img"), one("pages-*.img"), one("files.img")
	if mmFile == "" || mapFile == "" || pagesFile == "" || filesFile == "" {
		return false, nil // more than one process, or none that has memory
	}
	mm, err := readEntries(mmFile)
	if err != nil || len(mm) != 1 {
		return false, err
	}
	areas, exe, err := parseAreas(mm[0])
	if err != nil {
		return false, err
	}
	list, err := readEntries(mapFile)
	if err != nil || len(list) < 2 {
		return false, err
	}
	head, list := list[0], list[1:]
	all, ok, err := parsePages(list)
	if err != nil || !ok {
		return false, err
	}
	files, err := readEntries(filesFile)
	if err != nil {
		return false, err
	}

	from, err := os.Open(pagesFile)
	if err != nil {
		return false, err
	}
	defer from.Close()
	s := &sharing{least: least, page: uint64(os.Getpagesize()), from: from, file: freeID(files)}
	if s.memory, err = os.OpenFile(filepath.Join(dir, memoryName), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err != nil {
		return false, err
	}
	defer s.memory.Close()
	if s.rest, err = os.OpenFile(pagesFile+".new", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err != nil {
		return false, err
	}
	defer s.rest.Close()
	if err := s.all(areas, all); err != nil {
		return false, err
	}
	if s.size == 0 {
		return false, errors.Join(os.Remove(s.memory.Name()), os.Remove(s.rest.Name()))
	}
	entry, err := fileEntry(files, exe, s.file, s.size)
	if err != nil {
		return false, err
	}

	body := without(mm[0], mmVMAs)
	for _, a := range s.areas {
		body = protowire.AppendBytes(protowire.AppendTag(body, mmVMAs, protowire.BytesType), a)
	}
	return true, errors.Join(
		s.memory.Close(), s.rest.Close(), os.Rename(s.rest.Name(), pagesFile),
		writeEntries(mmFile, [][]byte{body}), writeEntries(mapFile, append([][]byte{head}, s.pagemap...)), writeEntries(filesFile, append(files, entry)),
	)
}

// sharing is what becomes of the images.
type sharing struct {
	least        uint64   // pages of a run
	page         uint64   // bytes
	from         *os.File // the pages of before
	memory, rest *os.File
	file         uint64 // number of the memory's file in the images
	size         int64  // of that
	areas        [][]byte
	pagemap      [][]byte
}

// all divides areas into what is mapped from the file and what is not. Both lists are in order of addresses.
func (s *sharing) all(areas []area, list []pages) error {
	for _, a := range areas {
		var own []pages // cut at the area's ends: the images do not do that where areas touch
		for len(list) > 0 && list[0].at < a.end {
			p := list[0]
			if p.at < a.start {
				return fmt.Errorf("the images have pages at %#x, where nothing is mapped", p.at)
			}
			if n := (a.end - p.at) / s.page; p.count > n {
				rest := p
				p.count, rest.at, rest.count, rest.offset = n, a.end, p.count-n, p.offset+int64(n*s.page)
				own, list[0] = append(own, p), rest
				break
			}
			own, list = append(own, p), list[1:]
		}
		if err := s.one(&a, own); err != nil {
			return err
		}
	}
	if len(list) > 0 {
		return fmt.Errorf("the images have pages at %#x, where nothing is mapped", list[0].at)
	}
	return nil
}

func (s *sharing) one(a *area, list []pages) error {
	at := a.start
	plain := func(end uint64) {
		if end > at {
			fields := set(set(a.fields, vmaStart, at), vmaEnd, end)
			if a.status&statusFile != 0 {
				fields = set(fields, vmaOffset, a.offset+at-a.start)
			}
			s.areas = append(s.areas, fields)
			at = end
		}
	}
	gap := mostGap * s.page
	if a.status&statusFile != 0 {
		gap = 0 // what lies there has the content of the area's own file
	}
	for len(list) > 0 {
		n, end, content := 1, list[0].at+list[0].count*s.page, list[0].count
		for n < len(list) && list[n].at-end <= gap {
			end, content = list[n].at+list[n].count*s.page, content+list[n].count
			n++
		}
		run := list[:n]
		list = list[n:]
		if !a.shareable() || content < s.least {
			for _, p := range run {
				if err := s.copy(s.rest, p, -1); err != nil {
					return err
				}
				s.pagemap = append(s.pagemap, set(set(p.fields, pagesAt, p.at), pagesCount, p.count))
			}
			continue
		}
		start := run[0].at
		plain(start)
		for _, p := range run {
			if err := s.copy(s.memory, p, s.size+int64(p.at-start)); err != nil {
				return err
			}
		}
		fields := set(set(a.fields, vmaStart, start), vmaEnd, end)
		fields = set(set(fields, vmaOffset, uint64(s.size)), vmaFile, s.file)
		fields = set(fields, vmaFlags, a.flags&^unix.MAP_ANONYMOUS)
		s.areas = append(s.areas, set(fields, vmaStatus, a.status&^statusAnonymous|statusFile))
		s.size += int64(end - start)
		at = end
	}
	plain(a.end)
	return nil
}

// copy puts pages into a file, at -1: at its end.
func (s *sharing) copy(to *os.File, p pages, at int64) error {
	if at >= 0 {
		if _, err := to.Seek(at, io.SeekStart); err != nil {
			return err
		}
	}
	_, err := io.CopyN(to, io.NewSectionReader(s.from, p.offset, int64(p.count*s.page)), int64(p.count*s.page))
	return err
}

// shareable reports whether an area is memory of the kind that behaves the same when it is a file's.
func (a *area) shareable() bool {
	const advice = 1<<unix.MADV_DONTFORK | 1<<unix.MADV_HUGEPAGE | 1<<unix.MADV_NOHUGEPAGE | 1<<unix.MADV_DONTDUMP
	if a.advice&^advice != 0 {
		return false
	}
	switch a.flags &^ (mapNoReserve | mapStack) {
	case unix.MAP_PRIVATE | unix.MAP_ANONYMOUS:
		return a.status&^statusHeap == statusRegular|statusAnonymous
	case unix.MAP_PRIVATE:
		return a.status == statusRegular|statusFile
	}
	return false
}

func parseAreas(mm []byte) (list []area, exe uint64, err error) {
	if exe, err = number(mm, mmExe); err != nil {
		return nil, 0, err
	}
	err = each(mm, func(num protowire.Number, _ uint64, b []byte) error {
		if num != mmVMAs {
			return nil
		}
		a := area{fields: b}
		if err := each(b, func(num protowire.Number, v uint64, _ []byte) error {
			switch num {
			case vmaStart:
				a.start = v
			case vmaEnd:
				a.end = v
			case vmaOffset:
				a.offset = v
			case vmaFlags:
				a.flags = v
			case vmaStatus:
				a.status = v
			case vmaAdvice:
				a.advice = v
			}
			return nil
		}); err != nil {
			return err
		}
		if a.end < a.start || len(list) > 0 && a.start < list[len(list)-1].end {
			return errors.New("the images' areas are not in order")
		}
		list = append(list, a)
		return nil
	})
	return list, exe, err
}

// parsePages reads the map of pages; false where some are not in the file of pages.
func parsePages(entries [][]byte) (list []pages, ok bool, err error) {
	ok = true
	offset := int64(0)
	for _, b := range entries {
		p := pages{offset: offset, fields: b}
		var flags, old uint64
		if err := each(b, func(num protowire.Number, v uint64, _ []byte) error {
			switch num {
			case pagesAt:
				p.at = v
			case pagesCount:
				p.count = v
			case pagesCountOld: // of CRIU before 4.2, where there is no other
				old = v
			case pagesInParent:
				ok = ok && v == 0
			case pagesFlags:
				flags = v
			}
			return nil
		}); err != nil {
			return nil, false, err
		}
		ok = ok && old == 0 && flags&pagesPresent != 0 && (len(list) == 0 || p.at >= list[len(list)-1].at)
		if p.count > 1<<32 || p.at > 1<<62 {
			return nil, false, fmt.Errorf("the images have %d pages at %#x", p.count, p.at)
		}
		offset += int64(p.count) * int64(os.Getpagesize())
		list = append(list, p)
	}
	return list, ok, nil
}

func freeID(files [][]byte) uint64 {
	id := uint64(0)
	for _, f := range files {
		n, _ := number(f, fileID)
		id = max(id, n)
	}
	return id + 1
}

// fileEntry is that of the memory's file, like the one of the program that runs, which is in the same mounts.
func fileEntry(files [][]byte, exe, id uint64, size int64) ([]byte, error) {
	for _, f := range files {
		n, err := number(f, fileID)
		if err != nil {
			return nil, err
		}
		if n != exe {
			continue
		}
		regular, err := field(f, fileRegular)
		if err != nil {
			return nil, err
		}
		for _, num := range []protowire.Number{regularName, regularMode, regularBuild, regularChecksum, regularChecksumConfig, regularChecksumParameter} {
			regular = without(regular, num)
		}
		regular = set(set(set(set(regular, regularID, id), regularFlags, unix.O_RDONLY), regularPos, 0), regularSize, uint64(size))
		regular = protowire.AppendString(protowire.AppendTag(regular, regularName, protowire.BytesType), memoryPath)
		f = set(without(f, fileRegular), fileID, id)
		return protowire.AppendBytes(protowire.AppendTag(f, fileRegular, protowire.BytesType), regular), nil
	}
	return nil, errors.New("the images do not have the program that runs")
}

// each calls f with the fields of a message, numbers as v and all others as b.
func each(message []byte, f func(num protowire.Number, v uint64, b []byte) error) error {
	for len(message) > 0 {
		num, typ, n := protowire.ConsumeField(message)
		if n < 0 {
			return protowire.ParseError(n)
		}
		_, _, tag := protowire.ConsumeTag(message)
		var v uint64
		var b []byte
		switch typ {
		case protowire.VarintType:
			v, _ = protowire.ConsumeVarint(message[tag:])
		case protowire.BytesType:
			b, _ = protowire.ConsumeBytes(message[tag:])
		}
		if err := f(num, v, b); err != nil {
			return err
		}
		message = message[n:]
	}
	return nil
}

// without is a message without a field. The message is one that each has read.
func without(message []byte, field protowire.Number) []byte {
	out := make([]byte, 0, len(message)+64)
	for len(message) > 0 {
		num, _, n := protowire.ConsumeField(message)
		if n < 0 {
			return out
		}
		if num != field {
			out = append(out, message[:n]...)
		}
		message = message[n:]
	}
	return out
}

// set is a message with a number in a field.
func set(message []byte, field protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(without(message, field), field, protowire.VarintType), v)
}

// readEntries returns all entries of an image.
func readEntries(name string) ([][]byte, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var list [][]byte
	for at := imageHeader - 4; at < len(b); {
		if len(b)-at < 4 {
			return nil, fmt.Errorf("%s: %w", filepath.Base(name), io.ErrUnexpectedEOF)
		}
		length := int64(binary.LittleEndian.Uint32(b[at:]))
		if at += 4; int64(len(b)-at) < length {
			return nil, fmt.Errorf("%s: %w", filepath.Base(name), io.ErrUnexpectedEOF)
		}
		list = append(list, b[at:at+int(length)])
		at += int(length)
	}
	return list, nil
}

// writeEntries puts others into the place of an image's entries.
func writeEntries(name string, list [][]byte) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	out := slices.Clone(b[:imageHeader-4])
	for _, entry := range list {
		out = append(binary.LittleEndian.AppendUint32(out, uint32(len(entry))), entry...)
	}
	return os.WriteFile(name, out, 0o600)
}

// zeroing are words in the programs of allocators that rely on zeros after MADV_DONTNEED, or may do so.
var zeroing = [][]byte{[]byte("jemalloc"), []byte("snmalloc"), []byte("mimalloc")}

// reliesOnZeros reports whether a process has such an allocator: what it executes is looked through.
func reliesOnZeros(pid int) (bool, error) {
	maps, err := mappings(pid)
	if err != nil {
		return true, err
	}
	seen := map[string]bool{}
	for _, m := range maps {
		if !strings.Contains(m.permissions, "x") || seen[m.path] {
			continue
		}
		seen[m.path] = true
		file, err := os.Open(fmt.Sprintf("/proc/%d/map_files/%x-%x", pid, m.start, m.end))
		if err != nil {
			return true, fmt.Errorf("read what a worker executes: %w", err)
		}
		found, err := contains(file, zeroing)
		file.Close()
		if err != nil || found {
			return found, err
		}
	}
	return false, nil
}

// contains looks for words in a file.
func contains(r io.Reader, words [][]byte) (bool, error) {
	longest := 0
	for _, w := range words {
		longest = max(longest, len(w))
	}
	buf := make([]byte, 256<<10)
	kept := 0
	for {
		n, err := r.Read(buf[kept:])
		end := kept + n
		for _, w := range words {
			if bytes.Contains(buf[:end], w) {
				return true, nil
			}
		}
		if err == io.EOF {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		kept = min(longest-1, end)
		copy(buf, buf[end-kept:end])
	}
}
