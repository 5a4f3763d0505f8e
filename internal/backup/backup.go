// Package backup writes everything that a server must not lose into one archive, while it runs, and makes a
// data folder of such an archive again. It does not know what the records of the store mean, nor where
// archives come from: a restored one is hostile until every byte of it was compared.
//
// The archive is a tar of ordinary files: about.json, records, payloads/NAME, code/SHA256 and, at the end, checksums.json.
package backup

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/cloudjit/cloudjit/internal/artifact"
	"github.com/cloudjit/cloudjit/internal/disk"
	"github.com/cloudjit/cloudjit/internal/store"
)

// ErrInvalid is returned for what is no whole backup.
var ErrInvalid = errors.New("this is no whole backup")

// About says what is in a backup.
type About struct {
	Format    int       `json:"format"`
	Version   string    `json:"version"` // of the server
	CreatedAt time.Time `json:"createdAt"`
	Functions int       `json:"functions"`
	Events    int       `json:"events"`
	Letters   int       `json:"deadLetters"`
	// Bytes of everything; only in what Restore and Check return.
	Bytes int64 `json:"bytes,omitempty"`
}

const (
	format        = 1
	aboutName     = "about.json"
	recordsName   = "records"
	checksumsName = "checksums.json"
	// maxPart bounds one file of an archive, maxList the list of checksums and about.json.
	maxPart = 8 << 30
	maxList = 64 << 20
	// leftPattern are the folders that Write uses; a server that was killed leaves one.
	leftPattern = "backup-*"
)

type sum struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Write writes a backup of a store and of the archives that its revisions name.
func Write(ctx context.Context, w io.Writer, s *store.Store, code *artifact.Store, version string) (err error) {
	dir, err := os.MkdirTemp(s.Dir(), leftPattern)
	if err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	defer os.RemoveAll(dir)
	snap, err := s.Snapshot(ctx, dir)
	if err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	// What is handed out may be swept meanwhile: it is opened, and kept open, before anything is sent.
	files := []part{{recordsName, snap.Records}}
	for name, path := range snap.Payloads {
		files = append(files, part{"payloads/" + name, path})
	}
	for _, sha := range snap.Code {
		path, err := code.Path(sha)
		if err == nil {
			to := filepath.Join(dir, "code-"+sha)
			if err = os.Link(path, to); err == nil {
				files = append(files, part{"code/" + sha, to})
			}
		}
		if err != nil {
			return fmt.Errorf("back up the code of %v: %w", s.CodeOf(sha), err)
		}
	}
	about, err := json.Marshal(About{Format: format, Version: version, CreatedAt: time.Now().UTC(), Functions: snap.Functions, Events: snap.Events, Letters: snap.Letters})
	if err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	out := tar.NewWriter(w)
	sums := map[string]sum{}
	if err := writeBytes(out, aboutName, about, sums); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	for _, p := range files {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("back up: %w", err)
		}
		if err := p.write(out, sums); err != nil {
			return fmt.Errorf("back up %s: %w", p.name, err)
		}
	}
	list, err := json.Marshal(sums)
	if err == nil {
		err = writeBytes(out, checksumsName, list, map[string]sum{})
	}
	if err == nil {
		err = out.Close()
	}
	if err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	return nil
}

// Clean removes what a server that was killed while it backed up left in its data folder.
func Clean(data string) {
	left, _ := filepath.Glob(filepath.Join(data, leftPattern))
	for _, dir := range left {
		_ = os.RemoveAll(dir)
	}
}

type part struct{ name, path string }

