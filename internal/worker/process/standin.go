package process

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// CRIU is linked with libraries that it needs for what is not done here: gnutls, to send images over a network, and
// nftables, to close a network while a worker is saved. They bring eleven more, and two thirds of the time that CRIU takes to start:
// 5.4 of 8.6 ms of CPU time, in each restore. So a restore finds libraries of the same names that are empty. Functions are
// looked up when they are called, which none is; what is looked up at the start is there.

// standin is a library that says of itself what the dynamic linker wants to know.
type standin struct {
	name    string // DT_SONAME
	version string // of its symbols
	object  string // a variable that the program has a copy of; empty: there is none
}

var standins = []standin{
	{"libgnutls.so.30", "GNUTLS_3_4", "gnutls_free"},
	{"libnftables.so.1", "LIBNFTABLES_1", ""},
}

// writeStandins puts them into a folder.
func writeStandins(dir string) error {
	for _, s := range standins {
		if err := os.WriteFile(filepath.Join(dir, s.name), s.library(), 0o644); err != nil {
			return fmt.Errorf("make libraries for CRIU: %w", err)
		}
		if err := os.Chmod(filepath.Join(dir, s.name), 0o644); err != nil { // whatever the server's mask is
			return fmt.Errorf("make libraries for CRIU: %w", err)
		}
	}
	return nil
}

// library is a shared library of one segment (elf(5)).
func (s standin) library() []byte {
	names := []byte{0}
	name := func(text string) uint32 {
		at := len(names)
		names = append(append(names, text...), 0)
		return uint32(at)
	}
	soname, version := name(s.name), name(s.version)
	symbols := []elf.Sym64{{}}
	versions := []uint16{0}
	if s.object != "" {
		symbols = append(symbols, elf.Sym64{Name: name(s.object), Info: elf.ST_INFO(elf.STB_GLOBAL, elf.STT_OBJECT), Shndx: 1, Size: 8})
		versions = append(versions, 2)
	}
	const (
		alignment = 8
		header    = 64 + 2*56
	)
	var body bytes.Buffer
	part := func(data any) (at uint64) {
		for (header+body.Len())%alignment != 0 {
			body.WriteByte(0)
		}
		at = uint64(header + body.Len())
		if err := binary.Write(&body, binary.LittleEndian, data); err != nil {
			panic(err) // of numbers
		}
		return at
	}
	object := part(make([]byte, 8))
	if s.object != "" {
		symbols[1].Value = object
	}
	strings := part(names)
	table := part(symbols)
	// One bucket: a chain of all symbols.
	hash := part([]uint32{1, uint32(len(symbols)), uint32(len(symbols) - 1)})
	for i := range symbols {
		binary.Write(&body, binary.LittleEndian, uint32(max(i-1, 0)))
	}
	versym := part(versions)
	// Two versions: the library's own name, and that of its symbols (Elf64_Verdef, Elf64_Verdaux).
	type definition struct {
		Version, Flags, Index, Count uint16
		Hash, Aux, Next              uint32
		Name, NextName               uint32
	}
	verdef := part([]definition{
		{Version: 1, Flags: 1, Index: 1, Count: 1, Hash: symbolHash(s.name), Aux: 20, Next: 28, Name: soname},
		{Version: 1, Index: 2, Count: 1, Hash: symbolHash(s.version), Aux: 20, Name: version},
	})
	var entries []elf.Dyn64
	for _, e := range []struct {
		tag   elf.DynTag
		value uint64
	}{
		{elf.DT_SONAME, uint64(soname)}, {elf.DT_HASH, hash}, {elf.DT_STRTAB, strings}, {elf.DT_SYMTAB, table}, {elf.DT_STRSZ, uint64(len(names))},
		{elf.DT_SYMENT, elf.Sym64Size}, {elf.DT_VERSYM, versym}, {elf.DT_VERDEF, verdef}, {elf.DT_VERDEFNUM, 2}, {elf.DT_NULL, 0},
	} {
		entries = append(entries, elf.Dyn64{Tag: int64(e.tag), Val: e.value})
	}
	dynamic := part(entries)
	size := uint64(header + body.Len())

	h := elf.Header64{Type: uint16(elf.ET_DYN), Machine: machines[runtime.GOARCH], Version: 1, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 2, Shentsize: 64}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)
	writable := uint32(elf.PF_R | elf.PF_W) // the linker notes things in there
	var out bytes.Buffer
	for _, v := range []any{h,
		elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: writable, Filesz: size, Memsz: size, Align: 0x10000},
		elf.Prog64{Type: uint32(elf.PT_DYNAMIC), Flags: writable, Off: dynamic, Vaddr: dynamic, Paddr: dynamic, Filesz: size - dynamic, Memsz: size - dynamic, Align: alignment},
	} {
		if err := binary.Write(&out, binary.LittleEndian, v); err != nil {
			panic(err) // of numbers
		}
	}
	return append(out.Bytes(), body.Bytes()...)
}

// symbolHash is System V's, of names of symbols.
func symbolHash(name string) (h uint32) {
	for _, c := range []byte(name) {
		h = h<<4 + uint32(c)
		high := h & 0xf0000000
		h = (h ^ high>>24) &^ high
	}
	return h
}
