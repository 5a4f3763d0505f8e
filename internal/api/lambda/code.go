package lambda

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/cloudjit/cloudjit/internal/api/gate"
	"github.com/cloudjit/cloudjit/internal/artifact"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/jar"
)

// codeSource is how a request names its code.
type codeSource struct {
	ZipFile         *string
	S3Bucket, S3Key string
	S3ObjectVersion string
	ImageURI        string `json:"ImageUri"`
}

func (c *codeSource) refuse() error {
	switch {
	case c.ImageURI != "":
		return gate.Invalid("Container images are not supported: upload a ZIP or JAR as ZipFile.")
	case c.S3Bucket != "" || c.S3Key != "":
		return gate.Invalid("Code in S3 is not supported: there is no S3 here. Upload the archive as ZipFile (up to the limit that this server was configured with).")
	}
	return nil
}

// uploaded is an archive that came with a request and was accepted.
type uploaded struct {
	artifact.Ref
	info *jar.Info
	// release ends the protection from being swept that an archive has that no revision names yet.
	release func()
}

// uploads are the archives that are being accepted.
type uploads struct {
	mu     sync.Mutex
	active map[string]int
}

func (u *uploads) hold(sha string) (release func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.active == nil {
		u.active = map[string]int{}
	}
	u.active[sha]++
	var once sync.Once
	return func() {
		once.Do(func() {
			u.mu.Lock()
			defer u.mu.Unlock()
			if u.active[sha]--; u.active[sha] == 0 {
				delete(u.active, sha)
			}
		})
	}
}

func (u *uploads) has(sha string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.active[sha] > 0
}

// readUpload reads a request with an archive in it: the rest into doc, the archive, if there is
// one, into the artifact store, checked. The caller calls release when a revision names it or it was given up.
func (s *API) readUpload(w http.ResponseWriter, r *http.Request, doc any) (*uploaded, error) {
	limit := s.Opt.Limits.Code
	body, err := s.Keep(w, r, s.UploadLimit(), gate.UploadTime)
	if err != nil {
		return nil, s.uploadError(err)
	}
	defer body.Close()
	// What is read of an archive's directory grows with it.
	done, err := s.WorkWithin(r.Context(), min(1<<20+body.Size(), gate.WorkMemory/3), gate.UploadWait)
	if err != nil {
		return nil, err
	}
	defer done()
	var up *uploaded
	rest, found, err := splitZip(body.Reader(), gate.MaxDocument, func(zip io.Reader) error {
		if err := s.codeRoom(r.Context(), body.Size()/4*3); err != nil {
			return err
		}
		var release func()
		ref, err := s.Opt.Code.PutHeld(r.Context(), zip, limit, func(sha string) { release = s.uploads.hold(sha) })
		if err != nil {
			if release != nil {
				release()
			}
			return err
		}
		up = &uploaded{Ref: ref, release: release}
		return nil
	})
	if err == nil {
		err = gate.Unmarshal(rest, doc)
	}
	if err == nil && found {
		if err = s.accept(up); err == nil {
			err = s.codeRoom(r.Context(), up.info.Unzipped)
		}
	}
	if err != nil {
		if up != nil {
			up.release()
			s.dropCode(up.SHA256)
		}
		return nil, s.uploadError(err)
	}
	return up, nil
}

// accept inspects an archive.
func (s *API) accept(up *uploaded) error {
	if up.Size == 0 {
		return gate.Invalid("Uploaded file must be a non-empty zip")
	}
	path, err := s.Opt.Code.Path(up.SHA256)
	if err != nil {
		return err
	}
	up.info, err = jar.Inspect(path, jar.Limits{Archive: s.Opt.Limits.Code, Unzipped: s.Opt.Limits.Unzipped})
	return err
}

func (s *API) uploadError(err error) error {
	var corrupt base64.CorruptInputError
	var tooBig *http.MaxBytesError
	switch {
	case errors.As(err, &corrupt):
		return gate.Serialization("ZipFile is not base64")
	case errors.Is(err, jar.ErrTooLarge), errors.Is(err, artifact.ErrTooLarge):
		return err
	case errors.As(err, &tooBig):
		return gate.TooLarge(s.Opt.Limits.Code)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return gate.Serialization("unexpected end of the request")
	}
	return err
}

// dropCode removes an archive at once if nothing names it.
func (s *API) dropCode(sha string) {
	if s.uploads.has(sha) || s.namedCode()[sha] || s.Store.Doubtful() {
		return
	}
	_, err := s.Opt.Code.Sweep(func(x string) bool { return x != sha || s.uploads.has(x) || s.namedCode()[x] }, 0)
	if err != nil {
		s.Log.Warn("remove refused archive", "sha256", sha, "error", err)
	}
}

// sweepEvery is how often archives that nothing names any more are looked for. One that a
// revision named at the last look is kept until the next: a worker may still run it.
const sweepEvery = time.Hour

// sweepCode removes archives that nothing names, now and then, until ctx ends. Never on the word of a store
// that was just opened, nor of one that has lost something: what it names may not be all.
func (s *API) sweepCode(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	before := s.namedCode()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if s.Store.Doubtful() {
			continue
		}
		used := s.namedCode()
		if _, err := s.Opt.Code.Sweep(func(x string) bool { return used[x] || before[x] || s.uploads.has(x) }, sweepEvery); err != nil {
			s.Log.Warn("remove unused archives", "error", err)
		}
		before = used
	}
}

func (s *API) namedCode() map[string]bool {
	used := map[string]bool{}
	for _, r := range s.Store.Revisions() {
		used[r.Spec.CodeSHA256] = true
	}
	return used
}

// codeSHA is the hash as the Lambda API writes it.
func codeSHA(spec *function.Spec) string {
	b, err := hex.DecodeString(spec.CodeSHA256)
	if err != nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString(b)
}