func (p part) write(out *tar.Writer, sums map[string]sum) error {
	f, err := os.Open(p.path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := out.WriteHeader(&tar.Header{Name: p.name, Mode: 0o600, Size: info.Size(), Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(out, h), f)
	sums[p.name] = sum{n, hex.EncodeToString(h.Sum(nil))}
	return err
}

func writeBytes(out *tar.Writer, name string, b []byte, sums map[string]sum) error {
	if err := out.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(b)), Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	h := sha256.Sum256(b)
	sums[name] = sum{int64(len(b)), hex.EncodeToString(h[:])}
	_, err := out.Write(b)
	return err
}

var partName = regexp.MustCompile(`^(about\.json|records|checksums\.json|payloads/[0-9A-Z]{26}|code/[0-9a-f]{64})$`)

// Check reads a whole archive and compares every byte; nothing is written.
func Check(r io.Reader) (About, error) {
	var about About
	in := tar.NewReader(r)
	sums, got := map[string]sum{}, map[string]sum{}
	ended := false
	for {
		h, err := in.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return about, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		_, twice := got[h.Name]
		switch {
		case ended:
			return about, fmt.Errorf("%w: something follows its checksums", ErrInvalid)
		case h.Typeflag != tar.TypeReg || !partName.MatchString(h.Name):
			return about, fmt.Errorf("%w: %q has no place in it", ErrInvalid, h.Name)
		case twice:
			return about, fmt.Errorf("%w: %q is in it twice", ErrInvalid, h.Name)
		case h.Size < 0 || h.Size > maxPart || h.Size > maxList && (h.Name == aboutName || h.Name == checksumsName):
			return about, fmt.Errorf("%w: %q has %d bytes", ErrInvalid, h.Name, h.Size)
		}
		sha := sha256.New()
		var small []byte
		if h.Name == aboutName || h.Name == checksumsName {
			small, err = io.ReadAll(io.TeeReader(in, sha))
		} else {
			_, err = io.Copy(sha, in)
		}
		if err != nil {
			return about, fmt.Errorf("%w: %s: %w", ErrInvalid, h.Name, err)
		}
		got[h.Name] = sum{h.Size, hex.EncodeToString(sha.Sum(nil))}
		about.Bytes += h.Size
		switch h.Name {
		case aboutName:
			if err := json.Unmarshal(small, &about); err != nil || about.Format != format {
				return about, fmt.Errorf("%w: it is of format %d, and this version reads %d", ErrInvalid, about.Format, format)
			}
			about.Bytes = h.Size
		case checksumsName:
			if err := json.Unmarshal(small, &sums); err != nil {
				return about, fmt.Errorf("%w: its checksums cannot be read", ErrInvalid)
			}
			ended = true
		}
	}
	delete(got, checksumsName)
	if !ended {
		return about, fmt.Errorf("%w: its end is missing", ErrInvalid)
	}
	if _, ok := got[recordsName]; !ok || about.Format != format {
		return about, fmt.Errorf("%w: it has no records", ErrInvalid)
	}
	for name, s := range sums {
		if got[name] != s {
			return about, fmt.Errorf("%w: %s is not what was backed up", ErrInvalid, name)
		}
	}
	if len(got) != len(sums) {
		return about, fmt.Errorf("%w: it has files without checksums", ErrInvalid)
	}
	return about, nil
}

// Restore makes a data folder of an archive. The folder must not be there, or be empty; it appears whole or not at all.
func Restore(ctx context.Context, r io.ReadSeeker, data string) (about About, err error) {
	if data, err = filepath.Abs(data); err != nil {
		return about, fmt.Errorf("restore: %w", err)
	}
	if err := store.InUse(data); err != nil {
		return about, fmt.Errorf("restore: %w", err)
	}
	if entries, err := os.ReadDir(data); err == nil && len(entries) > 0 {
		return about, fmt.Errorf("restore: %s is not empty: name a new folder, or remove what is there", data)
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return about, fmt.Errorf("restore: %w", err)
	}
	if about, err = Check(r); err != nil {
		return about, fmt.Errorf("restore: %w", err)
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return about, fmt.Errorf("restore: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(data), 0o700); err != nil {
		return about, fmt.Errorf("restore: %w", err)
	}
	dir, err := os.MkdirTemp(filepath.Dir(data), "."+filepath.Base(data)+".restoring-")
	if err != nil {
		return about, fmt.Errorf("restore: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := room(dir, about.Bytes); err != nil {
		return about, fmt.Errorf("restore: %w", err)
	}
	if err := unpack(ctx, r, dir); err != nil {
		return about, fmt.Errorf("restore: %w", err)
	}
	if err := os.Remove(data); err != nil && !errors.Is(err, os.ErrNotExist) {
		return about, fmt.Errorf("restore: %w", err)
	}
	if err := os.Rename(filepath.Join(dir, "data"), data); err != nil {
		return about, fmt.Errorf("restore: %w", err)
	}
	return about, nil
}

// room fails where the disk has not twice what is unpacked: it is written from one folder to another.
func room(dir string, bytes int64) error {
	g, err := disk.Open(disk.Options{Dir: dir, Reserve: 1})
	if err != nil {
		return err
	}
	defer g.Close()
	return g.Admit(2 * bytes)
}

// unpack writes an archive that was checked into dir/data, by way of dir/parts.
func unpack(ctx context.Context, r io.Reader, dir string) error {
	parts, data := filepath.Join(dir, "parts"), filepath.Join(dir, "data")
	for _, sub := range []string{filepath.Join(parts, "payloads"), data} {
		if err := os.MkdirAll(sub, 0o700); err != nil {
			return err
		}
	}
	code, err := artifact.Open(filepath.Join(data, "artifacts"), nil)
	if err != nil {
		return err
	}
	in := tar.NewReader(r)
	for {
		h, err := in.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if !partName.MatchString(h.Name) {
			return fmt.Errorf("%w: it changed while it was read", ErrInvalid)
		}
		switch folder, name := filepath.Split(h.Name); {
		case folder == "code/":
			ref, err := code.Put(ctx, in, h.Size)
			if err != nil {
				return err
			}
			if ref.SHA256 != name {
				return fmt.Errorf("%w: the archive %s has another content", ErrInvalid, name)
			}
		case folder == "payloads/" || name == recordsName:
			if err := save(filepath.Join(parts, folder, name), in); err != nil {
				return err
			}
		}
	}
	records, err := os.Open(filepath.Join(parts, recordsName))
	if err != nil {
		return err
	}
	defer records.Close()
	return store.Fill(ctx, data, records, func(name string) ([]byte, error) {
		return os.ReadFile(filepath.Join(parts, "payloads", name))
	})
}

func save(path string, r io.Reader) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}
