package trace

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"strconv"
	"strings"
)

// maxLine is the longest line that is read; a row of the 2019 set has some 6 kB at most.
const maxLine = 1 << 20

// lines reads rows of comma-separated values without allocating. The published sets quote
// nothing, so a line is split at its commas; one with a quote goes through encoding/csv.
type lines struct {
	name     string
	r        *bufio.Reader
	line     int
	fields   [][]byte
	problems *Problems
}

func newLines(name string, r io.Reader, problems *Problems) *lines {
	return &lines{name: name, r: bufio.NewReaderSize(r, maxLine), problems: problems}
}

// next returns the fields of the next row that is not empty, valid until the next call.
func (l *lines) next() ([][]byte, error) {
	for {
		b, err := l.r.ReadSlice('\n')
		l.line++
		if errors.Is(err, bufio.ErrBufferFull) {
			l.problems.add(LongLine, l.name, l.line, "longer than %d bytes", maxLine)
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = l.r.ReadSlice('\n')
			}
			if err != nil {
				return nil, err
			}
			continue
		}
		if err != nil && (!errors.Is(err, io.EOF) || len(b) == 0) {
			return nil, err
		}
		if l.line == 1 {
			b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
		}
		b = bytes.TrimRight(b, "\r\n")
		if len(b) == 0 {
			continue
		}
		if bytes.IndexByte(b, '"') >= 0 {
			row, err := csv.NewReader(bytes.NewReader(b)).Read()
			if err != nil {
				l.problems.add(MalformedRow, l.name, l.line, "quotes: %v", err)
				continue
			}
			l.fields = l.fields[:0]
			for _, f := range row {
				l.fields = append(l.fields, []byte(f))
			}
			return l.fields, nil
		}
		l.fields = l.fields[:0]
		for {
			i := bytes.IndexByte(b, ',')
			if i < 0 {
				break
			}
			l.fields = append(l.fields, b[:i])
			b = b[i+1:]
		}
		l.fields = append(l.fields, b)
		return l.fields, nil
	}
}

// malformed reports the present row.
func (l *lines) malformed(format string, args ...any) {
	l.problems.add(MalformedRow, l.name, l.line, format, args...)
}

// header maps names of columns to their places.
type header map[string]int

func newHeader(fields [][]byte) header {
	h := make(header, len(fields))
	for i, f := range fields {
		name := strings.TrimSpace(string(f))
		if _, doubled := h[name]; !doubled {
			h[name] = i
		}
	}
	return h
}

// has reports whether all the columns are there.
func (h header) has(names ...string) bool {
	for _, n := range names {
		if _, ok := h[n]; !ok {
			return false
		}
	}
	return true
}

// at is the place of the first of the names that is there, -1 for none.
func (h header) at(names ...string) int {
	for _, n := range names {
		if i, ok := h[n]; ok {
			return i
		}
	}
	return -1
}

// parseCount reads an unsigned number of at most nine digits; an empty field is 0, and a
// fraction of zero, as data frames write it ("3.0"), is let through.
func parseCount(b []byte) (uint32, bool) {
	if i := bytes.IndexByte(b, '.'); i > 0 {
		if len(bytes.Trim(b[i+1:], "0")) > 0 {
			return 0, false
		}
		b = b[:i]
	}
	if len(b) > 9 {
		return 0, false
	}
	var n uint32
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint32(c-'0')
	}
	return n, true
}

// parseFloat reads a finite number.
func parseFloat(b []byte) (float64, bool) {
	v, err := strconv.ParseFloat(strings.TrimSpace(string(b)), 64)
	return v, err == nil && v-v == 0
}
