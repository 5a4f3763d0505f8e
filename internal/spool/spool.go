// Package spool keeps the bodies of requests and answers while they are under way: small ones in memory,
// others in one file without a name, both within budgets. It must not know what they are.
//
// A body that comes slowly holds one block of memory, however large it will be; one that is complete
// and waits holds none if it is larger than a block.
package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/disk"
)

// ErrTooLarge is returned by Read for more than its limit.
var ErrTooLarge = errors.New("body is larger than allowed")

// ErrFull is returned while the bodies under way take all the disk that they may take.
var ErrFull = errors.New("too many bodies are under way")

const (
	// BlockSize is the most bytes of a body that stay in memory.
	BlockSize = 32 << 10
	// smallBlock is what each body may have without asking: what most are, and what a connection's buffers
	// take anyway.
	smallBlock = 4 << 10
	// chunkSize is the unit of disk.
	chunkSize = 256 << 10
)

// Options of Open.
type Options struct {
	// Dir is where the file is; it is made.
	Dir string
	// Memory that blocks take together, in bytes, beside the small ones; Disk the same of the file.
	Memory, Disk int64
}

// Pool holds bodies. Its methods may be called concurrently.
type Pool struct {
	o    Options
	file *os.File

	mu     sync.Mutex
	memory int64
	free   []int32
	next   int32 // chunks that were ever used
	used   int32
}

// Open makes the pool's file. What an earlier process had is gone with it.
func Open(o Options) (*Pool, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	f, err := os.CreateTemp(o.Dir, "spool-")
	if err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	p := &Pool{o: o, file: f}
	// Those that a process was killed with before it could remove them.
	old, _ := filepath.Glob(filepath.Join(o.Dir, "spool-*"))
	for _, name := range old {
		if err := os.Remove(name); err != nil {
			f.Close()
			return nil, fmt.Errorf("open spool: %w", err)
		}
	}
	return p, nil
}

// Close gives all disk back; bodies that are still there cannot be read any more.
func (p *Pool) Close() error { return p.file.Close() }

// Usage is what bodies take now, in bytes, and may take at most.
type Usage struct{ Memory, MemoryLimit, Disk, DiskLimit int64 }

// Usage counts blocks and chunks, not what is in them.
func (p *Pool) Usage() Usage {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Usage{p.memory, p.o.Memory, int64(p.used) * chunkSize, p.o.Disk}
}

func (p *Pool) block() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.memory+BlockSize > p.o.Memory {
		return false
	}
	p.memory += BlockSize
	return true
}

func (p *Pool) chunk() (int32, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if int64(p.used+1)*chunkSize > p.o.Disk {
		return 0, ErrFull
	}
	p.used++
	if last := len(p.free) - 1; last >= 0 {
		c := p.free[last]
		p.free = p.free[:last]
		return c, nil
	}
	p.next++
	return p.next - 1, nil
}

// held is what a body holds of its pool.
type held struct {
	pool   *Pool
	block  bool
	chunks []int32
	once   sync.Once
}

