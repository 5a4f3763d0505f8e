package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/minio/highwayhash"
)

// The embedded server believes what stands in its block files before it looks at their checksums: one flipped bit makes it
// fill memory with the gaps between two sequences, or ends the process. So the records are walked before it starts, and
// those that are not what was written are taken out.
//
// A record is (server/filestore.go): its length with the highest bit for headers (4 bytes, little endian), the sequence
// with the two highest bits for what is erased and for what says of another one that it is gone (8), the time (8),
// the length of the subject (2), subject, the length of the headers (4) if there are any, headers, message, and a
// HighwayHash (8) of all but the three lengths, of what is erased but the first two. Its key is the SHA-256 of the stream's name and the block's number.
//
// A block that is compressed is "cmp", 1, the length of what it was (a uvarint), S2, and the last record's hash.
const (
	recordHead = 22
	recordHash = 8
	maxRecord  = 32 << 20
	headersBit = 1 << 31
	erasedBit  = 1 << 63
	// maxBlock is what a block may be when it is unpacked.
	maxBlock = 64 << 20

	packedMagic = "cmp\x01"
)

// records walks the records of one block.
type records struct{ hash hash.Hash64 }

func newRecords(stream string, block int) (*records, error) {
	key := sha256.Sum256([]byte(stream + "-" + strconv.Itoa(block)))
	h, err := highwayhash.New64(key[:])
	return &records{h}, err
}

// length is that of the record at the beginning of b; 0: there is none that is what was written.
func (r *records) length(b []byte) int {
	if len(b) < recordHead+recordHash {
		return 0
	}
	length := binary.LittleEndian.Uint32(b)
	subject := int(binary.LittleEndian.Uint16(b[20:]))
	headers := length&headersBit != 0
	n := int(length &^ headersBit)
	if n > len(b) || n > maxRecord {
		return 0
	}
	data := n - recordHead - recordHash // of subject, headers and message
	text := subject
	if headers {
		text += 4
	}
	if data < text {
		return 0
	}
	body, sum := b[recordHead:n-recordHash], b[n-recordHash:n]
	if headers {
		n := uint64(binary.LittleEndian.Uint32(body[subject:]))
		if n > uint64(data-text) || !bytes.HasSuffix(body[text:text+int(n)], []byte("\r\n\r\n")) {
			return 0
		}
	}
	r.hash.Reset()
	_, _ = r.hash.Write(b[4:20])
	if erased := binary.LittleEndian.Uint64(b[4:])&erasedBit != 0; erased {
		_, _ = r.hash.Write(body)
	} else {
		_, _ = r.hash.Write(body[:subject])
		_, _ = r.hash.Write(body[text:])
	}
	if !bytes.Equal(r.hash.Sum(nil), sum) {
		return 0
	}
	return n
}

// sound returns the records of a block that are what was written; all says that there is nothing else.
func (r *records) sound(b []byte) (out []byte, all bool) {
	unpacked, whole := unpack(b)
	at, from := 0, 0 // from: where the sound ones begin that go on until at
	for at < len(unpacked) {
		if n := r.length(unpacked[at:]); n > 0 {
			at += n
			continue
		}
		whole = false
		out = append(out, unpacked[from:at]...)
		for at++; at < len(unpacked) && r.length(unpacked[at:]) == 0; at++ {
		}
		from = min(at, len(unpacked))
	}
	if whole {
		return b, true
	}
	return append(out, unpacked[from:]...), false
}

// unpack returns what a block is without compression; false: it is not all there.
func unpack(b []byte) ([]byte, bool) {
	rest, packed := bytes.CutPrefix(b, []byte(packedMagic))
	if !packed {
		return b, true
	}
	size, n := binary.Uvarint(rest)
	if n <= 0 || len(rest) < n+recordHash {
		return nil, false
	}
	end := len(rest) - recordHash
	out, err := io.ReadAll(io.LimitReader(s2.NewReader(bytes.NewReader(rest[n:end])), maxBlock))
	return append(out, rest[end:]...), err == nil && uint64(len(out)+recordHash) == size
}

// mendBlocks takes out of block files what was not written so, and keeps them whole beside the folder. It
// reports whether there were any.
func (s *Store) mendBlocks() (bool, error) {
	folder := filepath.Join(s.dir, stateFolder)
	blocks, err := filepath.Glob(filepath.Join(folder, "jetstream", "*", "streams", "*", "msgs", "*.blk"))
	if err != nil {
		return false, err
	}
	aside, mended := "", false
	for _, file := range blocks {
		number, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(file), ".blk"))
		if err != nil {
			continue // not one of the embedded server's
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return mended, fmt.Errorf("look through %s: %w", file, err)
		}
		r, err := newRecords(filepath.Base(filepath.Dir(filepath.Dir(file))), number)
		if err != nil {
			return mended, err
		}
		sound, all := r.sound(b)
		if all {
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
		if err := replaceFile(file, sound); err != nil {
			return mended, err
		}
		_ = os.Remove(filepath.Join(filepath.Dir(file), "index.db")) // it speaks of what was taken out
		s.log.Warn("took out of a file of the store what was damaged", "file", file, "bytes", len(b), "sound", len(sound), "kept", to)
		mended = true
	}
	return mended, nil
}

// An embedded server that meets damage which nobody thought of may end the process. So it is counted how often in a row a
// server has died while it opened the folder; one that was only killed then is likely to come up the next time.
const (
	openingFile   = "opening"
	tolerateDeath = 2
)

// opening notes that the folder is being opened, and returns how many have died of it just before.
func (s *Store) opening() (died int) {
	file := filepath.Join(s.dir, openingFile)
	if b, err := os.ReadFile(file); err == nil {
		died = len(b)
	}
	// Where it cannot be written, for want of room, nothing is counted.
	_ = os.WriteFile(file, bytes.Repeat([]byte("x"), min(died, tolerateDeath)+1), 0o600)
	return died
}

func (s *Store) opened() {
	if err := os.Remove(filepath.Join(s.dir, openingFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("note that the store is open", "error", err)
	}
}
