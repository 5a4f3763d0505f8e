package process

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A worker that is saved or restored is not the first process of its namespace, since CRIU has to be a process
// in there, too. The first one is the smallest that there is: it waits for all others, writes the status of
// process 301 to descriptor 3, and ends, and with it all others do. If there is no other left, it writes that of the
// last one. It has no libraries, no memory but its stack, and no privileges.

// workerPID is the number of the worker inside; first_*.s know it, too.
const workerPID = 301

// machines are what programs for a processor say (EM_X86_64, EM_AARCH64).
var machines = map[string]uint16{"amd64": 62, "arm64": 183}

// firstBounds are the addresses of the code.
func firstBounds() (begin, end uintptr)

// firstProgram returns a descriptor of the program, an executable of the kernel's smallest form (elf(5)).
func firstProgram() (*os.File, error) {
	code, end := firstBounds()
	size := end - code
	if end <= code || size > 4096 {
		return nil, fmt.Errorf("make the first process: its code has %d bytes", size)
	}
	const (
		header  = 64
		program = 56
		address = 0x400000
	)
	e := binary.LittleEndian
	b := []byte{0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0} // 64 bits, little-endian, version 1
	b = e.AppendUint16(b, 2)                                             // ET_EXEC
	b = e.AppendUint16(b, machines[runtime.GOARCH])
	b = e.AppendUint32(b, 1)
	b = e.AppendUint64(b, address+header+program) // entry
	b = e.AppendUint64(b, header)                 // program headers
	b = e.AppendUint64(b, 0)
	b = e.AppendUint32(b, 0)
	for _, v := range []uint16{header, program, 1, 0, 0, 0} {
		b = e.AppendUint16(b, v)
	}
	b = e.AppendUint32(b, 1) // PT_LOAD
	b = e.AppendUint32(b, 5) // read, execute
	length := uint64(header+program) + uint64(size)
	for _, v := range []uint64{0, address, address, length, length, 4096} {
		b = e.AppendUint64(b, v)
	}
	b = append(b, unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&code))), size)...)

	fd, err := unix.MemfdCreate("first", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make the first process: %w", err)
	}
	f := os.NewFile(uintptr(fd), "first")
	if _, err := f.Write(b); err != nil {
		f.Close()
		return nil, fmt.Errorf("make the first process: %w", err)
	}
	return f, nil
}
