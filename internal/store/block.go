package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// The embedded server believes the sequences in its block files before it looks at their checksums: one flipped
// bit makes it fill memory with the gaps between two of them. So the row of records is walked before it starts.
//
// A record is (server/filestore.go): its length with the highest bit for headers (4 bytes, little endian), the sequence
// with the two highest bits for what is erased (8), the time (8), the length of the subject (2), subject,
// headers, message, and a checksum (8).
const (
	recordHead = 22
	recordHash = 8
	maxRecord  = 32 << 20
	// maxGap is how far apart two sequences of one block may be.
	maxGap = 1 << 22
)

// soundUntil is how many bytes from the beginning are records that can follow each other.
func soundUntil(b []byte) int {
	if bytes.HasPrefix(b, []byte("cmp")) {
		return len(b) // compressed, with checksums of its own
	}
	at, last := 0, uint64(0)
	for at < len(b) {
		if len(b)-at < recordHead+recordHash {
			return at
		}
		head := b[at:]
		length, seq := int(binary.LittleEndian.Uint32(head)&^(1<<31)), binary.LittleEndian.Uint64(head[4:])
		subject := int(binary.LittleEndian.Uint16(head[20:]))
		if length > len(b)-at || length > maxRecord || length < recordHead+recordHash+subject {
			return at
		}
		if seq>>63 == 0 { // else it says of another one that it is gone
			seq &^= 1 << 62
			if last > 0 && seq > last+maxGap {
				return at
			}
			last = max(last, seq)
		}
		at += length
	}
	return at
}

// mendBlocks cuts block files where their records end to make sense, and keeps them whole beside the folder. It
// reports whether there were any.
func (s *Store) mendBlocks() (bool, error) {
	folder := filepath.Join(s.dir, stateFolder)
	blocks, err := filepath.Glob(filepath.Join(folder, "jetstream", "*", "streams", "*", "msgs", "*.blk"))
	if err != nil {
		return false, err
	}
	aside, mended := "", false
	for _, file := range blocks {
		b, err := os.ReadFile(file)
		if err != nil {
			return mended, fmt.Errorf("look through %s: %w", file, err)
		}
		end := soundUntil(b)
		if end == len(b) {
			continue
		}
		if aside == "" {
			aside = folder + ".damaged-" + time.Now().UTC().Format("20060102T150405.000") + "-blocks"
		}
		rel, err := filepath.Rel(folder, file)
		if err != nil {
			return mended, err
		}
		to := filepath.Join(aside, rel)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return mended, err
		}
		if err := os.WriteFile(to, b, 0o600); err != nil {
			return mended, err
		}
		if err := os.Truncate(file, int64(end)); err != nil {
			return mended, err
		}
		_ = os.Remove(filepath.Join(filepath.Dir(file), "index.db")) // it speaks of what was cut off
		s.log.Warn("cut a damaged file of the store", "file", file, "bytes", len(b), "sound", end, "kept", to)
		mended = true
	}
	return mended, nil
}
