package gate

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

// MaxDocument is the most bytes of a request's JSON, not counting an archive in it.
const MaxDocument = 1 << 20

// How long a client may take to send a request's body.
const (
	BodyTime   = time.Minute
	UploadTime = 15 * time.Minute
)

// BodyDeadline makes reads of the body fail after d; what it returns lifts that again. Without
// it, a client that sends nothing would hold its connection for as long as it likes.
func BodyDeadline(w http.ResponseWriter, d time.Duration) (lift func()) {
	c := http.NewResponseController(w)
	if c.SetReadDeadline(time.Now().Add(d)) != nil {
		return func() {} // no connection, as in tests
	}
	return func() { _ = c.SetReadDeadline(time.Time{}) }
}

func Unmarshal(b []byte, into any) error {
	if len(bytes.TrimSpace(b)) == 0 {
		return nil
	}
	if err := json.Unmarshal(b, into); err != nil {
		return Serialization(err.Error())
	}
	return nil
}

func Serialization(reason string) *Error {
	return Fault(http.StatusBadRequest, "SerializationException", "Could not parse request body into json: %s", reason)
}

func BodyError(err error) error {
	var tooBig *http.MaxBytesError
	if errors.As(err, &tooBig) {
		return err
	}
	return Fault(http.StatusBadRequest, "InvalidRequestContentException", "Could not read the request body: %v", err)
}

// UploadLimit is the most bytes of a request with an archive. Base64 takes four bytes for three; some
// encoders break lines.
func (s *Gate) UploadLimit() int64 {
	limit := s.Opt.Limits.Code
	return limit/3*4 + limit/16 + MaxDocument
}
