package classfile

import "encoding/binary"

// Tags of the constant pool (JVM specification, table 4.4-A).
const (
	tagUtf8               = 1
	tagInteger            = 3
	tagFloat              = 4
	tagLong               = 5
	tagDouble             = 6
	tagClass              = 7
	tagString             = 8
	tagFieldref           = 9
	tagMethodref          = 10
	tagInterfaceMethodref = 11
	tagNameAndType        = 12
	tagMethodHandle       = 15
	tagMethodType         = 16
	tagDynamic            = 17
	tagInvokeDynamic      = 18
	tagModule             = 19
	tagPackage            = 20
)

// pool keeps where each constant stands, and decodes one only when it is asked for: most of
// a pool belongs to code, which is not read.
type pool struct {
	tags   []uint8
	bodies [][]byte
	failed bool
}

func readPool(r *reader) *pool {
	n := int(r.u2())
	// Each entry takes at least 3 bytes, so a hostile count allocates no more than its file.
	if n == 0 || !r.need(3*((n-1)/2)) {
		r.failed = true
		return &pool{failed: true}
	}
	p := &pool{tags: make([]uint8, n), bodies: make([][]byte, n)}
	for i := 1; i < n && !r.failed; i++ {
		tag := r.u1()
		var size uint32
		switch tag {
		case tagUtf8:
			size = uint32(r.u2())
		case tagClass, tagString, tagMethodType, tagModule, tagPackage:
			size = 2
		case tagMethodHandle:
			size = 3
		case tagInteger, tagFloat, tagFieldref, tagMethodref, tagInterfaceMethodref, tagNameAndType, tagDynamic, tagInvokeDynamic:
			size = 4
		case tagLong, tagDouble:
			size = 8
		default:
			r.failed = true
			return p
		}
		p.tags[i], p.bodies[i] = tag, r.bytes(size)
		if tag == tagLong || tag == tagDouble {
			i++ // these take two slots (JVM specification, 4.4.5)
		}
	}
	return p
}

func (p *pool) at(i uint16, tag uint8) []byte {
	if int(i) >= len(p.tags) || p.tags[i] != tag {
		p.failed = true
		return nil
	}
	return p.bodies[i]
}

// utf8 returns a constant as it stands: names outside ASCII are in Java's modified UTF-8,
// which differs from UTF-8 only for NUL and for characters beyond 16 bits.
func (p *pool) utf8(i uint16) string { return string(p.at(i, tagUtf8)) }

// class returns the name behind a class constant; index 0 is "none".
func (p *pool) class(i uint16) string {
	if i == 0 {
		return ""
	}
	b := p.at(i, tagClass)
	if len(b) < 2 {
		return ""
	}
	return dotted(p.utf8(binary.BigEndian.Uint16(b)))
}

func (p *pool) signature(body []byte) string {
	if len(body) != 2 {
		p.failed = true
		return ""
	}
	return p.utf8(binary.BigEndian.Uint16(body))
}

// Constants calls each with every text of a class file's constant pool: names, descriptors and
// string literals alike. It returns false if b does not begin as a class file.
func Constants(b []byte, each func(text []byte)) bool {
	r := &reader{b: b}
	if r.u4() != magic {
		return false
	}
	r.u4() // minor and major version
	p := readPool(r)
	for i, tag := range p.tags {
		if tag == tagUtf8 {
			each(p.bodies[i])
		}
	}
	return !r.failed
}
