package lambda

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strconv"

	"github.com/cloudjit/cloudjit/internal/api/gate"
)

// zipPaths are where an archive stands in a request: create and update-code.
var zipPaths = [][]string{{"Code", "ZipFile"}, {"ZipFile"}}

// splitZip copies a JSON document from r, but hands the base64 string at Code.ZipFile or ZipFile,
// decoded, to sink and leaves "" in its place: archives of hundreds of megabytes are never
// held in memory. It returns the rest and whether there was an archive; whether the rest is
// well-formed is for its reader to find out.
func splitZip(r io.Reader, limit int, sink func(io.Reader) error) ([]byte, bool, error) {
	s := &zipSplitter{in: bufio.NewReaderSize(r, 64<<10), limit: limit}
	for {
		c, err := s.in.ReadByte()
		if err == io.EOF {
			return s.rest.Bytes(), s.found, nil
		}
		if err != nil {
			return nil, s.found, err
		}
		if err := s.next(c, sink); err != nil {
			return nil, s.found, err
		}
	}
}

// zipSplitter is as much of a JSON lexer as it takes to know where a string stands.
type zipSplitter struct {
	in    *bufio.Reader
	rest  bytes.Buffer
	limit int
	stack []container
	found bool
}

type container struct {
	object, wantKey bool
	key             string
}

// maxDepth of nested JSON; encoding/json's own limit is 10,000.
const maxDepth = 64

func (s *zipSplitter) next(c byte, sink func(io.Reader) error) error {
	if s.rest.Len() >= s.limit {
		return &http.MaxBytesError{Limit: int64(s.limit)}
	}
	top := len(s.stack) - 1
	switch c {
	case '{', '[':
		if len(s.stack) == maxDepth {
			return gate.Serialization("nested too deeply")
		}
		s.stack = append(s.stack, container{object: c == '{', wantKey: c == '{'})
	case '}', ']':
		if top >= 0 {
			s.stack = s.stack[:top]
		}
	case ',':
		if top >= 0 {
			s.stack[top].wantKey = s.stack[top].object
		}
	case ':':
		if top >= 0 {
			s.stack[top].wantKey = false
		}
	case '"':
		return s.text(sink)
	}
	return s.rest.WriteByte(c)
}

// text reads a string whose opening quote was read.
func (s *zipSplitter) text(sink func(io.Reader) error) error {
	if s.isZip() {
		if s.found {
			return gate.Serialization("ZipFile is given twice")
		}
		s.found = true
		in := &quoted{in: s.in}
		if err := sink(base64.NewDecoder(base64.StdEncoding, in)); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, in); err != nil {
			return err
		}
		s.rest.WriteString(`""`)
		return nil
	}
	start := s.rest.Len()
	s.rest.WriteByte('"')
	for escaped := false; ; {
		c, err := s.in.ReadByte()
		if err == io.EOF {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		if s.rest.Len() >= s.limit {
			return &http.MaxBytesError{Limit: int64(s.limit)}
		}
		s.rest.WriteByte(c)
		if c == '"' && !escaped {
			break
		}
		escaped = c == '\\' && !escaped
	}
	if top := len(s.stack) - 1; top >= 0 && s.stack[top].wantKey {
		var key string
		if json.Unmarshal(s.rest.Bytes()[start:], &key) == nil {
			s.stack[top].key = key
		}
	}
	return nil
}

func (s *zipSplitter) isZip() bool {
	if n := len(s.stack); n == 0 || s.stack[n-1].wantKey {
		return false
	}
next:
	for _, path := range zipPaths {
		if len(path) != len(s.stack) {
			continue
		}
		for i, key := range path {
			if !s.stack[i].object || s.stack[i].key != key {
				continue next
			}
		}
		return true
	}
	return false
}

// quoted reads a JSON string of ASCII to its closing quote, which is the end of it.
type quoted struct {
	in   *bufio.Reader
	done bool
}

func (q *quoted) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) && !q.done {
		// Nearly all of it is plain: copy up to what stands in the buffer.
		if q.in.Buffered() == 0 && n > 0 {
			return n, nil
		}
		c, err := q.in.ReadByte()
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return n, err
		}
		switch c {
		case '"':
			q.done = true
			continue
		case '\\':
			if c, err = q.escape(); err != nil {
				return n, err
			}
		}
		p[n] = c
		n++
	}
	if n == 0 && q.done {
		return 0, io.EOF
	}
	return n, nil
}

// escape reads what follows a backslash.
func (q *quoted) escape() (byte, error) {
	c, err := q.in.ReadByte()
	if err != nil {
		return 0, io.ErrUnexpectedEOF
	}
	switch c {
	case '/', '\\', '"':
		return c, nil
	case 'n', 'r', 't':
		return '\n', nil // base64 ignores it
	case 'u':
		var hex [4]byte
		if _, err := io.ReadFull(q.in, hex[:]); err != nil {
			return 0, io.ErrUnexpectedEOF
		}
		if v, err := strconv.ParseUint(string(hex[:]), 16, 16); err == nil && v < 128 {
			return byte(v), nil
		}
	}
	return 0, gate.Serialization("ZipFile is not base64")
}
