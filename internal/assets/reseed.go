package assets

import (
	"bytes"
	"encoding/binary"
)

// reseedAddon is the file nodejs/reseed.node: a native module of Node.js of the least form (elf(5), psABI x86-64), which
// calls RAND_poll of the OpenSSL that is part of node when it is loaded, and each time that it is loaded again. Nothing that
// node offers to programs makes OpenSSL ask the kernel for a new seed, which copies of a process need. Its code is
//
//	napi_register_module_v1: sub $8, %rsp; call *slot(%rip); xor %eax, %eax; add $8, %rsp; ret
//
// and the dynamic linker refuses it where there is no RAND_poll. There is none for other processors: workers are saved on
// x86-64 only.
func reseedAddon() []byte {
	const (
		headers = 64 + 4*56
		page    = 0x1000
		symbol  = 24
		rela    = 24
	)
	e := binary.LittleEndian
	names := "\x00napi_register_module_v1\x00RAND_poll\x00"
	offset := func(name string) uint32 { return uint32(bytes.Index([]byte(names), []byte("\x00"+name+"\x00")) + 1) }

	hash := uint64(headers)
	hashTable := []uint32{1, 3, 1, 0, 2, 0} // one bucket, three symbols: 1, then 2
	symbols := hash + uint64(4*len(hashTable))
	text := symbols + 3*symbol
	code := []byte{0x48, 0x83, 0xec, 0x08, 0xff, 0x15, 0, 0, 0, 0, 0x31, 0xc0, 0x48, 0x83, 0xc4, 0x08, 0xc3}
	strings := text + 24
	relocations := (strings + uint64(len(names)) + 7) &^ 7
	end := relocations + rela
	data := uint64(page) // of the second segment, in the file and in memory
	dynamic := [][2]uint64{
		{4, hash}, {5, strings}, {6, symbols}, {10, uint64(len(names))}, {11, symbol}, // DT_HASH, STRTAB, SYMTAB, STRSZ, SYMENT
		{7, relocations}, {8, rela}, {9, rela}, // DT_RELA, RELASZ, RELAENT
		{0, 0},
	}
	slot := data + uint64(16*len(dynamic))
	e.PutUint32(code[6:], uint32(slot-(text+10)))

	b := make([]byte, slot+8)
	copy(b, "\x7fELF\x02\x01\x01")
	e.PutUint16(b[16:], 3)  // ET_DYN
	e.PutUint16(b[18:], 62) // EM_X86_64
	e.PutUint32(b[20:], 1)
	e.PutUint64(b[32:], 64) // program headers
	e.PutUint16(b[52:], 64)
	e.PutUint16(b[54:], 56)
	e.PutUint16(b[56:], 4)
	for i, p := range []struct {
		kind, flags   uint32
		at, size, per uint64
	}{
		{1, 5, 0, end, page},                       // PT_LOAD, read and execute
		{1, 6, data, slot + 8 - data, page},        // PT_LOAD, read and write
		{2, 6, data, uint64(16 * len(dynamic)), 8}, // PT_DYNAMIC
		{0x6474e551, 6, 0, 0, 16},                  // PT_GNU_STACK: none that is executed
	} {
		h := b[64+56*i:]
		e.PutUint32(h, p.kind)
		e.PutUint32(h[4:], p.flags)
		for j, v := range []uint64{p.at, p.at, p.at, p.size, p.size, p.per} {
			e.PutUint64(h[8+8*j:], v)
		}
	}
	for i, v := range hashTable {
		e.PutUint32(b[hash+uint64(4*i):], v)
	}
	const global = 1<<4 | 2 // STB_GLOBAL, STT_FUNC
	own, foreign := b[symbols+symbol:], b[symbols+2*symbol:]
	e.PutUint32(own, offset("napi_register_module_v1"))
	own[4] = global
	e.PutUint16(own[6:], 1) // in a section, though there are none
	e.PutUint64(own[8:], text)
	e.PutUint64(own[16:], uint64(len(code)))
	e.PutUint32(foreign, offset("RAND_poll"))
	foreign[4] = global
	copy(b[text:], code)
	copy(b[strings:], names)
	r := b[relocations:]
	e.PutUint64(r, slot)
	e.PutUint64(r[8:], 2<<32|6) // symbol 2, R_X86_64_GLOB_DAT
	for i, d := range dynamic {
		e.PutUint64(b[data+uint64(16*i):], d[0])
		e.PutUint64(b[data+uint64(16*i)+8:], d[1])
	}
	return b
}
