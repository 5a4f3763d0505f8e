package gate

import (
	"crypto/rand"
	"encoding/hex"

	"github.com/cloudjit/cloudjit/internal/node"
)

// Header names in the form that http.Header keeps them.
const (
	HeaderType     = "X-Amz-Invocation-Type"
	HeaderLogType  = "X-Amz-Log-Type"
	HeaderContext  = "X-Amz-Client-Context"
	HeaderError    = "X-Amz-Function-Error"
	HeaderLog      = "X-Amz-Log-Result"
	HeaderExecuted = "X-Amz-Executed-Version"
	HeaderTrace    = "X-Amzn-Trace-Id"
	HeaderRequest  = "X-Amzn-Requestid"
	// Ours: which rung served, and whether the invocation had to wait for a new worker.
	HeaderRung = node.HeaderRung
	HeaderCold = node.HeaderCold
)

const (
	TypeRequest = "RequestResponse"
	TypeEvent   = "Event"
	TypeDryRun  = "DryRun"

	MaxClientContext = 3583 // bytes of base64
	MaxLogTail       = 4 << 10
)

// NewUUID returns a random UUID, as Lambda uses for requests and RevisionIds.
func NewUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	var t [36]byte
	hex.Encode(t[:8], b[:4])
	hex.Encode(t[9:13], b[4:6])
	hex.Encode(t[14:18], b[6:8])
	hex.Encode(t[19:23], b[8:10])
	hex.Encode(t[24:], b[10:])
	t[8], t[13], t[18], t[23] = '-', '-', '-', '-'
	return string(t[:])
}

func Or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}