func (h *held) release() {
	h.once.Do(func() {
		for _, c := range h.chunks {
			// Where the file system cannot do this, the disk is used again by the next body.
			_ = unix.Fallocate(int(h.pool.file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(c)*chunkSize, chunkSize)
		}
		h.pool.mu.Lock()
		defer h.pool.mu.Unlock()
		h.releaseBlock()
		h.pool.free = append(h.pool.free, h.chunks...)
		h.pool.used -= int32(len(h.chunks))
	})
}

// releaseBlock gives the memory back. pool.mu is held.
func (h *held) releaseBlock() {
	if h.block {
		h.pool.memory -= BlockSize
		h.block = false
	}
}

// Body is one body, complete. Its methods may be called concurrently, but for Close.
type Body struct {
	held *held
	size int64
	mem  []byte // all of it, if it has no chunks
}

// Read takes all that r gives, up to limit bytes. The error is ErrTooLarge, ErrFull, disk.ErrFull or r's.
func (p *Pool) Read(r io.Reader, limit int64) (*Body, error) {
	h := &held{pool: p}
	b := &Body{held: h}
	if err := b.fill(r, limit); err != nil {
		h.release()
		return nil, err
	}
	runtime.AddCleanup(b, (*held).release, h) // for bodies that get lost on their way
	return b, nil
}

func (b *Body) fill(r io.Reader, limit int64) error {
	block := make([]byte, 0, 512)
	for {
		n, err := r.Read(block[len(block):cap(block)])
		block = block[:len(block)+n]
		b.size += int64(n)
		switch {
		case b.size > limit:
			return ErrTooLarge
		case err == io.EOF:
			if len(b.held.chunks) == 0 {
				b.mem = block
				return nil
			}
			if err := b.spill(block); err != nil {
				return err
			}
			b.held.pool.mu.Lock()
			b.held.releaseBlock()
			b.held.pool.mu.Unlock()
			return nil
		case err != nil:
			return err
		case len(block) < cap(block):
		case cap(block) < smallBlock:
			block = append(make([]byte, 0, smallBlock), block...)
		case cap(block) == smallBlock && len(b.held.chunks) == 0 && b.held.pool.block():
			b.held.block = true
			block = append(make([]byte, 0, BlockSize), block...)
		default:
			if err := b.spill(block); err != nil {
				return err
			}
			block = block[:0]
		}
	}
}

// spill writes what follows what has been written. b.size counts p already.
func (b *Body) spill(p []byte) error {
	for at := b.size - int64(len(p)); len(p) > 0; {
		if at == int64(len(b.held.chunks))*chunkSize {
			c, err := b.held.pool.chunk()
			if err != nil {
				return err
			}
			b.held.chunks = append(b.held.chunks, c)
		}
		n := min(int64(len(p)), chunkSize-at%chunkSize)
		if _, err := b.held.pool.file.WriteAt(p[:n], b.place(at)); err != nil {
			if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
				err = disk.ErrFull
			}
			return fmt.Errorf("keep a body: %w", err)
		}
		p, at = p[n:], at+n
	}
	return nil
}

// place is where a byte of the body stands in the file.
func (b *Body) place(at int64) int64 {
	return int64(b.held.chunks[at/chunkSize])*chunkSize + at%chunkSize
}

// Size in bytes.
func (b *Body) Size() int64 { return b.size }

// Memory returns all of a body that is in memory, not to be changed; false: it is on disk.
func (b *Body) Memory() ([]byte, bool) { return b.mem, len(b.held.chunks) == 0 }

// ReadAt implements io.ReaderAt.
func (b *Body) ReadAt(p []byte, at int64) (n int, err error) {
	if len(b.held.chunks) == 0 {
		if at >= b.size {
			return 0, io.EOF
		}
		n = copy(p, b.mem[at:])
	}
	for n < len(p) && at+int64(n) < b.size && len(b.held.chunks) > 0 {
		from := at + int64(n)
		part := min(int64(len(p)-n), chunkSize-from%chunkSize, b.size-from)
		m, err := b.held.pool.file.ReadAt(p[n:n+int(part)], b.place(from))
		n += m
		if err != nil {
			return n, fmt.Errorf("read a kept body: %w", err)
		}
	}
	runtime.KeepAlive(b)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Reader reads the body from its start. Several may be read at once.
func (b *Body) Reader() io.Reader { return io.NewSectionReader(b, 0, b.size) }

// Bytes returns all of the body in memory: that is for the caller to bound.
func (b *Body) Bytes() ([]byte, error) {
	if p, ok := b.Memory(); ok {
		return p, nil
	}
	p := make([]byte, b.size)
	_, err := b.ReadAt(p, 0)
	if err != nil && !(err == io.EOF && b.size == 0) {
		return nil, err
	}
	return p, nil
}

// Close gives back what the body holds. Idempotent.
func (b *Body) Close() error {
	b.held.release()
	return nil
}
